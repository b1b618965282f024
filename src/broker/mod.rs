//! Layer 2: the pure decisions of one shard.
pub mod message;
pub mod time;

pub use message::{Message, MessageParts};
pub use time::Time;
