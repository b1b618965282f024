//! What a recovery found wrong: said in numbers, sessions and messages, never passed over.
//!
//! May use: what is stored. Invariant: an empty [`Damage`] means that everything which was ever
//! known to be synced was there and whole.

use std::collections::BTreeMap;
use std::fmt;

use super::stored::Entry;

/// A part of the log that cannot be read although it was synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// where it begins: the segment
    pub segment: u32,
    /// and the offset there
    pub offset: u32,
    /// the first batch that is gone
    pub first_batch: u64,
    /// the last one that is known to be gone
    pub last_batch: u64,
}

/// What a session lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionLoss {
    /// its number
    pub session: u64,
    /// its Client Identifier, if that is still known
    pub client_id: Option<String>,
    /// how many messages that were queued for it or in flight are gone: at least
    pub messages: u64,
    /// the session itself is gone: nobody knows whose it was
    pub whole: bool,
}

impl fmt::Display for SessionLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, client_id, messages, whole } = self;
        let plural = if *messages == 1 { "" } else { "s" };
        match client_id {
            Some(id) => write!(f, "the session of {id:?} lost {messages} message{plural}"),
            None if *whole => {
                write!(f, "session {session} is lost, with {messages} message{plural}")
            }
            None => write!(f, "session {session} lost {messages} message{plural}"),
        }
    }
}

/// What was synced once and is not there any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// unreadable parts
    pub holes: Vec<Hole>,
    /// files that are not there
    pub missing_segments: Vec<u32>,
    /// segments whose header cannot be read
    pub bad_headers: Vec<u32>,
    /// who lost what
    pub sessions: Vec<SessionLoss>,
    /// topics whose retained message is gone
    pub retained: Vec<String>,
}

impl Damage {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All of it, a sentence each.
    pub fn lines(&self) -> Vec<String> {
        let missing = self.missing_segments.iter();
        let mut lines: Vec<_> = missing.map(|n| format!("segment {n} is missing")).collect();
        let headers = self.bad_headers.iter();
        lines.extend(headers.map(|n| format!("the header of segment {n} is unreadable")));
        let holes = self.holes.iter();
        lines.extend(holes.map(|&Hole { segment, offset, first_batch, last_batch }| {
            format!(
                "batches {first_batch} to {last_batch} are unreadable (segment {segment}, from \
                 byte {offset})"
            )
        }));
        lines.extend(self.sessions.iter().map(SessionLoss::to_string));
        let retained = self.retained.iter();
        lines.extend(retained.map(|topic| format!("the retained message of {topic:?} is lost")));
        lines
    }

    /// How many messages are known to be lost.
    pub fn messages(&self) -> u64 {
        self.sessions.iter().map(|loss| loss.messages).sum()
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&if self.is_empty() { "none".into() } else { self.lines().join("; ") })
    }
}

/// Orders among which entries are missing.
#[derive(Clone, Copy, Debug)]
struct Gap {
    from: u64,
    to: u64,
    missing: u64,
}

/// Counts, behind damage, which entries never turned up.
#[derive(Debug, Default)]
pub(super) struct Losses {
    gaps: BTreeMap<u64, Vec<Gap>>,
}

impl Losses {
    /// An entry turned up; before it, so many had been written, all with orders below `next_order`.
    pub(super) fn entry_met(
        &mut self,
        session: u64,
        entry: &Entry<'_>,
        written: Option<u64>,
        next_order: u64,
    ) {
        if entry.copied {
            // The cleaner had saved it.
            return self.entry_ended(session, entry.order);
        }
        let Some(missing) = written.and_then(|written| entry.nth.checked_sub(written + 1)) else {
            return;
        };
        if missing > 0 && next_order < entry.order {
            let missing = missing.min(entry.order - next_order);
            let gap = Gap { from: next_order, to: entry.order, missing };
            self.gaps.entry(session).or_default().push(gap);
        }
    }

    /// An entry that may be one of the missing ones needs no delivery any more.
    pub(super) fn entry_ended(&mut self, session: u64, order: u64) {
        let gaps = self.gaps.get_mut(&session).into_iter().flatten();
        for gap in gaps.filter(|gap| (gap.from..gap.to).contains(&order)) {
            gap.missing = gap.missing.saturating_sub(1);
        }
    }

    pub(super) fn session_ended(&mut self, session: u64) {
        self.gaps.remove(&session);
    }

    /// How many are missing, by session.
    pub(super) fn missing(&self) -> impl Iterator<Item = (u64, u64)> {
        let missing = |(session, gaps): (&u64, &Vec<Gap>)| {
            (*session, gaps.iter().map(|gap| gap.missing).sum::<u64>())
        };
        self.gaps.iter().map(missing).filter(|(_, missing)| *missing > 0)
    }
}
