//! A shard's thread: one loop over the connections that are ready.
//!
//! A pass reads every ready connection once, hands each packet to the broker, commits what it
//! recorded, sends what it has for other shards, and then flushes every connection that got
//! output, once; a large pass does so in portions. One task drives all of it, so that no
//! connection costs a task switch.
//!
//! May use: tokio's sockets and timers, the clock. Invariants: a pass never waits; what a
//! connection may read in a pass is bounded; output is never held back once the pass is over.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use slab::Slab;
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::connection::{Connection, ReadEnd, ReadyQueue};
use super::mailbox::{HandOff, Receiver, Report, Sender, Socket, ToShard};
use super::retained::SharedRetained;
use super::totals::Totals;
use crate::broker::{
    Broker, Closing, Effects, Input, LinkKey, Opening, PeerMessage, ShardId, Time,
};
use crate::codec::{self, DecodeError, Framed, Packet, ReasonCode, Sender as From};
use crate::store::Store;

/// How many packets of one connection are handled before others have their turn: tiny ones are
/// many in the bytes of one read.
const PACKETS_PER_TURN: usize = 2048;
/// How many connections are read before what they caused is flushed. A pass over a thousand
/// connections would find none of them in the processor's caches again when it writes (measured:
/// 7 % of the CPU time with 1000 publishers, 3 % with 500 pairs).
const CONNECTIONS_PER_FLUSH: usize = 64;
/// How many messages of the mailbox one pass takes.
const MAIL_PER_PASS: usize = 256;
/// How often a pass flushes again because writing made room for more output.
const FLUSHES_PER_PASS: usize = 4;
/// How long a client may take to read the last bytes of a connection that the broker ends, in ms.
const CLOSING_MS: u64 = 5_000;
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
    pub(crate) retained: SharedRetained,
    pub(crate) mail: Receiver,
    /// every shard's mailbox, this one's among them
    pub(crate) peers: Vec<Sender>,
    pub(crate) shard: ShardId,
    pub(crate) totals: Arc<Totals>,
    pub(crate) started: Instant,
    pub(crate) packet_bytes_max: usize,
    pub(crate) read_bytes_per_pass: usize,
    pub(crate) half_received_bytes_max: usize,
    pub(crate) output_bytes_max: usize,
    pub(crate) shutdown_ms: u64,
}

/// A shard at work.
struct Shard<S> {
    parts: ShardParts<S>,
    fx: Effects,
    connections: Slab<Connection>,
    generation: u32,
    queue: Arc<ReadyQueue>,
    now: Time,
    ready: Vec<usize>,
    dirty: Vec<LinkKey>,
    resumed: Vec<LinkKey>,
    /// connections whose client has closed: they end once their pass has been flushed
    ended: Vec<LinkKey>,
    scratch: Box<[u8]>,
    bytes_received: u64,
    bytes_sent: u64,
    /// connections that are being closed, with their deadlines, oldest first
    closing: std::collections::VecDeque<(Time, LinkKey)>,
    /// told to stop, and when to stop waiting
    stop_at: Option<Time>,
}

/// Runs a shard on this thread's runtime until it is told to stop and has told its clients.
pub(crate) async fn run<S: Store>(parts: ShardParts<S>) {
    let room = parts.read_bytes_per_pass + PARTIAL_IN_SCRATCH_BYTES_MAX;
    let scratch = vec![0; room].into_boxed_slice();
    let mut shard = Shard {
        parts,
        fx: Effects::default(),
        connections: Slab::new(),
        generation: 0,
        queue: Arc::default(),
        now: Time(0),
        ready: Vec::new(),
        dirty: Vec::new(),
        resumed: Vec::new(),
        ended: Vec::new(),
        scratch,
        bytes_received: 0,
        bytes_sent: 0,
        closing: std::collections::VecDeque::new(),
        stop_at: None,
    };
    let mut sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
    let mut armed = Time(0);
    let drive = poll_fn(move |cx| shard.pass(cx, sleep.as_mut(), &mut armed));
    // The loop bounds its own work per pass: the runtime's budget is for tasks that do not.
    tokio::task::unconstrained(drive).await;
}

impl<S: Store> Shard<S> {
    fn clock(&self) -> Time {
        Time(self.parts.started.elapsed().as_millis() as u64)
    }

    fn handle(&mut self, input: Input<'_>) {
        self.parts.broker.handle(self.now, input, &mut self.parts.retained, &mut self.fx);
    }

