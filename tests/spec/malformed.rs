//! Strict input: what is no packet, or not one that may come here, ends the link and nothing else
//! (sections 1.5, 2 and 4.13). What belongs to one packet alone stands in its file.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row("[MQTT-2.1.3-1] packet type 0", "a joins v5; a> hex 00 00; a< disconnect 81; a! closed 81"),
    row(
        "[MQTT-2.1.3-1] reserved flags of PINGREQ",
        "a joins v5; a> hex c1 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-2.1.3-1] of PUBACK, PUBREC, PUBCOMP",
        "a joins v5; a> hex 42 02 0001; a< disconnect 81; a! closed; b joins v5
         b> hex 51 02 0001; b< disconnect 81; b! closed; c joins v5; c> hex 78 02 0001
         c< disconnect 81; c! closed",
    ),
    row("[MQTT-2.1.3-1] in 3.x", "a joins v34 clean; a> hex c8 00; a! closed 81"),
    row(
        "[MQTT-2.1.3-1] of CONNECT",
        "a> body 11 0004 'MQTT' 05 02 0000 00 0001 'a'; a< connack 81; a! closed 81",
    ),
    row(
        "[MQTT-3.6.1-1] PUBREL with flags that are not 0010",
        "a joins v5; a> hex 60 02 0001; a< disconnect 81; a! closed",
    ),
    row("[MQTT-3.6.1-1] in 3.x", "a joins v34 clean; a> hex 64 02 0001; a! closed 81"),
    row(
        "[MQTT-3.14.1-1] reserved flags of DISCONNECT",
        "a joins v5; a> hex e1 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-1.5.5-1] a Remaining Length in more bytes than it needs",
        "a joins v5; a> hex c0 80 00; a< disconnect 81; a! closed",
    ),
    row("[MQTT-1.5.5-1] in 3.x the same", "a joins v34 clean; a> hex c0 80 00; a! closed 81"),
    row(
        "[MQTT-1.5.5-1] a Remaining Length of five bytes",
        "a joins v5; a> hex 30 ff ff ff ff 01; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-1.5.5-1] refused before a fifth byte comes",
        "a joins v5; a> hex 30 80 80 80 80; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-1.5.5-1] a Property Length in more bytes than it needs",
        "a joins v5; a> body 30 0001 't' 8000; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-1.5.5-1] a Subscription Identifier likewise",
        "a joins v5; a> body 82 0001 03 0b 8100 0001 't' 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-4.13.1-1] a Property Length beyond the packet",
        "a joins v5; a> body 30 0001 't' 05 01; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-4.13.1-1] a property cut off",
        "a joins v5; a> body 30 0001 't' 02 02 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-4.13.1-1] an unknown property",
        "a joins v5; a> body 30 0001 't' 02 7f 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-4.13.1-1] a property of another packet",
        "a joins v5; a> body 30 0001 't' 05 11 00000001; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-4.13.1-1] a property twice",
        "a joins v5; a> body 30 0001 't' 04 0100 0100; a< disconnect 82; a! closed",
    ),
    row(
        "[MQTT-4.13.1-1] a property out of its range",
        "a joins v5; a> body 30 0001 't' 02 0102; a< disconnect 82; a! closed",
    ),
    row(
        "[MQTT-4.13.1-1] properties in acknowledgements are checked",
        "a joins v5; a> body 40 0001 00 02 0100; a< disconnect 81; a! closed; b joins v5
         b> body 62 0001 00 08 1f 0001 'a' 1f 0001 'b'; b< disconnect 82; b! closed",
    ),
    row(
        "[MQTT-4.13.1-1] a reason code that does not exist",
        "a joins v5; a> body 40 0001 05; a< disconnect 82; a! closed",
    ),
    row(
        "[MQTT-4.13.1-1] PINGREQ with a body",
        "a joins v34 clean; a> hex c0 01 00; a! closed 81; b joins v5; b> hex c0 01 00
         b< disconnect 81; b! closed",
    ),
    row(
        "[MQTT-4.13.1-1] acknowledgements cut short or too long",
        "a joins v5; a> hex 40 01 00; a< disconnect 81; a! closed; b joins v4 clean
         b> hex 40 03 0001 00; b! closed 81",
    ),
    row(
        "[MQTT-4.13.1-1] DISCONNECT of 3.x has no body",
        "a joins v34 clean; a> hex e0 01 00; a! closed 81",
    ),
    row(
        "[MQTT-2.2.1-3] acknowledgements of Packet Identifier 0",
        "a joins v5; a> hex 40 02 0000; a< disconnect 82; a! closed; b joins v5
         b> hex 62 02 0000; b< disconnect 82; b! closed; c joins v4 clean; c> hex 50 02 0000
         c! closed 82",
    ),
    row(
        "[MQTT-4.13.1-1] packets that only a Server sends: CONNACK",
        "a joins v5; a> hex 20 03 000000; a< disconnect 82; a! closed 82",
    ),
    row("[MQTT-4.13.1-1] SUBACK", "a joins v5; a> body 90 0001 00 00; a< disconnect 82; a! closed"),
    row(
        "[MQTT-4.13.1-1] UNSUBACK",
        "a joins v5; a> body b0 0001 00 00; a< disconnect 82; a! closed",
    ),
    row("[MQTT-4.13.1-1] PINGRESP", "a joins v5; a> hex d0 00; a< disconnect 82; a! closed"),
    row(
        "[MQTT-4.13.1-1] in 3.x",
        "a joins v34 clean; a> hex 20 02 0000; a! closed 82; b joins v34 clean; b> hex d0 00
         b! closed 82",
    ),
    row(
        "[MQTT-4.13.1-1] AUTH in 3.x is a reserved type",
        "a joins v34 clean; a> hex f0 00; a! closed 81",
    ),
    row(
        "[MQTT-4.13.1-1] [MQTT-4.13.2-1] nobody else notices, and nothing behind it is handled",
        "w joins v5; w> subscribe 1 # 0; w< suback 1 00; a joins v5
         a> publish t 1 + hex 3f 00 + publish t 2 + disconnect; a< disconnect 81; a! closed 81
         w< publish t 1; w> pingreq; w< pingresp",
    ),
    row("[MQTT-4.13.2-1] in 3.x there is no word", "a joins v34 clean; a> hex 3f 00; a! closed 81"),
    row(
        "[MQTT-4.13.2-1] the Reason String says what was wrong",
        "a joins v5; a> hex 60 02 0001; a< disconnect 81 reason=*; a! closed",
    ),
    row(
        "[MQTT-4.13.1-1] an error in a part of a SUBSCRIBE leaves nothing of it",
        "a joins v5 expiry=9; a> body 82 0001 00 0001 't' 00 0002 'a#' 00; a< disconnect 81
         a! closed; count subscriptions 0",
    ),
    row(
        "[MQTT-3.2.2-15] a packet that is too large is refused before its body comes, in 3.x too",
        "limits packet_bytes_max=1000; a joins v34 clean; a> hex 30 e8 07; a! closed 95
         b joins v5; b> hex 82 e8 07; b< disconnect 95; b! closed",
    ),
    row(
        "[MQTT-3.1.0-1] a CONNECT that is too large",
        "limits packet_bytes_max=100; a> hex 10 ff 07; a! closed 95",
    ),
];
