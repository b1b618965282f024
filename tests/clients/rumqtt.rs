//! rumqttc, its client of 3.1.1 and its client of 5.0.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::support::PATIENCE;
use crate::support::broker::{Broker, sharded};

/// A message as both of its clients have it.
#[derive(Debug, PartialEq)]
struct Got {
    topic: Vec<u8>,
    payload: Vec<u8>,
    qos: u8,
    retain: bool,
}

/// What happened to a client.
#[derive(Debug, PartialEq)]
enum Happened {
    Connected(bool),
    Subscribed,
    Message(Got),
    /// a message of this client's own has been acknowledged to the end
    Acknowledged,
    Ended,
}

/// What the checks need of a client of either version.
struct Peer<C> {
    client: C,
    happened: mpsc::Receiver<Happened>,
    stop: Arc<AtomicBool>,
}

impl<C> Peer<C> {
    fn next(&self) -> Happened {
        self.happened.recv_timeout(PATIENCE).expect("nothing happened")
    }

    fn message(&self) -> Got {
        loop {
            match self.next() {
                Happened::Message(got) => return got,
                Happened::Acknowledged => {}
                other => panic!("a message was expected, not {other:?}"),
            }
        }
    }

    fn acknowledged(&self, count: usize) {
        for _ in 0..count {
            assert_eq!(self.next(), Happened::Acknowledged);
        }
    }
}

macro_rules! checks {
    ($version:ident, $api:path, $packets:path, $size:expr, $session:expr, $will:expr) => {
        mod $version {
            use super::*;
            use api::mqttbytes::QoS;
            use api::{Client, Event, MqttOptions};
            use $api as api;
            use $packets::{LastWill, Packet};

            fn options(broker: &Broker, id: &str) -> MqttOptions {
                let mut options = MqttOptions::new(id, "127.0.0.1", broker.port());
                options.set_keep_alive(Duration::from_secs(60));
                ($size)(&mut options);
                options
            }

            fn start(options: MqttOptions) -> (Peer<Client>, bool) {
                let (client, mut connection) = Client::new(options, 100);
                let (sender, happened) = mpsc::channel();
                let stop = Arc::new(AtomicBool::new(false));
                let stopped = Arc::clone(&stop);
                thread::spawn(move || {
                    while let Ok(Ok(event)) = connection.recv() {
                        if stopped.load(Relaxed) {
                            return; // the socket is closed without a DISCONNECT
                        }
                        if let Event::Incoming(packet) = event
                            && let Some(what) = happened_by(packet)
                        {
                            let _ = sender.send(what);
                        }
                    }
                    let _ = sender.send(Happened::Ended);
                });
                let peer = Peer { client, happened, stop };
                let Happened::Connected(present) = peer.next() else { panic!("not connected") };
                (peer, present)
            }

            fn happened_by(packet: Packet) -> Option<Happened> {
                Some(match packet {
                    Packet::ConnAck(ack) => Happened::Connected(ack.session_present),
                    Packet::SubAck(_) => Happened::Subscribed,
                    Packet::PubAck(_) | Packet::PubComp(_) => Happened::Acknowledged,
                    Packet::Publish(p) => Happened::Message(Got {
                        topic: p.topic.into(),
                        payload: p.payload.to_vec(),
                        qos: p.qos as u8,
                        retain: p.retain,
                    }),
                    _ => return None,
                })
            }

            fn open(broker: &Broker, id: &str) -> Peer<Client> {
                start(options(broker, id)).0
            }

            fn subscribe(peer: &Peer<Client>, topic: &str, qos: QoS) {
                peer.client.subscribe(topic, qos).unwrap();
                assert_eq!(peer.next(), Happened::Subscribed);
            }

            fn kept(broker: &Broker, id: &str) -> (Peer<Client>, bool) {
                let mut options = options(broker, id);
                ($session)(&mut options);
                start(options)
            }

            const ALL: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

            #[test]
            fn round_trips_small_large_and_many() {
                let broker = sharded(2, "limits.output_bytes_max = 67108864");
                let reader = open(&broker, "reader");
                subscribe(&reader, "t", QoS::ExactlyOnce);
                let writer = open(&broker, "writer");
                for (n, qos) in ALL.into_iter().enumerate() {
                    for size in [5, 16 << 20] {
                        writer.client.publish("t", qos, false, vec![n as u8; size]).unwrap();
                        let got = reader.message();
                        assert!(got.topic == b"t" && got.payload == vec![n as u8; size]);
                        assert_eq!((got.qos, got.retain), (n as u8, false));
                    }
                    writer.acknowledged(if n == 0 { 0 } else { 2 });
                    thread::scope(|scope| {
                        scope.spawn(|| {
                            for m in 0..10_000 {
                                writer.client.publish("t", qos, false, format!("{m}")).unwrap();
                            }
                        });
                        for m in 0..10_000 {
                            assert_eq!(reader.message().payload, format!("{m}").into_bytes());
                        }
                    });
                    writer.acknowledged(if n == 0 { 0 } else { 10_000 });
                }
                broker.stop();
            }

            #[test]
            fn queue_retained_will_takeover() {
                let broker = sharded(2, "");
                let (peer, present) = kept(&broker, "kept");
                assert!(!present);
                subscribe(&peer, "queue", QoS::AtLeastOnce);
                peer.client.disconnect().unwrap();
                assert_eq!(peer.next(), Happened::Ended);
                let writer = open(&broker, "writer");
                for n in 0..50_u8 {
                    writer.client.publish("queue", QoS::AtLeastOnce, false, vec![n]).unwrap();
                }
                writer.acknowledged(50);
                let (peer, present) = kept(&broker, "kept");
                assert!(present);
                for n in 0..50 {
                    assert_eq!(peer.message().payload, [n]);
                }

                writer.client.publish("state", QoS::AtLeastOnce, true, "kept").unwrap();
                writer.acknowledged(1);
                let watcher = open(&broker, "watcher");
                subscribe(&watcher, "state", QoS::AtLeastOnce);
                assert!(watcher.message().retain);

                subscribe(&watcher, "will", QoS::AtLeastOnce);
                let mut with_will = options(&broker, "lost");
                with_will.set_last_will(($will)("will", "gone"));
                let (lost, _) = start(with_will);
                lost.stop.store(true, Relaxed);
                // An event of its own, at which it stops.
                lost.client.publish("nudge", QoS::AtMostOnce, false, "").unwrap();
                assert_eq!(watcher.message().payload, b"gone");

                let second = open(&broker, "writer");
                assert_eq!(writer.next(), Happened::Ended);
                second.client.publish("will", QoS::AtLeastOnce, false, "mine").unwrap();
                assert_eq!(watcher.message().payload, b"mine");
                broker.stop();
            }

            /// Only so that both versions name their type.
            type _Will = LastWill;
        }
    };
}

