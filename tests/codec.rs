//! The codec against itself, against noise, and against mqttbytes.
//!
//! What lives here: properties that hold for every packet of every version in both directions. The
//! rows that name one normative statement each stand beside the code. Generated texts are leaked,
//! so that packets, which borrow, can be values of a strategy.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::num::NonZeroU16;

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use stonechat::codec::*;
use stonechat::topic::{SubscriptionFilter, TopicName};

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

fn leak<T: Clone>(items: &[T]) -> &'static [T] {
    Box::leak(items.to_vec().into_boxed_slice())
}

fn leak_str(text: &str) -> &'static str {
    Box::leak(text.into())
}

/// Any text without U+0000; now and then long enough for lengths of two bytes.
fn text() -> impl Strategy<Value = &'static str> {
    let char = prop_oneof![4 => proptest::char::range('a', 'z'), 1 => any::<char>()]
        .prop_map(|c| if c == '\0' { 'x' } else { c });
    let chars = prop_oneof![9 => vec(char.clone(), 0..12), 1 => vec(char, 120..400)];
    chars.prop_map(|chars| leak_str(&chars.into_iter().collect::<String>()))
}

fn data() -> impl Strategy<Value = &'static [u8]> {
    prop_oneof![9 => vec(any::<u8>(), 0..12), 1 => vec(any::<u8>(), 120..400)]
        .prop_map(|data| leak(&data))
}

fn topic_text() -> impl Strategy<Value = &'static str> {
    text().prop_map(|text| match text.replace(['+', '#'], "-") {
        text if text.is_empty() => "/",
        text => leak_str(&text),
    })
}

fn topic() -> impl Strategy<Value = TopicName<'static>> {
    topic_text().prop_map(|text| TopicName::new(text).unwrap())
}

fn filter() -> impl Strategy<Value = SubscriptionFilter<'static>> {
    let level = prop_oneof![1 => Just("+"), 3 => topic_text()];
    (option::of(Just("$share/group/")), vec(level, 1..5), any::<bool>()).prop_map(
        |(share, mut levels, hash)| {
            if hash {
                levels.push("#");
            }
            let text = format!("{}{}", share.unwrap_or_default(), levels.join("/"));
            SubscriptionFilter::parse(leak_str(&text)).unwrap()
        },
    )
}

fn qos() -> impl Strategy<Value = QoS> {
    proptest::sample::select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(|id| PacketId::new(id).unwrap())
}

/// Something that only MQTT 5.0 has.
fn in_v5<T: Clone + std::fmt::Debug + 'static>(
    version: Version,
    strategy: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Option<T>> {
    if version.is_v5() { option::of(strategy).boxed() } else { Just(None).boxed() }
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text);
}

fn user_properties(version: Version) -> BoxedStrategy<UserProperties<'static>> {
    let pairs = vec((text(), text()), 0..if version.is_v5() { 3 } else { 1 });
    pairs
        .prop_map(|pairs| {
            let mut raw = Vec::new();
            for (name, value) in pairs {
                raw.push(0x26);
                put_text(&mut raw, name.as_bytes());
                put_text(&mut raw, value.as_bytes());
            }
            UserProperties::of(Properties::from_validated(leak(&raw)))
        })
        .boxed()
}

type Forwarded = (
    Option<bool>,
    Option<u32>,
    Option<&'static str>,
    Option<&'static [u8]>,
    Vec<(&'static str, &'static str)>,
    Option<&'static str>,
);

/// What PUBLISH and Will have in common.
fn forwarded() -> impl Strategy<Value = Forwarded> {
    (
        option::of(any::<bool>()),
        option::of(any::<u32>()),
        option::of(topic_text()),
        option::of(data()),
        vec((text(), text()), 0..3),
        option::of(text()),
    )
}

/// A Variable Byte Integer, written as the specification's pseudo-code does (section 1.5.5).
fn varint(mut value: u32) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = (value % 128) as u8;
        value /= 128;
        out.push(if value > 0 { byte | 128 } else { byte });
        if value == 0 {
            return out;
        }
    }
}

