//! The settings as plain data: what the rest of the broker is handed.
//!
//! Nothing here reads, checks or defaults anything: the defaults stand in `stonechat.example.toml`
//! (the lowest layer, so every field is always filled), the ranges in `schema.rs`. Invariant: a
//! `Settings` that came out of [`Settings::load`](super::Settings::load) is within those ranges.
//! What a setting means is told once, in the example file; here only what code must know.
use super::schema::topic_policies;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Everything that can be set, checked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where to listen; never empty.
    pub listener: Vec<Listener>,
    /// Who may connect.
    pub auth: Auth,
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

/// One `[[listener]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// `host:port`, `[v6]:port`; port 0 lets the system choose. Well-formed, not yet resolved.
    pub address: String,
    /// Whether a CONNECT without user name is let in; already decided from all layers.
    #[serde(default)]
    pub allow_anonymous: bool,
    /// Connections on this listener; 0 leaves only `server.connections_max`.
    #[serde(default)]
    pub connections_max: usize,
    /// Failing to bind it is a warning instead of the end.
    #[serde(default)]
    pub optional: bool,
    /// How safe is safe for what arrives here.
    #[serde(default)]
    pub policy: ListenerPolicy,
}

impl Listener {
    /// Whether only this machine can reach it. A host name other than `localhost` counts as
    /// reachable from outside: what it resolves to may change.
    pub fn is_loopback(&self) -> bool {
        if let Ok(address) = self.address.parse::<SocketAddr>() {
            return address.ip().to_canonical().is_loopback();
        }
        let host = self.address.rsplit_once(':').map_or("", |(host, _)| host);
        host.eq_ignore_ascii_case("localhost")
    }
}

/// `[auth]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// The default for listeners that say nothing. Only [`Listener::allow_anonymous`] decides.
    pub allow_anonymous: bool,
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

/// `listener.policy`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenerPolicy {
    /// `store.policy`
    #[default]
    Default,
    /// As of `StorePolicy`.
    Commit,
    /// As of `StorePolicy`.
    Interval,
    /// As of `StorePolicy`.
    Os,
    /// As of `StorePolicy`.
    Memory,
}

impl Listener {
    /// The policy that it names itself.
    pub fn own_policy(&self) -> Option<StorePolicy> {
        match self.policy {
            ListenerPolicy::Default => None,
            ListenerPolicy::Commit => Some(StorePolicy::Commit),
            ListenerPolicy::Interval => Some(StorePolicy::Interval),
            ListenerPolicy::Os => Some(StorePolicy::Os),
            ListenerPolicy::Memory => Some(StorePolicy::Memory),
        }
    }
}

impl Settings {
    /// Every policy that something is kept by.
    pub fn policies(&self) -> impl Iterator<Item = StorePolicy> {
        let listeners = self.listener.iter().filter_map(Listener::own_policy);
        let topics = self.store.topic_policies().map(|(_, policy)| policy);
        std::iter::once(self.store.policy).chain(listeners).chain(topics)
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
