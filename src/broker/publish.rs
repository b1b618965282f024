//! PUBLISH: from the publisher's packet to every session, group and shard that it concerns, and
//! the publisher's acknowledgement through the gate.
//!
//! Invariants: a retained message is set before it is forwarded; an acknowledgement names
//! everything that was kept for it before it may leave.

use std::rc::Rc;

use super::inflight::InboundId;
use super::input::{
    Effects, LinkKey, PeerMessage, ReceiptFor, ReceiptWhen, SealKey, SessionKey, ShardId, WaitKey,
};
use super::link::{Hold, Link};
use super::message::{Message, MessageParts, is_well_formed};
use super::pending::{HeldPacket, Until};
use super::publication::Publication;
use super::record::Record;
use super::safety::Safety;
use super::session::Session;
use super::shared::Group;
use super::subscriptions::{GroupId, Matched, NoLocal};
use super::void::Span;
use super::{Broker, Common, Refusal, Time, refusal};
use crate::codec::{Publish, QoS, ReasonCode};
use crate::topic::TopicName;

/// How long after its expiry a message may still arrive from another shard.
const LATE_BETWEEN_SHARDS_MS: u64 = 1_000;

impl Broker {
    /// A PUBLISH of a client (section 3.3). An error ends the link.
    pub(super) fn on_publish(
        &mut self,
        now: Time,
        link: LinkKey,
        p: &Publish<'_>,
        common: &mut impl Common,
        fx: &mut Effects,
    ) -> Result<(), Refusal> {
        self.counters.publish_received += 1;
        self.counters.publish_bytes_received += p.payload.len() as u64;
        let aliased;
        let topic = match (p.topic, p.topic_alias) {
            (Some(topic), None) => topic,
            (topic, alias) => {
                aliased = self.resolve_alias(link, topic, alias)?;
                TopicName::from_validated(&aliased)
            }
        };
        let Some(l) = self.links.get_mut(link) else { return Ok(()) };
        let session = l.session;
        if l.has_inbound
            && let (Some(id), Some(s)) = (p.packet_id, self.sessions.get_mut(session))
            && let Some(&mut known) = s.inbound.get_mut(id)
        {
            return self.on_known_id(now, link, topic, p.qos, known, fx);
        }
        if p.packet_id.is_some() {
            if l.version.is_v5() && l.inbound_used >= l.receive_maximum {
                return Err(refusal(
                    ReasonCode::ReceiveMaximumExceeded,
                    "more QoS 1 and 2 messages under way than Receive Maximum [MQTT-3.3.4-7]",
                ));
            }
            l.inbound_used = l.inbound_used.saturating_add(1);
        }
        let (is_v5, checks) = (l.version.is_v5(), l.checks);
        // Of what is neither acknowledged nor kept nobody asks.
        let safety = match self.links.get(link) {
            Some(l) if p.qos != QoS::AtMostOnce || p.retain => self.safety_of(l, topic, p.qos),
            _ => Safety::default(),
        };
        if let Some(reason) = self.refused(p, topic, is_v5)? {
            self.acknowledge(now, link, p, reason, Until::default(), fx);
            return Ok(());
        }
        let matched = self.matched(Some(link), topic, common);
        if checks != 0 && !self.passes(now, (link, session), p, topic, &matched, fx)? {
            return Ok(());
        }
        if p.qos != QoS::AtMostOnce
            && let Some(lack) = self.lacks_room((link, session), p, safety, &matched)
        {
            self.refuse_for_room(now, link, p, lack, fx);
            return Ok(());
        }
        let parts = MessageParts {
            qos: p.qos,
            retain: p.retain,
            expires: p.message_expiry_s.map_or(Time::NEVER, |s| now.plus_s(u64::from(s))),
            // Only what is retained is asked later whose it was.
            publisher: if p.retain { self.publisher_of(session) } else { 0 },
            topic,
            properties: p.properties,
            payload: p.payload,
        };
        let publication = Publication::of_packet(parts, safety, session, &mut self.scratch);
        self.take(now, link, p, publication, &matched, common, fx);
        Ok(())
    }

