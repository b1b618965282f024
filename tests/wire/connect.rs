//! The way in: what a CONNECT must be, how long it may take, how large it may be.

use std::io::Write;
use std::time::{Duration, Instant};

use stonechat::codec::{Connect, Packet, QoS, Version};

use crate::support::broker::{Setup, broker, sharded};
use crate::support::client::{Client, Heard, bytes_of, connect, persistent, send_what_goes, will};

fn refused(code: u8) -> Heard {
    Heard::ConnAck { present: false, code, assigned: None }
}

#[test]
fn without_a_connect_in_time_the_connection_ends() {
    let broker = broker("server.connect_timeout_ms = 300");
    let mut silent = Client::bare(&broker, Version::V5);
    let start = Instant::now();
    assert_eq!(silent.hear(), Heard::End);
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(290) && took < Duration::from_secs(3), "{took:?}");
    broker.log.wait_for(&["connection without CONNECT closed", "connect_timeout_ms"]);
    broker.stop();
}

#[test]
fn one_byte_at_a_time_does_not_stretch_the_time() {
    let broker = broker("server.connect_timeout_ms = 500");
    let bytes = bytes_of(
        &Packet::Connect(Box::new(connect(Version::V5, &"long".repeat(100)))),
        Version::V5,
    );
    let mut loris = Client::bare(&broker, Version::V5);
    let start = Instant::now();
    // The read deadline paces the bytes: none comes back until the end.
    loris.socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut byte = [0];
    for one in bytes.chunks(1) {
        if loris.socket.write_all(one).is_err() {
            break;
        }
        match std::io::Read::read(&mut loris.socket, &mut byte) {
            Ok(0) => break,
            Ok(_) => panic!("an answer to half a CONNECT"),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(490) && took < Duration::from_secs(4), "{took:?}");
    // With enough time it is as good as any other.
    let mut patient = Client::bare(&broker, Version::V5);
    for one in bytes.chunks(1) {
        patient.send_bytes(one);
    }
    assert!(matches!(patient.hear(), Heard::ConnAck { code: 0, .. }));
    broker.stop();
}

#[test]
fn a_large_connect_is_refused_from_its_header() {
    let broker = broker("server.connect_bytes_max = 2048");
    let payload = vec![b'x'; 4096];
    let large = |version| Connect {
        will: Some(will("w", &payload, QoS::AtMostOnce)),
        ..connect(version, "large")
    };
    for (version, answer) in [(Version::V5, refused(0x95)), (Version::V311, Heard::End)] {
        let bytes = bytes_of(&Packet::Connect(Box::new(large(version))), version);
        let mut client = Client::bare(&broker, version);
        // Its first bytes are enough.
        client.send_bytes(&bytes[..40]);
        assert_eq!(client.hear(), answer);
        assert_eq!(client.hear(), Heard::End);
    }
    let fits = vec![b'x'; 1900];
    let will = Some(will("w", &fits, QoS::AtMostOnce));
    let (_, heard) = Client::open(&broker, Connect { will, ..connect(Version::V5, "fits") });
    assert!(matches!(heard, Heard::ConnAck { code: 0, .. }));
    broker.stop();
}

#[test]
fn the_first_packet_is_connect() {
    let broker = broker("");
    for bytes in [
        &b"\xc0\0"[..],
        b"\x30\x03\0\x01t",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0",
        b"\0",
        b"\x20\x03\0\0\0",
        b"\xff\xff\xff\xff\xff",
    ] {
        let mut client = Client::bare(&broker, Version::V5);
        client.send_bytes(bytes);
        assert_eq!(client.hear(), Heard::End, "{bytes:?}");
    }
    broker.log.wait_for(&["connection refused", "the first packet is not CONNECT"]);
    broker.stop();
}

#[test]
fn unsupported_protocol_levels() {
    let broker = broker("");
    for (bytes, version, answer) in [
        (&b"\x10\x0d\0\x04MQTT\x02\x02\0\0\0\x01a"[..], Version::V311, refused(1)),
        (b"\x10\x0d\0\x04MQTT\x00\x02\0\0\0\x01a", Version::V311, refused(1)),
        (b"\x10\x0d\0\x04MQTT\x06\x02\0\0\0\x01a", Version::V5, refused(0x84)),
        (b"\x10\x0e\0\x04MQTT\x06\x02\0\0\0\0\x01a", Version::V5, refused(0x84)),
        (b"\x10\x0f\0\x06MQIsdp\x02\x02\0\0\0\x01a", Version::V311, refused(1)),
        (b"\x10\x0d\0\x04MQTX\x04\x02\0\0\0\x01a", Version::V311, Heard::End),
    ] {
        let mut client = Client::bare(&broker, version);
        client.send_bytes(bytes);
        assert_eq!(client.hear(), answer, "{bytes:?}");
        assert_eq!(client.hear(), Heard::End);
    }
    broker.stop();
}

#[test]
fn nobody_without_a_name_unless_it_is_allowed() {
    let broker = Setup { anonymous: false, ..Setup::default() }.start();
    for (version, code) in [(Version::V5, 0x87), (Version::V311, 5), (Version::V31, 5)] {
        let (mut client, answer) = Client::open(&broker, connect(version, "a"));
        assert_eq!(answer, refused(code));
        assert_eq!(client.hear(), Heard::End);
    }
    broker.stop();
}

#[test]
fn client_ids_too_long() {
    let broker = broker("mqtt.client_id_bytes_max = 30");
    let (fits, long) = ("x".repeat(30), "x".repeat(31));
    for (version, code) in [(Version::V5, 0x85), (Version::V311, 2), (Version::V31, 2)] {
        assert_eq!(Client::open(&broker, connect(version, &long)).1, refused(code));
        if version != Version::V31 {
            Client::with(&broker, connect(version, &fits)).0.disconnect();
        }
    }
    broker.stop();
}

#[test]
fn empty_client_ids() {
    for shards in [1, 2] {
        let broker = sharded(shards, "");
        let mut assigned = std::collections::HashSet::new();
        for clean_start in [true, false] {
            let c = Connect { clean_start, ..connect(Version::V5, "") };
            let (client, answer) = Client::open(&broker, c);
            let Heard::ConnAck { present: false, code: 0, assigned: Some(id) } = answer else {
                panic!("{answer:?}");
            };
            assert!(assigned.insert(id.clone()));
            client.disconnect();
            broker.log.wait_for(&["client connected", &id]);
        }
        for _ in 0..2 {
            let (mut client, answer) = Client::open(&broker, connect(Version::V311, ""));
            assert_eq!(answer, refused(0));
            client.ping();
        }
        let kept = persistent(Version::V311, "");
        assert_eq!(Client::open(&broker, kept).1, refused(2));
        let (mut old, answer) = Client::open(&broker, connect(Version::V31, ""));
        assert_eq!(answer, refused(2));
        assert_eq!(old.hear(), Heard::End);
        broker.stop();
    }
}

#[test]
fn a_second_connect_is_an_error() {
    let broker = broker("");
    for (version, answer) in [(Version::V5, Heard::Disconnect(0x82)), (Version::V311, Heard::End)] {
        let (mut client, _) = Client::with(&broker, connect(version, "twice"));
        client.send(&Packet::Connect(Box::new(connect(version, "twice"))));
        assert_eq!(client.hear(), answer);
    }
    broker.stop();
}

#[test]
fn what_comes_behind_a_refused_connect_is_not_looked_at() {
    let broker = Setup { anonymous: false, ..Setup::default() }.start();
    let mut bytes = bytes_of(&Packet::Connect(Box::new(connect(Version::V5, "a"))), Version::V5);
    bytes.extend(std::iter::repeat_n(0xff, 300_000));
    let mut client = Client::bare(&broker, Version::V5);
    send_what_goes(&mut client.socket, &bytes);
    assert_eq!(client.hear(), refused(0x87));
    broker.stop();
}

#[test]
fn connections_that_say_nothing_do_not_keep_others_out() {
    let broker = broker("");
    let silent: Vec<_> = (0..200).map(|_| broker.socket()).collect();
    for (n, socket) in silent.iter().enumerate() {
        let mut socket = socket;
        socket.write_all(&b"\x10\x20\0\x04MQTT\x05"[..n % 9]).unwrap();
    }
    Client::new(&broker, "busy").ping();
    drop(silent);
    broker.stop();
}
