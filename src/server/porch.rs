//! The porch: from accept to a valid CONNECT of a client that may enter. What has not come through
//! here touches nothing of a shard.
//!
//! May use: tokio's sockets and timers, OS randomness. Invariants: a connection on the porch has a
//! deadline and a bounded buffer; it is handed to its session's home with every byte read so far.

use std::hash::BuildHasher;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use foldhash::quality::FixedState;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::mailbox::{HandOff, Sender, Socket, ToShard};
use super::totals::{HalfReceived, Place, Totals};
use crate::codec::{
    self, ConnAck, Connect, DecodeError, Framed, Packet, ReasonCode, Sender as From, Version,
};

/// How long accepting rests when the system has no file descriptor or memory left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How often the log is told so.
const ACCEPT_WARN_EVERY: Duration = Duration::from_secs(10);
/// How long a refused client may take to read why.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(500);
/// What the first read has room for.
const FIRST_READ_BYTES: usize = 512;

/// What every connection on the porch needs to know.
pub(crate) struct Porch {
    pub(crate) shards: Vec<Sender>,
    /// The shards run on this thread: sockets need not be moved.
    pub(crate) same_thread: bool,
    pub(crate) totals: Arc<Totals>,
    pub(crate) home: FixedState,
    pub(crate) connections_max: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) connect_bytes_max: usize,
    pub(crate) client_id_bytes_max: usize,
    pub(crate) half_received_bytes_max: usize,
}

/// One listener.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) allow_anonymous: bool,
    pub(crate) connections_max: usize,
    pub(crate) connections: Arc<AtomicUsize>,
}

