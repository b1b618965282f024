//! A guest's socket in the lobby's runtime, for TCP and Unix alike.
//!
//! Invariants: what was read ahead, to see what it is, comes first for whoever reads next; the
//! socket leaves the runtime whole.

use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use super::super::socket::Socket;

/// Lets the runtime wait for `socket`.
#[expect(
    deprecated,
    reason = "what replaces it is unsafe, for types whose descriptor may change or close: the \
              sockets here own theirs"
)]
pub(super) fn waited_for<T: AsRawFd>(socket: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(socket, interest)
}

/// A socket that is waited for.
#[derive(Debug)]
pub(super) struct Stream {
    fd: AsyncFd<Socket>,
    /// Read, and not used yet.
    ahead: Vec<u8>,
}

impl Stream {
    /// To be called in the runtime that is to wait for it.
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        Ok(Self {
            fd: waited_for(socket, Interest::READABLE | Interest::WRITABLE)?,
            ahead: Vec::new(),
        })
    }

    pub(super) fn socket(&self) -> &Socket {
        self.fd.get_ref()
    }

    /// What was read ahead so far.
    pub(super) fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// It goes elsewhere.
    pub(super) fn take_ahead(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.ahead)
    }

    /// So much of it is used.
    pub(super) fn use_ahead(&mut self, used: usize) {
        self.ahead.drain(..used.min(self.ahead.len()));
    }

    /// Reads on, at most `max` bytes; 0: the end.
    pub(super) async fn read_ahead(&mut self, max: usize) -> io::Result<usize> {
        let old = self.ahead.len();
        let (fd, ahead) = (&self.fd, &mut self.ahead);
        let read = fd.async_io(Interest::READABLE, |socket| {
            ahead.resize(old + max, 0);
            let read = socket.recv(&mut ahead[old..]);
            ahead.truncate(old + *read.as_ref().unwrap_or(&0));
            read
        });
        read.await
    }

    /// Waits for `interest` until `attempt` does not say `WouldBlock`.
    pub(super) async fn when<R>(
        &self,
        interest: Interest,
        attempt: impl FnMut(&Socket) -> io::Result<R>,
    ) -> io::Result<R> {
        self.fd.async_io(interest, attempt).await
    }

    /// The socket alone: nothing waits for it any more.
    pub(super) fn into_socket(self) -> Socket {
        self.fd.into_inner()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            let n = this.ahead.len().min(buffer.remaining());
            buffer.put_slice(&this.ahead[..n]);
            this.ahead.drain(..n);
            return Poll::Ready(Ok(()));
        }
        loop {
            let mut ready = ready!(this.fd.poll_read_ready(context))?;
            let into = buffer.initialize_unfilled();
            match ready.try_io(|fd| fd.get_ref().recv(into)) {
                Ok(Ok(n)) => {
                    buffer.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.fd.poll_write_ready(context))?;
            let sent = ready.try_io(|fd| match fd.get_ref().send(slices)? {
                Some(n) => Ok(n),
                None => Err(io::ErrorKind::WouldBlock.into()),
            });
            if let Ok(sent) = sent {
                return Poll::Ready(sent);
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().shut_write();
        Poll::Ready(Ok(()))
    }
}
