//! The settings as plain data: what the rest of the broker is handed.
//!
//! Nothing here reads, checks or defaults anything: the defaults stand in `stonechat.example.toml`
//! (the lowest layer, so every field is always filled), the ranges in `schema.rs`. Invariant: a
//! `Settings` that came out of [`Settings::load`](super::Settings::load) is within those ranges.
//! What a setting means is told once, in the example file; here only what code must know.
use super::listener::{Listener, UserFrom};
use super::schema::topic_policies;
use super::values::{Method, list, unless_empty};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Everything that can be set, checked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where to listen; never empty.
    pub listener: Vec<Listener>,
    /// Who may connect.
    pub auth: Auth,
    /// How much single clients may do; the first that concerns one counts. Mostly empty.
    #[serde(default)]
    pub quota: Vec<Quota>,
    /// The process: threads, connections, time.
    pub server: Server,
    /// What is told to clients, and the protocol's own limits.
    pub mqtt: Mqtt,
    /// What is kept on disk.
    pub store: Store,
    /// Bounds of memory and of counts.
    pub limits: Limits,
    /// Where log lines go.
    pub log: Log,
}

/// `[auth]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// The default for listeners that say nothing. Only [`Listener::allow_anonymous`] decides.
    pub allow_anonymous: bool,
    /// Ways to show who one is; empty: all that are configured. See [`Settings::methods`].
    #[serde(deserialize_with = "list")]
    pub authentication: Vec<Method>,
    /// Users and hashes of their passwords.
    #[serde(deserialize_with = "unless_empty")]
    pub password_file: Option<PathBuf>,
    /// Who may do what; TOML if its name ends so (see [`Auth::acl_is_toml`]), else mosquitto's.
    #[serde(deserialize_with = "unless_empty")]
    pub acl_file: Option<PathBuf>,
    /// PEM; at most one of this and the two below is set.
    #[serde(deserialize_with = "unless_empty")]
    pub jwt_key_file: Option<PathBuf>,
    /// Bytes of a shared secret.
    #[serde(deserialize_with = "unless_empty")]
    pub jwt_secret_file: Option<PathBuf>,
    /// A set of keys as JSON.
    #[serde(deserialize_with = "unless_empty")]
    pub jwks_file: Option<PathBuf>,
    /// What `iss` has to be.
    #[serde(deserialize_with = "unless_empty")]
    pub jwt_issuer: Option<String>,
    /// What `aud` has to name.
    #[serde(deserialize_with = "unless_empty")]
    pub jwt_audience: Option<String>,
    /// The claim with the user name; never empty.
    pub jwt_user_claim: String,
    /// How far the issuer's clock may be off.
    pub jwt_leeway_s: u64,
    /// Who is asked; `http` or `https`, without user and password.
    #[serde(deserialize_with = "unless_empty")]
    pub hook_url: Option<String>,
    /// PEM; whom an `https` hook is trusted by. Set exactly if it is `https`.
    #[serde(deserialize_with = "unless_empty")]
    pub hook_ca_file: Option<PathBuf>,
    /// A token that the hook's server is shown.
    #[serde(deserialize_with = "unless_empty")]
    pub hook_token_file: Option<PathBuf>,
    /// For one question.
    pub hook_timeout_ms: u64,
    /// How long an answer holds; 0 asks each time.
    pub hook_cache_s: u64,
    /// Questions under way.
    pub hook_concurrent_max: usize,
    /// Whether it is asked about topics too.
    pub hook_acl: bool,
    /// Password hashes that are computed at the same time.
    pub hashes_concurrent_max: usize,
    /// The memory of all these together.
    pub hash_memory_bytes_max: usize,
    /// The first delay after a wrong password; 0 is none.
    pub wrong_password_delay_ms: u64,
    /// The longest delay.
    pub wrong_password_delay_max_ms: u64,
    /// Whether a user may take over another's session.
    pub takeover_by_other_users: bool,
    /// Who may read `$SYS`; empty: everybody.
    #[serde(deserialize_with = "list")]
    pub sys_roles: Vec<String>,
}

impl Auth {
    /// Whether `acl_file` is TOML.
    pub fn acl_is_toml(&self) -> bool {
        let extension = self.acl_file.as_deref().and_then(Path::extension);
        extension.is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
    }

    /// Whether `method` has what it needs. Of certificates, the listener knows.
    pub(super) fn is_configured(&self, method: Method) -> bool {
        match method {
            Method::Password | Method::Scram => self.password_file.is_some(),
            Method::Jwt => self.jwt_sources().next().is_some(),
            Method::Hook => self.hook_url.is_some(),
            Method::Certificate => false,
        }
    }

    /// Where keys for tokens come from: the settings that are set.
    pub(super) fn jwt_sources(&self) -> impl Iterator<Item = &'static str> {
        let all = [
            ("auth.jwt_key_file", self.jwt_key_file.is_some()),
            ("auth.jwt_secret_file", self.jwt_secret_file.is_some()),
            ("auth.jwks_file", self.jwks_file.is_some()),
        ];
        all.into_iter().filter(|(_, set)| *set).map(|(name, _)| name)
    }
}

