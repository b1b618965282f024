//! Whose a session is, on disk.
//!
//! Invariant: what is read is what was put.

use super::record::Owner;
use super::wire::{Garbled, Reader, put_varint};

/// The session has a user.
const USER: u8 = 1;
/// See [`Owner::granted`].
const GRANTED: u8 = 2;

/// An [`Owner`] in bytes that are somebody else's; the default is an anonymous client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StoredOwner<'a> {
    pub(super) user: Option<&'a str>,
    pub(super) granted: bool,
}

impl<'a> StoredOwner<'a> {
    pub(super) fn of(owner: &'a Owner) -> Self {
        Self { user: owner.user.as_deref(), granted: owner.granted }
    }

    pub(super) fn owner(self) -> Owner {
        Owner { user: self.user.map(Into::into), granted: self.granted }
    }

    /// Appends it, and the Client Identifier before the user name, which goes to the end.
    pub(super) fn put(self, client_id: &str, out: &mut Vec<u8>) {
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        out.push(flag(self.user.is_some(), USER) | flag(self.granted, GRANTED));
        put_varint(out, client_id.len() as u64);
        out.extend_from_slice(client_id.as_bytes());
        out.extend_from_slice(self.user.unwrap_or_default().as_bytes());
    }

    /// Reads what [`StoredOwner::put`] wrote.
    pub(super) fn read(r: &mut Reader<'a>) -> Result<(&'a str, Self), Garbled> {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Garbled("a text not in UTF-8"));
        let flags = r.u8()?;
        let (client_id, user) = (text(r.prefixed()?)?, text(r.rest())?);
        let user = (flags & USER != 0).then_some(user);
        Ok((client_id, Self { user, granted: flags & GRANTED != 0 }))
    }
}
