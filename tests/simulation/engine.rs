//! The real log under the brokers: its staging, writer and reader on a disk of the tests' own, that
//! tears, forgets, fills up and fails; driven step by step, where the server has threads.
//!
//! A batch waits between being taken and being written (that is what a slow disk looks like to
//! everybody else), what shards are told waits in their mailboxes, and the process may end or the
//! power fail in between, or in the middle of what the log does to its files. What a restart finds
//! is compared with what was handed in, and told to the judge as a [`Fold`].

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use stonechat::broker::{
    LoadedEntries, Record, Request, RestoredEntry, RestoredSession, Seq, SessionNumber, ShardId,
    Spent, Time,
};
use stonechat::store::{
    Clock, Disk, Log, LogError, LogOptions, OpenError, Reader, Recovered, RecoveredSession,
    Staging, StagingPlace, State, Taken, Told, Writer, open,
};

use super::disk::{Fault, SimDisk};
use super::fold::{Entry, Fold, Kept};
use super::rng::Rng;
use super::shadow::{Cause, Shadow};
use super::sim::Sim;
use super::world::World;

type Cell = Rc<RefCell<State<u64>>>;
type TheWriter = Writer<SimDisk, Cell>;

const WALL_MS: u64 = 1_750_000_000_000;
const NO_LIMIT: u64 = u64::MAX / 2;

/// The staging without a lock.
struct Place(RefCell<Staging>);

impl StagingPlace for Place {
    fn with<R>(&self, f: impl FnOnce(&mut Staging) -> R) -> R {
        f(&mut self.0.borrow_mut())
    }
}

/// What goes wrong in a run, and how often it still may.
#[derive(Debug)]
struct Faults {
    /// the process ends, or the power, while the log does something
    ends: usize,
    /// the disk fills up
    fulls: usize,
    /// a write, a sync or a change of the directory fails
    errors: usize,
    /// in how many of a hundred steps a batch that was taken is written
    speed: usize,
    /// records that nobody waits for are synced after a while
    syncs_by_itself: bool,
}

/// What a run met, so that no kind of fault is left out unnoticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// the process ended, and the machine did not
    pub kills: u64,
    /// the power failed
    pub powers: u64,
    /// either, in the middle of what the log did
    pub midway: u64,
    /// shards were told that there is no room
    pub fulls: u64,
    /// the disk failed, and the log was given up
    pub failures: u64,
    /// entries that were read back
    pub loaded: u64,
    /// logs that were damaged, and how many messages of them were missing
    pub damaged: u64,
    pub missing: u64,
    /// a PUBLISH was left because it was over a quota
    pub throttled: u64,
    /// a message was not retained because its publisher has enough of them
    pub not_retained: u64,
    /// questions that were answered, in time and when the link was gone
    pub answered: u64,
    pub late: u64,
    /// links whose time was over
    pub over: u64,
}

impl Met {
    pub fn add(&mut self, other: &Self) {
        self.kills += other.kills;
        self.powers += other.powers;
        self.midway += other.midway;
        self.fulls += other.fulls;
        self.failures += other.failures;
        self.loaded += other.loaded;
        self.damaged += other.damaged;
        self.missing += other.missing;
        self.throttled += other.throttled;
        self.not_retained += other.not_retained;
        self.answered += other.answered;
        self.late += other.late;
        self.over += other.over;
    }
}

/// See the module.
pub struct Engine {
    pub met: Met,
    pub rng: Rng,
    faults: Faults,
    pub disk: Arc<SimDisk>,
    pub options: LogOptions,
    /// `None`: the disk failed, and nothing is acknowledged any more
    writer: Option<TheWriter>,
    /// messages whose memory shards may use again
    spent: Vec<(ShardId, Spent)>,
    reader: Reader<SimDisk, Cell>,
    staging: Place,
    /// a batch on its way to the disk
    taken: Option<Taken>,
    /// by shard: what it was not told yet
    mail: Vec<VecDeque<Told>>,
    /// nothing went wrong so far: no half-written rest is in the files
    clean: bool,
    /// the disk is off: the process is about to be gone
    died: bool,
    is_full: bool,
    /// every entry as it was handed in
    pushed: BTreeMap<(u64, u64), RestoredEntry>,
    /// what the last start found
    found: Fold,
    sessions: BTreeMap<SessionNumber, RestoredSession>,
}

