//! Reading from a guest and writing to it, through its layers.
//!
//! Invariants: nobody keeps the lobby's thread busy alone; what is read is bounded by who asks for
//! it; secrets leave no copies in buffers that grow.

use std::io;

use tokio::io::Interest;
use zeroize::{Zeroize, Zeroizing};

use super::super::connection::ReadEnd;
use super::super::porch::{Turned, version_hint};
use super::guest::Guest;
use super::refused::{Part, Refused};
use crate::codec::{DecodeError, ReasonCode};

/// What is read at once to see what a guest begins with.
const AHEAD_BYTES: usize = 1024;

impl Guest {
    /// Reads on below all layers.
    pub(super) async fn read_ahead(&mut self) -> Result<(), Refused> {
        match self.stream.read_ahead(AHEAD_BYTES).await {
            Ok(0) => Err(self.part.left(None)),
            Ok(_) => Ok(()),
            Err(error) => Err(self.part.left(Some(&error))),
        }
    }

    /// Reads on through all layers: at least a byte.
    pub(super) async fn read(&mut self) -> Result<(), Refused> {
        loop {
            let end = if self.layers.in_hand() {
                self.attempt()
            } else {
                let (stream, layers, desk) = (&self.stream, &mut self.layers, &self.desk);
                let bytes = &mut self.bytes;
                let read = stream.when(Interest::READABLE, |socket| {
                    let mut scratch = desk.scratch.borrow_mut();
                    let end = layers.read(socket, &mut scratch[..]);
                    match end {
                        ReadEnd::Pending if layers.is_dry() => {
                            return Err(io::ErrorKind::WouldBlock.into());
                        }
                        ReadEnd::Bytes(n) => append(bytes, &mut scratch[..n]),
                        _ => {}
                    }
                    Ok(end)
                });
                read.await.map_err(|error| self.part.left(Some(&error)))?
            };
            match end {
                ReadEnd::Bytes(_) => return self.count(),
                ReadEnd::Over(error) => return Err(self.part.left(error.as_ref())),
                ReadEnd::Wrong(error) => return Err(Refused::Wrong(error.to_string())),
                ReadEnd::Pending => {}
            }
            if self.layers.wants_write() {
                self.flush().await?; // pongs, and what TLS has to say
            }
            self.count()?;
            tokio::task::yield_now().await;
        }
    }

    /// Reads what the layers have in hand, or what the socket has now.
    fn attempt(&mut self) -> ReadEnd {
        let mut scratch = self.desk.scratch.borrow_mut();
        let end = self.layers.read(self.stream.socket(), &mut scratch[..]);
        if let ReadEnd::Bytes(n) = end {
            append(&mut self.bytes, &mut scratch[..n]);
        }
        end
    }

    /// What is kept counts among the bytes that are not whole packets.
    fn count(&mut self) -> Result<(), Refused> {
        let bytes = self.bytes.len() + self.layers.kept_bytes();
        if self.half_received.set(bytes, self.desk.half_received_bytes_max) {
            return Ok(());
        }
        let what = "server.half_received_bytes_max is reached";
        let error = DecodeError { reason: ReasonCode::QuotaExceeded, what };
        let version = if self.part == Part::Connect { version_hint(&self.bytes) } else { None };
        Err(Refused::Mqtt(Turned::Away(version, error)))
    }

    /// Writes `bytes` through all layers.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        match self.layers.write_plain(self.stream.socket(), bytes) {
            Ok(true) => Ok(()),
            Ok(false) => self.flush().await,
            Err(error) => Err(self.part.left(Some(&error))),
        }
    }

    async fn flush(&mut self) -> Result<(), Refused> {
        let (stream, layers) = (&self.stream, &mut self.layers);
        let flushed = stream.when(Interest::WRITABLE, |socket| match layers.flush(socket)? {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        });
        flushed.await.map_err(|error| self.part.left(Some(&error)))
    }
}

/// Moves `from` to the end of `to`: neither `from` nor a buffer that was too small keeps it.
fn append(to: &mut Zeroizing<Vec<u8>>, from: &mut [u8]) {
    let needed = to.len() + from.len();
    if needed > to.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * to.capacity())));
        larger.extend_from_slice(to);
        *to = larger;
    }
    to.extend_from_slice(from);
    from.zeroize();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_moved_is_there_once() {
        let mut to = Zeroizing::new(b"user".to_vec());
        let mut from = *b"password";
        append(&mut to, &mut from);
        assert_eq!(to.as_slice(), b"userpassword");
        assert_eq!(from, [0; 8]);
    }
}
