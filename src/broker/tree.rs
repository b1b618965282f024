//! The filter tree: a trie over the levels of Topic Filters with a value at each node that a filter
//! ends at. Where ways do not part, a node stands for several levels, if they fit ([`Levels`]).
//!
//! May use: `topic`. The hash seed is an argument; nothing visible depends on iteration order.
//!
//! Invariant: every node but the root is reached from its parent in exactly one way, through the
//! parent's `+` slot, its `#` slot, or by the node's first level; between operations every leaf
//! holds a value (whoever inserts fills it, whoever empties a value prunes).
//!
//! Nodes live in one arena and are named by 32-bit numbers. A parent names its only child with a
//! literal level itself; where there have been several, they are in one hash table for all parents
//! ([`Edges`]). So a node without wildcards below it costs 32 bytes, its value, at most about 11
//! bytes of edge table, and no allocation of its own; and a step down touches one cache line for
//! the table, or none, and one for the node.

use std::hash::{BuildHasher, Hasher};
use std::mem;

use foldhash::quality::FixedState;

use super::edges::Edges;
use super::levels::{Levels, Way, common, first, fitting};
use super::shrink::is_sparse;
use crate::topic::{TopicFilter, TopicName};

const ROOT: u32 = 0;
/// No node: the root is nobody's child, but 0 as "none" would hide mistakes.
const NONE: u32 = u32::MAX;
/// `edges` of a node on the free list; its `parent` is then the next free node.
const VACANT: u32 = u32::MAX;
/// `edges` of a node without children that have literal levels.
const NO_EDGES: u32 = MANY - 1;
/// The bit that says that `edges` is how many children there are in the edge table. Without it,
/// it is the only child; numbers of nodes stay below: so many would take 80 GiB.
const MANY: u32 = 1 << 31;

/// What stands at a node of a [`FilterTree`].
pub trait NodeValue: Default {
    /// Whether there is nothing in it: such a node is not visited, and is pruned when childless.
    fn is_empty(&self) -> bool;
}

/// Names a node of one [`FilterTree`], from its `insert` until its `prune`; numbers are reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

struct Node<T> {
    /// by the first of them it is reached from its parent
    levels: Levels,
    parent: u32,
    plus: u32,
    hash: u32,
    /// the children with literal levels: see [`NO_EDGES`], [`MANY`], [`VACANT`]
    edges: u32,
    value: T,
}

impl<T: NodeValue> Node<T> {
    fn new(parent: u32, levels: Levels) -> Self {
        Self { levels, parent, plus: NONE, hash: NONE, edges: NO_EDGES, value: T::default() }
    }

    fn is_childless(&self) -> bool {
        self.edges == NO_EDGES && self.plus == NONE && self.hash == NONE
    }
}

/// A trie over the levels of Topic Filters.
pub struct FilterTree<T> {
    nodes: Vec<Node<T>>,
    /// first node of the free list
    free: u32,
    live: usize,
    /// the nodes with literal levels by (parent, level), but for those that are their parents' only
    /// ones
    edges: Edges,
    hasher: FixedState,
}

impl<T: NodeValue> FilterTree<T> {
    /// An empty tree. `seed` keys its hash table and should be random, else clients could choose
    /// levels that collide.
    pub fn new(seed: u64) -> Self {
        Self {
            nodes: vec![Node::new(NONE, Levels::EMPTY)],
            free: NONE,
            live: 1,
            edges: Edges::default(),
            hasher: FixedState::with_seed(seed),
        }
    }

    /// The node of `filter`; it and the path to it are created where they do not exist. The caller
    /// fills the value, or prunes.
    pub fn insert(&mut self, filter: TopicFilter<'_>) -> NodeId {
        let (mut id, mut rest) = (ROOT, filter.as_str().as_bytes());
        loop {
            let mut child = self.child(id, first(rest));
            if child == NONE {
                return NodeId(self.add_path(id, rest));
            }
            let levels = self.node(child).levels.as_bytes();
            let (common, len) = (common(levels, rest), levels.len());
            if common < len {
                child = self.split(child, common);
            }
            id = child;
            match rest.get(common + 1..) {
                Some(below) => rest = below,
                None => return NodeId(id),
            }
        }
    }

    /// The node of `filter`, if there is one.
    pub fn find(&self, filter: TopicFilter<'_>) -> Option<NodeId> {
        let (mut id, mut rest) = (ROOT, filter.as_str().as_bytes());
        loop {
            id = self.child(id, first(rest));
            if id == NONE {
                return None;
            }
            match rest.strip_prefix(self.node(id).levels.as_bytes())? {
                [] => return Some(NodeId(id)),
                [b'/', below @ ..] => rest = below,
                _ => return None,
            }
        }
    }

