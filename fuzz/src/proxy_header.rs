//! The first bytes of a connection behind a load balancer: any bytes, and headers good and bad.
//!
//! Laws: nothing panics; a header is whole at one place, all its beginnings are incomplete, and
//! what stands behind it changes nothing; what is refused once stays refused.

use stonechat::codec::proxy::{Header, V1_BYTES_MAX, V2_BYTES_MAX, parse};

use super::source::Source;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The first byte says what the others are.
pub fn run(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    match kind % 4 {
        0 => check(rest),
        1 => check(&[b"PROXY ", rest].concat()),
        2 => check(&line(rest)),
        _ => check(&binary(rest)),
    }
}

fn check(bytes: &[u8]) {
    let whole = parse(bytes);
    // Where the answer may change; of long inputs not every beginning.
    let ends = (0..bytes.len().min(300)).chain((300..bytes.len()).step_by(61));
    match whole {
        Ok(None) => {
            assert!(bytes.len() < 16 + V2_BYTES_MAX);
            ends.for_each(|n| assert_eq!(parse(&bytes[..n]), Ok(None), "{n}"));
        }
        Ok(Some(header)) => {
            check_header(&header, bytes);
            for n in ends {
                let expected = if n < header.used { None } else { Some(header) };
                assert_eq!(parse(&bytes[..n]), Ok(expected), "{n}");
            }
            assert_eq!(parse(&bytes[..header.used - 1]), Ok(None));
            assert_eq!(parse(&bytes[..header.used]), Ok(Some(header)));
        }
        Err(error) => {
            let mut refused = false;
            for n in ends {
                match parse(&bytes[..n]) {
                    Ok(None) => assert!(!refused, "{n}: it was refused before"),
                    Ok(Some(_)) => panic!("{n}: a header that its end spoils"),
                    Err(_) => refused = true,
                }
            }
            assert!(!error.what.is_empty());
        }
    }
}

fn check_header(header: &Header<'_>, bytes: &[u8]) {
    assert!(header.used <= bytes.len());
    assert_eq!(header.source.is_some(), header.destination.is_some());
    match header.version {
        1 => {
            assert!(header.used <= V1_BYTES_MAX && header.tls.is_none());
            assert!(bytes[..header.used].ends_with(b"\r\n"));
        }
        _ => assert!(bytes.starts_with(SIGNATURE) && header.used <= 16 + V2_BYTES_MAX),
    }
}

fn line(data: &[u8]) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "1.2.3.4",
        "255.255.255.255",
        "0",
        "65535",
        "::1",
        "2001:db8::1",
        "1:2:3:4:5:6:7:8",
        "::ffff:1.2.3.4",
        "01",
        "65536",
        "256.1.1.1",
        "",
        "x",
        "443",
        "1::",
        "TCP4",
    ];
    let mut source = Source::new(data);
    let mut text = format!("PROXY {}", source.pick(&["TCP4", "TCP6", "UNKNOWN", "TCP"]));
    for _ in 0..source.pick(&[4, 4, 4, 3, 5, 0]) {
        text.push(' ');
        text.push_str(source.pick(&WORDS));
    }
    text.push_str(source.pick(&["\r\n", "\r\n", "\n", "\r", ""]));
    let mut bytes = text.into_bytes();
    bytes.extend(source.bytes());
    bytes
}

fn binary(data: &[u8]) -> Vec<u8> {
    let mut source = Source::new(data);
    let family = source.pick(&[0x11, 0x21, 0x31, 0x00, 0x12, 0x41]);
    let mut body = vec![7; source.pick(&[12, 36, 216, 0, 11])];
    for _ in 0..source.below(4) {
        let kind = source.pick(&[0x20, 0x03, 0x04, 0x22]);
        let mut value = source.bytes().to_vec();
        if kind == 0x20 {
            let name = source.bytes();
            value = vec![source.pick(&[3, 1, 5, 0]), 0, 0, 0, source.pick(&[0, 1]), 0x22, 0];
            value.push(name.len() as u8);
            value.extend(name);
        }
        body.push(kind);
        body.extend((value.len() as u16).to_be_bytes());
        body.extend(value);
    }
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([source.pick(&[0x21, 0x20, 0x21, 0x22, 0x11]), family]);
    let len = (body.len() as u16).wrapping_add(source.pick(&[0, 0, 1, 255]));
    bytes.extend(len.to_be_bytes());
    bytes.extend(body);
    bytes.extend(source.bytes());
    bytes
}

/// A header of each form.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut tls = b"\0\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x18".to_vec();
    tls.extend([192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 0x07, 0x5B]);
    tls.extend(b"\x20\0\x09\x03\0\0\0\0\x22\0\x01a");
    vec![
        b"\0PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n\x10".to_vec(),
        b"\0PROXY TCP6 2001:db8::1 ::1 1 2\r\n\x10".to_vec(),
        b"\0PROXY UNKNOWN x y\r\n\x10".to_vec(),
        b"\0\r\n\r\n\0\r\nQUIT\n\x20\0\0\0\x10".to_vec(),
        tls,
    ]
}
