//! PUBLISH (section 3.3): the packet that is decoded and encoded most.
//!
//! May use: `primitive`, `property`, `topic`. Invariant: decoding allocates nothing and looks at
//! each byte of the topic twice (UTF-8, then characters) and at none of the payload; a
//! [`PublishHead`] is written in one pass.

use std::num::NonZeroU16;

use super::packet::{PacketId, Publish, QoS, Sender, Version};
use super::primitive::{
    Reader, append, append_word, malformed, protocol_error, varint_bytes, varint_len,
};
use super::property::{self, IdSet, Properties, Property, id};
use super::{DecodeError, PUBLISH};
use crate::topic::TopicName;

const DUP: u8 = 0b1000;
const RETAIN: u8 = 0b0001;

pub(super) const QOS_3: DecodeError = malformed("PUBLISH with QoS 3 [MQTT-3.3.1-4]");
pub(super) const QOS_0_WITH_DUP: DecodeError =
    malformed("PUBLISH with QoS 0 and the DUP flag [MQTT-3.3.1-2]");

/// All of an outgoing PUBLISH but its payload, for one receiver.
#[derive(Clone, Copy, Debug)]
pub struct PublishHead<'a> {
    /// DUP flag
    pub dup: bool,
    /// QoS
    pub qos: QoS,
    /// RETAIN flag
    pub retain: bool,
    /// The Topic Name; `None` for an empty one, beside a Topic Alias
    pub topic: Option<TopicName<'a>>,
    /// there exactly when QoS > 0
    pub packet_id: Option<PacketId>,
    /// Topic Alias
    pub topic_alias: Option<u16>,
    /// Message Expiry Interval in seconds
    pub message_expiry_s: Option<u32>,
    /// Subscription Identifiers
    pub subscription_ids: &'a [u32],
    /// Encoded properties that go out as they are (`Properties::forwarded`)
    pub forwarded: &'a [u8],
    /// `forwarded` is counted and not written: it follows with the payload
    pub forwarded_follows: bool,
    /// Length of the payload in bytes
    pub payload_len: usize,
}

/// Decodes what follows the fixed header, whose first byte is `first`.
#[inline]
pub(super) fn decode(
    first: u8,
    body: &[u8],
    sender: Sender,
    version: Version,
) -> Result<Publish<'_>, DecodeError> {
    let dup = first & DUP != 0;
    let qos = match first >> 1 & 3 {
        0 if dup => return Err(QOS_0_WITH_DUP),
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        2 => QoS::ExactlyOnce,
        _ => return Err(QOS_3),
    };
    let mut r = Reader::new(body);
    let topic = r.topic_name()?;
    let packet_id = if qos == QoS::AtMostOnce { None } else { Some(r.packet_id()?) };
    let (mut topic_alias, mut message_expiry_s) = (None, None);
    let properties = if version.is_v5() {
        property::read(&mut r, IdSet::publish(sender), |p| match p {
            Property::TopicAlias(alias) => topic_alias = NonZeroU16::new(alias),
            Property::MessageExpiryInterval(seconds) => message_expiry_s = Some(seconds),
            _ => {}
        })?
    } else {
        Properties::default()
    };
    if topic.is_none() && topic_alias.is_none() {
        return Err(no_topic(version));
    }
    let retain = first & RETAIN != 0;
    let payload = r.rest();
    Ok(Publish {
        dup,
        qos,
        retain,
        topic,
        packet_id,
        topic_alias,
        message_expiry_s,
        properties,
        payload,
    })
}

#[cold]
fn no_topic(version: Version) -> DecodeError {
    if version.is_v5() {
        protocol_error("PUBLISH with neither Topic Name nor Topic Alias (section 3.3.2.1)")
    } else {
        malformed("PUBLISH with an empty Topic Name [MQTT-4.7.3-1]")
    }
}

fn first_byte(dup: bool, qos: QoS, retain: bool) -> u8 {
    PUBLISH << 4 | u8::from(dup) << 3 | (qos as u8) << 1 | u8::from(retain)
}

/// Appends a whole PUBLISH. Topic Alias and Message Expiry Interval are written from the fields
/// only if the property block lacks them.
///
/// Most have neither, a short property block or none, and at most 16 KiB: those are written here,
/// each part without asking what it may be.
#[inline(always)]
pub(super) fn encode(p: &Publish<'_>, version: Version, out: &mut Vec<u8>) {
    let block = if version.is_v5() { p.properties.as_bytes() } else { &[] };
    let topic = p.topic.map_or("", TopicName::as_str).as_bytes();
    let fixed = 2 + if p.packet_id.is_some() { 2 } else { 0 } + usize::from(version.is_v5());
    let remaining = fixed + topic.len() + block.len() + p.payload.len();
    let plain = p.topic_alias.is_none() && p.message_expiry_s.is_none();
    if !plain || remaining >= TWO_BYTES_END || block.len() >= ONE_BYTE_END {
        return encode_any(p, version, out);
    }
    out.reserve(8 + remaining);
    let first = u64::from(first_byte(p.dup, p.qos, p.retain));
    let topic_len = u64::from((topic.len() as u16).swap_bytes());
    let len = remaining as u64;
    if remaining < ONE_BYTE_END {
        append_word(out, first | len << 8 | topic_len << 16, 4);
    } else {
        let (low, high) = (len & 0x7F | 0x80, len >> 7);
        append_word(out, first | low << 8 | high << 16 | topic_len << 24, 5);
    }
    append(out, topic);
    match (p.packet_id.map(|id| id.get().to_be_bytes()), version.is_v5()) {
        (None, false) => {}
        (None, true) => out.push(block.len() as u8),
        (Some(id), false) => out.extend_from_slice(&id),
        (Some([high, low]), true) => out.extend_from_slice(&[high, low, block.len() as u8]),
    }
    if !block.is_empty() {
        append(out, block);
    }
    append(out, p.payload);
}

