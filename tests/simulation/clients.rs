//! The clients: correct state machines of both versions that do things at random, and a few that
//! break the protocol now and then.
//!
//! A client keeps its Session State over reconnects and drops it when CONNACK says that the
//! server's is another one (the simulator compares session epochs, so that a CONNACK that was lost
//! does not make a client resend what belongs to an older session).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU16;

use stonechat::broker::Time;
use stonechat::codec::{
    Ack, Connect, Disconnect, Packet, PacketId, Properties, Publish, QoS, ReasonCode,
    RetainHandling, Subscribe, SubscriptionOptions, Unsubscribe, UserProperties, Version, Will,
    encode,
};
use stonechat::topic::{SubscriptionFilter, TopicName};

use super::asked::METHOD;
use super::rng::Rng;
use super::shadow::{Msg, Shadow, payload_of};
use super::world::World;

pub const TOPICS: &[&str] =
    &["a", "a/b", "a/b/c", "b", "b/c", "r/0", "r/1", "r/2", "s/0", "s/1", "s/2"];
pub const PLAIN_FILTERS: &[&str] =
    &["#", "a/#", "a/+", "+/b", "a/b", "+/+", "b/#", "r/#", "r/+", "+", "a/b/c", "s/#", "b/c"];
/// One filter for each group; the last one's members have mixed QoS.
pub const GROUPS: &[&str] = &["$share/g0/s/0", "$share/g1/s/+", "$share/g0/a/#", "$share/g2/#"];
pub const FILTERS: &[&str] = &[
    "#",
    "a/#",
    "a/+",
    "+/b",
    "a/b",
    "+/+",
    "b/#",
    "r/#",
    "r/+",
    "+",
    "a/b/c",
    "s/#",
    "b/c",
    "$share/g0/s/0",
    "$share/g1/s/+",
    "$share/g0/a/#",
    "$share/g2/#",
];

/// Topics, and filters, that no other filter matches: each is for one herd.
pub const HERDS: &[&str] = &["$h/0", "$h/1", "$h/2", "$h/3", "$h/4", "$h/5", "$h/6", "$h/7"];

pub fn qos_of(n: u8) -> QoS {
    [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(n)]
}

pub fn pid(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

/// What never changes about a client.
#[derive(Clone, Debug)]
pub struct Character {
    pub version: Version,
    pub bridge: bool,
    pub persistent: bool,
    pub group: Option<usize>,
    pub receive_maximum: u16,
    pub maximum_packet_size: u32,
    pub topic_alias_maximum: u16,
    pub keep_alive_s: u16,
    pub misbehaves: bool,
    /// uses a Topic Alias of an earlier connection
    pub relapses: bool,
    /// was authenticated by a method, and does it again
    pub method: bool,
    /// a probe of the quiet end: only subscribes to `#`
    pub probe: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Publish1,
    Publish2,
    Release,
}

/// A publication under way.
#[derive(Clone, Debug)]
pub struct Out {
    pub id: u16,
    pub serial: usize,
    pub stage: Stage,
    pub clear: bool,
}

/// An acknowledgement that is still to be sent.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    Ack(u16),
    Rec(u16),
    Comp(u16),
}

pub struct Client {
    pub index: usize,
    pub name: String,
    pub shard: usize,
    pub is: Character,
    pub conn: Option<usize>,
    /// CONNACK has come
    pub connected: bool,
    pub ready_at: u64,
    pub stalled: bool,
    pub must_clean: bool,
    // Session State:
    pub epoch: u64,
    pub out: VecDeque<Out>,
    pub next_id: u16,
    pub in2: BTreeMap<u16, Option<usize>>,
    // of this connection:
    pub cbuf: Vec<u8>,
    pub last_sent: Time,
    pub expect_puback: VecDeque<u16>,
    pub expect_pubrec: VecDeque<u16>,
    pub subs_pending: BTreeSet<u16>,
    pub answers: VecDeque<Answer>,
    pub unanswered: BTreeSet<u16>,
    pub receive_maximum: u16,
    pub alias_max: u16,
    pub aliases_out: Vec<&'static str>,
    pub aliases_in: BTreeMap<u16, String>,
    /// has ever given a topic an alias
    pub had_alias: bool,
    /// PUBRECs sent whose PUBREL is still to come
    pub expect_pubrel: VecDeque<u16>,
    /// by topic, what came with RETAIN
    pub retained_got: BTreeMap<String, Option<usize>>,
    pub received: u64,
    /// its AUTH is to be answered
    pub auth_waits: bool,
}

