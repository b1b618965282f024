//! mosquitto_pub, mosquitto_sub and mosquitto_rr.

use std::process::Command;

use stonechat::codec::{Packet, Property, QoS, Version};

use crate::support::broker::{Broker, Scratch, sharded};
use crate::support::client::{Client, publish};
use crate::tools::{Running, is_here, run};

const VERSIONS: [&str; 3] = ["mqttv31", "mqttv311", "mqttv5"];

fn here(what: &str) -> bool {
    is_here("mosquitto_pub", "--help", what) && is_here("stdbuf", "--version", what)
}

fn tool(program: &str, broker: &Broker, version: &str, rest: &str) -> Command {
    let mut command = Command::new("stdbuf");
    command.args(["-oL", program, "-h", "127.0.0.1", "-p", &broker.port().to_string()]);
    command.args(["-V", version]).args(rest.split_whitespace());
    command
}

fn publishes(broker: &Broker, version: &str, rest: &str) {
    run(&mut tool("mosquitto_pub", broker, version, rest));
}

/// A mosquitto_sub that has its SUBACK.
fn subscriber(broker: &Broker, version: &str, rest: &str) -> Running {
    let running = Running::start(tool("mosquitto_sub", broker, version, rest).arg("-d"));
    running.out.wait_for(&["Subscribed"]);
    running
}

/// The lines that are no debug output.
fn messages(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().filter_map(|l| l.strip_prefix("=> ").map(str::to_owned)).collect()
}

#[test]
fn pub_and_sub_at_each_qos() {
    if !here("mosquitto_pub and mosquitto_sub") {
        return;
    }
    for shards in [1, 2] {
        let broker = sharded(shards, "");
        for version in VERSIONS {
            let mut sub = tool("mosquitto_sub", &broker, version, "-t t/+ -q 2 -C 3 -d");
            let sub = Running::start(sub.args(["-F", "=> %q %r %t %p"]));
            sub.out.wait_for(&["Subscribed"]);
            for qos in 0..3 {
                publishes(&broker, version, &format!("-t t/{qos} -q {qos} -m hello"));
            }
            let expected = ["0 0 t/0 hello", "1 0 t/1 hello", "2 0 t/2 hello"];
            assert_eq!(messages(sub.finish()), expected, "{version}");
        }
        broker.stop();
    }
}

#[test]
fn retained_and_queued() {
    if !here("mosquitto_pub -r and mosquitto_sub -c") {
        return;
    }
    let broker = sharded(2, "");
    for version in VERSIONS {
        publishes(&broker, version, &format!("-t kept/{version} -m state -r -q 1"));
        let format = "=> %r %p";
        let mut sub = tool("mosquitto_sub", &broker, version, "-q 1 -C 1 -W 60");
        sub.args(["-t", &format!("kept/{version}"), "-F", format]);
        assert_eq!(messages(run(&mut sub)), ["1 state"]);

        let session = match version {
            "mqttv5" => "-c -i keeper -q 1 -t queue/# -x 3600",
            _ => "-c -i keeper -q 1 -t queue/#",
        };
        run(tool("mosquitto_sub", &broker, version, session).arg("-E"));
        for n in 0..20 {
            publishes(&broker, version, &format!("-t queue/{n} -m {n} -q 1"));
        }
        let mut sub = tool("mosquitto_sub", &broker, version, session);
        let lines = run(sub.args(["-C", "20", "-W", "60", "-F", "=> %p"]));
        let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        assert_eq!(messages(lines), expected, "{version}");
        run(tool("mosquitto_sub", &broker, version, "-i keeper -t none -E").arg("-q").arg("0"));
    }
    broker.stop();
}

