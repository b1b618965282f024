//! What comes back for deliveries, and goes on with what was received: PUBACK, PUBREC, PUBREL and
//! PUBCOMP of a client.
//!
//! Invariants: an identifier is free once its exchange is over, and not before \[MQTT-2.2.1-4\]; an
//! exchange that ends makes room for what waits.

use super::inflight::{InboundId, Stage};
use super::input::{Effects, LinkKey, SessionKey};
use super::pending::{HeldPacket, Until};
use super::record::{DropReason, Record};
use super::{Broker, Refusal, Time, refusal};
use crate::codec::{Ack, PacketId, ReasonCode};

impl Broker {
    /// A delivery is complete, or `dropped`: its identifier is free.
    pub(super) fn complete(
        &mut self,
        session: SessionKey,
        packet_id: PacketId,
        dropped: Option<DropReason>,
        fx: &mut Effects,
    ) {
        let Some(s) = self.sessions.get_mut(session) else { return };
        let before = s.outbound.bytes();
        let Some(entry) = s.outbound.remove(packet_id) else { return };
        self.counters.in_flight -= 1;
        self.counters.in_flight_bytes -= (before - s.outbound.bytes()) as u64;
        let number = s.number;
        self.relieve(session);
        self.look_at_refused(session);
        self.drop_seal_ref(entry.seal);
        if let Some(why) = dropped {
            self.note_loss(session, why, 1);
        }
        entry.message.into_iter().for_each(|message| self.spent.add(message));
        if entry.order > 0 {
            let (session, order) = (number, entry.order);
            let record = match dropped {
                None => Record::Acknowledged { session, order },
                Some(why) => Record::Dropped { session, order, why },
            };
            self.record(fx, record);
        }
    }

    fn stage_of(&mut self, session: SessionKey, id: PacketId) -> Option<Stage> {
        Some(self.sessions.get_mut(session)?.outbound.get_mut(id)?.stage)
    }

    /// A delivery whose last answer came: its identifier is free, and what waits has its room.
    #[inline]
    fn end(&mut self, now: Time, session: SessionKey, id: PacketId, fx: &mut Effects) {
        self.complete(session, id, None, fx);
        self.go_on(now, session, fx);
    }

    /// The last answer to a delivery, which comes at `stage`; at another one it is refused as
    /// `wrong`. One for an identifier that is not in use changes nothing. Whether one is in use.
    #[inline]
    fn on_last_answer(
        &mut self,
        now: Time,
        session: SessionKey,
        id: PacketId,
        (stage, wrong): (Stage, &'static str),
        fx: &mut Effects,
    ) -> Result<bool, Refusal> {
        match self.stage_of(session, id) {
            None => Ok(false),
            Some(at) if at == stage => {
                self.end(now, session, id, fx);
                Ok(true)
            }
            Some(_) => Err(refusal(ReasonCode::ProtocolError, wrong)),
        }
    }

    /// PUBACK (section 3.4). A refusal is final too \[MQTT-4.4.0-2\] \[MQTT-4.8.2-6\].
    pub(super) fn on_puback(
        &mut self,
        now: Time,
        session: SessionKey,
        ack: &Ack<'_>,
        fx: &mut Effects,
    ) -> Result<(), Refusal> {
        let last = (Stage::Publish1, "PUBACK for a QoS 2 message");
        let known = self.on_last_answer(now, session, ack.packet_id, last, fx)?;
        self.counters.refused_by_clients += u64::from(known && ack.reason.is_error());
        Ok(())
    }

    /// PUBREC (section 3.5).
    pub(super) fn on_pubrec(
        &mut self,
        now: Time,
        link: LinkKey,
        session: SessionKey,
        ack: &Ack<'_>,
        fx: &mut Effects,
    ) -> Result<(), Refusal> {
        let id = ack.packet_id;
        match self.stage_of(session, id) {
            Some(Stage::Publish1) => {
                Err(refusal(ReasonCode::ProtocolError, "PUBREC for a QoS 1 message"))
            }
            Some(_) if ack.reason.is_error() => {
                self.counters.refused_by_clients += 1;
                self.end(now, session, id, fx);
                Ok(())
            }
            None if ack.reason.is_error() => Ok(()),
            None => {
                let packet = HeldPacket::PubRel(id, ReasonCode::PacketIdentifierNotFound);
                self.send_when(now, link, packet, Until::default(), fx);
                Ok(())
            }
            Some(stage) => {
                let Some(s) = self.sessions.get_mut(session) else { return Ok(()) };
                let before = s.outbound.bytes();
                s.outbound.release(id);
                self.counters.in_flight_bytes -= (before - s.outbound.bytes()) as u64;
                let safety = self.limits.identifier_safety; // as PUBLISH
                let mut until = Until { safety, ..Until::default() };
                let order = s.outbound.get_mut(id).map_or(0, |entry| entry.order);
                if stage == Stage::Publish2 && order > 0 {
                    let (session, before) = (s.number, self.seq);
                    self.record(fx, Record::Released { session, order });
                    until.records = self.since(before);
                }
                self.send_when(now, link, HeldPacket::PubRel(id, ReasonCode::Success), until, fx);
                Ok(())
            }
        }
    }

    /// PUBCOMP (section 3.7).
    pub(super) fn on_pubcomp(
        &mut self,
        now: Time,
        session: SessionKey,
        ack: &Ack<'_>,
        fx: &mut Effects,
    ) -> Result<(), Refusal> {
        let last = (Stage::Release, "PUBCOMP for a message without PUBREL");
        self.on_last_answer(now, session, ack.packet_id, last, fx).map(drop)
    }

    /// PUBREL (section 3.6): the identifier is free once its release is committed.
    pub(super) fn on_pubrel(
        &mut self,
        now: Time,
        link: LinkKey,
        session: SessionKey,
        ack: &Ack<'_>,
        fx: &mut Effects,
    ) {
        let packet_id = ack.packet_id;
        let Some(l) = self.links.get(link) else { return };
        let mut until = Until { safety: self.safety_of_release(l), ..Until::default() };
        let (mut reason, mut counted) = (ReasonCode::Success, false);
        let Some(s) = self.sessions.get_mut(session) else { return };
        let known = s.inbound.get_mut(packet_id).map(|known| {
            let counted = std::mem::take(&mut known.counted);
            InboundId { counted, ..*known }
        });
        match known {
            None => reason = ReasonCode::PacketIdentifierNotFound,
            Some(entry) if self.release_with_seal(entry.wait) => {
                (until.wait, counted) = (entry.wait, entry.counted);
            }
            Some(entry) => {
                let Some(s) = self.sessions.get_mut(session) else { return };
                s.inbound.remove(packet_id);
                if s.is_persistent() {
                    let (session, before) = (s.number, self.seq);
                    self.record(fx, Record::InboundEnd { session, packet_id });
                    until.records = self.since(before);
                }
                // What its PUBREC waited for, this one need not: but the log is causal, and the
                // gate releases in order.
                until.wait = entry.wait;
                counted = entry.counted;
            }
        }
        self.send_when(now, link, HeldPacket::PubComp(packet_id, reason, counted), until, fx);
    }
}
