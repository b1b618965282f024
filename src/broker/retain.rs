//! What the broker does to the retained messages, and what the log is told of it.
//!
//! Invariant: a restart brings back what is retained, or nothing where that was to be in memory
//! alone; never what it has replaced, once the clearing of that is written.

use super::message::Message;
use super::publication::Publication;
use super::publish::is_dollar_sys;
use super::record::Record;
use super::retained::{Replaced, RetainedStore};
use super::safety::Safety;
use super::{Broker, Common, Effects, Time};
use crate::codec::{QoS, ReasonCode};

impl Broker {
    /// Sets or clears the retained message of the topic (section 3.3.1.3), before it is forwarded.
    pub(super) fn store_retained(
        &mut self,
        now: Time,
        publication: &mut Publication<'_>,
        can_refuse: bool,
        common: &mut impl Common,
        fx: &mut Effects,
    ) -> Result<(), ReasonCode> {
        if !publication.retain() || !self.limits.retain_available {
            return Ok(()); // [MQTT-3.3.1-8]
        }
        if self.no_room && publication.payload_len() > 0 && publication.safety != Safety::Memory {
            // Nobody can be told, or it would have been refused: forwarded and not kept.
            self.counters.refused_no_room += 1;
            return Ok(());
        }
        let message = publication.message(&mut self.spent, &mut self.scratch);
        let replaced = if message.payload().is_empty() {
            common.retained().clear(message.topic()) // [MQTT-3.3.1-6], [MQTT-3.3.1-7]
        } else {
            let own_max = self.retained_max(publication.publisher);
            match common.retained().set_within(&message, own_max, now) {
                Ok(replaced) => replaced,
                Err(_) => {
                    self.counters.refused_retained += 1;
                    // Where nobody can be told, it is forwarded and not kept.
                    return match publication.qos() {
                        QoS::AtLeastOnce | QoS::ExactlyOnce if can_refuse => {
                            Err(ReasonCode::QuotaExceeded)
                        }
                        _ => Ok(()),
                    };
                }
            }
        };
        // What the broker says of itself is said anew after a restart.
        if !is_dollar_sys(message.topic()) {
            self.record_retained(replaced, message, fx);
        }
        Ok(())
    }

    /// The log is told what is retained now. Of what is kept in memory alone, only that what it has
    /// of the topic counts no longer.
    fn record_retained(&mut self, replaced: Replaced, message: Message, fx: &mut Effects) {
        let Replaced { version, recorded } = replaced;
        if message.safety() != Safety::Memory {
            self.record(fx, Record::Retained { version, message });
        } else if recorded {
            let message = message.cleared(&mut self.scratch);
            self.record(fx, Record::Retained { version, message });
        }
    }

    /// Retained messages that have expired are gone for the log too.
    pub(super) fn record_expired(&mut self, expired: Vec<(u64, Message)>, fx: &mut Effects) {
        for (version, message) in expired {
            let message = message.cleared(&mut self.scratch);
            self.record(fx, Record::Retained { version, message });
        }
    }
}
