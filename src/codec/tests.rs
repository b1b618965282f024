//! What is refused, by section of the specification, a row per statement; and what is accepted
//! though it looks odd.
//!
//! A row's packet is its first byte, then its body: hexadecimal digits, and text in quotes. The
//! Remaining Length is put between them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use Sender::{Client, Server};
use Version::{V5, V31, V311};

const OK: u8 = 0;
const ALL: &[Version] = &[V31, V311, V5];
const V3: &[Version] = &[V31, V311];
const ONLY_V5: &[Version] = &[V5];
const ONLY_V31: &[Version] = &[V31];
const NOT_V31: &[Version] = &[V311, V5];

/// What it is, who sends it in which versions, the packet, and the reason code or `OK`.
type Row = (&'static str, Sender, &'static [Version], &'static str, u8);

fn parse(notation: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, part) in notation.split('\'').enumerate() {
        if i % 2 == 1 {
            out.extend(part.as_bytes());
            continue;
        }
        let digits: String = part.split_whitespace().collect();
        for at in (0..digits.len()).step_by(2) {
            out.push(u8::from_str_radix(&digits[at..at + 2], 16).unwrap());
        }
    }
    out
}

fn packet(notation: &str) -> Vec<u8> {
    let bytes = parse(notation);
    let (len, n) = primitive::varint_bytes(bytes.len() - 1);
    [&bytes[..1], &len[..n], &bytes[1..]].concat()
}

fn read(bytes: &[u8], sender: Sender, version: Version) -> Result<Packet<'_>, DecodeError> {
    match frame(bytes, usize::MAX)? {
        Framed::Whole(frame) => decode(frame, sender, version),
        partial => panic!("{partial:?}"),
    }
}

fn check(rows: &[Row]) {
    for (what, sender, versions, notation, code) in rows {
        for version in *versions {
            let bytes = packet(notation);
            let got = read(&bytes, *sender, *version);
            let reason = got.as_ref().map_or_else(|e| e.reason.as_u8(), |_| OK);
            assert_eq!(reason, *code, "{what} in {version:?}: {got:?}");
            if let Err(e) = got {
                assert!(e.what.len() > 20, "{what}: {}", e.what);
            }
        }
    }
}

fn fixed_header(bytes: &[u8], limit: usize) -> Result<Option<usize>, u8> {
    match frame(bytes, limit) {
        Ok(Framed::Whole(frame)) => Ok(Some(frame.len)),
        Ok(Framed::Partial { len }) => Ok(len),
        Err(e) => Err(e.reason.as_u8()),
    }
}

#[test]
fn section_2_1_fixed_header() {
    for first in 0..=255_u8 {
        let good = match first >> 4 {
            0 => false,
            3 => [0, 1, 2, 3, 4, 5, 10, 11, 12, 13].contains(&(first & 15)),
            6 | 8 | 10 => [2, 10].contains(&(first & 15)),
            _ => first & 15 == 0,
        };
        let expected = if good { Ok(None) } else { Err(0x81) };
        assert_eq!(fixed_header(&[first], 100), expected, "{first:02X} [MQTT-2.1.3-1]");
    }
    for (what, bytes, limit, expected) in [
        ("nothing", "", 9, Ok(None)),
        ("length of 1 byte", "30 7F", 999, Ok(Some(129))),
        ("length of 2 bytes", "30 80 01", 999, Ok(Some(131))),
        ("length of 2 bytes, half", "30 80", 999, Ok(None)),
        ("length of 3 bytes, two thirds", "30 80 80", 999, Ok(None)),
        ("length of 4 bytes", "30 FF FF FF 7F", usize::MAX, Ok(Some(268_435_460))),
        ("[MQTT-1.5.5-1]", "30 80 00", 999, Err(0x81)),
        ("[MQTT-1.5.5-1]", "30 FF 00", 999, Err(0x81)),
        ("[MQTT-1.5.5-1]", "30 80 80 80 00", 999, Err(0x81)),
        ("length of 5 bytes", "30 80 80 80 80", 999, Err(0x81)),
        ("length of 5 bytes", "30 80 80 80 80 01", 999, Err(0x81)),
        ("as large as may be", "30 02", 4, Ok(Some(4))),
        ("[MQTT-3.2.2-15]", "30 03", 4, Err(0x95)),
        ("[MQTT-3.2.2-15]", "30 FF FF FF 7F", 4, Err(0x95)),
        ("whole, and the next one", "C0 00 C0", 9, Ok(Some(2))),
    ] {
        assert_eq!(fixed_header(&parse(bytes), limit), expected, "{what}: {bytes}");
    }
}

