//! A WebSocket decoder that is fed a stream in pieces, for its unit tests and its fuzz target.
//! Whoever includes this file has the decoder's names in scope.

use super::{CONTROL_BYTES_MAX, Decoder, Event};

/// What came of a stream: payload, pings, and its end.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Got {
    pub(super) payload: Vec<u8>,
    pub(super) pings: Vec<Vec<u8>>,
    pub(super) close: Option<Option<u16>>,
    pub(super) error: Option<u16>,
}

/// Reads `stream` in pieces of `cut` bytes; what the decoder keeps in between is bounded.
pub(super) fn read(stream: &[u8], cut: usize) -> Got {
    let (mut decoder, mut got) = (Decoder::default(), Got::default());
    for piece in stream.chunks(cut) {
        let mut piece = piece.to_vec();
        let mut at = 0;
        while at < piece.len() {
            let (used, event) = match decoder.step(&mut piece[at..]) {
                Ok(step) => step,
                Err(error) => {
                    got.error = Some(error.code);
                    return got;
                }
            };
            assert!(used > 0 && at + used <= piece.len());
            match event {
                Event::Nothing => {}
                Event::Data(range) => got.payload.extend(&piece[at..at + used][range]),
                Event::Ping(bytes) => {
                    assert!(bytes.len() <= CONTROL_BYTES_MAX);
                    got.pings.push(bytes);
                }
                Event::Close(code) => got.close = Some(code),
            }
            at += used;
        }
        assert!(decoder.kept_bytes() <= CONTROL_BYTES_MAX + 14);
    }
    got
}
