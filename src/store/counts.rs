//! Counting what was written for whom, so that what damage takes can be told even where nothing
//! later is written for that session.
//!
//! May use: varints. Invariants: a session for which an entry was written is counted on each level
//! behind that entry, in order; all counts together take a small share of the log, whoever
//! publishes to how many.
//!
//! A hole takes the counts in it as well, so each session is counted three times, at growing
//! distances behind its last entry: at the next batch, about 64 KiB later, and about a segment
//! later (and when the log is closed). So a hole that is shorter than a segment is survived by one
//! of them.

use std::collections::VecDeque;

use super::wire::{Garbled, Reader, put_varint};

/// How often a session is counted behind its last entry.
pub(super) const LEVELS: usize = 3;

/// What a session takes in a record of counts, about.
const SESSION_BYTES: u64 = 10;
/// Counts of a level take this share of what is written, at most.
const SHARE: u64 = 32;
/// A disk writes no less, so a small batch has room for a few counts.
const PAGE_BYTES: u64 = 4096;
/// So far behind an entry its session is counted for the second time.
const NEAR_BYTES: u64 = 64 << 10;
/// Sessions in one record at most: what it takes shall not be felt.
const SESSIONS_MAX: usize = 4096;

/// Sessions that are to be counted, by level. A session has a bit per level that says whether it is
/// in the list.
#[derive(Debug, Default)]
pub(super) struct Uncounted([VecDeque<u64>; LEVELS]);

impl Uncounted {
    /// The session is to be counted at `level`, if `bits` do not say that it is known.
    pub(super) fn add(&mut self, session: u64, bits: &mut u8, level: usize) {
        let bit = 1 << level;
        if *bits & bit == 0
            && let Some(list) = self.0.get_mut(level)
        {
            *bits |= bit;
            list.push_back(session);
        }
    }

    /// The session was counted at `level`: it is next to be counted at the one above.
    pub(super) fn counted(&mut self, session: u64, bits: &mut u8, level: usize) {
        let before = *bits;
        *bits &= !low_bits(level);
        if before != *bits {
            self.add(session, bits, level + 1);
        }
    }

    /// Forgets those at the front of the lists up to `level` that were counted. `bits`: of a
    /// session, if there is one.
    pub(super) fn tidy(&mut self, level: usize, bits: impl Fn(u64) -> Option<u8>) {
        for (at, list) in self.0.iter_mut().take(level + 1).enumerate() {
            while let Some(&session) = list.front()
                && bits(session).is_none_or(|bits| bits & 1 << at == 0)
            {
                list.pop_front();
            }
        }
    }

    /// Those to be counted now, in the order of their numbers.
    pub(super) fn up_to(&self, level: usize) -> Vec<u64> {
        let lists = self.0.iter().take(level + 1);
        let mut sessions: Vec<u64> =
            lists.flat_map(|list| list.iter().take(SESSIONS_MAX)).copied().collect();
        sessions.sort_unstable();
        sessions.dedup();
        sessions
    }

    fn len(&self, level: usize) -> usize {
        self.0.get(level).map_or(0, VecDeque::len)
    }
}

fn low_bits(level: usize) -> u8 {
    (1 << (level + 1)) - 1
}

/// Says when it is time to count.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// bytes written since each level was counted
    since: [u64; LEVELS],
    /// not all that were due were counted
    goes_on: [bool; LEVELS],
}

impl Pace {
    /// A batch was written, in front of which the levels up to `counts` were counted.
    pub(super) fn wrote(&mut self, bytes: u64, counts: Option<usize>) {
        for (level, since) in self.since.iter_mut().enumerate() {
            if counts.is_some_and(|counts| level <= counts) {
                *since = 0;
            }
            *since += if level == 0 { bytes.max(PAGE_BYTES) } else { bytes };
        }
    }

    /// The highest level that is due.
    pub(super) fn due(&self, uncounted: &Uncounted, segment_bytes: u64) -> Option<usize> {
        let windows = [0, NEAR_BYTES.min(segment_bytes / 4), segment_bytes];
        (0..LEVELS).rev().find(|&level| {
            let sessions = uncounted.len(level).min(SESSIONS_MAX) as u64;
            let window = if self.goes_on[level] { 0 } else { windows[level] };
            sessions > 0 && self.since[level] >= window.max(SHARE * SESSION_BYTES * sessions)
        })
    }

    /// All levels up to this one were counted, so far as there was room.
    pub(super) fn counted(&mut self, level: usize, uncounted: &Uncounted) {
        for (at, goes_on) in self.goes_on.iter_mut().enumerate().take(level + 1) {
            *goes_on = uncounted.len(at) > 0;
        }
    }
}

