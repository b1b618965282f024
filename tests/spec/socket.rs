//! The rows over real sockets: the same script against the real binary, one broker for each run.
//!
//! Nothing tells when a broker over sockets has come to rest, so each client asks: before the next
//! thing happens every client has its PINGREQ answered, several times over if there are several
//! shards. What came until then is all that came. Rows that need virtual time, or that hold back
//! what a real broker does not hold back, do not run here; counters, the log of records and the
//! reasons of silent ends are not looked at.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use stonechat::codec::{Framed, Version, frame};

use super::inbox::Inboxes;
use super::script::{Row, piece, versions};
use super::words::Words;
use super::world::{Done, spoken_version, unpack};
use crate::support::broker::{Broker, Setup};

/// How long a row waits for what it names.
const PATIENCE: Duration = Duration::from_secs(10);
/// After so long without an answer a client is one that the broker does not read for now.
const HELD: Duration = Duration::from_millis(500);
/// Runs at the same time.
const THREADS: usize = 4;
/// `limits` of the notation: the setting, and the least that it takes.
const SETTINGS: [(&str, &str, u64); 28] = [
    ("session_expiry_max_s", "mqtt.session_expiry_max_s", 0),
    ("keep_alive_max_s", "mqtt.keep_alive_max_s", 0),
    ("receive_maximum", "mqtt.receive_maximum", 1),
    ("in_flight_max", "mqtt.in_flight_max", 1),
    ("topic_alias_max", "mqtt.topic_alias_max", 0),
    ("topic_alias_outgoing_max", "mqtt.topic_alias_outgoing_max", 0),
    ("packet_bytes_max", "mqtt.packet_bytes_max", 20),
    ("retain_available", "mqtt.retain_available", 0),
    ("response_information", "mqtt.response_information", 0),
    ("output_bytes_max", "limits.output_bytes_max", 4096),
    ("output_total_bytes_max", "limits.output_total_bytes_max", 65536),
    ("queued_messages_max", "limits.queued_messages_max", 1),
    ("queued_bytes_max", "limits.queued_bytes_max", 1024),
    ("queue_bytes_max", "limits.queue_bytes_max", 65536),
    ("drop_newest", "limits.queue_full", 0),
    ("refuse", "limits.queue_full", 0),
    ("no_room_ms", "limits.no_room_ms", 100),
    ("queue_qos0", "limits.queue_qos0", 0),
    ("subscriptions_per_session_max", "limits.subscriptions_per_session_max", 1),
    ("filter_levels_max", "limits.filter_levels_max", 1),
    ("filters_per_packet_max", "limits.filters_per_packet_max", 1),
    ("sessions_max", "limits.sessions_max", 1),
    ("subscriptions_max", "limits.subscriptions_max", 1),
    ("wills_max", "limits.wills_max", 0),
    ("will_bytes_max", "limits.will_bytes_max", 0),
    ("peer_bytes_max", "limits.peer_bytes_max", 65536),
    ("retained_max", "limits.retained_messages_max", 0),
    ("retained_bytes_max", "limits.retained_bytes_max", 0),
];

fn statements(script: &str) -> impl Iterator<Item = &str> {
    script.split([';', '\n']).map(str::trim).filter(|s| !s.is_empty())
}

/// What a row needs of its broker; or why it does not run here.
struct Plan {
    settings: String,
    shards: Option<usize>,
}

