//! The filter tree: a trie over the levels of Topic Filters with a value at each node.
//!
//! May use: `topic`. The hash seed is an argument; nothing visible depends on iteration order.
//!
//! Invariant: every node but the root is reached from its parent in exactly one way, by an edge
//! with the number of its level; an edge says which kinds of edges go on from where it leads.
//! Between operations every leaf holds a value (whoever inserts fills it, whoever empties a value
//! prunes).
//!
//! Nodes live in one arena and are named by 32-bit numbers. Levels have numbers too, each text one
//! ([`Levels`]). The edges of all nodes are in one table ([`Edges`]), which says all that a walk
//! asks: nodes are read for their values only (`walk`). Where an edge stands there follows from the
//! path to it ([`Paths`]), and a wildcard's stands where its parent's does: so a walk touches a
//! line of memory for each level that it goes down, and the processor need not wait for one of them
//! to know the next. A node costs 16 bytes, its value, at most about 21 bytes of the table, and
//! about 30 bytes for its level if no other node has that.

use std::mem;

use super::edges::{Edges, HAS_HASH, HAS_LITERAL, HAS_PLUS};
use super::levels::{HASH, Levels, PLUS, UNKNOWN};
use super::paths::{Path, Paths};
use super::shrink::is_sparse;
use super::walk;
use crate::topic::{TopicFilter, TopicName};

const ROOT: u32 = 0;
/// No node: the root is nobody's child, but 0 as "none" would hide mistakes.
const NONE: u32 = u32::MAX;

/// What stands at a node of a [`FilterTree`].
pub trait NodeValue: Default {
    /// Whether there is nothing in it: such a node is not visited, and is pruned when childless.
    fn is_empty(&self) -> bool;
}

/// Names a node of one [`FilterTree`], from its `insert` until its `prune`; numbers are reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

/// Which children a node has: how many with literal levels, and whether a `+` and a `#`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Children(u32);

impl Children {
    const NONE: Self = Self(0);
    /// Of a node on the free list; its `parent` is then the next free node. All bits stand for more
    /// literal children than there are nodes.
    const VACANT: Self = Self(u32::MAX);
    const PLUS: u32 = 1 << 30;
    const HASH: u32 = 1 << 31;

    /// The kinds there are, as edges say it.
    fn flags(self) -> u32 {
        let (literal, plus, hash) = self.counts();
        let flag = |count: u32, flag: u32| if count > 0 { flag } else { 0 };
        flag(literal, HAS_LITERAL) | flag(plus, HAS_PLUS) | flag(hash, HAS_HASH)
    }

    /// How many with literal levels, `+` and `#` there are.
    fn counts(self) -> (u32, u32, u32) {
        (self.0 << 2 >> 2, u32::from(self.0 & Self::PLUS != 0), u32::from(self.0 & Self::HASH != 0))
    }

    fn add(&mut self, level: u32) {
        match level {
            PLUS => self.0 |= Self::PLUS,
            HASH => self.0 |= Self::HASH,
            _ => self.0 += 1,
        }
    }

    fn remove(&mut self, level: u32) {
        match level {
            PLUS => self.0 &= !Self::PLUS,
            HASH => self.0 &= !Self::HASH,
            _ => self.0 -= 1,
        }
    }
}

struct Node<T> {
    parent: u32,
    /// the number of its level
    level: u32,
    /// of the path to it: where its edge stands
    hash: u32,
    children: Children,
    value: T,
}

impl<T: NodeValue> Node<T> {
    fn new(parent: u32, level: u32, hash: u32) -> Self {
        Self { parent, level, hash, children: Children::NONE, value: T::default() }
    }

    fn is_vacant(&self) -> bool {
        self.children == Children::VACANT
    }
}

/// A trie over the levels of Topic Filters.
pub struct FilterTree<T> {
    nodes: Vec<Node<T>>,
    /// first node of the free list
    free: u32,
    live: usize,
    levels: Levels,
    edges: Edges,
    paths: Paths,
}

