//! `$SYS/broker/`: mosquitto's main names, and true values.

use std::collections::BTreeMap;
use std::time::Instant;

use stonechat::codec::{QoS, Version};

use crate::support::PATIENCE;
use crate::support::broker::{Broker, Setup, sharded};
use crate::support::client::{Client, connect, persistent};

/// What `$SYS/broker/` and `name` says now.
pub(crate) fn sys_value(broker: &Broker, name: &str) -> String {
    let mut reader = Client::new(broker, "sys-reader");
    reader.subscribe(&format!("$SYS/broker/{name}"), QoS::AtMostOnce);
    let got = reader.message();
    reader.disconnect();
    String::from_utf8(got.payload).unwrap()
}

/// Reads `$SYS/broker/#` until all of `expected` are as they should be.
fn expect(broker: &Broker, expected: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut reader = Client::new(broker, "sys-watcher");
    reader.subscribe("$SYS/broker/#", QoS::AtMostOnce);
    let until = Instant::now() + PATIENCE;
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let got = reader.message();
        let name = got.topic.strip_prefix("$SYS/broker/").unwrap().to_owned();
        values.insert(name, String::from_utf8(got.payload).unwrap());
        let is = |name: &str| values.get(name).map_or("(none)", String::as_str);
        if expected.iter().all(|(name, value)| is(name) == *value) {
            return values;
        }
        let wrong: Vec<_> = expected.iter().filter(|(name, value)| is(name) != *value).collect();
        assert!(Instant::now() < until, "expected {wrong:?} in {values:#?}");
    }
}

#[test]
fn mosquittos_main_names_are_there() {
    let broker = sharded(1, "mqtt.sys_interval_s = 1");
    let mut reader = Client::new(&broker, "reader");
    reader.subscribe("$SYS/broker/#", QoS::AtMostOnce);
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for name in [
        "version",
        "uptime",
        "clients/total",
        "clients/maximum",
        "clients/connected",
        "clients/active",
        "clients/disconnected",
        "clients/inactive",
        "clients/expired",
        "messages/received",
        "messages/sent",
        "messages/stored",
        "store/messages/count",
        "store/messages/bytes",
        "publish/messages/received",
        "publish/messages/sent",
        "publish/messages/dropped",
        "publish/bytes/received",
        "publish/bytes/sent",
        "bytes/received",
        "bytes/sent",
        "subscriptions/count",
        "retained messages/count",
        "load/messages/received/1min",
        "load/messages/sent/5min",
        "load/publish/received/15min",
        "load/publish/sent/1min",
        "load/publish/dropped/1min",
        "load/bytes/received/1min",
        "load/bytes/sent/1min",
        "load/connections/1min",
    ] {
        let until = Instant::now() + PATIENCE;
        while !values.contains_key(name) {
            assert!(Instant::now() < until, "{name} in {values:#?}");
            let got = reader.message();
            let name = got.topic.strip_prefix("$SYS/broker/").unwrap().to_owned();
            values.insert(name, String::from_utf8(got.payload).unwrap());
        }
    }
    assert!(values["version"].starts_with("stonechat "));
    assert!(values["uptime"].ends_with(" seconds"));
    broker.stop();
}

#[test]
fn the_values_are_true() {
    for shards in [1, 2] {
        let broker = sharded(shards, "mqtt.sys_interval_s = 1");
        let mut readers: Vec<Client> =
            (0..5).map(|n| Client::new(&broker, &format!("reader-{n}"))).collect();
        for reader in &mut readers {
            reader.subscribe("t", QoS::AtMostOnce);
        }
        let (mut away, _) = Client::with(&broker, persistent(Version::V311, "away"));
        away.subscribe("q", QoS::AtLeastOnce);
        away.disconnect();
        let (mut writer, _) = Client::with(&broker, connect(Version::V5, "writer"));
        for _ in 0..10 {
            writer.publish("t", &[0; 100], QoS::AtMostOnce);
        }
        for _ in 0..7 {
            writer.publish("q", b"12345", QoS::AtLeastOnce);
        }
        for n in 0..3 {
            writer.retain(&format!("r/{n}"), b"kept");
        }
        for reader in &mut readers {
            (0..10).for_each(|_| drop(reader.message()));
        }
        expect(
            &broker,
            &[
                ("clients/connected", "7"), // readers, the writer, and who asks
                ("clients/active", "7"),
                ("clients/disconnected", "1"),
                ("clients/inactive", "1"),
                ("clients/total", "8"),
                ("subscriptions/count", "7"),
                ("messages/queued", "7"),
                ("publish/messages/received", "20"),
                ("publish/bytes/received", "1047"),
                ("publish/messages/dropped", "0"),
                ("limits/output_bytes_max", "0"),
            ],
        );
        drop(readers);
        expect(&broker, &[("clients/connected", "2"), ("clients/total", "3")]);
        broker.stop();
    }
}

#[test]
fn there_is_no_sys_if_it_is_off_and_nobody_may_write_it() {
    let broker = sharded(2, "mqtt.sys_interval_s = 0");
    let mut reader = Client::new(&broker, "reader");
    reader.subscribe("$SYS/#", QoS::AtMostOnce);
    reader.subscribe("#", QoS::AtMostOnce);
    let mut writer = Client::new(&broker, "writer");
    let forged = crate::support::client::publish("$SYS/broker/uptime", b"x", QoS::AtMostOnce, 0);
    writer.send(&stonechat::codec::Packet::Publish(forged));
    writer.publish("end", b"", QoS::AtLeastOnce);
    assert_eq!(reader.message().topic, "end");
    broker.stop();
}

#[test]
fn refused_connections_are_counted() {
    let settings = "mqtt.sys_interval_s = 1\nserver.connect_timeout_ms = 200";
    let broker = Setup { settings, ..Setup::default() }.start();
    for _ in 0..3 {
        let mut client = Client::bare(&broker, Version::V5);
        client.send_bytes(b"\xc0\0");
        client.hear();
    }
    expect(&broker, &[("limits/failed_connects", "3")]);
    broker.stop();
}
