//! Queues beyond memory: what does not fit is on the log alone, comes back in time and in order,
//! and counts as if it were here. A small message counts for 82 bytes.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "[MQTT-4.6.0-5] what does not fit in memory comes in its place, once",
        "limits queue_memory_bytes=200; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         a cut; p joins v5; p> publish t 1 q1#1 + publish t 2 q1#2 + publish t 3 q1#3
         p gets 3 puback; p> publish t 4 q1#4 + publish t 5 q1#5; p gets 2 puback
         count queued_messages 5
         count queued_unread 3; count queued_bytes 410; count queued_unread_bytes 246
         a resumes v5 expiry=9; a< publish t 1 q1#1; a< publish t 2 q1#2; a< publish t 3 q1#3
         a< publish t 4 q1#4; a< publish t 5 q1#5; count queued_unread 0; count queued_bytes 0",
    ),
    row(
        "[MQTT-4.6.0-6] a message that comes meanwhile waits behind it",
        "limits queue_memory_bytes=100; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         a cut; p joins v5; p> publish t 1 q1#1 + publish t 2 q1#2; p gets 2 puback; hold loads
         a resumes v5 expiry=9; a< publish t 1 q1#1; p> publish t 3 q1#3; p< puback 3; load
         a< publish t 2 q1#2; load; a< publish t 3 q1#3",
    ),
    row(
        "everything is sent again with DUP on the next connection, under its identifier",
        "limits queue_memory_bytes=100; a joins v5 expiry=9; a> subscribe 1 t 2; a< suback 1 02
         a cut; p joins v5; p> publish t 1 q1#1 + publish t 2 q2#2; p gets 1 puback
         p gets 1 pubrec; a resumes v5 expiry=9; a< publish t 1 q1#1; a< publish t 2 q2#2; a cut
         a resumes v5 expiry=9; a< publish t 1 q1#1 dup; a< publish t 2 q2#2 dup",
    ),
    row(
        "the next portion is asked for when half of the last is left",
        "limits queue_memory_bytes=400; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         a cut; p joins v5; p> publish t 1 q1#1 + publish t 2 q1#2 + publish t 3 q1#3
         p gets 3 puback; p> publish t 4 q1#4 + publish t 5 q1#5; p gets 2 puback
         a resumes v5 expiry=9 rmax=1
         a< publish t 1 q1#1; count loads 0; a> puback 1; a< publish t 2 q1#2; count loads 1
         count queued_unread 0; a> puback 2; a< publish t 3 q1#3; a> puback 3
         a< publish t 4 q1#4; a> puback 4; a< publish t 5 q1#5; count loads 1",
    ),
    row(
        "what is not committed yet comes after the commit",
        "limits queue_memory_bytes=100; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         a cut; p joins v5; q joins v5; hold commits; p> publish t 1 q1#1 + publish t 2 q1#2
         commit; p gets 2 puback; a> connect v5 expiry=9; q> publish t 3 q1#3; commit
         a< connack sp; q< puback 3; a< publish t 1 q1#1; a< publish t 2 q1#2
         a< publish t 3 q1#3; q> publish t 4 q1#4; a< publish t 4 q1#4; commit; q< puback 4",
    ),
    row(
        "an answer that came before a commit, and was looked up before it, is no end",
        "limits queue_memory_bytes=100; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         p joins v5; a stalls; limits output_bytes_max=1 queue_memory_bytes=1; hold commits
         p> publish t 1 q1#1 + publish t 2 q1#2; a reads; a< publish t 1 q1#1; commit
         p gets 2 puback; a< publish t 2 q1#2; commit",
    ),
    row(
        "queued_messages_max counts what is on the log; the oldest gives way unread",
        "limits queue_memory_bytes=100 queued_messages_max=3; a joins v5 expiry=9
         a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5
         p> publish t 1 q1#1 + publish t 2 q1#2 + publish t 3 q1#3 + publish t 4 q1#4
         p gets 4 puback; p> publish t 5 q1#5; p< puback 5; count dropped_queue_full 2
         count queued_unread 3
         a resumes v5 expiry=9; a< publish t 3 q1#1; a< publish t 4 q1#2; a< publish t 5 q1#3
         count loads 3",
    ),
    row(
        "queued_bytes_max likewise, and queue_full = drop_newest",
        "limits queue_memory_bytes=100 queued_bytes_max=250 drop_newest=1; a joins v5 expiry=9
         a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5
         p> publish t 1 q1#1 + publish t 2 q1#2 + publish t 3 q1#3 + publish t 4 q1#4
         p gets 4 puback; count dropped_queue_full 1; a resumes v5 expiry=9; a< publish t 1 q1#1
         a< publish t 2 q1#2; a< publish t 3 q1#3",
    ),
    row(
        "what gives way while it is being read is not sent",
        "limits queue_memory_bytes=100 queued_messages_max=2; a joins v5 expiry=9
         a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5
         p> publish t 1 q1#1 + publish t 2 q1#2 + publish t 3 q1#3; p gets 3 puback; hold loads
         a resumes v5 expiry=9; p> publish t 4 q1#4; p< puback 4; count dropped_queue_full 2
         load; a< publish t 3 q1#1; load; a< publish t 4 q1#2; count queued_messages 0",
    ),
    row(
        "queue_memory_total_bytes: of all queues together",
        "limits queue_memory_total_bytes=170; shards 1; a joins v5 expiry=9; a> subscribe 1 t 1
         a< suback 1 01; a cut; b joins v5 expiry=9; b> subscribe 1 t 1; b< suback 1 01; b cut
         p joins v5; p> publish t 1 q1#1 + publish t 2 q1#2; p gets 2 puback
         count queued_unread 2; a resumes v5 expiry=9; a< publish t 1 q1#1; a< publish t 2 q1#2
         b resumes v5 expiry=9; b< publish t 1 q1#1; b< publish t 2 q1#2",
    ),
    row(
        "[MQTT-3.3.2-5] what has expired is dropped when it is met",
        "limits queue_memory_bytes=100; a joins v5 expiry=99; a> subscribe 1 t 1; a< suback 1 01
         a cut; p joins v5; p> publish t 1 q1#1 + publish t 2 q1#2 expiry=5 + publish t 3 q1#3
         p gets 3 puback; wait 60s; a resumes v5 expiry=9; a< publish t 1 q1#1
         a< publish t 3 q1#2; count dropped_expired 1; count queued_messages 0",
    ),
    row(
        "[MQTT-3.1.2-4] Clean Start ends all of it; the answer to the session before is ignored",
        "limits queue_memory_bytes=100; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         a cut; p joins v5; p> publish t 1 q1#1 + publish t 2 q1#2; p gets 2 puback; hold loads
         a resumes v5 expiry=9; a< publish t 1 q1#1; a cut; a joins v5 clean expiry=9
         a> subscribe 1 t 1; a< suback 1 01; a cut; count queued_messages 0
         p> publish t 3 q1#3 + publish t 4 q1#4; p gets 2 puback; a resumes v5 expiry=9
         a< publish t 3 q1#1; load; a< publish t 4 q1#2; count loads 1; log a",
    ),
    row(
        "a takeover while it is being read",
        "limits queue_memory_bytes=100; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         a cut; p joins v5; p> publish t 1 q1#1 + publish t 2 q1#2; p gets 2 puback; hold loads
         a resumes v5 expiry=9; a< publish t 1 q1#1; b> connect v5 id=a expiry=9
         a< disconnect 8e; a! closed 8e; b< connack sp; b< publish t 1 q1#1 dup; load
         b< publish t 2 q1#2",
    ),
    row(
        "[MQTT-3.1.2-23] its expiry ends a session with all of it",
        "limits queue_memory_bytes=100; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         a cut; p joins v5; p> publish t 1 q1#1 + publish t 2 q1#2; p gets 2 puback; wait 10s
         count sessions 1; count queued_messages 0; count queued_unread 0; log",
    ),
    row(
        "[MQTT-4.8.2-5] shared messages of a session that ends are read, and go to another member",
        "limits queue_memory_bytes=100; shards 1; a joins v5 expiry=9; a> subscribe 1 $share/g/t 1
         a< suback 1 01; a cut; p joins v5
         p> publish t 1 q1#1 + publish t 2 q1#2 + publish t 3 q1#3; p gets 3 puback
         b joins v5 expiry=9; b> subscribe 1 $share/g/t 1; b< suback 1 01; hold loads; wait 10s
         b< publish t 1 q1#1; log a b; load; b< publish t 2 q1#2; b< publish t 3 q1#3; log b",
    ),
    row(
        "on another shard, too; the session's end is recorded behind them",
        "limits queue_memory_bytes=100; shards 3; a at 0; b at 1; p at 0; a joins v5 expiry=9
         a> subscribe 1 $share/g/t 2; a< suback 1 02; a cut; p joins v5
         p> publish t 1 q2#1 + publish t 2 q2#2 + publish t 3 q1#3; p gets 2 pubrec
         p gets 1 puback; b joins v5 expiry=99; b> subscribe 1 $share/g/t 2; b< suback 1 02
         hold loads; wait 10s; b< publish t 1 q2#1; log a b; load; b< publish t 2 q2#2
         load; b< publish t 3 q1#3; log b",
    ),
    row(
        "without a group nothing is read for the end",
        "limits queue_memory_bytes=100; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         a cut; p joins v5; p> publish t 1 q1#1 + publish t 2 q1#2; p gets 2 puback; hold loads
         wait 10s; log",
    ),
    row(
        "what is not sealed stays in memory, in its place, and is not sent before its seal",
        "limits queue_memory_bytes=100; shards 3; a at 0; p at 1; q at 0; a joins v5 expiry=9
         a> subscribe 1 t 2; a< suback 1 02; a cut; q joins v5; p joins v5 expiry=9
         q> publish t 1 q1#1 + publish t 2 q1#2; q gets 2 puback; hold peers
         p> publish t 3 q2#1; deliver; q> publish t 4 q1#4; q< puback 4; count queued_unread 2
         a resumes v5 expiry=9; a< publish t 1 q1#1; a< publish t 2 q1#2; deliver; p< pubrec 1
         deliver; a< publish t 3 q2#3; a< publish t 4 q1#4",
    ),
    row(
        "once its seal has come it needs no memory",
        "limits queue_memory_bytes=100; shards 3; a at 0; p at 1; q at 0; a joins v5 expiry=9
         a> subscribe 1 t 2; a< suback 1 02; a cut; q joins v5; p joins v5 expiry=9
         q> publish t 1 q1#1; q< puback 1; hold peers; p> publish t 3 q2#1; deliver
         count queued_unread 0; release; p< pubrec 1; count queued_unread 1
         a resumes v5 expiry=9; a< publish t 1 q1#1; a< publish t 3 q2#2",
    ),
    row(
        "in a session that lasts no longer what is new is not recorded, and stands behind the rest",
        "limits queue_memory_bytes=100; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         a cut; p joins v5; p> publish t 1 q1#1 + publish t 2 q1#2; p gets 2 puback; hold loads
         a resumes v5; a< publish t 1 q1#1; p> publish t 3 q1#3; p< puback 3; load
         a< publish t 2 q1#2; a< publish t 3 q1#3; p> publish t 4 q1#4; p< puback 4
         a< publish t 4 q1#4",
    ),
    row(
        "queue_qos0: what the log does not keep is dropped where memory is full",
        "limits queue_memory_bytes=100 queue_qos0=1; a joins v5 expiry=9; a> subscribe 1 t 1
         a< suback 1 01; a cut; p joins v5; p> publish t 0; p> publish t 1; p> publish t 2 q1#1
         p< puback 1; p> publish t 3; count dropped_qos0_queue 2; a resumes v5 expiry=9
         a< publish t 0; a< publish t 2 q1#1",
    ),
    row(
        "[MQTT-3.3.1-9] retained messages stand behind it",
        "limits queue_memory_bytes=100; p joins v5; p> publish r 0 q1#1 retain; p< puback 1 10
         a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut
         p> publish t 1 q1#1 + publish t 2 q1#2; p gets 2 puback; hold loads
         a resumes v5 expiry=9; a< publish t 1 q1#1; a> subscribe 2 r 1; a< suback 2 01; load
         a< publish t 2 q1#2; a< publish r 0 q1#3 retain",
    ),
];
