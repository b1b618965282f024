//! What the shards tell each other of their subscriptions.
//!
//! A change of interest is written into the process's index first. But another shard may go on for
//! a while with matches that it has cached; so the others are then told, under a version of this
//! shard's own sequence. Who is told forgets what the filter made stale, and acknowledges. From
//! there on it cannot match without asking the index, which knows the change: it is in force
//! there. Versions are acknowledged in order, so that one number per shard says what is.
//!
//! Invariants: the index is written before anybody is told; a SUBACK waits for the version that
//! made the interest what this subscription needs, whoever started it. When an interest ends,
//! nobody waits: a shard that still has the old match sends a message that finds nobody, and its
//! receipt says so.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use super::index::{InterestIndex, InterestTree};
use super::input::{Effects, Interest, LinkKey, PeerMessage, ShardId, ShardSet};
use super::session::Session;
use super::subscriptions::{GroupId, Matched};
use super::tree::NodeId;
use super::{Broker, Common, Time};
use crate::topic::{SubscriptionFilter, TopicFilter, TopicName};

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

    /// Whether everything that this shard told the others is in force there.
    pub(super) fn all_in_force(&self) -> bool {
        self.interest_in_force() >= self.interests.version
    }

    fn next_version(&mut self) -> u64 {
        self.interests.version += 1;
        self.interests.version
    }

    /// Everybody whom `topic` concerns: what is cached, or what the index says. `by`: who
    /// publishes, if that is a client of this shard.
    pub(super) fn matched(
        &mut self,
        by: Option<LinkKey>,
        topic: TopicName<'_>,
        common: &mut impl Common,
    ) -> Rc<Matched> {
        let (sessions, rules) = (&self.sessions, &self.rules);
        let all = rules.are_open();
        self.subscriptions.matched(asker(by), topic, common.interests(), |session| {
            let class = || sessions.get(session).and_then(Session::class);
            all || rules.may_receive(class(), topic)
        })
    }

    /// Reads what the next packets of `link` will most likely need, so that the processor has it
    /// near. The result means nothing.
    pub fn touch(&self, link: LinkKey) -> usize {
        let link_too = self.links.get(link).map_or(0, |l| usize::from(l.window));
        link_too + self.subscriptions.touch(asker(Some(link)))
    }

    /// Tells the others if the interest at `node` has changed. Returns the version that a
    /// subscription there has to wait for.
    pub(super) fn tell_interest(
        &mut self,
        node: NodeId,
        index: &mut impl InterestIndex,
        fx: &mut Effects,
    ) -> u64 {
        if self.shards < 2 {
            return 0;
        }
        let (place, told) = index.read(|index| index.look(self.shard, node));
        let interest = self.subscriptions.interest(place);
        if told == interest {
            return self.interests.under_way.get(&node).copied().unwrap_or(0);
        }
        let mut filter = String::new();
        index.write(|index| {
            index.tell(self.shard, node, interest);
            index.filter_text(node, &mut filter);
        });
        let filter: Arc<str> = filter.into();
        let version = self.next_version();
        self.interests.told(node, interest);
        for shard in self.others() {
            let filter = Arc::clone(&filter);
            fx.peers.push((shard, PeerMessage::Interest { version, filter }));
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
        let now = (g.online, g.offline, g.full);
        if g.told == now {
            return g.told_version;
        }
        let version = self.next_version();
        let g = &mut self.subscriptions.groups[group as usize];
        // What SUBACK waits for is that members are known at all; a change of their number is not
        // waited for.
        if g.told == (0, 0, 0) {
            g.told_version = version;
        }
        g.told = now;
        let key = Arc::clone(&g.key);
        for shard in self.others() {
            let group = Arc::clone(&key);
            let (online, offline, full) = now;
            fx.peers.push((shard, PeerMessage::Group { version, group, online, offline, full }));
        }
        version
    }

    /// Another shard's interest has changed: the index says to what.
    pub(super) fn on_peer_interest(
        &mut self,
        from: ShardId,
        version: u64,
        filter: &str,
        fx: &mut Effects,
    ) {
        self.subscriptions.peer_changed(TopicFilter::from_validated(filter));
        ack_interest(from, version, fx);
    }

    /// Another shard's members of a group have changed.
    pub(super) fn on_peer_group(
        &mut self,
        from: ShardId,
        version: u64,
        key: &str,
        members: (u32, u32, u32),
        index: &mut impl InterestIndex,
        fx: &mut Effects,
    ) {
        if let Ok(filter) = SubscriptionFilter::parse(key)
            && filter.share.is_some()
        {
            let group = self.subscriptions.group_or_new(&filter, index);
            let g = &mut self.subscriptions.groups[group as usize];
            g.set_remote(from, members);
            let node = g.node;
            self.subscriptions.prune(node, Some(group), index);
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

    /// Asserts what must hold between any two inputs of all shards: the index has of this shard
    /// what it has and wants, and nothing is cached here that misses another shard, but for those
    /// in `untold`: their messages of a change are still on the way here. For tests and simulators.
    ///
    /// # Panics
    /// With the broken invariant, in words.
    pub fn check_interests(&self, index: &InterestTree, untold: ShardSet) {
        self.subscriptions.check_index(self.shards < 2, index);
        self.subscriptions.check_cached(untold, index);
    }
}

/// One acknowledgement for a run of changes: the newest version says it all.
fn ack_interest(to: ShardId, newest: u64, fx: &mut Effects) {
    match fx.peers.last_mut() {
        Some((shard, PeerMessage::InterestAck { version })) if *shard == to => *version = newest,
        _ => fx.peers.push((to, PeerMessage::InterestAck { version: newest })),
    }
}

/// The number under which the match cache knows who asks.
fn asker(by: Option<LinkKey>) -> usize {
    by.map_or(0, |link| link.index() + 1)
}
