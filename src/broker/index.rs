//! The interest index: which shards have subscriptions to which filters. One for the process, so
//! that its memory does not multiply with the shards.
//!
//! May use: `topic`, `tree`. Invariant: a shard's part of the index is what that shard wrote last,
//! and nobody else writes it. Who reads it sees a change at once; a shard that has cached a match
//! learns from the message that follows the change ([`super::PeerMessage::Interest`]). With one
//! shard nothing is ever written here, nor read.

use slab::Slab;

use super::input::{Interest, ShardId, ShardSet};
use super::shrink::shrink_slab;
use super::subscriptions::make_room;
use super::tree::{FilterTree, NodeValue};
use crate::topic::{TopicFilter, TopicName};

/// The shards that a topic concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interested {
    /// those that have subscriptions
    pub present: ShardSet,
    /// those of them with durable ones, see [`Interest::Durable`]
    pub durable: ShardSet,
    /// those of them that take no more, see [`Interest::Full`]
    pub full: ShardSet,
}

impl Interested {
    fn of(&self, shard: ShardId) -> Interest {
        match (self.present.contains(shard), self.durable.contains(shard)) {
            (false, _) => Interest::None,
            (true, false) => Interest::Present,
            (true, true) if self.full.contains(shard) => Interest::Full,
            (true, true) => Interest::Durable,
        }
    }

    fn set(&mut self, shard: ShardId, interest: Interest) {
        self.present.remove(shard);
        self.durable.remove(shard);
        self.full.remove(shard);
        if interest >= Interest::Present {
            self.present.insert(shard);
        }
        if interest >= Interest::Durable {
            self.durable.insert(shard);
        }
        if interest == Interest::Full {
            self.full.insert(shard);
        }
    }

    fn add(&mut self, other: Self) {
        self.present = self.present.union(other.present);
        self.durable = self.durable.union(other.durable);
        self.full = self.full.union(other.full);
    }

    /// The same without `shard`.
    #[must_use]
    pub fn without(mut self, shard: ShardId) -> Self {
        self.set(shard, Interest::None);
        self
    }
}

