//! Tokens of every algorithm, and everything that a token must not get away with. The keys are made
//! when the tests run; the tokens are signed by `jsonwebtoken`.

use std::sync::LazyLock;

use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::Jwk;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const NOW_S: u64 = 1_800_000_000;
const SECRET: &[u8] = b"a secret for tests, of 34 bytes...";

/// Who signs, and what a server knows of it.
struct Signer {
    algorithms: &'static [Algorithm],
    key: EncodingKey,
    pem: Option<String>,
    jwk: Value,
}

impl Signer {
    fn new(
        algorithms: &'static [Algorithm],
        generated: &'static rcgen::SignatureAlgorithm,
    ) -> Self {
        let pair = rcgen::KeyPair::generate_for(generated).unwrap();
        let der = pair.serialize_der();
        let key = match algorithms[0] {
            // What PKCS#8 wraps, for a key of 2048 bits.
            Algorithm::RS256 => EncodingKey::from_rsa_der(&der[26..]),
            Algorithm::EdDSA => EncodingKey::from_ed_der(&der),
            _ => EncodingKey::from_ec_der(&der),
        };
        let mut jwk = match algorithms[0] {
            Algorithm::EdDSA => {
                let x = URL_SAFE_NO_PAD.encode(pair.public_key_raw());
                json!({"kty": "OKP", "crv": "Ed25519", "x": x})
            }
            algorithm => {
                serde_json::to_value(Jwk::from_encoding_key(&key, algorithm).unwrap()).unwrap()
            }
        };
        jwk.as_object_mut().unwrap().remove("alg");
        Self { algorithms, key, pem: Some(pair.public_key_pem()), jwk }
    }

    fn keys(&self) -> Keys {
        match &self.pem {
            Some(pem) => Keys::from_pem(pem).unwrap(),
            None => Keys::from_secret(SECRET).unwrap(),
        }
    }

    /// A token whose header says `alg`; signed with that, or else with what the key can do.
    fn token(&self, alg: Algorithm, claims: &Value) -> String {
        self.sign(&json!({"alg": alg, "typ": "JWT"}).to_string(), &claims.to_string(), alg)
    }

    fn sign(&self, header: &str, claims: &str, alg: Algorithm) -> String {
        let message = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        let alg = if self.algorithms.contains(&alg) { alg } else { self.algorithms[0] };
        let signature = crypto::sign(message.as_bytes(), &self.key, alg).unwrap();
        format!("{message}.{signature}")
    }
}

const HS: &[Algorithm] = &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// A secret, RSA, P-256, P-384, Ed25519.
static SIGNERS: LazyLock<[Signer; 5]> = LazyLock::new(|| {
    [
        Signer {
            algorithms: HS,
            key: EncodingKey::from_secret(SECRET),
            pem: None,
            jwk: json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET)}),
        },
        Signer::new(RSA, &rcgen::PKCS_RSA_SHA256),
        Signer::new(&[Algorithm::ES256], &rcgen::PKCS_ECDSA_P256_SHA256),
        Signer::new(&[Algorithm::ES384], &rcgen::PKCS_ECDSA_P384_SHA384),
        Signer::new(&[Algorithm::EdDSA], &rcgen::PKCS_ED25519),
    ]
});

fn every_algorithm() -> impl Iterator<Item = Algorithm> {
    SIGNERS.iter().flat_map(|signer| signer.algorithms).copied()
}

fn user(name: &str) -> Token {
    Token { user: Some(name.into()), ..Token::default() }
}

fn check(token: &str, keys: &Keys) -> Result<Token, JwtError> {
    verify(token, keys, &Rules::default(), NOW_S)
}

