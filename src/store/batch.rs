//! Segment headers and batches: how they are written, checked and found again.
//!
//! May use: `wire`. The grammar stands in `record.rs`. Invariant: what `parse` lets through was
//! written as a batch of this log into this segment, byte by byte; whether it belongs where it
//! stands, chain and number say.

use super::wire::{Garbled, Reader};

/// Length of a segment's header.
pub(super) const HEADER_BYTES: usize = 128;
/// Length of a batch's header, as it is written.
pub(super) const BATCH_HEADER_BYTES: usize = 64;
/// The same up to version 2.
const OLD_BATCH_HEADER_BYTES: usize = 60;
/// The version that is written.
pub(super) const VERSION: u32 = 3;
/// The oldest version that is read.
const OLDEST_VERSION: u32 = 1;

const SEGMENT_MAGIC: &[u8; 8] = b"SCHATLOG";
const BATCH_MAGIC: &[u8; 4] = b"SCB2";
const OLD_BATCH_MAGIC: &[u8; 4] = b"SCB1";
const CRC_AT: usize = 32;

/// The front of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) segment: u32,
    /// the log's id
    pub(super) log: u128,
}

/// Why a file does not begin as a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// Of another version than this program knows.
    Newer(u32),
    /// Anything else.
    Damaged,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(SEGMENT_MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.segment.to_le_bytes());
        out.extend_from_slice(&self.log.to_le_bytes());
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        let mut header = [0; HEADER_BYTES];
        header[..out.len()].copy_from_slice(&out);
        header
    }

    /// Whether a header that is good is of an older version than is written.
    pub(super) fn is_old(bytes: &[u8]) -> bool {
        bytes.get(8..12).is_some_and(|version| version != VERSION.to_le_bytes())
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let whole = bytes.get(..HEADER_BYTES).ok_or(HeaderError::Damaged)?;
        let mut r = Reader::new(whole);
        let garbled = |_: Garbled| HeaderError::Damaged;
        let magic = r.bytes(8).map_err(garbled)?;
        let version = r.u32().map_err(garbled)?;
        let crc = Reader::new(&whole[CRC_AT..]).u32().map_err(garbled)?;
        if magic != SEGMENT_MAGIC || crc != crc32c::crc32c(&whole[..CRC_AT]) {
            return Err(HeaderError::Damaged);
        }
        if !(OLDEST_VERSION..=VERSION).contains(&version) {
            return Err(HeaderError::Newer(version));
        }
        Ok(Self { segment: r.u32().map_err(garbled)?, log: r.u128().map_err(garbled)? })
    }
}

/// What the CRCs of a segment's batches begin with.
pub(super) fn seed(log: u128, segment: u32) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&log.to_le_bytes()), &segment.to_le_bytes())
}

/// The front of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BatchHeader {
    /// of the whole batch, in bytes
    pub(super) len: u32,
    pub(super) number: u64,
    pub(super) synced: u64,
    pub(super) time_ms: u64,
    pub(super) wall_ms: u64,
    pub(super) oldest: u32,
    pub(super) records: u32,
    pub(super) chain: u32,
    /// how many entries were ever written, those of this batch included, modulo 2^32; `None`: up to
    /// version 2
    pub(super) entries: Option<u32>,
    /// of the whole batch
    pub(super) crc: u32,
}

impl BatchHeader {
    /// Writes the header into the first bytes of `batch`, which were left free for it; the records
    /// are there already. Sets `len` and `crc`.
    pub(super) fn seal(&mut self, batch: &mut [u8], seed: u32) {
        self.len = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        let mut head = Vec::with_capacity(BATCH_HEADER_BYTES);
        head.extend_from_slice(BATCH_MAGIC);
        head.extend_from_slice(&self.len.to_le_bytes());
        for n in [self.number, self.synced, self.time_ms, self.wall_ms] {
            head.extend_from_slice(&n.to_le_bytes());
        }
        for n in [self.oldest, self.records, self.chain, self.entries.unwrap_or(0)] {
            head.extend_from_slice(&n.to_le_bytes());
        }
        let crc = crc32c::crc32c_append(seed, &head);
        head.extend_from_slice(&crc.to_le_bytes());
        let crc = crc32c::crc32c_append(seed, &head);
        self.crc = crc32c::crc32c_append(crc, &batch[BATCH_HEADER_BYTES..]);
        head.extend_from_slice(&self.crc.to_le_bytes());
        batch[..BATCH_HEADER_BYTES].copy_from_slice(&head);
    }

