//! Retained messages (section 3.3.1.3): one tree for all shards.
//!
//! May use: `topic`, the message. Invariant: at most one message per topic; `count`, `bytes` and
//! `expiring` say what is in the tree; nothing is sent twice or left out by a reader whose cursor
//! goes through the tree while topics come and go.
//!
//! The messages are kept in one ordered set, by topic, with `/` below every other byte (as byte 0,
//! which no topic contains). So a topic is directly followed by everything below it, and a
//! message's own topic is the key: no second copy, about 16 bytes per entry besides the message.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use thiserror::Error;

use super::message::Message;
use super::safety::Safety;
use super::time::Time;
use crate::topic::{TopicFilter, TopicName};

/// What an entry costs besides its message, in bytes.
const RETAINED_ENTRY_BYTES: usize = 24;
/// How many entries a full tree looks at for expired ones before it refuses a message.
const VISITS_WHEN_FULL: usize = 64;
/// What a seek counts for in the work that a call of `read` may do, where going on to the next
/// message counts for 1: the lock on the tree is held meanwhile.
const SEEK_WORK: usize = 4;

/// Why a message was not retained: which limit it met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RetainedFull {
    /// There are as many retained messages as there may be.
    #[error("the number of retained messages is at its limit")]
    Count,
    /// They hold as many bytes as they may.
    #[error("the bytes of retained messages are at their limit")]
    Bytes,
    /// Their publisher has as many as it may.
    #[error("the publisher's retained messages are at its limit")]
    Publisher,
}

/// How much is retained, expired messages that were not met yet included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetainedUsage {
    /// messages
    pub count: usize,
    /// their [`Message::cost_bytes`] and [`RETAINED_ENTRY_BYTES`] for each
    pub bytes: usize,
}

/// Where a reader is: the last message it looked at, whether it matched or not, and whether the
/// tree still has it or not.
#[derive(Clone, Debug, Default)]
pub struct RetainedCursor(Option<Message>);

/// How much one call of [`RetainedStore::read`] may append.
#[derive(Clone, Copy, Debug)]
pub struct RetainedPage {
    /// messages
    pub count_max: usize,
    /// their [`Message::cost_bytes`]; the message that reaches it is the last one
    pub bytes_max: usize,
}

/// What a set or a clear did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// the change's number: they rise
    pub version: u64,
    /// the log may know of the message that was there before
    pub recorded: bool,
}

/// The retained messages, as the broker sees them.
pub trait RetainedStore {
    /// Stores `message`, in place of the one with its topic if there is one \[MQTT-3.3.1-5\].
    /// A message without payload is not for here but for `clear` \[MQTT-3.3.1-7\]. On an error the
    /// older message stays.
    fn set(&mut self, message: &Message, now: Time) -> Result<Replaced, RetainedFull> {
        self.set_within(message, usize::MAX, now)
    }

    /// The same, where the publisher may have so many retained messages at a time, this one
    /// included, and no more.
    fn set_within(
        &mut self,
        message: &Message,
        own_max: usize,
        now: Time,
    ) -> Result<Replaced, RetainedFull>;

    /// Removes the message with this topic, if there is one \[MQTT-3.3.1-6\].
    fn clear(&mut self, topic: TopicName<'_>) -> Replaced;

    /// Appends live messages whose topics match `filter`, in the tree's order, those after
    /// `cursor`, as many as `page` lets, and moves `cursor`. The work of a call is bounded, so it
    /// may append fewer, even none. Returns whether there may be more.
    fn read(
        &mut self,
        filter: TopicFilter<'_>,
        cursor: &mut RetainedCursor,
        page: RetainedPage,
        now: Time,
        out: &mut Vec<Message>,
    ) -> bool;

    /// Looks at the next `visit_max` messages, going round, and removes the expired ones
    /// \[MQTT-3.3.2-5\]. Returns those that the log knows of, with the versions of their removal;
    /// those that `set` and `read` met since the last call are among them.
    fn expire(&mut self, now: Time, visit_max: usize) -> Vec<(u64, Message)>;

    /// How much is retained.
    fn usage(&self) -> RetainedUsage;
}

/// What the set is ordered by. The set holds messages and is asked for texts; that a trait object
/// stands for both is what spares a copy of the topic.
trait Key {
    fn topic(&self) -> &[u8];
}

struct Entry(Message);
struct Topic<'a>(&'a str);

