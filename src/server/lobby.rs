//! The lobby: every listener on which more has to happen than a CONNECT without a name.
//!
//! A thread of its own with a runtime, a task for each guest: PROXY header, TLS, WebSocket, CONNECT
//! and who it is (`lobby/guest.rs`); then the socket goes to the session's home with all that it
//! brought. May use: the runtime, sockets that never block, the clock. Invariants: a guest has
//! deadlines and bounded buffers, and touches nothing of a broker; how many there are at once is
//! bounded, and those who do not get on give way to those who come; who does not get in is told of
//! in one log line.

mod crowd;
mod guest;
mod refused;
mod stream;
mod talk;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::Interest;
use tokio::runtime::Builder;
use tokio::sync::{Notify, oneshot};
use tokio::task::{LocalSet, spawn_local};

use super::authority::Authority;
use super::doors::Entrance;
use super::mailbox::Sender;
use super::porch::{Porch, is_the_peers};
use super::socket::{Peer, Socket};
use super::totals::Place;
use crate::config::{Network, Proxy};
use crowd::{Crowd, Number, Rate};
use guest::Guest;
use stream::waited_for;

/// How many connections are accepted before guests have their turn.
const ACCEPTS_AT_ONCE: usize = 64;
/// How long accepting rests when the system has no file descriptor or memory left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How often the log is told so.
const ACCEPT_WARN_EVERY: Duration = Duration::from_secs(10);
/// What is read of a guest at once.
const READ_BYTES: usize = 4096;

/// What the lobby is made of.
pub(super) struct LobbyParts {
    pub(super) entrances: Vec<Entrance>,
    pub(super) porch: Arc<Porch>,
    pub(super) authority: Arc<Authority>,
    /// every shard's mailbox
    pub(super) shards: Vec<Sender>,
    pub(super) half_received_bytes_max: usize,
}

/// The lobby at work.
pub(super) struct Lobby {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// What its guests have in common.
struct Desk {
    porch: Arc<Porch>,
    authority: Arc<Authority>,
    shards: Vec<Sender>,
    half_received_bytes_max: usize,
    /// What one guest reads into, for as long as it does not wait.
    scratch: RefCell<Box<[u8; READ_BYTES]>>,
}

/// One listener at work.
struct Way {
    entrance: Entrance,
    crowd: RefCell<Crowd>,
    /// Somebody has come in or gone.
    room: Notify,
    rate: RefCell<Rate>,
}

impl Lobby {
    /// Lets clients come, on a thread of its own.
    pub(super) fn start(parts: LobbyParts) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("lobby".into()).spawn(move || {
            let local = LocalSet::new();
            local.block_on(&runtime, async {
                open(parts);
                let _ = stopped.await;
            });
            // Guests go with it, and the listeners.
            drop(local);
            runtime.shutdown_background();
        })?;
        Ok(Self { stop, thread })
    }

    /// Nobody is taken in any more, and who has not entered yet goes.
    pub(super) fn stop(self) -> JoinHandle<()> {
        let _ = self.stop.send(());
        self.thread
    }
}

fn open(parts: LobbyParts) {
    let LobbyParts { entrances, porch, authority, shards, half_received_bytes_max } = parts;
    let scratch = RefCell::new(Box::new([0; READ_BYTES]));
    let desk = Rc::new(Desk { porch, authority, shards, half_received_bytes_max, scratch });
    for entrance in entrances {
        let rules = &entrance.rules;
        let crowd = Crowd::new(rules.handshakes_max, rules.handshakes_per_source_max);
        let rate = Rate::new(rules.connections_per_s_max, Instant::now());
        let (crowd, rate, room) = (RefCell::new(crowd), RefCell::new(rate), Notify::new());
        spawn_local(attend(Rc::clone(&desk), Rc::new(Way { entrance, crowd, room, rate })));
    }
}

