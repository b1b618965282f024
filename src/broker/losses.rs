//! What sessions lose to their own expiry or to a named limit, told session by session.
//!
//! Every such message is counted (`Counters`); here is noted whose it was, and every few seconds it
//! is told. Invariant: how many sessions are noted at a time is bounded; of the others it is told
//! how many messages they lost together.

use std::sync::Arc;

use super::input::{Effects, SessionKey};
use super::record::DropReason;
use super::{Broker, SWEEP_MS};

/// So many sessions are told of by name between two sweeps.
const NAMED_MAX: usize = 64;

/// How many QoS 1 and 2 messages a session lost, since it was last told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// whose; `None`: of further sessions, all together
    pub client_id: Option<Arc<str>>,
    /// by how many milliseconds that was at most
    pub within_ms: u64,
    /// its queue, or all queues, were full
    pub queue_full: u64,
    /// their Message Expiry Interval had passed
    pub expired: u64,
    /// larger than the client's Maximum Packet Size
    pub too_large: u64,
    /// the log could not give them back
    pub unreadable: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// who loses now is probably the one that lost last: it stands at the end
    named: Vec<(SessionKey, Loss)>,
    others: Loss,
}

impl Losses {
    fn of(&mut self, session: SessionKey) -> &mut Loss {
        if let Some(at) = self.named.iter().rposition(|(of, _)| *of == session) {
            let last = self.named.len() - 1;
            self.named.swap(at, last);
        } else if self.named.len() < NAMED_MAX {
            self.named.push((session, Loss::default()));
        } else {
            return &mut self.others;
        }
        match self.named.last_mut() {
            Some((_, loss)) => loss,
            None => &mut self.others,
        }
    }
}

impl Broker {
    /// A session lost `count` messages.
    pub(super) fn note_loss(&mut self, session: SessionKey, why: DropReason, count: u64) {
        let loss = self.losses.of(session);
        match why {
            DropReason::QueueFull => loss.queue_full += count,
            DropReason::Expired => loss.expired += count,
            DropReason::TooLarge => loss.too_large += count,
            DropReason::Unreadable => loss.unreadable += count,
            // Others have them, or will have them again; or they are not for it.
            DropReason::Rerouted | DropReason::Unsealed | DropReason::NotAuthorized => {}
        }
    }

    /// Tells what was lost since the last time.
    pub(super) fn tell_losses(&mut self, fx: &mut Effects) {
        let others = std::mem::take(&mut self.losses.others);
        let named = std::mem::take(&mut self.losses.named);
        let sessions = &self.sessions;
        let named = named.into_iter().filter_map(|(session, loss)| {
            let client_id = sessions.get(session).map(|s| Arc::clone(&s.client_id))?;
            Some(Loss { client_id: Some(client_id), within_ms: SWEEP_MS, ..loss })
        });
        let some =
            |loss: &Loss| loss.queue_full + loss.expired + loss.too_large + loss.unreadable > 0;
        let others = Loss { within_ms: SWEEP_MS, ..others };
        fx.losses.extend(named.chain([others]).filter(some));
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::Key;
    use super::*;

    #[test]
    fn so_many_are_named_and_the_others_are_summed() {
        let mut losses = Losses::default();
        for round in 0..3 {
            for n in 0..NAMED_MAX + 10 {
                losses.of(Key::new(n as u32, 1)).expired += 1 + round;
            }
        }
        assert_eq!(losses.named.len(), NAMED_MAX);
        assert!(losses.named.iter().all(|(_, loss)| loss.expired == 6));
        assert_eq!(losses.others.expired, 60);
    }
}
