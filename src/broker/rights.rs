//! Who a session belongs to, and what its client may do.
//!
//! Clients with equal rights are of one *class*. A shard keeps each class once, under a key that is
//! never given to another one; the most common, the open one, has none, and nothing is checked for
//! it. What a class may is asked once per topic and remembered where it is needed: who may receive,
//! in the list of receivers that the match cache holds; who may publish, beside that list, by
//! class. So a delivery checks nothing.
//!
//! May use: `auth`. Invariant: what is remembered of a class is forgotten when the class of a
//! session changes ([`Broker::set_rights`]) or the rules do ([`Broker::on_acl`]): by changes of
//! the filters that it concerns, or under a new key.

use std::cell::Cell;
use std::hash::BuildHasher;
use std::sync::Arc as StdArc;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use super::index::InterestIndex;
use super::inflight::Stage;
use super::input::{Effects, LinkKey, SessionKey};
use super::key::{Arena, Key};
use super::link::{CLASSED, PACED};
use super::record::{DropReason, Owner};
use super::session::{Queued, Session};
use super::{Broker, Message, Refusal, Time, refusal};
use crate::auth::Identity;
use crate::auth::acl::{Acl, Class, Verdict};
use crate::auth::quota::{Bucket, Quota, Quotas};
use crate::codec::ReasonCode;
use crate::topic::TopicName;

/// How many verdicts stand beside a list of receivers.
const VERDICTS_MAX: usize = 3;
/// What a change of class makes stale is found filter by filter for so many, else all is forgotten.
const FILTERS_MAX: usize = 64;

/// Names a class.
pub(super) type ClassKey = Key<Interned>;

/// A class, and how many sessions are of it.
#[derive(Debug)]
pub(super) struct Interned {
    class: Class,
    sessions: usize,
}

/// Whose a session is and what its client may, where that is not: an anonymous client's, and
/// everything.
#[derive(Debug)]
pub(super) struct Rights {
    pub(super) identity: StdArc<Identity>,
    /// what a token or a hook granted before a restart is not known: everything is kept for the
    /// session, and looked at when its client comes
    granted_before: bool,
    /// `None`: it may everything
    pub(super) class: Option<ClassKey>,
    pub(super) pace: Option<Box<Pace>>,
}

/// A quota, and how much of it is used.
#[derive(Debug)]
pub(super) struct Pace {
    pub(super) quota: StdArc<Quota>,
    pub(super) bucket: Bucket,
}

/// The rules, and the classes that they made.
#[derive(Debug)]
pub(super) struct Rules {
    acl: StdArc<Acl>,
    quotas: StdArc<Quotas>,
    classes: Arena<Interned>,
    by_class: HashTable<ClassKey>,
    hasher: FixedState,
}

/// Verdicts on publishing to one topic, by class: the newest few.
#[derive(Debug, Default)]
pub(super) struct Verdicts(Cell<[Option<(ClassKey, Verdict)>; VERDICTS_MAX]>);

impl Verdicts {
    fn of(&self, class: ClassKey) -> Option<Verdict> {
        self.0.get().into_iter().flatten().find(|(known, _)| *known == class).map(|(_, v)| v)
    }

    fn note(&self, class: ClassKey, verdict: Verdict) {
        let mut all = self.0.get();
        all.rotate_right(1);
        all[0] = Some((class, verdict));
        self.0.set(all);
    }
}

