//! Layer 3: the only place with threads, sockets, the clock and the system's randomness.
//!
//! What lives here: [`run`], which puts the porch, the shards and the store together, and takes
//! them apart again. Invariant: the order of the end: accepting stops, clients are told, output is
//! flushed, all within `server.shutdown_ms`; whatever happens then, the process ends.
#![expect(clippy::disallowed_methods, reason = "the clock and the system's randomness live here")]

mod authority;
mod claims;
mod committer;
mod connection;
mod doors;
mod ends;
mod guests;
mod held;
mod hook;
mod interests;
mod layers;
mod lobby;
pub mod log;
mod mailbox;
mod memory;
mod poller;
mod porch;
mod privileges;
mod restore;
mod retained;
mod secrets;
mod shard;
mod socket;
mod storage;
mod sys;
mod tls;
mod totals;
mod tunnel;
mod watch;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use foldhash::quality::FixedState;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::rand::GetRandomFlags;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::broker::{
    Broker, Commons, Limits, QueueFull, RestoredSession, RetainedStore, SHARDS_MAX, Safety,
    SessionNumber, ShardId,
};
use crate::config::{self, Loaded, Settings, Sources, StorePolicy};
use crate::store::Memory;
use authority::{Asked, Authority};
use doors::Entrance;
use interests::SharedInterests;
use lobby::{Lobby, LobbyParts};
use log::LogGuard;
use mailbox::{Receiver, Report, Sender, ToShard, mailbox};
use poller::Poller;
use porch::{Door, Porch};
use privileges::{PrivilegeError, Privileges};
use restore::Restore;
use retained::SharedRetained;
use shard::ShardParts;
use storage::{LogWatch, ShardStore, Storage, StorageError, StorageThreads};
use tls::TlsError;
use totals::Totals;
use watch::{Watch, WatchParts, Watched};

/// What is left of `server.shutdown_ms` for threads to end after their shards have.
const JOIN_GRACE: Duration = Duration::from_secs(2);

/// Why the broker cannot start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("cannot listen on {address}: {error}")]
    Listen { address: String, error: io::Error },
    #[error("cannot open listener {address}: {error}")]
    Tls { address: String, error: TlsError },
    #[error("cannot start: {0}")]
    Authority(String),
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("cannot start: {error} (server.user is {user:?}: the directory has to be that user's)")]
    StorageOf { user: String, error: StorageError },
    #[error("cannot start: {0}")]
    Privileges(#[from] PrivilegeError),
}

/// Runs the broker until SIGTERM or SIGINT. Exit code 0 after an orderly end, 1 if it could not
/// start. On SIGHUP the settings are loaded again from `sources`.
pub fn run(loaded: Loaded, sources: Sources) -> ExitCode {
    let log = match log::init(&loaded.settings.log) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("stonechat: {error}");
            return ExitCode::FAILURE;
        }
    };
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    match serve(&loaded.settings, sources, &log) {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("{error}");
            drop(log); // so that the line is out before the process is
            ExitCode::FAILURE
        }
    }
}

/// Fills `buffer` from the system's source of randomness.
pub(crate) fn fill_random(buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        filled += rustix::rand::getrandom(&mut buffer[filled..], GetRandomFlags::empty())?;
    }
    Ok(())
}

