//! Questions that somebody else decides: what the hook says of a topic, and authentication again
//! (section 4.12.1). And the end of what a client was let in with.
//!
//! A PUBLISH or SUBSCRIBE that nobody here can decide is not taken: its link is not read until the
//! answer is there, then the packet is handed in again and finds it. So the order of packets is
//! kept, and at most one question of a link is under way.
//!
//! Invariant: an answer is for the packet that was asked for, or young enough
//! (`Limits::hook_cache_ms`), and never for other rules than those it was given under. Of a
//! SUBSCRIBE that is handed in again only those filters are decided anew whose answers were for
//! other packets and are too old now.

use std::sync::Arc as StdArc;

use super::connect::WillIs;
use super::index::InterestIndex;
use super::input::{Answer, Effects, LinkKey, Question, Request};
use super::link::{Hold, Link};
use super::rights::ClassKey;
use super::session::Session;
use super::timers::Timer;
use super::{Broker, Common, Refusal, Time, refusal};
use crate::auth::Identity;
use crate::auth::acl::Verdict;
use crate::codec::{Auth, Packet, Publish, ReasonCode, Subscribe};
use crate::topic::TopicName;

/// So many answers are remembered for a link.
const ANSWERS_MAX: usize = 32;

/// What a link's input waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// a topic or a filter
    Topic(About),
    /// whether its Will may be published
    Will,
    /// authentication again
    Reauthentication,
}

/// What an answer is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum About {
    Publish(Box<str>),
    Subscribe(Box<str>),
}

/// Whether it may.
#[derive(Clone, Copy, Debug)]
struct Answered {
    may: bool,
    /// for how long that counts
    until: Time,
}

/// What was answered.
#[derive(Debug)]
struct Known {
    about: About,
    answered: Answered,
    /// it counts for the packet that is handed in again, however long that takes
    awaited: bool,
}

/// Which filters of a SUBSCRIBE are decided, from the first one on.
#[derive(Debug, Default)]
struct Decided {
    all: Vec<Answered>,
    /// of which the answer is waited for: the next one, or one whose answer has grown too old
    asked_at: usize,
}

/// What only links have whose client was authenticated by a method, has to go at some time, or is
/// asked for: a few.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// Authentication Method
    method: Option<Box<str>>,
    /// the client answers next: its AUTH is to be 0x18
    under_way: bool,
    /// when its right to be here ends; `None`: it does not
    ends: Option<Time>,
    asked: Option<Asked>,
    /// the oldest first, at most `ANSWERS_MAX`
    answers: Vec<Known>,
    /// of the packet that is handed in again, if it is a SUBSCRIBE
    decided: Decided,
}

impl Rare {
    fn answer(&self, now: Time, about: &About) -> Option<Answered> {
        let fits =
            |known: &&Known| known.about == *about && (known.awaited || now < known.answered.until);
        let Known { answered, awaited, .. } = self.answers.iter().find(fits)?;
        let until = if *awaited { Time::NEVER } else { answered.until };
        Some(Answered { until, ..*answered })
    }

    fn remember(&mut self, about: About, answered: Answered) {
        self.answers.retain(|known| known.about != about);
        // One question of a link is under way: the answer before this one has served.
        self.answers.iter_mut().for_each(|known| known.awaited = false);
        if self.answers.len() >= ANSWERS_MAX {
            self.answers.remove(0);
        }
        self.answers.push(Known { about, answered, awaited: true });
    }

    /// The packet that was handed in again is taken.
    fn packet_taken(&mut self) {
        self.decided = Decided::default();
        self.answers.iter_mut().for_each(|known| known.awaited = false);
    }

    /// Other rules hold.
    fn forget(&mut self) {
        self.decided = Decided::default();
        self.answers.clear();
    }
}

impl Link {
    /// Its client was let in by this method, until then.
    pub(super) fn admit(&mut self, method: Option<&str>, ends: Time) {
        if method.is_some() || ends != Time::NEVER {
            let rare = self.rare_or_new();
            rare.method = method.map(Into::into);
            rare.ends = Some(ends).filter(|ends| *ends != Time::NEVER);
        }
    }

    /// When it ends, whatever it does.
    pub(super) fn ends(&self) -> Time {
        self.rare().and_then(|rare| rare.ends).unwrap_or(Time::NEVER)
    }

    /// Whether it is not known yet that its Will may be published.
    pub(super) fn is_will_asked(&self) -> bool {
        self.rare().is_some_and(|rare| rare.asked == Some(Asked::Will))
    }

    /// Other rules hold for it.
    pub(super) fn forget_answers(&mut self) {
        if let Some(rare) = self.rare_mut() {
            rare.forget();
        }
    }

    /// Asserts that few answers are remembered.
    pub(super) fn check_answers(&self) {
        assert!(self.rare().is_none_or(|rare| rare.answers.len() <= ANSWERS_MAX), "answers");
    }
}

