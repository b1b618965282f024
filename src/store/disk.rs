//! The disk: a small trait, and [`FileDisk`], the directory that it is in a running broker.
//!
//! The one file below layer 3 that touches files (`tests/house.rs` knows it). Invariants: a data
//! directory belongs to one process at a time; names are what [`Disk::list`] gave or the log made,
//! and never lead out of the directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FallocateFlags, FlockOperation, OFlags};
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
    /// All of the file will be read soon: the disk may begin.
    fn read_ahead(&self, _file: &Self::File) {}
    /// Writes all of `bytes`. On an error any part of it may have been written. What stands behind
    /// them stays; but if they go on where the last ones ended, the rest of their last page may be
    /// zeros then.
    fn write_at(&self, file: &Self::File, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Writes `room[bytes]` as `write_at` does. What stands around them in `room` may be changed:
    /// if they stand there as they will in the file's blocks of 4096 bytes, with room for all of
    /// the first and the last one, they need not be copied.
    fn write_within(
        &self,
        file: &Self::File,
        room: &mut [u8],
        bytes: Range<usize>,
        offset: u64,
    ) -> io::Result<()> {
        self.write_at(file, &room[bytes], offset)
    }
    /// Writes zeros from `from` up to `until`, as `write_at` would.
    fn write_zeros(&self, file: &Self::File, from: u64, until: u64) -> io::Result<()> {
        // In pages: the system's cache would keep a larger write in larger units, and then write
        // all of such a unit for a small batch inside.
        write_zeros(self, file, from..until, BLOCK_BYTES)
    }
    /// The file is not written for a while: what is kept for that may go.
    fn rest(&self, _file: &Self::File) {}
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

/// A page, and what a write past the system's cache has to be a multiple of.
pub(super) const BLOCK_BYTES: usize = 4096;

/// Where the block begins in which `at` is.
fn block_of(at: u64) -> u64 {
    at - at % BLOCK_BYTES as u64
}

/// Writes zeros, `step` at a time.
fn write_zeros<D: Disk + ?Sized>(
    disk: &D,
    file: &D::File,
    Range { start: mut at, end }: Range<u64>,
    step: usize,
) -> io::Result<()> {
    let zeros = vec![0; step];
    while at < end {
        let until = end.min(at - at % step as u64 + step as u64);
        disk.write_at(file, &zeros[..(until - at) as usize], at)?;
        at = until;
    }
    Ok(())
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
    _lock: Option<Lock>,
    blocks: Mutex<Blocks>,
}

/// A file of a [`FileDisk`]. It is read through the system's cache, and written past it where the
/// file system can do that: what is written here is synced at once and seldom read again, and to
/// copy it into the cache costs more processor time than all else that a batch needs of the system.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    writer: Mutex<Writer>,
}

/// How a file is written.
#[derive(Debug)]
enum Writer {
    /// not yet
    New,
    /// through the cache: the file system cannot do otherwise
    Cached,
    Direct(DirectWriter),
}

/// Writes whole blocks. What a batch leaves of its last block is written again, as it was, with
/// the next one: as the cache would do it too.
#[derive(Debug)]
struct DirectWriter {
    file: File,
    /// where the last write ended; nowhere, before the first
    end: u64,
    /// the bytes of that block before `end`
    tail: Vec<u8>,
}

/// How much is handed to the system at once.
const CHUNK_BYTES: usize = 1 << 20;
/// The same of zeros, for which no large room is to be made.
const ZEROS_BYTES: usize = 64 << 10;

/// Room for blocks on their way to a file: what the system takes past its cache has to begin at a
/// multiple of [`BLOCK_BYTES`] in memory too.
#[derive(Debug, Default)]
struct Blocks {
    bytes: Vec<u8>,
    /// how much was needed lately
    recent: usize,
}

impl Blocks {
    /// `bytes` of room, a multiple of [`BLOCK_BYTES`].
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        let needed = bytes + BLOCK_BYTES;
        // What one large batch took is not kept for ever; small ones in between change nothing.
        self.recent = needed.max(self.recent - self.recent / 16);
        if self.bytes.len() < needed || self.bytes.len() > 4 * self.recent.max(64 << 10) {
            self.bytes = vec![0; needed];
        }
        let from = self.bytes.as_ptr().align_offset(BLOCK_BYTES);
        &mut self.bytes[from..from + bytes]
    }
}

impl LogFile {
    fn new(file: File) -> Self {
        Self { file, writer: Mutex::new(Writer::New) }
    }

    /// How it is written: from the first write on that is known.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        let mut writer = lock(&self.writer);
        if matches!(*writer, Writer::New) {
            let direct = DirectWriter::open(&self.file);
            *writer = direct.map_or(Writer::Cached, Writer::Direct);
        }
        writer
    }
}

