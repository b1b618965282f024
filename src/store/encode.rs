//! From records to a batch: what is written, and under which message numbers.
//!
//! May use: records, what is stored, the index. Invariants: a message is written before the first
//! record that names it, unless it is in the log already; what would come too late is not written.

use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::batch::BATCH_HEADER_BYTES;
use super::disk::BLOCK_BYTES;
use super::index::Index;
use super::owner::StoredOwner;
use super::record::Record;
use super::stored::{Content, DeliveryNote, Entry, EntryNote, MessageNote, Stored, Timeline};
use super::wire::{Reader, put_crc, put_varint};
use crate::broker::Message;

/// So many records wait for their checksum. To read what was written just now, in other portions
/// than it was written in, makes the processor wait until it is out of its store queue.
const UNCHECKED_MAX: usize = 16;

/// So much room for a batch is always kept.
const KEPT_BYTES: usize = 512 << 10;

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
    /// the highest number that a message has
    pub(super) last_message: u64,
    /// above it, messages were written in this batch
    first_message: u64,
    /// messages of older numbers that were written again in this batch
    again: Vec<u64>,
    /// entries written, by session, this batch included
    written: HashMap<u64, u64, FixedState>,
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
            last_message: 0,
            first_message: 0,
            again: Vec::new(),
            written: HashMap::with_hasher(FixedState::with_seed(seed)),
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
        self.notes.clear();
        if self.notes.capacity() > 4 * wanted / size_of::<Note>() {
            self.notes.shrink_to(wanted / size_of::<Note>());
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
        self.entries = 0;
        self.counts = None;
        self.content_bytes = 0;
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
        self.unchecked.extend(stored.put_unchecked(&mut self.bytes));
        if self.unchecked.len() >= UNCHECKED_MAX {
            self.check();
        }
        let what = match stored {
            Stored::Message { number, content } => What::Message(content.note(*number)),
            Stored::Queued(entry) => What::Queued(entry.note()),
            _ => What::Other,
        };
        self.note(what);
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

    fn note(&mut self, what: What) {
        // A batch that is longer does not fit into a segment: `Log::append` refuses it.
        let end = u32::try_from(self.len()).unwrap_or(u32::MAX);
        self.records += 1;
        if let What::Queued(entry) = &what
            && entry.sealed
            && !entry.copied
            && let Some(last) = self.notes.last_mut()
            && let What::Message(message) = &last.what
            && message.number == entry.message
            && !message.copied
        {
            let &EntryNote { session, order, nth, message: number, .. } = entry;
            let message_bytes = message.bytes;
            let note = DeliveryNote { session, order, nth, message: number, message_bytes };
            *last = Note { what: What::Delivery(note, last.end), end };
            return;
        }
        self.notes.push(Note { what, end });
    }

    /// The message's number in the log, where it is written if it is not there.
    fn message(&mut self, message: &Message, index: &Index, timeline: Timeline) -> u64 {
        let known = message.number();
        if known > self.first_message && known <= self.last_message || self.again.contains(&known) {
            return known; // written in this batch
        }
        if known > 0 && index.has_message(known) {
            return known;
        }
        let number = if known > 0 {
            self.again.push(known);
            known
        } else {
            self.last_message += 1;
            self.last_message
        };
        message.set_number(number);
        let content = Content::of(message, timeline);
        self.content_bytes += content.bytes() as u64;
        self.put(&Stored::Message { number, content });
        number
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
                let message = self.message(message, index, timeline);
                return self.add_entry(record, message, index);
            }
            Record::Inbound { session, packet_id, seals } => {
                let seals = seals.as_ref().map_or(0, Message::number);
                Stored::Inbound { session: session.0, packet_id: *packet_id, seals }
            }
            Record::Retained { version, message } => {
                if index.has_newer_retained(message.topic_str(), *version) {
                    return;
                }
                let number = match message.payload() {
                    [] => 0,
                    _ => self.message(message, index, timeline),
                };
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
        let before = || index.sessions.get(&session).and_then(|s| s.written);
        self.written.get(&session).copied().or_else(before).unwrap_or(0)
    }

    fn add_entry(&mut self, record: &Record, number: u64, index: &Index) {
        let Record::Queued { session, order, qos, retain, subscription_ids, group, sealed, .. } =
            record
        else {
            return;
        };
        let nth = self.written(session.0, index) + 1;
        self.written.insert(session.0, nth);
        self.entries = self.entries.wrapping_add(1);
        self.ids.clear();
        if !subscription_ids.is_empty() {
            subscription_ids.iter().for_each(|&id| put_varint(&mut self.ids, id.into()));
        }
        let entry = Entry {
            session: session.0,
            order: *order,
            nth,
            message: number,
            qos: *qos,
            retain: *retain,
            sealed: *sealed,
            copied: false,
            ids: &self.ids,
            group: group.as_deref(),
        };
        let note = entry.note();
        self.unchecked.extend(Stored::Queued(entry).put_unchecked(&mut self.bytes));
        self.note(What::Queued(note));
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