impl Key for Entry {
    fn topic(&self) -> &[u8] {
        self.0.topic_bytes()
    }
}

impl Key for Topic<'_> {
    fn topic(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl<'a> Borrow<dyn Key + 'a> for Entry {
    fn borrow(&self) -> &(dyn Key + 'a) {
        self
    }
}

/// `/` is below every other byte.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    match a.iter().zip(b).find(|(a, b)| a != b) {
        None => a.len().cmp(&b.len()),
        Some((b'/', _)) => Ordering::Less,
        Some((_, b'/')) => Ordering::Greater,
        Some((a, b)) => a.cmp(b),
    }
}

impl Ord for dyn Key + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.topic(), other.topic())
    }
}

impl PartialOrd for dyn Key + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Key + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for dyn Key + '_ {}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.topic(), other.topic())
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

/// The retained messages, in memory.
pub struct RetainedTree {
    entries: BTreeSet<Entry>,
    count_max: usize,
    bytes_max: usize,
    bytes: usize,
    /// how many of them have a Message Expiry Interval
    expiring: usize,
    version: u64,
    /// what has expired, and the log does not know it yet
    expired: Vec<(u64, Message)>,
    /// the topic that `expire` looked at last, empty at the start of a round
    swept: String,
    /// how many messages each publisher has, see `count_publishers`
    publishers: Option<BTreeMap<u64, u32>>,
}

impl RetainedTree {
    /// An empty tree that holds at most so much, see [`RetainedUsage`].
    pub fn new(count_max: usize, bytes_max: usize) -> Self {
        Self {
            entries: BTreeSet::new(),
            count_max,
            bytes_max,
            bytes: 0,
            expiring: 0,
            version: 0,
            expired: Vec::new(),
            swept: String::new(),
            publishers: None,
        }
    }

    /// Puts back what was retained before a restart, under its version: the highest of a topic,
    /// once. Limits do not count: they may have been lowered since.
    pub fn restore(&mut self, version: u64, message: &Message) {
        self.start_versions_above(version);
        self.bytes += cost(message);
        self.expiring += usize::from(message.expires() != Time::NEVER);
        if let Some(Entry(old)) = self.entries.replace(Entry(message.clone())) {
            self.forget(&old);
        }
    }

    /// Versions go on above this one, the highest that the log knows.
    pub fn start_versions_above(&mut self, highest: u64) {
        self.version = self.version.max(highest);
    }

    /// Whether `message` fits in place of what has its topic. What does not make things worse
    /// always fits: limits may have been lowered.
    fn check_room(&self, message: &Message, own_max: usize) -> Result<(), RetainedFull> {
        let cost = cost(message);
        let old = self.entries.get(&Topic(message.topic_str()) as &dyn Key);
        let publisher = message.publisher();
        let own = || self.publishers.as_ref().and_then(|all| all.get(&publisher)).copied();
        if own_max < usize::MAX
            && old.is_none_or(|old| old.0.publisher() != publisher)
            && own().unwrap_or(0) as usize >= own_max
        {
            return Err(RetainedFull::Publisher);
        }
        let old_cost = old.map_or(0, |old| self::cost(&old.0));
        if old.is_none() && self.entries.len() >= self.count_max {
            return Err(RetainedFull::Count);
        }
        if cost > old_cost && self.bytes - old_cost + cost > self.bytes_max {
            return Err(RetainedFull::Bytes);
        }
        Ok(())
    }

    /// From now on it is known how many messages each publisher has. It costs memory for each of
    /// them and, the first time, a walk through the tree: so it begins with the first publisher
    /// whose messages are limited.
    fn count_publishers(&mut self) {
        if self.publishers.is_some() {
            return;
        }
        let mut publishers = BTreeMap::new();
        for Entry(message) in &self.entries {
            *publishers.entry(message.publisher()).or_default() += 1;
        }
        self.publishers = Some(publishers);
    }

