//! `$SYS/broker/...`: what the broker tells of itself, under mosquitto's main names.
//!
//! What lives here: figures to topics, and the load averages; the figures come from the shards.
//! Invariant: only what has changed is published again.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::authority::Authority;
use super::mailbox::Report;
use super::storage::LogFigures;
use super::totals::Totals;
use crate::broker::{Message, MessageParts, RetainedUsage, Time};
use crate::codec::{Properties, QoS};
use crate::topic::TopicName;

/// An exponentially damped rate per minute, over 1, 5 and 15 minutes, as mosquitto has them.
#[derive(Debug, Default)]
struct Load {
    last: u64,
    rates: [f64; 3],
}

impl Load {
    fn update(&mut self, total: u64, elapsed_s: f64) {
        let per_minute = total.saturating_sub(self.last) as f64 * 60.0 / elapsed_s;
        self.last = total;
        for (rate, minutes) in self.rates.iter_mut().zip([1.0, 5.0, 15.0]) {
            let keep = decay(elapsed_s / (minutes * 60.0));
            *rate = per_minute + keep * (*rate - per_minute);
        }
    }
}

/// e to the power of `-x`, for `x` from 0 on, to nine digits. Nothing else here needs the system's
/// mathematical library: loading it for this would cost 400 KiB of memory.
fn decay(x: f64) -> f64 {
    const SQUARINGS: i32 = 10;
    if x > 100.0 {
        return 0.0;
    }
    let y = x / f64::from(1 << SQUARINGS);
    let part = (1..=8).rev().fold(1.0, |sum, n| 1.0 - y / f64::from(n) * sum);
    (0..SQUARINGS).fold(part, |power, _| power * power)
}

/// The state between two rounds.
#[derive(Debug, Default)]
pub(crate) struct Sys {
    published: BTreeMap<String, String>,
    loads: BTreeMap<&'static str, Load>,
    clients_maximum: u64,
    scratch: Vec<u8>,
}

/// What one round is made of.
pub(crate) struct Figures<'a> {
    pub(crate) report: Report,
    pub(crate) retained: RetainedUsage,
    pub(crate) totals: &'a Totals,
    pub(crate) authority: &'a Authority,
    pub(crate) log_lines_dropped: u64,
    /// `None`: nothing is kept on disk
    pub(crate) log: Option<LogFigures>,
    pub(crate) uptime_s: u64,
    /// since the round before
    pub(crate) elapsed_s: f64,
}

impl Sys {
    /// The messages of this round: what is new or has changed.
    pub(crate) fn round(&mut self, f: &Figures<'_>) -> Vec<Message> {
        let mut topics = BTreeMap::new();
        gauges(f, &mut self.clients_maximum, &mut topics);
        dropped(f, &mut topics);
        kept(f.log.as_ref(), &mut topics);
        for (topic, value) in f.authority.counts().topics() {
            topics.insert(topic.into(), value.to_string());
        }
        topics.insert("auth/hash/bytes".into(), f.authority.hash_memory_bytes().to_string());
        self.load(f, &mut topics);
        let mut messages = Vec::new();
        for (topic, value) in topics {
            let topic = format!("$SYS/broker/{topic}");
            if self.published.get(&topic) != Some(&value) {
                messages.extend(message(&topic, &value, &mut self.scratch));
                self.published.insert(topic, value);
            }
        }
        messages
    }

    fn load(&mut self, f: &Figures<'_>, topics: &mut BTreeMap<String, String>) {
        let c = &f.report.counters;
        for (name, total) in [
            ("messages/received", c.packets_received),
            ("messages/sent", c.packets_sent),
            ("publish/received", c.publish_received),
            ("publish/sent", c.publish_sent),
            ("publish/dropped", dropped_messages(f)),
            ("bytes/received", f.report.bytes_received),
            ("bytes/sent", f.report.bytes_sent),
            ("connections", c.connects),
        ] {
            let load = self.loads.entry(name).or_default();
            load.update(total, f.elapsed_s);
            for (rate, window) in load.rates.iter().zip(["1min", "5min", "15min"]) {
                topics.insert(format!("load/{name}/{window}"), format!("{rate:.2}"));
            }
        }
    }
}

