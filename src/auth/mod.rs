//! Layer 1: who a client is, and what it may do. Pure decisions: of bytes, rules and times that are
//! arguments.
//!
//! May use: `topic`, `codec`, and libraries that compute. No clock, no randomness, no file. What
//! waits for a disk, a thread or another server is `server`'s.
//!
//! Invariant: no secret leaves: not in an error, not in `Debug`.

pub mod acl;
pub mod jwt;
mod names;
pub mod password;
pub mod quota;
pub mod scram;
pub mod throttle;

use std::sync::Arc;

/// Who a client turned out to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Its user name; `None`: anonymous.
    pub user: Option<Arc<str>>,
    /// Roles that a token or a hook gave it; those of the ACL file are found there, by user.
    pub roles: Vec<Arc<str>>,
    /// What a token or a hook grants it: instead of the ACL file.
    pub grants: Option<Arc<Grants>>,
    /// What neither grants nor the ACL file settle is asked of the hook.
    pub asks: bool,
}

/// Topic Filters that somebody granted to one client: what is covered by none is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Grants {
    /// where it may publish
    pub publish: Vec<Box<str>>,
    /// what it may subscribe to
    pub subscribe: Vec<Box<str>>,
}

impl Grants {
    /// Of filters with `%c` and `%u`, which stand for the Client Identifier and the user name. What
    /// is no filter then, or needs a name that is not there or has `+`, `#` or `/` in it, grants
    /// nothing.
    pub fn of<S: AsRef<str>>(
        publish: &[S],
        subscribe: &[S],
        user: Option<&str>,
        client_id: &str,
    ) -> Self {
        let names = names::Names { user, client_id, may_have_levels: false };
        let all = |filters: &[S]| {
            let filled = filters.iter().filter_map(|filter| names.allowing(filter.as_ref()));
            filled.map(String::into_boxed_str).collect()
        };
        Self { publish: all(publish), subscribe: all(subscribe) }
    }
}
