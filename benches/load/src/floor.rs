//! The floor: what the sockets alone cost. One thread forwards the bytes of each PUBLISH to whom a
//! hash of its topic names; it checks nothing, keeps no session, and knows wildcards only in the
//! forms that the load uses. Uses `connection`, `packets` and `poller`.
//!
//! Every connection is read until it is drained, then everybody who got something is written to
//! once. On demand it makes mistakes, so that it can be seen that the load finds them.

use crate::connection::{Connection, READ_BYTES};
use crate::error::{Error, Result};
use crate::options::{Fault, Options};
use crate::packets::{self, kind, split_text};
use crate::poller::{Interest, Poller, Ready};
use std::collections::HashMap;
use std::net::TcpListener;

const LISTENER: usize = usize::MAX;
/// How often a fault happens.
const FAULT_EVERY: u64 = 1000;
/// What devices publish to, and the filters that take it all.
const DEVICES: &[u8] = b"load/dev/";
const ALL_DEVICES: &[u8] = b"load/dev/+/t";

struct Peer {
    connection: Connection,
    version: u8,
}

#[derive(Default)]
struct Routes {
    topics: HashMap<Vec<u8>, Vec<usize>>,
    devices: Vec<usize>,
    team: Vec<usize>,
    turn: usize,
}

struct Floor {
    peers: Vec<Option<Peer>>,
    routes: Routes,
    /// those who got something in this pass
    written_to: Vec<usize>,
    fault: Option<Fault>,
    passed: u64,
    /// a packet that is sent behind its successor
    held: Option<Vec<u8>>,
}

