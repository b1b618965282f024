//! A broker's life as the log sees it: passes of records, commits, cleaning, restarts.
//!
//! Invariant: what is handed to the log is what a broker would hand in (orders rise, nothing
//! follows a session's end, a seal comes behind what it seals).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use stonechat::broker::{Message, MessageParts, PlainMessage, Seq, ShardId, Time};
use stonechat::codec::{PacketId, Properties, QoS, RetainHandling, SubscriptionOptions};
use stonechat::store::{
    Clock, DropReason, Log, LogError, LogOptions, OnDamage, OpenError, Owner, Reader, Record,
    Recovered, SessionNumber, Staging, State, Sync, WillRecord, open,
};
use stonechat::topic::TopicName;

use crate::disk::SimDisk;
use crate::model::{Held, Model, read_out};
use crate::rng::Rng;

pub type Cell = Rc<RefCell<State<u64>>>;
pub type TheLog = Log<SimDisk, Cell>;

const WALL_MS: u64 = 1_750_000_000_000;
const QOS: [QoS; 2] = [QoS::AtLeastOnce, QoS::ExactlyOnce];
const TOPICS: [&str; 6] = ["a", "a/b", "c/d/e", "sensor/1", "sensor/2", "é"];

/// What a broker knows of a session.
#[derive(Clone, Debug, Default)]
pub struct Mind {
    pub number: u64,
    pub next_order: u64,
    /// order, QoS, Packet Identifier, released
    pub entries: Vec<(u64, QoS, Option<u16>, bool)>,
    pub inbound: Vec<u16>,
    pub filters: Vec<String>,
    pub connected: bool,
}

/// A model after a batch.
pub struct Snapshot {
    pub model: Model,
}

pub struct World {
    pub rng: Rng,
    pub disk: Arc<SimDisk>,
    pub options: LogOptions,
    pub log: Option<TheLog>,
    pub state: Cell,
    pub staging: Staging,
    pub void: Vec<Seq>,
    pub seq: u64,
    /// milliseconds since the simulator began, and when the process did
    pub now: u64,
    pub start: u64,
    pub minds: Vec<Mind>,
    pub last_session: u64,
    pub version: u64,
    pub serial: u64,
    pool: Vec<Message>,
    to_seal: Vec<Message>,
    /// everything handed in and committed, or not known not to be
    pub model: Model,
    /// handed in since
    pub pending: Vec<Record>,
    /// pushed, and not committed yet
    pub staged: Vec<Record>,
    /// states that a restart may show, oldest first: the last one synced, and all since
    pub history: Vec<Snapshot>,
    pub payload_bytes: u64,
}

pub fn options(rng: &mut Rng) -> LogOptions {
    let segment_bytes = [4096, 8192, 20_000, 65_536][rng.below(4)];
    LogOptions { segment_bytes, ..LogOptions::new(7 + u128::from(rng.next()), rng.next()) }
}

pub fn clock(now: u64, start: u64) -> Clock {
    Clock { now: Time(now - start), wall_ms: WALL_MS + now }
}

type Open = (TheLog, Cell, Recovered);

pub fn open_log(disk: &Arc<SimDisk>, options: &LogOptions, now: u64) -> Result<Open, OpenError> {
    let opened = open(Arc::clone(disk), options, clock(now, now))?;
    let state = Rc::new(RefCell::new(opened.state));
    let log = Log::new(opened.resume, Rc::clone(&state), clock(now, now));
    let log = log.map_err(|error| OpenError::Io {
        what: error.to_string(),
        source: std::io::Error::other("starting"),
    })?;
    Ok((log, state, opened.recovered))
}

