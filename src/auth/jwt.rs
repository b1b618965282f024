//! JSON Web Tokens (RFC 7519, RFC 7515) that clients bring as their password.
//!
//! What lives here: [`verify`], which reads what a token says, if one of [`Keys`] signed it; the
//! keys are in `jwt/keys.rs`. May use: `topic`, and libraries that compute. The time is an
//! argument.
//!
//! Invariant: nothing that a token says is looked at before its signature is good, but the header's
//! `alg`, `kid` and `crit`; a claim that is understood and has the wrong type is an error. No error
//! repeats anything from a token.

mod keys;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, crypto};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use thiserror::Error;

pub use self::keys::{KeyError, Keys, SECRET_BYTES_MIN};

use super::Grants;
use crate::topic::TopicFilter;

/// The longest token.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// What a token has to say besides being signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `iss` must be this.
    pub issuer: Option<String>,
    /// `aud` must be this, or have it in its list. Without it `aud` says nothing.
    pub audience: Option<String>,
    /// The claim that has the user name: `sub`.
    pub user_claim: String,
    /// By how much the clocks of who signs and who checks may differ, in seconds.
    pub leeway_s: u64,
    /// A token without `exp` is refused.
    pub require_exp: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            user_claim: "sub".into(),
            leeway_s: 0,
            require_exp: false,
        }
    }
}

/// What a good token says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    /// Who the client is: not empty, without control characters. `None`: the token does not say,
    /// and lets nobody in.
    pub user: Option<Arc<str>>,
    /// The Client Identifier that the CONNECT must have.
    pub client_id: Option<String>,
    /// Roles of the ACL file.
    pub roles: Vec<Arc<str>>,
    /// What it grants instead of the ACL file, with `%c` and `%u` in it: see [`Grants::of`].
    pub grants: Option<Grants>,
    /// When it ends, the leeway included; seconds since 1970.
    pub expires_s: Option<u64>,
}

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JwtError {
    /// longer than [`TOKEN_BYTES_MAX`]
    #[error("the token is longer than 16384 bytes")]
    TooLong,
    /// not `header.claims.signature`
    #[error("not a token: it has not three parts")]
    Parts,
    /// This part is not Base64url, not JSON, or not an object with every name once; or the header
    /// lacks `alg`, or has no strings there.
    #[error("the token's {0} is not the JSON object in Base64url that it should be")]
    Json(&'static str),
    /// `alg` is `none`.
    #[error("the token is not signed (alg: none)")]
    NotSigned,
    /// `alg` is something else that is not supported.
    #[error("the token's algorithm is not supported")]
    UnknownAlgorithm,
    /// There is `crit`.
    #[error("the token's header demands an extension (crit) that does not exist here")]
    Critical,
    /// No key has this `kid` and is one for this `alg`.
    #[error("no key fits the token's key id and algorithm")]
    NoKey,
    /// Several keys could be meant.
    #[error("more than one key fits the token: its header has no kid")]
    ManyKeys,
    /// Somebody else signed it, or it was changed.
    #[error("the token's signature is wrong")]
    Signature,
    /// after `exp`
    #[error("the token has expired")]
    Expired,
    /// before `nbf`
    #[error("the token is not valid yet")]
    NotYet,
    /// no `exp`, which [`Rules::require_exp`] demands
    #[error("the token has no end (exp)")]
    Endless,
    /// another `iss`
    #[error("the token is from another issuer")]
    Issuer,
    /// another `aud`
    #[error("the token is for another audience")]
    Audience,
    /// A claim has the wrong type or a value that is not possible.
    #[error("the token's claim {claim} is not {wanted}")]
    Claim {
        /// its name
        claim: String,
        /// what it should be
        wanted: &'static str,
    },
}

/// Checks `token` and reads it. `now_s` is the time in seconds since 1970.
///
/// # Errors
///
/// It is none, not signed by the key of `keys` that it means, not valid now, not as `rules` want
/// it, or a claim in it is not what it should be.
pub fn verify(token: &str, keys: &Keys, rules: &Rules, now_s: u64) -> Result<Token, JwtError> {
    let claims = signed_claims(token, keys)?;
    let expires_s = claims.expires(rules, now_s)?;
    claims.is_meant(rules)?;
    Ok(Token {
        user: claims.name(&rules.user_claim)?.map(Arc::from),
        client_id: claims.name("client_id")?.map(str::to_owned),
        roles: claims.roles()?,
        grants: claims.grants()?,
        expires_s,
    })
}

/// What somebody signed, if one of `keys` is theirs.
fn signed_claims(token: &str, keys: &Keys) -> Result<Claims, JwtError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(JwtError::TooLong);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(JwtError::Parts)?;
    let (header, claims) = message.split_once('.').ok_or(JwtError::Parts)?;
    if claims.contains('.') {
        return Err(JwtError::Parts);
    }
    let header = Claims::read(header, "header")?;
    let in_header = |name| header.text(name).map_err(|_| JwtError::Json("header"));
    let algorithm = match in_header("alg")? {
        None => return Err(JwtError::Json("header")),
        Some("none") => return Err(JwtError::NotSigned),
        Some(name) => Algorithm::from_str(name).map_err(|_| JwtError::UnknownAlgorithm)?,
    };
    if header.0.contains_key("crit") {
        return Err(JwtError::Critical);
    }
    let key = keys.find(algorithm, in_header("kid")?)?;
    match crypto::verify(signature, message.as_bytes(), key, algorithm) {
        Ok(true) => Claims::read(claims, "claims"),
        Ok(false) | Err(_) => Err(JwtError::Signature),
    }
}

