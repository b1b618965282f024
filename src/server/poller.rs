//! What a shard sleeps on: its sockets, its doors and its mailbox.
//!
//! A shard asks the system itself (through mio, which tokio asks too) instead of a runtime: the
//! answer is a list of its own slots, and a connection needs no waker, no lock and no second
//! bookkeeping. May use: mio. Invariants: everything is registered once, for reading, and told of
//! once per change; who is told reads or writes until the system says that there is no more, or
//! remembers that it has not. Of room for writing only those are told that once lacked it: every
//! new connection has room, and to be told so would cost each of them a wait.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

/// How many events one wait takes. Few, for the sake of the processor's caches: what the system
/// has just looked at is still there when it is read, and what was read when it is answered
/// (measured with 1000 publishers: 3 % of the CPU time beside 1024).
const EVENTS_MAX: usize = 64;
/// The mailbox's token; the doors' come before it.
const MAIL: Token = Token(usize::MAX);
/// More doors than any configuration has.
const DOORS_MAX: usize = 1 << 16;

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Who is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// the connection in this slot
    Connection(usize),
    /// the listener with this number
    Door(usize),
    /// somebody put a message into an empty mailbox
    Mail,
}

impl Who {
    fn token(self) -> Token {
        match self {
            Self::Connection(slot) => Token(slot),
            Self::Door(number) => Token(MAIL.0 - 1 - number),
            Self::Mail => MAIL,
        }
    }

    fn of(token: Token) -> Self {
        match MAIL.0 - token.0 {
            0 => Self::Mail,
            n if n <= DOORS_MAX => Self::Door(n - 1),
            _ => Self::Connection(token.0),
        }
    }
}

/// What has changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) who: Who,
    /// there is something to read, or the end of it
    pub(crate) readable: bool,
    /// the peer has closed its side, or the connection is broken: after what there is to read
    /// comes the end
    pub(crate) over: bool,
}

/// The system's list of what a shard waits for.
#[derive(Debug)]
pub(crate) struct Poller {
    poll: Poll,
    events: Events,
    /// by slot, a bit each: connections that are told of room for writing
    writers: Vec<u64>,
}

const BITS: usize = u64::BITS as usize;

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_MAX),
            writers: Vec::new(),
        })
    }

    /// Ends a wait from another thread, as [`Who::Mail`].
    pub(crate) fn waker(&self) -> io::Result<Waker> {
        Waker::new(self.poll.registry(), MAIL)
    }

    /// From now on `who` is told of: a socket that does not block. `room`: also when it has room
    /// for writing again.
    pub(crate) fn add(&mut self, socket: &impl AsRawFd, who: Who, room: bool) -> io::Result<()> {
        if let Who::Connection(slot) = who {
            self.note_writer(slot, room);
        }
        let interest = if room { BOTH } else { Interest::READABLE };
        self.poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), who.token(), interest)
    }

    /// From now on the connection in this slot is told of room for writing too; if there is some
    /// again already, at once.
    pub(crate) fn want_room(&mut self, socket: &impl AsRawFd, slot: usize) -> io::Result<()> {
        if !self.note_writer(slot, true) {
            return Ok(());
        }
        let token = Who::Connection(slot).token();
        self.poll.registry().reregister(&mut SourceFd(&socket.as_raw_fd()), token, BOTH)
    }

    /// Notes whether a slot is told of room; whether that is new.
    fn note_writer(&mut self, slot: usize, is_one: bool) -> bool {
        let (word, bit) = (slot / BITS, 1 << (slot % BITS));
        if word >= self.writers.len() {
            self.writers.resize(word + 1, 0);
        }
        let before = self.writers[word];
        self.writers[word] = if is_one { before | bit } else { before & !bit };
        before != self.writers[word]
    }

    /// For a socket that goes elsewhere; one that is closed leaves by itself.
    pub(crate) fn remove(&self, socket: &impl AsRawFd) -> io::Result<()> {
        self.poll.registry().deregister(&mut SourceFd(&socket.as_raw_fd()))
    }

    /// Waits for `at_most`, and calls `each` for what has changed. True when there was no room
    /// for more, so that the next wait is likely to have some at once.
    pub(crate) fn wait(&mut self, at_most: Option<Duration>, mut each: impl FnMut(Change)) -> bool {
        if let Err(error) = self.poll.poll(&mut self.events, at_most) {
            // A signal came in between, which is no news. Nothing else happens to a list that is
            // valid: it is looked at again in the next pass.
            debug_assert_eq!(error.kind(), io::ErrorKind::Interrupted);
            return false;
        }
        let mut count = 0;
        for event in &self.events {
            let over = event.is_read_closed() || event.is_error();
            let readable = over || event.is_readable();
            each(Change { who: Who::of(event.token()), readable, over });
            count += 1;
        }
        count == EVENTS_MAX
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back() {
        for who in [Who::Mail, Who::Door(0), Who::Door(7), Who::Connection(0), Who::Connection(9)] {
            assert_eq!(Who::of(who.token()), who);
        }
    }

    /// A slot's next socket begins anew.
    #[test]
    fn who_lacked_room_is_told_of_it() {
        use std::io::{Read, Write};
        use std::os::unix::net::UnixStream;
        let mut poller = Poller::new().unwrap();
        let told = |poller: &mut Poller, at_most: Option<Duration>| {
            let mut all = Vec::new();
            poller.wait(at_most, |change| all.push((change.who, change.readable)));
            all
        };
        let who = Who::Connection(70);
        for _ in 0..2 {
            let (mut own, mut peer) = UnixStream::pair().unwrap();
            own.set_nonblocking(true).unwrap();
            peer.set_nonblocking(true).unwrap();
            poller.add(&own, who, false).unwrap();
            assert_eq!(told(&mut poller, Some(Duration::ZERO)), [], "it has room, and no news");
            while own.write(&[7; 4096]).is_ok() {}
            poller.want_room(&own, 70).unwrap();
            poller.want_room(&own, 70).unwrap();
            assert_eq!(told(&mut poller, Some(Duration::ZERO)), []);
            while peer.read(&mut [0; 4096]).is_ok() {}
            assert_eq!(told(&mut poller, None), [(who, false)]);
            assert!(peer.write(&[7]).is_ok());
            assert_eq!(told(&mut poller, None), [(who, true)]);
        }
    }
}
