//! The PROXY protocol, versions 1 and 2: what a load balancer in front says of the client.
//!
//! May use: bytes that are handed in. Invariants: a header is taken once it is whole, and refused
//! as soon as it is certain that it is none; the beginning of a valid header is never a header.

use thiserror::Error;

/// The bytes of a version 1 header, at most.
pub const V1_BYTES_MAX: usize = 107;
/// The bytes of a version 2 header behind its first 16, at most.
pub const V2_BYTES_MAX: usize = 4096;

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("PROXY: {what}")]
pub struct ProxyError {
    /// what is wrong, for the log
    pub what: &'static str,
}

/// An address as a header has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// IPv4
    V4([u8; 4]),
    /// IPv6
    V6([u8; 16]),
}

/// What is said of the client's TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientTls<'a> {
    /// it showed a certificate, on this connection or in the session that it resumed, and it was
    /// verified
    pub verified: bool,
    /// the Common Name of that certificate
    pub common_name: Option<&'a str>,
}

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// how many bytes it took
    pub used: usize,
    /// version 1 or 2
    pub version: u8,
    /// the client's address and port; `None`: the connection is the proxy's own, or of a kind that
    /// has none, and its peer stays who it is
    pub source: Option<(Address, u16)>,
    /// the address and port that the client connected to
    pub destination: Option<(Address, u16)>,
    /// `None` if the client came without TLS, or nothing is said of it
    pub tls: Option<ClientTls<'a>>,
}

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What version 1 begins with.
const V1_START: &[u8] = b"PROXY ";

/// The bytes of a version 2 header in front of its addresses.
const V2_START_BYTES: usize = 16;
const TYPE_CRC32C: u8 = 0x03;
const TYPE_SSL: u8 = 0x20;
const SUBTYPE_SSL_CN: u8 = 0x22;
const CLIENT_SSL: u8 = 0x01;
/// It showed a certificate: on this connection, or in the session that this one resumes.
const CLIENT_CERTIFICATE: u8 = 0x02 | 0x04;

const fn wrong<T>(what: &'static str) -> Result<T, ProxyError> {
    Err(ProxyError { what })
}

/// What the first bytes of a connection are; `None` while the header is not whole.
pub fn parse(bytes: &[u8]) -> Result<Option<Header<'_>>, ProxyError> {
    match bytes.first() {
        None => Ok(None),
        Some(b'P') => parse_v1(bytes),
        Some(b'\r') => parse_v2(bytes),
        Some(_) => wrong("the connection does not begin with a header"),
    }
}

