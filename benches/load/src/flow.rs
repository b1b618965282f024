//! Messages through the broker and out again: pairs, fan-out, fan-in, shared subscriptions. Closed
//! loop (each publisher has so many messages under way) or open loop (a rate, latency counted from
//! the time a message was due). Uses everything below `main`; one thread, and bounded in time.

use crate::churn::Churn;
use crate::connection::{Client, Connection, READ_BYTES, open_all};
use crate::counters;
use crate::error::{Error, Result};
use crate::layers::Recipe;
use crate::options::Options;
use crate::packets::{self, Template, kind};
use crate::poller::{Interest, Patience, Poller, Ready};
use crate::process::Usage;
use crate::report::Report;
use crate::stream::Stream;
use crate::tally::Tally;
use std::time::{Duration, Instant};

/// Messages that a publisher hands over at once.
const BURST: u64 = 256;
/// Bytes that a publisher hands over at once, or lets wait in an open loop.
const BURST_BYTES: usize = 256 * 1024;
const BACKLOG_BYTES: usize = 4 * 1024 * 1024;
/// The longest that is waited for what is under way at the end.
const DRAIN_MAX: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Pairs,
    Fanout,
    Fanin,
    Shared,
}

impl Shape {
    fn topic(self, n: usize) -> String {
        match self {
            Self::Pairs => format!("load/pair/{n}/t"),
            Self::Fanout => format!("load/all/{n}"),
            Self::Fanin | Self::Shared => format!("load/dev/{n}/t"),
        }
    }

    fn filters(self, n: usize, options: &Options) -> Vec<String> {
        match self {
            Self::Pairs if options.wild => vec![format!("load/+/{n}/#")],
            Self::Pairs => vec![self.topic(n)],
            Self::Fanout => (0..options.publishers).map(|n| self.topic(n)).collect(),
            Self::Fanin => vec!["load/dev/+/t".into()],
            Self::Shared => vec!["$share/team/load/dev/+/t".into()],
        }
    }
}

#[derive(Default)]
struct Publisher {
    sent: u64,
    acknowledged: u64,
    /// copies that were delivered
    copies: u64,
    /// whether it stands in the list of those who may send
    listed: bool,
}

struct Mark {
    at: Instant,
    published: u64,
    delivered: u64,
    usage: Option<Usage>,
    own: Usage,
}

struct Flow<'a> {
    options: &'a Options,
    shape: Shape,
    qos: u8,
    /// receivers of each message
    fan: u64,
    poller: Poller,
    /// the subscribers, then the publishers, then the one that churns
    connections: Vec<Connection>,
    subscribers: usize,
    publishers: Vec<Publisher>,
    templates: Vec<Template>,
    /// publishers that may send
    list: Vec<usize>,
    streams: Vec<Stream>,
    tally: Tally,
    published: u64,
    churn: Option<Churn>,
    clock: Instant,
    /// reused by every round
    ready: Vec<Ready>,
    scratch: Vec<u8>,
}

/// Runs the scenario.
pub fn run(options: &Options) -> Result<Report> {
    let rss_before_kib = options.pid.map(Usage::of).transpose()?.map(|usage| usage.rss_kib);
    let recipe = Recipe::new(options)?;
    let _noise = noise(options, &recipe)?;
    let mut flow = Flow::new(options, &recipe)?;
    let [from, to] = flow.load()?;
    let undelivered = flow.published as i64 * flow.fan as i64 - flow.tally.different() as i64;
    let secs = (to.at - from.at).as_secs_f64();
    let delivered = to.delivered - from.delivered;
    let mut report = Report::new(&options.scenario);
    report
        .value("version", options.version)
        .value("qos", flow.qos)
        .value("publishers", options.publishers)
        .value("subscribers", flow.subscribers)
        .value("payload_bytes", options.payload_bytes)
        .ratio("secs", secs)
        .ratio("published_per_s", (to.published - from.published) as f64 / secs)
        .ratio("delivered_per_s", delivered as f64 / secs)
        .value("delivered", delivered)
        .value("undelivered", undelivered);
    flow.tally.report(&mut report);
    report.latency(&flow.tally.latency);
    if let Some(churn) = &flow.churn {
        report.value("churned", churn.answered());
    }
    if let (Some(from), Some(to)) = (&from.usage, &to.usage) {
        report.cost(from, to, delivered, secs);
        report.value("rss_kib_before", rss_before_kib.unwrap_or(0));
    }
    counters::report(options, &recipe, &mut report)?;
    let own_ns = to.own.cpu_ns - from.own.cpu_ns;
    report.ratio("load_cores", own_ns as f64 / 1e9 / secs);
    Ok(report)
}

