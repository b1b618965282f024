//! A Session: what the specification calls Session State (section 4.1), and its queue.
//!
//! Invariant: everything here survives the Network Connection for as long as the Session Expiry
//! Interval says; nothing here depends on which link is attached.

use std::collections::VecDeque;
use std::sync::Arc as StdArc;

use triomphe::Arc;

use super::ids::IdList;
use super::inflight::{Inbound, Outbound, Stage};
use super::input::LinkKey;
use super::message::Message;
use super::record::{Record, SessionNumber, WillRecord};
use super::replays::Replays;
use super::rights::Rights;
use super::safety::Safety;
use super::seal::SealRef;
use super::tail::Tail;
use super::time::Time;
use crate::codec::QoS;

/// What a delivery carries beside its message; most carry nothing.
#[derive(Debug, Default)]
pub(super) struct Extra {
    /// Subscription Identifiers, sent with the PUBLISH \[MQTT-3.3.4-3\].
    pub(super) subscription_ids: Vec<u32>,
    /// `$share/ShareName/filter`: goes to another member when the session ends unacknowledged.
    pub(super) group: Option<StdArc<str>>,
}

/// A message that waits for its turn.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) message: Message,
    pub(super) extra: Option<Arc<Extra>>,
    /// Its number in the session if the log has it, else 0.
    pub(super) order: u64,
    /// What it has to wait for at QoS 2.
    pub(super) seal: SealRef,
    pub(super) qos: QoS,
    pub(super) retain: bool,
}

impl Queued {
    /// What it counts for in queue limits, in bytes. A message in several queues counts in each.
    pub(super) fn cost_bytes(&self) -> usize {
        size_of::<Self>() + self.message.cost_bytes()
    }

    /// What it wants of a queue.
    pub(super) fn claim(&self) -> Claim {
        let (bytes, qos, safety) = (self.cost_bytes(), self.qos, self.message.safety());
        Claim { bytes, qos, safety }
    }

    /// What the log is told of it.
    pub(super) fn into_record(self, session: SessionNumber) -> Record {
        let Self { message, extra, order, seal, qos, retain } = self;
        let extra = extra.as_deref();
        let subscription_ids = extra.map_or_else(Box::default, |e| e.subscription_ids[..].into());
        let (group, sealed) = (extra.and_then(|e| e.group.clone()), seal.is_none());
        Record::Queued { session, order, message, qos, retain, subscription_ids, group, sealed }
    }

    /// Whether it came by a Shared Subscription.
    pub(super) fn is_shared(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.group.is_some())
    }
}

/// What a message wants of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    /// what it counts for
    pub(super) bytes: usize,
    /// QoS of the delivery
    pub(super) qos: QoS,
    pub(super) safety: Safety,
}

impl Claim {
    /// Of a message whose topic, properties and payload are `bytes` together.
    pub(super) fn of(bytes: usize, qos: QoS, safety: Safety) -> Self {
        Self { bytes: size_of::<Queued>() + Message::cost_of(bytes), qos, safety }
    }

    /// Whether the log is told of it, if it is this session's.
    pub(super) fn is_recorded(&self, s: &Session) -> bool {
        let kept = self.safety != Safety::Memory || self.qos == QoS::ExactlyOnce;
        s.is_kept() && self.qos != QoS::AtMostOnce && kept
    }
}

/// Messages that wait, oldest first: those in memory, and behind them those that are on the log
/// alone.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: VecDeque<Queued>,
    /// of those in memory
    bytes: usize,
    /// How many of them can expire: a sweep skips queues without any.
    expiring: u32,
    /// How many of them are QoS 0: newer ones go behind them.
    qos0: u32,
    tail: Option<Box<Tail>>,
}

