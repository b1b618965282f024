//! An Application Message: one reference-counted allocation that in-flight entries, queues, the
//! retained tree, other shards and the log share.
//!
//! May use: `codec`, `topic`. Invariant: the bytes never change; topic and properties were
//! validated when the message was built. Only the number that the log gives it comes later.

use std::sync::atomic::{AtomicU64, Ordering};

use triomphe::ThinArc;

use super::safety::Safety;
use super::time::Time;
use crate::codec::{Properties, Property, QoS};
use crate::topic::TopicName;

/// Payloads longer than this many bytes are not copied into a receiver's output buffer: the
/// buffer refers to the message instead. So are property blocks, with the payload behind them.
pub const INLINE_PAYLOAD_BYTES_MAX: usize = 2048;

#[derive(Debug)]
struct Meta {
    expires: Time,
    publisher: u64,
    /// What the log calls it, 0 before it was written there.
    number: AtomicU64,
    properties_len: u32,
    topic_len: u16,
    qos: QoS,
    /// RETAIN, two bits of the safety, and from the fourth on how many bytes of the allocation stay
    /// free at its end
    flags: u8,
}

/// Messages with so many bytes of topic, properties and payload leave their memory to others.
const REUSED_BYTES_MAX: usize = 1032;
/// Sizes of such memory differ by so many bytes. It begins behind 48 bytes, and the allocator puts
/// 8 before those: with 8 bytes more than a multiple of 16, what is left free costs nothing.
const ROOM_STEP_BYTES: usize = 16;
const ROOM_BYTES_MIN: usize = 8;
const FREE_SHIFT: u32 = 3;

const CACHE_LINE_BYTES: usize = 64;
/// So many cache lines are read beforehand; of what is longer the processor sees by itself that it
/// is read in order.
const TOUCHED_LINES_MAX: usize = 8;

impl Meta {
    fn of(parts: &MessageParts<'_>, safety: Safety, properties_len: usize, free: usize) -> Self {
        Self {
            expires: parts.expires,
            publisher: parts.publisher,
            number: AtomicU64::new(0),
            properties_len: properties_len as u32,
            topic_len: parts.topic.as_str().len() as u16,
            qos: parts.qos,
            flags: u8::from(parts.retain) | safety.bits() << 1 | (free as u8) << FREE_SHIFT,
        }
    }
}

/// An Application Message. Cloning it costs one atomic increment.
#[derive(Clone, Debug)]
pub struct Message(ThinArc<Meta, u8>);

/// What a [`Message`] is made of.
#[derive(Clone, Copy, Debug)]
pub struct MessageParts<'a> {
    /// QoS it was published with
    pub qos: QoS,
    /// RETAIN flag it was published with
    pub retain: bool,
    /// when it expires, [`Time::NEVER`] if it does not
    pub expires: Time,
    /// Topic Name
    pub topic: TopicName<'a>,
    /// the keyed hash of the publisher's Client Identifier, 0 if nobody's: what No Local asks for
    pub publisher: u64,
    /// properties as they were received; only those that are forwarded are kept
    pub properties: Properties<'a>,
    /// payload
    pub payload: &'a [u8],
}

impl Message {
    /// Copies `parts` into one allocation. `scratch` is overwritten; it is an argument so that its
    /// memory is reused.
    pub fn new(parts: &MessageParts<'_>, scratch: &mut Vec<u8>) -> Self {
        Self::with_safety(parts, Safety::default(), scratch)
    }

    /// The same for a message that is not to be as safe as most are.
    pub fn with_safety(parts: &MessageParts<'_>, safety: Safety, scratch: &mut Vec<u8>) -> Self {
        scratch.clear();
        scratch.extend_from_slice(parts.topic.as_str().as_bytes());
        parts.properties.forwarded(scratch);
        let properties_len = scratch.len() - parts.topic.as_str().len();
        scratch.extend_from_slice(parts.payload);
        let room = Self::room_for(scratch.len()).map_or(scratch.len(), Self::room_bytes);
        let meta = Meta::of(parts, safety, properties_len, room - scratch.len());
        scratch.resize(room, 0);
        Self(ThinArc::from_header_and_slice(meta, scratch))
    }

