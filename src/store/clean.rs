//! The cleaner: keeps the log in proportion to what is in force.
//!
//! May use: the log. Segments go strictly oldest first, so a record that ends something never goes
//! before what it ends. What is in force in the oldest one is copied behind everything else, a
//! portion per call; when nothing is left in force there, a batch says so, and then the file goes.
//!
//! Invariants: a segment goes only after a batch that declares it unneeded is synced, which is
//! written only after every batch that made it so is synced; copies change nothing in the index but
//! places.

use super::batch::{BatchHeader, batch_at, seed};
use super::content::Content;
use super::disk::{Disk, read_exact};
use super::encode::Encoder;
use super::index::Index;
use super::log::{Clock, Log, LogError, Use};
use super::queue::Place;
use super::state::Shared;
use super::stored::{Entry, Stored};
use super::wire::Reader;

/// Up to this share of a segment, what is in force is copied without need.
const NEARLY_DEAD: u64 = 32;

enum Plan {
    Nothing,
    /// Everything below this segment is dead.
    Free(u32),
    /// Copy what is in force in the oldest segment, which has so many bytes.
    Copy(u64),
}

impl<D: Disk, S: Shared<D::File>> Log<D, S> {
    /// What is to be done between batches: makes the spare segment, and cleans, reading at most
    /// about `budget_bytes`. Returns whether there is more to do. Directly behind a commit it
    /// leaves out what can wait until nothing is to be committed.
    ///
    /// # Errors
    /// If the disk fails. That it is full is no error here.
    pub fn maintain(&mut self, clock: Clock, budget_bytes: usize) -> Result<bool, LogError> {
        self.check_poison()?;
        self.look_at_clock(clock.now);
        let cleaned = self.clean(clock, budget_bytes);
        self.cleans = match cleaned {
            Err(LogError::Full) => false,
            result => result?,
        };
        let more = self.prepare_spare()? || self.cleans;
        // What was refused is tried again only where it will pass.
        self.full = self.full && !self.has_reserve(self.refused, Use::Keeping);
        self.busy = false;
        Ok(more)
    }

    /// Segments in which damage was met while the broker ran: they are kept, and everything newer
    /// with them. The next start says what is lost.
    pub fn unreadable_segment(&self) -> Option<u32> {
        (self.cleaned.1 == u64::MAX).then_some(self.cleaned.0)
    }

    fn clean(&mut self, clock: Clock, budget_bytes: usize) -> Result<bool, LogError> {
        match self.plan() {
            Plan::Nothing => Ok(false),
            Plan::Free(oldest) => {
                self.sync()?;
                self.oldest = oldest;
                self.begin_batch();
                self.append(clock, Use::Cleaning)?;
                self.sync()?;
                while self.first < oldest {
                    self.free_segment(self.first)?;
                    self.first += 1;
                }
                self.shared.with(|state| state.index.forget_below(oldest));
                Ok(true)
            }
            Plan::Copy(used) => self.copy_some(clock, used, budget_bytes),
        }
    }

    fn plan(&self) -> Plan {
        let (oldest, current) = (self.first, self.current.number);
        let segment_bytes = self.options.segment_bytes;
        let is_tight = self.full || !self.has_reserve(0, Use::Keeping);
        self.shared.with(|state| {
            let segments = &state.index.segments;
            let mut dead_below = oldest;
            while dead_below < current && segments.get(dead_below).is_dead() {
                dead_below += 1;
            }
            if dead_below > oldest {
                return Plan::Free(dead_below);
            }
            if oldest == current || self.cleaned == (oldest, u64::MAX) {
                return Plan::Nothing;
            }
            let usage = segments.get(oldest);
            let all = || segments.iter().map(|(_, usage)| usage);
            let live: u64 = all().map(super::messages::Usage::live_bytes).sum();
            let used: u64 = all().map(|usage| usage.used).sum();
            let nearly_dead = usage.live_bytes() * NEARLY_DEAD <= usage.used;
            let crowded = used > 2 * segment_bytes + live + live / 2;
            // Less is not worth it to copy everything, which that may come to.
            let pressed = is_tight && used > live + segment_bytes / 2;
            if nearly_dead || crowded || pressed { Plan::Copy(usage.used) } else { Plan::Nothing }
        })
    }

