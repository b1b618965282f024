//! Keys with generations, and the arenas they belong to.
//!
//! Commits, receipts, read-backs and timers come late, for links that are gone and slots that are
//! reused. Invariant: a key that outlived what it named finds nothing.

use std::fmt;
use std::marker::PhantomData;

use slab::Slab;

use super::shrink::shrink_slab;

/// Names a `T` in an arena; two values never have the same key.
pub struct Key<T> {
    index: u32,
    generation: u32,
    of: PhantomData<fn(&T)>,
}

impl<T> Key<T> {
    /// A key whose slot its maker manages: the server's connections, whose slots the links share.
    pub fn new(index: u32, generation: u32) -> Self {
        Self { index, generation, of: PhantomData }
    }

    /// The slot.
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// Which of the slot's occupants.
    pub fn generation(self) -> u32 {
        self.generation
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Key<T> {}
impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.index, self.generation) == (other.index, other.generation)
    }
}
impl<T> Eq for Key<T> {}
impl<T> Ord for Key<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.index, self.generation).cmp(&(other.index, other.generation))
    }
}
impl<T> PartialOrd for Key<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// A slab whose keys carry a generation.
#[derive(Debug)]
pub struct Arena<T> {
    slots: Slab<(u32, T)>,
    next_generation: u32,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { slots: Slab::new(), next_generation: 0 }
    }
}

impl<T> Arena<T> {
    /// Puts `value` in and returns its key.
    pub fn insert(&mut self, value: T) -> Key<T> {
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        Key::new(self.slots.insert((generation, value)) as u32, generation)
    }

    /// What `key` names, if it is still there.
    pub fn get(&self, key: Key<T>) -> Option<&T> {
        match self.slots.get(key.index()) {
            Some((generation, value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// What is in the slot `index` now, and its key.
    pub fn at(&self, index: usize) -> Option<(Key<T>, &T)> {
        let (generation, value) = self.slots.get(index)?;
        Some((Key::new(index as u32, *generation), value))
    }

    /// What `key` names, if it is still there.
    pub fn get_mut(&mut self, key: Key<T>) -> Option<&mut T> {
        match self.slots.get_mut(key.index()) {
            Some((generation, value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// Takes out what `key` names, if it is still there.
    pub fn remove(&mut self, key: Key<T>) -> Option<T> {
        self.get(key)?;
        Some(self.slots.remove(key.index()).1)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// All of them, in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (Key<T>, &T)> {
        self.slots.iter().map(|(i, (generation, value))| (Key::new(i as u32, *generation), value))
    }

    /// Gives the slots behind the last one in use back, if most are empty. The next occupants get
    /// generations that none had before.
    pub(super) fn shrink(&mut self) {
        shrink_slab(&mut self.slots);
    }

    /// How many there is room for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// The occupied slot at or after `index`, and the value there: for sweeps that go round in
    /// portions.
    pub fn next_from(&self, index: usize) -> Option<(Key<T>, &T)> {
        (index..self.slots.capacity().min(u32::MAX as usize)).find_map(|i| {
            self.slots.get(i).map(|(generation, value)| (Key::new(i as u32, *generation), value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_keys_find_nothing() {
        let mut arena = Arena::default();
        let a = arena.insert("a");
        assert_eq!(arena.remove(a), Some("a"));
        let b = arena.insert("b");
        assert_eq!((a.index(), b.index()), (0, 0));
        assert_eq!(arena.get(a), None);
        assert_eq!(arena.get_mut(a), None);
        assert_eq!(arena.remove(a), None);
        assert_eq!(arena.get(b), Some(&"b"));
        assert_eq!(arena.next_from(0).map(|(k, _)| k), Some(b));
        assert_eq!(arena.next_from(1).map(|(k, _)| k), None);
        assert_eq!(format!("{a:?} {b:?}"), "0.0 0.1");
    }
}
