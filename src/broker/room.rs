//! When there is no room: in the store, in queues, on the way to other shards. What is refused is
//! refused before anything of it is routed or retained: all or nothing.
//!
//! An MQTT 5.0 publisher is told so (0x97). One of 3.x cannot be: its PUBLISH stays unacknowledged
//! and is not taken at all. Where the store is full, its link is not read, and the packet is handed
//! in again when there may be room: at most one packet of a link waits, where it was read to.
//!
//! A link that is not read is not heard either: what its client would acknowledge waits with it. So
//! it ends after `no_room_ms`. Where a queue is full that could be the client's own, or clients
//! could wait for each other, and whoever comes back publishes first what was not acknowledged. So
//! there the link is read on, and takes no further QoS 1 and 2 PUBLISH; it ends as soon as its
//! client has acknowledged all that it was sent and all that was taken of it is acknowledged (else
//! it would come again, and again), after `no_room_ms` at the latest.
//!
//! Invariant: what does not take room is never refused.

use std::collections::VecDeque;

use super::input::{Effects, LinkKey, PeerMessage, SessionKey, ShardId};
use super::link::{Hold, Link};
use super::pending::Until;
use super::publication::Publication;
use super::safety::Safety;
use super::session::Session;
use super::shared::Group;
use super::subscriptions::{GroupId, Matched, NoLocal};
use super::timers::Timer;
use super::{Broker, Common, Refusal, Time};
use crate::codec::{Connect, Publish, QoS, ReasonCode};

/// What a link that ends for a full queue is told.
const QUEUE_FULL: Refusal = Refusal {
    reason: ReasonCode::QuotaExceeded,
    what: "a queue that would get its PUBLISH is full (limits.queue_full = refuse)",
};

/// Links that a PUBLISH was not taken of: [`Hold::NoRoom`] and [`Hold::Refused`].
#[derive(Debug, Default)]
pub(super) struct NotTaken {
    /// since when, oldest first; some may be gone
    links: VecDeque<(LinkKey, Time)>,
    /// the timer for the first of them is armed
    armed: bool,
    /// those of them that were refused, and may have nothing left to wait for
    idle: Vec<LinkKey>,
}

impl NotTaken {
    pub(super) fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    /// A link's last acknowledgement has left.
    pub(super) fn look_at(&mut self, l: &Link) {
        if l.is_held(Hold::Refused) {
            self.idle.push(l.key);
        }
    }
}

/// Where there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// the store is full
    Store,
    /// a queue that refuses is
    Queue,
}

impl Broker {
    /// The store has no room for more, or has room again.
    pub(super) fn on_full(&mut self, full: bool, fx: &mut Effects) {
        self.no_room = full;
        if !full {
            self.take_again(fx);
        }
        self.store_caught_up(fx);
    }

    /// There may be room: what was not taken is handed in again.
    pub(super) fn take_again(&mut self, fx: &mut Effects) {
        self.not_taken.links.retain(|&(link, _)| {
            let Some(l) = self.links.get_mut(link) else { return false };
            l.hold(Hold::NoRoom, false);
            fx.sends.hold_reads(link, l.reads_held());
            l.is_held(Hold::Refused)
        });
    }

    /// Ends the links that have waited for so long.
    pub(super) fn on_no_room(&mut self, now: Time, common: &mut impl Common, fx: &mut Effects) {
        self.not_taken.armed = false;
        let long = |since: Time| since.plus_ms(self.limits.no_room_ms) <= now;
        let count = self.not_taken.links.iter().take_while(|(_, since)| long(*since)).count();
        let due: Vec<_> = self.not_taken.links.drain(..count).collect();
        for (link, _) in due {
            let Some(l) = self.links.get(link) else { continue };
            let mut why = QUEUE_FULL;
            if l.is_held(Hold::NoRoom) {
                self.counters.closed_no_room += 1;
                why.what = "the store has had no room for its PUBLISH for limits.no_room_ms";
            }
            self.fail(now, link, why, common, fx);
        }
        self.arm_no_room();
    }