/// In the order in which mqttbytes writes them in a PUBLISH.
fn publish_block(f: &Forwarded, alias: Option<NonZeroU16>, ids: &[u32]) -> Properties<'static> {
    let mut raw = Vec::new();
    if let Some(utf8) = f.0 {
        raw.extend([0x01, u8::from(utf8)]);
    }
    if let Some(seconds) = f.1 {
        raw.push(0x02);
        raw.extend(seconds.to_be_bytes());
    }
    if let Some(alias) = alias {
        raw.push(0x23);
        raw.extend(alias.get().to_be_bytes());
    }
    if let Some(topic) = f.2 {
        raw.push(0x08);
        put_text(&mut raw, topic.as_bytes());
    }
    if let Some(data) = f.3 {
        raw.push(0x09);
        put_text(&mut raw, data);
    }
    for (name, value) in &f.4 {
        raw.push(0x26);
        put_text(&mut raw, name.as_bytes());
        put_text(&mut raw, value.as_bytes());
    }
    for id in ids {
        raw.push(0x0B);
        raw.extend(varint(*id));
    }
    if let Some(text) = f.5 {
        raw.push(0x03);
        put_text(&mut raw, text.as_bytes());
    }
    Properties::from_validated(leak(&raw))
}

/// In the order in which mqttbytes writes them in a CONNECT.
fn will_block(f: &Forwarded, delay_s: u32) -> Properties<'static> {
    let mut raw = Vec::new();
    if delay_s != 0 {
        raw.push(0x18);
        raw.extend(delay_s.to_be_bytes());
    }
    let (first, last) =
        ((f.0, f.1, None, None, vec![], f.5), (None, None, f.2, f.3, f.4.clone(), None));
    raw.extend(publish_block(&first, None, &[]).as_bytes());
    raw.extend(publish_block(&last, None, &[]).as_bytes());
    Properties::from_validated(leak(&raw))
}

fn publish(version: Version, sender: Sender) -> BoxedStrategy<Packet<'static>> {
    let ids = if sender == Sender::Server { 0..3 } else { 0..1 };
    let ids = vec(1..=268_435_455_u32, ids);
    let head = (any::<bool>(), qos(), any::<bool>(), topic(), packet_id());
    let v5 = (any::<bool>(), in_v5(version, any::<NonZeroU16>()), in_v5(version, forwarded()));
    (head, v5, ids, data())
        .prop_map(move |((dup, qos, retain, topic, packet_id), v5, ids, payload)| {
            let (no_topic, topic_alias, forwarded) = v5;
            let properties = match &forwarded {
                Some(f) => publish_block(f, topic_alias, &ids),
                None => publish_block(&(None, None, None, None, vec![], None), topic_alias, &[]),
            };
            let with_id = qos != QoS::AtMostOnce;
            Packet::Publish(Publish {
                dup: dup && with_id,
                qos,
                retain,
                topic: (!(no_topic && topic_alias.is_some())).then_some(topic),
                packet_id: with_id.then_some(packet_id),
                topic_alias,
                message_expiry_s: forwarded.and_then(|f| f.1),
                properties,
                payload,
            })
        })
        .boxed()
}

