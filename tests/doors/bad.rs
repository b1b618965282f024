//! Bad input at each way in: a bounded end, and one log line.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::certificates::{Ca, Files};
use crate::support::broker::Broker;
use crate::talk::{TlsClient, listener, open, socket, three_packets};

const CONNECT: &[u8] = b"\x10\x0e\0\x04MQTT\x05\x02\0\0\0\0\x01c";
const REQUEST: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
/// The beginning of a ClientHello.
const HELLO: &[u8] = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03";
const PROXY: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 1883\r\n";

const TLS: usize = 0;
const WEBSOCKET: usize = 1;
const PROXIED: usize = 2;
const PLAIN: usize = 3;

/// A listener of each kind; all of them the lobby's.
fn all_kinds(files: &Files, ca: &Ca, timeout_ms: u64) -> Broker {
    let tls = files.pair("server", &ca.server("localhost"));
    let kinds = [
        tls.as_str(),
        "protocol = \"websocket\"\n",
        "proxy = \"any\"\nproxy_from = \"127.0.0.1\"\n",
        "deny_from = \"192.0.2.0/24\"\n",
    ];
    let listeners =
        kinds.map(|lines| listener(&format!("{lines}handshake_timeout_ms = {timeout_ms}\n")));
    let connect_ms = timeout_ms + 100;
    open(&format!("server.connect_timeout_ms = {connect_ms}\n{}", listeners.concat()))
}

/// Reads until the end, whichever way it comes.
fn hear_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        Err(e) if e.kind() == ErrorKind::WouldBlock => panic!("no end"),
        _ => heard,
    }
}

/// One line for each of these.
fn one_line_each(broker: Broker, peers: &[String]) {
    let log = Arc::clone(&broker.log);
    broker.stop();
    let lines = log.all();
    for peer in peers {
        let told = lines.iter().filter(|line| line.contains(peer.as_str()));
        let told: Vec<_> = told.collect();
        assert_eq!(told.len(), 1, "{peer}: {told:?}");
    }
}

fn peer_of(stream: &TcpStream) -> String {
    format!("peer={} ", stream.local_addr().unwrap())
}

#[test]
fn what_is_wrong_from_its_first_bytes() {
    let (ca, files) = (Ca::new("ca"), Files::new());
    let broker = all_kinds(&files, &ca, 20_000);
    let mut oversize = REQUEST[..REQUEST.len() - 2].to_vec();
    oversize.extend(b"X-Padding: ");
    oversize.resize(20_000, b'x');
    let many = [&REQUEST[..REQUEST.len() - 2], &b"X: y\r\n".repeat(200), b"\r\n"].concat();
    let unmasked = [REQUEST, b"\x82\x02\x10\x0e"].concat();
    let reserved = [REQUEST, b"\xf2\x82\0\0\0\0\x10\x0e"].concat();
    let alone = [REQUEST, b"\x80\x82\0\0\0\0\x10\x0e"].concat();
    let huge_ping = [REQUEST, b"\x89\xfe\x01\0\0\0\0\0"].concat();
    let ping_fragment = [REQUEST, b"\x09\x81\0\0\0\0x"].concat();
    let not_connect = [PROXY, b"\x20\x03\0\0\0"].concat();
    let record = b"\x16\x03\x01\xff\xff\x01\0\x01\xfc\x03\x03";
    let alert = b"\x15\x03\x01\0\x02\x02\x46";
    for (number, bytes, why) in [
        (TLS, CONNECT, "MQTT without TLS"),
        (TLS, REQUEST, "HTTP or other text"),
        (TLS, b"\0\x01\x02\x03", "this is no TLS handshake"),
        (TLS, alert, "this is no TLS handshake"),
        (TLS, record, "TLS handshake: "),
        (TLS, b"\x16\x03\x01\0\x05\x02\0\0\x01x", "TLS handshake: "),
        (WEBSOCKET, HELLO, "TLS, and the listener has none"),
        (WEBSOCKET, CONNECT, "MQTT without WebSocket"),
        (WEBSOCKET, b"GET /mqtt HTTP/1.0\r\n\r\n", "HTTP/1.1"),
        (WEBSOCKET, b"POST /mqtt HTTP/1.1\r\nHost: h\r\n\r\n", "GET"),
        (WEBSOCKET, b"GET /mqtt HTTP/1.1\r\nHost: h\r\n\r\n", "status=4"),
        (WEBSOCKET, &oversize, "status=431"),
        (WEBSOCKET, &many, "status=431"),
        (WEBSOCKET, &unmasked, "mask"),
        (WEBSOCKET, &reserved, "reserved"),
        (WEBSOCKET, &alone, "continu"),
        (WEBSOCKET, &huge_ping, "control frame"),
        (WEBSOCKET, &ping_fragment, "control frame"),
        (PROXIED, CONNECT, "PROXY"),
        (PROXIED, HELLO, "PROXY"),
        (PROXIED, &not_connect, "not CONNECT"),
        (PLAIN, HELLO, "but TLS, and the listener has none"),
        (PLAIN, REQUEST, "not CONNECT"),
        (PLAIN, b"\x10\xff\xff\xff\x7f", "larger than the Maximum Packet Size"),
    ] {
        let mut stream = socket(&broker, number);
        let _ = stream.write_all(bytes);
        let heard = hear_end(&mut stream);
        assert!(heard.len() < 1024, "{}", heard.escape_ascii());
        let listener = format!("listener={}", broker.addresses[number]);
        broker.log.wait_for(&["INFO", "connection refused", why, &listener]);
    }
    broker.stop();
}

