//! Layer 1: bytes to packets and back.
//!
//! What lives here: the framing of a byte stream ([`frame`]), [`decode`] and [`encode`] for every
//! packet of MQTT 3.1, 3.1.1 and 5.0 in both directions, and the PUBLISH fast path
//! ([`PublishHead`]). May use: `topic`; of mqttbytes only its `QoS`.
//!
//! Invariant: `decode` borrows and never copies; whatever it accepts is valid by the specification
//! of its version; it never panics, and never looks past the frame.

mod ack;
mod connect;
mod packet;
mod primitive;
mod property;
pub mod proxy;
mod publish;
mod reason;
mod session_end;
mod subscribe;
#[cfg(test)]
mod tests;
pub mod websocket;

pub use packet::*;
pub use property::{Properties, Property, UserProperties};
pub use publish::PublishHead;
pub use reason::ReasonCode;

use primitive::{Count, Sink, long_varint, malformed, protocol_error};
use thiserror::Error;

/// Packet types (section 2.1.2): the upper four bits of the first byte.
const CONNECT: u8 = 1;
const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const PUBREC: u8 = 5;
const PUBREL: u8 = 6;
const PUBCOMP: u8 = 7;
const SUBSCRIBE: u8 = 8;
const SUBACK: u8 = 9;
const UNSUBSCRIBE: u8 = 10;
const UNSUBACK: u8 = 11;
const PINGREQ: u8 = 12;
const PINGRESP: u8 = 13;
const DISCONNECT: u8 = 14;
const AUTH: u8 = 15;

/// The flags that PUBREL, SUBSCRIBE and UNSUBSCRIBE must have.
const FLAGS_0010: u8 = 0b0010;
/// The same with DUP, which MQTT 3.1 allows there.
const FLAGS_0010_DUP: u8 = 0b1010;

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

/// Which first bytes some version allows.
const FIRST_ALLOWED: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut first = 0;
    while first < 256 {
        let (kind, flags) = (first as u8 >> 4, first as u8 & 0x0F);
        allowed[first] = match kind {
            0 => false,
            PUBLISH => flags & 0b0110 != 0b0110 && flags & 0b1110 != 0b1000,
            PUBREL | SUBSCRIBE | UNSUBSCRIBE => matches!(flags, FLAGS_0010 | FLAGS_0010_DUP),
            _ => flags == 0,
        };
        first += 1;
    }
    allowed
};

#[cold]
fn bad_first(first: u8) -> DecodeError {
    match first >> 4 {
        0 => malformed("packet type 0 is reserved (section 2.1.2)"),
        PUBLISH if first & 0b0110 == 0b0110 => publish::QOS_3,
        PUBLISH => publish::QOS_0_WITH_DUP,
        PUBREL => malformed("PUBREL with wrong flags [MQTT-3.6.1-1]"),
        SUBSCRIBE => malformed("SUBSCRIBE with wrong flags [MQTT-3.8.1-1]"),
        UNSUBSCRIBE => malformed("UNSUBSCRIBE with wrong flags [MQTT-3.10.1-1]"),
        DISCONNECT => malformed("DISCONNECT with reserved flags set [MQTT-3.14.1-1]"),
        AUTH => malformed("AUTH with reserved flags set [MQTT-3.15.1-1]"),
        _ => malformed("a packet with reserved flags set [MQTT-2.1.3-1]"),
    }
}

/// Looks at the front of `buf`. Refuses from the fixed header alone, before the body arrives: a
/// packet type or flags that no sender may use, an overlong or non-minimal Remaining Length
/// \[MQTT-1.5.5-1\], and a packet of more than `packet_bytes_max` bytes in all (0x95).
#[inline]
pub fn frame(buf: &[u8], packet_bytes_max: usize) -> Result<Framed<'_>, DecodeError> {
    let Some(&first) = buf.first() else {
        return Ok(Framed::Partial { len: None });
    };
    if !FIRST_ALLOWED[usize::from(first)] {
        return Err(bad_first(first));
    }
    let (remaining, header) = match buf.get(1) {
        Some(&b) if b < 0x80 => (usize::from(b), 2),
        _ => match long_varint(&buf[1..])? {
            Some((remaining, n)) => (remaining, 1 + n),
            None => return Ok(Framed::Partial { len: None }),
        },
    };
    let len = header + remaining;
    if len > packet_bytes_max {
        return Err(DecodeError {
            reason: ReasonCode::PacketTooLarge,
            what: "the packet is larger than the Maximum Packet Size [MQTT-3.2.2-15]",
        });
    }
    match buf.get(header..len) {
        Some(body) => Ok(Framed::Whole(Frame { first, body, len })),
        None => Ok(Framed::Partial { len: Some(len) }),
    }
}

