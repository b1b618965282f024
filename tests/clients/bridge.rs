//! Debian's mosquitto as a bridge to Stonechat, in both directions, its connection cut and resumed:
//! nothing is lost, and nothing goes round.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use stonechat::codec::{QoS, Version};

use crate::support::broker::{Broker, Scratch, sharded};
use crate::support::client::{Client, connect};
use crate::support::PATIENCE;
use crate::tools::{Running, is_here};

/// Passes connections on to a broker, until they are cut.
struct Wire {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    cut: bool,
    sockets: Vec<TcpStream>,
}

impl Wire {
    fn to(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let mut state = shared.lock().unwrap();
                if state.cut {
                    continue;
                }
                let Ok(far) = TcpStream::connect(broker) else { return };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    thread::spawn(move || pass_on(from, to));
                }
                state.sockets.extend([near, far]);
            }
        });
        Self { address, state }
    }

    fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.cut = true;
        for socket in state.sockets.drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.state.lock().unwrap().cut = false;
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16_384];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// A mosquitto with a bridge to `remote`, and its address.
fn mosquitto(scratch: &Scratch, remote: SocketAddr, version: &str) -> (Running, SocketAddr) {
    // mosquitto takes no port 0: a port that was free a moment ago.
    for _ in 0..20 {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let file = scratch.path().join("mosquitto.conf");
        let text = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n\
             log_dest stderr\nlog_type all\nmax_queued_messages 0\nmax_inflight_messages 600\n\
             connection bridge\naddress {remote}\nbridge_protocol_version {version}\n\
             try_private true\ncleansession false\nremote_clientid bridge\n\
             notifications false\nrestart_timeout 1\nkeepalive_interval 60\n\
             topic up/# out 1\ntopic down/# in 1\ntopic both/# both 2\n",
            address.port()
        );
        std::fs::write(&file, text).unwrap();
        let running = Running::start(Command::new("mosquitto").arg("-c").arg(&file));
        let up = running.err.wait_until("start of mosquitto", |lines| {
            let has = |text: &str| lines.iter().any(|l| l.contains(text));
            if has("running") { Some(true) } else { has("Error").then_some(false) }
        });
        if up {
            return (running, address);
        }
    }
    panic!("mosquitto does not start");
}

fn client_at(address: SocketAddr, id: &str) -> Client {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut client = Client::over(socket, Version::V311);
    let packet = stonechat::codec::Packet::Connect(Box::new(connect(Version::V311, id)));
    client.send(&packet);
    client.answer();
    client
}

/// One side's clients.
struct Side {
    writer: Client,
    reader: Client,
}

impl Side {
    fn at(address: SocketAddr, filters: [&str; 2]) -> Self {
        let mut side =
            Self { writer: client_at(address, "writer"), reader: client_at(address, "reader") };
        for filter in filters {
            side.reader.subscribe(filter, QoS::ExactlyOnce);
        }
        side
    }

    fn write(&mut self, topic: &str, qos: QoS, numbers: std::ops::Range<u32>) {
        let messages = numbers.map(|n| (topic.to_owned(), n.to_string().into_bytes(), false));
        self.writer.publish_many(qos, messages);
    }

    /// Reads until `last` has come `times` times; how often each message came.
    fn read_until(&mut self, last: &[(&str, u32)]) -> HashMap<(String, u32), usize> {
        let mut seen: HashMap<(String, u32), usize> = HashMap::new();
        while !last.iter().all(|(t, n)| seen.contains_key(&((*t).to_owned(), *n))) {
            let got = self.reader.message();
            let n = String::from_utf8(got.payload).unwrap().parse().unwrap();
            *seen.entry((got.topic, n)).or_default() += 1;
        }
        seen
    }
}

/// All numbers came: at QoS 2 once, at QoS 1 once at least.
fn check(seen: &HashMap<(String, u32), usize>, topic: &str, qos: QoS, count: u32) {
    for n in 0..count {
        let times = seen.get(&(topic.to_owned(), n)).copied().unwrap_or(0);
        let good = if qos == QoS::ExactlyOnce { times == 1 } else { times >= 1 };
        assert!(good, "{topic} {n} came {times} times");
    }
}

fn connected(broker: &Broker, times: usize) {
    broker.log.wait_until("bridge", |lines| {
        let of_bridge =
            |l: &&String| l.contains("client connected") && l.contains("client_id=bridge");
        (lines.iter().filter(of_bridge).count() >= times).then_some(())
    });
}

/// The bridge's subscriptions are in force at Stonechat once a message comes through; as it may
/// be published too early, until one does.
fn warm_up(here: &mut Side, there: &mut Side) {
    let until = std::time::Instant::now() + PATIENCE;
    there.reader.socket.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
    let mut byte = [0];
    for n in 1_000_000.. {
        here.write("down/warm", QoS::AtLeastOnce, n..n + 1);
        if there.reader.socket.peek(&mut byte).is_ok() {
            break;
        }
        assert!(std::time::Instant::now() < until, "nothing comes over the bridge");
    }
    there.reader.socket.set_read_timeout(Some(PATIENCE)).unwrap();
}

fn both_directions(version: &str) {
    if !is_here("mosquitto", "-h", "mosquitto as a bridge") {
        return;
    }
    for shards in [1, 2] {
        let broker = sharded(shards, "");
        let wire = Wire::to(broker.address());
        let scratch = Scratch::new();
        let (_mosquitto, address) = mosquitto(&scratch, wire.address, version);
        connected(&broker, 1);
        let mut here = Side::at(broker.address(), ["up/#", "both/#"]);
        let mut there = Side::at(address, ["down/#", "both/#"]);
        warm_up(&mut here, &mut there);
        const EACH: u32 = 300;
        for part in 0..3 {
            let numbers = part * EACH..(part + 1) * EACH;
            match part {
                1 => wire.cut(),
                2 => wire.mend(),
                _ => {}
            }
            here.write("down/t", QoS::AtLeastOnce, numbers.clone());
            there.write("up/t", QoS::AtLeastOnce, numbers.clone());
            here.write("both/here", QoS::ExactlyOnce, numbers.clone());
            there.write("both/there", QoS::ExactlyOnce, numbers);
        }
        let last = 3 * EACH - 1;
        let seen_there =
            there.read_until(&[("down/t", last), ("both/here", last), ("both/there", last)]);
        let seen_here =
            here.read_until(&[("up/t", last), ("both/here", last), ("both/there", last)]);
        connected(&broker, 2);
        check(&seen_here, "up/t", QoS::AtLeastOnce, 3 * EACH);
        check(&seen_there, "down/t", QoS::AtLeastOnce, 3 * EACH);
        for seen in [&seen_here, &seen_there] {
            check(seen, "both/here", QoS::ExactlyOnce, 3 * EACH);
            check(seen, "both/there", QoS::ExactlyOnce, 3 * EACH);
        }
        // What went round would be here by now.
        here.write("both/end", QoS::ExactlyOnce, 0..1);
        there.write("both/end", QoS::ExactlyOnce, 1..2);
        for side in [&mut here, &mut there] {
            let rest = side.read_until(&[("both/end", 0), ("both/end", 1)]);
            assert!(rest.iter().all(|((t, _), n)| t != "both/end" || *n == 1), "{rest:?}");
            assert!(!rest.keys().any(|(t, _)| t == "both/here" || t == "both/there"), "{rest:?}");
        }
        drop((here, there));
        broker.stop();
    }
}

#[test]
fn a_bridge_of_version_3_1_1() {
    both_directions("mqttv311");
}

#[test]
fn a_bridge_of_version_5() {
    both_directions("mqttv50");
}
