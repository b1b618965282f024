//! The judge: [`Shadow::delivered`] looks at every PUBLISH that reaches a client, and
//! [`Shadow::check_owed`], at the quiet end, at what did not.

use std::collections::BTreeMap;

use stonechat::broker::Safety;
use stonechat::codec::RetainHandling;

use super::shadow::{Msg, Seen, SessionShadow, Shadow, SubEntry, lowest_options, matches};

/// A PUBLISH as a client received it.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    pub client: usize,
    pub topic: &'a str,
    pub serial: usize,
    pub qos: u8,
    pub dup: bool,
    pub retain: bool,
    /// a QoS 2 identifier that the client has already: it is dropped there
    pub known2: bool,
}

/// What a client knows of its connection at the quiet end.
#[derive(Clone, Copy, Debug)]
pub struct Final {
    pub epoch: u64,
    /// when CONNACK of the present connection came
    pub ready_at: u64,
    /// messages longer than this may be left out
    pub len_max: usize,
}

impl Shadow {
    /// Checks one delivery. `epoch` is the session that the client's connection was opened with.
    pub fn delivered(&mut self, epoch: u64, d: &Delivery<'_>) {
        self.tick();
        self.deliveries += 1;
        let m = self.msgs.get(d.serial).unwrap_or_else(|| panic!("nobody published {d:?}"));
        assert!(m.handed > 0, "{d:?} was never published, or its Will is not due: {m:?}");
        assert_eq!(d.topic, m.topic, "{d:?} is on a topic of its own");
        assert!(self.rights.may_have(d.client, m), "{d:?} is not for this client: {m:?}");
        let m = m.clone();
        let Some(s) = &mut self.sessions[d.client] else { return };
        if s.epoch != epoch {
            return; // the client has not heard yet that its session ended
        }
        let timely = |e: &&SubEntry| {
            matches(e.filter, m.topic) && e.ended.is_none_or(|at| at > m.first_handed)
        };
        let possible: Vec<&SubEntry> = s
            .subs
            .iter()
            .filter(timely)
            .filter(|e| d.retain || e.share || m.publisher != d.client || !e.options.no_local)
            .collect();
        assert!(!possible.is_empty(), "{d:?} matches no subscription of its time: {m:?}");
        check_qos(s, &m, d, &possible);
        let asked = s.subs.iter().filter(|e| !e.share && matches(e.filter, m.topic)).count();
        let live = copies_max(&s.subs.iter().filter(timely).collect::<Vec<_>>());
        let replays = if m.retain { asked as u32 } else { 0 };
        let shared = possible.iter().any(|e| e.share);
        let seen = s.seen.entry(d.serial).or_default();
        let first = !seen.any;
        let volatile = s.volatile;
        let lost = if volatile { 0 } else { m.lost };
        let d2 = Delivery { known2: d.known2 || s.forgotten, ..*d };
        count(seen, &m, &d2, (live, replays), (lost, self.losses));
        // What a full queue dropped comes back if a crash takes the record of that.
        let undropped = self.lossy && self.losses > 0;
        if first && !d.retain && !shared && !m.will && m.handed == 1 && !undropped {
            let last = s.order.entry((m.publisher, m.topic, m.qos * 3 + d.qos)).or_default();
            // The order in which the broker was handed them: a publisher's older connection may
            // arrive behind a newer one.
            let in_order = *last <= m.first_handed;
            assert!(in_order, "{d:?} came after a newer one of the same publisher, topic and QoS");
            *last = m.first_handed;
        }
        if shared {
            self.count_group((epoch, volatile), d, &m);
        }
    }

    fn count_group(&mut self, (epoch, volatile): (u64, bool), d: &Delivery<'_>, m: &Msg) {
        let Some(group) = self.group_of[d.client] else { return };
        let ends = self.group_ends[group].iter().filter(|&&at| at > m.first_handed).count();
        let got = self.group_got.entry((group, d.serial)).or_default();
        if d.qos == 2 && !d.known2 {
            let (all, kept) = got.entry(epoch).or_default();
            (*all, *kept) = (*all + 1, *kept + u32::from(!volatile));
        } else {
            got.entry(epoch).or_default();
        }
        let most = m.handed as usize + ends + self.losses as usize;
        assert!(got.len() <= most, "{d:?} went to {} members, {most} at most", got.len());
        // What a power loss took may have been with members whose sessions nobody keeps.
        let (all, kept) = got.values().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        let twice = all > m.handed || kept > m.handed - m.lost;
        assert!(!twice, "{d:?}: a QoS 2 message went to two members");
    }

