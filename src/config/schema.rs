//! Every setting's kind and range, as one table, and the check of a value against it.
//!
//! Plain data and pure functions. Invariant: the table, the fields of `Settings` and the keys of
//! `stonechat.example.toml` are the same list, and the ranges are those that the example file
//! tells (`tests/config.rs` compares all three).
use super::listener::UNIX;
use super::settings::StorePolicy;
use super::values::{
    self, Method, Origin, Owner, SniHost, is, is_account, is_host_and_port, is_network, is_pattern,
    is_unix_path, is_url, is_url_path, items,
};
use crate::topic::TopicFilter;

/// What a setting may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number from the first to the second.
    Int(u64, u64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// What topics may begin with: no wildcard, no control character, this many bytes at most.
    TopicPrefix(usize),
    /// `host:port` or `unix:/path`.
    Address,
    /// A level or `target=level,…`.
    LogLevel,
    /// A path of the file system, or nothing.
    Path,
    /// `filter=policy`, comma-separated, or nothing.
    TopicPolicies,
    /// A text with these properties, and what to call it.
    Text(fn(&str) -> bool, &'static str),
    /// A comma-separated list of such texts, or nothing.
    List(fn(&str) -> bool, &'static str),
    /// The URL of a hook: never repeated in a message, because a secret may stand in it.
    Url,
}

/// One setting.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

impl Key {
    /// `section.name`
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// Whether messages must not repeat what was given.
    pub(super) fn is_secret(&self) -> bool {
        matches!(self.kind, Url)
    }

    /// The environment variable that sets it.
    pub(super) fn variable(&self) -> String {
        format!("{PREFIX}{}__{}", self.section.to_uppercase(), self.name.to_uppercase())
    }
}

/// What the broker's variables begin with. Two underscores, because orchestrators inject
/// `STONECHAT_PORT` and the like for a service of that name.
pub(super) const PREFIX: &str = "STONECHAT__";

/// A section that is a list, and never empty.
pub(super) const LISTENER: &str = "listener";
/// A section that is a list, and mostly empty.
pub(super) const QUOTA: &str = "quota";
/// The sections that are lists.
pub(super) const LISTS: &[&str] = &[LISTENER, QUOTA];

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// More than any machine has, and still a `usize` where that has 32 bits.
const BYTES: u64 = if usize::BITS < 64 { u32::MAX as u64 } else { 1 << 40 };
const COUNT: u64 = 1_000_000_000;
/// The largest MQTT packet: a remaining length of 268435455 and its five bytes of header.
const PACKET: u64 = 268_435_460;

const fn key(section: &'static str, name: &'static str, kind: Kind) -> Key {
    Key { section, name, kind }
}

use Kind::{Address, Bool, Int, List, LogLevel, Path, Text, TopicPolicies, TopicPrefix, Url, Word};

const NETWORKS: Kind = List(
    is_network,
    "networks such as \"10.0.0.0/8\", \"fe80::/10\" or \"192.168.1.1\" (no bits behind the prefix)",
);
const ACCOUNT: Kind = Text(
    |text| text.is_empty() || is_account(text),
    "the name or number of a user or group, or nothing",
);
const CLAIM: Kind = Text(is_claim, "a text of at most 1024 bytes without control characters");

/// All settings, in the order of the example file.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key(LISTENER, "address", Address),
    key(LISTENER, "allow_anonymous", Bool),
    key(LISTENER, "connections_max", Int(0, 10_000_000)),
    key(LISTENER, "optional", Bool),
    key(LISTENER, "policy", Word(&["default", "commit", "interval", "os", "memory"])),
    key(LISTENER, "protocol", Word(&["mqtt", "websocket"])),
    key(LISTENER, "websocket_path", Text(is_url_path, "a path such as \"/mqtt\", or nothing")),
    key(LISTENER, "origins", List(is::<Origin>, "origins such as \"https://dash.example\"")),
    key(LISTENER, "certificate_file", Path),
    key(LISTENER, "key_file", Path),
    key(LISTENER, "sni", List(
        is::<SniHost>, "host=certificate:key such as \"a.example=a.pem:a.key\"",
    )),
    key(LISTENER, "tls_version_min", Word(&["1.2", "1.3"])),
    key(LISTENER, "client_certificate", Word(&["off", "optional", "required"])),
    key(LISTENER, "client_ca_file", Path),
    key(LISTENER, "crl_file", Path),
    key(LISTENER, "user_from", Word(&[
        "connect", "common_name", "san_dns", "san_email", "san_uri",
    ])),
    key(LISTENER, "proxy", Word(&["off", "v1", "v2", "any"])),
    key(LISTENER, "proxy_from", NETWORKS),
    key(LISTENER, "allow_from", NETWORKS),
    key(LISTENER, "deny_from", NETWORKS),
    key(LISTENER, "handshake_timeout_ms", Int(100, 600_000)),
    key(LISTENER, "handshakes_max", Int(1, 1_000_000)),
    key(LISTENER, "handshakes_per_source_max", Int(0, 1_000_000)),
    key(LISTENER, "connections_per_s_max", Int(0, 1_000_000)),
    key(LISTENER, "authentication", List(
        is::<Method>, "\"password\", \"jwt\", \"scram\", \"hook\" and \"certificate\"",
    )),
    key(LISTENER, "unix_mode", Text(
        |text| values::mode(text).is_some(), "octal digits from \"0000\" to \"0777\"",
    )),
    key(LISTENER, "unix_owner", Text(
        is::<Owner>, "\"user:group\", \"user\", \":group\" or nothing",
    )),
    key("auth", "allow_anonymous", Bool),
    key("auth", "authentication", List(
        |text| is::<Method>(text) && text != "certificate",
        "\"password\", \"jwt\", \"scram\" and \"hook\"",
    )),
    key("auth", "password_file", Path),
    key("auth", "acl_file", Path),
    key("auth", "jwt_key_file", Path),
    key("auth", "jwt_secret_file", Path),
    key("auth", "jwks_file", Path),
    key("auth", "jwt_issuer", CLAIM),
    key("auth", "jwt_audience", CLAIM),
    key("auth", "jwt_user_claim", Text(|text| !text.is_empty() && is_claim(text), "a name")),
    key("auth", "jwt_leeway_s", Int(0, 3600)),
    key("auth", "hook_url", Url),
    key("auth", "hook_ca_file", Path),
    key("auth", "hook_token_file", Path),
    key("auth", "hook_timeout_ms", Int(10, 60_000)),
    key("auth", "hook_cache_s", Int(0, 86_400)),
    key("auth", "hook_concurrent_max", Int(1, 1024)),
    key("auth", "hook_acl", Bool),
    key("auth", "hashes_concurrent_max", Int(1, 64)),
    key("auth", "hash_memory_bytes_max", Int(MIB, BYTES)),
    key("auth", "wrong_password_delay_ms", Int(0, 60_000)),
    key("auth", "wrong_password_delay_max_ms", Int(0, 3_600_000)),
    key("auth", "takeover_by_other_users", Bool),
    key("auth", "sys_roles", List(is_pattern, "roles")),
    key(QUOTA, "users", List(is_pattern, "user names, with * for anything")),
    key(QUOTA, "client_ids", List(is_pattern, "Client Identifiers, with * for anything")),
    key(QUOTA, "messages_per_s", Int(0, COUNT)),
    key(QUOTA, "bytes_per_s", Int(0, BYTES)),
    key(QUOTA, "on_excess", Word(&["throttle", "drop", "disconnect"])),
    key(QUOTA, "subscriptions_max", Int(0, COUNT)),
    key(QUOTA, "retained_messages_max", Int(0, COUNT)),
    key(QUOTA, "queued_bytes_max", Int(0, BYTES)),
    key(QUOTA, "connections_max", Int(0, 10_000_000)),
    key("server", "shards", Int(0, 64)),
    key("server", "connections_max", Int(1, 10_000_000)),
    key("server", "accept_backlog", Int(1, 65_535)),
    key("server", "shutdown_ms", Int(0, 600_000)),
    key("server", "connect_timeout_ms", Int(100, 600_000)),
    key("server", "connect_bytes_max", Int(KIB, PACKET)),
    key("server", "half_received_bytes_max", Int(64 * KIB, BYTES)),
    key("server", "user", ACCOUNT),
    key("server", "group", ACCOUNT),
    key("server", "watch_files_s", Int(0, 3600)),
    key("mqtt", "packet_bytes_max", Int(20, PACKET)),
    key("mqtt", "session_expiry_max_s", Int(0, u32::MAX as u64)),
    key("mqtt", "keep_alive_max_s", Int(0, 65_535)),
    key("mqtt", "receive_maximum", Int(1, 65_535)),
    key("mqtt", "in_flight_max", Int(1, 65_535)),
    key("mqtt", "topic_alias_max", Int(0, 65_535)),
    key("mqtt", "topic_alias_outgoing_max", Int(0, 65_535)),
    key("mqtt", "response_information", TopicPrefix(1024)),
    key("mqtt", "client_id_bytes_max", Int(23, 65_535)),
    key("mqtt", "retain_available", Bool),
    key("mqtt", "sys_interval_s", Int(0, 86_400)),
    key("store", "directory", Path),
    key("store", "policy", Word(&["commit", "interval", "os", "memory"])),
    key("store", "topic_policies", TopicPolicies),
    key("store", "commit_delay_ms", Int(0, 1000)),
    key("store", "interval_ms", Int(1, 3_600_000)),
    key("store", "on_damage", Word(&["refuse", "keep_rest"])),
    key("store", "segment_bytes", Int(64 * KIB, 1024 * MIB)),
    key("store", "log_bytes_max", Int(0, BYTES)),
    key("limits", "output_bytes_max", Int(4 * KIB, BYTES)),
    key("limits", "output_total_bytes_max", Int(64 * KIB, BYTES)),
    key("limits", "read_bytes_per_pass", Int(4 * KIB, 16 * MIB)),
    key("limits", "queued_messages_max", Int(1, COUNT)),
    key("limits", "queued_bytes_max", Int(KIB, BYTES)),
    key("limits", "queue_full", Word(&["drop_oldest", "drop_newest", "refuse"])),
    key("limits", "queue_qos0", Bool),
    key("limits", "subscriptions_per_session_max", Int(1, COUNT)),
    key("limits", "filter_levels_max", Int(1, 1024)),
    key("limits", "filters_per_packet_max", Int(1, 1_000_000)),
    key("limits", "sessions_max", Int(1, COUNT)),
    key("limits", "subscriptions_max", Int(1, COUNT)),
    key("limits", "subscription_bytes_max", Int(0, BYTES)),
    key("limits", "retained_messages_max", Int(0, COUNT)),
    key("limits", "retained_bytes_max", Int(0, BYTES)),
    key("limits", "wills_max", Int(0, COUNT)),
    key("limits", "will_bytes_max", Int(0, BYTES)),
    key("limits", "queue_bytes_max", Int(64 * KIB, BYTES)),
    key("limits", "queue_memory_bytes", Int(4 * KIB, BYTES)),
    key("limits", "queue_memory_total_bytes", Int(64 * KIB, BYTES)),
    key("limits", "session_memory_bytes_max", Int(KIB, BYTES)),
    key("limits", "session_memory_total_bytes", Int(64 * KIB, BYTES)),
    key("limits", "uncommitted_bytes_max", Int(64 * KIB, BYTES)),
    key("limits", "no_room_ms", Int(100, 3_600_000)),
    key("limits", "peer_bytes_max", Int(64 * KIB, BYTES)),
    key("limits", "match_cache_bytes", Int(0, 1024 * MIB)),
    key("log", "level", LogLevel),
    key("log", "format", Word(&["text", "json"])),
    key("log", "to", Word(&["stderr", "stdout"])),
];

/// Pairs that contradict each other when the first is larger than the second, and why.
pub(super) const NOT_ABOVE: &[(&str, &str, &str)] = &[
    (
        "mqtt.packet_bytes_max",
        "server.half_received_bytes_max",
        "a packet of the largest size could never arrive",
    ),
    (
        "auth.wrong_password_delay_ms",
        "auth.wrong_password_delay_max_ms",
        "the first delay is the shortest",
    ),
];

/// A value as it was found, without the clothes of its source.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given<'a> {
    Bool(bool),
    Int(i64),
    Text(&'a str),
    /// Anything that no setting is, by its name.
    Other(&'static str),
}

impl Key {
    /// What is wrong with `given`, if anything.
    pub(super) fn check(&self, given: Given<'_>) -> Result<(), String> {
        let fine = match (self.kind, given) {
            (Bool, Given::Bool(_)) => true,
            (Int(min, max), Given::Int(value)) => {
                u64::try_from(value).is_ok_and(|value| (min..=max).contains(&value))
            }
            (Word(words), Given::Text(text)) => words.contains(&text),
            (TopicPrefix(max), Given::Text(text)) => {
                text.len() <= max && !text.contains(|c: char| c.is_control() || "+#".contains(c))
            }
            (Address, Given::Text(text)) => is_address(text),
            (Path, Given::Text(text)) => !text.contains('\0'),
            (TopicPolicies, Given::Text(text)) => topic_policies(text).all(|item| item.is_some()),
            (LogLevel, Given::Text(text)) => text.split(',').all(is_log_directive),
            (Text(fine, _), Given::Text(text)) => fine(text),
            (List(fine, _), Given::Text(text)) => match items(text).find(|item| !fine(item)) {
                // Of a long list, the item.
                Some(item) => return Err(self.unlike(Given::Text(item))),
                None => true,
            },
            (Url, Given::Text(text)) if text.is_empty() || is_url(text) => true,
            (Url, Given::Text(_)) => return Err(self.unlike(Given::Other("another text"))),
            _ => false,
        };
        if fine {
            return Ok(());
        }
        Err(self.unlike(given))
    }

    fn unlike(&self, given: Given<'_>) -> String {
        format!("expected {}, found {}", self.expected(), found(given))
    }

    /// Like [`Key::check`], for a value that came as text (a variable, an argument).
    pub(super) fn check_text(&self, text: &str) -> Result<(), String> {
        let given = match self.kind {
            // Only what TOML would take: `yes` or `0x10` must not mean something in one source
            // alone.
            Bool => text.parse().map(Given::Bool).unwrap_or(Given::Text(text)),
            Int(..) => text.parse().map(Given::Int).unwrap_or(Given::Text(text)),
            _ => Given::Text(text),
        };
        self.check(given)
    }

    fn expected(&self) -> String {
        match self.kind {
            Bool => "true or false".into(),
            Int(min, max) => format!("a whole number from {min} to {max}"),
            Word(words) => format!("\"{}\"", words.join("\" or \"")),
            TopicPrefix(max) => format!("a text of at most {max} bytes without +, # and controls"),
            Path => "a path".into(),
            TopicPolicies => "a comma-separated list of filter=policy, each policy one of \
                              \"commit\", \"interval\", \"os\" or \"memory\""
                .into(),
            Address => "\"host:port\" such as \"0.0.0.0:1883\" or \"[::]:1883\", or \
                        \"unix:/path\""
                .into(),
            Text(_, what) => what.into(),
            List(_, what) => format!("a comma-separated list of {what}"),
            Url => "\"http://host:port/path\" or https, without a user or password in it".into(),
            LogLevel => "error, warn, info, debug, trace or off, or a comma-separated list of \
                         these and target=level"
                .into(),
        }
    }
}

/// The items of `store.topic_policies`; `None` for one that is none. The last `=` separates, so a
/// filter may have others.
pub(super) fn topic_policies(
    text: &str,
) -> impl Iterator<Item = Option<(&str, StorePolicy)>> + Clone {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| {
        let (filter, policy) = item.rsplit_once('=')?;
        let filter = filter.trim_end();
        TopicFilter::new(filter).ok()?;
        Some((filter, StorePolicy::of_name(policy.trim_start())?))
    })
}

fn found(given: Given<'_>) -> String {
    match given {
        Given::Bool(value) => value.to_string(),
        Given::Int(value) => value.to_string(),
        // Debug writes control characters as escapes: a mistake is always one line.
        Given::Text(text) => format!("{text:?}"),
        Given::Other(what) => what.into(),
    }
}

fn is_address(text: &str) -> bool {
    match text.strip_prefix(UNIX) {
        Some(path) => is_unix_path(path),
        None => is_host_and_port(text),
    }
}

fn is_claim(text: &str) -> bool {
    text.len() <= 1024 && !text.contains(char::is_control)
}

/// Stricter than the filter's own parser, which takes a mistyped level for the name of a target
/// and then logs nothing else.
fn is_log_directive(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let target = |t: &str| {
        !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:".contains(&b))
    };
    match text.split_once('=') {
        Some((name, level)) => target(name) && LEVELS.contains(&level),
        None => LEVELS.contains(&text),
    }
}

/// The candidate that `word` was probably meant to be.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let near = |candidate: &&str| candidate.len().max(word.len()) / 3 + 1;
    // The length first: the distance costs the product of both, and a key may be of any length.
    candidates
        .filter(|c| c.len().abs_diff(word.len()) <= near(c))
        .map(|c| (distance(word, c), c))
        .filter(|(d, c)| *d <= near(c))
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// Levenshtein's distance, in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, cell) in b.bytes().zip(row.iter_mut().skip(1)) {
            let here = (diagonal + usize::from(x != y)).min(left + 1).min(*cell + 1);
            diagonal = *cell;
            *cell = here;
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in
            ["127.0.0.1:1883", "[::1]:0", "localhost:1883", "mqtt.example:1883", "unix:/a b"]
        {
            assert!(is_address(good), "{good}");
        }
        let bad = ["", "1883", ":1883", "::1:1883", "127.0.0.1", "1.2.3.400:1", "a b:1", "h:65536"];
        for bad in bad.into_iter().chain(["unix:", "h:+1"]) {
            assert!(!is_address(bad), "{bad}");
        }
    }

    #[test]
    fn log_levels() {
        for good in ["info", "off", "warn,stonechat::broker=trace"] {
            assert!(good.split(',').all(is_log_directive), "{good}");
        }
        for bad in ["", "infoo", "info,", "=info", "a=b", "INFO", "3", "a b=info"] {
            assert!(!bad.split(',').all(is_log_directive), "{bad}");
        }
    }

    #[test]
    fn policies_by_topic() {
        let found = topic_policies(" a/#=memory, b=c/+=os ,,").collect::<Option<Vec<_>>>();
        assert_eq!(found.unwrap(), [("a/#", StorePolicy::Memory), ("b=c/+", StorePolicy::Os)]);
        for bad in ["a", "a=", "=os", "a#=os", "a=sometimes", "a+=os"] {
            assert!(topic_policies(bad).any(|item| item.is_none()), "{bad}");
        }
    }

    #[test]
    fn nearest_word() {
        let words = ["shards", "connections_max", "shutdown_ms"];
        assert_eq!(nearest("shard", words.into_iter()), Some("shards"));
        assert_eq!(nearest("conections_max", words.into_iter()), Some("connections_max"));
        assert_eq!(nearest("frequency", words.into_iter()), None);
        assert_eq!(nearest("", words.into_iter()), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn the_table_is_the_example_file() {
        let whole = super::super::example_in_full();
        let document = toml_edit::Document::parse(whole).unwrap();
        let mut in_file = Vec::new();
        for (section, item) in document.iter() {
            let table = item.as_array_of_tables().and_then(|list| list.get(0));
            let table = table.or(item.as_table()).unwrap();
            in_file.extend(table.iter().map(|(name, _)| format!("{section}.{name}")));
        }
        assert_eq!(in_file, KEYS.iter().map(Key::path).collect::<Vec<_>>());
    }
}
