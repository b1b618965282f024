//! Session State, sections 3.1.2.11.2, 3.14.2.2.2 and 4.1.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "[MQTT-3.1.2-23] the state is kept while the Session Expiry Interval lasts",
        "a joins v5 expiry=100; a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5
         p> publish t x q1#1; p< puback 1; wait 99s; a resumes v5 expiry=100; a< publish t x q1#1
         a> publish t y q1#1; a<* puback 1 | publish t y q1#2",
    ),
    row(
        "[MQTT-3.1.2-23] 3.1 and 3.1.1 keep it with Clean Session 0",
        "a joins v34; a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5; p> publish t x q1#1
         p< puback 1; wait 604799s; a> connect v34; a gets 1 connack; a< publish t x q1#1",
    ),
    row(
        "[MQTT-4.1.0-1] not discarded while the connection is open, whatever the interval",
        "a joins v5 expiry=1; a> subscribe 1 t 1; a< suback 1 01; wait 1000s; a> publish t x q1#1
         a<* puback 1 | publish t x q1#1; a cut; a resumes v5 expiry=1; a< publish t x q1#1 dup",
    ),
    row(
        "[MQTT-4.1.0-2] discarded once the interval has passed",
        "a joins v5 expiry=100; a> subscribe 1 t 1; a< suback 1 01; a cut; log a; wait 99999ms
         log a; count sessions 1; wait 1ms; log; count sessions 0; count sessions_expired 1
         count subscriptions 0; p joins v5; p> publish t x q1#1; p< puback 1 10
         a joins v5 expiry=100",
    ),
    row(
        "[MQTT-4.1.0-2] interval 0 (or none): at once",
        "a joins v5; a> subscribe 1 t 1; a< suback 1 01; a cut; count sessions 0
         count subscriptions 0; a joins v5",
    ),
    row(
        "[MQTT-4.1.0-2] in 3.x with Clean Session 1: at once",
        "a joins v34 clean; a cut; count sessions 0; log",
    ),
    row(
        "[MQTT-4.1.0-2] the interval starts anew with each connection",
        "a joins v5 expiry=10; a cut; wait 9s; a resumes v5 expiry=10; a cut; wait 9s
         a resumes v5 expiry=20; a cut; wait 19s; a resumes v5 expiry=20",
    ),
    row(
        "[MQTT-4.1.0-2] 0xFFFFFFFF does not expire, where the broker allows it",
        "limits session_expiry_max_s=4294967295; a joins v5 expiry=4294967295; a cut
         wait 500000s; a resumes v5 expiry=4294967295",
    ),
    row(
        "[MQTT-4.1.0-2] the broker's maximum is finite, for 3.1.1 too",
        "limits session_expiry_max_s=60; a joins v4; b joins v5 expiry=4294967295; a cut; b cut
         wait 59999ms; count sessions 2; wait 1ms; count sessions 0; log",
    ),
    row(
        "[MQTT-4.1.0-2] a resumed session that is to end with its connection does, also in the log",
        "a joins v5 expiry=100; a> subscribe 1 t 1; a< suback 1 01; log a; a cut; a resumes v5
         a cut; count sessions 0; log; a joins v5",
    ),
    row(
        "[MQTT-4.1.0-2] in 3.1.1, Clean Session 1 ends the old session at once, also in the log",
        "a joins v4; a> subscribe 1 t 1; a< suback 1 01; a cut; log a; a joins v4 clean; log
         a cut; log; a joins v4",
    ),
    row(
        "[MQTT-3.1.2-4] Clean Start with an interval: the new session is kept",
        "a joins v5 expiry=100; a cut; a joins v5 clean expiry=100; a> subscribe 1 t 1
         a< suback 1 01; log a; a cut; log a; a resumes v5 expiry=100",
    ),
    row(
        "[MQTT-3.14.2-1] DISCONNECT may change the interval: shorter",
        "a joins v5 expiry=100; a> disconnect 00 expiry=10; a! closed 00; wait 10s
         count sessions 0; log",
    ),
    row(
        "[MQTT-3.14.2-1] longer, within the maximum",
        "limits session_expiry_max_s=200; a joins v5 expiry=1; a> disconnect 00 expiry=1000
         a! closed; wait 199999ms; count sessions 1; wait 1ms; count sessions 0; log",
    ),
    row(
        "[MQTT-3.14.2-1] 0: the session ends now, also in the log",
        "a joins v5 expiry=100; a> subscribe 1 t 1; a< suback 1 01; log a
         a> disconnect 00 expiry=0; a! closed; count sessions 0; log",
    ),
    row(
        "[MQTT-3.14.2-1] [MQTT-4.13.1-1] not from 0 to something",
        "a joins v5; a> disconnect 00 expiry=10; a< disconnect 82; a! closed 82; count sessions 0",
    ),
    row(
        "[MQTT-3.14.2-1] a DISCONNECT without one changes nothing",
        "a joins v5 expiry=100; a> disconnect; a! closed; wait 99s; a resumes v5 expiry=100",
    ),
    row(
        "[MQTT-3.14.2-1] a broker that grants nothing takes any DISCONNECT of a client that asked for something",
        "limits session_expiry_max_s=0; a> connect v5 expiry=100; a< connack expiry=0
         a> disconnect 00 expiry=50; a! closed 00; count sessions 0",
    ),
    row(
        "[MQTT-4.4.0-1] what no connection can ask for again is not kept",
        "s joins v* clean; s> subscribe 1 t 2; s< suback 1 02; p joins v5
         p> publish t x q1#1 + publish t y q2#2; p< puback 1; p< pubrec 2; s< publish t x q1#1
         s< publish t y q2#2; count in_flight 2; count in_flight_bytes 0; s> puback 1
         s> pubrec 2; s< pubrel 2; s> pubcomp 2; count in_flight 0; p> publish t z q1#1
         p< puback 1; s< publish t z q1#3; s cut; count in_flight 0; s joins v* clean",
    ),
    row(
        "[MQTT-4.4.0-1] what was sent to a session that stayed is, though it ends with this connection",
        "s joins v5 expiry=99; s> subscribe 1 t 1; s< suback 1 01; p joins v5; p> publish t x q1#1
         p< puback 1; s< publish t x q1#1; s cut; s resumes v5; s< publish t x q1#1 dup
         p> publish t y q1#2; p< puback 2; s< publish t y q1#2; count in_flight 2; s cut
         count in_flight 0; s joins v5",
    ),
    row(
        "[MQTT-3.1.3-2] QoS 2 identifiers of both sides are part of the state",
        "a joins v5 expiry=99; a> subscribe 1 t 2; a< suback 1 02; p joins v5
         p> publish t x q2#1; p< pubrec 1; a< publish t x q2#1; a> pubrec 1; a< pubrel 1
         a> publish u y q2#1; a< pubrec 1 10; a cut; a resumes v5 expiry=99; a< pubrel 1
         a> pubcomp 1; a> pubrel 1; a< pubcomp 1",
    ),
    row(
        "[MQTT-4.1.0-1] takeover keeps the state: in flight and queue",
        "a joins v5 expiry=99 rmax=1; a> subscribe 1 t 1; a< suback 1 01; p joins v5
         p> publish t 1 q1#1 + publish t 2 q1#2; p gets 2 puback; a< publish t 1 q1#1
         b resumes v5 id=a expiry=99; a< disconnect 8e; a! closed; b< publish t 1 q1#1 dup
         b< publish t 2 q1#2",
    ),
    row(
        "[MQTT-4.1.0-2] takeover of a session that ends with its connection: a new one",
        "a joins v5; a> subscribe 1 t 1; a< suback 1 01; b joins v5 id=a expiry=9
         a< disconnect 8e; a! closed; p joins v5; p> publish t x q1#1; p< puback 1 10",
    ),
    row(
        "[MQTT-3.1.2-23] QoS 0 does not wait for offline clients by default, and does where it is set",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5
         p> publish t x; a resumes v5 expiry=9",
    ),
    row(
        "[MQTT-3.1.2-23] queue_qos0",
        "limits queue_qos0=1; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut
         p joins v5; p> publish t x + publish t y q1#1; p< puback 1; a resumes v5 expiry=9
         a< publish t x; a< publish t y q1#1",
    ),
    row(
        "[MQTT-3.1.2-5] sessions of 3.1.1 and 5.0 are the same",
        "a joins v4; a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5
         p> publish t x q1#1 user=a:1; p< puback 1; a resumes v5 expiry=9
         a< publish t x q1#1 user=a:1; a cut; a resumes v4; a< publish t x q1#1 dup",
    ),
    row(
        "[MQTT-4.1.0-2] a message in flight dies with the session",
        "a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02; p joins v5
         p> publish t x q1#1 + publish t y q2#2; p gets 1 puback; p gets 1 pubrec
         a gets 2 publish; a cut; count in_flight 2; wait 9s; count in_flight 0
         count queued_messages 0; log",
    ),
    row(
        "[MQTT-4.1.0-2] the Will's delay and the session's end are two clocks: a resumption stops both",
        "w joins v5; w> subscribe 1 # 0; w< suback 1 00; a joins v5 expiry=20 will=g:a wdelay=10
         a cut; wait 5s; a resumes v5 expiry=20 will=g:a wdelay=10; a cut; wait 9999ms; wait 1ms
         w< publish g a; wait 9999ms; count sessions 2; wait 1ms; count sessions 1",
    ),
    row(
        "[MQTT-4.1.0-1] shutdown ends connections, and the log keeps the sessions that outlive them",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; b joins v4; c joins v5
         d joins v4 clean; broker shutdown; a< disconnect 8b; a! closed; b! closed 8b
         c< disconnect 8b; c! closed; d! closed; log a b; count links 0",
    ),
];
