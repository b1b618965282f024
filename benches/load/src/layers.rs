//! What may lie between MQTT and the socket: WebSocket frames, and TLS below them. Uses `error` and
//! `options`; knows no MQTT. Without either there is no `Layers`, and nothing of this is passed.

use crate::error::{Error, Result};
use crate::options::Options;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// The key of RFC 6455's example, and what a server must make of it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// Masks are to be unpredictable to shield proxies; here there are none, and one will do.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const BINARY: u8 = 0x2;
const CONTINUATION: u8 = 0x0;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const FINAL: u8 = 0x80;

/// What all connections of a run share.
#[derive(Clone)]
pub struct Recipe {
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// host and path
    websocket: Option<(String, String)>,
}

impl Recipe {
    /// Reads the certificates, if TLS is asked for.
    pub fn new(options: &Options) -> Result<Self> {
        let tls = match &options.ca_file {
            Some(file) if options.tls => {
                let bad = |error| Error::Usage(format!("{}: {error}", file.display()));
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_file_iter(file).map_err(bad)? {
                    let refused = |error| Error::Usage(format!("{}: {error}", file.display()));
                    roots.add(certificate.map_err(bad)?).map_err(refused)?;
                }
                let mut config =
                    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
                // Connections stand for clients that have nothing to do with each other: each
                // shakes hands in full.
                config.resumption = Resumption::disabled();
                let name = ServerName::try_from(options.server_name.clone())
                    .map_err(|_| Error::Usage("--server-name: not a host's name".into()))?;
                Some((Arc::new(config), name))
            }
            _ => None,
        };
        let host = options.address.to_string();
        let websocket = options.websocket.then(|| (host, options.websocket_path.clone()));
        Ok(Self { tls, websocket })
    }

    /// The layers of a new connection, shaken hands with; `None` if there are none.
    pub fn open(&self, socket: &mut TcpStream) -> Result<Option<Box<Layers>>> {
        let mut layers = Layers { tls: None, websocket: None };
        if let Some((config, name)) = &self.tls {
            let mut tls = ClientConnection::new(config.clone(), name.clone())
                .map_err(|error| Error::Usage(error.to_string()))?;
            while tls.is_handshaking() {
                tls.complete_io(socket).map_err(Error::system("the TLS handshake"))?;
            }
            layers.tls = Some(tls);
        }
        if let Some((host, path)) = &self.websocket {
            layers.upgrade(socket, host, path)?;
        }
        let any = layers.tls.is_some() || layers.websocket.is_some();
        Ok(any.then(|| Box::new(layers)))
    }
}

/// The layers of one connection.
pub struct Layers {
    tls: Option<ClientConnection>,
    websocket: Option<WebSocket>,
}

impl Layers {
    /// Moves what is in `output` through the layers to the end of `wire`.
    pub fn seal(&mut self, output: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result<()> {
        let mut framed = Vec::new();
        if let Some(websocket) = &mut self.websocket {
            framed.append(&mut websocket.answers);
            if !output.is_empty() {
                put_frame(&mut framed, BINARY, output);
                output.clear();
            }
        } else {
            std::mem::swap(&mut framed, output);
        }
        let Some(tls) = &mut self.tls else {
            wire.append(&mut framed);
            return Ok(());
        };
        let mut rest = framed.as_slice();
        while !rest.is_empty() || tls.wants_write() {
            let taken = tls.writer().write(rest).map_err(Error::system("TLS, writing"))?;
            rest = &rest[taken..];
            while tls.wants_write() {
                tls.write_tls(wire).map_err(Error::system("TLS, writing"))?;
            }
        }
        Ok(())
    }

    /// Takes bytes of the socket, and appends to `input` what they carry; false once it has ended.
    pub fn open(&mut self, mut bytes: &[u8], input: &mut Vec<u8>) -> Result<bool> {
        let mut open = true;
        let Some(tls) = &mut self.tls else {
            return match &mut self.websocket {
                Some(websocket) => websocket.take(bytes, input),
                None => Ok(true),
            };
        };
        let mut plain = Vec::new();
        while !bytes.is_empty() {
            tls.read_tls(&mut bytes).map_err(Error::system("TLS, reading"))?;
            let state = tls
                .process_new_packets()
                .map_err(|error| Error::Broker(format!("breaks TLS: {error}")))?;
            let at = plain.len();
            plain.resize(at + state.plaintext_bytes_to_read(), 0);
            let got = tls.reader().read_exact(&mut plain[at..]);
            got.map_err(Error::system("TLS, reading"))?;
            open &= !state.peer_has_closed();
        }
        match &mut self.websocket {
            Some(websocket) => Ok(websocket.take(&plain, input)? && open),
            None => {
                input.append(&mut plain);
                Ok(open)
            }
        }
    }

    /// The HTTP upgrade, on a socket that blocks.
    fn upgrade(&mut self, socket: &mut TcpStream, host: &str, path: &str) -> Result<()> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: mqtt\r\n\r\n"
        );
        let (mut wire, mut text) = (Vec::new(), Vec::new());
        self.seal(&mut request.into_bytes(), &mut wire)?;
        socket.write_all(&wire).map_err(Error::system("the WebSocket upgrade"))?;
        let mut buffer = [0; 4096];
        let end = loop {
            if let Some(at) = text.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            let count = socket.read(&mut buffer).map_err(Error::system("the WebSocket upgrade"))?;
            if count == 0 || text.len() > 65536 {
                return Err(Error::Broker("does not finish the WebSocket upgrade".into()));
            }
            if self.tls.is_some() {
                self.open(&buffer[..count], &mut text)?;
            } else {
                text.extend_from_slice(&buffer[..count]);
            }
        };
        let head = String::from_utf8_lossy(&text[..end]).to_string();
        let lower = head.to_ascii_lowercase();
        let named = lower.lines().any(|l| l.replace(' ', "") == "sec-websocket-protocol:mqtt");
        if !head.starts_with("HTTP/1.1 101") || !head.contains(ACCEPT) || !named {
            return Err(Error::Broker(format!("refuses the WebSocket upgrade: {head}")));
        }
        let kept = text.split_off(end);
        self.websocket = Some(WebSocket { kept, answers: Vec::new() });
        Ok(())
    }
}

