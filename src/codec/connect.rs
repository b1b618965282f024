//! CONNECT and CONNACK (sections 3.1 and 3.2).
//!
//! May use: `primitive`, `property`, `topic`. Invariant: a decoded CONNECT speaks of Clean Start
//! and Session Expiry Interval whatever its version; what 3.x cannot say has the default that 5.0
//! gives to an absent property.

use std::num::NonZeroU16;

use super::packet::{ConnAck, Connect, QoS, Version, Will};
use super::primitive::{Reader, Sink, malformed, protocol_error};
use super::property::{self, IdSet, Properties, Property, UserProperties, id};
use super::reason::ReasonCode;
use super::{CONNACK, CONNECT, DecodeError};

/// Set in the protocol level by a mosquitto bridge.
const BRIDGE: u8 = 0x80;

const RESERVED: u8 = 0x01;
const CLEAN_START: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_QOS: u8 = 0x18;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

/// Decodes the body of a CONNECT.
pub(super) fn decode_connect(body: &[u8]) -> Result<Connect<'_>, DecodeError> {
    let mut r = Reader::new(body);
    let (version, bridge) = protocol(&mut r)?;
    let flags = connect_flags(r.u8()?, version)?;
    let keep_alive_s = r.u16()?;
    let clean_start = flags & CLEAN_START != 0;
    let mut c = Connect {
        bridge,
        clean_start,
        keep_alive_s,
        session_expiry_s: if clean_start { 0 } else { u32::MAX },
        ..Connect::new(version, "")
    };
    if version.is_v5() {
        c.session_expiry_s = 0;
        connect_properties(&mut r, &mut c)?;
    }
    c.client_id = r.string()?;
    if flags & WILL != 0 {
        c.will = Some(will(&mut r, flags, version)?);
    }
    // 3.1 (its section 3.1) lets the Remaining Length overrule these two flags.
    let has =
        |flag: u8, r: &Reader<'_>| flags & flag != 0 && !(version == Version::V31 && r.is_empty());
    if has(USER_NAME, &r) {
        c.user_name = Some(r.string()?);
    }
    if has(PASSWORD, &r) {
        c.password = Some(r.binary()?);
    }
    r.finish()?;
    Ok(c)
}

/// Protocol Name and Protocol Version: the version, and whether the Client is a bridge.
fn protocol(r: &mut Reader<'_>) -> Result<(Version, bool), DecodeError> {
    let unsupported = |what| DecodeError { reason: ReasonCode::UnsupportedProtocolVersion, what };
    let name = r.binary()?;
    if !matches!(name, b"MQTT" | b"MQIsdp") {
        return Err(unsupported("the protocol name is not \"MQTT\" [MQTT-3.1.2-1]"));
    }
    let level = r.u8()?;
    let bridge = level & BRIDGE != 0;
    match (name, level & !BRIDGE) {
        (b"MQIsdp", 3) => Ok((Version::V31, bridge)),
        (b"MQTT", 4) => Ok((Version::V311, bridge)),
        (b"MQTT", 5) if !bridge => Ok((Version::V5, false)),
        _ => Err(unsupported("the protocol version is not 3.1, 3.1.1 or 5.0 [MQTT-3.1.2-2]")),
    }
}

/// The Connect Flags, checked; in 3.1 what it says to disregard is cleared.
fn connect_flags(flags: u8, version: Version) -> Result<u8, DecodeError> {
    let will_options = flags & (WILL_QOS | WILL_RETAIN);
    if version == Version::V31 {
        if flags & PASSWORD != 0 && flags & USER_NAME == 0 {
            return Err(malformed("CONNECT with a password but no user name (3.1: section 3.1)"));
        }
        if flags & WILL == 0 {
            return Ok(flags & !(WILL_QOS | WILL_RETAIN));
        }
    } else if flags & RESERVED != 0 {
        return Err(malformed("CONNECT with the reserved flag set [MQTT-3.1.2-3]"));
    }
    if flags & WILL == 0 && will_options != 0 {
        return Err(malformed(
            "CONNECT with Will QoS or Will Retain but no Will [MQTT-3.1.2-11] [MQTT-3.1.2-13]",
        ));
    }
    if flags & WILL_QOS == WILL_QOS {
        return Err(malformed("CONNECT with Will QoS 3 [MQTT-3.1.2-12]"));
    }
    if version == Version::V311 && flags & PASSWORD != 0 && flags & USER_NAME == 0 {
        return Err(malformed("CONNECT with a password but no user name (3.1.1: [MQTT-3.1.2-22])"));
    }
    Ok(flags)
}