fn dropped_messages(f: &Figures<'_>) -> u64 {
    let c = &f.report.counters;
    c.dropped_qos0
        + c.dropped_qos0_total
        + c.dropped_peer_qos0
        + c.dropped_queue_full
        + c.dropped_expired
        + c.dropped_too_large
        + c.dropped_no_member
        + c.dropped_not_authorized
        + c.dropped_not_receivable
        + c.dropped_quota
}

fn gauges(f: &Figures<'_>, maximum: &mut u64, topics: &mut BTreeMap<String, String>) {
    let c = &f.report.counters;
    *maximum = c.sessions.max(*maximum);
    let disconnected = c.sessions.saturating_sub(c.links);
    let retained = f.retained.count as u64;
    let stored = retained + c.queued_messages + c.in_flight;
    let stored_bytes = f.retained.bytes as u64 + c.queued_bytes;
    topics.insert("version".into(), concat!("stonechat ", env!("CARGO_PKG_VERSION")).into());
    topics.insert("uptime".into(), format!("{} seconds", f.uptime_s));
    for (topic, value) in [
        ("clients/total", c.sessions),
        ("clients/maximum", *maximum),
        ("clients/connected", c.links),
        ("clients/active", c.links),
        ("clients/disconnected", disconnected),
        ("clients/inactive", disconnected),
        ("clients/expired", c.sessions_expired),
        ("connections/total", f.totals.connections() as u64),
        ("messages/received", c.packets_received),
        ("messages/sent", c.packets_sent),
        ("messages/stored", stored),
        ("messages/inflight", c.in_flight),
        ("messages/queued", c.queued_messages),
        ("store/messages/count", stored),
        ("store/messages/bytes", stored_bytes),
        ("publish/messages/received", c.publish_received),
        ("publish/messages/sent", c.publish_sent),
        ("publish/messages/dropped", dropped_messages(f)),
        ("publish/bytes/received", c.publish_bytes_received),
        ("publish/bytes/sent", c.publish_bytes_sent),
        ("bytes/received", f.report.bytes_received),
        ("bytes/sent", f.report.bytes_sent),
        ("output/bytes", f.report.output_bytes),
        ("subscriptions/count", c.subscriptions),
        ("retained messages/count", retained),
        ("retained messages/bytes", f.retained.bytes as u64),
        ("wills/count", c.wills),
    ] {
        topics.insert(topic.into(), value.to_string());
    }
}

/// One topic for each limit: how often it was met.
fn dropped(f: &Figures<'_>, topics: &mut BTreeMap<String, String>) {
    let (c, t) = (&f.report.counters, f.totals);
    let load =
        |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    for (topic, value) in [
        ("output_bytes_max", c.dropped_qos0),
        ("output_total_bytes_max", c.dropped_qos0_total),
        ("offline_qos0", c.dropped_qos0_offline),
        ("peer_bytes_max", c.dropped_peer_qos0),
        ("peer_bytes_max/paused", c.paused_links),
        ("queue_full", c.dropped_queue_full),
        ("message_expiry", c.dropped_expired),
        ("maximum_packet_size", c.dropped_too_large),
        ("no_shared_member", c.dropped_no_member),
        ("sys_publish", c.dropped_dollar_sys),
        ("retained_max", c.refused_retained),
        ("sessions_max", c.refused_connects),
        ("subscriptions_max", c.refused_subscriptions),
        ("filters_per_packet_max", c.closed_filters),
        ("connections_max", load(&t.refused_connections)),
        ("connections_per_s_max", load(&t.refused_rate)),
        ("failed_connects", load(&t.failed_connects)),
        ("failed_handshakes", load(&t.failed_handshakes)),
        ("handshakes_max", load(&t.evicted_guests)),
        ("handshakes_per_source_max", load(&t.refused_handshakes)),
        ("deny_from", load(&t.refused_sources)),
        ("half_received_bytes_max", load(&t.half_received_refused)),
        ("log_lines", f.log_lines_dropped),
        ("refused_by_clients", c.refused_by_clients),
        ("stale_inputs", c.stale_inputs),
        ("no_room", c.refused_no_room),
        ("no_room_ms/closed", c.closed_no_room),
        ("queue_full/refused", c.refused_queue_full),
        ("uncommitted_bytes_max/paused", c.paused_uncommitted),
        ("not_authorized", c.dropped_not_authorized),
        ("not_authorized/receivers", c.dropped_not_receivable),
        ("not_authorized/refused", c.refused_not_authorized),
        ("not_authorized/asked", c.asked),
        ("not_authorized/ended", c.closed_at_end),
        ("quota", c.dropped_quota),
        ("quota/throttled", c.throttled),
        ("quota/closed", c.closed_quota),
    ] {
        topics.insert(format!("limits/{topic}"), value.to_string());
    }
    let mut bytes = String::new();
    let _ = write!(bytes, "{}", t.half_received_bytes());
    topics.insert("half received/bytes".into(), bytes);
}