impl<T: NodeValue> FilterTree<T> {
    /// An empty tree. `seed` keys its hash tables and should be random, else clients could choose
    /// levels that collide.
    pub fn new(seed: u64) -> Self {
        Self {
            nodes: vec![Node::new(NONE, UNKNOWN, 0)],
            free: NONE,
            live: 1,
            levels: Levels::new(seed),
            edges: Edges::default(),
            paths: Paths::new(seed),
        }
    }

    /// The node of `filter`; it and the path to it are created where they do not exist. The caller
    /// fills the value, or prunes.
    pub fn insert(&mut self, filter: TopicFilter<'_>) -> NodeId {
        let (mut id, mut path) = (ROOT, self.paths.root());
        for text in filter.levels() {
            let mut level = self.levels.find(text);
            let known = self.child(id, path, level);
            (id, path) = match known {
                Some(child) => child,
                None => {
                    level = self.levels.hold(text);
                    self.add_child(id, path, level)
                }
            };
        }
        NodeId(id)
    }

    /// The node of `filter`, if there is one.
    pub fn find(&self, filter: TopicFilter<'_>) -> Option<NodeId> {
        let (mut id, mut path) = (ROOT, self.paths.root());
        for text in filter.levels() {
            (id, path) = self.child(id, path, self.levels.find(text))?;
        }
        Some(NodeId(id))
    }

    /// The value at `id`.
    pub fn value(&self, id: NodeId) -> &T {
        &self.node(id.0).value
    }

    /// The value at `id`; who empties it prunes the node afterwards.
    pub fn value_mut(&mut self, id: NodeId) -> &mut T {
        debug_assert!(!self.node(id.0).is_vacant(), "stale node id");
        &mut self.node_mut(id.0).value
    }

    /// Removes the node and its ancestors as long as they are childless and without a value.
    pub fn prune(&mut self, id: NodeId) {
        let mut id = id.0;
        while id != ROOT {
            let node = self.node(id);
            debug_assert!(!node.is_vacant(), "stale node id");
            if !node.value.is_empty() || node.children != Children::NONE {
                return;
            }
            let parent = node.parent;
            self.unlink(id);
            self.release(id);
            id = parent;
        }
    }

    /// Appends the filter whose node `id` is.
    pub fn filter_text(&self, id: NodeId, out: &mut String) {
        let mut path = Vec::new();
        let mut at = id.0;
        while at != ROOT {
            path.push(at);
            at = self.node(at).parent;
        }
        for (i, &at) in path.iter().rev().enumerate() {
            if i > 0 {
                out.push('/');
            }
            self.levels.text(self.node(at).level, out);
        }
    }

    /// Visits every node that has a value and whose filter matches `topic`, each once
    /// (section 4.7).
    pub fn matches(&self, topic: TopicName<'_>, visit: &mut impl FnMut(NodeId, &T)) {
        let tables = (&self.edges, &self.levels, &self.paths);
        let root = (ROOT, self.node(ROOT).children.flags());
        walk::matches(tables, root, topic, |id| {
            let value = &self.node(id).value;
            if !value.is_empty() {
                visit(NodeId(id), value);
            }
        });
    }

    /// Visits every node that has a value, in no useful order.
    pub fn for_each(&self, mut visit: impl FnMut(NodeId, &T)) {
        for (id, node) in self.nodes.iter().enumerate() {
            if !node.value.is_empty() {
                visit(NodeId(id as u32), &node.value);
            }
        }
    }

    /// How many nodes there are, the root not counted.
    pub fn node_count(&self) -> usize {
        self.live - 1
    }

    /// Gives the places behind the last node back, if most are empty. Nodes stay where they are:
    /// their numbers are given away.
    pub fn shrink(&mut self) {
        self.levels.shrink();
        if !is_sparse(self.live, self.nodes.capacity()) {
            return;
        }
        let used = self.nodes.iter().rposition(|node| !node.is_vacant()).map_or(0, |at| at + 1);
        self.nodes.truncate(used);
        self.nodes.shrink_to_fit();
        // The list went through the places that are gone. Low numbers first: they are to be used.
        self.free = NONE;
        for at in (0..self.nodes.len()).rev() {
            if self.nodes[at].is_vacant() {
                self.nodes[at].parent = self.free;
                self.free = at as u32;
            }
        }
    }

