//! A log as text: every record a line.
//!
//! May use: everything of the store that reads. Invariant: what is shown stands in the log, byte by
//! byte; what cannot be read is shown as such.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use super::batch::{BatchHeader, HEADER_BYTES, find_batch, seed};
use super::content::Content;
use super::counts::counts_in;
use super::disk::Disk;
use super::inspect::read_segment;
use super::replay::{OpenError, Replay};
use super::stored::Stored;
use super::wire::Reader;
use crate::topic::{TopicFilter, TopicName};

/// What a dump shows of a text.
const TEXT_BYTES_MAX: usize = 200;

/// What is to be shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct DumpOptions<'a> {
    /// so much of each payload
    pub payload_bytes_max: usize,
    /// only records of this client's sessions, and messages that were queued for them
    pub client_id: Option<&'a str>,
    /// only messages with such topics, and records of entries that name them
    pub topic: Option<TopicFilter<'a>>,
}

/// A piece of a log.
enum Part<'a> {
    Segment(u32, u64),
    Unreadable(usize, usize),
    Batch(usize, &'a BatchHeader),
    Record(&'a Stored<'a>),
}

/// Hands every header and every record that is chosen to `line`, as a line of text without its end,
/// until it returns false. False: there is no log.
///
/// # Errors
/// If it is no log of this program's, or the disk fails.
pub fn dump<D: Disk>(
    disk: &Arc<D>,
    options: &DumpOptions<'_>,
    mut line: impl FnMut(&str) -> bool,
) -> Result<bool, OpenError> {
    let Some(replay) = Replay::new(Arc::clone(disk), 0)? else { return Ok(false) };
    let chosen = Chosen::find(&replay, disk, options)?;
    let all = chosen.is_all();
    // With a choice, a batch is shown only if something in it is.
    let mut pending = None;
    walk(&replay, disk, |part| match part {
        Part::Segment(number, bytes) => line(&format!("segment {number}, {bytes} bytes")),
        Part::Unreadable(from, to) => line(&format!("  bytes {from} to {to}: unreadable")),
        Part::Batch(at, header) => {
            let text = describe_batch(at, header);
            if all {
                return line(&text);
            }
            pending = Some(text);
            true
        }
        Part::Record(stored) => {
            !chosen.has(stored, options)
                || pending.take().is_none_or(|text| line(&text))
                    && line(&format!("    {}", describe(stored, options.payload_bytes_max)))
        }
    })?;
    Ok(true)
}

