//! Layer 2: the pure decisions of one shard.
//!
//! What lives here: the [`Broker`], which is told [`Input`]s and answers with [`Effects`]. May
//! use: `codec`, `topic`. It never awaits, locks, reads a clock, draws randomness, touches a file
//! or a socket: time, seeds and what the shards have in common are arguments, so that a simulator
//! can run years of its life in seconds.
//!
//! Invariants: see [`Broker::check_invariants`]; each file names its own.

mod answered;
mod asked;
mod cache;
mod common;
mod connect;
mod deliver;
mod edges;
mod fullness;
mod ids;
mod index;
mod inflight;
mod input;
mod interest;
mod key;
mod levels;
mod limits;
mod link;
mod load;
mod losses;
mod message;
mod pace;
mod pending;
mod plain;
mod publication;
mod publish;
mod record;
mod replays;
mod restore;
mod retain;
mod retained;
mod rights;
mod room;
mod safety;
mod seal;
mod sends;
mod session;
mod shared;
mod shrink;
mod spent;
mod subscribe;
mod subscriptions;
mod sweep;
mod tail;
mod time;
mod timers;
mod tree;
mod uncommitted;
mod void;
mod will;

pub use common::{Common, Commons};
pub use index::{InterestIndex, InterestTree, Interested, Place};
pub use input::{
    Answer, Effects, Input, Interest, LinkKey, LoadedEntries, Opening, PeerMessage, Question,
    ReceiptFor, ReceiptWhen, Request, SHARDS_MAX, SealKey, Seq, SessionKey, ShardId, ShardSet,
    SharedTravel, WaitKey,
};
pub use key::{Arena, Key};
pub use limits::{Counters, Limits, QueueFull};
pub use losses::Loss;
pub use message::{INLINE_PAYLOAD_BYTES_MAX, Message, MessageParts};
pub use plain::PlainMessage;
pub use record::{DropReason, Owner, Record, SessionNumber, WillRecord};
pub use restore::{RestoredDelivery, RestoredEntry, RestoredSession, RestoredTail};
pub use retained::{
    Replaced, RetainedCursor, RetainedFull, RetainedPage, RetainedStore, RetainedTree,
    RetainedUsage,
};
pub use safety::Safety;
pub use sends::{Closing, Outbox, Sends};
pub(crate) use shrink::{shrink_list, shrink_queue, shrink_slab};
pub use spent::Spent;
pub use time::Time;

/// The matching structures, for tests and benchmarks that look at them alone.
pub mod matching {
    pub use super::cache::*;
    pub use super::tree::*;
}

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use connect::WillIs;
use fullness::Fullness;
use interest::Interests;
use link::Links;
use load::Loads;
use losses::Losses;
use pending::{Gate, HeldPacket, Until};
use rights::Rules;
use room::NotTaken;
use seal::Seals;
use session::Session;
use subscriptions::Subscriptions;
use timers::{Timer, Timers};
use uncommitted::Uncommitted;
use void::Span;

use crate::codec::{DecodeError, Packet, ReasonCode, encode_within};

/// How often the background sweep looks for expired messages, in ms.
const SWEEP_MS: u64 = 5_000;
/// How many bits of a session's number say which shard gave it out.
const SHARD_BITS: u32 = SHARDS_MAX.trailing_zeros();
/// How many sessions have their turn at one Tick.
const WORK_PER_TICK: usize = 16;

/// Why the broker ends a link: the reason code, and what is wrong in words.
pub(crate) type Refusal = DecodeError;

fn refusal(reason: ReasonCode, what: &'static str) -> Refusal {
    DecodeError { reason, what }
}

/// What a decoding error means once there is a link: a CONNECT of a version that is not supported
/// is first of all a second one, and 0x84 is no reason of a DISCONNECT (section 3.14.2.1).
fn on_a_link(error: DecodeError) -> Refusal {
    match error.reason {
        ReasonCode::UnsupportedProtocolVersion => SECOND_CONNECT,
        _ => error,
    }
}

const SECOND_CONNECT: Refusal =
    DecodeError { reason: ReasonCode::ProtocolError, what: "a second CONNECT [MQTT-3.1.0-2]" };

/// What a session's name is found by.
fn hash_of_session(sessions: &Arena<Session>, hasher: &FixedState, key: SessionKey) -> u64 {
    sessions.get(key).map_or(0, |s| hasher.hash_one(&*s.client_id))
}

