//! The packet notation, second half: words to the bytes that a client sends, and packets that a
//! client receives to words. Both go through the codec.

use std::num::NonZeroU16;

use stonechat::codec::*;
use stonechat::topic::{SubscriptionFilter, TopicName};

use super::words::Words;

/// The properties of PUBLISH and Will: name, identifier, length of a number or 0 for text.
const PROPERTIES: [(&str, u8, usize); 13] = [
    ("fmt", 0x01, 1),
    ("expiry", 0x02, 4),
    ("ct", 0x03, 0),
    ("resp", 0x08, 0),
    ("corr", 0x09, 0),
    ("alias", 0x23, 2),
    ("wfmt", 0x01, 1),
    ("wexpiry", 0x02, 4),
    ("wct", 0x03, 0),
    ("wresp", 0x08, 0),
    ("wcorr", 0x09, 0),
    ("wdelay", 0x18, 4),
    ("wuser", 0x26, 0),
];

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}

fn user_properties(w: &Words, name: &str) -> Vec<u8> {
    let mut raw = Vec::new();
    for pair in w.all(name) {
        let (name, value) = pair.split_once(':').expect("user=name:value");
        raw.push(0x26);
        put_text(&mut raw, name);
        put_text(&mut raw, value);
    }
    raw
}

/// The property block of a PUBLISH, or (`will`) of a Will.
fn properties(w: &Words, will: bool) -> Vec<u8> {
    let mut raw = Vec::new();
    for (name, id, size) in PROPERTIES {
        if name.starts_with('w') != will || name == "wuser" {
            continue;
        }
        for value in w.all(name) {
            raw.push(id);
            match size {
                0 => put_text(&mut raw, value),
                n => {
                    let number: u32 = value.parse().expect("a number");
                    raw.extend(&number.to_be_bytes()[4 - n..]);
                }
            }
        }
    }
    raw.extend(user_properties(w, if will { "wuser" } else { "user" }));
    raw
}

/// What CONNECT calls itself in the notation.
pub(crate) fn version(word: &str) -> Version {
    match word {
        "v3" => Version::V31,
        "v4" => Version::V311,
        "v5" => Version::V5,
        other => panic!("no version {other:?}"),
    }
}

fn qos(digit: &str) -> QoS {
    match digit {
        "0" => QoS::AtMostOnce,
        "1" => QoS::AtLeastOnce,
        "2" => QoS::ExactlyOnce,
        other => panic!("no QoS {other:?}"),
    }
}

fn reason(w: &Words, at: usize) -> ReasonCode {
    let Some(hex) = w.args.get(at) else { return ReasonCode::Success };
    let byte = u8::from_str_radix(hex, 16).expect("a reason code in hexadecimal");
    ReasonCode::from_u8(byte).unwrap_or_else(|| panic!("no reason code {hex}"))
}

/// The bytes of a packet that a client of `version` sends.
pub(crate) fn encode_words(w: &Words, version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    let user = user_properties(w, "user");
    let user = UserProperties::of(Properties::from_validated(&user));
    let ack = |w: &Words| Ack {
        packet_id: NonZeroU16::new(w.id(0)).expect("not 0"),
        reason: reason(w, 1),
        reason_string: None,
        user_properties: user,
    };
    let packet = match w.kind.as_str() {
        "connect" => return encode_connect(w),
        "publish" => return encode_publish(w, version),
        "puback" => Packet::PubAck(Ack { reason_string: w.get("reason"), ..ack(w) }),
        "pubrec" => Packet::PubRec(Ack { reason_string: w.get("reason"), ..ack(w) }),
        "pubrel" => Packet::PubRel(Ack { reason_string: w.get("reason"), ..ack(w) }),
        "pubcomp" => Packet::PubComp(Ack { reason_string: w.get("reason"), ..ack(w) }),
        "subscribe" => return encode_subscribe(w, version),
        "unsubscribe" => {
            let filters = w.args[1..].iter().map(|f| SubscriptionFilter::parse(f).expect("valid"));
            Packet::Unsubscribe(Unsubscribe {
                packet_id: ack(&Words::new("").arg(w.id(0))).packet_id,
                user_properties: user,
                filters: filters.collect(),
            })
        }
        "pingreq" => Packet::PingReq,
        "disconnect" => Packet::Disconnect(Disconnect {
            reason: reason(w, 0),
            session_expiry_s: w.number("expiry"),
            reason_string: w.get("reason"),
            user_properties: user,
            server_reference: None,
        }),
        "auth" => Packet::Auth(Auth {
            reason: reason(w, 0),
            method: w.get("method"),
            data: w.get("data").map(str::as_bytes),
            reason_string: None,
            user_properties: user,
        }),
        other => panic!("no packet {other:?}"),
    };
    encode(&packet, version, &mut out);
    out
}

