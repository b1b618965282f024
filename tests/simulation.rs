//! A deterministic simulator of the pure broker: shards, clients, faults, and a judge.
//!
//! One seed is one run, and the same seed is the same run. `cargo test --test simulation` runs 500
//! of them; for longer, optimized and with all checks:
//!
//! ```text
//! cargo sim -- --seeds 1000000               the first million
//! cargo sim -- --seeds 1000000 --from 5000   a million others
//! cargo sim -- --seeds 1000000 --keep-going  past those that fail
//! cargo sim -- --seed 7                      one, again
//! cargo sim -- --seeds 1000 --disk           with the real log, on a disk with faults
//! ```
//!
//! `--plain` leaves out what came later (herds, reloads, 3.1, bridges, the end): seeds that once
//! failed are replayed so; `--synced` leaves out only policies, `--disk --earlier` only what is
//! asked elsewhere and quotas of retained messages. `STONECHAT_SEED`, `STONECHAT_SEEDS`,
//! `STONECHAT_FROM`, `STONECHAT_KEEP_GOING=1`, `STONECHAT_PLAIN=1` and `STONECHAT_SYNCED=1` say the
//! same where there are no arguments, and `STONECHAT_TRACE=1` tells
//! everything that happens. The alias stands in `.cargo/config.toml`:
//! behind a second `--` the test harness takes arguments for names of tests, and they are for us.

#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

#[path = "simulation/asked.rs"]
mod asked;
#[path = "simulation/clients.rs"]
mod clients;
#[path = "log/disk.rs"]
#[allow(dead_code, reason = "the log's own tests use the rest")]
mod disk;
#[path = "simulation/engine.rs"]
mod engine;
#[path = "support/fold.rs"]
#[allow(dead_code, reason = "the specification tables use the rest")]
mod fold;
#[path = "simulation/herd.rs"]
mod herd;
#[path = "simulation/loads.rs"]
mod loads;
#[path = "simulation/oracle.rs"]
mod oracle;
#[path = "simulation/power.rs"]
mod power;
#[path = "simulation/quotas.rs"]
mod quotas;
#[path = "simulation/receive.rs"]
mod receive;
#[path = "simulation/rights.rs"]
mod rights;
#[path = "simulation/rng.rs"]
mod rng;
#[path = "simulation/room.rs"]
mod room;
#[path = "simulation/safeties.rs"]
mod safeties;
#[path = "simulation/shadow.rs"]
mod shadow;
#[path = "simulation/sim.rs"]
mod sim;
#[path = "simulation/spoil.rs"]
mod spoil;
#[path = "support/staging.rs"]
#[allow(dead_code, reason = "the specification tables use the rest")]
mod staging;
#[path = "simulation/watch.rs"]
mod watch;
#[path = "simulation/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use engine::Met;
use sim::{Outcome, Sim, Vintage};

/// How many seeds a plain `cargo test` runs.
const SEEDS: u64 = 500;
/// The same with the real log, on a disk with faults.
const SEEDS_ON_DISK: u64 = 400;

/// Seeds that found something, each with what it found; they run without the extras.
const REGRESSIONS: &[(u64, &str)] = &[
    (0, "a session that waits for acknowledgements kept its shard busy"),
    (1, "PINGRESP before CONNACK"),
    (9, "retained messages stopped at Receive Maximum"),
    (73, "QoS 0 overtook QoS 0 that was queued"),
    (0, "retained messages after UNSUBSCRIBE"),
    (173, "a QoS 2 message too large for its client stopped the queue"),
    (256, "a shared message missed the member that came online behind it"),
    (1201, "a session resumed with Session Expiry 0 was resent to before its records"),
];

/// The same for seeds that need the extras: they find it as long as nothing is drawn otherwise.
const REGRESSIONS_WITH_EXTRAS: &[(u64, &str)] = &[
    (897, "an expired message was dropped twice: the log did not know yet that it was gone"),
    (285, "a session that ended while it waited for a commit was never read to its end"),
    (1026, "two loads of one session were under way"),
    (1735, "memory was set aside for a load that nobody waited for"),
];

/// The same for seeds with all that there is.
const REGRESSIONS_OF_TODAY: &[(u64, &str)] = &[
    (4174, "the Will of an older session, brought back by a crash, reached its own client"),
    (9507, "the simulator's own: some of the hook's answers never came"),
    (2004416, "a Will that everybody had was published again after a crash, for a newer one"),
    (6044696, "shared messages of an ended session were lost before one that waited for its seal"),
    (10073688, "a QoS 2 PUBLISH waited for a sync that nobody asked for: its record was forgotten"),
    (2036829, "the simulator's own: members whose sessions nobody keeps had what a crash took"),
];

