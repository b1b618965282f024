//! One `[[listener]]` as plain data: where it is, what it speaks, whom it hears.
//!
//! Reads and checks nothing: see `schema.rs` for what single values may be and `together.rs` for
//! what they may not be together. Invariant: what [`Settings::load`](super::Settings::load) gave
//! out contradicts itself nowhere; [`Listener::default`] is what the example file says.
use super::network::Network;
use super::settings::{NamedFile, StorePolicy};
use super::values::{Method, Origin, Owner, SniHost, list, mode_field, one, unless_empty};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What the addresses of Unix sockets begin with.
pub(super) const UNIX: &str = "unix:";

/// One `[[listener]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listener {
    /// `host:port`, `[v6]:port` or `unix:/path`; port 0 lets the system choose. Well-formed, not
    /// yet resolved. See [`Listener::kind`].
    pub address: String,
    /// Whether a CONNECT without user name is let in; already decided from all layers.
    pub allow_anonymous: bool,
    /// Connections on this listener; 0 leaves only `server.connections_max`.
    pub connections_max: usize,
    /// Failing to bind it is a warning instead of the end.
    pub optional: bool,
    /// How safe is safe for what arrives here.
    pub policy: ListenerPolicy,
    /// What is spoken, above TLS if there is TLS.
    pub protocol: Protocol,
    /// The only path of a WebSocket request; `None`: any.
    #[serde(deserialize_with = "unless_empty")]
    pub websocket_path: Option<String>,
    /// Origins of WebSocket requests that are let in; empty: any. Requests without one are let in.
    #[serde(deserialize_with = "list")]
    pub origins: Vec<Origin>,
    /// PEM; set exactly if `key_file` is, and then this listener speaks TLS.
    #[serde(deserialize_with = "unless_empty")]
    pub certificate_file: Option<PathBuf>,
    /// PEM.
    #[serde(deserialize_with = "unless_empty")]
    pub key_file: Option<PathBuf>,
    /// Further certificates, by the name that the client asks for; no host is there twice.
    #[serde(deserialize_with = "list")]
    pub sni: Vec<SniHost>,
    /// The oldest TLS that is spoken.
    pub tls_version_min: TlsVersion,
    /// Whether clients show a certificate. Not off only with `client_ca_file`.
    pub client_certificate: ClientCertificate,
    /// PEM; who may have signed client certificates.
    #[serde(deserialize_with = "unless_empty")]
    pub client_ca_file: Option<PathBuf>,
    /// PEM; which of these are revoked.
    #[serde(deserialize_with = "unless_empty")]
    pub crl_file: Option<PathBuf>,
    /// Where the user name stands.
    pub user_from: UserFrom,
    /// Whether connections begin with a PROXY header.
    pub proxy: Proxy,
    /// From where they may; empty only with `Proxy::Off` and on Unix sockets.
    #[serde(deserialize_with = "list")]
    pub proxy_from: Vec<Network>,
    /// Sources that are heard; empty: all. Of what the PROXY header tells, if there is one.
    #[serde(deserialize_with = "list")]
    pub allow_from: Vec<Network>,
    /// Sources that are not heard, whatever `allow_from` says.
    #[serde(deserialize_with = "list")]
    pub deny_from: Vec<Network>,
    /// From accept to the end of PROXY header, TLS handshake and WebSocket upgrade.
    pub handshake_timeout_ms: u64,
    /// Connections in these at the same time; at least 1.
    pub handshakes_max: usize,
    /// The same, of one source address; 0 leaves only `handshakes_max`.
    pub handshakes_per_source_max: usize,
    /// New connections per second; 0 is no limit.
    pub connections_per_s_max: u32,
    /// Ways to show who one is; empty: as of `[auth]`. See
    /// [`Settings::methods`](super::Settings::methods).
    #[serde(deserialize_with = "list")]
    pub authentication: Vec<Method>,
    /// Permission bits of a Unix socket.
    #[serde(deserialize_with = "mode_field")]
    pub unix_mode: u32,
    /// Owner of a Unix socket.
    #[serde(deserialize_with = "one")]
    pub unix_owner: Owner,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            address: String::new(),
            allow_anonymous: false,
            connections_max: 0,
            optional: false,
            policy: ListenerPolicy::Default,
            protocol: Protocol::Mqtt,
            websocket_path: Some("/mqtt".into()),
            origins: Vec::new(),
            certificate_file: None,
            key_file: None,
            sni: Vec::new(),
            tls_version_min: TlsVersion::V1_2,
            client_certificate: ClientCertificate::Off,
            client_ca_file: None,
            crl_file: None,
            user_from: UserFrom::Connect,
            proxy: Proxy::Off,
            proxy_from: Vec::new(),
            allow_from: Vec::new(),
            deny_from: Vec::new(),
            handshake_timeout_ms: 10_000,
            handshakes_max: 1024,
            handshakes_per_source_max: 256,
            connections_per_s_max: 0,
            authentication: Vec::new(),
            unix_mode: 0o660,
            unix_owner: Owner::default(),
        }
    }
}

