//! Quality of Service, delivery again, order: sections 4.3 to 4.6.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "[MQTT-4.3.2-1] [MQTT-4.3.2-2] a new QoS 1 message has an unused identifier and DUP 0",
        "s joins v* clean; s> subscribe 1 t 1; s< suback 1 01; p joins v* clean
         p> publish t x q1#9 dup + publish t y q1#10; p gets 2 puback; s< publish t x q1#1
         s< publish t y q1#2",
    ),
    row(
        "[MQTT-4.3.2-3] unacknowledged until PUBACK: sent again to a new connection, not before",
        "s joins v5 expiry=99; s> subscribe 1 t 1; s< suback 1 01; p joins v5
         p> publish t x q1#1; p< puback 1; s< publish t x q1#1; wait 50s; s cut
         s resumes v5 expiry=99; s< publish t x q1#1 dup; s> puback 1; s cut
         s resumes v5 expiry=99",
    ),
    row(
        "[MQTT-4.3.2-4] PUBACK has the identifier of the PUBLISH",
        "p joins v* clean; s joins v5; s> subscribe 1 t 0; s< suback 1 00; p> publish t x q1#77
         p< puback 77; s< publish t x",
    ),
    row(
        "[MQTT-4.3.2-5] after PUBACK the same identifier is a new message, with DUP or without",
        "p joins v* clean; s joins v5; s> subscribe 1 t 0; s< suback 1 00; p> publish t x q1#7
         p< puback 7; s< publish t x; p> publish t x q1#7 dup; p< puback 7; s< publish t x
         p> publish t y q1#7; p< puback 7; s< publish t y",
    ),
    row(
        "[MQTT-4.3.3-1] [MQTT-4.3.3-2] a new QoS 2 message has an unused identifier and DUP 0",
        "s joins v* clean; s> subscribe 1 t 2; s< suback 1 02; p joins v* clean
         p> publish t x q2#9 dup + publish t y q2#10; p gets 2 pubrec; s< publish t x q2#1
         s< publish t y q2#2",
    ),
    row(
        "[MQTT-4.3.3-3] unacknowledged until PUBREC",
        "s joins v5 expiry=99; s> subscribe 1 t 2; s< suback 1 02; p joins v5
         p> publish t x q2#1; p< pubrec 1; s< publish t x q2#1; s cut; s resumes v5 expiry=99
         s< publish t x q2#1 dup; s> pubrec 1; s< pubrel 1; s> pubcomp 1; s cut
         s resumes v5 expiry=99",
    ),
    row(
        "[MQTT-4.3.3-4] PUBREL answers PUBREC",
        "s joins v* clean; s> subscribe 1 t 2; s< suback 1 02; p joins v* clean
         p> publish t x q2#1; p< pubrec 1; s< publish t x q2#1; s> pubrec 1; s< pubrel 1",
    ),
    row(
        "[MQTT-4.3.3-5] [MQTT-4.3.3-6] PUBREL is repeated until PUBCOMP, PUBLISH never",
        "s joins v5 expiry=99; s> subscribe 1 t 2; s< suback 1 02; p joins v5
         p> publish t x q2#1; p< pubrec 1; s< publish t x q2#1; s> pubrec 1; s< pubrel 1; s cut
         s resumes v5 expiry=99; s< pubrel 1; s cut; s resumes v5 expiry=99; s< pubrel 1
         s> pubcomp 1; s cut; s resumes v5 expiry=99",
    ),
    row(
        "[MQTT-4.3.3-5] a second PUBREC gets a second PUBREL",
        "s joins v5; s> subscribe 1 t 2; s< suback 1 02; p joins v5; p> publish t x q2#1
         p< pubrec 1; s< publish t x q2#1; s> pubrec 1; s< pubrel 1; s> pubrec 1; s< pubrel 1
         s> pubcomp 1; count in_flight 0",
    ),
    row(
        "[MQTT-4.3.3-7] expiry does not touch what was sent",
        "s joins v5 expiry=99; s> subscribe 1 t 2; s< suback 1 02; p joins v5
         p> publish t x q2#1 expiry=5; p< pubrec 1; s< publish t x q2#1 expiry=5; s cut; wait 20s
         s resumes v5 expiry=99; s< publish t x q2#1 dup expiry=0; s> pubrec 1; s< pubrel 1
         s> pubcomp 1",
    ),
    row(
        "[MQTT-4.3.3-8] PUBREC has the identifier of the PUBLISH",
        "p joins v* clean; p> publish t x q2#77; p gets 1 pubrec; p> pubrel 77; p< pubcomp 77",
    ),
    row(
        "[MQTT-4.3.3-9] after a PUBREC with an error the identifier is free",
        "p joins v5; s joins v5; s> subscribe 1 t 0; s< suback 1 00; p> publish $SYS/a x q2#1
         p< pubrec 1 87; p> publish t x q2#1; p< pubrec 1; s< publish t x",
    ),
    row(
        "[MQTT-4.3.3-10] until PUBREL a repeated PUBLISH gets PUBREC and is not delivered again",
        "s joins v5; s> subscribe 1 t 2; s< suback 1 02; p joins v* clean; p> publish t x q2#1
         p< pubrec 1; s< publish t x q2#1; p> publish t x q2#1 dup; p< pubrec 1
         p> publish t x q2#1; p< pubrec 1; p> pubrel 1; p< pubcomp 1",
    ),
    row(
        "[MQTT-4.3.3-10] also over a reconnect",
        "s joins v5; s> subscribe 1 t 2; s< suback 1 02; p joins v5 expiry=99
         p> publish t x q2#1; p< pubrec 1; s< publish t x q2#1; p cut; p resumes v5 expiry=99
         p> publish t x q2#1 dup; p< pubrec 1; p> pubrel 1; p< pubcomp 1",
    ),
    row(
        "[MQTT-4.3.3-10] and over a takeover, from 3.1.1 to 5.0",
        "s joins v5; s> subscribe 1 t 2; s< suback 1 02; p joins v4; p> publish t x q2#1
         p< pubrec 1; s< publish t x q2#1; q resumes v5 id=p expiry=9; p! closed 8e
         q> publish t x q2#1 dup; q< pubrec 1; q> pubrel 1; q< pubcomp 1",
    ),
    row(
        "[MQTT-4.3.3-11] PUBREL gets PUBCOMP, an unknown one with 0x92",
        "p joins v5; p> publish t x q2#5; p< pubrec 5 10; p> pubrel 5; p< pubcomp 5; p> pubrel 5
         p< pubcomp 5 92; p> pubrel 6; p< pubcomp 6 92",
    ),
    row("[MQTT-4.3.3-11] in 3.x just so", "p joins v34 clean; p> pubrel 5; p< pubcomp 5"),
    row(
        "[MQTT-4.3.3-12] after PUBCOMP the identifier is a new message",
        "s joins v5; s> subscribe 1 t 0; s< suback 1 00; p joins v* clean; p> publish t x q2#1
         p< pubrec 1; s< publish t x; p> pubrel 1; p< pubcomp 1; p> publish t x q2#1 dup
         p< pubrec 1; s< publish t x",
    ),
    row(
        "[MQTT-4.3.3-13] the sequence goes on though the message has expired",
        "s joins v5 expiry=99; s> subscribe 1 t 2; s< suback 1 02; s cut; p joins v5
         p> publish t x q2#1 expiry=2; p< pubrec 1; wait 9s; p> publish t x q2#1 dup expiry=2
         p< pubrec 1; p> pubrel 1; p< pubcomp 1; s resumes v5 expiry=99",
    ),
    row(
        "[MQTT-4.3.3-4] PUBREC for an identifier that is not in use: PUBREL 0x92",
        "a joins v5; a> pubrec 9; a< pubrel 9 92; a> pubrec 9 80",
    ),
    row(
        "[MQTT-4.3.3-4] in 3.x the sequence is completed",
        "a joins v34 clean; a> pubrec 9; a< pubrel 9; a> pubcomp 9",
    ),
    row(
        "[MQTT-4.3.2-3] PUBACK and PUBCOMP for unknown identifiers change nothing",
        "a joins v* clean; a> puback 9 + pubcomp 9 + pingreq; a< pingresp",
    ),
    row(
        "[MQTT-4.3.3-4] answers of the wrong QoS are Protocol Errors",
        "s joins v5; s> subscribe 1 t 2; s< suback 1 02; p joins v5; p> publish t x q1#1
         p< puback 1; s< publish t x q1#1; s> pubrec 1; s< disconnect 82; s! closed",
    ),
    row(
        "[MQTT-4.3.3-4] likewise PUBACK for QoS 2",
        "s joins v5; s> subscribe 1 t 2; s< suback 1 02; p joins v5; p> publish t x q2#1
         p< pubrec 1; s< publish t x q2#1; s> puback 1; s< disconnect 82; s! closed",
    ),
    row(
        "[MQTT-4.3.3-5] likewise PUBCOMP before PUBREL",
        "s joins v5; s> subscribe 1 t 2; s< suback 1 02; p joins v5; p> publish t x q2#1
         p< pubrec 1; s< publish t x q2#1; s> pubcomp 1; s< disconnect 82; s! closed",
    ),
    row(
        "[MQTT-4.3.2-5] QoS 1 under an identifier that a QoS 2 exchange holds: 0x91",
        "s joins v5; s> subscribe 1 t 0; s< suback 1 00; p joins v5; p> publish t x q2#1
         p< pubrec 1; s< publish t x; p> publish t y q1#1; p< puback 1 91; p> pubrel 1
         p< pubcomp 1",
    ),
    row(
        "[MQTT-4.4.0-1] [MQTT-3.3.1-1] on resumption PUBLISH and PUBREL are sent again, same identifiers, same order, with DUP",
        "s joins v5 expiry=99; s> subscribe 1 # 2; s< suback 1 02; p joins v5
         p> publish t a q1#1 + publish t b q2#2 + publish u c q1#3 + publish t d q2#4
         p gets 1 puback; p gets 1 pubrec; p gets 1 puback; p gets 1 pubrec
         s<* publish t a q1#1 | publish t b q2#2 | publish u c q1#3 | publish t d q2#4
         s> pubrec 2; s< pubrel 2; s> puback 3; s cut; s resumes v5 expiry=99
         s< publish t a q1#1 dup; s< pubrel 2; s< publish t d q2#4 dup",
    ),
    row(
        "[MQTT-4.4.0-1] in 3.x likewise",
        "s joins v34; s> subscribe 1 # 2; s< suback 1 02; p joins v5
         p> publish t a q1#1 + publish t b q2#2; p gets 1 puback; p gets 1 pubrec
         s<* publish t a q1#1 | publish t b q2#2; s cut; s> connect v34; s gets 1 connack
         s< publish t a q1#1 dup; s< publish t b q2#2 dup",
    ),
    row(
        "[MQTT-4.4.0-1] what waited in the queue comes after it, under new identifiers",
        "s joins v5 expiry=99; s> subscribe 1 t 1; s< suback 1 01; p joins v5
         p> publish t a q1#1; p< puback 1; s< publish t a q1#1; s cut; p> publish t b q1#1
         p< puback 1; s resumes v5 expiry=99; s< publish t a q1#1 dup; s< publish t b q1#2",
    ),
    row(
        "[MQTT-4.4.0-1] with Clean Start nothing is sent again",
        "s joins v5 expiry=99; s> subscribe 1 t 1; s< suback 1 01; p joins v5
         p> publish t a q1#1; p< puback 1; s< publish t a q1#1; s cut; s joins v5 clean expiry=99
         s> subscribe 1 t 1; s< suback 1 01; p> publish t b q1#1; p< puback 1
         s< publish t b q1#1",
    ),
    row(
        "[MQTT-4.4.0-1] at no other time, however long it takes",
        "s joins v5; s> subscribe 1 t 2; s< suback 1 02; p joins v5
         p> publish t a q1#1 + publish t b q2#2; p gets 1 puback; p gets 1 pubrec
         s< publish t a q1#1; s< publish t b q2#2; wait 5000s",
    ),
    row(
        "[MQTT-4.4.0-2] a refusal counts as an acknowledgement: QoS 1",
        "s joins v5 expiry=99; s> subscribe 1 t 2; s< suback 1 02; p joins v5
         p> publish t a q1#1; p< puback 1; s< publish t a q1#1; s> puback 1 80; s cut
         s resumes v5 expiry=99; count refused_by_clients 1",
    ),
    row(
        "[MQTT-4.4.0-2] QoS 2: no PUBREL follows",
        "s joins v5 expiry=99; s> subscribe 1 t 2; s< suback 1 02; p joins v5
         p> publish t a q2#1; p< pubrec 1; s< publish t a q2#1; s> pubrec 1 97; s cut
         s resumes v5 expiry=99; count in_flight 0",
    ),
    row(
        "[MQTT-4.5.0-1] a message that was taken is in the state of all sessions that match",
        "a joins v5 expiry=99; a> subscribe 1 t 1; a< suback 1 01; b joins v4; b> subscribe 1 # 2
         b< suback 1 02; a cut; b cut; p joins v5; p> publish t x q2#1; p< pubrec 1; p cut
         a resumes v5 expiry=99; a< publish t x q1#1; b resumes v4; b< publish t x q2#1",
    ),
    row(
        "[MQTT-4.6.0-1] many are sent again in their order",
        "s joins v5 expiry=99; s> subscribe 1 t 1; s< suback 1 01; p joins v5
         p> publish t a q1#1 + publish t b q1#2 + publish t c q1#3 + publish t d q1#4
         p gets 4 puback; s gets 4 publish; s> puback 2; s cut; s resumes v5 expiry=99
         s< publish t a q1#1 dup; s< publish t c q1#3 dup; s< publish t d q1#4 dup",
    ),
    row(
        "[MQTT-4.6.0-2] [MQTT-4.6.0-3] acknowledgements in the order of the PUBLISHes",
        "p joins v5; p> publish a 1 q1#5 + publish b 2 q1#3 + publish c 3 q1#9; p< puback 5 10
         p< puback 3 10; p< puback 9 10
         p> publish a 1 q2#5 + publish b 2 q2#3 + publish c 3 q2#9; p< pubrec 5 10
         p< pubrec 3 10; p< pubrec 9 10",
    ),
    row(
        "[MQTT-4.6.0-4] PUBRELs in the order of the PUBRECs",
        "s joins v5 expiry=9; s> subscribe 1 t 2; s< suback 1 02; p joins v5
         p> publish t a q2#1 + publish t b q2#2 + publish t c q2#3; p gets 3 pubrec
         s gets 3 publish; s> pubrec 3 + pubrec 1 + pubrec 2; s< pubrel 3; s< pubrel 1
         s< pubrel 2",
    ),
    row(
        "[MQTT-4.6.0-5] [MQTT-4.6.0-6] messages of a client on a topic keep their order",
        "s joins v* clean; s> subscribe 1 t/# 2; s gets 1 suback; p joins v* clean
         p> publish t 1 q1#1 + publish t 2 q1#2 + publish t 3 q1#3 + publish t/u 4 q1#4 + publish t 5 q1#5
         p gets 5 puback; s< publish t 1 q1#1; s< publish t 2 q1#2; s< publish t 3 q1#3
         s< publish t/u 4 q1#4; s< publish t 5 q1#5",
    ),
    row(
        "[MQTT-4.6.0-5] also from the queue, and what is new comes behind it",
        "s joins v5 expiry=99; s> subscribe 1 t 1; s< suback 1 01; s cut; p joins v5
         p> publish t 1 q1#1 + publish t 2 q1#2; p gets 2 puback; s resumes v5 expiry=99 rmax=1
         s< publish t 1 q1#1; p> publish t 3 q1#1; p< puback 1; s> puback 1; s< publish t 2 q1#2
         s> puback 2; s< publish t 3 q1#3",
    ),
    row(
        "[MQTT-3.8.4-8] the QoS of a delivery is the lower of the two, 3 x 3",
        "a joins v5; a> subscribe 1 t 0; a< suback 1 00; b joins v5; b> subscribe 1 t 1
         b< suback 1 01; c joins v5; c> subscribe 1 t 2; c< suback 1 02; p joins v5
         p> publish t x; a< publish t x; b< publish t x; c< publish t x; p> publish t y q1#1
         p< puback 1; a< publish t y; b< publish t y q1#1; c< publish t y q1#1
         p> publish t z q2#1; p< pubrec 1; a< publish t z; b< publish t z q1#2
         c< publish t z q2#2",
    ),

    row(
        "[MQTT-4.3.2-5] in 3.x, which has no 0x91, the link ends: an acknowledged message would be lost",
        "s joins v5; s> subscribe 1 t 0; s< suback 1 00; p joins v34 clean; p> publish t x q2#1
         p< pubrec 1; s< publish t x; p> publish t y q1#1; p! closed 91",
    ),
    row(
        "[MQTT-2.2.1-4] identifiers rise to 65,535 and start again, past those in use",
        "limits in_flight_max=65535; s joins v5; s> subscribe 1 t 1; s< suback 1 01; p joins v5
         p> publish t x q1#1; p< puback 1; s< publish t x q1#1; s> puback 1; p> publish t x q1#1
         p< puback 1; s< publish t x q1#2",
    ),
];
