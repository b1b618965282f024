//! Messages that are spent: nobody needs them any more, and their memory serves new ones.
//!
//! May use: the message. What the log has written is let go by another thread than made it, a batch
//! at a time: that is what an allocator is slowest at (measured: a sixth of all that a durable
//! message costs). So the committer hands it back, and what a client has acknowledged stays with
//! the shard at once.
//!
//! Invariants: what is here has no other owner; it takes at most `SPENT_BYTES_MAX`, and what was
//! not needed since the last sweep goes back to the allocator; nothing of a spent message is seen
//! in the one that takes its memory.

use super::message::{Message, MessageParts};
use super::safety::Safety;

/// How much is kept of what was spent, in bytes.
const SPENT_BYTES_MAX: usize = 2 << 20;

/// Messages that may serve again, by their room.
#[derive(Debug, Default)]
pub struct Spent {
    by_room: Vec<Spare>,
    bytes: usize,
}

/// Those of one size.
#[derive(Debug, Default)]
struct Spare {
    list: Vec<Message>,
    /// the fewest that there were since the last sweep
    low: usize,
}

impl Spent {
    /// Keeps `message` if nobody else has it, and there is place.
    #[inline]
    pub fn add(&mut self, message: Message) {
        if let Some(at) = message.reusable_as()
            && self.bytes < SPENT_BYTES_MAX
        {
            if self.by_room.len() <= at {
                self.by_room.resize_with(at + 1, Spare::default);
            }
            self.bytes += Message::room_bytes(at);
            self.by_room[at].list.push(message);
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Takes over what another one has, as far as there is place.
    pub(super) fn take_over(&mut self, other: Self) {
        if self.by_room.len() < other.by_room.len() {
            self.by_room.resize_with(other.by_room.len(), Spare::default);
        }
        for (at, (own, mut new)) in self.by_room.iter_mut().zip(other.by_room).enumerate() {
            let place = SPENT_BYTES_MAX.saturating_sub(self.bytes) / Message::room_bytes(at);
            new.list.truncate(place);
            self.bytes += new.list.len() * Message::room_bytes(at);
            // They are taken in the order in which they came: mostly so they lie in memory.
            new.list.reverse();
            new.list.append(&mut own.list);
            own.list = new.list;
        }
    }

    /// A message of `parts`, in the memory of a spent one if there is one of its size.
    /// `scratch` is overwritten.
    #[inline]
    pub(super) fn message(
        &mut self,
        parts: &MessageParts<'_>,
        safety: Safety,
        scratch: &mut Vec<u8>,
    ) -> Message {
        scratch.clear();
        parts.properties.forwarded(scratch);
        let len = parts.topic.as_str().len() + scratch.len() + parts.payload.len();
        if let Some(at) = Message::room_for(len)
            && let Some(spare) = self.by_room.get_mut(at)
            && let Some(mut message) = spare.list.pop()
        {
            spare.low = spare.low.min(spare.list.len());
            self.bytes -= Message::room_bytes(at);
            if message.rewrite(parts, safety, scratch) {
                return message;
            }
        }
        Message::with_safety(parts, safety, scratch)
    }

    /// Lets go of what was not needed since the last sweep.
    pub(super) fn sweep(&mut self) {
        for (at, spare) in self.by_room.iter_mut().enumerate() {
            let unused = spare.low.min(spare.list.len());
            self.bytes -= unused * Message::room_bytes(at);
            spare.list.drain(..unused);
            spare.low = spare.list.len();
            if spare.list.is_empty() {
                spare.list = Vec::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Time;
    use crate::codec::{Properties, QoS};
    use crate::topic::TopicName;

    fn parts<'a>(topic: &'a str, payload: &'a [u8], qos: QoS) -> MessageParts<'a> {
        MessageParts {
            qos,
            retain: qos == QoS::AtLeastOnce,
            expires: Time(payload.len() as u64),
            topic: TopicName::new(topic).unwrap(),
            publisher: 7,
            properties: Properties::default(),
            payload,
        }
    }

    /// Whatever a message's memory held before, it reads as one that was made anew.
    #[test]
    fn nothing_of_the_old_is_seen_in_the_new() {
        let (mut spent, mut scratch, mut reused) = (Spent::default(), Vec::new(), 0);
        for n in 0..4_000_usize {
            let payload = vec![n as u8; n * 7 % 90];
            let topic = ["a", "some/longer/topic", "b/c"][n % 3];
            let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][n % 3];
            let safety = [Safety::Memory, Safety::Written, Safety::Synced][n % 3];
            let parts = parts(topic, &payload, qos);
            let before = spent.bytes;
            let message = spent.message(&parts, safety, &mut scratch);
            reused += usize::from(spent.bytes < before);
            assert_eq!((message.topic_str(), message.payload()), (topic, &payload[..]));
            assert_eq!((message.qos(), message.retain()), (qos, parts.retain));
            assert_eq!((message.safety(), message.number()), (safety, 0));
            assert_eq!((message.expires(), message.publisher()), (parts.expires, 7));
            assert_eq!(message.properties(), b"");
            assert_eq!(message.cost_bytes(), Message::cost_of(topic.len() + payload.len()));
            message.set_number(9);
            spent.add(message);
        }
        assert!(reused > 3_900, "{reused}");
    }

    #[test]
    fn what_somebody_has_is_not_taken() {
        let (mut spent, mut scratch) = (Spent::default(), Vec::new());
        let one = spent.message(&parts("a", b"1", QoS::AtLeastOnce), Safety::Synced, &mut scratch);
        spent.add(one.clone());
        assert!(spent.is_empty());
        // Nor what is large.
        let parts = parts("a", &[0; 5_000], QoS::AtLeastOnce);
        spent.add(Message::with_safety(&parts, Safety::Synced, &mut scratch));
        assert!(spent.is_empty());
        spent.add(one);
        assert!(!spent.is_empty());
    }

    #[test]
    fn it_is_bounded_and_what_nobody_needs_goes() {
        let (mut spent, mut scratch) = (Spent::default(), Vec::new());
        let make = |n: usize| vec![n as u8; 200];
        let mut more = Spent::default();
        for n in 0..20_000 {
            let payload = make(n);
            let parts = parts("a", &payload, QoS::AtLeastOnce);
            let one = Message::with_safety(&parts, Safety::Synced, &mut scratch);
            if n % 2 == 0 { spent.add(one) } else { more.add(one) }
        }
        spent.take_over(more);
        let bytes = |spent: &Spent| -> usize {
            let of = |(at, spare): (usize, &Spare)| spare.list.len() * Message::room_bytes(at);
            spent.by_room.iter().enumerate().map(of).sum()
        };
        assert_eq!(spent.bytes, bytes(&spent));
        assert!((SPENT_BYTES_MAX / 2..SPENT_BYTES_MAX + 2_000).contains(&spent.bytes));
        spent.sweep(); // none was there before
        let payload = make(1);
        let all: Vec<_> = (0..100)
            .map(|_| {
                spent.message(&parts("a", &payload, QoS::AtLeastOnce), Safety::Synced, &mut scratch)
            })
            .collect();
        all.into_iter().for_each(|message| spent.add(message));
        spent.sweep();
        assert_eq!(
            (spent.by_room.iter().map(|s| s.list.len()).sum::<usize>(), spent.bytes),
            (100, bytes(&spent))
        );
        spent.sweep();
        assert!(spent.is_empty() && spent.by_room.iter().all(|s| s.list.capacity() == 0));
    }
}
