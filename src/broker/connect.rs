//! CONNECT, DISCONNECT and the ends of links and sessions.
//!
//! Invariants: a session has at most one link; a Network Connection's end is handled in one place
//! ([`Broker::end_link`]), a session's in one ([`Broker::end_session`]), whatever the cause.

use std::sync::Arc as StdArc;

use triomphe::Arc;

use super::asked::Asked;
use super::index::InterestIndex;
use super::inflight::Stage;
use super::input::{Effects, LinkKey, Opening, Question, SessionKey};
use super::link::Link;
use super::message::{Message, MessageParts, is_well_formed};
use super::pending::{HeldPacket, Until};
use super::publish::is_dollar_sys;
use super::record::{Record, WillRecord};
use super::seal::{EndUnderWay, EndingKey, SealRef};
use super::sends::Closing;
use super::session::{Extra, Session};
use super::timers::Timer;
use super::void::Span;
use super::{Broker, Common, Refusal, Time, refusal};
use crate::auth::acl::Class;
use crate::codec::{
    ConnAck, Connect, Disconnect, Packet, Property, QoS, ReasonCode, Version, encode,
    encode_within, encoded_len,
};

/// How a link ends, as far as its Will is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WillIs {
    /// DISCONNECT 0x00 came \[MQTT-3.14.4-3\]
    Discarded,
    /// anything else; a delay that runs is cancelled if the session is resumed \[MQTT-3.1.3-9\]
    Due,
}

impl Broker {
    /// A client that the porch let in.
    pub(super) fn on_opened(
        &mut self,
        now: Time,
        link: LinkKey,
        opening: &Opening<'_>,
        common: &mut impl Common,
        fx: &mut Effects,
    ) {
        fx.sends.open(link);
        let c = opening.connect;
        let class = self.rules.class_of(opening.identity, opening.client_id);
        let will_asked = match self.check_connect(now, opening, &class) {
            Ok(asked) => asked,
            Err(why) => return self.refuse(link, c, why, fx),
        };
        if self.lacks_room_for_session(now, opening.client_id, c) {
            self.counters.refused_no_room += 1;
            let why = refusal(ReasonCode::QuotaExceeded, "the store has no room");
            self.refuse(link, c, why, fx);
            return;
        }
        self.take_over(now, opening.client_id, common, fx);
        self.catch_up(now, opening.client_id, common, fx);
        let mut existing = self.find_session(opening.client_id);
        if c.clean_start
            && let Some(session) = existing.take()
        {
            self.end_session(now, session, common, fx); // [MQTT-3.1.2-4]
        }
        if let Err(why) = self.check_room(existing, c) {
            self.refuse(link, c, why, fx);
            return;
        }
        let session_present = existing.is_some();
        let session = existing.unwrap_or_else(|| self.new_session(opening.client_id));
        self.attach(now, (link, session), opening, &class, common.interests(), fx);
        let mut bytes = Vec::new();
        encode(&self.connack(opening, session_present), c.version, &mut bytes);
        let mut until = self.record_session(session, fx);
        until.safety = self.safety_of_connack(session, opening.safety);
        self.send_when(now, link, HeldPacket::ConnAck(bytes.into()), until, fx);
        if let Some(will) = c.will.as_ref().filter(|_| will_asked) {
            let question = Question::Publish(will.topic.as_str().into());
            self.ask(link, Asked::Will, question, fx);
        }
    }

    /// Whether a CONNECT may be accepted, and whether somebody has to be asked about its Will.
    fn check_connect(
        &mut self,
        now: Time,
        opening: &Opening<'_>,
        class: &Class,
    ) -> Result<bool, Refusal> {
        self.check_packet(opening)?;
        let will = opening.connect.will.as_ref().map(|will| will.topic);
        let owner = self.check_owner(now, opening.client_id, opening.identity);
        let checked = owner.and_then(|()| Self::check_will(will, class));
        self.counters.refused_not_authorized += u64::from(checked.is_err());
        checked
    }