    /// At the quiet end: everything that is owed has arrived.
    pub fn check_owed(&self, ends: &[Option<Final>]) {
        if self.lossy {
            return;
        }
        for (client, s) in self.sessions.iter().enumerate() {
            let (Some(s), Some(end)) = (s, &ends[client]) else { continue };
            if s.epoch != end.epoch || self.refuses && s.volatile {
                continue;
            }
            for (serial, m) in self.msgs.iter().enumerate() {
                if !m.is_out() || m.len > end.len_max || m.len == 0 {
                    continue;
                }
                let got = s.seen.get(&serial).is_some_and(|seen| seen.any);
                let dropped = self.drops_qos0 && m.qos == 0
                    || (self.spills || self.refuses) && takes_qos0(s, m);
                let may = self.rights.has_to_have(client, m);
                let live = !dropped && may && owed_live(s, client, m, end);
                let excused = self.is_excused(client, serial);
                let owed = !excused && self.owed_durable(s, client, m) || live;
                let state = || s.subs.iter().filter(|e| matches(e.filter, m.topic)).collect();
                let subs: Vec<&SubEntry> = if owed && !got { state() } else { Vec::new() };
                assert!(got || !owed, "c{client} never got {serial}: {m:?}, subscribed {subs:?}");
            }
            self.check_replayed(s, client, end);
        }
        (0..self.group_ends.len()).for_each(|group| self.check_group(group));
    }

    /// What is retained has reached everybody who asked for it on the present connection: as a
    /// retained message, or as one that was published since.
    fn check_replayed(&self, s: &SessionShadow, client: usize, end: &Final) {
        for (topic, &serial) in &self.retained {
            let m = &self.msgs[serial];
            let asked = |e: &SubEntry| {
                !e.share
                    && matches(e.filter, topic)
                    && e.acked.is_some_and(|at| end.ready_at < at)
                    && (e.unsub_sent, e.ended) == (None, None)
                    && e.options.retain_handling == RetainHandling::Send
                    && !(m.publisher == client && lowest_options(s, e).1)
                    && !(self.drops_qos0 && m.qos.min(lowest_options(s, e).0) == 0)
            };
            // One that was published since may have found no memory in its queue.
            let unsure = self.retained_unsure.contains(topic)
                || (self.spills || self.refuses) && takes_qos0(s, m)
                || m.len > end.len_max
                || !self.rights.has_to_have(client, m);
            let got = unsure || s.seen.get(&serial).is_some_and(|seen| seen.any);
            assert!(got || !s.subs.iter().any(asked), "c{client} never got {m:?}, retained");
        }
    }

    fn owed_durable(&self, s: &SessionShadow, client: usize, m: &Msg) -> bool {
        let done = match (m.will, m.acked_at) {
            (true, _) if m.first_handed < self.last_loss && !m.durable_will => return false,
            (true, _) => u64::MAX,
            // What is not durable may still be on its way between shards: never unsubscribed.
            (false, Some(_)) if s.volatile || self.safety_of_msg(m) == Safety::Memory => u64::MAX,
            (false, Some(at)) => at,
            (false, None) => return false,
        };
        if s.gaps.iter().any(|&(from, until)| from < m.first_handed && m.first_handed < until) {
            return false;
        }
        self.owes(s, client, m, done)
    }

    /// A message that the publisher knows to be taken reached one member at least.
    fn check_group(&self, group: usize) {
        let members = || (0..self.sessions.len()).filter(|&c| self.group_of[c] == Some(group));
        for (serial, m) in self.msgs.iter().enumerate() {
            let Some(acked) = m.acked_at else { continue };
            if m.qos == 0 || m.expires || m.len == 0 || m.may_be_lost || !m.is_out() {
                continue;
            }
            let there = |e: &SubEntry| {
                matches(e.filter, m.topic)
                    && e.acked.is_some_and(|at| at < m.sent_at)
                    && e.unsub_sent.is_none()
                    && e.options.qos as u8 > 0
            };
            let takes = |c: usize| {
                let s = self.sessions[c].as_ref();
                let may = self.rights.has_to_have(c, m);
                may && s.is_some_and(|s| !s.volatile && s.subs.iter().any(there))
            };
            // A member that had it, and may not any longer, has lost it.
            let torn = |c: usize| self.rights.may_have(c, m) && !self.rights.has_to_have(c, m);
            if members().any(torn) {
                continue;
            }
            // A QoS 2 delivery under way dies with its session [MQTT-4.8.2-5].
            let ended = self.group_ends[group].iter().any(|&at| at > m.first_handed);
            if !members().any(takes) || (ended && m.qos == 2) || self.group_is_mixed(group) {
                continue;
            }
            let gone = self.refuses || m.first_handed < self.last_loss;
            if gone && self.volatile_groups.contains(&group) {
                continue; // who had it may be gone, or had no space for it
            }
            let got = self.group_got.contains_key(&(group, serial));
            assert!(got, "group {group} never got {serial}: {m:?}, acknowledged at {acked}");
        }
    }