impl Rules {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            acl: StdArc::new(Acl::open()),
            quotas: StdArc::default(),
            classes: Arena::default(),
            by_class: HashTable::new(),
            hasher: FixedState::with_seed(seed),
        }
    }

    /// Whether everybody may everything.
    pub(super) fn are_open(&self) -> bool {
        self.classes.is_empty()
    }

    /// The class of a client that comes.
    pub(super) fn class_of(&self, identity: &Identity, client_id: &str) -> Class {
        self.acl.class(identity, client_id)
    }

    /// The key of a class, which one more session is of; `None` for the open one.
    fn enter(&mut self, class: &Class) -> Option<ClassKey> {
        if class.is_open() {
            return None;
        }
        let hash = self.hasher.hash_one(class);
        let classes = &self.classes;
        let same = |key: &ClassKey| classes.get(*key).is_some_and(|known| known.class == *class);
        if let Some(&key) = self.by_class.find(hash, same) {
            if let Some(known) = self.classes.get_mut(key) {
                known.sessions += 1;
            }
            return Some(key);
        }
        let key = self.classes.insert(Interned { class: class.clone(), sessions: 1 });
        let (classes, hasher) = (&self.classes, &self.hasher);
        self.by_class.insert_unique(hash, key, |key| {
            classes.get(*key).map_or(0, |known| hasher.hash_one(&known.class))
        });
        Some(key)
    }

    /// One session less is of this class.
    pub(super) fn leave(&mut self, class: Option<ClassKey>) {
        let Some(key) = class else { return };
        let Some(known) = self.classes.get_mut(key) else { return };
        known.sessions -= 1;
        if known.sessions > 0 {
            return;
        }
        let hash = self.hasher.hash_one(&known.class);
        if let Ok(entry) = self.by_class.find_entry(hash, |other| *other == key) {
            entry.remove();
        }
        self.classes.remove(key);
    }

    /// Whether a session of this class may get messages with this topic.
    pub(super) fn may_receive(&self, class: Option<ClassKey>, topic: TopicName<'_>) -> bool {
        let known = class.and_then(|key| self.classes.get(key));
        known.is_none_or(|known| known.class.may_receive(topic))
    }

    /// Whether one may publish, where `verdicts` remembers.
    pub(super) fn may_publish(
        &self,
        class: Option<ClassKey>,
        topic: TopicName<'_>,
        verdicts: &Verdicts,
    ) -> Verdict {
        let Some(key) = class else { return Verdict::Allowed };
        if let Some(verdict) = verdicts.of(key) {
            return verdict;
        }
        let verdict = self.get(class).map_or(Verdict::Allowed, |class| class.may_publish(topic));
        verdicts.note(key, verdict);
        verdict
    }

    /// The class with this key.
    pub(super) fn get(&self, class: Option<ClassKey>) -> Option<&Class> {
        class.and_then(|key| self.classes.get(key)).map(|known| &known.class)
    }

    pub(super) fn shrink(&mut self) {
        self.classes.shrink();
        let (classes, hasher) = (&self.classes, &self.hasher);
        self.by_class.shrink_to(self.by_class.len(), |key| {
            classes.get(*key).map_or(0, |known| hasher.hash_one(&known.class))
        });
    }

    /// Panics unless each class is of so many sessions.
    pub(super) fn check<'a>(&self, sessions: impl Iterator<Item = &'a Session>) {
        let mut counts = std::collections::BTreeMap::new();
        for key in sessions.filter_map(Session::class) {
            *counts.entry(key).or_insert(0) += 1;
        }
        assert_eq!(self.classes.len(), counts.len(), "classes without a session");
        assert_eq!(self.by_class.len(), counts.len(), "names of classes");
        for (key, count) in counts {
            assert_eq!(self.classes.get(key).map(|known| known.sessions), Some(count), "a class");
        }
    }
}

impl Broker {
    /// Who the client of a link is; nobody, if the link is gone.
    pub fn identity_of(&self, link: LinkKey) -> StdArc<Identity> {
        let session = self.links.get(link).and_then(|l| self.sessions.get(l.session));
        let rights = session.and_then(|s| s.rights.as_ref());
        rights.map(|rights| StdArc::clone(&rights.identity)).unwrap_or_default()
    }
}

impl Session {
    /// Its class; `None`: it may everything.
    pub(super) fn class(&self) -> Option<ClassKey> {
        self.rights.as_ref().and_then(|rights| rights.class)
    }

    /// The user that it belongs to.
    pub(super) fn user(&self) -> Option<&str> {
        self.rights.as_ref().and_then(|rights| rights.identity.user.as_deref())
    }

    /// The quota that it is under.
    pub(super) fn quota(&self) -> Option<&Quota> {
        self.rights.as_ref().and_then(|rights| rights.pace.as_ref()).map(|pace| &*pace.quota)
    }

    /// What the log is told of whose it is.
    pub(super) fn owner(&self) -> Owner {
        let Some(rights) = &self.rights else { return Owner::default() };
        let Identity { user, roles, grants, asks } = &*rights.identity;
        let granted = rights.granted_before || *asks || grants.is_some() || !roles.is_empty();
        Owner { user: user.clone(), granted }
    }

    /// What has to be checked of its packets, for its link.
    pub(super) fn checks(&self) -> u8 {
        let Some(rights) = &self.rights else { return 0 };
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        flag(rights.class.is_some(), CLASSED) | flag(rights.pace.is_some(), PACED)
    }
}

/// What the CONNECT of another user is told.
const NOT_ITS_OWN: Refusal = Refusal {
    reason: ReasonCode::NotAuthorized,
    what: "the session with this Client Identifier is another user's",
};

impl Broker {
    /// A session is its user's: another one may not take it over, not even to end it. One of an
    /// anonymous client is anonymous clients': a user may have rights elsewhere that those have
    /// not, but none to what is theirs. `takeover_by_other_users` lifts all that.
    pub(super) fn check_owner(
        &self,
        now: Time,
        client_id: &str,
        identity: &Identity,
    ) -> Result<(), Refusal> {
        if self.limits.takeover_by_other_users {
            return Ok(());
        }
        let session = self.find_session(client_id).and_then(|key| self.sessions.get(key));
        match session.filter(|s| s.ends_at() > now) {
            Some(s) if s.user() != identity.user.as_deref() => Err(NOT_ITS_OWN),
            _ => Ok(()),
        }
    }

