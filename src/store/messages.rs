//! The messages that are alive: by number, where each stands and how many entries name it; and how
//! much is alive in each segment.
//!
//! May use: the place, hashbrown. Invariant: a message without a reference is gone when the batch
//! that took the last one ends. A message costs 9 bytes, 25 where one of its chunk is large, has
//! many entries, or stands far from the others.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::queue::Place;

/// Messages per chunk, a power of two: numbers that are alive are mostly neighbours.
const CHUNK: u64 = 32;

/// Where a message stands and who needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slot {
    /// `NONE`: it was named, but not met (yet)
    pub(super) place: Place,
    /// topic, properties and payload
    pub(super) bytes: u32,
    pub(super) refs: u32,
}

impl Slot {
    fn is_free(&self) -> bool {
        self.refs == 0 && self.place.is_none()
    }
}

/// A slot whose segment is near that of its chunk: the offset, then how many bytes (two), how many
/// references (one), and how far its segment is from there, and one more, or 0 for nowhere. What is
/// free is 0.
#[derive(Clone, Copy, Default)]
struct Near(u64);

const BYTES_SHIFT: u32 = 32;
const REFS_SHIFT: u32 = 48;
const SEGMENT_SHIFT: u32 = 56;

impl Near {
    fn new(slot: Slot, base: u32) -> Option<Self> {
        let Slot { place, bytes, refs } = slot;
        let segment = match place.is_none() {
            true => 0,
            false => u8::try_from(place.segment.checked_sub(base)?).ok()?.checked_add(1)?,
        };
        let (bytes, refs) = (u16::try_from(bytes).ok()?, u8::try_from(refs).ok()?);
        Some(Self(
            u64::from(place.offset)
                | u64::from(bytes) << BYTES_SHIFT
                | u64::from(refs) << REFS_SHIFT
                | u64::from(segment) << SEGMENT_SHIFT,
        ))
    }

    fn slot(self, base: u32) -> Slot {
        let segment = match (self.0 >> SEGMENT_SHIFT) as u32 {
            0 => 0,
            above => base + above - 1,
        };
        Slot {
            place: Place { segment, offset: self.0 as u32 },
            bytes: u32::from((self.0 >> BYTES_SHIFT) as u16),
            refs: u32::from((self.0 >> REFS_SHIFT) as u8),
        }
    }
}

/// Neighbours by number, which mostly were written one behind the other.
#[derive(Default)]
struct Chunk {
    used: u32,
    /// the first segment that one of them stood in, 0: none yet
    base: u32,
    near: [Near; CHUNK as usize],
    /// all of them, once one does not fit there
    far: Option<Box<[Slot; CHUNK as usize]>>,
}

impl Chunk {
    fn get(&self, number: u64) -> Slot {
        let at = (number % CHUNK) as usize;
        self.far.as_ref().map_or_else(|| self.near[at].slot(self.base), |far| far[at])
    }

    fn put(&mut self, number: u64, slot: Slot) {
        let at = (number % CHUNK) as usize;
        if self.base == 0 {
            self.base = slot.place.segment;
        }
        match (Near::new(slot, self.base), &mut self.far) {
            (Some(near), None) => self.near[at] = near,
            (_, Some(far)) => far[at] = slot,
            (None, far) => {
                let mut all = self.near.map(|near| near.slot(self.base));
                all[at] = slot;
                *far = Some(Box::new(all));
            }
        }
    }
}

/// Live messages by number.
pub(super) struct Messages {
    chunks: HashMap<u64, Box<Chunk>, FixedState>,
    /// the chunk of the highest numbers, which is not among those: nearly all that comes is there
    newest: (u64, Box<Chunk>),
    count: usize,
}

