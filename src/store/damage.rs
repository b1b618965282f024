//! What a recovery found wrong: said in numbers, sessions and messages, never passed over.
//!
//! May use: what is stored. Invariant: an empty [`Damage`] means that everything which was ever
//! known to be synced was there and whole.

use std::collections::BTreeMap;
use std::fmt;

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
    /// how many messages that were queued for it or in flight are gone; some of them may have been
    /// delivered, and that not be known any more
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
    /// so many more messages are gone, at most, and nothing tells for whom they were
    pub unnamed: u64,
    /// there is no telling how many more: what says it is gone itself, or older than such counts
    pub is_uncounted: bool,
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
        if self.unnamed > 0 {
            let plural = if self.unnamed == 1 { "" } else { "s" };
            lines.push(format!(
                "up to {} more message{plural} are lost, for sessions that nothing tells of",
                self.unnamed
            ));
        }
        let retained = self.retained.iter();
        lines.extend(retained.map(|topic| format!("the retained message of {topic:?} is lost")));
        lines
    }

    /// How many messages are known to be lost, those that nothing tells of included.
    pub fn messages(&self) -> u64 {
        self.sessions.iter().map(|loss| loss.messages).sum::<u64>() + self.unnamed
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&if self.is_empty() { "none".into() } else { self.lines().join("; ") })
    }
}

/// What is known of a session behind a hole.
#[derive(Clone, Copy, Debug, Default)]
struct Missing {
    /// orders from here on are of entries that were not met before the first hole
    first_order: u64,
    /// so many entries had been written before it
    before: u64,
    /// how many entries were ever written, by the last that told
    written: Option<u64>,
    /// so many that were written were never met
    unmet: u64,
    /// so many of those have come to their end since, or turned up as copies
    settled: u64,
}

impl Missing {
    fn messages(&self) -> u64 {
        self.unmet.saturating_sub(self.settled)
    }
}

/// Counts, behind damage, which entries never turned up.
#[derive(Debug, Default)]
pub(super) struct Losses {
    sessions: BTreeMap<u64, Missing>,
    /// sessions up to this number were begun before the first hole
    last_session: u64,
    /// entries that were written in holes, by what batches say
    written: u64,
    /// a hole does not tell how many were written in it
    uncounted: bool,
    /// those of `written` that were for sessions which have ended since
    ended: u64,
}

impl Losses {
    /// Begins to count at the first hole. `sessions`: number, what was written, the next order;
    /// `last_session`: the highest number so far, if all that was begun before is known.
    pub(super) fn begin(
        last_session: Option<u64>,
        sessions: impl Iterator<Item = (u64, Option<u64>, u64)>,
    ) -> Self {
        let known = |(session, written, first_order): (u64, Option<u64>, u64)| {
            let before = written.unwrap_or(0);
            (session, Missing { first_order, before, written, ..Missing::default() })
        };
        let last_session = last_session.unwrap_or(u64::MAX);
        Self { sessions: sessions.map(known).collect(), last_session, ..Self::default() }
    }

    /// So many entries were written in a hole; `None`: nobody knows how many.
    pub(super) fn hole(&mut self, written: Option<u64>) {
        self.written += written.unwrap_or(0);
        self.uncounted |= written.is_none();
    }

    /// Entries are said to have been written, so many for the session in all; `met`: of those, how
    /// many were met or told of before, if that is known.
    pub(super) fn written(&mut self, session: u64, written: u64, met: Option<u64>) {
        // Of a session that began in the hole everything is known to be missing.
        let all = (session > self.last_session).then_some(0);
        let missing = self.sessions.entry(session).or_default();
        if let Some(met) = met.max(missing.written).or(all) {
            missing.unmet += written.saturating_sub(met);
        }
        missing.written = missing.written.max(Some(written));
    }

    /// A session's counts: as above, and so many entries are in force, of which `known` were met.
    pub(super) fn counted(
        &mut self,
        session: u64,
        (written, live): (u64, u64),
        met: Option<u64>,
        known: u64,
    ) {
        self.written(session, written, met);
        let missing = self.sessions.entry(session).or_default();
        // The hole may have taken copies of entries that had been written long before.
        let unmet = missing.settled + live.saturating_sub(known);
        missing.unmet = missing.unmet.max(unmet);
        // What is not in force any more came to its end in the hole as well.
        missing.settled += missing.messages().saturating_sub(live);
    }

    /// An entry was met, the `nth` of its session's.
    pub(super) fn entry_met(&mut self, session: u64, nth: u64, met: Option<u64>) {
        self.written(session, nth.saturating_sub(1), met);
        let missing = self.sessions.entry(session).or_default();
        missing.written = missing.written.max(Some(nth));
    }

    /// A copy was met of an entry that was not, the `nth` of its session's: it may have stood in a
    /// hole, or in a segment that is gone.
    pub(super) fn copy_met(&mut self, session: u64, nth: u64) {
        let missing = self.sessions.entry(session).or_default();
        missing.settled += u64::from(nth > missing.before);
    }

    /// The end was met of an entry that was not.
    pub(super) fn settled(&mut self, session: u64, order: u64) {
        let missing = self.sessions.entry(session).or_default();
        missing.settled += u64::from(order >= missing.first_order);
    }

    pub(super) fn session_ended(&mut self, session: u64) {
        if let Some(missing) = self.sessions.remove(&session) {
            self.ended += missing.unmet.max(missing.settled);
        }
    }

    /// How many are missing, by session.
    pub(super) fn missing(&self) -> impl Iterator<Item = (u64, u64)> {
        let missing = self.sessions.iter().map(|(session, missing)| (*session, missing.messages()));
        missing.filter(|(_, messages)| *messages > 0)
    }

    /// How many more are missing that nothing tells whose they were, at most. `known`: of a
    /// session, how many of its entries are known to be missing by themselves.
    pub(super) fn unnamed(&self, known: impl Fn(u64) -> u64) -> u64 {
        let told = self
            .sessions
            .iter()
            .map(|(session, missing)| missing.unmet.max(missing.settled + known(*session)));
        self.written.saturating_sub(self.ended + told.sum::<u64>())
    }

    /// Whether there may be more than `missing` and `unnamed` tell.
    pub(super) fn is_uncounted(&self) -> bool {
        self.uncounted
    }
}
