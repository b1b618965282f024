//! Brokers with their links, the pipes between them and a log that commits late, all told what to
//! do step by step; and what must hold of everything that comes out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::IoSlice;
use std::sync::Arc;

use stonechat::broker::{
    Broker, Closing, Commons, Effects, Input, InterestTree, Limits, LinkKey, Opening, Outbox,
    PeerMessage, RetainedTree, Seq, ShardId, ShardSet, Time,
};
use stonechat::codec::{
    Connect, DecodeError, Framed, Packet, Publish, Sender, Version, decode, frame,
};
use stonechat::topic::{SubscriptionFilter, TopicName};

use super::observer::Observer;

/// How many connections there may be at once.
pub const CONNECTIONS_MAX: usize = 8;
/// How often what is left to do may lead to more of it before that counts as for ever.
const ROUNDS_MAX: usize = 5_000;

pub struct Shard {
    pub broker: Broker,
    pub fx: Effects,
    pub committed: u64,
    /// connections by slot
    slots: Vec<Option<usize>>,
    generation: u32,
    pub stale: Option<LinkKey>,
}

/// A Network Connection, as the broker's side sees it.
pub struct Conn {
    pub shard: usize,
    pub link: LinkKey,
    client_id: String,
    /// what arrived and is not handled yet
    pub inbuf: Vec<u8>,
    pub client: Observer,
    /// how much of the outbox was looked at
    looked_at: usize,
    closing: Option<Closing>,
}

pub struct World {
    pub now: Time,
    /// says every input and every packet (`STONECHAT_TRACE`)
    pub trace: bool,
    inputs: u64,
    pub shards: Vec<Shard>,
    pub conns: BTreeMap<usize, Conn>,
    conns_so_far: usize,
    common: Commons<RetainedTree, InterestTree>,
    /// by sender and receiver
    pub pipes: Vec<VecDeque<PeerMessage>>,
    packet_bytes_max: usize,
    output_bytes_max: usize,
    resumed: Vec<usize>,
    /// the brokers were told to stop: nobody connects any more
    pub is_shut_down: bool,
    /// hashes of topic and payload of everything that was published, the Wills too
    published: BTreeSet<u64>,
    /// by Client Identifier, what it ever subscribed to
    filters: BTreeMap<String, BTreeSet<String>>,
}

/// Everything in an outbox, however many slices that takes.
fn contents(outbox: &Outbox) -> Vec<u8> {
    let mut slices = vec![IoSlice::new(&[]); 16];
    loop {
        let n = outbox.slices(&mut slices);
        if n < slices.len() {
            return slices[..n].iter().flat_map(|s| s.iter().copied()).collect();
        }
        slices = vec![IoSlice::new(&[]); slices.len() * 4];
    }
}

fn hash(topic: &str, payload: &[u8]) -> u64 {
    let bytes = topic.bytes().chain([0]).chain(payload.iter().copied());
    bytes.fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3))
}

impl World {
    pub fn new(shards: usize, seed: u64, limits: &Limits, retained_max: (usize, usize)) -> Self {
        let shard = |i: usize| Shard {
            broker: Broker::new(ShardId(i as u8), shards as u8, seed ^ i as u64, limits.clone()),
            fx: Effects::default(),
            committed: 0,
            slots: Vec::new(),
            generation: 0,
            stale: None,
        };
        Self {
            now: Time(0),
            trace: std::env::var_os("STONECHAT_TRACE").is_some(),
            inputs: 0,
            shards: (0..shards).map(shard).collect(),
            conns: BTreeMap::new(),
            conns_so_far: 0,
            common: Commons {
                retained: RetainedTree::new(retained_max.0, retained_max.1),
                interests: InterestTree::new(7),
            },
            pipes: (0..shards * shards).map(|_| VecDeque::new()).collect(),
            packet_bytes_max: limits.packet_bytes_max,
            output_bytes_max: limits.output_bytes_max,
            resumed: Vec::new(),
            is_shut_down: false,
            published: BTreeSet::new(),
            filters: BTreeMap::new(),
        }
    }

