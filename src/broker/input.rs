//! Everything that a broker is told (Inputs) and everything that it wants done (Effects).
//!
//! A broker has no other way to the world: no clock, no randomness, no file, no socket.

use std::sync::Arc;

use super::key::Key;
use super::link::Link;
use super::losses::Loss;
use super::message::Message;
use super::pending::Wait;
use super::record::{Record, SessionNumber};
use super::restore::RestoredEntry;
use super::safety::Safety;
use super::seal::Seal;
use super::sends::Sends;
use super::session::Session;
use super::spent::Spent;
use super::time::Time;
use crate::auth::Identity;
use crate::auth::acl::Acl;
use crate::auth::quota::Quotas;
use crate::codec::{Connect, DecodeError, Packet};

/// Names a Network Connection. The server chooses the slot (its connection's) and the generation.
pub type LinkKey = Key<Link>;
/// Names a Session of this shard.
pub type SessionKey = Key<Session>;
/// Names a publisher's acknowledgement that waits for receipts.
pub type WaitKey = Key<Wait>;
/// Names what a shard kept of a publication whose seal has not come yet.
pub type SealKey = Key<Seal>;

/// A shard of this process, 0 to 63.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u8);

/// How many shards there can be.
pub const SHARDS_MAX: usize = 64;

/// A set of shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardSet(u64);

impl ShardSet {
    /// Adds `shard`.
    pub fn insert(&mut self, shard: ShardId) {
        self.0 |= 1 << shard.0;
    }
    /// Takes `shard` out.
    pub fn remove(&mut self, shard: ShardId) {
        self.0 &= !(1 << shard.0);
    }
    /// Whether `shard` is in it.
    pub fn contains(self, shard: ShardId) -> bool {
        self.0 & (1 << shard.0) != 0
    }
    /// Whether nobody is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// Both together.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// The shards in it, in order.
    pub fn iter(self) -> impl Iterator<Item = ShardId> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let at = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (at < 64).then_some(ShardId(at as u8))
        })
    }
}

/// A position in the sequence of records that a shard wrote; 0 is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seq(pub u64);

/// A client that the porch let in.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// the packet
    pub connect: &'a Connect<'a>,
    /// the effective Client Identifier
    pub client_id: &'a str,
    /// whether the server made it up \[MQTT-3.1.3-6\]
    pub assigned: bool,
    /// how safe what it publishes is to be, if its listener says so
    pub safety: Option<Safety>,
    /// who it is
    pub identity: &'a Arc<Identity>,
    /// when its right to be here ends (a token's `exp`): `Time::NEVER` if it does not
    pub ends: Time,
    /// the Authentication Method that it was authenticated by, and the Authentication Data for
    /// CONNACK \[MQTT-4.12.0-5\]; `None`: without one
    pub authentication: Option<(&'a str, &'a [u8])>,
}

/// What a broker is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// A client that may enter.
    Opened(LinkKey, Opening<'a>),
    /// A packet of a link.
    Packet(LinkKey, Packet<'a>),
    /// Bytes of a link that are no packet.
    Malformed(LinkKey, DecodeError),
    /// The Network Connection is gone.
    Closed(LinkKey),
    /// An outbox that `wants_room` was written down to `backlog` bytes.
    Wrote(LinkKey, usize),
    /// A message of another shard; those of one shard arrive in the order in which it sent them.
    Peer(ShardId, PeerMessage),
    /// All of this shard's records up to this one are on disk, or void.
    Committed(Seq),
    /// The same, but that they are only written: a loss of power may take them.
    Written(Seq),
    /// These records of this shard need not be waited for any longer: what they say came to its end
    /// before they were written.
    Void(&'a [Seq]),
    /// Messages that the store let go of: their memory serves new ones.
    Spent(Spent),
    /// The answer to [`Request::Load`].
    Loaded(SessionKey, Box<LoadedEntries>),
    /// The answer to [`Request::Ask`].
    Answer(LinkKey, Answer),
    /// What clients may do from now on. Until the first of these, everybody may do everything.
    Acl(Arc<Acl>),
    /// How much clients may do from now on.
    Quotas(Arc<Quotas>),
    /// After a restart: all shards have their sessions (`Broker::restore`), and all is in force
    /// (`Broker::is_in_force`). Clients may come only now.
    Restored,
    /// New limits.
    Reload(Box<super::Limits>),
    /// A message of the broker's own (`$SYS`).
    Publish(Message),
    /// Time has passed: at or after `Broker::next_deadline`.
    Tick,
    /// Things are quiet after many connections have ended: tables that are much emptier than they
    /// once had to be give memory back.
    Shrink,
    /// The process ends: clients are told (0x8B), links closed.
    Shutdown,
    /// The store has no room for more (true), or has room again.
    Full(bool),
}

/// What a broker wants done: lists, reused from call to call.
#[derive(Debug, Default)]
pub struct Effects {
    /// for the log, in order
    pub records: Vec<Record>,
    /// something that was recorded, now or before, is waited for until it is synced: with the
    /// records, or alone if there are none. To be reset with the list
    pub sync: bool,
    /// packets and closes, per link
    pub sends: Sends,
    /// for other shards, in order
    pub peers: Vec<(ShardId, PeerMessage)>,
    /// questions whose answers are Inputs
    pub requests: Vec<Request>,
    /// for the lines that an operator reads
    pub losses: Vec<Loss>,
}

/// What a shard is interested in, for one Topic Filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interest {
    /// nothing
    #[default]
    None,
    /// some subscription
    Present,
    /// a subscription of a persistent session at QoS 1 or 2: its shard is asked for receipts
    Durable,
    /// the same, and the queue of one of them takes no more: publishers are refused
    Full,
}

/// A message between shards.
#[derive(Clone, Debug)]
pub enum PeerMessage {
    /// The sender's interest in `filter` has changed, in the index already. Versions of one sender
    /// rise.
    Interest {
        /// the change's number
        version: u64,
        /// the Topic Filter
        filter: Arc<str>,
    },
    /// The sender's members of a Shared Subscription are now these.
    Group {
        /// the change's number, of the same sequence as interest
        version: u64,
        /// `$share/ShareName/filter`
        group: Arc<str>,
        /// online members
        online: u32,
        /// offline members with persistent sessions
        offline: u32,
        /// members, in neither of these, whose queues take no more
        full: u32,
    },
    /// All changes up to `version` are in force here.
    InterestAck {
        /// the newest such change
        version: u64,
    },
    /// An Application Message for the receiver's subscriptions, shared ones left out.
    Publish {
        /// the message
        message: Message,
        /// the receipt that is asked for
        receipt: Option<ReceiptFor>,
    },
    /// A message that looks for a member of a shared group.
    Shared(Box<SharedTravel>),
    /// The same, back without having found one.
    SharedBack(Box<SharedTravel>),
    /// Everything kept for this publication is recorded, or committed, as it was asked for; or
    /// nothing was kept.
    Receipt {
        /// what waits for it
        wait: WaitKey,
        /// whom to tell when the publication is sealed
        seal: Option<SealKey>,
    },
    /// The publication counts: its publisher's shard has recorded that.
    Sealed {
        /// as the receipt named it
        seal: SealKey,
    },
    /// So many bytes of the receiver's messages are no longer under way.
    Credit {
        /// bytes
        bytes: usize,
    },
}

/// When a receipt is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptWhen {
    /// what was kept is committed or void
    Committed,
    /// it is recorded: the log is causal, what its receiver records stands behind it
    Recorded,
    /// it is recorded as not sealed: it counts only once the asking shard has recorded the seal
    Unsealed,
}

