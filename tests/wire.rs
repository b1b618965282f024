//! The real binary over real sockets: its life, its limits, and what abuse does to it.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // layer 3 and above

#[path = "wire/connect.rs"]
mod connect;
#[path = "wire/crowd.rs"]
mod crowd;
#[path = "wire/delivery.rs"]
mod delivery;
#[path = "wire/framing.rs"]
mod framing;
#[path = "wire/life.rs"]
mod life;
#[path = "wire/limits.rs"]
mod limits;
#[path = "wire/slow.rs"]
mod slow;
#[path = "wire/store.rs"]
mod store;
#[path = "wire/storms.rs"]
mod storms;
mod support;
#[path = "wire/sys.rs"]
mod sys;
