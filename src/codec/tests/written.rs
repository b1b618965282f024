//! What is written: the shortest form, and never more than was asked for.

use super::*;

#[test]
fn short_forms_and_what_3x_cannot_say() {
    let id = PacketId::new(10).unwrap();
    let user = parse("26 0001 'n' 0001 'v'");
    let user = UserProperties::of(Properties::from_validated(&user));
    let ack = |reason| Ack::new(id, reason);
    let with = Ack { reason_string: Some("r"), user_properties: user, ..ack(ReasonCode::Success) };
    let sub_ack = SubAck {
        packet_id: id,
        reason_string: None,
        user_properties: UserProperties::default(),
        reasons: vec![ReasonCode::GrantedQoS1, ReasonCode::NotAuthorized],
    };
    let connack = |reason| Packet::ConnAck(Box::new(ConnAck { reason, ..ConnAck::default() }));
    let disconnect = |reason| Packet::Disconnect(Disconnect { reason, ..Disconnect::default() });
    let rows = [
        (Packet::PubAck(ack(ReasonCode::Success)), V5, "40 02 000A"),
        (Packet::PubRel(ack(ReasonCode::Success)), V5, "62 02 000A"),
        (Packet::PubRec(ack(ReasonCode::QuotaExceeded)), V5, "50 03 000A 97"),
        (Packet::PubRec(ack(ReasonCode::QuotaExceeded)), V311, "50 02 000A"),
        (Packet::PubComp(with), V5, "70 0F 000A 00 0B 1F 0001 'r' 26 0001 'n' 0001 'v'"),
        (Packet::PubComp(with), V31, "70 02 000A"),
        (Packet::SubAck(sub_ack.clone()), V5, "90 05 000A 00 01 87"),
        (Packet::SubAck(sub_ack.clone()), V311, "90 04 000A 01 80"),
        (Packet::UnsubAck(sub_ack), V31, "B0 02 000A"),
        (connack(ReasonCode::ServerBusy), V5, "20 03 00 89 00"),
        (connack(ReasonCode::ServerBusy), V311, "20 02 00 03"),
        (connack(ReasonCode::UnsupportedProtocolVersion), V31, "20 02 00 01"),
        (connack(ReasonCode::ClientIdentifierNotValid), V31, "20 02 00 02"),
        (connack(ReasonCode::BadUserNameOrPassword), V31, "20 02 00 04"),
        (connack(ReasonCode::Banned), V31, "20 02 00 05"),
        (disconnect(ReasonCode::Success), V5, "E0 00"),
        (disconnect(ReasonCode::DisconnectWithWillMessage), V5, "E0 01 04"),
        (disconnect(ReasonCode::Success), V311, "E0 00"),
        (disconnect(ReasonCode::SessionTakenOver), V311, ""),
        (Packet::Auth(Auth::default()), V5, "F0 00"),
        (Packet::Auth(Auth::default()), V311, ""),
        (Packet::PingReq, V31, "C0 00"),
        (Packet::PingResp, V5, "D0 00"),
    ];
    for (packet, version, expected) in rows {
        let mut out = Vec::new();
        encode(&packet, version, &mut out);
        assert_eq!(out, parse(expected), "{packet:?} in {version:?}");
        assert_eq!(encoded_len(&packet, version), out.len());
    }
    for (limit, expected) in [
        (17, Some("40 0F 000A 00 0B 1F 0001 'r' 26 0001 'n' 0001 'v'")),
        (16, Some("40 08 000A 00 04 1F 0001 'r'")),
        (10, Some("40 08 000A 00 04 1F 0001 'r'")),
        (9, Some("40 02 000A")),
        (4, Some("40 02 000A")),
        (3, None),
    ] {
        let mut out = Vec::new();
        let fits = encode_within(&Packet::PubAck(with), V5, limit, &mut out);
        assert_eq!(fits.then_some(out), expected.map(parse), "{limit} [MQTT-3.4.2-2]");
    }
}

#[test]
fn fields_that_the_block_lacks_are_written() {
    let alias = std::num::NonZeroU16::new(3);
    let publish = Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: None,
        packet_id: None,
        topic_alias: alias,
        message_expiry_s: Some(5),
        properties: Properties::from_validated(b"\x02\0\0\0\x05"),
        payload: b"x",
    };
    let mut out = Vec::new();
    encode(&Packet::Publish(publish), V5, &mut out);
    assert_eq!(out, packet("30 0000 08 23 0003 02 00000005 'x'"));
}

#[test]
fn forwarded_properties_keep_their_order() {
    for (block, expected) in [
        ("", ""),
        ("01 01 03 0001 'c'", "01 01 03 0001 'c'"),
        ("23 0001", ""),
        (
            "23 0001 26 0000 0000 02 00000001 09 0000 0B 8001 01 00 18 00000000",
            "26 0000 0000 09 0000 01 00",
        ),
        ("26 0001 'a' 0000 23 0001 26 0001 'b' 0001 'c'", "26 0001 'a' 0000 26 0001 'b' 0001 'c'"),
    ] {
        let block = parse(block);
        let mut out = vec![9];
        Properties::from_validated(&block).forwarded(&mut out);
        assert_eq!(out[1..], parse(expected), "[MQTT-3.3.2-17] [MQTT-3.3.2-18]");
    }
}

