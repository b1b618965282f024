//! Quotas: how much some clients may publish per second, and, in runs where messages may be lost,
//! how many bytes may wait for them; other quotas now and then.
//!
//! What the judge makes of it: a PUBLISH over the rate is left, and taken later, once and in its
//! order, as if it had come then; it is lost only as everything else that the broker has not read.

use std::sync::Arc;

use stonechat::auth::quota::{Excess, Quota, Quotas};
use stonechat::broker::Input;

use super::rng::Rng;
use super::shadow::{Cause, Shadow};
use super::world::World;

/// When the quotas change, from a stream of its own.
#[derive(Debug)]
pub struct Paces {
    rng: Rng,
    left: usize,
    lossy: bool,
}

impl Paces {
    /// For some seeds.
    pub fn new(seed: u64, lossy: bool) -> Option<Self> {
        let mut rng = Rng::new(seed, 10);
        let left = rng.pick(&[0, 1, 3]);
        rng.percent(40).then_some(Self { rng, left, lossy })
    }

    /// Clients whose numbers end alike have the same.
    pub fn draw(&mut self) -> Arc<Quotas> {
        let rng = &mut self.rng;
        let mut quotas = Vec::new();
        for digit in 0..10 {
            if rng.percent(50) {
                quotas.push(Quota {
                    name: format!("q{digit}"),
                    client_ids: vec![format!("c*{digit}").into()],
                    messages_per_s: rng.pick(&[0, 20, 40, 200]),
                    bytes_per_s: rng.pick(&[0, 2_000, 20_000]),
                    excess: Excess::Throttle,
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

    /// How often a PUBLISH was left because it was over a quota.
    pub fn throttled(&self) -> u64 {
        self.shards.iter().map(|s| s.broker.counters().throttled).sum()
    }
}
