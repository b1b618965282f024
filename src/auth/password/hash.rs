//! Password hashes: mosquitto's two, argon2id and SCRAM verifiers; read, verified, made.
//!
//! May use libraries that compute. Invariants: to verify a hash costs no more than the [`Costs`]
//! that it was read within; what was computed is compared in constant time and zeroed, as is the
//! memory that argon2 computes in; `Debug` and errors show nothing of a hash but its kind.

use std::fmt;
use std::num::NonZeroU32;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::{constant_time, digest, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use zeroize::Zeroizing;

use crate::auth::scram;

/// KiB that an argon2id hash may want: 256 MiB.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 256 << 10;
/// KiB that an argon2id hash may want to fill, all passes together: 1 GiB, a second or two.
pub const ARGON2_FILLED_KIB_MAX: u32 = 1 << 20;
/// Lanes that an argon2id hash may have. They are computed one behind the other.
pub const ARGON2_LANES_MAX: u32 = 64;
/// Iterations of a PBKDF2 hash or a SCRAM verifier: about a second.
pub const PBKDF2_ITERATIONS_MAX: u32 = 1_000_000;

/// What [`new_hash`] asks for: 19 MiB, two passes, one lane.
const OWN: Argon2Cost = Argon2Cost { memory_kib: 19 << 10, passes: 2, lanes: 1 };
const OWN_HASH_BYTES: usize = 32;

const SALT_BYTES_MIN: usize = 8;
const SALT_BYTES_MAX: usize = 64;
/// A shorter one would fit too many passwords.
const HASH_BYTES_MIN: usize = 16;
const HASH_BYTES_MAX: usize = 64;
const SHA512_BYTES: usize = 64;

const SALT: &str = "its salt is not 8 to 64 bytes in base64";
const SCRAM: &str =
    "it is not iterations, 4096 and more, \":\", salt, \"$\", StoredKey, \":\", ServerKey";
const SCRAM_PREFIX: &str = "SCRAM-SHA-256$";

/// What one hash may cost; one that asks for more is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// memory of an argon2id hash, in KiB
    pub argon2_memory_kib_max: u32,
    /// that times its passes
    pub argon2_filled_kib_max: u32,
    /// lanes of an argon2id hash
    pub argon2_lanes_max: u32,
    /// iterations of a PBKDF2 hash or a SCRAM verifier
    pub pbkdf2_iterations_max: u32,
}

impl Costs {
    /// What a broker takes.
    pub const MAX: Self = Self {
        argon2_memory_kib_max: ARGON2_MEMORY_KIB_MAX,
        argon2_filled_kib_max: ARGON2_FILLED_KIB_MAX,
        argon2_lanes_max: ARGON2_LANES_MAX,
        pbkdf2_iterations_max: PBKDF2_ITERATIONS_MAX,
    };
}

/// Why a text is no hash that is taken. Says nothing of its content but what it would cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// It begins as none does that is known.
    #[error(
        "no hash that is known ($6$, $7$, $argon2id$, SCRAM-SHA-256$); passwords in plain text are \
         not taken"
    )]
    Unknown,
    /// It begins well.
    #[error("the {kind} hash is broken: {what}")]
    Broken {
        /// which kind
        kind: &'static str,
        /// what is wrong with it
        what: &'static str,
    },
    /// It would cost more than [`Costs`] allow.
    #[error("the hash would cost too much: {what} {asked}, where {max} is the most")]
    TooCostly {
        /// what of
        what: &'static str,
        /// how much it asks for
        asked: u64,
        /// how much it may
        max: u32,
    },
}

/// The hash of one password.
pub enum Hash {
    /// `$6$salt$hash`
    Sha512(Sha512),
    /// `$7$iterations$salt$hash`
    Pbkdf2(Pbkdf2),
    /// `$argon2id$v=19$m=KiB,t=passes,p=lanes$salt$hash`
    Argon2id(Argon2id),
    /// `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`
    Scram(scram::Verifier),
}

/// SHA-512 of password and salt, as mosquitto had it before 2.0.
pub struct Sha512 {
    salt: Box<[u8]>,
    hash: Box<[u8]>,
}

/// PBKDF2 with HMAC-SHA-512, as mosquitto 2.0 has it.
pub struct Pbkdf2 {
    iterations: NonZeroU32,
    salt: Box<[u8]>,
    hash: Box<[u8]>,
}

