//! DISCONNECT and AUTH (sections 3.14 and 3.15): the packets of reason, method and farewell.
//!
//! May use: `primitive`, `property`. Invariant: the reason code is one that this side may send in
//! this packet.

use super::packet::{Auth, Disconnect, Sender, Version};
use super::primitive::{Reader, Sink, protocol_error};
use super::property::{self, IdSet, Property, UserProperties};
use super::reason::ReasonCode;
use super::{AUTH, DISCONNECT, DecodeError};

/// Decodes the body of a DISCONNECT. Without one it is a normal disconnection.
pub(super) fn decode_disconnect(
    body: &[u8],
    sender: Sender,
    version: Version,
) -> Result<Disconnect<'_>, DecodeError> {
    let mut r = Reader::new(body);
    let mut d = Disconnect::default();
    if !version.is_v5() {
        if sender == Sender::Server {
            return Err(protocol_error("DISCONNECT from a Server (3.1.1: section 3.14)"));
        }
        r.finish()?;
    }
    if r.is_empty() {
        return Ok(d);
    }
    d.reason = disconnect_reason(r.u8()?, sender)?;
    if r.is_empty() {
        return Ok(d);
    }
    let properties = property::read(&mut r, IdSet::disconnect(sender), |p| match p {
        Property::SessionExpiryInterval(seconds) => d.session_expiry_s = Some(seconds),
        Property::ReasonString(text) => d.reason_string = Some(text),
        Property::ServerReference(text) => d.server_reference = Some(text),
        _ => {}
    })?;
    r.finish()?;
    d.user_properties = UserProperties::of(properties);
    Ok(d)
}

fn disconnect_reason(byte: u8, sender: Sender) -> Result<ReasonCode, DecodeError> {
    use ReasonCode::*;
    let code = ReasonCode::from_u8(byte);
    match (sender, code) {
        (
            _,
            Some(
                code @ (Success
                | UnspecifiedError
                | MalformedPacket
                | ProtocolError
                | ImplementationSpecificError
                | TopicNameInvalid
                | ReceiveMaximumExceeded
                | TopicAliasInvalid
                | PacketTooLarge
                | MessageRateTooHigh
                | QuotaExceeded
                | AdministrativeAction
                | PayloadFormatInvalid),
            ),
        ) => Ok(code),
        (Sender::Client, Some(code @ DisconnectWithWillMessage)) => Ok(code),
        (
            Sender::Server,
            Some(
                code @ (NotAuthorized
                | ServerBusy
                | ServerShuttingDown
                | KeepAliveTimeout
                | SessionTakenOver
                | TopicFilterInvalid
                | RetainNotSupported
                | QoSNotSupported
                | UseAnotherServer
                | ServerMoved
                | SharedSubscriptionsNotSupported
                | ConnectionRateExceeded
                | MaximumConnectTime
                | SubscriptionIdentifiersNotSupported
                | WildcardSubscriptionsNotSupported),
            ),
        ) => Ok(code),
        _ => Err(protocol_error(
            "DISCONNECT with a reason code that its sender may not use [MQTT-3.14.2-1]",
        )),
    }
}

/// Writes a DISCONNECT. In 3.x only a Client has one, and only for a normal disconnection: one with
/// an error code is not written.
pub(super) fn put_disconnect(d: &Disconnect<'_>, version: Version, out: &mut impl Sink) {
    if !version.is_v5() {
        if !d.reason.is_error() {
            out.put(&[DISCONNECT << 4, 0]);
        }
        return;
    }
    let properties = d.session_expiry_s.is_some()
        || d.reason_string.is_some()
        || d.server_reference.is_some()
        || !d.user_properties.is_empty();
    if !properties {
        return match d.reason {
            ReasonCode::Success => out.put(&[DISCONNECT << 4, 0]),
            reason => out.put(&[DISCONNECT << 4, 1, reason.as_u8()]),
        };
    }
    out.u8(DISCONNECT << 4);
    out.prefixed(|out| {
        out.u8(d.reason.as_u8());
        out.prefixed(|out| {
            if let Some(seconds) = d.session_expiry_s {
                Property::SessionExpiryInterval(seconds).put(out);
            }
            if let Some(text) = d.reason_string {
                Property::ReasonString(text).put(out);
            }
            d.user_properties.put(out);
            if let Some(text) = d.server_reference {
                Property::ServerReference(text).put(out);
            }
        });
    });
}

/// Decodes the body of an AUTH. Without one it is Success, which only a Server says.
pub(super) fn decode_auth(body: &[u8], sender: Sender) -> Result<Auth<'_>, DecodeError> {
    let mut r = Reader::new(body);
    let mut auth = Auth::default();
    if !r.is_empty() {
        auth.reason = ReasonCode::from_u8(r.u8()?).ok_or(AUTH_REASON)?;
    }
    match (sender, auth.reason) {
        (_, ReasonCode::ContinueAuthentication) => {}
        (Sender::Client, ReasonCode::ReAuthenticate) | (Sender::Server, ReasonCode::Success) => {}
        _ => return Err(AUTH_REASON),
    }
    if body.is_empty() {
        return Ok(auth);
    }
    let properties = property::read(&mut r, IdSet::AUTH, |p| match p {
        Property::AuthenticationMethod(text) => auth.method = Some(text),
        Property::AuthenticationData(data) => auth.data = Some(data),
        Property::ReasonString(text) => auth.reason_string = Some(text),
        _ => {}
    })?;
    r.finish()?;
    auth.user_properties = UserProperties::of(properties);
    if auth.method.is_none() {
        return Err(protocol_error("AUTH without Authentication Method (section 3.15.2.2.2)"));
    }
    Ok(auth)
}

const AUTH_REASON: DecodeError =
    protocol_error("AUTH with a reason code that its sender may not use [MQTT-3.15.2-1]");

/// Writes an AUTH; 3.x has none.
pub(super) fn put_auth(auth: &Auth<'_>, version: Version, out: &mut impl Sink) {
    if !version.is_v5() {
        return;
    }
    let properties = auth.method.is_some()
        || auth.data.is_some()
        || auth.reason_string.is_some()
        || !auth.user_properties.is_empty();
    if auth.reason == ReasonCode::Success && !properties {
        return out.put(&[AUTH << 4, 0]);
    }
    out.u8(AUTH << 4);
    out.prefixed(|out| {
        out.u8(auth.reason.as_u8());
        out.prefixed(|out| {
            if let Some(text) = auth.method {
                Property::AuthenticationMethod(text).put(out);
            }
            if let Some(data) = auth.data {
                Property::AuthenticationData(data).put(out);
            }
            if let Some(text) = auth.reason_string {
                Property::ReasonString(text).put(out);
            }
            auth.user_properties.put(out);
        });
    });
}
