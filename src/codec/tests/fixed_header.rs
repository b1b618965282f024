//! Section 2: the fixed header, and who sends which packet.

use super::*;

fn fixed_header(bytes: &[u8], limit: usize) -> Result<Option<usize>, u8> {
    match frame(bytes, limit) {
        Ok(Framed::Whole(frame)) => Ok(Some(frame.len)),
        Ok(Framed::Partial { len }) => Ok(len),
        Err(e) => Err(e.reason.as_u8()),
    }
}

#[test]
fn section_2_1_fixed_header() {
    for first in 0..=255_u8 {
        let good = match first >> 4 {
            0 => false,
            3 => [0, 1, 2, 3, 4, 5, 10, 11, 12, 13].contains(&(first & 15)),
            6 | 8 | 10 => [2, 10].contains(&(first & 15)),
            _ => first & 15 == 0,
        };
        let expected = if good { Ok(None) } else { Err(0x81) };
        assert_eq!(fixed_header(&[first], 100), expected, "{first:02X} [MQTT-2.1.3-1]");
    }
    for (what, bytes, limit, expected) in [
        ("nothing", "", 9, Ok(None)),
        ("length of 1 byte", "30 7F", 999, Ok(Some(129))),
        ("length of 2 bytes", "30 80 01", 999, Ok(Some(131))),
        ("length of 2 bytes, half", "30 80", 999, Ok(None)),
        ("length of 3 bytes, two thirds", "30 80 80", 999, Ok(None)),
        ("length of 4 bytes", "30 FF FF FF 7F", usize::MAX, Ok(Some(268_435_460))),
        ("[MQTT-1.5.5-1]", "30 80 00", 999, Err(0x81)),
        ("[MQTT-1.5.5-1]", "30 FF 00", 999, Err(0x81)),
        ("[MQTT-1.5.5-1]", "30 80 80 80 00", 999, Err(0x81)),
        ("length of 5 bytes", "30 80 80 80 80", 999, Err(0x81)),
        ("length of 5 bytes", "30 80 80 80 80 01", 999, Err(0x81)),
        ("as large as may be", "30 02", 4, Ok(Some(4))),
        ("[MQTT-3.2.2-15]", "30 03", 4, Err(0x95)),
        ("[MQTT-3.2.2-15]", "30 FF FF FF 7F", 4, Err(0x95)),
        ("whole, and the next one", "C0 00 C0", 9, Ok(Some(2))),
    ] {
        assert_eq!(fixed_header(&parse(bytes), limit), expected, "{what}: {bytes}");
    }
}

#[test]
fn section_2_1_2_who_sends_what() {
    check(&[
        ("CONNACK", Client, ALL, "20 00 00 00", 0x82),
        ("SUBACK", Client, ALL, "90 0001 00", 0x82),
        ("UNSUBACK", Client, ALL, "B0 0001", 0x82),
        ("PINGRESP", Client, ALL, "D0", 0x82),
        ("CONNECT", Server, ALL, "10 0004 'MQTT' 04 02 0000 0000", 0x82),
        ("SUBSCRIBE", Server, ALL, "82 0001 0001 'a' 00", 0x82),
        ("UNSUBSCRIBE", Server, ALL, "A2 0001 0001 'a'", 0x82),
        ("PINGREQ", Server, ALL, "C0", 0x82),
        ("PINGREQ", Client, ALL, "C0", OK),
        ("PINGREQ with a body", Client, ALL, "C0 00", 0x81),
        ("PINGRESP", Server, ALL, "D0", OK),
        ("DISCONNECT", Server, V3, "E0", 0x82),
        ("DISCONNECT", Server, ONLY_V5, "E0", OK),
        ("AUTH in 3.x", Client, V3, "F0 18 03 15 0000", 0x81),
        ("AUTH in 3.x", Server, V3, "F0", 0x81),
    ]);
}
