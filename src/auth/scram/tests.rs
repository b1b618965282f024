//! The server's side of SCRAM against the RFC's vector, against a client, and against what no
//! client should send.

use super::*;

const PASSWORD: &[u8] = b"pencil";
const SALT: &[u8] = b"0123456789abcdef";
const DECOY_KEY: [u8; 32] = [7; 32];
const NONCE: [u8; 18] = [9; 18];

fn verifier() -> Verifier {
    derive(PASSWORD, SALT, ITERATIONS_MIN)
}

/// A client's last message, as an honest client with `password` makes it.
fn answer(first: &str, challenge: &[u8], password: &[u8]) -> Vec<u8> {
    let challenge = std::str::from_utf8(challenge).unwrap();
    let mut parts = challenge.split(',');
    let nonce = parts.next().unwrap().strip_prefix("r=").unwrap();
    let salt = STANDARD.decode(parts.next().unwrap().strip_prefix("s=").unwrap()).unwrap();
    let iterations: u32 = parts.next().unwrap().strip_prefix("i=").unwrap().parse().unwrap();
    assert_eq!(parts.next(), None);
    let bare = first.match_indices(',').nth(1).unwrap().0 + 1;
    let without_proof = format!("c={},r={nonce}", STANDARD.encode(&first[..bare]));
    prove(&without_proof, &first[bare..], challenge, password, &salt, iterations)
}

fn prove(
    without_proof: &str,
    bare: &str,
    challenge: &str,
    password: &[u8],
    salt: &[u8],
    iterations: u32,
) -> Vec<u8> {
    let mut salted = Key::default();
    let rounds = NonZeroU32::new(iterations).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password, &mut salted);
    let client_key = hmac_of(&salted, b"Client Key");
    let signed = format!("{bare},{challenge},{without_proof}");
    let signature = hmac_of(&sha256(&*client_key), signed.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(*signature).map(|(key, s)| key ^ s).collect();
    format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes()
}

