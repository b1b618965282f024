//! A load for any MQTT broker: it connects, publishes, receives, checks every message, and reads
//! from /proc what that cost the broker. One thread, epoll, packets encoded once, so that it is not
//! the bottleneck; it prints one JSON object. README.md tells how to use it.
//!
//! From the ground up: `error`; `options`, `packets`, `poller`, `process`, `histogram`, `stream`;
//! `layers`, `report`, `tally`, `ledger`; `connection`; `counters`,
//! `sources`, `consumer`; the scenarios.

mod append;
mod churn;
mod connection;
mod consumer;
mod counters;
mod error;
mod floor;
mod flow;
mod histogram;
mod idle;
mod layers;
mod ledger;
mod offline;
mod options;
mod packets;
mod poller;
mod process;
mod queue;
mod report;
mod retained;
mod sources;
mod storm;
mod stream;
mod tally;

use error::{Error, Result};
use options::Options;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stonechat-load: {error}");
            ExitCode::from(if matches!(error, Error::Usage(_)) { 64 } else { 1 })
        }
    }
}

fn run() -> Result<()> {
    let Some(options) = Options::parse(std::env::args().skip(1))? else {
        print!("{}", options::HELP);
        return Ok(());
    };
    raise_file_limit();
    let report = match options.scenario.as_str() {
        "pairs" | "fanout" | "fanin" | "shared" => flow::run(&options)?,
        "idle" => idle::run(&options)?,
        "storm" => storm::run(&options)?,
        "retained" => retained::run(&options)?,
        "offline" => offline::run(&options)?,
        "drain" => queue::drain(&options)?,
        "fifo" => queue::fifo(&options)?,
        "append" => append::run(&options)?,
        "floor" => return floor::run(&options),
        other => return Err(Error::Usage(format!("there is no scenario {other}"))),
    };
    println!("{}", report.text());
    Ok(())
}

/// As many sockets as the system lets us have; if that is too few, connecting says so.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
