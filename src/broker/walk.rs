//! The walk through the filter tree: which nodes match a topic.
//!
//! May use `topic`, `edges`, `levels`, `tree`. It goes by the table of edges alone, and reads nodes
//! for their values only: see `tree`. Invariants: every way is a node that is there and that the
//! topic leads to, and none is taken twice; ways that wait are at most one for each level of the
//! topic, and on the machine's stack as long as they are few, so that matching allocates nothing.

use super::edges::{Edges, HAS_HASH, HAS_LITERAL, HAS_PLUS};
use super::levels::{HASH, Levels, PLUS, UNKNOWN, Words};
use super::paths::{Path, Paths};
use crate::topic::TopicName;

const FEW: usize = 10;

/// The numbers of the topic's levels.
struct TopicLevels<'a> {
    text: &'a [u8],
    /// where the next one begins, behind the end when there is none
    next: usize,
    few: [u32; FEW],
    /// those behind them, as far as a way has come
    more: Vec<u32>,
    /// how many there are, once the last was read
    count: u32,
}

impl<'a> TopicLevels<'a> {
    #[inline(always)]
    fn new(text: &'a [u8], levels: &Levels) -> Self {
        let (mut few, mut next, mut count) = ([UNKNOWN; FEW], 0, u32::MAX);
        let tail = Tail::new(text);
        for (at, number) in few.iter_mut().enumerate() {
            let bytes = match text.get(next..).and_then(|rest| rest.first_chunk()) {
                Some(bytes) => u128::from_le_bytes(*bytes),
                None => tail.from(next),
            };
            match Words::before_slash(bytes) {
                Some((words, len)) => {
                    *number = levels.find_words(words);
                    next += len + 1;
                }
                None => (*number, next) = read(text, next, levels),
            }
            if next > text.len() {
                count = at as u32 + 1;
                break;
            }
        }
        Self { text, next, few, more: Vec::new(), count }
    }

    /// The number of a level that there is.
    #[inline(always)]
    fn get(&mut self, at: u32, levels: &Levels) -> u32 {
        match self.few.get(at as usize) {
            Some(number) => *number,
            None => self.get_more(at as usize - FEW, levels),
        }
    }

    #[cold]
    #[inline(never)]
    fn get_more(&mut self, at: usize, levels: &Levels) -> u32 {
        while at >= self.more.len() && self.next <= self.text.len() {
            let (number, next) = read(self.text, self.next, levels);
            self.more.push(number);
            self.next = next;
        }
        if self.next > self.text.len() {
            self.count = (FEW + self.more.len()) as u32;
        }
        self.more.get(at).copied().unwrap_or(UNKNOWN)
    }
}

/// The number of the level that begins there, and where the next one does.
#[cold]
#[inline(never)]
fn read(text: &[u8], start: usize, levels: &Levels) -> (u32, usize) {
    let rest = text.get(start..).unwrap_or_default();
    let len = rest.iter().position(|&b| b == b'/').unwrap_or(rest.len());
    (levels.find_text(&rest[..len]), start + len + 1)
}

/// The last 16 bytes of a text, or all of it, slashes behind it.
struct Tail {
    bytes: u128,
    start: usize,
}

impl Tail {
    #[inline(always)]
    fn new(text: &[u8]) -> Self {
        if let Some(last) = text.last_chunk() {
            return Self { bytes: u128::from_le_bytes(*last), start: text.len() - 16 };
        }
        let mut bytes = [b'/'; 16];
        bytes[..text.len()].copy_from_slice(text);
        Self { bytes: u128::from_le_bytes(bytes), start: 0 }
    }

    /// The bytes from there on, with slashes behind them.
    #[inline(always)]
    fn from(&self, start: usize) -> u128 {
        const SLASHES: u128 = u128::from_le_bytes([b'/'; 16]);
        let gone = 8 * (start - self.start) as u32;
        let left = self.bytes.checked_shr(gone).unwrap_or_default();
        left | SLASHES.checked_shl(128 - gone).unwrap_or_default()
    }
}

/// A node that the topic leads to.
#[derive(Clone, Copy, Default)]
struct Way {
    path: Path,
    id: u32,
    /// the level of the topic below it
    level: u32,
    /// which edges go on
    flags: u32,
}

/// Calls `visit` with every node that matches `topic`, each once, also with those without a value.
/// `root` is the root's number, `flags` which edges go on from there.
#[inline(always)]
pub(super) fn matches(
    (edges, levels, paths): (&Edges, &Levels, &Paths),
    (root, flags): (u32, u32),
    topic: TopicName<'_>,
    mut visit: impl FnMut(u32),
) {
    let mut topic_levels = TopicLevels::new(topic.as_str().as_bytes(), levels);
    let mut waiting = Ways::new();
    let mut way = Way { path: paths.root(), id: root, level: 0, flags };
    if topic.is_dollar() {
        way.flags &= HAS_LITERAL; // [MQTT-4.7.2-1]
    }
    let step = |way: Way, path: Path, level: u32| {
        let edge = edges.find(path.hash(), way.id, level)?;
        Some(Way { path, id: edge.id, level: way.level + 1, flags: edge.flags })
    };
    loop {
        if way.flags & HAS_HASH != 0
            && let Some(hash) = step(way, paths.wildcard(way.path, HASH), HASH)
        {
            visit(hash.id); // before the end is looked at: "a/#" matches "a" too
        }
        let mut next = None;
        if way.level == topic_levels.count {
            visit(way.id);
        } else if way.flags & (HAS_PLUS | HAS_LITERAL) != 0 {
            let level = topic_levels.get(way.level, levels);
            if way.flags & HAS_PLUS != 0
                && let Some(plus) = step(way, paths.wildcard(way.path, PLUS), PLUS)
            {
                waiting.push(plus);
            }
            if way.flags & HAS_LITERAL != 0 && level != UNKNOWN {
                next = step(way, paths.child(way.path, level), level);
            }
        }
        match next.or_else(|| waiting.pop()) {
            Some(next) => way = next,
            None => return,
        }
    }
}

/// The ways that wait while another is followed. Their words are kept apart: what is written in
/// halves and read as a whole at once is waited for.
struct Ways {
    few_paths: [Path; WAYS_FEW],
    few_ids: [u64; WAYS_FEW],
    few_flags: [u32; WAYS_FEW],
    few_len: usize,
    more: Vec<Way>,
}

const WAYS_FEW: usize = 12;

impl Ways {
    #[inline(always)]
    fn new() -> Self {
        Self {
            few_paths: [Path::default(); WAYS_FEW],
            few_ids: [0; WAYS_FEW],
            few_flags: [0; WAYS_FEW],
            few_len: 0,
            more: Vec::new(),
        }
    }

    #[inline(always)]
    fn push(&mut self, way: Way) {
        let at = self.few_len;
        if at == WAYS_FEW {
            self.more.push(way);
            return;
        }
        self.few_paths[at] = way.path;
        self.few_ids[at] = u64::from(way.level) << 32 | u64::from(way.id);
        self.few_flags[at] = way.flags;
        self.few_len += 1;
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<Way> {
        if let Some(way) = self.more.pop() {
            return Some(way);
        }
        let at = self.few_len.checked_sub(1)?;
        self.few_len = at;
        let (path, flags) = (*self.few_paths.get(at)?, self.few_flags[at]);
        Some(Way {
            path,
            id: self.few_ids[at] as u32,
            level: (self.few_ids[at] >> 32) as u32,
            flags,
        })
    }
}
