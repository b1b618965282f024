//! Brokers without a server: some shards in one thread, which are fed packets and whose output is
//! taken away as the server takes it.
//!
//! May use: the crate's public types alone. Invariant: in the steady state it allocates nothing
//! itself, so that what an allocation count shows is the broker's; everything is handed over in
//! order, and every record is committed at once.
#![allow(dead_code, reason = "each bench uses a part")]
#![allow(clippy::unwrap_used, reason = "a bench may end where it finds what cannot be")]

use std::num::NonZeroU16;
use std::sync::Arc;

use stonechat::broker::{
    Broker, Commons, Effects, Input, InterestTree, Limits, LinkKey, Opening, PeerMessage,
    RetainedTree, ShardId, Time,
};
use stonechat::codec::*;
use stonechat::topic::{SubscriptionFilter, TopicName};

struct Shard {
    broker: Broker,
    fx: Effects,
    links: u32,
    committed: u64,
}

/// A client of one of the shards.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    pub(crate) shard: usize,
    pub(crate) link: LinkKey,
    version: Version,
}

/// Some shards.
pub(crate) struct Shards {
    shards: Vec<Shard>,
    common: Commons<RetainedTree, InterestTree>,
    now: Time,
    /// bytes that clients were sent
    pub(crate) sent_bytes: u64,
    /// application messages that shards sent to shards
    pub(crate) peer_publishes: u64,
    /// receivers answer QoS 1 with PUBACK
    pub(crate) answer: bool,
    clients: Vec<Vec<Version>>,
    dirty: Vec<LinkKey>,
    mail: Vec<(usize, ShardId, PeerMessage)>,
    arrived: Vec<(LinkKey, PacketId)>,
}

/// A SUBSCRIBE for one filter.
pub(crate) fn subscribe(filter: &str, qos: QoS) -> Packet<'_> {
    let options = SubscriptionOptions {
        qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::DoNotSend,
    };
    Packet::Subscribe(Subscribe {
        packet_id: NonZeroU16::MIN,
        subscription_id: None,
        user_properties: UserProperties::default(),
        filters: vec![(SubscriptionFilter::parse(filter).unwrap(), options)],
    })
}

/// An UNSUBSCRIBE for one filter.
pub(crate) fn unsubscribe(filter: &str) -> Packet<'_> {
    Packet::Unsubscribe(Unsubscribe {
        packet_id: NonZeroU16::MIN,
        user_properties: UserProperties::default(),
        filters: vec![SubscriptionFilter::parse(filter).unwrap()],
    })
}

/// A PUBLISH, as bytes.
pub(crate) fn publish(topic: &str, qos: QoS, payload: &[u8], version: Version) -> Vec<u8> {
    let packet = Packet::Publish(Publish {
        dup: false,
        qos,
        retain: false,
        topic: Some(TopicName::new(topic).unwrap()),
        packet_id: (qos != QoS::AtMostOnce).then_some(NonZeroU16::MIN),
        topic_alias: None,
        message_expiry_s: None,
        properties: Properties::default(),
        payload,
    });
    let mut bytes = Vec::new();
    encode(&packet, version, &mut bytes);
    bytes
}

impl Shards {
    pub(crate) fn new(shards: usize, limits: &Limits) -> Self {
        let shard = |n: usize| Shard {
            broker: Broker::new(ShardId(n as u8), shards as u8, 7, limits.clone()),
            fx: Effects::default(),
            links: 0,
            committed: 0,
        };
        Self {
            shards: (0..shards).map(shard).collect(),
            common: Commons {
                retained: RetainedTree::new(1_000, 1_000_000),
                interests: InterestTree::new(7),
            },
            now: Time(1_000),
            sent_bytes: 0,
            peer_publishes: 0,
            answer: false,
            clients: vec![Vec::new(); shards],
            dirty: Vec::new(),
            mail: Vec::new(),
            arrived: Vec::new(),
        }
    }

    pub(crate) fn connect(&mut self, shard: usize, client_id: &str, version: Version) -> Client {
        let s = &mut self.shards[shard];
        let link = LinkKey::new(s.links, 0);
        s.links += 1;
        self.clients[shard].push(version);
        let connect = Connect::new(version, client_id);
        s.fx.sends.open(link);
        let opening = Opening {
            connect: &connect,
            client_id,
            assigned: false,
            safety: None,
            identity: &Arc::default(),
            ends: Time::NEVER,
            authentication: None,
        };
        self.input(shard, Input::Opened(link, opening));
        self.settle();
        Client { shard, link, version }
    }

