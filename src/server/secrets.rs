//! Files with secrets in them: passwords, keys, tokens.
//!
//! May use: files. Invariant: what was read stands in memory once, and is zeroed when it goes.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use zeroize::Zeroizing;

/// All of a file of at most `bytes_max` bytes.
///
/// # Errors
/// The system's; and a pipe, or what has more in it.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<Zeroizing<Vec<u8>>> {
    // Asked before it is opened: it would be waited for, and says nothing when it is read again.
    if std::fs::metadata(path)?.file_type().is_fifo() {
        return Err(Error::new(ErrorKind::InvalidInput, "this is a pipe, not a file"));
    }
    let file = File::open(path)?;
    let bytes = file.metadata()?.len().min(bytes_max);
    // With room for all of it: growing would leave copies behind.
    let mut read = Zeroizing::new(Vec::with_capacity(bytes as usize + 1));
    file.take(bytes_max + 1).read_to_end(&mut read)?;
    if read.len() as u64 > bytes_max {
        let what = format!("more than {bytes_max} bytes");
        return Err(Error::new(ErrorKind::FileTooLarge, what));
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_and_what_is_refused() {
        let folder = std::env::temp_dir().join(format!("stonechat-secrets-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (file, pipe) = (folder.join("file"), folder.join("pipe"));
        std::fs::write(&file, b"hush").unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
        let null = Path::new("/dev/null");
        for (path, bytes_max, wanted) in [
            (file.as_path(), 4, Ok(&b"hush"[..])),
            (&file, 3, Err(ErrorKind::FileTooLarge)),
            (null, 0, Ok(b"")),
            (&pipe, 4, Err(ErrorKind::InvalidInput)),
            (&folder, 4, Err(ErrorKind::IsADirectory)),
            (&folder.join("none"), 4, Err(ErrorKind::NotFound)),
        ] {
            let read = read(path, bytes_max).map_err(|error| error.kind());
            assert_eq!(read.as_ref().map(|bytes| &bytes[..]), wanted.as_ref().copied(), "{path:?}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
