//! What reaches a shard from other threads.
//!
//! May use: the shard's poller, to end its sleep. Invariants: messages of one sender arrive in the
//! order in which they were sent; a sender never waits for the shard; whoever puts something into
//! an empty mailbox wakes the shard, so that nothing lies there unseen.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::Waker;
use tokio::sync::oneshot;

use super::layers::Layers;
use super::memory::Blocks;
use super::poller::Poller;
use super::socket::{Peer, Socket};
use super::totals::Place;
use crate::auth::Identity;
use crate::auth::acl::Acl;
use crate::auth::quota::Quotas;
use crate::broker::{
    Answer, Counters, Limits, LinkKey, LoadedEntries, Message, PeerMessage, Safety, Seq,
    SessionKey, ShardId, Spent, Time,
};

/// A message to a shard.
#[derive(Debug)]
pub(crate) enum ToShard {
    /// A client that the porch let in.
    HandOff(Box<HandOff>),
    /// What another shard's pass had for this one.
    Peers(ShardId, Vec<PeerMessage>),
    /// Messages of the broker's own.
    Publish(Vec<Message>),
    /// All of the shard's records up to this one are kept; and messages whose memory it may use.
    Committed(Seq, Spent),
    /// All up to this one are written, and not synced yet; and likewise.
    Written(Seq, Spent),
    /// These need not be waited for any longer.
    Void(Vec<Seq>),
    /// Queued messages that were read back.
    Loaded(SessionKey, Box<LoadedEntries>),
    /// Whether the log is without room.
    Full(bool),
    /// All shards have their sessions of before the start: clients may come.
    Restored,
    /// Who was asked has answered.
    Answer(LinkKey, Answer),
    /// What clients may do from now on.
    Acl(Arc<Acl>),
    /// How much they may do from now on.
    Quotas(Arc<Quotas>),
    /// Other limits.
    Reload(Box<Limits>),
    /// Asks for the counters.
    Report(oneshot::Sender<Report>),
    /// Memory that is not used is to be given back; answers with blocks that
    /// another thread is to drop.
    Shrink(oneshot::Sender<Blocks>),
    /// The process ends.
    Shutdown,
}

/// A shard's counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    pub(crate) counters: Counters,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    /// waiting for clients to read it
    pub(crate) output_bytes: u64,
}

/// A client on its way from the porch to its session's home. Its socket is registered nowhere.
#[derive(Debug)]
pub(crate) struct HandOff {
    pub(crate) socket: Socket,
    /// What lies between the socket and MQTT; `None`: nothing.
    pub(crate) layers: Option<Box<Layers>>,
    pub(crate) peer: Peer,
    /// Every byte of MQTT read so far: a valid CONNECT, and what came behind it.
    pub(crate) bytes: Vec<u8>,
    /// The effective Client Identifier.
    pub(crate) client_id: String,
    /// Whether the porch made it up.
    pub(crate) assigned: bool,
    /// How safe its listener wants what it publishes to be.
    pub(crate) safety: Option<Safety>,
    pub(crate) place: Place,
    /// Who it is.
    pub(crate) identity: Arc<Identity>,
    /// When what it showed for that is no longer good.
    pub(crate) ends: Time,
    /// The method of its enhanced authentication, and the data for its CONNACK.
    pub(crate) authentication: Option<(String, Vec<u8>)>,
}

/// What senders and receiver share.
#[derive(Debug)]
struct Shared {
    mail: Mutex<Mail>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Mail {
    list: VecDeque<ToShard>,
    /// The shard is gone.
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shard is gone: it has been told to stop, and the process ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone;

/// The sending side.
#[derive(Clone, Debug)]
pub(crate) struct Sender(Arc<Shared>);

impl Sender {
    /// Puts `message` behind what is there.
    pub(crate) fn send(&self, message: ToShard) -> Result<(), Gone> {
        let mut mail = self.0.lock();
        if mail.closed {
            return Err(Gone);
        }
        mail.list.push_back(message);
        let first = mail.list.len() == 1;
        drop(mail);
        if first {
            // It fails when the system is out of memory for a counter that exists: never.
            let _ = self.0.waker.wake();
        }
        Ok(())
    }
}

/// The receiving side. What is in it is bounded by who sends: connections by their limit, peers'
/// bytes by `limits.peer_bytes_max`.
#[derive(Debug)]
pub(crate) struct Receiver(Arc<Shared>);

impl Receiver {
    /// Moves what is there into `list`, which is empty. To be called again after the next
    /// [`super::poller::Who::Mail`].
    pub(crate) fn take(&self, list: &mut VecDeque<ToShard>) {
        debug_assert!(list.is_empty());
        std::mem::swap(&mut self.0.lock().list, list);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut mail = self.0.lock();
        mail.closed = true;
        let left = std::mem::take(&mut mail.list);
        drop(mail);
        drop(left); // who waits for an answer learns that there is none
    }
}

/// A mailbox whose receiver sleeps in `poller`.
pub(crate) fn mailbox(poller: &Poller) -> io::Result<(Sender, Receiver)> {
    let shared = Arc::new(Shared { mail: Mutex::default(), waker: poller.waker()? });
    Ok((Sender(Arc::clone(&shared)), Receiver(shared)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::server::poller::Who;

    /// Several threads send; the receiver sleeps in between. What each of them sent arrives in
    /// its order, whole, and no wake-up gets lost.
    #[test]
    fn messages_of_one_sender_keep_their_order() {
        const SENDERS: u8 = 4;
        const EACH: u64 = 20_000;
        let mut poller = Poller::new().unwrap();
        let (sender, receiver) = mailbox(&poller).unwrap();
        let senders: Vec<_> = (0..SENDERS)
            .map(|t| {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    for n in 0..EACH {
                        let batch = vec![PeerMessage::InterestAck { version: n }];
                        sender.send(ToShard::Peers(ShardId(t), batch)).ok()?;
                        if n % 100 == 0 {
                            std::thread::yield_now(); // lets the receiver run dry and sleep
                        }
                    }
                    Some(())
                })
            })
            .collect();
        let mut next = [0; SENDERS as usize];
        let mut list = VecDeque::new();
        while next != [EACH; SENDERS as usize] {
            let mut told = false;
            poller.wait(Some(Duration::from_secs(20)), |change| told |= change.who == Who::Mail);
            assert!(told, "a wake-up was lost at {next:?}");
            receiver.take(&mut list);
            for message in list.drain(..) {
                let ToShard::Peers(from, batch) = message else { panic!("{message:?}") };
                let n = &mut next[usize::from(from.0)];
                let [PeerMessage::InterestAck { version }] = batch[..] else { panic!("{batch:?}") };
                assert_eq!(version, *n);
                *n += 1;
            }
        }
        assert!(senders.into_iter().all(|t| matches!(t.join(), Ok(Some(())))));
    }

    #[test]
    fn who_sends_to_a_shard_that_is_gone_is_told() {
        let poller = Poller::new().unwrap();
        let (sender, receiver) = mailbox(&poller).unwrap();
        let (ask, mut answer) = oneshot::channel();
        assert!(sender.send(ToShard::Report(ask)).is_ok());
        drop(receiver);
        assert!(answer.try_recv().is_err(), "the question went with the shard");
        assert!(sender.send(ToShard::Shutdown).is_err());
    }
}
