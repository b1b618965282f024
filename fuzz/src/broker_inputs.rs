//! Any sequence of inputs to one to three brokers: connections, packets good and bad, raw bytes,
//! closes, written bytes, time, late commits, late messages between shards, new limits.
//!
//! Laws: the brokers' invariants hold after every input; everything that they send is a packet
//! that this client may get now; nothing comes before CONNACK or after the end; when all is quiet,
//! every answer is there and no link is held.

use stonechat::broker::{self, Input, Limits, Message, MessageParts, QueueFull, Seq, Time};
use stonechat::codec::{Ack, Packet, Properties, QoS, ReasonCode, Sender, Version, encode};
use stonechat::topic::TopicName;

use super::observer::Answer;
use super::packets;
use super::source::{Shelf, Source};
use super::world::World;

/// How many steps a run may have.
const STEPS_MAX: usize = 500;

/// Limits and the number of shards, then step after step.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let shards = source.pick(&[1, 2, 3, 2]);
    let seed = u64::from(source.byte());
    let limits = limits(&mut source);
    let retained = source.pick(&[(1_000, 100_000), (0, 0), (2, 100_000), (1_000, 100)]);
    let mut world = World::new(shards, seed, &limits, retained);
    for _ in 0..STEPS_MAX {
        if source.is_empty() || world.is_shut_down {
            break;
        }
        step(&mut source, &mut world);
        world.resume();
    }
    finish(&mut world);
}

/// Everything settles; everybody leaves, and it settles again.
fn finish(world: &mut World) {
    world.settle();
    if world.is_shut_down {
        return;
    }
    while let Some(&id) = world.conns.keys().next() {
        world.over(id);
    }
    world.settle();
    world.now = world.now.plus_s(1 << 33);
    world.settle();
    for shard in &world.shards {
        let c = shard.broker.counters();
        if world.trace {
            eprintln!("{c:?}");
        }
        assert_eq!(c.links, 0, "links that nobody has");
    }
}

/// What is within the ranges of the settings, and smaller still where that makes more happen.
fn limits(source: &mut Source<'_>) -> Limits {
    let mut l = Limits { packet_bytes_max: 100_000, ..Limits::default() };
    // None of them, or about a quarter.
    let mut which = if source.flag() { source.u32() & source.u32() } else { 0 };
    let mut small = || {
        which >>= 1;
        which & 1 == 1
    };
    macro_rules! set {
        ($($field:ident: $list:expr),* $(,)?) => {
            $(if small() { l.$field = source.pick(&$list); })*
        };
    }
    set! {
        session_expiry_max_s: [0, 5, u32::MAX],
        keep_alive_max_s: [1, 10],
        receive_maximum: [1, 2, 5],
        in_flight_max: [1, 2, 3],
        topic_alias_max: [0, 2, 3],
        topic_alias_outgoing_max: [0, 1, 2],
        retain_available: [false],
        output_bytes_max: [60, 1, 2_000],
        queued_messages_max: [1, 2, 3],
        queued_bytes_max: [300, 1_000, 3_000],
        queue_bytes_max: [500, 3_000],
        queue_full: [QueueFull::DropNewest],
        queue_qos0: [true],
        subscriptions_per_session_max: [1, 3],
        filter_levels_max: [1, 2, 3],
        sessions_max: [1, 3],
        subscriptions_max: [1, 4],
        subscription_bytes_max: [0, 10, 40],
        wills_max: [0, 1],
        will_bytes_max: [0, 300],
        peer_bytes_max: [1, 200, 1_000],
        match_cache_bytes_max: [0, 1_000],
    }
    if small() {
        l.response_information = "answers/".to_owned();
    }
    set! { output_total_bytes_max: [1, 100, 3_000] }
    l
}

fn step(source: &mut Source<'_>, world: &mut World) {
    match source.below(32) {
        0..=2 => dial(source, world),
        3 => {
            let bytes = source.bytes();
            world.dial(bytes);
        }
        4..=12 => packet(source, world),
        13 => {
            let (conn, bytes) = (conn(source, world), source.bytes());
            world.arrive(conn, bytes);
        }
        14..=17 => answer(source, world),
        18 => {
            let conn = conn(source, world);
            world.over(conn);
        }
        19 => {
            let (conn, most) = (conn(source, world), usize::from(source.byte()));
            world.flush(conn, most);
        }
        20 | 21 => flush_all(world),
        22 | 23 => {
            let pipe = source.below(world.pipes.len());
            let count = 1 + source.below(4);
            (0..count).take_while(|_| world.peer(pipe)).count();
        }
        24 => {
            let (shard, most) = (source.below(world.shards.len()), source.byte());
            world.commit(shard, u64::from(most));
        }
        25 | 26 => everything_arrives(world),
        27 | 28 => time_passes(source, world),
        29 => {
            let shard = source.below(world.shards.len());
            world.tick(shard);
        }
        30 => {
            let conn = conn(source, world);
            world.turn(conn);
        }
        _ => rare(source, world),
    }
}

