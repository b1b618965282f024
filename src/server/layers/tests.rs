//! Layers over a pair of sockets, with clients that others wrote at the other end (rustls,
//! tungstenite). Everything runs on one thread; the clients' bytes are made in memory, so that a
//! test cuts them as it likes. What is tested stands below, by subject; here, what all tests use.

mod ends;
mod takeover;
mod traffic;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use rustls::{SupportedProtocolVersion, version};
use tungstenite::protocol::{Role, WebSocket as Peer};
use tungstenite::{Error as PeerError, Message as PeerMessage};

use super::super::connection::{About, Connection, ReadEnd};
use super::super::poller::{Poller, Who};
use super::super::socket::{self, Socket};
use super::super::totals::{HalfReceived, Place, Totals};
use super::*;
use crate::broker::{LinkKey, Message, MessageParts, Sends, Time};
use crate::codec::{Properties, QoS};
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
            welcome: true,
            door: 0,
            safety: None,
            deadline: Time::NEVER,
            half_received: HalfReceived::new(&totals),
            place,
        };
        let mut poller = Poller::new().unwrap();
        let socket = Socket::from(ours);
        poller.add(&socket, Who::Connection(0), true).unwrap();
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
