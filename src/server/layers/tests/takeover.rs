//! A shard takes over what the lobby hands it, layers included.

use std::time::Instant;

use foldhash::quality::FixedState;

use super::*;
use crate::broker::{Broker, Commons, Limits, ShardId};
use crate::server::interests::SharedInterests;
use crate::server::mailbox::{HandOff, Sender, ToShard, mailbox};
use crate::server::porch::Porch;
use crate::server::restore::Restore;
use crate::server::retained::SharedRetained;
use crate::server::shard::{self, ShardParts};
use crate::store::Memory;

/// CONNECT, SUBSCRIBE and PUBLISH of a 3.1.1 client, and what it gets.
const HELLO: &[u8] =
    b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01a\x82\x06\0\x01\0\x01t\0\x30\x04\0\x01tx";
const CONNECT_BYTES: usize = 15;
const ANSWERS: &[u8] = b"\x20\x02\0\0\x90\x03\0\x01\0\x30\x04\0\x01tx";

/// A shard of its own, without doors.
fn shard() -> (Sender, std::thread::JoinHandle<()>, Arc<Totals>) {
    let poller = Poller::new().unwrap();
    let (sender, mail) = mailbox(&poller).unwrap();
    let totals = Arc::new(Totals::default());
    let porch = Porch {
        totals: Arc::clone(&totals),
        home: FixedState::with_seed(1),
        shards: 1,
        connections_max: 10,
        connect_timeout_ms: 10_000,
        connect_bytes_max: 65_536,
        client_id_bytes_max: 256,
    };
    let peers = vec![sender.clone()];
    let shard = std::thread::spawn(move || {
        shard::run(ShardParts {
            broker: Broker::new(ShardId(0), 1, 1, Limits::default()),
            store: Memory,
            common: Commons {
                retained: SharedRetained::new(100, 100_000),
                interests: SharedInterests::new(1),
            },
            poller,
            mail,
            doors: Vec::new(),
            porch: Arc::new(porch),
            peers,
            shard: ShardId(0),
            started: Instant::now(),
            packet_bytes_max: 1 << 20,
            filters_per_packet_max: 10,
            read_bytes_per_pass: 65_536,
            half_received_bytes_max: 1 << 20,
            output_bytes_max: 65_536,
            shutdown_ms: 10_000,
            restore: Restore { sessions: Vec::new(), done: None },
            jobs: None,
            asks: tokio::sync::mpsc::unbounded_channel().0,
        });
    });
    sender.send(ToShard::Restored).unwrap();
    (sender, shard, totals)
}

/// A client whose first three packets are with the layers, in one record and one frame, when the
/// shard gets it; of the last byte of them nothing is on the socket.
fn hand_off(sender: &Sender, totals: &Arc<Totals>, kind: Kind) -> (Client, UnixStream) {
    let (mut client, mut server) = Client::new(kind);
    let (ours, socket) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (raw, mut rest) = (client.encode(HELLO), Vec::new());
    match &mut server {
        None => rest = raw,
        Some(server) => {
            assert_eq!(server.read_tls(&mut &raw[..]).unwrap(), raw.len());
            server.process_new_packets().unwrap();
            if kind == Kind::Both {
                let _ = server.reader().read_to_end(&mut rest);
            }
        }
    }
    let (ours, mut layers) = (Socket::from(ours), Layers::new(server));
    if client.peer.is_some() {
        layers.start_websocket(&rest);
    }
    let (mut bytes, mut at) = ([0; CONNECT_BYTES], 0);
    while at < CONNECT_BYTES {
        match layers.read(&ours, &mut bytes[at..]) {
            ReadEnd::Bytes(n) => at += n,
            ReadEnd::Pending => assert!(layers.in_hand()),
            end => panic!("{end:?}"),
        }
    }
    let hand_off = HandOff {
        socket: ours,
        layers: Some(Box::new(layers)),
        peer: socket::Peer::Unix { uid: 1, pid: 2 },
        bytes: bytes.to_vec(),
        client_id: "a".to_owned(),
        assigned: false,
        safety: None,
        place: Place::take(totals, 10, &Arc::new(AtomicUsize::new(0)), 0).unwrap(),
        identity: Arc::default(),
        ends: Time::NEVER,
        authentication: None,
    };
    sender.send(ToShard::HandOff(Box::new(hand_off))).unwrap();
    (client, socket)
}

