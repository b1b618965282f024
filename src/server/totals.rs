//! What all threads count together: connections, and the bytes of packets that are not whole yet.
//!
//! Invariant: whoever takes a place gives it back by being dropped, on whatever way it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::authority::seats::Seat;

/// Counts of the whole process.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    connections: AtomicUsize,
    ended_connections: AtomicU64,
    half_received_bytes: AtomicUsize,
    /// Connections closed right after accept, at a limit.
    pub(crate) refused_connections: AtomicU64,
    /// Connections that did not send a valid CONNECT in time.
    pub(crate) failed_connects: AtomicU64,
    /// Those of them that ended in PROXY header, TLS handshake or WebSocket upgrade.
    pub(crate) failed_handshakes: AtomicU64,
    /// Those that had to go for others, at a listener's `handshakes_max`.
    pub(crate) evicted_guests: AtomicU64,
    /// Connections refused at a listener's `handshakes_per_source_max`.
    pub(crate) refused_handshakes: AtomicU64,
    /// Connections refused at a listener's `connections_per_s_max`.
    pub(crate) refused_rate: AtomicU64,
    /// Connections from where a listener hears nobody.
    pub(crate) refused_sources: AtomicU64,
    /// Connections ended at `server.half_received_bytes_max`.
    pub(crate) half_received_refused: AtomicU64,
}

impl Totals {
    /// Open connections, those that have not sent CONNECT yet among them.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// Connections that have come and gone.
    pub(crate) fn ended_connections(&self) -> u64 {
        self.ended_connections.load(Relaxed)
    }

    /// Bytes of packets that are not whole yet.
    pub(crate) fn half_received_bytes(&self) -> usize {
        self.half_received_bytes.load(Relaxed)
    }
}

/// A connection's place among `server.connections_max` and its listener's own limit.
#[derive(Debug)]
pub(crate) struct Place {
    totals: Arc<Totals>,
    listener: Option<Arc<AtomicUsize>>,
    /// among its user's connections
    seat: Option<Box<Seat>>,
}

impl Place {
    /// Takes a place; `None` when a limit is reached. `listener` counts the listener's own, of
    /// which there may be `listener_max` (0: no limit of its own).
    pub(crate) fn take(
        totals: &Arc<Totals>,
        max: usize,
        listener: &Arc<AtomicUsize>,
        listener_max: usize,
    ) -> Option<Self> {
        if totals.connections.fetch_add(1, Relaxed) >= max {
            totals.connections.fetch_sub(1, Relaxed);
            totals.refused_connections.fetch_add(1, Relaxed);
            return None;
        }
        let mut place = Self { totals: Arc::clone(totals), listener: None, seat: None };
        if listener_max > 0 {
            let before = listener.fetch_add(1, Relaxed);
            place.listener = Some(Arc::clone(listener));
            if before >= listener_max {
                totals.refused_connections.fetch_add(1, Relaxed);
                return None; // dropping gives both back
            }
        }
        Some(place)
    }

    /// The connection also counts among its user's, until it ends.
    pub(crate) fn sit(&mut self, seat: Option<Seat>) {
        self.seat = seat.map(Box::new);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.totals.connections.fetch_sub(1, Relaxed);
        self.totals.ended_connections.fetch_add(1, Relaxed);
        if let Some(listener) = &self.listener {
            listener.fetch_sub(1, Relaxed);
        }
    }
}

/// Bytes of one connection's incomplete packet.
#[derive(Debug)]
pub(crate) struct HalfReceived {
    totals: Arc<Totals>,
    bytes: usize,
}

impl HalfReceived {
    pub(crate) fn new(totals: &Arc<Totals>) -> Self {
        Self { totals: Arc::clone(totals), bytes: 0 }
    }

    /// Now it is `bytes`; false if all together are more than `max`.
    pub(crate) fn set(&mut self, bytes: usize, max: usize) -> bool {
        if bytes == self.bytes {
            return true;
        }
        let total = &self.totals.half_received_bytes;
        let all = if bytes > self.bytes {
            total.fetch_add(bytes - self.bytes, Relaxed) + (bytes - self.bytes)
        } else {
            total.fetch_sub(self.bytes - bytes, Relaxed) - (self.bytes - bytes)
        };
        let grew = bytes > self.bytes;
        self.bytes = bytes;
        if grew && all > max {
            self.totals.half_received_refused.fetch_add(1, Relaxed);
            return false;
        }
        true
    }
}