    fn check_packet(&self, opening: &Opening<'_>) -> Result<(), Refusal> {
        let c = opening.connect;
        if c.authentication_method.is_some() && opening.authentication.is_none() {
            return Err(refusal(
                ReasonCode::BadAuthenticationMethod,
                "an Authentication Method that is not supported [MQTT-4.12.0-1]",
            ));
        }
        if opening.client_id.is_empty() {
            return Err(refusal(
                ReasonCode::ClientIdentifierNotValid,
                "an empty Client Identifier without Clean Session [MQTT-3.1.3-8]",
            ));
        }
        if encoded_len(&self.connack(opening, false), c.version) > c.maximum_packet_size as usize {
            return Err(refusal(
                ReasonCode::PacketTooLarge,
                "a Maximum Packet Size that CONNACK does not fit in [MQTT-3.1.2-24]",
            ));
        }
        let Some(will) = &c.will else { return Ok(()) };
        if will.retain && !self.limits.retain_available {
            return Err(refusal(
                ReasonCode::RetainNotSupported,
                "Will Retain where retained messages are not available [MQTT-3.2.2-13]",
            ));
        }
        if is_dollar_sys(will.topic) {
            return Err(refusal(ReasonCode::NotAuthorized, "a Will to $SYS"));
        }
        if !is_well_formed(will.properties, will.payload) {
            return Err(refusal(
                ReasonCode::PayloadFormatInvalid,
                "a Will whose Payload Format Indicator is 1 and whose payload is not UTF-8",
            ));
        }
        Ok(())
    }

    /// The named limits that a CONNECT can meet.
    fn check_room(&mut self, existing: Option<SessionKey>, c: &Connect<'_>) -> Result<(), Refusal> {
        let full = existing.is_none() && self.sessions.len() >= self.limits.sessions_max;
        // The Will of a session that is resumed gives its place to the new one.
        let old = existing.and_then(|s| self.sessions.get(s)).and_then(|s| s.will.as_deref());
        let old = (u64::from(old.is_some()), old.map_or(0, |w| w.message.cost_bytes() as u64));
        let wills = c.will.as_ref().is_some_and(|will| {
            let new = will.topic.as_str().len() + will.properties.as_bytes().len();
            let new = Message::cost_of(new + will.payload.len());
            let bytes = self.counters.will_bytes - old.1 + new as u64;
            self.counters.wills - old.0 >= self.limits.wills_max as u64
                || bytes > self.limits.will_bytes_max as u64
        });
        if !full && !wills {
            return Ok(());
        }
        self.counters.refused_connects += 1;
        let what = if full { "sessions_max is reached" } else { "the limit of Wills is reached" };
        Err(refusal(ReasonCode::QuotaExceeded, what))
    }

    /// Ends the link that the client still has \[MQTT-3.1.4-3\]. A session that ends with its
    /// connection ends here.
    fn take_over(
        &mut self,
        now: Time,
        client_id: &str,
        common: &mut impl Common,
        fx: &mut Effects,
    ) {
        let session = self.find_session(client_id).and_then(|s| self.sessions.get(s));
        let Some(old) = session.and_then(|s| s.link) else { return };
        let why = refusal(ReasonCode::SessionTakenOver, "another connection took the session over");
        self.tell_and_close(old, why, fx);
        self.end_link(now, old, WillIs::Due, common, fx);
    }

    /// What is due by now happens before the client comes back, even if its timer is late.
    fn catch_up(&mut self, now: Time, client_id: &str, common: &mut impl Common, fx: &mut Effects) {
        let Some(session) = self.find_session(client_id) else { return };
        let Some(s) = self.sessions.get(session) else { return };
        if s.ends_at() <= now {
            self.counters.sessions_expired += 1;
            self.end_session(now, session, common, fx);
        } else if s.will_at <= now {
            self.publish_will(now, session, common, fx);
        }
    }

    fn new_session(&mut self, client_id: &str) -> SessionKey {
        let session = self.sessions.insert(Session::new(client_id));
        self.name_session(client_id, session);
        self.counters.sessions += 1;
        session
    }

