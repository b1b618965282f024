//! A shard's thread: one loop over the connections that are ready.
//!
//! A pass waits until something is ready, reads every ready connection once, hands each packet to
//! the broker, commits what it recorded, sends what it has for other shards, and then flushes every
//! connection that got output, once. No runtime stands in between: a connection costs no task, no
//! waker and no lock.
//!
//! May use: sockets that never block, the clock. Invariants: nothing in a pass waits but its
//! beginning; what a connection may read in a pass is bounded; output is held back beyond its pass
//! only while more connections are ready, and for few passes (`server/held.rs`).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use slab::Slab;

use super::authority::Asked;
use super::connection::{Connection, ReadEnd, Stage};
use super::guests::Doors;
use super::held::Held;
use super::interests::SharedInterests;
use super::mailbox::{Receiver, Report, Sender, ToShard};
use super::memory::take_cached_blocks;
use super::poller::{Poller, Who};
use super::porch::{Door, Porch, Turned};
use super::restore::{Restore, tell_loss};
use super::retained::SharedRetained;
use super::storage::LoadJob;
use crate::broker::{
    Broker, Commons, Effects, Input, LinkKey, PeerMessage, Seq, ShardId, Time, shrink_list,
    shrink_queue, shrink_slab,
};
use crate::codec::{self, DecodeError, Framed, ReasonCode, Sender as From};
use crate::store::Store;

/// How many packets of one connection are handled before others have their turn: tiny ones are
/// many in the bytes of one read.
const PACKETS_PER_TURN: usize = 2048;
/// When an outbox holds such a part of what it may, it is written before more is handled.
const MUCH_PART: usize = 4;
/// How many messages of the mailbox one pass takes.
const MAIL_PER_PASS: usize = 256;
/// How often a pass flushes again because writing made room for more output.
const FLUSHES_PER_PASS: usize = 4;
/// From so many ready connections on, what their turns need is read beforehand.
const TOUCHED_MIN: usize = 8;
/// How long clients have to read the last words when the process ends, in ms.
const LAST_WORDS_MS: u64 = 300;
/// A partial packet up to this size is read on behind in the scratch buffer, a larger one in its
/// own.
const PARTIAL_IN_SCRATCH_BYTES_MAX: usize = 16 * 1024;
/// An empty scratch list longer than this is given back.
const LIST_KEPT_MAX: usize = 65_536;

/// What a shard is made of.
pub(crate) struct ShardParts<S> {
    pub(crate) broker: Broker,
    pub(crate) store: S,
    pub(crate) common: Commons<SharedRetained, SharedInterests>,
    pub(crate) poller: Poller,
    pub(crate) mail: Receiver,
    /// the listeners that are this shard's
    pub(crate) doors: Vec<Door>,
    pub(crate) porch: Arc<Porch>,
    /// every shard's mailbox, this one's among them
    pub(crate) peers: Vec<Sender>,
    pub(crate) shard: ShardId,
    pub(crate) started: Instant,
    pub(crate) packet_bytes_max: usize,
    pub(crate) filters_per_packet_max: usize,
    pub(crate) read_bytes_per_pass: usize,
    pub(crate) half_received_bytes_max: usize,
    pub(crate) output_bytes_max: usize,
    pub(crate) shutdown_ms: u64,
    pub(crate) restore: Restore,
    /// whom to ask for queued messages; `None`: all are in memory
    pub(crate) jobs: Option<mpsc::Sender<LoadJob>>,
    /// whom to ask about clients
    pub(crate) asks: tokio::sync::mpsc::UnboundedSender<Asked>,
}

/// A shard at work.
pub(super) struct Shard<S> {
    pub(super) parts: ShardParts<S>,
    pub(super) fx: Effects,
    pub(super) connections: Slab<Connection>,
    pub(super) generation: u32,
    pub(super) doors: Doors,
    pub(super) now: Time,
    /// mail that was taken out of the box and not yet handled
    mail: VecDeque<ToShard>,
    /// there is mail, here or in the box
    mail_waits: bool,
    /// connections that get a turn in the next pass
    ready: Vec<usize>,
    dirty: Vec<LinkKey>,
    pub(super) held: Held,
    /// the system has told of as many as it was asked for
    pub(super) more_is_ready: bool,
    void: Vec<Seq>,
    resumed: Vec<LinkKey>,
    /// connections whose client has closed: they end once their pass has been flushed
    pub(super) ended: Vec<LinkKey>,
    scratch: Box<[u8]>,
    pub(super) bytes_received: u64,
    bytes_sent: u64,
    /// when connections must have got on or be gone; an entry counts while the connection says so
    deadlines: BinaryHeap<Reverse<(Time, LinkKey)>>,
    /// told to stop, and when to stop waiting
    pub(super) stop_at: Option<Time>,
}