/// argon2id, as [`new_hash`] and mosquitto 2.1 write it.
pub struct Argon2id {
    cost: Argon2Cost,
    salt: Box<[u8]>,
    hash: Box<[u8]>,
}

#[derive(Clone, Copy)]
struct Argon2Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Argon2Cost {
    /// False if argon2 does not take such arguments.
    fn hash(self, password: &[u8], salt: &[u8], out: &mut [u8]) -> bool {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(out.len()));
        let Ok(params) = params else { return false };
        // It is made of the password, and the library would leave its own as it is. A box, for a
        // vector zeroes all of its room a second time, byte by byte.
        let memory = vec![Block::new(); params.block_count()].into_boxed_slice();
        let mut memory = Zeroizing::new(memory);
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_into_with_memory(password, salt, out, &mut **memory).is_ok()
    }

    fn memory_bytes(self) -> usize {
        (self.memory_kib as usize).saturating_mul(1024)
    }
}

impl Hash {
    /// Reads a hash as it stands in a password file behind the user name.
    ///
    /// # Errors
    /// See [`HashError`].
    pub fn parse(text: &str, costs: &Costs) -> Result<Self, HashError> {
        // The salt's and the keys' alphabet have no `:`; SCRAM's own has two.
        if let Some(rest) = text.strip_prefix(SCRAM_PREFIX) {
            return parse_scram(text, rest, costs);
        }
        let mut fields = text.split('$');
        match (fields.next(), fields.next()) {
            (Some(""), Some("6")) => parse_sha512(fields),
            (Some(""), Some("7")) => parse_pbkdf2(fields, costs),
            (Some(""), Some("argon2id")) => parse_argon2id(fields, costs),
            _ => Err(HashError::Unknown),
        }
    }

    /// Whether this is the hash of `password`. Blocks for as long as the hash costs; also the
    /// empty password is one.
    pub fn verify(&self, password: &[u8]) -> bool {
        match self {
            Self::Sha512(it) => {
                let mut context = digest::Context::new(&digest::SHA512);
                context.update(password);
                context.update(&it.salt);
                is_equal(context.finish().as_ref(), &it.hash)
            }
            Self::Pbkdf2(it) => {
                let sha512 = pbkdf2::PBKDF2_HMAC_SHA512;
                // HMAC does not see zeros at the end, and to mosquitto they are the end.
                pbkdf2::verify(sha512, it.iterations, &it.salt, password, &it.hash).is_ok()
                    & !password.contains(&0)
            }
            Self::Argon2id(it) => {
                let mut computed = Zeroizing::new([0; HASH_BYTES_MAX]);
                let Some(computed) = computed.get_mut(..it.hash.len()) else { return false };
                it.cost.hash(password, &it.salt, computed) && is_equal(computed, &it.hash)
            }
            Self::Scram(verifier) => verifier.verifies(password),
        }
    }

    /// How much memory [`Self::verify`] takes for itself, in bytes; 0 if next to nothing.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::Argon2id(it) => it.cost.memory_bytes(),
            Self::Sha512(_) | Self::Pbkdf2(_) | Self::Scram(_) => 0,
        }
    }

    /// What SCRAM needs, if this is a line of that kind.
    pub fn scram(&self) -> Option<&scram::Verifier> {
        match self {
            Self::Scram(verifier) => Some(verifier),
            _ => None,
        }
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha512(_) => "Sha512(..)",
            Self::Pbkdf2(_) => "Pbkdf2(..)",
            Self::Argon2id(_) => "Argon2id(..)",
            Self::Scram(_) => "Scram(..)",
        })
    }
}

/// Costs what a hash of [`new_hash`] costs to verify, and is always false: for users that are not
/// there, so that time does not tell. It takes [`NOBODY_MEMORY_BYTES`].
pub fn verify_nobody(password: &[u8]) -> bool {
    let mut computed = Zeroizing::new([0; OWN_HASH_BYTES]);
    let made = OWN.hash(password, &[0; 16], &mut *computed);
    // Nobody looks at it; it is to be computed all the same.
    std::hint::black_box((made, &computed));
    false
}

/// What [`verify_nobody`] takes for itself, in bytes.
pub const NOBODY_MEMORY_BYTES: usize = (OWN.memory_kib as usize) << 10;

