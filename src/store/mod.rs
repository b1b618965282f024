//! Layer 2: where records are kept.
//!
//! What lives here: the log. May use: `broker`'s messages, `codec`, `topic`; files in `disk.rs`
//! alone. Invariant: a sequence number is reported as committed only when all records up to it are
//! as safe as the store makes them.
//!
//! # Who calls what, where, under which lock
//!
//! *At the start* (any thread): [`FileDisk::open`] takes the directory; [`open`] reads the log, and
//! makes one if there is none. It gives [`Recovered`] for the brokers, and a [`State`], which the
//! caller puts behind a lock of its own, with a type that implements [`Shared`] (a `Mutex` in the
//! server, a `RefCell` in a simulator). Then [`Log::new`] for the committer and [`Reader::new`] for
//! the reader, each with a way to that state. Until `Log::new` has returned nothing is written.
//! The brokers go on counting above [`Recovered::numbers`] (sessions, versions) and above each
//! session's `next_order`.
//!
//! *A shard, at the end of a pass*, under the lock of the one [`Staging`]: [`Staging::push`] with
//! the pass's records, before the pass's messages to other shards are sent: so what another shard
//! writes because of them comes later, or in the same batch. The numbers that come back in `void`
//! are as good as committed. Then the committer is woken.
//!
//! *The committer* (one thread; it owns the [`Log`]; [`Writer`] does all of this but the waiting):
//! in a loop, [`Staging::take`] under that lock; [`Log::commit`] without it, with [`Sync::Now`] if
//! [`Taken::wants_sync`] (the log takes the state's lock for short moments, and never while it
//! writes or syncs); then each shard gets its `Committed`. Meanwhile the next batch gathers. After
//! each batch, [`Log::maintain`] with a budget, and when there is nothing to commit as long as it
//! says that there is more to do. Where nobody waits for a sync, commit with [`Sync::Later`]; each
//! shard gets its `Written`, and after [`Log::sync`], when the interval is over, or the next
//! [`Sync::Now`] its `Committed`. At the end [`Log::close`].
//!
//! - [`LogError::Full`]: nothing of the batch counts. Under the staging's lock,
//!   [`Staging::put_back`] (it may void more, of any shard), then [`Staging::take_freeing`] and
//!   commit that (each shard is told of [`Committed::ahead`] as of void records); if it is `Full`
//!   too, put it back as well. Tell the brokers; go on with `maintain`, and try again after a
//!   while.
//! - Any other error: nothing is acknowledged any more, ever ([`Log::poison`] says why).
//!
//! *The reader* (one thread, or more): [`Reader::load`], for a request of a broker. It waits for
//! the disk without a lock.
//!
//! # What the brokers have to keep to
//!
//! - A [`SessionNumber`] is given once. A session's first record is `Session`; it is restated at
//!   each connect (that ends being disconnected); after `SessionEnd` nothing of that number
//!   follows. Orders of a session rise by 1, and it pushes its records in order, from one shard.
//! - `Queued` before `InFlight` before `Released` before `Acknowledged` or `Dropped`, that once.
//! - An entry with `sealed: false` is pushed before the `Inbound` that seals its message is: that
//!   is, the publisher's shard waits for the receipts first. What has no seal when the log is
//!   opened is dropped, the client that it was in flight to included: so an unsealed entry of QoS 2
//!   should not be sent before it is sealed.
//! - Versions of retained messages rise over all shards; those of one topic may be pushed the wrong
//!   way round only as far as passes overlap.
//! - `Message::number` is the log's: nobody else sets it.
//!
//! # The parts
//!
//! `record`: records, and the grammar of the format · `staging`, `ahead` · `writer`, `log`,
//! `spare`, `clean`: the committer's · `encode`, `stored`, `content`, `options`, `batch`, `wire`:
//! bytes · `index`, `queue`, `messages`: what is in force, and where · `read`, `restored` ·
//! `replay`, `recover`, `damage`: opening · `counts`: so that damage can be counted · `inspect`,
//! `dump`: for the command line · `disk`.

mod ahead;
mod batch;
mod clean;
mod content;
mod counts;
mod damage;
mod disk;
mod dump;
mod encode;
mod index;
pub mod inspect;
mod log;
mod messages;
mod options;
mod owner;
mod queue;
mod read;
mod record;
mod recover;
mod replay;
mod restored;
mod spare;
mod staging;
mod state;
mod stored;
mod wire;
mod writer;

pub use damage::{Damage, Hole, SessionLoss};
pub use disk::{DirectoryError, Disk, FileDisk, LogFile};
pub use index::{Index, IndexCounts};
pub use log::{Clock, Committed, Log, LogCounts, LogError, LogOptions, Sync};
pub use read::{Loaded, LoadedEntries, Reader};
pub use record::{DropReason, Owner, Record, SessionNumber, WillRecord};
pub use recover::{
    LogEnd, OnDamage, Opened, Recovered, RecoveredDelivery, RecoveredSession, Resume, open,
};
pub use replay::OpenError;
pub use staging::{Staging, StagingCounts, Taken};
pub use state::{Shared, State};
pub use stored::Numbers;
pub use writer::{StagingPlace, Told, Writer};

use crate::broker::Seq;

/// Takes the records of one shard, in order.
pub trait Store {
    /// Takes `records` (and empties the list), the last of which is number `last`; `sync`: one of
    /// them, or of those before, is waited for until it is safe, not only written. Appends to
    /// `void` those that need not be waited for any longer (`Input::Void`): their entry came to its
    /// end before they were written. Returns what is committed already; what is committed later
    /// comes as `Input::Committed`.
    ///
    /// To be called before messages to other shards are sent that were made with these records:
    /// what they cause there must come behind them in the log. The records of one call are written
    /// together or not at all.
    fn append(
        &mut self,
        records: &mut Vec<Record>,
        last: Seq,
        sync: bool,
        void: &mut Vec<Seq>,
    ) -> Option<Seq>;
}

/// Keeps nothing: everything is lost when the process ends.
#[derive(Debug, Default)]
pub struct Memory;

impl Store for Memory {
    fn append(
        &mut self,
        records: &mut Vec<Record>,
        last: Seq,
        _: bool,
        _: &mut Vec<Seq>,
    ) -> Option<Seq> {
        records.clear();
        Some(last)
    }
}