    fn arm_no_room(&mut self) {
        if let Some(&(_, since)) = self.not_taken.links.front()
            && !self.not_taken.armed
        {
            self.not_taken.armed = true;
            self.timers.arm(since.plus_ms(self.limits.no_room_ms), Timer::NoRoom);
        }
    }

    /// What a PUBLISH at QoS 1 or 2 finds no room in, if that is so.
    pub(super) fn lacks_room(
        &self,
        (link, publisher): (LinkKey, SessionKey),
        p: &Publish<'_>,
        safety: Safety,
        matched: &Matched,
    ) -> Option<Lack> {
        if self.links.get(link).is_some_and(|l| l.is_held(Hold::Refused)) {
            return Some(Lack::Queue); // nothing overtakes the one that was refused
        }
        let recorded = safety != Safety::Memory;
        if self.no_room && recorded && self.is_to_be_recorded(publisher, p, matched) {
            return Some(Lack::Store);
        }
        let full = !matched.peers.full.is_empty()
            || !self.fullness.is_none() && self.meets_full(publisher, matched)
            || matched.groups.iter().any(|group| {
                let group = self.subscriptions.groups.get(*group as usize);
                group.is_some_and(Group::is_full)
            });
        full.then_some(Lack::Queue)
    }

    /// Whether a queue of this shard that takes no more would get it.
    fn meets_full(&self, publisher: SessionKey, matched: &Matched) -> bool {
        matched.receivers.iter().any(|r| {
            let own = r.session == publisher && r.no_local == NoLocal::All;
            let full = || self.sessions.get(r.session).is_some_and(|s| s.full);
            r.qos != QoS::AtMostOnce && !own && full()
        })
    }

    /// Whether the log would have to be told of it. Of a group with members on other shards it is
    /// not known whether they are durable: they count as if they were.
    fn is_to_be_recorded(&self, publisher: SessionKey, p: &Publish<'_>, matched: &Matched) -> bool {
        let lasts = |s: SessionKey| self.sessions.get(s).is_some_and(Session::is_kept);
        let keeps = |group: &GroupId| {
            let Some(g) = self.subscriptions.groups.get(*group as usize) else { return false };
            let sub = |&sub: &u32| &self.subscriptions.subs[sub as usize];
            g.has_remotes()
                || g.members
                    .iter()
                    .map(sub)
                    .any(|s| s.options.qos != QoS::AtMostOnce && lasts(s.session))
        };
        p.retain && self.limits.retain_available && !p.payload.is_empty()
            || p.qos == QoS::ExactlyOnce && lasts(publisher)
            || !matched.peers.durable.is_empty()
            || matched.receivers.iter().any(|r| {
                let own = r.session == publisher && r.no_local == NoLocal::All;
                r.qos != QoS::AtMostOnce && !own && lasts(r.session)
            })
            || matched.groups.iter().any(keeps)
    }

    /// Refuses a PUBLISH of which nothing was routed.
    pub(super) fn refuse_for_room(
        &mut self,
        now: Time,
        link: LinkKey,
        p: &Publish<'_>,
        lack: Lack,
        fx: &mut Effects,
    ) {
        match lack {
            Lack::Store => self.counters.refused_no_room += 1,
            Lack::Queue => self.counters.refused_queue_full += 1,
        }
        let Some(l) = self.links.get_mut(link) else { return };
        if l.version.is_v5() {
            let reason = ReasonCode::QuotaExceeded;
            self.acknowledge(now, link, p, reason, Until::default(), fx);
            return;
        }
        if lack == Lack::Queue {
            l.inbound_used = l.inbound_used.saturating_sub(1);
            if !l.is_held(Hold::Refused) {
                l.hold(Hold::Refused, true);
                self.not_taken.look_at(l);
                self.not_taken.links.push_back((link, now));
                self.arm_no_room();
            }
            return;
        }
        if !l.is_held(Hold::NoRoom) {
            l.hold(Hold::NoRoom, true);
            self.not_taken.links.push_back((link, now));
            self.arm_no_room();
        }
        self.leave_packet(link, Some(p), fx);
    }

