//! Queues beyond memory: what goes to a queue's tail, and how it comes back.
//!
//! A session's queue may take `queue_memory_bytes`, all queues together
//! `queue_memory_total_bytes`; what is recorded beyond that is its tail (`tail.rs`). While its
//! client is there and no more than half of that is left in memory, the next portion is asked for
//! (`Request::Load`), so that it is there when it is needed. What the log cannot have yet is asked
//! for again after the next commit.
//!
//! Documented consequences: a QoS 0 message that would have to wait where no memory is left is
//! dropped and counted. One that expires in a tail is dropped when it is met, or found in the
//! background: at each sweep a portion of one tail whose client is away is read. `drop oldest`
//! drops what the log alone has without reading it; only where nobody knows which entry is the
//! oldest (after a restart, and behind expired ones), the newest gives way, and a portion is read.
//! If a session ends whose tail may hold shared messages, it is read in portions, and its end is
//! recorded behind it; each portion is with others before the next is asked for.
//!
//! Invariants: one load per session at a time; an answer is taken if it is the one that was asked
//! for, else ignored and counted; what is read is handled in the order of its numbers.

use super::deliver::PUMP_MESSAGES_MAX;
use super::input::{Effects, LoadedEntries, Request, SessionKey};
use super::limits::QueueFull;
use super::message::Message;
use super::publication::Publication;
use super::record::{DropReason, Record};
use super::restore::RestoredEntry;
use super::seal::{EndingKey, SealRef};
use super::session::{Claim, Queue, QueueSums, Queued, Session};
use super::tail::{Oldest, Tail};
use super::{Broker, Time};
use crate::codec::QoS;

/// How much of a queue is read at a time where `queue_memory_bytes` does not say so.
const PORTION_BYTES: usize = 256 << 10;
/// The same for a session that has ended.
const ENDING_PORTION_BYTES: usize = 64 << 10;
/// How many sessions one sweep looks at to find a tail that may have expired messages.
const WALK_SESSIONS_MAX: usize = 1_000;
/// How many entries are read at a time.
const PORTION_MESSAGES_MAX: usize = 4 * PUMP_MESSAGES_MAX;

/// What this shard knows of loads.
#[derive(Debug, Default)]
pub(super) struct Loads {
    /// memory that is set aside for what is asked for
    bytes: usize,
    /// sessions whose next entries were not committed when they were asked for
    waiting: Vec<SessionKey>,
    /// likewise
    waiting_endings: Vec<EndingKey>,
    /// where the search for expired messages goes on
    walk_from: usize,
}

/// The tail of a session that has ended.
#[derive(Debug)]
pub(super) struct Unread {
    tail: Box<Tail>,
    /// entries in it that were in memory: they are with others
    in_memory: Vec<u64>,
}

impl Broker {
    /// Changes a session's queue, and the counters with it.
    pub(super) fn change_queue<T>(
        &mut self,
        session: SessionKey,
        change: impl FnOnce(&mut Queue) -> T,
    ) -> Option<T> {
        let queue = &mut self.sessions.get_mut(session)?.queue;
        let before = queue.sums();
        let done = change(queue);
        if queue.tail().is_some_and(Tail::is_over) {
            queue.end_tail();
        }
        let after = queue.sums();
        self.count_queue(before, after);
        if after.bytes < before.bytes || after.messages < before.messages {
            self.relieve(session);
        }
        Some(done)
    }

    fn count_queue(&mut self, before: QueueSums, after: QueueSums) {
        let c = &mut self.counters;
        for (counter, before, after) in [
            (&mut c.queued_messages, before.messages, after.messages),
            (&mut c.queued_bytes, before.bytes, after.bytes),
            (&mut c.queued_unread, before.unread, after.unread),
            (&mut c.queued_unread_bytes, before.unread_bytes, after.unread_bytes),
        ] {
            *counter = *counter + after as u64 - before as u64;
        }
        self.loads.bytes = self.loads.bytes + after.loading_bytes - before.loading_bytes;
    }

