//! epoll, level-triggered for the load and edge-triggered for the floor. Uses `error` alone; a
//! signal is no event.

use crate::error::{Error, Result};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use std::time::Duration;

/// Events that are taken at once.
const EVENTS: usize = 1024;

/// What a socket is watched for.
#[derive(Clone, Copy)]
pub enum Interest {
    /// It can be read.
    Read,
    /// It can be read or written.
    Both,
    /// Nothing but its end.
    End,
    /// It has become readable (told once).
    ReadEdge,
    /// It has become readable or writable (told once).
    BothEdge,
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Self::Read => EventFlags::IN,
            Self::Both => EventFlags::IN | EventFlags::OUT,
            Self::End => EventFlags::empty(),
            Self::ReadEdge => EventFlags::IN | EventFlags::ET,
            Self::BothEdge => EventFlags::IN | EventFlags::OUT | EventFlags::ET,
        }
    }
}

/// A socket that has something to say.
#[derive(Clone, Copy)]
pub struct Ready {
    /// What was given to `add`.
    pub token: usize,
    /// There is something to read, be it the end.
    pub read: bool,
    /// There is room to write.
    pub write: bool,
}

/// The set of sockets that are watched.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poller {
    /// An empty set.
    pub fn new() -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(Error::system("epoll_create1"))?;
        Ok(Self { epoll, events: Vec::with_capacity(EVENTS) })
    }

    /// Watches one more.
    pub fn add(&self, socket: impl AsFd, interest: Interest, token: usize) -> Result<()> {
        let data = EventData::new_u64(token as u64);
        epoll::add(&self.epoll, socket, data, interest.flags())
            .map_err(Error::system("epoll_ctl add"))
    }

    /// Watches it for something else from now on.
    pub fn change(&self, socket: impl AsFd, interest: Interest, token: usize) -> Result<()> {
        let data = EventData::new_u64(token as u64);
        epoll::modify(&self.epoll, socket, data, interest.flags())
            .map_err(Error::system("epoll_ctl mod"))
    }

    /// Waits at most so long (`None`: as long as it takes), and says who is ready.
    pub fn wait(&mut self, timeout_ms: Option<u32>, ready: &mut Vec<Ready>) -> Result<()> {
        ready.clear();
        self.events.clear();
        let timeout = timeout_ms.map(|ms| Timespec {
            tv_sec: i64::from(ms / 1000),
            tv_nsec: i64::from(ms % 1000) * 1_000_000,
        });
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, spare, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(Error::system("epoll_wait")(error)),
        }
        ready.extend(self.events.iter().map(|event| {
            let (flags, data) = (event.flags, event.data);
            Ready {
                token: data.u64() as usize,
                read: flags.intersects(!EventFlags::OUT),
                write: flags.contains(EventFlags::OUT),
            }
        }));
        Ok(())
    }
}

/// Gives up when nothing has come for long. Only time that was spent waiting counts: a machine that
/// stood still is no silence of the broker.
pub struct Patience {
    quiet: Duration,
    waited: Duration,
}

impl Patience {
    /// Of this length.
    pub fn new(quiet: Duration) -> Self {
        Self { quiet, waited: Duration::ZERO }
    }

    /// Something came (or not, after waiting so long).
    pub fn note(&mut self, progress: bool, waited_ms: u32) {
        self.waited += Duration::from_millis(u64::from(waited_ms));
        if progress {
            self.waited = Duration::ZERO;
        }
    }

    /// Whether it has lasted too long.
    pub fn is_over(&self) -> bool {
        self.waited >= self.quiet
    }
}
