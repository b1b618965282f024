//! CONNACK, section 3.2: what it says, and that what it says is kept.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "[MQTT-3.2.0-1] CONNACK comes first, though a queue waits",
        "a joins v5 expiry=100; a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5
         p> publish t x q1#1; p< puback 1; a> connect v5 expiry=100; a< connack sp
         a< publish t x q1#1",
    ),
    row(
        "[MQTT-3.2.0-2] there is one CONNACK",
        "a> connect v5 + connect v5; a< connack; a< disconnect 82; a! closed",
    ),
    row(
        "[MQTT-3.2.2-1] the reserved flags are 0 (the decoder of these tests insists)",
        "a> connect v* clean; a< connack",
    ),
    row(
        "[MQTT-3.2.2-2] Clean Start 1: Session Present 0, whatever there was",
        "a joins v5 expiry=100; a cut; a> connect v5 clean expiry=100; a< connack",
    ),
    row(
        "[MQTT-3.2.2-3] Clean Start 0: Session Present says whether there was a session",
        "a> connect v5 expiry=100; a< connack; a cut; a> connect v5 expiry=100; a< connack sp
         a cut; wait 100s; a> connect v5 expiry=100; a< connack",
    ),
    row(
        "[MQTT-3.2.2-3] the same in 3.1.1",
        "a> connect v4; a< connack; a cut; a> connect v4; a< connack sp",
    ),
    row(
        "[MQTT-3.2.2-3] 3.1 has no Session Present, but the session",
        "a> connect v3; a< connack; a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5
         p> publish t x q1#1; p< puback 1; a> connect v3; a< connack; a< publish t x q1#1",
    ),
    row(
        "[MQTT-3.2.2-6] [MQTT-3.2.2-7] [MQTT-3.2.2-8] a refusal has Session Present 0, and closes",
        "a joins v5 expiry=100; a cut; a> connect v5 expiry=100 method=x; a< connack 8c
         a! closed 8c; a resumes v5 expiry=100",
    ),
    row(
        "[MQTT-3.2.2-8] 3.1.1's refusals are return codes",
        "a> connect v4 id=''; a< connack 85; a! closed",
    ),
    row(
        "[MQTT-3.2.2-9] [MQTT-3.2.2-11] what is not said is available: all QoS, retain, wildcards, identifiers, shared",
        "a> connect v5
         a< connack rmax=1024 maxp=17825792 aliases=64 !maxqos= !retainable= !wildcards= !subids= !shared= !ka= !expiry= !assigned= !respinfo=
         a> subscribe 1 t/# 2 $share/g/u 2 sub=5; a< suback 1 02 02; a> publish t x q2#1 retain
         a<* publish t x q2#1 sub=5 | pubrec 1",
    ),
    row(
        "[MQTT-3.2.2-10] every Requested QoS is accepted",
        "a joins v* clean; a> subscribe 1 x 0 y 1 z 2; a< suback 1 00 01 02",
    ),
    row(
        "[MQTT-3.2.2-12] every Will QoS is within the capabilities",
        "a joins v* clean will=w:x wqos=2",
    ),
    row(
        "[MQTT-3.2.2-13] a Will with RETAIN where there are no retained messages",
        "limits retain_available=0; a> connect v5 will=w:x wretain; a< connack 9a; a! closed 9a",
    ),
    row(
        "[MQTT-3.2.2-13] in 3.1.1, too",
        "limits retain_available=0; a> connect v4 clean will=w:x wretain; a< connack 87
         a! closed 9a",
    ),
    row(
        "[MQTT-3.2.2-14] Retain Available 0 is said, and RETAIN then refused",
        "limits retain_available=0; a> connect v5; a< connack retainable=0
         a> publish t x q1#1 retain; a< disconnect 9a; a! closed 9a",
    ),
    row(
        "[MQTT-3.2.2-15] Maximum Packet Size is said, and a larger packet ends the link",
        "limits packet_bytes_max=100; a> connect v5; a< connack maxp=100; a> publish t x*94
         a> publish t x*95; a< disconnect 95; a! closed 95",
    ),
    row(
        "[MQTT-3.2.2-15] refused from its header: the body need not come",
        "a joins v5; a> hex 30 ff ff ff 7f; a< disconnect 95; a! closed 95",
    ),
    row(
        "[MQTT-3.2.2-17] an alias above Topic Alias Maximum",
        "limits topic_alias_max=2; a> connect v5; a< connack aliases=2; a> publish t x alias=2
         a> publish t x alias=3; a< disconnect 94; a! closed 94",
    ),
    row(
        "[MQTT-3.2.2-18] no Topic Alias Maximum, no aliases",
        "limits topic_alias_max=0; a> connect v5; a< connack !aliases=; a> publish t x alias=1
         a< disconnect 94; a! closed 94",
    ),
    row(
        "[MQTT-3.2.2-19] [MQTT-3.2.2-20] a refusal leaves its Reason String out where it does not fit",
        "a> connect v5 method=x maxp=5; a< connack 8c !reason=; a! closed; b> connect v5 method=x
         b< connack 8c reason=*; b! closed",
    ),
    row(
        "[MQTT-3.1.2-24] a CONNACK that does not fit is not sent: no connection",
        "a> connect v5 maxp=15; a< connack 95 !reason=; a! closed 95; a> connect v5 maxp=4
         a! closed 95; a> connect v5 maxp=16; a< connack",
    ),
    row(
        "[MQTT-3.1.2-24] and nothing of the old session is touched",
        "a joins v5 expiry=9 will=w:x; b> connect v5 id=a clean maxp=15; b< connack 95; b! closed
         a> pingreq; a< pingresp",
    ),
    row(
        "[MQTT-3.2.2-21] Server Keep Alive is in force in place of the client's",
        "limits keep_alive_max_s=10; a> connect v5 ka=100; a< connack ka=10; wait 14999ms
         wait 1ms; a< disconnect 8d; a! closed; a> connect v5; a< connack ka=10; wait 15s
         a< disconnect 8d; a! closed",
    ),
    row(
        "[MQTT-3.2.2-22] without it the client's stands",
        "limits keep_alive_max_s=10; a> connect v5 ka=4; a< connack !ka=; wait 5999ms; wait 1ms
         a< disconnect 8d; a! closed",
    ),
    row(
        "[MQTT-3.2.2-22] 3.x cannot be told of a ceiling: the client's stands",
        "limits keep_alive_max_s=10; a joins v34 clean ka=20; wait 29999ms; wait 1ms
         a! closed 8d",
    ),
    row(
        "[MQTT-3.1.2-28] Response Information only for those who ask",
        "limits response_information=reply/; a> connect v5 wantresp=1; a< connack respinfo=reply/
         b> connect v5; b< connack !respinfo=",
    ),
    row(
        "[MQTT-3.1.2-28] and only if there is some",
        "a> connect v5 wantresp=1; a< connack !respinfo=",
    ),
    row(
        "[MQTT-3.2.2-3] the Session Expiry Interval that was cut is said",
        "limits session_expiry_max_s=60; a> connect v5 expiry=100; a< connack expiry=60
         b> connect v5 expiry=60; b< connack !expiry=; c> connect v5 expiry=4294967295
         c< connack expiry=60",
    ),
];
