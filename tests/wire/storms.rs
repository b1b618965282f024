//! Abuse: random bytes, prefixes of what is valid, crowds that come and go. The broker stays up,
//! serves who behaves, and gives the memory back.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use stonechat::codec::{Disconnect, Packet, QoS, Version};

use crate::slow::longest_gap;
use crate::support::broker::{Broker, sharded};
use crate::support::client::{Client, ack, bytes_of, connect, publish, subscribe, will};
use crate::support::{PATIENCE, Random, own_kib, raise_file_limit};
use crate::sys::sys_value;

const SEED: u64 = 20_260_101;

/// Sends all that the broker takes, says no more, and reads until the end.
fn abuse(broker: &Broker, bytes: &[u8]) {
    let mut socket = broker.socket();
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let _ = socket.read_to_end(&mut Vec::new());
}

fn random_bytes(random: &mut Random, max: usize) -> Vec<u8> {
    (0..random.below(max)).map(|_| random.next() as u8).collect()
}

/// Packets of a client of `version`, all valid.
fn valid_packets(version: Version) -> Vec<Vec<u8>> {
    let mut c = connect(version, "abuser");
    c.will = Some(will("will/abuse", b"will", QoS::AtLeastOnce));
    let packets = [
        Packet::Connect(Box::new(c)),
        subscribe("abuse/#", QoS::ExactlyOnce, 1),
        Packet::Publish(publish("abuse/0", b"nothing", QoS::AtMostOnce, 0)),
        Packet::Publish(publish("abuse/1", &[b'x'; 300], QoS::AtLeastOnce, 2)),
        Packet::Publish(publish("abuse/2", b"twice", QoS::ExactlyOnce, 3)),
        Packet::PubRel(ack(3)),
        Packet::PubAck(ack(1)),
        Packet::PubRec(ack(1)),
        Packet::PubComp(ack(1)),
        Packet::PingReq,
        Packet::Disconnect(Disconnect::default()),
    ];
    packets.iter().map(|p| bytes_of(p, version)).collect()
}

/// After a first round of something, a second one costs others less than a second, and leaves no
/// memory behind.
fn is_borne(broker: &Broker, mut one_round: impl FnMut()) {
    one_round();
    let before = own_kib(broker.pid());
    let gap = longest_gap(broker, one_round);
    returns_to(broker, before);
    assert!(gap < Duration::from_secs(1), "{gap:?}");
}

#[test]
fn random_bytes_on_the_porch_and_behind_it() {
    for shards in [1, 2] {
        let broker = sharded(shards, "server.connect_timeout_ms = 2000");
        let mut random = Random(SEED);
        let one_round = || {
            for n in 0..600 {
                let version = [Version::V31, Version::V311, Version::V5][n % 3];
                let mut bytes = match n % 4 {
                    0 => Vec::new(),
                    _ => valid_packets(version)[0].clone(),
                };
                if n % 8 == 0 {
                    bytes.push(0x10);
                }
                bytes.extend(random_bytes(&mut random, 400));
                abuse(&broker, &bytes);
            }
        };
        is_borne(&broker, one_round);
        broker.stop();
    }
}

#[test]
fn valid_prefixes_cut_anywhere_and_bytes_turned() {
    for shards in [1, 2] {
        let broker = sharded(shards, "server.connect_timeout_ms = 2000");
        let mut random = Random(SEED + 1);
        let one_round = || {
            for n in 0..900 {
                let packets = valid_packets([Version::V31, Version::V311, Version::V5][n % 3]);
                let mut bytes = packets[0].clone();
                for _ in 0..random.below(30) {
                    bytes.extend(&packets[random.below(packets.len() - 1) + 1]);
                }
                if n % 2 == 0 {
                    let at = random.below(bytes.len());
                    bytes[at] ^= 1 << random.below(8);
                }
                bytes.truncate(random.below(bytes.len()) + 1);
                abuse(&broker, &bytes);
            }
        };
        is_borne(&broker, one_round);
        broker.stop();
    }
}

#[test]
fn a_storm_of_connects() {
    for shards in [1, 2] {
        let broker = sharded(shards, "");
        let one_round = |name: &str| {
            thread::scope(|scope| {
                for t in 0..4 {
                    let broker = &broker;
                    scope.spawn(move || {
                        for n in 0..500 {
                            let id = format!("{name}-{t}-{}", n % 50);
                            let mut client = Client::new(broker, &id);
                            client.subscribe(&format!("storm/{id}"), QoS::AtLeastOnce);
                            match n % 3 {
                                0 => client.disconnect(),
                                1 => client.reset(),
                                _ => drop(client),
                            }
                        }
                    });
                }
            });
        };
        one_round("warm");
        let before = own_kib(broker.pid());
        let gap = longest_gap(&broker, || one_round("storm"));
        assert!(gap < Duration::from_secs(1), "{gap:?}");
        returns_to(&broker, before);
        broker.stop();
    }
}

/// Waits until the resident memory is within 10 % (and what an allocator keeps) of `before`.
pub(crate) fn returns_to(broker: &Broker, before: usize) {
    returns_within(broker, before, 512);
}

/// The same, where the allocator keeps `spare` KiB.
pub(crate) fn returns_within(broker: &Broker, before: usize, spare: usize) {
    let until = Instant::now() + PATIENCE;
    let most = before + before / 10 + spare;
    loop {
        // Each round trip is an event of the broker's: timers and mail have had their turn. It does
        // not stay: whoever has a place at the end of a table keeps all of the table.
        Client::new(broker, "probe").ping();
        let now = own_kib(broker.pid());
        if now <= most {
            return;
        }
        assert!(Instant::now() < until, "{before} KiB before, {now} KiB after");
        thread::sleep(Duration::from_millis(200)); // nobody tells when memory has gone back
    }
}

#[test]
fn two_thousand_idle_connections_give_their_memory_back() {
    raise_file_limit();
    for shards in [1, 2] {
        let broker = sharded(shards, "mqtt.sys_interval_s = 1");
        let crowd = |name: &str| -> Vec<Client> {
            (0..2000).map(|n| Client::new(&broker, &format!("{name}-{n}"))).collect()
        };
        drop(crowd("warm"));
        gone(&broker);
        let before = own_kib(broker.pid());
        let clients = crowd("idle");
        let with = own_kib(broker.pid());
        assert!(with.saturating_sub(before) < 2000 * 4, "{before} KiB, then {with} KiB");
        drop(clients);
        gone(&broker);
        returns_to(&broker, before);
        broker.stop();
    }
}

/// Waits until the broker has seen all of them go.
pub(crate) fn gone(broker: &Broker) {
    let until = Instant::now() + PATIENCE;
    while sys_value(broker, "clients/total").parse::<u32>().unwrap() > 1 {
        assert!(Instant::now() < until);
    }
}
