//! Those who publish: with a session that stays, several messages under way, QoS 1 and 2 mixed, and
//! everything sent again after a crash that the specification wants sent again. And those whose
//! Will speaks for them.
//!
//! Invariant: an acknowledgement counts once it was read, and answers the oldest of its kind.

use std::collections::VecDeque;

use stonechat::codec::{self, Connect, Packet, Publish, QoS, Version};

use super::ledger::{Ledger, Sent, payload};
use super::stage::{Act, Link, Over, Stage};
use crate::support::Random;
use crate::support::client::{Heard, ack, persistent, publish, will};

pub(crate) struct Publisher {
    pub(crate) name: &'static str,
    pub(crate) version: Version,
    pub(crate) window: usize,
    pub(crate) seed: u64,
}

struct Flight {
    id: u16,
    serial: usize,
    topic: String,
    qos: QoS,
    retain: bool,
}

struct Run<'a> {
    stage: &'a Stage,
    ledger: &'a Ledger,
    name: &'static str,
    version: Version,
    random: Random,
    /// in the order of sending; those that are released in the order of their PUBRECs, behind them
    flights: VecDeque<Flight>,
    releases: VecDeque<Flight>,
    next_id: u16,
}

impl Publisher {
    pub(crate) fn play(&self, stage: &Stage, ledger: &Ledger) -> Result<(), Over> {
        let mut run = Run {
            stage,
            ledger,
            name: self.name,
            version: self.version,
            random: Random(self.seed),
            flights: VecDeque::new(),
            releases: VecDeque::new(),
            next_id: 0,
        };
        let mut link = stage.connect(0, || persistent(self.version, self.name))?;
        stage.change(|state| state.done += 1);
        stage.wait("the beginning", |state| (state.act >= Act::Publishing).then_some(()))?;
        loop {
            if run.talk(&mut link, self.window) {
                stage.change(|state| state.done += 1);
                return Ok(());
            }
            link = stage.connect(link.life, || persistent(self.version, self.name))?;
            assert!(link.present, "the session is gone");
            run.send_again(&mut link);
        }
    }
}

impl Run<'_> {
    /// Publishes until nothing is left to say (true), or the link ends.
    fn talk(&mut self, link: &mut Link, window: usize) -> bool {
        loop {
            if self.stage.act() == Act::Publishing {
                let mut bytes = Vec::new();
                while self.flights.len() + self.releases.len() < window {
                    self.publish_next(&mut bytes);
                }
                link.client.try_send_bytes(&bytes);
            } else if self.flights.is_empty() && self.releases.is_empty() {
                return true;
            }
            match link.client.hear() {
                Heard::PubAck(id, 0 | 0x10) => self.on_ack(id, QoS::AtLeastOnce),
                Heard::PubRec(id, 0 | 0x10) => {
                    self.on_ack(id, QoS::ExactlyOnce);
                    link.client.try_send(&Packet::PubRel(ack(id)));
                }
                // 0x92: an earlier PUBREL was worked off, and its PUBCOMP lost.
                Heard::PubComp(id, 0 | 0x92) => {
                    let at = self.releases.iter().position(|flight| flight.id == id);
                    self.releases.remove(at.expect("a PUBCOMP for nothing"));
                }
                Heard::End => return false,
                other => panic!("heard {other:?}"),
            }
        }
    }

    fn on_ack(&mut self, id: u16, qos: QoS) {
        let at = self.flights.iter().position(|flight| flight.qos == qos);
        let flight = self.flights.remove(at.expect("an acknowledgement of nothing")).unwrap();
        assert_eq!(flight.id, id, "acknowledged out of order, {qos:?}");
        self.ledger.acknowledged(self.name, flight.serial);
        self.stage.count(|state| state.acknowledged += 1);
        if qos == QoS::ExactlyOnce {
            self.releases.push_back(flight);
        }
    }

    fn publish_next(&mut self, bytes: &mut Vec<u8>) {
        let name = self.name;
        let (topic, qos, retain) = match self.random.below(10) {
            0..=2 => (format!("a/{name}/1"), QoS::AtLeastOnce, false),
            3..=5 => (format!("a/{name}/2"), QoS::ExactlyOnce, false),
            6 => (format!("r/{name}/1"), QoS::AtLeastOnce, true),
            7 => (format!("r/{name}/2"), QoS::ExactlyOnce, true),
            8 => (format!("s/{name}/1"), QoS::AtLeastOnce, false),
            _ => (format!("s/{name}/2"), QoS::ExactlyOnce, false),
        };
        let at = self.stage.tick();
        let sent = Sent { topic: topic.clone(), qos, retain, at, acknowledged: false };
        let serial = self.ledger.sent(name, sent);
        loop {
            self.next_id = self.next_id % 500 + 1;
            let mut taken = self.flights.iter().chain(&self.releases);
            if taken.all(|flight| flight.id != self.next_id) {
                break;
            }
        }
        let flight = Flight { id: self.next_id, serial, topic, qos, retain };
        encode(&flight, name, false, self.version, bytes);
        self.flights.push_back(flight);
    }

    /// What a session that goes on owes: PUBRELs in the order of the PUBRECs, PUBLISHes in the
    /// order of the first time, with DUP [MQTT-4.4.0-1].
    fn send_again(&mut self, link: &mut Link) {
        let mut bytes = Vec::new();
        for flight in &self.releases {
            codec::encode(&Packet::PubRel(ack(flight.id)), self.version, &mut bytes);
        }
        for flight in &self.flights {
            encode(flight, self.name, true, self.version, &mut bytes);
        }
        link.client.try_send_bytes(&bytes);
    }
}

