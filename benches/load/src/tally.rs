//! What the receiving side saw, and whether it is what was sent. Uses `packets`, `stream` and
//! `histogram`; every message is looked at, none is trusted.

use crate::histogram::Histogram;
use crate::packets::{self, Template};
use crate::report::Report;
use crate::stream::{Arrival, Stream};

/// Counts of what is as it should be, and of what is not.
pub struct Tally {
    /// messages received
    pub delivered: u64,
    gaps: u64,
    repeated: u64,
    late: u64,
    wrong: u64,
    /// whether latencies are counted
    pub measuring: bool,
    /// from the stamp to the receipt
    pub latency: Histogram,
}

impl Tally {
    /// Nothing received.
    pub fn new() -> Self {
        Self {
            delivered: 0,
            gaps: 0,
            repeated: 0,
            late: 0,
            wrong: 0,
            measuring: false,
            latency: Histogram::new(),
        }
    }

    /// One packet that is no message of ours, or not as it was sent.
    pub fn wrong(&mut self) {
        self.wrong += 1;
    }

    /// Looks at a message's payload; `None` if it is not one of ours.
    pub fn head(&mut self, payload: &[u8], templates: &[Template]) -> Option<packets::Head> {
        let read = packets::payload(payload).and_then(|(head, filling)| {
            let template = templates.get(head.from as usize)?;
            (template.filling() == filling).then_some(head)
        });
        if read.is_none() {
            self.wrong += 1;
        }
        read
    }

    /// Counts a message in its stream. Where members of a group share one, `in_order` is false:
    /// each of them is then ahead of the others now and then.
    pub fn arrive(
        &mut self,
        stream: &mut Stream,
        head: packets::Head,
        now_ns: u64,
        in_order: bool,
    ) {
        self.delivered += 1;
        if self.measuring {
            self.latency.add(now_ns.saturating_sub(head.stamp_ns));
        }
        match stream.arrive(head.seq) {
            Arrival::Next => {}
            Arrival::Gap(gap) => self.gaps += gap,
            Arrival::Late => {
                self.gaps -= 1;
                self.late += u64::from(in_order);
            }
            Arrival::Repeated => self.repeated += 1,
        }
    }

    /// Messages that came once, in whatever order.
    pub fn different(&self) -> u64 {
        self.delivered - self.repeated
    }

    /// Adds the counts.
    pub fn report(&self, report: &mut Report) {
        report
            .value("gaps", self.gaps)
            .value("duplicates", self.repeated)
            .value("out_of_order", self.late)
            .value("wrong", self.wrong);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_payload_is_wrong() {
        let mut templates = [Template::new(4, "a", 0, false, 64, 0)];
        let mut tally = Tally::new();
        let mut out = Vec::new();
        templates[0].put(&mut out, 1, 2);
        let payload = packets::publish(4, &out).unwrap().payload.to_vec();
        assert!(tally.head(&payload, &templates).is_some());
        for at in [8, 24, 63] {
            let mut bad = payload.clone();
            bad[at] ^= 1;
            assert!(tally.head(&bad, &templates).is_none(), "byte {at}");
        }
        assert!(tally.head(&payload[..63], &templates).is_none());
        assert_eq!(tally.wrong, 4);
    }
}
