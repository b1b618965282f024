//! Shared Subscriptions (section 4.8.2): which member of a group gets a message.
//!
//! The publisher's shard chooses a shard by smooth weighted round robin over online members, that
//! shard a member by round robin. A message that finds no member there comes back, never visits a
//! shard twice, then goes round once more, to offline persistent members too (and to online ones:
//! they may have come meanwhile, where it has been), else it is dropped and counted.
//! Invariant: a message is with one member, or on its way, or counted; a receipt that was asked
//! for is sent exactly once, by the last shard.

use std::sync::Arc as StdArc;

use triomphe::Arc;

use super::ids::IdList;
use super::input::{Effects, PeerMessage, SessionKey, ShardId, ShardSet, SharedTravel};
use super::publication::Publication;
use super::session::Extra;
use super::subscriptions::{GroupId, SubId};
use super::tree::NodeId;
use super::{Broker, Time};
use crate::codec::QoS;
use crate::topic::TopicName;

/// One group: a ShareName with a Topic Filter.
#[derive(Debug)]
pub(super) struct Group {
    /// `$share/ShareName/filter`
    pub(super) key: StdArc<str>,
    /// what goes with a delivery to a member that has no Subscription Identifier
    extra: Arc<Extra>,
    pub(super) node: NodeId,
    /// this shard's members
    pub(super) members: IdList,
    /// where the round robin is
    last: usize,
    /// online members of this shard
    pub(super) online: u32,
    /// offline members of this shard with persistent sessions
    pub(super) offline: u32,
    /// members of this shard, in neither of these, whose queues take no more
    pub(super) full: u32,
    /// the smooth weighted round robin's balance of this shard
    balance: i64,
    remotes: Vec<Remote>,
    /// what the other shards were told, and the version that said that there are members
    pub(super) told: (u32, u32, u32),
    pub(super) told_version: u64,
}

#[derive(Debug)]
struct Remote {
    shard: ShardId,
    online: u32,
    offline: u32,
    full: u32,
    balance: i64,
}

impl Group {
    pub(super) fn new(key: &str, node: NodeId) -> Self {
        let key: StdArc<str> = key.into();
        let group = Some(StdArc::clone(&key));
        Self {
            key,
            extra: Arc::new(Extra { subscription_ids: Vec::new(), group }),
            node,
            members: IdList::default(),
            last: usize::MAX - 1, // the first comes next
            online: 0,
            offline: 0,
            full: 0,
            balance: 0,
            remotes: Vec::new(),
            told: (0, 0, 0),
            told_version: 0,
        }
    }

    /// Whether there is no member on any shard.
    pub(super) fn is_unused(&self) -> bool {
        self.members.is_empty() && self.remotes.is_empty() && self.told == (0, 0, 0)
    }

    /// Whether other shards have members.
    pub(super) fn has_remotes(&self) -> bool {
        !self.remotes.is_empty()
    }

    /// Whether all its members' queues take no more.
    pub(super) fn is_full(&self) -> bool {
        let takes =
            self.online + self.offline > 0 || self.remotes.iter().any(|r| r.online + r.offline > 0);
        !takes && (self.full > 0 || self.has_remotes())
    }

    pub(super) fn set_remote(&mut self, shard: ShardId, (online, offline, full): (u32, u32, u32)) {
        self.remotes.retain(|r| r.shard != shard || online + offline + full > 0);
        match self.remotes.iter_mut().find(|r| r.shard == shard) {
            Some(r) => (r.online, r.offline, r.full) = (online, offline, full),
            None if online + offline + full > 0 => {
                self.remotes.push(Remote { shard, online, offline, full, balance: 0 });
                self.remotes.sort_by_key(|r| r.shard);
            }
            None => {}
        }
    }

    /// The shard whose turn it is: every shard gains its number of members, the richest is chosen
    /// and pays the sum.
    fn choose_shard(&mut self, own: ShardId, visited: ShardSet, offline: bool) -> Option<ShardId> {
        let weight =
            |online: u32, off: u32| i64::from(online) + i64::from(if offline { off } else { 0 });
        if self.remotes.is_empty() {
            let there = weight(self.online, self.offline + self.full) > 0 && !visited.contains(own);
            return there.then_some(own);
        }
        let mut total = 0;
        let mut best: Option<(i64, ShardId)> = None;
        let own_weight = weight(self.online, self.offline + self.full);
        let all = std::iter::once((own, own_weight, &mut self.balance)).chain(
            self.remotes
                .iter_mut()
                .map(|r| (r.shard, weight(r.online, r.offline + r.full), &mut r.balance)),
        );
        for (shard, weight, balance) in all {
            if weight == 0 || visited.contains(shard) {
                continue;
            }
            total += weight;
            *balance += weight;
            if best.is_none_or(|(richest, _)| *balance > richest) {
                best = Some((*balance, shard));
            }
        }
        let (_, chosen) = best?;
        match self.remotes.iter_mut().find(|r| r.shard == chosen) {
            Some(r) => r.balance -= total,
            None => self.balance -= total,
        }
        Some(chosen)
    }
}

