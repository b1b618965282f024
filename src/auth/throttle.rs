//! What wrong passwords cost: delays that grow, for the source that they came from, and for a user
//! name from that source. Never for a user name alone, or anybody could lock anybody out.
//!
//! Each wrong password doubles the delay, from a first one to a maximum; each while without one
//! halves it again. Of a user name only a keyed hash is kept: two that share one share a delay.
//!
//! May use hashbrown. The time and the hash seed are arguments. Invariant: never more entries than
//! `entries_max`. Who fills the table pushes out those with the fewest wrong passwords, not those
//! with the most; what was pushed out is counted.

use std::cmp::Reverse;
use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;
use hashbrown::HashMap;

/// Entries that a table has at least: less is no throttle.
const ENTRIES_MIN: usize = 16;
/// Doublings after which no delay grows any more, whatever its maximum.
const LEVEL_MAX: u32 = 32;

/// The limits of a [`Throttle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleLimits {
    /// the delay after the first wrong password; 0: no delays
    pub first_delay_ms: u64,
    /// what it doubles up to
    pub delay_max_ms: u64,
    /// wrong passwords of one source, whatever the user names, that cost the source nothing yet:
    /// behind one address there may be many
    pub free_per_source: u32,
    /// after so long without a wrong password the delay is halved, and in the end forgotten
    pub decay_ms: u64,
    /// sources, and user names from sources, that are remembered
    pub entries_max: usize,
}

impl ThrottleLimits {
    /// With these delays, everything else as usual: 8 free wrong passwords per source, a decay of a
    /// minute, 10,000 entries (about 1 MiB).
    pub const fn new(first_delay_ms: u64, delay_max_ms: u64) -> Self {
        Self {
            first_delay_ms,
            delay_max_ms,
            free_per_source: 8,
            decay_ms: 60_000,
            entries_max: 10_000,
        }
    }
}

/// A source, or a user name from it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    source: u128,
    /// `None`: the source itself
    user: Option<u64>,
}

#[derive(Clone, Copy)]
struct Entry {
    /// wrong passwords that count, at most as many as make the greatest delay
    wrong: u32,
    /// when one of them was added or taken off last
    changed_ms: u64,
    /// until when attempts wait
    closed_ms: u64,
}

/// See the module.
pub struct Throttle {
    limits: ThrottleLimits,
    seed: u64,
    entries: HashMap<Key, Entry, FixedState>,
    pushed_out: u64,
}

impl Throttle {
    /// Nobody has done anything yet. The seed is to be random and secret.
    pub fn new(seed: u64, limits: ThrottleLimits) -> Self {
        let entries = HashMap::with_hasher(FixedState::with_seed(seed));
        Self { limits, seed, entries, pushed_out: 0 }
    }

    /// Other limits from now on. What was counted stays, as far as it finds room.
    pub fn set_limits(&mut self, now_ms: u64, limits: ThrottleLimits) {
        self.limits = limits;
        while self.entries.len() > self.entries_max() {
            self.make_room(now_ms);
        }
    }

    /// How long an attempt that comes now has to wait before its password may be looked at, in ms.
    ///
    /// After a wrong password, attempts with that user name from that source go one at a time:
    /// asking takes the next place, so that many connections at once gain nothing. Nobody waits
    /// longer than `delay_max_ms`.
    pub fn delay_ms(&mut self, now_ms: u64, source: u128, user: &str) -> u64 {
        let (limits, pair) = (self.limits, self.pair(source, user));
        let wait_ms = |entry: &Entry| entry.closed_ms.saturating_sub(now_ms);
        let for_source = self.look(now_ms, Key { source, user: None }).map_or(0, |it| wait_ms(it));
        let for_pair = self.look(now_ms, pair).map_or(0, |entry| {
            let wait_ms = wait_ms(entry);
            entry.take_place(now_ms, &limits);
            wait_ms
        });
        for_source.max(for_pair).min(limits.delay_max_ms)
    }

    /// The password was wrong, or the user is not there.
    pub fn failed(&mut self, now_ms: u64, source: u128, user: &str) {
        let (limits, pair) = (self.limits, self.pair(source, user));
        if limits.first_delay_ms == 0 {
            return;
        }
        for (key, free) in [(Key { source, user: None }, limits.free_per_source), (pair, 0)] {
            if self.look(now_ms, key).is_none() && self.entries.len() >= self.entries_max() {
                self.make_room(now_ms);
            }
            let new = Entry { wrong: 0, changed_ms: now_ms, closed_ms: now_ms };
            let entry = self.entries.entry(key).or_insert(new);
            entry.wrong = limits.wrong_max().saturating_add(free).min(entry.wrong + 1);
            entry.changed_ms = now_ms;
            let delay_ms = limits.delay_ms(entry.wrong.saturating_sub(free));
            entry.closed_ms = entry.closed_ms.max(now_ms.saturating_add(delay_ms));
        }
    }

    /// The password was right: what this user name from this source did is forgotten. The source's
    /// own entry stays: or one's own account would make guessing others free.
    pub fn succeeded(&mut self, now_ms: u64, source: u128, user: &str) {
        let pair = self.pair(source, user);
        self.entries.remove(&pair);
        self.look(now_ms, Key { source, user: None });
    }

