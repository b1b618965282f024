//! A session's queue as the index keeps it: where each entry stands, by its order.
//!
//! May use: nothing but the place. Invariants: orders rise from chunk to chunk and chunks do not
//! overlap; a chunk holds at least one entry. An entry costs 8 bytes, 14 where those of its chunk
//! are far apart.

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

/// An entry that is near its chunk's base: its offset, in the fifth to seventh byte how far its
/// message is from there, and in the last one how far its segment is, and one more. 0: none.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Near(u64);

const MESSAGE_BITS: u32 = 24;
const SEGMENT_SHIFT: u32 = 32 + MESSAGE_BITS;

/// An entry's place and its message's number, wherever they are, in seven words of two bytes: with
/// plain fields it would be 16 bytes long.
#[derive(Clone, Copy, Default)]
struct Far([u16; 7]);

impl Far {
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

    fn get(self) -> Option<(Place, u64)> {
        let [s0, s1, o0, o1, ..] = self.0.map(u32::from);
        let [.., m0, m1, m2] = self.0.map(u64::from);
        let place = Place { segment: s0 | s1 << 16, offset: o0 | o1 << 16 };
        (!place.is_none()).then_some((place, m0 | m1 << 16 | m2 << 32))
    }
}

/// What most entries are near to: the first one of their chunk.
#[derive(Clone, Copy)]
struct Base {
    segment: u32,
    message: u64,
}

impl Base {
    fn pack(self, place: Place, message: u64) -> Option<Near> {
        let segment =
            u8::try_from(place.segment.checked_sub(self.segment)?).ok()?.checked_add(1)?;
        let message = message.checked_sub(self.message)?;
        (message >> MESSAGE_BITS == 0).then_some(Near(
            u64::from(place.offset) | message << 32 | u64::from(segment) << SEGMENT_SHIFT,
        ))
    }

    fn unpack(self, near: Near) -> Option<(Place, u64)> {
        let segment = self.segment + ((near.0 >> SEGMENT_SHIFT) as u32).checked_sub(1)?;
        let message = self.message + (near.0 >> 32 & ((1 << MESSAGE_BITS) - 1));
        Some((Place { segment, offset: near.0 as u32 }, message))
    }
}

/// A chunk's entries, by what their order is more than its first. One that is not near its base is
/// rare: then all of them are written out.
enum Entries {
    Near(Base, Vec<Near>),
    Far(Vec<Far>),
}

impl Entries {
    fn new(place: Place, message: u64, room: usize) -> Self {
        let base = Base { segment: place.segment, message };
        let mut entries = Self::Near(base, Vec::with_capacity(room));
        entries.put(0, place, message);
        entries
    }

    fn len(&self) -> usize {
        match self {
            Self::Near(_, entries) => entries.len(),
            Self::Far(entries) => entries.len(),
        }
    }

    fn get(&self, at: usize) -> Option<(Place, u64)> {
        match self {
            Self::Near(base, entries) => base.unpack(*entries.get(at)?),
            Self::Far(entries) => entries.get(at)?.get(),
        }
    }

    fn clear(&mut self, at: usize) {
        match self {
            Self::Near(_, entries) => entries[at] = Near::default(),
            Self::Far(entries) => entries[at] = Far::default(),
        }
    }

    /// Puts an entry at `at`, which may be at or behind the end.
    fn put(&mut self, at: usize, place: Place, message: u64) {
        match self {
            Self::Near(base, entries) => match base.pack(place, message) {
                Some(near) => put(entries, at, near),
                None => {
                    let far = |near| base.unpack(near).map_or(Far::default(), far_of);
                    let mut entries: Vec<_> = entries.iter().map(|near| far(*near)).collect();
                    put(&mut entries, at, Far::new(place, message));
                    *self = Self::Far(entries);
                }
            },
            Self::Far(entries) => put(entries, at, Far::new(place, message)),
        }
    }
}

