//! The gate: what waits for what. Here records are on disk, and messages between shards arrive,
//! only when a row says so.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "[MQTT-3.2.0-1] CONNACK of a persistent session waits for its record",
        "hold commits; a> connect v5 expiry=9; commit; a< connack",
    ),
    row(
        "CONNACK of any other does not",
        "hold commits; a> connect v5; a< connack; b> connect v4 clean; b< connack",
    ),
    row(
        "[MQTT-3.1.2-4] but where Clean Start discards one that was kept, it waits for that one's end",
        "a joins v5 expiry=9; a cut; hold commits; a> connect v5 clean; commit; a< connack",
    ),
    row(
        "[MQTT-3.1.2-4] so does one behind a DISCONNECT that ended the session, clean or not",
        "a joins v5 expiry=9; b joins v5 expiry=9; hold commits; a> disconnect 00 expiry=0
         a! closed 00; b> disconnect 00 expiry=0; b! closed 00; a> connect v5 clean; b> connect v5
         c> connect v5; c< connack; commit; a< connack; b< connack",
    ),
    row(
        "[MQTT-3.2.0-1] nothing else leaves before it, though the client did not wait",
        "hold commits
         a> connect v5 expiry=9 + pingreq + subscribe 1 t 0 + publish u x q1#1 + pubrel 7 + pubrec 8
         commit; a< connack; a< pingresp; a< suback 1 00; a< puback 1 10; a< pubcomp 7 92
         a< pubrel 8 92",
    ),
    row(
        "[MQTT-3.2.0-1] nor a message that comes meanwhile",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5; hold commits
         a> connect v5 expiry=9; p> publish t x q1#1; commit; p< puback 1; a< connack sp
         a< publish t x q1#1; commit",
    ),
    row(
        "[MQTT-3.14.0-1] nor a DISCONNECT: a link that ends before its CONNACK is closed in silence",
        "hold commits; a> connect v5 expiry=9; b> connect v5 id=a expiry=9; a! closed 8e; commit
         b< connack sp",
    ),
    row(
        "[MQTT-3.14.0-1] likewise for malformed bytes",
        "hold commits; a> connect v5 expiry=9 + hex 00 00; a! closed 81; commit",
    ),
    row(
        "SUBACK of a persistent session waits",
        "a joins v5 expiry=9; hold commits; a> subscribe 1 t 0; commit; a< suback 1 00",
    ),
    row(
        "SUBACK of any other does not",
        "a joins v5; hold commits; a> subscribe 1 t 2; a< suback 1 02",
    ),
    row(
        "UNSUBACK waits likewise",
        "a joins v5 expiry=9; a> subscribe 1 t 0; a< suback 1 00; hold commits
         a> unsubscribe 2 t; commit; a< unsuback 2 00; b joins v5; b> unsubscribe 1 t
         b< unsuback 1 11",
    ),
    row(
        "[MQTT-4.3.2-4] PUBACK waits for what is kept",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5; hold commits
         p> publish t x q1#1; release; p< puback 1",
    ),
    row(
        "PUBACK waits for a receiver's record on another shard, by its receipt",
        "shards 3; a at 0; p at 1; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut
         p joins v5; hold commits; hold peers; p> publish t x q1#1; commit; deliver; deliver
         commit p; deliver; commit a; deliver; p< puback 1",
    ),
    row(
        "PUBACK leaves when every receiver has acknowledged before the records are written: they are void",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; b joins v5 expiry=9
         b> subscribe 1 t 1; b< suback 1 01; p joins v5; hold commits; p> publish t x q1#1
         a< publish t x q1#1; b< publish t x q1#1; a> puback 1; b> puback 1; p< puback 1",
    ),
    row(
        "on another shard, likewise, by its receipt",
        "shards 3; a at 0; p at 1; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         p joins v5; hold commits; hold peers; p> publish t x q1#1; deliver; a< publish t x q1#1
         a> puback 1; deliver; p< puback 1",
    ),
    row(
        "of two publications the one whose receivers acknowledged; the other waits",
        "shards 1; a joins v5 expiry=9; a> subscribe 1 # 1; a< suback 1 01; b joins v5 expiry=9
         b> subscribe 1 u 1; b< suback 1 01; p joins v5; q joins v5; hold commits
         p> publish u x q1#1; a< publish u x q1#1; b< publish u x q1#1; q> publish t y q1#1
         a< publish t y q1#2; a> puback 2; q< puback 1; a> puback 1; commit; p< puback 1",
    ),
    row(
        "[MQTT-4.6.0-2] an acknowledgement whose records are void waits for those before it",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; p joins v5; hold commits
         p> publish t x q1#1 + publish t y q1#2; a< publish t x q1#1; a< publish t y q1#2
         a> puback 2; a> puback 1; p< puback 1; p< puback 2",
    ),
    row(
        "what was dropped at a limit is void",
        "limits queued_messages_max=1; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         a cut; commit; p joins v5; hold commits; p> publish t x q1#1; p> publish t y q1#2
         p< puback 1; commit; p< puback 2",
    ),
    row(
        "a retained message is never void",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; p joins v5; hold commits
         p> publish t x q1#1 retain; a< publish t x q1#1; a> puback 1; commit; p< puback 1",
    ),
    row(
        "nor is a QoS 2 identifier of the client's",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; p joins v5 expiry=9
         hold commits; p> publish t x q2#1; a< publish t x q1#1; a> puback 1; commit; p< pubrec 1",
    ),
    row(
        "of two shards, both",
        "shards 3; a at 0; b at 2; p at 1; a joins v5 expiry=9; a> subscribe 1 t 1
         a< suback 1 01; b joins v5 expiry=9; b> subscribe 1 # 1; b< suback 1 01; a cut; b cut
         p joins v5; hold commits; p> publish t x q1#1; commit b; commit a; p< puback 1
         p> publish t x q1#2; commit a; commit b; p< puback 2",
    ),
    row(
        "where nobody durable waits there is no delay",
        "shards 3; a at 0; b at 1; p at 1; a joins v5; a> subscribe 1 t 2; a< suback 1 02
         b joins v5; b> subscribe 1 t 2; b< suback 1 02; p joins v5; hold commits; hold peers
         p> publish t x q2#1; p< pubrec 1; b< publish t x q2#1; p> pubrel 1; p< pubcomp 1
         deliver; a< publish t x q2#1; a> pubrec 1; a< pubrel 1; a> pubcomp 1",
    ),
    row(
        "a retained message is kept, so its PUBACK waits",
        "p joins v5; hold commits; p> publish t x q1#1 retain; commit; p< puback 1 10",
    ),
    row(
        "PUBREC of a persistent publisher waits for the identifier's record",
        "p joins v5 expiry=9; hold commits; p> publish t x q2#1; commit; p< pubrec 1 10
         p> publish t x q2#1 dup; p< pubrec 1",
    ),
    row(
        "PUBCOMP waits for the release's record",
        "p joins v5 expiry=9; hold commits; p> publish t x q2#1; commit; p< pubrec 1 10
         p> pubrel 1; commit; p< pubcomp 1",
    ),
    row(
        "QoS 0 and 1 to a persistent session do not wait, QoS 2 waits for its identifier's record",
        "a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02; p joins v5; hold commits
         p> publish t 0; a< publish t 0; p> publish t 1 q1#1; a< publish t 1 q1#1
         p> publish t 2 q2#2; release; a< publish t 2 q2#2; p gets 1 puback; p gets 1 pubrec",
    ),
    row(
        "PUBREL waits for the PUBREC's record",
        "a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02; p joins v5; p> publish t 2 q2#2
         p< pubrec 2; a< publish t 2 q2#1; hold commits; a> pubrec 1; commit; a< pubrel 1",
    ),
    row(
        "[MQTT-4.6.0-4] PUBRELs keep the order of the PUBRECs, those for unknown identifiers among them",
        "a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02; p joins v5; p> publish t 2 q2#2
         p< pubrec 2; a< publish t 2 q2#1; hold commits; a> pubrec 1 + pubrec 9; commit
         a< pubrel 1; a< pubrel 9 92",
    ),
    row(
        "[MQTT-4.6.0-2] PUBACKs keep their order though the later one has nothing to wait for",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5; hold commits
         p> publish t 1 q1#1 + publish u 2 q1#2; release; p< puback 1; p< puback 2 10",
    ),
    row(
        "[MQTT-4.6.0-3] PUBRECs likewise",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5; hold commits
         p> publish t 1 q2#1 + publish u 2 q2#2; release; p< pubrec 1; p< pubrec 2 10",
    ),
    row(
        "PINGRESP does not wait behind them",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5; hold commits
         p> publish t 1 q1#1 + pingreq; p< pingresp; release; p< puback 1",
    ),
    row(
        "[MQTT-3.3.4-7] Receive Maximum is given back when the PUBACK leaves",
        "limits receive_maximum=1; p joins v5; hold commits
         p> publish t 1 q1#1 retain + publish t 2 q1#2; p< disconnect 93; p! closed 93; commit",
    ),
    row(
        "[MQTT-3.3.4-7] or the PUBCOMP",
        "limits receive_maximum=1; p joins v5 expiry=9; p> publish t 1 q2#1; p< pubrec 1 10
         hold commits; p> pubrel 1 + publish t 2 q1#2; p< disconnect 93; p! closed 93; commit",
    ),
    row(
        "[MQTT-3.3.4-7] and not before, though the identifier is known again",
        "limits receive_maximum=1; p joins v5 expiry=9; p> publish t 1 q2#1; p< pubrec 1 10
         hold commits; p> pubrel 1; commit; p< pubcomp 1; p> publish t 2 q2#1; commit
         p< pubrec 1 10",
    ),
    row(
        "[MQTT-4.3.3-10] a repeated PUBLISH waits for the first one's record: no PUBREC before",
        "p joins v5 expiry=9; hold commits; p> publish t x q2#1 + publish t x q2#1 dup; commit
         p< pubrec 1 10; p< pubrec 1",
    ),
    row(
        "a DUP PUBLISH on a new link waits for the first one's commit and receipts",
        "shards 3; a at 0; p at 1; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut
         p joins v5 expiry=9; hold commits; hold peers; p> publish t x q2#1; p cut
         p> connect v5 expiry=9; commit; p< connack sp; p> publish t x q2#1 dup; commit; deliver
         commit; deliver; commit; p< pubrec 1; release; a resumes v5 expiry=9
         a< publish t x q1#1",
    ),
    row(
        "SUBACK waits until the interest is in force on every shard",
        "shards 3; a joins v5; hold peers; a> subscribe 1 t 0; deliver; deliver; a< suback 1 00",
    ),
    row(
        "also when a second subscriber rides on a pending entry",
        "shards 3; a at 0; b at 0; a joins v5; b joins v5; hold peers; a> subscribe 1 t 0
         b> subscribe 1 t 0; deliver; deliver; a< suback 1 00; b< suback 1 00",
    ),
    row(
        "and when an entry that is not durable becomes it",
        "shards 3; a at 0; b at 0; a joins v5; b joins v5 expiry=9; a> subscribe 1 t 0
         a< suback 1 00; hold peers; b> subscribe 1 t 1; deliver; deliver; b< suback 1 01",
    ),
    row(
        "what is in force is not waited for",
        "shards 3; a at 0; b at 0; a joins v5; b joins v5; a> subscribe 1 t 0; a< suback 1 00
         hold peers; b> subscribe 1 t 1; b< suback 1 01",
    ),
    row(
        "an entry that goes and comes back is waited for again",
        "shards 3; a at 0; a joins v5; a> subscribe 1 t 0; a< suback 1 00; hold peers
         a> unsubscribe 2 t; a< unsuback 2 00; a> subscribe 3 t 0; deliver; deliver
         a< suback 3 00; deliver; release; p joins v5; p> publish t x; a< publish t x",
    ),
    row(
        "a Shared Subscription's SUBACK waits for the group to be known",
        "shards 3; a at 0; b at 0; a joins v5; b joins v5; hold peers
         a> subscribe 1 $share/g/t 1; b> subscribe 1 $share/g/t 1; deliver; deliver
         a< suback 1 01; b< suback 1 01; release",
    ),
    row(
        "once SUBACK is there, a message from any shard arrives, and the publisher waits for its record",
        "shards 3; a at 0; b at 0; p at 1; a joins v5; a> subscribe 1 t 0; a< suback 1 00
         b joins v5 expiry=9; b> subscribe 1 t 1; b< suback 1 01; b cut; hold commits; p joins v5
         p> publish t x q1#1; a< publish t x; commit b; p< puback 1",
    ),
    row(
        "[MQTT-3.3.1-9] retained messages are read after the interest is in force: one set meanwhile is not missed",
        "shards 3; a at 0; p at 1; a joins v5; p joins v5; p> publish t w; hold peers
         a> subscribe 1 t 0; p> publish t x retain; deliver; deliver; a< suback 1 00
         a< publish t x retain; release",
    ),
    row(
        "[MQTT-3.8.4-2] a publisher that has matched nothing there before finds the interest at once, before SUBACK",
        "shards 3; a at 0; p at 1; a joins v5; p joins v5; hold peers; a> subscribe 1 t 0
         p> publish t x; deliver; a< publish t x; deliver; a< suback 1 00; release",
    ),
    row(
        "once SUBACK is there, a publisher that knew of nobody knows better",
        "shards 3; a at 0; p at 1; a joins v5; p joins v5; p> publish t w; p> publish t w
         a> subscribe 1 t 0; a< suback 1 00; p> publish t x; a< publish t x
         a> subscribe 2 t/+ 0; a< suback 2 00; p> publish t/y y; a< publish t/y y",
    ),
    row(
        "and one that knew of nobody who keeps messages asks for the receipt",
        "shards 3; a at 0; b at 0; p at 1; a joins v5; a> subscribe 1 t 0; a< suback 1 00; p joins v5
         p> publish t w; a< publish t w; b joins v5 expiry=9; b> subscribe 1 t 1; b< suback 1 01
         b cut; hold commits; p> publish t x q1#1; a< publish t x; commit b; p< puback 1",
    ),
    row(
        "an interest that ends is not waited for: who still knows of it sends a message that finds nobody, and is answered",
        "shards 3; b at 0; p at 1; b joins v5 expiry=9; b> subscribe 1 t 1; b< suback 1 01; p joins v5
         p> publish t x q1#1; b< publish t x q1#1; p< puback 1; b> puback 1; hold peers
         b> unsubscribe 2 t; b< unsuback 2 00; p> publish t y q1#2; deliver; deliver; p< puback 2
         release; p> publish t z q1#3; p< puback 3 10",
    ),
    row(
        "SUBACK waits for both, record and interest",
        "shards 3; a at 0; a joins v5 expiry=9; hold commits; hold peers; a> subscribe 1 t 1
         commit; deliver; deliver; a< suback 1 01; a> subscribe 2 u 1; deliver; deliver; commit
         a< suback 2 01",
    ),
    row(
        "a late Committed for a link slot that has another link now does not let anything out to it",
        "shards 1; a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02; p joins v5 expiry=9
         hold commits; p> publish t x q2#1 + publish t y q2#2; p cut; q joins v5; commit
         a< publish t x q2#1; a< publish t y q2#2; q> pingreq; q< pingresp; release",
    ),
    row(
        "a late receipt, likewise",
        "shards 3; a at 0; p at 1; q at 1; a joins v5 expiry=9; a> subscribe 1 t 1
         a< suback 1 01; p joins v5; hold peers; p> publish t x q1#1; p cut; q joins v5
         q> publish t y q1#1; release; a< publish t x q1#1; a< publish t y q1#2; q< puback 1",
    ),
    row(
        "acknowledgements that were held die with their link; the message is not sent twice",
        "a joins v5; a> subscribe 1 t 2; a< suback 1 02; p joins v5 expiry=9; hold commits
         p> publish t x q2#1; a< publish t x q2#1; p cut; p> connect v5 expiry=9; commit
         p< connack sp; p> publish t x q2#1 dup; p< pubrec 1; p> pubrel 1; commit; p< pubcomp 1",
    ),
    row(
        "[MQTT-3.3.1-1] [MQTT-3.3.1-3] a QoS 2 PUBLISH that never left the gate is sent for the first time to the new link: no DUP",
        "a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02; p joins v5; hold commits
         p> publish t x q2#1; a cut; a> connect v5 expiry=9; commit; a< connack sp
         a< publish t x q2#1; p< pubrec 1",
    ),
    row(
        "[MQTT-4.8.2-5] a shared QoS 2 message that never left the gate was not sent: it goes to another member",
        "a joins v5 expiry=9; b joins v5; a> subscribe 1 $share/g/t 2; a< suback 1 02; p joins v5
         hold commits; p> publish t x q2#1; b> subscribe 1 $share/g/t 2; b< suback 1 02
         a> disconnect 00 expiry=0; a! closed; b< publish t x q2#1; release; p< pubrec 1",
    ),
    row(
        "a PUBREL that was held is sent on the new link",
        "a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02; p joins v5; p> publish t x q2#1
         p< pubrec 1; a< publish t x q2#1; hold commits; a> pubrec 1; a cut
         a> connect v5 expiry=9; commit; a< connack sp; a< pubrel 1",
    ),
    row(
        "[MQTT-3.14.4-2] what waited in the gate does not leave after DISCONNECT",
        "p joins v5 expiry=9; hold commits; p> publish t x q2#1 + disconnect; p! closed 00
         commit; p> connect v5 expiry=9; commit; p< connack sp; p> publish t x q2#1 dup
         p< pubrec 1",
    ),
    row(
        "a shared message's publisher waits for the shard that kept it",
        "shards 3; a at 0; p at 1; a joins v5 expiry=9; a> subscribe 1 $share/g/t 1
         a< suback 1 01; a cut; p joins v5; hold commits; p> publish t x q1#1; commit a
         p< puback 1",
    ),
    row(
        "messages of one publisher keep their order across shards",
        "shards 3; a at 0; p at 1; a joins v5; a> subscribe 1 t 1; a< suback 1 01; p joins v5
         hold peers; p> publish t 1 q1#1; p< puback 1; p> publish t 2 q1#2; p< puback 2
         p> publish t 3; deliver; a< publish t 1 q1#1; a< publish t 2 q1#2; a< publish t 3",
    ),
    row(
        "a session that ends while its records are on the way does not come back",
        "a joins v5 expiry=9; hold commits; a> subscribe 1 t 1; a> disconnect 00 expiry=0
         a! closed; commit; log; count sessions 0",
    ),
    row(
        "a limit met at once: UNSUBACK and SUBACK in one piece keep their order",
        "a joins v5 expiry=9; hold commits; a> subscribe 1 t 1 + unsubscribe 2 t; commit
         a< suback 1 01; a< unsuback 2 00",
    ),
    row(
        "[MQTT-3.10.4-2] an UNSUBSCRIBE overtakes the retained messages of a SUBACK that waits",
        "p joins v5; p> publish t r retain; a joins v5 expiry=9; hold commits
         a> subscribe 1 t 1 + unsubscribe 2 t; commit; a< suback 1 01; a< unsuback 2 00
         p> publish t 2 retain",
    ),
    row(
        "two SUBACKs that wait, for one filter: each has its retained messages",
        "p joins v5; p> publish t r retain; a joins v5 expiry=9; hold commits
         a> subscribe 1 t 0 + subscribe 2 t 0; commit; a< suback 1 00; a< suback 2 00
         a gets 2 publish",
    ),
    row(
        "a takeover whose CONNACK waits: the old link is gone, the new one takes over what was in flight",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; p joins v5; p> publish t x q1#1
         p< puback 1; a< publish t x q1#1; hold commits; b> connect v5 id=a expiry=9
         a< disconnect 8e; a! closed; commit; b< connack sp; b< publish t x q1#1 dup",
    ),
    row(
        "a second takeover meanwhile",
        "a joins v5 expiry=9; hold commits; b> connect v5 id=a expiry=9; a< disconnect 8e
         a! closed; c> connect v5 id=a expiry=9; b! closed 8e; commit; c< connack sp; c> pingreq
         c< pingresp",
    ),
    row(
        "a Shared Subscription made before CONNACK left counts its member as online",
        "shards 3; a at 0; p at 1; p joins v5; hold commits
         a> connect v5 expiry=9 + subscribe 1 $share/g/t 0; commit; a< connack; a< suback 1 00
         p> publish t x; a< publish t x",
    ),
    row(
        "a receipt for an acknowledgement that is gone does not let out another in its place",
        "shards 3; a at 0; p at 1; q at 1; a joins v5 expiry=9; a> subscribe 1 t 1
         a< suback 1 01; a cut; p joins v5; hold commits; hold peers; p> publish t x q1#1
         deliver; p cut; q joins v5; commit a; q> publish t y q1#1; deliver; deliver; commit a
         deliver; q< puback 1",
    ),
    row(
        "a subscription that is replaced by one of QoS 1 becomes durable",
        "shards 3; b at 0; p at 1; b joins v5 expiry=9; b> subscribe 1 t 0; b< suback 1 00
         hold peers; b> subscribe 2 t 1; deliver; deliver; b< suback 2 01; release; b cut
         p joins v5; hold commits; p> publish t x q1#1; commit b; p< puback 1",
    ),
    row(
        "and one of QoS 0 again is not waited for",
        "shards 3; b at 0; p at 1; b joins v5 expiry=9; b> subscribe 1 t 1; b< suback 1 01
         b> subscribe 2 t 0; b< suback 2 00; p joins v5; hold commits; hold peers
         p> publish t x q1#1; p< puback 1; deliver; b< publish t x",
    ),
    row(
        "a session that comes back to end with its connection lasts until its client was told so",
        "shards 1; a joins v5 expiry=99; a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5
         hold commits; b> connect v5 id=a; p> publish t x q1#1; commit; b< connack sp
         b< publish t x q1#1; p< puback 1; p> publish t y q1#2; p< puback 2; b< publish t y q1#2",
    ),
];
