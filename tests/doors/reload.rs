//! SIGHUP: new certificates, CAs and revocation lists for who comes, and nobody is dropped.

use rustix::process::Signal;

use crate::certificates::{Ca, Files, Pair};
use crate::support::broker::Broker;
use crate::talk::{Talk, TlsClient, listener, open};

/// The certificate that the listener shows now.
fn shown(broker: &Broker, ca: &Ca) -> Vec<u8> {
    let stream = TlsClient::new(ca).open(broker, 0).unwrap();
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

/// SIGHUP, and the `count`th line about it.
fn reload(broker: &Broker, part: &str, count: usize) {
    broker.signal(Signal::HUP);
    broker.log.wait_until(part, |lines| {
        (lines.iter().filter(|line| line.contains(part)).count() >= count).then_some(())
    });
}

#[test]
fn a_new_certificate_and_a_broken_one() {
    let (ca, files) = (Ca::new("ca"), Files::new());
    let (old, new) = (ca.server("localhost"), ca.server("localhost"));
    let der = |pair: &Pair| pair.certificate.der().to_vec();
    let broker = open(&listener(&files.pair("server", &old)));
    let mut stays = Talk::enter(TlsClient::new(&ca).open(&broker, 0).unwrap(), "stays");
    assert_eq!(shown(&broker, &ca), der(&old));

    files.pair("server", &new);
    reload(&broker, "read again", 1);
    assert_eq!(shown(&broker, &ca), der(&new));
    stays.ping();

    // The key of another certificate: all stays as it was.
    files.write("server.key", &old.key.serialize_pem());
    reload(&broker, "it is not the key of the certificate in", 1);
    assert_eq!(shown(&broker, &ca), der(&new));
    files.write("server.key", "nothing");
    reload(&broker, "there is no private key in it", 1);
    assert_eq!(shown(&broker, &ca), der(&new));
    stays.round_trip(b"still here");

    files.pair("server", &old);
    reload(&broker, "read again", 2);
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
    let broker = open(&listener(&format!(
        "{lines}client_certificate = \"required\"\nclient_ca_file = \"{ca_file}\"\n\
         crl_file = \"{crl_file}\"\n"
    )));
    let open = |pair| TlsClient { pair: Some(pair), ..TlsClient::new(&ca) }.open(&broker, 0);
    let mut stays = Talk::enter(open(&bad).unwrap(), "bad");
    files.write("crl.pem", &ca.revoke(&[&bad], 2099));
    reload(&broker, "read again", 1);
    stays.ping();
    let _ = open(&bad);
    broker.log.wait_for(&["connection refused", "Revoked"]);
    Talk::enter(open(&good).unwrap(), "good").ping();
    broker.stop();
}
