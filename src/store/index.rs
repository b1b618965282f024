//! The index: the fold over all records, which says what is in force and where it stands.
//!
//! May use: what is stored, the queue and the message table. Commit, recovery and repair all run
//! this one fold. Invariants: it says the same after any suffix of the log that begins with a
//! segment behind which nothing older is in force (copies that the cleaner made included); a
//! record that arrives after what ended its subject changes nothing that counts.
//!
//! It grows with what is in force: about 8 bytes per queued entry and 9 per message, besides
//! sessions, filters and retained topics.

use std::collections::BTreeMap;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use super::content::MessageNote;
use super::counts::{Uncounted, counts_in, put_counts};
use super::damage::Losses;
use super::messages::{Messages, Segments, Slot};
use super::queue::{Place, Queue, QueueEntry};
use super::stored::{DeliveryNote, EntryNote, Numbers, Stored};

/// A delivery under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UnderWay {
    /// 0 until its record is met
    pub(super) packet_id: u16,
    pub(super) place: Place,
    /// where PUBREC's record stands
    pub(super) released: Place,
}

/// A retained topic.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetainedPlace {
    pub(super) version: u64,
    pub(super) place: Place,
    /// 0: it was cleared
    pub(super) message: u64,
}

/// A session.
#[derive(Default)]
pub(super) struct SessionState {
    /// `NONE`: no record of the session itself was met
    pub(super) base: Place,
    pub(super) expiry_s: u32,
    /// when it was disconnected, on the log's clock
    pub(super) offline_ms: Option<u64>,
    /// where that stands, if behind `base`
    pub(super) offline: Place,
    pub(super) will: Place,
    pub(super) subscriptions: BTreeMap<Box<str>, Place>,
    pub(super) inbound: BTreeMap<u16, Place>,
    pub(super) under_way: BTreeMap<u64, UnderWay>,
    pub(super) queue: Queue,
    /// how many entries were ever written; `None`: not known yet
    pub(super) written: Option<u64>,
    /// above the highest order that was met
    pub(super) next_order: u64,
    /// on which levels it is to be counted
    uncounted: u8,
}

/// See the module.
pub struct Index {
    pub(super) sessions: HashMap<u64, Box<SessionState>, FixedState>,
    pub(super) messages: Messages,
    pub(super) retained: HashMap<Box<str>, RetainedPlace, FixedState>,
    pub(super) segments: Segments,
    /// entries by message that count only once it is sealed
    unsealed: HashMap<u64, Vec<(u64, u64)>, FixedState>,
    /// what seals came in this batch
    seals: Vec<u64>,
    /// messages that may have lost their last reference in this batch
    unreferenced: Vec<u64>,
    pub(super) numbers: Numbers,
    queued: usize,
    /// whom to count
    pub(super) uncounted: Uncounted,
    /// during a replay: messages that were met as copies. What names them may come behind them,
    /// in another copied batch, while what named them at first was freed with its segment.
    copied: Option<HashSet<u64, FixedState>>,
    /// set while a recovery replays what follows damage that is not known yet
    pub(super) losses: Option<Losses>,
}

/// How much is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexCounts {
    /// sessions
    pub sessions: usize,
    /// queue entries, those in flight included until they are released
    pub queued: usize,
    /// messages
    pub messages: usize,
    /// retained topics, those cleared lately included
    pub retained: usize,
}

impl Index {
    /// Nothing is in force. `seed` is for the hashers.
    pub(super) fn new(seed: u64) -> Self {
        let state = |n: u64| FixedState::with_seed(seed.wrapping_add(n));
        Self {
            sessions: HashMap::with_hasher(state(1)),
            messages: Messages::new(seed),
            retained: HashMap::with_hasher(state(2)),
            segments: Segments::default(),
            unsealed: HashMap::with_hasher(state(3)),
            seals: Vec::new(),
            unreferenced: Vec::new(),
            numbers: Numbers::default(),
            queued: 0,
            uncounted: Uncounted::default(),
            copied: Some(HashSet::with_hasher(state(4))),
            losses: None,
        }
    }