impl Messages {
    pub(super) fn new(seed: u64) -> Self {
        let chunks = HashMap::with_hasher(FixedState::with_seed(seed));
        Self { chunks, newest: (0, Box::default()), count: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn get(&self, number: u64) -> Option<Slot> {
        let at = number / CHUNK;
        let chunk = if at == self.newest.0 { &self.newest.1 } else { self.chunks.get(&at)? };
        let slot = chunk.get(number);
        (!slot.is_free()).then_some(slot)
    }

    /// The chunk of these numbers, made if there is none.
    fn chunk(&mut self, at: u64) -> &mut Chunk {
        if at > self.newest.0 {
            let (before, chunk) = std::mem::replace(&mut self.newest, (at, Box::default()));
            if chunk.used > 0 {
                self.chunks.insert(before, chunk);
            }
        }
        match at == self.newest.0 {
            true => &mut self.newest.1,
            false => self.chunks.entry(at).or_default(),
        }
    }

    /// Gives a message that is not known its slot. Returns false if it is known.
    pub(super) fn add(&mut self, number: u64, slot: Slot) -> bool {
        let chunk = self.chunk(number / CHUNK);
        let is_new = chunk.get(number).is_free();
        if is_new {
            chunk.put(number, slot);
            chunk.used += 1;
            self.count += 1;
        }
        is_new
    }

    /// Changes a message's slot, which is made if there is none and goes if it is free then.
    pub(super) fn change<R>(&mut self, number: u64, change: impl FnOnce(&mut Slot) -> R) -> R {
        let at = number / CHUNK;
        let chunk = self.chunk(at);
        let mut slot = chunk.get(number);
        let before = slot.is_free();
        let result = change(&mut slot);
        let after = slot.is_free();
        chunk.put(number, if after { Slot::default() } else { slot });
        chunk.used = chunk.used + u32::from(before) - u32::from(after);
        let is_over = chunk.used == 0;
        self.count = self.count + usize::from(before) - usize::from(after);
        if is_over && at != self.newest.0 {
            self.chunks.remove(&at);
        }
        result
    }
}

/// What a message takes in a segment besides its own bytes, about.
const MESSAGE_OVERHEAD_BYTES: u64 = 32;

/// How much of a segment is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// bytes that batches take, header included
    pub(super) used: u64,
    /// live messages and what they take
    messages: u32,
    message_bytes: u64,
    /// records that are no messages: in force, in all, and what all take
    live: u32,
    total: u32,
    total_bytes: u64,
    /// retained topics that were cleared here: remembered until the segment goes
    pub(super) marks: u32,
}

impl Usage {
    /// Whether nothing here is in force.
    pub(super) fn is_dead(&self) -> bool {
        self.messages == 0 && self.live == 0
    }

    /// What is in force, in bytes: exact for messages, by the average for the rest.
    pub(super) fn live_bytes(&self) -> u64 {
        let average = self.total_bytes.checked_div(u64::from(self.total)).unwrap_or(0);
        self.message_bytes + u64::from(self.live) * average
    }
}

/// All segments' usage, by number.
#[derive(Default)]
pub(super) struct Segments {
    first: u32,
    list: VecDeque<Usage>,
}

impl Segments {
    /// The segment, which is added with all before it if it is new. Nothing about segments that
    /// are gone or about no place.
    pub(super) fn get_mut(&mut self, segment: u32) -> Option<&mut Usage> {
        if segment == 0 {
            return None;
        }
        if self.list.is_empty() {
            self.first = segment;
        }
        let at = segment.checked_sub(self.first)? as usize;
        if at >= self.list.len() {
            self.list.resize(at + 1, Usage::default());
        }
        self.list.get_mut(at)
    }

    pub(super) fn get(&self, segment: u32) -> Usage {
        let at = segment.checked_sub(self.first);
        at.and_then(|at| self.list.get(at as usize)).copied().unwrap_or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Usage)> {
        (self.first..).zip(&self.list)
    }

    /// Forgets the oldest segments, those below `oldest`.
    pub(super) fn forget_below(&mut self, oldest: u32) {
        while self.first < oldest && self.list.pop_front().is_some() {
            self.first += 1;
        }
    }

