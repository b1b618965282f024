//! The match cache: topic → what matching it gave, in front of the filter tree.
//!
//! May use: `topic`. The hash seed is an argument; nothing visible depends on iteration order.
//!
//! Invariant: `get` never gives a value that was computed before a change of a filter that matches
//! the topic; the entries' costs add up to at most `bytes_max`.
//!
//! Most topics of a large system come once: retained messages that are set, commands. While the
//! entries take little, everything is kept. Beyond that a topic is, once it comes again: so a flood
//! of topics neither fills the memory nor drives out those that are asked for.
//!
//! **How an entry is known to be fresh.** There are 4096 counters. A change of a filter F bumps one
//! of them, chosen by a hash of F's literal prefix: its levels before the first wildcard, of these
//! at most 8. An entry for a topic T remembers the counters of T's prefixes of 0, 1, … min(levels,
//! 8) levels and their sum.
//!
//! *Every filter that matches T bumps a counter of T's.* Let F match T, k be the number of levels
//! before F's first wildcard (all, if there is none) and j = min(k, 8). Each of these k levels
//! stands for exactly one level of T, the equal one at the same place: only `#` may stand for no
//! level, and it comes after them. So T has at least k levels and its first j are F's first j. As j
//! is at most min(levels of T, 8), the prefix of j levels is one that T's entry remembers, and the
//! same levels give the same hash, so the same counter. For `a/#` and T = `a`, k = 1: the counter
//! of `a`, which T has. For filters deeper than 8 literal levels, j = 8: they share the counter of
//! their first 8 levels, which T has too. A filter that starts with a wildcard has j = 0: the
//! counter that every topic has. (`$` topics have it as well, without need.)
//!
//! *A bump cannot go unseen.* Counters are u64 and only rise, and so do the sums: a sum is equal
//! again only if none of its counters moved, or after 2^64 bumps, which do not happen (at a billion
//! a second they take 580 years). u32 counters would be half the memory, but come round within
//! weeks of busy subscribing.
//!
//! Two prefixes that share a counter only cost a needless miss.

use std::hash::{BuildHasher, Hasher};
use std::mem;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use crate::topic::TopicFilter;

/// How many leading levels take part in telling changes apart.
const PREFIX_LEVELS_MAX: usize = 8;
const COUNTERS: usize = 4096;
/// The counter of the prefix of no levels.
const EVERYTHING: u16 = 0;
/// While the entries take less than such a part of the limit, everything is kept.
const OPEN_PART: usize = 8;
/// One mark of a topic that came once for so many bytes of the limit: about as many as entries.
const BYTES_PER_MARK: usize = 256;
const MARKS_MIN: usize = 64;
/// Per entry in the hash table: 4 bytes and a control byte, when the table is least full.
const TABLE_ENTRY_BYTES: usize = 12;

/// The counters of changes, by literal prefix.
struct Generations {
    counters: Box<[u64]>,
    /// how many changes there were at all
    changes: u64,
    hasher: FixedState,
}

/// Which counters tell whether an entry is fresh, and their sum when it was.
struct Stamp {
    /// `changes` when it was last found fresh: as long as nothing at all changed, nothing is summed
    checked: u64,
    sum: u64,
    counters: [u16; PREFIX_LEVELS_MAX + 1],
    len: u8,
}

impl Generations {
    fn new(seed: u64) -> Self {
        Self { counters: vec![0; COUNTERS].into(), changes: 0, hasher: FixedState::with_seed(seed) }
    }

