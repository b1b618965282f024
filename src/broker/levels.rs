//! The levels of all filters, each once, by numbers: so that a walk through the filter tree
//! compares numbers, and a topic's level is compared with text once, and not on every way.
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

/// The last byte of the words of a long level, and of a number that no level has: no short text
/// has this length. The first word is the place of the text, or the next free number.
const LONG: u64 = u64::MAX;
const FREE: u64 = u64::MAX - 1;

/// The levels.
pub(super) struct Levels {
    numbers: HashTable<u32>,
    /// by their numbers
    words: Vec<Words>,
    /// how often each is used
    uses: Vec<u32>,
    /// the first number that is free, [`UNKNOWN`] if none
    free: u32,
    /// of long levels
    texts: Slab<Box<[u8]>>,
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
        Self {
            numbers: HashTable::new(),
            words: vec![Words(0, FREE); FIRST as usize],
            uses: vec![0; FIRST as usize],
            free: UNKNOWN,
            texts: Slab::new(),
            hasher,
            seeds,
        }
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
                let is_it = |n: &u32| self.long(*n).is_some_and(|other| other == text);
                self.numbers.find(self.hash_long(text), is_it).copied().unwrap_or(UNKNOWN)
            }
        }
    }

    /// The number of a short text.
    #[inline(always)]
    pub(super) fn find_words(&self, words: Words) -> u32 {
        let is_it =
            |n: &u32| self.words.get(*n as usize).is_some_and(|w| w.0 == words.0 && w.1 == words.1);
        self.numbers.find(self.hash_short(words), is_it).copied().unwrap_or(UNKNOWN)
    }

    /// The number of a filter's level, with one more use.
    pub(super) fn hold(&mut self, level: &str) -> u32 {
        let mut number = self.find(level);
        if number == UNKNOWN {
            number = self.add(level.as_bytes());
        }
        self.uses[number as usize] += 1;
        number
    }

    fn add(&mut self, text: &[u8]) -> u32 {
        let words = Words::new(text).unwrap_or_else(|| {
            make_room(&mut self.texts);
            Words(self.texts.insert(text.into()) as u64, LONG)
        });
        let mut number = self.free;
        if number == UNKNOWN {
            number = self.words.len() as u32;
            debug_assert!(number < LEVEL_LIMIT, "so many take more memory than there is");
            if self.words.len() == self.words.capacity() {
                // By an eighth: a table of a million that doubles is half empty.
                self.words.reserve_exact(self.words.len() / 8 + 8);
                self.uses.reserve_exact(self.words.len() / 8 + 8);
            }
            self.words.push(words);
            self.uses.push(0);
        } else {
            self.free = self.words[number as usize].0 as u32;
            self.words[number as usize] = words;
        }
        let mut numbers = std::mem::take(&mut self.numbers);
        numbers.insert_unique(self.hash_of(number), number, |n| self.hash_of(*n));
        self.numbers = numbers;
        number
    }

    /// One use less.
    pub(super) fn release(&mut self, number: u32) {
        let at = number as usize;
        self.uses[at] -= 1;
        if self.uses[at] > 0 || number < FIRST {
            return;
        }
        if let Ok(found) = self.numbers.find_entry(self.hash_of(number), |n| *n == number) {
            found.remove();
        }
        if self.words[at].1 == LONG {
            self.texts.try_remove(self.words[at].0 as usize);
        }
        self.words[at] = Words(u64::from(self.free), FREE);
        self.free = number;
    }

    /// Appends a level's text.
    pub(super) fn text(&self, number: u32, out: &mut String) {
        let words = self.words[number as usize];
        let bytes = (u128::from(words.0) | u128::from(words.1) << 64).to_le_bytes();
        let len = usize::from(bytes[SHORT_BYTES_MAX]).min(SHORT_BYTES_MAX);
        let text = match number {
            PLUS => b"+",
            HASH => b"#",
            _ => self.long(number).unwrap_or(&bytes[..len]),
        };
        out.push_str(std::str::from_utf8(text).unwrap_or_default()); // it was a `str`
    }

    /// Gives memory back, if most is empty.
    pub(super) fn shrink(&mut self) {
        shrink_slab(&mut self.texts);
        if is_sparse(self.numbers.len(), self.words.capacity()) {
            let used = self.words.iter().rposition(|words| words.1 != FREE).unwrap_or(0) + 1;
            self.words.truncate(used.max(FIRST as usize));
            self.words.shrink_to_fit();
            self.uses.truncate(self.words.len());
            self.uses.shrink_to_fit();
            // The list went through the places that are gone.
            self.free = UNKNOWN;
            for at in (FIRST as usize..self.words.len()).rev() {
                if self.words[at].1 == FREE {
                    self.words[at].0 = u64::from(self.free);
                    self.free = at as u32;
                }
            }
        }
        if is_sparse(self.numbers.len(), self.numbers.capacity()) {
            let mut numbers = std::mem::take(&mut self.numbers);
            numbers.shrink_to_fit(|n| self.hash_of(*n));
            self.numbers = numbers;
        }
    }

    /// The text of a long level.
    fn long(&self, number: u32) -> Option<&[u8]> {
        let Words(place, kind) = self.words[number as usize];
        let place = (kind == LONG).then_some(place as usize)?;
        self.texts.get(place).map(|text| &**text)
    }

    fn hash_of(&self, number: u32) -> u64 {
        match self.long(number) {
            Some(text) => self.hash_long(text),
            None => self.hash_short(self.words[number as usize]),
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
        let mut live = 0;
        for (at, words) in self.words.iter().enumerate() {
            let number = at as u32;
            assert_eq!(uses.get(&number).copied().unwrap_or(0), self.uses[at], "uses of {number}");
            if words.1 != FREE {
                live += 1;
                let mut text = String::new();
                self.text(number, &mut text);
                assert_eq!(self.find(&text), number, "level {text:?} is not found");
            }
        }
        assert_eq!(self.numbers.len(), live, "levels without a number");
        let long = self.words.iter().filter(|words| words.1 == LONG).count();
        assert_eq!(self.texts.len(), long, "texts of nobody's are kept");
        let (mut at, mut free) = (self.free, 0);
        while at != UNKNOWN && free < self.words.len() {
            assert_eq!(self.words[at as usize].1, FREE, "level {at} is on the free list");
            at = self.words[at as usize].0 as u32;
            free += 1;
        }
        assert_eq!(live + free + FIRST as usize, self.words.len(), "numbers are lost");
        assert_eq!(self.uses.len(), self.words.len(), "uses of no level");
    }
}