/// The claims `claims`, signed with the secret.
fn with_claims(claims: &str, rules: &Rules) -> Result<Token, JwtError> {
    let token = SIGNERS[0].sign(r#"{"alg":"HS256"}"#, claims, Algorithm::HS256);
    verify(&token, &SIGNERS[0].keys(), rules, NOW_S)
}

#[test]
fn each_algorithm_is_for_keys_of_its_kind() {
    let claims = json!({"sub": "ann"});
    for (k, owner) in SIGNERS.iter().enumerate() {
        let jwks = json!({"keys": [owner.jwk]}).to_string();
        for keys in [owner.keys(), Keys::from_jwks(&jwks).unwrap()] {
            for (s, signer) in SIGNERS.iter().enumerate() {
                for alg in every_algorithm() {
                    let wanted = match (owner.algorithms.contains(&alg), k == s) {
                        (true, true) => Ok(user("ann")),
                        (true, false) => Err(JwtError::Signature),
                        (false, _) => Err(JwtError::NoKey),
                    };
                    let found = check(&signer.token(alg, &claims), &keys);
                    assert_eq!(found, wanted, "key {k} signer {s} {alg:?}");
                }
            }
        }
    }
}

#[test]
fn the_librarys_own_tokens() {
    let header = jsonwebtoken::Header::new(Algorithm::ES256);
    let claims = json!({"sub": "ann", "exp": NOW_S + 5, "iat": "whenever"});
    let token = jsonwebtoken::encode(&header, &claims, &SIGNERS[2].key).unwrap();
    let wanted = Token { expires_s: Some(NOW_S + 5), ..user("ann") };
    assert_eq!(check(&token, &SIGNERS[2].keys()), Ok(wanted));
}

#[test]
fn a_public_key_is_no_secret() {
    let claims = r#"{"sub":"ann"}"#;
    for owner in &SIGNERS[1..] {
        let pem = owner.pem.as_ref().unwrap();
        assert!(matches!(Keys::from_secret(pem.as_bytes()), Err(KeyError::Secret(_))));
        for secret in [pem.as_bytes(), pem.trim_end().as_bytes()] {
            let key = EncodingKey::from_secret(secret);
            let forger = Signer { algorithms: HS, key, pem: None, jwk: Value::Null };
            for alg in HS {
                let token = forger.token(*alg, &serde_json::from_str(claims).unwrap());
                assert_eq!(check(&token, &owner.keys()), Err(JwtError::NoKey));
            }
        }
    }
}

#[test]
fn headers() {
    use JwtError::*;
    let keys = SIGNERS[0].keys();
    for (header, wanted) in [
        (r#"{"alg":"HS256"}"#, Ok(())),
        (r#" {"kid":"x","alg":"HS256","typ":7,"jku":"https://a/","x":[null]} "#, Ok(())),
        (r#"{"alg":"none"}"#, Err(NotSigned)),
        (r#"{"alg":"None"}"#, Err(UnknownAlgorithm)),
        (r#"{"alg":"nOnE"}"#, Err(UnknownAlgorithm)),
        (r#"{"alg":""}"#, Err(UnknownAlgorithm)),
        (r#"{"alg":"hs256"}"#, Err(UnknownAlgorithm)),
        (r#"{"alg":"HS257"}"#, Err(UnknownAlgorithm)),
        (r#"{"alg":"ES512"}"#, Err(UnknownAlgorithm)),
        (r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, Err(Critical)),
        (r#"{"alg":"HS256","crit":[]}"#, Err(Critical)),
        (r#"{"alg":"HS256","crit":null}"#, Err(Critical)),
        (r#"{"alg":"HS256","crit":false}"#, Err(Critical)),
        (r#"{"alg":"RS256"}"#, Err(NoKey)),
        (r#"{"alg":null}"#, Err(Json("header"))),
        (r#"{"alg":["HS256"]}"#, Err(Json("header"))),
        (r#"{"alg":256}"#, Err(Json("header"))),
        (r#"{"alg":"HS256","kid":null}"#, Err(Json("header"))),
        (r#"{"alg":"HS256","kid":1}"#, Err(Json("header"))),
        (r#"{"alg":"none","alg":"HS256"}"#, Err(Json("header"))),
        (r#"{"alg":"HS256","alg":"HS256"}"#, Err(Json("header"))),
        (r#"{"Alg":"HS256"}"#, Err(Json("header"))),
        (r#"{"alg":"HS256"}{}"#, Err(Json("header"))),
        (r#"["HS256"]"#, Err(Json("header"))),
        (r#""HS256""#, Err(Json("header"))),
        ("{}", Err(Json("header"))),
        ("null", Err(Json("header"))),
        ("", Err(Json("header"))),
    ] {
        let token = SIGNERS[0].sign(header, r#"{"sub":"ann"}"#, Algorithm::HS256);
        assert_eq!(check(&token, &keys).map(|_| ()), wanted, "{header}");
    }
    // What is not signed at all.
    let [none, claims] =
        [r#"{"alg":"none"}"#, r#"{"sub":"ann"}"#].map(|p| URL_SAFE_NO_PAD.encode(p));
    assert_eq!(check(&format!("{none}.{claims}."), &keys), Err(NotSigned));
    let token = SIGNERS[0].token(Algorithm::HS256, &json!({"sub": "ann"}));
    let unsigned = &token[..=token.rfind('.').unwrap()];
    assert_eq!(check(unsigned, &keys), Err(Signature));
}

#[test]
fn shapes() {
    use JwtError::*;
    let keys = SIGNERS[0].keys();
    let token = SIGNERS[0].token(Algorithm::HS256, &json!({"sub": "ann"}));
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    for (token, wanted) in [
        (String::new(), Parts),
        (".".into(), Parts),
        ("..".into(), Json("header")),
        (header.into(), Parts),
        (format!("{header}.{claims}"), Parts),
        (format!("{header}.{claims}.{signature}."), Parts),
        (format!("{header}.{claims}.{claims}.{signature}"), Parts),
        (format!("{header}==.{claims}.{signature}"), Json("header")),
        (format!(" {header}.{claims}.{signature}"), Json("header")),
        (format!("{header}.{claims}.{signature}="), Signature),
        (format!("{header}.{claims}.{signature}\n"), Signature),
        (format!("{header}.{claims}.{}", &signature[..20]), Signature),
        (format!("{header}.{claims}=.{signature}"), Signature),
        (format!("{header}.é.{signature}"), Signature),
        ("x".repeat(TOKEN_BYTES_MAX + 1), TooLong),
        (".".repeat(TOKEN_BYTES_MAX), Parts),
    ] {
        assert_eq!(check(&token, &keys), Err(wanted), "{token}");
    }
    let (deep, many) = ("[".repeat(5000), "]".repeat(5000));
    let deep = with_claims(&format!(r#"{{"x":{deep}{many}}}"#), &Rules::default());
    assert_eq!(deep, Err(Json("claims")));
    let long = "x".repeat(TOKEN_BYTES_MAX);
    assert_eq!(with_claims(&format!(r#"{{"sub":"{long}"}}"#), &Rules::default()), Err(TooLong));
}

#[test]
fn claims_that_are_taken() {
    let names = |names: &[&str]| names.iter().map(|&name| name.into()).collect::<Vec<Box<str>>>();
    for (claims, wanted) in [
        ("{}", Token::default()),
        (r#"{"sub":"ann","unknown":[1,{"a":null}]}"#, user("ann")),
        (r#"{"sub":"d'Angélo \u0026 ä"}"#, user("d'Angélo & ä")),
        (r#"{"client_id":"c1"}"#, Token { client_id: Some("c1".into()), ..Token::default() }),
        (r#"{"roles":[]}"#, Token::default()),
        (
            r#"{"roles":["a","b c"]}"#,
            Token { roles: vec!["a".into(), "b c".into()], ..Token::default() },
        ),
        (r#"{"acl":{}}"#, Token { grants: Some(Grants::default()), ..Token::default() }),
        (
            r#"{"acl":{"publish":["a/%c","b"],"subscribe":["c/%u/#","$SYS/+"]}}"#,
            Token {
                grants: Some(Grants {
                    publish: names(&["a/%c", "b"]),
                    subscribe: names(&["c/%u/#", "$SYS/+"]),
                }),
                ..Token::default()
            },
        ),
    ] {
        assert_eq!(with_claims(claims, &Rules::default()), Ok(wanted), "{claims}");
    }
    let rules = Rules { user_claim: "email".into(), ..Rules::default() };
    assert_eq!(with_claims(r#"{"sub":7,"email":"a@b"}"#, &rules), Ok(user("a@b")));
    assert_eq!(with_claims(r#"{"sub":"ann"}"#, &rules), Ok(Token::default()));
    assert!(with_claims(r#"{"sub":"ann","email":""}"#, &rules).is_err());
}

#[test]
fn claims_that_are_refused() {
    for (claims, claim) in [
        (r#"{"sub":""}"#, "sub"),
        (r#"{"sub":null}"#, "sub"),
        (r#"{"sub":1}"#, "sub"),
        (r#"{"sub":["ann"]}"#, "sub"),
        (r#"{"sub":"a\u0000"}"#, "sub"),
        (r#"{"sub":"a\nb"}"#, "sub"),
        (r#"{"sub":"a\u007f"}"#, "sub"),
        (r#"{"sub":"a\u0085"}"#, "sub"),
        (r#"{"client_id":""}"#, "client_id"),
        (r#"{"client_id":7}"#, "client_id"),
        (r#"{"client_id":"\u0001"}"#, "client_id"),
        (r#"{"roles":"admin"}"#, "roles"),
        (r#"{"roles":null}"#, "roles"),
        (r#"{"roles":{"admin":true}}"#, "roles"),
        (r#"{"roles":["a",1]}"#, "roles"),
        (r#"{"roles":[""]}"#, "roles"),
        (r#"{"roles":["a\t"]}"#, "roles"),
        (r#"{"acl":null}"#, "acl"),
        (r##"{"acl":["#"]}"##, "acl"),
        (r##"{"acl":[["#"],["#"]]}"##, "acl"),
        (r##"{"acl":"#"}"##, "acl"),
        (r##"{"acl":{"publish":"#"}}"##, "acl"),
        (r#"{"acl":{"publish":null}}"#, "acl"),
        (r#"{"acl":{"publish":[1]}}"#, "acl"),
        (r#"{"acl":{"subscribe":[null]}}"#, "acl"),
        (r##"{"acl":{"publish":["#"],"deny":["a"]}}"##, "acl"),
        (r#"{"acl":{"publish":[""]}}"#, "acl"),
        (r#"{"acl":{"publish":["a#"]}}"#, "acl"),
        (r##"{"acl":{"subscribe":["#/a"]}}"##, "acl"),
        (r#"{"acl":{"subscribe":["a\u0000"]}}"#, "acl"),
        (r#"{"iss":1}"#, "iss"),
        (r#"{"aud":1}"#, "aud"),
        (r#"{"aud":[1]}"#, "aud"),
        (r#"{"aud":null}"#, "aud"),
        (r#"{"exp":"1900000000"}"#, "exp"),
        (r#"{"exp":null}"#, "exp"),
        (r#"{"exp":[1900000000]}"#, "exp"),
        (r#"{"nbf":"0"}"#, "nbf"),
        (r#"{"nbf":true}"#, "nbf"),
    ] {
        match with_claims(claims, &Rules::default()) {
            Err(JwtError::Claim { claim: named, .. }) if named == claim => {}
            other => panic!("{claims}: {other:?}"),
        }
    }
    for claims in
        ["", "null", "[]", "7", r#"{"sub":"a"} x"#, r#"{"sub":"a","sub":"b"}"#, "{\"a\":1e999}"]
    {
        assert_eq!(
            with_claims(claims, &Rules::default()),
            Err(JwtError::Json("claims")),
            "{claims}"
        );
    }
}

#[test]
fn times() {
    use JwtError::{Endless, Expired, NotYet};
    let rules = |leeway_s, require_exp| Rules { leeway_s, require_exp, ..Rules::default() };
    let n = NOW_S;
    for (claims, leeway_s, wanted) in [
        ("{}".to_owned(), 0, Ok(None)),
        (format!(r#"{{"exp":{}}}"#, n + 1), 0, Ok(Some(n + 1))),
        (format!(r#"{{"exp":{n}}}"#), 0, Err(Expired)),
        (format!(r#"{{"exp":{}}}"#, n - 1), 0, Err(Expired)),
        (format!(r#"{{"exp":{}}}"#, n - 9), 10, Ok(Some(n + 1))),
        (format!(r#"{{"exp":{}}}"#, n - 10), 10, Err(Expired)),
        (format!(r#"{{"exp":{}.9}}"#, n + 1), 0, Ok(Some(n + 1))),
        (format!(r#"{{"exp":{n}.9}}"#), 0, Err(Expired)),
        (r#"{"exp":0}"#.into(), 0, Err(Expired)),
        (r#"{"exp":-1}"#.into(), 0, Err(Expired)),
        (r#"{"exp":-1e300}"#.into(), 10, Err(Expired)),
        (r#"{"exp":1e300}"#.into(), 10, Ok(Some(u64::MAX))),
        (r#"{"exp":18446744073709551615}"#.into(), 10, Ok(Some(u64::MAX))),
        (format!(r#"{{"nbf":{n}}}"#), 0, Ok(None)),
        (format!(r#"{{"nbf":{}}}"#, n + 1), 0, Err(NotYet)),
        (format!(r#"{{"nbf":{n}.1}}"#), 0, Err(NotYet)),
        (format!(r#"{{"nbf":{}}}"#, n + 10), 10, Ok(None)),
        (format!(r#"{{"nbf":{}}}"#, n + 11), 10, Err(NotYet)),
        (r#"{"nbf":-5}"#.into(), 10, Ok(None)),
        (r#"{"nbf":1e300}"#.into(), 10, Err(NotYet)),
        (format!(r#"{{"iat":{}}}"#, n + 1000), 0, Ok(None)),
    ] {
        let found = with_claims(&claims, &rules(leeway_s, false)).map(|token| token.expires_s);
        assert_eq!(found, wanted, "{claims}");
        let endless =
            if wanted == Ok(None) || wanted == Err(NotYet) { Err(Endless) } else { wanted };
        let found = with_claims(&claims, &rules(leeway_s, true)).map(|token| token.expires_s);
        assert_eq!(found, endless, "{claims}");
    }
}

#[test]
fn issuers_and_audiences() {
    use JwtError::{Audience, Issuer};
    let us = Rules { issuer: Some("i".into()), audience: Some("us".into()), ..Rules::default() };
    let anybody = Rules::default();
    for (rules, claims, wanted) in [
        (&us, r#"{"iss":"i","aud":"us"}"#, Ok(())),
        (&us, r#"{"iss":"i","aud":["them","us"]}"#, Ok(())),
        (&us, r#"{"iss":"i","aud":[]}"#, Err(Audience)),
        (&us, r#"{"iss":"i","aud":"them"}"#, Err(Audience)),
        (&us, r#"{"iss":"i","aud":"us "}"#, Err(Audience)),
        (&us, r#"{"iss":"i","aud":["them"]}"#, Err(Audience)),
        (&us, r#"{"iss":"i"}"#, Err(Audience)),
        (&us, r#"{"aud":"us"}"#, Err(Issuer)),
        (&us, r#"{"iss":"I","aud":"us"}"#, Err(Issuer)),
        (&us, r#"{"iss":"","aud":"us"}"#, Err(Issuer)),
        (&anybody, r#"{"iss":"i","aud":"them"}"#, Ok(())),
    ] {
        assert_eq!(with_claims(claims, rules).map(|_| ()), wanted, "{claims}");
    }
}

/// `jwk` with other members.
fn with(jwk: &Value, members: Value) -> Value {
    let mut jwk = jwk.clone();
    let Value::Object(members) = members else { panic!() };
    jwk.as_object_mut().unwrap().extend(members);
    jwk
}

#[test]
fn kid_picks_a_key() {
    let [hs, rsa, p256, ..] = &*SIGNERS;
    let other = Signer::new(&[Algorithm::ES256], &rcgen::PKCS_ECDSA_P256_SHA256);
    let jwks = json!({"keys": [
        with(&p256.jwk, json!({"kid": "a", "use": "sig", "alg": "ES256"})),
        with(&other.jwk, json!({"kid": "b", "key_ops": ["verify"], "x5c": ["AA"]})),
        with(&rsa.jwk, json!({"alg": "PS256"})),
        with(&hs.jwk, json!({"kid": "h", "alg": "HS384", "key_ops": ["sign", "verify"]})),
        with(&hs.jwk, json!({"kid": "e", "use": "enc"})),
        with(&hs.jwk, json!({"kid": "w", "key_ops": ["wrapKey"]})),
        with(&rsa.jwk, json!({"kid": "o", "alg": "RSA-OAEP"})),
        {"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        {"kty": "something new"},
    ]});
    let keys = Keys::from_jwks(&jwks.to_string()).unwrap();
    assert_eq!(format!("{keys:?}"), "[P256, P256, Rsa, Secret]");
    use JwtError::*;
    for (signer, alg, kid, wanted) in [
        (p256, "ES256", Some("a"), Ok(())),
        (&other, "ES256", Some("b"), Ok(())),
        (&other, "ES256", Some("a"), Err(Signature)),
        (p256, "ES256", Some("b"), Err(Signature)),
        (p256, "ES256", Some("c"), Err(NoKey)),
        (p256, "ES256", Some(""), Err(NoKey)),
        (p256, "ES256", None, Err(ManyKeys)),
        (rsa, "PS256", None, Ok(())),
        (rsa, "RS256", None, Err(NoKey)),
        (rsa, "PS256", Some("x"), Err(NoKey)),
        (rsa, "PS256", Some("a"), Err(NoKey)),
        (hs, "HS384", Some("h"), Ok(())),
        (hs, "HS384", None, Ok(())),
        (hs, "HS256", Some("h"), Err(NoKey)),
        (hs, "HS384", Some("e"), Err(NoKey)),
        (hs, "HS384", Some("w"), Err(NoKey)),
        (rsa, "PS256", Some("o"), Err(NoKey)),
    ] {
        let header = match kid {
            Some(kid) => json!({"alg": alg, "kid": kid}),
            None => json!({"alg": alg}),
        };
        let token = signer.sign(&header.to_string(), "{}", alg.parse().unwrap());
        assert_eq!(check(&token, &keys).map(|_| ()), wanted, "{header}");
    }
    // A file's key has no name, and is meant by any.
    let keys = p256.keys().and(rsa.keys());
    for (signer, header) in [(p256, r#"{"alg":"ES256","kid":"x"}"#), (rsa, r#"{"alg":"RS512"}"#)] {
        let alg = if signer.algorithms == RSA { Algorithm::RS512 } else { Algorithm::ES256 };
        assert!(check(&signer.sign(header, "{}", alg), &keys).is_ok());
    }
    let keys = keys.and(other.keys());
    assert_eq!(check(&p256.token(Algorithm::ES256, &json!({})), &keys), Err(ManyKeys));
}

#[test]
fn key_sets_that_are_refused() {
    let [hs, rsa, p256, _, ed] = &*SIGNERS;
    let small = "AQAB".repeat(42); // 1008 bits
    for (jwk, why) in [
        (with(&p256.jwk, json!({"d": "AA"})), "private"),
        (with(&rsa.jwk, json!({"d": null})), "private"),
        (with(&ed.jwk, json!({"d": "AA"})), "private"),
        (with(&p256.jwk, json!({"alg": "RS256"})), "alg"),
        (with(&p256.jwk, json!({"alg": "ES384"})), "alg"),
        (with(&rsa.jwk, json!({"alg": "HS256"})), "alg"),
        (with(&p256.jwk, json!({"crv": "P-384"})), "point"),
        (with(&p256.jwk, json!({"y": p256.jwk["x"]})), "point"),
        (with(&p256.jwk, json!({"x": "AA"})), "point"),
        (with(&p256.jwk, json!({"x": "A"})), "Base64url"),
        (with(&p256.jwk, json!({"x": "+/=="})), "Base64url"),
        (with(&p256.jwk, json!({"y": null})), "missing"),
        (with(&rsa.jwk, json!({"n": small})), "2048"),
        (with(&rsa.jwk, json!({"n": ""})), "2048"),
        (with(&rsa.jwk, json!({"e": ""})), "exponent"),
        (with(&rsa.jwk, json!({"e": "AQ"})), "exponent"),
        (with(&rsa.jwk, json!({"e": "Ag"})), "exponent"),
        (with(&ed.jwk, json!({"x": "AAAA"})), "Ed25519"),
        (with(&hs.jwk, json!({"k": "c2VjcmV0"})), "32 bytes"),
        (json!({"kty": "oct"}), "missing"),
    ] {
        let text = json!({"keys": [with(&hs.jwk, json!({})), jwk]}).to_string();
        let error = Keys::from_jwks(&text).unwrap_err();
        assert!(matches!(error, KeyError::Key { number: 2, .. }), "{text}: {error}");
        assert!(error.to_string().contains(why), "{text}: {error}");
    }
    for (text, wanted) in [
        ("", KeyError::Json { line: 1 }),
        ("{\"keys\":\n[", KeyError::Json { line: 2 }),
        ("{}", KeyError::Json { line: 1 }),
        (r#"{"keys":{}}"#, KeyError::Json { line: 1 }),
        (r#"{"keys":[{}]}"#, KeyError::Json { line: 1 }),
        (r#"{"keys":[{"kty":"oct","k":"a","k":"b"}]}"#, KeyError::Json { line: 1 }),
        (r#"{"keys":[{"kty":"oct","k":7}]}"#, KeyError::Json { line: 1 }),
        (r#"{"keys":[]}"#, KeyError::NoKey),
        (r#"{"keys":[{"kty":"EC"}]}"#, KeyError::NoKey),
    ] {
        assert_eq!(Keys::from_jwks(text).unwrap_err(), wanted, "{text}");
    }
}

#[test]
fn pem_files_and_secrets_that_are_refused() {
    let pem = |label: &str, der: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    };
    let [_, rsa, p256, ..] = &*SIGNERS;
    let both = format!("{}{}", rsa.pem.as_ref().unwrap(), p256.pem.as_ref().unwrap());
    let pair = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&pair).unwrap().pem();
    let mut cut = p256.pem.clone().unwrap();
    cut.truncate(90);
    for (text, why) in [
        (String::new(), "no public key"),
        ("hello".into(), "no public key"),
        (certificate, "no public key"),
        (pair.serialize_pem(), "private"),
        (format!("{}{}", pair.public_key_pem(), pair.serialize_pem()), "private"),
        (pem("RSA PRIVATE KEY", b"x"), "private"),
        (pem("EC PRIVATE KEY", b"x"), "private"),
        (both, "more than one"),
        (cut, "not a PEM file"),
        ("-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----".into(), "not a PEM file"),
        (pem("PUBLIC KEY", b""), "DER"),
        (pem("PUBLIC KEY", &[0x30, 0x80, 0, 0]), "DER"),
        // X25519
        (
            pem(
                "PUBLIC KEY",
                &[&[0x30, 42, 0x30, 5, 6, 3, 0x2B, 0x65, 0x6E, 3, 33][..], &[0; 33]].concat(),
            ),
            "neither",
        ),
        // Ed25519 with a byte less
        (
            pem(
                "PUBLIC KEY",
                &[&[0x30, 41, 0x30, 5, 6, 3, 0x2B, 0x65, 0x70, 3, 32][..], &[0; 32]].concat(),
            ),
            "Ed25519",
        ),
    ] {
        let error = Keys::from_pem(&text).unwrap_err();
        assert!(error.to_string().contains(why), "{text}: {error}");
    }
    assert!(Keys::from_pem(&format!("a comment\n{}", p256.pem.as_ref().unwrap())).is_ok());

    let token = SIGNERS[0].token(Algorithm::HS256, &json!({"sub": "ann"}));
    for (end, good) in [("", true), ("\n", true), ("\r\n", true), ("\n\n", false), (" ", false)] {
        let keys = Keys::from_secret(&[SECRET, end.as_bytes()].concat()).unwrap();
        assert_eq!(check(&token, &keys).is_ok(), good, "{end:?}");
    }
    for short in [b"".as_slice(), b"\n", &[b'x'; 31], b"0123456789012345678901234567890\n"] {
        assert!(matches!(Keys::from_secret(short), Err(KeyError::Secret(_))));
    }
    assert!(Keys::from_secret(&[0xFF; 32]).is_ok());
}

#[test]
fn a_flipped_bit_is_refused() {
    for signer in &*SIGNERS {
        let (keys, alg) = (signer.keys(), signer.algorithms[0]);
        let token = signer.token(alg, &json!({"sub": "ann", "exp": NOW_S + 1}));
        assert!(check(&token, &keys).is_ok());
        let mut texts = 0;
        for bit in 0..token.len() * 8 {
            let mut bytes = token.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // What is not UTF-8 never gets here.
            let Ok(flipped) = String::from_utf8(bytes) else { continue };
            texts += 1;
            assert!(check(&flipped, &keys).is_err(), "{alg:?}: bit {bit}");
        }
        assert_eq!(texts, token.len() * 7);
    }
}

#[test]
fn nothing_secret_is_shown() {
    let keys = SIGNERS[0].keys().and(SIGNERS[2].keys());
    assert_eq!(format!("{keys:?}"), "[Secret, P256]");
    let secret = "hunter2hunter2";
    let claims = json!({"sub": format!("{secret}\n"), "roles": secret});
    let token = SIGNERS[0].token(Algorithm::HS256, &claims);
    let error = check(&token, &keys).unwrap_err();
    assert!(!format!("{error} {error:?}").contains(secret));
    let text = json!({"keys": [{"kty": "oct", "k": secret, "kid": [secret]}]}).to_string();
    let error = Keys::from_jwks(&text).unwrap_err();
    assert!(!format!("{error} {error:?}").contains(secret));
}

proptest! {
    #[test]
    fn text_is_no_token(text in "[ -~]{0,80}|[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){2}") {
        for signer in &*SIGNERS {
            prop_assert!(check(&text, &signer.keys()).is_err());
        }
    }
}
