//! Files that are read again while the broker runs: when they change, and on SIGHUP.
//!
//! Invariant: what is in force changes as a whole, or not at all: a broken new file keeps the old
//! one in force and says so once.

use std::path::PathBuf;

/// What was made of files, and can be made again: passwords, rules, keys, certificates.
pub(crate) trait Watched: Send + Sync {
    /// The files whose change is a reason to read all of them again.
    fn paths(&self) -> Vec<PathBuf>;

    /// Reads them, and puts them in force for who comes from now on. May wait for the disk: it is
    /// called on a thread that may.
    ///
    /// # Errors
    /// What is wrong, with file and line: the old ones stay in force, and the caller logs it.
    fn reload(&self) -> Result<(), String>;
}
