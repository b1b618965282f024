//! When there is no room: what is refused, before anything of it is routed, and what goes on.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "[MQTT-4.3.2-4] a QoS 1 PUBLISH that a durable receiver waits for is refused: nobody gets it",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut; b joins v5
         b> subscribe 1 t 1; b< suback 1 01; p joins v5; disk full; p> publish t x q1#1
         p< puback 1 97; count refused_no_room 1; disk free; p> publish t y q1#1; p< puback 1
         b< publish t y q1#1; a resumes v5 expiry=9; a< publish t y q1#1",
    ),
    row(
        "on another shard, too: its interest says that somebody durable waits",
        "shards 3; a at 0; p at 1; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut
         p joins v5; disk full; p> publish t x q1#1; p< puback 1 97; disk free
         p> publish t y q1#1; p< puback 1; a resumes v5 expiry=9; a< publish t y q1#1",
    ),
    row(
        "[MQTT-4.3.3-10] at QoS 2 likewise: the identifier is not in use afterwards",
        "a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02; p joins v5; disk full
         p> publish t x q2#1; p< pubrec 1 97; disk free; p> publish t y q2#1; p< pubrec 1
         a< publish t y q2#1; p> pubrel 1; p< pubcomp 1",
    ),
    row(
        "a QoS 2 PUBLISH of a persistent session, though nobody waits for it",
        "p joins v5 expiry=9; disk full; p> publish t x q2#1; p< pubrec 1 97; q joins v5
         q> publish t x q2#1; q< pubrec 1 10",
    ),
    row(
        "one that the broker has already is answered: it is not refused",
        "p joins v5 expiry=9; p> publish t x q2#1; p< pubrec 1 10; disk full
         p> publish t x q2#1 dup; p< pubrec 1; p> pubrel 1; p< pubcomp 1",
    ),
    row(
        "[MQTT-3.3.1-5] what is to be retained: the older one stays",
        "p joins v5; p> publish t old q1#1 retain; p< puback 1 10; disk full
         p> publish t new q1#1 retain; p< puback 1 97; a joins v5; a> subscribe 1 t 0
         a< suback 1 00; a< publish t old retain",
    ),
    row(
        "[MQTT-3.3.1-6] a retained message can be cleared",
        "p joins v5; p> publish t old q1#1 retain; p< puback 1 10; disk full
         p> publish t '' q1#1 retain; p< puback 1 10; a joins v5; a> subscribe 1 t 0
         a< suback 1 00",
    ),
    row(
        "QoS 0 goes on; with RETAIN it is forwarded and not kept",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; p joins v5; disk full
         p> publish t x; a< publish t x; p> publish t y retain; a< publish t y
         count refused_no_room 1; b joins v5; b> subscribe 1 t 0; b< suback 1 00",
    ),
    row(
        "QoS 0 is not queued for a client that is away",
        "limits queue_qos0=1; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut
         p joins v5; disk full; p> publish t x; count dropped_qos0_offline 1",
    ),
    row(
        "what nobody durable waits for goes on",
        "shards 3; a at 0; b at 1; p at 1; a joins v5; a> subscribe 1 t 2; a< suback 1 02
         b joins v5 expiry=9; b> subscribe 1 t 0; b< suback 1 00; p joins v5; disk full
         p> publish t x q1#1; p< puback 1; a< publish t x q1#1; b< publish t x",
    ),
    row(
        "one's own durable subscription does not count where it says No Local",
        "shards 1; a joins v5 expiry=9; a> subscribe 1 t 1,nl; a< suback 1 01; disk full
         a> publish t x q1#1; a< puback 1 10",
    ),
    row(
        "a shared group counts if it has a durable member",
        "shards 1; a joins v5; a> subscribe 1 $share/g/t 1; a< suback 1 01; p joins v5; disk full
         p> publish t x q1#1; p< puback 1; a< publish t x q1#1; disk free; b joins v5 expiry=9
         b> subscribe 1 $share/g/t 1; b< suback 1 01; disk full; p> publish t y q1#1
         p< puback 1 97",
    ),
    row(
        "or members on other shards",
        "shards 3; a at 0; p at 1; a joins v5 expiry=9; a> subscribe 1 $share/g/t 1; a< suback 1 01
         p joins v5; disk full; p> publish t y q1#1; p< puback 1 97; disk free
         p> publish t z q1#1; p< puback 1; a< publish t z q1#1",
    ),
    row(
        "3.x knows no refusal: the PUBLISH is not taken until there is room",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; p joins v34; disk full
         p> publish t x q1#1 + publish t y q2#2 + pingreq; disk free
         p<* puback 1 | pubrec 2 | pingresp; a< publish t x q1#1; a< publish t y q1#2; count refused_no_room 1
         count publish_received 2; count packets_received 4",
    ),
    row(
        "[MQTT-3.1.2-22] its Keep Alive rests meanwhile",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; p joins v34 ka=2; disk full
         p> publish t x q1#1; wait 15s; disk free; p< puback 1; a< publish t x q1#1; p cut",
    ),
    row(
        "a packet that was not taken dies with its connection",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; p joins v4 clean; disk full
         p> publish t x q1#1; p cut; q joins v4 clean; disk free; q> pingreq; q< pingresp",
    ),
    row(
        "[MQTT-3.1.4-5] CONNECT of a new session that lasts is refused, others are not",
        "disk full; a> connect v5 expiry=9; a< connack 97; a! closed 97; b joins v5
         c> connect v4; c< connack 88; c! closed 97; d joins v4 clean; count refused_no_room 2
         disk free; e joins v5 expiry=9",
    ),
    row(
        "a session that lasts comes back for its messages, and takes nothing from who has it",
        "a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02; a cut; p joins v5
         p> publish t x q1#1; p< puback 1; p> publish t y q2#2; p< pubrec 2; disk full
         a resumes v5 expiry=9; a< publish t x q1#1; a< publish t y q2#2; a> puback 1
         a> pubrec 2; a< pubrel 2; a> pubcomp 2; b> connect v5 id=a expiry=9 clean
         b< connack 97; b! closed 97; a> pingreq; a< pingresp",
    ),
    row(
        "with a new Will it does not: that would have to be kept",
        "a joins v5 expiry=9; a cut; disk full; a> connect v5 expiry=9 will=w:x; a< connack 97
         a! closed 97; a resumes v5 expiry=9",
    ),
    row(
        "SUBSCRIBE of a session that lasts is refused; UNSUBSCRIBE is not",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; b joins v5; disk full
         a> subscribe 2 u 1 t 2; a< suback 2 97 97; b> subscribe 1 u 1; b< suback 1 01
         a> unsubscribe 3 t; a< unsuback 3 00; count refused_no_room 2",
    ),
    row("in 3.1.1 with 0x80", "a joins v4; disk full; a> subscribe 1 t 1; a< suback 1 80"),
    row(
        "a Will is published all the same: its record waits, and the log keeps the Will until then",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; w joins v5 will=t:gone wqos=1
         disk full; w cut; a< publish t gone q1#1; a> puback 1",
    ),
    row(
        "records that waited when the disk was full are written when there is room",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5; hold commits
         p> publish t x q1#1; disk full; release; p> publish t y q1#2; disk free; p< puback 1
         p< puback 2 97",
    ),
    row(
        "deliveries behind them go on",
        "shards 1; a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02; p joins v5
         p> publish t x q2#1; p< pubrec 1; a< publish t x q2#1; b joins v5 expiry=9
         b> subscribe 1 u 1; b< suback 1 01; b cut; hold commits; p> publish u x q1#2; disk full
         release; a> pubrec 1; a< pubrel 1; a> pubcomp 1; disk free; p< puback 2",
    ),
    row(
        "uncommitted_bytes_max: whose PUBLISHes are recorded is not read until half is committed",
        "limits uncommitted_bytes_max=500; shards 1; a joins v5 expiry=9; a> subscribe 1 t 1
         a< suback 1 01; a cut; p joins v5; q joins v5; commit; hold commits; p> publish t x*500 q1#1
         p> pingreq; count paused_uncommitted 1; q> publish u x*999 q1#1; q< puback 1 10
         q> publish t y q0; commit; p< puback 1; p< pingresp",
    ),
    row(
        "[MQTT-3.1.2-22] the Keep Alive rests meanwhile",
        "limits uncommitted_bytes_max=500; shards 1; a joins v5 expiry=9; a> subscribe 1 t 1
         a< suback 1 01; a cut; p joins v5 ka=2; commit; hold commits; p> publish t x*500 q1#1; wait 8s; commit
         p< puback 1; p> pingreq; p< pingresp; p cut",
    ),
    row(
        "void records do not count",
        "limits uncommitted_bytes_max=500; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         p joins v5; commit; hold commits; p> publish t x*500 q1#1; a< publish t x*500 q1#1
         a> puback 1; p< puback 1; p> pingreq; p< pingresp",
    ),
    row(
        "publishers on other shards are paused by what they have under way",
        "limits uncommitted_bytes_max=500 peer_bytes_max=300; shards 3; a at 0; p at 1
         a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5; commit
         hold commits; p> publish t x*500 q1#1; p> publish t y*500 q1#2
         count paused_links 0; p> publish t z q1#3; count paused_links 1; p> pingreq; commit
         p<* puback 1 | puback 2 | puback 3 | pingresp",
    ),
    row(
        "with the disk full they are read, and refused",
        "limits uncommitted_bytes_max=500; shards 1; a joins v5 expiry=9; a> subscribe 1 t 1
         a< suback 1 01; a cut; p joins v5; commit; hold commits; p> publish t x*500 q1#1; p> publish t y q1#2
         disk full; disk free; release; p< puback 1; p< puback 2 97",
    ),
    row(
        "refuse: who would meet a full queue is refused, and nobody gets the message",
        "limits refuse=1 queued_messages_max=2; a at 0; b at 1; p at 1; a joins v5 expiry=9
         a> subscribe 1 t 1; a< suback 1 01; a cut; b joins v5; b> subscribe 1 t 1; b< suback 1 01
         p joins v5; p> publish t x q1#1; p< puback 1; b< publish t x q1#1; p> publish t y q1#2
         p< puback 2; b< publish t y q1#2; p> publish t z q1#3; p< puback 3 97; p> publish t z q2#4
         p< pubrec 4 97; count refused_queue_full 2; p> publish t 0; b< publish t 0
         a resumes v5 expiry=9; a gets 2 publish; p> publish t w q1#5; p< puback 5
         a< publish t w q1#3; b< publish t w q1#3",
    ),
    row(
        "refuse: what does not concern the full session goes on",
        "limits refuse=1 queued_messages_max=1; a at 0; p at 1; a joins v5 expiry=9
         a> subscribe 1 t 1 u 0; a< suback 1 01 00; a cut; p joins v5; p> publish t x q1#1
         p< puback 1; p> publish t y q1#2; p< puback 2 97; p> publish v y q1#3; p< puback 3 10",
    ),
    row(
        "refuse: a 3.x client cannot be told: it loses its connection, and publishes again",
        "limits refuse=1 queued_messages_max=1; a at 0; p at 1; a joins v5 expiry=9
         a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v4; p> publish t x q1#1; p< puback 1
         p> publish t y q1#2 + publish u z q1#3; p! closed 97; count refused_queue_full 1
         p resumes v4; p> publish t y q1#2 dup; p! closed 97; a resumes v5 expiry=9
         a< publish t x q1#1; a> puback 1; p resumes v4; p> publish t y q1#2 dup; p< puback 2
         a< publish t y q1#2",
    ),
    row(
        "refuse: its Will goes out, as with any connection that is lost",
        "limits refuse=1 queued_messages_max=1; a at 0; p at 1; a joins v5 expiry=9
         a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v4 clean will=t:gone; b joins v5
         b> subscribe 1 t 0; b< suback 1 00; p> publish t x q1#1; p< puback 1; b< publish t x
         p> publish t y q1#2; p! closed 97; b< publish t gone",
    ),
    row(
        "refuse: before that it gets what waits for itself: it may be the one who is waited for",
        "limits refuse=1 queued_messages_max=1 in_flight_max=1; p at 0; q at 1; p joins v4
         p> subscribe 1 t 1; p< suback 1 01; q joins v5; q> 2 * publish t x q1#1; q gets 2 puback
         p< publish t x q1#1; p> publish t y q1#1 + publish u y q1#2 + publish u y + publish t z q2#3
         count refused_queue_full 3; q> publish t y q1#2; q< puback 2 97; p> puback 1
         p< publish t x q1#2; q> publish t w q2#3; q< pubrec 3; q> pubrel 3; q< pubcomp 3
         p> puback 2; p< publish t w q1#3; p> puback 3; p! closed 97; p resumes v4
         p> publish t y q1#1 dup; p<* puback 1 | publish t y q1#4",
    ),
    row(
        "no_room_ms: but not longer than that",
        "limits refuse=1 queued_messages_max=1 in_flight_max=1 no_room_ms=5000; p at 0; q at 1
         p joins v4; p> subscribe 1 t 1; p< suback 1 01; q joins v5; q> 2 * publish t x q1#1
         q gets 2 puback; p< publish t x q1#1; p> publish t y q1#1; wait 4999ms; p> pingreq
         p< pingresp; wait 1ms; p! closed 97; count closed_no_room 0",
    ),
    row(
        "no_room_ms: a 3.x PUBLISH that the store has no room for waits no longer than that",
        "limits no_room_ms=5000; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         p joins v4; q joins v34; disk full; p> publish t x q1#1; wait 3s; q> publish t y q1#1
         wait 1999ms; wait 1ms; p! closed 97; count closed_no_room 1; p resumes v4
         p> publish t x q1#1 dup; disk free; q< puback 1; p< puback 1; a gets 2 publish; wait 8s
         count closed_no_room 1",
    ),
    row(
        "no_room_ms: one that had room meanwhile has the whole time again",
        "limits no_room_ms=5000; a joins v5; a> subscribe 1 t 1; a< suback 1 01; b joins v5 expiry=9
         b> subscribe 1 t 1; b< suback 1 01; p joins v34; disk full; p> publish t x q1#1; wait 4s
         disk free; p< puback 1; a< publish t x q1#1; b< publish t x q1#1; disk full
         p> publish t y q1#2; wait 4s; p> publish t z q1#3; disk free; p< puback 2; p< puback 3
         a gets 2 publish; b gets 2 publish; count closed_no_room 0",
    ),
    row(
        "refuse: an eighth of the limit has to be free before there is space again",
        "limits refuse=1 queued_messages_max=16; a at 0; p at 1; a joins v5 expiry=9
         a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5; p> 16 * publish t x q1#1
         p gets 16 puback; p> publish t y q1#2; p< puback 2 97; a resumes v5 expiry=9 rmax=1
         a< publish t x q1#1; p> publish t y q1#3; p< puback 3 97; a> puback 1; a< publish t x q1#2
         p> publish t y q1#4; p< puback 4",
    ),
    row(
        "refuse: what is under way from another shard is taken",
        "limits refuse=1 queued_messages_max=1; shards 3; a at 0; p at 1; a joins v5 expiry=9
         a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5; hold peers; p> publish t x q1#1
         p> publish t y q1#2; release; p< puback 1; p< puback 2; p> publish t z q1#3
         p< puback 3 97; a resumes v5 expiry=9; a< publish t x q1#1; a< publish t y q1#2",
    ),
    row(
        "refuse: at queued_bytes_max, too",
        "limits refuse=1 queued_bytes_max=500; a at 0; p at 1; a joins v5 expiry=9
         a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5; p> publish t x*500 q1#1
         p< puback 1; p> publish t y q1#2; p< puback 2 97; a resumes v5 expiry=9
         a< publish t x*500 q1#1; p> publish t y q1#3; p< puback 3; a< publish t y q1#2",
    ),
    row(
        "refuse: and at queue_bytes_max, whose bytes they are",
        "limits refuse=1 queue_bytes_max=500; a at 0; b at 0; p at 1; a joins v5 expiry=9
         a> subscribe 1 t 1; a< suback 1 01; a cut; b joins v5 expiry=9; b> subscribe 1 u 1
         b< suback 1 01; b cut; p joins v5; p> publish t x*500 q1#1; p< puback 1
         p> publish t y q1#2; p< puback 2 97; p> publish u y q1#3; p< puback 3; p> publish u y q1#4
         p< puback 4 97; a resumes v5 expiry=9; a< publish t x*500 q1#1; a> puback 1
         p> publish u y q1#5; p< puback 5",
    ),
    row(
        "refuse: of a shared group, the member that is not full has it; all full, it is refused",
        "limits refuse=1 queued_messages_max=1; a at 0; b at 2; p at 1; a joins v5 expiry=9
         a> subscribe 1 $share/g/t 1; a< suback 1 01; a cut; b joins v5 expiry=9
         b> subscribe 1 $share/g/t 1; b< suback 1 01; b cut; p joins v5; p> publish t x q1#1
         p< puback 1; p> publish t y q1#2; p< puback 2; p> publish t z q1#3; p< puback 3 97
         a resumes v5 expiry=9; a gets 1 publish; p> publish t w q1#4; p< puback 4
         a gets 1 publish; b resumes v5 expiry=9; b gets 1 publish",
    ),
    row(
        "refuse: a Will is taken, as what is under way",
        "limits refuse=1 queued_messages_max=1; a at 0; w at 1; a joins v5 expiry=9
         a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5; p> publish t x q1#1; p< puback 1
         w joins v5 will=t:gone wqos=1; w cut; a resumes v5 expiry=9; a< publish t x q1#1
         a< publish t gone q1#2",
    ),
    row(
        "refuse: a reload to another policy lets publishers in at once",
        "limits refuse=1 queued_messages_max=1; a at 0; p at 1; a joins v5 expiry=9
         a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5; p> publish t x q1#1
         p< puback 1; p> publish t y q1#2; p< puback 2 97; limits drop_newest=1
         p> publish t y q1#2; p< puback 2
         count dropped_queue_full 1",
    ),
];
