//! The grammar of what is written of the broker's records.
//!
//! May use: the broker's message. Invariant: a record says all that it means by itself, together
//! with what its session and message are called. Where it stands in the log matters only in that
//! a later record of the same thing replaces an earlier one; so the cleaner may copy a record that
//! is in force behind all others.
//!
//! # The grammar, version 3
//!
//! Version 2 has no Counts, and its batches' headers are of 60 bytes: their magic is `SCB1`, and
//! they have no entries. Version 1 has no OwnedSession and no reason 6 (not authorized) of Dropped
//! either. Both are read, and become version 3 when a broker opens them: batches of both kinds may
//! then stand in one segment.
//!
//! All integers of fixed length are little-endian. `v` is a varint: seven bits per byte, lowest
//! first, the highest bit says that another byte follows; at most ten bytes. Times are milliseconds
//! on the log's own clock, which goes on over restarts (`Timeline`).
//!
//! A file `NNNNNNNNNN.log` is a segment: a header of 128 bytes, then batches, then unused space.
//!
//! | segment header | bytes | |
//! |---|---|---|
//! | magic | 8 | `SCHATLOG` |
//! | version | 4 | 3 |
//! | segment | 4 | the number in the file's name; the first is 1 |
//! | log | 16 | the log's random id |
//! | CRC | 4 | CRC-32C of the bytes before |
//! | zeros | 92 | |
//!
//! | batch header | bytes | |
//! |---|---|---|
//! | magic | 4 | `SCB2` |
//! | length | 4 | of the batch, header included |
//! | number | 8 | rises by 1 from batch to batch, for ever; the first is 1 |
//! | synced | 8 | all batches up to this one were synced when this one was written |
//! | time | 8 | on the log's clock |
//! | wall time | 8 | milliseconds since 1970 |
//! | oldest | 4 | segments below this one are not needed |
//! | records | 4 | how many |
//! | chain | 4 | the CRC of the batch before, 0 before the first |
//! | entries | 4 | how many Queued were ever written, modulo 2^32; copies left out |
//! | header CRC | 4 | CRC-32C of log id, segment number, and the bytes before |
//! | CRC | 4 | CRC-32C of log id, segment number, and all bytes of the batch but these four |
//!
//! Both CRCs begin with log id and segment number: so a batch that an older segment left in a file
//! that is used again fails its own check, even before its chain and number are looked at; and a
//! client that sends bytes that look like a batch does not know the id. The header has a CRC of its
//! own so that a search for the next batch behind damage takes nothing else for one.
//!
//! A record is `kind` (1 byte), `length` (v) of the body, and the body:
//!
//! | kind | body |
//! |---|---|
//! | 1 Message | number v, *content*, CRC-32C of the body so far |
//! | 2 Session | session v, expiry_s v, written v, offline v (0, or time + 1), client id |
//! | 3 Disconnected | session v, expiry_s v, time v |
//! | 4 SessionEnd | session v |
//! | 5 Will | session v, delay_s v, expiry_s v (0, or seconds + 1), *content* |
//! | 6 WillEnd | session v |
//! | 7 Subscribed | session v, options (1 byte), identifier v (0: none), filter |
//! | 8 Unsubscribed | session v, filter |
//! | 9 Queued | session v, order v, nth v, message v, flags (1 byte), *extras*, CRC-32C so far |
//! | 10 InFlight | session v, order v, packet identifier v |
//! | 11 Released | session v, order v |
//! | 12 Acknowledged | session v, order v |
//! | 13 Dropped | session v, order v, reason (1 byte) |
//! | 14 Inbound | session v, packet identifier v, message v that it seals (0: none) |
//! | 15 InboundEnd | session v, packet identifier v |
//! | 16 Retained | version v, message v (0: cleared), topic |
//! | 17 End | number v of the segment in which the log goes on; the last record of a segment |
//! | 18 Closed | nothing; the broker stopped here |
//! | 19 Accepted | first v, last v: the loss of these batches is known (`keep_rest`) |
//! | 20 Numbers | the highest given out so far: message v, session v, retained version v |
//! | 21 AcceptedSegment | v: the loss of this segment is known |
//! | 22 OwnedSession | as Session up to offline, flags (1 byte), client id (v length, bytes), user |
//! | 23 Counts | level (1 byte), and by session: *counts* |
//!
//! An OwnedSession is a Session that is not an anonymous client's; flags: it has a user 1, its
//! rights were granted by a token or a hook 2. A Session has no owner.
//!
//! *counts*: session v (less the one before), `nth` of its last entry v, entries in force v. The
//! levels: see below.
//!
//! *content*: flags (1 byte: QoS in bits 0 and 1, RETAIN 4, expires 8, publisher 16, copied by the
//! cleaner 64), publisher (8 bytes, if flagged), expiry v (a time, if flagged), topic (v length,
//! bytes), properties (v length, bytes), payload.
//!
//! *extras*: with flag 16, Subscription Identifiers: v how many, each v; with flag 32, the rest is
//! `$share/ShareName/filter`. The other flags of Queued: QoS in bits 0 and 1, RETAIN 4, sealed 8,
//! copied by the cleaner 64.
//!
//! `nth` counts the entries that were ever written for a session. Orders have gaps where an entry
//! was void, `nth` has none: that is how a recovery counts what damage took.
//!
//! # What damage took, and how far it is counted
//!
//! Behind a hole each session's next entry, Session or Counts says by `nth` how many of its entries
//! stood there. Counts stand before the other records of their batch, and are about what was
//! written before it (`counts.rs`): a session is counted in a batch behind each entry, or copy of
//! one, again about 64 KiB (or a quarter of a segment) and about a segment behind it, and when the
//! log is closed. All counts together take at most three parts in 32 of what is written; so where
//! many sessions get little, they come a bit later.
//!
//! - *Counted exactly, by session*: what stood in holes, as soon as one of the session's counts, or
//!   anything else that says `nth`, stands behind them. For a hole shorter than a segment that is
//!   when a segment was written behind it, or the log was closed, at the latest.
//! - *Counted, but not by session*: the rest. The batch behind a hole says how many entries stood
//!   in it (`entries`).
//! - *Bounded from above*: an entry that was acknowledged in the hole as well counts as lost, until
//!   Counts say how many are in force; so does one whose seal may have stood in a hole, and all of
//!   a session that ended in it. Of what is not counted by session this is never known.
//! - *Not counted*: what stood in batches of older versions, or in a segment that is missing at
//!   either end of the log (`Damage::is_uncounted`); copies that the cleaner made, until their
//!   session is counted again; and a torn end, which nothing says was ever synced.

pub use crate::broker::{DropReason, Owner, Record, SessionNumber, WillRecord};
