//! What holds for every packet that was decoded, or is valid by how it was made.

use stonechat::codec::{
    Framed, Packet, Property, Publish, PublishHead, QoS, Sender, UserProperties, Version, decode,
    encode, encode_within, encoded_len, frame,
};

/// Checks the laws; returns how long the packet is when it is written.
pub fn check(packet: &Packet<'_>, sender: Sender, version: Version) -> usize {
    let mut bytes = vec![7];
    encode(packet, version, &mut bytes);
    assert_eq!(bytes[0], 7, "what was there stays");
    let bytes = &bytes[1..];
    assert_eq!(encoded_len(packet, version), bytes.len(), "{packet:?}");
    assert_eq!(&read(bytes, sender, version), packet);
    within(packet, bytes, sender, version);
    if let Packet::Publish(p) = packet {
        publish_head(p, bytes, version);
    }
    bytes.len()
}

/// What `bytes`, a whole packet, say. CONNECT says itself which version it is.
fn read(bytes: &[u8], sender: Sender, version: Version) -> Packet<'_> {
    let Ok(Framed::Whole(whole)) = frame(bytes, bytes.len()) else {
        panic!("no frame: {bytes:02X?}");
    };
    assert_eq!(whole.len, bytes.len());
    let other = if whole.first >> 4 == 1 { Version::V31 } else { version };
    decode(whole, sender, other).unwrap_or_else(|e| panic!("{e}: {bytes:02X?}"))
}

/// A Maximum Packet Size costs User Properties and the Reason String, or the whole packet.
fn within(packet: &Packet<'_>, bytes: &[u8], sender: Sender, version: Version) {
    let len = bytes.len();
    let no_user = without(packet, false).map(|p| encoded_len(&p, version));
    let neither = without(packet, true).map(|p| encoded_len(&p, version));
    let limits = [Some(len), no_user, neither];
    for limit in limits.into_iter().flatten().flat_map(|n| [n, n.saturating_sub(1)]) {
        let mut out = vec![7];
        let fits = encode_within(packet, version, limit as u32, &mut out);
        let slim: Packet<'_> = match (limit, no_user, neither) {
            (limit, ..) if limit >= len => packet.clone(),
            (limit, Some(n), _) if limit >= n => without(packet, false).expect("so it was"),
            (limit, _, Some(n)) if limit >= n => without(packet, true).expect("so it was"),
            _ => {
                assert!(!fits && out == [7], "{packet:?} does not fit in {limit}");
                continue;
            }
        };
        assert!(fits && out[0] == 7 && out.len() - 1 <= limit, "{packet:?} within {limit}");
        if out.len() > 1 {
            assert_eq!(read(&out[1..], sender, version), slim, "within {limit}");
        }
    }
}

/// The packet without its User Properties, and without its Reason String too; `None` if it is of a
/// kind that loses nothing.
fn without<'a>(packet: &Packet<'a>, reason_string: bool) -> Option<Packet<'a>> {
    let mut packet = packet.clone();
    let (user, reason) = match &mut packet {
        Packet::ConnAck(p) => (&mut p.user_properties, &mut p.reason_string),
        Packet::PubAck(p) | Packet::PubRec(p) | Packet::PubRel(p) | Packet::PubComp(p) => {
            (&mut p.user_properties, &mut p.reason_string)
        }
        Packet::SubAck(p) | Packet::UnsubAck(p) => (&mut p.user_properties, &mut p.reason_string),
        Packet::Disconnect(p) => (&mut p.user_properties, &mut p.reason_string),
        Packet::Auth(p) => (&mut p.user_properties, &mut p.reason_string),
        _ => return None,
    };
    *user = UserProperties::default();
    if reason_string {
        *reason = None;
    }
    Some(packet)
}

/// The fast path writes what `encode` writes, but for the order of the properties.
fn publish_head(p: &Publish<'_>, bytes: &[u8], version: Version) {
    let subscription_ids = ids(p);
    let mut forwarded = Vec::new();
    p.properties.forwarded(&mut forwarded);
    let follows = bytes.len().is_multiple_of(2);
    let head = PublishHead {
        dup: p.dup,
        qos: p.qos,
        retain: p.retain,
        topic: p.topic,
        packet_id: p.packet_id,
        topic_alias: p.topic_alias.map(|a| a.get()),
        message_expiry_s: p.message_expiry_s,
        subscription_ids: &subscription_ids,
        forwarded: &forwarded,
        forwarded_follows: follows,
        payload_len: p.payload.len(),
    };
    assert_eq!(head.packet_len(version), bytes.len());
    let mut written = vec![7];
    head.encode(version, &mut written);
    if follows && version.is_v5() {
        written.extend_from_slice(&forwarded);
    }
    written.extend_from_slice(p.payload);
    assert_eq!((written[0], written.len() - 1), (7, bytes.len()));
    let Packet::Publish(again) = read(&written[1..], Sender::Server, version) else {
        panic!("a PUBLISH is one");
    };
    let mut forwarded_again = Vec::new();
    again.properties.forwarded(&mut forwarded_again);
    assert_eq!((ids(&again), &forwarded_again), (subscription_ids, &forwarded));
    assert_eq!(Publish { properties: p.properties, ..again }, *p);
    assert_eq!(p.packet_id.is_some(), p.qos != QoS::AtMostOnce);
}

fn ids(p: &Publish<'_>) -> Vec<u32> {
    let id = |property| match property {
        Property::SubscriptionIdentifier(id) => Some(id),
        _ => None,
    };
    p.properties.iter().filter_map(id).collect()
}
