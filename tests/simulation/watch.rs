//! What the world insists on besides messages: bounds on what is under way between shards, Keep
//! Alives that are missed in time and not before, broken rules that end the link; and the inputs
//! that come to a whole shard, `Reload`, `Shrink` and `Shutdown`.

use stonechat::broker::{Closing, Input, PeerMessage, ShardId, ShardSet, Time};
use stonechat::codec::{QoS, ReasonCode};

use super::loads::is_bounded;
use super::rng::Rng;
use super::shadow::{Cause, Shadow};
use super::world::{Conn, World};

impl Conn {
    /// When the Keep Alive is missed, as far as the world knows.
    fn keep_alive_ends(&self) -> Time {
        self.last_in.max(self.held_at).plus_ms(self.keep_alive_ms * 3 / 2)
    }

    /// Nobody is given up before one and a half times the Keep Alive \[MQTT-3.1.2-22\].
    pub fn check_keep_alive_is_over(&self, closing: Closing, now: Time) {
        if closing.reason == ReasonCode::KeepAliveTimeout {
            let due = self.last_in.plus_ms(self.keep_alive_ms * 3 / 2);
            assert!(due <= now, "c{}: given up at {now:?}, due at {due:?}", self.client);
        }
    }
}

impl World {
    pub fn reads_held(&self, id: usize) -> bool {
        let conn = &self.conns[id];
        let outbox = self.shards[conn.shard].fx.sends.outbox(conn.link);
        conn.opened && outbox.is_some_and(|o| o.reads_held)
    }

    /// Notes which connections the broker does not want to be read.
    pub fn look_at_held_reads(&mut self) {
        for at in 0..self.open.len() {
            let id = self.open[at];
            if self.reads_held(id) {
                self.conns[id].held_at = self.now;
            }
        }
    }

    /// Who has been silent for too long is gone: all ticks of this moment have been handed in.
    pub fn check_keep_alives(&self) {
        for conn in self.open.iter().map(|&id| &self.conns[id]) {
            let counts = conn.opened && !conn.ended && conn.keep_alive_ms > 0;
            let due = conn.keep_alive_ends();
            // Reading may have been held and let go between two looks.
            let late = due.plus_ms(conn.keep_alive_ms * 2) < self.now;
            assert!(!counts || !late, "c{}: silent since {:?}", conn.client, conn.last_in);
        }
    }

    /// Counts a message on its way into a pipe; true if that was full already.
    pub fn count_under_way(&mut self, pipe: usize, message: &PeerMessage, cause: &Cause) -> bool {
        let message = match message {
            PeerMessage::Publish { message, .. } => message,
            PeerMessage::Shared(travel) => &travel.message,
            _ => return false,
        };
        let full = self.under_way[pipe] >= self.limits.peer_bytes_max;
        self.under_way[pipe] += message.cost_bytes();
        let published = matches!(cause.answer, 3..=5);
        let goes = !(full && published && message.qos() == QoS::AtMostOnce);
        assert!(goes, "QoS 0 went to a peer that has {} bytes under way", self.under_way[pipe]);
        full && published
    }

    /// After an input of a client: who filled a pipe that was full is not read, and who broke the
    /// protocol has lost its link.
    pub fn check_cause(&self, cause: &Cause, full: bool) {
        let Some(id) = cause.conn else { return };
        let conn = &self.conns[id];
        if full && !conn.ended {
            assert!(self.reads_held(id), "c{} is read on: peer_bytes_max", conn.client);
        }
        if cause.refused {
            assert!(conn.closing.is_some(), "c{}: an unknown Topic Alias passed", conn.client);
        }
    }

    /// New limits for one shard: connections keep what they were told.
    pub fn reload(&mut self, shard: usize, shadow: &mut Shadow, rng: &mut Rng) {
        // It never falls: our clients send again all at once what they have under way.
        let raised = self.limits.receive_maximum.max(rng.pick(&[2, 5, 20, 1024]));
        self.limits.receive_maximum = raised;
        let mut limits = self.limits.clone();
        limits.topic_alias_max = rng.pick(&[0, 2, 64]);
        limits.topic_alias_outgoing_max = rng.pick(&[0, 2, 16]);
        limits.queue_qos0 = rng.percent(50);
        if is_bounded(&limits) && rng.percent(50) {
            limits.queue_memory_bytes = rng.pick(&[5_000, 1, 200, 1_000]);
            let total = rng.pick(&[500, usize::MAX]);
            limits.queue_memory_total_bytes = if shadow.lossy { total } else { usize::MAX };
        }
        self.feed(shard, Input::Reload(Box::new(limits)), &Cause::default(), shadow);
    }

    /// Memory that is not used is given back: nobody notices.
    pub fn shrink(&mut self, shard: usize, shadow: &mut Shadow) {
        let slots = self.shards[shard].slots.iter().rposition(|(_, of)| of.is_some());
        self.feed(shard, Input::Shrink, &Cause::default(), shadow);
        self.shards[shard].fx.sends.shrink(slots.map_or(0, |last| last + 1));
        self.shards[shard].broker.check_invariants();
    }

    /// The shards' brokers and their index agree, but for what is still on the way: a shard that
    /// was told of a change has nothing cached that misses it.
    pub fn check_interests(&self) {
        let n = self.shards.len();
        self.common.interests.check_invariants();
        for (to, shard) in self.shards.iter().enumerate() {
            let mut untold = ShardSet::default();
            for from in 0..n {
                let pipe = &self.pipes[from * n + to];
                if pipe.iter().any(|m| matches!(m, PeerMessage::Interest { .. })) {
                    untold.insert(ShardId(from as u8));
                }
            }
            shard.broker.check_interests(&self.common.interests, untold);
        }
    }

    /// The end of the process: every link is told, Wills go to those who keep messages.
    pub fn shutdown(&mut self, shadow: &mut Shadow, rng: &mut Rng) {
        for id in self.open.clone() {
            let conn = &mut self.conns[id];
            if conn.opened && !conn.ended {
                conn.ended = true;
                shadow.link_ended(conn.client, id, true);
            }
        }
        for shard in 0..self.shards.len() {
            self.feed(shard, Input::Shutdown, &Cause::default(), shadow);
            let broker = &self.shards[shard].broker;
            assert_eq!(broker.counters().links, 0, "links after Shutdown");
            broker.check_invariants();
        }
        let mut goes_on = true;
        while goes_on {
            goes_on = false;
            for pipe in 0..self.pipes() {
                goes_on |= self.peer(pipe, shadow);
            }
            for shard in 0..self.shards.len() {
                goes_on |= self.commit(shard, true, shadow, rng);
            }
            goes_on |= self.load_all(shadow);
        }
        self.close_log(shadow);
        // Nobody waits for a Will: what is left is synced when the log is closed.
        for (shard, seq) in self.log.sync().unwrap() {
            shadow.committed[shard] = seq.0;
        }
        shadow.check_wills_kept();
    }
}
