//! The subscriptions of a shard's sessions, and which of them a topic concerns.
//!
//! May use: `topic`, `tree`, `cache`. Invariants: a Subscription stands in exactly one list of its
//! node (or its group) and one of its session, at the positions that it remembers, so that taking
//! it out never searches; every change of a filter invalidates what the cache knows of it; what
//! fits into a node stands in the node (there may be millions).

use std::rc::Rc;

use slab::Slab;
use triomphe::Arc;

use super::cache::MatchCache;
use super::ids::IdList;
use super::index::{InterestIndex, InterestTree, Interested};
use super::input::{Interest, SessionKey, ShardId, ShardSet};
use super::rights::Verdicts;
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
    pub(super) text_len: u16,
    /// counted in the node's `durable`
    durable: bool,
    /// counted in the node's `full`
    full: bool,
}

/// What stands at a filter. Most filters have one subscription of one session and nothing else: all
/// else is a [`Rest`], beside the tree.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum NodeSubs {
    #[default]
    Empty,
    One {
        sub: SubId,
        durable: bool,
        full: bool,
        told: Interest,
    },
    /// its place in `Subscriptions::rests`
    Rest(u32),
}

/// Everything that may stand at a filter.
#[derive(Debug, Default)]
struct Rest {
    subs: IdList,
    groups: IdList,
    /// how many of `subs` are QoS 1 or 2 of persistent sessions
    durable: u32,
    /// how many of those take no more
    full: u32,
    /// what the other shards were told of `subs`
    told: Interest,
}

impl NodeValue for NodeSubs {
    fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

impl NodeSubs {
    /// The same as a [`Rest`]; empty for one that has its own already.
    fn unpacked(self) -> Rest {
        let mut rest = Rest::default();
        match self {
            Self::Empty | Self::Rest(_) => {}
            Self::One { sub, durable, full, told } => {
                rest.subs.push(sub);
                rest.durable = u32::from(durable);
                rest.full = u32::from(full);
                rest.told = told;
            }
        }
        rest
    }
}

impl Rest {
    /// The same in few bytes, if it is one of the common cases.
    fn packed(&self) -> Option<NodeSubs> {
        if !self.groups.is_empty() {
            return None;
        }
        match *self.subs {
            [] if self.told == Interest::None => Some(NodeSubs::Empty),
            [sub] => {
                let (durable, full) = (self.durable > 0, self.full > 0);
                Some(NodeSubs::One { sub, durable, full, told: self.told })
            }
            _ => None,
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
    /// the other shards
    pub(super) peers: Interested,
    /// who may publish there
    pub(super) verdicts: Verdicts,
}

/// What [`Subscriptions::subscribe`] did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscribed {
    pub(super) sub: SubId,
    pub(super) node: NodeId,
    pub(super) group: Option<GroupId>,
    pub(super) existed: bool,
}

/// The subscriptions of a shard.
pub(super) struct Subscriptions {
    pub(super) tree: FilterTree<NodeSubs>,
    pub(super) subs: Slab<Subscription>,
    pub(super) groups: Slab<Group>,
    rests: Slab<Rest>,
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
            rests: Slab::new(),
            cache: MatchCache::new(seed ^ 0x5bd1_e995, cache_bytes_max),
            text: String::new(),
            hits: Vec::new(),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.subs.len()
    }

    /// The subscriptions with this very filter, shared ones left out.
    fn subs_at<'a>(&'a self, value: &'a NodeSubs) -> &'a [SubId] {
        match value {
            NodeSubs::One { sub, .. } => std::slice::from_ref(sub),
            NodeSubs::Rest(at) => &self.rests[*at as usize].subs,
            NodeSubs::Empty => &[],
        }
    }

    /// The interest of this shard's sessions, shared subscriptions left out.
    pub(super) fn interest(&self, node: NodeId) -> Interest {
        let (any, durable, full) = match *self.tree.value(node) {
            NodeSubs::Empty => (false, false, false),
            NodeSubs::One { durable, full, .. } => (true, durable, full),
            NodeSubs::Rest(at) => {
                let rest = &self.rests[at as usize];
                (!rest.subs.is_empty(), rest.durable > 0, rest.full > 0)
            }
        };
        match (any, durable) {
            _ if full => Interest::Full,
            (false, _) => Interest::None,
            (true, false) => Interest::Present,
            (true, true) => Interest::Durable,
        }
    }

    /// What the other shards were told of it.
    pub(super) fn told(&self, node: NodeId) -> Interest {
        match *self.tree.value(node) {
            NodeSubs::Empty => Interest::None,
            NodeSubs::One { told, .. } => told,
            NodeSubs::Rest(at) => self.rests[at as usize].told,
        }
    }

    /// Notes what the other shards were told.
    pub(super) fn set_told(&mut self, node: NodeId, told: Interest) {
        self.change(node, |rest| rest.told = told);
    }

