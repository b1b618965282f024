//! What Linux knows of the broker's process: processor time, memory, switches, bytes written.
//! Uses `error` alone; a figure that cannot be read is an error, never a zero.

use crate::error::{Error, Result};
use std::fs;

/// A process's use of the machine up to now.
#[derive(Clone, Copy, Default)]
pub struct Usage {
    /// Processor time of all its threads.
    pub cpu_ns: u64,
    /// How often its threads gave up the processor, or lost it.
    pub switches: u64,
    /// What it had the file system write to disk.
    pub written_bytes: u64,
    /// Resident memory.
    pub rss_kib: u64,
    /// The most that was ever resident.
    pub rss_kib_max: u64,
}

impl Usage {
    /// Reads all of it.
    pub fn of(pid: u32) -> Result<Self> {
        let status = read(format!("/proc/{pid}/status"))?;
        let io = read(format!("/proc/{pid}/io"))?;
        let mut usage = Self {
            written_bytes: field(&io, "write_bytes:"),
            rss_kib: field(&status, "VmRSS:"),
            rss_kib_max: field(&status, "VmHWM:"),
            ..Self::default()
        };
        let folder = format!("/proc/{pid}/task");
        let threads = fs::read_dir(folder).map_err(Error::system("the broker's threads"))?;
        for thread in threads.flatten() {
            // One that has just ended is left out.
            let Ok(times) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
            usage.cpu_ns += times.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
            let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            usage.switches += field(&status, "voluntary_ctxt_switches:");
            usage.switches += field(&status, "nonvoluntary_ctxt_switches:");
        }
        if usage.cpu_ns == 0 {
            return Err(Error::Usage("this kernel keeps no /proc/PID/schedstat".into()));
        }
        Ok(usage)
    }
}

/// Resident memory alone: cheap enough to be asked for again and again.
pub fn rss_kib(pid: u32) -> u64 {
    read(format!("/proc/{pid}/status")).map_or(0, |status| field(&status, "VmRSS:"))
}

fn read(path: String) -> Result<String> {
    fs::read_to_string(path).map_err(Error::system("the broker's process (--pid)"))
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.cpu_ns > 0 && usage.rss_kib > 0 && usage.rss_kib_max >= usage.rss_kib);
        assert_eq!(field("a: 1\nVmRSS:\t  77 kB\n", "VmRSS:"), 77);
    }
}