    /// The value at `id`.
    pub fn value(&self, id: NodeId) -> &T {
        &self.node(id.0).value
    }

    /// The value at `id`; who empties it prunes the node afterwards.
    pub fn value_mut(&mut self, id: NodeId) -> &mut T {
        debug_assert_ne!(self.node(id.0).edges, VACANT, "stale node id");
        &mut self.node_mut(id.0).value
    }

    /// Removes the node and its ancestors as long as they are childless and without a value.
    pub fn prune(&mut self, id: NodeId) {
        let mut id = id.0;
        while id != ROOT {
            let node = self.node(id);
            debug_assert_ne!(node.edges, VACANT, "stale node id");
            if !node.value.is_empty() {
                return;
            }
            if !node.is_childless() {
                return self.join(id);
            }
            let parent = node.parent;
            self.unlink(id, parent);
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
            // it was a `str`
            out.push_str(std::str::from_utf8(self.node(at).levels.as_bytes()).unwrap_or_default());
        }
    }

    /// Visits every node that has a value and whose filter matches `topic`, each once
    /// (section 4.7).
    pub fn matches(&self, topic: TopicName<'_>, visit: &mut impl FnMut(NodeId, &T)) {
        let text = topic.as_str().as_bytes();
        let mut visit_value = |id: u32| {
            let value = &self.node(id).value;
            if !value.is_empty() {
                visit(NodeId(id), value);
            }
        };
        // One way is followed at once, those through `+` wait: at most one for each level.
        let mut waiting = Stack::new();
        let mut next = Some(Visit::default()); // the root
        while let Some(Visit { id, seen, at, hash }) = next.take().or_else(|| waiting.pop()) {
            let node = self.node(id);
            let at = match node.levels.follow(seen as usize, text, at as usize) {
                Way::On(at) => at,
                Way::End => {
                    visit_value(id);
                    continue;
                }
                Way::Nowhere => continue,
            };
            // only the root is met at 0
            let wildcards = at != 0 || !topic.is_dollar(); // [MQTT-4.7.2-1]
            if wildcards && node.hash != NONE {
                visit_value(node.hash); // before the end is looked at: "a/#" matches "a" too
            }
            let Some(rest) = text.get(at..) else {
                visit_value(id);
                continue;
            };
            let level = first(rest);
            let after = at + level.len() + 1;
            // Memory is what takes long: both ways' first look at it is under way before either
            // is followed.
            let hash = hash.or_else(|| self.look_ahead(id, level));
            if wildcards && node.plus != NONE {
                waiting.push(self.through_plus(node.plus, text, after));
            }
            next = self.literal_child(id, level, hash).map(|child| Visit {
                id: child,
                seen: level.len() as u32,
                at: after as u32,
                hash: None,
            });
        }
    }

