//! One run: a plan drawn from the seed, a phase with faults, a quiet phase, the judgement.

use stonechat::broker::{Limits, QueueFull};
use stonechat::codec::Version;

use super::asked::Hook;
use super::clients::{Character, Client, GROUPS, PLAIN_FILTERS};
use super::engine::{Engine, Met};
use super::herd::Extras;
use super::loads::{draw_memory, is_bounded};
use super::oracle::Final;
use super::quotas::Paces;
use super::rights::Changes;
use super::rng::Rng;
use super::safeties::{Safeties, Syncs};
use super::shadow::Shadow;
use super::world::World;

/// How many rounds the quiet phase may take before it is said not to converge.
const ROUNDS_MAX: usize = 20_000;

/// How often what happens; drawn anew for each seed, so that seeds differ in kind.
#[derive(Debug)]
struct Plan {
    steps: usize,
    chunk: usize,
    weights: [usize; 7],
    cuts: usize,
    jumps_ms: usize,
    stalls: usize,
}

/// As runs were when a seed failed, so that it is the same run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vintage {
    /// without the extras
    Plain,
    /// all that is recorded is to be synced
    Synced,
    Today,
    /// with the real log, on a disk with faults; without the hook
    Earlier,
    /// the same with it
    Disk,
}

/// What a run came to: equal for equal seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub trace: u64,
    pub inputs: u64,
    pub published: usize,
    pub delivered: u64,
    pub met: Met,
}

pub struct Sim {
    pub world: World,
    pub shadow: Shadow,
    pub clients: Vec<Client>,
    rng: Rng,
    plan: Plan,
    pub extras: Option<Extras>,
    changes: Option<Changes>,
    paces: Option<Paces>,
}

fn limits(rng: &mut Rng, lossy: bool) -> Limits {
    let mut limits = Limits {
        receive_maximum: rng.pick(&[2, 5, 20, 1024]),
        in_flight_max: rng.pick(&[3, 20, 1024]),
        topic_alias_max: rng.pick(&[0, 2, 64]),
        topic_alias_outgoing_max: rng.pick(&[0, 2, 16]),
        match_cache_bytes_max: rng.pick(&[0, 2_000, 8 << 20]),
        queue_qos0: rng.percent(30),
        ..Limits::default()
    };
    if rng.percent(30) {
        limits.peer_bytes_max = rng.range(200, 2_000);
        // Not drawn: what seeds mean stays.
        limits.session_memory_total_bytes = limits.peer_bytes_max;
    }
    if lossy {
        limits.queued_messages_max = rng.range(1, 8);
        limits.queued_bytes_max = rng.range(300, 20_000);
        limits.output_bytes_max = rng.range(50, 6_000);
        // Not drawn: what seeds mean stays.
        if limits.output_bytes_max.is_multiple_of(3) {
            limits.output_total_bytes_max = 2 * limits.output_bytes_max;
        }
        limits.queue_full = rng.pick(&[QueueFull::DropOldest, QueueFull::DropNewest]);
    }
    limits
}

fn character(index: usize, rng: &mut Rng) -> Character {
    let v5 = rng.percent(60);
    let group = index.is_multiple_of(3).then(|| rng.below(GROUPS.len()));
    let small = v5 && group.is_none() && rng.one_in(8);
    Character {
        version: if v5 { Version::V5 } else { Version::V311 },
        bridge: false,
        persistent: rng.percent(65),
        group,
        receive_maximum: if v5 { rng.pick(&[0, 1, 2, 3, 10]) } else { 0 },
        maximum_packet_size: if small { 300 } else { u32::MAX },
        topic_alias_maximum: if v5 { rng.pick(&[0, 1, 3, 20]) } else { 0 },
        keep_alive_s: rng.pick(&[0, 0, 4, 60]),
        misbehaves: rng.one_in(8),
        relapses: false,
        method: false,
        probe: None,
    }
}

/// Clients of MQTT 3.1, bridges, and such that forget that Topic Aliases end with a connection.
fn diversify(clients: &mut [Client], rng: &mut Rng) {
    for is in clients.iter_mut().map(|c| &mut c.is) {
        if is.version.is_v5() {
            is.relapses = rng.one_in(6);
        } else {
            is.version = if rng.one_in(4) { Version::V31 } else { is.version };
            is.bridge = rng.one_in(5);
        }
    }
}