    /// How many sources, and user names from sources, are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries found no room any more before their time was over.
    pub fn pushed_out(&self) -> u64 {
        self.pushed_out
    }

    fn entries_max(&self) -> usize {
        self.limits.entries_max.max(ENTRIES_MIN)
    }

    fn pair(&self, source: u128, user: &str) -> Key {
        let mut hasher = FixedState::with_seed(!self.seed).build_hasher();
        hasher.write(user.as_bytes());
        Key { source, user: Some(hasher.finish()) }
    }

    /// An entry as it is now, if it is still there.
    fn look(&mut self, now_ms: u64, key: Key) -> Option<&mut Entry> {
        let decay_ms = self.limits.decay_ms;
        if !self.entries.get_mut(&key)?.decay(now_ms, decay_ms) {
            self.entries.remove(&key);
        }
        self.entries.get_mut(&key)
    }

    /// What has decayed goes; if that is not enough, then an eighth: those with the fewest wrong
    /// passwords, among them the oldest.
    fn make_room(&mut self, now_ms: u64) {
        let decay_ms = self.limits.decay_ms;
        self.entries.retain(|_, entry| entry.decay(now_ms, decay_ms));
        let max = self.entries_max();
        if self.entries.len() < max {
            return;
        }
        let wanted = max - max.div_ceil(8);
        let mut by_worth: Vec<_> = self
            .entries
            .iter()
            .map(|(key, it)| (Reverse((it.wrong, it.changed_ms)), *key))
            .collect();
        by_worth.sort_unstable();
        for (_, key) in by_worth.split_off(wanted.min(by_worth.len())) {
            self.entries.remove(&key);
            self.pushed_out += 1;
        }
    }
}

impl ThrottleLimits {
    /// How many wrong passwords make the greatest delay.
    fn wrong_max(&self) -> u32 {
        (1..LEVEL_MAX).find(|&n| self.delay_ms(n) >= self.delay_max_ms).unwrap_or(LEVEL_MAX)
    }

    /// The delay after the `wrong`th wrong password.
    fn delay_ms(&self, wrong: u32) -> u64 {
        let doublings = wrong.saturating_sub(1).min(LEVEL_MAX);
        let delay_ms = self.first_delay_ms.saturating_mul(1 << doublings).min(self.delay_max_ms);
        if wrong == 0 { 0 } else { delay_ms }
    }
}

impl Entry {
    /// Takes off what time has made good; false if nothing is left of it.
    fn decay(&mut self, now_ms: u64, decay_ms: u64) -> bool {
        let whiles = now_ms.saturating_sub(self.changed_ms) / decay_ms.max(1);
        self.wrong = self.wrong.saturating_sub(u32::try_from(whiles).unwrap_or(u32::MAX));
        self.changed_ms = self.changed_ms.saturating_add(whiles.saturating_mul(decay_ms.max(1)));
        self.wrong > 0 || self.closed_ms > now_ms
    }

