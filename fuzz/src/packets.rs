//! Valid packets of every kind, side and version out of a [`Source`].

use std::num::NonZeroU16;

use stonechat::codec::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, Properties, Property, Publish, QoS,
    ReasonCode, RetainHandling, Sender, SubAck, Subscribe, SubscriptionOptions, Unsubscribe,
    UserProperties, Version, Will,
};

use super::source::{Shelf, Source};

/// Client Identifiers, so that sessions are met again. The empty one is assigned one.
pub const CLIENT_IDS: [&str; 6] = ["a", "b", "c", "d", "e", ""];

const PUBLISH_OF_CLIENT: [u8; 7] = [0x26, 0x23, 0x02, 0x01, 0x03, 0x08, 0x09];
const PUBLISH_OF_SERVER: [u8; 8] = [0x26, 0x23, 0x02, 0x01, 0x03, 0x08, 0x09, 0x0B];
const WILL: [u8; 7] = [0x18, 0x02, 0x01, 0x03, 0x08, 0x09, 0x26];
const USER: [u8; 1] = [0x26];

const PUBACK: &[u8] = &[0, 0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const PUBREL: &[u8] = &[0, 0x92];
const SUBACK: &[u8] = &[0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2];
const SUBACK_3: &[u8] = &[0, 1, 2, 0x80];
const UNSUBACK: &[u8] = &[0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91];
const CONNACK: &[u8] = &[
    0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97,
    0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
];
const CONNACK_3: &[u8] = &[0, 0x84, 0x85, 0x86, 0x87, 0x88];
const DISCONNECT_OF_CLIENT: &[u8] =
    &[0, 4, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99];
const DISCONNECT_OF_SERVER: &[u8] = &[
    0, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96,
    0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
];

/// Any packet that `sender` may send.
pub fn any<'a, 's: 'a>(
    source: &mut Source<'s>,
    shelf: &'a Shelf,
    sender: Sender,
    version: Version,
) -> Packet<'a> {
    match sender {
        Sender::Client => of_client(source, shelf, version),
        Sender::Server => of_server(source, shelf, version),
    }
}

/// Any packet that a client may send, the first ones of the list more often.
pub fn of_client<'a, 's: 'a>(
    source: &mut Source<'s>,
    shelf: &'a Shelf,
    version: Version,
) -> Packet<'a> {
    let v5 = version.is_v5();
    match source.below(32) {
        0..=7 => publish(source, shelf, Sender::Client, version),
        8..=12 => subscribe(source, shelf, version),
        13..=14 => unsubscribe(source, shelf, version),
        15..=17 => Packet::PubAck(ack(source, shelf, version, PUBACK)),
        18..=20 => Packet::PubRec(ack(source, shelf, version, PUBACK)),
        21..=23 => Packet::PubRel(ack(source, shelf, version, PUBREL)),
        24..=26 => Packet::PubComp(ack(source, shelf, version, PUBREL)),
        27 => Packet::PingReq,
        28 => Packet::Connect(Box::new(connect(source, shelf, version))),
        29 if v5 => Packet::Auth(auth(source, shelf, &[0x18, 0x19])),
        _ => Packet::Disconnect(disconnect(source, shelf, Sender::Client, version)),
    }
}

fn of_server<'a, 's: 'a>(
    source: &mut Source<'s>,
    shelf: &'a Shelf,
    version: Version,
) -> Packet<'a> {
    let v5 = version.is_v5();
    match source.below(12) {
        0 | 1 => publish(source, shelf, Sender::Server, version),
        2 => Packet::ConnAck(Box::new(connack(source, shelf, version))),
        3 => Packet::PubAck(ack(source, shelf, version, PUBACK)),
        4 => Packet::PubRec(ack(source, shelf, version, PUBACK)),
        5 => Packet::PubRel(ack(source, shelf, version, PUBREL)),
        6 => Packet::PubComp(ack(source, shelf, version, PUBREL)),
        7 => Packet::SubAck(sub_ack(source, shelf, version, if v5 { SUBACK } else { SUBACK_3 })),
        8 => {
            let codes = if v5 { UNSUBACK } else { &[] };
            Packet::UnsubAck(sub_ack(source, shelf, version, codes))
        }
        9 if v5 => Packet::Disconnect(disconnect(source, shelf, Sender::Server, version)),
        10 if v5 && source.flag() => Packet::Auth(Auth::default()),
        10 if v5 => Packet::Auth(auth(source, shelf, &[0, 0x18])),
        _ => Packet::PingResp,
    }
}

