//! A disk in memory: it forgets what was not synced, tears it, fills up and fails on command.
//!
//! Uses `std` and the crate's trait alone, so that the fuzz targets have it too. Invariant: after a
//! power loss a sector of 512 bytes holds either what it held at the last sync or one of the states
//! that were written since; a directory entry likewise.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Mutex, MutexGuard};

use stonechat::store::Disk;

const SECTOR: usize = 512;

#[derive(Clone, Default)]
struct Inode {
    /// as it is read
    now: Vec<u8>,
    /// as it was at the last sync
    synced: Vec<u8>,
    /// offset and bytes of what was written since
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone)]
enum DirectoryOp {
    Link(String, u64),
    Rename(String, String, u64),
    Unlink(String),
}

impl DirectoryOp {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Link(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            Self::Rename(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
            Self::Unlink(name) => {
                names.remove(name);
            }
        }
    }
}

/// What goes wrong, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// from this operation on nothing works any more
    PowerLoss,
    /// this operation finds no room
    Full,
    /// this operation fails
    Error,
}

#[derive(Clone, Default)]
struct Inner {
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<String, u64>,
    synced_names: BTreeMap<String, u64>,
    unsynced_ops: Vec<DirectoryOp>,
    next_inode: u64,
    capacity: u64,
    /// operations that change something so far
    ops: u64,
    /// at which operation, what
    fault: Option<(u64, Fault)>,
    syncs: u64,
    fail_sync: Option<u64>,
    off: bool,
    written: u64,
}

/// See the module.
#[derive(Default)]
pub struct SimDisk(Mutex<Inner>);

impl SimDisk {
    pub fn new(capacity: u64) -> Self {
        Self(Mutex::new(Inner { capacity, ..Inner::default() }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no test panics in here")
    }

    /// Operations that changed something so far.
    pub fn ops(&self) -> u64 {
        self.lock().ops
    }

    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// Bytes written to files so far.
    pub fn written(&self) -> u64 {
        self.lock().written
    }

    pub fn set_capacity(&self, capacity: u64) {
        self.lock().capacity = capacity;
    }

    /// Lets the `after`th operation from now on go wrong.
    pub fn set_fault(&self, after: u64, fault: Fault) {
        let mut inner = self.lock();
        inner.fault = Some((inner.ops + after, fault));
    }

    /// Lets the `after`th sync from now on fail.
    pub fn fail_sync(&self, after: u64) {
        let mut inner = self.lock();
        inner.fail_sync = Some(inner.syncs + after);
    }

    pub fn clear_faults(&self) {
        let mut inner = self.lock();
        (inner.fault, inner.fail_sync) = (None, None);
    }

    pub fn is_off(&self) -> bool {
        self.lock().off
    }

    /// Whether all that was written to segments is safe.
    pub fn is_synced(&self) -> bool {
        let inner = self.lock();
        let mut segments = inner.names.iter().filter(|(name, _)| name.ends_with(".log"));
        segments.all(|(_, inode)| inner.inodes[inode].unsynced.is_empty())
    }

    /// All files, by name.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let inner = self.lock();
        let file = |(name, inode): (&String, &u64)| (name.clone(), inner.inodes[inode].now.clone());
        inner.names.iter().map(file).collect()
    }

    /// A disk with these files, all synced.
    pub fn of(files: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut inner = Inner { capacity: u64::MAX / 2, ..Inner::default() };
        for (inode, (name, bytes)) in files.iter().enumerate() {
            let node = Inode { now: bytes.clone(), synced: bytes.clone(), ..Inode::default() };
            inner.inodes.insert(inode as u64, node);
            inner.names.insert(name.clone(), inode as u64);
        }
        inner.synced_names = inner.names.clone();
        inner.next_inode = files.len() as u64;
        Self(Mutex::new(inner))
    }

    /// The process ends, the machine does not: what was written is there.
    pub fn restart(&self) -> Self {
        let mut inner = self.lock().clone();
        (inner.fault, inner.fail_sync, inner.off) = (None, None, false);
        Self(Mutex::new(inner))
    }

    /// The machine loses power: of what was not synced, `random` decides.
    pub fn power_loss(&self, mut random: impl FnMut(usize) -> usize) -> Self {
        let old = self.lock();
        let mut inner = Inner { capacity: old.capacity, ..Inner::default() };
        inner.next_inode = old.next_inode;
        inner.names.clone_from(&old.synced_names);
        let mode = random(3);
        let upto = random(old.unsynced_ops.len() + 1);
        for (at, op) in old.unsynced_ops.iter().enumerate() {
            let kept = match mode {
                0 => false,
                1 => at < upto,
                _ => random(2) == 0,
            };
            if kept {
                op.apply(&mut inner.names);
            }
        }
        for (number, inode) in &old.inodes {
            let bytes = torn(inode, &mut random);
            let node = Inode { now: bytes.clone(), synced: bytes, ..Inode::default() };
            inner.inodes.insert(*number, node);
        }
        inner.synced_names = inner.names.clone();
        Self(Mutex::new(inner))
    }
}

/// What is left of a file.
fn torn(inode: &Inode, random: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
    let mut bytes = inode.synced.clone();
    let mode = random(4);
    let upto = random(inode.unsynced.len() + 1);
    for (at, (offset, written)) in inode.unsynced.iter().enumerate() {
        let mut from = 0;
        while from < written.len() {
            let start = offset + from;
            let to = (from + SECTOR - start % SECTOR).min(written.len());
            let kept = match mode {
                0 => false,
                1 => at < upto,
                2 => at < upto || at == upto && random(2) == 0,
                _ => random(2) == 0,
            };
            if kept {
                put(&mut bytes, start, &written[from..to]);
            }
            from = to;
        }
    }
    bytes
}

fn put(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    if bytes.len() < offset + new.len() {
        bytes.resize(offset + new.len(), 0);
    }
    bytes[offset..offset + new.len()].copy_from_slice(new);
}

impl Inner {
    fn check(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    /// Counts an operation that changes something; `Err` if it is the one that goes wrong.
    fn change(&mut self) -> io::Result<()> {
        self.check()?;
        self.ops += 1;
        match self.fault {
            Some((at, fault)) if at == self.ops => match fault {
                Fault::PowerLoss => {
                    self.off = true;
                    Err(io::Error::other("the power is off"))
                }
                Fault::Full => Err(ErrorKind::StorageFull.into()),
                Fault::Error => Err(io::Error::other("a fault")),
            },
            _ => Ok(()),
        }
    }

    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[inode].now.len() as u64).sum()
    }

