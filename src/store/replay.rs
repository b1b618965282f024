//! Reading a log from its oldest segment to its end, whatever state it is in.
//!
//! May use: the disk, batches, the index. Changes nothing on disk. Invariants: no batch is applied
//! that is not whole; what stands behind a hole is applied only if the hole is damage, that is if
//! some batch says that what is gone was synced; and then the hole is listed.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use super::batch::{BatchHeader, HEADER_BYTES, HeaderError, SegmentHeader};
use super::batch::{batch_at, find_batch, seed};
use super::damage::{Damage, Hole};
use super::disk::{Disk, read_exact};
use super::queue::Place;
use super::state::{State, segment_name, segment_number};
use super::stored::Stored;
use super::wire::Reader;

/// More segments than any log has.
const SEGMENTS_MAX: u32 = 1 << 20;

/// Why a log cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The disk fails.
    #[error("{what}: {source}")]
    Io {
        /// what was tried
        what: String,
        /// why it failed
        source: io::Error,
    },
    /// A newer program wrote it.
    #[error("segment {segment} has format version {version}, newer than this program knows")]
    Newer {
        /// where
        segment: u32,
        /// which
        version: u32,
    },
    /// A file of another log is among these.
    #[error("segment {segment} belongs to another log")]
    Foreign {
        /// which
        segment: u32,
    },
    /// Two files of one segment, or a renamed one.
    #[error("the file of segment {segment} is a copy of segment {says}")]
    Duplicate {
        /// by its name
        segment: u32,
        /// by its header
        says: u32,
    },
    /// Nothing says which log this is.
    #[error("no segment has a readable header")]
    Unreadable,
    /// Something that was synced is gone, and `on_damage` is `refuse`.
    #[error("the log is damaged: {0}")]
    Damaged(Box<Damage>),
}

pub(super) fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> OpenError {
    let what = what.into();
    move |source| OpenError::Io { what, source }
}

/// A segment's file.
pub(super) struct SegmentFile<F> {
    pub(super) number: u32,
    pub(super) file: Arc<F>,
    pub(super) bytes: u64,
    pub(super) header_is_good: bool,
    /// of an older version than is written
    pub(super) is_old: bool,
}

/// Where the log stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// in the list of segments
    pub(super) at: usize,
    pub(super) offset: usize,
}

/// A log while it is read, and when it was.
pub(super) struct Replay<D: Disk> {
    disk: Arc<D>,
    /// by number; those that are not needed are left out
    pub(super) segments: Vec<SegmentFile<D::File>>,
    /// numbers of those
    pub(super) unneeded: Vec<u32>,
    pub(super) id: u128,
    pub(super) oldest: u32,
    pub(super) state: State<D::File>,
    /// the last batch that counts
    pub(super) last: BatchHeader,
    /// the highest number that is known to have been synced
    pub(super) synced: u64,
    /// where the next batch goes
    pub(super) tail: Position,
    /// whole batches stand behind the tail that do not count
    pub(super) cut: bool,
    /// the last record was `Closed`
    pub(super) closed: bool,
    pub(super) damage: Damage,
    /// the segment that was to follow and is not there
    pub(super) missing_next: Option<u32>,
    accepted: Vec<(u64, u64)>,
    accepted_segments: Vec<u32>,
    started: bool,
    /// the segment that is in memory
    loaded: (usize, Vec<u8>),
}

/// What was found behind a place where no batch stands.
struct Ahead {
    position: Position,
    number: u64,
    /// the highest synced mark from there to the end of the log
    synced: u64,
}

