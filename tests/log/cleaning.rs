//! The log stays in proportion to what is in force, and what is copied stays what it was.

use std::rc::Rc;
use std::sync::Arc;

use crate::world::{World, client_id};
use stonechat::broker::{Message, MessageParts, Seq, ShardId, Time};
use stonechat::codec::{Properties, QoS};
use stonechat::store::{LogOptions, Owner, Reader, Record, SessionNumber, Sync};
use stonechat::topic::TopicName;

const SESSION: SessionNumber = SessionNumber(1);

fn message(n: u64) -> Message {
    let mut payload = [b'x'; 256];
    payload[..8].copy_from_slice(&n.to_le_bytes());
    let parts = MessageParts {
        qos: QoS::AtLeastOnce,
        retain: false,
        expires: Time::NEVER,
        topic: TopicName::new("plant/7/line/3/sensor/temperature").unwrap(),
        publisher: 1,
        properties: Properties::default(),
        payload: &payload,
    };
    Message::new(&parts, &mut Vec::new())
}

pub fn queued(order: u64) -> Record {
    Record::Queued {
        session: SESSION,
        order,
        message: message(order),
        qos: QoS::AtLeastOnce,
        retain: false,
        subscription_ids: [].into(),
        group: None,
        sealed: true,
    }
}

pub fn start(segment_bytes: u64) -> World {
    let options = LogOptions { segment_bytes, ..LogOptions::new(1, 2) };
    let mut world = World::with(crate::rng::Rng::new(1, 1), options, u64::MAX / 2);
    let client_id = client_id(1);
    world.pending.push(Record::Session {
        session: SESSION,
        client_id,
        expiry_s: 1000,
        owner: Owner::default(),
    });
    commit(&mut world);
    world
}

pub fn commit(world: &mut World) {
    world.seq += world.pending.len() as u64;
    world.staging.push(ShardId(0), &mut world.pending, Seq(world.seq), true, &mut world.void);
    let (clock, taken) = (world.clock(), world.staging.take());
    world.log().commit(&taken, clock, Sync::Now).unwrap();
    world.log().maintain(clock, 64 << 10).unwrap();
}

fn log_bytes(world: &World) -> u64 {
    world.disk.files().values().map(|file| file.len() as u64).sum()
}

#[test]
fn a_queue_that_flows_costs_little() {
    let mut world = start(256 << 10);
    let (waiting, all, batch) = (4000, 60_000, 100);
    let mut acknowledged = 0;
    for order in 0..all {
        world.pending.push(queued(order));
        if order >= waiting {
            world.pending.push(Record::Acknowledged { session: SESSION, order: acknowledged });
            acknowledged += 1;
        }
        if order % batch == 0 {
            commit(&mut world);
        }
    }
    let share = world.disk.written() as f64 / (all * 256) as f64;
    println!("bytes written over bytes of payload: {share:.3}; {:?}", world.log().counts());
    assert!(share <= 1.5, "{share}");
    for order in acknowledged..all {
        world.pending.push(Record::Acknowledged { session: SESSION, order });
    }
    commit(&mut world);
    let clock = world.clock();
    while world.log().maintain(clock, 64 << 10).unwrap() {}
    assert_eq!(log_bytes(&world), 2 * (256 << 10), "everything is consumed");
}