fn reason(source: &mut Source<'_>, codes: &[u8]) -> ReasonCode {
    ReasonCode::from_u8(source.pick(codes)).expect("the lists name codes")
}

/// Up to five properties out of `allowed`, in any order, each as often as it may stand there.
fn block<'a, 's: 'a>(source: &mut Source<'s>, shelf: &'a Shelf, allowed: &[u8]) -> Properties<'a> {
    let (mut raw, mut seen) = (Vec::new(), 0_u64);
    for _ in 0..source.below(6) {
        let id = source.pick(allowed);
        if seen >> id & 1 == 0 || matches!(id, 0x26 | 0x0B) {
            seen |= 1 << id;
            raw.push(id);
            value(source, id, &mut raw);
        }
    }
    if raw.is_empty() {
        return Properties::default();
    }
    Properties::from_validated(shelf.keep(raw))
}

fn value(source: &mut Source<'_>, id: u8, raw: &mut Vec<u8>) {
    let mut put = |bytes: &[u8]| {
        raw.extend((bytes.len() as u16).to_be_bytes());
        raw.extend(bytes);
    };
    match id {
        0x01 => raw.push(u8::from(source.flag())),
        0x02 | 0x18 => raw.extend(seconds(source).to_be_bytes()),
        0x23 => raw.extend(alias(source).to_be_bytes()),
        0x08 => put(source.topic().as_str().as_bytes()),
        0x09 => put(source.bytes()),
        0x0B => varint(subscription_id(source), raw),
        0x26 => {
            put(source.text().as_bytes());
            put(source.text().as_bytes());
        }
        _ => put(source.text().as_bytes()),
    }
}

/// Mostly few seconds.
fn seconds(source: &mut Source<'_>) -> u32 {
    match source.byte() {
        n @ 0..200 => u32::from(n) % 20,
        n @ 200..240 => u32::from(n) * 1000,
        240..248 => u32::MAX,
        _ => source.u32(),
    }
}

fn alias(source: &mut Source<'_>) -> u16 {
    match source.byte() {
        n @ 0..240 => 1 + u16::from(n) % 4,
        _ => source.u16().max(1),
    }
}

fn subscription_id(source: &mut Source<'_>) -> u32 {
    match source.byte() {
        n @ 0..200 => 1 + u32::from(n),
        _ => 1 + source.u32() % 268_435_455,
    }
}

/// As the specification's pseudo-code does it (section 1.5.5).
fn varint(mut value: u32, out: &mut Vec<u8>) {
    loop {
        let byte = (value % 128) as u8;
        value /= 128;
        out.push(if value > 0 { byte | 128 } else { byte });
        if value == 0 {
            return;
        }
    }
}

fn user_properties<'a, 's: 'a>(
    source: &mut Source<'s>,
    shelf: &'a Shelf,
    version: Version,
) -> UserProperties<'a> {
    if version.is_v5() && source.one_in(4) {
        UserProperties::of(block(source, shelf, &USER))
    } else {
        UserProperties::default()
    }
}

fn payload<'a, 's: 'a>(source: &mut Source<'s>, shelf: &'a Shelf) -> &'a [u8] {
    match source.byte() {
        0..60 => b"",
        60..250 => source.bytes(),
        // beyond what is copied into outboxes
        n => shelf.keep(vec![n; usize::from(n - 249) * 1000]),
    }
}

fn publish<'a, 's: 'a>(
    source: &mut Source<'s>,
    shelf: &'a Shelf,
    sender: Sender,
    version: Version,
) -> Packet<'a> {
    let flags = source.byte();
    let qos = source.qos();
    let with_id = qos != QoS::AtMostOnce;
    let packet_id = with_id.then(|| source.packet_id());
    let topic = source.topic();
    let mut properties = Properties::default();
    if version.is_v5() && flags & 4 != 0 {
        let allowed: &[u8] =
            if sender == Sender::Client { &PUBLISH_OF_CLIENT } else { &PUBLISH_OF_SERVER };
        properties = block(source, shelf, allowed);
    }
    let (mut topic_alias, mut message_expiry_s) = (None, None);
    for property in properties.iter() {
        match property {
            Property::TopicAlias(alias) => topic_alias = NonZeroU16::new(alias),
            Property::MessageExpiryInterval(seconds) => message_expiry_s = Some(seconds),
            _ => {}
        }
    }
    Packet::Publish(Publish {
        dup: flags & 1 != 0 && with_id,
        qos,
        retain: flags & 2 != 0,
        topic: (topic_alias.is_none() || flags & 8 == 0).then_some(topic),
        packet_id,
        topic_alias,
        message_expiry_s,
        properties,
        payload: payload(source, shelf),
    })
}