    /// Hands one input to a broker and looks at all that comes out.
    pub fn feed(&mut self, shard: usize, input: Input<'_>) {
        self.inputs += 1;
        let sh = &mut self.shards[shard];
        if self.trace {
            eprintln!("{shard} {input:?}");
        }
        let before = sh.broker.last_seq().0;
        sh.broker.handle(self.now, input, &mut self.common, &mut sh.fx);
        sh.broker.check_invariants();
        sh.fx.sends.check_invariants();
        let records = sh.fx.records.drain(..).count() as u64;
        assert_eq!(before + records, sh.broker.last_seq().0, "each record has a number");
        assert!(sh.fx.requests.is_empty(), "nothing asks yet");
        let n = self.shards.len();
        for (to, message) in self.shards[shard].fx.peers.drain(..) {
            assert_ne!(usize::from(to.0), shard, "a shard sends nothing to itself");
            self.pipes[shard * n + usize::from(to.0)].push_back(message);
        }
        self.check_interests();
        self.look_at_outboxes(shard);
    }

    /// The shards' brokers and their index agree, but for what is still on the way.
    fn check_interests(&self) {
        let n = self.shards.len();
        self.common.interests.check_invariants();
        for (to, shard) in self.shards.iter().enumerate() {
            let mut untold = ShardSet::default();
            for from in 0..n {
                let pipe = &self.pipes[from * n + to];
                if pipe.iter().any(|m| matches!(m, PeerMessage::Interest { .. })) {
                    untold.insert(ShardId(from as u8));
                }
            }
            shard.broker.check_interests(&self.common.interests, untold);
        }
    }

    fn look_at_outboxes(&mut self, shard: usize) {
        let (mut dirty, mut resumed) = (Vec::new(), Vec::new());
        let sh = &mut self.shards[shard];
        sh.fx.sends.take_dirty(&mut dirty);
        sh.fx.sends.take_resumed(&mut resumed);
        for link in resumed {
            self.resumed.extend(sh.slots.get(link.index()).copied().flatten());
        }
        for link in dirty {
            let Some(Some(id)) = sh.slots.get(link.index()).copied() else { continue };
            let Some(outbox) = sh.fx.sends.outbox(link) else { continue };
            let (all, closing) = (contents(outbox), outbox.closing());
            assert_eq!(all.len(), outbox.backlog(), "the backlog is what is in the outbox");
            let conn = self.conns.get_mut(&id).expect("it has a slot");
            assert_eq!(conn.link, link, "output for a link that has its slot");
            let new = &all[conn.looked_at..];
            assert!(conn.closing.is_none() || new.is_empty(), "output after the end");
            conn.looked_at = all.len();
            conn.closing = closing;
            look_at(conn, new, &self.published, &self.filters, self.trace);
        }
    }

    /// A client connects: `bytes` begin with its CONNECT, which the porch looks at.
    pub fn dial(&mut self, bytes: &[u8]) {
        if self.conns.len() >= CONNECTIONS_MAX {
            return;
        }
        let Ok(Framed::Whole(whole)) = frame(bytes, self.packet_bytes_max) else { return };
        let Ok(Packet::Connect(c)) = decode(whole, Sender::Client, Version::V5) else { return };
        let may_be_assigned = match c.version {
            Version::V5 => true,
            Version::V311 => c.clean_start,
            Version::V31 => false,
        };
        let assigned = c.client_id.is_empty() && may_be_assigned;
        let made_up = format!("auto-{}", self.conns_so_far);
        let client_id = if assigned { made_up.as_str() } else { c.client_id };
        let id = self.open(&c, client_id);
        let conn = &self.conns[&id];
        let (shard, link) = (conn.shard, conn.link);
        self.feed(
            shard,
            Input::Opened(
                link,
                Opening {
                    connect: &c,
                    client_id,
                    assigned,
                    safety: None,
                    identity: &Arc::default(),
                    ends: Time::NEVER,
                    authentication: None,
                },
            ),
        );
        self.arrive(id, &bytes[whole.len..]);
    }

