//! The data representations of section 1.5: integers, Variable Byte Integers, strings, binary data.
//!
//! What lives here: [`Reader`], which takes them from a packet's body, and [`Sink`], which writes
//! or only counts them. May use: `topic`, and of `codec` only its error.
//!
//! Invariant: a `Reader` never looks past its slice and never copies; a `Sink` never writes what a
//! `Reader` would refuse.

use super::DecodeError;
use super::packet::{PacketId, Publish, Version};
use super::publish;
use super::reason::ReasonCode;
use crate::topic::{SubscriptionFilter, TopicError, TopicName};

/// The greatest Variable Byte Integer (section 1.5.5).
pub(super) const VARINT_MAX: usize = 268_435_455;

/// A Malformed Packet (0x81): it cannot be parsed.
#[cold]
pub(super) const fn malformed(what: &'static str) -> DecodeError {
    DecodeError { reason: ReasonCode::MalformedPacket, what }
}

/// A Protocol Error (0x82): it can be parsed, and says what it may not say.
#[cold]
pub(super) const fn protocol_error(what: &'static str) -> DecodeError {
    DecodeError { reason: ReasonCode::ProtocolError, what }
}

const TOO_SHORT: DecodeError = malformed("the packet ends inside a field (section 4.13)");

/// What is left to read of a packet's body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything that is left, for good.
    #[inline]
    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Ends the packet: nothing may be left.
    #[inline]
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(malformed("the packet goes on after its last field (section 4.13)"))
        }
    }

    #[inline]
    pub(super) fn bytes(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(TOO_SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(TOO_SHORT)?;
        self.0 = rest;
        Ok(*taken)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[b]| b)
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A Variable Byte Integer (section 1.5.5), in as few bytes as possible \[MQTT-1.5.5-1\].
    #[inline]
    pub(super) fn varint(&mut self) -> Result<usize, DecodeError> {
        if let Some((&b, rest)) = self.0.split_first()
            && b < 0x80
        {
            self.0 = rest;
            return Ok(usize::from(b));
        }
        let (value, n) = long_varint(self.0)?.ok_or(TOO_SHORT)?;
        self.0 = &self.0[n..];
        Ok(value)
    }

    /// Binary Data (section 1.5.6).
    #[inline]
    pub(super) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let n = self.u16()?;
        self.bytes(usize::from(n))
    }

    #[inline]
    fn utf8(&mut self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.binary()?)
            .map_err(|_| malformed("a string is not well-formed UTF-8 [MQTT-1.5.4-1]"))
    }

    /// A UTF-8 Encoded String (section 1.5.4).
    #[inline]
    pub(super) fn string(&mut self) -> Result<&'a str, DecodeError> {
        let text = self.utf8()?;
        if text.as_bytes().contains(&0) {
            return Err(malformed("a string contains U+0000 [MQTT-1.5.4-2]"));
        }
        Ok(text)
    }

    /// A Topic Name, `None` for a zero-length one.
    #[inline]
    pub(super) fn topic_name(&mut self) -> Result<Option<TopicName<'a>>, DecodeError> {
        let text = self.utf8()?;
        if text.is_empty() {
            return Ok(None);
        }
        if has_null_or_wildcard(text.as_bytes()) {
            return Err(bad_topic_name(text));
        }
        Ok(Some(TopicName::from_validated(text)))
    }

    /// What a SUBSCRIBE or UNSUBSCRIBE names. What is misspelled is a Malformed Packet: 0x8F is for
    /// a filter that is "correctly formed, but not accepted" (section 3.14.2.1).
    pub(super) fn subscription_filter(&mut self) -> Result<SubscriptionFilter<'a>, DecodeError> {
        SubscriptionFilter::parse(self.utf8()?).map_err(|e| {
            malformed(match e {
                TopicError::Empty => "a Topic Filter is empty [MQTT-4.7.3-1]",
                TopicError::Null => "a Topic Filter contains U+0000 [MQTT-4.7.3-2]",
                TopicError::MisplacedHash => {
                    "'#' in a Topic Filter is not its whole last level [MQTT-4.7.1-1]"
                }
                TopicError::MisplacedPlus => {
                    "'+' in a Topic Filter is not a whole level [MQTT-4.7.1-2]"
                }
                TopicError::BadShare => {
                    "a Shared Subscription is not $share/ShareName/filter [MQTT-4.8.2-1] [MQTT-4.8.2-2]"
                }
                TopicError::TooLong | TopicError::WildcardInName => "a Topic Filter is not valid",
            })
        })
    }

    #[inline]
    pub(super) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        PacketId::new(self.u16()?)
            .ok_or(protocol_error("a Packet Identifier is 0 [MQTT-2.2.1-3] [MQTT-2.2.1-4]"))
    }
}

/// A Variable Byte Integer at the front of `bytes` and its length; `None` if it goes on past them.
pub(super) fn long_varint(bytes: &[u8]) -> Result<Option<(usize, usize)>, DecodeError> {
    let mut value = 0;
    for (i, &b) in bytes.iter().take(4).enumerate() {
        value |= usize::from(b & 0x7F) << (7 * i);
        if b < 0x80 {
            if b == 0 && i > 0 {
                return Err(malformed(
                    "a Variable Byte Integer does not use the fewest bytes [MQTT-1.5.5-1]",
                ));
            }
            return Ok(Some((value, i + 1)));
        }
    }
    if bytes.len() >= 4 {
        return Err(malformed("a Variable Byte Integer is longer than 4 bytes (section 1.5.5)"));
    }
    Ok(None)
}