    /// Makes the link and ties it to its session.
    fn attach(
        &mut self,
        now: Time,
        (link, session): (LinkKey, SessionKey),
        opening: &Opening<'_>,
        class: &Class,
        index: &impl InterestIndex,
        fx: &mut Effects,
    ) {
        let c = opening.connect;
        self.take_will(session, fx); // resumed within the delay: never sent [MQTT-3.1.3-9]
        let keep_alive_s = self.keep_alive_s(c);
        let mut l = Link::new(link, session, now, opening, keep_alive_s, &self.limits);
        l.admit(opening.authentication.map(|(method, _)| method), opening.ends);
        l.has_inbound =
            self.sessions.get(session).is_some_and(|s| s.inbound.iter().next().is_some());
        let publisher = self.publisher_of(session);
        let will = c.will.as_ref().map(|_| Box::new(self.stored_will(publisher, &l, c)));
        self.links.insert(l);
        self.counters.links += 1;
        self.counters.connects += 1;
        if let Some(will) = &will {
            self.counters.wills += 1;
            self.counters.will_bytes += will.message.cost_bytes() as u64;
        }
        let expiry_s = c.session_expiry_s.min(self.limits.session_expiry_max_s);
        if let Some(s) = self.sessions.get_mut(session) {
            s.link = Some(link);
            s.lasts_still = s.is_kept() && expiry_s == 0;
            s.expiry_s = expiry_s;
            s.will = will;
            s.will_at = Time::NEVER;
            s.outbound.start_link();
            s.inbound.start_link();
        }
        self.set_rights(now, session, opening.identity, class, index);
        self.recheck_in_flight(session, fx);
        self.timers.arm(opening.ends, Timer::Ends(link));
        self.relieve(session); // one that ends with this link refuses nobody
        if let Some(l) = self.links.get(link) {
            self.timers.arm(l.keep_alive_deadline(), Timer::KeepAlive(link));
        }
    }

    fn stored_will(&mut self, publisher: u64, l: &Link, c: &Connect<'_>) -> WillRecord {
        let Some(will) = &c.will else { unreachable!("asked for with a Will only") };
        let expiry_s = will.properties.iter().find_map(|p| match p {
            Property::MessageExpiryInterval(s) => Some(s),
            _ => None,
        });
        let parts = MessageParts {
            qos: will.qos,
            retain: will.retain,
            expires: Time::NEVER,
            publisher,
            topic: will.topic,
            properties: will.properties,
            payload: will.payload,
        };
        let safety = self.safety_of(l, will.topic, will.qos);
        let message = Message::with_safety(&parts, safety, &mut self.scratch);
        WillRecord { message, delay_s: will.delay_s, expiry_s }
    }

    /// The log is told of a session that is kept, and of its Will. Returns what CONNACK waits for:
    /// its client counts on it that the one before, which Clean Start discarded or which had ended
    /// by itself, never comes back \[MQTT-3.1.2-4\]. Where the end of that one cannot be recorded
    /// yet, the new one is, whatever it is: after a crash the newest session of a client ends the
    /// older ones.
    fn record_session(&mut self, session: SessionKey, fx: &mut Effects) -> Until {
        let before = self.seq;
        let Some(s) = self.sessions.get(session) else { return Until::default() };
        if !s.is_persistent() && !s.is_recorded() {
            match self.end_under_way(&s.client_id) {
                EndUnderWay::None => return Until::default(),
                EndUnderWay::Recorded(end) => {
                    let records = Span { first: end, last: end };
                    return Until { records, ..Until::default() };
                }
                EndUnderWay::ToCome => {}
            }
        }
        let number = if s.is_recorded() { s.number } else { self.new_number() };
        let Some(s) = self.sessions.get_mut(session) else { return Until::default() };
        s.number = number;
        let (client_id, expiry_s, owner) = (s.client_id.clone(), s.expiry_s, s.owner());
        let will = s.will.as_deref().cloned();
        self.record(fx, Record::Session { session: number, client_id, expiry_s, owner });
        let mut until = Until::default();
        match self.will_under_way(session).filter(|_| will.is_some()) {
            // The log keeps that one until others have it, and takes this one then.
            Some(wait) => {
                self.remember_wait(wait);
                until.wait = Some(wait);
            }
            None if will.is_some() => self.record(fx, Record::Will { session: number, will }),
            None => {}
        }
        until.records = self.since(before);
        until
    }

    /// The Keep Alive in force: the client's, or the ceiling \[MQTT-3.2.2-22\]. 3.x clients cannot
    /// be told of a ceiling, so theirs stands.
    fn keep_alive_s(&self, c: &Connect<'_>) -> u16 {
        match (self.limits.keep_alive_max_s, c.keep_alive_s) {
            (0, asked) => asked,
            (_, asked) if !c.version.is_v5() => asked,
            (max, 0) => max,
            (max, asked) => asked.min(max),
        }
    }

