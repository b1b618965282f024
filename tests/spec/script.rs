//! Rows, and how their scripts run. `mod.rs` describes the language.

use std::panic::{AssertUnwindSafe, catch_unwind};

use stonechat::broker::{Limits, Message, MessageParts, QueueFull, Safety, Time};
use stonechat::codec::{Properties, QoS, Version};
use stonechat::topic::TopicName;

use super::inbox::Inboxes;
use super::notation::{encode_words, hex, version, with_length};
use super::words::Words;
use super::world::{Done, World};

/// One line of a table.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// The statements it stands for, in brackets, and what it shows.
    pub(crate) what: &'static str,
    pub(crate) script: &'static str,
    pub(crate) open: bool,
}

pub(crate) const fn row(what: &'static str, script: &'static str) -> Row {
    Row { what, script, open: false }
}

/// A row that the broker does not fulfil yet. It has to fail, so that nobody forgets to make it a
/// `row` once it holds.
#[allow(dead_code, reason = "there is none at present")]
pub(crate) const fn open(what: &'static str, script: &'static str) -> Row {
    Row { what, script, open: true }
}

/// Runs every row for every version it names, with one shard and three, with records committed at
/// once and late; and panics with all that failed.
pub(crate) fn run(rows: &[Row]) {
    let mut failures = Vec::new();
    for row in rows {
        let before = failures.len();
        for script in versions(row.script) {
            for (shards, late) in [(1, false), (1, true), (3, false), (3, true)] {
                let done = catch_unwind(AssertUnwindSafe(|| Run::new(shards, late).all(&script)));
                let done = done.unwrap_or_else(|_| Err("panicked, see above".to_owned()));
                if let Err(why) = done {
                    let commits = if late { "late" } else { "at once" };
                    failures.push(format!(
                        "{}\n    {shards} shards, commits {commits}\n    {why}\n    in: {script}",
                        row.what
                    ));
                    break;
                }
            }
        }
        if row.open {
            let holds = failures.len() == before;
            failures.truncate(before);
            if holds {
                failures.push(format!("{}\n    holds now: it is no longer open", row.what));
            }
        }
    }
    assert!(failures.is_empty(), "{} failed:\n\n{}", failures.len(), failures.join("\n\n"));
}

/// The bytes of one piece from the client `name`, which speaks `spoken` if it has connected; and
/// the version that it speaks from then on.
pub(crate) fn piece(
    name: &str,
    rest: &str,
    mut spoken: Option<Version>,
) -> Result<(Vec<u8>, Version), String> {
    let mut bytes = Vec::new();
    for text in rest.split(" + ") {
        let (count, text) = match text.split_once(" * ") {
            Some((count, text)) => (count.trim().parse().map_err(|_| "how often?")?, text),
            None => (1, text),
        };
        let (kind, raw) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let version = match kind {
            "hex" | "body" => {
                let raw = hex(raw);
                bytes.extend(if kind == "hex" { raw } else { with_length(&raw) });
                Version::V5
            }
            _ => {
                let mut words = Words::parse(text);
                if kind == "connect" && !words.has("id") {
                    words.set("id", name);
                }
                let version = match kind {
                    "connect" => version(words.word(0)),
                    _ => spoken.ok_or("this client has not connected")?,
                };
                bytes.extend(encode_words(&words, version).repeat(count));
                version
            }
        };
        spoken.get_or_insert(version);
    }
    Ok((bytes, spoken.unwrap_or(Version::V5)))
}

/// `v*` stands for every version, `v34` for the two that are not 5.0.
pub(crate) fn versions(script: &str) -> Vec<String> {
    let (pattern, versions): (_, &[&str]) = match () {
        () if script.contains("v*") => ("v*", &["v3", "v4", "v5"]),
        () if script.contains("v34") => ("v34", &["v3", "v4"]),
        () if script.contains("v45") => ("v45", &["v4", "v5"]),
        () => return vec![script.to_owned()],
    };
    versions.iter().map(|v| script.replace(pattern, v)).collect()
}

fn safety(text: &str) -> Result<Safety, String> {
    match text {
        "memory" => Ok(Safety::Memory),
        "written" => Ok(Safety::Written),
        "synced" => Ok(Safety::Synced),
        other => Err(format!("how safe is {other}?")),
    }
}

struct Run {
    world: Option<World>,
    shards: usize,
    late: bool,
    limits: Limits,
    retained: (usize, usize),
}

impl Run {
    fn new(shards: usize, late: bool) -> Self {
        let retained = (100_000, 64 << 20);
        Self { world: None, shards, late, limits: Limits::default(), retained }
    }

    fn all(&mut self, script: &str) -> Done {
        for statement in script.split([';', '\n']).map(str::trim).filter(|s| !s.is_empty()) {
            self.statement(statement).map_err(|why| format!("at `{statement}`: {why}"))?;
        }
        self.nothing_left().map_err(|why| format!("at the end: {why}"))
    }

