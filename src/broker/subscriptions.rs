//! The subscriptions of a shard's sessions, what other shards are interested in, and which of them
//! a topic concerns.
//!
//! May use: `topic`, `tree`, `cache`. Invariants: a Subscription stands in exactly one list of its
//! node (or its group) and one of its session, at the positions that it remembers, so that taking
//! it out never searches; every change of a filter invalidates what the cache knows of it.

use std::rc::Rc;

use slab::Slab;
use triomphe::Arc;

use super::cache::MatchCache;
use super::ids::IdList;
use super::input::{Interest, SessionKey, ShardSet};
use super::session::Extra;
use super::shared::Group;
use super::shrink::{shrink_list, shrink_slab};
use super::tree::{FilterTree, NodeId, NodeValue};
use crate::codec::{QoS, SubscriptionOptions};
use crate::topic::{SubscriptionFilter, TopicFilter, TopicName};

/// Names a Subscription; kept only where it is taken out with it.
pub(super) type SubId = u32;
/// Names a group of a Shared Subscription; cached, and gone from the cache when the group goes.
pub(super) type GroupId = u32;

/// One Subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) session: SessionKey,
    pub(super) node: NodeId,
    pub(super) group: Option<GroupId>,
    /// position in the node's or the group's list
    slot: u32,
    /// position in the session's list
    session_slot: u32,
    /// Subscription Identifier, 0: none
    pub(super) id: u32,
    pub(super) options: SubscriptionOptions,
    /// length of its filter as the client wrote it, in bytes
    pub(super) text_len: u32,
    /// counted in the node's `durable`
    durable: bool,
}

/// What this shard told the others of a filter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) interest: Interest,
    pub(super) version: u64,
}

/// What stands at a filter. Most filters have one subscription of one session and nothing else:
/// the rest is boxed.
#[derive(Debug, Default)]
pub(super) struct NodeSubs {
    subs: IdList,
    rest: Option<Box<Rest>>,
    /// how many of `subs` are QoS 1 or 2 of persistent sessions
    durable: u32,
}

#[derive(Debug, Default)]
struct Rest {
    groups: IdList,
    /// the shards that have subscriptions, and durable ones
    present: ShardSet,
    durable: ShardSet,
    told: Told,
}

impl NodeValue for NodeSubs {
    fn is_empty(&self) -> bool {
        self.subs.is_empty() && self.rest.is_none()
    }
}

impl NodeSubs {
    /// The interest of this shard's sessions, shared subscriptions left out.
    pub(super) fn interest(&self) -> Interest {
        match (self.subs.is_empty(), self.durable) {
            (true, _) => Interest::None,
            (false, 0) => Interest::Present,
            (false, _) => Interest::Durable,
        }
    }

    /// What the other shards were told of it.
    pub(super) fn told(&self) -> Told {
        self.rest.as_ref().map(|r| r.told).unwrap_or_default()
    }

    /// Notes what the other shards were told.
    pub(super) fn set_told(&mut self, told: Told) {
        self.change_rest(|rest| rest.told = told);
    }

    fn groups(&self) -> &[GroupId] {
        self.rest.as_ref().map_or(&[], |r| &r.groups)
    }

    fn change_rest(&mut self, change: impl FnOnce(&mut Rest)) {
        let rest = self.rest.get_or_insert_default();
        change(rest);
        let told = rest.told.interest != Interest::None;
        if rest.groups.is_empty() && rest.present.is_empty() && !told {
            self.rest = None;
        }
    }
}

/// Whether the publisher's own session gets a message back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoLocal {
    /// none of its matching subscriptions says No Local
    Never,
    /// some do
    Some,
    /// all do
    All,
}

/// A session that a topic concerns, its overlapping subscriptions merged \[MQTT-3.3.4-2\].
#[derive(Clone, Debug)]
pub(super) struct Receiver {
    pub(super) session: SessionKey,
    pub(super) extra: Option<Arc<Extra>>,
    pub(super) qos: QoS,
    pub(super) retain_as_published: bool,
    pub(super) no_local: NoLocal,
}

