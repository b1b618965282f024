//! TLS: versions, names, protocols, and what stands in one record.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use rustls::version::{TLS12, TLS13};

use crate::certificates::{Ca, Files};
use crate::support::client::Heard;
use crate::talk::{Talk, TlsClient, hear_three, listener, open, three_packets};

#[test]
fn both_versions() {
    let (ca, files) = (Ca::new("ca"), Files::new());
    let pair = ca.server("localhost");
    let lines = files.pair("server", &pair);
    let only_13 = format!("{lines}tls_version_min = \"1.3\"\n");
    let broker = open(&(listener(&lines) + &listener(&only_13)));
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let client = TlsClient { versions, ..TlsClient::new(&ca) };
        let mut talk = Talk::enter(client.open(&broker, 0).unwrap(), "c");
        assert_eq!(talk.stream.conn.protocol_version(), Some(versions[0].version));
        // More than a record.
        talk.round_trip(&vec![b'x'; 100_000]);
        let strict = client.open(&broker, 1);
        assert_eq!(strict.is_ok(), versions[0].version == TLS13.version);
    }
    broker.log.wait_for(&["connection refused", "TLS handshake: peer is incompatible"]);
    broker.stop();
}

#[test]
fn three_packets_in_one_record_and_key_update() {
    let (ca, files) = (Ca::new("ca"), Files::new());
    let broker = open(&listener(&files.pair("server", &ca.server("localhost"))));
    let stream = TlsClient::new(&ca).open(&broker, 0).unwrap();
    let mut talk = Talk::over(stream);
    talk.stream.write_all(&three_packets("three")).unwrap();
    hear_three(&mut talk);
    for _ in 0..3 {
        talk.stream.conn.refresh_traffic_keys().unwrap();
        talk.ping();
    }
    // close_notify is an orderly end, and is answered with one.
    talk.stream.conn.send_close_notify();
    talk.stream.conn.complete_io(&mut talk.stream.sock).unwrap();
    assert_eq!(talk.stream.read(&mut [0; 10]).unwrap(), 0);
    broker.log.wait_for(&["client disconnected", "the client closed the connection"]);
    broker.stop();
}

#[test]
fn certificates_by_name() {
    let (ca, files) = (Ca::new("ca"), Files::new());
    let lines = files.pair("own", &ca.server("localhost"));
    files.pair("other", &ca.server("other.example"));
    let (pem, key) = (files.path("other.pem"), files.path("other.key"));
    let sni = format!("sni = \"other.example={}:{}\"\n", pem.display(), key.display());
    let broker = open(&listener(&(lines + &sni)));
    for name in ["localhost", "other.example", "OTHER.example"] {
        let client = TlsClient { name, ..TlsClient::new(&ca) };
        Talk::enter(client.open(&broker, 0).unwrap(), "c").ping();
    }
    let client = TlsClient { name: "third.example", ..TlsClient::new(&ca) };
    assert!(client.open(&broker, 0).is_err(), "it is shown the listener's own");
    broker.stop();
}

#[test]
fn protocols() {
    let (ca, files) = (Ca::new("ca"), Files::new());
    let lines = files.pair("server", &ca.server("localhost"));
    let websocket = format!("{lines}protocol = \"websocket\"\n");
    let broker = open(&(listener(&lines) + &listener(&websocket)));
    for (number, alpn, chosen) in [
        (0, &[&b"mqtt"[..]][..], Some(Some(&b"mqtt"[..]))),
        (0, &[b"h2", b"mqtt"], Some(Some(b"mqtt"))),
        (0, &[], Some(None)),
        (0, &[b"h2", b"http/1.1"], None),
        (1, &[b"http/1.1"], Some(Some(b"http/1.1"))),
        (1, &[b"h2"], None),
    ] {
        let client = TlsClient { alpn, ..TlsClient::new(&ca) };
        match (client.open(&broker, number), chosen) {
            (Ok(stream), Some(chosen)) => assert_eq!(stream.conn.alpn_protocol(), chosen),
            (Err(_), None) => {}
            (got, chosen) => panic!("{alpn:?}: {got:?}, not {chosen:?}"),
        }
    }
    broker.log.wait_for(&[
        "connection refused",
        "TLS handshake: peer doesn't support any known protocol",
    ]);
    broker.stop();
}

#[test]
fn sessions_are_resumed_without_memory_here() {
    let (ca, files) = (Ca::new("ca"), Files::new());
    let broker = open(&listener(&files.pair("server", &ca.server("localhost"))));
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let client = TlsClient { versions, ..TlsClient::new(&ca) };
        let config = std::sync::Arc::new(client.config());
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let socket = crate::talk::socket(&broker, 0);
            let stream = crate::talk::handshake(config.clone(), "localhost", socket).unwrap();
            let mut talk = Talk::enter(stream, "c");
            talk.ping(); // by now the ticket is here
            kinds.push(talk.stream.conn.handshake_kind().unwrap());
        }
        assert_eq!(kinds, [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed]);
    }
    broker.stop();
}

