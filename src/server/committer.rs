//! The committer: one thread that writes what all shards recorded, a batch at a time.
//!
//! May use: the log, the clock, the shards' mailboxes. Shards leave their records at the [`Desk`]
//! and go on; while a batch is written and synced, the next one gathers there. Invariants: a shard
//! is told that its records are committed only when the log says so; what could not be written
//! because there is no room stays at the desk, in order, and is tried again; after any other error
//! nothing is ever said to be committed.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::mailbox::{Sender, ToShard};
use super::storage::{Health, ServerLog, clock};
use crate::broker::{Record, Seq, ShardId};
use crate::store::{Committed, LogError, Staging, Store, Sync, Taken};

/// How long the committer waits before it tries again when there was no room, in ms.
const FULL_RETRY: Duration = Duration::from_millis(100);
/// About how many bytes of the log are read for cleaning between two batches.
const MAINTAIN_BYTES: usize = 256 << 10;

/// Where shards leave their records, and the committer takes them.
pub(crate) struct Desk {
    inner: Mutex<Inner>,
    more: Condvar,
}

struct Inner {
    staging: Staging,
    /// the committer sleeps, and has to be woken
    sleeps: bool,
    /// no shard is left
    stop: bool,
}

impl Desk {
    /// `seed` is for the hasher.
    pub(crate) fn new(seed: u64) -> Self {
        let inner = Inner { staging: Staging::new(seed), sleeps: false, stop: false };
        Self { inner: Mutex::new(inner), more: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic ends the process, so the lock is never poisoned where that matters.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No shard is left: the committer writes what is there, and ends.
    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.more.notify_one();
    }

    /// What went through, and what waits.
    pub(crate) fn counts(&self) -> crate::store::StagingCounts {
        self.lock().staging.counts()
    }

    /// Takes what is there; waits for it if there is nothing, but no longer than `at_most`. The
    /// second: no shard is left.
    fn take(&self, at_most: Option<Duration>) -> (Taken, bool) {
        let mut inner = self.lock();
        let until = at_most.map(|at_most| Instant::now() + at_most);
        while inner.staging.is_empty() && !inner.stop {
            inner.sleeps = true;
            inner = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.more.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(left) => {
                    let waited = self.more.wait_timeout(inner, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        inner.sleeps = false;
        (inner.staging.take(), inner.stop)
    }

    /// Waits, whatever is there.
    fn rest(&self, for_: Duration) {
        let mut inner = self.lock();
        let until = Instant::now() + for_;
        while !inner.stop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.more.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A shard's way to the desk.
pub(crate) struct DeskStore {
    pub(crate) desk: Arc<Desk>,
    pub(crate) shard: ShardId,
    /// whether what is waited for has to be safe, not only written
    pub(crate) syncs: bool,
}

impl Store for DeskStore {
    fn append(
        &mut self,
        records: &mut Vec<Record>,
        last: Seq,
        sync: bool,
        void: &mut Vec<Seq>,
    ) -> Option<Seq> {
        let mut inner = self.desk.lock();
        inner.staging.push(self.shard, records, last, sync && self.syncs, void);
        let wake = mem::take(&mut inner.sleeps);
        drop(inner);
        if wake {
            self.desk.more.notify_one();
        }
        None
    }
}

/// See the module.
pub(crate) struct Committer {
    pub(crate) log: ServerLog,
    pub(crate) desk: Arc<Desk>,
    pub(crate) shards: Vec<Sender>,
    pub(crate) started: Instant,
    pub(crate) health: Arc<Health>,
    /// how long records without need of a sync may stay without; `None`: as long as the system
    /// likes
    pub(crate) sync_every: Option<Duration>,
    /// since when there are such records
    pub(crate) unsynced_since: Option<Instant>,
    /// there was no room, and the shards know
    pub(crate) full: bool,
    /// something at the desk found no room
    pub(crate) refused: bool,
    /// there is something to be cleaned
    pub(crate) busy: bool,
}

impl Committer {
    /// Until no shard is left.
    pub(crate) fn run(mut self) {
        loop {
            let (taken, stop) = self.desk.take(self.patience());
            let written = self.write(taken).and_then(|()| self.keep_house());
            if let Err(error) = written {
                return self.give_up(&error);
            }
            if stop && self.desk.lock().staging.is_empty() {
                break;
            }
            if mem::take(&mut self.refused) {
                if stop {
                    break; // what is left was not acknowledged
                }
                self.desk.rest(FULL_RETRY);
            }
        }
        self.health.update(&self.log, self.full);
        if let Err(error) = self.log.close(clock(self.started)) {
            tracing::warn!(%error, "the log was not closed in order; the next start reads it all");
        }
    }

    /// How long nothing but new records needs this thread.
    fn patience(&self) -> Option<Duration> {
        if self.busy {
            return Some(Duration::ZERO);
        }
        let left = |since: Instant| self.sync_every.map(|e| e.saturating_sub(since.elapsed()));
        let retry = self.full.then_some(FULL_RETRY);
        self.unsynced_since.and_then(left).into_iter().chain(retry).min()
    }

    fn write(&mut self, taken: Taken) -> Result<(), LogError> {
        if taken.is_empty() {
            return Ok(());
        }
        match self.commit(&taken) {
            Ok(committed) => self.tell(committed),
            Err(LogError::Full) => return self.write_what_frees(taken),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn has_none(&mut self) {
        if !mem::replace(&mut self.full, true) {
            self.tell_full(true);
            tracing::error!(
                "no room for the log: QoS 1 and 2 messages that would have to be kept are refused \
                 until there is"
            );
        }
    }

    fn has_room(&mut self) {
        if mem::take(&mut self.full) {
            tracing::info!("the log has room again");
            self.tell_full(false);
        }
    }

    fn commit(&mut self, taken: &Taken) -> Result<Committed, LogError> {
        let sync = if taken.wants_sync() { Sync::Now } else { Sync::Later };
        let committed = self.log.commit(taken, clock(self.started), sync)?;
        match sync {
            Sync::Now => self.unsynced_since = None,
            Sync::Later => _ = self.unsynced_since.get_or_insert_with(Instant::now),
        }
        Ok(committed)
    }

    /// There is no room: what ends something is still written, the rest waits at the desk.
    fn write_what_frees(&mut self, taken: Taken) -> Result<(), LogError> {
        self.has_none();
        self.refused = true;
        let mut void = Vec::new();
        let freeing = {
            let mut inner = self.desk.lock();
            inner.staging.put_back(taken, &mut void);
            inner.staging.take_freeing()
        };
        self.tell_void(void);
        if freeing.is_empty() {
            return Ok(());
        }
        match self.commit(&freeing) {
            Ok(committed) => self.tell(committed),
            Err(LogError::Full) => {
                let mut void = Vec::new();
                self.desk.lock().staging.put_back(freeing, &mut void);
                self.tell_void(void);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// What is to be done between batches.
    fn keep_house(&mut self) -> Result<(), LogError> {
        if let (Some(every), Some(since)) = (self.sync_every, self.unsynced_since)
            && since.elapsed() >= every
        {
            self.log.sync()?;
            self.unsynced_since = None;
        }
        self.busy = self.log.maintain(clock(self.started), MAINTAIN_BYTES)?;
        match self.log.has_room() {
            true => self.has_room(),
            false => self.has_none(),
        }
        self.health.update(&self.log, self.full);
        Ok(())
    }

    fn tell(&self, committed: Committed) {
        for (shard, seq) in committed.upto {
            self.send(shard, ToShard::Committed(seq));
        }
        // Nobody has to wait for what was written ahead any more than for what is void.
        self.tell_void(committed.ahead);
    }

    fn tell_void(&self, mut void: Vec<(ShardId, Seq)>) {
        void.sort_unstable();
        for of_one in void.chunk_by(|a, b| a.0 == b.0) {
            let seqs = of_one.iter().map(|(_, seq)| *seq).collect();
            self.send(of_one[0].0, ToShard::Void(seqs));
        }
    }

    fn tell_full(&self, full: bool) {
        for shard in &self.shards {
            let _ = shard.send(ToShard::Full(full));
        }
    }

    fn send(&self, shard: ShardId, mail: ToShard) {
        if let Some(shard) = self.shards.get(usize::from(shard.0)) {
            // A shard that is gone needs no answer.
            let _ = shard.send(mail);
        }
    }

    /// The disk failed: what is on it is not known. Nothing is acknowledged any more that would
    /// have to be kept; what shards still record is thrown away.
    fn give_up(self, error: &LogError) {
        self.health.poison(error.to_string());
        self.tell_full(true);
        tracing::error!(
            %error,
            "the log cannot be trusted any more: nothing that has to be kept is acknowledged until \
             the broker has been started again"
        );
        loop {
            let (_, stop) = self.desk.take(None);
            if stop {
                return;
            }
        }
    }
}
