//! Structured values out of plain bytes: every input means something, a small change of it mostly
//! a small change of what it means, and when it is used up everything is the first choice.

use std::cell::OnceCell;

use stonechat::codec::{PacketId, QoS};
use stonechat::topic::{SubscriptionFilter, TopicName};

/// Few, so that topics and filters meet.
pub const TOPICS: [&str; 16] = [
    "a",
    "b",
    "a/b",
    "a/b/c",
    "/",
    "a/",
    "/a",
    "a//b",
    "$SYS/x",
    "$x/a",
    "é/a",
    "b/b",
    "a/a/a",
    "a level that is long/b",
    "$share/g/a",
    "+",
];

/// The last of [`TOPICS`] is none; here everything is one.
pub const FILTERS: [&str; 24] = [
    "#",
    "a",
    "+",
    "a/#",
    "a/+",
    "+/b",
    "a/b",
    "+/+",
    "$share/g/a/#",
    "$share/g/#",
    "$share/h/a/b",
    "$share/h/+",
    "$share/g/a",
    "b",
    "a/b/c",
    "/#",
    "+/+/#",
    "$SYS/#",
    "$x/+",
    "é/#",
    "a//b",
    "/",
    "a level that is long/#",
    "$sharex/+",
];

/// Bytes that are taken from the front.
#[derive(Clone)]
pub struct Source<'a> {
    data: &'a [u8],
}

impl<'a> Source<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self { data }
    }

    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        match self.data.split_first() {
            Some((&first, rest)) => {
                self.data = rest;
                first
            }
            None => 0,
        }
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    pub fn u32(&mut self) -> u32 {
        u32::from(self.u16()) | u32::from(self.u16()) << 16
    }

    /// A number below `n`, which is at most 256.
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    /// `value`, or nothing.
    pub fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| value(self))
    }

    /// As many bytes as their first one says.
    pub fn bytes(&mut self) -> &'a [u8] {
        let n = match self.byte() {
            n @ 0..240 => usize::from(n) % 24,
            n => usize::from(n - 239) * 40,
        };
        self.take(n)
    }

    /// `n` bytes, or what there is.
    pub fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.data.split_at(n.min(self.data.len()));
        self.data = rest;
        taken
    }

    /// Any text without U+0000.
    pub fn text(&mut self) -> &'a str {
        let bytes = self.bytes();
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(e) => std::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default(),
        };
        text.split('\0').next().unwrap_or_default()
    }

    /// A Topic Name, mostly one of [`TOPICS`].
    pub fn topic(&mut self) -> TopicName<'a> {
        let text = match self.byte() {
            n @ 0..224 => TOPICS[usize::from(n) % TOPICS.len()],
            _ => self.text().split(['+', '#']).next().unwrap_or_default(),
        };
        TopicName::new(text).or(TopicName::new("a/b")).expect("a topic")
    }

    /// A Topic Filter, mostly one of [`FILTERS`].
    pub fn filter(&mut self) -> SubscriptionFilter<'a> {
        let text = match self.byte() {
            n @ 0..224 => FILTERS[usize::from(n) % FILTERS.len()],
            _ => self.text(),
        };
        SubscriptionFilter::parse(text).or(SubscriptionFilter::parse("#")).expect("a filter")
    }

    pub fn qos(&mut self) -> QoS {
        self.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
    }

    /// A Packet Identifier, mostly a small one.
    pub fn packet_id(&mut self) -> PacketId {
        let id = match self.byte() {
            n @ 0..240 => 1 + u16::from(n) % 8,
            _ => self.u16(),
        };
        PacketId::new(id).unwrap_or(PacketId::MAX)
    }
}

/// Where bytes are kept that packets borrow.
#[derive(Default)]
pub struct Shelf([OnceCell<Vec<u8>>; 4]);

impl Shelf {
    /// Keeps `bytes`; there is room for four.
    pub fn keep(&self, bytes: Vec<u8>) -> &[u8] {
        let free = self.0.iter().find(|place| place.get().is_none()).expect("room on the shelf");
        free.get_or_init(|| bytes)
    }
}
