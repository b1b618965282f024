//! Properties (section 2.2.2): a validated block of bytes that is iterated, never a map.

use super::packet::*;

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

    /// The properties in their order.
    pub fn iter(self) -> impl Iterator<Item = Property<'a>> {
        std::iter::empty()
    }

    /// Appends to `out` those properties, in their order, that a Server forwards with an
    /// Application Message: all of a PUBLISH or Will but Topic Alias, Message Expiry Interval,
    /// Subscription Identifier and Will Delay Interval, which are each receiver's own.
    pub fn forwarded(self, out: &mut Vec<u8>) {
        let _ = out;
    }
}

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
}

impl PartialEq for UserProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}