/// Opens and reads out, all in one.
pub fn held(disk: &Arc<SimDisk>, options: &LogOptions, now: u64) -> (Held, Recovered) {
    let (_log, state, recovered) = open_log(disk, options, now).unwrap();
    let mut reader = Reader::new(Arc::clone(disk), state);
    (read_out(&recovered, &mut reader, now, now), recovered)
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 11);
        let options = options(&mut rng);
        Self::with(rng, options, u64::MAX / 2)
    }

    pub fn with(rng: Rng, options: LogOptions, capacity: u64) -> Self {
        let disk = Arc::new(SimDisk::new(capacity));
        let (log, state, recovered) = open_log(&disk, &options, 0).unwrap();
        assert!(recovered.sessions.is_empty());
        let model = Model::default();
        Self {
            rng,
            disk,
            options,
            log: Some(log),
            state,
            staging: Staging::new(1),
            void: Vec::new(),
            seq: 0,
            now: 0,
            start: 0,
            minds: Vec::new(),
            last_session: 0,
            version: 0,
            serial: 0,
            pool: Vec::new(),
            to_seal: Vec::new(),
            history: vec![Snapshot { model: model.clone() }],
            model,
            pending: Vec::new(),
            staged: Vec::new(),
            payload_bytes: 0,
        }
    }

    pub fn clock(&self) -> Clock {
        clock(self.now, self.start)
    }

    pub fn log(&mut self) -> &mut TheLog {
        self.log.as_mut().unwrap()
    }

    pub fn message(&mut self) -> Message {
        if !self.pool.is_empty() && self.rng.percent(40) {
            return self.pool[self.rng.below(self.pool.len())].clone();
        }
        self.serial += 1;
        let mut payload = self.serial.to_le_bytes().to_vec();
        let len = [0, 5, 30, 200, 1500][self.rng.below(5)];
        payload.resize(8 + len, self.serial as u8);
        let expires = match self.rng.below(4) {
            0 => Time(self.now - self.start + self.rng.below(20_000) as u64),
            _ => Time::NEVER,
        };
        let properties: &[u8] = match self.rng.below(3) {
            0 => &[0x26, 0, 1, b'k', 0, 1, b'v', 0x01, 1],
            _ => &[],
        };
        let parts = MessageParts {
            qos: QOS[self.rng.below(2)],
            retain: self.rng.percent(10),
            expires,
            topic: TopicName::new(TOPICS[self.rng.below(TOPICS.len())]).unwrap(),
            publisher: self.rng.next() * self.rng.below(2) as u64,
            properties: Properties::from_validated(properties),
            payload: &payload,
        };
        let message = Message::new(&parts, &mut Vec::new());
        self.payload_bytes += message.payload().len() as u64;
        self.pool.push(message.clone());
        if self.pool.len() > 8 {
            self.pool.remove(0);
        }
        message
    }

    /// One thing that a broker does.
    pub fn act(&mut self) {
        let what = self.rng.below(100);
        if self.minds.is_empty() || what < 3 && self.minds.len() < 6 {
            return self.new_session();
        }
        let at = self.rng.below(self.minds.len());
        let session = SessionNumber(self.minds[at].number);
        match what {
            3..50 => self.publish(at),
            50..75 => self.progress(at),
            75..79 => self.subscribe(at),
            79..84 => self.inbound(at),
            84..88 => self.retain(),
            88..92 => {
                let expiry_s = self.rng.below(1000) as u32;
                let connected = std::mem::replace(&mut self.minds[at].connected, false);
                self.pending.push(if connected {
                    Record::Disconnected { session, expiry_s }
                } else {
                    self.minds[at].connected = true;
                    let client_id = client_id(session.0);
                    let owner = owner(session.0, expiry_s);
                    Record::Session { session, client_id, expiry_s, owner }
                });
            }
            92..95 => {
                let will = self.rng.percent(60).then(|| {
                    let message = self.message().expiring_at(Time::NEVER, &mut Vec::new());
                    let expiry_s = self.rng.percent(50).then_some(5);
                    WillRecord { message, delay_s: self.rng.below(9) as u32, expiry_s }
                });
                self.pending.push(Record::Will { session, will });
            }
            95 => {
                self.minds.remove(at);
                self.pending.push(Record::SessionEnd { session });
            }
            _ => self.seal(at),
        }
    }

    fn new_session(&mut self) {
        self.last_session += 1;
        let number = self.last_session;
        self.minds.push(Mind { number, connected: true, ..Mind::default() });
        let expiry_s = 1 + self.rng.below(100) as u32;
        self.pending.push(Record::Session {
            session: SessionNumber(number),
            client_id: client_id(number),
            expiry_s,
            owner: owner(number, expiry_s),
        });
    }

    /// A message for a few sessions.
    fn publish(&mut self, at: usize) {
        let unsealed = self.rng.one_in(8);
        let message = match unsealed {
            true => self.fresh_message(),
            false => self.message(),
        };
        if !unsealed && self.to_seal.iter().any(|m| Message::same(m, &message)) {
            return; // forwarded once
        }
        let (many, retain) = (1 + self.rng.below(3), self.rng.percent(10));
        for n in 0..many.min(self.minds.len()) {
            let len = self.minds.len();
            let mind = &mut self.minds[(at + n) % len];
            let (order, qos) = (mind.next_order, QOS[self.rng.below(2)]);
            mind.next_order += 1;
            mind.entries.push((order, qos, None, false));
            let ids = match self.rng.below(5) {
                0 => [1, 2, 300_000].into(),
                1 => [9].into(),
                _ => [].into(),
            };
            self.pending.push(Record::Queued {
                session: SessionNumber(mind.number),
                order,
                message: message.clone(),
                qos,
                retain,
                subscription_ids: ids,
                group: self.rng.one_in(6).then(|| "$share/g/a/#".into()),
                sealed: !unsealed,
            });
        }
        if unsealed {
            self.to_seal.push(message);
        } else if many == 1 && self.rng.one_in(2) {
            self.pending.last_mut().into_iter().for_each(make_plain);
        }
    }

    fn fresh_message(&mut self) -> Message {
        let pool = std::mem::take(&mut self.pool);
        let message = self.message();
        self.pool = pool;
        message
    }

    fn seal(&mut self, at: usize) {
        let Some(message) = self.to_seal.pop() else { return };
        if self.rng.one_in(4) {
            return; // the publisher never comes that far
        }
        let mind = &mut self.minds[at];
        let id = 1 + self.rng.below(60_000) as u16;
        if !mind.inbound.contains(&id) {
            mind.inbound.push(id);
            let packet_id = PacketId::new(id).unwrap();
            let session = SessionNumber(mind.number);
            self.pending.push(Record::Inbound { session, packet_id, seals: Some(message) });
        }
    }

    /// The oldest entries of a session go on.
    fn progress(&mut self, at: usize) {
        let Self { rng, minds, pending, .. } = self;
        let mind = &mut minds[at];
        let session = SessionNumber(mind.number);
        for _ in 0..rng.range(1, 6) {
            if mind.entries.is_empty() {
                return;
            }
            let which = if rng.percent(80) { 0 } else { rng.below(mind.entries.len()) };
            let (order, qos, packet_id, released) = mind.entries[which];
            match packet_id {
                _ if rng.one_in(12) => {
                    mind.entries.remove(which);
                    let why = DropReason::QueueFull;
                    pending.push(Record::Dropped { session, order, why });
                }
                None => {
                    let id = 1 + (order % 60_000) as u16;
                    mind.entries[which].2 = Some(id);
                    let packet_id = PacketId::new(id).unwrap();
                    pending.push(Record::InFlight { session, order, packet_id });
                }
                Some(_) if qos == QoS::ExactlyOnce && !released => {
                    mind.entries[which].3 = true;
                    pending.push(Record::Released { session, order });
                }
                Some(_) => {
                    mind.entries.remove(which);
                    pending.push(Record::Acknowledged { session, order });
                }
            }
        }
    }

    fn subscribe(&mut self, at: usize) {
        let Self { rng, minds, pending, .. } = self;
        let mind = &mut minds[at];
        let session = SessionNumber(mind.number);
        if rng.percent(30)
            && let Some(filter) = mind.filters.pop()
        {
            return pending.push(Record::Unsubscribed { session, filter: filter.into() });
        }
        let filter = ["a/#", "+/b", "$share/g/a/#", "é"][rng.below(4)].to_owned();
        mind.filters.retain(|known| *known != filter);
        mind.filters.push(filter.clone());
        let options = SubscriptionOptions {
            qos: QOS[rng.below(2)],
            no_local: rng.percent(50),
            retain_as_published: rng.percent(50),
            retain_handling: [RetainHandling::Send, RetainHandling::DoNotSend][rng.below(2)],
        };
        let id = rng.percent(50).then_some(77);
        pending.push(Record::Subscribed { session, filter: filter.into(), options, id });
    }

    fn inbound(&mut self, at: usize) {
        let Self { rng, minds, pending, .. } = self;
        let mind = &mut minds[at];
        let session = SessionNumber(mind.number);
        if rng.percent(60)
            && let Some(id) = mind.inbound.pop()
        {
            let packet_id = PacketId::new(id).unwrap();
            return pending.push(Record::InboundEnd { session, packet_id });
        }
        let id = 1 + rng.below(50) as u16;
        if !mind.inbound.contains(&id) {
            mind.inbound.push(id);
            let packet_id = PacketId::new(id).unwrap();
            pending.push(Record::Inbound { session, packet_id, seals: None });
        }
    }

    fn retain(&mut self) {
        self.version += 1;
        let mut records = Vec::new();
        for _ in 0..self.rng.range(1, 3) {
            self.version += 1;
            let message = self.message();
            let clear = self.rng.percent(40);
            let message = if clear { without_payload(&message) } else { message };
            records.push(Record::Retained { version: self.version, message });
        }
        // Two shards may hand in their changes the other way round.
        if self.rng.one_in(3) {
            records.reverse();
        }
        self.pending.extend(records);
    }

    /// Hands in what was done, as a pass of one of two shards.
    pub fn push(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        self.staged.extend(self.pending.iter().cloned());
        self.seq += self.pending.len() as u64;
        let seq = Seq(self.seq);
        self.staging.push(ShardId(0), &mut self.pending, seq, true, &mut self.void);
    }

    /// Commits everything; an error is the disk's.
    pub fn commit(&mut self, sync: Sync) -> Result<(), LogError> {
        self.push();
        let (clock, taken) = (self.clock(), self.staging.take());
        for record in std::mem::take(&mut self.staged) {
            self.model.apply(&record, self.now, self.start);
        }
        self.history.push(Snapshot { model: self.model.clone() });
        let committed = self.log().commit(&taken, clock, sync)?;
        if !taken.is_empty() {
            assert_eq!(committed.upto, [(ShardId(0), Seq(self.seq))]);
        }
        if sync == Sync::Now {
            self.synced();
        }
        Ok(())
    }

    /// What was handed in so far will be there, whatever happens.
    pub fn synced(&mut self) {
        self.history.drain(..self.history.len() - 1);
    }

    /// A step of the broker's life.
    pub fn step(&mut self) -> Result<(), LogError> {
        self.now += self.rng.below(50) as u64;
        for _ in 0..self.rng.range(1, 6) {
            self.act();
            if self.rng.one_in(3) {
                self.push();
            }
        }
        match self.rng.below(10) {
            0..5 => self.commit(Sync::Now)?,
            5..7 => self.commit(Sync::Later)?,
            7 => {
                self.log().sync()?;
                self.synced();
            }
            8 => {
                let (clock, budget) = (self.clock(), [100, 1000, 100_000][self.rng.below(3)]);
                self.log().maintain(clock, budget)?;
            }
            _ => self.look(),
        }
        Ok(())
    }

    /// What a running log gives back.
    fn look(&mut self) {
        if self.minds.is_empty() || self.staging.counts().staged > 0 || !self.pending.is_empty() {
            return;
        }
        let mind = &self.minds[self.rng.below(self.minds.len())];
        let mut reader = Reader::new(Arc::clone(&self.disk), Rc::clone(&self.state));
        let number = SessionNumber(mind.number);
        let loaded = reader.load(number, 0, 1000, usize::MAX).unwrap();
        assert!(loaded.unreadable.is_empty() && loaded.next_order.is_none());
        let unreleased = mind.entries.iter().filter(|entry| !entry.3);
        let mut orders: Vec<_> = unreleased.map(|entry| entry.0).collect();
        orders.sort_unstable();
        let found: Vec<_> = loaded.entries.iter().map(|l| l.order).collect();
        assert_eq!(found, orders);
        for l in &loaded.entries {
            let entry = &self.model.sessions[&mind.number].entries[&l.order];
            assert_eq!(entry.message.as_ref().unwrap().payload, l.message.payload());
        }
    }

    /// A new process, on `disk`. Returns what it found, and goes on from there.
    pub fn restart(&mut self, disk: SimDisk) -> Recovered {
        self.disk = Arc::new(disk);
        self.reopen().unwrap()
    }

    pub fn reopen(&mut self) -> Result<Recovered, OpenError> {
        self.log = None;
        let (log, state, recovered) = open_log(&self.disk, &self.options, self.now)?;
        self.start = self.now;
        self.log = Some(log);
        self.state = state;
        let mut reader = Reader::new(Arc::clone(&self.disk), Rc::clone(&self.state));
        let found = read_out(&recovered, &mut reader, self.now, self.now);
        self.adopt(&found, &recovered);
        Ok(recovered)
    }

    /// Checks that what was found is one of the states that may be, and takes it for the truth.
    fn adopt(&mut self, found: &Held, recovered: &Recovered) {
        assert!(recovered.damage.is_empty(), "{}", recovered.damage);
        let held = |s: &Snapshot| s.model.held(self.now).seen_from(self.now);
        let which = self.history.iter().rposition(|snapshot| held(snapshot) == *found);
        let Some(which) = which else {
            let states: Vec<_> = self.history.iter().map(held).collect();
            let end = recovered.end;
            panic!("{}; {} states; {end:?}", found.difference(&states), states.len());
        };
        let mut model = self.history.swap_remove(which).model;
        // What was not sealed is gone for ever.
        for (_, session, order) in std::mem::take(&mut model.unsealed) {
            model.sessions.get_mut(&session).unwrap().entries.remove(&order);
        }
        model
            .retained
            .retain(|topic, (_, text)| text.is_none() || found.retained.contains_key(topic));
        for (version, _) in model.retained.values().filter(|(_, text)| text.is_some()) {
            assert!(*version <= recovered.numbers.version);
        }
        self.model = model.clone();
        self.history = vec![Snapshot { model }];
        self.pending.clear();
        self.staged.clear();
        self.staging = Staging::new(2);
        (self.pool, self.to_seal) = (Vec::new(), Vec::new());
        self.last_session = self.last_session.max(recovered.numbers.session);
        self.minds = recovered.sessions.iter().map(|r| self.mind(r)).collect();
    }

    fn mind(&self, r: &stonechat::store::RecoveredSession) -> Mind {
        let model = &self.model.sessions[&r.number.0];
        let entry = |(order, entry): (&u64, &crate::model::Entry)| {
            let qos = if entry.qos == 1 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
            (*order, qos, entry.packet_id, entry.message.is_none())
        };
        Mind {
            number: r.number.0,
            next_order: r.next_order,
            entries: model.entries.iter().map(entry).collect(),
            inbound: r.inbound.iter().map(|id| id.get()).collect(),
            filters: model.subscriptions.keys().cloned().collect(),
            connected: r.was_connected,
        }
    }
}

