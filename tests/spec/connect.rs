//! CONNECT, section 3.1. Sessions and Wills have files of their own; strict input is in
//! `malformed.rs`.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row("[MQTT-3.1.0-1] the first packet has to be a CONNECT", "a> hex c0 00; a! closed 82"),
    row("[MQTT-3.1.0-1] the same for a PUBLISH", "a> body 30 0001 't' 00 'x'; a! closed 82"),
    row("[MQTT-3.1.0-1] and what is no packet at all", "a> hex 47 45 54 20; a! closed 81"),
    row(
        "[MQTT-3.1.0-2] a second CONNECT ends the link",
        "a joins v5; a> connect v5; a< disconnect 82; a! closed 82",
    ),
    row(
        "[MQTT-3.1.0-2] the same in 3.x, without a word",
        "a joins v34 clean; a> connect v34 clean; a! closed 82",
    ),
    row(
        "[MQTT-3.1.0-2] a second CONNECT does not disturb the session of the other Client Identifier",
        "a joins v5; b joins v5; a> connect v5 id=b; a< disconnect 82; a! closed; b> pingreq
         b< pingresp",
    ),
    row(
        "[MQTT-3.1.2-1] a protocol name that is not MQTT",
        "a> body 10 0004 'MQTX' 04 02 0000 0001 'a'; a! closed 84",
    ),
    row(
        "[MQTT-3.1.2-1] MQIsdp with level 4 is no protocol",
        "a> body 10 0006 'MQIsdp' 04 02 0000 0001 'a'; a< connack 84; a! closed 84",
    ),
    row(
        "[MQTT-3.1.2-2] a version after 5 is told that it is not supported",
        "a> body 10 0004 'MQTT' 06 02 0000 00 0001 'a'; a< connack 84; a! closed 84",
    ),
    row(
        "[MQTT-3.1.2-2] [3.1.1 MQTT-3.1.2-2] a version before 4 by the name of MQTT gets return code 1",
        "a> body 10 0004 'MQTT' 03 02 0000 0001 'a'; a< connack 84; a! closed 84",
    ),
    row(
        "[MQTT-3.1.2-3] [MQTT-3.1.4-1] the reserved flag must be 0",
        "a> body 10 0004 'MQTT' 05 03 0000 00 0001 'a'; a< connack 81; a! closed 81",
    ),
    row(
        "[MQTT-3.1.2-3] in 3.1.1 too",
        "a> body 10 0004 'MQTT' 04 03 0000 0001 'a'; a! closed 81",
    ),
    row(
        "[MQTT-3.1.2-4] [MQTT-3.1.4-4] Clean Start discards the session",
        "a joins v5 expiry=100; a> subscribe 1 t 1; a< suback 1 01; a cut
         a joins v5 clean expiry=100; p joins v5; p> publish t x q1#1; p< puback 1 10",
    ),
    row(
        "[MQTT-3.1.2-5] without Clean Start the session is resumed: subscriptions and queue",
        "a joins v5 expiry=100; a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5
         p> publish t x q1#1; p< puback 1; a resumes v5 expiry=100; a< publish t x q1#1
         a> puback 1",
    ),
    row(
        "[MQTT-3.1.2-6] without a session one is made",
        "a joins v5 expiry=100; a> pingreq; a< pingresp",
    ),
    row("[MQTT-3.1.2-6] [3.1.1 MQTT-3.1.2-4] the same in 3.1.1", "a joins v4; a cut; a resumes v4"),
    row(
        "[MQTT-3.1.2-9] Will Topic and Payload have to be there with the Will Flag",
        "a> body 10 0004 'MQTT' 05 06 0000 00 0001 'a'; a< connack 81; a! closed 81",
    ),
    row(
        "[MQTT-3.1.2-11] Will QoS without a Will",
        "a> body 10 0004 'MQTT' 05 0a 0000 00 0001 'a'; a< connack 81; a! closed",
    ),
    row(
        "[MQTT-3.1.2-12] Will QoS 3",
        "a> body 10 0004 'MQTT' 05 1e 0000 00 0001 'a' 00 0001 'w' 0000; a< connack 81; a! closed",
    ),
    row(
        "[MQTT-3.1.2-13] Will Retain without a Will",
        "a> body 10 0004 'MQTT' 05 22 0000 00 0001 'a'; a< connack 81; a! closed",
    ),
    row(
        "[MQTT-3.1.2-16] a User Name that no flag announces",
        "a> body 10 0004 'MQTT' 05 02 0000 00 0001 'a' 0001 'u'; a< connack 81; a! closed",
    ),
    row(
        "[MQTT-3.1.2-17] a User Name that is announced and missing",
        "a> body 10 0004 'MQTT' 05 82 0000 00 0001 'a'; a< connack 81; a! closed",
    ),
    row(
        "[MQTT-3.1.2-18] a Password that no flag announces",
        "a> body 10 0004 'MQTT' 05 82 0000 00 0001 'a' 0001 'u' 0001 'p'; a< connack 81
         a! closed",
    ),
    row(
        "[MQTT-3.1.2-19] a Password that is announced and missing",
        "a> body 10 0004 'MQTT' 05 c2 0000 00 0001 'a' 0001 'u'; a< connack 81; a! closed",
    ),
    row(
        "[MQTT-3.1.2-17] [MQTT-3.1.2-19] [MQTT-3.1.3-12] both are taken",
        "a joins v* clean name=ü pass=p",
    ),
    row("[MQTT-3.1.2-19] 5.0 allows a Password without a User Name", "a joins v5 pass=p"),
    row(
        "[3.1.1 MQTT-3.1.2-22] 3.1.1 does not",
        "a> body 10 0004 'MQTT' 04 42 0000 0001 'a' 0001 'p'; a! closed 81",
    ),
    row(
        "[MQTT-3.1.2-22] silence for one and a half times the Keep Alive ends the link",
        "a joins v5 ka=10; wait 14999ms; wait 1ms; a< disconnect 8d; a! closed 8d",
    ),
    row(
        "[MQTT-3.1.2-22] in 3.x too",
        "a joins v34 clean ka=10; wait 14999ms; wait 1ms; a! closed 8d",
    ),
    row(
        "[MQTT-3.1.2-22] every packet counts, and is as good as a PINGREQ",
        "a joins v5 ka=10; wait 14s; a> pingreq; a< pingresp; wait 14s; a> publish t x; wait 14s
         a> puback 9; wait 14999ms; wait 1ms; a< disconnect 8d; a! closed",
    ),
    row(
        "[MQTT-3.1.2-22] what the broker sends does not count",
        "a joins v5 ka=10; a> subscribe 1 t 0; a< suback 1 00; p joins v5; wait 9s
         p> publish t x; a< publish t x; wait 5999ms; wait 1ms; a< disconnect 8d; a! closed",
    ),
    row(
        "[MQTT-3.1.2-22] Keep Alive 0 is none",
        "a joins v* clean; wait 20000s; a> pingreq; a< pingresp",
    ),
    row(
        "[MQTT-3.1.2-22] the Will goes out as if the network had failed",
        "w joins v5; w> subscribe 1 # 0; w< suback 1 00; a joins v5 ka=2 will=gone:a; wait 3s
         a< disconnect 8d; a! closed; w< publish gone a",
    ),
    row(
        "[MQTT-3.1.3-1] the fields in their order, all of them",
        "w joins v5; w> subscribe 1 # 0; w< suback 1 00
         a> body 10 0004 'MQTT' 05 ce 0000 00 0001 'a' 03 26 0000 0000 0001 'w' 0001 'm' 0001 'u' 0001 'p'
         a< connack 81; a! closed",
    ),
    row(
        "[MQTT-3.1.3-1] likewise, well-formed",
        "w joins v5; w> subscribe 1 # 0; w< suback 1 00
         a> body 10 0004 'MQTT' 05 c6 0000 00 0001 'a' 02 01 01 0001 'w' 0001 'm' 0001 'u' 0001 'p'
         a< connack; a cut; w< publish w m fmt=1",
    ),
    row(
        "[MQTT-3.1.3-2] the Client Identifier is the session: two clients do not share state",
        "a joins v5 expiry=9; b joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01
         b> publish t x q1#1; a< publish t x q1#1; b< puback 1; a> puback 1",
    ),
    row(
        "[MQTT-3.1.3-2] case and look-alikes are other identifiers",
        "a joins v5 expiry=9 id=x; b joins v5 expiry=9 id=X; c joins v5 expiry=9 id=х",
    ),
    row(
        "[MQTT-3.1.3-3] the Client Identifier has to be there",
        "a> body 10 0004 'MQTT' 05 02 0000 00; a< connack 81; a! closed",
    ),
    row(
        "[MQTT-3.1.3-4] it has to be UTF-8",
        "a> body 10 0004 'MQTT' 05 02 0000 00 0001 ff; a< connack 81; a! closed",
    ),
    row(
        "[MQTT-3.1.3-5] 1 byte and 23 bytes are allowed",
        "a joins v* clean id=0; b joins v* clean id=abcdefghijklmnopqrstuvw",
    ),
    row(
        "[MQTT-3.1.3-5] and other characters and lengths",
        "a joins v* clean id=x*500; b joins v* clean id=ü/+#",
    ),
    row(
        "[MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16] an empty one is replaced, and the client is told",
        "a> connect v5 id=''; a< connack assigned=assigned-1; b> connect v5 id=''
         b< connack assigned=assigned-2; a> pingreq; a< pingresp",
    ),
    row(
        "[MQTT-3.1.3-7] the session is that of the assigned identifier",
        "a> connect v5 id='' expiry=100; a< connack assigned=assigned-1; a cut
         b resumes v5 id=assigned-1 expiry=100",
    ),
    row(
        "[3.1.1 MQTT-3.1.3-6] 3.1.1 with Clean Session gets one",
        "a> connect v4 clean id=''; a< connack",
    ),
    row(
        "[MQTT-3.1.3-8] [3.1.1 MQTT-3.1.3-8] [3.1.1 MQTT-3.1.3-9] without Clean Session it is refused",
        "a> connect v4 id=''; a< connack 85; a! closed 85",
    ),
    row(
        "[MQTT-3.1.3-8] 3.1 has no empty one at all",
        "a> connect v3 id=''; a< connack 85; a! closed; b> connect v3 clean id=''; b< connack 85
         b! closed",
    ),
    row(
        "[MQTT-3.1.3-11] the Will Topic has to be UTF-8",
        "a> body 10 0004 'MQTT' 05 06 0000 00 0001 'a' 00 0001 c3 0000; a< connack 81; a! closed",
    ),
    row(
        "[MQTT-3.1.3-12] the User Name has to be UTF-8",
        "a> body 10 0004 'MQTT' 05 82 0000 00 0001 'a' 0001 c3; a< connack 81; a! closed",
    ),
    row(
        "[MQTT-3.1.4-1] a CONNECT that goes on after its last field",
        "a> body 10 0004 'MQTT' 05 02 0000 00 0001 'a' 00; a< connack 81; a! closed",
    ),
    row(
        "[MQTT-3.1.4-1] one that ends too early",
        "a> body 10 0004 'MQTT' 05 02 00; a< connack 81; a! closed",
    ),
    row(
        "[MQTT-3.1.4-1] a property that is not CONNECT's",
        "a> body 10 0004 'MQTT' 05 02 0000 02 01 01 0001 'a'; a< connack 81; a! closed",
    ),
    row(
        "[MQTT-3.1.4-1] Session Expiry Interval twice",
        "a> body 10 0004 'MQTT' 05 02 0000 0a 11 00000001 11 00000001 0001 'a'; a< connack 82
         a! closed",
    ),
    row(
        "[MQTT-3.1.4-1] Receive Maximum 0",
        "a> body 10 0004 'MQTT' 05 02 0000 03 21 0000 0001 'a'; a< connack 82; a! closed",
    ),
    row(
        "[MQTT-3.1.4-1] Maximum Packet Size 0",
        "a> body 10 0004 'MQTT' 05 02 0000 05 27 00000000 0001 'a'; a< connack 82; a! closed",
    ),
    row(
        "[MQTT-3.1.4-1] Request Problem Information 2",
        "a> body 10 0004 'MQTT' 05 02 0000 02 17 02 0001 'a'; a< connack 82; a! closed",
    ),
    row(
        "[MQTT-3.1.4-2] a CONNECT that a limit forbids is refused and closed",
        "limits sessions_max=1; shards 1; a joins v5; b> connect v5; b< connack 97; b! closed 97
         a> pingreq; a< pingresp; count refused_connects 1",
    ),
    row(
        "[MQTT-3.1.4-3] takeover: the old connection is told 0x8E and closed",
        "a joins v5 expiry=9; b resumes v5 id=a expiry=9; a< disconnect 8e; a! closed 8e
         b> pingreq; b< pingresp",
    ),
    row(
        "[MQTT-3.1.4-3] in 3.x it is closed",
        "a joins v34; b> connect v34 id=a; a! closed 8e; b gets 1 connack; b> pingreq
         b< pingresp",
    ),
    row(
        "[MQTT-3.1.4-3] with Clean Start the session starts anew",
        "a joins v5 expiry=9; a> subscribe 1 t 0; a< suback 1 00; b joins v5 id=a clean
         a< disconnect 8e; a! closed; b> publish t x",
    ),
    row(
        "[MQTT-3.1.4-3] from one version to another",
        "a joins v4; b resumes v5 id=a expiry=9; a! closed 8e; c resumes v4 id=a
         b< disconnect 8e; b! closed",
    ),
    row(
        "[MQTT-3.1.4-3] the late news that the old socket is gone does not hurt the new link",
        "a joins v5 expiry=9 will=w:a; b resumes v5 id=a expiry=9; a< disconnect 8e; a! closed
         a joins v5 id=c; a cut; b> pingreq; b< pingresp",
    ),
    row("[MQTT-3.1.4-5] success is 0x00", "a> connect v5; a< connack"),
    row(
        "[MQTT-3.1.4-6] nothing behind a refused CONNECT is handled",
        "w joins v5; w> subscribe 1 # 0; w< suback 1 00
         a> connect v5 method=x + publish t x + subscribe 1 t 0; a< connack 8c; a! closed 8c",
    ),
    row(
        "[MQTT-3.1.4-5] packets may come with the CONNECT in one piece",
        "w joins v* clean; w> subscribe 1 # 0; w gets 1 suback
         a> connect v* clean + publish t x + pingreq; a< connack; a< pingresp; w< publish t x",
    ),
];