    fn copy_some(&mut self, clock: Clock, used: u64, budget: usize) -> Result<bool, LogError> {
        let segment = self.first;
        if self.cleaned.0 != segment {
            self.cleaned = (segment, super::batch::HEADER_BYTES as u64);
        }
        let from = self.cleaned.1;
        let Some(bytes) = self.read_batches(segment, from, used, budget) else {
            self.cleaned.1 = u64::MAX;
            return Ok(false);
        };
        let seed = seed(self.id, segment);
        self.begin_batch();
        let mut at = 0;
        while let Some((header, records)) = batch_at(&bytes, at, seed) {
            let start = from + (at + header.len as usize - records.len()) as u64;
            let Self { encoder, shared, .. } = self;
            shared.with(|state| copy_live(&state.index, records, (segment, start), encoder));
            at += header.len as usize;
        }
        if at == 0 {
            // Not a batch, or everything was looked at and something is still in force: either
            // way the segment cannot be trusted to be dead.
            self.cleaned.1 = u64::MAX;
            return Ok(false);
        }
        if self.encoder.records > 0 {
            self.counts.copied_bytes += self.append(clock, Use::Cleaning)? as u64;
            self.apply_last();
        }
        self.cleaned.1 = from + at as u64;
        Ok(true)
    }

    /// Whole batches from `from` on, at least one.
    fn read_batches(&self, segment: u32, from: u64, used: u64, budget: usize) -> Option<Vec<u8>> {
        let file = self.shared.with(|state| state.files.get(&segment).map(|f| f.file.clone()))?;
        let left = usize::try_from(used.checked_sub(from)?).ok()?;
        let mut bytes = vec![0; left.min(budget.max(4096))];
        read_exact(&*self.disk, &file, &mut bytes, from).ok()?;
        let first = BatchHeader::parse(&bytes, seed(self.id, segment))?.len as usize;
        if first > bytes.len() && first <= left {
            bytes.resize(first, 0);
            read_exact(&*self.disk, &file, &mut bytes, from).ok()?;
        }
        Some(bytes)
    }
}

/// Appends to `encoder` those records that are in force. The first stands at `start`.
pub(super) fn copy_live(index: &Index, records: &[u8], start: (u32, u64), encoder: &mut Encoder) {
    let mut r = Reader::new(records);
    while !r.is_empty() {
        let offset = start.1 + (records.len() - r.left()) as u64;
        let place = Place { segment: start.0, offset: offset as u32 };
        // The batch's checksum is right, so this is what was written.
        let Ok(stored) = Stored::read(&mut r) else { return };
        if index.is_live(&stored, place) {
            encoder.put(&copy_of(index, &stored));
        }
    }
}

/// The record as it is written again. A session's has to say what newer records have said since:
/// they may stand before the copy, and are not to be undone by it.
fn copy_of<'a>(index: &Index, stored: &Stored<'a>) -> Stored<'a> {
    match *stored {
        Stored::Session { session, client_id, owner, .. } => match index.sessions.get(&session) {
            Some(s) => Stored::Session {
                session,
                expiry_s: s.expiry_s,
                written: s.written.unwrap_or(0),
                offline: s.offline_ms,
                client_id,
                owner,
            },
            None => *stored,
        },
        Stored::Message { number, content } => {
            Stored::Message { number, content: Content { copied: true, ..content } }
        }
        Stored::Queued(entry) => {
            let sealed = index.is_sealed(entry.message, entry.session, entry.order);
            Stored::Queued(Entry { copied: true, sealed, ..entry })
        }
        _ => *stored,
    }
}
