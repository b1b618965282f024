//! Records as they stand on disk: written, and read back in place.
//!
//! May use: `wire`, `content`, `codec` for the checks. Invariant: what is read borrows from the
//! bytes and is well-formed by the grammar (`record.rs`).

use super::content::Content;
use super::counts::{check_counts, check_level};
use super::options::{option_byte, options, qos};
use super::owner::StoredOwner;
use super::record::{DropReason, SessionNumber};
use super::wire::{CRC_BYTES, Garbled, Reader, frame, put_bytes, put_crc};
use super::wire::{put_varint, text};
use crate::codec::{PacketId, QoS, SubscriptionOptions};

pub(super) mod kind {
    pub(in crate::store) const MESSAGE: u8 = 1;
    pub(super) const SESSION: u8 = 2;
    pub(super) const DISCONNECTED: u8 = 3;
    pub(super) const SESSION_END: u8 = 4;
    pub(super) const WILL: u8 = 5;
    pub(super) const WILL_END: u8 = 6;
    pub(super) const SUBSCRIBED: u8 = 7;
    pub(super) const UNSUBSCRIBED: u8 = 8;
    pub(super) const QUEUED: u8 = 9;
    pub(super) const IN_FLIGHT: u8 = 10;
    pub(super) const RELEASED: u8 = 11;
    pub(super) const ACKNOWLEDGED: u8 = 12;
    pub(super) const DROPPED: u8 = 13;
    pub(super) const INBOUND: u8 = 14;
    pub(super) const INBOUND_END: u8 = 15;
    pub(super) const RETAINED: u8 = 16;
    pub(super) const END: u8 = 17;
    pub(super) const CLOSED: u8 = 18;
    pub(super) const ACCEPTED: u8 = 19;
    pub(super) const NUMBERS: u8 = 20;
    pub(super) const ACCEPTED_SEGMENT: u8 = 21;
    pub(super) const OWNED_SESSION: u8 = 22;
    pub(super) const COUNTS: u8 = 23;
}

pub(super) const RETAIN: u8 = 4;
const SEALED: u8 = 8;
const IDS: u8 = 16;
const GROUP: u8 = 32;
pub(super) const COPIED: u8 = 64;

/// A queue entry on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) session: u64,
    pub(super) order: u64,
    /// how many entries were written for the session, this one included
    pub(super) nth: u64,
    /// the message's number
    pub(super) message: u64,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) sealed: bool,
    /// the cleaner wrote it
    pub(super) copied: bool,
    /// varints
    pub(super) ids: &'a [u8],
    pub(super) group: Option<&'a str>,
}

impl Entry<'_> {
    pub(super) fn note(&self) -> EntryNote {
        let Self { session, order, nth, message, sealed, copied, .. } = *self;
        EntryNote { session, order, nth, message, sealed, copied }
    }

    pub(super) fn subscription_ids(&self) -> Box<[u32]> {
        let mut r = Reader::new(self.ids);
        std::iter::from_fn(|| (!r.is_empty()).then(|| r.varint_u32().unwrap_or(0))).collect()
    }
}

/// What the index keeps of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct EntryNote {
    pub(super) session: u64,
    pub(super) order: u64,
    pub(super) nth: u64,
    pub(super) message: u64,
    pub(super) sealed: bool,
    pub(super) copied: bool,
}

/// What the index keeps of a message and its one entry, which is sealed and no copy.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeliveryNote {
    pub(super) session: u64,
    pub(super) order: u64,
    pub(super) nth: u64,
    /// the message's number
    pub(super) message: u64,
    /// see `Content::bytes`
    pub(super) message_bytes: u32,
}

/// A record on disk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stored<'a> {
    Message {
        number: u64,
        content: Content<'a>,
    },
    Session {
        session: u64,
        expiry_s: u32,
        written: u64,
        offline: Option<u64>,
        client_id: &'a str,
        owner: StoredOwner<'a>,
    },
    Disconnected {
        session: u64,
        expiry_s: u32,
        at: u64,
    },
    SessionEnd {
        session: u64,
    },
    Will {
        session: u64,
        delay_s: u32,
        expiry_s: Option<u32>,
        content: Content<'a>,
    },
    WillEnd {
        session: u64,
    },
    Subscribed {
        session: u64,
        options: SubscriptionOptions,
        id: Option<u32>,
        filter: &'a str,
    },
    Unsubscribed {
        session: u64,
        filter: &'a str,
    },
    Queued(Entry<'a>),
    InFlight {
        session: u64,
        order: u64,
        packet_id: PacketId,
    },
    Released {
        session: u64,
        order: u64,
    },
    Acknowledged {
        session: u64,
        order: u64,
    },
    Dropped {
        session: u64,
        order: u64,
        why: DropReason,
    },
    Inbound {
        session: u64,
        packet_id: PacketId,
        seals: u64,
    },
    InboundEnd {
        session: u64,
        packet_id: PacketId,
    },
    Retained {
        version: u64,
        message: u64,
        topic: &'a str,
    },
    End {
        next: u32,
    },
    Closed,
    Accepted {
        first: u64,
        last: u64,
    },
    Numbers(Numbers),
    AcceptedSegment {
        segment: u32,
    },
    Counts {
        level: u8,
        /// see `counts_in`
        sessions: &'a [u8],
    },
}