impl Client {
    pub fn new(index: usize, shard: usize, is: Character) -> Self {
        Self {
            index,
            name: format!("c{index}"),
            shard,
            is,
            conn: None,
            connected: false,
            ready_at: 0,
            stalled: false,
            must_clean: true,
            epoch: 0,
            out: VecDeque::new(),
            next_id: 0,
            in2: BTreeMap::new(),
            cbuf: Vec::new(),
            last_sent: Time(0),
            expect_puback: VecDeque::new(),
            expect_pubrec: VecDeque::new(),
            subs_pending: BTreeSet::new(),
            answers: VecDeque::new(),
            unanswered: BTreeSet::new(),
            receive_maximum: 20,
            alias_max: 0,
            aliases_out: Vec::new(),
            aliases_in: BTreeMap::new(),
            had_alias: false,
            expect_pubrel: VecDeque::new(),
            retained_got: BTreeMap::new(),
            received: 0,
            auth_waits: false,
        }
    }

    pub fn write(&mut self, world: &mut World, packet: &Packet<'_>) {
        let Some(conn) = self.conn else { return };
        let mut bytes = Vec::new();
        encode(packet, self.is.version, &mut bytes);
        world.conns[conn].up.extend(bytes);
        self.last_sent = world.now;
    }

    /// Nothing left to send, and nothing that an answer is awaited for.
    pub fn is_idle(&self) -> bool {
        self.connected && self.out.is_empty() && self.answers.is_empty()
    }

    fn new_id(&mut self) -> u16 {
        loop {
            self.next_id = self.next_id % 300 + 1;
            let id = self.next_id;
            if !self.out.iter().any(|o| o.id == id) && !self.subs_pending.contains(&id) {
                return id;
            }
        }
    }

    /// Dials. An older connection of this client may still be there: it is taken over.
    pub fn connect(&mut self, world: &mut World, shadow: &mut Shadow, rng: &mut Rng, quiet: bool) {
        let is = self.is.clone();
        let v5 = is.version.is_v5();
        let forget = !quiet && rng.one_in(12);
        let clean_start = self.must_clean || !is.persistent || forget;
        let session_expiry_s = match (is.persistent, v5) {
            (true, true) if !quiet && rng.one_in(25) => 0,
            (true, true) => rng.pick(&[2, 5, 60, 3600, u32::MAX]),
            (true, false) if !clean_start => u32::MAX,
            _ => 0,
        };
        if clean_start {
            self.must_clean = true; // until CONNACK says that the server has started afresh too
            self.forget_session();
        }
        let will = (!quiet && rng.one_in(3)).then(|| new_will(self.index, v5, shadow, rng));
        let payload = will.as_ref().map(|(serial, _)| payload_of(*serial, 8));
        let will = will.map(|(serial, delay_s)| {
            let m = &shadow.msgs[serial];
            Will {
                qos: qos_of(m.qos),
                retain: m.retain,
                delay_s,
                topic: TopicName::new(m.topic).unwrap(),
                properties: Properties::default(),
                payload: payload.as_deref().unwrap(),
            }
        });
        let name = self.name.clone();
        let connect = Connect {
            bridge: is.bridge,
            clean_start,
            keep_alive_s: is.keep_alive_s,
            session_expiry_s,
            receive_maximum: NonZeroU16::new(is.receive_maximum).unwrap_or(NonZeroU16::MAX),
            maximum_packet_size: is.maximum_packet_size,
            topic_alias_maximum: is.topic_alias_maximum,
            authentication_method: is.method.then_some(METHOD),
            will,
            ..Connect::new(is.version, &name)
        };
        self.start_connection();
        self.conn = Some(world.dial(self.index, self.shard, &connect));
        self.last_sent = world.now;
    }

    pub fn forget_session(&mut self) {
        self.out.clear();
        self.in2.clear();
    }

    pub fn start_connection(&mut self) {
        self.connected = false;
        self.stalled = false;
        self.cbuf.clear();
        self.expect_puback.clear();
        self.expect_pubrec.clear();
        self.subs_pending.clear();
        self.answers.clear();
        self.unanswered.clear();
        self.aliases_out.clear();
        self.aliases_in.clear();
        self.expect_pubrel.clear();
        self.alias_max = 0;
        self.auth_waits = false;
    }

    /// The connection is gone, as far as this client is concerned; a prefix of what it wrote may
    /// still arrive. Without `heard`, the broker is not told.
    pub fn lose(&mut self, world: &mut World, rng: &mut Rng, heard: bool) {
        let Some(id) = self.conn.take() else { return };
        let conn = &mut world.conns[id];
        let arrives = rng.below(conn.up.len() + 1);
        // CONNECT arrives whole or not at all matters to nobody: a part of it is dropped.
        conn.up.truncate(arrives);
        conn.up_closed |= heard;
        self.connected = false;
        self.start_connection();
    }

