//! As much MQTT as a load needs: the packets it sends, encoded once, and what it has to know of
//! those it gets. Uses nothing of the program; reading never panics, whatever the bytes are.

/// The types of packets, as they stand in the upper half of the first byte.
pub mod kind {
    #![allow(missing_docs)]
    pub const CONNECT: u8 = 1;
    pub const CONNACK: u8 = 2;
    pub const PUBLISH: u8 = 3;
    pub const PUBACK: u8 = 4;
    pub const PUBREC: u8 = 5;
    pub const PUBREL: u8 = 6;
    pub const PUBCOMP: u8 = 7;
    pub const SUBSCRIBE: u8 = 8;
    pub const SUBACK: u8 = 9;
    pub const UNSUBSCRIBE: u8 = 10;
    pub const UNSUBACK: u8 = 11;
    pub const PINGREQ: u8 = 12;
    pub const DISCONNECT: u8 = 14;
}

/// What every payload begins with: a stamp, the publisher's number, zeros, a sequence number.
pub const PAYLOAD_HEAD_BYTES: usize = 24;

/// A remaining length of more than four bytes.
#[derive(Debug)]
pub struct Malformed;

/// The length of the packet at the start of `bytes`, once its fixed header is there.
pub fn packet_len(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let mut len = 0;
    for at in 1..=4 {
        let Some(&byte) = bytes.get(at) else { return Ok(None) };
        len |= usize::from(byte & 0x7f) << (7 * (at - 1));
        if byte < 0x80 {
            return Ok(Some(at + 1 + len));
        }
    }
    Err(Malformed)
}

/// The packet behind its fixed header.
pub fn body(packet: &[u8]) -> &[u8] {
    let header = 1 + packet[1..].iter().take_while(|&&byte| byte >= 0x80).count() + 1;
    packet.get(header..).unwrap_or_default()
}

/// Appends a variable byte integer.
pub fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    put_varint(&mut out, body.len());
    out.extend_from_slice(body);
    out
}

/// CONNECT. A `kept` session outlives its connection for ever.
pub fn connect(
    version: u8,
    client_id: &str,
    clean: bool,
    kept: bool,
    keep_alive_s: u16,
) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, "MQTT");
    body.extend_from_slice(&[version, u8::from(clean) << 1]);
    body.extend_from_slice(&keep_alive_s.to_be_bytes());
    if version == 5 {
        let expiry: &[u8] = if kept { &[5, 0x11, 0xff, 0xff, 0xff, 0xff] } else { &[0] };
        body.extend_from_slice(expiry);
    }
    put_text(&mut body, client_id);
    packet(kind::CONNECT << 4, &body)
}

/// SUBSCRIBE to all `filters` at one QoS.
pub fn subscribe<S: AsRef<str>>(version: u8, id: u16, filters: &[S], qos: u8) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend((version == 5).then_some(0));
    for filter in filters {
        put_text(&mut body, filter.as_ref());
        body.push(qos);
    }
    packet(kind::SUBSCRIBE << 4 | 2, &body)
}

/// UNSUBSCRIBE from one filter.
pub fn unsubscribe(version: u8, id: u16, filter: &str) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend((version == 5).then_some(0));
    put_text(&mut body, filter);
    packet(kind::UNSUBSCRIBE << 4 | 2, &body)
}

/// DISCONNECT, in the order of things.
pub const DISCONNECT: [u8; 2] = [kind::DISCONNECT << 4, 0];

/// Appends PUBACK, PUBREC, PUBREL or PUBCOMP for `id`.
pub fn put_answer(out: &mut Vec<u8>, kind: u8, id: u16) {
    let flags = if kind == kind::PUBREL { 2 } else { 0 };
    let [high, low] = id.to_be_bytes();
    out.extend_from_slice(&[kind << 4 | flags, 2, high, low]);
}

/// The packet identifier and the reason code of PUBACK, PUBREC, PUBREL and PUBCOMP.
pub fn answer(packet: &[u8]) -> (u16, u8) {
    match body(packet) {
        [high, low, reason, ..] => (u16::from_be_bytes([*high, *low]), *reason),
        [high, low] => (u16::from_be_bytes([*high, *low]), 0),
        _ => (0, 0x81),
    }
}

/// A PUBLISH that is encoded once and sent many times with other numbers in it.
pub struct Template {
    packet: Vec<u8>,
    id_at: Option<usize>,
    payload_at: usize,
}

