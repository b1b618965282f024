//! The client's end of a Network Connection: what it may be sent, by what it was told and what it
//! sent itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use stonechat::codec::{
    Ack, ConnAck, Connect, DecodeError, Packet, PacketId, Publish, QoS, ReasonCode, SubAck, Version,
};

/// What the client has received of a message that it was sent with QoS 1 or 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Publish1,
    Publish2,
    /// it has sent PUBREC
    Received,
}

/// What it owes the broker an answer for.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// PUBACK
    Acknowledge(PacketId),
    /// PUBREC
    Receive(PacketId),
    /// PUBCOMP
    Complete(PacketId),
}

/// One connection as its client sees it.
pub struct Observer {
    pub version: Version,
    maximum_packet_size: usize,
    receive_maximum: usize,
    alias_max: u16,
    /// what CONNACK said, once it is there
    told: Option<Told>,
    ended: bool,
    aliases: BTreeMap<u16, String>,
    in_flight: BTreeMap<PacketId, Stage>,
    pub to_answer: VecDeque<Answer>,
    /// what the broker owes, oldest first
    pubacks: VecDeque<PacketId>,
    pubrecs: VecDeque<PacketId>,
    /// and whether the identifier was in use
    pubcomps: VecDeque<(PacketId, bool)>,
    subacks: VecDeque<(PacketId, usize)>,
    unsubacks: VecDeque<(PacketId, usize)>,
    pings: usize,
    /// what it sent: QoS 2 identifiers in use, and how many PUBLISHes are under way
    in_use: BTreeSet<PacketId>,
    under_way: usize,
    /// it used an identifier that was in use: its own counts are not to be trusted
    is_odd: bool,
    /// its aliases and the highest of them
    aliases_up: BTreeMap<u16, String>,
    alias_up_max: u16,
    /// it sent an alias of 0
    alias_zero: bool,
}

struct Told {
    receive_maximum: usize,
    topic_alias_maximum: u16,
}

impl Observer {
    pub fn new(c: &Connect<'_>) -> Self {
        Self {
            version: c.version,
            maximum_packet_size: c.maximum_packet_size as usize,
            receive_maximum: usize::from(c.receive_maximum.get()),
            alias_max: c.topic_alias_maximum,
            told: None,
            ended: false,
            aliases: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            to_answer: VecDeque::new(),
            pubacks: VecDeque::new(),
            pubrecs: VecDeque::new(),
            pubcomps: VecDeque::new(),
            subacks: VecDeque::new(),
            unsubacks: VecDeque::new(),
            pings: 0,
            in_use: BTreeSet::new(),
            under_way: 0,
            is_odd: false,
            aliases_up: BTreeMap::new(),
            alias_up_max: 0,
            alias_zero: false,
        }
    }

    /// The client sends a packet, which the broker is about to take. Returns the topic of a
    /// PUBLISH, where it has one.
    pub fn sends(&mut self, packet: &Packet<'_>) -> Option<String> {
        match packet {
            Packet::Publish(p) => return self.sends_publish(p),
            Packet::PubAck(ack) => self.answers(ack.packet_id, Stage::Publish1, None),
            Packet::PubRec(ack) => {
                let next = (!ack.reason.is_error()).then_some(Stage::Received);
                self.answers(ack.packet_id, Stage::Publish2, next);
            }
            Packet::PubComp(ack) => self.answers(ack.packet_id, Stage::Received, None),
            Packet::PubRel(ack) => {
                let id = ack.packet_id;
                self.pubcomps.push_back((id, self.in_use.remove(&id)));
            }
            Packet::Subscribe(s) if self.has_room(s.filters.len()) => {
                self.subacks.push_back((s.packet_id, s.filters.len()));
            }
            Packet::Unsubscribe(u) if self.has_room(u.filters.len()) => {
                self.unsubacks.push_back((u.packet_id, u.filters.len()));
            }
            Packet::PingReq => self.pings += 1,
            _ => {}
        }
        None
    }

    /// Whether a SUBACK with so many codes may be sent at all.
    fn has_room(&self, codes: usize) -> bool {
        5 + codes <= self.maximum_packet_size
    }

    /// An answer at the wrong stage is forgiven, and the identifier no longer followed.
    fn answers(&mut self, id: PacketId, stage: Stage, next: Option<Stage>) {
        if self.in_flight.remove(&id) == Some(stage)
            && let Some(next) = next
        {
            self.in_flight.insert(id, next);
        }
    }

    fn is_in_use(&self, id: PacketId) -> bool {
        let answered = self.pubacks.contains(&id) || self.pubrecs.contains(&id);
        answered || self.in_use.contains(&id) || self.pubcomps.iter().any(|(known, _)| *known == id)
    }

    /// The client sends what is no packet.
    pub fn sends_malformed(&mut self, error: &DecodeError) {
        // Other aliases are a packet's, and not known to the decoder.
        self.alias_zero |= error.reason == ReasonCode::TopicAliasInvalid;
    }

    fn sends_publish(&mut self, p: &Publish<'_>) -> Option<String> {
        if let Some(id) = p.packet_id {
            self.under_way += 1;
            self.is_odd |= self.is_in_use(id);
            if p.qos == QoS::ExactlyOnce {
                self.in_use.insert(id);
            }
            let owed =
                if p.qos == QoS::AtLeastOnce { &mut self.pubacks } else { &mut self.pubrecs };
            owed.push_back(id);
        }
        let alias = p.topic_alias.map(|a| a.get());
        self.alias_up_max = self.alias_up_max.max(alias.unwrap_or(0));
        match (p.topic, alias) {
            (Some(topic), alias) => {
                let topic = topic.as_str().to_owned();
                if let Some(alias) = alias {
                    self.aliases_up.insert(alias, topic.clone());
                }
                Some(topic)
            }
            (None, alias) => alias.and_then(|alias| self.aliases_up.get(&alias).cloned()),
        }
    }

