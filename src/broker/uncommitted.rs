//! What the store was given and has not written: how many bytes, and who is not read because of it.
//!
//! Records that carry a message count; all others are small, and what they do must go on. Over
//! `uncommitted_bytes_max` the links whose PUBLISHes are recorded are not read, and credit for what
//! other shards send is kept back, so that they pause theirs; below half all go on. With the store
//! full nobody is held here: there PUBLISHes are refused instead, or not taken.
//!
//! Invariant: `bytes` is the sum of what is neither committed nor void.

use std::collections::VecDeque;

use super::Broker;
use super::input::{Effects, LinkKey, PeerMessage, Seq, ShardId};
use super::link::Hold;
use super::record::Record;

/// An empty list of more places than this is given back.
const KEPT_MAX: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Uncommitted {
    /// by number, from `first` on: what the record costs
    costs: VecDeque<u32>,
    /// everything before it is committed
    first: u64,
    bytes: usize,
    /// links that are not read because of it
    held: Vec<LinkKey>,
}

impl Uncommitted {
    /// The next record, number `seq`.
    pub(super) fn push(&mut self, seq: Seq, record: &Record) {
        let cost = match record {
            Record::Queued { .. } | Record::QueuedPlain { .. } | Record::Retained { .. } => {
                record.cost_bytes()
            }
            _ => 0,
        };
        if self.costs.is_empty() {
            self.first = seq.0;
        }
        self.bytes += cost;
        self.costs.push_back(u32::try_from(cost).unwrap_or(u32::MAX));
    }

    /// All up to `seq` are committed.
    pub(super) fn commit(&mut self, seq: Seq) {
        while self.first <= seq.0
            && let Some(cost) = self.costs.pop_front()
        {
            self.first += 1;
            self.bytes -= cost as usize;
        }
        if self.costs.is_empty() && self.costs.capacity() > KEPT_MAX {
            self.costs = VecDeque::new();
        }
    }

    /// `seq` need not be waited for.
    pub(super) fn make_void(&mut self, seq: Seq) {
        let at = seq.0.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(cost) = at.and_then(|at| self.costs.get_mut(at)) {
            self.bytes -= std::mem::take(cost) as usize;
        }
    }
}

impl Broker {
    /// Whether so much waits for the store that no more should come.
    pub(super) fn is_store_behind(&self) -> bool {
        self.uncommitted.bytes >= self.limits.uncommitted_bytes_max && !self.no_room
    }

    /// A PUBLISH of this link was recorded while so much waits already: it is the last for now.
    pub(super) fn hold_for_store(&mut self, link: LinkKey, fx: &mut Effects) {
        if let Some(l) = self.links.get_mut(link)
            && !l.is_held(Hold::StoreBehind)
        {
            l.hold(Hold::StoreBehind, true);
            self.counters.paused_uncommitted += 1;
            self.uncommitted.held.push(link);
            fx.sends.hold_reads(link, true);
        }
    }

    /// Reads the links again, if the store has caught up, and gives the credit that was kept back.
    pub(super) fn store_caught_up(&mut self, fx: &mut Effects) {
        if self.uncommitted.bytes > self.limits.uncommitted_bytes_max / 2 && !self.no_room {
            return;
        }
        for link in std::mem::take(&mut self.uncommitted.held) {
            if let Some(l) = self.links.get_mut(link) {
                l.hold(Hold::StoreBehind, false);
                fx.sends.hold_reads(link, l.reads_held());
            }
        }
        if std::mem::take(&mut self.credit_kept) {
            for (shard, owed) in self.credit_owed.iter_mut().enumerate() {
                if *owed >= self.limits.peer_bytes_max / 8 && *owed > 0 {
                    let bytes = std::mem::take(owed);
                    fx.peers.push((ShardId(shard as u8), PeerMessage::Credit { bytes }));
                }
            }
        }
    }
}
