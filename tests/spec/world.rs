//! A world for the rows: some brokers in one thread, their clients, and time that only passes when
//! a row says so.
//!
//! It does what the server does, and no more: it chooses link keys (slots are reused at once, so
//! that late inputs find strangers there), frames and decodes, answers what is no CONNECT, assigns
//! Client Identifiers, carries messages between shards in order, and says what is committed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use stonechat::auth::acl::Acl;
use stonechat::auth::quota::{Quota, Quotas};
use stonechat::broker::*;
use stonechat::codec::*;

use super::entrance::Entrance;
use super::notation;
use super::words::Words;
use crate::support::fold::Fold;
use crate::support::staging::Staging;

/// More steps than any row needs between two of its statements: the broker spins.
const STEPS_MAX: usize = 20_000;

pub(super) struct Shard {
    pub(super) broker: Broker,
    pub(super) fx: Effects,
    /// records that are void, and of which the broker is not told yet
    void: Vec<Seq>,
    /// By slot: the client there, and the slot's last generation.
    slots: Vec<(Option<String>, u32)>,
}

fn new_shard(n: usize, shards: usize, limits: &Limits) -> Shard {
    Shard {
        broker: Broker::new(ShardId(n as u8), shards as u8, 7, limits.clone()),
        fx: Effects::default(),
        void: Vec::new(),
        slots: Vec::new(),
    }
}

/// One Network Connection's two ends.
pub(crate) struct Client {
    version: Version,
    /// Where the broker's end is, once there was a CONNECT.
    pub(super) link: Option<(usize, LinkKey)>,
    /// Sent by the client and not yet read.
    to_read: Vec<u8>,
    /// Written by the broker and not yet a whole packet.
    received: Vec<u8>,
    /// Received and not yet named by the row.
    pub(crate) inbox: VecDeque<Words>,
    /// Does not read what it is sent.
    stalled: bool,
    /// The broker ended the Network Connection, for this reason.
    pub(crate) closed: Option<ReasonCode>,
}

/// See above.
pub(crate) struct World {
    pub(super) now: Time,
    pub(super) shards: Vec<Shard>,
    pub(super) log: Staging,
    pub(super) common: Commons<RetainedTree, InterestTree>,
    pub(crate) clients: BTreeMap<String, Client>,
    homes: BTreeMap<String, usize>,
    /// by Client Identifier: how safe its listener wants it
    safeties: BTreeMap<String, Safety>,
    /// by client: as whom it comes
    pub(super) entrances: BTreeMap<String, Entrance>,
    pub(super) acl: Arc<Acl>,
    pub(super) quotas: Vec<Quota>,
    /// what brokers asked, not answered yet
    pub(super) questions: Vec<(usize, LinkKey, Question)>,
    peers: BTreeMap<(usize, usize), VecDeque<PeerMessage>>,
    pub(super) limits: Limits,
    assigned: usize,
    /// links that are gone: late inputs still name them once their slot has another
    gone: Vec<(usize, LinkKey)>,
    pub(crate) hold_commits: bool,
    pub(crate) hold_peers: bool,
    /// what brokers asked of the log, and which shard's
    loads: VecDeque<(usize, Request)>,
    pub(crate) hold_loads: bool,
    /// Commits come after everything else, instead of at once.
    late: bool,
}

pub(crate) type Done = Result<(), String>;

impl World {
    pub(crate) fn new(shards: usize, late: bool, limits: Limits, retained: (usize, usize)) -> Self {
        Self {
            now: Time(1_000_000),
            shards: (0..shards).map(|n| new_shard(n, shards, &limits)).collect(),
            log: Staging::default(),
            common: Commons {
                retained: RetainedTree::new(retained.0, retained.1),
                interests: InterestTree::new(7),
            },
            clients: BTreeMap::new(),
            homes: BTreeMap::new(),
            safeties: BTreeMap::new(),
            entrances: BTreeMap::new(),
            acl: Arc::new(Acl::open()),
            quotas: Vec::new(),
            questions: Vec::new(),
            peers: BTreeMap::new(),
            limits,
            assigned: 0,
            gone: Vec::new(),
            hold_commits: false,
            hold_peers: false,
            loads: VecDeque::new(),
            hold_loads: false,
            late,
        }
    }

