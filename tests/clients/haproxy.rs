//! haproxy in front: the broker knows whom it speaks for, and believes no other.

use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};

use crate::doors::{Certificates, closed, listener, messages, showing, tools, watcher};
use crate::support::broker::Broker;
use crate::tools::{Ended, Running, end, is_here};

/// haproxy in front of the broker's first three listeners, and where it listens for each.
struct Proxy {
    _running: Running,
    ports: Vec<u16>,
}

impl Proxy {
    fn new(broker: &Broker, made: &Certificates) -> Self {
        // It gets the sockets as they are: no port has to be guessed, nor its start waited for.
        let sockets: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        for socket in &sockets {
            fcntl_setfd(socket, FdFlags::empty()).unwrap();
        }
        let both = ["server.pem", "server.key"].map(|name| std::fs::read(made.path(name)).unwrap());
        std::fs::write(made.path("both.pem"), both.concat()).unwrap();
        let tls = format!(
            " ssl crt {} ca-file {} verify required alpn mqtt",
            made.text("both.pem"),
            made.text("ca.pem")
        );
        let mut settings =
            "global\n    maxconn 100\ndefaults\n    mode tcp\n    timeout connect 30s\n\
                            \u{20}   timeout client 60s\n    timeout server 60s\n"
                .to_owned();
        let rows = [("", "send-proxy"), (&*tls, "send-proxy-v2-ssl-cn"), ("", "send-proxy-v2")];
        for (n, (tls, header)) in rows.into_iter().enumerate() {
            settings += &format!(
                "listen door{n}\n    bind fd@{}{tls}\n    server broker {} {header}\n",
                sockets[n].as_raw_fd(),
                broker.addresses[n]
            );
        }
        let file = made.write("haproxy.cfg", &settings);
        let running = Running::start(Command::new("haproxy").args(["-db", "-f", &file]));
        let ports = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        Self { _running: running, ports }
    }

    /// mosquitto_pub through its door with this number, from another address of this machine.
    fn publish(&self, door: usize, rest: &str) -> Ended {
        publish(self.ports[door], &format!("-A 127.0.0.9 {rest}"))
    }
}

fn publish(port: u16, rest: &str) -> Ended {
    let mut command = Command::new("mosquitto_pub");
    command.args(["-h", "127.0.0.1", "-q", "1", "-p", &port.to_string()]);
    end(command.args(rest.split_whitespace()))
}

#[test]
fn addresses_and_names_that_it_tells() {
    const WHAT: &str = "haproxy in front";
    let Some(made) = Certificates::new(WHAT).filter(|_| tools(WHAT)) else { return };
    if !is_here("haproxy", "-v", WHAT) {
        return;
    }
    made.client("sensor-2");
    let acl = made.write("acl", "topic readwrite #\nuser sensor-1\ntopic write up/#\n");
    let behind = |from: &str, lines: &str| listener(&format!("proxy_from = \"{from}\"\n{lines}"));
    let broker = closed(&format!(
        "auth.acl_file = {acl:?}\n{}{}{}{}",
        behind("127.0.0.1", "proxy = \"v1\"\nallow_anonymous = true"),
        behind("127.0.0.1", "proxy = \"v2\"\nuser_from = \"common_name\""),
        behind("127.0.0.2, 192.0.2.0/24", "proxy = \"v2\"\nallow_anonymous = true"),
        listener("allow_anonymous = true"),
    ));
    let proxy = Proxy::new(&broker, &made);
    let watcher = watcher(&broker, 3, "");
    let (one, two) = (showing(&made, &made, "client"), showing(&made, &made, "sensor-2"));
    let none = format!("--cafile {}", made.text("ca.pem"));
    for (door, version, name, words, denied) in [
        (0, "5", "plain", "-t up/plain", false),
        (0, "311", "plain-311", "-t up/plain-311", false),
        (1, "5", "named", &format!("{one} -t up/named"), false),
        (1, "311", "named-311", &format!("{one} -t up/named-311"), false),
        (1, "5", "named-down", &format!("{one} -t down/named"), true),
        (1, "5", "second", &format!("{two} -t up/second"), true),
    ] {
        let ended = proxy.publish(door, &format!("-V {version} -i {name} -m x {words}"));
        assert!(ended.status.success(), "{name}: {}", ended.err);
        assert_eq!(ended.err.contains("Not authorized"), denied, "{name}: {}", ended.err);
        let client_id = format!("client_id={name} ");
        broker.log.wait_for(&["client connected", &client_id, "peer=127.0.0.9:"]);
    }
    // No certificate for haproxy; haproxy, where another is expected; and one that is no haproxy.
    assert!(!proxy.publish(1, &format!("{none} -t up/none -m x")).status.success());
    assert!(!proxy.publish(2, "-t up/unlisted -m x").status.success());
    broker.log.wait_for(&["connection refused", "proxy_from does not name this proxy"]);
    for door in [0, 1] {
        let port = broker.addresses[door].port();
        assert!(!publish(port, "-t up/direct -m x").status.success());
        let listener = format!("listener={}", broker.addresses[door]);
        broker.log.wait_for(&["connection refused", "PROXY: ", &listener]);
    }
    assert!(publish(broker.addresses[3].port(), "-t end -m end").status.success());
    let expected = ["plain", "plain-311", "named", "named-311"].map(|name| format!("up/{name} x"));
    assert_eq!(messages(&watcher), expected);
    broker.stop();
}
