//! The arguments of a run. Uses `error` alone; an argument that is not known, or not a number where
//! one is due, ends the program before anything is sent.

use crate::error::{Error, Result};
use crate::packets::PAYLOAD_HEAD_BYTES;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What `help` prints.
pub const HELP: &str = "\
stonechat-load SCENARIO --address IP:PORT [--option value ...]

scenarios
  pairs     as many pairs of a publisher and a subscriber as --publishers says, a topic each
  fanout    every one of --subscribers gets every message of one topic
  fanin     publishers with a topic each; every subscriber takes them all by a wildcard
  shared    the same, the subscribers being one shared-subscription group
  idle      --count connections with one subscription each, then nothing for --secs
  storm     --count connections, one after the other, that go again after CONNACK
  retained  --count retained messages, then one subscriber that asks for all of them
  offline   publishers into one persistent session that is away; --state keeps what was acknowledged
  drain     that session comes back and takes everything: is anything missing?
  fifo      --depth messages wait in a persistent session; more go in as fast as a consumer takes
            them out, --rate of them per second (0: as fast as it goes)
  append    no broker: --batch messages appended to a file in --dir, synced, again and again
  floor     a broker that does only what cannot be left out: what the sockets alone cost

options (and what holds without them)
  --address 127.0.0.1:1883    --pid PID     the broker's process, to read what it uses
  --version 4|5 (4)           --qos 0|1|2 (0; offline and fifo 1)
  --publishers N (1)          --subscribers N (1)
  --payload BYTES (64)        at least 24
  --window N (64)             messages that each publisher may have under way
  --rate N (0)                messages per second of all publishers; 0: as the windows allow
  --secs S (3)                --warmup S (0.5)
  --count N                   idle 5000; storm 2000; retained 100000; offline: instead of --secs
  --depth N (10000)           --batch N (64)      --dir DIRECTORY (.)
  --noise N (0)               subscriptions, on one connection, that never match
  --churn N (0)               SUBSCRIBEs per second, on one connection, and as many UNSUBSCRIBEs
  --churn-plus                their filters begin with +, so they may match any topic
  --kept                      the subscribers' sessions outlive their connections
  --nobody                    offline: no session is there, so nothing is kept
  --log                       reads the broker's $SYS topics of its log, which takes 2.2 s more
  --disk DIRECTORY            drain: how much of it is used afterwards
  --wild                      subscribers of pairs use a wildcard filter
  --client-id ID (away)       --state FILE (load.state)
  --quiet S (2)               how long nothing may come before the load gives up waiting
  --tls --cafile FILE         --server-name NAME (localhost)
  --ws                        --ws-path PATH (/mqtt)
  --fault drop|repeat|swap|garble   floor only: every 1000th message is treated so
";

/// What the floor does wrong, so that the checks can be checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It forgets a message.
    Drop,
    /// It sends a message twice.
    Repeat,
    /// It sends a message behind its successor.
    Swap,
    /// It changes a byte of a message.
    Garble,
}

/// All options; each scenario uses those that it needs.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Options {
    pub scenario: String,
    pub address: SocketAddr,
    pub pid: Option<u32>,
    pub version: u8,
    pub qos: Option<u8>,
    pub publishers: usize,
    pub subscribers: usize,
    pub payload_bytes: usize,
    pub window: u64,
    pub rate: f64,
    pub secs: f64,
    pub warmup_secs: f64,
    pub count: Option<u64>,
    pub depth: u64,
    pub batch: u64,
    pub dir: PathBuf,
    pub noise: usize,
    pub churn: f64,
    pub churn_plus: bool,
    pub kept: bool,
    pub nobody: bool,
    pub log: bool,
    pub disk: Option<PathBuf>,
    pub wild: bool,
    pub client_id: String,
    pub state: PathBuf,
    pub quiet: Duration,
    pub tls: bool,
    pub ca_file: Option<PathBuf>,
    pub server_name: String,
    pub websocket: bool,
    pub websocket_path: String,
    pub fault: Option<Fault>,
}

impl Options {
    fn new(scenario: &str) -> Self {
        Self {
            scenario: scenario.into(),
            address: SocketAddr::from(([127, 0, 0, 1], 1883)),
            pid: None,
            version: 4,
            qos: None,
            publishers: 1,
            subscribers: 1,
            payload_bytes: 64,
            window: 64,
            rate: 0.0,
            secs: 3.0,
            warmup_secs: 0.5,
            count: None,
            depth: 10_000,
            batch: 64,
            dir: ".".into(),
            noise: 0,
            churn: 0.0,
            churn_plus: false,
            kept: false,
            nobody: false,
            log: false,
            disk: None,
            wild: false,
            client_id: "away".into(),
            state: "load.state".into(),
            quiet: Duration::from_secs(2),
            tls: false,
            ca_file: None,
            server_name: "localhost".into(),
            websocket: false,
            websocket_path: "/mqtt".into(),
            fault: None,
        }
    }