    /// What is left of the memory for all queues together, in bytes.
    fn room_in_all(&self) -> usize {
        let c = &self.counters;
        let used = (c.queued_bytes - c.queued_unread_bytes) as usize + self.loads.bytes;
        self.limits.queue_memory_total_bytes.saturating_sub(used)
    }

    /// How much more of a session's queue may be in memory, in bytes.
    pub(super) fn queue_room(&self, session: SessionKey) -> usize {
        let queue = self.sessions.get(session).map(|s| &s.queue);
        let own = match self.limits.queue_memory_bytes {
            0 => usize::MAX,
            max => max.saturating_sub(queue.map_or(0, Queue::memory_bytes)),
        };
        own.min(self.room_in_all())
    }

    /// Whether an entry that comes now need not be in memory: there is no room, or others before it
    /// are not, and the log, which is told of it, can give it back.
    pub(super) fn is_for_log_alone(&self, to: SessionKey, claim: Claim) -> bool {
        let Some(s) = self.sessions.get(to) else { return false };
        claim.is_recorded(s) && (s.queue.has_tail() || claim.bytes > self.queue_room(to))
    }

    /// Such an entry takes its place at the end: the log gets the message itself.
    pub(super) fn leave_to_log_alone(
        &mut self,
        to: SessionKey,
        mut entry: Queued,
        fx: &mut Effects,
    ) {
        let Some(s) = self.sessions.get_mut(to) else { return };
        s.last_order += 1;
        entry.order = s.last_order;
        let (number, order, seal) = (s.number, entry.order, entry.seal);
        let (bytes, shared) = (entry.cost_bytes(), entry.is_shared());
        let expires = entry.message.expires() != Time::NEVER;
        self.record(fx, entry.into_record(number));
        let seq = self.seq;
        self.drop_seal_ref(seal);
        self.change_queue(to, |queue| {
            let tail = queue.tail_from(order);
            tail.push(order, bytes, shared, seq);
            if expires {
                tail.can_expire();
            }
        });
    }

    /// Queues a message that the log alone gets, if there is nothing about it but topic and
    /// payload. False if it has to go another way.
    pub(super) fn queue_plain(
        &mut self,
        to: SessionKey,
        publication: &Publication<'_>,
        qos: QoS,
        fx: &mut Effects,
    ) -> bool {
        let Some(parts) = publication.as_plain() else { return false };
        let bytes = parts.topic.as_str().len() + parts.payload.len();
        let claim = Claim::of(bytes, qos, publication.safety);
        if !self.is_for_log_alone(to, claim) {
            return false;
        }
        if !self.make_room_or_drop(to, claim, fx) {
            return true;
        }
        if !self.is_for_log_alone(to, claim) {
            return false; // others gave way
        }
        let Some(s) = self.sessions.get_mut(to) else { return false };
        s.last_order += 1;
        let (session, order) = (s.number, s.last_order);
        let message = self.block.message(parts);
        self.record(fx, Record::QueuedPlain { session, order, message, qos });
        let seq = self.seq;
        self.change_queue(to, |queue| queue.tail_from(order).push(order, claim.bytes, false, seq));
        self.was_queued(to, fx);
        true
    }

    /// Any other entry that is recorded, or of a queue with a tail, takes its place at the end.
    pub(super) fn put_in_queue(&mut self, to: SessionKey, entry: Queued) {
        let tailed = self.sessions.get(to).is_some_and(|s| s.queue.has_tail());
        let over = entry.order > 0 && entry.cost_bytes() > self.queue_room(to);
        let seq = self.seq;
        self.change_queue(to, |queue| match entry.qos {
            // What the log cannot give back stays in memory, in its place.
            QoS::AtLeastOnce | QoS::ExactlyOnce if tailed || over => {
                queue.tail_from(entry.order).keep(entry, seq);
            }
            _ => queue.push(entry),
        });
    }

