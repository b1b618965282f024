//! Where MQTT 3.1.1 differs from 5.0: nothing is told but by CONNACK and SUBACK, sessions know no
//! time, subscriptions no options. 3.1 is served by the same rules, but for Session Present.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "[3.1.1 MQTT-3.1.4-1] a CONNECT that does not conform is closed without a CONNACK",
        "a> body 10 0004 'MQTT' 04 02 0000 0001 'a' 00; a! closed 81
         b> body 10 0004 'MQTT' 04 02 00; b! closed 81",
    ),
    row(
        "[3.1.1 MQTT-3.1.2-14] [3.1.1 MQTT-3.2.2-6] nor one with Will QoS 3: no return code fits",
        "a> body 10 0004 'MQTT' 04 1e 0000 0001 'a' 0001 'w' 0000; a! closed 81",
    ),
    row(
        "[3.1.1 MQTT-1.5.3-1] text that is not UTF-8",
        "a joins v34 clean; a> body 30 0003 eda080 'x'; a! closed 81
         b> body 10 0004 'MQTT' 04 02 0000 0003 eda080; b! closed 81",
    ),
    row(
        "[3.1.1 MQTT-1.5.3-2] text with U+0000",
        "a joins v34 clean; a> body 30 0003 'a' 00 'b' 'x'; a! closed 81
         b joins v34 clean; b> body 82 0001 0002 'a' 00 00; b! closed 81",
    ),
    row(
        "[3.1.1 MQTT-2.2.2-2] flags that must not be",
        "a joins v34 clean; a> body 80 0001 0001 't' 00; a! closed 81; b joins v34 clean
         b> body a0 0001 0001 't'; b! closed 81; c joins v34 clean; c> hex 60 02 0001
         c! closed 81; d joins v34 clean; d> hex e1 00; d! closed 81",
    ),
    row(
        "[3.1.1 MQTT-3.1.2-5] with Clean Session 0, QoS 1 and 2 wait for a client that was cut",
        "a joins v4; a> subscribe 1 t 1 u 2; a< suback 1 01 02; a cut; p joins v4 clean
         p> publish t 1 q1#1; p< puback 1; p> publish u 2 q2#2; p< pubrec 2; p> pubrel 2
         p< pubcomp 2; a resumes v4; a< publish t 1 q1#1; a< publish u 2 q2#2",
    ),
    row(
        "[3.1.1 MQTT-3.1.2-5] and for one that said DISCONNECT",
        "a joins v4; a> subscribe 1 t 1; a< suback 1 01; a> disconnect; a! closed 00
         p joins v4 clean; p> publish t 1 q1#1; p< puback 1; a resumes v4; a< publish t 1 q1#1",
    ),
    row(
        "[3.1.1 MQTT-3.1.2-6] Clean Session 1 discards what was there",
        "a joins v34; a> subscribe 1 t 1; a< suback 1 01; a cut; a joins v34 clean; p joins v5
         p> publish t x q1#1; p< puback 1 10",
    ),
    row(
        "[3.1.1 MQTT-3.1.2-6] and is over with its connection, however that ends",
        "a joins v4 clean; a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5
         p> publish t x q1#1; p< puback 1 10; a joins v4; a cut; a joins v4 clean
         a> subscribe 1 t 1; a< suback 1 01; a> disconnect; a! closed 00; p> publish t x q1#1
         p< puback 1 10; a joins v4",
    ),
    row(
        "[3.1.1 MQTT-3.1.2-7] retained messages are nobody's session",
        "p joins v34 clean; p> publish t r retain; p cut; a joins v34 clean; a> subscribe 1 t 0
         a< suback 1 00; a< publish t r retain",
    ),
    row(
        "[3.1.1 MQTT-3.1.2-8] [3.1.1 MQTT-3.1.2-10] the Will goes out at once when the connection is lost, and once",
        "w joins v5; w> subscribe 1 # 0; w< suback 1 00; a joins v4 will=w:x; a cut
         w< publish w x; a resumes v4; a cut",
    ),
    row(
        "[3.1.1 MQTT-3.1.2-8] also after what does not conform",
        "w joins v5; w> subscribe 1 # 0; w< suback 1 00; a joins v34 clean will=w:x
         a> hex 00 00; a! closed 81; w< publish w x",
    ),
    row(
        "[3.1.1 MQTT-3.1.2-8] also when another takes the session over",
        "w joins v5; w> subscribe 1 # 0; w< suback 1 00; a joins v4 will=w:x; b resumes v4 id=a
         a! closed 8e; w< publish w x",
    ),
    row(
        "[3.1.1 MQTT-3.14.4-3] DISCONNECT discards it",
        "w joins v5; w> subscribe 1 # 0; w< suback 1 00; a joins v34 will=w:x; a> disconnect
         a! closed 00; count wills 0; count wills_published 0",
    ),
    row(
        "[3.1.1 MQTT-3.1.2-24] one and a half times the Keep Alive, then the end and the Will",
        "w joins v5; w> subscribe 1 # 0; w< suback 1 00; a joins v34 clean ka=2 will=gone:a
         wait 2999ms; wait 1ms; a! closed 8d; w< publish gone a",
    ),
    row(
        "[3.1.1 MQTT-3.1.2-24] its own Keep Alive stands, for it cannot be told another",
        "limits keep_alive_max_s=10; a joins v34 clean ka=100; wait 149s; a> pingreq
         a< pingresp; wait 149999ms; wait 1ms; a! closed 8d",
    ),
    row(
        "[3.1.1 MQTT-3.1.4-2] who is connected already is disconnected, without a word",
        "a joins v34; b> connect v34 id=a; a! closed 8e; b gets 1 connack; b> pingreq
         b< pingresp",
    ),
    row(
        "[3.1.1 MQTT-3.1.4-5] nothing behind a refused CONNECT is handled",
        "w joins v5; w> subscribe 1 # 0; w< suback 1 00; a> connect v4 id='' + publish t x
         a< connack 85; a! closed 85",
    ),
    row(
        "[3.1.1 MQTT-3.2.2-1] [3.1.1 MQTT-3.2.2-2] [3.1.1 MQTT-3.2.2-3] Session Present",
        "a> connect v4; a< connack; a cut; a> connect v4; a< connack sp; a cut
         a> connect v4 clean; a< connack; a cut; a> connect v4; a< connack",
    ),
    row(
        "[3.1.1 MQTT-3.2.2-4] [3.1.1 MQTT-3.2.2-5] a refused client is not told of its session, and closed",
        "limits wills_max=0; a joins v4; a cut; a> connect v4 will=w:x; a< connack 88
         a! closed 97; a resumes v4",
    ),
    row(
        "[3.1.1 MQTT-3.2.2-5] no room for another session is return code 3",
        "limits sessions_max=1; shards 1; a joins v34 clean; b> connect v34 clean; b< connack 88
         b! closed 97; a> pingreq; a< pingresp",
    ),
    row(
        "[3.1.1 MQTT-3.3.1-4] QoS 3",
        "a joins v34 clean; a> body 36 0001 't' 0001 'x'; a! closed 81",
    ),
    row(
        "[3.1.1 MQTT-3.3.1-6] [3.1.1 MQTT-3.3.1-8] [3.1.1 MQTT-3.3.1-9] [3.1.1 MQTT-3.8.4-3] RETAIN only for a new Subscription, and for the same one again",
        "p joins v34 clean; s joins v34 clean; s> subscribe 1 t 1; s< suback 1 01
         p> publish t r q1#1 retain; p< puback 1; s< publish t r q1#1; s> puback 1
         s> subscribe 2 t 1; s< suback 2 01; s< publish t r q1#2 retain",
    ),
    row(
        "[3.1.1 MQTT-3.3.1-5] [3.1.1 MQTT-3.3.1-7] the last one is kept, also where QoS 0 takes the place of QoS 1",
        "p joins v34 clean; p> publish t old q1#1 retain; p< puback 1; p> publish t new retain
         s joins v34 clean; s> subscribe 1 t 1; s< suback 1 01; s< publish t new retain",
    ),
    row(
        "[3.1.1 MQTT-3.3.1-10] [3.1.1 MQTT-3.3.1-11] an empty one goes to who is subscribed, takes the old one away, and is not kept",
        "s joins v34 clean; s> subscribe 1 t 0; s< suback 1 00; p joins v34 clean
         p> publish t r retain; s< publish t r; p> publish t '' retain; s< publish t ''
         u joins v34 clean; u> subscribe 1 t 0; u< suback 1 00",
    ),
    row(
        "[3.1.1 MQTT-3.3.1-12] without RETAIN nothing is kept and nothing replaced",
        "p joins v34 clean; p> publish t r retain; p> publish t x; p> publish t ''
         s joins v34 clean; s> subscribe 1 # 0; s< suback 1 00; s< publish t r retain",
    ),
    row(
        "[3.1.1 MQTT-3.3.5-1] overlapping Subscriptions: the highest QoS",
        "s joins v34 clean; s> subscribe 1 t/# 0 t/+ 2 t/a 1; s< suback 1 00 02 01
         p joins v34 clean; p> publish t/a x q2#1; p< pubrec 1; s< publish t/a x q2#1",
    ),
    row(
        "[3.1.1 MQTT-3.3.5-2] a message that nobody may send is acknowledged all the same",
        "s joins v5; s> subscribe 1 $SYS/# 0; s< suback 1 00; p joins v34 clean
         p> publish $SYS/x y q1#1; p< puback 1; p> publish $SYS/x y q2#2; p< pubrec 2",
    ),
    row(
        "[3.1.1 MQTT-3.8.3-4] reserved bits beside the QoS, and QoS 3",
        "a joins v34 clean; a> body 82 0001 0001 't' 04; a! closed 81; b joins v34 clean
         b> body 82 0001 0001 't' 03; b! closed 81",
    ),
    row(
        "[3.1.1 MQTT-3.8.4-5] [3.1.1 MQTT-3.9.3-1] a return code for each filter, in order",
        "limits filter_levels_max=2; a joins v4 clean; a> subscribe 1 a 0 a/b/c 1 b 2
         a< suback 1 00 80 02",
    ),
    row(
        "[3.1.1 MQTT-3.10.4-5] UNSUBACK, whether there was a Subscription or not",
        "a joins v34 clean; a> unsubscribe 7 never; a< unsuback 7; a> subscribe 8 t 0
         a< suback 8 00; a> unsubscribe 9 t; a< unsuback 9; a> publish t x",
    ),
    row(
        "[3.1.1 MQTT-4.4.0-1] with Clean Session 0 what is not acknowledged is sent again",
        "s joins v4; s> subscribe 1 t 2; s< suback 1 02; p joins v4 clean; p> publish t 1 q1#1
         p< puback 1; s< publish t 1 q1#1; p> publish t 2 q2#2; p< pubrec 2
         s< publish t 2 q2#2; s> pubrec 2; s< pubrel 2; s cut; s resumes v4
         s< publish t 1 q1#1 dup; s< pubrel 2",
    ),
    row(
        "[3.1.1 MQTT-4.8.0-1] a Server has no DISCONNECT: every violation just ends the connection",
        "a joins v34 clean; a> connect v34 clean; a! closed 82; b joins v34 clean
         b> hex a2 02 0001; b! closed; c joins v34 clean; c> hex 82 02 0001; c! closed
         d joins v34 clean; d> body 30 0001 '#' 'x'; d! closed; e joins v34 clean
         e> body 32 0001 't' 0000; e! closed; f joins v34 clean; f> body 82 0000 0001 't' 00
         f! closed",
    ),
];
