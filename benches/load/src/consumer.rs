//! The owner of a persistent session, come back to take what waits for it. Uses what is below
//! `main`; acknowledgements may be held back, so that it can be as slow as one likes.

use crate::connection::{Client, Connection};
use crate::error::Result;
use crate::layers::Recipe;
use crate::ledger::Ledger;
use crate::options::Options;
use crate::packets::{self, Template, kind};
use crate::poller::{Interest, Poller, Ready};
use crate::sources::{FILTER, topic};
use crate::stream::Stream;
use crate::tally::Tally;
use std::collections::VecDeque;

/// Makes the session, forgets what it was before, and leaves.
pub fn prepare(options: &Options, recipe: &Recipe, qos: u8) -> Result<()> {
    let id = options.client_id.clone();
    Connection::open(options, recipe, &Client::new(id.clone()))?.disconnect()?;
    if options.nobody {
        return Ok(());
    }
    let filters = [FILTER.to_owned()];
    let client = Client { id, clean: false, kept: true, filters: &filters, qos };
    Connection::open(options, recipe, &client)?.disconnect()
}

/// The session's owner, connected.
pub struct Consumer {
    connection: Connection,
    token: usize,
    version: u8,
    templates: Vec<Template>,
    /// what came of each publisher
    pub streams: Vec<Stream>,
    /// whether it is what was sent
    pub tally: Tally,
    /// answers that are held back
    held: VecDeque<(u8, u16)>,
}

impl Consumer {
    /// Connects again.
    pub fn open(
        options: &Options,
        recipe: &Recipe,
        ledger: &Ledger,
        poller: &Poller,
        token: usize,
    ) -> Result<Self> {
        let (version, qos) = (options.version, ledger.qos);
        let id = options.client_id.clone();
        let client = Client { id, clean: false, kept: true, filters: &[], qos };
        let connection = Connection::open(options, recipe, &client)?;
        connection.watch(poller, Interest::Read, token)?;
        let count = ledger.accounts.len();
        let template =
            |n| Template::new(version, &topic(n), qos, false, ledger.payload_bytes, n as u32);
        let mut consumer = Self {
            connection,
            token,
            version,
            templates: (0..count).map(template).collect(),
            streams: vec![Stream::default(); count],
            tally: Tally::new(),
            held: VecDeque::new(),
        };
        // What came right behind CONNACK.
        consumer.take(0, None)?;
        Ok(consumer)
    }

    /// Whether the broker had the session.
    pub fn session_present(&self) -> bool {
        self.connection.session_present
    }

    /// Whether the connection has ended.
    pub fn is_gone(&self) -> bool {
        self.connection.closed
    }

    /// Handles what the socket has to say; true if there were packets.
    pub fn serve(
        &mut self,
        ready: Ready,
        now_ns: u64,
        poller: &Poller,
        scratch: &mut [u8],
    ) -> Result<bool> {
        if ready.write {
            self.connection.unblock(poller, self.token)?;
        }
        Ok(ready.read && self.take(now_ns, Some(scratch))?)
    }

    fn take(&mut self, now_ns: u64, scratch: Option<&mut [u8]>) -> Result<bool> {
        let Self { version, templates, streams, tally, held, .. } = self;
        let mut any = false;
        let on_packet = |packet: &[u8], _: &mut Vec<u8>| {
            any = true;
            match packet[0] >> 4 {
                kind::PUBREL => {
                    return held.push_back((kind::PUBCOMP, packets::answer(packet).0));
                }
                kind::PUBLISH => {}
                _ => return tally.wrong(),
            }
            let Some(publish) = packets::publish(*version, packet) else { return tally.wrong() };
            match publish.qos {
                0 => {}
                1 => held.push_back((kind::PUBACK, publish.id)),
                _ => held.push_back((kind::PUBREC, publish.id)),
            }
            let Some(head) = tally.head(publish.payload, templates) else { return };
            let n = head.from as usize;
            if publish.topic != topic(n).as_bytes() {
                tally.wrong();
            }
            tally.arrive(&mut streams[n], head, now_ns, true);
        };
        match scratch {
            Some(scratch) => {
                self.connection.read(scratch, on_packet)?;
            }
            None => self.connection.packets(on_packet)?,
        }
        Ok(any)
    }

    /// Sends up to `count` of the answers that are held back; how many messages they acknowledged.
    pub fn release(&mut self, count: u64, poller: &Poller) -> Result<u64> {
        let mut released = 0;
        while released < count {
            let Some((kind, id)) = self.held.pop_front() else { break };
            packets::put_answer(&mut self.connection.output, kind, id);
            released += u64::from(kind != kind::PUBCOMP);
        }
        if self.connection.waiting() > 0 {
            self.connection.send(poller, self.token)?;
        }
        Ok(released)
    }
}
