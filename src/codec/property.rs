//! Properties (section 2.2.2): a validated block of bytes that is iterated, never a map.
//!
//! What lives here: which property may stand in which packet, the check of a block, its iteration,
//! and the writing of single properties. May use: `primitive`.
//!
//! Invariant: a [`Properties`] was checked whole when it was read: every property in it may stand
//! there, stands there as often as it may, and has a value in its range.

use super::primitive::{Reader, Sink, malformed, protocol_error};
use super::reason::ReasonCode;
use super::{DecodeError, Sender};
use crate::topic::TopicName;

/// The identifiers (section 2.2.2.2).
pub(super) mod id {
    pub(crate) const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
    pub(crate) const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
    pub(crate) const CONTENT_TYPE: u8 = 0x03;
    pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
    pub(crate) const CORRELATION_DATA: u8 = 0x09;
    pub(crate) const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
    pub(crate) const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
    pub(crate) const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
    pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(crate) const AUTHENTICATION_METHOD: u8 = 0x15;
    pub(crate) const AUTHENTICATION_DATA: u8 = 0x16;
    pub(crate) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub(crate) const WILL_DELAY_INTERVAL: u8 = 0x18;
    pub(crate) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub(crate) const RESPONSE_INFORMATION: u8 = 0x1A;
    pub(crate) const SERVER_REFERENCE: u8 = 0x1C;
    pub(crate) const REASON_STRING: u8 = 0x1F;
    pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub(crate) const TOPIC_ALIAS: u8 = 0x23;
    pub(crate) const MAXIMUM_QOS: u8 = 0x24;
    pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
    pub(crate) const USER_PROPERTY: u8 = 0x26;
    pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub(crate) const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
    pub(crate) const SUBSCRIPTION_IDENTIFIER_AVAILABLE: u8 = 0x29;
    pub(crate) const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2A;
}

/// A set of property identifiers: bit n is identifier n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdSet(u64);

impl IdSet {
    const fn of(ids: &[u8]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < ids.len() {
            bits |= 1 << ids[i];
            i += 1;
        }
        Self(bits)
    }

    #[inline]
    const fn has(self, id: u8) -> bool {
        id < 64 && self.0 >> id & 1 == 1
    }

    pub(super) const CONNECT: Self = Self::of(&[
        id::SESSION_EXPIRY_INTERVAL,
        id::AUTHENTICATION_METHOD,
        id::AUTHENTICATION_DATA,
        id::REQUEST_PROBLEM_INFORMATION,
        id::REQUEST_RESPONSE_INFORMATION,
        id::RECEIVE_MAXIMUM,
        id::TOPIC_ALIAS_MAXIMUM,
        id::USER_PROPERTY,
        id::MAXIMUM_PACKET_SIZE,
    ]);
    pub(super) const WILL: Self = Self::of(&[
        id::PAYLOAD_FORMAT_INDICATOR,
        id::MESSAGE_EXPIRY_INTERVAL,
        id::CONTENT_TYPE,
        id::RESPONSE_TOPIC,
        id::CORRELATION_DATA,
        id::WILL_DELAY_INTERVAL,
        id::USER_PROPERTY,
    ]);
    pub(super) const CONNACK: Self = Self::of(&[
        id::SESSION_EXPIRY_INTERVAL,
        id::ASSIGNED_CLIENT_IDENTIFIER,
        id::SERVER_KEEP_ALIVE,
        id::AUTHENTICATION_METHOD,
        id::AUTHENTICATION_DATA,
        id::RESPONSE_INFORMATION,
        id::SERVER_REFERENCE,
        id::REASON_STRING,
        id::RECEIVE_MAXIMUM,
        id::TOPIC_ALIAS_MAXIMUM,
        id::MAXIMUM_QOS,
        id::RETAIN_AVAILABLE,
        id::USER_PROPERTY,
        id::MAXIMUM_PACKET_SIZE,
        id::WILDCARD_SUBSCRIPTION_AVAILABLE,
        id::SUBSCRIPTION_IDENTIFIER_AVAILABLE,
        id::SHARED_SUBSCRIPTION_AVAILABLE,
    ]);
    /// A Client's PUBLISH has no Subscription Identifier \[MQTT-3.3.4-6\].
    pub(super) const PUBLISH_OF_CLIENT: Self = Self::of(&[
        id::PAYLOAD_FORMAT_INDICATOR,
        id::MESSAGE_EXPIRY_INTERVAL,
        id::CONTENT_TYPE,
        id::RESPONSE_TOPIC,
        id::CORRELATION_DATA,
        id::TOPIC_ALIAS,
        id::USER_PROPERTY,
    ]);
    pub(super) const PUBLISH_OF_SERVER: Self =
        Self(Self::PUBLISH_OF_CLIENT.0 | 1 << id::SUBSCRIPTION_IDENTIFIER);
    /// PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK.
    pub(super) const ACK: Self = Self::of(&[id::REASON_STRING, id::USER_PROPERTY]);
    pub(super) const SUBSCRIBE: Self = Self::of(&[id::SUBSCRIPTION_IDENTIFIER, id::USER_PROPERTY]);
    pub(super) const UNSUBSCRIBE: Self = Self::of(&[id::USER_PROPERTY]);
    pub(super) const AUTH: Self = Self::of(&[
        id::AUTHENTICATION_METHOD,
        id::AUTHENTICATION_DATA,
        id::REASON_STRING,
        id::USER_PROPERTY,
    ]);

