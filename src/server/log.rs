//! Where log lines are made and written: one event, one line, never a shard that waits for it.
//!
//! May use `tracing`, the wall clock and one thread that writes. Invariants: what a client sent
//! cannot end a line, begin a field or reach a terminal as anything but printable text; a line has
//! a bounded length and the queue a bounded number of lines, so that a stuck reader costs bounded
//! memory; what finds no room is dropped and counted. Spans are not written.
mod queue;

use self::queue::{Queue, Worker};
use crate::config;
use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;

/// Bytes of a message or value, escaped; the rest is cut off.
const VALUE_BYTES_MAX: usize = 1024;

/// What most messages, and most events' fields, need: so they need not grow.
const MESSAGE_BYTES: usize = 48;
const REST_BYTES: usize = 200;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The settings did not come from [`config::Settings::load`].
    #[error("log.level: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// Called a second time in this process.
    #[error("the log is set up already")]
    Twice(#[from] tracing::subscriber::SetGlobalDefaultError),
    /// There is no thread to write it.
    #[error("the thread of the log: {0}")]
    Thread(#[from] std::io::Error),
}

/// Keeps the log running; dropping it writes what waits (for at most about a second, should the
/// reader be stuck).
#[must_use = "lines are lost when the guard is dropped"]
pub struct LogGuard {
    dropped: Dropped,
    set_level: SetLevel,
    _worker: Worker,
}

impl LogGuard {
    /// The counter of lost lines.
    pub fn dropped(&self) -> Dropped {
        self.dropped.clone()
    }

    /// Writes lines of another level from now on.
    ///
    /// # Errors
    /// If it is none.
    pub fn set_level(&self, level: &str) -> Result<(), LogError> {
        (self.set_level)(level.parse()?);
        Ok(())
    }
}

impl fmt::Debug for LogGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogGuard").field("dropped", &self.dropped).finish_non_exhaustive()
    }
}

/// Puts another level in force; false if there is no log any more.
type SetLevel = Box<dyn Fn(Targets) -> bool + Send + Sync>;

/// Counts the lines that found no room.
#[derive(Clone, Debug)]
pub struct Dropped(Queue);

impl Dropped {
    /// Since the start.
    pub fn lines(&self) -> u64 {
        self.0.dropped()
    }
}

/// Makes this the process's log.
///
/// # Errors
/// If there is one already, or the level is none.
pub fn init(settings: &config::Log) -> Result<LogGuard, LogError> {
    let (queue, worker) = match settings.to {
        config::LogTo::Stderr => Queue::start(std::io::stderr())?,
        config::LogTo::Stdout => Queue::start(std::io::stdout())?,
    };
    let dropped = Dropped(queue.clone());
    let (subscriber, set_level) = subscriber(settings, queue)?;
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(LogGuard { dropped, set_level, _worker: worker })
}

/// The log with another place to write to.
fn subscriber<W>(
    settings: &config::Log,
    writer: W,
) -> Result<(impl Subscriber + Send + Sync, SetLevel), LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Lines { format: settings.format })
        .with_ansi(false)
        .log_internal_errors(false)
        .with_writer(writer);
    let level: Targets = settings.level.parse()?;
    let (level, handle) = reload::Layer::new(level);
    let set_level = Box::new(move |level| handle.reload(level).is_ok());
    Ok((tracing_subscriber::registry().with(lines).with(level), set_level))
}

/// Makes the line of an event.
struct Lines {
    format: config::LogFormat,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let time = Timestamp(SystemTime::now());
        let (level, target) = (event.metadata().level(), event.metadata().target());
        let mut fields = Fields {
            format: self.format,
            message: String::with_capacity(MESSAGE_BYTES),
            rest: String::with_capacity(REST_BYTES),
        };
        event.record(&mut fields);
        let Fields { message, rest, .. } = fields;
        match self.format {
            config::LogFormat::Text => writeln!(out, "{time} {level:<5} {message}{rest}"),
            config::LogFormat::Json => writeln!(
                out,
                r#"{{"timestamp":"{time}","level":"{level}","target":"{target}","message":"{message}"{rest}}}"#
            ),
        }
    }
}

/// The fields of one event, escaped as they come.
struct Fields {
    format: config::LogFormat,
    message: String,
    rest: String,
}

impl Fields {
    /// Begins a field.
    fn name(&mut self, field: &Field) {
        let (before, after) = match self.format {
            config::LogFormat::Text => (" ", "="),
            config::LogFormat::Json => (",\"", "\":"),
        };
        [before, field.name(), after].iter().for_each(|piece| self.rest.push_str(piece));
    }

    /// A number or a truth value, which needs no escape.
    fn plain(&mut self, field: &Field, value: impl fmt::Display) {
        self.name(field);
        let _ = write!(self.rest, "{value}"); // to a string it cannot fail
    }

