//! DISCONNECT, section 3.14, and PINGREQ, section 3.12. Session Expiry in DISCONNECT is in
//! `session.rs`, its effect on the Will in `will.rs`.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "[MQTT-3.12.4-1] PINGREQ gets PINGRESP",
        "a joins v* clean; a> pingreq; a< pingresp; a> pingreq + pingreq; a< pingresp
         a< pingresp",
    ),
    row(
        "[MQTT-3.14.0-1] no DISCONNECT before CONNACK: a refused CONNECT gets one packet",
        "a> connect v5 method=x; a< connack 8c; a! closed",
    ),
    row("[MQTT-3.14.0-1] no DISCONNECT where there was no CONNECT", "a> hex d0 00; a! closed 82"),
    row(
        "[MQTT-3.14.2-1] a reason code that a client may not send",
        "a joins v5; a> hex e0 01 8e; a< disconnect 82; a! closed",
    ),
    row(
        "[MQTT-3.14.2-1] those that it may",
        "a joins v5; a> disconnect 00; a! closed 00; b joins v5; b> disconnect 04; b! closed 04
         c joins v5; c> disconnect 93 user=a:1; c! closed 93",
    ),
    row(
        "[MQTT-3.14.2-1] the short forms",
        "a joins v5; a> hex e0 00; a! closed 00; b joins v5; b> hex e0 01 00; b! closed 00
         c joins v5; c> hex e0 02 0000; c! closed 00",
    ),
    row(
        "[MQTT-3.14.2-2] the broker's DISCONNECT has no Session Expiry Interval (the decoder of these tests insists)",
        "a joins v5 expiry=9; a> hex 00 00; a< disconnect 81; a! closed; a resumes v5 expiry=9
         b resumes v5 id=a expiry=9; a< disconnect 8e; a! closed",
    ),
    row(
        "[MQTT-3.14.2-3] [MQTT-3.14.2-4] a Reason String only where it fits",
        "a joins v5 maxp=16; a> hex 00 00; a< disconnect 81 !reason=; a! closed; b joins v5
         b> hex 00 00; b< disconnect 81 reason=*; b! closed",
    ),
    row(
        "[MQTT-3.14.4-1] [MQTT-3.14.4-2] nothing is sent after the broker's DISCONNECT, and the link is closed",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; p joins v5
         a> hex 00 00 + pingreq + publish t x q1#1; a< disconnect 81; a! closed 81
         p> publish t x q1#1; p< puback 1",
    ),
    row(
        "[MQTT-3.14.4-2] nothing is handled after the client's DISCONNECT",
        "w joins v5; w> subscribe 1 # 0; w< suback 1 00; a joins v* clean
         a> publish t 1 + disconnect + publish t 2 + pingreq + subscribe 1 t 0; a! closed 00
         w< publish t 1",
    ),
    row(
        "[MQTT-3.14.4-2] nor malformed bytes",
        "a joins v* clean; a> disconnect + hex 00 00; a! closed 00",
    ),
    row(
        "[MQTT-3.14.4-2] in one piece with the CONNECT",
        "w joins v5; w> subscribe 1 # 0; w< suback 1 00
         a> connect v* clean will=w:x + publish t 1 + disconnect; a< connack; a! closed 00
         w< publish t 1",
    ),
    row(
        "[MQTT-3.14.4-3] a normal farewell leaves nothing behind",
        "a joins v5 will=w:x; a> subscribe 1 t 1; a< suback 1 01; a> disconnect; a! closed
         count links 0; count sessions 0; count subscriptions 0; count wills 0",
    ),
];
