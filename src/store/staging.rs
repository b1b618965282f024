//! Where records wait for the committer; and where those that nobody needs any more become void.
//!
//! May use: records, hashbrown. On the way of every durable message: a `Queued` costs one insert
//! into a small table when something comes that may end it (never, if its receiver is away), what
//! ends it one removal, nothing else. Invariants: records are taken in the order in which they were
//! pushed; a void record is never taken, and its number is told once.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::ahead;
use super::record::Record;
use crate::broker::{Seq, ShardId, Spent};
use crate::codec::QoS;

/// A record with its number in its shard.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) shard: ShardId,
    pub(super) seq: Seq,
    /// `None`: void
    pub(super) record: Option<Record>,
    /// see `Staging::is_urgent`
    urgent: bool,
}

/// Where the records of an entry that may still become void stand.
#[derive(Clone, Copy, Debug)]
struct Voidable {
    queued: u64,
    in_flight: u64,
    released: u64,
    /// of QoS 1: sent at once, and acknowledged soon
    is_quick: bool,
}

impl Voidable {
    fn new(queued: u64, qos: QoS) -> Self {
        let is_quick = qos == QoS::AtLeastOnce;
        Self { queued, in_flight: NOWHERE, released: NOWHERE, is_quick }
    }
}

const NOWHERE: u64 = u64::MAX;
/// Room for so many records at most is made ahead, and for twice as many kept.
const RESERVED_MAX: usize = 1 << 16;
/// So many entries that were taken may be left in the table of what may become void.
const STALE_MAX: usize = 1 << 12;
/// Room for so many is always kept.
const RESERVED_MIN: usize = 1 << 12;

/// What one batch is to hold.
#[derive(Debug, Default)]
pub struct Taken {
    pub(super) records: Vec<Staged>,
    /// what is committed, by shard, once they are
    pub(super) upto: Vec<(ShardId, Seq)>,
    /// those of them that stand behind that
    pub(super) ahead: Vec<(ShardId, Seq)>,
    wants_sync: bool,
    /// how many records it held before they were spent
    count: usize,
}

impl Taken {
    /// Whether something in it waits until it is safe: to be committed with `Sync::Now`.
    pub fn wants_sync(&self) -> bool {
        self.wants_sync
    }

    /// Whether there is nothing to commit, nor to say.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.upto.is_empty()
    }

    /// Whether something came, and all of it is void.
    pub fn is_void(&self) -> bool {
        !self.upto.is_empty() && self.records.iter().all(|staged| staged.record.is_none())
    }

    /// What it holds of messages that nobody else has: they are written.
    pub(super) fn spend(&mut self) -> Vec<(ShardId, Spent)> {
        let mut all: Vec<(ShardId, Spent)> = Vec::new();
        let mut at = 0;
        self.count = self.records.len();
        for staged in self.records.drain(..) {
            let Some(Record::Queued { message, .. }) = staged.record else { continue };
            if all.get(at).is_none_or(|(shard, _)| *shard != staged.shard) {
                at = all.iter().position(|(shard, _)| *shard == staged.shard).unwrap_or(all.len());
                if at == all.len() {
                    all.push((staged.shard, Spent::default()));
                }
            }
            all[at].1.add(message);
        }
        all
    }

    /// Whether it only frees: then it is written even when the disk is full.
    pub fn frees(&self) -> bool {
        self.records.iter().filter_map(|staged| staged.record.as_ref()).all(Record::frees)
    }
}

/// What went through, and what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StagingCounts {
    /// records pushed since the start
    pub records: u64,
    /// how many of them became void
    pub void: u64,
    /// records that wait
    pub staged: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Staging {
    records: Vec<Staged>,
    /// how many were taken before the first of them: entries' records are found by number
    taken: u64,
    /// how many of them are urgent
    urgent: usize,
    /// what waited when `mark` was called: records, and the last numbers
    mark: Option<(usize, Vec<(ShardId, Seq)>)>,
    /// room for records that was used already
    room: Vec<Staged>,
    /// how many records batches had lately
    recent: usize,
    voidable: HashMap<(u64, u64), Voidable, FixedState>,
    /// up to here, counted as `taken` is, what may become void is in that table
    listed: u64,
    /// something ended an entry lately: what comes is listed at once, where it stands
    ends: bool,
    /// the last number pushed, by shard, where it is not reported as committed yet
    last: Vec<(ShardId, Seq)>,
    /// something that waits here waits for a sync
    wants_sync: bool,
    counts: StagingCounts,
}