/// Serves until it is killed.
pub fn run(options: &Options) -> Result<()> {
    let listener = TcpListener::bind(options.address).map_err(Error::system("listening"))?;
    listener.set_nonblocking(true).map_err(Error::system("a socket's mode"))?;
    let mut poller = Poller::new()?;
    poller.add(&listener, Interest::Read, LISTENER)?;
    let mut floor = Floor {
        peers: Vec::new(),
        routes: Routes::default(),
        written_to: Vec::new(),
        fault: options.fault,
        passed: 0,
        held: None,
    };
    let (mut ready, mut scratch) = (Vec::new(), vec![0; READ_BYTES]);
    loop {
        poller.wait(None, &mut ready)?;
        for &one in &ready {
            if one.token == LISTENER {
                floor.accept(&listener, &poller)?;
            } else {
                floor.turn(one, &poller, &mut scratch)?;
            }
        }
        floor.flush(&poller)?;
    }
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener, poller: &Poller) -> Result<()> {
        while let Ok((socket, _)) = listener.accept() {
            let connection = Connection::accepted(socket)?;
            connection.watch(poller, Interest::ReadEdge, self.peers.len())?;
            self.peers.push(Some(Peer { connection, version: 4 }));
        }
        Ok(())
    }

    fn turn(&mut self, ready: Ready, poller: &Poller, scratch: &mut [u8]) -> Result<()> {
        let n = ready.token;
        let Some(Peer { mut connection, mut version }) = self.peers[n].take() else {
            return Ok(());
        };
        if ready.write && connection.blocked && connection.flush()? {
            connection.blocked = false;
            connection.rewatch(poller, Interest::ReadEdge, n)?;
        }
        if ready.read {
            let mut count = scratch.len();
            while count == scratch.len() {
                count = connection.read(scratch, |packet, out| {
                    self.packet(n, packet, out, &mut version);
                })?;
            }
        }
        if connection.waiting() > 0 {
            self.written_to.push(n);
        }
        if !connection.closed {
            self.peers[n] = Some(Peer { connection, version });
        }
        Ok(())
    }

    fn flush(&mut self, poller: &Poller) -> Result<()> {
        for n in self.written_to.drain(..) {
            let Some(Peer { connection, .. }) = &mut self.peers[n] else { continue };
            if !connection.blocked && connection.waiting() > 0 && !connection.flush()? {
                connection.blocked = true;
                connection.rewatch(poller, Interest::BothEdge, n)?;
            }
        }
        Ok(())
    }

    fn packet(&mut self, from: usize, packet: &[u8], out: &mut Vec<u8>, version: &mut u8) {
        match packet[0] >> 4 {
            kind::CONNECT => {
                *version = packets::body(packet).get(6).copied().unwrap_or(4);
                let connack: &[u8] = if *version == 5 { &[3, 0, 0, 0] } else { &[2, 0, 0] };
                out.push(kind::CONNACK << 4);
                out.extend_from_slice(connack);
            }
            kind::PUBLISH => {
                let Some(publish) = packets::publish(*version, packet) else { return };
                match publish.qos {
                    0 => {}
                    1 => packets::put_answer(out, kind::PUBACK, publish.id),
                    _ => packets::put_answer(out, kind::PUBREC, publish.id),
                }
                match self.fault {
                    None => self.forward(publish.topic, packet),
                    Some(fault) => self.forward_badly(fault, publish.topic, packet),
                }
            }
            kind::PUBREC => {
                packets::put_answer(out, kind::PUBREL, packets::answer(packet).0);
            }
            kind::PUBREL => {
                packets::put_answer(out, kind::PUBCOMP, packets::answer(packet).0);
            }
            kind::SUBSCRIBE => self.subscribe(from, packet, out, *version),
            kind::UNSUBSCRIBE => self.unsubscribe(from, packet, out, *version),
            kind::PINGREQ => out.extend_from_slice(&[0xd0, 0]),
            _ => {}
        }
    }

    fn forward(&mut self, topic: &[u8], packet: &[u8]) {
        let Self { peers, routes, written_to, .. } = self;
        let mut give = |n: usize| {
            let Some(Peer { connection, .. }) = &mut peers[n] else { return };
            if connection.waiting() == 0 {
                written_to.push(n);
            }
            connection.output.extend_from_slice(packet);
        };
        if let Some(receivers) = routes.topics.get(topic) {
            receivers.iter().for_each(|&n| give(n));
        }
        if topic.starts_with(DEVICES) {
            routes.devices.iter().for_each(|&n| give(n));
            if !routes.team.is_empty() {
                routes.turn = (routes.turn + 1) % routes.team.len();
                give(routes.team[routes.turn]);
            }
        }
    }

    fn forward_badly(&mut self, fault: Fault, topic: &[u8], packet: &[u8]) {
        self.passed += 1;
        let due = self.passed.is_multiple_of(FAULT_EVERY);
        match fault {
            Fault::Drop if due => {}
            Fault::Repeat if due => {
                self.forward(topic, packet);
                self.forward(topic, packet);
            }
            Fault::Swap if due => self.held = Some(packet.to_vec()),
            Fault::Garble if due => {
                let mut packet = packet.to_vec();
                packet.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1);
                self.forward(topic, &packet);
            }
            _ => {
                self.forward(topic, packet);
                if let Some(held) = self.held.take() {
                    self.forward(topic, &held);
                }
            }
        }
    }

    fn subscribe(&mut self, from: usize, packet: &[u8], out: &mut Vec<u8>, version: u8) {
        let Some((id, mut rest)) = request(packet, version) else { return };
        let mut codes = Vec::new();
        while let Some((filter, [qos, behind @ ..])) = split_text(rest) {
            rest = behind;
            codes.push(*qos);
            if filter == ALL_DEVICES {
                self.routes.devices.push(from);
            } else if filter.starts_with(b"$share/") {
                self.routes.team.push(from);
            } else {
                self.routes.topics.entry(filter.to_vec()).or_default().push(from);
            }
        }
        answer(out, kind::SUBACK, id, version, &codes);
    }

    fn unsubscribe(&mut self, from: usize, packet: &[u8], out: &mut Vec<u8>, version: u8) {
        let Some((id, mut rest)) = request(packet, version) else { return };
        let mut codes = Vec::new();
        while let Some((filter, behind)) = split_text(rest) {
            rest = behind;
            codes.extend((version == 5).then_some(0));
            if let Some(receivers) = self.routes.topics.get_mut(filter) {
                receivers.retain(|&n| n != from);
                if receivers.is_empty() {
                    self.routes.topics.remove(filter);
                }
            }
        }
        answer(out, kind::UNSUBACK, id, version, &codes);
    }
}

/// The packet identifier, and what follows the (empty) properties.
fn request(packet: &[u8], version: u8) -> Option<([u8; 2], &[u8])> {
    let (id, rest) = packets::body(packet).split_first_chunk::<2>()?;
    Some((*id, rest.get(usize::from(version == 5)..)?))
}

fn answer(out: &mut Vec<u8>, kind: u8, id: [u8; 2], version: u8, codes: &[u8]) {
    out.push(kind << 4);
    packets::put_varint(out, 2 + usize::from(version == 5) + codes.len());
    out.extend_from_slice(&id);
    out.extend((version == 5).then_some(0));
    out.extend_from_slice(codes);
}
