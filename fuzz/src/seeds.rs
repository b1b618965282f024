//! What fuzzing starts from: packets of every kind, and histories that get somewhere.

use stonechat::codec::{Packet, Sender, Version, encode};

use super::source::{Shelf, Source};
use super::{packets, proxy_header, websocket};

/// Pseudo-random bytes (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| (self.next() >> 32) as u8).collect()
    }
}

/// The seeds of every target.
pub fn all() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let mut random = Random(1);
    let round_trip = (0..60).map(|i| random.bytes(40 + 8 * i)).collect();
    let topic_match = (0..40).map(|i| random.bytes(50 + 20 * i)).collect();
    let broker_inputs = (0..80).map(|i| history(&mut random, i)).collect();
    let log_recovery = (0..90).map(|i| {
        let mut seed = random.bytes(30 + 4 * i);
        seed[0] = i as u8;
        seed
    });
    let log_recovery = log_recovery.collect();
    let decode = streams(&mut random);
    // With each kind of input first.
    let mut kinds = |count: usize, mut seeds: Vec<Vec<u8>>| {
        for i in 0..count {
            let mut seed = random.bytes(40 + 6 * i);
            seed[0] = i as u8;
            seeds.push(seed);
        }
        seeds
    };
    let websocket = kinds(40, websocket::seeds());
    let proxy_header = kinds(40, proxy_header::seeds());
    vec![
        ("decode", decode),
        ("round_trip", round_trip),
        ("topic_match", topic_match),
        ("broker_inputs", broker_inputs),
        ("log_recovery", log_recovery),
        ("websocket", websocket),
        ("proxy_header", proxy_header),
        ("acl_file", acl_files(&mut random)),
        ("password_file", password_files()),
        ("jwt", super::jwt::seeds(|n| random.bytes(n))),
        ("scram", super::scram::seeds(|n| random.bytes(n))),
    ]
}

/// Files as people write them, good and bad, and files of few words.
fn acl_files(random: &mut Random) -> Vec<Vec<u8>> {
    let texts = [
        "\0topic read $SYS/#\ntopic a/#\nuser a\ntopic readwrite a/b\r\ntopic deny a/c\n",
        "\0# all\npattern write %u/%c/#\npattern read a b/%c\nuser a b\n topic  deny  a b/+\n",
        "\0topics a\ntopic rede a\nuser\ntopic\npattern a#\n #\n\ttopic a\n",
        "\x01[roles]\na = [\"a\", \"b*\"]\n[[rule]]\nroles = [\"a\"]\nsubscribe = [\"a/#\"]\n",
        "\x01[[rule]]\nanonymous = true\npublish = [\"%c/+\"]\ndeny_subscribe = [\"$SYS/#\"]\n",
        "\x01[role]\n[[rule]]\nuser = 1\npublish = \"a\"\nroles = []\nsubscribe = [\"a#\", 2]\n",
        "\x01rule = [{ users = [\"*\"], client_ids = [\"x*\"], publish = [\"#\"] }]\n[a\n",
    ];
    let mut seeds: Vec<_> = texts.map(|text| text.as_bytes().to_vec()).into();
    for i in 0..60 {
        let mut seed = random.bytes(60 + 4 * i);
        seed[0] = 2 + (i % 2) as u8;
        seeds.push(seed);
    }
    seeds
}

/// Streams of a few packets, of each side and version.
fn streams(random: &mut Random) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for version in [Version::V31, Version::V311, Version::V5] {
        for sender in [Sender::Client, Sender::Server] {
            for _ in 0..20 {
                let bytes = random.bytes(400);
                let mut source = Source::new(&bytes);
                let mut stream = vec![0];
                for _ in 0..4 {
                    let shelf = Shelf::default();
                    let packet = packets::any(&mut source, &shelf, sender, version);
                    encode(&packet, version, &mut stream);
                }
                seeds.push(stream);
            }
        }
    }
    let mut connect = vec![0];
    let shelf = Shelf::default();
    let c = packets::connect(&mut Source::new(&[0x70; 99]), &shelf, Version::V5);
    encode(&Packet::Connect(Box::new(c)), Version::V5, &mut connect);
    seeds.push(connect);
    seeds
}

/// A few clients connect and subscribe; then anything.
fn history(random: &mut Random, i: usize) -> Vec<u8> {
    let shards = (i % 3) as u8;
    // Its hash seed; limits as they are, or some of them small; room for retained messages.
    let mut bytes = vec![shards, 0];
    if i % 4 == 3 {
        bytes.push(1);
        bytes.extend(random.bytes(12));
    } else {
        bytes.push(0);
    }
    bytes.push(0);
    for client in 0..4 {
        // a connection, of 5.0 or 3.1.1
        bytes.extend([0, (i / 3 % 2) as u8, (random.next() & 1) as u8, client, 0, 1, 200, 200]);
        bytes.extend([2, 0]);
        everything(&mut bytes);
        // SUBSCRIBE to something
        bytes.extend([4, client, 8, client]);
        bytes.extend(random.bytes(14));
        everything(&mut bytes);
    }
    bytes.extend(random.bytes(100 + 5 * i));
    bytes
}

/// Everything arrives, and is written.
fn everything(bytes: &mut Vec<u8>) {
    bytes.extend([25, 20]);
}

/// A name, then a file with lines of every kind, whole and broken.
fn password_files() -> Vec<Vec<u8>> {
    let (salt, key) = ("c2FsdHNhbHQ=", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=");
    let long = format!("{}==", "QUFB".repeat(21) + "QQ");
    let bare = long.trim_end_matches('=');
    let lines = [
        format!("anna:$6${salt}${long}"),
        format!("bert:$7$101${salt}${long}\r"),
        format!(" carl : $argon2id$v=19$m=64,t=2,p=1$c2FsdHNhbHQ${bare}"),
        format!("dora:SCRAM-SHA-256$4096:{salt}${key}:{key}"),
        "# nobody:x".to_owned(),
        String::new(),
        format!("anna:$6${salt}${long}:a note"),
        format!("erna:$7$5000${salt}${long}"),
        format!("erna:$argon2id$v=19$m=128,t=1,p=9$c2FsdHNhbHQ${bare}"),
        format!("erna:$6${salt}${key}"),
        "erna:secret".to_owned(),
        "erna".to_owned(),
        ":".to_owned(),
    ];
    let file = |name: &str, lines: &[String]| {
        let mut seed = vec![name.len() as u8];
        seed.extend_from_slice(name.as_bytes());
        seed.extend_from_slice(lines.join("\n").as_bytes());
        seed
    };
    let mut seeds = vec![file("anna", &lines[..7]), file("nobody", &lines[..6])];
    seeds.extend(lines.iter().map(|line| file("erna", std::slice::from_ref(line))));
    seeds.extend((7..lines.len()).map(|n| file(" erna", &lines[n - 7..=n])));
    seeds
}
