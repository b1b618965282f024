//! A naive log: what a restart would find, folded from the records that are on disk. It fails on a
//! record that makes no sense where it stands.

use std::collections::{BTreeMap, BTreeSet};

use stonechat::broker::{
    DropReason, LoadedEntries, Message, Owner, Record, Request, RestoredDelivery, RestoredEntry,
    RestoredSession, SessionNumber, Time, WillRecord,
};
use stonechat::codec::{PacketId, QoS, SubscriptionOptions};

/// A message for a session.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) message: Message,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) subscription_ids: Box<[u32]>,
    pub(crate) group: Option<std::sync::Arc<str>>,
    sealed: bool,
    pub(crate) packet_id: Option<PacketId>,
    pub(crate) released: bool,
}

/// What the log knows of one session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) client_id: String,
    pub(crate) owner: Owner,
    pub(crate) expiry_s: u32,
    /// when its connection ended, if it has none
    pub(crate) offline_since: Option<Time>,
    pub(crate) filters: BTreeMap<String, (SubscriptionOptions, Option<u32>)>,
    pub(crate) entries: BTreeMap<u64, Entry>,
    pub(crate) last_order: u64,
    pub(crate) inbound: BTreeSet<u16>,
    pub(crate) will: Option<WillRecord>,
}

/// The fold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fold {
    pub(crate) sessions: BTreeMap<SessionNumber, Kept>,
    ended: BTreeSet<SessionNumber>,
    pub(crate) highest: SessionNumber,
    /// by topic: version and message, `None` if it was cleared
    pub(crate) retained: BTreeMap<String, (u64, Option<Message>)>,
    pub(crate) version: u64,
    unsealed: Vec<(SessionNumber, u64)>,
}

impl Fold {
    /// Takes the next record, written at `now`.
    pub(crate) fn add(&mut self, record: &Record, now: Time) -> Result<(), String> {
        let bad = |what: &str| Err(format!("the log: {what}: {record:?}"));
        let record = &record.clone().spelled_out();
        match record {
            Record::Session { session, client_id, expiry_s, owner } => {
                if self.ended.contains(session) {
                    return bad("a session that has ended");
                }
                self.highest = self.highest.max(*session);
                let kept = self.sessions.entry(*session).or_default();
                kept.client_id = client_id.to_string();
                kept.owner = owner.clone();
                (kept.expiry_s, kept.offline_since) = (*expiry_s, None);
                return Ok(());
            }
            Record::SessionEnd { session } => {
                self.unsealed.retain(|(of, _)| of != session);
                self.ended.insert(*session);
                return match self.sessions.remove(session) {
                    None => bad("the end of a session that it does not know"),
                    Some(_) => Ok(()),
                };
            }
            Record::Retained { version, message } => {
                self.version = self.version.max(*version);
                let kept = self.retained.entry(message.topic_str().to_owned()).or_default();
                if kept.0 < *version {
                    let there = !message.payload().is_empty();
                    *kept = (*version, there.then(|| message.clone()));
                }
                return Ok(());
            }
            Record::Inbound { seals: Some(message), .. } => self.seal(message),
            _ => {}
        }
        let number = record.session().unwrap();
        let Some(kept) = self.sessions.get_mut(&number) else {
            return bad("of a session that it does not know");
        };
        if let Record::Queued { order, sealed: false, .. } = record {
            self.unsealed.push((number, *order));
        }
        match kept.add(record, now) {
            true => Ok(()),
            false => bad("out of turn"),
        }
    }

    /// Answers a load: what is on disk, in order.
    pub(crate) fn load(&self, request: &Request) -> LoadedEntries {
        let Request::Load { number, from_order, count, bytes_max, .. } = *request else {
            panic!("nobody answers {request:?}");
        };
        let mut loaded = LoadedEntries { number, from_order, ..LoadedEntries::default() };
        let entries = self.sessions.get(&number).map(|kept| kept.entries.range(from_order..));
        let mut bytes = 0;
        for (&order, entry) in entries.into_iter().flatten() {
            assert_eq!(entry.packet_id, None, "asked for what is under way: {request:?}");
            if loaded.entries.len() >= count || bytes >= bytes_max && bytes > 0 {
                loaded.next_order = Some(order);
                break;
            }
            bytes += entry.message.cost_bytes();
            loaded.entries.push(entry.restored(order));
        }
        loaded
    }

    fn seal(&mut self, message: &Message) {
        self.unsealed.retain(|(session, order)| {
            let entries = self.sessions.get_mut(session).map(|kept| &mut kept.entries);
            match entries.and_then(|entries| entries.get_mut(order)) {
                Some(entry) if Message::same(&entry.message, message) => {
                    entry.sealed = true;
                    false
                }
                Some(_) => true,
                None => false,
            }
        });
    }