/// Whether `bytes` begin with `start`; `None` while they may still.
fn begins_with(bytes: &[u8], start: &[u8]) -> Option<bool> {
    let n = bytes.len().min(start.len());
    match bytes[..n] == start[..n] {
        true if n < start.len() => None,
        same => Some(same),
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Option<Header<'_>>, ProxyError> {
    match begins_with(bytes, V1_START) {
        None => return Ok(None),
        Some(false) => return wrong("the connection does not begin with a header"),
        Some(true) => {}
    }
    let head = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = head.iter().position(|b| matches!(b, b'\r' | b'\n')) else {
        if head.len() == V1_BYTES_MAX {
            return wrong("a line of more than 107 bytes");
        }
        return check_v1_start(&head[V1_START.len()..]).map(|()| None);
    };
    let line = &head[V1_START.len()..end];
    match head.get(end..end + 2) {
        Some(b"\r\n") => {}
        None if head[end] == b'\r' && head.len() < V1_BYTES_MAX => {
            return v1_line(line, 0).map(|_| None);
        }
        _ => return wrong("a line that does not end with CR LF"),
    }
    v1_line(line, end + 2).map(Some)
}

/// The beginning of a line, without its first word.
fn check_v1_start(line: &[u8]) -> Result<(), ProxyError> {
    let (protocol, rest) = match line.iter().position(|&b| b == b' ') {
        Some(at) => (&line[..at], &line[at..]),
        None if [&b"TCP4"[..], b"TCP6", b"UNKNOWN"].iter().any(|p| p.starts_with(line)) => {
            return Ok(());
        }
        None => (line, &b""[..]),
    };
    let allowed = match protocol {
        b"UNKNOWN" => return Ok(()),
        b"TCP4" => |b: &u8| matches!(b, b'0'..=b'9' | b'.' | b' '),
        b"TCP6" => |b: &u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.' | b' '),
        _ => return wrong("a protocol that is not TCP4, TCP6 or UNKNOWN"),
    };
    if rest.iter().all(allowed) { Ok(()) } else { wrong("what stands there is no address") }
}

/// A whole line, without its first word and its end.
fn v1_line(line: &[u8], used: usize) -> Result<Header<'static>, ProxyError> {
    let none = Header { used, version: 1, source: None, destination: None, tls: None };
    check_v1_start(line)?;
    let Ok(line) = std::str::from_utf8(line) else { return Ok(none) }; // UNKNOWN and something
    let mut words = line.split(' ');
    let address: fn(&str) -> Option<Address> = match words.next() {
        Some("TCP4") => |word| ipv4(word).map(Address::V4),
        Some("TCP6") => |word| ipv6(word).map(Address::V6),
        Some("UNKNOWN") => return Ok(none),
        _ => return wrong("a protocol that is not TCP4, TCP6 or UNKNOWN"),
    };
    let (source, destination) = (words.next().and_then(address), words.next().and_then(address));
    let (from, to) = (words.next().and_then(port), words.next().and_then(port));
    match (source, destination, from, to, words.next()) {
        (Some(source), Some(destination), Some(from), Some(to), None) => {
            let (source, destination) = (Some((source, from)), Some((destination, to)));
            Ok(Header { source, destination, ..none })
        }
        _ => wrong("a line without two addresses and two ports"),
    }
}

/// A decimal number without leading zeros.
fn number(word: &str, max: u32) -> Option<u32> {
    let digits = word.bytes().all(|b| b.is_ascii_digit());
    if !digits || word.len() > 5 || (word.len() > 1 && word.starts_with('0')) {
        return None;
    }
    word.parse().ok().filter(|n| *n <= max)
}

fn port(word: &str) -> Option<u16> {
    number(word, 0xFFFF).map(|n| n as u16)
}

fn ipv4(word: &str) -> Option<[u8; 4]> {
    let mut parts = word.split('.').map(|part| number(part, 0xFF).map(|n| n as u8));
    let address = [parts.next()??, parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(address)
}

/// An IPv6 address as RFC 4291, section 2.2, has it, in any of its forms.
fn ipv6(word: &str) -> Option<[u8; 16]> {
    let (before, after) = match word.split_once("::") {
        Some((before, after)) => (before, Some(after)),
        None => (word, None),
    };
    let (front, back) = (groups(before, after.is_none())?, groups(after.unwrap_or(""), true)?);
    let all = front.len() + back.len();
    // "::" stands for one group of zeros at least.
    if if after.is_some() { all > 14 } else { all != 16 } {
        return None;
    }
    let mut address = [0; 16];
    address[..front.len()].copy_from_slice(&front);
    address[16 - back.len()..].copy_from_slice(&back);
    Some(address)
}

/// Groups of hexadecimal digits, of which the last may be an IPv4 address.
fn groups(text: &str, is_end: bool) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    if text.is_empty() {
        return Some(bytes);
    }
    let mut words = text.split(':').peekable();
    while let Some(word) = words.next() {
        if is_end && words.peek().is_none() && word.contains('.') {
            bytes.extend(ipv4(word)?);
        } else {
            let hex = word.bytes().all(|b| b.is_ascii_hexdigit());
            if !hex || word.is_empty() || word.len() > 4 {
                return None;
            }
            bytes.extend(u16::from_str_radix(word, 16).ok()?.to_be_bytes());
        }
    }
    Some(bytes)
}

/// The bytes of a version 2 header's addresses, if it has some.
#[derive(Clone, Copy)]
enum Family {
    Inet,
    Inet6,
    Unix,
    None,
}

