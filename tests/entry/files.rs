//! ACL files at work, and files that change while clients are there.

use rustix::process::Signal;
use stonechat::codec::{Packet, QoS, Version};

use crate::support::broker::{Scratch, Setup};
use crate::support::client::{Client, Heard, connect, persistent, publish, subscribe};
use crate::{SECRET_HASH, as_user, code_of};

fn puback(client: &mut Client, topic: &str) -> u8 {
    client.send(&Packet::Publish(publish(topic, b"x", QoS::AtLeastOnce, 5)));
    match client.answer() {
        Heard::PubAck(5, code) => code,
        other => panic!("{other:?}"),
    }
}

/// mosquitto's file: SUBSCRIBE is granted, and every delivery looked at.
#[test]
fn a_file_of_mosquitto() {
    let scratch = Scratch::new();
    let (acl, passwords) = (scratch.path().join("acl"), scratch.path().join("passwords"));
    let rules = "topic read public/#\nuser u\ntopic write in/#\ntopic deny in/secret\n\
                 topic read out/#\npattern readwrite own/%u/%c/#\n";
    std::fs::write(&acl, rules).unwrap();
    std::fs::write(&passwords, format!("u:{SECRET_HASH}\n")).unwrap();
    let settings = format!("auth.acl_file = {acl:?}\nauth.password_file = {passwords:?}");
    let broker = Setup { shards: 2, settings: &settings, ..Setup::default() }.start();
    let mut user = Client::with(&broker, as_user("c", "u", "secret")).0;
    let mut nobody = Client::with(&broker, connect(Version::V5, "n")).0;
    for (topic, code) in [
        ("in/1", 0x10),
        ("in/secret", 0x87),
        ("out/1", 0x87),
        ("own/u/c/1", 0x10),
        ("own/u/d/1", 0x87),
    ] {
        assert_eq!(puback(&mut user, topic), code, "{topic}");
        assert_eq!(puback(&mut nobody, topic), 0x87, "{topic}");
    }
    // Everything is asked for, and only what may be read comes.
    user.subscribe("#", QoS::AtMostOnce);
    nobody.subscribe("#", QoS::AtMostOnce);
    assert_ne!(puback(&mut user, "in/2"), 0x87);
    assert_eq!(puback(&mut user, "own/u/c/2"), 0);
    assert_eq!(user.message().topic, "own/u/c/2");
    nobody.ping();
    user.disconnect();
    broker.stop();
}

#[test]
fn another_users_session_is_not_taken_over() {
    let scratch = Scratch::new();
    let passwords = scratch.path().join("passwords");
    std::fs::write(&passwords, format!("u:{SECRET_HASH}\nv:{SECRET_HASH}\n")).unwrap();
    let settings = format!("auth.password_file = {passwords:?}");
    let broker = Setup { settings: &settings, ..Setup::default() }.start();
    let lasting = |user| stonechat::codec::Connect {
        user_name: Some(user),
        password: Some(b"secret"),
        ..persistent(Version::V5, "c")
    };
    let mut owner = Client::with(&broker, lasting("u")).0;
    assert_eq!(code_of(&broker, lasting("v")), 0x87);
    assert_eq!(code_of(&broker, persistent(Version::V5, "c")), 0x87);
    owner.ping();
    owner.disconnect();
    assert_eq!(code_of(&broker, lasting("v")), 0x87, "also when it is away");
    assert!(Client::with(&broker, lasting("u")).1, "the session is still there");
    broker.stop();
}

/// By SIGHUP, without any watching; then by the change alone; a broken file changes nothing.
#[test]
fn files_are_read_again() {
    for watched in [false, true] {
        let scratch = Scratch::new();
        let (acl, passwords) = (scratch.path().join("acl"), scratch.path().join("passwords"));
        std::fs::write(&acl, "topic write a\n").unwrap();
        std::fs::write(&passwords, format!("u:{SECRET_HASH}\n")).unwrap();
        let settings = format!(
            "server.watch_files_s = {}\nauth.acl_file = {acl:?}\n\
             auth.password_file = {passwords:?}\nauth.wrong_password_delay_ms = 0",
            u8::from(watched)
        );
        let broker = Setup { settings: &settings, ..Setup::default() }.start();
        let read = |count| {
            if !watched {
                broker.signal(Signal::HUP);
            }
            broker.log.wait_until("a reload", |lines| {
                let is = |line: &&String| line.contains("read again") && !line.contains("not read");
                (lines.iter().filter(is).count() >= count).then_some(())
            });
        };
        let mut client = Client::with(&broker, connect(Version::V5, "c")).0;
        assert_eq!((puback(&mut client, "a"), puback(&mut client, "b")), (0x10, 0x87));
        // Replaced as a whole, as editors and deployments do it.
        let new = scratch.path().join("new");
        std::fs::write(&new, "topic write b\n").unwrap();
        std::fs::rename(&new, &acl).unwrap();
        read(1);
        // Who is connected already has the new rules, as soon as its shard has them.
        while puback(&mut client, "a") != 0x87 {}
        assert_eq!(puback(&mut client, "b"), 0x10);
        std::fs::write(&acl, "topic write a\nnonsense\n").unwrap();
        if !watched {
            broker.signal(Signal::HUP);
        }
        broker.log.wait_for(&["what was in force stays", "acl:2: "]);
        assert_eq!((puback(&mut client, "a"), puback(&mut client, "b")), (0x87, 0x10));
        std::fs::write(&acl, "topic write b\n").unwrap();
        std::fs::write(&passwords, format!("v:{SECRET_HASH}\n")).unwrap();
        read(3);
        assert_eq!(code_of(&broker, as_user("d", "v", "secret")), 0);
        assert_eq!(code_of(&broker, as_user("d", "u", "secret")), 0x86);
        broker.stop();
    }
}

/// The settings that can change do, on SIGHUP: here quotas and limits. Mistakes change nothing.
#[test]
fn settings_are_read_again() {
    let broker = Setup { settings: "server.watch_files_s = 0", ..Setup::default() }.start();
    let file = broker.config_file();
    let text = std::fs::read_to_string(&file).unwrap();
    let hang_up = |more: &str, expected: &[&str]| {
        std::fs::write(&file, format!("{text}\n{more}")).unwrap();
        broker.signal(Signal::HUP);
        broker.log.wait_for(expected);
    };
    let mut client = Client::with(&broker, connect(Version::V5, "c")).0;
    let many = (1..=3).map(|n| format!("a/{n}")).collect::<Vec<_>>();
    hang_up("limits.nonsense = 1", &["nonsense"]);
    broker.log.wait_for(&["the configuration has mistakes"]);
    client.subscribe(&many[0], QoS::AtMostOnce);
    hang_up("limits.subscriptions_per_session_max = 1", &["SIGHUP", "read again: [auth]"]);
    client.ping();
    let refused = |client: &mut Client, filter: &str| {
        client.send(&subscribe(filter, QoS::AtMostOnce, 9));
        client.answer()
    };
    assert_eq!(refused(&mut client, &many[1]), Heard::SubAck(vec![0x97]));
    hang_up("server.connections_max = 77\nlog.level = \"debug\"", &["[server] has changed"]);
    broker.stop();
}
