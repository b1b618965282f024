//! The ACL in TOML.
//!
//! May use: `topic`, `toml_edit`. Invariant: a text that is read without a mistake has no word in
//! it that was passed over.
//!
//! # The file
//!
//! ```toml
//! [roles]                              # who has them, by user name
//! admin = ["anna"]
//! device = ["sensor-*"]                # '*' stands for any characters
//!
//! [[rule]]                             # whom a rule concerns:
//! users = ["anna", "bert"]             # these users ("*": all that have a name),
//! roles = ["admin"]                    # and who has one of these roles,
//! anonymous = true                     # and who gave no name
//! client_ids = ["gateway-*"]           # but of them only who has such a Client Identifier
//! publish = ["plant/%u/#"]             # %u: its user name, %c: its Client Identifier
//! subscribe = ["plant/#", "$SYS/#"]
//! deny_publish = ["plant/+/limits"]
//! deny_subscribe = ["plant/secret/#"]
//! ```
//!
//! All keys may be left out, but a rule needs one of the last four. Without `users`, `roles` and
//! `anonymous` it concerns everybody; with `anonymous = false` and no more, everybody who has a
//! name. Roles that a token or a hook gives count as well.
//!
//! # What it means
//!
//! All rules that concern a client add up; where one of them denies, no other allows; what none
//! allows is denied.
//!
//! - PUBLISH: a `publish` filter must match the topic, and no `deny_publish`.
//! - SUBSCRIBE: one `subscribe` filter must match every topic that the requested filter matches;
//!   and no `deny_subscribe` may do so. Of a Shared Subscription the filter behind the ShareName
//!   counts.
//! - A delivery: a `subscribe` filter must match the topic, and no `deny_subscribe`. So of a
//!   subscription a part can be denied.
//!
//! Topics that begin with `$` are matched only by filters that begin with `$`. A filter with `%u`
//! does not concern anonymous clients. A name that is empty, or has `+`, `#` or `/` in it, fills no
//! `%c` or `%u` of a filter that allows something.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml_edit::{Document, Item, TableLike, Value};

use super::rules::{DENY, DENY_PUBLISH, DENY_SUBSCRIBE, Effects, PUBLISH, Rules, SUBSCRIBE};
use super::{AclError, Draft};
use crate::auth::Identity;
use crate::auth::names::{Names, fits, has_names, hint};
use crate::topic::TopicFilter;

/// The keys of a rule that say what it does.
const FILTERS: [(&str, Effects); 4] = [
    ("publish", PUBLISH),
    ("subscribe", SUBSCRIBE),
    ("deny_publish", DENY_PUBLISH),
    ("deny_subscribe", DENY_SUBSCRIBE),
];
const SECTIONS: [&str; 2] = ["roles", "rule"];
const KEYS: [&str; 8] = [
    "users",
    "roles",
    "anonymous",
    "client_ids",
    "publish",
    "subscribe",
    "deny_publish",
    "deny_subscribe",
];

/// Words and patterns, apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Words {
    /// sorted
    exact: Vec<Box<str>>,
    patterns: Vec<Box<str>>,
}

impl Words {
    fn new(words: Vec<&str>) -> Self {
        let (patterns, exact): (Vec<_>, Vec<_>) = words.into_iter().partition(|w| w.contains('*'));
        let boxed = |mut words: Vec<&str>| {
            words.sort_unstable();
            words.dedup();
            words.into_iter().map(Box::from).collect()
        };
        Self { exact: boxed(exact), patterns: boxed(patterns) }
    }

    fn has(&self, word: &str) -> bool {
        self.exact.binary_search_by(|known| (**known).cmp(word)).is_ok()
            || self.patterns.iter().any(|pattern| fits(pattern, word))
    }
}

/// Whom rules concern.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Who {
    users: Option<Words>,
    roles: Option<Words>,
    anonymous: Option<bool>,
    client_ids: Option<Words>,
}

impl Who {
    fn concerns(&self, user: Option<&str>, roles: &[&str], client_id: &str) -> bool {
        if !self.client_ids.as_ref().is_none_or(|ids| ids.has(client_id)) {
            return false;
        }
        if self.users.is_none() && self.roles.is_none() {
            return self.anonymous.is_none_or(|anonymous| anonymous == user.is_none());
        }
        let named = |words: &Words| user.is_some_and(|user| words.has(user));
        let has = |words: &Words| roles.iter().any(|role| words.has(role));
        self.users.as_ref().is_some_and(named)
            || self.roles.as_ref().is_some_and(has)
            || self.anonymous == Some(true) && user.is_none()
    }

    /// The users and roles one of which a client must have; `None`: others may be concerned too.
    fn index(&self) -> Option<[&[Box<str>]; 2]> {
        if self.users.is_none() && self.roles.is_none() || self.anonymous == Some(true) {
            return None;
        }
        let exact = |words: &'_ Option<Words>| words.as_ref().is_none_or(|w| w.patterns.is_empty());
        if !exact(&self.users) || !exact(&self.roles) {
            return None;
        }
        let words = |words| Option::as_ref(words).map_or(&[][..], |words: &Words| &words.exact[..]);
        Some([words(&self.users), words(&self.roles)])
    }
}

