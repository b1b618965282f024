//! `QueueFull::Refuse`: sessions whose queues take no more. Publishers of this shard see that in
//! the session, those of other shards in the interest entry ([`super::Interest::Full`]); both
//! before anything is routed.
//!
//! Only sessions that last are ever full: others drop what is new. Invariant: from full to not full
//! it takes an eighth of the limit, so that the others are not told for every message; what has
//! changed is told at the end of the same call.

use std::collections::BTreeSet;

use super::Broker;
use super::index::InterestIndex;
use super::input::{Effects, SessionKey};
use super::limits::QueueFull;
use super::session::Session;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Fullness {
    /// sessions that are full
    sessions: BTreeSet<SessionKey>,
    /// those that became it, or are it no longer, since the others were told
    news: Vec<SessionKey>,
    /// `queue_bytes_max` was reached
    total: bool,
}

impl Fullness {
    /// Whether nobody is full.
    pub(super) fn is_none(&self) -> bool {
        self.sessions.is_empty()
    }

    pub(super) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    pub(super) fn knows(&self, session: SessionKey) -> bool {
        self.sessions.contains(&session)
    }
}

/// Whether so much is below 7/8 of a limit.
fn is_below(n: usize, max: usize) -> bool {
    n <= max - max.div_ceil(8)
}

impl Broker {
    /// The bytes that one session's queue may have: where it stays in memory, what memory allows.
    fn bytes_max(&self, s: &Session) -> usize {
        let max = self.queued_bytes_max_of(s);
        match self.limits.queues_leave_memory() {
            true => max,
            false => max.min(self.limits.session_memory_bytes_max),
        }
    }

    fn all_queue_bytes(&self) -> usize {
        (self.counters.queued_bytes + self.counters.in_flight_bytes) as usize
    }

    /// A session's queue has grown: it may be full now.
    pub(super) fn note_full(&mut self, session: SessionKey) {
        if self.limits.queue_full != QueueFull::Refuse {
            return;
        }
        let total = self.all_queue_bytes() >= self.limits.queue_bytes_max;
        let Some(s) = self.sessions.get(session) else { return };
        let full = total
            || s.queue.len() >= self.limits.queued_messages_max
            || s.queue.bytes() >= self.bytes_max(s);
        let Some(s) = self.sessions.get_mut(session) else { return };
        if full && !s.full && s.is_persistent() {
            s.full = true;
            self.fullness.sessions.insert(session);
            self.fullness.news.push(session);
        }
        self.fullness.total |= total && full;
    }

    /// How many bytes a queue may have when everything that is under way has come.
    pub(super) fn queued_bytes_end(&self) -> usize {
        let each = self.limits.peer_bytes_max.saturating_mul(2);
        let each = each.saturating_add(self.limits.packet_bytes_max);
        let more = each.saturating_mul(usize::from(self.shards));
        self.limits.queued_bytes_max.saturating_add(more)
    }

    /// A session has less to send, or is another: perhaps it takes more again.
    pub(super) fn relieve(&mut self, session: SessionKey) {
        if self.fullness.is_none() {
            return;
        }
        let total = is_below(self.all_queue_bytes(), self.limits.queue_bytes_max);
        if total && std::mem::take(&mut self.fullness.total) {
            self.relieve_all();
            return;
        }
        let (refuses, all) = (self.limits.queue_full == QueueFull::Refuse, self.fullness.total);
        let Some(s) = self.sessions.get(session).filter(|s| s.full) else { return };
        let space = s.queue.is_empty()
            || !all
                && is_below(s.queue.len(), self.limits.queued_messages_max)
                && is_below(s.queue.bytes(), self.bytes_max(s));
        if (space || !refuses || !s.is_persistent())
            && let Some(s) = self.sessions.get_mut(session)
        {
            s.full = false;
            self.fullness.sessions.remove(&session);
            self.fullness.news.push(session);
        }
    }

    /// The same for all of them.
    pub(super) fn relieve_all(&mut self) {
        for session in Vec::from_iter(self.fullness.sessions.iter().copied()) {
            self.relieve(session);
        }
    }

    /// A session is gone, and what it had with it. What the others were told of it went with its
    /// Subscriptions.
    pub(super) fn forget_full(&mut self, session: SessionKey) {
        if !self.fullness.is_none() {
            self.fullness.sessions.remove(&session);
            self.relieve(session);
        }
    }

    /// Tells the other shards which sessions are full, or are it no longer.
    pub(super) fn tell_fullness(&mut self, index: &mut impl InterestIndex, fx: &mut Effects) {
        for session in std::mem::take(&mut self.fullness.news) {
            let Some(s) = self.sessions.get(session) else { continue };
            let full = s.full;
            for at in 0..s.subscriptions.len() {
                self.tell_full(session, at, full, index, fx);
            }
        }
    }

    fn tell_full(
        &mut self,
        session: SessionKey,
        at: usize,
        full: bool,
        index: &mut impl InterestIndex,
        fx: &mut Effects,
    ) {
        let Some(&sub) = self.sessions.get(session).and_then(|s| s.subscriptions.get(at)) else {
            return;
        };
        let Some(s) = self.subscriptions.subs.get(sub as usize) else { return };
        let (node, group) = (s.node, s.group);
        match group {
            Some(group) => self.recount_group(group, fx),
            None => {
                self.subscriptions.set_full(sub, full, index);
                self.tell_interest(node, index, fx)
            }
        };
    }
}