pub(crate) fn random_u64() -> io::Result<u64> {
    let mut bytes = [0; 8];
    fill_random(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Everything that is made once and shared.
struct House {
    shards: Vec<Sender>,
    common: Commons<SharedRetained, SharedInterests>,
    totals: Arc<Totals>,
    started: Instant,
    storage: Option<Storage>,
    authority: Arc<Authority>,
    /// where shards put their questions about clients
    asks: UnboundedSender<Asked>,
}

fn serve(settings: &Settings, sources: Sources, log: &LogGuard) -> Result<(), StartError> {
    let started = Instant::now();
    memory::set_up();
    let program = memory::Program::find();
    raise_file_limit(settings.server.connections_max);
    let privileges = Privileges::of(&settings.server)?;
    // First of all: another broker may have the directory.
    let storage = open_storage(settings, started, privileges.as_ref())?;
    let shards = shard_count(settings);
    let mut boxes = Vec::new();
    for _ in 0..shards {
        let poller = Poller::new()?;
        let (sender, mail) = mailbox(&poller)?;
        boxes.push((sender, poller, mail));
    }
    let (asks, asked) = unbounded_channel();
    let senders = boxes.iter().map(|(sender, ..)| sender.clone()).collect();
    let mut house = House::new(settings, senders, started, storage, asks)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let received = {
        let _in_runtime = runtime.enter();
        Signals::new()? // first: who has read that the broker is ready may stop it
    };
    let opened = doors::open(settings)?;
    let watched = opened.watched();
    let mut doors: Vec<Vec<Door>> = (0..shards).map(|_| Vec::new()).collect();
    for (n, door) in opened.doors.into_iter().enumerate() {
        doors[n % shards].push(door);
    }
    if let Some(privileges) = privileges {
        let directory = house.storage.as_ref().map(|_| settings.store.directory.as_path());
        privileges.give_up(directory)?;
    }
    let porch = Arc::new(porch(settings, &house)?);
    let mut begins = house.begin(&porch)?;
    let (done, restored) = mpsc::channel();
    let mut threads = Vec::new();
    for (n, ((_, poller, mail), doors)) in boxes.into_iter().zip(doors).enumerate() {
        let restore =
            Restore { sessions: std::mem::take(&mut begins.sessions[n]), done: Some(done.clone()) };
        let inlets = Inlets { poller, mail, doors, restore };
        let made = Made { shard: ShardId(n as u8), seed: random_u64()?, porch: Arc::clone(&porch) };
        threads.push(start_thread(n, shard_parts(settings, &house, &begins, made, inlets))?);
    }
    drop(done);
    let watch = house.watch(settings, sources, watched);
    let log_threads = house.storage.take().map(|storage| storage.start(&house.shards));
    let log_threads = log_threads.transpose()?;
    // Until every shard knows what all others want, nobody may come.
    while restored.recv().is_ok() {}
    for shard in &house.shards {
        let _ = shard.send(ToShard::Restored);
    }
    let lobby = house.open_lobby(settings, porch, opened.entrances)?;
    program.forget();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), shards, "stonechat is ready");
    runtime.block_on(async {
        let log_watch = log_threads.as_ref().map(StorageThreads::watch);
        tokio::spawn(publish_sys(settings.mqtt.sys_interval_s, &house, log.dropped(), log_watch));
        let totals = Arc::clone(&house.totals);
        tokio::spawn(memory::give_back(house.shards.clone(), totals));
        let authority = Arc::clone(&house.authority);
        tokio::spawn(authority::answer_shards(authority, asked, house.shards.clone()));
        received.serve(&house.shards, |hung_up| watch.run(hung_up, log)).await;
        threads.extend(lobby.map(Lobby::stop));
        end(settings.server.shutdown_ms, &threads, log_threads.as_ref()).await;
    });
    runtime.shutdown_background(); // whom a hook has not answered yet is not waited for
    Ok(())
}

/// Waits for all threads, but not for ever.
async fn end(shutdown_ms: u64, threads: &[JoinHandle<()>], log: Option<&StorageThreads>) {
    let until = Instant::now() + Duration::from_millis(shutdown_ms) + JOIN_GRACE;
    join(until, || threads.iter().all(JoinHandle::is_finished)).await;
    if let Some(log) = log {
        log.stop();
        join(until + JOIN_GRACE, || log.is_finished()).await;
    }
}

/// Opens the log, as the user that will go on writing it.
fn open_storage(
    settings: &Settings,
    started: Instant,
    privileges: Option<&Privileges>,
) -> Result<Option<Storage>, StartError> {
    let Some(privileges) = privileges else { return Ok(Storage::open(settings, started)?) };
    let opened = privileges.opening(|| Storage::open(settings, started))?;
    let user = privileges.name().to_owned();
    opened.map_err(|error| StartError::StorageOf { user, error })
}

/// What all shards begin with.
struct Begins {
    /// by shard
    sessions: Vec<Vec<RestoredSession>>,
    /// session numbers go on above this one
    highest: SessionNumber,
    /// what publishers' names are hashed with
    publishers: u64,
}

