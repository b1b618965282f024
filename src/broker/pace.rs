//! Quotas: how much a client may publish per second.
//!
//! The bucket is the session's, so that who comes back has no more to spend. May use: `auth`.
//! Invariant: a PUBLISH over the quota is taken later, refused, or the end of its link, as the
//! quota says; one that is taken is counted once.

use super::input::{Effects, LinkKey, SessionKey};
use super::link::Hold;
use super::pending::Until;
use super::rights::Pace;
use super::session::Session;
use super::subscriptions::Matched;
use super::timers::Timer;
use super::{Broker, Refusal, Time, refusal};
use crate::auth::quota::Excess;
use crate::codec::{Publish, QoS, ReasonCode};
use crate::topic::TopicName;

/// What is done with a PUBLISH over the quota.
enum Over {
    /// for so many milliseconds the link is not read
    Wait(u64),
    Refuse,
    End,
}

impl Broker {
    /// Whether the PUBLISH of a client that does not have all rights, or has a quota, is to be
    /// taken. If not, what is to be done about it is done.
    pub(super) fn passes(
        &mut self,
        now: Time,
        (link, session): (LinkKey, SessionKey),
        p: &Publish<'_>,
        topic: TopicName<'_>,
        matched: &Matched,
        fx: &mut Effects,
    ) -> Result<bool, Refusal> {
        if p.qos != QoS::AtMostOnce
            && self.links.get(link).is_some_and(|l| l.is_held(Hold::Refused))
        {
            return Ok(true); // no more is taken of it, whatever it is
        }
        let class = self.sessions.get(session).and_then(Session::class);
        let verdict = self.rules.may_publish(class, topic, &matched.verdicts);
        let Some(may) = self.may_publish(now, link, topic, verdict, fx) else {
            self.leave_packet(link, Some(p), fx);
            return Ok(false);
        };
        match self.over_quota(now, session, p, topic) {
            Some(Over::Wait(ms)) => {
                self.throttle(now.plus_ms(ms.max(1)), link, p, fx);
                return Ok(false);
            }
            Some(Over::Refuse) => {
                self.packet_taken(link);
                self.counters.dropped_quota += 1;
                let reason = ReasonCode::QuotaExceeded;
                self.acknowledge(now, link, p, reason, Until::default(), fx);
                return Ok(false);
            }
            Some(Over::End) => {
                self.counters.closed_quota += 1;
                let what = "more per second than its quota allows";
                return Err(refusal(ReasonCode::MessageRateTooHigh, what));
            }
            None => {}
        }
        self.packet_taken(link);
        if !may {
            self.counters.dropped_not_authorized += 1;
            let reason = ReasonCode::NotAuthorized;
            self.acknowledge(now, link, p, reason, Until::default(), fx);
        }
        Ok(may)
    }

    /// Takes a PUBLISH out of the bucket; else what is to be done with it.
    fn over_quota(
        &mut self,
        now: Time,
        session: SessionKey,
        p: &Publish<'_>,
        topic: TopicName<'_>,
    ) -> Option<Over> {
        let rights = self.sessions.get_mut(session)?.rights.as_deref_mut()?;
        let Pace { quota, bucket } = rights.pace.as_deref_mut()?;
        let bytes = (topic.as_str().len() + p.properties.as_bytes().len() + p.payload.len()) as u64;
        let wait_ms = bucket.take(now.0, quota, 1, bytes).err()?;
        Some(match quota.excess {
            Excess::Throttle => Over::Wait(wait_ms),
            Excess::Drop => Over::Refuse,
            Excess::Disconnect => Over::End,
        })
    }

    /// The link is not read until then; the PUBLISH is handed in again.
    fn throttle(&mut self, until: Time, link: LinkKey, p: &Publish<'_>, fx: &mut Effects) {
        if let Some(l) = self.links.get_mut(link) {
            l.hold(Hold::Throttled, true);
        }
        self.counters.throttled += 1;
        self.timers.arm(until, Timer::Throttled(link));
        self.leave_packet(link, Some(p), fx);
    }

    /// The bucket has room again.
    pub(super) fn on_throttled(&mut self, link: LinkKey, fx: &mut Effects) {
        if let Some(l) = self.links.get_mut(link) {
            l.hold(Hold::Throttled, false);
            fx.sends.hold_reads(link, l.reads_held());
        }
    }
}