const LARGE: usize = 17 << 20;

checks!(
    v4,
    ::rumqttc,
    ::rumqttc,
    |o: &mut MqttOptions| _ = o.set_max_packet_size(LARGE, LARGE),
    |o: &mut MqttOptions| _ = o.set_clean_session(false),
    |topic, payload| LastWill::new(topic, payload, QoS::AtLeastOnce, false)
);

checks!(
    v5,
    ::rumqttc::v5,
    ::rumqttc::v5::mqttbytes::v5,
    |o: &mut MqttOptions| _ = o.set_max_packet_size(Some(LARGE as u32)),
    |o: &mut MqttOptions| {
        o.set_clean_start(false).set_session_expiry_interval(Some(3600));
    },
    |topic, payload| LastWill::new(topic, payload, QoS::AtLeastOnce, false, None)
);

#[test]
fn properties_of_version_5() {
    use ::rumqttc::v5::mqttbytes::QoS;
    use ::rumqttc::v5::mqttbytes::v5::{Packet, PublishProperties, SubscribeProperties};
    use ::rumqttc::v5::{Client, Event, MqttOptions};
    let broker = sharded(2, "");
    let options = MqttOptions::new("properties", "127.0.0.1", broker.port());
    let (client, mut connection) = Client::new(options, 10);
    let id = SubscribeProperties { id: Some(42), user_properties: Vec::new() };
    client.subscribe_with_properties("p", QoS::AtLeastOnce, id).unwrap();
    let sent = PublishProperties {
        payload_format_indicator: Some(1),
        message_expiry_interval: Some(100),
        response_topic: Some("answer/here".into()),
        correlation_data: Some(vec![0, 255].into()),
        user_properties: vec![("b".into(), "1".into()), ("a".into(), "2".into())],
        content_type: Some("text/plain".into()),
        ..PublishProperties::default()
    };
    let publish = client.publish_with_properties("p", QoS::AtLeastOnce, false, "x", sent.clone());
    publish.unwrap();
    let got = loop {
        let event = connection.recv_timeout(PATIENCE).unwrap().unwrap();
        if let Event::Incoming(Packet::Publish(p)) = event {
            break p.properties.unwrap();
        }
    };
    assert!(got.message_expiry_interval.is_some_and(|s| s > 90 && s <= 100));
    assert_eq!(got.subscription_identifiers, [42]);
    assert_eq!(
        (got.user_properties, got.response_topic, got.correlation_data, got.content_type),
        (sent.user_properties, sent.response_topic, sent.correlation_data, sent.content_type)
    );
    drop(connection);
    broker.stop();
}
