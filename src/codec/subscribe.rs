//! SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (sections 3.8 to 3.11).
//!
//! May use: `primitive`, `property`, `topic`. Invariant: whatever is decoded names at least one
//! filter or code.

use super::ack::put_reason_properties;
use super::packet::{QoS, RetainHandling, SubAck, Subscribe, SubscriptionOptions};
use super::packet::{Unsubscribe, Version};
use super::primitive::{Reader, Sink, malformed, protocol_error};
use super::property::{self, IdSet, Property, UserProperties};
use super::reason::ReasonCode;
use super::{DecodeError, SUBACK, SUBSCRIBE, UNSUBACK, UNSUBSCRIBE};

const TOO_MANY: DecodeError = DecodeError {
    reason: ReasonCode::QuotaExceeded,
    what: "more Topic Filters in one packet than limits.filters_per_packet_max",
};

/// Decodes the body of a SUBSCRIBE.
pub(super) fn decode_subscribe(
    body: &[u8],
    version: Version,
    filters_max: usize,
) -> Result<Subscribe<'_>, DecodeError> {
    let mut r = Reader::new(body);
    let packet_id = r.packet_id()?;
    let (mut subscription_id, mut user_properties) = (None, UserProperties::default());
    if version.is_v5() {
        let properties = property::read(&mut r, IdSet::SUBSCRIBE, |p| {
            if let Property::SubscriptionIdentifier(id) = p {
                subscription_id = Some(id);
            }
        })?;
        user_properties = UserProperties::of(properties);
    }
    if r.is_empty() {
        return Err(protocol_error("SUBSCRIBE without a Topic Filter [MQTT-3.8.3-2]"));
    }
    let mut filters = Vec::new();
    while !r.is_empty() {
        if filters.len() >= filters_max {
            return Err(TOO_MANY);
        }
        let filter = r.subscription_filter()?;
        let options = options(r.u8()?, version)?;
        if options.no_local && filter.share.is_some() {
            return Err(protocol_error("No Local on a Shared Subscription [MQTT-3.8.3-4]"));
        }
        filters.push((filter, options));
    }
    Ok(Subscribe { packet_id, subscription_id, user_properties, filters })
}

fn options(byte: u8, version: Version) -> Result<SubscriptionOptions, DecodeError> {
    let reserved = if version.is_v5() { 0b1100_0000 } else { 0b1111_1100 };
    if byte & reserved != 0 {
        return Err(malformed("SUBSCRIBE with reserved bits set in its options [MQTT-3.8.3-5]"));
    }
    let qos = match byte & 3 {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        2 => QoS::ExactlyOnce,
        _ if version.is_v5() => {
            return Err(protocol_error("SUBSCRIBE with Maximum QoS 3 (section 3.8.3.1)"));
        }
        _ => return Err(malformed("SUBSCRIBE with Requested QoS 3 (3.1.1: [MQTT-3.8.3-4])")),
    };
    let retain_handling = match byte >> 4 {
        0 => RetainHandling::Send,
        1 => RetainHandling::SendIfNew,
        2 => RetainHandling::DoNotSend,
        _ => return Err(protocol_error("SUBSCRIBE with Retain Handling 3 (section 3.8.3.1)")),
    };
    Ok(SubscriptionOptions {
        qos,
        no_local: byte & 0b0100 != 0,
        retain_as_published: byte & 0b1000 != 0,
        retain_handling,
    })
}

fn option_byte(options: &SubscriptionOptions, version: Version) -> u8 {
    let qos = options.qos as u8;
    if !version.is_v5() {
        return qos;
    }
    let retain_handling = match options.retain_handling {
        RetainHandling::Send => 0,
        RetainHandling::SendIfNew => 1,
        RetainHandling::DoNotSend => 2,
    };
    qos | u8::from(options.no_local) << 2
        | u8::from(options.retain_as_published) << 3
        | retain_handling << 4
}

/// Writes a SUBSCRIBE.
pub(super) fn put_subscribe(s: &Subscribe<'_>, version: Version, out: &mut impl Sink) {
    out.u8(SUBSCRIBE << 4 | 0b0010);
    out.prefixed(|out| {
        out.u16(s.packet_id.get());
        if version.is_v5() {
            out.prefixed(|out| {
                if let Some(id) = s.subscription_id {
                    Property::SubscriptionIdentifier(id).put(out);
                }
                s.user_properties.put(out);
            });
        }
        for (filter, options) in &s.filters {
            out.string(filter.text);
            out.u8(option_byte(options, version));
        }
    });
}

