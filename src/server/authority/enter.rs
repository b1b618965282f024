//! A CONNECT, method after method.
//!
//! Order: the certificate's name, where the listener takes the user from it; SCRAM, when there is
//! an Authentication Method; a token, when the password is one; the password file; the hook. Who
//! says no name and no password is anonymous. Invariant: whichever way a user name and a password
//! are wrong, the answer is the same and comes after the same time.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::force::{Force, Tokens, Ways};
use super::hashing::NotHashed;
use super::{
    Admitted, Authority, Caller, Counts, Denied, Exchange, Step, address_of, lock, source_of,
};
use crate::auth::jwt::{self, JwtError};
use crate::auth::password::PasswordFile;
use crate::auth::{Grants, Identity};
use crate::broker::Time;
use crate::codec::ReasonCode;
use crate::config::Method;
use crate::server::hook::{Answer, ConnectQuestion, Hook, Unanswered};

/// Who a method found.
struct Found {
    identity: Identity,
    ends: Time,
}

impl From<Identity> for Found {
    fn from(identity: Identity) -> Self {
        Self { identity, ends: Time::NEVER }
    }
}

impl Authority {
    /// Asks the listener's methods about a CONNECT. Takes its time: hashes wait for their turn,
    /// attempts behind wrong ones for their delay (`auth.wrong_password_delay_max_ms` at most).
    /// May be dropped at any moment.
    pub(crate) async fn authenticate(&self, caller: &Caller<'_>) -> Result<Step, Denied> {
        let force = self.force();
        let Some(ways) = force.listeners.get(caller.listener) else {
            return Err(self.counted(Denied::not_authorized("this listener is not known")));
        };
        let step = match caller.connect.authentication_method {
            Some(method) => self.challenge(&force, ways, caller, method).await,
            None => self.identify(&force, ways, caller).await.and_then(|(identity, ends)| {
                self.admit(&force, caller.client_id, identity, ends, None)
            }),
        };
        step.map_err(|denied| self.counted(denied))
    }

    /// The client's AUTH of an exchange. Its method must be that of the CONNECT
    /// \[MQTT-4.12.0-5\]: the caller checks it.
    pub(crate) async fn go_on(
        &self,
        caller: &Caller<'_>,
        next: Exchange,
        data: &[u8],
    ) -> Result<Step, Denied> {
        let force = self.force();
        let finished = self.finish(&force, next, data, source_of(caller.peer)).await;
        let step = finished.and_then(|(identity, method, data)| {
            let identity = Arc::new(identity);
            self.admit(&force, caller.client_id, identity, Time::NEVER, Some((method, data)))
        });
        step.map_err(|denied| self.counted(denied))
    }

    /// Counts who is refused.
    fn counted(&self, denied: Denied) -> Denied {
        let Counts { wrong, refused, .. } = &*self.counts;
        let count = match denied.reason {
            ReasonCode::BadUserNameOrPassword => wrong,
            _ => refused,
        };
        count.fetch_add(1, Relaxed);
        denied
    }

    /// Known now: is there room for one more of its connections?
    fn admit(
        &self,
        force: &Force,
        client_id: &str,
        identity: Arc<Identity>,
        ends: Time,
        authentication: Option<(String, Vec<u8>)>,
    ) -> Result<Step, Denied> {
        let mut seat = None;
        if let Some(user) = identity.user.as_deref()
            && let Some(quota) = force.quotas.of(Some(user), client_id)
            && quota.connections_max > 0
        {
            seat = self.seats.take(user, client_id, quota.connections_max);
            if seat.is_none() {
                self.counts.connections_max.fetch_add(1, Relaxed);
                let what = "the user's connections are all in use (quota.connections_max)";
                return Err(Denied { reason: ReasonCode::QuotaExceeded, what });
            }
        }
        self.counts.admitted.fetch_add(1, Relaxed);
        Ok(Step::Enter(Admitted { identity, ends, authentication, seat }))
    }

