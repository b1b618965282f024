//! PUBACK, PUBREC, PUBREL, PUBCOMP (sections 3.4 to 3.7): four packets of one shape.
//!
//! May use: `primitive`, `property`. Invariant: Success without properties is always the short
//! form of four bytes, which is also the only form that 3.x has.

use super::packet::{Ack, Version};
use super::primitive::{Reader, Sink, protocol_error};
use super::property::{self, IdSet, Property, UserProperties};
use super::reason::ReasonCode;
use super::{DecodeError, PUBACK, PUBCOMP, PUBREC, PUBREL};

/// Decodes the body of a packet of `kind`.
#[inline]
pub(super) fn decode(kind: u8, body: &[u8], version: Version) -> Result<Ack<'_>, DecodeError> {
    let mut r = Reader::new(body);
    let packet_id = r.packet_id()?;
    let mut ack = Ack::new(packet_id, ReasonCode::Success);
    if r.is_empty() {
        return Ok(ack);
    }
    if !version.is_v5() {
        r.finish()?;
    }
    ack.reason = reason(kind, r.u8()?)?;
    if r.is_empty() {
        return Ok(ack);
    }
    let mut reason_string = None;
    let properties = property::read(&mut r, IdSet::ACK, |p| {
        if let Property::ReasonString(text) = p {
            reason_string = Some(text);
        }
    })?;
    r.finish()?;
    let user_properties = UserProperties::of(properties);
    Ok(Ack { packet_id, reason: ack.reason, reason_string, user_properties })
}

fn reason(kind: u8, byte: u8) -> Result<ReasonCode, DecodeError> {
    use ReasonCode::*;
    let code = ReasonCode::from_u8(byte);
    match (kind, code) {
        (_, Some(code @ Success)) => Ok(code),
        (PUBREL | PUBCOMP, Some(code @ PacketIdentifierNotFound)) => Ok(code),
        (
            PUBACK | PUBREC,
            Some(
                code @ (NoMatchingSubscribers
                | UnspecifiedError
                | ImplementationSpecificError
                | NotAuthorized
                | TopicNameInvalid
                | PacketIdentifierInUse
                | QuotaExceeded
                | PayloadFormatInvalid),
            ),
        ) => Ok(code),
        (PUBACK, _) => {
            Err(protocol_error("PUBACK with a reason code it may not have [MQTT-3.4.2-1]"))
        }
        (PUBREC, _) => {
            Err(protocol_error("PUBREC with a reason code it may not have [MQTT-3.5.2-1]"))
        }
        (PUBREL, _) => {
            Err(protocol_error("PUBREL with a reason code it may not have [MQTT-3.6.2-1]"))
        }
        _ => Err(protocol_error("PUBCOMP with a reason code it may not have [MQTT-3.7.2-1]")),
    }
}

/// Writes a packet of `kind`.
#[inline]
pub(super) fn put(kind: u8, ack: &Ack<'_>, version: Version, out: &mut impl Sink) {
    let flags = if kind == PUBREL { 0b0010 } else { 0 };
    let [high, low] = ack.packet_id.get().to_be_bytes();
    let properties = ack.reason_string.is_some() || !ack.user_properties.is_empty();
    if !version.is_v5() || (ack.reason == ReasonCode::Success && !properties) {
        return out.put(&[kind << 4 | flags, 2, high, low]);
    }
    if !properties {
        return out.put(&[kind << 4 | flags, 3, high, low, ack.reason.as_u8()]);
    }
    out.u8(kind << 4 | flags);
    out.prefixed(|out| {
        out.put(&[high, low, ack.reason.as_u8()]);
        put_reason_properties(ack.reason_string, ack.user_properties, out);
    });
}

/// Writes a block of Reason String and User Properties, with its length.
pub(super) fn put_reason_properties(
    reason_string: Option<&str>,
    user_properties: UserProperties<'_>,
    out: &mut impl Sink,
) {
    out.prefixed(|out| {
        if let Some(text) = reason_string {
            Property::ReasonString(text).put(out);
        }
        user_properties.put(out);
    });
}