/// Appends a session's counts: entries that were ever written, and how many of them are in force.
/// `before`: the session that was appended before, 0 if none was.
pub(super) fn put_counts(out: &mut Vec<u8>, session: u64, before: u64, written: u64, live: u64) {
    [session - before, written, live].into_iter().for_each(|n| put_varint(out, n));
}

/// Session, entries ever written, entries in force.
pub(super) fn counts_in(sessions: &[u8]) -> impl Iterator<Item = (u64, u64, u64)> {
    let (mut r, mut session) = (Reader::new(sessions), 0_u64);
    std::iter::from_fn(move || {
        session = session.checked_add(r.varint().ok()?)?;
        Some((session, r.varint().ok()?, r.varint().ok()?))
    })
}

/// The level that a record of counts names, if there is one.
pub(super) fn check_level(level: u8) -> Result<u8, Garbled> {
    let known = usize::from(level) < LEVELS;
    known.then_some(level).ok_or(Garbled("a level of counts that there is none of"))
}

/// Lets through what `counts_in` can read.
pub(super) fn check_counts(sessions: &[u8]) -> Result<&[u8], Garbled> {
    let (mut r, mut session) = (Reader::new(sessions), 0_u64);
    while !r.is_empty() {
        let next = session.checked_add(r.varint()?);
        session = next.ok_or(Garbled("a session's number out of range"))?;
        r.varint()?;
        r.varint()?;
    }
    Ok(sessions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_counted_once_on_each_level() {
        let (mut uncounted, mut bits) = (Uncounted::default(), [0_u8; 10]);
        for session in [3, 5, 3, 7] {
            uncounted.add(session, &mut bits[session as usize], 0);
        }
        for level in 0..LEVELS {
            let lens: Vec<_> = (0..LEVELS).map(|level| uncounted.len(level)).collect();
            assert_eq!(lens, (0..LEVELS).map(|l| 3 * usize::from(l == level)).collect::<Vec<_>>());
            let sessions = uncounted.up_to(level);
            assert_eq!(sessions, [3, 5, 7]);
            for session in sessions {
                uncounted.counted(session, &mut bits[session as usize], level);
            }
            uncounted.tidy(level, |session| Some(bits[session as usize]));
        }
        assert_eq!((bits, uncounted.len(0), uncounted.len(2)), ([0; 10], 0, 0));
        // One level stands for those below it.
        uncounted.add(9, &mut bits[9], 0);
        uncounted.counted(9, &mut bits[9], 1);
        uncounted.tidy(1, |_| Some(bits[9]));
        assert_eq!((uncounted.len(0), uncounted.len(1), uncounted.len(2)), (0, 0, 1));
    }

    /// However many sessions get how little: counts stay a small part of it.
    #[test]
    fn counts_take_their_share_and_no_more() {
        for (sessions, batch_bytes) in [(1, 300), (300, 4000), (100_000, 4000), (100_000, 400_000)]
        {
            let (mut uncounted, mut pace) = (Uncounted::default(), Pace::default());
            let mut bits = vec![0_u8; sessions as usize];
            let (mut written, mut counted, mut session) = (0, 0, 0);
            while written < 64 << 20 {
                let due = pace.due(&uncounted, 16 << 20);
                if let Some(level) = due {
                    let now = uncounted.up_to(level);
                    counted += SESSION_BYTES * now.len() as u64;
                    for &session in &now {
                        uncounted.counted(session, &mut bits[session as usize], level);
                    }
                    uncounted.tidy(level, |session| Some(bits[session as usize]));
                    pace.counted(level, &uncounted);
                }
                for _ in 0..=batch_bytes / 200 {
                    session = (session + 1) % sessions;
                    uncounted.add(session, &mut bits[session as usize], 0);
                }
                written += PAGE_BYTES.max(batch_bytes);
                pace.wrote(batch_bytes, due);
            }
            assert!(counted > 0 && counted <= LEVELS as u64 * written / SHARE, "{counted}");
        }
    }

    #[test]
    fn counts_come_back() {
        let mut out = Vec::new();
        put_counts(&mut out, 7, 0, 300, 2);
        put_counts(&mut out, u64::MAX, 7, 1, 0);
        let counts: Vec<_> = counts_in(check_counts(&out).unwrap()).collect();
        assert_eq!(counts, [(7, 300, 2), (u64::MAX, 1, 0)]);
        put_counts(&mut out, 1, 0, 1, 1);
        assert!(check_counts(&out).is_err());
        assert!(check_counts(&[1, 2]).is_err());
    }
}
