//! The subscriptions of a shard's sessions, and which of them a topic concerns.
//!
//! May use: `topic`, `index`, `cache`. Where filters stand is the index's, which all shards share
//! and which is an argument; what a shard has at a filter is here.
//!
//! Invariants: a Subscription stands in exactly one list of its filter (or its group) and one of
//! its session, at the positions that it remembers, so that taking it out never searches; every
//! change of a filter invalidates what the cache knows of it; what fits into the index's entry
//! stands there alone (there may be millions).

use std::hash::BuildHasher;
use std::rc::Rc;

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use slab::Slab;
use triomphe::Arc;

use super::cache::MatchCache;
use super::ids::IdList;
use super::index::{InterestIndex, InterestTree, Interested, Place};
use super::input::{Interest, SessionKey, ShardId, ShardSet};
use super::rights::Verdicts;
use super::session::Extra;
use super::shared::Group;
use super::shrink::{is_sparse, shrink_list, shrink_slab};
use super::tree::NodeId;
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
    /// QoS 1 or 2 of a persistent session
    durable: bool,
    /// its queue takes no more; only of one that is durable
    full: bool,
}

/// What stands at a filter where it is not one Subscription alone.
#[derive(Debug, Default)]
struct Rest {
    subs: IdList,
    groups: IdList,
    /// how many of `subs` are durable
    durable: u32,
    /// how many of those take no more
    full: u32,
}

