//! The TLS side of a connection, after its handshake: records in, records out.
//!
//! May use: rustls, sockets that never block. Invariants: what was read from the socket is with
//! rustls or with the caller, nowhere else; the bytes that one call takes from the socket are
//! bounded by the caller's buffer; an idle tunnel keeps rustls's smallest buffers only.

use std::io::{self, IoSlice, Read, Write};
use std::ops::Range;

use rustls::ServerConnection;

use super::connection::ReadEnd;
use super::socket::{Socket, Wire};

/// The bytes of a TLS record, header included, at most: so much may be with rustls and come out
/// with what is read next.
const RECORD_BYTES_MAX: usize = 16_384 + 2_048 + RECORD_HEADER_BYTES;
const RECORD_HEADER_BYTES: usize = 5;
/// The bytes that wait in rustls for the socket, at most, without their overhead. Two full records:
/// fewer would cost a call each, more would stay there for every client that is slow.
const OUT_BYTES_MAX: usize = 32 * 1024;
/// Rustls's buffer for records is as large as this at least, and grows for larger ones.
const RECORD_KEPT_BYTES: usize = 4096;
/// How many bytes are handed in at once where records cannot be told apart.
const STEP_BYTES: usize = 1024;

/// How the socket's news are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It had nothing.
    Nothing,
    /// It had less than was asked for: more will be told of, but for the end, which may have been.
    Little,
    /// It may have more.
    More,
}

/// One read from the socket, whose news are then used up as `left` says.
pub(super) fn receive(socket: &Socket, buffer: &mut [u8], left: &mut Left) -> io::Result<usize> {
    match socket.recv(buffer) {
        Ok(n) => {
            *left = if n == buffer.len() { Left::More } else { Left::Little };
            Ok(n)
        }
        Err(error) => {
            *left = Left::Nothing;
            Err(error)
        }
    }
}

/// What comes when all plaintext is read.
#[derive(Debug)]
enum End {
    /// the peer's close_notify
    Closed,
    /// the socket's end without that
    Cut,
    Broken(io::Error),
    /// what came was no TLS; the alert is with rustls
    Wrong(rustls::Error),
}

/// A TLS session whose handshake is done.
#[derive(Debug)]
pub(super) struct Tunnel {
    session: ServerConnection,
    records: Records,
    /// Plaintext that is with rustls.
    plaintext_bytes: usize,
    /// A record came that rustls's buffer has grown for.
    grown: bool,
    end: Option<End>,
}

impl Tunnel {
    pub(super) fn new(mut session: ServerConnection) -> Self {
        session.set_buffer_limit(Some(OUT_BYTES_MAX));
        let records = Records::default();
        let mut tunnel = Self { session, records, plaintext_bytes: 0, grown: true, end: None };
        tunnel.process();
        tunnel
    }

    /// Whether there is something for the next [`Tunnel::read`] without the socket.
    pub(super) fn in_hand(&self) -> bool {
        self.plaintext_bytes > 0 || self.end.is_some()
    }

    /// The bytes that are here of what the peer has sent.
    pub(super) fn kept_bytes(&self) -> usize {
        self.plaintext_bytes + usize::from(self.records.have)
    }

    /// Reads plaintext into `buffer`: what rustls has, then what one read of the socket brings.
    pub(super) fn read(&mut self, socket: &Socket, buffer: &mut [u8], left: &mut Left) -> ReadEnd {
        let mut filled = self.take(buffer);
        let room = buffer.len() - filled;
        if room > 0 && self.end.is_none() {
            // Records are read into the buffer's end, and what is in them moves to its front:
            // never over what has not been decrypted, since that is at most a record ahead.
            if room >= 2 * RECORD_BYTES_MAX {
                let start = filled + RECORD_BYTES_MAX;
                let n = self.receive(socket, &mut buffer[start..], left);
                let limit = buffer.len();
                filled = self.decrypt(buffer, filled, start..start + n, limit);
            } else {
                let mut own = vec![0; RECORD_BYTES_MAX + room];
                let n = self.receive(socket, &mut own[RECORD_BYTES_MAX..], left);
                let records = RECORD_BYTES_MAX..RECORD_BYTES_MAX + n;
                let n = self.decrypt(&mut own, 0, records, room);
                buffer[filled..filled + n].copy_from_slice(&own[..n]);
                filled += n;
            }
            self.shrink();
        }
        if filled > 0 { ReadEnd::Bytes(filled) } else { self.told_end() }
    }

    fn told_end(&mut self) -> ReadEnd {
        let Some(end) = &mut self.end else { return ReadEnd::Pending };
        match std::mem::replace(end, End::Closed) {
            End::Closed => ReadEnd::Over(None),
            End::Cut => {
                let what = "TLS: the end came without close_notify";
                ReadEnd::Over(Some(io::Error::new(io::ErrorKind::UnexpectedEof, what)))
            }
            End::Broken(error) => ReadEnd::Over(Some(error)),
            End::Wrong(error) => {
                let what = format!("TLS: {error}");
                ReadEnd::Wrong(io::Error::new(io::ErrorKind::InvalidData, what))
            }
        }
    }