impl Template {
    /// The payload's filling depends on the publisher, so that mixed up payloads are noticed.
    pub fn new(
        version: u8,
        topic: &str,
        qos: u8,
        retain: bool,
        payload_bytes: usize,
        from: u32,
    ) -> Self {
        let mut body = Vec::new();
        put_text(&mut body, topic);
        let id_at = (qos > 0).then_some(body.len());
        if qos > 0 {
            body.extend_from_slice(&[0, 0]);
        }
        body.extend((version == 5).then_some(0));
        let payload_at = body.len();
        body.extend(
            (0..payload_bytes).map(|n| (n as u32).wrapping_mul(31).wrapping_add(from) as u8),
        );
        body[payload_at + 8..payload_at + 12].copy_from_slice(&from.to_le_bytes());
        body[payload_at + 12..payload_at + 16].fill(0);
        let packet = packet(kind::PUBLISH << 4 | qos << 1 | u8::from(retain), &body);
        let header = packet.len() - body.len();
        Self { packet, id_at: id_at.map(|at| at + header), payload_at: payload_at + header }
    }

    /// Appends the PUBLISH with this stamp and sequence number, which names its packet identifier.
    pub fn put(&mut self, out: &mut Vec<u8>, stamp_ns: u64, seq: u64) {
        let at = self.payload_at;
        self.packet[at..at + 8].copy_from_slice(&stamp_ns.to_le_bytes());
        self.packet[at + 16..at + 24].copy_from_slice(&seq.to_le_bytes());
        if let Some(at) = self.id_at {
            self.packet[at..at + 2].copy_from_slice(&packet_id(seq).to_be_bytes());
        }
        out.extend_from_slice(&self.packet);
    }

    /// What follows the head of every payload.
    pub fn filling(&self) -> &[u8] {
        &self.packet[self.payload_at + PAYLOAD_HEAD_BYTES..]
    }
}

/// The packet identifier that goes with a sequence number: 1 to 65535, in turn.
pub fn packet_id(seq: u64) -> u16 {
    (seq % 65535) as u16 + 1
}

/// What a receiver sees of a PUBLISH.
pub struct Publish<'a> {
    pub qos: u8,
    pub topic: &'a [u8],
    pub id: u16,
    pub payload: &'a [u8],
}

/// Reads a PUBLISH; `None` if it is malformed.
pub fn publish(version: u8, packet: &[u8]) -> Option<Publish<'_>> {
    let qos = (packet[0] >> 1) & 3;
    let (topic, mut rest) = split_text(body(packet))?;
    let mut id = 0;
    if qos > 0 {
        let (bytes, behind) = rest.split_first_chunk::<2>()?;
        (id, rest) = (u16::from_be_bytes(*bytes), behind);
    }
    if version == 5 {
        let count = rest.iter().take(4).take_while(|&&byte| byte >= 0x80).count() + 1;
        let digits = rest.get(..count)?.iter().enumerate();
        let len = digits.fold(0, |sum, (n, &byte)| sum | usize::from(byte & 0x7f) << (7 * n));
        rest = rest.get(count + len..)?;
    }
    Some(Publish { qos, topic, id, payload: rest })
}

/// A length of two bytes and as many bytes, and what follows.
pub fn split_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

/// The head of a payload of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    pub stamp_ns: u64,
    pub from: u32,
    pub seq: u64,
}

/// Takes a payload apart into its head and its filling.
pub fn payload(bytes: &[u8]) -> Option<(Head, &[u8])> {
    let (stamp, rest) = bytes.split_first_chunk::<8>()?;
    let (from, rest) = rest.split_first_chunk::<4>()?;
    let (_, rest) = rest.split_first_chunk::<4>()?;
    let (seq, filling) = rest.split_first_chunk::<8>()?;
    let stamp_ns = u64::from_le_bytes(*stamp);
    let head = Head { stamp_ns, from: u32::from_le_bytes(*from), seq: u64::from_le_bytes(*seq) };
    Some((head, filling))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_can_be_read() {
        for (version, qos) in [(4, 0), (4, 1), (5, 0), (5, 2)] {
            let mut template = Template::new(version, "a/b", qos, false, 300, 7);
            let mut out = Vec::new();
            template.put(&mut out, 99, 65535);
            assert_eq!(packet_len(&out).unwrap(), Some(out.len()));
            let read = publish(version, &out).unwrap();
            assert_eq!((read.qos, read.topic, read.payload.len()), (qos, &b"a/b"[..], 300));
            assert_eq!(read.id, if qos > 0 { 1 } else { 0 });
            let (head, filling) = payload(read.payload).unwrap();
            assert_eq!(head, Head { stamp_ns: 99, from: 7, seq: 65535 });
            assert_eq!(filling, template.filling());
        }
    }

    #[test]
    fn bad_bytes_are_refused() {
        assert!(packet_len(&[0x30, 0xff, 0xff, 0xff, 0xff, 1]).is_err());
        assert!(packet_len(&[0x30, 0xff]).unwrap().is_none());
        assert!(publish(4, &[0x30, 2, 0, 9]).is_none());
        assert!(publish(5, &[0x30, 4, 0, 1, b'a', 9]).is_none());
        assert!(payload(&[0; 23]).is_none());
    }
}