/// Subscriptions that lie about in the broker's tree and never match.
fn noise(options: &Options, recipe: &Recipe) -> Result<Option<Connection>> {
    if options.noise == 0 {
        return Ok(None);
    }
    let filter = |n| format!("noise/{}/+/{n}/#", n % 1000);
    let filters: Vec<_> = (0..options.noise).map(filter).collect();
    let id = format!("load-noise-{}", std::process::id());
    let client = Client { filters: &filters, ..Client::new(id) };
    Connection::open(options, recipe, &client).map(Some)
}

impl<'a> Flow<'a> {
    fn new(options: &'a Options, recipe: &Recipe) -> Result<Self> {
        let shape = match options.scenario.as_str() {
            "pairs" => Shape::Pairs,
            "fanout" => Shape::Fanout,
            "fanin" => Shape::Fanin,
            _ => Shape::Shared,
        };
        let qos = options.qos.unwrap_or(0);
        let pairs = shape == Shape::Pairs;
        let subscribers = if pairs { options.publishers } else { options.subscribers };
        let own = std::process::id();
        let mut connections = open_all(options, subscribers, |n| {
            let filters = shape.filters(n, options);
            let id = format!("load-s{n}-{own}");
            let (kept, clean) = (options.kept, !options.kept);
            let client = Client { id, clean, kept, filters: &filters, qos };
            Connection::open(options, recipe, &client)
        })?;
        connections.extend(open_all(options, options.publishers, |n| {
            Connection::open(options, recipe, &Client::new(format!("load-p{n}-{own}")))
        })?);
        let mut templates = Vec::new();
        for n in 0..options.publishers {
            let (topic, bytes) = (shape.topic(n), options.payload_bytes);
            templates.push(Template::new(options.version, &topic, qos, false, bytes, n as u32));
        }
        let (version, per_s) = (options.version, options.churn);
        let churn = (per_s > 0.0).then(|| Churn::new(version, per_s, options.churn_plus));
        if churn.is_some() {
            let client = Client::new(format!("load-churn-{own}"));
            connections.push(Connection::open(options, recipe, &client)?);
        }
        let poller = Poller::new()?;
        for (n, connection) in connections.iter().enumerate() {
            connection.watch(&poller, Interest::Read, n)?;
        }
        let heard = match shape {
            Shape::Pairs | Shape::Shared => options.publishers,
            Shape::Fanout | Shape::Fanin => options.publishers * subscribers,
        };
        let listed = || Publisher { listed: true, ..Publisher::default() };
        Ok(Self {
            options,
            shape,
            qos,
            fan: if pairs || shape == Shape::Shared { 1 } else { subscribers as u64 },
            poller,
            connections,
            subscribers,
            publishers: (0..options.publishers).map(|_| listed()).collect(),
            templates,
            list: (0..options.publishers).collect(),
            streams: vec![Stream::default(); heard],
            tally: Tally::new(),
            published: 0,
            churn,
            clock: Instant::now(),
            ready: Vec::new(),
            scratch: vec![0; READ_BYTES],
        })
    }

    fn now_ns(&self) -> u64 {
        self.clock.elapsed().as_nanos() as u64
    }

    fn mark(&self) -> Result<Mark> {
        Ok(Mark {
            usage: self.options.pid.map(Usage::of).transpose()?,
            own: Usage::of(std::process::id())?,
            at: Instant::now(),
            published: self.published,
            delivered: self.tally.delivered,
        })
    }

