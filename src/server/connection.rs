//! The socket side of a link: bytes in, bytes out, and the way to close.
//!
//! May use: sockets that never block. Invariants: an idle connection owns no buffer; of a packet
//! that is not whole, only the bytes that have arrived are kept; after the broker has ended the
//! link, nothing that the client sends is looked at.

use std::io::{self, IoSlice};

use super::layers::Layers;
use super::socket::{Peer, Socket};
use super::totals::{HalfReceived, Place};
use crate::broker::{LinkKey, Outbox, Safety, Time};
use crate::codec::{ReasonCode, Version, websocket};

/// Slices of one vectored write.
const SLICES_MAX: usize = 16;

/// What happens to a connection's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// They are the CONNECT, or a part of it: the broker does not know of it yet.
    Porch,
    /// They are packets of a link.
    Link,
    /// All is said, and they are thrown away; until the deadline the client may take its time to
    /// read it.
    Closing,
}

/// One connection of a shard. One cache line: each turn touches one.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Connection {
    pub(crate) socket: Socket,
    pub(crate) link: LinkKey,
    pub(crate) stage: Stage,
    pub(crate) version: Version,
    /// Stands in the shard's list of connections that get a turn.
    pub(crate) queued: bool,
    /// The socket may have something to read.
    pub(crate) readable: bool,
    /// After what the socket has comes its end.
    pub(crate) over: bool,
    /// The socket takes no more for now, and something waits for it, here or in the outbox.
    pub(crate) blocked: bool,
    /// There are whole packets in `partial`, which its turn had no time for.
    pub(crate) unhandled: bool,
    /// Our side of the socket is shut down.
    pub(crate) shut: bool,
    /// The bytes of a packet that is not whole yet.
    pub(crate) partial: Vec<u8>,
    /// How many of them are counted.
    counted: u32,
    pub(crate) about: Box<About>,
    /// What lies between the socket and MQTT; `None`: nothing.
    layers: Option<Box<Layers>>,
}

/// What is seldom needed: apart, so that a turn touches less memory.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) peer: Peer,
    /// Empty on the porch.
    pub(crate) client_id: Box<str>,
    /// The broker took its CONNECT.
    pub(crate) welcome: bool,
    /// The door by which it came, while it is on the porch.
    pub(crate) door: u32,
    /// As that says.
    pub(crate) safety: Option<Safety>,
    /// When its stage must be over.
    pub(crate) deadline: Time,
    pub(crate) half_received: HalfReceived,
    pub(crate) place: Place,
}

/// What came of a read.
#[derive(Debug)]
pub(crate) enum ReadEnd {
    /// so many bytes
    Bytes(usize),
    /// nothing now
    Pending,
    /// the connection is over: `None` in an orderly way
    Over(Option<io::Error>),
    /// the peer broke the rules of TLS or WebSocket, and is to be told so
    Wrong(io::Error),
}

impl Connection {
    pub(crate) fn new(
        socket: Socket,
        layers: Option<Box<Layers>>,
        link: LinkKey,
        about: About,
    ) -> Self {
        Self {
            socket,
            link,
            stage: Stage::Porch,
            version: Version::V311,
            queued: false,
            // What is in the layers' hands is handled before the socket is waited for.
            readable: layers.as_ref().is_some_and(|layers| layers.in_hand()),
            over: false,
            blocked: layers.as_ref().is_some_and(|layers| layers.wants_write()),
            unhandled: false,
            shut: false,
            partial: Vec::new(),
            counted: 0,
            about: Box::new(about),
            layers,
        }
    }

