//! What is to go out: one outbox per link, and the list of those that got something.
//!
//! The broker encodes straight into the receiver's outbox; the server (or a simulator) takes it
//! out and flushes each dirty outbox once, at the end of a pass. May use: `codec`.
//!
//! Invariants: an idle outbox owns no memory; bytes leave in the order in which they were put in;
//! nothing is added after [`Sends::close`] \[MQTT-3.14.4-1\]; what is left when outboxes were
//! written is counted over all of them, a large payload once however many refer to it.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::atomic::{AtomicUsize, Ordering};

use triomphe::Arc;

use super::input::LinkKey;
use super::message::Message;
use super::shrink::shrink_list;
use crate::codec::ReasonCode;

/// Buffers larger than this are given back to the allocator instead of being kept for reuse.
const POOLED_BUFFER_BYTES_MAX: usize = 256 * 1024;
/// A reader that is never quite done must not make its buffer grow for ever: once this much of it
/// is sent, and half of it, the rest moves to the front.
const COMPACT_BYTES_MIN: usize = 64 * 1024;
/// What the empty buffers that are kept for reuse may hold. Not their number: a message to
/// thousands fills thousands of small ones in one pass.
const POOLED_BYTES_MAX: usize = 8 << 20;
/// An outbox fills if it got so many packets since it was written empty,
const FILLING_PACKETS_MIN: u32 = 4;
/// and not more than this: what is larger gains nothing by being written with more.
const FILLING_BYTES_MAX: usize = 16 * 1024;

/// How much for all links is much: so many bytes for each that gets any, within these bounds. To
/// write less at a time would cost more calls of the system.
const MUCH_EACH_BYTES: usize = 16 * 1024;
const MUCH_BYTES_MIN: usize = 16 << 20;
const MUCH_BYTES_MAX: usize = 64 << 20;

/// Why the broker ends a Network Connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// the reason code that was sent, or would have been sent to an MQTT 5.0 client
    pub reason: ReasonCode,
    /// in words, for the log
    pub why: &'static str,
}

/// The end of large packets, which outboxes refer to: the payload, or the properties before it too.
#[derive(Debug)]
pub struct Referred {
    message: Message,
    with_properties: bool,
    /// bytes of all such payloads
    all: Arc<AtomicUsize>,
}

impl Referred {
    fn bytes(&self) -> &[u8] {
        match self.with_properties {
            true => self.message.properties_and_payload(),
            false => self.message.payload(),
        }
    }
}

impl Drop for Referred {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes().len(), Ordering::Relaxed);
    }
}

#[derive(Debug)]
enum Chunk {
    Bytes(Vec<u8>),
    End(Arc<Referred>),
}

impl Chunk {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::End(referred) => referred.bytes(),
        }
    }
}

/// What is behind the first large payload.
#[derive(Debug, Default)]
struct Later {
    chunks: VecDeque<Chunk>,
    len: usize,
    /// How much of that is payloads by reference.
    referred_len: usize,
}

/// Outgoing bytes of one link. One cache line: each delivery and each flush touches one.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Outbox {
    generation: u32,
    /// The front: encoded packets.
    bytes: Vec<u8>,
    /// How much of the front chunk (`bytes`, or the first of `later` when that is empty) is sent.
    sent: usize,
    /// What comes after `bytes` once a large payload was sent by reference.
    later: Option<Box<Later>>,
    closing: Option<Box<Closing>>,
    /// Packets since it was written empty.
    packets: u32,
    /// What is counted of it, in bytes: 0 if all of it went when it was written last.
    left: u32,
    /// It is in the list of those that got something, or held back from it.
    dirty: bool,
    /// The broker wants to be told (`Input::Wrote`) when there is room again.
    pub wants_room: bool,
    /// The broker does not want this link's socket to be read for now.
    pub reads_held: bool,
    /// The packet handed in last was not taken: it is the first to be handed in when the reading is
    /// no longer held. To be taken note of, and reset, by whoever hands in packets.
    pub not_taken: bool,
}

impl Outbox {
    /// Bytes not yet written.
    pub fn backlog(&self) -> usize {
        self.bytes.len() + self.later.as_ref().map_or(0, |later| later.len) - self.sent
    }

    /// Those of them that were copied: all but large payloads. Deliveries stop at
    /// `output_bytes_max`, so what is far beyond it is answers that the client does not read.
    pub fn copied_backlog(&self) -> usize {
        let referred = self.later.as_ref().map_or(0, |later| later.referred_len);
        self.backlog().saturating_sub(referred)
    }

