//! The world around the brokers: shards, the pipes between them, the log that commits late and in
//! batches, and
//! Network Connections that deliver bytes in pieces and are cut at any of them.
//!
//! Rules of the faults: peer messages of one pair of shards stay in order; commits come late, in
//! order; bytes of a connection arrive in order, and when it is cut a prefix of them does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::IoSlice;
use std::ops::Not;
use std::sync::Arc;

use stonechat::auth::Identity;
use stonechat::auth::quota::Quotas;
use stonechat::broker::{
    Answer, Broker, Closing, Commons, Effects, Input, InterestTree, Limits, LinkKey, Opening,
    Outbox, PeerMessage, QueueFull, RetainedTree, Safety, Seq, ShardId, Time,
};
use stonechat::codec::{
    Connect, Framed, Packet, QoS, ReasonCode, Sender, Version, decode, decode_within, encode, frame,
};

use super::asked::{Hook, Pending, Told, abouts};
use super::clients::{FILTERS, HERDS, TOPICS};
use super::engine::{Engine, Met};
use super::loads;
use super::rng::Rng;
use super::safeties::Syncs;
use super::shadow::{Cause, GateShadow, Shadow, SubEntry, client_of, serial_of};
use super::staging::Staging;

/// How often a Tick may be due at one moment before the broker is said to spin.
const TICKS_AT_ONCE_MAX: u32 = 20_000;
/// How many of them may come to nothing, one after the other.
const IDLE_TICKS_MAX: u32 = 100;

pub struct Shard {
    pub broker: Broker,
    pub fx: Effects,
    /// committed, as far as the broker was told
    pub committed: u64,
    /// written, likewise
    pub written: u64,
    /// void, and the broker was not told yet
    void: Vec<Seq>,
    /// by slot: its next generation, and whose it is
    pub slots: Vec<(u32, Option<usize>)>,
    ticks: (Time, u32),
    idle_ticks: u32,
    stale: Option<LinkKey>,
    /// what it was told of the disk
    pub told_full: bool,
}

/// A Network Connection, both ends of it.
pub struct Conn {
    pub client: usize,
    pub shard: usize,
    pub link: LinkKey,
    pub version: Version,
    /// bytes on their way to the broker
    pub up: VecDeque<u8>,
    /// the client's end is gone: when `up` is empty, the broker hears of it
    pub up_closed: bool,
    inbuf: Vec<u8>,
    pub opened: bool,
    /// the broker has ended the link, or knows that it is gone
    pub ended: bool,
    /// the outbox's bytes that the shadow has looked at
    parsed: usize,
    /// bytes on their way to the client
    pub down: VecDeque<u8>,
    pub closing: Option<Closing>,
    /// the broker's end is closed: nothing follows `down`
    pub server_closed: bool,
    pub gate: GateShadow,
    /// the broker refused its CONNECT
    pub refused: bool,
    /// SUBSCRIBEs that the broker refused
    pub refused_subs: BTreeSet<u16>,
    aliases: Vec<(u16, &'static str)>,
    pub epoch: u64,
    pub present: bool,
    pub bridge: bool,
    pub keep_alive_ms: u64,
    /// when a packet was handed in last
    pub last_in: Time,
    /// when the broker was last seen to hold the reading: nobody can be heard then
    pub held_at: Time,
    /// what it was told by who decides elsewhere
    pub told: Told,
}

pub struct World {
    pub now: Time,
    pub shards: Vec<Shard>,
    pub log: Staging,
    /// the real log in its place
    pub engine: Option<Engine>,
    pub common: Commons<RetainedTree, InterestTree>,
    pub pipes: Vec<VecDeque<PeerMessage>>,
    /// by pipe: bytes of messages that were sent and for which no credit has arrived
    pub under_way: Vec<usize>,
    /// a pipe that delivers nothing for now
    pub held_pipe: Option<usize>,
    pub conns: Vec<Conn>,
    /// connections whose broker's end exists
    pub open: Vec<usize>,
    pub limits: Limits,
    pub trace: u64,
    /// the trace when bytes last went out
    trace_of_bytes: u64,
    /// says everything
    pub verbose: bool,
    pub inputs: u64,
    check_every: u64,
    /// QoS 2 identifiers that the brokers have taken: (client, epoch, identifier)
    pub inbound2: BTreeMap<(usize, u64, u16), Option<usize>>,
    /// what the brokers asked of the log
    pub loads: Vec<loads::Pending>,
    /// `None`: each batch is synced as it is written
    pub syncs: Option<Syncs>,
    pub quotas: Option<Arc<Quotas>>,
    /// who decides elsewhere
    pub hook: Option<Hook>,
    /// what the brokers asked of it
    pub questions: Vec<Pending>,
    /// what the run came across, besides what its engine did
    pub met: Met,
}

pub fn topic_named(text: &str) -> Option<&'static str> {
    TOPICS.iter().chain(HERDS).copied().find(|t| *t == text)
}

