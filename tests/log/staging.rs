//! What becomes void before it is written, and what a clock that jumped does not expire.

use std::sync::Arc;

use crate::cleaning::{commit, queued, start};
use crate::disk::SimDisk;
use crate::world::{World, client_id};
use stonechat::broker::{Message, Seq, ShardId, Time};
use stonechat::codec::{PacketId, QoS};
use stonechat::store::{
    Clock, DropReason, Log, LogOptions, Owner, Record, SessionNumber, Staging, StagingCounts, Sync,
    open,
};

const SESSION: SessionNumber = SessionNumber(1);
const SHARD: ShardId = ShardId(3);

fn in_flight(order: u64) -> Record {
    Record::InFlight { session: SESSION, order, packet_id: PacketId::MIN }
}

fn acknowledged(order: u64) -> Record {
    Record::Acknowledged { session: SESSION, order }
}

/// The numbers that became void.
fn push(staging: &mut Staging, records: Vec<Record>, last: u64) -> Vec<u64> {
    let (mut records, mut void) = (records, Vec::new());
    staging.push(SHARD, &mut records, Seq(last), true, &mut void);
    assert!(records.is_empty());
    let mut void: Vec<_> = void.into_iter().map(|seq| seq.0).collect();
    void.sort_unstable();
    void
}

#[test]
fn what_is_acknowledged_in_time_is_void() {
    let mut staging = Staging::new(1);
    assert!(push(&mut staging, vec![queued(0), queued(1), in_flight(0)], 13).is_empty());
    assert_eq!(push(&mut staging, vec![acknowledged(0)], 14), [11, 13, 14]);
    assert_eq!(push(&mut staging, vec![queued(2), acknowledged(2)], 16), [15, 16]);
    // Taken: it is too late.
    let taken = staging.take();
    assert!(!taken.is_void());
    assert!(push(&mut staging, vec![acknowledged(1)], 17).is_empty());
    // Given back, it is not; and what waits stands behind it again.
    let mut void = Vec::new();
    staging.put_back(taken, &mut void);
    void.sort_unstable();
    assert_eq!(void, [(SHARD, Seq(12)), (SHARD, Seq(17))]);
    let counts = StagingCounts { records: 7, void: 7, staged: 1 };
    assert_eq!(staging.counts(), counts);
    // Nobody waits for anything, but that is still to be said.
    let taken = staging.take();
    assert!(taken.is_void() && !taken.is_empty());
    assert!(staging.is_empty() && staging.take().is_empty() && !staging.take().is_void());
}

/// A session is one shard's, and shards number their records alike.
#[test]
fn what_is_given_back_becomes_void_in_its_own_shard() {
    let other = ShardId(SHARD.0 + 1);
    let of_other = |record: Record| match record {
        Record::Queued { order, message, qos, .. } => Record::Queued {
            session: SessionNumber(SESSION.0 + 1),
            order,
            message,
            qos,
            retain: false,
            subscription_ids: [].into(),
            group: None,
            sealed: true,
        },
        _ => Record::Acknowledged { session: SessionNumber(SESSION.0 + 1), order: 3 },
    };
    let mut staging = Staging::new(1);
    let mut void = Vec::new();
    push(&mut staging, vec![queued(3), queued(4)], 2);
    staging.push(other, &mut vec![of_other(queued(3))], Seq(1), true, &mut void);
    let taken = staging.take();
    push(&mut staging, vec![acknowledged(4)], 3);
    staging.push(other, &mut vec![of_other(acknowledged(3))], Seq(2), true, &mut void);
    assert!(void.is_empty());
    let mut void = Vec::new();
    staging.put_back(taken, &mut void);
    void.sort_unstable();
    assert_eq!(void, [(SHARD, Seq(2)), (SHARD, Seq(3)), (other, Seq(1)), (other, Seq(2))]);
}