fn encode(flight: &Flight, from: &str, dup: bool, version: Version, bytes: &mut Vec<u8>) {
    let payload = payload(from, flight.serial);
    let packet = publish(&flight.topic, &payload, flight.qos, flight.id);
    let packet = Publish { dup, retain: flight.retain, ..packet };
    codec::encode(&Packet::Publish(packet), version, bytes);
}

/// A client that says nothing; each of its connections has a Will. If it is `delayed`, the client
/// is back before the time of the Will, which is never published then.
pub(crate) struct Testator {
    pub(crate) name: &'static str,
    pub(crate) version: Version,
    pub(crate) delayed: bool,
}

impl Testator {
    pub(crate) fn play(&self, stage: &Stage, ledger: &Ledger) -> Result<(), Over> {
        let mut link: Option<Link> = None;
        let topic: &'static str = Box::leak(format!("w/{}", self.name).into_boxed_str());
        loop {
            let (qos, retain) = (QoS::AtLeastOnce, false);
            let sent = Sent { topic: topic.into(), qos, retain, at: 0, acknowledged: false };
            let serial = ledger.sent(self.name, sent);
            // The Will of a CONNECT that is not answered may speak.
            self.may_speak(stage, ledger, serial);
            let text: &'static [u8] = Box::leak(payload(self.name, serial).into_boxed_slice());
            let after = link.as_ref().map_or(0, |link| link.life);
            let connected = stage.connect(after, || self.connect(topic, text))?;
            assert!(link.is_none() || connected.present, "the session is gone");
            if link.is_none() {
                stage.change(|state| state.done += 1);
            }
            let link = link.insert(connected);
            if self.wait_for_the_end(stage, link)? {
                return Ok(());
            }
            if !self.delayed {
                ledger.acknowledged(self.name, serial);
            }
        }
    }

    fn may_speak(&self, stage: &Stage, ledger: &Ledger, serial: usize) {
        if !self.delayed {
            let at = stage.tick();
            ledger.lock().get_mut(self.name).unwrap()[serial].at = at;
        }
    }

    fn connect(&self, topic: &'static str, text: &'static [u8]) -> Connect<'static> {
        let delay_s = if self.delayed { 3000 } else { 0 };
        let mut will = will(topic, text, QoS::AtLeastOnce);
        will.delay_s = delay_s;
        Connect { will: Some(will), ..persistent(self.version, self.name) }
    }

    /// True if it has left in order, which discards the Will; false if the broker died.
    fn wait_for_the_end(&self, stage: &Stage, link: &mut Link) -> Result<bool, Over> {
        let is_over = stage.wait_in_life(link.life, "the end", |state| {
            (state.act >= Act::Closing).then_some(())
        })?;
        if !is_over {
            return Ok(false);
        }
        link.client.try_send(&Packet::Disconnect(codec::Disconnect::default()));
        assert_eq!(link.client.hear(), Heard::End);
        stage.change(|state| state.done += 1);
        Ok(true)
    }
}
