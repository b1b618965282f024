//! What a broker wants kept: the records of one shard, in order.
//!
//! May use: the message, `codec`'s types. Invariant: a record says all that it means by itself,
//! together with what its session and message are called; nothing of a session follows its
//! `SessionEnd`.

use std::sync::Arc;

use super::message::Message;
use super::plain::PlainMessage;
use crate::codec::{PacketId, QoS, SubscriptionOptions};

/// Names a session, for ever: a number is never given out again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionNumber(pub u64);

/// Why a queue entry ended without being delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// its Message Expiry Interval passed \[MQTT-3.3.2-5\]
    Expired,
    /// the queue was at a limit
    QueueFull,
    /// larger than the client's Maximum Packet Size \[MQTT-3.1.2-25\]
    TooLarge,
    /// another member of its shared group has it
    Rerouted,
    /// it cannot be read back
    Unreadable,
    /// no seal came for its publication before a crash: the publisher repeats it
    Unsealed,
    /// its receiver may no longer receive it
    NotAuthorized,
}

impl DropReason {
    /// All of them, by their number on disk.
    pub const ALL: [Self; 7] = [
        Self::Expired,
        Self::QueueFull,
        Self::TooLarge,
        Self::Rerouted,
        Self::Unreadable,
        Self::Unsealed,
        Self::NotAuthorized,
    ];
}

/// A Will that waits with its session.
#[derive(Clone, Debug)]
pub struct WillRecord {
    /// the message
    pub message: Message,
    /// Will Delay Interval in seconds
    pub delay_s: u32,
    /// Message Expiry Interval in seconds: it starts when the Will is published
    pub expiry_s: Option<u32>,
}

/// Whose a session is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// the user; `None`: an anonymous client
    pub user: Option<Arc<str>>,
    /// a token or a hook said what it may do, and the log does not know what that was
    pub granted: bool,
}

/// What the log keeps.
#[derive(Clone, Debug)]
pub enum Record {
    /// A persistent session was opened or resumed.
    Session {
        /// which
        session: SessionNumber,
        /// whose
        client_id: Arc<str>,
        /// Session Expiry Interval in seconds
        expiry_s: u32,
        /// by which user
        owner: Owner,
    },
    /// Its connection ended; the expiry runs from here.
    Disconnected {
        /// which
        session: SessionNumber,
        /// Session Expiry Interval in seconds, as it is now
        expiry_s: u32,
    },
    /// It ended, and everything of it. Nothing of this session may follow.
    SessionEnd {
        /// which
        session: SessionNumber,
    },
    /// The Will that waits with it.
    Will {
        /// whose
        session: SessionNumber,
        /// `None`: it is published or cancelled
        will: Option<WillRecord>,
    },
    /// A Subscription; replaces the one with the same filter.
    Subscribed {
        /// whose
        session: SessionNumber,
        /// `$share/...` included
        filter: Box<str>,
        /// its options
        options: SubscriptionOptions,
        /// its Subscription Identifier
        id: Option<u32>,
    },
    /// Its end.
    Unsubscribed {
        /// whose
        session: SessionNumber,
        /// its filter
        filter: Box<str>,
    },
    /// A message is to be delivered to a session.
    Queued {
        /// to which
        session: SessionNumber,
        /// its number in the session: rising from 1
        order: u64,
        /// the message
        message: Message,
        /// with this QoS
        qos: QoS,
        /// with this RETAIN flag
        retain: bool,
        /// Subscription Identifiers, mostly none
        subscription_ids: Box<[u32]>,
        /// `$share/ShareName/filter` that it came by
        group: Option<Arc<str>>,
        /// false: counts after a crash only if an `Inbound` seals the message, in the same batch
        /// or a later one
        sealed: bool,
    },
    /// The same for one that nobody else has, and that nothing is said of but this: RETAIN 0, no
    /// Subscription Identifier, no group; it counts.
    QueuedPlain {
        /// to which
        session: SessionNumber,
        /// its number in the session
        order: u64,
        /// the message
        message: PlainMessage,
        /// with this QoS
        qos: QoS,
    },
    /// It went into flight.
    InFlight {
        /// of which session
        session: SessionNumber,
        /// which entry
        order: u64,
        /// under this identifier
        packet_id: PacketId,
    },
    /// The client answered PUBREC: from here on PUBREL is repeated.
    Released {
        /// of which session
        session: SessionNumber,
        /// which entry
        order: u64,
    },
    /// The delivery is complete.
    Acknowledged {
        /// of which session
        session: SessionNumber,
        /// which entry
        order: u64,
    },
    /// The entry ended otherwise.
    Dropped {
        /// of which session
        session: SessionNumber,
        /// which entry
        order: u64,
        /// why
        why: DropReason,
    },
    /// A QoS 2 identifier of the client's is in use.
    Inbound {
        /// whose
        session: SessionNumber,
        /// the identifier
        packet_id: PacketId,
        /// the publication whose entries count from here on
        seals: Option<Message>,
    },
    /// It is free again.
    InboundEnd {
        /// whose
        session: SessionNumber,
        /// the identifier
        packet_id: PacketId,
    },
    /// A retained message was set, or, by an empty payload, cleared. The highest version of a topic
    /// counts.
    Retained {
        /// the change's number in the tree
        version: u64,
        /// the message
        message: Message,
    },
}

