//! Layer 1: bytes to packets and back.
//!
//! What lives here: the framing of a byte stream ([`frame`]), [`decode`] and [`encode`] for every
//! packet of MQTT 3.1, 3.1.1 and 5.0 in both directions, and the PUBLISH fast path
//! ([`PublishHead`]). May use: `topic`; of mqttbytes only its `QoS`.
//!
//! Invariant: `decode` borrows and never copies; whatever it accepts is valid by the specification
//! of its version; it never panics, and never looks past the frame.

mod packet;
mod property;
mod publish;
mod reason;

pub use packet::*;
pub use property::{Properties, Property, UserProperties};
pub use publish::PublishHead;
pub use reason::ReasonCode;

use thiserror::Error;

/// Why bytes are no packet: the peer's fault, always. The Network Connection ends with `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{what}")]
pub struct DecodeError {
    /// The reason code for a DISCONNECT or CONNACK of MQTT 5.0 (section 4.13).
    pub reason: ReasonCode,
    /// What is wrong, for the log and the Reason String, with the statement it breaks.
    pub what: &'static str,
}

/// One whole packet in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// the first byte: packet type and flags
    pub first: u8,
    /// all after the fixed header
    pub body: &'a [u8],
    /// the length of the whole packet in bytes, fixed header included
    pub len: usize,
}

/// What stands at the front of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed<'a> {
    /// a whole packet
    Whole(Frame<'a>),
    /// its beginning: `len` is its whole length in bytes once the fixed header is there
    Partial {
        /// `None` while the fixed header is not complete
        len: Option<usize>,
    },
}

/// Looks at the front of `buf`. Refuses from the fixed header alone, before the body arrives: a
/// packet type or flags that no sender may use, an overlong or non-minimal Remaining Length
/// \[MQTT-1.5.5-1\], and a packet of more than `packet_bytes_max` bytes in all (0x95).
pub fn frame(buf: &[u8], packet_bytes_max: usize) -> Result<Framed<'_>, DecodeError> {
    let _ = (buf, packet_bytes_max);
    todo!()
}

/// Decodes one packet. `version` is that of the Network Connection; CONNECT brings its own and
/// ignores it. A packet that `sender` may not send is a Protocol Error.
pub fn decode<'a>(
    frame: Frame<'a>,
    sender: Sender,
    version: Version,
) -> Result<Packet<'a>, DecodeError> {
    let _ = (frame, sender, version);
    todo!()
}

/// Appends `packet` to `out` in the form of `version`. In 3.x, properties, reason codes that the
/// version has no room for and reason strings are left out.
pub fn encode(packet: &Packet<'_>, version: Version, out: &mut Vec<u8>) {
    let _ = (packet, version, out);
    todo!()
}

/// The length in bytes that [`encode`] would append.
pub fn encoded_len(packet: &Packet<'_>, version: Version) -> usize {
    let _ = (packet, version);
    todo!()
}
