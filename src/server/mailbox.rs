//! What reaches a shard from other threads.
//!
//! May use: tokio's channels. Invariant: messages of one sender arrive in the order in which they
//! were sent; a sender never waits.

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use super::totals::Place;
use crate::broker::{Counters, Message, PeerMessage, ShardId};

/// A message to a shard.
#[derive(Debug)]
pub(crate) enum ToShard {
    /// A client that the porch let in.
    HandOff(Box<HandOff>),
    /// What another shard's pass had for this one.
    Peers(ShardId, Vec<PeerMessage>),
    /// Messages of the broker's own.
    Publish(Vec<Message>),
    /// Asks for the counters.
    Report(oneshot::Sender<Report>),
    /// The process ends.
    Shutdown,
}

/// A shard's counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    pub(crate) counters: Counters,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
}

/// A socket, registered with the receiving thread's runtime or with none.
#[derive(Debug)]
pub(crate) enum Socket {
    /// on the same thread
    Here(TcpStream),
    /// on its way to another
    Elsewhere(std::net::TcpStream),
}

/// A client on its way from the porch to its session's home.
#[derive(Debug)]
pub(crate) struct HandOff {
    pub(crate) socket: Socket,
    pub(crate) peer: SocketAddr,
    /// Every byte read so far: a valid CONNECT, and what came behind it.
    pub(crate) bytes: Vec<u8>,
    /// The effective Client Identifier.
    pub(crate) client_id: String,
    /// Whether the porch made it up.
    pub(crate) assigned: bool,
    pub(crate) place: Place,
}

/// The sending side.
pub(crate) type Sender = mpsc::UnboundedSender<ToShard>;
/// The receiving side. What is in it is bounded by who sends: connections by their limit, peers'
/// bytes by `limits.peer_bytes_max`.
pub(crate) type Receiver = mpsc::UnboundedReceiver<ToShard>;

/// A mailbox.
pub(crate) fn mailbox() -> (Sender, Receiver) {
    mpsc::unbounded_channel()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Several threads send; the receiver sleeps in between. What each of them sent arrives in
    /// its order, whole, and the end comes behind it.
    #[test]
    fn messages_of_one_sender_keep_their_order() {
        const SENDERS: u8 = 4;
        const EACH: u64 = 20_000;
        let (sender, mut receiver) = mailbox();
        let senders: Vec<_> = (0..SENDERS)
            .map(|t| {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    for n in 0..EACH {
                        let batch = vec![PeerMessage::InterestAck { version: n }];
                        sender.send(ToShard::Peers(ShardId(t), batch)).is_ok().then_some(())?;
                        if n % 1000 == 0 {
                            std::thread::yield_now();
                        }
                    }
                    Some(())
                })
            })
            .collect();
        drop(sender);
        let mut next = [0; SENDERS as usize];
        while let Some(message) = receiver.blocking_recv() {
            let ToShard::Peers(from, batch) = message else { panic!("{message:?}") };
            let n = &mut next[usize::from(from.0)];
            let [PeerMessage::InterestAck { version }] = batch[..] else { panic!("{batch:?}") };
            assert_eq!(version, *n);
            *n += 1;
        }
        assert_eq!(next, [EACH; SENDERS as usize]);
        assert!(senders.into_iter().all(|t| matches!(t.join(), Ok(Some(())))));
    }
}