/// Whether U+0000, `+` or `#` is among `bytes`: eight at a time, as every PUBLISH asks it. `+` is
/// `#` with bit 3 set, so two comparisons find all three.
#[inline]
fn has_null_or_wildcard(bytes: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Not 0 exactly if a byte of `word` is 0.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    let special = |word: u64| zero(word) | zero((word | (ONES << 3)) ^ (ONES * 0x2B));
    let (words, tail) = bytes.as_chunks::<8>();
    let found = words.iter().fold(0, |found, word| found | special(u64::from_le_bytes(*word)));
    // A short tail is looked at together with the bytes before it.
    match bytes.last_chunk::<8>() {
        _ if tail.is_empty() => found != 0,
        Some(last) => found | special(u64::from_le_bytes(*last)) != 0,
        None => tail.iter().any(|&b| b == 0 || b | 8 == 0x2B),
    }
}

/// Why `text` is no Topic Name. A Malformed Packet: 0x90 is for a name that is "not malformed, but
/// not accepted" (section 3.14.2.1).
#[cold]
fn bad_topic_name(text: &str) -> DecodeError {
    malformed(match TopicName::new(text) {
        Err(TopicError::Null) => "a Topic Name contains U+0000 [MQTT-4.7.3-2]",
        Err(TopicError::WildcardInName) => {
            "a Topic Name contains a wildcard [MQTT-3.3.2-2] [MQTT-4.7.0-1]"
        }
        _ => "a Topic Name is not valid (section 4.7)",
    })
}

/// How many bytes `value` takes as a Variable Byte Integer.
#[inline]
pub(super) fn varint_len(value: usize) -> usize {
    1 + usize::from(value >= 0x80) + usize::from(value >= 0x4000) + usize::from(value >= 0x20_0000)
}

/// `value` as a Variable Byte Integer and its length; the bytes behind it are 0.
#[inline]
pub(super) fn varint_bytes(value: usize) -> ([u8; 4], usize) {
    debug_assert!(value <= VARINT_MAX, "no packet is that long");
    let n = varint_len(value);
    // Seven bits to each byte, and the mark that it goes on on all but the last.
    let v = value as u32;
    let spread = v & 0x7F | (v & 0x3F80) << 1 | (v & 0x1F_C000) << 2 | (v & 0xFE0_0000) << 3;
    let marks = 0x0080_8080_u32 & ((1_u32 << (8 * (n - 1))) - 1);
    ((spread | marks).to_le_bytes(), n)
}

/// Appends the first `len` bytes of `word`, the lowest first. All eight are appended, and what is
/// too much taken back: a copy of a fixed length is a single store.
#[inline]
pub(super) fn append_word(out: &mut Vec<u8>, word: u64, len: usize) {
    let end = out.len() + len;
    out.extend_from_slice(&word.to_le_bytes());
    out.truncate(end);
}

/// Appends `bytes`. Topics are mostly short: a call of the library's copy of unknown length costs
/// more than copying them, so that is done in two pieces of a fixed length, the second one over
/// the end of the first.
#[inline(always)]
pub(crate) fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    let done = append_halves::<32>(out, bytes)
        || append_halves::<16>(out, bytes)
        || append_halves::<8>(out, bytes);
    if !done {
        out.extend_from_slice(bytes);
    }
}

/// False: `bytes` are less than one piece, or more than two.
#[inline(always)]
fn append_halves<const N: usize>(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let (Some(first), Some(last)) = (bytes.first_chunk::<N>(), bytes.last_chunk::<N>()) else {
        return false;
    };
    if bytes.len() > 2 * N {
        return false;
    }
    out.extend_from_slice(first);
    out.truncate(out.len() + bytes.len() - 2 * N);
    out.extend_from_slice(last);
    true
}

/// Where packets are written to: a buffer, or a counter that tells how long they would be.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    /// What `write` writes, with its length in front as a Variable Byte Integer.
    fn prefixed(&mut self, write: impl FnOnce(&mut Self));

    /// A whole PUBLISH: what is written most has a way of its own.
    fn publish(&mut self, packet: &Publish<'_>, version: Version);

    #[inline]
    fn u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    #[inline]
    fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    #[inline]
    fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    fn varint(&mut self, value: usize) {
        let (bytes, n) = varint_bytes(value);
        self.put(&bytes[..n]);
    }

    /// Binary Data; what does not fit its length is cut off, so that the stream stays whole.
    fn binary(&mut self, bytes: &[u8]) {
        let n = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(n);
        self.put(&bytes[..usize::from(n)]);
    }

    /// A UTF-8 Encoded String, cut off between two characters if it is too long.
    fn string(&mut self, text: &str) {
        let mut n = text.len().min(usize::from(u16::MAX));
        while !text.is_char_boundary(n) {
            n -= 1;
        }
        self.binary(&text.as_bytes()[..n]);
    }
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn prefixed(&mut self, write: impl FnOnce(&mut Self)) {
        let at = self.len();
        self.push(0);
        write(self);
        let len = self.len() - at - 1;
        if len < 0x80 {
            self[at] = len as u8;
        } else {
            // Rare: almost all packets that are written here are short.
            let (bytes, n) = varint_bytes(len);
            self.splice(at..=at, bytes[..n].iter().copied());
        }
    }

    #[inline]
    fn publish(&mut self, packet: &Publish<'_>, version: Version) {
        publish::encode(packet, version, self);
    }
}

/// Counts what is written.
#[derive(Debug, Default)]
pub(super) struct Count(pub(super) usize);

impl Sink for Count {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn prefixed(&mut self, write: impl FnOnce(&mut Self)) {
        let before = self.0;
        write(self);
        self.0 += varint_len(self.0 - before);
    }

    fn publish(&mut self, packet: &Publish<'_>, version: Version) {
        self.0 += publish::encoded_len(packet, version);
    }
}
