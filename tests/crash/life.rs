//! The data directory's life: it belongs to one process, and an orderly end keeps everything too.

use std::path::Path;
use std::time::Duration;

use stonechat::codec::{Packet, QoS, Version};

use crate::support::broker::{Broker, Scratch, Setup};
use crate::support::client::{Client, Got, Heard, persistent};

fn start(directory: &Path, shards: usize) -> Broker {
    setup(directory, shards, |setup| setup.start())
}

fn setup<T>(directory: &Path, shards: usize, start: impl FnOnce(Setup<'_>) -> T) -> T {
    let settings = format!("store.directory = {directory:?}");
    start(Setup { shards, settings: &settings, ..Setup::default() })
}

#[test]
fn a_second_broker_is_kept_out_of_the_directory() {
    let scratch = Scratch::new();
    let first = start(scratch.path(), 1);
    let mut second = setup(scratch.path(), 1, |setup| setup.spawn());
    let status = second.wait(Duration::from_secs(20));
    let log = second.log.all().join("\n");
    assert!(status.code().is_some_and(|code| code != 0), "{status:?}: {log}");
    let names = scratch.path().to_str().unwrap();
    assert!(log.contains("another broker uses") && log.contains(names), "{log}");
    assert!(log.contains(&format!("pid {}", first.pid())), "{log}");
    // The first is not disturbed, and afterwards the directory is free again.
    Client::new(&first, "a").disconnect();
    first.stop();
    start(scratch.path(), 1).stop();
}

#[test]
fn an_orderly_end_keeps_everything() {
    for (before, after) in [(1, 1), (2, 2), (1, 2), (2, 1)] {
        let scratch = Scratch::new();
        let broker = start(scratch.path(), before);
        for (n, version) in [Version::V311, Version::V5].into_iter().enumerate() {
            let (mut client, present) =
                Client::with(&broker, persistent(version, &format!("receiver-{n}")));
            assert!(!present);
            client.subscribe("t/#", QoS::ExactlyOnce);
            client.disconnect();
        }
        let mut publisher = Client::new(&broker, "publisher");
        let topics = || (0..200).map(|n| format!("t/{n}"));
        for (n, topic) in topics().enumerate() {
            let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][n % 2];
            publisher.publish(&topic, topic.as_bytes(), qos);
        }
        publisher.retain("kept", b"kept");
        publisher.disconnect();
        broker.stop();
        let broker = start(scratch.path(), after);
        for (n, version) in [Version::V311, Version::V5].into_iter().enumerate() {
            let connect = || persistent(version, ["receiver-0", "receiver-1"][n]);
            let (mut client, present) = Client::with(&broker, connect());
            assert!(present);
            let got: Vec<Got> = topics().map(|_| client.message()).collect();
            // In order at each QoS: a QoS 2 message waits for its Packet Identifier to be safe.
            for (n, qos) in [QoS::AtLeastOnce, QoS::ExactlyOnce].into_iter().enumerate() {
                let got: Vec<&Got> = got.iter().filter(|got| got.qos == qos).collect();
                let due: Vec<String> = topics().skip(n).step_by(2).collect();
                assert_eq!(
                    got.iter().map(|got| &got.topic).collect::<Vec<_>>(),
                    Vec::from_iter(&due)
                );
                assert!(got.iter().all(|got| got.payload == got.topic.as_bytes()));
                assert!(got.iter().all(|got| !got.dup && !got.retain));
            }
            client.subscribe("kept", QoS::AtLeastOnce);
            assert_eq!(client.message().payload, b"kept");
            client.disconnect();
            let (mut client, present) = Client::with(&broker, connect());
            assert!(present);
            client.send(&Packet::PingReq);
            assert_eq!(client.hear(), Heard::PingResp, "all was acknowledged");
            client.disconnect();
        }
        broker.stop();
    }
}
