//! A PUBLISH to 1, 10 and 1,000 subscribers through the pure broker, from the publisher's bytes to
//! the bytes in every receiver's outbox, and how often memory is asked for on the way; and a
//! message that crosses shards, once for each that is interested.
//!
//! Run: `cargo bench --bench fan_out`, or `-- --quick`. The count of allocations comes first, and
//! ends the run if a bound is broken (`tests/allocations.rs` holds it too). 2026-11-20, 2
//! processors: 0.14 µs per delivery at QoS 0, 0.3 µs at QoS 1 with its PUBACK, no allocation per
//! delivery; `benches/README.md` has the table.

mod support;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stonechat::broker::Limits;
use stonechat::codec::{QoS, Version};
use support::counting::allocations;
use support::shards::{Client, Shards, publish, subscribe};

const TOPIC: &str = "plant/7/line/12/device/345/temperature";
/// Allocations per inbound message; there is none per delivery.
const PER_MESSAGE_MAX: u64 = 1;

/// `receivers` on `shards` shards in turn, and their publisher on the first.
fn world(shards: usize, receivers: usize, qos: QoS) -> (Shards, Client) {
    let mut world = Shards::new(shards, &Limits::default());
    world.answer = true;
    let publisher = world.connect(0, "publisher", Version::V5);
    for n in 0..receivers {
        let receiver = world.connect(n % shards, &format!("receiver {n}"), Version::V5);
        world.packet(receiver, subscribe("plant/+/line/12/#", qos));
        world.settle();
    }
    (world, publisher)
}

fn count(world: &mut Shards, publisher: Client, bytes: &[u8]) -> f64 {
    const ROUNDS: u64 = 1_000;
    (0..ROUNDS).for_each(|_| {
        world.bytes(publisher, bytes);
        world.settle();
    });
    let before = allocations();
    (0..ROUNDS).for_each(|_| {
        world.bytes(publisher, bytes);
        world.settle();
    });
    let asked = allocations() - before;
    assert!(asked <= PER_MESSAGE_MAX * ROUNDS, "{asked} allocations for {ROUNDS} messages");
    asked as f64 / ROUNDS as f64
}

fn fan_out(c: &mut Criterion) {
    for (name, shards, qos) in [
        ("qos0", 1, QoS::AtMostOnce),
        ("qos1", 1, QoS::AtLeastOnce),
        ("qos0_4_shards", 4, QoS::AtMostOnce),
    ] {
        let mut group = c.benchmark_group(format!("fan_out_{name}"));
        group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        group.sample_size(20);
        for receivers in [1, 10, 1_000] {
            let (mut world, publisher) = world(shards, receivers, qos);
            let bytes = publish(TOPIC, qos, &[b'x'; 100], Version::V5);
            let asked = count(&mut world, publisher, &bytes);
            println!("{name}, {receivers} receivers: {asked:.2} allocations per message");
            group.throughput(Throughput::Elements(receivers as u64));
            group.bench_function(format!("{receivers}"), |b| {
                b.iter(|| {
                    world.bytes(publisher, black_box(&bytes));
                    world.settle();
                });
            });
        }
    }
}

criterion_group!(benches, fan_out);
criterion_main!(benches);
