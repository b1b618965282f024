//! Many at once: half-open connections, one source's, and more than a listener takes in a second.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::certificates::{Ca, Files};
use crate::support::broker::Broker;
use crate::support::raise_file_limit;
use crate::talk::{Talk, TlsClient, listener, open, socket};

/// Whether the other side has closed; waits for nothing.
fn has_ended(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let ended = !matches!(stream.read(&mut [0]), Err(e) if e.kind() == ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
    ended
}

/// The beginning of a handshake, and no more: for some nothing at all.
fn half_open(stream: &mut TcpStream, n: usize) {
    let hello = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03";
    stream.write_all(&hello[..n % hello.len()]).unwrap();
}

const EVICTED: &str = "handshakes_max is reached, and it was the oldest";

/// Of 2000, where 500 may be on their way in.
fn the_oldest_have_gone(broker: &Broker, crowd: &mut [TcpStream]) {
    broker.log.wait_until("1500 evicted", |lines| {
        (lines.iter().filter(|line| line.contains(EVICTED)).count() >= 1500).then_some(())
    });
    assert!(crowd[..1400].iter_mut().all(has_ended));
    assert!(!crowd[1600..].iter_mut().any(has_ended));
}

#[test]
fn half_open_connections_do_not_keep_others_out() {
    raise_file_limit();
    let (ca, files) = (Ca::new("ca"), Files::new());
    let tls = files.pair("server", &ca.server("localhost"));
    let lines = "handshakes_max = 500\nhandshakes_per_source_max = 0\nhandshake_timeout_ms = 60000";
    let listener = listener(&format!("{tls}{lines}"));
    let broker = open(&format!("server.connect_timeout_ms = 60000\n{listener}"));
    let mut crowd: Vec<_> = (0..2000)
        .map(|n| {
            let mut stream = socket(&broker, 0);
            half_open(&mut stream, n);
            stream
        })
        .collect();
    let start = Instant::now();
    let mut good = Talk::enter(TlsClient::new(&ca).open(&broker, 0).unwrap(), "good");
    let took = start.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    broker.log.wait_for(&["client connected", "client_id=good"]);
    the_oldest_have_gone(&broker, &mut crowd);
    good.ping();
    drop(crowd);
    broker.stop();
}

/// Where anonymous clients alone speak plain MQTT, a shard's own loop keeps the same limit, with
/// more patience: nobody waits there, and who has been silent for long goes when somebody comes.
#[test]
fn silent_ones_do_not_keep_others_out_of_plain_mqtt() {
    raise_file_limit();
    let other = listener("handshakes_max = 1");
    let listener = listener("handshakes_max = 500");
    let broker = open(&format!("server.connect_timeout_ms = 60000\n{listener}{other}"));
    let mut crowd: Vec<_> = (0..2000)
        .map(|n| {
            let mut stream = socket(&broker, 0);
            stream.write_all(&b"\x10\x0d\0\x04MQTT"[..n % 8]).unwrap();
            stream
        })
        .collect();
    let start = Instant::now();
    let mut good = Talk::enter(socket(&broker, 0), "good");
    // The other listener's places are its own.
    let mut further: Vec<_> =
        (0..20).map(|n| Talk::enter(socket(&broker, 1), &format!("further-{n}"))).collect();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    while start.elapsed() < Duration::from_millis(2_100) {
        good.ping();
    }
    drop(socket(&broker, 0)); // whoever comes makes them go
    the_oldest_have_gone(&broker, &mut crowd);
    good.ping();
    further.iter_mut().for_each(Talk::ping);
    // Who stays may come in all the same.
    let mut last = crowd.pop().unwrap();
    last.write_all(&b"\x10\x0d\0\x04MQTT"[1999 % 8..]).unwrap();
    last.write_all(b"\x04\x02\0\0\0\x01z").unwrap();
    let mut answer = [0; 4];
    last.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"\x20\x02\0\0");
    drop(crowd);
    broker.stop();
}

#[test]
fn one_source_does_not_take_all_places() {
    let (ca, files) = (Ca::new("ca"), Files::new());
    let tls = files.pair("server", &ca.server("localhost"));
    let broker = open(&listener(&format!("{tls}handshakes_per_source_max = 3\n")));
    let mut crowd: Vec<_> = (0..3).map(|_| socket(&broker, 0)).collect();
    let mut fourth = socket(&broker, 0);
    assert!(!matches!(fourth.read(&mut [0]), Ok(1..)));
    broker.log.wait_for(&["connection refused", "handshakes_per_source_max is reached"]);
    assert!(!crowd.iter_mut().any(has_ended));
    // Another source has room; and so has this one, when one of the three has got in or gone.
    let address = broker.addresses[0];
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    other.bind(&"127.0.0.2:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    other.connect(&address.into()).unwrap();
    let config = std::sync::Arc::new(TlsClient::new(&ca).config());
    let stream = crate::talk::handshake(config, "localhost", other.into()).unwrap();
    Talk::enter(stream, "elsewhere").ping();
    drop(crowd.pop());
    broker.log.wait_for(&["the connection ended in the TLS handshake"]);
    let mut clients: Vec<_> = (0..5)
        .map(|n| Talk::enter(TlsClient::new(&ca).open(&broker, 0).unwrap(), &format!("c{n}")))
        .collect();
    clients.iter_mut().for_each(Talk::ping);
    broker.stop();
}

#[test]
fn no_more_in_a_second_than_the_listener_takes() {
    let broker = open(&listener("connections_per_s_max = 5"));
    let start = Instant::now();
    let outcomes: Vec<bool> = (0..40)
        .map(|n| {
            let mut talk = Talk::over(socket(&broker, 0));
            let connect = format!("\x10\x0f\0\x04MQTT\x05\x02\0\0\0\0\x02{n:02}");
            talk.stream.write_all(connect.as_bytes()).is_ok()
                && matches!(talk.hear(), crate::support::client::Heard::ConnAck { code: 0, .. })
        })
        .collect();
    let entered = outcomes.iter().filter(|entered| **entered).count();
    let most = 5 + 1 + (start.elapsed().as_secs_f64() * 5.0) as usize;
    assert!((5..=most).contains(&entered), "{entered}, at most {most}");
    assert!(outcomes[..5].iter().all(|entered| *entered));
    broker.log.wait_for(&["connection refused", "connections_per_s_max"]);
    broker.stop();
}

#[test]
fn lists_and_limits_before_anything_is_read() {
    let full = "connections_max = 1\ndeny_from = \"192.0.2.1\"";
    let denied = "deny_from = \"127.0.0.0/8\"";
    let elsewhere = "allow_from = \"192.0.2.0/24, 2001:db8::/32\"";
    let broker = open(&(listener(full) + &listener(denied) + &listener(elsewhere)));
    let mut first = Talk::enter(socket(&broker, 0), "first");
    for (number, why) in [
        (0, "connections_max is reached"),
        (1, "deny_from names this address"),
        (2, "allow_from does not name this address"),
    ] {
        assert!(!matches!(socket(&broker, number).read(&mut [0]), Ok(1..)));
        broker.log.wait_for(&["connection refused", why]);
    }
    first.ping();
    drop(first);
    broker.log.wait_for(&["client disconnected"]);
    Talk::enter(socket(&broker, 0), "second").ping();
    broker.stop();
}
