//! openssl's s_client: TLS of somebody else, step by step.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use stonechat::codec::{Packet, QoS, Version};

use crate::doors::{Certificates, closed, listener};
use crate::support::PATIENCE;
use crate::support::broker::Broker;
use crate::support::client::{bytes_of, connect, publish, subscribe};

/// What s_client has written so far, its own words and what it received.
type Heard = Arc<(Mutex<Vec<u8>>, Condvar)>;

/// A running s_client; killed on drop.
struct Talk {
    child: Child,
    stdin: ChildStdin,
    heard: Heard,
    readers: Vec<JoinHandle<()>>,
}

fn collect(mut source: impl Read + Send + 'static, heard: &Heard) -> JoinHandle<()> {
    let heard = Arc::clone(heard);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(n @ 1..) = source.read(&mut bytes) {
            heard.0.lock().unwrap().extend_from_slice(&bytes[..n]);
            heard.1.notify_all();
        }
    })
}

fn count(text: &[u8], part: &[u8]) -> usize {
    text.windows(part.len()).filter(|&window| window == part).count()
}

impl Talk {
    /// To the listener with this number, of whose server `localhost` or another is expected.
    fn new(broker: &Broker, number: usize, made: &Certificates, rest: &str) -> Self {
        let address = broker.addresses[number].to_string();
        let ca = made.text("ca.pem");
        let mut child = Command::new("openssl")
            .args(["s_client", "-connect", &address, "-CAfile", &ca, "-verify_return_error"])
            .args(["-alpn", "mqtt", "-msg"])
            .args(rest.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let heard = Heard::default();
        let readers = vec![
            collect(child.stdout.take().unwrap(), &heard),
            collect(child.stderr.take().unwrap(), &heard),
        ];
        Self { stdin: child.stdin.take().unwrap(), child, heard, readers }
    }

    /// In one write, which s_client makes one record of.
    fn tell(&mut self, bytes: &[u8]) {
        self.stdin.write_all(bytes).and_then(|()| self.stdin.flush()).unwrap();
    }

    /// Waits until `part` has been heard so many times.
    fn hears(&self, part: &[u8], times: usize) {
        let until = Instant::now() + PATIENCE;
        let mut heard = self.heard.0.lock().unwrap();
        while count(&heard, part) < times {
            let left = until.saturating_duration_since(Instant::now());
            let text = heard.escape_ascii().to_string().replace("\\n", "\n");
            assert!(!left.is_zero(), "no {}:\n{text}", part.escape_ascii());
            heard = self.heard.1.wait_timeout(heard, left).unwrap().0;
        }
    }

    /// Waits for its end.
    fn end(mut self) -> ExitStatus {
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        self.child.wait().unwrap()
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.readers.drain(..).for_each(|reader| _ = reader.join());
    }
}

/// CONNECT, SUBSCRIBE and PUBLISH to it, in one piece.
fn three_packets(client_id: &str) -> Vec<u8> {
    let message = publish("three", b"packets", QoS::AtMostOnce, 0);
    let connect = Packet::Connect(Box::new(connect(Version::V5, client_id)));
    [connect, subscribe("three", QoS::AtMostOnce, 1), Packet::Publish(message)]
        .map(|packet| bytes_of(&packet, Version::V5))
        .concat()
}

const SUBACK: &[u8] = b"\x90\x04\0\x01\0\0";
const PINGREQ: &[u8] = b"\xc0\0";
const PINGRESP: &[u8] = b"\xd0\0";
const DISCONNECT: &[u8] = b"\xe0\0";
const WHAT: &str = "openssl s_client";

#[test]
fn three_packets_in_one_record_and_an_orderly_end() {
    let Some(made) = Certificates::new(WHAT) else { return };
    let broker = closed(&listener(&(made.server() + "allow_anonymous = true\n")));
    for version in ["1_2", "1_3"] {
        let words = format!("-tls{version} -servername localhost -verify_hostname localhost");
        let close = match version {
            "1_2" => &b"<<< TLS 1.2, Alert [length 0002], warning close_notify"[..],
            _ => b"<<< TLS 1.3, Alert [length 0002], warning close_notify",
        };
        // DISCONNECT: the broker ends it.
        let mut talk = Talk::new(&broker, 0, &made, &words);
        talk.hears(b"ALPN protocol: mqtt", 1);
        talk.hears(b"Verification: OK", 1);
        let packets = three_packets("first");
        talk.tell(&packets);
        talk.hears(SUBACK, 1);
        if version == "1_3" {
            // They went in one record: its header, with their length, a byte and the tag's.
            let record = format!("17 03 03 00 {:02x}\n", packets.len() + 1 + 16);
            talk.hears(record.as_bytes(), 1);
        }
        talk.hears(b"packets", 1);
        talk.tell(DISCONNECT);
        talk.hears(close, 1);
        talk.end();
        let why = "the client sent DISCONNECT";
        broker.log.wait_for(&["client disconnected", "client_id=first", why]);
        // The client's close_notify.
        let mut talk = Talk::new(&broker, 0, &made, &words);
        talk.tell(&three_packets("second"));
        talk.hears(SUBACK, 1);
        talk.tell(b"Q\n");
        assert!(talk.end().success());
        let why = "the client closed the connection";
        broker.log.wait_for(&["client disconnected", "client_id=second", why]);
    }
    broker.stop();
}

#[test]
fn new_keys_while_it_runs() {
    let Some(made) = Certificates::new(WHAT) else { return };
    let broker = closed(&listener(&(made.server() + "allow_anonymous = true\n")));
    let mut talk = Talk::new(&broker, 0, &made, "-tls1_3 -servername localhost");
    talk.tell(&three_packets("keys"));
    talk.hears(SUBACK, 1);
    for n in 1..=5 {
        // The broker is asked for new keys of its own, too.
        talk.tell(b"K\n");
        talk.hears(b"KEYUPDATE\n", n);
        talk.tell(PINGREQ);
        talk.hears(b"<<< TLS 1.3, Handshake [length 0005], KeyUpdate", n);
        talk.hears(PINGRESP, n);
    }
    talk.tell(b"k\n");
    talk.hears(b"KEYUPDATE\n", 6);
    talk.tell(PINGREQ);
    talk.hears(PINGRESP, 6);
    talk.tell(DISCONNECT);
    talk.hears(b"<<< TLS 1.3, Alert [length 0002], warning close_notify", 1);
    broker.stop();
}

#[test]
fn renegotiation_is_refused() {
    let Some(made) = Certificates::new(WHAT) else { return };
    let broker = closed(&listener(&(made.server() + "allow_anonymous = true\n")));
    let mut talk = Talk::new(&broker, 0, &made, "-tls1_2 -servername localhost");
    talk.tell(&three_packets("again"));
    talk.hears(SUBACK, 1);
    talk.tell(b"R\n");
    talk.hears(b"RENEGOTIATING", 1);
    talk.hears(b"<<< TLS 1.2, Alert [length 0002], warning no_renegotiation", 1);
    assert!(!talk.end().success()); // it does not go on without
    broker.log.wait_for(&["client disconnected", "client_id=again"]);
    broker.stop();
}

#[test]
fn the_certificate_of_the_name_that_is_asked_for() {
    let Some(made) = Certificates::new(WHAT) else { return };
    made.client("other.example");
    let (pem, key) = (made.text("other.example.pem"), made.text("other.example.key"));
    let sni = format!("sni = \"other.example={pem}:{key}\"\nallow_anonymous = true\n");
    let broker = closed(&listener(&(made.server() + &sni)));
    for version in ["1_2", "1_3"] {
        for (asked, shown) in [
            ("-servername localhost", "localhost"),
            ("-servername other.example", "other.example"),
            ("-servername third.example", "localhost"),
            ("-noservername", "localhost"),
        ] {
            let mut talk = Talk::new(&broker, 0, &made, &format!("-tls{version} {asked}"));
            talk.hears(format!("subject=CN = {shown}\n").as_bytes(), 1);
            talk.tell(b"Q\n");
            talk.end();
        }
    }
    broker.stop();
}
