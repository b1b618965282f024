//! What the hook has said, for as long as it counts.
//!
//! Invariant: all answers together are within a number of bytes; the oldest gives way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Answer;

/// The keyed hash of a question: nobody outside can make two that share it.
pub(super) type Key = [u8; 32];

/// Bytes of all answers.
const CACHE_BYTES_MAX: usize = 4 << 20;
/// What an entry costs beside its answer's text.
const ENTRY_BYTES: usize = 256;
/// No answer counts longer, whatever it says.
const KEPT_MAX: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: BTreeMap<Key, Entry>,
    /// in the order in which they came; one that was replaced stands here twice
    order: VecDeque<(Key, u64)>,
    bytes: usize,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    answer: Arc<Answer>,
    until: Instant,
    bytes: usize,
    number: u64,
}

impl Cache {
    pub(super) fn get(&mut self, key: &Key, now: Instant) -> Option<Arc<Answer>> {
        let entry = self.entries.get(key)?;
        if entry.until > now {
            return Some(Arc::clone(&entry.answer));
        }
        self.remove(key);
        None
    }

    /// `bytes`: how long the answer's text was.
    pub(super) fn put(
        &mut self,
        key: Key,
        answer: Arc<Answer>,
        bytes: usize,
        now: Instant,
        kept: Duration,
    ) {
        self.remove(&key);
        let (bytes, until) = (bytes + ENTRY_BYTES, now + kept.min(KEPT_MAX));
        self.next += 1;
        let number = self.next;
        self.bytes += bytes;
        self.order.push_back((key, number));
        self.entries.insert(key, Entry { answer, until, bytes, number });
        while let Some(&(oldest, number)) = self.order.front() {
            let current = self.entries.get(&oldest).filter(|entry| entry.number == number);
            let goes = current.is_none_or(|e| e.until <= now || self.bytes > CACHE_BYTES_MAX);
            if !goes {
                break;
            }
            if current.is_some() {
                self.remove(&oldest);
            }
            self.order.pop_front();
        }
        if self.order.len() > 2 * self.entries.len() + 64 {
            let entries = &self.entries;
            self.order.retain(|(key, n)| entries.get(key).is_some_and(|e| e.number == *n));
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(allow: bool) -> Arc<Answer> {
        Arc::new(Answer { allow, user: None, roles: Vec::new(), acl: None, cache_s: None })
    }

    fn key(n: usize) -> Key {
        let mut key = Key::default();
        key[..8].copy_from_slice(&n.to_be_bytes());
        key
    }

    #[test]
    fn an_answer_counts_for_its_time() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        let second = Duration::from_secs(1);
        cache.put(key(1), answer(true), 10, now, 10 * second);
        assert!(cache.get(&key(1), now + 9 * second).is_some_and(|a| a.allow));
        assert!(cache.get(&key(2), now).is_none());
        cache.put(key(1), answer(false), 10, now, 20 * second);
        assert!(cache.get(&key(1), now + 15 * second).is_some_and(|a| !a.allow), "the newer one");
        assert!(cache.get(&key(1), now + 20 * second).is_none());
        assert_eq!((cache.bytes, cache.entries.len()), (0, 0));
    }

    #[test]
    fn the_oldest_gives_way() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        let long = Duration::from_secs(60);
        let fits = CACHE_BYTES_MAX / (1000 + ENTRY_BYTES);
        for n in 0..2 * fits {
            cache.put(key(n), answer(true), 1000, now, long);
            assert!(cache.bytes <= CACHE_BYTES_MAX);
        }
        assert_eq!(cache.entries.len(), fits);
        assert!(cache.get(&key(fits - 1), now).is_none());
        assert!(cache.get(&key(fits), now).is_some());
        // The same question again and again leaves nothing behind.
        for _ in 0..3 * fits {
            cache.put(key(2 * fits - 1), answer(true), 1000, now, long);
        }
        assert!(cache.order.len() <= 2 * fits + 64, "{}", cache.order.len());
    }
}