    /// Says where a Client Identifier lives, instead of its hash.
    pub(crate) fn set_home(&mut self, client_id: &str, shard: usize) {
        self.homes.insert(client_id.to_owned(), shard % self.shards.len());
    }

    /// Says how safe the listener of a Client Identifier wants what comes there to be.
    pub(crate) fn set_safety(&mut self, client_id: &str, safety: Safety) {
        self.safeties.insert(client_id.to_owned(), safety);
    }

    /// How many records wait to be written.
    pub(crate) fn waiting(&self) -> usize {
        self.log.waiting()
    }

    /// What a restart would find retained.
    pub(crate) fn logged_retained(&self) -> Vec<&str> {
        let kept = self.log.fold.retained.values().filter_map(|(_, message)| message.as_ref());
        kept.map(Message::topic_str).collect()
    }

    pub(super) fn home(&self, client_id: &str) -> usize {
        let fnv = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let hash = client_id.bytes().fold(0x811c_9dc5, fnv) as usize;
        self.homes.get(client_id).copied().unwrap_or(hash % self.shards.len())
    }

    /// A new Network Connection.
    pub(crate) fn connect(&mut self, name: &str, version: Version) {
        let client = Client {
            version,
            link: None,
            to_read: Vec::new(),
            received: Vec::new(),
            inbox: VecDeque::new(),
            stalled: false,
            closed: None,
        };
        self.clients.insert(name.to_owned(), client);
    }

    fn client(&mut self, name: &str) -> Result<&mut Client, String> {
        self.clients.get_mut(name).ok_or_else(|| format!("there is no client {name}"))
    }

    pub(crate) fn version(&self, name: &str) -> Option<Version> {
        self.clients.get(name).map(|c| c.version)
    }

    /// Bytes from a client, in one piece.
    pub(crate) fn send(&mut self, name: &str, bytes: &[u8]) -> Done {
        self.client(name)?.to_read.extend(bytes);
        self.read(name)?;
        self.settle()
    }

    /// The Network Connection is lost.
    pub(crate) fn cut(&mut self, name: &str) -> Done {
        if let Some((shard, link)) = self.client(name)?.link.take() {
            self.input(shard, Input::Closed(link))?;
            self.free(shard, link);
        }
        self.clients.remove(name);
        self.settle()
    }

    pub(crate) fn stall(&mut self, name: &str, stalled: bool) -> Done {
        self.client(name)?.stalled = stalled;
        if let Some((shard, link)) = self.client(name)?.link {
            self.flush(shard, link)?;
        }
        self.settle()
    }

    /// A message of the broker's own.
    pub(crate) fn publish_own(&mut self, message: Message) -> Done {
        self.input(0, Input::Publish(message))?;
        self.settle()
    }

    pub(crate) fn shut_down(&mut self) -> Done {
        for shard in 0..self.shards.len() {
            self.input(shard, Input::Shutdown)?;
        }
        self.settle()
    }

    pub(crate) fn reload(&mut self, limits: &Limits) -> Done {
        self.limits = limits.clone();
        for shard in 0..self.shards.len() {
            self.input(shard, Input::Reload(Box::new(limits.clone())))?;
        }
        self.settle()
    }

    /// The records so far are on disk: everywhere, or on one client's shard.
    pub(crate) fn commit(&mut self, client_id: Option<&str>) -> Done {
        self.write(client_id.map(|id| self.home(id)))?;
        self.sync()?;
        self.settle()
    }

    /// The records so far are written, and not synced.
    pub(crate) fn written(&mut self) -> Done {
        self.write(None)?;
        self.settle()
    }

    /// The disk is full, or has room again, and the brokers are told.
    pub(crate) fn disk(&mut self, full: bool) -> Done {
        self.log.full = full;
        for shard in 0..self.shards.len() {
            self.input(shard, Input::Full(full))?;
        }
        self.settle()
    }

    /// Messages between shards arrive: those that are under way now.
    pub(crate) fn deliver_peers(&mut self) -> Done {
        let now: Vec<_> = self.peers.iter().map(|(way, mail)| (*way, mail.len())).collect();
        for ((from, to), count) in now {
            for _ in 0..count {
                let mail = self.peers.get_mut(&(from, to));
                let Some(message) = mail.and_then(VecDeque::pop_front) else { break };
                self.input(to, Input::Peer(ShardId(from as u8), message))?;
            }
        }
        self.settle()
    }

