//! The trees and the cache of [`topic_match`](super::topic_match), and beside them what they must
//! agree with.

use std::collections::{BTreeMap, BTreeSet};

use stonechat::broker::matching::{FilterTree, MatchCache};
use stonechat::broker::{
    Message, RetainedCursor, RetainedPage, RetainedStore, RetainedTree, RetainedUsage, Time,
};

#[path = "../../tests/support/matching.rs"]
mod material;
use material::{Count, check_node_count, matched, message, name, parsed};

/// How many readers of retained messages there may be at once.
const READERS_MAX: usize = 4;

/// Someone who reads retained messages page by page.
struct Reader {
    filter: String,
    cursor: RetainedCursor,
    read: Vec<Message>,
    /// what was there from the beginning, and what was there at some time
    always: BTreeSet<String>,
    ever: BTreeSet<String>,
}

pub struct History {
    tree: FilterTree<Count>,
    cache: MatchCache<Vec<String>>,
    cache_bytes: usize,
    filters: BTreeMap<String, u32>,
    retained: RetainedTree,
    messages: BTreeMap<String, Message>,
    readers: Vec<Reader>,
    now: Time,
}

impl History {
    pub fn new(seed: u64, cache_bytes: usize) -> Self {
        Self {
            tree: FilterTree::new(seed),
            cache: MatchCache::new(seed, cache_bytes),
            cache_bytes,
            filters: BTreeMap::new(),
            retained: RetainedTree::new(usize::MAX, usize::MAX),
            messages: BTreeMap::new(),
            readers: Vec::new(),
            now: Time(0),
        }
    }

    pub fn subscribe(&mut self, filter: &str) {
        let id = self.tree.insert(parsed(filter));
        self.tree.value_mut(id).0 += 1;
        self.cache.changed(parsed(filter));
        *self.filters.entry(filter.to_owned()).or_default() += 1;
        assert_eq!(self.tree.find(parsed(filter)), Some(id));
    }

    pub fn unsubscribe(&mut self, at: usize) {
        if self.filters.is_empty() {
            return;
        }
        let filter = self.filters.keys().nth(at % self.filters.len()).expect("there").clone();
        self.filters.remove(&filter);
        let id = self.tree.find(parsed(&filter)).expect("it was inserted");
        self.tree.value_mut(id).0 = 0;
        self.tree.prune(id);
        self.cache.changed(parsed(&filter));
    }

    pub fn publish(&mut self, topic: &str) {
        let matching = self.filters.keys().filter(|f| parsed(f).matches(name(topic)));
        let expected: Vec<_> = matching.cloned().collect();
        assert_eq!(matched(&self.tree, topic), expected, "tree, {topic:?}");
        let tree = &self.tree;
        let cached =
            self.cache.get_or_insert_with(topic.len() % 4, topic, || (matched(tree, topic), 100));
        assert_eq!(cached, &expected, "cache, {topic:?}");
        assert!(self.cache.bytes() <= self.cache_bytes);
    }

    pub fn retain(&mut self, topic: &str, payload: u8, expires_after: Option<u64>) {
        let expires = expires_after.map_or(Time::NEVER, |ms| self.now.plus_ms(ms + 1));
        let message = message(topic, payload, expires);
        self.retained.set(&message, self.now).expect("there is no limit");
        self.messages.insert(topic.to_owned(), message);
        self.readers_look();
    }

    pub fn clear(&mut self, at: usize) {
        if self.messages.is_empty() {
            return;
        }
        let topic = self.messages.keys().nth(at % self.messages.len()).expect("there").clone();
        self.messages.remove(&topic);
        self.retained.clear(name(&topic));
        self.readers_look();
    }

    pub fn time_passes(&mut self, ms: u64, visit_max: usize) {
        self.now = self.now.plus_ms(ms);
        self.retained.expire(self.now, visit_max);
        self.readers_look();
    }

    /// The topics of what is alive and matches.
    fn alive(&self, filter: &str) -> BTreeSet<String> {
        let live = self.messages.values().filter(|m| !m.is_expired(self.now));
        let matching = live.filter(|m| parsed(filter).matches(m.topic()));
        matching.map(|m| m.topic_str().to_owned()).collect()
    }

    fn readers_look(&mut self) {
        let mut readers = std::mem::take(&mut self.readers);
        for reader in &mut readers {
            let alive = self.alive(&reader.filter);
            reader.always.retain(|t| alive.contains(t));
            reader.ever.extend(alive);
        }
        self.readers = readers;
    }

    pub fn start_reading(&mut self, filter: &str) {
        if self.readers.len() < READERS_MAX {
            let always = self.alive(filter);
            let ever = always.clone();
            let (filter, cursor) = (filter.to_owned(), RetainedCursor::default());
            self.readers.push(Reader { filter, cursor, read: Vec::new(), always, ever });
        }
    }

    pub fn read_on(&mut self, which: usize, count_max: usize) {
        let Some(reader) = self.readers.get_mut(which) else { return };
        let before = reader.read.len();
        let (filter, cursor) = (parsed(&reader.filter), &mut reader.cursor);
        let page = RetainedPage { count_max, bytes_max: count_max * 100 };
        let more = self.retained.read(filter, cursor, page, self.now, &mut reader.read);
        assert!(reader.read.len() - before <= count_max);
        for read in &reader.read[before..] {
            let newest = self.messages.get(read.topic_str());
            assert!(newest.is_some_and(|newest| Message::same(read, newest)), "an old one");
            assert!(!read.is_expired(self.now));
        }
        if !more {
            let reader = self.readers.remove(which);
            reader.finished();
        }
    }

    /// Everything is read to its end, compared as a whole, and taken down.
    pub fn finish(mut self) {
        for _ in 0..100_000 {
            if self.readers.is_empty() {
                break;
            }
            self.read_on(0, 3);
        }
        assert!(self.readers.is_empty(), "reading gets on");
        self.compare();
        while !self.filters.is_empty() {
            self.unsubscribe(0);
        }
        self.compare();
        assert_eq!(self.tree.node_count(), 0);
        self.messages.retain(|_, m| !m.is_expired(self.now));
        self.retained.expire(self.now, 10_000); // to the end of a round
        self.retained.expire(self.now, 10_000);
        assert_eq!(self.retained.usage().count, self.messages.len());
        while !self.messages.is_empty() {
            self.clear(0);
        }
        assert_eq!(self.retained.usage(), RetainedUsage::default());
    }

    fn compare(&self) {
        self.tree.check_invariants();
        let mut all = BTreeMap::new();
        self.tree.for_each(|id, count| {
            let mut text = String::new();
            self.tree.filter_text(id, &mut text);
            assert_eq!(self.tree.find(parsed(&text)), Some(id));
            assert_eq!(all.insert(text, count.0), None);
        });
        assert_eq!(all, self.filters);
        check_node_count(&self.tree, self.filters.keys());
    }
}

impl Reader {
    fn finished(&self) {
        let read: BTreeSet<_> = self.read.iter().map(|m| m.topic_str().to_owned()).collect();
        let (filter, always, ever) = (&self.filter, &self.always, &self.ever);
        assert_eq!(read.len(), self.read.len(), "{filter:?}: something was read twice");
        assert!(always.is_subset(&read), "{filter:?}: {always:?} of {read:?}");
        assert!(read.is_subset(ever), "{filter:?}: {read:?} of {ever:?}");
    }
}