impl Broker {
    /// Sends a publication to one member of the group. Remote receipts are added to its wait.
    pub(super) fn route_shared(
        &mut self,
        now: Time,
        group: GroupId,
        publication: &mut Publication<'_>,
        fx: &mut Effects,
    ) {
        let own = self.shard;
        for offline in [false, true] {
            let mut visited = ShardSet::default();
            while let Some(g) = self.subscriptions.groups.get_mut(group as usize) {
                let Some(shard) = g.choose_shard(own, visited, offline) else { break };
                if shard != own {
                    let group = StdArc::clone(&g.key);
                    if !self.may_send_to(shard, publication, fx) {
                        return;
                    }
                    let message = publication.message(&mut self.spent, &mut self.scratch);
                    let receipt = self.ask_receipt(publication);
                    let travel = SharedTravel { message, group, receipt, visited, offline };
                    self.send_travel(shard, travel, fx);
                    return;
                }
                if self.deliver_to_member(now, group, publication, offline, fx) {
                    return;
                }
                visited.insert(own);
            }
        }
        self.counters.dropped_no_member += 1;
    }

    /// The next member that takes the message and may receive it: online or, if `offline`,
    /// persistent and offline. Members with room go before members that are busy; whether this
    /// one has room is said too.
    fn choose_member(
        &mut self,
        group: GroupId,
        topic: TopicName<'_>,
        offline: bool,
        fx: &Effects,
    ) -> Option<(SubId, bool)> {
        let g = self.subscriptions.groups.get(group as usize)?;
        let count = g.members.len();
        let mut fallback = None;
        let mut at = g.last;
        for _ in 0..count {
            at = if at + 1 < count { at + 1 } else { 0 };
            let session = self.subscriptions.subs[g.members[at] as usize].session;
            let Some(s) = self.sessions.get(session) else { continue };
            if !(s.counted_online || offline && s.is_persistent())
                || !self.may_receive(session, topic)
            {
                continue;
            }
            // Who takes no more has it only if nobody else does.
            let full = s.full;
            let room = self.has_room(session, fx);
            if room || fallback.is_none_or(|(_, _, was_full)| was_full && !full) {
                fallback = Some((at, room, full));
            }
            if room {
                break;
            }
        }
        let (at, room, _) = fallback?;
        let g = &mut self.subscriptions.groups[group as usize];
        g.last = at;
        Some((g.members[at], room))
    }

    /// False if there is no member.
    fn deliver_to_member(
        &mut self,
        now: Time,
        group: GroupId,
        publication: &mut Publication<'_>,
        offline: bool,
        fx: &mut Effects,
    ) -> bool {
        let chosen = self.choose_member(group, publication.topic(), offline, fx);
        let Some((sub, room)) = chosen else { return false };
        let s = &self.subscriptions.subs[sub as usize];
        let (session, options) = (s.session, s.options);
        // A QoS 0 delivery goes to nobody else, ever: it needs to remember nothing.
        let bare = s.id == 0 && publication.qos().min_with(options.qos) == QoS::AtMostOnce;
        let g = &self.subscriptions.groups[group as usize];
        let extra = match s.id {
            _ if bare => None,
            0 => Some(Arc::clone(&g.extra)),
            id => {
                let group = Some(StdArc::clone(&g.key));
                Some(Arc::new(Extra { subscription_ids: vec![id], group }))
            }
        };
        let retain = options.retain_as_published && publication.retain();
        let extra = extra.as_ref();
        self.deliver_within(now, session, publication, options.qos, retain, extra, room, fx);
        true
    }

    fn send_travel(&mut self, shard: ShardId, travel: SharedTravel, fx: &mut Effects) {
        self.peer_bytes[usize::from(shard.0)] += travel.message.cost_bytes();
        fx.peers.push((shard, PeerMessage::Shared(Box::new(travel))));
    }

