//! Subscribers that stop reading: bounded memory for them, no harm to anyone else.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use stonechat::codec::{Packet, QoS, Version, encode};

use crate::support::broker::{Broker, sharded};
use crate::support::client::{Client, Heard, connect, persistent, publish};
use crate::support::{PATIENCE, own_kib};
use crate::sys::sys_value;

/// A pair of well-behaved clients that pass messages on while `disturb` runs; returns the longest
/// time that one took.
pub(crate) fn longest_gap(broker: &Broker, disturb: impl FnOnce()) -> Duration {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let pair = scope.spawn(|| {
            let mut reader = Client::new(broker, "good-reader");
            let mut writer = Client::new(broker, "good-writer");
            reader.subscribe("good", QoS::AtLeastOnce);
            let (mut longest, mut n) = (Duration::ZERO, 0_u32);
            while !done.load(Relaxed) {
                let start = Instant::now();
                writer.publish("good", &n.to_be_bytes(), QoS::AtLeastOnce);
                assert_eq!(reader.message().payload, n.to_be_bytes());
                longest = longest.max(start.elapsed());
                n += 1;
            }
            assert!(n > 10, "only {n} rounds");
            longest
        });
        disturb();
        done.store(true, Relaxed);
        pair.join().unwrap()
    })
}

/// Publishers that are all read in one pass of the broker: what is for one client is more than it
/// may have waiting, and comes all the same, for it is written in between.
#[test]
fn a_burst_of_many_publishers_reaches_who_reads() {
    const PUBLISHERS: usize = 6;
    const EACH: usize = 80;
    let broker = sharded(1, "limits.output_bytes_max = 8192");
    let mut reader = Client::new(&broker, "reader");
    reader.subscribe("t/#", QoS::AtMostOnce);
    let mut publishers: Vec<_> =
        (0..PUBLISHERS).map(|n| Client::new(&broker, &n.to_string())).collect();
    broker.signal(Signal::STOP);
    for (n, publisher) in publishers.iter_mut().enumerate() {
        let mut burst = Vec::new();
        for _ in 0..EACH {
            let topic = format!("t/{n}");
            let packet = Packet::Publish(publish(&topic, &[b'x'; 90], QoS::AtMostOnce, 0));
            encode(&packet, Version::V5, &mut burst);
        }
        publisher.send_bytes(&burst);
    }
    broker.signal(Signal::CONT);
    for _ in 0..PUBLISHERS * EACH {
        reader.message();
    }
    broker.stop();
}

/// So many messages were dropped at the limit, or soon will have been.
fn assert_many_dropped(broker: &Broker, limit: &str) {
    let until = Instant::now() + PATIENCE;
    let mut dropped = 0;
    while dropped < 1000 && Instant::now() < until {
        dropped = sys_value(broker, &format!("limits/{limit}")).parse().unwrap();
    }
    assert!(dropped >= 1000, "{dropped} dropped");
}

/// What waits for it arrives whole.
fn takes_what_is_there(client: &mut Client) {
    client.send(&Packet::PingReq);
    while let Heard::Publish(got) = client.hear() {
        assert_eq!(got.payload.len(), 4096);
    }
}

#[test]
fn qos_0_is_dropped_and_counted_for_who_does_not_read() {
    for shards in [1, 2] {
        let settings = "mqtt.sys_interval_s = 1\nlimits.output_bytes_max = 262144";
        let broker = sharded(shards, settings);
        let mut stuck: Vec<Client> =
            (0..4).map(|n| Client::new(&broker, &format!("stuck-{n}"))).collect();
        for client in &mut stuck {
            client.subscribe("flood", QoS::AtMostOnce);
        }
        let before = own_kib(broker.pid());
        let gap = longest_gap(&broker, || {
            let mut flood = Client::new(&broker, "flood");
            for _ in 0..30 {
                // 4 MiB each round; the answer says that all is handled.
                let messages = (0..1024).map(|_| ("flood".to_owned(), vec![7; 4096], false));
                flood.publish_many(QoS::AtMostOnce, messages);
                flood.ping();
            }
        });
        assert!(gap < Duration::from_secs(1), "{gap:?}");
        let grown = own_kib(broker.pid()).saturating_sub(before);
        assert!(grown < 24 * 1024, "{grown} KiB, {shards} shards");
        assert_many_dropped(&broker, "output_bytes_max");
        // What was taken arrives whole, and the next message too.
        stuck.iter_mut().for_each(takes_what_is_there);
        let mut after = Client::new(&broker, "after");
        after.publish("flood", b"at last", QoS::AtLeastOnce);
        for client in &mut stuck {
            assert_eq!(client.message().payload, b"at last");
        }
        broker.stop();
    }
}

