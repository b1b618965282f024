//! Retained messages, sections 3.3.1.3 and 3.8.3.1.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "[MQTT-3.8.4-3] asked for anew, retained messages begin anew, and those of before end",
        "p joins v5; p> publish t/1 x q1#1 retain; p gets 1 puback; p> publish t/2 y q1#2 retain
         p gets 1 puback; a joins v5 rmax=1; a> subscribe 1 t/# 1; a< suback 1 01
         a< publish t/1 x q1#1 retain; a> subscribe 2 t/# 1; a< suback 2 01; a> puback 1
         a< publish t/1 x q1#2 retain; a> puback 2; a< publish t/2 y q1#3 retain; a> puback 3",
    ),
    row(
        "[MQTT-3.3.1-5] RETAIN 1 stores the message, in place of the one before",
        "p joins v* clean; p> publish t 1 retain; p> publish t 2 retain; a joins v* clean
         a> subscribe 1 t 0; a gets 1 suback; a< publish t 2 retain",
    ),
    row(
        "[MQTT-3.3.1-5] with its properties and its QoS",
        "p joins v5; p> publish t 1 q1#1 retain ct=c user=b:1 user=a:2; p< puback 1 10
         a joins v5; a> subscribe 1 t 2; a< suback 1 02
         a< publish t 1 q1#1 retain ct=c user=b:1 user=a:2",
    ),
    row(
        "[MQTT-3.3.1-5] QoS 2, too; and it outlives its publisher's session",
        "p joins v5; p> publish t 1 q2#1 retain; p< pubrec 1 10; p cut; a joins v* clean
         a> subscribe 1 t 2; a gets 1 suback; a< publish t 1 q2#1 retain",
    ),
    row(
        "[MQTT-3.3.1-6] [MQTT-3.3.1-7] without payload it is removed, and the empty message goes out as any other",
        "p joins v5; a joins v5; a> subscribe 1 t 0; a< suback 1 00; p> publish t 1 retain
         a< publish t 1; p> publish t '' retain; a< publish t ''; b joins v5; b> subscribe 1 t 0
         b< suback 1 00",
    ),
    row(
        "[MQTT-3.3.1-6] where there is none, nothing happens",
        "p joins v5; p> publish t '' q1#1 retain; p< puback 1 10; b joins v5; b> subscribe 1 t 0
         b< suback 1 00",
    ),
    row(
        "[MQTT-3.3.1-6] an empty one without RETAIN removes nothing",
        "p joins v5; p> publish t 1 retain; p> publish t ''; b joins v5; b> subscribe 1 t 0
         b< suback 1 00; b< publish t 1 retain",
    ),
    row(
        "[MQTT-3.3.1-8] RETAIN 0 neither stores nor replaces",
        "p joins v5; p> publish t 1 retain; p> publish t 2; p> publish u 3; b joins v5
         b> subscribe 1 # 0; b< suback 1 00; b< publish t 1 retain",
    ),
    row(
        "[MQTT-3.3.1-9] Retain Handling 0: at every SUBSCRIBE",
        "p joins v5; p> publish t 1 retain; a joins v* clean; a> subscribe 1 t 0; a gets 1 suback
         a< publish t 1 retain; a> subscribe 2 t 0; a gets 1 suback; a< publish t 1 retain",
    ),
    row(
        "[MQTT-3.3.1-10] Retain Handling 1: if the subscription is new",
        "p joins v5; p> publish t 1 retain; a joins v5; a> subscribe 1 t 0,rh1; a< suback 1 00
         a< publish t 1 retain; a> subscribe 2 t 1,rh1; a< suback 2 01",
    ),
    row(
        "[MQTT-3.3.1-10] a resumed session has its subscriptions",
        "p joins v5; p> publish t 1 retain; a joins v5 expiry=9; a> subscribe 1 t 0,rh2
         a< suback 1 00; a cut; a resumes v5 expiry=9; a> subscribe 2 t 0,rh1; a< suback 2 00
         a> subscribe 2 # 0,rh1; a< suback 2 00; a< publish t 1 retain",
    ),
    row(
        "[MQTT-3.3.1-11] Retain Handling 2: never",
        "p joins v5; p> publish t 1 retain; a joins v5; a> subscribe 1 t 0,rh2; a< suback 1 00
         p> publish t 2; a< publish t 2",
    ),
    row(
        "[MQTT-3.3.1-12] Retain As Published 0: RETAIN is 0 to those who are there",
        "a joins v* clean; a> subscribe 1 t 1; a gets 1 suback; p joins v* clean
         p> publish t 1 q1#1 retain; p< puback 1; a< publish t 1 q1#1",
    ),
    row(
        "[MQTT-3.3.1-13] Retain As Published 1: RETAIN as it came",
        "a joins v5; a> subscribe 1 t 1,rap; a< suback 1 01; p joins v5
         p> publish t 1 q1#1 retain; p< puback 1; a< publish t 1 q1#1 retain; p> publish t 2
         a< publish t 2",
    ),
    row(
        "[MQTT-3.3.1-13] in the queue of an offline session, too",
        "a joins v5 expiry=9; a> subscribe 1 t 1,rap; a< suback 1 01; a cut; p joins v5
         p> publish t 1 q1#1 retain; p< puback 1; p> publish t 2 q1#1; p< puback 1
         a resumes v5 expiry=9; a< publish t 1 q1#1 retain; a< publish t 2 q1#2",
    ),
    row(
        "[MQTT-3.3.1-13] one of two subscribers",
        "a joins v5; a> subscribe 1 t 0,rap; a< suback 1 00; b joins v5; b> subscribe 1 t 0
         b< suback 1 00; b> publish t 1 retain; a< publish t 1 retain; b< publish t 1",
    ),
    row(
        "[MQTT-3.3.1-9] the flag is set on what is sent for a subscription, whatever Retain As Published says",
        "p joins v5; p> publish t 1 retain; a joins v5; a> subscribe 1 t 0; a< suback 1 00
         a< publish t 1 retain; a> subscribe 1 t 0,rap; a< suback 1 00; a< publish t 1 retain",
    ),
    row(
        "[MQTT-3.3.1-9] all that match, each once for each filter",
        "p joins v5; p> publish a/b 1 retain + publish a/c 2 retain + publish b 3 retain
         a joins v5; a> subscribe 1 a/+ 0; a< suback 1 00
         a<* publish a/b 1 retain | publish a/c 2 retain; a> subscribe 2 a/b 0 b 0
         a< suback 2 00 00; a<* publish a/b 1 retain | publish b 3 retain",
    ),
    row(
        "[MQTT-3.3.1-9] none for a Shared Subscription",
        "p joins v5; p> publish t 1 retain; a joins v5; a> subscribe 1 $share/g/t 0
         a< suback 1 00",
    ),
    row(
        "[MQTT-3.3.1-9] $-topics are kept out of wildcards here, too",
        "broker> publish $SYS/x 1 retain; a joins v5; a> subscribe 1 # 0 +/x 0; a< suback 1 00 00
         a> subscribe 2 $SYS/# 0; a< suback 2 00; a< publish $SYS/x 1 retain",
    ),
    row(
        "[MQTT-3.8.4-8] QoS is the lower of the two",
        "p joins v5; p> publish t 1 q2#1 retain; p< pubrec 1 10; a joins v5; a> subscribe 1 t 1
         a< suback 1 01; a< publish t 1 q1#1 retain; a> subscribe 1 t 0; a< suback 1 00
         a< publish t 1 retain",
    ),
    row(
        "[MQTT-3.3.2-5] [MQTT-3.3.2-6] a retained message expires, and until then says how long it has",
        "p joins v5; p> publish t 1 retain expiry=10; wait 4s; a joins v5; a> subscribe 1 t 0
         a< suback 1 00; a< publish t 1 retain expiry=6; wait 6s; a> subscribe 1 t 0
         a< suback 1 00",
    ),
    row(
        "[MQTT-3.3.4-9] QoS 1 retained messages within Receive Maximum, and none is dropped",
        "p joins v5
         p> publish t/1 1 q1#1 retain + publish t/2 2 q1#2 retain + publish t/3 3 q1#3 retain
         p gets 3 puback; a joins v5 rmax=1; a> subscribe 1 t/# 1; a< suback 1 01
         a< publish t/1 1 q1#1 retain; a> puback 1; a< publish t/2 2 q1#2 retain; a> puback 2
         a< publish t/3 3 q1#3 retain",
    ),
    row(
        "[MQTT-3.3.4-9] QoS 2 likewise",
        "p joins v5; p> publish t/1 1 q2#1 retain + publish t/2 2 q2#2 retain; p gets 2 pubrec
         a joins v5 rmax=1; a> subscribe 1 t/# 2; a< suback 1 02; a< publish t/1 1 q2#1 retain
         a> pubrec 1; a< pubrel 1; a> pubcomp 1; a< publish t/2 2 q2#2 retain",
    ),
    row(
        "[MQTT-3.3.4-9] a refusal goes on, too",
        "p joins v5; p> publish t/1 1 q2#1 retain + publish t/2 2 q2#2 retain; p gets 2 pubrec
         a joins v5 rmax=1; a> subscribe 1 t/# 2; a< suback 1 02; a< publish t/1 1 q2#1 retain
         a> pubrec 1 80; a< publish t/2 2 q2#2 retain",
    ),
    row(
        "[MQTT-3.3.1-9] the rest comes after a reconnect",
        "p joins v5; p> publish t/1 1 q1#1 retain + publish t/2 2 q1#2 retain; p gets 2 puback
         a joins v5 rmax=1 expiry=9; a> subscribe 1 t/# 1; a< suback 1 01
         a< publish t/1 1 q1#1 retain; a cut; a resumes v5 rmax=1 expiry=9
         a< publish t/1 1 q1#1 retain dup; a> puback 1; a< publish t/2 2 q1#2 retain",
    ),
    row(
        "[MQTT-3.3.1-9] a slow reader gets all of them",
        "limits output_bytes_max=40; p joins v5
         p> publish t/1 x*30 retain + publish t/2 x*30 retain + publish t/3 x*30 retain + publish t/4 x*30 retain
         a joins v5; a stalls; a> subscribe 1 t/# 0; a reads; a< suback 1 00; a gets 4 publish
         count dropped_qos0 0",
    ),
    row(
        "[MQTT-3.10.4-2] UNSUBSCRIBE stops what is still to come",
        "p joins v5; p> publish t/1 1 q1#1 retain + publish t/2 2 q1#2 retain; p gets 2 puback
         a joins v5 rmax=1; a> subscribe 1 t/# 1; a< suback 1 01; a< publish t/1 1 q1#1 retain
         a> unsubscribe 2 t/#; a< unsuback 2 00; a> puback 1",
    ),
    row(
        "[MQTT-3.3.1-5] limits: with QoS 1 the publisher is told, and it is not forwarded",
        "limits retained_max=1; p joins v5; p> publish t 1 q1#1 retain; p< puback 1 10
         p> publish u 2 q1#2 retain; p< puback 2 97; p> publish u 2 q2#2 retain; p< pubrec 2 97
         p> publish t 3 q1#3 retain; p< puback 3 10; count refused_retained 2; a joins v5
         a> subscribe 1 # 0; a< suback 1 00; a< publish t 3 retain",
    ),
    row(
        "[MQTT-3.3.1-5] with QoS 0 it is forwarded, not kept, and counted",
        "limits retained_max=1; a joins v5; a> subscribe 1 # 0; a< suback 1 00
         a> publish t 1 retain; a< publish t 1; a> publish u 2 retain; a< publish u 2
         count refused_retained 1; a> subscribe 2 u 0; a< suback 2 00",
    ),
    row(
        "[MQTT-3.3.1-8] the Topic Name of a retained message is not normalized",
        "p joins v5; p> publish t/ 1 retain + publish /t 2 retain + publish T 3 retain
         a joins v5; a> subscribe 1 t 0; a< suback 1 00; a> subscribe 2 t/ 0; a< suback 2 00
         a< publish t/ 1 retain",
    ),

    row(
        "[MQTT-3.3.1-5] replaced while a slow reader is between two of them: the newer one is sent, none twice",
        "p joins v5; p> publish t/1 1 q1#1 retain + publish t/2 2 q1#2 retain; p gets 2 puback
         a joins v5 rmax=1; a> subscribe 1 t/# 1,rap; a< suback 1 01
         a< publish t/1 1 q1#1 retain; p> publish t/2 3 retain; a< publish t/2 3 retain
         a> puback 1; a< publish t/2 3 retain",
    ),
    row(
        "[MQTT-3.3.1-6] cleared meanwhile: it is not sent",
        "p joins v5; p> publish t/1 1 q1#1 retain + publish t/2 2 q1#2 retain; p gets 2 puback
         a joins v5 rmax=1; a> subscribe 1 t/# 1; a< suback 1 01; a< publish t/1 1 q1#1 retain
         p> publish t/2 '' retain; a< publish t/2 ''; a> puback 1",
    ),
];
