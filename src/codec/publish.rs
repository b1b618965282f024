//! PUBLISH (section 3.3): the packet that is decoded and encoded most.

use super::packet::{PacketId, QoS, Version};
use crate::topic::TopicName;

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
    /// Length of the payload in bytes
    pub payload_len: usize,
}

impl PublishHead<'_> {
    /// The length of the whole packet in bytes, payload included.
    pub fn packet_len(&self, version: Version) -> usize {
        let _ = version;
        todo!()
    }

    /// Appends everything up to the payload. In 3.x the properties are left out.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let _ = (version, out);
        todo!()
    }
}
