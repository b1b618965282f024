//! The trees and the cache against the plain matcher, `TopicFilter::matches`, over random
//! histories. Few and odd levels, so that filters and topics meet often.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use stonechat::broker::matching::{FilterTree, MatchCache};
use stonechat::broker::{Message, RetainedCursor, RetainedPage, RetainedStore, RetainedTree, Time};

#[path = "support/matching.rs"]
mod material;
use material::{Count, check_node_count, matched, message, name, parsed};

const DEPTH_MAX: usize = 10;

/// Up to three levels mostly, as these meet most, at times as deep as [`DEPTH_MAX`].
fn levels(level: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    let level = prop::sample::select(level);
    prop_oneof![
        3 => prop::collection::vec(level.clone(), 1..=3),
        1 => prop::collection::vec(level, 1..=DEPTH_MAX),
    ]
}

fn topic() -> impl Strategy<Value = String> {
    levels(&["", "a", "b", "$x", "é", "a level that is long"])
        .prop_map(|levels| levels.join("/"))
        .prop_filter("not empty", |s| !s.is_empty())
}

fn filter() -> impl Strategy<Value = String> {
    let body = levels(&["", "a", "b", "$x", "é", "+", "+", "a level that is long"]);
    (body, prop::bool::weighted(0.3))
        .prop_map(|(mut levels, hash)| {
            if hash {
                *levels.last_mut().unwrap() = "#";
            }
            levels.join("/")
        })
        .prop_filter("not empty", |s| !s.is_empty())
}

#[derive(Clone, Debug)]
enum Step {
    Subscribe(String),
    /// the one at this place among those there are
    Unsubscribe(prop::sample::Index),
    Publish(String),
    Shrink,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => filter().prop_map(Step::Subscribe),
        2 => any::<prop::sample::Index>().prop_map(Step::Unsubscribe),
        4 => topic().prop_map(Step::Publish),
        1 => Just(Step::Shrink),
    ]
}

/// A tree with a cache in front of it, and beside it what they must agree with.
struct World {
    tree: FilterTree<Count>,
    cache: MatchCache<Vec<String>>,
    model: BTreeMap<String, u32>,
}

impl World {
    fn new(seed: u64, cache_bytes: usize) -> Self {
        Self {
            tree: FilterTree::new(seed),
            cache: MatchCache::new(seed, cache_bytes),
            model: BTreeMap::new(),
        }
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Subscribe(filter) => {
                let id = self.tree.insert(parsed(filter));
                self.tree.value_mut(id).0 += 1;
                self.cache.changed(parsed(filter));
                *self.model.entry(filter.clone()).or_default() += 1;
            }
            Step::Unsubscribe(_) if self.model.is_empty() => {}
            Step::Unsubscribe(index) => self.unsubscribe(index.index(self.model.len())),
            Step::Publish(topic) => self.publish(topic),
            Step::Shrink => {
                self.tree.shrink();
                self.cache.drop_stale();
                self.check();
            }
        }
    }

    fn unsubscribe(&mut self, at: usize) {
        let filter = self.model.keys().nth(at).unwrap().clone();
        self.model.remove(&filter);
        let id = self.tree.find(parsed(&filter)).unwrap();
        self.tree.value_mut(id).0 = 0;
        self.tree.prune(id);
        self.cache.changed(parsed(&filter));
    }

    fn publish(&mut self, topic: &str) {
        let matching = self.model.keys().filter(|f| parsed(f).matches(name(topic)));
        let expected: Vec<_> = matching.cloned().collect();
        assert_eq!(matched(&self.tree, topic), expected, "tree, {topic:?}");
        let tree = &self.tree;
        let cached =
            self.cache.get_or_insert_with(topic.len() % 4, topic, || (matched(tree, topic), 100));
        assert_eq!(cached, &expected, "cache, {topic:?}");
    }

    fn check(&self) {
        self.tree.check_invariants();
        let mut all = BTreeMap::new();
        self.tree.for_each(|id, count| {
            let mut text = String::new();
            self.tree.filter_text(id, &mut text);
            assert_eq!(self.tree.find(parsed(&text)), Some(id));
            assert_eq!(all.insert(text, count.0), None);
        });
        assert_eq!(all, self.model);
        check_node_count(&self.tree, self.model.keys());
    }
}

