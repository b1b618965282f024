//! Connections with one subscription each that then do nothing: what they take of memory and time.
//! Uses what is below `main`.

use crate::connection::{Client, Connection, open_all};
use crate::error::{Error, Result};
use crate::layers::Recipe;
use crate::options::Options;
use crate::process::Usage;
use crate::report::Report;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Runs the scenario.
pub fn run(options: &Options) -> Result<Report> {
    let Some(pid) = options.pid else { return Err(Error::Usage("idle needs --pid".into())) };
    let recipe = Recipe::new(options)?;
    let count = options.count.unwrap_or(5000);
    let own = std::process::id();
    let before = Usage::of(pid)?;
    let begun = Instant::now();
    let connections = open_all(options, count as usize, |n| {
        let filters = [format!("idle/{}/{n}/#", n % 100)];
        let id = format!("load-idle{n}-{own}");
        let client = Client { filters: &filters, qos: 1, ..Client::new(id) };
        Connection::open(options, &recipe, &client)
    })?;
    let secs = begun.elapsed().as_secs_f64();
    let connected = Usage::of(pid)?;
    sleep(Duration::from_secs_f64(options.secs));
    let after = Usage::of(pid)?;
    let per = count as f64;
    let bytes = (after.rss_kib as f64 - before.rss_kib as f64) * 1024.0;
    drop(connections);
    let mut report = Report::new(&options.scenario);
    report
        .value("connections", count)
        .ratio("connects_per_s", per / secs)
        .ratio("cpu_us_per_connect", (connected.cpu_ns - before.cpu_ns) as f64 / 1e3 / per)
        .ratio("bytes_per_connection", bytes / per)
        .ratio("idle_cores", (after.cpu_ns - connected.cpu_ns) as f64 / 1e9 / options.secs)
        .value("rss_kib_before", before.rss_kib)
        .value("rss_kib", after.rss_kib);
    Ok(report)
}
