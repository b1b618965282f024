//! The keys that tokens are checked with: read once, and then each fits some algorithms.
//!
//! What lives here: [`Keys`], from a PEM file, a secret or a JWKS (RFC 7517). May use: libraries
//! that compute.
//!
//! Invariant: a key is used with the algorithms of its own kind and with no other: a public key is
//! never a secret, and an RSA key never an EC key.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use rustls::pki_types::pem::{PemObject, SectionKind};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use thiserror::Error;
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Decode, Reader, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoRef;
use zeroize::Zeroizing;

use super::JwtError;

/// A shorter secret is guessed from one token, without asking the server (RFC 7518, section 3.2).
pub const SECRET_BYTES_MIN: usize = 32;

/// The sizes of RSA keys, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Why there is no key in a text. Nothing of the text is in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The text is not the one public key in PEM that it should be.
    #[error("{0}")]
    Pem(&'static str),
    /// The secret is none.
    #[error("{0}")]
    Secret(&'static str),
    /// The text is not JSON, or not a JWKS.
    #[error("line {line}: not a JWKS, that is {{\"keys\": [...]}}")]
    Json {
        /// the line where that shows, from 1
        line: usize,
    },
    /// One of the keys of a JWKS is not what it says it is.
    #[error("key {number} of the JWKS: {what}")]
    Key {
        /// which, from 1
        number: usize,
        /// what is wrong with it
        what: &'static str,
    },
    /// All keys of the JWKS are for something else.
    #[error("no key of the JWKS is one for signatures: RSA, P-256, P-384, Ed25519 or oct")]
    NoKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Secret,
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Kind {
    fn fits(self, algorithm: Algorithm) -> bool {
        match self {
            Self::Secret => algorithm.family() == AlgorithmFamily::Hmac,
            Self::Rsa => algorithm.family() == AlgorithmFamily::Rsa,
            Self::P256 => algorithm == Algorithm::ES256,
            Self::P384 => algorithm == Algorithm::ES384,
            Self::Ed25519 => algorithm == Algorithm::EdDSA,
        }
    }
}

struct Key {
    kind: Kind,
    key: DecodingKey,
    /// Its name in a JWKS.
    id: Option<Box<str>>,
    /// In a JWKS a key without a name is not meant by a token with one; a file's is.
    listed: bool,
    /// The one algorithm that a JWKS says it is for.
    algorithm: Option<Algorithm>,
}

impl Key {
    fn is_meant(&self, id: Option<&str>) -> bool {
        match (id, self.id.as_deref()) {
            (None, _) => true,
            (Some(id), Some(own)) => id == own,
            (Some(_), None) => !self.listed,
        }
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        self.kind.fits(algorithm) && self.algorithm.is_none_or(|own| own == algorithm)
    }
}

/// Keys that tokens are checked with.
pub struct Keys(Vec<Key>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| key.kind)).finish()
    }
}

impl Keys {
    /// One public key in PEM (`-----BEGIN PUBLIC KEY-----`): RSA of 2048 to 8192 bits, P-256, P-384
    /// or Ed25519.
    ///
    /// # Errors
    ///
    /// Not one, a private one, or one of another kind.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let mut public = None;
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
            let (kind, der) = section.map_err(|_| KeyError::Pem("not a PEM file"))?;
            let der = Zeroizing::new(der);
            match kind {
                SectionKind::PublicKey if public.is_none() => public = Some(der),
                SectionKind::PublicKey => return Err(KeyError::Pem("more than one public key")),
                SectionKind::PrivateKey
                | SectionKind::RsaPrivateKey
                | SectionKind::EcPrivateKey => {
                    return Err(KeyError::Pem("a private key: the public one belongs here"));
                }
                _ => {}
            }
        }
        let none = KeyError::Pem("no public key in PEM (BEGIN PUBLIC KEY)");
        let (kind, key) = public_key(&public.ok_or(none)?).map_err(KeyError::Pem)?;
        Ok(Self(vec![Key { kind, key, id: None, listed: false, algorithm: None }]))
    }

    /// A secret, as it is in its file; one newline at its end is not a part of it.
    ///
    /// # Errors
    ///
    /// It is shorter than [`SECRET_BYTES_MIN`], or a PEM file: public keys are no secrets.
    pub fn from_secret(secret: &[u8]) -> Result<Self, KeyError> {
        let cut = secret.strip_suffix(b"\n").map(|s| s.strip_suffix(b"\r").unwrap_or(s));
        let secret = cut.unwrap_or(secret);
        if secret.windows(10).any(|window| window == b"-----BEGIN") {
            return Err(KeyError::Secret("a PEM file, not a secret"));
        }
        let key = secret_key(secret).map_err(KeyError::Secret)?;
        let kind = Kind::Secret;
        Ok(Self(vec![Key { kind, key, id: None, listed: false, algorithm: None }]))
    }

    /// The keys of a JWKS: `kid`, `alg`, `use` and `key_ops` are respected. Keys for something else
    /// (encryption, other curves and algorithms) are passed over.
    ///
    /// # Errors
    ///
    /// No JWKS, a key in it that is broken or private, or none that is of use.
    pub fn from_jwks(text: &str) -> Result<Self, KeyError> {
        let set: Jwks =
            serde_json::from_str(text).map_err(|error| KeyError::Json { line: error.line() })?;
        let mut keys = Vec::new();
        for (n, jwk) in set.keys.into_iter().enumerate() {
            let key = jwk.key().map_err(|what| KeyError::Key { number: n + 1, what })?;
            keys.extend(key);
        }
        if keys.is_empty() { Err(KeyError::NoKey) } else { Ok(Self(keys)) }
    }

    /// These keys and those of another file.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The one key that a token with this header means.
    pub(super) fn find(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
    ) -> Result<&DecodingKey, JwtError> {
        let mut fitting = self.0.iter().filter(|key| key.is_meant(id) && key.fits(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(&key.key),
            (None, _) => Err(JwtError::NoKey),
            (Some(_), Some(_)) => Err(JwtError::ManyKeys),
        }
    }
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

/// The members of a JWK that matter here (RFC 7517, section 4; RFC 7518, section 6; RFC 8037).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    k: Option<Zeroizing<String>>,
    /// whether there is the private part
    #[serde(default, deserialize_with = "anything")]
    d: bool,
}

