//! The shadow: what must be true, derived from what was handed in and what clients were told,
//! never from the broker's own state.
//!
//! Time here is the event counter `ev`: it orders what clients sent, what the broker was handed,
//! and what came back. A Subscription is *in force* from the receipt of SUBACK to the sending of
//! UNSUBSCRIBE, *possible* from the hand-in of SUBSCRIBE to that of UNSUBSCRIBE.

use std::collections::{BTreeMap, BTreeSet};

use stonechat::broker::{Message, Record, Safety, SessionNumber, Time};
use stonechat::codec::{Packet, Publish, QoS, SubscriptionOptions};

use super::rights::Rights;
use super::safeties::Safeties;

/// A message that a client published, or will publish as its Will.
#[derive(Clone, Debug, Default)]
pub struct Msg {
    pub publisher: usize,
    pub topic: &'static str,
    pub qos: u8,
    pub retain: bool,
    pub will: bool,
    /// a Will that a power loss does not take: of a session that lasts
    pub durable_will: bool,
    /// has a Message Expiry Interval: may be lost
    pub expires: bool,
    /// as the PUBLISH said that was handed in last: publishers leave it out when they send again
    pub expiry_s: Option<u32>,
    pub len: usize,
    /// when its first PUBLISH was written
    pub sent_at: u64,
    /// how often the broker was handed it
    pub handed: u32,
    pub first_handed: u64,
    pub handed_at: Time,
    /// how often of those a power loss took it before it counted
    pub lost: u32,
    /// when PUBACK or PUBREC arrived at the publisher
    pub acked_at: Option<u64>,
    /// a crash came that it was not promised to outlive
    pub may_be_lost: bool,
}

impl Msg {
    /// Whether the broker was handed it, and no power loss has taken that.
    pub fn is_out(&self) -> bool {
        self.handed > self.lost
    }
}

/// One SUBSCRIBE's filter in a session's history.
#[derive(Clone, Debug)]
pub struct SubEntry {
    pub filter: &'static str,
    pub share: bool,
    pub options: SubscriptionOptions,
    pub conn: usize,
    pub packet_id: u16,
    pub acked: Option<u64>,
    pub unsub_sent: Option<u64>,
    /// UNSUBSCRIBE, or a SUBSCRIBE that replaces this, was handed in
    pub ended: Option<u64>,
}

/// What a session got of one message.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub not_dup: u32,
    pub qos2: u32,
    pub any: bool,
}

/// A session as it has to be.
#[derive(Clone, Debug)]
pub struct SessionShadow {
    pub epoch: u64,
    pub conn: Option<usize>,
    /// CONNACK has left
    pub told: bool,
    /// on the present connection, or the last
    pub will_told: bool,
    pub expiry_s: u32,
    /// was resumed with an expiry of 0: nothing durable is owed any more
    pub volatile: bool,
    /// a crash brought it back, which its listener does not rule out
    pub forgotten: bool,
    pub ends_at: Time,
    /// since when it is discarded
    pub gone_at: Option<u64>,
    /// from when until when it was, where a loss has brought it back: of what came meanwhile it has
    /// nothing
    pub gaps: Vec<(u64, u64)>,
    pub will: Option<(usize, u32)>,
    pub will_at: Time,
    pub subs: Vec<SubEntry>,
    pub seen: BTreeMap<usize, Seen>,
    /// by publisher, topic and QoS: when what came last was handed in
    pub order: BTreeMap<(usize, &'static str, u8), u64>,
}

/// Which answer a packet that is handed in will get, for the gate's rules.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cause {
    pub conn: Option<usize>,
    pub client: usize,
    /// packet type of the answer
    pub answer: u8,
    pub packet_id: u16,
    pub serial: Option<usize>,
    /// what the answer waits for
    pub safety: Safety,
    /// breaks the protocol: the link ends
    pub refused: bool,
}

/// What the gate owes one connection: packet type and identifier, and the record before it.
#[derive(Debug, Default)]
pub struct GateShadow {
    pub after: BTreeMap<(u8, u16), (u64, Safety)>,
    /// by Packet Identifier: how safe a message of the client's is to be
    pub safety: BTreeMap<u16, Safety>,
    pub published: BTreeMap<u16, usize>,
}