impl Broker {
    /// Whether the link's client may do that; `None`: it is asked, and the packet is not taken.
    fn settle(
        &mut self,
        now: Time,
        link: LinkKey,
        verdict: Verdict,
        about: impl FnOnce() -> About,
        fx: &mut Effects,
    ) -> Option<Answered> {
        if verdict != Verdict::Ask {
            let (may, until) = (verdict == Verdict::Allowed, Time::NEVER);
            return Some(Answered { may, until });
        }
        let about = about();
        let l = self.links.get(link)?;
        let known = l.rare().and_then(|rare| rare.answer(now, &about));
        if known.is_none() {
            let question = match &about {
                About::Publish(topic) => Question::Publish(topic.clone()),
                About::Subscribe(filter) => Question::Subscribe(filter.clone()),
            };
            self.ask(link, Asked::Topic(about), question, fx);
        }
        known
    }

    /// The link's input waits for the answer.
    pub(super) fn ask(
        &mut self,
        link: LinkKey,
        asked: Asked,
        question: Question,
        fx: &mut Effects,
    ) {
        let Some(l) = self.links.get_mut(link) else { return };
        l.hold(Hold::Asked, true);
        l.rare_or_new().asked = Some(asked);
        self.counters.asked += 1;
        fx.sends.hold_reads(link, true);
        fx.requests.push(Request::Ask { link, question });
    }

    /// Whether a PUBLISH may be taken; `None`: it is asked for.
    pub(super) fn may_publish(
        &mut self,
        now: Time,
        link: LinkKey,
        topic: TopicName<'_>,
        verdict: Verdict,
        fx: &mut Effects,
    ) -> Option<bool> {
        let about = || About::Publish(topic.as_str().into());
        self.settle(now, link, verdict, about, fx).map(|answered| answered.may)
    }

    /// Which filters of a SUBSCRIBE may be subscribed to; `None`: one of them is asked for.
    pub(super) fn may_subscribe(
        &mut self,
        now: Time,
        link: LinkKey,
        class: Option<ClassKey>,
        packet: &Subscribe<'_>,
        fx: &mut Effects,
    ) -> Option<Vec<bool>> {
        let rare = self.links.get_mut(link).and_then(Link::rare_mut);
        let decided = rare.map(|rare| std::mem::take(&mut rare.decided)).unwrap_or_default();
        let Decided { mut all, asked_at } = decided;
        // What was asked for comes first: another question would let its answer grow old.
        for at in std::iter::once(asked_at).chain(0..packet.filters.len()) {
            if all.get(at).is_some_and(|answered| now < answered.until) {
                continue;
            }
            let Some((filter, _)) = packet.filters.get(at) else { continue };
            let filter = filter.filter;
            let verdict =
                self.rules.get(class).map_or(Verdict::Allowed, |c| c.may_subscribe(filter));
            let about = || About::Subscribe(filter.as_str().into());
            let Some(answered) = self.settle(now, link, verdict, about, fx) else {
                self.links.get_mut(link)?.rare_or_new().decided = Decided { all, asked_at: at };
                return None;
            };
            match all.get_mut(at) {
                Some(old) => *old = answered,
                None => all.push(answered),
            }
        }
        self.packet_taken(link);
        Some(all.into_iter().map(|answered| answered.may).collect())
    }

    /// What was asked for this packet has served.
    pub(super) fn packet_taken(&mut self, link: LinkKey) {
        if let Some(rare) = self.links.get_mut(link).and_then(Link::rare_mut) {
            rare.packet_taken();
        }
    }

    /// The packet that is being handled counts as not read: it is handed in again when the link is
    /// read again.
    pub(super) fn leave_packet(
        &mut self,
        link: LinkKey,
        publish: Option<&Publish<'_>>,
        fx: &mut Effects,
    ) {
        self.counters.packets_received -= 1;
        if let Some(p) = publish {
            self.counters.publish_received -= 1;
            self.counters.publish_bytes_received -= p.payload.len() as u64;
            if let (Some(_), Some(l)) = (p.packet_id, self.links.get_mut(link)) {
                l.inbound_used = l.inbound_used.saturating_sub(1);
            }
        }
        fx.sends.hold_reads(link, true);
        fx.sends.leave(link);
    }

    /// The answer that a link's input waited for.
    pub(super) fn on_answer(
        &mut self,
        now: Time,
        link: LinkKey,
        answer: Answer,
        common: &mut impl Common,
        fx: &mut Effects,
    ) {
        let rare = self.links.get_mut(link).and_then(Link::rare_mut);
        let Some(rare) = rare.filter(|rare| fits(rare.asked.as_ref(), &answer)) else {
            self.counters.stale_inputs += 1;
            return;
        };
        let asked = rare.asked.take();
        let may = answer == Answer::Allowed(true);
        let mut done = Ok(());
        match asked {
            Some(Asked::Topic(about)) => {
                let until = now.plus_ms(self.limits.hook_cache_ms);
                rare.remember(about, Answered { may, until });
            }
            Some(Asked::Will) if !may => {
                self.counters.dropped_not_authorized += 1;
                self.discard_will(link, fx);
                done = Err(refusal(ReasonCode::NotAuthorized, "a Will that it may not publish"));
            }
            Some(Asked::Will) | None => {}
            Some(Asked::Reauthentication) => {
                done = self.reauthenticated(now, link, answer, common.interests(), fx);
            }
        }
        if let Err(why) = done {
            return self.fail(now, link, why, common, fx);
        }
        if let Some(l) = self.links.get_mut(link) {
            l.hold(Hold::Asked, false);
            fx.sends.hold_reads(link, l.reads_held());
        }
    }

