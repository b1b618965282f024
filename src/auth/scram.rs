//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side: MQTT 5.0's enhanced authentication
//! (section 4.12) with the Authentication Method `SCRAM-SHA-256`.
//!
//! What lives here: the exchange as three values, [`begin`], [`First::challenge`] and
//! [`Challenged::finish`], each of which uses up the one before; and [`Verifier`], what a server
//! keeps of a password. Nonces, salts and keys are arguments. May use: libraries that compute.
//!
//! Invariant: an exchange ends well only for who knows the password and answers this very
//! challenge; until its end it goes the same way for a user that does not exist.
//!
//! Names and passwords are taken as the bytes that they are. That is SASLprep's answer for ASCII,
//! and for every text that is already normalised (NFKC), as keyboards write it.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use zeroize::Zeroizing;

/// The Authentication Method of MQTT 5.0, and what a verifier's text begins with.
pub const METHOD: &str = "SCRAM-SHA-256";

/// The iterations of new verifiers, and of the decoys for users that do not exist. Clients pay for
/// them, small ones too.
pub const ITERATIONS: u32 = 16_384;

/// Fewer make a password that leaked too easy to guess (RFC 7677, section 4).
pub const ITERATIONS_MIN: u32 = 4096;

/// More would keep a processor busy for seconds per plain password.
pub const ITERATIONS_MAX: u32 = 2_000_000;

/// How long a new salt is, and a decoy's.
pub const SALT_BYTES: usize = 16;

/// The longest salt of a verifier that somebody else made.
pub const SALT_BYTES_MAX: usize = 64;

/// The longest message of a client.
pub const MESSAGE_BYTES_MAX: usize = 4096;

/// The longest nonce of a client.
pub const CLIENT_NONCE_BYTES_MAX: usize = 256;

/// The attributes that RFC 5802 defines: an extension has another name.
const DEFINED: &[u8] = b"anmrcsipve";

type Key = [u8; digest::SHA256_OUTPUT_LEN];

/// Why an exchange was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScramError {
    /// longer than [`MESSAGE_BYTES_MAX`]
    #[error("a SCRAM message of more than 4096 bytes")]
    TooLong,
    /// not what the grammar of RFC 5802 (section 7) says
    #[error("a malformed SCRAM message: {0}")]
    Malformed(&'static str),
    /// `p=`: the client insists on what only `SCRAM-SHA-256-PLUS` has
    #[error("the client demands channel binding, which this server does not have")]
    ChannelBinding,
    /// to act for somebody else
    #[error("the client wants to act as another user than it is")]
    OtherIdentity,
    /// `m=`
    #[error("the client demands an extension of SCRAM that does not exist here")]
    MandatoryExtension,
    /// The answer to another challenge: a replay, or somebody in between.
    #[error("the answer is not to this challenge: another nonce")]
    OtherNonce,
    /// The channel binding of the last message is not what the first one said.
    #[error("the last message contradicts the first: another channel binding")]
    OtherBinding,
    /// A wrong password, or no such user: nobody is told which.
    #[error("the proof is wrong")]
    Proof,
}

/// What a server keeps of a password: enough to check a proof, not enough to make one.
///
/// Its text (`Display`, [`Verifier::parse`]) is for password files, and as secret as they are:
/// `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, the last three in Base64.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Zeroizing<Key>,
    server_key: Zeroizing<Key>,
}

impl Verifier {
    /// Reads what `Display` writes; `None` if it is anything else, or out of bounds.
    pub fn parse(text: &str) -> Option<Self> {
        let (method, rest) = text.split_once('$')?;
        let (cost, keys) = rest.split_once('$')?;
        let (iterations, salt) = cost.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        if method != METHOD || iterations.starts_with(['+', '0']) {
            return None;
        }
        let iterations = iterations.parse().ok()?;
        let salt = STANDARD.decode(salt).ok()?;
        let in_bounds = (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations)
            && (1..=SALT_BYTES_MAX).contains(&salt.len());
        let key = |text| {
            let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
            Key::try_from(bytes.as_slice()).ok().map(Zeroizing::new)
        };
        let (stored_key, server_key) = (key(stored_key)?, key(server_key)?);
        in_bounds.then_some(Self { iterations, salt, stored_key, server_key })
    }

    /// Whether this is the verifier of `password`. It costs as many iterations as it says: not on a
    /// shard. A password with U+0000 is none: HMAC does not see it at the end, and SASLprep refuses
    /// it.
    pub fn verifies(&self, password: &[u8]) -> bool {
        let theirs = derive(password, &self.salt, self.iterations);
        let stored = verify_slices_are_equal(&*self.stored_key, &*theirs.stored_key).is_ok();
        let server = verify_slices_are_equal(&*self.server_key, &*theirs.server_key).is_ok();
        stored & server & !password.contains(&0)
    }

