//! One connection to the broker (or, for the floor, of a client): its socket, the packet that has
//! come in part, the bytes that wait to go out. Uses `layers`, `packets` and `poller`.
//!
//! While it is set up it blocks; from `start` on it does not.

use crate::error::{Error, Result};
use crate::layers::{Layers, Recipe};
use crate::options::Options;
use crate::packets::{self, kind, packet_len};
use crate::poller::{Interest, Poller};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long the broker may take for one answer while a connection is set up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Filters in one SUBSCRIBE.
const FILTERS_PER_PACKET: usize = 500;
/// What one read takes at most.
pub const READ_BYTES: usize = 256 * 1024;

/// Who connects, and what for.
pub struct Client<'a> {
    /// the client identifier
    pub id: String,
    /// whether a former session is forgotten
    pub clean: bool,
    /// whether the session outlives the connection
    pub kept: bool,
    /// what it subscribes to
    pub filters: &'a [String],
    /// at which QoS
    pub qos: u8,
}

impl Client<'_> {
    /// One that only publishes, or does so at first.
    pub fn new(id: String) -> Self {
        Self { id, clean: true, kept: false, filters: &[], qos: 0 }
    }
}

/// Connections that are opened at the same time over WebSocket: mosquitto 2.0 looks at those that
/// are new ten times a second only.
const AT_ONCE: usize = 64;

/// What `open` makes of every number below `count`, in order; over WebSocket, many at once.
pub fn open_all<T: Send>(
    options: &Options,
    count: usize,
    open: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    if !options.websocket {
        return (0..count).map(open).collect();
    }
    let (open, each) = (&open, count.div_ceil(AT_ONCE).max(1));
    std::thread::scope(|scope| {
        let chunk = |from| move || (from..count.min(from + each)).map(open).collect();
        let threads: Vec<_> = (0..count).step_by(each).map(|n| scope.spawn(chunk(n))).collect();
        let mut all = Vec::with_capacity(count);
        for thread in threads {
            let made: Result<Vec<T>> = thread.join().unwrap_or_else(|_| {
                Err(Error::Broker("a thread that opens connections has failed".into()))
            });
            all.extend(made?);
        }
        Ok(all)
    })
}

/// A connection with its buffers.
pub struct Connection {
    socket: TcpStream,
    layers: Option<Box<Layers>>,
    input: Vec<u8>,
    /// packets that go out with the next `flush`
    pub output: Vec<u8>,
    wire: Vec<u8>,
    written: usize,
    /// whether the socket takes no more for now, and the poller watches for it
    pub blocked: bool,
    /// whether it has ended, by whomever
    pub closed: bool,
    /// whether the broker had a session for it
    pub session_present: bool,
}

impl Connection {
    /// One that was accepted: plain, and not blocking.
    pub fn accepted(socket: TcpStream) -> Result<Self> {
        let connection = Self::over(socket, None);
        connection.start()?;
        Ok(connection)
    }

    fn over(socket: TcpStream, layers: Option<Box<Layers>>) -> Self {
        Self {
            socket,
            layers,
            input: Vec::new(),
            output: Vec::new(),
            wire: Vec::new(),
            written: 0,
            blocked: false,
            closed: false,
            session_present: false,
        }
    }

    /// Connects, shakes hands, subscribes; what came behind the last answer is kept.
    pub fn open(options: &Options, recipe: &Recipe, client: &Client<'_>) -> Result<Self> {
        let mut socket =
            TcpStream::connect(options.address).map_err(Error::system("connecting"))?;
        socket.set_nodelay(true).map_err(Error::system("TCP_NODELAY"))?;
        let timeout = socket.set_read_timeout(Some(ANSWER_TIMEOUT));
        timeout.map_err(Error::system("a read timeout"))?;
        let layers = recipe.open(&mut socket)?;
        let mut connection = Self::over(socket, layers);
        let version = options.version;
        let connect = packets::connect(version, &client.id, client.clean, client.kept, 300);
        let connack = connection.exchange(&connect, kind::CONNACK)?;
        match packets::body(&connack) {
            [flags, 0, ..] => connection.session_present = flags & 1 == 1,
            other => return Err(Error::Broker(format!("CONNACK {other:?} for {}", client.id))),
        }
        for (n, filters) in client.filters.chunks(FILTERS_PER_PACKET).enumerate() {
            let subscribe = packets::subscribe(version, 1 + n as u16, filters, client.qos);
            let suback = connection.exchange(&subscribe, kind::SUBACK)?;
            let granted = &suback[suback.len().saturating_sub(filters.len())..];
            if granted.iter().any(|&code| code != client.qos) {
                return Err(Error::Broker(format!(
                    "SUBACK {:?}",
                    &granted[..granted.len().min(9)]
                )));
            }
        }
        Ok(connection)
    }