    /// Makes the broker's end of a connection, in the session's home shard.
    fn open(&mut self, c: &Connect<'_>, client_id: &str) -> usize {
        if let Some(will) = &c.will {
            self.published.insert(hash(will.topic.as_str(), will.payload));
        }
        let sum: usize = client_id.bytes().map(usize::from).sum();
        let shard = sum % self.shards.len();
        let sh = &mut self.shards[shard];
        let free = sh.slots.iter().position(Option::is_none);
        let slot = free.unwrap_or(sh.slots.len());
        if slot == sh.slots.len() {
            sh.slots.push(None);
        }
        sh.generation += 1;
        let id = self.conns_so_far;
        self.conns_so_far += 1;
        sh.slots[slot] = Some(id);
        let conn = Conn {
            shard,
            link: LinkKey::new(slot as u32, sh.generation),
            client_id: client_id.to_owned(),
            inbuf: Vec::new(),
            client: Observer::new(c),
            looked_at: 0,
            closing: None,
        };
        self.conns.insert(id, conn);
        id
    }

    /// Bytes of a client arrive.
    pub fn arrive(&mut self, id: usize, bytes: &[u8]) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.inbuf.extend_from_slice(bytes);
            self.turn(id);
        }
    }

    /// One connection's turn: it is read, unless it does not read its answers itself.
    pub fn turn(&mut self, id: usize) {
        let Some(conn) = self.conns.get(&id) else { return };
        let outbox = self.shards[conn.shard].fx.sends.outbox(conn.link);
        if outbox.is_some_and(|o| o.copied_backlog() < 2 * self.output_bytes_max) {
            self.packets(id);
        }
    }

    /// Hands in packet after packet, until the bytes end, the link does, or it is held.
    fn packets(&mut self, id: usize) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let (shard, link, version) = (conn.shard, conn.link, conn.client.version);
        let bytes = std::mem::take(&mut conn.inbuf);
        let mut at = 0;
        loop {
            match self.shards[shard].fx.sends.outbox(link) {
                Some(outbox) if outbox.closing().is_none() => {
                    if outbox.reads_held {
                        break;
                    }
                }
                _ => return, // nothing behind a DISCONNECT or a takeover is looked at
            }
            match frame(&bytes[at..], self.packet_bytes_max) {
                Ok(Framed::Partial { .. }) => break,
                Ok(Framed::Whole(whole)) => {
                    at += whole.len;
                    match decode(whole, Sender::Client, version) {
                        Ok(packet) => self.packet(id, packet),
                        Err(error) => self.malformed(id, error),
                    }
                }
                Err(error) => self.malformed(id, error),
            }
        }
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.inbuf.extend_from_slice(&bytes[at..]);
        }
    }

    fn malformed(&mut self, id: usize, error: DecodeError) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.client.sends_malformed(&error);
        let (shard, link) = (conn.shard, conn.link);
        self.feed(shard, Input::Malformed(link, error));
    }

    fn packet(&mut self, id: usize, packet: Packet<'_>) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let topic = conn.client.sends(&packet);
        match &packet {
            Packet::Publish(Publish { payload, .. }) => {
                self.published.extend(topic.map(|topic| hash(&topic, payload)));
            }
            Packet::Subscribe(s) => {
                let ever = self.filters.entry(conn.client_id.clone()).or_default();
                ever.extend(s.filters.iter().map(|(filter, _)| filter.text.to_owned()));
            }
            _ => {}
        }
        let (shard, link) = (conn.shard, conn.link);
        self.feed(shard, Input::Packet(link, packet));
    }

    /// Links whose reading was held are read on.
    pub fn resume(&mut self) {
        while let Some(id) = self.resumed.pop() {
            self.packets(id);
        }
    }

    /// Writes up to `most` bytes of an outbox to the socket.
    pub fn flush(&mut self, id: usize, most: usize) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let (shard, link) = (conn.shard, conn.link);
        let sends = &mut self.shards[shard].fx.sends;
        let Some(outbox) = sends.outbox_mut(link) else { return };
        let n = most.min(outbox.backlog());
        if n > 0 {
            outbox.advance(n);
            conn.looked_at -= n;
        }
        let (backlog, wants_room) = (outbox.backlog(), outbox.wants_room);
        if conn.closing.is_some() {
            if backlog == 0 {
                self.remove(id);
            }
            return;
        }
        sends.wrote(link);
        if wants_room {
            self.feed(shard, Input::Wrote(link, backlog));
        }
    }

    /// The socket is at its end.
    pub fn over(&mut self, id: usize) {
        let Some(conn) = self.conns.get(&id) else { return };
        let (shard, link) = (conn.shard, conn.link);
        self.remove(id);
        self.feed(shard, Input::Closed(link));
    }

    fn remove(&mut self, id: usize) {
        let Some(conn) = self.conns.remove(&id) else { return };
        let sh = &mut self.shards[conn.shard];
        sh.fx.sends.forget(conn.link);
        sh.slots[conn.link.index()] = None;
        sh.stale = Some(conn.link);
    }

    /// Delivers the oldest message of a pipe.
    pub fn peer(&mut self, pipe: usize) -> bool {
        let Some(message) = self.pipes[pipe].pop_front() else { return false };
        let n = self.shards.len();
        self.feed(pipe % n, Input::Peer(ShardId((pipe / n) as u8), message));
        true
    }

    /// Commits up to `most` records of a shard.
    pub fn commit(&mut self, shard: usize, most: u64) -> bool {
        let sh = &mut self.shards[shard];
        let left = sh.broker.last_seq().0 - sh.committed;
        if left.min(most) == 0 {
            return false;
        }
        sh.committed += left.min(most);
        let seq = Seq(sh.committed);
        self.feed(shard, Input::Committed(seq));
        true
    }

    /// A Tick, if one is due.
    pub fn tick(&mut self, shard: usize) -> bool {
        let due = self.shards[shard].broker.next_deadline() <= self.now;
        if due {
            self.feed(shard, Input::Tick);
        }
        due
    }

    /// A message of the broker's own, at every shard, as the server does.
    pub fn publish_own(&mut self, message: &stonechat::broker::Message, shard: usize) {
        self.published.insert(hash(message.topic_str(), message.payload()));
        self.feed(shard, Input::Publish(message.clone()));
    }

    pub fn set_limits(&mut self, limits: &Limits) {
        self.output_bytes_max = limits.output_bytes_max;
        for shard in 0..self.shards.len() {
            self.feed(shard, Input::Reload(Box::new(limits.clone())));
        }
    }

    pub fn shut_down(&mut self) {
        self.is_shut_down = true;
        (0..self.shards.len()).for_each(|shard| self.feed(shard, Input::Shutdown));
    }

    /// Everything that is under way arrives, until nothing is; then every answer is there.
    pub fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let before = (self.inputs, self.conns.len());
            for shard in 0..self.shards.len() {
                self.tick(shard);
                self.commit(shard, u64::MAX);
            }
            for pipe in 0..self.pipes.len() {
                while self.peer(pipe) {}
            }
            self.resume();
            let ids: Vec<usize> = self.conns.keys().copied().collect();
            for id in ids {
                self.flush(id, usize::MAX);
                self.turn(id);
            }
            if (self.inputs, self.conns.len()) == before {
                return self.check_quiet();
            }
        }
        panic!("the brokers do not come to rest");
    }

    fn check_quiet(&self) {
        for conn in self.conns.values() {
            let outbox = self.shards[conn.shard].fx.sends.outbox(conn.link).expect("open");
            assert!(!outbox.reads_held, "a link is held for ever");
            conn.client.is_quiet();
        }
    }
}

