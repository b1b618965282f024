//! How safe is safe: what waits until it is synced, until it is written, or not at all. What a
//! PUBLISH is to be its topic says, else its listener, else the broker.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "[MQTT-4.3.2-4] PUBACK waits until what is kept is synced",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5; hold commits
         p> publish t x q1#1; written; commit; p< puback 1",
    ),
    row(
        "where the listener wants no more, until it is written",
        "p wants written; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut
         p joins v5; hold commits; p> publish t x q1#1; written; p< puback 1",
    ),
    row(
        "where the broker wants no more, likewise; and a listener may want more",
        "limits safety=written; q wants synced; a joins v5 expiry=9; a> subscribe 1 t 1
         a< suback 1 01; a cut; p joins v5; q joins v5; hold commits; p> publish t x q1#1
         q> publish t y q1#1; written; p< puback 1; commit; q< puback 1",
    ),
    row(
        "a topic's goes before its listener's, the first that matches",
        "limits topic_safety=t/a:synced topic_safety=t/#:written; p wants memory
         a joins v5 expiry=9; a> subscribe 1 # 1; a< suback 1 01; a cut; p joins v5; hold commits
         p> publish u x q1#1; p< puback 1; p> publish t/b x q1#2; p> publish t/a x q1#3; written
         p< puback 2; commit; p< puback 3",
    ),
    row(
        "[MQTT-4.6.0-2] an acknowledgement that may leave waits for those before it",
        "limits topic_safety=t:written; a joins v5 expiry=9; a> subscribe 1 # 1; a< suback 1 01
         a cut; p joins v5; hold commits; p> publish u x q1#1; p> publish t x q1#2; written
         commit; p< puback 1; p< puback 2",
    ),
    row(
        "a message carries it to other shards, whose receipts wait for no more",
        "shards 3; a at 0; p at 1; p wants written; a joins v5 expiry=9; a> subscribe 1 t 1
         a< suback 1 01; a cut; p joins v5; hold commits; p> publish t x q1#1; written
         p< puback 1",
    ),
    row(
        "where one wants more, its receipt does, and holds nobody else's up",
        "shards 3; a at 0; p at 1; q at 1; p wants written; a joins v5 expiry=9
         a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5; q joins v5; hold commits
         q> publish t x q1#1; p> publish t y q1#1; written; p< puback 1; commit; q< puback 1",
    ),
    row(
        "a shared message's likewise",
        "shards 3; a at 0; p at 1; p wants written; a joins v5 expiry=9
         a> subscribe 1 $share/g/t 1; a< suback 1 01; a cut; p joins v5; hold commits
         p> publish t x q1#1; written; p< puback 1",
    ),
    row(
        "[MQTT-4.3.3-8] PUBREC waits until its identifier is written, PUBCOMP until its release is",
        "limits safety=written; p joins v5 expiry=9; hold commits; p> publish t x q2#1; written
         p< pubrec 1 10; p> pubrel 1; written; p< pubcomp 1",
    ),
    row(
        "where the client may publish what is to be safer, its identifier is free only when that is",
        "limits topic_safety=t:written; p joins v5 expiry=9; hold commits; p> publish t x q2#1
         commit; p< pubrec 1 10; p> pubrel 1; written; commit; p< pubcomp 1",
    ),
    row(
        "of a QoS 2 message that counts on all shards or none, PUBREC leaves when the seal is written",
        "shards 3; a at 0; p at 1; p wants written; a joins v5 expiry=9; a> subscribe 1 t 2
         a< suback 1 02; a cut; p joins v5 expiry=9; hold commits; p> publish t x q2#1; written
         p< pubrec 1; p> pubrel 1; written; p< pubcomp 1",
    ),
    row(
        "or synced",
        "shards 3; a at 0; p at 1; a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02; a cut
         p joins v5 expiry=9; hold commits; p> publish t x q2#1; written; commit; p< pubrec 1
         p> pubrel 1; written; commit; p< pubcomp 1",
    ),
    row(
        "a QoS 2 PUBLISH waits until its identifier is synced, whatever the message is: the next one under it may be worth more; PUBREL likewise",
        "p wants written; a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02; p joins v5
         hold commits; p> publish t x q2#1; written; p< pubrec 1; commit; a< publish t x q2#1
         a> pubrec 1; written; commit; a< pubrel 1",
    ),
    row(
        "nor does it leave earlier on a new connection, whose CONNACK waits for it",
        "a wants memory; a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02; p joins v5
         hold commits; p> publish t x q2#1; a cut; a> connect v5 expiry=9; written; commit
         p< pubrec 1; a< connack sp; a< publish t x q2#1",
    ),
    row(
        "where nothing is worth more, until it is written",
        "limits safety=written identifier_safety=written; a joins v5 expiry=9
         a> subscribe 1 t 2; a< suback 1 02; p joins v5; hold commits; p> publish t x q2#1
         written; p< pubrec 1; a< publish t x q2#1; a> pubrec 1; written; a< pubrel 1",
    ),
    row(
        "CONNACK, SUBACK and UNSUBACK wait for what their link wants",
        "a wants written; hold commits; a> connect v5 expiry=9; written; a< connack
         a> subscribe 1 t 1; written; a< suback 1 01; a> unsubscribe 2 t; written
         a< unsuback 2 00; b> connect v5 expiry=9; written; commit; b< connack",
    ),
    row(
        "with memory for nothing; the session is recorded all the same",
        "a wants memory; hold commits; a> connect v5 expiry=9; a< connack; a> subscribe 1 t 1
         a< suback 1 01; a> unsubscribe 2 t; a< unsuback 2 00; commit; log a",
    ),
    row(
        "what an earlier packet left unsynced is synced when somebody waits for that",
        "limits topic_safety=t:written; p joins v5 expiry=9; hold commits; p> publish t x q2#1
         written; p< pubrec 1 10; release; p> publish t x q2#1 dup; p< pubrec 1; p> pubrel 1
         p< pubcomp 1",
    ),
    row(
        "a message that is kept in memory alone waits for nothing, and is not recorded",
        "p wants memory; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut
         p joins v5; hold commits; p> publish t x q1#1; p< puback 1; recorded 0; release
         a resumes v5 expiry=9; a< publish t x q1#1; a> puback 1",
    ),
    row(
        "nor on another shard",
        "shards 3; a at 0; b at 1; p at 1; p wants memory; a joins v5 expiry=9
         a> subscribe 1 t 1; a< suback 1 01; b joins v5 expiry=9; b> subscribe 1 $share/g/t 1
         b< suback 1 01; p joins v5; hold commits; hold peers; p> publish t x q1#1; p< puback 1
         b< publish t x q1#1; recorded 0; deliver; a< publish t x q1#1; recorded 0",
    ),
    row(
        "behind what waits for its session it keeps its place",
        "limits topic_safety=m:memory; a joins v5 expiry=9; a> subscribe 1 # 1; a< suback 1 01
         a cut; p joins v5; p> publish m 1 q1#1; p< puback 1; p> publish t 2 q1#2; p< puback 2
         p> publish m 3 q1#3; p< puback 3; a resumes v5 expiry=9; a< publish m 1 q1#1
         a< publish t 2 q1#2; a< publish m 3 q1#3",
    ),
    row(
        "in a queue beyond memory, too",
        "limits queue_memory_bytes=1 topic_safety=m:memory; a joins v5 expiry=9
         a> subscribe 1 # 1; a< suback 1 01; a cut; p joins v5; p> publish t 1 q1#1
         p< puback 1; p> publish m 2 q1#2; p< puback 2; p> publish t 3 q1#3; p< puback 3
         a resumes v5 expiry=9; a< publish t 1 q1#1; a< publish m 2 q1#2; a< publish t 3 q1#3",
    ),
    row(
        "there is a bound for it there; it gives way itself before what the log keeps does",
        "limits queue_memory_bytes=1 session_memory_bytes_max=150 topic_safety=m:memory
         a joins v5 expiry=9; a> subscribe 1 # 1; a< suback 1 01; a cut; p joins v5
         p> publish t 1 q1#1; p< puback 1; p> publish m 2 q1#2; p< puback 2
         p> publish m 3 q1#3; p< puback 3; count dropped_queue_full 1; p> publish t 4 q1#4
         p< puback 4; a resumes v5 expiry=9; a< publish t 1 q1#1
         a< publish m 2 q1#2; a< publish t 4 q1#3",
    ),
    row(
        "of those alone the oldest gives way",
        "limits queue_memory_bytes=1 session_memory_bytes_max=150 topic_safety=m:memory
         a joins v5 expiry=9; a> subscribe 1 # 1; a< suback 1 01; a cut; p joins v5
         p> publish m 1 q1#1; p< puback 1; p> publish m 2 q1#2; p< puback 2
         count dropped_queue_full 1; a resumes v5 expiry=9; a< publish m 2 q1#1",
    ),
    row(
        "it needs no room on the disk",
        "limits topic_safety=m:memory; a joins v5 expiry=9; a> subscribe 1 # 1; a< suback 1 01
         p joins v5; disk full; p> publish t x q1#1; p< puback 1 97; p> publish m x q1#2
         p< puback 2; a< publish m x q1#1",
    ),
    row(
        "a QoS 2 message is recorded even so: an identifier that is forgotten swallows the next",
        "p wants memory; a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02
         p joins v5 expiry=9; hold commits; p> publish t x q2#1; written; p< pubrec 1; commit
         a< publish t x q2#1",
    ),
    row(
        "[MQTT-3.3.1-5] a retained message that is kept in memory alone is there, and not recorded",
        "p wants memory; p joins v5; hold commits; p> publish t x q1#1 retain; p< puback 1 10
         release; retained; a joins v5; a> subscribe 1 t 0; a< suback 1 00; a< publish t x retain",
    ),
    row(
        "what the log knew of its topic is cleared there: it must not come back",
        "p wants memory; p joins v5; q joins v5; q> publish t old q1#1 retain; q< puback 1 10
         retained t; p> publish t x q1#1 retain; p< puback 1 10; retained; count refused_no_room 0
         p> publish t y q1#2 retain; p< puback 2 10; q> publish t new retain; retained t",
    ),
    row(
        "once: what replaces one that the log does not know is not recorded",
        "p wants memory; p joins v5; p> publish t x q1#1 retain; p< puback 1 10; hold commits
         p> publish t y q1#2 retain; p< puback 2 10; p> publish t '' q1#3 retain; p< puback 3 10
         recorded 0",
    ),
    row(
        "[MQTT-3.3.1-6] a clearing is recorded if what it clears is",
        "p wants memory; p joins v5; q joins v5; q> publish t old q1#1 retain; q< puback 1 10
         p> publish t '' q1#1 retain; p< puback 1 10; retained",
    ),
    row(
        "[MQTT-3.3.2-5] a retained message that has expired is gone from the log, too",
        "p joins v5; p> publish t x expiry=2 retain; p> publish u x retain; retained t u
         wait 20s; retained u",
    ),
    row(
        "also if it was met before the search for such",
        "p joins v5; p> publish t x expiry=2 retain; retained t; wait 3s; a joins v5
         a> subscribe 1 t 0; a< suback 1 00; wait 20s; retained",
    ),
    row(
        "one that the log does not know is not recorded when it expires",
        "p wants memory; p joins v5; p> publish t x expiry=2 retain; hold commits; wait 20s
         recorded 0",
    ),
    row(
        "a retained message of that kind is sent for a new subscription without a record",
        "p wants memory; p joins v5; p> publish t x q1#1 retain; p< puback 1 10
         a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a< publish t x q1#1 retain
         hold commits; a> puback 1; recorded 0",
    ),
    row(
        "[MQTT-3.1.2-8] a Will is as safe as what its client publishes",
        "w wants memory; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut
         w joins v5 will=t:bye wqos=1; hold commits; w cut; recorded 0; release
         a resumes v5 expiry=9; a< publish t bye q1#1",
    ),
];
