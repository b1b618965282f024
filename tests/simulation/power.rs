//! Power loss: at a random moment everything in memory is gone, of all shards; what is on disk is
//! the committed prefix of the records. Brokers are built anew from it, perhaps another number of
//! them, and clients come back. What the oracle demands stays: everything acknowledged arrives, at
//! QoS 2 once.

use stonechat::broker::{
    Commons, Input, InterestTree, RestoredSession, RestoredTail, RetainedTree, Safety,
};

use super::fold::{Fold, Kept};
use super::loads::is_bounded;
use super::rng::Rng;
use super::shadow::{Cause, SessionShadow, Shadow, client_of, serial_of};
use super::sim::Sim;
use super::world::{World, new_shard, topic_named};

/// What counts as committed for ever: no shard of today's has it.
const ON_DISK: (usize, u64) = (usize::MAX, 0);

impl Sim {
    /// The process is gone, and another one starts.
    pub fn power_loss(&mut self, rng: &mut Rng) {
        let shards = match rng.percent(50) {
            true => self.world.shards.len(),
            false => rng.range(1, 4),
        };
        for (i, c) in self.clients.iter_mut().enumerate() {
            let moves = shards != self.world.shards.len() || rng.percent(20);
            c.shard = match c.is.probe {
                Some(_) => i % shards,
                None if moves => rng.below(shards),
                None => c.shard,
            };
        }
        let homes: Vec<usize> = self.clients.iter().map(|c| c.shard).collect();
        self.world.power_loss(shards, &homes, &mut self.shadow, rng);
    }
}

impl World {
    fn power_loss(&mut self, shards: usize, homes: &[usize], shadow: &mut Shadow, rng: &mut Rng) {
        if self.verbose {
            println!("{} ev {} power loss: {shards} shards now", self.now.0, shadow.ev);
        }
        shadow.check_cleared();
        let power = self.crash(rng);
        if self.verbose {
            println!("    power is gone too: {power}");
        }
        self.questions.clear();
        for id in std::mem::take(&mut self.open) {
            let conn = &mut self.conns[id];
            (conn.ended, conn.server_closed) = (true, true);
            conn.up.clear();
            let arrives = rng.below(conn.down.len() + 1);
            conn.down.truncate(arrives);
        }
        let fold = match &self.engine {
            Some(engine) => engine.found().clone(),
            None => self.log.fold.clone(),
        };
        let taken = std::mem::take(&mut self.inbound2);
        for ((client, epoch, id), serial) in taken {
            match shadow.identifier_is_kept(&fold, client, epoch, id) {
                Some(true) => {
                    self.inbound2.insert((client, epoch, id), serial);
                }
                Some(false) => serial.into_iter().for_each(|serial| shadow.msgs[serial].lost += 1),
                None => {}
            }
        }
        self.note_ghosts(&fold, shadow);
        shadow.power_lost(&fold, shards, power);
        self.start_again(shards, &fold, rng);
        self.tell_rights(shadow);
        self.tell_quotas(shadow);
        for (number, kept) in &fold.sessions {
            let home = homes[client_of(&kept.client_id)];
            let mut session = kept.restored(*number, self.now);
            if is_bounded(&self.limits) || rng.percent(30) {
                let most = if rng.percent(30) { 3 } else { 0 };
                leave_on_log(&mut session, most);
            }
            if let Some(engine) = &mut self.engine {
                session = engine.session(*number);
            }
            let sh = &mut self.shards[home];
            let before = sh.broker.last_seq().0;
            sh.broker.restore(self.now, session, &mut self.common, &mut sh.fx);
            self.take_effects(home, before, &Cause::default(), shadow);
        }
        while (0..self.pipes()).fold(false, |any, pipe| any | self.peer(pipe, shadow)) {}
        for shard in 0..shards {
            assert!(self.shards[shard].broker.is_in_force(), "everybody has answered");
        }
        for shard in 0..shards {
            self.feed(shard, Input::Restored, &Cause::default(), shadow);
            self.shards[shard].broker.check_invariants();
        }
        shadow.all_due();
        for shard in 0..shards {
            self.tick(shard, shadow);
        }
    }

