//! The disk: a small trait, and [`FileDisk`], the directory that it is in a running broker.
//!
//! The one file below layer 3 that touches files (`tests/house.rs` knows it). Invariants: a data
//! directory belongs to one process at a time; names are what [`Disk::list`] gave or the log made,
//! and never lead out of the directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FlockOperation};
use thiserror::Error;

/// What the log needs of a disk. An error of kind `StorageFull` says that there is no room; after
/// it the log goes on, after any other it does not.
pub trait Disk {
    /// An open file.
    type File;

    /// All files: names and lengths.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;
    /// Makes an empty file; there must be none of this name.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Makes sure that the file has this length and that there is room for all of it; what was not
    /// written reads as zeros.
    fn allocate(&self, file: &Self::File, bytes: u64) -> io::Result<()>;
    /// Reads at most as much as there is room for in `buffer`; 0 is the end of the file.
    fn read_at(&self, file: &Self::File, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes`. On an error any part of it may have been written.
    fn write_at(&self, file: &Self::File, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Returns when everything that was written to the file is safe, its length too.
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    /// Returns when all creations, removals and renamings are safe.
    fn sync_directory(&self) -> io::Result<()>;
    /// Removes a file; who has it open can still read it.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Gives a file another name, in place of the one that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// How much room there is, as far as one knows.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// Reads exactly as much as there is room for in `buffer`.
pub(super) fn read_exact<D: Disk>(
    disk: &D,
    file: &D::File,
    mut buffer: &mut [u8],
    mut offset: u64,
) -> io::Result<()> {
    while !buffer.is_empty() {
        match disk.read_at(file, buffer, offset)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => {
                buffer = buffer.split_at_mut(n.min(buffer.len())).1;
                offset += n as u64;
            }
        }
    }
    Ok(())
}

/// Why a directory cannot be used.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// Another process has it.
    #[error("another broker uses the directory {path} (pid {pid})")]
    InUse {
        /// the directory
        path: PathBuf,
        /// what it wrote into its lock file
        pid: String,
    },
    /// The system refuses.
    #[error("the directory {path}: {source}")]
    Io {
        /// the directory
        path: PathBuf,
        /// why
        source: io::Error,
    },
}

const LOCK: &str = "lock";

/// A directory, locked for this process until it is dropped.
#[derive(Debug)]
pub struct FileDisk {
    path: PathBuf,
    directory: File,
    _lock: Option<File>,
}

impl FileDisk {
    /// Makes the directory if there is none, and takes it for this process.
    ///
    /// # Errors
    /// If another process has it, or the system refuses.
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        let io_error = |source| DirectoryError::Io { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(io_error)?;
        let lock_path = path.join(LOCK);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(lock_path)
            .map_err(io_error)?;
        take_lock(path, &lock, FlockOperation::NonBlockingLockExclusive)?;
        lock.set_len(0).map_err(io_error)?;
        writeln!(lock, "{}", std::process::id()).map_err(io_error)?;
        let directory = File::open(path).map_err(io_error)?;
        // The directory itself may be new.
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            let synced = File::open(parent).and_then(|parent| parent.sync_all());
            // A parent that cannot be opened was not made just now.
            if !matches!(&synced, Err(e) if e.kind() == ErrorKind::PermissionDenied) {
                synced.map_err(io_error)?;
            }
        }
        Ok(Self { path: path.to_owned(), directory, _lock: Some(lock) })
    }

    /// A directory that is there, for reading only: makes nothing, writes nothing, and keeps
    /// brokers out until it is dropped.
    ///
    /// # Errors
    /// If there is none, a broker has it, or the system refuses.
    pub fn open_for_reading(path: &Path) -> Result<Self, DirectoryError> {
        let io_error = |source| DirectoryError::Io { path: path.to_owned(), source };
        let directory = File::open(path).map_err(io_error)?;
        let lock = match File::open(path.join(LOCK)) {
            // A copy of a directory may lack it, and no broker has that open.
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            result => Some(result.map_err(io_error)?),
        };
        if let Some(lock) = &lock {
            take_lock(path, lock, FlockOperation::NonBlockingLockShared)?;
        }
        Ok(Self { path: path.to_owned(), directory, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn take_lock(
    path: &Path,
    mut lock: &File,
    operation: FlockOperation,
) -> Result<(), DirectoryError> {
    match rustix::fs::flock(lock, operation) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            // Who has it may be just about to write it.
            let _ = lock.read_to_string(&mut pid);
            Err(DirectoryError::InUse { path: path.to_owned(), pid: pid.trim().to_owned() })
        }
        Err(errno) => Err(DirectoryError::Io { path: path.to_owned(), source: errno.into() }),
    }
}

impl Disk for FileDisk {
    type File = File;

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string()
                && name != LOCK
                && entry.file_type()?.is_file()
            {
                files.push((name, entry.metadata()?.len()));
            }
        }
        Ok(files)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).open(self.path.join(name))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        let path = self.path.join(name);
        match OpenOptions::new().read(true).write(true).open(&path) {
            // Who only looks may not be allowed more.
            Err(e) if e.kind() == ErrorKind::PermissionDenied => File::open(&path),
            result => result,
        }
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
            // Not every file system can: then the room is taken as it is written.
            Err(rustix::io::Errno::OPNOTSUPP) => {
                if file.metadata()?.len() < bytes {
                    file.set_len(bytes)?;
                }
                Ok(())
            }
            result => result.map_err(io::Error::from),
        }
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match file.read_at(buffer, offset) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.directory.sync_all()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(&self.directory)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