/// One `[[quota]]`; 0 is no limit of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// User names, `*` for anything; empty: any user, and who has no name. Not empty together with
    /// `client_ids`.
    #[serde(deserialize_with = "list")]
    pub users: Vec<String>,
    /// Client Identifiers, `*` for anything; empty: any.
    #[serde(deserialize_with = "list")]
    pub client_ids: Vec<String>,
    /// PUBLISH packets per second.
    pub messages_per_s: u32,
    /// Bytes of these per second.
    pub bytes_per_s: u64,
    /// What happens over these two.
    pub on_excess: Excess,
    /// Subscriptions of a session.
    pub subscriptions_max: usize,
    /// Retained messages that it may have set.
    pub retained_messages_max: usize,
    /// Bytes that wait for a session.
    pub queued_bytes_max: usize,
    /// Connections of the user at a time.
    pub connections_max: usize,
}

/// `quota.on_excess`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Excess {
    /// The socket is not read for a while.
    #[default]
    Throttle,
    /// What is over it is dropped or refused.
    Drop,
    /// The client is disconnected.
    Disconnect,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Threads that serve connections; 0 is the available parallelism.
    pub shards: usize,
    /// Connections of all listeners together.
    pub connections_max: usize,
    /// Connections that the system may keep waiting for `accept`, per listener.
    pub accept_backlog: u32,
    /// How long an orderly stop may take.
    pub shutdown_ms: u64,
    /// From accept to a whole CONNECT.
    pub connect_timeout_ms: u64,
    /// Size of a CONNECT packet, will and password included.
    pub connect_bytes_max: usize,
    /// Bytes of all incomplete packets together.
    pub half_received_bytes_max: usize,
    /// Whom the process becomes once it listens: a name or a number.
    #[serde(deserialize_with = "unless_empty")]
    pub user: Option<String>,
    /// The group for that; `None`: the user's own. Only set together with `user`.
    #[serde(deserialize_with = "unless_empty")]
    pub group: Option<String>,
    /// Between two looks at the files that settings name; 0 waits for SIGHUP.
    pub watch_files_s: u64,
}

/// `[mqtt]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mqtt {
    /// Maximum Packet Size, header included.
    pub packet_bytes_max: u32,
    /// Ceiling of the Session Expiry Interval; `u32::MAX` is never.
    pub session_expiry_max_s: u32,
    /// Ceiling of Keep Alive; 0 is no ceiling.
    pub keep_alive_max_s: u16,
    /// Receive Maximum told to clients; at least 1.
    pub receive_maximum: u16,
    /// Outgoing QoS 1 and 2 messages under way per session; at least 1.
    pub in_flight_max: u16,
    /// Topic Alias Maximum told to clients.
    pub topic_alias_max: u16,
    /// Topic aliases that the broker uses towards a client.
    pub topic_alias_outgoing_max: u16,
    /// Prefix of the Response Information; empty is none.
    pub response_information: String,
    /// Length of a Client Identifier.
    pub client_id_bytes_max: usize,
    /// Retain Available.
    pub retain_available: bool,
    /// Between two rounds of `$SYS` messages; 0 is off.
    pub sys_interval_s: u32,
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// Where the log is; already decided, so never empty.
    pub directory: PathBuf,
    /// How safe is safe.
    pub policy: StorePolicy,
    /// `filter=policy`, comma-separated; see [`Store::topic_policies`].
    pub topic_policies: String,
    /// How long a sync waits for more that need it.
    pub commit_delay_ms: u64,
    /// Between two syncs with `StorePolicy::Interval`.
    pub interval_ms: u64,
    /// What to do when something that was kept is gone.
    pub on_damage: OnDamage,
    /// Length of one file of the log.
    pub segment_bytes: u64,
    /// All files together; 0 is as much as there is room for.
    pub log_bytes_max: u64,
}

impl Store {
    /// The policies of single topics; the first filter that matches counts.
    pub fn topic_policies(&self) -> impl Iterator<Item = (&str, StorePolicy)> + Clone {
        topic_policies(&self.topic_policies).flatten()
    }
}

impl Settings {
    /// Every policy that something is kept by.
    pub fn policies(&self) -> impl Iterator<Item = StorePolicy> {
        let listeners = self.listener.iter().filter_map(Listener::own_policy);
        let topics = self.store.topic_policies().map(|(_, policy)| policy);
        std::iter::once(self.store.policy).chain(listeners).chain(topics)
    }

    /// How clients of `listener` may show who they are, in the order in which it is tried: those
    /// that it names, else those that `[auth]` names, else all that are configured; the
    /// certificate's name first, where `user_from` says that it is one. Empty: nobody but
    /// anonymous clients can connect there.
    pub fn methods(&self, listener: &Listener) -> Vec<Method> {
        if !listener.authentication.is_empty() {
            return listener.authentication.clone();
        }
        let certificate = (listener.user_from != UserFrom::Connect).then_some(Method::Certificate);
        let all = [Method::Password, Method::Jwt, Method::Scram, Method::Hook];
        let named: &[Method] = match self.auth.authentication.as_slice() {
            [] => &all,
            named => named,
        };
        let of_auth = named.iter().copied().filter(|method| self.auth.is_configured(*method));
        certificate.into_iter().chain(of_auth).collect()
    }
}

