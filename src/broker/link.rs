//! A Link: the pure side of one Network Connection, and what lives exactly as long as it.
//!
//! Invariant: nothing here outlives the Network Connection: Topic Aliases \[MQTT-3.3.2-7\], the
//! send quota, the acknowledgements that are held back.

use std::collections::VecDeque;
use std::rc::Rc;

use super::asked::Rare;
use super::input::{LinkKey, Opening, SessionKey, WaitKey};
use super::limits::Limits;
use super::pending::Held;
use super::safety::Safety;
use super::shrink::shrink_list;
use super::time::Time;
use crate::codec::Version;

/// Why a link's socket, or what it publishes, is not read for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// An answer is awaited: the server does not hand in packets.
    Asked = 1,
    /// Stands in the list of links that are not read because of a peer's backlog.
    Paused = 2,
    /// So many packets are held back that no more are taken.
    GateFull = 4,
    /// There was no room for its last PUBLISH, which was not taken.
    NoRoom = 8,
    /// So much of what was published waits for the store.
    StoreBehind = 16,
    /// A PUBLISH was refused that a 3.x client cannot be told of: no further one is taken. It is
    /// still read, for what it acknowledges, and will end.
    Refused = 32,
    /// Its last PUBLISH was over its quota, and was not taken.
    Throttled = 64,
}

/// In `Link::checks`: its client may not do everything.
pub(super) const CLASSED: u8 = 1;
/// It is under a quota.
pub(super) const PACED: u8 = 2;

/// In `Link::traits`: a bridge.
const BRIDGE: u8 = 1;
/// CONNECT did not say no to Reason Strings.
const PROBLEM_INFORMATION: u8 = 2;
/// CONNECT asked for a Session Expiry Interval.
const ASKED_EXPIRY: u8 = 4;
/// Where its safety begins; the other traits are below.
const SAFETY_AT: u32 = 3;

/// One Network Connection that has sent a valid CONNECT. One cache line: each packet touches one.
#[derive(Debug)]
#[repr(align(64))]
pub struct Link {
    pub(super) key: LinkKey,
    pub(super) session: SessionKey,
    pub(super) version: Version,
    /// CONNACK has left the gate: other packets may be sent \[MQTT-3.2.0-1\].
    pub(super) ready: bool,
    /// A set of [`Hold`]s.
    holds: u8,
    /// What has to be looked at for each PUBLISH and SUBSCRIBE: [`CLASSED`], [`PACED`]. Of most
    /// clients nothing.
    pub(super) checks: u8,
    /// What it is from its CONNECT on: flags, and above them its [`Safety`] and one, or 0 for none.
    traits: u8,
    /// The session may have QoS 2 identifiers of the client's in use.
    pub(super) has_inbound: bool,
    /// Stands in the gate's list of links with held packets.
    pub(super) in_gate: bool,
    /// Keep Alive in force, 0: none.
    pub(super) keep_alive_s: u16,
    pub(super) last_seen: Time,
    pub(super) maximum_packet_size: u32,
    /// How many QoS 1 and 2 PUBLISHes may be unacknowledged towards the client.
    pub(super) window: u16,
    /// How many the client has unacknowledged towards the broker.
    pub(super) inbound_used: u16,
    /// Receive Maximum and Topic Alias Maximum as CONNACK said: a reload does not change them.
    pub(super) receive_maximum: u16,
    pub(super) alias_in_max: u16,
    pub(super) alias_out_max: u16,
    beside: Option<Box<Beside>>,
    pub(super) held: HeldQueue,
}

/// What most links do not have: Topic Aliases, and what is rarer.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// the client's aliases
    pub(super) incoming: Vec<Option<Rc<str>>>,
    /// the broker's
    pub(super) outgoing: AliasesOut,
    rare: Option<Box<Rare>>,
}

/// The packets that the gate holds back; of most links none.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "8 bytes instead of 32 in each link")]
pub(super) struct HeldQueue(Option<Box<VecDeque<Held>>>);

impl HeldQueue {
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |held| held.len())
    }
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
    pub(super) fn front(&self) -> Option<&Held> {
        self.0.as_ref()?.front()
    }
    pub(super) fn push_back(&mut self, held: Held) {
        self.0.get_or_insert_default().push_back(held);
    }
    pub(super) fn pop_front(&mut self) -> Option<Held> {
        self.0.as_mut()?.pop_front()
    }
    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.0.iter().flat_map(|held| held.iter())
    }
    /// Takes out the first `count`.
    pub(super) fn drain(&mut self, count: usize) -> impl Iterator<Item = Held> {
        self.0.as_mut().map(|held| held.drain(..count)).into_iter().flatten()
    }
}

impl Link {
    /// Whether its socket is not to be read for now.
    pub(super) fn reads_held(&self) -> bool {
        self.holds & !(Hold::Refused as u8) != 0
    }

    /// How safe what it publishes is to be, if its listener says so.
    pub(super) fn safety(&self) -> Option<Safety> {
        (self.traits >> SAFETY_AT).checked_sub(1).map(Safety::from_bits)
    }

    /// Whether it is held for this reason.
    pub(super) fn is_held(&self, hold: Hold) -> bool {
        self.holds & hold as u8 != 0
    }

    /// Notes that it is held for this reason, or no longer.
    pub(super) fn hold(&mut self, hold: Hold, yes: bool) {
        if yes { self.holds |= hold as u8 } else { self.holds &= !(hold as u8) }
    }

    /// A bridge gets nothing back that it sent, and RETAIN flags as they are.
    pub(super) fn is_bridge(&self) -> bool {
        self.traits & BRIDGE != 0
    }

