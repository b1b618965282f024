//! The packets as values: borrowed from the bytes they were read from, one type for both
//! directions and all protocol versions.
//!
//! Invariant: a value that `decode` returned is valid by the specification; a value that is handed
//! to `encode` is written as it is (it is the broker's own).

use std::num::NonZeroU16;

use super::property::{Properties, UserProperties};
use super::reason::ReasonCode;
use crate::topic::{SubscriptionFilter, TopicName};

pub use mqttbytes::QoS;

/// A Packet Identifier (section 2.2.1): never 0.
pub type PacketId = NonZeroU16;

/// The protocol's version (section 3.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// MQTT 3.1, protocol name `MQIsdp`, level 3
    V31,
    /// MQTT 3.1.1, level 4
    V311,
    /// MQTT 5.0, level 5
    V5,
}

impl Version {
    /// Whether this is MQTT 5.0: the packets then have properties and reason codes.
    pub fn is_v5(self) -> bool {
        self == Self::V5
    }
}

/// Who sends the packets that are decoded: some packets, flags and properties are for one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// a Client
    Client,
    /// a Server
    Server,
}

/// An MQTT Control Packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet<'a> {
    /// CONNECT (3.1)
    Connect(Box<Connect<'a>>),
    /// CONNACK (3.2)
    ConnAck(Box<ConnAck<'a>>),
    /// PUBLISH (3.3)
    Publish(Publish<'a>),
    /// PUBACK (3.4)
    PubAck(Ack<'a>),
    /// PUBREC (3.5)
    PubRec(Ack<'a>),
    /// PUBREL (3.6)
    PubRel(Ack<'a>),
    /// PUBCOMP (3.7)
    PubComp(Ack<'a>),
    /// SUBSCRIBE (3.8)
    Subscribe(Subscribe<'a>),
    /// SUBACK (3.9)
    SubAck(SubAck<'a>),
    /// UNSUBSCRIBE (3.10)
    Unsubscribe(Unsubscribe<'a>),
    /// UNSUBACK (3.11)
    UnsubAck(SubAck<'a>),
    /// PINGREQ (3.12)
    PingReq,
    /// PINGRESP (3.13)
    PingResp,
    /// DISCONNECT (3.14)
    Disconnect(Disconnect<'a>),
    /// AUTH (3.15)
    Auth(Auth<'a>),
}

/// CONNECT (3.1). Clean Session of 3.x is translated: `clean_start` as it is, and
/// `session_expiry` 0 when it is 1, `u32::MAX` when it is 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Connect<'a> {
    /// the protocol version, without the bridge bit
    pub version: Version,
    /// mosquitto's bridge bit (version byte 0x83, 0x84; 3.x only): the client is a bridge
    pub bridge: bool,
    /// Clean Start (3.1.2.4)
    pub clean_start: bool,
    /// Keep Alive in seconds, 0: none (3.1.2.10)
    pub keep_alive_s: u16,
    /// Session Expiry Interval in seconds (3.1.2.11.2)
    pub session_expiry_s: u32,
    /// Receive Maximum (3.1.2.11.3); 65,535 when absent
    pub receive_maximum: NonZeroU16,
    /// Maximum Packet Size in bytes (3.1.2.11.4); `u32::MAX` when absent
    pub maximum_packet_size: u32,
    /// Topic Alias Maximum (3.1.2.11.5)
    pub topic_alias_maximum: u16,
    /// Request Response Information (3.1.2.11.6)
    pub request_response_information: bool,
    /// Request Problem Information (3.1.2.11.7); true when absent
    pub request_problem_information: bool,
    /// User Properties
    pub user_properties: UserProperties<'a>,
    /// Authentication Method (3.1.2.11.9)
    pub authentication_method: Option<&'a str>,
    /// Authentication Data (3.1.2.11.10)
    pub authentication_data: Option<&'a [u8]>,
    /// Client Identifier (3.1.3.1), may be empty
    pub client_id: &'a str,
    /// The Will (3.1.2.5)
    pub will: Option<Will<'a>>,
    /// User Name (3.1.3.5)
    pub user_name: Option<&'a str>,
    /// Password (3.1.3.6)
    pub password: Option<&'a [u8]>,
}

impl<'a> Connect<'a> {
    /// What a CONNECT says that says nothing else: Clean Start, no Keep Alive, no Will, and what
    /// properties mean that are absent.
    pub fn new(version: Version, client_id: &'a str) -> Self {
        Self {
            version,
            bridge: false,
            clean_start: true,
            keep_alive_s: 0,
            session_expiry_s: 0,
            receive_maximum: NonZeroU16::MAX,
            maximum_packet_size: u32::MAX,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            user_properties: UserProperties::default(),
            authentication_method: None,
            authentication_data: None,
            client_id,
            will: None,
            user_name: None,
            password: None,
        }
    }
}

/// The Will of a CONNECT (3.1.3.2 to 3.1.3.4).
#[derive(Clone, Debug, PartialEq)]
pub struct Will<'a> {
    /// Will QoS
    pub qos: QoS,
    /// Will Retain
    pub retain: bool,
    /// Will Delay Interval in seconds, 0 when absent
    pub delay_s: u32,
    /// Will Topic
    pub topic: TopicName<'a>,
    /// The Will Properties, the delay among them; the others go out with the message
    pub properties: Properties<'a>,
    /// Will Payload
    pub payload: &'a [u8],
}

/// CONNACK (3.2). `None` means that the property is not sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnAck<'a> {
    /// Session Present
    pub session_present: bool,
    /// The reason code; for 3.x the codec writes the return code it maps to
    pub reason: ReasonCode,
    /// Session Expiry Interval in seconds
    pub session_expiry_s: Option<u32>,
    /// Receive Maximum
    pub receive_maximum: Option<u16>,
    /// Maximum QoS
    pub maximum_qos: Option<u8>,
    /// Retain Available
    pub retain_available: Option<bool>,
    /// Maximum Packet Size in bytes
    pub maximum_packet_size: Option<u32>,
    /// Assigned Client Identifier
    pub assigned_client_id: Option<&'a str>,
    /// Topic Alias Maximum
    pub topic_alias_maximum: Option<u16>,
    /// Reason String
    pub reason_string: Option<&'a str>,
    /// User Properties
    pub user_properties: UserProperties<'a>,
    /// Wildcard Subscription Available
    pub wildcard_subscription_available: Option<bool>,
    /// Subscription Identifiers Available
    pub subscription_identifiers_available: Option<bool>,
    /// Shared Subscription Available
    pub shared_subscription_available: Option<bool>,
    /// Server Keep Alive in seconds
    pub server_keep_alive_s: Option<u16>,
    /// Response Information
    pub response_information: Option<&'a str>,
    /// Server Reference
    pub server_reference: Option<&'a str>,
    /// Authentication Method
    pub authentication_method: Option<&'a str>,
    /// Authentication Data
    pub authentication_data: Option<&'a [u8]>,
}

/// PUBLISH (3.3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Publish<'a> {
    /// DUP flag
    pub dup: bool,
    /// QoS
    pub qos: QoS,
    /// RETAIN flag
    pub retain: bool,
    /// The Topic Name; `None` when it is empty, which needs a Topic Alias (5.0 only)
    pub topic: Option<TopicName<'a>>,
    /// Packet Identifier: there exactly when QoS > 0 \[MQTT-2.2.1-2\]
    pub packet_id: Option<PacketId>,
    /// Topic Alias (3.3.2.3.4)
    pub topic_alias: Option<NonZeroU16>,
    /// Message Expiry Interval in seconds (3.3.2.3.3)
    pub message_expiry_s: Option<u32>,
    /// All properties as they were read, those two and the Subscription Identifiers among them
    pub properties: Properties<'a>,
    /// The payload
    pub payload: &'a [u8],
}

/// PUBACK, PUBREC, PUBREL, PUBCOMP (3.4 to 3.7).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ack<'a> {
    /// Packet Identifier
    pub packet_id: PacketId,
    /// Reason Code; always success in 3.x
    pub reason: ReasonCode,
    /// Reason String
    pub reason_string: Option<&'a str>,
    /// User Properties
    pub user_properties: UserProperties<'a>,
}

impl Ack<'static> {
    /// An acknowledgement with a reason code and nothing else.
    pub fn new(packet_id: PacketId, reason: ReasonCode) -> Self {
        Self { packet_id, reason, reason_string: None, user_properties: UserProperties::default() }
    }
}

/// Retain Handling (3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetainHandling {
    /// 0: send retained messages at every SUBSCRIBE
    #[default]
    Send,
    /// 1: only if the Subscription did not exist
    SendIfNew,
    /// 2: never
    DoNotSend,
}

/// Subscription Options (3.8.3.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SubscriptionOptions {
    /// Maximum QoS
    pub qos: QoS,
    /// No Local
    pub no_local: bool,
    /// Retain As Published
    pub retain_as_published: bool,
    /// Retain Handling
    pub retain_handling: RetainHandling,
}

/// SUBSCRIBE (3.8). Its filters are checked at decode and parsed again as they are iterated.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe<'a> {
    /// Packet Identifier
    pub packet_id: PacketId,
    /// Subscription Identifier, 1 to 268,435,455
    pub subscription_id: Option<u32>,
    /// User Properties
    pub user_properties: UserProperties<'a>,
    /// The filters with their options, at least one
    pub filters: Vec<(SubscriptionFilter<'a>, SubscriptionOptions)>,
}

/// UNSUBSCRIBE (3.10).
#[derive(Clone, Debug, PartialEq)]
pub struct Unsubscribe<'a> {
    /// Packet Identifier
    pub packet_id: PacketId,
    /// User Properties
    pub user_properties: UserProperties<'a>,
    /// The filters, at least one
    pub filters: Vec<SubscriptionFilter<'a>>,
}

/// SUBACK (3.9) and UNSUBACK (3.11; in 3.x an UNSUBACK carries no codes).
#[derive(Clone, Debug, PartialEq)]
pub struct SubAck<'a> {
    /// Packet Identifier
    pub packet_id: PacketId,
    /// Reason String
    pub reason_string: Option<&'a str>,
    /// User Properties
    pub user_properties: UserProperties<'a>,
    /// One reason code per filter, in order; for 3.x the codec writes 0x80 for every failure
    pub reasons: Vec<ReasonCode>,
}

/// DISCONNECT (3.14).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Disconnect<'a> {
    /// Reason Code
    pub reason: ReasonCode,
    /// Session Expiry Interval in seconds
    pub session_expiry_s: Option<u32>,
    /// Reason String
    pub reason_string: Option<&'a str>,
    /// User Properties
    pub user_properties: UserProperties<'a>,
    /// Server Reference
    pub server_reference: Option<&'a str>,
}

/// AUTH (3.15).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Auth<'a> {
    /// Reason Code
    pub reason: ReasonCode,
    /// Authentication Method
    pub method: Option<&'a str>,
    /// Authentication Data
    pub data: Option<&'a [u8]>,
    /// Reason String
    pub reason_string: Option<&'a str>,
    /// User Properties
    pub user_properties: UserProperties<'a>,
}
