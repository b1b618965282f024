//! Any valid packet of either side and every version, written and read.
//!
//! Laws: those of packets, and what one version's packet is in another version is a packet or
//! nothing.

use stonechat::codec::{Framed, Packet, Sender, Version, decode, encode, encoded_len, frame};

use super::laws;
use super::packets;
use super::source::{Shelf, Source};

/// The first byte says whose packets these are and of which version; then packet after packet.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let version = source.pick(&[Version::V5, Version::V311, Version::V31]);
    let sender = source.pick(&[Sender::Client, Sender::Server]);
    loop {
        let shelf = Shelf::default();
        let packet = packets::any(&mut source, &shelf, sender, version);
        laws::check(&packet, sender, version);
        in_other_versions(&packet, sender, version);
        if source.is_empty() {
            return;
        }
    }
}

fn in_other_versions(packet: &Packet<'_>, sender: Sender, from: Version) {
    for to in [Version::V31, Version::V311, Version::V5] {
        let mut bytes = Vec::new();
        encode(packet, to, &mut bytes);
        assert_eq!(encoded_len(packet, to), bytes.len());
        // What 5.0 demands and 3.x lacks: codes in UNSUBACK. What 3.x demands and 5.0 does not: a
        // topic, a user name with a password, and no DISCONNECT from a Server.
        let lacks = match packet {
            Packet::Publish(p) => p.topic.is_none(),
            Packet::Connect(c) => c.password.is_some() && c.user_name.is_none(),
            Packet::UnsubAck(_) => to.is_v5(),
            Packet::Disconnect(_) => sender == Sender::Server,
            _ => false,
        };
        if bytes.is_empty() || (from != to && lacks) {
            continue;
        }
        let Ok(Framed::Whole(whole)) = frame(&bytes, usize::MAX) else {
            panic!("{packet:?} in {to:?} is no frame: {bytes:02X?}");
        };
        let read = decode(whole, sender, to);
        assert!(read.is_ok(), "{packet:?} in {to:?}: {read:?}");
    }
}
