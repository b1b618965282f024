//! Signals, the orderly end, and the lines of the log.

use std::io::Write;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use stonechat::codec::{Connect, QoS, Version};

use crate::support::broker::{Setup, broker, sharded};
use crate::support::client::{Client, Heard, connect, persistent};
use stonechat::codec::Packet;

#[test]
fn sigterm_tells_the_clients_and_ends() {
    for shards in [1, 2, 3] {
        let broker = sharded(shards, "server.shutdown_ms = 5000");
        let mut v5: Vec<Client> =
            (0..8).map(|n| Client::new(&broker, &format!("five-{n}"))).collect();
        let mut v3: Vec<Client> = (0..8)
            .map(|n| Client::with(&broker, connect(Version::V311, &format!("three-{n}"))).0)
            .collect();
        let start = Instant::now();
        broker.signal(Signal::TERM);
        for client in &mut v5 {
            assert_eq!(client.hear(), Heard::Disconnect(0x8b));
            assert_eq!(client.hear(), Heard::End);
        }
        for client in &mut v3 {
            assert_eq!(client.hear(), Heard::End);
        }
        drop((v5, v3));
        end(broker, start, Duration::from_secs(4));
    }
}

/// The process ends by itself, with 0, and in time.
fn end(mut broker: crate::support::broker::Broker, start: Instant, at_most: Duration) {
    let status = broker.wait(Duration::from_secs(30));
    assert_eq!(status.code(), Some(0));
    assert!(start.elapsed() < at_most, "{:?}", start.elapsed());
    broker.log.wait_for(&["stopped"]);
}

#[test]
fn sigint_is_an_orderly_end_too() {
    let mut broker = broker("");
    broker.signal(Signal::INT);
    assert_eq!(broker.wait(Duration::from_secs(10)).code(), Some(0));
}

#[test]
fn pending_output_is_flushed_before_the_end() {
    for shards in [1, 2] {
        let broker =
            sharded(shards, "server.shutdown_ms = 5000\nlimits.output_bytes_max = 67108864");
        let mut subscriber = Client::new(&broker, "subscriber");
        subscriber.subscribe("bulk", QoS::AtMostOnce);
        let mut publisher = Client::new(&broker, "publisher");
        for n in 0..20_u8 {
            publisher.publish("bulk", &vec![n; 1 << 20], QoS::AtLeastOnce);
        }
        broker.signal(Signal::TERM);
        assert_eq!(publisher.hear(), Heard::Disconnect(0x8b));
        for n in 0..20 {
            let got = subscriber.message();
            assert_eq!((got.payload.len(), got.payload[0]), (1 << 20, n));
        }
        assert_eq!(subscriber.hear(), Heard::Disconnect(0x8b));
        assert_eq!(subscriber.hear(), Heard::End);
        drop((subscriber, publisher));
        end(broker, Instant::now(), Duration::from_secs(7));
    }
}

#[test]
fn a_client_that_does_not_read_does_not_hold_the_end_up() {
    for shards in [1, 2] {
        let settings = "server.shutdown_ms = 700\nlimits.output_bytes_max = 67108864";
        let broker = sharded(shards, settings);
        let _stuck = stuck(&broker);
        let start = Instant::now();
        broker.signal(Signal::TERM);
        end(broker, start, Duration::from_millis(700 + 2500));
    }
}