    fn text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let is_message = field.name() == "message";
        let escape = match self.format {
            config::LogFormat::Json => escape_json,
            config::LogFormat::Text if is_message => escape_message,
            config::LogFormat::Text => escape_text,
        };
        if is_message {
            self.message.clear();
            let text = std::mem::take(&mut self.message);
            self.message = Capped::of(text, escape, value).text;
            return;
        }
        self.name(field);
        let start = self.rest.len();
        self.rest.push('"');
        let rest = std::mem::take(&mut self.rest);
        let Capped { text, start: value_at, quote, .. } = Capped::of(rest, escape, value);
        self.rest = text;
        if self.format == config::LogFormat::Json || quote || self.rest.len() == value_at {
            self.rest.push('"');
        } else {
            self.rest.remove(start); // a few bytes move
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format_args!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, format_args!("{value}"));
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.text(field, format_args!("{value}"));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinity.
        if value.is_finite() {
            self.plain(field, value);
        } else {
            self.text(field, format_args!("{value}"));
        }
    }
}

/// Takes text until it is full, escaping each character; the cut is marked.
struct Capped {
    text: String,
    /// where in `text` it begins
    start: usize,
    full: bool,
    escape: fn(char, &mut String),
    /// Whether something in it needs quotes as a field's value.
    quote: bool,
}

impl Capped {
    /// `value` behind what `text` has already.
    fn of(text: String, escape: fn(char, &mut String), value: fmt::Arguments<'_>) -> Self {
        let mut capped = Self { start: text.len(), text, full: false, escape, quote: false };
        let _ = capped.write_fmt(value);
        capped
    }
}

impl Write for Capped {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        // Most pieces need nothing, and there is one for each client that connects.
        let fits = !self.full && self.text.len() - self.start + piece.len() <= VALUE_BYTES_MAX;
        if fits && piece.bytes().all(|byte| IS_PLAIN[usize::from(byte)]) {
            self.text.push_str(piece);
            return Ok(());
        }
        for c in piece.chars() {
            // An error also ends the formatting of what would not be kept.
            if self.full {
                return Err(fmt::Error);
            }
            if self.text.len() - self.start >= VALUE_BYTES_MAX {
                self.full = true;
                self.text.push('…');
                return Err(fmt::Error);
            }
            self.quote |= !c.is_alphanumeric() && !PLAIN.contains(c);
            (self.escape)(c, &mut self.text);
        }
        Ok(())
    }
}

/// What stands in a value without quotes, besides letters and digits.
const PLAIN: &str = "-_./:@+#$%*~";

/// Whether a byte is written as it is, and needs no quotes.
const IS_PLAIN: [bool; 256] = {
    let (mut table, mut at) = ([false; 256], 0);
    while at < 256 {
        table[at] = (at as u8).is_ascii_alphanumeric();
        at += 1;
    }
    at = 0;
    while at < PLAIN.len() {
        table[PLAIN.as_bytes()[at] as usize] = true;
        at += 1;
    }
    table
};

/// As in a Rust string: also what is invisible or turns the reading direction.
fn escape_text(c: char, out: &mut String) {
    match c {
        '"' | '\\' => out.extend(['\\', c]),
        ' '..='~' => out.push(c), // as it is, which is soon said of most
        c => out.extend(c.escape_debug()),
    }
}

/// As `escape_text`, without what only a value in quotes needs.
fn escape_message(c: char, out: &mut String) {
    match c {
        '"' | '\\' => out.push(c),
        c => escape_text(c, out),
    }
}

fn escape_json(c: char, out: &mut String) {
    match c {
        '"' | '\\' => out.extend(['\\', c]),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        ' '..='~' => out.push(c),
        // Not printable: as UTF-16, which is what JSON's escapes are.
        c if c.escape_debug().len() > 1 => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
        c => out.push(c),
    }
}

