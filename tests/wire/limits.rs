//! Connections up to their limits, and file descriptors up to the system's.

use std::time::{Duration, Instant};

use stonechat::codec::{QoS, Version};

use crate::support::broker::{Broker, Setup, sharded};
use crate::support::client::{Client, Heard, connect};
use crate::support::cpu_ticks;

/// Connects until it is let in: places are given back a moment after their client has gone.
fn connect_patiently(broker: &Broker, id: &str) -> Client {
    let until = Instant::now() + crate::support::PATIENCE;
    loop {
        let mut client = Client::bare(broker, Version::V5);
        let packet = stonechat::codec::Packet::Connect(Box::new(connect(Version::V5, id)));
        let bytes = crate::support::client::bytes_of(&packet, Version::V5);
        crate::support::client::send_what_goes(&mut client.socket, &bytes);
        if client.hear() != Heard::End {
            return client;
        }
        assert!(Instant::now() < until);
    }
}

#[test]
fn connections_of_the_whole_broker() {
    for shards in [1, 2] {
        let broker = sharded(shards, "server.connections_max = 10\nmqtt.sys_interval_s = 1");
        let mut clients: Vec<Client> =
            (0..10).map(|n| Client::new(&broker, &format!("c{n}"))).collect();
        for _ in 0..5 {
            assert_eq!(Client::bare(&broker, Version::V5).hear(), Heard::End);
        }
        for client in &mut clients {
            client.ping();
        }
        clients.pop().unwrap().disconnect();
        clients.push(connect_patiently(&broker, "next"));
        let counter = clients.first_mut().unwrap();
        counter.subscribe("$SYS/broker/limits/connections_max", QoS::AtMostOnce);
        let counted = |got: Vec<u8>| String::from_utf8(got).unwrap().parse::<u32>().unwrap();
        while counted(counter.message().payload) < 5 {}
        broker.stop();
    }
}

#[test]
fn connections_of_one_listener() {
    let settings = "[[listener]]\naddress = \"127.0.0.1:0\"\nconnections_max = 3\n\
                    [[listener]]\naddress = \"127.0.0.1:0\"\n";
    let broker = Setup { settings, listen: None, ..Setup::default() }.start();
    let mut clients: Vec<Client> = (0..3).map(|n| Client::new(&broker, &format!("c{n}"))).collect();
    assert_eq!(Client::bare(&broker, Version::V5).hear(), Heard::End);
    // The other one is free.
    let socket = std::net::TcpStream::connect(broker.addresses[1]).unwrap();
    let mut other = Client::over(socket, Version::V5);
    other.send(&stonechat::codec::Packet::Connect(Box::new(connect(Version::V5, "other"))));
    assert!(matches!(other.hear(), Heard::ConnAck { code: 0, .. }));
    clients.pop().unwrap().disconnect();
    connect_patiently(&broker, "next").ping();
    broker.stop();
}

#[test]
fn listeners_differ_in_who_may_enter() {
    let settings = "[[listener]]\naddress = \"127.0.0.1:0\"\nallow_anonymous = false\n\
                    [[listener]]\naddress = \"127.0.0.1:0\"\n";
    let broker = Setup { settings, listen: None, ..Setup::default() }.start();
    let (_, answer) = Client::open(&broker, connect(Version::V311, "a"));
    assert_eq!(answer, Heard::ConnAck { present: false, code: 5, assigned: None });
    let socket = std::net::TcpStream::connect(broker.addresses[1]).unwrap();
    let mut other = Client::over(socket, Version::V311);
    other.send(&stonechat::codec::Packet::Connect(Box::new(connect(Version::V311, "a"))));
    assert!(matches!(other.hear(), Heard::ConnAck { code: 0, .. }));
    broker.stop();
}

#[test]
fn without_file_descriptors_accepting_rests_and_comes_back() {
    for shards in [1, 2] {
        let broker = Setup { shards, files_max: Some(40), ..Setup::default() }.start();
        let mut inside = Client::new(&broker, "inside");
        // More than there are descriptors; those beyond wait in the listener's queue.
        let crowd: Vec<_> = (0..60).map(|_| broker.socket()).collect();
        broker.log.wait_for(&["accepting rests"]);
        let (start, before) = (Instant::now(), cpu_ticks(broker.pid()));
        // That nothing happens has no event: three rests long, and only one line tells of them.
        std::thread::sleep(Duration::from_millis(650));
        inside.ping();
        let (ticks, took) = (cpu_ticks(broker.pid()) - before, start.elapsed());
        let rests = broker.log.wait_until("the log", |lines| {
            Some(lines.iter().filter(|l| l.contains("accepting rests")).count())
        });
        assert_eq!(rests, 1, "lines that tell of it");
        assert!(u128::from(ticks) * 10 * 5 < took.as_millis(), "{ticks} ticks in {took:?}");
        drop(crowd);
        connect_patiently(&broker, "next").ping();
        inside.ping();
        broker.stop();
    }
}

#[test]
fn subscriptions_and_levels_have_bounds() {
    let settings = "limits.subscriptions_per_session_max = 3\nlimits.filter_levels_max = 4";
    let broker = sharded(2, settings);
    let mut client = Client::new(&broker, "c");
    for filter in ["a", "b/+", "c/d/e/#"] {
        client.subscribe(filter, QoS::AtMostOnce);
    }
    client.subscribe("a", QoS::AtLeastOnce); // the same again is not one more
    for (filter, code) in [("d", 0x97), ("a/b/c/d/e", 0x8f)] {
        client.send(&crate::support::client::subscribe(filter, QoS::AtMostOnce, 9));
        assert_eq!(client.hear(), Heard::SubAck(vec![code]), "{filter}");
    }
    client.ping();
    broker.stop();
}

/// What is kept of a packet may be more than one read brings.
#[test]
fn packets_larger_than_a_read() {
    let broker = sharded(1, "limits.read_bytes_per_pass = 4096");
    let mut client = Client::new(&broker, "c");
    client.subscribe("t", QoS::AtLeastOnce);
    for len in [4000, 4090, 8192, 10_000, 16_384, 40_000, 300_000] {
        client.publish("t", &vec![7; len], QoS::AtLeastOnce);
        assert_eq!(client.message().payload.len(), len);
    }
    broker.stop();
}
