//! SUBSCRIBE and UNSUBSCRIBE, and the retained messages that a new subscription is sent.
//!
//! Invariant: retained messages are read only after SUBACK has left, that is after the interest is
//! in force on every shard; none is dropped: the reading pauses when the client is slow.

use triomphe::Arc;

use super::index::InterestIndex;
use super::input::{Effects, LinkKey, SessionKey};
use super::link::CLASSED;
use super::pending::{HeldPacket, HeldSubAck, Until};
use super::record::Record;
use super::replays::{Replay, Wanted};
use super::retained::{RetainedPage, RetainedStore};
use super::session::{Extra, Session};
use super::subscriptions::Subscribed;
use super::{Broker, Common, Time};
use crate::codec::{
    QoS, ReasonCode, RetainHandling, Subscribe, SubscriptionOptions, Unsubscribe, Version,
};
use crate::topic::{SubscriptionFilter, TopicFilter};

/// How many retained messages are read at a time.
const REPLAY_BATCH_MAX: usize = 64;
/// How many batches one turn takes before others have theirs.
const REPLAY_BATCHES_PER_TURN: usize = 8;

/// What one filter of a SUBSCRIBE came to.
struct Granted {
    reason: ReasonCode,
    until: Until,
    replay: Option<Replay>,
}

impl Granted {
    fn refused(reason: ReasonCode) -> Self {
        Self { reason, until: Until::default(), replay: None }
    }
}

impl Broker {
    /// SUBSCRIBE (section 3.8): each filter as if it came alone \[MQTT-3.8.4-5\].
    pub(super) fn on_subscribe(
        &mut self,
        now: Time,
        link: LinkKey,
        packet: &Subscribe<'_>,
        index: &mut impl InterestIndex,
        fx: &mut Effects,
    ) {
        let Some(l) = self.links.get(link) else { return };
        let (session, bridge, version) = (l.session, l.is_bridge(), l.version);
        let (safety, classed) = (self.safety_of_link(l), l.checks & CLASSED != 0);
        let class = self.sessions.get(session).and_then(Session::class).filter(|_| classed);
        let may = match class {
            None => Vec::new(),
            Some(_) => match self.may_subscribe(now, link, class, packet, fx) {
                Some(may) => may,
                None => return self.leave_packet(link, None, fx),
            },
        };
        let mut ack = HeldSubAck {
            packet_id: packet.packet_id,
            reasons: Vec::with_capacity(packet.filters.len()),
            replays: Vec::new(),
        };
        let mut until = Until { safety, ..Until::default() };
        for (at, (filter, options)) in packet.filters.iter().enumerate() {
            let mut options = *options;
            if bridge {
                // A bridge gets nothing back that it sent, and RETAIN flags as they are.
                options.no_local = filter.share.is_none();
                options.retain_as_published = true;
            }
            let id = packet.subscription_id.unwrap_or(0);
            let granted = if may.get(at) == Some(&false) {
                self.counters.refused_not_authorized += 1;
                Granted::refused(ReasonCode::NotAuthorized)
            } else {
                self.subscribe_one(session, filter, options, id, index, fx)
            };
            until.records = until.records.and(granted.until.records);
            until.interest = until.interest.max(granted.until.interest);
            ack.reasons.push(granted.reason);
            ack.replays.extend(granted.replay);
        }
        if version == Version::V31 {
            // 3.1 has no failure code; what is refused is granted QoS 0 and never sent anything.
            let grant = |r: &mut ReasonCode| {
                if r.is_error() {
                    *r = ReasonCode::Success;
                }
            };
            ack.reasons.iter_mut().for_each(grant);
        }
        self.send_when(now, link, HeldPacket::SubAck(Box::new(ack)), until, fx);
    }

    fn subscribe_one(
        &mut self,
        session: SessionKey,
        filter: &SubscriptionFilter<'_>,
        options: SubscriptionOptions,
        id: u32,
        index: &mut impl InterestIndex,
        fx: &mut Effects,
    ) -> Granted {
        if filter.filter.level_count() > self.limits.filter_levels_max {
            self.counters.refused_subscriptions += 1;
            return Granted::refused(ReasonCode::TopicFilterInvalid);
        }
        let Some(s) = self.sessions.get(session) else {
            return Granted::refused(ReasonCode::UnspecifiedError);
        };
        if self.no_room && s.is_persistent() {
            self.counters.refused_no_room += 1;
            return Granted::refused(ReasonCode::QuotaExceeded);
        }
        let full = s.subscriptions.len() >= self.subscriptions_max_of(s)
            || self.subscriptions.len() >= self.limits.subscriptions_max
            || self.counters.subscription_bytes as usize + filter.text.len()
                > self.limits.subscription_bytes_max;
        if full && self.subscriptions.find(session, &s.subscriptions, filter, index).is_none() {
            self.counters.refused_subscriptions += 1;
            return Granted::refused(ReasonCode::QuotaExceeded);
        }
        let (number, before) = (s.is_persistent().then_some(s.number), self.seq);
        let put = self.put_subscription(session, filter, options, id, index, fx);
        let Some((done, interest)) = put else {
            return Granted::refused(ReasonCode::UnspecifiedError);
        };
        if let Some(session) = number {
            let (filter, id) = (filter.text.into(), (id != 0).then_some(id));
            self.record(fx, Record::Subscribed { session, filter, options, id });
        }
        let until = Until { records: self.since(before), interest, ..Until::default() };
        let reason = match options.qos {
            QoS::AtMostOnce => ReasonCode::Success,
            QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
            QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
        };
        let replay = self.ask_for_retained(session, filter, options, id, &done);
        Granted { reason, until, replay }
    }