    /// Neither records nor messages are held any more.
    pub(crate) fn release(&mut self) -> Done {
        (self.hold_commits, self.hold_peers, self.hold_loads) = (false, false, false);
        self.settle()
    }

    /// Time passes.
    pub(crate) fn wait_ms(&mut self, ms: u64) -> Done {
        let end = self.now.plus_ms(ms);
        self.settle()?;
        loop {
            let next = self.shards.iter().map(|s| s.broker.next_deadline()).min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            self.settle()?;
        }
        self.now = end;
        self.settle()
    }

    /// One count of all shards together.
    pub(crate) fn count(&self, name: &str) -> Result<u64, String> {
        let mut sum = Counters::default();
        self.shards.iter().for_each(|s| sum.add(s.broker.counters()));
        let text = format!("{sum:?}");
        let at = text.find(&format!(" {name}: ")).ok_or(format!("no counter {name}"))?;
        let digits = text[at + name.len() + 3..].chars().take_while(char::is_ascii_digit);
        digits.collect::<String>().parse().map_err(|_| format!("{name} is no number"))
    }

    /// The sessions that a restart would bring back.
    pub(crate) fn logged(&self) -> Vec<&str> {
        let mut all: Vec<_> =
            self.log.fold.sessions.values().map(|kept| kept.client_id.as_str()).collect();
        all.sort_unstable();
        all
    }

    pub(super) fn input(&mut self, shard: usize, input: Input<'_>) -> Done {
        let s = &mut self.shards[shard];
        s.broker.handle(self.now, input, &mut self.common, &mut s.fx);
        s.broker.check_invariants();
        self.take_effects(shard);
        self.check_interests();
        Ok(())
    }

    /// Records go to the log, and what is asked to whom it is asked of.
    pub(super) fn take_effects(&mut self, shard: usize) {
        let s = &mut self.shards[shard];
        let sync = std::mem::take(&mut s.fx.sync);
        self.log.push(shard, &mut s.fx.records, s.broker.last_seq(), sync, &mut s.void);
        for request in std::mem::take(&mut self.shards[shard].fx.requests) {
            match request {
                Request::Ask { link, question } => self.questions.push((shard, link, question)),
                load => self.loads.push_back((shard, load)),
            }
        }
    }

    /// Brokers that know nothing yet but the rules and what is retained.
    pub(super) fn begin_again(&mut self, fold: &Fold) {
        let shards = self.shards.len();
        self.shards = (0..shards).map(|n| new_shard(n, shards, &self.limits)).collect();
        let mut retained = RetainedTree::new(100_000, 64 << 20);
        retained.start_versions_above(fold.version);
        for (version, message) in fold.retained.values() {
            message.iter().for_each(|message| retained.restore(*version, message));
        }
        self.common = Commons { retained, interests: InterestTree::new(7) };
        self.peers.clear();
        self.loads.clear();
        self.gone.clear();
        let quotas = Arc::new(Quotas::new(self.quotas.clone()));
        for s in &mut self.shards {
            s.broker.start_numbers_above(fold.highest);
            for input in [Input::Acl(Arc::clone(&self.acl)), Input::Quotas(Arc::clone(&quotas))] {
                s.broker.handle(self.now, input, &mut self.common, &mut s.fx);
            }
        }
    }

    /// What was asked of the log until now is answered.
    pub(crate) fn answer_loads(&mut self) -> Done {
        for _ in 0..self.loads.len() {
            self.answer_load()?;
        }
        self.settle()
    }

    fn answer_load(&mut self) -> Result<bool, String> {
        let Some((shard, request)) = self.loads.pop_front() else { return Ok(false) };
        let Request::Load { session, .. } = request else {
            return Err(format!("nobody answers {request:?}"));
        };
        let loaded = self.log.fold.load(&request);
        self.input(shard, Input::Loaded(session, Box::new(loaded)))?;
        Ok(true)
    }