    /// The seal of entries has come: those in the tail need no memory any longer.
    pub(super) fn leave_to_log(&mut self, session: SessionKey, seal: SealRef) {
        if !self.sessions.get(session).is_some_and(|s| s.queue.has_tail()) {
            return;
        }
        let done = self
            .change_queue(session, |queue| queue.tail_mut().map_or(0, |tail| tail.is_sealed(seal)));
        (0..done.unwrap_or(0)).for_each(|_| self.drop_seal_ref(seal));
    }

    /// Makes room for one more in a session's queue. False, and counted: there is none.
    pub(super) fn make_room_or_drop(
        &mut self,
        to: SessionKey,
        claim: Claim,
        fx: &mut Effects,
    ) -> bool {
        let fits = self.make_room(to, claim, fx);
        if !fits {
            self.counters.dropped_queue_full += 1;
            self.note_loss(to, DropReason::QueueFull, u64::from(claim.qos != QoS::AtMostOnce));
        }
        fits
    }

    /// Makes room for one more in a session's queue; false if the new message has to go.
    fn make_room(&mut self, to: SessionKey, claim: Claim, fx: &mut Effects) -> bool {
        let Claim { bytes, qos, .. } = claim;
        loop {
            let Some(s) = self.sessions.get(to) else { return true };
            let (l, c) = (&self.limits, &self.counters);
            let all = (c.queued_bytes + c.in_flight_bytes) as usize + bytes;
            // What the log keeps leaves memory when it is too much there; the rest stays.
            let alone = qos != QoS::AtMostOnce && !claim.is_recorded(s);
            let stays = alone || !s.is_recorded() || !l.queues_leave_memory();
            let fits = s.queue.len() < l.queued_messages_max
                && s.queue.bytes() + bytes <= self.queued_bytes_max_of(s)
                && all <= l.queue_bytes_max;
            let fits_memory = !stays
                || s.queue.memory_bytes() + bytes <= l.session_memory_bytes_max
                    && all - c.queued_unread_bytes as usize <= l.queue_memory_total_bytes;
            if fits && fits_memory {
                return true;
            }
            // Nothing that the log keeps gives way to save memory for what it does not keep.
            let costs_kept = || s.queue.front().is_none_or(|first| first.order > 0);
            if fits && l.queues_leave_memory() && s.is_recorded() && costs_kept() {
                return false;
            }
            match l.queue_full {
                QueueFull::DropOldest => {}
                QueueFull::DropNewest => return false,
                // Who was to be refused was: it is under way already.
                QueueFull::Refuse => {
                    let lasts = s.is_kept() && qos != QoS::AtMostOnce;
                    let fits_memory = fits_memory || !alone;
                    let end = self.queued_bytes_end();
                    return lasts && fits_memory && s.queue.bytes() + bytes <= end;
                }
            }
            if !self.drop_oldest(to, fx) {
                return false;
            }
            self.counters.dropped_queue_full += 1;
        }
    }

    /// The oldest entry of a queue gives way. False if there is none, or nobody knows which it is.
    fn drop_oldest(&mut self, session: SessionKey, fx: &mut Effects) -> bool {
        if let Some(dropped) = self.dequeue(session) {
            self.record_dropped(session, &dropped, DropReason::QueueFull, fx);
            return true;
        }
        let oldest = self.change_queue(session, |queue| {
            queue.tail_mut().map_or(Oldest::None, Tail::drop_oldest)
        });
        match oldest {
            Some(Oldest::Kept(entry)) => {
                self.record_dropped(session, &entry, DropReason::QueueFull, fx);
                true
            }
            Some(Oldest::Unread(order)) => {
                self.record_unread_dropped(session, order, DropReason::QueueFull, fx);
                true
            }
            Some(Oldest::Unknown) => {
                let bytes = self.portion_bytes().min(self.room_in_all()).max(1);
                self.ask_load(session, bytes, fx);
                false
            }
            Some(Oldest::None) | None => false,
        }
    }

