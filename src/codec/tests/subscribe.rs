//! Sections 3.8 to 3.11: SUBSCRIBE, UNSUBSCRIBE and their acknowledgements.

use super::*;

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
        ("Reason String", Client, ONLY_V5, "82 0001 03 1F 0000 0001 'a' 00", 0x81),
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
        ("Subscription Identifier", Client, ONLY_V5, "A2 0001 02 0B 01 0001 'a'", 0x81),
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
fn what_has_more_filters_than_are_wanted_is_refused() {
    for notation in ["82 0001 0001 'a' 00 0001 'b' 00", "A2 0001 0001 'a' 0001 'b'"] {
        let bytes = packet(notation);
        let Ok(Framed::Whole(frame)) = frame(&bytes, usize::MAX) else { panic!("{notation}") };
        let reason = |most| decode_within(frame, Client, V311, most).map_err(|e| e.reason).err();
        assert_eq!((reason(2), reason(1)), (None, Some(ReasonCode::QuotaExceeded)), "{notation}");
    }
}