#[test]
fn section_2_1_2_who_sends_what() {
    check(&[
        ("CONNACK", Client, ALL, "20 00 00 00", 0x82),
        ("SUBACK", Client, ALL, "90 0001 00", 0x82),
        ("UNSUBACK", Client, ALL, "B0 0001", 0x82),
        ("PINGRESP", Client, ALL, "D0", 0x82),
        ("CONNECT", Server, ALL, "10 0004 'MQTT' 04 02 0000 0000", 0x82),
        ("SUBSCRIBE", Server, ALL, "82 0001 0001 'a' 00", 0x82),
        ("UNSUBSCRIBE", Server, ALL, "A2 0001 0001 'a'", 0x82),
        ("PINGREQ", Server, ALL, "C0", 0x82),
        ("PINGREQ", Client, ALL, "C0", OK),
        ("PINGREQ with a body", Client, ALL, "C0 00", 0x81),
        ("PINGRESP", Server, ALL, "D0", OK),
        ("DISCONNECT", Server, V3, "E0", 0x82),
        ("DISCONNECT", Server, ONLY_V5, "E0", OK),
        ("AUTH in 3.x", Client, V3, "F0 18 03 15 0000", 0x81),
        ("AUTH in 3.x", Server, V3, "F0", 0x81),
    ]);
}

