//! Power is lost anywhere, also while the log is opened: what was committed is there, nothing is
//! invented, and what is there is everything up to some batch and nothing beyond it.

use std::sync::Arc;

use crate::disk::Fault;
use crate::for_seeds;
use crate::world::World;
use stonechat::store::Sync;

/// Seeds that failed once.
const REGRESSIONS: &[u64] = &[];

fn life(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..world.rng.range(1, 5) {
        let steps = world.rng.range(5, 150);
        let after = 1 + world.rng.below(steps * 2) as u64;
        if world.rng.percent(80) {
            world.disk.set_fault(after, Fault::PowerLoss);
        }
        let mut run = || -> Result<(), stonechat::store::LogError> {
            (0..steps).try_for_each(|_| world.step())
        };
        let ended = run();
        assert!(ended.is_ok() || world.disk.is_off(), "{ended:?}");
        world.now += world.rng.below(10_000) as u64;
        come_back(&mut world);
    }
}

/// Restarts, perhaps with further losses of power on the way.
fn come_back(world: &mut World) {
    let killed = world.rng.percent(30);
    let disk = if killed {
        world.disk.restart()
    } else {
        let rng = &mut world.rng;
        world.disk.power_loss(|n| rng.below(n))
    };
    world.disk = Arc::new(disk);
    for _ in 0..3 {
        let again = world.rng.percent(40);
        if again {
            let after = 1 + world.rng.below(12) as u64;
            world.disk.set_fault(after, Fault::PowerLoss);
        }
        match world.reopen() {
            Ok(_) => break,
            Err(error) => assert!(world.disk.is_off(), "{error}"),
        }
        let rng = &mut world.rng;
        let disk = world.disk.power_loss(|n| rng.below(n));
        world.disk = Arc::new(disk);
    }
    world.disk.clear_faults();
    if world.disk.is_off() || world.log.is_none() {
        let rng = &mut world.rng;
        let disk = world.disk.power_loss(|n| rng.below(n));
        world.restart(disk);
    }
}

#[test]
fn nothing_that_was_committed_is_lost() {
    for_seeds(600, REGRESSIONS, life);
}

#[test]
fn a_closed_log_says_so() {
    for_seeds(40, &[], |seed| {
        let mut world = World::new(seed);
        for _ in 0..60 {
            world.step().unwrap();
        }
        world.commit(Sync::Later).unwrap();
        let clock = world.clock();
        world.log.take().unwrap().close(clock).unwrap();
        world.synced();
        let rng = &mut world.rng;
        let disk = world.disk.power_loss(|n| rng.below(n));
        let recovered = world.restart(disk);
        assert!(recovered.end.closed && !recovered.end.cut);
    });
}