#[derive(Clone, Debug)]
enum Change {
    Set(String, u8, Option<u64>),
    Clear(prop::sample::Index),
    Expire(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let expires = prop::option::weighted(0.3, 1..30_u64);
    prop_oneof![
        3 => (topic(), any::<u8>(), expires).prop_map(|(t, p, e)| Change::Set(t, p, e)),
        1 => any::<prop::sample::Index>().prop_map(Change::Clear),
        1 => (1..20_usize).prop_map(Change::Expire),
    ]
}

fn page() -> impl Strategy<Value = RetainedPage> {
    (0..6_usize, 0..400_usize)
        .prop_map(|(count_max, bytes_max)| RetainedPage { count_max, bytes_max })
}

type Model = BTreeMap<String, Message>;

fn apply(tree: &mut RetainedTree, model: &mut Model, change: &Change, now: Time) {
    match change {
        Change::Set(topic, payload, expires_after) => {
            let expires = expires_after.map_or(Time::NEVER, |ms| now.plus_ms(ms));
            let message = message(topic, *payload, expires);
            tree.set(&message, now).unwrap();
            model.insert(topic.clone(), message);
        }
        Change::Clear(_) if model.is_empty() => {}
        Change::Clear(index) => {
            let topic = model.keys().nth(index.index(model.len())).unwrap().clone();
            model.remove(&topic);
            tree.clear(name(&topic));
        }
        Change::Expire(visit_max) => {
            tree.expire(now, *visit_max);
        }
    }
}

/// The topics of what is alive and matches.
fn alive<'a>(model: &'a Model, filter: &'a str, now: Time) -> impl Iterator<Item = &'a str> {
    let live = model.values().filter(move |m| !m.is_expired(now));
    live.map(Message::topic_str).filter(move |t| parsed(filter).matches(name(t)))
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(300)
    })]

    #[test]
    fn tree_and_cache_agree_with_the_plain_matcher(
        steps in prop::collection::vec(step(), 1..150),
        seed: u64,
        cache_bytes in prop_oneof![Just(1_000_usize), Just(5_000), Just(1_000_000)],
    ) {
        let mut world = World::new(seed, cache_bytes);
        for step in &steps {
            world.apply(step);
            prop_assert!(world.cache.bytes() <= cache_bytes);
        }
        world.check();
        while !world.model.is_empty() {
            world.unsubscribe(0);
        }
        world.check();
        prop_assert_eq!(world.tree.node_count(), 0);
    }

    #[test]
    fn retained_pages_drop_nothing_and_repeat_nothing(
        start in prop::collection::vec(change(), 0..120),
        filters in prop::collection::vec(filter(), 1..6),
        pages in prop::collection::vec((page(), prop::collection::vec(change(), 0..4)), 1..40),
    ) {
        let mut tree = RetainedTree::new(usize::MAX, usize::MAX);
        let (mut model, mut now) = (Model::new(), Time(0));
        for change in &start {
            now = now.plus_ms(1);
            apply(&mut tree, &mut model, change, now);
        }
        for filter in &filters {
            // what was there and alive all the time must come, what was not there at all must not
            let mut always: BTreeSet<_> = alive(&model, filter, now).map(str::to_owned).collect();
            let mut ever = always.clone();
            let (mut cursor, mut out) = (RetainedCursor::default(), Vec::new());
            let mut more = true;
            let mut changes = pages.iter().map(|(page, changes)| (*page, &changes[..]));
            while more {
                let last = (RetainedPage { count_max: 3, bytes_max: 999 }, &[][..]);
                let (page, changes) = changes.next().unwrap_or(last);
                let before = out.len();
                more = tree.read(parsed(filter), &mut cursor, page, now, &mut out);
                prop_assert!(out.len() - before <= page.count_max);
                for read in &out[before..] {
                    prop_assert!(Message::same(read, &model[read.topic_str()]), "an old one");
                }
                if !more {
                    break;
                }
                for change in changes {
                    now = now.plus_ms(1);
                    apply(&mut tree, &mut model, change, now);
                    let alive: BTreeSet<_> =
                        alive(&model, filter, now).map(str::to_owned).collect();
                    always.retain(|t| alive.contains(t));
                    ever.extend(alive);
                }
            }
            let read: Vec<_> = out.iter().map(|m| m.topic_str().to_owned()).collect();
            let distinct: BTreeSet<_> = read.iter().cloned().collect();
            prop_assert_eq!(read.len(), distinct.len(), "{:?} sent twice: {:?}", filter, read);
            prop_assert!(always.is_subset(&distinct), "{:?}: {:?} of {:?}", filter, read, always);
            prop_assert!(distinct.is_subset(&ever), "{:?}: {:?} of {:?}", filter, read, ever);
        }
        model.retain(|_, m| !m.is_expired(now));
        tree.expire(now, 1000); // to the end of a round
        tree.expire(now, 1000);
        prop_assert_eq!(tree.usage().count, model.len());
    }
}

/// More ways to follow than are kept on the machine's stack.
#[test]
fn a_wildcard_at_every_level_of_a_deep_topic() {
    let mut world = World::new(7, 1_000_000);
    for depth in 0..40 {
        let path = "a/".repeat(depth);
        for end in ["+", "+/#", "+/a", "a/+/b"] {
            world.apply(&Step::Subscribe(format!("{path}{end}")));
        }
    }
    for levels in 1..42 {
        world.publish(&vec!["a"; levels].join("/"));
        world.publish(&format!("{}b", "a/".repeat(levels)));
    }
    world.check();
}

/// A tree that was large is small again, and goes on as before.
#[test]
fn a_tree_that_was_large_shrinks() {
    let mut world = World::new(7, 1_000_000);
    for n in 0..2_000 {
        world.apply(&Step::Subscribe(format!("{n}/a level that is long/{n}")));
    }
    while world.model.len() > 3 {
        world.unsubscribe(world.model.len() / 2);
    }
    world.apply(&Step::Shrink);
    for n in 0..100 {
        world.apply(&Step::Subscribe(format!("{n}/+/{n}")));
        world.publish(&format!("{n}/a level that is long/{n}"));
    }
    world.check();
}