fn encode_connect(w: &Words) -> Vec<u8> {
    let version = version(w.word(0));
    let (user, will_properties) = (user_properties(w, "user"), properties(w, true));
    let will = w.get("will").map(|will| {
        let (topic, payload) = will.split_once(':').expect("will=topic:payload");
        Will {
            qos: qos(w.get("wqos").unwrap_or("0")),
            retain: w.has("wretain"),
            delay_s: w.number("wdelay").unwrap_or(0),
            topic: TopicName::new(topic).expect("a Will Topic"),
            properties: Properties::from_validated(&will_properties),
            payload: payload.as_bytes(),
        }
    });
    let connect = Connect {
        version,
        bridge: w.has("bridge"),
        clean_start: w.has("clean"),
        keep_alive_s: w.number("ka").unwrap_or(0),
        session_expiry_s: w.number("expiry").unwrap_or(0),
        receive_maximum: w.number("rmax").unwrap_or(NonZeroU16::MAX),
        maximum_packet_size: w.number("maxp").unwrap_or(u32::MAX),
        topic_alias_maximum: w.number("aliases").unwrap_or(0),
        request_response_information: w.has("wantresp"),
        request_problem_information: !w.has("noproblem"),
        user_properties: UserProperties::of(Properties::from_validated(&user)),
        authentication_method: w.get("method"),
        authentication_data: w.get("data").map(str::as_bytes),
        client_id: w.get("id").unwrap_or_default(),
        will,
        user_name: w.get("name"),
        password: w.get("pass").map(str::as_bytes),
    };
    let mut out = Vec::new();
    encode(&Packet::Connect(Box::new(connect)), version, &mut out);
    out
}

fn encode_publish(w: &Words, version: Version) -> Vec<u8> {
    let raw = if version.is_v5() { properties(w, false) } else { Vec::new() };
    let (digit, id) = w.get("q").map_or(("0", ""), |q| q.split_once('#').unwrap_or((q, "")));
    let topic = w.word(0);
    let publish = Publish {
        dup: w.has("dup"),
        qos: qos(digit),
        retain: w.has("retain"),
        topic: (!topic.is_empty()).then(|| TopicName::new(topic).expect("a Topic Name")),
        packet_id: (digit != "0").then(|| id.parse().expect("q1#id")),
        topic_alias: None,
        message_expiry_s: None,
        properties: Properties::from_validated(&raw),
        payload: w.word(1).as_bytes(),
    };
    let mut out = Vec::new();
    encode(&Packet::Publish(publish), version, &mut out);
    out
}

/// `subscribe 1 a/+ 1 b/# 2,nl,rap,rh1`: the identifier, then pairs of filter and options.
fn encode_subscribe(w: &Words, version: Version) -> Vec<u8> {
    let user = user_properties(w, "user");
    let filters = w.args[1..].chunks(2).map(|pair| {
        let [filter, options] = pair else { panic!("a filter without options") };
        let has = |name: &str| options.split(',').any(|o| o == name);
        let options = SubscriptionOptions {
            qos: qos(&options[..1]),
            no_local: has("nl"),
            retain_as_published: has("rap"),
            retain_handling: match (has("rh1"), has("rh2")) {
                (true, _) => RetainHandling::SendIfNew,
                (_, true) => RetainHandling::DoNotSend,
                _ => RetainHandling::Send,
            },
        };
        (SubscriptionFilter::parse(filter).expect("a valid filter"), options)
    });
    let packet = Packet::Subscribe(Subscribe {
        packet_id: NonZeroU16::new(w.id(0)).expect("not 0"),
        subscription_id: w.number("sub"),
        user_properties: UserProperties::of(Properties::from_validated(&user)),
        filters: filters.collect(),
    });
    let mut out = Vec::new();
    encode(&packet, version, &mut out);
    out
}

/// Bytes as they stand: hexadecimal digits, `'text'`, and `61*300` for 300 times `61`.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for word in text.split_whitespace() {
        if let Some(text) = word.strip_prefix('\'') {
            out.extend(text.trim_end_matches('\'').as_bytes());
            continue;
        }
        let (digits, count) = match word.split_once('*') {
            Some((digits, count)) => (digits, count.parse().expect("a count")),
            None => (word, 1),
        };
        assert!(digits.len().is_multiple_of(2), "half a byte in {word:?}");
        let bytes: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits"))
            .collect();
        (0..count).for_each(|_| out.extend(&bytes));
    }
    out
}

/// The same, with the Remaining Length put behind the first byte.
pub(crate) fn with_length(bytes: &[u8]) -> Vec<u8> {
    let (mut left, mut out) = (bytes.len() - 1, vec![bytes[0]]);
    loop {
        let more = if left >= 128 { 0x80 } else { 0 };
        out.push((left % 128) as u8 | more);
        left /= 128;
        if left == 0 {
            break;
        }
    }
    out.extend(&bytes[1..]);
    out
}

