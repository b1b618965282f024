//! Publishers that know which of their messages are acknowledged. Uses what is below `main`; at
//! most `--window` messages of each are under way, and the ledger says what became of them.

use crate::connection::{Client, Connection};
use crate::error::Result;
use crate::histogram::Histogram;
use crate::layers::Recipe;
use crate::ledger::Ledger;
use crate::options::Options;
use crate::packets::{self, Template, kind, packet_id};
use crate::poller::{Interest, Poller, Ready};
use std::collections::VecDeque;

/// Messages that one publisher hands over before the next has its turn.
const BURST: u64 = 64;

/// The topics that `FILTER` takes.
pub fn topic(n: usize) -> String {
    format!("load/queue/{n}")
}

/// What the persistent session subscribes to.
pub const FILTER: &str = "load/queue/+";

struct Source {
    connection: Connection,
    template: Template,
    /// for each message from the oldest that is not acknowledged: when it left, and whether it is
    under_way: VecDeque<(u64, bool)>,
    listed: bool,
}

impl Source {
    /// The sequence number that an answer means, and when it left.
    fn answered(&mut self, sent: u64, id: u16) -> Option<(u64, u64)> {
        let oldest = sent - self.under_way.len() as u64;
        let ahead = u64::from(id) + 65535 - u64::from(packet_id(oldest));
        let ahead = ahead % 65535;
        let (left_ns, done) = self.under_way.get_mut(ahead as usize)?;
        if std::mem::replace(done, true) {
            return None;
        }
        let left_ns = *left_ns;
        while self.under_way.front().is_some_and(|(_, done)| *done) {
            self.under_way.pop_front();
        }
        Some((oldest + ahead, left_ns))
    }
}

/// All publishers; their tokens are their numbers.
pub struct Sources {
    sources: Vec<Source>,
    list: VecDeque<usize>,
    window: u64,
    /// what they sent and what was acknowledged
    pub ledger: Ledger,
    /// from sending to the acknowledgement
    pub latency: Histogram,
    /// messages that were answered with a reason of 0x80 or more
    pub refused: u64,
    /// answers to nothing
    pub wrong: u64,
    /// whether the broker ended a connection
    pub gone: bool,
}

impl Sources {
    /// Connects them all.
    pub fn open(options: &Options, recipe: &Recipe, qos: u8, poller: &Poller) -> Result<Self> {
        let (count, bytes) = (options.publishers, options.payload_bytes);
        let mut sources = Vec::new();
        for n in 0..count {
            let client = Client::new(format!("load-q{n}-{}", std::process::id()));
            let connection = Connection::open(options, recipe, &client)?;
            connection.watch(poller, Interest::Read, n)?;
            let version = options.version;
            let template = Template::new(version, &topic(n), qos, false, bytes, n as u32);
            sources.push(Source { connection, template, under_way: VecDeque::new(), listed: true });
        }
        Ok(Self {
            sources,
            list: (0..count).collect(),
            window: options.window,
            ledger: Ledger::new(count, bytes, qos),
            latency: Histogram::new(),
            refused: 0,
            wrong: 0,
            gone: false,
        })
    }

    /// How many there are: the first token that is free.
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// Messages without an answer.
    pub fn under_way(&self) -> usize {
        self.sources.iter().map(|source| source.under_way.len()).sum()
    }

    /// Sends up to `budget` messages of those whose window is open; how many.
    pub fn fill(&mut self, budget: u64, now_ns: u64, poller: &Poller) -> Result<u64> {
        let mut left = budget;
        for _ in 0..self.list.len() {
            let Some(n) = self.list.pop_front() else { break };
            if left == 0 {
                self.list.push_front(n);
                break;
            }
            let account = &mut self.ledger.accounts[n];
            let source = &mut self.sources[n];
            let room = self.window.saturating_sub(source.under_way.len() as u64);
            let burst = room.min(BURST).min(left);
            for _ in 0..burst {
                source.template.put(&mut source.connection.output, now_ns, account.sent);
                source.under_way.push_back((now_ns, false));
                account.sent += 1;
            }
            left -= burst;
            source.connection.send(poller, n)?;
            self.gone |= source.connection.closed;
            source.listed = burst < room && !source.connection.blocked;
            if source.listed {
                self.list.push_back(n);
            }
        }
        Ok(budget - left)
    }

    /// Handles what a publisher's socket has to say.
    pub fn serve(
        &mut self,
        ready: Ready,
        now_ns: u64,
        poller: &Poller,
        scratch: &mut [u8],
    ) -> Result<()> {
        let n = ready.token;
        if ready.write {
            self.sources[n].connection.unblock(poller, n)?;
        }
        if ready.read {
            self.answers(n, now_ns, scratch)?;
        }
        let source = &mut self.sources[n];
        if source.connection.waiting() > 0 {
            source.connection.send(poller, n)?;
        }
        if source.connection.closed {
            self.gone = true;
            // What is closed would be ready for ever.
            source.connection.rewatch(poller, Interest::End, n)?;
        } else if !source.listed && (source.under_way.len() as u64) < self.window {
            source.listed = true;
            self.list.push_back(n);
        }
        Ok(())
    }

    fn answers(&mut self, n: usize, now_ns: u64, scratch: &mut [u8]) -> Result<()> {
        let Self { sources, ledger, latency, refused, wrong, .. } = self;
        let account = &mut ledger.accounts[n];
        let mut answers = Vec::new();
        sources[n].connection.read(scratch, |packet, out| {
            let (id, reason) = packets::answer(packet);
            match packet[0] >> 4 {
                kind::PUBREC if reason < 0x80 => packets::put_answer(out, kind::PUBREL, id),
                kind::PUBACK | kind::PUBREC | kind::PUBCOMP => answers.push((id, reason)),
                _ => *wrong += 1,
            }
        })?;
        for (id, reason) in answers {
            match sources[n].answered(account.sent, id) {
                None => *wrong += 1,
                Some(_) if reason >= 0x80 => *refused += 1,
                Some((seq, left_ns)) => {
                    account.acknowledged.arrive(seq);
                    latency.add(now_ns.saturating_sub(left_ns));
                }
            }
        }
        Ok(())
    }
}