/// From here on a Variable Byte Integer takes two bytes, …
const ONE_BYTE_END: usize = 0x80;
/// … and from here on three.
const TWO_BYTES_END: usize = 0x4000;

#[inline(never)]
fn encode_any(p: &Publish<'_>, version: Version, out: &mut Vec<u8>) {
    let head = head_of(p);
    let (remaining, properties) = head.lengths(version);
    out.reserve(5 + remaining);
    head.append(version, remaining, properties, out);
    append(out, p.payload);
}

/// The length in bytes that [`encode`] appends.
pub(super) fn encoded_len(p: &Publish<'_>, version: Version) -> usize {
    head_of(p).packet_len(version)
}

#[inline]
fn head_of<'a>(p: &Publish<'a>) -> PublishHead<'a> {
    let lacks = |id| p.properties.as_bytes().is_empty() || !p.properties.contains(id);
    PublishHead {
        dup: p.dup,
        qos: p.qos,
        retain: p.retain,
        topic: p.topic,
        packet_id: p.packet_id,
        topic_alias: p.topic_alias.filter(|_| lacks(id::TOPIC_ALIAS)).map(NonZeroU16::get),
        message_expiry_s: p.message_expiry_s.filter(|_| lacks(id::MESSAGE_EXPIRY_INTERVAL)),
        subscription_ids: &[],
        forwarded: p.properties.as_bytes(),
        forwarded_follows: false,
        payload_len: p.payload.len(),
    }
}

impl PublishHead<'_> {
    /// The length of the whole packet in bytes, payload included.
    #[inline]
    pub fn packet_len(&self, version: Version) -> usize {
        let (remaining, _) = self.lengths(version);
        1 + varint_len(remaining) + remaining
    }

    /// Appends everything up to the payload, or up to `forwarded` if that follows with it. In 3.x
    /// the properties are left out.
    #[inline]
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let (remaining, properties) = self.lengths(version);
        out.reserve(5 + remaining - self.payload_len);
        self.append(version, remaining, properties, out);
    }

    #[inline]
    fn append(&self, version: Version, remaining: usize, properties: usize, out: &mut Vec<u8>) {
        let topic = self.topic.map_or("", TopicName::as_str).as_bytes();
        // At most 5 bytes of fixed header, 2 of topic length.
        let (remaining, n) = varint_bytes(remaining);
        let front = u64::from(u32::from_le_bytes(remaining)) << 8
            | u64::from((topic.len() as u16).swap_bytes()) << (8 + 8 * n)
            | u64::from(first_byte(self.dup, self.qos, self.retain));
        append_word(out, front, 3 + n);
        append(out, topic);
        // At most 2 bytes of Packet Identifier, 4 of property length.
        let (mut middle, mut len) = (0, 0);
        if let Some(packet_id) = self.packet_id {
            (middle, len) = (u64::from(packet_id.get().swap_bytes()), 2);
        }
        if version.is_v5() {
            let (bytes, n) = varint_bytes(properties);
            middle |= u64::from(u32::from_le_bytes(bytes)) << (8 * len);
            len += n;
        }
        if len > 0 {
            append_word(out, middle, len);
        }
        if properties > 0 {
            self.append_properties(out);
        }
    }

    #[inline]
    fn append_properties(&self, out: &mut Vec<u8>) {
        // Big-endian numbers in a little-endian word.
        if let Some(alias) = self.topic_alias {
            let value = u64::from(alias.swap_bytes());
            append_word(out, u64::from(id::TOPIC_ALIAS) | value << 8, 3);
        }
        if let Some(seconds) = self.message_expiry_s {
            let value = u64::from(seconds.swap_bytes());
            append_word(out, u64::from(id::MESSAGE_EXPIRY_INTERVAL) | value << 8, 5);
        }
        for &subscription_id in self.subscription_ids {
            let (bytes, n) = varint_bytes(subscription_id as usize);
            let value = u64::from(u32::from_le_bytes(bytes));
            append_word(out, u64::from(id::SUBSCRIPTION_IDENTIFIER) | value << 8, 1 + n);
        }
        if !self.forwarded_follows {
            append(out, self.forwarded);
        }
    }

    /// Remaining Length and Property Length.
    #[inline]
    fn lengths(&self, version: Version) -> (usize, usize) {
        debug_assert_eq!(self.packet_id.is_some(), self.qos != QoS::AtMostOnce);
        let topic = 2 + self.topic.map_or(0, |t| t.as_str().len());
        let fixed = topic + if self.packet_id.is_some() { 2 } else { 0 } + self.payload_len;
        if !version.is_v5() {
            return (fixed, 0);
        }
        let mut properties = self.forwarded.len();
        properties += if self.topic_alias.is_some() { 3 } else { 0 };
        properties += if self.message_expiry_s.is_some() { 5 } else { 0 };
        for &subscription_id in self.subscription_ids {
            properties += 1 + varint_len(subscription_id as usize);
        }
        (fixed + varint_len(properties) + properties, properties)
    }
}