/// The same for seeds with the real log on a disk, without the hook.
const REGRESSIONS_ON_DISK: &[(u64, &str)] = &[
    (473, "a segment that was full when the process ended was never synced"),
    (2895, "the same, and messages were lost with it"),
    (1031, "a session that was discarded came back: its end was not on disk before CONNACK"),
    (250, "a session that was discarded came back, and its Will with it"),
    (6991, "PUBREC of a known identifier overtook that of a PUBLISH that was refused"),
];

/// The same with all that there is, on a disk.
const REGRESSIONS_ON_DISK_OF_TODAY: &[(u64, &str)] = &[(
    13005677,
    "retained messages of a subscription that had ended were taken for those of a newer one",
)];

fn run(seed: u64, vintage: Vintage) -> Outcome {
    match catch_unwind(AssertUnwindSafe(|| Sim::new(seed, vintage).run())) {
        Ok(outcome) => outcome,
        Err(panic) => {
            let option = match vintage {
                Vintage::Plain => " --plain",
                Vintage::Synced => " --synced",
                Vintage::Today => "",
                Vintage::Earlier => " --disk --earlier",
                Vintage::Disk => " --disk",
            };
            eprintln!("seed {seed} fails. Replay: cargo sim -- --seed {seed}{option}");
            resume_unwind(panic);
        }
    }
}

/// What stands behind `name` in the arguments, or in the environment.
fn asked(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|a| *a != format!("--{name}"));
    let variable = format!("STONECHAT_{}", name.to_uppercase().replace('-', "_"));
    let argument = arguments.next().map(|_| arguments.next().unwrap_or_default());
    argument.or_else(|| std::env::var(variable).ok())
}

fn number(name: &str) -> Option<u64> {
    asked(name).map(|text| text.parse().expect("a number"))
}

#[test]
fn seeds_run_clean() {
    let from = number("from").unwrap_or(0);
    let seeds = match (number("seed"), number("seeds")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => from..from + count.unwrap_or(SEEDS),
    };
    let (mut inputs, mut published, mut delivered) = (0, 0, 0);
    let mut met = Met::default();
    let keep_going = asked("keep-going").is_some();
    let vintage = match (asked("plain"), asked("synced"), asked("disk")) {
        (Some(_), ..) => Vintage::Plain,
        (_, Some(_), _) => Vintage::Synced,
        (.., Some(_)) if asked("earlier").is_some() => Vintage::Earlier,
        (.., Some(_)) => Vintage::Disk,
        _ => Vintage::Today,
    };
    let mut failed = Vec::new();
    for seed in seeds.clone() {
        let outcome = match catch_unwind(|| run(seed, vintage)) {
            Ok(outcome) => outcome,
            Err(_) if keep_going => {
                failed.push(seed);
                continue;
            }
            Err(panic) => resume_unwind(panic),
        };
        inputs += outcome.inputs;
        published += outcome.published;
        delivered += outcome.delivered;
        met.add(&outcome.met);
    }
    println!("{seeds:?}: {inputs} inputs, {published} messages, {delivered} deliveries");
    println!("{met:?}");
    assert!(failed.is_empty(), "{} seeds fail: {failed:?}", failed.len());
}

#[test]
fn seeds_run_clean_on_a_disk() {
    let mut met = Met::default();
    for seed in 0..SEEDS_ON_DISK {
        met.add(&run(seed, Vintage::Disk).met);
    }
    let Met { kills, powers, midway, fulls, failures, loaded, damaged, missing, .. } = met;
    let Met { throttled, not_retained, answered, late, over, .. } = met;
    let faults = [kills, powers, midway, fulls, failures, loaded, damaged, missing];
    let others = [throttled, not_retained, answered, late, over];
    for count in faults.into_iter().chain(others) {
        assert!(count > 0, "not all faults were met: {met:?}");
    }
}

#[test]
fn seeds_that_once_failed_run_clean() {
    for &(seed, what) in REGRESSIONS {
        println!("seed {seed}: {what}");
        run(seed, Vintage::Plain);
    }
    for &(seed, what) in REGRESSIONS_WITH_EXTRAS {
        println!("seed {seed}: {what}");
        run(seed, Vintage::Synced);
    }
    for &(seed, what) in REGRESSIONS_OF_TODAY {
        println!("seed {seed}: {what}");
        run(seed, Vintage::Today);
    }
    for &(seed, what) in REGRESSIONS_ON_DISK {
        println!("seed {seed}: {what}");
        run(seed, Vintage::Earlier);
    }
    for &(seed, what) in REGRESSIONS_ON_DISK_OF_TODAY {
        println!("seed {seed}: {what}");
        run(seed, Vintage::Disk);
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [3, 77, 1_000_003] {
        assert_eq!(run(seed, Vintage::Today), run(seed, Vintage::Today));
        assert_eq!(run(seed, Vintage::Disk), run(seed, Vintage::Disk));
    }
}
