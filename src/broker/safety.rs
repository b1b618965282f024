//! How safe is safe: what has to be so before something is acknowledged.
//!
//! Each PUBLISH has a [`Safety`]: its topic's, else its link's (the listener's), else the broker's.
//! The message carries it, to other shards too. Documented consequences: with [`Safety::Memory`]
//! nothing of a QoS 1 message, and no retained message, is recorded: a crash takes them. Sessions,
//! their subscriptions and Wills are recorded all the same, so that they are there after an orderly
//! restart; only nothing waits for it.
//!
//! Invariant: a QoS 2 message is recorded, whatever it was asked for. A Packet Identifier that is
//! forgotten, or not known to be free, swallows the next message under it.

use super::Broker;
use super::inflight::Stage;
use super::input::SessionKey;
use super::limits::Limits;
use super::link::Link;
use crate::codec::QoS;
use crate::topic::{TopicFilter, TopicName};

/// What an acknowledgement waits for. The later one is safer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Safety {
    /// nothing: it is lost when the process ends
    Memory,
    /// the system has it: it is lost when the power fails
    Written,
    /// it is on disk
    #[default]
    Synced,
}

impl Safety {
    /// Of a message of this QoS that was asked to be so safe.
    #[must_use]
    pub fn at_qos(self, qos: QoS) -> Self {
        if qos == QoS::ExactlyOnce { self.max(Self::Written) } else { self }
    }

    /// As two bits.
    pub(super) fn bits(self) -> u8 {
        self as u8
    }

    /// From two bits.
    pub(super) fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Memory,
            1 => Self::Written,
            _ => Self::Synced,
        }
    }
}

impl Limits {
    /// The safety of a topic, if it has one of its own.
    fn own_safety(&self, topic: TopicName<'_>) -> Option<Safety> {
        let of = |(filter, safety): &(Box<str>, Safety)| {
            TopicFilter::new(filter).ok().filter(|f| f.matches(topic)).map(|_| *safety)
        };
        self.topic_safety.iter().find_map(of)
    }
}

impl Broker {
    /// What a link's own packets wait for: SUBACK, UNSUBACK, and mostly CONNACK.
    pub(super) fn safety_of_link(&self, l: &Link) -> Safety {
        l.safety().unwrap_or(self.limits.safety)
    }

    /// What CONNACK waits for. Behind it QoS 2 deliveries that are under way are sent again, whose
    /// identifiers may not be as safe as they have to be; its own record comes after theirs.
    pub(super) fn safety_of_connack(&self, session: SessionKey, own: Option<Safety>) -> Safety {
        let own = own.unwrap_or(self.limits.safety);
        let under_way = self.sessions.get(session).map(|s| s.outbound.iter());
        let qos2 = under_way.into_iter().flatten().any(|(_, e)| e.stage != Stage::Publish1);
        if qos2 { own.max(self.limits.identifier_safety) } else { own }
    }

    /// What PUBCOMP to a publisher waits for. An identifier that is free for the client and in use
    /// for the log swallows the next message under it, whatever topic that is for: so it is as safe
    /// as the safest that the link may publish.
    pub(super) fn safety_of_release(&self, l: &Link) -> Safety {
        let topics = self.limits.topic_safety.iter().map(|(_, safety)| *safety);
        topics.fold(self.safety_of_link(l).max(Safety::Written), Safety::max)
    }

    /// What a PUBLISH of a link, or its Will, is to be.
    pub(super) fn safety_of(&self, l: &Link, topic: TopicName<'_>, qos: QoS) -> Safety {
        let own = match self.limits.topic_safety.is_empty() {
            true => None,
            false => self.limits.own_safety(topic),
        };
        own.unwrap_or_else(|| self.safety_of_link(l)).at_qos(qos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_back() {
        for safety in [Safety::Memory, Safety::Written, Safety::Synced] {
            assert_eq!(Safety::from_bits(safety.bits()), safety);
        }
        assert_eq!(Safety::Memory.at_qos(QoS::ExactlyOnce), Safety::Written);
    }

    #[test]
    fn the_first_filter_that_matches_counts() {
        let list = [("a/b", Safety::Written), ("a/#", Safety::Memory)];
        let topic_safety = list.map(|(filter, safety)| (filter.into(), safety)).into();
        let limits = Limits { topic_safety, ..Limits::default() };
        let of = |topic| limits.own_safety(TopicName::new(topic).unwrap());
        assert_eq!(of("a/b"), Some(Safety::Written));
        assert_eq!((of("a/c"), of("b")), (Some(Safety::Memory), None));
    }
}
