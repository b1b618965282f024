//! The part of a queue that is on the log alone: some numbers, however long it is.
//!
//! What comes when a session's queue has its share of memory is recorded as always and then
//! forgotten: known is how many there are, what they count for, and between which orders they
//! stand. What the log cannot give back stays in memory in its place: an entry whose seal has not
//! come, for nobody knows yet whether it counts, and one that the log was never told of.
//!
//! Invariants: everything in the tail is behind everything in memory; at most one load is under
//! way; an entry is taken over by order, once.

use std::collections::VecDeque;

use super::input::Seq;
use super::seal::SealRef;
use super::session::Queued;
use super::time::Time;

/// See the module.
#[derive(Debug)]
pub(super) struct Tail {
    /// Where the next load begins: everything before is in memory, or gone.
    first: u64,
    /// The order of the newest entry.
    last: u64,
    /// From here on every order has an entry; before it, only a load shows which.
    dense_from: u64,
    /// `first` has an entry, the log said so.
    first_is_there: bool,
    /// Some of them may be shared messages: others get those when the session ends.
    pub(super) shared: bool,
    /// Some of them may expire.
    expiring: bool,
    /// Where the search for expired ones goes on.
    walked: u64,
    /// Those that it found, in order: the log may still have them.
    gone: Vec<u64>,
    /// The number of the last record that says so.
    gone_seq: Seq,
    /// The session stands in the list of those that wait for a commit.
    pub(super) waits: bool,
    count: usize,
    bytes: usize,
    /// The number of the newest entry's record.
    last_seq: Seq,
    pub(super) load: Option<Load>,
    /// Each with the order that it stands at, or, if it has none, behind.
    kept: VecDeque<(u64, Queued)>,
    kept_bytes: usize,
}

/// A load that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) from_order: u64,
    /// how much memory is set aside for it
    pub(super) bytes: usize,
    /// what was committed when it was asked for
    pub(super) committed: Seq,
    /// only looks for what has expired: everything else stays where it is
    pub(super) walk: bool,
}

/// What the oldest entry of a tail was.
#[derive(Debug)]
pub(super) enum Oldest {
    /// it was in memory
    Kept(Queued),
    /// it is on the log, under this order
    Unread(u64),
    /// only a load can tell
    Unknown,
    /// there is none
    None,
}

impl Tail {
    /// A tail that begins with this order.
    pub(super) fn new(first: u64) -> Self {
        Self {
            first,
            last: first,
            dense_from: first,
            first_is_there: false,
            shared: false,
            expiring: false,
            walked: 0,
            gone: Vec::new(),
            gone_seq: Seq(0),
            waits: false,
            count: 0,
            bytes: 0,
            last_seq: Seq(0),
            load: None,
            kept: VecDeque::new(),
            kept_bytes: 0,
        }
    }

    /// A tail as the log knows it after a restart; `first` has an entry.
    pub(super) fn restored(first: u64, last: u64, count: usize, bytes: usize) -> Self {
        let tail = Self::new(first);
        let (dense_from, first_is_there, shared, expiring) = (last + 1, true, true, true);
        Self { last, count, bytes, dense_from, first_is_there, shared, expiring, ..tail }
    }

    /// How many entries are on the log alone.
    pub(super) fn unread(&self) -> usize {
        self.count
    }

    /// What those count for in queue limits, in bytes.
    pub(super) fn unread_bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    pub(super) fn len(&self) -> usize {
        self.count + self.kept.len()
    }

    /// Whether it can go: an answer that is under way finds it.
    pub(super) fn is_over(&self) -> bool {
        self.len() == 0 && self.load.is_none()
    }

    pub(super) fn kept(&self) -> impl Iterator<Item = &Queued> {
        self.kept.iter().map(|(_, entry)| entry)
    }

    /// An entry that was recorded as number `seq` of all records.
    pub(super) fn push(&mut self, order: u64, bytes: usize, shared: bool, seq: Seq) {
        (self.last, self.last_seq) = (order, seq);
        self.count += 1;
        self.bytes += bytes;
        self.shared |= shared;
    }

