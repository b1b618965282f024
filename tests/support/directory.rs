//! A directory of a test's own.

use std::fs;
use std::path::PathBuf;

/// Gone when the test ends.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    /// Nothing is in it; `name` is one test's.
    pub(crate) fn empty(name: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
