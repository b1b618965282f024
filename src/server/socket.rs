//! A connected socket that never blocks, TCP or Unix, and who is at its other end.
//!
//! May use: the system's socket calls. Invariant: no call here waits; each makes one system call,
//! and says apart what was done, what the socket has no room or nothing for, and what went wrong.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, send, sendmsg, shutdown,
};

/// A connected stream socket, TCP or Unix. It does not block: whoever makes one sees to that.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

impl Socket {
    /// Reads once; `Ok(0)` is the end, `Err` of kind `WouldBlock` nothing now.
    pub(crate) fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (n, _) = retry_on_intr(|| recv(&self.0, &mut *buffer, RecvFlags::empty()))?;
        Ok(n)
    }

    /// Writes once; `None` if the socket takes nothing now.
    pub(crate) fn send(&self, slices: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        let sent = retry_on_intr(|| match slices {
            [one] => send(&self.0, one, SendFlags::NOSIGNAL),
            all => {
                let mut nothing = SendAncillaryBuffer::default();
                sendmsg(&self.0, all, &mut nothing, SendFlags::NOSIGNAL)
            }
        });
        match sent {
            Ok(n) => Ok(Some(n)),
            Err(Errno::AGAIN) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Shuts our side down: the peer reads everything and then the end.
    pub(crate) fn shut_write(&self) {
        let _ = shutdown(&self.0, Shutdown::Write);
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self(stream.into())
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self(stream.into())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A socket as `std::io` wants it.
pub(super) struct Wire<'a>(pub(super) &'a Socket);

impl io::Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.send(slices)?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Who is at the other end: the client itself, or whom a PROXY header named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Ip(SocketAddr),
    /// a process of this machine
    Unix {
        uid: u32,
        pid: i32,
    },
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix { uid, pid } => write!(f, "unix:uid={uid},pid={pid}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_as_log_lines_say_them() {
        let ip = Peer::Ip(SocketAddr::from(([192, 0, 2, 1], 1883)));
        assert_eq!(ip.to_string(), "192.0.2.1:1883");
        assert_eq!(Peer::Unix { uid: 1000, pid: 7 }.to_string(), "unix:uid=1000,pid=7");
    }

    #[test]
    fn nothing_the_end_and_no_room_are_told_apart() {
        let (a, b) = UnixStream::pair().unwrap();
        a.set_nonblocking(true).unwrap();
        b.set_nonblocking(true).unwrap();
        let (a, b) = (Socket::from(a), Socket::from(b));
        let mut buffer = [0; 65_536];
        assert_eq!(a.recv(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let slices = [IoSlice::new(b"ab"), IoSlice::new(b"c")];
        assert_eq!(b.send(&slices).unwrap(), Some(3));
        assert_eq!(a.recv(&mut buffer).unwrap(), 3);
        let full = (0..10_000).any(|_| b.send(&[IoSlice::new(&[0; 4096])]).unwrap().is_none());
        assert!(full, "a socket that nobody reads takes no more");
        b.shut_write();
        while a.recv(&mut buffer).unwrap() > 0 {}
    }
}