/// What the shards are interested in, as the broker sees it.
pub trait InterestIndex {
    /// What the sessions of `shard` want of `filter` is now this. Every match that any shard asks
    /// for from here on knows it.
    fn set(&mut self, shard: ShardId, filter: TopicFilter<'_>, interest: Interest);

    /// The shards that `topic` concerns.
    fn interested(&self, topic: TopicName<'_>) -> Interested;

    /// Gives memory back that is not used.
    fn shrink(&mut self);
}

/// Who is interested in one filter: mostly one shard, and all else beside the tree.
#[derive(Clone, Copy, Debug, Default)]
enum NodeInterest {
    #[default]
    None,
    One {
        shard: ShardId,
        interest: Interest,
    },
    /// its place in `InterestTree::many`
    Many(u32),
}

impl NodeValue for NodeInterest {
    fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// The index itself.
pub struct InterestTree {
    tree: FilterTree<NodeInterest>,
    many: Slab<Interested>,
}

impl InterestTree {
    /// An empty one. `seed` keys its hash table and should be random.
    pub fn new(seed: u64) -> Self {
        Self { tree: FilterTree::new(seed), many: Slab::new() }
    }

    fn at(&self, value: NodeInterest) -> Interested {
        let mut at = Interested::default();
        match value {
            NodeInterest::None => {}
            NodeInterest::One { shard, interest } => at.set(shard, interest),
            NodeInterest::Many(many) => at = self.many[many as usize],
        }
        at
    }

    /// What `shard` is interested in of this very filter.
    pub fn interest_of(&self, shard: ShardId, filter: TopicFilter<'_>) -> Interest {
        let node = self.tree.find(filter);
        node.map_or(Interest::None, |node| self.at(*self.tree.value(node)).of(shard))
    }

    /// In how many filters `shard` is interested.
    pub fn filters_of(&self, shard: ShardId) -> usize {
        let mut count = 0;
        self.tree.for_each(|_, value| {
            count += usize::from(self.at(*value).present.contains(shard));
        });
        count
    }

    /// Panics when the index is not what it should be between operations.
    pub fn check_invariants(&self) {
        self.tree.check_invariants();
        let mut many = 0;
        self.tree.for_each(|_, value| {
            let at = self.at(*value);
            assert!(at.durable.iter().all(|s| at.present.contains(s)), "durable is present");
            if let NodeInterest::Many(_) = value {
                many += 1;
                assert!(at.present.iter().count() > 1, "it fits into its node");
            }
        });
        assert_eq!(many, self.many.len(), "what is beside the tree is some node's");
    }
}

impl InterestIndex for InterestTree {
    fn set(&mut self, shard: ShardId, filter: TopicFilter<'_>, interest: Interest) {
        if interest == Interest::None && self.tree.find(filter).is_none() {
            return;
        }
        let node = self.tree.insert(filter);
        let value = *self.tree.value(node);
        let mut at = self.at(value);
        at.set(shard, interest);
        let mut shards = at.present.iter();
        let new = match (shards.next(), shards.next(), value) {
            (None, ..) => NodeInterest::None,
            (Some(shard), None, _) => NodeInterest::One { shard, interest: at.of(shard) },
            (_, _, NodeInterest::Many(many)) => {
                self.many[many as usize] = at;
                return;
            }
            _ => {
                make_room(&mut self.many);
                NodeInterest::Many(self.many.insert(at) as u32)
            }
        };
        if let NodeInterest::Many(many) = value {
            self.many.remove(many as usize);
        }
        *self.tree.value_mut(node) = new;
        self.tree.prune(node);
    }

    fn interested(&self, topic: TopicName<'_>) -> Interested {
        let mut all = Interested::default();
        self.tree.matches(topic, &mut |_, value| all.add(self.at(*value)));
        all
    }

    fn shrink(&mut self) {
        self.tree.shrink();
        shrink_slab(&mut self.many);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn filter(s: &str) -> TopicFilter<'_> {
        TopicFilter::new(s).unwrap()
    }

    fn interested(index: &InterestTree, topic: &str) -> (Vec<u8>, Vec<u8>) {
        let found = index.interested(TopicName::new(topic).unwrap());
        let list = |set: ShardSet| set.iter().map(|s| s.0).collect();
        (list(found.present), list(found.durable))
    }

    /// Who writes what of which filter, and who is then found, and as durable.
    type Step<'a> = (u8, &'a str, Interest, &'a [u8], &'a [u8]);

    #[test]
    fn it_says_what_each_shard_wrote_last() {
        use Interest::{Durable, None, Present};
        let mut index = InterestTree::new(7);
        let steps: &[Step<'_>] = &[
            (3, "a/b", Present, &[3], &[]),
            (3, "a/b", Durable, &[3], &[3]),
            (63, "a/b", Present, &[3, 63], &[3]),
            (0, "a/+", Durable, &[0, 3, 63], &[0, 3]),
            (3, "#", Present, &[0, 3, 63], &[0, 3]),
            (3, "a/b", Present, &[0, 3, 63], &[0]),
            (3, "a/b", None, &[0, 3, 63], &[0]),
            (3, "#", None, &[0, 63], &[0]),
            (5, "x", None, &[0, 63], &[0]),
            (0, "a/+", None, &[63], &[]),
            (63, "a/b", Durable, &[63], &[63]),
            (63, "a/b", None, &[], &[]),
        ];
        for (shard, text, interest, present, durable) in steps {
            index.set(ShardId(*shard), filter(text), *interest);
            index.check_invariants();
            assert_eq!(index.interest_of(ShardId(*shard), filter(text)), *interest);
            assert_eq!(interested(&index, "a/b"), (present.to_vec(), durable.to_vec()), "{text}");
        }
        assert_eq!((index.tree.node_count(), index.many.len()), (0, 0), "nothing is left");
    }

    #[test]
    fn shards_are_counted_each_for_itself() {
        let mut index = InterestTree::new(7);
        for shard in 0..64 {
            for n in 0..=usize::from(shard) {
                index.set(ShardId(shard), filter(&format!("a/{n}")), Interest::Present);
            }
        }
        index.check_invariants();
        assert!((0..64).all(|s| index.filters_of(ShardId(s)) == usize::from(s) + 1));
        index.set(ShardId(9), filter("a/4"), Interest::None);
        assert_eq!((index.filters_of(ShardId(9)), index.filters_of(ShardId(10))), (9, 11));
        assert_eq!(interested(&index, "a/63").0, [63]);
    }

    #[test]
    fn what_stands_at_a_filter_is_small() {
        assert!(size_of::<NodeInterest>() <= 8);
    }
}