    /// How much is in force.
    pub fn counts(&self) -> IndexCounts {
        IndexCounts {
            sessions: self.sessions.len(),
            queued: self.queued,
            messages: self.messages.len(),
            retained: self.retained.len(),
        }
    }

    /// Takes note of a record of `bytes` that stands at `place`.
    pub(super) fn apply(&mut self, stored: &Stored<'_>, place: Place, bytes: usize) {
        match stored {
            Stored::Message { number, content } => {
                return self.message(&content.note(*number), place);
            }
            Stored::Queued(entry) => return self.queued(&entry.note(), place, bytes),
            _ => {}
        }
        self.segments.record_written(place.segment, bytes as u64);
        if let Some(session) = stored.session() {
            self.numbers.session = self.numbers.session.max(session.0);
        }
        match *stored {
            Stored::SessionEnd { session } => self.end_session(session),
            Stored::Acknowledged { session, order } | Stored::Dropped { session, order, .. } => {
                self.end_entry(session, order);
            }
            Stored::Released { session, order } => self.release(session, order, place),
            Stored::Retained { version, message, topic } => {
                self.retain(version, message, topic, place);
            }
            Stored::Numbers(numbers) => {
                let own = &mut self.numbers;
                own.message = own.message.max(numbers.message);
                own.session = own.session.max(numbers.session);
                own.version = own.version.max(numbers.version);
            }
            Stored::Counts { level, sessions } => self.counted(usize::from(level), sessions),
            Stored::End { .. }
            | Stored::Closed
            | Stored::Accepted { .. }
            | Stored::AcceptedSegment { .. } => {}
            _ => self.apply_to_session(stored, place),
        }
    }

    /// What changes one session, and nothing outside it.
    fn apply_to_session(&mut self, stored: &Stored<'_>, place: Place) {
        let Some(number) = stored.session() else { return };
        if let Stored::Inbound { seals, .. } = *stored
            && seals > 0
        {
            self.seals.push(seals);
        }
        let s = self.sessions.entry(number.0).or_default();
        let (before, now) = match *stored {
            Stored::Session { expiry_s, written, offline, .. } => {
                s.expiry_s = expiry_s;
                s.offline_ms = offline;
                if let Some(losses) = self.losses.as_mut() {
                    losses.written(number.0, written, s.written);
                }
                s.written = Some(s.written.unwrap_or(0).max(written));
                self.segments.record_ends(std::mem::take(&mut s.offline));
                (std::mem::replace(&mut s.base, place), true)
            }
            Stored::Disconnected { expiry_s, at, .. } => {
                s.expiry_s = expiry_s;
                s.offline_ms = Some(at);
                (std::mem::replace(&mut s.offline, place), true)
            }
            Stored::Will { .. } => (std::mem::replace(&mut s.will, place), true),
            Stored::WillEnd { .. } => (std::mem::take(&mut s.will), false),
            Stored::Subscribed { filter, .. } => {
                let before = s.subscriptions.insert(filter.into(), place);
                (before.unwrap_or_default(), true)
            }
            Stored::Unsubscribed { filter, .. } => {
                (s.subscriptions.remove(filter).unwrap_or_default(), false)
            }
            Stored::Inbound { packet_id, .. } => {
                (s.inbound.insert(packet_id.get(), place).unwrap_or_default(), true)
            }
            Stored::InboundEnd { packet_id, .. } => {
                (s.inbound.remove(&packet_id.get()).unwrap_or_default(), false)
            }
            Stored::InFlight { order, packet_id, .. } => {
                s.next_order = s.next_order.max(order + 1);
                let under_way = s.under_way.entry(order).or_default();
                under_way.packet_id = packet_id.get();
                (std::mem::replace(&mut under_way.place, place), true)
            }
            _ => return,
        };
        self.segments.record_ends(before);
        if now {
            self.segments.record_begins(place);
        }
    }

    /// The same for a message.
    pub(super) fn message(&mut self, note: &MessageNote, place: Place) {
        let &MessageNote { number, bytes, copied } = note;
        self.numbers.message = self.numbers.message.max(number);
        let (before, now) = self.messages.change(number, |slot| {
            let before = *slot;
            (slot.place, slot.bytes) = (place, bytes);
            (before, *slot)
        });
        self.segments.message_ends(before);
        self.segments.message_begins(now);
        match self.copied.as_mut() {
            Some(all) if copied => {
                all.insert(number);
            }
            _ if now.refs == 0 => self.unreferenced.push(number),
            _ => {}
        }
    }

