//! Sections 3.1 and 3.2: CONNECT, with what it says, and CONNACK.

use super::*;

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
        ("a property of PUBLISH", "01 01", 0x81),
        ("a property of PUBLISH, out of range", "23 0000", 0x81),
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
        ("Topic Alias", "23 0001", 0x81),
        ("Session Expiry Interval", "11 00000001", 0x81),
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
        ("Topic Alias", Server, ONLY_V5, "20 00 00 03 23 0001", 0x81),
        ("data without method", Server, ONLY_V5, "20 00 00 03 16 0000", 0x82),
        ("goes on", Server, ALL, "20 00 00 00 00", 0x81),
    ]);
}
