//! WebSocket, the server's side of RFC 6455: the upgrade request and its answer, frames to payload
//! and back.
//!
//! May use: bytes that are handed in. Invariants: no message is ever put together: payload is
//! handed out piece by piece, as it arrives, unmasked in place; of a client's bytes nothing is kept
//! but a header or a control frame that is not whole (at most 14 and 125 bytes); any cut of the
//! bytes gives the same payload and the same end.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

/// The bytes of an upgrade request, at most.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// The header fields of an upgrade request, at most.
pub const REQUEST_HEADERS_MAX: usize = 64;
/// The bytes of a control frame's payload, at most (RFC 6455, section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;
/// The bytes of a server's frame header, at most: it has no mask.
pub const HEADER_BYTES_MAX: usize = 10;

/// What is hashed behind the key (RFC 6455, section 1.3).
const ACCEPT_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Subprotocols in the order in which they are chosen. MQTT 3.1.1 and 5.0 have the first
/// \[MQTT-6.0.0-3\]; clients of MQTT 3.1 say the second.
const PROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{status}: {what}")]
pub struct HttpError {
    /// 400, 405, 426 or 431 from [`request`]; its caller may add 403, 404 and 503
    pub status: u16,
    /// what is wrong, for the log and the answer
    pub what: &'static str,
}

/// A request to become a WebSocket connection that this side can follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upgrade<'a> {
    /// how many bytes it took: what stands behind them are frames
    pub used: usize,
    /// the client's `Sec-WebSocket-Key`
    pub key: &'a str,
    /// the subprotocol that is chosen
    pub protocol: &'static str,
    /// where the page comes from that makes the request, if a browser says so
    pub origin: Option<&'a str>,
    /// what is asked for, without a query
    pub path: &'a str,
}

const fn bad(what: &'static str) -> HttpError {
    HttpError { status: 400, what }
}

const TOO_LARGE: HttpError = HttpError { status: 431, what: "the request header is too large" };

/// What the first bytes of a connection ask for; `None` while the request is not whole. Refuses
/// what is no upgrade request of RFC 6455 for MQTT, and more than [`REQUEST_BYTES_MAX`] bytes or
/// [`REQUEST_HEADERS_MAX`] header fields.
pub fn request(bytes: &[u8]) -> Result<Option<Upgrade<'_>>, HttpError> {
    let mut fields = [httparse::EMPTY_HEADER; REQUEST_HEADERS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let head = &bytes[..bytes.len().min(REQUEST_BYTES_MAX)];
    let used = match request.parse(head) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) if bytes.len() >= REQUEST_BYTES_MAX => return Err(TOO_LARGE),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(TOO_LARGE),
        Err(_) => return Err(bad("this is no HTTP/1.1 request")),
    };
    if request.method != Some("GET") {
        return Err(HttpError { status: 405, what: "only GET is answered" });
    }
    if request.version != Some(1) {
        return Err(bad("the request is not HTTP/1.1"));
    }
    let fields = Fields(request.headers);
    check_fields(&fields)?;
    let (key, protocol) = (fields.key()?, fields.protocol()?);
    let target = request.path.unwrap_or_default();
    let path = target.split(['?', '#']).next().unwrap_or_default();
    if !path.starts_with('/') {
        return Err(bad("the request's target is not a path"));
    }
    Ok(Some(Upgrade { used, key, protocol, origin: fields.one("origin")?, path }))
}

/// What every upgrade request says of itself (RFC 6455, section 4.2.1).
fn check_fields(fields: &Fields<'_, '_>) -> Result<(), HttpError> {
    if fields.one("host")?.is_none() {
        return Err(bad("the request has no Host"));
    }
    if fields.one("transfer-encoding")?.is_some()
        || fields.one("content-length")?.is_some_and(|length| length != "0")
    {
        return Err(bad("the request has a body"));
    }
    if !fields.has_token("upgrade", "websocket") || !fields.has_token("connection", "upgrade") {
        let what = "the request does not ask for a WebSocket connection";
        return Err(HttpError { status: 426, what });
    }
    match fields.one("sec-websocket-version")? {
        Some("13") => Ok(()),
        _ => Err(HttpError { status: 426, what: "only Sec-WebSocket-Version 13 is spoken" }),
    }
}

