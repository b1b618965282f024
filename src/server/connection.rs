//! The socket side of a link: bytes in, bytes out, and the way to close.
//!
//! May use: tokio's sockets. Invariants: an idle connection owns no buffer; of a packet that is
//! not whole, only the bytes that have arrived are kept; after the broker has ended the link,
//! nothing that the client sends is looked at.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::totals::{HalfReceived, Place, Totals};
use crate::broker::{LinkKey, Outbox, Time};
use crate::codec::Version;

/// Slices of one vectored write.
const SLICES_MAX: usize = 16;

/// The connections that have something to do, in the order in which they were woken.
#[derive(Debug, Default)]
pub(crate) struct ReadyQueue(Mutex<Ready>);

#[derive(Debug, Default)]
struct Ready {
    list: Vec<usize>,
    driver: Option<Waker>,
}

impl ReadyQueue {
    fn lock(&self) -> MutexGuard<'_, Ready> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Swaps the list into `list`, and wakes `driver` when the next connection is ready.
    pub(crate) fn take(&self, list: &mut Vec<usize>, driver: &Waker) {
        list.clear();
        let mut ready = self.lock();
        std::mem::swap(&mut ready.list, list);
        match &mut ready.driver {
            Some(waker) => waker.clone_from(driver),
            none => *none = Some(driver.clone()),
        }
    }
}

/// Wakes one connection: its slot goes into the queue, once.
#[derive(Debug)]
pub(crate) struct ConnectionWaker {
    slot: usize,
    queued: AtomicBool,
    queue: Arc<ReadyQueue>,
}

impl Wake for ConnectionWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queued.swap(true, AcqRel) {
            return;
        }
        let mut ready = self.queue.lock();
        ready.list.push(self.slot);
        if ready.list.len() == 1
            && let Some(driver) = &ready.driver
        {
            driver.wake_by_ref();
        }
    }
}

/// One connection of a shard.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    pub(crate) link: LinkKey,
    pub(crate) version: Version,
    pub(crate) peer: SocketAddr,
    pub(crate) client_id: Box<str>,
    /// The bytes of a packet that is not whole yet.
    pub(crate) partial: Vec<u8>,
    /// Whole packets among them, which its turn had no time for.
    pub(crate) unhandled: bool,
    half_received: HalfReceived,
    turn: Arc<ConnectionWaker>,
    /// The same, as the runtime wants it.
    waker: Waker,
    /// The socket takes no more for now.
    pub(crate) blocked: bool,
    /// All is said; until then the client may take its time to read it.
    pub(crate) closing: Option<Time>,
    /// Our side of the socket is shut down.
    pub(crate) shut: bool,
    _place: Place,
}

/// Tells the runtime that the socket has nothing more for now, though the call that found out was
/// not the one that failed: the next one need not be made.
fn drained(yes: bool) -> io::Result<()> {
    if yes { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
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
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a different thing that a connection has"
    )]
    pub(crate) fn new(
        stream: TcpStream,
        link: LinkKey,
        version: Version,
        peer: SocketAddr,
        client_id: Box<str>,
        queue: &Arc<ReadyQueue>,
        totals: &Arc<Totals>,
        place: Place,
    ) -> Self {
        let turn = Arc::new(ConnectionWaker {
            slot: link.index(),
            queued: AtomicBool::new(false),
            queue: Arc::clone(queue),
        });
        Self {
            stream,
            link,
            version,
            peer,
            client_id,
            partial: Vec::new(),
            unhandled: false,
            half_received: HalfReceived::new(totals),
            waker: Waker::from(Arc::clone(&turn)),
            turn,
            blocked: false,
            closing: None,
            shut: false,
            _place: place,
        }
    }

    /// Its turn has come: from now on it is queued again when it is woken.
    pub(crate) fn start_turn(&self) {
        self.turn.queued.store(false, std::sync::atomic::Ordering::Release);
    }

    /// Gives it another turn.
    pub(crate) fn wake(&self) {
        self.turn.wake_by_ref();
    }

    /// Reads once into `buffer`. A read that leaves room has drained the socket: the next one
    /// only asks to be woken.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> ReadEnd {
        let (stream, room) = (&self.stream, buffer.len());
        let mut got = None;
        let read = stream.try_io(Interest::READABLE, || {
            let (n, _) = retry_on_intr(|| recv(stream, &mut *buffer, RecvFlags::empty()))?;
            got = Some(n);
            drained(n > 0 && n < room)
        });
        match (got, read) {
            (Some(0), _) => ReadEnd::Over(None),
            (Some(n), _) => ReadEnd::Bytes(n),
            (None, Err(e)) if e.kind() != io::ErrorKind::WouldBlock => ReadEnd::Over(Some(e)),
            (None, _) => {
                self.wait_readable();
                ReadEnd::Pending
            }
        }
    }

    /// Asks to be woken when there is something to read; after a read that left room, at no
    /// system call.
    pub(crate) fn wait_readable(&mut self) {
        let mut cx = Context::from_waker(&self.waker);
        if self.stream.poll_read_ready(&mut cx).is_ready() {
            self.wake(); // the end came with the data
        }
    }

    /// Writes what is in the outbox; returns the bytes written.
    pub(crate) fn write(&mut self, outbox: &mut Outbox) -> io::Result<usize> {
        let mut written = 0;
        self.blocked = false;
        while outbox.backlog() > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = outbox.slices(&mut slices);
            match self.write_once(&slices[..count])? {
                Some(0) => return Err(io::ErrorKind::WriteZero.into()),
                Some(n) => {
                    written += n;
                    outbox.advance(n);
                }
                None => {
                    let mut cx = Context::from_waker(&self.waker);
                    if self.stream.poll_write_ready(&mut cx).is_pending() {
                        self.blocked = true;
                        break;
                    }
                }
            }
        }
        Ok(written)
    }

    /// One system call; `None` if the socket takes nothing now.
    fn write_once(&self, slices: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        let stream = &self.stream;
        let mut put = None;
        let wrote = stream.try_io(Interest::WRITABLE, || {
            let n = retry_on_intr(|| match slices {
                [one] => send(stream, one, SendFlags::NOSIGNAL),
                all => {
                    let mut nothing = SendAncillaryBuffer::default();
                    sendmsg(stream, all, &mut nothing, SendFlags::NOSIGNAL)
                }
            })?;
            put = Some(n);
            drained(n > 0 && n < slices.iter().map(|s| s.len()).sum())
        });
        match (put, wrote) {
            (None, Err(e)) if e.kind() != io::ErrorKind::WouldBlock => Err(e),
            (put, _) => Ok(put),
        }
    }

    /// Notes how much of an incomplete packet is kept; false if that is too much in all.
    pub(crate) fn count_partial(&mut self, max: usize) -> bool {
        self.half_received.set(self.partial.len(), max)
    }

    /// Shuts our side down, so that the client reads everything and then the end.
    pub(crate) fn shut(&mut self) {
        if !self.shut {
            self.shut = true;
            let _ = socket2::SockRef::from(&self.stream).shutdown(Shutdown::Write);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There is one for each client: a field more is a decision, not an accident.
    #[test]
    fn sizes() {
        assert!(size_of::<Connection>() <= 192, "{}", size_of::<Connection>());
    }
}