/// Reads until `done`, or the end: whether it came to that.
fn read_until(
    client: &mut Client,
    socket: &mut UnixStream,
    done: impl Fn(&Client) -> bool,
) -> bool {
    let mut buffer = [0; 65_536];
    while !done(client) {
        match socket.read(&mut buffer).unwrap() {
            0 => return false,
            n => client.decode(&buffer[..n]),
        }
    }
    true
}

/// A client that has got all its answers.
fn entered(sender: &Sender, totals: &Arc<Totals>, kind: Kind) -> (Client, UnixStream) {
    let (mut client, mut socket) = hand_off(sender, totals, kind);
    assert!(read_until(&mut client, &mut socket, |c| c.got.len() >= ANSWERS.len()), "{kind:?}");
    assert_eq!(client.got, ANSWERS, "{kind:?}");
    client.got.clear();
    (client, socket)
}

#[test]
fn a_shard_takes_over() {
    let (sender, thread, totals) = shard();
    for kind in KINDS {
        let (mut client, mut socket) = entered(&sender, &totals, kind);
        // A large message to itself, and DISCONNECT: all in order, then the end.
        let mut publish = b"\x30\x83\xb5\x18\0\x01t".to_vec(); // 400,003 bytes
        publish.extend(bytes(400_000));
        let mut raw = client.encode(&publish);
        raw.extend(client.encode(b"\xc0\0"));
        let mut writer = socket.try_clone().unwrap();
        let writing = std::thread::spawn(move || writer.write_all(&raw));
        let all = publish.len() + 2;
        assert!(read_until(&mut client, &mut socket, |c| c.got.len() >= all), "{kind:?}");
        writing.join().unwrap().unwrap();
        assert!(client.got[..publish.len()] == publish && client.got.ends_with(b"\xd0\0"));
        let raw = client.encode(b"\xe0\0");
        socket.write_all(&raw).unwrap();
        assert!(!read_until(&mut client, &mut socket, |_| false));
        assert_eq!(client.tls_closed, client.tls.is_some(), "{kind:?}");
        assert_eq!(client.closed, client.peer.is_some().then_some(Some(1000)), "{kind:?}");
    }
    sender.send(ToShard::Shutdown).unwrap();
    thread.join().unwrap();
    assert_eq!((totals.connections(), totals.half_received_bytes()), (0, 0));
}

/// Who breaks the rules is told, and gone; so is who is there at the end.
#[test]
fn a_shard_tells_why() {
    let (sender, thread, totals) = shard();
    for kind in KINDS {
        let (mut client, mut socket) = entered(&sender, &totals, kind);
        let mut raw = client.encrypt(b"\x81\x80\0\0\0\0");
        if client.peer.is_none() {
            raw[7] ^= 1;
        }
        socket.write_all(&raw).unwrap();
        assert!(!read_until(&mut client, &mut socket, |_| false));
        match client.peer {
            None => assert!(client.tls_error.is_some(), "{kind:?}"),
            Some(_) => assert_eq!(client.closed, Some(Some(1003)), "{kind:?}"),
        }
    }
    let (mut client, mut socket) = entered(&sender, &totals, Kind::Both);
    sender.send(ToShard::Shutdown).unwrap();
    assert!(!read_until(&mut client, &mut socket, |_| false));
    assert_eq!((client.closed, client.tls_closed), (Some(Some(1001)), true));
    drop(socket);
    thread.join().unwrap();
    assert_eq!((totals.connections(), totals.half_received_bytes()), (0, 0));
}