/// One of the connections there are.
fn conn(source: &mut Source<'_>, world: &World) -> usize {
    let n = usize::from(source.byte()) % world.conns.len().max(1);
    world.conns.keys().nth(n).copied().unwrap_or(usize::MAX)
}

fn encoded(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(packet, version, &mut bytes);
    bytes
}

fn dial(source: &mut Source<'_>, world: &mut World) {
    let shelf = Shelf::default();
    let version = source.pick(&[Version::V5, Version::V311, Version::V5, Version::V31]);
    let connect = packets::connect(source, &shelf, version);
    world.dial(&encoded(&Packet::Connect(Box::new(connect)), version));
}

/// A packet of a client: as it is, several times, broken, or cut.
fn packet(source: &mut Source<'_>, world: &mut World) {
    let id = conn(source, world);
    let Some(version) = world.conns.get(&id).map(|c| c.client.version) else { return };
    let shelf = Shelf::default();
    let packet = packets::any(source, &shelf, Sender::Client, version);
    let mut bytes = encoded(&packet, version);
    match source.byte() {
        0..200 => {}
        n @ 200..240 => bytes = bytes.repeat(1 + usize::from(n) % 12),
        n @ 240..248 => bytes.truncate(usize::from(n - 239)),
        _ => {
            let at = usize::from(source.byte()) % bytes.len();
            bytes[at] = source.byte();
        }
    }
    world.arrive(id, &bytes);
}

/// A client answers what it was sent, as it should.
fn answer(source: &mut Source<'_>, world: &mut World) {
    let id = conn(source, world);
    let count = if source.flag() { usize::MAX } else { 1 };
    for _ in 0..count.min(64) {
        let Some(conn) = world.conns.get_mut(&id) else { return };
        let Some(answer) = conn.client.to_answer.pop_front() else { return };
        let ack = |id| Ack::new(id, ReasonCode::Success);
        let packet = match answer {
            Answer::Acknowledge(id) => Packet::PubAck(ack(id)),
            Answer::Receive(id) => Packet::PubRec(ack(id)),
            Answer::Complete(id) => Packet::PubComp(ack(id)),
        };
        let bytes = encoded(&packet, conn.client.version);
        world.arrive(id, &bytes);
    }
}

fn flush_all(world: &mut World) {
    let ids: Vec<usize> = world.conns.keys().copied().collect();
    ids.into_iter().for_each(|id| world.flush(id, usize::MAX));
}

fn everything_arrives(world: &mut World) {
    (0..world.shards.len()).for_each(|shard| {
        world.commit(shard, u64::MAX);
    });
    (0..world.pipes.len()).for_each(|pipe| while world.peer(pipe) {});
}

fn time_passes(source: &mut Source<'_>, world: &mut World) {
    world.now = match source.byte() {
        n @ 0..100 => world.now.plus_ms(u64::from(n) * 10),
        n @ 100..200 => world.now.plus_s(u64::from(n - 99)),
        n => world.now.plus_s(u64::from(n) * 10_000),
    };
    if source.flag() {
        for shard in 0..world.shards.len() {
            (0..20).take_while(|_| world.tick(shard)).count();
        }
    }
}

fn rare(source: &mut Source<'_>, world: &mut World) {
    let shard = source.below(world.shards.len());
    match source.below(8) {
        0 | 1 => {
            let limits = limits(source);
            world.set_limits(&limits);
        }
        2 => world.shut_down(),
        3 => own(source, world, shard),
        4 => world.feed(shard, Input::Committed(Seq(0))),
        _ => {
            let Some(link) = world.shards[shard].stale else { return };
            let input = match source.below(4) {
                0 => Input::Closed(link),
                1 => Input::Wrote(link, 0),
                2 => Input::Answer(link, broker::Answer::Allowed(false)),
                _ => Input::Packet(link, Packet::PingReq),
            };
            world.feed(shard, input);
        }
    }
}

/// A message of the broker's own.
fn own(source: &mut Source<'_>, world: &mut World, shard: usize) {
    let parts = MessageParts {
        qos: QoS::AtMostOnce,
        retain: source.flag(),
        expires: Time::NEVER,
        publisher: 0,
        topic: TopicName::new("$SYS/x").expect("a topic"),
        properties: Properties::default(),
        payload: &[1, source.byte()],
    };
    world.publish_own(&Message::new(&parts, &mut Vec::new()), shard);
}