/// Receipts in the order in which they were asked for.
type ReceiptsDue = VecDeque<(Span, ShardId, WaitKey)>;

/// One shard's broker.
pub struct Broker {
    shard: ShardId,
    shards: u8,
    limits: Limits,
    /// the highest `queued_messages_max` so far
    queued_messages_bound: usize,
    counters: Counters,
    links: Links,
    sessions: Arena<Session>,
    by_client_id: HashTable<SessionKey>,
    hasher: FixedState,
    /// what publishers' names are hashed with
    publishers: FixedState,
    rules: Rules,
    subscriptions: Subscriptions,
    interests: Interests,
    gate: Gate,
    seals: Seals,
    timers: Timers,
    /// the number of the last record
    seq: Seq,
    /// how many sessions were given a number
    session_numbers: u64,
    /// sessions are being restored: no time passes
    restoring: bool,
    /// receipts that other shards wait for, with the records that have to be written, or synced
    receipts_due: [ReceiptsDue; 2],
    /// by shard: bytes of messages under way there
    peer_bytes: Vec<usize>,
    /// by shard: bytes that have arrived from there and are not credited yet
    credit_owed: Vec<usize>,
    /// links that are not read because of `peer_bytes`
    paused: Vec<LinkKey>,
    /// sessions that have more to send than one call may take
    work: VecDeque<SessionKey>,
    sweep_from: usize,
    loads: Loads,
    losses: Losses,
    /// the store has no room
    no_room: bool,
    not_taken: NotTaken,
    uncommitted: Uncommitted,
    fullness: Fullness,
    /// credit is kept back because of it
    credit_kept: bool,
    // Memory that is reused from call to call:
    spent: Spent,
    /// messages that the log alone gets
    block: plain::Block,
    scratch: Vec<u8>,
    encoded: Vec<u8>,
    batch: Vec<Message>,
    /// how often retained messages were asked for by a SUBSCRIBE
    replays_asked: u64,
}

impl Broker {
    /// A shard's broker, one of `shards` (at most [`SHARDS_MAX`]). `seed` keys its hash tables.
    pub fn new(shard: ShardId, shards: u8, seed: u64, limits: Limits) -> Self {
        let mut timers = Timers::default();
        timers.arm(Time(SWEEP_MS), Timer::Sweep);
        Self {
            shard,
            shards,
            subscriptions: Subscriptions::new(shard, seed, limits.match_cache_bytes_max),
            rules: Rules::new(seed),
            queued_messages_bound: limits.queued_messages_max,
            limits,
            counters: Counters::default(),
            links: Links::default(),
            sessions: Arena::default(),
            by_client_id: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            publishers: FixedState::with_seed(seed),
            interests: Interests::new(usize::from(shards)),
            gate: Gate::default(),
            seals: Seals::default(),
            timers,
            seq: Seq(0),
            session_numbers: 0,
            restoring: false,
            receipts_due: Default::default(),
            peer_bytes: vec![0; usize::from(shards)],
            credit_owed: vec![0; usize::from(shards)],
            paused: Vec::new(),
            work: VecDeque::new(),
            sweep_from: 0,
            loads: Loads::default(),
            losses: Losses::default(),
            no_room: false,
            not_taken: NotTaken::default(),
            uncommitted: Uncommitted::default(),
            fullness: Fullness::default(),
            credit_kept: false,
            spent: Spent::default(),
            block: plain::Block::default(),
            scratch: Vec::new(),
            encoded: Vec::new(),
            batch: Vec::new(),
            replays_asked: 0,
        }
    }

