//! Layer 2: where records are kept.
//!
//! What lives here: the [`Store`] that a shard hands its records to, and [`Memory`], which keeps
//! nothing and so commits at once. May use: `broker`'s records. Invariant: a sequence number is
//! reported as committed only when all records up to it are as safe as the store makes them.

use crate::broker::{Record, Seq};

/// Takes the records of one shard, in order.
pub trait Store {
    /// Takes `records` (and empties the list), the last of which is number `last`. Appends to
    /// `void` those that need not be waited for any longer (`Input::Void`): their entry came to its
    /// end before they were written. Returns what is committed already; what is committed later
    /// comes as `Input::Committed`.
    ///
    /// To be called before messages to other shards are sent that were made with these records:
    /// what they cause there must come behind them in the log. The records of one call are written
    /// together or not at all.
    fn append(&mut self, records: &mut Vec<Record>, last: Seq, void: &mut Vec<Seq>) -> Option<Seq>;
}

/// Keeps nothing: everything is lost when the process ends.
#[derive(Debug, Default)]
pub struct Memory;

impl Store for Memory {
    fn append(&mut self, records: &mut Vec<Record>, last: Seq, _: &mut Vec<Seq>) -> Option<Seq> {
        records.clear();
        Some(last)
    }
}