#[derive(Debug)]
pub struct Shadow {
    pub ev: u64,
    pub now: Time,
    pub msgs: Vec<Msg>,
    pub sessions: Vec<Option<SessionShadow>>,
    pub group_of: Vec<Option<usize>>,
    epochs: u64,
    pub committed: Vec<u64>,
    pub written: Vec<u64>,
    pub safeties: Safeties,
    pub rights: Rights,
    /// by client and message: that it never comes is put up with
    pub excused: BTreeSet<(usize, usize)>,
    /// by shard and number: records that are void
    pub void: BTreeSet<(usize, u64)>,
    /// whose session it is, by its name in the log
    client_of: BTreeMap<SessionNumber, usize>,
    /// which session it is
    pub epoch_of: BTreeMap<SessionNumber, u64>,
    /// sessions that ended, by epoch: a power loss may bring them back
    pub ended: BTreeMap<u64, SessionShadow>,
    /// how often power was lost, and when last
    pub losses: u32,
    pub last_loss: u64,
    /// groups that had a member whose session did not last
    pub volatile_groups: BTreeSet<usize>,
    /// entries of QoS 2, by session and order: the client
    entries2: BTreeSet<(SessionNumber, u64)>,
    /// by epoch and identifier: the record of a QoS 2 identifier of the client's
    pub inbound: BTreeMap<(u64, u16), (usize, u64)>,
    /// by client and message: shard and number of the first record that keeps it
    pub kept: BTreeMap<(usize, usize), (usize, u64)>,
    /// by client and Packet Identifier: the record of a QoS 2 delivery
    pub in_flight2: BTreeMap<(usize, u16), (usize, u64)>,
    pub retained: BTreeMap<&'static str, usize>,
    pub retained_unsure: BTreeSet<&'static str>,
    /// a Will may find that its client has enough of them
    pub retained_quotas: bool,
    will_set_at: BTreeMap<&'static str, Time>,
    /// by group and message: epochs that got it, and how often each as QoS 2, in all and while its
    /// session was kept
    pub group_got: BTreeMap<(usize, usize), BTreeMap<u64, (u32, u32)>>,
    pub group_ends: Vec<Vec<u64>>,
    /// limits are so small that messages are dropped: only safety is checked
    pub lossy: bool,
    pub deliveries: u64,
    /// a shard's backlog may cost QoS 0 messages
    pub drops_qos0: bool,
    /// queues have little memory: what would wait in one at QoS 0 may be dropped
    pub spills: bool,
    /// some shard was told that the disk is full
    pub full: bool,
    /// queues refuse: what is dropped is QoS 0, or of sessions that do not last
    pub refuses: bool,
}

