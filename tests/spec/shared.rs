//! Shared Subscriptions, section 4.8.2.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "[MQTT-4.8.2-1] $share alone",
        "a joins v5; a> body 82 0001 00 0006 '$share' 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-4.8.2-1] an empty ShareName",
        "a joins v5; a> body 82 0001 00 0009 '$share//t' 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-4.8.2-2] a ShareName with a wildcard",
        "a joins v5; a> body 82 0001 00 000a '$share/+/t' 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-4.8.2-2] the other one, in 3.x",
        "a joins v34 clean; a> body 82 0001 000b '$share/g#/t' 00; a! closed 81",
    ),
    row(
        "[MQTT-4.8.2-2] no filter behind it",
        "a joins v5; a> body 82 0001 00 0008 '$share/g' 00; a< disconnect 81; a! closed
         b joins v5; b> body 82 0001 00 0009 '$share/g/' 00; b< disconnect 81; b! closed",
    ),
    row(
        "[MQTT-4.8.2-2] UNSUBSCRIBE likewise",
        "a joins v5; a> body a2 0001 00 0008 '$share/g'; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-4.8.2-1] a well-formed one, for 3.x clients too",
        "a joins v* clean; a> subscribe 1 $share/g/t/+ 1; a gets 1 suback; p joins v* clean
         p> publish t/x 1 q1#1; p< puback 1; a< publish t/x 1 q1#1",
    ),
    row(
        "[MQTT-4.8.2-1] its filter may begin with a slash",
        "a joins v5; a> subscribe 1 $share/g//t 0; a< suback 1 00; a> publish t x
         a> publish /t x; a< publish /t x",
    ),
    row(
        "[MQTT-4.8.2-3] the granted QoS of the member counts",
        "a joins v5; a> subscribe 1 $share/g/t 1; a< suback 1 01; p joins v5; p> publish t x q2#1
         p< pubrec 1; a< publish t x q1#1; a> subscribe 1 $share/g/t 0; a< suback 1 00
         p> publish t y q2#2; p< pubrec 2; a< publish t y",
    ),
    row(
        "[MQTT-4.8.2-3] each message goes to one member, in turn",
        "a joins v* clean; a> subscribe 1 $share/g/t 0; a gets 1 suback; b joins v* clean
         b> subscribe 1 $share/g/t 0; b gets 1 suback; p joins v5
         p> publish t 1 + publish t 2 + publish t 3 + publish t 4; a gets 2 publish
         b gets 2 publish",
    ),
    row(
        "[MQTT-4.8.2-3] three members, wherever they live",
        "a at 0; b at 1; c at 1; p at 2; a joins v5; a> subscribe 1 $share/g/t 1; a< suback 1 01
         b joins v5; b> subscribe 1 $share/g/t 1; b< suback 1 01; c joins v5
         c> subscribe 1 $share/g/t 1; c< suback 1 01; p joins v5
         p> publish t 1 q1#1 + publish t 2 q1#2 + publish t 3 q1#3 + publish t 4 q1#4 + publish t 5 q1#5 + publish t 6 q1#6
         p gets 6 puback; a gets 2 publish; b gets 2 publish; c gets 2 publish",
    ),
    row(
        "[MQTT-4.8.2-3] the same ShareName with another filter is another group, and another name too",
        "a joins v5; a> subscribe 1 $share/g/t 0 $share/g/+ 0 $share/h/t 0 t 0
         a< suback 1 00 00 00 00; p joins v5; p> publish t x; a gets 4 publish",
    ),
    row(
        "[MQTT-4.8.2-3] $-topics do not match a group's wildcard",
        "a joins v5; a> subscribe 1 $share/g/# 0; a< suback 1 00; broker> publish $SYS/x 1
         a> publish t 1; a< publish t 1",
    ),
    row(
        "[MQTT-4.8.2-3] a member gets its own messages (No Local is not for groups)",
        "a joins v5; a> subscribe 1 $share/g/t 0; a< suback 1 00; a> publish t x; a< publish t x",
    ),
    row(
        "[MQTT-4.8.2-3] online members go before offline ones",
        "a joins v5 expiry=99; a> subscribe 1 $share/g/t 1; a< suback 1 01; b joins v5
         b> subscribe 1 $share/g/t 1; b< suback 1 01; a cut; p joins v5
         p> publish t 1 q1#1 + publish t 2 q1#2 + publish t 3 q1#3; p gets 3 puback
         b gets 3 publish; a resumes v5 expiry=99",
    ),
    row(
        "[MQTT-4.8.2-3] if all are offline, one with a persistent session keeps it",
        "a joins v5 expiry=99; a> subscribe 1 $share/g/t 1; a< suback 1 01; a cut; p joins v5
         p> publish t 1 q1#1; p< puback 1; a resumes v5 expiry=99; a< publish t 1 q1#1",
    ),
    row(
        "[MQTT-4.8.2-3] if there is no member, nobody does",
        "a joins v5; a> subscribe 1 $share/g/t 1; a< suback 1 01; a cut; p joins v5
         p> publish t 1 q1#1; p< puback 1 10",
    ),
    row(
        "[MQTT-4.8.2-3] a member that unsubscribes gets no more",
        "a joins v5; a> subscribe 1 $share/g/t 0; a< suback 1 00; b joins v5
         b> subscribe 1 $share/g/t 0; b< suback 1 00; a> unsubscribe 2 $share/g/t
         a< unsuback 2 00; p joins v5; p> publish t 1 + publish t 2; b< publish t 1
         b< publish t 2",
    ),
    row(
        "[MQTT-4.8.2-3] a member whose send quota is used up is passed over, while another has room",
        "shards 1; a joins v5 rmax=1; a> subscribe 1 $share/g/t 1; a< suback 1 01; b joins v5
         b> subscribe 1 $share/g/t 1; b< suback 1 01; p joins v5
         p> publish t 1 q1#1 + publish t 2 q1#2 + publish t 3 q1#3 + publish t 4 q1#4
         p gets 4 puback; a gets 1 publish; b gets 3 publish",
    ),
    row(
        "[MQTT-4.8.2-3] Retain As Published and the retain flag",
        "a joins v5; a> subscribe 1 $share/g/t 0,rap; a< suback 1 00; a> publish t x retain
         a< publish t x retain; a> subscribe 1 $share/g/t 0; a< suback 1 00
         a> publish t x retain; a< publish t x",
    ),
    row(
        "[MQTT-4.8.2-4] QoS 2 is completed with the member that got it, when it comes back",
        "a joins v5 expiry=99; a> subscribe 1 $share/g/t 2; a< suback 1 02; p joins v5
         p> publish t x q2#1; p< pubrec 1; a< publish t x q2#1; a cut; b joins v5
         b> subscribe 1 $share/g/t 2; b< suback 1 02; a resumes v5 expiry=99
         a< publish t x q2#1 dup; a> pubrec 1; a< pubrel 1; a cut; a resumes v5 expiry=99
         a< pubrel 1; a> pubcomp 1",
    ),
    row(
        "[MQTT-4.8.2-4] so is QoS 1 while the session lasts",
        "a joins v5 expiry=99; a> subscribe 1 $share/g/t 1; a< suback 1 01; p joins v5
         p> publish t x q1#1; p< puback 1; a< publish t x q1#1; a cut; b joins v5
         b> subscribe 1 $share/g/t 1; b< suback 1 01; wait 50s; a resumes v5 expiry=99
         a< publish t x q1#1 dup",
    ),
    row(
        "[MQTT-4.8.2-5] at the session's end QoS 2 that was sent goes to nobody else",
        "a joins v5; a> subscribe 1 $share/g/t 2; a< suback 1 02; p joins v5; p> publish t x q2#1
         p< pubrec 1; a< publish t x q2#1; b joins v5; b> subscribe 1 $share/g/t 2
         b< suback 1 02; a cut",
    ),
    row(
        "[MQTT-4.8.2-5] unacknowledged QoS 1 goes to another member",
        "a joins v5; a> subscribe 1 $share/g/t 1; a< suback 1 01; p joins v5; p> publish t x q1#1
         p< puback 1; a< publish t x q1#1; b joins v5; b> subscribe 1 $share/g/t 1
         b< suback 1 01; a cut; b< publish t x q1#1",
    ),
    row(
        "[MQTT-4.8.2-5] what waits in the queue goes too, QoS 2 among it, in order",
        "a joins v5 rmax=1; a> subscribe 1 $share/g/t 2; a< suback 1 02; p joins v5
         p> publish t 1 q2#1 + publish t 2 q2#2 + publish t 3 q1#3; p gets 2 pubrec
         p gets 1 puback; a< publish t 1 q2#1; b joins v5; b> subscribe 1 $share/g/t 2
         b< suback 1 02; a cut; b< publish t 2 q2#1; b< publish t 3 q1#2",
    ),
    row(
        "[MQTT-4.8.2-5] what was acknowledged goes nowhere",
        "a joins v5; a> subscribe 1 $share/g/t 2; a< suback 1 02; p joins v5
         p> publish t 1 q1#1 + publish t 2 q2#2; p gets 1 puback; p gets 1 pubrec
         a<* publish t 1 q1#1 | publish t 2 q2#2; a> puback 1 + pubrec 2; a< pubrel 2; b joins v5
         b> subscribe 1 $share/g/t 2; b< suback 1 02; a cut",
    ),
    row(
        "[MQTT-4.8.2-5] at the end of an expired session as well, with what came while it was offline",
        "a joins v5 expiry=10; a> subscribe 1 $share/g/t 1; a< suback 1 01; p joins v5
         p> publish t 1 q1#1; p< puback 1; a< publish t 1 q1#1; a cut; p> publish t 2 q1#1
         p< puback 1; wait 5s; b joins v5; b> subscribe 1 $share/g/t 1; b< suback 1 01
         wait 4999ms; wait 1ms; b< publish t 1 q1#1; b< publish t 2 q1#2; log",
    ),
    row(
        "[MQTT-4.8.2-5] an expired message goes to nobody",
        "a joins v5 expiry=10; a> subscribe 1 $share/g/t 1; a< suback 1 01; p joins v5; a cut
         p> publish t 2 q1#1 expiry=9; p< puback 1; b joins v5; b> subscribe 1 $share/g/t 1
         b< suback 1 01; wait 10s",
    ),
    row(
        "[MQTT-4.8.2-5] the new member's QoS and identifier count",
        "a joins v5; a> subscribe 1 $share/g/t 1 sub=1; a< suback 1 01; p joins v5
         p> publish t x q1#1; p< puback 1; a< publish t x q1#1 sub=1; b joins v5
         b> subscribe 1 $share/g/t 0 sub=2; b< suback 1 00; a cut; b< publish t x sub=2",
    ),
    row(
        "[MQTT-4.8.2-5] a normal subscription's messages are not shared out",
        "a joins v5; a> subscribe 1 t 1; a< suback 1 01; p joins v5; b joins v5
         b> subscribe 1 $share/g/u 1; b< suback 1 01; p> publish t x q1#1; p< puback 1
         a< publish t x q1#1; a cut",
    ),
    row(
        "[MQTT-4.8.2-6] a refusal is final: PUBACK",
        "a joins v5; a> subscribe 1 $share/g/t 1; a< suback 1 01; b joins v5
         b> subscribe 1 $share/g/u 1; b< suback 1 01; p joins v5; p> publish t x q1#1
         p< puback 1; a< publish t x q1#1; b> subscribe 1 $share/g/t 1; b< suback 1 01
         a> puback 1 97; a cut",
    ),
    row(
        "[MQTT-4.8.2-6] and PUBREC",
        "a joins v5; a> subscribe 1 $share/g/t 2; a< suback 1 02; p joins v5; p> publish t x q2#1
         p< pubrec 1; a< publish t x q2#1; b joins v5; b> subscribe 1 $share/g/t 2
         b< suback 1 02; a> pubrec 1 80; a cut",
    ),
    row(
        "[MQTT-4.8.2-3] weights between shards are the numbers of members",
        "shards 3; a at 0; b at 0; c at 0; d at 1; p at 2; a joins v5
         a> subscribe 1 $share/g/t 0; a< suback 1 00; b joins v5; b> subscribe 1 $share/g/t 0
         b< suback 1 00; c joins v5; c> subscribe 1 $share/g/t 0; c< suback 1 00; d joins v5
         d> subscribe 1 $share/g/t 0; d< suback 1 00; p joins v5
         p> publish t 1 + publish t 2 + publish t 3 + publish t 4 + publish t 5 + publish t 6 + publish t 7 + publish t 8
         a gets 2 publish; b gets 2 publish; c gets 2 publish; d gets 2 publish",
    ),
    row(
        "[MQTT-4.8.2-3] a message that finds its member gone on the way goes on to another shard",
        "shards 3; a at 0; b at 1; p at 2; a joins v5; a> subscribe 1 $share/g/t 1
         a< suback 1 01; p joins v5; hold peers; a cut; p> publish t 1 q1#1; release; p< puback 1
         count dropped_no_member 1",
    ),
    row(
        "[MQTT-4.8.2-3] likewise, to a member on the third shard",
        "shards 3; a at 0; b at 1; p at 2; a joins v5; a> subscribe 1 $share/g/t 1
         a< suback 1 01; b joins v5 expiry=9; b> subscribe 1 $share/g/t 1; b< suback 1 01; b cut
         p joins v5; hold peers; a cut; p> publish t 1 q1#1; release; p< puback 1
         b resumes v5 expiry=9; b< publish t 1 q1#1",
    ),

    row(
        "[MQTT-4.8.2-4] a takeover is no session end: the message stays with its member",
        "a joins v5 expiry=9; b joins v5; a> subscribe 1 $share/g/t 1; a< suback 1 01; p joins v5
         p> publish t x q1#1; p< puback 1; a< publish t x q1#1; b> subscribe 1 $share/g/t 1
         b< suback 1 01; c resumes v5 id=a expiry=9; a< disconnect 8e; a! closed
         c< publish t x q1#1 dup",
    ),
    row(
        "[MQTT-4.8.2-5] a Clean Start is one",
        "a joins v5 expiry=9; b joins v5; a> subscribe 1 $share/g/t 1; a< suback 1 01; p joins v5
         p> publish t x q1#1; p< puback 1; a< publish t x q1#1; b> subscribe 1 $share/g/t 1
         b< suback 1 01; c joins v5 id=a clean; a< disconnect 8e; a! closed; b< publish t x q1#1",
    ),
    row(
        "[MQTT-4.8.2-3] several groups on a topic, and normal subscriptions beside them",
        "a joins v5; a> subscribe 1 $share/g/t 0 $share/h/+ 0; a< suback 1 00 00; b joins v5
         b> subscribe 1 $share/g/t 0 $share/h/+ 0 # 0; b< suback 1 00 00 00; p joins v5
         p> publish t 1 + publish t 2; a gets 2 publish; b gets 4 publish",
    ),
];
