//! What is kept on disk, put together: the directory, the log in it, its two threads, and what a
//! start finds there.
//!
//! May use: the log, files, the clock. Invariants: nothing is written before the log has been read
//! and it is decided that the broker starts; a directory belongs to one process.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::committer::{Committer, Desk, DeskStore};
use super::mailbox::{Sender, ToShard};
use super::random_u64;
use crate::broker::{
    LoadedEntries, Record, RestoredSession, Seq, SessionKey, SessionNumber, ShardId, Time,
};
use crate::config::{OnDamage, Settings, StorePolicy};
use crate::store::{
    self, Clock, DirectoryError, FileDisk, Log, LogError, LogFile, LogOptions, Memory, OpenError,
    Reader, Recovered, Shared, State, Store, Writer,
};

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    #[error(
        "cannot keep messages: {0} (store.directory says where, store.policy = \"memory\" \
             keeps nothing)"
    )]
    Directory(#[from] DirectoryError),
    #[error("cannot open the log in {path}: {error}")]
    Open { path: String, error: OpenError },
    #[error("cannot go on in the log: {0}")]
    Log(#[from] LogError),
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// The one index of the log, for the committer and the reader.
pub(crate) struct SharedState(Mutex<State<LogFile>>);

impl Shared<LogFile> for SharedState {
    fn with<R>(&self, f: impl FnOnce(&mut State<LogFile>) -> R) -> R {
        // A panic ends the process, so the lock is never poisoned where that matters.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(crate) type ServerLog = Log<FileDisk, Arc<SharedState>>;
pub(crate) type ServerWriter = Writer<FileDisk, Arc<SharedState>>;
type ServerReader = Reader<FileDisk, Arc<SharedState>>;

/// What time it is, for the log.
#[expect(clippy::disallowed_methods, reason = "the wall clock is for spans over a restart")]
pub(super) fn clock(started: Instant) -> Clock {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    Clock {
        now: Time(started.elapsed().as_millis() as u64),
        wall_ms: wall.map_or(0, |since| since.as_millis() as u64),
    }
}

/// How the log is, for whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Health {
    full: AtomicBool,
    batches: AtomicU64,
    batch_bytes: AtomicU64,
    log_bytes: AtomicU64,
    syncs: AtomicU64,
    poisoned: Mutex<Option<String>>,
}

/// The log's figures at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogFigures {
    pub(crate) full: bool,
    pub(crate) poisoned: bool,
    pub(crate) batches: u64,
    pub(crate) batch_bytes: u64,
    pub(crate) log_bytes: u64,
    pub(crate) syncs: u64,
    pub(crate) records: u64,
    pub(crate) void: u64,
}

impl Health {
    pub(super) fn update(&self, log: &ServerLog, full: bool) {
        let counts = log.counts();
        self.full.store(full, Relaxed);
        self.batches.store(counts.batches, Relaxed);
        self.batch_bytes.store(counts.batch_bytes, Relaxed);
        self.log_bytes.store(counts.log_bytes, Relaxed);
        self.syncs.store(counts.syncs, Relaxed);
    }

    pub(super) fn poison(&self, why: String) {
        *self.poisoned.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}

/// A request of a shard's broker to read queued messages back.
#[derive(Debug)]
pub(crate) struct LoadJob {
    pub(crate) shard: ShardId,
    pub(crate) session: SessionKey,
    pub(crate) number: SessionNumber,
    pub(crate) from_order: u64,
    pub(crate) count: usize,
    pub(crate) bytes_max: usize,
}

/// A shard's store: the log, or nothing.
pub(crate) enum ShardStore {
    Memory(Memory),
    Log(DeskStore),
}

impl Store for ShardStore {
    fn append(
        &mut self,
        records: &mut Vec<Record>,
        last: Seq,
        sync: bool,
        void: &mut Vec<Seq>,
    ) -> Option<Seq> {
        match self {
            Self::Memory(memory) => memory.append(records, last, sync, void),
            Self::Log(desk) => desk.append(records, last, sync, void),
        }
    }
}

/// An open log, before its threads run.
pub(crate) struct Storage {
    log: ServerLog,
    reader: ServerReader,
    desk: Arc<Desk>,
    health: Arc<Health>,
    jobs: (mpsc::Sender<LoadJob>, mpsc::Receiver<LoadJob>),
    recovered: Recovered,
    sync_every: Option<Duration>,
    started: Instant,
}

impl Storage {
    /// Opens the log that `settings` name; `None` if they say that nothing is kept.
    pub(crate) fn open(
        settings: &Settings,
        started: Instant,
    ) -> Result<Option<Self>, StorageError> {
        if settings.policies().all(|policy| policy == StorePolicy::Memory) {
            tracing::warn!("nothing is kept on disk (store.policy = \"memory\")");
            return Ok(None);
        }
        // Where nothing is to be synced but by the system, what nobody waits for is not either.
        let syncs = |policy| matches!(policy, StorePolicy::Commit | StorePolicy::Interval);
        let syncs = settings.policies().any(syncs);
        let settings = &settings.store;
        let path = settings.directory.as_path();
        let disk = Arc::new(FileDisk::open(path)?);
        let id = u128::from(random_u64()?) << 64 | u128::from(random_u64()?);
        let options = LogOptions {
            segment_bytes: settings.segment_bytes,
            log_bytes_max: match settings.log_bytes_max {
                0 => u64::MAX,
                bytes => bytes,
            },
            on_damage: match settings.on_damage {
                OnDamage::Refuse => store::OnDamage::Refuse,
                OnDamage::KeepRest => store::OnDamage::KeepRest,
            },
            ..LogOptions::new(id, random_u64()?)
        };
        let opened = store::open(Arc::clone(&disk), &options, clock(started));
        let opened = opened
            .map_err(|error| StorageError::Open { path: path.display().to_string(), error })?;
        let state = Arc::new(SharedState(Mutex::new(opened.state)));
        let log = Log::new(opened.resume, Arc::clone(&state), clock(started))?;
        let recovered = opened.recovered;
        let delay = Duration::from_millis(settings.commit_delay_ms);
        tell_of(path, &recovered, started);
        Ok(Some(Self {
            log,
            reader: Reader::new(disk, state),
            desk: Arc::new(Desk::new(random_u64()?, delay)),
            health: Arc::default(),
            jobs: mpsc::channel(),
            recovered,
            sync_every: syncs.then_some(Duration::from_millis(settings.interval_ms)),
            started,
        }))
    }

    /// What the log held, to be handed out.
    pub(crate) fn recovered(&mut self) -> &mut Recovered {
        &mut self.recovered
    }

    /// The sessions, with the messages that were under way.
    pub(crate) fn sessions(&mut self) -> io::Result<Vec<RestoredSession>> {
        let sessions = std::mem::take(&mut self.recovered.sessions);
        sessions.into_iter().map(|session| self.reader.restored(session)).collect()
    }

    /// What publishers' names are hashed with, the same for as long as the log lives.
    pub(crate) fn publisher_key(&self) -> u64 {
        self.log.id() as u64
    }

    /// A shard's way to have queues read back.
    pub(crate) fn jobs(&self) -> mpsc::Sender<LoadJob> {
        self.jobs.0.clone()
    }

    /// A shard's way into the log.
    pub(crate) fn store(&self, shard: ShardId) -> ShardStore {
        ShardStore::Log(DeskStore { desk: Arc::clone(&self.desk), shard })
    }

    /// Starts the threads.
    pub(crate) fn start(self, shards: &[Sender]) -> io::Result<StorageThreads> {
        let Self { log, mut reader, desk, health, jobs: (jobs, waiting), started, .. } = self;
        drop(jobs); // the shards have theirs
        let committer = Committer {
            writer: Writer::new(log),
            desk: Arc::clone(&desk),
            shards: shards.to_vec(),
            started,
            health: Arc::clone(&health),
            sync_every: self.sync_every,
            unsynced_since: None,
            busy: true,
            linger: Duration::ZERO,
            told: Vec::new(),
            holds_since: None,
        };
        let shards = shards.to_vec();
        let builder = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let committer = builder("log-commit").spawn(move || committer.run())?;
        builder("log-read").spawn(move || {
            for job in waiting {
                load(&mut reader, &job, &shards);
            }
        })?;
        Ok(StorageThreads { desk, health, committer })
    }
}

/// The log's threads at work.
pub(crate) struct StorageThreads {
    desk: Arc<Desk>,
    health: Arc<Health>,
    committer: JoinHandle<()>,
}

impl StorageThreads {
    /// For whoever tells the log's figures.
    pub(crate) fn watch(&self) -> LogWatch {
        LogWatch { desk: Arc::clone(&self.desk), health: Arc::clone(&self.health) }
    }

    /// After the shards have ended: what they recorded last is written.
    pub(crate) fn stop(&self) {
        self.desk.stop();
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.committer.is_finished()
    }
}

/// Sees how the log is.
#[derive(Clone)]
pub(crate) struct LogWatch {
    desk: Arc<Desk>,
    health: Arc<Health>,
}

impl LogWatch {
    pub(crate) fn figures(&self) -> LogFigures {
        let (counts, h) = (self.desk.counts(), &self.health);
        LogFigures {
            full: h.full.load(Relaxed),
            poisoned: h.poisoned.lock().unwrap_or_else(PoisonError::into_inner).is_some(),
            batches: h.batches.load(Relaxed),
            batch_bytes: h.batch_bytes.load(Relaxed),
            log_bytes: h.log_bytes.load(Relaxed),
            syncs: h.syncs.load(Relaxed),
            records: counts.records,
            void: counts.void,
        }
    }
}

/// Says what was found.
fn tell_of(path: &Path, recovered: &Recovered, started: Instant) {
    let queued: usize = recovered.sessions.iter().map(|s| s.queued + s.in_flight.len()).sum();
    tracing::info!(
        directory = %path.display(),
        sessions = recovered.sessions.len(),
        queued,
        retained = recovered.retained.len(),
        closed_in_order = recovered.end.closed,
        took_ms = started.elapsed().as_millis() as u64,
        "the log is open"
    );
    if recovered.end.cut {
        tracing::warn!("the log's end was torn and is cut; nothing of it had been acknowledged");
    }
    if recovered.unsealed > 0 {
        let entries = recovered.unsealed;
        tracing::info!(entries, "publications that were not complete wait to be sent again");
    }
    if !recovered.damage.is_empty() {
        tracing::error!("what was kept is damaged, and the rest goes on: {}", recovered.damage);
    }
}

fn load(reader: &mut ServerReader, job: &LoadJob, shards: &[Sender]) {
    let LoadJob { shard, session, number, from_order, count, bytes_max } = *job;
    let loaded = reader.answer(number, from_order, count, bytes_max);
    let entries = loaded.unwrap_or_else(|error| {
        tracing::error!(%error, "queued messages cannot be read; it is tried again");
        LoadedEntries { number, from_order, ..LoadedEntries::default() }
    });
    if let Some(shard) = shards.get(usize::from(shard.0)) {
        let _ = shard.send(ToShard::Loaded(session, Box::new(entries)));
    }
}
