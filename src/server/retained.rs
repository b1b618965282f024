//! The retained messages that all shards share, behind a lock.
//!
//! Invariant: the lock is held for one set, or one bounded read, and never across anything that
//! waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::broker::{
    Message, Replaced, RetainedCursor, RetainedFull, RetainedPage, RetainedStore, RetainedTree,
    RetainedUsage, Time,
};
use crate::topic::{TopicFilter, TopicName};

/// One shard's handle to the tree.
#[derive(Clone)]
pub(crate) struct SharedRetained(Arc<Mutex<RetainedTree>>);

impl SharedRetained {
    pub(crate) fn new(count_max: usize, bytes_max: usize) -> Self {
        Self(Arc::new(Mutex::new(RetainedTree::new(count_max, bytes_max))))
    }

    fn tree(&self) -> MutexGuard<'_, RetainedTree> {
        // A panic ends the process, so the lock is never poisoned where that matters.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SharedRetained {
    /// Puts back what was retained before a restart. Versions go on above `highest`.
    pub(crate) fn restore(&self, messages: Vec<(u64, Message)>, highest: u64) {
        let mut tree = self.tree();
        for (version, message) in &messages {
            tree.restore(*version, message);
        }
        tree.start_versions_above(highest);
    }
}

impl RetainedStore for SharedRetained {
    fn set_within(
        &mut self,
        message: &Message,
        own_max: usize,
        now: Time,
    ) -> Result<Replaced, RetainedFull> {
        self.tree().set_within(message, own_max, now)
    }

    fn clear(&mut self, topic: TopicName<'_>) -> Replaced {
        self.tree().clear(topic)
    }

    fn read(
        &mut self,
        filter: TopicFilter<'_>,
        cursor: &mut RetainedCursor,
        page: RetainedPage,
        now: Time,
        out: &mut Vec<Message>,
    ) -> bool {
        self.tree().read(filter, cursor, page, now, out)
    }

    fn expire(&mut self, now: Time, visit_max: usize) -> Vec<(u64, Message)> {
        self.tree().expire(now, visit_max)
    }

    fn usage(&self) -> RetainedUsage {
        self.tree().usage()
    }
}
