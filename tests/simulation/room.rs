//! A disk that is full for a while: the store writes only what frees, each shard is told at a
//! moment of its own, and what it refuses must never be seen again.

use stonechat::broker::{Input, Limits, QueueFull};
use stonechat::codec::{Connect, Publish, QoS};

use super::rng::Rng;
use super::shadow::{Cause, Msg, SessionShadow, Shadow, serial_of};
use super::world::World;

/// When the disk is full, from a stream of its own.
#[derive(Debug)]
pub struct Fulls {
    rng: Rng,
    left: usize,
}

impl Fulls {
    pub fn new(seed: u64, limits: &mut Limits, lossy: bool) -> Self {
        let mut rng = Rng::new(seed, 5);
        let left = rng.pick(&[0, 0, 1, 4]);
        // A store that is soon behind.
        if rng.percent(30) {
            limits.uncommitted_bytes_max = rng.range(200, 3_000);
        }
        draw_refusals(seed, limits, lossy);
        Self { rng, left }
    }

    /// The disk fills up or has room again, or a shard hears of it.
    pub fn step(&mut self, world: &mut World, shadow: &mut Shadow) {
        if world.log.full {
            world.log.full = !self.rng.one_in(300);
        } else if self.left > 0 && self.rng.one_in(500) {
            self.left -= 1;
            world.log.full = true;
        }
        let shard = self.rng.below(world.shards.len());
        if self.rng.one_in(20) {
            world.tell_full(shard, shadow);
        }
    }
}

/// Queues that refuse: nothing of QoS 1 and 2 is dropped, however short they are.
fn draw_refusals(seed: u64, limits: &mut Limits, lossy: bool) {
    let mut rng = Rng::new(seed, 7);
    limits.no_room_ms = rng.pick(&[200, 3_000, 20_000]);
    if lossy || rng.percent(75) {
        return;
    }
    limits.queue_full = QueueFull::Refuse;
    limits.queued_messages_max = rng.range(1, 12);
    if rng.percent(30) {
        limits.queued_bytes_max = rng.range(300, 20_000);
        limits.queue_bytes_max = rng.range(1_000, 40_000);
    }
}

/// What the shadow knew before a PUBLISH was handed in.
pub struct Before {
    pub topic: &'static str,
    msg: Option<(usize, Msg)>,
    pub retained: Option<usize>,
    pub unsure: bool,
    /// how many retained messages are surely the publisher's, and how many may be
    pub own: (usize, usize),
    inbound: Option<Option<usize>>,
    gate: Option<usize>,
}

impl World {
    /// A shard hears how the disk is, if that is news.
    pub fn tell_full(&mut self, shard: usize, shadow: &mut Shadow) {
        let full = self.log.full;
        if self.engine.is_none() && self.shards[shard].told_full != full {
            self.shards[shard].told_full = full;
            shadow.full = self.shards.iter().any(|s| s.told_full);
            self.feed(shard, Input::Full(full), &Cause::default(), shadow);
        }
    }

    /// There is room for good.
    pub fn end_fulls(&mut self, shadow: &mut Shadow) {
        self.log.full = false;
        (0..self.shards.len()).for_each(|shard| self.tell_full(shard, shadow));
    }

    /// Whether a CONNECT has to be refused: for a new session that lasts, or a Will of one.
    pub fn refuses_connect(
        &self,
        shard: usize,
        client: usize,
        c: &Connect<'_>,
        s: &Shadow,
    ) -> bool {
        let now = self.now;
        let lasts = |s: &&SessionShadow| {
            !c.clean_start && s.expiry_s > 0 && (s.conn.is_some() || s.ends_at > now)
        };
        let new = c.session_expiry_s.min(self.limits.session_expiry_max_s) > 0;
        let refuses = match s.sessions[client].as_ref().filter(lasts) {
            Some(_) => c.will.is_some(),
            None => new,
        };
        self.shards[shard].told_full && refuses
    }

