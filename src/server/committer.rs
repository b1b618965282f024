//! The committer: one thread that writes what all shards recorded, a batch at a time.
//!
//! May use: the log, the clock, the shards' mailboxes. Shards leave their records at the [`Desk`]
//! and go on; while a batch is written and synced, the next one gathers there. What is written, and
//! who is told of it, is the `store::Writer`'s business; when that happens, this file's.
//! Invariants: shards are told all that the writer says, in its order; what found no room is tried
//! again; after any other error nothing is ever said to be committed.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::mailbox::{Sender, ToShard};
use super::storage::{Health, ServerWriter, clock};
use crate::broker::{Record, Seq, ShardId, Spent};
use crate::store::{LogError, Staging, StagingPlace, Store, Taken, Told};

/// How long the committer waits before it tries again when there was no room, in ms.
const FULL_RETRY: Duration = Duration::from_millis(100);
/// About how many bytes of the log are read for cleaning between two batches.
const MAINTAIN_BYTES: usize = 256 << 10;

/// How long it has to be quiet before zeros are written ahead.
const QUIET: Duration = Duration::from_millis(10);
/// And before memory that is kept for large batches goes.
const LONG_QUIET: Duration = Duration::from_secs(2);
/// How long messages that were sent to their receivers may wait to become void: as long as a commit
/// took lately, and twice as long each time that all of them did, for there is little to wake for.
const LINGER_MIN: Duration = Duration::from_micros(200);
const LINGER_MAX: Duration = Duration::from_millis(2);
/// So many records, or about so many bytes of them, are not held back for `store.commit_delay_ms`:
/// a sync is shared by enough, and publishers are not held at `limits.uncommitted_bytes_max`.
const GATHERED_MAX: usize = 1000;
const GATHERED_BYTES_MAX: usize = 1 << 20;

/// Where shards leave their records, and the committer takes them.
pub(crate) struct Desk {
    inner: Mutex<Inner>,
    more: Condvar,
}

struct Inner {
    staging: Staging,
    sleeps: Sleep,
    /// `store.commit_delay_ms`: how long what is urgent waits for more
    delay: Duration,
    /// about how many bytes came since something was taken; not counted without a delay
    gathered_bytes: usize,
    /// since when something is urgent
    urgent_since: Option<Instant>,
    /// no shard is left
    stop: bool,
}

/// Whether the committer has to be woken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sleep {
    Awake,
    /// for anything
    UntilMore,
    /// for what is urgent
    UntilUrgent,
    /// for [`GATHERED_MAX`] records, or [`GATHERED_BYTES_MAX`]
    UntilMany,
}

/// How long the committer waits for what.
#[derive(Clone, Copy, Debug, Default)]
struct Waits {
    /// for anything; `None`: as long as it takes
    at_most: Option<Duration>,
    /// for what is not urgent to become void
    linger: Duration,
}