    /// Sends `packet` and waits for one of type `wanted`, on a socket that blocks.
    fn exchange(&mut self, packet: &[u8], wanted: u8) -> Result<Vec<u8>> {
        self.output.extend_from_slice(packet);
        self.flush()?;
        let mut buffer = [0; 4096];
        loop {
            if let Some(len) = self.whole_packet()? {
                let packet: Vec<u8> = self.input.drain(..len).collect();
                if packet[0] >> 4 == wanted {
                    return Ok(packet);
                }
                return Err(Error::Broker(format!("type {} for {wanted}", packet[0] >> 4)));
            }
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(Error::Broker(format!("ended before its type {wanted}"))),
                Ok(count) => self.take(&buffer[..count])?,
                Err(error) => return Err(Error::system("an answer of the broker")(error)),
            }
        }
    }

    /// The length of the packet that is whole in `input`.
    fn whole_packet(&self) -> Result<Option<usize>> {
        Ok(length(&self.input)?.filter(|&len| len <= self.input.len()))
    }

    /// Says goodbye and waits until the broker has ended the connection.
    pub fn disconnect(mut self) -> Result<()> {
        self.output.extend_from_slice(&packets::DISCONNECT);
        self.flush()?;
        self.socket.set_nonblocking(false).map_err(Error::system("a socket's mode"))?;
        let mut buffer = [0; 4096];
        while !matches!(self.socket.read(&mut buffer), Ok(0) | Err(_)) {}
        Ok(())
    }

    /// From now on nothing here blocks.
    pub fn start(&self) -> Result<()> {
        self.socket.set_nodelay(true).map_err(Error::system("TCP_NODELAY"))?;
        self.socket.set_nonblocking(true).map_err(Error::system("a socket's mode"))
    }

    /// Lets `poller` watch it, and makes it not block.
    pub fn watch(&self, poller: &Poller, interest: Interest, token: usize) -> Result<()> {
        self.start()?;
        poller.add(&self.socket, interest, token)
    }

    /// Watches it for something else.
    pub fn rewatch(&self, poller: &Poller, interest: Interest, token: usize) -> Result<()> {
        poller.change(&self.socket, interest, token)
    }

    /// Bytes that wait to go out.
    pub fn waiting(&self) -> usize {
        self.output.len() + self.wire.len() - self.written
    }

    /// Writes what it can; true when nothing is left.
    pub fn flush(&mut self) -> Result<bool> {
        let bytes = match &mut self.layers {
            Some(layers) => {
                layers.seal(&mut self.output, &mut self.wire)?;
                &mut self.wire
            }
            None => &mut self.output,
        };
        while self.written < bytes.len() {
            match (&self.socket).write(&bytes[self.written..]) {
                Ok(count) if count > 0 => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => {
                    self.closed = true;
                    break;
                }
            }
        }
        bytes.clear();
        self.written = 0;
        Ok(true)
    }

    /// As `flush`; what does not go makes the poller watch for room.
    pub fn send(&mut self, poller: &Poller, token: usize) -> Result<()> {
        if !self.blocked && !self.flush()? {
            self.blocked = true;
            self.rewatch(poller, Interest::Both, token)?;
        }
        Ok(())
    }

    /// There is room again.
    pub fn unblock(&mut self, poller: &Poller, token: usize) -> Result<()> {
        if self.blocked && self.flush()? {
            self.blocked = false;
            self.rewatch(poller, Interest::Read, token)?;
        }
        Ok(())
    }

    /// Reads once, and hands over every whole packet; how many bytes came.
    pub fn read(
        &mut self,
        scratch: &mut [u8],
        mut on_packet: impl FnMut(&[u8], &mut Vec<u8>),
    ) -> Result<usize> {
        let count = match self.socket.read(scratch) {
            Ok(0) => {
                self.closed = true;
                0
            }
            Ok(count) => count,
            Err(error) => {
                let again = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted);
                self.closed |= !again;
                0
            }
        };
        if self.input.is_empty() && self.layers.is_none() {
            let used = split(&scratch[..count], &mut self.output, &mut on_packet)?;
            self.input.extend_from_slice(&scratch[used..count]);
            return Ok(count);
        }
        self.take(&scratch[..count])?;
        self.packets(on_packet)?;
        Ok(count)
    }

    /// Hands over what is whole already.
    pub fn packets(&mut self, mut on_packet: impl FnMut(&[u8], &mut Vec<u8>)) -> Result<()> {
        let used = split(&self.input, &mut self.output, &mut on_packet)?;
        self.input.drain(..used);
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.layers {
            Some(layers) => self.closed |= !layers.open(bytes, &mut self.input)?,
            None => self.input.extend_from_slice(bytes),
        }
        Ok(())
    }
}

fn length(bytes: &[u8]) -> Result<Option<usize>> {
    packet_len(bytes).map_err(|_| Error::Broker("sends a malformed remaining length".into()))
}

/// Hands over every whole packet; how many bytes they were.
fn split(
    bytes: &[u8],
    output: &mut Vec<u8>,
    on_packet: &mut impl FnMut(&[u8], &mut Vec<u8>),
) -> Result<usize> {
    let mut at = 0;
    while let Some(len) = length(&bytes[at..])? {
        let Some(packet) = bytes.get(at..at + len) else { break };
        on_packet(packet, output);
        at += len;
    }
    Ok(at)
}
