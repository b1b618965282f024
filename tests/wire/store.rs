//! The log under the real binary: without room it refuses, keeps what it has, and goes on.

use stonechat::codec::{Packet, QoS, Version};

use crate::support::broker::sharded;
use crate::support::client::{Client, Heard, connect, persistent, publish};
use crate::sys::sys_value;

const SMALL: &str = "store.segment_bytes = 65536\nstore.log_bytes_max = 524288\n\
                     mqtt.sys_interval_s = 1\n";

fn payload(n: usize) -> Vec<u8> {
    let mut payload = format!("{n} ").into_bytes();
    payload.resize(1000, b'.');
    payload
}

/// Publishes until the broker has no room; returns how many it took.
fn fill(publisher: &mut Client) -> usize {
    for n in 0.. {
        publisher.send(&Packet::Publish(publish("q/a", &payload(n), QoS::AtLeastOnce, 7)));
        match publisher.answer() {
            Heard::PubAck(7, 0 | 0x10) => assert!(n < 2000, "the log has a bound"),
            Heard::PubAck(7, 0x97) => return n,
            other => panic!("{other:?}"),
        }
    }
    0
}

#[test]
fn a_full_log_refuses_and_goes_on_by_itself() {
    for shards in [1, 2] {
        let broker = sharded(shards, SMALL);
        let (mut reader, _) = Client::with(&broker, persistent(Version::V5, "reader"));
        reader.subscribe("q/#", QoS::AtLeastOnce);
        reader.disconnect();
        let mut publisher = Client::new(&broker, "publisher");
        let taken = fill(&mut publisher);
        assert!(taken > 100, "{taken} fitted in");

        // What nobody has to get later goes on.
        let mut online = Client::new(&broker, "online");
        online.subscribe("live/#", QoS::AtLeastOnce);
        publisher.publish("live/a", b"at least once", QoS::AtLeastOnce);
        publisher.publish("live/a", b"at most once", QoS::AtMostOnce);
        assert_eq!(online.message().payload, b"at least once");
        assert_eq!(online.message().payload, b"at most once");
        // Who cannot be told is not answered.
        let (mut old, _) = Client::with(&broker, connect(Version::V311, "old"));
        old.send(&Packet::Publish(publish("q/a", b"of old", QoS::AtLeastOnce, 3)));

        let (mut reader, present) = Client::with(&broker, persistent(Version::V5, "reader"));
        assert!(present);
        for n in 0..taken {
            assert_eq!(reader.message().payload, payload(n));
        }
        assert_eq!(old.answer(), Heard::PubAck(3, 0));
        assert_eq!(reader.message().payload, b"of old");
        // Freeing takes its time: refused ones are tried again.
        let one = Packet::Publish(publish("q/b", b"room again", QoS::AtLeastOnce, 9));
        loop {
            publisher.send(&one);
            match publisher.answer() {
                Heard::PubAck(9, 0) => break,
                other => assert_eq!(other, Heard::PubAck(9, 0x97)),
            }
        }
        assert_eq!(reader.message().payload, b"room again");
        let line = broker.log.wait_for(&["the log has room again"]);
        assert!(line.contains("INFO"), "{line}");
        broker.stop();
    }
}

#[test]
fn what_need_not_be_kept_is_not_written() {
    let broker = sharded(2, "mqtt.sys_interval_s = 1");
    let mut reader = Client::new(&broker, "reader");
    reader.subscribe("t/#", QoS::ExactlyOnce);
    let mut publisher = Client::new(&broker, "publisher");
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        publisher.publish("t/a", b"x", qos);
        assert_eq!(reader.message().payload, b"x");
    }
    assert_eq!(sys_value(&broker, "store/log/records"), "0");
    assert_eq!(sys_value(&broker, "store/log/state"), "ok");
    broker.stop();
}
