//! Who may enter: the listener's methods in their order, off the shards.
//!
//! What lives here: [`Authority`], which is asked by the lobby before CONNACK and by the shards
//! later. May use: threads that may wait, timers, files at a reload. Invariants: nothing in an
//! answer or its time tells whether a user exists; what waits, waits in a bounded queue and holds
//! nothing that others need; no secret is logged or kept longer than its question.

mod again;
pub(crate) mod counts;
mod enter;
mod force;
mod hashing;
mod scram;
pub(crate) mod seats;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use tokio::sync::mpsc;

use super::hook::{Hook, TopicQuestion, Wanted};
use super::mailbox::{Sender, ToShard};
use super::socket::Peer;
use super::watch::Watched;
use crate::auth::Identity;
use crate::auth::acl::Acl;
use crate::auth::quota::Quotas;
use crate::auth::throttle::Throttle;
use crate::broker::{Answer, LinkKey, Question, ShardId, Time};
use crate::codec::{Connect, ReasonCode};
use crate::config::Settings;
use again::Again;
use counts::Counts;
pub(crate) use force::Piece;
use force::{Force, throttle_limits};
pub(crate) use scram::Exchange;
use seats::{Seat, Seats};

/// A client that would like to enter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    /// where it calls from; behind PROXY, what that said
    pub(crate) peer: &'a Peer,
    /// the listener's place in the settings
    pub(crate) listener: usize,
    /// the client certificate's names, if one was shown and verified
    pub(crate) certificate: Option<&'a ClientName>,
    pub(crate) connect: &'a Connect<'a>,
    /// the effective Client Identifier
    pub(crate) client_id: &'a str,
}

/// What a verified client certificate says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientName {
    pub(crate) common_name: Option<String>,
    pub(crate) sans: Vec<String>,
    /// the user name, if the listener takes it from there (`user_from`)
    pub(crate) user: Option<String>,
}

/// A client that may enter.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) identity: Arc<Identity>,
    /// when its token ends; `Time::NEVER`
    pub(crate) ends: Time,
    /// Authentication Method, and the data for CONNACK
    pub(crate) authentication: Option<(String, Vec<u8>)>,
    /// counts among its user's connections until dropped: belongs into the connection's
    /// [`Place`](super::totals::Place::sit)
    pub(crate) seat: Option<Seat>,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Step {
    Enter(Admitted),
    /// AUTH 0x18 with this data goes to the client, its own AUTH comes back to
    /// [`Authority::go_on`].
    Challenge {
        data: Vec<u8>,
        next: Exchange,
    },
}

/// Who does not enter, and why: `what` is for the log and CONNACK's Reason String, and tells
/// nothing about users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) reason: ReasonCode,
    pub(crate) what: &'static str,
}

impl Denied {
    /// User name or password is wrong: which of them, nobody learns.
    const WRONG: Self = Self {
        reason: ReasonCode::BadUserNameOrPassword,
        what: "the user name or the password is wrong",
    };

    fn not_authorized(what: &'static str) -> Self {
        Self { reason: ReasonCode::NotAuthorized, what }
    }

    fn busy(what: &'static str) -> Self {
        Self { reason: ReasonCode::ServerBusy, what }
    }
}

/// A shard's question, and about whom.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) shard: ShardId,
    pub(crate) link: LinkKey,
    pub(crate) question: Question,
    pub(crate) identity: Arc<Identity>,
    pub(crate) client_id: Box<str>,
    pub(crate) peer: Peer,
}

/// Decides who enters.
pub(crate) struct Authority {
    started: Instant,
    force: RwLock<Arc<Force>>,
    /// what the material in force was read by
    settings: Mutex<Settings>,
    throttle: Mutex<Throttle>,
    seats: Arc<Seats>,
    again: Mutex<Again>,
    counts: Arc<Counts>,
    /// keys what is to look random to others
    random: [u8; 32],
    seed: u64,
    /// of the salts of users that do not exist: the same after a restart, as those of the others
    decoy_key: OnceLock<[u8; 32]>,
}

