//! Password files, mosquitto's and own ones; what wrong passwords cost.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stonechat::codec::{Connect, Packet, Version};

use crate::support::broker::{Scratch, Setup};
use crate::support::client::{Client, Heard, bytes_of, connect};
use crate::{SECRET_HASH, as_user, code_of};

/// Runs a program with a line of input.
fn run(program: &str, arguments: &[&str], input: &str) -> bool {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return false };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{program} {arguments:?}");
    true
}

#[test]
fn files_of_mosquitto_and_own_ones() {
    let scratch = Scratch::new();
    let file = scratch.path().join("passwords");
    let path = file.to_str().unwrap();
    std::fs::write(&file, format!("old:{SECRET_HASH}\n")).unwrap();
    let mut users = vec![("old", "secret"), ("own", "wren"), ("scram", "robin")];
    // As a user of mosquitto goes on with what is there.
    if run("mosquitto_passwd", &["-b", path, "made", "thrush"], "") {
        users.push(("made", "thrush"));
    }
    let own = env!("CARGO_BIN_EXE_stonechat");
    assert!(run(own, &["passwd", path, "own"], "wren\n"));
    assert!(run(own, &["passwd", "--scram", path, "scram"], "robin\n"));
    let settings = format!("auth.wrong_password_delay_ms = 0\nauth.password_file = {path:?}");
    let broker =
        Setup { anonymous: false, shards: 2, settings: &settings, ..Setup::default() }.start();
    for (user, password) in users {
        for version in [Version::V5, Version::V311] {
            let (bad, no_name) = if version.is_v5() { (0x86, 0x87) } else { (4, 5) };
            let with = |user, password| Connect { version, ..as_user("c", user, password) };
            assert_eq!(code_of(&broker, with(user, password)), 0, "{user}");
            assert_eq!(code_of(&broker, with(user, "wrong")), bad, "{user}");
            assert_eq!(code_of(&broker, with("nobody", password)), bad);
            assert_eq!(code_of(&broker, connect(version, "c")), no_name);
        }
    }
    broker.stop();
}

/// The line of one that is refused has who it says it is: escaped, short, without its password.
#[test]
fn who_is_refused_is_named_as_it_claims() {
    let scratch = Scratch::new();
    let file = scratch.path().join("passwords");
    std::fs::write(&file, format!("u:{SECRET_HASH}\n")).unwrap();
    let file = format!("auth.wrong_password_delay_ms = 0\nauth.password_file = {file:?}");
    let long = "l".repeat(3000);
    let shown = format!(r#"unverified_user="{}…" "#, &long[..64]);
    for settings in ["", file.as_str()] {
        let broker = Setup { anonymous: false, settings, ..Setup::default() }.start();
        for (id, user, wanted) in [
            ("one", "ann", ["client_id=one ", "unverified_user=ann "]),
            ("two", "a\" why=\u{202e}\n", ["client_id=two ", r#"="a\" why=\u{202e}\n" "#]),
            ("three", &long, ["client_id=three ", &shown]),
        ] {
            let code = code_of(&broker, as_user(id, user, "hushhush"));
            assert_eq!(code, if settings.is_empty() { 0x87 } else { 0x86 });
            broker.log.wait_for(&["connection refused", wanted[0], wanted[1]]);
        }
        let log = broker.log.all().join("\n");
        assert!(!log.contains("hush") && !log.contains(&long[..65]), "{log}");
        broker.stop();
    }
}

/// A client that comes by a proxy from `source`; its CONNECT is sent.
fn from(address: std::net::SocketAddr, source: &str, connect: Connect<'_>) -> TcpStream {
    let mut socket = TcpStream::connect(address).unwrap();
    let header = format!("PROXY TCP4 {source} 192.0.2.200 1000 1883\r\n");
    let packet = bytes_of(&Packet::Connect(Box::new(connect)), Version::V5);
    socket.write_all(&[header.as_bytes(), &packet].concat()).unwrap();
    socket
}

/// Behind wrong passwords, who guesses waits, and longer each time; whoever comes from elsewhere
/// with the same name does not, and the one from there with another name neither.
#[test]
fn wrong_passwords_delay_their_own_source() {
    let scratch = Scratch::new();
    let file = scratch.path().join("passwords");
    std::fs::write(&file, format!("u:{SECRET_HASH}\nv:{SECRET_HASH}\n")).unwrap();
    let settings = format!(
        "auth.wrong_password_delay_ms = 400\nauth.password_file = {file:?}\n[[listener]]\n\
         address = \"127.0.0.1:0\"\nproxy = \"v1\"\nproxy_from = \"127.0.0.1/32\""
    );
    let broker =
        Setup { anonymous: false, settings: &settings, listen: None, ..Setup::default() }.start();
    let address = broker.address();
    let hear = |socket| match Client::over(socket, Version::V5).hear() {
        Heard::ConnAck { code, .. } => code,
        other => panic!("{other:?}"),
    };
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(hear(from(address, "192.0.2.1", as_user("c", "u", "wrong"))), 0x86);
    }
    // The second is looked at 400 ms after the first, the third 800 ms after that; each answer
    // takes 400 ms.
    assert!(began.elapsed() >= Duration::from_millis(400 + 800 + 400));
    // The next has to wait for another 1200 ms.
    let mut held = from(address, "192.0.2.1", as_user("a", "u", "secret"));
    assert_eq!(hear(from(address, "192.0.2.2", as_user("b", "u", "secret"))), 0);
    assert_eq!(hear(from(address, "192.0.2.1", as_user("d", "v", "secret"))), 0);
    held.set_nonblocking(true).unwrap();
    let early = held.read(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(early, Err(ErrorKind::WouldBlock), "it has not been answered yet");
    held.set_nonblocking(false).unwrap();
    assert_eq!(hear(held), 0);
    broker.stop();
}