    /// Brokers that know nothing yet, but what is retained.
    fn start_again(&mut self, shards: usize, fold: &Fold, rng: &mut Rng) {
        let seed = rng.next();
        self.shards = (0..shards).map(|i| new_shard(i, shards, seed, &self.limits)).collect();
        for shard in &mut self.shards {
            shard.broker.start_numbers_above(fold.highest);
        }
        let mut retained = RetainedTree::new(10_000, 10 << 20);
        retained.start_versions_above(fold.version);
        let mut messages: Vec<_> = fold.retained.values().collect();
        messages.sort_by_key(|(version, _)| *version);
        for (version, message) in messages {
            message.iter().for_each(|message| retained.restore(*version, message));
        }
        self.common = Commons { retained, interests: InterestTree::new(seed) };
        self.pipes = (0..shards * shards).map(|_| Default::default()).collect();
        self.under_way = vec![0; shards * shards];
        self.held_pipe = None;
        self.loads.clear();
        self.engine.iter_mut().for_each(|engine| engine.restart(shards));
    }
}

/// What waits behind the first `most` messages is read when it is needed.
fn leave_on_log(session: &mut RestoredSession, most: usize) {
    let rest = session.queued.split_off(most.min(session.queued.len()));
    session.tail = rest.first().map(|first| RestoredTail {
        first_order: first.order,
        count: rest.len(),
        bytes: rest.iter().map(|entry| entry.message.cost_bytes()).sum(),
    });
}

impl Shadow {
    /// Whether a client's QoS 2 identifier is on disk; `None` if its session is not.
    fn identifier_is_kept(&self, fold: &Fold, client: usize, epoch: u64, id: u16) -> Option<bool> {
        let mut kept = fold.sessions.iter().filter(|(number, kept)| {
            // In a session that does not outlast its connection, no identifier is kept.
            let lasts = kept.expiry_s > 0;
            lasts && client_of(&kept.client_id) == client && self.epoch_of[number] == epoch
        });
        kept.next().map(|(_, kept)| kept.inbound.contains(&id))
    }

    /// What was not on disk is gone.
    fn power_lost(&mut self, fold: &Fold, shards: usize, power: bool) {
        self.excuse(power);
        let least = if power { Safety::Synced } else { Safety::Written };
        self.last_loss = self.tick();
        self.losses += 1;
        let mut again = Vec::new();
        for client in 0..self.sessions.len() {
            let numbers = fold.sessions.iter();
            let mine = numbers.filter(|(_, kept)| client_of(&kept.client_id) == client);
            let mut mine: Vec<_> = mine.map(|(n, kept)| (self.epoch_of[n], kept)).collect();
            let newest = mine.pop();
            let present = self.sessions[client].as_ref().map(|s| s.epoch);
            if let Some(s) = self.sessions[client].take() {
                let found = newest.map(|(epoch, _)| epoch) == Some(s.epoch);
                let owed = self.session_outlives(client, &s, power);
                assert!(found || !owed, "c{client}: a session that was granted is gone");
                self.bury(client, s, found);
            }
            if let Some((epoch, kept)) = newest {
                let mut s = self.ended.remove(&epoch).expect("it was there once");
                // Its client was told that it is gone, or that it would go, and forgot what it had.
                let forgotten = present != Some(epoch) || s.volatile;
                s.forgotten |= forgotten && !Self::outlives(self.safeties.of_link(client), power);
                self.revive(client, &mut s, kept, power);
                self.sessions[client] = Some(s);
            }
            for (_, kept) in mine {
                let will = kept.will.as_ref().and_then(|will| serial_of(will.message.payload()));
                again.extend(will);
            }
        }
        let done: Vec<_> =
            self.kept.iter().map(|(k, at)| (*k, self.is_done(at.0, at.1, least))).collect();
        self.kept = done.into_iter().filter(|(_, done)| *done).map(|(k, _)| (k, ON_DISK)).collect();
        // The batch that was being written may be on disk, too.
        for kept in fold.sessions.values() {
            let serials = kept.entries.values().filter_map(|e| serial_of(e.message.payload()));
            let client = client_of(&kept.client_id);
            self.kept.extend(serials.map(|serial| ((client, serial), ON_DISK)));
        }
        let done: Vec<_> =
            self.in_flight2.iter().map(|(k, at)| (*k, self.is_done(at.0, at.1, least))).collect();
        let done = done.into_iter().filter(|(_, done)| *done);
        self.in_flight2 = done.map(|(k, _)| (k, ON_DISK)).collect();
        self.inbound.clear();
        for (number, kept) in &fold.sessions {
            let epoch = self.epoch_of[number];
            self.inbound.extend(kept.inbound.iter().map(|&id| ((epoch, id), ON_DISK)));
        }
        self.retained_lost(fold, power);
        again.into_iter().for_each(|serial| self.publish_will_again(serial));
        self.committed = vec![0; shards];
        self.written = vec![0; shards];
        self.void.clear();
    }

