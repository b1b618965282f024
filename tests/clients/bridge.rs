//! Debian's mosquitto as a bridge to Stonechat, in both directions, its connection cut and resumed:
//! nothing is lost, and nothing goes round.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use stonechat::codec::{self, Framed, QoS, Version};

use crate::support::PATIENCE;
use crate::support::broker::{Broker, Scratch, sharded};
use crate::support::client::{Client, connect};
use crate::tools::{self, Running, is_here};

/// Passes connections on to a broker, until they are cut.
struct Wire {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    completed: Arc<Completed>,
}

#[derive(Default)]
struct State {
    cut: bool,
    sockets: Vec<TcpStream>,
}

/// How many PUBCOMPs the broker has sent.
#[derive(Default)]
struct Completed {
    count: Mutex<usize>,
    more: Condvar,
}

/// Finds them in the bytes of its connections.
#[derive(Default)]
struct Packets(Vec<u8>);

impl Packets {
    fn completed(&mut self, bytes: &[u8]) -> usize {
        self.0.extend_from_slice(bytes);
        let mut found = 0;
        while let Ok(Framed::Whole(frame)) = codec::frame(&self.0, usize::MAX) {
            let used = frame.len;
            found += usize::from(self.0[0] >> 4 == 7);
            self.0.drain(..used);
        }
        found
    }
}

