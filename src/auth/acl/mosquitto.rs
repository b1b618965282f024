//! mosquitto's ACL file.
//!
//! May use: `topic`. Invariant: what mosquitto 2.0 allows with a file is allowed, and nothing else,
//! but for the two differences below.
//!
//! # The file
//!
//! ```text
//! # a comment: the '#' is the line's first character
//! topic [read|write|readwrite|deny] FILTER
//! user NAME
//! pattern [read|write|readwrite|deny] FILTER
//! ```
//!
//! `topic` is a rule for the user named before it, or for anonymous clients if none is; `pattern`
//! is one for every client, wherever it stands, with the Client Identifier for `%c` and the user
//! name for `%u`. Without a word before it, a filter may be read and written. Words are separated
//! by spaces, not by tabs; with a word before it, a filter may contain spaces. Blanks at the end of
//! a line are no part of it.
//!
//! # What it means
//!
//! SUBSCRIBE is granted. To publish and to receive, a client's own rules come first, then the
//! patterns; among each of them `deny` first, wherever it stands. What no rule matches is denied.
//! `$` topics are matched only by filters that begin with `$`. A rule with `%u` does not concern
//! anonymous clients. If there is any pattern, a client with `+` or `#` in one of its names may do
//! no more than its own rules allow.
//!
//! Stricter than mosquitto 2.0 (and as 2.1): an empty name fills no `%c` or `%u` that allows
//! something, and a name that begins with `$` lets nobody in to the topics that begin so. As 2.0,
//! `%c` and `%u` may be parts of a level, and a name may contain `/`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rules::{DENY, Effects, PUBLISH, Rules, SUBSCRIBE};
use super::{AclError, Draft, Verdict};
use crate::auth::names::{Names, has_names, hint, is_wild};
use crate::topic::TopicFilter;

/// What may stand before a filter.
const ACCESSES: [(&str, Effects); 4] =
    [("read", SUBSCRIBE), ("write", PUBLISH), ("readwrite", BOTH), ("deny", DENY)];
const BOTH: Effects = PUBLISH | SUBSCRIBE;

/// A file that was read.
#[derive(Debug)]
pub(super) struct Mosquitto {
    anonymous: Option<Arc<Rules>>,
    users: BTreeMap<Box<str>, Arc<Rules>>,
    has_patterns: bool,
    /// the patterns without names
    plain: Option<Arc<Rules>>,
    /// the others
    named: Vec<(Box<str>, Effects)>,
}

impl Mosquitto {
    pub(super) fn parse(text: &str) -> Result<Self, AclError> {
        let mut reader = Reader::default();
        for (n, line) in text.split('\n').enumerate() {
            if let Err(what) = reader.line(line) {
                reader.mistakes.push((n + 1, what));
            }
        }
        AclError::of(reader.mistakes)?;
        let rules = |list: Vec<_>| (!list.is_empty()).then(|| Arc::new(Rules::new(&list)));
        let has_patterns = !reader.patterns.is_empty();
        let (named, plain) = reader.patterns.into_iter().partition(|(topic, _)| has_names(topic));
        let own = |(user, list): (&str, Vec<_>)| Some((user.into(), rules(list)?));
        Ok(Self {
            anonymous: rules(reader.anonymous),
            users: reader.users.into_iter().filter_map(own).collect(),
            has_patterns,
            plain: rules(plain),
            named: named.into_iter().map(|(topic, effects)| (topic.into(), effects)).collect(),
        })
    }

    pub(super) fn class(&self, draft: &mut Draft, user: Option<&str>, client_id: &str) {
        // Who is asked is told what the client reads, not what it might happen to be sent.
        draft.subscribes = draft.unsettled == Verdict::Denied;
        let own = match user {
            None => self.anonymous.as_ref(),
            Some(user) => self.users.get(user),
        };
        draft.stages.extend(own.map(|rules| vec![Arc::clone(rules)]));
        if !self.has_patterns {
            return;
        }
        if is_wild(client_id) || user.is_some_and(is_wild) {
            draft.unsettled = Verdict::Denied;
            return;
        }
        let names = Names { user, client_id, may_have_levels: true };
        let fill = |(topic, effects): &(Box<str>, Effects)| {
            let filled =
                if *effects == DENY { names.denying(topic) } else { names.allowing(topic) };
            Some((filled?, *effects))
        };
        let named: Vec<_> = self.named.iter().filter_map(fill).collect();
        let mut stage: Vec<_> = self.plain.iter().cloned().collect();
        if !named.is_empty() {
            stage.push(Arc::new(Rules::new(&named)));
        }
        draft.stages.push(stage);
    }
}

/// What the lines so far said.
#[derive(Default)]
struct Reader<'a> {
    user: Option<&'a str>,
    anonymous: Vec<(&'a str, Effects)>,
    users: BTreeMap<&'a str, Vec<(&'a str, Effects)>>,
    patterns: Vec<(&'a str, Effects)>,
    mistakes: Vec<(usize, String)>,
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a str) -> Result<(), String> {
        let line = line.trim_end_matches(is_blank);
        if line.starts_with('#') {
            return Ok(());
        }
        let Some((word, rest)) = word(line) else { return Ok(()) };
        match word {
            "topic" => {
                let rule = rule(rest)?;
                match self.user {
                    None => self.anonymous.push(rule),
                    Some(user) => self.users.entry(user).or_default().push(rule),
                }
            }
            "pattern" => self.patterns.push(rule(rest)?),
            "user" => match rest.trim_matches(is_blank) {
                "" => return Err("a user name is missing".to_owned()),
                name => self.user = Some(name),
            },
            _ if word.starts_with('#') => {
                return Err("a comment must begin at the start of its line".to_owned());
            }
            _ => {
                let hint = hint(word, &["topic", "pattern", "user"]);
                return Err(format!(
                    "a line begins with topic, pattern or user, not {word:?}{hint}"
                ));
            }
        }
        Ok(())
    }
}

/// What stands behind `topic` or `pattern`.
fn rule(rest: &str) -> Result<(&str, Effects), String> {
    let (first, rest) = word(rest).ok_or("a topic is missing")?;
    let (topic, effects) = match rest {
        "" => (first, BOTH),
        topic => {
            let access = ACCESSES.iter().find(|(name, _)| *name == first);
            let Some((_, effects)) = access else {
                let hint = hint(first, &ACCESSES.map(|(name, _)| name));
                return Err(format!("read, write, readwrite or deny, not {first:?}{hint}"));
            };
            (topic.trim_matches(is_blank), *effects)
        }
    };
    match TopicFilter::new(topic) {
        Ok(_) => Ok((topic, effects)),
        Err(error) => Err(format!("{topic:?}: {error}")),
    }
}

/// The first word, and what stands behind the space that ends it.
fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches(' ');
    match text.split_once(' ') {
        _ if text.is_empty() => None,
        Some(both) => Some(both),
        None => Some((text, "")),
    }
}

/// What the C library calls a space.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}