impl<D: Disk> Replay<D> {
    /// Looks at all files. `None`: there is no log.
    pub(super) fn new(disk: Arc<D>, hash_seed: u64) -> Result<Option<Self>, OpenError> {
        let files = disk.list().map_err(io_error("listing the log's files"))?;
        let mut numbers: Vec<_> =
            files.iter().filter_map(|(name, len)| Some((segment_number(name)?, *len))).collect();
        numbers.sort_unstable();
        if numbers.is_empty() {
            return Ok(None);
        }
        let mut replay = Self {
            disk,
            segments: Vec::new(),
            unneeded: Vec::new(),
            id: 0,
            oldest: 0,
            state: State::new(hash_seed),
            last: BatchHeader::default(),
            synced: 0,
            tail: Position::default(),
            cut: false,
            closed: false,
            damage: Damage::default(),
            missing_next: None,
            accepted: Vec::new(),
            accepted_segments: Vec::new(),
            started: false,
            loaded: (usize::MAX, Vec::new()),
        };
        let mut id = None;
        for (number, bytes) in numbers {
            let segment = replay.open_segment(number, bytes, &mut id)?;
            replay.segments.push(segment);
        }
        replay.id = id.ok_or(OpenError::Unreadable)?;
        replay.find_oldest()?;
        Ok(Some(replay))
    }

    fn open_segment(
        &self,
        number: u32,
        bytes: u64,
        id: &mut Option<u128>,
    ) -> Result<SegmentFile<D::File>, OpenError> {
        let name = segment_name(number);
        let file = self.disk.open(&name).map_err(io_error(format!("opening {name}")))?;
        let mut header = [0; HEADER_BYTES];
        let whole = bytes >= HEADER_BYTES as u64;
        if whole {
            let read = read_exact(&*self.disk, &file, &mut header, 0);
            read.map_err(io_error(format!("reading {name}")))?;
        }
        let header_is_good = match SegmentHeader::parse(&header) {
            Ok(header) if header.segment != number => {
                return Err(OpenError::Duplicate { segment: number, says: header.segment });
            }
            Ok(header) if id.is_some_and(|id| id != header.log) => {
                return Err(OpenError::Foreign { segment: number });
            }
            Ok(header) => {
                *id = Some(header.log);
                true
            }
            Err(HeaderError::Newer(version)) => {
                return Err(OpenError::Newer { segment: number, version });
            }
            Err(HeaderError::Damaged) => false,
        };
        let is_old = header_is_good && SegmentHeader::is_old(&header);
        Ok(SegmentFile { number, file: Arc::new(file), bytes, header_is_good, is_old })
    }

    /// Finds the oldest segment that is needed, from what the newest batches say, and what lacks
    /// from there on.
    fn find_oldest(&mut self) -> Result<(), OpenError> {
        let mut oldest = 0;
        for at in (0..self.segments.len()).rev() {
            self.load(at)?;
            let mut offset = HEADER_BYTES;
            while let Some((found, header)) = find_batch(&self.loaded.1, offset, self.seed(at)) {
                oldest = oldest.max(header.oldest);
                self.synced = self.synced.max(header.synced);
                offset = found + header.len as usize;
            }
            if oldest > 0 {
                break;
            }
        }
        let newest = self.segments.last().map_or(0, |segment| segment.number);
        let first = self.segments.first().map_or(0, |segment| segment.number);
        self.oldest = if oldest == 0 { first } else { oldest.min(newest) };
        if newest - self.oldest > SEGMENTS_MAX {
            return Err(OpenError::Unreadable);
        }
        let oldest = self.oldest;
        let unneeded = self.segments.iter().map(|s| s.number).filter(|n| *n < oldest);
        self.unneeded = unneeded.collect();
        self.segments.retain(|segment| segment.number >= oldest);
        self.loaded = (usize::MAX, Vec::new());
        let there = |n: &u32| self.segments.binary_search_by_key(n, |s| s.number).is_ok();
        self.damage.missing_segments = (oldest..=newest).filter(|n| !there(n)).collect();
        let bad = self.segments.iter().filter(|segment| !segment.header_is_good);
        self.damage.bad_headers = bad.map(|segment| segment.number).collect();
        Ok(())
    }

    fn seed(&self, at: usize) -> u32 {
        seed(self.id, self.segments[at].number)
    }