#[test]
fn section_3_1_connect() {
    const V311_HEAD: &str = "10 0004 'MQTT' 04";
    const V5_HEAD: &str = "10 0004 'MQTT' 05";
    const V31_HEAD: &str = "10 0006 'MQIsdp' 03";
    let rows = [
        ("minimal", V311_HEAD, "02 000A 0000", OK),
        ("minimal", V5_HEAD, "02 000A 00 0000", OK),
        ("minimal", V31_HEAD, "02 000A 0001 'p'", OK),
        ("[MQTT-3.1.2-1] another name", "10 0004 'MQTU' 04", "02 000A 0000", 0x84),
        ("[MQTT-3.1.2-1] no name", "10 0000 04", "02 000A 0000", 0x84),
        ("[MQTT-3.1.2-1] name in small letters", "10 0004 'mqtt' 04", "02 000A 0000", 0x84),
        ("[MQTT-3.1.2-2] level 6", "10 0004 'MQTT' 06", "02 000A 0000", 0x84),
        ("[MQTT-3.1.2-2] level 3", "10 0004 'MQTT' 03", "02 000A 0000", 0x84),
        ("[MQTT-3.1.2-2] bridge of 5.0", "10 0004 'MQTT' 85", "02 000A 00 0000", 0x84),
        ("[MQTT-3.1.2-2] level 4", "10 0006 'MQIsdp' 04", "02 000A 0000", 0x84),
        ("name cut off", "10 0004 'MQT'", "", 0x81),
        ("[MQTT-3.1.2-3]", V311_HEAD, "03 000A 0000", 0x81),
        ("[MQTT-3.1.2-3]", V5_HEAD, "03 000A 00 0000", 0x81),
        ("3.1 does not use that bit", V31_HEAD, "03 000A 0001 'p'", OK),
        ("[MQTT-3.1.2-11]", V311_HEAD, "0A 000A 0000", 0x81),
        ("[MQTT-3.1.2-13]", V5_HEAD, "22 000A 00 0000", 0x81),
        ("3.1 disregards Will QoS without a Will", V31_HEAD, "3A 000A 0001 'p'", OK),
        ("[MQTT-3.1.2-12]", V311_HEAD, "1E 000A 0000 0001 'a' 0000", 0x81),
        ("[MQTT-3.1.2-12]", V5_HEAD, "1E 000A 00 0000 00 0001 'a' 0000", 0x81),
        ("[MQTT-3.1.2-12]", V31_HEAD, "1E 000A 0001 'p' 0001 'a' 0000", 0x81),
        ("[MQTT-3.1.2-9] no Will", V311_HEAD, "06 000A 0000", 0x81),
        ("[MQTT-3.1.2-9] no Will Payload", V311_HEAD, "06 000A 0000 0001 'a'", 0x81),
        ("Will", V311_HEAD, "06 000A 0000 0001 'a' 0000", OK),
        ("[MQTT-4.7.0-1] Will Topic", V311_HEAD, "06 000A 0000 0003 'a/+' 0000", 0x81),
        ("[MQTT-4.7.3-1] Will Topic", V311_HEAD, "06 000A 0000 0000 0000", 0x81),
        ("[MQTT-3.1.3-11]", V311_HEAD, "06 000A 0000 0002 C328 0000", 0x81),
        ("[MQTT-3.1.3-3]", V311_HEAD, "02 000A", 0x81),
        ("[MQTT-3.1.3-4]", V311_HEAD, "02 000A 0003 EDA080", 0x81),
        ("[MQTT-1.5.4-2] Client Identifier", V311_HEAD, "02 000A 0003 610062", 0x81),
        ("[MQTT-3.1.2-16]", V311_HEAD, "02 000A 0000 0001 'u'", 0x81),
        ("[MQTT-3.1.2-17]", V311_HEAD, "82 000A 0000", 0x81),
        ("3.1: the length overrules the flag", V31_HEAD, "82 000A 0001 'p'", OK),
        ("3.1: the length overrules the flag", V31_HEAD, "C2 000A 0001 'p' 0001 'u'", OK),
        ("[MQTT-3.1.2-18]", V311_HEAD, "82 000A 0000 0001 'u' 0001 'p'", 0x81),
        ("[MQTT-3.1.2-19]", V311_HEAD, "C2 000A 0000 0001 'u'", 0x81),
        ("[MQTT-3.1.3-12]", V311_HEAD, "82 000A 0000 0001 FF", 0x81),
        ("password of any bytes", V311_HEAD, "C2 000A 0000 0000 0002 00FF", OK),
        ("password without user name", V5_HEAD, "42 000A 00 0000 0001 'p'", OK),
        ("3.1.1: [MQTT-3.1.2-22]", V311_HEAD, "42 000A 0000 0001 'p'", 0x81),
        ("3.1: the same", V31_HEAD, "42 000A 0001 'c' 0001 'p'", 0x81),
        ("goes on", V311_HEAD, "02 000A 0000 00", 0x81),
    ];
    for (what, head, body, code) in rows {
        let notation: &'static str = Box::leak(format!("{head} {body}").into());
        // The connection's version means nothing yet.
        check(&[(what, Client, ALL, notation, code)]);
    }
}

#[test]
fn section_3_1_2_11_connect_properties() {
    for (what, block, code) in [
        ("Session Expiry Interval", "11 00000001", OK),
        ("twice", "11 00000001 11 00000001", 0x82),
        ("cut off", "11 000000", 0x81),
        ("Receive Maximum", "21 0001", OK),
        ("Receive Maximum 0", "21 0000", 0x82),
        ("Maximum Packet Size", "27 00000001", OK),
        ("Maximum Packet Size 0", "27 00000000", 0x82),
        ("Topic Alias Maximum", "22 0000", OK),
        ("Request Response Information 2", "19 02", 0x82),
        ("Request Problem Information 2", "17 02", 0x82),
        ("User Property twice", "26 0000 0000 26 0000 0000", OK),
        ("[MQTT-1.5.7-1]", "26 0001 FF 0000", 0x81),
        ("[MQTT-1.5.7-1]", "26 0000 0001 00", 0x81),
        ("Authentication Method", "15 0001 'm'", OK),
        ("Authentication Data, then its Method", "16 0001 00 15 0001 'm'", OK),
        ("Authentication Data without a Method", "16 0001 00", 0x82),
        ("a property of PUBLISH", "01 01", 0x82),
        ("a property of PUBLISH, out of range", "23 0000", 0x82),
        ("a property of PUBLISH, cut off", "23 00", 0x81),
        ("unknown", "04 01", 0x81),
        ("unknown", "7F 01", 0x81),
        ("identifier of two bytes", "8001 01", 0x81),
    ] {
        let len = parse(block).len();
        let body = format!("10 0004 'MQTT' 05 02 000A {len:02X} {block} 0000");
        check(&[(what, Client, ONLY_V5, Box::leak(body.into()), code)]);
    }
    for (what, block, code) in [
        ("Will Delay Interval", "18 00000001", OK),
        ("twice", "18 00000001 18 00000001", 0x82),
        ("Payload Format Indicator 2", "01 02", 0x82),
        ("all the others", "02 00000000 03 0000 08 0001 'r' 09 0000 26 0000 0000", OK),
        ("Topic Alias", "23 0001", 0x82),
        ("Session Expiry Interval", "11 00000001", 0x82),
    ] {
        let len = parse(block).len();
        let body = format!("10 0004 'MQTT' 05 06 000A 00 0000 {len:02X} {block} 0001 'w' 0000");
        check(&[(what, Client, ONLY_V5, Box::leak(body.into()), code)]);
    }
}

