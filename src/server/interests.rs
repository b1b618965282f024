//! What the shards have at which filters: the index that they share, behind a lock.
//!
//! Invariant: the lock is held for one change of a filter or one look-up of a topic, and never
//! across anything that waits. A topic is looked up only when a shard has no cached match of it,
//! and any number of shards may do so at once. A PUBLISH whose match is cached takes no lock.

use std::sync::{Arc, PoisonError, RwLock};

use crate::broker::{InterestIndex, InterestTree};

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
    fn read<R>(&self, look: impl FnOnce(&InterestTree) -> R) -> R {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<R>(&mut self, change: impl FnOnce(&mut InterestTree) -> R) -> R {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Barrier;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    use super::*;
    use crate::broker::{Interest, Place, ShardId};
    use crate::topic::{TopicFilter, TopicName};

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

    /// As a shard does it: the node is named between two calls, while others come and go.
    fn set(index: &mut SharedInterests, own: ShardId, n: usize, interest: Interest) {
        let text = filter(n);
        let (node, _) = index.write(|i| i.hold(own, TopicFilter::new(&text).unwrap()));
        let place = match interest {
            Interest::None => Place::Nothing,
            _ => Place::One(n as u32),
        };
        index.write(|i| i.put(own, node, place));
        let mut known = String::new();
        index.write(|i| {
            i.tell(own, node, interest);
            i.filter_text(node, &mut known);
        });
        assert_eq!(known, text, "a node that is held is another filter's");
        index.write(|i| i.release(own, node));
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
            set(&mut index, own, n, wanted[n]);
            set(&mut index, own, FILTERS + (draw >> 50) as usize % 8, Interest::None);
            if draw & (1 << 40) == 0 {
                index.write(InterestTree::shrink);
            }
            for other in &to {
                other.send((own, topic(n), wanted[n])).unwrap();
            }
            told.try_iter().for_each(|told| check(&index, own, &told));
        }
        drop(to);
        told.iter().for_each(|told| check(&index, own, &told));
        all.wait(); // what was told is looked at before it ends
        for n in (0..FILTERS).filter(|n| n % usize::from(SHARDS) == usize::from(own.0)) {
            set(&mut index, own, n, Interest::None);
        }
    }

    fn check(index: &SharedInterests, own: ShardId, (from, topic, interest): &Told) {
        let name = TopicName::new(topic).unwrap();
        let found = index.read(|i| i.interested(own, name, &mut |_| {}));
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
            let mut count = 0;
            index.for_each_of(ShardId(shard), |_, _, _| count += 1);
            assert_eq!(count, left, "what it withdrew is gone");
        }
    }
}