/// Frames that come and go.
struct WebSocket {
    /// bytes of a frame that is not whole
    kept: Vec<u8>,
    /// frames that go out with the next bytes
    answers: Vec<u8>,
}

impl WebSocket {
    fn take(&mut self, bytes: &[u8], input: &mut Vec<u8>) -> Result<bool> {
        self.kept.extend_from_slice(bytes);
        let mut at = 0;
        let mut open = true;
        while let Some((first, head, len)) = frame_head(&self.kept[at..])? {
            let Some(payload) = self.kept[at..].get(head..head + len) else { break };
            match first & 0xf {
                BINARY | CONTINUATION => input.extend_from_slice(payload),
                PING => put_frame(&mut self.answers, PONG, payload),
                PONG => {}
                CLOSE => open = false,
                other => return Err(Error::Broker(format!("sends WebSocket opcode {other}"))),
            }
            at += head + len;
        }
        self.kept.drain(..at);
        Ok(open)
    }
}

/// The first byte of a frame, the length of its head and that of its payload.
fn frame_head(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if second & 0x80 != 0 {
        return Err(Error::Broker("masks its WebSocket frames".into()));
    }
    Ok(match second {
        126 => rest.first_chunk().map(|len| (*first, 4, usize::from(u16::from_be_bytes(*len)))),
        127 => rest.first_chunk().map(|len| (*first, 10, u64::from_be_bytes(*len) as usize)),
        len => Some((*first, 2, usize::from(*len))),
    })
}

/// Appends a whole masked frame.
fn put_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(FINAL | opcode);
    match payload.len() {
        len @ 0..126 => out.push(0x80 | len as u8),
        len @ 126..65536 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    let at = out.len();
    out.extend_from_slice(payload);
    for four in out[at..].chunks_mut(4) {
        four.iter_mut().zip(MASK).for_each(|(byte, mask)| *byte ^= mask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_its_form() {
        for len in [0, 125, 126, 65535, 65536, 200_000] {
            let mut frame = Vec::new();
            put_frame(&mut frame, BINARY, &vec![5; len]);
            // As a server would send it: without the mask.
            let head = frame.len() - len - MASK.len();
            let mut bytes = frame[..head].to_vec();
            bytes[1] &= 0x7f;
            bytes.extend(frame[head + 4..].iter().zip(MASK.iter().cycle()).map(|(b, m)| b ^ m));
            let mut websocket = WebSocket { kept: Vec::new(), answers: Vec::new() };
            let mut input = Vec::new();
            assert!(websocket.take(&bytes, &mut input).unwrap());
            assert_eq!(input, vec![5; len], "{len}");
        }
    }

    #[test]
    fn frames_are_cut_out_wherever_they_break() {
        let mut bytes = vec![FINAL | BINARY, 3, 1, 2, 3, FINAL | PING, 1, 9];
        bytes.extend([BINARY, 126, 1, 0]);
        bytes.extend([7; 256]);
        bytes.extend([FINAL | CLOSE, 0]);
        for step in [1, 2, 5, bytes.len()] {
            let mut websocket = WebSocket { kept: Vec::new(), answers: Vec::new() };
            let mut input = Vec::new();
            let parts = bytes.chunks(step).map(|part| websocket.take(part, &mut input).unwrap());
            assert_eq!(parts.filter(|open| !open).count(), 1);
            assert_eq!((input.len(), &input[..4]), (259, &[1, 2, 3, 7][..]));
            assert_eq!(websocket.answers, [FINAL | PONG, 0x81, 0x37, 0xfa, 0x21, 0x3d, 9 ^ 0x37]);
        }
        let mut websocket = WebSocket { kept: Vec::new(), answers: Vec::new() };
        assert!(websocket.take(&[FINAL | BINARY, 0x81, 0], &mut Vec::new()).is_err());
    }
}