/// The highest numbers that were given out: they are never given out again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// of messages
    pub message: u64,
    /// of sessions
    pub session: u64,
    /// of changes of retained messages
    pub version: u64,
}

pub(super) fn flag(is_set: bool, bit: u8) -> u8 {
    if is_set { bit } else { 0 }
}

fn put_all(out: &mut Vec<u8>, kind: u8, numbers: &[u64], rest: &[u8]) {
    frame(out, kind, |out| {
        numbers.iter().for_each(|&n| put_varint(out, n));
        out.extend_from_slice(rest);
    });
}

fn or_zero(n: Option<u64>) -> u64 {
    n.map_or(0, |n| n.saturating_add(1))
}

impl<'a> Stored<'a> {
    /// Appends it.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        if let Some(start) = self.put_unchecked(out) {
            let end = out.len();
            put_crc(out, start..end);
        }
    }

    /// Appends it, but for its checksum, if it has one: says where what `put_crc` is to be called
    /// for begins; it ends with the record. (Not both: what is not returned in registers would be
    /// waited for behind all that was written before.)
    pub(super) fn put_unchecked(&self, out: &mut Vec<u8>) -> Option<usize> {
        match *self {
            Self::Message { number, content } => Some(content.put_record(number, out)),
            Self::Queued(entry) => Some(entry.put_record(out)),
            _ => {
                self.put_other(out);
                None
            }
        }
    }

    /// Appends those that have no checksum of their own.
    fn put_other(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Session { session, expiry_s, written, offline, client_id, owner } => {
                let numbers = [session, expiry_s.into(), written, or_zero(offline)];
                if owner == StoredOwner::default() {
                    return put_all(out, kind::SESSION, &numbers, client_id.as_bytes());
                }
                frame(out, kind::OWNED_SESSION, |out| {
                    numbers.iter().for_each(|&n| put_varint(out, n));
                    owner.put(client_id, out);
                });
            }
            Self::Will { session, delay_s, expiry_s, content } => {
                frame(out, kind::WILL, |out| {
                    let expiry = or_zero(expiry_s.map(u64::from));
                    [session, delay_s.into(), expiry].iter().for_each(|&n| put_varint(out, n));
                    content.put(out);
                });
            }
            Self::Subscribed { session, options, id, filter } => {
                frame(out, kind::SUBSCRIBED, |out| {
                    put_varint(out, session);
                    out.push(option_byte(options));
                    put_varint(out, id.unwrap_or(0).into());
                    out.extend_from_slice(filter.as_bytes());
                });
            }
            Self::Counts { level, sessions } => {
                frame(out, kind::COUNTS, |out| {
                    out.push(level);
                    out.extend_from_slice(sessions);
                });
            }
            Self::Dropped { session, order, why } => {
                put_all(out, kind::DROPPED, &[session, order], &[why as u8]);
            }
            _ => self.put_short(out),
        }
    }

    /// Those that are numbers, and perhaps a text.
    fn put_short(&self, out: &mut Vec<u8>) {
        let (kind, numbers, rest): (u8, &[u64], &str) = match *self {
            Self::Disconnected { session, expiry_s, at } => {
                (kind::DISCONNECTED, &[session, expiry_s.into(), at], "")
            }
            Self::SessionEnd { session } => (kind::SESSION_END, &[session], ""),
            Self::WillEnd { session } => (kind::WILL_END, &[session], ""),
            Self::Unsubscribed { session, filter } => (kind::UNSUBSCRIBED, &[session], filter),
            Self::InFlight { session, order, packet_id } => {
                (kind::IN_FLIGHT, &[session, order, packet_id.get().into()], "")
            }
            Self::Released { session, order } => (kind::RELEASED, &[session, order], ""),
            Self::Acknowledged { session, order } => (kind::ACKNOWLEDGED, &[session, order], ""),
            Self::Inbound { session, packet_id, seals } => {
                (kind::INBOUND, &[session, packet_id.get().into(), seals], "")
            }
            Self::InboundEnd { session, packet_id } => {
                (kind::INBOUND_END, &[session, packet_id.get().into()], "")
            }
            Self::Retained { version, message, topic } => {
                (kind::RETAINED, &[version, message], topic)
            }
            Self::End { next } => (kind::END, &[next.into()], ""),
            Self::Accepted { first, last } => (kind::ACCEPTED, &[first, last], ""),
            Self::Numbers(Numbers { message, session, version }) => {
                (kind::NUMBERS, &[message, session, version], "")
            }
            Self::AcceptedSegment { segment } => (kind::ACCEPTED_SEGMENT, &[segment.into()], ""),
            _ => (kind::CLOSED, &[], ""),
        };
        put_all(out, kind, numbers, rest.as_bytes());
    }

    /// Reads the record at the front of `r`.
    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, Garbled> {
        let kind = r.u8()?;
        let mut body = Reader::new(r.prefixed()?);
        let stored = Self::read_body(kind, &mut body)?;
        if body.is_empty() { Ok(stored) } else { Err(Garbled("a record that goes on")) }
    }

    fn read_body(kind: u8, r: &mut Reader<'a>) -> Result<Self, Garbled> {
        Ok(match kind {
            kind::MESSAGE => {
                let mut r = without_crc(r)?;
                Self::Message { number: number(&mut r)?, content: Content::read(&mut r)? }
            }
            kind::QUEUED => Self::Queued(Entry::read(&mut without_crc(r)?)?),
            kind::SESSION..=kind::UNSUBSCRIBED | kind::OWNED_SESSION => {
                Self::read_session(kind, r)?
            }
            kind::IN_FLIGHT => Self::InFlight {
                session: r.varint()?,
                order: r.varint()?,
                packet_id: packet_id(r)?,
            },
            kind::RELEASED => Self::Released { session: r.varint()?, order: r.varint()? },
            kind::ACKNOWLEDGED => Self::Acknowledged { session: r.varint()?, order: r.varint()? },
            kind::DROPPED => Self::Dropped {
                session: r.varint()?,
                order: r.varint()?,
                why: *DropReason::ALL.get(usize::from(r.u8()?)).ok_or(Garbled("unknown reason"))?,
            },
            kind::INBOUND => {
                Self::Inbound { session: r.varint()?, packet_id: packet_id(r)?, seals: r.varint()? }
            }
            kind::INBOUND_END => {
                Self::InboundEnd { session: r.varint()?, packet_id: packet_id(r)? }
            }
            kind::RETAINED => Self::Retained {
                version: r.varint()?,
                message: r.varint()?,
                topic: text(r.rest())?,
            },
            kind::END => Self::End { next: r.varint_u32()? },
            kind::CLOSED => Self::Closed,
            kind::ACCEPTED => Self::Accepted { first: r.varint()?, last: r.varint()? },
            kind::NUMBERS => Self::Numbers(Numbers {
                message: r.varint()?,
                session: r.varint()?,
                version: r.varint()?,
            }),
            kind::COUNTS => {
                Self::Counts { level: check_level(r.u8()?)?, sessions: check_counts(r.rest())? }
            }
            kind::ACCEPTED_SEGMENT => Self::AcceptedSegment { segment: r.varint_u32()? },
            _ => return Err(Garbled("a record of unknown kind")),
        })
    }

    fn read_session(kind: u8, r: &mut Reader<'a>) -> Result<Self, Garbled> {
        let session = r.varint()?;
        Ok(match kind {
            kind::SESSION => Self::Session {
                session,
                expiry_s: r.varint_u32()?,
                written: r.varint()?,
                offline: r.varint()?.checked_sub(1),
                client_id: text(r.rest())?,
                owner: StoredOwner::default(),
            },
            kind::OWNED_SESSION => {
                let (expiry_s, written) = (r.varint_u32()?, r.varint()?);
                let offline = r.varint()?.checked_sub(1);
                let (client_id, owner) = StoredOwner::read(r)?;
                Self::Session { session, expiry_s, written, offline, client_id, owner }
            }
            kind::DISCONNECTED => {
                Self::Disconnected { session, expiry_s: r.varint_u32()?, at: r.varint()? }
            }
            kind::SESSION_END => Self::SessionEnd { session },
            kind::WILL => Self::Will {
                session,
                delay_s: r.varint_u32()?,
                expiry_s: match r.varint()?.checked_sub(1).map(u32::try_from) {
                    Some(Err(_)) => return Err(Garbled("a number of more than 32 bits")),
                    s => s.and_then(Result::ok),
                },
                content: Content::read(r)?,
            },
            kind::WILL_END => Self::WillEnd { session },
            kind::SUBSCRIBED => Self::Subscribed {
                session,
                options: options(r.u8()?)?,
                id: Some(r.varint_u32()?).filter(|id| *id > 0),
                filter: text(r.rest())?,
            },
            _ => Self::Unsubscribed { session, filter: text(r.rest())? },
        })
    }

    /// The session that it is about.
    pub(super) fn session(&self) -> Option<SessionNumber> {
        match *self {
            Self::Session { session, .. }
            | Self::Disconnected { session, .. }
            | Self::SessionEnd { session }
            | Self::Will { session, .. }
            | Self::WillEnd { session }
            | Self::Subscribed { session, .. }
            | Self::Unsubscribed { session, .. }
            | Self::Queued(Entry { session, .. })
            | Self::InFlight { session, .. }
            | Self::Released { session, .. }
            | Self::Acknowledged { session, .. }
            | Self::Dropped { session, .. }
            | Self::Inbound { session, .. }
            | Self::InboundEnd { session, .. } => Some(SessionNumber(session)),
            _ => None,
        }
    }
}

