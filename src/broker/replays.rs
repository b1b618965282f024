//! Retained messages that are still to be sent for new Subscriptions (section 3.3.1.3).
//!
//! May use: the retained tree's cursor. A client may ask for as many as it likes and read none of
//! them, so nothing here looks at all that wait: what comes, changes and goes is found by the
//! Subscription's number.
//!
//! Invariant: of a Subscription what was asked for last is sent, as it is wanted now, and nothing
//! once it has ended. What stands in the queue for nothing goes when more comes and it is most.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use triomphe::Arc;

use super::retained::RetainedCursor;
use super::session::Extra;
use super::subscriptions::SubId;
use crate::codec::QoS;

/// What may stand in the queue for nothing.
const STALE_MAX: usize = 16;

/// How a Subscription wants its messages.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) qos: QoS,
    /// The session does not want what it retained itself [MQTT-3.8.3-3].
    pub(super) no_local: bool,
    pub(super) extra: Option<Arc<Extra>>,
}

/// One reading of the retained messages.
#[derive(Debug)]
pub(super) struct Replay {
    sub: SubId,
    asked: u64,
    pub(super) filter: Rc<str>,
    pub(super) cursor: RetainedCursor,
}

/// What is known of a Subscription for which messages are to be sent.
#[derive(Debug)]
struct Current {
    wanted: Wanted,
    /// what was asked for before this is not sent any more
    valid_from: u64,
    /// the last that came into the queue
    started: u64,
    /// how many wait for their SUBACK to leave
    held: u32,
    /// and how many in the queue
    queued: u32,
}

/// Those of a session.
#[derive(Debug, Default)]
pub(super) struct Replays {
    queue: VecDeque<Replay>,
    current: BTreeMap<SubId, Current>,
}

impl Replays {
    /// All messages that match are to be sent, from the first on: once what this returns is given
    /// to `start`. What is being sent for the same Subscription ends. `asked` rises from one time
    /// to the next, for as long as anything may be held.
    pub(super) fn ask(&mut self, sub: SubId, asked: u64, filter: &str, wanted: Wanted) -> Replay {
        match self.current.get_mut(&sub) {
            Some(current) => {
                current.wanted = wanted;
                current.valid_from = current.valid_from.max(current.started + 1);
                (current.held, current.queued) = (current.held + 1, 0);
            }
            None => {
                let new = Current { wanted, valid_from: asked, started: 0, held: 1, queued: 0 };
                self.current.insert(sub, new);
            }
        }
        Replay { sub, asked, filter: filter.into(), cursor: RetainedCursor::default() }
    }

    /// What is still to be sent, if anything is, is wanted so from now on.
    pub(super) fn change(&mut self, sub: SubId, wanted: Wanted) {
        if let Some(current) = self.current.get_mut(&sub) {
            current.wanted = wanted;
        }
    }

    /// The Subscription ended.
    pub(super) fn end(&mut self, sub: SubId) {
        self.current.remove(&sub);
    }

    /// Their SUBACK has left.
    pub(super) fn start(&mut self, replays: Vec<Replay>) {
        for replay in replays {
            if let Some(current) = find(&mut self.current, &replay) {
                current.started = replay.asked;
                (current.held, current.queued) = (current.held - 1, current.queued + 1);
                self.queue.push_back(replay);
            }
        }
        if self.queue.len() > 2 * self.current.len() + STALE_MAX {
            let Self { queue, current, .. } = self;
            queue.retain(|replay| find(current, replay).is_some());
        }
    }

    /// SUBACKs that had not left never will.
    pub(super) fn forget_held(&mut self) {
        self.current.values_mut().for_each(|current| current.held = 0);
        self.current.retain(|_, current| current.queued > 0);
    }

    /// The one that is to go on, and how it is wanted.
    pub(super) fn front(&mut self) -> Option<(&mut Replay, &Wanted)> {
        let Self { queue, current, .. } = self;
        while queue.front().is_some_and(|replay| find(current, replay).is_none()) {
            queue.pop_front();
        }
        let replay = queue.front_mut()?;
        let current = find(current, replay)?;
        Some((replay, &current.wanted))
    }

    /// All of the front one was sent.
    pub(super) fn front_is_done(&mut self) {
        let Some(replay) = self.queue.pop_front() else { return };
        let Some(current) = find(&mut self.current, &replay) else { return };
        current.queued -= 1;
        if current.queued == 0 && current.held == 0 {
            self.current.remove(&replay.sub);
        }
    }