#[test]
fn a_batch_waits_for_a_sync_if_one_record_does() {
    let mut staging = Staging::new(1);
    let push = |staging: &mut Staging, order: u64, sync: bool| {
        staging.push(SHARD, &mut vec![queued(order)], Seq(order), sync, &mut Vec::new());
    };
    push(&mut staging, 1, false);
    assert!(!staging.take().wants_sync());
    push(&mut staging, 2, true);
    push(&mut staging, 3, false);
    let taken = staging.take();
    assert!(taken.wants_sync());
    push(&mut staging, 4, false);
    staging.put_back(taken, &mut Vec::new());
    // What goes ahead may have been what waits, and what stays too.
    assert!(staging.take_freeing().wants_sync());
    assert!(staging.take().wants_sync());
    push(&mut staging, 5, false);
    assert!(!staging.take().wants_sync());
}

/// What a client that is there will acknowledge may wait; nothing else.
#[test]
fn what_will_be_void_soon_is_not_urgent() {
    let mut staging = Staging::new(1);
    push(&mut staging, vec![queued(0), in_flight(0)], 2);
    assert!(!staging.is_urgent());
    push(&mut staging, vec![queued(1)], 3);
    assert!(staging.is_urgent(), "nobody is there to acknowledge it");
    push(&mut staging, vec![in_flight(1)], 4);
    assert!(!staging.is_urgent());
    push(&mut staging, vec![queued(2), acknowledged(2)], 6);
    assert!(!staging.is_urgent());
    // At QoS 2 the PUBLISH itself waits.
    let mut twice = queued(3);
    if let Record::Queued { qos, .. } = &mut twice {
        *qos = QoS::ExactlyOnce;
    }
    push(&mut staging, vec![twice, in_flight(3)], 8);
    assert!(staging.is_urgent());
    let taken = staging.take();
    assert!(!staging.is_urgent());
    staging.put_back(taken, &mut Vec::new());
    assert!(staging.is_urgent());
    push(&mut staging, vec![acknowledged(3)], 9);
    assert!(!staging.is_urgent());
    // What was written is waited for.
    staging.take();
    push(&mut staging, vec![in_flight(7)], 10);
    assert!(staging.is_urgent());
}

#[test]
fn what_came_behind_the_mark_stays() {
    let other = ShardId(SHARD.0 + 1);
    let disk = Arc::new(SimDisk::new(u64::MAX / 2));
    let (mut log, ..) = crate::world::open_log(&disk, &LogOptions::new(1, 1), 0).unwrap();
    let mut staging = Staging::new(1);
    let mut commit = |taken| log.commit(&taken, Clock::default(), Sync::Now).unwrap();
    assert!(staging.take_marked().is_empty());
    push(&mut staging, vec![queued(0), in_flight(0), queued(1), in_flight(1)], 4);
    let expiry_s = 9;
    let away = Record::Disconnected { session: SessionNumber(9), expiry_s };
    staging.push(other, &mut vec![away], Seq(1), true, &mut Vec::new());
    staging.mark();
    assert!(staging.is_marked());
    push(&mut staging, vec![queued(2), in_flight(2), queued(3)], 7);
    assert_eq!(push(&mut staging, vec![acknowledged(1)], 8), [3, 4, 8]);
    let first = commit(staging.take_marked());
    // Two records and their message, and of the other shard one.
    assert_eq!((first.upto, first.records), (vec![(SHARD, Seq(4)), (other, Seq(1))], 4));
    assert!(staging.is_urgent() && staging.is_marked());
    // Those that are left may still become void; those that were taken not.
    assert_eq!(push(&mut staging, vec![acknowledged(0), acknowledged(2)], 10), [5, 6, 10]);
    assert!(staging.is_urgent());
    let second = commit(staging.take());
    assert_eq!((second.upto, second.records), (vec![(SHARD, Seq(10))], 3));
    assert!(staging.is_empty() && !staging.is_marked());
    // What is in flight goes without what was taken before it.
    push(&mut staging, vec![queued(4)], 11);
    staging.mark();
    push(&mut staging, vec![in_flight(4)], 12);
    assert_eq!(commit(staging.take_marked()).upto, [(SHARD, Seq(11))]);
    assert!(push(&mut staging, vec![acknowledged(4)], 13).is_empty());
    assert_eq!(commit(staging.take_marked()).upto, [(SHARD, Seq(12))]);
    assert_eq!(commit(staging.take_marked()).upto, [(SHARD, Seq(13))]);
    assert!(staging.is_empty());
}