    /// Who it is, without an Authentication Method.
    async fn identify(
        &self,
        force: &Force,
        ways: &Ways,
        caller: &Caller<'_>,
    ) -> Result<(Arc<Identity>, Time), Denied> {
        if let Some(found) = by_certificate(force, ways, caller)? {
            return Ok((Arc::new(found.identity), found.ends));
        }
        // An empty name is none: MQTT has no other way to leave it out in front of a password.
        let user = caller.connect.user_name.filter(|user| !user.is_empty());
        let password = caller.connect.password;
        let asked =
            |method: &&Method| matches!(method, Method::Password | Method::Jwt | Method::Hook);
        let methods = ways.methods.iter().filter(asked).count();
        let nameless = user.is_none() && password.is_none();
        if nameless || methods == 0 {
            // Without a method nobody has checked the name: it names nobody, and gives no rights.
            return match ways.allow_anonymous {
                true => Ok((Arc::clone(&force.anonymous), Time::NEVER)),
                false if nameless => Err(Denied::not_authorized(
                    "this listener lets nobody in without authentication",
                )),
                false => Err(Denied::not_authorized(
                    "this listener checks no passwords, and lets nobody in without authentication",
                )),
            };
        }
        let has = |method| ways.methods.contains(&method);
        if let (Some(tokens), Some(token)) = (&force.tokens, password.and_then(looks_like_token))
            && has(Method::Jwt)
        {
            let found = self.by_token(force, tokens, token, user, caller.client_id)?;
            return Ok((Arc::new(found.identity), found.ends));
        }
        let found = self.by_password(force, ways, caller, user).await?;
        Ok((Arc::new(found.identity), found.ends))
    }

    /// User name and password, held against the file and the hook; after the delay that wrong ones
    /// before it have earned.
    async fn by_password(
        &self,
        force: &Force,
        ways: &Ways,
        caller: &Caller<'_>,
        user: Option<&str>,
    ) -> Result<Found, Denied> {
        let (source, name) = (source_of(caller.peer), user.unwrap_or_default());
        self.delay(source, name).await;
        let begun = Instant::now();
        let has = |method| ways.methods.contains(&method);
        let mut found = None;
        let mut guessed_at_file = false;
        if let (Some(file), Some(user), Some(password)) =
            (&force.passwords, user, caller.connect.password)
            && has(Method::Password)
        {
            guessed_at_file = true;
            if self.is_right(force, file, user, password).await? {
                found = Some(Found::from(named(force, user.into())));
            }
        }
        if let (None, Some(hook)) = (&found, &force.hook)
            && has(Method::Hook)
        {
            found = match ask_hook(force, ways, caller, user, hook).await {
                Ok(found) => found,
                Err(denied) => {
                    // An outage of the hook gives no free guesses at the file; but where there is
                    // none, it is not the client's fault.
                    if guessed_at_file {
                        lock(&self.throttle).failed(self.now_ms(), source, name);
                    }
                    return Err(denied);
                }
            };
        }
        match found {
            Some(found) => {
                lock(&self.throttle).succeeded(self.now_ms(), source, name);
                Ok(found)
            }
            None => {
                self.wrong(force, source, name, begun).await;
                Err(Denied::WRONG)
            }
        }
    }

    /// Waits for the delay of wrong passwords before this one. Who waits holds no place that
    /// others need.
    pub(super) async fn delay(&self, source: u128, user: &str) {
        let delay_ms = lock(&self.throttle).delay_ms(self.now_ms(), source, user);
        if delay_ms > 0 {
            self.counts.delayed.fetch_add(1, Relaxed);
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        }
    }

    /// It was wrong. The answer comes so long after the password was looked at, and not sooner:
    /// different hashes take different times, and some users have none.
    pub(super) async fn wrong(&self, force: &Force, source: u128, user: &str, begun: Instant) {
        lock(&self.throttle).failed(self.now_ms(), source, user);
        tokio::time::sleep_until(begun + Duration::from_millis(force.wrong_answer_ms)).await;
    }

    /// Whether this is the user's password, computed elsewhere. Who is not there costs as much.
    async fn is_right(
        &self,
        force: &Force,
        file: &Arc<PasswordFile>,
        user: &str,
        password: &[u8],
    ) -> Result<bool, Denied> {
        let memory_bytes = file.candidate(user, self.seed).memory_bytes();
        let (file, seed) = (Arc::clone(file), self.seed);
        let (user, password) = (user.to_owned(), Zeroizing::new(password.to_vec()));
        let job = move || file.candidate(&user, seed).verify(&password);
        match force.hashing.run(memory_bytes, job).await {
            Ok(right) => Ok(right),
            Err(NotHashed::TooLarge) => {
                tracing::warn!(
                    memory_bytes,
                    "a hash in the password file needs more memory than \
                     auth.hash_memory_bytes_max: its user cannot enter"
                );
                Ok(false)
            }
            Err(NotHashed::Full) => {
                self.counts.hash_queue_full.fetch_add(1, Relaxed);
                Err(Denied::busy("too many clients wait for their passwords to be checked"))
            }
            Err(NotHashed::Over) => Err(Denied {
                reason: ReasonCode::ServerShuttingDown,
                what: "the server shuts down",
            }),
        }
    }