/// PKCS#8, as rcgen writes them, and what openssl makes of that: SEC1, PKCS#1.
#[test]
fn keys_of_each_form() {
    let (ca, files) = (Ca::new("ca"), Files::new());
    for (name, algorithm, begins) in [
        ("ec", &rcgen::PKCS_ECDSA_P256_SHA256, Some("-----BEGIN EC PRIVATE KEY")),
        ("rsa", &rcgen::PKCS_RSA_SHA256, Some("-----BEGIN RSA PRIVATE KEY")),
        ("ed", &rcgen::PKCS_ED25519, None),
    ] {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let lines = files.pair(name, &ca.server_with("localhost", key));
        for begins in [None, begins] {
            let path = files.path(&format!("{name}.key"));
            if let Some(begins) = begins {
                let command = ["pkey", "-traditional", "-in", path.to_str().unwrap()];
                let Ok(out) = Command::new("openssl").args(command).output() else {
                    eprintln!("skipped: there is no openssl here");
                    continue;
                };
                assert!(out.stdout.starts_with(begins.as_bytes()), "{name}");
                std::fs::write(&path, &out.stdout).unwrap();
            }
            let broker = open(&listener(&lines));
            Talk::enter(TlsClient::new(&ca).open(&broker, 0).unwrap(), "c").ping();
            broker.stop();
        }
    }
}

#[test]
fn a_client_of_somebody_else() {
    let (ca, files) = (Ca::new("ca"), Files::new());
    let broker = open(&listener(&files.pair("server", &ca.server("localhost"))));
    let ca_file = files.write("ca.pem", &ca.pem());
    for version in ["-tls1_2", "-tls1_3"] {
        let address = broker.addresses[0].to_string();
        let child = Command::new("openssl")
            .args(["s_client", "-connect", &address, "-servername", "localhost", version])
            .args(["-CAfile", &ca_file, "-verify_return_error", "-quiet", "-ign_eof"])
            .args(["-alpn", "mqtt"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = child else {
            eprintln!("skipped: there is no openssl here");
            return broker.stop();
        };
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&three_packets("openssl")).unwrap();
        stdin.write_all(b"\xe0\0").unwrap(); // DISCONNECT
        let mut out = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
        assert!(out.ends_with(b"packets"), "{}", out.escape_ascii());
        child.wait().unwrap();
    }
    broker.stop();
}

#[test]
fn files_that_do_not_do_stop_the_start() {
    use crate::support::broker::Setup;
    let (ca, files) = (Ca::new("ca"), Files::new());
    let (pair, other) = (ca.server("localhost"), ca.server("localhost"));
    files.pair("a", &pair);
    files.pair("b", &other);
    files.write("empty", "");
    let cut = pair.key.serialize_pem().replace("-----END", "");
    files.write("cut", &cut);
    let path = |name: &str| files.path(name).display().to_string();
    for (certificate, key, what) in [
        ("a.pem", "b.key", "it is not the key of the certificate in"),
        ("a.pem", "missing", "No such file"),
        ("a.pem", "empty", "there is no private key in it"),
        ("a.pem", "a.pem", "there is no private key in it"),
        ("a.pem", "cut", "a PEM section"),
        ("empty", "a.key", "there is no certificate in it"),
        ("a.key", "a.key", "there is no certificate in it"),
    ] {
        let (certificate, key) = (path(certificate), path(key));
        let lines = format!("certificate_file = \"{certificate}\"\nkey_file = \"{key}\"\n");
        let settings = listener(&lines);
        let setup = Setup { listen: None, settings: &settings, ..Setup::default() };
        let Err(log) = setup.try_start() else { panic!("{what}") };
        assert!(log.contains(what) && log.contains("listener 127.0.0.1:0"), "{log}");
        assert!(!log.contains(&cut.lines().nth(1).unwrap()[..20]), "a key in the log: {log}");
    }
}

#[test]
fn who_is_refused_in_mqtt_is_told_inside_tls() {
    let (ca, files) = (Ca::new("ca"), Files::new());
    let broker = open(&listener(&files.pair("server", &ca.server("localhost"))));
    let mut talk = Talk::over(TlsClient::new(&ca).open(&broker, 0).unwrap());
    talk.stream.write_all(b"\x10\x0d\0\x04MQTT\x06\x02\0\0\0\0\0\x01a").unwrap();
    assert_eq!(talk.hear(), Heard::ConnAck { present: false, code: 0x84, assigned: None });
    assert_eq!(talk.stream.read(&mut [0; 9]).unwrap(), 0, "close_notify, not a cut");
    broker.stop();
}
