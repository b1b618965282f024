//! A client that subscribes and unsubscribes all the time, beside a load. Uses `packets` alone;
//! what it asks for and has no answer to is bounded.

use crate::packets::{self, kind};

/// Requests without an answer.
const WAITING_MAX: u64 = 256;
/// Subscriptions that are alive at once.
const ALIVE: u64 = 100;

/// What was asked for, and what was answered.
pub struct Churn {
    version: u8,
    per_s: f64,
    first_level: &'static str,
    subscribed: u64,
    sent: u64,
    answered: u64,
}

impl Churn {
    /// So many SUBSCRIBEs per second, and as many UNSUBSCRIBEs. With `plus` the filters begin with
    /// a wildcard: they match none of the load's topics, but a broker that remembers what topics
    /// match cannot tell that by the first level.
    pub fn new(version: u8, per_s: f64, plus: bool) -> Self {
        let first_level = if plus { "+" } else { "churn" };
        Self { version, per_s, first_level, subscribed: 0, sent: 0, answered: 0 }
    }

    /// Appends what is due at this time.
    pub fn push(&mut self, now_secs: f64, out: &mut Vec<u8>) {
        let first = self.first_level;
        let filter = |n: u64| format!("{first}/{}/+/{n}", n % 50);
        let due = (now_secs * self.per_s) as u64;
        while self.subscribed < due && self.sent < self.answered + WAITING_MAX {
            let id = packets::packet_id(self.sent);
            let filters = [filter(self.subscribed)];
            out.extend_from_slice(&packets::subscribe(self.version, id, &filters, 1));
            self.sent += 1;
            if let Some(old) = self.subscribed.checked_sub(ALIVE) {
                let id = packets::packet_id(self.sent);
                out.extend_from_slice(&packets::unsubscribe(self.version, id, &filter(old)));
                self.sent += 1;
            }
            self.subscribed += 1;
        }
    }

    /// Takes an answer in.
    pub fn take(&mut self, packet: &[u8]) {
        self.answered += u64::from(matches!(packet[0] >> 4, kind::SUBACK | kind::UNSUBACK));
    }

    /// Answers that came.
    pub fn answered(&self) -> u64 {
        self.answered
    }
}
