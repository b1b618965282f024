//! The gate: what waits for what before it may leave (DESIGN's table), per link in order.
//!
//! A packet that has to wait stands in its link's queue of [`Held`] packets; the queue is released
//! from its head, so PUBACKs leave in the order of their PUBLISHes, PUBRECs likewise, PUBRELs in
//! the order of the PUBRECs \[MQTT-4.6.0-2\] to \[MQTT-4.6.0-4\]. What needs not wait and finds
//! the queue empty leaves at once.
//!
//! Invariant: nothing passes the gate before its records are as safe as it promises, or void, its
//! receipts are there, and the interest that it promises is in force on every shard.

use super::input::{Effects, LinkKey, SealKey, Seq, ShardId, WaitKey};
use super::key::Arena;
use super::link::{Hold, Link};
use super::replays::Replay;
use super::safety::Safety;
use super::seal::Then;
use super::void::{Settled, Span};
use super::{Broker, Time};
use crate::codec::{Ack, Packet, PacketId, ReasonCode, SubAck, UserProperties, encode_within};

/// How many answers other than PUBACK and PUBREC may be held.
const HELD_BESIDE_MAX: usize = 64;

/// Receipts of other shards that a publisher's acknowledgement waits for.
#[derive(Debug, Default)]
pub struct Wait {
    /// that are still to come
    pub(super) receipts: u32,
    /// what is done when they are in
    pub(super) then: Option<Box<Then>>,
    /// what was recorded then, to be waited for too
    pub(super) records: Span,
    /// no packet waits for it: it goes when it is complete
    pub(super) forgotten: bool,
    /// a packet waits for it until it is synced
    pub(super) synced: bool,
    /// whose packets wait for it: a session has one link at a time
    pub(super) link: Option<LinkKey>,
}

impl Wait {
    fn is_met(&self, settled: &Settled, safety: Safety) -> bool {
        self.receipts == 0 && self.then.is_none() && settled.covers(self.records, safety)
    }
}

/// A packet that may have to wait.
#[derive(Debug)]
pub(super) enum HeldPacket {
    /// encoded already
    ConnAck(Box<[u8]>),
    PubAck(PacketId, ReasonCode),
    PubRec(PacketId, ReasonCode),
    /// and whether it counts against Receive Maximum until it leaves
    PubComp(PacketId, ReasonCode, bool),
    SubAck(Box<HeldSubAck>),
    UnsubAck(Box<(PacketId, Vec<ReasonCode>)>),
    /// a QoS 2 PUBLISH to a persistent session, after its identifier's record
    Publish2(PacketId),
    /// after the PUBREC's record; with an error for an identifier that is not in use
    PubRel(PacketId, ReasonCode),
    /// behind a CONNACK that waits
    PingResp,
}

/// A SUBACK, and the retained messages that may be read once it leaves: not before the interest is
/// in force everywhere.
#[derive(Debug)]
pub(super) struct HeldSubAck {
    pub(super) packet_id: PacketId,
    pub(super) reasons: Vec<ReasonCode>,
    pub(super) replays: Vec<Replay>,
}

/// What a packet waits for; the default is nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Until {
    /// own records, each committed or void
    pub(super) records: Span,
    /// own interest changes up to this one in force on every shard
    pub(super) interest: u64,
    /// receipts
    pub(super) wait: Option<WaitKey>,
    /// how safe those records have to be
    pub(super) safety: Safety,
}

/// A packet in the gate.
#[derive(Debug)]
pub(super) struct Held {
    packet: HeldPacket,
    until: Until,
}

impl Held {
    pub(super) fn wait(&self) -> Option<WaitKey> {
        self.until.wait
    }
}

/// The state that conditions are checked against.
#[derive(Debug, Default)]
pub(super) struct Gate {
    pub(super) waits: Arena<Wait>,
    pub(super) settled: Settled,
    /// Links with held packets, each once, and some that have none any longer.
    pub(super) links: Vec<LinkKey>,
}

impl Gate {
    /// A packet leaves: what it waited for goes, unless another one waits until it is safer.
    fn resolve(&mut self, until: &Until) {
        let wait = until.wait.and_then(|key| Some((key, self.waits.get(key)?)));
        if let Some((key, wait)) = wait
            && (!wait.synced || until.safety == Safety::Synced)
        {
            self.waits.remove(key);
        }
    }
}

impl Broker {
    fn is_met(&self, until: &Until) -> bool {
        self.gate.settled.covers(until.records, until.safety)
            && until.interest <= self.interest_in_force()
            // A wait that is gone is resolved.
            && until.wait.is_none_or(|wait| {
                let wait = self.gate.waits.get(wait);
                wait.is_none_or(|wait| wait.is_met(&self.gate.settled, until.safety))
            })
    }

