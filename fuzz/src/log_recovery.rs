//! Logs that were spoiled, and files that never were logs.
//!
//! Laws: opening gives a log or an error, never a panic; what it gives of a spoiled log was in it,
//! byte by byte; a log that was opened with `keep_rest` opens without damage ever after.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use stonechat::broker::{Message, MessageParts, Seq, ShardId, Time};
use stonechat::codec::{PacketId, Properties, QoS};
use stonechat::store::{
    Clock, DropReason, Log, LogOptions, OnDamage, OpenError, Owner, Reader, Record, SessionNumber,
    Staging, Sync, inspect, open,
};
use stonechat::topic::TopicName;

use super::log_disk::SimDisk;
use super::source::Source;

type Files = BTreeMap<String, Vec<u8>>;

const CLOCK: Clock = Clock { now: Time(5), wall_ms: 1_750_000_000_000 };
const SEGMENT_BYTES: u64 = 4096;

fn options() -> LogOptions {
    LogOptions { segment_bytes: SEGMENT_BYTES, ..LogOptions::new(7, 1) }
}

/// The first byte chooses: any bytes as files, records of any bytes in whole batches, or a whole
/// log and what is done to it.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    match source.below(3) {
        0 => open_both_ways(&any_files(&mut source), None),
        1 => open_both_ways(&any_records(&mut source), None),
        _ => {
            let (mut files, payloads) = log(&mut source);
            while !source.is_empty() {
                spoil(&mut files, &mut source);
            }
            open_both_ways(&files, Some(&payloads));
        }
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ 0x82F6_3B78 & (crc & 1).wrapping_neg();
        }
    }
    !crc
}

fn segment_header(segment: u32) -> Vec<u8> {
    let mut out = b"SCHATLOG".to_vec();
    out.extend(1_u32.to_le_bytes());
    out.extend(segment.to_le_bytes());
    out.extend(7_u128.to_le_bytes());
    out.extend(crc32c(&out).to_le_bytes());
    out.resize(128, 0);
    out
}

fn any_files(source: &mut Source<'_>) -> Files {
    let mut files = Files::new();
    for number in 1..=1 + source.below(3) {
        let mut bytes = if source.flag() { segment_header(number as u32) } else { Vec::new() };
        let len = usize::from(source.u16());
        bytes.extend(source.take(len));
        files.insert(format!("{number:010}.log"), bytes);
    }
    files
}

/// Batches that are right in everything but what they say.
fn any_records(source: &mut Source<'_>) -> Files {
    let mut files = Files::new();
    let (mut number, mut chain) = (0_u64, 0_u32);
    for segment in 1..=1 + source.below(2) as u32 {
        let mut bytes = segment_header(segment);
        for _ in 0..1 + source.below(6) {
            number += if source.one_in(16) { 2 } else { 1 };
            let mut records = Vec::new();
            let mut count = 0_u32;
            for _ in 0..source.below(5) {
                let body = source.bytes();
                records.extend([source.byte() % 24, body.len() as u8 & 0x7f]);
                records.extend(&body[..body.len() & 0x7f]);
                if source.flag() {
                    // As a message or an entry: with its own checksum.
                    let start = records.len() - (body.len() & 0x7f);
                    let crc = crc32c(&records[start..]);
                    records.extend(crc.to_le_bytes());
                    records[start - 1] = records[start - 1].wrapping_add(4) & 0x7f;
                }
                count += 1;
            }
            let synced = number.saturating_sub(1 + source.below(3) as u64);
            let mut batch = 7_u128.to_le_bytes().to_vec();
            batch.extend(segment.to_le_bytes());
            let seed_len = batch.len();
            batch.extend(b"SCB1");
            batch.extend((60 + records.len() as u32).to_le_bytes());
            for n in [number, synced, number * 10, 1_750_000_000_000] {
                batch.extend(n.to_le_bytes());
            }
            for n in [1, count, chain] {
                batch.extend(n.to_le_bytes());
            }
            let head = crc32c(&batch);
            batch.extend(head.to_le_bytes());
            let at = batch.len();
            batch.extend(&records);
            chain = crc32c(&batch);
            batch.splice(at..at, chain.to_le_bytes());
            bytes.extend(&batch[seed_len..]);
        }
        bytes.resize(bytes.len().max(SEGMENT_BYTES as usize), 0);
        files.insert(format!("{segment:010}.log"), bytes);
    }
    files
}