#[test]
fn what_is_void_costs_no_write() {
    let disk = Arc::new(SimDisk::new(u64::MAX / 2));
    let (mut log, ..) = crate::world::open_log(&disk, &LogOptions::new(1, 1), 0).unwrap();
    let mut staging = Staging::new(1);
    push(&mut staging, vec![queued(0), acknowledged(0)], 2);
    let ops = disk.ops();
    let committed = log.commit(&staging.take(), Clock::default(), Sync::Now).unwrap();
    assert_eq!((committed.upto, committed.bytes), (vec![(SHARD, Seq(2))], 0));
    assert_eq!(disk.ops(), ops);
}

/// What may go ahead of what waits, and what stays: by number.
fn parted(records: Vec<Record>) -> (Vec<u64>, u64, usize) {
    let disk = Arc::new(SimDisk::new(u64::MAX / 2));
    let (mut log, ..) = crate::world::open_log(&disk, &LogOptions::new(1, 1), 0).unwrap();
    let (mut staging, last) = (Staging::new(1), records.len() as u64);
    push(&mut staging, records, last);
    let taken = staging.take_freeing();
    assert!(taken.frees());
    let committed = log.commit(&taken, Clock::default(), Sync::Now).unwrap();
    let upto = committed.upto.iter().map(|(_, seq)| seq.0).max().unwrap();
    let waits = staging.counts().staged;
    // What is not committed still is, when there is room.
    let rest = log.commit(&staging.take(), Clock::default(), Sync::Now).unwrap();
    assert!(rest.ahead.is_empty() && (waits == 0 || rest.upto == [(SHARD, Seq(last))]));
    (committed.ahead.into_iter().map(|(_, seq)| seq.0).collect(), upto, waits)
}

fn of_other(record: Record, shared: bool) -> Record {
    let Record::Queued { order, message, qos, .. } = record else { unreachable!() };
    Record::Queued {
        session: SessionNumber(SESSION.0 + 1),
        order,
        message,
        qos,
        retain: false,
        subscription_ids: [].into(),
        group: shared.then(|| "$share/g/#".into()),
        sealed: true,
    }
}

fn message_of(record: &Record) -> Message {
    let Record::Queued { message, .. } = record else { unreachable!() };
    message.clone()
}

fn rerouted(order: u64) -> Record {
    Record::Dropped { session: SESSION, order, why: DropReason::Rerouted }
}

#[test]
fn freeing_goes_ahead_of_what_waits() {
    let ended = || Record::SessionEnd { session: SESSION };
    // The end of the session waits for what it ends.
    let records = vec![acknowledged(0), queued(5), in_flight(5), ended()];
    assert_eq!(parted(records), (vec![], 1, 3));
    // What another session waits for holds nothing back; it is told, as nobody has to wait for it.
    let waits = || of_other(queued(1), false);
    let released = Record::Released { session: SESSION, order: 3 };
    let records = vec![waits(), acknowledged(0), in_flight(5), released, ended()];
    assert_eq!(parted(records), (vec![2, 3, 4, 5], 0, 1));
    assert_eq!(parted(vec![acknowledged(0), waits(), acknowledged(1)]), (vec![3], 1, 1));
}

/// A shared message goes to another member, and its session ends: a crash between the two must not
/// lose it.
#[test]
fn what_has_it_is_written_before_it_is_gone_elsewhere() {
    let ended = || Record::SessionEnd { session: SESSION };
    let shared = || of_other(queued(1), true);
    assert_eq!(parted(vec![shared(), ended()]), (vec![], 0, 2));
    assert_eq!(parted(vec![shared(), rerouted(4)]), (vec![], 0, 2));
    assert_eq!(parted(vec![of_other(queued(1), false), rerouted(4)]), (vec![2], 0, 1));
    // Its seal waits: so does the end of where it was.
    let seals = Some(message_of(&queued(1)));
    let sealing = Record::Inbound { session: SESSION, packet_id: PacketId::MIN, seals };
    let end = Record::InboundEnd { session: SESSION, packet_id: PacketId::MIN };
    assert_eq!(parted(vec![sealing, end, rerouted(4)]), (vec![], 0, 3));
}

