//! What has to be on the log together though several shards record it: a publication that counts
//! on all of them or on none, and the end of a session whose shared messages go elsewhere.
//!
//! A QoS 2 publication of a persistent session, with durable receivers on other shards, is recorded
//! there as not sealed, and each shard says so in its receipt. When all receipts are in, the
//! publisher's shard records its Packet Identifier and the seal in one: a crash before that leaves
//! nothing that counts, and the publisher sends it again; after it, everything counts, and the
//! identifier is known. An entry is not sent at QoS 2 before its seal.
//!
//! A Will is gone, and a session that ended is gone, for the log only once others have recorded
//! what goes from it to them. Invariants: nothing of a session is recorded after its end; a seal
//! that another shard waits for is always sent.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc as StdArc;

use super::input::{
    Effects, PeerMessage, ReceiptFor, ReceiptWhen, SealKey, SessionKey, ShardId, WaitKey,
};
use super::key::{Arena, Key};
use super::load::Unread;
use super::message::Message;
use super::pending::Wait;
use super::publication::Publication;
use super::record::{DropReason, Record, SessionNumber};
use super::session::Session;
use super::{Broker, Seq, Time};
use crate::codec::{PacketId, QoS};

/// What this shard kept of a publication whose seal has not come yet.
#[derive(Debug, Default)]
pub struct Seal {
    sealed: bool,
    /// how many entries of queues, and in flight, name it
    entries: u32,
    /// sessions with entries that may wait for it
    sessions: Vec<SessionKey>,
    /// shared messages of sessions that ended meanwhile: they go to other members afterwards
    reroutes: Vec<((EndingKey, u64), StdArc<str>, Message)>,
}

/// An entry's way to its seal; most need none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SealRef(u32);

impl SealRef {
    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }

    fn index(self) -> Option<usize> {
        (self.0 as usize).checked_sub(1)
    }
}

pub(super) type EndingKey = Key<Ending>;

/// How far the log is with the ends of a client's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndUnderWay {
    /// it knows of all
    None,
    /// this record is not committed
    Recorded(Seq),
    /// one cannot be recorded yet
    ToCome,
}

/// The client of a session, whether or not it has outlived a newer one.
fn whose(client_id: &StdArc<str>) -> StdArc<str> {
    let outlived = client_id.strip_prefix('\0').and_then(|rest| rest.split_once('\0'));
    outlived.map_or_else(|| StdArc::clone(client_id), |(_, client_id)| client_id.into())
}

/// A session that has ended, and that the log does not know of yet.
#[derive(Debug)]
pub(super) struct Ending {
    session: SessionKey,
    number: SessionNumber,
    /// whose it was
    client_id: StdArc<str>,
    /// a newer session of that client whose end waits for this one's
    newer: Option<EndingKey>,
    /// an identifier that its client does not use
    unused: PacketId,
    /// what is still to happen before; waiting for others goes from the sessions that ended later
    /// to those that ended before, so nobody waits in a circle
    pending: u32,
    /// publications that are sealed by its end, and where they are kept
    seals: Vec<(Message, Vec<(ShardId, SealKey)>)>,
    /// its entries that are on their way to others
    rerouted: Vec<u64>,
    /// entries that are on the log alone, which `pending` counts as one
    unread: Option<Unread>,
}

/// What happens once all receipts are in.
#[derive(Debug)]
pub(super) struct Then {
    number: SessionNumber,
    session: SessionKey,
    message: Message,
    /// where entries wait for the seal
    kept: Vec<(ShardId, SealKey)>,
    /// entries were recorded as not sealed
    seals: bool,
    what: What,
    /// the session has ended: this has to happen before it is recorded
    ending: Option<EndingKey>,
}

