//! How much a client may do: which quota is its, and how much of its rates is left.
//!
//! May use: the patterns of `names`. The time is an argument. Invariant: over any span of time no
//! more passes than the rate times the span, plus one second's worth, plus one message.

use std::sync::Arc;

use super::names::fits;

/// What happens to a client that sends more than it may per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Excess {
    /// Its socket is not read for a while.
    #[default]
    Throttle,
    /// The messages over it are dropped (QoS 0), or refused with 0x97.
    Drop,
    /// It is disconnected with 0x96 or 0x97.
    Disconnect,
}

/// How much clients of some users or Client Identifiers may do; each one by itself. 0 = no limit
/// of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// what logs and counters call it
    pub name: String,
    /// user names, `*` stands for any characters; empty: any user, also an anonymous client
    pub users: Vec<Box<str>>,
    /// Client Identifiers, `*` stands for any characters; empty: any
    pub client_ids: Vec<Box<str>>,
    /// PUBLISH packets per second
    pub messages_per_s: u32,
    /// bytes of PUBLISH packets per second
    pub bytes_per_s: u64,
    /// what happens over these two
    pub excess: Excess,
    /// subscriptions of a session
    pub subscriptions_max: usize,
    /// retained messages that it may have set
    pub retained_messages_max: usize,
    /// bytes that wait for a session
    pub queued_bytes_max: usize,
    /// connections at a time, of the user (or of the client, if it is anonymous)
    pub connections_max: usize,
}

impl Quota {
    /// Whether this is the quota of such a client, if none before it is.
    pub fn concerns(&self, user: Option<&str>, client_id: &str) -> bool {
        let fit = |patterns: &[Box<str>], name: &str| patterns.iter().any(|p| fits(p, name));
        (self.users.is_empty() || user.is_some_and(|user| fit(&self.users, user)))
            && (self.client_ids.is_empty() || fit(&self.client_ids, client_id))
    }
}

/// All quotas, in the order of the settings.
#[derive(Clone, Debug, Default)]
pub struct Quotas(Vec<Arc<Quota>>);

impl Quotas {
    /// Of the settings.
    pub fn new(quotas: Vec<Quota>) -> Self {
        Self(quotas.into_iter().map(Arc::new).collect())
    }

    /// The first that concerns this client; `None`: it has no quota.
    pub fn of(&self, user: Option<&str>, client_id: &str) -> Option<Arc<Quota>> {
        self.0.iter().find(|quota| quota.concerns(user, client_id)).cloned()
    }
}

/// Thousandths of a message or of a byte: one per millisecond is a rate of one per second.
const PARTS: u128 = 1000;

/// How much of a quota's messages and bytes per second a client has used: two buckets that leak at
/// the rates, and hold a second's worth. What does not fit is not counted.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// monotonic; when the levels were so
    at_ms: u64,
    /// in [`PARTS`]
    messages: u128,
    /// in [`PARTS`]
    bytes: u128,
}

impl Bucket {
    /// Nothing is used at `now_ms` (monotonic).
    pub fn new(now_ms: u64) -> Self {
        Self { at_ms: now_ms, messages: 0, bytes: 0 }
    }

    /// Takes `messages` and `bytes` (of one PUBLISH, or of a few), or nothing.
    ///
    /// A second's worth may come at once. What is larger than that fits when nothing is used, and
    /// is paid for afterwards. A clock that goes back is one that stands.
    ///
    /// # Errors
    ///
    /// In how many milliseconds it would fit, if nothing else is taken; at least 1.
    pub fn take(
        &mut self,
        now_ms: u64,
        quota: &Quota,
        messages: u32,
        bytes: u64,
    ) -> Result<(), u64> {
        let passed = u128::from(now_ms.saturating_sub(self.at_ms));
        self.at_ms = self.at_ms.max(now_ms);
        let rates = (u128::from(quota.messages_per_s), u128::from(quota.bytes_per_s));
        self.messages = leaked(self.messages, rates.0, passed);
        self.bytes = leaked(self.bytes, rates.1, passed);
        let more = (u128::from(messages) * PARTS, u128::from(bytes) * PARTS);
        let wait =
            wait_ms(self.messages, rates.0, more.0).max(wait_ms(self.bytes, rates.1, more.1));
        if wait > 0 {
            return Err(u64::try_from(wait).unwrap_or(u64::MAX));
        }
        self.messages += more.0;
        self.bytes += more.1;
        Ok(())
    }
}

