//! Messages over real sockets: order, size, sessions, wills, retained messages.

use std::thread;

use stonechat::codec::{Connect, Packet, QoS, Version};

use crate::support::broker::{Broker, broker, sharded};
use crate::support::client::{Client, Heard, connect, persistent, publish, will};

const ALL_QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// Publishes `count` numbered messages to `topic` while `subscriber` reads them, in order.
fn stream(broker: &Broker, subscriber: &mut Client, topic: &str, qos: QoS, count: u32) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut publisher = Client::new(broker, &format!("to-{topic}"));
            let numbered = (0..count).map(|n| (topic.to_owned(), n.to_be_bytes().to_vec(), false));
            publisher.publish_many(qos, numbered);
            publisher.disconnect();
        });
        for n in 0..count {
            let got = subscriber.message();
            assert_eq!((got.qos, &*got.payload), (qos, &n.to_be_bytes()[..]), "{topic}");
        }
    });
}

#[test]
fn ten_thousand_in_order_at_each_qos() {
    for shards in [1, 2] {
        // QoS 0 is dropped for who reads too slowly: here there is room for all of them.
        let broker = sharded(shards, "limits.output_bytes_max = 16777216");
        thread::scope(|scope| {
            for (n, qos) in ALL_QOS.into_iter().enumerate() {
                let broker = &broker;
                scope.spawn(move || {
                    let mut subscriber = Client::new(broker, &format!("reader-{n}"));
                    subscriber.subscribe(&format!("q{n}/+"), qos);
                    stream(broker, &mut subscriber, &format!("q{n}/t"), qos, 10_000);
                    subscriber.disconnect();
                });
            }
        });
        broker.stop();
    }
}

#[test]
fn sixteen_mebibytes_at_each_qos() {
    for shards in [1, 2] {
        let broker = sharded(shards, "");
        let payload: Vec<u8> = (0..16 << 20).map(|n: u32| (n ^ (n >> 8)) as u8).collect();
        for (n, qos) in ALL_QOS.into_iter().enumerate() {
            for version in [Version::V311, Version::V5] {
                let (mut reader, _) = Client::with(&broker, connect(version, &format!("r{n}")));
                reader.subscribe("large", qos);
                let (mut writer, _) = Client::with(&broker, connect(version, &format!("w{n}")));
                writer.publish("large", &payload, qos);
                let got = reader.message();
                assert!(got.payload == payload && got.qos == qos);
                writer.disconnect();
                reader.ping();
                reader.disconnect();
            }
        }
        broker.stop();
    }
}

#[test]
fn pairs_over_all_shards() {
    for shards in [2, 3] {
        let broker = sharded(shards, "");
        thread::scope(|scope| {
            for n in 0..12 {
                let broker = &broker;
                let qos = ALL_QOS[n % 3];
                scope.spawn(move || {
                    let mut reader = Client::new(broker, &format!("pair-{n}"));
                    reader.subscribe(&format!("pair/{n}"), qos);
                    stream(broker, &mut reader, &format!("pair/{n}"), qos, 300);
                });
            }
        });
        broker.stop();
    }
}

#[test]
fn one_to_many_over_all_shards() {
    let broker = sharded(3, "");
    let mut readers: Vec<Client> =
        (0..60).map(|n| Client::new(&broker, &format!("reader-{n}"))).collect();
    for (n, reader) in readers.iter_mut().enumerate() {
        reader.subscribe(["fan/out", "fan/+", "fan/#", "#"][n % 4], ALL_QOS[n % 3]);
    }
    let mut writers: Vec<Client> =
        (0..6).map(|n| Client::new(&broker, &format!("writer-{n}"))).collect();
    for (n, writer) in writers.iter_mut().enumerate() {
        for m in 0..10_u8 {
            writer.publish("fan/out", &[n as u8, m], QoS::ExactlyOnce);
        }
    }
    for reader in &mut readers {
        let mut got: Vec<Vec<u8>> = (0..60).map(|_| reader.message().payload).collect();
        got.sort();
        let all: Vec<Vec<u8>> = (0..6).flat_map(|n| (0..10).map(move |m| vec![n, m])).collect();
        assert_eq!(got, all);
    }
    broker.stop();
}

#[test]
fn takeover_between_connections() {
    for shards in [1, 2] {
        let broker = sharded(shards, "");
        for n in 0..8 {
            let id = format!("twin-{n}");
            let (mut first, _) = Client::with(&broker, persistent(Version::V5, &id));
            first.subscribe(&format!("to/{id}"), QoS::AtLeastOnce);
            let (mut second, present) = Client::with(&broker, persistent(Version::V5, &id));
            assert!(present);
            assert_eq!(first.hear(), Heard::Disconnect(0x8e));
            assert_eq!(first.hear(), Heard::End);
            Client::new(&broker, "writer").publish(&format!("to/{id}"), b"x", QoS::AtLeastOnce);
            assert_eq!(second.message().payload, b"x");
            let (mut third, present) = Client::with(&broker, connect(Version::V311, &id));
            assert!(!present);
            assert_eq!(second.hear(), Heard::Disconnect(0x8e));
            third.ping();
        }
        broker.stop();
    }
}

