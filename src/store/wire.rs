//! Varints, fixed integers, frames and checksums, written and read.
//!
//! May use: `core` and crc32c. Invariant: reading what may be anything never panics, and never goes
//! beyond what it was given.

use std::ops::Range;

/// Why bytes are no record. Says what stood where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Garbled(pub(super) &'static str);

/// Appends `n`, seven bits per byte, lowest first.
pub(super) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// How many bytes `put_varint` appends.
pub(super) fn varint_len(n: u64) -> usize {
    (1 | n).ilog2() as usize / 7 + 1
}

/// Appends the bytes' number, then the bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a record: its kind, the length of what `body` writes, and that. Returns where that
/// begins.
pub(super) fn frame(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) -> usize {
    let start = out.len();
    out.extend_from_slice(&[kind, 0]);
    body(out);
    let len = out.len() - start - 2;
    if let Ok(short) = u8::try_from(len)
        && short < 0x80
    {
        out[start + 1] = short;
        return start + 2;
    }
    // The length takes more than the byte that was kept for it: the body moves.
    let mut prefix = Vec::with_capacity(10);
    put_varint(&mut prefix, len as u64);
    out.resize(out.len() + prefix.len() - 1, 0);
    out.copy_within(start + 2..start + 2 + len, start + 1 + prefix.len());
    out[start + 1..start + 1 + prefix.len()].copy_from_slice(&prefix);
    start + 1 + prefix.len()
}

/// Length of a record's checksum.
pub(super) const CRC_BYTES: usize = size_of::<u32>();

/// Puts the checksum of what begins at `checked.start` into the last four bytes before
/// `checked.end`.
pub(super) fn put_crc(out: &mut [u8], checked: Range<usize>) {
    if let Some((body, crc)) = out[checked].split_last_chunk_mut::<CRC_BYTES>() {
        *crc = crc32c::crc32c(body).to_le_bytes();
    }
}

/// Bytes that are taken from the front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn left(&self) -> usize {
        self.0.len()
    }

    pub(super) fn bytes(&mut self, n: usize) -> Result<&'a [u8], Garbled> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(Garbled("ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Garbled> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Garbled("ends too early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Garbled> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Garbled> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Garbled> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Result<u128, Garbled> {
        self.array().map(u128::from_le_bytes)
    }

    pub(super) fn varint(&mut self) -> Result<u64, Garbled> {
        let mut n = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            n |= bits << shift;
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err(Garbled("a number of more than 64 bits"))
    }

    pub(super) fn varint_u32(&mut self) -> Result<u32, Garbled> {
        u32::try_from(self.varint()?).map_err(|_| Garbled("a number of more than 32 bits"))
    }

    /// Bytes behind their number.
    pub(super) fn prefixed(&mut self) -> Result<&'a [u8], Garbled> {
        let n = usize::try_from(self.varint()?).map_err(|_| Garbled("ends too early"))?;
        self.bytes(n)
    }
}

/// Takes bytes for text.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Garbled> {
    std::str::from_utf8(bytes).map_err(|_| Garbled("text that is no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back() {
        let mut out = Vec::new();
        let numbers = (0..64).flat_map(|n| [1_u64 << n, (1 << n) - 1]).chain([u64::MAX]);
        for n in numbers {
            out.clear();
            put_varint(&mut out, n);
            let mut r = Reader::new(&out);
            assert_eq!((r.varint(), r.is_empty()), (Ok(n), true), "{n}");
            assert_eq!(varint_len(n), out.len(), "{n}");
        }
        for bad in [&[0x80][..], &[0xff; 10], &[0xff; 11], &[]] {
            assert!(Reader::new(bad).varint().is_err());
        }
        assert!(Reader::new(&[200, 1, 1]).prefixed().is_err());
    }
}
