//! Packet Identifiers in use: [`Outbound`] for those that the broker chose, [`Inbound`] for the
//! QoS 2 identifiers that the client chose. Two types, because they are two name spaces.
//!
//! Invariant: an identifier is never given out twice at a time \[MQTT-2.2.1-4\]; entries stand in
//! the order in which they were first sent, which is the order of redelivery \[MQTT-4.6.0-1\].

use std::collections::VecDeque;
use std::num::NonZeroU16;

use super::input::WaitKey;
use super::message::Message;
use super::seal::SealRef;
use super::session::Extra;
use super::void::Span;
use crate::codec::{PacketId, QoS};
use triomphe::Arc;

/// Identifiers run from 1 to this, then start again.
const IDS: u32 = 65_535;

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// QoS 1: PUBLISH until PUBACK
    Publish1,
    /// QoS 2: PUBLISH until PUBREC
    Publish2,
    /// QoS 2: PUBREL until PUBCOMP
    Release,
}

impl Stage {
    /// Where the delivery of a QoS 1 or 2 message begins.
    pub(super) fn first(qos: QoS) -> Self {
        if qos == QoS::ExactlyOnce { Self::Publish2 } else { Self::Publish1 }
    }
}

/// A delivery under way.
#[derive(Debug)]
pub(super) struct InFlight {
    /// Gone once released; not there from the beginning if it is never sent again.
    pub(super) message: Option<Message>,
    pub(super) extra: Option<Arc<Extra>>,
    /// Its number in the session if the log has it, else 0.
    pub(super) order: u64,
    pub(super) seal: SealRef,
    pub(super) stage: Stage,
    pub(super) retain: bool,
    /// Has left the gate, on any link: the next PUBLISH has DUP set \[MQTT-3.3.1-1\].
    pub(super) dup: bool,
    /// Sent (or held in the gate) on the present link.
    pub(super) sent: bool,
}

impl InFlight {
    fn cost_bytes(&self) -> usize {
        self.message.as_ref().map_or(0, Message::cost_bytes)
    }
}

/// The broker's identifiers of one session.
#[derive(Debug)]
pub(super) struct Outbound {
    /// By identifier, from `first` on; acknowledged ones are `None` until they reach the front.
    entries: VecDeque<Option<InFlight>>,
    first: u16,
    count: usize,
    /// What the messages under way cost.
    bytes: usize,
    /// How many are sent on the present link and not complete: the used part of the send quota.
    used: u16,
    /// The first entry that may not be sent yet on the present link.
    unsent_from: usize,
}

impl Default for Outbound {
    fn default() -> Self {
        Self { entries: VecDeque::new(), first: 1, count: 0, bytes: 0, used: 0, unsent_from: 0 }
    }
}

fn id_after(first: u16, steps: usize) -> PacketId {
    let id = (u32::from(first) - 1 + steps as u32) % IDS + 1;
    NonZeroU16::new(id as u16).unwrap_or(NonZeroU16::MIN)
}

impl Outbound {
    /// How many deliveries are under way.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// What the messages under way cost, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The part of the send quota in use on the present link.
    pub(super) fn used(&self) -> u16 {
        self.used
    }

    /// Whether another identifier can be given out.
    pub(super) fn has_free_id(&self) -> bool {
        self.entries.len() < IDS as usize
    }

    /// Whether entries of an earlier link wait to be sent again.
    pub(super) fn has_unsent(&self) -> bool {
        self.count > usize::from(self.used)
    }

    /// Puts a delivery in flight under the next identifier, sent on the present link.
    pub(super) fn push(&mut self, entry: InFlight) -> PacketId {
        let id = id_after(self.first, self.entries.len());
        self.count += 1;
        self.bytes += entry.cost_bytes();
        self.used += u16::from(entry.sent);
        if self.unsent_from == self.entries.len() && entry.sent {
            self.unsent_from += 1;
        }
        self.entries.push_back(Some(entry));
        id
    }

    /// Puts back a delivery of before a restart, under the identifier that it had. They come in the
    /// order in which they were first sent.
    pub(super) fn restore(&mut self, id: PacketId, entry: InFlight) {
        if self.entries.is_empty() {
            self.first = id.get();
        }
        let index = self.index(id);
        if self.entries.len() <= index {
            self.entries.resize_with(index + 1, || None);
        }
        self.count += 1;
        self.bytes += entry.cost_bytes();
        if let Some(before) = self.entries[index].replace(entry) {
            self.count -= 1; // no log says so: an identifier is in use once
            self.bytes -= before.cost_bytes();
        }
    }

    fn index(&self, id: PacketId) -> usize {
        ((u32::from(id.get()) + IDS - u32::from(self.first)) % IDS) as usize
    }

