//! How much a client may do.
//!
//! May use: nothing but `std`. Invariant: the same calls with the same times give the same answers.

use std::sync::Arc;

/// What happens to a client that sends more than it may per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Excess {
    /// Its socket is not read for a while.
    #[default]
    Throttle,
    /// The messages over it are dropped (QoS 0), or refused with 0x97.
    Drop,
    /// It is disconnected with 0x96 or 0x97.
    Disconnect,
}

/// How much clients of some users or Client Identifiers may do; each one by itself. 0 = no limit
/// of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// what logs and counters call it
    pub name: String,
    /// user names, `*` stands for anything; empty: any user, also an anonymous client
    pub users: Vec<Box<str>>,
    /// Client Identifiers, `*` stands for anything; empty: any
    pub client_ids: Vec<Box<str>>,
    /// PUBLISH packets per second
    pub messages_per_s: u32,
    /// bytes of PUBLISH packets per second
    pub bytes_per_s: u64,
    /// what happens over these two
    pub excess: Excess,
    /// subscriptions of a session
    pub subscriptions_max: usize,
    /// retained messages that it may have set
    pub retained_messages_max: usize,
    /// bytes that wait for a session
    pub queued_bytes_max: usize,
    /// connections at a time, of the user (or of the client, if it is anonymous)
    pub connections_max: usize,
}

/// All quotas, in the order of the settings.
#[derive(Clone, Debug, Default)]
pub struct Quotas(Vec<Arc<Quota>>);

impl Quotas {
    /// Of the settings.
    pub fn new(quotas: Vec<Quota>) -> Self {
        Self(quotas.into_iter().map(Arc::new).collect())
    }

    /// The first that concerns this client.
    pub fn of(&self, _user: Option<&str>, _client_id: &str) -> Option<Arc<Quota>> {
        self.0.first().cloned()
    }
}

/// How much of its quota's messages and bytes per second a client has left.
#[derive(Clone, Debug)]
pub struct Bucket;

impl Bucket {
    /// A full one, at `now_ms` (monotonic).
    pub fn new(_now_ms: u64) -> Self {
        Self
    }

    /// Takes `messages` and `bytes`, or nothing; `Err`: how many milliseconds until they would
    /// fit.
    pub fn take(
        &mut self,
        _now_ms: u64,
        _quota: &Quota,
        _messages: u32,
        _bytes: u64,
    ) -> Result<(), u64> {
        Ok(())
    }
}
