//! The same play with power that fails: what was not synced is forgotten while the broker is dead.
//!
//! Where nothing may be mounted, these tests say so and pass; with STONECHAT_NEED_FUSE=1 they fail.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;

use stonechat::codec::{Packet, QoS, Version};

use super::forgetful::Forgetful;
use super::play::{Play, SHORT_FILES, Shards, run, run_in_scratch};
use crate::support::Random;
use crate::support::broker::{Scratch, Setup};
use crate::support::client::{Client, Heard, persistent, publish};

fn mounted() -> Option<Forgetful> {
    match Forgetful::mount() {
        Ok(mounted) => Some(mounted),
        Err(error) => {
            let needed = std::env::var_os("STONECHAT_NEED_FUSE").is_some();
            assert!(!needed, "no file system can be mounted: {error}");
            println!("skipped: no file system can be mounted through /dev/fuse: {error}");
            None
        }
    }
}

fn with_power_that_fails(shards: Shards, settings: &str) {
    let Some(disk) = mounted() else { return };
    let power = |random: &mut Random| disk.lose_power(random);
    run(&Play { directory: disk.path(), shards, settings, power: &power });
    let (files, directories) = disk.syncs();
    println!("{files} syncs of files, {directories} of the directory");
    assert!(files > 0 && directories > 0, "what is never synced cannot be safe");
}

#[test]
fn power_fails_with_one_shard() {
    with_power_that_fails(Shards::Always(1), SHORT_FILES);
}

#[test]
fn power_fails_with_two_shards() {
    with_power_that_fails(Shards::Always(2), "");
}

#[test]
fn power_fails_and_the_shards_change() {
    with_power_that_fails(Shards::Changing, SHORT_FILES);
}

/// What the others demand is not had for nothing: without syncing, a crash is survived, and a
/// failure of the power is not.
#[test]
fn a_broker_that_does_not_sync_is_found_out() {
    run_in_scratch(Shards::Always(2), "store.policy = \"os\"");
    let found = std::panic::catch_unwind(|| {
        with_power_that_fails(Shards::Always(2), "store.policy = \"os\"");
    });
    assert!(found.is_err() || Forgetful::mount().is_err());
}

/// A sync that fails ends all trust: nothing that has to be kept is acknowledged from then on, the
/// rest goes on, and what was acknowledged before is there after a start on a disk that works.
#[test]
fn a_disk_that_fails_is_not_trusted_again() {
    let Some(disk) = mounted() else { return };
    let settings = format!("store.directory = {:?}\nmqtt.sys_interval_s = 1", disk.path());
    let broker = Setup { settings: &settings, ..Setup::default() }.start();
    let (mut reader, _) = Client::with(&broker, persistent(Version::V5, "reader"));
    reader.subscribe("q/#", QoS::AtLeastOnce);
    reader.disconnect();
    let mut publisher = Client::new(&broker, "publisher");
    publisher.publish("q/a", b"before", QoS::AtLeastOnce);
    disk.fail();
    let mut unlucky = Client::new(&broker, "unlucky");
    unlucky.send(&Packet::Publish(publish("q/a", b"neither", QoS::AtLeastOnce, 1)));
    broker.log.wait_for(&["ERROR", "the log cannot be trusted any more"]);
    let one = Packet::Publish(publish("q/a", b"after", QoS::AtLeastOnce, 2));
    publisher.send(&one);
    assert_eq!(publisher.answer(), Heard::PubAck(2, 0x97));
    let mut online = Client::new(&broker, "online");
    online.subscribe("live", QoS::AtLeastOnce);
    publisher.publish("live", b"goes on", QoS::AtLeastOnce);
    assert_eq!(online.message().payload, b"goes on");
    online.subscribe("$SYS/broker/store/log/state", QoS::AtMostOnce);
    while online.message().payload != b"failed" {}
    let kept = Scratch::new();
    broker.stop();
    for file in fs::read_dir(disk.path()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), kept.path().join(file.file_name())).unwrap();
    }
    let settings = format!("store.directory = {:?}", kept.path());
    let broker = Setup { settings: &settings, ..Setup::default() }.start();
    let (mut reader, present) = Client::with(&broker, persistent(Version::V5, "reader"));
    assert!(present);
    assert_eq!(reader.message().payload, b"before");
    broker.stop();
}

/// The file system itself: what is synced stays, the rest may go.
#[test]
fn what_is_not_synced_is_forgotten() {
    let Some(disk) = mounted() else { return };
    let path = |name: &str| disk.path().join(name);
    let directory = File::open(disk.path()).unwrap();
    let mut kept = File::create_new(path("kept")).unwrap();
    kept.write_all(&[b'a'; 4000]).unwrap();
    kept.sync_data().unwrap();
    fs::write(path("removed"), b"there").unwrap();
    File::open(path("removed")).unwrap().sync_all().unwrap();
    directory.sync_all().unwrap();
    let (mut lost, mut torn, mut survived) = (0, 0, 0);
    for seed in 0..40 {
        let kept = File::options().read(true).write(true).open(path("kept")).unwrap();
        kept.write_all_at(&[b'a'; 4000], 0).unwrap();
        kept.sync_data().unwrap();
        kept.write_all_at(&[b'b'; 4000], 0).unwrap();
        drop(kept);
        let _ = fs::remove_file(path("removed"));
        fs::write(path("new"), b"new").unwrap();
        fs::rename(path("new"), path("renamed")).unwrap();
        disk.lose_power(&mut Random(seed));
        let bytes = fs::read(path("kept")).unwrap();
        assert_eq!(bytes.len(), 4000);
        match bytes.iter().filter(|b| **b == b'b').count() {
            0 => lost += 1,
            4000 => survived += 1,
            _ => torn += 1,
        }
        assert!(bytes.chunks(512).all(|sector| sector.iter().all(|b| *b == sector[0])));
        // Names change in order: a later change is there only with all earlier ones.
        let is_there = |name| path(name).exists();
        assert!(!is_there("new") || !is_there("removed"), "seed {seed}");
        assert!(!is_there("renamed") || !is_there("new") && !is_there("removed"), "seed {seed}");
        for name in ["new", "renamed"] {
            let _ = fs::remove_file(path(name));
        }
        fs::write(path("removed"), b"there").unwrap();
        directory.sync_all().unwrap();
    }
    assert!(lost > 0 && torn > 0 && survived > 0, "{lost}, {torn}, {survived}");
}
