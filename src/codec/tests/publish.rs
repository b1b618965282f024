//! Sections 3.3 to 3.7: PUBLISH and its acknowledgements.

use super::*;

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
        ("Reason String", Client, ONLY_V5, "30 0001 'a' 03 1F 0000", 0x81),
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
        row(ONLY_V5, "0001 00 02 01 00".into(), 0x81);
    }
    check(&[
        ("3.1 allows DUP", Client, ONLY_V31, "6A 0001", OK),
        ("[MQTT-3.6.1-1]", Client, NOT_V31, "6A 0001", 0x81),
        ("[MQTT-3.6.1-1]", Client, ALL, "60 0001", 0x81),
    ]);
}
