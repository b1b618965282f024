//! The Will (section 3.1.2.5): kept with the Session, published when its delay has passed or the
//! Session ends, whichever is first \[MQTT-3.1.2-8\].

use super::input::{Effects, SessionKey};
use super::record::{Record, WillRecord};
use super::{Broker, Common, Time};

impl Broker {
    /// Takes the Will out of the session without publishing it \[MQTT-3.1.2-10\].
    pub(super) fn take_will(
        &mut self,
        session: SessionKey,
        fx: &mut Effects,
    ) -> Option<Box<WillRecord>> {
        let will = self.take_will_unrecorded(session)?;
        let number = self.sessions.get(session).filter(|s| s.is_recorded()).map(|s| s.number);
        if let Some(number) = number
            && self.will_under_way(session).is_none()
        {
            self.record(fx, Record::Will { session: number, will: None });
        }
        Some(will)
    }

    fn take_will_unrecorded(&mut self, session: SessionKey) -> Option<Box<WillRecord>> {
        let s = self.sessions.get_mut(session)?;
        s.will_at = Time::NEVER;
        let will = s.will.take()?;
        self.counters.wills -= 1;
        self.counters.will_bytes -= will.message.cost_bytes() as u64;
        Some(will)
    }

    /// Publishes the session's Will, if it still has one \[MQTT-3.1.2-10\] and may publish it.
    pub(super) fn publish_will(
        &mut self,
        now: Time,
        session: SessionKey,
        common: &mut impl Common,
        fx: &mut Effects,
    ) {
        let topic = self.sessions.get(session).and_then(|s| s.will.as_deref());
        if topic.is_some_and(|will| !self.may_publish_will(session, will.message.topic())) {
            self.counters.dropped_not_authorized += 1;
            self.take_will(session, fx);
            return;
        }
        let Some(will) = self.take_will_unrecorded(session) else { return };
        self.counters.wills_published += 1;
        let message = match will.expiry_s {
            None => will.message,
            Some(s) => will.message.expiring_at(now.plus_s(u64::from(s)), &mut self.scratch),
        };
        self.publish_own(now, &message, Some(session), common, fx);
    }
}
