//! What the shards tell each other of their subscriptions.
//!
//! Every change has a version of its shard's own sequence; the other shards acknowledge versions
//! in order, so that one number per shard says what is in force there. Invariant: a SUBACK waits
//! for the version that made the interest what this subscription needs, whoever started it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::input::{Effects, Interest, PeerMessage, ShardId};
use super::subscriptions::GroupId;
use super::tree::NodeId;
use super::{Broker, Time};
use crate::topic::{SubscriptionFilter, TopicFilter};

/// What has been told and what is in force.
#[derive(Debug, Default)]
pub(super) struct Interests {
    /// the newest version of this shard's
    version: u64,
    /// by shard: the newest version in force there
    acked: Vec<u64>,
    /// the newest version of each filter whose interest is not in force everywhere yet
    under_way: BTreeMap<NodeId, u64>,
    /// the same and those that were overtaken, in the order of their versions
    order: VecDeque<(u64, NodeId)>,
}

impl Interests {
    pub(super) fn new(shards: usize) -> Self {
        Self { acked: vec![0; shards], ..Self::default() }
    }

    /// The others were told of the interest at `node`. Nobody waits for the end of an interest.
    fn told(&mut self, node: NodeId, interest: Interest) {
        if interest == Interest::None {
            self.under_way.remove(&node);
        } else {
            self.under_way.insert(node, self.version);
            self.order.push_back((self.version, node));
        }
    }

    /// Forgets the versions up to `in_force`: who subscribes there has nothing to wait for.
    fn forget(&mut self, in_force: u64) {
        while let Some(&(version, node)) = self.order.front()
            && version <= in_force
        {
            self.order.pop_front();
            if self.under_way.get(&node) == Some(&version) {
                self.under_way.remove(&node);
            }
        }
        if self.order.is_empty() {
            self.order = VecDeque::new(); // a herd of subscribers leaves nothing behind
        }
    }
}

impl Broker {
    fn others(&self) -> impl Iterator<Item = ShardId> + use<> {
        let (own, shards) = (self.shard, self.shards);
        (0..shards).map(ShardId).filter(move |&s| s != own)
    }

    /// The newest version that is in force on every other shard.
    pub(super) fn interest_in_force(&self) -> u64 {
        self.others().map(|s| self.interests.acked[usize::from(s.0)]).min().unwrap_or(u64::MAX)
    }

    fn next_version(&mut self) -> u64 {
        self.interests.version += 1;
        self.interests.version
    }

    /// Tells the others if the interest at `node` has changed. Returns the version that a
    /// subscription there has to wait for.
    pub(super) fn tell_interest(&mut self, node: NodeId, fx: &mut Effects) -> u64 {
        if self.shards < 2 {
            return 0;
        }
        let interest = self.subscriptions.interest(node);
        if self.subscriptions.told(node) == interest {
            return self.interests.under_way.get(&node).copied().unwrap_or(0);
        }
        let version = self.next_version();
        self.subscriptions.set_told(node, interest);
        self.interests.told(node, interest);
        let filter: Arc<str> = self.subscriptions.filter_text(node).into();
        for shard in self.others() {
            let filter = Arc::clone(&filter);
            fx.peers.push((shard, PeerMessage::Interest { version, filter, interest }));
        }
        version
    }

    /// Tells the others if this shard's members of a group have changed. Returns the version that
    /// a subscription there has to wait for.
    pub(super) fn tell_group(&mut self, group: GroupId, fx: &mut Effects) -> u64 {
        if self.shards < 2 {
            return 0;
        }
        let Some(g) = self.subscriptions.groups.get(group as usize) else { return 0 };
        let now = (g.online, g.offline);
        if g.told == now {
            return g.told_version;
        }
        let version = self.next_version();
        let g = &mut self.subscriptions.groups[group as usize];
        // What SUBACK waits for is that members are known at all; a change of their number is not
        // waited for.
        if g.told == (0, 0) {
            g.told_version = version;
        }
        g.told = now;
        let key = Arc::clone(&g.key);
        for shard in self.others() {
            let group = Arc::clone(&key);
            let (online, offline) = now;
            fx.peers.push((shard, PeerMessage::Group { version, group, online, offline }));
        }
        version
    }

    /// Another shard's interest has changed.
    pub(super) fn on_peer_interest(
        &mut self,
        from: ShardId,
        version: u64,
        filter: &str,
        interest: Interest,
        fx: &mut Effects,
    ) {
        if let Ok(filter) = TopicFilter::new(filter) {
            self.subscriptions.set_peer(from, filter, interest);
        }
        ack_interest(from, version, fx);
    }

    /// Another shard's members of a group have changed.
    pub(super) fn on_peer_group(
        &mut self,
        from: ShardId,
        version: u64,
        key: &str,
        (online, offline): (u32, u32),
        fx: &mut Effects,
    ) {
        if let Ok(filter) = SubscriptionFilter::parse(key)
            && filter.share.is_some()
        {
            let group = self.subscriptions.group_or_new(&filter);
            let g = &mut self.subscriptions.groups[group as usize];
            g.set_remote(from, online, offline);
            let node = g.node;
            self.subscriptions.prune(node, Some(group));
        }
        ack_interest(from, version, fx);
    }

    /// Another shard has this shard's changes in force.
    pub(super) fn on_interest_ack(
        &mut self,
        now: Time,
        from: ShardId,
        version: u64,
        fx: &mut Effects,
    ) {
        let acked = &mut self.interests.acked[usize::from(from.0)];
        *acked = version.max(*acked);
        self.interests.forget(self.interest_in_force());
        self.open_gate(now, fx);
    }
}

/// One acknowledgement for a run of changes: the newest version says it all.
fn ack_interest(to: ShardId, newest: u64, fx: &mut Effects) {
    match fx.peers.last_mut() {
        Some((shard, PeerMessage::InterestAck { version })) if *shard == to => *version = newest,
        _ => fx.peers.push((to, PeerMessage::InterestAck { version: newest })),
    }
}
