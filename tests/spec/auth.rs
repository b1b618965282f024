//! Enhanced authentication, section 4.12: refused cleanly, for now.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "[MQTT-4.12.0-1] [MQTT-4.12.0-4] an Authentication Method that is not supported",
        "a> connect v5 method=SCRAM-SHA-1; a< connack 8c; a! closed 8c",
    ),
    row("[MQTT-4.12.0-1] with data", "a> connect v5 method=x data=y; a< connack 8c; a! closed 8c"),
    row(
        "[MQTT-4.12.0-1] it takes nothing over and leaves nothing behind",
        "a joins v5; b> connect v5 id=a clean method=x will=w:x; b< connack 8c; b! closed
         a> pingreq; a< pingresp; count sessions 1; count wills 0",
    ),
    row(
        "[MQTT-3.1.2-30] packets before CONNACK are not handled there",
        "w joins v5; w> subscribe 1 # 0; w< suback 1 00; a> connect v5 method=x + publish t x
         a< connack 8c; a! closed",
    ),
    row(
        "[MQTT-4.12.0-1] Authentication Data without a method",
        "a> body 10 0004 'MQTT' 05 02 0000 04 16 0001 'x' 0001 'a'; a< connack 82; a! closed 82",
    ),
    row(
        "[MQTT-4.12.0-6] without a method in CONNECT there is none in CONNACK, and no AUTH",
        "a> connect v5; a< connack !method=",
    ),
    row(
        "[MQTT-4.12.0-7] [MQTT-4.12.1-1] and the client may not send AUTH",
        "a joins v5; a> auth 18 method=x; a< disconnect 82; a! closed 82",
    ),
    row(
        "[MQTT-4.12.1-1] [MQTT-4.12.1-2] nor ask for a new authentication",
        "a joins v5; a> auth 19 method=x; a< disconnect 82; a! closed 82",
    ),
    row(
        "[MQTT-3.15.1-1] reserved flags of AUTH",
        "a joins v5; a> hex f1 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-3.15.2-1] a reason code that a client may not send",
        "a joins v5; a> hex f0 01 00; a< disconnect 82; a! closed",
    ),
    row("[MQTT-3.15.2-1] AUTH as the first packet", "a> hex f0 00; a! closed"),
];
