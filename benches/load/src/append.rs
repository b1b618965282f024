//! What the disk alone can do: a plain file that is appended to and synced, batch after batch. The
//! floor of what is durable. Uses `options` and `report`; the file is removed again.

use crate::error::{Error, Result};
use crate::histogram::Histogram;
use crate::options::Options;
use crate::report::Report;
use std::fs::{File, remove_file};
use std::io::Write;
use std::time::Instant;

/// Runs the scenario.
pub fn run(options: &Options) -> Result<Report> {
    let path = options.dir.join(format!("load-append-{}", std::process::id()));
    let mut file = File::create_new(&path).map_err(Error::system("the file in --dir"))?;
    let result = append(options, &mut file);
    remove_file(&path).map_err(Error::system("removing the file in --dir"))?;
    result
}

fn append(options: &Options, file: &mut File) -> Result<Report> {
    let bytes = options.payload_bytes as u64 * options.batch;
    let batch = vec![b'x'; bytes as usize];
    let mut latency = Histogram::new();
    let begun = Instant::now();
    while begun.elapsed().as_secs_f64() < options.secs {
        let from = Instant::now();
        file.write_all(&batch).map_err(Error::system("appending"))?;
        file.sync_data().map_err(Error::system("fdatasync"))?;
        latency.add(from.elapsed().as_nanos() as u64);
    }
    let secs = begun.elapsed().as_secs_f64();
    let mut report = Report::new(&options.scenario);
    report
        .value("batch", options.batch)
        .value("payload_bytes", options.payload_bytes)
        .ratio("syncs_per_s", latency.total() as f64 / secs)
        .ratio("acknowledged_per_s", (latency.total() * options.batch) as f64 / secs)
        .latency(&latency);
    Ok(report)
}