    pub(super) fn record_begins(&mut self, place: Place) {
        if let Some(usage) = self.get_mut(place.segment) {
            usage.live += 1;
        }
    }

    /// Counts a record of `bytes` that is no message, in force or not.
    pub(super) fn record_written(&mut self, segment: u32, bytes: u64) {
        if let Some(usage) = self.get_mut(segment) {
            usage.total += 1;
            usage.total_bytes += bytes;
        }
    }

    /// A message of `message_bytes` and its entry, a record of `entry_bytes`, both in force, were
    /// written.
    pub(super) fn delivery_begins(&mut self, segment: u32, message_bytes: u32, entry_bytes: u64) {
        if let Some(usage) = self.get_mut(segment) {
            usage.messages += 1;
            usage.message_bytes += u64::from(message_bytes) + MESSAGE_OVERHEAD_BYTES;
            usage.live += 1;
            usage.total += 1;
            usage.total_bytes += entry_bytes;
        }
    }

    pub(super) fn record_ends(&mut self, place: Place) {
        if !place.is_none()
            && let Some(usage) = self.get_mut(place.segment)
        {
            usage.live = usage.live.saturating_sub(1);
        }
    }

    pub(super) fn message_begins(&mut self, slot: Slot) {
        if let Some(usage) = self.get_mut(slot.place.segment) {
            usage.messages += 1;
            usage.message_bytes += u64::from(slot.bytes) + MESSAGE_OVERHEAD_BYTES;
        }
    }

    pub(super) fn message_ends(&mut self, slot: Slot) {
        if !slot.place.is_none()
            && let Some(usage) = self.get_mut(slot.place.segment)
        {
            let bytes = u64::from(slot.bytes) + MESSAGE_OVERHEAD_BYTES;
            usage.messages = usage.messages.saturating_sub(1);
            usage.message_bytes = usage.message_bytes.saturating_sub(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn it_is_a_map_by_number() {
        let (mut messages, mut plain) = (Messages::new(1), BTreeMap::new());
        let mut state = 1_u64;
        let mut random = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % n
        };
        for step in 0..40_000_u64 {
            let number = 1 + step / 8 + random(300);
            // Some are not met yet; some do not fit into eight bytes, each for its own reason.
            let at = 2 + step / 1_000;
            let (segment, bytes, refs) = match random(60) {
                0 => (0, random(9), 1 + random(9)),
                1 => (at, (1 << 16) - random(2), random(9)),
                2 => (at, random(9), 256 - random(2)),
                3 => (at + 255 - random(2), random(9), random(9)),
                4 => (at - random(2), random(9), random(9)),
                _ => (at, random(9), random(9)),
            };
            let place = Place { segment: segment as u32, offset: random(1 << 32) as u32 };
            let slot = Slot { place, bytes: bytes as u32, refs: refs as u32 };
            match random(3) {
                0 => {
                    let is_new = !plain.contains_key(&number);
                    assert_eq!(messages.add(number, slot), is_new);
                    plain.entry(number).or_insert(slot);
                }
                1 => {
                    let before = messages.change(number, |known| std::mem::replace(known, slot));
                    assert_eq!(before, plain.insert(number, slot).unwrap_or_default());
                }
                _ => {
                    messages.change(number, |known| *known = Slot::default());
                    plain.remove(&number);
                }
            }
            assert_eq!(
                (messages.get(number), messages.len()),
                (plain.get(&number).copied(), plain.len())
            );
            let far = messages.chunks.values().filter(|chunk| chunk.far.is_some()).count();
            assert!(step < 1_000 || (1..messages.chunks.len()).contains(&far), "{far}");
        }
        for number in std::mem::take(&mut plain).into_keys() {
            assert!(messages.get(number).is_some());
            messages.change(number, |known| *known = Slot::default());
        }
        assert_eq!((messages.len(), messages.chunks.len()), (0, 0));
    }
}