fn ack(version: Version, reasons: &'static [u8]) -> impl Strategy<Value = Ack<'static>> {
    let reasons = if version.is_v5() { reasons } else { &[0] };
    (packet_id(), reason_of(reasons), in_v5(version, text()), user_properties(version)).prop_map(
        |(packet_id, reason, reason_string, user_properties)| Ack {
            packet_id,
            reason,
            reason_string,
            user_properties,
        },
    )
}

fn reason_of(codes: &'static [u8]) -> impl Strategy<Value = ReasonCode> + Clone {
    proptest::sample::select(codes).prop_map(|code| ReasonCode::from_u8(code).unwrap())
}

const PUBACK: &[u8] = &[0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const PUBREL: &[u8] = &[0, 0x92];
const SUBACK: &[u8] = &[0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2];
const UNSUBACK: &[u8] = &[0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91];
const CONNACK: &[u8] = &[
    0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97,
    0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
];
const DISCONNECT_OF_CLIENT: &[u8] =
    &[0, 4, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99];
const DISCONNECT_OF_SERVER: &[u8] = &[
    0, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96,
    0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
];

fn acks(version: Version) -> BoxedStrategy<Packet<'static>> {
    prop_oneof![
        ack(version, PUBACK).prop_map(Packet::PubAck),
        ack(version, PUBACK).prop_map(Packet::PubRec),
        ack(version, PUBREL).prop_map(Packet::PubRel),
        ack(version, PUBREL).prop_map(Packet::PubComp),
    ]
    .boxed()
}

fn connect(version: Version) -> BoxedStrategy<Packet<'static>> {
    let head = (any::<bool>(), any::<bool>(), any::<u16>(), text());
    let numbers = in_v5(
        version,
        (any::<u32>(), any::<NonZeroU16>(), 1..=u32::MAX, any::<u16>(), any::<(bool, bool)>()),
    );
    let auth = in_v5(version, (text(), option::of(data())));
    let will = (qos(), any::<bool>(), any::<u32>(), topic(), in_v5(version, forwarded()), data());
    let login = (option::of(text()), option::of(data()));
    (head, numbers, user_properties(version), auth, option::of(will), login)
        .prop_map(move |(head, numbers, user_properties, auth, will, (user_name, password))| {
            let (bridge, clean_start, keep_alive_s, client_id) = head;
            let n = numbers.unwrap_or((0, NonZeroU16::MAX, u32::MAX, 0, (false, true)));
            let expiry_in_3x = if clean_start { 0 } else { u32::MAX };
            let will = will.map(|(qos, retain, delay, topic, block, payload)| {
                let delay_s = if block.is_some() { delay } else { 0 };
                let properties = block.map(|f| will_block(&f, delay)).unwrap_or_default();
                Will { qos, retain, delay_s, topic, properties, payload }
            });
            Packet::Connect(Box::new(Connect {
                version,
                bridge: bridge && !version.is_v5(),
                clean_start,
                keep_alive_s,
                session_expiry_s: if version.is_v5() { n.0 } else { expiry_in_3x },
                receive_maximum: n.1,
                maximum_packet_size: n.2,
                topic_alias_maximum: n.3,
                request_response_information: n.4.0,
                request_problem_information: n.4.1,
                user_properties,
                authentication_method: auth.map(|a| a.0),
                authentication_data: auth.and_then(|a| a.1),
                client_id,
                will,
                user_name,
                password: password.filter(|_| version.is_v5() || user_name.is_some()),
            }))
        })
        .boxed()
}

fn connack(version: Version) -> BoxedStrategy<Packet<'static>> {
    let in_3x = &[0, 0x84, 0x85, 0x86, 0x87, 0x88];
    let reason = reason_of(if version.is_v5() { CONNACK } else { in_3x });
    let a = (
        in_v5(version, any::<u32>()),
        in_v5(version, 1..=u16::MAX),
        in_v5(version, 0..=1_u8),
        in_v5(version, any::<bool>()),
        in_v5(version, 1..=u32::MAX),
        in_v5(version, text()),
        in_v5(version, any::<u16>()),
        in_v5(version, text()),
    );
    let b = (
        in_v5(version, any::<bool>()),
        in_v5(version, any::<bool>()),
        in_v5(version, any::<bool>()),
        in_v5(version, any::<u16>()),
        in_v5(version, text()),
        in_v5(version, text()),
        in_v5(version, (text(), option::of(data()))),
    );
    let full = (any::<bool>(), reason.clone(), a, user_properties(version), b).prop_map(
        move |(present, reason, a, user_properties, b)| {
            let may = version != Version::V31 && reason == ReasonCode::Success;
            Packet::ConnAck(Box::new(ConnAck {
                session_present: present && may,
                reason,
                session_expiry_s: a.0,
                receive_maximum: a.1,
                maximum_qos: a.2,
                retain_available: a.3,
                maximum_packet_size: a.4,
                assigned_client_id: a.5,
                topic_alias_maximum: a.6,
                reason_string: a.7,
                user_properties,
                wildcard_subscription_available: b.0,
                subscription_identifiers_available: b.1,
                shared_subscription_available: b.2,
                server_keep_alive_s: b.3,
                response_information: b.4,
                server_reference: b.5,
                authentication_method: b.6.map(|a| a.0),
                authentication_data: b.6.and_then(|a| a.1),
            }))
        },
    );
    let plain = reason
        .prop_map(|reason| Packet::ConnAck(Box::new(ConnAck { reason, ..ConnAck::default() })));
    prop_oneof![3 => full, 1 => plain].boxed()
}