    /// Reads once into `buffer`. A read that leaves room has drained the socket, so that the next
    /// one waits for news.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> ReadEnd {
        if self.layers.is_some() {
            return self.read_layers(buffer);
        }
        let room = buffer.len();
        match self.socket.recv(buffer) {
            Ok(0) => ReadEnd::Over(None),
            Ok(n) => {
                self.readable = n == room || self.over;
                ReadEnd::Bytes(n)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                ReadEnd::Pending
            }
            Err(error) => ReadEnd::Over(Some(error)),
        }
    }

    pub(crate) fn has_layers(&self) -> bool {
        self.layers.is_some()
    }

    fn read_layers(&mut self, buffer: &mut [u8]) -> ReadEnd {
        let Some(layers) = &mut self.layers else { return ReadEnd::Pending };
        let end = layers.read(&self.socket, buffer);
        self.readable = layers.in_hand() || (self.over && !layers.is_dry());
        if !self.blocked && layers.wants_write() {
            // A pong or an alert. If it cannot be written, the next read says why.
            self.blocked = !layers.flush(&self.socket).unwrap_or(true);
        }
        end
    }

    /// Reads and forgets what comes on a connection that is being closed, below all layers.
    pub(crate) fn discard(&mut self, buffer: &mut [u8]) -> ReadEnd {
        match self.socket.recv(buffer) {
            Ok(0) => ReadEnd::Over(None),
            Ok(n) => ReadEnd::Bytes(n),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                ReadEnd::Pending
            }
            Err(error) => ReadEnd::Over(Some(error)),
        }
    }

    /// Writes what is in the outbox; returns the bytes written. What takes less than it was given
    /// takes no more: the system tells when it does.
    pub(crate) fn write(&mut self, outbox: &mut Outbox) -> io::Result<usize> {
        if let Some(layers) = &mut self.layers {
            let written = layers.write(&self.socket, outbox);
            self.blocked = outbox.backlog() > 0 || layers.wants_write();
            return written;
        }
        let mut written = 0;
        self.blocked = false;
        while outbox.backlog() > 0 && !self.blocked {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = outbox.slices(&mut slices);
            let slices = &slices[..count];
            match self.socket.send(slices)? {
                Some(0) => return Err(io::ErrorKind::WriteZero.into()),
                Some(n) => {
                    self.blocked = n < slices.iter().map(|s| s.len()).sum();
                    written += n;
                    outbox.advance(n);
                }
                None => self.blocked = true,
            }
        }
        Ok(written)
    }

    /// Writes `bytes`, the first and last that this client gets: a socket has room for so few.
    pub(crate) fn write_last(&mut self, bytes: &[u8]) {
        let _ = match &mut self.layers {
            None => self.socket.send(&[IoSlice::new(bytes)]).map(|_| ()),
            Some(layers) => layers.write_plain(&self.socket, bytes).map(|_| ()),
        };
    }

    /// Notes how much is kept of what is not whole yet; false if that is too much in all.
    pub(crate) fn count_partial(&mut self, max: usize) -> bool {
        let len = self.partial.len() + self.kept_bytes();
        if self.counted as usize == len {
            return true;
        }
        self.counted = len as u32; // a packet has less than 2^28 bytes
        self.about.half_received.set(len, max)
    }

    /// The bytes that its layers keep of what is not whole yet.
    pub(crate) fn kept_bytes(&self) -> usize {
        match &self.layers {
            Some(layers) if self.stage != Stage::Closing => layers.kept_bytes(),
            _ => 0,
        }
    }

    /// Shuts our side down, so that the client reads everything and then the end. With layers that
    /// takes words, for which there may be no room yet: then it is `blocked`, and to be called
    /// again.
    pub(crate) fn shut(&mut self, reason: ReasonCode) {
        if self.shut {
            return;
        }
        if let Some(layers) = &mut self.layers {
            let code = match reason {
                ReasonCode::ServerShuttingDown => websocket::GOING_AWAY,
                _ => websocket::NORMAL,
            };
            self.blocked = !layers.close(&self.socket, code);
            if self.blocked {
                return;
            }
            self.layers = None;
        }
        self.shut = true;
        self.socket.shut_write();
    }
}

/// The version as log lines say it.
pub(super) fn version_name(version: Version) -> &'static str {
    match version {
        Version::V31 => "3.1",
        Version::V311 => "3.1.1",
        Version::V5 => "5.0",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There is one for each client: a field more is a decision, not an accident.
    #[test]
    fn sizes() {
        assert!(size_of::<Connection>() == 64, "{}", size_of::<Connection>());
        // glibc gives as much for 104 as for 96.
        assert!(size_of::<About>() <= 104, "{}", size_of::<About>());
    }
}
