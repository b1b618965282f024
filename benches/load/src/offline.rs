//! Many publishers, one persistent session that is away: how fast is what it will get acknowledged?
//! Uses what is below `main`. What was acknowledged goes into a ledger, also when the broker dies
//! meanwhile; `queue` takes it out again.

use crate::connection::READ_BYTES;
use crate::consumer::prepare;
use crate::counters;
use crate::error::{Error, Result};
use crate::layers::Recipe;
use crate::options::Options;
use crate::poller::{Patience, Poller};
use crate::process::{Usage, rss_kib};
use crate::report::Report;
use crate::sources::Sources;
use std::time::{Duration, Instant};

/// How often the broker's memory is looked at.
const SAMPLE: Duration = Duration::from_millis(20);

/// The most memory that was seen.
pub struct Peak {
    pid: Option<u32>,
    last: Instant,
    /// in KiB
    pub rss_kib: u64,
}

impl Peak {
    /// Begins to look.
    pub fn new(pid: Option<u32>) -> Self {
        Self { pid, last: Instant::now(), rss_kib: pid.map_or(0, rss_kib) }
    }

    /// Looks, if it is time.
    pub fn sample(&mut self) {
        if let Some(pid) = self.pid.filter(|_| self.last.elapsed() >= SAMPLE) {
            self.rss_kib = self.rss_kib.max(rss_kib(pid));
            self.last = Instant::now();
        }
    }
}

/// Runs the scenario.
pub fn run(options: &Options) -> Result<Report> {
    let qos = options.qos.unwrap_or(1);
    if qos == 0 {
        return Err(Error::Usage("offline: QoS 1 or 2".into()));
    }
    let recipe = Recipe::new(options)?;
    prepare(options, &recipe, qos)?;
    let mut poller = Poller::new()?;
    let mut sources = Sources::open(options, &recipe, qos, &poller)?;
    let before = options.pid.map(Usage::of).transpose()?;
    let mut peak = Peak::new(options.pid);
    let begun = Instant::now();
    publish(options, options.count, &mut sources, &mut poller, &mut peak)?;
    let secs = begun.elapsed().as_secs_f64();
    sources.ledger.save(&options.state)?;
    let acknowledged = sources.ledger.acknowledged();
    let mut report = Report::new(&options.scenario);
    report
        .value("version", options.version)
        .value("qos", qos)
        .value("publishers", options.publishers)
        .value("window", options.window)
        .value("payload_bytes", options.payload_bytes)
        .ratio("secs", secs)
        .value("sent", sources.ledger.sent())
        .value("acknowledged", acknowledged)
        .value("refused", sources.refused)
        .value("unanswered", sources.under_way())
        .value("wrong", sources.wrong)
        .value("broker_gone", sources.gone)
        .ratio("acknowledged_per_s", acknowledged as f64 / secs)
        .latency(&sources.latency);
    let after = options.pid.and_then(|pid| Usage::of(pid).ok());
    if let (Some(before), Some(after)) = (before, after) {
        let payload = acknowledged as f64 * options.payload_bytes as f64;
        let written = (after.written_bytes - before.written_bytes) as f64;
        report
            .cost(&before, &after, acknowledged, secs)
            .ratio("written_per_payload", written / payload)
            .value("rss_kib_before", before.rss_kib)
            .value("rss_kib_peak", peak.rss_kib);
    }
    counters::report(options, &recipe, &mut report)?;
    Ok(report)
}

/// Publishes `count` messages, or for `--secs`, and waits for the answers.
pub fn publish(
    options: &Options,
    count: Option<u64>,
    sources: &mut Sources,
    poller: &mut Poller,
    peak: &mut Peak,
) -> Result<()> {
    let begun = Instant::now();
    let (mut ready, mut scratch) = (Vec::new(), vec![0; READ_BYTES]);
    let mut patience = Patience::new(options.quiet.max(Duration::from_secs(10)));
    let mut sent = 0;
    loop {
        let now = begun.elapsed();
        let budget = match count {
            Some(count) => count - sent,
            None if now.as_secs_f64() < options.secs => u64::MAX,
            None => 0,
        };
        sent += sources.fill(budget, now.as_nanos() as u64, poller)?;
        if sources.gone || patience.is_over() || budget == 0 && sources.under_way() == 0 {
            return Ok(());
        }
        poller.wait(Some(20), &mut ready)?;
        patience.note(!ready.is_empty(), 20);
        let now_ns = begun.elapsed().as_nanos() as u64;
        for &one in &ready {
            sources.serve(one, now_ns, poller, &mut scratch)?;
        }
        peak.sample();
    }
}