/// Where a listener listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind<'a> {
    /// `host:port`, not yet resolved.
    Tcp(&'a str),
    /// A socket in the file system.
    Unix(&'a Path),
}

impl Listener {
    /// Where it listens.
    pub fn kind(&self) -> ListenerKind<'_> {
        match self.address.strip_prefix(UNIX) {
            Some(path) => ListenerKind::Unix(Path::new(path)),
            None => ListenerKind::Tcp(&self.address),
        }
    }

    /// Whether only this machine can reach it: a loopback address or a Unix socket. A host name
    /// other than `localhost` counts as reachable from outside: what it resolves to may change. So
    /// does a listener behind a proxy, whose clients come from anywhere.
    pub fn is_loopback(&self) -> bool {
        if self.proxy != Proxy::Off {
            return false;
        }
        let ListenerKind::Tcp(address) = self.kind() else { return true };
        if let Ok(address) = address.parse::<SocketAddr>() {
            return address.ip().to_canonical().is_loopback();
        }
        let host = address.rsplit_once(':').map_or("", |(host, _)| host);
        host.eq_ignore_ascii_case("localhost")
    }

    /// Certificate and key, if it speaks TLS.
    pub fn tls(&self) -> Option<(&Path, &Path)> {
        Some((self.certificate_file.as_deref()?, self.key_file.as_deref()?))
    }

    /// Whether an MQTT client speaks TCP or Unix socket bytes straight away: neither TLS nor
    /// WebSocket nor a PROXY header comes first.
    pub fn is_plain(&self) -> bool {
        self.tls().is_none() && self.protocol == Protocol::Mqtt && self.proxy == Proxy::Off
    }

    /// The files that it names.
    pub(super) fn files(&self) -> impl Iterator<Item = NamedFile<'_>> {
        let sni = self.sni.iter().flat_map(|sni| {
            [("sni", Some(&sni.certificate_file), false), ("sni", Some(&sni.key_file), true)]
        });
        let own = [
            ("certificate_file", self.certificate_file.as_ref(), false),
            ("key_file", self.key_file.as_ref(), true),
            ("client_ca_file", self.client_ca_file.as_ref(), false),
            ("crl_file", self.crl_file.as_ref(), false),
        ];
        own.into_iter().chain(sni).filter_map(|(name, path, secret)| {
            let setting = format!("listener {}: {name}", self.address);
            Some(NamedFile { setting, path: path?, secret })
        })
    }

    /// The policy that it names itself.
    pub fn own_policy(&self) -> Option<StorePolicy> {
        match self.policy {
            ListenerPolicy::Default => None,
            ListenerPolicy::Commit => Some(StorePolicy::Commit),
            ListenerPolicy::Interval => Some(StorePolicy::Interval),
            ListenerPolicy::Os => Some(StorePolicy::Os),
            ListenerPolicy::Memory => Some(StorePolicy::Memory),
        }
    }
}

/// `listener.policy`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenerPolicy {
    /// `store.policy`
    #[default]
    Default,
    /// As of `StorePolicy`.
    Commit,
    /// As of `StorePolicy`.
    Interval,
    /// As of `StorePolicy`.
    Os,
    /// As of `StorePolicy`.
    Memory,
}

/// `listener.protocol`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// MQTT packets straight away.
    Mqtt,
    /// MQTT packets in WebSocket frames.
    Websocket,
}

/// `listener.tls_version_min`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3 alone.
    #[serde(rename = "1.3")]
    V1_3,
}

/// `listener.client_certificate`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificate {
    /// None is asked for.
    Off,
    /// Who shows one shows a good one.
    Optional,
    /// Who shows none does not come in.
    Required,
}

/// `listener.user_from`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserFrom {
    /// The CONNECT packet.
    Connect,
    /// The client certificate's Common Name.
    CommonName,
    /// Its first DNS name.
    SanDns,
    /// Its first e-mail address.
    SanEmail,
    /// Its first URI.
    SanUri,
}

/// `listener.proxy`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proxy {
    /// No header.
    Off,
    /// A text header.
    V1,
    /// A binary header.
    V2,
    /// One of the two.
    Any,
}
