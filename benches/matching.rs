//! Whom a topic concerns: the filter tree beside a naive list of filters and beside rumqttd's way
//! (a scan of all filters with mqttbytes' `matches`), from 1,000 to 1,000,000 subscriptions; what
//! SUBSCRIBE and UNSUBSCRIBE cost there, what a subscription holds in memory with 1, 2 and 16
//! shards, and what 1,000 subscriptions a second cost those who publish.
//!
//! Run: `cargo bench --bench matching`, or `-- --quick` for figures that are good to a tenth. The
//! table of memory comes first, and ends the run if a bound is broken. 2 processors: a hit in the
//! cache about 14 to 20 ns at any size, uncached 1.2 to 1.3 times as long per tenfold and about
//! twice in the last one, through the broker 1.4 times at most, 100 to 107 bytes per subscription
//! with 1 to 16 shards; `benches/README.md` has the tables.
//!
//! The filters are those of plants: of a hundred, 70 are one device's commands, 15 one device with
//! all below it, 10 one quantity of all devices of a site (`+`), 5 alarms of a zone of all plants
//! (`+` first). Each client has 100. A topic matches two of them, however many there are.
#![allow(clippy::unwrap_used, reason = "a bench may end where it finds what cannot be")]

mod support;

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use stonechat::broker::Limits;
use stonechat::broker::matching::{FilterTree, MatchCache, NodeValue};
use stonechat::codec::{QoS, Version};
use stonechat::topic::{TopicFilter, TopicName};
use support::counting::live_bytes;
use support::shards::{Client, Shards, publish, subscribe, unsubscribe};

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// At most so many bytes per subscription with one shard, …
const BYTES_MAX: f64 = 115.0;
/// … and so many more for each further one: the index of filters is one for all of them.
const BYTES_FURTHER_MAX: f64 = 4.0;

/// What the tree takes for a filter of these, about.
const TREE_BYTES: usize = 55;
/// Lines of memory that one of these topics leads to in the tree, where nothing is cached.
const READS: usize = 9;

/// The filter at place `n`.
fn filter(n: usize) -> String {
    let (site, of_site) = (n / 100, n % 100);
    match of_site {
        0..70 => format!("site/{site}/device/{of_site}/command"),
        70..85 => format!("site/{site}/device/{of_site}/#"),
        85..95 => format!("site/{site}/device/+/quantity{}", of_site - 85),
        _ => format!("+/{site}/alarm/zone{of_site}"),
    }
}

/// A topic that two of `filters` filters match; one after the other they are far apart.
fn topic(n: usize, filters: usize) -> String {
    let site = n.wrapping_mul(7_919) % (filters / 100);
    format!("site/{site}/device/{}/quantity{}", 70 + n % 15, n % 10)
}

/// The filter of a device with a name of its own: a level that no other filter has.
fn named(n: usize) -> String {
    format!("devices/SN{:012}/command", n.wrapping_mul(7_919))
}

#[derive(Default)]
struct Here(bool);

impl NodeValue for Here {
    fn is_empty(&self) -> bool {
        !self.0
    }
}

fn tree_of(filters: usize, filter: fn(usize) -> String) -> FilterTree<Here> {
    let mut tree = FilterTree::<Here>::new(7);
    for n in 0..filters {
        let id = tree.insert(TopicFilter::new(&filter(n)).unwrap());
        tree.value_mut(id).0 = true;
    }
    tree
}

fn configure<'a>(c: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(800));
    group.sample_size(20);
    group
}