    /// A delivery to the session is complete.
    pub(super) fn look_at_refused(&mut self, session: SessionKey) {
        if !self.not_taken.links.is_empty()
            && let Some(link) = self.sessions.get(session).and_then(|s| s.link)
            && let Some(l) = self.links.get(link)
        {
            self.not_taken.look_at(l);
        }
    }

    /// Ends links that a PUBLISH was refused of and that have nothing left to wait for.
    pub(super) fn end_refused(&mut self, now: Time, common: &mut impl Common, fx: &mut Effects) {
        while let Some(link) = self.not_taken.idle.pop() {
            let Some(l) = self.links.get(link).filter(|l| l.held.is_empty()) else { continue };
            let waits = |s: &Session| !s.queue.is_empty() || s.outbound.len() > 0;
            if !self.sessions.get(l.session).is_some_and(waits) {
                self.fail(now, link, QUEUE_FULL, common, fx);
            }
        }
    }

    /// Whether a CONNECT asks for something that the store has no room for: a new session that
    /// lasts, or a Will of one. One that lasts already comes back: its messages free room when they
    /// are delivered, and its record is small.
    pub(super) fn lacks_room_for_session(
        &self,
        now: Time,
        client_id: &str,
        c: &Connect<'_>,
    ) -> bool {
        if !self.no_room {
            return false;
        }
        let known = self.find_session(client_id).and_then(|s| self.sessions.get(s));
        match known.filter(|s| !c.clean_start && s.is_persistent() && s.ends_at() > now) {
            Some(_) => c.will.is_some(),
            None => c.session_expiry_s.min(self.limits.session_expiry_max_s) > 0,
        }
    }

    /// Whether a message may go to another shard, of which so many bytes are under way already:
    /// QoS 0 is dropped, what was acknowledged goes, and its publisher is not read for a while.
    pub(super) fn may_send_to(
        &mut self,
        shard: ShardId,
        publication: &Publication<'_>,
        fx: &mut Effects,
    ) -> bool {
        if self.peer_bytes[usize::from(shard.0)] < self.limits.peer_bytes_max {
            return true;
        }
        if publication.qos() == QoS::AtMostOnce {
            self.counters.dropped_peer_qos0 += 1;
            return false;
        }
        self.pause(publication.publisher, fx);
        true
    }

    fn pause(&mut self, publisher: Option<SessionKey>, fx: &mut Effects) {
        let link = publisher.and_then(|p| self.sessions.get(p)).and_then(|s| s.link);
        if let Some(l) = link.and_then(|link| self.links.get_mut(link))
            && !l.is_held(Hold::Paused)
        {
            l.hold(Hold::Paused, true);
            self.counters.paused_links += 1;
            self.paused.push(l.key);
            fx.sends.hold_reads(l.key, true);
        }
    }

    /// Bytes under way to a peer have arrived: links that were not read because of them are read
    /// again once half of the limit is free everywhere.
    pub(super) fn on_credit(&mut self, from: ShardId, bytes: usize, fx: &mut Effects) {
        let left = &mut self.peer_bytes[usize::from(from.0)];
        *left = left.saturating_sub(bytes);
        self.resume_paused(fx);
    }

    /// Reads the links again that `peer_bytes_max` held, if there is room again.
    pub(super) fn resume_paused(&mut self, fx: &mut Effects) {
        if self.peer_bytes.iter().all(|&b| b <= self.limits.peer_bytes_max / 2) {
            for link in std::mem::take(&mut self.paused) {
                if let Some(l) = self.links.get_mut(link) {
                    l.hold(Hold::Paused, false);
                    fx.sends.hold_reads(link, l.reads_held());
                }
            }
        }
    }

    /// Tells `to` that its bytes have arrived, in portions that are small against its limit; not
    /// while the store is behind with what it has already.
    pub(super) fn give_credit(&mut self, to: ShardId, bytes: usize, fx: &mut Effects) {
        let behind = self.is_store_behind();
        let owed = &mut self.credit_owed[usize::from(to.0)];
        *owed += bytes;
        if *owed >= self.limits.peer_bytes_max / 8 {
            if behind {
                self.credit_kept = true;
                return;
            }
            let bytes = std::mem::take(owed);
            fx.peers.push((to, PeerMessage::Credit { bytes }));
        }
    }
}
