//! Messages that the log alone gets: topic and payload, one behind the other in blocks of memory.
//!
//! May use: the message, `codec`, `topic`, bytes. What is queued for one client that is away, and
//! whose queue has left memory, is written by another thread, and forgotten: it needs no
//! allocation of its own, and what is read in the order in which it lies is read fast.
//!
//! Invariants: a plain message has no properties, no expiry and no RETAIN flag; a block is free
//! when the last of its messages is written, and none is kept that was not used since a sweep.

use bytes::{BufMut, Bytes, BytesMut};

use super::message::{INLINE_PAYLOAD_BYTES_MAX, Message, MessageParts};
use super::time::Time;
use crate::codec::{Properties, QoS};
use crate::topic::TopicName;

/// How large a block is.
const BLOCK_BYTES: usize = 32 << 10;

/// A message that nobody but the log has.
#[derive(Clone, Debug)]
pub struct PlainMessage {
    /// topic and payload
    bytes: Bytes,
    topic_len: u16,
    qos: QoS,
}

impl PlainMessage {
    /// Copies `parts`, of which nothing but QoS, topic and payload is kept. `None`: there is more
    /// to them, or the payload is longer than `INLINE_PAYLOAD_BYTES_MAX`.
    pub fn of(parts: &MessageParts<'_>) -> Option<Self> {
        Block::takes(parts).then(|| Block::default().message(parts))
    }

    /// The QoS it was published with.
    pub fn qos(&self) -> QoS {
        self.qos
    }

    /// Its topic, valid as a Topic Name.
    pub fn topic_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.topic_len)]
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[usize::from(self.topic_len)..]
    }

    /// What it counts for in budgets, in bytes: as much as any other message.
    pub fn cost_bytes(&self) -> usize {
        Message::cost_of(self.bytes.len())
    }

    /// The same as a message that others can have too. `scratch` is overwritten.
    pub fn to_message(&self, scratch: &mut Vec<u8>) -> Message {
        let topic = std::str::from_utf8(self.topic_bytes()).unwrap_or_default(); // it was a `str`
        let parts = MessageParts {
            qos: self.qos,
            retain: false,
            expires: Time::NEVER,
            topic: TopicName::from_validated(topic),
            publisher: 0,
            properties: Properties::default(),
            payload: self.payload(),
        };
        Message::new(&parts, scratch)
    }
}

/// Where the next ones go.
#[derive(Debug, Default)]
pub(super) struct Block {
    free: BytesMut,
    /// nothing went there since the last sweep
    idle: bool,
}

impl Block {
    /// Whether a message of these parts can be a plain one.
    pub(super) fn takes(parts: &MessageParts<'_>) -> bool {
        !parts.retain
            && parts.expires == Time::NEVER
            && parts.properties.as_bytes().is_empty()
            && parts.payload.len() <= INLINE_PAYLOAD_BYTES_MAX
    }

    /// Copies the message there.
    pub(super) fn message(&mut self, parts: &MessageParts<'_>) -> PlainMessage {
        let topic = parts.topic.as_str().as_bytes();
        let len = topic.len() + parts.payload.len();
        if self.free.capacity() < len {
            self.free = BytesMut::with_capacity(BLOCK_BYTES.max(len));
        }
        self.idle = false;
        self.free.put_slice(topic);
        self.free.put_slice(parts.payload);
        let bytes = self.free.split().freeze();
        PlainMessage { bytes, topic_len: topic.len() as u16, qos: parts.qos }
    }

    /// Lets go of a block that was not used since this was called last.
    pub(super) fn sweep(&mut self) {
        if std::mem::replace(&mut self.idle, true) {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_lie_in_blocks_and_say_what_they_were() {
        let mut block = Block::default();
        let mut all = Vec::new();
        for n in 0..500_usize {
            let (topic, payload) = (format!("a/{n}"), vec![n as u8; n % 300]);
            let topic = TopicName::new(&topic).unwrap();
            let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][n % 2];
            let properties = Properties::default();
            let expires = Time::NEVER;
            let (retain, publisher, payload) = (false, 0, &payload[..]);
            let parts =
                MessageParts { qos, retain, expires, topic, publisher, properties, payload };
            assert!(Block::takes(&parts));
            assert!(!Block::takes(&MessageParts { retain: true, ..parts }));
            assert!(!Block::takes(&MessageParts { expires: Time(1), ..parts }));
            assert!(!Block::takes(&MessageParts { payload: &[0; 5_000], ..parts }));
            let plain = block.message(&parts);
            let message = plain.to_message(&mut Vec::new());
            assert_eq!((message.topic(), message.payload()), (topic, payload));
            assert_eq!((message.topic_bytes(), message.qos()), (plain.topic_bytes(), qos));
            assert_eq!(message.cost_bytes(), plain.cost_bytes());
            assert!(!message.retain() && message.properties().is_empty());
            all.push(plain);
        }
        assert!(all.iter().enumerate().all(|(n, plain)| plain.payload() == vec![n as u8; n % 300]));
        let in_order = |p: &&[PlainMessage]| {
            p[0].bytes.as_ptr().wrapping_add(p[0].bytes.len()) == p[1].bytes.as_ptr()
        };
        assert!(all.windows(2).filter(in_order).count() > 490);
        block.sweep();
        assert!(block.free.capacity() > 0);
        block.sweep();
        assert_eq!(block.free.capacity(), 0);
    }
}
