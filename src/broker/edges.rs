//! The table of the filter tree's edges: which node a level leads to from another one.
//!
//! May use nothing. Where an edge stands follows from a hash that the tree makes of the whole path,
//! so a walk begins to read for a level before it knows what the level above has led to. A slot
//! says all that a walk asks: where the edge comes from, by which level, where it leads, and which
//! kinds of edges go on from there. A bucket is a line of memory, and all of its slots are compared
//! without a branch: a processor that has to guess where a search ends guesses wrong, and then
//! waits for the memory before it goes on. It grows by an eighth: a table of millions that doubles
//! is half empty. Hashes are not kept here; who keeps them says them again (`hash_of`) where edges
//! move.
//!
//! Invariant: the slots that are in use are the first of their bucket; an edge stands in its hash's
//! home bucket or behind it, and then all buckets between are full; at least a third of the slots
//! is free.

use std::mem;

/// Slots of a bucket.
const SLOTS: usize = 5;

/// So many buckets are moved at a time.
const RESIZE_BUCKETS: usize = 16;

/// Levels are lower than this: the bits above say which edges go on.
pub(super) const LEVEL_LIMIT: u32 = 1 << 29;
/// A node has a child by `+`, by `#`, by any other level.
pub(super) const HAS_PLUS: u32 = 1 << 29;
pub(super) const HAS_HASH: u32 = 1 << 30;
pub(super) const HAS_LITERAL: u32 = 1 << 31;
const LEVEL: u32 = LEVEL_LIMIT - 1;

/// The number of no node: the slot is free.
const FREE: u32 = u32::MAX;

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Bucket {
    /// with the flags of where the edge leads
    levels: [u32; SLOTS],
    parents: [u32; SLOTS],
    ids: [u32; SLOTS],
}

const EMPTY: Bucket = Bucket { levels: [0; SLOTS], parents: [FREE; SLOTS], ids: [FREE; SLOTS] };

impl Bucket {
    fn is_full(&self) -> bool {
        self.ids[SLOTS - 1] != FREE
    }

    fn len(&self) -> usize {
        self.ids.iter().map(|id| usize::from(*id != FREE)).sum() // nothing to guess, see above
    }

    fn take(&mut self, slot: usize) -> (u32, u32, u32) {
        let last = self.len() - 1;
        let taken = (self.levels[slot], self.parents[slot], self.ids[slot]);
        self.put(slot, (self.levels[last], self.parents[last], self.ids[last]));
        self.put(last, (0, FREE, FREE));
        taken
    }

    fn put(&mut self, slot: usize, edge: (u32, u32, u32)) {
        (self.levels[slot], self.parents[slot], self.ids[slot]) = edge;
    }
}

/// Where an edge leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) id: u32,
    /// which edges go on: [`HAS_PLUS`], [`HAS_HASH`], [`HAS_LITERAL`]
    pub(super) flags: u32,
}

/// The table.
#[derive(Default)]
pub(super) struct Edges {
    buckets: Vec<Bucket>,
    len: usize,
}

impl Edges {
    /// How many edges there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Where `level` leads from `parent`; `hash` is that of the path.
    #[inline(always)]
    pub(super) fn find(&self, hash: u32, parent: u32, level: u32) -> Option<Edge> {
        let (at, slot) = self.place(hash, parent, level)?;
        let bucket = &self.buckets[at];
        Some(Edge { id: bucket.ids[slot], flags: bucket.levels[slot] & !LEVEL })
    }

    /// Says which edges go on from there.
    pub(super) fn set_flags(&mut self, hash: u32, parent: u32, level: u32, flags: u32) {
        if let Some((at, slot)) = self.place(hash, parent, level) {
            self.buckets[at].levels[slot] = level | flags;
        }
    }

    /// Adds an edge that is not in it, from which none go on.
    pub(super) fn insert(
        &mut self,
        hash: u32,
        (parent, level, id): (u32, u32, u32),
        hash_of: impl Fn(u32) -> u32,
    ) {
        debug_assert_ne!(id, FREE, "no node has this number");
        if (self.len + 1) * 3 > self.buckets.len() * SLOTS * 2 {
            self.resize(self.buckets.len() + self.buckets.len() / 8 + 2, hash_of);
        }
        self.put(hash, (level, parent, id));
        self.len += 1;
    }

    /// Takes an edge out.
    pub(super) fn remove(
        &mut self,
        hash: u32,
        (parent, level): (u32, u32),
        hash_of: impl Fn(u32) -> u32,
    ) {
        let Some((mut hole, slot)) = self.place(hash, parent, level) else { return };
        let mut was_full = self.buckets[hole].is_full();
        self.buckets[hole].take(slot);
        self.len -= 1;
        // Those behind it move up, but none before its home.
        let mut at = hole;
        while was_full {
            at = self.after(at);
            let bucket = &self.buckets[at];
            was_full = bucket.is_full();
            let distance = self.steps(hole, at);
            let moves = bucket.ids[..bucket.len()]
                .iter()
                .position(|&id| self.steps(self.home(hash_of(id)), at) >= distance);
            if let Some(slot) = moves {
                let edge = self.buckets[at].take(slot);
                self.buckets[hole].put(SLOTS - 1, edge);
                hole = at;
            }
        }
        // At a quarter: inserts and removals in turn do not make it grow and shrink.
        if self.buckets.len() > 2 && self.len * 4 < self.buckets.len() * SLOTS {
            self.resize((self.len * 2).div_ceil(SLOTS) + 1, hash_of);
        }
    }

