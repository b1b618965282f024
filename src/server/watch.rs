//! Files that are read again while the broker runs: when they change, and on SIGHUP.
//!
//! What lives here: the task that looks, and what is done then. May use: the runtime, files on
//! threads that may wait. Invariants: what is in force changes as a whole, or not at all: a broken
//! new file keeps the old one in force and says so once; listeners, `[server]` and `[store]` stay
//! as they were at the start.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

use super::authority::Authority;
use super::log::LogGuard;
use super::mailbox::{Sender, ToShard};
use crate::auth::acl::Acl;
use crate::broker::Limits;
use crate::config::{ConfigErrors, ConfigFile, Loaded, Settings, Sources};

/// A file that is being written is left alone until two looks, so far apart, see the same.
const SETTLE: Duration = Duration::from_millis(50);
/// But not for ever.
const SETTLE_LOOKS_MAX: usize = 40;

/// What was made of files, and can be made again: passwords, rules, keys, certificates.
pub(crate) trait Watched: Send + Sync {
    /// The files whose change is a reason to read all of them again.
    fn paths(&self) -> Vec<PathBuf>;

    /// Reads them, and puts them in force for who comes from now on. May wait for the disk: it is
    /// called on a thread that may.
    ///
    /// # Errors
    /// What is wrong, with file and line: the old ones stay in force, and the caller logs it.
    fn reload(&self) -> Result<(), String>;
}

/// What a file looked like: whatever way it is replaced or written, one of these changes. Links
/// are followed, so a link that leads elsewhere counts, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Print {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Of several files.
type Prints = Vec<Option<Print>>;

impl Print {
    /// `None`: there is none that could be looked at.
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    fn all(watched: &dyn Watched) -> Prints {
        watched.paths().iter().map(|path| Self::of(path)).collect()
    }
}

/// What the task works with.
pub(crate) struct WatchParts {
    pub(crate) authority: Arc<Authority>,
    /// whatever else was made of files: the listeners' certificates
    pub(crate) others: Vec<Arc<dyn Watched>>,
    pub(crate) shards: Vec<Sender>,
    pub(crate) sources: Sources,
    /// what is in force
    pub(crate) settings: Settings,
    /// each shard's limits by settings
    pub(crate) limits: Box<dyn Fn(&Settings) -> Limits + Send>,
}

/// The watcher.
pub(crate) struct Watch {
    parts: WatchParts,
    /// all that is watched, and how its files looked
    watched: Vec<(Arc<dyn Watched>, Prints)>,
    /// the configuration file
    file: Option<(PathBuf, Option<Print>)>,
    /// what the shards have been told
    acl: Arc<Acl>,
}

impl Watch {
    /// Notes how the files look now, and tells the shards what is in force: to be called before
    /// clients come.
    pub(crate) fn new(parts: WatchParts) -> Self {
        let all = parts.authority.watched().into_iter().chain(parts.others.iter().cloned());
        let watched = all.map(|one| (Arc::clone(&one), Print::all(&*one))).collect();
        let file = match &parts.sources.file {
            Some(ConfigFile::Path(path)) => Some((path.clone(), Print::of(path))),
            _ => None,
        };
        let watch = Self { acl: parts.authority.acl(), parts, watched, file };
        watch.tell(|| ToShard::Acl(Arc::clone(&watch.acl)));
        let quotas = watch.parts.authority.quotas();
        watch.tell(|| ToShard::Quotas(Arc::clone(&quotas)));
        watch
    }

    fn tell(&self, message: impl Fn() -> ToShard) {
        for shard in &self.parts.shards {
            // A shard that is gone has been told to stop: the process ends.
            let _ = shard.send(message());
        }
    }

    /// Looks every so often, and reads all again for each `hangup`, until there are no more.
    pub(crate) async fn run(mut self, mut hangup: mpsc::Receiver<()>, log: &LogGuard) {
        let mut looks = match self.parts.settings.server.watch_files_s {
            0 => None,
            s => Some(looks(Duration::from_secs(s))),
        };
        loop {
            tokio::select! {
                told = hangup.recv() => match told {
                    Some(()) => self.read_all("SIGHUP", log).await,
                    None => return,
                },
                () = next(&mut looks) => self.look(log).await,
            }
        }
    }

    /// Reads what has changed.
    async fn look(&mut self, log: &LogGuard) {
        if let Some((path, print)) = &self.file {
            let path = path.clone();
            let old = *print;
            let new = settled(old, move || Print::of(&path)).await;
            if new != old {
                return self.read_all("the configuration file has changed", log).await;
            }
        }
        for n in 0..self.watched.len() {
            let Some((one, old)) = self.watched.get(n) else { return };
            if old.is_empty() {
                continue; // no files, and none before all is read again
            }
            let (one, old) = (Arc::clone(one), old.clone());
            let look = Arc::clone(&one);
            let new = settled(old.clone(), move || Print::all(&*look)).await;
            if new == old {
                continue;
            }
            let names: Vec<_> = one.paths().iter().map(|p| p.display().to_string()).collect();
            let files = names.join(", ");
            if let Some((_, print)) = self.watched.get_mut(n) {
                *print = new;
            }
            match blocking(move || one.reload()).await {
                Ok(()) => tracing::info!(files, "a file has changed and was read again"),
                Err(why) => stays(&why),
            }
            self.tell_acl();
        }
    }

