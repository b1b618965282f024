//! What the tests over real sockets share: the real binary, a small client, and figures of /proc.
#![allow(dead_code, reason = "each test crate uses its own part of it")]

pub(crate) mod broker;
pub(crate) mod client;
pub(crate) mod fold;
pub(crate) mod staging;

use std::time::Duration;

/// How long a test waits for something that has to happen. Only a failing test waits as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a process holds of its own, in KiB (`RssAnon`): what it allocated, stacks, what the loader
/// wrote. The honest quantity for what grows with clients and goes back after them. All that it
/// holds (`VmRSS`) is that and pages that are as in their files (`RssFile`), which come as code is
/// used: megabytes, and none of them tells whether something was kept. What an empty broker holds
/// of both together, `.ci/run` checks.
pub(crate) fn own_kib(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// CPU time that a process has used, in clock ticks (a hundred in a second).
pub(crate) fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Lets this process open as many files as it may: some tests hold thousands of sockets.
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = maximum.map_or(Some(65_536), |m| Some(m.min(65_536)));
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

/// Random numbers from a seed (splitmix64), so that a failing run can be run again.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to `n` - 1.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}