fn subscribe(version: Version) -> BoxedStrategy<Packet<'static>> {
    let handling = proptest::sample::select(vec![
        RetainHandling::Send,
        RetainHandling::SendIfNew,
        RetainHandling::DoNotSend,
    ]);
    let options = (qos(), in_v5(version, (any::<bool>(), any::<bool>(), handling)));
    let id = in_v5(version, 1..=268_435_455_u32);
    (packet_id(), id, user_properties(version), vec((filter(), options), 1..5))
        .prop_map(|(packet_id, subscription_id, user_properties, filters)| {
            let options = |(filter, (qos, v5)): (SubscriptionFilter<'static>, (QoS, Option<_>))| {
                let (no_local, retain_as_published, retain_handling) = v5.unwrap_or_default();
                let no_local = no_local && filter.share.is_none();
                (
                    filter,
                    SubscriptionOptions { qos, no_local, retain_as_published, retain_handling },
                )
            };
            let filters = filters.into_iter().map(options).collect();
            Packet::Subscribe(Subscribe { packet_id, subscription_id, user_properties, filters })
        })
        .boxed()
}

fn unsubscribe(version: Version) -> BoxedStrategy<Packet<'static>> {
    (packet_id(), user_properties(version), vec(filter(), 1..5))
        .prop_map(|(packet_id, user_properties, filters)| {
            Packet::Unsubscribe(Unsubscribe { packet_id, user_properties, filters })
        })
        .boxed()
}

fn sub_ack(version: Version, codes: &'static [u8]) -> BoxedStrategy<SubAck<'static>> {
    let reasons = vec(reason_of(codes), usize::from(!codes.is_empty())..5);
    (packet_id(), in_v5(version, text()), user_properties(version), reasons)
        .prop_map(|(packet_id, reason_string, user_properties, reasons)| SubAck {
            packet_id,
            reason_string,
            user_properties,
            reasons,
        })
        .boxed()
}

fn sub_acks(version: Version) -> BoxedStrategy<Packet<'static>> {
    let sub = sub_ack(version, if version.is_v5() { SUBACK } else { &[0, 1, 2, 0x80] });
    let unsub = sub_ack(version, UNSUBACK).prop_map(move |mut ack| {
        if !version.is_v5() {
            ack.reasons.clear();
        }
        ack
    });
    prop_oneof![sub.prop_map(Packet::SubAck), unsub.prop_map(Packet::UnsubAck)].boxed()
}

fn disconnect(version: Version, sender: Sender) -> BoxedStrategy<Packet<'static>> {
    if !version.is_v5() {
        return Just(Packet::Disconnect(Disconnect::default())).boxed();
    }
    let client = sender == Sender::Client;
    let codes = if client { DISCONNECT_OF_CLIENT } else { DISCONNECT_OF_SERVER };
    let texts = (option::of(text()), option::of(text()));
    (reason_of(codes), option::of(any::<u32>()), texts, user_properties(version))
        .prop_map(move |(reason, expiry, (reason_string, reference), user_properties)| {
            Packet::Disconnect(Disconnect {
                reason,
                session_expiry_s: expiry.filter(|_| client),
                reason_string,
                user_properties,
                server_reference: reference,
            })
        })
        .boxed()
}

fn auth(sender: Sender) -> BoxedStrategy<Packet<'static>> {
    let codes: &[u8] = if sender == Sender::Client { &[0x18, 0x19] } else { &[0, 0x18] };
    let texts = (text(), option::of(data()), option::of(text()));
    let some = (reason_of(codes), texts, user_properties(Version::V5)).prop_map(
        |(reason, (method, data, reason_string), user_properties)| {
            let method = Some(method);
            Packet::Auth(Auth { reason, method, data, reason_string, user_properties })
        },
    );
    match sender {
        Sender::Client => some.boxed(),
        Sender::Server => prop_oneof![1 => Just(Packet::Auth(Auth::default())), 9 => some].boxed(),
    }
}