    fn name_message(&mut self, number: u64) {
        self.numbers.message = self.numbers.message.max(number);
        self.messages.change(number, |slot| slot.refs += 1);
    }

    fn unname_message(&mut self, number: u64) {
        let Some(slot) = self.messages.get(number) else { return };
        if slot.refs <= 1 {
            self.unreferenced.push(number);
        }
        self.messages.change(number, |slot| slot.refs = slot.refs.saturating_sub(1));
    }

    /// The same for a message and the only entry that names it, written one behind the other: the
    /// way of most. `entry_bytes`: what the entry's record takes.
    pub(super) fn delivery(&mut self, note: &DeliveryNote, at: [Place; 2], entry_bytes: usize) {
        let [message_at, entry_at] = at;
        let &DeliveryNote { session, order, nth, message, message_bytes } = note;
        let s = self.sessions.entry(session).or_default();
        let is_usual = self.losses.is_none() && s.under_way.is_empty() && order >= s.next_order;
        let slot = Slot { place: message_at, bytes: message_bytes, refs: 1 };
        if !(is_usual && self.messages.add(message, slot)) {
            let (number, bytes, copied) = (message, message_bytes, false);
            self.message(&MessageNote { number, bytes, copied }, message_at);
            let sealed = true;
            let entry = EntryNote { session, order, nth, message, sealed, copied };
            return self.queued(&entry, entry_at, entry_bytes);
        }
        self.numbers.message = self.numbers.message.max(message);
        self.numbers.session = self.numbers.session.max(session);
        s.written = s.written.max(Some(nth));
        s.next_order = order + 1;
        s.queue.set(QueueEntry { order, place: entry_at, message });
        self.queued += 1;
        self.uncounted.add(session, &mut s.uncounted, 0);
        self.segments.delivery_begins(entry_at.segment, message_bytes, entry_bytes as u64);
    }

    /// The same for an entry.
    pub(super) fn queued(&mut self, entry: &EntryNote, place: Place, bytes: usize) {
        let &EntryNote { session, order, nth, message, sealed, copied } = entry;
        self.segments.record_written(place.segment, bytes as u64);
        self.numbers.session = self.numbers.session.max(session);
        let s = self.sessions.entry(session).or_default();
        if let Some(losses) = self.losses.as_mut() {
            match copied {
                false => losses.entry_met(session, nth, s.written),
                true if s.queue.get(order).is_none() => losses.copy_met(session, nth),
                true => {}
            }
        }
        if !copied {
            s.written = Some(s.written.unwrap_or(0).max(nth));
        }
        self.uncounted.add(session, &mut s.uncounted, 0);
        s.next_order = s.next_order.max(order + 1);
        if s.under_way.get(&order).is_some_and(|under_way| !under_way.released.is_none()) {
            return; // only PUBREL is left of it
        }
        let before = s.queue.set(QueueEntry { order, place, message });
        self.segments.record_begins(place);
        match before {
            None => self.queued += 1,
            Some(before) => self.segments.record_ends(before.place),
        }
        // Named first: the message shall not seem unreferenced in between.
        self.name_message(message);
        if let Some(before) = before {
            self.unname_message(before.message);
            self.unlist(before.message, session, order);
        }
        if !sealed {
            self.unsealed.entry(message).or_default().push((session, order));
        }
    }

    /// The entry needs no seal any more.
    fn unlist(&mut self, message: u64, session: u64, order: u64) {
        if let Some(entries) = self.unsealed.get_mut(&message) {
            entries.retain(|entry| *entry != (session, order));
            if entries.is_empty() {
                self.unsealed.remove(&message);
            }
        }
    }

    /// Takes the entry out of its queue.
    fn unqueue(&mut self, session: u64, order: u64) -> bool {
        let s = self.sessions.get_mut(&session);
        let Some(entry) = s.and_then(|s| s.queue.remove(order)) else { return false };
        self.queued -= 1;
        self.segments.record_ends(entry.place);
        self.unname_message(entry.message);
        self.unlist(entry.message, session, order);
        true
    }