impl Plan {
    fn of(script: &str) -> Result<Self, &'static str> {
        let mut plan = Self { settings: "mqtt.sys_interval_s = 0\n".to_owned(), shards: None };
        let mut started = false;
        for statement in statements(script) {
            let (first, rest) = statement.split_once(' ').unwrap_or((statement, ""));
            let word = rest.split(' ').next().unwrap_or_default();
            match (first, word) {
                ("wait", _) => return Err("time passes in it"),
                ("hold" | "commit" | "written" | "deliver" | "load" | "release", _) => {
                    return Err("it holds records or messages between shards back");
                }
                ("disk", _) => return Err("its disk is full"),
                (_, "wants") => return Err("its listeners differ"),
                ("acl" | "quota" | "restart", _) | (_, "is" | "asks" | "hears") => {
                    return Err("its clients are somebody");
                }
                ("retained" | "recorded", _) => {
                    return Err("the log is not to be seen from outside");
                }
                ("limits", _) if started => return Err("settings change on the way"),
                ("limits", _) => plan.limits(rest)?,
                ("shards", n) => plan.shards = Some(n.parse().expect("a number of shards")),
                (_, "at") => return Err("it says where a session lives"),
                (_, "stalls") => return Err("a client stalls in it"),
                ("broker>", _) => return Err("a message of the broker's own"),
                _ => started = true,
            }
        }
        Ok(plan)
    }

    fn limits(&mut self, words: &str) -> Result<(), &'static str> {
        for word in words.split_whitespace() {
            let (name, value) = word.split_once('=').expect("limits name=value");
            if name.starts_with("queue_memory") || name.starts_with("session_memory") {
                return Err("queues smaller than their setting takes");
            }
            if name == "takeover" || name == "hook_cache_ms" {
                return Err("its clients are somebody");
            }
            if name.ends_with("safety") {
                return Err("policies: what they mean shows only where records are held back");
            }
            if name == "uncommitted_bytes_max" {
                return Err("a bound smaller than its setting takes");
            }
            let known = SETTINGS.iter().find(|s| s.0 == name);
            let &(_, setting, least) = known.unwrap_or_else(|| panic!("no limit {name}"));
            if value.parse::<u64>().is_ok_and(|n| n < least) {
                return Err("a limit below what the setting takes");
            }
            let value = match (name, value) {
                ("refuse", _) => "\"refuse\"".to_owned(),
                ("drop_newest", _) => "\"drop_newest\"".to_owned(),
                ("response_information", text) => format!("\"{text}\""),
                ("retain_available" | "queue_qos0", bit) => (bit == "1").to_string(),
                (_, number) => number.to_owned(),
            };
            self.settings.push_str(&format!("{setting} = {value}\n"));
        }
        Ok(())
    }
}

/// The client's end of a Network Connection.
struct Client {
    socket: TcpStream,
    version: Version,
    /// Sent and not yet a whole packet.
    sent: Vec<u8>,
    /// Received and not yet a whole packet.
    received: Vec<u8>,
    /// Received and not yet named by the row.
    inbox: VecDeque<Words>,
    /// PINGREQs that are not answered yet: whether it is ours, or else the row's.
    pings: VecDeque<bool>,
    /// There was a CONNACK.
    joined: bool,
    /// It has said something after which it may say nothing.
    finished: bool,
    closed: bool,
}

impl Client {
    fn new(socket: TcpStream, version: Version, first: &[u8]) -> Self {
        let version = match frame(first, usize::MAX) {
            Ok(Framed::Whole(frame)) => spoken_version(frame).unwrap_or(version),
            _ => version,
        };
        Self {
            socket,
            version,
            sent: Vec::new(),
            received: Vec::new(),
            inbox: VecDeque::new(),
            pings: VecDeque::new(),
            joined: false,
            finished: false,
            closed: false,
        }
    }

    /// Sends, and looks at what it was: a ping in the middle of a packet would be part of it.
    fn send(&mut self, bytes: &[u8]) {
        self.sent.extend(bytes);
        // A broker that has ended the connection need not take it.
        let _ = self.socket.write_all(bytes);
        loop {
            match frame(&self.sent, usize::MAX) {
                Ok(Framed::Whole(frame)) => {
                    match frame.first {
                        0xC0 => self.pings.push_back(false),
                        0xE0 => self.finished = true,
                        _ => {}
                    }
                    let len = frame.len;
                    self.sent.drain(..len);
                }
                Ok(Framed::Partial { .. }) => return,
                Err(_) => {
                    self.finished = true;
                    return;
                }
            }
        }
    }