    /// The shards are told of another ACL, once.
    fn tell_acl(&mut self) {
        let acl = self.parts.authority.acl();
        if !Arc::ptr_eq(&acl, &self.acl) {
            self.acl = acl;
            self.tell(|| ToShard::Acl(Arc::clone(&self.acl)));
        }
    }

    /// Reads the configuration and every file again.
    async fn read_all(&mut self, why: &'static str, log: &LogGuard) {
        // Before they are read: what changes meanwhile is seen by the next look.
        if let Some((path, print)) = &mut self.file {
            *print = Print::of(path);
        }
        for (one, print) in &mut self.watched {
            *print = Print::all(&**one);
        }
        let sources = self.parts.sources.clone();
        let loaded = match blocking(move || Settings::load(&sources)).await {
            Ok(loaded) => Some(self.mix(loaded)),
            Err(ConfigErrors { mistakes, .. }) => {
                for mistake in mistakes {
                    tracing::error!("{mistake}");
                }
                stays("the configuration has mistakes");
                None
            }
        };
        let is_new = loaded.is_some();
        let settings = loaded.unwrap_or_else(|| self.parts.settings.clone());
        let authority = Arc::clone(&self.parts.authority);
        let (others, new) = (self.parts.others.clone(), settings.clone());
        let problems = blocking(move || {
            let mut problems = authority.reload(&new);
            problems.extend(others.iter().filter_map(|one| one.reload().err()));
            problems
        });
        let problems = problems.await;
        problems.iter().for_each(|problem| stays(problem));
        let problems = problems.len();
        if settings.log.level != self.parts.settings.log.level
            && let Err(error) = log.set_level(&settings.log.level)
        {
            tracing::error!(%error, "log.level stays");
        }
        self.tell_acl();
        let quotas = self.parts.authority.quotas();
        self.tell(|| ToShard::Quotas(Arc::clone(&quotas)));
        self.tell(|| ToShard::Reload(Box::new((self.parts.limits)(&settings))));
        self.parts.settings = settings;
        // Paths may be others now.
        let Self { parts, watched, .. } = self;
        let all = parts.authority.watched().into_iter().chain(parts.others.iter().cloned());
        *watched = all.map(|one| (Arc::clone(&one), Print::all(&*one))).collect();
        match is_new {
            true => tracing::info!(
                why,
                problems,
                "read again: [auth], [[quota]], [mqtt], [limits], log.level and the files that \
                 they name, and certificates; listeners, [server] and [store] stay until a restart"
            ),
            false => tracing::info!(why, problems, "read again: the files that the settings name"),
        }
    }

    /// New settings, without those that stay.
    fn mix(&self, loaded: Loaded) -> Settings {
        let Loaded { settings: new, warnings } = loaded;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let old = &self.parts.settings;
        for (what, same) in [
            ("[[listener]]", old.listener == new.listener),
            ("[server]", old.server == new.server),
            ("[store]", old.store == new.store),
        ] {
            if !same {
                tracing::warn!("{what} has changed: that counts from the next start on");
            }
        }
        Settings {
            listener: old.listener.clone(),
            server: old.server.clone(),
            store: old.store.clone(),
            ..new
        }
    }
}

fn stays(why: &str) {
    tracing::error!(why, "not read again: what was in force stays");
}

fn looks(every: Duration) -> Interval {
    let mut looks = tokio::time::interval(every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

async fn next(looks: &mut Option<Interval>) {
    match looks {
        Some(looks) => {
            looks.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// How something looks; if that is not `old`, how it looks once it has stopped changing.
async fn settled<T: PartialEq + Clone + Send + 'static>(
    old: T,
    look: impl Fn() -> T + Clone + Send + 'static,
) -> T {
    let mut seen = blocking(look.clone()).await;
    for _ in 0..SETTLE_LOOKS_MAX {
        if seen == old {
            break;
        }
        tokio::time::sleep(SETTLE).await;
        let new = blocking(look.clone()).await;
        if new == seen {
            break;
        }
        seen = new;
    }
    seen
}

/// Runs `job` on a thread that may wait.
async fn blocking<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(job).await {
        Ok(done) => done,
        // It panicked, which ends the process as everywhere; or the runtime is at its end.
        Err(_) => std::future::pending().await,
    }
}
