//! The result of a run: one JSON object on one line. Uses `histogram` and `process`; what was not
//! measured is not there, rather than zero.

use crate::histogram::Histogram;
use crate::process::Usage;
use std::fmt::{Display, Write};

/// A JSON object that grows.
pub struct Report {
    json: String,
}

impl Report {
    /// Names the scenario.
    pub fn new(scenario: &str) -> Self {
        Self { json: format!("{{\"scenario\":\"{scenario}\"") }
    }

    /// Adds a number or a truth value.
    pub fn value(&mut self, name: &str, value: impl Display) -> &mut Self {
        let _ = write!(self.json, ",\"{name}\":{value}");
        self
    }

    /// Adds a number with four digits behind the point, unless it is none.
    pub fn ratio(&mut self, name: &str, value: f64) -> &mut Self {
        if value.is_finite() {
            let _ = write!(self.json, ",\"{name}\":{value:.4}");
        }
        self
    }

    /// Adds percentiles, if anything was counted.
    pub fn latency(&mut self, histogram: &Histogram) -> &mut Self {
        if histogram.total() > 0 {
            for (name, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
                self.ratio(&format!("latency_us_{name}"), histogram.quantile_us(share));
            }
            self.ratio("latency_us_max", histogram.longest_us());
        }
        self
    }

    /// Adds what `messages` cost the broker in `secs`.
    pub fn cost(&mut self, from: &Usage, to: &Usage, messages: u64, secs: f64) -> &mut Self {
        let messages = messages as f64;
        let cpu_ns = to.cpu_ns.saturating_sub(from.cpu_ns) as f64;
        self.ratio("cpu_us_per_message", cpu_ns / 1e3 / messages)
            .ratio("broker_cores", cpu_ns / 1e9 / secs)
            .ratio("switches_per_message", (to.switches - from.switches) as f64 / messages)
            .value("written_bytes", to.written_bytes - from.written_bytes)
            .value("rss_kib", to.rss_kib)
            .value("rss_kib_max", to.rss_kib_max)
    }

    /// The whole object.
    pub fn text(&self) -> String {
        format!("{}}}", self.json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_is_left_out() {
        let mut report = Report::new("x");
        report.value("n", 1).ratio("a", 0.5).ratio("b", 1.0 / 0.0).ratio("c", f64::NAN);
        assert_eq!(report.text(), r#"{"scenario":"x","n":1,"a":0.5000}"#);
    }
}