impl House {
    fn new(
        settings: &Settings,
        shards: Vec<Sender>,
        started: Instant,
        storage: Option<Storage>,
        asks: UnboundedSender<Asked>,
    ) -> Result<Self, StartError> {
        let l = &settings.limits;
        Ok(Self {
            shards,
            common: Commons {
                retained: SharedRetained::new(l.retained_messages_max, l.retained_bytes_max),
                interests: SharedInterests::new(random_u64()?),
            },
            totals: Arc::default(),
            started,
            storage,
            authority: Authority::open(settings, started).map_err(StartError::Authority)?,
            asks,
        })
    }

    /// Lets clients come by the listeners that are not a shard's own.
    fn open_lobby(
        &self,
        settings: &Settings,
        porch: Arc<Porch>,
        entrances: Vec<Entrance>,
    ) -> io::Result<Option<Lobby>> {
        if entrances.is_empty() {
            return Ok(None);
        }
        let parts = LobbyParts {
            entrances,
            porch,
            authority: Arc::clone(&self.authority),
            shards: self.shards.clone(),
            half_received_bytes_max: settings.server.half_received_bytes_max,
        };
        Lobby::start(parts).map(Some)
    }

    /// Who looks at files and settings from now on. The shards hear what clients may do.
    fn watch(&self, settings: &Settings, sources: Sources, others: Vec<Arc<dyn Watched>>) -> Watch {
        let (shards, has_log) = (self.shards.len(), self.storage.is_some());
        Watch::new(WatchParts {
            authority: Arc::clone(&self.authority),
            others,
            shards: self.shards.clone(),
            sources,
            settings: settings.clone(),
            limits: Box::new(move |settings| limits(settings, shards, has_log)),
        })
    }

    /// Hands out what the log held: retained messages to all, each session to its home.
    fn begin(&mut self, porch: &Porch) -> Result<Begins, StartError> {
        let mut begins = Begins {
            sessions: self.shards.iter().map(|_| Vec::new()).collect(),
            highest: SessionNumber(0),
            publishers: random_u64()?,
        };
        let Some(storage) = &mut self.storage else { return Ok(begins) };
        for session in storage.sessions()? {
            let home = porch.home_of(&session.client_id);
            begins.sessions[usize::from(home.0)].push(session);
        }
        let recovered = storage.recovered();
        let retained = std::mem::take(&mut recovered.retained);
        self.common.retained.restore(retained, recovered.numbers.version);
        begins.highest = SessionNumber(recovered.numbers.session);
        begins.publishers = storage.publisher_key();
        self.authority.make_salts_with(begins.publishers);
        Ok(begins)
    }
}

fn porch(settings: &Settings, house: &House) -> io::Result<Porch> {
    let (server, mqtt) = (&settings.server, &settings.mqtt);
    Ok(Porch {
        totals: Arc::clone(&house.totals),
        home: FixedState::with_seed(random_u64()?),
        shards: house.shards.len() as u64,
        connections_max: server.connections_max,
        connect_timeout_ms: server.connect_timeout_ms,
        connect_bytes_max: server.connect_bytes_max.min(mqtt.packet_bytes_max as usize),
        client_id_bytes_max: mqtt.client_id_bytes_max,
    })
}

fn shard_count(settings: &Settings) -> usize {
    let shards = match settings.server.shards {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    shards.min(SHARDS_MAX)
}

/// Raises the soft limit of open files to what the connections need, or as far as it goes.
fn raise_file_limit(connections_max: usize) {
    let wanted = connections_max as u64 + 64;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|soft| soft >= wanted) {
        return;
    }
    let target = limit.maximum.map_or(wanted, |hard| hard.min(wanted));
    let raised = Rlimit { current: Some(target), maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
        Ok(()) if target < wanted => tracing::info!(
            open_files = target,
            connections_max,
            "the system allows fewer open files than connections_max"
        ),
        Ok(()) => {}
    }
}