    fn world(&mut self) -> &mut World {
        let (limits, retained) = (&self.limits, self.retained);
        self.world
            .get_or_insert_with(|| World::new(self.shards, self.late, limits.clone(), retained))
    }

    /// Everything that a client received, and every end of a connection, was named.
    fn nothing_left(&mut self) -> Done {
        for (name, client) in &self.world().clients {
            if let Some(packet) = client.inbox.front() {
                return Err(format!("{name} received `{packet}`, which the row does not name"));
            }
            if let Some(reason) = client.closed {
                return Err(format!("{name} was closed ({:02x}: {reason})", reason.as_u8()));
            }
        }
        Ok(())
    }

    fn statement(&mut self, text: &str) -> Done {
        let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        if let Some(done) = self.look(first, rest) {
            return done;
        }
        if !matches!(first, "limits" | "shards" | "retained") {
            self.nothing_left()?;
        }
        if let Some(name) = first.strip_suffix('>') {
            return if name == "broker" { self.publish_own(rest) } else { self.send(name, rest) };
        }
        self.act(first, rest, text)
    }

    /// Statements without an arrow.
    fn act(&mut self, first: &str, rest: &str, text: &str) -> Done {
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        match (first, word) {
            ("limits", _) => self.set_limits(rest),
            ("shards", n) => {
                self.shards = n.parse().map_err(|_| "how many shards?")?;
                Ok(())
            }
            ("wait", time) => {
                let (number, unit) =
                    time.split_at(time.trim_end_matches(char::is_alphabetic).len());
                let number: u64 = number.parse().map_err(|_| "wait how long?")?;
                let ms = if unit == "ms" { number } else { number * 1000 };
                self.world().wait_ms(ms)
            }
            ("hold", what) => {
                let world = self.world();
                world.hold_commits |= what == "commits";
                world.hold_peers |= what == "peers";
                world.hold_loads |= what == "loads";
                Ok(())
            }
            ("commit", client) => self.world().commit((!client.is_empty()).then_some(client)),
            ("recorded", n) => match self.world().waiting() {
                got if got.to_string() == n => Ok(()),
                got => Err(format!("{got} records wait")),
            },
            ("written", _) => self.world().written(),
            ("retained", _) => {
                let (kept, want) = (self.world().logged_retained().join(" "), rest);
                if kept == want { Ok(()) } else { Err(format!("the log retains `{kept}`")) }
            }
            ("disk", "full") => self.world().disk(true),
            ("disk", "free") => self.world().disk(false),
            ("deliver", _) => self.world().deliver_peers(),
            ("load", _) => self.world().answer_loads(),
            ("release", _) => self.world().release(),
            ("count", name) => match self.world().count(name)? {
                n if n.to_string() == after => Ok(()),
                n => Err(format!("{name} is {n}")),
            },
            ("log", _) => {
                let (logged, want) = (self.world().logged().join(" "), rest);
                if logged == want { Ok(()) } else { Err(format!("the log has `{logged}`")) }
            }
            ("broker", "shutdown") => self.world().shut_down(),
            (name, "at") => {
                let shard = after.parse().map_err(|_| "at which shard?")?;
                self.world().set_home(name, shard);
                Ok(())
            }
            (name, "wants") => {
                let safety = safety(after)?;
                self.world().set_safety(name, safety);
                Ok(())
            }
            ("acl", _) => self.world().set_acl(rest),
            ("quota", _) => self.world().set_quota(&Words::parse(text)),
            ("restart", _) => self.world().restart(),
            (name, "is") => self.world().set_entrance(name, &Words::parse(after)),
            (name, "asks") => self.world().expect_question(name, after),
            (name, "hears") => self.world().answer(name, &Words::parse(after)),
            (name, "cut") => self.world().cut(name),
            (name, "stalls") => self.world().stall(name, true),
            (name, "reads") => self.world().stall(name, false),
            (name, "joins") => self.join(name, after, "connack"),
            (name, "resumes") => self.join(name, after, "connack sp"),
            _ => Err("no such statement".to_owned()),
        }
    }

    /// CONNECT and its CONNACK, whose properties are of no interest here.
    fn join(&mut self, name: &str, rest: &str, want: &str) -> Done {
        self.send(name, &format!("connect {rest}"))?;
        let got = self.world().clients.get_mut(name).and_then(|c| c.inbox.pop_front());
        let got = got.ok_or("no CONNACK came")?;
        let present = got.has("sp");
        if got.kind != "connack" || !got.args.is_empty() || present != (want == "connack sp") {
            return Err(format!("got `{got}`"));
        }
        Ok(())
    }

    fn send(&mut self, name: &str, rest: &str) -> Done {
        let known = self.world().version(name);
        let (bytes, spoken) = piece(name, rest, known)?;
        if known.is_none() {
            self.world().connect(name, spoken);
        }
        self.world().send(name, &bytes)
    }