/// One message in a hundred stays for ever, between others that come and go.
#[test]
fn what_stays_is_carried_along() {
    let mut world = start(64 << 10);
    let mut kept = Vec::new();
    for order in 0..30_000 {
        world.pending.push(queued(order));
        if order % 100 == 0 {
            kept.push(order);
        }
        let done = order.wrapping_sub(300);
        if done < order && done % 100 != 0 {
            world.pending.push(Record::Acknowledged { session: SESSION, order: done });
        }
        if order % 64 == 0 {
            commit(&mut world);
        }
    }
    commit(&mut world);
    let clock = world.clock();
    while world.log().maintain(clock, 64 << 10).unwrap() {}
    let live = 600 * 330;
    assert!(log_bytes(&world) <= 5 * (64 << 10) + 2 * live, "{}", log_bytes(&world));
    let disk = world.disk.restart();
    let disk = Arc::new(disk);
    let (_log, state, recovered) =
        crate::world::open_log(&disk, &world.options, world.now).unwrap();
    assert_eq!(recovered.sessions[0].queued, 300 + 300 - 3);
    let mut reader = Reader::new(disk, Rc::clone(&state));
    let mut from = Some(0);
    let mut found = Vec::new();
    while let Some(order) = from {
        let loaded = reader.load(SESSION, order, 100, 1 << 20).unwrap();
        assert!(loaded.unreadable.is_empty());
        for entry in loaded.entries {
            assert_eq!(entry.message.payload()[..8], entry.order.to_le_bytes());
            found.push(entry.order);
        }
        from = loaded.next_order;
    }
    assert!(found.is_sorted() && kept.iter().all(|order| found.binary_search(order).is_ok()));
}

/// A reader that holds a file keeps it from being written anew.
#[test]
fn cleaned_while_it_is_read() {
    let mut world = start(16 << 10);
    for round in 0..200 {
        for n in 0..20 {
            world.pending.push(queued(round * 20 + n));
        }
        commit(&mut world);
        let mut reader = Reader::new(Arc::clone(&world.disk), Rc::clone(&world.state));
        let loaded = reader.load(SESSION, 0, 50, 1 << 20).unwrap();
        for entry in &loaded.entries {
            assert_eq!(entry.message.payload()[..8], entry.order.to_le_bytes());
            world.pending.push(Record::Acknowledged { session: SESSION, order: entry.order });
        }
        assert!(loaded.unreadable.is_empty() && loaded.entries.len() == 20);
    }
    commit(&mut world);
    let clock = world.clock();
    while world.log().maintain(clock, 64 << 10).unwrap() {}
    assert!(log_bytes(&world) <= 2 * (16 << 10));
}

/// No broker hears of a retained message that expired before the start: so the log clears it.
#[test]
fn retained_messages_that_expired_do_not_stay() {
    let mut world = start(16 << 10);
    let retained = |n: u64, expires| {
        let parts = MessageParts {
            qos: QoS::AtLeastOnce,
            retain: true,
            expires,
            topic: TopicName::new(if n == 1 { "a" } else { "b" }).unwrap(),
            publisher: 1,
            properties: Properties::default(),
            payload: b"x",
        };
        Record::Retained { version: n, message: Message::new(&parts, &mut Vec::new()) }
    };
    world.pending.push(retained(1, Time(1000)));
    world.pending.push(retained(2, Time(3000)));
    commit(&mut world);
    for (now, left) in [(999, 2), (1000, 1), (2999, 1), (3000, 0)] {
        let disk = Arc::new(world.disk.restart());
        let (_log, state, recovered) = crate::world::open_log(&disk, &world.options, now).unwrap();
        assert_eq!((recovered.retained.len(), state.borrow().counts().messages), (left, left));
        assert_eq!(recovered.numbers.version, 2);
        world.disk = disk;
    }
}

/// Zeros are written ahead, a sync for each slice, only when no batch has just been committed; and
/// the spare is there before it is needed all the same.
#[test]
fn zeros_wait_for_idle_moments() {
    let mut world = start(256 << 10);
    let mut order = 0;
    while order < 3000 {
        for _ in 0..50 {
            world.pending.push(queued(order));
            order += 1;
        }
        commit(&mut world);
        assert_eq!(world.log().counts().zero_bytes, 0, "at {order}");
    }
    assert!(log_bytes(&world) > 3 * (256 << 10));
    // Nothing is committed for a while.
    let mut world = start(256 << 10);
    let clock = world.clock();
    while world.log().maintain(clock, 64 << 10).unwrap() {}
    let zeros = world.log().counts().zero_bytes;
    assert!(zeros > 0 && zeros < 256 << 10, "{zeros}");
}
