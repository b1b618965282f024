//! The socket side of a link: bytes in, bytes out, and the way to close.
//!
//! May use: tokio's sockets. Invariants: an idle connection owns no buffer; of a packet that is
//! not whole, only the bytes that have arrived are kept; after the broker has ended the link,
//! nothing that the client sends is looked at.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
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
        let mut buffer = ReadBuf::new(buffer);
        let mut cx = Context::from_waker(&self.waker);
        match Pin::new(&mut self.stream).poll_read(&mut cx, &mut buffer) {
            Poll::Pending => ReadEnd::Pending,
            Poll::Ready(Ok(())) => match buffer.filled().len() {
                0 => ReadEnd::Over(None),
                n => ReadEnd::Bytes(n),
            },
            Poll::Ready(Err(e)) => ReadEnd::Over(Some(e)),
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
        let mut cx = Context::from_waker(&self.waker);
        let mut written = 0;
        self.blocked = false;
        while outbox.backlog() > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = outbox.slices(&mut slices);
            let stream = Pin::new(&mut self.stream);
            let n = match (count, slices) {
                (1, [one, ..]) => stream.poll_write(&mut cx, &one),
                (_, all) => stream.poll_write_vectored(&mut cx, &all[..count]),
            };
            match n {
                Poll::Pending => {
                    self.blocked = true;
                    break;
                }
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => {
                    written += n;
                    outbox.advance(n);
                }
                Poll::Ready(Err(e)) => return Err(e),
            }
        }
        Ok(written)
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