/// Runs a shard on this thread until it is told to stop and has told its clients.
pub(crate) fn run<S: Store>(mut parts: ShardParts<S>) {
    let room = parts.read_bytes_per_pass + PARTIAL_IN_SCRATCH_BYTES_MAX;
    let doors = std::mem::take(&mut parts.doors);
    let sessions = std::mem::take(&mut parts.restore.sessions);
    let mut shard = Shard {
        doors: Doors::new(doors),
        parts,
        fx: Effects::default(),
        connections: Slab::new(),
        generation: 0,
        now: Time(0),
        mail: VecDeque::new(),
        mail_waits: false,
        ready: Vec::new(),
        dirty: Vec::new(),
        held: Held::default(),
        more_is_ready: false,
        void: Vec::new(),
        resumed: Vec::new(),
        ended: Vec::new(),
        scratch: vec![0; room].into_boxed_slice(),
        bytes_received: 0,
        bytes_sent: 0,
        deadlines: BinaryHeap::new(),
        stop_at: None,
    };
    shard.set_output_bytes_max(shard.parts.output_bytes_max);
    shard.restore(sessions);
    while !shard.is_over() {
        shard.pass();
    }
}

impl<S: Store> Shard<S> {
    pub(super) fn clock(&self) -> Time {
        Time(self.parts.started.elapsed().as_millis() as u64)
    }

    pub(super) fn handle(&mut self, input: Input<'_>) {
        self.parts.broker.handle(self.now, input, &mut self.parts.common, &mut self.fx);
    }

    fn set_output_bytes_max(&mut self, bytes: usize) {
        self.parts.output_bytes_max = bytes;
        self.fx.sends.set_much((bytes / MUCH_PART).max(1));
    }

    fn is_over(&self) -> bool {
        self.stop_at.is_some_and(|at| self.connections.is_empty() || at <= self.now)
    }

    fn pass(&mut self) {
        self.wait();
        self.take_mail();
        self.accept();
        let mut ready = std::mem::take(&mut self.ready);
        if ready.len() >= TOUCHED_MIN {
            self.touch(&ready);
        }
        for slot in ready.drain(..) {
            self.turn(slot);
            self.settle_if_much();
        }
        if self.ready.is_empty() && ready.capacity() <= LIST_KEPT_MAX {
            self.ready = ready;
        }
        if self.parts.broker.next_deadline() <= self.now {
            self.handle(Input::Tick);
        }
        self.settle();
        self.end();
        self.close_overdue();
        self.hurry();
        if self.parts.restore.done.is_some() {
            self.tell_restored();
        }
    }

    /// Reads what these connections' turns will need. Among thousands of clients none of it is
    /// near the processor: asked for all at once, the memory answers much sooner than piece by
    /// piece.
    fn touch(&self, ready: &[usize]) {
        let mut all = 0;
        for &slot in ready {
            if let Some(c) = self.connections.get(slot) {
                all += self.fx.sends.backlog(c.link) + self.parts.broker.touch(c.link);
            }
        }
        std::hint::black_box(all);
    }

