//! WebSocket, with a client of somebody else: packets across frames and within them, and who does
//! not get in.

use std::io::{Read, Write};
use std::net::TcpStream;

use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Request;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Bytes, Error, Message, WebSocket};

use crate::certificates::{Ca, Files};
use crate::talk::{Talk, TlsClient, hear_three, listener, open, socket, three_packets};

/// Bytes out as binary messages, bytes in out of them.
pub(crate) struct Frames<S> {
    pub(crate) websocket: WebSocket<S>,
    waiting: Bytes,
}

impl<S: Read + Write> Frames<S> {
    /// The bytes of the next message.
    fn next(&mut self) -> Bytes {
        match self.websocket.read() {
            Ok(Message::Binary(bytes)) => bytes,
            Ok(Message::Pong(_) | Message::Ping(_)) => self.next(),
            Ok(Message::Close(_)) | Err(Error::ConnectionClosed) => Bytes::new(),
            other => panic!("{other:?}"),
        }
    }
}

impl<S: Read + Write> Read for Frames<S> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.waiting.is_empty() {
            self.waiting = self.next();
        }
        let n = self.waiting.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.waiting.split_to(n));
        Ok(n)
    }
}

impl<S: Read + Write> Write for Frames<S> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.websocket.send(Message::binary(bytes.to_vec())).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A request for `path` with these further fields.
fn request(path: &str, fields: &[(&'static str, &str)]) -> Request {
    let mut request = format!("ws://localhost{path}").into_client_request().unwrap();
    for (name, value) in fields {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

const MQTT: (&str, &str) = ("Sec-WebSocket-Protocol", "mqtt");

fn upgrade<S: Read + Write>(stream: S) -> Frames<S> {
    let (websocket, answer) =
        tungstenite::client(request("/mqtt", &[MQTT]), stream).map_err(|e| e.to_string()).unwrap();
    assert_eq!(answer.headers()["Sec-WebSocket-Protocol"], "mqtt", "[MQTT-6.0.0-3]");
    Frames { websocket, waiting: Bytes::new() }
}

const LISTENER: &str = "protocol = \"websocket\"";

#[test]
fn packets_and_frames_have_nothing_to_do_with_each_other() {
    let broker = open(&listener(LISTENER));
    // Three packets in one frame.
    let mut talk = Talk::over(upgrade(socket(&broker, 0)));
    talk.stream.write_all(&three_packets("one")).unwrap();
    hear_three(&mut talk);
    // A frame for each byte [MQTT-6.0.0-2], with pings between them.
    let mut talk = Talk::over(upgrade(socket(&broker, 0)));
    for byte in three_packets("many") {
        talk.stream.websocket.send(Message::Ping(Bytes::from_static(b"?"))).unwrap();
        talk.stream.write_all(&[byte]).unwrap();
    }
    hear_three(&mut talk);
    talk.round_trip(&vec![b'x'; 100_000]);
    broker.stop();
}

#[test]
fn fragments_and_what_comes_with_the_request() {
    use tungstenite::protocol::frame::Frame;
    use tungstenite::protocol::frame::coding::{Data, OpCode};
    let broker = open(&listener(LISTENER));
    let mut frames = upgrade(socket(&broker, 0));
    let bytes = three_packets("fragments");
    let (a, b) = bytes.split_at(20);
    for (bytes, kind, last) in [(a, Data::Binary, false), (b, Data::Continue, true)] {
        let mut frame = Frame::message(bytes.to_vec(), OpCode::Data(kind), last);
        frame.header_mut().mask = Some([1, 2, 3, 4]);
        frames.websocket.send(Message::Frame(frame)).unwrap();
        frames.websocket.send(Message::Ping(Bytes::from_static(b"between"))).unwrap();
    }
    hear_three(&mut Talk::over(frames));
    // The frames stand behind the request, in one write.
    let mut all = b"GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Protocol: mqtt\r\n\r\n"
        .to_vec();
    let packet = three_packets("eager");
    all.extend([0x82, 0x80 | packet.len() as u8, 0, 0, 0, 0]);
    all.extend(packet);
    let mut stream = socket(&broker, 0);
    stream.write_all(&all).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    let role = tungstenite::protocol::Role::Client;
    let websocket = WebSocket::from_raw_socket(stream, role, None);
    hear_three(&mut Talk::over(Frames { websocket, waiting: Bytes::new() }));
    broker.stop();
}

#[test]
fn over_tls() {
    let (ca, files) = (Ca::new("ca"), Files::new());
    let lines = files.pair("server", &ca.server("localhost"));
    let broker = open(&listener(&format!("{lines}{LISTENER}")));
    let stream = TlsClient { alpn: &[b"http/1.1"], ..TlsClient::new(&ca) }.open(&broker, 0);
    let mut talk = Talk::over(upgrade(stream.unwrap()));
    talk.stream.write_all(&three_packets("wss")).unwrap();
    hear_three(&mut talk);
    talk.round_trip(&vec![b'x'; 100_000]);
    broker.stop();
}

/// The status of the answer; `None`: it is upgraded.
fn status(stream: TcpStream, request: Request) -> Option<u16> {
    match tungstenite::client(request, stream) {
        Ok(_) => None,
        Err(tungstenite::HandshakeError::Failure(Error::Http(answer))) => {
            Some(answer.status().as_u16())
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn who_does_not_get_in_gets_an_answer() {
    let strict = format!("{LISTENER}\norigins = \"https://dash.example\"");
    let anywhere = format!("{LISTENER}\nwebsocket_path = \"\"");
    let broker = open(&(listener(LISTENER) + &listener(&strict) + &listener(&anywhere)));
    let good = ("Origin", "https://dash.example");
    let evil = ("Origin", "https://dash.example.evil");
    for (number, path, fields, answer, why) in [
        (0, "/mqtt", &[MQTT][..], None, ""),
        (0, "/mqtt?token=x", &[MQTT], None, ""),
        (0, "/mqtt", &[MQTT, evil], None, ""),
        (0, "/mqtt", &[("Sec-WebSocket-Protocol", "soap, mqttv3.1 , mqtt")], None, ""),
        (0, "/mqtt", &[], Some(400), "Sec-WebSocket-Protocol"),
        (
            0,
            "/mqtt",
            &[("Sec-WebSocket-Protocol", "soap")],
            Some(400),
            "Sec-WebSocket-Protocol does not offer mqtt",
        ),
        (0, "/", &[MQTT], Some(404), "websocket_path"),
        (0, "/mqtt/", &[MQTT], Some(404), "websocket_path"),
        (1, "/mqtt", &[MQTT, good], None, ""),
        (1, "/mqtt", &[MQTT], None, ""),
        (1, "/mqtt", &[MQTT, evil], Some(403), "origin"),
        (2, "/any/where", &[MQTT], None, ""),
    ] {
        let got = status(socket(&broker, number), request(path, fields));
        assert_eq!(got, answer, "{path} {fields:?}");
        if let Some(answer) = answer {
            broker.log.wait_for(&["connection refused", why, &format!("status={answer}")]);
        }
    }
    broker.stop();
}

#[test]
fn frames_that_are_none_of_mqtts() {
    let broker = open(&listener(LISTENER));
    for (message, code, why) in [
        (Message::text("hello"), CloseCode::Unsupported, "[MQTT-6.0.0-1]"),
        (Message::Ping(Bytes::from_static(b"x")), CloseCode::Normal, "CONNECT"),
        (Message::binary(&b"\x20\x03\0\0\0"[..]), CloseCode::Normal, "not CONNECT"),
        (Message::Close(None), CloseCode::Normal, "the client closed before CONNECT"),
    ] {
        let mut frames = upgrade(socket(&broker, 0));
        let is_ping = matches!(message, Message::Ping(_));
        frames.websocket.send(message.clone()).unwrap();
        if is_ping {
            assert_eq!(frames.websocket.read().unwrap(), Message::Pong(Bytes::from_static(b"x")));
            continue;
        }
        match frames.websocket.read().unwrap() {
            Message::Close(None) => assert!(matches!(message, Message::Close(None))),
            Message::Close(Some(frame)) => assert_eq!(frame.code, code),
            other => panic!("{other:?}"),
        }
        broker.log.wait_for(&["connection", why]);
    }
    // A refusal in MQTT is a frame, and then comes the close frame.
    let mut frames = upgrade(socket(&broker, 0));
    frames.write_all(b"\x10\x0d\0\x04MQTT\x06\x02\0\0\0\0\0\x01a").unwrap();
    let answer = frames.next();
    assert_eq!((answer[0], answer[3]), (0x20, 0x84), "{answer:?}");
    assert!(matches!(frames.websocket.read(), Ok(Message::Close(_))));
    broker.stop();
}