    fn inode(&mut self, number: u64) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&number).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Disk for SimDisk {
    type File = u64;

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let inner = self.lock();
        inner.check()?;
        let len =
            |(name, inode): (&String, &u64)| (name.clone(), inner.inodes[inode].now.len() as u64);
        Ok(inner.names.iter().map(len).collect())
    }

    fn create(&self, name: &str) -> io::Result<u64> {
        let mut inner = self.lock();
        inner.change()?;
        if inner.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let inode = inner.next_inode;
        inner.next_inode += 1;
        inner.inodes.insert(inode, Inode::default());
        inner.names.insert(name.to_owned(), inode);
        inner.unsynced_ops.push(DirectoryOp::Link(name.to_owned(), inode));
        Ok(inode)
    }

    fn open(&self, name: &str) -> io::Result<u64> {
        let inner = self.lock();
        inner.check()?;
        inner.names.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn allocate(&self, file: &u64, bytes: u64) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        let len = inner.inode(*file)?.now.len() as u64;
        if inner.used() + bytes.saturating_sub(len) > inner.capacity {
            return Err(ErrorKind::StorageFull.into());
        }
        let inode = inner.inode(*file)?;
        if len < bytes {
            inode.now.resize(bytes as usize, 0);
            inode.unsynced.push((bytes as usize, Vec::new()));
        }
        Ok(())
    }

    fn read_at(&self, file: &u64, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.lock();
        inner.check()?;
        // Short reads happen.
        let bytes = &inner.inode(*file)?.now;
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buffer.len());
        let n = if n > 4096 { n - n / 3 } else { n };
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&self, file: &u64, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = self.lock();
        inner.check()?;
        let result = inner.change();
        let failed = result.is_err();
        let (used, capacity) = (inner.used(), inner.capacity);
        let inode = inner.inode(*file)?;
        let end = offset + bytes.len() as u64;
        if used + end.saturating_sub(inode.now.len() as u64) > capacity {
            return Err(ErrorKind::StorageFull.into());
        }
        // A write that fails may have done a part.
        let part = if failed { bytes.len() / 2 } else { bytes.len() };
        put(&mut inode.now, offset as usize, &bytes[..part]);
        inode.unsynced.push((offset as usize, bytes[..part].to_vec()));
        inner.written += part as u64;
        result
    }

    fn sync(&self, file: &u64) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        inner.syncs += 1;
        if inner.fail_sync == Some(inner.syncs) {
            return Err(io::Error::other("a sync that failed"));
        }
        let inode = inner.inode(*file)?;
        inode.synced.clone_from(&inode.now);
        inode.unsynced.clear();
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        inner.synced_names = inner.names.clone();
        inner.unsynced_ops.clear();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        inner.names.remove(name).ok_or(ErrorKind::NotFound)?;
        inner.unsynced_ops.push(DirectoryOp::Unlink(name.to_owned()));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        let inode = inner.names.remove(from).ok_or(ErrorKind::NotFound)?;
        inner.names.insert(to.to_owned(), inode);
        let op = DirectoryOp::Rename(from.to_owned(), to.to_owned(), inode);
        inner.unsynced_ops.push(op);
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let inner = self.lock();
        Ok(inner.capacity.saturating_sub(inner.used()))
    }
}
