//! Any text as a token, any header and claims with a good signature, and any text as keys.
//!
//! Laws: nothing panics; what the target's key did not sign is never taken, and what it did sign is
//! taken only with names, filters and an end that are good; another bit or another key, and it is
//! refused; a client's names never widen what a token grants.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use stonechat::auth::Grants;
use stonechat::auth::jwt::{Keys, Rules, Token, verify};
use stonechat::topic::TopicFilter;

use super::source::Source;

const NOW_S: u64 = 1_800_000_000;
const SECRET: &[u8] = b"the secret of this fuzz target, and of nothing else";

/// Public keys of pairs whose private keys nobody has: no token of theirs is good.
const PUBLIC: [&str; 3] = [
    "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAxB4ZqNGMduhpGlGaWT89
MefuzCI8N6p0I7MbNLjWG18HcV7Moem7rZFwS4ONCrPrPK4Vp1I0yVfGb+r3Dl/0
49525O84WRpHNZO7WKWY8lMDXRI/L3dtesR3lREh1bR2QXPiaLfZCSScQ/Jf107c
kQHQ4wKsYY14DTqm73n9svtuKhjDE/DN2NgtpR41HyN4Fe9RY4yLUg70rvUxt7dO
FO4maGtTpzLMHgFGmvf2EU3hHgStgw0pQGLn4DWbu0N+SA/T8G2hv/JzKqH8i/BO
sJmWzmTAurAtUiaYIQSgc6z2L/sdbqrH6IeNLYW6zwbjtao190H+oEuGvnrAMUBX
NwIDAQAB
-----END PUBLIC KEY-----",
    "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEy7uohOJCrl3MQHSVs5lP8oaRos6F
z/C9jmKblHq9kruri7S9zvQx7aFRNrqZUxgyv6qEWM58Ybzb2BgJmMUxig==
-----END PUBLIC KEY-----",
    "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA6fC5G0K19iM8sgYD402unydkqm1Y1P7DBFtK7W1tJ2g=
-----END PUBLIC KEY-----",
];

const HEADERS: [&str; 12] = [
    "{}",
    r#"{"alg":"HS256"}"#,
    r#"{"alg":"HS384","kid":"a"}"#,
    r#"{"alg":"HS512","typ":"JWT"}"#,
    r#"{"alg":"none"}"#,
    r#"{"alg":"RS256"}"#,
    r#"{"alg":"PS512","kid":"a"}"#,
    r#"{"alg":"ES256"}"#,
    r#"{"alg":"EdDSA"}"#,
    r#"{"alg":"HS256","crit":["exp"]}"#,
    r#"{"alg":"HS256","alg":"none"}"#,
    r#"{"alg":["HS256"]}"#,
];

const CLAIMS: [&str; 11] =
    ["sub", "exp", "nbf", "iat", "iss", "aud", "client_id", "roles", "acl", "name", ""];

const VALUES: [&str; 18] = [
    r#""ann""#,
    r#""us""#,
    "1800000001",
    "1800000000",
    "1799999999.5",
    "-1e300",
    "1e300",
    "null",
    "[]",
    r#"["a","us"]"#,
    r#"["a",1]"#,
    r##"{"publish":["a/%c/#","%u","+/b"],"subscribe":["#","$SYS/%u"]}"##,
    r#"{"publish":["a#"]}"#,
    r#"{"subscribe":["%c/+"]}"#,
    r#"{"deny":[]}"#,
    r#""""#,
    r#""\u0000""#,
    r#""\u0007\ud834\udd1e""#,
];

/// What it is about, then that.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    match source.below(3) {
        0 => any_text(rest(&mut source)),
        1 => signed(&mut source),
        _ => any_keys(rest(&mut source)),
    }
}

fn rest<'a>(source: &mut Source<'a>) -> &'a str {
    let bytes = source.take(usize::MAX);
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn secret() -> Keys {
    Keys::from_secret(SECRET).expect("a secret")
}

fn any_text(token: &str) {
    let rules = Rules::default();
    for pem in PUBLIC {
        let keys = Keys::from_pem(pem).expect("a public key");
        assert!(verify(token, &keys, &rules, NOW_S).is_err(), "nobody signed this");
    }
    if verify(token, &secret(), &rules, NOW_S).is_ok() {
        let (message, signature) = token.rsplit_once('.').expect("three parts");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("a signature");
        let is_ours = ALGORITHMS.iter().any(|&algorithm| {
            let key = hmac::Key::new(algorithm, SECRET);
            hmac::verify(&key, message.as_bytes(), &signature).is_ok()
        });
        assert!(is_ours, "this was not signed");
    }
}

const ALGORITHMS: [hmac::Algorithm; 3] = [hmac::HMAC_SHA256, hmac::HMAC_SHA384, hmac::HMAC_SHA512];

