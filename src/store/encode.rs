//! From records to a batch: what is written, and under which message numbers.
//!
//! May use: records, what is stored, the index. Invariants: a message is written before the first
//! record that names it, unless it is in the log already; what would come too late is not written.

use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::batch::BATCH_HEADER_BYTES;
use super::content::{Content, MessageNote, Timeline};
use super::disk::BLOCK_BYTES;
use super::index::Index;
use super::owner::StoredOwner;
use super::record::Record;
use super::stored::{DeliveryNote, Entry, EntryNote, Stored};
use super::wire::{Reader, put_crc, put_varint};
use crate::broker::Message;

/// So many records wait for their checksum. To read what was written just now, in other portions
/// than it was written in, makes the processor wait until it is out of its store queue.
const UNCHECKED_MAX: usize = 16;

/// So much room for a batch is always kept.
const KEPT_BYTES: usize = 512 << 10;
/// The same for what its records are.
const KEPT_NOTES: usize = 4 << 10;

/// What the index is told of a record, so that it need not be read again.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Message(MessageNote),
    Queued(EntryNote),
    /// two records: a message, which ends at `between`, and its entry
    Delivery(DeliveryNote, u32),
    Other,
}

/// A record of the batch, or two.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note {
    pub(super) what: What,
    /// where the record ends, from the batch's beginning
    pub(super) end: u32,
}

/// A batch in the making.
pub(super) struct Encoder {
    /// from `start` on: room for the header, then records
    bytes: Vec<u8>,
    /// as far behind a block's beginning in memory as the batch will stand in the file: so it can
    /// be written where it is
    start: usize,
    pub(super) records: u32,
    /// what the records are, in order
    notes: Vec<Note>,
    /// what has no checksum yet
    unchecked: Vec<Range<usize>>,
    /// how large batches were lately
    recent_bytes: usize,
    /// and of how many records
    recent_notes: usize,
    /// the highest number that a message has
    pub(super) last_message: u64,
    /// above it, messages were written in this batch
    first_message: u64,
    /// messages of older numbers that were written again in this batch
    again: Vec<u64>,
    /// entries written, by session, this batch included
    written: HashMap<u64, u64, FixedState>,
    /// the last session that one was written for, which is not up to date in `written`
    last_written: Option<(u64, u64)>,
    ids: Vec<u8>,
    /// entries that were added, copies left out
    pub(super) entries: u32,
    /// up to which level sessions are counted in this batch
    pub(super) counts: Option<usize>,
    /// bytes of topics, properties and payloads that were written
    pub(super) content_bytes: u64,
}

