//! Topic Aliases both ways, section 3.3.2.3.4.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "[MQTT-3.3.2-12] every alias from 1 to the maximum is taken",
        "s joins v5; s> subscribe 1 # 0; s< suback 1 00; p joins v5; p> publish a 1 alias=1
         s< publish a 1; p> publish b 2 alias=64; s< publish b 2; p> publish '' 3 alias=1
         s< publish a 3; p> publish '' 4 alias=64; s< publish b 4",
    ),
    row(
        "[MQTT-3.3.2-12] given to another topic it means that",
        "s joins v5; s> subscribe 1 # 0; s< suback 1 00; p joins v5; p> publish a 1 alias=1
         s< publish a 1; p> publish b 2 alias=1; s< publish b 2; p> publish '' 3 alias=1
         s< publish b 3",
    ),
    row(
        "[MQTT-3.3.2-12] with every QoS, and the message has the topic wherever it goes",
        "s joins v5 expiry=9; s> subscribe 1 a 2; s< suback 1 02; s cut; p joins v5
         p> publish a 1 q1#1 alias=1; p< puback 1; p> publish '' 2 q2#2 alias=1 retain
         p< pubrec 2; s resumes v5 expiry=9; s<* publish a 1 q1#1 | publish a 2 q2#2
         t joins v4 clean; t> subscribe 1 a 0; t< suback 1 00; t< publish a 2 retain",
    ),
    row(
        "[MQTT-3.3.2-8] Topic Alias 0",
        "p joins v5; p> body 30 0001 't' 03 230000; p< disconnect 94; p! closed",
    ),
    row(
        "[MQTT-3.3.2-9] above the maximum",
        "p joins v5; p> publish a 1 alias=65; p< disconnect 94; p! closed 94",
    ),
    row(
        "[MQTT-3.3.2-9] also with a topic that is known, and with QoS 1",
        "p joins v5; p> publish a 1 q1#1 alias=65535; p< disconnect 94; p! closed 94",
    ),
    row(
        "[MQTT-3.3.2-8] an alias that was never given",
        "p joins v5; p> publish '' 1 alias=3; p< disconnect 82; p! closed 82",
    ),
    row(
        "[MQTT-3.3.2-8] twice in a packet",
        "p joins v5; p> body 30 0001 't' 06 230001 230001; p< disconnect 82; p! closed",
    ),
    row(
        "[MQTT-3.3.2-7] aliases end with the connection",
        "p joins v5 expiry=9; p> publish a 1 alias=1; p cut; p resumes v5 expiry=9
         p> publish '' 1 alias=1; p< disconnect 82; p! closed",
    ),
    row(
        "[MQTT-3.3.2-7] also at takeover",
        "p joins v5 expiry=9; p> publish a 1 alias=1; q resumes v5 id=p expiry=9
         p< disconnect 8e; p! closed; q> publish '' 1 alias=1; q< disconnect 82; q! closed",
    ),
    row(
        "[MQTT-3.3.2-7] the broker's, too: the topic is sent again",
        "s joins v5 expiry=9 aliases=5; s> subscribe 1 t 1; s< suback 1 01; p joins v5
         p> publish t 1 q1#1; p< puback 1; s< publish t 1 q1#1 alias=1; p> publish t 2 q1#1
         p< puback 1; s< publish '' 2 q1#2 alias=1; s cut; s resumes v5 expiry=9 aliases=5
         s< publish t 1 q1#1 dup alias=1; s< publish '' 2 q1#2 dup alias=1",
    ),
    row(
        "[MQTT-3.3.2-10] [MQTT-3.3.2-11] [MQTT-3.1.2-26] the broker's aliases stay within the client's maximum, the least recently used gives way",
        "s joins v5 aliases=2; s> subscribe 1 # 0; s< suback 1 00; p joins v5; p> publish a 1
         s< publish a 1 alias=1; p> publish b 2; s< publish b 2 alias=2; p> publish a 3
         s< publish '' 3 alias=1; p> publish c 4; s< publish c 4 alias=2; p> publish a 5
         s< publish '' 5 alias=1; p> publish b 6; s< publish b 6 alias=2; p> publish c 7
         s< publish c 7 alias=1",
    ),
    row(
        "[MQTT-3.1.2-26] with every QoS",
        "s joins v5 aliases=2; s> subscribe 1 # 2; s< suback 1 02; p joins v5; p> publish a 1
         s< publish a 1 alias=1; p> publish a 2 q2#1; p< pubrec 1; s< publish '' 2 q2#1 alias=1
         p> pubrel 1; p< pubcomp 1; p> publish a 3; s< publish '' 3 alias=1",
    ),
    row(
        "[MQTT-3.1.2-27] absent or 0: none",
        "s joins v5; s> subscribe 1 # 0; s< suback 1 00; s> publish a 1; s< publish a 1
         s> publish a 1; s< publish a 1",
    ),
    row(
        "[MQTT-3.1.2-26] the broker's own maximum holds, too",
        "limits topic_alias_outgoing_max=1; s joins v5 aliases=9; s> subscribe 1 # 0
         s< suback 1 00; s> publish a 1; s< publish a 1 alias=1; s> publish b 1
         s< publish b 1 alias=1; s> publish a 1; s< publish a 1 alias=1; s> publish a 1
         s< publish '' 1 alias=1",
    ),
    row(
        "[MQTT-3.3.2-10] an alias goes with Subscription Identifiers and properties",
        "s joins v5 aliases=2; s> subscribe 1 # 0 sub=3; s< suback 1 00
         s> publish a 1 ct=c user=k:v expiry=9
         s< publish a 1 alias=1 sub=3 ct=c user=k:v expiry=9; s> publish a 2
         s< publish '' 2 alias=1 sub=3",
    ),
    row(
        "[MQTT-3.1.2-24] an alias is left out where it would not fit",
        "s joins v5 aliases=2 maxp=40; s> subscribe 1 # 0; s< suback 1 00; s> publish a x*34
         s< publish a x*34; s> publish a x*35; s> publish a 1; s< publish a 1 alias=1
         s> publish a x*29; s< publish '' x*29 alias=1",
    ),
    row(
        "[MQTT-3.3.2-7] a publisher's alias is not the subscriber's",
        "s joins v5 aliases=9; s> subscribe 1 # 0; s< suback 1 00; p joins v5
         p> publish a 1 alias=7; s< publish a 1 alias=1; p> publish '' 2 alias=7
         s< publish '' 2 alias=1",
    ),
    row(
        "[MQTT-3.3.2-12] what CONNACK said holds for its connection, whatever is reloaded",
        "p joins v5; limits topic_alias_max=1; p> publish t 1 alias=64; p> publish '' 1 alias=64
         q joins v5; q> publish t 1 alias=2; q< disconnect 94; q! closed",
    ),
];