fn filter_named(text: &str) -> Option<&'static str> {
    FILTERS.iter().chain(HERDS).copied().find(|t| *t == text)
}

/// Everything in an outbox: `Outbox::to_vec` without its bound on the number of slices.
fn contents(outbox: &Outbox) -> Vec<u8> {
    let mut few = [IoSlice::new(&[]); 8];
    let n = outbox.slices(&mut few);
    if n < few.len() {
        return concat(&few[..n]);
    }
    let mut many = vec![IoSlice::new(&[]); 65_536];
    let n = outbox.slices(&mut many);
    concat(&many[..n])
}

fn concat(slices: &[IoSlice<'_>]) -> Vec<u8> {
    slices.iter().flat_map(|s| s.iter().copied()).collect()
}

pub fn new_shard(i: usize, shards: usize, seed: u64, limits: &Limits) -> Shard {
    let mut broker = Broker::new(ShardId(i as u8), shards as u8, seed ^ i as u64, limits.clone());
    broker.name_publishers_by(7); // all shards alike, and after a restart as before
    Shard {
        broker,
        fx: Effects::default(),
        committed: 0,
        written: 0,
        void: Vec::new(),
        slots: Vec::new(),
        ticks: (Time(0), 0),
        idle_ticks: 0,
        stale: None,
        told_full: false,
    }
}

impl World {
    pub fn new(shards: usize, seed: u64, limits: &Limits, check_every: u64) -> Self {
        Self {
            now: Time(0),
            shards: (0..shards).map(|i| new_shard(i, shards, seed, limits)).collect(),
            log: Staging::default(),
            engine: None,
            common: Commons {
                retained: RetainedTree::new(10_000, 10 << 20),
                interests: InterestTree::new(7),
            },
            pipes: (0..shards * shards).map(|_| VecDeque::new()).collect(),
            under_way: vec![0; shards * shards],
            held_pipe: None,
            conns: Vec::new(),
            open: Vec::new(),
            limits: limits.clone(),
            trace: 0xCBF2_9CE4_8422_2325,
            trace_of_bytes: 0,
            verbose: std::env::var("STONECHAT_TRACE").is_ok(),
            inputs: 0,
            check_every,
            inbound2: BTreeMap::new(),
            loads: Vec::new(),
            syncs: None,
            quotas: None,
            hook: None,
            questions: Vec::new(),
            met: Met::default(),
        }
    }

    fn note(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.trace = (self.trace ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3);
        }
    }

    /// A client dials: its CONNECT is on the way.
    pub fn dial(&mut self, client: usize, shard: usize, connect: &Connect<'_>) -> usize {
        let slots = &mut self.shards[shard].slots;
        let id = self.conns.len();
        let slot = slots.iter().position(|(_, of)| of.is_none()).unwrap_or(slots.len());
        if slot == slots.len() {
            slots.push((0, None));
        }
        slots[slot].0 += 1;
        slots[slot].1 = Some(id);
        let link = LinkKey::new(slot as u32, slots[slot].0);
        let mut bytes = Vec::new();
        encode(&Packet::Connect(Box::new(connect.clone())), connect.version, &mut bytes);
        self.conns.push(Conn {
            client,
            shard,
            link,
            version: connect.version,
            up: bytes.into(),
            up_closed: false,
            inbuf: Vec::new(),
            opened: false,
            ended: false,
            parsed: 0,
            down: VecDeque::new(),
            closing: None,
            server_closed: false,
            gate: GateShadow::default(),
            refused: false,
            refused_subs: BTreeSet::new(),
            aliases: Vec::new(),
            epoch: 0,
            present: false,
            bridge: connect.bridge,
            keep_alive_ms: u64::from(connect.keep_alive_s) * 1000,
            last_in: self.now,
            held_at: self.now,
            told: Told::default(),
        });
        self.open.push(id);
        id
    }

    /// Hands one input in and looks at all that comes out.
    pub fn feed(&mut self, shard: usize, input: Input<'_>, cause: &Cause, shadow: &mut Shadow) {
        let sh = &mut self.shards[shard];
        let before = sh.broker.last_seq().0;
        if self.verbose {
            let client = cause.conn.map(|id| self.conns[id].client);
            println!("{} ev {} shard {shard} {client:?} {input:?}", self.now.0, shadow.ev);
        }
        sh.broker.handle(self.now, input, &mut self.common, &mut sh.fx);
        self.take_effects(shard, before, cause, shadow);
    }

    /// Looks at all that came out of a shard whose last record was `before`.
    pub fn take_effects(&mut self, shard: usize, before: u64, cause: &Cause, shadow: &mut Shadow) {
        let sh = &mut self.shards[shard];
        self.inputs += 1;
        if self.inputs.is_multiple_of(self.check_every) {
            sh.broker.check_invariants();
        }
        let mut records = std::mem::take(&mut sh.fx.records);
        let after = sh.broker.last_seq().0;
        assert_eq!(before + records.len() as u64, after, "each record has a number");
        let mut seq = before;
        let mut wait = None;
        for record in &records {
            seq += 1;
            shadow.check_recorded(record);
            if self.verbose {
                println!("    record {seq}: {record:?}");
            }
            wait = wait.max(shadow.recorded(shard, seq, record, cause));
        }
        let known = self.shards[shard].void.len();
        let sync = std::mem::take(&mut self.shards[shard].fx.sync);
        let void = &mut self.shards[shard].void;
        match &mut self.engine {
            Some(engine) => engine.push(shard, &mut records, Seq(after), sync, void),
            None => self.log.push(shard, &mut records, Seq(after), sync, void),
        }
        if self.verbose && sync {
            println!("    waits for a sync");
        }
        shadow.void.extend(void[known..].iter().map(|seq| (shard, seq.0)));
        if let (Some(wait), Some(conn)) = (wait, cause.conn) {
            let safety = cause.safety;
            self.conns[conn].gate.after.insert((cause.answer, cause.packet_id), (wait, safety));
        }
        let n = self.shards.len();
        let peers = std::mem::take(&mut self.shards[shard].fx.peers);
        let mut full = false;
        for (to, message) in peers {
            if self.verbose {
                println!("    to shard {}: {message:?}", to.0);
            }
            assert_ne!(usize::from(to.0), shard, "a shard sends nothing to itself");
            let pipe = shard * n + usize::from(to.0);
            full |= self.count_under_way(pipe, &message, cause);
            self.pipes[pipe].push_back(message);
        }
        self.take_requests(shard);
        if self.inputs.is_multiple_of(self.check_every) {
            self.check_interests();
        }
        self.look_at_outboxes(shard, shadow);
        self.check_cause(cause, full);
        self.note(&[shard as u8, cause.answer, (after & 0xFF) as u8]);
    }

    fn look_at_outboxes(&mut self, shard: usize, shadow: &mut Shadow) {
        let mut dirty = Vec::new();
        let sh = &mut self.shards[shard];
        sh.fx.sends.take_dirty(&mut dirty);
        sh.fx.sends.take_resumed(&mut Vec::new());
        for link in dirty {
            let Some(id) = self.shards[shard].slots[link.index()].1 else { continue };
            let Some(outbox) = self.shards[shard].fx.sends.outbox(link) else { continue };
            let (all, closing) = (contents(outbox), outbox.closing());
            assert_eq!(all.len(), outbox.backlog(), "the backlog is what is in the outbox");
            let conn = &mut self.conns[id];
            assert_eq!(conn.link, link, "output for a link that has its slot");
            let mut at = conn.parsed;
            while at < all.len() {
                let Ok(Framed::Whole(f)) = frame(&all[at..], usize::MAX) else {
                    panic!("c{}: the broker sent half a packet", conn.client);
                };
                let packet = decode(f, Sender::Server, conn.version)
                    .unwrap_or_else(|e| panic!("c{}: the broker sent {e:?}", conn.client));
                if self.verbose {
                    println!("    to c{}: {packet:?}", conn.client);
                }
                shadow.emitted(conn.client, shard, &mut conn.gate, &packet);
                at += f.len;
            }
            let new = all[conn.parsed..].to_vec();
            conn.parsed = all.len();
            if let (Some(closing), false) = (closing, conn.ended) {
                conn.check_keep_alive_is_over(closing, self.now);
                self.met.over += u64::from(conn.check_end(closing.why, self.now));
                conn.ended = true;
                shadow.link_ended(conn.client, id, true);
            }
            conn.closing = closing;
            self.note(&new);
            self.trace_of_bytes = self.trace;
        }
    }

    /// Bytes of a connection reach the broker's side.
    pub fn net_up(&mut self, id: usize, most: usize, shadow: &mut Shadow, rng: &mut Rng) -> bool {
        let conn = &mut self.conns[id];
        let n = most.min(conn.up.len());
        conn.inbuf.extend(conn.up.drain(..n));
        let progress = self.read(id, shadow, rng);
        let conn = &self.conns[id];
        if conn.up_closed && conn.up.is_empty() && !conn.server_closed {
            self.close(id, shadow);
            return true;
        }
        progress || n > 0
    }

    /// Hands in whole packets, unless the broker holds the reading or does not get rid of output.
    fn read(&mut self, id: usize, shadow: &mut Shadow, rng: &mut Rng) -> bool {
        let mut progress = false;
        loop {
            let conn = &self.conns[id];
            let (shard, link) = (conn.shard, conn.link);
            // What was decoded in the same batch may still be handed in: it must be ignored.
            if conn.server_closed || (conn.ended && rng.percent(70)) {
                return progress;
            }
            if conn.opened
                && let Some(outbox) = self.shards[shard].fx.sends.outbox(link)
                && (outbox.reads_held || outbox.backlog() > self.limits.output_bytes_max)
            {
                return progress;
            }
            let inbuf = std::mem::take(&mut self.conns[id].inbuf);
            let taken = self.hand_in(id, &inbuf, shadow);
            let conn = &mut self.conns[id];
            conn.inbuf = inbuf[taken..].to_vec();
            if taken == 0 {
                return progress;
            }
            progress = true;
        }
    }

    /// Hands in the first packet of `bytes`; returns its length, 0 if it is not whole.
    fn hand_in(&mut self, id: usize, bytes: &[u8], shadow: &mut Shadow) -> usize {
        let conn = &self.conns[id];
        let (shard, link, version) = (conn.shard, conn.link, conn.version);
        let (opened, now) = (conn.opened, self.now);
        let framed = match frame(bytes, self.limits.packet_bytes_max) {
            Ok(Framed::Partial { .. }) => return 0,
            Ok(Framed::Whole(f)) => {
                let filters_max = self.limits.filters_per_packet_max;
                decode_within(f, Sender::Client, version, filters_max).map(|p| (p, f.len))
            }
            Err(error) => Err(error),
        };
        match framed {
            Ok((Packet::Connect(c), len)) if !opened => {
                self.hand_in_connect(id, &c, shadow);
                len
            }
            Ok((packet, len)) if opened => {
                self.conns[id].last_in = now;
                let publish = match &packet {
                    Packet::Publish(p) => Some(*p),
                    _ => None,
                };
                let known = publish.and_then(|p| self.before_publish(id, &p, shadow));
                let (refusals, retained) = (self.refusals(shard), self.not_retained(shard));
                let (mut asked, subs) = self.asked_of(id, &packet, shadow);
                let cause = self.foresee(id, &packet, shadow);
                self.feed(shard, Input::Packet(link, packet), &cause, shadow);
                let left = self.was_left(id);
                if self.refusals(shard) > refusals {
                    asked.clear(); // for want of room, whoever may
                }
                self.check_asked(id, &asked, left);
                if let (true, Some(subs)) = (left, subs) {
                    self.take_subscribe_back(id, cause.packet_id, subs, shadow);
                }
                if let (Some(p), Some(known)) = (publish, known) {
                    if left || self.refusals(shard) > refusals {
                        self.take_back(id, (&p, left), known, shadow);
                    } else if p.retain {
                        let refused = self.not_retained(shard) > retained;
                        self.check_retained(id, &p, known, refused, shadow);
                    }
                }
                if left { 0 } else { len }
            }
            Err(error) if opened => {
                self.feed(shard, Input::Malformed(link, error), &Cause::default(), shadow);
                bytes.len()
            }
            _ => panic!("clients start with CONNECT"),
        }
    }

    fn hand_in_connect(&mut self, id: usize, c: &Connect<'_>, shadow: &mut Shadow) {
        let client = client_of(c.client_id);
        let will = c.will.as_ref().map(|w| (serial_of(w.payload).unwrap(), w.delay_s));
        let expiry_s = c.session_expiry_s.min(self.limits.session_expiry_max_s);
        let shard = self.conns[id].shard;
        let safety = shadow.safeties.of_client(client);
        let (identity, refused) = self.identity_of(id, client, c, shadow);
        if refused || self.refuses_connect(shard, client, c, shadow) {
            let conn = &mut self.conns[id];
            (conn.opened, conn.ended, conn.refused) = (true, true, true);
            let link = conn.link;
            let opening = opening(c, safety, &identity, Time::NEVER);
            self.feed(shard, Input::Opened(link, opening), &Cause::default(), shadow);
            assert!(self.conns[id].closing.is_some(), "c{client}: let in without room");
            return;
        }
        let (present, epoch) = shadow.opened(client, id, c.clean_start, expiry_s, will);
        let conn = &mut self.conns[id];
        (conn.opened, conn.last_in) = (true, self.now);
        (conn.present, conn.epoch) = (present, epoch);
        let waits = shadow.safeties.of_link(client);
        let cause = Cause { conn: Some(id), client, answer: 2, safety: waits, ..Cause::default() };
        let (shard, link) = (conn.shard, conn.link);
        let ends = self.before_opened(id, c.authentication_method);
        let opening = opening(c, safety, &identity, ends);
        self.feed(shard, Input::Opened(link, opening), &cause, shadow);
        self.after_opened(id, c.will.is_some(), shadow);
    }

    /// Tells the shadow of a packet that the broker is about to take.
    fn foresee(&mut self, id: usize, packet: &Packet<'_>, shadow: &mut Shadow) -> Cause {
        let conn = &mut self.conns[id];
        let client = conn.client;
        let safety = match packet {
            Packet::PubRec(_) => shadow.safeties.identifier,
            Packet::PubRel(_) => shadow.safeties.of_release(client),
            _ => shadow.safeties.of_link(client),
        };
        let mut cause = Cause { conn: Some(id), client, safety, ..Cause::default() };
        if conn.ended {
            return Cause::default();
        }
        match packet {
            Packet::Publish(p) => return self.foresee_publish(id, p, shadow),
            Packet::PubRec(a) => (cause.answer, cause.packet_id) = (6, a.packet_id.get()),
            Packet::PubRel(a) => {
                (cause.answer, cause.packet_id) = (7, a.packet_id.get());
                self.inbound2.remove(&(client, conn.epoch, a.packet_id.get()));
            }
            Packet::Subscribe(s) => {
                (cause.answer, cause.packet_id) = (9, s.packet_id.get());
                let shard = conn.shard;
                if self.refuses_subscribe(shard, client, shadow) {
                    self.conns[id].refused_subs.insert(s.packet_id.get());
                    return cause;
                }
                for (filter, options) in &s.filters {
                    let filter = filter_named(filter.text).unwrap();
                    if self.denies_filter(id, s.packet_id.get(), filter) {
                        continue;
                    }
                    let conn = &self.conns[id];
                    let mut options = *options;
                    // A bridge gets nothing back that it sent, and RETAIN flags as they are.
                    options.no_local |= conn.bridge && filter.starts_with("$share/").not();
                    options.retain_as_published |= conn.bridge;
                    shadow.subscribed(client, id, s.packet_id.get(), filter, options);
                }
            }
            Packet::Unsubscribe(u) => {
                (cause.answer, cause.packet_id) = (11, u.packet_id.get());
                for filter in &u.filters {
                    shadow.unsubscribed(client, filter_named(filter.text).unwrap());
                }
            }
            Packet::Disconnect(d) => {
                let s = shadow.sessions[client].as_mut().unwrap();
                if s.expiry_s == 0 && d.session_expiry_s.is_some_and(|s| s > 0) {
                    return cause; // a Protocol Error (3.14.2.2.2)
                }
                conn.ended = true;
                if let Some(expiry_s) = d.session_expiry_s {
                    s.expiry_s = expiry_s.min(self.limits.session_expiry_max_s);
                }
                shadow.link_ended(client, id, d.reason != ReasonCode::Success);
            }
            _ => {}
        }
        cause
    }

    /// What the hook is asked about a packet, and what may have to be taken back.
    fn asked_of(
        &self,
        id: usize,
        packet: &Packet<'_>,
        shadow: &Shadow,
    ) -> (Vec<(bool, String)>, Option<Vec<SubEntry>>) {
        let conn = &self.conns[id];
        match packet {
            Packet::Publish(p) => {
                let key = (conn.client, conn.epoch, p.packet_id.map_or(0, |id| id.get()));
                let again = p.qos == QoS::ExactlyOnce && self.inbound2.contains_key(&key);
                let topic = self.topic_of(id, p).0.filter(|_| !again);
                (topic.map(|topic| (false, topic.to_owned())).into_iter().collect(), None)
            }
            // For want of room it is refused, whoever may.
            Packet::Subscribe(_) if self.refuses_subscribe(conn.shard, conn.client, shadow) => {
                (Vec::new(), self.before_subscribe(id, shadow))
            }
            Packet::Subscribe(s) => (abouts(s), self.before_subscribe(id, shadow)),
            _ => (Vec::new(), None),
        }
    }

    fn foresee_publish(
        &mut self,
        id: usize,
        p: &stonechat::codec::Publish<'_>,
        shadow: &mut Shadow,
    ) -> Cause {
        let packet_id = p.packet_id.map_or(0, |id| id.get());
        let (topic, alias) = self.topic_of(id, p);
        let conn = &mut self.conns[id];
        let Some(topic) = topic else {
            return Cause { conn: Some(id), refused: true, ..Cause::default() };
        };
        if alias > 0 && p.topic.is_some() {
            conn.aliases.retain(|(a, _)| *a != alias);
            conn.aliases.push((alias, topic));
        }
        let serial = serial_of(p.payload);
        let (client, epoch) = (conn.client, conn.epoch);
        if let Some(serial) = serial {
            conn.gate.published.insert(packet_id, serial);
            shadow.msgs[serial].expiry_s = p.message_expiry_s;
        }
        let key = (client, epoch, packet_id);
        let again = p.qos == QoS::ExactlyOnce && self.inbound2.contains_key(&key);
        let may = shadow.rights.may_publish(client, topic) && conn.told.may_publish(topic);
        let denied = !again && !may;
        // 3.x clients cannot be told, and are answered as if it had been taken: nobody gets what is
        // lost with that identifier.
        if p.qos == QoS::ExactlyOnce && !again && !(denied && conn.version.is_v5()) {
            self.inbound2.insert(key, serial.filter(|_| !denied));
        }
        if denied {
            conn.gate.published.remove(&packet_id);
            serial.into_iter().for_each(|serial| shadow.msgs[serial].expires = true);
        } else if !again {
            shadow.published(topic, serial, p.retain);
        }
        let answer = p.qos as u8 + 3;
        let safety = shadow.safety_of_publish(client, topic, p);
        conn.gate.safety.insert(packet_id, safety);
        Cause { conn: Some(id), client, answer, packet_id, serial, safety, refused: false }
    }

    /// The topic that is meant, and the alias that was given.
    pub fn topic_of(
        &self,
        id: usize,
        p: &stonechat::codec::Publish<'_>,
    ) -> (Option<&'static str>, u16) {
        let alias = p.topic_alias.map_or(0, |a| a.get());
        let known = &self.conns[id].aliases;
        let topic = match p.topic {
            Some(topic) => topic_named(topic.as_str()),
            None => known.iter().find(|(a, _)| *a == alias).map(|(_, t)| *t),
        };
        (topic, alias)
    }

    /// The broker's end closes: it has heard that the client is gone, or flushed its last bytes.
    fn close(&mut self, id: usize, shadow: &mut Shadow) {
        let conn = &mut self.conns[id];
        let (shard, link, client) = (conn.shard, conn.link, conn.client);
        if conn.opened && conn.closing.is_none() {
            conn.ended = true;
            shadow.link_ended(client, id, true);
            self.feed(shard, Input::Closed(link), &Cause::default(), shadow);
        }
        self.conns[id].server_closed = true;
        let sh = &mut self.shards[shard];
        sh.fx.sends.forget(link);
        sh.slots[link.index()].1 = None;
        sh.stale = Some(link);
        self.open.retain(|&open| open != id);
    }

    /// The broker's side writes up to `most` bytes of an outbox to the socket.
    pub fn net_down(&mut self, id: usize, most: usize, shadow: &mut Shadow) -> bool {
        let conn = &self.conns[id];
        let (shard, link) = (conn.shard, conn.link);
        if !conn.opened || conn.server_closed {
            return false;
        }
        let half = self.limits.output_bytes_max / 2;
        let sends = &mut self.shards[shard].fx.sends;
        let Some(outbox) = sends.outbox_mut(link) else { return false };
        let all = contents(outbox);
        let n = most.min(all.len());
        outbox.advance(n);
        let (backlog, wants_room) = (outbox.backlog(), outbox.wants_room);
        sends.wrote(link);
        sends.check_invariants();
        let conn = &mut self.conns[id];
        conn.parsed -= n;
        conn.down.extend(&all[..n]);
        if n > 0 && wants_room && backlog <= half && conn.closing.is_none() {
            self.feed(shard, Input::Wrote(link, backlog), &Cause::default(), shadow);
        }
        if self.conns[id].closing.is_some() && backlog == 0 {
            self.close(id, shadow);
            return true;
        }
        n > 0
    }

    /// Delivers the oldest message of one pipe.
    pub fn peer(&mut self, pipe: usize, shadow: &mut Shadow) -> bool {
        let n = self.shards.len();
        if self.held_pipe == Some(pipe) {
            return false;
        }
        let Some(message) = self.pipes[pipe].pop_front() else { return false };
        let (from, to) = (pipe / n, pipe % n);
        if let PeerMessage::Credit { bytes } = message {
            let back = &mut self.under_way[to * n + from];
            *back = back.checked_sub(bytes).expect("credit for what was sent");
        }
        let from = ShardId(from as u8);
        self.feed(to, Input::Peer(from, message), &Cause::default(), shadow);
        true
    }

    pub fn pipes(&self) -> usize {
        self.pipes.len()
    }

    /// Writes what waits, or tells a shard what is committed or void; `all` of that, or a part.
    pub fn commit(&mut self, shard: usize, all: bool, shadow: &mut Shadow, rng: &mut Rng) -> bool {
        if self.engine.is_some() {
            return self.commit_on_disk(shard, all, shadow);
        }
        let mut progress = false;
        if all || rng.percent(40) {
            progress |= self.log.take(None);
        }
        if all || rng.percent(40) {
            for (shard, seq) in self.log.write(self.now).unwrap() {
                shadow.written[shard] = seq.0;
                progress = true;
            }
            progress |= self.sync(all, shadow);
            for (shard, seq) in std::mem::take(&mut self.log.ahead) {
                shadow.void.insert((shard, seq.0));
                self.shards[shard].void.push(seq);
            }
        }
        if all || rng.percent(60) {
            progress |= self.tell_void(shard, shadow);
        }
        if all || rng.percent(60) {
            progress |= self.tell_committed(shard, shadow);
            progress |= self.tell_written(shard, shadow);
        }
        progress
    }

    /// Tells a shard what became void when it was handed in.
    pub fn tell_void(&mut self, shard: usize, shadow: &mut Shadow) -> bool {
        let void = std::mem::take(&mut self.shards[shard].void);
        if !void.is_empty() {
            self.feed(shard, Input::Void(&void), &Cause::default(), shadow);
        }
        !void.is_empty()
    }

    fn tell_committed(&mut self, shard: usize, shadow: &mut Shadow) -> bool {
        let seq = shadow.committed[shard];
        let sh = &mut self.shards[shard];
        let news = std::mem::replace(&mut sh.committed, seq) < seq;
        sh.written = sh.written.max(seq);
        if news {
            self.feed(shard, Input::Committed(Seq(seq)), &Cause::default(), shadow);
        }
        news
    }

    /// A Tick, if one is due.
    pub fn tick(&mut self, shard: usize, shadow: &mut Shadow) -> bool {
        let sh = &mut self.shards[shard];
        if sh.broker.next_deadline() > self.now {
            return false;
        }
        self.look_at_held_reads();
        let sh = &mut self.shards[shard];
        sh.ticks = if sh.ticks.0 == self.now { (self.now, sh.ticks.1 + 1) } else { (self.now, 1) };
        assert!(sh.ticks.1 < TICKS_AT_ONCE_MAX, "shard {shard} asks for Tick for ever");
        let before = (self.trace_of_bytes, self.shards[shard].broker.last_seq());
        self.feed(shard, Input::Tick, &Cause::default(), shadow);
        let sh = &mut self.shards[shard];
        // Work that is left over and comes to nothing, Tick after Tick, would keep a core busy.
        let same = before == (self.trace_of_bytes, sh.broker.last_seq());
        let idle = same && sh.broker.next_deadline() == Time(0);
        sh.idle_ticks = if idle { sh.idle_ticks + 1 } else { 0 };
        assert!(sh.idle_ticks < IDLE_TICKS_MAX, "shard {shard} works for ever and gets nowhere");
        if idle {
            self.tick(shard, shadow);
        }
        true
    }

    /// Time passes; what it makes due is told to every shard at once.
    pub fn advance(&mut self, ms: u64, shadow: &mut Shadow) {
        self.look_at_held_reads();
        self.now = self.now.plus_ms(ms);
        shadow.advance(self.now);
        (0..self.shards.len()).for_each(|shard| {
            self.tick(shard, shadow);
        });
        self.check_keep_alives();
        self.check_ends();
    }

    /// Inputs that name what is gone: nothing may come of them.
    pub fn stale(&mut self, shard: usize, shadow: &mut Shadow, rng: &mut Rng) {
        let Some(link) = self.shards[shard].stale else { return };
        let input = match rng.below(5) {
            0 => Input::Closed(link),
            1 => Input::Wrote(link, 0),
            2 => Input::Answer(link, Answer::Allowed(false)),
            3 => Input::Packet(link, Packet::PingReq),
            _ => Input::Committed(Seq(self.shards[shard].committed)),
        };
        let before = self.shards[shard].broker.counters().stale_inputs;
        let closed = matches!(input, Input::Closed(_));
        self.feed(shard, input, &Cause::default(), shadow);
        let after = self.shards[shard].broker.counters().stale_inputs;
        assert!(after > before || closed, "a stale input is counted");
    }

    /// Whether messages were dropped by a limit.
    pub fn dropped(&self) -> bool {
        self.shards.iter().any(|s| {
            let c = s.broker.counters();
            let refuses = self.limits.queue_full == QueueFull::Refuse;
            c.dropped_qos0 + c.dropped_qos0_total + if refuses { 0 } else { c.dropped_queue_full }
                > 0
        })
    }
}

fn opening<'a>(
    c: &'a Connect<'a>,
    safety: Option<Safety>,
    identity: &'a Arc<Identity>,
    ends: Time,
) -> Opening<'a> {
    let authentication = c.authentication_method.map(|method| (method, &b"in"[..]));
    Opening {
        connect: c,
        client_id: c.client_id,
        assigned: false,
        safety,
        identity,
        ends,
        authentication,
    }
}