/// A log that somebody kept, and all payloads that were in it.
fn log(source: &mut Source<'_>) -> (Files, Vec<Vec<u8>>) {
    let disk = Arc::new(SimDisk::new(u64::MAX / 2));
    let opened = open(Arc::clone(&disk), &options(), CLOCK).expect("a new log");
    let state = Rc::new(RefCell::new(opened.state));
    let mut log = Log::new(opened.resume, Rc::clone(&state), CLOCK).expect("a new log");
    let (mut staging, mut seq, mut records) = (Staging::new(1), 0, Vec::new());
    let mut payloads = Vec::new();
    let mut orders: [Vec<u64>; 3] = Default::default();
    let mut next = [0; 3];
    for n in 0..3 {
        let (session, client_id) = (SessionNumber(1 + n), format!("c{n}").into());
        records.push(Record::Session {
            session,
            client_id,
            expiry_s: 100,
            owner: Owner::default(),
        });
    }
    for _ in 0..source.below(64) {
        let at = source.below(3);
        let session = SessionNumber(1 + at as u64);
        match source.below(8) {
            0..=3 => {
                let payload = vec![payloads.len() as u8; 1 + 7 * source.below(64)];
                let message = message(source, &payload);
                payloads.push(payload);
                orders[at].push(next[at]);
                records.push(queued(session, next[at], message));
                next[at] += 1;
            }
            4 => {
                if let Some(&order) = orders[at].first() {
                    let packet_id = PacketId::MIN;
                    records.push(Record::InFlight { session, order, packet_id });
                }
            }
            5 if !orders[at].is_empty() => {
                let (order, why) = (orders[at].remove(0), DropReason::Expired);
                records.push(if source.flag() {
                    Record::Acknowledged { session, order }
                } else {
                    Record::Dropped { session, order, why }
                });
            }
            6 => {
                let payload = vec![payloads.len() as u8; 9];
                let message = message(source, &payload);
                payloads.push(payload);
                records.push(Record::Retained { version: 1 + payloads.len() as u64, message });
            }
            _ => {
                seq += records.len() as u64;
                staging.push(ShardId(0), &mut records, Seq(seq), true, &mut Vec::new());
                log.commit(&staging.take(), CLOCK, Sync::Now).expect("a commit");
                log.maintain(CLOCK, 5000).expect("cleaning");
            }
        }
    }
    seq += records.len() as u64;
    staging.push(ShardId(0), &mut records, Seq(seq), true, &mut Vec::new());
    log.commit(&staging.take(), CLOCK, Sync::Now).expect("a commit");
    if source.flag() {
        log.close(CLOCK).expect("closing");
    }
    (disk.files(), payloads)
}

fn message(source: &mut Source<'_>, payload: &[u8]) -> Message {
    let parts = MessageParts {
        qos: QoS::AtLeastOnce,
        retain: source.flag(),
        expires: Time::NEVER,
        topic: TopicName::new(["a", "b/c"][source.below(2)]).expect("a topic"),
        publisher: 0,
        properties: Properties::default(),
        payload,
    };
    Message::new(&parts, &mut Vec::new())
}

fn queued(session: SessionNumber, order: u64, message: Message) -> Record {
    Record::Queued {
        session,
        order,
        message,
        qos: QoS::AtLeastOnce,
        retain: false,
        subscription_ids: [].into(),
        group: None,
        sealed: true,
    }
}

fn spoil(files: &mut Files, source: &mut Source<'_>) {
    let Some(name) = files.keys().nth(source.below(files.len().max(1))).cloned() else { return };
    let Some(file) = files.get_mut(&name) else { return };
    if file.is_empty() {
        return;
    }
    let at = usize::from(source.u16()) % file.len();
    match source.below(8) {
        0..=3 => file[at] ^= 1 << source.below(8),
        4 => file[at] = source.byte(),
        5 => {
            let to = (at + 16 * source.below(256)).min(file.len());
            file[at..to].fill(0);
        }
        6 => file.truncate(at),
        _ => {
            files.remove(&name);
        }
    }
}

fn open_both_ways(files: &Files, payloads: Option<&[Vec<u8>]>) {
    let disk = Arc::new(SimDisk::of(files));
    let _ = inspect::verify(&disk, CLOCK);
    let topic = stonechat::topic::TopicFilter::new("+/#").ok();
    let chosen = inspect::DumpOptions { payload_bytes_max: 9, client_id: Some("c"), topic };
    for options in [inspect::DumpOptions::default(), chosen] {
        let _ = inspect::dump(&disk, &options, |_| true);
    }
    let refused = match open(Arc::clone(&disk), &options(), CLOCK) {
        Ok(_) => false,
        Err(OpenError::Damaged(damage)) => {
            assert!(!damage.is_empty() && !damage.to_string().is_empty());
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let disk = Arc::new(SimDisk::of(files));
    let keep = LogOptions { on_damage: OnDamage::KeepRest, ..options() };
    let opened = open(Arc::clone(&disk), &keep, CLOCK).expect("damage is accepted");
    assert_eq!(refused, !opened.recovered.damage.is_empty());
    let sessions: Vec<_> = opened.recovered.sessions.iter().map(|s| s.number).collect();
    let state = Rc::new(RefCell::new(opened.state));
    let Ok(log) = Log::new(opened.resume, Rc::clone(&state), CLOCK) else { return };
    let mut reader = Reader::new(Arc::clone(&disk), state);
    for session in sessions {
        let loaded = reader.load(session, 0, 1000, usize::MAX).expect("reading");
        let Some(payloads) = payloads else { continue };
        assert!(loaded.unreadable.is_empty());
        for entry in loaded.entries {
            assert!(payloads.iter().any(|payload| payload == entry.message.payload()));
        }
    }
    for (_, message) in &opened.recovered.retained {
        let known = |payload: &Vec<u8>| payload == message.payload();
        assert!(payloads.is_none_or(|payloads| payloads.iter().any(known)));
    }
    drop(log);
    let disk = Arc::new(disk.restart());
    if let Err(error) = open(disk, &options(), CLOCK) {
        panic!("it was accepted: {error}");
    }
}