fn clock(now: Time) -> Clock {
    Clock { now, wall_ms: WALL_MS + now.0 }
}

/// An open log: what writes it, what reads it, and what it held.
pub type Opened = (TheWriter, Reader<SimDisk, Cell>, Recovered);

pub fn open_log(disk: &Arc<SimDisk>, options: &LogOptions, now: Time) -> Result<Opened, OpenError> {
    let opened = open(Arc::clone(disk), options, clock(now))?;
    let state = Rc::new(RefCell::new(opened.state));
    let log = Log::new(opened.resume, Rc::clone(&state), clock(now));
    let log = log.map_err(|error| OpenError::Io {
        what: error.to_string(),
        source: std::io::Error::other("going on"),
    })?;
    Ok((Writer::new(log), Reader::new(Arc::clone(disk), state), opened.recovered))
}

impl Engine {
    /// An empty log.
    pub fn new(seed: u64, shards: usize) -> Self {
        let mut rng = Rng::new(seed, 21);
        let segment_bytes = rng.pick(&[4096, 8192, 20_000, 65_536]);
        let mut options =
            LogOptions { segment_bytes, ..LogOptions::new(7 + u128::from(rng.next()), rng.next()) };
        if rng.percent(25) {
            options.log_bytes_max = rng.range(5, 12) as u64 * segment_bytes;
        }
        let faults = Faults {
            ends: rng.pick(&[0, 1, 3, 6]),
            fulls: rng.pick(&[0, 0, 1, 3]),
            errors: rng.pick(&[0, 0, 1, 2]),
            speed: rng.pick(&[100, 50, 10]),
            syncs_by_itself: rng.percent(70),
        };
        let disk = Arc::new(SimDisk::new(NO_LIMIT));
        let (writer, reader, _) = open_log(&disk, &options, Time(0)).unwrap();
        Self {
            met: Met::default(),
            rng,
            faults,
            disk,
            options,
            writer: Some(writer),
            reader,
            staging: Place(RefCell::new(Staging::new(seed))),
            taken: None,
            spent: Vec::new(),
            mail: vec![VecDeque::new(); shards],
            died: false,
            clean: true,
            is_full: false,
            pushed: BTreeMap::new(),
            found: Fold::default(),
            sessions: BTreeMap::new(),
        }
    }

    /// A shard hands in the records of an input.
    pub fn push(
        &mut self,
        shard: usize,
        records: &mut Vec<Record>,
        last: Seq,
        sync: bool,
        void: &mut Vec<Seq>,
    ) {
        for record in records.iter() {
            let Record::Queued {
                session,
                order,
                message,
                qos,
                retain,
                subscription_ids,
                group,
                ..
            } = record.clone().spelled_out()
            else {
                continue;
            };
            let entry = RestoredEntry { order, message, qos, retain, subscription_ids, group };
            self.pushed.insert((session.0, order), entry);
        }
        self.staging.with(|s| s.push(ShardId(shard as u8), records, last, sync, void));
    }