    fn remove(&mut self, topic: &str) -> Option<Message> {
        let Entry(old) = self.entries.take(&Topic(topic) as &dyn Key)?;
        self.forget(&old);
        Some(old)
    }

    /// Removes a message that has expired.
    fn remove_expired(&mut self, message: &Message) {
        if let Some(old) = self.remove(message.topic_str()).filter(is_recorded) {
            let version = self.next_version();
            self.expired.push((version, old));
        }
    }

    /// Looks at the next `visit_max` messages, and removes those that have expired.
    fn sweep(&mut self, now: Time, visit_max: usize) -> usize {
        if self.expiring == 0 {
            return 0;
        }
        let start = Bound::Excluded(self.swept.as_str());
        let (mut expired, mut last, mut visits) = (Vec::new(), None, 0);
        for message in self.from(start).take(visit_max) {
            if message.is_expired(now) {
                expired.push(message.clone());
            }
            last = Some(message);
            visits += 1;
        }
        let last = last.filter(|_| visits == visit_max).cloned();
        self.swept.clear();
        // A copy of the topic, not the message: that may be large, and cleared soon.
        self.swept.push_str(last.as_ref().map_or("", Message::topic_str));
        for message in &expired {
            self.remove_expired(message);
        }
        expired.len()
    }

    fn forget(&mut self, old: &Message) {
        if let Some(publishers) = &mut self.publishers
            && let Some(count) = publishers.get_mut(&old.publisher())
        {
            *count -= 1;
            if *count == 0 {
                publishers.remove(&old.publisher());
            }
        }
        self.bytes -= cost(old);
        self.expiring -= usize::from(old.expires() != Time::NEVER);
    }

    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// The entries from `start` on.
    fn from(&self, start: Bound<&str>) -> impl Iterator<Item = &Message> {
        let start = start.map(Topic);
        let start = match &start {
            Bound::Included(topic) => Bound::Included(topic as &dyn Key),
            Bound::Excluded(topic) => Bound::Excluded(topic as &dyn Key),
            Bound::Unbounded => Bound::Unbounded,
        };
        self.entries.range::<dyn Key, _>((start, Bound::Unbounded)).map(|entry| &entry.0)
    }
}

/// Whether the log was told of a message that is retained.
fn is_recorded(message: &Message) -> bool {
    message.safety() != Safety::Memory
}

fn cost(message: &Message) -> usize {
    message.cost_bytes() + RETAINED_ENTRY_BYTES
}

impl RetainedStore for RetainedTree {
    fn set_within(
        &mut self,
        message: &Message,
        own_max: usize,
        now: Time,
    ) -> Result<Replaced, RetainedFull> {
        debug_assert!(!message.payload().is_empty(), "an empty payload clears");
        if own_max < usize::MAX {
            self.count_publishers();
        }
        if self.check_room(message, own_max).is_err() {
            self.sweep(now, VISITS_WHEN_FULL);
            self.check_room(message, own_max)?;
        }
        if let Some(publishers) = &mut self.publishers {
            *publishers.entry(message.publisher()).or_default() += 1;
        }
        self.bytes += cost(message);
        self.expiring += usize::from(message.expires() != Time::NEVER);
        let old = self.entries.replace(Entry(message.clone()));
        old.iter().for_each(|Entry(old)| self.forget(old));
        let recorded = old.is_some_and(|Entry(old)| is_recorded(&old));
        Ok(Replaced { version: self.next_version(), recorded })
    }

    fn clear(&mut self, topic: TopicName<'_>) -> Replaced {
        let recorded = self.remove(topic.as_str()).is_some_and(|old| is_recorded(&old));
        Replaced { version: self.next_version(), recorded }
    }