/// All rules that concern the same clients.
#[derive(Debug)]
struct Group {
    who: Who,
    /// the filters without names
    plain: Option<Arc<Rules>>,
    /// the others
    named: Vec<(Box<str>, Effects)>,
}

/// A file that was read.
#[derive(Debug, Default)]
pub(super) struct Toml {
    roles: BTreeMap<Box<str>, Words>,
    /// the users named in `roles` without a `*`, and their roles
    roles_of: BTreeMap<Box<str>, Vec<Box<str>>>,
    groups: Vec<Group>,
    by_user: BTreeMap<Box<str>, Vec<u32>>,
    by_role: BTreeMap<Box<str>, Vec<u32>>,
    /// the groups that are found neither way
    others: Vec<u32>,
}

impl Toml {
    pub(super) fn parse(text: &str) -> Result<Self, AclError> {
        let mut reader = Reader::new(text);
        match Document::parse(text) {
            Ok(document) => reader.root(document.as_table()),
            Err(error) => {
                let what = error.message().lines().collect::<Vec<_>>().join("; ");
                reader.mistake(error.span(), format!("not valid TOML: {what}"));
            }
        }
        AclError::of(reader.mistakes)?;
        let mut toml = Self { roles: reader.roles, ..Self::default() };
        for (role, users) in &toml.roles {
            for user in &users.exact {
                toml.roles_of.entry(user.clone()).or_default().push(role.clone());
            }
        }
        for (who, filters) in reader.rules {
            toml.add(who, filters);
        }
        Ok(toml)
    }

    fn add(&mut self, who: Who, filters: Vec<(Box<str>, Effects)>) {
        let id = self.groups.len() as u32;
        match who.index() {
            None => self.others.push(id),
            Some([users, roles]) => {
                for (words, map) in [(users, &mut self.by_user), (roles, &mut self.by_role)] {
                    words.iter().for_each(|word| map.entry(word.clone()).or_default().push(id));
                }
            }
        }
        let (named, plain): (Vec<_>, Vec<_>) = filters.into_iter().partition(|f| has_names(&f.0));
        let plain = (!plain.is_empty()).then(|| Arc::new(Rules::new(&plain)));
        self.groups.push(Group { who, plain, named });
    }

    pub(super) fn has_role(&self, user: Option<&str>, role: &str) -> bool {
        user.is_some_and(|user| self.roles.get(role).is_some_and(|users| users.has(user)))
    }

    fn roles<'a>(&'a self, identity: &'a Identity) -> Vec<&'a str> {
        let mut roles: Vec<&str> = identity.roles.iter().map(|role| &**role).collect();
        if let Some(user) = identity.user.as_deref() {
            roles.extend(self.roles_of.get(user).into_iter().flatten().map(|role| &**role));
            let fit = |users: &Words| users.patterns.iter().any(|pattern| fits(pattern, user));
            roles
                .extend(self.roles.iter().filter(|(_, users)| fit(users)).map(|(role, _)| &**role));
        }
        roles
    }

    pub(super) fn class(&self, draft: &mut Draft, identity: &Identity, client_id: &str) {
        let user = identity.user.as_deref();
        let roles = self.roles(identity);
        let mut ids = self.others.clone();
        ids.extend(user.and_then(|user| self.by_user.get(user)).into_iter().flatten());
        ids.extend(roles.iter().filter_map(|role| self.by_role.get(*role)).flatten());
        ids.sort_unstable();
        ids.dedup();
        let names = Names { user, client_id, may_have_levels: false };
        let (mut stage, mut named) = (Vec::new(), Vec::new());
        for group in ids.into_iter().map(|id| &self.groups[id as usize]) {
            if !group.who.concerns(user, &roles, client_id) {
                continue;
            }
            stage.extend(group.plain.iter().cloned());
            named.extend(group.named.iter().filter_map(|(filter, effects)| {
                let denies = effects & DENY != 0;
                let filled = if denies { names.denying(filter) } else { names.allowing(filter) };
                Some((filled?, *effects))
            }));
        }
        if !named.is_empty() {
            stage.push(Arc::new(Rules::new(&named)));
        }
        draft.stages.push(stage);
    }
}

/// A string, and where it stands.
type Placed<'a> = (Option<Range<usize>>, &'a str);

/// Judges a document.
struct Reader {
    /// where each line but the first begins
    lines: Vec<usize>,
    roles: BTreeMap<Box<str>, Words>,
    rules: BTreeMap<Who, Vec<(Box<str>, Effects)>>,
    mistakes: Vec<(usize, String)>,
}

