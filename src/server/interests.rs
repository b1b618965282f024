//! What the shards are interested in: the index that they share, behind a lock.
//!
//! Invariant: the lock is held for one change of a filter or one look-up of a topic, and never
//! across anything that waits. A topic is looked up only when a shard has no cached match of it,
//! and any number of shards may do so at once.

use std::sync::{Arc, PoisonError, RwLock};

use crate::broker::{Interest, InterestIndex, InterestTree, Interested, ShardId};
use crate::topic::{TopicFilter, TopicName};

/// One shard's handle to the index.
#[derive(Clone)]
pub(crate) struct SharedInterests(Arc<RwLock<InterestTree>>);

impl SharedInterests {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(RwLock::new(InterestTree::new(seed))))
    }
}

// A panic ends the process, so the lock is never poisoned where that matters.
impl InterestIndex for SharedInterests {
    fn set(&mut self, shard: ShardId, filter: TopicFilter<'_>, interest: Interest) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).set(shard, filter, interest);
    }

    fn interested(&self, topic: TopicName<'_>) -> Interested {
        self.0.read().unwrap_or_else(PoisonError::into_inner).interested(topic)
    }

    fn shrink(&mut self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).shrink();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Barrier;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    use super::*;

    const SHARDS: u8 = 4;
    const ROUNDS: usize = 3_000;
    const FILTERS: usize = 40;

    /// What a shard says once the index is written, as `PeerMessage::Interest` does.
    type Told = (ShardId, String, Interest);

    fn filter(n: usize) -> String {
        match n % 4 {
            0 => format!("a/{n}"),
            1 => format!("a/{n}/#"),
            2 => format!("+/{n}"),
            _ => format!("a/{n}/a level that is too long for its node"),
        }
    }

    /// A topic that `filter(n)` matches and no other.
    fn topic(n: usize) -> String {
        filter(n).replace('+', "a").replace("/#", "/below")
    }

    /// Changes of one shard's: it tells the others of each, and looks at what they tell it.
    fn shard(
        own: ShardId,
        mut index: SharedInterests,
        told: Receiver<Told>,
        to: Vec<Sender<Told>>,
        all: &Barrier,
    ) {
        let mut draw = u64::from(own.0) + 1;
        let mut wanted = [Interest::None; FILTERS];
        for _ in 0..ROUNDS {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let n = (draw >> 33) as usize % FILTERS;
            // It only grows until the end, so that what was told stays true.
            wanted[n] = match wanted[n] {
                Interest::None => Interest::Present,
                _ => Interest::Durable,
            };
            index.set(own, TopicFilter::new(&filter(n)).unwrap(), wanted[n]);
            if draw & (1 << 40) == 0 {
                index.shrink();
            }
            for other in &to {
                other.send((own, topic(n), wanted[n])).unwrap();
            }
            told.try_iter().for_each(|told| check(&index, &told));
        }
        drop(to);
        told.iter().for_each(|told| check(&index, &told));
        all.wait(); // what was told is looked at before it ends
        for n in (0..FILTERS).filter(|n| n % usize::from(SHARDS) == usize::from(own.0)) {
            index.set(own, TopicFilter::new(&filter(n)).unwrap(), Interest::None);
        }
    }

    fn check(index: &SharedInterests, (from, topic, interest): &Told) {
        let found = index.interested(TopicName::new(topic).unwrap());
        assert!(found.present.contains(*from), "{topic} without {from:?}, who has told of it");
        let durable = *interest == Interest::Durable;
        assert!(!durable || found.durable.contains(*from), "{topic} as if without sessions");
    }

    #[test]
    fn what_a_shard_was_told_of_it_finds() {
        let (index, all) = (SharedInterests::new(7), Barrier::new(usize::from(SHARDS)));
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..SHARDS).map(|_| channel()).unzip();
        thread::scope(|scope| {
            for (n, told) in receivers.into_iter().enumerate() {
                let mut to = senders.clone();
                to.remove(n);
                let (index, all) = (index.clone(), &all);
                scope.spawn(move || shard(ShardId(n as u8), index, told, to, all));
            }
            drop(senders);
        });
        let index = index.0.read().unwrap();
        index.check_invariants();
        for shard in 0..SHARDS {
            let left = FILTERS - FILTERS / usize::from(SHARDS);
            assert_eq!(index.filters_of(ShardId(shard)), left, "what it withdrew is gone");
        }
    }
}
