//! What is written when, and who is told what of it: the committer's decisions, without its thread.
//!
//! May use: the log, the staging. The server calls it between waits, the simulator step by step.
//! Invariants: a shard is told that its records are written, or synced, only when the log says so;
//! what could not be written because there is no room goes back to the staging, in order; after an
//! error nothing is ever said to be committed.

use super::disk::Disk;
use super::log::{Clock, Committed, Log, LogError, Sync};
use super::staging::{Staging, Taken};
use super::state::Shared;
use crate::broker::{Seq, ShardId, Spent};

/// What shards are told, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// for `Input::Written`
    Written(ShardId, Seq),
    /// for `Input::Committed`
    Committed(ShardId, Seq),
    /// for `Input::Void`
    Void(ShardId, Vec<Seq>),
    /// for `Input::Full`, to all shards
    Full(bool),
}

/// A way to the one [`Staging`]: the server's is a lock, the simulator's a cell.
pub trait StagingPlace {
    /// Runs `f` on the staging, alone.
    fn with<R>(&self, f: impl FnOnce(&mut Staging) -> R) -> R;
}

/// See the module.
pub struct Writer<D: Disk, S: Shared<D::File>> {
    log: Log<D, S>,
    /// up to where each shard's records are written and not synced
    unsynced: Vec<(ShardId, Seq)>,
    /// there was no room, and the shards know
    full: bool,
    /// something in the staging found no room
    refused: bool,
    /// messages of the last batch that nobody else has
    spent: Vec<(ShardId, Spent)>,
}

impl<D: Disk, S: Shared<D::File>> Writer<D, S> {
    /// Nothing is written yet.
    pub fn new(log: Log<D, S>) -> Self {
        Self { log, unsynced: Vec::new(), full: false, refused: false, spent: Vec::new() }
    }

    /// The log, to be looked at.
    pub fn log(&self) -> &Log<D, S> {
        &self.log
    }

    /// The log, to be closed.
    pub fn into_log(self) -> Log<D, S> {
        self.log
    }

    /// Whether the shards were told that there is no room.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Whether something went back to the staging since this was asked last: it is to be tried
    /// again after a while.
    pub fn take_refused(&mut self) -> bool {
        std::mem::take(&mut self.refused)
    }

    /// Whether something is written and not synced, and shards wait to hear of it.
    pub fn has_unsynced(&self) -> bool {
        !self.unsynced.is_empty()
    }

    /// Messages that were written with the last batch and that nobody else has, for `Input::Spent`
    /// of the shards that recorded them.
    pub fn take_spent(&mut self) -> Vec<(ShardId, Spent)> {
        std::mem::take(&mut self.spent)
    }

    /// Writes what was taken as one batch, and syncs it if something in it wants that. Without room
    /// it goes back, and what frees is written alone. Returns whether bytes were written and
    /// synced.
    ///
    /// # Errors
    /// If the disk fails: nothing may be acknowledged any more.
    pub fn write(
        &mut self,
        mut taken: Taken,
        clock: Clock,
        staging: &impl StagingPlace,
        tell: &mut impl FnMut(Told),
    ) -> Result<bool, LogError> {
        if taken.is_empty() {
            return Ok(false);
        }
        match self.commit(&mut taken, clock, tell) {
            Err(LogError::Full) => self.write_what_frees(taken, clock, staging, tell),
            done => {
                staging.with(|staging| staging.reuse(taken));
                done
            }
        }
    }

    fn commit(
        &mut self,
        taken: &mut Taken,
        clock: Clock,
        tell: &mut impl FnMut(Told),
    ) -> Result<bool, LogError> {
        let sync = if taken.wants_sync() { Sync::Now } else { Sync::Later };
        let committed = self.log.commit(taken, clock, sync)?;
        self.note(&committed);
        self.spent = taken.spend();
        // What was written ahead is said to be void, and that has to be safe for everybody.
        if sync == Sync::Later && !committed.ahead.is_empty() {
            self.log.sync()?;
        }
        match sync {
            _ if !committed.ahead.is_empty() => {
                self.tell_synced(tell);
                tell_void(committed.ahead, tell);
            }
            Sync::Now => self.tell_synced(tell),
            Sync::Later => {
                for (shard, seq) in committed.upto {
                    tell(Told::Written(shard, seq));
                }
            }
        }
        Ok(sync == Sync::Now && committed.bytes > 0)
    }

    /// Notes what is written now.
    fn note(&mut self, committed: &Committed) {
        for &(shard, seq) in &committed.upto {
            match self.unsynced.iter_mut().find(|(of, _)| *of == shard) {
                Some((_, known)) => *known = seq.max(*known),
                None => self.unsynced.push((shard, seq)),
            }
        }
    }

    /// All that is written is synced: a sync takes in everything before it.
    fn tell_synced(&mut self, tell: &mut impl FnMut(Told)) {
        for (shard, seq) in self.unsynced.drain(..) {
            tell(Told::Committed(shard, seq));
        }
    }

    /// There is no room: what ends something is still written, the rest waits in the staging.
    fn write_what_frees(
        &mut self,
        taken: Taken,
        clock: Clock,
        staging: &impl StagingPlace,
        tell: &mut impl FnMut(Told),
    ) -> Result<bool, LogError> {
        self.set_full(true, tell);
        self.refused = true;
        let mut void = Vec::new();
        let mut freeing = staging.with(|staging| {
            staging.put_back(taken, &mut void);
            staging.take_freeing()
        });
        tell_void(void, tell);
        if freeing.is_empty() {
            return Ok(false);
        }
        match self.commit(&mut freeing, clock, tell) {
            Err(LogError::Full) => {
                let mut void = Vec::new();
                staging.with(|staging| staging.put_back(freeing, &mut void));
                tell_void(void, tell);
                Ok(false)
            }
            done => done,
        }
    }

    /// Makes everything that is written safe.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn sync(&mut self, tell: &mut impl FnMut(Told)) -> Result<(), LogError> {
        self.log.sync()?;
        self.tell_synced(tell);
        Ok(())
    }

    /// What is to be done between batches (`Log::maintain`). Returns whether there is more to do.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn keep_house(
        &mut self,
        clock: Clock,
        budget_bytes: usize,
        tell: &mut impl FnMut(Told),
    ) -> Result<bool, LogError> {
        let busy = self.log.maintain(clock, budget_bytes)?;
        self.set_full(!self.log.has_room(), tell);
        Ok(busy)
    }

    fn set_full(&mut self, full: bool, tell: &mut impl FnMut(Told)) {
        if std::mem::replace(&mut self.full, full) != full {
            tell(Told::Full(full));
        }
    }

    /// Whether memory is kept for large batches.
    pub fn holds_room(&self, staging: &impl StagingPlace) -> bool {
        self.log.holds_room() || staging.with(|staging| staging.holds_room())
    }

    /// No batch comes for now: memory that is kept for large ones goes.
    pub fn let_go(&mut self, staging: &impl StagingPlace) {
        self.log.let_go();
        staging.with(Staging::let_go);
    }

    /// All files together may take so many bytes from now on.
    pub fn set_log_bytes_max(&mut self, bytes: u64) {
        self.log.set_log_bytes_max(bytes);
    }
}

fn tell_void(mut void: Vec<(ShardId, Seq)>, tell: &mut impl FnMut(Told)) {
    void.sort_unstable();
    for of_one in void.chunk_by(|a, b| a.0 == b.0) {
        tell(Told::Void(of_one[0].0, of_one.iter().map(|(_, seq)| *seq).collect()));
    }
}
