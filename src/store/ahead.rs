//! What is written ahead of older records when the disk is full, and what may not be.
//!
//! May use: records, hashbrown. Invariant: nothing goes ahead of a record that it depends on, in
//! its own session or in another: a crash right behind it loses nothing that was acknowledged.

use foldhash::fast::FixedState;
use hashbrown::HashSet;

use super::record::{DropReason, Record};
use super::staging::Staged;
use crate::broker::Message;

type Set<T> = HashSet<T, FixedState>;

fn set<T>() -> Set<T> {
    Set::with_hasher(FixedState::with_seed(0))
}

/// What records depend on: those before them that wait for room.
#[derive(Debug)]
struct Waiting<'a> {
    sessions: Set<u64>,
    entries: Set<(u64, u64)>,
    /// a message of a shared group: perhaps of a session that ends
    shared: bool,
    /// a message: perhaps a Will
    messages: bool,
    /// a seal: at QoS 2 nothing goes into flight before its own
    seals: bool,
    /// A topic is not cleared before what is still to be set there, whichever came first: when that
    /// is written at last, the log may have forgotten the newer version.
    topics: Set<&'a [u8]>,
    /// Entries whose end is among the records. They are of QoS 1, or they would not have been sent:
    /// no seal concerns them.
    ended: Set<(u64, u64)>,
}

impl<'a> Waiting<'a> {
    /// Before any record was looked at. `to_be_set`: see `messages_to_be_set`.
    fn new(records: &[Staged], to_be_set: &'a [Message]) -> Self {
        let (mut topics, mut ended) = (set(), set());
        topics.extend(to_be_set.iter().map(Message::topic_bytes));
        ended.extend(records.iter().filter_map(|staged| match staged.record.as_ref()? {
            Record::Acknowledged { session, order } => Some((session.0, *order)),
            _ => None,
        }));
        let (sessions, entries) = (set(), set());
        Self { sessions, entries, shared: false, messages: false, seals: false, topics, ended }
    }

    /// Whether it may go ahead of everything that was found to wait.
    fn lets(&self, record: &Record) -> bool {
        let session = record.session().map(|session| session.0);
        let entry = record.entry().map(|(session, order)| (session.0, order));
        let known = session.is_none_or(|session| !self.sessions.contains(&session));
        let entry_known = entry.is_none_or(|entry| !self.entries.contains(&entry));
        record.frees()
            && match record {
                Record::Retained { message, .. } => !self.topics.contains(message.topic_bytes()),
                // Its shared messages are with others, once that is written.
                Record::SessionEnd { .. } => known && !self.shared,
                Record::Dropped { why: DropReason::Rerouted, .. } => {
                    known && entry_known && !self.shared
                }
                // It was published.
                Record::Will { .. } => known && !self.messages,
                Record::InFlight { .. } => {
                    let sent = entry.is_some_and(|entry| self.ended.contains(&entry));
                    entry_known && (sent || !self.seals)
                }
                // Its entry is in the log, or waits here: then it is known.
                _ if entry.is_some() => entry_known,
                _ => known,
            }
    }

    /// It waits, and what depends on it.
    fn add(&mut self, record: &Record) {
        self.sessions.extend(record.session().map(|session| session.0));
        self.entries.extend(record.entry().map(|(session, order)| (session.0, order)));
        self.shared |= matches!(record, Record::Queued { group: Some(_), .. });
        self.messages |= record.queued().is_some() || matches!(record, Record::Retained { .. });
        self.seals |= matches!(record, Record::Inbound { seals: Some(_), .. });
    }
}

fn to_be_set(staged: &Staged) -> Option<Message> {
    match staged.record.as_ref()? {
        Record::Retained { message, .. } if !message.payload().is_empty() => Some(message.clone()),
        _ => None,
    }
}

/// Parts what may be written ahead from what has to wait; both keep their order. Void records are
/// left out.
pub(super) fn part(records: Vec<Staged>) -> (Vec<Staged>, Vec<Staged>) {
    let messages: Vec<Message> = records.iter().filter_map(to_be_set).collect();
    let mut waiting = Waiting::new(&records, &messages);
    let (mut goes, mut waits) = (Vec::new(), Vec::new());
    for staged in records {
        let Some(record) = staged.record.as_ref() else { continue };
        if waiting.lets(record) {
            goes.push(staged);
        } else {
            waiting.add(record);
            waits.push(staged);
        }
    }
    (goes, waits)
}