    /// A PUBLISH that is not refused goes to everybody whom it concerns.
    #[expect(clippy::too_many_arguments, reason = "the second half of `on_publish`")]
    fn take(
        &mut self,
        now: Time,
        link: LinkKey,
        p: &Publish<'_>,
        mut publication: Publication<'_>,
        matched: &Matched,
        common: &mut impl Common,
        fx: &mut Effects,
    ) {
        let Some(Link { session, version, .. }) = self.links.get(link) else { return };
        let (session, is_v5, before) = (*session, version.is_v5(), self.seq);
        let (reason, until) = match self.store_retained(now, &mut publication, is_v5, common, fx) {
            Ok(()) => {
                publication.exactly_once = p.qos == QoS::ExactlyOnce
                    && self.sessions.get(session).is_some_and(Session::is_persistent);
                let reason = self.route(now, &mut publication, matched, fx);
                let records = self.since(before);
                if !records.is_empty() && self.is_store_behind() {
                    self.hold_for_store(link, fx);
                }
                if let (Some(id), true) = (p.packet_id, publication.is_unsealed()) {
                    self.seal_with_identifier(&mut publication, session, id);
                }
                let (wait, safety) = (publication.wait, publication.safety);
                (reason, Until { records, wait, safety, interest: 0 })
            }
            Err(reason) => (reason, Until::default()),
        };
        self.acknowledge(now, link, p, reason, until, fx);
    }

    /// The keyed hash of a session's Client Identifier: what its retained messages are known by.
    pub(super) fn publisher_of(&self, session: SessionKey) -> u64 {
        self.sessions.get(session).map_or(0, |s| self.publisher_hash(&s.client_id) | 1)
    }

    /// Topic Alias (section 3.3.2.3.4): the topic that is meant.
    fn resolve_alias(
        &mut self,
        link: LinkKey,
        topic: Option<TopicName<'_>>,
        alias: Option<std::num::NonZeroU16>,
    ) -> Result<Rc<str>, Refusal> {
        let invalid = |what| refusal(ReasonCode::TopicAliasInvalid, what);
        let alias = alias.map_or(0, |a| a.get());
        let Some(l) = self.links.get_mut(link) else { return Err(invalid("no link")) };
        if alias == 0 || alias > l.alias_in_max {
            return Err(invalid("Topic Alias above Topic Alias Maximum [MQTT-3.3.2-9]"));
        }
        let at = usize::from(alias) - 1;
        let aliases = &mut l.aliases().incoming;
        if let Some(topic) = topic {
            if aliases.len() <= at {
                aliases.resize(at + 1, None);
            }
            match &mut aliases[at] {
                Some(known) if **known == *topic.as_str() => {}
                slot => *slot = Some(topic.as_str().into()),
            }
        }
        match aliases.get(at) {
            Some(Some(known)) => Ok(Rc::clone(known)),
            _ => Err(refusal(
                ReasonCode::ProtocolError,
                "a Topic Alias that was never given a Topic Name (3.3.2.3.4)",
            )),
        }
    }

