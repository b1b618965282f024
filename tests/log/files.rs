//! The log on real files.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use crate::cleaning::queued;
use crate::world::{client_id, clock};
use stonechat::broker::{Seq, ShardId};
use stonechat::store::{
    DirectoryError, FileDisk, Log, LogOptions, Owner, Reader, Record, SessionNumber, Staging, Sync,
    open,
};

/// A directory that is gone when the test ends.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_directory_belongs_to_one() {
    let directory = Directory::new("lock");
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
    let directory = Directory::new("files");
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
