//! Exchanges of links that authenticate again (section 4.12.1), between two of their packets.
//!
//! Invariant: so many at most, and none for longer than [`KEPT`]: a client that does not answer
//! leaves nothing behind.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Exchange;
use crate::broker::{LinkKey, ShardId};

/// Exchanges at a time.
const EXCHANGES_MAX: usize = 4096;
/// How long a client may take for its answer.
const KEPT: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Again {
    exchanges: BTreeMap<(u8, LinkKey), (Exchange, Instant)>,
}

impl Again {
    /// Keeps a link's exchange; false if there are too many.
    pub(super) fn put(
        &mut self,
        shard: ShardId,
        link: LinkKey,
        exchange: Exchange,
        now: Instant,
    ) -> bool {
        if self.exchanges.len() >= EXCHANGES_MAX {
            self.exchanges.retain(|_, (_, until)| *until > now);
        }
        let room = self.exchanges.len() < EXCHANGES_MAX;
        if room {
            self.exchanges.insert((shard.0, link), (exchange, now + KEPT));
        }
        room
    }

    /// The link's exchange, which is not there a second time.
    pub(super) fn take(&mut self, shard: ShardId, link: LinkKey, now: Instant) -> Option<Exchange> {
        let (exchange, until) = self.exchanges.remove(&(shard.0, link))?;
        (until > now).then_some(exchange)
    }
}