    /// Takes a batch, or writes the one that was taken and keeps house, or both. False if there was
    /// nothing to tell anybody.
    fn work(&mut self, all: bool, now: Time, shadow: &mut Shadow) -> bool {
        if self.died {
            return false;
        }
        if self.writer.is_none() {
            // What shards still record is thrown away.
            self.staging.with(|staging| drop(staging.take()));
            return false;
        }
        if self.taken.is_none() {
            self.take(all);
        }
        let goes = all || self.rng.percent(self.faults.speed);
        if !goes {
            return false;
        }
        let mut told = Vec::new();
        let (disk, clean) = (Arc::clone(&self.disk), self.clean);
        let done = self.write_and_clean(all, clock(now), &mut |one| {
            let is_safe = !matches!(one, Told::Committed(..)) || disk.is_synced() || !clean;
            assert!(is_safe, "said to be synced: {one:?}");
            told.push(one);
        });
        let any = !told.is_empty();
        told.into_iter().for_each(|told| self.tell(told, shadow));
        if self.disk.is_off() {
            self.died = true;
            self.met.midway += 1;
        } else if done.is_err() {
            self.writer = None;
            self.met.failures += 1;
            self.tell(Told::Full(true), shadow);
        }
        any
    }

    fn take(&mut self, all: bool) {
        let lingers = !all && self.rng.percent(50);
        let taken = self.staging.with(|staging| {
            let may_linger = !staging.is_empty() && !staging.is_urgent() && lingers;
            match staging.is_marked() {
                true if may_linger => staging.take_marked(),
                false if may_linger => {
                    staging.mark();
                    Taken::default()
                }
                _ => staging.take(),
            }
        });
        self.taken = Some(taken).filter(|taken| !taken.is_empty());
    }

    fn write_and_clean(
        &mut self,
        all: bool,
        clock: Clock,
        tell: &mut impl FnMut(Told),
    ) -> Result<(), LogError> {
        let Self { rng, faults, writer, staging, taken, spent, .. } = self;
        let Some(writer) = writer else { return Ok(()) };
        if let Some(taken) = taken.take() {
            let written = writer.write(taken, clock, staging, tell);
            spent.extend(writer.take_spent());
            written?;
            writer.take_refused();
        }
        if writer.has_unsynced() && faults.syncs_by_itself && (all || rng.one_in(10)) {
            writer.sync(tell)?;
        }
        if all || rng.percent(70) {
            let budget = rng.pick(&[500, 3_000, 1 << 18]);
            writer.keep_house(clock, budget, tell)?;
        }
        Ok(())
    }

    /// Notes what is so now, and puts it into the mailboxes.
    fn tell(&mut self, told: Told, shadow: &mut Shadow) {
        let shard = match &told {
            Told::Full(_) => {
                self.met.fulls += 1;
                self.mail.iter_mut().for_each(|mail| mail.push_back(told.clone()));
                return;
            }
            Told::Written(shard, _) | Told::Committed(shard, _) | Told::Void(shard, _) => {
                usize::from(shard.0)
            }
        };
        match &told {
            Told::Written(_, seq) => {
                shadow.written[shard] = seq.0.max(shadow.written[shard]);
            }
            Told::Committed(_, seq) => {
                shadow.written[shard] = seq.0.max(shadow.written[shard]);
                shadow.committed[shard] = seq.0.max(shadow.committed[shard]);
            }
            Told::Void(_, seqs) => shadow.void.extend(seqs.iter().map(|seq| (shard, seq.0))),
            Told::Full(_) => {}
        }
        self.mail[shard].push_back(told);
    }

    /// Answers a load as the server's reader does.
    pub fn load(&mut self, request: &Request) -> LoadedEntries {
        let Request::Load { number, from_order, count, bytes_max, .. } = *request else {
            panic!("nobody answers {request:?}");
        };
        let answer = self.reader.answer(number, from_order, count, bytes_max);
        let answer = answer.unwrap_or_else(|_| {
            assert!(self.disk.is_off(), "the log cannot be read");
            LoadedEntries { number, from_order, ..LoadedEntries::default() }
        });
        self.met.loaded += answer.entries.len() as u64;
        for entry in &answer.entries {
            self.check_entry(number, entry);
        }
        assert!(answer.unreadable.is_empty(), "unreadable: {request:?}: {:?}", answer.unreadable);
        answer
    }

