//! The porch: what a connection must be before it touches anything of a broker. These are its
//! rules; the shards' loops keep them (`server/guests.rs`).
//!
//! May use: `codec`, OS randomness. Invariants: a connection on the porch has a deadline and a
//! bounded buffer; it goes to its session's home with every byte read so far.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use foldhash::quality::FixedState;
use mio::net::TcpListener;

use super::totals::Totals;
use crate::broker::{LinkKey, Safety, ShardId, Time};
use crate::codec::{
    self, ConnAck, Connect, DecodeError, Frame, Framed, Packet, ReasonCode, Sender as From, Version,
};

/// How long every guest of a shard may stay, also where there are more than there should be, in ms:
/// a crowd of honest clients that connect first, all of them, and then speak is not driven out.
/// Here a guest costs little: no task, and nothing is worked on for it.
pub(crate) const GRACE_MS: u64 = 2_000;
/// Why the oldest guest of a listener goes.
pub(crate) const EVICTED: &str = "handshakes_max is reached, and it was the oldest";

/// What every connection on the porch needs to know.
pub(crate) struct Porch {
    pub(crate) totals: Arc<Totals>,
    pub(crate) home: FixedState,
    pub(crate) shards: u64,
    pub(crate) connections_max: usize,
    pub(crate) connect_timeout_ms: u64,
    pub(crate) connect_bytes_max: usize,
    pub(crate) client_id_bytes_max: usize,
}

/// One listener.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) allow_anonymous: bool,
    /// how safe what its clients publish is to be, if it says so
    pub(crate) safety: Option<Safety>,
    pub(crate) connections_max: usize,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) guests: Guests,
}

/// Who stands on one door's porch, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Guests {
    max: usize,
    count: usize,
    /// Among them some that have gone: one that goes would have to be looked for.
    order: VecDeque<(LinkKey, Time)>,
}

impl Guests {
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.max(1), count: 0, order: VecDeque::new() }
    }

    /// One more; `is_there` says who has not gone.
    pub(crate) fn come(&mut self, link: LinkKey, now: Time, is_there: impl Fn(LinkKey) -> bool) {
        if self.order.len() >= 2 * self.count + 64 {
            self.order.retain(|(link, _)| is_there(*link));
        }
        self.count += 1;
        self.order.push_back((link, now));
    }

    /// One has come in, or gone.
    pub(crate) fn gone(&mut self) {
        self.count = self.count.saturating_sub(1);
        if self.count == 0 {
            self.order.clear();
            self.order.shrink_to(64);
        }
    }

    /// Where there are as many as there should be: who has stood there for longest, and too long.
    pub(crate) fn oldest(
        &mut self,
        now: Time,
        is_there: impl Fn(LinkKey) -> bool,
    ) -> Option<LinkKey> {
        if self.count < self.max {
            return None;
        }
        while let Some(&(link, since)) = self.order.front() {
            if is_there(link) {
                return (since.plus_ms(GRACE_MS) <= now).then_some(link);
            }
            self.order.pop_front();
        }
        None
    }
}

/// Whether an error of accept concerns the one connection that was to be accepted.
pub(crate) fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Why a connection does not come through the porch.
#[derive(Debug, PartialEq)]
pub(crate) enum Turned {
    /// The client is told, if there is a way.
    Away(Option<Version>, DecodeError),
    /// It left by itself.
    Left(&'static str),
}

/// A client that may enter.
pub(crate) struct Entrant<'a> {
    pub(crate) connect: Connect<'a>,
    /// the effective Client Identifier
    pub(crate) client_id: String,
    /// whether it was made up here
    pub(crate) assigned: bool,
    /// how many bytes the CONNECT took
    pub(crate) used: usize,
}

impl Porch {
    /// How many bytes the CONNECT takes that a connection begins with; `None` while it is not
    /// whole.
    pub(crate) fn whole(&self, bytes: &[u8]) -> Result<Option<usize>, Turned> {
        Ok(self.frame(bytes)?.map(|frame| frame.len))
    }

    fn frame<'a>(&self, bytes: &'a [u8]) -> Result<Option<Frame<'a>>, Turned> {
        let what = match bytes.first() {
            None => return Ok(None),
            Some(0x16) => "the first packet is not CONNECT but TLS, and the listener has none",
            Some(first) if first >> 4 != 1 => "the first packet is not CONNECT [MQTT-3.1.0-1]",
            Some(_) => {
                return match codec::frame(bytes, self.connect_bytes_max) {
                    Ok(Framed::Whole(frame)) => Ok(Some(frame)),
                    Ok(Framed::Partial { .. }) => Ok(None),
                    Err(error) => Err(Turned::Away(version_hint(bytes), error)),
                };
            }
        };
        Err(Turned::Away(None, DecodeError { reason: ReasonCode::ProtocolError, what }))
    }

    /// What the first bytes of a connection are: a client that may enter, or `None` while the
    /// CONNECT is not whole.
    pub(crate) fn receive<'a>(
        &self,
        allow_anonymous: bool,
        bytes: &'a [u8],
    ) -> Result<Option<Entrant<'a>>, Turned> {
        let Some(frame) = self.frame(bytes)? else { return Ok(None) };
        let used = frame.len;
        match codec::decode(frame, From::Client, Version::V5) {
            Ok(Packet::Connect(connect)) => {
                let (client_id, assigned) = self.admit(allow_anonymous, &connect)?;
                Ok(Some(Entrant { connect: *connect, client_id, assigned, used }))
            }
            Ok(_) => Err(Turned::Left("the first packet is not CONNECT")),
            Err(error) => Err(Turned::Away(version_hint(bytes), error)),
        }
    }

    /// Checks the CONNECT: the effective Client Identifier, and whether it was made up here.
    fn admit(
        &self,
        allow_anonymous: bool,
        connect: &Connect<'_>,
    ) -> Result<(String, bool), Turned> {
        let away =
            |reason, what| Err(Turned::Away(Some(connect.version), DecodeError { reason, what }));
        if !allow_anonymous {
            let what = "this listener lets nobody in without authentication";
            return away(ReasonCode::NotAuthorized, what);
        }
        if connect.client_id.len() > self.client_id_bytes_max {
            let what = "the Client Identifier is longer than mqtt.client_id_bytes_max";
            return away(ReasonCode::ClientIdentifierNotValid, what);
        }
        if !connect.client_id.is_empty() || !may_be_assigned(connect) {
            return Ok((connect.client_id.to_owned(), false));
        }
        match assigned_client_id() {
            Some(id) => Ok((id, true)),
            None => away(ReasonCode::ServerUnavailable, "no randomness for a Client Identifier"),
        }
    }

    /// The shard where the session of `client_id` lives.
    pub(crate) fn home_of(&self, client_id: &str) -> ShardId {
        ShardId((self.home.hash_one(client_id.as_bytes()) % self.shards) as u8)
    }
}