impl Staging {
    /// Nothing waits. `seed` is for the hasher.
    pub fn new(seed: u64) -> Self {
        Self {
            records: Vec::new(),
            taken: 0,
            urgent: 0,
            mark: None,
            room: Vec::new(),
            recent: 0,
            voidable: HashMap::with_hasher(FixedState::with_seed(seed)),
            listed: 0,
            ends: false,
            last: Vec::new(),
            wants_sync: false,
            counts: StagingCounts::default(),
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    /// What went through, and what waits.
    pub fn counts(&self) -> StagingCounts {
        StagingCounts { staged: self.records.len(), ..self.counts }
    }

    /// Whether something waits that will not become void soon, or that somebody waits for until it
    /// is written. Not so: a message of QoS 1 that was sent to its receiver, and ends.
    pub fn is_urgent(&self) -> bool {
        self.urgent > 0
    }

    /// Takes the records of a shard's pass, in order; the last of them is number `last`. To be
    /// called before the pass's messages to other shards are sent. `sync`: some of them wait until
    /// they are safe, or some that were pushed before: then there may be none now. Appends to
    /// `void` the numbers, of this shard, of those that need not be waited for any longer: the
    /// ending records themselves included. (A session is one shard's, so what ends an entry comes
    /// from where it came from.)
    pub fn push(
        &mut self,
        shard: ShardId,
        records: &mut Vec<Record>,
        last: Seq,
        sync: bool,
        void: &mut Vec<Seq>,
    ) {
        if records.is_empty() && !sync {
            return;
        }
        self.wants_sync |= sync;
        let first = last.0 + 1 - records.len() as u64;
        self.counts.records += records.len() as u64;
        let mut void = |of, seq| {
            debug_assert_eq!(of, shard, "a session is one shard's");
            void.push(seq);
        };
        let mut records = records.drain(..);
        for seq in (first..=last.0).map(Seq) {
            // It is looked at where it stands: what was moved just now would be waited for.
            let looked_at = records.as_slice().first().map(|r| self.look(shard, seq, r, &mut void));
            self.keep(shard, seq, records.next(), looked_at.flatten());
        }
        drop(records);
        match self.last.iter_mut().find(|(of, _)| *of == shard) {
            Some((_, known)) => *known = last,
            None => self.last.push((shard, last)),
        }
    }

    fn add(
        &mut self,
        shard: ShardId,
        seq: Seq,
        record: Record,
        void: &mut impl FnMut(ShardId, Seq),
    ) {
        let urgent = self.look(shard, seq, &record, void);
        self.keep(shard, seq, Some(record), urgent);
    }

    /// Puts a record where it waits, if it was not found void.
    fn keep(&mut self, shard: ShardId, seq: Seq, record: Option<Record>, urgent: Option<bool>) {
        if let Some(urgent) = urgent {
            self.urgent += usize::from(urgent);
            self.records.push(Staged { shard, seq, record, urgent });
        }
    }

    /// What a record that comes next means for those that wait; `None`: it is void itself, else
    /// whether it is urgent.
    fn look(
        &mut self,
        shard: ShardId,
        seq: Seq,
        record: &Record,
        void: &mut impl FnMut(ShardId, Seq),
    ) -> Option<bool> {
        let at = self.taken + self.records.len() as u64;
        let mut urgent = true;
        match record {
            Record::Queued { .. } | Record::QueuedPlain { .. }
                if self.ends && self.listed == at =>
            {
                self.list_one(record, at);
                self.listed = at + 1;
            }
            Record::InFlight { session, order, .. } => {
                let key = (session.0, *order);
                if self.add_to(key, |voidable| &mut voidable.in_flight, at)
                    && let Some(voidable) = self.voidable.get(&key).filter(|v| v.is_quick)
                {
                    urgent = false;
                    let queued = voidable.queued;
                    self.calm(queued);
                }
            }
            Record::Released { session, order } => {
                self.add_to((session.0, *order), |voidable| &mut voidable.released, at);
            }
            Record::Acknowledged { session, order } | Record::Dropped { session, order, .. } => {
                self.list();
                if let Some(voidable) = self.voidable.remove(&(session.0, *order))
                    && voidable.queued >= self.taken
                {
                    for at in [voidable.queued, voidable.in_flight, voidable.released] {
                        self.make_void(at, void);
                    }
                    self.counts.void += 1;
                    void(shard, seq);
                    return None;
                }
                urgent = false;
            }
            Record::Disconnected { .. } => urgent = false,
            _ => {}
        }
        Some(urgent)
    }

    /// Lists the entries that came since this was called last: now one may come to its end.
    fn list(&mut self) {
        let from = self.listed.max(self.taken);
        let records = std::mem::take(&mut self.records);
        let new = records.iter().skip((from - self.taken) as usize);
        for (at, staged) in (from..).zip(new) {
            staged.record.iter().for_each(|record| self.list_one(record, at));
        }
        self.records = records;
        self.listed = self.taken + self.records.len() as u64;
        self.ends = true;
    }

    fn list_one(&mut self, record: &Record, at: u64) {
        if let Some((session, order, qos)) = record.queued() {
            self.voidable.insert((session.0, order), Voidable::new(at, qos));
        }
    }

    /// Notes one more record of an entry that may become void. False: it is none. A second one of a
    /// kind is not foreseen: then all of them are written.
    fn add_to(&mut self, key: (u64, u64), part: fn(&mut Voidable) -> &mut u64, at: u64) -> bool {
        self.list();
        let Some(voidable) = self.voidable.get_mut(&key) else { return false };
        let is_known =
            voidable.queued >= self.taken && std::mem::replace(part(voidable), at) == NOWHERE;
        if !is_known {
            self.voidable.remove(&key);
        }
        is_known
    }

    fn staged(&mut self, at: u64) -> Option<&mut Staged> {
        self.records.get_mut(usize::try_from(at.checked_sub(self.taken)?).ok()?)
    }

    fn calm(&mut self, at: u64) {
        if let Some(staged) = self.staged(at) {
            let was_urgent = std::mem::take(&mut staged.urgent);
            self.urgent -= usize::from(was_urgent);
        }
    }

    fn make_void(&mut self, at: u64, void: &mut impl FnMut(ShardId, Seq)) {
        self.calm(at);
        let Some(staged) = self.staged(at) else { return };
        if staged.record.take().is_some() {
            void(staged.shard, staged.seq);
            self.counts.void += 1;
        }
    }

    /// Notes what waits now, for `take_marked`.
    pub fn mark(&mut self) {
        self.mark = Some((self.records.len(), self.last.clone()));
    }

    /// Whether `mark` was called since everything was taken.
    pub fn is_marked(&self) -> bool {
        self.mark.is_some()
    }

    /// Takes what waited when `mark` was called, in place of everything, and marks what is left.
    pub fn take_marked(&mut self) -> Taken {
        let Some((count, upto)) = self.mark.take() else { return Taken::default() };
        let mut rest = std::mem::take(&mut self.room);
        rest.extend(self.records.drain(count.min(self.records.len())..));
        let records = std::mem::replace(&mut self.records, rest);
        self.taken += records.len() as u64;
        self.urgent -= records.iter().filter(|staged| staged.urgent).count();
        // What became of entries that were taken is passed over when it is met: their records that
        // are left are not void without them. To take each out of the table now costs more.
        if self.voidable.len() > 2 * self.records.len() + STALE_MAX {
            let taken = self.taken;
            self.voidable.retain(|_, voidable| voidable.queued >= taken);
        }
        self.last.retain(|last| !upto.contains(last));
        let wants_sync = self.wants_sync;
        self.wants_sync &= !self.last.is_empty();
        self.mark();
        Taken { records, upto, wants_sync, ..Taken::default() }
    }

    /// Takes everything of all shards: one batch.
    pub fn take(&mut self) -> Taken {
        self.begin_anew();
        let mut next = std::mem::take(&mut self.room);
        // The next batch will be about as large.
        next.reserve(self.records.len().min(RESERVED_MAX));
        Taken {
            records: std::mem::replace(&mut self.records, next),
            upto: std::mem::take(&mut self.last),
            wants_sync: std::mem::take(&mut self.wants_sync),
            ..Taken::default()
        }
    }

    /// What was taken is written: its room serves again, if it is not much more than is needed.
    pub(super) fn reuse(&mut self, taken: Taken) {
        let Taken { mut records, count, .. } = taken;
        records.clear();
        self.recent = count.max(self.recent - self.recent / 8);
        let (room, wanted) = (records.capacity(), self.recent.max(RESERVED_MIN / 4));
        if room <= 2 * RESERVED_MAX && room / 4 <= wanted && room > self.room.capacity() {
            self.room = records;
        }
    }

    /// Whether memory is kept for large batches.
    pub(super) fn holds_room(&self) -> bool {
        self.room.capacity() > RESERVED_MIN
    }

    /// No batch comes for now: that memory goes.
    pub(super) fn let_go(&mut self) {
        (self.room, self.recent) = (Vec::new(), 0);
    }

    /// Nothing waits, to what is counted of it.
    fn begin_anew(&mut self) {
        self.voidable.clear();
        (self.taken, self.urgent, self.mark) = (0, 0, None);
        (self.listed, self.ends) = (0, false);
    }

    /// Puts back what could not be committed, before everything that came since; some of it may be
    /// void now (see `push`), of any shard.
    pub fn put_back(&mut self, taken: Taken, void: &mut Vec<(ShardId, Seq)>) {
        let newer = std::mem::take(&mut self.records);
        self.begin_anew();
        self.wants_sync |= taken.wants_sync;
        for (shard, seq) in taken.upto {
            if !self.last.iter().any(|(of, _)| *of == shard) {
                self.last.push((shard, seq));
            }
        }
        for staged in taken.records.into_iter().chain(newer) {
            if let Some(record) = staged.record {
                self.add(staged.shard, staged.seq, record, &mut |of, seq| void.push((of, seq)));
            }
        }
    }

    /// Takes what frees and depends on nothing that has to wait: what can be written when the disk
    /// is full. A shard's numbers are committed up to the first that still waits; those behind it
    /// that go ahead are listed. If anything waits for a sync, both parts are said to.
    pub fn take_freeing(&mut self) -> Taken {
        let (records, waiting) = ahead::part(std::mem::take(&mut self.records));
        let upto = self.upto(&waiting);
        let last = |shard: ShardId| upto.iter().find(|(of, _)| *of == shard).map(|(_, seq)| *seq);
        let is_ahead = |staged: &&Staged| last(staged.shard).is_some_and(|seq| staged.seq > seq);
        let ahead = records.iter().filter(is_ahead).map(|s| (s.shard, s.seq)).collect();
        self.begin_anew();
        let wants_sync = self.wants_sync;
        self.wants_sync &= !waiting.is_empty();
        let mut void = 0;
        for staged in waiting {
            if let Some(record) = staged.record {
                self.add(staged.shard, staged.seq, record, &mut |_, _| void += 1);
            }
        }
        debug_assert_eq!(void, 0, "what ends an entry was voided with it");
        Taken { records, upto, ahead, wants_sync, count: 0 }
    }

    /// Up to where the shards' records are committed if only `waiting` are not.
    fn upto(&mut self, waiting: &[Staged]) -> Vec<(ShardId, Seq)> {
        let mut upto = Vec::new();
        self.last.retain(|&(shard, last)| {
            let first = waiting.iter().filter(|staged| staged.shard == shard).map(|s| s.seq).min();
            upto.push((shard, first.map_or(last, |first| Seq(first.0 - 1))));
            first.is_some()
        });
        upto
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{MessageParts, PlainMessage, SessionNumber, Time};
    use crate::codec::{PacketId, Properties};
    use crate::topic::TopicName;

    #[test]
    fn room_for_large_batches_is_kept_until_none_comes() {
        let mut staging = Staging::new(1);
        let (mut void, mut seq) = (Vec::new(), 0);
        let mut batch = |staging: &mut Staging, count: u64| {
            let of = |order| Record::Acknowledged { session: SessionNumber(1), order };
            let mut records: Vec<_> = (seq..seq + count).map(of).collect();
            seq += count;
            staging.push(ShardId(0), &mut records, Seq(seq), false, &mut void);
            let mut taken = staging.take();
            taken.spend();
            staging.reuse(taken);
        };
        batch(&mut staging, 50);
        assert!(!staging.holds_room());
        batch(&mut staging, 40_000);
        assert!(staging.holds_room());
        let room = staging.room.as_ptr();
        staging.push(ShardId(0), &mut vec![], Seq(0), true, &mut Vec::new());
        let taken = staging.take();
        assert_eq!(staging.records.as_ptr(), room, "it serves again");
        staging.reuse(taken);
        staging.let_go();
        assert!(!staging.holds_room());
        batch(&mut staging, 50);
        assert!(!staging.holds_room());
    }

    /// What is sent and never acknowledged leaves nothing that grows.
    #[test]
    fn what_was_taken_does_not_pile_up() {
        let (mut staging, session) = (Staging::new(1), SessionNumber(1));
        let parts = MessageParts {
            qos: QoS::AtLeastOnce,
            retain: false,
            expires: Time::NEVER,
            topic: TopicName::new("a").unwrap(),
            publisher: 0,
            properties: Properties::default(),
            payload: b"",
        };
        let message = PlainMessage::of(&parts).unwrap();
        for order in 1..3 * STALE_MAX as u64 {
            let (message, qos) = (message.clone(), QoS::AtLeastOnce);
            let queued = Record::QueuedPlain { session, order, message, qos };
            let in_flight = Record::InFlight { session, order, packet_id: PacketId::MIN };
            let mut records = vec![queued, in_flight];
            staging.push(ShardId(0), &mut records, Seq(2 * order), true, &mut Vec::new());
            assert!(!staging.is_urgent());
            staging.mark();
            assert_eq!(staging.take_marked().records.len(), 2);
            assert!(staging.voidable.len() <= STALE_MAX, "{order}");
        }
        // And what was taken is not void.
        let last = 3 * STALE_MAX as u64 - 1;
        let (mut void, acknowledged) = (Vec::new(), Record::Acknowledged { session, order: last });
        staging.push(ShardId(0), &mut vec![acknowledged], Seq(2 * last + 1), true, &mut void);
        assert!(void.is_empty());
    }
}
