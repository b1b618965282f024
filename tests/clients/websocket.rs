//! mqtt.js and paho-mqtt over WebSocket and TLS, and over both.

use std::process::Command;

use crate::doors::{Certificates, closed, listener, tools};
use crate::scripts::{mqtt_js_modules, python_paho, script};
use crate::support::broker::Broker;
use crate::tools::run;

/// A broker with a listener of each kind (TLS, WebSocket, both), open ones and then closed ones;
/// `page` stands in those for WebSocket.
fn broker(made: &Certificates, page: &str) -> Broker {
    let passwords = made.text("passwords");
    run(Command::new("mosquitto_passwd").args(["-c", "-b", &passwords, "anna", "wren"]));
    let (tls, websocket) = (made.server(), "protocol = \"websocket\"\n");
    let both = format!("{tls}{websocket}");
    let mut settings = format!(
        "auth.password_file = {passwords:?}\nauth.wrong_password_delay_ms = 0\n\
         limits.output_bytes_max = 67108864\n"
    );
    for more in ["allow_anonymous = true\n", ""] {
        for lines in [&tls, &format!("{websocket}{page}"), &format!("{both}{page}")] {
            settings += &listener(&format!("{lines}{more}"));
        }
    }
    closed(&settings)
}

#[test]
fn mqtt_js() {
    let what = "mqtt.js over TLS and WebSocket";
    let Some(made) = Certificates::new(what).filter(|_| tools(what)) else { return };
    let Some(modules) = mqtt_js_modules() else { return };
    let broker = broker(&made, "origins = \"https://here.example\"\n");
    let ports: Vec<u16> = broker.addresses.iter().map(|address| address.port()).collect();
    let urls = |ports: &[u16]| {
        [
            format!("mqtts://localhost:{}", ports[0]),
            format!("ws://127.0.0.1:{}/mqtt", ports[1]),
            format!("wss://127.0.0.1:{}/mqtt", ports[2]),
        ]
    };
    let mut node = Command::new("node");
    node.arg(script("mqttjs_doors.mjs")).arg(&modules).arg(made.path("ca.pem"));
    node.args(urls(&ports[..3])).args(["named", "anna", "wren"]).args(urls(&ports[3..]));
    let lines = run(&mut node);
    assert_eq!(lines.last().map(String::as_str), Some("passed"), "{lines:?}");
    for why in ["websocket_path", "origins"] {
        broker.log.wait_for(&["connection refused", why]);
    }
    broker.stop();
}

#[test]
fn mqtt_js_with_a_certificate() {
    let what = "mqtt.js with a client certificate";
    let Some(made) = Certificates::new(what) else { return };
    let Some(modules) = mqtt_js_modules() else { return };
    let websocket = "protocol = \"websocket\"\norigins = \"https://here.example\"\n";
    let acl = made.write("acl", "user sensor-1\ntopic readwrite t/#\n");
    let broker = closed(&format!(
        "limits.output_bytes_max = 67108864\nauth.acl_file = {acl:?}\n{}{}",
        listener(&made.named()),
        listener(&(made.named() + websocket))
    ));
    let [tls, websocket] = [broker.addresses[0].port(), broker.addresses[1].port()];
    let mut node = Command::new("node");
    node.arg(script("mqttjs_doors.mjs")).arg(&modules).arg(made.path("ca.pem"));
    node.arg(format!("mqtts://localhost:{tls}"));
    node.arg(format!("wss://127.0.0.1:{websocket}/mqtt"));
    let lines = run(node.env("STONECHAT_CERTIFICATE", made.path("client")));
    assert_eq!(lines.last().map(String::as_str), Some("passed"), "{lines:?}");
    broker.stop();
}

#[test]
fn paho() {
    let what = "paho-mqtt over TLS and WebSocket";
    let Some(made) = Certificates::new(what).filter(|_| tools(what)) else { return };
    let Some(mut python) = python_paho() else { return };
    // It tells the URL that it connects to as Origin.
    let broker = broker(&made, "");
    python.arg(script("paho_doors.py")).arg(made.path("ca.pem"));
    for (n, address) in broker.addresses.iter().enumerate() {
        let named = if n < 3 { "" } else { ":named" };
        python.arg(format!("{}:{}{named}", ["tls", "ws", "wss"][n % 3], address.port()));
    }
    let lines = run(python.env("STONECHAT_USER", "anna").env("STONECHAT_PASSWORD", "wren"));
    assert_eq!(lines.last().map(String::as_str), Some("passed"), "{lines:?}");
    broker.stop();
}