    /// Waits until there is something to do, and notes who is ready.
    fn wait(&mut self) {
        let busy = !self.ready.is_empty()
            || self.mail_waits
            || self.fx.sends.is_dirty()
            || !self.held.is_empty()
            || !self.fx.records.is_empty()
            || self.fx.sync
            || !self.fx.peers.is_empty();
        let at_most = if busy { Some(Duration::ZERO) } else { self.idle_for() };
        let Self { parts, connections, ready, doors, mail_waits, .. } = self;
        self.more_is_ready = parts.poller.wait(at_most, |change| match change.who {
            Who::Connection(slot) => {
                if let Some(c) = connections.get_mut(slot) {
                    c.readable |= change.readable;
                    c.over |= change.over;
                    queue(ready, c, slot);
                }
            }
            Who::Door(number) => doors.knock(number),
            Who::Mail => *mail_waits = true,
        });
        self.now = self.clock();
    }
    /// How long nothing is due; `None`: for ever.
    fn idle_for(&self) -> Option<Duration> {
        let deadline = self.deadlines.peek().map_or(Time::NEVER, |Reverse((at, _))| *at);
        let stop = self.stop_at.unwrap_or(Time::NEVER);
        let broker = self.parts.broker.next_deadline();
        match broker.min(deadline).min(stop).min(self.doors.next()) {
            Time::NEVER => None,
            at => Some(Duration::from_millis(at.ms_since(self.clock()))),
        }
    }

    fn take_mail(&mut self) {
        for _ in 0..MAIL_PER_PASS {
            if self.mail.is_empty() && self.mail_waits {
                self.parts.mail.take(&mut self.mail);
            }
            let Some(mail) = self.mail.pop_front() else {
                self.mail_waits = false;
                return;
            };
            self.on_mail(mail);
            self.settle_if_much();
        }
    }

    /// What there is to be sent goes out before anything else is handled, if it is much.
    fn settle_if_much(&mut self) {
        if self.fx.sends.have_much() {
            self.settle();
        }
    }

    /// At the end, once every client has been sent all that it is to get, little is waited for.
    fn hurry(&mut self) {
        if let Some(at) = self.stop_at
            && at > self.now.plus_ms(LAST_WORDS_MS)
            && self.connections.iter().all(|(_, c)| c.shut)
        {
            self.stop_at = Some(self.now.plus_ms(LAST_WORDS_MS));
        }
    }

    fn on_mail(&mut self, mail: ToShard) {
        match mail {
            ToShard::HandOff(hand_off) => self.come_home(*hand_off),
            ToShard::Peers(from, messages) => {
                for message in messages {
                    self.handle(Input::Peer(from, message));
                    self.settle_if_much();
                }
            }
            ToShard::Publish(messages) => {
                for message in messages {
                    self.handle(Input::Publish(message));
                }
            }
            ToShard::Committed(seq, spent) => {
                self.handle(Input::Spent(spent));
                self.handle(Input::Committed(seq));
            }
            ToShard::Written(seq, spent) => {
                self.handle(Input::Spent(spent));
                self.handle(Input::Written(seq));
            }
            ToShard::Void(seqs) => self.handle(Input::Void(&seqs)),
            ToShard::Loaded(session, entries) => self.handle(Input::Loaded(session, entries)),
            ToShard::Full(full) => self.handle(Input::Full(full)),
            ToShard::Answer(link, answer) => self.handle(Input::Answer(link, answer)),
            ToShard::Acl(acl) => self.handle(Input::Acl(acl)),
            ToShard::Quotas(quotas) => self.handle(Input::Quotas(quotas)),
            ToShard::Reload(limits) => {
                self.parts.packet_bytes_max = limits.packet_bytes_max;
                self.parts.filters_per_packet_max = limits.filters_per_packet_max;
                self.set_output_bytes_max(limits.output_bytes_max);
                self.handle(Input::Reload(limits));
            }
            ToShard::Restored => self.begin(),
            ToShard::Report(answer) => {
                let _ = answer.send(Report {
                    counters: *self.parts.broker.counters(),
                    bytes_received: self.bytes_received,
                    bytes_sent: self.bytes_sent,
                    output_bytes: self.fx.sends.waiting_bytes() as u64,
                });
            }
            ToShard::Shrink(done) => {
                self.shrink();
                let _ = done.send(take_cached_blocks());
            }
            ToShard::Shutdown => {
                self.stop_at = Some(self.now.plus_ms(self.parts.shutdown_ms));
                self.close_doors();
                self.handle(Input::Shutdown);
            }
        }
    }

