//! Why a guest does not get in: what is logged, counted and said to it.
//!
//! Invariants: one log line each; whoever can be told is told, and has a moment to read it.

use std::io;
use std::sync::atomic::Ordering::Relaxed;

use tokio::io::Interest;

use super::super::authority::Denied;
use super::super::claims::Claims;
use super::super::porch::{EVICTED, Turned, refusal};
use super::guest::Guest;
use crate::codec::websocket::{self, HttpError, NORMAL};

/// Why a guest does not get in.
#[derive(Debug)]
pub(super) enum Refused {
    /// Nothing can be said to it.
    Silently(&'static str),
    /// What it sent is none of what its layers speak; they say so.
    Wrong(String),
    /// It is told in HTTP.
    Http(HttpError),
    /// It is told in MQTT, or has left.
    Mqtt(Turned),
    /// It took too long.
    Late(&'static str),
    /// Others came, and there were too many on their way in.
    Evicted,
}

/// Where on its way it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Proxy,
    Tls,
    Upgrade,
    Connect,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Proxy => "PROXY header",
            Self::Tls => "TLS handshake",
            Self::Upgrade => "WebSocket upgrade",
            Self::Connect => "CONNECT",
        }
    }

    /// That the client closed, or the connection broke.
    pub(super) fn left(self, error: Option<&io::Error>) -> Refused {
        Refused::Mqtt(Turned::Left(match (self, error) {
            (Self::Proxy, _) => "the connection ended before the PROXY header was whole",
            (Self::Tls, _) => "the connection ended in the TLS handshake",
            (Self::Upgrade, _) => "the connection ended before the WebSocket upgrade was done",
            (Self::Connect, None) => "the client closed before CONNECT was whole",
            (Self::Connect, Some(_)) => "the connection broke before CONNECT was whole",
        }))
    }

    /// What a failed TLS handshake says.
    pub(super) fn tls(error: &io::Error) -> Refused {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(error) => Refused::Wrong(format!("TLS handshake: {error}")),
            None => Self::Tls.left(Some(error)),
        }
    }
}

/// Why nobody is let in after a whole CONNECT.
pub(super) enum Stopped {
    Denied(Denied),
    Refused(Refused),
}

impl From<Denied> for Stopped {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<Refused> for Stopped {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// What the first bytes are, where a TLS handshake is to begin; `None`: the beginning of one.
pub(super) fn no_tls(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [] | [0x16, ..] => return None,
        [0x10, ..] => "MQTT without TLS, and the listener speaks TLS",
        [b'A'..=b'Z', ..] => "HTTP or other text, and the listener speaks TLS",
        _ => "this is no TLS handshake",
    })
}

/// The same where an HTTP request is to begin.
pub(super) fn no_http(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [0x16, ..] => "TLS, and the listener has none",
        [0x10, ..] => "MQTT without WebSocket, and the listener speaks WebSocket",
        _ => return None,
    })
}

impl Guest {
    /// One line, and the counters.
    pub(super) fn count_and_log(&self, refused: &Refused) {
        let totals = &self.desk.porch.totals;
        totals.failed_connects.fetch_add(1, Relaxed);
        if self.part != Part::Connect {
            totals.failed_handshakes.fetch_add(1, Relaxed);
        }
        let (peer, listener) = (&self.peer, self.ticket.way.entrance.name.as_str());
        let Claims { client_id, user: unverified_user } = &self.claims;
        let (client_id, unverified_user) = (client_id.as_deref(), unverified_user.as_deref());
        let refused_line = |why: &str, status: Option<u16>, reason: Option<String>| {
            tracing::info!(
                %peer, listener, client_id, unverified_user, why, status, reason,
                "connection refused"
            );
        };
        match refused {
            Refused::Silently(why) => refused_line(why, None, None),
            Refused::Wrong(why) => refused_line(why, None, None),
            Refused::Http(error) => refused_line(error.what, Some(error.status), None),
            Refused::Mqtt(Turned::Away(_, error)) => {
                let reason = format!("{:#04x}", error.reason.as_u8());
                refused_line(error.what, None, Some(reason));
            }
            Refused::Evicted => {
                totals.evicted_guests.fetch_add(1, Relaxed);
                refused_line(EVICTED, None, None);
            }
            Refused::Mqtt(Turned::Left(why)) => {
                let what = "connection without CONNECT closed";
                tracing::info!(%peer, listener, client_id, unverified_user, why, "{what}");
            }
            Refused::Late(why) => {
                let at = self.part.name();
                let what = "connection without CONNECT closed";
                tracing::info!(%peer, listener, client_id, unverified_user, why, at, "{what}");
            }
        }
    }

    /// Tells it why, where that can be told, and waits until it has read it: closing at once could
    /// throw away what it has not read. To be bounded by the caller.
    pub(super) async fn say_goodbye(&mut self, refused: Refused) {
        let last = match refused {
            Refused::Http(error) => Some(websocket::refusal(error)),
            Refused::Mqtt(Turned::Away(version, error)) => refusal(version, error),
            _ => None,
        };
        if let Some(bytes) = last {
            let _ = self.write(&bytes).await;
        }
        let (stream, layers) = (&self.stream, &mut self.layers);
        let closed = stream.when(Interest::WRITABLE, |socket| {
            if layers.close(socket, NORMAL) {
                Ok(())
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            }
        });
        let _ = closed.await;
        self.stream.socket().shut_write();
        while matches!(self.discard().await, Ok(1..)) {
            tokio::task::yield_now().await;
        }
    }

    async fn discard(&self) -> io::Result<usize> {
        let scratch = &self.desk.scratch;
        let read = |socket: &super::Socket| socket.recv(&mut scratch.borrow_mut()[..]);
        self.stream.when(Interest::READABLE, read).await
    }
}