#[test]
fn section_3_1_what_a_connect_says() {
    let connect = |notation: &str| match read(&packet(notation), Client, V5) {
        Ok(Packet::Connect(c)) => (
            c.version,
            c.bridge,
            c.clean_start,
            c.session_expiry_s,
            c.receive_maximum.get(),
            c.maximum_packet_size,
            c.request_problem_information,
            c.will.is_some(),
        ),
        other => panic!("{other:?}"),
    };
    const MAX: u32 = u32::MAX;
    let rows = [
        ("10 0006 'MQIsdp' 03 00 0000 0000", (V31, false, false, MAX, 65535, MAX, true, false)),
        ("10 0006 'MQIsdp' 83 02 0000 0000", (V31, true, true, 0, 65535, MAX, true, false)),
        ("10 0006 'MQIsdp' 03 3A 0000 0000", (V31, false, true, 0, 65535, MAX, true, false)),
        ("10 0004 'MQTT' 84 00 0000 0000", (V311, true, false, MAX, 65535, MAX, true, false)),
        ("10 0004 'MQTT' 04 02 0000 0000", (V311, false, true, 0, 65535, MAX, true, false)),
        ("10 0004 'MQTT' 05 00 0000 00 0000", (V5, false, false, 0, 65535, MAX, true, false)),
        (
            "10 0004 'MQTT' 05 02 0000 0F 11 00000007 21 0008 27 00000009 1700 0000",
            (V5, false, true, 7, 8, 9, false, false),
        ),
    ];
    for (notation, expected) in rows {
        assert_eq!(connect(notation), expected, "{notation}");
    }
    // A wrong name and a wrong level are told apart.
    let what = |notation: &str| read(&packet(notation), Client, V5).unwrap_err().what;
    assert!(what("10 0004 'HTTP' 04 02 0000 0000").contains("name"));
    assert!(what("10 0004 'MQTT' 06 02 0000 0000").contains("version"));
}

#[test]
fn section_3_2_connack() {
    check(&[
        ("success", Server, ONLY_V5, "20 00 00 00", OK),
        ("without properties in 3.x", Server, V3, "20 00 00", OK),
        ("without Property Length", Server, ONLY_V5, "20 00 00", 0x81),
        ("[MQTT-3.2.2-1]", Server, ONLY_V5, "20 02 00 00", 0x81),
        ("[MQTT-3.2.2-1]", Server, &[V311], "20 02 00", 0x81),
        ("3.1 does not use that byte", Server, ONLY_V31, "20 02 00", OK),
        ("[MQTT-3.2.2-6]", Server, ONLY_V5, "20 01 87 00", 0x82),
        ("[MQTT-3.2.2-6]", Server, &[V311], "20 01 05", 0x82),
        ("[MQTT-3.2.2-8] of another packet", Server, ONLY_V5, "20 00 8E 00", 0x82),
        ("[MQTT-3.2.2-8] unknown", Server, ONLY_V5, "20 00 FF 00", 0x82),
        ("return code 6", Server, V3, "20 00 06", 0x82),
        ("Maximum QoS 2", Server, ONLY_V5, "20 00 00 02 24 02", 0x82),
        ("Retain Available 2", Server, ONLY_V5, "20 00 00 02 25 02", 0x82),
        ("Server Keep Alive 0", Server, ONLY_V5, "20 00 00 03 13 0000", OK),
        ("Topic Alias", Server, ONLY_V5, "20 00 00 03 23 0001", 0x82),
        ("data without method", Server, ONLY_V5, "20 00 00 03 16 0000", 0x82),
        ("goes on", Server, ALL, "20 00 00 00 00", 0x81),
    ]);
}