    /// Gives back what a crowd has left: see `server/memory.rs`.
    fn shrink(&mut self) {
        self.handle(Input::Shrink);
        shrink_slab(&mut self.connections);
        let slots = self.connections.iter().next_back().map_or(0, |(last, _)| last + 1);
        self.fx.sends.shrink(slots);
        shrink_list(&mut self.fx.records);
        shrink_list(&mut self.fx.peers);
        shrink_list(&mut self.ready);
        shrink_list(&mut self.dirty);
        self.held.shrink();
        shrink_list(&mut self.resumed);
        shrink_queue(&mut self.mail);
        let connections = &self.connections;
        self.deadlines.retain(|Reverse((_, link))| {
            connections.get(link.index()).is_some_and(|c| c.link == *link)
        });
        self.deadlines.shrink_to(2 * self.deadlines.len());
    }

    pub(super) fn is_current(&self, link: LinkKey) -> bool {
        self.connections.get(link.index()).is_some_and(|c| c.link == link)
    }

    /// Gives a connection another turn.
    pub(super) fn wake(&mut self, link: LinkKey) {
        if let Some(c) = self.connections.get_mut(link.index()) {
            queue(&mut self.ready, c, link.index());
        }
    }

    /// One connection's turn: one read.
    fn turn(&mut self, slot: usize) {
        let Some(c) = self.connections.get_mut(slot) else { return };
        c.queued = false;
        let link = c.link;
        if c.blocked {
            self.flush(link);
        }
        let Some(c) = self.connections.get_mut(slot).filter(|c| c.link == link) else { return };
        if c.stage == Stage::Link
            && let Some(outbox) = self.fx.sends.outbox(link)
        {
            if outbox.reads_held {
                return; // comes again when the broker frees it
            }
            if outbox.copied_backlog() >= 2 * self.parts.output_bytes_max {
                if !c.blocked {
                    queue(&mut self.ready, c, slot); // it has not been written yet
                }
                return; // comes again when the socket takes more
            }
            if c.unhandled {
                return self.go_on(link);
            }
        }
        if c.readable {
            let mut scratch = std::mem::take(&mut self.scratch);
            self.read(link, &mut scratch);
            self.scratch = scratch;
        }
    }

    /// What a turn had no time for comes before what the socket has.
    fn go_on(&mut self, link: LinkKey) {
        if let Some(c) = self.connections.get_mut(link.index()) {
            c.unhandled = false;
            queue(&mut self.ready, c, link.index());
            let bytes = std::mem::take(&mut c.partial);
            self.feed_own(link, bytes);
        }
    }

    fn read(&mut self, link: LinkKey, scratch: &mut [u8]) {
        let Some(c) = self.connections.get_mut(link.index()) else { return };
        if c.stage == Stage::Closing {
            self.discard(link, scratch);
            return;
        }
        let kept = match c.partial.len() {
            n if n <= PARTIAL_IN_SCRATCH_BYTES_MAX => n,
            _ => 0,
        };
        scratch[..kept].copy_from_slice(&c.partial[..kept]);
        let room = self.parts.read_bytes_per_pass;
        let n = match c.read(&mut scratch[kept..kept + room]) {
            ReadEnd::Pending => {
                if c.readable {
                    queue(&mut self.ready, c, link.index()); // what came was no MQTT
                }
                return self.count_partial(link);
            }
            ReadEnd::Wrong(error) => return self.wrong(link, &error),
            // Who only half closes still reads what this pass has for it.
            ReadEnd::Over(None) => return self.ended.push(link),
            ReadEnd::Over(error) => return self.over(link, error),
            ReadEnd::Bytes(n) => n,
        };
        self.bytes_received += n as u64;
        if c.readable {
            queue(&mut self.ready, c, link.index());
        }
        if kept > 0 || c.partial.is_empty() {
            c.partial.clear();
            self.feed(link, &scratch[..kept + n]);
        } else {
            let mut bytes = std::mem::take(&mut c.partial);
            bytes.extend_from_slice(&scratch[..n]);
            self.feed_own(link, bytes);
        }
    }

    /// Handles the whole packets in `bytes`; the rest is kept.
    pub(super) fn feed(&mut self, link: LinkKey, bytes: &[u8]) {
        let used = self.packets(link, bytes);
        if !self.is_current(link) {
            return;
        }
        let Some(c) = self.connections.get_mut(link.index()) else { return };
        let rest = &bytes[used..];
        if rest.is_empty() {
            c.partial = Vec::new();
        } else {
            c.partial.extend_from_slice(rest);
        }
        self.count_partial(link);
    }