    /// Whether all that it still waits for is a sync of what is written. That was asked for when it
    /// began to wait; but one record may have been void, and safe, while others were in front, and
    /// is forgotten since it counts as written: then nobody else may ask.
    fn wants_sync_alone(&self, until: &Until) -> bool {
        let settled = &self.gate.settled;
        until.safety == Safety::Synced
            && settled.committed() < settled.written()
            && self.is_met(&Until { safety: Safety::Written, ..*until })
    }

    /// Something waits from now on: the store is told if that is for a sync, which may be of
    /// records that it was given before, and that did not need one.
    fn wait_for(&mut self, link: LinkKey, until: &Until, fx: &mut Effects) {
        let Gate { waits, settled, .. } = &mut self.gate;
        let mut wait = until.wait.and_then(|wait| waits.get_mut(wait));
        if let Some(wait) = &mut wait {
            wait.link = Some(link);
        }
        if until.safety < Safety::Synced {
            return;
        }
        fx.sync |= !settled.covers(until.records, Safety::Synced);
        if let Some(wait) = wait {
            wait.synced = true;
            fx.sync |= !settled.covers(wait.records, Safety::Synced);
        }
    }

    /// Sends `packet` now, or when `until` is met and everything before it has left.
    pub(super) fn send_when(
        &mut self,
        now: Time,
        link: LinkKey,
        packet: HeldPacket,
        until: Until,
        fx: &mut Effects,
    ) {
        let met = self.is_met(&until);
        if !met {
            self.wait_for(link, &until, fx);
        }
        let Some(l) = self.links.get_mut(link) else { return };
        if met && l.held.is_empty() {
            self.gate.resolve(&until);
            self.release(now, link, packet, fx);
            return;
        }
        l.held.push_back(Held { packet, until });
        if l.held.len() >= held_max(l) && !l.is_held(Hold::GateFull) {
            // 3.x clients know no Receive Maximum: they are not read while so much waits.
            l.hold(Hold::GateFull, true);
            fx.sends.hold_reads(link, true);
        }
        if !l.in_gate {
            l.in_gate = true;
            self.gate.links.push(link);
        }
    }

    /// Lets out everything whose conditions are met, after one of them may have changed.
    pub(super) fn open_gate(&mut self, now: Time, fx: &mut Effects) {
        let mut links = std::mem::take(&mut self.gate.links);
        links.retain(|&link| {
            let held = self.open(now, link, fx);
            if !held && let Some(l) = self.links.get_mut(link) {
                l.in_gate = false;
            }
            held
        });
        // Releasing may have put links in; those that stay come first.
        links.append(&mut self.gate.links);
        self.gate.links = links;
    }

    /// Lets out what may leave of one link's queue: enough where one wait alone has changed. (With
    /// many links that wait, each for other shards, to go over all of them for each would cost the
    /// square of their number.) Returns whether something is left in it.
    pub(super) fn open(&mut self, now: Time, link: LinkKey, fx: &mut Effects) -> bool {
        self.release_pubacks(link, fx);
        while let Some(l) = self.links.get_mut(link) {
            let Some(head) = l.held.front() else {
                self.not_taken.look_at(l);
                return false;
            };
            let until = head.until;
            if !self.is_met(&until) {
                fx.sync |= self.wants_sync_alone(&until);
                return true;
            }
            self.gate.resolve(&until);
            let Some(l) = self.links.get_mut(link) else { return false };
            let held = l.held.pop_front();
            read_again(l, fx);
            if let Some(held) = held {
                self.release(now, link, held.packet, fx);
            }
        }
        false
    }

    /// Lets out the PUBACKs at the front of a link's queue, all at once: of what is ever held,
    /// nearly all is of this kind.
    fn release_pubacks(&mut self, link: LinkKey, fx: &mut Effects) {
        let Some(l) = self.links.get(link) else { return };
        let leaves = |Held { packet, until }: &&Held| {
            matches!(packet, HeldPacket::PubAck(..)) && self.is_met(until)
        };
        let count = l.held.iter().take_while(leaves).count();
        let Some(l) = self.links.get_mut(link).filter(|_| count > 0) else { return };
        let (version, max) = (l.version, l.maximum_packet_size);
        let left = l.held.drain(count);
        fx.sends.append(link, |out| {
            for Held { packet, until } in left {
                self.gate.resolve(&until);
                if let HeldPacket::PubAck(id, reason) = packet {
                    encode_within(&Packet::PubAck(Ack::new(id, reason)), version, max, out);
                }
            }
        });
        self.counters.packets_sent += count as u64;
        l.inbound_used = l.inbound_used.saturating_sub(count as u16);
        read_again(l, fx);
    }

