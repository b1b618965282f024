//! Bounds: every queue has one, meeting it is counted, and the consequence is what the settings'
//! description says.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "queued_messages_max: the oldest gives way, and the publisher is not stopped",
        "limits queued_messages_max=2; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         a cut; p joins v5; p> publish t 1 q1#1 + publish t 2 q1#2 + publish t 3 q1#3
         p gets 3 puback; count dropped_queue_full 1; a resumes v5 expiry=9; a< publish t 2 q1#1
         a< publish t 3 q1#2",
    ),
    row(
        "queue_full = drop_newest",
        "limits queued_messages_max=2 drop_newest=1; a joins v5 expiry=9; a> subscribe 1 t 1
         a< suback 1 01; a cut; p joins v5
         p> publish t 1 q1#1 + publish t 2 q1#2 + publish t 3 q1#3; p gets 3 puback
         count dropped_queue_full 1; a resumes v5 expiry=9; a< publish t 1 q1#1
         a< publish t 2 q1#2",
    ),
    row(
        "queued_bytes_max: as many go as the new one needs",
        "limits queued_bytes_max=1000; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         a cut; p joins v5; p> publish t 1 q1#1 + publish t 2 q1#2 + publish t x*900 q1#3
         p gets 3 puback; count dropped_queue_full 2; a resumes v5 expiry=9
         a< publish t x*900 q1#1",
    ),
    row(
        "a message that is larger than all of it is dropped",
        "limits queued_bytes_max=1000; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         a cut; p joins v5; p> publish t x*2000 q1#3; p< puback 3; a resumes v5 expiry=9
         count queued_messages 0; count queued_bytes 0",
    ),
    row(
        "queue_bytes_max, of all queues together",
        "limits queue_bytes_max=1000; shards 1; a joins v5 expiry=9; a> subscribe 1 t 1
         a< suback 1 01; a cut; b joins v5 expiry=9; b> subscribe 1 u 1; b< suback 1 01; b cut
         p joins v5; p> publish t x*500 q1#1 + publish u x*500 q1#2; p gets 2 puback
         count queued_messages 1",
    ),
    row(
        "what is in flight is not dropped",
        "limits queued_messages_max=1; a joins v5 expiry=9 rmax=1; a> subscribe 1 t 1
         a< suback 1 01; p joins v5; p> publish t 1 q1#1 + publish t 2 q1#2 + publish t 3 q1#3
         p gets 3 puback; a< publish t 1 q1#1; a> puback 1; a< publish t 3 q1#2",
    ),
    row(
        "a subscriber that does not read: QoS 0 is dropped, QoS 1 waits in its session",
        "limits output_bytes_max=100; a joins v5; a> subscribe 1 t 1; a< suback 1 01; p joins v5
         a stalls; p> publish t x*60 + publish t y*60 + publish t z*60
         p> publish t 1 q1#1 + publish t 2 q1#2; p gets 2 puback; count dropped_qos0 1
         count queued_messages 2; a reads; a< publish t x*60; a< publish t y*60
         a< publish t 1 q1#1; a< publish t 2 q1#2; count queued_messages 0",
    ),
    row(
        "what waits for all clients is bounded: who takes nothing gets no more, who reads gets all",
        "limits output_total_bytes_max=100; a joins v5; a> subscribe 1 t 1; a< suback 1 01
         b joins v5; b> subscribe 1 t 0; b< suback 1 00; p joins v5; a stalls
         p> publish t x*60; b< publish t x*60; p> publish t y*60; b< publish t y*60
         p> publish t z*60; b< publish t z*60; p> publish t 1 q1#1; p< puback 1; b< publish t 1
         count dropped_qos0_total 1; count dropped_qos0 0; count queued_messages 1; a reads
         a< publish t x*60; a< publish t y*60; a< publish t 1 q1#1; count queued_messages 0
         a> puback 1; p> publish t w; a< publish t w; b< publish t w",
    ),
    row(
        "what is under way to all clients is bounded: who does not acknowledge waits, others go on",
        "shards 1; limits session_memory_total_bytes=5000; a joins v5 expiry=9; a> subscribe 1 a 1
         a< suback 1 01; b joins v5 expiry=9; b> subscribe 1 b 1; b< suback 1 01; p joins v5
         p> publish a x*3000 q1#1; p< puback 1; a< publish a x*3000 q1#1
         p> publish a y*3000 q1#2; p< puback 2; a< publish a y*3000 q1#2
         p> publish a z*3000 q1#3; p< puback 3; count queued_messages 1
         p> publish b 1*3000 q1#4; p< puback 4; b< publish b 1*3000 q1#1; b> puback 1
         p> publish b 2*3000 q1#5; p< puback 5; b< publish b 2*3000 q1#2; b> puback 2
         count queued_messages 1; a> puback 1; a< publish a z*3000 q1#3; count queued_messages 0",
    ),
    row(
        "retained messages that a subscription brings are bounded like those of the queue",
        "limits session_memory_bytes_max=5000; p joins v5; p> publish t/1 x*3000 q1#1 retain
         p< puback 1 10; p> publish t/2 y*3000 q1#2 retain; p< puback 2 10
         p> publish t/3 z*3000 q1#3 retain; p< puback 3 10; p> publish t/4 1 q1#4 retain
         p< puback 4 10; a joins v5; a> subscribe 1 t/# 1; a< suback 1 01
         a< publish t/1 x*3000 q1#1 retain; a< publish t/2 y*3000 q1#2 retain; a> puback 1
         a< publish t/3 z*3000 q1#3 retain; a> puback 2; a< publish t/4 1 q1#4 retain",
    ),
    row(
        "a large payload counts once for all who refer to it",
        "shards 1; limits output_total_bytes_max=6020; a joins v5; a> subscribe 1 t 0
         a< suback 1 00; b joins v5; b> subscribe 1 t 0; b< suback 1 00; p joins v5; a stalls
         b stalls; p> publish t x*3000; p> publish t y*3000; p> publish t z; p> publish t w
         count dropped_qos0_total 4; a reads; a gets 2 publish; b reads; b gets 2 publish",
    ),
    row(
        "it slows nobody down",
        "limits output_bytes_max=100; a joins v5; a> subscribe 1 t 0; a< suback 1 00; b joins v5
         b> subscribe 1 t 0; b< suback 1 00; a stalls; b> publish t x*90; b< publish t x*90
         b> publish t y*90; b< publish t y*90; b> publish t z*90; b< publish t z*90; a reads
         a gets 2 publish",
    ),
    row(
        "a message larger than the bound is taken while the buffer is under it",
        "limits output_bytes_max=100; a joins v5; a> subscribe 1 t 0; a< suback 1 00; a stalls
         a> publish t x*5000 + publish t y; a reads; a< publish t x*5000; count dropped_qos0 1",
    ),
    row(
        "large payloads by reference, and small ones behind them, in order",
        "a joins v5; a> subscribe 1 t 0; a< suback 1 00; a stalls
         a> publish t x*3000 + publish t 1 + publish t y*3000 + publish t z*3000 + publish t 2
         a reads; a< publish t x*3000; a< publish t 1; a< publish t y*3000; a< publish t z*3000
         a< publish t 2",
    ),
    row(
        "each receiver's own Packet Identifier, where the Remaining Length has four bytes",
        "a joins v5; a> subscribe 1 t 1 u 1; a< suback 1 01 01; b joins v4; b> subscribe 1 t 1
         b< suback 1 01; c joins v5; c> subscribe 1 t 1; c< suback 1 01; p joins v5
         p> publish u 1 q1#1; p< puback 1; a< publish u 1 q1#1; p> publish t x*2100000 q1#2
         p< puback 2; a< publish t x*2100000 q1#2; b< publish t x*2100000 q1#1
         c< publish t x*2100000 q1#1",
    ),
    row(
        "a stalled client's redelivery waits too",
        "limits output_bytes_max=100; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         p joins v5; p> publish t x*60 q1#1 + publish t y*60 q1#2 + publish t z*60 q1#3
         p gets 3 puback; a gets 3 publish; a cut; a resumes v5 expiry=9
         a< publish t x*60 q1#1 dup; a< publish t y*60 q1#2 dup; a< publish t z*60 q1#3 dup",
    ),
    row(
        "subscriptions_per_session_max: 0x97, and replacing one still goes",
        "limits subscriptions_per_session_max=2; a joins v5; a> subscribe 1 a 0 b 0 c 0 a 1
         a< suback 1 00 00 97 01; count refused_subscriptions 1; a> unsubscribe 2 b
         a< unsuback 2 00; a> subscribe 3 c 0; a< suback 3 00",
    ),
    row(
        "subscriptions_max, of all sessions",
        "limits subscriptions_max=1; shards 1; a joins v5; b joins v4 clean; a> subscribe 1 a 0
         a< suback 1 00; b> subscribe 1 a 0; b< suback 1 80",
    ),
    row(
        "filter_levels_max",
        "limits filter_levels_max=3; a joins v5
         a> subscribe 1 a/b/c 0 a/b/c/d 0 $share/g/a/b/c 0; a< suback 1 00 8f 00
         count refused_subscriptions 1",
    ),
    row(
        "filters_per_packet_max: 0x97, for SUBSCRIBE and UNSUBSCRIBE",
        "limits filters_per_packet_max=2; a joins v5; a> subscribe 1 a 0 b 0; a< suback 1 00 00
         a> unsubscribe 2 a b; a< unsuback 2 00 00; a> subscribe 3 a 0 b 0 a 0; a< disconnect 97
         a! closed 97; count closed_filters 1; b joins v4 clean; b> unsubscribe 1 a b c
         b! closed 97; count closed_filters 2",
    ),
    row(
        "sessions_max: 0x97, not for those who have one",
        "limits sessions_max=1; shards 1; a joins v5 expiry=9; a cut; b> connect v5
         b< connack 97; b! closed 97; c> connect v4 clean; c< connack 88; c! closed 97
         a resumes v5 expiry=9; count refused_connects 2",
    ),
    row(
        "will_bytes_max",
        "limits will_bytes_max=250; shards 1; a joins v5 will=w:x*50; b> connect v5 will=w:x*50
         b< connack 97; b! closed",
    ),
    row(
        "peer_bytes_max: QoS 0 is dropped and counted, QoS 1 pauses the publisher's link until there is room",
        "limits peer_bytes_max=100; shards 3; a at 0; p at 1; a joins v5; a> subscribe 1 t 1
         a< suback 1 01; p joins v5; hold peers; p> publish t x*200; p> publish t y*200
         count dropped_peer_qos0 1; p> publish t z q1#1; p< puback 1; count paused_links 1
         p> pingreq; release; p< pingresp; a< publish t x*200; a< publish t z q1#1",
    ),
    row(
        "[MQTT-3.1.2-22] the Keep Alive of a paused link rests",
        "limits peer_bytes_max=100; shards 3; a at 0; p at 1; a joins v5; a> subscribe 1 t 1
         a< suback 1 01; p joins v5 ka=10; hold peers; p> publish t x*200 q1#1; p< puback 1
         p> publish t z q1#1; p< puback 1; wait 100s; release; a gets 2 publish; wait 4s
         p> pingreq; p< pingresp",
    ),
    row(
        "a reload counts from then on",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5
         limits queued_messages_max=1; p> publish t 1 q1#1 + publish t 2 q1#2; p gets 2 puback
         a resumes v5 expiry=9; a< publish t 2 q1#1",
    ),
    row(
        "a batch larger than one turn is sent to its end",
        "limits in_flight_max=65535; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         a cut; p joins v5; p> 900 * publish t x q1#1; p gets 900 puback
         p> 900 * publish t x q1#1; p gets 900 puback; a resumes v5 expiry=9; a gets 1800 publish
         a cut; a resumes v5 expiry=9; a gets 1800 publish; count in_flight 1800",
    ),
    row(
        "a lowered limit does not throw out what waits, but what is too much goes with the next message",
        "a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5
         p> publish t 1 q1#1 + publish t 2 q1#2 + publish t 3 q1#3; p gets 3 puback
         limits queued_messages_max=1; count queued_messages 3; p> publish t 4 q1#4; p< puback 4
         a resumes v5 expiry=9; a< publish t 4 q1#1",
    ),
    row(
        "outgoing QoS 2 of a stalled subscriber waits, too, and nothing is lost",
        "limits output_bytes_max=100; a joins v5 expiry=99; a> subscribe 1 t 2; a< suback 1 02
         p joins v5; a stalls; p> publish t 1*90 q2#1 + publish t 2*90 q2#2 + publish t 3*90 q2#3
         p gets 3 pubrec; a reads; a< publish t 1*90 q2#1; a< publish t 2*90 q2#2
         a< publish t 3*90 q2#3",
    ),
];