    /// Reads a header, and checks it alone.
    pub(super) fn parse(bytes: &[u8], seed: u32) -> Option<Self> {
        let magic = bytes.get(..4)?;
        let is_old = magic == OLD_BATCH_MAGIC;
        if magic != BATCH_MAGIC && !is_old {
            return None;
        }
        let len = if is_old { OLD_BATCH_HEADER_BYTES } else { BATCH_HEADER_BYTES };
        let head = bytes.get(..len)?;
        let mut r = Reader::new(&head[4..]);
        let header = Self {
            len: r.u32().ok()?,
            number: r.u64().ok()?,
            synced: r.u64().ok()?,
            time_ms: r.u64().ok()?,
            wall_ms: r.u64().ok()?,
            oldest: r.u32().ok()?,
            records: r.u32().ok()?,
            chain: r.u32().ok()?,
            entries: if is_old { None } else { Some(r.u32().ok()?) },
            crc: Reader::new(&head[len - 4..]).u32().ok()?,
        };
        let crc = crc32c::crc32c_append(seed, &head[..len - 8]);
        (r.u32().ok()? == crc && header.len as usize >= len).then_some(header)
    }

    /// Its own length.
    pub(super) fn bytes(&self) -> usize {
        if self.entries.is_none() { OLD_BATCH_HEADER_BYTES } else { BATCH_HEADER_BYTES }
    }
}

/// The batch at `at` in a segment, if a whole one stands there.
pub(super) fn batch_at(segment: &[u8], at: usize, seed: u32) -> Option<(BatchHeader, &[u8])> {
    let rest = segment.get(at..)?;
    let header = BatchHeader::parse(rest, seed)?;
    let whole = rest.get(..header.len as usize)?;
    let (head, records) = whole.split_at(header.bytes());
    let crc = crc32c::crc32c_append(seed, &head[..head.len() - 4]);
    (crc32c::crc32c_append(crc, records) == header.crc).then_some((header, records))
}

/// The next whole batch at or behind `from`.
pub(super) fn find_batch(segment: &[u8], from: usize, seed: u32) -> Option<(usize, BatchHeader)> {
    let mut at = from;
    loop {
        let rest = segment.get(at..)?;
        at += rest.iter().position(|&b| b == BATCH_MAGIC[0])?;
        if let Some((header, _)) = batch_at(segment, at, seed) {
            return Some((at, header));
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_or_not_at_all() {
        let header = SegmentHeader { segment: 7, log: 1 << 100 };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::parse(&bytes), Ok(header));
        for bit in 0..(CRC_AT + 4) * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::parse(&bytes), Err(HeaderError::Damaged), "bit {bit}");
        }
    }

    #[test]
    fn any_changed_bit_of_a_batch_is_seen() {
        let mut batch = vec![0; BATCH_HEADER_BYTES];
        batch.extend_from_slice(b"some records");
        let mut header =
            BatchHeader { number: 5, records: 2, entries: Some(9), ..BatchHeader::default() };
        header.seal(&mut batch, seed(1, 2));
        let found = batch_at(&batch, 0, seed(1, 2));
        assert_eq!(found, Some((header, &b"some records"[..])));
        for bit in 0..batch.len() * 8 {
            let mut batch = batch.clone();
            batch[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(batch_at(&batch, 0, seed(1, 2)), None, "bit {bit}");
        }
        assert_eq!(batch_at(&batch, 0, seed(1, 3)), None, "of another segment");
        assert_eq!(batch_at(&batch, 0, seed(2, 2)), None, "of another log");
        let mut later = b"SCB2 and SCB1 and S and SCB".to_vec();
        let at = later.len();
        later.extend_from_slice(&batch);
        assert_eq!(find_batch(&later, 0, seed(1, 2)), Some((at, header)));
        assert_eq!(find_batch(&later, at + 1, seed(1, 2)), None);
    }
}