    /// Warm up, measure, let what is under way arrive; the two ends of what was measured.
    fn load(&mut self) -> Result<[Mark; 2]> {
        let measured = Duration::from_secs_f64(self.options.secs);
        self.clock = Instant::now();
        self.until(Duration::from_secs_f64(self.options.warmup_secs))?;
        self.tally.measuring = true;
        let from = self.mark()?;
        self.until(self.clock.elapsed() + measured)?;
        let to = self.mark()?;
        self.tally.measuring = false;
        let stopped = Instant::now();
        let mut patience = Patience::new(self.options.quiet);
        while self.tally.different() < self.published * self.fan
            && !patience.is_over()
            && stopped.elapsed() < DRAIN_MAX
        {
            let any = self.serve(20)?;
            patience.note(any, 20);
        }
        // One repeated behind the last would be missed otherwise.
        self.serve(20)?;
        Ok([from, to])
    }

    /// Publishes and serves until the clock shows `end`.
    fn until(&mut self, end: Duration) -> Result<()> {
        loop {
            let now = self.clock.elapsed();
            if now >= end {
                return Ok(());
            }
            let busy = if self.options.rate > 0.0 {
                self.publish_due(now)?;
                true // an open loop looks at the clock all the time, so as to be on time
            } else {
                self.publish_listed()?;
                !self.list.is_empty()
            };
            if let Some(churn) = &mut self.churn {
                let n = self.subscribers + self.publishers.len();
                churn.push(now.as_secs_f64(), &mut self.connections[n].output);
                self.connections[n].send(&self.poller, n)?;
            }
            let left_ms = (end - now).as_millis().min(10) as u32;
            let idle_ms = if self.churn.is_some() { 1 } else { left_ms };
            self.serve(if busy { 0 } else { idle_ms })?;
        }
    }

    /// Lets everybody send whose window is open.
    fn publish_listed(&mut self) -> Result<()> {
        let stamp_ns = self.now_ns();
        for n in std::mem::take(&mut self.list) {
            let connection = &mut self.connections[self.subscribers + n];
            let publisher = &mut self.publishers[n];
            publisher.listed = false;
            let mut burst = 0;
            while burst < BURST
                && connection.waiting() < BURST_BYTES
                && publisher.may_send(self.options, self.qos, self.fan)
            {
                self.templates[n].put(&mut connection.output, stamp_ns, publisher.sent);
                publisher.sent += 1;
                burst += 1;
            }
            self.published += burst;
            connection.send(&self.poller, self.subscribers + n)?;
            if !connection.blocked && publisher.may_send(self.options, self.qos, self.fan) {
                publisher.listed = true;
                self.list.push(n);
            }
        }
        Ok(())
    }

    /// Sends what is due at this time, from each publisher in turn.
    fn publish_due(&mut self, now: Duration) -> Result<()> {
        let due = (now.as_secs_f64() * self.options.rate) as u64;
        let count = self.publishers.len();
        let mut touched = 0;
        while self.published < due && touched < count {
            let n = self.published as usize % count;
            let token = self.subscribers + n;
            let connection = &mut self.connections[token];
            if connection.waiting() > BACKLOG_BYTES {
                break;
            }
            let intended_ns = (self.published as f64 / self.options.rate * 1e9) as u64;
            self.templates[n].put(&mut connection.output, intended_ns, self.publishers[n].sent);
            connection.send(&self.poller, token)?;
            self.publishers[n].sent += 1;
            self.published += 1;
            touched += 1;
        }
        Ok(())
    }

    /// Waits for events, and handles one round of them; whether there were any.
    fn serve(&mut self, timeout_ms: u32) -> Result<bool> {
        let mut ready = std::mem::take(&mut self.ready);
        self.poller.wait(Some(timeout_ms), &mut ready)?;
        for &one in &ready {
            self.serve_one(one)?;
        }
        let any = !ready.is_empty();
        self.ready = ready;
        Ok(any)
    }