/// Takes in who comes to one listener.
async fn attend(desk: Rc<Desk>, way: Rc<Way>) {
    let listener = match waited_for(way.entrance.socket.as_fd(), Interest::READABLE) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the lobby cannot wait at its listeners");
            std::process::exit(1);
        }
    };
    let mut warn_again = Instant::now();
    let mut accepted = 0;
    loop {
        let full_for = way.crowd.borrow().full_for(Instant::now());
        if let Some(wait) = full_for {
            let _ = tokio::time::timeout(wait, way.room.notified()).await;
            continue;
        }
        match listener.async_io(Interest::READABLE, accept).await {
            Ok((socket, peer)) => welcome(&desk, &way, socket, peer),
            Err(error) if is_the_peers(&error) => {}
            Err(error) => {
                if warn_again <= Instant::now() {
                    warn_again = Instant::now() + ACCEPT_WARN_EVERY;
                    let address = way.entrance.name.as_str();
                    tracing::warn!(%error, address, "accepting rests for a moment");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        accepted += 1;
        if accepted % ACCEPTS_AT_ONCE == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Accepts one, who does not block.
fn accept(listener: &impl AsFd) -> io::Result<(Socket, Peer)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (socket, address) = acceptfrom_with(listener, flags)?;
    let address = address.and_then(|address| SocketAddr::try_from(address).ok());
    let peer = match address {
        Some(address) => Peer::Ip(address),
        None => {
            let who = rustix::net::sockopt::socket_peercred(&socket)?;
            let pid = who.pid.as_raw_nonzero().get();
            Peer::Unix { uid: who.uid.as_raw(), pid }
        }
    };
    Ok((socket_of(socket, peer), peer))
}

fn socket_of(fd: OwnedFd, peer: Peer) -> Socket {
    match peer {
        Peer::Ip(_) => std::net::TcpStream::from(fd).into(),
        Peer::Unix { .. } => std::os::unix::net::UnixStream::from(fd).into(),
    }
}

/// What can be said of a connection before it says anything.
fn welcome(desk: &Rc<Desk>, way: &Rc<Way>, socket: Socket, peer: Peer) {
    let (rules, totals) = (&way.entrance.rules, &desk.porch.totals);
    let refuse = |counter: &AtomicU64, why| {
        counter.fetch_add(1, Relaxed);
        let listener = way.entrance.name.as_str();
        tracing::info!(%peer, listener, why, "connection refused");
    };
    if !way.rate.borrow_mut().take(Instant::now()) {
        let why = "more connections come in than connections_per_s_max";
        return refuse(&totals.refused_rate, why);
    }
    let expects_header = rules.proxy != Proxy::Off;
    if expects_header && !is_among(&rules.proxy_from, &peer) {
        return refuse(&totals.refused_sources, "proxy_from does not name this proxy");
    }
    if !expects_header && let Err(why) = way.may_come(&peer) {
        return refuse(&totals.refused_sources, why);
    }
    let (max, own_max) = (desk.porch.connections_max, rules.connections_max);
    let Some(place) = Place::take(totals, max, &way.entrance.connections, own_max) else {
        let listener = way.entrance.name.as_str();
        let why = "connections_max is reached";
        return tracing::info!(%peer, listener, why, "connection refused");
    };
    let (go, told) = oneshot::channel();
    let number = way.crowd.borrow_mut().come(Instant::now(), go);
    let ticket = Ticket { way: Rc::clone(way), number };
    if !expects_header && !ticket.from(&peer) {
        return refuse(&totals.refused_handshakes, SOURCE_FULL);
    }
    match Guest::new(Rc::clone(desk), ticket, socket, peer, place) {
        Ok(guest) => drop(spawn_local(guest.receive(told))),
        Err(error) => tracing::warn!(%peer, %error, "a connection could not be taken over"),
    }
}

/// Why a newcomer goes whose source has others on their way in.
const SOURCE_FULL: &str = "handshakes_per_source_max is reached";

impl Way {
    /// Whether a client may come from there.
    fn may_come(&self, peer: &Peer) -> Result<(), &'static str> {
        let rules = &self.entrance.rules;
        let Peer::Ip(address) = peer else { return Ok(()) };
        if rules.deny_from.iter().any(|network| network.contains(address.ip())) {
            return Err("deny_from names this address");
        }
        if !rules.allow_from.is_empty() && !is_among(&rules.allow_from, peer) {
            return Err("allow_from does not name this address");
        }
        Ok(())
    }
}

/// Whether one of `networks` has it. Who reaches a Unix socket has been let in by its mode.
fn is_among(networks: &[Network], peer: &Peer) -> bool {
    match peer {
        Peer::Ip(address) => networks.iter().any(|network| network.contains(address.ip())),
        Peer::Unix { .. } => true,
    }
}

/// A guest's place among those on their way in.
struct Ticket {
    way: Rc<Way>,
    number: Number,
}

impl Ticket {
    /// Whether it may be one more of its source.
    fn from(&self, peer: &Peer) -> bool {
        self.way.crowd.borrow_mut().from(self.number, crowd::source(peer))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.way.crowd.borrow_mut().gone(self.number);
        self.way.room.notify_one();
    }
}