    /// Reads once; false if nothing comes in time.
    fn read(&mut self, at_most: Duration) -> Result<bool, String> {
        let mut buffer = vec![0; 65_536];
        self.socket.set_read_timeout(Some(at_most)).map_err(|e| e.to_string())?;
        match self.socket.read(&mut buffer) {
            Ok(n) if n > 0 => self.received.extend(&buffer[..n]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
            _ => self.closed = true,
        }
        let mut packets = VecDeque::new();
        unpack(&mut self.received, self.version, &mut packets)?;
        for packet in packets {
            self.joined |= packet.kind == "connack" && packet.args.is_empty();
            let ours = packet.kind == "pingresp" && self.pings.pop_front() == Some(true);
            if !ours {
                self.inbox.push_back(packet);
            }
        }
        Ok(true)
    }

    /// Asks for a sign that everything so far is handled, unless it may not.
    fn ask(&mut self) {
        let may = self.joined && !self.finished && !self.closed && self.sent.is_empty();
        if may && !self.pings.contains(&true) {
            self.pings.push_back(true);
            let _ = self.socket.write_all(b"\xc0\0");
        }
    }

    /// Waits for that sign.
    fn hear(&mut self) -> Done {
        let asked = self.pings.contains(&true);
        while !self.closed && self.pings.contains(&true) {
            if !self.read(HELD)? {
                return Ok(()); // its reads are held: it has not been read, but nor does it act
            }
        }
        if !asked && !self.closed {
            self.read(Duration::from_millis(1))?;
        }
        Ok(())
    }

    /// Leaves without DISCONNECT, and waits until the broker has noticed.
    fn cut(mut self) {
        let _ = self.socket.shutdown(Shutdown::Write);
        let _ = self.socket.set_read_timeout(Some(HELD));
        let mut buffer = vec![0; 65_536];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(n) if n > 0 => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                _ => return,
            }
        }
        // Not read, and so not noticed: a reset is.
        let _ = socket2::SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
        drop(self);
        thread::sleep(Duration::from_millis(50));
    }
}

/// One run of one script.
struct Run {
    broker: Broker,
    shards: usize,
    clients: BTreeMap<String, Client>,
    /// Client Identifiers that the broker made up; a row calls them `assigned-1` and so on.
    assigned: Vec<String>,
}

impl Run {
    fn all(&mut self, script: &str) -> Done {
        for statement in statements(script) {
            self.statement(statement).map_err(|why| format!("at `{statement}`: {why}"))?;
        }
        self.nothing_left().map_err(|why| format!("at the end: {why}"))?;
        match self.broker.log.all().iter().find(|l| l.contains("panicked")) {
            Some(line) => Err(line.clone()),
            None => Ok(()),
        }
    }