    fn discard_will(&mut self, link: LinkKey, fx: &mut Effects) {
        if let Some(session) = self.links.get(link).map(|l| l.session) {
            self.take_will(session, fx);
        }
    }

    /// AUTH of the client: it authenticates again (section 4.12.1).
    pub(super) fn on_auth(
        &mut self,
        link: LinkKey,
        auth: &Auth<'_>,
        fx: &mut Effects,
    ) -> Result<(), Refusal> {
        let wrong = |what| refusal(ReasonCode::ProtocolError, what);
        let Some(l) = self.links.get_mut(link) else { return Ok(()) };
        let ready = l.ready;
        let Some((method, rare)) = l.rare_mut().and_then(|rare| Some((rare.method.clone()?, rare)))
        else {
            return Err(wrong("AUTH without an Authentication Method in CONNECT [MQTT-4.12.0-7]"));
        };
        if auth.method != Some(&*method) {
            return Err(wrong("AUTH with another Authentication Method [MQTT-4.12.1-1]"));
        }
        let first = auth.reason == ReasonCode::ReAuthenticate;
        if first == rare.under_way || !ready {
            return Err(wrong("AUTH with a reason code out of turn (section 4.12.1)"));
        }
        rare.under_way = true;
        let data = auth.data.unwrap_or_default().into();
        let question = Question::Reauthenticate { method, data, first };
        self.ask(link, Asked::Reauthentication, question, fx);
        Ok(())
    }

    fn reauthenticated(
        &mut self,
        now: Time,
        link: LinkKey,
        answer: Answer,
        index: &impl InterestIndex,
        fx: &mut Effects,
    ) -> Result<(), Refusal> {
        let no = |what| refusal(ReasonCode::NotAuthorized, what);
        let (reason, data) = match answer {
            Answer::Continue(data) => (ReasonCode::ContinueAuthentication, data),
            Answer::Authenticated { data, identity, ends } => {
                let session = self.links.get(link).and_then(|l| self.sessions.get(l.session));
                if session.and_then(Session::user) != identity.user.as_deref() {
                    return Err(no("it authenticated again, as another user"));
                }
                self.renew(now, link, &identity, ends, index);
                (ReasonCode::Success, data)
            }
            _ => return Err(no("it authenticated again, without success [MQTT-4.12.1-2]")),
        };
        let Some(l) = self.links.get_mut(link) else { return Ok(()) };
        let rare = l.rare_or_new();
        rare.under_way = reason == ReasonCode::ContinueAuthentication;
        let method = rare.method.clone();
        let data = Some(&*data).filter(|data| !data.is_empty());
        let auth = Auth { reason, method: method.as_deref(), data, ..Auth::default() };
        self.send(link, &Packet::Auth(auth), fx);
        Ok(())
    }

    /// The client's rights and their end, anew.
    fn renew(
        &mut self,
        now: Time,
        link: LinkKey,
        identity: &StdArc<Identity>,
        ends: Time,
        index: &impl InterestIndex,
    ) {
        let Some(l) = self.links.get_mut(link) else { return };
        l.rare_or_new().ends = Some(ends).filter(|ends| *ends != Time::NEVER);
        self.timers.arm(ends, Timer::Ends(link));
        let session = l.session;
        let Some(s) = self.sessions.get(session) else { return };
        let class = self.rules.class_of(identity, &s.client_id);
        self.set_rights(now, session, identity, &class, index);
    }

    /// The client's right to be here has ended, if it was not renewed.
    pub(super) fn on_ends(
        &mut self,
        now: Time,
        link: LinkKey,
        common: &mut impl Common,
        fx: &mut Effects,
    ) {
        if self.links.get(link).is_some_and(|l| l.ends() <= now) {
            self.counters.closed_at_end += 1;
            let what = "what it was let in with is no longer valid";
            self.fail(now, link, refusal(ReasonCode::NotAuthorized, what), common, fx);
        }
    }

    /// How the Will of a link that ends goes: one that nobody has allowed goes nowhere.
    pub(super) fn will_of(l: &Link, will: WillIs) -> WillIs {
        if l.is_will_asked() { WillIs::Discarded } else { will }
    }
}

/// Whether it is an answer to what was asked.
fn fits(asked: Option<&Asked>, answer: &Answer) -> bool {
    match asked {
        None => false,
        Some(Asked::Reauthentication) => !matches!(answer, Answer::Allowed(_)),
        Some(_) => matches!(answer, Answer::Allowed(_) | Answer::Failed),
    }
}
