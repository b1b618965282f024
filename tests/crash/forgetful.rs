//! A file system that forgets on command what was not synced, as a disk does whose power fails.
//!
//! It lives in this process's memory and is mounted through FUSE. Bytes and lengths are safe once
//! their file is synced; names (created, renamed, removed) once the directory is. Everything else
//! is safe or not as it is drawn: bytes by sectors of 512, in any order; names up to any one of
//! them, in order.
//!
//! Invariant: power is lost only while no process has a file open.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request,
    TimeOrNow, WriteFlags,
};

use crate::support::Random;
use crate::support::broker::Scratch;

const NAME: &str = "stonechat-forgetful";
const SECTOR: usize = 512;
/// Nothing may be cached: what was forgotten must not be seen any more.
const TTL: Duration = Duration::ZERO;

#[derive(Default)]
struct Content {
    /// what a process reads
    now: Vec<u8>,
    /// what is safe
    safe: Vec<u8>,
    /// what was written since: from, to
    written: Vec<(usize, usize)>,
    opened: usize,
}

enum Change {
    Name(OsString, u64),
    Unname(OsString),
    Rename(OsString, OsString),
}

type Names = BTreeMap<OsString, u64>;

#[derive(Default)]
struct Files {
    files: BTreeMap<u64, Content>,
    now: Names,
    safe: Names,
    changes: Vec<Change>,
    last: u64,
    /// syncs of files, syncs of the directory
    syncs: (u64, u64),
    /// syncs of files fail
    fails: bool,
}

struct Shared(Arc<Mutex<Files>>);

/// The mounted file system; unmounted when it is dropped.
pub(crate) struct Forgetful {
    files: Arc<Mutex<Files>>,
    session: Option<BackgroundSession>,
    place: Scratch,
}

impl Forgetful {
    pub(crate) fn mount() -> io::Result<Self> {
        clear_away();
        let place = Scratch::new();
        let files = Arc::new(Mutex::new(Files { last: INodeNo::ROOT.0, ..Files::default() }));
        let mut config = Config::default();
        config.mount_options.push(MountOption::FSName(NAME.into()));
        let session = fuser::spawn_mount(Shared(Arc::clone(&files)), place.path(), &config)?;
        Ok(Self { files, session: Some(session), place })
    }

    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    /// How often a file and the directory were synced.
    pub(crate) fn syncs(&self) -> (u64, u64) {
        self.files.lock().unwrap().syncs
    }

    /// From here on nothing can be synced.
    pub(crate) fn fail(&self) {
        self.files.lock().unwrap().fails = true;
    }

    /// Forgets what was not synced, as far as it is drawn.
    pub(crate) fn lose_power(&self, random: &mut Random) {
        let mut files = self.files.lock().unwrap();
        // In quarters: nothing of it survives, some, most, all.
        let quarters = random.below(5);
        let survives = |random: &mut Random| random.below(4) < quarters;
        let changes = std::mem::take(&mut files.changes);
        let many = random.below(changes.len() + 1);
        for change in &changes[..many] {
            apply(&mut files.safe, change);
        }
        files.now = files.safe.clone();
        let names: Vec<u64> = files.now.values().copied().collect();
        files.files.retain(|number, _| names.contains(number));
        for file in files.files.values_mut() {
            if survives(random) {
                file.safe.resize(file.now.len(), 0);
            }
            for (from, to) in std::mem::take(&mut file.written) {
                for sector in from / SECTOR..to.div_ceil(SECTOR) {
                    if survives(random) {
                        file.keep(sector * SECTOR, (sector + 1) * SECTOR);
                    }
                }
            }
            file.now = file.safe.clone();
            file.opened = 0;
        }
    }
}

/// A test that was killed leaves a mount behind that nobody serves any more.
fn clear_away() {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for line in mounts.lines().filter(|line| line.starts_with(NAME)) {
        let place = Path::new(line.split(' ').nth(1).unwrap_or_default());
        // ENOTCONN: its process is gone.
        if std::fs::metadata(place).is_err_and(|e| e.kind() == io::ErrorKind::NotConnected) {
            let _ = std::process::Command::new("umount").arg("-l").arg(place).status();
            let _ = std::fs::remove_dir(place);
        }
    }
}

impl Drop for Forgetful {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            let _ = session.umount_and_join();
        }
    }
}

fn apply(names: &mut Names, change: &Change) {
    match change {
        Change::Name(name, number) => {
            names.insert(name.clone(), *number);
        }
        Change::Unname(name) => {
            names.remove(name);
        }
        Change::Rename(from, to) => {
            if let Some(number) = names.remove(from) {
                names.insert(to.clone(), number);
            }
        }
    }
}

impl Content {
    /// Makes what is there now safe, as far as the safe length goes.
    fn keep(&mut self, from: usize, to: usize) {
        let to = to.min(self.now.len()).min(self.safe.len());
        if from < to {
            self.safe[from..to].copy_from_slice(&self.now[from..to]);
        }
    }

    fn sync(&mut self) {
        self.safe.resize(self.now.len(), 0);
        for (from, to) in std::mem::take(&mut self.written) {
            self.keep(from, to);
        }
    }

