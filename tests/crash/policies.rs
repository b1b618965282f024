//! How safe is safe, in the real binary: what is acknowledged when it is written outlives the
//! process, and is not synced for it; what is kept in memory alone is not written at all.

use std::path::Path;
use std::time::{Duration, Instant};

use stonechat::codec::{QoS, Version};

use crate::support::broker::{Broker, Scratch, Setup};
use crate::support::client::{Client, Got, persistent};

const EACH: usize = 300;

fn start(directory: &Path, shards: usize, settings: &str) -> Broker {
    let two = "[[listener]]\naddress = \"127.0.0.1:0\"";
    let settings = format!(
        "store.directory = {directory:?}\nmqtt.sys_interval_s = 1\n{}",
        settings.replace("LISTENER", two)
    );
    let listen = (!settings.contains("[[listener]]")).then_some("127.0.0.1:0");
    Setup { shards, settings: &settings, listen, ..Setup::default() }.start()
}

/// The receivers of all that follows: away, at QoS 1 and 2.
fn leave_receivers(broker: &Broker) {
    for (name, qos) in [("one", QoS::AtLeastOnce), ("two", QoS::ExactlyOnce)] {
        let (mut receiver, _) = Client::with(broker, persistent(Version::V5, name));
        receiver.subscribe("t/#", qos);
        receiver.disconnect();
    }
}

/// Publishes to `prefix` at QoS 1 and 2, and waits until all is acknowledged.
fn publish(publisher: &mut Client, prefix: &str) {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        publish_at(publisher, prefix, qos);
    }
}

fn publish_at(publisher: &mut Client, prefix: &str, qos: QoS) {
    let one = |n| (format!("{prefix}/{}", qos as u8), format!("{n}").into_bytes(), false);
    publisher.publish_many(qos, (0..EACH).map(one));
}

/// So many messages of the topic, in order, and no others of it.
fn assert_in_order(got: &[Got], topic: &str, count: usize, who: &str) {
    let of = got.iter().filter(|got| got.topic == topic);
    let of: Vec<_> = of.map(|got| String::from_utf8(got.payload.clone()).unwrap()).collect();
    let due: Vec<_> = (0..count).map(|n| n.to_string()).collect();
    assert_eq!(of, due, "{who}: {topic}");
}

/// Takes so many messages, and sees that those of each topic are all there, in order.
fn take(broker: &Broker, name: &str, topics: &[&str]) {
    let (mut receiver, present) = Client::with(broker, persistent(Version::V5, name));
    assert!(present, "{name}");
    let got: Vec<Got> = (0..topics.len() * EACH).map(|_| receiver.message()).collect();
    for topic in topics {
        assert_in_order(&got, topic, EACH, name);
    }
    receiver.ping(); // and no more
    receiver.disconnect();
}

/// Both receivers take what was published to `t/a`, and 20 messages of `t/b`.
fn take_all(broker: &Broker, what: &str) {
    for name in ["one", "two"] {
        let (mut receiver, present) = Client::with(broker, persistent(Version::V5, name));
        assert!(present, "{what}, {name}");
        let got: Vec<Got> = (0..2 * EACH + 20).map(|_| receiver.message()).collect();
        for (topic, count) in [("t/a/1", EACH), ("t/a/2", EACH), ("t/b", 20)] {
            assert_in_order(&got, topic, count, &format!("{what}, {name}"));
        }
        receiver.disconnect();
    }
}

/// What `$SYS/broker/store/log/` and `name` is from now on.
fn figure(broker: &Broker, name: &str) -> u64 {
    let mut reader = Client::new(broker, "figures");
    reader.subscribe("$SYS/broker/uptime", QoS::AtMostOnce);
    reader.subscribe(&format!("$SYS/broker/store/log/{name}"), QoS::AtMostOnce);
    let (mut value, mut rounds) = (None, 0);
    // The second round from now on begins after now, and the third after that is told.
    while rounds < 3 {
        let got = reader.message();
        match got.topic.ends_with("/uptime") {
            true => rounds += usize::from(!got.retain),
            false => value = String::from_utf8(got.payload).unwrap().parse().ok(),
        }
    }
    reader.disconnect();
    value.unwrap()
}