/// Who closes halfway, wherever that is.
#[test]
fn half_handshakes() {
    let (ca, files) = (Ca::new("ca"), Files::new());
    let broker = all_kinds(&files, &ca, 20_000);
    let mut peers = Vec::new();
    for (number, bytes, why) in [
        (TLS, &HELLO[..0], "TLS handshake"),
        (TLS, &HELLO[..1], "TLS handshake"),
        (TLS, HELLO, "TLS handshake"),
        (WEBSOCKET, &REQUEST[..0], "WebSocket upgrade"),
        (WEBSOCKET, &REQUEST[..30], "WebSocket upgrade"),
        (WEBSOCKET, REQUEST, "before CONNECT was whole"),
        (PROXIED, &PROXY[..10], "PROXY header"),
        (PROXIED, &PROXY[..0], "PROXY header"),
        (PLAIN, &CONNECT[..5], "before CONNECT was whole"),
    ] {
        let mut stream = socket(&broker, number);
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        peers.push(peer_of(&stream));
        hear_end(&mut stream);
        let peer = peers.last().unwrap();
        broker.log.wait_for(&["connection without CONNECT closed", peer, why]);
    }
    // The TLS handshake done, and then the socket's end without close_notify.
    let stream = TlsClient::new(&ca).open(&broker, TLS).unwrap();
    peers.push(peer_of(&stream.sock));
    drop(stream);
    broker.log.wait_for(&["connection without CONNECT closed", peers.last().unwrap(), "broke"]);
    one_line_each(broker, &peers);
}

/// A byte now and then does not stretch any part's time.
#[test]
fn slow_senders_end_in_time() {
    const TIMEOUT: Duration = Duration::from_millis(600);
    let (ca, files) = (Ca::new("ca"), Files::new());
    let broker = all_kinds(&files, &ca, TIMEOUT.as_millis() as u64);
    let long = three_packets(&"x".repeat(200));
    let behind_proxy = [PROXY, &long].concat();
    // A frame of 4096 bytes whose mask changes nothing.
    let in_frame = [REQUEST, b"\x82\xfe\x10\0\0\0\0\0", &long].concat();
    let peers: Vec<String> = std::thread::scope(|scope| {
        let cases = [
            (TLS, HELLO, 0, "handshake_timeout_ms"),
            (WEBSOCKET, REQUEST, 0, "handshake_timeout_ms"),
            (WEBSOCKET, &in_frame, REQUEST.len(), "connect_timeout_ms"),
            (PROXIED, PROXY, 0, "handshake_timeout_ms"),
            (PROXIED, &behind_proxy, PROXY.len(), "connect_timeout_ms"),
            (PLAIN, &long, 0, "connect_timeout_ms"),
        ]
        .map(|(number, bytes, quick, why)| (number, bytes.to_vec(), quick, why));
        let slow = cases.into_iter().map(|(number, bytes, quick, why)| {
            let broker = &broker;
            scope.spawn(move || {
                let mut stream = socket(broker, number);
                let start = Instant::now();
                stream.write_all(&bytes[..quick]).unwrap();
                // The read deadline paces the bytes.
                stream.set_read_timeout(Some(Duration::from_millis(70))).unwrap();
                let mut heard = [0; 1024];
                for byte in bytes[quick..].iter().chain(std::iter::repeat(&0)) {
                    let _ = stream.write_all(&[*byte]);
                    match stream.read(&mut heard) {
                        Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                        Ok(1..) => {}
                        _ => break,
                    }
                    assert!(start.elapsed() < Duration::from_secs(20), "no end: {why}");
                }
                let took = start.elapsed();
                let least = TIMEOUT - Duration::from_millis(20);
                assert!(took >= least && took < TIMEOUT + Duration::from_secs(3), "{took:?}");
                let peer = peer_of(&stream);
                if number != PROXIED {
                    broker.log.wait_for(&[why, &peer]);
                }
                peer
            })
        });
        let slow: Vec<_> = slow.collect();
        slow.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    broker.log.wait_for(&["PROXY header", "handshake_timeout_ms is over"]);
    broker.log.wait_for(&["peer=192.0.2.7:4711", "connect_timeout_ms"]);
    one_line_each(broker, &[&peers[..4], &peers[5..]].concat());
}
