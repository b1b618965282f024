//! Hashes of passwords, on threads that may compute for long.
//!
//! Invariants: at most so many run at a time, with so much memory together; who waits has a place
//! in a bounded queue and gets its turn in order; a hash that runs keeps its place until it ends,
//! also when nobody waits for it any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::server::hook::Waits;

/// Callers that wait for a hash.
pub(super) const WAITING_MAX: usize = 1024;

/// The unit that memory is counted in: a semaphore's permits are 32 bits.
const UNIT_BYTES: usize = 1024;

/// The places.
#[derive(Debug)]
pub(super) struct Hashing {
    slots: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    memory_units_max: u32,
    waiting: AtomicUsize,
    waiting_max: usize,
    /// bytes that hashes under way may use
    in_use: Arc<AtomicU64>,
}

/// Why a hash is not computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotHashed {
    /// too many wait
    Full,
    /// it alone needs more memory than all may
    TooLarge,
    /// the process ends
    Over,
}

impl Hashing {
    /// `concurrent_max` hashes at a time, with `memory_bytes_max` together.
    pub(super) fn new(concurrent_max: usize, memory_bytes_max: usize, waiting_max: usize) -> Self {
        let units = u32::try_from(memory_bytes_max / UNIT_BYTES).unwrap_or(u32::MAX);
        let units = units.min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        Self {
            slots: Arc::new(Semaphore::new(concurrent_max.max(1))),
            memory: Arc::new(Semaphore::new(units as usize)),
            memory_units_max: units,
            waiting: AtomicUsize::new(0),
            waiting_max,
            in_use: Arc::default(),
        }
    }

    /// Runs `job`, which needs `memory_bytes`, when its turn has come.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        memory_bytes: usize,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotHashed> {
        let units = u32::try_from(memory_bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        if units > self.memory_units_max {
            return Err(NotHashed::TooLarge);
        }
        let place = self.place(units).await?;
        let in_use = InUse::begin(&self.in_use, memory_bytes);
        let job = move || {
            let done = job();
            drop(in_use); // before the place: whoever gets that would be counted beside it
            drop(place);
            done
        };
        tokio::task::spawn_blocking(job).await.map_err(|_| NotHashed::Over)
    }

    async fn place(
        &self,
        units: u32,
    ) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), NotHashed> {
        let _waits = Waits::begin(&self.waiting, self.waiting_max).ok_or(NotHashed::Full)?;
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.map_err(|_| NotHashed::Over)?;
        let memory = Arc::clone(&self.memory).acquire_many_owned(units).await;
        Ok((slot, memory.map_err(|_| NotHashed::Over)?))
    }

    /// Bytes that hashes under way use.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.in_use.load(Relaxed)
    }
}

/// Bytes counted as long as they are used.
struct InUse(Arc<AtomicU64>, u64);

impl InUse {
    fn begin(in_use: &Arc<AtomicU64>, bytes: usize) -> Self {
        in_use.fetch_add(bytes as u64, Relaxed);
        Self(Arc::clone(in_use), bytes as u64)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    /// Jobs say when they begin and wait for a word to end: never more than two run, never more
    /// than the memory, and in their order.
    #[test]
    fn places_are_bounded_and_in_order() {
        let hashing = Arc::new(Hashing::new(2, 10 << 10, 3));
        let (begun, begins) = mpsc::channel();
        let begins = Arc::new(std::sync::Mutex::new(begins));
        let next = || {
            let begins = Arc::clone(&begins);
            async move {
                let wait = move || begins.lock().unwrap().recv().unwrap();
                tokio::task::spawn_blocking(wait).await.unwrap()
            }
        };
        runtime().block_on(async {
            assert_eq!(hashing.run(11 << 10, || ()).await, Err(NotHashed::TooLarge));
            let mut ends = Vec::new();
            let mut tasks = Vec::new();
            // Units: 6 and 4 fit together; the third has to wait for memory, the fourth for it.
            for (n, kib) in [(0, 6), (1, 4), (2, 6), (3, 1)] {
                let (end, ended) = mpsc::channel::<()>();
                let (hashing, begun) = (Arc::clone(&hashing), begun.clone());
                ends.push(end);
                tasks.push(tokio::spawn(async move {
                    let job = move || {
                        begun.send(n).unwrap();
                        let _ = ended.recv();
                        n
                    };
                    hashing.run(kib << 10, job).await
                }));
                tokio::task::yield_now().await; // it takes its place in the queue
            }
            let mut first = [next().await, next().await];
            first.sort_unstable();
            assert_eq!(first, [0, 1]);
            assert_eq!(hashing.memory_bytes(), 10 << 10);
            assert_eq!(hashing.waiting.load(Relaxed), 2);
            // The queue takes one more, and no other.
            let more = {
                let hashing = Arc::clone(&hashing);
                tokio::spawn(async move { hashing.run(1, || 9).await })
            };
            tokio::task::yield_now().await;
            assert_eq!(hashing.run(1, || 9).await, Err(NotHashed::Full));
            ends.remove(1); // 1 ends: a slot, but not the memory for 2, and 3 does not overtake it
            assert_eq!(tasks.remove(1).await.unwrap(), Ok(1));
            tokio::task::yield_now().await;
            assert!(begins.lock().unwrap().try_recv().is_err(), "2 waits for memory");
            ends.remove(0);
            assert_eq!(tasks.remove(0).await.unwrap(), Ok(0));
            let mut then = [next().await, next().await];
            then.sort_unstable();
            assert_eq!(then, [2, 3]);
            drop(ends);
            for (task, n) in tasks.into_iter().zip([2, 3]) {
                assert_eq!(task.await.unwrap(), Ok(n));
            }
            assert_eq!(more.await.unwrap(), Ok(9));
            assert_eq!((hashing.memory_bytes(), hashing.waiting.load(Relaxed)), (0, 0));
        });
    }

    /// Who goes away while its hash runs gives nothing back that is still used.
    #[test]
    fn a_hash_keeps_its_place_when_nobody_waits_for_it() {
        let hashing = Arc::new(Hashing::new(1, 10 << 10, 3));
        let (end, ended) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        runtime().block_on(async {
            let one = {
                let hashing = Arc::clone(&hashing);
                tokio::spawn(async move {
                    let job = move || {
                        begun.send(()).unwrap();
                        let _ = ended.recv();
                    };
                    hashing.run(1024, job).await
                })
            };
            tokio::task::spawn_blocking(move || begins.recv().unwrap()).await.unwrap();
            one.abort();
            assert!(one.await.is_err());
            assert_eq!(hashing.slots.available_permits(), 0);
            assert_eq!(hashing.memory_bytes(), 1024);
            drop(end);
            assert_eq!(hashing.run(1024, || 5).await, Ok(5));
            assert_eq!(hashing.memory_bytes(), 0);
        });
    }
}
