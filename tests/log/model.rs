//! What a log has to hold, kept in plain maps; and the same, read out of a recovered log.

use std::collections::BTreeMap;

use stonechat::broker::{Message, Time};
use stonechat::store::{Disk, Owner, Reader, Record, Recovered, Shared};

/// A message, as far as one can tell from outside. Expiry is on the simulator's clock.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub retain: bool,
    pub publisher: u64,
    pub expires: Option<u64>,
    pub properties: Vec<u8>,
}

/// `start` is where the process's clock began on the simulator's.
pub fn text(message: &Message, start: u64) -> Text {
    let expires = message.expires();
    Text {
        topic: message.topic_str().to_owned(),
        payload: message.payload().to_owned(),
        qos: message.qos() as u8,
        retain: message.retain(),
        publisher: message.publisher(),
        expires: (expires != Time::NEVER).then(|| expires.0 + start),
        properties: message.properties().to_owned(),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `None`: released
    pub message: Option<Text>,
    pub qos: u8,
    pub retain: bool,
    pub ids: Vec<u32>,
    pub group: Option<String>,
    pub packet_id: Option<u16>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    pub client_id: String,
    pub owner: Owner,
    pub expiry_s: u32,
    /// when, on the simulator's clock
    pub offline: Option<u64>,
    pub will: Option<(Text, u32, Option<u32>)>,
    pub subscriptions: BTreeMap<String, (String, Option<u32>)>,
    pub inbound: Vec<u16>,
    pub entries: BTreeMap<u64, Entry>,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub sessions: BTreeMap<u64, Session>,
    /// version and message, `None` once cleared
    pub retained: BTreeMap<String, (u64, Option<Text>)>,
    /// entries that are not sealed, by payload
    pub unsealed: Vec<(Vec<u8>, u64, u64)>,
}

/// What counts after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub sessions: BTreeMap<u64, Session>,
    pub retained: BTreeMap<String, (u64, Text)>,
}

impl Model {
    pub fn apply(&mut self, record: &Record, now: u64, start: u64) {
        let record = &record.clone().spelled_out();
        if let Some(session) = record.session().filter(|s| !self.sessions.contains_key(&s.0)) {
            assert!(matches!(record, Record::Session { .. }), "no session {session:?}: {record:?}");
            self.sessions.insert(session.0, Session::default());
        }
        let number = record.session().map_or(0, |session| session.0);
        match record {
            Record::SessionEnd { session } => {
                self.sessions.remove(&session.0);
                self.unsealed.retain(|(_, s, _)| *s != session.0);
            }
            Record::Retained { version, message } => {
                let text = (!message.payload().is_empty()).then(|| text(message, start));
                let known = self.retained.entry(message.topic_str().to_owned()).or_default();
                if *version > known.0 {
                    *known = (*version, text);
                }
            }
            Record::Inbound { seals: Some(message), packet_id, .. } => {
                self.unsealed.retain(|(payload, ..)| payload != message.payload());
                let s = self.sessions.get_mut(&number).unwrap();
                s.inbound.push(packet_id.get());
            }
            Record::Queued { session, order, message, sealed: false, .. } => {
                self.unsealed.push((message.payload().to_owned(), session.0, *order));
                self.sessions.get_mut(&number).unwrap().apply(record, now, start);
            }
            Record::Acknowledged { session, order }
            | Record::Released { session, order }
            | Record::Dropped { session, order, .. } => {
                self.unsealed.retain(|(_, s, o)| (*s, *o) != (session.0, *order));
                self.sessions.get_mut(&number).unwrap().apply(record, now, start);
            }
            _ => self.sessions.get_mut(&number).unwrap().apply(record, now, start),
        }
    }

    /// What has to be there after a restart at `now`.
    pub fn held(&self, now: u64) -> Held {
        let mut held = Held { sessions: self.sessions.clone(), ..Held::default() };
        for (_, session, order) in &self.unsealed {
            held.sessions.get_mut(session).unwrap().entries.remove(order);
        }
        for s in held.sessions.values_mut() {
            s.inbound.sort_unstable();
        }
        for (topic, (version, text)) in &self.retained {
            let alive = text.clone().filter(|text| text.expires.is_none_or(|at| at > now));
            if let Some(text) = alive {
                held.retained.insert(topic.clone(), (*version, text));
            }
        }
        held
    }
}

impl Held {
    /// Where this is not one of `states`, in a few lines.
    pub fn difference(&self, states: &[Self]) -> String {
        let mut out = String::new();
        for (name, state) in [("first", states.first()), ("last", states.last())] {
            let Some(state) = state else { continue };
            for number in self.sessions.keys().chain(state.sessions.keys()) {
                let (a, b) = (self.sessions.get(number), state.sessions.get(number));
                if a != b {
                    let (a, b) = (format!("{a:?}"), format!("{b:?}"));
                    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
                    let from = same.saturating_sub(200);
                    let part = |s: &str| s.chars().skip(from).take(320).collect::<String>();
                    out += &format!("{name}: session {number}:\n{}\n{}\n", part(&a), part(&b));
                }
            }
            for topic in self.retained.keys().chain(state.retained.keys()) {
                let (a, b) = (self.retained.get(topic), state.retained.get(topic));
                if a != b {
                    out += &format!("{name}: {topic}: {a:?}\n{b:?}\n");
                }
            }
        }
        out.chars().take(2500).collect()
    }

