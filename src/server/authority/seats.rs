//! Connections per user: counted where a quota bounds them.
//!
//! Invariant: a seat is given back by being dropped, on whatever way its connection ends. A client
//! that comes again under its Client Identifier takes no second seat: it takes its session over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who sits where: by whom it counts, Client Identifiers and how often each is there.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    taken: Mutex<BTreeMap<String, BTreeMap<String, u32>>>,
}

/// One connection's.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    /// whose, and under which Client Identifier
    name: (String, String),
}

impl Seats {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeMap<String, u32>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat among the `max` of `whose`; `None`: all are taken.
    pub(crate) fn take(self: &Arc<Self>, whose: &str, client_id: &str, max: usize) -> Option<Seat> {
        let mut taken = self.lock();
        let own = taken.entry(whose.to_owned()).or_default();
        if !own.contains_key(client_id) && own.len() >= max {
            if own.is_empty() {
                taken.remove(whose);
            }
            return None;
        }
        *own.entry(client_id.to_owned()).or_default() += 1;
        drop(taken);
        let name = (whose.to_owned(), client_id.to_owned());
        Some(Seat { seats: Arc::clone(self), name })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let (whose, client_id) = &self.name;
        let mut taken = self.seats.lock();
        let Some(own) = taken.get_mut(whose) else { return };
        if let Some(count) = own.get_mut(client_id) {
            *count -= 1;
            if *count == 0 {
                own.remove(client_id);
            }
        }
        if own.is_empty() {
            taken.remove(whose);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_come_back_and_a_takeover_needs_none() {
        let seats = Arc::new(Seats::default());
        let a = seats.take("u", "a", 2).unwrap();
        let b = seats.take("u", "b", 2).unwrap();
        assert!(seats.take("u", "c", 2).is_none());
        assert!(seats.take("other", "c", 2).is_some());
        let again = seats.take("u", "a", 2);
        assert!(again.is_some(), "it takes its session over");
        drop(a);
        assert!(seats.take("u", "c", 2).is_none(), "a is still there once");
        drop(again);
        assert!(seats.take("u", "c", 2).is_some());
        drop(b);
        assert!(seats.take("u", "x", 0).is_none());
        assert!(seats.lock().is_empty());
    }
}