/// Whether an empty Client Identifier gets one from the broker: always in 5.0 \[MQTT-3.1.3-6\],
/// with Clean Session in 3.1.1, never in 3.1.
fn may_be_assigned(connect: &Connect<'_>) -> bool {
    match connect.version {
        Version::V5 => true,
        Version::V311 => connect.clean_start,
        Version::V31 => false,
    }
}

fn assigned_client_id() -> Option<String> {
    let mut random = [0; 16];
    super::fill_random(&mut random).ok()?;
    Some(format!("auto-{:032x}", u128::from_be_bytes(random)))
}

/// The version that the beginning of a CONNECT claims, as far as an answer needs it.
pub(crate) fn version_hint(bytes: &[u8]) -> Option<Version> {
    let header = bytes.iter().skip(1).position(|b| b & 0x80 == 0)? + 2;
    let body = bytes.get(header..)?;
    match body {
        [0, 4, b'M', b'Q', b'T', b'T', level, ..] if level & 0x7f >= 5 => Some(Version::V5),
        [0, 4, b'M', b'Q', b'T', b'T', _, ..] => Some(Version::V311),
        // Whoever calls it so knows no other form of CONNACK.
        [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', _, ..] => Some(Version::V311),
        _ => None,
    }
}

/// CONNACK with an error, where the client's version is known and has a code for it.
pub(crate) fn refusal(version: Option<Version>, error: DecodeError) -> Option<Vec<u8>> {
    let version = version?;
    // 0x88 and 0x89 are "Server unavailable" there: the client may come again.
    let told = error.reason.as_u8() <= 0x89 || version.is_v5();
    let malformed = matches!(
        error.reason,
        ReasonCode::MalformedPacket | ReasonCode::ProtocolError | ReasonCode::PacketTooLarge
    );
    if !told || (malformed && !version.is_v5()) {
        return None; // 3.x has no code for it: the connection is closed
    }
    let packet = Packet::ConnAck(Box::new(ConnAck {
        reason: error.reason,
        reason_string: Some(error.what),
        ..ConnAck::default()
    }));
    let mut bytes = Vec::new();
    codec::encode(&packet, version, &mut bytes);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_the_limit_the_oldest_is_named() {
        let link = |n| LinkKey::new(n, 1);
        let (mut guests, mut there) = (Guests::new(2), vec![link(1), link(2)]);
        let late = Time(6 + GRACE_MS);
        for (n, at) in [(1, 5), (2, 6)] {
            assert_eq!(guests.oldest(late, |l| there.contains(&l)), None);
            guests.come(link(n), Time(at), |l| there.contains(&l));
        }
        assert_eq!(guests.oldest(Time(4 + GRACE_MS), |l| there.contains(&l)), None, "too early");
        assert_eq!(guests.oldest(Time(5 + GRACE_MS), |l| there.contains(&l)), Some(link(1)));
        there.retain(|l| *l != link(1));
        guests.gone();
        assert_eq!(guests.oldest(late, |l| there.contains(&l)), None, "there is room");
        there.push(link(3));
        guests.come(link(3), Time(7), |l| there.contains(&l));
        assert_eq!(guests.oldest(late, |l| there.contains(&l)), Some(link(2)));
        // One stays and thousands come and go behind it: nothing piles up.
        for n in 4..10_000 {
            there[1] = link(n);
            guests.gone();
            guests.come(link(n), Time(8), |l| there.contains(&l));
            assert!(guests.order.len() <= 70);
        }
        guests.gone();
        guests.gone();
        assert!(guests.order.is_empty());
    }

    #[test]
    fn the_version_of_a_broken_connect() {
        for (bytes, version) in [
            (&b"\x10\x10\0\x04MQTT\x05"[..], Some(Version::V5)),
            (b"\x10\x90\x01\0\x04MQTT\x05", Some(Version::V5)),
            (b"\x10\x10\0\x04MQTT\x04", Some(Version::V311)),
            (b"\x10\x10\0\x04MQTT\x07", Some(Version::V5)),
            (b"\x10\x10\0\x04MQTT\x84", Some(Version::V311)),
            (b"\x10\x10\0\x06MQIsdp\x03", Some(Version::V311)),
            (b"\x10\x10\0\x06MQIsdp\x06", Some(Version::V311)),
            (b"\x10\x10\0\x04HTTP\x04", None),
            (b"\x10\x10\0\x04MQ", None),
            (b"\x10\x80", None),
            (b"", None),
        ] {
            assert_eq!(version_hint(bytes), version, "{bytes:?}");
        }
    }
}