    fn pass(&mut self, cx: &mut Context<'_>, sleep: Pin<&mut Sleep>, armed: &mut Time) -> Poll<()> {
        self.now = self.clock();
        let more_mail = self.take_mail(cx);
        let mut ready = std::mem::take(&mut self.ready);
        self.queue.take(&mut ready, cx.waker());
        for some in ready.chunks(CONNECTIONS_PER_FLUSH) {
            for &slot in some {
                self.turn(slot);
            }
            self.settle();
        }
        ready.clear();
        if ready.capacity() <= LIST_KEPT_MAX {
            self.ready = ready;
        }
        if self.parts.broker.next_deadline() <= self.now {
            self.handle(Input::Tick);
        }
        self.settle();
        self.end();
        self.close_overdue();
        self.hurry();
        if self.stop_at.is_some_and(|at| self.connections.is_empty() || at <= self.now) {
            return Poll::Ready(());
        }
        if more_mail || self.fx.sends.is_dirty() {
            cx.waker().wake_by_ref();
        }
        self.arm(cx, sleep, armed);
        Poll::Pending
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

    /// Wakes this task when the next deadline has come.
    fn arm(&mut self, cx: &mut Context<'_>, mut sleep: Pin<&mut Sleep>, armed: &mut Time) {
        let closing = self.closing.front().map_or(Time::NEVER, |(at, _)| *at);
        let stop = self.stop_at.unwrap_or(Time::NEVER);
        let next = self.parts.broker.next_deadline().min(closing).min(stop);
        if next <= self.now {
            cx.waker().wake_by_ref();
            return;
        }
        if *armed != next {
            *armed = next;
            // A deadline further off than this is looked at again on the way.
            let wait = Duration::from_millis(next.ms_since(self.now).min(86_400_000));
            sleep.as_mut().reset(tokio::time::Instant::now() + wait);
        }
        if sleep.poll(cx).is_ready() {
            *armed = Time(0);
            cx.waker().wake_by_ref();
        }
    }

    fn take_mail(&mut self, cx: &mut Context<'_>) -> bool {
        for _ in 0..MAIL_PER_PASS {
            match self.parts.mail.poll_recv(cx) {
                Poll::Pending | Poll::Ready(None) => return false,
                Poll::Ready(Some(mail)) => self.on_mail(mail),
            }
        }
        true
    }

    fn on_mail(&mut self, mail: ToShard) {
        match mail {
            ToShard::HandOff(hand_off) => self.open(*hand_off),
            ToShard::Peers(from, messages) => {
                for message in messages {
                    self.handle(Input::Peer(from, message));
                }
            }
            ToShard::Publish(messages) => {
                for message in messages {
                    self.handle(Input::Publish(message));
                }
            }
            ToShard::Report(answer) => {
                let _ = answer.send(Report {
                    counters: *self.parts.broker.counters(),
                    bytes_received: self.bytes_received,
                    bytes_sent: self.bytes_sent,
                });
            }
            ToShard::Shutdown => {
                self.stop_at = Some(self.now.plus_ms(self.parts.shutdown_ms));
                self.handle(Input::Shutdown);
            }
        }
    }

    /// A client comes in: its CONNECT is handled, and whatever it sent behind it, before its
    /// socket is waited for.
    fn open(&mut self, hand_off: HandOff) {
        let HandOff { socket, peer, bytes, client_id, assigned, place } = hand_off;
        let stream = match socket {
            Socket::Here(stream) => stream,
            Socket::Elsewhere(stream) => match TcpStream::from_std(stream) {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%peer, %error, "a connection could not be taken over");
                    return;
                }
            },
        };
        if self.stop_at.is_some() {
            return;
        }
        let Ok(Framed::Whole(frame)) = codec::frame(&bytes, usize::MAX) else { return };
        let Ok(Packet::Connect(connect)) = codec::decode(frame, From::Client, codec::Version::V5)
        else {
            return;
        };
        let entry = self.connections.vacant_entry();
        self.generation = self.generation.wrapping_add(1);
        let link = LinkKey::new(entry.key() as u32, self.generation);
        let totals = &self.parts.totals;
        entry.insert(Connection::new(
            stream,
            link,
            connect.version,
            peer,
            client_id.as_str().into(),
            &self.queue,
            totals,
            place,
        ));
        let opening = Opening { connect: &connect, client_id: &client_id, assigned };
        self.handle(Input::Opened(link, opening));
        if self.fx.sends.outbox(link).is_some_and(|o| o.closing().is_none()) {
            tracing::info!(
                client_id,
                %peer,
                version = version_name(connect.version),
                clean_start = connect.clean_start,
                keep_alive_s = connect.keep_alive_s,
                "client connected"
            );
        }
        self.bytes_received += bytes.len() as u64;
        self.feed(link, &bytes[frame.len..]);
        if let Some(connection) = self.connections.get(link.index()) {
            connection.wake();
        }
    }

    fn is_current(&self, link: LinkKey) -> bool {
        self.connections.get(link.index()).is_some_and(|c| c.link == link)
    }

    /// One connection's turn: one read.
    fn turn(&mut self, slot: usize) {
        let Some(c) = self.connections.get_mut(slot) else { return };
        c.start_turn();
        let link = c.link;
        if c.blocked {
            self.flush(link);
        }
        let unread = 2 * self.parts.output_bytes_max;
        if let Some(outbox) = self.fx.sends.outbox(link)
            && outbox.closing().is_none()
            && (outbox.reads_held || outbox.copied_backlog() >= unread)
        {
            return; // woken again when the broker frees it, or the socket takes more
        }
        if self.connections.get(slot).is_some_and(|c| c.unhandled && c.link == link) {
            return self.go_on(link);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        self.read(link, &mut scratch);
        self.scratch = scratch;
    }

    /// What a turn had no time for comes before what the socket has.
    fn go_on(&mut self, link: LinkKey) {
        if let Some(c) = self.connections.get_mut(link.index()) {
            c.unhandled = false;
            c.wake();
            let bytes = std::mem::take(&mut c.partial);
            self.feed_own(link, bytes);
        }
    }

    fn read(&mut self, link: LinkKey, scratch: &mut [u8]) {
        let Some(c) = self.connections.get_mut(link.index()) else { return };
        if c.closing.is_some() {
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
            ReadEnd::Pending => return,
            // Who only half closes still reads what this pass has for it.
            ReadEnd::Over(None) => return self.ended.push(link),
            ReadEnd::Over(error) => return self.over(link, error),
            ReadEnd::Bytes(n) => n,
        };
        self.bytes_received += n as u64;
        let full = n == room;
        if !full {
            c.wait_readable();
        }
        if kept > 0 || c.partial.is_empty() {
            c.partial.clear();
            self.feed(link, &scratch[..kept + n]);
        } else {
            let mut bytes = std::mem::take(&mut c.partial);
            bytes.extend_from_slice(&scratch[..n]);
            self.feed_own(link, bytes);
        }
        if full && let Some(c) = self.connections.get(link.index()) {
            c.wake();
        }
    }

    /// Handles the whole packets in `bytes`; the rest is kept.
    fn feed(&mut self, link: LinkKey, bytes: &[u8]) {
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
        let Some(c) = self.connections.get(link.index()) else { return bytes.len() };
        let version = c.version;
        let (mut at, mut left) = (0, PACKETS_PER_TURN);
        loop {
            // Nothing behind a DISCONNECT or a takeover is looked at.
            match self.fx.sends.outbox(link) {
                Some(outbox) if outbox.closing().is_none() => {
                    if outbox.reads_held {
                        return at;
                    }
                }
                _ => return bytes.len(),
            }
            if left == 0 {
                if let Some(c) = self.connections.get_mut(link.index()) {
                    c.unhandled = true;
                    c.wake();
                }
                return at;
            }
            left -= 1;
            match codec::frame(&bytes[at..], self.parts.packet_bytes_max) {
                Ok(Framed::Partial { .. }) => return at,
                Ok(Framed::Whole(frame)) => {
                    at += frame.len;
                    match codec::decode(frame, From::Client, version) {
                        Ok(packet) => self.handle(Input::Packet(link, packet)),
                        Err(error) => self.handle(Input::Malformed(link, error)),
                    }
                }
                Err(error) => self.handle(Input::Malformed(link, error)),
            }
        }
    }

    /// Commits, sends to the other shards, and flushes, until nothing is left that can be done
    /// without waiting.
    fn settle(&mut self) {
        for _ in 0..FLUSHES_PER_PASS {
            self.commit();
            self.resume();
            self.send_peers();
            if !self.fx.sends.is_dirty() {
                return;
            }
            let mut dirty = std::mem::take(&mut self.dirty);
            self.fx.sends.take_dirty(&mut dirty);
            for &link in &dirty {
                self.flush(link);
            }
            if dirty.capacity() <= LIST_KEPT_MAX {
                self.dirty = dirty;
            }
        }
        self.commit();
        self.send_peers();
    }

    fn commit(&mut self) {
        if !self.fx.records.is_empty() {
            let last = self.parts.broker.last_seq();
            if let Some(seq) = self.parts.store.append(&mut self.fx.records, last) {
                self.handle(Input::Committed(seq));
            }
        }
        // Nothing asks for answers yet: authorizers and read-backs come with their stores.
        self.fx.requests.clear();
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
                c.wake();
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
    fn flush(&mut self, link: LinkKey) {
        if !self.is_current(link) {
            return;
        }
        let Some(c) = self.connections.get_mut(link.index()) else { return };
        let Some(outbox) = self.fx.sends.outbox_mut(link) else { return };
        if outbox.backlog() > 0 {
            match c.write(outbox) {
                Ok(n) => self.bytes_sent += n as u64,
                Err(error) => return self.over(link, Some(error)),
            }
        }
        let (backlog, wants_room) = (outbox.backlog(), outbox.wants_room);
        if let Some(closing) = outbox.closing() {
            return self.close(link, closing, backlog);
        }
        if backlog == 0 {
            self.fx.sends.recycle(link);
        }
        if wants_room {
            self.handle(Input::Wrote(link, backlog));
        }
    }

    /// The broker has ended the link: what is left is written, then our side is shut down, and
    /// the client is given time to read it. Closing at once would make the system throw away what
    /// the client has not read yet.
    fn close(&mut self, link: LinkKey, why: Closing, backlog: usize) {
        let Some(c) = self.connections.get_mut(link.index()) else { return };
        if c.closing.is_none() {
            let deadline = self.now.plus_ms(CLOSING_MS);
            c.closing = Some(deadline);
            c.partial = Vec::new();
            c.count_partial(usize::MAX);
            self.closing.push_back((deadline, link));
            c.wake(); // reads on, to see the client's end of it
            log_end(c, why.why, why.reason);
        }
        if backlog == 0 {
            c.shut();
        }
    }

    /// Reads and forgets what a client still sends on a connection that is being closed.
    fn discard(&mut self, link: LinkKey, scratch: &mut [u8]) {
        let Some(c) = self.connections.get_mut(link.index()) else { return };
        match c.read(scratch) {
            ReadEnd::Pending => {}
            ReadEnd::Bytes(_) => c.wake(),
            ReadEnd::Over(_) => self.remove(link),
        }
    }

    fn close_overdue(&mut self) {
        while let Some(&(at, link)) = self.closing.front()
            && (at <= self.now || !self.is_current(link))
        {
            self.closing.pop_front();
            if self.is_current(link) {
                self.remove(link);
            }
        }
    }

    /// Ends the connections that their clients have closed.
    fn end(&mut self) {
        if self.ended.is_empty() {
            return;
        }
        for link in std::mem::take(&mut self.ended) {
            if self.is_current(link) {
                self.over(link, None);
            }
        }
        self.settle();
    }

    /// The socket is at its end.
    fn over(&mut self, link: LinkKey, error: Option<std::io::Error>) {
        let Some(c) = self.connections.get(link.index()) else { return };
        if c.closing.is_none() {
            match &error {
                None => log_end(c, "the client closed the connection", ReasonCode::Success),
                Some(error) => {
                    let (client_id, peer) = (&c.client_id, &c.peer);
                    tracing::info!(
                        %client_id,
                        %peer,
                        version = version_name(c.version),
                        %error,
                        why = "the connection broke",
                        "client disconnected"
                    );
                }
            }
        }
        self.remove(link);
        self.handle(Input::Closed(link));
    }

    fn remove(&mut self, link: LinkKey) {
        if self.is_current(link) {
            self.connections.remove(link.index());
            self.fx.sends.forget(link);
        }
    }
}

fn log_end(c: &Connection, why: &'static str, reason: ReasonCode) {
    tracing::info!(
        client_id = %c.client_id,
        peer = %c.peer,
        version = version_name(c.version),
        why,
        reason = format_args!("{:#04x}", reason.as_u8()),
        "client disconnected"
    );
}

fn version_name(version: codec::Version) -> &'static str {
    match version {
        codec::Version::V31 => "3.1",
        codec::Version::V311 => "3.1.1",
        codec::Version::V5 => "5.0",
    }
}