    /// Takes one input, at monotonic time `now`, and adds what is to be done to `fx`. Inputs that
    /// name what is gone are ignored and counted.
    pub fn handle(
        &mut self,
        now: Time,
        input: Input<'_>,
        common: &mut impl Common,
        fx: &mut Effects,
    ) {
        match input {
            Input::Packet(link, packet) => {
                return self.handle_packet(now, link, &packet, common, fx);
            }
            Input::Malformed(link, error) => {
                self.counters.closed_filters +=
                    u64::from(error.reason == ReasonCode::QuotaExceeded);
                self.fail(now, link, on_a_link(error), common, fx);
            }
            Input::Opened(link, opening) => self.on_opened(now, link, &opening, common, fx),
            Input::Closed(link) => self.end_link(now, link, WillIs::Due, common, fx),
            Input::Wrote(link, backlog) => self.on_wrote(now, link, backlog, fx),
            Input::Peer(from, message) => self.on_peer(now, from, message, common, fx),
            Input::Committed(seq) => self.on_committed(now, seq, fx),
            Input::Written(seq) => self.on_written(now, seq, fx),
            Input::Void(seqs) => self.on_void(now, seqs, fx),
            Input::Spent(spent) => self.spent.take_over(spent),
            Input::Loaded(session, loaded) => self.on_loaded(now, session, *loaded, fx),
            Input::Answer(link, answer) => self.on_answer(now, link, answer, common, fx),
            Input::Acl(acl) => self.on_acl(now, acl, common.interests()),
            Input::Quotas(quotas) => self.on_quotas(now, quotas, common.interests()),
            Input::Restored => self.on_restored(),
            Input::Reload(limits) => self.on_reload(*limits, fx),
            Input::Publish(message) => self.publish_own(now, &message, None, common, fx),
            Input::Tick => self.on_tick(now, common, fx),
            Input::Shrink => self.on_shrink(common.interests()),
            Input::Shutdown => self.on_shutdown(now, common, fx),
            Input::Full(full) => self.on_full(full, fx),
        }
        self.after_input(now, common, fx);
    }

    /// Handles `Input::Packet`: most inputs are that, and a packet is long to copy.
    pub fn handle_packet(
        &mut self,
        now: Time,
        link: LinkKey,
        packet: &Packet<'_>,
        common: &mut impl Common,
        fx: &mut Effects,
    ) {
        self.on_packet(now, link, packet, common, fx);
        self.after_input(now, common, fx);
    }

    #[inline]
    fn after_input(&mut self, now: Time, common: &mut impl Common, fx: &mut Effects) {
        if !self.work.is_empty() {
            self.do_work(now, 1, common, fx);
        }
        if self.not_taken.has_idle() {
            self.end_refused(now, common, fx);
        }
        if self.fullness.has_news() {
            self.tell_fullness(common.interests(), fx);
        }
    }

    /// When `Input::Tick` is due: `now` or earlier if there is work left over.
    pub fn next_deadline(&self) -> Time {
        match self.restoring {
            true => Time::NEVER,
            false if self.work.is_empty() => self.timers.next(),
            false => Time(0),
        }
    }

    /// The number of the newest record: what `Input::Committed` names once all are on disk.
    pub fn last_seq(&self) -> Seq {
        self.seq
    }