impl Drop for HalfReceived {
    fn drop(&mut self) {
        self.totals.half_received_bytes.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let totals = Arc::new(Totals::default());
        let own = Arc::new(AtomicUsize::new(0));
        let a = Place::take(&totals, 2, &own, 1);
        assert!(a.is_some());
        assert!(Place::take(&totals, 2, &own, 1).is_none());
        assert_eq!((totals.connections(), own.load(Relaxed)), (1, 1));
        drop(a);
        assert_eq!((totals.connections(), own.load(Relaxed)), (0, 0));
        assert_eq!(totals.ended_connections(), 2, "the one that its listener refused, too");
        assert!(Place::take(&totals, 0, &own, 0).is_none());
        assert_eq!(totals.refused_connections.load(Relaxed), 2);
    }

    #[test]
    fn half_received_bytes_are_bounded_together() {
        let totals = Arc::new(Totals::default());
        let (mut a, mut b) = (HalfReceived::new(&totals), HalfReceived::new(&totals));
        assert!(a.set(60, 100) && a.set(50, 100) && b.set(50, 100));
        assert!(!b.set(51, 100));
        drop(b);
        assert_eq!(totals.half_received_bytes(), 50);
        drop(a);
        assert_eq!(totals.half_received_bytes(), 0);
    }

    /// Many threads come and go: never more than the limits, and in the end nothing is left.
    #[test]
    fn places_hold_across_threads() {
        const MAX: usize = 5;
        const OWN: usize = 3;
        let totals = Arc::new(Totals::default());
        let listener = Arc::new(AtomicUsize::new(0));
        let (inside, inside_own) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let refused: u64 = std::thread::scope(|scope| {
            let threads = (0..4).map(|t| {
                let (totals, listener) = (&totals, &listener);
                let (inside, inside_own) = (&inside, &inside_own);
                scope.spawn(move || {
                    let (mut refused, mut held) = (0, Vec::new());
                    for n in 0..20_000 {
                        let own = if (n + t) % 2 == 0 { OWN } else { 0 };
                        match Place::take(totals, MAX, listener, own) {
                            None => refused += 1,
                            Some(place) => {
                                assert!(inside.fetch_add(1, Relaxed) < MAX);
                                let is_own = own > 0;
                                assert!(!is_own || inside_own.fetch_add(1, Relaxed) < OWN);
                                held.push((place, is_own));
                            }
                        }
                        if held.len() > n % 3 {
                            let (place, is_own) = held.swap_remove(n % held.len());
                            inside.fetch_sub(1, Relaxed);
                            inside_own.fetch_sub(usize::from(is_own), Relaxed);
                            drop(place);
                        }
                    }
                    for (_, is_own) in &held {
                        inside.fetch_sub(1, Relaxed);
                        inside_own.fetch_sub(usize::from(*is_own), Relaxed);
                    }
                    refused
                })
            });
            let threads: Vec<_> = threads.collect();
            threads.into_iter().map(|t| t.join().unwrap_or(u64::MAX)).sum()
        });
        assert_eq!(totals.refused_connections.load(Relaxed), refused);
        assert_eq!((totals.connections(), listener.load(Relaxed)), (0, 0));
        // A refusal leaves nothing behind either: all places are there.
        let all: Vec<_> = (0..MAX).map(|_| Place::take(&totals, MAX, &listener, 0)).collect();
        assert!(all.iter().all(Option::is_some));
    }

    /// Bytes are counted from many threads, and none is left when all is dropped.
    #[test]
    fn half_received_bytes_hold_across_threads() {
        const MAX: usize = 10_000;
        let totals = Arc::new(Totals::default());
        let refused: u64 = std::thread::scope(|scope| {
            let threads = (0..4).map(|t: usize| {
                let totals = &totals;
                scope.spawn(move || {
                    let (mut refused, mut one) = (0, HalfReceived::new(totals));
                    for n in 0..50_000_usize {
                        let bytes = (n * 7919 + t * 104_729) % 4000;
                        let shrinks = bytes <= one.bytes;
                        if !one.set(bytes, MAX) {
                            assert!(!shrinks, "giving back is never refused");
                            refused += 1;
                            one = HalfReceived::new(totals); // its connection ends
                        }
                        assert!(totals.half_received_bytes() <= MAX + 4 * 4000);
                    }
                    refused
                })
            });
            let threads: Vec<_> = threads.collect();
            threads.into_iter().map(|t| t.join().unwrap_or(u64::MAX)).sum()
        });
        assert_eq!(totals.half_received_refused.load(Relaxed), refused);
        assert_eq!(totals.half_received_bytes(), 0);
    }
}