fn connect_properties<'a>(r: &mut Reader<'a>, c: &mut Connect<'a>) -> Result<(), DecodeError> {
    let properties = property::read(r, IdSet::CONNECT, |p| match p {
        Property::SessionExpiryInterval(seconds) => c.session_expiry_s = seconds,
        Property::ReceiveMaximum(n) => {
            c.receive_maximum = NonZeroU16::new(n).unwrap_or(NonZeroU16::MAX);
        }
        Property::MaximumPacketSize(n) => c.maximum_packet_size = n,
        Property::TopicAliasMaximum(n) => c.topic_alias_maximum = n,
        Property::RequestResponseInformation(b) => c.request_response_information = b,
        Property::RequestProblemInformation(b) => c.request_problem_information = b,
        Property::AuthenticationMethod(text) => c.authentication_method = Some(text),
        Property::AuthenticationData(data) => c.authentication_data = Some(data),
        _ => {}
    })?;
    if c.authentication_data.is_some() && c.authentication_method.is_none() {
        return Err(DATA_WITHOUT_METHOD);
    }
    c.user_properties = UserProperties::of(properties);
    Ok(())
}

const DATA_WITHOUT_METHOD: DecodeError =
    protocol_error("Authentication Data without Authentication Method (section 3.1.2.11.10)");

fn will<'a>(r: &mut Reader<'a>, flags: u8, version: Version) -> Result<Will<'a>, DecodeError> {
    let mut delay_s = 0;
    let properties = if version.is_v5() {
        property::read(r, IdSet::WILL, |p| {
            if let Property::WillDelayInterval(seconds) = p {
                delay_s = seconds;
            }
        })?
    } else {
        Properties::default()
    };
    let topic = r.topic_name()?.ok_or(malformed("the Will Topic is empty [MQTT-4.7.3-1]"))?;
    let payload = r.binary()?;
    let qos = match flags & WILL_QOS {
        0x00 => QoS::AtMostOnce,
        0x08 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce, // 3 was refused
    };
    let retain = flags & WILL_RETAIN != 0;
    Ok(Will { qos, retain, delay_s, topic, properties, payload })
}

/// Writes a CONNECT, in the form of `version` and not of its own.
pub(super) fn put_connect(c: &Connect<'_>, version: Version, out: &mut impl Sink) {
    let (name, level) = match version {
        Version::V31 => ("MQIsdp", 3),
        Version::V311 => ("MQTT", 4),
        Version::V5 => ("MQTT", 5),
    };
    let bridge = if c.bridge && !version.is_v5() { BRIDGE } else { 0 };
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let will_flags = c
        .will
        .as_ref()
        .map_or(0, |will| WILL | (will.qos as u8) << 3 | flag(will.retain, WILL_RETAIN));
    out.u8(CONNECT << 4);
    out.prefixed(|out| {
        out.string(name);
        out.u8(level | bridge);
        out.u8(flag(c.clean_start, CLEAN_START)
            | will_flags
            | flag(c.password.is_some(), PASSWORD)
            | flag(c.user_name.is_some(), USER_NAME));
        out.u16(c.keep_alive_s);
        if version.is_v5() {
            out.prefixed(|out| put_connect_properties(c, out));
        }
        out.string(c.client_id);
        if let Some(will) = &c.will {
            put_will(will, version, out);
        }
        if let Some(user_name) = c.user_name {
            out.string(user_name);
        }
        if let Some(password) = c.password {
            out.binary(password);
        }
    });
}

/// Only what differs from what its absence means.
fn put_connect_properties(c: &Connect<'_>, out: &mut impl Sink) {
    if c.session_expiry_s != 0 {
        Property::SessionExpiryInterval(c.session_expiry_s).put(out);
    }
    if c.receive_maximum != NonZeroU16::MAX {
        Property::ReceiveMaximum(c.receive_maximum.get()).put(out);
    }
    if c.maximum_packet_size != u32::MAX {
        Property::MaximumPacketSize(c.maximum_packet_size).put(out);
    }
    if c.topic_alias_maximum != 0 {
        Property::TopicAliasMaximum(c.topic_alias_maximum).put(out);
    }
    if c.request_response_information {
        Property::RequestResponseInformation(true).put(out);
    }
    if !c.request_problem_information {
        Property::RequestProblemInformation(false).put(out);
    }
    c.user_properties.put(out);
    if let Some(text) = c.authentication_method {
        Property::AuthenticationMethod(text).put(out);
    }
    if let Some(data) = c.authentication_data {
        Property::AuthenticationData(data).put(out);
    }
}

fn put_will(will: &Will<'_>, version: Version, out: &mut impl Sink) {
    if version.is_v5() {
        out.prefixed(|out| {
            out.put(will.properties.as_bytes());
            if will.delay_s != 0 && !will.properties.contains(id::WILL_DELAY_INTERVAL) {
                Property::WillDelayInterval(will.delay_s).put(out);
            }
        });
    }
    out.string(will.topic.as_str());
    out.binary(will.payload);
}

/// Decodes the body of a CONNACK.
pub(super) fn decode_connack(body: &[u8], version: Version) -> Result<ConnAck<'_>, DecodeError> {
    let mut r = Reader::new(body);
    let session_present = match r.u8()? {
        _ if version == Version::V31 => false, // the byte is not used there
        flags @ 0..=1 => flags == 1,
        _ => return Err(malformed("CONNACK with reserved flags set [MQTT-3.2.2-1]")),
    };
    let mut c = ConnAck { session_present, ..ConnAck::default() };
    let code = r.u8()?;
    if version.is_v5() {
        c.reason = connack_reason(code)?;
        connack_properties(&mut r, &mut c)?;
    } else {
        c.reason = ReasonCode::from_connack_return_code(code).ok_or(CONNACK_REASON)?;
    }
    if c.session_present && c.reason != ReasonCode::Success {
        return Err(protocol_error("CONNACK with an error and Session Present [MQTT-3.2.2-6]"));
    }
    r.finish()?;
    Ok(c)
}

