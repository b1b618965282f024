//! What lies between a socket and MQTT: TLS, WebSocket, or one in the other. A connection without
//! either has none of this.
//!
//! May use: sockets that never block. Invariants: after a read, [`Layers::in_hand`] says whether
//! there is more that the socket will not tell of; of a message or a frame nothing is put together;
//! between frames control frames may stand, within one nothing but its payload; a frame holds one
//! packet, or a part of a long one, so that clients that look for one per frame get on (paho C
//! leaves the second of a frame until more comes); after the close frame and close_notify nothing
//! is written.

use std::io::{self, IoSlice};

use rustls::ServerConnection;

use super::connection::ReadEnd;
use super::socket::Socket;
use super::tunnel::{Left, Tunnel, receive};
use crate::broker::Outbox;
use crate::codec::websocket::{
    Decoder, Event, FrameError, HEADER_BYTES_MAX, Opcode, encode_control, encode_header,
};
use crate::codec::{Frame, Framed, frame};

/// Slices of one write.
const SLICES_MAX: usize = 16;
/// The payload of a frame, at most: a pong does not wait for longer, and a client that collects
/// frames need not collect more.
const FRAME_BYTES_MAX: usize = 256 * 1024;
/// Packets of up to so many bytes are gathered, each with its frame's header before it …
const GATHERED_PACKET_BYTES_MAX: usize = 4096;
/// … while there are fewer bytes than that.
const GATHERED_BYTES_MAX: usize = 16 * 1024;
/// A fixed header: packet type and Remaining Length.
const FIXED_HEADER_BYTES_MAX: usize = 5;
/// A buffer for what goes before the payload is kept up to this size.
const HEAD_KEPT_BYTES_MAX: usize = 16;

/// The layers of one connection.
#[derive(Debug)]
pub(crate) struct Layers {
    tunnel: Option<Box<Tunnel>>,
    websocket: Option<Box<WebSocket>>,
    left: Left,
    /// The close frame and close_notify are said.
    closed: bool,
    /// What is written before anything of an outbox: frame headers, control frames, answers, and
    /// short packets in frames.
    head: Vec<u8>,
    head_sent: usize,
}

/// The WebSocket side of a connection, after the upgrade.
#[derive(Debug, Default)]
struct WebSocket {
    decoder: Decoder,
    /// Bytes that came behind the upgrade request.
    rest: Vec<u8>,
    /// What a frame's header has promised and is not written.
    frame_left: usize,
    /// What of a packet comes in further frames.
    packet_left: usize,
    /// The bytes of the last ping that is not answered.
    pong: Option<Vec<u8>>,
    end: Option<End>,
}

/// What comes when all payload is read.
#[derive(Clone, Copy, Debug)]
enum End {
    /// the peer's close frame, with its code
    Closed(Option<u16>),
    Wrong(FrameError),
}

impl Layers {
    /// Layers over a socket: `tls` with its handshake done, or none. See
    /// [`Layers::start_websocket`].
    pub(crate) fn new(tls: Option<ServerConnection>) -> Self {
        Self {
            tunnel: tls.map(|session| Box::new(Tunnel::new(session))),
            websocket: None,
            left: Left::More,
            closed: false,
            head: Vec::new(),
            head_sent: 0,
        }
    }

    /// The upgrade is done: from here on bytes are frames, in both directions. `rest` is what
    /// stood behind the request.
    pub(crate) fn start_websocket(&mut self, rest: &[u8]) {
        self.websocket = Some(Box::new(WebSocket { rest: rest.to_vec(), ..WebSocket::default() }));
    }

    /// Whether a read may bring something that the socket does not tell of again.
    pub(crate) fn in_hand(&self) -> bool {
        self.left == Left::More
            || self.tunnel.as_ref().is_some_and(|tunnel| tunnel.in_hand())
            || self.websocket.as_ref().is_some_and(|ws| ws.end.is_some() || !ws.rest.is_empty())
    }

    /// Whether the socket said that it has nothing, also not its end.
    pub(crate) fn is_dry(&self) -> bool {
        self.left == Left::Nothing
    }

