//! Stonechat, an MQTT broker: the map.
//!
//! # Layers
//!
//! Each uses what is below it, never what is above (`tests/house.rs` reads the imports):
//!
//! - 4: [`config`], [`cli`], [`logtool`], [`passwd`], `main`: settings, arguments, exit codes
//! - 3: [`server`]: threads, sockets, the clock, the system's randomness
//! - 2: [`broker`]: the pure decisions of one shard; [`store`]: where records are kept
//! - 1: [`codec`]: bytes to packets and back; [`auth`]: who a client is, and what it may do
//! - 0: [`topic`]: topic names and filters, validated once
//!
//! # The way of one PUBLISH
//!
//! - Arrival: `server/shard.rs::pass`, `server/shard.rs::turn`, `server/shard.rs::packets`;
//!   decoded in place by `codec/mod.rs::decode`.
//! - Decision: `broker/mod.rs::handle`, `broker/publish.rs::on_publish`; whom it concerns,
//!   `broker/publish.rs::route` and `broker/subscriptions.rs::matched`.
//! - To each receiver: `broker/deliver.rs::deliver`, `broker/deliver.rs::write` into its outbox
//!   (`broker/sends.rs`); to other shards, `broker/publish.rs::publish_to_peer` and
//!   `broker/publish.rs::on_peer_publish`.
//! - The acknowledgement: `broker/publish.rs::acknowledge`, through the gate,
//!   `broker/pending.rs::send_when`.
//! - Departure: `server/shard.rs::settle`, `server/shard.rs::flush`, one write per connection and
//!   pass.
//!
//! ARCHITECTURE.md walks it step by step.
//!
//! # Invariants
//!
//! - Layers 0 to 2 never wait, lock, read a clock, draw randomness, or touch a file or a socket.
//! - A session lives on one shard, given by its Client Identifier, and never moves.
//! - Every id that outlives a call is a key with a generation; a stale one is ignored and counted.
//! - Nothing is acknowledged before it is as safe as the store makes it, on every shard that kept
//!   it; per link, acknowledgements leave in order.
//! - A retained message is set before it is forwarded, and read only after SUBACK has left, that
//!   is after the interest is in force on every shard.
//! - A shard never waits: not for a shard, not for the store, not for a socket.
//! - Everything that grows has a limit with a name, a counter and a documented consequence.
pub mod auth;
pub mod broker;
pub mod cli;
pub mod codec;
pub mod config;
pub mod logtool;
pub mod passwd;
pub mod server;
pub mod store;
pub mod topic;
