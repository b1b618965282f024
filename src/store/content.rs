//! A message as it stands on disk: written from one in memory, read back in place; and the clock
//! that its expiry is on.
//!
//! May use: `wire`, the broker's messages, `codec` and `topic` for the checks. Invariant: a
//! [`Message`] is built only from a topic and properties that are valid.

use super::options::qos;
use super::stored::{COPIED, RETAIN, flag, kind};
use super::wire::{CRC_BYTES, Garbled, Reader, put_bytes, put_varint, text, varint_len};
use crate::broker::{Message, MessageParts, PlainMessage, Time};
use crate::codec::{Properties, QoS};
use crate::topic::TopicName;

const EXPIRES: u8 = 8;
const PUBLISHER: u8 = 16;

/// The process's clock and the log's, which goes on over restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timeline {
    /// The log's time minus the process's, in milliseconds.
    pub(super) offset_ms: i64,
}

impl Timeline {
    /// The log's time. A process that starts with another zero may be before the log's: then it
    /// is at the log's zero.
    pub(super) fn log_ms(self, time: Time) -> u64 {
        time.0.saturating_add_signed(self.offset_ms)
    }

    /// The process's time; 0 for what was before it.
    pub(super) fn time(self, log_ms: u64) -> Time {
        match self.offset_ms.checked_neg() {
            Some(back) => Time(log_ms.saturating_add_signed(back)),
            None => Time::NEVER,
        }
    }
}

/// A message on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content<'a> {
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) publisher: u64,
    /// on the log's clock
    pub(super) expires_ms: Option<u64>,
    /// the cleaner wrote it
    pub(super) copied: bool,
    /// a Topic Name, valid if it was not read from a disk
    pub(super) topic: &'a [u8],
    pub(super) properties: &'a [u8],
    pub(super) payload: &'a [u8],
}

impl<'a> Content<'a> {
    pub(super) fn of(message: &'a Message, timeline: Timeline) -> Self {
        Self {
            qos: message.qos(),
            retain: message.retain(),
            publisher: message.publisher(),
            expires_ms: (message.expires() != Time::NEVER)
                .then(|| timeline.log_ms(message.expires())),
            copied: false,
            topic: message.topic_bytes(),
            properties: message.properties(),
            payload: message.payload(),
        }
    }

    pub(super) fn of_plain(message: &'a PlainMessage) -> Self {
        Self {
            qos: message.qos(),
            retain: false,
            publisher: 0,
            expires_ms: None,
            copied: false,
            topic: message.topic_bytes(),
            properties: &[],
            payload: message.payload(),
        }
    }

    /// Topic, properties and payload together: what `Message::cost_of` takes.
    pub(super) fn bytes(&self) -> usize {
        self.topic.len() + self.properties.len() + self.payload.len()
    }

    pub(super) fn is_expired(&self, log_now: u64) -> bool {
        self.expires_ms.is_some_and(|at| at <= log_now)
    }

    pub(super) fn note(&self, number: u64) -> MessageNote {
        let bytes = u32::try_from(self.bytes()).unwrap_or(u32::MAX);
        MessageNote { number, bytes, copied: self.copied }
    }

    /// How many bytes `put` appends.
    fn len(&self) -> usize {
        let publisher = if self.publisher != 0 { size_of::<u64>() } else { 0 };
        let prefixes =
            varint_len(self.topic.len() as u64) + varint_len(self.properties.len() as u64);
        1 + publisher + self.expires_ms.map_or(0, varint_len) + prefixes + self.bytes()
    }

    /// Appends the record of the message with this number, without its checksum, for which there is
    /// room. Returns where what is to be checked begins.
    #[inline]
    pub(super) fn put_record(&self, number: u64, out: &mut Vec<u8>) -> usize {
        // Its length is known before, so that a long payload is copied once.
        let len = varint_len(number) + self.len() + CRC_BYTES;
        out.reserve(len + 11);
        out.push(kind::MESSAGE);
        put_varint(out, len as u64);
        let start = out.len();
        put_varint(out, number);
        self.put(out);
        out.extend_from_slice(&[0; CRC_BYTES]);
        debug_assert_eq!(out.len() - start, len, "the length of a message");
        start
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let flags = self.qos as u8
            | flag(self.retain, RETAIN)
            | flag(self.expires_ms.is_some(), EXPIRES)
            | flag(self.publisher != 0, PUBLISHER)
            | flag(self.copied, COPIED);
        out.push(flags);
        if self.publisher != 0 {
            out.extend_from_slice(&self.publisher.to_le_bytes());
        }
        if let Some(ms) = self.expires_ms {
            put_varint(out, ms);
        }
        put_bytes(out, self.topic);
        put_bytes(out, self.properties);
        out.extend_from_slice(self.payload);
    }

    /// Its topic as text.
    pub(super) fn topic_str(&self) -> &'a str {
        text(self.topic).unwrap_or_default() // it was one when it was read
    }

    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, Garbled> {
        let flags = r.u8()?;
        if flags & !(3 | RETAIN | EXPIRES | PUBLISHER | COPIED) != 0 {
            return Err(Garbled("a message with unknown flags"));
        }
        Ok(Self {
            qos: qos(flags)?,
            retain: flags & RETAIN != 0,
            publisher: if flags & PUBLISHER != 0 { r.u64()? } else { 0 },
            expires_ms: if flags & EXPIRES != 0 { Some(r.varint()?) } else { None },
            copied: flags & COPIED != 0,
            topic: text(r.prefixed()?)?.as_bytes(),
            properties: r.prefixed()?,
            payload: r.rest(),
        })
    }

    /// The message, with this number. `None` if topic or properties are not valid.
    pub(super) fn build(
        &self,
        number: u64,
        timeline: Timeline,
        scratch: &mut Vec<u8>,
    ) -> Option<Message> {
        let parts = MessageParts {
            qos: self.qos,
            retain: self.retain,
            expires: self.expires_ms.map_or(Time::NEVER, |ms| timeline.time(ms)),
            topic: TopicName::new(self.topic_str()).ok()?,
            publisher: self.publisher,
            properties: Properties::check_forwarded(self.properties).ok()?,
            payload: self.payload,
        };
        let message = Message::new(&parts, scratch);
        message.set_number(number);
        Some(message)
    }
}

/// What the index keeps of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct MessageNote {
    pub(super) number: u64,
    /// see `Content::bytes`
    pub(super) bytes: u32,
    pub(super) copied: bool,
}