impl Encoder {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            records: 0,
            notes: Vec::new(),
            unchecked: Vec::new(),
            recent_bytes: 0,
            recent_notes: 0,
            last_message: 0,
            first_message: 0,
            again: Vec::new(),
            written: HashMap::with_hasher(FixedState::with_seed(seed)),
            last_written: None,
            ids: Vec::new(),
            entries: 0,
            counts: None,
            content_bytes: 0,
        }
    }

    /// Begins a batch, which will probably stand at `offset` in the file.
    pub(super) fn begin(&mut self, offset: u64) {
        // What one large batch took is not kept for ever.
        self.recent_bytes = self.len().max(self.recent_bytes - self.recent_bytes / 8);
        let wanted = self.recent_bytes.max(KEPT_BYTES) + 3 * BLOCK_BYTES;
        self.bytes.clear();
        if self.bytes.capacity() > 4 * wanted {
            self.bytes.shrink_to(wanted);
        }
        self.recent_notes = self.notes.len().max(self.recent_notes - self.recent_notes / 8);
        self.notes.clear();
        if self.notes.capacity() > 4 * self.recent_notes.max(KEPT_NOTES) {
            self.notes.shrink_to(self.recent_notes.max(KEPT_NOTES));
        }
        self.bytes.reserve(self.recent_bytes + 3 * BLOCK_BYTES);
        let block = self.bytes.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES);
        self.start = block + (offset % BLOCK_BYTES as u64) as usize;
        self.bytes.resize(self.start + BATCH_HEADER_BYTES, 0);
        self.unchecked.clear();
        self.records = 0;
        self.first_message = self.last_message;
        self.again.clear();
        self.written.clear();
        self.last_written = None;
        self.entries = 0;
        self.counts = None;
        self.content_bytes = 0;
    }

    /// Whether room for large batches is kept.
    pub(super) fn holds_room(&self) -> bool {
        self.bytes.capacity() > 4 * KEPT_BYTES || self.notes.capacity() > 4 * KEPT_NOTES
    }

    /// The batch is done, and no other comes for now: that room goes.
    pub(super) fn let_go(&mut self) {
        (self.bytes, self.notes) = (Vec::new(), Vec::new());
        (self.start, self.recent_bytes, self.recent_notes) = (0, 0, 0);
    }

    /// How long the batch is.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// The batch.
    pub(super) fn batch(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }

    /// What its records are, and the batch.
    pub(super) fn notes_and_batch(&self) -> (&[Note], &[u8]) {
        (&self.notes, &self.bytes[self.start..])
    }

    /// Where the batch stands, with room for the blocks at whose ends it does not end.
    pub(super) fn in_blocks(&mut self) -> (&mut [u8], Range<usize>) {
        let batch = self.start..self.bytes.len();
        self.bytes.resize(batch.end + BLOCK_BYTES, 0);
        (&mut self.bytes, batch)
    }

    /// What was added behind the batch goes: it ends there.
    pub(super) fn end_at(&mut self, end: usize) {
        self.bytes.truncate(end);
    }

    /// Appends what is stored already.
    pub(super) fn put(&mut self, stored: &Stored<'_>) {
        let what = match stored {
            Stored::Message { number, content } => {
                let start = content.put_record(*number, &mut self.bytes);
                self.check_later(start);
                What::Message(content.note(*number))
            }
            Stored::Queued(entry) => {
                let start = entry.put_record(&mut self.bytes);
                self.check_later(start);
                What::Queued(entry.note())
            }
            _ => {
                stored.put(&mut self.bytes);
                What::Other
            }
        };
        self.note(what);
    }

    /// The checksum of the last record, from `start` on, is left for later.
    fn check_later(&mut self, start: usize) {
        if self.unchecked.len() >= UNCHECKED_MAX {
            self.check();
        }
        self.unchecked.push(start..self.bytes.len());
    }

    /// Computes the checksums that are left: before the batch is used.
    pub(super) fn check(&mut self) {
        for checked in self.unchecked.drain(..) {
            put_crc(&mut self.bytes, checked);
        }
    }

    /// Appends records that are bytes already.
    pub(super) fn put_all(&mut self, records: &[u8]) {
        let mut r = Reader::new(records);
        while let Ok(stored) = Stored::read(&mut r) {
            self.put(&stored);
        }
    }

    /// Appends counts of the sessions that are to be counted up to `level`. They stand before
    /// everything else: the index has nothing of this batch yet.
    pub(super) fn add_counts(&mut self, level: usize, index: &Index) {
        self.ids.clear();
        index.put_counts(level, &mut self.ids);
        let sessions = std::mem::take(&mut self.ids);
        self.put(&Stored::Counts { level: level as u8, sessions: &sessions });
        self.ids = sessions;
        self.counts = Some(level);
    }

    /// Where the last record ends. A batch that is longer does not fit into a segment:
    /// `Log::append` refuses it.
    fn end(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    fn note(&mut self, what: What) {
        let end = self.end();
        self.notes.push(Note { what, end });
        self.records += 1;
    }

    /// The message's number in the log, where it is written if it is not there: then it is for the
    /// caller to note that.
    #[inline]
    fn message(
        &mut self,
        message: &Message,
        index: &Index,
        timeline: Timeline,
    ) -> (u64, Option<MessageNote>) {
        let known = message.number();
        if known > self.first_message && known <= self.last_message || self.again.contains(&known) {
            return (known, None); // written in this batch
        }
        if known > 0 && index.has_message(known) {
            return (known, None);
        }
        let number = if known > 0 {
            self.again.push(known);
            known
        } else {
            self.last_message += 1;
            self.last_message
        };
        message.set_number(number);
        (number, Some(self.content(number, &Content::of(message, timeline))))
    }

    /// Writes a message under its number.
    fn content(&mut self, number: u64, content: &Content<'_>) -> MessageNote {
        let note = content.note(number);
        self.content_bytes += u64::from(note.bytes);
        let start = content.put_record(number, &mut self.bytes);
        self.check_later(start);
        note
    }

    /// Appends a record, with the message that it names.
    pub(super) fn add(&mut self, record: &Record, index: &Index, timeline: Timeline, time_ms: u64) {
        let stored = match record {
            Record::Session { session, client_id, expiry_s, owner } => Stored::Session {
                session: session.0,
                expiry_s: *expiry_s,
                written: self.written(session.0, index),
                offline: None,
                client_id,
                owner: StoredOwner::of(owner),
            },
            Record::Disconnected { session, expiry_s } => {
                Stored::Disconnected { session: session.0, expiry_s: *expiry_s, at: time_ms }
            }
            Record::SessionEnd { session } => Stored::SessionEnd { session: session.0 },
            Record::Will { session, will: Some(will) } => Stored::Will {
                session: session.0,
                delay_s: will.delay_s,
                expiry_s: will.expiry_s,
                content: Content::of(&will.message, timeline),
            },
            Record::Will { session, will: None } => Stored::WillEnd { session: session.0 },
            Record::Subscribed { session, filter, options, id } => {
                Stored::Subscribed { session: session.0, options: *options, id: *id, filter }
            }
            Record::Unsubscribed { session, filter } => {
                Stored::Unsubscribed { session: session.0, filter }
            }
            Record::Queued { message, .. } => {
                let (number, note) = self.message(message, index, timeline);
                return self.add_entry(record, number, note, index);
            }
            Record::QueuedPlain { message, .. } => {
                self.last_message += 1;
                let number = self.last_message;
                let note = self.content(number, &Content::of_plain(message));
                return self.add_entry(record, number, Some(note), index);
            }
            Record::Inbound { session, packet_id, seals } => {
                let seals = seals.as_ref().map_or(0, Message::number);
                Stored::Inbound { session: session.0, packet_id: *packet_id, seals }
            }
            Record::Retained { version, message } => {
                if index.has_newer_retained(message.topic_str(), *version) {
                    return;
                }
                let (number, note) = match message.payload() {
                    [] => (0, None),
                    _ => self.message(message, index, timeline),
                };
                if let Some(note) = note {
                    self.note(What::Message(note));
                }
                let topic = message.topic_str();
                Stored::Retained { version: *version, message: number, topic }
            }
            _ => match of_entry(record) {
                Some(stored) => stored,
                None => return,
            },
        };
        self.put(&stored);
    }

    fn written(&self, session: u64, index: &Index) -> u64 {
        let last = self.last_written.filter(|(known, _)| *known == session).map(|(_, nth)| nth);
        let before = || index.sessions.get(&session).and_then(|s| s.written);
        last.or_else(|| self.written.get(&session).copied()).or_else(before).unwrap_or(0)
    }

    /// `new`: its message was written just now, and is not noted yet.
    fn add_entry(&mut self, record: &Record, number: u64, new: Option<MessageNote>, index: &Index) {
        let Some((session, order, qos)) = record.queued() else { return };
        let (session, between) = (session.0, self.end());
        let nth = self.next_nth(session, index);
        self.entries = self.entries.wrapping_add(1);
        self.ids.clear();
        let (retain, sealed, group) = match record {
            Record::Queued { retain, sealed, group, subscription_ids, .. } => {
                subscription_ids.iter().for_each(|&id| put_varint(&mut self.ids, id.into()));
                (*retain, *sealed, group.as_deref())
            }
            _ => (false, true, None),
        };
        let (message, copied, ids) = (number, false, &self.ids[..]);
        let entry = Entry { session, order, nth, message, qos, retain, sealed, copied, ids, group };
        let note = entry.note();
        let start = entry.put_record(&mut self.bytes);
        self.check_later(start);
        self.records += u32::from(new.is_some());
        let what = match new {
            Some(new) if note.sealed => {
                let (session, order, message_bytes) = (note.session, note.order, new.bytes);
                let message = number;
                let delivery = DeliveryNote { session, order, nth, message, message_bytes };
                What::Delivery(delivery, between)
            }
            Some(new) => {
                self.notes.push(Note { what: What::Message(new), end: between });
                What::Queued(note)
            }
            None => What::Queued(note),
        };
        self.note(what);
    }

    /// How many entries were written for a session, with one that is to be written now.
    fn next_nth(&mut self, session: u64, index: &Index) -> u64 {
        if let Some((known, nth)) = &mut self.last_written
            && *known == session
        {
            *nth += 1;
            return *nth;
        }
        let nth = self.written(session, index) + 1;
        if let Some((before, nth)) = self.last_written.replace((session, nth)) {
            self.written.insert(before, nth);
        }
        nth
    }
}

/// The records that only name an entry or an identifier.
fn of_entry(record: &Record) -> Option<Stored<'_>> {
    Some(match *record {
        Record::InFlight { session, order, packet_id } => {
            Stored::InFlight { session: session.0, order, packet_id }
        }
        Record::Released { session, order } => Stored::Released { session: session.0, order },
        Record::Acknowledged { session, order } => {
            Stored::Acknowledged { session: session.0, order }
        }
        Record::Dropped { session, order, why } => {
            Stored::Dropped { session: session.0, order, why }
        }
        Record::InboundEnd { session, packet_id } => {
            Stored::InboundEnd { session: session.0, packet_id }
        }
        _ => return None,
    })
}