    pub fn disconnect(&mut self, world: &mut World, shadow: &Shadow, rng: &mut Rng) {
        let Some(id) = self.conn else { return };
        let reason = match self.is.version {
            Version::V5 if rng.one_in(4) => ReasonCode::DisconnectWithWillMessage,
            _ => ReasonCode::Success,
        };
        let durable = shadow.sessions[self.index].as_ref().is_some_and(|s| s.expiry_s > 0);
        let session_expiry_s = (self.is.version.is_v5() && durable && rng.one_in(4))
            .then(|| rng.pick(&[0, 1, 4, 100]));
        let packet = Disconnect { reason, session_expiry_s, ..Disconnect::default() };
        self.write(world, &Packet::Disconnect(packet));
        world.conns[id].up_closed = true;
        self.conn = None;
        self.start_connection();
    }

    pub fn subscribe(
        &mut self,
        world: &mut World,
        rng: &mut Rng,
        filters: &[&'static str],
        qos: Option<u8>,
    ) {
        let v5 = self.is.version.is_v5();
        let mut option = |share: bool| SubscriptionOptions {
            qos: qos_of(qos.unwrap_or_else(|| rng.pick(&[0, 1, 1, 2, 2]))),
            no_local: v5 && !share && rng.one_in(5),
            retain_as_published: v5 && rng.one_in(4),
            retain_handling: match v5 {
                true => rng.pick(&[
                    RetainHandling::Send,
                    RetainHandling::SendIfNew,
                    RetainHandling::DoNotSend,
                ]),
                false => RetainHandling::Send,
            },
        };
        let filters = filters
            .iter()
            .map(|f| (SubscriptionFilter::parse(f).unwrap(), option(f.starts_with("$share"))))
            .map(|(f, mut o)| {
                if self.is.probe.is_some() {
                    (o.retain_handling, o.no_local) = (RetainHandling::Send, false);
                }
                (f, o)
            })
            .collect();
        let id = self.new_id();
        self.subs_pending.insert(id);
        let subscription_id = (v5 && rng.one_in(3)).then(|| rng.range(1, 1000) as u32);
        let packet = Subscribe {
            packet_id: pid(id),
            subscription_id,
            user_properties: UserProperties::default(),
            filters,
        };
        self.write(world, &Packet::Subscribe(packet));
    }

    pub fn unsubscribe(&mut self, world: &mut World, shadow: &mut Shadow, filter: &'static str) {
        let id = self.new_id();
        self.subs_pending.insert(id);
        shadow.unsubscribe_sent(self.index, filter);
        let packet = Unsubscribe {
            packet_id: pid(id),
            user_properties: UserProperties::default(),
            filters: vec![SubscriptionFilter::parse(filter).unwrap()],
        };
        self.write(world, &Packet::Unsubscribe(packet));
    }

    /// Publishes a new message. Before CONNACK only what needs no Session State.
    pub fn publish(&mut self, world: &mut World, shadow: &mut Shadow, rng: &mut Rng) {
        let topic = rng.pick(TOPICS);
        self.publish_on(world, shadow, rng, topic);
    }

    pub fn publish_on(
        &mut self,
        world: &mut World,
        shadow: &mut Shadow,
        rng: &mut Rng,
        topic: &'static str,
    ) {
        let qos = if self.connected { rng.pick(&[0, 1, 1, 2, 2]) } else { 0 };
        if qos > 0 && self.out.len() >= usize::from(self.receive_maximum.min(20)) {
            return;
        }
        let herd = topic.starts_with('$');
        let retain = (herd || topic.starts_with("r/")) && rng.percent(50);
        let clear = retain && !herd && rng.one_in(8);
        let v5 = self.is.version.is_v5();
        let expires = v5 && !retain && rng.one_in(20);
        let len = match rng.below(40) {
            _ if clear => 0,
            0 => rng.range(2049, 5000),
            1..=3 => rng.range(200, 600),
            _ => rng.range(8, 30),
        };
        let serial = shadow.msgs.len();
        let sent_at = shadow.tick();
        shadow.msgs.push(Msg {
            publisher: self.index,
            topic,
            qos,
            retain,
            expires,
            len,
            sent_at,
            ..Msg::default()
        });
        let id = if qos > 0 { self.new_id() } else { 0 };
        let expiry = expires.then(|| rng.range(1, 4) as u32);
        let alias = self.alias_for(topic, rng);
        if qos > 0 {
            let stage = if qos == 1 { Stage::Publish1 } else { Stage::Publish2 };
            self.out.push_back(Out { id, serial, stage, clear });
        }
        self.write_publish(world, shadow, id, serial, false, alias, expiry);
    }

    /// Whether the topic is left out, and the alias that is sent.
    fn alias_for(&mut self, topic: &'static str, rng: &mut Rng) -> Option<(bool, u16)> {
        if self.alias_max == 0 || rng.percent(40) {
            return None;
        }
        match self.aliases_out.iter().position(|t| *t == topic) {
            Some(at) => Some((true, at as u16 + 1)),
            None if self.aliases_out.len() < usize::from(self.alias_max) => {
                self.had_alias = true;
                self.aliases_out.push(topic);
                Some((false, self.aliases_out.len() as u16))
            }
            None => {
                let at = rng.below(self.aliases_out.len());
                self.aliases_out[at] = topic;
                Some((false, at as u16 + 1))
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub fn write_publish(
        &mut self,
        world: &mut World,
        shadow: &Shadow,
        id: u16,
        serial: usize,
        dup: bool,
        alias: Option<(bool, u16)>,
        expiry: Option<u32>,
    ) {
        let m = &shadow.msgs[serial];
        let payload = if m.len == 0 { Vec::new() } else { payload_of(serial, m.len) };
        let no_topic = alias.is_some_and(|(known, _)| known);
        let packet = Publish {
            dup,
            qos: qos_of(m.qos),
            retain: m.retain,
            topic: (!no_topic).then(|| TopicName::new(m.topic).unwrap()),
            packet_id: PacketId::new(id),
            topic_alias: alias.and_then(|(_, alias)| NonZeroU16::new(alias)),
            message_expiry_s: expiry,
            properties: Properties::default(),
            payload: &payload,
        };
        match m.qos {
            1 => self.expect_puback.push_back(id),
            2 => self.expect_pubrec.push_back(id),
            _ => {}
        }
        self.write(world, &Packet::Publish(packet));
    }

    /// Sends up to `most` acknowledgements, in the order of what they acknowledge.
    pub fn answer(&mut self, world: &mut World, most: usize) -> bool {
        let n = most.min(self.answers.len());
        for _ in 0..n {
            let Some(answer) = self.answers.pop_front() else { break };
            let ack = |id| Ack::new(pid(id), ReasonCode::Success);
            match answer {
                Answer::Ack(id) => {
                    self.unanswered.remove(&id);
                    self.write(world, &Packet::PubAck(ack(id)));
                }
                Answer::Rec(id) => {
                    self.expect_pubrel.push_back(id);
                    self.write(world, &Packet::PubRec(ack(id)));
                }
                Answer::Comp(id) => {
                    self.unanswered.remove(&id);
                    self.write(world, &Packet::PubComp(ack(id)));
                }
            }
        }
        n > 0
    }

    pub fn ping(&mut self, world: &mut World) {
        self.write(world, &Packet::PingReq);
    }

    /// Keeps the connection alive, if it is one that needs it.
    pub fn keep_alive(&mut self, world: &mut World) {
        let quiet_ms = world.now.ms_since(self.last_sent);
        if self.is.keep_alive_s > 0 && quiet_ms > u64::from(self.is.keep_alive_s) * 500 {
            self.ping(world);
        }
    }

    /// Breaks the protocol.
    pub fn misbehave(&mut self, world: &mut World, shadow: &mut Shadow, rng: &mut Rng) {
        let Some(id) = self.conn else { return };
        match rng.below(5) {
            0 => world.conns[id].up.extend([0x00, 0x01, 0x02]),
            1 => world.conns[id].up.extend([0x36, 0x05, 0x00, 0x01, b'a', 0x00, 0x01]),
            2 => self.write(world, &Packet::PingResp),
            3 => {
                let unknown = Ack::new(pid(40_000), ReasonCode::Success);
                self.write(world, &Packet::PubAck(unknown));
                self.write(world, &Packet::PubComp(unknown));
                self.write(world, &Packet::PubRel(unknown));
            }
            _ => self.relapse(world, shadow),
        }
    }

    /// Uses a Topic Alias that only an earlier connection gave a topic.
    pub fn relapse(&mut self, world: &mut World, shadow: &mut Shadow) {
        if self.is.version.is_v5() && self.alias_max > 0 && self.aliases_out.is_empty() {
            let serial = shadow.msgs.len();
            let m = Msg { publisher: self.index, topic: "a", len: 8, ..Msg::default() };
            shadow.msgs.push(m);
            self.write_publish(world, shadow, 0, serial, false, Some((true, 1)), None);
        }
    }
}

fn new_will(client: usize, v5: bool, shadow: &mut Shadow, rng: &mut Rng) -> (usize, u32) {
    let serial = shadow.msgs.len();
    let topic = rng.pick(TOPICS);
    shadow.msgs.push(Msg {
        publisher: client,
        topic,
        qos: rng.pick(&[0, 1, 2]),
        retain: topic.starts_with("r/") && rng.percent(30),
        will: true,
        len: 8,
        ..Msg::default()
    });
    (serial, if v5 { rng.pick(&[0, 0, 1, 3, 30]) } else { 0 })
}
