//! mosquitto as a bridge (version byte 0x83 and 0x84): no echo, and RETAIN flags as they came.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "a bridge of 3.1 and of 3.1.1 is let in",
        "a joins v34 clean bridge; a> pingreq; a< pingresp",
    ),
    row(
        "5.0 has no such bit",
        "a> body 10 0004 'MQTT' 85 02 0000 00 0001 'a'; a< connack 84; a! closed 84",
    ),
    row(
        "[MQTT-3.8.3-3] a bridge gets nothing back that it sent",
        "a joins v34 clean bridge; a> subscribe 1 # 1; a< suback 1 01; b joins v5
         b> subscribe 1 # 0; b< suback 1 00; a> publish t x q1#1; a< puback 1; b< publish t x
         b> publish t y; b< publish t y; a< publish t y",
    ),
    row(
        "[MQTT-3.3.1-13] RETAIN flags are kept",
        "a joins v34 clean bridge; a> subscribe 1 # 1; a< suback 1 01; p joins v5
         p> publish t x retain; a< publish t x retain; p> publish t y; a< publish t y",
    ),
    row(
        "the same without the bit: echo, and RETAIN 0",
        "a joins v34 clean; a> subscribe 1 # 1; a< suback 1 01; a> publish t x retain
         a< publish t x",
    ),
    row(
        "a bridge may share",
        "a joins v34 clean bridge; a> subscribe 1 $share/g/t 1; a< suback 1 01; p joins v5
         p> publish t x; a< publish t x",
    ),
    row(
        "its session is resumed as any other",
        "a joins v4 bridge; a> subscribe 1 t 1; a< suback 1 01; a cut; p joins v5
         p> publish t x q1#1 retain; p< puback 1; a resumes v4 bridge; a< publish t x q1#1 retain",
    ),
];
