//! Hashes of paths in the filter tree: of the levels from the root to a node.
//!
//! May use `levels`. The seed is an argument and should be random, else clients could choose
//! filters that collide. Invariant: what a path's hash is depends on the seed and the numbers of
//! its levels alone.

use std::hash::BuildHasher;

use foldhash::quality::FixedState;

use super::levels::fold;

/// The hash of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Path(u64);

/// The bit of a path that says that its last level is a wildcard.
const IS_WILDCARD: u64 = 1;

impl Path {
    /// What the table of edges knows of it.
    #[inline(always)]
    pub(super) fn hash(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[cfg(test)]
    fn cut(self, bits: u32) -> Self {
        Self(self.0 & (u64::from(bits) << 32 | u64::from(u32::MAX)))
    }
}

/// What hashes them.
pub(super) struct Paths {
    root: Path,
    spread: u64,
    factor: u64,
    /// cut shorter by tests, so that paths collide
    #[cfg(test)]
    pub(super) hash_bits: u32,
}

impl Paths {
    pub(super) fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self {
            root: Path(hasher.hash_one(3) & !IS_WILDCARD),
            spread: hasher.hash_one(4) | 1,
            factor: hasher.hash_one(5) | 1,
            #[cfg(test)]
            hash_bits: u32::MAX,
        }
    }

    pub(super) fn root(&self) -> Path {
        self.root
    }

    /// The path that goes one level further.
    #[inline(always)]
    pub(super) fn child(&self, path: Path, level: u32) -> Path {
        let level = u64::from(level).wrapping_mul(self.spread);
        let path = Path(fold(path.0 ^ level, self.factor) & !IS_WILDCARD);
        #[cfg(test)]
        let path = path.cut(self.hash_bits);
        path
    }

    /// The same for a wildcard. In the table it stands where its parent does, and who has looked
    /// for that has its line of memory. Below a wildcard it does not: else all of `+/+/+/…` would
    /// stand in one place.
    #[inline(always)]
    pub(super) fn wildcard(&self, path: Path, level: u32) -> Path {
        let far = self.child(path, level);
        let low = u64::from(u32::MAX);
        let near = Path(path.0 & !low | far.0 & low);
        Path(if path.0 & IS_WILDCARD == 0 { near.0 } else { far.0 } | IS_WILDCARD)
    }
}
