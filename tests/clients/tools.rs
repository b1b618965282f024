//! Programs of others: whether they are there, and how they are run.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::broker::{Lines, Scratch};

/// How long a whole script of checks may take.
const SCRIPT_PATIENCE: Duration = Duration::from_secs(150);

/// Says that something is skipped (past the capture of a test's output), or fails if nothing may
/// be.
pub(crate) fn skip(what: &str) {
    let required = std::env::var("STONECHAT_TESTS_REQUIRE_ALL").is_ok_and(|v| v == "1");
    assert!(!required, "must not be skipped: {what}");
    let _ = writeln!(std::io::stderr(), "skipped: {what}");
}

/// Whether `program` can be run at all; says that `what` is skipped if not.
pub(crate) fn is_here(program: &str, argument: &str, what: &str) -> bool {
    let here = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !here {
        skip(&format!("{what} ({program} is not installed)"));
    }
    here
}

/// A mosquitto on loopback, for anonymous clients, that keeps nothing; or what it says instead of a
/// start.
pub(crate) fn mosquitto(
    scratch: &Scratch,
    settings: &str,
) -> Result<(Running, SocketAddr), String> {
    // It takes no port 0: a port that was free a moment ago.
    let mut said = String::new();
    for _ in 0..20 {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let file = scratch.path().join("mosquitto.conf");
        let text = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n\
             log_dest stderr\n{settings}",
            address.port()
        );
        std::fs::write(&file, text).unwrap();
        let running = Running::start(Command::new("mosquitto").arg("-c").arg(&file));
        let up = running.err.wait_until("start of mosquitto", |lines| {
            let has = |text: &str| lines.iter().any(|l| l.contains(text));
            if has("running") { Some(true) } else { has("Error").then_some(false) }
        });
        if up {
            return Ok((running, address));
        }
        said = running.err.all().join("\n");
        if !said.contains("in use") {
            break;
        }
    }
    Err(said)
}

/// How a program ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) out: Vec<String>,
    pub(crate) err: String,
}

/// A running program whose output is collected; killed on drop.
pub(crate) struct Running {
    name: String,
    child: Child,
    pub(crate) out: Arc<Lines>,
    pub(crate) err: Arc<Lines>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::with(command.stdin(Stdio::null()))
    }

    /// One that is told things.
    pub(crate) fn told(command: &mut Command) -> Self {
        Self::with(command.stdin(Stdio::piped()))
    }

    fn with(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let (out, a) = Lines::collect(child.stdout.take().unwrap());
        let (err, b) = Lines::collect(child.stderr.take().unwrap());
        Self { name, child, out, err, readers: vec![a, b] }
    }

    /// What it is told on its standard input, if that is a pipe.
    pub(crate) fn tell(&mut self, bytes: &[u8]) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(bytes).and_then(|()| stdin.flush()).unwrap();
    }

    /// Waits for its end, good or bad, which has to come.
    pub(crate) fn end(mut self) -> Ended {
        let in_time = self.out.wait_end(SCRIPT_PATIENCE);
        if !in_time {
            let _ = self.child.kill();
        }
        let status = self.child.wait().unwrap();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        let (out, err) = (self.out.all(), self.err.all().join("\n"));
        assert!(in_time, "{} does not end:\n{}\n{err}", self.name, out.join("\n"));
        Ended { status, out, err }
    }

    /// Waits for a good end; returns the lines of its output.
    pub(crate) fn finish(self) -> Vec<String> {
        let name = self.name.clone();
        let Ended { status, out, err } = self.end();
        assert!(status.success(), "{name}: {status}\n{}\n{err}", out.join("\n"));
        out
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

/// Runs a program to its end, good or bad.
pub(crate) fn end(command: &mut Command) -> Ended {
    Running::start(command).end()
}

/// Runs a program to its good end.
pub(crate) fn run(command: &mut Command) -> Vec<String> {
    Running::start(command).finish()
}