    fn node(&self, id: u32) -> &Node<T> {
        &self.nodes[id as usize]
    }

    fn node_mut(&mut self, id: u32) -> &mut Node<T> {
        &mut self.nodes[id as usize]
    }

    /// The child by a level, and its path.
    fn child(&self, parent: u32, path: Path, level: u32) -> Option<(u32, Path)> {
        let path = self.child_path(path, level);
        let edge = self.edges.find(path.hash(), parent, level)?;
        Some((edge.id, path))
    }

    fn child_path(&self, path: Path, level: u32) -> Path {
        match level {
            PLUS | HASH => self.paths.wildcard(path, level),
            _ => self.paths.child(path, level),
        }
    }

    fn add_child(&mut self, parent: u32, path: Path, level: u32) -> (u32, Path) {
        let path = self.child_path(path, level);
        let hash = path.hash();
        let id = self.allocate(Node::new(parent, level, hash));
        let nodes = &self.nodes;
        self.edges.insert(hash, (parent, level, id), |id| nodes[id as usize].hash);
        self.change_children(parent, |children| children.add(level));
        (id, path)
    }

    /// Takes a node out of its parent.
    fn unlink(&mut self, id: u32) {
        let &Node { parent, level, hash, .. } = self.node(id);
        let nodes = &self.nodes;
        self.edges.remove(hash, (parent, level), |id| nodes[id as usize].hash);
        self.change_children(parent, |children| children.remove(level));
    }

    /// Also brings the edge to the node up to date.
    fn change_children(&mut self, id: u32, change: impl FnOnce(&mut Children)) {
        let node = &mut self.nodes[id as usize];
        let before = node.children.flags();
        change(&mut node.children);
        let flags = node.children.flags();
        if flags != before && id != ROOT {
            self.edges.set_flags(node.hash, node.parent, node.level, flags);
        }
    }

    fn allocate(&mut self, node: Node<T>) -> u32 {
        self.live += 1;
        if self.free == NONE {
            if self.nodes.len() == self.nodes.capacity() {
                // By an eighth: an arena of a million nodes that doubles is half empty.
                self.nodes.reserve_exact(self.nodes.len() / 8 + 8);
            }
            self.nodes.push(node);
            return (self.nodes.len() - 1) as u32;
        }
        let id = self.free;
        self.free = self.node(id).parent;
        *self.node_mut(id) = node;
        id
    }

    /// Puts a node that was unlinked on the free list.
    fn release(&mut self, id: u32) {
        let mut vacant = Node::new(mem::replace(&mut self.free, id), UNKNOWN, 0);
        vacant.children = Children::VACANT;
        // An empty value may still hold capacity: it goes.
        let node = mem::replace(self.node_mut(id), vacant);
        self.levels.release(node.level);
        self.live -= 1;
    }

    /// Panics when the tree is not what it should be between operations.
    pub fn check_invariants(&self) {
        let mut children = vec![(0, 0, 0); self.nodes.len()];
        let mut uses = std::collections::BTreeMap::new();
        for (id, node) in self.live_nodes().filter(|(id, _)| *id != ROOT) {
            assert!(
                node.children != Children::NONE || !node.value.is_empty(),
                "leaf {id} has no value: it was not pruned, or not filled"
            );
            assert!(!self.node(node.parent).is_vacant(), "the parent of node {id} is free");
            let of_parent = &mut children[node.parent as usize];
            match node.level {
                PLUS => of_parent.1 += 1,
                HASH => of_parent.2 += 1,
                _ => of_parent.0 += 1,
            }
            *uses.entry(node.level).or_default() += 1;
            let edge = self.edges.find(node.hash, node.parent, node.level);
            let edge = edge.map(|edge| (edge.id, edge.flags));
            assert_eq!(edge, Some((id, node.children.flags())), "the edge to node {id}");
        }
        for (id, node) in self.live_nodes() {
            assert_eq!(node.children.counts(), children[id as usize], "children of {id}");
        }
        assert!(self.node(ROOT).value.is_empty(), "the root has a value");
        assert_eq!(self.live_nodes().count(), self.live, "live nodes are miscounted");
        assert_eq!(self.edges.len() + 1, self.live, "there are edges to nowhere");
        self.edges.check_invariants(|id| self.node(id).hash);
        self.levels.check_invariants(&uses);
        self.check_free_list();
        self.check_paths();
    }

