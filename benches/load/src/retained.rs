//! Retained messages: many are stored, then one subscriber asks for all of them. Uses what is below
//! `main`; every one of them must come, once, as it was stored.

use crate::connection::{Client, Connection, READ_BYTES};
use crate::error::{Error, Result};
use crate::layers::Recipe;
use crate::options::Options;
use crate::packets::{self, Template, kind};
use crate::poller::{Interest, Patience, Poller};
use crate::process::Usage;
use crate::report::Report;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Packet identifier of the SUBSCRIBE.
const SUBSCRIBE_ID: u16 = 1;

/// Runs the scenario.
pub fn run(options: &Options) -> Result<Report> {
    let recipe = Recipe::new(options)?;
    let count = options.count.unwrap_or(100_000);
    let usage = || options.pid.map(Usage::of).transpose();
    let before = usage()?;
    let begun = Instant::now();
    store(options, &recipe, count)?;
    let store_secs = begun.elapsed().as_secs_f64();
    // What is freed late is not to count as stored.
    sleep(Duration::from_millis(200));
    let stored = usage()?;
    let begun = Instant::now();
    let mut seen = vec![0u32; count as usize];
    let wrong = fetch(options, &recipe, &mut seen)?;
    let secs = begun.elapsed().as_secs_f64();
    let fetched = usage()?;
    let received: u64 = seen.iter().map(|&times| u64::from(times)).sum();
    let mut report = Report::new(&options.scenario);
    report
        .value("count", count)
        .value("delivered", received)
        .value("undelivered", seen.iter().filter(|&&times| times == 0).count())
        .value("duplicates", seen.iter().filter(|&&times| times > 1).count())
        .value("wrong", wrong)
        .ratio("stored_per_s", count as f64 / store_secs)
        .ratio("delivered_per_s", received as f64 / secs);
    if let (Some(before), Some(stored), Some(fetched)) = (before, stored, fetched) {
        let bytes = (stored.rss_kib as f64 - before.rss_kib as f64) * 1024.0;
        let store_us = (stored.cpu_ns - before.cpu_ns) as f64 / 1e3;
        report
            .ratio("bytes_per_message", bytes / count as f64)
            .ratio("cpu_us_per_store", store_us / count as f64)
            .cost(&stored, &fetched, received, secs);
    }
    Ok(report)
}

fn topic(n: u64) -> String {
    format!("kept/{}/{}/{n}", n % 100, n % 1000)
}

/// Stores them at QoS 1, so that it is known that they are stored.
fn store(options: &Options, recipe: &Recipe, count: u64) -> Result<()> {
    let client = Client::new(format!("load-store-{}", std::process::id()));
    let mut connection = Connection::open(options, recipe, &client)?;
    let mut poller = Poller::new()?;
    connection.watch(&poller, Interest::Read, 0)?;
    let (mut sent, mut answered, mut refused) = (0, 0, 0);
    let (mut ready, mut scratch) = (Vec::new(), vec![0; READ_BYTES]);
    let mut patience = Patience::new(options.quiet);
    while answered < count {
        while sent < count && sent < answered + options.window && !connection.blocked {
            let bytes = options.payload_bytes;
            let mut template = Template::new(options.version, &topic(sent), 1, true, bytes, 0);
            template.put(&mut connection.output, 0, sent);
            sent += 1;
        }
        connection.send(&poller, 0)?;
        poller.wait(Some(100), &mut ready)?;
        patience.note(!ready.is_empty(), 100);
        for one in &ready {
            if one.write {
                connection.unblock(&poller, 0)?;
            }
            connection.read(&mut scratch, |packet, _| {
                answered += u64::from(packet[0] >> 4 == kind::PUBACK);
                refused += u64::from(packets::answer(packet).1 >= 0x80);
            })?;
        }
        if refused > 0 || connection.closed {
            return Err(Error::Broker(format!("refuses retained messages, {answered} stored")));
        }
        if patience.is_over() {
            return Err(Error::TooLate("the acknowledgements of retained messages"));
        }
    }
    connection.disconnect()
}

/// Subscribes and counts what comes; how much of it was not right.
fn fetch(options: &Options, recipe: &Recipe, seen: &mut [u32]) -> Result<u64> {
    let version = options.version;
    let client = Client::new(format!("load-fetch-{}", std::process::id()));
    let mut connection = Connection::open(options, recipe, &client)?;
    let mut poller = Poller::new()?;
    connection.watch(&poller, Interest::Read, 0)?;
    let subscribe = packets::subscribe(version, SUBSCRIBE_ID, &["kept/#"], 0);
    connection.output.extend_from_slice(&subscribe);
    connection.send(&poller, 0)?;
    let like = [Template::new(version, "x", 0, true, options.payload_bytes, 0)];
    let (mut left, mut wrong) = (seen.len(), 0);
    let (mut ready, mut scratch) = (Vec::new(), vec![0; READ_BYTES]);
    let mut patience = Patience::new(options.quiet);
    while left > 0 && !patience.is_over() && !connection.closed {
        poller.wait(Some(100), &mut ready)?;
        patience.note(!ready.is_empty(), 100);
        if ready.is_empty() {
            continue;
        }
        connection.read(&mut scratch, |packet, _| {
            if packet[0] >> 4 == kind::SUBACK {
                return;
            }
            match stored(version, packet, &like[0]).and_then(|seq| seen.get_mut(seq as usize)) {
                Some(times) => {
                    left -= usize::from(*times == 0);
                    *times += 1;
                }
                None => wrong += 1,
            }
        })?;
    }
    Ok(wrong)
}

/// The number of a message that is as it was stored.
fn stored(version: u8, packet: &[u8], like: &Template) -> Option<u64> {
    let publish = packets::publish(version, packet)?;
    let (head, filling) = packets::payload(publish.payload)?;
    let same = packet[0] == 0x31 && filling == like.filling();
    (same && publish.topic == topic(head.seq).as_bytes()).then_some(head.seq)
}