/// Decodes the body of an UNSUBSCRIBE.
pub(super) fn decode_unsubscribe(
    body: &[u8],
    version: Version,
    filters_max: usize,
) -> Result<Unsubscribe<'_>, DecodeError> {
    let mut r = Reader::new(body);
    let packet_id = r.packet_id()?;
    let mut user_properties = UserProperties::default();
    if version.is_v5() {
        user_properties = UserProperties::of(property::read(&mut r, IdSet::UNSUBSCRIBE, |_| {})?);
    }
    if r.is_empty() {
        return Err(protocol_error("UNSUBSCRIBE without a Topic Filter [MQTT-3.10.3-2]"));
    }
    let mut filters = Vec::new();
    while !r.is_empty() {
        if filters.len() >= filters_max {
            return Err(TOO_MANY);
        }
        filters.push(r.subscription_filter()?);
    }
    Ok(Unsubscribe { packet_id, user_properties, filters })
}

/// Writes an UNSUBSCRIBE.
pub(super) fn put_unsubscribe(u: &Unsubscribe<'_>, version: Version, out: &mut impl Sink) {
    out.u8(UNSUBSCRIBE << 4 | 0b0010);
    out.prefixed(|out| {
        out.u16(u.packet_id.get());
        if version.is_v5() {
            out.prefixed(|out| u.user_properties.put(out));
        }
        for filter in &u.filters {
            out.string(filter.text);
        }
    });
}

/// Decodes the body of a SUBACK or UNSUBACK (`kind`).
pub(super) fn decode_ack(
    kind: u8,
    body: &[u8],
    version: Version,
) -> Result<SubAck<'_>, DecodeError> {
    let mut r = Reader::new(body);
    let packet_id = r.packet_id()?;
    let (mut reason_string, mut user_properties) = (None, UserProperties::default());
    if version.is_v5() {
        let properties = property::read(&mut r, IdSet::ACK, |p| {
            if let Property::ReasonString(text) = p {
                reason_string = Some(text);
            }
        })?;
        user_properties = UserProperties::of(properties);
    }
    if kind == UNSUBACK && !version.is_v5() {
        r.finish()?;
        return Ok(SubAck { packet_id, reason_string, user_properties, reasons: Vec::new() });
    }
    if r.is_empty() {
        return Err(protocol_error(
            "SUBACK or UNSUBACK without a reason code [MQTT-3.8.4-6] [MQTT-3.11.3-2]",
        ));
    }
    let mut reasons = Vec::with_capacity(r.rest().len());
    for &byte in r.rest() {
        reasons.push(if kind == SUBACK {
            suback_reason(byte, version)?
        } else {
            unsuback_reason(byte)?
        });
    }
    Ok(SubAck { packet_id, reason_string, user_properties, reasons })
}

fn suback_reason(byte: u8, version: Version) -> Result<ReasonCode, DecodeError> {
    use ReasonCode::*;
    match ReasonCode::from_u8(byte) {
        Some(code @ (Success | GrantedQoS1 | GrantedQoS2 | UnspecifiedError)) => Ok(code),
        Some(
            code @ (ImplementationSpecificError
            | NotAuthorized
            | TopicFilterInvalid
            | PacketIdentifierInUse
            | QuotaExceeded
            | SharedSubscriptionsNotSupported
            | SubscriptionIdentifiersNotSupported
            | WildcardSubscriptionsNotSupported),
        ) if version.is_v5() => Ok(code),
        _ => Err(protocol_error("SUBACK with a reason code it may not have [MQTT-3.9.3-2]")),
    }
}

fn unsuback_reason(byte: u8) -> Result<ReasonCode, DecodeError> {
    use ReasonCode::*;
    match ReasonCode::from_u8(byte) {
        Some(
            code @ (Success
            | NoSubscriptionExisted
            | UnspecifiedError
            | ImplementationSpecificError
            | NotAuthorized
            | TopicFilterInvalid
            | PacketIdentifierInUse),
        ) => Ok(code),
        _ => Err(protocol_error("UNSUBACK with a reason code it may not have [MQTT-3.11.3-2]")),
    }
}

/// Writes a SUBACK or UNSUBACK (`kind`).
pub(super) fn put_ack(kind: u8, ack: &SubAck<'_>, version: Version, out: &mut impl Sink) {
    out.u8(kind << 4);
    out.prefixed(|out| {
        out.u16(ack.packet_id.get());
        if version.is_v5() {
            put_reason_properties(ack.reason_string, ack.user_properties, out);
        } else if kind == UNSUBACK {
            return;
        }
        for &reason in &ack.reasons {
            let failed_in_3x = reason.is_error() && !version.is_v5();
            out.u8(if failed_in_3x { ReasonCode::UnspecifiedError } else { reason }.as_u8());
        }
    });
}
