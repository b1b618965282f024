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
