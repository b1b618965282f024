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
        let s = self.sessions.get_mut(session)?;
        s.will_at = Time::NEVER;
        let will = s.will.take()?;
        self.counters.wills -= 1;
        self.counters.will_bytes -= will.message.cost_bytes() as u64;
        if s.is_recorded() {
            let session = s.number;
            self.record(fx, Record::Will { session, will: None });
        }
        Some(will)
    }

    /// Publishes the session's Will, if it still has one \[MQTT-3.1.2-10\].
    pub(super) fn publish_will(
        &mut self,
        now: Time,
        session: SessionKey,
        common: &mut impl Common,
        fx: &mut Effects,
    ) {
        let Some(will) = self.take_will(session, fx) else { return };
        self.counters.wills_published += 1;
        let message = match will.expiry_s {
            None => will.message,
            Some(s) => will.message.expiring_at(now.plus_s(u64::from(s)), &mut self.scratch),
        };
        self.publish_own(now, &message, Some(session), common, fx);
    }
}