    /// Changes what stands at a node, and keeps it as small as it can be.
    fn change<R>(&mut self, node: NodeId, change: impl FnOnce(&mut Rest) -> R) -> R {
        let value = self.tree.value_mut(node);
        if let NodeSubs::Rest(at) = *value {
            let rest = &mut self.rests[at as usize];
            let done = change(rest);
            if let Some(packed) = rest.packed() {
                *value = packed;
                self.rests.remove(at as usize);
            }
            return done;
        }
        let mut rest = value.unpacked();
        let done = change(&mut rest);
        *value = match rest.packed() {
            Some(packed) => packed,
            None => {
                make_room(&mut self.rests);
                NodeSubs::Rest(self.rests.insert(rest) as u32)
            }
        };
        done
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
            None => self.subs_at(self.tree.value(node)),
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
        let NodeSubs::Rest(at) = *self.tree.value(node) else { return None };
        self.rests[at as usize]
            .groups
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
        self.change(node, |rest| rest.groups.push(group));
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
            if was != durable {
                self.change(node, |rest| {
                    rest.durable = rest.durable - u32::from(was) + u32::from(durable);
                });
            }
            if !durable {
                self.set_full(sub, false);
            }
            return Subscribed { sub, node, group, existed: true };
        }
        let node = self.tree.insert(filter.filter);
        let group = filter.share.map(|_| self.group_or_new(filter));
        make_room(&mut self.subs);
        let sub = self.subs.vacant_key() as SubId;
        let slot = match group {
            None => self.change(node, |rest| {
                rest.durable += u32::from(durable);
                rest.subs.push(sub);
                rest.subs.len() - 1
            }),
            Some(g) => {
                let members = &mut self.groups[g as usize].members;
                members.push(sub);
                members.len() - 1
            }
        };
        self.subs.insert(Subscription {
            session,
            node,
            group,
            slot: slot as u32,
            session_slot: own.len() as u32,
            id,
            options,
            text_len: filter.text.len() as u16,
            durable,
            full: false,
        });
        own.push(sub);
        Subscribed { sub, node, group, existed: false }
    }

    /// Notes whether the queue behind a Subscription takes no more; it matters only for those that
    /// are durable.
    pub(super) fn set_full(&mut self, sub: SubId, full: bool) {
        let Some(s) = self.subs.get_mut(sub as usize) else { return };
        let (node, full) = (s.node, full && s.durable);
        if std::mem::replace(&mut s.full, full) != full {
            self.change(node, |rest| match full {
                true => rest.full += 1,
                false => rest.full -= 1,
            });
        }
    }

    /// Takes a Subscription out of all lists. The node and the group stay, perhaps empty, until
    /// [`Subscriptions::prune`].
    pub(super) fn remove(&mut self, sub: SubId, own: &mut IdList) -> Option<Subscription> {
        let s = self.subs.try_remove(sub as usize)?;
        let slot = s.slot as usize;
        let moved = match s.group {
            None => self.change(s.node, |rest| {
                rest.durable -= u32::from(s.durable);
                rest.full -= u32::from(s.full);
                rest.subs.swap_remove(slot);
                rest.subs.get(slot).copied()
            }),
            Some(g) => {
                let members = &mut self.groups[g as usize].members;
                members.swap_remove(slot);
                members.get(slot).copied()
            }
        };
        if let Some(moved) = moved {
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
            self.change(node, |rest| {
                if let Some(at) = rest.groups.iter().position(|&other| other == g) {
                    rest.groups.swap_remove(at);
                }
            });
        }
        self.tree.prune(node);
    }

    /// Another shard's interest in `filter` has changed: what is known of its topics is stale.
    pub(super) fn peer_changed(&mut self, filter: TopicFilter<'_>) {
        self.cache.changed(filter);
    }

    /// Gives memory back that is not used.
    pub(super) fn shrink(&mut self) {
        self.tree.shrink();
        self.cache.drop_stale();
        self.cache.forget_askers();
        shrink_slab(&mut self.subs);
        shrink_slab(&mut self.groups);
        shrink_list(&mut self.hits);
    }

    /// What is known of the topics of these subscriptions is stale.
    pub(super) fn forget_matches_of(&mut self, subs: &[SubId]) {
        for &sub in subs {
            if let Some(node) = self.subs.get(sub as usize).map(|s| s.node) {
                self.node_changed(node);
            }
        }
    }

    /// What is known of any topic is stale.
    pub(super) fn forget_matches(&mut self) {
        self.cache.changed(TopicFilter::from_validated("#"));
    }

    /// Everybody whom `topic` concerns and who may receive it. `peers` and `may_receive` are asked
    /// if that is not known already. `asker`: see [`MatchCache::get`].
    pub(super) fn matched(
        &mut self,
        asker: usize,
        topic: TopicName<'_>,
        peers: impl FnOnce() -> Interested,
        may_receive: impl Fn(SessionKey) -> bool,
    ) -> Rc<Matched> {
        if let Some(matched) = self.cache.get(asker, topic.as_str()) {
            return Rc::clone(matched);
        }
        let matched = Rc::new(self.match_all(topic, peers(), may_receive));
        let bytes = size_of::<Matched>()
            + matched.receivers.len() * size_of::<Receiver>()
            + matched.groups.len() * size_of::<GroupId>();
        self.cache.insert(asker, topic.as_str(), Rc::clone(&matched), bytes);
        matched
    }

