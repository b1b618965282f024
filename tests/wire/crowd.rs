//! Abuse by numbers: ten thousand subscribers, hundreds that trickle, subscribers that stall. A
//! well-behaved pair goes on meanwhile, and the memory comes back.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};
use stonechat::codec::{Packet, QoS, Version};

use crate::slow::longest_gap;
use crate::storms::{gone, returns_to, returns_within};
use crate::support::broker::{Broker, sharded};
use crate::support::client::{Client, bytes_of, connect, publish, subscribe};
use crate::support::{own_kib, raise_file_limit};

const CROWD: usize = 10_000;
/// Resident memory for each of them, its subscription and its socket's state included.
const KIB_EACH_MAX: usize = 4;

/// What glibc keeps at the end of a heap depends on the largest block that was ever given back:
/// so much, after megabytes of output.
const TOP_KIB: usize = 20 << 10;

/// What may stay of ten thousand beside a tenth, since no two runs place blocks alike (measured:
/// 5 to 12 % of what was there before, with one shard and with two).
const KEPT_KIB: usize = 512;

/// A subscriber of `everyone` without buffers of its own.
fn member(broker: &Broker, id: &str) -> TcpStream {
    let mut socket = broker.socket();
    let mut bytes = bytes_of(&Packet::Connect(Box::new(connect(Version::V311, id))), Version::V311);
    bytes.extend(bytes_of(&subscribe("everyone", QoS::AtMostOnce, 1), Version::V311));
    bytes.extend(bytes_of(&subscribe(&format!("only/{id}"), QoS::AtLeastOnce, 2), Version::V311));
    socket.write_all(&bytes).unwrap();
    let mut answer = [0; 14];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"\x20\x02\0\0\x90\x03\0\x01\0\x90\x03\0\x02\x01", "{id}");
    socket
}