    /// Makes or replaces a Subscription. Returns what that did, and the version of the interest to
    /// wait for.
    pub(super) fn put_subscription(
        &mut self,
        session: SessionKey,
        filter: &SubscriptionFilter<'_>,
        options: SubscriptionOptions,
        id: u32,
        index: &mut impl InterestIndex,
        fx: &mut Effects,
    ) -> Option<(Subscribed, u64)> {
        let s = self.sessions.get_mut(session)?;
        let (whose, own) = ((session, s.is_persistent()), &mut s.subscriptions);
        let done = self.subscriptions.subscribe(whose, own, filter, options, id, index);
        s.shared += u32::from(filter.share.is_some() && !done.existed);
        if !done.existed {
            self.counters.subscription_bytes += filter.text.len() as u64;
        }
        self.counters.subscriptions = self.subscriptions.len() as u64;
        if done.group.is_none() && self.sessions.get(session).is_some_and(|s| s.full) {
            self.subscriptions.set_full(done.sub, true, index);
        }
        let interest = match done.group {
            None => self.tell_interest(done.node, index, fx),
            Some(group) => self.recount_group(group, fx),
        };
        Some((done, interest))
    }

    /// The retained messages that a Subscription asks for: none for a shared one (section 4.8.2),
    /// the others by Retain Handling \[MQTT-3.3.1-9\] to \[MQTT-3.3.1-11\]. Those that the one
    /// before it asked for, and that are not sent yet, go out as this one wants them, or from the
    /// first on if it asks anew.
    fn ask_for_retained(
        &mut self,
        session: SessionKey,
        filter: &SubscriptionFilter<'_>,
        options: SubscriptionOptions,
        id: u32,
        done: &Subscribed,
    ) -> Option<Replay> {
        let s = self.sessions.get_mut(session).filter(|_| filter.share.is_none())?;
        let asks = match options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => !done.existed,
            RetainHandling::DoNotSend => false,
        };
        let extra = (id != 0).then(|| Arc::new(Extra { subscription_ids: vec![id], group: None }));
        let wanted = Wanted { qos: options.qos, no_local: options.no_local, extra };
        match &mut s.replays {
            replays if asks => {
                self.replays_asked += 1;
                let replays = replays.get_or_insert_default();
                Some(replays.ask(done.sub, self.replays_asked, filter.text, wanted))
            }
            Some(replays) => {
                replays.change(done.sub, wanted);
                None
            }
            None => None,
        }
    }

    /// SUBACK has left: the retained messages may be read. Those of filters that were unsubscribed
    /// while it waited are not among them any more \[MQTT-3.10.4-2\].
    pub(super) fn start_replays(&mut self, link: LinkKey, replays: Vec<Replay>) {
        let Some(session) = self.links.get(link).map(|l| l.session) else { return };
        let Some(s) = self.sessions.get_mut(session) else { return };
        let Some(all) = s.replays.as_mut().filter(|_| !replays.is_empty()) else { return };
        all.start(replays);
        self.more_work(session);
    }

    /// Sends retained messages while there is room. True if it has to be called again though
    /// nothing else happens.
    pub(super) fn replay(
        &mut self,
        now: Time,
        session: SessionKey,
        common: &mut impl Common,
        fx: &mut Effects,
    ) -> bool {
        let mut batch = std::mem::take(&mut self.batch);
        let mut goes_on = true;
        for _ in 0..REPLAY_BATCHES_PER_TURN {
            goes_on = self.replay_batch(now, session, common, &mut batch, fx);
            if !goes_on {
                break;
            }
        }
        self.batch = batch;
        goes_on
    }

    fn replay_batch(
        &mut self,
        now: Time,
        session: SessionKey,
        common: &mut impl Common,
        batch: &mut Vec<super::Message>,
        fx: &mut Effects,
    ) -> bool {
        let Some(s) = self.sessions.get_mut(session) else { return false };
        let Some(l) = s.link.and_then(|l| self.links.get(l)).filter(|l| l.ready) else {
            return false;
        };
        let Some(replays) = &mut s.replays else { return false };
        let Some((replay, wanted)) = replays.front() else {
            if replays.is_unused() {
                s.replays = None;
            }
            return false;
        };
        if !self.limits.lets_out(&fx.sends, l.key) {
            if let Some(outbox) = fx.sends.outbox_mut(l.key) {
                outbox.wants_room = true;
            }
            return false;
        }
        let page = match wanted.qos {
            QoS::AtMostOnce => RetainedPage {
                count_max: REPLAY_BATCH_MAX,
                bytes_max: self.limits.output_bytes_max,
            },
            // Behind the queue, and within the send quota; an acknowledgement comes back here.
            _ if !s.queue.is_empty() || s.outbound.has_unsent() || !s.outbound.has_free_id() => {
                return false;
            }
            _ => {
                let window = usize::from(l.window.saturating_sub(s.outbound.used()));
                let bytes_max = self.limits.room_under_way(s.outbound.bytes(), &self.counters);
                RetainedPage { count_max: window.min(REPLAY_BATCH_MAX), bytes_max }
            }
        };
        if page.count_max == 0 || page.bytes_max == 0 {
            return false;
        }
        let text = std::rc::Rc::clone(&replay.filter);
        let Ok(filter) = TopicFilter::new(&text) else { return false };
        let (qos, no_local, extra) = (wanted.qos, wanted.no_local, wanted.extra.clone());
        batch.clear();
        let more = common.retained().read(filter, &mut replay.cursor, page, now, batch);
        if !more {
            replays.front_is_done();
        }
        let own = if no_local { self.publisher_of(session) } else { 0 };
        for message in batch.drain(..) {
            let may = self.may_receive(session, message.topic());
            if may && (own == 0 || message.publisher() != own) {
                self.send_retained(now, session, message, qos, extra.clone(), fx);
            }
        }
        more || self.sessions.get(session).is_some_and(|s| s.replays.is_some())
    }

    /// UNSUBSCRIBE (section 3.10). Messages that are queued or in flight are still delivered
    /// \[MQTT-3.10.4-3\].
    pub(super) fn on_unsubscribe(
        &mut self,
        now: Time,
        link: LinkKey,
        packet: &Unsubscribe<'_>,
        index: &mut impl InterestIndex,
        fx: &mut Effects,
    ) {
        let Some(l) = self.links.get(link) else { return };
        let (session, safety, before) = (l.session, self.safety_of_link(l), self.seq);
        let mut reasons = Vec::with_capacity(packet.filters.len());
        for filter in &packet.filters {
            let Some(s) = self.sessions.get(session) else { return };
            let Some(sub) = self.subscriptions.find(session, &s.subscriptions, filter, index)
            else {
                reasons.push(ReasonCode::NoSubscriptionExisted);
                continue;
            };
            self.drop_subscription(session, sub, index, fx);
            reasons.push(ReasonCode::Success);
            if let Some(s) = self.sessions.get(session).filter(|s| s.is_persistent()) {
                let (session, filter) = (s.number, filter.text.into());
                self.record(fx, Record::Unsubscribed { session, filter });
            }
        }
        let until = Until { records: self.since(before), safety, ..Until::default() };
        let packet = HeldPacket::UnsubAck(Box::new((packet.packet_id, reasons)));
        self.send_when(now, link, packet, until, fx);
    }

    fn drop_subscription(
        &mut self,
        session: SessionKey,
        sub: u32,
        index: &mut impl InterestIndex,
        fx: &mut Effects,
    ) {
        let Some(s) = self.sessions.get_mut(session) else { return };
        let Some(gone) = self.subscriptions.remove(sub, &mut s.subscriptions, index) else {
            return;
        };
        s.shared -= u32::from(gone.group.is_some());
        if let Some(replays) = &mut s.replays {
            replays.end(sub);
        }
        self.counters.subscription_bytes -= u64::from(gone.text_len);
        self.counters.subscriptions = self.subscriptions.len() as u64;
        match gone.group {
            None => self.tell_interest(gone.node, index, fx),
            Some(group) => self.recount_group(group, fx),
        };
        self.subscriptions.prune(gone.node, gone.group, index);
    }

    /// Drops all subscriptions of a session that ends.
    pub(super) fn drop_subscriptions(
        &mut self,
        session: SessionKey,
        index: &mut impl InterestIndex,
        fx: &mut Effects,
    ) {
        while let Some(&sub) = self.sessions.get(session).and_then(|s| s.subscriptions.last()) {
            self.drop_subscription(session, sub, index, fx);
        }
    }
}
