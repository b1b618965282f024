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

impl ConnectionWaker {
    /// A swap, not a store: what the turn reads must not be read before others see that they have
    /// to queue the slot again.
    fn start_turn(&self) {
        self.queued.swap(false, AcqRel);
    }
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
        self.turn.start_turn();
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
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    /// There is one for each client: a field more is a decision, not an accident.
    #[test]
    fn sizes() {
        assert!(size_of::<Connection>() <= 192, "{}", size_of::<Connection>());
    }

    /// The driver: counts its wake-ups and unparks the thread that stands for the shard.
    struct Driver {
        thread: thread::Thread,
        woken: AtomicUsize,
    }

    impl Wake for Driver {
        fn wake(self: Arc<Self>) {
            self.woken.fetch_add(1, Ordering::SeqCst);
            self.thread.unpark();
        }
    }

    fn waker(queue: &Arc<ReadyQueue>, slot: usize) -> Arc<ConnectionWaker> {
        let queue = Arc::clone(queue);
        Arc::new(ConnectionWaker { slot, queued: AtomicBool::new(false), queue })
    }

    fn driver() -> (Arc<Driver>, Waker) {
        let driver = Driver { thread: thread::current(), woken: AtomicUsize::new(0) };
        let driver = Arc::new(driver);
        (Arc::clone(&driver), Waker::from(driver))
    }

    #[test]
    fn a_slot_is_queued_once_until_its_turn() {
        let queue = Arc::new(ReadyQueue::default());
        let (driver, to_wake) = driver();
        let (a, b) = (waker(&queue, 1), waker(&queue, 2));
        let mut list = vec![9];
        queue.take(&mut list, &to_wake);
        assert!(list.is_empty());
        b.wake_by_ref();
        a.wake_by_ref();
        b.wake_by_ref();
        // One wake-up for all that came since the list was taken.
        assert_eq!(driver.woken.load(Ordering::SeqCst), 1);
        queue.take(&mut list, &to_wake);
        assert_eq!(list, [2, 1]);
        b.wake_by_ref();
        queue.take(&mut list, &to_wake);
        assert!(list.is_empty(), "its turn has not started");
        b.start_turn();
        b.wake_by_ref();
        queue.take(&mut list, &to_wake);
        assert_eq!(list, [2]);
        assert_eq!(driver.woken.load(Ordering::SeqCst), 2);
    }

    /// Other threads put work down and wake; this thread sleeps when there is nothing to do. All
    /// work is done: no wake-up gets lost between a turn's start, its end and the driver's sleep.
    #[test]
    fn no_wake_up_is_lost() {
        const SLOTS: usize = 8;
        const ROUNDS: usize = 30_000;
        let queue = Arc::new(ReadyQueue::default());
        let (_, to_wake) = driver();
        let wakers: Vec<_> = (0..SLOTS).map(|slot| waker(&queue, slot)).collect();
        // Work is put down before the wake-up, as the system puts bytes into a socket; Relaxed, so
        // that only the queue itself can order the two.
        let work: Vec<_> = (0..SLOTS).map(|_| AtomicUsize::new(0)).collect();
        let mut done = [0; SLOTS];
        let until = Instant::now() + Duration::from_secs(60);
        thread::scope(|scope| {
            for t in 0..3 {
                let (wakers, work) = (&wakers, &work);
                scope.spawn(move || {
                    for n in 0..ROUNDS {
                        let slot = (n * (t + 1) + t) % SLOTS;
                        work[slot].fetch_add(1, Ordering::Relaxed);
                        wakers[slot].wake_by_ref();
                        if n % 64 == 0 {
                            thread::yield_now(); // lets the driver run dry and sleep
                        }
                    }
                });
            }
            let mut list = Vec::new();
            while done.iter().sum::<usize>() < 3 * ROUNDS {
                queue.take(&mut list, &to_wake);
                if list.is_empty() {
                    // A lost wake-up shows as a sleep that nobody ends.
                    thread::park_timeout(Duration::from_secs(10));
                    assert!(Instant::now() < until, "{done:?} of {work:?}");
                }
                for &slot in &list {
                    wakers[slot].start_turn();
                    done[slot] = work[slot].load(Ordering::Relaxed);
                }
            }
        });
        let work: Vec<usize> = work.iter().map(|n| n.load(Ordering::Relaxed)).collect();
        assert_eq!(done.as_slice(), work);
        let mut list = Vec::new();
        queue.take(&mut list, &to_wake);
        assert!(list.len() <= SLOTS);
    }

    /// The same at the narrowest place: work that comes while a turn starts is either seen in that
    /// turn or brings another one. Nothing else comes that would make up for it.
    #[test]
    fn no_wake_up_is_lost_as_a_turn_starts() {
        const ROUNDS: usize = 200_000;
        let queue = Arc::new(ReadyQueue::default());
        let (_, to_wake) = driver();
        let one = waker(&queue, 0);
        let (work, seen, over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let lost = thread::scope(|scope| {
            let producer = scope.spawn(|| {
                let start = Instant::now();
                // Where threads share a processor, rounds take long: fewer have to do.
                for n in (0..ROUNDS).take_while(|_| start.elapsed() < Duration::from_secs(3)) {
                    work.fetch_add(1, Ordering::Relaxed);
                    one.wake_by_ref();
                    (0..n % 97).for_each(|_| std::hint::spin_loop());
                    let all = work.fetch_add(1, Ordering::Relaxed) + 1;
                    one.wake_by_ref();
                    let mut spins = 0_u32;
                    let mut since = None;
                    while seen.load(Ordering::Acquire) != all {
                        spins += 1;
                        if spins.is_multiple_of(1000) {
                            thread::yield_now();
                            let since = *since.get_or_insert_with(Instant::now);
                            if since.elapsed() > Duration::from_secs(5) {
                                over.store(true, Ordering::Release);
                                return Some(n);
                            }
                        }
                    }
                }
                over.store(true, Ordering::Release);
                None
            });
            let (mut list, mut idle) = (Vec::new(), 0_u32);
            while !over.load(Ordering::Acquire) {
                queue.take(&mut list, &to_wake);
                idle = if list.is_empty() { idle + 1 } else { 0 };
                if idle % 1000 == 999 {
                    thread::yield_now();
                }
                for _ in &list {
                    one.start_turn();
                    seen.store(work.load(Ordering::Relaxed), Ordering::Release);
                }
            }
            producer.join().unwrap_or(Some(0))
        });
        assert_eq!(lost, None, "lost in this round");
    }
}
