//! Flow control, section 4.9, and Maximum Packet Size, section 3.1.2.11.4.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "[MQTT-3.3.4-7] one PUBLISH more than Receive Maximum is 0x93: QoS 2",
        "limits receive_maximum=2; p> connect v5; p< connack rmax=2
         p> publish t 1 q2#1 + publish t 2 q2#2; p< pubrec 1 10; p< pubrec 2 10
         p> publish t 3 q2#3; p< disconnect 93; p! closed 93",
    ),
    row(
        "[MQTT-3.3.4-7] QoS 1 counts as well",
        "limits receive_maximum=1; p joins v5; p> publish t 1 q2#1; p< pubrec 1 10
         p> publish t 2 q1#2; p< disconnect 93; p! closed 93",
    ),
    row(
        "[MQTT-3.3.4-7] QoS 0 does not",
        "limits receive_maximum=1; p joins v5; p> publish t 1 q2#1; p< pubrec 1 10
         p> publish t 2; p> pingreq; p< pingresp",
    ),
    row(
        "[MQTT-3.3.4-7] PUBACK gives it back",
        "limits receive_maximum=1; p joins v5
         p> publish t 1 q1#1 + publish t 2 q1#2 + publish t 3 q1#3; p< puback 1 10
         p< puback 2 10; p< puback 3 10",
    ),
    row(
        "[MQTT-3.3.4-7] PUBCOMP does",
        "limits receive_maximum=1; p joins v5; p> publish t 1 q2#1; p< pubrec 1 10; p> pubrel 1
         p< pubcomp 1; p> publish t 2 q2#2; p< pubrec 2 10",
    ),
    row(
        "[MQTT-3.3.4-7] a PUBREC with an error does",
        "limits receive_maximum=1; p joins v5; p> publish $SYS/x 1 q2#1; p< pubrec 1 87
         p> publish t 2 q2#2; p< pubrec 2 10",
    ),
    row(
        "[MQTT-3.3.4-7] the same QoS 2 message again is not one more",
        "limits receive_maximum=1; p joins v5; p> publish t 1 q2#1; p< pubrec 1 10
         p> publish t 1 q2#1 dup; p< pubrec 1; p> pubrel 1; p< pubcomp 1",
    ),
    row(
        "[MQTT-3.3.4-7] a new connection starts afresh",
        "limits receive_maximum=1; p joins v5 expiry=9; p> publish t 1 q2#1; p< pubrec 1 10
         p cut; p resumes v5 expiry=9; p> publish t 2 q1#2; p< puback 2 10",
    ),
    row(
        "[MQTT-3.3.4-7] but what is sent again counts on it",
        "limits receive_maximum=1; p joins v5 expiry=9; p> publish t 1 q2#1; p< pubrec 1 10
         p cut; p resumes v5 expiry=9; p> publish t 1 q2#1 dup; p< pubrec 1; p> publish t 2 q1#2
         p< disconnect 93; p! closed",
    ),
    row(
        "[MQTT-3.3.4-7] and is one too many where there is no room for it",
        "limits receive_maximum=1; p joins v5 expiry=9; p> publish t 1 q2#1; p< pubrec 1 10
         p cut; p resumes v5 expiry=9; p> publish t 2 q2#2; p< pubrec 2 10
         p> publish t 1 q2#1 dup; p< disconnect 93; p! closed 93",
    ),
    row(
        "[MQTT-3.3.4-7] PUBREL of an earlier connection's message gives nothing back",
        "limits receive_maximum=1; p joins v5 expiry=9; p> publish t 1 q2#1; p< pubrec 1 10
         p cut; p resumes v5 expiry=9; p> publish t 2 q2#2; p< pubrec 2 10; p> pubrel 1
         p< pubcomp 1; p> publish t 3 q1#3; p< disconnect 93; p! closed",
    ),
    row(
        "[MQTT-3.3.4-7] 3.x was told of none",
        "limits receive_maximum=1; p joins v34 clean; p> publish t 1 q2#1 + publish t 2 q2#2
         p< pubrec 1; p< pubrec 2",
    ),
    row(
        "[MQTT-3.3.4-8] [MQTT-4.9.0-3] [MQTT-3.3.4-10] other packets pass when the quota is used up, both ways",
        "limits receive_maximum=1; a joins v5 rmax=1; a> subscribe 1 t 1; a< suback 1 01
         p joins v5; p> publish t 1 q1#1 + publish t 2 q1#2; p gets 2 puback; a< publish t 1 q1#1
         a> subscribe 2 u 0; a< suback 2 00; a> pingreq; a< pingresp; a> unsubscribe 3 u
         a< unsuback 3 00; a> publish u x q1#1; a< puback 1 10; a> puback 1; a< publish t 2 q1#2",
    ),
    row(
        "[MQTT-3.3.4-10] QoS 0 passes, too",
        "a joins v5 rmax=1; a> subscribe 1 t 1 u 0; a< suback 1 01 00; p joins v5
         p> publish t 1 q1#1 + publish t 2 q1#2 + publish u 3; p gets 2 puback
         a< publish t 1 q1#1; a< publish u 3; a> puback 1; a< publish t 2 q1#2",
    ),
    row(
        "[MQTT-3.3.4-9] [MQTT-4.9.0-1] [MQTT-4.9.0-2] the broker keeps to the client's Receive Maximum exactly",
        "a joins v5 rmax=2; a> subscribe 1 t 2; a< suback 1 02; p joins v5
         p> publish t 1 q1#1 + publish t 2 q2#2 + publish t 3 q1#3 + publish t 4 q2#4
         p gets 1 puback; p gets 1 pubrec; p gets 1 puback; p gets 1 pubrec
         a<* publish t 1 q1#1 | publish t 2 q2#2; a> pubrec 2; a< pubrel 2; a> pubcomp 2
         a< publish t 3 q1#3; a> puback 1; a< publish t 4 q2#4; a> pubrec 4 80; a> puback 3
         count in_flight 0; p> publish t 5 q1#1; p< puback 1; a< publish t 5 q1#5",
    ),
    row(
        "[MQTT-4.9.0-2] also for what is sent again",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; p joins v5
         p> publish t 1 q1#1 + publish t 2 q1#2 + publish t 3 q1#3; p gets 3 puback
         a gets 3 publish; a cut; a resumes v5 expiry=9 rmax=2; a< publish t 1 q1#1 dup
         a< publish t 2 q1#2 dup; a> puback 2; a< publish t 3 q1#3 dup; a> puback 1 + puback 3
         p> publish t 4 q1#1; p< puback 1; a< publish t 4 q1#4",
    ),
    row(
        "[MQTT-4.9.0-2] PUBREL is no PUBLISH: it is sent again beyond the quota",
        "a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02; p joins v5
         p> publish t 1 q1#1 + publish t 2 q1#2; p gets 2 puback; a gets 2 publish
         p> publish t 3 q2#3; p< pubrec 3; a< publish t 3 q2#3; a> pubrec 3; a< pubrel 3; a cut
         a resumes v5 expiry=9 rmax=2; a< publish t 1 q1#1 dup; a< publish t 2 q1#2 dup
         a< pubrel 3; a> pubcomp 3; a> puback 1 + puback 2",
    ),
    row(
        "[MQTT-4.9.0-1] the broker's own bound on what is in flight, for 3.x as well",
        "limits in_flight_max=1; a joins v* clean; a> subscribe 1 t 1; a< suback 1 01; p joins v5
         p> publish t 1 q1#1 + publish t 2 q1#2; p gets 2 puback; a< publish t 1 q1#1
         a> puback 1; a< publish t 2 q1#2",
    ),
    row(
        "[MQTT-3.1.2-24] [MQTT-3.1.2-25] a PUBLISH that is too large is dropped as if it had been delivered: QoS 0, 1 and 2",
        "a joins v5 maxp=30; a> subscribe 1 t 2; a< suback 1 02; p joins v5
         p> publish t x*50 + publish t x*50 q1#1 + publish t x*50 q2#2; p gets 1 puback
         p gets 1 pubrec; count dropped_too_large 3; count in_flight 0; p> publish t y q1#3
         p< puback 3; a< publish t y q1#3",
    ),
    row(
        "[MQTT-3.1.2-25] to the byte",
        "a joins v5 maxp=30; a> subscribe 1 t 0; a< suback 1 00; a> publish t x*24
         a< publish t x*24; a> publish t x*25; count dropped_too_large 1",
    ),
    row(
        "[MQTT-3.1.2-25] the window that it would have taken is free at once",
        "a joins v5 maxp=30 rmax=1 expiry=9; a> subscribe 1 t 2; a< suback 1 02; p joins v5
         p> publish t x*50 q2#1 + publish t y q2#2; p gets 2 pubrec; a< publish t y q2#2
         a> pubrec 2; a< pubrel 2; a> pubcomp 2",
    ),
    row(
        "[MQTT-3.1.2-25] a session that comes back with a smaller maximum",
        "a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02; a cut; p joins v5
         p> publish t x*50 q1#1 + publish t y q1#2 + publish t x*50 q2#3 + publish t z q2#4
         p gets 2 puback; p gets 2 pubrec; a resumes v5 maxp=30 rmax=1 expiry=9
         a< publish t y q1#2; a> puback 2; a< publish t z q2#4",
    ),
    row(
        "[MQTT-3.1.2-25] others get it",
        "a joins v5 maxp=30; a> subscribe 1 t 0; a< suback 1 00; b joins v5; b> subscribe 1 t 0
         b< suback 1 00; b> publish t x*50; b< publish t x*50",
    ),
    row(
        "[MQTT-3.1.2-24] a Reason String that does not fit is left out",
        "a joins v5 maxp=16; a> hex 00 00; a< disconnect 81 !reason=; a! closed
         b joins v5 id=bb maxp=200; b> hex 00 00; b< disconnect 81 reason=*; b! closed",
    ),
    row(
        "[MQTT-3.1.2-29] Request Problem Information 0: no Reason String elsewhere than in CONNACK and DISCONNECT",
        "a joins v5 noproblem; a> subscribe 1 t 1; a< suback 1 01 !reason= !user=
         a> publish $SYS/x 1 q1#1; a< puback 1 87 !reason= !user=; a> publish t 1 user=a:1
         a< publish t 1 user=a:1; a> hex 00 00; a gets 1 disconnect; a! closed",
    ),
    row(
        "[MQTT-3.3.4-7] what CONNACK said holds for its connection, whatever is reloaded",
        "p joins v5; limits receive_maximum=1; p> publish t 1 q2#1 + publish t 2 q2#2
         p gets 2 pubrec; q> connect v5; q< connack rmax=1; limits receive_maximum=9
         q> publish t 1 q2#1; q gets 1 pubrec; q> publish t 2 q2#2; q< disconnect 93; q! closed",
    ),
    row(
        "[MQTT-3.3.4-7] 65,535 need not be said",
        "limits receive_maximum=65535; p> connect v5; p< connack !rmax=",
    ),
];