#[test]
fn reason_codes() {
    let known: Vec<u8> = (0..=255).filter(|b| ReasonCode::from_u8(*b).is_some()).collect();
    assert_eq!(known.len(), 43);
    for byte in known {
        let code = ReasonCode::from_u8(byte).unwrap();
        assert_eq!((code.as_u8(), code.is_error()), (byte, byte >= 0x80));
        assert!(!code.to_string().is_empty());
        assert!(code.is_error() == (code.connack_return_code() != 0));
    }
    for byte in 0..=5 {
        let code = ReasonCode::from_connack_return_code(byte).unwrap();
        assert_eq!(code.connack_return_code(), byte);
    }
    assert_eq!(ReasonCode::ServerMoved.to_string(), "Server moved");
}

/// Each property that there is, those among them that packets of ours carry as bytes only.
#[test]
fn every_property_is_read_as_it_was_written() {
    let data = &b"\0\xff"[..];
    let all = [
        Property::PayloadFormatIndicator(true),
        Property::MessageExpiryInterval(70_000),
        Property::ContentType("é"),
        Property::ResponseTopic("a/b"),
        Property::CorrelationData(data),
        Property::SubscriptionIdentifier(268_435_455),
        Property::SessionExpiryInterval(u32::MAX),
        Property::AssignedClientIdentifier("id"),
        Property::ServerKeepAlive(300),
        Property::AuthenticationMethod("m"),
        Property::AuthenticationData(data),
        Property::RequestProblemInformation(false),
        Property::WillDelayInterval(1),
        Property::RequestResponseInformation(true),
        Property::ResponseInformation("r"),
        Property::ServerReference("s"),
        Property::ReasonString("why"),
        Property::ReceiveMaximum(1),
        Property::TopicAliasMaximum(0),
        Property::TopicAlias(65_535),
        Property::MaximumQoS(1),
        Property::RetainAvailable(false),
        Property::UserProperty("k", "v"),
        Property::MaximumPacketSize(5),
        Property::WildcardSubscriptionAvailable(false),
        Property::SubscriptionIdentifierAvailable(true),
        Property::SharedSubscriptionAvailable(false),
    ];
    let mut block = Vec::new();
    all.iter().for_each(|p| p.put(&mut block));
    let read: Vec<_> = Properties::from_validated(&block).iter().collect();
    assert_eq!(read, all);
}

/// What does not fit the length in front of it is cut off, never in the middle of a character.
#[test]
fn a_string_that_is_too_long_ends_with_a_whole_character() {
    let text = "a".repeat(65_534) + "é";
    let packet =
        Packet::Disconnect(Disconnect { reason_string: Some(&text), ..Disconnect::default() });
    let mut bytes = Vec::new();
    encode(&packet, V5, &mut bytes);
    let Ok(Framed::Whole(whole)) = frame(&bytes, usize::MAX) else { panic!() };
    let Ok(Packet::Disconnect(read)) = decode(whole, Server, V5) else { panic!() };
    assert_eq!(read.reason_string, Some(&text[..65_534]));
}

/// Around every length at which a PUBLISH is written in another way.
#[test]
fn a_publish_of_any_length_is_read_as_it_was_written() {
    let payload = vec![b'x'; 20_000];
    let near = |n: usize| n.saturating_sub(12)..n + 12;
    let lengths: Vec<_> =
        [0, 16, 32, 64, 128, 256, 16_384].into_iter().flat_map(near).chain([20_000]).collect();
    let topics = [1, 7, 8, 16, 17, 31, 32, 64, 65, 200].map(|n| "t".repeat(n));
    let content_type = |n: u8| [&[3, 0, n][..], &vec![b'c'; usize::from(n)]].concat();
    let blocks =
        [Vec::new(), content_type(0), content_type(5), content_type(124), content_type(125)];
    for (topic, block) in topics.iter().flat_map(|t| blocks.iter().map(move |b| (t, b))) {
        for (version, packet_id) in [(V311, None), (V5, None), (V311, Some(7)), (V5, Some(777))] {
            for &len in &lengths {
                let packet = Packet::Publish(Publish {
                    dup: false,
                    qos: if packet_id.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce },
                    retain: len % 2 == 0,
                    topic: Some(crate::topic::TopicName::new(topic).unwrap()),
                    packet_id: packet_id.and_then(PacketId::new),
                    topic_alias: None,
                    message_expiry_s: None,
                    properties: match version {
                        V5 => Properties::from_validated(block),
                        _ => Properties::default(),
                    },
                    payload: &payload[..len],
                });
                let mut bytes = b"before".to_vec();
                encode(&packet, version, &mut bytes);
                let what = (topic.len(), block.len(), version, packet_id, len);
                assert_eq!(bytes.len() - 6, encoded_len(&packet, version), "{what:?}");
                assert!(bytes.starts_with(b"before"));
                assert_eq!(read(&bytes[6..], Server, version), Ok(packet), "{what:?}");
            }
        }
    }
}