    /// Moves plaintext out of rustls.
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        if self.plaintext_bytes == 0 || buffer.is_empty() {
            return 0;
        }
        let n = self.session.reader().read(buffer).unwrap_or(0);
        self.plaintext_bytes -= n.min(self.plaintext_bytes);
        n
    }

    fn receive(&mut self, socket: &Socket, buffer: &mut [u8], left: &mut Left) -> usize {
        match receive(socket, buffer, left) {
            Ok(0) => self.end = Some(End::Cut),
            Ok(n) => return n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.end = Some(End::Broken(error)),
        }
        0
    }

    /// Decrypts the bytes at `records` and puts plaintext at `filled`, before them, up to `limit`;
    /// returns where it ends. Record by record, so that rustls neither collects many nor moves the
    /// rest of its buffer for each.
    fn decrypt(
        &mut self,
        buffer: &mut [u8],
        mut filled: usize,
        records: Range<usize>,
        limit: usize,
    ) -> usize {
        let Range { start: mut at, end } = records;
        while at < end && self.end.is_none() {
            let step = self.records.step(&buffer[at..end]);
            let mut bytes = &buffer[at..at + step];
            match self.session.read_tls(&mut bytes) {
                Ok(n) if n > 0 => {
                    self.records.note(&buffer[at..at + n]);
                    self.grown |= usize::from(self.records.have) > RECORD_KEPT_BYTES;
                    at += n;
                }
                // Not met: it has room for a record, and what it had is taken out below.
                Ok(_) => self.end = Some(End::Cut),
                Err(error) => self.end = Some(End::Broken(error)),
            }
            self.process();
            filled += self.take(&mut buffer[filled..at.min(limit).max(filled)]);
        }
        filled
    }

    fn process(&mut self) {
        match self.session.process_new_packets() {
            Ok(state) => {
                self.plaintext_bytes = state.plaintext_bytes_to_read();
                if state.peer_has_closed() {
                    self.end = Some(End::Closed);
                }
            }
            Err(error) => {
                // What stood before it is there still, however much that is.
                self.plaintext_bytes = usize::MAX;
                self.end = Some(End::Wrong(error));
            }
        }
    }

    /// Between records, rustls's buffer goes back to its smallest: it does so itself when it is
    /// to read the next time.
    fn shrink(&mut self) {
        if self.grown && self.records.have == 0 && self.end.is_none() {
            self.grown = false;
            let _ = self.session.read_tls(&mut Nothing);
        }
    }

    /// Encrypts as much as there is room for: how much. To be followed by [`Tunnel::flush`].
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.session.writer().write_vectored(slices)
    }

    /// Whether something waits for the socket.
    pub(super) fn wants_write(&self) -> bool {
        self.session.wants_write()
    }

    /// Writes what waits for the socket; whether all of it is out.
    pub(super) fn flush(&mut self, socket: &Socket) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Wire(socket)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Says, once, that nothing more comes.
    pub(super) fn close(&mut self) {
        self.session.send_close_notify();
    }
}

/// A reader that has nothing.
struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// Where one record ends and the next begins. If the first bytes that it sees stand in the middle
/// of a record, it is wrong until it meets one's beginning: nothing depends on its being right.
#[derive(Debug, Default)]
struct Records {
    header: [u8; RECORD_HEADER_BYTES],
    /// How much of the current record is there.
    have: u16,
}

impl Records {
    /// The whole length of a record with this header; `None` if it is none.
    fn len(header: [u8; RECORD_HEADER_BYTES]) -> Option<usize> {
        let [kind, major, _, a, b] = header;
        let len = usize::from(u16::from_be_bytes([a, b])) + RECORD_HEADER_BYTES;
        let valid = matches!(kind, 20..=24) && major == 3 && len <= RECORD_BYTES_MAX;
        valid.then_some(len)
    }

    /// How many of `bytes` to hand in next: the rest of the current record, or what there is of it.
    fn step(&self, bytes: &[u8]) -> usize {
        let have = usize::from(self.have);
        let mut header = self.header;
        if let Some(missing) = header.get_mut(have..) {
            let n = missing.len().min(bytes.len());
            missing[..n].copy_from_slice(&bytes[..n]);
            if n < missing.len() {
                return bytes.len();
            }
        }
        Self::len(header).map_or(STEP_BYTES, |len| len - have).min(bytes.len())
    }

    /// These, at most as many as [`Records::step`] said, are handed in.
    fn note(&mut self, bytes: &[u8]) {
        let have = usize::from(self.have);
        if let Some(missing) = self.header.get_mut(have..) {
            let n = missing.len().min(bytes.len());
            missing[..n].copy_from_slice(&bytes[..n]);
        }
        let have = have + bytes.len();
        let whole = have >= RECORD_HEADER_BYTES && Self::len(self.header).is_none_or(|l| l == have);
        self.have = if whole { 0 } else { have as u16 }; // less than RECORD_BYTES_MAX
    }
}