/// Opens all of them, from four threads.
fn crowd(broker: &Broker) -> Vec<TcpStream> {
    thread::scope(|scope| {
        let threads = (0..4).map(|t| {
            let part = move || -> Vec<TcpStream> {
                (0..CROWD / 4).map(|n| member(broker, &format!("member-{t}-{n}"))).collect()
            };
            scope.spawn(part)
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    })
}

/// Everyone hears one message.
fn call(broker: &Broker, members: &mut [TcpStream]) {
    let packet = Packet::Publish(publish("everyone", b"hello", QoS::AtMostOnce, 0));
    let bytes = bytes_of(&packet, Version::V311);
    Client::new(broker, "caller").publish("everyone", b"hello", QoS::AtMostOnce);
    for member in members {
        let mut heard = vec![0; bytes.len()];
        member.read_exact(&mut heard).unwrap();
        assert_eq!(heard, bytes);
    }
}

/// They go: some orderly, some by closing, some by a reset.
fn leave(members: Vec<TcpStream>) {
    for (n, mut member) in members.into_iter().enumerate() {
        match n % 3 {
            0 => member.write_all(b"\xe0\0").unwrap(),
            1 => {}
            _ => socket2::SockRef::from(&member).set_linger(Some(Duration::ZERO)).unwrap(),
        }
    }
}

/// "Before" is before the first of them came, and two crowds come, one after the other. What stays
/// beyond the tenth (`KEPT_KIB`): pages of code that are read for the first time when many go, and
/// for each shard what glibc's heaps cannot return (a page stays as long as one small block on it
/// is in use). Tables end behind their last client: nobody has joined while the crowd was there and
/// stays on, who would keep its table large.
#[test]
fn ten_thousand_subscribers_come_and_go() {
    raise_file_limit();
    let files = getrlimit(Resource::Nofile).current;
    if files.is_some_and(|n| n < CROWD as u64 * 3 / 2) {
        let line = format!("skipped: {CROWD} connections (at most {files:?} files)\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    }
    for shards in [1, 2] {
        let broker = sharded(shards, "mqtt.sys_interval_s = 1");
        // Whoever is served touches code and buffers: that is before the crowd, too.
        gone(&broker);
        let before = own_kib(broker.pid());
        for _ in 0..2 {
            let mut with = 0;
            let gap = longest_gap(&broker, || {
                let mut members = crowd(&broker);
                call(&broker, &mut members);
                with = own_kib(broker.pid());
                leave(members);
                gone_but_for(&broker, 2);
            });
            gone(&broker);
            returns_within(&broker, before, KEPT_KIB);
            let after = own_kib(broker.pid());
            println!(
                "{shards} shards: {before} KiB before, {with} with {CROWD}, {after} after; longest \
                 gap {gap:?}"
            );
            assert!(gap < Duration::from_secs(1), "{gap:?}");
            assert!(with - before < CROWD * KIB_EACH_MAX, "{before} KiB, {with} KiB with them");
        }
        broker.stop();
    }
}

/// Waits until nobody is connected but `others`.
fn gone_but_for(broker: &Broker, others: usize) {
    let until = Instant::now() + Duration::from_secs(60);
    let connected = || -> usize {
        crate::sys::sys_value(broker, "clients/connected").parse().unwrap_or(usize::MAX)
    };
    while connected() > others + 1 {
        assert!(Instant::now() < until, "they do not go");
    }
}

/// Five hundred send a byte of their CONNECT now and then, and never all of it.
#[test]
fn a_crowd_of_slow_lorises() {
    raise_file_limit();
    for shards in [1, 2] {
        let broker = sharded(shards, "server.connect_timeout_ms = 1000");
        let bytes = bytes_of(
            &Packet::Connect(Box::new(connect(Version::V5, &"long".repeat(200)))),
            Version::V5,
        );
        let one_round = || {
            let mut lorises: Vec<TcpStream> = (0..500).map(|_| broker.socket()).collect();
            for byte in bytes.chunks(1) {
                lorises.retain_mut(|socket| {
                    socket.set_nonblocking(true).unwrap();
                    let over = !matches!(
                        socket.read(&mut [0; 16]),
                        Err(e) if e.kind() == ErrorKind::WouldBlock
                    );
                    !over && socket.write_all(byte).is_ok()
                });
                if lorises.is_empty() {
                    return;
                }
                thread::sleep(Duration::from_millis(20));
            }
            panic!("{} of them are still there", lorises.len());
        };
        one_round();
        let before = own_kib(broker.pid());
        let gap = longest_gap(&broker, one_round);
        assert!(gap < Duration::from_secs(1), "{gap:?}");
        returns_to(&broker, before);
        broker.stop();
    }
}

/// What waits for subscribers that do not read is given back when they go.
#[test]
fn stalled_subscribers_give_their_memory_back() {
    for shards in [1, 2] {
        // All of it is kept for those who stall: what they hold must not be a matter of chance.
        let settings = "limits.output_bytes_max = 262144\nlimits.queue_memory_bytes = 134217728\n\
                        limits.queue_memory_total_bytes = 1073741824";
        let broker = sharded(shards, settings);
        let one_round = |name: &str| {
            let stuck: Vec<Client> = (0..8)
                .map(|n| {
                    let mut client = Client::new(&broker, &format!("{name}-{n}"));
                    let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][n % 3];
                    client.subscribe("flood", qos);
                    client
                })
                .collect();
            let mut flood = Client::new(&broker, "flood");
            let messages = (0..16_000).map(|_| ("flood".to_owned(), vec![7; 4096], false));
            flood.publish_many(QoS::AtLeastOnce, messages);
            let with = own_kib(broker.pid());
            drop(stuck);
            with
        };
        one_round("warm");
        settled(&broker);
        let before = own_kib(broker.pid());
        let mut with = 0;
        let gap = longest_gap(&broker, || with = one_round("stuck"));
        println!("{before} KiB before, {with} with what waits; longest gap {gap:?}");
        assert!(gap < Duration::from_secs(1), "{gap:?}");
        assert!(with > before + TOP_KIB, "{before} KiB before, {with} with what waits");
        returns_within(&broker, before, TOP_KIB);
        broker.stop();
    }
}

/// Every shard has made some passes since.
fn settled(broker: &Broker) {
    for n in 0..20 {
        Client::new(broker, &format!("settle-{n}")).ping();
    }
}
