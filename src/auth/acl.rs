//! What a client may do, by topic: rules of a file, a token or a hook.
//!
//! May use: `topic`, and what reads TOML and makes digests. Invariant: a [`Class`] answers the same
//! question always alike, and equal classes answer all questions alike.
//!
//! # Where the rules come from
//!
//! - No file ([`Acl::open`]): everybody may do everything.
//! - mosquitto's ACL file ([`Acl::from_mosquitto`]): as mosquitto reads it. SUBSCRIBE is granted;
//!   PUBLISH and every delivery are checked by topic.
//! - TOML ([`Acl::from_toml`]): rules that add up; denied at SUBSCRIBE as well.
//! - A client's own grants, of a token or a hook, replace the file for it. They are rules as in
//!   TOML.
//!
//! What none of them settles is denied, or for an identity that `asks`: asked ([`Verdict::Ask`]),
//! when it publishes and when it subscribes. Deliveries are never asked for: what was granted at
//! SUBSCRIBE is delivered, unless a rule denies its topic. So with mosquitto's file and a hook, a
//! SUBSCRIBE is granted only if a rule allows to read all of the filter, and else asked.

mod mosquitto;
mod rules;
mod toml;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use aws_lc_rs::digest;

use self::mosquitto::Mosquitto;
use self::rules::{DENY_PUBLISH, DENY_SUBSCRIBE, Effects, PUBLISH, Rules, SUBSCRIBE, bytes_of};
use self::toml::Toml;
use super::{Grants, Identity};
use crate::topic::{TopicFilter, TopicName};

pub use self::rules::covers;

/// What is to be done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allowed,
    /// It may not.
    Denied,
    /// Whoever decides is elsewhere (the HTTP hook): only for an identity that `asks`.
    Ask,
}

/// What is wrong with an ACL file: its first mistake, and the others. `Display` gives a line for
/// each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclError {
    /// line, from 1
    pub line: usize,
    /// what is wrong there
    pub what: String,
    /// the mistakes behind the first one, without any behind them
    pub more: Vec<AclError>,
}

impl AclError {
    /// Each mistake's line, and what it is, in the order of the lines.
    pub fn mistakes(&self) -> impl Iterator<Item = (usize, &str)> {
        let first = std::iter::once((self.line, &*self.what));
        first.chain(self.more.iter().map(|error| (error.line, &*error.what)))
    }

    /// `Err` if there is a mistake.
    fn of(mut mistakes: Vec<(usize, String)>) -> Result<(), Self> {
        mistakes.sort();
        let mut mistakes =
            mistakes.into_iter().map(|(line, what)| Self { line, what, more: Vec::new() });
        match mistakes.next() {
            None => Ok(()),
            Some(first) => Err(Self { more: mistakes.collect(), ..first }),
        }
    }
}

impl fmt::Display for AclError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)?;
        self.more.iter().try_for_each(|error| write!(f, "\n{error}"))
    }
}

impl std::error::Error for AclError {}

/// The rules of an ACL file, or none. Immutable.
#[derive(Debug)]
pub struct Acl {
    file: File,
    /// who may read `$SYS`; none: everybody
    sys_roles: Vec<Arc<str>>,
    /// the class of nearly everybody where there is no file
    open: Class,
}

#[derive(Debug)]
enum File {
    None,
    Mosquitto(Mosquitto),
    Toml(Toml),
}

impl Default for Acl {
    fn default() -> Self {
        Self::open()
    }
}

impl Acl {
    /// Without a file: everybody may do everything.
    pub fn open() -> Self {
        Self::of(File::None)
    }

    /// Reads mosquitto's ACL file.
    ///
    /// # Errors
    ///
    /// Every line that is none, with its number.
    pub fn from_mosquitto(text: &str) -> Result<Self, AclError> {
        Mosquitto::parse(text).map(File::Mosquitto).map(Self::of)
    }

    /// Reads an ACL in TOML.
    ///
    /// # Errors
    ///
    /// Every mistake in it, with its line.
    pub fn from_toml(text: &str) -> Result<Self, AclError> {
        Toml::parse(text).map(File::Toml).map(Self::of)
    }

    fn of(file: File) -> Self {
        let open = Draft { unsettled: Verdict::Allowed, ..Draft::default() }.finish();
        Self { file, sys_roles: Vec::new(), open }
    }

    /// Leaves `$SYS` to clients with one of these roles, by the file, a token or a hook; to
    /// everybody, if there are none. For them the rules still decide, as for any topic.
    #[must_use]
    pub fn with_sys_roles(self, roles: &[Arc<str>]) -> Self {
        Self { sys_roles: roles.to_vec(), ..self }
    }