    /// What was read is what was handed in.
    fn check_entry(&self, session: SessionNumber, read: &RestoredEntry) {
        let pushed = self.pushed.get(&(session.0, read.order));
        let pushed = pushed.unwrap_or_else(|| panic!("nobody recorded {session:?} {read:?}"));
        let parts = |e: &RestoredEntry| {
            let m = &e.message;
            let text = (m.topic_str().to_owned(), m.properties().to_vec(), m.payload().to_vec());
            (text, m.expires(), m.publisher(), (m.qos(), m.retain()))
        };
        assert_eq!(parts(read), parts(pushed), "{session:?}, entry {}", read.order);
        let rest =
            |e: &RestoredEntry| (e.qos, e.retain, e.subscription_ids.clone(), e.group.clone());
        assert_eq!(rest(read), rest(pushed), "{session:?}, entry {}", read.order);
    }

    /// The process is gone, perhaps with the power, and the next one reads the log. Returns whether
    /// the power was.
    pub fn crash(&mut self, now: Time) -> bool {
        let mut power = self.cut_off();
        (self.writer, self.taken, self.died) = (None, None, false);
        self.staging = Place(RefCell::new(Staging::new(self.rng.next())));
        loop {
            if self.rng.one_in(4) {
                let after = self.rng.range(1, 12) as u64;
                self.disk.set_fault(after, Fault::PowerLoss);
            }
            let opened = open_log(&self.disk, &self.options, now);
            if self.disk.is_off() {
                self.met.midway += 1;
                power |= self.cut_off();
                continue;
            }
            match opened {
                Ok(opened) => {
                    self.begin(opened, now);
                    return power;
                }
                // An operator makes room.
                Err(_) if self.is_full => self.make_room(),
                Err(error) => panic!("the log does not open: {error}"),
            }
        }
    }

    fn cut_off(&mut self) -> bool {
        self.clean = false;
        let power = self.rng.percent(60);
        *(if power { &mut self.met.powers } else { &mut self.met.kills }) += 1;
        let rng = &mut self.rng;
        let disk = match power {
            true => self.disk.power_loss(|n| rng.below(n)),
            false => self.disk.restart(),
        };
        self.disk = Arc::new(disk);
        power
    }

    fn make_room(&mut self) {
        self.is_full = false;
        self.disk.set_capacity(NO_LIMIT);
    }

    /// Reads everything that the log held, and goes on with it.
    pub fn begin(&mut self, opened: Opened, now: Time) {
        self.disk.clear_faults();
        let (writer, reader, recovered) = opened;
        (self.writer, self.reader) = (Some(writer), reader);
        let mut fold = Fold::default();
        fold.highest = SessionNumber(recovered.numbers.session);
        fold.version = recovered.numbers.version;
        for (version, message) in recovered.retained {
            let topic = message.topic_str().to_owned();
            fold.retained.insert(topic, (version, Some(message)));
        }
        self.sessions.clear();
        for session in recovered.sessions {
            let number = session.number;
            fold.sessions.insert(number, self.kept(&session, now));
            let restored = self.reader.restored(session).unwrap();
            self.sessions.insert(number, restored);
        }
        self.found = fold;
    }

