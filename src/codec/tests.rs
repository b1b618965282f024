//! What is refused, by section of the specification, a row per statement; and what is accepted
//! though it looks odd. Each file has some sections; `written.rs` has what the codec writes.
//!
//! A row's packet is its first byte, then its body: hexadecimal digits, and text in quotes. The
//! Remaining Length is put between them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod connect;
mod fixed_header;
mod publish;
mod session_end;
mod subscribe;
mod written;

use super::*;
use Sender::{Client, Server};
use Version::{V5, V31, V311};

const OK: u8 = 0;
const ALL: &[Version] = &[V31, V311, V5];
const V3: &[Version] = &[V31, V311];
const ONLY_V5: &[Version] = &[V5];
const ONLY_V31: &[Version] = &[V31];
const NOT_V31: &[Version] = &[V311, V5];

/// What it is, who sends it in which versions, the packet, and the reason code or `OK`.
type Row = (&'static str, Sender, &'static [Version], &'static str, u8);

fn parse(notation: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, part) in notation.split('\'').enumerate() {
        if i % 2 == 1 {
            out.extend(part.as_bytes());
            continue;
        }
        let digits: String = part.split_whitespace().collect();
        for at in (0..digits.len()).step_by(2) {
            out.push(u8::from_str_radix(&digits[at..at + 2], 16).unwrap());
        }
    }
    out
}

fn packet(notation: &str) -> Vec<u8> {
    let bytes = parse(notation);
    let (len, n) = primitive::varint_bytes(bytes.len() - 1);
    [&bytes[..1], &len[..n], &bytes[1..]].concat()
}

fn read(bytes: &[u8], sender: Sender, version: Version) -> Result<Packet<'_>, DecodeError> {
    match frame(bytes, usize::MAX)? {
        Framed::Whole(frame) => decode(frame, sender, version),
        partial => panic!("{partial:?}"),
    }
}

fn check(rows: &[Row]) {
    for (what, sender, versions, notation, code) in rows {
        for version in *versions {
            let bytes = packet(notation);
            let got = read(&bytes, *sender, *version);
            let reason = got.as_ref().map_or_else(|e| e.reason.as_u8(), |_| OK);
            assert_eq!(reason, *code, "{what} in {version:?}: {got:?}");
            if let Err(e) = got {
                assert!(e.what.len() > 20, "{what}: {}", e.what);
            }
        }
    }
}