impl Then {
    /// A shard has kept something that waits for the seal.
    pub(super) fn is_kept(&mut self, shard: ShardId, seal: SealKey) {
        self.kept.push((shard, seal));
    }
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// the identifier of the publisher's QoS 2 message is recorded; and its end, if PUBREL came
    Publish { packet_id: PacketId, released: bool },
    /// the Will is gone, and the one that the session has since is in its place
    Will,
    /// a session that ended has one message less
    Reroute,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Seals {
    seals: Arena<Seal>,
    endings: Arena<Ending>,
    /// the newest of each client
    newest_ending: BTreeMap<StdArc<str>, EndingKey>,
    /// ends that are recorded and not committed: by client, the last, and all in order
    last_end: BTreeMap<StdArc<str>, Seq>,
    ends: VecDeque<(Seq, StdArc<str>)>,
    /// by session: its publications that are not sealed yet, in order. A client that sends them
    /// again after a crash sends the earlier ones first, so none is sealed before those
    publications: BTreeMap<SessionNumber, VecDeque<WaitKey>>,
    /// Wills that are on their way: not everybody has them yet
    wills: Vec<WillUnderWay>,
}

/// A Will that was published.
#[derive(Clone, Copy, Debug)]
struct WillUnderWay {
    session: SessionKey,
    wait: WaitKey,
    /// It is the one that the log has for the session: it would be published after a crash. One
    /// whose client was not answered yet, since an older one was on its way, is not.
    logged: bool,
}

impl Broker {
    /// The seal that this publication's entries on this shard wait for, counted for one more entry
    /// of `session`.
    pub(super) fn seal_ref(
        &mut self,
        publication: &mut Publication<'_>,
        session: SessionKey,
    ) -> SealRef {
        if !self.sessions.get(session).is_some_and(Session::is_persistent) {
            return SealRef::default();
        }
        let seals = &mut self.seals.seals;
        let key = *publication.seal.get_or_insert_with(|| seals.insert(Seal::default()));
        let Some(seal) = seals.get_mut(key) else { return SealRef::default() };
        seal.entries += 1;
        seal.sessions.push(session);
        SealRef(key.index() as u32 + 1)
    }

    /// Whether an entry's publication counts.
    pub(super) fn is_sealed(&self, seal: SealRef) -> bool {
        seal.index().and_then(|at| self.seals.seals.at(at)).is_none_or(|(_, seal)| seal.sealed)
    }

    /// An entry is gone, or needs its seal no longer.
    pub(super) fn drop_seal_ref(&mut self, seal: SealRef) {
        let found = seal.index().and_then(|at| self.seals.seals.at(at));
        let Some((key, _)) = found else { return };
        if let Some(seal) = self.seals.seals.get_mut(key) {
            seal.entries -= 1;
            if seal.sealed && seal.entries == 0 {
                self.seals.seals.remove(key);
            }
        }
    }

    /// A publication counts: what waits for it goes on.
    pub(super) fn on_sealed(&mut self, now: Time, key: SealKey, fx: &mut Effects) {
        let Some(seal) = self.seals.seals.get_mut(key) else {
            self.counters.stale_inputs += 1;
            return;
        };
        seal.sealed = true;
        let sessions = std::mem::take(&mut seal.sessions);
        let reroutes = std::mem::take(&mut seal.reroutes);
        if seal.entries == 0 {
            self.seals.seals.remove(key);
        }
        for session in sessions {
            self.leave_to_log(session, SealRef(key.index() as u32 + 1));
            self.go_on(now, session, fx);
        }
        for (of, group, message) in reroutes {
            self.reroute(now, &group, &message, Some(of), fx);
            self.ending_goes_on(now, of.0, fx);
        }
    }

    /// A receipt is wanted from one more shard, if somebody waits for it.
    pub(super) fn ask_receipt(&mut self, publication: &mut Publication<'_>) -> Option<ReceiptFor> {
        let when = publication.when?;
        let wait = self.wait_of(publication);
        if let Some(wait) = self.gate.waits.get_mut(wait) {
            wait.receipts += 1;
        }
        Some(ReceiptFor { wait, when })
    }

    fn wait_of(&mut self, publication: &mut Publication<'_>) -> WaitKey {
        *publication.wait.get_or_insert_with(|| self.gate.waits.insert(Wait::default()))
    }

    /// Notes what happens once all receipts are in.
    fn then(
        &mut self,
        publication: &mut Publication<'_>,
        (session, number): (SessionKey, SessionNumber),
        what: What,
        ending: Option<EndingKey>,
    ) -> WaitKey {
        let wait = self.wait_of(publication);
        let message = publication.message(&mut self.spent, &mut self.scratch);
        let seals = publication.when == Some(ReceiptWhen::Unsealed);
        let kept = publication.seal.map(|seal| (self.shard, seal)).into_iter().collect();
        let then = Then { number, session, message, kept, seals, what, ending };
        if let Some(wait) = self.gate.waits.get_mut(wait) {
            wait.then = Some(Box::new(then));
        }
        wait
    }

