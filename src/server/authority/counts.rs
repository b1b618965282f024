//! How often who was let in or not, for `$SYS`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::server::hook::HookCounts;

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// let in
    pub(crate) admitted: AtomicU64,
    /// a wrong user name, password, token or proof
    pub(crate) wrong: AtomicU64,
    /// everybody else who was refused
    pub(crate) refused: AtomicU64,
    /// attempts that had to wait for wrong ones before them
    pub(crate) delayed: AtomicU64,
    /// refused: too many wait for a hash
    pub(crate) hash_queue_full: AtomicU64,
    /// refused: the user's connections are all in use
    pub(crate) connections_max: AtomicU64,
    pub(crate) hook: Arc<HookCounts>,
}

impl Counts {
    /// For `$SYS/broker/…`: topic and value.
    pub(crate) fn topics(&self) -> [(&'static str, u64); 10] {
        let load = |count: &AtomicU64| count.load(Relaxed);
        [
            ("auth/admitted", load(&self.admitted)),
            ("auth/wrong", load(&self.wrong)),
            ("auth/refused", load(&self.refused)),
            ("auth/hook/asked", load(&self.hook.asked)),
            ("auth/hook/from cache", load(&self.hook.from_cache)),
            ("auth/hook/failed", load(&self.hook.failed)),
            ("limits/wrong_password_delay/delayed", load(&self.delayed)),
            ("limits/hashes_concurrent_max/refused", load(&self.hash_queue_full)),
            ("limits/hook_concurrent_max/refused", load(&self.hook.busy)),
            ("limits/quota_connections_max", load(&self.connections_max)),
        ]
    }
}