/// This shard's limits: its share of what is counted for the whole process.
fn limits(settings: &Settings, shards: usize, has_log: bool) -> Limits {
    let (mqtt, l) = (&settings.mqtt, &settings.limits);
    let share = |all: usize| all.div_ceil(shards);
    // Without a log everything that waits is in memory.
    let memory = share(l.queue_memory_total_bytes);
    let (queue_memory_bytes, queue_memory_total_bytes, queue_bytes_max) = match has_log {
        true => (l.queue_memory_bytes, memory, share(l.queue_bytes_max)),
        false => (0, usize::MAX, share(l.queue_bytes_max).min(memory)),
    };
    Limits {
        session_expiry_max_s: mqtt.session_expiry_max_s,
        keep_alive_max_s: mqtt.keep_alive_max_s,
        receive_maximum: mqtt.receive_maximum,
        in_flight_max: mqtt.in_flight_max,
        topic_alias_max: mqtt.topic_alias_max,
        topic_alias_outgoing_max: mqtt.topic_alias_outgoing_max,
        packet_bytes_max: mqtt.packet_bytes_max as usize,
        retain_available: mqtt.retain_available,
        response_information: mqtt.response_information.clone(),
        output_bytes_max: l.output_bytes_max,
        output_total_bytes_max: share(l.output_total_bytes_max),
        queued_messages_max: l.queued_messages_max,
        queued_bytes_max: l.queued_bytes_max,
        queue_bytes_max,
        queue_full: match l.queue_full {
            config::QueueFull::DropOldest => QueueFull::DropOldest,
            config::QueueFull::DropNewest => QueueFull::DropNewest,
            config::QueueFull::Refuse => QueueFull::Refuse,
        },
        queue_qos0: l.queue_qos0,
        subscriptions_per_session_max: l.subscriptions_per_session_max,
        filter_levels_max: l.filter_levels_max,
        filters_per_packet_max: l.filters_per_packet_max,
        sessions_max: share(l.sessions_max),
        subscriptions_max: share(l.subscriptions_max),
        subscription_bytes_max: share(l.subscription_bytes_max),
        wills_max: share(l.wills_max),
        will_bytes_max: share(l.will_bytes_max),
        peer_bytes_max: l.peer_bytes_max,
        match_cache_bytes_max: l.match_cache_bytes,
        queue_memory_bytes,
        queue_memory_total_bytes,
        session_memory_bytes_max: l.session_memory_bytes_max,
        session_memory_total_bytes: share(l.session_memory_total_bytes),
        uncommitted_bytes_max: share(l.uncommitted_bytes_max),
        no_room_ms: l.no_room_ms,
        takeover_by_other_users: settings.auth.takeover_by_other_users,
        hook_cache_ms: settings.auth.hook_cache_s * 1000,
        safety: safety(settings.store.policy),
        topic_safety: settings.store.topic_policies().map(|(f, p)| (f.into(), safety(p))).collect(),
        identifier_safety: settings.policies().map(safety).fold(Safety::Written, Safety::max),
    }
}

/// What a policy means to the broker. When the system, or the committer, syncs is not its business.
fn safety(policy: StorePolicy) -> Safety {
    match policy {
        StorePolicy::Commit => Safety::Synced,
        StorePolicy::Interval | StorePolicy::Os => Safety::Written,
        StorePolicy::Memory => Safety::Memory,
    }
}

/// The ways into a shard.
struct Inlets {
    poller: Poller,
    mail: Receiver,
    doors: Vec<Door>,
    restore: Restore,
}

/// A shard's own.
struct Made {
    shard: ShardId,
    seed: u64,
    porch: Arc<Porch>,
}

