//! Where the log is if no setting says so.
//!
//! May use: the environment, as it is handed in. Invariant: a service manager's own directory comes
//! before a home, and there is always an answer.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// `$STATE_DIRECTORY` (the first, if systemd gives several); else `.local/state/stonechat` in
/// `$HOME`; else `data` in the working directory. What is empty is not set.
pub fn default_directory(environment: &[(OsString, OsString)]) -> PathBuf {
    let value = |name: &str| {
        let found = environment.iter().find(|(key, _)| key == name)?;
        Some(found.1.as_os_str()).filter(|value| !value.is_empty())
    };
    let first = |list: &OsStr| {
        let first = list.as_bytes().split(|byte| *byte == b':').find(|part| !part.is_empty())?;
        Some(PathBuf::from(OsStr::from_bytes(first)))
    };
    let state = value("STATE_DIRECTORY").and_then(first);
    let home = || value("HOME").map(|home| PathBuf::from(home).join(".local/state/stonechat"));
    state.or_else(home).unwrap_or_else(|| PathBuf::from("./data"))
}