impl Rest {
    /// The same in few bytes, if it is one of the common cases.
    fn packed(&self) -> Option<Place> {
        match *self.subs {
            _ if !self.groups.is_empty() => None,
            [] => Some(Place::Nothing),
            [sub] => Some(Place::One(sub)),
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
    /// what a session of `receivers` gets of its own messages, where that is another
    /// ([`NoLocal::Some`])
    own: Vec<Receiver>,
    /// the other shards
    pub(super) peers: Interested,
    /// who may publish there
    pub(super) verdicts: Verdicts,
}

impl Matched {
    /// What the publisher's own session gets of its message, when only some of its matching
    /// subscriptions say No Local \[MQTT-3.8.3-3\].
    pub(super) fn own_receiver(&self, session: SessionKey) -> Option<&Receiver> {
        self.own.iter().find(|receiver| receiver.session == session)
    }
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
    shard: ShardId,
    pub(super) subs: Slab<Subscription>,
    pub(super) groups: Slab<Group>,
    /// the groups by their keys
    group_names: HashTable<GroupId>,
    hasher: FixedState,
    rests: Slab<Rest>,
    cache: MatchCache<Rc<Matched>>,
    text: String,
    places: Vec<Place>,
    hits: Vec<(SessionKey, SubId)>,
}

impl Subscriptions {
    pub(super) fn new(shard: ShardId, seed: u64, cache_bytes_max: usize) -> Self {
        Self {
            shard,
            subs: Slab::new(),
            groups: Slab::new(),
            group_names: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            rests: Slab::new(),
            cache: MatchCache::new(seed ^ 0x5bd1_e995, cache_bytes_max),
            text: String::new(),
            places: Vec::new(),
            hits: Vec::new(),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.subs.len()
    }

    /// The subscriptions with this very filter, shared ones left out.
    fn subs_at<'a>(&'a self, place: &'a Place) -> &'a [SubId] {
        match place {
            Place::One(sub) => std::slice::from_ref(sub),
            Place::Rest(at) => &self.rests[*at as usize].subs,
            Place::Nothing => &[],
        }
    }

    /// How many of `subs` are durable, and how many of those take no more.
    fn count(&self, subs: &[SubId]) -> (u32, u32) {
        let subs = subs.iter().filter_map(|&sub| self.subs.get(sub as usize));
        subs.fold((0, 0), |(durable, full), s| {
            (durable + u32::from(s.durable), full + u32::from(s.full))
        })
    }

    /// The interest of this shard's sessions in what they have at a filter, shared subscriptions
    /// left out.
    pub(super) fn interest(&self, place: Place) -> Interest {
        let (any, durable, full) = match place {
            Place::Nothing => (false, 0, 0),
            Place::One(sub) => {
                let (durable, full) = self.count(&[sub]);
                (true, durable, full)
            }
            Place::Rest(at) => {
                let rest = &self.rests[at as usize];
                (!rest.subs.is_empty(), rest.durable, rest.full)
            }
        };
        match (any, durable > 0) {
            _ if full > 0 => Interest::Full,
            (false, _) => Interest::None,
            (true, false) => Interest::Present,
            (true, true) => Interest::Durable,
        }
    }

    /// What is at a place as a [`Rest`], changed; and the place, as small as it can be.
    fn change<R>(&mut self, place: Place, change: impl FnOnce(&mut Rest) -> R) -> (Place, R) {
        if let Place::Rest(at) = place {
            let rest = &mut self.rests[at as usize];
            let done = change(rest);
            let Some(packed) = rest.packed() else { return (place, done) };
            self.rests.remove(at as usize);
            return (packed, done);
        }
        let mut rest = Rest::default();
        if let Place::One(sub) = place {
            (rest.durable, rest.full) = self.count(&[sub]);
            rest.subs.push(sub);
        }
        let done = change(&mut rest);
        let packed = rest.packed().unwrap_or_else(|| {
            make_room(&mut self.rests);
            Place::Rest(self.rests.insert(rest) as u32)
        });
        (packed, done)
    }

    /// The same for what `place` says is at `node`.
    fn change_at<R>(
        &mut self,
        node: NodeId,
        place: Place,
        index: &mut impl InterestIndex,
        change: impl FnOnce(&mut Rest) -> R,
    ) -> R {
        let (new, done) = self.change(place, change);
        if new != place {
            index.write(|index| index.put(self.shard, node, new));
        }
        done
    }

    /// The subscription of a session (whose list `own` is) with this very filter.
    pub(super) fn find(
        &self,
        session: SessionKey,
        own: &[SubId],
        filter: &SubscriptionFilter<'_>,
        index: &impl InterestIndex,
    ) -> Option<SubId> {
        if filter.share.is_some() {
            let group = self.group_of(filter.text)?;
            let g = self.groups.get(group as usize)?;
            return self.find_among(&g.members, session, own, g.node, Some(group));
        }
        let (node, place) = index.read(|index| index.find(self.shard, filter.filter))?;
        self.find_among(self.subs_at(&place), session, own, node, None)
    }

    fn find_among(
        &self,
        there: &[SubId],
        session: SessionKey,
        own: &[SubId],
        node: NodeId,
        group: Option<GroupId>,
    ) -> Option<SubId> {
        let same = |sub: &SubId| {
            let sub = self.subs.get(*sub as usize);
            sub.is_some_and(|s| s.session == session && s.node == node && s.group == group)
        };
        // Either list holds it; a client with many filters and a filter with many clients are
        // both common, both at once are not.
        let list = if own.len() < there.len() { own } else { there };
        list.iter().copied().find(same)
    }

    fn name_hash(&self, key: &str) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The group named by a whole `$share/ShareName/filter`.
    pub(super) fn group_of(&self, key: &str) -> Option<GroupId> {
        let is_it = |&g: &GroupId| self.groups.get(g as usize).is_some_and(|g| *g.key == *key);
        self.group_names.find(self.name_hash(key), is_it).copied()
    }

    /// The group named so, made if it is not there.
    pub(super) fn group_or_new(
        &mut self,
        filter: &SubscriptionFilter<'_>,
        index: &mut impl InterestIndex,
    ) -> GroupId {
        if let Some(group) = self.group_of(filter.text) {
            return group;
        }
        let (node, place) = index.write(|index| index.hold(self.shard, filter.filter));
        let group = self.groups.insert(Group::new(filter.text, node)) as GroupId;
        let (groups, hasher) = (&self.groups, &self.hasher);
        self.group_names.insert_unique(self.name_hash(filter.text), group, |&g| {
            groups.get(g as usize).map_or(0, |g| hasher.hash_one(&*g.key))
        });
        self.change_at(node, place, index, |rest| rest.groups.push(group));
        self.cache.changed(filter.filter);
        group
    }

    /// Makes a Subscription, or replaces the one with the same filter \[MQTT-3.8.4-3\].
    pub(super) fn subscribe(
        &mut self,
        (session, persistent): (SessionKey, bool),
        own: &mut IdList,
        filter: &SubscriptionFilter<'_>,
        options: SubscriptionOptions,
        id: u32,
        index: &mut impl InterestIndex,
    ) -> Subscribed {
        let durable = persistent && options.qos != QoS::AtMostOnce && filter.share.is_none();
        self.cache.changed(filter.filter);
        let group = filter.share.map(|_| self.group_or_new(filter, index));
        let (node, place) = match group {
            None => index.write(|index| index.hold(self.shard, filter.filter)),
            Some(g) => (self.groups[g as usize].node, Place::Nothing),
        };
        let there = match group {
            None => self.subs_at(&place),
            Some(g) => &self.groups[g as usize].members,
        };
        let found = self.find_among(there, session, own, node, group);
        if let Some(sub) = found {
            let s = &mut self.subs[sub as usize];
            s.options = options;
            s.id = id;
            let was = std::mem::replace(&mut s.durable, durable);
            if let Place::Rest(at) = place {
                let rest = &mut self.rests[at as usize];
                rest.durable = rest.durable - u32::from(was) + u32::from(durable);
            }
            if !durable {
                self.set_full(sub, false, index);
            }
            return Subscribed { sub, node, group, existed: true };
        }
        make_room(&mut self.subs);
        let sub = self.subs.vacant_key() as SubId;
        let slot = match group {
            None => self.change_at(node, place, index, |rest| {
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
    pub(super) fn set_full(&mut self, sub: SubId, full: bool, index: &impl InterestIndex) {
        let Some(s) = self.subs.get_mut(sub as usize) else { return };
        let (node, full) = (s.node, full && s.durable);
        if std::mem::replace(&mut s.full, full) != full
            && let (Place::Rest(at), _) = index.read(|index| index.look(self.shard, node))
        {
            let rest = &mut self.rests[at as usize];
            rest.full = if full { rest.full + 1 } else { rest.full - 1 };
        }
    }

    /// Takes a Subscription out of all lists. The node and the group stay, perhaps empty, until
    /// [`Subscriptions::prune`].
    pub(super) fn remove(
        &mut self,
        sub: SubId,
        own: &mut IdList,
        index: &mut impl InterestIndex,
    ) -> Option<Subscription> {
        let s = self.subs.try_remove(sub as usize)?;
        let slot = s.slot as usize;
        let place = self.node_changed(s.node, index);
        let moved = match s.group {
            None => self.change_at(s.node, place, index, |rest| {
                if let Place::Rest(_) = place {
                    rest.durable -= u32::from(s.durable);
                    rest.full -= u32::from(s.full);
                }
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
        Some(s)
    }

    /// What is known of the topics of a node's filter is stale. Returns what is there.
    fn node_changed(&mut self, node: NodeId, index: &impl InterestIndex) -> Place {
        let (shard, text) = (self.shard, &mut self.text);
        text.clear();
        let (place, _) = index.read(|index| {
            index.filter_text(node, text);
            index.look(shard, node)
        });
        self.cache.changed(TopicFilter::from_validated(text));
        place
    }

    /// Removes a group that has no member anywhere, and lets go of the node if nothing is left at
    /// it.
    pub(super) fn prune(
        &mut self,
        node: NodeId,
        group: Option<GroupId>,
        index: &mut impl InterestIndex,
    ) {
        if let Some(g) = group
            && self.groups.get(g as usize).is_some_and(Group::is_unused)
        {
            let place = self.node_changed(node, index);
            let hash = self.name_hash(&self.groups[g as usize].key);
            if let Ok(named) = self.group_names.find_entry(hash, |&other| other == g) {
                named.remove();
            }
            self.groups.remove(g as usize);
            self.change_at(node, place, index, |rest| {
                if let Some(at) = rest.groups.iter().position(|&other| other == g) {
                    rest.groups.swap_remove(at);
                }
            });
        }
        index.write(|index| index.release(self.shard, node));
    }

    /// Another shard's interest in `filter` has changed: what is known of its topics is stale.
    pub(super) fn peer_changed(&mut self, filter: TopicFilter<'_>) {
        self.cache.changed(filter);
    }

    /// Gives memory back that is not used.
    pub(super) fn shrink(&mut self) {
        self.cache.drop_stale();
        self.cache.forget_askers();
        shrink_slab(&mut self.subs);
        shrink_slab(&mut self.groups);
        if is_sparse(self.group_names.len(), self.group_names.capacity()) {
            let (groups, hasher) = (&self.groups, &self.hasher);
            self.group_names.shrink_to(self.group_names.len() * 2, |&g| {
                groups.get(g as usize).map_or(0, |g| hasher.hash_one(&*g.key))
            });
        }
        shrink_list(&mut self.places);
        shrink_list(&mut self.hits);
    }

    /// What is known of the topics of these subscriptions is stale.
    pub(super) fn forget_matches_of(&mut self, subs: &[SubId], index: &impl InterestIndex) {
        for &sub in subs {
            if let Some(node) = self.subs.get(sub as usize).map(|s| s.node) {
                self.node_changed(node, index);
            }
        }
    }

    /// What is known of any topic is stale.
    pub(super) fn forget_matches(&mut self) {
        self.cache.changed(TopicFilter::from_validated("#"));
    }

    /// Everybody whom `topic` concerns and who may receive it. The index and `may_receive` are
    /// asked if that is not known already. `asker`: see [`MatchCache::get`].
    pub(super) fn matched(
        &mut self,
        asker: usize,
        topic: TopicName<'_>,
        index: &impl InterestIndex,
        may_receive: impl Fn(SessionKey) -> bool,
    ) -> Rc<Matched> {
        if let Some(matched) = self.cache.get(asker, topic.as_str()) {
            return Rc::clone(matched);
        }
        let matched = Rc::new(self.match_all(topic, index, may_receive));
        let receivers = matched.receivers.len() + matched.own.len();
        let bytes = size_of::<Matched>()
            + receivers * size_of::<Receiver>()
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
        index: &impl InterestIndex,
        may_receive: impl Fn(SessionKey) -> bool,
    ) -> Matched {
        let mut matched = Matched::default();
        // Only the places while the index is held: there may be many subscriptions at one.
        let mut places = std::mem::take(&mut self.places);
        places.clear();
        let mut visit = |place| places.push(place);
        matched.peers = index.read(|index| index.interested(self.shard, topic, &mut visit));
        let mut hits = std::mem::take(&mut self.hits);
        hits.clear();
        for place in &places {
            let subs = self.subs_at(place).iter();
            hits.extend(subs.map(|&sub| (self.subs[sub as usize].session, sub)));
            if let Place::Rest(at) = *place {
                matched.groups.extend_from_slice(&self.rests[at as usize].groups);
            }
        }
        hits.sort_unstable();
        for same in hits.chunk_by(|a, b| a.0 == b.0).filter(|same| may_receive(same[0].0)) {
            let subs = same.iter().map(|&(_, sub)| sub);
            let Some(receiver) = self.merge(subs.clone()) else { continue };
            if receiver.no_local == NoLocal::Some {
                let local = subs.filter(|&sub| !self.subs[sub as usize].options.no_local);
                matched.own.extend(self.merge(local));
            }
            matched.receivers.push(receiver);
        }
        self.places = places;
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
            ids.sort_unstable(); // any order is right; this one does not depend on the tree
            receiver.extra = Some(Arc::new(Extra { subscription_ids: ids, group: None }));
        }
        Some(receiver)
    }

    /// Panics unless the index has of this shard what is here, and says of it what the sessions
    /// want: nothing, if it is `alone`.
    pub(super) fn check_index(&self, alone: bool, index: &InterestTree) {
        let (mut rests, mut subs) = (0, 0);
        index.for_each_of(self.shard, |node, place, told| {
            let mut text = String::new();
            index.filter_text(node, &mut text);
            let interest = if alone { Interest::None } else { self.interest(place) };
            assert_eq!(told, interest, "what is told of {text}");
            for (slot, &sub) in self.subs_at(&place).iter().enumerate() {
                let s = &self.subs[sub as usize];
                let there = (s.node, s.group, s.slot as usize);
                assert_eq!(there, (node, None, slot), "position at {text}");
                subs += 1;
            }
            if let Place::Rest(at) = place {
                rests += 1;
                for &g in self.rests[at as usize].groups.iter() {
                    assert_eq!(self.groups[g as usize].node, node, "a group's node");
                }
            }
        });
        assert_eq!(rests, self.rests.len(), "what is beside the index is some node's");
        let members: usize = self.groups.iter().map(|(_, g)| g.members.len()).sum();
        assert_eq!(subs + members, self.subs.len(), "subscriptions that no topic finds");
    }

    /// Panics if the cache may still give a match that misses another shard: all but those in
    /// `untold`, whose changes have not arrived here.
    pub(super) fn check_cached(&self, untold: ShardSet, index: &InterestTree) {
        self.cache.for_each_fresh(|topic, matched| {
            let Ok(name) = TopicName::new(topic) else { return };
            let due = index.interested(self.shard, name, &mut |_| {});
            let known = matched.peers;
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
        for (_, rest) in &self.rests {
            assert!(rest.packed().is_none(), "it fits into its entry");
            let counted = (rest.durable, rest.full);
            assert_eq!(counted, self.count(&rest.subs), "durable subscriptions of a filter");
        }
        for (at, g) in &self.groups {
            assert_eq!(self.group_of(&g.key), Some(at as GroupId), "a group has its name");
            for (slot, &sub) in g.members.iter().enumerate() {
                let s = &self.subs[sub as usize];
                let there = (s.group, s.slot as usize);
                assert_eq!(there, (Some(at as GroupId), slot), "position in the group");
            }
        }
        assert_eq!(self.group_names.len(), self.groups.len(), "names of groups");
    }
}

/// Room for one more. It grows by an eighth: a table of a million that doubles is half empty.
pub(super) fn make_room<T>(slab: &mut Slab<T>) {
    if slab.len() == slab.capacity() {
        slab.reserve_exact(slab.len() / 8 + 8);
    }
}
