//! What the committer and the reader share: the index, and the open files.
//!
//! May use: the index. Invariant: a file stays readable for as long as somebody who found a place
//! in it here holds it: it is not written anew before.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::content::Timeline;
use super::index::{Index, IndexCounts};

/// A segment's file.
pub(super) struct LogFile<F> {
    pub(super) file: Arc<F>,
    pub(super) bytes: u64,
}

/// See the module.
pub struct State<F> {
    pub(super) index: Index,
    pub(super) files: BTreeMap<u32, LogFile<F>>,
    pub(super) timeline: Timeline,
}

impl<F> State<F> {
    pub(super) fn new(seed: u64) -> Self {
        Self { index: Index::new(seed), files: BTreeMap::new(), timeline: Timeline::default() }
    }

    pub(super) fn add_file(&mut self, number: u32, file: Arc<F>, bytes: u64) {
        self.files.insert(number, LogFile { file, bytes });
    }

    /// How much is in force.
    pub fn counts(&self) -> IndexCounts {
        self.index.counts()
    }
}

/// A way to the one [`State`]: the server's is a lock, the simulator's a cell. Nobody holds it
/// while reading or writing files, nor longer than a few hundred records take.
pub trait Shared<F> {
    /// Runs `f` on the state, alone.
    fn with<R>(&self, f: impl FnOnce(&mut State<F>) -> R) -> R;
}

impl<F> Shared<F> for RefCell<State<F>> {
    fn with<R>(&self, f: impl FnOnce(&mut State<F>) -> R) -> R {
        f(&mut self.borrow_mut())
    }
}

impl<F, S: Shared<F>> Shared<F> for Arc<S> {
    fn with<R>(&self, f: impl FnOnce(&mut State<F>) -> R) -> R {
        (**self).with(f)
    }
}

impl<F, S: Shared<F>> Shared<F> for Rc<S> {
    fn with<R>(&self, f: impl FnOnce(&mut State<F>) -> R) -> R {
        (**self).with(f)
    }
}

const SUFFIX: &str = ".log";

/// The file of a segment.
pub(super) fn segment_name(number: u32) -> String {
    format!("{number:010}{SUFFIX}")
}

/// The segment of a file, if it is one.
pub(super) fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(SUFFIX)?;
    let number = digits.parse().ok().filter(|number| *number > 0)?;
    (segment_name(number) == name).then_some(number)
}