#[test]
fn the_winner_of_a_hundred_takeovers_is_the_last() {
    let broker = sharded(2, "");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    Client::with(&broker, connect(Version::V5, "one"));
                }
            });
        }
    });
    let (mut last, _) = Client::with(&broker, connect(Version::V5, "one"));
    last.ping();
    broker.stop();
}

#[test]
fn a_session_keeps_what_comes_meanwhile() {
    for shards in [1, 2] {
        let broker = sharded(shards, "");
        for version in [Version::V31, Version::V311, Version::V5] {
            for (n, qos) in ALL_QOS.into_iter().enumerate().skip(1) {
                let id = format!("kept-{version:?}-{n}");
                let (mut client, present) = Client::with(&broker, persistent(version, &id));
                assert!(!present);
                client.subscribe(&id, qos);
                match n {
                    1 => client.disconnect(),
                    _ => client.reset(),
                }
                let mut writer = Client::new(&broker, "writer");
                let topic = id.clone();
                let numbered =
                    (0..2000_u32).map(|n| (topic.clone(), n.to_be_bytes().to_vec(), false));
                writer.publish_many(qos, numbered);
                let (mut client, present) = Client::with(&broker, persistent(version, &id));
                assert_eq!(present, version != Version::V31, "3.1 has no Session Present");
                for n in 0..2000_u32 {
                    let got = client.message();
                    assert_eq!((got.qos, &*got.payload), (qos, &n.to_be_bytes()[..]));
                }
            }
        }
        broker.stop();
    }
}

#[test]
fn unacknowledged_messages_come_again() {
    for shards in [1, 2] {
        let broker = sharded(shards, "");
        let (mut client, _) = Client::with(&broker, persistent(Version::V5, "again"));
        client.subscribe("again", QoS::AtLeastOnce);
        let mut writer = Client::new(&broker, "writer");
        for n in 0..10_u8 {
            writer.publish("again", &[n], QoS::AtLeastOnce);
        }
        let ids: Vec<u16> = (0..10)
            .map(|_| match client.hear() {
                Heard::Publish(got) if !got.dup => got.id,
                other => panic!("{other:?}"),
            })
            .collect();
        client.reset();
        let (mut client, present) = Client::with(&broker, persistent(Version::V5, "again"));
        assert!(present);
        for (n, id) in ids.into_iter().enumerate() {
            let got = client.message();
            assert!(got.dup && got.id == id && got.payload == [n as u8], "{got:?}");
        }
        client.disconnect();
        broker.stop();
    }
}

#[test]
fn the_will_of_a_lost_client() {
    for shards in [1, 2] {
        let broker = sharded(shards, "");
        let mut watcher = Client::new(&broker, "watcher");
        watcher.subscribe("will/#", QoS::ExactlyOnce);
        for (n, qos) in ALL_QOS.into_iter().enumerate() {
            for version in [Version::V311, Version::V5] {
                let (id, topic) = (format!("lost-{n}"), format!("will/{n}"));
                let c = Connect { will: Some(will(&topic, b"gone", qos)), ..connect(version, &id) };
                let lost = Client::with(&broker, c.clone()).0;
                if n == 1 {
                    drop(lost);
                } else {
                    lost.reset();
                }
                let got = watcher.message();
                assert_eq!((got.topic, &*got.payload, got.qos), (topic.clone(), &b"gone"[..], qos));
                // Who says goodbye leaves none.
                Client::with(&broker, c).0.disconnect();
                Client::new(&broker, "other").publish("will/end", b"", QoS::AtLeastOnce);
                assert_eq!(watcher.message().topic, "will/end");
            }
        }
        broker.stop();
    }
}

#[test]
fn a_will_waits_its_delay() {
    let broker = sharded(2, "");
    let mut watcher = Client::new(&broker, "watcher");
    watcher.subscribe("will/#", QoS::AtMostOnce);
    let mut w = will("will/late", b"gone", QoS::AtMostOnce);
    w.delay_s = 1;
    let raw = [0x18, 0, 0, 0, 1];
    w.properties = stonechat::codec::Properties::from_validated(&raw);
    let c = Connect { will: Some(w), ..persistent(Version::V5, "late") };
    Client::with(&broker, c.clone()).0.reset();
    let start = std::time::Instant::now();
    assert_eq!(watcher.message().topic, "will/late");
    assert!(start.elapsed() >= std::time::Duration::from_millis(900));
    // Back in time: no will.
    Client::with(&broker, c.clone()).0.reset();
    Client::with(&broker, c).0.disconnect();
    let start = std::time::Instant::now();
    watcher.socket.set_read_timeout(Some(std::time::Duration::from_millis(1300))).unwrap();
    let mut byte = [0];
    assert!(std::io::Read::read(&mut watcher.socket, &mut byte).is_err(), "{byte:?}");
    assert!(start.elapsed() >= std::time::Duration::from_millis(1200));
    broker.stop();
}

