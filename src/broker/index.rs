//! The index of filters: what the shards keep at each filter. One for the process, so that its
//! memory does not multiply with the shards.
//!
//! May use: `topic`, `tree`. What a shard keeps there is only a number in its own tables
//! ([`Place`]), and what the others were told of it ([`Interest`]).
//!
//! Invariants: an entry is what its shard wrote last, and nobody else writes it. From `hold` until
//! `release` it keeps its node, so that a shard may name the node between two calls. Who reads the
//! index sees a change at once; a shard that has cached a match learns from the message that
//! follows the change ([`super::PeerMessage::Interest`]).

use slab::Slab;

use super::input::{Interest, ShardId, ShardSet};
use super::shrink::shrink_slab;
use super::subscriptions::make_room;
use super::tree::{FilterTree, NodeId, NodeValue};
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
    fn add(&mut self, shard: ShardId, interest: Interest) {
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
}

/// The index, as the broker gets at it. Both calls hold it for as long as they last.
pub trait InterestIndex {
    /// Looks at it.
    fn read<R>(&self, look: impl FnOnce(&InterestTree) -> R) -> R;

    /// Changes it. Every look that any shard takes from here on knows the change.
    fn write<R>(&mut self, change: impl FnOnce(&mut InterestTree) -> R) -> R;
}

impl InterestIndex for InterestTree {
    fn read<R>(&self, look: impl FnOnce(&InterestTree) -> R) -> R {
        look(self)
    }

    fn write<R>(&mut self, change: impl FnOnce(&mut InterestTree) -> R) -> R {
        change(self)
    }
}

/// Where a shard keeps what it has at a filter. Most filters have one subscription of one session
/// and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// nothing is there
    #[default]
    Nothing,
    /// one subscription, by its number
    One(u32),
    /// the number of all that is there
    Rest(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nothing,
    One,
    Rest,
}

/// What one shard has at one filter; small, as there may be millions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// the number in its [`Place`]
    at: u32,
    shard: ShardId,
    kind: Kind,
    /// what the other shards were told
    told: Interest,
}

impl Entry {
    fn new(shard: ShardId) -> Self {
        Self { at: 0, shard, kind: Kind::Nothing, told: Interest::None }
    }

    fn place(self) -> Place {
        match self.kind {
            Kind::Nothing => Place::Nothing,
            Kind::One => Place::One(self.at),
            Kind::Rest => Place::Rest(self.at),
        }
    }

    fn put(&mut self, place: Place) {
        (self.kind, self.at) = match place {
            Place::Nothing => (Kind::Nothing, 0),
            Place::One(at) => (Kind::One, at),
            Place::Rest(at) => (Kind::Rest, at),
        };
    }

    fn is_idle(self) -> bool {
        self.kind == Kind::Nothing && self.told == Interest::None
    }
}

/// Who has something at one filter: mostly one shard, and all else beside the tree.
#[derive(Clone, Copy, Debug, Default)]
enum Entries {
    #[default]
    None,
    One(Entry),
    /// its place in `InterestTree::many`
    Many(u32),
}

impl NodeValue for Entries {
    fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// The index itself.
pub struct InterestTree {
    tree: FilterTree<Entries>,
    /// the entries of filters at which several shards have something
    many: Slab<Vec<Entry>>,
}

impl InterestTree {
    /// An empty one. `seed` keys its hash table and should be random.
    pub fn new(seed: u64) -> Self {
        Self { tree: FilterTree::new(seed), many: Slab::new() }
    }

    fn entries<'a>(&'a self, value: &'a Entries) -> &'a [Entry] {
        match value {
            Entries::None => &[],
            Entries::One(entry) => std::slice::from_ref(entry),
            Entries::Many(many) => &self.many[*many as usize],
        }
    }

    fn entry(&self, shard: ShardId, node: NodeId) -> Option<&Entry> {
        self.entries(self.tree.value(node)).iter().find(|entry| entry.shard == shard)
    }

    fn entry_mut(&mut self, shard: ShardId, node: NodeId) -> Option<&mut Entry> {
        let entries = match self.tree.value_mut(node) {
            Entries::None => &mut [],
            Entries::One(entry) => std::slice::from_mut(entry),
            Entries::Many(many) => self.many[*many as usize].as_mut_slice(),
        };
        entries.iter_mut().find(|entry| entry.shard == shard)
    }