    /// Reads what the cache's last answer to `asker` consists of; the result means nothing.
    pub(super) fn touch(&self, asker: usize) -> usize {
        self.cache.last(asker).map_or(0, |(topic, matched)| {
            topic.as_bytes().first().map_or(0, |&b| usize::from(b)) + matched.receivers.len()
        })
    }

    fn match_all(
        &mut self,
        topic: TopicName<'_>,
        peers: Interested,
        may_receive: impl Fn(SessionKey) -> bool,
    ) -> Matched {
        let mut matched = Matched { peers, ..Matched::default() };
        let mut hits = std::mem::take(&mut self.hits);
        hits.clear();
        self.tree.matches(topic, &mut |_, value| {
            let subs = self.subs_at(value).iter();
            hits.extend(subs.map(|&sub| (self.subs[sub as usize].session, sub)));
            if let NodeSubs::Rest(at) = *value {
                matched.groups.extend_from_slice(&self.rests[at as usize].groups);
            }
        });
        hits.sort_unstable();
        matched.receivers = hits
            .chunk_by(|a, b| a.0 == b.0)
            .filter(|same| may_receive(same[0].0))
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
            own.extend(self.subs_at(value).iter().copied().filter(|&sub| {
                let s = &self.subs[sub as usize];
                s.session == session && !s.options.no_local
            }));
        });
        self.merge(own.into_iter())
    }

    /// Panics unless the others were told what this shard's sessions want: nothing, if there are no
    /// others.
    pub(super) fn check_told(&self, alone: bool) {
        self.tree.for_each(|node, _| {
            let interest = if alone { Interest::None } else { self.interest(node) };
            assert_eq!(self.told(node), interest, "what is told of {}", self.filter_text(node));
        });
    }

    /// Panics unless the index says of this shard what the others were told.
    pub(super) fn check_index(&self, own: ShardId, index: &InterestTree) {
        let mut told = 0;
        self.tree.for_each(|node, _| {
            let text = self.filter_text(node);
            let filter = TopicFilter::from_validated(&text);
            told += usize::from(self.told(node) != Interest::None);
            assert_eq!(index.interest_of(own, filter), self.told(node), "the index of {text}");
        });
        assert_eq!(index.filters_of(own), told, "filters that nobody here wants");
    }

    /// Panics if the cache may still give a match that misses another shard: all but those in
    /// `untold`, whose changes have not arrived here.
    pub(super) fn check_cached(&self, own: ShardId, untold: ShardSet, index: &InterestTree) {
        self.cache.for_each_fresh(|topic, matched| {
            let Ok(name) = TopicName::new(topic) else { return };
            let (due, known) = (index.interested(name).without(own), matched.peers);
            for shard in due.present.iter().filter(|&s| !untold.contains(s)) {
                assert!(known.present.contains(shard), "{topic} is known without {shard:?}");
                let durable = due.durable.contains(shard);
                assert!(
                    !durable || known.durable.contains(shard),
                    "{topic} is known with {shard:?}, but not that receipts are to be asked for"
                );
            }
            if untold == ShardSet::default() {
                assert_eq!(known, due, "{topic} is known with shards that it does not concern");
            }
        });
    }

    pub(super) fn check_invariants(&self) {
        self.tree.check_invariants();
        for (at, s) in &self.subs {
            let list = match s.group {
                None => self.subs_at(self.tree.value(s.node)),
                Some(g) => &self.groups[g as usize].members,
            };
            assert_eq!(list.get(s.slot as usize), Some(&(at as SubId)), "position at the node");
        }
        let mut rests = 0;
        self.tree.for_each(|_, value| {
            let subs = self.subs_at(value).iter();
            let durable = subs.filter(|&&s| self.subs[s as usize].durable).count() as u32;
            let counted = match *value {
                NodeSubs::Rest(at) => {
                    rests += 1;
                    let rest = &self.rests[at as usize];
                    assert!(rest.packed().is_none(), "it fits into its node");
                    rest.durable
                }
                NodeSubs::One { durable, .. } => u32::from(durable),
                NodeSubs::Empty => 0,
            };
            assert_eq!(durable, counted, "durable subscriptions of a filter");
            let full = self.subs_at(value).iter().any(|&s| self.subs[s as usize].full);
            let counted = match *value {
                NodeSubs::Rest(at) => self.rests[at as usize].full > 0,
                NodeSubs::One { full, .. } => full,
                NodeSubs::Empty => false,
            };
            assert_eq!(full, counted, "full queues behind a filter");
        });
        assert_eq!(rests, self.rests.len(), "what is beside the tree is some node's");
    }
}

/// Room for one more. It grows by an eighth: a table of a million that doubles is half empty.
pub(super) fn make_room<T>(slab: &mut Slab<T>) {
    if slab.len() == slab.capacity() {
        slab.reserve_exact(slab.len() / 8 + 8);
    }
}
