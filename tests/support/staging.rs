//! A store in memory that holds records back, lets those become void whose entry ends before they
//! are written, and commits in batches, as the log does: one for all shards, in the order in which
//! they were handed in.

use std::collections::{BTreeMap, BTreeSet};

use stonechat::broker::{DropReason, Record, Seq, Time};

use super::fold::Fold;

/// A record with its number in its shard; `None` if it is void.
type Staged = (usize, Seq, Option<Record>);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    records: Vec<Staged>,
    /// where the records of an entry stand that may still become void
    voidable: BTreeMap<(u64, u64), Vec<usize>>,
    /// a batch that is being written
    batch: Vec<Staged>,
    pub(crate) fold: Fold,
    pub(crate) voided: u64,
    /// the disk is full
    pub(crate) full: bool,
    /// by shard: all up to here is committed
    upto: BTreeMap<usize, Seq>,
    /// committed ahead of what waits: as good as void
    pub(crate) ahead: Vec<(usize, Seq)>,
    /// something that waits here waits for a sync
    wants_sync: bool,
    /// something that is being written, or is written, does
    pub(crate) sync_due: bool,
    /// batches that are written and not synced, the newest last
    unsynced: Vec<Vec<(Record, Time)>>,
    /// by shard: all up to here is written, and not all of it synced
    written: BTreeMap<usize, Seq>,
    /// what a loss of power leaves for certain
    safe: Fold,
}

/// What records of a full disk wait for: those before them that wait.
#[derive(Debug, Default)]
struct Waiting {
    sessions: BTreeSet<u64>,
    entries: BTreeSet<(u64, u64)>,
    /// topics that are to be set
    topics: BTreeSet<String>,
    /// a message of a shared group: perhaps of a session that ends
    shared: bool,
    /// a message: perhaps a Will
    messages: bool,
    /// a seal: at QoS 2 nothing goes into flight before its own
    seals: bool,
    /// entries that come to their end meanwhile: QoS 1, or they would not have been sent
    ended: BTreeSet<(u64, u64)>,
}

impl Waiting {
    fn of(records: &[Staged]) -> Self {
        let set = |staged: &Staged| match &staged.2 {
            Some(Record::Retained { message, .. }) if !message.payload().is_empty() => {
                Some(message.topic_str().to_owned())
            }
            _ => None,
        };
        let ended = |staged: &Staged| match &staged.2 {
            Some(Record::Acknowledged { session, order }) => Some((session.0, *order)),
            _ => None,
        };
        Self {
            topics: records.iter().filter_map(set).collect(),
            ended: records.iter().filter_map(ended).collect(),
            ..Self::default()
        }
    }

    /// Whether it has to wait too.
    fn holds(&mut self, record: &Record) -> bool {
        let session = record.session().map(|session| session.0);
        let entry = record.entry().map(|(session, order)| (session.0, order));
        let known = session.is_none_or(|session| !self.sessions.contains(&session));
        let goes = match record {
            _ if !record.frees() => false,
            Record::Retained { message, .. } => !self.topics.contains(message.topic_str()),
            Record::SessionEnd { .. } => known && !self.shared,
            Record::Dropped { why: DropReason::Rerouted, .. } if self.shared || !known => false,
            Record::Will { .. } => known && !self.messages,
            Record::InFlight { .. }
                if self.seals && !entry.is_some_and(|e| self.ended.contains(&e)) =>
            {
                false
            }
            _ => entry.map_or(known, |entry| !self.entries.contains(&entry)),
        };
        if !goes {
            self.sessions.extend(session);
            self.entries.extend(entry);
            self.shared |= matches!(record, Record::Queued { group: Some(_), .. });
            self.seals |= matches!(record, Record::Inbound { seals: Some(_), .. });
            self.messages |= record.queued().is_some() || matches!(record, Record::Retained { .. });
        }
        !goes
    }
}