#[test]
fn the_vector_of_rfc_7677() {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let verifier = derive(PASSWORD, &salt, 4096);
    let first = begin(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
    assert_eq!(first.user, "user");
    let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let (challenge, waits) = first.challenge_with(Some(&verifier), nonce, &DECOY_KEY);
    let wanted = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                  s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    assert_eq!(challenge, wanted.as_bytes());
    let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let (proof, user) = waits.finish(last.as_bytes()).unwrap();
    assert_eq!(proof, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    assert_eq!(user, "user");
}

#[test]
fn an_honest_client_comes_in() {
    let verifier = verifier();
    for (first, user) in [
        ("n,,n=user,r=abc", "user"),
        ("y,,n=user,r=abc", "user"),
        ("n,a=user,n=user,r=abc", "user"),
        ("n,,n=a=2Cb=3Dc,r=abc", "a,b=c"),
        ("n,a=a=2Cb=3Dc,n=a=2Cb=3Dc,r=abc", "a,b=c"),
        ("n,,n=é=3D2C,r=!~\"+-/", "é=2C"),
        ("n,,n=user,r=abc,x=1,y==,q=u v", "user"),
    ] {
        let read = begin(first.as_bytes()).unwrap();
        assert_eq!(read.user, user, "{first}");
        let (challenge, waits) = read.challenge(Some(&verifier), &NONCE, &DECOY_KEY);
        let (proof, who) = waits.finish(&answer(first, &challenge, PASSWORD)).unwrap();
        assert_eq!(who, user);
        assert!(proof.starts_with(b"v="));
        // the password is another, or the user is nobody
        for (password, verifier) in [(b"pencil ".as_slice(), Some(&verifier)), (PASSWORD, None)] {
            let read = begin(first.as_bytes()).unwrap();
            let (challenge, waits) = read.challenge(verifier, &NONCE, &DECOY_KEY);
            let refused = waits.finish(&answer(first, &challenge, password));
            assert_eq!(refused, Err(ScramError::Proof), "{first}");
        }
    }
}

#[test]
fn bad_first_messages() {
    use ScramError::*;
    let malformed = Malformed("");
    let long_nonce = format!("n,,n=user,r={}", "x".repeat(CLIENT_NONCE_BYTES_MAX + 1));
    let long = format!("n,,n={},r=abc", "x".repeat(MESSAGE_BYTES_MAX));
    for (first, why) in [
        ("", malformed),
        ("n", malformed),
        ("n,", malformed),
        ("n,,", malformed),
        ("n,,n=user", malformed),
        ("n,n=user,r=abc", malformed),
        ("n=user,r=abc", malformed),
        ("N,,n=user,r=abc", malformed),
        (" n,,n=user,r=abc", malformed),
        ("x,,n=user,r=abc", malformed),
        ("p=tls-unique,,n=user,r=abc", ChannelBinding),
        ("p=tls-exporter,a=user,n=user,r=abc", ChannelBinding),
        ("p,,n=user,r=abc", malformed),
        ("n,a=admin,n=user,r=abc", OtherIdentity),
        ("n,a=,n=user,r=abc", malformed),
        ("n,user,n=user,r=abc", malformed),
        ("n,a=us=er,n=user,r=abc", malformed),
        ("n,,m=x,n=user,r=abc", MandatoryExtension),
        ("n,,n=user,r=abc,m=x", MandatoryExtension),
        ("n,,n=user,r=abc,x=1,m=", MandatoryExtension),
        ("n,,N=user,r=abc", malformed),
        ("n,,r=abc,n=user", malformed),
        ("n,,n=user,x=1,r=abc", malformed),
        ("n,,n=,r=abc", malformed),
        ("n,,n=us=er,r=abc", malformed),
        ("n,,n=user=,r=abc", malformed),
        ("n,,n=user=2c,r=abc", malformed),
        ("n,,n=user=3d,r=abc", malformed),
        ("n,,n=us\0er,r=abc", malformed),
        ("n,,n=us\ner,r=abc", malformed),
        ("n,,n=us\u{85}er,r=abc", malformed),
        ("n,,n=user,r=", malformed),
        ("n,,n=user,r=a b", malformed),
        ("n,,n=user,r=a\u{7f}", malformed),
        ("n,,n=user,r=é", malformed),
        ("n,,n=user,r=abc,", malformed),
        ("n,,n=user,r=abc,x", malformed),
        ("n,,n=user,r=abc,x=", malformed),
        ("n,,n=user,r=abc,1=x", malformed),
        ("n,,n=user,r=abc,r=def", malformed),
        ("n,,n=user,r=abc,n=admin", malformed),
        (&long_nonce, malformed),
        (&long, TooLong),
    ] {
        match (begin(first.as_bytes()), why) {
            (Err(Malformed(_)), Malformed(_)) => {}
            (Err(error), why) if error == why => {}
            (other, _) => panic!("{first:?}: {other:?}"),
        }
    }
    assert!(matches!(begin(b"n,,n=\xff,r=abc"), Err(Malformed(_))));
}

#[test]
fn bad_last_messages() {
    use ScramError::*;
    let (verifier, first) = (verifier(), "n,,n=user,r=abc");
    let malformed = Malformed("");
    // Each is proven with the right password, unless it says otherwise: only what is said is wrong.
    let whole = format!("abc{}", STANDARD.encode(NONCE));
    for (without_proof, why) in [
        (format!("c=biws,r={whole}"), None),
        (format!("c=biws,r={whole},x=1"), None),
        (format!("c=biws,r={whole},x=é,Y==,="), Some(malformed)),
        (format!("c=biws,r={whole},m=1"), Some(MandatoryExtension)),
        (format!("c=biws,r={whole},p=AAAA"), Some(malformed)),
        (format!("c=biws,r={whole},r={whole}"), Some(malformed)),
        (format!("c=eSws,r={whole}"), Some(OtherBinding)),
        (format!("c=,r={whole}"), Some(OtherBinding)),
        (format!("c=biw,r={whole}"), Some(malformed)),
        (format!("c=bi ws,r={whole}"), Some(malformed)),
        (format!("r={whole},c=biws"), Some(malformed)),
        (format!("r={whole}"), Some(malformed)),
        ("c=biws".into(), Some(malformed)),
        ("c=biws,r=".into(), Some(malformed)),
        ("c=biws,r=a b".into(), Some(malformed)),
        ("c=biws,r=abc".into(), Some(OtherNonce)),
        (format!("c=biws,r={whole}x"), Some(OtherNonce)),
        (format!("c=biws,r={}", &whole[..whole.len() - 1]), Some(OtherNonce)),
        (format!("c=biws,r=Abc{}", STANDARD.encode(NONCE)), Some(OtherNonce)),
        (format!("c=biws,r=abc{}", STANDARD.encode([8; 18])), Some(OtherNonce)),
    ] {
        let read = begin(first.as_bytes()).unwrap();
        let (challenge, waits) = read.challenge(Some(&verifier), &NONCE, &DECOY_KEY);
        let challenge = String::from_utf8(challenge).unwrap();
        let bare = &first[3..];
        let last = prove(&without_proof, bare, &challenge, PASSWORD, SALT, ITERATIONS_MIN);
        match (waits.finish(&last), why) {
            (Ok(_), None) | (Err(Malformed(_)), Some(Malformed(_))) => {}
            (Err(error), Some(why)) if error == why => {}
            (other, _) => panic!("{without_proof}: {other:?}"),
        }
    }
    let zeros = STANDARD.encode([0; 32]);
    for (last, why) in [
        (String::new(), malformed),
        (format!("c=biws,r={whole}"), malformed),
        (format!("c=biws,r={whole},p="), malformed),
        (format!("c=biws,r={whole},p=AAAA"), malformed),
        (format!("c=biws,r={whole},p={}", &zeros[..43]), malformed),
        (format!("c=biws,r={whole},p={zeros},x=1"), malformed),
        (format!("c=biws,r={whole},p={zeros}"), Proof),
        (format!("c=biws,r={whole},x={},p={zeros}", "x".repeat(MESSAGE_BYTES_MAX)), TooLong),
    ] {
        let read = begin(first.as_bytes()).unwrap();
        let (_, waits) = read.challenge(Some(&verifier), &NONCE, &DECOY_KEY);
        match (waits.finish(last.as_bytes()), why) {
            (Err(Malformed(_)), Malformed(_)) => {}
            (Err(error), why) if error == why => {}
            (other, _) => panic!("{last}: {other:?}"),
        }
    }
}

#[test]
fn an_answer_is_good_for_one_challenge() {
    let (verifier, first) = (verifier(), "n,,n=user,r=abc");
    let begin = || begin(first.as_bytes()).unwrap();
    let (challenge, waits) = begin().challenge(Some(&verifier), &NONCE, &DECOY_KEY);
    let last = answer(first, &challenge, PASSWORD);
    assert!(waits.finish(&last).is_ok());
    let (_, waits) = begin().challenge(Some(&verifier), &[10; 18], &DECOY_KEY);
    assert_eq!(waits.finish(&last), Err(ScramError::OtherNonce));
    // Another user's challenge, or the same with another salt.
    let other = derive(PASSWORD, b"another salt....", ITERATIONS_MIN);
    let (_, waits) = begin().challenge(Some(&other), &NONCE, &DECOY_KEY);
    assert_eq!(waits.finish(&last), Err(ScramError::Proof));
    // A bit anywhere in it is another answer.
    for bit in 0..last.len() * 8 {
        let mut last = last.clone();
        last[bit / 8] ^= 1 << (bit % 8);
        let (_, waits) = begin().challenge(Some(&verifier), &NONCE, &DECOY_KEY);
        assert!(waits.finish(&last).is_err(), "bit {bit}");
    }
}

#[test]
fn nobody_learns_who_exists() {
    let challenge = |user: &str, decoy_key| {
        let first = begin(format!("n,,n={user},r=abc").as_bytes()).unwrap();
        String::from_utf8(first.challenge(None, &NONCE, decoy_key).0).unwrap()
    };
    let known = begin(b"n,,n=user,r=abc").unwrap();
    let verifier = derive(PASSWORD, SALT, ITERATIONS);
    let (known, _) = known.challenge(Some(&verifier), &NONCE, &DECOY_KEY);
    let nobody = challenge("nobody", &DECOY_KEY);
    assert_eq!(nobody.len(), known.len());
    assert!(nobody.ends_with(&format!(",i={ITERATIONS}")));
    // The same salt whenever one asks, another for each name and each server.
    assert_eq!(nobody, challenge("nobody", &DECOY_KEY));
    assert_ne!(nobody, challenge("nobody2", &DECOY_KEY));
    assert_ne!(nobody, challenge("nobody", &[8; 32]));
    // Who knew the decoy's password would not come in either.
    let first = begin(b"n,,n=user,r=abc").unwrap();
    let (_, mut waits) = first.challenge(None, &NONCE, &DECOY_KEY);
    waits.verifier = verifier;
    let without_proof = format!("c=biws,r={}", waits.nonce);
    let bare = "n=user,r=abc";
    let last = prove(&without_proof, bare, &waits.message, PASSWORD, SALT, ITERATIONS);
    assert_eq!(waits.finish(&last), Err(ScramError::Proof));
}

#[test]
fn verifiers_are_written_and_read() {
    let verifier = verifier();
    let text = verifier.to_string();
    assert_eq!(Verifier::parse(&text).as_ref(), Some(&verifier));
    assert_eq!(Verifier::parse(&text).unwrap().to_string(), text);
    assert!(verifier.verifies(PASSWORD));
    for wrong in [b"".as_slice(), b"Pencil", b"pencil\0", b"pencil\n"] {
        assert!(!verifier.verifies(wrong));
    }
    let debug = format!("{verifier:?}");
    assert_eq!(debug, "Verifier { iterations: 4096, .. }");
    let parts: Vec<_> = text.split(['$', ':']).collect();
    let [method, iterations, salt, stored, server] = parts[..] else { panic!("{text}") };
    let wrong_server = STANDARD.encode([1; 32]);
    let long_salt = STANDARD.encode([1; SALT_BYTES_MAX + 1]);
    // Both keys are looked at.
    let other = format!("{method}${iterations}:{salt}${stored}:{wrong_server}");
    assert!(!Verifier::parse(&other).unwrap().verifies(PASSWORD));
    for bad in [
        String::new(),
        "SCRAM-SHA-256".into(),
        format!("SCRAM-SHA-1${iterations}:{salt}${stored}:{server}"),
        format!("scram-sha-256${iterations}:{salt}${stored}:{server}"),
        format!("{method}$4095:{salt}${stored}:{server}"),
        format!("{method}$2000001:{salt}${stored}:{server}"),
        format!("{method}$04096:{salt}${stored}:{server}"),
        format!("{method}$+4096:{salt}${stored}:{server}"),
        format!("{method}$:{salt}${stored}:{server}"),
        format!("{method}${iterations}:${stored}:{server}"),
        format!("{method}${iterations}:{long_salt}${stored}:{server}"),
        format!("{method}${iterations}:{salt}!${stored}:{server}"),
        format!("{method}${iterations}:{salt}${stored}"),
        format!("{method}${iterations}:{salt}${}:{server}", &stored[4..]),
        format!("{method}${iterations}:{salt}${stored}:AAAA{server}"),
        format!("{text}:"),
        format!("{text} "),
        format!(" {text}"),
    ] {
        assert_eq!(Verifier::parse(&bad), None, "{bad}");
    }
}