    /// A session as the judge wants to see it; all of it is read.
    fn kept(&mut self, session: &RecoveredSession, now: Time) -> Kept {
        let number = session.number;
        let mut kept = Kept {
            client_id: session.client_id.to_string(),
            owner: session.owner.clone(),
            expiry_s: session.expiry_s,
            offline_since: Some(Time(now.0.saturating_sub(session.offline_ms))),
            last_order: session.next_order.saturating_sub(1),
            inbound: session.inbound.iter().map(|id| id.get()).collect(),
            will: session.will.clone(),
            ..Kept::default()
        };
        for (filter, options, id) in &session.subscriptions {
            kept.filters.insert(filter.to_string(), (*options, *id));
        }
        let mut from = Some(0);
        while let Some(order) = from {
            let loaded = self.reader.answer(number, order, 100, usize::MAX).unwrap();
            assert!(loaded.unreadable.is_empty(), "{number:?}: {:?}", loaded.unreadable);
            for entry in loaded.entries {
                self.check_entry(number, &entry);
                kept.entries.insert(entry.order, Entry::found(entry, None, false));
            }
            from = loaded.next_order;
        }
        let waiting = kept.entries.len();
        for delivery in &session.in_flight {
            let (id, order) = (Some(delivery.packet_id), delivery.order);
            if delivery.released {
                let entry = self.pushed[&(number.0, order)].clone();
                let known = kept.entries.insert(order, Entry::found(entry, id, true));
                assert!(known.is_none(), "{number:?}: released, and a message: {order}");
            } else {
                let entry = kept.entries.get_mut(&order).expect("in flight, and no message");
                assert_eq!(entry.qos, delivery.qos, "{number:?}, entry {order}");
                entry.packet_id = id;
            }
        }
        let under_way = session.in_flight.iter().filter(|d| !d.released).count();
        assert_eq!(waiting, session.queued + under_way, "{number:?}: entries");
        let queued = kept.entries.values().filter(|e| e.packet_id.is_none());
        let bytes: usize = queued.map(|e| e.message.cost_bytes()).sum();
        assert_eq!(bytes, session.queued_bytes, "{number:?}: bytes");
        kept
    }

    /// A session as a broker takes it.
    pub fn session(&mut self, number: SessionNumber) -> RestoredSession {
        self.sessions.remove(&number).expect("it was found")
    }

    /// So many shards begin, and were told nothing yet.
    pub fn restart(&mut self, shards: usize) {
        self.mail = vec![VecDeque::new(); shards];
    }

    pub fn found(&self) -> &Fold {
        &self.found
    }

    /// Perhaps something goes wrong, or is well again.
    fn draw(&mut self) {
        let Self { rng, faults, disk, .. } = self;
        if rng.one_in(200) {
            faults.speed = rng.pick(&[100, 50, 10, 2]);
        }
        if faults.ends > 0 && rng.one_in(500) {
            faults.ends -= 1;
            self.clean = false;
            disk.set_fault(rng.range(1, 15) as u64, Fault::PowerLoss);
        }
        if faults.errors > 0 && rng.one_in(1_000) {
            faults.errors -= 1;
            self.clean = false;
            let after = rng.range(1, 10) as u64;
            match rng.below(3) {
                0 => disk.set_fault(after, Fault::Error),
                1 => disk.set_fault(after, Fault::Full),
                _ => disk.fail_sync(rng.range(1, 3) as u64),
            }
        }
        if self.is_full && rng.one_in(300) {
            self.make_room();
        } else if !self.is_full && faults.fulls > 0 && rng.one_in(500) {
            faults.fulls -= 1;
            self.clean = false;
            let free = disk.free_bytes().unwrap_or(0);
            let left = rng.pick(&[0, 2_000, 10_000, 100_000]);
            disk.set_capacity(NO_LIMIT - free + left);
            self.is_full = true;
        }
    }

    /// Nothing goes wrong any more.
    fn heal(&mut self) {
        self.make_room();
        self.disk.clear_faults();
        (self.faults.speed, self.options.log_bytes_max) = (100, u64::MAX);
        self.writer.iter_mut().for_each(|writer| writer.set_log_bytes_max(u64::MAX));
    }
}

impl Sim {
    /// A step of the disk: faults, and the end of a process whose disk went off, or failed.
    pub fn disk_step(&mut self) {
        let Some(engine) = &mut self.world.engine else { return };
        engine.draw();
        if engine.died || engine.writer.is_none() && engine.rng.one_in(100) {
            let mut rng = Rng::new(engine.rng.next(), 22);
            self.power_loss(&mut rng);
        }
    }

