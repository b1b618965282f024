//! Who a client says it is, for the log: operators find a device by it whose password is wrong.
//!
//! Invariants: nothing of it is believed anywhere; no password and no authentication data is in it;
//! it is short, whatever the client sent. The log escapes it, as every value.

use crate::auth::scram;
use crate::codec::{self, Connect, Framed, Packet, Sender, Version};

/// Characters of a name that a line shows.
const CHARS_MAX: usize = 64;

/// What a whole CONNECT claims, checked or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) client_id: Option<String>,
    /// The user name that nobody has verified: the CONNECT's, or that of its SCRAM exchange.
    pub(crate) user: Option<String>,
}

impl Claims {
    /// `client_id`: the effective Client Identifier.
    pub(crate) fn of(connect: &Connect<'_>, client_id: &str) -> Self {
        let by_scram = || Some(scram::begin(connect.authentication_data?).ok()?.user);
        let user = match connect.user_name.filter(|user| !user.is_empty()) {
            Some(user) => Some(shortened(user)),
            None => by_scram().map(|user| shortened(&user)),
        };
        Self { client_id: Some(shortened(client_id)), user }
    }

    /// The same of the packet that a connection begins with; nothing if it is no whole CONNECT.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let Ok(Framed::Whole(frame)) = codec::frame(bytes, usize::MAX) else {
            return Self::default();
        };
        match codec::decode(frame, Sender::Client, Version::V5) {
            Ok(Packet::Connect(connect)) => Self::of(&connect, connect.client_id),
            _ => Self::default(),
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connect_claims() {
        let long = "é".repeat(CHARS_MAX + 1);
        let whole = |body: &[u8]| [&[0x10, body.len() as u8][..], body].concat();
        let head = |flags: u8| [&b"\0\x04MQTT\x05"[..], &[flags, 0, 0]].concat();
        let scram = b"\x1e\x15\0\x01m\x16\0\x17n,,n=zo\xc3\xab=2C,r=hushhush";
        let (id, none) = (Some("c"), None);
        for (packet, client_id, user) in [
            (whole(&[&head(2)[..], b"\0\0\x01c"].concat()), id, none),
            (whole(&[&head(0x82)[..], b"\0\0\x01c\0\x01u"].concat()), id, Some("u")),
            (whole(&[&head(0xc2)[..], b"\0\0\x01c\0\x01u\0\x04hush"].concat()), id, Some("u")),
            (whole(&[&head(0xc2)[..], b"\0\0\x01c\0\0\0\x04hush"].concat()), id, none),
            (whole(&[&head(2)[..], scram, b"\0\x01c"].concat()), id, Some("zoë,")),
            (whole(&[&head(2)[..], b"\0\0\x02c"].concat()), none, none),
            (b"\xc0\0".to_vec(), none, none),
            (Vec::new(), none, none),
        ] {
            let claims = Claims::read(&packet);
            let text = packet.escape_ascii().to_string();
            assert_eq!(
                (claims.client_id.as_deref(), claims.user.as_deref()),
                (client_id, user),
                "{text}"
            );
            assert!(!format!("{claims:?}").contains("hush"));
        }
        assert_eq!(shortened(&long), format!("{}…", &long[..2 * CHARS_MAX]));
        assert_eq!(shortened(&long[2..]), long[2..]);
    }
}