/// Decodes one packet. `version` is that of the Network Connection; CONNECT brings its own and
/// ignores it. A packet that `sender` may not send is a Protocol Error.
#[inline]
pub fn decode<'a>(
    frame: Frame<'a>,
    sender: Sender,
    version: Version,
) -> Result<Packet<'a>, DecodeError> {
    decode_within(frame, sender, version, usize::MAX)
}

/// The same, with at most `filters_max` Topic Filters in a SUBSCRIBE or UNSUBSCRIBE: what is
/// decoded takes many times the memory of the few bytes that each may have.
///
/// # Errors
/// Also `QuotaExceeded`, if there are more.
#[inline(always)]
pub fn decode_within<'a>(
    frame: Frame<'a>,
    sender: Sender,
    version: Version,
    filters_max: usize,
) -> Result<Packet<'a>, DecodeError> {
    // One by one they are in registers: to read a frame that was just written to memory waits.
    decode_parts(frame.first, frame.body, sender, version, filters_max)
}

fn decode_parts(
    first: u8,
    body: &[u8],
    sender: Sender,
    version: Version,
    filters_max: usize,
) -> Result<Packet<'_>, DecodeError> {
    if first >> 4 == PUBLISH {
        return publish::decode(first, body, sender, version).map(Packet::Publish);
    }
    decode_other(first, body, sender, version, filters_max)
}

fn decode_other(
    first: u8,
    body: &[u8],
    sender: Sender,
    version: Version,
    filters_max: usize,
) -> Result<Packet<'_>, DecodeError> {
    let kind = first >> 4;
    let dup = matches!(kind, PUBREL | SUBSCRIBE | UNSUBSCRIBE) && first & 0x0F == FLAGS_0010_DUP;
    if !FIRST_ALLOWED[usize::from(first)] || (dup && version != Version::V31) {
        return Err(bad_first(first));
    }
    match (kind, sender) {
        (PUBACK, _) => ack::decode(kind, body, version).map(Packet::PubAck),
        (PUBREC, _) => ack::decode(kind, body, version).map(Packet::PubRec),
        (PUBREL, _) => ack::decode(kind, body, version).map(Packet::PubRel),
        (PUBCOMP, _) => ack::decode(kind, body, version).map(Packet::PubComp),
        (SUBSCRIBE, Sender::Client) => {
            subscribe::decode_subscribe(body, version, filters_max).map(Packet::Subscribe)
        }
        (SUBACK, Sender::Server) => subscribe::decode_ack(kind, body, version).map(Packet::SubAck),
        (UNSUBSCRIBE, Sender::Client) => {
            subscribe::decode_unsubscribe(body, version, filters_max).map(Packet::Unsubscribe)
        }
        (UNSUBACK, Sender::Server) => {
            subscribe::decode_ack(kind, body, version).map(Packet::UnsubAck)
        }
        (PINGREQ, Sender::Client) => empty(body).map(|()| Packet::PingReq),
        (PINGRESP, Sender::Server) => empty(body).map(|()| Packet::PingResp),
        (DISCONNECT, _) => {
            session_end::decode_disconnect(body, sender, version).map(Packet::Disconnect)
        }
        (CONNECT, Sender::Client) => {
            connect::decode_connect(body).map(|c| Packet::Connect(Box::new(c)))
        }
        (CONNACK, Sender::Server) => {
            connect::decode_connack(body, version).map(|c| Packet::ConnAck(Box::new(c)))
        }
        (AUTH, _) if version.is_v5() => session_end::decode_auth(body, sender).map(Packet::Auth),
        (AUTH, _) => Err(malformed("packet type 15 is reserved (3.1.1: section 2.2.1)")),
        (_, Sender::Client) => {
            Err(protocol_error("a packet that only a Server sends (section 2.1.2)"))
        }
        (_, Sender::Server) => {
            Err(protocol_error("a packet that only a Client sends (section 2.1.2)"))
        }
    }
}

