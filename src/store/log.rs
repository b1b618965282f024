//! The log itself: batches are appended to segments, one write and one sync each.
//!
//! May use: the disk, the encoder, the index. One thread drives it. Invariants: a batch counts, in
//! the index and for who asked, only after it was written and, if asked for, synced; when the disk
//! is full nothing of the batch counts and the next one is written where this one would have stood;
//! after any other error nothing is ever written again.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use thiserror::Error;

use super::batch::{BATCH_HEADER_BYTES, BatchHeader, HEADER_BYTES, seed};
use super::counts::{LEVELS, Pace};
use super::disk::Disk;
use super::encode::{Encoder, What};
use super::queue::Place;
use super::record::Record;
use super::spare::Spare;
use super::staging::Taken;
use super::state::Shared;
use super::stored::{Numbers, Stored};
use super::wire::Reader;
use crate::broker::{Seq, ShardId, Time};

/// How the log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// length of a segment; a larger batch gets a longer one
    pub segment_bytes: u64,
    /// all files together at most, five segments at least; what does not fit is refused as when
    /// the disk is full. The cleaner may take a segment more for a while
    pub log_bytes_max: u64,
    /// a random number: the id of a log that is made anew
    pub log_id: u128,
    /// a random number, for hashers
    pub hash_seed: u64,
    /// what to do about damage
    pub on_damage: super::OnDamage,
}

impl LogOptions {
    /// Segments of 16 MiB, no bound, refuse to start after damage.
    pub fn new(log_id: u128, hash_seed: u64) -> Self {
        Self {
            segment_bytes: 16 << 20,
            log_bytes_max: u64::MAX,
            log_id,
            hash_seed,
            on_damage: super::OnDamage::Refuse,
        }
    }
}

/// What time it is: on the process's clock, and on the wall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// monotonic
    pub now: Time,
    /// milliseconds since 1970
    pub wall_ms: u64,
}

/// Why nothing was committed.
#[derive(Debug, Error)]
pub enum LogError {
    /// There is no room. Nothing of the batch counts; with room, a later commit works.
    #[error("the disk is full, or the log as large as it may be")]
    Full,
    /// An earlier write or sync failed: what is on disk is not known any more.
    #[error("the log is poisoned: {0}")]
    Poisoned(String),
    /// A write or sync failed. From here on the log is poisoned.
    #[error("the log cannot be written: {0}")]
    Failed(io::Error),
}

/// Whether a commit waits until the batch is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// It does: the policy `commit`.
    Now,
    /// It does not: `Log::sync` follows after a while (`interval_ms`), or never (`os`).
    Later,
}

/// What was committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// up to which number each shard's records are: for `Input::Committed`
    pub upto: Vec<(ShardId, Seq)>,
    /// records behind those that are committed too, ahead of some that wait: for `Input::Void`
    pub ahead: Vec<(ShardId, Seq)>,
    /// bytes written
    pub bytes: usize,
    /// records written, messages included, counts left out
    pub records: u32,
}

/// What was done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// batches written
    pub batches: u64,
    /// bytes of batches, those of the cleaner included
    pub batch_bytes: u64,
    /// bytes of topics, properties and payloads in them, each message once
    pub content_bytes: u64,
    /// bytes that the cleaner copied
    pub copied_bytes: u64,
    /// zeros that were written ahead
    pub zero_bytes: u64,
    /// syncs of data
    pub syncs: u64,
    /// segments that were removed or used again
    pub segments_freed: u64,
    /// length of all files
    pub log_bytes: u64,
}

/// The segment that is written to.
pub(super) struct Current<F> {
    pub(super) number: u32,
    pub(super) file: Arc<F>,
    pub(super) bytes: u64,
    pub(super) tail: u64,
}

/// What a batch is for: so many segments have to stay in reserve behind it. What is kept leaves
/// room for what frees; that leaves room for the cleaner, which can then always copy the oldest
/// segment behind the others and so gain what is dead in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// what an opened log, or a repaired one, has to say: whatever its files may take
    Opening,
    Cleaning,
    Freeing,
    Keeping,
}

