//! The PROXY protocol, versions 1 and 2: what a load balancer in front says of the client.
//!
//! May use: bytes that are handed in. Invariants: a header is taken once it is whole, and refused
//! as soon as it is certain that it is none; the beginning of a valid header is never a header.

use thiserror::Error;

/// The bytes of a version 1 header, at most.
pub const V1_BYTES_MAX: usize = 107;
/// The bytes of a version 2 header behind its first 16, at most.
pub const V2_BYTES_MAX: usize = 4096;

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("PROXY: {what}")]
pub struct ProxyError {
    /// what is wrong, for the log
    pub what: &'static str,
}

/// An address as a header has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// IPv4
    V4([u8; 4]),
    /// IPv6
    V6([u8; 16]),
}

/// What is said of the client's TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientTls<'a> {
    /// it showed a certificate, on this connection or in the session that it resumed, and it was
    /// verified
    pub verified: bool,
    /// the Common Name of that certificate
    pub common_name: Option<&'a str>,
}

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// how many bytes it took
    pub used: usize,
    /// version 1 or 2
    pub version: u8,
    /// the client's address and port; `None`: the connection is the proxy's own, or of a kind that
    /// has none, and its peer stays who it is
    pub source: Option<(Address, u16)>,
    /// the address and port that the client connected to
    pub destination: Option<(Address, u16)>,
    /// `None` if the client came without TLS, or nothing is said of it
    pub tls: Option<ClientTls<'a>>,
}

/// What the first bytes of a connection are; `None` while the header is not whole.
pub fn parse(bytes: &[u8]) -> Result<Option<Header<'_>>, ProxyError> {
    let _ = bytes;
    Err(ProxyError { what: "not yet" })
}
