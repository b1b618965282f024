//! The log's figures: `cargo bench --bench log [-- DIRECTORY]`. Each beside a plain append and
//! `fdatasync` of the same bytes in the same run; nothing here is a pass or a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, missing_docs)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use stonechat::broker::{Message, MessageParts, Seq, ShardId, Time};
use stonechat::codec::{Properties, QoS};
use stonechat::store::{
    Clock, FileDisk, Log, LogFile, LogOptions, Owner, Reader, Record, SessionNumber, Shared,
    Staging, State, Sync, open,
};
use stonechat::topic::TopicName;

struct Lock(Mutex<State<LogFile>>);

impl Shared<LogFile> for Lock {
    fn with<R>(&self, f: impl FnOnce(&mut State<LogFile>) -> R) -> R {
        f(&mut self.0.lock().unwrap())
    }
}

type TheLog = Log<FileDisk, Arc<Lock>>;

const SESSION: SessionNumber = SessionNumber(1);
const CLOCK: Clock = Clock { now: Time(1), wall_ms: 1_750_000_000_000 };

fn message(n: u64, scratch: &mut Vec<u8>) -> Message {
    let mut payload = [b'x'; 256];
    payload[..8].copy_from_slice(&n.to_le_bytes());
    let parts = MessageParts {
        qos: QoS::AtLeastOnce,
        retain: false,
        expires: Time::NEVER,
        topic: TopicName::new("bench/00042").unwrap(),
        publisher: 0x1234_5678_9abc_def0,
        properties: Properties::default(),
        payload: &payload,
    };
    Message::new(&parts, scratch)
}

fn queued(order: u64, scratch: &mut Vec<u8>) -> Record {
    Record::Queued {
        session: SESSION,
        order,
        message: message(order, scratch),
        qos: QoS::AtLeastOnce,
        retain: false,
        subscription_ids: [].into(),
        group: None,
        sealed: true,
    }
}

fn start(path: &Path) -> (TheLog, Arc<FileDisk>, Arc<Lock>) {
    let disk = Arc::new(FileDisk::open(path).unwrap());
    let opened = open(Arc::clone(&disk), &LogOptions::new(1, 2), CLOCK).unwrap();
    let state = Arc::new(Lock(Mutex::new(opened.state)));
    (Log::new(opened.resume, Arc::clone(&state), CLOCK).unwrap(), disk, state)
}

fn proc_field(file: &str, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/self/{file}")).unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn resident_kib() -> u64 {
    proc_field("status", "VmRSS:")
}

struct Run {
    log: TheLog,
    staging: Staging,
    seq: u64,
    records: Vec<Record>,
}

impl Run {
    fn new(log: TheLog) -> Self {
        Self { log, staging: Staging::new(1), seq: 0, records: Vec::new() }
    }

    /// The session is not committed yet.
    fn with_session(log: TheLog) -> Self {
        let mut run = Self::new(log);
        let (client_id, owner) = ("bench".into(), Owner::default());
        run.records.push(Record::Session { session: SESSION, client_id, expiry_s: 1000, owner });
        run
    }

    fn commit(&mut self) -> usize {
        self.seq += self.records.len() as u64;
        self.staging.push(ShardId(0), &mut self.records, Seq(self.seq), true, &mut Vec::new());
        let taken = self.staging.take();
        let committed = self.log.commit(&taken, CLOCK, Sync::Now).unwrap();
        self.log.maintain(CLOCK, 256 << 10).unwrap();
        committed.bytes
    }
}

