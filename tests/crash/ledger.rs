//! What was published, what was acknowledged and what arrived; and what must hold of the three.
//!
//! A message is named by its publisher and its serial number, which stand in its payload. All that
//! the rest of the payload holds follows from the two.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use stonechat::codec::QoS;
use stonechat::topic::SubscriptionFilter;

use crate::support::client::Got;

/// The topic of the message that ends it all.
pub(crate) const END: &str = "end";

/// A message that was published.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) topic: String,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// the tick before it was sent first; 0: it must never be published
    pub(crate) at: u64,
    pub(crate) acknowledged: bool,
}

/// By publisher; a message's serial number is its place.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<BTreeMap<&'static str, Vec<Sent>>>);

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrival {
    pub(crate) from: String,
    pub(crate) serial: usize,
    pub(crate) qos: u8,
}

/// A session and all that it ever got.
pub(crate) struct Diary {
    pub(crate) name: &'static str,
    /// filter, QoS, and the tick at its SUBACK
    pub(crate) filters: Vec<(&'static str, QoS, u64)>,
    pub(crate) arrivals: Vec<Arrival>,
}

/// The payload of a message.
pub(crate) fn payload(from: &str, serial: usize) -> Vec<u8> {
    let mut bytes = format!("{from}:{serial}:").into_bytes();
    // Mostly small; one in sixteen is some KiB.
    let len = if serial % 16 == 7 { 2000 + serial * 37 % 6000 } else { serial * 31 % 200 };
    bytes.resize(bytes.len() + len, b'a' + (serial % 26) as u8);
    bytes
}

/// Reads what a payload says; a payload that is not exactly what it has to be fails.
pub(crate) fn read(got: &Got) -> Arrival {
    let mut parts = got.payload.splitn(3, |&b| b == b':').map(String::from_utf8_lossy);
    let from = parts.next().unwrap().into_owned();
    let serial = parts.next().and_then(|n| n.parse().ok());
    let serial = serial.unwrap_or_else(|| panic!("nobody's message: {got:?}"));
    assert_eq!(got.payload, payload(&from, serial), "{from}:{serial} was changed");
    Arrival { from, serial, qos: got.qos as u8 }
}

impl Ledger {
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Vec<Sent>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message is about to be sent; its serial number.
    pub(crate) fn sent(&self, from: &'static str, sent: Sent) -> usize {
        let mut all = self.lock();
        let own = all.entry(from).or_default();
        own.push(sent);
        own.len() - 1
    }

    pub(crate) fn acknowledged(&self, from: &str, serial: usize) {
        self.lock().get_mut(from).unwrap()[serial].acknowledged = true;
    }

    /// The last acknowledged and the last sent retained message of each topic.
    pub(crate) fn retained(&self) -> BTreeMap<String, (Option<usize>, usize)> {
        let mut found = BTreeMap::new();
        for sent in self.lock().values() {
            for (serial, sent) in sent.iter().enumerate().filter(|(_, sent)| sent.retain) {
                let entry = found.entry(sent.topic.clone()).or_insert((None, serial));
                entry.1 = serial;
                if sent.acknowledged {
                    entry.0 = Some(serial);
                }
            }
        }
        found
    }

    /// Everything that is wrong with what one session got; members of a shared group may miss what
    /// others got.
    pub(crate) fn judge(&self, diary: &Diary, wrong: &mut Vec<String>) {
        let mut last: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut seen: BTreeSet<(&str, usize)> = BTreeSet::new();
        let all = self.lock();
        let who = diary.name;
        for arrival in &diary.arrivals {
            let Arrival { from, serial, qos } = arrival;
            let sent = all.get(from.as_str()).and_then(|own| own.get(*serial));
            let Some(sent) = sent.filter(|sent| sent.at > 0) else {
                wrong.push(format!("{who}: {from}:{serial} was never published"));
                continue;
            };
            let Some(granted) = diary.covers(sent) else {
                wrong.push(format!("{who}: {from}:{serial} on {}, not subscribed", sent.topic));
                continue;
            };
            let effective = granted.min(sent.qos as u8);
            if *qos != effective {
                wrong.push(format!("{who}: {from}:{serial} at QoS {qos}, not {effective}"));
            }
            if !seen.insert((from, *serial)) {
                if effective == 2 {
                    wrong.push(format!("{who}: {from}:{serial} twice at QoS 2"));
                }
                continue;
            }
            // What was sent before there was a subscription, and is sent again after a crash, comes
            // behind later messages with good reason: it was not for this session the first time.
            if diary.is_member() || !diary.has_to_get(sent) {
                continue;
            }
            let last = last.entry((from, &sent.topic)).or_insert(*serial);
            if *last > *serial {
                wrong.push(format!("{who}: {from}:{serial} behind {last} on {}", sent.topic));
            }
            *last = *serial;
        }
        if !diary.is_member() {
            let is_missing = |from: &str, serial| !seen.contains(&(from, serial));
            missing(&all, diary, is_missing, wrong);
        }
    }