    /// A session's client is who it is from now on.
    pub(super) fn set_rights(
        &mut self,
        now: Time,
        session: SessionKey,
        identity: &StdArc<Identity>,
        class: &Class,
        index: &impl InterestIndex,
    ) {
        let Some(s) = self.sessions.get_mut(session) else { return };
        let quota = self.rules.quotas.of(identity.user.as_deref(), &s.client_id);
        let was = s.class();
        let class = self.rules.enter(class);
        let nothing = class.is_none() && quota.is_none() && **identity == Identity::default();
        // Who comes back has not more to spend than before.
        let before = s.rights.take().and_then(|rights| rights.pace);
        let pace = quota.map(|quota| match before {
            Some(pace) if pace.quota == quota => pace,
            _ => Box::new(Pace { quota, bucket: Bucket::new(now.0) }),
        });
        let (identity, granted_before) = (StdArc::clone(identity), false);
        s.rights = (!nothing).then(|| Box::new(Rights { identity, granted_before, class, pace }));
        self.rights_changed(session, was, index);
        self.rules.leave(was);
    }

    /// The same after a restart, from what the log knew.
    pub(super) fn restore_rights(
        &mut self,
        now: Time,
        session: SessionKey,
        owner: Owner,
        index: &impl InterestIndex,
    ) {
        let identity = StdArc::new(Identity { user: owner.user, ..Identity::default() });
        let Some(s) = self.sessions.get(session) else { return };
        let class = match owner.granted {
            true => Acl::open().class(&identity, &s.client_id),
            false => self.rules.class_of(&identity, &s.client_id),
        };
        self.set_rights(now, session, &identity, &class, index);
        let Some(s) = self.sessions.get_mut(session) else { return };
        match &mut s.rights {
            Some(rights) => rights.granted_before = owner.granted,
            None if owner.granted => {
                let (class, granted_before, pace) = (None, true, None);
                s.rights = Some(Box::new(Rights { identity, granted_before, class, pace }));
            }
            None => {}
        }
    }

    /// What depends on a session's class, after that was another one.
    fn rights_changed(
        &mut self,
        session: SessionKey,
        was: Option<ClassKey>,
        index: &impl InterestIndex,
    ) {
        let Some(s) = self.sessions.get_mut(session) else { return };
        if let Some(l) = s.link.and_then(|link| self.links.get_mut(link)) {
            l.checks = s.checks();
        }
        if s.class() == was {
            return;
        }
        s.recheck |= s.has_more() || s.outbound.len() > 0;
        if let Some(link) = s.link {
            self.forget_answers(link);
        }
        let Some(s) = self.sessions.get(session) else { return };
        match s.subscriptions.len() {
            0..=FILTERS_MAX => self.subscriptions.forget_matches_of(&s.subscriptions, index),
            _ => self.subscriptions.forget_matches(),
        }
    }

    /// New rules: every session has its class anew. What clients have subscribed to stays; what
    /// they may no longer receive is not sent.
    pub(super) fn on_acl(&mut self, now: Time, acl: StdArc<Acl>, index: &impl InterestIndex) {
        self.rules.acl = acl;
        self.subscriptions.forget_matches();
        for session in self.all_sessions() {
            let Some(s) = self.sessions.get(session) else { continue };
            let nobody = StdArc::default();
            let identity = s.rights.as_ref().map_or(&nobody, |rights| &rights.identity);
            if s.rights.as_ref().is_some_and(|rights| rights.granted_before) {
                continue;
            }
            let class = self.rules.class_of(identity, &s.client_id);
            if class.is_open() && s.class().is_none() {
                continue;
            }
            let identity = StdArc::clone(identity);
            self.set_rights(now, session, &identity, &class, index);
        }
    }

    /// New quotas. A client that is under another one now has that from its start.
    pub(super) fn on_quotas(
        &mut self,
        now: Time,
        quotas: StdArc<Quotas>,
        index: &impl InterestIndex,
    ) {
        self.rules.quotas = quotas;
        for session in self.all_sessions() {
            let Some(s) = self.sessions.get(session) else { continue };
            let nobody = StdArc::default();
            let identity = s.rights.as_ref().map_or(&nobody, |rights| &rights.identity);
            if self.rules.quotas.of(identity.user.as_deref(), &s.client_id).as_deref() == s.quota()
            {
                continue;
            }
            let granted = s.rights.as_ref().is_some_and(|rights| rights.granted_before);
            let (identity, open) = (StdArc::clone(identity), Acl::open());
            let class = self.rules.get(s.class()).cloned();
            let class = class.unwrap_or_else(|| open.class(&identity, &s.client_id));
            self.set_rights(now, session, &identity, &class, index);
            if let Some(rights) = self.sessions.get_mut(session).and_then(|s| s.rights.as_mut()) {
                rights.granted_before = granted;
            }
        }
        self.relieve_all();
    }