/// What counters say of queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct QueueSums {
    pub(super) messages: usize,
    pub(super) bytes: usize,
    /// of those, on the log alone
    pub(super) unread: usize,
    pub(super) unread_bytes: usize,
    /// memory that is set aside for loads
    pub(super) loading_bytes: usize,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.entries.len() + self.tail.as_ref().map_or(0, |tail| tail.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.tail.is_none()
    }

    pub(super) fn bytes(&self) -> usize {
        let tail = self.tail.as_ref();
        self.bytes + tail.map_or(0, |tail| tail.unread_bytes() + tail.kept_bytes())
    }

    /// Of those that stand before the tail.
    pub(super) fn head_bytes(&self) -> usize {
        self.bytes
    }

    /// Of those whose messages are in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes + self.tail.as_ref().map_or(0, |tail| tail.kept_bytes())
    }

    pub(super) fn sums(&self) -> QueueSums {
        let (tail, load) = (self.tail.as_ref(), self.tail.as_ref().and_then(|tail| tail.load));
        QueueSums {
            messages: self.len(),
            bytes: self.bytes(),
            unread: tail.map_or(0, |tail| tail.unread()),
            unread_bytes: tail.map_or(0, |tail| tail.unread_bytes()),
            loading_bytes: load.map_or(0, |load| load.bytes),
        }
    }

    pub(super) fn has_tail(&self) -> bool {
        self.tail.is_some()
    }

    pub(super) fn tail(&self) -> Option<&Tail> {
        self.tail.as_deref()
    }

    pub(super) fn tail_mut(&mut self) -> Option<&mut Tail> {
        self.tail.as_deref_mut()
    }

    /// The tail, or one that begins with `order`.
    pub(super) fn tail_from(&mut self, order: u64) -> &mut Tail {
        self.tail.get_or_insert_with(|| Box::new(Tail::new(order)))
    }

    pub(super) fn restore_tail(&mut self, tail: Tail) {
        self.tail = Some(Box::new(tail));
    }

    /// Whether there is a tail, and nothing of it can have its turn now.
    pub(super) fn turn_to_tail(&mut self) -> bool {
        let Some(tail) = &self.tail else { return false };
        let all_kept = self.entries.is_empty() && tail.unread() == 0 && tail.load.is_none();
        if all_kept {
            self.end_tail();
        }
        !all_kept
    }

    /// Entries of the tail that stayed in memory and stand before `order` have their turn.
    pub(super) fn take_kept(&mut self, order: u64) {
        while let Some(entry) = self.tail.as_mut().and_then(|tail| tail.kept_before(order)) {
            self.push(entry);
        }
    }

    /// Nothing of the tail is on the log alone, or what is cannot be had: it ends.
    pub(super) fn end_tail(&mut self) -> Option<Box<Tail>> {
        self.take_kept(u64::MAX);
        self.tail.take()
    }

    /// The session ends: what of the tail is in memory goes with the rest that is, and what is on
    /// the log alone stands in the tail as before, wherever in between.
    pub(super) fn leave_tail(&mut self) -> Option<Box<Tail>> {
        let mut tail = self.tail.take()?;
        tail.leave_kept().into_iter().for_each(|entry| self.push(entry));
        Some(tail)
    }

    pub(super) fn can_expire(&self) -> bool {
        self.expiring > 0
    }

    pub(super) fn has_qos0(&self) -> bool {
        self.qos0 > 0
    }

    pub(super) fn push(&mut self, entry: Queued) {
        self.qos0 += u32::from(entry.qos == QoS::AtMostOnce);
        self.bytes += entry.cost_bytes();
        self.expiring += u32::from(entry.message.expires() != Time::NEVER);
        self.entries.push_back(entry);
    }

    pub(super) fn front(&self) -> Option<&Queued> {
        self.entries.front()
    }

    pub(super) fn pop(&mut self) -> Option<Queued> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.cost_bytes();
        self.expiring -= u32::from(entry.message.expires() != Time::NEVER);
        self.qos0 -= u32::from(entry.qos == QoS::AtMostOnce);
        if self.entries.is_empty() {
            self.entries = VecDeque::new(); // an idle session owns no buffer
        }
        Some(entry)
    }

    /// Takes out what has expired.
    pub(super) fn expire(&mut self, now: Time, mut dropped: impl FnMut(Queued)) {
        let Self { entries, tail, .. } = std::mem::take(self);
        let mut kept = Self { tail, ..Self::default() };
        for entry in entries {
            if entry.message.is_expired(now) {
                dropped(entry);
            } else {
                kept.push(entry);
            }
        }
        *self = kept;
    }

    /// Those in memory.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Queued> {
        self.entries.iter().chain(self.tail.iter().flat_map(|tail| tail.kept()))
    }
}