impl Reader {
    fn new(text: &str) -> Self {
        let lines = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        Self { lines, roles: BTreeMap::new(), rules: BTreeMap::new(), mistakes: Vec::new() }
    }

    fn mistake(&mut self, span: Option<Range<usize>>, what: impl Into<String>) {
        let at = span.map_or(0, |span| span.start);
        let line = self.lines.partition_point(|&begin| begin <= at) + 1;
        self.mistakes.push((line, what.into()));
    }

    fn root(&mut self, root: &dyn TableLike) {
        for (name, item) in root.iter() {
            match name {
                "roles" => match item.as_table_like() {
                    Some(table) => self.roles(table),
                    None => self.mistake(key_span(root, name), "[roles] is a section"),
                },
                "rule" => self.rules(key_span(root, name), item),
                _ => {
                    let hint = hint(name, &SECTIONS);
                    let what = format!("unknown section {name:?}{hint}");
                    self.mistake(key_span(root, name), what);
                }
            }
        }
    }

    fn roles(&mut self, table: &dyn TableLike) {
        for (role, item) in table.iter() {
            let span = key_span(table, role);
            if let Some(users) = self.words(span, role, item) {
                let users = users.into_iter().map(|(_, user)| user).collect();
                self.roles.insert(role.into(), Words::new(users));
            }
        }
    }

    fn rules(&mut self, span: Option<Range<usize>>, item: &Item) {
        if let Some(tables) = item.as_array_of_tables() {
            for table in tables {
                self.rule(table.span(), table);
            }
        } else if let Some(array) = item.as_array() {
            for value in array {
                match value.as_inline_table() {
                    Some(table) => self.rule(value.span(), table),
                    None => self.mistake(value.span(), "each rule is a table"),
                }
            }
        } else {
            self.mistake(span, "rules are a list: write [[rule]] with double brackets");
        }
    }

    fn rule(&mut self, span: Option<Range<usize>>, table: &dyn TableLike) {
        let mut who = Who::default();
        let mut filters = Vec::new();
        let mut says = false;
        for (key, item) in table.iter() {
            let span = key_span(table, key);
            if let Some((_, effects)) = FILTERS.iter().find(|(name, _)| *name == key) {
                says = true;
                for (span, filter) in self.list(span, key, item).into_iter().flatten() {
                    match check(filter) {
                        Ok(()) => filters.push((filter.into(), *effects)),
                        Err(what) => self.mistake(span, format!("{key}: {what}")),
                    }
                }
                continue;
            }
            let words = match key {
                "users" => &mut who.users,
                "roles" => &mut who.roles,
                "client_ids" => &mut who.client_ids,
                "anonymous" => {
                    who.anonymous = item.as_bool();
                    if who.anonymous.is_none() {
                        self.mistake(span, "anonymous is true or false");
                    }
                    continue;
                }
                _ => {
                    let hint = hint(key, &KEYS);
                    self.mistake(span, format!("unknown key {key:?} in a rule{hint}"));
                    continue;
                }
            };
            let list = self.words(span, key, item).unwrap_or_default();
            *words = Some(Words::new(list.into_iter().map(|(_, word)| word).collect()));
        }
        if !says {
            let names = FILTERS.map(|(name, _)| name).join(", ");
            self.mistake(span, format!("this rule says nothing: it needs one of {names}"));
        }
        self.rules.entry(who).or_default().extend(filters);
    }

    /// A list that has something in it.
    fn words<'a>(
        &mut self,
        span: Option<Range<usize>>,
        key: &str,
        item: &'a Item,
    ) -> Option<Vec<Placed<'a>>> {
        let list = self.list(span.clone(), key, item)?;
        if list.is_empty() {
            self.mistake(span, format!("{key}: an empty list is nobody; leave it out"));
        }
        Some(list)
    }

    /// A list of strings, each with its place.
    fn list<'a>(
        &mut self,
        span: Option<Range<usize>>,
        key: &str,
        item: &'a Item,
    ) -> Option<Vec<Placed<'a>>> {
        let Some(array) = item.as_array() else {
            let what = format!("{key} is a list of strings: write {key} = [\"…\"]");
            self.mistake(span, what);
            return None;
        };
        let mut list = Vec::new();
        for value in array {
            match value {
                Value::String(text) => list.push((value.span(), &**text.value())),
                _ => self.mistake(value.span(), format!("{key} is a list of strings")),
            }
        }
        Some(list)
    }
}

fn key_span(table: &dyn TableLike, name: &str) -> Option<Range<usize>> {
    let span = table.key(name).and_then(|key| key.span());
    span.or_else(|| table.get(name).and_then(Item::span))
}

fn check(filter: &str) -> Result<(), String> {
    if filter == "$share" || filter.starts_with("$share/") {
        return Err(format!("{filter:?}: of a Shared Subscription only the filter in it counts"));
    }
    TopicFilter::new(filter).map(drop).map_err(|error| format!("{filter:?}: {error}"))
}
