//! Any bytes, taken for a stream from a client or a server of every version.
//!
//! Laws: nothing panics; the front of a buffer is cut the same whatever follows it; its beginnings
//! are partial; whatever decodes obeys the laws of packets.

use stonechat::codec::{Frame, Framed, Packet, Sender, Version, decode, frame};

use super::laws;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

/// The first byte says how large packets may be, the others are the stream.
pub fn run(data: &[u8]) {
    let Some((&limit, mut stream)) = data.split_first() else { return };
    let packet_bytes_max = if limit < 128 { usize::MAX } else { usize::from(limit) };
    loop {
        match frame(stream, packet_bytes_max) {
            Err(_) => return,
            Ok(Framed::Partial { len }) => {
                assert!(len.is_none_or(|len| len > stream.len() && len <= packet_bytes_max));
                return;
            }
            Ok(Framed::Whole(whole)) => {
                check_frame(whole, stream, packet_bytes_max);
                decode_all(whole);
                stream = &stream[whole.len..];
            }
        }
    }
}

fn check_frame(whole: Frame<'_>, stream: &[u8], packet_bytes_max: usize) {
    assert!(whole.len <= packet_bytes_max.min(stream.len()));
    assert_eq!(whole.first, stream[0]);
    assert!(stream[..whole.len].ends_with(whole.body));
    let header = whole.len - whole.body.len();
    assert_eq!(frame(&stream[..whole.len], whole.len), Ok(Framed::Whole(whole)));
    assert!(frame(&stream[..header], whole.len - 1).is_err(), "too large, by its header alone");
    for n in (0..header).chain([header, whole.len / 2, whole.len - 1]).filter(|n| *n < whole.len) {
        let len = (n >= header).then_some(whole.len);
        assert_eq!(frame(&stream[..n], packet_bytes_max), Ok(Framed::Partial { len }), "{n}");
    }
}

fn decode_all(frame: Frame<'_>) {
    for version in VERSIONS {
        for sender in [Sender::Client, Sender::Server] {
            match decode(frame, sender, version) {
                Err(error) => assert!(error.reason.is_error() && !error.what.is_empty()),
                Ok(packet) => {
                    let version = match &packet {
                        Packet::Connect(c) => c.version,
                        _ => version,
                    };
                    let len = laws::check(&packet, sender, version);
                    assert!(len <= frame.len, "what is written is the shortest: {packet:?}");
                }
            }
        }
    }
}