    fn serve_one(&mut self, ready: Ready) -> Result<()> {
        let token = ready.token;
        let publishers = self.subscribers..self.subscribers + self.publishers.len();
        if ready.write {
            self.connections[token].unblock(&self.poller, token)?;
        }
        if ready.read {
            if token < self.subscribers {
                self.receive(token)?;
            } else if publishers.contains(&token) {
                self.answered(token)?;
            } else if let Some(churn) = &mut self.churn {
                let on_packet = |packet: &[u8], _: &mut Vec<u8>| churn.take(packet);
                self.connections[token].read(&mut self.scratch, on_packet)?;
            }
        }
        if publishers.contains(&token) {
            self.list_if_open(token - self.subscribers);
        }
        let connection = &mut self.connections[token];
        if connection.waiting() > 0 {
            connection.send(&self.poller, token)?;
        }
        if connection.closed {
            return Err(Error::Broker(format!("closed connection {token}")));
        }
        Ok(())
    }

    fn list_if_open(&mut self, n: usize) {
        let publisher = &mut self.publishers[n];
        if !publisher.listed && publisher.may_send(self.options, self.qos, self.fan) {
            publisher.listed = true;
            self.list.push(n);
        }
    }

    /// A subscriber's socket can be read.
    fn receive(&mut self, subscriber: usize) -> Result<()> {
        let now_ns = self.now_ns();
        let (shape, qos, fan, options) = (self.shape, self.qos, self.fan, self.options);
        let Self { publishers, templates, streams, tally, list, .. } = self;
        let in_order = shape != Shape::Shared;
        self.connections[subscriber].read(&mut self.scratch, |packet, out| {
            let publish = match packet[0] >> 4 {
                kind::PUBLISH => packets::publish(options.version, packet),
                kind::PUBREL => {
                    return packets::put_answer(out, kind::PUBCOMP, packets::answer(packet).0);
                }
                _ => None,
            };
            let Some(publish) = publish.filter(|publish| publish.qos == qos) else {
                return tally.wrong();
            };
            match qos {
                0 => {}
                1 => packets::put_answer(out, kind::PUBACK, publish.id),
                _ => packets::put_answer(out, kind::PUBREC, publish.id),
            }
            let Some(head) = tally.head(publish.payload, templates) else { return };
            let from = head.from as usize;
            if shape == Shape::Pairs && from != subscriber {
                return tally.wrong();
            }
            let stream = match shape {
                Shape::Pairs | Shape::Shared => from,
                Shape::Fanout | Shape::Fanin => subscriber * publishers.len() + from,
            };
            tally.arrive(&mut streams[stream], head, now_ns, in_order);
            let publisher = &mut publishers[from];
            publisher.copies += 1;
            if !publisher.listed && publisher.may_send(options, qos, fan) {
                publisher.listed = true;
                list.push(from);
            }
        })?;
        Ok(())
    }

    /// A publisher's socket can be read.
    fn answered(&mut self, token: usize) -> Result<()> {
        let publisher = &mut self.publishers[token - self.subscribers];
        let mut refused = None;
        self.connections[token].read(&mut self.scratch, |packet, out| {
            let (id, reason) = packets::answer(packet);
            match packet[0] >> 4 {
                _ if reason >= 0x80 => refused = Some(reason),
                kind::PUBACK | kind::PUBCOMP => publisher.acknowledged += 1,
                kind::PUBREC => packets::put_answer(out, kind::PUBREL, id),
                other => refused = Some(other),
            }
        })?;
        match refused {
            Some(reason) => Err(Error::Broker(format!("answers a PUBLISH with {reason:#04x}"))),
            None => Ok(()),
        }
    }
}

impl Publisher {
    fn may_send(&self, options: &Options, qos: u8, fan: u64) -> bool {
        self.sent * fan < self.copies + options.window * fan
            && (qos == 0 || self.sent < self.acknowledged + options.window)
    }
}