    /// What the client may do that entered as `identity` with `client_id`.
    pub fn class(&self, identity: &Identity, client_id: &str) -> Class {
        let user = identity.user.as_deref();
        let may_read_sys = |role: &Arc<str>| {
            identity.roles.contains(role)
                || matches!(&self.file, File::Toml(file) if file.has_role(user, role))
        };
        let mut draft = Draft {
            sys_hidden: !self.sys_roles.is_empty() && !self.sys_roles.iter().any(may_read_sys),
            unsettled: if identity.asks { Verdict::Ask } else { Verdict::Denied },
            ..Draft::default()
        };
        match (&identity.grants, &self.file) {
            (Some(grants), _) => draft.grant(grants),
            (None, File::None) if !identity.asks && !draft.sys_hidden => return self.open.clone(),
            (None, File::None) if !identity.asks => draft.unsettled = Verdict::Allowed,
            (None, File::None) => {}
            (None, File::Mosquitto(file)) => file.class(&mut draft, user, client_id),
            (None, File::Toml(file)) => file.class(&mut draft, identity, client_id),
        }
        draft.finish()
    }
}

/// What one client, or many, may do. Cheap to clone and to compare. Of one [`Acl`], clients whom
/// the same rules concern have equal classes, unless a rule names them by `%c` or `%u`.
#[derive(Clone)]
pub struct Class(Arc<Rights>);

struct Rights {
    /// The first stage with a rule that matches decides; in a stage, to deny wins.
    stages: Box<[Box<[Arc<Rules>]>]>,
    /// what is not settled by a rule
    unsettled: Verdict,
    /// every SUBSCRIBE is granted, and deliveries are checked alone
    subscribes: bool,
    sys_hidden: bool,
    /// of all this
    digest: [u8; 32],
}

/// Rights that are not finished.
struct Draft {
    stages: Vec<Vec<Arc<Rules>>>,
    unsettled: Verdict,
    subscribes: bool,
    sys_hidden: bool,
}

impl Default for Draft {
    fn default() -> Self {
        let stages = Vec::new();
        Self { stages, unsettled: Verdict::Denied, subscribes: false, sys_hidden: false }
    }
}

impl Draft {
    fn grant(&mut self, grants: &Grants) {
        let publish = grants.publish.iter().map(|filter| (filter, PUBLISH));
        let subscribe = grants.subscribe.iter().map(|filter| (filter, SUBSCRIBE));
        let rules: Vec<_> = publish.chain(subscribe).collect();
        self.stages.push(vec![Arc::new(Rules::new(&rules))]);
    }

    fn finish(self) -> Class {
        let mut context = digest::Context::new(&digest::SHA256);
        for stage in &self.stages {
            context.update(&(stage.len() as u32).to_le_bytes());
            stage.iter().for_each(|rules| context.update(rules.digest()));
        }
        let flags = [self.unsettled as u8, self.subscribes.into(), self.sys_hidden.into()];
        context.update(&flags);
        let digest = bytes_of(context);
        let Self { stages, unsettled, subscribes, sys_hidden } = self;
        let stages = stages.into_iter().map(Vec::into_boxed_slice).collect();
        Class(Arc::new(Rights { stages, unsettled, subscribes, sys_hidden, digest }))
    }
}

impl Class {
    /// Whether everything is allowed, so that nothing need be checked.
    pub fn is_open(&self) -> bool {
        let rights = &*self.0;
        rights.stages.is_empty() && rights.unsettled == Verdict::Allowed && !rights.sys_hidden
    }

    /// Whether it may publish to `topic`.
    pub fn may_publish(&self, topic: TopicName<'_>) -> Verdict {
        self.settle(PUBLISH, DENY_PUBLISH, |rules| rules.of_topic(topic))
    }

    /// Whether a message of `topic` may be delivered to it. For an identity that `asks`, what no
    /// rule settles may: it was asked at SUBSCRIBE.
    pub fn may_receive(&self, topic: TopicName<'_>) -> bool {
        if self.0.sys_hidden && is_sys(topic.as_str()) {
            return false;
        }
        let verdict = self.settle(SUBSCRIBE, DENY_SUBSCRIBE, |rules| rules.of_topic(topic));
        verdict != Verdict::Denied
    }

    /// Whether it may subscribe to `filter`; of a Shared Subscription, the filter in it. It may if
    /// one rule allows all of it and none denies all of it; what is denied of a part of it is not
    /// delivered.
    pub fn may_subscribe(&self, filter: TopicFilter<'_>) -> Verdict {
        if self.0.sys_hidden && is_sys(filter.as_str()) {
            return Verdict::Denied;
        }
        if self.0.subscribes {
            return Verdict::Allowed;
        }
        self.settle(SUBSCRIBE, DENY_SUBSCRIBE, |rules| rules.of_filter(filter))
    }

    fn settle(&self, allows: Effects, denies: Effects, ask: impl Fn(&Rules) -> Effects) -> Verdict {
        for stage in &self.0.stages {
            let effects = stage.iter().fold(0, |effects, rules| effects | ask(rules));
            if effects & denies != 0 {
                return Verdict::Denied;
            }
            if effects & allows != 0 {
                return Verdict::Allowed;
            }
        }
        self.0.unsettled
    }
}

fn is_sys(topic: &str) -> bool {
    topic.strip_prefix("$SYS").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl PartialEq for Class {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.digest == other.0.digest
    }
}

impl Eq for Class {}

impl Hash for Class {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Nobody finds names for which these are alike.
        state.write(&self.0.digest[..16]);
    }
}

impl fmt::Debug for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0.digest;
        write!(f, "Class({a:02x}{b:02x}{c:02x}{d:02x})")
    }
}

#[cfg(test)]
mod tests;