#[test]
fn a_hundred_thousand_retained_messages_all_arrive() {
    for shards in [1, 2] {
        let broker = sharded(shards, "");
        let mut writer = Client::new(&broker, "writer");
        let all =
            (0..100_000_u32).map(|n| (format!("r/{}/{n}", n % 97), n.to_be_bytes().to_vec(), true));
        writer.publish_many(QoS::AtLeastOnce, all);
        for (id, qos) in [("reader-0", QoS::AtMostOnce), ("reader-1", QoS::AtLeastOnce)] {
            let mut reader = Client::new(&broker, id);
            reader.subscribe("#", qos);
            let mut seen = vec![false; 100_000];
            for _ in 0..100_000 {
                let got = reader.message();
                let n = u32::from_be_bytes(got.payload.as_slice().try_into().unwrap()) as usize;
                assert!(got.retain && !seen[n] && got.topic == format!("r/{}/{n}", n % 97));
                seen[n] = true;
            }
            reader.ping();
        }
        broker.stop();
    }
}

#[test]
fn retained_messages_are_replaced_and_cleared() {
    for shards in [1, 2] {
        let broker = sharded(shards, "");
        for n in 0..6 {
            let topic = format!("state/{n}");
            let mut writer = Client::new(&broker, &format!("writer-{n}"));
            writer.retain(&topic, b"old");
            writer.retain(&topic, b"new");
            let mut reader = Client::new(&broker, &format!("reader-{n}"));
            reader.subscribe(&topic, QoS::AtLeastOnce);
            let got = reader.message();
            assert!(got.retain && got.payload == b"new", "{got:?}");
            writer.retain(&topic, b"");
            assert!(!reader.message().retain);
            let mut late = Client::new(&broker, &format!("late-{n}"));
            late.subscribe(&topic, QoS::AtLeastOnce);
            writer.publish(&topic, b"live", QoS::AtLeastOnce);
            assert_eq!(late.message().payload, b"live");
        }
        broker.stop();
    }
}

#[test]
fn qos_2_twice_is_delivered_once() {
    for shards in [1, 2] {
        let broker = sharded(shards, "");
        let mut reader = Client::new(&broker, "reader");
        reader.subscribe("once", QoS::ExactlyOnce);
        let c = persistent(Version::V311, "writer");
        let (mut writer, _) = Client::with(&broker, c.clone());
        let mut packet = publish("once", b"x", QoS::ExactlyOnce, 7);
        writer.send(&Packet::Publish(packet));
        assert_eq!(writer.hear(), Heard::PubRec(7, 0));
        writer.reset();
        let (mut writer, present) = Client::with(&broker, c);
        assert!(present);
        packet.dup = true;
        writer.send(&Packet::Publish(packet));
        assert_eq!(writer.hear(), Heard::PubRec(7, 0));
        writer.send(&Packet::PubRel(crate::support::client::ack(7)));
        assert_eq!(writer.hear(), Heard::PubComp(7, 0));
        writer.publish("once", b"y", QoS::ExactlyOnce);
        assert_eq!(reader.message().payload, b"x");
        assert_eq!(reader.message().payload, b"y");
        broker.stop();
    }
}

#[test]
fn shared_subscriptions_over_all_shards() {
    let broker = sharded(2, "");
    let mut members: Vec<Client> = (0..4)
        .map(|n| {
            let mut member = Client::new(&broker, &format!("member-{n}"));
            member.subscribe("$share/group/work", QoS::AtLeastOnce);
            member
        })
        .collect();
    let mut writer = Client::new(&broker, "writer");
    for n in 0..100_u8 {
        writer.publish("work", &[n], QoS::AtLeastOnce);
    }
    let mut seen = Vec::new();
    for member in &mut members {
        member.send(&Packet::PingReq);
        loop {
            match member.hear() {
                Heard::Publish(got) => seen.extend(got.payload),
                Heard::PingResp => break,
                other => panic!("{other:?}"),
            }
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..100).collect::<Vec<u8>>());
    broker.stop();
}

#[test]
fn a_bridge_gets_no_echo() {
    let broker = broker("");
    let c = Connect { bridge: true, ..connect(Version::V311, "bridge") };
    let (mut bridge, _) = Client::with(&broker, c);
    bridge.subscribe("b/#", QoS::AtLeastOnce);
    bridge.retain("b/own", b"own");
    Client::new(&broker, "other").retain("b/other", b"other");
    let got = bridge.message();
    assert!(got.topic == "b/other" && got.retain, "{got:?}");
    broker.stop();
}