pub fn client_id(number: u64) -> Arc<str> {
    format!("client-{number}").into()
}

/// Whose a session is that is opened with this expiry: it may change.
pub fn owner(session: u64, expiry_s: u32) -> Owner {
    let user = |name: &str| Some(name.into());
    match (session + u64::from(expiry_s)) % 5 {
        0 => Owner { user: user("ada"), granted: false },
        1 => Owner { user: user("bob"), granted: true },
        2 => Owner { user: None, granted: true },
        _ => Owner::default(),
    }
}

pub fn without_payload(message: &Message) -> Message {
    let parts = MessageParts {
        qos: message.qos(),
        retain: true,
        expires: Time::NEVER,
        topic: message.topic(),
        publisher: 0,
        properties: Properties::default(),
        payload: b"",
    };
    Message::new(&parts, &mut Vec::new())
}

pub fn keep_rest(options: &LogOptions) -> LogOptions {
    LogOptions { on_damage: OnDamage::KeepRest, ..*options }
}

/// Says it in the words for a message that nobody else has, if that can be.
fn make_plain(record: &mut Record) {
    let Record::Queued {
        session, order, message, qos, retain: false, subscription_ids, group, ..
    } = record
    else {
        return;
    };
    let parts = MessageParts {
        qos: message.qos(),
        retain: message.retain(),
        expires: message.expires(),
        topic: message.topic(),
        publisher: 0,
        properties: Properties::from_validated(message.properties()),
        payload: message.payload(),
    };
    if let Some(message) =
        PlainMessage::of(&parts).filter(|_| group.is_none() && subscription_ids.is_empty())
    {
        *record = Record::QueuedPlain { session: *session, order: *order, message, qos: *qos };
    }
}
