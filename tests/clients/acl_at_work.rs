//! An ACL file of mosquitto's at work, beside mosquitto: the same two files, the same clients, and
//! each message reaches the same ones.

use std::net::SocketAddr;
use std::process::Command;

use crate::acl_beside::mosquitto;
use crate::doors::{closed, listener, tools};
use crate::support::broker::Scratch;
use crate::tools::{Running, end, is_here, run};

const RULES: &str = "\
# who has no name
topic read news/#
topic write letters/+

user anna
topic readwrite house/#
topic deny house/safe/#
topic news/#

user bert
topic read house/+/state
topic write house/lamp/set
topic deny news/secret

user watcher
topic readwrite #
topic readwrite $own/#

pattern readwrite own/%u/%c/#
pattern read told/%c
pattern read end
";

/// Who publishes, where, and who gets it: who has `n`o name, `a`nna, `b`ert, `w`atcher; empty if it
/// is denied. Publishers' Client Identifiers are `p`, subscribers' are `s-` and their name.
const MESSAGES: &[(&str, &str, &str)] = &[
    ("", "news/today", ""),
    ("", "letters/1", "w"),
    ("", "letters/1/2", ""),
    ("", "own/anna/s-anna/x", ""),
    ("anna", "house/lamp/state", "abw"),
    ("anna", "house/lamp/set", "aw"),
    ("anna", "house/safe/state", ""),
    ("anna", "news/secret", "naw"),
    ("anna", "news", "naw"),
    ("anna", "own/anna/p/x", "w"),
    ("anna", "own/anna/s-anna/x", ""),
    ("anna", "told/s-bert", ""),
    ("bert", "house/lamp/state", ""),
    ("bert", "house/lamp/set", "aw"),
    ("bert", "news/secret", ""),
    ("bert", "own/bert/p", "w"),
    ("watcher", "house/safe/state", "bw"),
    ("watcher", "letters/1", "w"),
    ("watcher", "news/secret", "naw"),
    ("watcher", "told/s-anna", "aw"),
    ("watcher", "told/s-bert", "bw"),
    ("watcher", "told/s-", "nw"),
    ("watcher", "own/bert/s-bert/x/y", "bw"),
    ("watcher", "$own/anna", "w"),
    ("watcher", "elsewhere", "w"),
    ("watcher", "end", "nabw"),
];

const USERS: [&str; 4] = ["", "anna", "bert", "watcher"];

/// A tool for one of these users.
fn tool(program: &str, address: SocketAddr, user: &str, version: &str) -> Command {
    let mut command = Command::new("stdbuf");
    command.args(["-oL", program, "-h", "127.0.0.1", "-p", &address.port().to_string()]);
    if !user.is_empty() {
        command.args(["-u", user, "-P", "wren"]);
    }
    command.args(["-V", version, "-q", "1"]);
    command
}

/// What a broker does with all that.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// how each publisher ended, and what it said
    publishers: Vec<(usize, Option<i32>, String)>,
    /// what each user received, retained or not
    received: Vec<(&'static str, Vec<String>)>,
}

fn outcome(address: SocketAddr, version: &str) -> Outcome {
    let publishes = |user: &str, topic: &str, more: &[&str]| {
        let mut command = tool("mosquitto_pub", address, user, version);
        end(command.args(["-i", "p", "-t", topic]).args(more))
    };
    for topic in ["news/kept", "house/lamp/state", "house/safe/state", "told/s-bert", "letters/1"] {
        publishes("watcher", topic, &["-m", "kept", "-r"]);
        publishes("bert", topic, &["-m", "bert's", "-r"]);
    }
    let subscribers = USERS.map(|user| {
        let mut sub = tool("mosquitto_sub", address, user, version);
        sub.args(["-i", &format!("s-{user}"), "-t", "#", "-t", "$own/#", "-d"]);
        let sub = Running::start(sub.args(["-F", "=> %r %t %p"]));
        sub.out.wait_for(&["Subscribed"]);
        sub
    });
    let publishers = MESSAGES.iter().enumerate().map(|(n, (user, topic, _))| {
        let ended = publishes(user, topic, &["-m", &n.to_string()]);
        (n, ended.status.code(), ended.err)
    });
    let publishers = publishers.collect();
    let received = USERS.iter().zip(subscribers).map(|(&user, sub)| {
        sub.out.wait_for(&["=> 0 end"]);
        let lines = sub.out.all();
        let mut got: Vec<_> = lines.into_iter().filter(|line| line.starts_with("=> ")).collect();
        got.sort(); // retained ones come in any order
        (user, got)
    });
    Outcome { publishers, received: received.collect() }
}

#[test]
fn the_same_reaches_the_same() {
    const WHAT: &str = "an ACL file at work beside mosquitto";
    if !tools(WHAT) || !is_here("mosquitto", "-h", WHAT) {
        return;
    }
    let scratch = Scratch::new();
    let passwords = scratch.path().join("passwords");
    for user in &USERS[1..] {
        let mut passwd = Command::new("mosquitto_passwd");
        if !passwords.exists() {
            passwd.arg("-c");
        }
        run(passwd.arg("-b").arg(&passwords).args([user, "wren"]));
    }
    let line = format!("password_file {}\n", passwords.display());
    let (_mosquitto, theirs) = mosquitto(&scratch, RULES, &line).unwrap();
    let acl = scratch.path().join("acl"); // the file that it reads as well
    let broker = closed(&format!(
        "auth.password_file = {passwords:?}\nauth.acl_file = {acl:?}\n{}",
        listener("allow_anonymous = true")
    ));
    for version in ["5", "311"] {
        let (own, theirs) = std::thread::scope(|scope| {
            let own = scope.spawn(|| outcome(broker.address(), version));
            let theirs = scope.spawn(|| outcome(theirs, version));
            (own.join().unwrap(), theirs.join().unwrap())
        });
        assert_eq!(own, theirs, "version {version}");
        for (n, (user, topic, receivers)) in MESSAGES.iter().enumerate() {
            let line = format!("=> 0 {topic} {n}");
            let got = own.received.iter().zip(["n", "a", "b", "w"]);
            let got = got.filter(|((_, lines), _)| lines.contains(&line)).map(|(_, who)| who);
            assert_eq!(got.collect::<String>(), *receivers, "{user:?} to {topic}");
            // Version 3.1.1 has no words for it.
            let denied = own.publishers[n].2.contains("Not authorized");
            assert_eq!(denied, receivers.is_empty() && version == "5", "{user:?} to {topic}");
        }
        let kept = own.received.iter().map(|(_, lines)| {
            lines.iter().filter(|line| line.starts_with("=> 1") && line.ends_with(" kept")).count()
        });
        assert_eq!(kept.collect::<Vec<_>>(), [1, 2, 3, 5]);
    }
    broker.stop();
}
