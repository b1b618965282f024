//! One message to one session: sent now, put in flight, queued, or dropped by a named limit. The
//! acknowledgements that come back are in `answered.rs`.
//!
//! Invariants: QoS 1 and 2 messages of a session leave in the order in which they came; nothing
//! is in flight beyond the client's Receive Maximum \[MQTT-3.3.4-9\]; every message that is
//! dropped is counted.

use triomphe::Arc;

use super::inflight::{InFlight, Stage};
use super::input::{Effects, LinkKey, SessionKey};
use super::link::{Alias, Link};
use super::message::Message;
use super::pending::{HeldPacket, Until};
use super::publication::Publication;
use super::record::{DropReason, Record};
use super::seal::SealRef;
use super::session::{Extra, Queued, Session};
use super::shared::MinQoS;
use super::{Broker, Time};
use crate::codec::{Ack, Packet, PacketId, QoS, ReasonCode};

/// How many messages one call sends for one session before others have their turn.
pub(super) const PUMP_MESSAGES_MAX: usize = 1024;

/// What differs from receiver to receiver.
struct Out<'a> {
    dup: bool,
    qos: QoS,
    retain: bool,
    packet_id: Option<PacketId>,
    extra: Option<&'a Arc<Extra>>,
}

impl Broker {
    /// Whether a QoS 1 or 2 message for the session would be sent at once.
    pub(super) fn has_room(&self, session: SessionKey, fx: &Effects) -> bool {
        let Some(s) = self.sessions.get(session) else { return false };
        let Some(l) = s.link.and_then(|l| self.links.get(l)) else { return false };
        l.ready
            && s.queue.is_empty()
            && !s.outbound.has_unsent()
            && s.outbound.used() < l.window
            && s.outbound.has_free_id()
            && self.limits.lets_under_way(s.outbound.bytes(), &self.counters)
            && self.limits.lets_out(&fx.sends, l.key)
    }