/// A file that a setting names, which the broker reads and reads again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile<'a> {
    /// `auth.password_file`, or `listener 0.0.0.0:8883: key_file`
    pub setting: String,
    /// where it is
    pub path: &'a Path,
    /// whether nobody else should be able to read it
    pub secret: bool,
}

impl Settings {
    /// All files that settings name, but for the log's directory.
    pub fn files(&self) -> Vec<NamedFile<'_>> {
        let auth = [
            ("auth.password_file", &self.auth.password_file, true),
            ("auth.acl_file", &self.auth.acl_file, false),
            ("auth.jwt_key_file", &self.auth.jwt_key_file, false),
            ("auth.jwt_secret_file", &self.auth.jwt_secret_file, true),
            ("auth.jwks_file", &self.auth.jwks_file, false),
            ("auth.hook_ca_file", &self.auth.hook_ca_file, false),
            ("auth.hook_token_file", &self.auth.hook_token_file, true),
        ];
        let of_auth = auth.into_iter().filter_map(|(setting, path, secret)| {
            Some(NamedFile { setting: setting.into(), path: path.as_deref()?, secret })
        });
        self.listener.iter().flat_map(Listener::files).chain(of_auth).collect()
    }
}

/// `store.policy`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StorePolicy {
    /// Acknowledged when it is synced.
    Commit,
    /// Acknowledged when it is written; synced every `interval_ms`.
    Interval,
    /// Acknowledged when it is written; the system syncs when it likes.
    Os,
    /// Nothing is kept on disk.
    Memory,
}

impl StorePolicy {
    /// The policy that a file calls so.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "commit" => Self::Commit,
            "interval" => Self::Interval,
            "os" => Self::Os,
            "memory" => Self::Memory,
            _ => return None,
        })
    }
}

/// `store.on_damage`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDamage {
    /// Do not start.
    Refuse,
    /// Say what is gone, and go on.
    KeepRest,
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Per connection: outgoing bytes waiting.
    pub output_bytes_max: usize,
    /// On all connections: outgoing bytes waiting.
    pub output_total_bytes_max: usize,
    /// Per connection: bytes read in one pass.
    pub read_bytes_per_pass: usize,
    /// Per session: messages waiting.
    pub queued_messages_max: usize,
    /// Per session: bytes waiting.
    pub queued_bytes_max: usize,
    /// Which message gives way when a queue is full.
    pub queue_full: QueueFull,
    /// Whether QoS 0 waits for clients that are away.
    pub queue_qos0: bool,
    /// Per session: subscriptions.
    pub subscriptions_per_session_max: usize,
    /// Levels of a topic filter.
    pub filter_levels_max: usize,
    /// Topic filters in one SUBSCRIBE or UNSUBSCRIBE.
    pub filters_per_packet_max: usize,
    /// Per broker: sessions, connected or not.
    pub sessions_max: usize,
    /// Per broker: subscriptions.
    pub subscriptions_max: usize,
    /// Per broker: bytes of the subscriptions' topic filters.
    pub subscription_bytes_max: usize,
    /// Per broker: retained messages.
    pub retained_messages_max: usize,
    /// Per broker: bytes of retained messages.
    pub retained_bytes_max: usize,
    /// Per broker: stored wills.
    pub wills_max: usize,
    /// Per broker: bytes of stored wills.
    pub will_bytes_max: usize,
    /// Per broker: bytes of all queues, in memory and on disk.
    pub queue_bytes_max: usize,
    /// Per session: bytes of its queue kept in memory; the rest waits on disk.
    pub queue_memory_bytes: usize,
    /// Per broker: bytes of all queues in memory.
    pub queue_memory_total_bytes: usize,
    /// Per session: bytes under way, or waiting in memory alone.
    pub session_memory_bytes_max: usize,
    /// Messages under way to all clients.
    pub session_memory_total_bytes: usize,
    /// Per broker: bytes recorded and not yet on disk.
    pub uncommitted_bytes_max: usize,
    /// How long a publisher that cannot be told waits for room on a full disk.
    pub no_room_ms: u64,
    /// Between two shards: bytes under way.
    pub peer_bytes_max: usize,
    /// Per shard: cache of topic to receivers.
    pub match_cache_bytes: usize,
}

/// `limits.queue_full`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueFull {
    /// The oldest waiting message makes room.
    DropOldest,
    /// The arriving message is not taken.
    DropNewest,
    /// Its publisher is refused before anybody gets it.
    Refuse,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// A level, or `target=level,…`; checked.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
    /// Which stream gets the lines.
    pub to: LogTo,
}

/// `log.format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// `log.to`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogTo {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
}
