//! The broker's only notion of time: monotonic milliseconds, always an argument.

/// Milliseconds on a monotonic clock whose zero is the broker's start (or a simulator's).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// Later than everything.
    pub const NEVER: Self = Self(u64::MAX);

    /// `ms` milliseconds later; [`Time::NEVER`] instead of an overflow.
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// `s` seconds later; [`Time::NEVER`] instead of an overflow.
    pub fn plus_s(self, s: u64) -> Self {
        self.plus_ms(s.saturating_mul(1000))
    }

    /// Milliseconds since `earlier`, 0 if that is later.
    pub fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
