//! The real program on loopback, with one shard and the default configuration: a message's round
//! trip from a publisher to a subscriber (QoS 0, and QoS 1 with both acknowledgements), and a
//! stream of 1,000 messages sent in one piece.
//!
//! Run: `cargo bench --bench end_to_end`, or `-- --quick`. It measures time, with clients on the
//! same machine; CPU time per message, which is what brokers are compared by, is measured by the
//! load program in `benches/load/`. 2026-11-20, 2 processors: 17 µs for a round trip
//! at QoS 0, 28 µs at QoS 1; `benches/README.md` has the table.
#![allow(clippy::unwrap_used, reason = "a bench may end where it finds what cannot be")]
#![allow(clippy::disallowed_methods, reason = "clients wait, and have a clock to give up by")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use stonechat::codec::{Ack, Framed, Packet, QoS, ReasonCode, Version, frame};
use support::broker::{Broker, broker};
use support::client::{Client, bytes_of, publish, subscribe};

const STREAM: usize = 1_000;
const TOPIC: &str = "plant/7/line/12/device/345/temperature";
const VERSION: Version = Version::V5;

/// A connected client's socket, the handshake and one subscription behind it.
fn connected(broker: &Broker, client_id: &str, filter: Option<QoS>) -> TcpStream {
    let mut client = Client::new(broker, client_id);
    if let Some(qos) = filter {
        client.send(&subscribe("plant/#", qos, 1));
        client.hear(); // SUBACK
    }
    client.socket
}

/// The receiving end of a stream.
struct Receiver {
    socket: TcpStream,
    bytes: Vec<u8>,
    filled: usize,
}

impl Receiver {
    fn new(socket: TcpStream) -> Self {
        Self { socket, bytes: vec![0; 1 << 20], filled: 0 }
    }

    /// Waits for so many PUBLISHes.
    fn receive(&mut self, mut publishes: usize) {
        while publishes > 0 {
            let n = self.socket.read(&mut self.bytes[self.filled..]).unwrap();
            assert!(n > 0, "the broker closed the connection");
            self.filled += n;
            let mut at = 0;
            while let Framed::Whole(frame) =
                frame(&self.bytes[at..self.filled], usize::MAX).unwrap()
            {
                publishes -= usize::from(frame.first >> 4 == 3);
                at += frame.len;
            }
            self.bytes.copy_within(at..self.filled, 0);
            self.filled -= at;
        }
    }
}

fn configure<'a>(c: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    group.sample_size(20);
    group
}

fn message(qos: QoS) -> Vec<u8> {
    bytes_of(&Packet::Publish(publish(TOPIC, &[b'x'; 100], qos, 1)), VERSION)
}

fn qos0(c: &mut Criterion) {
    let broker = broker("");
    let mut publisher = connected(&broker, "publisher", None);
    let mut receiver = Receiver::new(connected(&broker, "receiver", Some(QoS::AtMostOnce)));
    let one = message(QoS::AtMostOnce);
    let stream = one.repeat(STREAM);
    let mut group = configure(c, "end_to_end_qos0");
    group.bench_function("round_trip", |b| {
        b.iter(|| {
            publisher.write_all(&one).unwrap();
            receiver.receive(1);
        });
    });
    group.throughput(Throughput::Elements(STREAM as u64));
    group.bench_function("stream", |b| {
        b.iter(|| {
            publisher.write_all(&stream).unwrap();
            receiver.receive(STREAM);
        });
    });
    group.finish();
    broker.stop();
}

fn qos1(c: &mut Criterion) {
    let broker = broker("");
    let mut publisher = connected(&broker, "publisher", None);
    let mut receiver = Receiver::new(connected(&broker, "receiver", Some(QoS::AtLeastOnce)));
    let one = message(QoS::AtLeastOnce);
    let mut group = configure(c, "end_to_end_qos1");
    let mut puback = [0; 4];
    let mut received = [0; 4];
    // Each delivery has an identifier of its own, behind the fixed header and the topic.
    let id_at = 3 + 2 + TOPIC.len();
    group.bench_function("round_trip_acknowledged", |b| {
        b.iter(|| {
            publisher.write_all(&one).unwrap();
            let n = receiver.socket.read(&mut receiver.bytes).unwrap();
            assert_eq!(n, one.len(), "one PUBLISH, in one piece");
            let id = &receiver.bytes[id_at..id_at + 2];
            received.copy_from_slice(&[0x40, 2, id[0], id[1]]);
            receiver.socket.write_all(&received).unwrap();
            publisher.read_exact(&mut puback).unwrap();
        });
    });
    let expected = bytes_of(
        &Packet::PubAck(Ack::new(std::num::NonZeroU16::MIN, ReasonCode::Success)),
        VERSION,
    );
    assert_eq!(puback[..], expected[..]);
    group.finish();
    drop(receiver);
    broker.stop();
}

criterion_group!(benches, qos0, qos1);
criterion_main!(benches);
