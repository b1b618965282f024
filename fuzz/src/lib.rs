//! The bodies of the fuzz targets: plain functions of some bytes, that panic when a law is broken.
//!
//! The fuzzer calls them with what it makes up, `tests/corpus.rs` (which includes this file) with
//! what was kept. They use `std`, the crate, its libraries that compute and a second
//! opinion on WebSocket, and the same bytes are always the same run.

pub mod acl_file;
pub mod acl_naive;
pub mod broker_inputs;
pub mod decode;
mod history;
pub mod jwt;
mod laws;
#[allow(dead_code)]
#[path = "../../tests/log/disk.rs"]
mod log_disk;
pub mod log_recovery;
mod observer;
mod packets;
pub mod password_file;
pub mod proxy_header;
pub mod round_trip;
pub mod scram;
pub mod seeds;
mod source;
pub mod topic_match;
pub mod websocket;
mod world;

/// A target.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Target); 11] = [
    ("decode", decode::run),
    ("round_trip", round_trip::run),
    ("topic_match", topic_match::run),
    ("broker_inputs", broker_inputs::run),
    ("log_recovery", log_recovery::run),
    ("websocket", websocket::run),
    ("proxy_header", proxy_header::run),
    ("acl_file", acl_file::run),
    ("password_file", password_file::run),
    ("jwt", jwt::run),
    ("scram", scram::run),
];