fn packet(version: Version, sender: Sender) -> BoxedStrategy<Packet<'static>> {
    let mut kinds = vec![publish(version, sender), acks(version)];
    match sender {
        Sender::Client => kinds.extend([
            connect(version),
            subscribe(version),
            unsubscribe(version),
            Just(Packet::PingReq).boxed(),
            disconnect(version, sender),
        ]),
        Sender::Server => {
            kinds.extend([connack(version), sub_acks(version), Just(Packet::PingResp).boxed()]);
        }
    }
    if version.is_v5() {
        kinds.push(auth(sender));
        kinds.push(disconnect(version, sender));
    }
    proptest::strategy::Union::new(kinds).boxed()
}

fn any_packet() -> impl Strategy<Value = (Version, Sender, Packet<'static>)> {
    let version = proptest::sample::select(&VERSIONS[..]);
    let sender = proptest::sample::select(vec![Sender::Client, Sender::Server]);
    (version, sender).prop_flat_map(|(version, sender)| {
        packet(version, sender).prop_map(move |packet| (version, sender, packet))
    })
}

fn encoded(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    encode(packet, version, &mut out);
    out
}

fn whole(bytes: &[u8]) -> Frame<'_> {
    match frame(bytes, usize::MAX) {
        Ok(Framed::Whole(frame)) => frame,
        other => panic!("{other:?}: {bytes:02X?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 1500,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_encoded_is_decoded((version, sender, packet) in any_packet()) {
        let bytes = encoded(&packet, version);
        prop_assert_eq!(encoded_len(&packet, version), bytes.len());
        let frame = whole(&bytes);
        prop_assert_eq!(frame.len, bytes.len());
        // CONNECT ignores the connection's version.
        let connection = if matches!(packet, Packet::Connect(_)) { Version::V31 } else { version };
        prop_assert_eq!(decode(frame, sender, connection), Ok(packet));
    }

    /// A packet of one version, written for another, is still a packet or nothing.
    #[test]
    fn every_version_can_be_written_in_every_other((from, sender, packet) in any_packet()) {
        for to in VERSIONS {
            let bytes = encoded(&packet, to);
            prop_assert_eq!(encoded_len(&packet, to), bytes.len());
            // What 5.0 demands and 3.x lacks: codes in UNSUBACK. What 3.x demands and 5.0 does
            // not: a topic, a user name with a password, and no DISCONNECT from a Server.
            let (unsuback, disconnect) =
                (matches!(packet, Packet::UnsubAck(_)), matches!(packet, Packet::Disconnect(_)));
            let lacks = match &packet {
                Packet::Publish(p) => p.topic.is_none(),
                Packet::Connect(c) => c.password.is_some() && c.user_name.is_none(),
                _ => (unsuback && to.is_v5()) || (disconnect && sender == Sender::Server),
            };
            if !bytes.is_empty() && (from == to || !lacks) {
                let decoded = decode(whole(&bytes), sender, to);
                prop_assert!(decoded.is_ok(), "{decoded:?} {bytes:02X?}");
            }
        }
    }

    #[test]
    fn every_beginning_is_partial((version, _, packet) in any_packet()) {
        let bytes = encoded(&packet, version);
        let header = 1 + bytes[1..].iter().position(|b| *b < 0x80).unwrap() + 1;
        for n in 0..bytes.len() {
            let len = (n >= header).then_some(bytes.len());
            prop_assert_eq!(frame(&bytes[..n], usize::MAX), Ok(Framed::Partial { len }));
        }
        // What follows is not looked at; the limit counts the whole packet.
        let mut more = bytes.clone();
        more.push(0);
        prop_assert_eq!(whole(&more).len, bytes.len());
        prop_assert!(frame(&bytes[..header], bytes.len()).is_ok());
        let refused = frame(&bytes[..header], bytes.len() - 1).map_err(|e| e.reason);
        prop_assert_eq!(refused, Err(ReasonCode::PacketTooLarge));
    }

    #[test]
    fn noise_never_panics(bytes in vec(any::<u8>(), 0..64)) {
        check_all(&bytes);
    }

    #[test]
    fn a_noisy_body_never_panics(first in any::<u8>(), body in vec(any::<u8>(), 0..48)) {
        for version in VERSIONS {
            for sender in [Sender::Client, Sender::Server] {
                let frame = Frame { first, body: &body, len: 2 + body.len() };
                if let Ok(packet) = decode(frame, sender, version) {
                    check_accepted(&packet, sender, version);
                }
            }
        }
    }

    #[test]
    fn a_mutated_packet_never_panics(
        (version, _, packet) in any_packet(),
        changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        cut in option::of(any::<proptest::sample::Index>()),
    ) {
        let mut bytes = encoded(&packet, version);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            let n = cut.index(bytes.len());
            // The length is set right, so that decode meets the cut.
            bytes.truncate(n);
            if n >= 2 {
                let body = leak(&bytes[2..n]);
                let frame = Frame { first: bytes[0], body, len: n };
                let _ = decode(frame, Sender::Client, version);
                let _ = decode(frame, Sender::Server, version);
            }
        }
        check_all(&bytes);
    }

    /// PublishHead writes what encode writes.
    #[test]
    fn publish_head_agrees(
        version in proptest::sample::select(&VERSIONS[..]),
        flags in any::<(bool, bool, bool)>(),
        qos in qos(),
        ids in vec(1..=268_435_455_u32, 0..4),
        alias in option::of(any::<NonZeroU16>()),
        expiry in option::of(any::<u32>()),
        (topic, packet_id, f, payload) in (option::of(topic()), packet_id(), forwarded(), data()),
    ) {
        let topic = topic.or_else(|| {
            let without = version.is_v5() && alias.is_some();
            (!without).then(|| TopicName::new("a/b").unwrap())
        });
        let with_id = qos != QoS::AtMostOnce;
        let (dup, retain, follows) = (flags.0 && with_id, flags.1, flags.2);
        let packet_id = with_id.then_some(packet_id);
        let all = publish_block(&f, alias, &ids);
        let mut forwarded = Vec::new();
        all.forwarded(&mut forwarded);
        let head = PublishHead {
            dup, qos, retain, topic, packet_id,
            topic_alias: alias.map(NonZeroU16::get),
            message_expiry_s: expiry,
            subscription_ids: &ids,
            forwarded: &forwarded,
            forwarded_follows: follows,
            payload_len: payload.len(),
        };
        let mut bytes = Vec::new();
        head.encode(version, &mut bytes);
        if follows && version.is_v5() {
            bytes.extend(&forwarded);
        }
        bytes.extend(payload);
        prop_assert_eq!(head.packet_len(version), bytes.len());

        let Ok(Packet::Publish(p)) = decode(whole(&bytes), Sender::Server, version) else {
            return Err(TestCaseError::fail(format!("{bytes:02X?}")));
        };
        prop_assert_eq!((p.dup, p.qos, p.retain, p.topic), (dup, qos, retain, topic));
        prop_assert_eq!((p.packet_id, p.payload), (packet_id, payload));
        if version.is_v5() {
            prop_assert_eq!((p.topic_alias, p.message_expiry_s), (alias, expiry));
            let kept = |p: &Property<'_>| !matches!(
                p,
                Property::TopicAlias(_)
                    | Property::MessageExpiryInterval(_)
                    | Property::SubscriptionIdentifier(_)
            );
            let got: Vec<_> = p.properties.iter().filter(kept).collect();
            let sent: Vec<_> = all.iter().filter(kept).collect();
            prop_assert_eq!(got, sent);
            let got: Vec<_> = p.properties.iter().filter_map(|p| match p {
                Property::SubscriptionIdentifier(id) => Some(id),
                _ => None,
            }).collect();
            prop_assert_eq!(got, ids);
        } else {
            prop_assert!(p.properties.as_bytes().is_empty());
        }
    }

    #[test]
    fn a_small_maximum_packet_size_costs_only_the_optional((version, _, packet) in any_packet()) {
        let len = encoded_len(&packet, version);
        let mut out = vec![7];
        prop_assert!(encode_within(&packet, version, len as u32, &mut out));
        prop_assert_eq!(&out[1..], &encoded(&packet, version)[..]);
        for limit in (0..len as u32).rev().step_by(1 + len / 16) {
            let mut out = vec![7];
            let fits = encode_within(&packet, version, limit, &mut out);
            prop_assert!(out.len() - 1 <= limit as usize);
            prop_assert!(fits || out == [7]);
        }
    }
}