/// A Will is published before it is gone.
#[test]
fn a_will_waits_for_its_message() {
    let will = || Record::Will { session: SESSION, will: None };
    assert_eq!(parted(vec![of_other(queued(1), false), will()]), (vec![], 0, 2));
    let retained = Record::Retained { version: 1, message: message_of(&queued(1)) };
    assert_eq!(parted(vec![retained, will()]), (vec![], 0, 2));
    assert_eq!(parted(vec![acknowledged(0), will()]), (vec![], 2, 0));
}

/// At QoS 2 nothing goes into flight before its seal.
#[test]
fn nothing_goes_into_flight_before_its_seal() {
    let sealing = || {
        let (session, seals) = (SessionNumber(SESSION.0 + 1), Some(message_of(&queued(1))));
        Record::Inbound { session, packet_id: PacketId::MIN, seals }
    };
    assert_eq!(parted(vec![in_flight(7), sealing(), in_flight(8)]), (vec![], 1, 2));
    // Nor does what follows on it.
    let released = Record::Released { session: SESSION, order: 8 };
    assert_eq!(parted(vec![sealing(), in_flight(8), released]), (vec![], 0, 3));
    // One that has come to its end was of QoS 1: no seal concerns it.
    assert_eq!(parted(vec![sealing(), in_flight(8), acknowledged(8)]), (vec![2, 3], 0, 1));
}

#[test]
fn clocks_that_jump_expire_nothing() {
    const SET: u64 = 1_750_000_000_000;
    for (before, after, outage) in [
        (SET, SET + 60_000, 60_000),
        (SET, SET - 60_000, 0),
        // Never set, and then set from the network.
        (7_000, SET, 0),
        (SET, 7_000, 0),
    ] {
        let mut world =
            World::with(crate::rng::Rng::new(1, 1), LogOptions::new(1, 2), u64::MAX / 2);
        let client_id = client_id(1);
        let session = SESSION;
        world.pending.push(Record::Session {
            session,
            client_id,
            expiry_s: 100,
            owner: Owner::default(),
        });
        world.pending.push(Record::Disconnected { session, expiry_s: 100 });
        // One whose client stays, as far as the log hears: its expiry begins at the restart.
        world.pending.push(Record::Session {
            session: SessionNumber(SESSION.0 + 1),
            client_id: crate::world::client_id(2),
            expiry_s: 100,
            owner: Owner::default(),
        });
        world.push();
        let taken = world.staging.take();
        let clock = Clock { now: Time(0), wall_ms: before };
        world.log().commit(&taken, clock, Sync::Now).unwrap();
        // A second passes on the monotonic clock, whatever the wall says meanwhile.
        let clock = Clock { now: Time(1000), wall_ms: before };
        world.log.take().unwrap().close(clock).unwrap();
        let clock = Clock { now: Time(5), wall_ms: after };
        let opened = open(Arc::clone(&world.disk), &world.options, clock).unwrap();
        assert_eq!(opened.recovered.outage_ms, outage);
        assert_eq!(opened.recovered.sessions[0].offline_ms, 1000 + outage);
        let connected = &opened.recovered.sessions[1];
        assert!(connected.was_connected && connected.offline_ms == 0, "{connected:?}");
        let state = std::rc::Rc::new(std::cell::RefCell::new(opened.state));
        let log = Log::new(opened.resume, state, clock).unwrap();
        assert_eq!(log.log_ms(Time(6)), 1000 + outage + 1);
    }
}

#[test]
fn memory_for_large_batches_goes_when_none_comes() {
    let mut world = start(16 << 20);
    assert!(!world.log().holds_room());
    world.pending.extend((0..20_000).map(queued));
    commit(&mut world);
    assert!(world.log().holds_room());
    world.log().let_go();
    assert!(!world.log().holds_room());
    world.pending.extend((20_000..20_010).map(queued));
    commit(&mut world);
    assert!(!world.log().holds_room());
    assert_eq!(world.state.borrow().counts().queued, 20_010);
}
