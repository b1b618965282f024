//! Where settings come from, and the gathering of each source into a checked layer.
//!
//! The only place of the configuration that opens a file; the environment and the arguments are
//! handed in, so that tests need no process of their own. Invariant: what stands in `Layers` has
//! passed the schema, everything else is in the list of mistakes.
use super::file;
use super::mistakes::{ConfigErrors, Place};
use super::schema::{Given, KEYS, Key, LISTENER, LISTS, PREFIX, nearest};
use super::settings::{NamedFile, Settings};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// What to load from. The default is: the built-in defaults alone.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The configuration file.
    pub file: Option<ConfigFile>,
    /// All environment variables; those that are not the broker's are passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// `section.key=value`, later ones win.
    pub set: Vec<String>,
    /// Addresses that replace all listeners.
    pub listen: Vec<String>,
    /// Wins over every other `log.level`.
    pub log_level: Option<String>,
}

/// A configuration file, on disk or at hand.
#[derive(Clone, Debug)]
pub enum ConfigFile {
    /// To be read.
    Path(PathBuf),
    /// Read already.
    Text {
        /// What to call it in messages.
        name: String,
        /// What stands in it.
        text: String,
    },
}

/// All sources, checked, not yet merged.
#[derive(Debug, Default)]
pub(super) struct Layers<'a> {
    pub(super) file_name: Option<String>,
    pub(super) file_text: Option<Cow<'a, str>>,
    pub(super) file_listeners: bool,
    /// By the variable's name.
    pub(super) variables: BTreeMap<String, String>,
    /// By path (`section.key`), in the order in which they apply.
    pub(super) arguments: Vec<(String, String)>,
    pub(super) listen: Vec<String>,
    /// Where each setting that was set stands; the source that wins. Those of lists as
    /// `section[0].key`, and each table as `section[0]`.
    pub(super) places: BTreeMap<String, Place>,
}

impl<'a> Layers<'a> {
    pub(super) fn gather(sources: &'a Sources, errors: &mut ConfigErrors) -> Self {
        let mut layers = Self::default();
        if let Some(file) = &sources.file {
            layers.file(file, errors);
        }
        for (name, value) in &sources.environment {
            layers.variable(name, value, errors);
        }
        for text in &sources.set {
            layers.argument(text, errors);
        }
        if let Some(level) = &sources.log_level {
            let place = Place::Argument(format!("--log-level {level}"));
            layers.assign("log.level", level, place, errors);
        }
        for address in &sources.listen {
            layers.listen(address, errors);
        }
        layers
    }

    /// Whether there is a configuration file.
    pub(super) fn has_file(&self) -> bool {
        self.file_name.is_some()
    }

    /// The place to name when no better one is known.
    pub(super) fn whole(&self) -> Place {
        Place::WholeFile(self.file_name.clone().unwrap_or_else(|| "configuration".into()))
    }

    /// Where the first of these paths that was set stands.
    pub(super) fn place(&self, paths: &[&str]) -> Place {
        let place = paths.iter().find_map(|path| self.places.get(*path));
        place.cloned().unwrap_or_else(|| self.whole())
    }

    fn file(&mut self, source: &'a ConfigFile, errors: &mut ConfigErrors) {
        let (name, bytes): (String, Cow<'a, [u8]>) = match source {
            ConfigFile::Text { name, text } => (name.clone(), Cow::Borrowed(text.as_bytes())),
            ConfigFile::Path(path) => {
                let name = path.display().to_string();
                match std::fs::read(path) {
                    Ok(bytes) => (name, Cow::Owned(bytes)),
                    Err(error) => {
                        errors.unreadable = true;
                        return errors.add(Place::WholeFile(name), format!("not read: {error}"));
                    }
                }
            }
        };
        self.file_name = Some(name.clone());
        match into_text(bytes) {
            Ok(text) => {
                if let Some(facts) = file::check(&name, &text, errors) {
                    self.file_listeners = facts.listeners;
                    self.places = facts.places;
                }
                self.file_text = Some(text);
            }
            Err((bytes, at)) => errors.add(file::place(&name, &bytes, at), "this is not UTF-8"),
        }
    }