    /// The newest entry can expire.
    pub(super) fn can_expire(&mut self) {
        self.expiring = true;
    }

    /// The same for one that has to stay in memory; it may be unknown to the log.
    pub(super) fn keep(&mut self, entry: Queued, seq: Seq) {
        if entry.order > 0 {
            (self.last, self.last_seq) = (entry.order, seq);
            self.shared |= entry.is_shared();
            self.expiring |= entry.message.expires() != Time::NEVER;
        }
        self.kept_bytes += entry.cost_bytes();
        self.kept.push_back((self.last, entry));
    }

    fn pop_kept(&mut self) -> Option<Queued> {
        let (_, entry) = self.kept.pop_front()?;
        self.kept_bytes -= entry.cost_bytes();
        if entry.order > 0 {
            self.advance(entry.order + 1, false);
        }
        Some(entry)
    }

    /// Those that stay in memory go. What stands before them on the log alone is still there.
    pub(super) fn leave_kept(&mut self) -> Vec<Queued> {
        self.kept_bytes = 0;
        self.kept.drain(..).map(|(_, entry)| entry).collect()
    }

    /// The next of those that stay in memory, if it stands before what has this order.
    pub(super) fn kept_before(&mut self, order: u64) -> Option<Queued> {
        self.kept.front().filter(|(at, _)| *at < order)?;
        self.pop_kept()
    }

    /// The one with this order, if it stayed in memory; those before it are gone.
    pub(super) fn kept_at(&mut self, order: u64) -> Option<Queued> {
        self.kept.front().filter(|(_, entry)| entry.order == order)?;
        self.pop_kept()
    }

    /// Its seal has come: those that waited for it are on the log alone from here on. Returns how
    /// many there were.
    pub(super) fn is_sealed(&mut self, seal: SealRef) -> usize {
        let Self { kept, count, bytes, kept_bytes, .. } = self;
        let before = kept.len();
        kept.retain(|(_, entry)| {
            let stays = entry.seal != seal;
            if !stays {
                *count += 1;
                *bytes += entry.cost_bytes();
                *kept_bytes -= entry.cost_bytes();
            }
            stays
        });
        before - kept.len()
    }

    /// Whether an entry of this order, from the log, is one of the tail's.
    pub(super) fn has(&self, order: u64) -> bool {
        (self.first..=self.last).contains(&order) && self.gone.binary_search(&order).is_err()
    }

    /// One of them is no longer unread. What it counts for may not be known: then it is the mean.
    pub(super) fn take(&mut self, order: u64, bytes: Option<usize>) {
        self.advance(order + 1, false);
        let bytes = bytes.unwrap_or_else(|| self.bytes / self.count.max(1));
        self.count = self.count.saturating_sub(1);
        self.bytes = if self.count > 0 { self.bytes.saturating_sub(bytes) } else { 0 };
    }

    /// Everything before `to` is taken; `is_there`: the log has an entry of that order.
    pub(super) fn advance(&mut self, to: u64, is_there: bool) {
        let is_there = is_there && self.gone.binary_search(&to).is_err();
        if self.first < to {
            (self.first, self.first_is_there) = (to, is_there);
        } else if self.first == to {
            self.first_is_there |= is_there;
        }
    }

    /// Takes out the oldest entry.
    pub(super) fn drop_oldest(&mut self) -> Oldest {
        let kept = self.kept.front().map(|(at, entry)| *at + u64::from(entry.order == 0));
        if let Some(at) = kept
            && (at <= self.first || self.count == 0)
        {
            return self.pop_kept().map_or(Oldest::None, Oldest::Kept);
        }
        match self.first {
            _ if self.count == 0 => Oldest::None,
            first if self.first_is_there || self.dense_from <= first => {
                self.take(first, None);
                Oldest::Unread(first)
            }
            _ => Oldest::Unknown,
        }
    }

    /// Where a load begins, if there is something to load and none is under way.
    pub(super) fn ask(&mut self, bytes: usize, committed: Seq) -> Option<u64> {
        if self.load.is_some() || self.waits || self.count == 0 {
            return None;
        }
        self.forget_gone(committed);
        let from_order = self.first;
        self.load = Some(Load { from_order, bytes, committed, walk: false });
        Some(self.first)
    }