    /// The node of `filter`, `shard`'s until its [`InterestTree::release`], and what it has there.
    pub fn hold(&mut self, shard: ShardId, filter: TopicFilter<'_>) -> (NodeId, Place) {
        let node = self.tree.insert(filter);
        if let Some(entry) = self.entry(shard, node) {
            return (node, entry.place());
        }
        let new = Entry::new(shard);
        let value = match *self.tree.value(node) {
            Entries::None => Entries::One(new),
            Entries::One(other) => {
                make_room(&mut self.many);
                Entries::Many(self.many.insert(vec![other, new]) as u32)
            }
            Entries::Many(many) => {
                self.many[many as usize].push(new);
                Entries::Many(many)
            }
        };
        *self.tree.value_mut(node) = value;
        (node, Place::Nothing)
    }

    /// `shard` has done with a node, if it has nothing there and has told of nothing.
    pub fn release(&mut self, shard: ShardId, node: NodeId) {
        if !self.entry(shard, node).is_some_and(|entry| entry.is_idle()) {
            return;
        }
        let mut value = Entries::None;
        if let Entries::Many(many) = *self.tree.value(node) {
            let entries = &mut self.many[many as usize];
            entries.retain(|entry| entry.shard != shard);
            value = Entries::Many(many);
            if let [last] = entries[..] {
                self.many.remove(many as usize);
                value = Entries::One(last);
            }
        }
        *self.tree.value_mut(node) = value;
        self.tree.prune(node);
    }

    /// The node of `filter`, if `shard` has something there, and what.
    pub fn find(&self, shard: ShardId, filter: TopicFilter<'_>) -> Option<(NodeId, Place)> {
        let node = self.tree.find(filter)?;
        self.entry(shard, node).map(|entry| (node, entry.place()))
    }

    /// What `shard` has at a node, and what the others were told of it.
    pub fn look(&self, shard: ShardId, node: NodeId) -> (Place, Interest) {
        let entry = self.entry(shard, node);
        entry.map_or((Place::Nothing, Interest::None), |entry| (entry.place(), entry.told))
    }

    /// `shard`, whose node it is, has this there now.
    pub fn put(&mut self, shard: ShardId, node: NodeId, place: Place) {
        if let Some(entry) = self.entry_mut(shard, node) {
            entry.put(place);
        }
    }

    /// What the sessions of `shard`, whose node it is, want there is now this.
    pub fn tell(&mut self, shard: ShardId, node: NodeId, interest: Interest) {
        if let Some(entry) = self.entry_mut(shard, node) {
            entry.told = interest;
        }
    }

    /// Appends the filter whose node it is.
    pub fn filter_text(&self, node: NodeId, out: &mut String) {
        self.tree.filter_text(node, out);
    }

    /// The other shards that `topic` concerns; each place that `own` has there is visited.
    pub fn interested(
        &self,
        own: ShardId,
        topic: TopicName<'_>,
        visit: &mut impl FnMut(Place),
    ) -> Interested {
        let mut others = Interested::default();
        self.tree.matches(topic, &mut |_, value| {
            for entry in self.entries(value) {
                match entry.shard == own {
                    true => visit(entry.place()),
                    false => others.add(entry.shard, entry.told),
                }
            }
        });
        others
    }

    /// Gives memory back that is not used.
    pub fn shrink(&mut self) {
        self.tree.shrink();
        shrink_slab(&mut self.many);
    }

    /// Visits all that `shard` has, in no useful order. For tests and simulators.
    pub fn for_each_of(&self, shard: ShardId, mut visit: impl FnMut(NodeId, Place, Interest)) {
        self.tree.for_each(|node, value| {
            for entry in self.entries(value).iter().filter(|entry| entry.shard == shard) {
                visit(node, entry.place(), entry.told);
            }
        });
    }

