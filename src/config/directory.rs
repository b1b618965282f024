//! Where the log is when nobody says: the one decision that rests on the environment.
//!
//! Pure functions. Invariant: the setting wins; then the service manager's word; then a place of
//! the user's own; there is always an answer.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::settings::Store;

/// Fills in `store.directory` if it is empty.
pub(super) fn decide(store: &mut Store, environment: &[(OsString, OsString)]) {
    if store.directory.as_os_str().is_empty() {
        store.directory = default_directory(environment);
    }
}

/// `$STATE_DIRECTORY` (the first, if systemd gives several); else `.local/state/stonechat` in
/// `$HOME`; else `data` in the working directory. What is empty is not set.
fn default_directory(environment: &[(OsString, OsString)]) -> PathBuf {
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

#[cfg(test)]
mod tests {
    use super::super::{Settings, Sources};

    #[test]
    fn a_directory_is_found() {
        type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
        let cases: [Case<'_>; 8] = [
            (&[], "", "./data"),
            (&[("HOME", "")], "", "./data"),
            (&[("HOME", "/home/a")], "", "/home/a/.local/state/stonechat"),
            (&[("HOME", "/h"), ("STATE_DIRECTORY", "/var/lib/s")], "", "/var/lib/s"),
            (&[("STATE_DIRECTORY", "/var/lib/s:/var/lib/t")], "", "/var/lib/s"),
            (&[("HOME", "/h"), ("STATE_DIRECTORY", "")], "", "/h/.local/state/stonechat"),
            (&[("HOME", ""), ("STATE_DIRECTORY", ":")], "", "./data"),
            (&[("STATE_DIRECTORY", "/var/lib/s")], "here", "here"),
        ];
        for (environment, set, expected) in cases {
            let sources = Sources {
                environment: environment.iter().map(|(n, v)| (n.into(), v.into())).collect(),
                set: vec![format!("store.directory={set}")],
                ..Sources::default()
            };
            let found = Settings::load(&sources).unwrap().settings.store.directory;
            assert_eq!(found.to_str(), Some(expected), "{environment:?} {set:?}");
        }
    }
}