/// Whether `filter` (a share's prefix taken off) matches `topic`: deliberately naive.
pub fn matches(filter: &str, topic: &str) -> bool {
    let (mut f, mut t) = (plain_filter(filter).split('/'), topic.split('/'));
    if topic.starts_with('$') {
        return plain_filter(filter) == topic; // no filter of ours has a wildcard behind `$`
    }
    loop {
        match (f.next(), t.next()) {
            (Some("#"), _) => return true,
            (Some("+"), Some(_)) => {}
            (Some(a), Some(b)) if a == b => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

pub fn plain_filter(filter: &str) -> &str {
    match filter.strip_prefix("$share/") {
        Some(rest) => rest.split_once('/').map_or("", |(_, f)| f),
        None => filter,
    }
}

pub fn payload_of(serial: usize, len: usize) -> Vec<u8> {
    let mut payload = format!("{serial:08}").into_bytes();
    payload.resize(len.max(8), b'.');
    payload
}

pub fn serial_of(payload: &[u8]) -> Option<usize> {
    std::str::from_utf8(payload.get(..8)?).ok()?.parse().ok()
}

pub fn client_of(client_id: &str) -> usize {
    client_id[1..].parse().unwrap()
}

impl SessionShadow {
    /// Whether it has to be on disk.
    pub fn is_durable(&self) -> bool {
        self.told && !self.volatile
    }
}

impl Shadow {
    pub fn new(group_of: Vec<Option<usize>>, shards: usize, groups: usize, lossy: bool) -> Self {
        Self {
            ev: 1,
            now: Time(0),
            msgs: Vec::new(),
            sessions: vec![None; group_of.len()],
            group_of,
            epochs: 0,
            committed: vec![0; shards],
            written: vec![0; shards],
            safeties: Safeties::default(),
            rights: Rights::default(),
            excused: BTreeSet::new(),
            void: BTreeSet::new(),
            client_of: BTreeMap::new(),
            epoch_of: BTreeMap::new(),
            ended: BTreeMap::new(),
            losses: 0,
            last_loss: 0,
            volatile_groups: BTreeSet::new(),
            entries2: BTreeSet::new(),
            inbound: BTreeMap::new(),
            kept: BTreeMap::new(),
            in_flight2: BTreeMap::new(),
            retained: BTreeMap::new(),
            retained_unsure: BTreeSet::new(),
            retained_quotas: false,
            will_set_at: BTreeMap::new(),
            group_got: BTreeMap::new(),
            group_ends: vec![Vec::new(); groups],
            lossy,
            deliveries: 0,
            drops_qos0: false,
            spills: false,
            full: false,
            refuses: false,
        }
    }

    pub fn tick(&mut self) -> u64 {
        self.ev += 1;
        self.ev
    }

    /// A CONNECT is handed in: returns whether Session Present is due, and the session's epoch.
    pub fn opened(
        &mut self,
        client: usize,
        conn: usize,
        clean: bool,
        expiry_s: u32,
        will: Option<(usize, u32)>,
    ) -> (bool, u64) {
        self.tick();
        if let Some(old) = self.sessions[client].as_ref().and_then(|s| s.conn) {
            self.link_ended(client, old, true);
        }
        if clean {
            self.end_session(client);
        }
        let present = self.sessions[client].is_some();
        if !present {
            self.epochs += 1;
            self.in_flight2.retain(|(c, _), _| *c != client);
            self.sessions[client] = Some(SessionShadow {
                epoch: self.epochs,
                conn: None,
                told: false,
                will_told: false,
                expiry_s,
                volatile: expiry_s == 0,
                forgotten: false,
                ends_at: Time::NEVER,
                gone_at: None,
                gaps: Vec::new(),
                will: None,
                will_at: Time::NEVER,
                subs: Vec::new(),
                seen: BTreeMap::new(),
                order: BTreeMap::new(),
            });
        }
        let s = self.sessions[client].as_mut().unwrap();
        (s.conn, s.will_told) = (Some(conn), false);
        s.expiry_s = expiry_s;
        s.volatile |= expiry_s == 0;
        if let Some(group) = self.group_of[client].filter(|_| s.volatile) {
            self.volatile_groups.insert(group);
        }
        s.ends_at = Time::NEVER;
        s.will = will;
        s.will_at = Time::NEVER;
        (present, s.epoch)
    }

    /// How many retained messages are surely a client's, and how many may be.
    pub fn retained_of(&self, client: usize) -> (usize, usize) {
        let own = self.retained.iter().filter(|(topic, serial)| {
            self.msgs[**serial].publisher == client && !self.retained_unsure.contains(*topic)
        });
        let sure = own.count();
        (sure, sure + self.retained_unsure.len())
    }

    /// The link of `conn` ended: by DISCONNECT 0x00 if `!will_due`.
    pub fn link_ended(&mut self, client: usize, conn: usize, will_due: bool) {
        self.tick();
        let now = self.now;
        let Some(s) = self.sessions[client].as_mut().filter(|s| s.conn == Some(conn)) else {
            return;
        };
        s.conn = None;
        if !will_due {
            s.will = None;
        }
        if s.expiry_s == 0 {
            self.end_session(client);
            return;
        }
        s.ends_at = match s.expiry_s {
            u32::MAX => Time::NEVER,
            e => now.plus_s(u64::from(e)),
        };
        if let Some((_, delay_s)) = s.will {
            s.will_at = now.plus_s(u64::from(delay_s));
        }
        self.due(client);
    }

    pub fn end_session(&mut self, client: usize) {
        let Some(mut s) = self.sessions[client].take() else { return };
        let ev = self.tick();
        s.gone_at = Some(ev);
        if let Some(group) = self.group_of[client] {
            self.group_ends[group].push(ev);
        }
        let promised = self.safeties.of_link(client) == Safety::Synced;
        let (will, durable) = (s.will, s.will_told && s.is_durable() && promised);
        self.ended.insert(s.epoch, s);
        if let Some((serial, _)) = will {
            self.publish_will(serial, durable);
        }
    }

    /// Wills and session ends that are due now.
    fn due(&mut self, client: usize) {
        let Some(s) = &mut self.sessions[client] else { return };
        if s.conn.is_some() {
            return;
        }
        let (will_due, ended) = (s.will_at <= self.now, s.ends_at <= self.now);
        if ended {
            self.end_session(client);
        } else if will_due {
            s.will_at = Time::NEVER;
            let promised = self.safeties.of_link(client) == Safety::Synced;
            let durable = s.will_told && s.is_durable() && promised;
            if let Some((serial, _)) = s.will.take() {
                self.publish_will(serial, durable);
            }
        }
    }

    pub fn advance(&mut self, now: Time) {
        self.now = now;
        self.all_due();
    }

    pub fn all_due(&mut self) {
        (0..self.sessions.len()).for_each(|client| self.due(client));
    }

    /// One that the log still had: it may have been published before the power loss, too.
    pub fn publish_will_again(&mut self, serial: usize) {
        self.take_back_will(serial);
        self.publish_will(serial, true);
        let topic = self.msgs[serial].topic;
        self.retained_unsure.insert(topic);
    }

    /// The log still has it: if it was published, that is lost.
    pub fn take_back_will(&mut self, serial: usize) {
        let m = &mut self.msgs[serial];
        m.lost += u32::from(m.is_out());
    }

    fn publish_will(&mut self, serial: usize, durable: bool) {
        let ev = self.tick();
        let m = &mut self.msgs[serial];
        if !self.rights.may_publish(m.publisher, m.topic) {
            m.expires |= m.handed > 0; // it may have been in the log alone
            return;
        }
        m.durable_will |= durable;
        assert!(m.handed == 0 || self.losses > 0, "a Will is published once");
        m.handed += 1;
        if m.handed == 1 {
            (m.first_handed, m.sent_at) = (ev, ev);
        }
        if m.retain {
            let topic = m.topic;
            self.retained.insert(topic, serial);
            if self.will_set_at.insert(topic, self.now) == Some(self.now)
                || self.full
                || self.retained_quotas
            {
                // Two at the same time: in any order; or it is not retained.
                self.retained_unsure.insert(topic);
            } else {
                self.retained_unsure.remove(topic);
            }
        }
    }

    /// A PUBLISH that the broker takes is handed in.
    pub fn published(&mut self, topic: &'static str, serial: Option<usize>, retain: bool) {
        let ev = self.tick();
        if retain {
            self.retained_unsure.remove(topic);
            match serial {
                Some(serial) => self.retained.insert(topic, serial),
                None => self.retained.remove(topic),
            };
        }
        if let Some(serial) = serial {
            let m = &mut self.msgs[serial];
            m.handed += 1;
            if m.handed == 1 {
                (m.first_handed, m.handed_at) = (ev, self.now);
            }
        }
    }

    /// A SUBSCRIBE is handed in.
    pub fn subscribed(
        &mut self,
        client: usize,
        conn: usize,
        packet_id: u16,
        filter: &'static str,
        options: SubscriptionOptions,
    ) {
        let ev = self.tick();
        let s = self.sessions[client].as_mut().unwrap();
        for old in s.subs.iter_mut().filter(|e| e.filter == filter && e.ended.is_none()) {
            old.ended = Some(ev);
        }
        s.subs.push(SubEntry {
            filter,
            share: filter.starts_with("$share/"),
            options,
            conn,
            packet_id,
            acked: None,
            unsub_sent: None,
            ended: None,
        });
    }

    pub fn suback(&mut self, client: usize, conn: usize, packet_id: u16) {
        let ev = self.tick();
        let Some(s) = self.sessions[client].as_mut() else { return };
        for e in s.subs.iter_mut().filter(|e| e.conn == conn && e.packet_id == packet_id) {
            e.acked.get_or_insert(ev);
        }
    }

    pub fn unsubscribe_sent(&mut self, client: usize, filter: &'static str) {
        let ev = self.tick();
        let Some(s) = self.sessions[client].as_mut() else { return };
        for e in s.subs.iter_mut().filter(|e| e.filter == filter) {
            e.unsub_sent.get_or_insert(ev);
        }
    }

    pub fn unsubscribed(&mut self, client: usize, filter: &'static str) {
        let ev = self.tick();
        let s = self.sessions[client].as_mut().unwrap();
        for e in s.subs.iter_mut().filter(|e| e.filter == filter) {
            e.ended.get_or_insert(ev);
            e.unsub_sent.get_or_insert(ev);
        }
    }

    /// A record was written: notes what the gate has to wait for.
    pub fn recorded(
        &mut self,
        shard: usize,
        seq: u64,
        record: &Record,
        cause: &Cause,
    ) -> Option<u64> {
        if let Record::Session { session, client_id, .. } = record {
            let client = client_of(client_id);
            self.client_of.insert(*session, client);
            let epoch = self.sessions[client].as_ref().map_or(0, |s| s.epoch);
            self.epoch_of.insert(*session, epoch);
        }
        let client = record.session().map(|number| self.client_of[&number]);
        let own = client == Some(cause.client);
        let id = |pid: stonechat::codec::PacketId| pid.get() == cause.packet_id;
        let waits = match &record.clone().spelled_out() {
            Record::InFlight { session, order, packet_id } => {
                if self.entries2.contains(&(*session, *order)) {
                    self.in_flight2.insert((client.unwrap(), packet_id.get()), (shard, seq));
                }
                false
            }
            Record::Queued { session, order, message, qos, .. } => {
                if *qos == QoS::ExactlyOnce {
                    self.entries2.insert((*session, *order));
                }
                self.keep(client.unwrap(), message, shard, seq, cause)
            }
            Record::Retained { message, .. } => {
                matches!(cause.answer, 4 | 5) && serial_of(message.payload()) == cause.serial
            }
            Record::Inbound { session, packet_id, .. } => {
                self.inbound.insert((self.epoch_of[session], packet_id.get()), (shard, seq));
                cause.answer == 5 && own && id(*packet_id)
            }
            Record::InboundEnd { session, packet_id } => {
                self.inbound.remove(&(self.epoch_of[session], packet_id.get()));
                cause.answer == 7 && own && id(*packet_id)
            }
            Record::Released { .. } => cause.answer == 6 && own,
            Record::Subscribed { .. } => cause.answer == 9 && own,
            Record::Unsubscribed { .. } => cause.answer == 11 && own,
            Record::Session { .. } => cause.answer == 2 && own,
            _ => false,
        };
        waits.then_some(seq)
    }

    fn keep(
        &mut self,
        client: usize,
        message: &Message,
        shard: usize,
        seq: u64,
        cause: &Cause,
    ) -> bool {
        let Some(serial) = serial_of(message.payload()) else { return false };
        if self.kept.contains_key(&(client, serial)) {
            return false;
        }
        self.kept.insert((client, serial), (shard, seq));
        matches!(cause.answer, 4 | 5) && cause.serial == Some(serial)
    }

    /// Whether the record is as safe, or void.
    pub fn is_done(&self, shard: usize, seq: u64, safety: Safety) -> bool {
        let known = match safety {
            Safety::Memory => return true,
            Safety::Written => self.written.get(shard),
            Safety::Synced => self.committed.get(shard),
        };
        // `None`: of before a power loss
        known.is_none_or(|&done| seq <= done) || self.void.contains(&(shard, seq))
    }

    /// A packet left the gate (it stands in an outbox): everything it promises must be committed.
    pub fn emitted(
        &mut self,
        client: usize,
        shard: usize,
        gate: &mut GateShadow,
        packet: &Packet<'_>,
    ) {
        let (kind, id) = match packet {
            Packet::ConnAck(c) if c.reason.is_error() => return,
            Packet::ConnAck(_) => {
                self.sessions[client].iter_mut().for_each(|s| (s.told, s.will_told) = (true, true));
                (2, 0)
            }
            Packet::PubAck(a) => (4, a.packet_id.get()),
            Packet::PubRec(a) => (5, a.packet_id.get()),
            Packet::PubRel(a) => (6, a.packet_id.get()),
            Packet::PubComp(a) => (7, a.packet_id.get()),
            Packet::SubAck(a) => (9, a.packet_id.get()),
            Packet::UnsubAck(a) => (11, a.packet_id.get()),
            Packet::Publish(p) if p.qos == QoS::ExactlyOnce => {
                let id = p.packet_id.unwrap().get();
                if let Some(&(shard, seq)) = self.in_flight2.get(&(client, id)) {
                    let done = self.is_done(shard, seq, self.safeties.identifier);
                    assert!(done, "c{client}: QoS 2 PUBLISH {id} before its record");
                }
                return;
            }
            Packet::Publish(p) => return self.check_expiry(client, p),
            _ => return,
        };
        if let Some((seq, safety)) = gate.after.remove(&(kind, id)) {
            let done = self.is_done(shard, seq, safety);
            assert!(done, "c{client}: answer {kind} to {id} left before its record");
        }
        if let Packet::PubRec(a) = packet
            && !a.reason.is_error()
            && let Some(s) = self.sessions[client].as_ref().filter(|s| !s.volatile)
        {
            let at = self.inbound.get(&(s.epoch, a.packet_id.get()));
            let safety = gate.safety.get(&id).copied().unwrap_or_default();
            let done = at.is_some_and(|&(shard, seq)| self.is_done(shard, seq, safety));
            assert!(done, "c{client}: PUBREC {} before its identifier is kept", a.packet_id);
        }
        if let (Packet::PubAck(a) | Packet::PubRec(a), Some(serial)) =
            (packet, gate.published.remove(&id))
            && !a.reason.is_error()
        {
            self.check_kept(serial);
        }
    }

    /// A message is not sent for the first time once it has expired, and says how much is left.
    /// (At QoS 2 its turn may have come before it expired, and the gate held it.)
    fn check_expiry(&self, client: usize, p: &Publish<'_>) {
        let Some(m) = serial_of(p.payload).and_then(|s| self.msgs.get(s)) else { return };
        let Some(expiry_s) = m.expiry_s.filter(|_| !p.dup && m.handed == 1) else { return };
        let ends = m.handed_at.plus_s(u64::from(expiry_s));
        // A second is granted for the way between shards.
        let late = ends.plus_s(1) <= self.now;
        assert!(!late, "c{client}: {m:?} expired at {ends:?}, and it is {:?}", self.now);
        let left = ends.ms_since(self.now).div_ceil(1000);
        let told = p.message_expiry_s.map(u64::from);
        assert!(told.is_none_or(|told| told == left), "c{client}: {told:?} s, not {left}: {m:?}");
    }

    /// The publisher is about to be told: all durable receivers have the message on disk.
    fn check_kept(&self, serial: usize) {
        let m = &self.msgs[serial];
        let safety = self.safety_of_msg(m);
        if safety == Safety::Memory {
            return;
        }
        for (client, s) in self.sessions.iter().enumerate() {
            let Some(s) = s else { continue };
            if s.volatile || self.lossy || !self.owes(s, client, m, self.ev) {
                continue;
            }
            let Some(&(shard, seq)) = self.kept.get(&(client, serial)) else {
                panic!("message {serial} ({m:?}) is acknowledged and not kept for c{client}");
            };
            let done = self.is_done(shard, seq, safety);
            assert!(done, "message {serial} for c{client} is acknowledged and not committed");
        }
    }

    /// After the end of the process: the Wills that it set off are with those who keep messages.
    pub fn check_wills_kept(&self) {
        let published = |&serial: &usize| {
            let m = &self.msgs[serial];
            m.will && m.is_out() && (m.durable_will || m.first_handed > self.last_loss)
        };
        (0..self.msgs.len()).filter(published).for_each(|serial| self.check_kept(serial));
    }

    /// Whether a QoS 1 or 2 message is owed to a session, as far as subscriptions say, if its
    /// routing was complete at `until`.
    pub fn owes(&self, s: &SessionShadow, client: usize, m: &Msg, until: u64) -> bool {
        let in_force = |e: &&SubEntry| {
            !e.share
                && matches(e.filter, m.topic)
                && !(m.publisher == client && lowest_options(s, e).1)
                && e.acked.is_some_and(|at| at < m.sent_at)
                && e.unsub_sent.is_none_or(|at| at > until)
        };
        m.qos > 0
            && !m.expires
            && self.rights.has_to_have(client, m)
            && s.subs.iter().filter(in_force).any(|e| lowest_options(s, e).0 > 0)
    }
}

/// The lowest QoS that a filter had in this session, and whether it ever said No Local.
pub fn lowest_options(s: &SessionShadow, of: &SubEntry) -> (u8, bool) {
    let same = || s.subs.iter().filter(|e| e.filter == of.filter);
    let qos = same().map(|e| e.options.qos as u8).min().unwrap_or(0);
    let no_local = same().any(|e| e.options.no_local);
    (qos, no_local)
}
