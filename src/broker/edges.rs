//! A table of numbers by hashes of 32 bits, for the filter tree: the nodes that are reached by
//! their parent and level.
//!
//! May use nothing. Each slot holds a number with its hash, and slots follow each other (linear
//! probing): so a look-up mostly touches one cache line, and growing touches the table alone, in
//! order, and not what the numbers name. It grows by a quarter: a table of millions that doubles
//! is half empty.
//!
//! Invariant: between a number's slot and its hash's home there is no free slot; at least a fifth
//! of the slots is free.

/// A number that is never in it: the slot is free.
const FREE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Slot {
    hash: u32,
    id: u32,
}

const FREE_SLOT: Slot = Slot { hash: 0, id: FREE };

/// The smallest table that is not empty.
const SLOTS_MIN: usize = 8;

/// The table.
#[derive(Default)]
pub(super) struct Edges {
    slots: Vec<Slot>,
    len: usize,
}

/// Where a hash belongs in a table of so many slots: higher hashes later, so that a table is
/// copied into a larger one in order.
fn home(hash: u32, slots: usize) -> usize {
    ((u64::from(hash) * slots as u64) >> 32) as usize
}

impl Edges {
    /// How many numbers there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 < self.slots.len() { at + 1 } else { 0 }
    }

    /// Reads where a hash belongs, so that a look-up that follows finds that memory at hand.
    #[inline]
    pub(super) fn touch(&self, hash: u32) {
        let slot = self.slots.get(home(hash, self.slots.len()));
        std::hint::black_box(slot.map_or(FREE, |slot| slot.id));
    }

    /// The number with this hash that `is_it`.
    pub(super) fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = home(hash, self.slots.len());
        loop {
            let slot = self.slots.get(at)?;
            if slot.id == FREE {
                return None;
            }
            if slot.hash == hash && is_it(slot.id) {
                return Some(slot.id);
            }
            at = self.after(at);
        }
    }

    /// Adds a number that is not in it.
    pub(super) fn insert(&mut self, hash: u32, id: u32) {
        debug_assert_ne!(id, FREE, "no node has this number");
        if (self.len + 1) * 5 > self.slots.len() * 4 {
            self.resize((self.slots.len() + self.slots.len() / 4).max(SLOTS_MIN));
        }
        self.put(Slot { hash, id });
        self.len += 1;
    }

    fn put(&mut self, slot: Slot) {
        let mut at = home(slot.hash, self.slots.len());
        while self.slots[at].id != FREE {
            at = self.after(at);
        }
        self.slots[at] = slot;
    }

    /// Puts a number in the place of another with the same hash.
    pub(super) fn replace(&mut self, hash: u32, id: u32, new: u32) {
        let mut at = home(hash, self.slots.len());
        while let Some(slot) = self.slots.get_mut(at).filter(|slot| slot.id != FREE) {
            if slot.id == id {
                slot.id = new;
                return;
            }
            at = self.after(at);
        }
    }

    /// Takes a number out.
    pub(super) fn remove(&mut self, hash: u32, id: u32) {
        let slots = self.slots.len();
        let mut hole = home(hash, slots);
        while self.slots.get(hole).is_some_and(|slot| slot.id != id) {
            if self.slots[hole].id == FREE {
                return;
            }
            hole = self.after(hole);
        }
        if hole >= slots {
            return;
        }
        // Those behind it move up, but none before its home.
        let steps = |from: usize, to: usize| if from <= to { to - from } else { to + slots - from };
        let mut at = self.after(hole);
        while self.slots[at].id != FREE {
            if steps(home(self.slots[at].hash, slots), at) >= steps(hole, at) {
                self.slots[hole] = self.slots[at];
                hole = at;
            }
            at = self.after(at);
        }
        self.slots[hole] = FREE_SLOT;
        self.len -= 1;
        // At a quarter: inserts and removals in turn do not make it grow and shrink.
        if slots > SLOTS_MIN && self.len * 4 < slots {
            self.resize((self.len * 2).max(SLOTS_MIN));
        }
    }

    fn resize(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![FREE_SLOT; slots]);
        old.into_iter().filter(|slot| slot.id != FREE).for_each(|slot| self.put(slot));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_finds_what_was_put_in_and_not_taken_out() {
        // Few hashes, many at the end: long runs, which go round.
        for spread in [1_u32, 1 << 16, 0x0FFF_FFFF] {
            let hash = |id: u32| u32::MAX - (id.wrapping_mul(0x9E37_79B9) % spread.max(1));
            let (mut edges, mut model) = (Edges::default(), BTreeSet::new());
            let mut draw = 7_u32;
            for step in 0..4_000 {
                draw = draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let id = draw >> 16 & 0x1FF;
                let grows = step < 2_000 || draw & 1 == 0;
                match model.contains(&id) {
                    false if grows => {
                        edges.insert(hash(id), id);
                        model.insert(id);
                    }
                    _ => {
                        edges.remove(hash(id), id);
                        model.remove(&id);
                    }
                }
                let other = draw >> 4 & 0x1FF;
                let found = edges.find(hash(other), |found| found == other);
                assert_eq!(found.is_some(), model.contains(&other), "{other} at step {step}");
                assert_eq!(edges.len(), model.len());
                assert!(edges.len() * 5 <= edges.slots.len() * 4, "it is too full");
            }
            for &id in &model {
                let new = id + 0x200;
                edges.replace(hash(id), id, new);
                assert_eq!(edges.find(hash(id), |found| found == id), None);
                assert_eq!(edges.find(hash(id), |found| found == new), Some(new));
                edges.remove(hash(id), new);
            }
            assert_eq!((edges.len(), edges.slots.len()), (0, SLOTS_MIN), "it is small again");
        }
    }

    #[test]
    fn a_table_is_never_half_empty_for_having_grown() {
        let mut edges = Edges::default();
        for id in 0..100_000_u32 {
            edges.insert(id.wrapping_mul(0x9E37_79B9), id);
            assert!(edges.slots.len() <= edges.len() * 8 / 5 + SLOTS_MIN);
        }
    }
}
