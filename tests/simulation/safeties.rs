//! How safe is safe, in the simulator: some clients come by listeners that want less, some topics
//! have policies of their own; batches are written long before they are synced, or never are but
//! when a broker says that somebody waits for it; and a crash is a process that dies, which takes
//! nothing that was written, or power that fails, which may take all that was not synced.

use std::collections::BTreeMap;

use stonechat::broker::{Limits, Message, Record, Safety, Seq};
use stonechat::codec::{Publish, QoS};

use super::clients::qos_of;
use super::fold::Fold;
use super::rng::Rng;
use super::shadow::{Cause, Msg, SessionShadow, Shadow, client_of, matches, serial_of};
use super::world::World;

/// What is asked for, and by whom.
#[derive(Clone, Debug, Default)]
pub struct Safeties {
    /// by client, what its listener says
    clients: Vec<Option<Safety>>,
    topics: Vec<(&'static str, Safety)>,
    default: Safety,
    /// what identifiers towards receivers wait for
    pub identifier: Safety,
    /// by topic: the highest version that was recorded, and whether that was a clearing
    retained: BTreeMap<String, (u64, bool)>,
}

/// When the log is synced though nobody asked, from a stream of its own.
#[derive(Debug)]
pub struct Syncs {
    rng: Rng,
    /// it is now and then, as with `interval`; else never, as with `os`
    by_itself: bool,
}

impl Safeties {
    /// What some of a seed's clients and topics want; the limits say it to the brokers.
    pub fn new(rng: &mut Rng, clients: usize, limits: &mut Limits) -> Self {
        let less = [Safety::Written, Safety::Memory];
        let mut s = Self { clients: vec![None; clients], ..Self::default() };
        if rng.percent(25) {
            s.default = rng.pick(&less);
        }
        for of in &mut s.clients {
            let any = [Safety::Synced, Safety::Written, Safety::Memory];
            *of = rng.percent(40).then(|| rng.pick(&any));
        }
        for filter in ["b/#", "r/1", "s/#", "a/b", "a/#"] {
            if rng.one_in(5) {
                s.topics.push((filter, rng.pick(&less)));
            }
        }
        if rng.percent(30) {
            s.topics.push(("+/b", Safety::Synced));
        }
        limits.safety = s.default;
        limits.topic_safety = s.topics.iter().map(|(f, safety)| ((*f).into(), *safety)).collect();
        limits.identifier_safety = s.identifier;
        s
    }

    /// What the log knows of retained messages after a crash.
    pub fn restart(&mut self, fold: &Fold) {
        let all = fold.retained.iter();
        let known = all.map(|(t, (version, message))| (t.clone(), (*version, message.is_none())));
        self.retained = known.collect();
    }

    pub fn of_client(&self, client: usize) -> Option<Safety> {
        self.clients.get(client).copied().flatten()
    }

    /// What CONNACK, SUBACK and UNSUBACK wait for.
    pub fn of_link(&self, client: usize) -> Safety {
        self.of_client(client).unwrap_or(self.default)
    }

    /// What PUBCOMP waits for.
    pub fn of_release(&self, client: usize) -> Safety {
        let topics = self.topics.iter().map(|(_, safety)| *safety);
        topics.fold(self.of_link(client).max(Safety::Written), Safety::max)
    }

    /// What a message is to be.
    pub fn of(&self, client: usize, topic: &str, qos: u8) -> Safety {
        let own = self.topics.iter().find(|(filter, _)| matches(filter, topic));
        let safety = own.map_or_else(|| self.of_link(client), |(_, safety)| *safety);
        safety.at_qos(qos_of(qos))
    }
}

impl Syncs {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 7);
        let by_itself = rng.percent(50);
        Self { rng, by_itself }
    }
}

impl World {
    /// Syncs the log if that is due: at once where nobody asked for anything less.
    pub fn sync(&mut self, all: bool, shadow: &mut Shadow) -> bool {
        let goes = match &mut self.syncs {
            None => true,
            Some(_) if !self.log.ahead.is_empty() => true, // it is as good as void
            Some(s) if self.log.sync_due => all || s.rng.percent(50),
            Some(s) => s.by_itself && (all || s.rng.one_in(10)),
        };
        let synced = if goes { self.log.sync().unwrap() } else { BTreeMap::new() };
        for (&shard, seq) in &synced {
            shadow.committed[shard] = seq.0;
        }
        !synced.is_empty()
    }

    /// Tells a shard what is written, if that is news.
    pub fn tell_written(&mut self, shard: usize, shadow: &mut Shadow) -> bool {
        let seq = shadow.written[shard];
        let told = &mut self.shards[shard].written;
        let news = std::mem::replace(told, seq.max(*told)) < seq;
        if news {
            let input = stonechat::broker::Input::Written(Seq(seq));
            self.feed(shard, input, &Cause::default(), shadow);
        }
        news
    }

