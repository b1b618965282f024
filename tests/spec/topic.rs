//! Topic Names and Topic Filters, section 4.7, and strings, section 1.5.4.

use super::script::{Row, row};

pub(crate) const ROWS: &[Row] = &[
    row(
        "[MQTT-4.7.0-1] wildcards are for filters alone",
        "a joins v5; a> body 30 0001 '+' 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-4.7.1-1] # alone, and after a separator",
        "a joins v* clean; a> subscribe 1 # 0; a gets 1 suback; a> publish a/b/c x
         a< publish a/b/c x; a> unsubscribe 1 #; a gets 1 unsuback; a> subscribe 1 a/# 0
         a gets 1 suback; a> publish a x; a< publish a x; a> publish a/b/c x; a< publish a/b/c x
         a> publish ab x",
    ),
    row(
        "[MQTT-4.7.1-1] # within a level",
        "a joins v5; a> body 82 0001 00 0002 'a#' 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-4.7.1-1] # before the last level, in 3.x",
        "a joins v34 clean; a> body 82 0001 0005 'a/#/b' 00; a! closed 81",
    ),
    row(
        "[MQTT-4.7.1-1] in UNSUBSCRIBE, too",
        "a joins v5; a> body a2 0001 00 0005 'a/#/b'; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-4.7.1-2] + at any level, first and last among them",
        "a joins v* clean; a> subscribe 1 +/b/+ 0; a gets 1 suback; a> publish a/b/c x
         a< publish a/b/c x; a> publish /b/ x; a< publish /b/ x; a> publish a/b x
         a> publish a/b/c/d x; a> publish a/c/b x",
    ),
    row(
        "[MQTT-4.7.1-2] + matches one level, an empty one too, and not the parent",
        "a joins v5; a> subscribe 1 s/+ 0; a< suback 1 00; a> publish s x; a> publish s/ x
         a< publish s/ x; a> publish s/t x; a< publish s/t x; a> publish s/t/u x",
    ),
    row(
        "[MQTT-4.7.1-2] + before a level that several filters have, and go on behind it",
        "a joins v* clean; a> subscribe 1 +/b/c 0; a gets 1 suback; a> subscribe 2 +/b/d 0
         a gets 1 suback; a> publish q/b/c x; a< publish q/b/c x; a> publish q/b/d x
         a< publish q/b/d x; a> publish q/b/b x; a> publish q/c/d x",
    ),
    row(
        "[MQTT-4.7.1-2] + and # together",
        "a joins v5; a> subscribe 1 +/t/# 0; a< suback 1 00; a> publish a/t x; a< publish a/t x
         a> publish a/t/b/c x; a< publish a/t/b/c x; a> publish a/b/t x",
    ),
    row(
        "[MQTT-4.7.1-2] + within a level",
        "a joins v5; a> body 82 0001 00 0002 'a+' 00; a< disconnect 81; a! closed
         b joins v4 clean; b> body 82 0001 0003 '+a/' 00; b! closed 81",
    ),
    row(
        "[MQTT-4.7.2-1] $-topics are not for filters that begin with a wildcard",
        "a joins v* clean; a> subscribe 1 # 0; a gets 1 suback; a> subscribe 2 +/x 0
         a gets 1 suback; a> publish $dev/x 1; a> subscribe 3 $dev/+ 0; a gets 1 suback
         a> publish $dev/x 2; a< publish $dev/x 2; a> publish x/$dev 3; a< publish x/$dev 3",
    ),
    row(
        "[MQTT-4.7.3-1] an empty Topic Filter",
        "a joins v5; a> body 82 0001 00 0000 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-4.7.3-1] an empty Topic Name, in 3.x",
        "a joins v34 clean; a> body 30 0000; a! closed 81",
    ),
    row(
        "[MQTT-4.7.3-1] a slash alone is a name and a filter",
        "a joins v* clean; a> subscribe 1 / 0; a gets 1 suback; a> publish / x; a< publish / x",
    ),
    row(
        "[MQTT-4.7.3-2] [MQTT-1.5.4-2] U+0000 in a Topic Name",
        "a joins v5; a> body 30 0003 't' 00 't' 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-4.7.3-2] in a Topic Filter",
        "a joins v5; a> body 82 0001 00 0002 't' 00 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-4.7.3-2] in a Will Topic",
        "a> body 10 0004 'MQTT' 05 06 0000 00 0001 'a' 00 0002 'w' 00 0000; a< connack 81
         a! closed",
    ),
    row(
        "[MQTT-4.7.3-3] 65,535 bytes are allowed, and more cannot be said",
        "a joins v* clean; a> subscribe 1 t*65535 0; a gets 1 suback; a> publish t*65535 x
         a< publish t*65535 x",
    ),
    row(
        "[MQTT-4.7.3-4] [MQTT-1.5.4-3] no normalization: case, composition, slashes, byte order marks",
        "a joins v5; a> subscribe 1 \u{e9} 0 a 0 a/b 0; a< suback 1 00 00 00
         a> publish e\u{301} x; a> publish A x; a> publish \u{feff}a x; a> publish a//b x
         a> publish a/b/ x; a> publish \u{e9} x; a< publish \u{e9} x",
    ),
    row(
        "[MQTT-1.5.4-3] U+FEFF stays where it is",
        "a joins v5; a> subscribe 1 \u{feff}a 0; a< suback 1 00; a> publish \u{feff}a x
         a< publish \u{feff}a x; a> publish a x",
    ),
    row(
        "[MQTT-1.5.4-1] an encoded surrogate",
        "a joins v5; a> body 30 0003 eda080 00; a< disconnect 81; a! closed",
    ),
    row("[MQTT-1.5.4-1] in 3.x", "a joins v34 clean; a> body 30 0003 edbfbf; a! closed 81"),
    row(
        "[MQTT-1.5.4-1] an overlong form",
        "a joins v5; a> body 30 0002 c0af 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-1.5.4-1] beyond U+10FFFF",
        "a joins v5; a> body 30 0004 f4908080 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-1.5.4-1] cut off",
        "a joins v5; a> body 30 0002 e282 00; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-1.5.4-1] the highest that is allowed",
        "a joins v5; a> subscribe 1 # 0; a< suback 1 00; a> publish \u{10ffff} x
         a< publish \u{10ffff} x",
    ),
    row(
        "[MQTT-1.5.4-2] U+0000 in the Client Identifier and the User Name",
        "a> body 10 0004 'MQTT' 05 02 0000 00 0001 00; a< connack 81; a! closed
         b> body 10 0004 'MQTT' 04 82 0000 0001 'a' 0001 00; b! closed 81",
    ),
    row(
        "[MQTT-1.5.7-1] both strings of a User Property: the name",
        "a joins v5; a> body 30 0001 't' 07 26 0001 ff 0001 'v'; a< disconnect 81; a! closed",
    ),
    row(
        "[MQTT-1.5.7-1] and the value",
        "a joins v5; a> body 30 0001 't' 07 26 0001 'n' 0001 00; a< disconnect 81; a! closed",
    ),
];