#[test]
fn section_3_3_publish() {
    check(&[
        ("QoS 0", Client, V3, "30 0005 'topic' 'payload'", OK),
        ("QoS 0", Client, ONLY_V5, "30 0005 'topic' 00 'payload'", OK),
        ("empty payload, retained", Client, ONLY_V5, "31 0005 'topic' 00", OK),
        ("QoS 1 with DUP", Client, V3, "3A 0005 'topic' 0001", OK),
        ("[MQTT-3.3.1-4]", Client, ALL, "36 0005 'topic' 0001 00", 0x81),
        ("[MQTT-3.3.1-2]", Client, ALL, "38 0005 'topic' 00", 0x81),
        ("[MQTT-2.2.1-3]", Client, ALL, "32 0005 'topic' 0000 00", 0x82),
        ("[MQTT-2.2.1-4]", Server, ALL, "34 0005 'topic' 0000 00", 0x82),
        ("no Packet Identifier", Client, ALL, "32 0005 'topic'", 0x81),
        ("[MQTT-3.3.2-1] cut off", Client, ALL, "30 0006 'topic'", 0x81),
        ("[MQTT-3.3.2-1] nothing", Client, ALL, "30", 0x81),
        ("[MQTT-3.3.2-1] surrogate", Client, ALL, "30 0005 'to' EDA080 00", 0x81),
        ("[MQTT-3.3.2-1] overlong", Client, ALL, "30 0002 C080 00", 0x81),
        ("[MQTT-4.7.3-2]", Client, ALL, "30 0005 'top' 0000 00", 0x81),
        ("[MQTT-4.7.3-2] late", Client, ALL, "30 0011 'abcdefghijklmnop' 00 00", 0x81),
        ("[MQTT-4.7.3-2] in a word", Client, ALL, "30 000C 'abc' 00 'efghijkl' 00", 0x81),
        ("[MQTT-3.3.2-2] +", Client, ALL, "30 0005 '+opic' 00", 0x81),
        ("[MQTT-3.3.2-2] #", Client, ALL, "30 0005 'topi#' 00", 0x81),
        ("[MQTT-3.3.2-2] in a word", Client, ALL, "30 000A 'abcdefg#ij' 00", 0x81),
        ("[MQTT-3.3.2-2] at its end", Client, ALL, "30 0008 'abcdefg+' 00", 0x81),
        ("four bytes of UTF-8", Client, ALL, "30 0005 41F0AA9B94 00", OK),
        ("[MQTT-1.5.4-3] U+FEFF", Client, ALL, "30 0003 EFBBBF 00", OK),
        ("'#' and '+' but for one bit", Client, ALL, "30 0008 '\"$*,;{Kc' 00", OK),
        ("a zero-length topic", Client, V3, "30 0000", 0x81),
        ("a zero-length topic", Client, ONLY_V5, "30 0000 00", 0x82),
        ("a zero-length topic, an alias", Client, ONLY_V5, "30 0000 03 23 0001", OK),
        ("[MQTT-3.3.2-8]", Client, ONLY_V5, "30 0001 'a' 03 23 0000", 0x94),
        ("Topic Alias twice", Client, ONLY_V5, "30 0001 'a' 06 23 0001 23 0002", 0x82),
        ("[MQTT-3.3.4-6]", Client, ONLY_V5, "30 0001 'a' 02 0B 01", 0x82),
        ("[MQTT-3.3.4-6] of 5 bytes", Client, ONLY_V5, "30 0001 'a' 06 0B 8080808001", 0x81),
        ("Subscription Identifiers", Server, ONLY_V5, "30 0001 'a' 05 0B 01 0B 8001", OK),
        ("Subscription Identifier 0", Server, ONLY_V5, "30 0001 'a' 02 0B 00", 0x82),
        ("[MQTT-1.5.5-1]", Server, ONLY_V5, "30 0001 'a' 03 0B 8000", 0x81),
        ("Payload Format Indicator 2", Client, ONLY_V5, "30 0001 'a' 02 01 02", 0x82),
        ("payload not looked at", Client, ONLY_V5, "30 0001 'a' 02 01 01 FF", OK),
        ("[MQTT-3.3.2-13]", Client, ONLY_V5, "30 0001 'a' 04 08 0001 FF", 0x81),
        ("[MQTT-3.3.2-14]", Client, ONLY_V5, "30 0001 'a' 04 08 0001 '#'", 0x82),
        ("[MQTT-4.7.3-1] Response Topic", Client, ONLY_V5, "30 0001 'a' 03 08 0000", 0x82),
        ("[MQTT-3.3.2-19]", Client, ONLY_V5, "30 0001 'a' 04 03 0001 00", 0x81),
        ("Correlation Data twice", Client, ONLY_V5, "30 0001 'a' 06 09 0000 09 0000", 0x82),
        ("Reason String", Client, ONLY_V5, "30 0001 'a' 03 1F 0000", 0x82),
        ("block longer than the packet", Client, ONLY_V5, "30 0001 'a' 02 01", 0x81),
        ("property across the block's end", Client, ONLY_V5, "30 0001 'a' 01 01 01", 0x81),
        ("[MQTT-1.5.5-1] Property Length", Client, ONLY_V5, "30 0001 'a' 80 00", 0x81),
        ("no Property Length", Client, ONLY_V5, "30 0001 'a'", 0x81),
    ]);
}