/// Decodes `bytes` as everything they could be.
fn check_all(bytes: &[u8]) {
    let Ok(Framed::Whole(frame)) = frame(bytes, usize::MAX) else { return };
    for version in VERSIONS {
        for sender in [Sender::Client, Sender::Server] {
            if let Ok(packet) = decode(frame, sender, version) {
                check_accepted(&packet, sender, version);
            }
        }
    }
}

/// Whatever was accepted is written and read again as the same.
fn check_accepted(packet: &Packet<'_>, sender: Sender, version: Version) {
    let version = if let Packet::Connect(c) = packet { c.version } else { version };
    let bytes = encoded(packet, version);
    assert_eq!(decode(whole(&bytes), sender, version).as_ref(), Ok(packet));
}

/// Reads a packet with a module of mqttbytes and writes it again.
macro_rules! rewritten {
    ($version:ident, $stream:expr, $out:expr, $disconnect:pat => $write_disconnect:expr) => {{
        use mqttbytes::$version::{Packet, PingReq, PingResp, read};
        match read($stream, usize::MAX)? {
            Packet::Connect(p) => p.write($out),
            Packet::ConnAck(p) => p.write($out),
            Packet::Publish(p) => p.write($out),
            Packet::PubAck(p) => p.write($out),
            Packet::PubRec(p) => p.write($out),
            Packet::PubRel(p) => p.write($out),
            Packet::PubComp(p) => p.write($out),
            Packet::Subscribe(p) => p.write($out),
            Packet::SubAck(p) => p.write($out),
            Packet::Unsubscribe(p) => p.write($out),
            Packet::UnsubAck(p) => p.write($out),
            Packet::PingReq => PingReq.write($out),
            Packet::PingResp => PingResp.write($out),
            $disconnect => $write_disconnect,
        }
    }};
}