    /// Whether a SUBSCRIBE has to be refused.
    pub fn refuses_subscribe(&self, shard: usize, client: usize, shadow: &Shadow) -> bool {
        let lasts = shadow.sessions[client].as_ref().is_some_and(|s| s.expiry_s > 0);
        self.shards[shard].told_full && lasts
    }

    /// What may have to be taken back of [`World::foresee`].
    pub fn before_publish(&self, id: usize, p: &Publish<'_>, shadow: &Shadow) -> Option<Before> {
        let conn = &self.conns[id];
        if conn.ended {
            return None;
        }
        let (topic, _) = self.topic_of(id, p);
        let topic = topic?;
        let packet_id = p.packet_id.map_or(0, |id| id.get());
        let serial = serial_of(p.payload);
        Some(Before {
            topic,
            msg: serial.map(|serial| (serial, shadow.msgs[serial].clone())),
            retained: shadow.retained.get(topic).copied(),
            unsure: shadow.retained_unsure.contains(topic),
            own: shadow.retained_of(conn.client),
            inbound: self.inbound2.get(&(conn.client, conn.epoch, packet_id)).copied(),
            gate: conn.gate.published.get(&packet_id).copied(),
        })
    }

    /// The broker refused the PUBLISH, or did not take it: as if it had not been handed in. At
    /// QoS 0 it is only not retained.
    pub fn take_back(
        &mut self,
        id: usize,
        (p, left): (&Publish<'_>, bool),
        b: Before,
        shadow: &mut Shadow,
    ) {
        let told_full = self.shards[self.conns[id].shard].told_full;
        let throttled = left && (self.quotas.is_some() || self.conns[id].told.waits);
        let retained = p.retain && self.retained_max(self.conns[id].client) < usize::MAX;
        let may = throttled || told_full || retained || self.limits.queue_full == QueueFull::Refuse;
        assert!(may, "c{}: refused, and there is room", self.conns[id].client);
        unretain(p, &b, shadow);
        if p.qos == QoS::AtMostOnce && !left {
            return;
        }
        if let Some((serial, msg)) = b.msg {
            shadow.msgs[serial] = msg;
        }
        let conn = &mut self.conns[id];
        let packet_id = p.packet_id.map_or(0, |id| id.get());
        let key = (conn.client, conn.epoch, packet_id);
        match b.inbound.filter(|_| p.qos == QoS::ExactlyOnce) {
            Some(serial) => self.inbound2.insert(key, serial),
            None if p.qos == QoS::ExactlyOnce => self.inbound2.remove(&key),
            None => None,
        };
        match b.gate {
            Some(serial) => conn.gate.published.insert(packet_id, serial),
            None => conn.gate.published.remove(&packet_id),
        };
    }

    /// How often the shard refused something for want of room.
    pub fn refusals(&self, shard: usize) -> u64 {
        let c = self.shards[shard].broker.counters();
        c.refused_no_room + c.refused_queue_full
    }

    /// Whether the packet that was handed in last was left.
    pub fn was_left(&mut self, id: usize) -> bool {
        let conn = &self.conns[id];
        let outbox = self.shards[conn.shard].fx.sends.outbox_mut(conn.link);
        outbox.is_some_and(|o| std::mem::take(&mut o.not_taken))
    }
}

/// The message was not retained: what was there before still is.
pub fn unretain(p: &Publish<'_>, b: &Before, shadow: &mut Shadow) {
    // A link that ends for it may have published its Will, and that may be retained there.
    let is_set = shadow.retained.get(b.topic).copied() == serial_of(p.payload);
    if p.retain && is_set {
        match b.retained {
            Some(serial) => shadow.retained.insert(b.topic, serial),
            None => shadow.retained.remove(b.topic),
        };
        if b.unsure {
            shadow.retained_unsure.insert(b.topic);
        }
    }
}