#[test]
fn section_3_4_to_3_7_acknowledgements() {
    for (name, first, error, foreign) in [
        ("PUBACK", 0x40, 0x97, 0x92),
        ("PUBREC", 0x50, 0x97, 0x92),
        ("PUBREL", 0x62, 0x92, 0x97),
        ("PUBCOMP", 0x70, 0x92, 0x97),
    ] {
        let row = |versions, body: String, code| {
            let notation: &'static str = Box::leak(format!("{first:02X} {body}").into());
            check(&[
                (name, Client, versions, notation, code),
                (name, Server, versions, notation, code),
            ]);
        };
        row(ALL, "0001".into(), OK);
        row(ALL, "0000".into(), 0x82);
        row(ALL, "00".into(), 0x81);
        row(ALL, String::new(), 0x81);
        row(V3, "0001 00".into(), 0x81);
        row(ONLY_V5, "0001 00".into(), OK);
        row(ONLY_V5, format!("0001 {error:02X}"), OK);
        row(ONLY_V5, format!("0001 {foreign:02X}"), 0x82);
        row(ONLY_V5, "0001 FF".into(), 0x82);
        row(ONLY_V5, "0001 00 00".into(), OK);
        row(ONLY_V5, "0001 00 00 00".into(), 0x81);
        row(ONLY_V5, "0001 00 01".into(), 0x81);
        row(ONLY_V5, "0001 00 03 1F 0000".into(), OK);
        row(ONLY_V5, "0001 00 06 1F 0000 1F 0000".into(), 0x82);
        row(ONLY_V5, "0001 00 0A 26 0000 0000 26 0000 0000".into(), OK);
        row(ONLY_V5, "0001 00 02 01 00".into(), 0x82);
    }
    check(&[
        ("3.1 allows DUP", Client, ONLY_V31, "6A 0001", OK),
        ("[MQTT-3.6.1-1]", Client, NOT_V31, "6A 0001", 0x81),
        ("[MQTT-3.6.1-1]", Client, ALL, "60 0001", 0x81),
    ]);
}

