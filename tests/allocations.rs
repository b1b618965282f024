//! The hot path's allocations, counted: none per delivery, at most one per inbound message; and
//! what a subscription holds in memory, with one shard and with several.
//!
//! A test binary of its own, since its global allocator counts. What is bounded here is the pure
//! broker, from the publisher's bytes to the bytes in the receivers' outboxes; `benches/fan_out.rs`
//! and `benches/matching.rs` say what it costs. Invariant: a bound is never raised because a change
//! met it.
#![allow(clippy::unwrap_used)]

#[path = "../benches/support/counting.rs"]
mod counting;
#[path = "../benches/support/shards.rs"]
mod shards;

use counting::{allocations, live_bytes};
use shards::{Client, Shards, publish, subscribe};
use stonechat::auth::Identity;
use stonechat::auth::acl::{Acl, Verdict};
use stonechat::broker::Limits;
use stonechat::codec::{QoS, Version};
use stonechat::topic::TopicName;

const ROUNDS: u64 = 1_000;

/// `receivers` of one topic on `shards` shards in turn, and their publisher on the first.
fn world(shards: usize, receivers: usize, qos: QoS, version: Version) -> (Shards, Client) {
    let mut world = Shards::new(shards, &Limits::default());
    world.answer = true;
    let publisher = world.connect(0, "publisher", version);
    for n in 0..receivers {
        let receiver = world.connect(n % shards, &format!("receiver {n}"), version);
        world.packet(receiver, subscribe("plant/7/temperature", qos));
        world.settle();
    }
    (world, publisher)
}

/// Allocations of `ROUNDS` publications, each settled, once everything has its size.
fn count(world: &mut Shards, publisher: Client, bytes: &[u8]) -> u64 {
    for _ in 0..100 {
        world.bytes(publisher, bytes);
        world.settle();
    }
    let before = allocations();
    for _ in 0..ROUNDS {
        world.bytes(publisher, bytes);
        world.settle();
    }
    allocations() - before
}

fn check(shards: usize, qos: QoS, version: Version, payload: usize, bound: u64) {
    for receivers in [1, 10, 1_000] {
        let (mut world, publisher) = world(shards, receivers, qos, version);
        let bytes = publish("plant/7/temperature", qos, &vec![b'x'; payload], version);
        let before = world.counters(0).publish_sent;
        let asked = count(&mut world, publisher, &bytes);
        assert!(world.counters(0).publish_sent > before, "nothing was delivered");
        assert!(
            asked <= bound * ROUNDS,
            "{asked} allocations for {ROUNDS} messages to {receivers} receivers on {shards} \
             shards, {qos:?}, {version:?}, {payload} bytes; at most {bound} per message"
        );
    }
}

#[test]
fn qos_0_asks_for_nothing() {
    for version in [Version::V311, Version::V5] {
        check(1, QoS::AtMostOnce, version, 100, 0);
    }
}

#[test]
fn qos_1_asks_once_per_message() {
    for version in [Version::V311, Version::V5] {
        check(1, QoS::AtLeastOnce, version, 100, 1);
    }
}

#[test]
fn a_message_for_another_shard_is_made_once() {
    check(2, QoS::AtMostOnce, Version::V5, 100, 1);
    check(4, QoS::AtLeastOnce, Version::V5, 100, 1);
}

#[test]
fn what_a_client_may_do_is_known_without() {
    let rules = |n: usize| {
        format!(
            "topic read a/{n}/+/value\ntopic +/{n}/#\npattern %c/+/{n}\npattern deny +/no/{n}\n"
        )
    };
    let text: String = (0..1_000).map(rules).collect();
    let acl = Acl::from_mosquitto(&text).unwrap();
    let class = acl.class(&Identity::default(), "client");
    let topics = ["a/7/x/value", "b/8", "client/x/9", "client/no/9", "none/of/them", "a/x/3/value"];
    let before = allocations();
    let mut allowed = 0;
    for topic in topics.map(|topic| TopicName::new(topic).unwrap()) {
        allowed += usize::from(class.may_publish(topic) == Verdict::Allowed);
        allowed += usize::from(class.may_receive(topic));
    }
    assert_eq!((allocations() - before, allowed), (0, 6));
}

#[test]
fn the_count_counts() {
    let before = allocations();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(allocations() - before, 1);
}

/// Filters of a site's devices, whose levels are those of other filters too.
fn of_sites(n: usize) -> String {
    let (site, device) = (n / 100, n % 100);
    match device {
        0..80 => format!("site/{site}/device/{device}/command"),
        _ => format!("site/{site}/device/{device}/#"),
    }
}

/// Each has a level that no other filter has: a device's name.
fn of_names(n: usize) -> String {
    format!("devices/SN{:010}/command", n * 7_919)
}

/// Bytes that a subscription holds, all shards together: one to a filter, a hundred to a client.
fn bytes_per_subscription(shards: usize, filter: fn(usize) -> String) -> f64 {
    const SUBSCRIPTIONS: usize = 40_000;
    let mut world = Shards::new(shards, &Limits::default());
    let clients: Vec<_> = (0..SUBSCRIPTIONS / 100)
        .map(|n| world.connect(n % shards, &format!("client {n}"), Version::V5))
        .collect();
    let before = live_bytes();
    for n in 0..SUBSCRIPTIONS {
        // Far apart, so that a site's filters are not one shard's.
        let client = clients[n.wrapping_mul(7_919) % clients.len()];
        world.packet(client, subscribe(&filter(n), QoS::AtMostOnce));
        world.settle();
    }
    (live_bytes() - before) as f64 / SUBSCRIPTIONS as f64
}

/// The filters stand in one index, which all shards share. Each shard has tables of its own for its
/// subscriptions; these grow by an eighth, so that some bytes more or fewer stand empty.
#[test]
fn a_subscription_takes_a_few_bytes_more_for_each_further_shard() {
    let one = bytes_per_subscription(1, of_sites);
    assert!(one <= 115.0, "{one:.1} bytes with one shard");
    for shards in [2, 4, 16] {
        let all = bytes_per_subscription(shards, of_sites);
        let bound = one + 12.0 + (shards - 1) as f64;
        assert!(all <= bound, "{all:.1} bytes with {shards} shards, {one:.1} with one");
    }
}

/// The bound holds where filters share no levels as well.
#[test]
fn a_subscription_to_a_name_of_its_own_takes_no_more() {
    let bytes = bytes_per_subscription(1, of_names);
    assert!(bytes <= 150.0, "{bytes:.1} bytes");
}