/// The header fields of a request.
struct Fields<'h, 'a>(&'h [httparse::Header<'a>]);

impl<'a> Fields<'_, 'a> {
    /// All values of `name`, each as text without surrounding white space.
    fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = Result<&'a str, HttpError>> + 's {
        let named = self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| match std::str::from_utf8(field.value) {
            Ok(value) => Ok(value.trim_matches([' ', '\t'])),
            Err(_) => Err(bad("a header field is not UTF-8")),
        })
    }

    /// The value of `name`, which may stand there once.
    fn one(&self, name: &str) -> Result<Option<&'a str>, HttpError> {
        let mut values = self.all(name);
        let first = values.next().transpose()?;
        match values.next() {
            None => Ok(first),
            Some(_) => Err(bad("a header field stands there twice")),
        }
    }

    /// Whether `name`, a list, contains `token`.
    fn has_token(&self, name: &str, token: &str) -> bool {
        let mut values = self.all(name).filter_map(Result::ok);
        values.any(|list| list.split(',').any(|t| t.trim().eq_ignore_ascii_case(token)))
    }

    fn key(&self) -> Result<&'a str, HttpError> {
        const WHAT: HttpError = bad("Sec-WebSocket-Key is not 16 bytes in base64");
        let key = self.one("sec-websocket-key")?.ok_or(WHAT)?;
        match STANDARD.decode(key) {
            Ok(bytes) if bytes.len() == 16 => Ok(key),
            _ => Err(WHAT),
        }
    }

    /// The subprotocol: the list may stand in several fields; its names are case-sensitive.
    fn protocol(&self) -> Result<&'static str, HttpError> {
        let offers = |name: &str| {
            let mut lists = self.all("sec-websocket-protocol").filter_map(Result::ok);
            lists.any(|list| list.split(',').any(|p| p.trim() == name))
        };
        let what = "Sec-WebSocket-Protocol does not offer mqtt [MQTT-6.0.0-3]";
        PROTOCOLS.into_iter().find(|name| offers(name)).ok_or(bad(what))
    }
}

/// The answer that makes a WebSocket connection of it \[MQTT-6.0.0-4\].
pub fn accept(key: &str, protocol: &str) -> Vec<u8> {
    use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
    let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key.as_bytes());
    hash.update(ACCEPT_SUFFIX);
    let accept = STANDARD.encode(hash.finish());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    );
    answer.into_bytes()
}