impl DirectWriter {
    /// The same file, opened once more; `None` if it cannot be written so.
    fn open(file: &File) -> Option<Self> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let flags = i32::try_from(OFlags::DIRECT.bits()).ok()?;
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).ok()?;
        Some(Self { file, end: u64::MAX, tail: Vec::new() })
    }

    /// Writes all of `bytes`; on an error any part may have been written. What stands behind them
    /// in their last block stays, unless they go on where the last ones ended: there is nothing.
    fn write(
        &mut self,
        cached: &File,
        blocks: &mut Blocks,
        mut bytes: &[u8],
        mut offset: u64,
    ) -> io::Result<()> {
        let behind = self.go_to(cached, offset, bytes.len())?;
        while !bytes.is_empty() {
            let before = self.tail.len();
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - before));
            let end = before + now.len();
            let room = blocks.room(end.next_multiple_of(BLOCK_BYTES));
            room[before..end].copy_from_slice(now);
            let behind = if later.is_empty() { &behind[..] } else { &[] };
            self.write_blocks(room, end, behind, offset)?;
            offset += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    /// The same for bytes that stand in `room` as they will in the file; false if they do not.
    fn write_in_place(
        &mut self,
        cached: &File,
        room: &mut [u8],
        bytes: Range<usize>,
        offset: u64,
    ) -> io::Result<bool> {
        let before = (offset - block_of(offset)) as usize;
        let len = (before + bytes.len()).next_multiple_of(BLOCK_BYTES);
        let Some(room) = bytes.start.checked_sub(before).and_then(|at| room.get_mut(at..at + len))
        else {
            return Ok(false);
        };
        if room.as_ptr().align_offset(BLOCK_BYTES) != 0 {
            return Ok(false);
        }
        let behind = self.go_to(cached, offset, bytes.len())?;
        self.write_blocks(room, before + bytes.len(), &behind, offset)?;
        Ok(true)
    }

    /// What is written next begins at `offset`. Returns what stands behind the `len` bytes that are
    /// to be written there, up to their last block's end; nothing if nothing does.
    fn go_to(&mut self, cached: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        if self.end == offset {
            return Ok(Vec::new());
        }
        self.tail = vec![0; (offset - block_of(offset)) as usize];
        cached.read_exact_at(&mut self.tail, block_of(offset))?;
        self.end = offset;
        let end = offset + len as u64;
        let mut behind = vec![0; (end.next_multiple_of(BLOCK_BYTES as u64) - end) as usize];
        read_up_to(cached, &mut behind, end)?;
        Ok(behind)
    }

    /// Writes `blocks`, which have what goes to `offset` from where `tail` ends up to `end`;
    /// `behind` comes behind that, or zeros.
    fn write_blocks(
        &mut self,
        blocks: &mut [u8],
        end: usize,
        behind: &[u8],
        offset: u64,
    ) -> io::Result<()> {
        let before = self.tail.len();
        blocks[..before].copy_from_slice(&self.tail);
        blocks[end..].fill(0);
        blocks[end..end + behind.len()].copy_from_slice(behind);
        self.file.write_all_at(blocks, block_of(offset))?;
        self.end = offset + (end - before) as u64;
        self.tail.clear();
        self.tail.extend_from_slice(&blocks[end - end % BLOCK_BYTES..end]);
        Ok(())
    }
}

