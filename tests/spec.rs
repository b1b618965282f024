//! The specification tables: a row or more for every normative statement, against the pure broker.
//!
//! What lives here: nothing but the way in. `spec/mod.rs` says how a row is read.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // layer 3 and above

#[path = "spec/mod.rs"]
mod spec;
mod support;
