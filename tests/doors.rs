//! The real binary's ways in: TLS, WebSocket, Unix sockets, PROXY headers; who abuses them, and
//! what keeps them from keeping others out.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // layer 3 and above

#[path = "doors/bad.rs"]
mod bad;
#[path = "doors/certificates.rs"]
mod certificates;
#[path = "doors/clients.rs"]
mod clients;
#[path = "doors/crowd.rs"]
mod crowd;
#[path = "doors/proxy.rs"]
mod proxy;
#[path = "doors/reload.rs"]
mod reload;
mod support;
#[path = "doors/talk.rs"]
mod talk;
#[path = "doors/tls.rs"]
mod tls;
#[path = "doors/unix.rs"]
mod unix;
#[path = "doors/websocket.rs"]
mod websocket;
