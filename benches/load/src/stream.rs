//! What one receiver has had of one publisher: what came twice, too late or never. Uses nothing of
//! the program; memory is bounded by the number of holes, not of messages.

/// How a message fits in behind those before it.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is the next.
    Next,
    /// It is ahead: so many before it are missing.
    Gap(u64),
    /// It was missing.
    Late,
    /// It was there before.
    Repeated,
}

/// Sequence numbers that have come, from 0.
#[derive(Default, Clone)]
pub struct Stream {
    next: u64,
    /// ranges below `next` that have not come, in order: from, and up to but not including
    missing: Vec<(u64, u64)>,
}

impl Stream {
    /// Takes in one message.
    pub fn arrive(&mut self, seq: u64) -> Arrival {
        if seq == self.next {
            self.next += 1;
            return Arrival::Next;
        }
        if seq > self.next {
            let gap = seq - self.next;
            self.missing.push((self.next, seq));
            self.next = seq + 1;
            return Arrival::Gap(gap);
        }
        let Some(n) = self.hole(seq) else { return Arrival::Repeated };
        let (from, to) = self.missing.remove(n);
        if seq + 1 < to {
            self.missing.insert(n, (seq + 1, to));
        }
        if from < seq {
            self.missing.insert(n, (from, seq));
        }
        Arrival::Late
    }

    /// Whether it has come.
    pub fn has(&self, seq: u64) -> bool {
        seq < self.next && self.hole(seq).is_none()
    }

    /// How many below the highest that came have not come.
    pub fn missing(&self) -> u64 {
        self.missing.iter().map(|(from, to)| to - from).sum()
    }

    /// How many have come.
    pub fn count(&self) -> u64 {
        self.next - self.missing()
    }

    /// The one behind the highest that came.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Holes, in order.
    pub fn holes(&self) -> &[(u64, u64)] {
        &self.missing
    }

    /// What `next` and `holes` told; `None` if they fit to no stream.
    pub fn restored(next: u64, holes: Vec<(u64, u64)>) -> Option<Self> {
        let apart = holes.windows(2).all(|two| two[0].1 < two[1].0);
        let inside = holes.iter().all(|&(from, to)| from < to && to < next);
        (apart && inside).then_some(Self { next, missing: holes })
    }

    fn hole(&self, seq: u64) -> Option<usize> {
        let n = self.missing.partition_point(|&(_, to)| to <= seq);
        self.missing.get(n).is_some_and(|&(from, _)| from <= seq).then_some(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_irregularity_is_named() {
        let mut stream = Stream::default();
        let arrivals: Vec<_> = [0, 1, 5, 3, 3, 2, 4, 4, 6, 0].map(|n| stream.arrive(n)).into();
        use Arrival::{Gap, Late, Next, Repeated};
        let due = [Next, Next, Gap(3), Late, Repeated, Late, Late, Repeated, Next, Repeated];
        assert_eq!(arrivals, due);
        assert_eq!(stream.missing(), 0);
        assert_eq!(stream.arrive(9), Gap(2));
        assert_eq!(stream.missing(), 2);
        assert!(stream.has(9) && stream.has(6) && !stream.has(7) && !stream.has(10));
    }
}