/// RFC 3339, UTC, milliseconds.
struct Timestamp(SystemTime);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A clock before 1970 was never set.
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, ms) = (since.as_secs(), since.subsec_millis());
        let (year, month, day) = civil(seconds / 86_400);
        let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
        let second = seconds % 60;
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let parts = [(3, year), (6, month), (9, day), (12, hour), (15, minute), (18, second)];
        for (last, mut number) in parts.into_iter().chain([(22, u64::from(ms))]) {
            for digit in text[..=last].iter_mut().rev().take_while(|c| c.is_ascii_digit()) {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, so that the leap day is the last of its year and of its era.
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Sink {
        type Writer = Self;
        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// What `log` writes, without the timestamps.
    fn written(format: config::LogFormat, level: &str, log: impl FnOnce()) -> String {
        let settings = config::Log { level: level.into(), format, to: config::LogTo::Stderr };
        let sink = Sink::default();
        tracing::subscriber::with_default(subscriber(&settings, sink.clone()).unwrap().0, log);
        let bytes = sink.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        let skip = if format == config::LogFormat::Json { r#"{"timestamp":""#.len() } else { 0 };
        let strip = |line: &str| {
            let (time, rest) = line[skip..].split_at(24);
            assert!(time.ends_with('Z') && time.as_bytes()[10] == b'T', "{line}");
            format!("{rest}\n")
        };
        text.split_terminator('\n').map(strip).collect()
    }

    /// Everything that could end a line, begin a field, close a quote or steer a terminal.
    const HOSTILE: &str =
        "a b\" level=x\r\n2026-01-01T00:00:00.000Z ERROR forged\u{1b}[2J\u{202e}\u{2028}\0\\é";

    #[test]
    fn a_hostile_client_id_stays_in_its_quotes() {
        let text = written(config::LogFormat::Text, "info", || {
            tracing::info!(client_id = HOSTILE, connections = 3, ok = true, "connected");
            tracing::warn!(client_id = %"plain-1", empty = "", "it's gone");
        });
        let expected = concat!(
            r#" INFO  connected client_id="a b\" level=x\r\n2026-01-01T00:00:00.000Z ERROR forged"#,
            r#"\u{1b}[2J\u{202e}\u{2028}\0\\é" connections=3 ok=true"#,
            "\n WARN  it's gone client_id=plain-1 empty=\"\"\n",
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_hostile_message_stays_one_line() {
        let text = written(config::LogFormat::Text, "info", || tracing::info!("<{HOSTILE}>"));
        assert_eq!(text.lines().count(), 1);
        assert!(!text.trim_end().contains(char::is_control), "{text:?}");
    }

    #[test]
    fn a_hostile_client_id_in_json() {
        let text = written(config::LogFormat::Json, "info", || {
            tracing::info!(target: "t", client_id = HOSTILE, n = -1, f = f64::NAN, "a\tb\u{7f}");
        });
        let expected = concat!(
            r#"","level":"INFO","target":"t","message":"a\tb\u007f","client_id":"a b\" level=x\r\n"#,
            r#"2026-01-01T00:00:00.000Z ERROR forged\u001b[2J\u202e\u2028\u0000\\é","n":-1,"f":"NaN"}"#,
            "\n",
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_value_is_cut_off() {
        let long = "\u{1}".repeat(100_000);
        for format in [config::LogFormat::Text, config::LogFormat::Json] {
            let text = written(format, "info", || tracing::info!(client_id = long, "{long}"));
            assert!(text.len() < 2 * (VALUE_BYTES_MAX + 100), "{}", text.len());
            assert_eq!(text.matches('…').count(), 2);
        }
    }

    #[test]
    fn targets_are_filtered() {
        let text = written(config::LogFormat::Text, "warn,loud=trace", || {
            tracing::info!("no");
            tracing::warn!("yes");
            tracing::trace!(target: "loud::part", "yes");
        });
        assert_eq!(text, " WARN  yes\n TRACE yes\n");
    }

    #[test]
    fn a_stuck_reader_costs_lines_not_time() {
        struct Stuck(Arc<Mutex<()>>);
        impl io::Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                drop(self.0.lock());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lock = Arc::new(Mutex::new(()));
        let held = lock.lock().unwrap();
        let (writer, worker) = Queue::start(Stuck(lock.clone())).unwrap();
        let set_level = Box::new(|_| true);
        let dropped = Dropped(writer.clone());
        let guard = LogGuard { dropped, set_level, _worker: worker };
        let settings = config::Log {
            level: "info".into(),
            format: config::LogFormat::Text,
            to: config::LogTo::Stderr,
        };
        tracing::subscriber::with_default(subscriber(&settings, writer).unwrap().0, || {
            for n in 0..queue::LINES_MAX + 100 {
                tracing::info!(n, "line");
            }
        });
        assert_eq!(guard.dropped().lines(), 100);
        drop(held);
    }

    #[test]
    fn timestamps() {
        let at =
            |s: u64, ms| Timestamp(UNIX_EPOCH + Duration::from_millis(s * 1000 + ms)).to_string();
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399, 999), "2000-02-28T23:59:59.999Z");
        assert_eq!(at(951_782_400, 1), "2000-02-29T00:00:00.001Z");
        assert_eq!(at(1_767_225_599, 0), "2025-12-31T23:59:59.000Z");
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
        let early = Timestamp(UNIX_EPOCH - Duration::from_secs(1)).to_string();
        assert_eq!(early, "1970-01-01T00:00:00.000Z");
    }
}