    /// What is left on disk when the process is gone, perhaps with the power. Whether that is.
    pub fn crash(&mut self, rng: &mut Rng) -> bool {
        if let Some(engine) = &mut self.engine {
            return engine.crash(self.now);
        }
        let whole = rng.percent(50);
        let power = self.syncs.as_mut().is_some_and(|s| s.rng.percent(60));
        let left = match &mut self.syncs {
            Some(s) if power => s.rng.below(self.log.unsynced() + 1),
            _ => usize::MAX,
        };
        self.log.crash(whole, left, self.now).unwrap();
        power
    }

    /// QoS 2 identifiers whose end the log does not know: the next message under one is taken for
    /// the one that had it.
    pub fn note_ghosts(&mut self, fold: &Fold, shadow: &Shadow) {
        for (number, kept) in fold.sessions.iter().filter(|_| self.syncs.is_some()) {
            let (client, epoch) = (client_of(&kept.client_id), shadow.epoch_of[number]);
            for &id in &kept.inbound {
                self.inbound2.entry((client, epoch, id)).or_insert(None);
            }
        }
    }
}

impl Shadow {
    /// How safe what a link publishes is.
    pub fn safety_of_publish(&self, client: usize, topic: &str, p: &Publish<'_>) -> Safety {
        self.safeties.of(client, topic, p.qos as u8)
    }

    pub fn safety_of_msg(&self, m: &Msg) -> Safety {
        self.safeties.of(m.publisher, m.topic, m.qos)
    }

    /// What is kept in memory alone is not recorded.
    pub fn check_recorded(&mut self, record: &Record) {
        let is_memory = |message: &Message| {
            let m = serial_of(message.payload()).and_then(|serial| self.msgs.get(serial));
            // What came out of the log, and goes to another member, is as it was.
            m.filter(|_| self.losses == 0).is_some_and(|m| self.safety_of_msg(m) == Safety::Memory)
        };
        match &record.clone().spelled_out() {
            Record::Queued { message, qos, .. } => {
                let in_memory = is_memory(message) && *qos != QoS::ExactlyOnce;
                assert!(!in_memory, "recorded, and was to be in memory alone: {record:?}");
            }
            Record::Retained { version, message } => {
                assert!(!is_memory(message), "recorded, and was to be in memory alone: {record:?}");
                let known = self.safeties.retained.entry(message.topic_str().into()).or_default();
                *known = (*known).max((*version, message.payload().is_empty()));
            }
            _ => {}
        }
    }

    /// What is retained in memory alone hides nothing that a restart would bring back.
    pub fn check_cleared(&self) {
        for (topic, &serial) in &self.retained {
            let m = &self.msgs[serial];
            // A Will comes out of the log without its policy, and is kept then.
            let sure = !(self.retained_unsure.contains(topic) || m.will && self.losses > 0);
            if sure && self.safety_of_msg(m) == Safety::Memory {
                let cleared = self.safeties.retained.get(*topic).is_none_or(|(_, clear)| *clear);
                assert!(cleared, "on {topic} the log has an older one than {m:?}");
            }
        }
    }

    /// Whether something that was promised to be so safe has outlived a crash, which took the power
    /// too or not.
    pub fn outlives(safety: Safety, power: bool) -> bool {
        safety == Safety::Synced || safety == Safety::Written && !power
    }

    /// A crash: what was promised to be less safe is not owed any more. Before `kept` forgets what
    /// was not on disk.
    pub fn excuse(&mut self, power: bool) {
        let lost = |s: &Self, serial: usize, done: bool| {
            let m = &s.msgs[serial];
            // A message of QoS 2 may be safe, and its seal not.
            let done = done && m.qos < 2;
            m.handed > 0 && !done && !Self::outlives(s.safety_of_msg(m), power)
        };
        let kept: Vec<_> = self.kept.iter().map(|(k, at)| (*k, *at)).collect();
        for ((client, serial), (shard, seq)) in kept {
            let least = if power { Safety::Synced } else { Safety::Written };
            let done = self.is_done(shard, seq, least);
            if lost(self, serial, done) {
                self.excused.insert((client, serial));
            }
        }
        for serial in 0..self.msgs.len() {
            if lost(self, serial, false) {
                self.msgs[serial].may_be_lost = true;
            }
        }
    }

    /// Whether the loss of this message, by this client, has been put up with.
    pub fn is_excused(&self, client: usize, serial: usize) -> bool {
        let m = &self.msgs[serial];
        let memory = m.may_be_lost && self.safety_of_msg(m) == Safety::Memory;
        memory || self.excused.contains(&(client, serial))
    }

    /// Whether what a session was told of itself has to be there after a crash.
    pub fn session_outlives(&self, client: usize, s: &SessionShadow, power: bool) -> bool {
        s.is_durable() && Self::outlives(self.safeties.of_link(client), power)
    }
}