/// Accepts until told to stop.
pub(crate) async fn serve(porch: Arc<Porch>, door: Arc<Door>, mut stop: watch::Receiver<bool>) {
    let mut warned = None;
    loop {
        let accepted = tokio::select! {
            accepted = door.listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let place = Place::take(
                    &porch.totals,
                    porch.connections_max,
                    &door.connections,
                    door.connections_max,
                );
                match place {
                    None => tracing::debug!(%peer, "connection refused: connections_max"),
                    Some(place) => {
                        tokio::spawn(receive(
                            Arc::clone(&porch),
                            door.clone(),
                            stream,
                            peer,
                            place,
                        ));
                    }
                }
            }
            Err(error) if is_the_peers(&error) => {}
            Err(error) => {
                if warned.is_none_or(|at: Instant| at.elapsed() >= ACCEPT_WARN_EVERY) {
                    warned = Some(Instant::now());
                    tracing::warn!(%error, address = %door.address, "accepting rests for a moment");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether an error of accept concerns the one connection that was to be accepted.
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Why a connection does not come through the porch.
enum Turned {
    /// The client is told, if there is a way.
    Away(Option<Version>, DecodeError),
    /// It left by itself.
    Left(&'static str),
}

async fn receive(
    porch: Arc<Porch>,
    door: Arc<Door>,
    mut stream: TcpStream,
    peer: SocketAddr,
    place: Place,
) {
    let _ = stream.set_nodelay(true);
    let connect = read_connect(&porch, &mut stream);
    let turned = match tokio::time::timeout(porch.connect_timeout, connect).await {
        Err(_) => Turned::Left("no CONNECT within server.connect_timeout_ms"),
        Ok(Err(turned)) => turned,
        Ok(Ok(bytes)) => match admit(&porch, &door, &bytes) {
            Err(turned) => turned,
            Ok((client_id, assigned)) => {
                hand_off(&porch, stream, peer, bytes, client_id, assigned, place);
                return;
            }
        },
    };
    porch.totals.failed_connects.fetch_add(1, Relaxed);
    match turned {
        Turned::Left(why) => tracing::info!(%peer, why, "connection without CONNECT closed"),
        Turned::Away(version, error) => {
            let reason = format_args!("{:#04x}", error.reason.as_u8()).to_string();
            tracing::info!(%peer, why = error.what, reason, "connection refused");
            refuse(stream, version, error).await;
        }
    }
}

/// Reads until the first packet is whole. Returns every byte read.
async fn read_connect(porch: &Porch, stream: &mut TcpStream) -> Result<Vec<u8>, Turned> {
    let mut bytes = Vec::with_capacity(FIRST_READ_BYTES);
    let mut half_received = HalfReceived::new(&porch.totals);
    loop {
        match stream.read_buf(&mut bytes).await {
            Ok(0) => return Err(Turned::Left("the client closed before CONNECT was whole")),
            Err(_) => return Err(Turned::Left("the connection broke before CONNECT was whole")),
            Ok(_) => {}
        }
        if bytes[0] >> 4 != 1 {
            let what = "the first packet is not CONNECT [MQTT-3.1.0-1]";
            return Err(Turned::Away(
                None,
                DecodeError { reason: ReasonCode::ProtocolError, what },
            ));
        }
        match codec::frame(&bytes, porch.connect_bytes_max) {
            Ok(Framed::Whole(_)) => return Ok(bytes),
            Ok(Framed::Partial { .. }) => {}
            Err(error) => return Err(Turned::Away(version_hint(&bytes), error)),
        }
        if !half_received.set(bytes.len(), porch.half_received_bytes_max) {
            let what = "server.half_received_bytes_max is reached";
            let error = DecodeError { reason: ReasonCode::QuotaExceeded, what };
            return Err(Turned::Away(version_hint(&bytes), error));
        }
        if bytes.len() == bytes.capacity() {
            bytes.reserve(bytes.len()); // by what has arrived, never by what the header says
        }
    }
}

/// Checks the CONNECT: the effective Client Identifier, and whether it was made up here.
fn admit(porch: &Porch, door: &Door, bytes: &[u8]) -> Result<(String, bool), Turned> {
    let Ok(Framed::Whole(frame)) = codec::frame(bytes, porch.connect_bytes_max) else {
        return Err(Turned::Left("CONNECT is not whole"));
    };
    let connect = match codec::decode(frame, From::Client, Version::V5) {
        Ok(Packet::Connect(connect)) => connect,
        Ok(_) => return Err(Turned::Left("the first packet is not CONNECT")),
        Err(error) => return Err(Turned::Away(version_hint(bytes), error)),
    };
    let away =
        |reason, what| Err(Turned::Away(Some(connect.version), DecodeError { reason, what }));
    if !door.allow_anonymous {
        let what = "this listener lets nobody in without authentication";
        return away(ReasonCode::NotAuthorized, what);
    }
    if connect.client_id.len() > porch.client_id_bytes_max {
        let what = "the Client Identifier is longer than mqtt.client_id_bytes_max";
        return away(ReasonCode::ClientIdentifierNotValid, what);
    }
    if !connect.client_id.is_empty() || !may_be_assigned(&connect) {
        return Ok((connect.client_id.to_owned(), false));
    }
    match assigned_client_id() {
        Some(id) => Ok((id, true)),
        None => away(ReasonCode::ServerUnavailable, "no randomness for a Client Identifier"),
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

fn hand_off(
    porch: &Porch,
    stream: TcpStream,
    peer: SocketAddr,
    bytes: Vec<u8>,
    client_id: String,
    assigned: bool,
    place: Place,
) {
    let socket = if porch.same_thread {
        Socket::Here(stream)
    } else {
        match stream.into_std() {
            Ok(stream) => Socket::Elsewhere(stream),
            Err(error) => {
                tracing::warn!(%peer, %error, "a connection could not be handed over");
                return;
            }
        }
    };
    let shard = porch.home.hash_one(client_id.as_bytes()) % porch.shards.len() as u64;
    let hand_off = HandOff { socket, peer, bytes, client_id, assigned, place };
    // A shard that is gone has been told to stop: the process ends.
    let _ = porch.shards[shard as usize].send(ToShard::HandOff(Box::new(hand_off)));
}

/// The version that the beginning of a CONNECT claims, as far as an answer needs it.
fn version_hint(bytes: &[u8]) -> Option<Version> {
    let header = bytes.iter().skip(1).position(|b| b & 0x80 == 0)? + 2;
    let body = bytes.get(header..)?;
    let (level, known) = match body {
        [0, 4, b'M', b'Q', b'T', b'T', level, ..] => (*level, true),
        [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', level, ..] => (*level, true),
        _ => (0, false),
    };
    match level & 0x7f {
        _ if !known => None,
        5.. => Some(Version::V5),
        _ => Some(Version::V311),
    }
}

/// CONNACK with an error where the client's version is known, then the end.
async fn refuse(mut stream: TcpStream, version: Option<Version>, error: DecodeError) {
    let Some(version) = version else { return };
    let told = error.reason.as_u8() <= 0x87 || version.is_v5();
    let malformed = matches!(
        error.reason,
        ReasonCode::MalformedPacket | ReasonCode::ProtocolError | ReasonCode::PacketTooLarge
    );
    if !told || (malformed && !version.is_v5()) {
        return; // 3.x has no code for it: the connection is closed
    }
    let packet = Packet::ConnAck(Box::new(ConnAck {
        reason: error.reason,
        reason_string: Some(error.what),
        ..ConnAck::default()
    }));
    let mut bytes = Vec::new();
    codec::encode(&packet, version, &mut bytes);
    let answer = async {
        if stream.write_all(&bytes).await.is_ok() && stream.shutdown().await.is_ok() {
            // Until the client closes: closing first would throw away what it has not read.
            let mut rest = [0; 512];
            while matches!(stream.read(&mut rest).await, Ok(n) if n > 0) {}
        }
    };
    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, answer).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_broken_connect() {
        for (bytes, version) in [
            (&b"\x10\x10\0\x04MQTT\x05"[..], Some(Version::V5)),
            (b"\x10\x90\x01\0\x04MQTT\x05", Some(Version::V5)),
            (b"\x10\x10\0\x04MQTT\x04", Some(Version::V311)),
            (b"\x10\x10\0\x04MQTT\x07", Some(Version::V5)),
            (b"\x10\x10\0\x04MQTT\x84", Some(Version::V311)),
            (b"\x10\x10\0\x06MQIsdp\x03", Some(Version::V311)),
            (b"\x10\x10\0\x04HTTP\x04", None),
            (b"\x10\x10\0\x04MQ", None),
            (b"\x10\x80", None),
            (b"", None),
        ] {
            assert_eq!(version_hint(bytes), version, "{bytes:?}");
        }
    }
}
