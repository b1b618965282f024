//! Questions that somebody else decides: a hook that is asked about topics and filters, and clients
//! that authenticate again. Answers come late, in any order between links, fail, are of the wrong
//! kind, or come when the link is gone.
//!
//! What the judge makes of it: nothing of a link is taken while it waits; what is taken was allowed
//! by an answer to this very packet, or by one that is young enough; a Will that nobody has allowed
//! goes nowhere; nobody stays longer than it was let in for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stonechat::auth::Identity;
use stonechat::broker::{Answer, Input, LinkKey, Question, Time};
use stonechat::codec::{Auth, Packet, ReasonCode, Subscribe};

use super::clients::{Client, GROUPS, PLAIN_FILTERS, TOPICS};
use super::rng::Rng;
use super::shadow::{Cause, Shadow, SubEntry};
use super::sim::Sim;
use super::world::{Conn, World};

/// The Authentication Method of those who may do it again.
pub const METHOD: &str = "method";

/// What the hook thinks, for a whole run.
#[derive(Debug)]
pub struct Hook {
    rng: Rng,
    /// who asks, by client; the others are not asked about
    asks: Vec<bool>,
    /// what it denies: to publish, to subscribe
    denied: BTreeSet<(usize, bool, &'static str)>,
    /// how many answers of a hundred fail
    fails: usize,
    /// no more faults
    quiet: bool,
}

/// A question under way.
#[derive(Debug)]
pub struct Pending {
    shard: usize,
    link: LinkKey,
    conn: usize,
    question: Question,
}

/// To subscribe, or else to publish; and where.
type About = (bool, String);

/// What one connection has been told, and waits for.
#[derive(Debug)]
pub struct Told {
    /// by what it is about: the last answer, and until when it counts for other packets
    last: BTreeMap<About, (bool, Time)>,
    /// those that came since a packet was taken
    fresh: BTreeSet<About>,
    /// a question is under way
    pub waits: bool,
    /// the link is being opened: a question is about its Will
    entering: bool,
    /// what is not known to be allowed
    will: Option<(usize, u32)>,
    will_waits: bool,
    /// by SUBSCRIBE: which filters are denied
    pub denied_subs: BTreeMap<u16, Vec<bool>>,
    /// it was let in until then
    pub ends: Time,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            last: BTreeMap::new(),
            fresh: BTreeSet::new(),
            waits: false,
            entering: false,
            will: None,
            will_waits: false,
            denied_subs: BTreeMap::new(),
            ends: Time::NEVER,
        }
    }
}

impl Told {
    /// As the last answer says; it may once it was asked, if it was not yet.
    fn may(&self, subscribe: bool, what: &str) -> bool {
        self.last.get(&(subscribe, what.to_owned())).is_none_or(|(may, _)| *may)
    }

    pub fn may_publish(&self, topic: &str) -> bool {
        self.may(false, topic)
    }

    /// Whether an answer counts for the packet that is taken now.
    fn counts(&self, about: &About, now: Time) -> bool {
        let young = || self.last.get(about).is_some_and(|(_, until)| now < *until);
        self.fresh.contains(about) || young()
    }
}

/// The filter that is asked about.
fn inner(filter: &str) -> &str {
    filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/')).map_or(filter, |f| f.1)
}

impl Hook {
    /// For some seeds; `clients` are those that are no probes.
    pub fn new(seed: u64, clients: &mut [Client]) -> Option<Self> {
        let mut rng = Rng::new(seed, 11);
        if !rng.percent(50) {
            return None;
        }
        let (asks, denies) = (rng.pick(&[0, 50, 90]), rng.pick(&[0, 10, 30]));
        let again = rng.pick(&[0, 30]);
        let fails = rng.pick(&[0, 5]);
        let mut denied = BTreeSet::new();
        let grouped = |filter: &str| GROUPS.iter().any(|group| inner(group) == filter);
        for client in 0..clients.len() {
            let topics = TOPICS.iter().map(|topic| (client, false, *topic));
            let filters = PLAIN_FILTERS.iter().map(|filter| (client, true, *filter));
            let filters = filters.filter(|(.., filter)| !grouped(filter));
            denied.extend(topics.chain(filters).filter(|_| rng.percent(denies)));
        }
        for c in clients.iter_mut() {
            c.is.method = c.is.version.is_v5() && rng.percent(again);
        }
        let asks = clients.iter().map(|_| rng.percent(asks)).collect();
        Some(Self { rng, asks, denied, fails, quiet: false })
    }