    /// A process that starts at `start` cannot tell what expired before.
    pub fn seen_from(mut self, start: u64) -> Self {
        let clamp = |text: &mut Text| text.expires = text.expires.map(|at| at.max(start));
        for s in self.sessions.values_mut() {
            s.entries.values_mut().filter_map(|e| e.message.as_mut()).for_each(clamp);
            s.will.iter_mut().for_each(|(text, ..)| clamp(text));
        }
        self.retained.values_mut().for_each(|(_, text)| clamp(text));
        self
    }
}

impl Session {
    fn apply(&mut self, record: &Record, now: u64, start: u64) {
        match record {
            Record::Session { client_id, expiry_s, owner, .. } => {
                (self.client_id, self.owner) = (client_id.to_string(), owner.clone());
                (self.expiry_s, self.offline) = (*expiry_s, None);
            }
            Record::Disconnected { expiry_s, .. } => {
                (self.expiry_s, self.offline) = (*expiry_s, Some(now));
            }
            Record::Will { will, .. } => {
                let will = will.as_ref();
                self.will = will.map(|w| (text(&w.message, start), w.delay_s, w.expiry_s));
            }
            Record::Subscribed { filter, options, id, .. } => {
                self.subscriptions.insert(filter.to_string(), (format!("{options:?}"), *id));
            }
            Record::Unsubscribed { filter, .. } => {
                self.subscriptions.remove(&**filter);
            }
            Record::Queued { order, message, qos, retain, subscription_ids, group, .. } => {
                let entry = Entry {
                    message: Some(text(message, start)),
                    qos: *qos as u8,
                    retain: *retain,
                    ids: subscription_ids.to_vec(),
                    group: group.as_ref().map(ToString::to_string),
                    packet_id: None,
                };
                assert!(self.entries.insert(*order, entry).is_none());
            }
            Record::InFlight { order, packet_id, .. } => {
                self.entries.get_mut(order).unwrap().packet_id = Some(packet_id.get());
            }
            Record::Released { order, .. } => {
                let entry = self.entries.get_mut(order).unwrap();
                let packet_id = entry.packet_id;
                *entry = released(packet_id);
            }
            Record::Acknowledged { order, .. } | Record::Dropped { order, .. } => {
                self.entries.remove(order).unwrap();
            }
            Record::Inbound { packet_id, .. } => self.inbound.push(packet_id.get()),
            Record::InboundEnd { packet_id, .. } => {
                self.inbound.retain(|id| *id != packet_id.get());
            }
            _ => unreachable!(),
        }
    }
}

fn released(packet_id: Option<u16>) -> Entry {
    Entry { message: None, qos: 2, retain: false, ids: vec![], group: None, packet_id }
}

/// Reads everything out of a log that was opened at `now`, when the process's clock began at
/// `start`. Panics where the parts contradict each other.
pub fn read_out<D: Disk, S: Shared<D::File>>(
    recovered: &Recovered,
    reader: &mut Reader<D, S>,
    now: u64,
    start: u64,
) -> Held {
    let mut held = Held::default();
    for r in &recovered.sessions {
        let mut s = Session {
            client_id: r.client_id.to_string(),
            owner: r.owner.clone(),
            expiry_s: r.expiry_s,
            offline: (!r.was_connected).then(|| now - r.offline_ms),
            will: r.will.as_ref().map(|w| (text(&w.message, start), w.delay_s, w.expiry_s)),
            inbound: r.inbound.iter().map(|id| id.get()).collect(),
            ..Session::default()
        };
        for (filter, options, id) in &r.subscriptions {
            s.subscriptions.insert(filter.to_string(), (format!("{options:?}"), *id));
        }
        let mut from = Some(0);
        let (mut waiting, mut bytes) = (0, 0);
        while let Some(order) = from {
            let loaded = reader.load(r.number, order, 3, 4096).unwrap();
            assert!(loaded.unreadable.is_empty(), "{:?}", loaded.unreadable);
            for l in loaded.entries {
                let flight = r.in_flight.iter().find(|f| f.order == l.order);
                assert_eq!(flight.map(|f| f.packet_id), l.packet_id);
                assert!(flight.is_none_or(|f| !f.released && f.qos == l.qos));
                if flight.is_none() {
                    (waiting, bytes) = (waiting + 1, bytes + l.message.cost_bytes());
                    assert!(r.first_order.is_some_and(|first| first <= l.order));
                }
                assert!(l.order < r.next_order);
                let entry = Entry {
                    message: Some(text(&l.message, start)),
                    qos: l.qos as u8,
                    retain: l.retain,
                    ids: l.subscription_ids.to_vec(),
                    group: l.group.map(|group| group.to_string()),
                    packet_id: l.packet_id.map(|id| id.get()),
                };
                assert!(s.entries.insert(l.order, entry).is_none());
            }
            from = loaded.next_order;
        }
        assert_eq!((r.queued, r.queued_bytes), (waiting, bytes));
        for f in r.in_flight.iter().filter(|f| f.released) {
            assert!(f.order < r.next_order);
            assert!(s.entries.insert(f.order, released(Some(f.packet_id.get()))).is_none());
        }
        held.sessions.insert(r.number.0, s);
    }
    for (version, message) in &recovered.retained {
        let text = text(message, start);
        held.retained.insert(text.topic.clone(), (*version, text));
    }
    held
}