    fn live_nodes(&self) -> impl Iterator<Item = (u32, &Node<T>)> {
        let nodes = self.nodes.iter().enumerate().map(|(id, node)| (id as u32, node));
        nodes.filter(|(_, node)| !node.is_vacant())
    }

    fn check_free_list(&self) {
        let (mut at, mut count) = (self.free, 0);
        while at != NONE {
            assert!(self.node(at).is_vacant(), "live node {at} is on the free list");
            count += 1;
            assert!(count <= self.nodes.len(), "the free list is a circle");
            at = self.node(at).parent;
        }
        assert_eq!(count + self.live, self.nodes.len(), "nodes are lost from the free list");
    }

    /// Checks that every node's ancestors end at the root, and that its hash is that of its path.
    fn check_paths(&self) {
        let mut paths = vec![None; self.nodes.len()];
        paths[ROOT as usize] = Some(self.paths.root());
        let mut unknown = Vec::new();
        for (id, _) in self.live_nodes() {
            let mut at = id;
            while paths[at as usize].is_none() {
                unknown.push(at);
                assert!(unknown.len() <= self.live, "node {id} is its own ancestor");
                at = self.node(at).parent;
            }
            while let Some(at) = unknown.pop() {
                let node = self.node(at);
                let parent = paths[node.parent as usize].unwrap_or_default();
                let path = self.child_path(parent, node.level);
                assert_eq!(node.hash, path.hash(), "the hash of node {at}");
                paths[at as usize] = Some(path);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Flag(bool);

    impl NodeValue for Flag {
        fn is_empty(&self) -> bool {
            !self.0
        }
    }

    fn filter(s: &str) -> TopicFilter<'_> {
        TopicFilter::new(s).unwrap()
    }

    fn tree_of(filters: &[&str]) -> FilterTree<Flag> {
        let mut tree = FilterTree::<Flag>::new(7);
        for f in filters {
            let id = tree.insert(filter(f));
            tree.value_mut(id).0 = true;
        }
        tree.check_invariants();
        tree
    }

    fn matched(tree: &FilterTree<Flag>, topic: &str) -> Vec<String> {
        let mut found = Vec::new();
        tree.matches(TopicName::new(topic).unwrap(), &mut |id, _| {
            let mut text = String::new();
            tree.filter_text(id, &mut text);
            found.push(text);
        });
        found.sort();
        found
    }

    #[test]
    fn matches_as_section_4_7_says() {
        let tree = tree_of(&[
            "#",
            "+",
            "+/+",
            "a/#",
            "a/+",
            "a",
            "a/b",
            "/",
            "/+",
            "$x/#",
            "$x/+",
            "+/b",
            "é/#",
            "a/a level too long for the node/#",
        ]);
        assert_eq!(matched(&tree, "a"), ["#", "+", "a", "a/#"]);
        assert_eq!(matched(&tree, "a/b"), ["#", "+/+", "+/b", "a/#", "a/+", "a/b"]);
        assert_eq!(matched(&tree, "/"), ["#", "+/+", "/", "/+"]);
        assert_eq!(matched(&tree, "$x/b"), ["$x/#", "$x/+"]);
        assert_eq!(matched(&tree, "$x"), ["$x/#"]);
        assert_eq!(matched(&tree, "é/q/r"), ["#", "é/#"]);
        assert_eq!(
            matched(&tree, "a/a level too long for the node/x"),
            ["#", "a/#", "a/a level too long for the node/#"]
        );
    }

    #[test]
    fn prune_takes_what_nobody_needs() {
        let mut tree = tree_of(&["a/b/c/d", "a/b"]);
        let (long, short) = (tree.find(filter("a/b/c/d")), tree.find(filter("a/b")));
        tree.prune(long.unwrap());
        assert_eq!(tree.node_count(), 4, "a value keeps its node");
        tree.value_mut(short.unwrap()).0 = false;
        tree.prune(short.unwrap());
        assert_eq!(tree.node_count(), 4, "children keep their parent");
        tree.value_mut(long.unwrap()).0 = false;
        tree.prune(long.unwrap());
        assert_eq!(tree.node_count(), 0);
        tree.check_invariants();
        assert_eq!(tree.find(filter("a")), None);
        let arena = tree.nodes.len();
        tree.insert(filter("x/+/#"));
        assert_eq!(tree.nodes.len(), arena, "freed nodes are reused");
    }

    #[test]
    fn deep_filters_do_not_overflow_the_stack() {
        let plus = ["+"; 32_000].join("/");
        let literal = ["a"; 32_000].join("/");
        let mixed = format!("{}/#", ["a", "+"].repeat(15_000).join("/"));
        let mut tree = tree_of(&[&plus, &literal, &mixed]);
        assert_eq!(matched(&tree, &literal).len(), 3);
        for f in [&plus, &literal, &mixed] {
            let id = tree.find(filter(f)).unwrap();
            tree.value_mut(id).0 = false;
            tree.prune(id);
            tree.check_invariants();
        }
        assert_eq!(tree.node_count(), 0);
    }

    #[test]
    fn nodes_are_small() {
        assert_eq!(size_of::<Node<[u32; 2]>>(), 24, "with a value of eight bytes");
    }

    /// Paths whose hashes are cut to so few bits that most of them collide.
    #[test]
    fn it_is_exact_where_paths_collide() {
        const LEVELS: [&str; 7] = ["a", "b", "", "a level that is too long", "c", "+", "#"];
        for hash_bits in [0, 0x8000_0000, 0xF000_0000, 0xFF00_0000, u32::MAX] {
            let mut tree = FilterTree::<Flag>::new(7);
            tree.paths.hash_bits = hash_bits;
            let mut model = std::collections::BTreeSet::new();
            let mut draw = 1_u32;
            let mut next = |below: usize| {
                draw = draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (draw >> 8) as usize % below
            };
            for step in 0..1_500 {
                let depth = 1 + next(6);
                let mut levels: Vec<_> = (0..depth).map(|_| LEVELS[next(6)]).collect();
                if next(4) == 0 {
                    levels[depth - 1] = "#";
                }
                let text = levels.join("/");
                let Ok(parsed) = TopicFilter::new(&text) else { continue };
                if next(3) == 0 {
                    if let Some(id) = tree.find(parsed) {
                        tree.value_mut(id).0 = false;
                        tree.prune(id);
                    }
                    model.remove(&text);
                } else {
                    let id = tree.insert(parsed);
                    tree.value_mut(id).0 = true;
                    model.insert(text);
                }
                if step % 50 == 0 {
                    tree.check_invariants();
                }
                let depth = 1 + next(8);
                let topic = (0..depth).map(|_| LEVELS[next(5)]).collect::<Vec<_>>().join("/");
                if let Ok(name) = TopicName::new(&topic) {
                    let expected: Vec<_> =
                        model.iter().filter(|f| filter(f).matches(name)).cloned().collect();
                    assert_eq!(matched(&tree, &topic), expected, "{topic}, {hash_bits:x}");
                }
            }
        }
    }

    #[test]
    fn deep_topics_take_linear_time() {
        let filters: Vec<_> =
            (1..2_000).map(|n| format!("{}/#", ["a"].repeat(n).join("/"))).collect();
        let filters: Vec<_> = filters.iter().map(String::as_str).collect();
        let tree = tree_of(&filters);
        assert_eq!(matched(&tree, &["a"; 32_000].join("/")).len(), 1_999);
    }
}