fn ack<'a, 's: 'a>(
    source: &mut Source<'s>,
    shelf: &'a Shelf,
    version: Version,
    codes: &[u8],
) -> Ack<'a> {
    let packet_id = source.packet_id();
    let mut ack = Ack::new(packet_id, ReasonCode::Success);
    if version.is_v5() {
        ack.reason = reason(source, codes);
        ack.reason_string = source.one_in(4).then(|| source.text());
        ack.user_properties = user_properties(source, shelf, version);
    }
    ack
}

/// A CONNECT.
pub fn connect<'a, 's: 'a>(
    source: &mut Source<'s>,
    shelf: &'a Shelf,
    version: Version,
) -> Connect<'a> {
    let v5 = version.is_v5();
    let flags = source.byte();
    let clean_start = flags & 1 != 0;
    let client_id = match source.byte() {
        n @ 0..248 => CLIENT_IDS[usize::from(n) % CLIENT_IDS.len()],
        _ => source.text(),
    };
    let mut c = Connect {
        version,
        bridge: !v5 && flags & 0x0C == 0x0C,
        clean_start,
        keep_alive_s: if flags & 2 != 0 { u16::from(source.byte()) } else { 0 },
        session_expiry_s: if clean_start { 0 } else { u32::MAX },
        receive_maximum: NonZeroU16::MAX,
        maximum_packet_size: u32::MAX,
        topic_alias_maximum: 0,
        request_response_information: v5 && flags & 4 != 0,
        request_problem_information: !v5 || flags & 8 == 0,
        user_properties: user_properties(source, shelf, version),
        authentication_method: None,
        authentication_data: None,
        client_id,
        will: (flags & 16 != 0).then(|| will(source, shelf, version)),
        user_name: (flags & 0x60 == 0x60).then(|| source.text()),
        password: (flags & 0xE0 == 0xE0).then(|| source.bytes()),
    };
    if v5 {
        c.session_expiry_s = seconds(source);
        c.receive_maximum = match source.byte() {
            n @ 0..200 => NonZeroU16::MIN.saturating_add(u16::from(n) % 4),
            _ => NonZeroU16::MAX,
        };
        c.maximum_packet_size = match source.byte() {
            n @ 0..60 => 2 * u32::from(n).max(1),
            n @ 60..70 => u32::from(n) * 100,
            _ => u32::MAX,
        };
        c.topic_alias_maximum = u16::from(source.byte() % 4);
        if source.byte() >= 250 {
            c.authentication_method = Some(source.text());
            c.authentication_data = source.maybe(Source::bytes);
        }
    }
    c
}

fn will<'a, 's: 'a>(source: &mut Source<'s>, shelf: &'a Shelf, version: Version) -> Will<'a> {
    let flags = source.byte();
    let mut properties = Properties::default();
    if version.is_v5() && flags & 1 != 0 {
        properties = block(source, shelf, &WILL);
    }
    let delay = properties.iter().find_map(|p| match p {
        Property::WillDelayInterval(seconds) => Some(seconds),
        _ => None,
    });
    Will {
        qos: source.qos(),
        retain: flags & 2 != 0,
        delay_s: delay.unwrap_or(0),
        topic: source.topic(),
        properties,
        payload: source.bytes(),
    }
}