impl Family {
    fn of(byte: u8) -> Result<Self, ProxyError> {
        match byte {
            0x11 => Ok(Self::Inet),
            0x21 => Ok(Self::Inet6),
            0x31 => Ok(Self::Unix),
            0x00 => Ok(Self::None),
            0x12 | 0x22 | 0x32 => wrong("datagrams do not come over a stream"),
            _ => wrong("an address family or a protocol that is none"),
        }
    }

    fn address_bytes(self) -> usize {
        match self {
            Self::Inet => 12,
            Self::Inet6 => 36,
            Self::Unix => 216,
            Self::None => 0,
        }
    }
}

fn parse_v2(bytes: &[u8]) -> Result<Option<Header<'_>>, ProxyError> {
    if begins_with(bytes, SIGNATURE) == Some(false) {
        return wrong("the connection does not begin with a header");
    }
    let is_local = match bytes.get(12) {
        None => return Ok(None),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(byte) if byte >> 4 == 2 => return wrong("a command that is not LOCAL or PROXY"),
        Some(_) => return wrong("a version that is not 2"),
    };
    let Some(&family) = bytes.get(13) else { return Ok(None) };
    // What a proxy says of itself is thrown away, whatever it is.
    let family = if is_local { Family::None } else { Family::of(family)? };
    let Some(&[a, b]) = bytes.get(14..V2_START_BYTES) else { return Ok(None) };
    let len = usize::from(u16::from_be_bytes([a, b]));
    if len > V2_BYTES_MAX {
        return wrong("a header of more than 4096 bytes");
    }
    if len < family.address_bytes() {
        return wrong("a header too short for its addresses");
    }
    let used = V2_START_BYTES + len;
    let Some(header) = bytes.get(..used) else { return Ok(None) };
    let (addresses, fields) = header[V2_START_BYTES..].split_at(family.address_bytes());
    let (source, destination) = match family {
        Family::Inet => inet(addresses),
        Family::Inet6 => inet6(addresses),
        Family::Unix => (None, None),
        Family::None => {
            let (source, destination, tls) = (None, None, None);
            return Ok(Some(Header { used, version: 2, source, destination, tls }));
        }
    };
    let tls = read_fields(header, fields)?;
    Ok(Some(Header { used, version: 2, source, destination, tls }))
}

type Ends = (Option<(Address, u16)>, Option<(Address, u16)>);

fn inet(bytes: &[u8]) -> Ends {
    let &[a, b, c, d, e, f, g, h, p, q, r, s] = bytes else { return (None, None) };
    let source = (Address::V4([a, b, c, d]), u16::from_be_bytes([p, q]));
    (Some(source), Some((Address::V4([e, f, g, h]), u16::from_be_bytes([r, s]))))
}

fn inet6(bytes: &[u8]) -> Ends {
    let Some((source, rest)) = bytes.split_first_chunk::<16>() else { return (None, None) };
    let Some((destination, &[p, q, r, s])) = rest.split_first_chunk::<16>() else {
        return (None, None);
    };
    let source = (Address::V6(*source), u16::from_be_bytes([p, q]));
    (Some(source), Some((Address::V6(*destination), u16::from_be_bytes([r, s]))))
}

/// One field: its type and value, and what stands behind it.
fn field(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), ProxyError> {
    if let [kind, a, b, rest @ ..] = bytes
        && let Some((value, rest)) =
            rest.split_at_checked(usize::from(u16::from_be_bytes([*a, *b])))
    {
        return Ok((*kind, value, rest));
    }
    wrong("a field that ends behind its header")
}