    /// Calls `each` with the counter of each prefix of `levels`, the shortest first.
    fn prefixes<'a>(&self, levels: impl Iterator<Item = &'a str>, mut each: impl FnMut(u16)) {
        each(EVERYTHING);
        let mut hasher = self.hasher.build_hasher();
        for level in levels.take(PREFIX_LEVELS_MAX) {
            hasher.write(level.as_bytes());
            each((hasher.finish() % COUNTERS as u64) as u16);
        }
    }

    fn bump(&mut self, filter: TopicFilter<'_>) {
        let literal = filter.levels().take_while(|&level| level != "+" && level != "#");
        let mut last = EVERYTHING;
        self.prefixes(literal, |counter| last = counter);
        self.counters[usize::from(last)] += 1;
        self.changes += 1;
    }

    fn stamp(&self, topic: &str) -> Stamp {
        let mut stamp =
            Stamp { checked: self.changes, sum: 0, counters: [0; PREFIX_LEVELS_MAX + 1], len: 0 };
        self.prefixes(topic.split('/'), |counter| {
            stamp.counters[usize::from(stamp.len)] = counter;
            stamp.len += 1;
        });
        stamp.sum = self.sum(&stamp);
        stamp
    }

    fn sum(&self, stamp: &Stamp) -> u64 {
        let counters = &stamp.counters[..usize::from(stamp.len)];
        counters.iter().fold(0, |sum, &i| sum.wrapping_add(self.counters[usize::from(i)]))
    }

    /// Whether nothing that concerns the topic changed since the stamp was made.
    fn is_fresh(&self, stamp: &mut Stamp) -> bool {
        if stamp.checked == self.changes {
            return true;
        }
        let fresh = self.sum(stamp) == stamp.sum;
        if fresh {
            stamp.checked = self.changes;
        }
        fresh
    }
}

/// Marks of topics that came once, some bits of their hashes each. That two look alike only has one
/// of them kept too early.
#[derive(Default)]
struct Newcomers {
    /// none until they are needed
    marks: Box<[u16]>,
    /// how often two topics wanted the same place
    clashes: u64,
}

impl Newcomers {
    /// Whether it came before; it has now.
    fn came_before(&mut self, hash: u64, bytes_max: usize) -> bool {
        if self.marks.is_empty() {
            self.marks = vec![0; bytes_max.div_ceil(BYTES_PER_MARK).max(MARKS_MIN)].into();
        }
        let mark = (hash >> 48) as u16 | 1; // no topic's is 0
        let at = hash as usize % self.marks.len();
        let place = &mut self.marks[at];
        let came_before = *place == mark;
        if came_before {
            *place = 0;
        } else {
            // In half of the cases the newer one has to give way: if it always took the place, two
            // that come in turn would both never be known; and if every other time, three.
            self.clashes += u64::from(*place != 0);
            if *place == 0 || coin(self.clashes) {
                *place = mark;
            }
        }
        came_before
    }
}

/// Heads or tails, the same for the same number, and without a pattern from one to the next.
fn coin(number: u64) -> bool {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ mixed >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 63 == 0
}

struct Entry<V> {
    hash: u64,
    topic: Box<str>,
    stamp: Stamp,
    cost: usize,
    /// whether it was used since the hand last came by
    used: bool,
    value: V,
}

/// A cache of what matching a topic gave, bounded in bytes.
pub struct MatchCache<V> {
    generations: Generations,
    /// without holes, so that the hand that looks for victims does not pass empty places
    entries: Vec<Entry<V>>,
    /// topic → place in `entries`
    index: HashTable<u32>,
    /// the place that each asker used last: publishers tend to repeat themselves
    last: Vec<u32>,
    hand: usize,
    bytes: usize,
    bytes_max: usize,
    newcomers: Newcomers,
    /// a value that is not kept, but can be given back so
    unkept: Option<V>,
    hits: u64,
    misses: u64,
}

impl<V> MatchCache<V> {
    /// An empty cache; with `bytes_max` 0 nothing is ever kept.
    pub fn new(seed: u64, bytes_max: usize) -> Self {
        Self {
            generations: Generations::new(seed),
            entries: Vec::new(),
            index: HashTable::new(),
            last: Vec::new(),
            hand: 0,
            bytes: 0,
            bytes_max,
            newcomers: Newcomers::default(),
            unkept: None,
            hits: 0,
            misses: 0,
        }
    }

    /// A subscription with this filter came, changed or went: what it may match is stale.
    pub fn changed(&mut self, filter: TopicFilter<'_>) {
        self.generations.bump(filter);
    }

    /// What is known for `topic` and still true. `asker` is a small number: whoever asks for the
    /// same topic again under the same number is answered faster.
    pub fn get(&mut self, asker: usize, topic: &str) -> Option<&V> {
        self.lookup(asker, topic).ok().map(|i| &self.entries[i].value)
    }

    /// Keeps `value` for `topic`, if that came before or there is much room. It must be computed
    /// after the last `changed`. `value_bytes` is what it holds besides itself.
    pub fn insert(&mut self, asker: usize, topic: &str, value: V, value_bytes: usize) -> &V {
        let hash = self.hash(topic);
        self.insert_hashed(asker, hash, topic, value, value_bytes)
    }