    fn end_entry(&mut self, session: u64, order: u64) {
        let was_queued = self.unqueue(session, order);
        let Some(s) = self.sessions.get_mut(&session) else { return };
        s.next_order = s.next_order.max(order + 1);
        let under_way = s.under_way.remove(&order);
        if let Some(under_way) = under_way {
            self.segments.record_ends(under_way.place);
            self.segments.record_ends(under_way.released);
        }
        if let Some(losses) = self.losses.as_mut()
            && !was_queued
            && under_way.is_none_or(|under_way| under_way.released.is_none())
        {
            losses.settled(session, order);
        }
    }

    fn release(&mut self, session: u64, order: u64, place: Place) {
        let was_queued = self.unqueue(session, order);
        let s = self.sessions.entry(session).or_default();
        s.next_order = s.next_order.max(order + 1);
        let under_way = s.under_way.entry(order).or_default();
        if let Some(losses) = self.losses.as_mut()
            && !was_queued
            && under_way.released.is_none()
        {
            losses.settled(session, order);
        }
        self.segments.record_ends(std::mem::replace(&mut under_way.released, place));
        self.segments.record_begins(place);
    }

    fn end_session(&mut self, session: u64) {
        if let Some(losses) = self.losses.as_mut() {
            losses.session_ended(session);
        }
        let Some(s) = self.sessions.remove(&session) else { return };
        for entry in s.queue.iter() {
            self.queued -= 1;
            self.segments.record_ends(entry.place);
            self.unname_message(entry.message);
            self.unlist(entry.message, session, entry.order);
        }
        let under_way = s.under_way.values().flat_map(|u| [u.place, u.released]);
        let places = under_way.chain(s.subscriptions.values().copied());
        let places = places.chain(s.inbound.values().copied());
        for place in places.chain([s.base, s.offline, s.will]) {
            self.segments.record_ends(place);
        }
    }

    /// Takes note of a record of counts.
    fn counted(&mut self, level: usize, sessions: &[u8]) {
        let Self { sessions: all, uncounted, losses, .. } = self;
        for (session, written, live) in counts_in(sessions) {
            let s = all.get_mut(&session);
            if let Some(losses) = losses.as_mut() {
                let (met, queued) = s.as_ref().map_or((None, 0), |s| (s.written, s.in_force()));
                losses.counted(session, (written, live), met, queued);
            }
            if let Some(s) = s {
                s.written = s.written.max(Some(written));
                uncounted.counted(session, &mut s.uncounted, level);
            }
        }
        uncounted.tidy(level, |session| all.get(&session).map(|s| s.uncounted));
    }

    /// Appends counts of the sessions that are to be counted up to `level`.
    pub(super) fn put_counts(&self, level: usize, out: &mut Vec<u8>) {
        let mut before = 0;
        for session in self.uncounted.up_to(level) {
            let Some(s) = self.sessions.get(&session) else { continue };
            put_counts(out, session, before, s.written.unwrap_or(0), s.in_force());
            before = session;
        }
    }

    /// Damage was met: from here on what is missing is counted. `from_start`: before anything else.
    pub(super) fn count_losses(&mut self, from_start: bool) -> &mut Losses {
        let Self { losses, sessions, numbers, .. } = self;
        let known = sessions.iter().map(|(session, s)| (*session, s.written, s.next_order));
        losses.get_or_insert_with(|| Losses::begin((!from_start).then_some(numbers.session), known))
    }

    fn retain(&mut self, version: u64, message: u64, topic: &str, place: Place) {
        self.numbers.version = self.numbers.version.max(version);
        let before = self.retained.get(topic).copied();
        if before.is_some_and(|before| before.version > version) {
            return;
        }
        self.retained.insert(topic.into(), RetainedPlace { version, place, message });
        if message > 0 {
            self.segments.record_begins(place);
            self.name_message(message);
        } else if let Some(usage) = self.segments.get_mut(place.segment) {
            usage.marks += 1;
        }
        if let Some(before) = before
            && before.message > 0
        {
            self.segments.record_ends(before.place);
            self.unname_message(before.message);
        }
    }