    /// The same for a whole group: each message reaches one of them.
    pub(crate) fn judge_group(&self, members: &[&Diary], wrong: &mut Vec<String>) {
        let mut seen: BTreeMap<(&str, usize), usize> = BTreeMap::new();
        let all = self.lock();
        for arrival in members.iter().flat_map(|member| &member.arrivals) {
            *seen.entry((&arrival.from, arrival.serial)).or_default() += 1;
        }
        for ((from, serial), times) in &seen {
            let Some(sent) = all.get(from).and_then(|own| own.get(*serial)) else { continue };
            let shared = members[0].covers_shared(sent);
            if *times > 1 && shared.is_some_and(|granted| granted.min(sent.qos as u8) == 2) {
                wrong.push(format!("the group: {from}:{serial} {times} times at QoS 2"));
            }
        }
        let is_missing = |from: &str, serial| !seen.contains_key(&(from, serial));
        missing(&all, members[0], is_missing, wrong);
    }
}

fn missing(
    all: &BTreeMap<&'static str, Vec<Sent>>,
    diary: &Diary,
    is_missing: impl Fn(&str, usize) -> bool,
    wrong: &mut Vec<String>,
) {
    for (from, sent) in all {
        for (serial, sent) in sent.iter().enumerate() {
            if sent.acknowledged && diary.has_to_get(sent) && is_missing(from, serial) {
                let (who, topic, qos) = (diary.name, &sent.topic, sent.qos as u8);
                wrong.push(format!("{who}: {from}:{serial} lost, QoS {qos}, topic {topic}"));
            }
        }
    }
}

impl Diary {
    pub(crate) fn is_member(&self) -> bool {
        self.filters.iter().any(|(filter, ..)| filter.starts_with("$share/"))
    }

    /// The highest QoS of the filters that match, whenever they were subscribed.
    fn covers(&self, sent: &Sent) -> Option<u8> {
        let matching = self.filters.iter().filter(|(filter, ..)| matches(filter, &sent.topic));
        matching.map(|(_, qos, _)| *qos as u8).max()
    }

    fn covers_shared(&self, sent: &Sent) -> Option<u8> {
        let shared = self.filters.iter().filter(|(filter, ..)| filter.starts_with("$share/"));
        let mut matching = shared.filter(|(filter, ..)| matches(filter, &sent.topic));
        matching.next().map(|(_, qos, _)| *qos as u8)
    }

    /// Whether the subscription was there before the message.
    fn has_to_get(&self, sent: &Sent) -> bool {
        let before = self.filters.iter().filter(|(.., since)| *since > 0 && *since < sent.at);
        before.into_iter().any(|(filter, ..)| matches(filter, &sent.topic))
    }
}

/// MQTT's rule, written a second time: what the broker does is not to be judged by itself.
fn matches(filter: &str, topic: &str) -> bool {
    assert!(SubscriptionFilter::parse(filter).is_ok(), "{filter}");
    let filter = match filter.strip_prefix("$share/") {
        Some(rest) => rest.split_once('/').unwrap().1,
        None => filter,
    };
    let (mut wanted, mut levels) = (filter.split('/'), topic.split('/'));
    loop {
        match (wanted.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a session with one filter, subscribed at tick 10, has to say of these arrivals.
    fn judged(arrivals: &[usize]) -> Vec<String> {
        let ledger = Ledger::default();
        for at in [8, 9, 11, 12] {
            let (topic, qos) = ("a/one".to_owned(), QoS::AtLeastOnce);
            ledger.sent("one", Sent { topic, qos, retain: false, at, acknowledged: false });
        }
        let arrival = |&serial| Arrival { from: "one".into(), serial, qos: 1 };
        let filters = vec![("a/#", QoS::AtLeastOnce, 10)];
        let arrivals = arrivals.iter().map(arrival).collect();
        let mut wrong = Vec::new();
        ledger.judge(&Diary { name: "late", filters, arrivals }, &mut wrong);
        wrong
    }

    #[test]
    fn order_counts_from_the_subscription_on() {
        assert!(judged(&[0, 1, 2, 3]).is_empty());
        // 1 was on its way before the subscription; after a crash it is sent again.
        assert!(judged(&[2, 1, 2, 3]).is_empty());
        assert!(judged(&[2, 3, 2, 3]).is_empty(), "a repetition");
        assert_eq!(judged(&[3, 2]), ["late: one:2 behind 3 on a/one"]);
    }
}