    /// In which size of memory so many bytes of topic, properties and payload are, if that may
    /// serve again.
    pub(super) fn room_for(bytes: usize) -> Option<usize> {
        let at = (bytes + ROOM_STEP_BYTES - 1 - ROOM_BYTES_MIN) / ROOM_STEP_BYTES;
        (bytes <= REUSED_BYTES_MAX).then_some(at)
    }

    /// How many bytes memory of that size has for them.
    pub(super) fn room_bytes(at: usize) -> usize {
        ROOM_BYTES_MIN + at * ROOM_STEP_BYTES
    }

    /// In which size of memory it is, if that may serve another message: nobody else has this one.
    pub(super) fn reusable_as(&self) -> Option<usize> {
        let room = self.0.slice.len();
        (room <= REUSED_BYTES_MAX && ThinArc::strong_count(&self.0) == 1)
            .then(|| (room - ROOM_BYTES_MIN) / ROOM_STEP_BYTES)
    }

    /// Becomes the message of `parts` in its own memory, which is of the right size, if nobody else
    /// has it. `properties`: those that are forwarded.
    pub(super) fn rewrite(
        &mut self,
        parts: &MessageParts<'_>,
        safety: Safety,
        properties: &[u8],
    ) -> bool {
        self.0.with_arc_mut(|arc| {
            let Some(inner) = triomphe::Arc::get_mut(arc) else { return false };
            let topic = parts.topic.as_str().as_bytes();
            let len = topic.len() + properties.len() + parts.payload.len();
            let Some(free) = inner.length().checked_sub(len).filter(|n| *n < ROOM_STEP_BYTES)
            else {
                return false;
            };
            *inner.header_mut() = Meta::of(parts, safety, properties.len(), free);
            let (own_topic, rest) = inner.slice_mut().split_at_mut(topic.len());
            let (own_properties, rest) = rest.split_at_mut(properties.len());
            own_topic.copy_from_slice(topic);
            own_properties.copy_from_slice(properties);
            rest[..parts.payload.len()].copy_from_slice(parts.payload);
            true
        })
    }

    /// The QoS it was published with.
    pub fn qos(&self) -> QoS {
        self.0.header.header.qos
    }

    /// The RETAIN flag it was published with.
    pub fn retain(&self) -> bool {
        self.0.header.header.flags & 1 != 0
    }

    /// How safe it is to be. One that came out of the log is as safe as can be: it is there.
    pub fn safety(&self) -> Safety {
        Safety::from_bits(self.0.header.header.flags >> 1 & 3)
    }

    /// The keyed hash of its publisher's Client Identifier, 0 if nobody's.
    pub fn publisher(&self) -> u64 {
        self.0.header.header.publisher
    }

    /// When it expires; [`Time::NEVER`] if it does not.
    pub fn expires(&self) -> Time {
        self.0.header.header.expires
    }

    /// Whether its Message Expiry Interval has passed \[MQTT-3.3.2-5\].
    pub fn is_expired(&self, now: Time) -> bool {
        self.expires() <= now
    }

    /// The Message Expiry Interval to send: what is left, in whole seconds, rounded up so that a
    /// message that is still alive never says 0 \[MQTT-3.3.2-6\].
    pub fn expiry_left_s(&self, now: Time) -> Option<u32> {
        expiry_left_s(self.expires(), now)
    }

    /// The same message with another expiry: a Will's starts when it is published.
    pub fn expiring_at(&self, expires: Time, scratch: &mut Vec<u8>) -> Self {
        let parts = MessageParts {
            qos: self.qos(),
            retain: self.retain(),
            expires,
            publisher: self.publisher(),
            topic: self.topic(),
            properties: Properties::from_validated(self.properties()),
            payload: self.payload(),
        };
        Self::with_safety(&parts, self.safety(), scratch)
    }

    /// What says that nothing is retained under its topic any more.
    pub(super) fn cleared(&self, scratch: &mut Vec<u8>) -> Self {
        let parts = MessageParts {
            qos: QoS::AtMostOnce,
            retain: true,
            expires: Time::NEVER,
            publisher: 0,
            topic: self.topic(),
            properties: Properties::default(),
            payload: &[],
        };
        Self::new(&parts, scratch)
    }