    /// What stands in for a user that does not exist: for one name always the same, and nobody
    /// knows a password for it.
    fn decoy(user: &str, decoy_key: &[u8; 32]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, decoy_key);
        let part = |label: &str| {
            let mut context = hmac::Context::with_key(&key);
            context.update(label.as_bytes());
            context.update(user.as_bytes());
            Zeroizing::new(bytes_of(&context.sign()))
        };
        Self {
            iterations: ITERATIONS,
            salt: part("salt:")[..SALT_BYTES].to_vec(),
            stored_key: part("stored:"),
            server_key: part("server:"),
        }
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (salt, stored) = (STANDARD.encode(&self.salt), STANDARD.encode(*self.stored_key));
        let server = STANDARD.encode(*self.server_key);
        write!(f, "{METHOD}${}:{salt}${stored}:{server}", self.iterations)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// The verifier of `password`, with a salt of [`SALT_BYTES`] and [`ITERATIONS`] where it is new.
/// It costs the iterations: not on a shard.
pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Verifier {
    let mut salted = Zeroizing::new(Key::default());
    let rounds = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password, &mut *salted);
    let client_key = hmac_of(&*salted, b"Client Key");
    Verifier {
        iterations: rounds.get(),
        salt: salt.to_vec(),
        stored_key: Zeroizing::new(sha256(&*client_key)),
        server_key: hmac_of(&*salted, b"Server Key"),
    }
}

/// A client's first message, read. `user` is who it says it is, and nothing more.
#[derive(Debug)]
pub struct First {
    /// The name, unescaped. It is not empty and has no control characters.
    pub user: String,
    /// The header of GS2, as it came: the last message repeats it.
    gs2_header: String,
    /// The rest of the message.
    bare: String,
    /// The client's half of the nonce.
    nonce: String,
}

/// Reads the message that begins an exchange, `n,,n=user,r=nonce`.
///
/// # Errors
///
/// It is longer than [`MESSAGE_BYTES_MAX`], not in the grammar of RFC 5802, or wants what this
/// server does not do: channel binding, another identity, an extension that is mandatory.
pub fn begin(client_first: &[u8]) -> Result<First, ScramError> {
    let message = text_of(client_first)?;
    let malformed = |what| ScramError::Malformed(what);
    let mut parts = message.splitn(3, ',');
    let (Some(flag), Some(identity), Some(bare)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed("the first begins with n,, or y,,"));
    };
    match flag {
        // `y`: it could bind the channel and thinks that we cannot, which is so.
        "n" | "y" => {}
        _ if flag.starts_with("p=") => return Err(ScramError::ChannelBinding),
        _ => return Err(malformed("the first begins with n,, or y,,")),
    }
    let mut attributes = bare.split(',');
    let user = attributes.next().unwrap_or_default();
    if user.starts_with("m=") {
        return Err(ScramError::MandatoryExtension);
    }
    let user = user.strip_prefix("n=").ok_or(malformed("a user name comes first"))?;
    let user = name_of(user)?;
    let nonce = attributes.next().and_then(|a| a.strip_prefix("r="));
    let nonce = nonce.ok_or(malformed("a nonce follows the user name"))?;
    if !is_nonce(nonce) || nonce.len() > CLIENT_NONCE_BYTES_MAX {
        return Err(malformed("a nonce is 1 to 256 printable characters"));
    }
    attributes.try_for_each(extension)?;
    if !identity.is_empty() {
        let other = identity.strip_prefix("a=").ok_or(malformed("an identity is a=name"))?;
        if name_of(other)? != user {
            return Err(ScramError::OtherIdentity);
        }
    }
    let gs2_header = message[..message.len() - bare.len()].to_owned();
    Ok(First { user, gs2_header, bare: bare.to_owned(), nonce: nonce.to_owned() })
}

impl First {
    /// The challenge for the client, and what waits for its answer.
    ///
    /// `verifier` is the user's; `None` if there is no such user, or none with a verifier: then the
    /// challenge has a salt that is always the same for this name and `decoy_key`, and the exchange
    /// fails at its end as it does for a wrong password. `nonce` is random, and never used twice.
    pub fn challenge(
        self,
        verifier: Option<&Verifier>,
        nonce: &[u8; 18],
        decoy_key: &[u8; 32],
    ) -> (Vec<u8>, Challenged) {
        self.challenge_with(verifier, &STANDARD.encode(nonce), decoy_key)
    }