#[test]
fn a_second_sigterm_ends_at_once() {
    for shards in [1, 2] {
        let settings = "server.shutdown_ms = 600000\nlimits.output_bytes_max = 67108864";
        let mut broker = sharded(shards, settings);
        let _stuck = stuck(&broker);
        broker.signal(Signal::TERM);
        broker.log.wait_for(&["stopping"]);
        let start = Instant::now();
        broker.signal(Signal::TERM);
        let status = broker.wait(Duration::from_secs(30));
        assert_ne!(status.code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
}

/// A client for which much waits and that reads nothing.
fn stuck(broker: &crate::support::broker::Broker) -> Client {
    let mut subscriber = Client::new(broker, "stuck");
    subscriber.subscribe("bulk", QoS::AtMostOnce);
    let mut publisher = Client::new(broker, "publisher");
    for _ in 0..20 {
        publisher.publish("bulk", &vec![0; 1 << 20], QoS::AtLeastOnce);
    }
    publisher.disconnect();
    subscriber
}

#[test]
fn nobody_comes_in_while_it_stops() {
    let settings = "server.shutdown_ms = 3000\nlimits.output_bytes_max = 67108864";
    let broker = sharded(2, settings);
    let _stuck = stuck(&broker);
    let mut on_the_porch = Client::bare(&broker, Version::V5);
    broker.signal(Signal::TERM);
    broker.log.wait_for(&["stopping"]);
    let late = Packet::Connect(Box::new(connect(Version::V5, "late")));
    on_the_porch.try_send(&late);
    assert!(matches!(on_the_porch.hear(), Heard::End | Heard::ConnAck { code: 0x8b, .. }));
}

#[test]
fn who_is_refused_was_not_connected() {
    let broker = broker("");
    let (mut inside, _) = Client::with(&broker, connect(Version::V5, "narrow"));
    let refused = Connect { maximum_packet_size: 5, ..connect(Version::V5, "narrow") };
    let mut outside = Client::bare(&broker, Version::V5);
    outside.try_send(&Packet::Connect(Box::new(refused)));
    assert!(matches!(outside.hear(), Heard::ConnAck { code: 0x95, .. }));
    broker.log.wait_for(&["connection refused", "narrow", "reason=0x95"]);
    inside.ping();
    inside.disconnect();
    let end = broker.log.wait_for(&["client disconnected", "narrow"]);
    assert!(end.contains("reason=0x00"), "{end}");
    broker.stop();
}

#[test]
fn sighup_disconnects_nobody() {
    let broker = sharded(2, "");
    let mut clients: Vec<Client> = (0..4).map(|n| Client::new(&broker, &format!("c{n}"))).collect();
    broker.signal(Signal::HUP);
    broker.log.wait_for(&["SIGHUP"]);
    for client in &mut clients {
        client.ping();
    }
    broker.stop();
}

#[test]
fn the_log_has_a_line_for_each_coming_and_going() {
    for (format, part) in [("text", "reason=0x"), ("json", "\"reason\":\"0x")] {
        let broker = broker(&format!("log.format = \"{format}\""));
        let (five, _) = Client::with(&broker, connect(Version::V5, "five"));
        let peer = five.socket.local_addr().unwrap().to_string();
        five.disconnect();
        broker.log.wait_for(&["client connected", "five", &peer, "5.0"]);
        let end = broker.log.wait_for(&["client disconnected", "five", &peer, "5.0", "why"]);
        assert!(end.contains(part), "{end}");

        let (three, _) = Client::with(&broker, connect(Version::V311, "three"));
        let peer = three.socket.local_addr().unwrap().to_string();
        drop(three);
        broker.log.wait_for(&["client connected", "three", &peer, "3.1.1"]);
        broker.log.wait_for(&["client disconnected", "three", &peer, "the client closed"]);

        Client::with(&broker, connect(Version::V31, "old")).0.reset();
        broker.log.wait_for(&["client connected", "old", "3.1"]);
        broker.log.wait_for(&["client disconnected", "old", "broke"]);

        let (mut first, _) = Client::with(&broker, connect(Version::V5, "twin"));
        let (second, _) = Client::with(&broker, connect(Version::V5, "twin"));
        assert_eq!(first.hear(), Heard::Disconnect(0x8e));
        broker.log.wait_for(&["client disconnected", "twin", "took the session over", "0x8e"]);
        second.disconnect();
        for (id, times) in [("five", 1), ("three", 1), ("old", 1), ("twin", 2)] {
            count_lines(&broker, id, times);
        }
        broker.stop();
    }
}

/// Waits until there are so many connects and disconnects of a client, then checks that there are
/// no more.
fn count_lines(broker: &crate::support::broker::Broker, id: &str, times: usize) {
    let count = |lines: &[String], what: &str| {
        let parts = [what.to_owned(), id.to_owned()];
        lines.iter().filter(|l| parts.iter().all(|p| l.contains(p.as_str()))).count()
    };
    broker.log.wait_until(&format!("{times} ends of {id}"), |lines| {
        (count(lines, "client disconnected") >= times).then_some(())
    });
    let lines = broker.log.all();
    assert_eq!(count(&lines, "client connected"), times, "{lines:#?}");
    assert_eq!(count(&lines, "client disconnected"), times, "{lines:#?}");
}

#[test]
fn the_log_tells_refusals_and_keep_alive() {
    let broker = broker("");
    let slow = Connect { keep_alive_s: 1, ..connect(Version::V5, "sleeper") };
    let (mut sleeper, _) = Client::with(&broker, slow);
    let start = Instant::now();
    assert_eq!(sleeper.hear(), Heard::Disconnect(0x8d));
    let took = start.elapsed();
    assert!(took > Duration::from_millis(1400) && took < Duration::from_secs(4), "{took:?}");
    broker.log.wait_for(&["client disconnected", "sleeper", "0x8d"]);
    let mut bad = Client::new(&broker, "bad");
    // A Packet Identifier of 0.
    bad.send_bytes(b"\x32\x07\0\x01t\0\0\0\0");
    assert!(matches!(bad.hear(), Heard::Disconnect(0x81 | 0x82)));
    broker.log.wait_for(&["client disconnected", "bad", "0x8"]);
    broker.stop();
}

#[test]
fn a_hostile_client_id_cannot_forge_a_line() {
    let broker = broker("");
    let id = "x\" why=forged\u{1b}[31m";
    let mut client = Client::bare(&broker, Version::V5);
    client.send(&Packet::Connect(Box::new(connect(Version::V5, id))));
    client.hear();
    drop(client);
    let line = broker.log.wait_for(&["why=forged"]);
    assert!(!line.contains('\u{1b}'), "{line:?}");
    broker.stop();
}

#[test]
fn on_ipv6_too() {
    let setup = Setup { listen: Some("[::1]:0"), ..Setup::default() };
    let broker = match setup.try_start() {
        Ok(broker) => broker,
        Err(log) => {
            let _ = writeln!(std::io::stderr(), "skipped: on_ipv6_too (this machine has no ::1)");
            assert!(log.contains("cannot listen"), "{log}");
            return;
        }
    };
    let mut client = Client::new(&broker, "six");
    assert!(broker.address().is_ipv6());
    client.ping();
    broker.log.wait_for(&["client connected", "six", "[::1]"]);
    client.disconnect();
    broker.stop();
}

#[test]
fn an_address_in_use_is_told_and_ends_the_start() {
    let first = broker("");
    let address = first.address().to_string();
    let second = Setup { listen: Some(&address), ..Setup::default() }.try_start();
    let log = second.err().expect("two brokers on one address");
    assert!(log.contains("cannot listen") && log.contains(&address), "{log}");
    // An optional listener only warns.
    let settings = format!(
        "[[listener]]\naddress = \"{address}\"\noptional = true\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n"
    );
    let third = Setup { settings: &settings, listen: None, ..Setup::default() }.start();
    third.log.wait_for(&["WARN", &address]);
    Client::new(&third, "a").ping();
    third.stop();
    first.stop();
}

#[test]
fn sessions_do_not_outlive_the_process_but_are_told_so() {
    let broker = broker("");
    let (client, present) = Client::with(&broker, persistent(Version::V311, "keeper"));
    assert!(!present);
    client.disconnect();
    let (client, present) = Client::with(&broker, persistent(Version::V311, "keeper"));
    assert!(present);
    client.disconnect();
    broker.stop();
}
