//! What the log would know: a fold of the records, which fails on one that makes no sense there.

use std::collections::{BTreeMap, BTreeSet};

use stonechat::broker::Record;

/// What the log knows of one session.
#[derive(Debug, Default)]
struct Kept {
    filters: BTreeSet<String>,
    /// Packet Identifiers in flight, and whether they were released
    in_flight: BTreeMap<u16, bool>,
    inbound: BTreeSet<u16>,
    will: bool,
}

/// The fold of one shard's records.
#[derive(Debug, Default)]
pub(crate) struct Log {
    sessions: BTreeMap<String, Kept>,
}

impl Log {
    /// The sessions that a restart would bring back.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = &str> {
        self.sessions.keys().map(String::as_str)
    }

    /// Takes the next record.
    pub(crate) fn add(&mut self, record: &Record) -> Result<(), String> {
        let bad = |what: &str| Err(format!("the log: {what}: {record:?}"));
        let client_id = match record {
            Record::Session { client_id, .. } => {
                self.sessions.entry(client_id.to_string()).or_default();
                return Ok(());
            }
            Record::SessionEnd { client_id } => {
                return match self.sessions.remove(&**client_id) {
                    None => bad("the end of a session that it does not know"),
                    Some(_) => Ok(()),
                };
            }
            Record::Retained { .. } => return Ok(()),
            Record::Disconnected { client_id, .. }
            | Record::Will { client_id, .. }
            | Record::Subscribed { client_id, .. }
            | Record::Unsubscribed { client_id, .. }
            | Record::Queued { client_id, .. }
            | Record::InFlight { client_id, .. }
            | Record::Released { client_id, .. }
            | Record::Acknowledged { client_id, .. }
            | Record::Dropped { client_id, .. }
            | Record::Inbound { client_id, .. }
            | Record::InboundEnd { client_id, .. } => client_id,
        };
        let Some(kept) = self.sessions.get_mut(&**client_id) else {
            return bad("of a session that it does not know");
        };
        let sensible = match record {
            Record::Will { will, .. } => {
                std::mem::replace(&mut kept.will, will.is_some()) || will.is_some()
            }
            Record::Subscribed { filter, .. } => {
                kept.filters.insert(filter.to_string());
                true
            }
            Record::Unsubscribed { filter, .. } => kept.filters.remove(&**filter),
            Record::InFlight { packet_id, .. } => {
                kept.in_flight.insert(packet_id.get(), false).is_none()
            }
            Record::Released { packet_id, .. } => {
                kept.in_flight.insert(packet_id.get(), true) == Some(false)
            }
            Record::Acknowledged { packet_id, .. } => {
                kept.in_flight.remove(&packet_id.get()).is_some()
            }
            Record::Inbound { packet_id, .. } => kept.inbound.insert(packet_id.get()),
            Record::InboundEnd { packet_id, .. } => kept.inbound.remove(&packet_id.get()),
            _ => true,
        };
        if sensible { Ok(()) } else { bad("out of turn") }
    }
}