    /// Whether the last `added` bytes were those that made it `much` or more.
    fn grew_past(&self, much: usize, added: usize) -> bool {
        let backlog = self.backlog();
        backlog >= much && backlog - added < much
    }

    /// Whether its client did not take all of it when it was written last.
    fn is_stalled(&self) -> bool {
        self.left > 0
    }

    /// Set once the broker has ended the link: flush, then close the socket.
    pub fn closing(&self) -> Option<Closing> {
        self.closing.as_deref().copied()
    }

    /// Fills `slices` with what is to be written next; returns how many.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.slices_within(usize::MAX, slices)
    }

    /// The same, up to `most` bytes.
    pub fn slices_within<'a>(&'a self, mut most: usize, slices: &mut [IoSlice<'a>]) -> usize {
        let mut n = 0;
        let mut skip = self.sent;
        let later = self.later.iter().flat_map(|later| later.chunks.iter().map(Chunk::as_slice));
        let front = Some(self.bytes.as_slice()).filter(|b| !b.is_empty());
        for (slice, slot) in front.into_iter().chain(later).zip(slices) {
            if most == 0 {
                break;
            }
            let slice = &slice[skip..];
            let slice = &slice[..slice.len().min(most)];
            *slot = IoSlice::new(slice);
            most -= slice.len();
            skip = 0;
            n += 1;
        }
        n
    }

    /// Takes `n` written bytes off the front. True when nothing is left.
    pub fn advance(&mut self, n: usize) -> bool {
        self.sent += n;
        if !self.bytes.is_empty() {
            if self.sent < self.bytes.len() {
                if self.sent >= COMPACT_BYTES_MIN && self.sent * 2 >= self.bytes.len() {
                    self.bytes.drain(..self.sent);
                    self.sent = 0;
                }
                return false;
            }
            self.sent -= self.bytes.len();
            self.bytes.clear();
        }
        let Some(later) = &mut self.later else { return true };
        while let Some(chunk) = later.chunks.front() {
            let len = chunk.as_slice().len();
            if self.sent < len {
                return false;
            }
            self.sent -= len;
            later.len -= len;
            if let Some(Chunk::End(_)) = later.chunks.pop_front() {
                later.referred_len -= len;
            }
        }
        self.later = None;
        true
    }

    /// Everything not yet written, in one piece (tests and simulators).
    pub fn to_vec(&self) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 64];
        let n = self.slices(&mut slices);
        let mut all: Vec<u8> = slices[..n].iter().flat_map(|s| s.iter().copied()).collect();
        all.truncate(self.backlog());
        all
    }

    fn tail(&mut self) -> &mut Vec<u8> {
        match &mut self.later {
            None => &mut self.bytes,
            Some(later) => {
                let chunks = &mut later.chunks;
                if !matches!(chunks.back(), Some(Chunk::Bytes(_))) {
                    chunks.push_back(Chunk::Bytes(Vec::new()));
                }
                match chunks.back_mut() {
                    Some(Chunk::Bytes(bytes)) => bytes,
                    _ => &mut self.bytes, // not reached: pushed above
                }
            }
        }
    }
}

/// The outboxes of a shard, by link slot.
#[derive(Debug, Default)]
pub struct Sends {
    boxes: Vec<Outbox>,
    dirty: Vec<LinkKey>,
    resumed: Vec<LinkKey>,
    pool: Vec<Vec<u8>>,
    /// what they hold
    pool_bytes: usize,
    /// bytes that were left in outboxes when they were written, large payloads left out
    left_bytes: usize,
    /// bytes that outboxes got since `take_dirty`, large payloads left out
    fresh_bytes: usize,
    /// so much for one link is much; 0: nothing is
    much_bytes: usize,
    /// some link's outbox has come to hold so much since `take_dirty`
    one_has_much: bool,
    /// and bytes of large payloads
    referred_bytes: Arc<AtomicUsize>,
}

impl Sends {
    /// Makes the slot of `link` ready for it. Called once per link, before anything is sent.
    pub fn open(&mut self, link: LinkKey) {
        if self.boxes.len() <= link.index() {
            self.boxes.resize_with(link.index() + 1, Outbox::default);
        }
        let outbox = Outbox { generation: link.generation(), ..Outbox::default() };
        let before = std::mem::replace(&mut self.boxes[link.index()], outbox);
        self.left_bytes -= before.left as usize;
    }

