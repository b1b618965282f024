//! Layer 4: `stonechat log`: what the log of a broker that does not run holds, what is gone, and
//! how to go on with the rest.
//!
//! May use the store, the wall clock and the system's randomness. Invariants: nothing is changed on
//! disk except by `repair --yes`, which says before what will be lost; no broker runs meanwhile.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::broker::Time;
use crate::cli::{self, LogAction};
use crate::store::inspect::{self, DumpOptions, Verified};
use crate::store::{
    Clock, Damage, DirectoryError, FileDisk, Log, LogError, LogOptions, OnDamage, OpenError, open,
};
use crate::topic::TopicFilter;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("there is no log in {0}")]
    NoLog(String),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Log(#[from] LogError),
    /// Nobody may be listening any more.
    #[error("the answer could not be written: {0}")]
    Output(#[from] io::Error),
}

impl Trouble {
    fn exit_code(&self) -> u8 {
        match self {
            Self::NoLog(_) => cli::EXIT_NO_INPUT,
            Self::Directory(DirectoryError::InUse { .. }) => cli::EXIT_IN_USE,
            Self::Open(OpenError::Io { .. }) | Self::Log(_) => cli::EXIT_IO,
            Self::Open(_) => cli::EXIT_DAMAGED,
            Self::Directory(DirectoryError::Io { .. }) | Self::Output(_) => cli::EXIT_IO,
        }
    }
}

/// Looks at the log in the directory `path`. Answers go to `out`, complaints to `err`. Returns the
/// exit code.
pub fn run(path: &Path, action: &LogAction, out: &mut impl Write, err: &mut impl Write) -> u8 {
    let done = answer(path, action, out).and_then(|code| Ok(out.flush().map(|()| code)?));
    done.unwrap_or_else(|trouble| {
        // What was found so far belongs before it.
        let _ = out.flush();
        let _ = writeln!(err, "stonechat: {trouble}");
        trouble.exit_code()
    })
}

fn answer(path: &Path, action: &LogAction, out: &mut impl Write) -> Result<u8, Trouble> {
    match action {
        LogAction::Verify => {
            let verified = verify(path)?;
            tell(path, &verified, out)?;
            Ok(judge(&verified.recovered.damage))
        }
        LogAction::Dump { session, topic, payload } => {
            let options = DumpOptions {
                payload_bytes_max: *payload,
                client_id: session.as_deref(),
                // The command line has checked it.
                topic: topic.as_deref().and_then(|text| TopicFilter::new(text).ok()),
            };
            dump(path, &options, out)
        }
        LogAction::Repair { yes } => repair(path, *yes, out),
    }
}

fn judge(damage: &Damage) -> u8 {
    if damage.is_empty() { 0 } else { cli::EXIT_DAMAGED }
}

fn no_log(path: &Path) -> Trouble {
    Trouble::NoLog(path.display().to_string())
}

/// Opens a directory that is there.
fn disk(path: &Path) -> Result<Arc<FileDisk>, Trouble> {
    match FileDisk::open_for_reading(path) {
        Err(DirectoryError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            Err(no_log(path))
        }
        result => Ok(Arc::new(result?)),
    }
}

fn verify(path: &Path) -> Result<Verified, Trouble> {
    inspect::verify(&disk(path)?, clock())?.ok_or_else(|| no_log(path))
}

fn tell(path: &Path, verified: &Verified, out: &mut impl Write) -> io::Result<()> {
    let Verified { segments, counts, recovered } = verified;
    writeln!(
        out,
        "{}: {segments} segments; {} sessions, {} messages, {} waiting deliveries, {} retained \
         messages",
        path.display(),
        counts.sessions,
        counts.messages,
        counts.queued,
        recovered.retained.len(),
    )?;
    let batch = recovered.end.batch;
    match (recovered.end.closed, recovered.end.cut) {
        (true, _) => writeln!(out, "it was closed in order, behind batch {batch}")?,
        (false, false) => writeln!(out, "it was not closed; its last whole batch is {batch}")?,
        (false, true) => writeln!(
            out,
            "it was not closed; its last whole batch is {batch}: those behind it are torn, were \
             never known to be synced, and do not count"
        )?,
    }
    tell_damage(&recovered.damage, out)
}

fn tell_damage(damage: &Damage, out: &mut impl Write) -> io::Result<()> {
    if damage.is_empty() {
        return writeln!(out, "no damage");
    }
    let about = if damage.is_uncounted { "at least" } else { "up to" };
    writeln!(out, "damage: {about} {} messages are gone", damage.messages())?;
    for line in damage.lines() {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

fn dump(path: &Path, options: &DumpOptions<'_>, out: &mut impl Write) -> Result<u8, Trouble> {
    let mut written = Ok(());
    let found = inspect::dump(&disk(path)?, options, |line| {
        written = writeln!(out, "{line}");
        written.is_ok()
    })?;
    written?;
    if found { Ok(0) } else { Err(no_log(path)) }
}

fn repair(path: &Path, yes: bool, out: &mut impl Write) -> Result<u8, Trouble> {
    let verified = verify(path)?;
    let damage = &verified.recovered.damage;
    tell(path, &verified, out)?;
    if damage.is_empty() {
        writeln!(out, "there is nothing to repair")?;
        return Ok(0);
    }
    if !yes {
        writeln!(
            out,
            "nothing was changed; with --yes, what is listed is given up, and everything else kept"
        )?;
        return Ok(cli::EXIT_DAMAGED);
    }
    out.flush()?;
    let disk = Arc::new(FileDisk::open(path)?);
    let hash_seed = crate::server::random_u64()?;
    let options = LogOptions { on_damage: OnDamage::KeepRest, ..LogOptions::new(0, hash_seed) };
    let clock = clock();
    let opened = open(disk, &options, clock)?;
    Log::new(opened.resume, RefCell::new(opened.state), clock)?.close(clock)?;
    writeln!(out, "repaired: the loss is written down, and the broker starts with the rest")?;
    Ok(0)
}

/// The process begins now.
fn clock() -> Clock {
    #[expect(clippy::disallowed_methods, reason = "the log notes when it was repaired")]
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall_ms = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
    Clock { now: Time(0), wall_ms }
}
