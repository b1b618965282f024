//! What crosses between shards: a message once for each shard that is interested, however many
//! subscribers it has there, and nothing for the others.
//!
//! The brokers run without a server (`benches/support/shards.rs`). Invariant: what is counted is
//! the messages that shards hand to shards, not what a broker says of itself.
#![allow(clippy::unwrap_used)]

#[path = "../benches/support/shards.rs"]
mod shards;

use shards::{Client, Shards, publish, subscribe, unsubscribe};
use stonechat::broker::Limits;
use stonechat::codec::{QoS, Version};

const TOPIC: &str = "plant/7/temperature";
const MESSAGES: u64 = 50;

/// Four shards with `receivers` of the topic, by shard; each receiver matches it by two filters.
fn world(receivers: [usize; 4], qos: QoS) -> (Shards, Client, Vec<Client>) {
    let mut world = Shards::new(4, &Limits::default());
    world.answer = true;
    let publisher = world.connect(0, "publisher", Version::V5);
    let mut clients = Vec::new();
    for (shard, &count) in receivers.iter().enumerate() {
        for n in 0..count {
            let client = world.connect(shard, &format!("receiver {shard} {n}"), Version::V5);
            world.packet(client, subscribe(TOPIC, qos));
            world.packet(client, subscribe("plant/+/#", qos));
            clients.push(client);
        }
    }
    world.settle();
    (world, publisher, clients)
}

/// Publishes, and returns how many messages crossed and how many were delivered.
fn run(world: &mut Shards, publisher: Client, qos: QoS) -> (u64, u64) {
    let sent = |world: &Shards| (0..4).map(|s| world.counters(s).publish_sent).sum::<u64>();
    let (crossed, delivered) = (world.peer_publishes, sent(world));
    for _ in 0..MESSAGES {
        world.bytes(publisher, &publish(TOPIC, qos, b"21.5", Version::V5));
        world.settle();
    }
    (world.peer_publishes - crossed, sent(world) - delivered)
}

#[test]
fn a_message_goes_once_to_each_shard_that_is_interested() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        for (receivers, interested) in [
            ([0, 0, 0, 0], 0),
            ([5, 0, 0, 0], 0),
            ([0, 1, 0, 0], 1),
            ([0, 100, 0, 0], 1),
            ([3, 1, 10, 100], 3),
        ] {
            let (mut world, publisher, _) = world(receivers, qos);
            let all = receivers.iter().sum::<usize>() as u64;
            let expected = (MESSAGES * interested, MESSAGES * all);
            assert_eq!(run(&mut world, publisher, qos), expected, "{receivers:?}, {qos:?}");
        }
    }
}

#[test]
fn nothing_crosses_once_the_last_subscription_is_gone() {
    let (mut world, publisher, clients) = world([0, 2, 1, 0], QoS::AtMostOnce);
    for (gone, &client) in clients.iter().enumerate() {
        world.packet(client, unsubscribe(TOPIC));
        world.packet(client, unsubscribe("plant/+/#"));
        world.settle();
        let (crossed, delivered) = run(&mut world, publisher, QoS::AtMostOnce);
        let shards = [2, 1, 0][gone];
        assert_eq!((crossed, delivered), (MESSAGES * shards, MESSAGES * (2 - gone as u64)));
    }
}
