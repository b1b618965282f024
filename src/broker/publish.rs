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
use super::message::{INLINE_PAYLOAD_BYTES_MAX, Message, MessageParts, is_well_formed};
use super::pending::{HeldPacket, Until};
use super::plain::Block;
use super::record::Record;
use super::safety::Safety;
use super::session::Session;
use super::shared::Group;
use super::spent::Spent;
use super::subscriptions::{GroupId, Matched, NoLocal};
use super::void::Span;
use super::{Broker, Common, Refusal, Time, refusal};
use crate::codec::{Properties, Publish, PublishHead, QoS, ReasonCode, Version};
use crate::topic::TopicName;

/// How long after its expiry a message may still arrive from another shard.
const LATE_BETWEEN_SHARDS_MS: u64 = 1_000;

/// A PUBLISH encoded without what differs from receiver to receiver.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variant {
    pub(super) start: usize,
    pub(super) end: usize,
    /// where the Packet Identifier stands, from `start`
    pub(super) packet_id_at: usize,
    /// the whole packet's length, payload included
    pub(super) packet_len: usize,
}

/// One message on its way to all its receivers in this call.
#[derive(Debug)]
pub(super) struct Publication<'a> {
    parts: MessageParts<'a>,
    pub(super) safety: Safety,
    /// made when the first receiver needs it to outlive the call
    message: Option<Message>,
    /// nobody needs it behind its last receiver
    ends_there: bool,
    /// the next receiver is that
    is_last: bool,
    /// by version class, QoS > 0, RETAIN: where it stands in the broker's `encoded`
    variants: [Option<Variant>; 8],
    pub(super) publisher: Option<SessionKey>,
    /// what receipts somebody waits for, if anybody does
    pub(super) when: Option<ReceiptWhen>,
    /// it counts on all shards or on none
    pub(super) exactly_once: bool,
    pub(super) wait: Option<WaitKey>,
    /// what its entries on this shard wait for
    pub(super) seal: Option<SealKey>,
}

impl<'a> Publication<'a> {
    /// Of a packet that the client `publisher` sent; it waits for an acknowledgement if QoS > 0,
    /// and if anything of it is recorded.
    fn of_packet(
        parts: MessageParts<'a>,
        safety: Safety,
        publisher: SessionKey,
        scratch: &mut Vec<u8>,
    ) -> Self {
        // Properties need filtering once: then the message's own copy is the one to use.
        let message = (!parts.properties.as_bytes().is_empty())
            .then(|| Message::with_safety(&parts, safety, scratch));
        let waits = parts.qos != QoS::AtMostOnce && safety != Safety::Memory;
        let when = waits.then_some(ReceiptWhen::Committed);
        let (publisher, ends_there) = (Some(publisher), true);
        Self { message, publisher, when, ends_there, ..Self::new(parts, safety) }
    }

    /// Of a message that exists already; nobody waits for an acknowledgement.
    pub(super) fn of(message: &'a Message) -> Self {
        let parts = MessageParts {
            qos: message.qos(),
            retain: message.retain(),
            expires: message.expires(),
            publisher: message.publisher(),
            topic: message.topic(),
            properties: Properties::default(),
            payload: message.payload(),
        };
        Self { message: Some(message.clone()), ..Self::new(parts, message.safety()) }
    }

    fn new(parts: MessageParts<'a>, safety: Safety) -> Self {
        Self {
            parts,
            safety,
            message: None,
            ends_there: false,
            is_last: false,
            variants: [None; 8],
            publisher: None,
            when: None,
            exactly_once: false,
            wait: None,
            seal: None,
        }
    }

    /// Whether its entries count only once it is sealed.
    pub(super) fn is_unsealed(&self) -> bool {
        self.when == Some(ReceiptWhen::Unsealed)
    }

    pub(super) fn qos(&self) -> QoS {
        self.parts.qos
    }

    pub(super) fn retain(&self) -> bool {
        self.parts.retain
    }

    pub(super) fn topic(&self) -> TopicName<'a> {
        self.parts.topic
    }

    pub(super) fn payload_len(&self) -> usize {
        self.parts.payload.len()
    }

    /// The message as something that outlives this call.
    pub(super) fn message(&mut self, spent: &mut Spent, scratch: &mut Vec<u8>) -> Message {
        let Self { parts, safety, message, .. } = self;
        message.get_or_insert_with(|| spent.message(parts, *safety, scratch)).clone()
    }

    /// The same for a receiver that it is not written to now: the last one gets it without a count.
    pub(super) fn message_for(&mut self, spent: &mut Spent, scratch: &mut Vec<u8>) -> Message {
        if !self.is_last {
            return self.message(spent, scratch);
        }
        self.message.take().unwrap_or_else(|| spent.message(&self.parts, self.safety, scratch))
    }

    /// What it is made of, if the next receiver is the only one, and the log could have it alone.
    pub(super) fn as_plain(&self) -> Option<&MessageParts<'a>> {
        let is_plain = self.is_last && self.message.is_none() && Block::takes(&self.parts);
        is_plain.then_some(&self.parts)
    }

    /// Whether the next of its receivers is the last one that needs it.
    fn next_is_last(&mut self, last: bool) {
        self.is_last = last && self.ends_there && !self.is_unsealed();
    }

    fn forwarded(&self) -> &[u8] {
        self.message.as_ref().map_or(&[], Message::properties)
    }

    fn expiry_left_s(&self, now: Time) -> Option<u32> {
        super::message::expiry_left_s(self.parts.expires, now)
    }

    /// The head for a receiver that needs one of its own.
    pub(super) fn head<'b>(&'b self, now: Time, qos: QoS, retain: bool) -> PublishHead<'b> {
        PublishHead {
            dup: false,
            qos,
            retain,
            topic: Some(self.parts.topic),
            packet_id: None,
            topic_alias: None,
            message_expiry_s: self.expiry_left_s(now),
            subscription_ids: &[],
            forwarded: self.forwarded(),
            payload_len: self.parts.payload.len(),
        }
    }

    /// Whether the payload is copied behind the head.
    pub(super) fn is_inline(&self) -> bool {
        self.parts.payload.len() <= INLINE_PAYLOAD_BYTES_MAX
    }

    /// The payload.
    pub(super) fn payload(&self) -> &'a [u8] {
        self.parts.payload
    }

    /// The packet for all receivers of one kind, encoded once.
    pub(super) fn variant(
        &mut self,
        now: Time,
        version: Version,
        qos: QoS,
        retain: bool,
        encoded: &mut Vec<u8>,
    ) -> Variant {
        let acked = qos != QoS::AtMostOnce;
        let kind =
            usize::from(version.is_v5()) | usize::from(acked) << 1 | usize::from(retain) << 2;
        if let Some(variant) = self.variants[kind] {
            return variant;
        }
        if self.variants.iter().all(Option::is_none) {
            encoded.clear();
        }
        let start = encoded.len();
        let qos = if acked { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        let mut head = self.head(now, qos, retain);
        head.packet_id = acked.then_some(crate::codec::PacketId::MIN);
        let packet_len = head.packet_len(version);
        head.encode(version, encoded);
        let fixed = match packet_len {
            0..=129 => 2,
            130..=16_386 => 3,
            16_387..=2_097_155 => 4,
            _ => 5,
        };
        let packet_id_at = fixed + 2 + self.parts.topic.as_str().len();
        if self.is_inline() {
            encoded.extend_from_slice(self.parts.payload);
        }
        let variant = Variant { start, end: encoded.len(), packet_id_at, packet_len };
        self.variants[kind] = Some(variant);
        variant
    }
}

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