    fn variable(&mut self, name: &OsString, value: &OsString, errors: &mut ConfigErrors) {
        let name = name.to_string_lossy();
        if !name.starts_with(PREFIX) {
            return;
        }
        let place = Place::Variable(name.clone().into_owned());
        let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
            let names: Vec<_> = settable().map(Key::variable).collect();
            let near = nearest(&name, names.iter().map(String::as_str));
            let hint = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
            return errors.add(place, format!("there is no such setting{hint}"));
        };
        let Some(value) = value.to_str() else {
            return errors.add(place, "its value is not UTF-8");
        };
        if accept(key, value, &place, errors) {
            self.variables.insert(name.into_owned(), value.into());
            self.places.insert(key.path(), place);
        }
    }

    fn argument(&mut self, text: &str, errors: &mut ConfigErrors) {
        let place = |text: &str| Place::Argument(format!("--set {text}"));
        match text.split_once('=') {
            Some((path, value)) => {
                // What was given may hold a secret.
                let secret = KEYS.iter().any(|key| key.is_secret() && key.path() == path);
                let place = if secret { place(&format!("{path}=…")) } else { place(text) };
                self.assign(path, value, place, errors);
            }
            None => errors.add(place(text), "expected --set section.key=value"),
        }
    }

    fn assign(&mut self, path: &str, value: &str, place: Place, errors: &mut ConfigErrors) {
        let Some(key) = KEYS.iter().find(|key| key.path() == path) else {
            let paths: Vec<_> = settable().map(Key::path).collect();
            let near = nearest(path, paths.iter().map(String::as_str));
            let hint = near.map_or(String::new(), |near| format!("; did you mean {near:?}?"));
            return errors.add(place, format!("unknown setting {path:?}{hint}"));
        };
        if accept(key, value, &place, errors) {
            self.arguments.push((key.path(), value.into()));
            self.places.insert(key.path(), place);
        }
    }

    fn listen(&mut self, address: &str, errors: &mut ConfigErrors) {
        let place = Place::Argument(format!("--listen {address}"));
        let key = KEYS.iter().find(|key| key.section == LISTENER && key.name == "address");
        if let Some(Err(message)) = key.map(|key| key.check(Given::Text(address))) {
            errors.add(place, message);
        } else if self.listen.iter().any(|other| other == address) && !address.ends_with(":0") {
            errors.add(place, "this address is there twice");
        } else {
            self.listen.push(address.into());
        }
    }
}

/// What a variable or `--set` can set: a list has no place in either.
fn settable() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|key| !LISTS.contains(&key.section))
}

fn accept(key: &Key, value: &str, place: &Place, errors: &mut ConfigErrors) -> bool {
    if LISTS.contains(&key.section) {
        let message = match key.section {
            LISTENER => "listeners are set in the file or with --listen only".to_owned(),
            list => format!("{list}s are set in the file only"),
        };
        errors.add(place.clone(), message);
        return false;
    }
    match key.check_text(value) {
        Ok(()) => true,
        Err(message) => {
            errors.add(place.clone(), message);
            false
        }
    }
}

/// What is wrong with the files that the settings name, as far as it shows without understanding
/// them; one sentence each. A warning, because the broker may run as another user, or elsewhere.
pub fn file_warnings(settings: &Settings) -> Vec<String> {
    settings.files().into_iter().filter_map(|file| file_warning(&file)).collect()
}

fn file_warning(file: &NamedFile<'_>) -> Option<String> {
    let (setting, path) = (&file.setting, file.path.display());
    let opened = std::fs::File::open(file.path).and_then(|file| file.metadata());
    match opened {
        Err(error) => Some(format!("{setting}: {path} cannot be read: {error}")),
        Ok(data) if !data.is_file() => Some(format!("{setting}: {path} is not a file")),
        Ok(data) if file.secret && data.mode() & 0o004 != 0 => {
            Some(format!("{setting}: everybody on this machine can read {path}"))
        }
        Ok(_) => None,
    }
}

/// Borrowed stays borrowed; an error carries the bytes back, and where they stop being text.
fn into_text(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, str>, (Cow<'_, [u8]>, usize)> {
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes)
            .map(Cow::Borrowed)
            .map_err(|error| (Cow::Borrowed(bytes), error.valid_up_to())),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            (Cow::Owned(error.into_bytes()), at)
        }),
    }
}
