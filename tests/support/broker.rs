//! The real binary: started on a free port, watched by its log, stopped by signal, killed on drop.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;

/// A directory of one test, removed with it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The lines that a process has written so far.
#[derive(Default)]
pub(crate) struct Lines {
    lines: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

impl Lines {
    /// Collects lines from `source` on a thread of its own, until it ends.
    pub(crate) fn collect(
        source: impl std::io::Read + Send + 'static,
    ) -> (Arc<Self>, JoinHandle<()>) {
        let lines = Arc::new(Self::default());
        let sink = Arc::clone(&lines);
        let thread = std::thread::spawn(move || {
            for line in BufReader::new(source).lines().map_while(Result::ok) {
                sink.lock().0.push(line);
                sink.more.notify_all();
            }
            sink.lock().1 = true;
            sink.more.notify_all();
        });
        (lines, thread)
    }

    /// A test that fails while it looks at the lines must not hide why.
    fn lock(&self) -> MutexGuard<'_, (Vec<String>, bool)> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.lock().0.clone()
    }

    /// Waits for the end of the source; false if it does not come.
    pub(crate) fn wait_end(&self, at_most: Duration) -> bool {
        let lines = self.lock();
        self.more.wait_timeout_while(lines, at_most, |lines| !lines.1).unwrap().0.1
    }

    /// Waits for a line that has all of `parts` in it.
    pub(crate) fn wait_for(&self, parts: &[&str]) -> String {
        self.wait_until(&format!("a line with {parts:?}"), |lines| {
            lines.iter().find(|l| parts.iter().all(|p| l.contains(p))).cloned()
        })
    }

    /// Waits until `found` finds in the lines what it looks for.
    pub(crate) fn wait_until<T>(&self, what: &str, found: impl Fn(&[String]) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        let mut lines = self.lock();
        loop {
            if let Some(value) = found(&lines.0) {
                return value;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!lines.1 && !left.is_zero(), "no {what} in:\n{}", lines.0.join("\n"));
            lines = self.more.wait_timeout(lines, left).unwrap().0;
        }
    }
}

/// How a broker is started. `settings` are lines of its configuration file, such as
/// `mqtt.sys_interval_s = 1`; tables such as `[[listener]]` come last.
#[derive(Clone, Copy)]
pub(crate) struct Setup<'a> {
    pub(crate) shards: usize,
    pub(crate) anonymous: bool,
    pub(crate) settings: &'a str,
    /// `None`: the listeners are in `settings`
    pub(crate) listen: Option<&'a str>,
    /// for `ulimit -n`
    pub(crate) files_max: Option<usize>,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self {
            shards: 1,
            anonymous: true,
            settings: "",
            listen: Some("127.0.0.1:0"),
            files_max: None,
        }
    }
}

/// A running broker.
pub(crate) struct Broker {
    child: Child,
    ended: Option<ExitStatus>,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) log: Arc<Lines>,
    reader: Option<JoinHandle<()>>,
    _scratch: Scratch,
}

/// A broker with one shard and `settings`.
pub(crate) fn broker(settings: &str) -> Broker {
    Setup { settings, ..Setup::default() }.start()
}

/// A broker with so many shards and `settings`.
pub(crate) fn sharded(shards: usize, settings: &str) -> Broker {
    Setup { shards, settings, ..Setup::default() }.start()
}

impl Setup<'_> {
    /// Starts the broker and waits until it listens.
    pub(crate) fn start(self) -> Broker {
        self.try_start().unwrap_or_else(|log| panic!("the broker did not start:\n{log}"))
    }

    /// The same; the log if it did not come up.
    pub(crate) fn try_start(self) -> Result<Broker, String> {
        let mut broker = self.spawn();
        if broker.wait_ready() { Ok(broker) } else { Err(broker.log.all().join("\n")) }
    }

    /// Starts the process and waits for nothing.
    pub(crate) fn spawn(self) -> Broker {
        let scratch = Scratch::new();
        let file = scratch.path().join("stonechat.toml");
        // Clients that do not close when they are told to are not waited for as long as usual.
        let shutdown = match self.settings.contains("shutdown_ms") {
            true => "",
            false => "server.shutdown_ms = 300\n",
        };
        let text = format!(
            "server.shards = {}\nauth.allow_anonymous = {}\n{shutdown}{}\n",
            self.shards, self.anonymous, self.settings
        );
        std::fs::write(&file, text).unwrap();
        let program = env!("CARGO_BIN_EXE_stonechat");
        let mut command = match self.files_max {
            None => Command::new(program),
            Some(n) => {
                let mut sh = Command::new("sh");
                sh.arg("-c").arg(format!("ulimit -n {n}; exec \"$0\" \"$@\"")).arg(program);
                sh
            }
        };
        // A log of its own, removed with the rest.
        command.env("STATE_DIRECTORY", scratch.path().join("state"));
        command.arg("--config").arg(&file).stdin(Stdio::null()).stderr(Stdio::piped());
        if let Some(address) = self.listen {
            command.args(["--listen", address]);
        }
        let mut child = command.spawn().unwrap();
        let (log, reader) = Lines::collect(child.stderr.take().unwrap());
        Broker {
            child,
            ended: None,
            addresses: Vec::new(),
            log,
            reader: Some(reader),
            _scratch: scratch,
        }
    }
}

/// The address in a "listening" line, of text or JSON.
fn listening_on(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening")?;
    let (_, address) = rest.split_once("address")?;
    address.trim_matches(|c| "\":=}".contains(c)).parse().ok()
}

impl Broker {
    /// Waits until it listens; false if it says that it cannot.
    pub(crate) fn wait_ready(&mut self) -> bool {
        let ready = self.log.wait_until("start", |lines| {
            let failed = lines.iter().any(|l| l.contains("cannot") || l.starts_with("stonechat:"));
            (failed || lines.iter().any(|l| l.contains("stonechat is ready"))).then_some(!failed)
        });
        if ready {
            self.addresses = self.log.all().iter().filter_map(|line| listening_on(line)).collect();
        }
        ready
    }

    /// SIGKILL: nothing is said, nothing is written, nothing is closed in order.
    pub(crate) fn kill(mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "it has ended by itself");
        self.signal(Signal::KILL);
        self.ended = Some(self.child.wait().unwrap());
    }

    /// Its configuration file.
    pub(crate) fn config_file(&self) -> PathBuf {
        self._scratch.path().join("stonechat.toml")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub(crate) fn port(&self) -> u16 {
        self.address().port()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A bare connection.
    pub(crate) fn socket(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        socket
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the process to end.
    pub(crate) fn wait(&mut self, at_most: Duration) -> ExitStatus {
        // The log ends with the process; what is left to wait for then is next to nothing.
        assert!(self.log.wait_end(at_most), "still running after {at_most:?}");
        let status = self.child.wait().unwrap();
        self.ended = Some(status);
        status
    }

    /// SIGTERM, and an orderly end. Every test that is not about something else ends with it.
    pub(crate) fn stop(mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "it has ended by itself");
        self.signal(Signal::TERM);
        let status = self.wait(Duration::from_secs(20));
        assert_eq!(status.code(), Some(0), "{}", self.log.all().join("\n"));
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            if std::thread::panicking() {
                let log = self.log.all();
                let from = log.len().saturating_sub(30);
                eprintln!("the broker's log, its end:\n{}", log[from..].join("\n"));
            }
        }
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
