//! Bytes in pieces, packets in heaps, packets that are too long, connections half closed.

use stonechat::codec::{Disconnect, Packet, QoS, Version};

use crate::support::broker::{Broker, broker, sharded};
use crate::support::client::{
    Client, Heard, ack, bytes_of, connect, publish, send_what_goes, subscribe,
};
use crate::support::own_kib;

/// CONNECT, SUBSCRIBE, PUBLISH, DISCONNECT.
fn whole_life(version: Version, id: &str, payload: &[u8], orderly: bool) -> Vec<u8> {
    let mut packets = vec![
        Packet::Connect(Box::new(connect(version, id))),
        subscribe(id, QoS::AtLeastOnce, 1),
        Packet::Publish(publish(id, payload, QoS::AtLeastOnce, 2)),
    ];
    if orderly {
        packets.push(Packet::Disconnect(Disconnect::default()));
    }
    packets.iter().flat_map(|p| bytes_of(p, version)).collect()
}

/// Reads what a whole life is answered with.
fn hear_whole_life(client: &mut Client, id: &str, payload: &[u8]) {
    assert!(matches!(client.hear(), Heard::ConnAck { code: 0, .. }));
    // A message may come before the acknowledgements (section 3.8.4), which keep no order.
    let mut rest = [client.hear(), client.hear(), client.hear()];
    rest.sort_by_key(|h| match h {
        Heard::Publish(_) => 0,
        Heard::SubAck(_) => 1,
        _ => 2,
    });
    let [Heard::Publish(got), Heard::SubAck(granted), Heard::PubAck(2, 0)] = &rest else {
        panic!("{rest:?}")
    };
    assert_eq!(granted, &[1]);
    assert_eq!((got.topic.as_str(), &*got.payload), (id, payload));
}

#[test]
fn a_whole_life_in_one_write() {
    for shards in [1, 2] {
        let broker = sharded(shards, "");
        for (n, version) in [Version::V31, Version::V311, Version::V5].into_iter().enumerate() {
            for client in 0..6 {
                let id = format!("life-{n}-{client}");
                let mut c = Client::bare(&broker, version);
                // What waits for another shard is not sent any more to who has left already.
                c.send_bytes(&whole_life(version, &id, b"hello", shards == 1));
                hear_whole_life(&mut c, &id, b"hello");
                if shards == 1 {
                    assert_eq!(c.hear(), Heard::End);
                }
            }
        }
        broker.stop();
    }
}

#[test]
fn half_closed_clients_are_answered_first() {
    let broker = broker("");
    for client in 0..50 {
        let id = format!("half-{client}");
        let mut c = Client::bare(&broker, Version::V5);
        c.send_bytes(&whole_life(Version::V5, &id, b"hello", false));
        c.half_close();
        hear_whole_life(&mut c, &id, b"hello");
        assert_eq!(c.hear(), Heard::End);
    }
    broker.stop();
}

#[test]
fn what_a_half_closed_client_has_published_counts() {
    for shards in [1, 2] {
        let broker = sharded(shards, "");
        let mut watcher = Client::new(&broker, "watcher");
        watcher.subscribe("#", QoS::AtMostOnce);
        for client in 0..50 {
            let id = format!("half-{client}");
            let mut c = Client::bare(&broker, Version::V5);
            c.send_bytes(&whole_life(Version::V5, &id, b"hello", false));
            c.half_close();
            assert!(matches!(c.hear(), Heard::ConnAck { code: 0, .. }));
            assert_eq!(watcher.message().topic, id);
        }
        broker.stop();
    }
}

#[test]
fn cut_at_every_byte() {
    for shards in [1, 2] {
        let broker = sharded(shards, "");
        let bytes = whole_life(Version::V5, "cut", b"0123456789", false);
        for at in 1..bytes.len() {
            let mut c = Client::bare(&broker, Version::V5);
            c.send_bytes(&bytes[..at]);
            if at % 4 == 0 {
                // Once in a while, surely in two reads: something that waits behind it answers.
                Client::new(&broker, "other").disconnect();
            }
            c.send_bytes(&bytes[at..]);
            hear_whole_life(&mut c, "cut", b"0123456789");
            c.ping();
        }
        broker.stop();
    }
}

#[test]
fn one_byte_in_each_segment() {
    let broker = broker("");
    let payload: Vec<u8> = (0..=255).collect();
    let bytes = whole_life(Version::V311, "bytes", &payload, true);
    let mut c = Client::bare(&broker, Version::V311);
    for one in bytes.chunks(1) {
        c.send_bytes(one);
    }
    hear_whole_life(&mut c, "bytes", &payload);
    assert_eq!(c.hear(), Heard::End);
    broker.stop();
}

#[test]
fn partial_packets_of_every_size_class() {
    // Below and above what is read on in the common buffer, and above that buffer itself.
    let broker = broker("limits.read_bytes_per_pass = 32768");
    let mut c = Client::new(&broker, "sizes");
    c.subscribe("sizes", QoS::AtMostOnce);
    for size in [100, 16_000, 16_500, 32_700, 33_000, 70_000, 300_000] {
        let payload: Vec<u8> = (0..size).map(|n| n as u8).collect();
        let two = [0, 1].map(|_| {
            let packet = Packet::Publish(publish("sizes", &payload, QoS::AtMostOnce, 0));
            bytes_of(&packet, Version::V5)
        });
        let bytes = two.concat();
        for cut in [1, 3, size / 2, size + 5, size + 20] {
            c.send_bytes(&bytes[..cut]);
            Client::new(&broker, "other").disconnect();
            c.send_bytes(&bytes[cut..]);
            for _ in 0..2 {
                assert!(c.message().payload == payload, "size {size}, cut at {cut}");
            }
        }
    }
    broker.stop();
}

