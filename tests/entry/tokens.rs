//! Tokens as passwords, and SCRAM with raw packets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use stonechat::codec::{self, Auth, Connect, Framed, Packet, QoS, ReasonCode, Sender, Version};

use crate::code_of;
use crate::support::broker::{Broker, Scratch, Setup};
use crate::support::client::{Client, Heard, bytes_of, connect, publish};

#[path = "../support/scram.rs"]
mod scram;
use scram::ScramClient;

pub(crate) const KEY: &str = "abcdefghijklmnopqrstuvwxyz012345";

/// A token signed with `KEY`.
pub(crate) fn token(header: &str, claims: &str) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes()), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
}

pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn with_token<'a>(id: &'a str, token: &'a str) -> Connect<'a> {
    Connect { password: Some(token.as_bytes()), ..connect(Version::V5, id) }
}

#[test]
fn tokens() {
    const HS256: &str = r#"{"alg":"HS256"}"#;
    let scratch = Scratch::new();
    let file = scratch.path().join("key");
    std::fs::write(&file, KEY).unwrap();
    let settings = format!("auth.jwt_secret_file = {file:?}");
    let broker = Setup { anonymous: false, settings: &settings, ..Setup::default() }.start();
    let claims = |left: i64| format!(r#"{{"sub":"u","exp":{}}}"#, now_s() as i64 + left);
    for (token, code) in [
        (token(HS256, &claims(60)), 0),
        (token(HS256, &claims(-2)), 0x86),
        (token(r#"{"alg":"none"}"#, &claims(60)), 0x86),
        (token(r#"{"alg":"HS512"}"#, &claims(60)), 0x86),
        (token(HS256, r#"{"sub":"u","client_id":"another"}"#), 0x86),
        (token(HS256, &claims(60)) + "A", 0x86),
        // Who it is has to stand in it, whatever else does.
        (token(HS256, "{}"), 0x86),
        (token(HS256, r#"{"sub":""}"#), 0x86),
        (token(HS256, r#"{"name":"u","client_id":"c","acl":{"publish":["t"]}}"#), 0x86),
        ("a.b.c".to_owned(), 0x86),
    ] {
        assert_eq!(code_of(&broker, with_token("c", &token)), code, "{token}");
    }
    broker.log.wait_for(&["connection refused", "the token is not signed (alg: none)"]);
    broker.log.wait_for(&[
        "connection refused",
        "client_id=c",
        "names no user (auth.jwt_user_claim)",
    ]);
    // What a token grants is all that its client may do.
    let acl = r#"{"sub":"u","acl":{"publish":["up/%c"],"subscribe":["down/%c"]}}"#;
    let token_acl = token(HS256, acl);
    let mut client = Client::with(&broker, with_token("me", &token_acl)).0;
    client.send(&crate::support::client::subscribe("down/other", QoS::AtMostOnce, 1));
    assert_eq!(client.hear(), Heard::SubAck(vec![0x87]));
    client.send(&Packet::Publish(publish("up/me", b"", QoS::AtLeastOnce, 2)));
    assert!(matches!(client.hear(), Heard::PubAck(2, 0 | 0x10)));
    client.send(&Packet::Publish(publish("up/other", b"", QoS::AtLeastOnce, 3)));
    assert_eq!(client.hear(), Heard::PubAck(3, 0x87));
    // And its end is the connection's.
    let short = token(HS256, &claims(2));
    let mut client = Client::with(&broker, with_token("short", &short)).0;
    assert!(matches!(client.hear(), Heard::Disconnect(0x87 | 0xa0)));
    assert_eq!(client.hear(), Heard::End);
    broker.stop();
}

/// A client that shows whole packets.
struct Raw {
    socket: TcpStream,
    bytes: Vec<u8>,
}

impl Raw {
    fn new(broker: &Broker) -> Self {
        Self { socket: broker.socket(), bytes: Vec::new() }
    }

    fn send(&mut self, packet: &Packet<'_>) {
        self.socket.write_all(&bytes_of(packet, Version::V5)).unwrap();
    }

    /// The next packet's reason, and its Authentication Data.
    fn hear(&mut self) -> (u8, Vec<u8>) {
        loop {
            if let Framed::Whole(frame) = codec::frame(&self.bytes, usize::MAX).unwrap() {
                let used = frame.len;
                let packet = codec::decode(frame, Sender::Server, Version::V5).unwrap();
                let (reason, data) = match &packet {
                    Packet::ConnAck(c) => (c.reason, c.authentication_data),
                    Packet::Auth(a) => (a.reason, a.data),
                    Packet::Disconnect(d) => (d.reason, None),
                    other => panic!("{other:?}"),
                };
                let heard = (reason.as_u8(), data.unwrap_or_default().to_vec());
                self.bytes.drain(..used);
                return heard;
            }
            let mut more = [0; 4096];
            let n = self.socket.read(&mut more).unwrap();
            assert!(n > 0, "the connection is over");
            self.bytes.extend(&more[..n]);
        }
    }

    fn connect(&mut self, method: &str, data: &[u8]) -> (u8, Vec<u8>) {
        self.send(&Packet::Connect(Box::new(Connect {
            authentication_method: Some(method),
            authentication_data: Some(data),
            ..connect(Version::V5, "c")
        })));
        self.hear()
    }

    fn auth(&mut self, reason: ReasonCode, data: &[u8]) -> (u8, Vec<u8>) {
        self.send(&Packet::Auth(Auth {
            reason,
            method: Some(METHOD),
            data: Some(data),
            ..Auth::default()
        }));
        self.hear()
    }
}

const METHOD: &str = "SCRAM-SHA-256";

#[test]
fn scram() {
    let scratch = Scratch::new();
    let file = scratch.path().join("passwords");
    let hash = stonechat::auth::password::new_scram(b"robin", b"0123456789abcdef");
    std::fs::write(&file, format!("a:{hash}\nb:{hash}\n")).unwrap();
    let settings = format!("auth.wrong_password_delay_ms = 0\nauth.password_file = {file:?}");
    let broker = Setup { anonymous: false, settings: &settings, ..Setup::default() }.start();
    let (client, first) = ScramClient::new("a", "robin", "one");
    let mut raw = Raw::new(&broker);
    let (reason, challenge) = raw.connect(METHOD, &first);
    assert_eq!(reason, 0x18);
    let (last, proof) = client.answer(&challenge);
    assert_eq!(raw.auth(ReasonCode::ContinueAuthentication, &last), (0, proof));
    // Again on the link, as the same user.
    let (client, again) = ScramClient::new("a", "robin", "two");
    let (reason, challenge) = raw.auth(ReasonCode::ReAuthenticate, &again);
    assert_eq!(reason, 0x18);
    let (answer, proof) = client.answer(&challenge);
    assert_eq!(raw.auth(ReasonCode::ContinueAuthentication, &answer), (0, proof));
    // As another one, it is over.
    let (client, other) = ScramClient::new("b", "robin", "three");
    let (_, challenge) = raw.auth(ReasonCode::ReAuthenticate, &other);
    let (answer, _) = client.answer(&challenge);
    assert_eq!(raw.auth(ReasonCode::ContinueAuthentication, &answer).0, 0x87);
    // What was seen on the wire is of no use; nor is a wrong password, or a name that is none.
    let mut replay = Raw::new(&broker);
    assert_eq!(replay.connect(METHOD, &first).0, 0x18);
    assert_eq!(replay.auth(ReasonCode::ContinueAuthentication, &last).0, 0x86);
    for user in ["a", "nobody"] {
        let (client, first) = ScramClient::new(user, "wren", "four");
        let mut raw = Raw::new(&broker);
        let (_, challenge) = raw.connect(METHOD, &first);
        let (last, _) = client.answer(&challenge);
        assert_eq!(raw.auth(ReasonCode::ContinueAuthentication, &last).0, 0x86, "{user}");
    }
    assert_eq!(Raw::new(&broker).connect("SCRAM-SHA-1", &first).0, 0x8c);
    broker.stop();
}