    /// Whether nothing is to be sent, unless a SUBACK leaves.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether nothing is known of any.
    pub(super) fn is_unused(&self) -> bool {
        self.queue.is_empty() && self.current.is_empty()
    }

    /// Panics when it is not what it should be between operations.
    pub(super) fn check_invariants(&self) {
        for (sub, current) in &self.current {
            let is_its = |r: &&Replay| r.sub == *sub && r.asked >= current.valid_from;
            let queued = self.queue.iter().filter(is_its).count();
            assert_eq!(queued, current.queued as usize, "retained messages that are to be sent");
            assert!(current.queued + current.held > 0, "it is known of a subscription for nothing");
        }
    }
}

/// What is known of its Subscription; `None`: what it reads is not wanted any more.
fn find<'a>(current: &'a mut BTreeMap<SubId, Current>, replay: &Replay) -> Option<&'a mut Current> {
    current.get_mut(&replay.sub).filter(|current| replay.asked >= current.valid_from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(qos: QoS) -> Wanted {
        Wanted { qos, no_local: false, extra: None }
    }

    /// The filters of what is sent, and with which QoS.
    fn sent(replays: &mut Replays) -> Vec<(String, QoS)> {
        let mut sent = Vec::new();
        while let Some((replay, wanted)) = replays.front() {
            sent.push((replay.filter.to_string(), wanted.qos));
            replays.front_is_done();
            replays.check_invariants();
        }
        assert!(replays.is_empty());
        sent
    }

    #[test]
    fn what_was_asked_for_last_is_sent_as_it_is_wanted_now() {
        use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
        let mut replays = Replays::default();
        let a = replays.ask(1, 1, "a", wanted(AtMostOnce));
        let b = replays.ask(2, 2, "b", wanted(AtMostOnce));
        let c = replays.ask(3, 3, "c", wanted(AtMostOnce));
        replays.start(vec![a, b, c]);
        replays.change(2, wanted(AtLeastOnce));
        replays.change(4, wanted(AtLeastOnce));
        replays.end(3);
        let again = replays.ask(1, 4, "a", wanted(ExactlyOnce));
        replays.check_invariants();
        assert_eq!(replays.front().map(|(replay, _)| &*replay.filter), Some("b"));
        replays.start(vec![again]);
        let expected = [("b".to_owned(), AtLeastOnce), ("a".to_owned(), ExactlyOnce)];
        assert_eq!(sent(&mut replays), expected);
        assert!(replays.is_unused());
    }

    #[test]
    fn each_suback_that_waits_has_its_own() {
        let mut replays = Replays::default();
        let first = replays.ask(1, 5, "a", wanted(QoS::AtMostOnce));
        let second = replays.ask(1, 6, "a", wanted(QoS::AtLeastOnce));
        replays.start(vec![first]);
        replays.start(vec![second]);
        assert_eq!(sent(&mut replays).len(), 2);
        assert!(replays.is_unused());
        // The same number again, for another subscription, while the first one's still waits.
        let gone = replays.ask(1, 7, "a", wanted(QoS::AtMostOnce));
        replays.end(1);
        let new = replays.ask(1, 8, "b", wanted(QoS::AtMostOnce));
        replays.start(vec![gone]);
        replays.check_invariants();
        assert!(replays.front().is_none());
        replays.start(vec![new]);
        assert_eq!(sent(&mut replays), [("b".to_owned(), QoS::AtMostOnce)]);
    }

    #[test]
    fn with_the_connection_goes_what_its_subacks_held() {
        let mut replays = Replays::default();
        let (sent_on, held) = (
            replays.ask(1, 9, "a", wanted(QoS::AtMostOnce)),
            replays.ask(2, 10, "b", wanted(QoS::AtMostOnce)),
        );
        replays.start(vec![sent_on]);
        drop(held);
        replays.forget_held();
        replays.check_invariants();
        assert_eq!(sent(&mut replays), [("a".to_owned(), QoS::AtMostOnce)]);
        assert!(replays.is_unused());
    }

    #[test]
    fn what_is_not_read_does_not_pile_up() {
        let mut replays = Replays::default();
        for n in 1..=1_000 {
            let asked = replays.ask(1, n, "a", wanted(QoS::AtMostOnce));
            replays.start(vec![asked]);
            replays.check_invariants();
            assert!(replays.queue.len() <= 2 + STALE_MAX);
        }
        assert_eq!(sent(&mut replays).len(), 1);
    }
}