    /// The bytes that are kept here of what the peer has sent.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.tunnel.as_ref().map_or(0, |tunnel| tunnel.kept_bytes())
            + self.websocket.as_ref().map_or(0, |ws| ws.decoder.kept_bytes() + ws.rest.len())
    }

    /// Reads into `buffer`, with at most one read of the socket. `Pending` may mean that what came
    /// was none of the caller's business: [`Layers::in_hand`] says whether to try again.
    pub(crate) fn read(&mut self, socket: &Socket, buffer: &mut [u8]) -> ReadEnd {
        // Who does not ask the socket does not know what it has.
        self.left = Left::More;
        let Some(ws) = &mut self.websocket else { return self.read_below(socket, buffer) };
        if let Some(end) = ws.end {
            return match end {
                End::Closed(_) => ReadEnd::Over(None),
                End::Wrong(error) => {
                    ReadEnd::Wrong(io::Error::new(io::ErrorKind::InvalidData, error))
                }
            };
        }
        let n = if ws.rest.is_empty() {
            match self.read_below(socket, buffer) {
                ReadEnd::Bytes(n) => n,
                end => return end,
            }
        } else {
            let n = ws.rest.len().min(buffer.len());
            buffer[..n].copy_from_slice(&ws.rest[..n]);
            ws.rest.drain(..n);
            ws.rest.shrink_to_fit();
            n
        };
        let Some(ws) = &mut self.websocket else { return ReadEnd::Pending };
        match ws.unframe(&mut buffer[..n]) {
            0 if ws.end.is_some() => self.read(socket, buffer),
            0 => ReadEnd::Pending,
            n => ReadEnd::Bytes(n),
        }
    }

    fn read_below(&mut self, socket: &Socket, buffer: &mut [u8]) -> ReadEnd {
        if let Some(tunnel) = &mut self.tunnel {
            return tunnel.read(socket, buffer, &mut self.left);
        }
        match receive(socket, buffer, &mut self.left) {
            Ok(0) => ReadEnd::Over(None),
            Ok(n) => ReadEnd::Bytes(n),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ReadEnd::Pending,
            Err(error) => ReadEnd::Over(Some(error)),
        }
    }

    /// Writes what is in the outbox; returns how many of its bytes are taken. If not all is
    /// written, the socket has no room: see [`Layers::wants_write`].
    pub(crate) fn write(&mut self, socket: &Socket, outbox: &mut Outbox) -> io::Result<usize> {
        let mut written = 0;
        while self.flush_tunnel(socket)? {
            let (taken, most) = self.begin_frame(outbox);
            written += taken;
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let head = &self.head[self.head_sent..];
            let mut count = usize::from(!head.is_empty());
            slices[0] = IoSlice::new(head);
            count += outbox.slices_within(most, &mut slices[count..]);
            if count == 0 {
                break;
            }
            let slices = &slices[..count];
            let all: usize = slices.iter().map(|s| s.len()).sum();
            let n = match &mut self.tunnel {
                Some(tunnel) => tunnel.write(slices)?,
                None => match socket.send(slices)? {
                    Some(n) => n,
                    None => break,
                },
            };
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            let payload = self.advance(n);
            outbox.advance(payload);
            written += payload;
            if n < all && self.tunnel.is_none() {
                break;
            }
        }
        Ok(written)
    }

    /// Writes `bytes`, which no outbox has: answers of the porch, as they are before the upgrade,
    /// in a frame behind it. What the socket has no room for waits for [`Layers::flush`]. Whether
    /// all is out.
    pub(crate) fn write_plain(&mut self, socket: &Socket, bytes: &[u8]) -> io::Result<bool> {
        if self.websocket.is_some() {
            put_header(bytes.len(), &mut self.head);
        }
        self.head.extend_from_slice(bytes);
        self.flush(socket)
    }

    /// Whether something waits for room in the socket.
    pub(crate) fn wants_write(&self) -> bool {
        !self.head.is_empty()
            || self.tunnel.as_ref().is_some_and(|tunnel| tunnel.wants_write())
            || self.websocket.as_ref().is_some_and(|ws| ws.pong.is_some())
    }

    /// Writes what waits here; whether all of it is out.
    pub(crate) fn flush(&mut self, socket: &Socket) -> io::Result<bool> {
        self.write(socket, &mut Outbox::default())?;
        Ok(!self.wants_write())
    }

    /// Says that nothing more comes from this side: with a close frame (with `code`, or as the
    /// peer has asked for), and with close_notify. True when that is out, or cannot be said;
    /// else it is to be called again when the socket takes more.
    pub(crate) fn close(&mut self, socket: &Socket, code: u16) -> bool {
        if !self.closed {
            self.closed = true;
            if let Some(ws) = &mut self.websocket {
                ws.pong = None;
                if ws.frame_left == 0 {
                    let code = match ws.end {
                        None => Some(code),
                        Some(End::Closed(code)) => code,
                        Some(End::Wrong(error)) => Some(error.code),
                    };
                    let payload = code.map(u16::to_be_bytes);
                    let payload = payload.as_ref().map_or(&[][..], |code| &code[..]);
                    encode_control(Opcode::Close, payload, &mut self.head);
                }
            }
        }
        match self.flush(socket) {
            Ok(false) => return false,
            Ok(true) => {}
            Err(_) => return true,
        }
        let Some(tunnel) = &mut self.tunnel else { return true };
        tunnel.close();
        tunnel.flush(socket).unwrap_or(true)
    }

    fn flush_tunnel(&mut self, socket: &Socket) -> io::Result<bool> {
        self.tunnel.as_mut().map_or(Ok(true), |tunnel| tunnel.flush(socket))
    }

    /// How much was taken off the outbox, and how much of it may be written next; with WebSocket
    /// as much as the current frame has room for, and if there is none, others are begun.
    fn begin_frame(&mut self, outbox: &mut Outbox) -> (usize, usize) {
        let Self { websocket, head, .. } = self;
        let Some(ws) = websocket else { return (0, usize::MAX) };
        if ws.frame_left > 0 {
            return (0, ws.frame_left);
        }
        if let Some(bytes) = ws.pong.take() {
            encode_control(Opcode::Pong, &bytes, head);
        }
        let mut taken = 0;
        while ws.packet_left == 0 && head.len() < GATHERED_BYTES_MAX && outbox.backlog() > 0 {
            match gather(outbox, head) {
                0 => ws.packet_left = first_packet_len(outbox),
                gathered => {
                    outbox.advance(gathered);
                    taken += gathered;
                }
            }
        }
        if ws.packet_left > 0 {
            ws.frame_left = ws.packet_left.min(FRAME_BYTES_MAX);
            ws.packet_left -= ws.frame_left;
            put_header(ws.frame_left, head);
        }
        (taken, ws.frame_left)
    }

    /// `n` bytes are written: how many of them are the outbox's.
    fn advance(&mut self, n: usize) -> usize {
        let of_head = n.min(self.head.len() - self.head_sent);
        self.head_sent += of_head;
        if self.head_sent == self.head.len() {
            self.head_sent = 0;
            self.head.clear();
            self.head.shrink_to(HEAD_KEPT_BYTES_MAX);
        }
        let payload = n - of_head;
        if let Some(ws) = &mut self.websocket {
            ws.frame_left -= payload;
        }
        payload
    }
}