    pub fn cache_ms(&mut self) -> u64 {
        self.rng.pick(&[0, 100, 60_000])
    }

    fn says(&self, client: usize, subscribe: bool, what: &str) -> bool {
        !self.denied.iter().any(|d| (d.0, d.1, d.2) == (client, subscribe, what))
    }

    /// What it answers; a filter of a group is never denied, nor a topic of a herd.
    fn answer(&mut self, client: usize, question: &Question, now: Time) -> Answer {
        let fails = !self.quiet && self.rng.percent(self.fails);
        match question {
            Question::Publish(topic) if fails && TOPICS.contains(&&**topic) => Answer::Failed,
            Question::Publish(topic) => Answer::Allowed(self.says(client, false, topic)),
            Question::Subscribe(filter) => Answer::Allowed(self.says(client, true, filter)),
            Question::Reauthenticate { .. } if fails => Answer::Failed,
            Question::Reauthenticate { .. } if self.rng.one_in(3) => Answer::Continue(b"go".into()),
            Question::Reauthenticate { .. } => {
                let asks = self.asks[client];
                let user = (!self.quiet && self.rng.one_in(20)).then(|| "another".into());
                let identity = Arc::new(Identity { user, asks, ..Identity::default() });
                Answer::Authenticated { data: b"in".into(), identity, ends: self.ends(now) }
            }
        }
    }

    /// Until when somebody is let in.
    fn ends(&mut self, now: Time) -> Time {
        match self.rng.below(3) {
            0 if !self.quiet => now.plus_ms(self.rng.range(1, 20_000) as u64),
            _ => Time::NEVER,
        }
    }
}

impl World {
    /// Whether the hook is asked about a client.
    pub fn asks(&self, client: usize) -> bool {
        self.hook.as_ref().is_some_and(|hook| hook.asks.get(client) == Some(&true))
    }

    /// Its link is about to be opened: until when it may stay.
    pub fn before_opened(&mut self, id: usize, method: Option<&str>) -> Time {
        let now = self.now;
        let told = &mut self.conns[id].told;
        told.entering = true;
        if let (Some(hook), Some(_)) = (&mut self.hook, method) {
            told.ends = hook.ends(now);
        }
        told.ends
    }

    /// It was: the Will waits for an answer, where one is asked for.
    pub fn after_opened(&mut self, id: usize, has_will: bool, shadow: &mut Shadow) {
        let asks = self.asks(self.conns[id].client);
        let conn = &mut self.conns[id];
        conn.told.entering = false;
        assert_eq!(conn.told.waits, asks && has_will, "c{}: asked about its Will", conn.client);
        if conn.told.waits {
            let s = shadow.sessions[conn.client].as_mut().unwrap();
            (conn.told.will, conn.told.will_waits) = (s.will.take(), true);
        }
    }

    pub fn take_question(&mut self, shard: usize, link: LinkKey, question: Question) {
        let conn = self.shards[shard].slots[link.index()].1.expect("a link that is there");
        assert_eq!(self.conns[conn].link, link, "a question of a link that is gone");
        let waits = std::mem::replace(&mut self.conns[conn].told.waits, true);
        assert!(!waits, "c{}: two questions at a time", self.conns[conn].client);
        self.questions.push(Pending { shard, link, conn, question });
    }