    /// The same for bytes that are the connection's own buffer.
    fn feed_own(&mut self, link: LinkKey, mut bytes: Vec<u8>) {
        let used = self.packets(link, &bytes);
        let Some(c) = self.connections.get_mut(link.index()) else { return };
        if used < bytes.len() {
            bytes.drain(..used);
            c.partial = bytes;
        }
        self.count_partial(link);
    }

    fn count_partial(&mut self, link: LinkKey) {
        let max = self.parts.half_received_bytes_max;
        let Some(c) = self.connections.get_mut(link.index()) else { return };
        if !c.count_partial(max) {
            if c.stage == Stage::Porch {
                return self.turn_away_full(link);
            }
            c.partial = Vec::new();
            c.count_partial(max);
            let what = "server.half_received_bytes_max is reached";
            self.handle(Input::Malformed(
                link,
                DecodeError { reason: ReasonCode::QuotaExceeded, what },
            ));
        }
    }

    /// Hands in packet after packet, until the bytes end or the link does. Returns how many bytes
    /// are used.
    fn packets(&mut self, link: LinkKey, bytes: &[u8]) -> usize {
        let (mut at, mut left) = (0, PACKETS_PER_TURN);
        let mut before = 0; // where the last packet began
        if self.connections.get(link.index()).is_some_and(|c| c.stage == Stage::Porch) {
            at = self.at_porch(link, bytes);
        }
        let Some(c) = self.connections.get(link.index()) else { return bytes.len() };
        let version = c.version;
        if c.stage == Stage::Porch {
            return at;
        }
        loop {
            // Nothing behind a DISCONNECT or a takeover is looked at.
            match self.fx.sends.outbox_mut(link) {
                Some(outbox) if outbox.closing().is_none() => {
                    if outbox.reads_held {
                        let not_taken = std::mem::take(&mut outbox.not_taken);
                        return if not_taken { before } else { at };
                    }
                }
                _ => return bytes.len(),
            }
            if left == 0 || self.fx.sends.have_much() {
                if let Some(c) = self.connections.get_mut(link.index()) {
                    c.unhandled = true;
                    queue(&mut self.ready, c, link.index());
                }
                return at;
            }
            left -= 1;
            match codec::frame(&bytes[at..], self.parts.packet_bytes_max) {
                Ok(Framed::Partial { .. }) => return at,
                Ok(Framed::Whole(frame)) => {
                    before = at;
                    at += frame.len;
                    let filters_max = self.parts.filters_per_packet_max;
                    match codec::decode_within(frame, From::Client, version, filters_max) {
                        Ok(ref packet) => {
                            let Self { parts, now, fx, .. } = self;
                            parts.broker.handle_packet(*now, link, packet, &mut parts.common, fx);
                        }
                        Err(error) => self.handle(Input::Malformed(link, error)),
                    }
                }
                Err(error) => self.handle(Input::Malformed(link, error)),
            }
        }
    }

    /// Commits, sends to the other shards, and flushes, until nothing is left that can be done
    /// without waiting.
    pub(super) fn settle(&mut self) {
        self.write_held();
        for _ in 0..FLUSHES_PER_PASS {
            self.resume();
            self.commit();
            if !self.fx.sends.is_dirty() {
                if self.fx.records.is_empty() && self.fx.peers.is_empty() && !self.fx.sync {
                    return;
                }
                continue;
            }
            let mut dirty = std::mem::take(&mut self.dirty);
            self.fx.sends.take_dirty(&mut dirty);
            for &link in &dirty {
                if !self.hold(link) {
                    self.flush(link);
                }
            }
            if dirty.capacity() <= LIST_KEPT_MAX {
                self.dirty = dirty;
            }
        }
        self.commit();
    }

