//! The disk fills up, or fails: full is told and passes, a failure is for good.

use std::sync::Arc;

use crate::disk::Fault;
use crate::for_seeds;
use crate::model::read_out;
use crate::world::{World, open_log};
use stonechat::broker::Seq;
use stonechat::store::{LogError, LogOptions, Owner, Reader, Record, SessionNumber, Sync, Taken};

/// Commits what is staged; when there is no room, what frees alone. False: it was full.
fn commit(world: &mut World) -> Result<bool, LogError> {
    world.push();
    let (clock, taken) = (world.clock(), world.staging.take());
    match world.log().commit(&taken, clock, Sync::Now) {
        Ok(_) => return Ok(true),
        Err(LogError::Full) => {}
        Err(error) => return Err(error),
    }
    world.staging.put_back(taken, &mut Vec::new());
    let freeing: Taken = world.staging.take_freeing();
    assert!(freeing.frees());
    match world.log().commit(&freeing, clock, Sync::Now) {
        Ok(_) => {}
        Err(LogError::Full) => world.staging.put_back(freeing, &mut Vec::new()),
        Err(error) => return Err(error),
    }
    Ok(false)
}

/// The model and a restarted log agree.
fn check(world: &mut World) {
    for record in std::mem::take(&mut world.staged) {
        world.model.apply(&record, world.now, world.start);
    }
    let disk = Arc::new(world.disk.restart());
    let (_log, state, recovered) = open_log(&disk, &world.options, world.now).unwrap();
    assert!(recovered.damage.is_empty(), "{}", recovered.damage);
    let mut reader = Reader::new(disk, state);
    let found = read_out(&recovered, &mut reader, world.now, world.now);
    let mut truth = world.model.held(world.now).seen_from(world.now);
    let mut found = found;
    // When it was written decides when the expiry began, and that is not the test's subject.
    for s in truth.sessions.values_mut().chain(found.sessions.values_mut()) {
        s.offline = s.offline.map(|_| 0);
    }
    assert!(found == truth, "{}", found.difference(std::slice::from_ref(&truth)));
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let fulls = std::cell::Cell::new(0);
    for_seeds(150, &[1185, 3011], |seed| {
        let mut rng = crate::rng::Rng::new(seed, 12);
        let mut options = crate::world::options(&mut rng);
        let segments = 5 + rng.below(4) as u64;
        let by_setting = rng.percent(50);
        let bytes = segments * options.segment_bytes + (2 << 20) * u64::from(!by_setting);
        let capacity = if by_setting { u64::MAX / 2 } else { bytes };
        if by_setting {
            options.log_bytes_max = bytes;
        }
        let mut world = World::with(rng, options, capacity);
        for _ in 0..300 {
            world.now += 5;
            for _ in 0..world.rng.range(1, 8) {
                world.act();
            }
            let went = commit(&mut world).unwrap();
            fulls.set(fulls.get() + usize::from(!went));
            let clock = world.clock();
            world.log().maintain(clock, 3000).unwrap();
            let max = bytes + options.segment_bytes;
            let used: u64 = world.disk.files().values().map(|f| f.len() as u64).sum();
            assert!(used <= max, "{used} of {bytes}");
        }
        // There is room again: what waited is written.
        world.disk.set_capacity(u64::MAX / 2);
        world.log().set_log_bytes_max(u64::MAX);
        assert!(commit(&mut world).unwrap());
        assert!(world.staging.is_empty());
        check(&mut world);
    });
    assert!(fulls.get() > 500, "{}", fulls.get());
}

/// Commits what frees; the cleaner may have to make room first.
fn free(world: &mut World, max: u64) {
    world.push();
    let (clock, taken) = (world.clock(), world.staging.take());
    assert!(taken.frees());
    let mut tries = 0;
    while let Err(error) = world.log().commit(&taken, clock, Sync::Now) {
        assert!(matches!(error, LogError::Full) && tries < 1000, "{error}, for ever");
        world.log().maintain(clock, 3000).unwrap();
        tries += 1;
    }
    world.log().maintain(clock, 3000).unwrap();
    let used: u64 = world.disk.files().values().map(|f| f.len() as u64).sum();
    assert!(used <= max, "{used}, of {max} at most");
}

