//! A broker's sessions after a restart, from what the log knew.
//!
//! Sessions are restored one after the other, then `Input::Restored` says that all shards have
//! theirs, and that what they told each other of their subscriptions is in force everywhere. Until
//! then no time passes: nothing expires and no Will goes out, for they could miss receivers. Until
//! then no client may come, for the same reason.
//!
//! Invariants: a delivery keeps its Packet Identifier and its order; nothing is recorded again but
//! that a connection is gone.

use std::sync::Arc as StdArc;

use triomphe::Arc;

use super::inflight::{InFlight, InboundId, Stage};
use super::input::{Effects, SessionKey};
use super::message::Message;
use super::record::{Owner, Record, SessionNumber, WillRecord};
use super::seal::SealRef;
use super::session::{Extra, Queued, Session};
use super::tail::Tail;
use super::void::Span;
use super::{Broker, Common, Time};
use crate::codec::{PacketId, QoS, SubscriptionOptions};
use crate::topic::SubscriptionFilter;

/// A message that waits for a session, or is under way.
#[derive(Clone, Debug)]
pub struct RestoredEntry {
    /// its number in the session
    pub order: u64,
    /// the message
    pub message: Message,
    /// with this QoS, 1 or 2
    pub qos: QoS,
    /// with this RETAIN flag
    pub retain: bool,
    /// Subscription Identifiers, mostly none
    pub subscription_ids: Box<[u32]>,
    /// `$share/ShareName/filter` that it came by
    pub group: Option<StdArc<str>>,
}

/// A delivery that was under way.
#[derive(Clone, Debug)]
pub enum RestoredDelivery {
    /// PUBLISH is sent again, with DUP
    Publish(PacketId, RestoredEntry),
    /// PUBREC had come: PUBREL is sent again, for this entry
    Release(PacketId, u64),
}

/// A session as the log knew it.
#[derive(Clone, Debug)]
pub struct RestoredSession {
    /// its number
    pub number: SessionNumber,
    /// the client's identifier
    pub client_id: Box<str>,
    /// whose it is
    pub owner: Owner,
    /// Session Expiry Interval in seconds
    pub expiry_s: u32,
    /// for how long it has been without a connection; 0 if `was_connected`
    pub offline_ms: u64,
    /// the log knew it with a connection
    pub was_connected: bool,
    /// filter, options, Subscription Identifier
    pub subscriptions: Vec<(Box<str>, SubscriptionOptions, Option<u32>)>,
    /// its Will
    pub will: Option<WillRecord>,
    /// QoS 2 identifiers of the client's that are in use
    pub inbound: Vec<PacketId>,
    /// in the order of their entries
    pub in_flight: Vec<RestoredDelivery>,
    /// in order
    pub queued: Vec<RestoredEntry>,
    /// the highest number that an entry of the session ever had
    pub last_order: u64,
    /// what waits behind `queued` and is on the log alone
    pub tail: Option<RestoredTail>,
}

/// The part of a queue that is left on the log until the client comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoredTail {
    /// its first entry
    pub first_order: u64,
    /// how many entries
    pub count: usize,
    /// `Message::cost_bytes` of their messages
    pub bytes: usize,
}

impl RestoredEntry {
    fn extra(&self) -> Option<Arc<Extra>> {
        let some = !self.subscription_ids.is_empty() || self.group.is_some();
        let subscription_ids = self.subscription_ids.to_vec();
        some.then(|| Arc::new(Extra { subscription_ids, group: self.group.clone() }))
    }

    /// As it stands in a queue.
    pub(super) fn queued(self) -> Queued {
        let (extra, seal) = (self.extra(), SealRef::default());
        let Self { order, message, qos, retain, .. } = self;
        Queued { message, extra, order, seal, qos, retain }
    }
}

impl Broker {
    /// Brings a session back. Sessions come in the order of their numbers, before
    /// [`super::Input::Restored`].
    pub fn restore(
        &mut self,
        now: Time,
        from: RestoredSession,
        common: &mut impl Common,
        fx: &mut Effects,
    ) {
        self.restoring = true;
        if let Some(older) = self.find_session(&from.client_id) {
            self.outlive(older, common, fx);
        }
        let (number, expiry_s) = (from.number, from.expiry_s);
        if from.was_connected {
            self.record(fx, Record::Disconnected { session: number, expiry_s });
        }
        let session = self.sessions.insert(Session::new(&from.client_id));
        self.name_session(&from.client_id, session);
        self.counters.sessions += 1;
        self.restore_state(now, session, &from);
        self.restore_rights(now, session, from.owner, common.interests());
        self.restore_deliveries(session, from.in_flight);
        for entry in from.queued {
            self.restore_queued(session, entry);
        }
        if let Some(tail) = from.tail.filter(|tail| tail.count > 0) {
            let bytes = tail.bytes + tail.count * size_of::<Queued>();
            let tail = Tail::restored(tail.first_order, from.last_order, tail.count, bytes);
            self.change_queue(session, |queue| queue.restore_tail(tail));
            let len = self.sessions.get(session).map_or(0, |s| s.queue.len());
            self.queued_messages_bound = self.queued_messages_bound.max(len);
            self.note_full(session);
        }
        // One that has expired takes nothing more; it ends as soon as time passes.
        if self.sessions.get(session).is_some_and(Session::is_persistent) {
            for (filter, options, id) in &from.subscriptions {
                self.restore_subscription(session, filter, *options, *id, common, fx);
            }
        }
        self.count_member(session, Some(false), fx);
        self.arm_session(session);
        if let Some(s) = self.sessions.get_mut(session) {
            // The rules may be others than before.
            s.recheck = s.class().is_some() && (s.has_more() || s.outbound.len() > 0);
        }
    }