    /// Reads the arguments behind the program's name; `None` if help is asked for.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let Some(scenario) = arguments.next() else {
            return Err(Error::Usage("which scenario?".into()));
        };
        if matches!(scenario.as_str(), "help" | "--help" | "-h") {
            return Ok(None);
        }
        let mut options = Self::new(&scenario);
        while let Some(name) = arguments.next() {
            match name.as_str() {
                "--kept" => options.kept = true,
                "--nobody" => options.nobody = true,
                "--log" => options.log = true,
                "--wild" => options.wild = true,
                "--churn-plus" => options.churn_plus = true,
                "--tls" => options.tls = true,
                "--ws" => options.websocket = true,
                _ => match arguments.next() {
                    Some(value) => options.set(&name, &value)?,
                    None => return Err(Error::Usage(format!("{name}: unknown, or without value"))),
                },
            }
        }
        options.check()?;
        Ok(Some(options))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "--address" => self.address = read(name, value)?,
            "--pid" => self.pid = Some(read(name, value)?),
            "--version" => self.version = read(name, value)?,
            "--qos" => self.qos = Some(read(name, value)?),
            "--publishers" => self.publishers = read(name, value)?,
            "--subscribers" => self.subscribers = read(name, value)?,
            "--payload" => self.payload_bytes = read(name, value)?,
            "--window" => self.window = read(name, value)?,
            "--rate" => self.rate = read(name, value)?,
            "--secs" => self.secs = read(name, value)?,
            "--warmup" => self.warmup_secs = read(name, value)?,
            "--count" => self.count = Some(read(name, value)?),
            "--depth" => self.depth = read(name, value)?,
            "--batch" => self.batch = read(name, value)?,
            "--dir" => self.dir = value.into(),
            "--noise" => self.noise = read(name, value)?,
            "--churn" => self.churn = read(name, value)?,
            "--disk" => self.disk = Some(value.into()),
            "--client-id" => self.client_id = value.into(),
            "--state" => self.state = value.into(),
            "--quiet" => self.quiet = Duration::from_secs_f64(read::<f64>(name, value)?.max(0.0)),
            "--cafile" => self.ca_file = Some(value.into()),
            "--server-name" => self.server_name = value.into(),
            "--ws-path" => self.websocket_path = value.into(),
            "--fault" => {
                self.fault = Some(match value {
                    "drop" => Fault::Drop,
                    "repeat" => Fault::Repeat,
                    "swap" => Fault::Swap,
                    "garble" => Fault::Garble,
                    _ => return Err(Error::Usage(format!("{name} {value}: no such fault"))),
                });
            }
            _ => return Err(Error::Usage(format!("{name}: there is no such option"))),
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let wrong = if self.version != 4 && self.version != 5 {
            "--version: 4 or 5"
        } else if self.qos.is_some_and(|qos| qos > 2) {
            "--qos: 0, 1 or 2"
        } else if self.payload_bytes < PAYLOAD_HEAD_BYTES {
            "--payload: at least 24 bytes"
        } else if self.publishers == 0 || self.subscribers == 0 || self.window == 0 {
            "--publishers, --subscribers, --window: at least 1"
        } else if self.window > 60_000 {
            "--window: at most 60000"
        } else if self.batch == 0 || self.count == Some(0) {
            "--batch, --count: at least 1"
        } else if !(0.0..=3600.0).contains(&self.secs) || !(0.0..=600.0).contains(&self.warmup_secs)
        {
            "--secs, --warmup: at most 3600 and 600"
        } else if self.churn_plus && self.churn <= 0.0 {
            "--churn-plus: --churn says how many"
        } else if self.tls && self.ca_file.is_none() {
            "--tls: --cafile says whose certificates are good"
        } else {
            return Ok(());
        };
        Err(Error::Usage(wrong.into()))
    }
}

fn read<T: FromStr<Err: Display>>(name: &str, value: &str) -> Result<T> {
    value.parse().map_err(|error| Error::Usage(format!("{name} {value}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>> {
        Options::parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn arguments_are_read_or_refused() {
        let options = parse("pairs --publishers 500 --wild --qos 1 --rate 2.5").unwrap().unwrap();
        assert_eq!((options.publishers, options.wild, options.qos), (500, true, Some(1)));
        assert!(parse("help").unwrap().is_none());
        for line in ["", "pairs --qos 3", "pairs --qos", "pairs --x 1", "pairs --payload 23"] {
            assert!(matches!(parse(line), Err(Error::Usage(_))), "{line}");
        }
        assert!(matches!(parse("pairs --tls"), Err(Error::Usage(_))));
        assert!(matches!(parse("pairs --churn-plus"), Err(Error::Usage(_))));
        assert!(parse("pairs --churn 1 --churn-plus").unwrap().unwrap().churn_plus);
    }
}