/// Whatever frees is written while the log is full, in any order, in batches of one, with clients
/// that come and go, and whoever lowered the limit: and the log stays inside its bound.
#[test]
fn freeing_never_gets_stuck() {
    for_seeds(40, &[], |seed| {
        let mut rng = crate::rng::Rng::new(seed, 14);
        let segment_bytes = 16 << 10;
        let by_setting = rng.percent(60);
        let bytes = (5 + rng.below(6) as u64) * segment_bytes + (1 << 20) * u64::from(!by_setting);
        let log_bytes_max = if by_setting { bytes } else { u64::MAX };
        let options = LogOptions { segment_bytes, log_bytes_max, ..LogOptions::new(1, seed) };
        let capacity = if by_setting { u64::MAX / 2 } else { bytes + segment_bytes };
        let mut world = World::with(rng, options, capacity);
        let (session, client_id) = (SessionNumber(1), crate::world::client_id(1));
        let here = || Record::Session {
            session,
            client_id: client_id.clone(),
            expiry_s: 9,
            owner: Owner::default(),
        };
        world.pending.push(here());
        assert!(commit(&mut world).unwrap());
        let mut queued = Vec::new();
        for order in 0.. {
            let lot = if world.rng.percent(50) { 1 } else { 8 };
            for order in order * 8..order * 8 + lot {
                queued.push(order);
                world.pending.push(crate::cleaning::queued(order));
            }
            if !commit(&mut world).unwrap() {
                break; // the last of them wait, and need not be acknowledged
            }
            let clock = world.clock();
            world.log().maintain(clock, 3000).unwrap();
        }
        let waits = world.staging.take();
        let mut max = bytes + segment_bytes;
        if by_setting && world.rng.percent(30) {
            let bytes: u64 = world.disk.files().values().map(|f| f.len() as u64).sum();
            max = bytes + 3 * segment_bytes;
            world.log().set_log_bytes_max(2 * segment_bytes);
        }
        for n in 0..queued.len() * 3 {
            if n % 3 > 0 {
                let expiry_s = 9;
                world.pending.push(Record::Disconnected { session, expiry_s });
                world.pending.push(here());
            } else {
                let which = world.rng.below(queued.len());
                let order = queued.swap_remove(which);
                world.pending.push(Record::Acknowledged { session, order });
            }
            free(&mut world, max);
        }
        // Everything is gone: what waited has room again.
        world.log().set_log_bytes_max(bytes);
        let clock = world.clock();
        if world.log().commit(&waits, clock, Sync::Now).is_err() {
            while world.log().maintain(clock, 3000).unwrap() {}
            world.log().commit(&waits, clock, Sync::Now).unwrap();
        }
    });
}

#[test]
fn a_write_that_finds_no_room_leaves_nothing() {
    for_seeds(250, &[], |seed| {
        let mut world = World::new(seed);
        for _ in 0..60 {
            world.now += 5;
            for _ in 0..world.rng.range(1, 8) {
                world.act();
            }
            if world.rng.one_in(4) {
                let after = 1 + world.rng.below(3) as u64;
                world.disk.set_fault(after, Fault::Full);
            }
            // A sync that finds no room is a failure; the others pass.
            match commit(&mut world) {
                Ok(true) => {}
                Ok(false) => {
                    world.disk.clear_faults();
                    assert!(commit(&mut world).unwrap());
                }
                Err(error) => {
                    assert!(matches!(error, LogError::Failed(_)), "{error}");
                    let again = world.log().sync();
                    assert!(matches!(again, Err(LogError::Poisoned(_))));
                    return;
                }
            }
            world.disk.clear_faults();
            let clock = world.clock();
            world.log().maintain(clock, 3000).unwrap();
        }
        check(&mut world);
    });
}

#[test]
fn a_failure_is_for_good() {
    let met = std::cell::Cell::new(0);
    for_seeds(150, &[], |seed| {
        let mut world = World::new(seed);
        let (at, sync) = (1 + world.rng.below(60) as u64, world.rng.percent(50));
        if sync {
            world.disk.fail_sync(at);
        } else {
            world.disk.set_fault(at, Fault::Error);
        }
        let Some(error) = (0..80).find_map(|_| world.step().err()) else { return };
        met.set(met.get() + 1);
        assert!(matches!(error, LogError::Failed(_)), "{error}");
        world.disk.clear_faults();
        let ops = world.disk.ops();
        let clock = world.clock();
        world.act();
        world.push();
        let taken = world.staging.take();
        for result in [
            world.log().commit(&taken, clock, Sync::Now).map(|_| ()),
            world.log().sync(),
            world.log().maintain(clock, 10_000).map(|_| ()),
        ] {
            assert!(matches!(result, Err(LogError::Poisoned(_))), "{result:?}");
        }
        assert_eq!(world.disk.ops(), ops, "nothing is written any more");
        assert!(world.log().poison().is_some() && world.seq >= Seq(0).0);
        let rng = &mut world.rng;
        let disk = world.disk.power_loss(|n| rng.below(n));
        world.restart(disk);
    });
    assert!(met.get() > 20, "{}", met.get());
}
