//! Where the log is when nobody says: the one decision that rests on the environment.
//!
//! Pure functions. Invariant: the setting wins; then the service manager's word; then a place of
//! the user's own.
use super::settings::Store;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Fills in `store.directory` if it is empty: the first of `$STATE_DIRECTORY`, which systemd sets;
/// else `.local/state/stonechat` in `$HOME`; else `data` where the process was started.
pub(super) fn decide(store: &mut Store, environment: &[(OsString, OsString)]) {
    if !store.directory.is_empty() {
        return;
    }
    let variable = |wanted: &str| {
        let found = environment.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_os_str()).filter(|value| !value.is_empty())
    };
    let text = |path: &OsStr| path.to_string_lossy().into_owned();
    store.directory = match (variable("STATE_DIRECTORY"), variable("HOME")) {
        // It may list several.
        (Some(state), _) => text(state).split(':').next().unwrap_or_default().to_owned(),
        (None, Some(home)) => text(Path::new(home).join(".local/state/stonechat").as_os_str()),
        (None, None) => "./data".to_owned(),
    };
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, Sources};

    #[test]
    fn a_directory_is_found() {
        type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
        let cases: [Case<'_>; 6] = [
            (&[], "", "./data"),
            (&[("HOME", "")], "", "./data"),
            (&[("HOME", "/home/a")], "", "/home/a/.local/state/stonechat"),
            (&[("HOME", "/h"), ("STATE_DIRECTORY", "/var/lib/s")], "", "/var/lib/s"),
            (&[("STATE_DIRECTORY", "/var/lib/s:/var/lib/t")], "", "/var/lib/s"),
            (&[("STATE_DIRECTORY", "/var/lib/s")], "here", "here"),
        ];
        for (environment, set, expected) in cases {
            let sources = Sources {
                environment: environment.iter().map(|(n, v)| (n.into(), v.into())).collect(),
                set: vec![format!("store.directory={set}")],
                ..Sources::default()
            };
            let found = Settings::load(&sources).unwrap().settings.store.directory;
            assert_eq!(found, expected, "{environment:?} {set:?}");
        }
    }
}