    /// The same for a search for what has expired.
    pub(super) fn ask_walk(&mut self, bytes: usize, committed: Seq) -> Option<u64> {
        self.forget_gone(committed);
        let busy = self.load.is_some() || self.waits || !self.gone.is_empty();
        if busy || !self.expiring || self.count == 0 {
            return None;
        }
        let from_order = self.walked.max(self.first);
        self.load = Some(Load { from_order, bytes, committed, walk: true });
        Some(from_order)
    }

    /// The search went so far, `None`: to the end. All that it found is recorded, last in `seq`.
    pub(super) fn is_walked(&mut self, next: Option<u64>, seq: Seq) {
        (self.walked, self.gone_seq) = (next.unwrap_or(0), seq);
    }

    /// What is asked for from now on is without those that the log knows to be gone.
    fn forget_gone(&mut self, committed: Seq) {
        if self.gone_seq <= committed {
            self.gone = Vec::new();
        }
    }

    /// One in the midst of them has expired: it is there no longer. False if it is not one of those
    /// on the log alone.
    pub(super) fn expire(&mut self, order: u64, bytes: usize) -> bool {
        let kept = self.kept.iter().any(|(_, entry)| entry.order == order);
        if kept || !self.has(order) || self.count == 0 {
            return false;
        }
        self.dense_from = self.dense_from.max(order + 1);
        self.gone.push(order);
        if order == self.first {
            self.take(order, Some(bytes));
        } else {
            self.count -= 1;
            self.bytes = if self.count > 0 { self.bytes.saturating_sub(bytes) } else { 0 };
        }
        true
    }

    /// The load that began there came to its end.
    pub(super) fn answered(&mut self, from_order: u64) -> Option<Load> {
        self.load.take_if(|load| load.from_order == from_order)
    }

    /// After a load: whether nothing is left on the log alone, or nothing that could be had. `next`
    /// is where the log has more.
    pub(super) fn is_read(&mut self, load: Load, next: Option<u64>) -> bool {
        if let Some(next) = next {
            self.advance(next, true);
        }
        // What was committed when it was asked for has been looked at.
        let all = next.is_none() && self.last_seq <= load.committed;
        self.count == 0 || self.last < self.first || all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_a_tail_that_began_here_is_always_known() {
        let mut tail = Tail::new(5);
        for order in 5..8 {
            tail.push(order, 101, false, Seq(order));
        }
        for order in 5..7 {
            assert!(matches!(tail.drop_oldest(), Oldest::Unread(n) if n == order));
        }
        assert_eq!((tail.len(), tail.unread_bytes()), (1, 101));
        assert!(matches!(tail.drop_oldest(), Oldest::Unread(7)));
        assert!(matches!(tail.drop_oldest(), Oldest::None));
        assert_eq!((tail.len(), tail.unread_bytes()), (0, 0));
    }

    #[test]
    fn of_a_restored_one_only_where_the_log_said_so() {
        let mut tail = Tail::restored(5, 20, 3, 100);
        assert!(matches!(tail.drop_oldest(), Oldest::Unread(5)));
        assert_eq!(tail.unread_bytes(), 67);
        assert!(matches!(tail.drop_oldest(), Oldest::Unknown));
        assert_eq!(tail.ask(9, Seq(3)), Some(6));
        assert_eq!(tail.ask(9, Seq(3)), None);
        assert!(tail.answered(5).is_none());
        let load = tail.answered(6).unwrap();
        assert!(!tail.is_read(load, Some(9)));
        tail.push(21, 50, false, Seq(7));
        assert!(matches!(tail.drop_oldest(), Oldest::Unread(9)));
        assert!(matches!(tail.drop_oldest(), Oldest::Unknown));
        // It looked at everything of then, and one has come since.
        assert!(!tail.is_read(load, None));
        tail.take(20, Some(500));
        assert!(matches!(tail.drop_oldest(), Oldest::Unread(21)));
        assert!(tail.is_read(load, None));
        assert_eq!((tail.len(), tail.unread_bytes()), (0, 0));
    }
}
