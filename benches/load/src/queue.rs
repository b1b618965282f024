//! What waits in a persistent session comes out: all of it at once (`drain`), or as much as goes in
//! (`fifo`). Uses what is below `main`. Nothing that was acknowledged may be missing, come twice or
//! out of order.

use crate::connection::READ_BYTES;
use crate::consumer::{Consumer, prepare};
use crate::counters;
use crate::error::{Error, Result};
use crate::layers::Recipe;
use crate::ledger::Ledger;
use crate::offline::{Peak, publish};
use crate::options::Options;
use crate::poller::{Patience, Poller};
use crate::process::Usage;
use crate::report::Report;
use crate::sources::Sources;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// What comes behind the last message that is due is waited for so long.
const AFTERMATH: Duration = Duration::from_millis(300);

/// The disk is looked at until it has not changed for so long, or for so long altogether.
const DISK_SETTLES: Duration = Duration::from_millis(1000);
const DISK_SETTLES_MAX: Duration = Duration::from_secs(20);

/// The owner of the session comes back and takes everything.
pub fn drain(options: &Options) -> Result<Report> {
    let recipe = Recipe::new(options)?;
    let ledger = Ledger::load(&options.state)?;
    let before = options.pid.map(Usage::of).transpose()?;
    let mut peak = Peak::new(options.pid);
    let mut poller = Poller::new()?;
    let begun = Instant::now();
    let mut consumer = Consumer::open(options, &recipe, &ledger, &poller, 0)?;
    let due = ledger.acknowledged();
    let (mut ready, mut scratch) = (Vec::new(), vec![0; READ_BYTES]);
    let mut patience = Patience::new(options.quiet);
    let mut aftermath = Patience::new(AFTERMATH);
    let mut done = begun.elapsed();
    while !consumer.is_gone() && !patience.is_over() && !aftermath.is_over() {
        consumer.release(u64::MAX, &poller)?;
        poller.wait(Some(20), &mut ready)?;
        patience.note(!ready.is_empty(), 20);
        aftermath.note(!ready.is_empty() || consumer.tally.different() < due, 20);
        for &one in &ready {
            let now_ns = begun.elapsed().as_nanos() as u64;
            consumer.serve(one, now_ns, &poller, &mut scratch)?;
            done = begun.elapsed();
        }
        peak.sample();
    }
    let secs = done.as_secs_f64();
    let mut report = Report::new(&options.scenario);
    report
        .value("session_present", consumer.session_present())
        .value("broker_gone", consumer.is_gone())
        .value("acknowledged", due)
        .value("delivered", consumer.tally.delivered)
        .ratio("secs", secs)
        .ratio("delivered_per_s", consumer.tally.delivered as f64 / secs);
    judge(&mut report, &ledger, &consumer);
    let after = options.pid.and_then(|pid| Usage::of(pid).ok());
    if let (Some(before), Some(after)) = (before, after) {
        report
            .cost(&before, &after, consumer.tally.delivered, secs)
            .value("rss_kib_before", before.rss_kib)
            .value("rss_kib_peak", peak.rss_kib);
    }
    if let Some(folder) = &options.disk {
        report.value("disk_bytes", settled_bytes(folder)?);
    }
    counters::report(options, &recipe, &mut report)?;
    Ok(report)
}

