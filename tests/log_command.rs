//! `stonechat log` from the outside: the program, over directories whole and spoiled.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/directory.rs"]
mod directory;

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::rc::Rc;
use std::sync::Arc;

use stonechat::broker::{Message, MessageParts, Seq, ShardId, Time};
use stonechat::codec::{Properties, QoS};
use stonechat::store::{
    Clock, FileDisk, Log, LogOptions, Owner, Record, SessionNumber, Staging, Sync, open,
};
use stonechat::topic::TopicName;

use directory::Directory;

const CLOCK: Clock = Clock { now: Time(1), wall_ms: 1_750_000_000_000 };
const SEGMENT_BYTES: u64 = 64 << 10;
const BATCHES: u64 = 60;
const PER_BATCH: u64 = 10;

impl Directory {
    /// Two sessions with 300 messages each, over several segments.
    fn new(name: &str) -> Self {
        let directory = Self::empty(&format!("logtool-{name}"));
        write(&directory.0);
        directory
    }

    fn file(&self, segment: u32) -> PathBuf {
        self.0.join(format!("{segment:010}.log"))
    }

    fn spoil(&self, segment: u32, at: u64, bytes: &[u8]) {
        let file = fs::File::options().write(true).open(self.file(segment)).unwrap();
        file.write_all_at(bytes, at).unwrap();
    }

    /// Runs `stonechat log`: exit code, output, complaints.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stonechat"));
        command.env_clear().arg("log").args(arguments).arg("--dir").arg(&self.0);
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    /// All files and what is in them.
    fn content(&self) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_name() != "lock")
            .map(|entry| {
                (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
            })
            .collect();
        files.sort();
        files
    }
}

fn queued(session: u64, order: u64) -> Record {
    let mut payload = [b'x'; 256];
    payload[..8].copy_from_slice(format!("{order:08}").as_bytes());
    payload[8] = 0xff;
    let topic = format!("hall/{}/door", order % 2);
    let parts = MessageParts {
        qos: QoS::AtLeastOnce,
        retain: false,
        expires: Time::NEVER,
        topic: TopicName::new(&topic).unwrap(),
        publisher: 1,
        properties: Properties::default(),
        payload: &payload,
    };
    Record::Queued {
        session: SessionNumber(session),
        order,
        message: Message::new(&parts, &mut Vec::new()),
        qos: QoS::AtLeastOnce,
        retain: false,
        subscription_ids: [].into(),
        group: None,
        sealed: true,
    }
}

fn write(path: &Path) {
    let disk = Arc::new(FileDisk::open(path).unwrap());
    let options = LogOptions { segment_bytes: SEGMENT_BYTES, ..LogOptions::new(1, 2) };
    let opened = open(disk, &options, CLOCK).unwrap();
    let state = Rc::new(RefCell::new(opened.state));
    let mut log = Log::new(opened.resume, state, CLOCK).unwrap();
    let (mut staging, mut records, mut seq) = (Staging::new(1), Vec::new(), 0);
    for (session, client_id) in [(1, "left"), (2, "right")] {
        let session = SessionNumber(session);
        records.push(Record::Session {
            session,
            client_id: client_id.into(),
            expiry_s: 1000,
            owner: Owner::default(),
        });
    }
    for batch in 0..BATCHES {
        let session = 1 + batch % 2;
        for n in 0..PER_BATCH {
            records.push(queued(session, batch / 2 * PER_BATCH + n));
        }
        seq += records.len() as u64;
        staging.push(ShardId(0), &mut records, Seq(seq), true, &mut Vec::new());
        log.commit(&staging.take(), CLOCK, Sync::Now).unwrap();
        while log.maintain(CLOCK, 0).unwrap() {}
    }
    log.close(CLOCK).unwrap();
}

/// Verifies, repairs, and verifies again. Returns what is told of the damage.
fn damaged_and_repaired(directory: &Directory) -> String {
    let before = directory.content();
    let (code, told, err) = directory.run(&["verify"]);
    assert_eq!((code, err.as_str()), (65, ""), "{told}");
    let (code, preview, _) = directory.run(&["repair"]);
    assert!(code == 65 && preview.contains("nothing was changed"), "{preview}");
    assert!(directory.content() == before, "only repair --yes changes anything");
    let (code, done, err) = directory.run(&["repair", "--yes"]);
    assert_eq!((code, err.as_str()), (0, ""), "{done}");
    let damage = told.split_once("damage:").unwrap().1;
    assert!(done.contains(damage) && done.contains("repaired"), "{done}");
    let (code, again, err) = directory.run(&["verify"]);
    assert_eq!((code, err.as_str()), (0, ""), "{again}");
    assert!(again.contains("no damage"), "{again}");
    damage.to_owned()
}

#[test]
fn a_whole_log() {
    let directory = Directory::new("whole");
    let before = directory.content();
    let (code, told, err) = directory.run(&["verify"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let counts = "2 sessions, 600 messages, 600 waiting deliveries, 0 retained";
    assert!(told.contains(counts) && told.contains("closed in order"), "{told}");
    // Where a broker would have it.
    let mut command = Command::new(env!("CARGO_BIN_EXE_stonechat"));
    command.env_clear().env("STATE_DIRECTORY", &directory.0).args(["log", "verify"]);
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(0), told.into_bytes()));
    let (code, told, _) = directory.run(&["repair", "--yes"]);
    assert!(code == 0 && told.contains("nothing to repair"), "{told}");
    assert!(directory.content() == before);
}

