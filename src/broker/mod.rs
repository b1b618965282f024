//! Layer 2: the pure decisions of one shard.
pub mod cache;
pub mod message;
pub mod retained;
pub mod time;
pub mod tree;

pub use message::{Message, MessageParts};
pub use time::Time;
