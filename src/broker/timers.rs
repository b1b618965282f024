//! One lazy deadline queue per shard.
//!
//! A packet never touches it: it only stores when its link was last seen, and the timer looks
//! again when it fires. Invariant: whatever has a deadline has an entry at or before it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::input::{LinkKey, SessionKey};
use super::shrink::is_sparse;
use super::time::Time;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// a link's Keep Alive
    KeepAlive(LinkKey),
    /// a session's end, or its Will's delay
    Session(SessionKey),
    /// the background sweep for expired messages
    Sweep,
    /// links that are not read for want of room
    NoRoom,
    /// a link over its quota
    Throttled(LinkKey),
    /// the end of what a link was let in with
    Ends(LinkKey),
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(Time, Timer)>>);

impl Timers {
    /// Arms a timer; `Time::NEVER` is left out.
    pub(super) fn arm(&mut self, at: Time, timer: Timer) {
        if at != Time::NEVER {
            self.0.push(Reverse((at, timer)));
        }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Time {
        self.0.peek().map_or(Time::NEVER, |Reverse((at, _))| *at)
    }

    /// Takes out one that is due.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<Timer> {
        if self.next() > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, timer))| timer)
    }

    /// How many there are, stale ones among them.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Keeps those that `keep` says yes to.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(Time, &Timer) -> bool) {
        self.0.retain(|Reverse((at, timer))| keep(*at, timer));
    }

    /// Gives memory back, if most of it is empty.
    pub(super) fn shrink(&mut self) {
        if is_sparse(self.0.len(), self.0.capacity()) {
            self.0.shrink_to(self.0.len() * 2);
        }
    }
}