/// The oldest, the one that is written to, the next one, and the reserve (see `Use`).
const SEGMENTS_MIN: u64 = 5;

/// Messages are touched so many records before they are encoded.
const TOUCHED_AHEAD: usize = 4;

/// So much room is seen to ahead.
const AHEAD_BYTES: u64 = 4 << 20;

/// What a segment's last batch takes, the one that says where the log goes on.
pub(super) const END_BYTES: u64 = BATCH_HEADER_BYTES as u64 + 8;

/// See the module.
pub struct Log<D: Disk, S: Shared<D::File>> {
    pub(super) disk: Arc<D>,
    pub(super) shared: S,
    pub(super) options: LogOptions,
    pub(super) id: u128,
    pub(super) current: Current<D::File>,
    pub(super) spare: Spare<D::File>,
    /// the last batch: number and CRC
    pub(super) last: (u64, u32),
    /// all batches up to this one are synced
    pub(super) synced: u64,
    /// entries that were ever written, modulo 2^32
    pub(super) entries: u32,
    /// when sessions are counted
    pub(super) pace: Pace,
    /// what batches say is the oldest segment that is needed
    pub(super) oldest: u32,
    /// the oldest segment that there is
    pub(super) first: u32,
    /// how far the cleaner is in the oldest segment
    pub(super) cleaned: (u32, u64),
    pub(super) encoder: Encoder,
    pub(super) poisoned: Option<String>,
    pub(super) full: bool,
    /// all files together at most, when what is written frees
    pub(super) freeing_bytes_max: u64,
    /// bytes of the batch for which there was no room
    pub(super) refused: u64,
    /// a batch was committed since `maintain` was called last
    pub(super) busy: bool,
    /// there is more to clean
    pub(super) cleans: bool,
    pub(super) counts: LogCounts,
    /// how many bytes the disk had free, and when that was
    pub(super) free_lately: Cell<Option<(u64, Time)>>,
    /// when something was asked for last
    pub(super) now: Time,
}

impl<D: Disk, S: Shared<D::File>> Log<D, S> {
    /// Writes what was taken as one batch, and syncs it. When this returns without error, all of it
    /// is kept, and the index has it.
    ///
    /// On [`LogError::Full`], give it back (`Staging::put_back`), and commit what frees
    /// (`Staging::take_freeing`).
    ///
    /// # Errors
    /// If there is no room, or the disk fails.
    pub fn commit(
        &mut self,
        taken: &Taken,
        clock: Clock,
        sync: Sync,
    ) -> Result<Committed, LogError> {
        self.check_poison()?;
        self.look_at_clock(clock.now);
        self.encode(taken, clock);
        let (upto, ahead) = (taken.upto.clone(), taken.ahead.clone());
        let mut committed = Committed { upto, ahead, ..Committed::default() };
        if self.encoder.records > 0 {
            self.busy = true;
            let counts = u32::from(self.encoder.counts.is_some());
            committed.records = self.encoder.records - counts;
            let use_ = if taken.frees() { Use::Freeing } else { Use::Keeping };
            committed.bytes = self.append(clock, use_)?;
            self.counts.content_bytes += self.encoder.content_bytes;
        }
        if sync == Sync::Now {
            self.sync()?;
        }
        self.apply_last();
        Ok(committed)
    }

