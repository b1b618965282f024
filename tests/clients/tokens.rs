//! Who enters by a token, by SCRAM, or because an HTTP server says so.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::doors::{Certificates, closed, listener, messages, tool, tools, watcher};
use crate::scripts::{mqtt_js_modules, script};
use crate::support::broker::{Broker, Scratch};
use crate::tools::{Ended, Running, end, is_here, run};

const KEY: &str = "abcdefghijklmnopqrstuvwxyz012345";

/// A token that ends in so many seconds, with further claims.
fn token(left_s: i64, more: &str) -> String {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let claims = format!(r#"{{"sub":"anna","exp":{}{more}}}"#, now_s + left_s);
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let text = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes()), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn publish(broker: &Broker, rest: &str) -> Ended {
    end(&mut tool("mosquitto_pub", broker, 0, &format!("-q 1 {rest}")))
}

#[test]
fn tokens_as_passwords() {
    if !tools("tokens with mosquitto_pub") {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path().join("key");
    std::fs::write(&file, KEY).unwrap();
    let broker = closed(&format!("auth.jwt_secret_file = {file:?}\n{}", listener("")));
    let acl = r#","acl":{"publish":["up/%c"],"subscribe":["none"]}"#;
    let [good, late, bound] = [token(600, ""), token(-5, ""), token(600, acl)];
    let watcher = watcher(&broker, 0, &format!("-u anna -P {good}"));
    for (version, code) in [("5", 0x86), ("311", 4)] {
        let words = |user: &str, token: &str| format!("-V {version} -u {user} -P {token}");
        let all = words("anna", &good);
        assert!(publish(&broker, &format!("{all} -t any/{version} -m x")).status.success());
        for words in [words("anna", &late), words("bert", &good), words("anna", &(good[1..]))] {
            let ended = publish(&broker, &format!("{words} -t no -m x"));
            assert_eq!(ended.status.code(), Some(code), "{}", ended.err);
            assert!(ended.err.to_lowercase().contains("bad user name or password"));
        }
        let bound = words("anna", &bound);
        for (topic, denied) in [("up/me", false), ("up/other", true), ("any", true)] {
            let ended = publish(&broker, &format!("{bound} -i me -t {topic} -m x"));
            assert_eq!(ended.err.contains("Not authorized"), denied && version == "5", "{topic}");
        }
    }
    broker.log.wait_for(&["connection refused", "the token has expired", "reason=0x86"]);
    broker.log.wait_for(&["connection refused", "the token is another user's"]);
    assert!(publish(&broker, &format!("-u anna -P {good} -t end -m end")).status.success());
    assert_eq!(messages(&watcher), ["any/5 x", "up/me x", "any/311 x", "up/me x"]);
    assert!(!broker.log.all().iter().any(|line| line.contains(&good[30..])), "a token in the log");
    broker.stop();
}

#[test]
fn a_connection_ends_with_its_token() {
    if !tools("tokens with mosquitto_sub") {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path().join("key");
    std::fs::write(&file, KEY).unwrap();
    let broker = closed(&format!("auth.jwt_secret_file = {file:?}\n{}", listener("")));
    let clients = ["5", "311"].map(|version| {
        let short = token(4, "");
        let words = format!("-V {version} -i v{version} -t t -d -u anna -P {short}");
        let client = Running::start(&mut tool("mosquitto_sub", &broker, 0, &words));
        client.out.wait_for(&["Subscribed"]);
        client
    });
    let [five, three] = clients.map(Running::end);
    assert_eq!(five.out.last().map(String::as_str), Some("Received DISCONNECT (135)"));
    // It cannot be told; it comes back, and may not.
    assert_eq!(three.status.code(), Some(4), "{}", three.err);
    let why = "what it was let in with is no longer valid";
    for version in ["v5", "v311"] {
        broker.log.wait_for(&["client disconnected", version, why, "reason=0x87"]);
    }
    broker.stop();
}

#[test]
fn scram() {
    const WHAT: &str = "SCRAM-SHA-256 with mqtt.js";
    let Some(made) = Certificates::new(WHAT) else { return };
    let Some(modules) = mqtt_js_modules() else { return };
    let file = made.text("passwords");
    let mut passwd = Command::new(env!("CARGO_BIN_EXE_stonechat"));
    let mut passwd = Running::told(passwd.args(["passwd", "--scram", "--create", &file, "anna"]));
    passwd.tell(b"wren\n");
    passwd.finish();
    let websocket = format!("{}protocol = \"websocket\"\n", made.server());
    let broker = closed(&format!(
        "auth.password_file = {file:?}\nauth.wrong_password_delay_ms = 0\n{}{}",
        listener(&made.server()),
        listener(&websocket)
    ));
    let [tls, websocket] = [broker.addresses[0].port(), broker.addresses[1].port()];
    for url in [format!("mqtts://localhost:{tls}"), format!("wss://127.0.0.1:{websocket}/mqtt")] {
        let mut node = Command::new("node");
        node.arg(script("mqttjs_scram.mjs")).arg(&modules).arg(made.path("ca.pem"));
        let lines = run(node.args([&url, "anna", "wren"]));
        assert_eq!(lines.last().map(String::as_str), Some("passed"), "{lines:?}");
    }
    broker.stop();
}

#[test]
fn another_server_decides() {
    let what = "an HTTP hook in Python";
    if !tools(what) || !is_here("python3", "--version", what) {
        return;
    }
    let mut python = Command::new("python3");
    let hook = Running::start(python.arg(script("hook_server.py")));
    let port = hook.out.wait_until("port", |lines| lines.first().cloned());
    let broker = closed(&format!(
        "auth.hook_url = \"http://127.0.0.1:{port}/\"\nauth.hook_acl = true\n\
         auth.hook_timeout_ms = 20000\nauth.wrong_password_delay_ms = 0\n{}",
        listener("")
    ));
    let words = "-u asked -P secret -V 5 -t down/# -d -i reader -C 2";
    let mut reader = tool("mosquitto_sub", &broker, 0, words);
    let reader = Running::start(reader.args(["-F", "=> %t %p"]));
    reader.out.wait_for(&["Subscribed (mid: 1): 0"]);
    for (version, refused, granted) in [("5", 0x86, "135"), ("311", 4, "128")] {
        let asked = format!("-V {version} -u asked -P secret");
        for (topic, denied) in [("up/1", false), ("down/1", true), ("up/1", false)] {
            let ended = publish(&broker, &format!("{asked} -t {topic} -m x"));
            assert_eq!(ended.err.contains("Not authorized"), denied && version == "5", "{topic}");
        }
        for wrong in ["-u asked -P wrong", "-u nobody -P secret"] {
            let ended = publish(&broker, &format!("-V {version} -t up/1 -m x {wrong}"));
            assert_eq!(ended.status.code(), Some(refused), "{}", ended.err);
        }
        let denied = format!("{asked} -t other/# -d");
        let ended = end(&mut tool("mosquitto_sub", &broker, 0, &denied));
        let suback = format!("Subscribed (mid: 1): {granted}");
        assert!(ended.out.contains(&suback), "{:?}\n{}", ended.out, ended.err);
        // What it grants with its answer is not asked again, and the rest is.
        let granted = format!("-V {version} -u granted -P secret -i me");
        for (topic, denied) in [("down/me", false), ("down/other", true), ("up/2", false)] {
            let ended = publish(&broker, &format!("{granted} -t {topic} -m x"));
            assert_eq!(ended.err.contains("Not authorized"), denied && version == "5", "{topic}");
        }
    }
    let questions = hook.out.all();
    let asked = |parts: &[&str]| {
        questions.iter().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    };
    let received: Vec<_> = reader.finish().into_iter().filter(|l| l.starts_with("=>")).collect();
    assert_eq!(received, ["=> down/me x", "=> down/me x"]);
    assert_eq!(asked(&[r#""topic": "down/me""#]), 0, "{questions:?}");
    assert!(asked(&[r#""topic": "down/other""#, r#""user": "granted""#]) > 0);
    assert!(asked(&[r#""action": "publish""#, r#""topic": "up/1""#, r#""user": "asked""#]) > 0);
    assert!(asked(&[r#""action": "subscribe""#, r#""filter": "other/#""#]) > 0);
    assert!(asked(&[r#""action": "connect""#, r#""peer": "127.0.0.1""#]) > 0);
    // Without it nobody new comes in.
    drop(hook);
    let ended = publish(&broker, "-V 5 -u asked -P secret -t up/1 -m x -i new");
    assert_eq!(ended.status.code(), Some(0x88), "{}", ended.err);
    broker.stop();
}

/// Who could not be asked about was not wrong, and does not wait when he comes again.
#[test]
fn an_outage_of_the_hook_is_no_wrong_password() {
    if !tools("an HTTP hook that is not there") {
        return;
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let delay = Duration::from_secs(20);
    let broker = closed(&format!(
        "auth.hook_url = \"http://{nobody}/\"\nauth.wrong_password_delay_ms = {}\n{}",
        delay.as_millis(),
        listener("")
    ));
    let began = Instant::now();
    for _ in 0..4 {
        let ended = publish(&broker, "-V 5 -u anna -P wren -t t -m x");
        assert_eq!(ended.status.code(), Some(0x88), "{}", ended.err);
    }
    assert!(began.elapsed() < delay);
    broker.stop();
}
