//! Client certificates: who needs one, and which do not do.

use std::io::{Read, Write};

use rustls::version::{TLS12, TLS13};

use crate::certificates::{Ca, Files};
use crate::support::client::Heard;
use crate::talk::{Talk, TlsClient, listener, open};

/// In TLS 1.3 the client's side of the handshake is over before its certificate is looked at.
fn gets_in(client: &TlsClient<'_>, broker: &crate::support::broker::Broker, number: usize) -> bool {
    let Ok(stream) = client.open(broker, number) else { return false };
    let mut talk = Talk::over(stream);
    let ping = b"\x10\x0e\0\x04MQTT\x05\x02\0\0\0\0\x01c";
    if talk.stream.write_all(ping).and_then(|()| talk.stream.flush()).is_err() {
        return false;
    }
    matches!(talk.hear(), Heard::ConnAck { code: 0, .. })
}

#[test]
fn who_needs_one_and_which_do() {
    let (ca, other, files) = (Ca::new("ca"), Ca::new("other"), Files::new());
    let (good, bad) = (ca.client("good", 2), ca.client("bad", 3));
    let (expired, foreign) = (ca.expired_client("late"), other.client("foreign", 4));
    let server_only = ca.server("localhost");
    let lines = files.pair("server", &ca.server("localhost"));
    let ca_file = files.write("ca.pem", &ca.pem());
    let crl_file = files.write("crl.pem", &ca.revoke(&[&bad], 2099));
    let with = |kind: &str, more: &str| {
        let lines = format!("{lines}client_certificate = \"{kind}\"\n{more}");
        listener(&format!("{lines}client_ca_file = \"{ca_file}\"\n"))
    };
    let crl = format!("crl_file = \"{crl_file}\"\n");
    let broker = open(&(with("required", &crl) + &with("optional", &crl) + &with("required", "")));
    for versions in [&[&TLS12][..], &[&TLS13]] {
        for (pair, required, optional, without_list, why) in [
            (Some(&good), true, true, true, ""),
            (None, false, true, false, "sent no certificate"),
            (Some(&bad), false, false, true, "Revoked"),
            (Some(&expired), false, false, false, "expired"),
            (Some(&foreign), false, false, false, "UnknownIssuer"),
            (Some(&server_only), false, false, false, "certificate does not allow"),
        ] {
            let client = TlsClient { pair, versions, ..TlsClient::new(&ca) };
            let got = [0, 1, 2].map(|number| gets_in(&client, &broker, number));
            assert_eq!(got, [required, optional, without_list], "{why}");
            if !why.is_empty() {
                broker.log.wait_for(&["connection refused", "TLS handshake", why]);
            }
        }
    }
    broker.stop();
}

#[test]
fn nobody_is_resumed_past_his_certificate() {
    let (ca, files) = (Ca::new("ca"), Files::new());
    let good = ca.client("good", 2);
    let lines = files.pair("server", &ca.server("localhost"));
    let ca_file = files.write("ca.pem", &ca.pem());
    let broker = open(&listener(&format!(
        "{lines}client_certificate = \"required\"\nclient_ca_file = \"{ca_file}\"\n"
    )));
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let client = TlsClient { pair: Some(&good), versions, ..TlsClient::new(&ca) };
        let config = std::sync::Arc::new(client.config());
        for _ in 0..2 {
            let socket = crate::talk::socket(&broker, 0);
            let stream = crate::talk::handshake(config.clone(), "localhost", socket).unwrap();
            let mut talk = Talk::enter(stream, "c");
            talk.ping();
            assert_eq!(talk.stream.conn.handshake_kind(), Some(rustls::HandshakeKind::Full));
        }
    }
    broker.stop();
}

#[test]
fn an_expired_list_stays_in_force() {
    let (ca, files) = (Ca::new("ca"), Files::new());
    let (good, bad) = (ca.client("good", 2), ca.client("bad", 3));
    let lines = files.pair("server", &ca.server("localhost"));
    let ca_file = files.write("ca.pem", &ca.pem());
    let crl_file = files.write("crl.pem", &ca.revoke(&[&bad], 2025));
    let broker = open(&listener(&format!(
        "{lines}client_certificate = \"required\"\nclient_ca_file = \"{ca_file}\"\n\
         crl_file = \"{crl_file}\"\n"
    )));
    broker.log.wait_for(&["WARN", "the revocation list has expired", "crl.pem"]);
    for (pair, enters) in [(&good, true), (&bad, false)] {
        let client = TlsClient { pair: Some(pair), ..TlsClient::new(&ca) };
        assert_eq!(gets_in(&client, &broker, 0), enters);
    }
    broker.stop();
}

#[test]
fn the_client_is_told_what_is_wrong_with_its_certificate() {
    let (ca, other, files) = (Ca::new("ca"), Ca::new("other"), Files::new());
    let foreign = other.client("foreign", 4);
    let lines = files.pair("server", &ca.server("localhost"));
    let ca_file = files.write("ca.pem", &ca.pem());
    let broker = open(&listener(&format!(
        "{lines}client_certificate = \"required\"\nclient_ca_file = \"{ca_file}\"\n"
    )));
    let client = TlsClient { pair: Some(&foreign), ..TlsClient::new(&ca) };
    let mut stream = client.open(&broker, 0).unwrap();
    // Whatever it goes on sending, the alert arrives.
    let _ = stream.write_all(&[b'x'; 10_000]);
    let error = stream.read(&mut [0; 10]).unwrap_err().to_string();
    assert!(error.contains("UnknownCA") || error.contains("received fatal alert"), "{error}");
    broker.stop();
}

#[test]
fn the_certificates_name_is_the_users() {
    use crate::support::broker::Setup;
    let (ca, files) = (Ca::new("ca"), Files::new());
    let sensor = ca.client("sensor", 2);
    let lines = files.pair("server", &ca.server("localhost"));
    let ca_file = files.write("ca.pem", &ca.pem());
    let lines = format!(
        "{lines}client_certificate = \"optional\"\nclient_ca_file = \"{ca_file}\"\n\
         user_from = \"common_name\"\n"
    );
    let settings = listener(&lines);
    let setup = Setup { listen: None, anonymous: false, settings: &settings, ..Setup::default() };
    let broker = setup.start();
    for (pair, enters) in [(Some(&sensor), true), (None, false)] {
        let client = TlsClient { pair, ..TlsClient::new(&ca) };
        assert_eq!(gets_in(&client, &broker, 0), enters);
    }
    broker.log.wait_for(&["client connected", "client_id=c"]);
    broker.log.wait_for(&["connection refused", "client_id=c", "reason=0x87"]);
    broker.stop();
}
