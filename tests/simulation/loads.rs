//! Read-backs: what a broker asks of the log is looked up late, answered later still, sometimes
//! with less than it asked for; answers that nobody waits for come, too.

use stonechat::broker::{Input, Limits, LoadedEntries, Request, SessionNumber};

use super::rng::Rng;
use super::shadow::{Cause, Shadow};
use super::world::World;

/// A question on its way, and its answer on its way back.
#[derive(Debug)]
pub struct Pending {
    shard: usize,
    request: Request,
    answer: Option<LoadedEntries>,
}

/// Queues get little memory in half of the seeds.
pub fn draw_memory(seed: u64, limits: &mut Limits, lossy: bool) {
    let mut rng = Rng::new(seed, 5);
    if rng.percent(40) {
        limits.queue_memory_bytes = rng.pick(&[1, 100, 300, 1_000, 5_000]);
    }
    if rng.percent(15) {
        let total = rng.pick(&[0, 200, 1_000, 10_000]);
        // Queues that the log does not have cannot leave memory: at this limit they lose messages.
        limits.queue_memory_total_bytes = if lossy { total } else { usize::MAX };
        limits.queue_memory_bytes = limits.queue_memory_bytes.max(1);
    }
}

/// Whether a queue may be beyond memory.
pub fn is_bounded(limits: &Limits) -> bool {
    limits.queue_memory_bytes > 0 || limits.queue_memory_total_bytes < usize::MAX
}

impl World {
    /// Takes the questions of a shard.
    pub fn take_requests(&mut self, shard: usize) {
        for request in std::mem::take(&mut self.shards[shard].fx.requests) {
            if self.verbose {
                println!("    {request:?}");
            }
            match request {
                Request::Ask { link, question } => self.take_question(shard, link, question),
                request => self.loads.push(Pending { shard, request, answer: None }),
            }
        }
    }

    fn look_up(&mut self, request: &Request) -> LoadedEntries {
        match &mut self.engine {
            Some(engine) => engine.load(request),
            None => self.log.fold.load(request),
        }
    }

    /// All questions are answered; false if there is none.
    pub fn load_all(&mut self, shadow: &mut Shadow) -> bool {
        let all = std::mem::take(&mut self.loads);
        let any = !all.is_empty();
        for pending in all {
            let answer = pending.answer.unwrap_or_else(|| self.look_up(&pending.request));
            self.answer(pending.shard, &pending.request, answer, shadow);
        }
        any
    }

    /// One of them is looked up, or answered.
    pub fn load(&mut self, shadow: &mut Shadow, rng: &mut Rng) {
        if self.loads.is_empty() {
            return;
        }
        let at = rng.below(self.loads.len());
        if rng.one_in(20) {
            self.answer_nobody(at, shadow, rng);
        }
        if self.loads[at].answer.is_none() {
            let mut request = self.loads[at].request.clone();
            if let Request::Load { count, .. } = &mut request
                && rng.percent(30)
            {
                *count = rng.range(1, 3);
            }
            let mut answer = self.look_up(&request);
            // In a world that loses messages at its limits one more makes no difference.
            if shadow.lossy && rng.percent(20) && !answer.entries.is_empty() {
                let gone = answer.entries.remove(rng.below(answer.entries.len()));
                answer.unreadable.push(gone.order);
            }
            self.loads[at].answer = Some(answer);
            return;
        }
        let pending = self.loads.remove(at);
        let answer = pending.answer.unwrap_or_default();
        self.answer(pending.shard, &pending.request, answer, shadow);
    }

    fn answer(
        &mut self,
        shard: usize,
        request: &Request,
        answer: LoadedEntries,
        shadow: &mut Shadow,
    ) {
        let Request::Load { session, .. } = *request else { panic!("nobody answers {request:?}") };
        let input = Input::Loaded(session, Box::new(answer));
        self.feed(shard, input, &Cause::default(), shadow);
    }

    /// An answer to something else than what was asked.
    fn answer_nobody(&mut self, at: usize, shadow: &mut Shadow, rng: &mut Rng) {
        let Pending { shard, request, .. } = &self.loads[at];
        let (shard, request) = (*shard, request.clone());
        let mut answer = self.look_up(&request);
        match rng.below(3) {
            0 => answer.number = SessionNumber(answer.number.0 + (1 << 40)),
            1 => answer.from_order += 1,
            _ => answer.from_order -= 1,
        }
        let before = self.shards[shard].broker.counters().stale_inputs;
        self.answer(shard, &request, answer, shadow);
        let after = self.shards[shard].broker.counters().stale_inputs;
        assert!(after > before, "an answer that nobody waits for is counted");
    }
}