    /// A shared message of another shard's publisher looks for a member here.
    pub(super) fn on_shared(
        &mut self,
        now: Time,
        from: ShardId,
        mut travel: Box<SharedTravel>,
        fx: &mut Effects,
    ) {
        self.give_credit(from, travel.message.cost_bytes(), fx);
        if self.is_too_late(now, &travel.message) {
            self.answer_receipt(now, from, travel.receipt, Default::default(), None, fx);
            return;
        }
        let mut publication = Publication::of(&travel.message);
        publication.when = travel.receipt.map(|receipt| receipt.when);
        let before = self.seq;
        let delivered = self.subscriptions.group_of(&travel.group).is_some_and(|group| {
            self.deliver_to_member(now, group, &mut publication, travel.offline, fx)
        });
        if delivered {
            let kept = (self.since(before), travel.message.safety());
            self.answer_receipt(now, from, travel.receipt, kept, publication.seal, fx);
        } else {
            travel.visited.insert(self.shard);
            fx.peers.push((from, PeerMessage::SharedBack(travel)));
        }
    }

    /// A message that this shard sent out for a member came back: it goes on to the next.
    #[expect(clippy::boxed_local, reason = "it arrives in its box, as in `on_shared`")]
    pub(super) fn on_shared_back(
        &mut self,
        now: Time,
        mut travel: Box<SharedTravel>,
        fx: &mut Effects,
    ) {
        if self.is_too_late(now, &travel.message) {
            self.answer_receipt(now, self.shard, travel.receipt, Default::default(), None, fx);
            return;
        }
        let mut publication = Publication::of(&travel.message);
        publication.when = travel.receipt.map(|receipt| receipt.when);
        let before = self.seq;
        if let Some(group) = self.subscriptions.group_of(&travel.group) {
            loop {
                let (own, visited, offline) = (self.shard, travel.visited, travel.offline);
                let g = &mut self.subscriptions.groups[group as usize];
                match g.choose_shard(own, visited, offline) {
                    None if !offline => {
                        travel.offline = true;
                        travel.visited = ShardSet::default();
                    }
                    None => break,
                    Some(shard) if shard != own => {
                        self.send_travel(shard, *travel, fx);
                        return;
                    }
                    Some(_) => {
                        let found =
                            self.deliver_to_member(now, group, &mut publication, offline, fx);
                        if found {
                            let kept = (self.since(before), travel.message.safety());
                            let (receipt, seal) = (travel.receipt, publication.seal);
                            self.answer_receipt(now, own, receipt, kept, seal, fx);
                            return;
                        }
                        travel.visited.insert(own);
                    }
                }
            }
        }
        self.counters.dropped_no_member += 1;
        self.answer_receipt(now, self.shard, travel.receipt, Default::default(), None, fx);
    }

    /// Notes in all groups of a session whether it is online; `None`: it is going.
    pub(super) fn count_member(
        &mut self,
        session: SessionKey,
        online: Option<bool>,
        fx: &mut Effects,
    ) {
        let Some(s) = self.sessions.get_mut(session) else { return };
        s.counted_online = online == Some(true);
        if s.shared == 0 {
            return;
        }
        let groups: Vec<GroupId> = s
            .subscriptions
            .iter()
            .filter_map(|&sub| self.subscriptions.subs[sub as usize].group)
            .collect();
        for group in groups {
            self.recount_group(group, fx);
        }
    }

    /// Counts a group's members anew and tells the other shards. Returns the version to wait for.
    pub(super) fn recount_group(&mut self, group: GroupId, fx: &mut Effects) -> u64 {
        let Some(g) = self.subscriptions.groups.get(group as usize) else { return 0 };
        let (mut online, mut offline, mut full) = (0, 0, 0);
        for &sub in g.members.iter() {
            let sub = &self.subscriptions.subs[sub as usize];
            match self.sessions.get(sub.session) {
                Some(s) if s.full && sub.options.qos != QoS::AtMostOnce => full += 1,
                Some(s) if s.counted_online => online += 1,
                Some(s) if s.is_persistent() => offline += 1,
                _ => {}
            }
        }
        let g = &mut self.subscriptions.groups[group as usize];
        (g.online, g.offline, g.full) = (online, offline, full);
        self.tell_group(group, fx)
    }
}

/// The lower of two QoS.
pub(super) trait MinQoS {
    fn min_with(self, other: Self) -> Self;
}

impl MinQoS for QoS {
    fn min_with(self, other: Self) -> Self {
        if self < other { self } else { other }
    }
}