/// The fields behind the addresses; checks the header's checksum, if there is one.
fn read_fields<'a>(
    header: &[u8],
    mut fields: &'a [u8],
) -> Result<Option<ClientTls<'a>>, ProxyError> {
    let (mut tls, mut has_checksum, mut has_tls) = (None, false, false);
    while !fields.is_empty() {
        let (kind, value, rest) = field(fields)?;
        match kind {
            TYPE_CRC32C if has_checksum => return wrong("two checksums"),
            TYPE_CRC32C => {
                has_checksum = true;
                let at = header.len() - rest.len() - value.len();
                let Ok(stated) = <[u8; 4]>::try_from(value) else {
                    return wrong("a checksum that is not four bytes");
                };
                let sum = crc32c::crc32c(&header[..at]);
                let sum = crc32c::crc32c_append(sum, &[0; 4]);
                let sum = crc32c::crc32c_append(sum, &header[at + 4..]);
                if sum != u32::from_be_bytes(stated) {
                    return wrong("the checksum is not the header's");
                }
            }
            TYPE_SSL if has_tls => return wrong("two fields about TLS"),
            TYPE_SSL => {
                has_tls = true;
                tls = client_tls(value)?;
            }
            _ => {}
        }
        fields = rest;
    }
    Ok(tls)
}

