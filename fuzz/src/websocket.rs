//! What clients send over WebSocket: any bytes, and frames good and bad.
//!
//! Laws: nothing panics; any cut of the bytes gives the same payload and the same end; what is
//! kept is bounded; what this side accepts another implementation (tungstenite) reads alike. A
//! request is whole at one place, and all its beginnings are not.

use std::io::{self, Cursor, Read, Write};

use stonechat::codec::websocket::{
    CONTROL_BYTES_MAX, Decoder, Event, accept, refusal, request, unmask,
};
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

use super::source::Source;

#[path = "../../tests/support/websocket.rs"]
mod feed;
use feed::{Got, read};

/// The other implementation makes room for a frame when it sees its header.
const OTHER_BYTES_MAX: usize = 1 << 16;

/// The first byte says what the others are.
pub fn run(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    match kind % 4 {
        0 => check_request(rest),
        1 => check_stream(rest),
        _ => check_stream(&stream(rest)),
    }
}

fn check_request(bytes: &[u8]) {
    match request(bytes) {
        Ok(None) => {}
        Err(error) => {
            assert!(matches!(error.status, 400 | 405 | 426 | 431), "{error}");
            assert!(refusal(error).starts_with(b"HTTP/1.1 4"));
        }
        Ok(Some(upgrade)) => {
            assert!(upgrade.used <= bytes.len() && upgrade.path.starts_with('/'));
            assert!(accept(upgrade.key, upgrade.protocol).ends_with(b"\r\n\r\n"));
            for n in 0..upgrade.used {
                assert_eq!(request(&bytes[..n]), Ok(None), "{n}");
            }
            assert_eq!(request(&bytes[..upgrade.used]), Ok(Some(upgrade)));
        }
    }
}

/// Frames, mostly of the right form.
fn stream(data: &[u8]) -> Vec<u8> {
    let mut source = Source::new(data);
    let mut stream = Vec::new();
    let mut in_message = false;
    while !source.is_empty() && stream.len() < 100_000 {
        let mut first = source.pick(&[0x82, 0x02, 0x89, 0x82, 0x8A, 0x88, 0x82, 0x02]);
        if in_message && first & 0x0F == 0x02 {
            first &= 0xF0;
        }
        match source.byte() {
            0..248 => {}
            n => first ^= 1 << (n - 248),
        }
        let mut payload = source.bytes().to_vec();
        match source.byte() {
            0..200 => {}
            200..240 if first & 0x0F == 0x08 => payload.splice(..0, [3, 0xE8]).for_each(drop),
            200..240 => {}
            n => payload.resize(usize::from(n - 239) * 4200, n),
        }
        if first & 0x08 != 0 && !source.one_in(16) {
            payload.truncate(CONTROL_BYTES_MAX);
        }
        if first & 0x08 == 0 {
            in_message = first & 0x80 == 0;
        }
        frame(first, &mut payload, source.byte(), &mut stream);
    }
    stream
}

fn frame(first: u8, payload: &mut [u8], how: u8, stream: &mut Vec<u8>) {
    let masked = if how == 255 { 0 } else { 0x80 };
    let len = payload.len();
    stream.push(first);
    match len {
        0..=125 if how != 254 => stream.push(masked | len as u8),
        0..=65_535 if how != 253 => {
            stream.push(masked | 126);
            stream.extend((len as u16).to_be_bytes());
        }
        _ => {
            stream.push(masked | 127);
            stream.extend((len as u64 | u64::from(how == 252) << 63).to_be_bytes());
        }
    }
    if masked != 0 {
        let mut mask = [how, 1, !how, 0x55];
        stream.extend(mask);
        unmask(&mut mask, payload);
    }
    stream.extend_from_slice(payload);
}

fn check_stream(stream: &[u8]) {
    let whole = read(stream, stream.len().max(1));
    for cut in [1, 2, 3, 5, 7, 13, 64, 1000] {
        assert_eq!(read(stream, cut), whole, "cut into {cut}");
    }
    if whole.error.is_none() {
        compare(stream, &whole);
    }
}

/// A stream to read from, and nowhere to write to.
struct Incoming<'a>(Cursor<&'a [u8]>);

impl Read for Incoming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }
}

impl Write for Incoming<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn compare(stream: &[u8], ours: &Got) {
    let config = WebSocketConfig::default().max_frame_size(Some(OTHER_BYTES_MAX));
    let incoming = Incoming(Cursor::new(stream));
    let mut other = WebSocket::from_raw_socket(incoming, Role::Server, Some(config));
    let (mut payload, mut pings) = (Vec::new(), Vec::new());
    loop {
        match other.read() {
            Ok(Message::Binary(bytes)) => payload.extend_from_slice(&bytes),
            Ok(Message::Ping(bytes)) => pings.push(bytes.to_vec()),
            Ok(Message::Pong(_)) => {}
            Ok(Message::Close(_)) | Err(Error::ConnectionClosed) => {
                assert!(ours.close.is_some());
                break;
            }
            Err(Error::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(Error::Capacity(_)) => return,
            other => panic!("only this side takes it: {other:?}"),
        }
    }
    assert!(ours.payload.starts_with(&payload), "the same payload");
    assert_eq!(ours.pings, pings);
}

/// A request, and frames.
pub fn seeds() -> Vec<Vec<u8>> {
    let request = b"\0GET /mqtt HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: x, mqtt\r\nOrigin: b\r\n\r\n";
    let mut raw = vec![1];
    for (first, payload) in [
        (0x82, &b"\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0"[..]),
        (0x02, b"\x30\x05\0"),
        (0x89, b"ping"),
        (0x80, b"\x01t12"),
        (0x8A, b""),
        (0x88, b"\x03\xE8bye"),
    ] {
        frame(first, &mut payload.to_vec(), first, &mut raw);
    }
    vec![request.to_vec(), raw]
}