    /// Whether its client wants Reason Strings.
    pub(super) fn wants_reasons(&self) -> bool {
        self.traits & PROBLEM_INFORMATION != 0
    }

    /// Whether CONNECT asked for a Session Expiry Interval, whatever was granted.
    pub(super) fn asked_expiry(&self) -> bool {
        self.traits & ASKED_EXPIRY != 0
    }

    pub(super) fn aliases(&mut self) -> &mut Beside {
        self.beside.get_or_insert_default()
    }

    pub(super) fn rare(&self) -> Option<&Rare> {
        self.beside.as_ref()?.rare.as_deref()
    }

    pub(super) fn rare_mut(&mut self) -> Option<&mut Rare> {
        self.beside.as_mut()?.rare.as_deref_mut()
    }

    pub(super) fn rare_or_new(&mut self) -> &mut Rare {
        self.beside.get_or_insert_default().rare.get_or_insert_default()
    }

    /// What its held packets wait for of other shards.
    pub(super) fn held_waits(&self) -> impl Iterator<Item = WaitKey> {
        self.held.0.iter().flat_map(|held| held.iter()).filter_map(Held::wait)
    }

    /// The deadline after which the Keep Alive has been missed \[MQTT-3.1.2-22\].
    pub(super) fn keep_alive_deadline(&self) -> Time {
        match self.keep_alive_s {
            0 => Time::NEVER,
            s => self.last_seen.plus_ms(u64::from(s) * 1500),
        }
    }
}

impl Link {
    /// A link as it is before its CONNACK.
    pub(super) fn new(
        key: LinkKey,
        session: SessionKey,
        now: Time,
        opening: &Opening<'_>,
        keep_alive_s: u16,
        limits: &Limits,
    ) -> Self {
        let c = opening.connect;
        let flag = |yes: bool, bit: u8| if yes { bit } else { 0 };
        let traits = flag(c.bridge, BRIDGE)
            | flag(c.request_problem_information, PROBLEM_INFORMATION)
            | flag(c.session_expiry_s > 0, ASKED_EXPIRY)
            | opening.safety.map_or(0, |safety| (safety.bits() + 1) << SAFETY_AT);
        Self {
            key,
            session,
            version: c.version,
            ready: false,
            holds: 0,
            checks: 0,
            traits,
            has_inbound: false,
            in_gate: false,
            keep_alive_s,
            last_seen: now,
            maximum_packet_size: c.maximum_packet_size,
            window: c.receive_maximum.get().min(limits.in_flight_max),
            inbound_used: 0,
            receive_maximum: limits.receive_maximum,
            alias_in_max: limits.topic_alias_max,
            alias_out_max: c.topic_alias_maximum.min(limits.topic_alias_outgoing_max),
            beside: None,
            held: HeldQueue::default(),
        }
    }
}

/// The links of a shard, by slot.
#[derive(Debug, Default)]
pub(super) struct Links(Vec<Option<Link>>);

impl Links {
    pub(super) fn insert(&mut self, link: Link) {
        let index = link.key.index();
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index] = Some(link);
    }

    pub(super) fn get(&self, key: LinkKey) -> Option<&Link> {
        self.0.get(key.index())?.as_ref().filter(|l| l.key == key)
    }

    pub(super) fn get_mut(&mut self, key: LinkKey) -> Option<&mut Link> {
        self.0.get_mut(key.index())?.as_mut().filter(|l| l.key == key)
    }

    pub(super) fn remove(&mut self, key: LinkKey) -> Option<Link> {
        self.get(key)?;
        self.0.get_mut(key.index())?.take()
    }

    /// Gives the slots behind the last link back, if there are many.
    pub(super) fn shrink(&mut self) {
        let used = self.0.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.0.truncate(used);
        shrink_list(&mut self.0);
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Link> {
        self.0.iter().flatten()
    }
}

/// The Topic Aliases that the broker has given out on one link, least recently used first to go.
#[derive(Debug, Default)]
pub(super) struct AliasesOut {
    /// Topic and when it was last used; alias = position + 1.
    slots: Vec<(Box<str>, u64)>,
    uses: u64,
}

/// How a PUBLISH names its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alias {
    /// The alias is known: the topic is left out.
    Known(u16),
    /// The alias is new or given to another topic: both are sent.
    New(u16),
}

impl AliasesOut {
    /// The alias for `topic`, of at most `max` (> 0).
    pub(super) fn assign(&mut self, topic: &str, max: u16) -> Alias {
        self.uses += 1;
        if let Some(at) = self.slots.iter().position(|(known, _)| **known == *topic) {
            self.slots[at].1 = self.uses;
            return Alias::Known(at as u16 + 1);
        }
        if self.slots.len() < usize::from(max) {
            self.slots.push((topic.into(), self.uses));
            return Alias::New(self.slots.len() as u16);
        }
        let oldest = self.slots.iter().enumerate().min_by_key(|(_, (_, used))| *used);
        let at = oldest.map_or(0, |(at, _)| at);
        self.slots[at] = (topic.into(), self.uses);
        Alias::New(at as u16 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size_of::<Option<Link>>(), 64);
    }

    #[test]
    fn the_least_recently_used_alias_is_given_away() {
        let mut aliases = AliasesOut::default();
        assert_eq!(aliases.assign("a", 2), Alias::New(1));
        assert_eq!(aliases.assign("b", 2), Alias::New(2));
        assert_eq!(aliases.assign("a", 2), Alias::Known(1));
        assert_eq!(aliases.assign("c", 2), Alias::New(2));
        assert_eq!(aliases.assign("a", 2), Alias::Known(1));
        assert_eq!(aliases.assign("b", 2), Alias::New(2));
    }
}