    /// CONNACK (section 3.2): what is not said is available.
    fn connack<'a>(&'a self, opening: &Opening<'a>, session_present: bool) -> Packet<'a> {
        let c = opening.connect;
        let (limits, keep_alive_s) = (&self.limits, self.keep_alive_s(c));
        let granted = c.session_expiry_s.min(limits.session_expiry_max_s);
        let information = c.request_response_information && !limits.response_information.is_empty();
        let alias_max = limits.topic_alias_max;
        Packet::ConnAck(Box::new(ConnAck {
            session_present: session_present && c.version != Version::V31,
            session_expiry_s: (granted != c.session_expiry_s).then_some(granted),
            receive_maximum: (limits.receive_maximum < u16::MAX).then_some(limits.receive_maximum),
            retain_available: (!limits.retain_available).then_some(false),
            maximum_packet_size: u32::try_from(limits.packet_bytes_max).ok(),
            assigned_client_id: opening.assigned.then_some(opening.client_id),
            topic_alias_maximum: (alias_max > 0).then_some(alias_max),
            server_keep_alive_s: (keep_alive_s != c.keep_alive_s).then_some(keep_alive_s),
            response_information: information.then_some(limits.response_information.as_str()),
            authentication_method: opening.authentication.map(|(method, _)| method),
            authentication_data: opening
                .authentication
                .map(|(_, data)| data)
                .filter(|data| !data.is_empty()),
            ..ConnAck::default()
        }))
    }

    /// CONNACK with an error, and the end of a connection that never became a link.
    fn refuse(&mut self, link: LinkKey, c: &Connect<'_>, why: Refusal, fx: &mut Effects) {
        let ack =
            ConnAck { reason: why.reason, reason_string: Some(why.what), ..ConnAck::default() };
        let packet = Packet::ConnAck(Box::new(ack));
        fx.sends.append(link, |out| encode_within(&packet, c.version, c.maximum_packet_size, out));
        self.counters.packets_sent += 1;
        fx.sends.close(link, Closing { reason: why.reason, why: why.what });
    }

    /// CONNACK has left: what waits for the session goes out.
    pub(super) fn link_ready(&mut self, now: Time, link: LinkKey, fx: &mut Effects) {
        let Some(l) = self.links.get_mut(link) else { return };
        l.ready = true;
        let session = l.session;
        self.sessions.get_mut(session).into_iter().for_each(|s| s.lasts_still = false);
        self.count_member(session, Some(true), fx);
        self.go_on(now, session, fx);
    }

    /// DISCONNECT of the client (section 3.14).
    pub(super) fn on_disconnect(
        &mut self,
        now: Time,
        link: LinkKey,
        d: &Disconnect<'_>,
        common: &mut impl Common,
        fx: &mut Effects,
    ) -> Result<(), Refusal> {
        let Some(l) = self.links.get(link) else { return Ok(()) };
        let session = l.session;
        if let (Some(asked), Some(s)) = (d.session_expiry_s, self.sessions.get_mut(session)) {
            if !l.asked_expiry() && asked > 0 {
                return Err(refusal(
                    ReasonCode::ProtocolError,
                    "DISCONNECT with a Session Expiry Interval after 0 in CONNECT (3.14.2.2.2)",
                ));
            }
            // What was granted 0 was never logged, and stays so.
            if s.is_persistent() {
                s.expiry_s = asked.min(self.limits.session_expiry_max_s);
            }
        }
        let will = match d.reason {
            ReasonCode::Success => WillIs::Discarded,
            _ => WillIs::Due,
        };
        let why = "the client sent DISCONNECT";
        fx.sends.close(link, Closing { reason: d.reason, why });
        self.end_link(now, link, will, common, fx);
        Ok(())
    }

    /// Tells an MQTT 5.0 client why, and closes.
    pub(super) fn tell_and_close(&mut self, link: LinkKey, why: Refusal, fx: &mut Effects) {
        if let Some(l) = self.links.get(link)
            && l.ready
            && l.version.is_v5()
        {
            let packet = Packet::Disconnect(Disconnect {
                reason: why.reason,
                reason_string: l.wants_reasons().then_some(why.what),
                ..Disconnect::default()
            });
            self.send(link, &packet, fx);
        }
        fx.sends.close(link, Closing { reason: why.reason, why: why.what });
    }

