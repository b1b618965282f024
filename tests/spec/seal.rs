//! What several shards record and what counts only together: QoS 2 publications that reach durable
//! receivers on other shards, and sessions whose shared messages go elsewhere when they end.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "a QoS 2 message is not sent to a durable receiver on another shard before its seal",
        "shards 3; a at 0; p at 1; a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02
         p joins v5 expiry=9; hold peers; p> publish t x q2#1; deliver; deliver; p< pubrec 1
         deliver; a< publish t x q2#1",
    ),
    row(
        "nor to one on the publisher's own shard, if others have it too",
        "shards 3; a at 0; b at 1; p at 1; a joins v5 expiry=9; a> subscribe 1 t 2
         a< suback 1 02; b joins v5 expiry=9; b> subscribe 1 t 2; b< suback 1 02
         p joins v5 expiry=9; hold peers; p> publish t x q2#1; deliver; deliver
         b< publish t x q2#1; p< pubrec 1; deliver; a< publish t x q2#1",
    ),
    row(
        "with nobody durable elsewhere nothing waits for other shards",
        "shards 3; a at 0; b at 1; p at 1; a joins v5; a> subscribe 1 t 2; a< suback 1 02
         b joins v5 expiry=9; b> subscribe 1 t 2; b< suback 1 02; p joins v5 expiry=9; hold peers
         p> publish t x q2#1; b< publish t x q2#1; p< pubrec 1; deliver; a< publish t x q2#1",
    ),
    row(
        "a publisher whose session does not last is not sealed for: its PUBREC waits for receipts",
        "shards 3; a at 0; p at 1; a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02
         p joins v5; hold commits; hold peers; p> publish t x q2#1; deliver; commit
         a< publish t x q2#1; deliver; p< pubrec 1",
    ),
    row(
        "at an effective QoS of 1 it is sent at once",
        "shards 3; a at 0; p at 1; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         p joins v5 expiry=9; hold peers; p> publish t x q2#1; deliver; a< publish t x q1#1
         a> puback 1; deliver; p< pubrec 1; release",
    ),
    row(
        "[MQTT-4.6.0-6] later messages wait behind it",
        "shards 3; a at 0; p at 1; q at 0; a joins v5 expiry=9; a> subscribe 1 t 2
         a< suback 1 02; p joins v5 expiry=9; q joins v5; hold peers; p> publish t x q2#1
         deliver; q> publish t y q1#1; q< puback 1; deliver; p< pubrec 1; deliver
         a< publish t y q1#2; a< publish t x q2#1",
    ),
    row(
        "PUBREC waits for the record that seals, and that for the receipts",
        "shards 3; a at 0; p at 1; a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02; a cut
         p joins v5 expiry=9; hold commits; hold peers; p> publish t x q2#1; commit; deliver
         commit; deliver; commit; p< pubrec 1",
    ),
    row(
        "the seal comes though the publisher's link is gone",
        "shards 3; a at 0; p at 1; a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02
         p joins v5 expiry=9; hold peers; p> publish t x q2#1; p cut; deliver; deliver; deliver
         a< publish t x q2#1; p resumes v5 expiry=9; p> publish t x q2#1 dup; p< pubrec 1",
    ),
    row(
        "or its session: whose end is recorded behind the seal",
        "shards 3; a at 0; p at 1; a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02
         p joins v5 expiry=9; hold peers; p> publish t x q2#1; p> disconnect 00 expiry=0
         p! closed; log a p; deliver; deliver; log a; deliver; a< publish t x q2#1",
    ),
    row(
        "PUBREL before PUBREC: the identifier is free when the seal is there",
        "shards 3; a at 0; p at 1; a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02; a cut
         p joins v5 expiry=9; hold peers; p> publish t x q2#1; p> pubrel 1; deliver; deliver
         p< pubrec 1; p< pubcomp 1; p> pubrel 1; p< pubcomp 1 92",
    ),
    row(
        "a session whose shared message goes to another shard ends for the log when that has it",
        "shards 3; a at 0; b at 1; p at 0; a joins v5 expiry=9; a> subscribe 1 $share/g/t 1
         a< suback 1 01; p joins v5; a cut; p> publish t x q1#1; p< puback 1
         b joins v5 expiry=9; b> subscribe 1 $share/g/t 1; b< suback 1 01; hold peers
         a joins v5 clean; log a a b; deliver; b< publish t x q1#1; deliver; log a b",
    ),
    row(
        "at QoS 2 it is sent there when it has ended",
        "shards 3; a at 0; b at 1; p at 0; a joins v5 expiry=9; a> subscribe 1 $share/g/t 2
         a< suback 1 02; p joins v5; a cut; p> publish t x q2#1; p< pubrec 1
         b joins v5 expiry=9; b> subscribe 1 $share/g/t 2; b< suback 1 02; hold peers
         a joins v5 clean; log a a b; deliver; deliver; log a b; deliver; b< publish t x q2#1",
    ),
    row(
        "one that is not sealed when its session ends waits for its seal, then goes",
        "shards 3; a at 0; b at 1; p at 2; a joins v5 expiry=9; a> subscribe 1 $share/g/t 2
         a< suback 1 02; a cut; p joins v5 expiry=9; hold peers; p> publish t x q2#1; deliver
         a joins v5 clean; log a a p; b joins v5 expiry=9; b> subscribe 1 $share/g/t 2; deliver
         p< pubrec 1; deliver; b< suback 1 02; deliver; deliver; log a b p; deliver
         b< publish t x q2#1; release",
    ),
    row(
        "a session that is to end with its own Will among its messages does end",
        "shards 3; a at 0; b at 1; b joins v5 expiry=9; b> subscribe 1 t 2; b< suback 1 02
         a joins v5 expiry=2 will=t:w wqos=2 wdelay=1; a> subscribe 1 $share/g/t 2; a< suback 1 02
         hold peers; a cut; wait 1s; wait 1s; log a b; deliver; deliver; log b; deliver
         b< publish t w q2#1",
    ),
    row(
        "[MQTT-4.6.0-6] one that need not wait for others is not sealed before an earlier one",
        "shards 3; a at 0; b at 1; p at 1; a joins v5 expiry=9; a> subscribe 1 $share/g/t 2
         a< suback 1 02; b joins v5 expiry=9; b> subscribe 1 $share/g/t 2; b< suback 1 02
         p joins v5 expiry=9; hold peers; p> publish t x q2#1; b< publish t x q2#1
         p< pubrec 1; p> publish t y q2#2; p> publish t z q2#3; deliver; deliver; p< pubrec 2
         b< publish t z q2#2; p< pubrec 3; deliver; a< publish t y q2#1",
    ),
    row(
        "a Will that everybody has is gone for the log, also while a newer one is on its way",
        "shards 3; a at 0; p at 1; q at 1; a joins v5 expiry=99; a> subscribe 1 t 2; a< suback 1 02
         p joins v5 expiry=99 will=t:1 wqos=2; hold peers; p cut; deliver
         q> connect v5 id=p expiry=99 will=t:2 wqos=2; q cut; deliver; restart
         release; a resumes v5 expiry=99; a< publish t 1 q2#1",
    ),
    row(
        "and the one of the client that was answered then is in its place",
        "shards 3; a at 0; p at 1; q at 1; r at 1; a joins v5 expiry=99; a> subscribe 1 t 2
         a< suback 1 02; p joins v5 expiry=99 will=t:1 wqos=2; hold peers; p cut
         deliver; q> connect v5 id=p expiry=99 will=t:2 wqos=2; q cut
         r> connect v5 id=p expiry=99 will=t:3 wqos=2; deliver
         r< connack sp; restart; release; a resumes v5 expiry=99; a< publish t 1 q2#1
         a< publish t 3 q2#2",
    ),
    row(
        "a session that ends leaves what is on the log alone to others, also before what waits for a seal",
        "shards 3; limits queue_memory_bytes=1; a at 0; b at 1; p at 2; a joins v5 expiry=9
         a> subscribe 1 $share/g/t 2; a< suback 1 02; a cut; p joins v5 expiry=9
         p> publish t 1 q1#1; p< puback 1; p> publish t 2 q1#2; p< puback 2; b joins v5 expiry=9
         hold peers; p> publish t 3 q2#3; b> subscribe 1 $share/g/t 2; deliver; deliver
         b< suback 1 02; p< pubrec 3; a joins v5 clean; release
         b<* publish t 1 q1#2 | publish t 2 q1#3 | publish t 3 q2#1",
    ),
];
