//! A tiny HTTP server for tests of the hook: it answers by a function of the request's body.
#![allow(dead_code, reason = "each test crate uses its own part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A server on a free port of loopback; it ends when it is dropped.
pub(crate) struct HookServer {
    pub(crate) address: SocketAddr,
    /// all requests so far
    asked: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What came.
#[derive(Clone)]
pub(crate) struct Request {
    /// the header of this name
    authorization: Option<String>,
    body: String,
}

/// What is said to one request.
pub(crate) enum Said {
    /// status and body
    Answer(u16, String),
    /// these bytes, whatever they are, and the end
    Bytes(Vec<u8>),
    /// nothing for as long as the client waits
    Nothing,
}

impl HookServer {
    pub(crate) fn new(answer: impl Fn(&str) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, stop) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::<AtomicBool>::default());
        let (list, stopped, answer) = (Arc::clone(&asked), Arc::clone(&stop), Arc::new(answer));
        let thread = std::thread::spawn(move || {
            let mut streams = Vec::new();
            for stream in listener.incoming() {
                if stopped.load(Relaxed) {
                    break;
                }
                let stream = stream.unwrap();
                streams.push(stream.try_clone().unwrap());
                let (list, answer) = (Arc::clone(&list), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let _ = serve(&stream, &list, &*answer);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
            // Also connections that clients keep.
            streams.iter().for_each(|stream| _ = stream.shutdown(Shutdown::Both));
        });
        Self { address, asked, stop, thread: Some(thread) }
    }

    /// One that always says the same.
    pub(crate) fn saying(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::new(move |_| Said::Answer(status, body.clone()))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mqtt", self.address)
    }

    /// The bodies of all requests so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|request| request.body.clone()).collect()
    }

    /// How all requests so far say whose they are.
    pub(crate) fn authorizations(&self) -> Vec<Option<String>> {
        self.asked.lock().unwrap().iter().map(|request| request.authorization.clone()).collect()
    }
}

impl Drop for HookServer {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let _ = TcpStream::connect(self.address); // wakes it
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The requests of one connection.
pub(crate) fn serve<S>(
    stream: S,
    asked: &Mutex<Vec<Request>>,
    answer: &dyn Fn(&str) -> Said,
) -> std::io::Result<()>
where
    S: Read + Write,
{
    let mut stream = BufReader::new(stream);
    loop {
        let (mut length, mut authorization) = (0, None);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let (name, value) = line.split_once(':').unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap(),
                "authorization" => authorization = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let body = String::from_utf8(body).unwrap();
        asked.lock().unwrap().push(Request { authorization, body: body.clone() });
        match answer(&body) {
            Said::Answer(status, body) => {
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n\
                     content-length: {}\r\n\r\n",
                    body.len()
                );
                stream.get_mut().write_all((head + &body).as_bytes())?;
                stream.get_mut().flush()?;
            }
            Said::Bytes(bytes) => {
                stream.get_mut().write_all(&bytes)?;
                return stream.get_mut().flush();
            }
            Said::Nothing => {
                let mut rest = [0; 16];
                while stream.read(&mut rest)? > 0 {}
                return Ok(());
            }
        }
    }
}