    /// Panics when the index is not what it should be between operations.
    pub fn check_invariants(&self) {
        self.tree.check_invariants();
        let mut many = 0;
        self.tree.for_each(|_, value| {
            let entries = self.entries(value);
            let shards = entries.iter().fold(ShardSet::default(), |mut shards, entry| {
                assert!(!shards.contains(entry.shard), "a shard has two entries");
                assert!(!entry.is_idle(), "an entry was not released");
                shards.insert(entry.shard);
                shards
            });
            if let Entries::Many(_) = value {
                many += 1;
                assert!(shards.iter().count() > 1, "it fits into its node");
            }
        });
        assert_eq!(many, self.many.len(), "what is beside the tree is some node's");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOBODY: ShardId = ShardId(62);

    fn filter(s: &str) -> TopicFilter<'_> {
        TopicFilter::new(s).unwrap()
    }

    fn set(index: &mut InterestTree, shard: ShardId, text: &str, interest: Interest) {
        let (node, _) = index.hold(shard, filter(text));
        index.tell(shard, node, interest);
        index.release(shard, node);
    }

    fn interested(index: &InterestTree, topic: &str) -> (Vec<u8>, Vec<u8>) {
        let found = index.interested(NOBODY, TopicName::new(topic).unwrap(), &mut |_| panic!());
        let list = |set: ShardSet| set.iter().map(|s| s.0).collect();
        (list(found.present), list(found.durable))
    }

    fn filters_of(index: &InterestTree, shard: u8) -> usize {
        let mut count = 0;
        index.for_each_of(ShardId(shard), |_, _, _| count += 1);
        count
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
            set(&mut index, ShardId(*shard), text, *interest);
            index.check_invariants();
            let found = index.find(ShardId(*shard), filter(text));
            let told = found.map_or(None, |(node, _)| index.look(ShardId(*shard), node).1);
            assert_eq!(told, *interest);
            assert_eq!(interested(&index, "a/b"), (present.to_vec(), durable.to_vec()), "{text}");
        }
        assert_eq!((index.tree.node_count(), index.many.len()), (0, 0), "nothing is left");
    }

    #[test]
    fn a_shard_finds_what_it_has_put_and_what_others_told() {
        let mut index = InterestTree::new(7);
        for (shard, text, place) in [
            (1, "a/b", Place::One(7)),
            (2, "a/b", Place::Rest(9)),
            (1, "a/#", Place::Rest(8)),
            (2, "#", Place::One(0)),
        ] {
            let (node, before) = index.hold(ShardId(shard), filter(text));
            assert_eq!(before, Place::Nothing);
            index.put(ShardId(shard), node, place);
            index.release(ShardId(shard), node);
            assert_eq!(index.find(ShardId(shard), filter(text)), Some((node, place)), "{text}");
            index.check_invariants();
        }
        let topic = TopicName::new("a/b").unwrap();
        let mut places = Vec::new();
        let others = index.interested(ShardId(1), topic, &mut |place| places.push(place));
        places.sort_by_key(|place| format!("{place:?}"));
        assert_eq!(places, [Place::One(7), Place::Rest(8)]);
        assert_eq!(others, Interested::default(), "others have not told of anything");
        assert_eq!(index.find(ShardId(3), filter("a/b")), None);
    }

    #[test]
    fn a_node_that_is_held_stays_when_others_have_done_with_it() {
        let mut index = InterestTree::new(7);
        let (a, b) = (ShardId(0), ShardId(1));
        let (node, _) = index.hold(a, filter("a/b"));
        let (same, _) = index.hold(b, filter("a/b"));
        assert_eq!(node, same);
        index.release(b, node);
        set(&mut index, b, "a/b/c", Interest::Present);
        set(&mut index, b, "a/b/c", Interest::None);
        index.put(a, node, Place::One(1));
        assert_eq!(index.find(a, filter("a/b")), Some((node, Place::One(1))));
        index.check_invariants();
    }

    #[test]
    fn shards_are_counted_each_for_itself() {
        let mut index = InterestTree::new(7);
        for shard in 0..62 {
            for n in 0..=usize::from(shard) {
                set(&mut index, ShardId(shard), &format!("a/{n}"), Interest::Present);
            }
        }
        index.check_invariants();
        assert!((0..62).all(|s| filters_of(&index, s) == usize::from(s) + 1));
        set(&mut index, ShardId(9), "a/4", Interest::None);
        assert_eq!((filters_of(&index, 9), filters_of(&index, 10)), (9, 11));
        assert_eq!(interested(&index, "a/61").0, [61]);
    }

    #[test]
    fn what_stands_at_a_filter_is_small() {
        assert!(size_of::<Entries>() <= 8);
    }
}
