//! Layer 2: where records are kept.
//!
//! What lives here: the log. May use: `broker`'s messages, `codec`, `topic`; files in `disk.rs`
//! alone. Invariant: a sequence number is reported as committed only when all records up to it are
//! as safe as the store makes them.

mod batch;
mod clean;
mod damage;
mod disk;
mod encode;
mod index;
mod log;
mod messages;
mod queue;
mod read;
mod record;
mod recover;
mod replay;
mod spare;
mod staging;
mod state;
mod stored;
mod wire;

pub use damage::{Damage, Hole, SessionLoss};
pub use disk::{DirectoryError, Disk, FileDisk};
pub use index::{Index, IndexCounts};
pub use log::{Clock, Committed, Log, LogCounts, LogError, LogOptions, Sync};
pub use read::{Loaded, LoadedEntries, Reader};
pub use record::{DropReason, Record, SessionNumber, WillRecord};
pub use recover::{
    LogEnd, OnDamage, Opened, Recovered, RecoveredDelivery, RecoveredSession, Resume, open,
};
pub use replay::OpenError;
pub use staging::{Staging, StagingCounts, Taken};
pub use state::{Shared, State};
pub use stored::Numbers;

use crate::broker::{Record as BrokerRecord, Seq};

/// Takes the records of one shard, in order.
pub trait Store {
    /// Takes `records` (and empties the list), the last of which is number `last`. Returns what is
    /// committed already; what is committed later comes as `Input::Committed`.
    fn append(&mut self, records: &mut Vec<BrokerRecord>, last: Seq) -> Option<Seq>;
}

/// Keeps nothing: everything is lost when the process ends.
#[derive(Debug, Default)]
pub struct Memory;

impl Store for Memory {
    fn append(&mut self, records: &mut Vec<BrokerRecord>, last: Seq) -> Option<Seq> {
        records.clear();
        Some(last)
    }
}