    /// The delivery under `id`.
    pub(super) fn get_mut(&mut self, id: PacketId) -> Option<&mut InFlight> {
        let index = self.index(id);
        self.entries.get_mut(index)?.as_mut()
    }

    /// Ends the delivery under `id`.
    pub(super) fn remove(&mut self, id: PacketId) -> Option<InFlight> {
        let index = self.index(id);
        let entry = self.entries.get_mut(index)?.take()?;
        self.count -= 1;
        self.bytes -= entry.cost_bytes();
        self.used -= u16::from(entry.sent);
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.first = id_after(self.first, 1).get();
            self.unsent_from = self.unsent_from.saturating_sub(1);
        }
        if self.entries.is_empty() && self.entries.capacity() > 64 {
            self.entries = VecDeque::new();
        }
        Some(entry)
    }

    /// PUBREC came: from here on PUBREL is sent, and the message is not needed any more
    /// \[MQTT-4.3.3-6\].
    pub(super) fn release(&mut self, id: PacketId) {
        let index = self.index(id);
        if let Some(Some(entry)) = self.entries.get_mut(index) {
            self.bytes -= entry.cost_bytes();
            entry.stage = Stage::Release;
            entry.message = None;
            entry.extra = None;
            if !entry.sent {
                entry.sent = true;
                self.used += 1;
            }
        }
    }

    /// A new link: nothing is sent on it yet.
    pub(super) fn start_link(&mut self) {
        self.used = 0;
        self.unsent_from = 0;
        for entry in self.entries.iter_mut().flatten() {
            entry.sent = false;
        }
    }

    /// The next entry to send again, in the order of first sending. A PUBLISH needs room in
    /// `window`, a PUBREL does not. Marks it as sent.
    pub(super) fn next_unsent(&mut self, window: u16) -> Option<(PacketId, &mut InFlight)> {
        while self.unsent_from < self.entries.len() {
            let at = self.unsent_from;
            match &self.entries[at] {
                Some(e) if !e.sent => {
                    if e.stage != Stage::Release && self.used >= window {
                        return None;
                    }
                    self.unsent_from += 1;
                    self.used += 1;
                    let id = id_after(self.first, at);
                    let entry = self.entries[at].as_mut()?;
                    entry.sent = true;
                    return Some((id, entry));
                }
                _ => self.unsent_from += 1,
            }
        }
        None
    }

    /// All deliveries in the order of first sending.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PacketId, &InFlight)> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(i, e)| e.as_ref().map(|e| (id_after(self.first, i), e)))
    }

    /// Takes all deliveries out (the session ends).
    pub(super) fn drain(&mut self) -> impl Iterator<Item = InFlight> {
        std::mem::take(self).entries.into_iter().flatten()
    }

    pub(super) fn check_invariants(&self) {
        assert_eq!(self.entries.iter().flatten().count(), self.count, "in-flight count");
        let bytes: usize = self.entries.iter().flatten().map(InFlight::cost_bytes).sum();
        assert_eq!(bytes, self.bytes, "in-flight bytes");
        let sent = self.entries.iter().flatten().filter(|e| e.sent).count();
        assert_eq!(sent, usize::from(self.used), "send quota in use");
        assert!(!matches!(self.entries.front(), Some(None)), "a hole at the front");
    }
}

/// A QoS 2 identifier of the client's, from PUBLISH to PUBREL.
#[derive(Clone, Copy, Debug)]
pub(super) struct InboundId {
    pub(super) id: PacketId,
    /// Counted against the Receive Maximum of the present link.
    pub(super) counted: bool,
    /// What the first PUBREC waits for; a repeated PUBLISH waits for the same.
    pub(super) records: Span,
    /// likewise
    pub(super) wait: Option<WaitKey>,
}

/// The client's QoS 2 identifiers of one session \[MQTT-4.3.3-10\].
#[derive(Debug, Default)]
pub(super) struct Inbound(Vec<InboundId>);

impl Inbound {
    fn find(&self, id: PacketId) -> Result<usize, usize> {
        // Identifiers mostly rise: look at the end first.
        match self.0.last() {
            Some(last) if last.id < id => Err(self.0.len()),
            _ => self.0.binary_search_by_key(&id, |e| e.id),
        }
    }

    pub(super) fn get_mut(&mut self, id: PacketId) -> Option<&mut InboundId> {
        let at = self.find(id).ok()?;
        self.0.get_mut(at)
    }

    pub(super) fn insert(&mut self, entry: InboundId) {
        match self.find(entry.id) {
            Ok(at) => self.0[at] = entry,
            Err(at) => self.0.insert(at, entry),
        }
    }

