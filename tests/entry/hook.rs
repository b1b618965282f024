//! The HTTP hook: what it says counts, and what it does not say is a no.

use rustix::process::Signal;
use stonechat::codec::{Packet, QoS};

use crate::support::broker::{Scratch, Setup};
use crate::support::client::{Client, Heard, publish, subscribe};
use crate::{as_user, code_of};

#[path = "../support/hook.rs"]
mod server;
use server::{HookServer, Said};

#[test]
fn the_hook() {
    let hook = HookServer::new(|body| {
        let has = |text: &str| body.contains(text);
        match () {
            () if has(r#""user":"slow""#) => Said::Nothing,
            () if has(r#""user":"broken""#) => Said::Answer(200, "{".into()),
            () if has(r#""action":"connect""#) => {
                Said::Answer(200, format!(r#"{{"allow":{}}}"#, has(r#""password":"yes""#)))
            }
            () => Said::Answer(200, format!(r#"{{"allow":{}}}"#, has("good"))),
        }
    });
    let settings = format!(
        "auth.hook_url = {:?}\nauth.hook_timeout_ms = 500\nauth.hook_acl = true\n\
         auth.wrong_password_delay_ms = 0",
        hook.url()
    );
    let broker =
        Setup { anonymous: false, shards: 2, settings: &settings, ..Setup::default() }.start();
    for (user, password, code) in [
        ("u", "yes", 0),
        ("u", "no", 0x86),
        ("slow", "yes", 0x88),
        ("broken", "yes", 0x88),
        ("u", "yes", 0),
    ] {
        assert_eq!(code_of(&broker, as_user("c", user, password)), code, "{user} {password}");
    }
    let mut client = Client::with(&broker, as_user("c", "u", "yes")).0;
    for (topic, code) in [("good/1", 0x10), ("bad", 0x87), ("good/1", 0x10)] {
        client.send(&Packet::Publish(publish(topic, b"", QoS::AtLeastOnce, 7)));
        assert_eq!(client.hear(), Heard::PubAck(7, code), "{topic}");
    }
    for (filter, code) in [("good/#", 0), ("bad/#", 0x87)] {
        client.send(&subscribe(filter, QoS::AtMostOnce, 8));
        assert_eq!(client.hear(), Heard::SubAck(vec![code]), "{filter}");
    }
    drop(hook);
    assert_eq!(code_of(&broker, as_user("d", "new", "yes")), 0x88);
    client.send(&Packet::Publish(publish("good/new", b"", QoS::AtLeastOnce, 9)));
    assert_eq!(client.hear(), Heard::PubAck(9, 0x87), "what is not answered is refused");
    let lines = broker.log.all();
    let outages = lines.iter().filter(|line| line.contains("the hook does not answer")).count();
    // Slow is one, and broken still the same; what came after that is a second one at most.
    assert!((1..=2).contains(&outages), "{}", lines.join("\n"));
    broker.stop();
}

/// The broker's token is another after SIGHUP; a file that holds none is told of, and the old one
/// goes on.
#[test]
fn the_hook_is_shown_a_token() {
    let scratch = Scratch::new();
    let file = scratch.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    let hook = HookServer::saying(200, r#"{"allow":true}"#);
    let settings = format!(
        "server.watch_files_s = 0\nauth.hook_url = {:?}\nauth.hook_token_file = {file:?}\n\
         auth.hook_cache_s = 0",
        hook.url()
    );
    let broker = Setup { anonymous: false, settings: &settings, ..Setup::default() }.start();
    let shown = || {
        assert_eq!(code_of(&broker, as_user("c", "u", "yes")), 0);
        hook.authorizations().pop().unwrap()
    };
    assert_eq!(shown().as_deref(), Some("Bearer first"));
    for (n, (token, expected, problems)) in [
        ("second\n", "second", 0),
        ("third\nline\n", "second", 1),
        ("", "second", 1),
        ("4", "4", 0),
    ]
    .into_iter()
    .enumerate()
    {
        std::fs::write(&file, token).unwrap();
        broker.signal(Signal::HUP);
        let line = broker.log.wait_until("a reload", |lines| {
            lines.iter().filter(|line| line.contains("why=SIGHUP")).nth(n).cloned()
        });
        assert!(line.contains(&format!("problems={problems}")), "{line}");
        assert_eq!(shown(), Some(format!("Bearer {expected}")));
    }
    for why in ["no header can carry this", "there is no token in it"] {
        broker.log.wait_for(&["what was in force stays", "files of the hook: ", "token: ", why]);
    }
    broker.stop();
}
