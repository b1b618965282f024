//! Root is given up: `server.user`.

use stonechat::codec::QoS;

use crate::support::broker::{Scratch, Setup};
use crate::support::client::Client;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The fields of a line of /proc/pid/status of each thread.
fn ids(pid: u32, name: &str) -> Vec<Vec<u32>> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let status = threads.map(|t| std::fs::read_to_string(t.unwrap().path().join("status")));
    let line = |text: String| {
        let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap().to_owned();
        line.split_whitespace().map(|id| id.parse().unwrap()).collect()
    };
    status.map(|text| line(text.unwrap())).collect()
}

#[test]
fn root_is_given_up() {
    let user = "server.user = \"nobody\"";
    if !is_root() {
        let log = Setup { settings: user, ..Setup::default() }.try_start().err().unwrap();
        return assert!(log.contains("only root can become another user"), "{log}");
    }
    // Where that user may make its own.
    let open = std::env::temp_dir().join(format!("stonechat-root-{}", std::process::id()));
    std::fs::create_dir(&open).unwrap();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    nix::unistd::chown(&open, Some(nobody.uid), Some(nobody.gid)).unwrap();
    let settings = format!("{user}\nstore.directory = {open:?}");
    let broker = Setup { shards: 2, settings: &settings, ..Setup::default() }.start();
    broker.log.wait_for(&["root's rights are given up", "nobody"]);
    let (uid, gid) = (nobody.uid.as_raw(), nobody.gid.as_raw());
    let threads = ids(broker.pid(), "Uid:");
    assert!(threads.len() > 3, "{threads:?}");
    assert!(threads.iter().all(|ids| ids[..] == [uid; 4]), "{threads:?}");
    assert!(ids(broker.pid(), "Gid:").iter().all(|ids| ids[..] == [gid; 4]));
    assert!(ids(broker.pid(), "Groups:").iter().all(|ids| !ids.contains(&0)));
    // It writes its log all the same.
    Client::new(&broker, "c").publish("a", b"x", QoS::ExactlyOnce);
    broker.stop();
    let _ = std::fs::remove_dir_all(&open);
}

#[test]
fn a_directory_of_others_is_said() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new(); // root's
    let settings = format!("server.user = \"nobody\"\nstore.directory = {:?}", scratch.path());
    let log = Setup { settings: &settings, ..Setup::default() }.try_start().err().unwrap();
    assert!(log.contains("nobody") && log.contains(scratch.path().to_str().unwrap()), "{log}");
}