    /// The outbox of `link`, while it is that link's.
    pub fn outbox(&self, link: LinkKey) -> Option<&Outbox> {
        self.boxes.get(link.index()).filter(|b| b.generation == link.generation())
    }

    /// The outbox of `link`, while it is that link's.
    pub fn outbox_mut(&mut self, link: LinkKey) -> Option<&mut Outbox> {
        self.boxes.get_mut(link.index()).filter(|b| b.generation == link.generation())
    }

    /// Bytes waiting for `link`.
    pub fn backlog(&self, link: LinkKey) -> usize {
        self.outbox(link).map_or(0, Outbox::backlog)
    }

    /// Bytes that wait for clients that do not take them, and large payloads on their way.
    pub fn waiting_bytes(&self) -> usize {
        self.left_bytes + self.referred_bytes.load(Ordering::Relaxed)
    }

    /// Whether `link` may get another message: while less than `most` bytes wait for it, and unless
    /// its client does not take what it has while `all` or more wait for all clients.
    pub fn has_room(&self, link: LinkKey, most: usize, all: usize) -> bool {
        self.outbox(link).is_none_or(|outbox| {
            outbox.backlog() < most && !(outbox.is_stalled() && self.waiting_bytes() >= all)
        })
    }

    /// Lets `write` append whole packets for `link`; nothing happens once the link is closing.
    pub fn append<R>(&mut self, link: LinkKey, write: impl FnOnce(&mut Vec<u8>) -> R) -> Option<R> {
        let outbox = self.boxes.get_mut(link.index())?;
        if outbox.generation != link.generation() || outbox.closing.is_some() {
            return None;
        }
        if !outbox.dirty {
            outbox.dirty = true;
            self.dirty.push(link);
            if outbox.bytes.capacity() == 0
                && outbox.later.is_none()
                && let Some(buffer) = self.pool.pop()
            {
                self.pool_bytes -= buffer.capacity();
                outbox.bytes = buffer;
            }
        }
        outbox.packets = outbox.packets.wrapping_add(1);
        let tail = outbox.tail();
        let before = tail.len();
        let result = write(tail);
        let added = tail.len() - before;
        self.fresh_bytes += added;
        if let Some(later) = &mut outbox.later {
            later.len += added;
        }
        self.one_has_much |= outbox.grew_past(self.much_bytes, added);
        Some(result)
    }

    /// The message's payload, or its properties too, to be referred to by outboxes: of one message
    /// once for all of them.
    pub fn refer(&self, message: Message, with_properties: bool) -> Arc<Referred> {
        let referred = Referred { message, with_properties, all: Arc::clone(&self.referred_bytes) };
        self.referred_bytes.fetch_add(referred.bytes().len(), Ordering::Relaxed);
        Arc::new(referred)
    }

    /// Appends the end of a packet by reference, right behind the head that was just appended.
    pub fn append_end(&mut self, link: LinkKey, end: Arc<Referred>) {
        let much_bytes = self.much_bytes;
        if let Some(outbox) = self.outbox_mut(link)
            && outbox.closing.is_none()
        {
            let later = outbox.later.get_or_insert_default();
            let len = end.bytes().len();
            later.len += len;
            later.referred_len += len;
            later.chunks.push_back(Chunk::End(end));
            let grew = outbox.grew_past(much_bytes, len);
            self.one_has_much |= grew;
        }
    }

    /// Ends the link: what is in the outbox still goes out, nothing is added.
    pub fn close(&mut self, link: LinkKey, closing: Closing) {
        if let Some(outbox) = self.outbox_mut(link)
            && outbox.closing.is_none()
        {
            outbox.closing = Some(Box::new(closing));
            if !outbox.dirty {
                outbox.dirty = true;
                self.dirty.push(link);
            }
        }
    }

    /// The packet that was just handed in is not taken.
    pub(super) fn leave(&mut self, link: LinkKey) {
        if let Some(outbox) = self.outbox_mut(link) {
            outbox.not_taken = true;
        }
    }

    /// Holds or frees the reading of the link's socket. Freed links are in [`Sends::take_resumed`].
    pub fn hold_reads(&mut self, link: LinkKey, hold: bool) {
        if let Some(outbox) = self.outbox_mut(link)
            && outbox.reads_held != hold
        {
            outbox.reads_held = hold;
            if !hold {
                self.resumed.push(link);
            }
        }
    }

    /// From here on an outbox of so many bytes has much.
    pub fn set_much(&mut self, bytes: usize) {
        self.much_bytes = bytes;
    }

