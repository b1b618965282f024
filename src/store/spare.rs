//! The spare segment: made ahead, so that going on into it costs no more than a batch, and so that
//! there is room for what frees when the disk is full.
//!
//! May use: the disk, the log. Invariants: a file has a segment's name only with that segment's
//! header in it, synced; its name is synced too before a batch is written to it.
//!
//! A new spare is filled with zeros, which halves the time of a sync in it: then no sync has to
//! write the file system's own records. But that doubles what is written, and each slice of zeros
//! has a sync of its own: so it is done only between batches, when nobody waits, and as long as the
//! zeros are few compared with the batches; a segment that the cleaner freed is used again as it
//! is. What such a file still holds of its earlier life cannot be taken for batches of
//! its new one: their checksums begin with the segment's number (`record.rs`).

use std::io;
use std::sync::Arc;

use super::batch::{HEADER_BYTES, SegmentHeader};
use super::disk::Disk;
use super::log::{Log, LogError, is_full};
use super::state::{Shared, segment_name};
use crate::broker::Time;

/// The name of a file that is not a segment yet.
pub(super) const SPARE_NAME: &str = "spare";
/// Zeros per call: a few milliseconds.
const SLICE_BYTES: u64 = 256 << 10;
/// What stays free on the disk for others.
const DISK_MARGIN_BYTES: u64 = 1 << 20;

/// Where so much more is free than is needed, nobody takes it in a moment,
const AMPLE_BYTES: u64 = 1 << 30;
/// and that is for so long, in ms.
const BELIEVED_MS: u64 = 50;

/// See the module.
pub(super) enum Spare<F> {
    None,
    /// Has its room, but not its name; zeros reach up to `done`.
    Filling {
        file: F,
        bytes: u64,
        done: u64,
    },
    Ready {
        file: Arc<F>,
        bytes: u64,
    },
}

impl<F> Spare<F> {
    pub(super) fn exists(&self) -> bool {
        !matches!(self, Self::None)
    }

    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Filling { bytes, .. } | Self::Ready { bytes, .. } => *bytes,
        }
    }
}

impl<D: Disk, S: Shared<D::File>> Log<D, S> {
    /// Whether the files may take so many bytes more, if all may take `max`.
    pub(super) fn may_grow(&self, bytes: u64, max: u64) -> bool {
        self.counts().log_bytes.saturating_add(bytes) <= max
    }

    /// Whether the disk has so many bytes left. It is asked at each batch, but where it had much
    /// more a moment ago.
    pub(super) fn disk_has(&self, bytes: u64) -> bool {
        let needed = bytes.saturating_add(DISK_MARGIN_BYTES);
        if self.free_lately.get().is_some_and(|(free, _)| free >= needed + AMPLE_BYTES) {
            return true;
        }
        let free = self.disk.free_bytes();
        self.free_lately.set(free.as_ref().ok().map(|free| (*free, self.now)));
        free.is_ok_and(|free| free >= needed)
    }

    /// What the disk had before this moment is not believed.
    pub(super) fn look_at_clock(&mut self, now: Time) {
        self.now = now;
        if self.free_lately.get().is_some_and(|(_, at)| now.ms_since(at) >= BELIEVED_MS) {
            self.free_lately.set(None);
        }
    }

    /// Goes on with making the spare. Returns whether there is more to do.
    pub(super) fn prepare_spare(&mut self) -> Result<bool, LogError> {
        match std::mem::replace(&mut self.spare, Spare::None) {
            Spare::None => {
                let bytes = self.options.segment_bytes;
                if !self.may_grow(bytes, self.options.log_bytes_max) || !self.disk_has(bytes) {
                    return Ok(false);
                }
                let begun = self.begin_spare(bytes);
                match self.or_full(begun) {
                    Err(LogError::Full) => Ok(false),
                    result => result.map(|()| true),
                }
            }
            Spare::Filling { file, bytes, done } => {
                // It has to be ready before it is needed.
                let needed_soon = self.busy && self.current.tail > self.current.bytes / 2;
                if done >= bytes || needed_soon || !self.may_write_zeros() {
                    self.finish_spare(file, bytes)?;
                    return Ok(false);
                }
                if self.busy {
                    self.spare = Spare::Filling { file, bytes, done };
                    return Ok(true);
                }
                let until = bytes.min(done + SLICE_BYTES);
                let written = self.disk.write_zeros(&file, done, until);
                let written = written.and_then(|()| self.disk.sync(&file));
                match written {
                    // It has its room: a disk that has none for the zeros will say so later.
                    Err(error) if is_full(&error) => {
                        self.spare = Spare::Filling { file, bytes, done: bytes };
                    }
                    result => {
                        self.or_poison(result)?;
                        self.counts.zero_bytes += until - done;
                        self.spare = Spare::Filling { file, bytes, done: until };
                    }
                }
                Ok(true)
            }
            ready => {
                self.spare = ready;
                Ok(false)
            }
        }
    }

