//! Opening the listeners: a socket each, and whose it is.
//!
//! A listener of plain TCP that knows anonymous clients alone is a [`Door`] of a shard; every other
//! is an [`Entrance`] of the lobby. May use: sockets, the file system for Unix sockets.
//! Invariants: a Unix socket's file has its mode and owner before anybody can connect; nothing but
//! a socket that nobody listens on is ever removed from where one is to be.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use mio::net::TcpListener;
use nix::unistd::{Group, User};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::StartError;
use super::porch::{Door, Guests};
use super::tls::Tls;
use super::watch::Watched;
use crate::broker::Safety;
use crate::config::{Listener, ListenerKind, Owner, Settings};

/// A listener of the lobby.
#[derive(Debug)]
pub(crate) struct Entrance {
    /// Its place in the settings.
    pub(crate) number: usize,
    /// Listens, and does not block.
    pub(crate) socket: OwnedFd,
    /// The address that it got, for log lines.
    pub(crate) name: String,
    /// What its settings say.
    pub(crate) rules: Listener,
    pub(crate) tls: Option<Arc<Tls>>,
    /// How safe what its clients publish is to be, if it says so.
    pub(crate) safety: Option<Safety>,
    pub(crate) connections: Arc<AtomicUsize>,
    _file: Option<SocketFile>,
}

/// All that was opened.
#[derive(Default)]
pub(super) struct Opened {
    pub(super) doors: Vec<Door>,
    pub(super) entrances: Vec<Entrance>,
}

impl Opened {
    /// What is to be read again when its files change.
    pub(super) fn watched(&self) -> Vec<Arc<dyn Watched>> {
        let tls = self.entrances.iter().filter_map(|entrance| entrance.tls.clone());
        tls.map(|tls| tls as Arc<dyn Watched>).collect()
    }
}

/// Opens all listeners. Who connects waits with the system.
pub(super) fn open(settings: &Settings) -> Result<Opened, StartError> {
    let mut opened = Opened::default();
    for (number, listener) in settings.listener.iter().enumerate() {
        let tls = Tls::load(listener).map_err(|error| {
            let address = listener.address.clone();
            StartError::Tls { address, error }
        })?;
        let bound = match bind(listener, settings.server.accept_backlog) {
            Ok(bound) => bound,
            Err(error) if listener.optional => {
                tracing::warn!(address = listener.address, %error, "not listening there");
                continue;
            }
            Err(error) => {
                return Err(StartError::Listen { address: listener.address.clone(), error });
            }
        };
        let safety = listener.own_policy().map(super::safety);
        let connections = Arc::new(AtomicUsize::new(0));
        match bound {
            Bound::Tcp(socket, address) if is_door(settings, listener) => {
                tracing::info!(%address, "listening");
                opened.doors.push(Door {
                    listener: TcpListener::from_std(socket.into()),
                    address,
                    allow_anonymous: listener.allow_anonymous,
                    safety,
                    connections_max: listener.connections_max,
                    connections,
                    guests: Guests::new(listener.handshakes_max),
                });
            }
            bound => {
                let (socket, name, file) = match bound {
                    Bound::Tcp(socket, address) => (socket, address.to_string(), None),
                    Bound::Unix(socket, file) => (socket, listener.address.clone(), Some(file)),
                };
                let what = speaks(listener);
                tracing::info!(speaks = what, address = %name, "listening");
                let (socket, rules, tls) = (socket.into(), listener.clone(), tls.map(Arc::new));
                let entrance =
                    Entrance { number, socket, name, rules, tls, safety, connections, _file: file };
                opened.entrances.push(entrance);
            }
        }
    }
    Ok(opened)
}

/// Whether a shard's own loop can be its porch: nothing has to be waited for but the CONNECT, and
/// nothing looked at but that.
fn is_door(settings: &Settings, listener: &Listener) -> bool {
    let counted = settings.quota.iter().any(|quota| quota.connections_max > 0);
    listener.is_plain()
        && settings.methods(listener).is_empty()
        && listener.allow_from.is_empty()
        && listener.deny_from.is_empty()
        && listener.connections_per_s_max == 0
        && !counted
        && !settings.auth.hook_acl
}

fn speaks(listener: &Listener) -> &'static str {
    use crate::config::Protocol::{Mqtt, Websocket};
    match (listener.protocol, listener.tls().is_some()) {
        (Mqtt, false) => "mqtt",
        (Mqtt, true) => "mqtt over tls",
        (Websocket, false) => "websocket",
        (Websocket, true) => "websocket over tls",
    }
}

enum Bound {
    Tcp(Socket, SocketAddr),
    Unix(Socket, SocketFile),
}

fn bind(listener: &Listener, backlog: u32) -> io::Result<Bound> {
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    match listener.kind() {
        ListenerKind::Unix(path) => {
            let (socket, file) = bind_unix(path, listener, backlog)?;
            Ok(Bound::Unix(socket, file))
        }
        ListenerKind::Tcp(name) => {
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            for address in name.to_socket_addrs()? {
                let bound = bind_tcp(address, backlog)
                    .and_then(|socket| Ok((socket.local_addr()?, socket)));
                match bound {
                    Ok((address, socket)) => {
                        let address = address.as_socket().unwrap_or(([0; 4], 0).into());
                        return Ok(Bound::Tcp(socket, address));
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
    }
}

fn bind_tcp(address: SocketAddr, backlog: i32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // What is accepted has it from here on Linux, where no small write is to wait for the last.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket)
}

/// A Unix socket's file; removed at the end.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Where privileges were given up it may not be allowed: the next start finds it stale.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn bind_unix(path: &Path, listener: &Listener, backlog: i32) -> io::Result<(Socket, SocketFile)> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile(path.to_owned());
    // Nobody can connect before it listens: by then mode and owner are right.
    let (user, group) = ids(&listener.unix_owner)?;
    if user.is_some() || group.is_some() {
        chown(path, user, group)?;
    }
    std::fs::set_permissions(path, PermissionsExt::from_mode(listener.unix_mode))?;
    socket.listen(backlog)?;
    Ok((socket, file))
}

/// Removes what a broker that was killed has left there.
fn remove_stale(path: &Path) -> io::Result<()> {
    let kind = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?.file_type(),
    };
    if !kind.is_socket() {
        let why = "there is something there that is no socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        // Also when it may not be asked, or is too busy to answer.
        _ => Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there")),
    }
}

fn ids(owner: &Owner) -> io::Result<(Option<u32>, Option<u32>)> {
    let nobody = |what: &str, name: &str| {
        io::Error::new(io::ErrorKind::NotFound, format!("there is no {what} {name:?}"))
    };
    let user = |name: &String| match name.parse() {
        Ok(id) => Ok(id),
        Err(_) => match User::from_name(name)? {
            Some(user) => Ok(user.uid.as_raw()),
            None => Err(nobody("user", name)),
        },
    };
    let group = |name: &String| match name.parse() {
        Ok(id) => Ok(id),
        Err(_) => match Group::from_name(name)? {
            Some(group) => Ok(group.gid.as_raw()),
            None => Err(nobody("group", name)),
        },
    };
    Ok((owner.user.as_ref().map(user).transpose()?, owner.group.as_ref().map(group).transpose()?))
}
