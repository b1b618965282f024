//! The levels of all filters, each once, by numbers: so that a walk through the filter tree compares
//! numbers, and a topic's level is compared with text once, and not on every way.
//!
//! May use `shrink`, `subscriptions` (`make_room`). The hash seed is an argument and should be
//! random, else clients could choose levels that collide. Invariant: a level has a number for as
//! long as there are uses of it, and no two levels have the same.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use slab::Slab;

use super::edges::LEVEL_LIMIT;
use super::shrink::{is_sparse, shrink_slab};
use super::subscriptions::make_room;

/// The number of no level.
pub(super) const UNKNOWN: u32 = 0;
pub(super) const PLUS: u32 = 1;
pub(super) const HASH: u32 = 2;
const FIRST: u32 = 3;

/// The longest level that is in its words whole.
const SHORT_BYTES_MAX: usize = 15;

/// A level's text as two words, so that two of them are compared without a loop: the text in order
/// of memory, zeros behind it, and in the last byte its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Words(u64, u64);

impl Words {
    /// Those of a text that is short.
    fn new(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; 16];
        bytes[..SHORT_BYTES_MAX].get_mut(..text.len())?.copy_from_slice(text);
        bytes[SHORT_BYTES_MAX] = text.len() as u8;
        let bytes = u128::from_le_bytes(bytes);
        Some(Self(bytes as u64, (bytes >> 64) as u64))
    }

    /// Those of the level that 16 bytes begin with, and its length, if a slash ends it there.
    #[inline(always)]
    pub(super) fn before_slash(bytes: u128) -> Option<(Self, usize)> {
        let (first, second) = (bytes as u64, (bytes >> 64) as u64);
        let in_first = slashes(first);
        if in_first != 0 {
            let len = in_first.trailing_zeros() / 8;
            return Some((Self(first & low_bytes(len), u64::from(len) << 56), len as usize));
        }
        let in_second = slashes(second);
        if in_second == 0 {
            return None;
        }
        let len = in_second.trailing_zeros() / 8;
        let second = second & low_bytes(len) | u64::from(8 + len) << 56;
        Some((Self(first, second), 8 + len as usize))
    }
}

/// Eight bytes, of which the first that is not zero is where the first slash is.
#[inline(always)]
fn slashes(bytes: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zero = bytes ^ (ONES * b'/' as u64);
    zero.wrapping_sub(ONES) & !zero & (ONES << 7)
}

/// The lowest of eight bytes, less than eight of them.
#[inline(always)]
fn low_bytes(count: u32) -> u64 {
    (1 << (8 * count)) - 1
}

enum Text {
    Short(Words),
    Long(Box<[u8]>),
}

struct Level {
    text: Text,
    uses: u32,
}

/// The levels.
pub(super) struct Levels {
    numbers: HashTable<u32>,
    levels: Slab<Level>,
    hasher: FixedState,
    seeds: (u64, u64),
}