    fn challenge_with(
        self,
        verifier: Option<&Verifier>,
        nonce: &str,
        decoy_key: &[u8; 32],
    ) -> (Vec<u8>, Challenged) {
        // Made for those that exist too: the time it takes tells nothing.
        let decoy = Verifier::decoy(&self.user, decoy_key);
        let is_known = verifier.is_some();
        let verifier = verifier.unwrap_or(&decoy).clone();
        let nonce = format!("{}{nonce}", self.nonce);
        let salt = STANDARD.encode(&verifier.salt);
        let message = format!("r={nonce},s={salt},i={}", verifier.iterations);
        (
            message.clone().into_bytes(),
            Challenged { first: self, message, nonce, verifier, is_known },
        )
    }
}

/// An exchange that waits for the client's last message.
#[derive(Debug)]
pub struct Challenged {
    first: First,
    message: String,
    nonce: String,
    verifier: Verifier,
    is_known: bool,
}

impl Challenged {
    /// Checks the client's answer, `c=…,r=…,p=…`: the message that proves to the client that this
    /// server knows its verifier, and the user.
    ///
    /// # Errors
    ///
    /// The answer is malformed, to another challenge, or not the password's.
    pub fn finish(self, client_final: &[u8]) -> Result<(Vec<u8>, String), ScramError> {
        let message = text_of(client_final)?;
        let malformed = |what| ScramError::Malformed(what);
        let without_proof = message.rfind(",p=").ok_or(malformed("the last ends with a proof"))?;
        let (without_proof, proof) = (&message[..without_proof], &message[without_proof + 3..]);
        let proof = STANDARD.decode(proof).ok().and_then(|proof| Key::try_from(proof).ok());
        let proof = proof.ok_or(malformed("a proof is 32 bytes in Base64"))?;

        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|a| a.strip_prefix("c="));
        let binding = binding.and_then(|binding| STANDARD.decode(binding).ok());
        let binding = binding.ok_or(malformed("the last begins with a channel binding"))?;
        let nonce = attributes.next().and_then(|a| a.strip_prefix("r="));
        let nonce = nonce.filter(|nonce| is_nonce(nonce));
        let nonce = nonce.ok_or(malformed("a nonce follows the channel binding"))?;
        attributes.try_for_each(extension)?;
        if binding != self.first.gs2_header.as_bytes() {
            return Err(ScramError::OtherBinding);
        }
        if nonce != self.nonce {
            return Err(ScramError::OtherNonce);
        }

        let signed = format!("{},{},{without_proof}", self.first.bare, self.message);
        let mut client_key = hmac_of(&*self.verifier.stored_key, signed.as_bytes());
        client_key.iter_mut().zip(proof).for_each(|(byte, proof)| *byte ^= proof);
        let theirs = Zeroizing::new(sha256(&*client_key));
        let fits = verify_slices_are_equal(&*theirs, &*self.verifier.stored_key).is_ok();
        let signature = hmac_of(&*self.verifier.server_key, signed.as_bytes());
        if !(fits & self.is_known) {
            return Err(ScramError::Proof);
        }
        Ok((format!("v={}", STANDARD.encode(*signature)).into_bytes(), self.first.user))
    }
}

fn text_of(message: &[u8]) -> Result<&str, ScramError> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(ScramError::TooLong);
    }
    let text = std::str::from_utf8(message).map_err(|_| ScramError::Malformed("not UTF-8"))?;
    if text.contains('\0') { Err(ScramError::Malformed("U+0000")) } else { Ok(text) }
}

/// A `saslname`: `=2C` is a comma and `=3D` an equals sign, and `=` is nothing else.
fn name_of(text: &str) -> Result<String, ScramError> {
    let mut name = String::with_capacity(text.len());
    let mut pieces = text.split('=');
    name.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (character, rest) = match (piece.strip_prefix("2C"), piece.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(ScramError::Malformed("in a name, = is =3D and a comma =2C")),
        };
        name.push(character);
        name.push_str(rest);
    }
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(ScramError::Malformed("a name is not empty and has no control characters"));
    }
    Ok(name)
}

/// `printable` of the grammar: `!` to `~` without the comma.
fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

/// What may follow the attributes that are known: it is not, and so it is passed over.
fn extension(attribute: &str) -> Result<(), ScramError> {
    match attribute.as_bytes() {
        [b'm', b'=', ..] => Err(ScramError::MandatoryExtension),
        [name, b'=', _, ..] if name.is_ascii_alphabetic() && !DEFINED.contains(name) => Ok(()),
        _ => Err(ScramError::Malformed("an attribute out of place")),
    }
}

fn hmac_of(key: &[u8], data: &[u8]) -> Zeroizing<Key> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    Zeroizing::new(bytes_of(&hmac::sign(&key, data)))
}

fn sha256(data: &[u8]) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
    key
}

fn bytes_of(tag: &hmac::Tag) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(tag.as_ref());
    key
}

#[cfg(test)]
mod tests;
