//! Herds: several clients of one shard subscribe to one fresh filter at about the same time, while
//! a client of another shard publishes to it at once and the news of the interest is still on its
//! way. What waits for an interest that somebody else has started shows here only.

use stonechat::broker::Limits;

use super::clients::HERDS;
use super::rng::Rng;
use super::room::Fulls;
use super::sim::Sim;

/// A herd that is under way.
#[derive(Debug)]
pub struct Herd {
    topic: &'static str,
    shard: usize,
    publisher: usize,
    steps_left: usize,
}

/// What only the seeds of today do, from a stream of its own: seeds that once failed replay
/// without it.
#[derive(Debug)]
pub struct Extras {
    rng: Rng,
    herd: Option<Herd>,
    herds: usize,
    power: Rng,
    losses: usize,
    fulls: Fulls,
}

impl Extras {
    pub fn new(seed: u64, limits: &mut Limits, lossy: bool) -> Self {
        let mut power = Rng::new(seed, 4);
        let losses = power.pick(&[0, 1, 2, 5]);
        let fulls = Fulls::new(seed, limits, lossy);
        Self { rng: Rng::new(seed, 2), herd: None, herds: 0, power, losses, fulls }
    }
}

impl Sim {
    /// A step of the extras; false if there is nothing to do.
    pub fn extra_step(&mut self) -> bool {
        let Some(mut extras) = self.extras.take() else { return false };
        let done = self.step_with(&mut extras);
        self.extras = Some(extras);
        done
    }

    /// No more herds, and nothing is held back.
    pub fn end_extras(&mut self) {
        self.world.held_pipe = None;
        self.end_disk();
        self.world.end_fulls(&mut self.shadow);
        self.extras = None;
    }

    fn step_with(&mut self, extras: &mut Extras) -> bool {
        self.disk_step();
        if extras.losses > 0 && extras.power.one_in(600) {
            extras.losses -= 1;
            extras.herd = None;
            self.power_loss(&mut extras.power);
        }
        if extras.power.percent(20) {
            self.world.load(&mut self.shadow, &mut extras.power);
        }
        extras.fulls.step(&mut self.world, &mut self.shadow);
        let rng = &mut extras.rng;
        if rng.one_in(500) {
            let shard = rng.below(self.world.shards.len());
            self.world.reload(shard, &mut self.shadow, rng);
            self.world.shrink(shard, &mut self.shadow);
        }
        let Some(herd) = &mut extras.herd else {
            if rng.one_in(300) && self.world.shards.len() > 1 && extras.herds < HERDS.len() {
                extras.herd = self.new_herd(HERDS[extras.herds], rng);
                extras.herds += 1;
            }
            return false;
        };
        herd.steps_left -= 1;
        if herd.steps_left == 0 {
            extras.herd = None;
            self.world.held_pipe = None;
            return false;
        }
        match rng.below(10) {
            0 | 1 => self.join(herd, rng),
            2..=4 => self.publish_to(herd, rng),
            _ => false,
        }
    }

    fn new_herd(&mut self, topic: &'static str, rng: &mut Rng) -> Option<Herd> {
        let publisher = rng.below(self.actors());
        let from = self.clients[publisher].shard;
        let n = self.world.shards.len();
        let shard = (from + rng.range(1, n - 1)) % n;
        self.world.held_pipe = Some(shard * n + from);
        Some(Herd { topic, shard, publisher, steps_left: rng.range(40, 250) })
    }

    /// One more client of the herd's shard subscribes, and perhaps has its answer at once.
    fn join(&mut self, herd: &Herd, rng: &mut Rng) -> bool {
        let at = rng.below(self.actors());
        let c = &mut self.clients[at];
        let takes = c.connected && !c.stalled && c.is.group.is_none() && c.shard == herd.shard;
        let Some(conn) = c.conn.filter(|_| takes) else { return false };
        c.subscribe(&mut self.world, rng, &[herd.topic], None);
        if rng.percent(60) {
            self.world.net_up(conn, usize::MAX, &mut self.shadow, rng);
            self.world.commit(herd.shard, true, &mut self.shadow, rng);
            self.down(conn, usize::MAX);
        }
        true
    }

    fn publish_to(&mut self, herd: &Herd, rng: &mut Rng) -> bool {
        let c = &mut self.clients[herd.publisher];
        let Some(conn) = c.conn.filter(|_| c.connected) else { return false };
        c.publish_on(&mut self.world, &mut self.shadow, rng, herd.topic);
        if rng.percent(60) {
            self.world.net_up(conn, usize::MAX, &mut self.shadow, rng);
        }
        true
    }
}