    fn set_len(&mut self, len: usize) {
        // What is cut off reads as zeros if the file grows again.
        if len < self.now.len() {
            self.written.push((len, self.now.len()));
        }
        self.now.resize(len, 0);
    }

    fn write(&mut self, from: usize, bytes: &[u8]) {
        let to = from + bytes.len();
        if self.now.len() < to {
            self.now.resize(to, 0);
        }
        self.now[from..to].copy_from_slice(bytes);
        self.written.push((from, to));
    }
}

impl Files {
    fn change(&mut self, change: Change) {
        apply(&mut self.now, &change);
        self.changes.push(change);
    }

    /// What has no name and is not open is gone.
    fn tidy(&mut self) {
        let named = |names: &Names, number| names.values().any(|n| *n == number);
        let Self { files, now, safe, .. } = self;
        files.retain(|number, file| file.opened > 0 || named(now, *number) || named(safe, *number));
    }

    fn attributes(&self, number: INodeNo) -> Result<FileAttr, Errno> {
        if number == INodeNo::ROOT {
            return Ok(attributes(number, FileType::Directory, 0));
        }
        let file = self.files.get(&number.0).ok_or(Errno::ENOENT)?;
        Ok(attributes(number, FileType::RegularFile, file.now.len()))
    }

    fn find(&self, name: &OsStr) -> Result<FileAttr, Errno> {
        self.attributes(INodeNo(*self.now.get(name).ok_or(Errno::ENOENT)?))
    }

    fn file(&mut self, number: INodeNo) -> Result<&mut Content, Errno> {
        self.files.get_mut(&number.0).ok_or(Errno::ENOENT)
    }

    fn create(&mut self, name: &OsStr) -> Result<FileAttr, Errno> {
        if self.now.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        self.last += 1;
        self.files.insert(self.last, Content { opened: 1, ..Content::default() });
        self.change(Change::Name(name.to_owned(), self.last));
        self.attributes(INodeNo(self.last))
    }
}

fn attributes(ino: INodeNo, kind: FileType, len: usize) -> FileAttr {
    let (time, size) = (SystemTime::UNIX_EPOCH, len as u64);
    let perm = if kind == FileType::Directory { 0o755 } else { 0o644 };
    FileAttr {
        ino,
        size,
        blocks: size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind,
        perm,
        nlink: 1,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap()
    }
}

fn answer(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Shared {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.lock().find(name) {
            Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.lock().attributes(ino) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut files = self.lock();
        if let (Some(len), Ok(file)) = (size, files.file(ino)) {
            file.set_len(len as usize);
        }
        match files.attributes(ino) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        _: &Request,
        _: INodeNo,
        name: &OsStr,
        _: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let direct = FopenFlags::FOPEN_DIRECT_IO;
        match self.lock().create(name) {
            Ok(made) => reply.created(&TTL, &made, Generation(0), FileHandle(0), direct),
            Err(error) => reply.error(error),
        }
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.lock().file(ino) {
            Ok(file) => {
                file.opened += 1;
                reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
            }
            Err(error) => reply.error(error),
        }
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        let mut files = self.lock();
        if let Ok(file) = files.file(ino) {
            file.opened = file.opened.saturating_sub(1);
        }
        files.tidy();
        reply.ok();
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.lock().file(ino) {
            Ok(file) => {
                let from = file.now.len().min(offset as usize);
                let to = file.now.len().min(from + size as usize);
                reply.data(&file.now[from..to]);
            }
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.lock().file(ino) {
            Ok(file) => {
                file.write(offset as usize, data);
                reply.written(data.len() as u32);
            }
            Err(error) => reply.error(error),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let mut files = self.lock();
        let result = files.file(ino).and_then(|file| match mode {
            0 => {
                let len = file.now.len().max((offset + length) as usize);
                file.set_len(len);
                Ok(())
            }
            _ => Err(Errno::EOPNOTSUPP),
        });
        answer(reply, result);
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let mut files = self.lock();
        files.syncs.0 += 1;
        if files.fails {
            return reply.error(Errno::EIO);
        }
        answer(reply, files.file(ino).map(Content::sync));
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let mut files = self.lock();
        files.syncs.1 += 1;
        files.safe = files.now.clone();
        files.changes.clear();
        files.tidy();
        reply.ok();
    }

    fn unlink(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut files = self.lock();
        let found = files.find(name).map(|_| ());
        if found.is_ok() {
            files.change(Change::Unname(name.to_owned()));
            files.tidy();
        }
        answer(reply, found);
    }

    fn rename(
        &self,
        _: &Request,
        _: INodeNo,
        name: &OsStr,
        _: INodeNo,
        to: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut files = self.lock();
        let found = files.find(name).map(|_| ());
        if found.is_ok() {
            files.change(Change::Rename(name.to_owned(), to.to_owned()));
            files.tidy();
        }
        answer(reply, found);
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let files = self.lock();
        for (n, (name, number)) in files.now.iter().enumerate().skip(offset as usize) {
            if reply.add(INodeNo(*number), n as u64 + 1, FileType::RegularFile, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let blocks = 1 << 22;
        reply.statfs(blocks, blocks, blocks, blocks, blocks, 4096, 255, 4096);
    }
}
