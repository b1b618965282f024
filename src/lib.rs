//! Stonechat, an MQTT broker.
pub mod broker;
pub mod cli;
pub mod codec;
pub mod config;
pub mod server;
pub mod store;
pub mod topic;