    /// A PUBLISH under an identifier that a QoS 2 exchange has in use.
    fn on_known_id(
        &mut self,
        now: Time,
        link: LinkKey,
        topic: TopicName<'_>,
        qos: QoS,
        known: InboundId,
        fx: &mut Effects,
    ) -> Result<(), Refusal> {
        let Some(l) = self.links.get_mut(link) else { return Ok(()) };
        if l.is_held(Hold::Refused) {
            return Ok(()); // its answer would overtake one that never comes [MQTT-4.6.0-3]
        }
        if qos != QoS::ExactlyOnce && !l.version.is_v5() {
            // To acknowledge it without delivering it would lose it, and 3.x can say no more.
            return Err(refusal(
                ReasonCode::PacketIdentifierInUse,
                "QoS 1 under a Packet Identifier that a QoS 2 message has [MQTT-2.2.1-3]",
            ));
        }
        if qos != QoS::ExactlyOnce {
            l.inbound_used = l.inbound_used.saturating_add(1);
            let packet = HeldPacket::PubAck(known.id, ReasonCode::PacketIdentifierInUse);
            self.send_when(now, link, packet, Until::default(), fx);
            return Ok(());
        }
        if !known.counted {
            if l.version.is_v5() && l.inbound_used >= l.receive_maximum {
                return Err(refusal(
                    ReasonCode::ReceiveMaximumExceeded,
                    "more QoS 2 messages sent again than Receive Maximum [MQTT-3.3.4-7]",
                ));
            }
            l.inbound_used += 1;
            let session = l.session;
            if let Some(id) =
                self.sessions.get_mut(session).and_then(|s| s.inbound.get_mut(known.id))
            {
                id.counted = true;
            }
        }
        // No second delivery [MQTT-4.3.3-10]; the answer waits for what the first one waits for.
        let packet = HeldPacket::PubRec(known.id, ReasonCode::Success);
        let Some(l) = self.links.get(link) else { return Ok(()) };
        let safety = self.safety_of(l, topic, qos);
        let until = Until { records: known.records, wait: known.wait, safety, interest: 0 };
        self.send_when(now, link, packet, until, fx);
        Ok(())
    }

    /// What the broker does not take: the reason code for the acknowledgement. For QoS 0, which
    /// has none, and where the specification wants it, an error that ends the link.
    fn refused(
        &mut self,
        p: &Publish<'_>,
        topic: TopicName<'_>,
        is_v5: bool,
    ) -> Result<Option<ReasonCode>, Refusal> {
        if p.retain && !self.limits.retain_available && is_v5 {
            return Err(refusal(
                ReasonCode::RetainNotSupported,
                "RETAIN where CONNACK said Retain Available 0 [MQTT-3.2.2-14]",
            ));
        }
        if is_dollar_sys(topic) {
            self.counters.dropped_dollar_sys += 1;
            return Ok(Some(ReasonCode::NotAuthorized));
        }
        if !is_well_formed(p.properties, p.payload) {
            let reason = ReasonCode::PayloadFormatInvalid;
            return match p.qos {
                QoS::AtMostOnce => Err(refusal(
                    reason,
                    "Payload Format Indicator 1 and a payload that is not UTF-8 (3.3.2.3.2)",
                )),
                _ => Ok(Some(reason)),
            };
        }
        Ok(None)
    }

    /// PUBACK or PUBREC, once `until` is met.
    pub(super) fn acknowledge(
        &mut self,
        now: Time,
        link: LinkKey,
        p: &Publish<'_>,
        reason: ReasonCode,
        mut until: Until,
        fx: &mut Effects,
    ) {
        let Some(packet_id) = p.packet_id else { return };
        let Some(l) = self.links.get_mut(link) else { return };
        // 3.x has no reason codes: what is refused is acknowledged, and counted.
        let reason = if l.version.is_v5() { reason } else { ReasonCode::Success };
        if p.qos == QoS::AtLeastOnce {
            self.send_when(now, link, HeldPacket::PubAck(packet_id, reason), until, fx);
            return;
        }
        let session = l.session;
        l.has_inbound |= !reason.is_error();
        if !reason.is_error()
            && let Some(s) = self.sessions.get_mut(session)
        {
            // With receipts to come that seal it, the record comes with the seal.
            let wait = until.wait.and_then(|wait| self.gate.waits.get(wait));
            let seals = wait.is_some_and(|wait| wait.then.is_some());
            let number = (s.is_persistent() && !seals).then_some(s.number);
            if let Some(session) = number {
                let before = self.seq;
                self.record(fx, Record::Inbound { session, packet_id, seals: None });
                until.records = until.records.and(self.since(before));
            }
            if let Some(s) = self.sessions.get_mut(session) {
                let (records, wait) = (until.records, until.wait);
                s.inbound.insert(InboundId { id: packet_id, counted: true, records, wait });
            }
            if let Some(wait) = until.wait.filter(|_| seals) {
                self.complete_wait(now, wait, fx);
            }
        }
        self.send_when(now, link, HeldPacket::PubRec(packet_id, reason), until, fx);
    }