    /// Whether what outboxes got since the last [`Sends::take_dirty`] is to be written before
    /// anything else is handled. Otherwise publishers that are read in one pass would fill memory
    /// with what their subscribers could have had, and what comes to the end of a link's room would
    /// be dropped though its client reads.
    pub fn have_much(&self) -> bool {
        let all = (self.dirty.len() * MUCH_EACH_BYTES).clamp(MUCH_BYTES_MIN, MUCH_BYTES_MAX);
        self.one_has_much || self.fresh_bytes >= all
    }

    /// Whether some outbox got something since the last [`Sends::take_dirty`].
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Swaps the list of outboxes that got something (or are to be closed) into `list`.
    pub fn take_dirty(&mut self, list: &mut Vec<LinkKey>) {
        list.clear();
        (self.fresh_bytes, self.one_has_much) = (0, false);
        std::mem::swap(&mut self.dirty, list);
        for link in list.iter() {
            if let Some(outbox) = self.boxes.get_mut(link.index()) {
                outbox.dirty = false;
            }
        }
    }

    /// Whether `link` is likely to get more as soon as others have been read: it got several
    /// packets since its outbox was written empty, and not yet much in all.
    pub fn is_filling(&self, link: LinkKey) -> bool {
        self.outbox(link).is_some_and(|outbox| {
            outbox.packets >= FILLING_PACKETS_MIN
                && outbox.closing.is_none()
                && outbox.backlog() <= FILLING_BYTES_MAX
        })
    }

    /// Keeps the outbox of `link` off the list of those that got something, or no longer. Whoever
    /// holds it writes it.
    pub fn hold(&mut self, link: LinkKey, hold: bool) {
        if let Some(outbox) = self.outbox_mut(link) {
            outbox.dirty = hold;
        }
    }

    /// Swaps the list of links that may be read again into `list`.
    pub fn take_resumed(&mut self, list: &mut Vec<LinkKey>) {
        list.clear();
        std::mem::swap(&mut self.resumed, list);
    }

    /// To be called when an outbox was written, however far that went. If all of it went, its
    /// buffer goes back to the pool.
    pub fn wrote(&mut self, link: LinkKey) {
        let Some(outbox) = self.boxes.get_mut(link.index()) else { return };
        if outbox.generation != link.generation() {
            return;
        }
        let left = match outbox.backlog() {
            0 => 0,
            _ => u32::try_from(outbox.copied_backlog()).unwrap_or(u32::MAX).max(1),
        };
        if left != outbox.left {
            self.left_bytes = self.left_bytes - outbox.left as usize + left as usize;
            outbox.left = left;
        }
        if left == 0 {
            let buffer = std::mem::take(&mut outbox.bytes);
            outbox.sent = 0;
            outbox.packets = 0;
            outbox.later = None;
            if buffer.capacity() > 0
                && buffer.capacity() <= POOLED_BUFFER_BYTES_MAX
                && self.pool_bytes + buffer.capacity() <= POOLED_BYTES_MAX
            {
                self.pool_bytes += buffer.capacity();
                self.pool.push(buffer);
            }
        }
    }

    /// Gives memory back when things are quiet: what was kept for reuse, and the outboxes from
    /// slot `slots` on, where no link is.
    pub fn shrink(&mut self, slots: usize) {
        self.boxes.truncate(slots);
        shrink_list(&mut self.boxes);
        self.pool.clear();
        shrink_list(&mut self.pool);
        shrink_list(&mut self.dirty);
        shrink_list(&mut self.resumed);
    }

    /// Counts anew what waits, for tests and simulators.
    ///
    /// # Panics
    /// If it was counted otherwise.
    pub fn check_invariants(&self) {
        let left: usize = self.boxes.iter().map(|outbox| outbox.left as usize).sum();
        assert_eq!(left, self.left_bytes, "bytes that were left");
        let later = self.boxes.iter().filter_map(|outbox| outbox.later.as_deref());
        let mut referred: Vec<&Arc<Referred>> = later
            .flat_map(|later| &later.chunks)
            .filter_map(|chunk| match chunk {
                Chunk::End(referred) => Some(referred),
                Chunk::Bytes(_) => None,
            })
            .collect();
        referred.sort_by_key(|referred| Arc::as_ptr(referred));
        referred.dedup_by_key(|referred| Arc::as_ptr(referred));
        let bytes: usize = referred.iter().map(|referred| referred.message.payload().len()).sum();
        assert_eq!(bytes, self.referred_bytes.load(Ordering::Relaxed), "bytes of large payloads");
    }