    /// Out of sight for now; the log may bring it back.
    fn bury(&mut self, client: usize, s: SessionShadow, found: bool) {
        let ev = self.ev;
        if !found && let Some(group) = self.group_of[client] {
            self.group_ends[group].push(ev);
            for (_, got) in self.group_got.iter_mut().filter(|((of, _), _)| *of == group) {
                got.entry(s.epoch).and_modify(|count| *count = (0, 0));
            }
        }
        self.ended.insert(s.epoch, s);
    }

    /// A session is as the log says.
    fn revive(&mut self, client: usize, s: &mut SessionShadow, kept: &Kept, power: bool) {
        let (now, ev) = (self.now, self.ev);
        let promised = Self::outlives(self.safeties.of_link(client), power);
        let offline_ms = kept.offline_since.map_or(0, |since| now.ms_since(since));
        s.gaps.extend(s.gone_at.take().map(|since| (since, ev)));
        s.conn = None;
        s.expiry_s = match kept.expiry_s {
            u32::MAX => u32::MAX,
            s => s.saturating_sub((offline_ms / 1000) as u32),
        };
        s.ends_at = match s.expiry_s {
            u32::MAX => stonechat::broker::Time::NEVER,
            left => now.plus_s(u64::from(left)),
        };
        s.will = kept.will.as_ref().and_then(|will| {
            serial_of(will.message.payload()).map(|serial| (serial, will.delay_s))
        });
        s.will.into_iter().for_each(|(serial, _)| self.take_back_will(serial));
        s.will_told = true;
        s.will_at = s.will.map_or(stonechat::broker::Time::NEVER, |(_, delay_s)| {
            now.plus_ms((u64::from(delay_s) * 1000).saturating_sub(offline_ms))
        });
        for e in &mut s.subs {
            if kept.filters.contains_key(e.filter) {
                e.ended = None; // or may be again
                continue;
            }
            let owed = e.acked.is_some() && e.unsub_sent.is_none() && !s.volatile && promised;
            assert!(!owed, "c{client}: a subscription that was granted is gone: {e:?}");
            e.ended.get_or_insert(ev);
            e.unsub_sent.get_or_insert(ev);
        }
    }

    fn retained_lost(&mut self, fold: &Fold, power: bool) {
        for (&topic, &serial) in &self.retained {
            let m = &self.msgs[serial];
            let kept = fold.retained.get(topic).and_then(|(_, message)| message.as_ref());
            let kept = kept.and_then(|message| serial_of(message.payload()));
            let promised = Self::outlives(self.safety_of_msg(m), power);
            let unsure = m.acked_at.is_none() || self.retained_unsure.contains(topic) || !promised;
            assert!(unsure || kept == Some(serial), "{m:?} was retained, and now {kept:?} is");
        }
        self.safeties.restart(fold);
        self.retained.clear();
        for (topic, (_, message)) in &fold.retained {
            let topic = topic_named(topic).expect("a topic of ours");
            let serial = message.as_ref().and_then(|message| serial_of(message.payload()));
            serial.into_iter().for_each(|serial| {
                self.retained.insert(topic, serial);
            });
            self.retained_unsure.remove(topic);
        }
    }
}
