//! A session's queue as the index keeps it: where each entry stands, by its order.
//!
//! May use: nothing but the place. Invariants: orders rise from chunk to chunk and chunks do not
//! overlap; a chunk holds at least one entry. An entry costs 14 bytes.

use std::collections::VecDeque;

/// Where a record stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) offset: u32,
}

impl Place {
    /// Segments count from 1: nowhere.
    pub(super) const NONE: Self = Self { segment: 0, offset: 0 };

    pub(super) fn is_none(self) -> bool {
        self.segment == 0
    }
}

/// Entries per chunk at most.
const CHUNK: usize = 256;
/// Orders without an entry between two entries that still share a chunk.
const GAP_MAX: u64 = 16;

/// An entry's place and its message's number, in seven words of two bytes: with plain fields it
/// would be 16 bytes long, and there are millions.
#[derive(Clone, Copy, Default)]
struct Packed([u16; 7]);

impl Packed {
    fn new(place: Place, message: u64) -> Self {
        let (s, o) = (place.segment, place.offset);
        Self([
            s as u16,
            (s >> 16) as u16,
            o as u16,
            (o >> 16) as u16,
            message as u16,
            (message >> 16) as u16,
            (message >> 32) as u16,
        ])
    }

    fn place(self) -> Place {
        let [s0, s1, o0, o1, ..] = self.0.map(u32::from);
        Place { segment: s0 | s1 << 16, offset: o0 | o1 << 16 }
    }

    fn message(self) -> u64 {
        let [.., m0, m1, m2] = self.0.map(u64::from);
        m0 | m1 << 16 | m2 << 32
    }

    fn is_none(self) -> bool {
        self.0[0] == 0 && self.0[1] == 0
    }

    fn entry(self, order: u64) -> QueueEntry {
        QueueEntry { order, place: self.place(), message: self.message() }
    }
}

struct Chunk {
    first: u64,
    live: u32,
    entries: Vec<Packed>,
}

impl Chunk {
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }
}

/// A waiting entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueEntry {
    pub(super) order: u64,
    pub(super) place: Place,
    /// its message's number
    pub(super) message: u64,
}

/// Entries by order.
#[derive(Default)]
pub(super) struct Queue {
    chunks: VecDeque<Chunk>,
    count: usize,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The chunk that covers `order`, or where one would stand.
    fn chunk(&self, order: u64) -> Result<usize, usize> {
        // Mostly it is the last or the first.
        let at = match self.chunks.back() {
            Some(last) if order >= last.first => self.chunks.len(),
            _ => self.chunks.partition_point(|chunk| chunk.first <= order),
        };
        match at.checked_sub(1) {
            Some(before) if order < self.chunks[before].end() => Ok(before),
            _ => Err(at),
        }
    }

    pub(super) fn get(&self, order: u64) -> Option<QueueEntry> {
        let chunk = &self.chunks[self.chunk(order).ok()?];
        let packed = chunk.entries[(order - chunk.first) as usize];
        (!packed.is_none()).then(|| packed.entry(order))
    }

    /// Puts an entry in, in place of what is there: that is returned.
    pub(super) fn set(&mut self, entry: QueueEntry) -> Option<QueueEntry> {
        let packed = Packed::new(entry.place, entry.message);
        let at = match self.chunk(entry.order) {
            Ok(at) => {
                let chunk = &mut self.chunks[at];
                let slot = &mut chunk.entries[(entry.order - chunk.first) as usize];
                let before = std::mem::replace(slot, packed);
                if before.is_none() {
                    chunk.live += 1;
                    self.count += 1;
                    return None;
                }
                return Some(before.entry(entry.order));
            }
            Err(at) => at,
        };
        self.count += 1;
        // `chunk` found that the one before ends at or before this order.
        if let Some(before) = at.checked_sub(1).map(|before| &mut self.chunks[before])
            && entry.order - before.end() <= GAP_MAX
            && entry.order - before.first < CHUNK as u64
        {
            before.entries.resize((entry.order - before.first) as usize, Packed::default());
            before.entries.push(packed);
            before.live += 1;
            return None;
        }
        let chunk = Chunk { first: entry.order, live: 1, entries: vec![packed] };
        self.chunks.insert(at, chunk);
        None
    }

    pub(super) fn remove(&mut self, order: u64) -> Option<QueueEntry> {
        let entry = self.get(order)?;
        let at = self.chunk(order).ok()?;
        let chunk = &mut self.chunks[at];
        chunk.entries[(order - chunk.first) as usize] = Packed::default();
        chunk.live -= 1;
        self.count -= 1;
        if chunk.live == 0 {
            self.chunks.remove(at);
        }
        if self.chunks.is_empty() {
            self.chunks = VecDeque::new(); // an idle session owns no buffer
        }
        Some(entry)
    }

    /// The entries at or behind `order`, in order.
    pub(super) fn from(&self, order: u64) -> impl Iterator<Item = QueueEntry> {
        let at = match self.chunk(order) {
            Ok(at) | Err(at) => at,
        };
        self.chunks
            .range(at..)
            .flat_map(|chunk| (chunk.first..).zip(&chunk.entries))
            .filter(move |&(n, packed)| n >= order && !packed.is_none())
            .map(|(order, packed)| packed.entry(order))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = QueueEntry> {
        self.from(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn it_is_a_map_by_order() {
        let (mut queue, mut plain) = (Queue::default(), BTreeMap::new());
        let mut state = 1_u64;
        let mut random = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % n
        };
        for step in 0..40_000 {
            let order = step / 8 + random(600) - random(300).min(step / 8);
            if random(3) > 0 {
                let place = Place { segment: 1 + random(70_000) as u32, offset: random(9) as u32 };
                let entry = QueueEntry { order, place, message: 1 + random(1 << 40) };
                assert_eq!(queue.set(entry), plain.insert(order, entry));
            } else {
                assert_eq!(queue.remove(order), plain.remove(&order));
            }
            assert_eq!((queue.get(order), queue.len()), (plain.get(&order).copied(), plain.len()));
            if step % 997 == 0 {
                assert!(queue.from(order).eq(plain.range(order..).map(|(_, e)| *e)));
                assert!(queue.iter().eq(plain.values().copied()));
            }
        }
        while let Some((order, entry)) = plain.pop_last() {
            assert_eq!(queue.remove(order), Some(entry));
        }
        assert_eq!((queue.len(), queue.chunks.capacity(), size_of::<Packed>()), (0, 0, 14));
    }
}