    /// What it did so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn on_packet(
        &mut self,
        now: Time,
        link: LinkKey,
        packet: &Packet<'_>,
        common: &mut impl Common,
        fx: &mut Effects,
    ) {
        let Some(l) = self.links.get_mut(link) else {
            self.counters.stale_inputs += 1; // behind a DISCONNECT, or taken over
            return;
        };
        l.last_seen = now;
        let (session, ready) = (l.session, l.ready);
        self.counters.packets_received += 1;
        let done = match packet {
            Packet::Publish(p) => self.on_publish(now, link, p, common, fx),
            Packet::PubAck(ack) => self.on_puback(now, session, ack, fx),
            Packet::PubRec(ack) => self.on_pubrec(now, link, session, ack, fx),
            Packet::PubRel(ack) => {
                self.on_pubrel(now, link, session, ack, fx);
                Ok(())
            }
            Packet::PubComp(ack) => self.on_pubcomp(now, session, ack, fx),
            Packet::Subscribe(s) => {
                self.on_subscribe(now, link, s, common.interests(), fx);
                Ok(())
            }
            Packet::Unsubscribe(u) => {
                self.on_unsubscribe(now, link, u, common.interests(), fx);
                Ok(())
            }
            Packet::PingReq if ready => {
                self.send(link, &Packet::PingResp, fx);
                Ok(())
            }
            Packet::PingReq => {
                self.send_when(now, link, HeldPacket::PingResp, Until::default(), fx);
                Ok(()) // nothing leaves before CONNACK [MQTT-3.2.0-1]
            }
            Packet::Disconnect(d) => self.on_disconnect(now, link, d, common, fx),
            Packet::Auth(auth) => self.on_auth(link, auth, fx),
            Packet::Connect(_) => Err(SECOND_CONNECT),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                Err(refusal(ReasonCode::ProtocolError, "a packet that only a Server may send"))
            }
        };
        if let Err(why) = done {
            self.fail(now, link, why, common, fx);
        }
    }

    /// Ends a link for something that its client did, or did not do (section 4.13).
    fn fail(
        &mut self,
        now: Time,
        link: LinkKey,
        why: Refusal,
        common: &mut impl Common,
        fx: &mut Effects,
    ) {
        self.tell_and_close(link, why, fx);
        self.end_link(now, link, WillIs::Due, common, fx);
    }

    /// Appends a packet to the link's outbox; one that is too large for the client even without
    /// its Reason String is left out \[MQTT-3.1.2-24\].
    fn send(&mut self, link: LinkKey, packet: &Packet<'_>, fx: &mut Effects) {
        let Some(l) = self.links.get(link) else { return };
        let (version, max) = (l.version, l.maximum_packet_size);
        fx.sends.append(link, |out| encode_within(packet, version, max, out));
        self.counters.packets_sent += 1;
    }

    /// Adds a record for the log.
    fn record(&mut self, fx: &mut Effects, record: Record) {
        self.seq.0 += 1;
        self.uncommitted.push(self.seq, &record);
        fx.records.push(record);
    }

    /// The records since `before`, which was the last one then.
    fn since(&self, before: Seq) -> Span {
        Span { first: Seq(before.0 + 1), last: self.seq }
    }

    /// A name for a session that is to be kept: never given out before, by no shard. A restart goes
    /// on above those that the log knows, see [`Broker::start_numbers_above`].
    fn new_number(&mut self) -> SessionNumber {
        self.session_numbers += 1;
        SessionNumber(self.session_numbers << SHARD_BITS | u64::from(self.shard.0))
    }

    /// Session numbers go on above this one, the highest that the log knows of any shard. For the
    /// start, before the first input.
    pub fn start_numbers_above(&mut self, highest: SessionNumber) {
        self.session_numbers = highest.0 >> SHARD_BITS;
    }

    /// Publishers' names are hashed with this key, which messages of before a restart were: what a
    /// client retained then is still its own (No Local). For the start, before the first input.
    pub fn name_publishers_by(&mut self, key: u64) {
        self.publishers = FixedState::with_seed(key);
    }

    fn publisher_hash(&self, client_id: &str) -> u64 {
        self.publishers.hash_one(client_id)
    }

    fn hash(&self, client_id: &str) -> u64 {
        self.hasher.hash_one(client_id)
    }

    fn find_session(&self, client_id: &str) -> Option<SessionKey> {
        let same =
            |key: &SessionKey| self.sessions.get(*key).is_some_and(|s| *s.client_id == *client_id);
        self.by_client_id.find(self.hash(client_id), same).copied()
    }

    fn name_session(&mut self, client_id: &str, session: SessionKey) {
        let hash = self.hash(client_id);
        let (sessions, hasher) = (&self.sessions, &self.hasher);
        self.by_client_id
            .insert_unique(hash, session, |key| hash_of_session(sessions, hasher, *key));
    }

    fn unname_session(&mut self, client_id: &str, session: SessionKey) {
        let hash = self.hash(client_id);
        if let Ok(entry) = self.by_client_id.find_entry(hash, |key| *key == session) {
            entry.remove();
        }
    }

    fn on_wrote(&mut self, now: Time, link: LinkKey, backlog: usize, fx: &mut Effects) {
        let Some(l) = self.links.get(link) else {
            self.counters.stale_inputs += 1;
            return;
        };
        let session = l.session;
        if let Some(outbox) = fx.sends.outbox_mut(link) {
            outbox.wants_room = backlog > self.limits.output_bytes_max / 2;
            if outbox.wants_room {
                return;
            }
        }
        self.go_on(now, session, fx);
    }

    fn on_peer(
        &mut self,
        now: Time,
        from: ShardId,
        message: PeerMessage,
        common: &mut impl Common,
        fx: &mut Effects,
    ) {
        match message {
            PeerMessage::Publish { message, receipt } => {
                self.on_peer_publish(now, from, &message, receipt, common, fx);
            }
            PeerMessage::Receipt { wait, seal } => self.on_receipt(now, from, wait, seal, fx),
            PeerMessage::Sealed { seal } => self.on_sealed(now, seal, fx),
            PeerMessage::Credit { bytes } => self.on_credit(from, bytes, fx),
            PeerMessage::Interest { version, filter } => {
                self.on_peer_interest(from, version, &filter, fx);
            }
            PeerMessage::Group { version, group, online, offline, full } => {
                let (members, index) = ((online, offline, full), common.interests());
                self.on_peer_group(from, version, &group, members, index, fx);
            }
            PeerMessage::InterestAck { version } => self.on_interest_ack(now, from, version, fx),
            PeerMessage::Shared(travel) => self.on_shared(now, from, travel, fx),
            PeerMessage::SharedBack(travel) => {
                self.on_shared_back(now, travel, fx);
            }
        }
    }

    fn on_tick(&mut self, now: Time, common: &mut impl Common, fx: &mut Effects) {
        if self.restoring {
            return;
        }
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::KeepAlive(link) => self.on_keep_alive(now, link, common, fx),
                Timer::Session(session) => self.on_session_timer(now, session, common, fx),
                Timer::NoRoom => self.on_no_room(now, common, fx),
                Timer::Throttled(link) => self.on_throttled(link, fx),
                Timer::Ends(link) => self.on_ends(now, link, common, fx),
                Timer::Sweep => {
                    self.sweep(now, common, fx);
                    self.timers.arm(now.plus_ms(SWEEP_MS), Timer::Sweep);
                }
            }
        }
        self.do_work(now, WORK_PER_TICK, common, fx);
    }

    fn on_keep_alive(
        &mut self,
        now: Time,
        link: LinkKey,
        common: &mut impl Common,
        fx: &mut Effects,
    ) {
        let Some(l) = self.links.get_mut(link) else { return };
        if l.reads_held() {
            l.last_seen = now; // the broker does not read: the client cannot be heard
        }
        let deadline = l.keep_alive_deadline();
        if deadline > now {
            self.timers.arm(deadline, Timer::KeepAlive(link));
            return;
        }
        let why = refusal(
            ReasonCode::KeepAliveTimeout,
            "nothing was heard for one and a half times the Keep Alive [MQTT-3.1.2-22]",
        );
        self.fail(now, link, why, common, fx);
    }

    fn on_session_timer(
        &mut self,
        now: Time,
        session: SessionKey,
        common: &mut impl Common,
        fx: &mut Effects,
    ) {
        let Some(s) = self.sessions.get_mut(session) else { return };
        s.timer = Time::NEVER;
        if s.link.is_some() {
            return;
        }
        if s.ends_at() <= now {
            self.counters.sessions_expired += 1;
            self.end_session(now, session, common, fx);
            return;
        }
        if s.will_at <= now {
            self.publish_will(now, session, common, fx);
        }
        self.arm_session(session);
    }

    /// The session has more to send than this call may take: its turn comes again.
    fn more_work(&mut self, session: SessionKey) {
        if let Some(s) = self.sessions.get_mut(session)
            && !s.in_work
        {
            s.in_work = true;
            self.work.push_back(session);
        }
    }

    fn do_work(&mut self, now: Time, turns: usize, common: &mut impl Common, fx: &mut Effects) {
        for _ in 0..turns.min(self.work.len()) {
            let Some(session) = self.work.pop_front() else { return };
            if let Some(s) = self.sessions.get_mut(session) {
                s.in_work = false;
                self.pump(now, session, fx);
                if self.replay(now, session, common, fx) {
                    self.more_work(session);
                }
            }
        }
    }

    /// New limits. What is queued beyond a lowered one stays until the next message makes room.
    fn on_reload(&mut self, limits: Limits, fx: &mut Effects) {
        self.queued_messages_bound = self.queued_messages_bound.max(limits.queued_messages_max);
        self.limits = limits;
        self.relieve_all();
        // Credit that was too small to be told may be much by another shard's new limit.
        for (shard, owed) in self.credit_owed.iter_mut().enumerate().filter(|(_, owed)| **owed > 0)
        {
            let bytes = std::mem::take(owed);
            fx.peers.push((ShardId(shard as u8), PeerMessage::Credit { bytes }));
        }
        self.resume_paused(fx);
        self.store_caught_up(fx);
    }

    /// Links end, and with them the sessions that are no longer than they: their Wills go to those
    /// who keep messages.
    fn on_shutdown(&mut self, now: Time, common: &mut impl Common, fx: &mut Effects) {
        let links: Vec<LinkKey> = self.links.iter().map(|l| l.key).collect();
        for link in links {
            let why = refusal(ReasonCode::ServerShuttingDown, "the broker shuts down");
            self.fail(now, link, why, common, fx);
        }
    }

    /// Asserts what must hold between any two inputs. For tests and simulators.
    ///
    /// # Panics
    /// With the broken invariant, in words.
    pub fn check_invariants(&self) {
        let (mut queued, mut queued_bytes, mut in_flight) = (0, 0, 0);
        let (mut wills, mut will_bytes, mut subscriptions, mut seals) = (0, 0, 0, 0);
        for (key, s) in self.sessions.iter() {
            assert_eq!(self.find_session(&s.client_id), Some(key), "a session has its name");
            if let Some(link) = s.link {
                let l = self.links.get(link);
                assert_eq!(l.map(|l| l.session), Some(key), "a session's link is its own");
                assert!(l.is_some_and(|l| s.publishes_under_way() <= usize::from(l.window)));
                l.into_iter().for_each(link::Link::check_answers);
            } else {
                let ends = self.restoring || s.timer != Time::NEVER;
                assert!(s.is_persistent() || ends, "a session that ends with its link has one");
                assert!(s.ends_at() == Time::NEVER || s.timer <= s.ends_at(), "an armed end");
                assert!(s.timer <= s.will_at, "an armed Will");
            }
            s.outbound.check_invariants();
            s.replays.iter().for_each(|replays| replays.check_invariants());
            queued += s.queue.len() as u64;
            queued_bytes += s.queue.iter().map(|q| q.cost_bytes() as u64).sum::<u64>();
            queued_bytes += s.queue.sums().unread_bytes as u64;
            assert!(s.queue.tail().is_none_or(|tail| !tail.is_over()), "a tail without entries");
            in_flight += s.outbound.len() as u64;
            wills += u64::from(s.will.is_some());
            will_bytes += s.will.as_ref().map_or(0, |w| w.message.cost_bytes() as u64);
            subscriptions += s.subscriptions.len() as u64;
            seals += s.queue.iter().filter(|q| !q.seal.is_none()).count() as u64;
            seals += s.outbound.iter().filter(|(_, e)| !e.seal.is_none()).count() as u64;
            let refuses = self.limits.queue_full == QueueFull::Refuse;
            let bounded = refuses || s.queue.len() <= self.queued_messages_bound;
            assert!(bounded, "queued_messages_max");
            assert!(!s.full || self.fullness.knows(key), "a session that is full is known as such");
            assert!(s.in_work == self.work.contains(&key), "sessions with work are in the list");
        }
        assert_eq!(self.seal_refs(), seals, "entries that name a seal");
        let c = &self.counters;
        assert_eq!((c.queued_messages, c.queued_bytes), (queued, queued_bytes), "queues");
        self.check_loads();
        assert_eq!((c.in_flight, c.wills, c.will_bytes), (in_flight, wills, will_bytes));
        assert_eq!((c.sessions, c.subscriptions), (self.sessions.len() as u64, subscriptions));
        assert_eq!(self.by_client_id.len(), self.sessions.len(), "names of sessions");
        for l in self.links.iter() {
            let s = self.sessions.get(l.session);
            assert_eq!(s.and_then(|s| s.link), Some(l.key), "a link's session knows it");
            assert!(l.held.is_empty() || l.in_gate, "held packets are in the gate");
            assert_eq!(s.map(Session::checks), Some(l.checks), "what is looked at");
        }
        assert!(self.gate.settled.written() <= self.seq, "nothing is committed unwritten");
        self.subscriptions.check_invariants();
        self.rules.check(self.sessions.iter().map(|(_, s)| s));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What there is most of: a field more is a decision, not an accident.
    #[test]
    fn sizes() {
        for (what, size, at_most) in [
            ("Session", size_of::<Session>(), 296),
            ("Link", size_of::<link::Link>(), 120),
            ("Outbox", size_of::<Outbox>(), 88),
            ("Subscription", size_of::<subscriptions::Subscription>(), 40),
            ("InFlight", size_of::<inflight::InFlight>(), 32),
            ("Queued", size_of::<session::Queued>(), 32),
            ("Message", size_of::<Message>(), 8),
        ] {
            assert!(size <= at_most, "{what} has {size} bytes");
        }
    }
}