    /// What a SUBSCRIBE would change, should it not be taken.
    pub fn before_subscribe(&self, id: usize, shadow: &Shadow) -> Option<Vec<SubEntry>> {
        let client = self.conns[id].client;
        let s = shadow.sessions[client].as_ref().filter(|_| self.asks(client))?;
        Some(s.subs.clone())
    }

    /// Whether the hook denies a filter of the client's SUBSCRIBE.
    pub fn denies_filter(&mut self, id: usize, packet_id: u16, filter: &str) -> bool {
        let denied = !self.conns[id].told.may(true, inner(filter));
        if self.asks(self.conns[id].client) {
            self.conns[id].told.denied_subs.entry(packet_id).or_default().push(denied);
        }
        denied
    }

    /// A SUBSCRIBE was not taken: as if it had not come.
    pub fn take_subscribe_back(
        &mut self,
        id: usize,
        packet_id: u16,
        subs: Vec<SubEntry>,
        shadow: &mut Shadow,
    ) {
        let conn = &mut self.conns[id];
        assert!(conn.told.waits, "c{}: a SUBSCRIBE is left, and nobody asked", conn.client);
        conn.told.denied_subs.remove(&packet_id);
        conn.refused_subs.remove(&packet_id);
        if let Some(s) = &mut shadow.sessions[conn.client] {
            s.subs = subs;
        }
    }

    /// A packet was handed in, and taken unless it was `left`.
    pub fn check_asked(&mut self, id: usize, packet: &[About], left: bool) {
        let client = self.conns[id].client;
        let held = self.reads_held(id);
        let (asks, now, conn) = (self.asks(client), self.now, &mut self.conns[id]);
        if conn.ended || conn.closing.is_some() {
            return;
        }
        assert!(!conn.told.waits || held, "c{client}: is read while it waits for an answer");
        if !asks || left {
            return;
        }
        for about in packet {
            let counts = conn.told.counts(about, now);
            assert!(counts, "c{client}: {about:?} is taken, and no answer counts for it");
        }
        if !packet.is_empty() {
            conn.told.fresh.clear();
        }
    }

    /// One of the questions is answered; false if there is none.
    pub fn answer_question(&mut self, at: usize, shadow: &mut Shadow) -> bool {
        if self.questions.is_empty() {
            return false;
        }
        let Pending { shard, link, conn: id, question } =
            self.questions.swap_remove(at % self.questions.len());
        let conn = &mut self.conns[id];
        let gone = conn.ended || conn.closing.is_some() || conn.server_closed;
        let (client, now) = (conn.client, self.now);
        let answer = self.hook.as_mut().unwrap().answer(client, &question, now);
        let may = answer == Answer::Allowed(true);
        if !gone {
            conn.told.waits = false;
            if conn.told.will_waits {
                conn.told.will_waits = false;
                let will = conn.told.will.take().filter(|_| may);
                shadow.sessions[client].as_mut().unwrap().will = will;
            } else if let Some(about) = about_of(&question) {
                let until = now.plus_ms(self.limits.hook_cache_ms);
                conn.told.last.insert(about.clone(), (may, until));
                conn.told.fresh.insert(about);
            }
            if let Answer::Authenticated { ends, identity, .. } = &answer
                && identity.user.is_none()
            {
                conn.told.ends = *ends; // what it may is as it was, and so are the answers
            }
        }
        let met = &mut self.met;
        *(if gone { &mut met.late } else { &mut met.answered }) += 1;
        let goes = match &answer {
            Answer::Authenticated { identity, .. } => identity.user.is_some(),
            Answer::Failed => matches!(question, Question::Reauthenticate { .. }),
            _ => false,
        };
        let before = self.shards[shard].broker.counters().stale_inputs;
        self.feed(shard, Input::Answer(link, answer), &Cause::default(), shadow);
        let after = self.shards[shard].broker.counters().stale_inputs;
        assert_eq!(after > before, gone, "c{client}: an answer that nobody waits for is counted");
        let closing = self.conns[id].closing;
        assert!(gone || !goes || closing.is_some(), "c{client}: stays, and is not who it was");
        true
    }