impl WebSocket {
    /// Takes frames apart: their payload moves to the front. Returns how much it is.
    fn unframe(&mut self, bytes: &mut [u8]) -> usize {
        let (mut at, mut filled) = (0, 0);
        while at < bytes.len() && self.end.is_none() {
            match self.decoder.step(&mut bytes[at..]) {
                Ok((used, event)) => {
                    match event {
                        Event::Nothing => {}
                        Event::Data(range) => {
                            bytes.copy_within(at + range.start..at + range.end, filled);
                            filled += range.len();
                        }
                        Event::Ping(bytes) => self.pong = Some(bytes),
                        Event::Close(code) => self.end = Some(End::Closed(code)),
                    }
                    at += used;
                }
                Err(error) => self.end = Some(End::Wrong(error)),
            }
        }
        filled
    }
}

/// The header of a frame with so many bytes of payload.
fn put_header(payload: usize, out: &mut Vec<u8>) {
    let mut header = [0; HEADER_BYTES_MAX];
    let len = encode_header(Opcode::Binary, payload as u64, &mut header);
    out.extend_from_slice(&header[..len]);
}

/// Appends the short packets that are whole in an outbox's first piece, in a frame each, as far as
/// there is place. Returns how many bytes of it that are.
fn gather(outbox: &Outbox, out: &mut Vec<u8>) -> usize {
    let mut first = [IoSlice::new(&[])];
    outbox.slices_within(usize::MAX, &mut first);
    let mut rest: &[u8] = &first[0];
    while let Ok(Framed::Whole(Frame { len, .. })) = frame(rest, GATHERED_PACKET_BYTES_MAX)
        && out.len() < GATHERED_BYTES_MAX
        && let Some((packet, behind)) = rest.split_at_checked(len)
    {
        put_header(len, out);
        out.extend_from_slice(packet);
        rest = behind;
    }
    first[0].len() - rest.len()
}

/// How long the packet is that an outbox begins with: there is one.
fn first_packet_len(outbox: &Outbox) -> usize {
    let mut slices = [IoSlice::new(&[]); FIXED_HEADER_BYTES_MAX];
    let count = outbox.slices_within(FIXED_HEADER_BYTES_MAX, &mut slices);
    let (mut front, mut len) = ([0; FIXED_HEADER_BYTES_MAX], 0);
    for byte in slices[..count].iter().flat_map(|slice| slice.iter()) {
        front[len] = *byte;
        len += 1;
    }
    let whole = match frame(&front[..len], usize::MAX) {
        Ok(Framed::Whole(Frame { len, .. }) | Framed::Partial { len: Some(len) }) => len,
        _ => usize::MAX, // no packet of ours: all of it, then
    };
    whole.min(outbox.backlog())
}

#[cfg(test)]
mod tests;