    fn publish_own(&mut self, rest: &str) -> Done {
        let words = Words::parse(rest);
        let parts = MessageParts {
            qos: if words.get("q") == Some("1") { QoS::AtLeastOnce } else { QoS::AtMostOnce },
            retain: words.has("retain"),
            expires: Time::NEVER,
            publisher: 0,
            topic: TopicName::new(words.word(0)).map_err(|e| e.to_string())?,
            properties: Properties::default(),
            payload: words.word(1).as_bytes(),
        };
        let message = Message::new(&parts, &mut Vec::new());
        self.world().publish_own(message)
    }

    fn set_limits(&mut self, rest: &str) -> Done {
        let l = &mut self.limits;
        for word in rest.split_whitespace() {
            let (name, value) = word.split_once('=').ok_or("limits name=value")?;
            let n: usize = value.parse().unwrap_or(0);
            match name {
                "session_expiry_max_s" => l.session_expiry_max_s = n as u32,
                "keep_alive_max_s" => l.keep_alive_max_s = n as u16,
                "receive_maximum" => l.receive_maximum = n as u16,
                "in_flight_max" => l.in_flight_max = n as u16,
                "topic_alias_max" => l.topic_alias_max = n as u16,
                "topic_alias_outgoing_max" => l.topic_alias_outgoing_max = n as u16,
                "packet_bytes_max" => l.packet_bytes_max = n,
                "retain_available" => l.retain_available = n == 1,
                "response_information" => l.response_information = value.to_owned(),
                "output_bytes_max" => l.output_bytes_max = n,
                "output_total_bytes_max" => l.output_total_bytes_max = n,
                "queued_messages_max" => l.queued_messages_max = n,
                "queued_bytes_max" => l.queued_bytes_max = n,
                "queue_bytes_max" => l.queue_bytes_max = n,
                "refuse" => l.queue_full = QueueFull::Refuse,
                "drop_newest" => l.queue_full = QueueFull::DropNewest,
                "no_room_ms" => l.no_room_ms = n as u64,
                "takeover" => l.takeover_by_other_users = n == 1,
                "hook_cache_ms" => l.hook_cache_ms = n as u64,
                "queue_qos0" => l.queue_qos0 = n == 1,
                "subscriptions_per_session_max" => l.subscriptions_per_session_max = n,
                "filter_levels_max" => l.filter_levels_max = n,
                "filters_per_packet_max" => l.filters_per_packet_max = n,
                "sessions_max" => l.sessions_max = n,
                "subscriptions_max" => l.subscriptions_max = n,
                "wills_max" => l.wills_max = n,
                "will_bytes_max" => l.will_bytes_max = n,
                "peer_bytes_max" => l.peer_bytes_max = n,
                "queue_memory_bytes" => l.queue_memory_bytes = n,
                "queue_memory_total_bytes" => l.queue_memory_total_bytes = n,
                "session_memory_bytes_max" => l.session_memory_bytes_max = n,
                "session_memory_total_bytes" => l.session_memory_total_bytes = n,
                "uncommitted_bytes_max" => l.uncommitted_bytes_max = n,
                "safety" => l.safety = safety(value)?,
                "identifier_safety" => l.identifier_safety = safety(value)?,
                "topic_safety" => {
                    let (filter, value) = value.split_once(':').ok_or("filter:safety")?;
                    l.topic_safety.push((filter.into(), safety(value)?));
                }
                "retained_max" => self.retained.0 = n,
                "retained_bytes_max" => self.retained.1 = n,
                other => return Err(format!("no limit {other}")),
            }
        }
        match &mut self.world {
            Some(world) => world.reload(&self.limits),
            None => Ok(()),
        }
    }
}

impl Inboxes for Run {
    fn next_of(&mut self, name: &str) -> Result<Words, String> {
        let client = self.world().clients.get_mut(name).ok_or("there is no such client")?;
        client.inbox.pop_front().ok_or_else(|| match client.closed {
            Some(reason) => format!("nothing came, closed ({:02x}: {reason})", reason.as_u8()),
            None => "nothing came".to_owned(),
        })
    }

    fn expect(&mut self, names: &str, rest: &str) -> Done {
        let names: Vec<&str> = names.split('|').collect();
        let world = self.world();
        let has = |name: &&&str| world.clients.get(**name).is_some_and(|c| !c.inbox.is_empty());
        let name = *names.iter().find(has).unwrap_or(&names[0]);
        let got = self.next_of(name)?;
        if Words::parse(rest).matches(&got) { Ok(()) } else { Err(format!("{name} got `{got}`")) }
    }

    fn expect_closed(&mut self, name: &str, rest: &str) -> Done {
        let client = self.world().clients.get_mut(name).ok_or("there is no such client")?;
        if let Some(packet) = client.inbox.front() {
            return Err(format!("{name} received `{packet}` before"));
        }
        let Some(reason) = client.closed else { return Err("it is open".to_owned()) };
        let want = rest.strip_prefix("closed").map(str::trim);
        let reason = format!("{:02x}", reason.as_u8());
        match want {
            Some(code) if code.is_empty() || code == reason => {
                self.world().clients.remove(name);
                Ok(())
            }
            _ => Err(format!("closed with {reason}")),
        }
    }
}