    fn input(&mut self, shard: usize, input: Input<'_>) {
        let s = &mut self.shards[shard];
        s.broker.handle(self.now, input, &mut self.common, &mut s.fx);
    }

    /// One packet, and nothing after it: what it leads to waits for [`Shards::settle`].
    pub(crate) fn packet(&mut self, client: Client, packet: Packet<'_>) {
        self.input(client.shard, Input::Packet(client.link, packet));
    }

    /// Bytes of a client, as the server takes them: framed, decoded, handled.
    pub(crate) fn bytes(&mut self, client: Client, mut bytes: &[u8]) {
        while let Framed::Whole(frame) = frame(bytes, usize::MAX).unwrap() {
            let packet = decode(frame, Sender::Client, client.version).unwrap();
            self.packet(client, packet);
            bytes = &bytes[frame.len..];
        }
        assert!(bytes.is_empty(), "a bench sends whole packets");
    }

    /// Commits, carries what shards tell each other, and writes all output, until nothing is left.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut moved = false;
            for shard in 0..self.shards.len() {
                let s = &mut self.shards[shard];
                s.fx.records.clear();
                let seq = s.broker.last_seq();
                if seq.0 > s.committed {
                    s.committed = seq.0;
                    self.input(shard, Input::Committed(seq));
                    moved = true;
                }
                let from = ShardId(shard as u8);
                for (to, message) in self.shards[shard].fx.peers.drain(..) {
                    self.peer_publishes +=
                        u64::from(matches!(message, PeerMessage::Publish { .. }));
                    self.mail.push((usize::from(to.0), from, message));
                }
                moved |= self.flush(shard);
            }
            let mut mail = std::mem::take(&mut self.mail);
            for (to, from, message) in mail.drain(..) {
                self.input(to, Input::Peer(from, message));
                moved = true;
            }
            self.mail = mail;
            if !moved {
                return;
            }
        }
    }

    fn flush(&mut self, shard: usize) -> bool {
        let s = &mut self.shards[shard];
        let mut dirty = std::mem::take(&mut self.dirty);
        s.fx.sends.take_dirty(&mut dirty);
        for &link in &dirty {
            let Some(outbox) = s.fx.sends.outbox_mut(link) else { continue };
            let backlog = outbox.backlog();
            self.sent_bytes += backlog as u64;
            let version = self.clients[shard][link.index()];
            if self.answer {
                collect(outbox, link, version, &mut self.arrived);
            }
            outbox.advance(backlog);
            let wants_room = outbox.wants_room;
            s.fx.sends.wrote(link);
            if wants_room {
                s.broker.handle(self.now, Input::Wrote(link, 0), &mut self.common, &mut s.fx);
            }
        }
        let wrote = !dirty.is_empty();
        self.dirty = dirty;
        let mut arrived = std::mem::take(&mut self.arrived);
        for (link, id) in arrived.drain(..) {
            self.input(
                shard,
                Input::Packet(link, Packet::PubAck(Ack::new(id, ReasonCode::Success))),
            );
        }
        self.arrived = arrived;
        wrote
    }

    /// The counters of a shard's broker.
    pub(crate) fn counters(&self, shard: usize) -> &stonechat::broker::Counters {
        self.shards[shard].broker.counters()
    }
}

/// The Packet Identifiers of the QoS 1 messages in an outbox.
fn collect(
    outbox: &stonechat::broker::Outbox,
    link: LinkKey,
    version: Version,
    arrived: &mut Vec<(LinkKey, PacketId)>,
) {
    let mut slices = [std::io::IoSlice::new(&[]); 1];
    assert!(outbox.slices(&mut slices) <= 1, "a bench answers short messages");
    let mut bytes = &slices[0][..];
    while let Framed::Whole(frame) = frame(bytes, usize::MAX).unwrap() {
        if let Ok(Packet::Publish(p)) = decode(frame, Sender::Server, version) {
            arrived.extend(p.packet_id.map(|id| (link, id)));
        }
        bytes = &bytes[frame.len..];
    }
}