    /// The next attempt goes one delay behind this one.
    fn take_place(&mut self, now_ms: u64, limits: &ThrottleLimits) {
        let own_ms = self.closed_ms.max(now_ms);
        let latest_ms = now_ms.saturating_add(limits.delay_max_ms);
        self.closed_ms = own_ms.saturating_add(limits.delay_ms(self.wrong)).min(latest_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ThrottleLimits = ThrottleLimits {
        first_delay_ms: 500,
        delay_max_ms: 4_000,
        free_per_source: 3,
        decay_ms: 10_000,
        entries_max: 100,
    };
    const HERE: u128 = 7;
    const THERE: u128 = 8;

    fn throttle() -> Throttle {
        Throttle::new(1, LIMITS)
    }

    /// One attempt as a caller makes it: ask, wait, fail. Returns the time after it, and the wait.
    fn fail(throttle: &mut Throttle, now_ms: u64, source: u128, user: &str) -> (u64, u64) {
        let wait_ms = throttle.delay_ms(now_ms, source, user);
        throttle.failed(now_ms + wait_ms, source, user);
        (now_ms + wait_ms, wait_ms)
    }

    #[test]
    fn delays_double_up_to_the_maximum() {
        let mut throttle = throttle();
        let (mut now_ms, mut waits) = (1_000, Vec::new());
        for _ in 0..7 {
            let (then_ms, wait_ms) = fail(&mut throttle, now_ms, HERE, "anna");
            now_ms = then_ms;
            waits.push(wait_ms);
        }
        assert_eq!(waits, [0, 500, 1_000, 2_000, 4_000, 4_000, 4_000]);
    }

    #[test]
    fn nobody_is_locked_out_from_elsewhere() {
        let mut throttle = throttle();
        for _ in 0..20 {
            throttle.failed(0, HERE, "anna");
        }
        assert_eq!(throttle.delay_ms(0, THERE, "anna"), 0);
        assert_eq!(throttle.delay_ms(0, HERE, "anna"), 4_000);
    }

    #[test]
    fn a_source_pays_for_other_names_after_its_free_ones() {
        let mut throttle = throttle();
        let waits = [0, 1, 2, 3, 4, 5].map(|n| {
            throttle.failed(0, HERE, &format!("user{n}"));
            throttle.delay_ms(0, HERE, "another")
        });
        assert_eq!(waits, [0, 0, 0, 500, 1_000, 2_000]);
        assert_eq!(throttle.delay_ms(0, THERE, "another"), 0);
    }

    #[test]
    fn a_right_password_clears_the_name_and_not_the_source() {
        let mut throttle = throttle();
        for n in 0..9 {
            throttle.failed(0, HERE, "anna");
            throttle.failed(0, HERE, "bert");
            assert_eq!(throttle.delay_ms(0, HERE, "own") > 0, n >= 1, "{n}");
            throttle.succeeded(0, HERE, "own");
        }
        assert_eq!(throttle.delay_ms(0, HERE, "own"), 4_000);
        let mut throttle = self::throttle();
        throttle.failed(0, HERE, "anna");
        assert_eq!(throttle.delay_ms(0, HERE, "anna"), 500);
        throttle.succeeded(500, HERE, "anna");
        assert_eq!(throttle.delay_ms(500, HERE, "anna"), 0);
        throttle.failed(600, HERE, "anna");
        assert_eq!(throttle.delay_ms(600, HERE, "anna"), 500, "from the beginning");
    }

    #[test]
    fn many_at_once_go_one_at_a_time() {
        let mut throttle = throttle();
        throttle.failed(0, HERE, "anna");
        throttle.failed(500, HERE, "anna");
        let waits = [0; 6].map(|_: u64| throttle.delay_ms(500, HERE, "anna"));
        assert_eq!(waits, [1_000, 2_000, 3_000, 4_000, 4_000, 4_000]);
        // Those after the waiting time queue as well, though nothing has failed since.
        let waits = [0; 3].map(|_: u64| throttle.delay_ms(9_000, HERE, "anna"));
        assert_eq!(waits, [0, 1_000, 2_000]);
    }

    #[test]
    fn time_halves_and_forgets() {
        let mut throttle = throttle();
        for _ in 0..4 {
            throttle.failed(0, HERE, "anna");
        }
        // What the next wrong password costs, so long after the four: 8, 4, 2 and 1 times.
        for (now_ms, delay_ms) in [(9_999, 4_000), (10_000, 4_000), (20_000, 2_000)] {
            let mut then = Throttle { entries: throttle.entries.clone(), ..self::throttle() };
            assert_eq!(then.delay_ms(now_ms, HERE, "anna"), 0);
            then.failed(now_ms, HERE, "anna");
            assert_eq!(then.delay_ms(now_ms, HERE, "anna"), delay_ms, "after {now_ms}");
        }
        assert_eq!(throttle.delay_ms(40_000, HERE, "anna"), 0);
        assert!(throttle.is_empty(), "all is forgotten, and looking takes it out");
    }

    #[test]
    fn the_table_is_bounded_and_the_worst_stay() {
        let mut throttle = throttle();
        for _ in 0..5 {
            throttle.failed(0, 1_000_000, "guesser");
        }
        for n in 0..1_000 {
            throttle.failed(u64::from(n as u32), n, "anna");
            assert!(throttle.len() <= LIMITS.entries_max);
        }
        assert!(throttle.pushed_out() >= 2_000 - 100, "{}", throttle.pushed_out());
        assert_eq!(throttle.delay_ms(1_000, 1_000_000, "guesser"), 3_000, "it is still known");
        assert_eq!(throttle.delay_ms(1_000, 999, "anna"), 499, "and so are the newest");
        assert_eq!(throttle.delay_ms(1_000, 500, "anna"), 0);
        // What is over makes room without being counted.
        let pushed_out = throttle.pushed_out();
        for n in 0..45 {
            throttle.failed(1_000_000, n, "anna");
        }
        assert_eq!((throttle.pushed_out(), throttle.len()), (pushed_out, 90));
    }

    #[test]
    fn other_limits() {
        let mut off = Throttle::new(1, ThrottleLimits { first_delay_ms: 0, ..LIMITS });
        off.failed(0, HERE, "anna");
        assert_eq!((off.delay_ms(0, HERE, "anna"), off.len()), (0, 0));
        let mut throttle = throttle();
        for n in 0..50 {
            throttle.failed(0, n, "anna");
        }
        let fewer = ThrottleLimits { entries_max: 20, delay_max_ms: 100, ..LIMITS };
        throttle.set_limits(0, fewer);
        assert!(throttle.len() <= 20 && throttle.pushed_out() >= 80);
        for _ in 0..9 {
            throttle.failed(0, HERE, "anna");
        }
        assert_eq!(throttle.delay_ms(0, HERE, "anna"), 100);
        // No number is too large.
        let huge = ThrottleLimits::new(u64::MAX / 2, u64::MAX);
        let mut throttle = Throttle::new(2, ThrottleLimits { decay_ms: 0, ..huge });
        for _ in 0..50 {
            throttle.failed(u64::MAX - 5, u128::MAX, "");
            throttle.delay_ms(u64::MAX, u128::MAX, "");
        }
    }
}