    /// The way from a `+` node's parent, for a topic whose level behind the `+` begins at `at`.
    #[inline(always)]
    fn through_plus(&self, id: u32, topic: &[u8], at: usize) -> Visit {
        let levels = self.node(id).levels.as_bytes().len();
        // Where it stands for more levels, its children's is a later one.
        let rest = if levels == 1 { topic.get(at..) } else { None };
        let hash = rest.and_then(|rest| self.look_ahead(id, first(rest)));
        Visit { id, seen: 1, at: at as u32, hash }
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
        if !is_sparse(self.live, self.nodes.capacity()) {
            return;
        }
        let used = self.nodes.iter().rposition(|node| node.edges != VACANT).map_or(0, |at| at + 1);
        self.nodes.truncate(used);
        self.nodes.shrink_to_fit();
        // The list went through the places that are gone. Low numbers first: they are to be used.
        self.free = NONE;
        for at in (0..self.nodes.len()).rev() {
            if self.nodes[at].edges == VACANT {
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

    /// The child that begins with one level of a filter, or [`NONE`].
    fn child(&self, parent: u32, level: &[u8]) -> u32 {
        match level {
            b"+" => self.node(parent).plus,
            b"#" => self.node(parent).hash,
            _ => self.literal_child(parent, level, self.look_ahead(parent, level)).unwrap_or(NONE),
        }
    }

    /// What a node's child with this level is found by in the edge table, if its children are
    /// there. That place is read, and nobody waits for what it says.
    #[inline(always)]
    fn look_ahead(&self, parent: u32, level: &[u8]) -> Option<u32> {
        if self.node(parent).edges & MANY == 0 {
            return None;
        }
        let hash = edge_hash(&self.hasher, parent, level);
        self.edges.touch(hash);
        Some(hash)
    }

    /// A node's child with this level; `hash` is what `look_ahead` said.
    #[inline(always)]
    fn literal_child(&self, parent: u32, level: &[u8], hash: Option<u32>) -> Option<u32> {
        if let Some(hash) = hash {
            return self.edges.find(hash, |id| {
                let node = self.node(id);
                node.parent == parent && node.levels.begin_with(level)
            });
        }
        let only = self.node(parent).edges;
        (only != NO_EDGES && self.node(only).levels.begin_with(level)).then_some(only)
    }

    /// Makes the nodes for `rest` below one that has no child that begins so. Returns the last.
    fn add_path(&mut self, mut parent: u32, mut rest: &[u8]) -> u32 {
        loop {
            let len = fitting(rest);
            let id = self.allocate(Node::new(parent, Levels::new(&rest[..len])));
            self.link(id, parent);
            match rest.get(len + 1..) {
                Some(below) => (parent, rest) = (id, below),
                None => return id,
            }
        }
    }

    /// Makes a node for the first `len` bytes of a node's levels, which end there, and puts it in
    /// the place of that one, which comes below it. Returns the new one.
    fn split(&mut self, id: u32, len: usize) -> u32 {
        let node = self.node(id);
        let (parent, text) = (node.parent, node.levels.as_bytes());
        let (above, below) = (Levels::new(&text[..len]), Levels::new(&text[len + 1..]));
        let upper = self.allocate(Node::new(parent, above));
        self.put_in_place(id, upper);
        let node = self.node_mut(id);
        (node.levels, node.parent) = (below, upper);
        self.link(id, upper);
        // What is left of it may fit into one node with what is below, or above.
        if self.node(id).value.is_empty() {
            self.join(id);
        }
        if parent != ROOT && self.node(parent).value.is_empty() {
            self.join(parent);
        }
        upper
    }

    /// A node without a value gives way to its only child if the levels of both fit in one. (Which
    /// is the last of several that were in the edge table nobody knows: it stays.)
    fn join(&mut self, id: u32) {
        let node = self.node(id);
        let child = match (node.plus, node.hash, node.edges) {
            (NONE, NONE, NO_EDGES) => return,
            (NONE, NONE, only) if only & MANY == 0 => only,
            (plus, NONE, NO_EDGES) => plus,
            (NONE, hash, NO_EDGES) => hash,
            _ => return,
        };
        let Some(levels) = node.levels.joined(&self.node(child).levels) else { return };
        let parent = node.parent;
        self.put_in_place(id, child);
        self.release(id);
        let child = self.node_mut(child);
        (child.levels, child.parent) = (levels, parent);
    }

    /// Makes a node a child of `parent`.
    fn link(&mut self, id: u32, parent: u32) {
        match self.node(id).levels.first() {
            b"+" => self.node_mut(parent).plus = id,
            b"#" => self.node_mut(parent).hash = id,
            _ => {
                let edges = self.node(parent).edges;
                self.node_mut(parent).edges = match edges {
                    NO_EDGES => id,
                    only if only & MANY == 0 => {
                        self.edges.insert(self.hash_of(only), only);
                        self.edges.insert(self.hash_of(id), id);
                        MANY | 2
                    }
                    many => {
                        self.edges.insert(self.hash_of(id), id);
                        many + 1
                    }
                };
            }
        }
    }

    /// Puts `new` where its parent knows `id`; both begin with the same level.
    fn put_in_place(&mut self, id: u32, new: u32) {
        let hash = self.hash_of(id);
        let parent = self.node(id).parent;
        let up = self.node_mut(parent);
        if up.plus == id {
            up.plus = new;
        } else if up.hash == id {
            up.hash = new;
        } else if up.edges == id {
            up.edges = new;
        } else {
            self.edges.replace(hash, id, new);
        }
    }

    /// The hash by which a node is in the edge table.
    fn hash_of(&self, id: u32) -> u32 {
        let node = self.node(id);
        edge_hash(&self.hasher, node.parent, node.levels.first())
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

    /// Takes a node out of its parent.
    fn unlink(&mut self, id: u32, parent: u32) {
        let up = self.node_mut(parent);
        if up.plus == id {
            up.plus = NONE;
            return;
        }
        if up.hash == id {
            up.hash = NONE;
            return;
        }
        if up.edges == id {
            up.edges = NO_EDGES;
            return;
        }
        // The last one of several stays in the table: nobody knows which it is.
        up.edges = if up.edges == MANY | 1 { NO_EDGES } else { up.edges - 1 };
        self.edges.remove(self.hash_of(id), id);
    }

    /// Puts a node that was unlinked on the free list.
    fn release(&mut self, id: u32) {
        let free = mem::replace(&mut self.free, id);
        let node = self.node_mut(id);
        node.levels = Levels::EMPTY;
        node.value = T::default(); // an empty value may still hold capacity
        node.parent = free;
        node.edges = VACANT;
        self.live -= 1;
    }

    /// Panics when the tree is not what it should be between operations.
    pub fn check_invariants(&self) {
        let mut edges = vec![0; self.nodes.len()];
        let (mut live, mut literal) = (0, 0);
        for (id, node) in self.nodes.iter().enumerate() {
            if node.edges == VACANT {
                assert!(node.value.is_empty(), "free node {id} has a value");
                continue;
            }
            live += 1;
            if id as u32 == ROOT {
                assert!(node.value.is_empty(), "the root has a value");
                continue;
            }
            assert!(
                !node.is_childless() || !node.value.is_empty(),
                "leaf {id} has no value: it was not pruned, or not filled"
            );
            if self.check_link(id as u32) {
                edges[node.parent as usize] += 1;
                literal += 1;
            }
        }
        assert_eq!(live, self.live, "live nodes are miscounted");
        for (id, node) in self.nodes.iter().enumerate().filter(|(_, n)| n.edges != VACANT) {
            let count = match node.edges {
                NO_EDGES => 0,
                only if only & MANY == 0 => {
                    literal -= 1;
                    1
                }
                many => many - MANY,
            };
            assert_eq!(count, edges[id], "edges of node {id} are miscounted");
        }
        assert_eq!(literal, self.edges.len(), "the edge table has edges to nowhere");
        self.check_free_list();
        self.check_rooted();
    }

    /// Checks that a node's parent knows it; returns whether that is by the edge table.
    fn check_link(&self, id: u32) -> bool {
        let node = self.node(id);
        let parent = self.node(node.parent);
        assert_ne!(parent.edges, VACANT, "the parent of node {id} is free");
        let wildcard = parent.plus == id || parent.hash == id;
        let found = self.child(node.parent, node.levels.first());
        assert_eq!(found, id, "node {id} is not found from its parent");
        let text = node.levels.as_bytes();
        assert!(parent.hash != id || text == b"#", "'#' of node {} goes on", node.parent);
        let hash = text.iter().position(|&b| b == b'#');
        let leaf = node.is_childless() && hash == Some(text.len().saturating_sub(1));
        assert!(hash.is_none() || leaf, "node {id} has something behind a '#'");
        assert!(node.hash == NONE || self.node(node.hash).parent == id, "'#' of {id} is not its");
        assert!(node.plus == NONE || self.node(node.plus).parent == id, "'+' of {id} is not its");
        !wildcard
    }

    fn check_free_list(&self) {
        let (mut at, mut count) = (self.free, 0);
        while at != NONE {
            assert_eq!(self.node(at).edges, VACANT, "live node {at} is on the free list");
            count += 1;
            assert!(count <= self.nodes.len(), "the free list is a circle");
            at = self.node(at).parent;
        }
        assert_eq!(count + self.live, self.nodes.len(), "nodes are lost from the free list");
    }

    /// Checks that every node's ancestors end at the root.
    fn check_rooted(&self) {
        let mut rooted = vec![false; self.nodes.len()];
        rooted[ROOT as usize] = true;
        let mut path = Vec::new();
        for id in 0..self.nodes.len() as u32 {
            let mut at = id;
            while self.node(id).edges != VACANT && !rooted[at as usize] {
                path.push(at);
                assert!(path.len() <= self.live, "node {id} is its own ancestor");
                at = self.node(at).parent;
            }
            for at in path.drain(..) {
                rooted[at as usize] = true;
            }
        }
    }
}

fn edge_hash(hasher: &FixedState, parent: u32, level: &[u8]) -> u32 {
    let mut hasher = hasher.build_hasher();
    hasher.write_u32(parent);
    hasher.write(level);
    (hasher.finish() >> 32) as u32
}

/// Where a way through the tree has come to.
#[derive(Clone, Copy, Default)]
struct Visit {
    id: u32,
    /// how many bytes of the node's levels are known to match
    seen: u32,
    /// where in the topic the level behind those begins, beyond its end for none
    at: u32,
    /// what the child with that level is found by, if it was looked ahead for
    hash: Option<u32>,
}

/// The ways that wait while another is followed: on the machine's stack as long as they are few,
/// so that matching allocates nothing.
struct Stack {
    few: [Visit; STACK_FEW],
    few_len: usize,
    more: Vec<Visit>,
}

const STACK_FEW: usize = 12;

impl Stack {
    fn new() -> Self {
        Self { few: [Visit::default(); STACK_FEW], few_len: 0, more: Vec::new() }
    }

    fn push(&mut self, way: Visit) {
        match self.few.get_mut(self.few_len) {
            Some(slot) => {
                *slot = way;
                self.few_len += 1;
            }
            None => self.more.push(way),
        }
    }

    fn pop(&mut self) -> Option<Visit> {
        if let Some(way) = self.more.pop() {
            return Some(way);
        }
        self.few_len = self.few_len.checked_sub(1)?;
        Some(self.few[self.few_len])
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
    fn levels_behind_which_no_ways_part_share_a_node() {
        let mut tree = tree_of(&["a/b/c/d"]);
        assert_eq!(tree.node_count(), 1);
        for (more, count) in [
            ("a/b/c/d", 1),
            ("a/b/c/e", 3), // a/b/c, d, e
            ("a/b", 4),     // a/b, c
            ("a/+/c", 6),   // a, +/c
            ("a/+/#", 8),   // +, #
            ("x/#", 9),
            ("x", 10),
            ("x/a level that is long/y/z", 12),
            ("/", 13),
            ("//", 14),
            ("/+", 16), // an empty level, and below it another and the +
        ] {
            let id = tree.insert(filter(more));
            tree.value_mut(id).0 = true;
            tree.check_invariants();
            assert_eq!(tree.node_count(), count, "with {more}");
            assert_eq!(tree.find(filter(more)), Some(id));
        }
        assert_eq!(tree.find(filter("x/a level that is long/y")), None, "no filter ends there");
        assert_eq!(tree.find(filter("x/a level that is long/y/z/#")), None);
        assert_eq!(matched(&tree, "a/b/c/d"), ["a/+/#", "a/b/c/d"]);
        assert_eq!(matched(&tree, "a/b/c"), ["a/+/#", "a/+/c"]);
        assert_eq!(matched(&tree, "a/b"), ["a/+/#", "a/b"]);
        assert_eq!(matched(&tree, "//"), ["//"]);
    }

    #[test]
    fn prune_takes_what_nobody_needs() {
        let mut tree = tree_of(&["a/b/c/d", "a/b"]);
        let (long, short) = (tree.find(filter("a/b/c/d")), tree.find(filter("a/b")));
        tree.prune(long.unwrap());
        assert_eq!(tree.node_count(), 2, "a value keeps its node");
        tree.value_mut(short.unwrap()).0 = false;
        tree.prune(short.unwrap());
        assert_eq!(tree.node_count(), 1, "what is left needs one node");
        assert_eq!(tree.find(filter("a/b/c/d")), long, "and has the same");
        tree.check_invariants();
        tree.value_mut(long.unwrap()).0 = false;
        tree.prune(long.unwrap());
        assert_eq!(tree.node_count(), 0);
        tree.check_invariants();
        assert_eq!(tree.find(filter("a")), None);
        let arena = tree.nodes.len();
        tree.insert(filter("x/+/#"));
        assert_eq!(tree.nodes.len(), arena, "freed nodes are reused");
    }

    /// Whatever parts, and in which way: what is left joins where it fits, and is found.
    #[test]
    fn what_was_parted_joins_again() {
        for (stays, goes) in [
            ("a/b/c", "a/b/#"),
            ("a/b/#", "a/b/c"),
            ("a/+/c", "a/+/+"),
            ("a/b/c", "a/x"),
            ("1234567/1234567", "1234567/x"),
            ("a/a level that is long/c", "a/a level that is long/+"),
        ] {
            let mut tree = tree_of(&[stays]);
            let alone = tree.node_count();
            let (stay, go) = (tree.find(filter(stays)).unwrap(), tree.insert(filter(goes)));
            tree.value_mut(go).0 = true;
            tree.check_invariants();
            tree.value_mut(go).0 = false;
            tree.prune(go);
            tree.check_invariants();
            assert_eq!(tree.find(filter(stays)), Some(stay), "{stays} and {goes}");
            // Two literal ways were in the edge table, which does not say which one stayed.
            let both_literal = !goes.ends_with(['+', '#']) && !stays.ends_with('#');
            let more = usize::from(both_literal && alone == 1);
            assert_eq!(tree.node_count(), alone + more, "{stays} and {goes}");
        }
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
        assert_eq!(size_of::<Node<Flag>>(), 40);
    }
}