    /// `get`, or else what `compute` gives with its size, kept as by `insert`.
    pub fn get_or_insert_with(
        &mut self,
        asker: usize,
        topic: &str,
        compute: impl FnOnce() -> (V, usize),
    ) -> &V {
        match self.lookup(asker, topic) {
            Ok(i) => &self.entries[i].value,
            Err(hash) => {
                let (value, value_bytes) = compute();
                self.insert_hashed(asker, hash, topic, value, value_bytes)
            }
        }
    }

    /// What is kept of what the asker was answered last, fresh or not, and the topic.
    pub fn last(&self, asker: usize) -> Option<(&str, &V)> {
        let entry = self.entries.get(*self.last.get(asker)? as usize)?;
        Some((&entry.topic, &entry.value))
    }

    /// Forgets who asked for what.
    pub fn forget_askers(&mut self) {
        self.last = Vec::new();
    }

    /// Visits everything that `get` would give, with its topic, in no useful order. For tests.
    pub fn for_each_fresh(&self, mut visit: impl FnMut(&str, &V)) {
        for entry in &self.entries {
            if self.generations.sum(&entry.stamp) == entry.stamp.sum {
                visit(&entry.topic, &entry.value);
            }
        }
    }

    /// Forgets what changes have made stale.
    pub fn drop_stale(&mut self) {
        for at in (0..self.entries.len()).rev() {
            if !self.generations.is_fresh(&mut self.entries[at].stamp) {
                self.remove(at);
            }
        }
    }

    /// What the entries hold. On top come the table of counters (32 KiB), and a 128th of the limit
    /// for marks of topics that came once.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How often `get` found what it was asked for.
    pub fn hits(&self) -> u64 {
        self.hits
    }

    /// How often `get` found nothing, or something stale.
    pub fn misses(&self) -> u64 {
        self.misses
    }

    fn hash(&self, topic: &str) -> u64 {
        let mut hasher = self.generations.hasher.build_hasher();
        hasher.write(topic.as_bytes());
        hasher.finish()
    }

    /// The place of a fresh entry, or the topic's hash.
    fn lookup(&mut self, asker: usize, topic: &str) -> Result<usize, u64> {
        let mut at = self.last.get(asker).map_or(usize::MAX, |at| *at as usize);
        if self.entries.get(at).is_none_or(|entry| *entry.topic != *topic) {
            let hash = self.hash(topic);
            let Some(found) = self.find(hash, topic) else {
                self.misses += 1;
                return Err(hash);
            };
            at = found;
            self.note_last(asker, at);
        }
        let entry = &mut self.entries[at];
        if !self.generations.is_fresh(&mut entry.stamp) {
            self.misses += 1;
            return Err(entry.hash);
        }
        entry.used = true;
        self.hits += 1;
        Ok(at)
    }

    fn note_last(&mut self, asker: usize, at: usize) {
        if self.last.len() <= asker {
            self.last.resize(asker + 1, u32::MAX);
        }
        self.last[asker] = at as u32;
    }

    fn find(&self, hash: u64, topic: &str) -> Option<usize> {
        let is_it = |&i: &u32| *self.entries[i as usize].topic == *topic;
        self.index.find(hash, is_it).map(|&i| i as usize)
    }

    fn insert_hashed(
        &mut self,
        asker: usize,
        hash: u64,
        topic: &str,
        value: V,
        value_bytes: usize,
    ) -> &V {
        self.unkept = None;
        // The list of entries grows by half, so up to a third of it stands empty.
        let cost = size_of::<Entry<V>>() * 3 / 2 + TABLE_ENTRY_BYTES + topic.len() + value_bytes;
        let old = self.find(hash, topic);
        let is_open = old.is_some() || self.bytes < self.bytes_max / OPEN_PART;
        if cost > self.bytes_max || !is_open && !self.newcomers.came_before(hash, self.bytes_max) {
            if let Some(at) = old {
                self.remove(at);
            }
            return self.unkept.insert(value);
        }
        let stamp = self.generations.stamp(topic);
        self.bytes += cost;
        let at = if let Some(at) = old {
            let entry = &mut self.entries[at];
            self.bytes -= mem::replace(&mut entry.cost, cost);
            (entry.stamp, entry.value) = (stamp, value);
            at
        } else {
            self.push(Entry { hash, topic: topic.into(), stamp, cost, used: false, value })
        };
        let at = self.evict(at);
        self.note_last(asker, at);
        &self.entries[at].value
    }

