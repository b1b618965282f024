//! The codec beside mqttbytes 0.6, v4 (MQTT 3.1.1) and v5 (MQTT 5.0): packets of the kinds that a
//! broker sees most, read from one buffer of 64 packets and written into one that is reused.
//!
//! Run: `cargo bench --bench codec`, or `-- --quick` for figures that are good to a tenth.
//! 2 processors, built like a release (without link-time optimization mqttbytes is three times as
//! slow): PUBLISH is decoded 4 to 5 times as fast as by mqttbytes, and encoded 1.1 to 1.5 times,
//! 2.7 times with properties; `benches/README.md` has the table, and what bounds it.
#![allow(clippy::unwrap_used, reason = "a bench may end where it finds what cannot be")]

use std::hint::black_box;
use std::num::NonZeroU16;
use std::time::Duration;

use bytes::BytesMut;
use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main,
};
use mqttbytes::{v4, v5};
use stonechat::codec::*;
use stonechat::topic::{SubscriptionFilter, TopicName};

/// Packets per buffer: a read of a busy connection has about as many.
const PACKETS: usize = 64;
const TOPIC: &str = "plant/7/line/12/device/345/temperature";

fn publish(qos: QoS, properties: &'static [u8], payload: &'static [u8]) -> Packet<'static> {
    Packet::Publish(Publish {
        dup: false,
        qos,
        retain: false,
        topic: Some(TopicName::new(TOPIC).unwrap()),
        packet_id: (qos != QoS::AtMostOnce).then_some(NonZeroU16::MIN),
        topic_alias: None,
        message_expiry_s: None,
        properties: Properties::from_validated(properties),
        payload,
    })
}

fn connect(version: Version) -> Packet<'static> {
    Packet::Connect(Box::new(Connect {
        keep_alive_s: 60,
        user_name: Some("device-345"),
        password: Some(b"correct horse battery staple"),
        ..Connect::new(version, "device-345-of-line-12")
    }))
}

fn subscribe() -> Packet<'static> {
    let options = SubscriptionOptions {
        qos: QoS::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    };
    let filters = ["plant/7/line/12/device/345/command/#", "plant/7/+/state"];
    Packet::Subscribe(Subscribe {
        packet_id: NonZeroU16::MIN,
        subscription_id: None,
        user_properties: UserProperties::default(),
        filters: filters.map(|f| (SubscriptionFilter::parse(f).unwrap(), options)).into(),
    })
}

/// A User Property and a Content Type, as they stand in a packet.
const PROPERTIES: &[u8] = b"\x03\x00\x10application/json\x26\x00\x04unit\x00\x01C";

/// Name, packet, and whether it is for MQTT 5.0 alone.
fn packets(version: Version) -> Vec<(&'static str, Packet<'static>)> {
    static SMALL: [u8; 100] = [b'x'; 100];
    static LARGE: [u8; 4096] = [b'x'; 4096];
    let mut packets = vec![
        ("publish_qos0_100", publish(QoS::AtMostOnce, &[], &SMALL)),
        ("publish_qos1_100", publish(QoS::AtLeastOnce, &[], &SMALL)),
        ("publish_qos1_4096", publish(QoS::AtLeastOnce, &[], &LARGE)),
        ("connect", connect(version)),
        ("subscribe", subscribe()),
        ("puback", Packet::PubAck(Ack::new(NonZeroU16::MIN, ReasonCode::Success))),
    ];
    if version == Version::V5 {
        packets.push(("publish_properties", publish(QoS::AtLeastOnce, PROPERTIES, &SMALL)));
    }
    packets
}

fn name_of(version: Version) -> &'static str {
    if version.is_v5() { "v5" } else { "v4" }
}

/// Reads all packets of `stream`.
fn read_ours(mut stream: &[u8], version: Version) {
    while let Ok(Framed::Whole(frame)) = frame(stream, usize::MAX) {
        black_box(&decode(frame, Sender::Client, version).unwrap());
        stream = &stream[frame.len..];
    }
}

fn read_theirs(stream: &mut BytesMut, version: Version) {
    for _ in 0..PACKETS {
        if version.is_v5() {
            black_box(v5::read(stream, usize::MAX).unwrap());
        } else {
            black_box(v4::read(stream, usize::MAX).unwrap());
        }
    }
}

