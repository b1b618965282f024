//! The Will, sections 3.1.2.5 to 3.1.2.7 and 3.1.3.2 to 3.1.3.4.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "[MQTT-3.1.2-7] [MQTT-3.1.2-8] the Will is kept, and published when the connection is lost",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02; a joins v* clean will=gone:a
         count wills 1; wait 100s; a cut; w< publish gone a; count wills 0; count will_bytes 0",
    ),
    row(
        "[MQTT-3.1.2-8] a session that lives on does not delay it",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02; a joins v5 expiry=100 will=gone:a; a cut
         w< publish gone a; wait 200s",
    ),
    row(
        "[MQTT-3.1.2-8] [MQTT-3.1.2-10] the Will Delay passes first; it is published once",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02
         a joins v5 expiry=100 will=gone:a wdelay=10; a cut; wait 9999ms; wait 1ms
         w< publish gone a; a resumes v5 expiry=100; a cut; wait 300s",
    ),
    row(
        "[MQTT-3.1.2-8] the session ends first",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02
         a joins v5 expiry=5 will=gone:a wdelay=10; a cut; wait 4999ms; wait 1ms
         w< publish gone a; wait 100s",
    ),
    row(
        "[MQTT-3.1.2-8] a session that ends with its connection: no delay",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02; a joins v5 will=gone:a wdelay=10; a cut
         w< publish gone a",
    ),
    row(
        "[MQTT-3.1.2-10] [MQTT-3.14.4-3] DISCONNECT 0x00 discards it",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02; a joins v* clean will=gone:a
         a> disconnect; a! closed 00; count wills 0; wait 100s",
    ),
    row(
        "[MQTT-3.14.4-3] also one with a delay, in a session that lives on",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02
         a joins v5 expiry=50 will=gone:a wdelay=10; a> disconnect; a! closed; wait 100s",
    ),
    row(
        "[MQTT-3.1.2-8] DISCONNECT 0x04 does not discard it",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02; a joins v5 will=gone:a; a> disconnect 04
         a! closed 04; w< publish gone a",
    ),
    row(
        "[MQTT-3.1.2-8] 0x04 keeps the delay",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02
         a joins v5 expiry=50 will=gone:a wdelay=10; a> disconnect 04; a! closed 04; wait 9999ms
         wait 1ms; w< publish gone a",
    ),
    row(
        "[MQTT-3.1.2-8] nor does any other reason",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02; a joins v5 will=gone:a; a> disconnect 80
         a! closed 80; w< publish gone a",
    ),
    row(
        "[MQTT-3.1.2-8] 0x04 with a changed Session Expiry: the session's end comes first",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02
         a joins v5 expiry=50 will=gone:a wdelay=10; a> disconnect 04 expiry=3; a! closed
         wait 2999ms; wait 1ms; w< publish gone a",
    ),
    row(
        "[MQTT-3.1.2-8] 0x04 with Session Expiry 0: at once",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02
         a joins v5 expiry=50 will=gone:a wdelay=10; a> disconnect 04 expiry=0; a! closed
         w< publish gone a; log",
    ),
    row(
        "[MQTT-3.1.2-8] a Protocol Error of the client",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02; a joins v5 will=gone:a; a> hex 00 00
         a< disconnect 81; a! closed; w< publish gone a",
    ),
    row(
        "[MQTT-3.1.2-8] a DISCONNECT that is itself an error does not discard it",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02; a joins v5 will=gone:a
         a> body e0 00 05 11 00000009; a< disconnect 82; a! closed; w< publish gone a
         b joins v5 will=gone:b; b> hex e2 00; b< disconnect 81; b! closed; w< publish gone b",
    ),
    row(
        "[MQTT-3.1.3-9] a new connection to the session within the delay cancels it",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02
         a joins v5 expiry=100 will=gone:a wdelay=10; a cut; wait 9s; a resumes v5 expiry=100
         wait 100s; a cut; wait 100s",
    ),
    row(
        "[MQTT-3.1.3-9] the new connection's own Will takes its place",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02
         a joins v5 expiry=100 will=gone:1 wdelay=10; a cut
         a resumes v5 expiry=100 will=gone:2 wdelay=5; a cut; wait 5s; w< publish gone 2
         wait 90s",
    ),
    row(
        "[MQTT-3.1.3-9] Clean Start is not the same session: it ends, and the Will goes out",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02
         a joins v5 expiry=100 will=gone:a wdelay=10; a cut; wait 1s; a joins v5 clean expiry=100
         w< publish gone a; wait 200s",
    ),
    row(
        "[MQTT-3.1.3-9] takeover without a delay: the Will goes out",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02; a joins v5 expiry=100 will=gone:a
         b resumes v5 id=a expiry=100; a< disconnect 8e; a! closed; w< publish gone a",
    ),
    row(
        "[MQTT-3.1.3-9] takeover within the delay: it does not",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02
         a joins v5 expiry=100 will=gone:a wdelay=1; b resumes v5 id=a expiry=100
         a< disconnect 8e; a! closed; wait 200s",
    ),
    row(
        "[MQTT-3.1.3-9] takeover with Clean Start: it does",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02
         a joins v5 expiry=100 will=gone:a wdelay=10; b joins v5 id=a clean expiry=100
         a< disconnect 8e; a! closed; w< publish gone a; wait 200s",
    ),
    row(
        "[MQTT-3.1.2-8] takeover in 3.1.1",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02; a joins v4 will=gone:a
         b resumes v4 id=a; a! closed 8e; w< publish gone a",
    ),
    row(
        "[MQTT-3.1.2-14] Will Retain 0: not retained",
        "a joins v* clean will=gone:a; a cut; w joins v5; w> subscribe 1 # 2; w< suback 1 02",
    ),
    row(
        "[MQTT-3.1.2-15] Will Retain 1: retained",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02; a joins v* clean will=gone:a wretain
         a cut; w< publish gone a; v joins v5; v> subscribe 1 # 2; v< suback 1 02
         v< publish gone a retain",
    ),
    row(
        "[MQTT-3.1.2-15] an empty one clears",
        "a joins v5 will=gone: wretain; p joins v5; p> publish gone r retain; a cut; v joins v5
         v> subscribe 1 # 2; v< suback 1 02",
    ),
    row(
        "[MQTT-3.1.2-12] Will QoS 0, 1, 2",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02; a joins v* clean will=gone:a wqos=1
         a cut; w< publish gone a q1#1; b joins v* clean will=gone:b wqos=2; b cut
         w< publish gone b q2#2",
    ),
    row(
        "[MQTT-3.1.2-8] [MQTT-3.1.3-10] its properties go with it, the delay stays here",
        "w joins v5; w> subscribe 1 # 0; w< suback 1 00
         a joins v5 expiry=9 will=gone:a wdelay=1 wfmt=1 wct=text wresp=r wcorr=c wuser=b:1 wuser=a:2
         a cut; wait 1s; w< publish gone a fmt=1 ct=text resp=r corr=c user=b:1 user=a:2",
    ),
    row(
        "[MQTT-3.3.2-6] its Message Expiry Interval starts when it is published",
        "w joins v5 expiry=99; w> subscribe 1 # 1; w< suback 1 01; w cut
         a joins v5 expiry=90 will=gone:a wqos=1 wdelay=50 wexpiry=10; wait 100s; a cut; wait 55s
         w joins v5 expiry=99; wait 100s",
    ),
    row(
        "[MQTT-3.3.2-6] and is then counted down",
        "w joins v5 expiry=990; w> subscribe 1 # 1; w< suback 1 01; w cut
         a joins v5 expiry=90 will=gone:a wqos=1 wdelay=50 wexpiry=10; wait 100s; a cut; wait 54s
         w resumes v5 expiry=990; w< publish gone a q1#1 expiry=6",
    ),
    row(
        "[MQTT-3.1.3-11] a Will Topic with a wildcard",
        "a> body 10 0004 'MQTT' 05 06 0000 00 0001 'a' 00 0001 '#' 0000; a< connack 81; a! closed",
    ),
    row(
        "[MQTT-3.1.3-11] an empty Will Topic",
        "a> body 10 0004 'MQTT' 05 06 0000 00 0001 'a' 00 0000 0000; a< connack 81; a! closed",
    ),
    row(
        "[MQTT-3.1.4-2] a Will to $SYS is not allowed",
        "a> connect v5 will=$SYS/x:y; a< connack 87; a! closed; b> connect v4 clean will=$SYS:y
         b< connack 87; b! closed",
    ),
    row(
        "[MQTT-3.1.4-2] a Will that is not what its Payload Format Indicator says",
        "a> body 10 0004 'MQTT' 05 06 0000 00 0001 'a' 02 0101 0001 'w' 0001 ff; a< connack 99
         a! closed",
    ),
    row(
        "[MQTT-3.1.4-2] a Will with a property that is not a Will's",
        "a> body 10 0004 'MQTT' 05 06 0000 00 0001 'a' 03 230001 0001 'w' 0000; a< connack 81
         a! closed",
    ),
    row(
        "[MQTT-3.1.2-8] the Will of a client that the broker times out",
        "w joins v5; w> subscribe 1 # 0; w< suback 1 00; a joins v4 clean ka=1 will=gone:a
         wait 1500ms; a! closed 8d; w< publish gone a",
    ),
    row(
        "[MQTT-3.1.2-8] the Will goes to sessions of offline clients",
        "w joins v5 expiry=99; w> subscribe 1 gone 1; w< suback 1 01; w cut
         a joins v5 will=gone:a wqos=1; a cut; w resumes v5 expiry=99; w< publish gone a q1#1",
    ),
    row(
        "[MQTT-3.1.2-8] and to Shared Subscriptions",
        "w joins v5; w> subscribe 1 $share/g/gone 1; w< suback 1 01
         a joins v5 will=gone:a wqos=1; a cut; w< publish gone a q1#1",
    ),
    row(
        "[MQTT-3.1.2-8] its own subscriptions get it, if the session lives on",
        "a joins v5 expiry=99 will=gone:a wqos=1; a> subscribe 1 gone 1; a< suback 1 01; a cut
         a resumes v5 expiry=99; a< publish gone a q1#1",
    ),
    row(
        "[MQTT-3.1.2-8] limits of Wills refuse the CONNECT",
        "limits wills_max=1; shards 1; a joins v5 will=w:x; b> connect v5 will=w:x; b< connack 97
         b! closed; c joins v5; count refused_connects 1",
    ),
    row(
        "[MQTT-3.1.2-8] shutdown: clients are told",
        "a joins v5 will=w:x; b joins v4 clean; broker shutdown; a< disconnect 8b; a! closed 8b
         b! closed 8b",
    ),

    row(
        "[MQTT-3.1.2-8] at shutdown the Wills of sessions that end with it go to those who keep them",
        "w joins v5 expiry=99; w> subscribe 1 w 1; w< suback 1 01; w cut
         a joins v5 will=w:x wqos=1; broker shutdown; a< disconnect 8b; a! closed
         count wills_published 1",
    ),
    row(
        "[MQTT-3.1.3-9] a session that ends with its connection has no delay at takeover either",
        "w joins v5; w> subscribe 1 # 2; w< suback 1 02; a joins v5 will=gone:a wdelay=10
         b joins v5 id=a; a< disconnect 8e; a! closed; w< publish gone a",
    ),
];