/// Everybody whom a topic concerns.
#[derive(Debug, Default)]
pub(super) struct Matched {
    pub(super) receivers: Vec<Receiver>,
    pub(super) groups: Vec<GroupId>,
    pub(super) peers: ShardSet,
    pub(super) durable_peers: ShardSet,
}

/// What [`Subscriptions::subscribe`] did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscribed {
    pub(super) node: NodeId,
    pub(super) group: Option<GroupId>,
    pub(super) existed: bool,
}

/// The subscriptions of a shard.
pub(super) struct Subscriptions {
    pub(super) tree: FilterTree<NodeSubs>,
    pub(super) subs: Slab<Subscription>,
    pub(super) groups: Slab<Group>,
    cache: MatchCache<Rc<Matched>>,
    text: String,
    hits: Vec<(SessionKey, SubId)>,
}

impl Subscriptions {
    pub(super) fn new(seed: u64, cache_bytes_max: usize) -> Self {
        Self {
            tree: FilterTree::new(seed),
            subs: Slab::new(),
            groups: Slab::new(),
            cache: MatchCache::new(seed ^ 0x5bd1_e995, cache_bytes_max),
            text: String::new(),
            hits: Vec::new(),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.subs.len()
    }

    /// The subscription of a session (whose list `own` is) with this very filter.
    pub(super) fn find(
        &self,
        session: SessionKey,
        own: &[SubId],
        filter: &SubscriptionFilter<'_>,
    ) -> Option<SubId> {
        let node = self.tree.find(filter.filter)?;
        let group = match filter.share {
            None => None,
            Some(_) => Some(self.find_group(node, filter.text)?),
        };
        let there = match group {
            None => &self.tree.value(node).subs,
            Some(g) => &self.groups.get(g as usize)?.members,
        };
        let same = |sub: &SubId| {
            let sub = self.subs.get(*sub as usize);
            sub.is_some_and(|s| s.session == session && s.node == node && s.group == group)
        };
        // Either list holds it; a client with many filters and a filter with many clients are
        // both common, both at once are not.
        let list = if own.len() < there.len() { own } else { there };
        list.iter().copied().find(same)
    }

    fn find_group(&self, node: NodeId, key: &str) -> Option<GroupId> {
        let groups = self.tree.value(node).groups();
        groups
            .iter()
            .copied()
            .find(|&g| self.groups.get(g as usize).is_some_and(|g| *g.key == *key))
    }

    /// The group named by a whole `$share/ShareName/filter`.
    pub(super) fn group_of(&self, key: &str) -> Option<GroupId> {
        let filter = SubscriptionFilter::parse(key).ok()?;
        self.find_group(self.tree.find(filter.filter)?, key)
    }

    /// The group named so, made if it is not there.
    pub(super) fn group_or_new(&mut self, filter: &SubscriptionFilter<'_>) -> GroupId {
        let node = self.tree.insert(filter.filter);
        if let Some(group) = self.find_group(node, filter.text) {
            return group;
        }
        let group = self.groups.insert(Group::new(filter.text, node)) as GroupId;
        self.tree.value_mut(node).change_rest(|rest| rest.groups.push(group));
        self.cache.changed(filter.filter);
        group
    }

    /// Makes a Subscription, or replaces the one with the same filter \[MQTT-3.8.4-3\].
    pub(super) fn subscribe(
        &mut self,
        session: SessionKey,
        own: &mut IdList,
        filter: &SubscriptionFilter<'_>,
        options: SubscriptionOptions,
        id: u32,
        persistent: bool,
    ) -> Subscribed {
        let durable = persistent && options.qos != QoS::AtMostOnce && filter.share.is_none();
        self.cache.changed(filter.filter);
        if let Some(sub) = self.find(session, own, filter) {
            let s = &mut self.subs[sub as usize];
            s.options = options;
            s.id = id;
            let (node, group, was) = (s.node, s.group, s.durable);
            s.durable = durable;
            let value = self.tree.value_mut(node);
            value.durable = value.durable - u32::from(was) + u32::from(durable);
            return Subscribed { node, group, existed: true };
        }
        let node = self.tree.insert(filter.filter);
        let group = filter.share.map(|_| self.group_or_new(filter));
        let session_slot = own.len() as u32;
        let entry = self.subs.vacant_entry();
        let sub = entry.key() as SubId;
        let list = match group {
            None => {
                let value = self.tree.value_mut(node);
                value.durable += u32::from(durable);
                &mut value.subs
            }
            Some(g) => &mut self.groups[g as usize].members,
        };
        let slot = list.len() as u32;
        list.push(sub);
        own.push(sub);
        entry.insert(Subscription {
            session,
            node,
            group,
            slot,
            session_slot,
            id,
            options,
            text_len: filter.text.len() as u32,
            durable,
        });
        Subscribed { node, group, existed: false }
    }

    /// Takes a Subscription out of all lists. The node and the group stay, perhaps empty, until
    /// [`Subscriptions::prune`].
    pub(super) fn remove(&mut self, sub: SubId, own: &mut IdList) -> Option<Subscription> {
        let s = self.subs.try_remove(sub as usize)?;
        let list = match s.group {
            None => {
                let value = self.tree.value_mut(s.node);
                value.durable -= u32::from(s.durable);
                &mut value.subs
            }
            Some(g) => &mut self.groups[g as usize].members,
        };
        list.swap_remove(s.slot as usize);
        if let Some(&moved) = list.get(s.slot as usize) {
            self.subs[moved as usize].slot = s.slot;
        }
        own.swap_remove(s.session_slot as usize);
        if let Some(&moved) = own.get(s.session_slot as usize) {
            self.subs[moved as usize].session_slot = s.session_slot;
        }
        self.node_changed(s.node);
        Some(s)
    }

    /// The text of a node's filter.
    pub(super) fn filter_text(&self, node: NodeId) -> String {
        let mut text = String::new();
        self.tree.filter_text(node, &mut text);
        text
    }

    fn node_changed(&mut self, node: NodeId) {
        self.text.clear();
        self.tree.filter_text(node, &mut self.text);
        if let Ok(filter) = TopicFilter::new(&self.text) {
            self.cache.changed(filter);
        }
    }

    /// Removes a group that has no member anywhere, and the node if nothing is left at it.
    pub(super) fn prune(&mut self, node: NodeId, group: Option<GroupId>) {
        if let Some(g) = group
            && self.groups.get(g as usize).is_some_and(Group::is_unused)
        {
            self.node_changed(node);
            self.groups.remove(g as usize);
            self.tree.value_mut(node).change_rest(|rest| {
                if let Some(at) = rest.groups.iter().position(|&other| other == g) {
                    rest.groups.swap_remove(at);
                }
            });
        }
        self.tree.prune(node);
    }

    /// Notes another shard's interest.
    pub(super) fn set_peer(
        &mut self,
        shard: super::ShardId,
        filter: TopicFilter<'_>,
        interest: Interest,
    ) {
        self.cache.changed(filter);
        if interest == Interest::None && self.tree.find(filter).is_none() {
            return;
        }
        let node = self.tree.insert(filter);
        let value = self.tree.value_mut(node);
        value.change_rest(|rest| {
            rest.present.remove(shard);
            rest.durable.remove(shard);
            if interest >= Interest::Present {
                rest.present.insert(shard);
            }
            if interest == Interest::Durable {
                rest.durable.insert(shard);
            }
        });
        if value.is_empty() {
            self.tree.prune(node);
        }
    }

    /// Gives memory back that is not used.
    pub(super) fn shrink(&mut self) {
        self.tree.shrink();
        self.cache.drop_stale();
        shrink_slab(&mut self.subs);
        shrink_slab(&mut self.groups);
        shrink_list(&mut self.hits);
    }

    /// Everybody whom `topic` concerns.
    pub(super) fn matched(&mut self, topic: TopicName<'_>) -> Rc<Matched> {
        if let Some(matched) = self.cache.get(topic.as_str()) {
            return Rc::clone(matched);
        }
        let matched = Rc::new(self.match_all(topic));
        let bytes = size_of::<Matched>()
            + matched.receivers.len() * size_of::<Receiver>()
            + matched.groups.len() * size_of::<GroupId>();
        self.cache.insert(topic.as_str(), Rc::clone(&matched), bytes);
        matched
    }

    fn match_all(&mut self, topic: TopicName<'_>) -> Matched {
        let mut matched = Matched::default();
        let mut hits = std::mem::take(&mut self.hits);
        hits.clear();
        self.tree.matches(topic, &mut |_, value| {
            hits.extend(value.subs.iter().map(|&sub| (self.subs[sub as usize].session, sub)));
            if let Some(rest) = &value.rest {
                matched.groups.extend_from_slice(&rest.groups);
                matched.peers = matched.peers.union(rest.present);
                matched.durable_peers = matched.durable_peers.union(rest.durable);
            }
        });
        hits.sort_unstable();
        matched.receivers = hits
            .chunk_by(|a, b| a.0 == b.0)
            .filter_map(|same| self.merge(same.iter().map(|&(_, sub)| sub)))
            .collect();
        self.hits = hits;
        matched
    }

    /// One receiver out of a session's matching subscriptions: the highest QoS and all
    /// Subscription Identifiers \[MQTT-3.3.4-2\] \[MQTT-3.3.4-4\].
    fn merge(&self, subs: impl Iterator<Item = SubId>) -> Option<Receiver> {
        let mut ids = Vec::new();
        let (mut all, mut no_local) = (0, 0);
        let mut receiver: Option<Receiver> = None;
        for s in subs.filter_map(|sub| self.subs.get(sub as usize)) {
            all += 1;
            no_local += u32::from(s.options.no_local);
            if s.id != 0 {
                ids.push(s.id);
            }
            let r = receiver.get_or_insert_with(|| Receiver {
                session: s.session,
                extra: None,
                qos: s.options.qos,
                retain_as_published: false,
                no_local: NoLocal::Never,
            });
            if s.options.qos > r.qos {
                r.qos = s.options.qos;
            }
            r.retain_as_published |= s.options.retain_as_published;
        }
        let mut receiver = receiver?;
        receiver.no_local = match no_local {
            0 => NoLocal::Never,
            n if n == all => NoLocal::All,
            _ => NoLocal::Some,
        };
        if !ids.is_empty() {
            receiver.extra = Some(Arc::new(Extra { subscription_ids: ids, group: None }));
        }
        Some(receiver)
    }

    /// What the publisher's own session gets of its message, when only some of its matching
    /// subscriptions say No Local \[MQTT-3.8.3-3\].
    pub(super) fn own_receiver(
        &self,
        topic: TopicName<'_>,
        session: SessionKey,
    ) -> Option<Receiver> {
        let mut own = Vec::new();
        self.tree.matches(topic, &mut |_, value| {
            own.extend(value.subs.iter().copied().filter(|&sub| {
                let s = &self.subs[sub as usize];
                s.session == session && !s.options.no_local
            }));
        });
        self.merge(own.into_iter())
    }

    pub(super) fn check_invariants(&self) {
        self.tree.check_invariants();
        for (at, s) in &self.subs {
            let list = match s.group {
                None => &self.tree.value(s.node).subs,
                Some(g) => &self.groups[g as usize].members,
            };
            assert_eq!(list.get(s.slot as usize), Some(&(at as SubId)), "position at the node");
        }
        self.tree.for_each(|_, value| {
            let durable = value.subs.iter().filter(|&&s| self.subs[s as usize].durable).count();
            assert_eq!(durable, value.durable as usize, "durable subscriptions of a filter");
        });
    }
}
