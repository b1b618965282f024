//! What a client does with what it receives, and what it insists on: CONNACK first, answers in
//! order, identifiers not reused, Receive Maximum, Maximum Packet Size and Topic Alias Maximum
//! kept.

use stonechat::codec::{
    Ack, ConnAck, Framed, Packet, Publish, ReasonCode, Sender, Version, decode, frame,
};

use super::clients::{Answer, Client, Stage, pid};
use super::oracle::Delivery;
use super::rng::Rng;
use super::shadow::{Shadow, serial_of};
use super::world::World;

impl Client {
    /// Bytes arrive at the client.
    pub fn net_in(
        &mut self,
        world: &mut World,
        shadow: &mut Shadow,
        rng: &mut Rng,
        most: usize,
    ) -> bool {
        let Some(id) = self.conn else { return false };
        let conn = &mut world.conns[id];
        let n = most.min(conn.down.len());
        self.cbuf.extend(conn.down.drain(..n));
        let (closed, empty) = (conn.server_closed, conn.down.is_empty());
        let mut at = 0;
        let bytes = std::mem::take(&mut self.cbuf);
        while let Ok(Framed::Whole(f)) = frame(&bytes[at..], usize::MAX) {
            let len = f.len;
            let max = self.is.maximum_packet_size;
            assert!(len <= max as usize, "{} got {len} bytes, at most {max}", self.name);
            let packet = decode(f, Sender::Server, self.is.version).unwrap();
            self.receive(world, shadow, rng, &packet);
            at += len;
        }
        self.cbuf = bytes[at..].to_vec();
        if closed && empty {
            self.conn = None;
            self.start_connection();
        }
        n > 0 || (closed && empty)
    }

    fn receive(
        &mut self,
        world: &mut World,
        shadow: &mut Shadow,
        rng: &mut Rng,
        packet: &Packet<'_>,
    ) {
        let Some(conn) = self.conn else { return };
        let known = self.connected || matches!(packet, Packet::ConnAck(_));
        assert!(known, "{}: {packet:?} before CONNACK", self.name);
        match packet {
            Packet::ConnAck(ack) => self.on_connack(world, shadow, conn, ack),
            Packet::Publish(p) => self.on_publish(world, shadow, conn, p),
            Packet::PubAck(a) => {
                let id = a.packet_id.get();
                assert_eq!(self.expect_puback.pop_front(), Some(id), "{}: PUBACKs", self.name);
                self.taken(shadow, id, Stage::Publish1, a.reason);
            }
            Packet::PubRec(a) => {
                let id = a.packet_id.get();
                assert_eq!(self.expect_pubrec.pop_front(), Some(id), "{}: PUBRECs", self.name);
                self.taken(shadow, id, Stage::Publish2, a.reason);
                if !a.reason.is_error() {
                    self.write(world, &Packet::PubRel(Ack::new(pid(id), ReasonCode::Success)));
                }
            }
            Packet::PubRel(a) => {
                let id = a.packet_id.get();
                // In the order of the PUBRECs [MQTT-4.6.0-4]; those of earlier links come first.
                if self.expect_pubrel.contains(&id) {
                    let first = self.expect_pubrel.pop_front();
                    assert_eq!(first, Some(id), "{}: PUBRELs out of order", self.name);
                }
                self.in2.remove(&id);
                self.answers.push_back(Answer::Comp(id));
            }
            Packet::PubComp(a) => {
                let id = a.packet_id.get();
                self.out.retain(|o| o.id != id || o.stage != Stage::Release);
            }
            Packet::SubAck(a) => {
                let refused = world.conns[conn].refused_subs.contains(&a.packet_id.get());
                let is_told = self.is.version != Version::V31;
                let denied = world.conns[conn].told.denied_subs.get(&a.packet_id.get());
                for (at, reason) in a.reasons.iter().enumerate() {
                    let denied = denied.is_some_and(|denied| denied.get(at) == Some(&true));
                    let told = (refused || denied) && is_told;
                    assert_eq!(reason.is_error(), told, "{}: {:?}", self.name, a.reasons);
                }
                let asked = self.subs_pending.remove(&a.packet_id.get());
                assert!(asked, "{}: a SUBACK that nobody asked for", self.name);
                shadow.suback(self.index, conn, a.packet_id.get());
            }
            Packet::UnsubAck(a) => {
                let asked = self.subs_pending.remove(&a.packet_id.get());
                assert!(asked, "{}: an UNSUBACK that nobody asked for", self.name);
            }
            Packet::Auth(auth) => self.on_auth(world, auth),
            Packet::PingResp | Packet::Disconnect(_) => {}
            other => panic!("{}: the broker sent {other:?}", self.name),
        }
        if self.connected && rng.percent(50) {
            self.answer(world, 1);
        }
    }