#[test]
fn section_3_8_subscribe() {
    check(&[
        ("QoS 2", Client, V3, "82 0001 0001 'a' 02", OK),
        ("all options", Client, ONLY_V5, "82 0001 00 0001 'a' 2E", OK),
        ("two filters", Client, V3, "82 0001 0001 '#' 00 0003 '+/b' 01", OK),
        ("3.1 allows DUP", Client, ONLY_V31, "8A 0001 0001 'a' 00", OK),
        ("[MQTT-3.8.1-1]", Client, NOT_V31, "8A 0001 00 0001 'a' 00", 0x81),
        ("[MQTT-2.2.1-3]", Client, ALL, "82 0000 00 0001 'a' 00", 0x82),
        ("[MQTT-3.8.3-2]", Client, V3, "82 0001", 0x82),
        ("[MQTT-3.8.3-2]", Client, ONLY_V5, "82 0001 00", 0x82),
        ("no options", Client, V3, "82 0001 0001 'a'", 0x81),
        ("no second filter", Client, V3, "82 0001 0001 'a' 00 00", 0x81),
        ("[MQTT-3.8.3-1]", Client, V3, "82 0001 0001 FF 00", 0x81),
        ("[MQTT-4.7.3-1]", Client, V3, "82 0001 0000 00", 0x81),
        ("[MQTT-4.7.3-2]", Client, V3, "82 0001 0002 'a' 00 00", 0x81),
        ("[MQTT-4.7.1-1]", Client, V3, "82 0001 0004 'a/b#' 00", 0x81),
        ("[MQTT-4.7.1-1]", Client, V3, "82 0001 0003 '#/a' 00", 0x81),
        ("[MQTT-4.7.1-2]", Client, V3, "82 0001 0004 'a/b+' 00", 0x81),
        ("[MQTT-4.8.2-1]", Client, ONLY_V5, "82 0001 00 0009 '$share//a' 00", 0x81),
        ("[MQTT-4.8.2-2]", Client, ONLY_V5, "82 0001 00 000A '$share/+/a' 00", 0x81),
        ("[MQTT-4.8.2-2]", Client, ONLY_V5, "82 0001 00 0008 '$share/g' 00", 0x81),
        ("shared", Client, V3, "82 0001 000A '$share/g/a' 01", OK),
        ("shared", Client, ONLY_V5, "82 0001 00 000A '$share/g/a' 00", OK),
        ("[MQTT-3.8.3-4]", Client, ONLY_V5, "82 0001 00 000A '$share/g/a' 04", 0x82),
        ("[MQTT-3.8.3-5]", Client, ONLY_V5, "82 0001 00 0001 'a' 40", 0x81),
        ("[MQTT-3.8.3-5]", Client, ONLY_V5, "82 0001 00 0001 'a' 80", 0x81),
        ("3.x has no options", Client, V3, "82 0001 0001 'a' 04", 0x81),
        ("Maximum QoS 3", Client, ONLY_V5, "82 0001 00 0001 'a' 03", 0x82),
        ("Requested QoS 3", Client, V3, "82 0001 0001 'a' 03", 0x81),
        ("Retain Handling 3", Client, ONLY_V5, "82 0001 00 0001 'a' 30", 0x82),
        ("Subscription Identifier", Client, ONLY_V5, "82 0001 05 0B FFFFFF7F 0001 'a' 00", OK),
        ("Subscription Identifier 0", Client, ONLY_V5, "82 0001 02 0B 00 0001 'a' 00", 0x82),
        ("twice", Client, ONLY_V5, "82 0001 04 0B 01 0B 01 0001 'a' 00", 0x82),
        ("Reason String", Client, ONLY_V5, "82 0001 03 1F 0000 0001 'a' 00", 0x82),
    ]);
}

