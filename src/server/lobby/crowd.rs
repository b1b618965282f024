//! Who is on the way in at one listener: how many at once, how many of one source, how many in a
//! second.
//!
//! Pure decisions, the clock is an argument. Invariants: there are never more than the limits say;
//! over the listener's limit the oldest goes, so that who does get on is not kept out by those who
//! do not, but everybody has [`GRACE`]; over a source's own limit it is the newcomer who goes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::super::socket::Peer;

/// How long every guest may stay, also where others wait to come: a crowd of honest clients gets in
/// one after the other, and drives nobody out.
const GRACE: Duration = Duration::from_millis(250);

/// A guest's number: a later one has a higher.
pub(super) type Number = u64;

/// The guests of one listener.
#[derive(Debug)]
pub(super) struct Crowd {
    last: Number,
    guests: BTreeMap<Number, Guest>,
    sources: BTreeMap<u128, usize>,
    max: usize,
    /// 0: no limit
    per_source_max: usize,
}

#[derive(Debug)]
struct Guest {
    since: Instant,
    source: Option<u128>,
    /// Tells it to go.
    go: oneshot::Sender<()>,
}

impl Crowd {
    pub(super) fn new(max: usize, per_source_max: usize) -> Self {
        let (guests, sources) = (BTreeMap::new(), BTreeMap::new());
        Self { last: 0, guests, sources, max: max.max(1), per_source_max }
    }

    /// How long whoever stands outside has to wait, if nobody comes in or goes until then.
    pub(super) fn full_for(&self, now: Instant) -> Option<Duration> {
        let (_, oldest) =
            self.guests.first_key_value().filter(|_| self.guests.len() >= self.max)?;
        let left = GRACE.saturating_sub(now.saturating_duration_since(oldest.since));
        Some(left).filter(|left| !left.is_zero())
    }

    /// One more, who is told to go through `go`. The oldest is, if it is too many now.
    pub(super) fn come(&mut self, now: Instant, go: oneshot::Sender<()>) -> Number {
        while self.guests.len() >= self.max
            && let Some((&oldest, _)) = self.guests.first_key_value()
        {
            self.leave(oldest, |guest| {
                let _ = guest.go.send(());
            });
        }
        self.last += 1;
        self.guests.insert(self.last, Guest { since: now, source: None, go });
        self.last
    }

    /// Now it is known where it comes from; false: there are as many from there as there may be.
    pub(super) fn from(&mut self, number: Number, source: u128) -> bool {
        let Some(guest) = self.guests.get_mut(&number) else { return true };
        let count = self.sources.entry(source).or_default();
        if self.per_source_max > 0 && *count >= self.per_source_max {
            return false;
        }
        *count += 1;
        guest.source = Some(source);
        true
    }

    /// It has come in, or gone.
    pub(super) fn gone(&mut self, number: Number) {
        self.leave(number, drop);
    }

    fn leave(&mut self, number: Number, last_words: impl FnOnce(Guest)) {
        let Some(guest) = self.guests.remove(&number) else { return };
        if let Some(source) = guest.source
            && let Some(count) = self.sources.get_mut(&source)
        {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
        last_words(guest);
    }
}

/// What counts as one source: an IPv4 address, a network of 64 bits in IPv6, a user of this
/// machine.
pub(super) fn source(peer: &Peer) -> u128 {
    match peer {
        Peer::Ip(address) => match address.ip().to_canonical() {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits() >> 64 << 64 | 1 << 32,
        },
        Peer::Unix { uid, .. } => u128::from(*uid) | 1 << 33,
    }
}

/// So many in a second, and at most a second's worth at once.
#[derive(Debug)]
pub(super) struct Rate {
    per_s: u64,
    /// in thousandths
    left: u64,
    at: Instant,
}

impl Rate {
    /// `per_s` 0: no limit.
    pub(super) fn new(per_s: u32, now: Instant) -> Self {
        let per_s = u64::from(per_s);
        Self { per_s, left: 1000 * per_s, at: now }
    }

    /// One more; false if it is too many.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let ms = now.saturating_duration_since(self.at).as_millis().min(1000) as u64;
        self.left = (self.left + ms * self.per_s).min(1000 * self.per_s);
        self.at = if ms < 1000 { self.at + Duration::from_millis(ms) } else { now };
        if self.per_s == 0 {
            return true;
        }
        let enough = self.left >= 1000;
        self.left -= if enough { 1000 } else { 0 };
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_the_limit_the_oldest_goes() {
        let mut crowd = Crowd::new(2, 0);
        let now = Instant::now();
        let mut told: Vec<_> = (0..4)
            .map(|_| {
                let (go, told) = oneshot::channel();
                (crowd.come(now, go), told)
            })
            .collect();
        let gone: Vec<bool> = told.iter_mut().map(|(_, told)| told.try_recv().is_ok()).collect();
        assert_eq!(gone, [true, true, false, false]);
        crowd.gone(told[2].0);
        crowd.gone(told[2].0); // once is enough
        assert_eq!(crowd.full_for(now), None);
        let (go, _told) = oneshot::channel();
        crowd.come(now, go);
        assert!(told[3].1.try_recv().is_err(), "there was room");
        assert_eq!(crowd.full_for(now + GRACE / 2), Some(GRACE - GRACE / 2));
        assert_eq!(crowd.full_for(now + GRACE), None, "whoever comes now drives the oldest out");
    }

    #[test]
    fn over_a_sources_limit_the_newcomer_goes() {
        let mut crowd = Crowd::new(100, 2);
        let come = |crowd: &mut Crowd, source| {
            let (go, _) = oneshot::channel();
            let number = crowd.come(Instant::now(), go);
            (number, crowd.from(number, source))
        };
        let (a, fits) = come(&mut crowd, 1);
        assert!(fits && come(&mut crowd, 1).1 && come(&mut crowd, 2).1);
        let (refused, fits) = come(&mut crowd, 1);
        assert!(!fits);
        crowd.gone(refused);
        assert!(!come(&mut crowd, 1).1, "who was refused gave nobody's place back");
        crowd.gone(a);
        assert!(come(&mut crowd, 1).1);
    }

    #[test]
    fn sources() {
        let of = |text: &str| source(&Peer::Ip(text.parse().unwrap()));
        assert_eq!(of("192.0.2.1:1"), of("192.0.2.1:2"));
        assert_eq!(of("192.0.2.1:1"), of("[::ffff:192.0.2.1]:2"));
        assert_ne!(of("192.0.2.1:1"), of("192.0.2.2:1"));
        assert_eq!(of("[2001:db8::1]:1"), of("[2001:db8::2]:1"));
        assert_ne!(of("[2001:db8::1]:1"), of("[2001:db8:0:1::1]:1"));
        assert_ne!(of("0.0.0.1:1"), source(&Peer::Unix { uid: 1, pid: 1 }));
    }

    #[test]
    fn so_many_in_a_second() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut rate = Rate::new(10, start);
        let mut taken = |ms| (0..100).filter(|_| rate.take(at(ms))).count();
        assert_eq!(taken(0), 10);
        assert_eq!(taken(50), 0);
        assert_eq!(taken(99), 0);
        assert_eq!(taken(100), 1);
        assert_eq!(taken(1050), 9);
        assert_eq!(taken(1100), 1, "what a hundred milliseconds leave over is not lost");
        assert_eq!(taken(60_000), 10, "no more than a second's worth");
        let mut open = Rate::new(0, start);
        assert!((0..1000).all(|_| open.take(start)));
    }
}
