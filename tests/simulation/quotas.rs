//! Quotas: how much some clients may publish per second, how many retained messages they may have,
//! and, in runs where messages may be lost, how many bytes may wait for them; other quotas now and
//! then.
//!
//! What the judge makes of it: a PUBLISH over the rate is left, and taken later, once and in its
//! order, as if it had come then; it is lost only as everything else that the broker has not read.
//! A retained message is refused if, and only if, its publisher has as many as it may have already:
//! where that can be told nobody gets it, else it is delivered and not retained.

use std::sync::Arc;

use stonechat::auth::quota::{Excess, Quota, Quotas};
use stonechat::broker::Input;
use stonechat::codec::{Publish, QoS};

use super::rng::Rng;
use super::room::{Before, unretain};
use super::shadow::{Cause, Shadow, serial_of};
use super::world::World;

/// When the quotas change, from a stream of its own.
#[derive(Debug)]
pub struct Paces {
    rng: Rng,
    left: usize,
    lossy: bool,
    /// another stream: retained messages are limited, too
    retained: Option<Rng>,
}

impl Paces {
    /// For some seeds.
    pub fn new(seed: u64, lossy: bool, earlier: bool) -> Option<Self> {
        let mut rng = Rng::new(seed, 10);
        let left = rng.pick(&[0, 1, 3]);
        let retained = (!earlier).then(|| Rng::new(seed, 12));
        rng.percent(40).then_some(Self { rng, left, lossy, retained })
    }

    /// Clients whose numbers end alike have the same.
    pub fn draw(&mut self) -> Arc<Quotas> {
        let (rng, retained) = (&mut self.rng, &mut self.retained);
        let mut quotas = Vec::new();
        for digit in 0..10 {
            if rng.percent(50) {
                quotas.push(Quota {
                    name: format!("q{digit}"),
                    client_ids: vec![format!("c*{digit}").into()],
                    messages_per_s: rng.pick(&[0, 20, 40, 200]),
                    bytes_per_s: rng.pick(&[0, 2_000, 20_000]),
                    excess: Excess::Throttle,
                    retained_messages_max: retained
                        .as_mut()
                        .map_or(0, |rng| rng.pick(&[0, 1, 2, 5])),
                    queued_bytes_max: if self.lossy { rng.pick(&[0, 500, 5_000]) } else { 0 },
                    ..Quota::default()
                });
            }
        }
        Arc::new(Quotas::new(quotas))
    }

    /// Perhaps there are new ones.
    pub fn step(&mut self, world: &mut World, shadow: &mut Shadow) {
        if self.left > 0 && self.rng.one_in(700) {
            self.left -= 1;
            world.quotas = Some(self.draw());
            world.tell_quotas(shadow);
        }
    }
}

impl World {
    /// All shards have the quotas of now.
    pub fn tell_quotas(&mut self, shadow: &mut Shadow) {
        let Some(quotas) = self.quotas.clone() else { return };
        for shard in 0..self.shards.len() {
            self.feed(shard, Input::Quotas(Arc::clone(&quotas)), &Cause::default(), shadow);
        }
    }

    /// How many retained messages the client may have.
    pub fn retained_max(&self, client: usize) -> usize {
        let quota = self.quotas.as_ref().and_then(|q| q.of(None, &format!("c{client}")));
        match quota.map_or(0, |quota| quota.retained_messages_max) {
            0 => usize::MAX,
            max => max,
        }
    }

    /// How often the shard did not retain a message.
    pub fn not_retained(&self, shard: usize) -> u64 {
        self.shards[shard].broker.counters().refused_retained
    }

    /// A PUBLISH to be retained was taken, or refused for that.
    pub fn check_retained(
        &mut self,
        id: usize,
        p: &Publish<'_>,
        b: Before,
        refused: bool,
        shadow: &mut Shadow,
    ) {
        let conn = &self.conns[id];
        let (client, is_v5) = (conn.client, conn.version.is_v5());
        let max = self.retained_max(client);
        let own = b.retained.is_some_and(|serial| shadow.msgs[serial].publisher == client);
        let replaces = own && !b.unsure;
        if refused {
            self.met.not_retained += 1;
            let known = (b.own, max, b.topic);
            assert!(b.own.1 >= max && !replaces, "c{client}: not retained: {known:?}");
            if is_v5 && p.qos != QoS::AtMostOnce {
                return self.take_back(id, (p, false), b, shadow);
            }
            return unretain(p, &b, shadow);
        }
        let is_set = shadow.retained.get(b.topic).copied() == serial_of(p.payload);
        let fits = own || !is_set || b.unsure || b.own.0 < max;
        assert!(fits || p.payload.is_empty(), "c{client}: one more than {max} retained messages");
    }

    /// How often a PUBLISH was left because it was over a quota.
    pub fn throttled(&self) -> u64 {
        self.shards.iter().map(|s| s.broker.counters().throttled).sum()
    }
}
