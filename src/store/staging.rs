//! Where records wait for the committer; and where those that nobody needs any more become void.
//!
//! May use: records, hashbrown. On the way of every durable message: a `Queued` costs one insert
//! into a small table, what ends it one removal, nothing else. Invariants: records are taken in the
//! order in which they were pushed; a void record is never taken, and its number is told once.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::ahead;
use super::record::Record;
use crate::broker::{Seq, ShardId};

/// A record with its number in its shard.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) shard: ShardId,
    pub(super) seq: Seq,
    /// `None`: void
    pub(super) record: Option<Record>,
}

/// Where the records of an entry that may still become void stand.
#[derive(Clone, Copy, Debug)]
struct Voidable {
    queued: u32,
    in_flight: u32,
    released: u32,
}

const NOWHERE: u32 = u32::MAX;
/// Room for so many records is made ahead.
const RESERVED_MAX: usize = 1 << 13;

/// What one batch is to hold.
#[derive(Debug, Default)]
pub struct Taken {
    pub(super) records: Vec<Staged>,
    /// what is committed, by shard, once they are
    pub(super) upto: Vec<(ShardId, Seq)>,
    /// those of them that stand behind that
    pub(super) ahead: Vec<(ShardId, Seq)>,
    wants_sync: bool,
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
    /// about how many bytes they hold
    pub staged_bytes: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Staging {
    records: Vec<Staged>,
    voidable: HashMap<(u64, u64), Voidable, FixedState>,
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
            voidable: HashMap::with_hasher(FixedState::with_seed(seed)),
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

    /// About how many bytes the records that wait hold.
    pub fn staged_bytes(&self) -> usize {
        self.counts.staged_bytes
    }

    /// Takes the records of a shard's pass, in order; the last of them is number `last`. To be
    /// called before the pass's messages to other shards are sent. `sync`: some of them wait until
    /// they are safe. Appends to `void` the numbers, of this shard, of those that need not be
    /// waited for any longer: the ending records themselves included. (A session is one shard's,
    /// so what ends an entry comes from where it came from.)
    pub fn push(
        &mut self,
        shard: ShardId,
        records: &mut Vec<Record>,
        last: Seq,
        sync: bool,
        void: &mut Vec<Seq>,
    ) {
        if records.is_empty() {
            return;
        }
        self.wants_sync |= sync;
        let first = last.0 + 1 - records.len() as u64;
        self.counts.records += records.len() as u64;
        for (seq, record) in (first..).map(Seq).zip(records.drain(..)) {
            self.counts.staged_bytes += record.cost_bytes();
            self.add(shard, seq, record, &mut |of, seq| {
                debug_assert_eq!(of, shard, "a session is one shard's");
                void.push(seq);
            });
        }
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
        let at = u32::try_from(self.records.len()).unwrap_or(NOWHERE);
        match &record {
            Record::Queued { session, order, .. } if at != NOWHERE => {
                let voidable = Voidable { queued: at, in_flight: NOWHERE, released: NOWHERE };
                self.voidable.insert((session.0, *order), voidable);
            }
            Record::InFlight { session, order, .. } => {
                self.add_to((session.0, *order), |voidable| &mut voidable.in_flight, at);
            }
            Record::Released { session, order } => {
                self.add_to((session.0, *order), |voidable| &mut voidable.released, at);
            }
            Record::Acknowledged { session, order } | Record::Dropped { session, order, .. } => {
                if let Some(voidable) = self.voidable.remove(&(session.0, *order)) {
                    for at in [voidable.queued, voidable.in_flight, voidable.released] {
                        self.make_void(at, void);
                    }
                    self.counts.staged_bytes -= record.cost_bytes();
                    self.counts.void += 1;
                    void(shard, seq);
                    return;
                }
            }
            _ => {}
        }
        self.records.push(Staged { shard, seq, record: Some(record) });
    }

    /// Notes one more record of an entry that may become void. A second one of a kind is not
    /// foreseen: then all of them are written.
    fn add_to(&mut self, key: (u64, u64), part: fn(&mut Voidable) -> &mut u32, at: u32) {
        if let Some(voidable) = self.voidable.get_mut(&key)
            && std::mem::replace(part(voidable), at) != NOWHERE
        {
            self.voidable.remove(&key);
        }
    }

    fn make_void(&mut self, at: u32, void: &mut impl FnMut(ShardId, Seq)) {
        let Some(staged) = self.records.get_mut(at as usize) else { return };
        if let Some(record) = staged.record.take() {
            self.counts.staged_bytes -= record.cost_bytes();
            self.counts.void += 1;
            void(staged.shard, staged.seq);
        }
    }

    /// Takes everything of all shards: one batch.
    pub fn take(&mut self) -> Taken {
        self.voidable.clear();
        self.counts.staged_bytes = 0;
        // The next batch will be about as large.
        let next = Vec::with_capacity(self.records.len().min(RESERVED_MAX));
        Taken {
            records: std::mem::replace(&mut self.records, next),
            upto: std::mem::take(&mut self.last),
            ahead: Vec::new(),
            wants_sync: std::mem::take(&mut self.wants_sync),
        }
    }

    /// Puts back what could not be committed, before everything that came since; some of it may be
    /// void now (see `push`), of any shard.
    pub fn put_back(&mut self, taken: Taken, void: &mut Vec<(ShardId, Seq)>) {
        let newer = std::mem::take(&mut self.records);
        self.voidable.clear();
        self.counts.staged_bytes = 0;
        self.wants_sync |= taken.wants_sync;
        for (shard, seq) in taken.upto {
            if !self.last.iter().any(|(of, _)| *of == shard) {
                self.last.push((shard, seq));
            }
        }
        for staged in taken.records.into_iter().chain(newer) {
            if let Some(record) = staged.record {
                self.counts.staged_bytes += record.cost_bytes();
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
        self.voidable.clear();
        self.counts.staged_bytes = 0;
        let wants_sync = self.wants_sync;
        self.wants_sync &= !waiting.is_empty();
        let mut void = 0;
        for staged in waiting {
            if let Some(record) = staged.record {
                self.counts.staged_bytes += record.cost_bytes();
                self.add(staged.shard, staged.seq, record, &mut |_, _| void += 1);
            }
        }
        debug_assert_eq!(void, 0, "what ends an entry was voided with it");
        Taken { records, upto, ahead, wants_sync }
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