/// A new argon2id hash, in the form that [`Hash::parse`] reads. The salt is to be random. (No
/// password fits what comes out for one of 4 GiB and more, which argon2 does not take.)
pub fn new_hash(password: &[u8], salt: &[u8; 16]) -> String {
    let mut hash = [0; OWN_HASH_BYTES];
    if !OWN.hash(password, salt, &mut hash) {
        hash = [0; OWN_HASH_BYTES];
    }
    let Argon2Cost { memory_kib, passes, lanes } = OWN;
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}")
}

/// A new SCRAM verifier, in the form that [`Hash::parse`] reads. The salt is to be random.
pub fn new_scram(password: &[u8], salt: &[u8; 16]) -> String {
    scram::derive(password, salt, scram::ITERATIONS).to_string()
}

fn is_equal(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

type Fields<'a> = std::str::Split<'a, char>;

fn parse_sha512(mut fields: Fields<'_>) -> Result<Hash, HashError> {
    let broken = |what| HashError::Broken { kind: "$6$", what };
    let salt =
        bytes(&STANDARD, fields.next(), SALT_BYTES_MIN, SALT_BYTES_MAX).ok_or(broken(SALT))?;
    let hash = bytes(&STANDARD, fields.next(), SHA512_BYTES, SHA512_BYTES)
        .ok_or(broken("its last field is not 64 bytes in base64"))?;
    end(fields, broken("it has too many fields"))?;
    Ok(Hash::Sha512(Sha512 { salt, hash }))
}

fn parse_pbkdf2(mut fields: Fields<'_>, costs: &Costs) -> Result<Hash, HashError> {
    let broken = |what| HashError::Broken { kind: "$7$", what };
    let iterations = number(fields.next()).ok_or(broken("its iterations are no number"))?;
    let iterations = limit(iterations, costs.pbkdf2_iterations_max, "iterations")?;
    let iterations = NonZeroU32::new(iterations).ok_or(broken("it has no iterations"))?;
    let salt =
        bytes(&STANDARD, fields.next(), SALT_BYTES_MIN, SALT_BYTES_MAX).ok_or(broken(SALT))?;
    let hash = bytes(&STANDARD, fields.next(), SHA512_BYTES, SHA512_BYTES)
        .ok_or(broken("its last field is not 64 bytes in base64"))?;
    end(fields, broken("it has too many fields"))?;
    Ok(Hash::Pbkdf2(Pbkdf2 { iterations, salt, hash }))
}

fn parse_argon2id(mut fields: Fields<'_>, costs: &Costs) -> Result<Hash, HashError> {
    let broken = |what| HashError::Broken { kind: "$argon2id$", what };
    if fields.next() != Some("v=19") {
        return Err(broken("its version is not 19"));
    }
    let mut given = fields.next().unwrap_or_default().split(',');
    let mut parameter = |name| {
        let field = given.next().and_then(|field| field.strip_prefix(name));
        number(field).ok_or(broken("its parameters are not m=…,t=…,p=…"))
    };
    let (memory, passes, lanes) = (parameter("m=")?, parameter("t=")?, parameter("p=")?);
    if given.next().is_some() {
        return Err(broken("it has too many parameters"));
    }
    let memory_kib = limit(memory, costs.argon2_memory_kib_max, "KiB of memory")?;
    let filled = memory.saturating_mul(passes);
    limit(filled, costs.argon2_filled_kib_max, "KiB of memory times passes")?;
    let lanes = limit(lanes, costs.argon2_lanes_max, "lanes")?;
    // No more than what is filled, which is no more than fits.
    let passes = u32::try_from(passes).map_err(|_| broken("its passes"))?;
    let salt = bytes(&STANDARD_NO_PAD, fields.next(), SALT_BYTES_MIN, SALT_BYTES_MAX)
        .ok_or(broken(SALT))?;
    let hash = bytes(&STANDARD_NO_PAD, fields.next(), HASH_BYTES_MIN, HASH_BYTES_MAX)
        .ok_or(broken("its last field is not 16 to 64 bytes in base64 without padding"))?;
    end(fields, broken("it has too many fields"))?;
    if Params::new(memory_kib, passes, lanes, Some(hash.len())).is_err() {
        return Err(broken("argon2 does not take its parameters"));
    }
    let cost = Argon2Cost { memory_kib, passes, lanes };
    Ok(Hash::Argon2id(Argon2id { cost, salt, hash }))
}

/// `rest` is what follows [`SCRAM_PREFIX`] in `text`.
fn parse_scram(text: &str, rest: &str, costs: &Costs) -> Result<Hash, HashError> {
    let broken = |what| HashError::Broken { kind: "SCRAM-SHA-256$", what };
    let iterations = number(rest.split(':').next());
    let iterations = iterations.ok_or(broken("its iterations are no number"))?;
    limit(iterations, costs.pbkdf2_iterations_max, "iterations")?;
    let verifier = scram::Verifier::parse(text);
    verifier.map(Hash::Scram).ok_or(broken(SCRAM))
}

/// A number as it is written: no sign, no zero before it.
fn number(field: Option<&str>) -> Option<u64> {
    let field = field?;
    let is_plain = field.bytes().all(|b| b.is_ascii_digit()) && !field.starts_with('0');
    if is_plain { field.parse().ok() } else { None }
}

fn limit(asked: u64, max: u32, what: &'static str) -> Result<u32, HashError> {
    match u32::try_from(asked) {
        Ok(n) if n <= max => Ok(n),
        _ => Err(HashError::TooCostly { what, asked, max }),
    }
}

fn bytes(
    alphabet: &impl base64::Engine,
    field: Option<&str>,
    min: usize,
    max: usize,
) -> Option<Box<[u8]>> {
    let bytes = alphabet.decode(field?).ok()?;
    (min..=max).contains(&bytes.len()).then(|| bytes.into_boxed_slice())
}

fn end(mut fields: Fields<'_>, error: HashError) -> Result<(), HashError> {
    if fields.next().is_none() { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By mosquitto_passwd 2.0 and by the reference implementations of argon2 and SCRAM.
    const OTHERS: &[(&str, &str)] = &[
        // mosquitto_passwd -b
        (
            "secret",
            "$7$101$elV0+d9eAtJC1A2f$gIE9JFbStPICvgsZ/qot1YuGIsIsxZ/MTvH/1OmnJIjIaQnbbhQB4HyQsw+HJf0PrPN2CvdHSlgfCqgO0/QhMQ==",
        ),
        (
            "",
            "$7$101$xM/56Mvp0JMZKNR2$zEMsQkGiw0kY9Udag8OshHR8YXOOWWlXNyade4miOGOpxkYQbLpbmpcu6RWZXgAcTosEblLOS1UxpnSsEdO8+g==",
        ),
        // mosquitto_passwd -b -H sha512
        (
            "Grünspecht 7",
            "$6$aKdaT6OSGyKAS4el$E1TXvdI8kiFWmtazb41CcefwrEgw4xjt84vfY3MofZQ3SaOWMke5mHJUpy/PMbGYVFDvb/+/mbRobYiEvfpbvg==",
        ),
        (
            "",
            "$6$vKmwNBgm58pR/9ke$vWZlDfDQP2Is3KgjyTPs0+uH9OC3bji9UAvVQ4nWZ6bxqYdxXe7oBwOl8lXdpY1776hlZUkrE6cy+I1d0xurrQ==",
        ),
        // Salts of 64 bytes and 1000 iterations, as mosquitto 2.1 has them.
        (
            "wren",
            "$7$1000$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==$7XJXvIG2ERDqcO9Wnqm0jbl6ahEb4nSTORjamXI4acbwMgQQ9FKpGqIYH9jjVhOIoYwzuMOj/rKDMuox7THPQw==",
        ),
        (
            "wren",
            "$6$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==$mxBQorFeaSwly5iCMX+HHJif59NIou+thTlPCInDY3Y+uO+MJnxb01DK/vmWtDuNMlp2JB6nCWh8nI+fbhqQDA==",
        ),
        // argon2 -id -t 1 -k 47104 -p 1 -l 64, with a salt of 64 bytes: what mosquitto 2.1 writes
        (
            "Grünspecht 7",
            "$argon2id$v=19$m=47104,t=1,p=1$YW4tb2xkLXNhbHQtb2Ytc2l4dHktZm91ci1ieXRlcy1hcy1tb3NxdWl0dG8tMi4xLWRyYXdzLWl0LWhlcmUhIQ$tZof6ruhDBt6amPWRRHmb7oQtoU79d2tzNRGUQey6vY+SuK70cusM0D6r92TA/LBVmQTtVoBhCzVkbdrYiNs0w",
        ),
        (
            "wren",
            "$argon2id$v=19$m=64,t=3,p=4$c2FsdHNhbHQ$/EOsfQbPdXN6tEaLfVNdxGCM+BemgA51ISNiitr0EFA",
        ),
        ("wren", "$argon2id$v=19$m=64,t=2,p=2$c2FsdHNhbHQ$s6BkIz8a1geEsm4wc7e7/Q"),
        // RFC 7677's example
        (
            "pencil",
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        ),
    ];

    #[test]
    fn what_others_wrote() {
        for (password, text) in OTHERS {
            let hash = Hash::parse(text, &Costs::MAX).unwrap();
            assert!(hash.verify(password.as_bytes()), "{text}");
            for wrong in [format!("{password} "), format!("{password}\0"), "Secret".into()] {
                assert!(!hash.verify(wrong.as_bytes()), "{text} {wrong:?}");
            }
            assert_eq!(hash.verify(b""), password.is_empty(), "{text}");
            assert_eq!(hash.scram().is_some(), text.starts_with("SCRAM"));
            let shown = format!("{hash:?}");
            assert!(shown.len() < 16 && shown.ends_with("(..)"), "{shown}");
        }
    }

    #[test]
    fn every_byte_counts() {
        for (password, text) in OTHERS.iter().filter(|(_, text)| !text.contains("m=47104")) {
            for at in 0..text.len() {
                for other in ["", "A", "$", "=", ":", "1", "é"] {
                    let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
                    let costs = Costs { pbkdf2_iterations_max: 20_000, ..Costs::MAX };
                    let Ok(hash) = Hash::parse(&changed, &costs) else { continue };
                    let is_same = changed == *text;
                    assert_eq!(hash.verify(password.as_bytes()), is_same, "{changed}");
                }
            }
        }
    }

    #[test]
    fn broken_ones() {
        const SALT: &str = "elV0+d9eAtJC1A2f";
        let long = STANDARD.encode([7; 64]);
        let bare = long.trim_end_matches('=');
        let key = STANDARD.encode([7; 32]);
        for (text, what) in [
            (String::new(), "no hash that is known"),
            ("secret".into(), "plain text"),
            ("$5$aaaa$bbbb".into(), "no hash that is known"),
            (format!("$argon2i$v=19$m=64,t=3,p=1$c2FsdHNhbHQ${bare}"), "no hash that is known"),
            (format!("x$6${SALT}${long}"), "no hash that is known"),
            (format!("$$6${SALT}${long}"), "no hash that is known"),
            ("$6$".into(), "the $6$ hash is broken: its salt"),
            (format!("$6$AAAA${long}"), "its salt"),
            (format!("$6${}${long}", STANDARD.encode([1; 65])), "its salt"),
            (format!("$6${SALT}"), "64 bytes"),
            (format!("$6${SALT}${bare}"), "64 bytes"),
            (format!("$6${SALT}${key}"), "64 bytes"),
            (format!("$6${SALT}${long}$"), "too many fields"),
            (format!("$7${SALT}${long}"), "iterations are no number"),
            (format!("$7$0${SALT}${long}"), "iterations"),
            (format!("$7$+1${SALT}${long}"), "iterations"),
            (format!("$7$-1${SALT}${long}"), "iterations"),
            (format!("$7$007${SALT}${long}"), "iterations"),
            (format!("$7$$${SALT}${long}"), "iterations"),
            (format!("$7$99999999999999999999${SALT}${long}"), "iterations"),
            (format!("$7$1000001${SALT}${long}"), "iterations 1000001, where 1000000 is the most"),
            (format!("$7$5000000000${SALT}${long}"), "5000000000, where"),
            (format!("$7$101${SALT}${long}$"), "too many fields"),
            (format!("$argon2id$m=64,t=3,p=1$c2FsdHNhbHQ${bare}"), "version"),
            (format!("$argon2id$v=16$m=64,t=3,p=1$c2FsdHNhbHQ${bare}"), "version"),
            (format!("$argon2id$v=19$t=3,m=64,p=1$c2FsdHNhbHQ${bare}"), "parameters"),
            (format!("$argon2id$v=19$m=64,t=3$c2FsdHNhbHQ${bare}"), "parameters"),
            (format!("$argon2id$v=19$m=64,t=3,p=1,data=a$c2FsdHNhbHQ${bare}"), "too many"),
            (format!("$argon2id$v=19$m=64,t=0,p=1$c2FsdHNhbHQ${bare}"), "parameters"),
            (format!("$argon2id$v=19$m=7,t=1,p=1$c2FsdHNhbHQ${bare}"), "does not take"),
            (format!("$argon2id$v=19$m=64,t=1,p=9$c2FsdHNhbHQ${bare}"), "does not take"),
            (format!("$argon2id$v=19$m=64,t=3,p=1$c2FsdHNhbA${bare}"), "its salt"),
            (format!("$argon2id$v=19$m=64,t=3,p=1$c2FsdHNhbHQ=${bare}"), "its salt"),
            (format!("$argon2id$v=19$m=64,t=3,p=1$c2FsdHNhbHQ${long}"), "without padding"),
            ("$argon2id$v=19$m=64,t=3,p=1$c2FsdHNhbHQ$AAAA".into(), "16 to 64 bytes"),
            (format!("$argon2id$v=19$m=64,t=3,p=1$c2FsdHNhbHQ${bare}$"), "too many fields"),
            (format!("$argon2id$v=19$m=262145,t=1,p=1$c2FsdHNhbHQ${bare}"), "KiB of memory 262145"),
            (format!("$argon2id$v=19$m=262144,t=5,p=1$c2FsdHNhbHQ${bare}"), "times passes 1310720"),
            (format!("$argon2id$v=19$m=64,t=4294967299,p=1$c2FsdHNhbHQ${bare}"), "times passes"),
            (
                format!("$argon2id$v=19$m=64,t=18446744073709551615,p=1$c2FsdHNhbHQ${bare}"),
                "times passes",
            ),
            (format!("$argon2id$v=19$m=4096,t=1,p=536870913$c2FsdHNhbHQ${bare}"), "lanes"),
            ("SCRAM-SHA-256$".into(), "iterations are no number"),
            (format!("SCRAM-SHA-256$1000001:{SALT}${key}:{key}"), "iterations 1000001"),
            (format!("SCRAM-SHA-256$4096:{SALT}${key}"), "ServerKey"),
            (format!("SCRAM-SHA-256$4096:{SALT}${key}:{key}:"), "ServerKey"),
            (format!("SCRAM-SHA-1$4096:{SALT}${key}:{key}"), "no hash that is known"),
        ] {
            let error = Hash::parse(&text, &Costs::MAX).unwrap_err().to_string();
            assert!(error.contains(what), "{text}: {error}");
            for secret in [SALT, bare, &key] {
                assert!(!error.contains(secret), "{error}");
            }
        }
    }

    #[test]
    fn the_limits_themselves_are_taken() {
        let (long, bare) = (STANDARD.encode([7; 64]), STANDARD_NO_PAD.encode([7; 64]));
        for text in [
            format!("$7${PBKDF2_ITERATIONS_MAX}$elV0+d9eAtJC1A2f${long}"),
            format!("$argon2id$v=19$m={ARGON2_MEMORY_KIB_MAX},t=4,p=1$c2FsdHNhbHQ${bare}"),
            format!("$argon2id$v=19$m=8192,t=128,p={ARGON2_LANES_MAX}$c2FsdHNhbHQ${bare}"),
        ] {
            assert!(Hash::parse(&text, &Costs::MAX).is_ok(), "{text}");
        }
    }

    #[test]
    fn new_ones() {
        let text = new_hash(b"wren", b"sixteen bytes...");
        assert!(
            text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$c2l4dGVlbiBieXRlcy4uLg$"),
            "{text}"
        );
        assert_ne!(text, new_hash(b"wren", b"sixteen others.."));
        let hash = Hash::parse(&text, &Costs::MAX).unwrap();
        assert_eq!(hash.memory_bytes(), NOBODY_MEMORY_BYTES);
        assert_eq!(NOBODY_MEMORY_BYTES, 19 << 20);
        assert!(hash.verify(b"wren") && !hash.verify(b"Wren"));
        let hash = Hash::parse(&new_scram(b"wren", b"sixteen bytes..."), &Costs::MAX).unwrap();
        assert!(hash.verify(b"wren") && !hash.verify(b"Wren") && hash.scram().is_some());
        assert!(!verify_nobody(b"wren"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn a_new_hash_fits_its_password_and_no_other(
            password: Vec<u8>,
            other: Vec<u8>,
            salt: [u8; 16],
            scram: bool,
        ) {
            let text = if scram { new_scram(&password, &salt) } else { new_hash(&password, &salt) };
            let hash = Hash::parse(&text, &Costs::MAX).unwrap();
            // SCRAM has no passwords with U+0000.
            let is_one = !(scram && password.contains(&0));
            prop_assert_eq!(hash.verify(&password), is_one);
            prop_assert_eq!(hash.verify(&other), is_one && password == other);
        }
    }
}