#[test]
fn section_3_9_to_3_11_unsubscribe_and_acknowledgements() {
    check(&[
        ("UNSUBSCRIBE", Client, V3, "A2 0001 0001 'a' 0001 'b'", OK),
        ("UNSUBSCRIBE", Client, ONLY_V5, "A2 0001 00 0001 'a'", OK),
        ("3.1 allows DUP", Client, ONLY_V31, "AA 0001 0001 'a'", OK),
        ("[MQTT-3.10.1-1]", Client, NOT_V31, "AA 0001 00 0001 'a'", 0x81),
        ("[MQTT-3.10.3-2]", Client, V3, "A2 0001", 0x82),
        ("[MQTT-3.10.3-2]", Client, ONLY_V5, "A2 0001 00", 0x82),
        ("[MQTT-3.10.3-1]", Client, V3, "A2 0001 0001 FF", 0x81),
        ("[MQTT-4.7.1-1]", Client, V3, "A2 0001 0002 'a#'", 0x81),
        ("[MQTT-2.2.1-3]", Client, V3, "A2 0000 0001 'a'", 0x82),
        ("Subscription Identifier", Client, ONLY_V5, "A2 0001 02 0B 01 0001 'a'", 0x82),
        ("SUBACK", Server, V3, "90 0001 00 01 02 80", OK),
        ("SUBACK", Server, ONLY_V5, "90 0001 00 00 01 02 80 8F A2", OK),
        ("[MQTT-3.9.3-2]", Server, V3, "90 0001 87", 0x82),
        ("[MQTT-3.9.3-2]", Server, ONLY_V5, "90 0001 00 11", 0x82),
        ("[MQTT-3.8.4-6]", Server, V3, "90 0001", 0x82),
        ("[MQTT-3.8.4-6]", Server, ONLY_V5, "90 0001 00", 0x82),
        ("UNSUBACK", Server, V3, "B0 0001", OK),
        ("UNSUBACK with codes in 3.x", Server, V3, "B0 0001 00", 0x81),
        ("UNSUBACK", Server, ONLY_V5, "B0 0001 00 00 11 8F", OK),
        ("[MQTT-3.11.3-2]", Server, ONLY_V5, "B0 0001 00 01", 0x82),
        ("[MQTT-3.11.3-2]", Server, ONLY_V5, "B0 0001 00", 0x82),
    ]);
}

#[test]
fn section_3_14_and_3_15_disconnect_and_auth() {
    check(&[
        ("short", Client, ALL, "E0", OK),
        ("3.x has no reason", Client, V3, "E0 00", 0x81),
        ("reason", Client, ONLY_V5, "E0 04", OK),
        ("reason and no properties", Client, ONLY_V5, "E0 00 00", OK),
        ("[MQTT-3.14.2-1] of a Server", Client, ONLY_V5, "E0 8E", 0x82),
        ("[MQTT-3.14.2-1] of a Client", Server, ONLY_V5, "E0 04", 0x82),
        ("[MQTT-3.14.2-1] unknown", Client, ONLY_V5, "E0 05", 0x82),
        ("of a Server", Server, ONLY_V5, "E0 8E", OK),
        ("Session Expiry Interval", Client, ONLY_V5, "E0 00 05 11 00000000", OK),
        ("[MQTT-3.14.2-2]", Server, ONLY_V5, "E0 00 05 11 00000000", 0x82),
        ("Server Reference", Server, ONLY_V5, "E0 9C 04 1C 0001 'b'", OK),
        ("Server Reference, forbidden by nobody", Client, ONLY_V5, "E0 00 04 1C 0001 'b'", OK),
        ("goes on", Client, ONLY_V5, "E0 00 00 00", 0x81),
        ("AUTH of a Server", Server, ONLY_V5, "F0", OK),
        ("[MQTT-3.15.2-1] only a Server's", Client, ONLY_V5, "F0", 0x82),
        ("[MQTT-3.15.2-1] only a Client's", Server, ONLY_V5, "F0 19 04 15 0001 'm'", 0x82),
        ("[MQTT-3.15.2-1] unknown", Client, ONLY_V5, "F0 01 04 15 0001 'm'", 0x82),
        ("Re-authenticate", Client, ONLY_V5, "F0 19 04 15 0001 'm'", OK),
        ("Continue", Client, ONLY_V5, "F0 18 08 15 0001 'm' 16 0001 00", OK),
        ("without a method", Client, ONLY_V5, "F0 18 00", 0x82),
        ("data without a method", Client, ONLY_V5, "F0 18 03 16 0000", 0x82),
        ("no Property Length", Client, ONLY_V5, "F0 18", 0x81),
        ("Server Reference", Client, ONLY_V5, "F0 18 07 15 0000 1C 0001 'b'", 0x82),
    ]);
}

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