const CONNACK_REASON: DecodeError =
    protocol_error("CONNACK with a reason code it may not have [MQTT-3.2.2-8]");

fn connack_reason(byte: u8) -> Result<ReasonCode, DecodeError> {
    use ReasonCode::*;
    match ReasonCode::from_u8(byte) {
        Some(
            code @ (Success
            | UnspecifiedError
            | MalformedPacket
            | ProtocolError
            | ImplementationSpecificError
            | UnsupportedProtocolVersion
            | ClientIdentifierNotValid
            | BadUserNameOrPassword
            | NotAuthorized
            | ServerUnavailable
            | ServerBusy
            | Banned
            | BadAuthenticationMethod
            | TopicNameInvalid
            | PacketTooLarge
            | QuotaExceeded
            | PayloadFormatInvalid
            | RetainNotSupported
            | QoSNotSupported
            | UseAnotherServer
            | ServerMoved
            | ConnectionRateExceeded),
        ) => Ok(code),
        _ => Err(CONNACK_REASON),
    }
}

fn connack_properties<'a>(r: &mut Reader<'a>, c: &mut ConnAck<'a>) -> Result<(), DecodeError> {
    let properties = property::read(r, IdSet::CONNACK, |p| match p {
        Property::SessionExpiryInterval(seconds) => c.session_expiry_s = Some(seconds),
        Property::ReceiveMaximum(n) => c.receive_maximum = Some(n),
        Property::MaximumQoS(n) => c.maximum_qos = Some(n),
        Property::RetainAvailable(b) => c.retain_available = Some(b),
        Property::MaximumPacketSize(n) => c.maximum_packet_size = Some(n),
        Property::AssignedClientIdentifier(text) => c.assigned_client_id = Some(text),
        Property::TopicAliasMaximum(n) => c.topic_alias_maximum = Some(n),
        Property::ReasonString(text) => c.reason_string = Some(text),
        Property::WildcardSubscriptionAvailable(b) => c.wildcard_subscription_available = Some(b),
        Property::SubscriptionIdentifierAvailable(b) => {
            c.subscription_identifiers_available = Some(b);
        }
        Property::SharedSubscriptionAvailable(b) => c.shared_subscription_available = Some(b),
        Property::ServerKeepAlive(seconds) => c.server_keep_alive_s = Some(seconds),
        Property::ResponseInformation(text) => c.response_information = Some(text),
        Property::ServerReference(text) => c.server_reference = Some(text),
        Property::AuthenticationMethod(text) => c.authentication_method = Some(text),
        Property::AuthenticationData(data) => c.authentication_data = Some(data),
        _ => {}
    })?;
    if c.authentication_data.is_some() && c.authentication_method.is_none() {
        return Err(DATA_WITHOUT_METHOD);
    }
    c.user_properties = UserProperties::of(properties);
    Ok(())
}

/// Writes a CONNACK. 3.1 has no Session Present.
pub(super) fn put_connack(c: &ConnAck<'_>, version: Version, out: &mut impl Sink) {
    let present = u8::from(c.session_present && version != Version::V31);
    if !version.is_v5() {
        return out.put(&[CONNACK << 4, 2, present, c.reason.connack_return_code()]);
    }
    out.u8(CONNACK << 4);
    out.prefixed(|out| {
        out.put(&[present, c.reason.as_u8()]);
        out.prefixed(|out| {
            let properties = [
                c.session_expiry_s.map(Property::SessionExpiryInterval),
                c.receive_maximum.map(Property::ReceiveMaximum),
                c.maximum_qos.map(Property::MaximumQoS),
                c.retain_available.map(Property::RetainAvailable),
                c.maximum_packet_size.map(Property::MaximumPacketSize),
                c.assigned_client_id.map(Property::AssignedClientIdentifier),
                c.topic_alias_maximum.map(Property::TopicAliasMaximum),
                c.reason_string.map(Property::ReasonString),
            ];
            properties.into_iter().flatten().for_each(|p| p.put(out));
            c.user_properties.put(out);
            let properties = [
                c.wildcard_subscription_available.map(Property::WildcardSubscriptionAvailable),
                c.subscription_identifiers_available.map(Property::SubscriptionIdentifierAvailable),
                c.shared_subscription_available.map(Property::SharedSubscriptionAvailable),
                c.server_keep_alive_s.map(Property::ServerKeepAlive),
                c.response_information.map(Property::ResponseInformation),
                c.server_reference.map(Property::ServerReference),
                c.authentication_method.map(Property::AuthenticationMethod),
                c.authentication_data.map(Property::AuthenticationData),
            ];
            properties.into_iter().flatten().for_each(|p| p.put(out));
        });
    });
}