/// Many that do not read, each within its own bound, and one that does.
#[test]
fn those_who_do_not_read_have_a_bound_together() {
    for shards in [1, 2] {
        let settings = "mqtt.sys_interval_s = 1\nlimits.output_total_bytes_max = 2097152";
        let broker = sharded(shards, settings);
        let mut stuck: Vec<Client> =
            (0..24).map(|n| Client::new(&broker, &format!("stuck-{n}"))).collect();
        for (n, client) in stuck.iter_mut().enumerate() {
            client.subscribe(&format!("flood/{n}"), QoS::AtMostOnce);
        }
        let mut reader = Client::new(&broker, "reader");
        reader.subscribe("read", QoS::AtMostOnce);
        let mut flood = Client::new(&broker, "flood");
        let before = own_kib(broker.pid());
        for round in 0..40_u8 {
            for n in 0..stuck.len() {
                let one = |_| (format!("flood/{n}"), vec![7; 4096], false);
                flood.publish_many(QoS::AtMostOnce, (0..64).map(one));
            }
            flood.publish("read", &[round], QoS::AtLeastOnce);
            assert_eq!(reader.message().payload, [round], "who reads gets everything");
        }
        let grown = own_kib(broker.pid()).saturating_sub(before);
        assert!(grown < 12 * 1024, "{grown} KiB, {shards} shards");
        assert_many_dropped(&broker, "output_total_bytes_max");
        let waiting: u64 = sys_value(&broker, "output/bytes").parse().unwrap();
        assert!((1 << 20..8 << 20).contains(&waiting), "{waiting} bytes wait");
        stuck.iter_mut().for_each(takes_what_is_there);
        for (n, client) in stuck.iter_mut().enumerate() {
            flood.publish(&format!("flood/{n}"), b"at last", QoS::AtLeastOnce);
            assert_eq!(client.message().payload, b"at last");
        }
        broker.stop();
    }
}

#[test]
fn qos_1_waits_for_who_does_not_read_and_arrives_in_order() {
    for shards in [1, 2] {
        let broker = sharded(shards, "limits.output_bytes_max = 262144");
        let (mut stuck, _) = Client::with(&broker, persistent(Version::V5, "stuck"));
        stuck.subscribe("flood", QoS::AtLeastOnce);
        let gap = longest_gap(&broker, || {
            let mut flood = Client::new(&broker, "flood");
            let messages = (0..10_000_u32).map(|n| {
                let mut payload = n.to_be_bytes().to_vec();
                payload.resize(4096, 0);
                ("flood".to_owned(), payload, false)
            });
            flood.publish_many(QoS::AtLeastOnce, messages);
        });
        assert!(gap < Duration::from_secs(1), "{gap:?}");
        for n in 0..10_000_u32 {
            assert_eq!(stuck.message().payload[..4], n.to_be_bytes());
        }
        stuck.ping();
        broker.stop();
    }
}

#[test]
fn the_queue_of_who_does_not_read_has_a_bound() {
    let settings = "limits.output_bytes_max = 65536\nlimits.queued_messages_max = 100\n\
                    mqtt.in_flight_max = 10\nmqtt.sys_interval_s = 1";
    let broker = sharded(2, settings);
    let (mut stuck, _) = Client::with(&broker, persistent(Version::V311, "stuck"));
    stuck.subscribe("q", QoS::AtLeastOnce);
    let mut writer = Client::new(&broker, "writer");
    let messages = (0..1000_u32).map(|n| ("q".to_owned(), n.to_be_bytes().to_vec(), false));
    writer.publish_many(QoS::AtLeastOnce, messages);
    let mut got = Vec::new();
    while got.last() != Some(&999) {
        got.push(u32::from_be_bytes(stuck.message().payload.try_into().unwrap()));
    }
    // The first ten were under way already; then come the newest hundred.
    let expected: Vec<u32> = (0..10).chain(900..1000).collect();
    assert_eq!(got, expected);
    let until = Instant::now() + PATIENCE;
    while sys_value(&broker, "limits/queue_full") != "890" {
        assert!(Instant::now() < until, "{}", sys_value(&broker, "limits/queue_full"));
    }
    broker.stop();
}

#[test]
fn who_does_not_read_its_acknowledgements_is_not_read() {
    let broker = sharded(1, "limits.output_bytes_max = 65536");
    let (client, _) = Client::with(&broker, connect(Version::V311, "deaf"));
    let mut socket = client.socket.try_clone().unwrap();
    socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let before = own_kib(broker.pid());
    let pings = b"\xc0\0".repeat(32_768);
    let mut written = 0;
    while std::io::Write::write_all(&mut socket, &pings).is_ok() {
        written += pings.len();
        assert!(written < 200 << 20, "200 MiB of pings were read, and no answer was");
    }
    let grown = own_kib(broker.pid()).saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB");
    Client::new(&broker, "other").ping();
    broker.stop();
}

#[test]
fn a_flood_of_tiny_packets_does_not_starve_others() {
    for shards in [1, 2] {
        let broker = sharded(shards, "");
        let tiny: Vec<u8> = {
            let mut bytes = Vec::new();
            let packet = Packet::Publish(publish("t", b"", QoS::AtMostOnce, 0));
            encode(&packet, Version::V5, &mut bytes);
            bytes.repeat(20_000)
        };
        let gap = longest_gap(&broker, || {
            thread::scope(|scope| {
                for n in 0..4 {
                    let (broker, tiny) = (&broker, &tiny);
                    scope.spawn(move || {
                        let mut flood = Client::new(broker, &format!("flood-{n}"));
                        for _ in 0..20 {
                            flood.send_bytes(tiny);
                            flood.ping();
                        }
                    });
                }
            });
        });
        assert!(gap < Duration::from_secs(1), "{gap:?}");
        broker.stop();
    }
}
