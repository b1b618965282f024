//! Layers over a pair of sockets, with clients that others wrote at the other end (rustls,
//! tungstenite). Everything runs on one thread; the clients' bytes are made in memory, so that a
//! test cuts them as it likes.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use foldhash::quality::FixedState;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use rustls::{SupportedProtocolVersion, version};
use tungstenite::protocol::{CloseFrame, Role, WebSocket as Peer};
use tungstenite::{Error as PeerError, Message as PeerMessage};

use super::super::connection::{About, Connection, ReadEnd};
use super::super::interests::SharedInterests;
use super::super::mailbox::{HandOff, Sender, ToShard, mailbox};
use super::super::poller::{Poller, Who};
use super::super::porch::Porch;
use super::super::restore::Restore;
use super::super::retained::SharedRetained;
use super::super::shard::{self, ShardParts};
use super::super::socket::{self, Socket};
use super::super::totals::{HalfReceived, Place, Totals};
use super::*;
use crate::broker::{
    Broker, Commons, Limits, LinkKey, Message, MessageParts, Sends, ShardId, Time,
};
use crate::codec::{Properties, QoS, ReasonCode};
use crate::store::Memory;
use crate::topic::TopicName;

/// What lies between.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Tls(&'static SupportedProtocolVersion),
    WebSocket,
    Both,
}

pub(crate) const KINDS: [Kind; 4] =
    [Kind::Tls(&version::TLS13), Kind::Tls(&version::TLS12), Kind::WebSocket, Kind::Both];

/// Bytes in memory, both ways.
#[derive(Default)]
struct Pipe {
    incoming: VecDeque<u8>,
    outgoing: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.incoming.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client: payload to the bytes of its socket, and back.
pub(crate) struct Client {
    pub(crate) tls: Option<ClientConnection>,
    peer: Option<Peer<Pipe>>,
    /// payload that has come
    pub(crate) got: Vec<u8>,
    pub(crate) frames: usize,
    pub(crate) pongs: Vec<Vec<u8>>,
    /// the close frame that has come
    pub(crate) closed: Option<Option<u16>>,
    pub(crate) tls_error: Option<rustls::Error>,
    pub(crate) tls_closed: bool,
}

fn sessions(version: &'static SupportedProtocolVersion) -> (ServerConnection, ClientConnection) {
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(pair.cert.der().clone()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key)
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    while server.is_handshaking() || client.is_handshaking() || server.wants_write() {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut up).unwrap();
        }
        for piece in up.chunks(4096) {
            server.read_tls(&mut &*piece).unwrap();
            server.process_new_packets().unwrap();
        }
        while server.wants_write() {
            server.write_tls(&mut down).unwrap();
        }
        for piece in down.chunks(4096) {
            client.read_tls(&mut &*piece).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    (server, client)
}

impl Client {
    pub(crate) fn new(kind: Kind) -> (Self, Option<ServerConnection>) {
        let (server, tls) = match kind {
            Kind::Tls(version) => {
                let (server, client) = sessions(version);
                (Some(server), Some(client))
            }
            Kind::Both => {
                let (server, client) = sessions(&version::TLS13);
                (Some(server), Some(client))
            }
            Kind::WebSocket => (None, None),
        };
        let peer = matches!(kind, Kind::WebSocket | Kind::Both)
            .then(|| Peer::from_raw_socket(Pipe::default(), Role::Client, None));
        let client = Self {
            tls,
            peer,
            got: Vec::new(),
            frames: 0,
            pongs: Vec::new(),
            closed: None,
            tls_error: None,
            tls_closed: false,
        };
        (client, server)
    }

    /// The bytes for the socket that carry `payload`.
    pub(crate) fn encode(&mut self, payload: &[u8]) -> Vec<u8> {
        if self.peer.is_none() {
            return self.encrypt(payload);
        }
        self.say(PeerMessage::Binary(payload.to_vec().into()))
    }