    /// Hands the records to the store, then the messages to the other shards: what those cause
    /// there stands behind these records in the log. Only then the broker is told what need not be
    /// waited for; what comes of that is for the next time.
    pub(super) fn commit(&mut self) {
        let mut committed = None;
        let sync = std::mem::take(&mut self.fx.sync);
        if sync || !self.fx.records.is_empty() {
            let last = self.parts.broker.last_seq();
            let Self { parts, fx, void, .. } = self;
            committed = parts.store.append(&mut fx.records, last, sync, void);
        }
        self.send_peers();
        if !self.void.is_empty() {
            let void = std::mem::take(&mut self.void);
            self.handle(Input::Void(&void));
            self.void = void;
            self.void.clear();
        }
        if let Some(seq) = committed {
            self.handle(Input::Committed(seq));
        }
        let Self { parts, fx, connections, .. } = self;
        for request in fx.requests.drain(..) {
            parts.ask(request, connections);
        }
        fx.losses.drain(..).for_each(|loss| tell_loss(&loss));
    }

    /// Connections whose reading was held and is free again: what they had sent is handled first.
    fn resume(&mut self) {
        let mut resumed = std::mem::take(&mut self.resumed);
        self.fx.sends.take_resumed(&mut resumed);
        for &link in &resumed {
            if self.is_current(link)
                && let Some(c) = self.connections.get_mut(link.index())
            {
                let bytes = std::mem::take(&mut c.partial);
                c.unhandled = false;
                queue(&mut self.ready, c, link.index());
                self.feed_own(link, bytes);
            }
        }
        self.resumed = resumed;
    }

    fn send_peers(&mut self) {
        if self.fx.peers.is_empty() {
            return;
        }
        let mut batches: Vec<Vec<PeerMessage>> = Vec::new();
        batches.resize_with(self.parts.peers.len(), Vec::new);
        for (shard, message) in self.fx.peers.drain(..) {
            batches[usize::from(shard.0)].push(message);
        }
        for (peer, batch) in self.parts.peers.iter().zip(batches) {
            if !batch.is_empty() {
                // A peer that is gone has been told to stop: the process ends.
                let _ = peer.send(ToShard::Peers(self.parts.shard, batch));
            }
        }
    }

    /// Writes a connection's outbox; closes when the broker has ended the link and all is said.
    pub(super) fn flush(&mut self, link: LinkKey) {
        if !self.is_current(link) {
            return;
        }
        let Some(c) = self.connections.get_mut(link.index()) else { return };
        let Some(outbox) = self.fx.sends.outbox_mut(link) else { return };
        if outbox.backlog() > 0 || c.blocked {
            let written = c.write(outbox).and_then(|n| {
                if c.blocked {
                    self.parts.poller.want_room(&c.socket, link.index())?;
                }
                Ok(n)
            });
            match written {
                Ok(n) => self.bytes_sent += n as u64,
                Err(error) => return self.over(link, Some(error)),
            }
        }
        let (backlog, wants_room) = (outbox.backlog(), outbox.wants_room);
        if let Some(closing) = outbox.closing() {
            return self.close(link, closing, backlog);
        }
        self.fx.sends.wrote(link);
        if wants_room {
            self.handle(Input::Wrote(link, backlog));
        }
    }

    /// From now on the connection must get on, or be gone, at `at`.
    pub(super) fn set_deadline(&mut self, link: LinkKey, at: Time) {
        if let Some(c) = self.connections.get_mut(link.index()) {
            c.about.deadline = at;
            self.deadlines.push(Reverse((at, link)));
        }
    }

    fn close_overdue(&mut self) {
        while let Some(&Reverse((at, link))) = self.deadlines.peek()
            && at <= self.now
        {
            self.deadlines.pop();
            let c = self.connections.get(link.index());
            match c.filter(|c| c.link == link && c.about.deadline == at).map(|c| c.stage) {
                Some(Stage::Porch) => {
                    let why = "no CONNECT within server.connect_timeout_ms";
                    self.turn_away(link, Turned::Left(why));
                }
                Some(Stage::Closing) => self.remove(link),
                _ => {}
            }
        }
    }

    pub(super) fn remove(&mut self, link: LinkKey) {
        if self.is_current(link) {
            self.connections.remove(link.index());
            self.fx.sends.forget(link);
        }
    }
}

/// Puts a connection into the list of those that get a turn, once.
fn queue(ready: &mut Vec<usize>, c: &mut Connection, slot: usize) {
    if !c.queued {
        c.queued = true;
        ready.push(slot);
    }
}
