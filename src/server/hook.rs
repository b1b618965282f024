//! The HTTP hook: another server decides who enters, and who may use a topic.
//!
//! May use: threads that may wait, sockets of its own. Invariants: it fails closed: what is not
//! answered in time, whole and as it must be, is a refusal; the number of questions under way, of
//! those that wait, the bytes of an answer and those of the cache are bounded; a password leaves in
//! the question alone, and is kept in no other form than a keyed hash over all of the question;
//! the token that the broker shows leaves in its header alone.

mod cache;
mod question;
#[cfg(test)]
#[path = "../../tests/support/hook.rs"]
pub(super) mod server;
#[cfg(test)]
mod tests;
mod token;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use ureq::http::{StatusCode, Uri, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use zeroize::Zeroizing;

use cache::{Cache, Key};
pub(crate) use question::{ConnectQuestion, TopicQuestion, Wanted};
pub(crate) use token::Token;

/// Bytes of an answer, headers left out.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Bytes of an answer's headers.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// Questions that wait for one of `auth.hook_concurrent_max`.
const WAITING_MAX: usize = 1024;
/// How long an idle connection to the hook is kept.
const IDLE: Duration = Duration::from_secs(10);
/// The log is told of an outage at most so often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// What `[auth]` says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HookRules {
    /// `http://` or `https://`
    pub(crate) url: String,
    /// certificates of the authorities that an `https` hook is trusted by, in PEM
    pub(crate) ca_file: PathBuf,
    /// what the broker shows to it
    pub(crate) token: Option<Token>,
    /// for a whole question, waiting for its turn included
    pub(crate) timeout_ms: u64,
    /// how long an answer counts that does not say so itself; 0: it is asked each time
    pub(crate) cache_s: u64,
    /// questions under way
    pub(crate) concurrent_max: usize,
}

/// What a hook says.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) allow: bool,
    /// the user's name, if another than it said
    #[serde(default)]
    pub(crate) user: Option<String>,
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    /// instead of the ACL file
    #[serde(default)]
    pub(crate) acl: Option<Lists>,
    #[serde(default)]
    cache_s: Option<u64>,
}

/// Topic Filters, with `%c` and `%u`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(crate) struct Lists {
    pub(crate) publish: Vec<String>,
    pub(crate) subscribe: Vec<String>,
}

/// There is no answer: what was asked is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// too many questions are under way
    Busy,
    /// the hook is down, slow, or says what is no answer
    Failed,
}

/// How often what happened.
#[derive(Debug, Default)]
pub(crate) struct HookCounts {
    pub(crate) asked: AtomicU64,
    pub(crate) from_cache: AtomicU64,
    /// down, slow, or no answer
    pub(crate) failed: AtomicU64,
    /// no place among those that wait
    pub(crate) busy: AtomicU64,
}

/// The way to the hook.
pub(crate) struct Hook {
    agent: ureq::Agent,
    url: String,
    /// the same for log lines: what stands behind `?` may be a secret
    name: String,
    token: Option<Token>,
    timeout: Duration,
    cache_for: Duration,
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
    key: hmac::Key,
    cache: Mutex<Cache>,
    outage: Arc<Outage>,
    counts: Arc<HookCounts>,
}

