//! The process stops being root once it has what only root can get: `server.user`.
//!
//! What lives here: the two steps. While the log's directory is opened, files are already made as
//! that user; ports are bound and keys read as root; then root is given up for good. Invariant:
//! when a client comes, root cannot be had back, on no thread (the C library changes all of them).

use std::ffi::CString;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{self, Gid, Group, Uid, User};
use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::config;

/// Why the process cannot be who it is to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrivilegeError {
    #[error("server.{what}: this system has no {what} {name:?}")]
    Unknown { what: &'static str, name: String },
    #[error("server.group is set, but not server.user: it would be root that runs with it")]
    GroupAlone,
    #[error(
        "server.user is {name:?}, but only root can become another user: start as root, or as \
         {name:?} itself, or leave server.user out"
    )]
    NotRoot { name: String },
    #[error("the process cannot become {name:?}: {what}: {error}")]
    Refused { name: String, what: &'static str, error: Errno },
    #[error("root's rights could be had back after they were given up: this is not safe to run")]
    NotGone,
    #[error(
        "{directory} cannot be written by {name:?}: make it that user's \
         (chown -R {name} {directory})"
    )]
    Directory { name: String, directory: String },
}

/// Whom the process becomes.
#[derive(Debug)]
pub(crate) struct Privileges {
    name: String,
    user: Uid,
    group: Gid,
}

impl Privileges {
    /// Whom the settings name; `None`: nobody, or who the process is already.
    pub(crate) fn of(server: &config::Server) -> Result<Option<Self>, PrivilegeError> {
        Self::named(server.user.as_deref(), server.group.as_deref())
    }

    fn named(user: Option<&str>, group: Option<&str>) -> Result<Option<Self>, PrivilegeError> {
        let Some(user) = user else {
            return if group.is_none() { Ok(None) } else { Err(PrivilegeError::GroupAlone) };
        };
        let unknown = |what, name: &str| PrivilegeError::Unknown { what, name: name.to_owned() };
        let found = user_of(user).ok_or(unknown("user", user))?;
        let gid = match group {
            None => found.gid,
            Some(name) => group_of(name).ok_or(unknown("group", name))?.gid,
        };
        let wanted = Self { name: found.name, user: found.uid, group: gid };
        if unistd::geteuid().is_root() {
            // Root that is to stay root keeps its groups, too.
            return Ok((!wanted.user.is_root()).then_some(wanted));
        }
        let is_it = wanted.user == unistd::getuid() && wanted.user == unistd::geteuid();
        if is_it { Ok(None) } else { Err(PrivilegeError::NotRoot { name: wanted.name }) }
    }

    /// Runs `open` as that user, so that the files it makes are that user's.
    pub(crate) fn opening<T>(&self, open: impl FnOnce() -> T) -> Result<T, PrivilegeError> {
        let root_groups = unistd::getgroups().map_err(self.failed("getgroups"))?;
        let root_group = unistd::getegid();
        self.join_groups()?;
        unistd::setegid(self.group).map_err(self.failed("setegid"))?;
        unistd::seteuid(self.user).map_err(self.failed("seteuid"))?;
        let opened = open();
        unistd::seteuid(Uid::from_raw(0)).map_err(self.failed("seteuid"))?;
        unistd::setegid(root_group).map_err(self.failed("setegid"))?;
        unistd::setgroups(&root_groups).map_err(self.failed("setgroups"))?;
        Ok(opened)
    }

    /// Gives root up, for good. `directory`: what is written later on; it has to be writable then.
    pub(crate) fn give_up(self, directory: Option<&Path>) -> Result<(), PrivilegeError> {
        self.join_groups()?;
        let (group, user) = (self.group, self.user);
        unistd::setresgid(group, group, group).map_err(self.failed("setresgid"))?;
        unistd::setresuid(user, user, user).map_err(self.failed("setresuid"))?;
        let back = unistd::setuid(Uid::from_raw(0)).is_ok()
            || unistd::seteuid(Uid::from_raw(0)).is_ok()
            || unistd::getuid() != user
            || unistd::geteuid() != user
            || unistd::getegid() != group;
        if back {
            return Err(PrivilegeError::NotGone);
        }
        if let Some(path) = directory
            && accessat(CWD, path, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_err()
        {
            let directory = path.display().to_string();
            return Err(PrivilegeError::Directory { name: self.name, directory });
        }
        tracing::info!(user = self.name, "root's rights are given up");
        Ok(())
    }

    /// The name, for what goes wrong as that user.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn join_groups(&self) -> Result<(), PrivilegeError> {
        let name = CString::new(self.name.as_str()).unwrap_or_default();
        unistd::initgroups(&name, self.group).map_err(self.failed("initgroups"))
    }

    fn failed(&self, what: &'static str) -> impl FnOnce(Errno) -> PrivilegeError + use<> {
        let name = self.name.clone();
        move |error| PrivilegeError::Refused { name, what, error }
    }
}

/// By name or number.
fn user_of(name: &str) -> Option<User> {
    let by_number = || User::from_uid(Uid::from_raw(name.parse().ok()?)).ok().flatten();
    User::from_name(name).ok().flatten().or_else(by_number)
}

fn group_of(name: &str) -> Option<Group> {
    let by_number = || Group::from_gid(Gid::from_raw(name.parse().ok()?)).ok().flatten();
    Group::from_name(name).ok().flatten().or_else(by_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_it_may_become() {
        let nobody_known = Privileges::named(Some("no-such-user"), None);
        assert!(matches!(nobody_known, Err(PrivilegeError::Unknown { what: "user", .. })));
        let no_group = Privileges::named(Some("nobody"), Some("no-such-group"));
        assert!(matches!(no_group, Err(PrivilegeError::Unknown { what: "group", .. })));
        assert!(matches!(Privileges::named(None, Some("daemon")), Err(PrivilegeError::GroupAlone)));
        assert!(matches!(Privileges::named(None, None), Ok(None)));
        let nobody = Privileges::named(Some("nobody"), None);
        match unistd::geteuid().is_root() {
            true => assert!(nobody.is_ok_and(|p| p.is_some_and(|p| p.name() == "nobody"))),
            false => assert!(matches!(nobody, Err(PrivilegeError::NotRoot { .. }) | Ok(None))),
        }
    }
}
