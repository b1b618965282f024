//! The log on real files.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use crate::cleaning::queued;
use crate::directory::Directory;
use crate::world::{client_id, clock};
use stonechat::broker::{Seq, ShardId};
use stonechat::store::{
    DirectoryError, Disk, FileDisk, Log, LogOptions, Owner, Reader, Record, SessionNumber, Staging,
    Sync, open,
};

#[test]
fn a_directory_belongs_to_one() {
    let directory = Directory::empty("log-lock");
    let disk = FileDisk::open(&directory.0).unwrap();
    match FileDisk::open(&directory.0) {
        Err(DirectoryError::InUse { pid, .. }) => {
            assert_eq!(pid, std::process::id().to_string());
        }
        other => panic!("{other:?}"),
    }
    drop(disk);
    FileDisk::open(&directory.0).unwrap();
}

#[test]
fn it_works_on_files() {
    let directory = Directory::empty("log-files");
    let options = LogOptions { segment_bytes: 64 << 10, ..LogOptions::new(5, 6) };
    let session = SessionNumber(1);
    for round in 0..3 {
        let disk = Arc::new(FileDisk::open(&directory.0).unwrap());
        let opened = open(Arc::clone(&disk), &options, clock(0, 0)).unwrap();
        assert!(opened.recovered.damage.is_empty());
        assert_eq!(opened.recovered.end.closed, round > 0);
        let state = Rc::new(RefCell::new(opened.state));
        let mut log = Log::new(opened.resume, Rc::clone(&state), clock(0, 0)).unwrap();
        let mut staging = Staging::new(1);
        let mut next = 0;
        if let Some(s) = opened.recovered.sessions.first() {
            assert_eq!((s.queued as u64, s.next_order), (round * 500, round * 500));
            next = s.next_order;
        }
        let mut records = vec![Record::Session {
            session,
            client_id: client_id(1),
            expiry_s: 1000,
            owner: Owner::default(),
        }];
        let mut seq = 0;
        for order in next..next + 500 {
            records.push(queued(order));
            if order % 10 == 9 {
                seq += records.len() as u64;
                staging.push(ShardId(0), &mut records, Seq(seq), true, &mut Vec::new());
                log.commit(&staging.take(), clock(0, 0), Sync::Now).unwrap();
                log.maintain(clock(0, 0), 100_000).unwrap();
            }
        }
        let loaded = Reader::new(disk, state).load(session, 0, 10_000, usize::MAX).unwrap();
        assert_eq!(loaded.entries.len() as u64, (round + 1) * 500);
        log.close(clock(0, 0)).unwrap();
    }
}

/// What is written, in pieces of any length, is there: behind each other, at other places, over
/// what was there, after a rest, and with zeros in between.
#[test]
fn what_is_written_is_there() {
    const FILE_BYTES: usize = 3 << 20;
    let directory = Directory::empty("log-written");
    let disk = FileDisk::open(&directory.0).unwrap();
    let file = disk.create("a").unwrap();
    disk.allocate(&file, FILE_BYTES as u64).unwrap();
    let (mut model, mut found) = (vec![0; FILE_BYTES], vec![0; FILE_BYTES]);
    let mut state = 7_u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (state >> 33) as usize % below
    };
    let mut at = 128;
    for round in 0..400 {
        let most = [40, 5_000, 100_000, 1_500_000][draw(100).trailing_zeros().min(3) as usize];
        let len = 1 + draw(most);
        let goes_on = at + len + 4096 <= FILE_BYTES && draw(8) != 0;
        if !goes_on {
            at = draw(FILE_BYTES - len - 4096); // a header, or a segment that is used again
        }
        let bytes: Vec<u8> = (0..len).map(|n| (n + round) as u8 | 1).collect();
        disk.write_at(&file, &bytes, at as u64).unwrap();
        model[at..at + len].copy_from_slice(&bytes);
        at += len;
        let block_end = at.next_multiple_of(4096);
        if goes_on {
            // What stands behind it in its block is nobody's.
            disk.read_at(&file, &mut found[..block_end - at], at as u64).unwrap();
            model[at..block_end].copy_from_slice(&found[..block_end - at]);
        }
        match draw(40) {
            0 => disk.rest(&file),
            1 => {
                let until = (block_end + 69_632).min(FILE_BYTES);
                disk.write_zeros(&file, block_end as u64, until as u64).unwrap();
                model[block_end..until].fill(0);
                at = until;
            }
            _ => {}
        }
        assert_eq!(disk.read_at(&file, &mut found, 0).unwrap(), FILE_BYTES);
        let differs = found.iter().zip(&model).position(|(a, b)| a != b);
        assert_eq!(differs, None, "after round {round}, {len} bytes up to {at}");
    }
}

/// A log of the first version, whose headers are written anew over what stands in them.
#[test]
fn an_older_log_goes_on_in_its_files() {
    let directory = Directory::empty("log-older");
    fs::create_dir_all(&directory.0).unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/log-v1");
    for entry in fs::read_dir(fixture).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "log") {
            fs::copy(&path, directory.0.join(path.file_name().unwrap())).unwrap();
        }
    }
    let options = LogOptions { segment_bytes: 20_000, ..LogOptions::new(5, 6) };
    let mut found = Vec::new();
    for _ in 0..3 {
        let disk = Arc::new(FileDisk::open(&directory.0).unwrap());
        let opened = open(disk, &options, clock(0, 0)).unwrap();
        assert!(opened.recovered.damage.is_empty());
        let queued: Vec<_> =
            opened.recovered.sessions.iter().map(|s| (s.number, s.queued)).collect();
        assert!(!queued.is_empty());
        found.push(queued);
        let log = Log::new(opened.resume, Rc::new(RefCell::new(opened.state)), clock(0, 0));
        log.unwrap().close(clock(0, 0)).unwrap();
    }
    assert!(found[0] == found[1] && found[1] == found[2]);
}