/// Appends `bytes` bytes and syncs them. Returns how long it took.
fn plain(file: &mut fs::File, bytes: usize) -> f64 {
    let piece = vec![b'x'; bytes];
    let begin = Instant::now();
    file.write_all(&piece).unwrap();
    file.sync_data().unwrap();
    begin.elapsed().as_secs_f64()
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// Batch by batch in turn with the plain file, so that both meet the same disk.
fn appending(root: &Path, batch: u64, batches: u64) {
    let path = root.join("append");
    let (log, ..) = start(&path);
    let mut run = Run::with_session(log);
    run.commit();
    while run.log.maintain(CLOCK, 0).unwrap() {}
    let (mut scratch, mut order, mut written) = (Vec::new(), 0, 0);
    let (mut ours, mut plains) = (Vec::new(), Vec::new());
    let mut file = fs::File::create(root.join("plain")).unwrap();
    for _ in 0..batches {
        // Making records is the shards' part, on threads of their own.
        for _ in 0..batch {
            run.records.push(queued(order, &mut scratch));
            order += 1;
        }
        let before = proc_field("io", "write_bytes:");
        let begin = Instant::now();
        let bytes = run.commit();
        ours.push(begin.elapsed().as_secs_f64());
        written += proc_field("io", "write_bytes:") - before;
        plains.push(plain(&mut file, bytes));
    }
    drop(run);
    fs::remove_file(root.join("plain")).unwrap();
    let (took, plain) = (ours.iter().sum::<f64>(), plains.iter().sum::<f64>());
    let (median, plain_median) = (median(ours), median(plains));
    let rate = |seconds: f64| (order as f64 / seconds) as u64;
    println!(
        "append, {batch} messages per batch: {} messages/s ({:.0} µs per batch); plain append and \
         fdatasync {} ({:.0} µs): {:.2}x, of the medians ({:.0} and {:.0} µs) {:.2}x; written \
         {:.2} of the payload",
        rate(took),
        took * 1e6 / batches as f64,
        rate(plain),
        plain * 1e6 / batches as f64,
        plain / took,
        median * 1e6,
        plain_median * 1e6,
        plain_median / median,
        written as f64 / (order * 256) as f64,
    );
    fs::remove_dir_all(&path).unwrap();
}

fn a_million(root: &Path) {
    const MANY: u64 = 1_000_000;
    let path = root.join("million");
    let (log, ..) = start(&path);
    let mut run = Run::with_session(log);
    let mut scratch = Vec::new();
    let empty = resident_kib();
    let written = proc_field("io", "write_bytes:");
    for order in 0..MANY {
        run.records.push(queued(order, &mut scratch));
        if order % 1000 == 999 {
            run.commit();
        }
    }
    println!(
        "a million queued: {:.1} MiB more resident, {:.0} bytes per entry with its message",
        (resident_kib() - empty) as f64 / 1024.0,
        (resident_kib() - empty) as f64 * 1024.0 / MANY as f64,
    );
    run.log.close(CLOCK).unwrap();
    let begin = Instant::now();
    let (log, disk, state) = start(&path);
    println!("opened in {:.2} s", begin.elapsed().as_secs_f64());
    let mut reader = Reader::new(disk, state);
    let mut run = Run::new(log);
    let begin = Instant::now();
    let (mut from, mut count, mut reading) = (Some(0), 0, 0.0);
    while let Some(order) = from {
        let began = Instant::now();
        let loaded = reader.load(SESSION, order, 512, 256 << 10).unwrap();
        reading += began.elapsed().as_secs_f64();
        assert!(loaded.unreadable.is_empty());
        for entry in &loaded.entries {
            count += 1;
            let order = entry.order;
            run.records.push(Record::Acknowledged { session: SESSION, order });
        }
        from = loaded.next_order;
        run.commit();
    }
    assert_eq!(count, MANY);
    let took = begin.elapsed().as_secs_f64();
    while run.log.maintain(CLOCK, 256 << 10).unwrap() {}
    let written = proc_field("io", "write_bytes:") - written;
    println!(
        "read back: {:.0} per s; with acknowledging, 512 at a time: {:.0} per s; in all {:.2} \
         bytes written per byte of payload; {} segments of log left; {:?}",
        MANY as f64 / reading,
        MANY as f64 / took,
        written as f64 / (MANY * 256) as f64,
        run.log.counts().log_bytes >> 24,
        run.log.counts(),
    );
    fs::remove_dir_all(&path).unwrap();
}

fn staging() {
    let (mut staging, mut records, mut void) = (Staging::new(1), Vec::new(), Vec::new());
    let (mut seq, mut scratch, rounds) = (0, Vec::new(), 20_000);
    let message = message(0, &mut scratch);
    let begin = Instant::now();
    for round in 0..rounds {
        for n in 0..64 {
            records.push(Record::Queued {
                session: SESSION,
                order: round * 64 + n,
                message: message.clone(),
                qos: QoS::AtLeastOnce,
                retain: false,
                subscription_ids: [].into(),
                group: None,
                sealed: true,
            });
        }
        for n in 0..64 {
            records.push(Record::Acknowledged { session: SESSION, order: round * 64 + n });
        }
        seq += 128;
        staging.push(ShardId(0), &mut records, Seq(seq), true, &mut void);
        void.clear();
        if round % 16 == 0 {
            staging.take();
        }
    }
    let took = begin.elapsed().as_nanos() as f64 / (rounds * 64) as f64;
    println!("staged and void, per message: {took:.0} ns; {:?}", staging.counts());
}

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let below = arguments.first().map_or(PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let root = below.join(format!("bench-log-{}", std::process::id()));
    fs::create_dir_all(&root).unwrap();
    staging();
    for (batch, batches) in [(1, 500), (64, 500), (1000, 150), (6400, 40)] {
        appending(&root, batch, batches);
    }
    a_million(&root);
    fs::remove_dir_all(&root).unwrap();
}
