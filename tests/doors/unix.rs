//! Unix sockets: their file, its mode, and who is at the other end.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use crate::certificates::Files;
use crate::support::PATIENCE;
use crate::support::broker::Setup;
use crate::talk::{Talk, open};

fn at(path: &Path, lines: &str) -> String {
    format!("[[listener]]\naddress = \"unix:{}\"\n{lines}\n", path.display())
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn a_socket_with_its_mode_and_its_peers() {
    let files = Files::new();
    let (path, other) = (files.path("a"), files.path("b"));
    let broker = open(&(at(&path, "unix_mode = \"0600\"") + &at(&other, "")));
    for (path, mode) in [(&path, 0o600), (&other, 0o660)] {
        let found = fs::symlink_metadata(path).unwrap();
        assert!(found.file_type().is_socket());
        assert_eq!(found.permissions().mode() & 0o777, mode);
    }
    let mut talk = Talk::enter(connect(&path), "c");
    talk.round_trip(&vec![b'x'; 100_000]);
    let (uid, pid) = (rustix::process::getuid().as_raw(), std::process::id());
    broker.log.wait_for(&["client connected", &format!("unix:uid={uid},pid={pid}")]);
    broker.stop();
    assert!(!path.exists() && !other.exists(), "removed at the end");
}

#[test]
fn what_is_there_already() {
    let files = Files::new();
    let path = files.path("s");
    let settings = at(&path, "");
    let refused = |why: &str| {
        let setup = Setup { listen: None, settings: &settings, ..Setup::default() };
        let Err(log) = setup.try_start() else { panic!("{why}") };
        assert!(log.contains(why) && log.contains("cannot listen on unix:"), "{log}");
    };
    // No socket: it stays.
    fs::write(&path, "text").unwrap();
    refused("no socket");
    assert_eq!(fs::read(&path).unwrap(), b"text");
    fs::remove_file(&path).unwrap();
    // Somebody listens.
    let living = UnixListener::bind(&path).unwrap();
    refused("somebody listens there");
    assert!(UnixStream::connect(&path).is_ok());
    // Nobody does any more.
    drop(living);
    assert!(path.exists());
    let broker = open(&settings);
    Talk::enter(connect(&path), "c").ping();
    // A broker that is killed leaves it behind for the next.
    broker.kill();
    assert!(path.exists());
    let broker = open(&settings);
    Talk::enter(connect(&path), "c").ping();
    broker.stop();
}

#[test]
fn an_owner_that_is_not_there() {
    let files = Files::new();
    let settings = at(&files.path("s"), "unix_owner = \"nobody-of-that-name\"");
    let setup = Setup { listen: None, settings: &settings, ..Setup::default() };
    let Err(log) = setup.try_start() else { panic!("it started") };
    assert!(log.contains("there is no user \"nobody-of-that-name\""), "{log}");
    assert!(!files.path("s").exists());
}