fn walk<D: Disk>(
    replay: &Replay<D>,
    disk: &Arc<D>,
    mut visit: impl FnMut(Part<'_>) -> bool,
) -> Result<(), OpenError> {
    for segment in &replay.segments {
        if !visit(Part::Segment(segment.number, segment.bytes)) {
            return Ok(());
        }
        let bytes = read_segment(&**disk, segment)?;
        let seed = seed(replay.id, segment.number);
        let mut at = HEADER_BYTES;
        while let Some((found, header)) = find_batch(&bytes, at, seed) {
            let readable = found == at || visit(Part::Unreadable(at, found));
            if !readable || !visit(Part::Batch(found, &header)) {
                return Ok(());
            }
            at = found + header.len as usize;
            let mut r = Reader::new(&bytes[found + header.bytes()..at]);
            while !r.is_empty() {
                let Ok(stored) = Stored::read(&mut r) else { break };
                if !visit(Part::Record(&stored)) {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// What a dump is restricted to; `None`: to nothing.
#[derive(Default)]
struct Chosen {
    sessions: Option<BTreeSet<u64>>,
    messages: Option<BTreeSet<u64>>,
    entries: Option<BTreeSet<(u64, u64)>>,
}

impl Chosen {
    fn find<D: Disk>(
        replay: &Replay<D>,
        disk: &Arc<D>,
        options: &DumpOptions<'_>,
    ) -> Result<Self, OpenError> {
        let mut chosen = Self::default();
        if options.client_id.is_none() && options.topic.is_none() {
            return Ok(chosen);
        }
        if let Some(wanted) = options.client_id {
            let mut sessions = BTreeSet::new();
            walk(replay, disk, |part| {
                if let Part::Record(&Stored::Session { session, client_id, .. }) = part
                    && client_id == wanted
                {
                    sessions.insert(session);
                }
                true
            })?;
            chosen.sessions = Some(sessions);
        }
        let (mut by_topic, mut entries) = (BTreeSet::new(), Vec::new());
        walk(replay, disk, |part| {
            match part {
                Part::Record(&Stored::Message { number, content })
                    if matches(options, content.topic_str()) =>
                {
                    by_topic.insert(number);
                }
                Part::Record(Stored::Queued(entry)) if chosen.has_session(entry.session) => {
                    entries.push((entry.message, (entry.session, entry.order)));
                }
                _ => {}
            }
            true
        })?;
        entries.retain(|(message, _)| by_topic.contains(message));
        if options.client_id.is_some() {
            by_topic = entries.iter().map(|(message, _)| *message).collect();
        }
        chosen.messages = Some(by_topic);
        chosen.entries =
            options.topic.map(|_| entries.into_iter().map(|(_, entry)| entry).collect());
        Ok(chosen)
    }

    fn is_all(&self) -> bool {
        self.messages.is_none()
    }

    fn has_session(&self, session: u64) -> bool {
        self.sessions.as_ref().is_none_or(|sessions| sessions.contains(&session))
    }

    fn has_entry(&self, session: u64, order: u64) -> bool {
        self.entries.as_ref().is_none_or(|entries| entries.contains(&(session, order)))
    }

    fn has(&self, stored: &Stored<'_>, options: &DumpOptions<'_>) -> bool {
        let of_session = stored.session().map(|session| self.has_session(session.0));
        match *stored {
            _ if self.is_all() => true,
            Stored::Message { number, .. } => {
                self.messages.as_ref().is_some_and(|messages| messages.contains(&number))
            }
            Stored::Retained { topic, .. } => {
                options.client_id.is_none() && matches(options, topic)
            }
            Stored::Will { content, .. } => {
                of_session == Some(true) && matches(options, content.topic_str())
            }
            Stored::Queued(entry) => {
                of_session == Some(true) && self.has_entry(entry.session, entry.order)
            }
            Stored::InFlight { session, order, .. }
            | Stored::Released { session, order }
            | Stored::Acknowledged { session, order }
            | Stored::Dropped { session, order, .. } => {
                of_session == Some(true) && self.has_entry(session, order)
            }
            _ => of_session == Some(true) && options.topic.is_none(),
        }
    }
}

fn matches(options: &DumpOptions<'_>, topic: &str) -> bool {
    options.topic.is_none_or(|filter| TopicName::new(topic).is_ok_and(|name| filter.matches(name)))
}

fn describe_batch(at: usize, header: &BatchHeader) -> String {
    let BatchHeader { len, number, synced, time_ms, wall_ms, oldest, records, entries, .. } =
        *header;
    let entries = entries.map_or(String::new(), |n| format!(", {n} entries so far"));
    format!(
        "  batch {number} at {at}: {len} bytes, {records} records, {synced} synced, time \
         {time_ms}, wall time {wall_ms}, oldest segment {oldest}{entries}"
    )
}

fn describe(stored: &Stored<'_>, payload_bytes_max: usize) -> String {
    let content = |out: &mut String, content: &Content<'_>| {
        let shown = &content.payload[..content.payload.len().min(payload_bytes_max)];
        let dots = if shown.len() < content.payload.len() { "…" } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "{:?} qos {} retain {} expires {:?}, {} bytes of properties, {} of payload",
            short(content.topic_str()),
            content.qos as u8,
            content.retain,
            content.expires_ms,
            content.properties.len(),
            content.payload.len(),
        );
        if payload_bytes_max > 0 {
            let _ = write!(out, " \"{}\"{dots}", shown.escape_ascii());
        }
    };
    let mut out = String::new();
    match stored {
        Stored::Message { number, content: c } => {
            out = format!("Message {number} ");
            content(&mut out, c);
        }
        Stored::Will { session, delay_s, expiry_s, content: c } => {
            out = format!("Will of session {session}, delay_s {delay_s}, expiry_s {expiry_s:?}, ");
            content(&mut out, c);
        }
        Stored::Counts { level, sessions } => {
            let _ = write!(out, "Counts {level}");
            for (session, written, live) in counts_in(sessions) {
                let _ = write!(out, ", session {session}: {written} written, {live} in force");
            }
            out.truncate(short(&out).len());
        }
        stored => {
            let _ = write!(out, "{stored:?}");
            out.truncate(short(&out).len());
        }
    }
    out
}

fn short(text: &str) -> &str {
    let cut = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..cut.unwrap_or(0)]
}