    /// Delivers to everybody whom the topic concerns. Returns the reason code for the
    /// acknowledgement.
    fn route(
        &mut self,
        now: Time,
        publication: &mut Publication<'_>,
        matched: &Matched,
        fx: &mut Effects,
    ) -> ReasonCode {
        let mut anybody = !matched.groups.is_empty() || !matched.peers.present.is_empty();
        if publication.exactly_once && self.reaches_durable_peers(matched) {
            publication.when = Some(ReceiptWhen::Unsealed);
        }
        let ends = matched.groups.is_empty() && matched.peers.present.is_empty();
        let mut left = matched.receivers.len();
        for r in &matched.receivers {
            left -= 1;
            publication.next_is_last(ends && left == 0);
            let r = match r.no_local {
                NoLocal::Never => r,
                _ if publication.publisher != Some(r.session) => r,
                NoLocal::All => continue, // [MQTT-3.8.3-3]
                NoLocal::Some => {
                    let Some(own) = matched.own_receiver(r.session) else { continue };
                    own
                }
            };
            anybody = true;
            let retain = r.retain_as_published && publication.retain();
            let extra = r.extra.as_ref();
            self.deliver(now, r.session, publication, r.qos, retain, extra, fx);
        }
        for &group in &matched.groups {
            self.route_shared(now, group, publication, fx);
        }
        for shard in matched.peers.present.iter() {
            let durable = matched.peers.durable.contains(shard);
            self.publish_to_peer(shard, durable, publication, fx);
        }
        if anybody { ReasonCode::Success } else { ReasonCode::NoMatchingSubscribers }
    }

    /// Whether another shard may record something for it.
    fn reaches_durable_peers(&self, matched: &Matched) -> bool {
        let shared = |&group: &GroupId| {
            self.subscriptions.groups.get(group as usize).is_some_and(Group::has_remotes)
        };
        !matched.peers.durable.is_empty() || matched.groups.iter().any(shared)
    }

    fn publish_to_peer(
        &mut self,
        shard: ShardId,
        durable: bool,
        publication: &mut Publication<'_>,
        fx: &mut Effects,
    ) {
        if !self.may_send_to(shard, publication, fx) {
            return;
        }
        let message = publication.message(&mut self.spent, &mut self.scratch);
        self.peer_bytes[usize::from(shard.0)] += message.cost_bytes();
        // What is not sealed is so on all shards, though some may keep nothing.
        let asks = durable || publication.is_unsealed();
        let receipt = if asks { self.ask_receipt(publication) } else { None };
        fx.peers.push((shard, PeerMessage::Publish { message, receipt }));
    }

    /// Another shard's publication, for this shard's own subscriptions.
    pub(super) fn on_peer_publish(
        &mut self,
        now: Time,
        from: ShardId,
        message: &Message,
        receipt: Option<ReceiptFor>,
        common: &mut impl Common,
        fx: &mut Effects,
    ) {
        self.give_credit(from, message.cost_bytes(), fx);
        if self.is_too_late(now, message) {
            self.answer_receipt(now, from, receipt, Default::default(), None, fx);
            return;
        }
        let mut publication = Publication::of(message);
        publication.when = receipt.map(|receipt| receipt.when);
        publication.ends_there = true;
        let matched = self.matched(None, message.topic(), common);
        let before = self.seq;
        let mut left = matched.receivers.len();
        for r in &matched.receivers {
            left -= 1;
            publication.next_is_last(left == 0);
            let retain = r.retain_as_published && message.retain();
            let (qos, extra) = (r.qos, r.extra.as_ref());
            self.deliver(now, r.session, &mut publication, qos, retain, extra, fx);
        }
        let (records, safety) = (self.since(before), message.safety());
        self.answer_receipt(now, from, receipt, (records, safety), publication.seal, fx);
    }