    fn read(&self, at: usize) -> Result<Vec<u8>, OpenError> {
        let segment = &self.segments[at];
        let len = usize::try_from(segment.bytes).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(u32::MAX as usize)];
        let read = read_exact(&*self.disk, &segment.file, &mut bytes, 0);
        read.map_err(io_error(format!("reading {}", segment_name(segment.number))))?;
        Ok(bytes)
    }

    fn load(&mut self, at: usize) -> Result<(), OpenError> {
        if self.loaded.0 != at {
            self.loaded = (usize::MAX, Vec::new()); // one at a time
            self.loaded = (at, self.read(at)?);
        }
        Ok(())
    }

    /// The bytes of the segment in which the log ends, after `run`.
    pub(super) fn tail_bytes(&mut self) -> Result<&[u8], OpenError> {
        self.load(self.tail.at)?;
        Ok(self.loaded.1.get(self.tail.offset..).unwrap_or_default())
    }

    /// Applies everything that counts.
    pub(super) fn run(&mut self) -> Result<(), OpenError> {
        let mut position = Position { at: 0, offset: HEADER_BYTES };
        if self.damage.missing_segments.first() == Some(&self.oldest) {
            self.state.index.count_losses(true).hole(None);
        }
        while position.at < self.segments.len() {
            let begins = self.loaded.0 != position.at;
            self.load(position.at)?;
            // What was written past the system's cache comes from the disk, while this is applied.
            if begins && let Some(next) = self.segments.get(position.at + 1) {
                self.disk.read_ahead(&next.file);
            }
            if self.step(&mut position, false) {
                continue;
            }
            let Some(ahead) = self.look_ahead(position)? else { break };
            let expected = self.expected().unwrap_or(ahead.number.saturating_sub(1));
            self.synced = self.synced.max(ahead.synced);
            if expected > self.synced {
                self.cut = true;
                break;
            }
            self.note_hole(position, expected, ahead.number);
            position = ahead.position;
            self.load(position.at)?;
            if !self.step(&mut position, true) {
                break; // it was whole just now
            }
        }
        self.tail = position;
        self.finish();
        Ok(())
    }

    /// The number of the next batch; `None` at the beginning of a log that has lost its oldest
    /// segments to the cleaner.
    fn expected(&self) -> Option<u64> {
        if self.started {
            return Some(self.last.number + 1);
        }
        (self.segments[0].number == 1).then_some(1)
    }

    /// Applies the batch at `position` and goes behind it. `anyway`: even if it does not follow.
    fn step(&mut self, position: &mut Position, anyway: bool) -> bool {
        let seed = self.seed(position.at);
        let number = self.segments[position.at].number;
        let Some((header, records)) = whole_batch(&self.loaded.1, position.offset, seed) else {
            return false;
        };
        let follows = self.expected().is_none_or(|expected| header.number == expected)
            && (header.chain == self.last.crc || !self.started && number > 1);
        if !follows && !anyway {
            return false;
        }
        if anyway {
            let is_first = !self.started && self.segments[0].number == 1;
            let before = if is_first { Some(0) } else { self.last.entries };
            let losses = self.state.index.count_losses(!self.started && !is_first);
            losses.hole(written_before(&header, records, before));
        }
        let index = &mut self.state.index;
        let (mut next, known) = (None, self.accepted.len());
        self.closed = false;
        let mut r = Reader::new(records);
        let start = position.offset + header.bytes();
        while !r.is_empty() {
            let left = r.left();
            let Ok(stored) = Stored::read(&mut r) else { break };
            let offset = (start + records.len() - left) as u32;
            index.apply(&stored, Place { segment: number, offset }, left - r.left());
            match stored {
                Stored::End { next: n } if Some(n) == number.checked_add(1) => next = Some(n),
                Stored::Closed => self.closed = true,
                Stored::Accepted { first, last } => self.accepted.push((first, last)),
                Stored::AcceptedSegment { segment } => self.accepted_segments.push(segment),
                _ => {}
            }
        }
        index.end_batch();
        position.offset += header.len as usize;
        if let Some(usage) = index.segments.get_mut(number) {
            usage.used = position.offset as u64;
        }
        if self.accepted.len() > known && self.damage.holes.iter().all(|hole| self.is_known(hole)) {
            self.state.index.losses = None;
        }
        self.started = true;
        self.last = header;
        self.synced = self.synced.max(header.synced);
        if let Some(next) = next {
            *position = Position { at: position.at + 1, offset: HEADER_BYTES };
            if position.at == self.segments.len() {
                self.missing_next = Some(next);
            }
        }
        true
    }

    /// Searches for the next batch from `from` on, to the end of the log.
    fn look_ahead(&mut self, from: Position) -> Result<Option<Ahead>, OpenError> {
        let mut found: Option<Ahead> = None;
        let mut offset = from.offset;
        for at in from.at..self.segments.len() {
            self.load(at)?; // one at a time: it is the most that a start needs of memory
            let bytes = &self.loaded.1;
            let seed = self.seed(at);
            while let Some((start, header)) = find_batch(bytes, offset, seed) {
                let whole = whole_batch(bytes, start, seed).is_some();
                offset = start + if whole { header.len as usize } else { 1 };
                if !whole || self.started && header.number <= self.last.number {
                    continue;
                }
                let position = Position { at, offset: start };
                let found =
                    found.get_or_insert(Ahead { position, number: header.number, synced: 0 });
                found.synced = found.synced.max(header.synced);
            }
            offset = HEADER_BYTES;
        }
        Ok(found)
    }

    fn note_hole(&mut self, from: Position, first_batch: u64, found: u64) {
        let last_batch = found.saturating_sub(1).max(first_batch);
        let (segment, offset) = (self.segments[from.at].number, from.offset as u32);
        self.damage.holes.push(Hole { segment, offset, first_batch, last_batch });
    }

    /// Whether the hole was accepted.
    fn is_known(&self, hole: &Hole) -> bool {
        let range = (hole.first_batch, hole.last_batch);
        self.accepted.iter().any(|&(first, last)| first <= range.0 && range.1 <= last)
    }

    /// Judges the end, and forgets what is known already.
    fn finish(&mut self) {
        let oldest = self.segments[0].number;
        if !self.started && oldest > 1 {
            // The cleaner frees a segment only after a batch in a later one is safe.
            let hole = Hole { segment: oldest, offset: 0, first_batch: 0, last_batch: 0 };
            self.damage.holes.push(hole);
            self.state.index.count_losses(true).hole(None);
        }
        if self.damage.missing_segments.first() == Some(&self.oldest) {
            let last_batch = self.last.number.saturating_sub(1);
            let hole = Hole { segment: self.oldest, offset: 0, first_batch: 0, last_batch };
            self.damage.holes.insert(0, hole);
        }
        let mut holes = std::mem::take(&mut self.damage.holes);
        let all = holes.len();
        holes.retain(|hole| !self.is_known(hole));
        self.damage.holes = holes;
        if all > 0 && self.damage.holes.is_empty() {
            self.state.index.losses = None;
        }
        let known = std::mem::take(&mut self.accepted_segments);
        self.damage.missing_segments.retain(|segment| !known.contains(segment));
        if let Some(missing) = self.missing_next {
            self.damage.missing_segments.push(missing);
            self.state.index.count_losses(false).hole(None);
        }
    }
}

/// The batch at `at`, if it and all its records are whole.
fn whole_batch(segment: &[u8], at: usize, seed: u32) -> Option<(BatchHeader, &[u8])> {
    let (header, records) = batch_at(segment, at, seed)?;
    let mut r = Reader::new(records);
    let mut count = 0_u32;
    while !r.is_empty() {
        Stored::read(&mut r).ok()?;
        count += 1;
    }
    (count == header.records).then_some((header, records))
}

/// How many entries were written between a batch that had `before` and this one.
fn written_before(header: &BatchHeader, records: &[u8], before: Option<u32>) -> Option<u64> {
    let (mut own, mut r) = (0_u32, Reader::new(records));
    while let Ok(stored) = Stored::read(&mut r) {
        own += u32::from(matches!(stored, Stored::Queued(entry) if !entry.copied));
    }
    let (all, before) = header.entries.zip(before)?;
    Some(all.wrapping_sub(own).wrapping_sub(before).into())
}
