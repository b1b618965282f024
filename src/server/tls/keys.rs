//! The certificates that a listener shows: its own, and others for other names (SNI).
//!
//! Invariant: a certificate and its key are one pair, checked when they are read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::{TlsError, certificates, pem_error, read, since_1970};
use crate::config::Listener;

/// Chains and keys by name.
#[derive(Debug)]
pub(super) struct Keys {
    own: Arc<CertifiedKey>,
    /// in lower case
    by_name: BTreeMap<String, Arc<CertifiedKey>>,
}

impl Keys {
    pub(super) fn read(listener: &Listener, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let (certificate, key) = listener.tls().unwrap_or((Path::new(""), Path::new("")));
        let own = pair(listener, certificate, key, provider)?;
        let mut by_name = BTreeMap::new();
        for sni in &listener.sni {
            let keys = pair(listener, &sni.certificate_file, &sni.key_file, provider)?;
            by_name.insert(sni.host.to_ascii_lowercase(), keys);
        }
        Ok(Self { own, by_name })
    }

    /// The one for `host`, else the listener's own.
    fn of(&self, host: Option<&str>) -> &Arc<CertifiedKey> {
        let Some(host) = host.filter(|_| !self.by_name.is_empty()) else { return &self.own };
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.by_name.get(&host).unwrap_or(&self.own)
    }
}

impl ResolvesServerCert for Keys {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.of(hello.server_name())))
    }
}

fn pair(
    listener: &Listener,
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = certificates(certificate)?;
    if let Some(first) = chain.first()
        && let Ok(own) = Certificate::from_der(first)
        && own.tbs_certificate.validity.not_after.to_unix_duration() < since_1970()
    {
        let (file, listener) = (certificate.display(), listener.address.as_str());
        tracing::warn!(%file, listener, "the listener's certificate has expired");
    }
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::new(
            key,
            "there is no private key in it (PEM: PKCS#8, PKCS#1 or SEC1; not encrypted)",
        ),
        error => TlsError::new(key, pem_error(&error)),
    })?;
    let found = CertifiedKey::from_der(chain, private, provider);
    found.map(Arc::new).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            let file = certificate.display();
            TlsError::new(key, format_args!("it is not the key of the certificate in {file}"))
        }
        rustls::Error::InvalidCertificate(error) => {
            TlsError::new(certificate, rustls::Error::InvalidCertificate(error))
        }
        error => TlsError::new(key, error),
    })
}