    /// The identifier of a QoS 2 message that is not sealed is recorded with the seal.
    pub(super) fn seal_with_identifier(
        &mut self,
        publication: &mut Publication<'_>,
        session: SessionKey,
        packet_id: PacketId,
    ) {
        let Some(s) = self.sessions.get(session) else { return };
        let of = (session, s.number);
        let wait = self.then(publication, of, What::Publish { packet_id, released: false }, None);
        self.seals.publications.entry(of.1).or_default().push_back(wait);
    }

    /// PUBREL before the seal: the identifier is freed with it. False if there is no seal to wait
    /// for.
    pub(super) fn release_with_seal(&mut self, wait: Option<WaitKey>) -> bool {
        let wait = wait.and_then(|wait| self.gate.waits.get_mut(wait));
        match wait.and_then(|wait| wait.then.as_deref_mut()) {
            Some(Then { what: What::Publish { released, .. }, .. }) => {
                *released = true;
                true
            }
            _ => false,
        }
    }

    /// A Will was published: it is gone for the log once everybody has recorded it.
    pub(super) fn will_goes(
        &mut self,
        now: Time,
        publication: &mut Publication<'_>,
        session: SessionKey,
        fx: &mut Effects,
    ) {
        let Some(s) = self.sessions.get(session).filter(|s| s.is_recorded()) else { return };
        let of = (session, s.number);
        let wait = self.then(publication, of, What::Will, None);
        let logged = self.will_under_way(session).is_none();
        self.seals.wills.push(WillUnderWay { session, wait, logged });
        self.forget_wait(wait);
        self.complete_wait(now, wait, fx);
    }

    /// What the session's Will has to wait for before the log may learn of it: the one that the log
    /// has, which is still on its way.
    pub(super) fn will_under_way(&self, session: SessionKey) -> Option<WaitKey> {
        let mut of = self.seals.wills.iter().filter(|will| will.session == session);
        of.find(|will| will.logged).map(|will| will.wait)
    }

    /// A packet waits for it now.
    pub(super) fn remember_wait(&mut self, key: WaitKey) {
        if let Some(wait) = self.gate.waits.get_mut(key) {
            wait.forgotten = false;
        }
    }

    /// A message of a member whose session ended goes to another member \[MQTT-4.8.2-5\]; its
    /// session's end is recorded once that is. `of` is the session and the entry's order in it.
    pub(super) fn reroute(
        &mut self,
        now: Time,
        key: &str,
        message: &Message,
        of: Option<(EndingKey, u64)>,
        fx: &mut Effects,
    ) {
        let (ending, order) = of.map_or((None, 0), |(ending, order)| (Some(ending), order));
        if message.is_expired(now) {
            self.counters.dropped_expired += 1;
            return;
        }
        let Some(group) = self.subscriptions.group_of(key) else {
            self.counters.dropped_no_member += 1;
            return;
        };
        let others = self.subscriptions.groups.get(group as usize).is_some_and(|g| g.has_remotes());
        // A copy: as a message of its own it has a seal of its own.
        let unsealed = ending.is_some() && others && message.qos() == QoS::ExactlyOnce;
        let copy = unsealed.then(|| message.expiring_at(message.expires(), &mut self.scratch));
        let mut publication = Publication::of(copy.as_ref().unwrap_or(message));
        let when = if unsealed { ReceiptWhen::Unsealed } else { ReceiptWhen::Recorded };
        publication.when = ending.map(|_| when);
        let before = self.seq;
        self.route_shared(now, group, &mut publication, fx);
        let recorded = before < self.seq;
        let Some(e) = ending.and_then(|key| self.seals.endings.get_mut(key)) else { return };
        let number = e.number;
        if unsealed || publication.wait.is_some() {
            e.pending += 1;
            e.rerouted.extend((order > 0).then_some(order));
            let of = (e.session, number);
            let wait = self.then(&mut publication, of, What::Reroute, ending);
            self.forget_wait(wait);
            self.complete_wait(now, wait, fx);
        } else if order > 0 && (recorded || e.unread.is_some()) {
            // In one with the other member's entry: the session's end may come later.
            self.record(fx, Record::Dropped { session: number, order, why: DropReason::Rerouted });
        }
    }