#[test]
fn what_is_written_outlives_the_process_and_is_not_synced_for_it() {
    for (policy, shards) in [("interval", 1), ("interval", 2), ("os", 1), ("os", 2)] {
        let settings = format!("store.policy = \"{policy}\"\nstore.interval_ms = 3600000\n");
        let scratch = Scratch::new();
        let broker = start(scratch.path(), shards, &settings);
        leave_receivers(&broker);
        let (mut publisher, _) = Client::with(&broker, persistent(Version::V5, "publisher"));
        publisher.retain("kept", b"kept");
        publish(&mut publisher, "t/a");
        let syncs = figure(&broker, "syncs");
        for n in 0..20 {
            publisher.publish("t/b", format!("{n}").as_bytes(), QoS::AtLeastOnce);
        }
        assert_eq!(figure(&broker, "syncs"), syncs, "{policy}: nobody waits for one");
        broker.kill();

        let broker = start(scratch.path(), shards, &settings);
        take_all(&broker, policy);
        let mut reader = Client::new(&broker, "reader");
        reader.subscribe("kept", QoS::AtLeastOnce);
        assert_eq!(reader.message().payload, b"kept");
        broker.stop();
    }
}

/// An acknowledgement that comes later promises as much; and no more than one sync goes into the
/// time that each waits.
#[test]
fn what_waits_for_more_is_safe_when_it_is_acknowledged() {
    const DELAY_MS: u64 = 3;
    for shards in [1, 2] {
        let settings = format!("store.commit_delay_ms = {DELAY_MS}\n");
        let scratch = Scratch::new();
        let broker = start(scratch.path(), shards, &settings);
        leave_receivers(&broker);
        let (mut publisher, _) = Client::with(&broker, persistent(Version::V5, "publisher"));
        let began = Instant::now();
        for n in 0..20 {
            publisher.publish("t/b", format!("{n}").as_bytes(), QoS::AtLeastOnce);
        }
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(20 * DELAY_MS), "{took:?}");
        publish(&mut publisher, "t/a");
        broker.kill();

        let broker = start(scratch.path(), shards, &settings);
        take_all(&broker, "with a delay");
        broker.stop();
    }
}

#[test]
fn topics_in_memory_are_not_written_and_others_are() {
    for shards in [1, 2] {
        let settings = "store.topic_policies = \"t/m/#=memory\"\n";
        let scratch = Scratch::new();
        let broker = start(scratch.path(), shards, settings);
        leave_receivers(&broker);
        let mut publisher = Client::new(&broker, "publisher");
        publish(&mut publisher, "t/a");
        publisher.retain("t/m/kept", b"x");
        let records = figure(&broker, "records");
        publish_at(&mut publisher, "t/m", QoS::AtLeastOnce);
        publisher.retain("t/m/kept", b"y");
        assert_eq!(figure(&broker, "records"), records, "they are in memory alone");
        broker.kill();
        let broker = start(scratch.path(), shards, settings);
        take(&broker, "one", &["t/a/1", "t/a/2"]);
        take(&broker, "two", &["t/a/1", "t/a/2"]);
        broker.stop();
    }
}

/// A listener's policy goes with the connection to its session's home, on another shard.
#[test]
fn a_listener_wants_more_or_less_than_the_rest() {
    for (rest, more) in [("memory", "commit"), ("commit", "memory")] {
        let settings =
            format!("store.policy = \"{rest}\"\nLISTENER\nLISTENER\npolicy = \"{more}\"\n");
        let scratch = Scratch::new();
        let broker = start(scratch.path(), 2, &settings);
        leave_receivers(&broker);
        for n in 0..4 {
            let socket = std::net::TcpStream::connect(broker.addresses[n % 2]).unwrap();
            let name = format!("p{n}");
            let connect = crate::support::client::connect(Version::V5, &name);
            let mut publisher = Client::over(socket, Version::V5);
            publisher.send(&stonechat::codec::Packet::Connect(Box::new(connect)));
            publisher.hear();
            let policy = [rest, more][n % 2];
            publish_at(&mut publisher, &format!("t/{policy}/{n}"), QoS::AtLeastOnce);
        }
        // Where sessions are not waited for, one that is: the log is causal.
        let mut last = Client::over(
            std::net::TcpStream::connect(broker.addresses[usize::from(more == "commit")]).unwrap(),
            Version::V5,
        );
        let connect = persistent(Version::V5, "last");
        last.send(&stonechat::codec::Packet::Connect(Box::new(connect)));
        last.hear();
        broker.kill();
        let broker = start(scratch.path(), 2, &settings);
        let of = if rest == "commit" { [0, 2] } else { [1, 3] };
        let topics = of.map(|n| format!("t/commit/{n}/1"));
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        take(&broker, "one", &topics);
        take(&broker, "two", &topics);
        broker.stop();
    }
}
