//! What publishers sent and what the broker acknowledged of it, kept in a file from one run to the
//! next. Uses `stream`; reading a file that is none says so.

use crate::error::{Error, Result};
use crate::stream::Stream;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// One publisher's messages.
#[derive(Default, Clone)]
pub struct Account {
    /// how many were sent
    pub sent: u64,
    /// those that were acknowledged
    pub acknowledged: Stream,
}

/// All publishers' messages.
pub struct Ledger {
    /// bytes of each payload
    pub payload_bytes: usize,
    /// the QoS that they were sent with
    pub qos: u8,
    /// by the publisher's number
    pub accounts: Vec<Account>,
}

impl Ledger {
    /// Nothing sent yet.
    pub fn new(publishers: usize, payload_bytes: usize, qos: u8) -> Self {
        Self { payload_bytes, qos, accounts: vec![Account::default(); publishers] }
    }

    /// How many were sent.
    pub fn sent(&self) -> u64 {
        self.accounts.iter().map(|account| account.sent).sum()
    }

    /// How many were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.accounts.iter().map(|account| account.acknowledged.count()).sum()
    }

    /// Acknowledged messages that are in none of the streams that were received.
    pub fn lost(&self, received: &[Stream]) -> u64 {
        let each = self.accounts.iter().zip(received).map(|(account, stream)| {
            let lost = |&seq: &u64| account.acknowledged.has(seq) && !stream.has(seq);
            (0..account.sent).filter(lost).count() as u64
        });
        each.sum()
    }

    /// Received messages that nobody sent.
    pub fn invented(&self, received: &[Stream]) -> u64 {
        let pairs = self.accounts.iter().zip(received);
        pairs.map(|(account, stream)| stream.next().saturating_sub(account.sent)).sum()
    }

    /// Writes it down.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut text = format!("{} {}\n", self.payload_bytes, self.qos);
        for Account { sent, acknowledged } in &self.accounts {
            let _ = write!(text, "{sent} {}", acknowledged.next());
            for (from, to) in acknowledged.holes() {
                let _ = write!(text, " {from}-{to}");
            }
            text.push('\n');
        }
        fs::write(path, text).map_err(Error::system("--state"))
    }

    /// Reads what `save` wrote.
    pub fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(Error::system("--state"))?;
        Self::read(&text).ok_or_else(|| Error::Usage(format!("{}: no ledger", path.display())))
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (bytes, qos) = lines.next()?.split_once(' ')?;
        let mut ledger = Self::new(0, bytes.parse().ok()?, qos.parse().ok()?);
        for line in lines {
            let mut words = line.split(' ');
            let sent = words.next()?.parse().ok()?;
            let next = words.next()?.parse().ok()?;
            let holes = words.map(|hole| {
                let (from, to) = hole.split_once('-')?;
                Some((from.parse().ok()?, to.parse().ok()?))
            });
            let acknowledged = Stream::restored(next, holes.collect::<Option<_>>()?)?;
            ledger.accounts.push(Account { sent, acknowledged });
        }
        Some(ledger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_read_and_what_is_lost_is_counted() {
        let mut ledger = Ledger::new(2, 256, 1);
        ledger.accounts[0].sent = 10;
        for seq in [0, 1, 4, 5, 8] {
            ledger.accounts[0].acknowledged.arrive(seq);
        }
        let path = std::env::temp_dir().join(format!("ledger-{}", std::process::id()));
        ledger.save(&path).unwrap();
        let ledger = Ledger::load(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!((ledger.sent(), ledger.acknowledged(), ledger.qos), (10, 5, 1));
        let mut received = vec![Stream::default(); 2];
        for seq in [0, 2, 4, 8] {
            received[0].arrive(seq);
        }
        assert_eq!((ledger.lost(&received), ledger.invented(&received)), (2, 0));
        received[1].arrive(0);
        assert_eq!(ledger.invented(&received), 1);
        for text in ["", "256", "256 1\n5", "256 1\n5 5 7-3", "256 1\n5 5 3-9"] {
            assert!(Ledger::read(text).is_none(), "{text}");
        }
    }
}
