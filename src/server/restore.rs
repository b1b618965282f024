//! How a shard begins: with the sessions that the log knew; and how it has more read back.
//!
//! Invariant: nobody is let in before every shard has its sessions, and all shards know what all
//! of those want.

use std::sync::mpsc;

use slab::Slab;

use super::authority::Asked;
use super::connection::Connection;
use super::shard::{Shard, ShardParts};
use super::storage::LoadJob;
use crate::broker::{Input, Loss, Request, RestoredSession};
use crate::store::Store;

/// What a shard begins with.
pub(crate) struct Restore {
    /// sessions of before the start, in the order of their numbers
    pub(crate) sessions: Vec<RestoredSession>,
    /// is told once they are there, and in force on all shards
    pub(crate) done: Option<mpsc::Sender<()>>,
}

impl<S> ShardParts<S> {
    /// Passes a question of the broker's on to who knows.
    pub(super) fn ask(&self, request: Request, connections: &Slab<Connection>) {
        match request {
            Request::Load { session, number, from_order, count, bytes_max } => {
                let shard = self.shard;
                let job = LoadJob { shard, session, number, from_order, count, bytes_max };
                // The reader ends after the shards.
                _ = self.jobs.as_ref().map(|jobs| jobs.send(job));
            }
            Request::Ask { link, question } => {
                let Some(c) = connections.get(link.index()).filter(|c| c.link == link) else {
                    return;
                };
                let (shard, identity) = (self.shard, self.broker.identity_of(link));
                let (client_id, peer) = (c.about.client_id.clone(), c.about.peer);
                let asked = Asked { shard, link, question, identity, client_id, peer };
                // Who answers ends after the shards.
                let _ = self.asks.send(asked);
            }
        }
    }
}

/// One line for a session that lost messages.
pub(super) fn tell_loss(loss: &Loss) {
    let Loss { client_id, within_ms, queue_full, expired, too_large, unreadable } = loss;
    let client_id = client_id.as_deref().unwrap_or("(further sessions)");
    if queue_full + too_large + unreadable > 0 {
        tracing::warn!(
            client_id,
            queue_full,
            expired,
            too_large,
            unreadable,
            within_ms,
            "QoS 1 and 2 messages were dropped"
        );
    } else {
        tracing::info!(client_id, expired, within_ms, "QoS 1 and 2 messages expired");
    }
}

impl<S: Store> Shard<S> {
    /// Brings sessions of before the start back. The doors open when all shards have theirs.
    pub(super) fn restore(&mut self, sessions: Vec<RestoredSession>) {
        self.now = self.clock();
        for session in sessions {
            let Self { parts, fx, now, .. } = self;
            parts.broker.restore(*now, session, &mut parts.common, fx);
            self.commit(); // so that lists stay short
        }
        self.tell_restored();
    }

    pub(super) fn tell_restored(&mut self) {
        if self.parts.broker.is_in_force()
            && let Some(done) = self.parts.restore.done.take()
        {
            let _ = done.send(());
        }
    }

    /// All shards have theirs: clients may come.
    pub(super) fn begin(&mut self) {
        self.handle(Input::Restored);
        self.open_doors();
    }
}