fn far_of((place, message): (Place, u64)) -> Far {
    Far::new(place, message)
}

fn put<T: Copy + Default>(entries: &mut Vec<T>, at: usize, entry: T) {
    match entries.get_mut(at) {
        Some(slot) => *slot = entry,
        None => {
            if at > entries.len() {
                entries.resize(at, T::default());
            }
            entries.push(entry);
        }
    }
}

struct Chunk {
    first: u64,
    live: u32,
    entries: Entries,
}

impl Chunk {
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn get(&self, order: u64) -> Option<QueueEntry> {
        let at = usize::try_from(order.checked_sub(self.first)?).ok()?;
        let (place, message) = self.entries.get(at)?;
        Some(QueueEntry { order, place, message })
    }

    fn put(&mut self, entry: QueueEntry) {
        let at = (entry.order - self.first) as usize;
        self.entries.put(at, entry.place, entry.message);
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
        self.chunks[self.chunk(order).ok()?].get(order)
    }

    /// Puts an entry in, in place of what is there: that is returned.
    pub(super) fn set(&mut self, entry: QueueEntry) -> Option<QueueEntry> {
        let at = match self.chunk(entry.order) {
            Ok(at) => {
                let chunk = &mut self.chunks[at];
                let before = chunk.get(entry.order);
                chunk.put(entry);
                if before.is_none() {
                    chunk.live += 1;
                    self.count += 1;
                }
                return before;
            }
            Err(at) => at,
        };
        self.count += 1;
        let mut room = 1;
        // `chunk` found that the one before ends at or before this order.
        if let Some(before) = at.checked_sub(1).map(|before| &mut self.chunks[before])
            && entry.order - before.end() <= GAP_MAX
        {
            if entry.order - before.first < CHUNK as u64 {
                before.put(entry);
                before.live += 1;
                return None;
            }
            room = CHUNK; // as many will come as came
        }
        let entries = Entries::new(entry.place, entry.message, room);
        self.chunks.insert(at, Chunk { first: entry.order, live: 1, entries });
        None
    }

    pub(super) fn remove(&mut self, order: u64) -> Option<QueueEntry> {
        let at = self.chunk(order).ok()?;
        let chunk = &mut self.chunks[at];
        let entry = chunk.get(order)?;
        chunk.entries.clear((order - chunk.first) as usize);
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
            .flat_map(move |chunk| (chunk.first.max(order)..chunk.end()).map(|n| chunk.get(n)))
            .flatten()
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
                let (segment, message) = match step / 8_000 {
                    // Near each other, then at the bounds of what is near, then anywhere.
                    0 | 1 => (1 + step / 500 + random(2), 1 + step * 3 + random(4)),
                    2 => (9 + 85 * random(4), 1 + ((1 << 23) - 1) * random(4)),
                    _ => (1 + random(70_000), 1 + random(1 << 40)),
                };
                let place = Place { segment: segment as u32, offset: random(9) as u32 };
                let entry = QueueEntry { order, place, message };
                assert_eq!(queue.set(entry), plain.insert(order, entry));
            } else {
                assert_eq!(queue.remove(order), plain.remove(&order));
            }
            assert_eq!((queue.get(order), queue.len()), (plain.get(&order).copied(), plain.len()));
            if step % 997 == 0 {
                let near = queue.chunks.iter().filter(|c| matches!(c.entries, Entries::Near(..)));
                assert!(step > 16_000 || near.count() > 0, "{step}");
                assert!(queue.from(order).eq(plain.range(order..).map(|(_, e)| *e)));
                assert!(queue.iter().eq(plain.values().copied()));
            }
        }
        while let Some((order, entry)) = plain.pop_last() {
            assert_eq!(queue.remove(order), Some(entry));
        }
        assert_eq!((queue.len(), queue.chunks.capacity(), size_of::<Far>()), (0, 0, 14));
    }
}
