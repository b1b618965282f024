//! One message on its way to all its receivers: encoded once for all of a kind, copied into
//! something that outlives the call only when somebody needs that.
//!
//! May use: `codec`, messages, the outboxes. Invariant: what is made of it is made once.

use triomphe::Arc;

use super::Time;
use super::input::{ReceiptWhen, SealKey, SessionKey, WaitKey};
use super::message::{INLINE_PAYLOAD_BYTES_MAX, Message, MessageParts};
use super::plain::Block;
use super::safety::Safety;
use super::sends::{Referred, Sends};
use super::spent::Spent;
use crate::codec::{Properties, PublishHead, QoS, Version};
use crate::topic::TopicName;

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
    /// the end of its packets, once an outbox refers to it: the payload, or the properties too
    referred: [Option<Arc<Referred>>; 2],
    /// nobody needs it behind its last receiver
    pub(super) ends_there: bool,
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
    pub(super) fn of_packet(
        parts: MessageParts<'a>,
        safety: Safety,
        publisher: SessionKey,
        scratch: &mut Vec<u8>,
    ) -> Self {
        let waits = parts.qos != QoS::AtMostOnce && safety != Safety::Memory;
        let when = waits.then_some(ReceiptWhen::Committed);
        let (publisher, ends_there) = (Some(publisher), true);
        let mut this = Self { publisher, when, ends_there, ..Self::new(parts, safety) };
        // Properties need filtering once: then the message's own copy is the one to use.
        if !this.parts.properties.as_bytes().is_empty() {
            this.message = Some(Message::with_safety(&this.parts, safety, scratch));
        }
        this
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
            referred: [None, None],
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

    /// What comes behind a head of this version that was written to an outbox, for that to refer
    /// to; nothing if it was copied.
    pub(super) fn referred(
        &mut self,
        version: Version,
        sends: &Sends,
        spent: &mut Spent,
        scratch: &mut Vec<u8>,
    ) -> Option<Arc<Referred>> {
        if self.is_inline(version) {
            return None;
        }
        let with_properties = self.forwarded_follows(version);
        let kind = usize::from(with_properties);
        if self.referred[kind].is_none() {
            let message = self.message(spent, scratch);
            self.referred[kind] = Some(sends.refer(message, with_properties));
        }
        self.referred[kind].clone()
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
    pub(super) fn next_is_last(&mut self, last: bool) {
        self.is_last = last && self.ends_there && !self.is_unsealed();
    }

    fn forwarded(&self) -> &[u8] {
        self.message.as_ref().map_or(&[], Message::properties)
    }

    fn expiry_left_s(&self, now: Time) -> Option<u32> {
        super::message::expiry_left_s(self.parts.expires, now)
    }

    /// The head for a receiver that needs one of its own.
    pub(super) fn head<'b>(
        &'b self,
        now: Time,
        version: Version,
        qos: QoS,
        retain: bool,
    ) -> PublishHead<'b> {
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
            forwarded_follows: self.forwarded_follows(version),
            payload_len: self.parts.payload.len(),
        }
    }

    /// Whether properties are too long to be copied with the head.
    fn forwarded_follows(&self, version: Version) -> bool {
        version.is_v5() && self.forwarded().len() > INLINE_PAYLOAD_BYTES_MAX
    }

    /// Whether all that comes behind the head is copied.
    pub(super) fn is_inline(&self, version: Version) -> bool {
        self.parts.payload.len() <= INLINE_PAYLOAD_BYTES_MAX && !self.forwarded_follows(version)
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
        let mut head = self.head(now, version, qos, retain);
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
        if self.is_inline(version) {
            encoded.extend_from_slice(self.parts.payload);
        }
        let variant = Variant { start, end: encoded.len(), packet_id_at, packet_len };
        self.variants[kind] = Some(variant);
        variant
    }
}