    /// The brokers and their index agree, but for what is still on the way: a shard that was told
    /// of a change has nothing cached that misses it.
    fn check_interests(&self) {
        let is_change = |m: &PeerMessage| matches!(m, PeerMessage::Interest { .. });
        self.common.interests.check_invariants();
        for (to, shard) in self.shards.iter().enumerate() {
            let mut untold = ShardSet::default();
            for (from, other) in self.shards.iter().enumerate() {
                let waits = |(there, m): &(ShardId, _)| usize::from(there.0) == to && is_change(m);
                let under_way =
                    self.peers.get(&(from, to)).is_some_and(|p| p.iter().any(is_change));
                if under_way || other.fx.peers.iter().any(waits) {
                    untold.insert(ShardId(from as u8));
                }
            }
            shard.broker.check_interests(&self.common.interests, untold);
        }
    }

    /// Until nothing more happens: output is flushed, messages arrive, records are committed.
    pub(super) fn settle(&mut self) -> Done {
        for _ in 0..STEPS_MAX {
            let mut busy = false;
            for shard in 0..self.shards.len() {
                busy |= self.flush_shard(shard)?;
                busy |= self.carry_peers(shard)?;
                if self.shards[shard].broker.next_deadline() <= self.now {
                    self.input(shard, Input::Tick)?;
                    busy = true;
                }
                let void = std::mem::take(&mut self.shards[shard].void);
                if !void.is_empty() {
                    self.input(shard, Input::Void(&void))?;
                    busy = true;
                }
            }
            if !(self.hold_commits || self.late && busy) {
                busy |= self.write(None)?;
                if self.log.sync_due {
                    self.sync()?;
                }
            }
            if !(self.hold_loads || self.late && busy) {
                busy |= self.answer_load()?;
            }
            if !busy {
                return Ok(());
            }
        }
        Err("the broker spins: it always wants another turn".to_owned())
    }

    /// Writes the records that wait; false if there are none.
    fn write(&mut self, only: Option<usize>) -> Result<bool, String> {
        if !self.log.take(only) {
            return Ok(false);
        }
        for (shard, seq) in self.log.write(self.now)? {
            self.input(shard, Input::Written(seq))?;
        }
        if !self.log.ahead.is_empty() {
            self.sync()?;
        }
        for (shard, seq) in std::mem::take(&mut self.log.ahead) {
            self.input(shard, Input::Void(&[seq]))?;
        }
        Ok(true)
    }

    /// What is written is safe.
    fn sync(&mut self) -> Done {
        for (shard, seq) in self.log.sync()? {
            self.input(shard, Input::Committed(seq))?;
        }
        Ok(())
    }

    fn carry_peers(&mut self, shard: usize) -> Result<bool, String> {
        for (to, message) in std::mem::take(&mut self.shards[shard].fx.peers) {
            let to = usize::from(to.0);
            assert_ne!(to, shard, "a shard does not write to itself");
            self.peers.entry((shard, to)).or_default().push_back(message);
        }
        if self.hold_peers {
            return Ok(false);
        }
        let mut busy = false;
        for to in 0..self.shards.len() {
            let message = self.peers.get_mut(&(shard, to)).and_then(VecDeque::pop_front);
            if let Some(message) = message {
                self.input(to, Input::Peer(ShardId(shard as u8), message))?;
                busy = true;
            }
        }
        Ok(busy)
    }

    fn flush_shard(&mut self, shard: usize) -> Result<bool, String> {
        let (mut dirty, mut resumed) = (Vec::new(), Vec::new());
        self.shards[shard].fx.sends.take_dirty(&mut dirty);
        self.shards[shard].fx.sends.take_resumed(&mut resumed);
        for &link in &dirty {
            self.flush(shard, link)?;
        }
        for &link in &resumed {
            if let Some(name) = self.name_at(shard, link) {
                self.read(&name)?;
            }
        }
        Ok(!dirty.is_empty() || !resumed.is_empty())
    }

    fn name_at(&self, shard: usize, link: LinkKey) -> Option<String> {
        let (name, generation) = self.shards[shard].slots.get(link.index())?;
        if *generation == link.generation() { name.clone() } else { None }
    }