/// A packet of the broker's as words.
pub(crate) fn words(packet: &Packet<'_>) -> Words {
    let code = |code: ReasonCode| format!("{:02x}", code.as_u8());
    let ack = |kind: &str, a: &Ack<'_>| {
        let mut w = Words::new(kind).arg(a.packet_id);
        if a.reason != ReasonCode::Success {
            w = w.arg(code(a.reason));
        }
        put_reason(&mut w, a.reason_string, a.user_properties);
        w
    };
    let sub_ack = |kind: &str, a: &SubAck<'_>| {
        let mut w = Words::new(kind).arg(a.packet_id);
        w.args.extend(a.reasons.iter().map(|r| code(*r)));
        put_reason(&mut w, a.reason_string, a.user_properties);
        w
    };
    match packet {
        Packet::ConnAck(c) => connack_words(c),
        Packet::Publish(p) => publish_words(p),
        Packet::PubAck(a) => ack("puback", a),
        Packet::PubRec(a) => ack("pubrec", a),
        Packet::PubRel(a) => ack("pubrel", a),
        Packet::PubComp(a) => ack("pubcomp", a),
        Packet::SubAck(a) => sub_ack("suback", a),
        Packet::UnsubAck(a) => sub_ack("unsuback", a),
        Packet::PingResp => Words::new("pingresp"),
        Packet::Disconnect(d) => {
            let mut w = Words::new("disconnect").arg(code(d.reason));
            put_reason(&mut w, d.reason_string, d.user_properties);
            w
        }
        Packet::Auth(a) => {
            let mut w = Words::new("auth").arg(code(a.reason));
            a.method.into_iter().for_each(|method| w.set("method", method));
            let data = a.data.map(String::from_utf8_lossy);
            data.into_iter().for_each(|data| w.set("data", data));
            put_reason(&mut w, a.reason_string, a.user_properties);
            w
        }
        other => Words::new(&format!("{other:?}")),
    }
}

fn put_reason(w: &mut Words, reason: Option<&str>, user: UserProperties<'_>) {
    if let Some(text) = reason {
        w.set("reason", text);
    }
    for (name, value) in user.iter() {
        w.set("user", format!("{name}:{value}"));
    }
}

fn connack_words(c: &ConnAck<'_>) -> Words {
    let mut w = Words::new("connack");
    if c.reason != ReasonCode::Success {
        w = w.arg(format!("{:02x}", c.reason.as_u8()));
    }
    w.flag("sp", c.session_present);
    let numbers = [
        ("expiry", c.session_expiry_s),
        ("rmax", c.receive_maximum.map(u32::from)),
        ("maxqos", c.maximum_qos.map(u32::from)),
        ("retainable", c.retain_available.map(u32::from)),
        ("maxp", c.maximum_packet_size),
        ("aliases", c.topic_alias_maximum.map(u32::from)),
        ("wildcards", c.wildcard_subscription_available.map(u32::from)),
        ("subids", c.subscription_identifiers_available.map(u32::from)),
        ("shared", c.shared_subscription_available.map(u32::from)),
        ("ka", c.server_keep_alive_s.map(u32::from)),
    ];
    for (name, value) in numbers {
        value.into_iter().for_each(|v| w.set(name, v));
    }
    let data = c.authentication_data.map(String::from_utf8_lossy);
    let texts = [
        ("assigned", c.assigned_client_id),
        ("respinfo", c.response_information),
        ("reference", c.server_reference),
        ("method", c.authentication_method),
        ("data", data.as_deref()),
    ];
    for (name, value) in texts {
        value.into_iter().for_each(|v| w.set(name, v));
    }
    put_reason(&mut w, c.reason_string, c.user_properties);
    w
}

fn publish_words(p: &Publish<'_>) -> Words {
    let topic = p.topic.map_or("", |t| t.as_str());
    let mut w = Words::new("publish").arg(topic).arg(String::from_utf8_lossy(p.payload));
    if let Some(id) = p.packet_id {
        w.set("q", format!("{}#{id}", p.qos as u8));
    }
    w.flag("dup", p.dup);
    w.flag("retain", p.retain);
    for property in p.properties.iter() {
        match property {
            Property::PayloadFormatIndicator(b) => w.set("fmt", u8::from(b)),
            Property::MessageExpiryInterval(s) => w.set("expiry", s),
            Property::ContentType(t) => w.set("ct", t),
            Property::ResponseTopic(t) => w.set("resp", t),
            Property::CorrelationData(d) => w.set("corr", String::from_utf8_lossy(d)),
            Property::SubscriptionIdentifier(id) => w.set("sub", id),
            Property::TopicAlias(alias) => w.set("alias", alias),
            Property::UserProperty(name, value) => w.set("user", format!("{name}:{value}")),
            other => w.set("other", format!("{other:?}")),
        }
    }
    w
}