/// One Session.
#[derive(Debug)]
pub struct Session {
    pub(super) client_id: StdArc<str>,
    /// `None`: an anonymous client's, which may do everything.
    pub(super) rights: Option<Box<Rights>>,
    pub(super) link: Option<LinkKey>,
    /// Session Expiry Interval in force, in seconds.
    pub(super) expiry_s: u32,
    /// What the log calls it, 0 if it does not know it.
    pub(super) number: SessionNumber,
    /// The number of the last queue entry that the log was told of.
    pub(super) last_order: u64,
    /// When the link was lost.
    pub(super) offline_since: Time,
    /// The timer armed for it, `Time::NEVER` if none.
    pub(super) timer: Time,
    pub(super) outbound: Outbound,
    pub(super) inbound: Inbound,
    pub(super) queue: Queue,
    /// Retained messages that are to be sent; mostly none.
    pub(super) replays: Option<Box<Replays>>,
    pub(super) subscriptions: IdList,
    /// How many of them are shared.
    pub(super) shared: u32,
    pub(super) will: Option<Box<WillRecord>>,
    /// When the Will is due, once the link is lost.
    pub(super) will_at: Time,
    /// Counted as an online member in its groups.
    pub(super) counted_online: bool,
    /// Stands in the list of sessions that have more to send than one call may take.
    pub(super) in_work: bool,
    /// It lasted, and its client, which came back with a Session Expiry Interval of 0, was not
    /// answered yet: a crash brings it back.
    pub(super) lasts_still: bool,
    /// Its queue takes no more: publishers are refused.
    pub(super) full: bool,
    /// Its class has changed since what it is to be sent came.
    pub(super) recheck: bool,
}

impl Session {
    pub(super) fn new(client_id: &str) -> Self {
        Self {
            client_id: client_id.into(),
            rights: None,
            link: None,
            expiry_s: 0,
            number: SessionNumber::default(),
            last_order: 0,
            offline_since: Time(0),
            timer: Time::NEVER,
            outbound: Outbound::default(),
            inbound: Inbound::default(),
            queue: Queue::default(),
            replays: None,
            subscriptions: IdList::default(),
            shared: 0,
            will: None,
            will_at: Time::NEVER,
            counted_online: false,
            in_work: false,
            lasts_still: false,
            full: false,
            recheck: false,
        }
    }

    /// Whether it outlives its Network Connection, and so is kept on disk.
    pub(super) fn is_persistent(&self) -> bool {
        self.expiry_s > 0
    }

    /// Whether what it is to get is kept on disk: it outlives its Network Connection, or a crash.
    pub(super) fn is_kept(&self) -> bool {
        self.expiry_s > 0 || self.lasts_still
    }

    /// Whether the log knows it: then its end, and what ends in it, has to be recorded too.
    pub(super) fn is_recorded(&self) -> bool {
        self.number != SessionNumber::default()
    }

    /// When it ends if nobody comes back \[MQTT-4.1.0-2\].
    pub(super) fn ends_at(&self) -> Time {
        match (self.link, self.expiry_s) {
            (Some(_), _) | (None, u32::MAX) => Time::NEVER,
            (None, s) => self.offline_since.plus_s(u64::from(s)),
        }
    }

    /// How many PUBLISHes sent on the present link are unacknowledged. Deliveries that wait for
    /// PUBCOMP are not among them: PUBREL is sent whatever the window is (section 4.9).
    pub(super) fn publishes_under_way(&self) -> usize {
        self.outbound.iter().filter(|(_, e)| e.sent && e.stage != Stage::Release).count()
    }

    /// Whether retained messages are to be sent.
    pub(super) fn has_replays(&self) -> bool {
        self.replays.as_ref().is_some_and(|replays| !replays.is_empty())
    }

    /// Whether there is something to send once there is room.
    pub(super) fn has_more(&self) -> bool {
        !self.queue.is_empty() || self.outbound.has_unsent()
    }
}