    /// Writes an outbox to its client, and closes if the broker says so.
    fn flush(&mut self, shard: usize, link: LinkKey) -> Done {
        let Some(name) = self.name_at(shard, link) else { return Ok(()) };
        let sends = &mut self.shards[shard].fx.sends;
        let Some(outbox) = sends.outbox_mut(link) else { return Ok(()) };
        let client = self.clients.get_mut(&name).ok_or("an outbox without a client")?;
        if client.stalled {
            sends.wrote(link);
            return Ok(());
        }
        while outbox.backlog() > 0 {
            let bytes = outbox.to_vec();
            outbox.advance(bytes.len());
            client.received.extend(bytes);
        }
        let (wants_room, closing) = (outbox.wants_room, outbox.closing());
        sends.wrote(link);
        unpack(&mut client.received, client.version, &mut client.inbox)?;
        match closing {
            Some(closing) => {
                client.closed = Some(closing.reason);
                client.link = None;
                // The server says nothing more of a link that the broker ended.
                self.shards[shard].fx.sends.forget(link);
                self.free(shard, link);
                Ok(())
            }
            None if wants_room => self.input(shard, Input::Wrote(link, 0)),
            None => Ok(()),
        }
    }

    fn free(&mut self, shard: usize, link: LinkKey) {
        self.shards[shard].slots[link.index()].0 = None;
        self.gone.push((shard, link));
    }

    /// Reads what a client sent, packet by packet.
    fn read(&mut self, name: &str) -> Done {
        let max = self.limits.packet_bytes_max;
        loop {
            let Some(client) = self.clients.get_mut(name) else { return Ok(()) };
            if client.closed.is_some() {
                client.to_read.clear();
            }
            let held = |(shard, link): (usize, LinkKey)| {
                self.shards[shard].fx.sends.outbox(link).is_some_and(|o| o.reads_held)
            };
            if client.to_read.is_empty() || client.link.is_some_and(held) {
                return Ok(());
            }
            let bytes = std::mem::take(&mut client.to_read);
            let (version, link) = (client.version, client.link);
            let filters_max = self.limits.filters_per_packet_max;
            let taken = match (frame(&bytes, max), link) {
                (Ok(Framed::Partial { .. }), _) => {
                    client.to_read = bytes;
                    return Ok(());
                }
                (Ok(Framed::Whole(frame)), Some((shard, link))) => {
                    match decode_within(frame, Sender::Client, version, filters_max) {
                        Ok(packet) => self.input(shard, Input::Packet(link, packet))?,
                        Err(e) => self.input(shard, Input::Malformed(link, e))?,
                    }
                    frame.len
                }
                (Err(e), Some((shard, link))) => {
                    self.input(shard, Input::Malformed(link, e))?;
                    bytes.len()
                }
                (Ok(Framed::Whole(frame)), None) => {
                    self.first_packet(name, frame)?;
                    frame.len
                }
                (Err(e), None) => {
                    // What else is wrong with the header does not hide what it says it is.
                    let sane: Vec<u8> =
                        bytes[..1].iter().map(|b| b & 0xF0).chain(bytes[1..].to_vec()).collect();
                    let framed = frame(&sane, usize::MAX).ok();
                    let whole =
                        framed.and_then(|f| if let Framed::Whole(f) = f { Some(f) } else { None });
                    refuse(client, whole, e)?;
                    bytes.len()
                }
            };
            if let Some(client) = self.clients.get_mut(name) {
                let link = client.link;
                let left = link.is_some_and(|(shard, link)| {
                    let outbox = self.shards[shard].fx.sends.outbox_mut(link);
                    outbox.is_some_and(|o| std::mem::take(&mut o.not_taken))
                });
                client.to_read = bytes[if left { 0 } else { taken }..].to_vec();
            }
        }
    }

    /// The porch: what comes first is a CONNECT, or the end.
    fn first_packet(&mut self, name: &str, frame: Frame<'_>) -> Done {
        let decoded = decode(frame, Sender::Client, Version::V5);
        let client = self.client(name)?;
        let connect = match decoded {
            Ok(Packet::Connect(connect)) => connect,
            Ok(_) => {
                client.closed = Some(ReasonCode::ProtocolError);
                return Ok(());
            }
            Err(e) => {
                return refuse(client, Some(frame), e);
            }
        };
        client.version = connect.version;
        let assigns =
            connect.version.is_v5() || (connect.version == Version::V311 && connect.clean_start);
        let assigned = connect.client_id.is_empty() && assigns;
        let client_id = if assigned {
            self.assigned += 1;
            format!("assigned-{}", self.assigned)
        } else {
            connect.client_id.to_owned()
        };
        let shard = self.home(&client_id);
        let link = self.take_slot(shard, name);
        self.client(name)?.link = Some((shard, link));
        let safety = self.safeties.get(&client_id).copied();
        let entrance = self.entrances.get(name).cloned().unwrap_or_default();
        let opening = Opening {
            connect: &connect,
            client_id: &client_id,
            assigned,
            safety,
            identity: &entrance.identity,
            ends: entrance.ends_ms.map_or(Time::NEVER, |ms| self.now.plus_ms(ms)),
            authentication: entrance.method.as_ref().map(|(m, data)| (&**m, data.as_bytes())),
        };
        self.input(shard, Input::Opened(link, opening))?;
        self.late_inputs(shard, link)
    }