    fn record_unread_dropped(
        &mut self,
        session: SessionKey,
        order: u64,
        why: DropReason,
        fx: &mut Effects,
    ) {
        self.note_loss(session, why, 1);
        let Some(session) = self.sessions.get(session).map(|s| s.number) else { return };
        self.record(fx, Record::Dropped { session, order, why });
    }

    fn portion_bytes(&self) -> usize {
        match self.limits.queue_memory_bytes {
            0 => PORTION_BYTES,
            max => max,
        }
    }

    /// Asks for the next portion if the client is there and half of the last one is used up.
    pub(super) fn read_ahead(&mut self, session: SessionKey, fx: &mut Effects) {
        let Some(s) = self.sessions.get(session).filter(|s| s.link.is_some()) else { return };
        let (head, portion, all) = (s.queue.head_bytes(), self.portion_bytes(), self.room_in_all());
        if head > portion / 2 || head > 0 && all == 0 {
            return;
        }
        // At least one: everybody gets on, even where there is no memory left.
        self.ask_load(session, (portion - head).min(all).max(1), fx);
    }

    fn ask_load(&mut self, session: SessionKey, bytes_max: usize, fx: &mut Effects) {
        let committed = self.gate.settled.written();
        let from = self.change_queue(session, |queue| queue.tail_mut()?.ask(bytes_max, committed));
        let Some(number) = self.sessions.get(session).map(|s| s.number) else { return };
        if let Some(from_order) = from.flatten() {
            let count = portion_messages(bytes_max);
            fx.requests.push(Request::Load { session, number, from_order, count, bytes_max });
        }
    }

    /// The answer to a load.
    pub(super) fn on_loaded(
        &mut self,
        now: Time,
        session: SessionKey,
        loaded: LoadedEntries,
        fx: &mut Effects,
    ) {
        let (number, from_order, next) = (loaded.number, loaded.from_order, loaded.next_order);
        let is_its = |s: &&Session| s.number == number;
        if self.sessions.get(session).filter(is_its).is_none() {
            self.on_ending_loaded(now, loaded, fx);
            return;
        }
        let asked =
            self.change_queue(session, |queue| queue.tail_mut()?.answered(from_order)).flatten();
        let Some(asked) = asked else {
            self.counters.stale_inputs += 1;
            return;
        };
        self.counters.loads += 1;
        if asked.walk {
            self.take_walk(now, session, loaded, fx);
            self.go_on(now, session, fx);
            return;
        }
        for (order, entry) in in_order(loaded) {
            self.take_loaded(now, session, order, entry, fx);
        }
        let committed = self.gate.settled.written();
        let done = self.change_queue(session, |queue| {
            let Some(tail) = queue.tail_mut() else { return (0, false) };
            if tail.is_read(asked, next) {
                let lost = tail.unread();
                queue.end_tail();
                return (lost, false);
            }
            tail.waits = next.is_none() && asked.committed == committed;
            (0, tail.waits)
        });
        let (lost, waits) = done.unwrap_or_default();
        self.counters.dropped_unreadable += lost as u64;
        if lost > 0 {
            self.note_loss(session, DropReason::Unreadable, lost as u64);
        }
        if waits {
            self.loads.waiting.push(session);
        }
        self.go_on(now, session, fx);
    }

    /// Takes over one entry, or its loss.
    fn take_loaded(
        &mut self,
        now: Time,
        session: SessionKey,
        order: u64,
        entry: Option<RestoredEntry>,
        fx: &mut Effects,
    ) {
        let unreadable = entry.is_none();
        let dropped = self.change_queue(session, |queue| {
            queue.take_kept(order);
            let tail = queue.tail_mut().filter(|tail| tail.has(order))?; // else it gave way
            if let Some(kept) = tail.kept_at(order) {
                queue.push(kept);
                return None;
            }
            let entry = entry.map(RestoredEntry::queued);
            tail.take(order, entry.as_ref().map(Queued::cost_bytes));
            match entry {
                None => Some(DropReason::Unreadable),
                Some(entry) if entry.message.is_expired(now) => Some(DropReason::Expired),
                Some(entry) => {
                    queue.push(entry);
                    None
                }
            }
        });
        if let Some(why) = dropped.flatten() {
            self.counters.dropped_unreadable += u64::from(unreadable);
            self.counters.dropped_expired += u64::from(!unreadable); // [MQTT-3.3.2-5]
            self.record_unread_dropped(session, order, why, fx);
        }
    }