    /// The same for any WebSocket message.
    fn say(&mut self, message: PeerMessage) -> Vec<u8> {
        let peer = self.peer.as_mut().unwrap();
        peer.send(message).unwrap();
        let frames = std::mem::take(&mut peer.get_mut().outgoing);
        self.encrypt(&frames)
    }

    /// The bytes for the socket that carry `bytes`, whatever they are.
    fn encrypt(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(tls) = &mut self.tls else { return bytes.to_vec() };
        let (mut at, mut out) = (0, Vec::new());
        while at < bytes.len() || tls.wants_write() {
            at += tls.writer().write(&bytes[at..]).unwrap();
            while tls.wants_write() {
                tls.write_tls(&mut out).unwrap();
            }
        }
        out
    }

    /// Takes what came from the socket.
    pub(crate) fn decode(&mut self, bytes: &[u8]) {
        let mut plain = Vec::new();
        match &mut self.tls {
            None => plain.extend(bytes),
            Some(tls) => {
                let mut left = bytes;
                while !left.is_empty() {
                    if tls.read_tls(&mut left).unwrap() == 0 {
                        break;
                    }
                    match tls.process_new_packets() {
                        Ok(state) => self.tls_closed |= state.peer_has_closed(),
                        Err(error) => {
                            self.tls_error = Some(error);
                            break;
                        }
                    }
                    let _ = tls.reader().read_to_end(&mut plain);
                }
            }
        }
        let Some(peer) = &mut self.peer else { return self.got.extend(plain) };
        peer.get_mut().incoming.extend(plain);
        loop {
            match peer.read() {
                Ok(PeerMessage::Binary(payload)) => {
                    self.frames += 1;
                    self.got.extend_from_slice(&payload);
                }
                Ok(PeerMessage::Pong(payload)) => self.pongs.push(payload.to_vec()),
                Ok(PeerMessage::Close(frame)) => {
                    self.closed = Some(frame.map(|f| u16::from(f.code)));
                }
                Ok(other) => panic!("{other:?}"),
                Err(PeerError::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(PeerError::ConnectionClosed) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A connection as a shard has it, and the client's socket.
struct Host {
    c: Connection,
    poller: Poller,
    sends: Sends,
    client_socket: UnixStream,
    got: Vec<u8>,
    end: Option<ReadEnd>,
    /// bytes per read
    room: usize,
}

fn link() -> LinkKey {
    LinkKey::new(0, 1)
}

impl Host {
    fn new(kind: Kind) -> (Self, Client) {
        let (client, server) = Client::new(kind);
        (Self::with(kind, server, &[]), client)
    }

    fn with(kind: Kind, tls: Option<ServerConnection>, rest: &[u8]) -> Self {
        let (ours, client_socket) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        client_socket.set_nonblocking(true).unwrap();
        let mut layers = Layers::new(tls);
        if matches!(kind, Kind::WebSocket | Kind::Both) {
            layers.start_websocket(rest);
        }
        let totals = Arc::new(Totals::default());
        let place = Place::take(&totals, 1, &Arc::new(AtomicUsize::new(0)), 0).unwrap();
        let about = About {
            peer: socket::Peer::Unix { uid: 0, pid: 0 },
            client_id: Box::default(),
            door: 0,
            safety: None,
            deadline: Time::NEVER,
            half_received: HalfReceived::new(&totals),
            place,
        };
        let poller = Poller::new().unwrap();
        let socket = Socket::from(ours);
        poller.add(&socket, Who::Connection(0)).unwrap();
        let c = Connection::new(socket, Some(Box::new(layers)), link(), about);
        let mut sends = Sends::default();
        sends.open(link());
        Self { c, poller, sends, client_socket, got: Vec::new(), end: None, room: 65_536 }
    }

    /// Reads and writes as long as the shard would without news, then until there is no news.
    fn settle(&mut self) {
        let mut buffer = vec![0; self.room];
        loop {
            if self.c.blocked || self.sends.backlog(link()) > 0 {
                let _ = self.c.write(self.sends.outbox_mut(link()).unwrap());
            }
            while self.c.readable && self.end.is_none() {
                match self.c.read(&mut buffer) {
                    ReadEnd::Bytes(n) => self.got.extend_from_slice(&buffer[..n]),
                    ReadEnd::Pending => {}
                    end => self.end = Some(end),
                }
            }
            let (mut told, c) = (false, &mut self.c);
            self.poller.wait(Some(Duration::ZERO), |change| {
                told = true;
                c.readable |= change.readable;
                c.over |= change.over;
            });
            if !told {
                return;
            }
        }
    }

    /// The client writes all of `bytes`, in pieces of `cut`, and this side keeps up.
    fn receive(&mut self, bytes: &[u8], cut: usize) {
        for mut piece in bytes.chunks(cut) {
            while !piece.is_empty() {
                match self.client_socket.write(piece) {
                    Ok(n) => piece = &piece[n..],
                    Err(e) => assert_eq!(e.kind(), io::ErrorKind::WouldBlock),
                }
                self.settle();
            }
        }
    }

    /// What the client's socket has now.
    fn sent(&mut self) -> Vec<u8> {
        let (mut all, mut buffer) = (Vec::new(), [0; 65_536]);
        while let Ok(n @ 1..) = self.client_socket.read(&mut buffer) {
            all.extend_from_slice(&buffer[..n]);
        }
        all
    }

    /// The client reads until all is out.
    fn drain(&mut self, client: &mut Client) {
        loop {
            self.settle();
            let bytes = self.sent();
            if bytes.is_empty() {
                break;
            }
            client.decode(&bytes);
        }
        assert!(!self.c.blocked && self.sends.backlog(link()) == 0);
    }

    fn error(&self) -> String {
        match &self.end {
            Some(ReadEnd::Wrong(error) | ReadEnd::Over(Some(error))) => error.to_string(),
            end => panic!("{end:?}"),
        }
    }
}

/// Bytes that are not alike.
fn bytes(n: usize) -> Vec<u8> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn message(payload: &[u8]) -> Message {
    let parts = MessageParts {
        qos: QoS::AtMostOnce,
        retain: false,
        expires: Time::NEVER,
        publisher: 0,
        topic: TopicName::new("t").unwrap(),
        properties: Properties::default(),
        payload,
    };
    Message::new(&parts, &mut Vec::new())
}

#[test]
fn one_byte_at_a_time() {
    for kind in KINDS {
        let (mut host, mut client) = Host::new(kind);
        let payload = bytes(700);
        let raw = client.encode(&payload);
        host.receive(&raw[..raw.len() - 1], 1);
        let kept = host.c.kept_bytes();
        assert_eq!(kept > 0, matches!(kind, Kind::Tls(_) | Kind::Both), "{kind:?}: {kept}");
        host.receive(&raw[raw.len() - 1..], 1);
        assert!(host.got == payload && host.end.is_none(), "{kind:?}");
        assert_eq!(host.c.kept_bytes(), 0, "{kind:?}");
    }
}

#[test]
fn much_from_the_client_however_large_the_buffer_is() {
    for kind in KINDS {
        for room in [4096, 16_384, 40_000, 65_536, 1 << 20] {
            let (mut host, mut client) = Host::new(kind);
            host.room = room;
            let (large, mut sent) = (bytes(900_000), Vec::new());
            // Small records in between, so that many fit into one read.
            for piece in [&large[..], &large[..3], &large[..20_000]] {
                let raw = client.encode(piece);
                host.receive(&raw, usize::MAX);
                sent.extend_from_slice(piece);
            }
            let small: Vec<u8> = (0..2000).flat_map(|n| client.encode(&large[n..n + 30])).collect();
            host.receive(&small, usize::MAX);
            sent.extend((0..2000).flat_map(|n| large[n..n + 30].to_vec()));
            assert!(host.got == sent && host.end.is_none(), "{kind:?}, {room}");
            assert_eq!(host.c.kept_bytes(), 0, "{kind:?}, {room}");
        }
    }
}

/// A client that does not read, then does: what waits is bounded, and all of it arrives in order,
/// also when nothing is left in the outbox but with the layers.
#[test]
fn much_to_a_client_that_does_not_read_at_first() {
    for kind in KINDS {
        let (mut host, mut client) = Host::new(kind);
        let (small, large) = (bytes(300), bytes(1_500_000));
        let mut expected = Vec::new();
        for n in 0..40 {
            host.sends.append(link(), |out| out.extend_from_slice(&small[n..]));
            expected.extend_from_slice(&small[n..]);
            if n % 15 == 0 {
                host.sends.append_payload(link(), message(&large[n..]));
                expected.extend_from_slice(&large[n..]);
            }
            host.settle();
        }
        assert!(host.c.blocked && host.sends.backlog(link()) > 0, "{kind:?}");
        if let Some(ping) = client.peer.is_some().then(|| PeerMessage::Ping(vec![7; 9].into())) {
            // In the middle of a frame: the pong waits for its end.
            let raw = client.say(ping);
            host.receive(&raw, usize::MAX);
        }
        host.drain(&mut client);
        assert!(client.got == expected, "{kind:?}: {} of {}", client.got.len(), expected.len());
        let has_pong = matches!(kind, Kind::WebSocket | Kind::Both);
        assert_eq!(client.pongs.len(), usize::from(has_pong), "{kind:?}");
        assert!(!has_pong || client.frames > 10, "frames are bounded");
    }
}

#[test]
fn what_waits_in_a_tunnel_is_flushed_with_an_empty_outbox() {
    let (mut host, mut client) = Host::new(Kind::Tls(&version::TLS13));
    let mut sent = 0;
    while !host.c.blocked {
        host.sends.append(link(), |out| out.extend_from_slice(&[5; 10_000]));
        sent += 10_000;
        host.settle();
    }
    assert_eq!(host.sends.backlog(link()), 0, "it is all with rustls");
    host.drain(&mut client);
    assert_eq!(client.got.len(), sent);
}

/// Many small packets of one pass are one record, one frame.
#[test]
fn one_record_for_a_pass() {
    for kind in KINDS {
        let (mut host, mut client) = Host::new(kind);
        for _ in 0..1000 {
            host.sends.append(link(), |out| out.extend_from_slice(b"\x40\x02\0\x01"));
        }
        host.settle();
        let raw = host.sent();
        if client.tls.is_some() {
            let len = usize::from(u16::from_be_bytes([raw[3], raw[4]]));
            assert_eq!(len + 5, raw.len(), "{kind:?}");
        }
        client.decode(&raw);
        assert_eq!(client.got.len(), 4000, "{kind:?}");
        assert_eq!(client.frames, usize::from(client.peer.is_some()), "{kind:?}");
    }
}

#[test]
fn keys_are_updated_by_the_client() {
    let (mut host, mut client) = Host::new(Kind::Tls(&version::TLS13));
    for n in 0..5 {
        let payload = [n; 100];
        let mut raw = client.encode(&payload);
        client.tls.as_mut().unwrap().refresh_traffic_keys().unwrap();
        raw.extend(client.encode(&payload));
        host.receive(&raw, 77);
        host.sends.append(link(), |out| out.extend_from_slice(&payload));
        host.drain(&mut client);
    }
    assert_eq!((host.got.len(), client.got.len()), (1000, 500));
    assert!(host.end.is_none() && client.tls_error.is_none());
}

#[test]
fn orderly_ends() {
    // The client's close_notify, with something before it.
    for version in [&version::TLS13, &version::TLS12] {
        let (mut host, mut client) = Host::new(Kind::Tls(version));
        let mut raw = client.encode(b"last");
        client.tls.as_mut().unwrap().send_close_notify();
        raw.extend(client.encode(b""));
        host.receive(&raw, usize::MAX);
        assert_eq!(host.got, b"last");
        assert!(matches!(host.end, Some(ReadEnd::Over(None))), "{:?}", host.end);
        // Its answers still go out, then our close_notify.
        host.sends.append(link(), |out| out.extend_from_slice(b"answer"));
        host.settle();
        host.c.shut(ReasonCode::Success);
        client.decode(&host.sent());
        assert_eq!(client.got, b"answer");
        assert!(client.tls_closed && host.c.shut);
    }
    // The client's close frame: the same code comes back.
    for kind in [Kind::WebSocket, Kind::Both] {
        let (mut host, mut client) = Host::new(kind);
        let mut raw = client.encode(b"last");
        let frame = CloseFrame { code: 4001.into(), reason: "done".into() };
        raw.extend(client.say(PeerMessage::Close(Some(frame))));
        host.receive(&raw, 1);
        assert_eq!(host.got, b"last");
        assert!(matches!(host.end, Some(ReadEnd::Over(None))), "{:?}", host.end);
        host.c.shut(ReasonCode::Success);
        let raw = host.sent();
        client.decode(&raw);
        assert_eq!(client.closed, Some(Some(4001)), "{kind:?}");
        assert!(kind == Kind::WebSocket || client.tls_closed);
    }
}

#[test]
fn our_ends() {
    for kind in KINDS {
        let (mut host, mut client) = Host::new(kind);
        host.sends.append(link(), |out| out.extend_from_slice(b"bye"));
        host.settle();
        host.c.shut(ReasonCode::ServerShuttingDown);
        assert!(host.c.shut);
        client.decode(&host.sent());
        assert_eq!(client.got, b"bye", "{kind:?}");
        assert_eq!(client.tls_closed, client.tls.is_some(), "{kind:?}");
        let code = client.peer.is_some().then_some(Some(1001));
        assert_eq!(client.closed, code, "{kind:?}");
        assert!(matches!(host.client_socket.read(&mut [0]), Ok(0)), "{kind:?}: our side is shut");
    }
}

/// A socket that is full when it is to be closed: the last words wait for room.
#[test]
fn our_end_waits_for_room() {
    for kind in KINDS {
        let (mut host, mut client) = Host::new(kind);
        let mut len = 0;
        // Until the layers have something that the socket does not take, or the outbox has.
        while !host.c.blocked {
            host.sends.append(link(), |out| out.extend_from_slice(&[1; 5000]));
            len += 5000;
            host.settle();
        }
        while host.sends.backlog(link()) > 0 {
            client.decode(&host.sent());
            host.settle();
        }
        host.c.shut(ReasonCode::Success);
        for _ in 0..100 {
            client.decode(&host.sent());
            host.settle();
            host.c.shut(ReasonCode::Success);
        }
        assert!(host.c.shut && client.got.len() == len, "{kind:?}");
        assert_eq!(client.tls_closed, client.tls.is_some(), "{kind:?}");
        assert_eq!(client.closed, client.peer.is_some().then_some(Some(1000)), "{kind:?}");
    }
}

#[test]
fn ends_without_a_word() {
    for kind in KINDS {
        let (mut host, mut client) = Host::new(kind);
        let raw = client.encode(b"some");
        host.receive(&raw, usize::MAX);
        drop(std::mem::replace(&mut host.client_socket, UnixStream::pair().unwrap().0));
        host.settle();
        assert_eq!(host.got, b"some");
        match kind {
            Kind::WebSocket => assert!(matches!(host.end, Some(ReadEnd::Over(None)))),
            _ => assert!(host.error().contains("without close_notify"), "{kind:?}"),
        }
    }
}

/// What came before is handed out; then the peer is told.
#[test]
fn broken_records() {
    for kind in [Kind::Tls(&version::TLS13), Kind::Tls(&version::TLS12), Kind::Both] {
        for spoil in [0, 10, 20] {
            let (mut host, mut client) = Host::new(kind);
            let mut raw = client.encode(b"good");
            let mut bad = client.encode(b"a record that is spoiled");
            bad[spoil] ^= 0x80;
            raw.extend(bad);
            host.receive(&raw, usize::MAX);
            assert_eq!(host.got, b"good", "{kind:?}");
            assert!(
                matches!(host.end, Some(ReadEnd::Wrong(_))) && host.error().starts_with("TLS: ")
            );
            client.decode(&host.sent());
            let told = matches!(client.tls_error, Some(rustls::Error::AlertReceived(_)));
            assert!(told, "{kind:?}, {spoil}: {:?}", client.tls_error);
        }
    }
}

#[test]
fn broken_frames() {
    for kind in [Kind::WebSocket, Kind::Both] {
        for (frame, code, what) in [
            (&b"\x81\x84\0\0\0\0text"[..], 1003, "MQTT-6.0.0-1"),
            (b"\x82\x04MQTT", 1002, "without a mask"),
        ] {
            let (mut host, mut client) = Host::new(kind);
            let mut raw = client.encode(b"good");
            raw.extend(client.encrypt(frame));
            host.receive(&raw, usize::MAX);
            assert_eq!(host.got, b"good");
            assert!(host.error().contains(what), "{}", host.error());
            host.c.shut(ReasonCode::ProtocolError);
            client.decode(&host.sent());
            assert_eq!(client.closed, Some(Some(code)), "{kind:?}");
        }
    }
}

/// What was read before the hand-off never makes the socket readable.
#[test]
fn what_is_in_hand_comes_first() {
    for kind in KINDS {
        let (mut client, mut server) = Client::new(kind);
        let payload = bytes(12_000);
        let (mut raw, mut rest) = (client.encode(&payload), Vec::new());
        let later = raw.split_off(raw.len() - 10); // of the last record, a part is there
        match &mut server {
            None => rest = raw,
            Some(server) => {
                let mut raw = &raw[..];
                while !raw.is_empty() {
                    server.read_tls(&mut raw).unwrap();
                    server.process_new_packets().unwrap();
                }
                if kind == Kind::Both {
                    let _ = server.reader().read_to_end(&mut rest);
                }
            }
        }
        let mut host = Host::with(kind, server, &rest);
        host.room = 5000;
        assert!(host.c.readable, "{kind:?}");
        host.settle();
        let whole = kind == Kind::WebSocket;
        assert!(!whole || host.got.len() == payload.len() - 10, "{kind:?}");
        host.receive(&later, usize::MAX);
        assert!(host.got == payload && host.end.is_none(), "{kind:?}");
    }
}

/// A read that does not ask the socket leaves its news unread.
#[test]
fn news_while_something_is_in_hand() {
    let (mut host, mut client) = Host::new(Kind::Tls(&version::TLS13));
    let raw = client.encode(&bytes(8192));
    host.client_socket.write_all(&raw).unwrap();
    let mut buffer = [0; 4096];
    while matches!(host.c.read(&mut buffer), ReadEnd::Pending) {}
    assert_eq!(host.c.kept_bytes(), 4096, "what is in hand fills the buffer");
    let raw = client.encode(b"x");
    host.client_socket.write_all(&raw).unwrap();
    assert!(matches!(host.c.read(&mut buffer), ReadEnd::Bytes(4096)));
    assert!(host.c.readable);
    assert!(matches!(host.c.read(&mut buffer), ReadEnd::Bytes(1)));
    assert!(!host.c.readable);
}

#[test]
fn answers_of_the_porch() {
    for kind in KINDS {
        let (mut host, mut client) = Host::new(kind);
        host.c.write_last(b"refused");
        client.decode(&host.sent());
        assert_eq!(client.got, b"refused", "{kind:?}");
    }
}

#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<WebSocket>() <= 168, "{}", size_of::<WebSocket>());
    assert!(size_of::<Layers>() <= 64, "{}", size_of::<Layers>());
}

/// CONNECT, SUBSCRIBE and PUBLISH of a 3.1.1 client, and what it gets.
const HELLO: &[u8] =
    b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01a\x82\x06\0\x01\0\x01t\0\x30\x04\0\x01tx";
const CONNECT_BYTES: usize = 15;
const ANSWERS: &[u8] = b"\x20\x02\0\0\x90\x03\0\x01\0\x30\x04\0\x01tx";

/// A shard of its own, without doors.
fn shard() -> (Sender, std::thread::JoinHandle<()>, Arc<Totals>) {
    let poller = Poller::new().unwrap();
    let (sender, mail) = mailbox(&poller).unwrap();
    let totals = Arc::new(Totals::default());
    let porch = Porch {
        totals: Arc::clone(&totals),
        home: FixedState::with_seed(1),
        shards: 1,
        connections_max: 10,
        connect_timeout_ms: 10_000,
        connect_bytes_max: 65_536,
        client_id_bytes_max: 256,
    };
    let peers = vec![sender.clone()];
    let shard = std::thread::spawn(move || {
        shard::run(ShardParts {
            broker: Broker::new(ShardId(0), 1, 1, Limits::default()),
            store: Memory,
            common: Commons {
                retained: SharedRetained::new(100, 100_000),
                interests: SharedInterests::new(1),
            },
            poller,
            mail,
            doors: Vec::new(),
            porch: Arc::new(porch),
            peers,
            shard: ShardId(0),
            started: Instant::now(),
            packet_bytes_max: 1 << 20,
            read_bytes_per_pass: 65_536,
            half_received_bytes_max: 1 << 20,
            output_bytes_max: 65_536,
            shutdown_ms: 10_000,
            restore: Restore { sessions: Vec::new(), done: None },
            jobs: None,
            asks: tokio::sync::mpsc::unbounded_channel().0,
        });
    });
    sender.send(ToShard::Restored).unwrap();
    (sender, shard, totals)
}

/// A client whose first three packets are with the layers, in one record and one frame, when the
/// shard gets it; of the last byte of them nothing is on the socket.
fn hand_off(sender: &Sender, totals: &Arc<Totals>, kind: Kind) -> (Client, UnixStream) {
    let (mut client, mut server) = Client::new(kind);
    let (ours, socket) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (raw, mut rest) = (client.encode(HELLO), Vec::new());
    match &mut server {
        None => rest = raw,
        Some(server) => {
            assert_eq!(server.read_tls(&mut &raw[..]).unwrap(), raw.len());
            server.process_new_packets().unwrap();
            if kind == Kind::Both {
                let _ = server.reader().read_to_end(&mut rest);
            }
        }
    }
    let (ours, mut layers) = (Socket::from(ours), Layers::new(server));
    if client.peer.is_some() {
        layers.start_websocket(&rest);
    }
    let (mut bytes, mut at) = ([0; CONNECT_BYTES], 0);
    while at < CONNECT_BYTES {
        match layers.read(&ours, &mut bytes[at..]) {
            ReadEnd::Bytes(n) => at += n,
            ReadEnd::Pending => assert!(layers.in_hand()),
            end => panic!("{end:?}"),
        }
    }
    let hand_off = HandOff {
        socket: ours,
        layers: Some(Box::new(layers)),
        peer: socket::Peer::Unix { uid: 1, pid: 2 },
        bytes: bytes.to_vec(),
        client_id: "a".to_owned(),
        assigned: false,
        safety: None,
        place: Place::take(totals, 10, &Arc::new(AtomicUsize::new(0)), 0).unwrap(),
        identity: Arc::default(),
        ends: Time::NEVER,
        authentication: None,
    };
    sender.send(ToShard::HandOff(Box::new(hand_off))).unwrap();
    (client, socket)
}

/// Reads until `done`, or the end: whether it came to that.
fn read_until(
    client: &mut Client,
    socket: &mut UnixStream,
    done: impl Fn(&Client) -> bool,
) -> bool {
    let mut buffer = [0; 65_536];
    while !done(client) {
        match socket.read(&mut buffer).unwrap() {
            0 => return false,
            n => client.decode(&buffer[..n]),
        }
    }
    true
}

#[test]
fn a_shard_takes_over() {
    let (sender, thread, totals) = shard();
    for kind in KINDS {
        let (mut client, mut socket) = hand_off(&sender, &totals, kind);
        let whole = |c: &Client| c.got.len() >= ANSWERS.len();
        assert!(read_until(&mut client, &mut socket, whole), "{kind:?}");
        assert_eq!(client.got, ANSWERS, "{kind:?}");
        // A large message to itself, and DISCONNECT: all in order, then the end.
        client.got.clear();
        let mut publish = b"\x30\x83\xb5\x18\0\x01t".to_vec(); // 400,003 bytes
        publish.extend(bytes(400_000));
        let mut raw = client.encode(&publish);
        raw.extend(client.encode(b"\xc0\0"));
        let mut writer = socket.try_clone().unwrap();
        let writing = std::thread::spawn(move || writer.write_all(&raw));
        let all = publish.len() + 2;
        assert!(read_until(&mut client, &mut socket, |c| c.got.len() >= all), "{kind:?}");
        writing.join().unwrap().unwrap();
        assert!(client.got[..publish.len()] == publish && client.got.ends_with(b"\xd0\0"));
        let raw = client.encode(b"\xe0\0");
        socket.write_all(&raw).unwrap();
        assert!(!read_until(&mut client, &mut socket, |_| false));
        assert_eq!(client.tls_closed, client.tls.is_some(), "{kind:?}");
        assert_eq!(client.closed, client.peer.is_some().then_some(Some(1000)), "{kind:?}");
    }
    sender.send(ToShard::Shutdown).unwrap();
    thread.join().unwrap();
    assert_eq!((totals.connections(), totals.half_received_bytes()), (0, 0));
}

/// Who breaks the rules is told, and gone; so is who is there at the end.
#[test]
fn a_shard_tells_why() {
    let (sender, thread, totals) = shard();
    for kind in KINDS {
        let (mut client, mut socket) = hand_off(&sender, &totals, kind);
        let whole = |c: &Client| c.got.len() >= ANSWERS.len();
        assert!(read_until(&mut client, &mut socket, whole), "{kind:?}");
        let mut raw = client.encrypt(b"\x81\x80\0\0\0\0");
        if client.peer.is_none() {
            raw[7] ^= 1;
        }
        socket.write_all(&raw).unwrap();
        assert!(!read_until(&mut client, &mut socket, |_| false));
        match client.peer {
            None => assert!(client.tls_error.is_some(), "{kind:?}"),
            Some(_) => assert_eq!(client.closed, Some(Some(1003)), "{kind:?}"),
        }
    }
    let (mut client, mut socket) = hand_off(&sender, &totals, Kind::Both);
    assert!(read_until(&mut client, &mut socket, |c| c.got.len() >= ANSWERS.len()));
    sender.send(ToShard::Shutdown).unwrap();
    assert!(!read_until(&mut client, &mut socket, |_| false));
    assert_eq!((client.closed, client.tls_closed), (Some(Some(1001)), true));
    drop(socket);
    thread.join().unwrap();
    assert_eq!((totals.connections(), totals.half_received_bytes()), (0, 0));
}

/// Not for every day: run it alone, with the number that it prints in mind.
#[test]
#[ignore = "measures the memory of the process"]
fn memory_of_idle_connections() {
    const COUNT: usize = 1500;
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let (socket, mut buffer, large) = (Socket::from(ours), vec![0; 262_144], bytes(16_000));
    for kind in KINDS {
        let mut make = || {
            let (mut client, tls) = Client::new(kind);
            let mut layers = Box::new(Layers::new(tls));
            if matches!(kind, Kind::WebSocket | Kind::Both) {
                layers.start_websocket(b"");
            }
            // After some traffic, both ways.
            let mut raw = client.encode(&large);
            raw.extend((0..200).flat_map(|n| client.encode(&large[n..n + 40])));
            theirs.write_all(&raw).unwrap();
            while layers.in_hand() {
                let _ = layers.read(&socket, &mut buffer);
            }
            assert!(layers.write_plain(&socket, &large).unwrap() && layers.kept_bytes() == 0);
            while theirs.read(&mut buffer).is_ok() {}
            layers.left = Left::More;
            layers
        };
        drop((0..50).map(|_| make()).collect::<Vec<_>>());
        let before = resident();
        let layers: Vec<_> = (0..COUNT).map(|_| make()).collect();
        eprintln!("{kind:?}: {} bytes each", resident().saturating_sub(before) / COUNT);
        std::mem::forget(layers); // so that the next kind finds no free memory
    }
}
