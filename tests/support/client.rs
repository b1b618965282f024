//! A small blocking client on the broker's own codec: it says exactly what it is told to, and
//! shows exactly what it hears.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::num::NonZeroU16;
use std::time::Duration;

use stonechat::codec::{
    self, Ack, Connect, Disconnect, Frame, Framed, Packet, Properties, Publish, QoS, ReasonCode,
    RetainHandling, Sender, Subscribe, SubscriptionOptions, UserProperties, Version, Will,
};
use stonechat::topic::{SubscriptionFilter, TopicName};

use super::broker::Broker;

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    pub(crate) id: u16,
}

/// What arrived. Codes are as they stand in the packet; 3.x acknowledgements have 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    ConnAck {
        present: bool,
        code: u8,
        assigned: Option<String>,
    },
    Publish(Got),
    PubAck(u16, u8),
    PubRec(u16, u8),
    PubRel(u16),
    PubComp(u16, u8),
    SubAck(Vec<u8>),
    UnsubAck,
    PingResp,
    Disconnect(u8),
    /// the connection is over
    End,
}

/// CONNECT of `version` with defaults: Clean Start, no Keep Alive, no Will.
pub(crate) fn connect(version: Version, client_id: &str) -> Connect<'_> {
    Connect::new(version, client_id)
}

/// CONNECT of a session that stays.
pub(crate) fn persistent(version: Version, client_id: &str) -> Connect<'_> {
    let expiry = if version.is_v5() { 3600 } else { u32::MAX };
    Connect { clean_start: false, session_expiry_s: expiry, ..connect(version, client_id) }
}

pub(crate) fn will<'a>(topic: &'a str, payload: &'a [u8], qos: QoS) -> Will<'a> {
    let topic = TopicName::new(topic).unwrap();
    Will { qos, retain: false, delay_s: 0, topic, properties: Properties::default(), payload }
}

/// The bytes of a packet.
pub(crate) fn bytes_of(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(packet, version, &mut bytes);
    bytes
}

pub(crate) fn publish<'a>(topic: &'a str, payload: &'a [u8], qos: QoS, id: u16) -> Publish<'a> {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: Some(TopicName::new(topic).unwrap()),
        packet_id: NonZeroU16::new(id).filter(|_| qos != QoS::AtMostOnce),
        topic_alias: None,
        message_expiry_s: None,
        properties: Properties::default(),
        payload,
    }
}

pub(crate) fn subscribe(filter: &str, qos: QoS, id: u16) -> Packet<'_> {
    let options = SubscriptionOptions {
        qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    };
    Packet::Subscribe(Subscribe {
        packet_id: NonZeroU16::new(id).unwrap(),
        subscription_id: None,
        user_properties: UserProperties::default(),
        filters: vec![(SubscriptionFilter::parse(filter).unwrap(), options)],
    })
}

pub(crate) fn ack(id: u16) -> Ack<'static> {
    Ack::new(NonZeroU16::new(id).unwrap(), ReasonCode::Success)
}

/// The client.
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    pub(crate) version: Version,
    buffer: Vec<u8>,
    at: usize,
    /// messages that came while something else was waited for
    waiting: VecDeque<Got>,
    next_id: u16,
}

impl Client {
    /// A connection on which nothing is said yet.
    pub(crate) fn bare(broker: &Broker, version: Version) -> Self {
        Self::over(broker.socket(), version)
    }

    pub(crate) fn over(socket: TcpStream, version: Version) -> Self {
        let (buffer, waiting) = (Vec::new(), VecDeque::new());
        Self { socket, version, buffer, at: 0, waiting, next_id: 0 }
    }

    /// Says `connect` and reads the answer.
    pub(crate) fn open(broker: &Broker, connect: Connect<'_>) -> (Self, Heard) {
        let mut client = Self::bare(broker, connect.version);
        client.send(&Packet::Connect(Box::new(connect)));
        let answer = client.hear();
        (client, answer)
    }

    /// Connects, which has to succeed; tells whether a session was there.
    pub(crate) fn with(broker: &Broker, connect: Connect<'_>) -> (Self, bool) {
        match Self::open(broker, connect) {
            (client, Heard::ConnAck { present, code: 0, .. }) => (client, present),
            (_, other) => panic!("{other:?}"),
        }
    }

    /// A v5 client with a clean session.
    pub(crate) fn new(broker: &Broker, client_id: &str) -> Self {
        Self::with(broker, connect(Version::V5, client_id)).0
    }