    /// Asks for a portion of the next tail whose client is away, to see what has expired in it.
    pub(super) fn walk_tails(&mut self, fx: &mut Effects) {
        for _ in 0..WALK_SESSIONS_MAX.min(self.sessions.len()) {
            let next = self.sessions.next_from(self.loads.walk_from);
            let Some((session, s)) = next.or_else(|| self.sessions.next_from(0)) else { return };
            self.loads.walk_from = session.index() + 1;
            if s.link.is_some() || !s.queue.has_tail() {
                continue;
            }
            let (number, committed) = (s.number, self.gate.settled.written());
            let bytes_max = PORTION_BYTES.min(self.room_in_all());
            let ask = |queue: &mut Queue| queue.tail_mut()?.ask_walk(bytes_max, committed);
            if bytes_max > 0
                && let Some(from_order) = self.change_queue(session, ask).flatten()
            {
                let count = PORTION_MESSAGES_MAX;
                fx.requests.push(Request::Load { session, number, from_order, count, bytes_max });
                return;
            }
        }
    }

    /// Drops what has expired, and leaves the rest where it is.
    fn take_walk(
        &mut self,
        now: Time,
        session: SessionKey,
        loaded: LoadedEntries,
        fx: &mut Effects,
    ) {
        let next = loaded.next_order;
        for entry in loaded.entries.into_iter().filter(|entry| entry.message.is_expired(now)) {
            let (order, entry) = (entry.order, entry.queued());
            let expire = |queue: &mut Queue| {
                queue.tail_mut()?.expire(order, entry.cost_bytes()).then_some(())
            };
            if self.change_queue(session, expire).flatten().is_some() {
                self.counters.dropped_expired += 1;
                self.record_unread_dropped(session, order, DropReason::Expired, fx);
            }
        }
        let seq = self.seq;
        self.change_queue(session, |queue| {
            queue.tail_mut().into_iter().for_each(|tail| tail.is_walked(next, seq));
        });
    }

    /// Something was committed: the log may have what it did not have yet.
    pub(super) fn loads_go_on(&mut self, now: Time, fx: &mut Effects) {
        for session in std::mem::take(&mut self.loads.waiting) {
            if let Some(s) = self.sessions.get_mut(session) {
                s.queue.tail_mut().into_iter().for_each(|tail| tail.waits = false);
                self.read_ahead(session, fx);
            }
        }
        for ending in std::mem::take(&mut self.loads.waiting_endings) {
            if let Some(unread) = self.unread_of(ending) {
                unread.tail.waits = false;
                self.next_portion(now, ending, fx);
            }
        }
    }

    /// The queue of a session that ends is left with what is in memory. Its tail is read if there
    /// may be shared messages in it.
    pub(super) fn leave_tail(&mut self, s: &mut Session, ending: Option<EndingKey>) {
        let before = s.queue.sums();
        let in_memory = s.queue.tail().into_iter().flat_map(|tail| tail.kept()).map(|e| e.order);
        let in_memory = in_memory.collect();
        let tail = s.queue.leave_tail();
        self.count_queue(before, QueueSums::default());
        let reads = |tail: &Tail| tail.shared && tail.unread() > 0;
        let groups = !self.subscriptions.groups.is_empty();
        if let Some(mut tail) = tail.filter(|tail| groups && reads(tail))
            && let Some(ending) = ending
        {
            tail.waits = false; // it was the session that waited
            tail.load.take_if(|load| load.walk);
            self.loads.bytes += tail.load.map_or(0, |load| load.bytes);
            self.end_waits_for(ending, Unread { tail, in_memory });
        }
    }

