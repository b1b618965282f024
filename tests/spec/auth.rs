//! Enhanced authentication, section 4.12. What happens before CONNACK is not the broker's: it is
//! told by which method a client was authenticated.

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
    row(
        "[MQTT-4.12.0-5] CONNACK names the method, and has its data",
        "a is ada method=m data=d; a> connect v5 method=m; a< connack method=m data=d
         b is ada method=m; b> connect v5 method=m; b< connack method=m !data=",
    ),
    row(
        "[MQTT-4.12.1-1] authentication again, by the same method; nothing else is taken meanwhile",
        "a is ada method=m; a joins v5 method=m; a> auth 19 method=m data=x + pingreq
         a asks reauthenticate m x first; a hears continue y; a< auth 18 method=m data=y
         a< pingresp; a> publish t x q1#1; a< puback 1 10; a> auth 18 method=m data=z
         a asks reauthenticate m z; a hears enter e; a< auth 00 method=m data=e
         a> auth 19 method=m; a asks reauthenticate m  first; a hears enter
         a< auth 00 method=m",
    ),
    row(
        "[MQTT-4.12.1-1] another method",
        "a is ada method=m; a joins v5 method=m; a> auth 19 method=n; a< disconnect 82
         a! closed 82",
    ),
    row(
        "[MQTT-4.12.1-2] without success it is the end",
        "a is ada method=m; a joins v5 method=m; a> auth 19 method=m; a hears failed
         a< disconnect 87; a! closed 87",
    ),
    row(
        "[MQTT-4.12.1-2] as another user, too",
        "a is ada method=m; a joins v5 method=m; a> auth 19 method=m; a is bob method=m
         a hears enter; a< disconnect 87; a! closed 87",
    ),
    row(
        "AUTH out of turn: to go on with nothing, or to begin twice",
        "a is ada method=m; a joins v5 method=m; a> auth 18 method=m; a< disconnect 82
         a! closed 82; a joins v5 method=m; a> auth 19 method=m; a hears continue x
         a< auth 18 method=m data=x; a> auth 19 method=m; a< disconnect 82; a! closed 82",
    ),
    row(
        "who authenticates again has the rights that come of it, and their end",
        "a is ada method=m ends=10s publish=t; a joins v5 method=m; a> publish u x q1#1
         a< puback 1 87; a> publish t x q1#1; a< puback 1 10; wait 9s; a> auth 19 method=m
         a is ada method=m ends=10s publish=u; a hears enter; a< auth 00 method=m; wait 9s
         a> publish u x q1#1; a< puback 1 10; a> publish t x q1#2; a< puback 2 87; wait 1s
         a< disconnect 87; a! closed 87",
    ),
];