fn probe(i: usize) -> Character {
    Character {
        version: Version::V5,
        bridge: false,
        persistent: false,
        group: None,
        receive_maximum: 1 + i as u16,
        maximum_packet_size: u32::MAX,
        topic_alias_maximum: 0,
        keep_alive_s: 0,
        misbehaves: false,
        relapses: false,
        method: false,
        probe: Some((i % 3) as u8),
    }
}

impl Sim {
    /// The run of a seed, as runs were then.
    pub fn new(seed: u64, vintage: Vintage) -> Self {
        let (on_disk, earlier) = (vintage >= Vintage::Earlier, vintage == Vintage::Earlier);
        let vintage = vintage.min(Vintage::Today);
        let mut rng = Rng::new(seed, 1);
        let shards = rng.range(1, 4);
        let lossy = rng.percent(15);
        let mut limits = limits(&mut rng, lossy);
        if vintage > Vintage::Plain {
            draw_memory(seed, &mut limits, lossy);
        }
        let count = rng.range(6, 30);
        let mut clients: Vec<Client> =
            (0..count).map(|i| Client::new(i, rng.below(shards), character(i, &mut rng))).collect();
        if vintage > Vintage::Plain {
            diversify(&mut clients, &mut Rng::new(seed, 3));
        }
        let plan = Plan {
            steps: rng.range(500, 8_000),
            chunk: rng.pick(&[3, 20, 100, 1_000]),
            weights: [
                rng.range(10, 40),
                rng.range(10, 60),
                rng.range(10, 60),
                rng.range(2, 40),
                rng.range(1, 20),
                rng.range(1, 10),
                rng.range(1, 10),
            ],
            cuts: rng.pick(&[0, 1, 3, 8]),
            jumps_ms: rng.pick(&[5, 50, 500, 2_000]),
            stalls: rng.pick(&[0, 2]),
        };
        // Probes come last: one for each shard and QoS.
        for i in 0..shards * 3 {
            clients.push(Client::new(count + i, i / 3, probe(i)));
        }
        let groups = clients.iter().map(|c| c.is.group).collect();
        let mut shadow = Shadow::new(groups, shards, GROUPS.len(), lossy);
        shadow.drops_qos0 = limits.peer_bytes_max < 10_000;
        shadow.spills = is_bounded(&limits);
        let check_every = rng.pick(&[1, 10, 50]);
        let extras = (vintage > Vintage::Plain).then(|| Extras::new(seed, &mut limits, lossy));
        shadow.refuses = limits.queue_full == QueueFull::Refuse;
        shadow.drops_qos0 |= shadow.refuses;
        let safe = vintage == Vintage::Today && Rng::new(seed, 8).percent(60);
        if safe {
            shadow.safeties = Safeties::new(&mut Rng::new(seed, 6), count, &mut limits);
        }
        let today = vintage == Vintage::Today;
        let changes = if today { Changes::new(seed, count, &mut shadow) } else { None };
        // Where there are rules they settle everything, and nobody is asked.
        let asked = today && !earlier && changes.is_none();
        let mut hook = if asked { Hook::new(seed, &mut clients[..count]) } else { None };
        if let Some(hook) = &mut hook {
            limits.hook_cache_ms = hook.cache_ms();
        }
        let mut world = World::new(shards, seed, &limits, check_every);
        world.hook = hook;
        world.syncs = safe.then(|| Syncs::new(seed));
        world.engine = on_disk.then(|| Engine::new(seed, shards));
        world.tell_rights(&mut shadow);
        // Where queues refuse, who is refused comes back at once, for as long as time stands still:
        // acknowledgements that would make room wait behind a PUBLISH that is over its rate.
        let paced = today && !shadow.refuses;
        let mut paces = if paced { Paces::new(seed, lossy, earlier) } else { None };
        shadow.retained_quotas = paces.is_some() && !earlier;
        world.quotas = paces.as_mut().map(Paces::draw);
        world.tell_quotas(&mut shadow);
        Self { world, shadow, clients, rng, plan, extras, changes, paces }
    }