    fn all_sessions(&self) -> Vec<SessionKey> {
        self.sessions.iter().map(|(key, _)| key).collect()
    }

    /// Whether a session may get messages with this topic now.
    pub(super) fn may_receive(&self, session: SessionKey, topic: TopicName<'_>) -> bool {
        self.rules.are_open()
            || self.sessions.get(session).is_none_or(|s| self.rules.may_receive(s.class(), topic))
    }

    /// Why a message whose turn has come is not sent: it has expired \[MQTT-3.3.2-5\], or the
    /// session's class was another one when it came.
    pub(super) fn is_not_for(
        &mut self,
        session: SessionKey,
        entry: &Queued,
        expired: bool,
    ) -> Option<DropReason> {
        if expired {
            self.counters.dropped_expired += 1;
            return Some(DropReason::Expired);
        }
        let recheck = self.sessions.get(session).is_some_and(|s| s.recheck);
        if !recheck || self.may_receive(session, entry.message.topic()) {
            return None;
        }
        self.counters.dropped_not_receivable += 1;
        Some(DropReason::NotAuthorized)
    }

    /// Of what is under way to a client that comes back, it gets again what it may still receive.
    /// QoS 2 goes on as it was: the client may hold the Packet Identifier, and would take the next
    /// message under it for this one.
    pub(super) fn recheck_in_flight(&mut self, session: SessionKey, fx: &mut Effects) {
        let Some(s) = self.sessions.get(session).filter(|s| s.recheck) else { return };
        let gone = |message: &Message| !self.rules.may_receive(s.class(), message.topic());
        let gone: Vec<_> = s
            .outbound
            .iter()
            .filter(|(_, e)| e.stage == Stage::Publish1 && e.message.as_ref().is_some_and(gone))
            .map(|(id, _)| id)
            .collect();
        for id in gone {
            self.counters.dropped_not_receivable += 1;
            self.complete(session, id, Some(DropReason::NotAuthorized), fx);
        }
        if let Some(s) = self.sessions.get_mut(session) {
            s.recheck = !s.queue.is_empty();
        }
    }

    /// What may be published as a Will is settled when it comes: `Ask` is asked
    /// when the client is in.
    pub(super) fn check_will(topic: Option<TopicName<'_>>, class: &Class) -> Result<bool, Refusal> {
        match topic.map(|topic| class.may_publish(topic)) {
            None | Some(Verdict::Allowed) => Ok(false),
            Some(Verdict::Ask) => Ok(true),
            Some(Verdict::Denied) => {
                Err(refusal(ReasonCode::NotAuthorized, "a Will that it may not publish"))
            }
        }
    }

    /// Whether a session's Will may still be published: the rules may be others since it came.
    pub(super) fn may_publish_will(&self, session: SessionKey, topic: TopicName<'_>) -> bool {
        let class = self.sessions.get(session).and_then(Session::class);
        self.rules.get(class).is_none_or(|class| class.may_publish(topic) != Verdict::Denied)
    }

    /// How many retained messages the publisher may have, if that is limited.
    pub(super) fn retained_max(&self, publisher: Option<SessionKey>) -> usize {
        let session = publisher.and_then(|key| self.sessions.get(key));
        match session.and_then(Session::quota).map_or(0, |quota| quota.retained_messages_max) {
            0 => usize::MAX,
            max => max,
        }
    }

    /// How many bytes may wait for a session.
    pub(super) fn queued_bytes_max_of(&self, s: &Session) -> usize {
        let own = s.quota().map_or(0, |quota| quota.queued_bytes_max);
        match own {
            0 => self.limits.queued_bytes_max,
            own => own.min(self.limits.queued_bytes_max),
        }
    }

    /// How many subscriptions a session may have.
    pub(super) fn subscriptions_max_of(&self, s: &Session) -> usize {
        let own = s.quota().map_or(0, |quota| quota.subscriptions_max);
        match own {
            0 => self.limits.subscriptions_per_session_max,
            own => own.min(self.limits.subscriptions_per_session_max),
        }
    }

    fn forget_answers(&mut self, link: LinkKey) {
        if let Some(l) = self.links.get_mut(link) {
            l.forget_answers();
        }
    }
}