    fn on_connack(
        &mut self,
        world: &mut World,
        shadow: &mut Shadow,
        conn: usize,
        ack: &ConnAck<'_>,
    ) {
        assert!(!self.connected, "{}: a second CONNACK", self.name);
        let refused = world.conns[conn].refused;
        assert_eq!(ack.reason.is_error(), refused, "{}: {:?}", self.name, ack.reason);
        if refused {
            return;
        }
        assert_eq!(ack.authentication_method.is_some(), self.is.method, "{}", self.name);
        let (present, epoch) = (world.conns[conn].present, world.conns[conn].epoch);
        let told = present && self.is.version != Version::V31;
        assert_eq!(ack.session_present, told, "{}: Session Present", self.name);
        self.connected = true;
        self.must_clean = false;
        self.ready_at = shadow.tick();
        self.receive_maximum = match self.is.version {
            Version::V5 => ack.receive_maximum.unwrap_or(u16::MAX),
            _ => 20,
        };
        self.alias_max = ack.topic_alias_maximum.unwrap_or(0).min(4);
        if epoch != self.epoch {
            self.epoch = epoch;
            self.forget_session();
        }
        let relapses = self.is.relapses && self.had_alias && self.received.is_multiple_of(2);
        if relapses && self.alias_max > 0 {
            self.relapse(world, shadow);
            return;
        }
        for out in self.out.clone() {
            match out.stage {
                Stage::Release => {
                    self.write(world, &Packet::PubRel(Ack::new(pid(out.id), ReasonCode::Success)));
                }
                _ => self.write_publish(world, shadow, out.id, out.serial, true, None, None),
            }
        }
    }

    /// PUBACK or PUBREC: the broker has the message.
    fn taken(&mut self, shadow: &mut Shadow, id: u16, stage: Stage, reason: ReasonCode) {
        let at = self.out.iter().position(|o| o.id == id && o.stage == stage);
        let at = at.unwrap_or_else(|| panic!("{}: nothing under {id}", self.name));
        let ev = shadow.tick();
        let out = &mut self.out[at];
        if !reason.is_error() && !out.clear {
            shadow.msgs[out.serial].acked_at.get_or_insert(ev);
        }
        if stage == Stage::Publish1 || reason.is_error() {
            self.out.remove(at);
        } else {
            out.stage = Stage::Release;
        }
    }

    fn on_publish(&mut self, world: &World, shadow: &mut Shadow, conn: usize, p: &Publish<'_>) {
        self.received += 1;
        let alias = p.topic_alias.map_or(0, |a| a.get());
        assert!(alias <= self.is.topic_alias_maximum, "{}: Topic Alias Maximum", self.name);
        let topic = match p.topic {
            Some(topic) => topic.as_str().to_string(),
            None => self.aliases_in.get(&alias).cloned().unwrap_or_else(|| {
                panic!("{}: Topic Alias {alias} was never given a topic", self.name)
            }),
        };
        if alias > 0 {
            self.aliases_in.insert(alias, topic.clone());
        }
        let serial = serial_of(p.payload);
        let (id, qos) = (p.packet_id.map_or(0, |id| id.get()), p.qos as u8);
        let mut known2 = false;
        if qos > 0 {
            let fresh = self.unanswered.insert(id);
            assert!(fresh, "{}: identifier {id} is in flight already", self.name);
            let most = match self.is.receive_maximum {
                0 => usize::from(world.limits.in_flight_max),
                n => usize::from(n),
            };
            assert!(self.unanswered.len() <= most, "{}: Receive Maximum {most}", self.name);
        }
        match qos {
            1 => self.answers.push_back(Answer::Ack(id)),
            2 => {
                self.answers.push_back(Answer::Rec(id));
                if let Some(before) = self.in2.insert(id, serial) {
                    known2 = p.dup && before == serial;
                    let s = shadow.sessions[self.index].as_ref();
                    let forgotten = s.is_some_and(|s| s.forgotten);
                    assert!(known2 || forgotten, "{}: QoS 2 identifier {id}", self.name);
                }
            }
            _ => assert!(!p.dup),
        }
        if p.retain {
            self.retained_got.insert(topic.clone(), serial);
        }
        let (client, topic) = (self.index, topic.as_str());
        let Some(serial) = serial else {
            assert!(p.payload.is_empty() && topic.starts_with("r/"), "{}: {p:?}", self.name);
            return;
        };
        let d = Delivery { client, topic, serial, qos, dup: p.dup, retain: p.retain, known2 };
        shadow.delivered(world.conns[conn].epoch, &d);
    }
}