#[test]
fn wills_takeover_and_large_payloads() {
    if !here("mosquitto_sub --will-topic and mosquitto_pub -f") {
        return;
    }
    let broker = sharded(2, "");
    let scratch = Scratch::new();
    let file = scratch.path().join("payload");
    std::fs::write(&file, vec![b'x'; 16 << 20]).unwrap();
    for version in VERSIONS {
        let mut watcher = Client::new(&broker, "watcher");
        watcher.subscribe("#", QoS::ExactlyOnce);
        let lost = format!("-i lost -t none --will-topic will/{version} --will-payload gone");
        drop(subscriber(&broker, version, &lost)); // killed
        let got = watcher.message();
        assert_eq!((got.topic, &*got.payload), (format!("will/{version}"), &b"gone"[..]));

        let first = subscriber(&broker, version, "-i twin -t none");
        let second = subscriber(&broker, version, "-i twin -t twin -C 1");
        broker.log.wait_for(&["client disconnected", "twin", "took the session over"]);
        drop(first);
        publishes(&broker, version, "-t twin -m x");
        second.finish();
        assert_eq!(watcher.message().topic, "twin");

        let mut large = tool("mosquitto_pub", &broker, version, "-t large -q 2");
        run(large.arg("-f").arg(&file));
        assert_eq!(watcher.message().payload.len(), 16 << 20);
        watcher.disconnect();
    }
    broker.stop();
}

#[test]
fn ten_thousand_lines_in_order() {
    if !here("mosquitto_pub -l") {
        return;
    }
    let broker = sharded(2, "limits.output_bytes_max = 67108864");
    let scratch = Scratch::new();
    let file = scratch.path().join("lines");
    let expected: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
    std::fs::write(&file, expected.join("\n") + "\n").unwrap();
    for (version, qos) in [("mqttv311", 0), ("mqttv5", 1), ("mqttv311", 2)] {
        let mut sub = tool("mosquitto_sub", &broker, version, "-t lines -q 2 -C 10000 -d");
        let sub = Running::start(sub.args(["-F", "=> %p"]));
        sub.out.wait_for(&["Subscribed"]);
        let publisher = format!(
            "mosquitto_pub -h 127.0.0.1 -p {} -V {version} -t lines -q {qos} -l < '{}'",
            broker.port(),
            file.display()
        );
        run(Command::new("sh").args(["-c", &publisher]));
        assert!(messages(sub.finish()) == expected, "{version} {qos}");
    }
    broker.stop();
}

#[test]
fn properties_of_version_5() {
    if !here("mosquitto_pub -D") {
        return;
    }
    let broker = sharded(2, "");
    let mut sub = tool("mosquitto_sub", &broker, "mqttv5", "-t p -q 1 -C 1 -d");
    sub.args("-D subscribe subscription-identifier 7".split(' '));
    let sub = Running::start(sub.args(["-F", "=> %C|%D|%R|%P|%S|%F|%p"]));
    sub.out.wait_for(&["Subscribed"]);
    let mut publisher = tool("mosquitto_pub", &broker, "mqttv5", "-t p -q 1 -m hello");
    for property in [
        "content-type text/plain",
        "correlation-data 1234",
        "response-topic answer/here",
        "user-property name value",
        "payload-format-indicator 1",
        "message-expiry-interval 100",
    ] {
        publisher.args(["-D", "publish"]).args(property.split(' '));
    }
    run(&mut publisher);
    let lines = messages(sub.finish());
    assert_eq!(lines, ["text/plain|1234|answer/here|name:value|7|1|hello"]);
    broker.stop();
}

#[test]
fn request_and_response() {
    if !here("mosquitto_rr") {
        return;
    }
    for shards in [1, 2] {
        let broker = sharded(shards, "");
        let mut responder = Client::new(&broker, "responder");
        responder.subscribe("request", QoS::AtLeastOnce);
        let request = "-t request -e answer/here -q 1 -m question";
        let asking = Running::start(&mut tool("mosquitto_rr", &broker, "mqttv5", request));
        assert_eq!(responder.message().payload, b"question");
        let mut raw = Vec::new();
        raw.extend([0x09, 0, 2, b'i', b'd']);
        let properties = stonechat::codec::Properties::from_validated(&raw);
        assert!(properties.iter().eq([Property::CorrelationData(b"id")]));
        let mut answer = publish("answer/here", b"answer", QoS::AtMostOnce, 0);
        answer.properties = properties;
        assert_eq!(responder.version, Version::V5);
        responder.send(&Packet::Publish(answer));
        assert_eq!(asking.finish(), ["answer"]);
        broker.stop();
    }
}