    /// The password is a token: it decides alone.
    fn by_token(
        &self,
        force: &Force,
        tokens: &Tokens,
        token: &str,
        user: Option<&str>,
        client_id: &str,
    ) -> Result<Found, Denied> {
        let wrong = |what| Denied { reason: ReasonCode::BadUserNameOrPassword, what };
        let now_s = Self::now_s();
        let token = jwt::verify(token, &tokens.keys, &tokens.rules, now_s)
            .map_err(|error| wrong(why_not(&error)))?;
        // Without a name it would come in as an anonymous client, whom the listener may refuse.
        let Some(name) = token.user else {
            return Err(wrong("the token names no user (auth.jwt_user_claim)"));
        };
        if user.is_some_and(|user| *user != *name) {
            return Err(wrong("the token is another user's"));
        }
        if token.client_id.is_some_and(|id| id != client_id) {
            return Err(wrong("the token is for another Client Identifier"));
        }
        let grants = token.grants.map(|grants| {
            Arc::new(Grants::of(&grants.publish, &grants.subscribe, Some(&name), client_id))
        });
        let asks = force.anonymous.asks;
        let ends = token
            .expires_s
            .map_or(Time::NEVER, |at_s| Time(self.now_ms()).plus_s(at_s.saturating_sub(now_s)));
        let identity = Identity { user: Some(name), roles: token.roles, grants, asks };
        Ok(Found { identity, ends })
    }
}

/// A user that a password, a proof or a certificate belongs to.
pub(super) fn named(force: &Force, user: Arc<str>) -> Identity {
    Identity { user: Some(user), asks: force.anonymous.asks, ..Identity::default() }
}

/// The certificate's user, where the listener takes it from there. A certificate without such a
/// name is nobody's; without a certificate (it is optional) the other methods are asked.
fn by_certificate(
    force: &Force,
    ways: &Ways,
    caller: &Caller<'_>,
) -> Result<Option<Found>, Denied> {
    let Some(certificate) = caller.certificate.filter(|_| ways.user_from_certificate) else {
        return Ok(None);
    };
    match certificate.user.as_deref() {
        Some(user) if !user.is_empty() => Ok(Some(named(force, user.into()).into())),
        _ => Err(Denied::not_authorized("the client certificate has no user name")),
    }
}

async fn ask_hook(
    force: &Force,
    ways: &Ways,
    caller: &Caller<'_>,
    user: Option<&str>,
    hook: &Hook,
) -> Result<Option<Found>, Denied> {
    let peer = address_of(caller.peer);
    let question = ConnectQuestion {
        client_id: caller.client_id,
        user,
        password: caller.connect.password,
        peer: &peer,
        listener: &ways.address,
        certificate: caller.certificate.map(|c| (c.common_name.as_deref(), c.sans.as_slice())),
    };
    let answer = hook.connect(&question).await.map_err(|unanswered| match unanswered {
        Unanswered::Busy => Denied::busy("too many questions to the hook are under way"),
        // As if it had said no, but that the client may come again: the password may be right.
        Unanswered::Failed => Denied {
            reason: ReasonCode::ServerUnavailable,
            what: "who decides about this client does not answer",
        },
    })?;
    Ok(answer.allow.then(|| by_answer(force, &answer, user, caller.client_id)))
}

fn by_answer(force: &Force, answer: &Answer, user: Option<&str>, client_id: &str) -> Found {
    let user = answer.user.as_deref().or(user).filter(|user| !user.is_empty());
    let grants = answer
        .acl
        .as_ref()
        .map(|lists| Arc::new(Grants::of(&lists.publish, &lists.subscribe, user, client_id)));
    let roles = answer.roles.iter().map(|role| role.as_str().into()).collect();
    Identity { user: user.map(Into::into), roles, grants, asks: force.anonymous.asks }.into()
}

/// A token in its compact form: three parts of Base64url, of which the first begins a JSON object.
fn looks_like_token(password: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(password).ok()?;
    let is_base64url = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let parts = text.split('.').count();
    let fits = text.starts_with("eyJ") && text.bytes().all(|b| is_base64url(b) || b == b'.');
    (parts == 3 && fits).then_some(text)
}

/// For the log and the client; nothing of the token.
fn why_not(error: &JwtError) -> &'static str {
    match error {
        JwtError::NotSigned => "the token is not signed (alg: none)",
        JwtError::UnknownAlgorithm => "the token's algorithm is not supported",
        JwtError::NoKey | JwtError::ManyKeys => "no single key fits the token",
        JwtError::Signature => "the token's signature is wrong",
        JwtError::Expired => "the token has expired",
        JwtError::NotYet => "the token is not valid yet",
        JwtError::Issuer => "the token is from another issuer",
        JwtError::Audience => "the token is for another audience",
        JwtError::Endless => "the token has no end (exp)",
        JwtError::Claim { .. } => "a claim of the token is not what it must be",
        _ => "the token is malformed",
    }
}