    pub(crate) fn send(&mut self, packet: &Packet<'_>) {
        let bytes = bytes_of(packet, self.version);
        self.send_bytes(&bytes);
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// To a broker that may have closed already.
    pub(crate) fn try_send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes);
    }

    /// To a broker that may have closed already.
    pub(crate) fn try_send(&mut self, packet: &Packet<'_>) {
        let _ = self.socket.write_all(&bytes_of(packet, self.version));
    }

    /// The next packet.
    pub(crate) fn hear(&mut self) -> Heard {
        loop {
            match codec::frame(&self.buffer[self.at..], usize::MAX).unwrap() {
                Framed::Whole(frame) => {
                    self.at += frame.len;
                    return heard(frame, self.version);
                }
                Framed::Partial { len } => self.make_room(len),
            }
            let old = self.buffer.len();
            self.buffer.resize(old + 65_536, 0);
            match self.socket.read(&mut self.buffer[old..]) {
                Ok(n) => self.buffer.truncate(old + n),
                Err(e) if e.kind() == ErrorKind::WouldBlock => panic!("nothing came"),
                Err(_) => self.buffer.truncate(old),
            }
            if self.buffer.len() == old {
                return Heard::End;
            }
        }
    }

    fn make_room(&mut self, len: Option<usize>) {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.reserve(len.unwrap_or(0).saturating_sub(self.buffer.len()) + 65_536);
    }

    /// The next message; acknowledges it as its QoS wants.
    pub(crate) fn message(&mut self) -> Got {
        if let Some(got) = self.waiting.pop_front() {
            return got;
        }
        loop {
            match self.hear() {
                Heard::Publish(got) => {
                    self.acknowledge(&got);
                    return got;
                }
                Heard::PubRel(id) => self.send(&Packet::PubComp(ack(id))),
                other => panic!("a message was expected, not {other:?}"),
            }
        }
    }

    pub(crate) fn acknowledge(&mut self, got: &Got) {
        match got.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.send(&Packet::PubAck(ack(got.id))),
            QoS::ExactlyOnce => self.send(&Packet::PubRec(ack(got.id))),
        }
    }

    /// Hears until something other than a message or its release comes; keeps the messages.
    pub(crate) fn answer(&mut self) -> Heard {
        loop {
            match self.hear() {
                Heard::Publish(got) => {
                    self.acknowledge(&got);
                    self.waiting.push_back(got);
                }
                Heard::PubRel(id) => self.send(&Packet::PubComp(ack(id))),
                other => return other,
            }
        }
    }

    pub(crate) fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.next_id += 1;
        self.send(&subscribe(filter, qos, self.next_id));
        assert_eq!(self.answer(), Heard::SubAck(vec![qos as u8]));
    }

    /// Publishes, and waits until the broker has taken it over.
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS) {
        self.publish_many(qos, [(topic.to_owned(), payload.to_vec(), false)]);
    }

    pub(crate) fn retain(&mut self, topic: &str, payload: &[u8]) {
        let one = (topic.to_owned(), payload.to_vec(), true);
        self.publish_many(QoS::AtLeastOnce, [one]);
    }

    /// Publishes all, at most 500 of them unacknowledged, and waits for all acknowledgements.
    pub(crate) fn publish_many(
        &mut self,
        qos: QoS,
        messages: impl IntoIterator<Item = (String, Vec<u8>, bool)>,
    ) {
        let (mut batch, mut open) = (Vec::new(), 0);
        for (topic, payload, retain) in messages {
            self.next_id = self.next_id % 60_000 + 1;
            let packet = Publish { retain, ..publish(&topic, &payload, qos, self.next_id) };
            codec::encode(&Packet::Publish(packet), self.version, &mut batch);
            open += usize::from(qos != QoS::AtMostOnce);
            if open == 500 || batch.len() > 60_000 {
                self.send_bytes(&batch);
                batch.clear();
                self.settle(&mut open);
            }
        }
        self.send_bytes(&batch);
        self.settle(&mut open);
    }

    fn settle(&mut self, open: &mut usize) {
        while *open > 0 {
            match self.answer() {
                Heard::PubAck(_, 0 | 0x10) | Heard::PubComp(_, 0) => *open -= 1,
                Heard::PubRec(id, 0 | 0x10) => self.send(&Packet::PubRel(ack(id))),
                other => panic!("an acknowledgement was expected, not {other:?}"),
            }
        }
    }

    /// A round trip: what the broker had said before has been heard then.
    pub(crate) fn ping(&mut self) {
        self.send(&Packet::PingReq);
        assert_eq!(self.answer(), Heard::PingResp);
    }

    /// Leaves in an orderly way.
    pub(crate) fn disconnect(mut self) {
        self.send(&Packet::Disconnect(Disconnect::default()));
        assert_eq!(self.answer(), Heard::End);
    }

    /// Leaves with a reset, as a crashed machine's sockets do.
    pub(crate) fn reset(self) {
        let socket = socket2::SockRef::from(&self.socket);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Says no more, but listens on.
    pub(crate) fn half_close(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }
}

/// Writes until the broker has heard enough: it may close before all is written.
pub(crate) fn send_what_goes(socket: &mut TcpStream, bytes: &[u8]) {
    let _ = socket.write_all(bytes);
}

pub(crate) fn heard(frame: Frame<'_>, version: Version) -> Heard {
    let return_code = frame.body.get(1).copied();
    match codec::decode(frame, Sender::Server, version).unwrap() {
        Packet::ConnAck(c) => Heard::ConnAck {
            present: c.session_present,
            code: return_code.unwrap(),
            assigned: c.assigned_client_id.map(str::to_owned),
        },
        Packet::Publish(p) => Heard::Publish(Got {
            topic: p.topic.map_or_else(String::new, |t| t.as_str().to_owned()),
            payload: p.payload.to_vec(),
            qos: p.qos,
            retain: p.retain,
            dup: p.dup,
            id: p.packet_id.map_or(0, NonZeroU16::get),
        }),
        Packet::PubAck(a) => Heard::PubAck(a.packet_id.get(), a.reason.as_u8()),
        Packet::PubRec(a) => Heard::PubRec(a.packet_id.get(), a.reason.as_u8()),
        Packet::PubRel(a) => Heard::PubRel(a.packet_id.get()),
        Packet::PubComp(a) => Heard::PubComp(a.packet_id.get(), a.reason.as_u8()),
        Packet::SubAck(a) => Heard::SubAck(a.reasons.iter().map(|r| r.as_u8()).collect()),
        Packet::UnsubAck(_) => Heard::UnsubAck,
        Packet::PingResp => Heard::PingResp,
        Packet::Disconnect(d) => Heard::Disconnect(d.reason.as_u8()),
        other => panic!("a server does not send {other:?}"),
    }
}