/// A receipt that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptFor {
    /// what waits for it
    pub wait: WaitKey,
    /// when it is to be sent
    pub when: ReceiptWhen,
}

/// A shared message on its way between shards.
#[derive(Clone, Debug)]
pub struct SharedTravel {
    /// the message
    pub message: Message,
    /// `$share/ShareName/filter`
    pub group: Arc<str>,
    /// the receipt that is asked for
    pub receipt: Option<ReceiptFor>,
    /// the shards that had no member
    pub visited: ShardSet,
    /// offline persistent members may have it too: no shard had an online one
    pub offline: bool,
}

/// A question that takes time.
#[derive(Clone, Debug)]
pub enum Request {
    /// Read back queued messages of a session; answered by `Input::Loaded`, always.
    Load {
        /// whose; it may have ended when the answer comes
        session: SessionKey,
        /// what the log calls it
        number: SessionNumber,
        /// the first entry that is wanted
        from_order: u64,
        /// how many at most
        count: usize,
        /// and not many more bytes (`Message::cost_bytes`), but one at least
        bytes_max: usize,
    },
    /// Ask who decides; the link's input waits for `Input::Answer`.
    Ask {
        /// whose input waits
        link: LinkKey,
        /// what is asked
        question: Question,
    },
}

/// What the broker cannot decide itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// May the link's client publish to this topic? Answered by [`Answer::Allowed`].
    Publish(Box<str>),
    /// May it subscribe to this Topic Filter (of a Shared Subscription, without `$share/...`)?
    /// Answered by [`Answer::Allowed`].
    Subscribe(Box<str>),
    /// Its AUTH packet goes to the method (section 4.12.1). Answered by the others, or by
    /// [`Answer::Failed`].
    Reauthenticate {
        /// Authentication Method: the one that it was authenticated by
        method: Box<str>,
        /// Authentication Data
        data: Box<[u8]>,
        /// whether it begins: the packet was a Re-authenticate (0x19)
        first: bool,
    },
}

/// The answer to a [`Question`].
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    /// whether it may
    Allowed(bool),
    /// the exchange goes on with this Authentication Data
    Continue(Vec<u8>),
    /// it is who it says it is
    Authenticated {
        /// Authentication Data for the client
        data: Vec<u8>,
        /// who it is: the user must be the same as before
        identity: Arc<Identity>,
        /// when its right to be here ends
        ends: Time,
    },
    /// it is not
    Failed,
}

/// Without Authentication Data.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Allowed(yes) => write!(f, "Allowed({yes})"),
            Self::Continue(_) => f.write_str("Continue"),
            Self::Authenticated { identity, .. } => write!(f, "Authenticated({identity:?})"),
            Self::Failed => f.write_str("Failed"),
        }
    }
}

/// The answer to [`Request::Load`]: what the log knew when it was looked up. What is not committed
/// then is not in it.
#[derive(Clone, Debug, Default)]
pub struct LoadedEntries {
    /// as it was asked
    pub number: SessionNumber,
    /// as it was asked
    pub from_order: u64,
    /// in order
    pub entries: Vec<RestoredEntry>,
    /// entries that cannot be read, in order
    pub unreadable: Vec<u64>,
    /// the entry behind those; `None` if the log had no more
    pub next_order: Option<u64>,
}