    fn release(&mut self, now: Time, link: LinkKey, packet: HeldPacket, fx: &mut Effects) {
        match packet {
            HeldPacket::ConnAck(bytes) => {
                self.counters.packets_sent += 1;
                fx.sends.append(link, |out| out.extend_from_slice(&bytes));
                self.link_ready(now, link, fx);
            }
            HeldPacket::PubAck(id, reason) => {
                self.quota_back(link);
                self.send(link, &Packet::PubAck(Ack::new(id, reason)), fx);
            }
            HeldPacket::PubRec(id, reason) => {
                if reason.is_error() {
                    self.quota_back(link);
                }
                self.send(link, &Packet::PubRec(Ack::new(id, reason)), fx);
            }
            HeldPacket::PubComp(id, reason, counted) => {
                if counted {
                    self.quota_back(link);
                }
                self.send(link, &Packet::PubComp(Ack::new(id, reason)), fx);
            }
            HeldPacket::PubRel(id, reason) => {
                self.send(link, &Packet::PubRel(Ack::new(id, reason)), fx);
            }
            HeldPacket::PingResp => self.send(link, &Packet::PingResp, fx),
            HeldPacket::Publish2(id) => self.send_in_flight(now, link, id, fx),
            HeldPacket::SubAck(ack) => {
                let HeldSubAck { packet_id, reasons, replays } = *ack;
                self.send(link, &Packet::SubAck(plain(packet_id, reasons)), fx);
                self.start_replays(link, replays);
            }
            HeldPacket::UnsubAck(ack) => {
                self.send(link, &Packet::UnsubAck(plain(ack.0, ack.1)), fx);
            }
        }
    }

    /// The client gets a part of its Receive Maximum back (section 4.9).
    pub(super) fn quota_back(&mut self, link: LinkKey) {
        if let Some(l) = self.links.get_mut(link) {
            l.inbound_used = l.inbound_used.saturating_sub(1);
        }
    }

    /// A receipt of another shard came.
    pub(super) fn on_receipt(
        &mut self,
        now: Time,
        from: ShardId,
        wait: WaitKey,
        seal: Option<SealKey>,
        fx: &mut Effects,
    ) {
        let Some(w) = self.gate.waits.get_mut(wait) else {
            self.counters.stale_inputs += 1;
            return;
        };
        w.receipts = w.receipts.saturating_sub(1);
        let (complete, link) = (w.receipts == 0, w.link);
        if let (Some(then), Some(seal)) = (&mut w.then, seal) {
            then.is_kept(from, seal);
        }
        if complete && w.then.is_some() {
            self.complete_wait(now, wait, fx);
        } else if complete && let Some(link) = link {
            self.open(now, link, fx);
        }
    }

    /// Records are committed: answers leave, and receipts that other shards asked for.
    pub(super) fn on_committed(&mut self, now: Time, seq: Seq, fx: &mut Effects) {
        if seq <= self.gate.settled.committed() {
            self.counters.stale_inputs += 1;
            return;
        }
        let new = self.gate.settled.written() < seq;
        self.gate.settled.commit(seq);
        self.ends_committed(seq);
        self.go_on_written(now, seq, new, fx);
    }

    /// Records are written: what waits for no more than that leaves.
    pub(super) fn on_written(&mut self, now: Time, seq: Seq, fx: &mut Effects) {
        if seq <= self.gate.settled.written() {
            self.counters.stale_inputs += 1;
            return;
        }
        self.gate.settled.write(seq);
        self.go_on_written(now, seq, true, fx);
    }

    /// `new`: it was not known to be written.
    fn go_on_written(&mut self, now: Time, seq: Seq, new: bool, fx: &mut Effects) {
        if new {
            self.uncommitted.commit(seq);
            self.store_caught_up(fx);
        }
        self.send_receipts(now, fx);
        self.open_gate(now, fx);
        if new {
            self.loads_go_on(now, fx); // what is written can be read
        }
    }

    /// Records are void: what waited for them need not wait any longer.
    pub(super) fn on_void(&mut self, now: Time, seqs: &[Seq], fx: &mut Effects) {
        let mut new = false;
        for &seq in seqs {
            if seq <= self.seq {
                new |= self.gate.settled.make_void(seq);
                self.uncommitted.make_void(seq);
            }
        }
        if new {
            self.store_caught_up(fx);
            self.send_receipts(now, fx);
            self.open_gate(now, fx);
        } else {
            self.counters.stale_inputs += 1;
        }
    }
}

/// A link whose queue was full is read again once half of it is free.
fn read_again(l: &mut Link, fx: &mut Effects) {
    if l.is_held(Hold::GateFull) && l.held.len() <= held_max(l) / 2 {
        l.hold(Hold::GateFull, false);
        fx.sends.hold_reads(l.key, l.reads_held());
    }
}

/// How many packets of a link may be held before it is not read: beyond Receive Maximum, so that
/// who breaks that is told so.
fn held_max(l: &Link) -> usize {
    usize::from(l.receive_maximum) + HELD_BESIDE_MAX
}

fn plain(packet_id: PacketId, reasons: Vec<ReasonCode>) -> SubAck<'static> {
    SubAck { packet_id, reason_string: None, user_properties: UserProperties::default(), reasons }
}
