//! PROXY headers: who may send them, what becomes of the address, and lies.

use std::io::{Read, Write};
use std::net::SocketAddr;

use crate::certificates::{Ca, Files};
use crate::support::client::Heard;
use crate::talk::{Talk, TlsClient, handshake, listener, open, socket, three_packets};

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 1883\r\n";

/// A version 2 header for an IPv4 connection, with these TLVs behind the addresses.
fn v2(command: u8, source: SocketAddr, tlvs: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([0x20 | command, 0x11]);
    bytes.extend((12 + tlvs.len() as u16).to_be_bytes());
    let SocketAddr::V4(source) = source else { panic!("{source}") };
    bytes.extend(source.ip().octets());
    bytes.extend([198, 51, 100, 1]);
    bytes.extend(source.port().to_be_bytes());
    bytes.extend(1883_u16.to_be_bytes());
    bytes.extend(tlvs);
    bytes
}

fn behind(lines: &str) -> String {
    listener(&format!("proxy_from = \"127.0.0.0/8, ::1\"\n{lines}"))
}

#[test]
fn the_client_is_whom_a_listed_proxy_names() {
    let (ca, files) = (Ca::new("ca"), Files::new());
    let lines = files.pair("server", &ca.server("localhost"));
    let broker = open(&(behind("proxy = \"any\"") + &behind(&format!("{lines}proxy = \"v2\""))));
    let header = v2(1, "203.0.113.9:5000".parse().unwrap(), b"\x04\0\x02xx");
    for (client_id, header, peer) in [
        ("v1", V1, "192.0.2.7:4711"),
        ("v2", &header, "203.0.113.9:5000"),
        ("local", &v2(0, "203.0.113.9:5000".parse().unwrap(), b""), "127.0.0.1:"),
        ("v6", b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n", "2001:db8::1]:1"),
        ("unknown", b"PROXY UNKNOWN\r\n", "127.0.0.1:"),
    ] {
        // In one piece with what follows, and byte by byte.
        for piece in [usize::MAX, 1] {
            let mut stream = socket(&broker, 0);
            let bytes = [header, &three_packets(client_id)].concat();
            for piece in bytes.chunks(piece.min(bytes.len())) {
                stream.write_all(piece).unwrap();
            }
            crate::talk::hear_three(&mut Talk::over(stream));
        }
        let client_id = format!("client_id={client_id}");
        broker.log.wait_for(&["client connected", &client_id, peer]);
    }
    // Before TLS.
    let mut stream = socket(&broker, 1);
    stream.write_all(&header).unwrap();
    let config = std::sync::Arc::new(TlsClient::new(&ca).config());
    let mut talk = Talk::enter(handshake(config, "localhost", stream).unwrap(), "tls");
    talk.ping();
    broker.log.wait_for(&["client connected", "client_id=tls", "peer=203.0.113.9:5000"]);
    broker.stop();
}

#[test]
fn headers_from_elsewhere_and_lies() {
    let unlisted = listener("proxy = \"any\"\nproxy_from = \"192.0.2.0/24\"");
    let strict = behind("proxy = \"v2\"\ndeny_from = \"192.0.2.0/24\"");
    let old = behind("proxy = \"v1\"\nallow_from = \"203.0.113.0/24\"");
    let broker = open(&(unlisted + &strict + &old));
    let from = |source: &str| v2(1, source.parse().unwrap(), b"");
    let mut short = from("203.0.113.9:1");
    short[15] = 11;
    for (number, header, why) in [
        (0, V1.to_vec(), "proxy_from does not name this proxy"),
        (1, V1.to_vec(), "not of the listener's version"),
        (1, from("192.0.2.1:1"), "deny_from names this address"),
        (1, short, "PROXY"),
        (1, b"\x10\x0e\0\x04MQTT\x05\x02\0\0\0\0\x01c".to_vec(), "PROXY"),
        (2, from("203.0.113.9:1"), "not of the listener's version"),
        (2, V1.to_vec(), "allow_from does not name this address"),
        (2, b"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n".to_vec(), "PROXY"),
        (2, [b"PROXY TCP4 ", &[b'1'; 200][..]].concat(), "PROXY"),
    ] {
        let mut stream = socket(&broker, number);
        let _ = stream.write_all(&header);
        assert!(!matches!(stream.read(&mut [0; 10]), Ok(1..)), "{why}");
        let listener = format!("listener={}", broker.addresses[number]);
        broker.log.wait_for(&["connection refused", why, &listener]);
    }
    // A good one still comes in.
    let mut stream = socket(&broker, 1);
    stream.write_all(&from("203.0.113.9:1")).unwrap();
    Talk::enter(stream, "good").ping();
    broker.stop();
}

#[test]
fn where_none_is_expected_a_header_is_garbage() {
    let broker = open(&listener("deny_from = \"192.0.2.0/24\""));
    for header in [V1.to_vec(), v2(1, "203.0.113.9:1".parse().unwrap(), b"")] {
        let mut talk = Talk::over(socket(&broker, 0));
        talk.stream.write_all(&header).unwrap();
        assert_eq!(talk.hear(), Heard::End);
    }
    broker.log.wait_for(&["connection refused", "the first packet is not CONNECT"]);
    broker.stop();
}

/// What a proxy says of the client's certificate counts, if it says that it has verified it.
#[test]
fn a_certificate_that_the_proxy_has_verified() {
    use crate::support::broker::Setup;
    let settings = behind("proxy = \"v2\"\nuser_from = \"common_name\"");
    let setup = Setup { listen: None, anonymous: false, settings: &settings, ..Setup::default() };
    let broker = setup.start();
    // PP2_TYPE_SSL: client bits, the outcome of verifying, and the Common Name.
    let tls = |client: u8, verify: u8| {
        let inner = [&[client, 0, 0, 0, verify][..], b"\x22\0\x06sensor"].concat();
        [&[0x20, 0, inner.len() as u8][..], &inner].concat()
    };
    for (tlvs, enters) in [
        (tls(7, 0), true),
        (tls(5, 0), true),
        (tls(1, 0), false), // TLS, but no certificate
        (tls(7, 1), false), // one that is not good
        (Vec::new(), false),
    ] {
        let mut talk = Talk::over(socket(&broker, 0));
        talk.stream.write_all(&v2(1, "203.0.113.9:1".parse().unwrap(), &tlvs)).unwrap();
        talk.stream.write_all(b"\x10\x0e\0\x04MQTT\x05\x02\0\0\0\0\x01c").unwrap();
        let answer = talk.hear();
        let code = if enters { 0 } else { 0x87 };
        assert!(matches!(answer, Heard::ConnAck { code: c, .. } if c == code), "{answer:?}");
    }
    broker.stop();
}