    fn push(&mut self, entry: Entry<V>) -> usize {
        let at = self.entries.len();
        if at == self.entries.capacity() {
            self.entries.reserve_exact(at / 2 + 8);
        }
        let hash = entry.hash;
        self.entries.push(entry);
        let entries = &self.entries;
        self.index.insert_unique(hash, at as u32, |&i| entries[i as usize].hash);
        at
    }

    /// Removes entries other than `keep` until the bytes are within the limit, and returns the
    /// place where `keep` is then. The hand goes round and spares once what was used since it last
    /// came by; each step takes away an entry or the trace of a `get`, so it costs O(1) amortized.
    fn evict(&mut self, mut keep: usize) -> usize {
        while self.bytes > self.bytes_max {
            if self.hand >= self.entries.len() {
                self.hand = 0;
            }
            if self.hand == keep {
                self.hand += 1; // alone it would be within the limit, so there is another
            } else if mem::take(&mut self.entries[self.hand].used) {
                self.hand += 1;
            } else {
                self.remove(self.hand);
                if keep == self.entries.len() {
                    keep = self.hand; // it was the last one and moved into the hole
                }
            }
        }
        keep
    }

    /// Removes an entry; the last one takes its place.
    fn remove(&mut self, at: usize) {
        let entry = self.entries.swap_remove(at);
        self.bytes -= entry.cost;
        if let Ok(found) = self.index.find_entry(entry.hash, |&i| i as usize == at) {
            found.remove();
        }
        if let Some(moved) = self.entries.get(at) {
            let from = self.entries.len();
            if let Some(place) = self.index.find_mut(moved.hash, |&i| i as usize == from) {
                *place = at as u32;
            }
        }
        // When entries became few and large, the room for many small ones is given back.
        let len = self.entries.len();
        if len < self.entries.capacity() / 4 {
            self.entries.shrink_to(len + len / 2);
            let entries = &self.entries;
            self.index.shrink_to(len + len / 2, |&i| entries[i as usize].hash);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// However many want one place, in whatever order they come in turn.
    #[test]
    fn who_comes_again_and_again_is_known_in_the_end() {
        for count in 1..=8_u64 {
            for others in 0..4 {
                let mut newcomers = Newcomers::default();
                let mut unknown: Vec<u64> = (1..=count).map(|n| n << 52).collect();
                for _ in 0..4_000 {
                    unknown.retain(|&hash| !newcomers.came_before(hash, 1 << 20));
                    // Those at another place, which are always others.
                    newcomers.clashes += others;
                }
                assert!(unknown.is_empty(), "{} of {count} beside {others}", unknown.len());
            }
        }
    }

    fn filter(s: &str) -> TopicFilter<'_> {
        TopicFilter::new(s).unwrap()
    }

    impl<V> MatchCache<V> {
        fn check_invariants(&self) {
            assert_eq!(self.index.len(), self.entries.len());
            assert_eq!(self.bytes, self.entries.iter().map(|e| e.cost).sum::<usize>());
            assert!(self.bytes <= self.bytes_max);
            for (i, entry) in self.entries.iter().enumerate() {
                assert_eq!(self.find(entry.hash, &entry.topic), Some(i));
            }
        }
    }

    #[test]
    fn only_changes_that_may_matter_make_stale() {
        let deep = "1/2/3/4/5/6/7/8/9/10";
        for (topic, change, stale) in [
            ("a", "a/#", true),
            ("a", "a", true),
            ("a", "#", true),
            ("a", "+", true),
            ("a/b", "a/+", true),
            ("a/b", "+/b", true),
            ("a/b", "a/b/#", true),
            ("a/b", "a/c", false),
            ("a/b", "b/#", false),
            ("a/b", "a/b/c", false),
            ("a", "a/b", false),
            (deep, deep, true),
            (deep, "1/2/3/4/5/6/7/8/9/#", true),
            (deep, "1/2/3/4/5/6/7/8/#", true),
            (deep, "1/2/3/4/5/6/7/x/#", false),
        ] {
            let mut cache = MatchCache::new(3, 10_000);
            cache.insert(0, topic, (), 0);
            cache.changed(filter(change));
            assert_eq!(cache.get(0, topic).is_none(), stale, "{topic} after {change}");
        }
    }

    #[test]
    fn many_changes_elsewhere_leave_most_of_it() {
        let mut cache = MatchCache::new(3, 10_000_000);
        let topics: Vec<_> = (0..1000).map(|i| format!("plant/{i}/temperature")).collect();
        for t in &topics {
            cache.insert(0, t, (), 0);
        }
        for i in 0..100 {
            cache.changed(filter(&format!("client/{i}/commands/#")));
        }
        for t in &topics {
            let _ = cache.get(0, t);
        }
        assert!(cache.hits() > 800, "{}", cache.hits());
        assert_eq!(cache.hits() + cache.misses(), 1000);
    }

    #[test]
    fn what_is_used_stays_and_the_bytes_are_bounded() {
        let mut cache = MatchCache::new(3, 20_000);
        for i in 0..10_000 {
            for _ in 0..2 {
                cache.insert(0, &format!("t/{i}"), i, i % 300);
            }
            cache.get_or_insert_with(0, "hot", || (0, 0));
            if i % 97 == 0 {
                cache.check_invariants();
            }
        }
        assert_eq!(cache.misses(), 1, "the hot entry was never evicted");
        assert!(cache.bytes() > 19_000);
        for i in 0..2_000 {
            cache.insert(0, &format!("t/{}", i / 2), i, 5_000);
        }
        cache.check_invariants();
        assert!(cache.entries.capacity() < 40, "{}", cache.entries.capacity());
    }

    #[test]
    fn stale_entries_are_forgotten_when_told_so() {
        let mut cache = MatchCache::new(3, 10_000_000);
        for i in 0..1000 {
            cache.insert(0, &format!("a/{i}"), i, 100);
        }
        cache.insert(0, "b", 7, 0);
        cache.changed(filter("a/+"));
        cache.drop_stale();
        cache.check_invariants();
        assert_eq!(cache.entries.len(), 1);
        assert_eq!(cache.get(0, "b"), Some(&7));
    }

    #[test]
    fn a_value_over_the_limit_is_given_back_but_not_kept() {
        let mut cache = MatchCache::new(3, 1_000);
        assert_eq!(cache.insert(0, "a", 1, 0), &1);
        assert_eq!(cache.insert(0, "a", 2, 10_000), &2);
        assert_eq!(cache.get(0, "a"), None);
        assert_eq!(cache.bytes(), 0);
        let mut off = MatchCache::new(3, 0);
        assert_eq!(off.get_or_insert_with(0, "a", || (1, 0)), &1);
        assert_eq!(off.get(0, "a"), None);
    }

    /// Those that come once leave most of the room, and everything that is in use, alone.
    #[test]
    fn a_flood_of_topics_that_come_once_is_not_kept() {
        let mut cache = MatchCache::new(3, 1 << 20);
        for i in 0..100_000 {
            cache.get_or_insert_with(0, &format!("once/{i}"), || (i, 0));
        }
        let flood = cache.bytes();
        assert!((1 << 17..200_000).contains(&flood), "{flood}");
        // Those that come again are; as many as there are marks are known apart for the most part.
        let again = || (0..1_000).map(|i| format!("again/{i}"));
        for _ in 0..8 {
            again().for_each(|topic| _ = cache.get_or_insert_with(0, &topic, || (7, 0)));
        }
        cache.check_invariants();
        let kept = again().filter(|topic| cache.get(0, topic).is_some()).count();
        assert!(kept > 900, "{kept} of 1,000");
    }

    #[test]
    fn what_an_asker_had_last_is_never_taken_for_another_topic() {
        let (mut cache, mut kept) = (MatchCache::new(3, 2_000), 0);
        for round in 0..50 {
            for asker in 0..40 {
                // More than there is room for: entries move and go all the time.
                let topic = (asker * 7 + round * 3) % 60;
                let text = format!("t/{topic}");
                assert_eq!(cache.get_or_insert_with(asker, &text, || (topic, 0)), &topic);
                if cache.get(asker, &text).is_some() {
                    assert_eq!(cache.last(asker), Some((text.as_str(), &topic)));
                    kept += 1;
                }
                cache.check_invariants();
            }
        }
        assert!(kept > 300, "{kept}");
        assert!(cache.last(40).is_none());
        cache.forget_askers();
        assert!(cache.last(0).is_none());
    }
}
