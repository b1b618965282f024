//! Connections that come, say CONNECT and go again, one after the other: what a handshake costs the
//! broker. Uses what is below `main`.

use crate::connection::{Client, Connection};
use crate::error::{Error, Result};
use crate::layers::Recipe;
use crate::options::Options;
use crate::process::Usage;
use crate::report::Report;
use std::time::Instant;

/// How many connect before the count begins: what is made once is made by then.
const WARMUP: u64 = 50;

/// Runs the scenario.
pub fn run(options: &Options) -> Result<Report> {
    let Some(pid) = options.pid else { return Err(Error::Usage("storm needs --pid".into())) };
    let recipe = Recipe::new(options)?;
    let count = options.count.unwrap_or(2000);
    let own = std::process::id();
    let connect = |n: u64| -> Result<()> {
        let client = Client::new(format!("load-storm{n}-{own}"));
        Connection::open(options, &recipe, &client)?.disconnect()
    };
    for n in 0..WARMUP.min(count) {
        connect(n)?;
    }
    let (before, begun) = (Usage::of(pid)?, Instant::now());
    for n in 0..count {
        connect(n)?;
    }
    let secs = begun.elapsed().as_secs_f64();
    let after = Usage::of(pid)?;
    let mut report = Report::new(&options.scenario);
    let cpu_us = after.cpu_ns.saturating_sub(before.cpu_ns) as f64 / 1e3;
    report
        .value("connections", count)
        .ratio("connects_per_s", count as f64 / secs)
        .ratio("cpu_us_per_connect", cpu_us / count as f64)
        .ratio("broker_cores", cpu_us / 1e6 / secs)
        .value("rss_kib_before", before.rss_kib)
        .value("rss_kib", after.rss_kib);
    Ok(report)
}
