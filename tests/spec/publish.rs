//! PUBLISH, section 3.3: topics, properties, acknowledgements. Retained messages, Topic Aliases,
//! and Receive Maximum have files of their own.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "[MQTT-2.2.1-2] [MQTT-4.3.1-1] [MQTT-3.3.1-2] QoS 0 has no Packet Identifier and no DUP",
        "s joins v* clean; s> subscribe 1 t 2; s gets 1 suback; p joins v* clean; p> publish t x
         s< publish t x",
    ),
    row(
        "[MQTT-3.3.1-2] DUP with QoS 0 is malformed",
        "a joins v5; a> body 38 0001 't' 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-2.2.1-5] acknowledgements name the identifier",
        "p joins v5; p> publish t x q1#300; p< puback 300 10; p> publish t x q2#65535
         p< pubrec 65535 10; p> pubrel 65535; p< pubcomp 65535",
    ),
    row(
        "[MQTT-2.2.1-6] SUBACK and UNSUBACK likewise",
        "a joins v* clean; a> subscribe 513 t 0; a< suback 513 00; a> unsubscribe 514 t
         a gets 1 unsuback",
    ),
    row("[MQTT-2.2.1-6] UNSUBACK", "a joins v5; a> unsubscribe 514 t; a< unsuback 514 11"),
    row(
        "[MQTT-2.2.1-3] the client's identifier is not 0",
        "a joins v5; a> body 32 0001 't' 0000 00; a< disconnect 82; a! closed",
    ),
    row(
        "[MQTT-2.2.1-4] the broker's identifiers rise from 1, those in use are not given out",
        "s joins v5; s> subscribe 1 t 2; s< suback 1 02; p joins v5
         p> publish t a q1#1 + publish t b q2#2 + publish t c q1#3; p gets 1 puback
         p gets 1 pubrec; p gets 1 puback; s< publish t a q1#1; s< publish t b q2#2
         s< publish t c q1#3; s> puback 1; p> publish t d q1#1; p< puback 1; s< publish t d q1#4",
    ),
    row(
        "[MQTT-2.2.2-1] a packet without properties says so",
        "a joins v5; a> hex 30 03 0001 't'; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-3.3.1-3] DUP of what comes in says nothing of what goes out",
        "s joins v5; s> subscribe 1 t 1; s< suback 1 01; p joins v5; p> publish t x q1#1 dup
         p< puback 1; s< publish t x q1#1",
    ),
    row(
        "[MQTT-3.3.1-4] QoS 3",
        "a joins v5; a> body 36 0001 't' 0001 00; a< disconnect 81; a! closed",
    ),
    row("[MQTT-3.3.1-4] QoS 3 in 3.x", "a joins v34 clean; a> body 36 0001 't' 0001; a! closed 81"),
    row(
        "[MQTT-3.3.2-1] the Topic Name has to be UTF-8",
        "a joins v5; a> body 30 0002 c328 00; a< disconnect 81; a! closed",
    ),
    row("[MQTT-3.3.2-1] and there", "a joins v5; a> body 30 00; a< disconnect 81; a! closed"),
    row(
        "[MQTT-3.3.2-1] an empty one without an alias",
        "a joins v5; a> body 30 0000 00; a< disconnect 82; a! closed",
    ),
    row(
        "[MQTT-3.3.2-2] wildcards in a Topic Name",
        "a joins v5; a> body 30 0003 't/#' 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-3.3.2-2] the other one, in 3.x",
        "a joins v34 clean; a> body 30 0003 't/+'; a! closed 81",
    ),
    row(
        "[MQTT-3.3.2-3] the Topic Name that is sent is the one that was published",
        "s joins v* clean; s> subscribe 1 +/b/# 0; s gets 1 suback; p joins v* clean
         p> publish a/b/c x; s< publish a/b/c x; p> publish a/c/b x",
    ),
    row(
        "[MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-20] properties go through unaltered",
        "s joins v5; s> subscribe 1 t 1; s< suback 1 01; p joins v5
         p> publish t x q1#1 fmt=1 ct=text/plain resp=r/1 corr=c user=a:1; p< puback 1
         s< publish t x q1#1 fmt=1 ct=text/plain resp=r/1 corr=c user=a:1",
    ),
    row(
        "[MQTT-3.3.2-17] to each of several that were away, on one shard and on another",
        "a joins v5 expiry=9; b joins v5 expiry=9; c joins v5 expiry=9; a> subscribe 1 t 1
         a< suback 1 01; b> subscribe 1 t 1; b< suback 1 01; c> subscribe 1 t 1; c< suback 1 01
         a cut; b cut; c cut; p joins v5; p> publish t x q1#1 user=a:1 ct=c; p< puback 1
         p> publish t y q1#2 user=b:2; p< puback 2
         a resumes v5 expiry=9; a< publish t x q1#1 user=a:1 ct=c; a< publish t y q1#2 user=b:2
         b resumes v5 expiry=9; b< publish t x q1#1 user=a:1 ct=c; b< publish t y q1#2 user=b:2
         c resumes v5 expiry=9; c< publish t x q1#1 user=a:1 ct=c; c< publish t y q1#2 user=b:2",
    ),
    row(
        "the same where all are on a shard that is not the publisher's",
        "shards 2; p at 0; a at 1; b at 1; a joins v5 expiry=9; b joins v5 expiry=9
         a> subscribe 1 t 1; a< suback 1 01; b> subscribe 1 t 1; b< suback 1 01; a cut; b cut
         p joins v5; p> publish t x q1#1 user=a:1; p< puback 1
         a resumes v5 expiry=9; a< publish t x q1#1 user=a:1
         b resumes v5 expiry=9; b< publish t x q1#1 user=a:1",
    ),
    row(
        "[MQTT-3.3.2-4] indicator 0 is sent too",
        "s joins v5; s> subscribe 1 t 0; s< suback 1 00; s> publish t x fmt=0
         s< publish t x fmt=0",
    ),
    row(
        "[MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.1.3-10] User Properties keep their order, and may repeat",
        "s joins v5; s> subscribe 1 t 0; s< suback 1 00
         s> publish t x user=b:1 user=a:2 user=b:1 user=a:
         s< publish t x user=b:1 user=a:2 user=b:1 user=a:",
    ),
    row(
        "[MQTT-3.3.2-17] in the queue of an offline session too",
        "s joins v5 expiry=9; s> subscribe 1 t 1; s< suback 1 01; s cut; p joins v5
         p> publish t x q1#1 ct=c user=b:1 user=a:2; p< puback 1; s resumes v5 expiry=9
         s< publish t x q1#1 ct=c user=b:1 user=a:2",
    ),
    row(
        "[MQTT-3.3.2-17] 3.x gets the message without them, and 5.0 what 3.x sent",
        "s joins v34 clean; s> subscribe 1 t 0; s gets 1 suback; q joins v5; q> subscribe 1 t 0
         q< suback 1 00; p joins v5; p> publish t x ct=c user=a:1; s< publish t x
         q< publish t x ct=c user=a:1; s> publish t y; s< publish t y; q< publish t y",
    ),
    row(
        "[MQTT-3.3.2-4] Payload Format Indicator 1 and a payload that is not UTF-8: QoS 1",
        "s joins v5; s> subscribe 1 # 2; s< suback 1 02; a joins v5
         a> body 32 0001 't' 0001 02 0101 ff; a< puback 1 99",
    ),
    row(
        "[MQTT-3.3.2-4] likewise QoS 2, and the identifier is free again",
        "s joins v5; s> subscribe 1 # 2; s< suback 1 02; a joins v5
         a> body 34 0001 't' 0001 02 0101 ff; a< pubrec 1 99; a> publish t ok q2#1; a< pubrec 1
         s< publish t ok q2#1",
    ),
    row(
        "[MQTT-3.3.2-4] likewise QoS 0, which has no other answer",
        "a joins v5; a> body 30 0001 't' 02 0101 ff; a< disconnect 99; a! closed",
    ),
    row(
        "[MQTT-3.3.2-5] what has expired is not sent to those who come late",
        "s joins v5 expiry=100; s> subscribe 1 t 1; s< suback 1 01; s cut; p joins v5
         p> publish t a q1#1 expiry=10 + publish t b q1#2 + publish t c q1#3 expiry=11
         p gets 3 puback; wait 10s; s resumes v5 expiry=100; s< publish t b q1#1
         s< publish t c q1#2 expiry=1",
    ),
    row(
        "[MQTT-3.3.2-5] the sweep takes expired messages out of queues that nobody fetches",
        "s joins v5 expiry=100; s> subscribe 1 t 1; s< suback 1 01; s cut; p joins v5
         p> publish t a q1#1 expiry=3; p< puback 1; count queued_messages 1; wait 13s
         count queued_messages 0; count dropped_expired 1",
    ),
    row(
        "[MQTT-3.3.2-5] Message Expiry Interval 0 reaches those who are there",
        "s joins v5 expiry=100; s> subscribe 1 t 1; s< suback 1 01; p joins v5
         p> publish t a q1#1 expiry=0; p< puback 1; s< publish t a q1#1 expiry=0",
    ),
    row(
        "[MQTT-3.3.2-6] Message Expiry Interval is what is left",
        "s joins v5 expiry=100; s> subscribe 1 t 1; s< suback 1 01; p joins v5
         p> publish t a q1#1 expiry=30; p< puback 1; s< publish t a q1#1 expiry=30; s cut
         p> publish t b q1#1 expiry=30; p< puback 1; wait 12s; s resumes v5 expiry=100
         s< publish t a q1#1 dup expiry=18; s< publish t b q1#2 expiry=18",
    ),
    row(
        "[MQTT-3.3.2-13] the Response Topic has to be UTF-8",
        "a joins v5; a> body 30 0001 't' 04 08 0001 ff; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-3.3.2-14] and without wildcards",
        "a joins v5; a> body 30 0001 't' 04 08 0001 '#'; a< disconnect 82; a! closed",
    ),
    row(
        "[MQTT-3.3.2-19] the Content Type has to be UTF-8",
        "a joins v5; a> body 30 0001 't' 04 03 0001 ff; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-3.3.4-1] each QoS has its answer",
        "p joins v5; p> publish t x; p> publish t x q1#1; p< puback 1 10; p> publish t x q2#2
         p< pubrec 2 10",
    ),
    row(
        "[MQTT-3.3.4-1] in 3.x without reason codes",
        "p joins v34 clean; p> publish t x; p> publish t x q1#1; p< puback 1; p> publish t x q2#2
         p< pubrec 2; p> pubrel 2; p< pubcomp 2",
    ),
    row(
        "[MQTT-3.3.4-6] a Subscription Identifier is not the client's to send",
        "a joins v5; a> body 30 0001 't' 02 0b 05; a< disconnect 82; a! closed",
    ),
    row(
        "[MQTT-3.4.2-1] no matching subscribers is said, with QoS 1 and QoS 2",
        "p joins v5; p> publish t x q1#1; p< puback 1 10; p> publish t x q2#1; p< pubrec 1 10
         p> pubrel 1; p< pubcomp 1; s joins v4 clean; s> subscribe 1 t 0; s< suback 1 00
         p> publish t x q1#1; p< puback 1; s< publish t x",
    ),
    row(
        "[MQTT-3.4.2-1] not for lack of it: a durable session on any shard counts",
        "s joins v5 expiry=9; s> subscribe 1 t 1; s< suback 1 01; s cut; p joins v5
         p> publish t x q1#1; p< puback 1",
    ),
    row(
        "[MQTT-3.4.2-1] PUBACK with a code of another packet",
        "a joins v5; a> body 40 0001 92; a< disconnect 82; a! closed",
    ),
    row(
        "[MQTT-3.5.2-1] PUBREC with a code of another packet",
        "a joins v5; a> body 50 0001 92; a< disconnect 82; a! closed",
    ),
    row(
        "[MQTT-3.6.2-1] PUBREL with a code of another packet",
        "a joins v5; a> body 62 0001 80; a< disconnect 82; a! closed",
    ),
    row(
        "[MQTT-3.7.2-1] PUBCOMP with a code of another packet",
        "a joins v5; a> body 70 0001 10; a< disconnect 82; a! closed",
    ),
    row(
        "[MQTT-3.5.2-1] [MQTT-3.4.2-1] $SYS is not the clients' to write: refused, not forwarded, not retained",
        "s joins v5; s> subscribe 1 $SYS/# 2; s< suback 1 02; p joins v5
         p> publish $SYS/x m q1#1 retain; p< puback 1 87; p> publish $SYS m q2#2; p< pubrec 2 87
         p> publish $SYS/x m; t joins v5; t> subscribe 1 $SYS/# 0; t< suback 1 00
         count dropped_dollar_sys 3",
    ),
    row(
        "[MQTT-3.4.2-1] in 3.x it is acknowledged and dropped",
        "s joins v5; s> subscribe 1 $SYS/# 2; s< suback 1 02; p joins v34 clean
         p> publish $SYS/x m q1#1; p< puback 1; p> publish $SYS/x m q2#2; p< pubrec 2
         p> pubrel 2; p< pubcomp 2",
    ),
    row(
        "[MQTT-3.4.2-1] $SYSTEM is not $SYS",
        "s joins v5; s> subscribe 1 $SYSTEM 0; s< suback 1 00; s> publish $SYSTEM x
         s< publish $SYSTEM x",
    ),
    row(
        "[MQTT-3.3.2-3] what the broker itself publishes to $SYS goes to its subscribers, on every shard",
        "a joins v* clean; a> subscribe 1 $SYS/# 0; a gets 1 suback; b joins v* clean
         b> subscribe 1 # 0; b gets 1 suback; broker> publish $SYS/broker/uptime 5 retain
         a< publish $SYS/broker/uptime 5; c joins v* clean; c> subscribe 1 $SYS/broker/+ 0
         c gets 1 suback; c< publish $SYS/broker/uptime 5 retain",
    ),
    row(
        "[MQTT-4.2-1] a packet may arrive in any pieces",
        "s joins v4 clean; s> subscribe 1 t 0; s< suback 1 00; s> hex 30; s> hex 04; s> hex 0001
         s> hex 7478; s< publish t x",
    ),
    row(
        "[MQTT-3.3.2-15] [MQTT-3.3.2-16] large properties pass whole, with any payload, to any client",
        "shards 1; s joins v5; s> subscribe 1 t 1; s< suback 1 01; o joins v4 clean
         o> subscribe 1 t 1; o< suback 1 01; a joins v5 aliases=2; a> subscribe 1 t 0 sub=7
         a< suback 1 00; p joins v5; p> publish t x q1#1 corr=c*3000; p< puback 1
         s< publish t x q1#1 corr=c*3000; o< publish t x q1#1
         a< publish t x alias=1 sub=7 corr=c*3000; p> publish t y*3000 q1#2 corr=c*3000 ct=z
         p< puback 2; s< publish t y*3000 q1#2 corr=c*3000 ct=z; o< publish t y*3000 q1#2
         a< publish '' y*3000 alias=1 sub=7 corr=c*3000 ct=z; p> publish t '' q1#3 corr=d*2049
         p< puback 3; s< publish t '' q1#3 corr=d*2049; o< publish t '' q1#3
         a< publish '' '' alias=1 sub=7 corr=d*2049",
    ),
    row(
        "[MQTT-4.2-1] large payloads pass whole",
        "s joins v* clean; s> subscribe 1 t 1; s gets 1 suback; p joins v* clean
         p> publish t xyz*30000 q1#1; p< puback 1; s< publish t xyz*30000 q1#1",
    ),
    row(
        "[MQTT-3.4.2-2] [MQTT-3.5.2-2] acknowledgements within a small Maximum Packet Size",
        "p joins v5 maxp=16; p> publish t x q1#1 + publish t x q2#2; p< puback 1 10
         p< pubrec 2 10",
    ),
    row(
        "[MQTT-3.4.2-3] [MQTT-3.5.2-3] [MQTT-3.6.2-2] [MQTT-3.6.2-3] [MQTT-3.7.2-2] [MQTT-3.7.2-3] and without properties of the broker's own",
        "p joins v5 noproblem; p> subscribe 1 u 2; p< suback 1 02
         p> publish t x q1#1 + publish t x q2#2 + pubrel 2 + pubrel 9; p< puback 1 10 !reason=
         p< pubrec 2 10 !reason= !user=; p< pubcomp 2 !reason= !user=
         p< pubcomp 9 92 !reason= !user=; p> pubrec 8; p< pubrel 8 92 !reason= !user=",
    ),
];