impl Hook {
    /// `random` keys the cache.
    ///
    /// # Errors
    /// A URL that is none, or a file without certificates; for people.
    pub(crate) fn new(
        rules: &HookRules,
        random: [u8; 32],
        counts: Arc<HookCounts>,
    ) -> Result<Self, String> {
        let timeout = Duration::from_millis(rules.timeout_ms);
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("stonechat/", env!("CARGO_PKG_VERSION")))
            .max_response_header_size(HEADER_BYTES_MAX)
            .max_idle_connections(rules.concurrent_max)
            .max_idle_connections_per_host(rules.concurrent_max)
            .max_idle_age(IDLE)
            .tls_config(tls(rules)?)
            .build()
            .new_agent();
        Ok(Self {
            agent,
            name: rules.url.split(['?', '#']).next().unwrap_or_default().to_owned(),
            url: rules.url.clone(),
            token: rules.token.clone(),
            timeout,
            cache_for: Duration::from_secs(rules.cache_s),
            slots: Arc::new(Semaphore::new(rules.concurrent_max.max(1))),
            waiting: AtomicUsize::new(0),
            key: hmac::Key::new(hmac::HMAC_SHA256, &random),
            cache: Mutex::default(),
            outage: Arc::default(),
            counts,
        })
    }

    /// Whether a client may connect. A refusal is not remembered: whoever guesses would fill the
    /// cache with it.
    pub(crate) async fn connect(
        &self,
        question: &ConnectQuestion<'_>,
    ) -> Result<Arc<Answer>, Unanswered> {
        self.ask(question.bytes(), false).await
    }

    /// Whether a topic or a filter may be used.
    pub(crate) async fn may(&self, question: &TopicQuestion<'_>) -> Result<bool, Unanswered> {
        Ok(self.ask(question.bytes(), true).await?.allow)
    }

    async fn ask(
        &self,
        question: Zeroizing<Vec<u8>>,
        keep_refusals: bool,
    ) -> Result<Arc<Answer>, Unanswered> {
        let key = self.key_of(&question);
        if let Some(answer) = self.cache().get(&key, Instant::now()) {
            self.counts.from_cache.fetch_add(1, Relaxed);
            return Ok(answer);
        }
        let until = tokio::time::Instant::now() + self.timeout;
        let Ok(Some(slot)) = tokio::time::timeout_at(until, self.slot()).await else {
            self.counts.busy.fetch_add(1, Relaxed);
            return Err(Unanswered::Busy);
        };
        let (agent, url, token) = (self.agent.clone(), self.url.clone(), self.token.clone());
        let job = move || {
            let answered = post(&agent, &url, token.as_ref(), &question);
            drop(slot); // not before: the thread is taken, whoever still waits for it
            answered
        };
        self.counts.asked.fetch_add(1, Relaxed);
        // The client's own limit covers each part of a question; this one, all of it.
        let job = tokio::time::timeout_at(until, tokio::task::spawn_blocking(job));
        let answered = match job.await {
            Ok(Ok(answered)) => answered,
            Ok(Err(_)) => Err("the process ends".to_owned()),
            Err(_) => Err("no answer within auth.hook_timeout_ms".to_owned()),
        };
        match answered {
            Ok((answer, bytes)) => {
                self.outage.answers(&self.name);
                let answer = Arc::new(answer);
                let for_s = answer.cache_s.map_or(self.cache_for, Duration::from_secs);
                if !for_s.is_zero() && (answer.allow || keep_refusals) {
                    self.cache().put(key, Arc::clone(&answer), bytes, Instant::now(), for_s);
                }
                Ok(answer)
            }
            Err(why) => {
                self.counts.failed.fetch_add(1, Relaxed);
                self.outage.fails(&self.name, &why);
                Err(Unanswered::Failed)
            }
        }
    }

    /// A place among those under way; `None` if too many wait for one.
    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        let slots = Arc::clone(&self.slots);
        if let Ok(slot) = Arc::clone(&slots).try_acquire_owned() {
            return Some(slot);
        }
        let _waits = Waits::begin(&self.waiting, WAITING_MAX)?;
        slots.acquire_owned().await.ok()
    }

    fn key_of(&self, question: &[u8]) -> Key {
        let mut key = Key::default();
        key.copy_from_slice(hmac::sign(&self.key, question).as_ref());
        key
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one that waits, as long as it does.
pub(super) struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    /// `None` if `max` wait already.
    pub(super) fn begin(waiting: &'a AtomicUsize, max: usize) -> Option<Self> {
        let waits = Self(waiting);
        (waiting.fetch_add(1, Relaxed) < max).then_some(waits)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// One question over HTTP, on a thread that may wait: the answer, and how long it was.
fn post(
    agent: &ureq::Agent,
    url: &str,
    token: Option<&Token>,
    question: &[u8],
) -> Result<(Answer, usize), String> {
    let send = || {
        let mut request = agent.post(url).content_type("application/json");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, token.header());
        }
        request.send(question)
    };
    let mut response = match send() {
        // A connection that was kept had been closed by the other side: that says nothing.
        Err(ureq::Error::Io(_)) => send(),
        other => other,
    }
    .map_err(|error| error.to_string())?;
    let status = response.status();
    if status != StatusCode::OK {
        return Err(format!("HTTP status {}", status.as_u16()));
    }
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
    let body = body.map_err(|error| error.to_string())?;
    // The text of the error would quote the answer.
    let answer = serde_json::from_slice(&body)
        .map_err(|error| format!("not the JSON of an answer, at line {}", error.line()))?;
    Ok((answer, body.len()))
}

/// How the hook is trusted.
fn tls(rules: &HookRules) -> Result<TlsConfig, String> {
    let wrong = |why: &str| Err(format!("auth.hook_url: {why}"));
    let Ok(url) = rules.url.parse::<Uri>() else { return wrong("this is not a URL") };
    if url.authority().is_none_or(|a| a.as_str().contains('@')) {
        return wrong("a host is needed, and a user name or password has no place in it");
    }
    let builder = TlsConfig::builder().unversioned_rustls_crypto_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ));
    match url.scheme_str() {
        Some("http") => Ok(builder.build()),
        Some("https") if rules.ca_file.as_os_str().is_empty() => {
            wrong("https needs auth.hook_ca_file: the certificates that the hook is trusted by")
        }
        Some("https") => {
            let roots = certificates(&rules.ca_file)?;
            Ok(builder.root_certs(RootCerts::new_with_certs(&roots)).build())
        }
        _ => wrong("it has to begin with http:// or https://"),
    }
}

fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let name = file.display();
    let pem = std::fs::read(file).map_err(|error| format!("{name}: {error}"))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(one) = item.map_err(|error| format!("{name}: {error}"))? {
            found.push(one);
        }
    }
    match found.is_empty() {
        true => Err(format!("{name}: there is no certificate in it")),
        false => Ok(found),
    }
}

/// Whether the hook answers, and what of it the log was told.
#[derive(Debug, Default)]
struct Outage {
    /// its last question failed: looked at without the lock
    is_out: AtomicBool,
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    /// the log says that it is out
    is_out: bool,
    last: Option<Instant>,
}

impl Outage {
    /// One line per outage; one that comes and goes is told of every few seconds.
    fn fails(&self, url: &str, why: &str) {
        self.is_out.store(true, Relaxed);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_out || said.last.is_some_and(|at| at.elapsed() < LINE_EVERY) {
            return;
        }
        *said = Said { is_out: true, last: Some(Instant::now()) };
        tracing::warn!(url, why, "the hook does not answer: what is asked of it is refused");
    }

    fn answers(&self, url: &str) {
        if !self.is_out.load(Relaxed) || !self.is_out.swap(false, Relaxed) {
            return;
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut said.is_out) {
            tracing::info!(url, "the hook answers again");
        }
    }
}