    /// Whether everything that this shard told the others of its subscriptions is in force there.
    pub fn is_in_force(&self) -> bool {
        self.all_in_force()
    }

    /// All shards have their sessions: time passes again.
    pub(super) fn on_restored(&mut self) {
        self.restoring = false;
    }

    /// A session whose end the log does not know though its client has a newer one: it ends as soon
    /// as time passes. Meanwhile it has a name that no client can have.
    fn outlive(&mut self, older: SessionKey, common: &mut impl Common, fx: &mut Effects) {
        self.drop_subscriptions(older, common.interests(), fx);
        let Some(s) = self.sessions.get_mut(older) else { return };
        s.expiry_s = 0;
        s.timer = Time::NEVER;
        let name: StdArc<str> = format!("\0{}\0{}", s.number.0, s.client_id).into();
        let before = std::mem::replace(&mut s.client_id, StdArc::clone(&name));
        self.unname_session(&before, older);
        self.name_session(&name, older);
        self.arm_session(older);
    }

    /// The session that has the client of `session` now: another one only if that is an older one.
    pub(super) fn present_session(&self, session: SessionKey) -> SessionKey {
        let Some(s) = self.sessions.get(session) else { return session };
        let older = s.client_id.strip_prefix('\0').and_then(|rest| rest.split_once('\0'));
        older.and_then(|(_, client_id)| self.find_session(client_id)).unwrap_or(session)
    }

    fn restore_state(&mut self, now: Time, session: SessionKey, from: &RestoredSession) {
        let Some(s) = self.sessions.get_mut(session) else { return };
        s.number = from.number;
        s.last_order = from.last_order;
        s.offline_since = now;
        // What is left of it: the time without a connection may be longer than the process's.
        let offline_s = u32::try_from(from.offline_ms / 1000).unwrap_or(u32::MAX);
        s.expiry_s = match from.expiry_s {
            u32::MAX => u32::MAX,
            s => s.saturating_sub(offline_s),
        };
        for &id in &from.inbound {
            let (records, wait) = (Span::default(), None);
            s.inbound.insert(InboundId { id, counted: false, records, wait });
        }
        if let Some(will) = &from.will {
            let delay_ms = u64::from(will.delay_s) * 1000;
            s.will_at = now.plus_ms(delay_ms.saturating_sub(from.offline_ms));
            s.will = Some(Box::new(will.clone()));
            self.counters.wills += 1;
            self.counters.will_bytes += will.message.cost_bytes() as u64;
        }
    }

    fn restore_deliveries(&mut self, session: SessionKey, deliveries: Vec<RestoredDelivery>) {
        let Some(s) = self.sessions.get_mut(session) else { return };
        for delivery in deliveries {
            let (dup, sent, seal) = (true, false, SealRef::default());
            let (id, entry) = match delivery {
                RestoredDelivery::Publish(id, entry) => {
                    let stage = match entry.qos {
                        QoS::ExactlyOnce => Stage::Publish2,
                        _ => Stage::Publish1,
                    };
                    let (extra, order, retain) = (entry.extra(), entry.order, entry.retain);
                    let message = Some(entry.message);
                    (id, InFlight { message, extra, order, seal, stage, retain, dup, sent })
                }
                RestoredDelivery::Release(id, order) => {
                    let (stage, retain) = (Stage::Release, false);
                    let (message, extra) = (None, None);
                    (id, InFlight { message, extra, order, seal, stage, retain, dup, sent })
                }
            };
            s.outbound.restore(id, entry);
        }
        self.counters.in_flight += s.outbound.len() as u64;
        self.counters.in_flight_bytes += s.outbound.bytes() as u64;
    }

    fn restore_queued(&mut self, session: SessionKey, entry: RestoredEntry) {
        let Some(s) = self.sessions.get_mut(session) else { return };
        let entry = entry.queued();
        self.counters.queued_messages += 1;
        self.counters.queued_bytes += entry.cost_bytes() as u64;
        s.queue.push(entry);
        self.queued_messages_bound = self.queued_messages_bound.max(s.queue.len());
        self.note_full(session);
    }

    fn restore_subscription(
        &mut self,
        session: SessionKey,
        text: &str,
        options: SubscriptionOptions,
        id: Option<u32>,
        common: &mut impl Common,
        fx: &mut Effects,
    ) {
        let Ok(filter) = SubscriptionFilter::parse(text) else { return };
        self.put_subscription(session, &filter, options, id.unwrap_or(0), common.interests(), fx);
    }
}
