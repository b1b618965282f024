//! A store in memory that holds records back, lets those become void whose entry ends before they
//! are written, and commits in batches, as the log does: one for all shards, in the order in which
//! they were handed in.

use std::collections::BTreeMap;

use stonechat::broker::{Record, Seq, Time};

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
}

impl Staging {
    /// Takes the records of a shard, the last of which is number `last`. Appends to `void` those
    /// that need not be waited for any longer.
    pub(crate) fn push(
        &mut self,
        shard: usize,
        records: &mut Vec<Record>,
        last: Seq,
        void: &mut Vec<Seq>,
    ) {
        let first = last.0 + 1 - records.len() as u64;
        let before = void.len();
        for (seq, record) in (first..).map(Seq).zip(records.drain(..)) {
            let at = self.records.len();
            let key = record.entry().map(|(session, order)| (session.0, order));
            match (&record, key) {
                (Record::Queued { .. }, Some(key)) => {
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
    /// to begin, or a batch is being written.
    pub(crate) fn take(&mut self, only: Option<usize>) -> bool {
        if !self.batch.is_empty() {
            return false;
        }
        let all = std::mem::take(&mut self.records);
        let takes = |staged: &Staged| only.is_none_or(|only| only == staged.0);
        (self.batch, self.records) = all.into_iter().partition(takes);
        self.voidable.clear();
        !self.batch.is_empty()
    }

    /// The batch is on disk. Returns what is committed now, by shard.
    pub(crate) fn commit(&mut self, now: Time) -> Result<BTreeMap<usize, Seq>, String> {
        let mut upto = BTreeMap::new();
        for (shard, seq, record) in std::mem::take(&mut self.batch) {
            upto.insert(shard, seq);
            if let Some(record) = record {
                self.fold.add(&record, now)?;
            }
        }
        Ok(upto)
    }

    /// Power is lost; the batch that was being written may be on disk.
    pub(crate) fn power_loss(&mut self, written: bool, now: Time) -> Result<(), String> {
        self.records.clear();
        self.voidable.clear();
        if written {
            self.commit(now)?;
        }
        self.batch.clear();
        self.fold.recover();
        Ok(())
    }
}
