//! Verify, dump, repair; and a log of the first format, which has to open for ever.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::SimDisk;
use crate::for_seeds;
use crate::model::{Entry, Held, Session, Text};
use crate::world::{World, clock, held};
use stonechat::store::inspect::DumpOptions;
use stonechat::store::{LogOptions, Owner, Sync, inspect};

fn life(seed: u64) -> World {
    let mut world = World::new(seed);
    for _ in 0..80 {
        world.step().unwrap();
    }
    world.commit(Sync::Now).unwrap();
    world
}

#[test]
fn a_repaired_log_holds_the_same() {
    for_seeds(60, &[], |seed| {
        let mut world = life(seed);
        let now = world.now + 777;
        let from = Arc::new(world.disk.restart());
        let before = from.files();
        let verified = inspect::verify(&from, clock(now, now)).unwrap().unwrap();
        assert!(verified.recovered.damage.is_empty());
        let mut lines = 0;
        inspect::dump(&from, &DumpOptions::default(), |line| {
            lines += 1;
            !line.is_empty()
        })
        .unwrap();
        assert!(lines > 80);
        let to = Arc::new(SimDisk::new(u64::MAX / 2));
        let options = LogOptions { log_id: 99, ..world.options };
        let recovered = inspect::repair(&from, &to, &options, clock(now, now)).unwrap().unwrap();
        assert_eq!(from.files(), before, "the old one stays as it is");
        assert!(inspect::repair(&from, &to, &options, clock(now, now)).is_err());
        let (found, again) = held(&Arc::new(to.restart()), &options, now);
        let (truth, _) = held(&from, &world.options, now);
        assert!(found == truth, "{}", found.difference(std::slice::from_ref(&truth)));
        assert_eq!(again.numbers, recovered.numbers);
        // An id is not given out again: the world goes on in the new log.
        world.options = options;
        world.now = now;
        world.synced();
        world.restart(to.restart());
        for _ in 0..30 {
            world.step().unwrap();
        }
        world.commit(Sync::Now).unwrap();
        let disk = world.disk.restart();
        world.restart(disk);
    });
}

#[test]
fn a_dump_ends_when_it_is_told_to() {
    let world = life(1);
    let mut lines = Vec::new();
    inspect::dump(&world.disk, &DumpOptions::default(), |line| {
        lines.push(line.to_owned());
        lines.len() < 5
    })
    .unwrap();
    assert!(lines.len() == 5 && lines[0].starts_with("segment 1"), "{lines:?}");
}

/// A log of each version of the format; the last is the one that is written.
const FIXTURES: [&str; 3] =
    ["tests/fixtures/log-v1", "tests/fixtures/log-v2", "tests/fixtures/log-v3"];
const FIXTURE_NOW: u64 = 100_000;

fn fixture(version: usize) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(FIXTURES[version - 1])
}

fn fixture_options() -> LogOptions {
    LogOptions { segment_bytes: 20_000, ..LogOptions::new(0x5107_ec4a, 1) }
}

/// All that is held, payloads as length and checksum.
fn summary(held: &Held) -> String {
    let mut out = String::new();
    let message = |text: &Text| {
        let Text { topic, payload, qos, retain, publisher, expires, properties } = text;
        let (len, crc) = (payload.len(), crc32c::crc32c(payload));
        format!("{topic} {len} {crc:08x} {qos} {retain} {publisher} {expires:?} {properties:?}")
    };
    for (number, s) in &held.sessions {
        let Session { client_id, owner, expiry_s, offline, will, subscriptions, .. } = s;
        let Session { inbound, entries, .. } = s;
        out += &format!("session {number} {client_id} {expiry_s} {offline:?} {inbound:?}\n");
        if *owner != Owner::default() {
            out += &format!("  owner {:?} {}\n", owner.user, owner.granted);
        }
        if let Some((text, delay_s, expiry_s)) = will {
            out += &format!("  will {delay_s} {expiry_s:?} {}\n", message(text));
        }
        for (filter, (options, id)) in subscriptions {
            out += &format!("  {filter} {options} {id:?}\n");
        }
        for (order, entry) in entries {
            let Entry { message: text, qos, retain, ids, group, packet_id } = entry;
            out += &format!("  {order} {qos} {retain} {ids:?} {group:?} {packet_id:?}");
            out += &format!(" {}\n", text.as_ref().map(message).unwrap_or_default());
        }
    }
    for (topic, (version, text)) in &held.retained {
        out += &format!("retained {topic} {version} {}\n", message(text));
    }
    out
}

#[test]
fn every_format_opens_and_goes_on_as_the_newest() {
    for version in 1..=FIXTURES.len() {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(fixture(version)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "log") {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                let bytes = std::fs::read(&path).unwrap();
                assert_eq!(usize::from(bytes[8]), version, "{name}");
                files.insert(name, bytes);
            }
        }
        let disk = Arc::new(SimDisk::of(&files));
        let (found, recovered) = held(&disk, &fixture_options(), FIXTURE_NOW);
        assert!(recovered.end.closed && recovered.damage.is_empty());
        let expected = std::fs::read_to_string(fixture(version).join("held.txt")).unwrap();
        assert_eq!(summary(&found), expected, "version {version}");
        for (name, bytes) in disk.files() {
            assert_eq!(usize::from(bytes[8]), FIXTURES.len(), "{name} is written on");
        }
        let (again, recovered) = held(&disk, &fixture_options(), FIXTURE_NOW);
        assert!(again == found && recovered.damage.is_empty(), "version {version}, twice");
    }
}

#[test]
#[ignore = "writes the fixture: once per format"]
fn write_the_fixture() {
    let mut world = World::with(crate::rng::Rng::new(2, 1), fixture_options(), u64::MAX / 2);
    while world.now < 2500 || world.model.sessions.len() < 4 {
        world.step().unwrap();
    }
    world.commit(Sync::Now).unwrap();
    let clock = world.clock();
    world.log.take().unwrap().close(clock).unwrap();
    let (files, directory) = (world.disk.files(), fixture(FIXTURES.len()));
    std::fs::create_dir_all(&directory).unwrap();
    for (name, bytes) in &files {
        std::fs::write(directory.join(name), bytes).unwrap();
    }
    let (found, _) = held(&world.disk, &fixture_options(), FIXTURE_NOW);
    std::fs::write(directory.join("held.txt"), summary(&found)).unwrap();
}