/// So that a panic elsewhere does not become one here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Authority {
    /// Reads the files that `[auth]` names. `started` is the zero of [`Time`].
    ///
    /// # Errors
    /// The first file that cannot be read or is wrong, with its line: for people.
    pub(crate) fn open(settings: &Settings, started: Instant) -> Result<Arc<Self>, String> {
        let mut random = [0; 32];
        let seed = super::random_u64().and_then(|seed| {
            super::fill_random(&mut random)?;
            Ok(seed)
        });
        let seed = seed.map_err(|error| format!("no randomness: {error}"))?;
        let counts = Arc::new(Counts::default());
        let force = Force::read(settings, random, &counts.hook)?;
        Ok(Arc::new(Self {
            started,
            force: RwLock::new(Arc::new(force)),
            settings: Mutex::new(settings.clone()),
            throttle: Mutex::new(Throttle::new(seed, throttle_limits(&settings.auth))),
            seats: Arc::default(),
            again: Mutex::default(),
            counts,
            random,
            seed,
            decoy_key: OnceLock::new(),
        }))
    }

    /// The salts of users that do not exist are made with `secret`, which is the same after a
    /// restart, as those of the others are. Without it, they are not.
    pub(crate) fn make_salts_with(&self, secret: u64) {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"stonechat: salts of users that do not exist");
        context.update(&secret.to_be_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(context.finish().as_ref());
        let _ = self.decoy_key.set(key);
    }

    fn decoy_key(&self) -> &[u8; 32] {
        self.decoy_key.get().unwrap_or(&self.random)
    }

    /// What is in force now.
    fn force(&self) -> Arc<Force> {
        Arc::clone(&self.force.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_in_force(&self, force: Force) {
        *self.force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(force);
    }

    pub(crate) fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// What clients may do, for the shards.
    pub(crate) fn acl(&self) -> Arc<Acl> {
        Arc::clone(&self.force().acl)
    }

    /// How much of it, for the shards.
    pub(crate) fn quotas(&self) -> Arc<Quotas> {
        Arc::clone(&self.force().quotas)
    }

    /// Milliseconds since the start, on a clock that only goes forward.
    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// The time of tokens: seconds since 1970, by the wall clock.
    fn now_s() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// Bytes that password hashes under way use.
    pub(crate) fn hash_memory_bytes(&self) -> u64 {
        self.force().hashing.memory_bytes()
    }

    /// Takes other settings and reads all files again. Listeners keep what they began with.
    /// Connections that are there stay, whatever changed; what they may do changes with
    /// [`Authority::acl`]. What is broken keeps what was in force; each problem is one sentence.
    pub(crate) fn reload(&self, settings: &Settings) -> Vec<String> {
        let mut own = lock(&self.settings);
        let old = own.clone();
        *own = Settings { listener: old.listener, ..settings.clone() };
        let auth = &own.auth;
        let mut force = Force::clone(&self.force());
        let mut problems = Vec::new();
        for piece in Piece::ALL {
            if let Err(why) = force.replace(piece, auth, self.random, &self.counts.hook) {
                problems.push(format!("{}: {why}", piece.name()));
            }
        }
        force.set(&own);
        let hashes = (auth.hashes_concurrent_max, auth.hash_memory_bytes_max);
        if hashes != (old.auth.hashes_concurrent_max, old.auth.hash_memory_bytes_max) {
            force.set_hashing(auth);
        }
        lock(&self.throttle).set_limits(self.now_ms(), throttle_limits(auth));
        self.put_in_force(force);
        problems
    }

    /// Reads one piece again.
    fn reload_piece(&self, piece: Piece) -> Result<(), String> {
        let own = lock(&self.settings); // held, so that two reloads do not undo each other
        let mut force = Force::clone(&self.force());
        force.replace(piece, &own.auth, self.random, &self.counts.hook)?;
        self.put_in_force(force);
        Ok(())
    }

    /// The files of `[auth]`, to be watched.
    pub(crate) fn watched(self: &Arc<Self>) -> Vec<Arc<dyn Watched>> {
        let piece = |piece| Arc::new(Part { authority: Arc::clone(self), piece });
        Piece::ALL.into_iter().map(|p| piece(p) as Arc<dyn Watched>).collect()
    }

    /// Answers a shard.
    pub(crate) async fn answer(&self, asked: Asked) -> Answer {
        let Asked { shard, link, question, identity, client_id, peer } = asked;
        let wanted = match &question {
            Question::Publish(topic) => Wanted::Publish(topic),
            Question::Subscribe(filter) => Wanted::Subscribe(filter),
            Question::Reauthenticate { method, data, first } => {
                let turn = scram::Turn { shard, link, first: *first, data };
                return self.again(turn, method, &identity, source_of(&peer)).await;
            }
        };
        let force = self.force();
        let Some(hook) = &force.hook else { return Answer::Allowed(false) };
        let user = identity.user.as_deref();
        let question = TopicQuestion { client_id: &client_id, user, topic: wanted };
        Answer::Allowed(Hook::may(hook, &question).await.unwrap_or(false))
    }
}

/// Answers the shards' questions, each on a task of its own, until nobody asks any more.
pub(crate) async fn answer_shards(
    authority: Arc<Authority>,
    mut asked: mpsc::UnboundedReceiver<Asked>,
    shards: Vec<Sender>,
) {
    while let Some(asked) = asked.recv().await {
        let Some(shard) = shards.get(usize::from(asked.shard.0)).cloned() else { continue };
        let (authority, link) = (Arc::clone(&authority), asked.link);
        tokio::spawn(async move {
            let answer = authority.answer(asked).await;
            // A shard that is gone has been told to stop: the process ends.
            let _ = shard.send(ToShard::Answer(link, answer));
        });
    }
}

/// One piece, as the watcher wants it.
struct Part {
    authority: Arc<Authority>,
    piece: Piece,
}

impl Watched for Part {
    fn paths(&self) -> Vec<std::path::PathBuf> {
        self.piece.paths(&lock(&self.authority.settings).auth)
    }

    fn reload(&self) -> Result<(), String> {
        let Self { authority, piece } = self;
        authority.reload_piece(*piece).map_err(|why| format!("{}: {why}", piece.name()))
    }
}

/// What delays are counted for: an address of IPv4, a network of IPv6 (its first 64 bits: one
/// client has all of it), a user of this machine.
fn source_of(peer: &Peer) -> u128 {
    match peer {
        Peer::Unix { uid, .. } => (1 << 48) | u128::from(*uid),
        Peer::Ip(address) => match address.ip().to_canonical() {
            IpAddr::V4(ip) => u128::from(ip.to_ipv6_mapped()),
            IpAddr::V6(ip) => u128::from(ip) & !u128::from(u64::MAX),
        },
    }
}

/// The same for the hook: without the port, so that an answer counts for the next connection, too.
fn address_of(peer: &Peer) -> String {
    match peer {
        Peer::Unix { uid, .. } => format!("unix:uid={uid}"),
        Peer::Ip(address) => address.ip().to_canonical().to_string(),
    }
}