    /// Runs to the end. Panics where the broker is wrong.
    pub fn run(mut self) -> Outcome {
        for _ in 0..self.plan.steps {
            if let Some(changes) = &mut self.changes {
                changes.step(&mut self.world, &mut self.shadow);
            }
            if let Some(paces) = &mut self.paces {
                paces.step(&mut self.world, &mut self.shadow);
            }
            if !self.extra_step() {
                self.step();
            }
            self.ask_step();
        }
        self.end_asking();
        let plain = self.extras.is_none();
        self.end_extras();
        self.quiet();
        if !plain {
            self.world.shutdown(&mut self.shadow, &mut self.rng);
        }
        Outcome {
            trace: self.world.trace,
            inputs: self.world.inputs,
            published: self.shadow.msgs.len(),
            delivered: self.shadow.deliveries,
            met: self.met(),
        }
    }

    fn met(&self) -> Met {
        let mut met = Met { throttled: self.world.throttled(), ..self.world.met };
        if let Some(engine) = &self.world.engine {
            met.add(&engine.met);
        }
        met
    }

    pub fn actors(&self) -> usize {
        self.clients.iter().filter(|c| c.is.probe.is_none()).count()
    }

    fn step(&mut self) {
        let total: usize = self.plan.weights.iter().sum();
        let mut at = self.rng.below(total);
        let mut what = 0;
        while at >= self.plan.weights[what] {
            at -= self.plan.weights[what];
            what += 1;
        }
        let (world, shadow, rng) = (&mut self.world, &mut self.shadow, &mut self.rng);
        let shard = rng.below(world.shards.len());
        match what {
            0 => self.act(),
            1 | 2 if world.open.is_empty() => {}
            1 => {
                let (id, most) = (rng.pick(&world.open), rng.range(1, self.plan.chunk));
                world.net_up(id, most, shadow, rng);
            }
            2 => {
                let (id, most) = (rng.pick(&world.open), rng.range(1, self.plan.chunk));
                self.down(id, most);
            }
            3 => {
                let pipe = rng.below(world.pipes());
                for _ in 0..rng.range(1, 4) {
                    world.peer(pipe, shadow);
                }
            }
            4 => {
                let all = rng.percent(50);
                world.commit(shard, all, shadow, rng);
            }
            5 => {
                world.tick(shard, shadow);
                if rng.one_in(5) {
                    world.stale(shard, shadow, rng);
                }
            }
            _ => {
                let ms = rng.range(1, self.plan.jumps_ms) as u64;
                world.advance(ms, shadow);
            }
        }
    }

    /// The socket takes bytes, and the client reads some, unless it stalls or is another's.
    pub fn down(&mut self, id: usize, most: usize) -> bool {
        let client = self.world.conns[id].client;
        let c = &mut self.clients[client];
        if c.conn != Some(id) {
            // Nobody reads any more: what the broker still writes goes nowhere.
            return self.world.net_down(id, most, &mut self.shadow);
        }
        if c.stalled {
            return false;
        }
        let wrote = self.world.net_down(id, most, &mut self.shadow);
        c.net_in(&mut self.world, &mut self.shadow, &mut self.rng, most) || wrote
    }

    fn act(&mut self) {
        let at = self.rng.below(self.actors());
        let Plan { cuts, stalls, .. } = self.plan;
        let (world, shadow, rng) = (&mut self.world, &mut self.shadow, &mut self.rng);
        let c = &mut self.clients[at];
        c.keep_alive(world);
        let Some(_) = c.conn else {
            if rng.percent(30) {
                c.connect(world, shadow, rng, false);
                if rng.percent(20) {
                    c.ping(world); // without waiting for CONNACK
                    c.publish(world, shadow, rng);
                }
            }
            return;
        };
        let what = rng.below(200);
        if what < cuts {
            match rng.below(6) {
                0 => c.lose(world, rng, false),
                1 => c.connect(world, shadow, rng, false), // a takeover
                2 => c.disconnect(world, shadow, rng),
                _ => c.lose(world, rng, true),
            }
            return;
        }
        if what < cuts + stalls {
            c.stalled = !c.stalled;
            return;
        }
        if !c.connected {
            // The broker may have closed; the client finds out by reading.
            c.net_in(world, shadow, rng, 50);
            return;
        }
        match what {
            20..=110 => c.publish(world, shadow, rng),
            111..=125 => subscribe(c, world, rng),
            126..=132 => {
                let filter = c.is.group.map_or_else(|| rng.pick(PLAIN_FILTERS), |g| GROUPS[g]);
                c.unsubscribe(world, shadow, filter);
            }
            133..=180 => {
                let most = rng.range(1, 10);
                c.answer(world, most);
            }
            181..=182 if c.is.misbehaves => c.misbehave(world, shadow, rng),
            183..=185 => c.ping(world),
            _ => {}
        }
    }

