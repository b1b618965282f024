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

    /// How many messages are known to be lost.
    pub fn messages(&self) -> u64 {
        self.sessions.iter().map(|loss| loss.messages).sum()
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut item = |f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>| {
            let result = write!(f, "{separator}{text}");
            separator = "; ";
            result
        };
        for segment in &self.missing_segments {
            item(f, format_args!("segment {segment} is missing"))?;
        }
        for segment in &self.bad_headers {
            item(f, format_args!("the header of segment {segment} is unreadable"))?;
        }
        for Hole { segment, offset, first_batch, last_batch } in &self.holes {
            item(
                f,
                format_args!(
                    "batches {first_batch} to {last_batch} are unreadable (segment {segment}, \
                     from byte {offset})"
                ),
            )?;
        }
        for loss in &self.sessions {
            let SessionLoss { session, client_id, messages, whole } = loss;
            match client_id {
                Some(id) => item(f, format_args!("the session of {id:?} lost {messages} messages")),
                None if *whole => item(f, format_args!("session {session} is lost")),
                None => item(f, format_args!("session {session} lost {messages} messages")),
            }?;
        }
        for topic in &self.retained {
            item(f, format_args!("the retained message of {topic:?} is lost"))?;
        }
        if self.is_empty() { f.write_str("none") } else { Ok(()) }
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
