//! Connections between accept and a valid CONNECT: the shard at a door takes them in, and hands
//! each to its session's home, which is often another shard.
//!
//! May use: sockets that never block. Invariant: a guest has a deadline, counts against the limits
//! from accept on, and is not known to any broker.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use slab::Slab;

use super::claims::Claims;
use super::connection::{About, Connection, Stage, version_name};
use super::layers::Layers;
use super::mailbox::{HandOff, ToShard};
use super::poller::{Poller, Who};
use super::porch::{Door, EVICTED, Entrant, Turned, is_the_peers, refusal};
use super::shard::Shard;
use super::socket::{Peer, Socket};
use super::totals::{HalfReceived, Place};
use crate::auth::Identity;
use crate::broker::{Input, LinkKey, Opening, Time};
use crate::codec::{DecodeError, ReasonCode};
use crate::store::Store;

/// How many connections a pass accepts at each door.
const ACCEPTS_PER_PASS: usize = 64;
/// How long accepting rests when the system has no file descriptor or memory left, in ms.
const ACCEPT_PAUSE_MS: u64 = 200;
/// How often the log is told so, in ms.
const ACCEPT_WARN_EVERY_MS: u64 = 10_000;
/// How long a refused client may take to read why, in ms.
pub(super) const REFUSAL_MS: u64 = 500;

/// Whose porch was another thread's.
const NO_DOOR: u32 = u32::MAX;

/// The doors of a shard.
pub(super) struct Doors {
    pub(super) doors: Vec<Door>,
    /// Doors where somebody may stand, each once.
    knocked: VecDeque<usize>,
    /// Accepting rests until then.
    rests_until: Time,
    warn_again: Time,
}

impl Doors {
    /// They are closed: whoever comes waits with the system.
    pub(super) fn new(doors: Vec<Door>) -> Self {
        let knocked = VecDeque::new();
        Self { doors, knocked, rests_until: Time(0), warn_again: Time(0) }
    }

    /// Whoever stands there already is told of in the next pass.
    fn open(&self, poller: &mut Poller) -> io::Result<()> {
        for (number, door) in self.doors.iter().enumerate() {
            poller.add(&door.listener, Who::Door(number), false)?;
        }
        Ok(())
    }

    pub(super) fn knock(&mut self, number: usize) {
        if !self.knocked.contains(&number) {
            self.knocked.push_back(number);
        }
    }

    /// When accepting goes on.
    pub(super) fn next(&self) -> Time {
        if self.knocked.is_empty() { Time::NEVER } else { self.rests_until }
    }
}

/// Who a client is; by default nobody, for ever.
struct Known {
    identity: Arc<Identity>,
    /// when what it showed for that is no longer good
    ends: Time,
    /// the method of its enhanced authentication, and the data for its CONNACK
    authentication: Option<(String, Vec<u8>)>,
}

impl Default for Known {
    fn default() -> Self {
        Self { identity: Arc::default(), ends: Time::NEVER, authentication: None }
    }
}

impl<S: Store> Shard<S> {
    /// From here on clients come.
    pub(super) fn open_doors(&mut self) {
        if self.stop_at.is_none()
            && let Err(error) = self.doors.open(&mut self.parts.poller)
        {
            tracing::error!(%error, "a shard cannot wait at its listeners");
            std::process::exit(1);
        }
    }

    /// The process ends: nobody is taken in any more, and who has not entered yet goes.
    pub(super) fn close_doors(&mut self) {
        self.doors.doors.clear();
        self.doors.knocked.clear();
        let guests = self.connections.iter().filter(|(_, c)| c.stage == Stage::Porch);
        for link in guests.map(|(_, c)| c.link).collect::<Vec<_>>() {
            self.remove(link);
        }
    }

    /// Takes in who stands at the doors.
    pub(super) fn accept(&mut self) {
        if self.doors.next() > self.now {
            return;
        }
        for _ in 0..self.doors.knocked.len() {
            let Some(number) = self.doors.knocked.pop_front() else { return };
            if self.accept_at(number) {
                self.doors.knocked.push_back(number);
            }
        }
    }