impl<'a> Entry<'a> {
    /// Appends it without its checksum, for which there is room. Returns where what is to be
    /// checked begins.
    pub(super) fn put_record(&self, out: &mut Vec<u8>) -> usize {
        let flags = self.qos as u8
            | flag(self.retain, RETAIN)
            | flag(self.sealed, SEALED)
            | flag(!self.ids.is_empty(), IDS)
            | flag(self.group.is_some(), GROUP)
            | flag(self.copied, COPIED);
        frame(out, kind::QUEUED, |out| {
            let numbers = [self.session, self.order, self.nth, self.message];
            numbers.iter().for_each(|&n| put_varint(out, n));
            out.push(flags);
            if !self.ids.is_empty() {
                put_bytes(out, self.ids);
            }
            out.extend_from_slice(self.group.unwrap_or_default().as_bytes());
            out.extend_from_slice(&[0; CRC_BYTES]);
        })
    }

    fn read(r: &mut Reader<'a>) -> Result<Self, Garbled> {
        let (session, order, nth) = (r.varint()?, r.varint()?, r.varint()?);
        let (message, flags) = (number(r)?, r.u8()?);
        let ids = if flags & IDS != 0 { r.prefixed()? } else { &[] };
        let mut check = Reader::new(ids);
        while !check.is_empty() {
            check.varint_u32()?;
        }
        let group = text(r.rest())?;
        if flags & 0x80 != 0 || flags & GROUP == 0 && !group.is_empty() {
            return Err(Garbled("an entry with unknown flags"));
        }
        Ok(Self {
            session,
            order,
            nth,
            message,
            qos: qos(flags)?,
            retain: flags & RETAIN != 0,
            sealed: flags & SEALED != 0,
            copied: flags & COPIED != 0,
            ids,
            group: (flags & GROUP != 0).then_some(group),
        })
    }
}

/// Numbers of messages are kept in six bytes.
pub(super) const MESSAGE_NUMBER_MAX: u64 = (1 << 48) - 1;

fn number(r: &mut Reader<'_>) -> Result<u64, Garbled> {
    match r.varint()? {
        n @ 1..=MESSAGE_NUMBER_MAX => Ok(n),
        _ => Err(Garbled("a message's number out of range")),
    }
}

fn packet_id(r: &mut Reader<'_>) -> Result<PacketId, Garbled> {
    let id = u16::try_from(r.varint()?).ok().and_then(PacketId::new);
    id.ok_or(Garbled("a Packet Identifier out of range"))
}

fn without_crc<'a>(r: &mut Reader<'a>) -> Result<Reader<'a>, Garbled> {
    let len = r.left().checked_sub(4).ok_or(Garbled("ends too early"))?;
    let body = r.bytes(len)?;
    if r.u32()? != crc32c::crc32c(body) {
        return Err(Garbled("a record with a wrong checksum"));
    }
    Ok(Reader::new(body))
}