    /// Until nothing more happens; then everything that came must have been named.
    fn nothing_left(&mut self) -> Done {
        let rounds = if self.shards == 1 { 2 } else { 4 };
        for _ in 0..rounds {
            self.clients.values_mut().for_each(Client::ask);
            self.clients.values_mut().try_for_each(Client::hear)?;
            if self.shards > 1 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        for (name, client) in &self.clients {
            if let Some(packet) = client.inbox.front() {
                return Err(format!("{name} received `{packet}`, which the row does not name"));
            }
            if client.closed {
                return Err(format!("{name} was closed"));
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
        if matches!(first, "limits" | "shards" | "count" | "log") {
            return Ok(());
        }
        self.nothing_left()?;
        if let Some(name) = first.strip_suffix('>') {
            return self.send(name, rest);
        }
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        match (first, word) {
            ("broker", "shutdown") => {
                self.broker.signal(Signal::TERM);
                self.clients.values_mut().for_each(|c| c.finished = true);
                Ok(())
            }
            (name, "cut") => {
                self.clients.remove(name).ok_or("there is no such client")?.cut();
                Ok(())
            }
            (name, "joins") => self.join(name, after, false),
            (name, "resumes") => self.join(name, after, true),
            _ => Err("no such statement".to_owned()),
        }
    }

    fn join(&mut self, name: &str, rest: &str, present: bool) -> Done {
        self.send(name, &format!("connect {rest}"))?;
        let got = self.next_of(name)?;
        if got.kind != "connack" || !got.args.is_empty() || got.has("sp") != present {
            return Err(format!("got `{got}`"));
        }
        Ok(())
    }

    fn send(&mut self, name: &str, rest: &str) -> Done {
        let known = self.clients.get(name).map(|c| c.version);
        let mut rest = rest.to_owned();
        for (n, real) in self.assigned.iter().enumerate() {
            rest = rest.replace(&format!("id=assigned-{}", n + 1), &format!("id={real}"));
        }
        let (bytes, version) = piece(name, &rest, known)?;
        if known.is_none() {
            let client = Client::new(self.broker.socket(), version, &bytes);
            self.clients.insert(name.to_owned(), client);
        }
        self.client(name)?.send(&bytes);
        Ok(())
    }

    fn client(&mut self, name: &str) -> Result<&mut Client, String> {
        self.clients.get_mut(name).ok_or_else(|| format!("there is no client {name}"))
    }
}

impl Inboxes for Run {
    fn next_of(&mut self, name: &str) -> Result<Words, String> {
        let client = self.client(name)?;
        let mut packet = loop {
            match client.inbox.pop_front() {
                Some(packet) => break packet,
                None if client.closed => return Err(format!("nothing came, {name} is closed")),
                None if !client.read(PATIENCE)? => return Err("nothing came".to_owned()),
                None => {}
            }
        };
        if let Some((_, id)) = packet.attributes.iter_mut().find(|(n, _)| n == "assigned") {
            self.assigned.push(id.clone());
            *id = format!("assigned-{}", self.assigned.len());
        }
        Ok(packet)
    }

    fn expect(&mut self, names: &str, rest: &str) -> Done {
        let names: Vec<&str> = names.split('|').collect();
        let mut name = names[0];
        let until = Instant::now() + PATIENCE;
        while names.len() > 1 && Instant::now() < until {
            for name in &names {
                let client = self.client(name)?;
                if client.inbox.is_empty() && !client.closed {
                    client.read(Duration::from_millis(1))?;
                }
            }
            let has = |name: &&&str| self.clients.get(**name).is_some_and(|c| !c.inbox.is_empty());
            if let Some(one) = names.iter().find(has) {
                name = one;
                break;
            }
        }
        let got = self.next_of(name)?;
        if Words::parse(rest).matches(&got) { Ok(()) } else { Err(format!("{name} got `{got}`")) }
    }

    fn expect_closed(&mut self, name: &str, _: &str) -> Done {
        let client = self.client(name)?;
        while !client.closed {
            if !client.read(PATIENCE)? {
                return Err("it is open".to_owned());
            }
        }
        if let Some(packet) = client.inbox.front() {
            return Err(format!("{name} received `{packet}` before"));
        }
        self.clients.remove(name);
        Ok(())
    }
}

/// Runs `script` against a broker of its own.
fn run_one(plan: &Plan, shards: usize, script: &str) -> Done {
    let broker = Setup { shards, settings: &plan.settings, ..Setup::default() }.start();
    Run { broker, shards, clients: BTreeMap::new(), assigned: Vec::new() }.all(script)
}

/// Runs every row that can, for every version it names, with one shard and with two; says how many
/// those are and why the others cannot; panics with all that failed.
pub(crate) fn run(sections: &[(&str, &[Row])]) {
    let start = Instant::now();
    let (mut jobs, mut rows, mut not) = (Vec::new(), 0, BTreeMap::<&str, usize>::new());
    for row in sections.iter().flat_map(|(_, rows)| rows.iter()).filter(|row| !row.open) {
        match Plan::of(row.script) {
            Err(why) => *not.entry(why).or_default() += 1,
            Ok(plan) => {
                rows += 1;
                let shards = plan.shards.map_or(vec![1, 2], |n| vec![n]);
                for script in versions(row.script) {
                    jobs.extend(
                        shards.iter().map(|n| (row, Plan::of(&script), script.clone(), *n)),
                    );
                }
            }
        }
    }
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((row, plan, script, shards)) = jobs.get(next.fetch_add(1, Relaxed)) {
                    let plan = plan.as_ref().expect("the same for every version");
                    let done = catch_unwind(AssertUnwindSafe(|| run_one(plan, *shards, script)));
                    if let Err(why) = done.unwrap_or_else(|_| Err("panicked, see above".into())) {
                        let what = row.what;
                        let text =
                            format!("{what}\n    {shards} shards\n    {why}\n    in: {script}");
                        failures.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (runs, not_run) = (jobs.len(), not.values().sum::<usize>());
    // Past the capture of a test's output.
    let mut text = format!("{rows} rows over sockets in {runs} runs, {:?}", start.elapsed());
    text.push_str(&format!("; {not_run} rows not: {not:?}\n"));
    let _ = std::io::stderr().write_all(text.as_bytes());
    assert!(failures.is_empty(), "{} failed:\n\n{}", failures.len(), failures.join("\n\n"));
}
