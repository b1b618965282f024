//! A small blocking client over any stream, and the streams: TLS and WebSocket.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use stonechat::codec::{self, Framed, Packet, QoS, Version};

use crate::certificates::{Ca, Pair};
use crate::support::PATIENCE;
use crate::support::broker::{Broker, Setup};
use crate::support::client::{Got, Heard, bytes_of, connect, heard, publish, subscribe};

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A broker with these listeners, all open to anonymous clients.
pub(crate) fn open(settings: &str) -> Broker {
    Setup { listen: None, settings, ..Setup::default() }.start()
}

/// One listener with further lines.
pub(crate) fn listener(lines: &str) -> String {
    format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{lines}\n")
}

/// A bare connection to the listener with this number.
pub(crate) fn socket(broker: &Broker, number: usize) -> TcpStream {
    let socket = TcpStream::connect(broker.addresses[number]).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// How a client speaks TLS.
pub(crate) struct TlsClient<'a> {
    pub(crate) ca: &'a Ca,
    pub(crate) pair: Option<&'a Pair>,
    pub(crate) versions: &'a [&'static rustls::SupportedProtocolVersion],
    pub(crate) alpn: &'a [&'a [u8]],
    pub(crate) name: &'static str,
}

impl<'a> TlsClient<'a> {
    pub(crate) fn new(ca: &'a Ca) -> Self {
        Self { ca, pair: None, versions: rustls::ALL_VERSIONS, alpn: &[], name: "localhost" }
    }

    pub(crate) fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.pair {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let key = PrivateKeyDer::try_from(pair.key.serialize_der()).unwrap();
                let chain = vec![pair.certificate.der().clone()];
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        config
    }

    /// The handshake, as far as this side of it goes.
    pub(crate) fn open(&self, broker: &Broker, number: usize) -> io::Result<Tls> {
        handshake(Arc::new(self.config()), self.name, socket(broker, number))
    }
}

pub(crate) fn handshake(
    config: Arc<ClientConfig>,
    name: &'static str,
    socket: TcpStream,
) -> io::Result<Tls> {
    let name = ServerName::try_from(name).unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(config, name).unwrap(), socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// A client.
pub(crate) struct Talk<S> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

impl<S: Read + Write> Talk<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Connects, which has to succeed.
    pub(crate) fn enter(stream: S, client_id: &str) -> Self {
        let mut talk = Self::over(stream);
        talk.say(&Packet::Connect(Box::new(connect(Version::V5, client_id))));
        let answer = talk.hear();
        assert!(matches!(answer, Heard::ConnAck { code: 0, .. }), "{answer:?}");
        talk
    }

    pub(crate) fn say(&mut self, packet: &Packet<'_>) {
        self.stream.write_all(&bytes_of(packet, Version::V5)).unwrap();
        self.stream.flush().unwrap();
    }

    pub(crate) fn hear(&mut self) -> Heard {
        loop {
            if let Framed::Whole(frame) = codec::frame(&self.buffer, usize::MAX).unwrap() {
                let len = frame.len;
                let heard = heard(frame, Version::V5);
                self.buffer.drain(..len);
                return heard;
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Heard::End,
                Ok(n) => self.buffer.extend_from_slice(&bytes[..n]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => panic!("nothing came"),
                Err(_) => return Heard::End,
            }
        }
    }

    pub(crate) fn ping(&mut self) {
        self.say(&Packet::PingReq);
        assert_eq!(self.hear(), Heard::PingResp);
    }

    /// Subscribes, publishes to itself, and hears it.
    pub(crate) fn round_trip(&mut self, payload: &[u8]) {
        self.say(&subscribe("round/trip", QoS::AtMostOnce, 1));
        assert_eq!(self.hear(), Heard::SubAck(vec![0]));
        self.say(&Packet::Publish(publish("round/trip", payload, QoS::AtMostOnce, 0)));
        let Heard::Publish(Got { payload: got, .. }) = self.hear() else { panic!("no message") };
        assert!(got == payload);
    }
}

/// CONNECT, SUBSCRIBE and PUBLISH to it, in one piece.
pub(crate) fn three_packets(client_id: &str) -> Vec<u8> {
    let mut bytes =
        bytes_of(&Packet::Connect(Box::new(connect(Version::V5, client_id))), Version::V5);
    bytes.extend(bytes_of(&subscribe("three", QoS::AtMostOnce, 1), Version::V5));
    let publish = publish("three", b"packets", QoS::AtMostOnce, 0);
    bytes.extend(bytes_of(&Packet::Publish(publish), Version::V5));
    bytes
}

/// Their answers.
pub(crate) fn hear_three<S: Read + Write>(talk: &mut Talk<S>) {
    assert!(matches!(talk.hear(), Heard::ConnAck { code: 0, .. }));
    assert_eq!(talk.hear(), Heard::SubAck(vec![0]));
    let Heard::Publish(got) = talk.hear() else { panic!("no message") };
    assert_eq!(got.payload, b"packets");
}
