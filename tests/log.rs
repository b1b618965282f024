//! The durable log: whole logs on a simulated disk, drawn from a seed.
//!
//! `STONECHAT_LOG_SEEDS=100000 cargo test --test log` runs more of them; `STONECHAT_LOG_SEED=7`
//! one again. What a seed finds is fixed, and the seed joins the list of regressions.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, dead_code)]

#[path = "log/cleaning.rs"]
mod cleaning;
#[path = "log/damage.rs"]
mod damage;
#[path = "support/directory.rs"]
mod directory;
#[path = "log/disk.rs"]
mod disk;
#[path = "log/files.rs"]
mod files;
#[path = "log/full.rs"]
mod full;
#[path = "log/model.rs"]
mod model;
#[path = "log/power.rs"]
mod power;
#[path = "simulation/rng.rs"]
mod rng;
#[path = "log/staging.rs"]
mod staging;
#[path = "log/tools.rs"]
mod tools;
#[path = "log/world.rs"]
mod world;

/// Runs `run` for the seeds that the environment asks for, and says which one failed.
fn for_seeds(few: u64, regressions: &[u64], run: impl Fn(u64)) {
    let number = |name: &str| std::env::vars().find(|(n, _)| n == name)?.1.parse::<u64>().ok();
    if let Some(seed) = number("STONECHAT_LOG_SEED") {
        return run(seed);
    }
    let many = number("STONECHAT_LOG_SEEDS").unwrap_or(few);
    for seed in regressions.iter().copied().chain(0..many) {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed)));
        if let Err(why) = outcome {
            eprintln!("STONECHAT_LOG_SEED={seed}");
            std::panic::resume_unwind(why);
        }
    }
}