fn configure<'a>(c: &'a mut Criterion, name: String) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group.sample_size(20).throughput(Throughput::Elements(PACKETS as u64));
    group
}

fn decoding(c: &mut Criterion) {
    for version in [Version::V311, Version::V5] {
        for (name, packet) in packets(version) {
            let mut stream = Vec::new();
            (0..PACKETS).for_each(|_| encode(&packet, version, &mut stream));
            let mut group = configure(c, format!("decode_{}/{name}", name_of(version)));
            group.bench_function("stonechat", |b| {
                b.iter(|| read_ours(black_box(&stream), version));
            });
            // It takes packets out of the buffer that it is given: each time a new one, whose
            // making and end are not counted.
            group.bench_function("mqttbytes", |b| {
                b.iter_batched(
                    || BytesMut::from(&stream[..]),
                    |mut stream| {
                        read_theirs(&mut stream, version);
                        stream
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
}

/// Writes one packet with mqttbytes.
enum Theirs {
    V4(Box<v4::Packet>),
    V5(Box<v5::Packet>),
}

impl Theirs {
    fn read(stream: &[u8], version: Version) -> Self {
        let mut stream = BytesMut::from(stream);
        if version.is_v5() {
            Self::V5(Box::new(v5::read(&mut stream, usize::MAX).unwrap()))
        } else {
            Self::V4(Box::new(v4::read(&mut stream, usize::MAX).unwrap()))
        }
    }

    fn write(&self, out: &mut BytesMut) -> usize {
        match self {
            Self::V4(packet) => match &**packet {
                v4::Packet::Publish(p) => p.write(out),
                v4::Packet::Connect(p) => p.write(out),
                v4::Packet::Subscribe(p) => p.write(out),
                v4::Packet::PubAck(p) => p.write(out),
                _ => panic!("not among the packets that are measured"),
            },
            Self::V5(packet) => match &**packet {
                v5::Packet::Publish(p) => p.write(out),
                v5::Packet::Connect(p) => p.write(out),
                v5::Packet::Subscribe(p) => p.write(out),
                v5::Packet::PubAck(p) => p.write(out),
                _ => panic!("not among the packets that are measured"),
            },
        }
        .unwrap()
    }
}

fn encoding(c: &mut Criterion) {
    for version in [Version::V311, Version::V5] {
        for (name, packet) in packets(version) {
            let mut out = Vec::new();
            encode(&packet, version, &mut out);
            let theirs = Theirs::read(&out, version);
            let mut group = configure(c, format!("encode_{}/{name}", name_of(version)));
            group.bench_function("stonechat", |b| {
                b.iter(|| {
                    out.clear();
                    (0..PACKETS).for_each(|_| encode(black_box(&packet), version, &mut out));
                    black_box(out.len())
                });
            });
            let mut buffer = BytesMut::new();
            group.bench_function("mqttbytes", |b| {
                b.iter(|| {
                    buffer.clear();
                    (0..PACKETS).for_each(|_| {
                        black_box(&theirs).write(&mut buffer);
                    });
                    black_box(buffer.len())
                });
            });
        }
    }
}

/// What the broker writes a PUBLISH with: a head for a kind of receivers, then the payload.
fn publish_head(c: &mut Criterion) {
    let payload = [b'x'; 100];
    for version in [Version::V311, Version::V5] {
        let head = PublishHead {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: false,
            topic: Some(TopicName::new(TOPIC).unwrap()),
            packet_id: Some(NonZeroU16::MIN),
            topic_alias: None,
            message_expiry_s: None,
            subscription_ids: &[],
            forwarded: &[],
            forwarded_follows: false,
            payload_len: payload.len(),
        };
        let mut out = Vec::new();
        let mut group = configure(c, format!("encode_{}/publish_qos1_100", name_of(version)));
        group.bench_function("stonechat_head", |b| {
            b.iter(|| {
                out.clear();
                for _ in 0..PACKETS {
                    black_box(&head).encode(version, &mut out);
                    out.extend_from_slice(black_box(&payload));
                }
                black_box(out.len())
            });
        });
    }
}

criterion_group!(benches, decoding, encoding, publish_head);
criterion_main!(benches);
