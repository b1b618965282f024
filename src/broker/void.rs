//! Which records are committed, written or void: all up to one number each, and some behind it.
//!
//! Invariant: nothing is kept of what is written; behind it, a bit per record. So whoever waits
//! until records are synced that are written already, waits for the void ones among them too.

use std::collections::VecDeque;

use super::input::Seq;
use super::safety::Safety;

const BITS: u64 = u64::BITS as u64;

/// Records that are waited for: those from `first` to `last`. None if `last` is before `first`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: Seq,
    pub(super) last: Seq,
}

impl Span {
    pub(super) fn is_empty(self) -> bool {
        self.last < self.first || self.last == Seq(0)
    }

    /// Those of both, and what is between them.
    pub(super) fn and(self, other: Self) -> Self {
        match (self.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => self,
            _ => Self { first: self.first.min(other.first), last: self.last.max(other.last) },
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Settled {
    committed: Seq,
    /// never below `committed`
    written: Seq,
    /// a bit per record that is void, from number `from` × 64 on
    void: VecDeque<u64>,
    from: u64,
}

impl Settled {
    /// All up to this one are committed.
    pub(super) fn committed(&self) -> Seq {
        self.committed
    }

    /// All up to this one are written.
    pub(super) fn written(&self) -> Seq {
        self.written
    }

    /// Whether each of them is as safe, or void.
    pub(super) fn covers(&self, span: Span, safety: Safety) -> bool {
        let done = match safety {
            Safety::Memory => return true,
            Safety::Written => self.written,
            Safety::Synced => self.committed,
        };
        if span.last <= done || span.is_empty() {
            return true;
        }
        let first = span.first.0.max(done.0 + 1);
        let (from, to) = (first / BITS, span.last.0 / BITS);
        (from..=to).all(|at| {
            let mut wanted = u64::MAX;
            if at == from {
                wanted &= u64::MAX << (first % BITS);
            }
            if at == to {
                wanted &= u64::MAX >> (BITS - 1 - span.last.0 % BITS);
            }
            self.word(at) & wanted == wanted
        })
    }

    fn word(&self, at: u64) -> u64 {
        let at = at.checked_sub(self.from).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.void.get(at)).copied().unwrap_or(0)
    }

    /// All up to `seq` are committed.
    pub(super) fn commit(&mut self, seq: Seq) {
        self.committed = seq;
        self.write(seq.max(self.written));
    }

    /// All up to `seq` are written.
    pub(super) fn write(&mut self, seq: Seq) {
        self.written = seq;
        while !self.void.is_empty() && (self.from + 1) * BITS <= seq.0 + 1 {
            self.void.pop_front();
            self.from += 1;
        }
        if self.void.is_empty() {
            self.void.shrink_to(64);
        }
    }

    /// `seq` is void. False if it is known to be written or void already.
    pub(super) fn make_void(&mut self, seq: Seq) -> bool {
        if seq <= self.written {
            return false;
        }
        if self.void.is_empty() {
            self.from = (self.written.0 + 1) / BITS;
        }
        let Ok(at) = usize::try_from(seq.0 / BITS - self.from) else { return false };
        if self.void.len() <= at {
            self.void.resize(at + 1, 0);
        }
        let (word, bit) = (&mut self.void[at], 1 << (seq.0 % BITS));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: u64, last: u64) -> Span {
        Span { first: Seq(first), last: Seq(last) }
    }

    /// Against a list of flags, with numbers that cross the words' ends.
    #[test]
    fn it_is_a_set() {
        let (mut settled, mut plain) = (Settled::default(), vec![false; 700]);
        let mut random = 1_u64;
        let mut next = |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % n
        };
        plain[0] = true;
        for _ in 0..20_000 {
            let committed = settled.committed().0;
            let seq = (committed + 1 + next(150)).min(699);
            match next(100) {
                0 if seq > committed => {
                    settled.commit(Seq(seq.min(committed + 3)));
                    (0..=settled.committed().0 as usize).for_each(|at| plain[at] = true);
                }
                1..=40 => {
                    let new = settled.make_void(Seq(seq));
                    assert_eq!(new, !std::mem::replace(&mut plain[seq as usize], true));
                }
                _ => {
                    let first = seq.saturating_sub(next(100)).max(1);
                    let all = plain[first as usize..=seq as usize].iter().all(|set| *set);
                    assert_eq!(
                        settled.covers(span(first, seq), Safety::Synced),
                        all,
                        "{first} to {seq}"
                    );
                }
            }
        }
        assert!(settled.committed().0 > 300 && settled.void.len() < 12);
    }

    #[test]
    fn nothing_is_always_settled() {
        let settled = Settled::default();
        assert!(
            settled.covers(Span::default(), Safety::Synced)
                && settled.covers(span(5, 4), Safety::Synced)
        );
        assert!(!settled.covers(span(1, 1), Safety::Synced));
    }
}
