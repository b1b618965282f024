//! What the shards of a process have in common, as the broker sees it: the retained messages and
//! the index of who is interested in what.
//!
//! Both are arguments of [`super::Broker::handle`]. The server keeps each behind a lock of its own,
//! a simulator in plain structs. Invariant: the broker holds neither longer than for one call of
//! theirs.

use super::index::InterestIndex;
use super::retained::RetainedStore;

/// What all shards of a process share.
pub trait Common {
    /// The retained messages.
    fn retained(&mut self) -> &mut impl RetainedStore;
    /// What the shards are interested in.
    fn interests(&mut self) -> &mut impl InterestIndex;
}

/// The two of them, side by side.
#[derive(Clone, Debug)]
pub struct Commons<R, I> {
    /// the retained messages
    pub retained: R,
    /// what the shards are interested in
    pub interests: I,
}

impl<R: RetainedStore, I: InterestIndex> Common for Commons<R, I> {
    fn retained(&mut self) -> &mut impl RetainedStore {
        &mut self.retained
    }

    fn interests(&mut self) -> &mut impl InterestIndex {
        &mut self.interests
    }
}