impl Wire {
    fn to(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let completed: Arc<Completed> = Arc::default();
        let (shared, counted) = (Arc::clone(&state), Arc::clone(&completed));
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let mut state = shared.lock().unwrap();
                if state.cut {
                    continue;
                }
                let Ok(far) = TcpStream::connect(broker) else { return };
                for (from, to, counts) in [(&near, &far, None), (&far, &near, Some(&counted))] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let counts = counts.cloned();
                    thread::spawn(move || pass_on(from, to, counts));
                }
                state.sockets.extend([near, far]);
            }
        });
        Self { address, state, completed }
    }

    /// Waits until so many QoS 2 exchanges that began here have come to their end.
    fn wait_completed(&self, count: usize) {
        let Completed { count: done, more } = &*self.completed;
        let done = done.lock().unwrap();
        let (done, _) = more.wait_timeout_while(done, PATIENCE, |done| *done < count).unwrap();
        assert!(*done >= count, "{done} of {count} PUBCOMPs");
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

fn pass_on(mut from: TcpStream, mut to: TcpStream, counts: Option<Arc<Completed>>) {
    let (mut buffer, mut packets) = ([0; 16_384], Packets::default());
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
        if let Some(counts) = &counts {
            *counts.count.lock().unwrap() += packets.completed(&buffer[..n]);
            counts.more.notify_all();
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// A mosquitto with a bridge to `remote`, and its address.
fn mosquitto(scratch: &Scratch, remote: SocketAddr, version: &str) -> (Running, SocketAddr) {
    let settings = format!(
        "log_type all\nmax_queued_messages 0\nmax_inflight_messages 600\n\
         connection bridge\naddress {remote}\nbridge_protocol_version {version}\n\
         try_private true\ncleansession false\nremote_clientid bridge\n\
         notifications false\nrestart_timeout 1\nkeepalive_interval 60\n\
         topic up/# out 1\ntopic down/# in 1\ntopic both/# both 2\n"
    );
    tools::mosquitto(scratch, &settings).unwrap_or_else(|said| panic!("no mosquitto: {said}"))
}

fn client_at(address: SocketAddr, id: &str) -> Client {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut client = Client::over(socket, Version::V311);
    let packet = codec::Packet::Connect(Box::new(connect(Version::V311, id)));
    client.send(&packet);
    client.answer();
    client
}

/// One side's clients.
struct Side {
    writer: Client,
    reader: Client,
    /// how often each message came
    seen: HashMap<(String, u32), usize>,
}

impl Side {
    fn at(address: SocketAddr, filters: [&str; 2]) -> Self {
        let (writer, reader) = (client_at(address, "writer"), client_at(address, "reader"));
        let mut side = Self { writer, reader, seen: HashMap::new() };
        for filter in filters {
            side.reader.subscribe(filter, QoS::ExactlyOnce);
        }
        side
    }

    fn write(&mut self, topic: &str, qos: QoS, numbers: std::ops::Range<u32>) {
        let messages = numbers.map(|n| (topic.to_owned(), n.to_string().into_bytes(), false));
        self.writer.publish_many(qos, messages);
    }

    /// Reads until each of `last` has come.
    fn read_until(&mut self, last: &[(&str, u32)]) {
        while !last.iter().all(|(t, n)| self.seen.contains_key(&((*t).to_owned(), *n))) {
            let got = self.reader.message();
            let n = String::from_utf8(got.payload).unwrap().parse().unwrap();
            *self.seen.entry((got.topic, n)).or_default() += 1;
        }
    }

    /// All numbers came: at QoS 2 once, at QoS 1 once at least.
    fn check(&self, topic: &str, qos: QoS, count: u32) {
        for n in 0..count {
            let times = self.seen.get(&(topic.to_owned(), n)).copied().unwrap_or(0);
            let good = if qos == QoS::ExactlyOnce { times == 1 } else { times >= 1 };
            assert!(good, "{topic} {n} came {times} times");
        }
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
fn warm_up(here: &mut Side, there: SocketAddr) {
    let until = std::time::Instant::now() + PATIENCE;
    let mut reader = client_at(there, "warm");
    reader.subscribe("down/warm", QoS::AtMostOnce);
    reader.socket.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
    while reader.socket.peek(&mut [0]).is_err() {
        here.write("down/warm", QoS::AtLeastOnce, 0..1);
        assert!(std::time::Instant::now() < until, "nothing comes over the bridge");
    }
}

/// Messages of one part of the test.
const EACH: u32 = 300;

fn part(n: u32) -> std::ops::Range<u32> {
    n * EACH..(n + 1) * EACH
}

fn write_here(here: &mut Side, n: u32) {
    here.write("down/t", QoS::AtLeastOnce, part(n));
    here.write("both/here", QoS::ExactlyOnce, part(n));
}

fn write_there(there: &mut Side, n: u32) {
    there.write("up/t", QoS::AtLeastOnce, part(n));
    there.write("both/there", QoS::ExactlyOnce, part(n));
}

/// Reads on both sides until everything up to part `n` has come.
fn read_parts(here: &mut Side, there: &mut Side, n: u32) {
    let last = part(n).end - 1;
    here.read_until(&[("up/t", last), ("both/here", last), ("both/there", last)]);
    there.read_until(&[("down/t", last), ("both/here", last), ("both/there", last)]);
}

/// `kept`: the bridge asks Stonechat to keep its session. mosquitto 2.0 does so with 3.1.1 alone:
/// its CONNECT of 5.0 has no Session Expiry Interval, whatever cleansession is.
fn both_directions(version: &str, kept: bool, shards: usize) {
    if !is_here("mosquitto", "-h", "mosquitto as a bridge") {
        return;
    }
    let broker = sharded(shards, "");
    let wire = Wire::to(broker.address());
    let scratch = Scratch::new();
    let (_mosquitto, address) = mosquitto(&scratch, wire.address, version);
    connected(&broker, 1);
    let mut here = Side::at(broker.address(), ["up/#", "both/#"]);
    let mut there = Side::at(address, ["down/#", "both/#"]);
    warm_up(&mut here, address);
    write_here(&mut here, 0);
    write_there(&mut there, 0);
    if !kept {
        read_parts(&mut here, &mut there, 0);
        // An exchange that is cut off begins anew without its session: then it comes twice.
        wire.wait_completed(EACH as usize);
    }
    wire.cut();
    write_there(&mut there, 1);
    if kept {
        write_here(&mut here, 1);
    }
    wire.mend();
    connected(&broker, 2);
    if !kept {
        warm_up(&mut here, address);
        write_here(&mut here, 1);
    }
    write_here(&mut here, 2);
    write_there(&mut there, 2);
    read_parts(&mut here, &mut there, 2);
    // What went round would have come between.
    here.write("both/end", QoS::ExactlyOnce, 0..1);
    there.write("both/end", QoS::ExactlyOnce, 1..2);
    for side in [&mut here, &mut there] {
        side.read_until(&[("both/end", 0), ("both/end", 1)]);
        side.check("both/here", QoS::ExactlyOnce, 3 * EACH);
        side.check("both/there", QoS::ExactlyOnce, 3 * EACH);
    }
    here.check("up/t", QoS::AtLeastOnce, 3 * EACH);
    there.check("down/t", QoS::AtLeastOnce, 3 * EACH);
    drop((here, there));
    broker.stop();
}

#[test]
fn a_bridge_of_version_3_1_1() {
    both_directions("mqttv311", true, 1);
}

#[test]
fn a_bridge_of_version_3_1_1_and_two_shards() {
    both_directions("mqttv311", true, 2);
}

#[test]
fn a_bridge_of_version_5() {
    both_directions("mqttv50", false, 2);
}
