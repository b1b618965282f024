//! Nothing that a client shows to prove who it is comes into a log line, at any level.

use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;
use stonechat::codec::{Connect, Version};

use crate::support::broker::{Scratch, Setup};
use crate::support::client::{Client, connect};
use crate::tokens::{KEY, now_s, token};
use crate::{as_user, code_of};

#[test]
fn secrets_stay_out_of_the_log() {
    let scratch = Scratch::new();
    let (passwords, key) = (scratch.path().join("passwords"), scratch.path().join("key"));
    let hash = stonechat::auth::password::new_scram(b"hushhush", b"0123456789abcdef");
    std::fs::write(&passwords, format!("u:{hash}\n")).unwrap();
    std::fs::write(&key, KEY).unwrap();
    let shown = scratch.path().join("shown");
    std::fs::write(&shown, "showshow\n").unwrap();
    let settings = format!(
        "log.level = \"trace\"\nauth.wrong_password_delay_ms = 0\n\
         auth.password_file = {passwords:?}\nauth.jwt_secret_file = {key:?}\n\
         auth.hook_url = \"http://127.0.0.1:9/?key=hookhook\"\n\
         auth.hook_token_file = {shown:?}"
    );
    let mut broker = Setup { settings: &settings, ..Setup::default() }.start();
    let good = token(r#"{"alg":"HS256"}"#, &format!(r#"{{"sub":"u","exp":{}}}"#, now_s() + 60));
    let bad = format!("{}x", token(r#"{"alg":"HS256"}"#, r#"{"sub":"u"}"#));
    let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
    let parts = hash.split(['$', ':']).skip(2).map(str::to_owned).collect::<Vec<_>>();
    let mut secrets = vec![
        "hushhush".to_owned(),
        "wrongwrong".to_owned(),
        "hookhook".to_owned(),
        "showshow".to_owned(),
        KEY.to_owned(),
        signature(&good),
        signature(&bad),
    ];
    secrets.extend(parts.into_iter().filter(|part| part.len() > 8));
    for version in [Version::V5, Version::V311] {
        let with = |password| Connect { version, ..as_user("c", "u", password) };
        assert_eq!(code_of(&broker, with("hushhush")), 0);
        assert_ne!(code_of(&broker, with("wrongwrong")), 0);
        assert_eq!(code_of(&broker, with(&good)), 0);
        assert_ne!(code_of(&broker, with(&bad)), 0);
    }
    for data in [&b"n,,n=u,r=hushhush"[..], b"hushhush"] {
        let connect = Connect {
            authentication_method: Some("SCRAM-SHA-256"),
            authentication_data: Some(data),
            ..connect(Version::V5, "c")
        };
        let mut client = Client::bare(&broker, Version::V5);
        client.send(&stonechat::codec::Packet::Connect(Box::new(connect)));
        drop(client);
    }
    // A password file with a mistake: its line is named, and not shown.
    std::fs::write(&passwords, "u:hushhush\n").unwrap();
    // So is a token that none is.
    std::fs::write(&shown, "showshow showshow\n").unwrap();
    broker.signal(Signal::HUP);
    broker.log.wait_for(&["what was in force stays", "passwords:1:"]);
    broker.log.wait_for(&["what was in force stays", "shown: no header can carry this"]);
    broker.signal(Signal::TERM);
    let status = broker.wait(std::time::Duration::from_secs(20));
    assert!(status.success() && status.signal().is_none());
    let log = broker.log.all().join("\n");
    assert!(log.contains("client connected") && log.contains("connection refused"), "{log}");
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret:?} stands in:\n{log}");
    }
}
