//! How a connection ends that the broker did not end: its client closes it, it breaks, or the
//! client breaks the rules of what lies below MQTT.
//!
//! May use: sockets that never block. Invariant: the broker is told once, and what the client sent
//! before its end has been handled then.

use std::io;

use super::connection::{Connection, Stage, version_name};
use super::guests::REFUSAL_MS;
use super::porch::Turned;
use super::shard::Shard;
use crate::broker::{Input, LinkKey};
use crate::codec::ReasonCode;
use crate::store::Store;

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
        "client disconnected"
    );
}