    /// The same for an entry, which may have to wait for its seal before.
    pub(super) fn reroute_entry(
        &mut self,
        now: Time,
        (group, message): (StdArc<str>, Message),
        seal: SealRef,
        of: Option<(EndingKey, u64)>,
        fx: &mut Effects,
    ) {
        let at = seal.index().and_then(|at| self.seals.seals.at(at)).map(|(key, _)| key);
        let unsealed = at.and_then(|at| self.seals.seals.get_mut(at)).filter(|seal| !seal.sealed);
        if let (Some(seal), Some(of)) = (unsealed, of) {
            seal.reroutes.push((of, group, message));
            if let Some(e) = self.seals.endings.get_mut(of.0) {
                e.pending += 1;
            }
            return;
        }
        self.reroute(now, &group, &message, of, fx);
    }

    /// A session ends that the log knows: its end is recorded once nothing is left to happen before
    /// it. `ending_goes_on` is to be called when its messages are on their way.
    pub(super) fn begin_ending(&mut self, key: SessionKey, s: &Session) -> Option<EndingKey> {
        let own: Vec<WaitKey> = s.inbound.iter().filter_map(|id| id.wait).collect();
        let wills = self.seals.wills.iter().filter(|will| will.session == key);
        let mut pending: Vec<WaitKey> = wills.map(|will| will.wait).collect();
        for wait in own {
            self.forget_wait(wait); // those that seal something stay
            pending.push(wait);
        }
        if !s.is_recorded() {
            return None;
        }
        let client_id = whose(&s.client_id);
        let ending = self.seals.endings.insert(Ending {
            session: key,
            number: s.number,
            client_id: StdArc::clone(&client_id),
            newer: None,
            unused: s.inbound.unused(),
            pending: 1,
            seals: Vec::new(),
            rerouted: Vec::new(),
            unread: None,
        });
        // After a crash the newer session ends the older one: it must not be gone before.
        let older = self.seals.newest_ending.insert(client_id, ending);
        if let Some(older) = older.and_then(|older| self.seals.endings.get_mut(older)) {
            older.newer = Some(ending);
            self.seals.endings.get_mut(ending).into_iter().for_each(|e| e.pending += 1);
        }
        for wait in pending {
            let then = self.gate.waits.get_mut(wait).and_then(|wait| wait.then.as_deref_mut());
            if let (Some(then), Some(e)) = (then, self.seals.endings.get_mut(ending)) {
                then.ending = Some(ending);
                e.pending += 1;
            }
        }
        Some(ending)
    }

    /// One thing less has to happen before a session's end is recorded. What it seals is recorded
    /// with it: the messages are with others then, and no longer with this session.
    pub(super) fn ending_goes_on(&mut self, now: Time, key: EndingKey, fx: &mut Effects) {
        let mut next = Some(key);
        while let Some(key) = next {
            next = self.one_less(now, key, fx);
        }
    }

    /// Returns the ending that waited for this one, if it is done.
    fn one_less(&mut self, now: Time, key: EndingKey, fx: &mut Effects) -> Option<EndingKey> {
        let e = self.seals.endings.get_mut(key)?;
        e.pending -= 1;
        if e.pending > 0 {
            self.next_portion(now, key, fx);
            return None;
        }
        let e = self.seals.endings.remove(key)?;
        if self.seals.newest_ending.get(&e.client_id) == Some(&key) {
            self.seals.newest_ending.remove(&e.client_id);
        }
        let mut kept = Vec::new();
        for (message, at) in e.seals {
            let (session, packet_id) = (e.number, PacketId::MIN);
            self.record(fx, Record::Inbound { session, packet_id, seals: Some(message) });
            kept.extend(at);
        }
        self.record(fx, Record::SessionEnd { session: e.number });
        self.seals.last_end.insert(StdArc::clone(&e.client_id), self.seq);
        self.seals.ends.push_back((self.seq, e.client_id));
        self.tell_sealed(now, kept, fx);
        e.newer
    }