    /// The broker has sent a packet of so many bytes. Returns the topic of a PUBLISH.
    pub fn gets(&mut self, packet: &Packet<'_>, len: usize) -> Option<String> {
        assert!(!self.ended, "something after the last packet: {packet:?}");
        assert!(len <= self.maximum_packet_size, "too large for the client: {packet:?}");
        if let Packet::ConnAck(ack) = packet {
            self.gets_connack(ack);
            return None;
        }
        assert!(self.told.is_some(), "something before CONNACK: {packet:?}");
        match packet {
            Packet::Publish(p) => return Some(self.gets_publish(p)),
            Packet::PubAck(ack) => {
                assert_eq!(self.pubacks.pop_front(), Some(ack.packet_id), "{packet:?}");
                self.under_way -= 1;
            }
            Packet::PubRec(ack) => {
                assert_eq!(self.pubrecs.pop_front(), Some(ack.packet_id), "{packet:?}");
                if ack.reason.is_error() && self.in_use.remove(&ack.packet_id) {
                    self.under_way -= 1;
                }
            }
            Packet::PubComp(ack) => {
                let (id, was_in_use) = self.pubcomps.pop_front().expect("PUBREL came before");
                assert_eq!(id, ack.packet_id, "{packet:?}");
                self.under_way -= usize::from(was_in_use);
            }
            Packet::PubRel(ack) => self.gets_pubrel(ack),
            Packet::SubAck(ack) => answered(&mut self.subacks, ack, true),
            Packet::UnsubAck(ack) => answered(&mut self.unsubacks, ack, self.version.is_v5()),
            Packet::PingResp => {
                assert!(self.pings > 0, "PINGRESP without PINGREQ");
                self.pings -= 1;
            }
            Packet::Disconnect(d) => self.gets_disconnect(d.reason),
            _ => panic!("the broker never sends {packet:?}"),
        }
        None
    }

    fn gets_connack(&mut self, ack: &ConnAck<'_>) {
        assert!(self.told.is_none(), "a second CONNACK");
        self.ended = ack.reason.is_error();
        self.told = Some(Told {
            receive_maximum: usize::from(ack.receive_maximum.unwrap_or(u16::MAX)),
            topic_alias_maximum: ack.topic_alias_maximum.unwrap_or(0),
        });
    }

    fn gets_publish(&mut self, p: &Publish<'_>) -> String {
        if let Some(id) = p.packet_id {
            let two = p.qos == QoS::ExactlyOnce;
            let stage = if two { Stage::Publish2 } else { Stage::Publish1 };
            let before = self.in_flight.insert(id, stage);
            assert_eq!(before, None, "{id} is in use");
            assert!(self.in_flight.len() <= self.receive_maximum, "above Receive Maximum");
            let answer = if two { Answer::Receive(id) } else { Answer::Acknowledge(id) };
            self.to_answer.push_back(answer);
        }
        let alias = p.topic_alias.map_or(0, |a| a.get());
        assert!(alias <= self.alias_max, "an alias above the client's maximum");
        match p.topic {
            Some(topic) => {
                let topic = topic.as_str().to_owned();
                if alias > 0 {
                    self.aliases.insert(alias, topic.clone());
                }
                topic
            }
            None => self.aliases.get(&alias).expect("an alias that was given").clone(),
        }
    }

    fn gets_pubrel(&mut self, ack: &Ack<'_>) {
        self.to_answer.push_back(Answer::Complete(ack.packet_id));
    }

    /// The end, and whether the client really did what it is told.
    fn gets_disconnect(&mut self, reason: ReasonCode) {
        self.ended = true;
        let Some(told) = &self.told else { return };
        match reason {
            ReasonCode::TopicAliasInvalid => {
                let (sent, most) = (self.alias_up_max, told.topic_alias_maximum);
                assert!(sent > most || self.alias_zero, "alias {sent} was allowed: up to {most}");
            }
            ReasonCode::ReceiveMaximumExceeded => {
                let (sent, most) = (self.under_way, told.receive_maximum);
                assert!(sent > most || self.is_odd, "{sent} under way were allowed: up to {most}");
            }
            _ => {}
        }
    }

    /// When all is quiet, everything is answered.
    pub fn is_quiet(&self) {
        if self.ended {
            return;
        }
        assert!(self.told.is_some(), "no CONNACK came");
        let owed = (&self.pubacks, &self.pubrecs, &self.pubcomps);
        let subs = (&self.subacks, &self.unsubacks, self.pings);
        let nothing = self.pubacks.is_empty() && self.pubrecs.is_empty();
        let nothing = nothing && self.pubcomps.is_empty() && self.pings == 0;
        let nothing = nothing && self.subacks.is_empty() && self.unsubacks.is_empty();
        assert!(nothing, "the broker still owes {owed:?} {subs:?}");
    }
}

fn answered(owed: &mut VecDeque<(PacketId, usize)>, ack: &SubAck<'_>, codes: bool) {
    let (id, filters) = owed.pop_front().expect("it was asked for");
    assert_eq!((ack.packet_id, ack.reasons.len()), (id, if codes { filters } else { 0 }));
}
