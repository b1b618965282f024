//! Looking at a log that nobody writes: verify, and a copy of what is in force; `dump.rs` has the
//! dump. For the command line.
//!
//! May use: everything of the store. Invariant: the log that is looked at is not changed.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::batch::{HEADER_BYTES, batch_at, find_batch, seed};
use super::clean::copy_live;
use super::disk::{Disk, read_exact};
use super::index::IndexCounts;
use super::log::{Clock, Log, LogError, LogOptions, Use};
use super::recover::{Recovered, open, recover};
use super::replay::{OpenError, Replay, SegmentFile, io_error};
use super::state::segment_name;
use super::stored::Stored;
use crate::broker::Time;

pub use super::dump::{DumpOptions, dump};

/// Bytes that a batch of a repaired log holds, about.
const REPAIR_BATCH_BYTES: usize = 1 << 20;

/// What `verify` found.
#[derive(Debug)]
pub struct Verified {
    /// how many files there are
    pub segments: usize,
    /// how much is in force
    pub counts: IndexCounts,
    /// all that a broker would get, and what is gone
    pub recovered: Recovered,
}

/// Reads the whole log and says what it holds and what is gone. `None`: there is none.
///
/// # Errors
/// If it is no log of this program's, or the disk fails. Damage is no error here.
pub fn verify<D: Disk>(disk: &Arc<D>, clock: Clock) -> Result<Option<Verified>, OpenError> {
    let Some(mut replay) = Replay::new(Arc::clone(disk), 0)? else { return Ok(None) };
    let (recovered, _) = recover(&mut replay, disk, clock)?;
    let counts = replay.state.counts();
    Ok(Some(Verified { segments: replay.segments.len(), counts, recovered }))
}

pub(super) fn read_segment<D: Disk>(
    disk: &D,
    segment: &SegmentFile<D::File>,
) -> Result<Vec<u8>, OpenError> {
    let mut bytes = vec![0; usize::try_from(segment.bytes).unwrap_or(usize::MAX)];
    let read = read_exact(disk, &segment.file, &mut bytes, 0);
    read.map_err(io_error(format!("reading {}", segment_name(segment.number))))?;
    Ok(bytes)
}

/// Why a log was not repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// One of the two cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new one cannot be written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The place for the new one is not empty.
    #[error("there is a log already")]
    Occupied,
}

/// Writes what is in force in the log on `from`, and can be read, as a new log on `to`, which has
/// to be empty. Returns what the old one held and what is gone.
///
/// # Errors
/// If the old one is no log of this program's, or a disk fails.
pub fn repair<D: Disk, E: Disk>(
    from: &Arc<D>,
    to: &Arc<E>,
    options: &LogOptions,
    clock: Clock,
) -> Result<Option<Recovered>, RepairError> {
    if Replay::new(Arc::clone(to), 0)?.is_some() {
        return Err(RepairError::Occupied);
    }
    let Some(mut replay) = Replay::new(Arc::clone(from), options.hash_seed)? else {
        return Ok(None);
    };
    let (recovered, _) = recover(&mut replay, from, clock)?;
    // The new log's clock goes on where the old one's ended.
    let then = Clock { now: Time(replay.last.time_ms), wall_ms: replay.last.wall_ms };
    let opened = open(Arc::clone(to), options, then)?;
    let mut log = Log::new(opened.resume, Rc::new(RefCell::new(opened.state)), then)?;
    log.encoder.last_message = replay.state.index.numbers.message;
    log.begin_batch();
    log.encoder.put(&Stored::Numbers(replay.state.index.numbers));
    for segment in &replay.segments {
        let bytes = read_segment(&**from, segment)?;
        let seed = seed(replay.id, segment.number);
        let mut at = HEADER_BYTES;
        while let Some((found, header)) = find_batch(&bytes, at, seed) {
            at = found + header.len as usize;
            let Some((_, records)) = batch_at(&bytes, found, seed) else { break };
            let start = (segment.number, (found + header.bytes()) as u64);
            copy_live(&replay.state.index, records, start, &mut log.encoder);
            if log.encoder.len() >= REPAIR_BATCH_BYTES {
                write(&mut log, then)?;
            }
        }
    }
    write(&mut log, then)?;
    log.close(then)?;
    Ok(Some(recovered))
}

fn write<D: Disk, S: super::state::Shared<D::File>>(
    log: &mut Log<D, S>,
    clock: Clock,
) -> Result<(), LogError> {
    if log.encoder.records > 0 {
        log.append(clock, Use::Opening)?;
        log.apply_last();
        log.begin_batch();
    }
    Ok(())
}
