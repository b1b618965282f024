//! SUBSCRIBE and SUBACK, sections 3.8 and 3.9, and overlapping subscriptions, section 3.3.4.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "[MQTT-3.8.1-1] flags that are not 0010",
        "a joins v5; a> body 80 0001 00 0001 't' 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-3.8.1-1] in 3.1.1 DUP is wrong too",
        "a joins v4 clean; a> body 8a 0001 0001 't' 00; a! closed 81",
    ),
    row(
        "[MQTT-3.8.1-1] 3.1 has it",
        "a joins v3 clean; a> body 8a 0001 0001 't' 00; a< suback 1 00",
    ),
    row(
        "[MQTT-3.8.3-1] the Topic Filter has to be UTF-8",
        "a joins v5; a> body 82 0001 00 0001 ff 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-3.8.3-2] at least one filter",
        "a joins v5; a> body 82 0001 00; a< disconnect 82; a! closed",
    ),
    row("[MQTT-3.8.3-2] in 3.x, too", "a joins v34 clean; a> body 82 0001; a! closed 82"),
    row(
        "[MQTT-3.8.3-2] [3.1.1 MQTT-3.8.3-4] a filter without options",
        "a joins v34 clean; a> body 82 0001 0001 't'; a! closed 81",
    ),
    row(
        "[MQTT-3.8.3-3] No Local: nothing back of what one sends",
        "a joins v5; a> subscribe 1 t 1,nl u 1; a< suback 1 01 01; b joins v5; b> subscribe 1 t 0
         b< suback 1 00; a> publish t x; b< publish t x; a> publish u x; a< publish u x
         b> publish t y; a< publish t y; b< publish t y",
    ),
    row(
        "[MQTT-3.8.3-3] also over a reconnect: it is the Client Identifier that counts",
        "a joins v5 expiry=9; a> subscribe 1 t 1,nl; a< suback 1 01; a cut; a resumes v5 expiry=9
         a> publish t x q1#1; a< puback 1 10",
    ),
    row(
        "[MQTT-3.8.3-3] of overlapping subscriptions those without No Local still count",
        "a joins v5; a> subscribe 1 t 2,nl sub=1; a< suback 1 02; a> subscribe 2 # 1 sub=2
         a< suback 2 01; a> publish t x q2#1; a<* publish t x q1#1 sub=2 | pubrec 1; b joins v5
         b> publish t y; a< publish t y sub=1 sub=2",
    ),
    row(
        "[MQTT-3.8.3-3] nor of what one retained",
        "a joins v5; a> publish t x retain; a> subscribe 1 t 0,nl; a< suback 1 00",
    ),
    row(
        "[MQTT-3.8.3-3] a Will is its client's own message",
        "a joins v5 expiry=99 will=w:x; a> subscribe 1 w 1,nl; a< suback 1 01; b joins v5
         b> subscribe 1 w 0; b< suback 1 00; a cut; b< publish w x; a resumes v5 expiry=99",
    ),
    row(
        "[MQTT-3.8.3-4] No Local on a Shared Subscription",
        "a joins v5; a> subscribe 1 $share/g/t 0,nl; a< disconnect 82; a! closed",
    ),
    row(
        "[MQTT-3.8.3-5] reserved bits in the options",
        "a joins v5; a> body 82 0001 00 0001 't' 40; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-3.8.3-5] in 3.x all but the QoS are reserved",
        "a joins v34 clean; a> body 82 0001 0001 't' 04; a! closed 81",
    ),
    row(
        "[MQTT-3.8.3-5] QoS 3",
        "a joins v5; a> body 82 0001 00 0001 't' 03; a< disconnect 82; a! closed
         b joins v4 clean; b> body 82 0001 0001 't' 03; b! closed 81",
    ),
    row(
        "[MQTT-3.8.3-5] Retain Handling 3",
        "a joins v5; a> body 82 0001 00 0001 't' 30; a< disconnect 82; a! closed",
    ),
    row(
        "[MQTT-3.8.4-1] [MQTT-3.8.4-2] SUBACK, with the same identifier",
        "a joins v* clean; a> subscribe 4711 t 0; a< suback 4711 00",
    ),
    row(
        "[MQTT-3.8.4-2] an identifier of a SUBSCRIBE may be one that a PUBLISH has",
        "a joins v5; a> publish t x q2#1; a< pubrec 1 10; a> subscribe 1 u 0; a< suback 1 00
         a> pubrel 1; a< pubcomp 1",
    ),
    row(
        "[MQTT-3.8.4-3] the same filter again replaces the subscription",
        "a joins v* clean; a> subscribe 1 t 2; a gets 1 suback; a> subscribe 2 t 0
         a gets 1 suback; p joins v* clean; p> publish t x q2#1; p gets 1 pubrec; a< publish t x
         a> unsubscribe 3 t; a gets 1 unsuback; p> publish t x",
    ),
    row(
        "[MQTT-3.8.4-3] options and Subscription Identifier too",
        "a joins v5; a> subscribe 1 t 0,nl sub=1; a< suback 1 00; a> subscribe 2 t 0 sub=2
         a< suback 2 00; a> publish t x; a< publish t x sub=2; a> subscribe 3 t 0; a< suback 3 00
         a> publish t x; a< publish t x",
    ),
    row(
        "[MQTT-3.8.4-3] a shared one with the same filter is another subscription",
        "a joins v5; a> subscribe 1 t 0; a< suback 1 00; a> subscribe 2 $share/g/t 0
         a< suback 2 00; a> publish t x; a gets 2 publish",
    ),
    row(
        "[MQTT-3.8.4-4] replaced with Retain Handling 0 the retained messages come again, and nothing is lost",
        "p joins v5; p> publish t r retain; a joins v5; a> subscribe 1 t 1; a< suback 1 01
         a< publish t r retain; a> subscribe 2 t 1; a< suback 2 01; a< publish t r retain
         p> publish t x q1#1; p< puback 1; a< publish t x q1#1",
    ),
    row(
        "[MQTT-3.8.4-5] many filters are handled as if they came one by one",
        "a joins v* clean; a> subscribe 1 t 2 u 1 t 0; a< suback 1 02 01 00; p joins v* clean
         p> publish t x q1#1; p< puback 1; a< publish t x; p> publish u x q2#2; p< pubrec 2
         a< publish u x q1#1",
    ),
    row(
        "[MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-1] a code for each filter, in order",
        "a joins v* clean; a> subscribe 1 a 2 b 0 c 1 d 2; a< suback 1 02 00 01 02",
    ),
    row(
        "[MQTT-3.8.4-7] [MQTT-3.9.3-2] a filter that is refused does not touch the others",
        "limits filter_levels_max=2; a joins v5; a> subscribe 1 a/b 1 a/b/c 1 a 2
         a< suback 1 01 8f 02; a> publish a/b/c x; a> publish a x; a< publish a x",
    ),
    row(
        "[MQTT-3.9.3-2] [3.1.1 MQTT-3.9.3-2] 3.1.1 has 0x80 for every failure",
        "limits filter_levels_max=2; a joins v4 clean; a> subscribe 1 a/b/c 1 a 2
         a< suback 1 80 02",
    ),
    row(
        "[MQTT-3.9.3-2] 3.1 has none: QoS 0 is granted, and nothing comes",
        "limits filter_levels_max=2; a joins v3 clean; a> subscribe 1 a/b/c 1 a 2
         a< suback 1 00 02; a> publish a/b/c x",
    ),
    row(
        "[MQTT-3.9.2-1] [MQTT-3.9.2-2] SUBACK carries no property that would not fit",
        "a joins v5 maxp=16; a> subscribe 1 t 1 u 2; a< suback 1 01 02 !reason= !user=",
    ),
    row(
        "[MQTT-3.8.4-8] the granted QoS is kept in the session",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut; a resumes v5 expiry=9
         p joins v5; p> publish t x q2#1; p< pubrec 1; a< publish t x q1#1",
    ),
    row(
        "[MQTT-3.3.4-2] overlapping subscriptions: one copy, at the highest QoS",
        "a joins v* clean; a> subscribe 1 t/# 0 t/+ 2 t/a 1; a gets 1 suback; p joins v* clean
         p> publish t/a x q2#1; p< pubrec 1; a< publish t/a x q2#1",
    ),
    row(
        "[MQTT-3.3.4-3] [MQTT-3.3.4-4] with all their Subscription Identifiers",
        "a joins v5; a> subscribe 1 t/# 0 sub=1; a< suback 1 00
         a> subscribe 2 t/+ 1 sub=268435455; a< suback 2 01; a> subscribe 3 t/a 0; a< suback 3 00
         a> subscribe 4 +/a 0 sub=200; a< suback 4 00; p joins v5; p> publish t/a x q1#1
         p< puback 1; a< publish t/a x q1#1 sub=1 sub=268435455 sub=200; p> publish t/b x
         a< publish t/b x sub=1 sub=268435455",
    ),
    row(
        "[MQTT-3.3.4-3] the same identifier for several filters",
        "a joins v5; a> subscribe 1 t/# 0 u 0 sub=7; a< suback 1 00 00; a> publish t x
         a< publish t x sub=7; a> publish u x; a< publish u x sub=7",
    ),
    row(
        "[MQTT-3.3.4-3] identifiers are kept in the queue and over a reconnect",
        "a joins v5 expiry=9; a> subscribe 1 t 1 sub=7; a< suback 1 01; a cut; p joins v5
         p> publish t x q1#1; p< puback 1; a resumes v5 expiry=9; a< publish t x q1#1 sub=7
         a cut; a resumes v5 expiry=9; a< publish t x q1#1 dup sub=7",
    ),
    row(
        "[MQTT-3.3.4-3] and with retained messages",
        "p joins v5; p> publish t r retain; a joins v5; a> subscribe 1 t 0 sub=7; a< suback 1 00
         a< publish t r retain sub=7",
    ),
    row(
        "[MQTT-3.3.4-5] a copy for a Shared Subscription has its own identifier",
        "a joins v5; a> subscribe 1 t 0 sub=1; a< suback 1 00; a> subscribe 2 $share/g/t 0 sub=2
         a< suback 2 00; a> publish t x; a<* publish t x sub=1 | publish t x sub=2",
    ),
    row(
        "[MQTT-3.3.4-5] 3.x gets none",
        "a joins v34 clean; a> subscribe 1 t 0 # 0; a< suback 1 00 00; a> publish t x
         a< publish t x",
    ),
    row(
        "[MQTT-3.8.4-3] Subscription Identifier 0",
        "a joins v5; a> body 82 0001 02 0b00 0001 't' 00; a< disconnect 82; a! closed",
    ),
    row(
        "[MQTT-3.8.4-3] Subscription Identifier twice",
        "a joins v5; a> body 82 0001 04 0b01 0b02 0001 't' 00; a< disconnect 82; a! closed",
    ),
    row(
        "[MQTT-2.2.1-3] Packet Identifier 0",
        "a joins v5; a> body 82 0000 00 0001 't' 00; a< disconnect 82; a! closed",
    ),
    row(
        "[MQTT-3.8.4-1] a subscription for many topics, then messages from another shard",
        "a joins v5; b joins v5 id=b1; c joins v5 id=c2; a> subscribe 1 s/1 0 s/2 0 s/+/x 0
         a< suback 1 00 00 00; b> publish s/1 x; a< publish s/1 x; c> publish s/2/x y
         a< publish s/2/x y; b> publish s/3 z",
    ),
];
