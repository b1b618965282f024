//! The pass over a configuration file's text that finds every mistake in it with line and column.
//!
//! The layering itself reads the text again: this pass only judges, because the layering stops at
//! the first mistake and no longer knows where it stood. May use `toml_edit`; reads no file.
//! Invariant: a text that this pass finds no fault with deserializes.
use super::mistakes::{ConfigErrors, Place};
use super::schema::{Given, KEYS, LISTENER, LISTS, nearest};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use toml_edit::{Document, Item, TableLike, Value};

/// What the loader must know of the file beside its values.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Whether it lists listeners.
    pub(super) listeners: bool,
    /// Where each setting stands: `section.key`, in lists `section[0].key`; and each table of a
    /// list, `section[0]`.
    pub(super) places: BTreeMap<String, Place>,
}

/// Judges `text`; `None` if it is no TOML at all.
pub(super) fn check(name: &str, text: &str, errors: &mut ConfigErrors) -> Option<Facts> {
    let mut pass = Pass { name, text, errors, facts: Facts::default(), addresses: BTreeSet::new() };
    match Document::parse(text) {
        Ok(document) => pass.root(document.as_table()),
        Err(error) => {
            let place = pass.place(error.span());
            let message = error.message().lines().collect::<Vec<_>>().join("; ");
            pass.errors.add(place, format!("not valid TOML: {message}"));
            return None;
        }
    }
    Some(pass.facts)
}

/// Where byte `at` of `text` stands.
pub(super) fn place(name: &str, text: &[u8], at: usize) -> Place {
    let before = String::from_utf8_lossy(text.get(..at).unwrap_or(text));
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    Place::File { name: name.into(), line, column }
}

struct Pass<'a> {
    name: &'a str,
    text: &'a str,
    errors: &'a mut ConfigErrors,
    facts: Facts,
    addresses: BTreeSet<String>,
}

impl Pass<'_> {
    fn place(&self, span: Option<Range<usize>>) -> Place {
        place(self.name, self.text.as_bytes(), span.map_or(0, |span| span.start))
    }

    fn key_place(&self, table: &dyn TableLike, name: &str) -> Place {
        let span = table.key(name).and_then(|key| key.span());
        self.place(span.or_else(|| table.get(name).and_then(Item::span)))
    }

    fn root(&mut self, root: &dyn TableLike) {
        for (section, item) in root.iter() {
            let place = self.key_place(root, section);
            if LISTS.contains(&section) {
                self.list(section, place, item);
            } else if !KEYS.iter().any(|key| key.section == section) {
                self.errors.add(place, unknown_section(section));
            } else if let Some(table) = item.as_table_like() {
                self.table(section, section, table);
            } else {
                let message =
                    format!("{section} is a section: write [{section}] on a line of its own");
                self.errors.add(place, format!("{message} and its settings below it"));
            }
        }
    }

    fn list(&mut self, section: &str, place: Place, item: &Item) {
        let tables: Vec<(Place, Option<&dyn TableLike>)> = match item.as_array_of_tables() {
            Some(tables) => tables.iter().map(|t| (self.place(t.span()), Some(t as _))).collect(),
            None => {
                let Some(array) = item.as_array() else {
                    let message = "are a list: write";
                    let message =
                        format!("{section}s {message} [[{section}]] with double brackets");
                    return self.errors.add(place, message);
                };
                let each = |value| -> (Place, Option<&dyn TableLike>) {
                    let table = Value::as_inline_table(value).map(|table| table as _);
                    (self.place(value.span()), table)
                };
                array.iter().map(each).collect()
            }
        };
        for (n, (place, table)) in tables.into_iter().enumerate() {
            let Some(table) = table else {
                self.errors.add(place, format!("each {section} is a table of settings"));
                continue;
            };
            let path = format!("{section}[{n}]");
            self.facts.places.insert(path.clone(), place.clone());
            if section == LISTENER {
                self.listener(place, table);
            }
            self.table(section, &path, table);
        }
    }

    fn listener(&mut self, place: Place, table: &dyn TableLike) {
        self.facts.listeners = true;
        match table.get("address") {
            None => self.errors.add(place, "this listener has no address = \"host:port\""),
            Some(item) => {
                let address = item.as_str().unwrap_or_default();
                let again = !self.addresses.insert(address.to_owned());
                // Port 0 is another port each time.
                if again && !address.is_empty() && !address.ends_with(":0") {
                    let place = self.place(item.span());
                    self.errors.add(place, format!("listener.address: {address:?} is there twice"));
                }
            }
        }
    }

    /// `path` is what its settings' places are called by.
    fn table(&mut self, section: &str, path: &str, table: &dyn TableLike) {
        for (name, item) in table.iter() {
            let place = self.key_place(table, name);
            let key = KEYS.iter().find(|key| key.section == section && key.name == name);
            let Some(key) = key else {
                self.errors.add(place, unknown_key(section, name));
                continue;
            };
            if let Err(message) = key.check(given(item)) {
                let place = self.place(item.span());
                self.errors.add(place, format!("{}: {message}", key.path()));
            } else {
                self.facts.places.insert(format!("{path}.{name}"), place);
            }
        }
    }
}

fn given(item: &Item) -> Given<'_> {
    match item {
        Item::Value(Value::Boolean(value)) => Given::Bool(*value.value()),
        Item::Value(Value::Integer(value)) => Given::Int(*value.value()),
        Item::Value(Value::String(value)) => Given::Text(value.value()),
        Item::Value(Value::Float(_)) => Given::Other("a number with a fraction"),
        Item::Value(Value::Datetime(_)) => Given::Other("a date"),
        Item::Value(Value::Array(_)) => Given::Other("a list"),
        _ => Given::Other("a table"),
    }
}

fn unknown_section(name: &str) -> String {
    if let Some(key) = KEYS.iter().find(|key| key.name == name) {
        return format!("{name:?} stands outside its section [{}]", key.section);
    }
    let hint = hint(name, KEYS.iter().map(|key| key.section));
    format!("unknown section {name:?}{hint}")
}

/// What to say of a key that `section` does not have.
pub(super) fn unknown_key(section: &str, name: &str) -> String {
    let near = nearest(name, KEYS.iter().filter(|key| key.section == section).map(|key| key.name));
    let elsewhere = KEYS.iter().find(|key| key.name == name);
    let hint = match (near, elsewhere) {
        (Some(near), _) => format!("; did you mean {near:?}?"),
        (None, Some(key)) => format!("; it belongs to section [{}]", key.section),
        (None, None) => String::new(),
    };
    format!("unknown setting {name:?} in section [{section}]{hint}")
}

fn hint<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    nearest(word, candidates).map_or(String::new(), |near| format!("; did you mean {near:?}?"))
}