/// What is left of `level` when so many milliseconds have passed; without a rate, nothing.
fn leaked(level: u128, rate: u128, passed_ms: u128) -> u128 {
    if rate == 0 { 0 } else { level.saturating_sub(rate.saturating_mul(passed_ms)) }
}

/// How long until `more` fits; 0: it does.
fn wait_ms(level: u128, rate: u128, more: u128) -> u128 {
    if rate == 0 {
        return 0;
    }
    let room = (rate * PARTS).saturating_sub(more); // a larger one finds room when all is gone
    level.saturating_sub(room).div_ceil(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(messages_per_s: u32, bytes_per_s: u64) -> Quota {
        Quota { messages_per_s, bytes_per_s, ..Quota::default() }
    }

    #[test]
    fn the_first_that_concerns_a_client() {
        let quota = |name: &str, users: &[&str], ids: &[&str]| Quota {
            name: name.into(),
            users: users.iter().map(|&s| s.into()).collect(),
            client_ids: ids.iter().map(|&s| s.into()).collect(),
            ..Quota::default()
        };
        let quotas = Quotas::new(vec![
            quota("both", &["anna"], &["test-*"]),
            quota("id", &[], &["gateway", "sensor-*"]),
            quota("users", &["bert", "a*"], &[]),
            quota("named", &["*"], &[]),
            quota("rest", &[], &[]),
        ]);
        for (user, client_id, name) in [
            (Some("anna"), "test-7", "both"),
            (Some("anna"), "sensor-7", "id"),
            (Some("anna"), "x", "users"),
            (Some("alfred"), "test-7", "users"),
            (Some("bert"), "gateway", "id"),
            (Some("carl"), "x", "named"),
            (Some(""), "x", "named"),
            (None, "x", "rest"),
            (None, "gateway", "id"),
            (None, "gateway2", "rest"),
        ] {
            let found = quotas.of(user, client_id).unwrap();
            assert_eq!(found.name, name, "{user:?} {client_id}");
        }
        assert!(Quotas::new(vec![quota("x", &["anna"], &[])]).of(None, "anna").is_none());
        assert!(Quotas::default().of(Some("anna"), "x").is_none());
    }

    #[test]
    fn a_second_at_once_then_the_rate() {
        let quota = rates(10, 0);
        let mut bucket = Bucket::new(5_000);
        for n in 0..10 {
            assert_eq!(bucket.take(5_000, &quota, 1, 1 << 30), Ok(()), "{n}");
        }
        assert_eq!(bucket.take(5_000, &quota, 1, 0), Err(100));
        assert_eq!(bucket.take(5_099, &quota, 1, 0), Err(1));
        assert_eq!(bucket.take(5_100, &quota, 1, 0), Ok(()));
        assert_eq!(bucket.take(5_100, &quota, 3, 0), Err(300));
        // After any pause it is a second's worth, no more.
        assert_eq!(bucket.take(u64::MAX / 2, &quota, 10, 0), Ok(()));
        assert_eq!(bucket.take(u64::MAX / 2, &quota, 1, 0), Err(100));
    }

    #[test]
    fn messages_and_bytes_both() {
        let quota = rates(100, 1_000);
        let mut bucket = Bucket::new(0);
        assert_eq!(bucket.take(0, &quota, 1, 900), Ok(()));
        assert_eq!(bucket.take(0, &quota, 1, 200), Err(100));
        // What was refused is not counted, neither as a message.
        assert_eq!(bucket.take(0, &quota, 99, 0), Ok(()));
        assert_eq!(bucket.take(0, &quota, 1, 0), Err(10));
        assert_eq!(bucket.take(100, &quota, 1, 200), Ok(()));
        // No limit, no waiting.
        let mut bucket = Bucket::new(0);
        for _ in 0..1_000 {
            assert_eq!(bucket.take(0, &rates(0, 0), u32::MAX, u64::MAX), Ok(()));
        }
    }

    #[test]
    fn larger_than_a_seconds_worth() {
        let quota = rates(0, 1_000);
        let mut bucket = Bucket::new(0);
        assert_eq!(bucket.take(0, &quota, 1, 1), Ok(()));
        assert_eq!(bucket.take(0, &quota, 1, 5_000), Err(1));
        assert_eq!(bucket.take(1, &quota, 1, 5_000), Ok(()));
        // It is paid for: the next byte waits until 4,001 of them are gone.
        assert_eq!(bucket.take(1, &quota, 1, 1), Err(4_001));
        assert_eq!(bucket.take(4_002, &quota, 1, 1), Ok(()));
        let mut bucket = Bucket::new(0);
        assert_eq!(bucket.take(0, &quota, u32::MAX, u64::MAX), Ok(()));
        assert_eq!(bucket.take(0, &quota, 0, 1), Err(u64::MAX - 999));
    }

    #[test]
    fn clocks_at_the_edge_and_backwards() {
        let quota = rates(1, u64::MAX);
        let mut bucket = Bucket::new(u64::MAX - 1);
        assert_eq!(bucket.take(u64::MAX - 1, &quota, 1, u64::MAX), Ok(()));
        assert_eq!(bucket.take(u64::MAX, &quota, 1, 0), Err(999));
        assert_eq!(bucket.take(0, &quota, 1, 0), Err(999));
        let mut bucket = Bucket::new(0);
        assert_eq!(bucket.take(0, &rates(u32::MAX, u64::MAX), u32::MAX, u64::MAX), Ok(()));
        assert_eq!(bucket.take(u64::MAX, &rates(u32::MAX, u64::MAX), u32::MAX, 1), Ok(()));
        // Going back neither gives nor takes.
        let mut bucket = Bucket::new(1_000);
        assert_eq!(bucket.take(500, &quota, 1, 0), Ok(()));
        assert_eq!(bucket.take(400, &quota, 1, 0), Err(1_000));
        assert_eq!(bucket.take(1_999, &quota, 1, 0), Err(1));
        assert_eq!(bucket.take(2_000, &quota, 1, 0), Ok(()));
    }

    /// Who waits as long as was said, gets in, and not a millisecond before; and the rate holds.
    #[test]
    fn what_was_said_is_so() {
        let mut random = 1_u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            (random >> 33) % below
        };
        for _ in 0..300 {
            let quota = rates(next(20) as u32, next(3_000));
            let (mut bucket, mut now) = (Bucket::new(0), 0);
            let (mut messages, mut bytes, mut largest) = (0_u64, 0_u64, 0_u64);
            for _ in 0..200 {
                now += next(400);
                let (m, b) = (next(3), next(2_000));
                if let Err(wait) = bucket.take(now, &quota, m as u32, b) {
                    assert!(wait > 0);
                    assert!(bucket.clone().take(now + wait - 1, &quota, m as u32, b).is_err());
                    now += wait;
                    assert_eq!(bucket.take(now, &quota, m as u32, b), Ok(()));
                }
                (messages, bytes, largest) = (messages + m, bytes + b, largest.max(b));
                let may = |rate: u64| rate + rate * now / 1_000;
                let rate = u64::from(quota.messages_per_s);
                assert!(rate == 0 || messages <= may(rate).max(2) + 2);
                let rate = quota.bytes_per_s;
                assert!(rate == 0 || bytes <= may(rate) + largest);
            }
        }
    }
}
