//! Certificates, keys and revocation lists for one test.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SanType, SerialNumber, date_time_ymd,
};

use crate::support::broker::Scratch;

/// Who signs.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub(crate) struct Pair {
    pub(crate) certificate: rcgen::Certificate,
    pub(crate) key: KeyPair,
    serial: u8,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn der(&self) -> rustls::pki_types::CertificateDer<'static> {
        self.0.der().clone()
    }

    /// For a server of this name.
    pub(crate) fn server(&self, name: &str) -> Pair {
        self.server_with(name, KeyPair::generate().unwrap())
    }

    pub(crate) fn server_with(&self, name: &str, key: KeyPair) -> Pair {
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth, name, 1, key)
    }

    pub(crate) fn client(&self, name: &str, serial: u8) -> Pair {
        let (params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth, name, serial, key)
    }

    pub(crate) fn expired_client(&self, name: &str) -> Pair {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        let key = KeyPair::generate().unwrap();
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth, name, 99, key)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
        name: &str,
        serial: u8,
        key: KeyPair,
    ) -> Pair {
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        params.serial_number = Some(SerialNumber::from_slice(&[serial]));
        params.subject_alt_names.push(SanType::DnsName("alt.example".try_into().unwrap()));
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pair { certificate, key, serial }
    }

    /// A list that revokes `pairs`; `until` is the year in which the next one is due.
    pub(crate) fn revoke(&self, pairs: &[&Pair], until: i32) -> String {
        let revoked = pairs.iter().map(|pair| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[pair.serial]),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

/// A directory with the files of one test.
pub(crate) struct Files(Scratch);

impl Files {
    pub(crate) fn new() -> Self {
        Self(Scratch::new())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Writes `name.pem` and `name.key`; returns the lines of a listener that shows them.
    pub(crate) fn pair(&self, name: &str, pair: &Pair) -> String {
        let certificate = self.write(&format!("{name}.pem"), &pair.certificate.pem());
        let key = self.write(&format!("{name}.key"), &pair.key.serialize_pem());
        format!("certificate_file = \"{certificate}\"\nkey_file = \"{key}\"\n")
    }
}