    #[inline]
    pub(super) const fn publish(sender: Sender) -> Self {
        match sender {
            Sender::Client => Self::PUBLISH_OF_CLIENT,
            Sender::Server => Self::PUBLISH_OF_SERVER,
        }
    }

    /// Session Expiry is the Client's to change \[MQTT-3.14.2-2\]. Server Reference is the Server's
    /// to send, but no statement forbids it to a Client, and to refuse its farewell would publish
    /// its Will.
    pub(super) const fn disconnect(sender: Sender) -> Self {
        let both = Self::ACK.0 | 1 << id::SERVER_REFERENCE;
        match sender {
            Sender::Client => Self(both | 1 << id::SESSION_EXPIRY_INTERVAL),
            Sender::Server => Self(both),
        }
    }

    /// Those that go out with an Application Message as they came.
    const FORWARDED: Self = Self::of(&[
        id::PAYLOAD_FORMAT_INDICATOR,
        id::CONTENT_TYPE,
        id::RESPONSE_TOPIC,
        id::CORRELATION_DATA,
        id::USER_PROPERTY,
    ]);
    const USER: Self = Self::of(&[id::USER_PROPERTY]);
}

/// One property of a validated block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property<'a> {
    /// 0x01
    PayloadFormatIndicator(bool),
    /// 0x02, seconds
    MessageExpiryInterval(u32),
    /// 0x03
    ContentType(&'a str),
    /// 0x08
    ResponseTopic(&'a str),
    /// 0x09
    CorrelationData(&'a [u8]),
    /// 0x0B
    SubscriptionIdentifier(u32),
    /// 0x11, seconds
    SessionExpiryInterval(u32),
    /// 0x12
    AssignedClientIdentifier(&'a str),
    /// 0x13, seconds
    ServerKeepAlive(u16),
    /// 0x15
    AuthenticationMethod(&'a str),
    /// 0x16
    AuthenticationData(&'a [u8]),
    /// 0x17
    RequestProblemInformation(bool),
    /// 0x18, seconds
    WillDelayInterval(u32),
    /// 0x19
    RequestResponseInformation(bool),
    /// 0x1A
    ResponseInformation(&'a str),
    /// 0x1C
    ServerReference(&'a str),
    /// 0x1F
    ReasonString(&'a str),
    /// 0x21
    ReceiveMaximum(u16),
    /// 0x22
    TopicAliasMaximum(u16),
    /// 0x23
    TopicAlias(u16),
    /// 0x24
    MaximumQoS(u8),
    /// 0x25
    RetainAvailable(bool),
    /// 0x26
    UserProperty(&'a str, &'a str),
    /// 0x27, bytes
    MaximumPacketSize(u32),
    /// 0x28
    WildcardSubscriptionAvailable(bool),
    /// 0x29
    SubscriptionIdentifierAvailable(bool),
    /// 0x2A
    SharedSubscriptionAvailable(bool),
}

/// A validated property block, without its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    raw: &'a [u8],
}

impl<'a> Properties<'a> {
    /// The bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.raw
    }

    /// Takes back the bytes of a block that was validated before (a stored message's).
    pub fn from_validated(raw: &'a [u8]) -> Self {
        Self { raw }
    }

    /// Checks `raw`, the forwarded properties of a stored message that may be damaged.
    ///
    /// # Errors
    /// If it is no block of properties, or holds others than those that are forwarded.
    pub fn check_forwarded(raw: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(raw);
        while !reader.is_empty() {
            let id = reader.u8()?;
            if !IdSet::FORWARDED.has(id) {
                return Err(protocol_error("a property that is not forwarded (section 3.3.2.3)"));
            }
            Property::read(id, &mut reader)?;
        }
        Ok(Self { raw })
    }

    /// The properties in their order.
    pub fn iter(self) -> impl Iterator<Item = Property<'a>> {
        let mut reader = Reader::new(self.raw);
        std::iter::from_fn(move || {
            if reader.is_empty() {
                return None;
            }
            let property = reader.u8().and_then(|id| Property::read(id, &mut reader));
            debug_assert!(property.is_ok(), "the block was validated: {property:?}");
            property.ok()
        })
    }

    /// Appends to `out` those properties, in their order, that a Server forwards with an
    /// Application Message: all of a PUBLISH or Will but Topic Alias, Message Expiry Interval,
    /// Subscription Identifier and Will Delay Interval, which are each receiver's own.
    #[inline]
    pub fn forwarded(self, out: &mut Vec<u8>) {
        if !self.raw.is_empty() {
            self.put_those(IdSet::FORWARDED, out);
        }
    }

    /// Whether property `id` is among them.
    pub(super) fn contains(self, id: u8) -> bool {
        let mut rest = self.raw;
        while let Some(&first) = rest.first() {
            if first == id {
                return true;
            }
            rest = rest.get(property_len(rest)..).unwrap_or_default();
        }
        false
    }

    /// Writes the properties of `kept`, in unbroken runs as long as they come.
    fn put_those(self, kept: IdSet, out: &mut impl Sink) {
        let (mut start, mut at) = (0, 0);
        while let Some(&first) = self.raw.get(at) {
            let next = (at + property_len(&self.raw[at..])).min(self.raw.len());
            if !kept.has(first) {
                out.put(&self.raw[start..at]);
                start = next;
            }
            at = next;
        }
        out.put(&self.raw[start..at]);
    }
}

/// The length of the property at the front of a validated block, identifier included.
fn property_len(raw: &[u8]) -> usize {
    let length_at = |at: usize| match raw.get(at..at + 2) {
        Some(&[high, low]) => 2 + usize::from(u16::from_be_bytes([high, low])),
        _ => raw.len(),
    };
    1 + match raw[0] {
        id::MESSAGE_EXPIRY_INTERVAL
        | id::SESSION_EXPIRY_INTERVAL
        | id::WILL_DELAY_INTERVAL
        | id::MAXIMUM_PACKET_SIZE => 4,
        id::SERVER_KEEP_ALIVE | id::RECEIVE_MAXIMUM | id::TOPIC_ALIAS_MAXIMUM | id::TOPIC_ALIAS => {
            2
        }
        id::CONTENT_TYPE
        | id::RESPONSE_TOPIC
        | id::CORRELATION_DATA
        | id::ASSIGNED_CLIENT_IDENTIFIER
        | id::AUTHENTICATION_METHOD
        | id::AUTHENTICATION_DATA
        | id::RESPONSE_INFORMATION
        | id::SERVER_REFERENCE
        | id::REASON_STRING => length_at(1),
        id::USER_PROPERTY => {
            let name = length_at(1);
            name + length_at(1 + name)
        }
        id::SUBSCRIPTION_IDENTIFIER => 1 + raw[1..].iter().take_while(|b| **b >= 0x80).count(),
        _ => 1,
    }
}

impl<'a> Property<'a> {
    /// Reads the value of property `id`, and checks its range.
    fn read(id: u8, r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let bool = |r: &mut Reader<'a>| match r.u8()? {
            b @ 0..=1 => Ok(b == 1),
            _ => {
                Err(protocol_error("a property that is 0 or 1 has another value (section 2.2.2.2)"))
            }
        };
        Ok(match id {
            id::PAYLOAD_FORMAT_INDICATOR => Self::PayloadFormatIndicator(bool(r)?),
            id::MESSAGE_EXPIRY_INTERVAL => Self::MessageExpiryInterval(r.u32()?),
            id::CONTENT_TYPE => Self::ContentType(r.string()?),
            id::RESPONSE_TOPIC => Self::ResponseTopic(response_topic(r.string()?)?),
            id::CORRELATION_DATA => Self::CorrelationData(r.binary()?),
            id::SUBSCRIPTION_IDENTIFIER => Self::SubscriptionIdentifier(not_zero(
                r.varint()? as u32,
                "Subscription Identifier is 0 (section 3.8.2.1.2)",
            )?),
            id::SESSION_EXPIRY_INTERVAL => Self::SessionExpiryInterval(r.u32()?),
            id::ASSIGNED_CLIENT_IDENTIFIER => Self::AssignedClientIdentifier(r.string()?),
            id::SERVER_KEEP_ALIVE => Self::ServerKeepAlive(r.u16()?),
            id::AUTHENTICATION_METHOD => Self::AuthenticationMethod(r.string()?),
            id::AUTHENTICATION_DATA => Self::AuthenticationData(r.binary()?),
            id::REQUEST_PROBLEM_INFORMATION => Self::RequestProblemInformation(bool(r)?),
            id::WILL_DELAY_INTERVAL => Self::WillDelayInterval(r.u32()?),
            id::REQUEST_RESPONSE_INFORMATION => Self::RequestResponseInformation(bool(r)?),
            id::RESPONSE_INFORMATION => Self::ResponseInformation(r.string()?),
            id::SERVER_REFERENCE => Self::ServerReference(r.string()?),
            id::REASON_STRING => Self::ReasonString(r.string()?),
            id::RECEIVE_MAXIMUM => Self::ReceiveMaximum(not_zero(
                r.u16()?,
                "Receive Maximum is 0 (section 3.1.2.11.3)",
            )?),
            id::TOPIC_ALIAS_MAXIMUM => Self::TopicAliasMaximum(r.u16()?),
            id::TOPIC_ALIAS => match r.u16()? {
                0 => return Err(TOPIC_ALIAS_IS_0),
                alias => Self::TopicAlias(alias),
            },
            id::MAXIMUM_QOS => Self::MaximumQoS(u8::from(bool(r)?)),
            id::RETAIN_AVAILABLE => Self::RetainAvailable(bool(r)?),
            id::USER_PROPERTY => Self::UserProperty(r.string()?, r.string()?),
            id::MAXIMUM_PACKET_SIZE => Self::MaximumPacketSize(not_zero(
                r.u32()?,
                "Maximum Packet Size is 0 (section 3.1.2.11.4)",
            )?),
            id::WILDCARD_SUBSCRIPTION_AVAILABLE => Self::WildcardSubscriptionAvailable(bool(r)?),
            id::SUBSCRIPTION_IDENTIFIER_AVAILABLE => {
                Self::SubscriptionIdentifierAvailable(bool(r)?)
            }
            id::SHARED_SUBSCRIPTION_AVAILABLE => Self::SharedSubscriptionAvailable(bool(r)?),
            _ => return Err(UNKNOWN),
        })
    }

    /// Writes it.
    pub(super) fn put(self, out: &mut impl Sink) {
        let id = self.id();
        out.u8(id);
        match self {
            Self::PayloadFormatIndicator(b)
            | Self::RequestProblemInformation(b)
            | Self::RequestResponseInformation(b)
            | Self::RetainAvailable(b)
            | Self::WildcardSubscriptionAvailable(b)
            | Self::SubscriptionIdentifierAvailable(b)
            | Self::SharedSubscriptionAvailable(b) => out.u8(u8::from(b)),
            Self::MaximumQoS(n) => out.u8(n),
            Self::ServerKeepAlive(n)
            | Self::ReceiveMaximum(n)
            | Self::TopicAliasMaximum(n)
            | Self::TopicAlias(n) => out.u16(n),
            Self::MessageExpiryInterval(n)
            | Self::SessionExpiryInterval(n)
            | Self::WillDelayInterval(n)
            | Self::MaximumPacketSize(n) => out.u32(n),
            Self::SubscriptionIdentifier(n) => out.varint(n as usize),
            Self::ContentType(s)
            | Self::ResponseTopic(s)
            | Self::AssignedClientIdentifier(s)
            | Self::AuthenticationMethod(s)
            | Self::ResponseInformation(s)
            | Self::ServerReference(s)
            | Self::ReasonString(s) => out.string(s),
            Self::CorrelationData(data) | Self::AuthenticationData(data) => out.binary(data),
            Self::UserProperty(name, value) => {
                out.string(name);
                out.string(value);
            }
        }
    }

    fn id(self) -> u8 {
        match self {
            Self::PayloadFormatIndicator(_) => id::PAYLOAD_FORMAT_INDICATOR,
            Self::MessageExpiryInterval(_) => id::MESSAGE_EXPIRY_INTERVAL,
            Self::ContentType(_) => id::CONTENT_TYPE,
            Self::ResponseTopic(_) => id::RESPONSE_TOPIC,
            Self::CorrelationData(_) => id::CORRELATION_DATA,
            Self::SubscriptionIdentifier(_) => id::SUBSCRIPTION_IDENTIFIER,
            Self::SessionExpiryInterval(_) => id::SESSION_EXPIRY_INTERVAL,
            Self::AssignedClientIdentifier(_) => id::ASSIGNED_CLIENT_IDENTIFIER,
            Self::ServerKeepAlive(_) => id::SERVER_KEEP_ALIVE,
            Self::AuthenticationMethod(_) => id::AUTHENTICATION_METHOD,
            Self::AuthenticationData(_) => id::AUTHENTICATION_DATA,
            Self::RequestProblemInformation(_) => id::REQUEST_PROBLEM_INFORMATION,
            Self::WillDelayInterval(_) => id::WILL_DELAY_INTERVAL,
            Self::RequestResponseInformation(_) => id::REQUEST_RESPONSE_INFORMATION,
            Self::ResponseInformation(_) => id::RESPONSE_INFORMATION,
            Self::ServerReference(_) => id::SERVER_REFERENCE,
            Self::ReasonString(_) => id::REASON_STRING,
            Self::ReceiveMaximum(_) => id::RECEIVE_MAXIMUM,
            Self::TopicAliasMaximum(_) => id::TOPIC_ALIAS_MAXIMUM,
            Self::TopicAlias(_) => id::TOPIC_ALIAS,
            Self::MaximumQoS(_) => id::MAXIMUM_QOS,
            Self::RetainAvailable(_) => id::RETAIN_AVAILABLE,
            Self::UserProperty(..) => id::USER_PROPERTY,
            Self::MaximumPacketSize(_) => id::MAXIMUM_PACKET_SIZE,
            Self::WildcardSubscriptionAvailable(_) => id::WILDCARD_SUBSCRIPTION_AVAILABLE,
            Self::SubscriptionIdentifierAvailable(_) => id::SUBSCRIPTION_IDENTIFIER_AVAILABLE,
            Self::SharedSubscriptionAvailable(_) => id::SHARED_SUBSCRIPTION_AVAILABLE,
        }
    }
}

const UNKNOWN: DecodeError =
    malformed("a property has an identifier that does not exist (section 2.2.2.2)");
const TOPIC_ALIAS_IS_0: DecodeError =
    DecodeError { reason: ReasonCode::TopicAliasInvalid, what: "Topic Alias is 0 [MQTT-3.3.2-8]" };

fn not_zero<T: Default + PartialEq>(value: T, what: &'static str) -> Result<T, DecodeError> {
    if value == T::default() { Err(protocol_error(what)) } else { Ok(value) }
}

fn response_topic(text: &str) -> Result<&str, DecodeError> {
    match TopicName::new(text) {
        Ok(_) => Ok(text),
        Err(_) => Err(protocol_error(
            "Response Topic is empty or contains a wildcard [MQTT-3.3.2-14] [MQTT-4.7.3-1]",
        )),
    }
}

/// Reads a property block with its length: each property must be of `allowed`, and stand there
/// once unless it may be repeated (section 2.2.2.2). `see` gets each of them.
#[inline]
pub(super) fn read<'a>(
    r: &mut Reader<'a>,
    allowed: IdSet,
    see: impl FnMut(Property<'a>),
) -> Result<Properties<'a>, DecodeError> {
    let len = r.varint()?;
    if len == 0 {
        return Ok(Properties::default());
    }
    let raw = r.bytes(len)?;
    read_block(raw, allowed, see)?;
    Ok(Properties { raw })
}

fn read_block<'a>(
    raw: &'a [u8],
    allowed: IdSet,
    mut see: impl FnMut(Property<'a>),
) -> Result<(), DecodeError> {
    /// Those that may be repeated where they are allowed at all. Of Subscription Identifiers a
    /// SUBSCRIBE has but one.
    const REPEATED: IdSet = IdSet::of(&[id::USER_PROPERTY, id::SUBSCRIPTION_IDENTIFIER]);
    let mut seen = 0_u64;
    let repeated = if allowed == IdSet::SUBSCRIBE { IdSet::USER } else { REPEATED };
    let mut r = Reader::new(raw);
    while !r.is_empty() {
        let id = r.u8()?;
        if !allowed.has(id) {
            return Err(not_allowed(id, allowed, r));
        }
        let bit = 1 << id;
        if seen & bit != 0 && !repeated.has(id) {
            return Err(protocol_error(
                "a property that may stand once in this packet stands there twice (section 2.2.2.2)",
            ));
        }
        seen |= bit;
        see(Property::read(id, &mut r)?);
    }
    Ok(())
}

/// Why property `id` may not stand in its packet: mostly it is none of that packet's, which makes
/// that a Malformed Packet (section 2.2.2.2). Two belong to it, but are the other side's to send.
#[cold]
fn not_allowed(id: u8, allowed: IdSet, mut r: Reader<'_>) -> DecodeError {
    let what = match id {
        id::SUBSCRIPTION_IDENTIFIER if allowed == IdSet::PUBLISH_OF_CLIENT => {
            "a Client's PUBLISH with a Subscription Identifier [MQTT-3.3.4-6]"
        }
        id::SESSION_EXPIRY_INTERVAL if allowed == IdSet::disconnect(Sender::Server) => {
            "a Server's DISCONNECT with a Session Expiry Interval [MQTT-3.14.2-2]"
        }
        _ => return NOT_OF_THIS_PACKET,
    };
    // Whether it can be parsed is the first question.
    match Property::read(id, &mut r) {
        Err(e) if e.reason == ReasonCode::MalformedPacket => e,
        _ => protocol_error(what),
    }
}

const NOT_OF_THIS_PACKET: DecodeError =
    malformed("a property stands in a packet that may not have it (section 2.2.2.2)");

/// The User Properties of a packet, in order \[MQTT-3.3.2-18\].
#[derive(Clone, Copy, Debug, Default)]
pub struct UserProperties<'a>(Properties<'a>);

impl<'a> UserProperties<'a> {
    /// Those of a block.
    pub fn of(block: Properties<'a>) -> Self {
        Self(block)
    }

    /// Name and value, in order.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(|p| match p {
            Property::UserProperty(name, value) => Some((name, value)),
            _ => None,
        })
    }

    /// Writes them.
    pub(super) fn put(self, out: &mut impl Sink) {
        if !self.0.raw.is_empty() {
            self.0.put_those(IdSet::USER, out);
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(self) -> bool {
        !self.0.contains(id::USER_PROPERTY)
    }
}

impl PartialEq for UserProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}
