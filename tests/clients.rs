//! Clients that others wrote, against the real binary. What is not installed is skipped with a
//! line that says so; with STONECHAT_TESTS_REQUIRE_ALL=1 a skip is a failure.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // layer 3 and above

#[path = "clients/acl_beside.rs"]
mod acl_beside;
#[path = "clients/bridge.rs"]
mod bridge;
#[path = "clients/mosquitto.rs"]
mod mosquitto;
#[path = "clients/rumqtt.rs"]
mod rumqtt;
#[path = "clients/scripts.rs"]
mod scripts;
mod support;
#[path = "clients/tools.rs"]
mod tools;