fn connack<'a, 's: 'a>(source: &mut Source<'s>, shelf: &'a Shelf, version: Version) -> ConnAck<'a> {
    let reason = reason(source, if version.is_v5() { CONNACK } else { CONNACK_3 });
    let present = source.flag() && version != Version::V31;
    let session_present = present && reason == ReasonCode::Success;
    let plain = ConnAck { reason, session_present, ..ConnAck::default() };
    if !version.is_v5() {
        return plain;
    }
    let authentication_method = source.maybe(Source::text);
    ConnAck {
        session_expiry_s: source.maybe(Source::u32),
        receive_maximum: source.maybe(|s| s.u16().max(1)),
        maximum_qos: source.maybe(|s| u8::from(s.flag())),
        retain_available: source.maybe(Source::flag),
        maximum_packet_size: source.maybe(|s| s.u32().max(1)),
        assigned_client_id: source.maybe(Source::text),
        topic_alias_maximum: source.maybe(Source::u16),
        reason_string: source.maybe(Source::text),
        user_properties: user_properties(source, shelf, version),
        wildcard_subscription_available: source.maybe(Source::flag),
        subscription_identifiers_available: source.maybe(Source::flag),
        shared_subscription_available: source.maybe(Source::flag),
        server_keep_alive_s: source.maybe(Source::u16),
        response_information: source.maybe(Source::text),
        server_reference: source.maybe(Source::text),
        authentication_method,
        authentication_data: authentication_method.and_then(|_| source.maybe(Source::bytes)),
        ..plain
    }
}

fn subscribe<'a, 's: 'a>(
    source: &mut Source<'s>,
    shelf: &'a Shelf,
    version: Version,
) -> Packet<'a> {
    let packet_id = source.packet_id();
    let v5 = version.is_v5();
    let subscription_id = (v5 && source.flag()).then(|| subscription_id(source));
    let user_properties = user_properties(source, shelf, version);
    let filters = (0..=source.below(4)).map(|_| {
        let filter = source.filter();
        let mut options = SubscriptionOptions {
            qos: source.qos(),
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        };
        if v5 {
            let flags = source.byte();
            options.no_local = flags & 1 != 0 && filter.share.is_none();
            options.retain_as_published = flags & 2 != 0;
            options.retain_handling = match flags >> 2 & 3 {
                0 | 1 => RetainHandling::Send,
                2 => RetainHandling::SendIfNew,
                _ => RetainHandling::DoNotSend,
            };
        }
        (filter, options)
    });
    let filters = filters.collect();
    Packet::Subscribe(Subscribe { packet_id, subscription_id, user_properties, filters })
}

fn unsubscribe<'a, 's: 'a>(
    source: &mut Source<'s>,
    shelf: &'a Shelf,
    version: Version,
) -> Packet<'a> {
    let packet_id = source.packet_id();
    let user_properties = user_properties(source, shelf, version);
    let filters = (0..=source.below(4)).map(|_| source.filter()).collect();
    Packet::Unsubscribe(Unsubscribe { packet_id, user_properties, filters })
}

fn sub_ack<'a, 's: 'a>(
    source: &mut Source<'s>,
    shelf: &'a Shelf,
    version: Version,
    codes: &[u8],
) -> SubAck<'a> {
    let packet_id = source.packet_id();
    let v5 = version.is_v5();
    let reason_string = (v5 && source.flag()).then(|| source.text());
    let user_properties = user_properties(source, shelf, version);
    let count = if codes.is_empty() { 0 } else { 1 + source.below(4) };
    let reasons = (0..count).map(|_| reason(source, codes)).collect();
    SubAck { packet_id, reason_string, user_properties, reasons }
}

fn disconnect<'a, 's: 'a>(
    source: &mut Source<'s>,
    shelf: &'a Shelf,
    sender: Sender,
    version: Version,
) -> Disconnect<'a> {
    if !version.is_v5() {
        return Disconnect::default();
    }
    let client = sender == Sender::Client;
    let codes = if client { DISCONNECT_OF_CLIENT } else { DISCONNECT_OF_SERVER };
    Disconnect {
        reason: reason(source, codes),
        session_expiry_s: (client && source.flag()).then(|| seconds(source)),
        reason_string: source.one_in(4).then(|| source.text()),
        user_properties: user_properties(source, shelf, version),
        server_reference: source.one_in(4).then(|| source.text()),
    }
}

fn auth<'a, 's: 'a>(source: &mut Source<'s>, shelf: &'a Shelf, codes: &[u8]) -> Auth<'a> {
    Auth {
        reason: reason(source, codes),
        method: Some(source.text()),
        data: source.maybe(Source::bytes),
        reason_string: source.maybe(Source::text),
        user_properties: user_properties(source, shelf, Version::V5),
    }
}
