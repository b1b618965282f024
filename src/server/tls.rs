//! TLS: what a listener shows, demands and speaks, made of files, and made anew while clients stay.
//!
//! What lives here: [`Tls`], one listener's files and the configuration made of them. May use:
//! files, the clock. Invariants: a configuration is exchanged whole or not at all, so a broken new
//! file leaves the old ones in force; connections that exist keep what they began with; a client
//! certificate is verified in every handshake, never taken from an earlier session.
//!
//! There is no PSK and there are no CBC suites: rustls has neither, on purpose. TLS 1.2 is spoken
//! with ECDHE and AES-GCM or ChaCha20-Poly1305 alone.

mod keys;
pub(super) mod name;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;
use zeroize::Zeroizing;

use super::secrets;
use super::watch::Watched;
use crate::config::{ClientCertificate, Listener, Protocol, TlsVersion};
use keys::Keys;

/// Larger files than this are none of certificates, keys or revocation lists.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Tickets for a client of TLS 1.3: each costs bytes and time, and one is what a reconnect takes.
const TICKETS: usize = 1;

/// A file that does not do.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}", file.display())]
pub(crate) struct TlsError {
    /// Which one.
    pub(crate) file: PathBuf,
    /// What is wrong with it.
    pub(crate) what: String,
}

/// One listener's TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    listener: Listener,
    current: Mutex<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files; `None`: the listener speaks none.
    ///
    /// # Errors
    /// The first file that does not do, and why.
    pub(crate) fn load(listener: &Listener) -> Result<Option<Self>, TlsError> {
        if listener.tls().is_none() {
            return Ok(None);
        }
        let current = Mutex::new(Arc::new(build(listener)?));
        Ok(Some(Self { listener: listener.clone(), current }))
    }

    /// What the next handshake is made with.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Watched for Tls {
    fn paths(&self) -> Vec<PathBuf> {
        let l = &self.listener;
        let pairs = l.sni.iter().flat_map(|sni| [&sni.certificate_file, &sni.key_file]);
        let own = l.certificate_file.iter().chain(&l.key_file).chain(pairs);
        own.chain(&l.client_ca_file).chain(&l.crl_file).cloned().collect()
    }

    /// Handshakes that begin from now on see the new files. Sessions of before are not resumed:
    /// their tickets were made with keys that are gone.
    fn reload(&self) -> Result<(), String> {
        let address = &self.listener.address;
        let config =
            build(&self.listener).map_err(|error| format!("listener {address}: {error}"))?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        Ok(())
    }
}

fn build(listener: &Listener) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let keys = Keys::read(listener, &provider)?;
    let versions: &[&SupportedProtocolVersion] = match listener.tls_version_min {
        TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12],
        TlsVersion::V1_3 => &[&version::TLS13],
    };
    let own = listener.certificate_file.as_deref().unwrap_or(Path::new(""));
    let at = |error: rustls::Error| TlsError::new(own, error);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(at)?;
    let builder = match verifier(listener, &provider)? {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let mut config = builder.with_cert_resolver(Arc::new(keys));
    // A client that offers protocols, and none of these, is refused: so RFC 7301 has it, and so a
    // browser that somebody sent here for HTTPS does not get far. Most clients offer none at all.
    config.alpn_protocols = vec![b"mqtt".to_vec()];
    if listener.protocol == Protocol::Websocket {
        config.alpn_protocols.push(b"http/1.1".to_vec()); // what browsers say
    }
    // Sessions live in their clients' tickets: none costs memory here. Where certificates are
    // asked for there are none: a resumed session would spare the look at what has been revoked
    // or has expired since.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    if listener.client_certificate == ClientCertificate::Off {
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(at)?;
        config.send_tls13_tickets = TICKETS;
    }
    Ok(config)
}

/// Who checks client certificates, where any are asked for. An expired revocation list stays in
/// force, with a warning: what it names stays revoked, and a list that nobody renewed does not lock
/// every client out. With a list, each issuer in a client's chain needs one.
fn verifier(
    listener: &Listener,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let Some(ca) = listener.client_ca_file.as_deref() else { return Ok(None) };
    if listener.client_certificate == ClientCertificate::Off {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(|error| TlsError::new(ca, error))?;
    }
    let crls = match &listener.crl_file {
        Some(file) => revoked(listener, file)?,
        None => Vec::new(),
    };
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = match listener.client_certificate {
        ClientCertificate::Required => builder,
        _ => builder.allow_unauthenticated(),
    };
    let built = builder.with_crls(crls).build();
    let file = listener.crl_file.as_deref().unwrap_or(ca);
    built.map(Some).map_err(|error| TlsError::new(file, error))
}

/// The revocation lists in a file.
fn revoked(
    listener: &Listener,
    file: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let mut found = Vec::new();
    for crl in CertificateRevocationListDer::pem_slice_iter(&read(file)?) {
        let crl = crl.map_err(|error| TlsError::new(file, pem_error(&error)))?;
        // What is wrong with a list that cannot be read, rustls says.
        let next = CertificateList::from_der(&crl).ok().and_then(|l| l.tbs_cert_list.next_update);
        if next.is_some_and(|next| next.to_unix_duration() < since_1970()) {
            let (file, listener) = (file.display(), listener.address.as_str());
            tracing::warn!(%file, listener, "the revocation list has expired; it stays in force");
        }
        found.push(crl);
    }
    if found.is_empty() {
        return Err(TlsError::new(file, "there is no revocation list in it (PEM)"));
    }
    Ok(found)
}

fn since_1970() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl TlsError {
    fn new(file: &Path, what: impl Display) -> Self {
        Self { file: file.to_owned(), what: what.to_string() }
    }
}

/// The bytes of a file, which may be a key.
fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    secrets::read(file, FILE_BYTES_MAX).map_err(|error| TlsError::new(file, error))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(file)?).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err(TlsError::new(file, "there is no certificate in it (PEM)"))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(TlsError::new(file, pem_error(&error))),
    }
}

/// What is wrong with PEM, without the text that is wrong: it may be a key's.
fn pem_error(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a PEM section has no end".into(),
        pem::Error::IllegalSectionStart { .. } => "a PEM section begins in a wrong way".into(),
        pem::Error::Base64Decode(_) => "a PEM section is not base64".into(),
        pem::Error::NoItemsFound => "there is nothing in it that is looked for (PEM)".into(),
        pem::Error::Io(error) => error.to_string(),
        _ => "it is not PEM".into(),
    }
}