/// The structures alone: the tree, uncached; the cache in front of it; the scans.
fn structures(c: &mut Criterion) {
    let mut group = configure(c, "match");
    for filters in SIZES {
        let topics: Vec<String> = (0..10_000).map(|n| topic(n, filters)).collect();
        let names: Vec<_> = topics.iter().map(|t| TopicName::new(t).unwrap()).collect();
        let mut at = 0;
        let mut next = move || {
            at = (at + 1) % 10_000;
            at
        };
        let tree = tree_of(filters, filter);
        group.bench_function(format!("tree/{filters}"), |b| {
            b.iter(|| {
                let mut found = 0;
                tree.matches(names[next()], &mut |_, _| found += 1);
                assert_eq!(found, 2);
            });
        });
        let tree = tree_of(filters, named);
        let one: Vec<_> = (0..10_000).map(|n| named(n * 7_919 % filters)).collect();
        let one: Vec<_> = one.iter().map(|t| TopicName::new(t).unwrap()).collect();
        group.bench_function(format!("tree_named/{filters}"), |b| {
            b.iter(|| {
                let mut found = 0;
                tree.matches(one[next()], &mut |_, _| found += 1);
                assert_eq!(found, 1);
            });
        });
        let mut cache = MatchCache::new(7, 8 << 20);
        // Where many come, those that come once are not kept, and some look like others at first.
        for topic in topics.iter().cycle().take(32 * topics.len()) {
            cache.get_or_insert_with(0, topic, || (2, 100));
        }
        group.bench_function(format!("cache/{filters}"), |b| {
            b.iter(|| assert_eq!(cache.get(0, &topics[next()]), Some(&2)));
        });
        reads(&mut group, filters);
        if filters <= 100_000 {
            scans(&mut group, filters, &topics);
        }
    }
}

/// What the machine itself takes: reads of a table as large as the tree is, each at a place that
/// depends on the one before, as often as matching goes to a line of memory that is not the last
/// one's neighbour, and as many different ways as there are topics.
fn reads(group: &mut BenchmarkGroup<'_, WallTime>, filters: usize) {
    let lines = filters * TREE_BYTES / 64;
    let table = vec![[1_u64; 8]; lines]; // zeros would all be one page
    let mut at = 0;
    group.bench_function(format!("memory/{filters}"), |b| {
        b.iter(|| {
            at = (at + 1) % 10_000;
            let mut place = at as u64;
            for _ in 0..READS {
                place = place.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                place ^= place >> 29;
                place = place.wrapping_add(table[(place >> 20) as usize % lines][0]);
            }
            black_box(place)
        });
    });
}

fn scans(group: &mut BenchmarkGroup<'_, WallTime>, filters: usize, topics: &[String]) {
    let all: Vec<String> = (0..filters).map(filter).collect();
    let parsed: Vec<_> = all.iter().map(|f| TopicFilter::new(f).unwrap()).collect();
    let mut at = 0;
    group.bench_function(format!("naive_list/{filters}"), |b| {
        b.iter(|| {
            at = (at + 1) % topics.len();
            let name = TopicName::new(&topics[at]).unwrap();
            assert_eq!(parsed.iter().filter(|f| f.matches(name)).count(), 2);
        });
    });
    group.bench_function(format!("rumqttd_scan/{filters}"), |b| {
        b.iter(|| {
            at = (at + 1) % topics.len();
            assert_eq!(all.iter().filter(|f| mqttbytes::matches(&topics[at], f)).count(), 2);
        });
    });
}

/// Brokers with so many subscriptions, a hundred to a client, and what these hold in bytes.
fn brokers(shards: usize, subscriptions: usize, limits: &Limits) -> (Shards, Vec<Client>, f64) {
    let mut world = Shards::new(shards, limits);
    let clients: Vec<_> = (0..subscriptions / 100)
        .map(|n| world.connect(n % shards, &format!("client {n}"), Version::V5))
        .collect();
    let before = live_bytes();
    for n in 0..subscriptions {
        // Far apart, so that a site's filters are not one client's.
        let client = clients[n.wrapping_mul(7_919) % clients.len()];
        world.packet(client, subscribe(&filter(n), QoS::AtMostOnce));
        if n % 100 == 0 {
            world.settle();
        }
    }
    world.settle();
    let held = (live_bytes() - before) as f64;
    assert_eq!(
        (0..shards).map(|s| world.counters(s).subscriptions).sum::<u64>(),
        subscriptions as u64
    );
    (world, clients, held / subscriptions as f64)
}