impl Desk {
    /// `seed` is for the hasher, `delay` is `store.commit_delay_ms`.
    pub(crate) fn new(seed: u64, delay: Duration) -> Self {
        let (staging, sleeps) = (Staging::new(seed), Sleep::Awake);
        let (gathered_bytes, urgent_since, stop) = (0, None, false);
        let inner = Inner { staging, sleeps, delay, gathered_bytes, urgent_since, stop };
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

    /// Takes what is there; waits for it if there is nothing. What is not urgent may be void after
    /// a while. The second: no shard is left.
    fn take(&self, waits: Waits) -> (Taken, bool) {
        let mut inner = self.lock();
        let until = waits.at_most.map(|at_most| Instant::now() + at_most);
        while inner.staging.is_empty() && !inner.stop {
            inner.sleeps = Sleep::UntilMore;
            inner = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.more.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(left) => {
                    let waited = self.more.wait_timeout(inner, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        if inner.may_linger() {
            inner = self.linger(inner, waits.linger);
        }
        inner = self.gather(inner);
        inner.sleeps = Sleep::Awake;
        // What came only just now lingers on.
        let taken = match inner.may_linger() {
            true => inner.staging.take_marked(),
            false => inner.staging.take(),
        };
        (inner.urgent_since, inner.gathered_bytes) = (None, 0);
        (taken, inner.stop)
    }

    /// Waits until something is urgent, for so long at most.
    fn linger<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        for_: Duration,
    ) -> MutexGuard<'a, Inner> {
        let until = Instant::now() + for_;
        if !inner.staging.is_marked() {
            inner.staging.mark();
        }
        inner.sleeps = Sleep::UntilUrgent;
        while inner.may_linger() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.more.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        inner
    }

    /// Waits for more, until something was urgent for so long.
    fn gather<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        while inner.may_gather()
            && let Some(since) = inner.urgent_since
        {
            let left = inner.delay.saturating_sub(since.elapsed());
            if left.is_zero() {
                break;
            }
            inner.sleeps = Sleep::UntilMany;
            let waited = self.more.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        inner
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

impl Inner {
    fn may_linger(&self) -> bool {
        !self.stop && !self.staging.is_empty() && !self.staging.is_urgent()
    }

    fn may_gather(&self) -> bool {
        !self.stop && self.staging.is_urgent() && !self.has_many()
    }

    fn has_many(&self) -> bool {
        self.staging.counts().staged >= GATHERED_MAX || self.gathered_bytes >= GATHERED_BYTES_MAX
    }
}

/// A shard's way to the desk.
pub(crate) struct DeskStore {
    pub(crate) desk: Arc<Desk>,
    pub(crate) shard: ShardId,
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
        if !inner.delay.is_zero() {
            inner.gathered_bytes += records.iter().map(Record::cost_bytes).sum::<usize>();
        }
        inner.staging.push(self.shard, records, last, sync, void);
        if inner.urgent_since.is_none() && inner.staging.is_urgent() {
            inner.urgent_since = Some(Instant::now());
        }
        let wake = match inner.sleeps {
            Sleep::Awake => false,
            Sleep::UntilMore => true,
            Sleep::UntilUrgent => inner.staging.is_urgent(),
            Sleep::UntilMany => inner.has_many(),
        };
        if wake {
            inner.sleeps = Sleep::Awake;
        }
        drop(inner);
        if wake {
            self.desk.more.notify_one();
        }
        None
    }
}

impl StagingPlace for Desk {
    fn with<R>(&self, f: impl FnOnce(&mut Staging) -> R) -> R {
        f(&mut self.lock().staging)
    }
}

/// See the module.
pub(crate) struct Committer {
    pub(crate) writer: ServerWriter,
    pub(crate) desk: Arc<Desk>,
    pub(crate) shards: Vec<Sender>,
    pub(crate) started: Instant,
    pub(crate) health: Arc<Health>,
    /// how long records without need of a sync may stay without; `None`: as long as the system
    /// likes
    pub(crate) sync_every: Option<Duration>,
    /// since when there are such records
    pub(crate) unsynced_since: Option<Instant>,
    /// there is something to be cleaned
    pub(crate) busy: bool,
    /// see [`LINGER_MIN`]
    pub(crate) linger: Duration,
    /// what is told of a batch, when all of it is done
    pub(crate) told: Vec<Told>,
    /// when the last batch came, while memory is kept for large ones
    pub(crate) holds_since: Option<Instant>,
}

impl Committer {
    /// Until no shard is left.
    pub(crate) fn run(mut self) {
        loop {
            let (at_most, linger) = (self.patience(), self.linger);
            let (taken, stop) = self.desk.take(Waits { at_most, linger });
            let quiet = taken.is_empty();
            let written = self.write(taken).and_then(|()| self.keep_house());
            if let Err(error) = written {
                return self.give_up(&error);
            }
            self.let_go_when_quiet(quiet);
            if stop && self.desk.lock().staging.is_empty() {
                break;
            }
            if self.writer.take_refused() {
                if stop {
                    break; // what is left was not acknowledged
                }
                self.desk.rest(FULL_RETRY);
            }
        }
        self.update_health();
        if let Err(error) = self.writer.into_log().close(clock(self.started)) {
            tracing::warn!(%error, "the log was not closed in order; the next start reads it all");
        }
    }

    /// How long nothing but new records needs this thread.
    fn patience(&self) -> Option<Duration> {
        if self.busy {
            let only_fills = self.writer.log().only_fills();
            return Some(if only_fills { QUIET } else { Duration::ZERO });
        }
        let left = |since: Instant| self.sync_every.map(|e| e.saturating_sub(since.elapsed()));
        let retry = self.writer.is_full().then_some(FULL_RETRY);
        let rest = self.holds_since.map(|since| LONG_QUIET.saturating_sub(since.elapsed()));
        self.unsynced_since.and_then(left).into_iter().chain(retry).chain(rest).min()
    }

    /// Lets go of memory for large batches when none came for long. `quiet`: none came just now.
    fn let_go_when_quiet(&mut self, quiet: bool) {
        if !quiet {
            let holds = self.writer.holds_room(&*self.desk);
            self.holds_since = holds.then(Instant::now);
        } else if self.holds_since.is_some_and(|since| since.elapsed() >= LONG_QUIET) {
            self.writer.let_go(&*self.desk);
            self.holds_since = None;
        }
    }

    fn write(&mut self, taken: Taken) -> Result<(), LogError> {
        let Self { writer, shards, desk, told, .. } = self;
        let (began, is_void) = (Instant::now(), taken.is_void());
        let written = writer.write(taken, clock(self.started), &**desk, &mut |one| told.push(one));
        let mut spent = writer.take_spent();
        for one in told.drain(..) {
            let of = match one {
                Told::Written(shard, _) | Told::Committed(shard, _) => Some(shard),
                _ => None,
            };
            let of = of.and_then(|of| spent.iter_mut().find(|(shard, _)| *shard == of));
            tell(shards, one, of.map(|(_, spent)| std::mem::take(spent)).unwrap_or_default());
        }
        if written? {
            self.linger = began.elapsed().clamp(LINGER_MIN, LINGER_MAX);
        } else if is_void {
            self.linger = (2 * self.linger).clamp(LINGER_MIN, LINGER_MAX);
        }
        self.note_unsynced();
        Ok(())
    }

    fn note_unsynced(&mut self) {
        if self.writer.has_unsynced() {
            self.unsynced_since.get_or_insert_with(Instant::now);
        } else {
            self.unsynced_since = None;
        }
    }

    /// What is to be done between batches.
    fn keep_house(&mut self) -> Result<(), LogError> {
        let Self { writer, shards, .. } = self;
        let mut tell = |told| tell(shards, told, Spent::default());
        if let (Some(every), Some(since)) = (self.sync_every, self.unsynced_since)
            && since.elapsed() >= every
        {
            writer.sync(&mut tell)?;
            self.unsynced_since = None;
        }
        self.busy = writer.keep_house(clock(self.started), MAINTAIN_BYTES, &mut tell)?;
        self.update_health();
        Ok(())
    }

    fn update_health(&self) {
        self.health.update(self.writer.log(), self.writer.is_full());
    }

    /// The disk failed: what is on it is not known. Nothing is acknowledged any more that would
    /// have to be kept; what shards still record is thrown away.
    fn give_up(self, error: &LogError) {
        self.health.poison(error.to_string());
        tell_full(&self.shards, true);
        tracing::error!(
            %error,
            "the log cannot be trusted any more: nothing that has to be kept is acknowledged until \
             the broker has been started again"
        );
        loop {
            let (_, stop) = self.desk.take(Waits::default());
            if stop {
                return;
            }
        }
    }
}

fn tell(shards: &[Sender], told: Told, spent: Spent) {
    match told {
        Told::Written(shard, seq) => send(shards, shard, ToShard::Written(seq, spent)),
        Told::Committed(shard, seq) => send(shards, shard, ToShard::Committed(seq, spent)),
        Told::Void(shard, seqs) => send(shards, shard, ToShard::Void(seqs)),
        Told::Full(full) => {
            tell_full(shards, full);
            if full {
                tracing::error!(
                    "no room for the log: QoS 1 and 2 messages that would have to be kept are \
                     refused until there is"
                );
            } else {
                tracing::info!("the log has room again");
            }
        }
    }
}

fn tell_full(shards: &[Sender], full: bool) {
    for shard in shards {
        let _ = shard.send(ToShard::Full(full));
    }
}

fn send(shards: &[Sender], shard: ShardId, mail: ToShard) {
    if let Some(shard) = shards.get(usize::from(shard.0)) {
        // A shard that is gone needs no answer.
        let _ = shard.send(mail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::SessionNumber;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Somebody waits for each of them.
    fn push(desk: &Arc<Desk>, count: u64, last: &mut u64) {
        let mut store = DeskStore { desk: Arc::clone(desk), shard: ShardId(0) };
        for _ in 0..count {
            *last += 1;
            let session = SessionNumber(*last);
            let mut records = vec![Record::SessionEnd { session }];
            store.append(&mut records, Seq(*last), true, &mut Vec::new());
        }
    }

    /// Each is half of what is much.
    fn push_large(desk: &Arc<Desk>, count: u64) {
        let mut store = DeskStore { desk: Arc::clone(desk), shard: ShardId(0) };
        for n in 0..count {
            let filter = "x".repeat(GATHERED_BYTES_MAX / 2).into();
            let session = SessionNumber(1);
            let mut records = vec![Record::Unsubscribed { session, filter }];
            store.append(&mut records, Seq(1_000_000 + n), true, &mut Vec::new());
        }
    }

    /// How many records were taken since the start.
    fn taken(desk: &Desk) -> usize {
        let counts = desk.counts();
        counts.records as usize - counts.staged
    }

    /// Does something as soon as the committer waits for more.
    fn when_it_gathers(desk: &Arc<Desk>, act: impl FnOnce(&Arc<Desk>) + Send + 'static) {
        let desk = Arc::clone(desk);
        std::thread::spawn(move || {
            while desk.lock().sleeps != Sleep::UntilMany {
                std::thread::yield_now();
            }
            act(&desk);
        });
    }

    #[test]
    fn what_is_urgent_waits_for_more_until_there_are_many() {
        let (desk, mut last) = (Arc::new(Desk::new(1, HOUR)), 0);
        push(&desk, 1, &mut last);
        when_it_gathers(&desk, move |desk| push(desk, GATHERED_MAX as u64, &mut last));
        let (_, stop) = desk.take(Waits::default());
        assert!(taken(&desk) >= GATHERED_MAX && !stop, "{}", taken(&desk));
    }

    #[test]
    fn or_until_it_is_much() {
        let desk = Arc::new(Desk::new(1, HOUR));
        push(&desk, 1, &mut 0);
        when_it_gathers(&desk, |desk| push_large(desk, 2));
        desk.take(Waits::default());
        assert!((2..=3).contains(&taken(&desk)), "{}", taken(&desk));
        // What came while nobody gathered counts as well, and each time anew.
        push_large(&desk, 4);
        desk.take(Waits::default());
        assert_eq!(desk.lock().gathered_bytes, 0);
    }

    #[test]
    fn at_the_end_nothing_is_held_back() {
        let (desk, mut last) = (Arc::new(Desk::new(1, HOUR)), 0);
        push(&desk, 1, &mut last);
        when_it_gathers(&desk, |desk| desk.stop());
        let (_, stop) = desk.take(Waits::default());
        assert_eq!((taken(&desk), stop), (1, true));
    }

    #[test]
    fn the_delay_ends_by_itself_and_counts_from_the_first() {
        let delay = Duration::from_millis(3);
        let (desk, mut last) = (Arc::new(Desk::new(1, delay)), 0);
        push(&desk, 1, &mut last);
        let came = desk.lock().urgent_since.expect("somebody waits");
        push(&desk, 1, &mut last);
        assert_eq!(desk.lock().urgent_since, Some(came), "later ones do not make it later");
        desk.take(Waits::default());
        assert_eq!(taken(&desk), 2);
        assert!(came.elapsed() >= delay);
        push(&desk, 1, &mut last);
        assert!(desk.lock().urgent_since > Some(came), "it begins anew");
        let (desk, mut last) = (Arc::new(Desk::new(1, Duration::ZERO)), 0);
        push(&desk, 1, &mut last);
        desk.take(Waits::default());
        assert_eq!(taken(&desk), 1, "without a delay nothing is held back");
    }
}