    /// A Network Connection has ended, or is about to.
    pub(super) fn end_link(
        &mut self,
        now: Time,
        link: LinkKey,
        will: WillIs,
        common: &mut impl Common,
        fx: &mut Effects,
    ) {
        let Some(l) = self.links.remove(link) else { return };
        self.counters.links -= 1;
        let (session, will) = (l.session, Self::will_of(&l, will));
        self.drop_held(&l);
        let Some(s) = self.sessions.get_mut(session) else { return };
        s.link = None;
        s.offline_since = now;
        if let Some(replays) = &mut s.replays {
            replays.forget_held();
        }
        let (persistent, number, expiry_s) = (s.is_persistent(), s.number, s.expiry_s);
        let recorded = s.is_recorded();
        if will == WillIs::Discarded {
            self.take_will(session, fx);
        }
        if recorded {
            self.record(fx, Record::Disconnected { session: number, expiry_s });
        }
        if !persistent {
            self.end_session(now, session, common, fx);
            return;
        }
        let Some(s) = self.sessions.get_mut(session) else { return };
        let delay_s = s.will.as_ref().map(|w| w.delay_s);
        s.will_at = delay_s.map_or(Time::NEVER, |delay| now.plus_s(u64::from(delay)));
        self.count_member(session, Some(false), fx);
        if delay_s == Some(0) {
            self.publish_will(now, session, common, fx);
        }
        self.arm_session(session);
    }

    /// Acknowledgements that will never leave: what they wait for is forgotten, unless a QoS 2
    /// identifier still waits for the same.
    fn drop_held(&mut self, l: &Link) {
        let Some(s) = self.sessions.get(l.session) else { return };
        let mut waits = Vec::new();
        for wait in l.held_waits() {
            if !s.inbound.iter().any(|id| id.wait == Some(wait)) {
                waits.push(wait);
            }
        }
        for wait in waits {
            self.forget_wait(wait);
        }
    }

    /// Arms the session's timer for its end or its Will, whichever is first.
    pub(super) fn arm_session(&mut self, session: SessionKey) {
        let Some(s) = self.sessions.get_mut(session) else { return };
        let at = s.ends_at().min(s.will_at);
        if at < s.timer {
            s.timer = at;
            self.timers.arm(at, Timer::Session(session));
        }
    }

    /// Ends a session: its Will goes out, its subscriptions go, and shared QoS 1 messages that its
    /// client has not acknowledged go to other members \[MQTT-4.8.2-5\].
    pub(super) fn end_session(
        &mut self,
        now: Time,
        session: SessionKey,
        common: &mut impl Common,
        fx: &mut Effects,
    ) {
        self.count_member(session, None, fx);
        self.drop_subscriptions(session, common.interests(), fx);
        self.publish_will(now, session, common, fx);
        let Some(mut s) = self.sessions.remove(session) else { return };
        self.unname_session(&s.client_id, session);
        self.rules.leave(s.class());
        self.counters.sessions -= 1;
        self.counters.in_flight -= s.outbound.len() as u64;
        self.counters.in_flight_bytes -= s.outbound.bytes() as u64;
        let ending = self.begin_ending(session, &s);
        self.leave_tail(&mut s, ending);
        for entry in s.outbound.drain() {
            // QoS 2 too, as long as it was never sent.
            if entry.stage == Stage::Publish1 || !entry.dup {
                let of = ending.map(|ending| (ending, entry.order));
                self.reroute_shared(now, (entry.message, entry.extra), entry.seal, of, fx);
            }
            self.drop_seal_ref(entry.seal);
        }
        while let Some(entry) = s.queue.pop() {
            if entry.qos != QoS::AtMostOnce {
                let of = ending.map(|ending| (ending, entry.order));
                let message = (Some(entry.message), entry.extra);
                self.reroute_shared(now, message, entry.seal, of, fx);
            }
            self.drop_seal_ref(entry.seal);
        }
        self.forget_full(session);
        if let Some(ending) = ending {
            self.ending_goes_on(now, ending, fx);
        }
    }

    fn reroute_shared(
        &mut self,
        now: Time,
        (message, extra): (Option<Message>, Option<Arc<Extra>>),
        seal: SealRef,
        of: Option<(EndingKey, u64)>,
        fx: &mut Effects,
    ) {
        if let (Some(message), Some(extra)) = (message, extra)
            && let Some(group) = &extra.group
        {
            self.reroute_entry(now, (StdArc::clone(group), message), seal, of, fx);
        }
    }
}