/// What stands on disk, and how it gets there.
fn kept(log: Option<&LogFigures>, topics: &mut BTreeMap<String, String>) {
    let state = match log {
        None => "memory",
        Some(LogFigures { poisoned: true, .. }) => "failed",
        Some(LogFigures { full: true, .. }) => "full",
        Some(_) => "ok",
    };
    topics.insert("store/log/state".into(), state.into());
    let Some(log) = log else { return };
    for (topic, value) in [
        ("bytes", log.log_bytes),
        ("bytes/written", log.batch_bytes),
        ("batches", log.batches),
        ("syncs", log.syncs),
        ("records", log.records),
        ("records/void", log.void),
    ] {
        topics.insert(format!("store/log/{topic}"), value.to_string());
    }
}

fn message(topic: &str, value: &str, scratch: &mut Vec<u8>) -> Option<Message> {
    let parts = MessageParts {
        qos: QoS::AtMostOnce,
        retain: true,
        expires: Time::NEVER,
        publisher: 0,
        topic: TopicName::new(topic).ok()?,
        properties: Properties::default(),
        payload: value.as_bytes(),
    };
    Some(Message::new(&parts, scratch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Settings, Sources};

    #[test]
    fn only_what_changed_is_published() {
        let (mut sys, totals) = (Sys::default(), Totals::default());
        let settings = Settings::load(&Sources::default()).unwrap().settings;
        let authority = Authority::open(&settings, std::time::Instant::now()).unwrap();
        let mut figures = Figures {
            report: Report::default(),
            retained: RetainedUsage { count: 0, bytes: 0 },
            totals: &totals,
            authority: &authority,
            log_lines_dropped: 0,
            log: None,
            uptime_s: 10,
            elapsed_s: 10.0,
        };
        let first = sys.round(&figures);
        assert!(first.len() > 40);
        assert!(first.iter().any(|m| m.topic_str() == "$SYS/broker/version"));
        assert!(sys.round(&figures).is_empty());
        figures.report.counters.links = 3;
        let topics: Vec<String> =
            sys.round(&figures).iter().map(|m| m.topic_str().to_owned()).collect();
        assert_eq!(topics, ["$SYS/broker/clients/active", "$SYS/broker/clients/connected"]);
    }

    #[test]
    fn decay_is_the_power_of_e() {
        let xs = [0.0, 1e-9, 0.001, 10.0 / 900.0, 1.0 / 6.0, 1.0, 9.7, 72.0, 99.9, 101.0, 1e9];
        for x in xs {
            let (ours, exact) = (decay(x), f64::exp(-x));
            assert!((ours - exact).abs() <= exact * 1e-9 + 1e-40, "{x}: {ours} {exact}");
        }
    }

    #[test]
    fn a_load_average_nears_the_rate() {
        let mut load = Load::default();
        for n in 1..=60 {
            load.update(n * 100, 10.0);
        }
        assert!((load.rates[0] - 600.0).abs() < 1.0, "{:?}", load.rates);
        assert!(load.rates[2] < load.rates[1] && load.rates[1] < load.rates[0]);
    }
}