#[test]
fn ten_thousand_pings_in_one_heap() {
    let broker = broker("");
    let mut c = Client::new(&broker, "pings");
    let mut writer = c.socket.try_clone().unwrap();
    let thread = std::thread::spawn(move || {
        std::io::Write::write_all(&mut writer, &b"\xc0\0".repeat(10_000)).unwrap();
    });
    for _ in 0..10_000 {
        assert_eq!(c.hear(), Heard::PingResp);
    }
    thread.join().unwrap();
    broker.stop();
}

#[test]
fn nothing_is_handled_after_disconnect() {
    let broker = broker("");
    let mut watcher = Client::new(&broker, "watcher");
    watcher.subscribe("late", QoS::AtMostOnce);
    let mut c = Client::new(&broker, "leaver");
    let mut bytes = bytes_of(&Packet::Disconnect(Disconnect::default()), Version::V5);
    let late = Packet::Publish(publish("late", b"late", QoS::AtMostOnce, 0));
    bytes.extend(bytes_of(&late, Version::V5));
    c.send_bytes(&bytes);
    assert_eq!(c.hear(), Heard::End);
    Client::new(&broker, "other").publish("late", b"in time", QoS::AtLeastOnce);
    assert_eq!(watcher.message().payload, b"in time");
    broker.stop();
}

#[test]
fn what_is_too_long_is_refused_from_its_header() {
    let broker = broker("mqtt.packet_bytes_max = 100000");
    let before = own_kib(broker.pid());
    for (version, answer) in [(Version::V5, Heard::Disconnect(0x95)), (Version::V311, Heard::End)] {
        let (mut c, _) = Client::with(&broker, connect(version, "long"));
        c.send_bytes(b"\x30\xff\xff\xff\x7f"); // 256 MiB, and nothing of it
        assert_eq!(c.hear(), answer);
        assert_eq!(c.hear(), Heard::End);
    }
    let grown = own_kib(broker.pid()).saturating_sub(before);
    assert!(grown < 1024, "{grown} KiB");
    broker.stop();
}

#[test]
fn a_large_header_alone_reserves_nothing() {
    let broker =
        broker("mqtt.packet_bytes_max = 268435460\nserver.half_received_bytes_max = 1073741824");
    let mut clients: Vec<Client> =
        (0..20).map(|n| Client::new(&broker, &format!("c{n}"))).collect();
    let before = own_kib(broker.pid());
    for c in &mut clients {
        c.send_bytes(b"\x30\xff\xff\xff\x7f\0\x01t\0");
    }
    Client::new(&broker, "after").ping();
    let grown = own_kib(broker.pid()).saturating_sub(before);
    assert!(grown < 2048, "{grown} KiB");
    broker.stop();
}

#[test]
fn half_received_bytes_have_a_bound_of_their_own() {
    let settings = "mqtt.packet_bytes_max = 1000000\nserver.half_received_bytes_max = 1000000";
    for shards in [1, 2] {
        let broker = sharded(shards, settings);
        let mut refused = 0;
        let mut clients: Vec<Client> =
            (0..12).map(|n| Client::new(&broker, &format!("c{n}"))).collect();
        // The header of 900,000 bytes, and 150,000 of them: six have room.
        let mut part = b"\x30\xa0\xf7\x36\0\x01t\0".to_vec();
        part.resize(150_000, b'x');
        for c in &mut clients {
            send_what_goes(&mut c.socket, &part);
            settled(&broker);
        }
        for c in &mut clients {
            c.socket.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
            let mut first = [0; 2];
            if let Ok(2) = std::io::Read::read(&mut c.socket, &mut first) {
                assert_eq!(first[0], 0xe0);
                refused += 1;
            }
        }
        assert_eq!(refused, 6, "{shards} shards");
        broker.log.wait_for(&["client disconnected", "half_received_bytes_max", "0x97"]);
        drop(clients);
        let mut after = Client::new(&broker, "after");
        after.subscribe("t", QoS::AtMostOnce);
        after.publish("t", &vec![0; 900_000], QoS::AtLeastOnce);
        assert_eq!(after.message().payload.len(), 900_000);
        broker.stop();
    }
}

/// Every shard has made a few passes since.
fn settled(broker: &Broker) {
    for n in 0..8 {
        Client::new(broker, &format!("settle-{n}")).ping();
    }
}

#[test]
fn acknowledgements_of_nothing_are_survived() {
    let broker = broker("");
    let mut c = Client::new(&broker, "acks");
    for packet in [
        Packet::PubAck(ack(7)),
        Packet::PubRec(ack(7)),
        Packet::PubRel(ack(7)),
        Packet::PubComp(ack(7)),
    ] {
        c.send(&packet);
    }
    // PUBREC and PUBREL of unknown identifiers are answered, with 0x92.
    assert_eq!(c.hear(), Heard::PubRel(7));
    assert_eq!(c.hear(), Heard::PubComp(7, 0x92));
    c.ping();
    broker.stop();
}