    /// No more faults: everybody reconnects, reads, answers. Then time passes for what is delayed.
    fn quiet(&mut self) {
        for c in &mut self.clients {
            (c.stalled, c.is.relapses) = (false, false);
        }
        self.settle();
        for _ in 0..45 {
            self.world.advance(1_000, &mut self.shadow);
            self.settle();
        }
        assert!(self.world.dropped() <= self.shadow.lossy, "limits are never met");
        let ends: Vec<Option<Final>> = self
            .clients
            .iter()
            .map(|c| {
                let len_max = if c.is.maximum_packet_size < 1_000 { 200 } else { usize::MAX };
                c.connected.then_some(Final { epoch: c.epoch, ready_at: c.ready_at, len_max })
            })
            .collect();
        self.shadow.check_owed(&ends);
        self.probe();
    }

    fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if !self.round() {
                return;
            }
        }
        panic!("the quiet phase does not converge");
    }

    /// Everything that can happen happens once; false if nothing could.
    fn round(&mut self) -> bool {
        let mut progress = false;
        for at in 0..self.clients.len() {
            let (world, shadow, rng) = (&mut self.world, &mut self.shadow, &mut self.rng);
            let c = &mut self.clients[at];
            if c.conn.is_none() && c.is.probe.is_none() {
                c.connect(world, shadow, rng, true);
                progress = true;
            }
            c.keep_alive(world);
            progress |= c.answer(world, usize::MAX);
            progress |= c.net_in(world, shadow, rng, usize::MAX);
        }
        for id in self.world.open.clone() {
            let (world, shadow, rng) = (&mut self.world, &mut self.shadow, &mut self.rng);
            progress |= world.net_up(id, usize::MAX, shadow, rng);
            progress |= self.down(id, usize::MAX);
        }
        let (world, shadow, rng) = (&mut self.world, &mut self.shadow, &mut self.rng);
        // All that are under way: those who are refused and come back at once make ever more.
        for pipe in 0..world.pipes() {
            for _ in 0..world.pipes[pipe].len() {
                progress |= world.peer(pipe, shadow);
            }
        }
        for shard in 0..world.shards.len() {
            progress |= world.commit(shard, true, shadow, rng);
            progress |= world.tick(shard, shadow);
        }
        // All that wait: clients that come back and ask anew would else go before others for ever.
        for _ in 0..world.questions.len() {
            progress |= world.answer_question(0, shadow);
        }
        progress | world.load_all(shadow)
    }

    /// New subscribers to `#`, on every shard, at every QoS, get what is retained.
    fn probe(&mut self) {
        for stage in 0..2 {
            for at in self.actors()..self.clients.len() {
                let (world, shadow, rng) = (&mut self.world, &mut self.shadow, &mut self.rng);
                let c = &mut self.clients[at];
                match stage {
                    0 => c.connect(world, shadow, rng, true),
                    _ => c.subscribe(world, rng, &["#"], c.is.probe),
                }
            }
            self.settle();
        }
        for c in &self.clients[self.actors()..] {
            self.shadow.check_retained(&c.retained_got);
        }
        for shard in &self.world.shards {
            shard.broker.check_invariants();
            shard.fx.sends.check_invariants();
            assert_eq!(shard.broker.seals_under_way(), 0, "a seal that never comes");
        }
        self.world.check_interests();
        for c in &self.clients {
            assert!(c.is_idle(), "{} waits for ever for an acknowledgement", c.name);
        }
    }
}

fn subscribe(c: &mut Client, world: &mut World, rng: &mut Rng) {
    match c.is.group {
        Some(group) => {
            let qos = match group {
                1 => 2,
                3 => rng.pick(&[0, 1]),
                _ => 1,
            };
            c.subscribe(world, rng, &[GROUPS[group]], Some(qos));
        }
        None => {
            let n = rng.range(1, 3);
            let filters: Vec<&'static str> = (0..n).map(|_| rng.pick(PLAIN_FILTERS)).collect();
            c.subscribe(world, rng, &filters, None);
        }
    }
}