    /// What is not on the log yet of the ends of this client's sessions.
    pub(super) fn end_under_way(&self, client_id: &str) -> EndUnderWay {
        match self.seals.last_end.get(client_id) {
            _ if self.seals.newest_ending.contains_key(client_id) => EndUnderWay::ToCome,
            Some(seq) => EndUnderWay::Recorded(*seq),
            None => EndUnderWay::None,
        }
    }

    /// All records up to this one are committed.
    pub(super) fn ends_committed(&mut self, committed: Seq) {
        let Seals { last_end, ends, .. } = &mut self.seals;
        while ends.front().is_some_and(|(seq, _)| *seq <= committed)
            && let Some((seq, client_id)) = ends.pop_front()
        {
            if last_end.get(&client_id) == Some(&seq) {
                last_end.remove(&client_id);
            }
        }
    }

    /// The session's end waits until this is read.
    pub(super) fn end_waits_for(&mut self, key: EndingKey, unread: Unread) {
        if let Some(e) = self.seals.endings.get_mut(key) {
            e.pending += 1;
            e.unread = Some(unread);
        }
    }

    /// It is read: that is one thing less.
    pub(super) fn end_is_read(&mut self, now: Time, key: EndingKey, fx: &mut Effects) {
        if let Some(e) = self.seals.endings.get_mut(key) {
            e.unread = None;
            self.ending_goes_on(now, key, fx);
        }
    }

    pub(super) fn unread_of(&mut self, key: EndingKey) -> Option<&mut Unread> {
        self.seals.endings.get_mut(key)?.unread.as_mut()
    }

    pub(super) fn unread_endings(&self) -> impl Iterator<Item = &Unread> {
        self.seals.endings.iter().filter_map(|(_, e)| e.unread.as_ref())
    }

    /// The session that has ended, and what is `asked` of its tail.
    pub(super) fn find_ending<T>(
        &self,
        number: SessionNumber,
        asked: impl Fn(&Unread) -> Option<T>,
    ) -> Option<(EndingKey, T)> {
        let mut of = self.seals.endings.iter().filter(|(_, e)| e.number == number);
        of.find_map(|(key, e)| Some((key, asked(e.unread.as_ref()?)?)))
    }

    /// Which session it is, if only its tail is left.
    pub(super) fn is_at_its_tail(&self, key: EndingKey) -> Option<(SessionKey, SessionNumber)> {
        let e = self.seals.endings.get(key)?;
        (e.pending == 1 && e.unread.is_some()).then_some((e.session, e.number))
    }

    /// A part of a session that has ended is with others: it is no longer with this one.
    pub(super) fn record_rerouted(&mut self, now: Time, key: EndingKey, fx: &mut Effects) {
        let Some(e) = self.seals.endings.get_mut(key) else { return };
        let (session, packet_id) = (e.number, e.unused);
        let (seals, rerouted) = (std::mem::take(&mut e.seals), std::mem::take(&mut e.rerouted));
        let mut kept = Vec::new();
        for (message, at) in seals {
            self.record(fx, Record::Inbound { session, packet_id, seals: Some(message) });
            self.record(fx, Record::InboundEnd { session, packet_id });
            kept.extend(at);
        }
        for order in rerouted {
            self.record(fx, Record::Dropped { session, order, why: DropReason::Rerouted });
        }
        self.tell_sealed(now, kept, fx);
    }

    /// Nobody's packet waits for it any longer.
    pub(super) fn forget_wait(&mut self, key: WaitKey) {
        match self.gate.waits.get_mut(key) {
            Some(wait) if wait.then.is_some() => wait.forgotten = true,
            _ => {
                self.gate.waits.remove(key);
            }
        }
    }

    /// Does what was to be done once all receipts are in, if they are.
    pub(super) fn complete_wait(&mut self, now: Time, key: WaitKey, fx: &mut Effects) {
        let wait = self.gate.waits.get(key).filter(|wait| wait.receipts == 0);
        let Some(then) = wait.and_then(|wait| wait.then.as_deref()) else { return };
        let session = then.number;
        if !matches!(then.what, What::Publish { .. }) {
            return self.complete_now(now, key, fx);
        }
        let mut next = Some(key);
        while let Some(key) = next.take() {
            let publications = self.seals.publications.get_mut(&session);
            let Some(publications) = publications.filter(|p| p.front() == Some(&key)) else {
                return;
            };
            publications.pop_front();
            match publications.front() {
                Some(key) => next = Some(*key),
                None => _ = self.seals.publications.remove(&session),
            }
            self.complete_now(now, key, fx);
            next = next.filter(|key| self.gate.waits.get(*key).is_some_and(|w| w.receipts == 0));
        }
    }