/// Reads what there is; behind the file's end `buffer` stays as it is.
fn read_up_to(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match file.read_at(buffer, offset) {
            Ok(0) => return Ok(()),
            Ok(n) => (buffer, offset) = (&mut buffer[n..], offset + n as u64),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic ends the process, so a lock is never poisoned where that matters.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        Ok(Self::new(path, directory, Some(lock)))
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
        Ok(Self::new(path, directory, lock))
    }

    fn new(path: &Path, directory: File, lock: Option<File>) -> Self {
        let _lock = lock.map(Lock);
        Self { path: path.to_owned(), directory, _lock, blocks: Mutex::default() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A lock that was taken. It is given back in so many words: to close the file is not enough while
/// a process that another thread is just about to start has it too.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // What cannot be given back goes with the last that has the file.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
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
    type File = LogFile;

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

    fn create(&self, name: &str) -> io::Result<LogFile> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(self.path.join(name))?;
        Ok(LogFile::new(file))
    }

    fn open(&self, name: &str) -> io::Result<LogFile> {
        let path = self.path.join(name);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            // Who only looks may not be allowed more.
            Err(e) if e.kind() == ErrorKind::PermissionDenied => File::open(&path),
            result => result,
        };
        Ok(LogFile::new(file?))
    }

    fn allocate(&self, LogFile { file, .. }: &LogFile, bytes: u64) -> io::Result<()> {
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

    fn read_at(&self, file: &LogFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match file.file.read_at(buffer, offset) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn read_ahead(&self, LogFile { file, .. }: &LogFile) {
        // Who cannot be told reads it when it is asked for.
        let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::WillNeed);
    }

    fn write_within(
        &self,
        file: &LogFile,
        room: &mut [u8],
        bytes: Range<usize>,
        offset: u64,
    ) -> io::Result<()> {
        let written = match &mut *file.writer() {
            Writer::Direct(direct) => {
                direct.write_in_place(&file.file, room, bytes.clone(), offset)
            }
            _ => Ok(false),
        };
        match written {
            Ok(true) => Ok(()),
            Err(e) if e.kind() != ErrorKind::InvalidInput => Err(e),
            _ => self.write_at(file, &room[bytes], offset),
        }
    }

    fn write_at(&self, file: &LogFile, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut writer = file.writer();
        if let Writer::Direct(direct) = &mut *writer {
            match direct.write(&file.file, &mut lock(&self.blocks), bytes, offset) {
                // It said that it can, and cannot.
                Err(e) if e.kind() == ErrorKind::InvalidInput => *writer = Writer::Cached,
                result => return result,
            }
        }
        file.file.write_all_at(bytes, offset)
    }

    fn write_zeros(&self, file: &LogFile, from: u64, until: u64) -> io::Result<()> {
        let is_direct = matches!(*lock(&file.writer), Writer::Direct(_));
        write_zeros(self, file, from..until, if is_direct { ZEROS_BYTES } else { BLOCK_BYTES })
    }

    fn rest(&self, file: &LogFile) {
        let mut writer = lock(&file.writer);
        if matches!(*writer, Writer::Direct(_)) {
            *writer = Writer::New;
        }
    }

    fn sync(&self, file: &LogFile) -> io::Result<()> {
        file.file.sync_data()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_goes_though_another_process_still_has_the_file() {
        let name = format!("stonechat-lock-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let disk = FileDisk::open(&path).unwrap();
        // As between fork and exec.
        let inherited = disk._lock.as_ref().map(|lock| lock.0.try_clone().unwrap());
        assert!(matches!(FileDisk::open(&path), Err(DirectoryError::InUse { .. })));
        drop(disk);
        drop(FileDisk::open(&path).unwrap());
        drop(inherited);
        fs::remove_dir_all(&path).unwrap();
    }

    /// However it stands in memory: what is written reads back, and what stands behind it stays.
    #[test]
    fn in_place_or_copied_the_file_holds_the_same() {
        let path = std::env::temp_dir().join(format!("stonechat-room-{}", std::process::id()));
        let disk = FileDisk::open(&path).unwrap();
        let file = disk.create("a").unwrap();
        disk.allocate(&file, 2 << 20).unwrap();
        let (mut plain, mut at, mut in_place) = (vec![0_u8; 2 << 20], 128_usize, 0);
        let mut write = |at: usize, len: usize, n: usize| {
            let mut room = vec![1_u8; len + 3 * BLOCK_BYTES];
            let from = room.as_ptr().align_offset(BLOCK_BYTES) + at % BLOCK_BYTES;
            let (from, fits) = if n.is_multiple_of(3) { (from + 1, false) } else { (from, true) };
            let bytes = from..from + len;
            room[bytes.clone()].fill(n as u8 | 1);
            plain[at..at + len].fill(n as u8 | 1);
            if let Writer::Direct(direct) = &mut *file.writer()
                && n.is_multiple_of(2)
            {
                let (at, bytes) = (at as u64, bytes.clone());
                let done = direct.write_in_place(&file.file, &mut room, bytes, at).unwrap();
                assert_eq!(done, fits);
                in_place += usize::from(done);
            }
            disk.write_within(&file, &mut room, bytes, at as u64).unwrap();
            let mut read = vec![0; plain.len()];
            read_exact(&disk, &file, &mut read, 0).unwrap();
            assert!(read == plain, "{n}: {len} bytes at {at}");
        };
        for n in 0..60 {
            let len = 1 + n * 2_654_435 % 20_000;
            write(at, len, n);
            at += len;
        }
        for n in 60..80 {
            write(n * 4_001, 1 + n * 97 % 5_000, n);
        }
        let is_direct = matches!(&*file.writer(), Writer::Direct(_));
        assert_eq!(in_place > 0, is_direct);
        fs::remove_dir_all(&path).unwrap();
    }
}