    /// The disk is well for good.
    pub fn end_disk(&mut self) {
        let Some(engine) = &mut self.world.engine else { return };
        engine.heal();
        if engine.died || engine.writer.is_none() {
            let mut rng = Rng::new(engine.rng.next(), 23);
            self.power_loss(&mut rng);
        }
    }
}

impl World {
    /// As `commit`, with the real log.
    pub fn commit_on_disk(&mut self, shard: usize, all: bool, shadow: &mut Shadow) -> bool {
        let Some(engine) = &mut self.engine else { return false };
        let mut progress = false;
        if all || engine.rng.percent(40) {
            progress |= engine.work(all, self.now, shadow);
        }
        let (voids, reads) = (engine.rng.percent(60), engine.rng.percent(60));
        if all || voids {
            progress |= self.tell_void(shard, shadow);
        }
        if all || reads {
            progress |= self.read_mail(shard, all, shadow);
        }
        progress
    }

    fn read_mail(&mut self, shard: usize, all: bool, shadow: &mut Shadow) -> bool {
        let mut progress = false;
        while let Some(engine) = &mut self.engine
            && let Some(told) = engine.mail[shard].pop_front()
        {
            progress = true;
            let goes_on = all || engine.rng.percent(70);
            self.hear(shard, told, shadow);
            if !goes_on {
                break;
            }
        }
        progress
    }

    fn hear(&mut self, shard: usize, told: Told, shadow: &mut Shadow) {
        use stonechat::broker::Input;
        let cause = Cause::default();
        let spent = self.engine.as_mut().and_then(|engine| {
            let at = engine.spent.iter().position(|(of, _)| usize::from(of.0) == shard)?;
            Some(engine.spent.swap_remove(at).1)
        });
        if let Some(spent) = spent {
            self.feed(shard, Input::Spent(spent), &cause, shadow);
        }
        let sh = &mut self.shards[shard];
        match told {
            Told::Written(_, seq) => {
                sh.written = sh.written.max(seq.0);
                self.feed(shard, Input::Written(seq), &cause, shadow);
            }
            Told::Committed(_, seq) => {
                (sh.committed, sh.written) = (seq.0, sh.written.max(seq.0));
                self.feed(shard, Input::Committed(seq), &cause, shadow);
            }
            Told::Void(_, seqs) => self.feed(shard, Input::Void(&seqs), &cause, shadow),
            Told::Full(full) => {
                sh.told_full = full;
                shadow.full = self.shards.iter().any(|s| s.told_full);
                self.feed(shard, Input::Full(full), &cause, shadow);
            }
        }
    }

    /// The log is closed in order, and read once more.
    pub fn close_log(&mut self, shadow: &mut Shadow) {
        let now = self.now;
        let held = self
            .shards
            .iter()
            .map(|s| s.broker.counters())
            .fold(0, |sum, c| sum + c.queued_messages + c.in_flight);
        let Some(engine) = &mut self.engine else { return };
        while engine.work(true, now, shadow) {}
        let mut writer = engine.writer.take().expect("the disk is well");
        let mut told = Vec::new();
        writer.sync(&mut |one| told.push(one)).unwrap();
        told.into_iter().for_each(|told| engine.tell(told, shadow));
        writer.into_log().close(clock(now)).unwrap();
        engine.disk = Arc::new(engine.disk.power_loss(|_| 0));
        let files = engine.disk.files();
        let opened = open_log(&engine.disk, &engine.options, now).unwrap();
        assert!(opened.2.end.closed, "the log was closed in order");
        let kept: usize = opened.2.sessions.iter().map(|s| s.queued + s.in_flight.len()).sum();
        assert!(kept as u64 <= held, "the log keeps {kept} entries, of which brokers have {held}");
        engine.begin(opened, now);
        engine.spoil(files, now, &self.limits, shadow);
    }
}
