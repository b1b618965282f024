//! Filters, topics and retained messages to try the trees with, for `tests/matching.rs` and the
//! fuzz target `topic_match`.

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