/// What a shard is made of; the broker itself is made on the shard's own thread, where it stays.
fn shard_parts(
    settings: &Settings,
    house: &House,
    begins: &Begins,
    made: Made,
    inlets: Inlets,
) -> impl FnOnce() -> ShardParts<ShardStore> + Send + use<> {
    let shards = house.shards.len();
    let limits = limits(settings, shards, house.storage.is_some());
    let (common, peers, started) = (house.common.clone(), house.shards.clone(), house.started);
    let (shutdown_ms, l) = (settings.server.shutdown_ms, settings.limits.clone());
    let half_received_bytes_max = settings.server.half_received_bytes_max;
    let Inlets { poller, mail, doors, restore } = inlets;
    let Made { shard, seed, porch } = made;
    let (highest, publishers) = (begins.highest, begins.publishers);
    let store = match &house.storage {
        Some(storage) => storage.store(shard),
        None => ShardStore::Memory(Memory),
    };
    let (jobs, asks) = (house.storage.as_ref().map(Storage::jobs), house.asks.clone());
    let broker = move |limits| {
        let mut broker = Broker::new(shard, shards as u8, seed, limits);
        broker.start_numbers_above(highest);
        broker.name_publishers_by(publishers);
        broker
    };
    move || ShardParts {
        packet_bytes_max: limits.packet_bytes_max,
        filters_per_packet_max: limits.filters_per_packet_max,
        output_bytes_max: limits.output_bytes_max,
        broker: broker(limits),
        store,
        common,
        poller,
        mail,
        doors,
        porch,
        peers,
        shard,
        started,
        read_bytes_per_pass: l.read_bytes_per_pass,
        half_received_bytes_max,
        shutdown_ms,
        restore,
        jobs,
        asks,
    }
}

fn start_thread<F>(n: usize, make: F) -> io::Result<JoinHandle<()>>
where
    F: FnOnce() -> ShardParts<ShardStore> + Send + 'static,
{
    std::thread::Builder::new().name(format!("shard-{n}")).spawn(move || shard::run(make()))
}

/// Waits for threads that end, but not for ever.
async fn join(until: Instant, are_finished: impl Fn() -> bool) {
    while !are_finished() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The signals that the broker answers to.
struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    /// From here on they are received.
    fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT, then tells the shards. Until then `watch` is told of SIGHUPs.
    async fn serve<W: Future<Output = ()>>(
        self,
        shards: &[Sender],
        watch: impl FnOnce(tokio::sync::mpsc::Receiver<()>) -> W,
    ) {
        let Self { mut term, mut int, mut hup } = self;
        let (hang_up, hung_up) = tokio::sync::mpsc::channel(1);
        let watch = watch(hung_up);
        tokio::pin!(watch);
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                // If one is waiting already, all is read after it anyway.
                _ = hup.recv() => drop(hang_up.try_send(())),
                () = &mut watch => break, // it goes on as long as there may be a SIGHUP
            }
        }
        tracing::info!("stopping");
        for shard in shards {
            let _ = shard.send(ToShard::Shutdown);
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            std::process::exit(1); // told twice: at once
        });
    }
}

/// Publishes `$SYS` every `interval_s` seconds, 0: never.
fn publish_sys(
    interval_s: u32,
    house: &House,
    log: log::Dropped,
    watch: Option<LogWatch>,
) -> impl Future<Output = ()> + Send + 'static {
    let (shards, totals) = (house.shards.clone(), Arc::clone(&house.totals));
    let (retained, started) = (house.common.retained.clone(), house.started);
    let authority = Arc::clone(&house.authority);
    async move {
        if interval_s == 0 {
            return;
        }
        let period = Duration::from_secs(u64::from(interval_s));
        let mut timer = tokio::time::interval(period);
        let mut sys = sys::Sys::default();
        let mut last = started;
        loop {
            timer.tick().await;
            let Some(report) = collect(&shards).await else { return };
            let now = Instant::now();
            let messages = sys.round(&sys::Figures {
                report,
                retained: retained.usage(),
                totals: &totals,
                authority: &authority,
                log_lines_dropped: log.lines(),
                log: watch.as_ref().map(LogWatch::figures),
                uptime_s: started.elapsed().as_secs(),
                elapsed_s: now.duration_since(last).as_secs_f64().max(0.001),
            });
            last = now;
            if shards[0].send(ToShard::Publish(messages)).is_err() {
                return;
            }
        }
    }
}

/// The sum of all shards' counts; `None` when the process ends.
async fn collect(shards: &[Sender]) -> Option<Report> {
    let mut sum = Report::default();
    for shard in shards {
        let (ask, answer) = oneshot::channel();
        shard.send(ToShard::Report(ask)).ok()?;
        let report = answer.await.ok()?;
        sum.counters.add(&report.counters);
        sum.bytes_received += report.bytes_received;
        sum.bytes_sent += report.bytes_sent;
        sum.output_bytes += report.output_bytes;
    }
    Some(sum)
}