#[inline(always)]
pub(super) fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl Levels {
    pub(super) fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        let seeds = (hasher.hash_one(1), hasher.hash_one(2));
        Self { numbers: HashTable::new(), levels: Slab::new(), hasher, seeds }
    }

    /// The number of a filter's level, [`UNKNOWN`] if it has none.
    pub(super) fn find(&self, level: &str) -> u32 {
        match level {
            "+" => PLUS,
            "#" => HASH,
            _ => self.find_text(level.as_bytes()),
        }
    }

    /// The number of a text.
    pub(super) fn find_text(&self, text: &[u8]) -> u32 {
        match Words::new(text) {
            Some(words) => self.find_words(words),
            None => {
                let is_it = |n: &u32| match self.level(*n).map(|level| &level.text) {
                    Some(Text::Long(other)) => **other == *text,
                    _ => false,
                };
                self.numbers.find(self.hash_long(text), is_it).copied().unwrap_or(UNKNOWN)
            }
        }
    }

    /// The number of a short text.
    #[inline(always)]
    pub(super) fn find_words(&self, words: Words) -> u32 {
        let is_it = |n: &u32| match self.level(*n).map(|level| &level.text) {
            Some(Text::Short(other)) => other.0 == words.0 && other.1 == words.1,
            _ => false,
        };
        self.numbers.find(self.hash_short(words), is_it).copied().unwrap_or(UNKNOWN)
    }

    /// The number of a filter's level, with one more use.
    pub(super) fn hold(&mut self, level: &str) -> u32 {
        let known = self.find(level);
        if known != UNKNOWN {
            if let Some(level) = self.levels.get_mut((known.wrapping_sub(FIRST)) as usize) {
                level.uses += 1;
            }
            return known;
        }
        let bytes = level.as_bytes();
        let text = Words::new(bytes).map_or_else(|| Text::Long(bytes.into()), Text::Short);
        let hash = self.hash(&text);
        make_room(&mut self.levels);
        let number = self.levels.insert(Level { text, uses: 1 }) as u32 + FIRST;
        debug_assert!(number < LEVEL_LIMIT, "so many take more memory than there is");
        let mut numbers = std::mem::take(&mut self.numbers);
        numbers.insert_unique(hash, number, |n| self.hash_of(*n));
        self.numbers = numbers;
        number
    }

    /// One use less.
    pub(super) fn release(&mut self, number: u32) {
        let at = number.wrapping_sub(FIRST) as usize;
        let Some(level) = self.levels.get_mut(at) else { return };
        level.uses -= 1;
        if level.uses > 0 {
            return;
        }
        let hash = self.hash_of(number);
        if let Ok(found) = self.numbers.find_entry(hash, |n| *n == number) {
            found.remove();
        }
        self.levels.remove(at);
    }

    /// Appends a level's text.
    pub(super) fn text(&self, number: u32, out: &mut String) {
        let bytes;
        let text = match (number, self.level(number).map(|level| &level.text)) {
            (PLUS, _) => b"+",
            (HASH, _) => b"#",
            (_, Some(Text::Long(text))) => &text[..],
            (_, Some(Text::Short(words))) => {
                bytes = (u128::from(words.0) | u128::from(words.1) << 64).to_le_bytes();
                &bytes[..usize::from(bytes[SHORT_BYTES_MAX]).min(SHORT_BYTES_MAX)]
            }
            (_, None) => b"",
        };
        out.push_str(std::str::from_utf8(text).unwrap_or_default()); // it was a `str`
    }

    /// Gives memory back, if most is empty.
    pub(super) fn shrink(&mut self) {
        shrink_slab(&mut self.levels);
        if is_sparse(self.numbers.len(), self.numbers.capacity()) {
            let mut numbers = std::mem::take(&mut self.numbers);
            numbers.shrink_to_fit(|n| self.hash_of(*n));
            self.numbers = numbers;
        }
    }

    #[inline(always)]
    fn level(&self, number: u32) -> Option<&Level> {
        self.levels.get(number.wrapping_sub(FIRST) as usize)
    }

    fn hash_of(&self, number: u32) -> u64 {
        self.level(number).map_or(0, |level| self.hash(&level.text))
    }

    fn hash(&self, text: &Text) -> u64 {
        match text {
            Text::Short(words) => self.hash_short(*words),
            Text::Long(text) => self.hash_long(text),
        }
    }

    #[inline(always)]
    fn hash_short(&self, words: Words) -> u64 {
        fold(words.0 ^ self.seeds.0, words.1 ^ self.seeds.1)
    }

    fn hash_long(&self, text: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(text);
        hasher.finish()
    }

    /// Panics when a level is not used as often as `uses` says, or is not found.
    pub(super) fn check_invariants(&self, uses: &std::collections::BTreeMap<u32, u32>) {
        assert_eq!(self.numbers.len(), self.levels.len(), "levels without a number");
        for (at, level) in &self.levels {
            let number = at as u32 + FIRST;
            assert_eq!(uses.get(&number), Some(&level.uses), "the uses of level {number}");
            let mut text = String::new();
            self.text(number, &mut text);
            assert_eq!(self.find(&text), number, "level {text:?} is not found");
        }
        let literal = uses.range(FIRST..).count();
        assert_eq!(literal, self.levels.len(), "nodes have levels that there are not");
    }
}