    /// What the slot's former occupants still cause must not meet the new one.
    fn late_inputs(&mut self, shard: usize, link: LinkKey) -> Done {
        let gone = |g: &&(usize, LinkKey)| (g.0, g.1.index()) == (shard, link.index());
        for (_, stale) in self.gone.iter().filter(gone).copied().collect::<Vec<_>>() {
            self.input(shard, Input::Packet(stale, Packet::PingReq))?;
            let (reason, what) = (ReasonCode::MalformedPacket, "late");
            self.input(shard, Input::Malformed(stale, DecodeError { reason, what }))?;
            self.input(shard, Input::Wrote(stale, 0))?;
            self.input(shard, Input::Answer(stale, Answer::Allowed(false)))?;
            self.input(shard, Input::Closed(stale))?;
        }
        Ok(())
    }

    fn take_slot(&mut self, shard: usize, name: &str) -> LinkKey {
        let slots = &mut self.shards[shard].slots;
        let at = slots.iter().position(|(name, _)| name.is_none()).unwrap_or(slots.len());
        if at == slots.len() {
            slots.push((None, 0));
        }
        slots[at].0 = Some(name.to_owned());
        slots[at].1 += 1;
        LinkKey::new(at as u32, slots[at].1)
    }
}

/// The version of a packet that claims to be a CONNECT: whom a CONNACK can be written to. An
/// unknown level above 5 is answered in the form of 5, one below 3 or of a strange name not at all.
pub(crate) fn spoken_version(frame: Frame<'_>) -> Option<Version> {
    if frame.first >> 4 != 1 {
        return None;
    }
    let name_len = usize::from(*frame.body.get(1)?);
    let level = *frame.body.get(2 + name_len)?;
    match (frame.body.get(2..2 + name_len)?, level & 0x7F) {
        (b"MQTT", 0..=4) => Some(Version::V311),
        (b"MQTT", _) => Some(Version::V5),
        (b"MQIsdp", _) => Some(Version::V31),
        _ => None,
    }
}

/// The porch's no, told if there is a way.
fn refuse(client: &mut Client, frame: Option<Frame<'_>>, error: DecodeError) -> Done {
    client.closed = Some(error.reason);
    let version = frame.and_then(spoken_version).filter(|v| is_told(*v, error.reason));
    let Some(version) = version else { return Ok(()) };
    let ack = ConnAck { reason: error.reason, ..ConnAck::default() };
    encode(&Packet::ConnAck(Box::new(ack)), version, &mut client.received);
    client.version = version;
    unpack(&mut client.received, version, &mut client.inbox)
}

/// Whether CONNACK has a code for it: what is malformed has none in 3.x, the connection is closed
/// without a word [3.1.1: MQTT-3.1.4-1].
fn is_told(version: Version, reason: ReasonCode) -> bool {
    use ReasonCode::{MalformedPacket, PacketTooLarge, ProtocolError};
    version.is_v5() || !matches!(reason, MalformedPacket | ProtocolError | PacketTooLarge)
}

/// Whole packets out of what a client of `version` received.
pub(crate) fn unpack(
    received: &mut Vec<u8>,
    version: Version,
    inbox: &mut VecDeque<Words>,
) -> Done {
    loop {
        let taken = match frame(received, usize::MAX) {
            Ok(Framed::Partial { .. }) => return Ok(()),
            Ok(Framed::Whole(frame)) => {
                let packet = decode(frame, Sender::Server, version)
                    .map_err(|e| format!("the broker sent {:02x?}: {e}", frame.body))?;
                inbox.push_back(notation::words(&packet));
                frame.len
            }
            Err(e) => return Err(format!("the broker sent {received:02x?}: {e}")),
        };
        received.drain(..taken);
    }
}