    fn complete_now(&mut self, now: Time, key: WaitKey, fx: &mut Effects) {
        let Some(wait) = self.gate.waits.get_mut(key).filter(|wait| wait.receipts == 0) else {
            return;
        };
        let Some(then) = wait.then.take() else { return };
        let before = self.seq;
        let (ending, what) = (then.ending, then.what);
        match what {
            What::Publish { packet_id, released } => {
                self.record_identifier(&then, packet_id, released, fx);
            }
            What::Will => {
                let at = self.seals.wills.iter().position(|will| will.wait == key);
                let logged = at.is_some_and(|at| self.seals.wills.remove(at).logged);
                self.record_will_end(&then, logged, fx);
            }
            What::Reroute => {}
        }
        let records = self.since(before);
        let mut link = None;
        if let Some(wait) = self.gate.waits.get_mut(key) {
            link = wait.link;
            wait.records = records;
            fx.sync |= wait.synced && !records.is_empty();
            if wait.forgotten {
                self.gate.waits.remove(key);
            }
        }
        let Then { message, kept, seals, .. } = *then;
        match ending.and_then(|ending| self.seals.endings.get_mut(ending)) {
            Some(e) if matches!(what, What::Reroute) => {
                if seals {
                    e.seals.push((message, kept));
                }
            }
            _ => self.tell_sealed(now, kept, fx),
        }
        if let Some(link) = link {
            self.open(now, link, fx);
        }
        if let Some(ending) = ending {
            self.ending_goes_on(now, ending, fx);
        }
    }

    fn record_identifier(
        &mut self,
        then: &Then,
        packet_id: PacketId,
        released: bool,
        fx: &mut Effects,
    ) {
        let (session, before) = (then.number, self.seq);
        let seals = then.seals.then(|| then.message.clone());
        self.record(fx, Record::Inbound { session, packet_id, seals });
        if released {
            self.record(fx, Record::InboundEnd { session, packet_id });
        }
        let records = self.since(before);
        let Some(s) = self.sessions.get_mut(then.session) else { return };
        if released {
            s.inbound.remove(packet_id);
        } else if let Some(known) = s.inbound.get_mut(packet_id) {
            known.records = records;
        }
    }

    /// `logged`: the log has it, and takes the one that the session has since in its place. That
    /// may not wait for others that are on their way: it would be published again after a crash.
    fn record_will_end(&mut self, then: &Then, logged: bool, fx: &mut Effects) {
        let session = then.number;
        if then.seals {
            let ending = then.ending.and_then(|ending| self.seals.endings.get(ending));
            let unused = || self.sessions.get(then.session).map(|s| s.inbound.unused());
            let packet_id = ending.map(|e| e.unused).or_else(unused).unwrap_or(PacketId::MAX);
            let seals = Some(then.message.clone());
            self.record(fx, Record::Inbound { session, packet_id, seals });
            self.record(fx, Record::InboundEnd { session, packet_id });
        }
        if logged {
            let s = self.sessions.get(then.session).filter(|s| s.number == session);
            let will = s.and_then(|s| s.will.as_deref().cloned());
            self.record(fx, Record::Will { session, will });
        }
    }

    fn tell_sealed(&mut self, now: Time, kept: Vec<(ShardId, SealKey)>, fx: &mut Effects) {
        for (shard, seal) in kept {
            if shard == self.shard {
                self.on_sealed(now, seal, fx);
            } else {
                fx.peers.push((shard, PeerMessage::Sealed { seal }));
            }
        }
    }

    /// How many seals, and ends of sessions, still wait for something. For tests and simulators:
    /// when nothing is under way any more, it is none.
    pub fn seals_under_way(&self) -> usize {
        let Seals { seals, endings, publications, wills, .. } = &self.seals;
        seals.len() + endings.len() + publications.len() + wills.len()
    }

    /// How many entries name a seal, for `check_invariants`.
    pub(super) fn seal_refs(&self) -> u64 {
        self.seals.seals.iter().map(|(_, seal)| u64::from(seal.entries)).sum()
    }
}