/// The table of memory. With more than one shard it is what all of them hold together.
fn memory() {
    println!("bytes per subscription, all shards together:");
    for (shards, subscriptions) in
        [(1, 10_000), (1, 100_000), (1, 1_000_000), (2, 100_000), (16, 100_000)]
    {
        let (_, _, bytes) = brokers(shards, subscriptions, &Limits::default());
        println!("  {shards:>2} shards, {subscriptions:>9} subscriptions: {bytes:.1}");
        let bound = BYTES_MAX + (shards - 1) as f64 * BYTES_FURTHER_MAX;
        assert!(bytes <= bound, "{bytes:.1} bytes per subscription, at most {bound}");
    }
}

/// The broker: PUBLISH that finds its topic in the cache or not, SUBSCRIBE with UNSUBSCRIBE.
fn growth(c: &mut Criterion) {
    memory();
    let mut group = configure(c, "growth");
    for subscriptions in SIZES {
        for (name, cache_bytes) in [("publish_cached", 8 << 20), ("publish_uncached", 0)] {
            let limits = Limits { match_cache_bytes_max: cache_bytes, ..Limits::default() };
            let (mut world, _, _) = brokers(1, subscriptions, &limits);
            let publisher = world.connect(0, "publisher", Version::V5);
            // Few enough for the cache, and for those that are hit to stay in the processor's.
            let packets: Vec<_> = (0..1_000)
                .map(|n| topic(n, subscriptions))
                .map(|t| publish(&t, QoS::AtMostOnce, b"21.5", Version::V5))
                .collect();
            let mut at = 0;
            group.bench_function(format!("{name}/{subscriptions}"), |b| {
                b.iter(|| {
                    at = (at + 1) % packets.len();
                    world.bytes(publisher, black_box(&packets[at]));
                    world.settle();
                });
            });
            if cache_bytes > 0 {
                subscribing(&mut group, &mut world, subscriptions);
            }
        }
    }
}

/// One SUBSCRIBE and one UNSUBSCRIBE of a new filter, each with its acknowledgement, per turn.
fn subscribing(group: &mut BenchmarkGroup<'_, WallTime>, world: &mut Shards, subscriptions: usize) {
    let client = world.connect(0, "newcomer", Version::V5);
    let filters: Vec<_> = (0..1_000)
        .map(|n| format!("site/{}/device/{n}/new", n * 7_919 % (subscriptions / 100)))
        .collect();
    let mut at = 0;
    group.bench_function(format!("subscribe_and_unsubscribe/{subscriptions}"), |b| {
        b.iter(|| {
            at = (at + 1) % filters.len();
            world.packet(client, subscribe(&filters[at], QoS::AtMostOnce));
            world.packet(client, unsubscribe(&filters[at]));
            world.settle();
        });
    });
}

/// What publishers pay when others subscribe: 1,000 a second beside 100,000 messages a second is
/// one per 100 messages (on these, one SUBSCRIBE or UNSUBSCRIBE, its own cost counted too).
fn churn(c: &mut Criterion) {
    let mut group = configure(c, "churn");
    for (name, every, first_level) in [
        ("alone", usize::MAX, "site"),
        ("one_change_per_100", 100, "site"),
        // The worst case: a filter that begins with a wildcard may match every cached topic.
        ("one_plus_first_per_100", 100, "+"),
    ] {
        let (mut world, clients, _) = brokers(1, 100_000, &Limits::default());
        let publisher = world.connect(0, "publisher", Version::V5);
        let packets: Vec<_> = (0..500)
            .map(|n| publish(&topic(n, 100_000), QoS::AtMostOnce, b"21.5", Version::V5))
            .collect();
        let (mut at, mut changes) = (0, 0);
        group.bench_function(format!("publish/{name}"), |b| {
            b.iter(|| {
                at += 1;
                if at % every == 0 {
                    let client = clients[changes / 2 % clients.len()];
                    let filter = format!("{first_level}/{}/device/9/new", changes / 2 % 1_000);
                    let packet = match changes % 2 {
                        0 => subscribe(&filter, QoS::AtMostOnce),
                        _ => unsubscribe(&filter),
                    };
                    world.packet(client, packet);
                    changes += 1;
                }
                world.bytes(publisher, black_box(&packets[at % packets.len()]));
                world.settle();
            });
        });
    }
}

criterion_group!(benches, growth, structures, churn);
criterion_main!(benches);
