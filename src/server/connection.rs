//! The socket side of a link: bytes in, bytes out, and the way to close.
//!
//! May use: sockets that never block. Invariants: an idle connection owns no buffer; of a packet
//! that is not whole, only the bytes that have arrived are kept; after the broker has ended the
//! link, nothing that the client sends is looked at.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr, TcpStream};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};

use super::totals::{HalfReceived, Place};
use crate::broker::{LinkKey, Outbox, Safety, Time};
use crate::codec::Version;

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
    pub(crate) stream: TcpStream,
    pub(crate) link: LinkKey,
    pub(crate) stage: Stage,
    pub(crate) version: Version,
    /// Stands in the shard's list of connections that get a turn.
    pub(crate) queued: bool,
    /// The socket may have something to read.
    pub(crate) readable: bool,
    /// After what the socket has comes its end.
    pub(crate) over: bool,
    /// The socket takes no more for now.
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
}

/// What is seldom needed: apart, so that a turn touches less memory.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) peer: SocketAddr,
    /// Empty on the porch.
    pub(crate) client_id: Box<str>,
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
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, link: LinkKey, about: About) -> Self {
        Self {
            stream,
            link,
            stage: Stage::Porch,
            version: Version::V311,
            queued: false,
            readable: false,
            over: false,
            blocked: false,
            unhandled: false,
            shut: false,
            partial: Vec::new(),
            counted: 0,
            about: Box::new(about),
        }
    }

    /// Reads once into `buffer`. A read that leaves room has drained the socket, so that the next
    /// one waits for news.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> ReadEnd {
        let room = buffer.len();
        match retry_on_intr(|| recv(&self.stream, &mut *buffer, RecvFlags::empty())) {
            Ok((0, _)) => ReadEnd::Over(None),
            Ok((n, _)) => {
                self.readable = n == room || self.over;
                ReadEnd::Bytes(n)
            }
            Err(Errno::AGAIN) => {
                self.readable = false;
                ReadEnd::Pending
            }
            Err(e) => ReadEnd::Over(Some(e.into())),
        }
    }

    /// Writes what is in the outbox; returns the bytes written. What takes less than it was given
    /// takes no more: the system tells when it does.
    pub(crate) fn write(&mut self, outbox: &mut Outbox) -> io::Result<usize> {
        let mut written = 0;
        self.blocked = false;
        while outbox.backlog() > 0 && !self.blocked {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = outbox.slices(&mut slices);
            let slices = &slices[..count];
            match send_slices(&self.stream, slices)? {
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
        let _ = send_slices(&self.stream, &[IoSlice::new(bytes)]);
    }

    /// Notes how much of an incomplete packet is kept; false if that is too much in all.
    pub(crate) fn count_partial(&mut self, max: usize) -> bool {
        let len = self.partial.len();
        if self.counted as usize == len {
            return true;
        }
        self.counted = len as u32; // a packet has less than 2^28 bytes
        self.about.half_received.set(len, max)
    }

    /// Shuts our side down, so that the client reads everything and then the end.
    pub(crate) fn shut(&mut self) {
        if !self.shut {
            self.shut = true;
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }
}

/// One system call; `None` if the socket takes nothing now.
fn send_slices(stream: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
    let sent = retry_on_intr(|| match slices {
        [one] => send(stream, one, SendFlags::NOSIGNAL),
        all => {
            let mut nothing = SendAncillaryBuffer::default();
            sendmsg(stream, all, &mut nothing, SendFlags::NOSIGNAL)
        }
    });
    match sent {
        Ok(n) => Ok(Some(n)),
        Err(Errno::AGAIN) => Ok(None),
        Err(e) => Err(e.into()),
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
        assert!(size_of::<About>() <= 96, "{}", size_of::<About>());
    }
}