impl Record {
    /// The entry that it is about, if it ends one or speaks of one that exists.
    pub fn entry(&self) -> Option<(SessionNumber, u64)> {
        match *self {
            Self::Queued { session, order, .. }
            | Self::QueuedPlain { session, order, .. }
            | Self::InFlight { session, order, .. }
            | Self::Released { session, order }
            | Self::Acknowledged { session, order }
            | Self::Dropped { session, order, .. } => Some((session, order)),
            _ => None,
        }
    }

    /// The entry that it begins, and its QoS.
    pub fn queued(&self) -> Option<(SessionNumber, u64, QoS)> {
        match *self {
            Self::Queued { session, order, qos, .. }
            | Self::QueuedPlain { session, order, qos, .. } => Some((session, order, qos)),
            _ => None,
        }
    }

    /// The same in the words of [`Record::Queued`], if it can be said so.
    #[must_use]
    pub fn spelled_out(self) -> Self {
        let Self::QueuedPlain { session, order, message, qos } = self else { return self };
        let message = message.to_message(&mut Vec::new());
        let (retain, subscription_ids, group, sealed) = (false, Box::default(), None, true);
        Self::Queued { session, order, message, qos, retain, subscription_ids, group, sealed }
    }

    /// The session that it is about.
    pub fn session(&self) -> Option<SessionNumber> {
        match *self {
            Self::Session { session, .. }
            | Self::Disconnected { session, .. }
            | Self::SessionEnd { session }
            | Self::Will { session, .. }
            | Self::Subscribed { session, .. }
            | Self::Unsubscribed { session, .. }
            | Self::Inbound { session, .. }
            | Self::InboundEnd { session, .. } => Some(session),
            Self::Retained { .. } => None,
            _ => self.entry().map(|(session, _)| session),
        }
    }

    /// Whether it frees more than it takes, or lets that begin: such records are written even when
    /// the disk is full. A session is among them, as a client that comes back for its messages
    /// frees them; new ones are refused when the disk is full.
    pub fn frees(&self) -> bool {
        match self {
            Self::Session { .. }
            | Self::SessionEnd { .. }
            | Self::Disconnected { .. }
            | Self::Will { will: None, .. }
            | Self::Unsubscribed { .. }
            | Self::InFlight { .. }
            | Self::Released { .. }
            | Self::Acknowledged { .. }
            | Self::Dropped { .. }
            | Self::InboundEnd { .. } => true,
            Self::Retained { message, .. } => message.payload().is_empty(),
            _ => false,
        }
    }

    /// About how many bytes of memory and log it takes.
    pub fn cost_bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Queued { message, .. }
                | Self::Retained { message, .. }
                | Self::Will { will: Some(WillRecord { message, .. }), .. } => message.cost_bytes(),
                Self::QueuedPlain { message, .. } => message.cost_bytes(),
                Self::Session { client_id, owner, .. } => {
                    client_id.len() + owner.user.as_ref().map_or(0, |user| user.len())
                }
                Self::Subscribed { filter, .. } | Self::Unsubscribed { filter, .. } => filter.len(),
                _ => 0,
            }
    }
}