fn empty(body: &[u8]) -> Result<(), DecodeError> {
    if body.is_empty() {
        Ok(())
    } else {
        Err(malformed("PINGREQ or PINGRESP with a body (sections 3.12, 3.13)"))
    }
}

/// Appends `packet` to `out` in the form of `version`. In 3.x, properties, reason codes that the
/// version has no room for and reason strings are left out; AUTH, and a DISCONNECT with an error
/// (a Server's), do not exist there and append nothing.
#[inline(always)]
pub fn encode(packet: &Packet<'_>, version: Version, out: &mut Vec<u8>) {
    match packet {
        // What is written most has a way of its own: the others' has a large frame.
        Packet::Publish(p) => publish::encode(p, version, out),
        _ => put(packet, version, out),
    }
}

/// The length in bytes that [`encode`] would append.
pub fn encoded_len(packet: &Packet<'_>, version: Version) -> usize {
    let mut count = Count::default();
    put(packet, version, &mut count);
    count.0
}

fn put(packet: &Packet<'_>, version: Version, out: &mut impl Sink) {
    match packet {
        Packet::Connect(c) => connect::put_connect(c, version, out),
        Packet::ConnAck(c) => connect::put_connack(c, version, out),
        Packet::Publish(p) => out.publish(p, version),
        Packet::PubAck(a) => ack::put(PUBACK, a, version, out),
        Packet::PubRec(a) => ack::put(PUBREC, a, version, out),
        Packet::PubRel(a) => ack::put(PUBREL, a, version, out),
        Packet::PubComp(a) => ack::put(PUBCOMP, a, version, out),
        Packet::Subscribe(s) => subscribe::put_subscribe(s, version, out),
        Packet::SubAck(a) => subscribe::put_ack(SUBACK, a, version, out),
        Packet::Unsubscribe(u) => subscribe::put_unsubscribe(u, version, out),
        Packet::UnsubAck(a) => subscribe::put_ack(UNSUBACK, a, version, out),
        Packet::PingReq => out.put(&[PINGREQ << 4, 0]),
        Packet::PingResp => out.put(&[PINGRESP << 4, 0]),
        Packet::Disconnect(d) => session_end::put_disconnect(d, version, out),
        Packet::Auth(a) => session_end::put_auth(a, version, out),
    }
}

/// Appends `packet` like [`encode`], within the receiver's Maximum Packet Size: if it is too large,
/// its User Properties are left out, then its Reason String too (\[MQTT-3.4.2-2\],
/// \[MQTT-3.4.2-3\] and their siblings in CONNACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK,
/// DISCONNECT and AUTH). False, and nothing appended, if it is still too large
/// \[MQTT-3.1.2-24\].
pub fn encode_within(
    packet: &Packet<'_>,
    version: Version,
    maximum_packet_size: u32,
    out: &mut Vec<u8>,
) -> bool {
    let start = out.len();
    let mut fits = |packet: &Packet<'_>| {
        put(packet, version, out);
        let fits = out.len() - start <= maximum_packet_size as usize;
        if !fits {
            out.truncate(start);
        }
        fits
    };
    if fits(packet) {
        return true;
    }
    let mut slimmer = packet.clone();
    let Some((user_properties, _)) = optional_parts(&mut slimmer) else {
        return false;
    };
    *user_properties = UserProperties::default();
    if fits(&slimmer) {
        return true;
    }
    if let Some((_, reason_string)) = optional_parts(&mut slimmer) {
        *reason_string = None;
    }
    fits(&slimmer)
}

/// What a packet may lose so that it fits: User Properties and Reason String.
fn optional_parts<'p, 'a>(
    packet: &'p mut Packet<'a>,
) -> Option<(&'p mut UserProperties<'a>, &'p mut Option<&'a str>)> {
    match packet {
        Packet::ConnAck(p) => Some((&mut p.user_properties, &mut p.reason_string)),
        Packet::PubAck(p) | Packet::PubRec(p) | Packet::PubRel(p) | Packet::PubComp(p) => {
            Some((&mut p.user_properties, &mut p.reason_string))
        }
        Packet::SubAck(p) | Packet::UnsubAck(p) => {
            Some((&mut p.user_properties, &mut p.reason_string))
        }
        Packet::Disconnect(p) => Some((&mut p.user_properties, &mut p.reason_string)),
        Packet::Auth(p) => Some((&mut p.user_properties, &mut p.reason_string)),
        _ => None,
    }
}
