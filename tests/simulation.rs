//! A deterministic simulator of the pure broker: shards, clients, faults, and a judge.
//!
//! One seed is one run, and the same seed is the same run. `STONECHAT_SEED=7 cargo test --test
//! simulation -- --nocapture` replays one; `STONECHAT_SEEDS=1000000` runs that many
//! (with `STONECHAT_KEEP_GOING=1` past those that fail).

#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

#[path = "simulation/clients.rs"]
mod clients;
#[path = "simulation/oracle.rs"]
mod oracle;
#[path = "simulation/receive.rs"]
mod receive;
#[path = "simulation/rng.rs"]
mod rng;
#[path = "simulation/shadow.rs"]
mod shadow;
#[path = "simulation/sim.rs"]
mod sim;
#[path = "simulation/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use sim::{Outcome, Sim};

/// How many seeds a plain `cargo test` runs.
const SEEDS: u64 = 200;

/// Seeds that found something, each with what it found.
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

fn run(seed: u64) -> Outcome {
    match catch_unwind(AssertUnwindSafe(|| Sim::new(seed).run())) {
        Ok(outcome) => outcome,
        Err(panic) => {
            eprintln!(
                "seed {seed} fails. Replay: STONECHAT_SEED={seed} cargo test --test simulation \
                 -- --nocapture"
            );
            resume_unwind(panic);
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn seeds_run_clean() {
    let seeds = match (number("STONECHAT_SEED"), number("STONECHAT_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(SEEDS),
    };
    let (mut inputs, mut published, mut delivered) = (0, 0, 0);
    let keep_going = number("STONECHAT_KEEP_GOING").is_some();
    let mut failed = Vec::new();
    for seed in seeds.clone() {
        let outcome = match catch_unwind(|| run(seed)) {
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
    }
    println!("{seeds:?}: {inputs} inputs, {published} messages, {delivered} deliveries");
    assert!(failed.is_empty(), "{} seeds fail: {failed:?}", failed.len());
}

#[test]
fn seeds_that_once_failed_run_clean() {
    for &(seed, what) in REGRESSIONS {
        println!("seed {seed}: {what}");
        run(seed);
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [3, 77, 1_000_003] {
        assert_eq!(run(seed), run(seed));
    }
}
