//! Any messages of a client that does not know the password, any honest exchange, and any text as a
//! verifier.
//!
//! Laws: nothing panics; without the password no exchange ever ends well, with it every one does,
//! and the server proves itself; a user that does not exist never comes in; a verifier that is read
//! is written the same.

use std::sync::OnceLock;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use stonechat::auth::scram::{ITERATIONS_MIN, Verifier, begin, derive};

use super::source::Source;

const PASSWORD: &[u8] = b"only the honest client of this target knows it";
const SALT: &[u8] = b"0123456789abcdef";
const NONCE: [u8; 18] = [9; 18];
const DECOY_KEY: [u8; 32] = [7; 32];

/// What the server keeps, and what the client makes of the password: once, for it is slow.
struct Known {
    verifier: Verifier,
    client_key: [u8; 32],
    server_key: [u8; 32],
}

fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let verifier = derive(PASSWORD, SALT, ITERATIONS_MIN);
        let mut salted = [0; 32];
        let rounds = ITERATIONS_MIN.try_into().expect("more than none");
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, SALT, PASSWORD, &mut salted);
        let client_key = hmac_of(&salted, b"Client Key");
        Known { verifier, client_key, server_key: hmac_of(&salted, b"Server Key") }
    })
}

fn hmac_of(key: &[u8], data: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
    tag.as_ref().try_into().expect("32 bytes")
}

/// What it is about, then that.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    match source.below(3) {
        0 => stranger(source.take(usize::MAX)),
        1 => honest(&mut source),
        _ => text_of_a_verifier(source.take(usize::MAX)),
    }
}

/// Two messages, a line each.
fn stranger(data: &[u8]) {
    let mut lines = data.splitn(2, |&byte| byte == b'\n');
    let (first, last) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    for verifier in [Some(&known().verifier), None] {
        let Ok(read) = begin(first) else { return };
        assert!(!read.user.is_empty() && !read.user.chars().any(char::is_control));
        let (challenge, waits) = read.challenge(verifier, &NONCE, &DECOY_KEY);
        assert!(challenge.starts_with(b"r="));
        assert!(waits.finish(last).is_err(), "somebody came in without the password");
    }
}

fn honest(source: &mut Source<'_>) {
    // Short enough for all limits together.
    let user = match source.text().chars().filter(|c| !c.is_control()).take(100).collect() {
        user if String::is_empty(&user) => "user".to_owned(),
        user => user,
    };
    let escaped = user.replace('=', "=3D").replace(',', "=2C");
    let is_printable = |c: &char| c.is_ascii_graphic() && *c != ',';
    let nonce: String = source.text().chars().filter(is_printable).take(200).collect();
    let nonce = format!("x{nonce}");
    let flag = source.pick(&["n", "y"]);
    let identity = if source.flag() { format!("a={escaped}") } else { String::new() };
    let gs2 = format!("{flag},{identity},");
    let bare = format!("n={escaped},r={nonce}{}", extensions(source));
    let first = format!("{gs2}{bare}");
    let in_last = extensions(source);
    let (at, bit) = (usize::from(source.u16()), source.below(8));

    let exchange = |verifier, change: bool| {
        let read = begin(first.as_bytes()).expect("an honest message");
        assert_eq!(read.user, user);
        let (challenge, waits) = read.challenge(verifier, &NONCE, &DECOY_KEY);
        let challenge = String::from_utf8(challenge).expect("text");
        let whole = challenge[2..].split(',').next().expect("a nonce");
        assert!(whole.starts_with(&nonce) && whole.len() > nonce.len());
        let unproven = format!("c={},r={whole}{in_last}", STANDARD.encode(&gs2));
        let signed = format!("{bare},{challenge},{unproven}");
        let stored = digest::digest(&digest::SHA256, &known().client_key);
        let signature = hmac_of(stored.as_ref(), signed.as_bytes());
        let proof: Vec<u8> = known().client_key.iter().zip(signature).map(|(k, s)| k ^ s).collect();
        let mut last = format!("{unproven},p={}", STANDARD.encode(proof)).into_bytes();
        if change {
            let len = last.len();
            last[at % len] ^= 1 << bit;
        }
        let proof = hmac_of(&known().server_key, signed.as_bytes());
        (waits.finish(&last), format!("v={}", STANDARD.encode(proof)).into_bytes())
    };
    let verifier = Some(&known().verifier);
    let (end, proof) = exchange(verifier, false);
    assert_eq!(end, Ok((proof, user.clone())), "the honest client");
    assert!(exchange(verifier, true).0.is_err(), "another bit");
    assert!(exchange(None, false).0.is_err(), "nobody");
}

fn extensions(source: &mut Source<'_>) -> String {
    let mut text = String::new();
    for _ in 0..source.below(4) {
        let name = source.pick(b"xyzXNRP");
        let value: String = source.text().replace(',', "=").chars().take(60).collect();
        text.push_str(&format!(",{}={value}-", char::from(name)));
    }
    text
}

fn text_of_a_verifier(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(verifier) = Verifier::parse(text) {
        assert_eq!(verifier.to_string(), text);
        let shown = format!("{verifier:?}");
        assert!(!text.split(['$', ':']).any(|part| part.len() > 20 && shown.contains(part)));
    }
}

/// Seeds: each kind of input, of what `bytes` makes up.
pub fn seeds(mut bytes: impl FnMut(usize) -> Vec<u8>) -> Vec<Vec<u8>> {
    let whole = format!("abc{}", STANDARD.encode(NONCE));
    let proof = STANDARD.encode([1; 32]);
    let mut seeds = Vec::new();
    for text in [
        format!("\0n,,n=user,r=abc\nc=biws,r={whole},p={proof}"),
        format!("\0y,a=user,n=user,r=abc,x=1\nc=eSxhPXVzZXIs,r={whole},x=1,p={proof}"),
        format!("\0n,,n=a=2Cb=3D,r=abc\nc=biws,r={whole},m=1,p={proof}"),
        "\0p=tls-unique,,n=user,r=abc\n".into(),
        format!("\x02{}", known().verifier),
    ] {
        seeds.push(text.into_bytes());
    }
    for n in 0..30 {
        let mut seed = bytes(10 + 4 * n);
        seed[0] = 1;
        seeds.push(seed);
    }
    seeds
}