/// Reads and writes `bytes` again with mqttbytes.
fn by_mqttbytes(bytes: &[u8], version: Version) -> Result<Vec<u8>, mqttbytes::Error> {
    use mqttbytes::v4::Disconnect;
    let (mut stream, mut out) = (BytesMut::from(bytes), BytesMut::new());
    if version.is_v5() {
        rewritten!(v5, &mut stream, &mut out, Packet::Disconnect(p) => p.write(&mut out))?;
    } else {
        rewritten!(v4, &mut stream, &mut out, Packet::Disconnect => Disconnect.write(&mut out))?;
    }
    Ok(out.to_vec())
}

/// What mqttbytes 0.6 gets wrong, so that its bytes prove nothing.
fn is_beyond_mqttbytes(packet: &Packet<'_>, version: Version, bytes: &[u8]) -> bool {
    match packet {
        // It knows neither MQTT 3.1 nor AUTH.
        _ if version == Version::V31 => true,
        Packet::Auth(_) => true,
        Packet::Connect(c) => {
            // It does not know mosquitto's bridge bit, takes a password for text, and takes an
            // empty user name or password for none.
            let password = c.password.map(std::str::from_utf8);
            c.bridge
                || matches!(password, Some(Ok("") | Err(_)))
                || c.user_name.is_some_and(str::is_empty)
        }
        // It leaves out the Property Length when there are no properties [MQTT-2.2.2-1].
        Packet::ConnAck(_) => version.is_v5() && bytes.len() == 5,
        // It reads no MQTT 5.0 DISCONNECT of Remaining Length 0 or 1 (section 3.14.2).
        Packet::Disconnect(_) => version.is_v5() && bytes.len() <= 3,
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 3000,
        ..ProptestConfig::default()
    })]

    /// mqttbytes reads what Stonechat writes, and writes the same.
    #[test]
    fn mqttbytes_agrees((version, _, packet) in any_packet()) {
        let bytes = encoded(&packet, version);
        if !is_beyond_mqttbytes(&packet, version, &bytes) {
            prop_assert_eq!(by_mqttbytes(&bytes, version), Ok(bytes));
        }
    }
}