    /// Delivers to one session.
    #[expect(
        clippy::too_many_arguments,
        reason = "the hot path: a struct would be built per receiver"
    )]
    pub(super) fn deliver(
        &mut self,
        now: Time,
        to: SessionKey,
        publication: &mut Publication<'_>,
        granted: QoS,
        retain: bool,
        extra: Option<&Arc<Extra>>,
        fx: &mut Effects,
    ) {
        let asks = publication.qos().min_with(granted) != QoS::AtMostOnce;
        let room = asks && self.has_room(to, fx);
        self.deliver_within(now, to, publication, granted, retain, extra, room, fx);
    }

    /// The same, where it is known whether a QoS 1 or 2 message would be sent at once.
    #[expect(
        clippy::too_many_arguments,
        reason = "the hot path: a struct would be built per receiver"
    )]
    pub(super) fn deliver_within(
        &mut self,
        now: Time,
        to: SessionKey,
        publication: &mut Publication<'_>,
        granted: QoS,
        retain: bool,
        extra: Option<&Arc<Extra>>,
        room: bool,
        fx: &mut Effects,
    ) {
        let qos = publication.qos().min_with(granted);
        if qos == QoS::AtMostOnce {
            self.deliver_qos0(now, to, publication, retain, extra, fx);
            return;
        }
        if room && self.is_never_sent_again(to, publication, extra) {
            self.send_unkept(now, to, publication, qos, retain, extra, fx);
            return;
        }
        if !room && extra.is_none() && self.queue_plain(to, publication, qos, fx) {
            return;
        }
        let message = match room {
            true => publication.message(&mut self.spent, &mut self.scratch),
            false => publication.message_for(&mut self.spent, &mut self.scratch),
        };
        let seal = match publication.is_unsealed() {
            false => SealRef::default(),
            true => self.seal_ref(publication, to),
        };
        let mut queued = Queued { message, extra: extra.cloned(), order: 0, seal, qos, retain };
        if room && (seal.is_none() || qos == QoS::AtLeastOnce) {
            self.record_queued(to, &mut queued, fx);
            self.put_in_flight(now, to, queued, publication, fx);
        } else {
            self.enqueue(to, queued, fx);
        }
    }

    /// Whether nobody will need the message once it is sent: the session ends with its Network
    /// Connection (which no DISCONNECT can change), the log does not know it, and no other member
    /// of a group takes the message over.
    fn is_never_sent_again(
        &self,
        to: SessionKey,
        publication: &Publication<'_>,
        extra: Option<&Arc<Extra>>,
    ) -> bool {
        let Some(s) = self.sessions.get(to) else { return false };
        let shared = extra.is_some_and(|e| e.group.is_some());
        !shared && !s.is_persistent() && !s.is_recorded() && !publication.is_unsealed()
    }

    /// Sends under the next Packet Identifier what is never sent again: only the identifier is
    /// kept.
    #[expect(
        clippy::too_many_arguments,
        reason = "the hot path: a struct would be built per receiver"
    )]
    fn send_unkept(
        &mut self,
        now: Time,
        to: SessionKey,
        publication: &mut Publication<'_>,
        qos: QoS,
        retain: bool,
        extra: Option<&Arc<Extra>>,
        fx: &mut Effects,
    ) {
        let Some(s) = self.sessions.get_mut(to) else { return };
        let Some(link) = s.link else { return };
        let stage = Stage::first(qos);
        let (order, seal) = (0, SealRef::default());
        let (dup, sent) = (true, true);
        let entry = InFlight { message: None, extra: None, order, seal, stage, retain, dup, sent };
        let packet_id = s.outbound.push(entry);
        self.counters.in_flight += 1;
        let out = Out { dup: false, qos, retain, packet_id: Some(packet_id), extra };
        self.write_in_flight(now, link, to, publication, &out, fx);
    }

    /// The log is told of an entry of a persistent session, which gets its number in the session.
    fn record_queued(&mut self, to: SessionKey, entry: &mut Queued, fx: &mut Effects) {
        let Some(s) = self.sessions.get_mut(to) else { return };
        if !entry.claim().is_recorded(s) {
            return;
        }
        s.last_order += 1;
        entry.order = s.last_order;
        let record = entry.clone().into_record(s.number);
        self.record(fx, record);
    }

    fn deliver_qos0(
        &mut self,
        now: Time,
        to: SessionKey,
        publication: &mut Publication<'_>,
        retain: bool,
        extra: Option<&Arc<Extra>>,
        fx: &mut Effects,
    ) {
        let Some(s) = self.sessions.get(to) else {
            self.counters.stale_inputs += 1;
            return;
        };
        match s.link.filter(|&l| self.links.get(l).is_some_and(|l| l.ready)) {
            // Behind those that were queued while it was offline [MQTT-4.6.0-6].
            Some(_) if s.queue.has_qos0() => {
                self.enqueue_qos0(to, publication, retain, extra, fx);
            }
            Some(link) => {
                if !self.limits.lets_out(&fx.sends, link) {
                    let own = fx.sends.backlog(link) >= self.limits.output_bytes_max;
                    self.counters.dropped_qos0 += u64::from(own);
                    self.counters.dropped_qos0_total += u64::from(!own);
                    return;
                }
                let qos = QoS::AtMostOnce;
                let out = Out { dup: false, qos, retain, packet_id: None, extra };
                self.write(now, link, publication, &out, fx);
            }
            None if self.limits.queue_qos0 && s.is_persistent() && !self.no_room => {
                self.enqueue_qos0(to, publication, retain, extra, fx);
            }
            None => self.counters.dropped_qos0_offline += 1,
        }
    }

    fn enqueue_qos0(
        &mut self,
        to: SessionKey,
        publication: &mut Publication<'_>,
        retain: bool,
        extra: Option<&Arc<Extra>>,
        fx: &mut Effects,
    ) {
        let message = publication.message(&mut self.spent, &mut self.scratch);
        let (extra, qos, seal) = (extra.cloned(), QoS::AtMostOnce, SealRef::default());
        let entry = Queued { message, extra, order: 0, seal, qos, retain };
        if entry.cost_bytes() > self.queue_room(to) {
            self.counters.dropped_qos0_queue += 1; // the log does not keep it
            return;
        }
        self.enqueue(to, entry, fx);
    }

    /// Assigns the next Packet Identifier and sends; QoS 2 to a persistent session only once the
    /// identifier is committed.
    fn put_in_flight(
        &mut self,
        now: Time,
        to: SessionKey,
        queued: Queued,
        publication: &mut Publication<'_>,
        fx: &mut Effects,
    ) {
        let Queued { message, extra, order, mut seal, qos, retain } = queued;
        if !seal.is_none() && self.is_sealed(seal) {
            self.drop_seal_ref(std::mem::take(&mut seal));
        }
        let Some(s) = self.sessions.get_mut(to) else { return };
        let Some(link) = s.link else { return };
        let stage = Stage::first(qos);
        // One that the log does not know waits for those before it that do wait: it may be new in a
        // session that was resumed with an expiry of 0.
        let others_wait = || self.links.get(link).is_some_and(|l| !l.held.is_empty());
        let gated = stage == Stage::Publish2 && (order > 0 || s.is_recorded() && others_wait());
        let dup = !gated; // sent below
        let extra_too = extra.clone();
        let message = Some(message);
        let sent = true;
        let entry = InFlight { message, extra: extra_too, order, seal, stage, retain, dup, sent };
        let before = s.outbound.bytes();
        let packet_id = s.outbound.push(entry);
        self.counters.in_flight += 1;
        self.counters.in_flight_bytes += (s.outbound.bytes() - before) as u64;
        let (session, before) = (s.number, self.seq);
        if order > 0 {
            self.record(fx, Record::InFlight { session, order, packet_id });
        }
        if gated {
            // Not by the message: the identifier outlives it, and a client that was sent it and
            // not its end takes the next message under it for this one. That may be a safer one.
            let (records, safety) = (self.since(before), self.limits.identifier_safety);
            let until = Until { records, safety, ..Until::default() };
            self.send_when(now, link, HeldPacket::Publish2(packet_id), until, fx);
            return;
        }
        let extra = extra.as_ref();
        let out = Out { dup: false, qos, retain, packet_id: Some(packet_id), extra };
        self.write_in_flight(now, link, to, publication, &out, fx);
    }

    /// Sends what stands in flight under `id`.
    pub(super) fn send_in_flight(
        &mut self,
        now: Time,
        link: LinkKey,
        id: PacketId,
        fx: &mut Effects,
    ) {
        let Some(session) = self.links.get(link).map(|l| l.session) else { return };
        let Some(s) = self.sessions.get_mut(session) else { return };
        let Some(entry) = s.outbound.get_mut(id) else { return };
        let Some(message) = entry.message.clone() else { return };
        let qos = if entry.stage == Stage::Publish2 { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
        let (retain, extra) = (entry.retain, entry.extra.clone());
        let dup = std::mem::replace(&mut entry.dup, true);
        let out = Out { dup, qos, retain, packet_id: Some(id), extra: extra.as_ref() };
        if !self.write_in_flight(now, link, session, &mut Publication::of(&message), &out, fx) {
            self.more_work(session); // no acknowledgement will say that there is room again
        }
    }

    /// Appends a PUBLISH to the link's outbox. False if it is larger than the client takes
    /// \[MQTT-3.1.2-24\].
    fn write(
        &mut self,
        now: Time,
        link: LinkKey,
        publication: &mut Publication<'_>,
        out: &Out<'_>,
        fx: &mut Effects,
    ) -> bool {
        let Some(l) = self.links.get_mut(link) else { return true };
        let version = l.version;
        let ids: &[u32] = out.extra.map_or(&[], |e| &e.subscription_ids);
        let written = if l.alias_out_max > 0 || (!ids.is_empty() && l.version.is_v5()) {
            write_own(now, l, publication, out, ids, fx)
        } else {
            let max = l.maximum_packet_size;
            let v = publication.variant(now, version, out.qos, out.retain, &mut self.encoded);
            let fits = v.packet_len <= max as usize;
            if fits {
                let bytes = &self.encoded[v.start..v.end];
                fx.sends.append(link, |buffer| {
                    let at = buffer.len();
                    buffer.extend_from_slice(bytes);
                    if let Some(id) = out.packet_id {
                        let flags = (out.qos as u8) << 1 | u8::from(out.dup) << 3;
                        buffer[at] = buffer[at] & 0b1111_0001 | flags;
                        let at = at + v.packet_id_at;
                        buffer[at..at + 2].copy_from_slice(&id.get().to_be_bytes());
                    }
                });
            }
            fits
        };
        if !written {
            self.counters.dropped_too_large += 1;
            return false;
        }
        let (spent, scratch) = (&mut self.spent, &mut self.scratch);
        if let Some(end) = publication.referred(version, &fx.sends, spent, scratch) {
            fx.sends.append_end(link, end);
        }
        self.counters.packets_sent += 1;
        self.counters.publish_sent += 1;
        self.counters.publish_bytes_sent += publication.payload_len() as u64;
        true
    }

    /// The same for what is in flight. If it is too large for this client it is over, as if it had
    /// been delivered \[MQTT-3.1.2-25\].
    #[inline]
    fn write_in_flight(
        &mut self,
        now: Time,
        link: LinkKey,
        session: SessionKey,
        publication: &mut Publication<'_>,
        out: &Out<'_>,
        fx: &mut Effects,
    ) -> bool {
        let written = self.write(now, link, publication, out, fx);
        if !written && let Some(id) = out.packet_id {
            self.complete(session, id, Some(DropReason::TooLarge), fx);
        }
        written
    }

    /// Queues for a session, within the limits.
    pub(super) fn enqueue(&mut self, to: SessionKey, mut entry: Queued, fx: &mut Effects) {
        if !self.make_room_or_drop(to, entry.claim(), fx) {
            self.drop_seal_ref(entry.seal);
            return;
        }
        let sealed = entry.seal.is_none() || self.is_sealed(entry.seal);
        let alone = sealed && self.is_for_log_alone(to, entry.claim());
        if !alone {
            self.record_queued(to, &mut entry, fx);
        }
        let Some(s) = self.sessions.get_mut(to) else {
            self.counters.stale_inputs += 1;
            return;
        };
        if alone {
            self.leave_to_log_alone(to, entry, fx);
        } else if entry.order > 0 || s.queue.has_tail() {
            self.put_in_queue(to, entry);
        } else {
            self.counters.queued_messages += 1;
            self.counters.queued_bytes += entry.cost_bytes() as u64;
            s.queue.push(entry);
        }
        self.was_queued(to, fx);
    }

    /// Something more waits in the session's queue.
    pub(super) fn was_queued(&mut self, to: SessionKey, fx: &mut Effects) {
        self.note_full(to);
        let Some(s) = self.sessions.get(to) else { return };
        if let Some(outbox) = s.link.and_then(|l| fx.sends.outbox_mut(l)) {
            outbox.wants_room = true;
        }
    }

    pub(super) fn dequeue(&mut self, session: SessionKey) -> Option<Queued> {
        let entry = self.sessions.get_mut(session)?.queue.pop()?;
        self.counters.queued_messages -= 1;
        self.counters.queued_bytes -= entry.cost_bytes() as u64;
        self.relieve(session);
        Some(entry)
    }

    pub(super) fn record_dropped(
        &mut self,
        session: SessionKey,
        entry: &Queued,
        why: DropReason,
        fx: &mut Effects,
    ) {
        self.drop_seal_ref(entry.seal);
        self.note_loss(session, why, u64::from(entry.qos != QoS::AtMostOnce));
        if let Some(s) = self.sessions.get(session)
            && entry.order > 0
        {
            let (session, order) = (s.number, entry.order);
            self.record(fx, Record::Dropped { session, order, why });
        }
    }

    /// Sends what the session's link has room for: first what is to be sent again, in order
    /// \[MQTT-4.4.0-1\], then its queue, the next part of which is read back in time.
    pub(super) fn pump(&mut self, now: Time, session: SessionKey, fx: &mut Effects) {
        if self.pump_memory(now, session, fx) {
            self.read_ahead(session, fx);
        }
    }

    /// Sends what is in memory; whether there is more on the log.
    fn pump_memory(&mut self, now: Time, session: SessionKey, fx: &mut Effects) -> bool {
        let mut tailed = false;
        for _ in 0..PUMP_MESSAGES_MAX {
            let Some(s) = self.sessions.get_mut(session) else { return false };
            tailed = s.queue.turn_to_tail();
            if !s.has_more() {
                return tailed;
            }
            let Some(l) = s.link.and_then(|l| self.links.get(l)).filter(|l| l.ready) else {
                return tailed;
            };
            let (link, window) = (l.key, l.window);
            if !self.limits.lets_out(&fx.sends, link) {
                if let Some(outbox) = fx.sends.outbox_mut(link) {
                    outbox.wants_room = true;
                }
                return tailed;
            }
            if let Some((id, entry)) = s.outbound.next_unsent(window) {
                match entry.stage {
                    Stage::Release => {
                        self.send(link, &Packet::PubRel(Ack::new(id, ReasonCode::Success)), fx);
                    }
                    _ => self.send_in_flight(now, link, id, fx),
                }
                continue;
            }
            if s.outbound.has_unsent() || !self.pump_queue(now, session, link, window, fx) {
                return tailed; // the window is full: an acknowledgement comes back here
            }
        }
        self.more_work(session);
        tailed
    }

    /// The same, and retained messages after it: there is room, or there may be.
    pub(super) fn go_on(&mut self, now: Time, session: SessionKey, fx: &mut Effects) {
        self.pump(now, session, fx);
        if self.sessions.get(session).is_some_and(Session::has_replays) {
            self.more_work(session);
        }
    }

    /// Sends the head of the queue; false if it has to wait or there is none.
    fn pump_queue(
        &mut self,
        now: Time,
        session: SessionKey,
        link: LinkKey,
        window: u16,
        fx: &mut Effects,
    ) -> bool {
        let Some(s) = self.sessions.get(session) else { return false };
        let Some(head) = s.queue.front() else { return false };
        let expired = head.message.is_expired(now);
        let waits = head.qos != QoS::AtMostOnce
            && (s.outbound.used() >= window
                || !s.outbound.has_free_id()
                || !self.limits.lets_under_way(s.outbound.bytes(), &self.counters)
                || head.qos == QoS::ExactlyOnce && !self.is_sealed(head.seal));
        if waits && !expired {
            return false;
        }
        let Some(entry) = self.dequeue(session) else { return false };
        if let Some(why) = self.is_not_for(session, &entry, expired) {
            self.record_dropped(session, &entry, why, fx);
            return true;
        }
        let message = entry.message.clone();
        let mut publication = Publication::of(&message);
        if entry.qos == QoS::AtMostOnce {
            let Queued { extra, qos, retain, .. } = &entry;
            let extra = extra.as_ref();
            let out = Out { dup: false, qos: *qos, retain: *retain, packet_id: None, extra };
            self.write(now, link, &mut publication, &out, fx);
        } else {
            self.put_in_flight(now, session, entry, &mut publication, fx);
        }
        true
    }

    /// Sends a retained message for a new subscription; the caller has seen that there is room.
    pub(super) fn send_retained(
        &mut self,
        now: Time,
        session: SessionKey,
        message: Message,
        granted: QoS,
        extra: Option<Arc<Extra>>,
        fx: &mut Effects,
    ) {
        let qos = message.qos().min_with(granted);
        let mut publication = Publication::of(&message);
        let message_too = message.clone();
        let (order, seal) = (0, SealRef::default());
        let mut entry = Queued { message: message_too, extra, order, seal, qos, retain: true };
        if qos == QoS::AtMostOnce {
            let Some(link) = self.sessions.get(session).and_then(|s| s.link) else { return };
            let extra = entry.extra.as_ref();
            let out = Out { dup: false, qos, retain: true, packet_id: None, extra };
            self.write(now, link, &mut publication, &out, fx);
        } else {
            self.record_queued(session, &mut entry, fx);
            self.put_in_flight(now, session, entry, &mut publication, fx);
        }
    }
}

/// The way for receivers with Topic Aliases or Subscription Identifiers: a head of their own.
fn write_own(
    now: Time,
    l: &mut Link,
    publication: &Publication<'_>,
    out: &Out<'_>,
    ids: &[u32],
    fx: &mut Effects,
) -> bool {
    let mut head = publication.head(now, l.version, out.qos, out.retain);
    head.dup = out.dup;
    head.packet_id = out.packet_id;
    head.subscription_ids = ids;
    let (version, max) = (l.version, l.maximum_packet_size as usize);
    let len = head.packet_len(version);
    if len > max {
        return false;
    }
    // An alias adds three bytes, and perhaps one to each of the two lengths before it.
    if l.alias_out_max > 0 && len + 5 <= max {
        let max = l.alias_out_max;
        match l.aliases().outgoing.assign(publication.topic().as_str(), max) {
            Alias::New(alias) => head.topic_alias = Some(alias),
            Alias::Known(alias) => {
                head.topic_alias = Some(alias);
                head.topic = None;
            }
        }
    }
    fx.sends.append(l.key, |buffer| {
        head.encode(version, buffer);
        if publication.is_inline(version) {
            buffer.extend_from_slice(publication.payload());
        }
    });
    true
}
