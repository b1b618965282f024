//! Who enters the real binary, and what they may do there: passwords, tokens, SCRAM, the hook,
//! ACL files, quotas, reloads; and that nothing of it tells a secret.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // layer 3 and above

#[path = "entry/files.rs"]
mod files;
#[path = "entry/hook.rs"]
mod hook;
#[path = "entry/passwords.rs"]
mod passwords;
#[path = "entry/root.rs"]
mod root;
#[path = "entry/secrets.rs"]
mod secrets;
mod support;
#[path = "entry/tokens.rs"]
mod tokens;

use stonechat::codec::{Connect, Version};
use support::broker::Broker;
use support::client::{Client, Heard, connect};

/// By mosquitto_passwd 2.0: `secret`.
const SECRET_HASH: &str = concat!(
    "$7$101$elV0+d9eAtJC1A2f$gIE9JFbStPICvgsZ/qot1Yu",
    "GIsIsxZ/MTvH/1OmnJIjIaQnbbhQB4HyQsw+HJf0PrPN2CvdHSlgfCqgO0/QhMQ=="
);

/// CONNECT of a user.
fn as_user<'a>(id: &'a str, user: &'a str, password: &'a str) -> Connect<'a> {
    Connect {
        user_name: Some(user),
        password: Some(password.as_bytes()),
        ..connect(Version::V5, id)
    }
}

/// The code of the CONNACK.
fn code_of(broker: &Broker, connect: Connect<'_>) -> u8 {
    match Client::open(broker, connect).1 {
        Heard::ConnAck { code, .. } => code,
        other => panic!("{other:?}"),
    }
}
