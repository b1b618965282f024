//! The real binary under load, killed again and again: nothing that it acknowledged may be lost,
//! nothing of QoS 2 may come twice, and nothing may be invented.
//!
//! `STONECHAT_KILLS=100 cargo test --test crash` kills more often; `STONECHAT_CRASH_SEED=7` draws
//! the same moments again. When a process is killed is counted in messages, but what it is doing
//! then is not in the seed's hands: a seed that failed may have to be run more than once.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // layer 3 and above

#[cfg(target_os = "linux")]
#[path = "crash/forgetful.rs"]
mod forgetful;
#[path = "crash/ledger.rs"]
mod ledger;
#[path = "crash/life.rs"]
mod life;
#[path = "crash/play.rs"]
mod play;
#[path = "crash/policies.rs"]
mod policies;
#[cfg(target_os = "linux")]
#[path = "crash/power.rs"]
mod power;
#[path = "crash/publisher.rs"]
mod publisher;
#[path = "crash/receiver.rs"]
mod receiver;
#[path = "crash/stage.rs"]
mod stage;
mod support;
