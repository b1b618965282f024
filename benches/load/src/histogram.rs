//! Latencies, counted in buckets that are at most 1.6 % wide. Uses nothing of the program.

/// Buckets per power of two.
const STEPS: usize = 64;

/// Counts of durations in nanoseconds.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    longest_ns: u64,
}

impl Histogram {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self { counts: vec![0; 64 * STEPS], total: 0, longest_ns: 0 }
    }

    /// Counts one.
    pub fn add(&mut self, ns: u64) {
        let power = ns.max(STEPS as u64).ilog2() as usize;
        let step = (ns.max(STEPS as u64) >> (power - 6)) as usize % STEPS;
        self.counts[power * STEPS + step] += 1;
        self.total += 1;
        self.longest_ns = self.longest_ns.max(ns);
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The longest, in microseconds.
    pub fn longest_us(&self) -> f64 {
        self.longest_ns as f64 / 1e3
    }

    /// The duration that this share of all does not exceed, in microseconds.
    pub fn quantile_us(&self, share: f64) -> f64 {
        let wanted = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut passed = 0;
        for (n, &count) in self.counts.iter().enumerate() {
            passed += count;
            if passed >= wanted {
                let (power, step) = (n / STEPS, n % STEPS);
                return ((1u64 << power) + ((step as u64) << (power - 6))) as f64 / 1e3;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_close() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|n| histogram.add(n * 1000));
        for (share, us) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = histogram.quantile_us(share);
            assert!((found / us - 1.0).abs() < 0.016, "{share}: {found}");
        }
        assert_eq!(histogram.longest_us(), 1000.0);
        assert_eq!(histogram.total(), 1000);
    }
}
