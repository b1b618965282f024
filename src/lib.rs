//! Stonechat, an MQTT broker.
pub mod broker;
pub mod codec;
pub mod config;
pub mod topic;