    /// A restart: what was never sealed does not count.
    pub(crate) fn recover(&mut self) {
        self.unsealed.clear();
        for kept in self.sessions.values_mut() {
            kept.entries.retain(|_, entry| entry.sealed);
        }
    }
}

impl Entry {
    /// As a real log has it: what it gives out is sealed.
    pub(crate) fn found(from: RestoredEntry, packet_id: Option<PacketId>, released: bool) -> Self {
        let RestoredEntry { message, qos, retain, subscription_ids, group, .. } = from;
        Self { message, qos, retain, subscription_ids, group, sealed: true, packet_id, released }
    }

    /// As a broker gets it back.
    pub(crate) fn restored(&self, order: u64) -> RestoredEntry {
        RestoredEntry {
            order,
            message: self.message.clone(),
            qos: self.qos,
            retain: self.retain,
            subscription_ids: self.subscription_ids.clone(),
            group: self.group.clone(),
        }
    }
}

impl Kept {
    /// False if it makes no sense.
    fn add(&mut self, record: &Record, now: Time) -> bool {
        match record {
            Record::Disconnected { expiry_s, .. } => {
                self.expiry_s = *expiry_s;
                self.offline_since.replace(now).is_none()
            }
            Record::Will { will, .. } => {
                std::mem::replace(&mut self.will, will.clone()).is_some() || will.is_some()
            }
            Record::Subscribed { filter, options, id, .. } => {
                self.filters.insert(filter.to_string(), (*options, *id));
                true
            }
            Record::Unsubscribed { filter, .. } => self.filters.remove(&**filter).is_some(),
            // What only seals may be under an identifier that is in use: the session ends with it.
            Record::Inbound { packet_id, seals, .. } => {
                self.inbound.insert(packet_id.get()) || seals.is_some()
            }
            Record::InboundEnd { packet_id, .. } => self.inbound.remove(&packet_id.get()),
            Record::Queued {
                order, message, qos, retain, subscription_ids, group, sealed, ..
            } => {
                let entry = Entry {
                    message: message.clone(),
                    qos: *qos,
                    retain: *retain,
                    subscription_ids: subscription_ids.clone(),
                    group: group.clone(),
                    sealed: *sealed,
                    packet_id: None,
                    released: false,
                };
                let rises = self.last_order < *order;
                self.last_order = *order;
                rises && *qos != QoS::AtMostOnce && self.entries.insert(*order, entry).is_none()
            }
            Record::InFlight { order, packet_id, .. } => {
                let used = self.entries.values().any(|e| e.packet_id == Some(*packet_id));
                let entry = self.entries.get_mut(order).filter(|_| !used);
                let waits = |e: &mut Entry| {
                    (e.sealed || e.qos == QoS::AtLeastOnce)
                        && e.packet_id.replace(*packet_id).is_none()
                };
                entry.is_some_and(waits)
            }
            Record::Released { order, .. } => {
                let entry = self.entries.get_mut(order).filter(|e| e.packet_id.is_some());
                let qos2 = |e: &&mut Entry| e.qos == QoS::ExactlyOnce;
                entry.filter(qos2).is_some_and(|e| !std::mem::replace(&mut e.released, true))
            }
            Record::Acknowledged { order, .. } => {
                self.entries.remove(order).is_some_and(|e| e.packet_id.is_some())
            }
            Record::Dropped { order, why, .. } => {
                self.entries.remove(order).is_some() && *why != DropReason::Unsealed
            }
            _ => true,
        }
    }
}

impl Kept {
    /// The session as a broker takes it at `now`, with everything that waits in memory.
    pub(crate) fn restored(&self, number: SessionNumber, now: Time) -> RestoredSession {
        let mut session = RestoredSession {
            number,
            client_id: self.client_id.as_str().into(),
            owner: self.owner.clone(),
            expiry_s: self.expiry_s,
            offline_ms: self.offline_since.map_or(0, |since| now.ms_since(since)),
            was_connected: self.offline_since.is_none(),
            subscriptions: Vec::new(),
            will: self.will.clone(),
            inbound: self.inbound.iter().filter_map(|&id| PacketId::new(id)).collect(),
            in_flight: Vec::new(),
            queued: Vec::new(),
            last_order: self.last_order,
            tail: None,
        };
        for (filter, (options, id)) in &self.filters {
            session.subscriptions.push((filter.as_str().into(), *options, *id));
        }
        for (&order, e) in &self.entries {
            session.in_flight.extend(match e.packet_id {
                None => {
                    session.queued.push(e.restored(order));
                    None
                }
                Some(id) if e.released => Some(RestoredDelivery::Release(id, order)),
                Some(id) => Some(RestoredDelivery::Publish(id, e.restored(order))),
            });
        }
        session
    }
}