    /// Accepts at one door; whether somebody may still stand there.
    fn accept_at(&mut self, number: usize) -> bool {
        for _ in 0..ACCEPTS_PER_PASS {
            let Some(door) = self.doors.doors.get(number) else { return false };
            match door.listener.accept() {
                Ok((stream, peer)) => self.welcome(number, stream.into(), peer),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    if self.doors.warn_again <= self.now {
                        self.doors.warn_again = self.now.plus_ms(ACCEPT_WARN_EVERY_MS);
                        let address = door.address;
                        tracing::warn!(%error, %address, "accepting rests for a moment");
                    }
                    self.doors.rests_until = self.now.plus_ms(ACCEPT_PAUSE_MS);
                    return true;
                }
            }
        }
        true
    }

    /// Somebody has come: where there are more than there should be, those go that have stood there
    /// for too long.
    fn make_room(&mut self, number: usize) {
        while let Some(door) = self.doors.doors.get_mut(number) {
            let connections = &self.connections;
            let oldest = door.guests.oldest(self.now, |link| is_guest(connections, link));
            let Some(link) = oldest else { return };
            let totals = &self.parts.porch.totals;
            totals.failed_connects.fetch_add(1, Relaxed);
            totals.evicted_guests.fetch_add(1, Relaxed);
            if let Some(c) = self.connections.get(link.index()) {
                tracing::info!(peer = %c.about.peer, why = EVICTED, "connection refused");
            }
            self.leave_porch(link);
            self.remove(link);
        }
    }

    /// A guest has come in, or goes: it is none of its door's any more.
    fn leave_porch(&mut self, link: LinkKey) {
        if is_guest(&self.connections, link)
            && let Some(c) = self.connections.get(link.index())
            && let Some(door) = self.doors.doors.get_mut(c.about.door as usize)
        {
            door.guests.gone();
        }
    }

    fn welcome(&mut self, number: usize, stream: TcpStream, peer: SocketAddr) {
        let (porch, door) = (&self.parts.porch, &self.doors.doors[number]);
        let totals = &porch.totals;
        let place =
            Place::take(totals, porch.connections_max, &door.connections, door.connections_max);
        let Some(place) = place else {
            tracing::debug!(%peer, "connection refused: connections_max");
            return;
        };
        // On Linux it has this from the door: that spares a call for each.
        if !cfg!(target_os = "linux") {
            let _ = stream.set_nodelay(true);
        }
        let half_received = HalfReceived::new(totals);
        let client_id = Box::default();
        let deadline = self.now.plus_ms(porch.connect_timeout_ms);
        let safety = door.safety;
        let (peer, door) = (Peer::Ip(peer), number as u32);
        let welcome = false;
        let about =
            About { peer, client_id, welcome, door, safety, deadline, half_received, place };
        self.make_room(number);
        let Some(link) = self.admit(stream.into(), None, about) else { return };
        self.set_deadline(link, deadline);
        let connections = &self.connections;
        if let Some(door) = self.doors.doors.get_mut(number) {
            door.guests.come(link, self.now, |link| is_guest(connections, link));
        }
        // The CONNECT is there mostly: to be told so would take another wait.
        if let Some(c) = self.connections.get_mut(link.index()) {
            c.readable = true;
        }
        self.wake(link);
    }

    /// Gives a socket a slot and listens to it.
    fn admit(
        &mut self,
        socket: Socket,
        layers: Option<Box<Layers>>,
        about: About,
    ) -> Option<LinkKey> {
        let entry = self.connections.vacant_entry();
        let who = Who::Connection(entry.key());
        if let Err(error) = self.parts.poller.add(&socket, who, layers.is_some()) {
            let peer = about.peer;
            tracing::warn!(%peer, %error, "a connection could not be taken over");
            return None;
        }
        self.generation = self.generation.wrapping_add(1);
        let link = LinkKey::new(entry.key() as u32, self.generation);
        entry.insert(Connection::new(socket, layers, link, about));
        Some(link)
    }

    /// Bytes of a connection on the porch. Returns how many are used, all of them if it is gone.
    pub(super) fn at_porch(&mut self, link: LinkKey, bytes: &[u8]) -> usize {
        let Some(c) = self.connections.get(link.index()) else { return bytes.len() };
        let allow =
            self.doors.doors.get(c.about.door as usize).is_some_and(|door| door.allow_anonymous);
        let porch = Arc::clone(&self.parts.porch);
        match porch.receive(allow, bytes) {
            Ok(None) => 0,
            Ok(Some(entrant)) => {
                let home = porch.home_of(&entrant.client_id);
                if home == self.parts.shard {
                    let used = entrant.used;
                    self.enter(link, &entrant, &Known::default());
                    return used;
                }
                let Entrant { client_id, assigned, .. } = entrant;
                self.send_home(link, home.0, bytes.to_vec(), client_id, assigned);
                bytes.len()
            }
            Err(turned) => {
                self.turn_away_claiming(link, turned, &Claims::read(bytes));
                bytes.len()
            }
        }
    }

    /// The connection becomes a link of this shard.
    fn enter(&mut self, link: LinkKey, entrant: &Entrant<'_>, known: &Known) {
        self.leave_porch(link);
        let Some(c) = self.connections.get_mut(link.index()) else { return };
        let Entrant { connect, client_id, assigned, .. } = entrant;
        let peer = c.about.peer;
        c.version = connect.version;
        c.stage = Stage::Link;
        c.about.deadline = Time::NEVER;
        c.about.client_id = client_id.as_str().into();
        let safety = c.about.safety;
        let Known { identity, ends, authentication } = known;
        let authentication = authentication.as_ref().map(|(m, data)| (m.as_str(), data.as_slice()));
        let opening = Opening {
            connect,
            client_id,
            assigned: *assigned,
            safety,
            identity,
            ends: *ends,
            authentication,
        };
        self.handle(Input::Opened(link, opening));
        if self.fx.sends.outbox(link).is_some_and(|o| o.closing().is_none()) {
            if let Some(c) = self.connections.get_mut(link.index()) {
                c.about.welcome = true;
            }
            tracing::info!(
                client_id,
                user = identity.user.as_deref(),
                %peer,
                version = version_name(connect.version),
                clean_start = connect.clean_start,
                keep_alive_s = connect.keep_alive_s,
                "client connected"
            );
        }
    }

    /// The session lives on another shard: the socket goes there, with every byte read so far.
    /// Who comes by a shard's own door is anonymous.
    fn send_home(
        &mut self,
        link: LinkKey,
        home: u8,
        bytes: Vec<u8>,
        client_id: String,
        assigned: bool,
    ) {
        self.leave_porch(link);
        let Some(c) = self.connections.try_remove(link.index()) else { return };
        let peer = c.about.peer;
        if let Err(error) = self.parts.poller.remove(&c.socket) {
            tracing::warn!(%peer, %error, "a connection could not be handed over");
            return;
        }
        let (socket, About { place, safety, .. }) = (c.socket, *c.about);
        let hand_off = HandOff {
            socket,
            layers: None,
            peer,
            bytes,
            client_id,
            assigned,
            safety,
            place,
            identity: Arc::default(),
            ends: Time::NEVER,
            authentication: None,
        };
        // A shard that is gone has been told to stop: the process ends.
        let _ = self.parts.peers[usize::from(home)].send(ToShard::HandOff(Box::new(hand_off)));
    }

    /// A client comes in from another shard's porch: its CONNECT is handled, and whatever it sent
    /// behind it, before its socket is waited for.
    pub(super) fn come_home(&mut self, hand_off: HandOff) {
        let HandOff { socket, layers, peer, bytes, client_id, assigned, safety, .. } = hand_off;
        let HandOff { place, identity, ends, authentication, .. } = hand_off;
        if self.stop_at.is_some() {
            return;
        }
        let half_received = HalfReceived::new(&self.parts.porch.totals);
        let (door, deadline) = (NO_DOOR, Time::NEVER);
        let about = About {
            peer,
            client_id: Box::default(),
            welcome: false,
            door,
            safety,
            deadline,
            half_received,
            place,
        };
        let Some(link) = self.admit(socket, layers, about) else { return };
        // The porch there has let it in: here it is only read again.
        let porch = Arc::clone(&self.parts.porch);
        let Ok(Some(entrant)) = porch.receive(true, &bytes) else { return self.remove(link) };
        let entrant = Entrant { client_id, assigned, ..entrant };
        self.enter(link, &entrant, &Known { identity, ends, authentication });
        self.bytes_received += bytes.len() as u64;
        let rest = entrant.used;
        self.feed(link, &bytes[rest..]);
        self.wake(link); // for what is in its layers' hands
    }

    /// A guest that does not get in: it is told why where it can be, then it is gone.
    pub(super) fn turn_away(&mut self, link: LinkKey, turned: Turned) {
        self.turn_away_claiming(link, turned, &Claims::default());
    }

    /// The same for one whose CONNECT is whole.
    fn turn_away_claiming(&mut self, link: LinkKey, turned: Turned, claims: &Claims) {
        self.leave_porch(link);
        let Some(c) = self.connections.get_mut(link.index()) else { return };
        self.parts.porch.totals.failed_connects.fetch_add(1, Relaxed);
        let peer = c.about.peer;
        let answer = match turned {
            Turned::Left(why) => {
                tracing::info!(%peer, why, "connection without CONNECT closed");
                None
            }
            Turned::Away(version, error) => {
                let reason = format_args!("{:#04x}", error.reason.as_u8()).to_string();
                let Claims { client_id, user } = claims;
                let (client_id, unverified_user) = (client_id.as_deref(), user.as_deref());
                let why = error.what;
                tracing::info!(
                    %peer, client_id, unverified_user, why, reason,
                    "connection refused"
                );
                refusal(version, error)
            }
        };
        let Some(bytes) = answer else { return self.remove(link) };
        c.write_last(&bytes);
        c.shut(ReasonCode::Success);
        // Until the client closes: closing first would throw away what it has not read.
        c.stage = Stage::Closing;
        c.partial = Vec::new();
        c.count_partial(usize::MAX);
        self.set_deadline(link, self.now.plus_ms(REFUSAL_MS));
    }

    /// Too many bytes of incomplete packets are kept: this guest's go.
    pub(super) fn turn_away_full(&mut self, link: LinkKey) {
        let what = "server.half_received_bytes_max is reached";
        let error = DecodeError { reason: ReasonCode::QuotaExceeded, what };
        let partial = self.connections.get(link.index()).map(|c| c.partial.as_slice());
        let version = super::porch::version_hint(partial.unwrap_or_default());
        self.turn_away(link, Turned::Away(version, error));
    }
}

/// Whether it is here, and has not come in.
fn is_guest(connections: &Slab<Connection>, link: LinkKey) -> bool {
    connections.get(link.index()).is_some_and(|c| c.link == link && c.stage == Stage::Porch)
}