fn secret<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Zeroizing<String>>, D::Error> {
    String::deserialize(value).map(|text| Some(Zeroizing::new(text)))
}

fn anything<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

impl Jwk {
    /// `None`: a good key for something else.
    fn key(self) -> Result<Option<Key>, &'static str> {
        if self.d {
            return Err("a private key: only the public part belongs here");
        }
        let verifies = |ops: &Vec<String>| ops.iter().any(|op| op == "verify");
        let algorithm = self.alg.as_deref().map(str::parse::<Algorithm>);
        if self.usage.as_ref().is_some_and(|usage| usage != "sig")
            || !self.key_ops.as_ref().is_none_or(verifies)
            || matches!(algorithm, Some(Err(_)))
        {
            return Ok(None);
        }
        let (kind, key) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("oct", _) => {
                let secret = Zeroizing::new(member(self.k.as_deref())?);
                (Kind::Secret, secret_key(&secret)?)
            }
            ("RSA", _) => rsa_key(&member(self.n.as_ref())?, &member(self.e.as_ref())?)?,
            ("EC", Some(curve @ ("P-256" | "P-384"))) => {
                let kind = if curve == "P-256" { Kind::P256 } else { Kind::P384 };
                let (x, y) = (member(self.x.as_ref())?, member(self.y.as_ref())?);
                ec_key(kind, &[&[4], x.as_slice(), &y].concat())?
            }
            ("OKP", Some("Ed25519")) => ed_key(&member(self.x.as_ref())?)?,
            _ => return Ok(None),
        };
        let algorithm = algorithm.and_then(Result::ok);
        if algorithm.is_some_and(|algorithm| !kind.fits(algorithm)) {
            return Err("its alg is not one of its kty");
        }
        let id = self.kid.map(String::into_boxed_str);
        Ok(Some(Key { kind, key, id, listed: true, algorithm }))
    }
}

fn member(text: Option<&String>) -> Result<Vec<u8>, &'static str> {
    let text = text.ok_or("a member is missing: k, n and e, x and y, or x")?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| "a member is not Base64url without padding")
}

fn public_key(der: &[u8]) -> Result<(Kind, DecodingKey), &'static str> {
    let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| "not a public key in DER")?;
    let bytes = info.subject_public_key.as_bytes().ok_or("not a public key in DER")?;
    let curve = info.algorithm.parameters_oid();
    match (info.algorithm.oid, curve) {
        (RSA, _) => {
            let (n, e) = rsa_parts(bytes).ok_or("not an RSA key in DER")?;
            rsa_key(n, e)
        }
        (EC, Ok(P256)) => ec_key(Kind::P256, bytes),
        (EC, Ok(P384)) => ec_key(Kind::P384, bytes),
        (ED, _) => ed_key(bytes),
        _ => Err("the key is neither RSA nor P-256 nor P-384 nor Ed25519"),
    }
}

/// Modulus and exponent of `RSAPublicKey` (RFC 8017, appendix A.1.1).
fn rsa_parts(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = SliceReader::new(der).ok()?;
    let parts = reader.sequence(|r| Ok((UintRef::decode(r)?, UintRef::decode(r)?))).ok()?;
    reader.finish(Some((parts.0.as_bytes(), parts.1.as_bytes()))).ok()?
}

fn rsa_key(n: &[u8], e: &[u8]) -> Result<(Kind, DecodingKey), &'static str> {
    let trimmed = |number: &'_ [u8]| number.iter().take_while(|&&byte| byte == 0).count();
    let (n, e) = (&n[trimmed(n)..], &e[trimmed(e)..]);
    let unused = n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if !RSA_BITS.contains(&(n.len() * 8 - unused)) {
        return Err("an RSA key has 2048 to 8192 bits");
    }
    if e.last().is_none_or(|last| last % 2 == 0) || e == [1] {
        return Err("an RSA key with an impossible exponent");
    }
    Ok((Kind::Rsa, DecodingKey::from_rsa_raw_components(n, e)))
}

fn ec_key(kind: Kind, point: &[u8]) -> Result<(Kind, DecodingKey), &'static str> {
    let (algorithm, len) = match kind {
        Kind::P256 => (&ECDSA_P256_SHA256_FIXED, 65),
        _ => (&ECDSA_P384_SHA384_FIXED, 97),
    };
    if point.len() != len || point[0] != 4 || ParsedPublicKey::new(algorithm, point).is_err() {
        return Err("not an uncompressed point of its curve");
    }
    Ok((kind, DecodingKey::from_ec_der(point)))
}

fn ed_key(key: &[u8]) -> Result<(Kind, DecodingKey), &'static str> {
    if key.len() != 32 || ParsedPublicKey::new(&ED25519, key).is_err() {
        return Err("not an Ed25519 key");
    }
    Ok((Kind::Ed25519, DecodingKey::from_ed_der(key)))
}

fn secret_key(secret: &[u8]) -> Result<DecodingKey, &'static str> {
    if secret.len() < SECRET_BYTES_MIN {
        return Err("a secret of less than 32 bytes is guessed from one token");
    }
    Ok(DecodingKey::from_secret(secret))
}