    fn read(
        &mut self,
        filter: TopicFilter<'_>,
        cursor: &mut RetainedCursor,
        page: RetainedPage,
        now: Time,
        out: &mut Vec<Message>,
    ) -> bool {
        let out_len_max = out.len().saturating_add(page.count_max);
        let mut work_left = page.count_max.saturating_mul(4).saturating_add(64);
        let mut bytes_left = page.bytes_max;
        let (mut expired, mut target) = (Vec::new(), String::new());
        // Each round seeks once and then goes on from message to message as long as they match.
        let more = loop {
            let start = match &cursor.0 {
                None => {
                    append_literal(filter.levels(), &mut target);
                    Bound::Included(target.as_str())
                }
                Some(at) => match next_after(filter, at.topic_str(), &mut target) {
                    Next::InOrder => Bound::Excluded(at.topic_str()),
                    Next::AtTarget => Bound::Included(target.as_str()),
                    Next::Nowhere => break false,
                },
            };
            let (mut last, mut round) = (None, Round::Exhausted);
            for message in self.from(start) {
                if out.len() >= out_len_max || bytes_left == 0 || work_left == 0 {
                    round = Round::Full;
                    break;
                }
                work_left -= 1;
                last = Some(message);
                if !filter.matches(message.topic()) {
                    round = Round::Mismatch;
                    break;
                }
                if message.is_expired(now) {
                    expired.push(message.clone());
                    continue;
                }
                bytes_left = bytes_left.saturating_sub(message.cost_bytes());
                out.push(message.clone());
            }
            if let Some(last) = last {
                cursor.0 = Some(last.clone());
            }
            match round {
                Round::Mismatch => work_left = work_left.saturating_sub(SEEK_WORK),
                Round::Full => break true,
                Round::Exhausted => break false,
            }
        };
        for message in expired {
            self.remove_expired(&message);
        }
        more
    }

    fn expire(&mut self, now: Time, visit_max: usize) -> Vec<(u64, Message)> {
        self.sweep(now, visit_max);
        std::mem::take(&mut self.expired)
    }

    fn usage(&self) -> RetainedUsage {
        RetainedUsage { count: self.entries.len(), bytes: self.bytes }
    }
}

/// How a round of `read` ended.
enum Round {
    /// a message that does not match: seek
    Mismatch,
    /// enough for this call
    Full,
    /// there is nothing more in the tree
    Exhausted,
}

/// Where the next topic that a filter matches may be, after a given one.
#[derive(Debug, PartialEq)]
enum Next {
    /// directly after it
    InOrder,
    /// at or after the target
    AtTarget,
    /// there is none
    Nowhere,
}

/// Where the next topic after `topic` that `filter` matches may be: nothing between the two
/// matches. That `topic` itself matches is not asked for.
///
/// The levels are compared up to the first that differs. Where the topic is too low, the filter's
/// own levels are the target; where it is too high or too deep, no topic that is equal up to there
/// can match any more, so the last level before it that may change, the nearest `+`, must rise.
fn next_after(filter: TopicFilter<'_>, topic: &str, target: &mut String) -> Next {
    target.clear();
    if topic.starts_with('$') && filter.as_str().starts_with(['+', '#']) {
        target.push('%'); // what follows '$' [MQTT-4.7.2-1]
        return Next::AtTarget;
    }
    let (mut levels, mut names) = (filter.levels(), topic.split('/'));
    let mut start = 0; // of the level that is compared
    let mut plus_end = None; // of the last level that a '+' stands for
    loop {
        let rest = levels.clone();
        let (Some(level), name) = (levels.next(), names.next()) else { break };
        match (level, name) {
            ("#", _) => return Next::InOrder,
            (_, None) => {
                target.push_str(topic);
                target.push('/');
                append_literal(rest, target);
                return Next::AtTarget;
            }
            ("+", Some(name)) => {
                plus_end = Some(start + name.len());
                start += name.len() + 1;
            }
            // there is no '/' in a level, so bytes compare as they are
            (level, Some(name)) => match name.cmp(level) {
                Ordering::Equal => start += name.len() + 1,
                Ordering::Less => {
                    target.push_str(&topic[..start]);
                    append_literal(rest, target);
                    return Next::AtTarget;
                }
                Ordering::Greater => break,
            },
        }
    }
    let Some(end) = plus_end else { return Next::Nowhere };
    target.push_str(&topic[..end]);
    target.push('\u{1}'); // above '/', so above all that is below this level
    Next::AtTarget
}