/// The answer to a request that is refused; the connection ends behind it.
pub fn refusal(error: HttpError) -> Vec<u8> {
    let HttpError { status, what } = error;
    let (reason, more) = match status {
        403 => ("Forbidden", ""),
        404 => ("Not Found", ""),
        405 => ("Method Not Allowed", "Allow: GET\r\n"),
        426 => ("Upgrade Required", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
        431 => ("Request Header Fields Too Large", ""),
        503 => ("Service Unavailable", ""),
        _ => ("Bad Request", ""),
    };
    let connection = if status == 426 { "Upgrade, close" } else { "close" };
    let answer = format!(
        "HTTP/1.1 {status} {reason}\r\nConnection: {connection}\r\n{more}\
         Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{what}\n",
        what.len() + 1
    );
    answer.into_bytes()
}

/// Why a client's frames are no WebSocket connection that this side can follow. The connection
/// ends, with a close frame that carries `code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("WebSocket: {what}")]
pub struct FrameError {
    /// the status code of RFC 6455, section 7.4.1
    pub code: u16,
    /// what is wrong, for the log
    pub what: &'static str,
}

const fn violation(what: &'static str) -> FrameError {
    FrameError { code: PROTOCOL_ERROR, what }
}

/// Status code: the purpose of the connection is fulfilled.
pub const NORMAL: u16 = 1000;
/// Status code: the server goes away.
pub const GOING_AWAY: u16 = 1001;
/// Status code: the peer breaks the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// Status code: data of a type that is not taken.
pub const UNSUPPORTED: u16 = 1003;
/// Status code: text that is not UTF-8.
pub const NOT_UTF8: u16 = 1007;

/// What a frame of this side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// data, whole in one frame
    Binary = 0x2,
    /// the last frame
    Close = 0x8,
    /// the answer to a ping
    Pong = 0xA,
}

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// Writes the header of a frame with `payload_bytes` bytes of payload; returns its length.
pub fn encode_header(
    opcode: Opcode,
    payload_bytes: u64,
    header: &mut [u8; HEADER_BYTES_MAX],
) -> usize {
    header[0] = 0x80 | opcode as u8;
    match payload_bytes {
        0..=125 => {
            header[1] = payload_bytes as u8;
            2
        }
        126..=0xFFFF => {
            header[1] = 126;
            header[2..4].copy_from_slice(&(payload_bytes as u16).to_be_bytes());
            4
        }
        _ => {
            header[1] = 127;
            header[2..10].copy_from_slice(&payload_bytes.to_be_bytes());
            10
        }
    }
}

/// Appends a whole control frame; of `payload`, at most [`CONTROL_BYTES_MAX`] bytes.
pub fn encode_control(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    let payload = &payload[..payload.len().min(CONTROL_BYTES_MAX)];
    let mut header = [0; HEADER_BYTES_MAX];
    let len = encode_header(opcode, payload.len() as u64, &mut header);
    out.extend_from_slice(&header[..len]);
    out.extend_from_slice(payload);
}

/// What stands at the front of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// nothing that concerns the caller; all bytes may be used up
    Nothing,
    /// payload, unmasked, at this place in the bytes
    Data(Range<usize>),
    /// a ping: it is answered with a pong that carries the same bytes
    Ping(Vec<u8>),
    /// the client's last frame, with its status code if it has one; what comes behind it is
    /// ignored
    Close(Option<u16>),
}

/// Cuts a client's bytes into payload and control frames.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The payload bytes of the current frame that are still to come.
    left: u64,
    /// Turned so that its first byte is for the next byte of payload.
    mask: [u8; 4],
    /// The frame header that is not whole.
    header: [u8; 14],
    header_len: u8,
    opcode: u8,
    /// A message's last fragment is still to come.
    in_message: bool,
    /// The close frame has come.
    closed: bool,
    /// The payload of the control frame that is not whole.
    control: Vec<u8>,
}