#[test]
fn a_flipped_bit() {
    let directory = Directory::new("bit");
    let at = SEGMENT_BYTES / 2;
    let byte = fs::read(directory.file(1)).unwrap()[at as usize];
    directory.spoil(1, at, &[byte ^ 4]);
    let damage = damaged_and_repaired(&directory);
    // One batch is gone, and all in it was one session's.
    assert!(damage.contains("up to 10 messages"), "{damage}");
    assert_eq!(damage.matches(" lost 10 messages").count(), 1, "{damage}");
    assert!(damage.contains("\"left\"") || damage.contains("\"right\""), "{damage}");
}

#[test]
fn zeros_in_the_middle() {
    let directory = Directory::new("zeros");
    directory.spoil(2, 4096 * 5, &[0; 4096]);
    let damage = damaged_and_repaired(&directory);
    assert!(damage.contains("(segment 2, from byte "), "{damage}");
    assert!(damage.contains("the session of \"left\" lost 10 messages"), "{damage}");
    assert!(damage.contains("the session of \"right\" lost 10 messages"), "{damage}");
}

#[test]
fn a_missing_segment() {
    let directory = Directory::new("missing");
    fs::remove_file(directory.file(2)).unwrap();
    let damage = damaged_and_repaired(&directory);
    assert!(damage.contains("segment 2 is missing"), "{damage}");
    assert!(damage.contains("\"left\" lost ") && damage.contains("\"right\" lost "), "{damage}");
}

#[test]
fn a_torn_tail() {
    let directory = Directory::new("torn");
    let (_, dump, _) = directory.run(&["dump"]);
    let last = dump.lines().rfind(|line| line.starts_with("  batch ")).unwrap();
    let before = &dump[..dump.find(last).unwrap()];
    let segment = before.lines().rfind(|line| line.starts_with("segment ")).unwrap();
    let number = |text: &str, behind: &str| -> u64 {
        let text = text.split_once(behind).unwrap().1;
        text.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    let (segment, at) = (number(segment, "segment "), number(last, " at "));
    directory.spoil(segment as u32, at + 8, &[0xaa; 30]);
    let (code, told, err) = directory.run(&["verify"]);
    assert_eq!((code, err.as_str()), (0, ""), "{told}");
    assert!(told.contains("it was not closed; its last whole batch is"), "{told}");
    assert!(told.contains("600 messages, 600 waiting") && told.contains("no damage"), "{told}");
}

#[test]
fn a_dump() {
    let directory = Directory::new("dump");
    let (code, all, err) = directory.run(&["dump", "--payload", "9"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(all.matches("    Message ").count(), 600);
    assert_eq!(all.matches("    Queued(").count(), 600);
    assert_eq!(all.matches("    Session {").count(), 2);
    assert!(all.contains("256 of payload \"00000007\\xff\"…"), "{}", &all[..2000]);
    let (_, left, _) = directory.run(&["dump", "--session", "left"]);
    assert_eq!(left.matches("    Message ").count(), 300);
    assert_eq!(left.matches("    Session {").count(), 1);
    let (_, doors, _) = directory.run(&["dump", "--session", "left", "--topic", "hall/1/#"]);
    assert_eq!(doors.matches("    Message ").count(), 150);
    assert_eq!(doors.matches("    Queued(").count(), 150);
    assert!(!doors.contains("hall/0/") && !doors.contains("    Session {"));
    let (_, nobody, _) = directory.run(&["dump", "--session", "nobody"]);
    assert!(!nobody.contains("batch") && nobody.contains("segment 1,"), "{nobody}");
    let (code, ..) = directory.run(&["dump", "--topic", "a/#/b"]);
    assert_eq!(code, 64);
    directory.spoil(1, 10_000, &[0; 100]);
    let (code, spoiled, _) = directory.run(&["dump"]);
    assert!(code == 0 && spoiled.contains(": unreadable\n"));
}

#[test]
fn not_while_a_broker_runs() {
    let directory = Directory::new("in-use");
    let broker = FileDisk::open(&directory.0).unwrap();
    for arguments in [&["verify"][..], &["dump"], &["repair"], &["repair", "--yes"]] {
        let (code, out, err) = directory.run(arguments);
        assert_eq!((code, out.as_str()), (75, ""), "{arguments:?}");
        assert!(err.contains(&format!("(pid {})", std::process::id())), "{err}");
    }
    drop(broker);
    assert_eq!(directory.run(&["verify"]).0, 0);
    // Who reads keeps brokers out, and other readers not.
    let _reading = FileDisk::open_for_reading(&directory.0).unwrap();
    assert!(FileDisk::open(&directory.0).is_err());
    assert_eq!(directory.run(&["verify"]).0, 0);
}

#[test]
fn no_log() {
    let directory = Directory::empty("logtool-none");
    for arguments in [&["verify"][..], &["dump"], &["repair", "--yes"]] {
        let (code, out, err) = directory.run(arguments);
        assert_eq!((code, out.as_str()), (66, ""), "{arguments:?}");
        assert!(err.contains("there is no log in "), "{err}");
        assert!(fs::read_dir(&directory.0).unwrap().next().is_none(), "nothing is made");
    }
    fs::write(directory.file(1), b"something else").unwrap();
    let (code, _, err) = directory.run(&["verify"]);
    assert!(code == 65 && err.contains("no segment has a readable header"), "{err}");
    fs::remove_file(directory.file(1)).unwrap();
    fs::create_dir(directory.file(1)).unwrap();
    assert_eq!(directory.run(&["verify"]).0, 66);
    let (code, _, err) = Directory(directory.0.join("missing")).run(&["verify"]);
    assert!(code == 66 && err.contains("there is no log in "), "{err}");
    fs::write(directory.0.join("file"), b"").unwrap();
    let (code, _, err) = Directory(directory.0.join("file")).run(&["verify"]);
    assert!(code == 74 && !err.is_empty(), "{code} {err}");
}
