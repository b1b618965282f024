//! paho-mqtt, aiomqtt, mqtt.js and paho C: each runs checks of its own. They are installed below
//! `target/`, once; paho C is the system's.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::doors::{closed, listener};
use crate::support::broker::sharded;
use crate::tools::{is_here, run, skip};

/// QoS 0 is dropped for who reads too slowly: the scripts want all of it.
const ROOM: &str = "limits.output_bytes_max = 67108864";

pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// The directory `name` below `target/`, filled by `install` if it has not been before.
fn installed(name: &str, install: impl FnOnce(&Path) -> Result<(), String>) -> Option<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let done = directory.join("installed");
    if done.exists() {
        return Some(directory);
    }
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    match install(&directory) {
        Ok(()) => {
            std::fs::write(done, "").unwrap();
            Some(directory)
        }
        Err(error) => {
            skip(&format!("{name} (it cannot be installed: {error})"));
            None
        }
    }
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(text.lines().last().unwrap_or("no reason given").to_owned())
}

/// Python with `package` in a virtual environment of its own.
pub(crate) fn python_with(name: &str, package: &str) -> Option<Command> {
    if !is_here("python3", "--version", name) {
        return None;
    }
    let environment = installed(name, |directory| {
        succeed(Command::new("python3").args(["-m", "venv"]).arg(directory))?;
        let mut pip = Command::new(directory.join("bin/python"));
        succeed(pip.args(["-m", "pip", "install", "--disable-pip-version-check", package]))
    })?;
    let mut python = Command::new(environment.join("bin/python"));
    python.args(["-W", "ignore"]);
    Some(python)
}

/// paho-mqtt 2.
pub(crate) fn python_paho() -> Option<Command> {
    python_with("paho-mqtt-2", "paho-mqtt>=2,<3")
}

/// Where mqtt.js is.
pub(crate) fn mqtt_js_modules() -> Option<PathBuf> {
    if !is_here("node", "--version", "mqtt.js") || !is_here("npm", "--version", "mqtt.js") {
        return None;
    }
    installed("mqtt-js", |directory| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix"]);
        succeed(npm.arg(directory).arg("mqtt@5").current_dir(directory))
    })
}

/// Runs a Python script.
fn python(python: Option<Command>, file: &str, shards: usize) {
    let Some(mut python) = python else { return };
    let broker = sharded(shards, ROOM);
    let lines = run(python.arg(script(file)).arg(broker.port().to_string()));
    assert_eq!(lines.last().map(String::as_str), Some("passed"), "{lines:?}");
    broker.stop();
}

#[test]
fn paho_2() {
    python(python_paho(), "paho_checks.py", 2);
}

#[test]
fn paho_1() {
    python(python_with("paho-mqtt-1", "paho-mqtt==1.6.1"), "paho_checks.py", 1);
}

#[test]
fn aiomqtt() {
    python(python_with("aiomqtt", "aiomqtt>=2,<3"), "aiomqtt_checks.py", 2);
}

#[test]
fn mqtt_js() {
    let Some(modules) = mqtt_js_modules() else { return };
    for shards in [1, 2] {
        let broker = sharded(shards, ROOM);
        let mut node = Command::new("node");
        node.arg(script("mqttjs_checks.mjs")).arg(broker.port().to_string()).arg(&modules);
        let lines = run(&mut node);
        assert_eq!(lines.last().map(String::as_str), Some("passed"), "{lines:?}");
        broker.stop();
    }
}

/// Compiles the checks of paho C, for one test alone; `None`, with a line, if there is no compiler
/// or no library.
fn compiled_paho_c(name: &str) -> Option<PathBuf> {
    if !is_here("cc", "--version", "paho C") {
        return None;
    }
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("paho_c_checks_{name}"));
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-Wall", "-Wextra", "-O1", "-o"]).arg(&program);
    cc.arg(script("paho_c_checks.c")).args(["-lpaho-mqtt3c", "-lpthread"]);
    let output = cc.stdin(Stdio::null()).output().unwrap();
    if output.status.success() {
        return Some(program);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let missing = text.contains("MQTTClient.h: No such file") || text.contains("lpaho-mqtt3c");
    assert!(missing, "the checks do not compile:\n{text}");
    skip("paho C (libpaho-mqtt-dev is not installed)");
    None
}

/// On a listener with these lines.
fn paho_c_on(scheme: &str, lines: &str) {
    let Some(program) = compiled_paho_c(scheme) else { return };
    let open = listener(&format!("allow_anonymous = true\n{lines}"));
    let broker = closed(&format!("{ROOM}\n{open}"));
    let uri = format!("{scheme}://{}/mqtt", broker.addresses[0]);
    let lines = run(Command::new(&program).arg(&uri));
    assert_eq!(lines.last().map(String::as_str), Some("passed"), "{lines:?}");
    broker.stop();
}

#[test]
fn paho_c() {
    paho_c_on("tcp", "");
}

/// It reads one packet of a frame, and the next one only when more comes.
#[test]
fn paho_c_over_websocket() {
    paho_c_on("ws", "protocol = \"websocket\"\n");
}