/// An object with every name once (RFC 7519, section 4).
struct Claims(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_map(ClaimsVisitor)
    }
}

struct ClaimsVisitor;

impl<'de> Visitor<'de> for ClaimsVisitor {
    type Value = Claims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
        let mut claims = BTreeMap::new();
        while let Some((name, value)) = map.next_entry()? {
            if claims.insert(name, value).is_some() {
                return Err(A::Error::custom("a name that is there twice"));
            }
        }
        Ok(Claims(claims))
    }
}

/// The `acl` claim. What is not known could take something away: it is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acl {
    #[serde(default)]
    publish: Vec<Box<str>>,
    #[serde(default)]
    subscribe: Vec<Box<str>>,
}

impl Claims {
    fn read(part: &str, which: &'static str) -> Result<Self, JwtError> {
        let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::Json(which))?;
        serde_json::from_slice(&json).map_err(|_| JwtError::Json(which))
    }

    /// Checks `exp` and `nbf`; the end, if there is one.
    fn expires(&self, rules: &Rules, now_s: u64) -> Result<Option<u64>, JwtError> {
        let end = self.time("exp", f64::floor)?.map(|exp| exp.saturating_add(rules.leeway_s));
        if end.is_none() && rules.require_exp {
            return Err(JwtError::Endless);
        }
        if end.is_some_and(|end| now_s >= end) {
            return Err(JwtError::Expired);
        }
        let start = self.time("nbf", f64::ceil)?.map(|nbf| nbf.saturating_sub(rules.leeway_s));
        if start.is_some_and(|start| now_s < start) {
            return Err(JwtError::NotYet);
        }
        Ok(end)
    }

    /// Checks `iss` and `aud`.
    fn is_meant(&self, rules: &Rules) -> Result<(), JwtError> {
        let issuer = self.text("iss")?;
        if rules.issuer.as_deref().is_some_and(|wanted| issuer != Some(wanted)) {
            return Err(JwtError::Issuer);
        }
        let audience = match self.0.get("aud") {
            None => Vec::new(),
            Some(Value::String(audience)) => vec![audience.as_str()],
            Some(_) => self.texts("aud", "a string or a list of strings")?,
        };
        if rules.audience.as_deref().is_some_and(|wanted| !audience.contains(&wanted)) {
            return Err(JwtError::Audience);
        }
        Ok(())
    }

    fn roles(&self) -> Result<Vec<Arc<str>>, JwtError> {
        let roles = self.texts("roles", "a list of strings")?;
        if !roles.iter().all(|role| is_name(role)) {
            return Err(wrong("roles", "a list of names without control characters"));
        }
        Ok(roles.into_iter().map(Arc::from).collect())
    }

    fn grants(&self) -> Result<Option<Grants>, JwtError> {
        let Some(acl) = self.0.get("acl") else { return Ok(None) };
        let wanted = "an object with the lists publish and subscribe, and nothing else";
        let acl = if acl.is_object() { Acl::deserialize(acl).ok() } else { None };
        let Acl { publish, subscribe } = acl.ok_or_else(|| wrong("acl", wanted))?;
        if publish.iter().chain(&subscribe).any(|filter| TopicFilter::new(filter).is_err()) {
            return Err(wrong("acl", "made of Topic Filters"));
        }
        Ok(Some(Grants { publish, subscribe }))
    }

    /// A time in seconds since 1970, which may have a fraction, and may be before that.
    fn time(&self, claim: &str, whole: fn(f64) -> f64) -> Result<Option<u64>, JwtError> {
        let Some(value) = self.0.get(claim) else { return Ok(None) };
        // A number that is too great or below 0 becomes the nearest that there is.
        let seconds = value.as_u64().or_else(|| value.as_f64().map(|time| whole(time) as u64));
        seconds.map(Some).ok_or_else(|| wrong(claim, "a number of seconds"))
    }

    fn name(&self, claim: &str) -> Result<Option<&str>, JwtError> {
        let name = self.text(claim)?;
        if name.is_some_and(|name| !is_name(name)) {
            return Err(wrong(claim, "a name without control characters"));
        }
        Ok(name)
    }

    fn text(&self, claim: &str) -> Result<Option<&str>, JwtError> {
        let Some(value) = self.0.get(claim) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| wrong(claim, "a string"))
    }

    fn texts(&self, claim: &str, wanted: &'static str) -> Result<Vec<&str>, JwtError> {
        let Some(value) = self.0.get(claim) else { return Ok(Vec::new()) };
        let list = value.as_array().ok_or_else(|| wrong(claim, wanted))?;
        let texts = list.iter().map(Value::as_str).collect::<Option<_>>();
        texts.ok_or_else(|| wrong(claim, wanted))
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

fn wrong(claim: &str, wanted: &'static str) -> JwtError {
    JwtError::Claim { claim: claim.to_owned(), wanted }
}

#[cfg(test)]
mod tests;
