//! What goes with time though nobody meets it: expired messages, memory that is kept ready, timers
//! of what is gone.
//!
//! May use: the broker. Invariant: a sweep looks at a bounded number of things; the next one goes
//! on where it ended.

use super::input::{Effects, SessionKey, ShardId};
use super::link::Hold;
use super::record::DropReason;
use super::retained::RetainedStore;
use super::time::Time;
use super::timers::Timer;
use super::{Broker, Common};

/// How many retained messages or sessions one sweep looks at.
const SWEEP_MAX: usize = 10_000;
/// So many timers more than sessions do no harm.
const TIMERS_SPARE: usize = 1_024;

impl Broker {
    /// Drops expired messages that nobody meets: retained ones, and those of queues, a portion at
    /// a time.
    pub(super) fn sweep(&mut self, now: Time, common: &mut impl Common, fx: &mut Effects) {
        if self.shard == ShardId(0) {
            let expired = common.retained().expire(now, SWEEP_MAX);
            self.record_expired(expired, fx);
        }
        self.walk_tails(fx);
        self.tell_losses(fx);
        self.spent.sweep();
        self.block.sweep();
        // Links and sessions that came and went leave their timers behind.
        if self.timers.len() > 2 * (self.sessions.len() + TIMERS_SPARE) {
            self.drop_stale_timers();
        }
        for _ in 0..SWEEP_MAX.min(self.sessions.len()) {
            let next = self.sessions.next_from(self.sweep_from);
            let Some((key, s)) = next.or_else(|| self.sessions.next_from(0)) else { return };
            self.sweep_from = key.index() + 1;
            if s.queue.can_expire() {
                self.expire_queue(now, key, fx);
            }
        }
    }

    /// Takes out the timers of links and sessions that are gone, and those that were armed before
    /// an earlier one. A storm of connections with a long Keep Alive must not pile them up.
    pub(super) fn drop_stale_timers(&mut self) {
        let (links, sessions) = (&self.links, &self.sessions);
        self.timers.retain(|at, timer| match timer {
            Timer::KeepAlive(link) => links.get(*link).is_some(),
            Timer::Throttled(link) => links.get(*link).is_some_and(|l| l.is_held(Hold::Throttled)),
            Timer::Ends(link) => links.get(*link).is_some_and(|l| l.ends() == at),
            Timer::Session(session) => sessions.get(*session).is_some_and(|s| s.timer == at),
            Timer::Sweep | Timer::NoRoom => true,
        });
    }

    fn expire_queue(&mut self, now: Time, session: SessionKey, fx: &mut Effects) {
        let Some(s) = self.sessions.get_mut(session) else { return };
        let mut gone = Vec::new();
        s.queue.expire(now, |entry| gone.push(entry));
        for entry in gone {
            self.counters.dropped_expired += 1;
            self.counters.queued_messages -= 1;
            self.counters.queued_bytes -= entry.cost_bytes() as u64;
            self.record_dropped(session, &entry, DropReason::Expired, fx);
        }
        self.relieve(session);
        if self.sessions.get(session).is_some_and(|s| s.queue.has_tail()) {
            self.read_ahead(session, fx);
        }
    }
}