    /// Makes everything safe that was committed without a sync.
    ///
    /// # Errors
    /// If the disk fails: the log is poisoned.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.check_poison()?;
        if self.synced < self.last.0 {
            let result = self.disk.sync(&self.current.file);
            self.counts.syncs += 1;
            self.or_poison(result)?;
            self.synced = self.last.0;
        }
        Ok(())
    }

    /// Says in the log that it ends here, so that the next start knows that nothing is missing.
    ///
    /// # Errors
    /// If there is no room, or the disk fails. The log is as good as without it.
    pub fn close(mut self, clock: Clock) -> Result<(), LogError> {
        self.sync()?;
        self.begin_batch();
        self.count(LEVELS - 1);
        if !self.fits(self.encoder.len() as u64 + END_BYTES) {
            self.begin_batch(); // it is not worth a segment
        }
        self.encoder.put(&Stored::Closed);
        self.append(clock, Use::Cleaning)?;
        self.sync()
    }

    /// What was done since the start.
    pub fn counts(&self) -> LogCounts {
        let current = self.current.bytes + self.spare.bytes();
        let others = self.shared.with(|state| {
            let (number, files) = (self.current.number, &state.files);
            files.iter().filter(|(n, _)| **n != number).map(|(_, file)| file.bytes).sum::<u64>()
        });
        LogCounts { log_bytes: current + others, ..self.counts }
    }

    /// All files together may take so many bytes from now on, or five segments.
    pub fn set_log_bytes_max(&mut self, bytes: u64) {
        let bytes = bytes.max(SEGMENTS_MIN * self.options.segment_bytes);
        self.options.log_bytes_max = bytes;
        // One that is as large already, or larger, has to grow to become smaller.
        let (there, segment_bytes) = (self.counts().log_bytes, self.options.segment_bytes);
        self.freeing_bytes_max = bytes.max(there + 2 * segment_bytes);
    }

    /// The log's own random number, the same for as long as it lives.
    pub fn id(&self) -> u128 {
        self.id
    }

    /// Whether there is room for more than what is probably staged now. To be asked between
    /// batches: who is told in time that there is none has nothing under way that has to wait for
    /// room.
    pub fn has_room(&self) -> bool {
        self.has_reserve(AHEAD_BYTES.min(self.options.segment_bytes / 2), Use::Keeping)
    }

    /// Whether memory is kept for large batches.
    pub fn holds_room(&self) -> bool {
        self.encoder.holds_room()
    }

    /// No batch comes for now: memory that is kept for large ones goes. To be called between
    /// batches.
    pub fn let_go(&mut self) {
        self.encoder.let_go();
    }

    /// Whether there was no room when it was last needed.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Why nothing is written any more.
    pub fn poison(&self) -> Option<&str> {
        self.poisoned.as_deref()
    }

    pub(super) fn check_poison(&self) -> Result<(), LogError> {
        self.poisoned.clone().map_or(Ok(()), |why| Err(LogError::Poisoned(why)))
    }

    pub(super) fn or_poison<T>(&mut self, result: io::Result<T>) -> Result<T, LogError> {
        result.map_err(|error| {
            self.poisoned = Some(error.to_string());
            LogError::Failed(error)
        })
    }

    /// `StorageFull` is no poison.
    pub(super) fn or_full<T>(&mut self, result: io::Result<T>) -> Result<T, LogError> {
        match result {
            Err(error) if is_full(&error) => {
                self.full = true;
                Err(LogError::Full)
            }
            result => self.or_poison(result),
        }
    }

    /// Puts counts in front of an empty batch.
    fn count(&mut self, level: usize) {
        let Self { encoder, shared, .. } = self;
        shared.with(|state| encoder.add_counts(level, &state.index));
    }

    /// Empties the encoder for a batch.
    pub(super) fn begin_batch(&mut self) {
        self.encoder.begin(self.current.tail);
    }

    fn encode(&mut self, taken: &Taken, clock: Clock) {
        self.begin_batch();
        let Self { encoder, shared, .. } = self;
        if !self.full && taken.records.iter().any(|staged| staged.record.is_some()) {
            let segment_bytes = self.options.segment_bytes;
            shared.with(|state| {
                if let Some(level) = self.pace.due(&state.index.uncounted, segment_bytes) {
                    encoder.add_counts(level, &state.index);
                }
            });
        }
        // In portions: the reader waits for the index meanwhile.
        for portion in taken.records.chunks(256) {
            shared.with(|state| {
                let time_ms = state.timeline.log_ms(clock.now);
                for (at, staged) in portion.iter().enumerate() {
                    // What another thread has written takes a while to come.
                    if let Some(Record::Queued { message, .. }) =
                        portion.get(at + TOUCHED_AHEAD).and_then(|staged| staged.record.as_ref())
                    {
                        std::hint::black_box(message.touch());
                    }
                    let Some(record) = &staged.record else { continue };
                    encoder.add(record, &state.index, state.timeline, time_ms);
                }
            });
        }
    }

    /// Writes the batch that the encoder holds.
    pub(super) fn append(&mut self, clock: Clock, use_: Use) -> Result<usize, LogError> {
        self.encoder.check();
        let need = self.encoder.len() as u64;
        self.make_room(need, use_, clock)?;
        let time_ms = self.shared.with(|state| state.timeline.log_ms(clock.now));
        let mut header = self.header(clock, time_ms);
        header.records = self.encoder.records;
        let entries = self.entries.wrapping_add(self.encoder.entries);
        header.entries = Some(entries);
        header.seal(self.encoder.batch(), seed(self.id, self.current.number));
        let Current { file, tail, .. } = &self.current;
        let (room, batch) = self.encoder.in_blocks();
        let written = self.disk.write_within(file, room, batch.clone(), *tail);
        self.encoder.end_at(batch.end);
        self.or_full(written)?;
        self.current.tail += need;
        self.last = (header.number, header.crc);
        self.entries = entries;
        self.pace.wrote(need, self.encoder.counts);
        self.counts.batches += 1;
        self.counts.batch_bytes += need;
        Ok(self.encoder.len())
    }

    fn header(&self, clock: Clock, time_ms: u64) -> BatchHeader {
        BatchHeader {
            number: self.last.0 + 1,
            synced: self.synced,
            time_ms,
            wall_ms: clock.wall_ms,
            oldest: self.oldest,
            chain: self.last.1,
            entries: Some(self.entries),
            ..BatchHeader::default()
        }
    }

    /// Lets the index take note of the batch that was appended last; the encoder still holds it.
    pub(super) fn apply_last(&mut self) {
        let Self { encoder, shared, current, pace, .. } = self;
        if encoder.records == 0 {
            return;
        }
        let (start, segment) = (current.tail - encoder.len() as u64, current.number);
        let place = |at: usize| Place { segment, offset: (start + at as u64) as u32 };
        let (notes, batch) = encoder.notes_and_batch();
        let mut at = BATCH_HEADER_BYTES;
        for portion in notes.chunks(256) {
            shared.with(|state| {
                for note in portion {
                    let end = note.end as usize;
                    let bytes = end - at;
                    match &note.what {
                        What::Delivery(delivery, between) => {
                            let between = *between as usize;
                            let places = [place(at), place(between)];
                            state.index.delivery(delivery, places, end - between);
                        }
                        What::Message(message) => state.index.message(message, place(at)),
                        What::Queued(entry) => state.index.queued(entry, place(at), bytes),
                        What::Other => {
                            // The encoder wrote it: it reads back.
                            if let Ok(stored) = Stored::read(&mut Reader::new(&batch[at..end])) {
                                state.index.apply(&stored, place(at), bytes);
                            }
                        }
                    }
                    at = end;
                }
            });
        }
        shared.with(|state| {
            state.index.end_batch();
            if let Some(level) = encoder.counts {
                pace.counted(level, &state.index.uncounted);
            }
            if let Some(usage) = state.index.segments.get_mut(current.number) {
                usage.used = current.tail;
            }
        });
        encoder.records = 0;
    }

    /// Whether a batch of `need` bytes fits behind the tail.
    fn fits(&self, need: u64) -> bool {
        // What is kept free: for the batch that ends the segment, and for those few, without
        // records, that let segments be removed when nothing else fits.
        let keep = if need > BATCH_HEADER_BYTES as u64 { 4 * END_BYTES } else { END_BYTES };
        let fresh = self.current.tail == HEADER_BYTES as u64;
        let numbers = if fresh { NUMBERS_BYTES } else { 0 };
        self.current.tail + numbers + need + keep <= self.current.bytes
    }

    /// Whether there is room for a batch of `need` bytes, and the reserve behind it.
    pub(super) fn has_reserve(&self, need: u64, use_: Use) -> bool {
        let segment_bytes = self.options.segment_bytes;
        let fits = self.fits(need);
        let next = if fits { 0 } else { segment_with(need).max(segment_bytes) };
        let grows = |reserve: u64| {
            (next + reserve * segment_bytes).checked_sub(self.spare.bytes()).filter(|n| *n > 0)
        };
        let max = self.options.log_bytes_max;
        // Places have 32 bits.
        (fits || next <= u64::from(u32::MAX))
            && match use_ {
                Use::Opening => true,
                // The disk itself says when it has none left; and a bit more than a segment may
                // have to be copied.
                Use::Cleaning => grows(0).is_none_or(|n| {
                    self.may_grow(n, self.freeing_bytes_max.saturating_add(segment_bytes))
                }),
                Use::Freeing => grows(1)
                    .is_none_or(|n| self.may_grow(n, self.freeing_bytes_max) && self.disk_has(n)),
                Use::Keeping => grows(2).is_none_or(|n| self.may_grow(n, max) && self.disk_has(n)),
            }
    }

    /// Sees to it that a batch of `need` bytes fits behind the tail: if not, the log goes on in the
    /// spare segment.
    fn make_room(&mut self, need: u64, use_: Use, clock: Clock) -> Result<(), LogError> {
        if !self.has_reserve(need, use_) {
            self.full = true;
            self.refused = need;
            return Err(LogError::Full);
        }
        if !self.fits(need) {
            let bytes = segment_with(need);
            let spare = self.take_spare(bytes)?;
            self.roll(spare, clock)?;
        }
        if self.current.tail == HEADER_BYTES as u64 {
            let numbers = self.shared.with(|state| state.index.numbers);
            let message = numbers.message.max(self.encoder.last_message);
            self.write_small(&Stored::Numbers(Numbers { message, ..numbers }), clock)?;
        }
        Ok(())
    }

    fn roll(&mut self, spare: (Arc<D::File>, u64), clock: Clock) -> Result<(), LogError> {
        let next = self.current.number + 1;
        let (file, bytes) = spare;
        match self.write_small(&Stored::End { next }, clock) {
            Err(LogError::Full) => {
                self.spare = Spare::Ready { file, bytes };
                return Err(LogError::Full);
            }
            result => result?,
        }
        self.sync()?;
        self.disk.rest(&self.current.file);
        self.shared.with(|state| {
            if let Some(usage) = state.index.segments.get_mut(self.current.number) {
                usage.used = self.current.tail;
            }
            state.add_file(next, Arc::clone(&file), bytes);
        });
        self.current = Current { number: next, file, bytes, tail: HEADER_BYTES as u64 };
        Ok(())
    }

    /// Writes a batch of one record that the index need not know.
    fn write_small(&mut self, stored: &Stored<'_>, clock: Clock) -> Result<(), LogError> {
        let time_ms = self.shared.with(|state| state.timeline.log_ms(clock.now));
        let mut header = self.header(clock, time_ms);
        header.records = 1;
        let mut bytes = vec![0; BATCH_HEADER_BYTES];
        stored.put(&mut bytes);
        header.seal(&mut bytes, seed(self.id, self.current.number));
        let written = self.disk.write_at(&self.current.file, &bytes, self.current.tail);
        self.or_full(written)?;
        self.current.tail += bytes.len() as u64;
        self.last = (header.number, header.crc);
        self.counts.batches += 1;
        self.counts.batch_bytes += bytes.len() as u64;
        Ok(())
    }
}

/// The length of a segment that holds a batch of `need` bytes.
fn segment_with(need: u64) -> u64 {
    HEADER_BYTES as u64 + NUMBERS_BYTES + need + 4 * END_BYTES
}

/// What the first batch of a segment takes.
pub(super) const NUMBERS_BYTES: u64 = BATCH_HEADER_BYTES as u64 + 40;

pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