    /// Forgets the link's outbox.
    pub fn forget(&mut self, link: LinkKey) {
        if let Some(outbox) = self.outbox_mut(link) {
            let generation = link.generation().wrapping_add(1);
            let before = std::mem::replace(outbox, Outbox { generation, ..Outbox::default() });
            self.left_bytes -= before.left as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{MessageParts, Time};
    use crate::codec::{Properties, QoS};
    use crate::topic::TopicName;

    fn message(payload: &[u8]) -> Message {
        let parts = MessageParts {
            qos: QoS::AtMostOnce,
            retain: false,
            expires: Time::NEVER,
            publisher: 0,
            topic: TopicName::new("t").unwrap(),
            properties: Properties::default(),
            payload,
        };
        Message::new(&parts, &mut Vec::new())
    }

    fn refer(sends: &mut Sends, link: LinkKey, payload: &[u8]) {
        let payload = sends.refer(message(payload), false);
        sends.append_end(link, payload);
    }

    #[test]
    fn sizes() {
        assert_eq!(size_of::<Outbox>(), 64);
    }

    #[test]
    fn much_is_known_as_such_until_it_is_taken() {
        let links: Vec<_> = (0..2_000).map(|n| LinkKey::new(n, 1)).collect();
        let mut sends = Sends::default();
        links.iter().for_each(|link| sends.open(*link));
        let mut list = Vec::new();
        let add = |sends: &mut Sends, link: LinkKey, bytes: usize| {
            sends.append(link, |b| b.resize(b.len() + bytes, 0));
            sends.have_much()
        };
        assert!(!add(&mut sends, links[0], MUCH_BYTES_MIN - 1), "nobody has said what is much");
        assert!(add(&mut sends, links[1], 1));
        sends.take_dirty(&mut list);
        sends.set_much(1_000);
        assert!(!add(&mut sends, links[0], 1), "it was more than that before");
        assert!(!add(&mut sends, links[2], 999));
        assert!(add(&mut sends, links[2], 1));
        sends.take_dirty(&mut list);
        assert!(!sends.have_much());
        refer(&mut sends, links[3], &[b'x'; 1_000]);
        assert!(sends.have_much(), "large payloads as well");
        sends.take_dirty(&mut list);
        sends.set_much(usize::MAX);
        // For two thousand it is more.
        let first = links.iter().position(|link| add(&mut sends, *link, MUCH_EACH_BYTES - 1));
        assert_eq!(first, None);
        assert!(add(&mut sends, links[0], links.len()));
    }

    #[test]
    fn bytes_and_payloads_leave_in_order_however_the_writes_are_cut() {
        for step in 1..12 {
            let link = LinkKey::new(3, 7);
            let mut sends = Sends::default();
            sends.open(link);
            sends.append(link, |b| b.extend_from_slice(b"abc"));
            refer(&mut sends, link, b"PAYLOAD");
            sends.append(link, |b| b.extend_from_slice(b"def"));
            refer(&mut sends, link, b"X");
            refer(&mut sends, link, b"Y");
            sends.append(link, |b| b.extend_from_slice(b"g"));
            let outbox = sends.outbox_mut(link).unwrap();
            assert_eq!(outbox.to_vec(), b"abcPAYLOADdefXYg");
            let mut got = Vec::new();
            while outbox.backlog() > 0 {
                let all = outbox.to_vec();
                let n = step.min(all.len());
                got.extend_from_slice(&all[..n]);
                assert_eq!(outbox.advance(n), n == all.len());
            }
            assert_eq!(got, b"abcPAYLOADdefXYg");
        }
    }

    #[test]
    fn nothing_after_close_and_nothing_for_a_stale_key() {
        let (old, link) = (LinkKey::new(0, 1), LinkKey::new(0, 2));
        let mut sends = Sends::default();
        sends.open(old);
        sends.open(link);
        assert!(sends.append(old, |b| b.push(1)).is_none());
        sends.append(link, |b| b.push(2));
        sends.close(link, Closing { reason: ReasonCode::Success, why: "" });
        assert!(sends.append(link, |b| b.push(3)).is_none());
        assert_eq!(sends.outbox(link).map(Outbox::to_vec), Some(vec![2]));
        let mut dirty = Vec::new();
        sends.take_dirty(&mut dirty);
        assert_eq!(dirty, [link]);
    }

    #[test]
    fn a_reader_that_is_never_quite_done_has_a_bounded_buffer() {
        let link = LinkKey::new(0, 1);
        let mut sends = Sends::default();
        sends.open(link);
        let (mut next, mut read) = (0_u32, Vec::new());
        for _ in 0..1000 {
            sends.append(link, |out| {
                (0..1000).for_each(|n| out.extend((next + n).to_be_bytes()));
            });
            next += 1000;
            let outbox = sends.outbox_mut(link).unwrap();
            let n = outbox.backlog() - 100;
            let mut slices = [IoSlice::new(&[]); 2];
            assert_eq!(outbox.slices(&mut slices), 1);
            read.extend_from_slice(&slices[0][..n]);
            assert!(!outbox.advance(n));
            assert!(outbox.bytes.len() <= 2 * COMPACT_BYTES_MIN, "{}", outbox.bytes.len());
        }
        read.extend(sends.outbox(link).unwrap().to_vec());
        assert!(read.chunks(4).eq((0..next).map(u32::to_be_bytes)), "in order, none missing");
    }

    #[test]
    fn an_outbox_fills_between_several_packets_and_much() {
        let link = LinkKey::new(0, 1);
        let mut sends = Sends::default();
        sends.open(link);
        let mut list = Vec::new();
        for n in 1..=FILLING_PACKETS_MIN {
            sends.append(link, |out| out.push(1));
            assert_eq!(sends.is_filling(link), n == FILLING_PACKETS_MIN, "{n}");
        }
        sends.take_dirty(&mut list);
        assert_eq!(list, [link]);
        sends.hold(link, true);
        sends.append(link, |out| out.push(1));
        assert!(!sends.is_dirty(), "held");
        sends.append(link, |out| out.resize(FILLING_BYTES_MAX + 1, 1));
        assert!(!sends.is_filling(link), "enough");
        sends.hold(link, false);
        sends.outbox_mut(link).unwrap().advance(FILLING_BYTES_MAX + 1);
        sends.wrote(link);
        sends.append(link, |out| out.push(1));
        assert!(sends.is_dirty() && !sends.is_filling(link), "it begins anew");
    }

    /// Copied bytes are counted when they are left over, a large payload as long as anybody has it.
    #[test]
    fn what_waits_is_counted_once() {
        let links = [LinkKey::new(0, 1), LinkKey::new(1, 1), LinkKey::new(2, 1)];
        let mut sends = Sends::default();
        let payload = sends.refer(message(&[7; 1000]), false);
        for link in links {
            sends.open(link);
            sends.append(link, |out| out.extend_from_slice(b"head"));
            sends.append_end(link, Arc::clone(&payload));
        }
        drop(payload);
        assert_eq!(sends.waiting_bytes(), 1000);
        let takes = |sends: &mut Sends, link: LinkKey, n: usize| {
            sends.outbox_mut(link).unwrap().advance(n);
            sends.wrote(link);
        };
        takes(&mut sends, links[0], 1);
        takes(&mut sends, links[1], 4);
        assert_eq!(sends.waiting_bytes(), 1000 + 3 + 1, "a head, and nothing but the payload");
        takes(&mut sends, links[2], 1004);
        assert_eq!(sends.waiting_bytes(), 1004);
        for (at, has) in [(0, false), (1, false), (2, true)] {
            assert_eq!(sends.has_room(links[at], 9999, 1004), has, "{at}: who takes nothing");
            assert!(sends.has_room(links[at], 9999, 1005));
            assert_eq!(sends.has_room(links[at], 1000, 9999), at == 2, "its own bound");
        }
        sends.forget(links[0]);
        assert_eq!(sends.waiting_bytes(), 1001);
        sends.open(LinkKey::new(1, 2));
        assert_eq!(sends.waiting_bytes(), 0);
    }

    #[test]
    fn shrinking_keeps_what_is_in_use() {
        let (link, gone) = (LinkKey::new(1, 1), LinkKey::new(999, 2));
        let mut sends = Sends::default();
        for link in [link, gone] {
            sends.open(link);
            sends.append(link, |out| out.push(7));
        }
        sends.forget(gone);
        sends.shrink(2);
        assert!(sends.boxes.capacity() < 10, "{}", sends.boxes.capacity());
        assert_eq!(sends.outbox(link).map(Outbox::to_vec), Some(vec![7]));
        sends.close(gone, Closing { reason: ReasonCode::Success, why: "" });
        sends.wrote(gone);
        assert!(sends.outbox(gone).is_none() && sends.append(gone, |_| ()).is_none());
    }
}
