//! Sections 3.14 and 3.15: DISCONNECT and AUTH.

use super::*;

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
        ("Server Reference", Client, ONLY_V5, "F0 18 07 15 0000 1C 0001 'b'", 0x81),
    ]);
}
