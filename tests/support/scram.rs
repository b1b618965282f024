//! The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), for tests.

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A client between its first message and the end.
pub(crate) struct ScramClient {
    password: Vec<u8>,
    bare: String,
}

impl ScramClient {
    /// It, and its first message.
    pub(crate) fn new(user: &str, password: &str, nonce: &str) -> (Self, Vec<u8>) {
        let bare = format!("n={user},r={nonce}");
        let first = format!("n,,{bare}").into_bytes();
        (Self { password: password.as_bytes().to_vec(), bare }, first)
    }

    /// Its answer to a challenge, and what the server has to prove itself with.
    pub(crate) fn answer(&self, challenge: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let challenge = std::str::from_utf8(challenge).unwrap();
        let field = |name: &str| {
            let fields = &mut challenge.split(',');
            fields.find_map(|f| f.strip_prefix(name)).unwrap().to_owned()
        };
        let salt = STANDARD.decode(field("s=")).unwrap();
        let rounds: u32 = field("i=").parse().unwrap();
        let mut salted = [0; 32];
        let rounds = rounds.try_into().unwrap();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, &self.password, &mut salted);
        let sign = |key: &[u8], text: &[u8]| {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
            tag.as_ref().to_vec()
        };
        let client_key = sign(&salted, b"Client Key");
        let stored = digest::digest(&digest::SHA256, &client_key);
        let last = format!("c=biws,r={}", field("r="));
        let message = format!("{},{challenge},{last}", self.bare);
        let signature = sign(stored.as_ref(), message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let server = sign(&sign(&salted, b"Server Key"), message.as_bytes());
        let last = format!("{last},p={}", STANDARD.encode(proof)).into_bytes();
        (last, format!("v={}", STANDARD.encode(server)).into_bytes())
    }
}