    /// Whether a message has expired on a long way between shards \[MQTT-3.3.2-5\]: it is dropped.
    /// On a short one it has not: who publishes with 0 reaches those who are there, on all shards.
    pub(super) fn is_too_late(&mut self, now: Time, message: &Message) -> bool {
        let late = message.expires().plus_ms(LATE_BETWEEN_SHARDS_MS) <= now;
        self.counters.dropped_expired += u64::from(late);
        late
    }

    /// Sends the receipt that was asked for: at once, or once `records` are as safe, or void.
    pub(super) fn answer_receipt(
        &mut self,
        now: Time,
        to: ShardId,
        receipt: Option<ReceiptFor>,
        (records, safety): (Span, Safety),
        seal: Option<SealKey>,
        fx: &mut Effects,
    ) {
        let Some(ReceiptFor { wait, when }) = receipt else { return };
        if when == ReceiptWhen::Committed && !self.gate.settled.covers(records, safety) {
            fx.sync |= safety == Safety::Synced;
            let due = &mut self.receipts_due[usize::from(safety == Safety::Synced)];
            due.push_back((records, to, wait));
        } else {
            self.send_receipt(now, to, wait, seal, fx);
        }
    }

    fn send_receipt(
        &mut self,
        now: Time,
        to: ShardId,
        wait: WaitKey,
        seal: Option<SealKey>,
        fx: &mut Effects,
    ) {
        if to == self.shard {
            self.on_receipt(now, to, wait, seal, fx);
        } else {
            fx.peers.push((to, PeerMessage::Receipt { wait, seal }));
        }
    }

    /// Sends the receipts whose records are safe or void now, those of a kind in the order in which
    /// they were asked for.
    pub(super) fn send_receipts(&mut self, now: Time, fx: &mut Effects) {
        for (at, safety) in [Safety::Written, Safety::Synced].into_iter().enumerate() {
            while let Some(&(records, to, wait)) = self.receipts_due[at].front()
                && self.gate.settled.covers(records, safety)
            {
                self.receipts_due[at].pop_front();
                self.send_receipt(now, to, wait, None, fx);
            }
        }
    }

    /// Publishes a message of the broker's own: `$SYS`, or the Will of a session, which is gone for
    /// the log once others have recorded it.
    pub(super) fn publish_own(
        &mut self,
        now: Time,
        message: &Message,
        publisher: Option<SessionKey>,
        common: &mut impl Common,
        fx: &mut Effects,
    ) {
        let mut publication = Publication::of(message);
        // No Local and quotas ask for the Client Identifier [MQTT-3.8.3-3].
        publication.publisher = publisher.map(|session| self.present_session(session));
        if publisher.and_then(|p| self.sessions.get(p)).is_some_and(Session::is_recorded) {
            publication.when = Some(ReceiptWhen::Recorded);
            publication.exactly_once = message.qos() == QoS::ExactlyOnce;
        }
        // A retained message that finds no room is still forwarded: nobody could be told.
        let _ = self.store_retained(now, &mut publication, false, common, fx);
        let matched = self.matched(None, publication.topic(), common);
        self.route(now, &mut publication, &matched, fx);
        if let Some(session) = publisher {
            self.will_goes(now, &mut publication, session, fx);
        }
    }
}

/// Whether only the broker may publish there (section 4.7.2).
pub(super) fn is_dollar_sys(topic: TopicName<'_>) -> bool {
    let topic = topic.as_str();
    topic.strip_prefix("$SYS").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
