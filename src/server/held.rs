//! Output that waits for more of its kind.
//!
//! A thousand publishers that are ready at once come in portions (see `server/poller.rs`), and each
//! portion has something for the same few subscribers. To write to those behind each portion costs
//! the system's work as often, so whoever is being filled waits for the next portions, if there are
//! any; answers to the publishers do not wait, nor does whoever gets one packet of each portion.
//!
//! May use: the shard. Invariants: nothing is held while nothing else is ready, nor for more than
//! [`HELD_PASSES_MAX`] passes, which all read at once what is there; what is held is written before
//! its link ends.

use super::shard::Shard;
use crate::broker::{LinkKey, shrink_list};
use crate::store::Store;

/// For how many passes output is held back (measured: 2 gain half as much, 8 no more).
const HELD_PASSES_MAX: u32 = 4;

/// Whose output is held back.
#[derive(Debug, Default)]
pub(super) struct Held {
    links: Vec<LinkKey>,
    /// Since the first of them came.
    passes: u32,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Gives memory back when things are quiet.
    pub(super) fn shrink(&mut self) {
        shrink_list(&mut self.links);
    }
}

impl<S: Store> Shard<S> {
    /// Holds the output of `link` back if more is likely to come for it at once. Returns whether it
    /// is held.
    pub(super) fn hold(&mut self, link: LinkKey) -> bool {
        let hold = self.more_is_ready && self.fx.sends.is_filling(link);
        if hold {
            self.fx.sends.hold(link, true);
            self.held.links.push(link);
        }
        hold
    }

    /// Writes what was held back long enough, or is enough.
    pub(super) fn write_held(&mut self) {
        if self.held.is_empty() {
            return;
        }
        self.held.passes += 1;
        let all = !self.more_is_ready || self.held.passes >= HELD_PASSES_MAX;
        let mut links = std::mem::take(&mut self.held.links);
        links.retain(|&link| {
            let stays = !all && self.fx.sends.is_filling(link);
            if !stays {
                self.fx.sends.hold(link, false);
                self.flush(link);
            }
            stays
        });
        if links.is_empty() {
            self.held.passes = 0;
        }
        self.held.links = links;
    }
}
