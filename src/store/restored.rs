//! What the log found, as brokers take it: sessions, and answers to their requests.
//!
//! May use: the reader, the broker's types. Invariant: what is handed out is what was read; nothing
//! is changed here.

use std::io;

use super::disk::Disk;
use super::read::{Loaded, Reader};
use super::record::SessionNumber;
use super::recover::RecoveredSession;
use super::state::Shared;
use crate::broker::{
    LoadedEntries, RestoredDelivery, RestoredEntry, RestoredSession, RestoredTail,
};

/// How many bytes of messages are read at a time while sessions are restored.
const RESTORE_BYTES: usize = 1 << 20;

fn entry_of(loaded: Loaded) -> RestoredEntry {
    let Loaded { order, message, qos, retain, subscription_ids, group, .. } = loaded;
    RestoredEntry { order, message, qos, retain, subscription_ids, group }
}

impl<D: Disk, S: Shared<D::File>> Reader<D, S> {
    /// A session with the messages that were under way; what waits stays on the log.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn restored(&mut self, from: RecoveredSession) -> io::Result<RestoredSession> {
        let tail = from.first_order.map(|first_order| RestoredTail {
            first_order,
            count: from.queued,
            bytes: from.queued_bytes,
        });
        let mut session = RestoredSession {
            number: from.number,
            client_id: from.client_id,
            owner: from.owner,
            expiry_s: from.expiry_s,
            offline_ms: from.offline_ms,
            was_connected: from.was_connected,
            subscriptions: from.subscriptions,
            will: from.will,
            inbound: from.inbound,
            in_flight: Vec::with_capacity(from.in_flight.len()),
            queued: Vec::new(),
            tail,
            last_order: from.next_order.saturating_sub(1),
        };
        let mut messages = Vec::new().into_iter().peekable();
        for delivery in from.in_flight {
            let (id, order) = (delivery.packet_id, delivery.order);
            if delivery.released {
                session.in_flight.push(RestoredDelivery::Release(id, order));
                continue;
            }
            while messages.next_if(|m: &Loaded| m.order < order).is_some() {}
            if messages.peek().is_none_or(|m| m.order > order) {
                let loaded = self.load(session.number, order, usize::MAX, RESTORE_BYTES)?;
                messages = loaded.entries.into_iter().peekable();
            }
            if let Some(message) = messages.next_if(|m| m.order == order) {
                session.in_flight.push(RestoredDelivery::Publish(id, entry_of(message)));
            }
        }
        Ok(session)
    }

    /// The answer to a broker's request (`Request::Load`); see [`Reader::load`].
    ///
    /// # Errors
    /// If the disk fails.
    pub fn answer(
        &mut self,
        number: SessionNumber,
        from_order: u64,
        count: usize,
        bytes_max: usize,
    ) -> io::Result<LoadedEntries> {
        let loaded = self.load(number, from_order, count, bytes_max)?;
        Ok(LoadedEntries {
            number,
            from_order,
            entries: loaded.entries.into_iter().map(entry_of).collect(),
            unreadable: loaded.unreadable,
            next_order: loaded.next_order,
        })
    }
}
