//! Filters, topics and retained messages to try the trees with, for `tests/matching.rs` and the
//! fuzz target `topic_match`.

use std::collections::BTreeSet;

use stonechat::broker::matching::{FilterTree, NodeValue};
use stonechat::broker::{Message, MessageParts, Time};
use stonechat::codec::{Properties, QoS};
use stonechat::topic::{TopicFilter, TopicName};

/// How often a filter is subscribed to.
#[derive(Default)]
pub(super) struct Count(pub(super) u32);

impl NodeValue for Count {
    fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

pub(super) fn parsed(text: &str) -> TopicFilter<'_> {
    TopicFilter::new(text).expect("a filter")
}

pub(super) fn name(text: &str) -> TopicName<'_> {
    TopicName::new(text).expect("a topic")
}

/// A retained message.
pub(super) fn message(topic: &str, payload: u8, expires: Time) -> Message {
    let parts = MessageParts {
        qos: QoS::AtMostOnce,
        retain: true,
        expires,
        publisher: 0,
        topic: name(topic),
        properties: Properties::default(),
        payload: &[payload],
    };
    Message::new(&parts, &mut Vec::new())
}

/// Panics if the tree has fewer nodes than `filters`, or more than these have levels: a node stands
/// for one level at least, of one filter or more.
pub(super) fn check_node_count<'a>(
    tree: &FilterTree<Count>,
    filters: impl Iterator<Item = &'a String> + Clone,
) {
    let prefixes = |f: &'a str| f.match_indices('/').map(move |(i, _)| &f[..i]).chain([f]);
    let paths: BTreeSet<_> = filters.clone().flat_map(|f| prefixes(f)).collect();
    let (count, least) = (tree.node_count(), filters.count());
    assert!((least..=paths.len()).contains(&count), "{count} of {least} to {}", paths.len());
}

/// The filters that match, in the order of their texts.
pub(super) fn matched(tree: &FilterTree<Count>, topic: &str) -> Vec<String> {
    let mut found = Vec::new();
    tree.matches(name(topic), &mut |id, _| {
        let mut text = String::new();
        tree.filter_text(id, &mut text);
        found.push(text);
    });
    found.sort();
    found
}
