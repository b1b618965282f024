//! The token that the broker shows to the hook's server (`auth.hook_token_file`).
//!
//! Invariants: it is in no error and no `Debug`; the bytes of it that the broker owns are zeroed
//! when the last question that shows them is over.

use bytes::Bytes;
use ureq::http::HeaderValue;
use zeroize::Zeroizing;

/// Bytes of a token: servers take few more in one header.
pub(crate) const TOKEN_BYTES_MAX: usize = 4096;

const SCHEME: &[u8] = b"Bearer ";

/// The value of `Authorization`; a clone shares its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token(HeaderValue);

/// Why bytes are no token. Says nothing of what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("there is no token in it")]
    Empty,
    #[error("the token has more than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    #[error(
        "no header can carry this as a token, which is one line of printable ASCII without blanks"
    )]
    NotPrintable,
}

impl Token {
    /// # Errors
    /// Nothing, too much, or a byte that has no place in a header's token.
    pub(crate) fn new(token: &[u8]) -> Result<Self, TokenError> {
        match token.len() {
            0 => return Err(TokenError::Empty),
            n if n > TOKEN_BYTES_MAX => return Err(TokenError::TooLong),
            _ => {}
        }
        if !token.iter().all(u8::is_ascii_graphic) {
            return Err(TokenError::NotPrintable);
        }
        // With room for all of it: growing would leave copies behind.
        let mut value = Zeroizing::new(Vec::with_capacity(SCHEME.len() + token.len()));
        value.extend_from_slice(SCHEME);
        value.extend_from_slice(token);
        let value = HeaderValue::from_maybe_shared(Bytes::from_owner(value));
        let mut value = value.map_err(|_| TokenError::NotPrintable)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_token_and_what_is_none() {
        let longest = "x".repeat(TOKEN_BYTES_MAX);
        for (token, why) in [
            ("a", None),
            ("eyJhbGciOiJIUzI1NiJ9.e30.-_~+/==", None),
            ("!\"#$%&'()*,:;<=>?@[\\]^`{|}", None),
            (longest.as_str(), None),
            ("", Some(TokenError::Empty)),
            (&format!("{longest}x"), Some(TokenError::TooLong)),
            ("hush hush", Some(TokenError::NotPrintable)),
            (" hush", Some(TokenError::NotPrintable)),
            ("hush\t", Some(TokenError::NotPrintable)),
            ("hush\r\nX-Other: 1", Some(TokenError::NotPrintable)),
            ("hush\n", Some(TokenError::NotPrintable)),
            ("hush\0", Some(TokenError::NotPrintable)),
            ("hush\u{7f}", Some(TokenError::NotPrintable)),
            ("hüsh", Some(TokenError::NotPrintable)),
        ] {
            let read = Token::new(token.as_bytes());
            assert_eq!(read.as_ref().err().copied(), why, "{token:?}");
            match read {
                Err(error) => assert!(!error.to_string().contains("hush"), "{error}"),
                Ok(read) => {
                    assert_eq!(read.header().as_bytes(), format!("Bearer {token}").as_bytes());
                    assert_eq!(format!("{read:?}"), "Token(Sensitive)");
                }
            }
        }
    }
}