    /// An answer of another kind than the question: it is still waited for.
    fn answer_wrongly(&mut self, at: usize, shadow: &mut Shadow) {
        let Some(pending) = self.questions.get(at) else { return };
        let (shard, link) = (pending.shard, pending.link);
        let answer = match &pending.question {
            Question::Reauthenticate { .. } => Answer::Allowed(true),
            _ => Answer::Continue(Vec::new()),
        };
        let before = self.shards[shard].broker.counters().stale_inputs;
        self.feed(shard, Input::Answer(link, answer), &Cause::default(), shadow);
        let after = self.shards[shard].broker.counters().stale_inputs;
        assert!(after > before, "an answer to something else is counted");
    }

    /// Whose time is over is gone: all ticks of this moment have been handed in.
    pub fn check_ends(&self) {
        for conn in self.open.iter().map(|&id| &self.conns[id]) {
            let gone = !conn.opened || conn.ended || conn.closing.is_some();
            assert!(gone || conn.told.ends > self.now, "c{}: its time is over", conn.client);
        }
    }
}

impl Conn {
    /// Nobody has to go before its time. Whether it went for that.
    pub fn check_end(&self, why: &str, now: Time) -> bool {
        let over = why.contains("no longer valid");
        assert!(!over || self.told.ends <= now, "c{}: gone before its time", self.client);
        over
    }
}

fn about_of(question: &Question) -> Option<About> {
    match question {
        Question::Publish(topic) => Some((false, topic.to_string())),
        Question::Subscribe(filter) => Some((true, filter.to_string())),
        Question::Reauthenticate { .. } => None,
    }
}

/// What a SUBSCRIBE is asked about.
pub fn abouts(subscribe: &Subscribe<'_>) -> Vec<About> {
    subscribe.filters.iter().map(|(filter, _)| (true, inner(filter.text).to_owned())).collect()
}

impl Client {
    fn reauthenticate(&mut self, world: &mut World) {
        if self.is.method && self.connected && !self.auth_waits {
            self.write_auth(world, ReasonCode::ReAuthenticate);
        }
    }

    fn write_auth(&mut self, world: &mut World, reason: ReasonCode) {
        self.auth_waits = true;
        let (method, data) = (Some(METHOD), Some(&b"me"[..]));
        self.write(world, &Packet::Auth(Auth { reason, method, data, ..Auth::default() }));
    }

    pub fn on_auth(&mut self, world: &mut World, auth: &Auth<'_>) {
        assert!(self.auth_waits, "{}: AUTH that nobody waits for", self.name);
        assert_eq!(auth.method, Some(METHOD), "{}", self.name);
        self.auth_waits = false;
        match (auth.reason, auth.data) {
            (ReasonCode::Success, Some(b"in")) => {}
            (ReasonCode::ContinueAuthentication, Some(b"go")) => {
                self.write_auth(world, ReasonCode::ContinueAuthentication);
            }
            other => panic!("{}: {other:?}", self.name),
        }
    }
}

impl Sim {
    /// Perhaps somebody authenticates again, or is answered.
    pub fn ask_step(&mut self) {
        let Some(hook) = &mut self.world.hook else { return };
        let (again, at) = (hook.rng.one_in(200), hook.rng.below(1000));
        let (answers, wrongly) = (hook.rng.one_in(6), hook.rng.one_in(100));
        if again {
            let at = at % self.actors();
            self.clients[at].reauthenticate(&mut self.world);
        }
        let at = at % self.world.questions.len().max(1);
        if wrongly {
            self.world.answer_wrongly(at, &mut self.shadow);
        }
        if answers {
            self.world.answer_question(at, &mut self.shadow);
        }
    }

    /// From here on nothing fails.
    pub fn end_asking(&mut self) {
        self.world.hook.iter_mut().for_each(|hook| hook.quiet = true);
    }
}