/// What the client gets: whole packets that a server may send, what it asked for, nobody's
/// invention.
fn look_at(
    conn: &mut Conn,
    mut bytes: &[u8],
    published: &BTreeSet<u64>,
    filters: &BTreeMap<String, BTreeSet<String>>,
    trace: bool,
) {
    while !bytes.is_empty() {
        let Ok(Framed::Whole(whole)) = frame(bytes, usize::MAX) else {
            panic!("no whole packet: {bytes:02X?}");
        };
        let packet = decode(whole, Sender::Server, conn.client.version)
            .unwrap_or_else(|e| panic!("{e}: {:02X?}", &bytes[..whole.len]));
        if trace {
            eprintln!("  -> {:?} {packet:?}", conn.link);
        }
        let topic = conn.client.gets(&packet, whole.len);
        if let (Packet::Publish(p), Some(topic)) = (&packet, topic) {
            assert!(published.contains(&hash(&topic, p.payload)), "nobody published {topic}");
            let name = TopicName::new(&topic).expect("it was decoded");
            let mut ever = filters.get(&conn.client_id).into_iter().flatten();
            let matches = |f: &String| SubscriptionFilter::parse(f).map(|f| f.filter.matches(name));
            assert!(ever.any(|f| matches(f) == Ok(true)), "{topic} was not asked for");
        }
        bytes = &bytes[whole.len..];
    }
}