    /// Ends a batch: what seals came in it count, and messages that nobody names any more go.
    pub(super) fn end_batch(&mut self) {
        for message in std::mem::take(&mut self.seals) {
            self.unsealed.remove(&message);
        }
        for number in std::mem::take(&mut self.unreferenced) {
            if !self.copied.as_ref().is_some_and(|copied| copied.contains(&number)) {
                self.forget_unreferenced(number);
            }
        }
    }

    fn forget_unreferenced(&mut self, number: u64) {
        let Some(slot) = self.messages.get(number).filter(|slot| slot.refs == 0) else { return };
        self.messages.change(number, |slot| *slot = Slot::default());
        self.segments.message_ends(slot);
        self.unsealed.remove(&number);
    }

    /// Everything was replayed: from here on, what nobody names is not needed.
    pub(super) fn end_replay(&mut self) {
        for number in self.copied.take().unwrap_or_default() {
            self.forget_unreferenced(number);
        }
    }

    /// Whether the message is in the log, so that an entry may name it.
    pub(super) fn has_message(&self, number: u64) -> bool {
        self.messages.get(number).is_some_and(|slot| !slot.place.is_none())
    }

    /// Whether a change of this version would come too late for its topic.
    pub(super) fn has_newer_retained(&self, topic: &str, version: u64) -> bool {
        self.retained.get(topic).is_some_and(|retained| retained.version > version)
    }

    /// Whether the entry counts.
    pub(super) fn is_sealed(&self, message: u64, session: u64, order: u64) -> bool {
        let entries = self.unsealed.get(&message);
        !entries.is_some_and(|entries| entries.contains(&(session, order)))
    }

    /// All entries that no seal came for: session and order.
    pub(super) fn unsealed(&self) -> Vec<(u64, u64)> {
        let mut entries: Vec<_> = self.unsealed.values().flatten().copied().collect();
        entries.sort_unstable();
        entries
    }

    /// Whether the record at `place` is in force.
    pub(super) fn is_live(&self, stored: &Stored<'_>, place: Place) -> bool {
        match *stored {
            Stored::Message { number, .. } => {
                self.messages.get(number).is_some_and(|slot| slot.place == place)
            }
            Stored::Retained { topic, message, .. } => {
                message > 0 && self.retained.get(topic).is_some_and(|r| r.place == place)
            }
            _ => {
                let session = stored.session().and_then(|n| self.sessions.get(&n.0));
                session.is_some_and(|s| s.is_live(stored, place))
            }
        }
    }

    /// Forgets segments that are gone, and what was remembered because of them.
    pub(super) fn forget_below(&mut self, oldest: u32) {
        let marks =
            |(segment, usage): (u32, &super::messages::Usage)| segment < oldest && usage.marks > 0;
        if self.segments.iter().any(marks) {
            self.retained.retain(|_, r| r.message > 0 || r.place.segment >= oldest);
        }
        self.segments.forget_below(oldest);
    }
}

impl SessionState {
    /// Entries that have not come to their end; of some only PUBREL is left.
    fn in_force(&self) -> u64 {
        let released = self.under_way.values().filter(|u| !u.released.is_none());
        (self.queue.len() + released.count()) as u64
    }

    fn is_live(&self, stored: &Stored<'_>, place: Place) -> bool {
        let stands = match *stored {
            Stored::Session { .. } => Some(self.base),
            Stored::Disconnected { .. } => Some(self.offline),
            Stored::Will { .. } => Some(self.will),
            Stored::Subscribed { filter, .. } => self.subscriptions.get(filter).copied(),
            Stored::Inbound { packet_id, .. } => self.inbound.get(&packet_id.get()).copied(),
            Stored::Queued(entry) => self.queue.get(entry.order).map(|entry| entry.place),
            Stored::InFlight { order, .. } => self.under_way.get(&order).map(|u| u.place),
            Stored::Released { order, .. } => self.under_way.get(&order).map(|u| u.released),
            _ => None,
        };
        stands == Some(place)
    }
}