    /// Asks for the next portion of a session that has ended, if the one before is with others.
    pub(super) fn next_portion(&mut self, now: Time, key: EndingKey, fx: &mut Effects) {
        let Some((session, number)) = self.is_at_its_tail(key) else { return };
        let committed = self.gate.settled.written();
        let Some(unread) = self.unread_of(key) else { return };
        let Some(from_order) = unread.tail.ask(ENDING_PORTION_BYTES, committed) else { return };
        self.loads.bytes += ENDING_PORTION_BYTES;
        let (count, bytes_max) = (PORTION_MESSAGES_MAX, ENDING_PORTION_BYTES);
        fx.requests.push(Request::Load { session, number, from_order, count, bytes_max });
        self.record_rerouted(now, key, fx);
    }

    /// The same for the tail of a session that has ended: shared messages go to other members.
    fn on_ending_loaded(&mut self, now: Time, loaded: LoadedEntries, fx: &mut Effects) {
        let (from, next) = (loaded.from_order, loaded.next_order);
        let load = |unread: &Unread| unread.tail.load.filter(|load| load.from_order == from);
        let Some((key, asked)) = self.find_ending(loaded.number, load) else {
            self.counters.stale_inputs += 1;
            return;
        };
        self.counters.loads += 1;
        for (order, entry) in in_order(loaded) {
            let Some(unread) = self.unread_of(key) else { return };
            if !unread.tail.has(order) || unread.in_memory.contains(&order) {
                continue;
            }
            unread.tail.take(order, None);
            let Some(entry) = entry else {
                self.counters.dropped_unreadable += 1;
                continue;
            };
            if let Some(group) = entry.group {
                let of = Some((key, order));
                self.reroute_entry(now, (group, entry.message), SealRef::default(), of, fx);
            }
        }
        let committed = self.gate.settled.written();
        let Some(unread) = self.unread_of(key) else { return };
        unread.tail.load = None;
        let done = unread.tail.is_read(asked, next);
        unread.tail.waits = !done && next.is_none() && asked.committed == committed;
        let waits = unread.tail.waits;
        self.loads.bytes -= asked.bytes;
        if waits {
            self.loads.waiting_endings.push(key);
        } else if done {
            self.end_is_read(now, key, fx);
        } else {
            self.next_portion(now, key, fx);
        }
    }

    /// That memory set aside for loads is for loads that are under way. For `check_invariants`.
    pub(super) fn check_loads(&self) {
        let sums = self.sessions.iter().map(|(_, s)| s.queue.sums());
        let (mut unread, mut unread_bytes, mut bytes) = (0, 0, 0);
        for sums in sums {
            unread += sums.unread as u64;
            unread_bytes += sums.unread_bytes as u64;
            bytes += sums.loading_bytes;
        }
        let endings = self.unread_endings().filter_map(|unread| unread.tail.load);
        bytes += endings.map(|load| load.bytes).sum::<usize>();
        let c = &self.counters;
        assert_eq!((c.queued_unread, c.queued_unread_bytes), (unread, unread_bytes), "tails");
        assert_eq!(self.loads.bytes, bytes, "memory that is set aside");
    }
}

/// Small messages take more memory in a queue than the log counts for them.
fn portion_messages(bytes: usize) -> usize {
    (bytes / (size_of::<Queued>() + Message::cost_of(0))).clamp(1, PORTION_MESSAGES_MAX)
}

/// What was read and what could not be, in the order of their numbers.
fn in_order(loaded: LoadedEntries) -> impl Iterator<Item = (u64, Option<RestoredEntry>)> {
    let mut unreadable = loaded.unreadable.into_iter().peekable();
    let mut entries = loaded.entries.into_iter().peekable();
    std::iter::from_fn(move || {
        let lost = match (unreadable.peek(), entries.peek()) {
            (Some(lost), Some(entry)) => *lost < entry.order,
            (lost, _) => lost.is_some(),
        };
        match lost {
            true => unreadable.next().map(|order| (order, None)),
            false => entries.next().map(|entry| (entry.order, Some(entry))),
        }
    })
}