fn client_tls(value: &[u8]) -> Result<Option<ClientTls<'_>>, ProxyError> {
    let &[client, a, b, c, d, ref fields @ ..] = value else {
        return wrong("a field about TLS that is too short");
    };
    let (mut fields, mut common_name) = (fields, None);
    while !fields.is_empty() {
        let (kind, value, rest) = field(fields)?;
        if kind == SUBTYPE_SSL_CN {
            if common_name.is_some() {
                return wrong("two Common Names");
            }
            match std::str::from_utf8(value) {
                Ok(name) => common_name = Some(name),
                Err(_) => return wrong("a Common Name that is not UTF-8"),
            }
        }
        fields = rest;
    }
    if client & CLIENT_SSL == 0 {
        return Ok(None);
    }
    let has_certificate = client & CLIENT_CERTIFICATE != 0;
    let verified = has_certificate && u32::from_be_bytes([a, b, c, d]) == 0;
    Ok(Some(ClientTls { verified, common_name: common_name.filter(|_| has_certificate) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(address: [u8; 4], port: u16) -> Option<(Address, u16)> {
        Some((Address::V4(address), port))
    }

    /// A version 2 header.
    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend((value.len() as u16).to_be_bytes());
        bytes.extend(value);
        bytes
    }

    const INET: [u8; 12] = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 0x07, 0x5B];

    fn with_fields(fields: &[u8]) -> Vec<u8> {
        v2(0x21, 0x11, &[&INET, fields].concat())
    }

    /// The same with a checksum in front of the fields.
    fn with_checksum(fields: &[u8]) -> Vec<u8> {
        let mut bytes = with_fields(&[tlv(TYPE_CRC32C, &[0; 4]), fields.to_vec()].concat());
        let sum = crc32c::crc32c(&bytes).to_be_bytes();
        bytes[31..35].copy_from_slice(&sum);
        bytes
    }

    fn ssl(client: u8, verify: u32, fields: &[u8]) -> Vec<u8> {
        tlv(TYPE_SSL, &[&[client][..], &verify.to_be_bytes(), fields].concat())
    }

    /// All of its beginnings are incomplete, and what stands behind it changes nothing.
    fn good(bytes: &[u8]) -> Header<'_> {
        for n in 0..bytes.len() {
            assert_eq!(parse(&bytes[..n]), Ok(None), "{n} of {bytes:?}");
        }
        let more = [bytes, b"\x10\x10"].concat();
        let header = parse(bytes).unwrap().unwrap();
        assert_eq!(parse(&more), Ok(Some(header)));
        assert_eq!(header.used, bytes.len());
        header
    }

    #[test]
    fn lines_that_are_headers() {
        let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(91));
        assert_eq!(longest.len(), V1_BYTES_MAX);
        let six =
            |last: u8| Address::V6([0x20, 1, 0xD, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        for (line, source, destination) in [
            ("PROXY UNKNOWN\r\n", None, None),
            ("PROXY UNKNOWN \u{e9} ::1 x\r\n", None, None),
            (&longest, None, None),
            (
                "PROXY TCP4 1.2.3.4 255.0.10.9 0 65535\r\n",
                v4([1, 2, 3, 4], 0),
                v4([255, 0, 10, 9], 65535),
            ),
            (
                "PROXY TCP6 2001:db8::1 2001:DB8:0:0:0:0:0:2 1 10\r\n",
                Some((six(1), 1)),
                Some((six(2), 10)),
            ),
        ] {
            let header = good(line.as_bytes());
            assert_eq!(header.version, 1);
            assert_eq!((header.source, header.destination), (source, destination), "{line}");
            assert_eq!(header.tls, None);
        }
    }

    /// Each is refused, and `certain` bytes of it are enough.
    #[test]
    fn lines_that_are_not() {
        let long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(92));
        for (line, certain) in [
            ("GET / HTTP/1.1\r\n", 1),
            ("\u{10}\u{c}", 1),
            ("PRI * HTTP/2.0\r\n", 3),
            ("PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n", 7),
            ("PROXY TCP5", 10),
            ("PROXY tcp4 ", 7),
            ("PROXY UNKNOWNX", 14),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", 31),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r", 32),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n", 28),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1\t2\r\n", 29),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", 32),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", 35),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", 32),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", 33),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", 29),
            ("PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n", 32),
            ("PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", 29),
            ("PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n", 33),
            ("PROXY TCP4 1.2.3.4.5 5.6.7.8 1 2\r\n", 33),
            ("PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n", 32),
            ("PROXY TCP4 ::1 ::1 1 2\r\n", 12),
            ("PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", 31),
            ("PROXY TCP6 :: ::g 1 2\r\n", 17),
            ("PROXY TCP4\r\n", 11),
            ("PROXY \r\n", 7),
            (&long, V1_BYTES_MAX),
        ] {
            let bytes = line.as_bytes();
            assert!(parse(bytes).is_err(), "{line:?}");
            assert!(parse(&bytes[..certain]).is_err(), "{line:?}: certain with {certain} bytes");
            assert_eq!(parse(&bytes[..certain - 1]), Ok(None), "{line:?}");
        }
    }

    /// The standard library knows the same addresses.
    #[test]
    fn addresses() {
        for word in [
            "::",
            "::1",
            "1::",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "1::8",
            "1:2:3:4:5:6:1.2.3.4",
            "::1.2.3.4",
            "::ffff:1.2.3.4",
            "1:2:3:4:5:6:7",
            "1::2::3",
            "",
            ":",
            ":::",
            "1:",
            ":1",
            "12345::",
            "::1.2.3",
            "1.2.3.4::",
            "1:2:3:4:5:6:7:8::",
            "::g",
            "1:2:3:4:5:6:7:1.2.3.4",
            "::1.2.3.4:5",
            "1:2:3:4:5:6:7:8:9",
            "+1::",
            "::-1",
            "1::2:",
            "1:2:3:4::5:6:7:8",
            "ABCD:ef01::",
            "::00001",
            "::0001",
            "1.2.3.4",
            "%",
            "::1%1",
        ] {
            let known = word.parse::<std::net::Ipv6Addr>().ok().map(|a| a.octets());
            assert_eq!(ipv6(word), known, "{word:?}");
        }
        for word in [
            "0.0.0.0",
            "255.255.255.255",
            "1.2.3.4",
            "256.1.1.1",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "1..2.3",
            ".1.2.3",
            "1.2.3.",
            "",
            "1.2.3.4 ",
            "1.2.3.-4",
            "1.2.3.+4",
            "0x1.2.3.4",
        ] {
            let known = word.parse::<std::net::Ipv4Addr>().ok().map(|a| a.octets());
            assert_eq!(ipv4(word), known, "{word:?}");
        }
    }

    #[test]
    fn binary_headers() {
        let (source, destination) = (v4([192, 0, 2, 1], 0x1234), v4([10, 0, 0, 1], 1883));
        let header = with_fields(&[]);
        let header = good(&header);
        assert_eq!((header.source, header.destination, header.tls), (source, destination, None));
        let mut inet6 = [7; 36];
        inet6[32..].copy_from_slice(&[0, 1, 0, 2]);
        let bytes = v2(0x21, 0x21, &inet6);
        let seven = Address::V6([7; 16]);
        assert_eq!(good(&bytes).source, Some((seven, 1)));
        assert_eq!(good(&bytes).destination, Some((seven, 2)));
        for bytes in [
            v2(0x20, 0x00, &[]),
            v2(0x20, 0xFF, b"whatever it says"),
            v2(0x20, 0x11, &INET),
            v2(0x21, 0x00, b"nothing to read"),
            v2(0x21, 0x31, &[b'/'; 216]),
            v2(0x20, 0x00, &[0; V2_BYTES_MAX]),
        ] {
            let header = good(&bytes);
            assert_eq!((header.source, header.destination, header.version), (None, None, 2));
        }
        let name = tlv(0x22, "Zähler 1".as_bytes());
        for (bytes, tls) in [
            (with_checksum(&[]), None),
            (with_fields(&tlv(0x04, b"nothing")), None),
            (with_fields(&ssl(0, 0, &[])), None),
            (with_fields(&ssl(1, 0, &name)), Some((false, None))),
            (with_fields(&ssl(1, 1, &[])), Some((false, None))),
            (with_fields(&ssl(3, 1, &name)), Some((false, Some("Zähler 1")))),
            (with_fields(&ssl(3, 0, &name)), Some((true, Some("Zähler 1")))),
            (
                with_checksum(&ssl(5, 0, &[tlv(0x21, b"TLSv1.3"), name.clone()].concat())),
                Some((true, Some("Zähler 1"))),
            ),
        ] {
            let tls = tls.map(|(verified, common_name)| ClientTls { verified, common_name });
            assert_eq!(good(&bytes).tls, tls, "{bytes:?}");
        }
    }

    #[test]
    fn binary_headers_that_are_none() {
        let mut spoiled = with_checksum(&[]);
        spoiled[16] ^= 1;
        let mut long = v2(0x20, 0, &[]);
        long[14..16].copy_from_slice(&(V2_BYTES_MAX as u16 + 1).to_be_bytes());
        let whole = usize::MAX;
        for (bytes, certain) in [
            (b"\r\n\r\n\0\r\nQUIX".to_vec(), 11),
            (v2(0x11, 0x11, &INET), 13),
            (v2(0x22, 0x11, &INET), 13),
            (v2(0x21, 0x12, &INET), 14),
            (v2(0x21, 0x41, &INET), 14),
            (v2(0x21, 0x13, &INET), 14),
            (v2(0x21, 0x01, &INET), 14),
            (v2(0x21, 0x11, &INET[..11]), 16),
            (v2(0x21, 0x21, &[0; 35]), 16),
            (v2(0x21, 0x31, &[0; 215]), 16),
            (long, 16),
            (spoiled, whole),
            (with_fields(&tlv(TYPE_CRC32C, &[0; 3])), whole),
            (with_checksum(&tlv(TYPE_CRC32C, &[0; 4])), whole),
            (with_fields(&[4, 0]), whole),
            (with_fields(&[4, 0, 1]), whole),
            (with_fields(&tlv(TYPE_SSL, &[1, 0, 0, 0])), whole),
            (with_fields(&ssl(3, 0, &[0x22, 0, 9, b'x'])), whole),
            (with_fields(&ssl(3, 0, &tlv(0x22, &[0xFF]))), whole),
            (with_fields(&ssl(3, 0, &[tlv(0x22, b"a"), tlv(0x22, b"b")].concat())), whole),
            (with_fields(&[ssl(3, 0, &[]), ssl(3, 0, &[])].concat()), whole),
        ] {
            let certain = certain.min(bytes.len());
            assert!(parse(&bytes).is_err(), "{bytes:?}");
            assert!(parse(&bytes[..certain]).is_err(), "{bytes:?}: certain with {certain}");
            assert_eq!(parse(&bytes[..certain - 1]), Ok(None), "{bytes:?}");
        }
    }
}