/// Appends the lowest topic that a filter with these `levels` may match, up to its first wildcard.
fn append_literal<'a>(levels: impl Iterator<Item = &'a str>, out: &mut String) {
    for (i, level) in levels.enumerate() {
        if level == "#" {
            return; // the parent level matches too
        }
        if i > 0 {
            out.push('/');
        }
        if level == "+" {
            return; // an empty level is the lowest
        }
        out.push_str(level);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::broker::MessageParts;
    use crate::codec::{Properties, QoS};

    fn message(topic: &str, payload: &[u8], expires: Time) -> Message {
        let parts = MessageParts {
            qos: QoS::AtLeastOnce,
            retain: true,
            expires,
            publisher: 0,
            topic: TopicName::new(topic).unwrap(),
            properties: Properties::default(),
            payload,
        };
        Message::new(&parts, &mut Vec::new())
    }

    fn page_of(count_max: usize) -> RetainedPage {
        RetainedPage { count_max, bytes_max: usize::MAX }
    }

    fn tree_of<'a>(topics: impl IntoIterator<Item = &'a str>) -> RetainedTree {
        let mut tree = RetainedTree::new(usize::MAX, usize::MAX);
        for topic in topics {
            tree.set(&message(topic, b"x", Time::NEVER), Time(0)).unwrap();
        }
        tree
    }

    fn read_all(tree: &mut RetainedTree, filter: &str, page: usize) -> Vec<String> {
        let (mut cursor, mut out) = (RetainedCursor::default(), Vec::new());
        let filter = TopicFilter::new(filter).unwrap();
        while tree.read(filter, &mut cursor, page_of(page), Time(1), &mut out) {}
        out.iter().map(|m| m.topic_str().to_owned()).collect()
    }

    /// Nothing between a topic and what `next_after` says matches, for all small topics.
    #[test]
    fn seeks_never_jump_over_a_match() {
        let levels = ["", "!", "a", "a!", "b", "$", "%"];
        let mut topics = Vec::new();
        for a in levels {
            topics.push(a.to_owned());
            for b in levels {
                topics.push(format!("{a}/{b}"));
                topics.extend(levels.iter().map(|c| format!("{a}/{b}/{c}")));
            }
        }
        topics.retain(|t| !t.is_empty());
        topics.sort_by(|a, b| compare(a.as_bytes(), b.as_bytes()));
        let parts = ["", "a", "a!", "b", "$", "+"];
        let mut filters = vec!["#".to_owned()];
        for a in parts {
            filters.extend([a.to_owned(), format!("{a}/#")]);
            for b in parts {
                filters.extend([format!("{a}/{b}"), format!("{a}/{b}/#")]);
                filters.extend(parts.iter().map(|c| format!("{a}/{b}/{c}")));
            }
        }
        filters.retain(|f| !f.is_empty());
        let mut target = String::new();
        for filter in &filters {
            let filter = TopicFilter::new(filter).unwrap();
            for (i, at) in topics.iter().enumerate() {
                let from = next_after(filter, at, &mut target);
                for topic in &topics[i + 1..] {
                    let jumped_over = match from {
                        Next::InOrder => false,
                        Next::AtTarget => compare(topic.as_bytes(), target.as_bytes()).is_lt(),
                        Next::Nowhere => true,
                    };
                    let matches = filter.matches(TopicName::new(topic).unwrap());
                    assert!(!(jumped_over && matches), "{filter:?} at {at:?}: {topic:?}");
                }
                assert!(
                    from != Next::AtTarget || compare(target.as_bytes(), at.as_bytes()).is_gt(),
                    "no progress"
                );
            }
        }
    }

    #[test]
    fn order_is_hierarchical() {
        let mut tree = tree_of(["a!", "a/b", "a", "b", "a/b/c", "a/", "$x/a", "/"]);
        assert_eq!(read_all(&mut tree, "#", 2), ["/", "a", "a/", "a/b", "a/b/c", "a!", "b"]);
        assert_eq!(read_all(&mut tree, "a/#", 1), ["a", "a/", "a/b", "a/b/c"]);
        assert_eq!(read_all(&mut tree, "+", 1), ["a", "a!", "b"]);
        assert_eq!(read_all(&mut tree, "+/+", 3), ["/", "a/", "a/b"]);
        assert_eq!(read_all(&mut tree, "$x/+", 3), ["$x/a"]);
        assert_eq!(read_all(&mut tree, "a/b", 1), ["a/b"]);
    }

    #[test]
    fn replaced_and_cleared() {
        let mut tree = tree_of(["a", "b"]);
        let before = tree.usage();
        let v1 = tree.set(&message("a", b"longer", Time::NEVER), Time(0)).unwrap();
        assert_eq!(tree.usage(), RetainedUsage { count: 2, bytes: before.bytes + 5 });
        let v2 = tree.clear(TopicName::new("a").unwrap());
        let v3 = tree.clear(TopicName::new("nothing").unwrap());
        assert!(v1.version < v2.version && v2.version < v3.version);
        assert_eq!(read_all(&mut tree, "#", 9), ["b"]);
        tree.clear(TopicName::new("b").unwrap());
        assert_eq!(tree.usage(), RetainedUsage::default());
    }

    #[test]
    fn limits_count_the_difference() {
        let one = cost(&message("a", b"x", Time::NEVER));
        let mut tree = RetainedTree::new(2, 2 * one + 3);
        for topic in ["a", "b"] {
            tree.set(&message(topic, b"x", Time::NEVER), Time(0)).unwrap();
        }
        let set = |tree: &mut RetainedTree, topic, payload: &[u8]| {
            tree.set(&message(topic, payload, Time::NEVER), Time(0)).map(|_| ())
        };
        assert_eq!(set(&mut tree, "c", b"x"), Err(RetainedFull::Count));
        assert_eq!(set(&mut tree, "a", b"12345"), Err(RetainedFull::Bytes));
        assert_eq!(set(&mut tree, "a", b"1234"), Ok(()));
        assert_eq!(set(&mut tree, "b", b"12"), Err(RetainedFull::Bytes));
        tree.bytes_max = 0; // lowered while it runs
        assert_eq!(set(&mut tree, "a", b"123"), Ok(()), "smaller than before always fits");
    }

    #[test]
    fn a_full_tree_makes_room_of_what_expired() {
        let mut tree = RetainedTree::new(1, usize::MAX);
        tree.set(&message("a", b"x", Time(5)), Time(0)).unwrap();
        let b = message("b", b"x", Time::NEVER);
        assert_eq!(tree.set(&b, Time(4)), Err(RetainedFull::Count));
        assert!(tree.set(&b, Time(5)).is_ok());
        assert_eq!(tree.usage().count, 1);
    }

    #[test]
    fn a_page_ends_with_the_message_that_reaches_its_bytes() {
        let mut tree = tree_of(["a", "b", "c", "d", "e"]);
        let bytes = message("a", b"x", Time::NEVER).cost_bytes();
        let (mut cursor, filter) = (RetainedCursor::default(), TopicFilter::new("#").unwrap());
        for (bytes_max, upto, more) in
            [(0, 0, true), (1, 1, true), (bytes + 1, 3, true), (9 * bytes, 5, false)]
        {
            let mut out = Vec::new();
            let page = RetainedPage { count_max: 9, bytes_max };
            assert_eq!(tree.read(filter, &mut cursor, page, Time(1), &mut out), more);
            assert_eq!(
                out.last().map_or("", Message::topic_str),
                ["", "a", "b", "c", "d", "e"][upto]
            );
        }
    }

    #[test]
    fn expired_messages_are_not_read_and_go() {
        let mut tree = tree_of(["b", "d"]);
        for (topic, expires) in [("a", 10), ("c", 20), ("e", 10)] {
            tree.set(&message(topic, b"x", Time(expires)), Time(0)).unwrap();
        }
        let mut out = Vec::new();
        let filter = TopicFilter::new("#").unwrap();
        assert!(!tree.read(filter, &mut RetainedCursor::default(), page_of(9), Time(10), &mut out));
        assert_eq!(out.iter().map(Message::topic_str).collect::<Vec<_>>(), ["b", "c", "d"]);
        assert_eq!(tree.usage().count, 3, "met, so removed");
        assert_eq!([tree.sweep(Time(20), 1), tree.sweep(Time(20), 1)], [0, 1]);
        assert_eq!((tree.usage().count, tree.expiring), (2, 0));
    }

    #[test]
    fn the_sweep_goes_round() {
        let topics: Vec<_> = (0..100).map(|i| format!("t/{i}")).collect();
        let mut tree = RetainedTree::new(usize::MAX, usize::MAX);
        for (i, topic) in topics.iter().enumerate() {
            tree.set(&message(topic, b"x", Time(i as u64 % 2 + 1)), Time(0)).unwrap();
        }
        let swept: usize = (0..15).map(|_| tree.sweep(Time(1), 7)).sum();
        assert_eq!(swept, 50);
        let swept: usize = (0..15).map(|_| tree.sweep(Time(2), 7)).sum();
        assert_eq!((swept, tree.usage()), (50, RetainedUsage::default()));
    }

    #[test]
    fn a_hundred_thousand_are_read_while_others_come_and_go() {
        let topics: Vec<_> =
            (0..100_000).map(|i| format!("site/{}/{}/t", i % 100, i / 100)).collect();
        let mut tree = tree_of(topics.iter().map(String::as_str));
        assert_eq!(tree.usage().count, topics.len());
        let (mut cursor, mut out) = (RetainedCursor::default(), Vec::new());
        let mut pages = 0;
        while tree.read(
            TopicFilter::new("#").unwrap(),
            &mut cursor,
            page_of(997),
            Time(1),
            &mut out,
        ) {
            pages += 1;
            let gone = format!("zzz/{}", pages - 1);
            tree.clear(TopicName::new(&gone).unwrap());
            let last = out.last().unwrap().topic_str().to_owned();
            tree.set(&message(&last, b"replaced", Time::NEVER), Time(0)).unwrap();
            tree.set(&message(&format!("zzz/{pages}"), b"x", Time::NEVER), Time(0)).unwrap();
        }
        let mut read: Vec<_> = out.iter().map(Message::topic_str).collect();
        read.retain(|t| !t.starts_with("zzz"));
        assert!(
            read.is_sorted_by(|a, b| compare(a.as_bytes(), b.as_bytes()).is_lt()),
            "in order, none twice"
        );
        assert_eq!(read.len(), topics.len());
    }

    #[test]
    fn a_call_without_matches_returns_and_gets_on() {
        let topics: Vec<_> = (0..10_000).map(|i| format!("{i}/x")).collect();
        let mut tree = tree_of(topics.iter().map(String::as_str).chain(["9999/y"]));
        let (mut cursor, mut out, mut calls) = (RetainedCursor::default(), Vec::new(), 1);
        while tree.read(
            TopicFilter::new("+/y").unwrap(),
            &mut cursor,
            page_of(10),
            Time(1),
            &mut out,
        ) {
            calls += 1;
        }
        assert_eq!(out.len(), 1);
        assert!(calls > 50, "{calls}");
    }

    #[test]
    fn deep_topics_do_not_overflow_the_stack() {
        let deep = ["a"; 32_000].join("/");
        let other = format!("{}/b", ["a"; 31_999].join("/"));
        let mut tree = tree_of([deep.as_str(), other.as_str(), "a"]);
        let plus = ["+"; 32_000].join("/");
        assert_eq!(read_all(&mut tree, &plus, 1).len(), 2);
        assert_eq!(read_all(&mut tree, "a/#", 1).len(), 3);
        assert_eq!(read_all(&mut tree, &format!("{}/b", ["+"; 31_999].join("/")), 1).len(), 1);
    }
}
