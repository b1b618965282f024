//! How a connection ends: the broker ends its link, its client closes it, it breaks, or the client
//! breaks the rules of what lies below MQTT.
//!
//! May use: sockets that never block. Invariants: where the broker did not end it, it is told once,
//! and what the client sent before the end has been handled then; where it did, what it had for the
//! client is written, and the client has time to read it.

use std::io;

use super::connection::{Connection, ReadEnd, Stage, version_name};
use super::guests::REFUSAL_MS;
use super::porch::Turned;
use super::shard::Shard;
use crate::broker::{Closing, Input, LinkKey};
use crate::codec::ReasonCode;
use crate::store::Store;

/// How long a client may take to read the last bytes of a connection that the broker ends, in ms.
const CLOSING_MS: u64 = 5_000;

impl<S: Store> Shard<S> {
    /// Ends the connections that their clients have closed.
    pub(super) fn end(&mut self) {
        if self.ended.is_empty() {
            return;
        }
        self.more_is_ready = false;
        self.write_held(); // who only half closes still reads what this pass has for it
        for link in std::mem::take(&mut self.ended) {
            if self.is_current(link) {
                self.over(link, None);
            }
        }
        self.settle();
    }

    /// The broker has ended the link: what is left is written, then our side is shut down, and
    /// the client is given time to read it. Closing at once would make the system throw away what
    /// the client has not read yet.
    pub(super) fn close(&mut self, link: LinkKey, why: Closing, backlog: usize) {
        let Some(c) = self.connections.get_mut(link.index()) else { return };
        if c.stage != Stage::Closing {
            c.stage = Stage::Closing;
            c.partial = Vec::new();
            c.count_partial(usize::MAX);
            log_end(c, why.why, why.reason);
            self.set_deadline(link, self.now.plus_ms(CLOSING_MS));
            self.wake(link); // reads on, to see the client's end of it
        }
        if backlog == 0
            && let Some(c) = self.connections.get_mut(link.index())
        {
            c.shut(why.reason);
        }
    }

    /// Reads and forgets what a client still sends on a connection that is being closed.
    pub(super) fn discard(&mut self, link: LinkKey, scratch: &mut [u8]) {
        let Some(c) = self.connections.get_mut(link.index()) else { return };
        match c.discard(scratch) {
            ReadEnd::Pending => {}
            ReadEnd::Bytes(_) => self.wake(link),
            ReadEnd::Over(_) | ReadEnd::Wrong(_) => self.remove(link),
        }
    }

    /// The socket is at its end.
    pub(super) fn over(&mut self, link: LinkKey, error: Option<io::Error>) {
        let Some(c) = self.connections.get_mut(link.index()) else { return };
        if c.stage == Stage::Porch {
            let why = match error {
                None => "the client closed before CONNECT was whole",
                Some(_) => "the connection broke before CONNECT was whole",
            };
            return self.turn_away(link, Turned::Left(why));
        }
        match &error {
            None if c.has_layers() => c.shut(ReasonCode::Success), // their end is answered
            None => {}
            Some(error) if c.stage == Stage::Link => log_break(c, error, "the connection broke"),
            Some(_) => {}
        }
        if c.stage == Stage::Link && error.is_none() {
            log_end(c, "the client closed the connection", ReasonCode::Success);
        }
        self.remove(link);
        self.handle(Input::Closed(link));
    }

    /// The client broke the rules of TLS or WebSocket. It is told, and has a moment to read it.
    pub(super) fn wrong(&mut self, link: LinkKey, error: &io::Error) {
        let Some(c) = self.connections.get_mut(link.index()) else { return };
        log_break(c, error, "the client broke the rules below MQTT");
        c.shut(ReasonCode::ProtocolError);
        c.stage = Stage::Closing;
        c.partial = Vec::new();
        c.count_partial(usize::MAX);
        self.set_deadline(link, self.now.plus_ms(REFUSAL_MS));
        self.wake(link);
        self.fx.sends.forget(link);
        self.handle(Input::Closed(link));
    }
}

fn log_break(c: &Connection, error: &io::Error, why: &'static str) {
    tracing::info!(
        client_id = %c.about.client_id,
        peer = %c.about.peer,
        version = version_name(c.version),
        %error,
        why,
        "client disconnected"
    );
}

pub(super) fn log_end(c: &Connection, why: &'static str, reason: ReasonCode) {
    tracing::info!(
        client_id = %c.about.client_id,
        peer = %c.about.peer,
        version = version_name(c.version),
        why,
        reason = format_args!("{:#04x}", reason.as_u8()),
        "{}",
        if c.about.welcome { "client disconnected" } else { "connection refused" }
    );
}