    /// The bucket and the slot of an edge.
    #[inline(always)]
    fn place(&self, hash: u32, parent: u32, level: u32) -> Option<(usize, usize)> {
        let mut at = self.home(hash);
        loop {
            let bucket = self.buckets.get(at)?;
            let mut found = 1_u32 << SLOTS;
            for slot in 0..SLOTS {
                let is_it = bucket.parents[slot] == parent && bucket.levels[slot] & LEVEL == level;
                found |= u32::from(is_it) << slot;
            }
            let slot = found.trailing_zeros() as usize;
            if slot < SLOTS {
                return Some((at, slot));
            }
            if !bucket.is_full() {
                return None;
            }
            at = self.after(at);
        }
    }

    /// Where a hash belongs: higher ones later.
    #[inline(always)]
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.buckets.len() as u64) >> 32) as usize
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 < self.buckets.len() { at + 1 } else { 0 }
    }

    fn steps(&self, from: usize, to: usize) -> usize {
        if from <= to { to - from } else { to + self.buckets.len() - from }
    }

    fn put(&mut self, hash: u32, edge: (u32, u32, u32)) {
        let mut at = self.home(hash);
        while self.buckets[at].is_full() {
            at = self.after(at);
        }
        let bucket = &mut self.buckets[at];
        bucket.put(bucket.len(), edge);
    }

    fn resize(&mut self, buckets: usize, hash_of: impl Fn(u32) -> u32) {
        let old = mem::replace(&mut self.buckets, vec![EMPTY; buckets]);
        // Who keeps the hashes keeps them all over the memory. They are asked for many at a time,
        // so that the reads do not wait for each other.
        for some in old.chunks(RESIZE_BUCKETS) {
            let mut hashes = [[0; SLOTS]; RESIZE_BUCKETS];
            for (hashes, bucket) in hashes.iter_mut().zip(some) {
                for (hash, &id) in hashes.iter_mut().zip(&bucket.ids) {
                    *hash = if id == FREE { 0 } else { hash_of(id) };
                }
            }
            for (hashes, bucket) in hashes.iter().zip(some) {
                for (slot, &hash) in hashes.iter().enumerate().take(bucket.len()) {
                    let edge = (bucket.levels[slot], bucket.parents[slot], bucket.ids[slot]);
                    self.put(hash, edge);
                }
            }
        }
    }

    /// Panics when the table is not what it should be.
    pub(super) fn check_invariants(&self, hash_of: impl Fn(u32) -> u32) {
        let mut count = 0;
        for (at, bucket) in self.buckets.iter().enumerate() {
            assert!(bucket.ids[bucket.len()..].iter().all(|id| *id == FREE), "a gap in {at}");
            for &id in &bucket.ids[..bucket.len()] {
                let mut way = self.home(hash_of(id));
                while way != at {
                    assert!(self.buckets[way].is_full(), "{id} is not found beyond bucket {way}");
                    way = self.after(way);
                }
                count += 1;
            }
        }
        assert_eq!(count, self.len, "the edges are miscounted");
        assert!(self.len * 3 <= self.buckets.len() * SLOTS * 2, "it is too full");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_finds_what_was_put_in_and_not_taken_out() {
        // Few hashes, many at the end: long runs, which go round.
        for spread in [1_u32, 3, 1 << 16, 0x0FFF_FFFF] {
            let hash = |id: u32| u32::MAX - (id.wrapping_mul(0x9E37_79B9) % spread);
            let (mut edges, mut model) = (Edges::default(), BTreeMap::new());
            let mut draw = 7_u32;
            for step in 0..4_000 {
                draw = draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let id = draw >> 16 & 0x1FF;
                // Levels and parents alone are the same for several.
                let (parent, level) = (id / 16, id % 16);
                let grows = step < 2_000 || draw & 1 == 0;
                match model.contains_key(&id) {
                    false if grows => {
                        edges.insert(hash(id), (parent, level, id), hash);
                        model.insert(id, 0);
                    }
                    true if draw & 2 == 0 => {
                        edges.set_flags(hash(id), parent, level, HAS_PLUS | HAS_LITERAL);
                        model.insert(id, HAS_PLUS | HAS_LITERAL);
                    }
                    _ => {
                        edges.remove(hash(id), (parent, level), hash);
                        model.remove(&id);
                    }
                }
                let other = draw >> 4 & 0x1FF;
                let found = edges.find(hash(other), other / 16, other % 16);
                let expected = model.get(&other).map(|&flags| Edge { id: other, flags });
                assert_eq!(found, expected, "{other} at step {step}");
                assert_eq!(edges.len(), model.len());
                edges.check_invariants(hash);
            }
            for &id in model.keys() {
                edges.remove(hash(id), (id / 16, id % 16), hash);
            }
            assert!(edges.len() == 0 && edges.buckets.len() <= 2, "it is small again");
        }
    }

    #[test]
    fn a_table_is_never_half_empty_for_having_grown() {
        let (mut edges, hash) = (Edges::default(), |id: u32| id.wrapping_mul(0x9E37_79B9));
        for id in 0..100_000_u32 {
            edges.insert(hash(id), (id, 3, id), hash);
            assert!(edges.buckets.len() * SLOTS <= edges.len() * 7 / 4 + 2 * SLOTS);
        }
    }
}