/// What the files below a directory take, once that does not change any more.
fn settled_bytes(folder: &Path) -> Result<u64> {
    let (mut last, mut since) = (0, Instant::now());
    let begun = Instant::now();
    while since.elapsed() < DISK_SETTLES && begun.elapsed() < DISK_SETTLES_MAX {
        let bytes = disk_bytes(folder).map_err(Error::system("--disk"))?;
        if bytes != last {
            (last, since) = (bytes, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(last)
}

fn disk_bytes(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // It may have been removed just now.
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += match metadata.is_dir() {
            true => disk_bytes(&entry.path())?,
            false => metadata.blocks() * 512,
        };
    }
    Ok(bytes)
}

fn judge(report: &mut Report, ledger: &Ledger, consumer: &Consumer) {
    report
        .value("acked_but_lost", ledger.lost(&consumer.streams))
        .value("invented", ledger.invented(&consumer.streams));
    consumer.tally.report(report);
}

struct Mark {
    at: Instant,
    /// messages that the consumer has acknowledged
    out: u64,
    usage: Option<Usage>,
}

struct Fifo<'a> {
    options: &'a Options,
    poller: Poller,
    sources: Sources,
    consumer: Consumer,
    peak: Peak,
    clock: Instant,
    /// messages that the consumer has acknowledged
    out: u64,
    scratch: Vec<u8>,
}

/// A queue of constant length: what the consumer takes out, the publishers put in.
pub fn fifo(options: &Options) -> Result<Report> {
    let qos = options.qos.unwrap_or(1);
    if qos == 0 {
        return Err(Error::Usage("fifo: QoS 1 or 2".into()));
    }
    let recipe = Recipe::new(options)?;
    prepare(options, &recipe, qos)?;
    let mut poller = Poller::new()?;
    let mut sources = Sources::open(options, &recipe, qos, &poller)?;
    let rss_before_kib = options.pid.map(Usage::of).transpose()?.map(|usage| usage.rss_kib);
    let mut peak = Peak::new(options.pid);
    publish(options, Some(options.depth), &mut sources, &mut poller, &mut peak)?;
    if sources.ledger.acknowledged() < options.depth {
        return Err(Error::Broker("does not acknowledge what is to wait".into()));
    }
    let consumer = Consumer::open(options, &recipe, &sources.ledger, &poller, sources.len())?;
    let clock = Instant::now();
    let scratch = vec![0; READ_BYTES];
    let mut fifo = Fifo { options, poller, sources, consumer, peak, clock, out: 0, scratch };
    let warmup = Duration::from_secs_f64(options.warmup_secs);
    fifo.until(warmup)?;
    let from = fifo.mark()?;
    fifo.until(fifo.clock.elapsed() + Duration::from_secs_f64(options.secs))?;
    let to = fifo.mark()?;
    fifo.empty()?;
    let secs = (to.at - from.at).as_secs_f64();
    let out = to.out - from.out;
    let mut report = Report::new(&options.scenario);
    report
        .value("version", options.version)
        .value("qos", qos)
        .value("publishers", options.publishers)
        .value("depth", options.depth)
        .value("payload_bytes", options.payload_bytes)
        .ratio("secs", secs)
        .ratio("delivered_per_s", out as f64 / secs)
        .value("delivered", out)
        .value("refused", fifo.sources.refused)
        .value(
            "undelivered",
            fifo.sources.ledger.sent() as i64 - fifo.consumer.tally.different() as i64,
        );
    judge(&mut report, &fifo.sources.ledger, &fifo.consumer);
    if let (Some(a), Some(b)) = (&from.usage, &to.usage) {
        let payload = out as f64 * options.payload_bytes as f64;
        report
            .cost(a, b, out, secs)
            .ratio("written_per_payload", (b.written_bytes - a.written_bytes) as f64 / payload)
            .value("rss_kib_before", rss_before_kib.unwrap_or(0))
            .value("rss_kib_peak", fifo.peak.rss_kib);
    }
    counters::report(options, &recipe, &mut report)?;
    Ok(report)
}

impl Fifo<'_> {
    fn mark(&self) -> Result<Mark> {
        let usage = self.options.pid.map(Usage::of).transpose()?;
        Ok(Mark { at: Instant::now(), out: self.out, usage })
    }

    /// Keeps the queue at its length until the clock shows `end`.
    fn until(&mut self, end: Duration) -> Result<()> {
        let mut credit_at = self.clock.elapsed();
        let mut credit = 0.0;
        while self.clock.elapsed() < end {
            let now = self.clock.elapsed();
            let mut count = u64::MAX;
            if self.options.rate > 0.0 {
                // What was not used is not saved up for ever: a slow consumer stays slow.
                credit += (now - credit_at).as_secs_f64() * self.options.rate;
                credit = credit.min(self.options.rate / 10.0 + 1.0);
                credit_at = now;
                count = credit as u64;
            }
            let released = self.consumer.release(count, &self.poller)?;
            credit -= released as f64;
            self.out += released;
            let room = self.options.depth + self.out;
            let budget = room.saturating_sub(self.sources.ledger.sent());
            self.sources.fill(budget, now.as_nanos() as u64, &self.poller)?;
            self.serve(1)?;
        }
        Ok(())
    }

    /// Nothing more goes in, and everything comes out.
    fn empty(&mut self) -> Result<()> {
        let mut patience = Patience::new(self.options.quiet);
        while !patience.is_over()
            && (self.sources.under_way() > 0
                || self.consumer.tally.different() < self.sources.ledger.sent())
        {
            self.out += self.consumer.release(u64::MAX, &self.poller)?;
            let any = self.serve(20)?;
            patience.note(any, 20);
        }
        self.out += self.consumer.release(u64::MAX, &self.poller)?;
        self.serve(20)?;
        Ok(())
    }

    /// Waits for events, and handles one round of them; whether there were any.
    fn serve(&mut self, timeout_ms: u32) -> Result<bool> {
        let mut ready = Vec::new();
        self.poller.wait(Some(timeout_ms), &mut ready)?;
        let now_ns = self.clock.elapsed().as_nanos() as u64;
        for &one in &ready {
            if one.token < self.sources.len() {
                self.sources.serve(one, now_ns, &self.poller, &mut self.scratch)?;
            } else {
                self.consumer.serve(one, now_ns, &self.poller, &mut self.scratch)?;
            }
        }
        self.peak.sample();
        if self.sources.gone || self.consumer.is_gone() {
            return Err(Error::Broker("ended a connection".into()));
        }
        Ok(!ready.is_empty())
    }
}