    pub(super) fn remove(&mut self, id: PacketId) -> Option<InboundId> {
        self.find(id).ok().map(|at| self.0.remove(at))
    }

    /// An identifier that is not in use.
    pub(super) fn unused(&self) -> PacketId {
        let gap = (1_u16..).zip(&self.0).find(|(n, known)| known.id.get() != *n);
        let n = gap.map_or(self.0.len() as u16 + 1, |(n, _)| n);
        PacketId::new(n).unwrap_or(PacketId::MAX)
    }

    /// A new link: the client's quota starts afresh.
    pub(super) fn start_link(&mut self) {
        self.0.iter_mut().for_each(|e| e.counted = false);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &InboundId> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Seq;
    use super::*;

    fn entry(stage: Stage) -> InFlight {
        InFlight {
            message: None,
            extra: None,
            order: 0,
            seal: SealRef::default(),
            stage,
            retain: false,
            dup: false,
            sent: true,
        }
    }

    fn id(n: u16) -> PacketId {
        PacketId::new(n).unwrap()
    }

    #[test]
    fn identifiers_rise_from_1_and_wrap_past_those_in_use() {
        let mut out = Outbound::default();
        for n in 1..=3 {
            assert_eq!(out.push(entry(Stage::Publish1)), id(n));
        }
        assert!(out.remove(id(2)).is_some() && out.remove(id(2)).is_none());
        assert!(out.remove(id(9)).is_none());
        for n in 4..=65_535 {
            assert_eq!(out.push(entry(Stage::Publish1)), id(n));
        }
        assert!(!out.has_free_id());
        assert!(out.remove(id(1)).is_some());
        assert!(out.has_free_id());
        assert_eq!(out.push(entry(Stage::Publish1)), id(1));
        assert_eq!(out.push(entry(Stage::Publish1)), id(2));
        assert!(!out.has_free_id());
        out.check_invariants();
    }

    #[test]
    fn restored_deliveries_have_their_identifiers_and_their_order() {
        let mut out = Outbound::default();
        for n in [65_533, 65_535, 2] {
            out.restore(id(n), InFlight { sent: false, ..entry(Stage::Publish1) });
        }
        out.check_invariants();
        assert_eq!(out.push(InFlight { sent: false, ..entry(Stage::Publish1) }), id(3));
        let mut got = Vec::new();
        while let Some((id, _)) = out.next_unsent(9) {
            got.push(id.get());
        }
        assert_eq!(got, [65_533, 65_535, 2, 3]);
        assert!(out.remove(id(65_533)).is_some() && out.remove(id(65_534)).is_none());
        assert!(out.remove(id(2)).is_some() && out.remove(id(65_535)).is_some());
        out.check_invariants();
    }

    #[test]
    fn the_first_gap_is_unused() {
        let mut inbound = Inbound::default();
        for (n, unused) in [(2, 1), (1, 3), (5, 3), (3, 4), (4, 6)] {
            let (records, wait) = (Span::default(), None);
            inbound.insert(InboundId { id: id(n), counted: false, records, wait });
            assert_eq!(inbound.unused(), id(unused));
        }
    }

    #[test]
    fn resends_in_order_within_the_window() {
        let mut out = Outbound::default();
        for stage in [Stage::Publish1, Stage::Release, Stage::Publish2, Stage::Publish1] {
            out.push(entry(stage));
        }
        out.start_link();
        assert!(out.has_unsent());
        let mut got = Vec::new();
        while let Some((id, _)) = out.next_unsent(2) {
            got.push(id.get());
        }
        assert_eq!(got, [1, 2]);
        out.remove(id(1));
        assert_eq!(out.next_unsent(2).map(|(id, _)| id.get()), Some(3));
        assert!(out.next_unsent(2).is_none());
        out.remove(id(3));
        assert_eq!(out.next_unsent(2).map(|(id, _)| id.get()), Some(4));
        assert!(!out.has_unsent());
        out.check_invariants();
    }

    #[test]
    fn an_inbound_identifier_stands_once_in_order() {
        let mut inbound = Inbound::default();
        let at = |seq| Span { first: Seq(seq), last: Seq(seq) };
        let entry = |n, seq| InboundId { id: id(n), counted: true, records: at(seq), wait: None };
        for (n, seq) in [(5, 1), (3, 2), (9, 3), (5, 4)] {
            inbound.insert(entry(n, seq));
        }
        let all: Vec<_> = inbound.iter().map(|e| (e.id.get(), e.records)).collect();
        assert_eq!(all, [(3, at(2)), (5, at(4)), (9, at(3))]);
        assert!(inbound.remove(id(5)).is_some() && inbound.remove(id(5)).is_none());
    }
}
