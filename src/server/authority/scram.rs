//! SCRAM-SHA-256 as MQTT's enhanced authentication: at CONNECT, and again on a link (section 4.12).
//!
//! Invariant: an exchange is used up by its second message: what was seen on the wire is of no use
//! a second time. A user that does not exist, or has no verifier, gets a challenge like everybody.

use std::sync::Arc;
use std::time::Instant;

use super::enter::named;
use super::force::{Force, Ways};
use super::{Authority, Caller, Denied, Step, lock, source_of};
use crate::auth::Identity;
use crate::auth::password::Hash;
use crate::auth::scram::{self, Challenged};
use crate::broker::{Answer, LinkKey, ShardId, Time};
use crate::codec::ReasonCode;
use crate::config::Method;

/// The only method there is.
const METHOD: &str = "SCRAM-SHA-256";

/// An exchange under way.
pub(crate) struct Exchange {
    challenged: Challenged,
    /// whom the client says it is
    user: String,
}

/// Without what the client is to prove.
impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A packet of a link that authenticates again.
pub(super) struct Turn<'a> {
    pub(super) shard: ShardId,
    pub(super) link: LinkKey,
    pub(super) first: bool,
    pub(super) data: &'a [u8],
}

impl Authority {
    /// The CONNECT's message: the challenge for it.
    pub(super) async fn challenge(
        &self,
        force: &Force,
        ways: &Ways,
        caller: &Caller<'_>,
        method: &str,
    ) -> Result<Step, Denied> {
        let offered = ways.methods.contains(&Method::Scram) && force.passwords.is_some();
        if method != METHOD || !offered {
            let what = "this Authentication Method is not offered here";
            return Err(Denied { reason: ReasonCode::BadAuthenticationMethod, what });
        }
        let data = caller.connect.authentication_data.unwrap_or_default();
        let (data, next) = self.begin(force, data, source_of(caller.peer)).await?;
        Ok(Step::Challenge { data, next })
    }

    async fn begin(
        &self,
        force: &Force,
        data: &[u8],
        source: u128,
    ) -> Result<(Vec<u8>, Exchange), Denied> {
        let first = scram::begin(data).map_err(|_| MALFORMED)?;
        let user = first.user.clone();
        self.delay(source, &user).await;
        let mut nonce = [0; 18];
        super::super::fill_random(&mut nonce).map_err(|_| Denied {
            reason: ReasonCode::ServerUnavailable,
            what: "no randomness for a nonce",
        })?;
        let hash = force.passwords.as_ref().and_then(|file| file.find(&user));
        let verifier = hash.and_then(Hash::scram);
        let (data, challenged) = first.challenge(verifier, &nonce, self.decoy_key());
        Ok((data, Exchange { challenged, user }))
    }

    /// The client's proof: who it is, the method, and the server's own proof.
    pub(super) async fn finish(
        &self,
        force: &Force,
        next: Exchange,
        data: &[u8],
        source: u128,
    ) -> Result<(Identity, String, Vec<u8>), Denied> {
        let begun = tokio::time::Instant::now();
        let Exchange { challenged, user } = next;
        match challenged.finish(data) {
            Ok((data, user)) => {
                lock(&self.throttle).succeeded(self.now_ms(), source, &user);
                Ok((named(force, user.into()), METHOD.to_owned(), data))
            }
            Err(_) => {
                self.wrong(force, source, &user, begun).await;
                Err(Denied::WRONG)
            }
        }
    }

    /// A link that authenticates again: as the user that it is.
    pub(super) async fn again(
        &self,
        turn: Turn<'_>,
        method: &str,
        identity: &Arc<Identity>,
        source: u128,
    ) -> Answer {
        let Turn { shard, link, first, data } = turn;
        let force = self.force();
        if method != METHOD {
            return Answer::Failed;
        }
        if first {
            let Ok((data, next)) = self.begin(&force, data, source).await else {
                return Answer::Failed;
            };
            return match lock(&self.again).put(shard, link, next, Instant::now()) {
                true => Answer::Continue(data),
                false => Answer::Failed,
            };
        }
        let next = lock(&self.again).take(shard, link, Instant::now());
        let Some(next) = next else { return Answer::Failed };
        match self.finish(&force, next, data, source).await {
            Ok((new, _, data)) if new.user == identity.user => {
                Answer::Authenticated { data, identity: Arc::new(new), ends: Time::NEVER }
            }
            _ => Answer::Failed,
        }
    }
}

const MALFORMED: Denied = Denied {
    reason: ReasonCode::NotAuthorized,
    what: "the Authentication Data is not what SCRAM-SHA-256 says",
};