impl Decoder {
    /// Takes the next step through `bytes`: how many are used, and what they are. To be called
    /// again with the rest until all are used; after an error or a close frame there is no more.
    pub fn step(&mut self, bytes: &mut [u8]) -> Result<(usize, Event), FrameError> {
        if self.closed {
            return Ok((bytes.len(), Event::Nothing));
        }
        let mut used = 0;
        if self.left == 0 {
            used = match self.take_header(bytes)? {
                None => return Ok((bytes.len(), Event::Nothing)),
                Some(used) => used,
            };
            // An empty data frame is over; an empty control frame is whole.
            if self.left == 0 && self.opcode < CLOSE {
                return Ok((used, Event::Nothing));
            }
        }
        let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - used);
        let payload = &mut bytes[used..used + n];
        unmask(&mut self.mask, payload);
        self.left -= n as u64;
        if self.opcode < CLOSE {
            let event = if n > 0 { Event::Data(used..used + n) } else { Event::Nothing };
            return Ok((used + n, event));
        }
        self.control.extend_from_slice(payload);
        let event = if self.left == 0 { self.on_control()? } else { Event::Nothing };
        Ok((used + n, event))
    }

    /// The bytes that are kept here of frames that are not whole.
    pub fn kept_bytes(&self) -> usize {
        usize::from(self.header_len) + self.control.len()
    }

    /// Takes bytes until the header of the next frame is whole: how many.
    fn take_header(&mut self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        for (at, &byte) in bytes.iter().enumerate() {
            self.header[usize::from(self.header_len)] = byte;
            self.header_len += 1;
            match self.header_len {
                1 => self.check_first(byte)?,
                2 => self.check_second(byte)?,
                n if n == self.header_bytes() => {
                    self.header_len = 0;
                    self.begin_frame(n)?;
                    return Ok(Some(at + 1));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// The length of the header that has begun, once two bytes are there.
    fn header_bytes(&self) -> u8 {
        match self.header[1] & 0x7F {
            126 => 8,
            127 => 14,
            _ => 6,
        }
    }

    fn check_first(&mut self, first: u8) -> Result<(), FrameError> {
        if first & 0x70 != 0 {
            return Err(violation("a frame with a reserved bit set"));
        }
        let fin = first & 0x80 != 0;
        match first & 0x0F {
            CONTINUATION if !self.in_message => Err(violation("a continuation of nothing")),
            CONTINUATION => Ok(()),
            TEXT | BINARY if self.in_message => {
                Err(violation("a new message inside a fragmented one"))
            }
            TEXT => {
                let what = "a text frame [MQTT-6.0.0-1]";
                Err(FrameError { code: UNSUPPORTED, what })
            }
            BINARY => Ok(()),
            CLOSE | PING | PONG if fin => Ok(()),
            CLOSE | PING | PONG => Err(violation("a fragmented control frame")),
            _ => Err(violation("a frame with a reserved opcode")),
        }
    }

    fn check_second(&self, second: u8) -> Result<(), FrameError> {
        if second & 0x80 == 0 {
            return Err(violation("a frame of a client without a mask"));
        }
        let is_control = self.header[0] & 0x08 != 0;
        if is_control && usize::from(second & 0x7F) > CONTROL_BYTES_MAX {
            return Err(violation("a control frame of more than 125 bytes"));
        }
        Ok(())
    }

    /// The header is whole, with `len` bytes.
    fn begin_frame(&mut self, len: u8) -> Result<(), FrameError> {
        let [first, second, rest @ ..] = self.header;
        let (left, mask_at) = match len {
            6 => (u64::from(second & 0x7F), 0),
            8 => (u64::from(u16::from_be_bytes([rest[0], rest[1]])), 2),
            _ => {
                let mut eight = [0; 8];
                eight.copy_from_slice(&rest[..8]);
                (u64::from_be_bytes(eight), 8)
            }
        };
        if left >> 63 != 0 {
            return Err(violation("a frame of more than 2^63 bytes"));
        }
        if (len == 8 && left < 126) || (len == 14 && left <= 0xFFFF) {
            return Err(violation("a frame length that is longer than it need be"));
        }
        self.mask.copy_from_slice(&rest[mask_at..mask_at + 4]);
        self.left = left;
        self.opcode = first & 0x0F;
        if self.opcode < CLOSE {
            self.in_message = first & 0x80 == 0;
        }
        Ok(())
    }

    /// A control frame is whole.
    fn on_control(&mut self) -> Result<Event, FrameError> {
        let payload = std::mem::take(&mut self.control);
        match self.opcode {
            PING => Ok(Event::Ping(payload)),
            CLOSE => {
                self.closed = true;
                close_code(&payload).map(Event::Close)
            }
            _ => Ok(Event::Nothing), // a pong that nobody asked for
        }
    }
}

/// The status code in a close frame's payload (RFC 6455, sections 5.5.1 and 7.4).
fn close_code(payload: &[u8]) -> Result<Option<u16>, FrameError> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(violation("a close frame with half a status code")),
        [a, b, reason @ ..] => (u16::from_be_bytes([*a, *b]), reason),
    };
    match code {
        1000..=1003 | 1007..=1014 | 3000..=4999 => {}
        _ => return Err(violation("a close frame with a status code that is none")),
    }
    match std::str::from_utf8(reason) {
        Ok(_) => Ok(Some(code)),
        Err(_) => Err(FrameError { code: NOT_UTF8, what: "a close frame's reason is not UTF-8" }),
    }
}

/// Takes the mask off `bytes`, or puts it on, and turns it for what follows.
pub fn unmask(mask: &mut [u8; 4], bytes: &mut [u8]) {
    let [a, b, c, d] = *mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for eight in words {
        *eight = (u64::from_ne_bytes(*eight) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
    mask.rotate_left(rest.len() % 4);
}

#[cfg(test)]
#[path = "../../tests/support/websocket.rs"]
mod feed;

#[cfg(test)]
mod tests {
    use super::feed::{Got, read};
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    /// The fields of a good request.
    const FIELDS: [(&str, &str); 6] = [
        ("Host", "broker.example"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Protocol", "mqtt"),
    ];

    /// A request with `fields` instead of those of the same name; an empty value leaves one out.
    fn with(line: &str, fields: &[(&str, &str)]) -> String {
        let named = |name: &str| fields.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        let rest = FIELDS.iter().filter(|(name, _)| !named(name));
        let all = rest.chain(fields).filter(|(_, value)| !value.is_empty());
        let text: String = all.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{line}\r\n{text}\r\n")
    }

    #[test]
    fn requests_that_are_followed() {
        let line = "GET /mqtt HTTP/1.1";
        let browser = [
            ("connection", "keep-alive, Upgrade"),
            ("UPGRADE", "h2c, WebSocket"),
            ("Origin", "https://panel.example"),
            ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
        ];
        let lists = [("Sec-WebSocket-Protocol", "a, b"), ("Sec-WebSocket-Protocol", "c,mqtt ,d")];
        let both = [("Sec-WebSocket-Protocol", "mqttv3.1, mqtt")];
        let old = [("Sec-WebSocket-Protocol", "mqttv3.1")];
        let origin = Some("https://panel.example");
        for (line, fields, path, origin, protocol) in [
            (line, &[][..], "/mqtt", None, "mqtt"),
            (line, &browser, "/mqtt", origin, "mqtt"),
            (line, &lists, "/mqtt", None, "mqtt"),
            (line, &both, "/mqtt", None, "mqtt"),
            (line, &old, "/mqtt", None, "mqttv3.1"),
            (line, &[("Content-Length", "0")], "/mqtt", None, "mqtt"),
            ("GET /a/b?c=d HTTP/1.1", &[], "/a/b", None, "mqtt"),
            ("GET / HTTP/1.1", &[], "/", None, "mqtt"),
        ] {
            let text = with(line, fields);
            let used = text.len();
            let expected = Upgrade { used, key: KEY, protocol, origin, path };
            let frames = text.clone() + "\u{2}\0";
            assert_eq!(request(frames.as_bytes()), Ok(Some(expected)), "{text}");
            for n in 0..used {
                assert_eq!(request(&text.as_bytes()[..n]), Ok(None), "{n} of {text}");
            }
        }
    }

    #[test]
    fn requests_that_are_refused() {
        let line = "GET /mqtt HTTP/1.1";
        let long = "x".repeat(REQUEST_BYTES_MAX);
        let many = "x: y\r\n".repeat(REQUEST_HEADERS_MAX + 1);
        for (text, status) in [
            ("\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0".to_owned(), 400),
            ("\x16\x03\x01\x02\0\x01".to_owned(), 400),
            ("GET /mqtt\r\n".to_owned(), 400),
            (with("POST /mqtt HTTP/1.1", &[]), 405),
            (with("OPTIONS * HTTP/1.1", &[]), 405),
            (with("GET /mqtt HTTP/1.0", &[]), 400),
            (with("GET http://broker.example/mqtt HTTP/1.1", &[]), 400),
            (with(line, &[("Host", "")]), 400),
            (with(line, &[("Host", "a"), ("Host", "b")]), 400),
            (with(line, &[("Upgrade", "")]), 426),
            (with(line, &[("Upgrade", "websocket2")]), 426),
            (with(line, &[("Connection", "keep-alive")]), 426),
            (with(line, &[("Sec-WebSocket-Version", "")]), 426),
            (with(line, &[("Sec-WebSocket-Version", "8")]), 426),
            (with(line, &[("Sec-WebSocket-Version", "13, 8")]), 426),
            (with(line, &[("Sec-WebSocket-Key", "")]), 400),
            (with(line, &[("Sec-WebSocket-Key", "c2hvcnQ=")]), 400),
            (with(line, &[("Sec-WebSocket-Key", "no base64 at all, is it?")]), 400),
            (with(line, &[("Sec-WebSocket-Key", &KEY[..22])]), 400),
            (with(line, &[("Sec-WebSocket-Key", KEY), ("sec-websocket-key", KEY)]), 400),
            (with(line, &[("Sec-WebSocket-Protocol", "")]), 400),
            (with(line, &[("Sec-WebSocket-Protocol", "MQTT")]), 400),
            (with(line, &[("Sec-WebSocket-Protocol", "mqtt2, amqp")]), 400),
            (with(line, &[("Content-Length", "5")]), 400),
            (with(line, &[("Transfer-Encoding", "chunked")]), 400),
            (with(line, &[("Origin", "https://a"), ("Origin", "https://b")]), 400),
            (format!("{line}\r\nx: {long}"), 431),
            (format!("GET /{long}"), 431),
            (format!("{line}\r\n{many}\r\n"), 431),
        ] {
            let error = request(text.as_bytes()).expect_err(&text);
            assert_eq!(error.status, status, "{text}: {error}");
            let answer = String::from_utf8(refusal(error)).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
            assert_eq!(head.contains("Sec-WebSocket-Version: 13"), status == 426);
            assert_eq!(head.contains("Allow: GET"), status == 405);
        }
    }

    /// The example of RFC 6455, section 1.3.
    #[test]
    fn the_answer() {
        let answer = String::from_utf8(accept(KEY, "mqtt")).unwrap();
        assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(answer.contains("Sec-WebSocket-Protocol: mqtt\r\n"));
        assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("\r\n\r\n"));
    }

    /// A client's frame.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x37, 0xFA, 0x21, 0x3D];
        let mut header = [0; HEADER_BYTES_MAX];
        let len = encode_header(Opcode::Binary, payload.len() as u64, &mut header);
        header[0] = first;
        header[1] |= 0x80;
        let mut masked = payload.to_vec();
        unmask(&mut mask.clone(), &mut masked);
        [&header[..len], &mask, &masked].concat()
    }

    fn check(stream: &[u8], expected: &Got) {
        for cut in (1..20).chain([125, 126, 127, stream.len().max(1)]) {
            assert_eq!(
                read(stream, cut),
                *expected,
                "cut into {cut}: {:02X?}",
                &stream[..stream.len().min(40)]
            );
        }
    }

    #[test]
    fn frames_however_they_are_cut() {
        let long: Vec<u8> = (0..70_000_u32).map(|n| ((n * 7) >> 3) as u8).collect();
        for len in [0, 1, 7, 8, 9, 125, 126, 127, 65_535, 65_536, 70_000] {
            let payload = long[..len].to_vec();
            check(&frame(0x82, &payload), &Got { payload, ..Got::default() });
        }
        let ping = frame(0x89, &[b'p'; 125]);
        let parts = [
            frame(0x02, b"MQ"),
            ping.clone(),
            frame(0x00, b""),
            frame(0x8A, b"pong"),
            frame(0x80, b"TT"),
            frame(0x89, b""),
            frame(0x82, b"!"),
            frame(0x88, b"\x03\xE8bye"),
            frame(0x82, b"ignored"),
            b"\xFF\xFF".to_vec(),
        ];
        let expected = Got {
            payload: b"MQTT!".to_vec(),
            pings: vec![vec![b'p'; 125], vec![]],
            close: Some(Some(NORMAL)),
            error: None,
        };
        check(&parts.concat(), &expected);
        check(&frame(0x88, b""), &Got { close: Some(None), ..Got::default() });
    }

    #[test]
    fn frames_that_break_the_rules() {
        let mut far = frame(0x82, &[0; 65_536]);
        far[2] = 0x80;
        for (bad, code) in [
            (frame(0x81, b"text"), UNSUPPORTED),
            (frame(0x01, b"text"), UNSUPPORTED),
            (b"\x82\x04MQTT".to_vec(), PROTOCOL_ERROR),
            (frame(0xC2, b""), PROTOCOL_ERROR),
            (frame(0xA2, b""), PROTOCOL_ERROR),
            (frame(0x92, b""), PROTOCOL_ERROR),
            (frame(0x83, b""), PROTOCOL_ERROR),
            (frame(0x87, b""), PROTOCOL_ERROR),
            (frame(0x8B, b""), PROTOCOL_ERROR),
            (frame(0x8F, b""), PROTOCOL_ERROR),
            (frame(0x80, b"x"), PROTOCOL_ERROR),
            ([frame(0x02, b"a"), frame(0x82, b"b")].concat(), PROTOCOL_ERROR),
            ([frame(0x02, b"a"), frame(0x81, b"b")].concat(), PROTOCOL_ERROR),
            (frame(0x09, b"x"), PROTOCOL_ERROR),
            (frame(0x08, b""), PROTOCOL_ERROR),
            (frame(0x89, &[0; 126]), PROTOCOL_ERROR),
            (b"\x82\xFE\0\x7Dmask".to_vec(), PROTOCOL_ERROR),
            (b"\x82\xFF\0\0\0\0\0\0\xFF\xFFmask".to_vec(), PROTOCOL_ERROR),
            (far, PROTOCOL_ERROR),
            (frame(0x88, b"\x03"), PROTOCOL_ERROR),
            (frame(0x88, b"\x03\xE7"), PROTOCOL_ERROR),
            (frame(0x88, b"\x03\xED"), PROTOCOL_ERROR),
            (frame(0x88, b"\x0B\xB7"), PROTOCOL_ERROR),
            (frame(0x88, b"\x13\x88"), PROTOCOL_ERROR),
            (frame(0x88, b"\x03\xE8\xFF"), NOT_UTF8),
        ] {
            let stream = [frame(0x82, b"good"), bad].concat();
            let mut expected = Got { error: Some(code), ..Got::default() };
            let fragment = stream.get(10) == Some(&0x02);
            expected.payload = if fragment { b"gooda".to_vec() } else { b"good".to_vec() };
            check(&stream, &expected);
        }
    }

    #[test]
    fn headers_of_this_side() {
        let header = |opcode, len| {
            let mut header = [0; HEADER_BYTES_MAX];
            let n = encode_header(opcode, len, &mut header);
            header[..n].to_vec()
        };
        assert_eq!(header(Opcode::Binary, 0), [0x82, 0]);
        assert_eq!(header(Opcode::Pong, 125), [0x8A, 125]);
        assert_eq!(header(Opcode::Close, 2), [0x88, 2]);
        assert_eq!(header(Opcode::Binary, 126), [0x82, 126, 0, 126]);
        assert_eq!(header(Opcode::Binary, 65_535), [0x82, 126, 0xFF, 0xFF]);
        assert_eq!(header(Opcode::Binary, 65_536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        let mut out = Vec::new();
        encode_control(Opcode::Pong, &[1; 200], &mut out);
        assert_eq!((out.len(), out[1]), (127, 125));
    }

    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Decoder>() <= 64, "{}", size_of::<Decoder>());
    }
}
