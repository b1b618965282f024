//! New certificates, CAs and revocation lists, on SIGHUP and when files change: for who comes from
//! then on. Nobody is dropped, and a broken file changes nothing.

use rustix::process::Signal;

use crate::certificates::{Ca, Files, Pair};
use crate::support::broker::Broker;
use crate::talk::{Talk, TlsClient, listener, open};

/// The certificate that the listener shows now.
fn shown(broker: &Broker, ca: &Ca) -> Vec<u8> {
    let stream = TlsClient::new(ca).open(broker, 0).unwrap();
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

fn der(pair: &Pair) -> Vec<u8> {
    pair.certificate.der().to_vec()
}

/// SIGHUP, for the `count`th time.
fn reload(broker: &Broker, count: usize) {
    broker.signal(Signal::HUP);
    broker.log.wait_until("read again", |lines| {
        (lines.iter().filter(|line| line.contains("read again: [auth]")).count() >= count)
            .then_some(())
    });
}

#[test]
fn a_new_certificate_and_broken_ones() {
    let (ca, files) = (Ca::new("ca"), Files::new());
    let (old, new) = (ca.server("localhost"), ca.server("localhost"));
    let tls = listener(&files.pair("server", &old));
    let broker = open(&format!("server.watch_files_s = 0\n{tls}"));
    let mut stays = Talk::enter(TlsClient::new(&ca).open(&broker, 0).unwrap(), "stays");
    assert_eq!(shown(&broker, &ca), der(&old));

    files.pair("server", &new);
    reload(&broker, 1);
    assert_eq!(shown(&broker, &ca), der(&new));
    stays.ping();

    // The key of another certificate: all stays as it was.
    files.write("server.key", &old.key.serialize_pem());
    reload(&broker, 2);
    broker.log.wait_for(&["server.key", "it is not the key of the certificate in"]);
    assert_eq!(shown(&broker, &ca), der(&new));
    files.write("server.key", "nothing");
    reload(&broker, 3);
    broker.log.wait_for(&["server.key", "there is no private key in it"]);
    assert_eq!(shown(&broker, &ca), der(&new));
    stays.round_trip(b"still here");

    files.pair("server", &old);
    reload(&broker, 4);
    assert_eq!(shown(&broker, &ca), der(&old));
    stays.ping();
    broker.stop();
}

#[test]
fn a_certificate_is_revoked() {
    let (ca, files) = (Ca::new("ca"), Files::new());
    let (good, bad) = (ca.client("good", 2), ca.client("bad", 3));
    let lines = files.pair("server", &ca.server("localhost"));
    let ca_file = files.write("ca.pem", &ca.pem());
    let crl_file = files.write("crl.pem", &ca.revoke(&[], 2099));
    let tls = listener(&format!(
        "{lines}client_certificate = \"required\"\nclient_ca_file = \"{ca_file}\"\n\
         crl_file = \"{crl_file}\"\n"
    ));
    let broker = open(&format!("server.watch_files_s = 0\n{tls}"));
    let open = |pair| TlsClient { pair: Some(pair), ..TlsClient::new(&ca) }.open(&broker, 0);
    let mut stays = Talk::enter(open(&bad).unwrap(), "bad");
    files.write("crl.pem", &ca.revoke(&[&bad], 2099));
    reload(&broker, 1);
    stays.ping();
    let _ = open(&bad);
    broker.log.wait_for(&["connection refused", "Revoked"]);
    Talk::enter(open(&good).unwrap(), "good").ping();
    broker.stop();
}

#[test]
fn files_that_change_are_read_by_themselves() {
    let (ca, files) = (Ca::new("ca"), Files::new());
    let (old, new) = (ca.server("localhost"), ca.server("localhost"));
    let tls = listener(&files.pair("server", &old));
    let broker = open(&format!("server.watch_files_s = 1\n{tls}"));
    assert_eq!(shown(&broker, &ca), der(&old));
    files.pair("server", &new);
    broker.log.wait_for(&["a file has changed and was read again", "server.pem"]);
    assert_eq!(shown(&broker, &ca), der(&new));
    broker.stop();
}