    /// What the log calls it; 0 if it was never written there. The log may have forgotten it since.
    pub fn number(&self) -> u64 {
        self.0.header.header.number.load(Ordering::Relaxed)
    }

    /// Notes what the log calls it, for everybody who shares it. One thread writes the log, and the
    /// number says nothing about other memory: no order is needed.
    pub fn set_number(&self, number: u64) {
        self.0.header.header.number.store(number, Ordering::Relaxed);
    }

    /// Reads a byte of each cache line that it fills, so that they are there when it is needed.
    /// What comes back means nothing.
    pub(crate) fn touch(&self) -> u8 {
        let lines = self.0.slice.iter().step_by(CACHE_LINE_BYTES).take(TOUCHED_LINES_MAX);
        lines.fold(0, |all, byte| all ^ byte)
    }

    /// Its topic as text, valid as a Topic Name.
    pub fn topic_str(&self) -> &str {
        let bytes = &self.0.slice[..self.topic_len()];
        std::str::from_utf8(bytes).unwrap_or_default() // it was a `str`
    }

    /// Its topic as bytes: what comparisons need.
    pub fn topic_bytes(&self) -> &[u8] {
        &self.0.slice[..self.topic_len()]
    }

    /// Its Topic Name.
    pub fn topic(&self) -> TopicName<'_> {
        TopicName::from_validated(self.topic_str())
    }

    /// The encoded properties that are forwarded with it.
    pub fn properties(&self) -> &[u8] {
        let start = self.topic_len();
        &self.0.slice[start..start + self.0.header.header.properties_len as usize]
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        let start = self.topic_len() + self.0.header.header.properties_len as usize;
        &self.0.slice[start..self.len()]
    }

    /// The properties and the payload, one behind the other as in a packet.
    pub fn properties_and_payload(&self) -> &[u8] {
        &self.0.slice[self.topic_len()..self.len()]
    }

    /// What it counts for in budgets, in bytes: everything it holds, and its own overhead.
    pub fn cost_bytes(&self) -> usize {
        Self::cost_of(self.len())
    }

    /// What a message counts for whose topic, properties and payload are `bytes` together.
    pub fn cost_of(bytes: usize) -> usize {
        size_of::<Meta>() + 2 * size_of::<usize>() + bytes
    }

    /// Whether both are the same allocation.
    pub fn same(a: &Self, b: &Self) -> bool {
        std::ptr::eq(a.0.slice.as_ptr(), b.0.slice.as_ptr())
    }

    /// Topic, properties and payload together.
    fn len(&self) -> usize {
        self.0.slice.len() - usize::from(self.0.header.header.flags >> FREE_SHIFT)
    }

    fn topic_len(&self) -> usize {
        usize::from(self.0.header.header.topic_len)
    }
}

/// What is left until `expires`, in whole seconds, rounded up; `None` if that is never.
pub(super) fn expiry_left_s(expires: Time, now: Time) -> Option<u32> {
    match expires {
        Time::NEVER => None,
        at => Some(at.ms_since(now).div_ceil(1000).min(u64::from(u32::MAX)) as u32),
    }
}

/// Whether the payload is what the Payload Format Indicator says (3.3.2.3.2).
pub(super) fn is_well_formed(properties: Properties<'_>, payload: &[u8]) -> bool {
    properties.as_bytes().is_empty()
        || !properties.iter().any(|p| p == Property::PayloadFormatIndicator(true))
        || std::str::from_utf8(payload).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back() {
        let parts = MessageParts {
            qos: QoS::AtLeastOnce,
            retain: true,
            expires: Time(5000),
            publisher: 0,
            topic: TopicName::new("a/ü").unwrap(),
            properties: Properties::default(),
            payload: b"hello",
        };
        let m = Message::new(&parts, &mut Vec::new());
        assert_eq!((m.topic_str(), m.payload(), m.properties()), ("a/ü", &b"hello"[..], &b""[..]));
        assert_eq!((m.qos(), m.retain()), (QoS::AtLeastOnce, true));
        assert_eq!(m.expiry_left_s(Time(3001)), Some(2));
        assert!(!m.is_expired(Time(4999)) && m.is_expired(Time(5000)));
        assert_eq!(size_of::<Message>(), 8);
    }
}
