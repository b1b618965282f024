//! UNSUBSCRIBE and UNSUBACK, sections 3.10 and 3.11.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "[MQTT-3.10.1-1] flags that are not 0010",
        "a joins v5; a> body a0 0001 00 0001 't'; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-3.10.1-1] in 3.x, but DUP in 3.1",
        "a joins v34 clean; a> body a6 0001 0001 't'; a! closed 81; b joins v3 clean
         b> body aa 0001 0001 't'; b< unsuback 1",
    ),
    row(
        "[MQTT-3.10.3-1] the Topic Filter has to be UTF-8",
        "a joins v5; a> body a2 0001 00 0001 ff; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-3.10.3-2] at least one filter",
        "a joins v5; a> body a2 0001 00; a< disconnect 82; a! closed; b joins v4 clean
         b> body a2 0001; b! closed 82",
    ),
    row(
        "[MQTT-3.10.3-2] Packet Identifier 0",
        "a joins v5; a> body a2 0000 00 0001 't'; a< disconnect 82; a! closed",
    ),
    row(
        "[MQTT-3.10.4-1] filters are compared character by character",
        "a joins v5; a> subscribe 1 t/# 0 t/+ 0 T 0; a< suback 1 00 00 00
         a> unsubscribe 2 t/a t t/+/ # T/ t/+; a< unsuback 2 11 11 11 11 11 00; p joins v5
         p> publish t/a x; a< publish t/a x; a> unsubscribe 3 t/#; a< unsuback 3 00
         p> publish t/a x",
    ),
    row(
        "[MQTT-3.10.4-1] a shared one by its whole name",
        "a joins v5; a> subscribe 1 $share/g/t 0; a< suback 1 00; a> unsubscribe 2 t $share/h/t
         a< unsuback 2 11 11; p joins v5; p> publish t x; a< publish t x
         a> unsubscribe 3 $share/g/t; a< unsuback 3 00; p> publish t x",
    ),
    row(
        "[MQTT-3.10.4-1] only one's own",
        "a joins v5; b joins v5; a> subscribe 1 t 0; a< suback 1 00; b> unsubscribe 1 t
         b< unsuback 1 11; b> publish t x; a< publish t x",
    ),
    row(
        "[MQTT-3.10.4-2] no new messages after it",
        "a joins v* clean; p joins v* clean; a> subscribe 1 t 1; a gets 1 suback; p> publish t x
         a< publish t x; a> unsubscribe 2 t; a gets 1 unsuback; p> publish t x",
    ),
    row(
        "[MQTT-3.10.4-2] other subscriptions that match still count",
        "a joins v5; a> subscribe 1 t 2 # 0; a< suback 1 02 00; a> unsubscribe 2 t
         a< unsuback 2 00; a> publish t x q1#1; a<* publish t x | puback 1",
    ),
    row(
        "[MQTT-3.10.4-2] nor in the session of an offline client",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a> unsubscribe 2 t
         a< unsuback 2 00; a cut; p joins v5; p> publish t x q1#1; p< puback 1 10
         a resumes v5 expiry=9",
    ),
    row(
        "[MQTT-3.10.4-3] what was started is completed: in flight and queued",
        "a joins v5 rmax=1 expiry=9; p joins v5; a> subscribe 1 t 2; a< suback 1 02
         p> publish t x q1#1 + publish t y q2#2; p gets 1 puback; p gets 1 pubrec
         a< publish t x q1#1; a> unsubscribe 2 t; a< unsuback 2 00; a> puback 1
         a< publish t y q2#2; a cut; a resumes v5 expiry=9; a< publish t y q2#2 dup; a> pubrec 2
         a< pubrel 2; a> pubcomp 2",
    ),
    row(
        "[MQTT-3.10.4-4] [MQTT-3.10.4-5] UNSUBACK, with the same identifier, though nothing is deleted",
        "a joins v5; a> unsubscribe 4711 t; a< unsuback 4711 11",
    ),
    row(
        "[MQTT-3.10.4-5] in 3.x without codes",
        "a joins v34 clean; a> unsubscribe 4711 t u; a< unsuback 4711",
    ),
    row(
        "[MQTT-3.10.4-6] [MQTT-3.11.3-1] [MQTT-3.11.3-2] many filters, one answer, codes in order",
        "a joins v5; a> subscribe 1 a 0 c 0; a< suback 1 00 00; a> unsubscribe 2 a b c a
         a< unsuback 2 00 11 00 11",
    ),
    row(
        "[MQTT-3.11.2-1] [MQTT-3.11.2-2] UNSUBACK carries no property that would not fit",
        "a joins v5 maxp=16; a> unsubscribe 1 a; a< unsuback 1 11 !reason= !user=",
    ),
    row(
        "[MQTT-3.10.4-2] subscribed again, it is as new: retained messages come for Retain Handling 1",
        "p joins v5; p> publish t r retain; a joins v5; a> subscribe 1 t 0,rh1; a< suback 1 00
         a< publish t r retain; a> unsubscribe 2 t; a< unsuback 2 00; a> subscribe 3 t 0,rh1
         a< suback 3 00; a< publish t r retain",
    ),
];