impl Staging {
    /// Takes the records of a shard, the last of which is number `last`; `sync`: something waits
    /// until they, or earlier ones, are synced. Appends to `void` those that need not be waited for
    /// any longer.
    pub(crate) fn push(
        &mut self,
        shard: usize,
        records: &mut Vec<Record>,
        last: Seq,
        sync: bool,
        void: &mut Vec<Seq>,
    ) {
        self.wants_sync |= sync;
        let first = last.0 + 1 - records.len() as u64;
        let before = void.len();
        for (seq, record) in (first..).map(Seq).zip(records.drain(..)) {
            let at = self.records.len();
            let key = record.entry().map(|(session, order)| (session.0, order));
            match (&record, key) {
                (Record::Queued { .. } | Record::QueuedPlain { .. }, Some(key)) => {
                    self.voidable.insert(key, vec![at]);
                }
                (Record::Acknowledged { .. } | Record::Dropped { .. }, Some(key)) => {
                    if let Some(ends) = self.voidable.remove(&key) {
                        void.extend(ends.iter().map(|&at| self.records[at].1));
                        ends.iter().for_each(|&at| self.records[at].2 = None);
                        void.push(seq);
                        self.records.push((shard, seq, None));
                        continue;
                    }
                }
                (_, Some(key)) => {
                    if let Some(of_entry) = self.voidable.get_mut(&key) {
                        of_entry.push(at);
                    }
                }
                _ => {}
            }
            self.records.push((shard, seq, Some(record)));
        }
        self.voided += (void.len() - before) as u64;
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.batch.is_empty()
    }

    /// Begins to write what waits, of one shard only if `only` says so. False if there is nothing
    /// to begin, not even a sync, or a batch is being written.
    pub(crate) fn take(&mut self, only: Option<usize>) -> bool {
        if !self.batch.is_empty() {
            return false;
        }
        let all = std::mem::take(&mut self.records);
        let (full, mut waiting) = (self.full, Waiting::of(&all));
        let takes = |staged: &Staged| {
            let waits = full && staged.2.as_ref().is_some_and(|record| waiting.holds(record));
            !waits && only.is_none_or(|only| only == staged.0)
        };
        (self.batch, self.records) = all.into_iter().partition(takes);
        self.voidable.clear();
        if full {
            self.keep_voidable();
        }
        if !self.batch.is_empty() || self.records.is_empty() {
            self.sync_due |= self.wants_sync;
            self.wants_sync &= !self.records.is_empty();
        }
        !self.batch.is_empty() || self.sync_due
    }

    /// All that is written is on disk. Returns what is committed now, by shard.
    pub(crate) fn sync(&mut self) -> Result<BTreeMap<usize, Seq>, String> {
        self.sync_due = false;
        for (record, now) in self.unsynced.drain(..).flatten() {
            self.safe.add(&record, now)?;
        }
        Ok(std::mem::take(&mut self.written))
    }

    /// The system has the batch. Returns what is written now, by shard.
    pub(crate) fn write(&mut self, now: Time) -> Result<BTreeMap<usize, Seq>, String> {
        let mut last = BTreeMap::new();
        let mut batch = Vec::new();
        for (shard, seq, record) in std::mem::take(&mut self.batch) {
            let waits =
                self.records.iter().find(|(of, _, record)| *of == shard && record.is_some());
            match waits.map(|(_, waits, _)| *waits).filter(|&waits| waits < seq) {
                Some(waits) => {
                    last.insert(shard, Seq(waits.0 - 1));
                    self.ahead.push((shard, seq));
                }
                None => drop(last.insert(shard, seq)),
            }
            if let Some(record) = record {
                self.fold.add(&record, now)?;
                batch.push((record, now));
            }
        }
        self.unsynced.push(batch);
        last.retain(|shard, seq| {
            let known = self.upto.entry(*shard).or_default();
            *seq > std::mem::replace(known, (*seq).max(*known))
        });
        self.written.extend(&last);
        Ok(last)
    }

    /// What waits for room can still become void.
    fn keep_voidable(&mut self) {
        for (at, (_, _, record)) in self.records.iter().enumerate() {
            let Some((session, order)) = record.as_ref().and_then(Record::entry) else { continue };
            self.voidable.entry((session.0, order)).or_default().push(at);
        }
        let queued = |at: &Vec<usize>| {
            self.records[at[0]].2.as_ref().is_some_and(|record| record.queued().is_some())
        };
        self.voidable.retain(|_, of_entry| queued(of_entry));
    }

    /// How many records wait.
    pub(crate) fn waiting(&self) -> usize {
        self.records.iter().chain(&self.batch).filter(|(_, _, record)| record.is_some()).count()
    }

    /// How many batches a loss of power may take.
    pub(crate) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// The process is gone; the batch that was being written may be there. Of those that were
    /// written and not synced, the first `left` are: all, unless power is lost too.
    pub(crate) fn crash(&mut self, written: bool, left: usize, now: Time) -> Result<(), String> {
        self.records.clear();
        self.voidable.clear();
        self.unsynced.truncate(left);
        if written && left == usize::MAX {
            self.write(now)?;
        }
        self.sync()?;
        self.fold = self.safe.clone();
        self.wants_sync = false;
        self.upto.clear();
        self.ahead.clear();
        self.batch.clear();
        self.fold.recover();
        self.safe.recover();
        Ok(())
    }
}