    /// Whether nothing is to be done but to write zeros: that can wait until it is quiet.
    pub fn only_fills(&self) -> bool {
        matches!(self.spare, Spare::Filling { .. }) && !self.cleans
    }

    fn may_write_zeros(&self) -> bool {
        let few = self.options.segment_bytes;
        self.counts.zero_bytes < few + self.counts.batch_bytes / 16
    }

    fn begin_spare(&mut self, bytes: u64) -> io::Result<()> {
        let file = match self.disk.create(SPARE_NAME) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.disk.remove(SPARE_NAME)?;
                self.disk.create(SPARE_NAME)?
            }
            result => result?,
        };
        let room = self.disk.allocate(&file, bytes).and_then(|()| self.write_header(&file));
        if let Err(error) = room {
            self.disk.remove(SPARE_NAME)?;
            return Err(error);
        }
        self.spare = Spare::Filling { file, bytes, done: HEADER_BYTES as u64 };
        Ok(())
    }

    fn write_header(&self, file: &D::File) -> io::Result<()> {
        let header = SegmentHeader { segment: self.current.number + 1, log: self.id };
        self.disk.write_at(file, &header.encode(), 0)
    }

    fn finish_spare(&mut self, file: D::File, bytes: u64) -> Result<(), LogError> {
        let name = segment_name(self.current.number + 1);
        let synced = self.disk.sync(&file);
        let synced = synced.and_then(|()| self.disk.rename(SPARE_NAME, &name));
        let synced = synced.and_then(|()| self.disk.sync_directory());
        self.counts.syncs += 2;
        self.or_poison(synced)?;
        self.spare = Spare::Ready { file: Arc::new(file), bytes };
        Ok(())
    }

    /// The spare, ready, with room for `bytes`.
    pub(super) fn take_spare(&mut self, bytes: u64) -> Result<(Arc<D::File>, u64), LogError> {
        loop {
            match std::mem::replace(&mut self.spare, Spare::None) {
                Spare::None => {
                    let begun = self.begin_spare(bytes.max(self.options.segment_bytes));
                    self.or_full(begun)?;
                }
                Spare::Filling { file, bytes, .. } => self.finish_spare(file, bytes)?,
                Spare::Ready { file, bytes: there } if there >= bytes => return Ok((file, there)),
                Spare::Ready { file, bytes: there } => {
                    let grown = self.disk.allocate(&file, bytes);
                    let grown = grown.and_then(|()| self.disk.sync(&file));
                    if grown.is_err() {
                        self.spare = Spare::Ready { file: Arc::clone(&file), bytes: there };
                    }
                    self.or_full(grown)?;
                    return Ok((file, bytes));
                }
            }
        }
    }

    /// Makes the file of a segment that is not needed any more the spare, or removes it.
    pub(super) fn free_segment(&mut self, number: u32) -> Result<(), LogError> {
        let Some(file) = self.shared.with(|state| state.files.remove(&number)) else {
            return Ok(());
        };
        self.counts.segments_freed += 1;
        let name = segment_name(number);
        let wanted = !self.spare.exists() && file.bytes == self.options.segment_bytes;
        // Who reads in it holds it: then it is not written anew.
        match Arc::try_unwrap(file.file) {
            Ok(only) if wanted => {
                let renamed = self.disk.rename(&name, SPARE_NAME);
                let renamed = renamed.and_then(|()| self.disk.sync_directory());
                let renamed = renamed.and_then(|()| self.write_header(&only));
                self.or_poison(renamed)?;
                self.finish_spare(only, file.bytes)
            }
            _ => {
                let removed = self.disk.remove(&name);
                self.or_poison(removed)
            }
        }
    }
}
