//! Connections that come, say CONNECT and go again, one after the other (over WebSocket, many
//! beside each other): what a handshake costs the
//! broker. Uses what is below `main`.

use crate::connection::{Client, Connection, open_all};
use crate::error::{Error, Result};
use crate::layers::Recipe;
use crate::options::Options;
use crate::process::Usage;
use crate::report::Report;
use std::time::Instant;

/// How many connect before the count begins: what is made once is made by then.
const WARMUP: usize = 64;

/// Runs the scenario.
pub fn run(options: &Options) -> Result<Report> {
    let Some(pid) = options.pid else { return Err(Error::Usage("storm needs --pid".into())) };
    let recipe = Recipe::new(options)?;
    let count = options.count.unwrap_or(2000) as usize;
    let own = std::process::id();
    let connect = |n: usize| -> Result<()> {
        let client = Client::new(format!("load-storm{n}-{own}"));
        Connection::open(options, &recipe, &client)?.disconnect()
    };
    open_all(options, WARMUP.min(count), connect)?;
    let (before, begun) = (Usage::of(pid)?, Instant::now());
    open_all(options, count, connect)?;
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