fn signed(source: &mut Source<'_>) {
    let algorithm = source.pick(&ALGORITHMS);
    let header = match source.byte() {
        n @ 0..224 => HEADERS[usize::from(n) % HEADERS.len()],
        _ => source.text(),
    };
    let rules = rules(source);
    let claims = claims(source);
    let message = [header, &claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let tag = hmac::sign(&hmac::Key::new(algorithm, SECRET), message.as_bytes());
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()));
    let Ok(read) = verify(&token, &secret(), &rules, NOW_S) else { return };
    is_good(&read, &rules);
    for pem in PUBLIC {
        let keys = Keys::from_pem(pem).expect("a public key");
        assert!(verify(&token, &keys, &rules, NOW_S).is_err(), "another's key");
    }
    let other = Keys::from_secret(&[SECRET, b"!"].concat()).expect("a secret");
    assert!(verify(&token, &other, &rules, NOW_S).is_err(), "another secret");
    let mut changed = token.into_bytes();
    let at = usize::from(source.u16()) % changed.len();
    changed[at] ^= 1 << source.below(7);
    let changed = std::str::from_utf8(&changed).expect("ASCII");
    assert!(verify(changed, &secret(), &rules, NOW_S).is_err(), "another bit");
    if let Some(grants) = read.grants {
        fill(source, &grants, read.user.as_deref());
    }
}

fn rules(source: &mut Source<'_>) -> Rules {
    let flags = source.byte();
    Rules {
        issuer: (flags & 1 == 1).then(|| "ann".into()),
        audience: (flags & 2 == 2).then(|| "us".into()),
        user_claim: if flags & 4 == 4 { "name".into() } else { "sub".into() },
        leeway_s: u64::from(flags >> 4),
        require_exp: flags & 8 == 8,
    }
}

/// An object of the usual, or anything.
fn claims(source: &mut Source<'_>) -> String {
    if source.one_in(8) {
        return source.text().to_owned();
    }
    let mut members = Vec::new();
    for _ in 0..source.below(8) {
        let (name, n) = (source.pick(&CLAIMS), source.byte());
        let value = match n {
            0..224 => VALUES[usize::from(n) % VALUES.len()],
            _ => source.text(),
        };
        members.push(format!("\"{name}\":{value}"));
    }
    format!("{{{}}}", members.join(","))
}

fn is_good(token: &Token, rules: &Rules) {
    let names = token.user.iter().chain(&token.roles).map(|name| &**name);
    for name in names.chain(token.client_id.as_deref()) {
        assert!(!name.is_empty() && !name.chars().any(char::is_control), "{name:?}");
    }
    assert!(token.expires_s.is_none_or(|end| end > NOW_S), "it has ended");
    assert!(token.expires_s.is_some() || !rules.require_exp, "it has no end");
    if let Some(grants) = &token.grants {
        for filter in grants.publish.iter().chain(&grants.subscribe) {
            assert!(TopicFilter::new(filter).is_ok(), "{filter:?}");
        }
    }
}

fn fill(source: &mut Source<'_>, grants: &Grants, user: Option<&str>) {
    let client_id = source.text();
    let wide = |filter: &str| filter.bytes().filter(|b| b"+#/".contains(b)).count();
    let widths = |list: &[Box<str>]| list.iter().map(|filter| wide(filter)).collect::<Vec<_>>();
    let filled = Grants::of(&grants.publish, &grants.subscribe, user, client_id);
    for (patterns, filters) in
        [(&grants.publish, &filled.publish), (&grants.subscribe, &filled.subscribe)]
    {
        // Some are left out; the others keep their order and their wildcards.
        let mut patterns = widths(patterns).into_iter();
        for (filter, width) in filters.iter().zip(widths(filters)) {
            assert!(TopicFilter::new(filter).is_ok(), "{filter:?}");
            assert!(patterns.any(|pattern| pattern == width), "{filter:?} is wider");
        }
    }
}

fn any_keys(text: &str) {
    let (jwks, token) = text.split_once('\n').unwrap_or((text, ""));
    for keys in [Keys::from_jwks(jwks), Keys::from_pem(text), Keys::from_secret(text.as_bytes())] {
        let Ok(keys) = keys else { continue };
        // Whoever knows a secret among them may have signed it: it is only read.
        let _ = verify(token, &keys, &Rules::default(), NOW_S);
        assert!(!format!("{keys:?}").is_empty());
    }
}

/// Seeds: each kind of input, of what `bytes` makes up.
pub fn seeds(mut bytes: impl FnMut(usize) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut seeds = vec![b"\0eyJhbGciOiJIUzI1NiJ9.e30.AAAA".to_vec(), b"\0..".to_vec()];
    for n in 0..40 {
        let mut seed = bytes(20 + 2 * n);
        seed[0] = 1;
        if n % 2 == 0 {
            // HS256, and no rules: much of it is taken
            seed[1..4].copy_from_slice(&[0, 1, 0]);
        }
        seeds.push(seed);
    }
    let [_, ec, ed] = PUBLIC;
    for text in [
        ec,
        ed,
        r#"{"keys":[{"kty":"oct","kid":"a","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}"#,
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
        r#"{"keys":[{"kty":"RSA","use":"sig","alg":"RS256","n":"AQAB","e":"AQAB"}]}"#,
        r#"{"keys":[{"kty":"EC","crv":"P-256","key_ops":["verify"],"x":"AA","y":"AA"}]}"#,
    ] {
        seeds.push([&[2], text.as_bytes()].concat());
    }
    seeds
}