    fn group_is_mixed(&self, group: usize) -> bool {
        let of = |s: &SessionShadow| s.subs.iter().any(|e| e.share && e.options.qos as u8 == 0);
        (0..self.sessions.len())
            .filter(|&c| self.group_of[c] == Some(group))
            .any(|c| self.sessions[c].as_ref().is_some_and(of))
            || group + 1 == self.group_ends.len()
    }

    /// What a new subscriber to `#` was sent as retained is what was retained last.
    pub fn check_retained(&self, got: &BTreeMap<String, Option<usize>>) {
        for (topic, &serial) in &self.retained {
            if !self.retained_unsure.contains(topic) && !topic.starts_with('$') {
                let there = got.get(*topic).copied().flatten();
                assert_eq!(there, Some(serial), "retained on {topic}: {:?}", self.msgs[serial]);
            }
        }
        for topic in got.keys() {
            let known = self.retained.contains_key(topic.as_str());
            assert!(known, "retained on {topic}, which was cleared or never set");
        }
    }
}

/// Whether a session may have got the message at QoS 0.
fn takes_qos0(s: &SessionShadow, m: &Msg) -> bool {
    let of = |e: &&SubEntry| matches(e.filter, m.topic);
    m.qos == 0 || s.subs.iter().filter(of).any(|e| e.options.qos as u8 == 0)
}

/// On one connection, before the message was sent until now, with the subscription in force:
/// owed at any QoS, acknowledged or not.
fn owed_live(s: &SessionShadow, client: usize, m: &Msg, end: &Final) -> bool {
    let in_force = |e: &SubEntry| {
        !e.share
            && matches(e.filter, m.topic)
            && !(m.publisher == client && lowest_options(s, e).1)
            && e.acked.is_some_and(|at| at < m.sent_at)
            && e.unsub_sent.is_none()
    };
    !m.expires && end.ready_at < m.sent_at && s.subs.iter().any(in_force)
}

/// The QoS of a delivery lies between what is surely and what is possibly granted.
fn check_qos(s: &SessionShadow, m: &Msg, d: &Delivery<'_>, possible: &[&SubEntry]) {
    let granted = |e: &SubEntry| m.qos.min(e.options.qos as u8);
    if possible.iter().any(|e| e.share) || d.retain || m.retain {
        let one = possible.iter().any(|e| granted(e) == d.qos);
        assert!(one, "{d:?}: no subscription grants this QoS: {m:?}");
        return;
    }
    let most = possible.iter().map(|e| granted(e)).max().unwrap_or(0);
    let sure = s.subs.iter().filter(|e| {
        matches(e.filter, m.topic)
            && e.acked.is_some_and(|at| at < m.sent_at)
            && e.unsub_sent.is_none()
            && !(m.publisher == d.client && lowest_options(s, e).1)
    });
    let least = sure.map(|e| m.qos.min(lowest_options(s, e).0)).max().unwrap_or(0);
    assert!((least..=most).contains(&d.qos), "{d:?}: QoS {least} to {most} is due: {m:?}");
}

/// How many copies of one publication a session may get as it is published: one for all its plain
/// subscriptions \[MQTT-3.3.4-2\], one for each shared one.
fn copies_max(possible: &[&SubEntry]) -> u32 {
    let plain = possible.iter().filter(|e| !e.share).count() as u32;
    let mut shared: Vec<_> = possible.iter().filter(|e| e.share).map(|e| e.filter).collect();
    shared.dedup();
    plain.min(1) + shared.len() as u32
}

/// `live`: how many copies there may be of each publication. `replays`: how often it may have been
/// asked for as a retained message, by SUBSCRIBEs that were replaced before their SUBACK, too.
/// `lost`: how often a power loss took it, and how many there were.
fn count(
    seen: &mut Seen,
    m: &Msg,
    d: &Delivery<'_>,
    (live, replays): (u32, u32),
    (lost, losses): (u32, u32),
) {
    seen.any = true;
    if d.qos == 2 && !d.known2 {
        seen.qos2 += 1;
        // What was retained may be on disk, and read again, though its publication does not count.
        let most = live * (m.handed - lost) + replays * m.handed;
        assert!(seen.qos2 <= most, "{d:?} was delivered twice at QoS 2: {m:?}");
    }
    if !d.dup {
        seen.not_dup += 1;
        // At QoS 1 it may have been sent before that was on disk.
        assert!(
            seen.not_dup <= (live + replays) * m.handed + losses,
            "{d:?} came again without DUP: {m:?}"
        );
    }
}
