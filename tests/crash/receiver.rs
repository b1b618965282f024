//! Those who receive, each with a session that stays and manners of its own.
//!
//! Invariant: what a client has to remember of QoS 2 it remembers over connections, so that a
//! message that was sent again under its Packet Identifier is none that came twice.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use stonechat::codec::{Connect, Disconnect, Packet, QoS, Version};

use super::ledger::{Arrival, Diary, END, read};
use super::stage::{Act, Link, Over, Stage};
use crate::support::Random;
use crate::support::client::{Got, Heard, ack, persistent, subscribe};

/// How a receiver behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    /// always there
    Steady,
    /// there, but keeps the broker waiting for its acknowledgements
    Slow,
    /// comes, takes some and goes, in order or not
    Coming,
    /// comes when everything is over
    Away,
    /// subscribes when much has been published already
    Late,
}

pub(crate) struct Receiver {
    pub(crate) name: &'static str,
    pub(crate) version: Version,
    pub(crate) filters: &'static [(&'static str, QoS)],
    pub(crate) manner: Manner,
}

/// Why a connection is over.
#[derive(PartialEq, Eq)]
enum Ended {
    Died,
    Left,
    Finished,
}

struct Run<'a> {
    stage: &'a Stage,
    receiver: &'a Receiver,
    diary: &'a mut Diary,
    random: Random,
    /// QoS 2 messages whose PUBREL has not come
    known: BTreeMap<u16, Arrival>,
    /// acknowledgements that are not sent yet
    held: Vec<Got>,
    /// messages that ended it all, so far
    ends: usize,
}

impl Receiver {
    /// A diary without entries.
    pub(crate) fn diary(&self) -> Diary {
        let filters = self.filters.iter().copied().chain([(END, QoS::ExactlyOnce)]);
        let filters = filters.map(|(filter, qos)| (filter, qos, 0)).collect();
        Diary { name: self.name, filters, arrivals: Vec::new() }
    }

    pub(crate) fn play(&self, seed: u64, stage: &Stage, diary: &mut Diary) -> Result<(), Over> {
        let (random, known, held) = (Random(seed), BTreeMap::new(), Vec::new());
        let mut run = Run { stage, receiver: self, diary, random, known, held, ends: 0 };
        let mut link = run.subscribe()?;
        if self.manner == Manner::Away {
            run.leave(link);
            stage.wait("the end", |state| (state.act >= Act::Draining).then_some(()))?;
            link = run.connect(0)?;
        }
        run.take_until(link, 1)?;
        stage.change(|state| state.done += 1);
        stage.wait("the last act", |state| (state.act >= Act::Epilogue).then_some(()))?;
        let link = run.connect(0)?;
        run.take_until(link, 2)?;
        // Everything is acknowledged, and the broker was told so in order.
        let mut link = run.connect(0)?;
        link.client.try_send(&Packet::PingReq);
        assert_eq!(link.client.hear(), Heard::PingResp, "all was acknowledged");
        assert!(run.known.is_empty());
        link.client.disconnect();
        stage.change(|state| state.done += 1);
        Ok(())
    }

    fn connect(&self) -> Connect<'static> {
        let receive_maximum = match self.manner {
            Manner::Slow => NonZeroU16::new(4).unwrap(),
            _ => NonZeroU16::MAX,
        };
        Connect { receive_maximum, ..persistent(self.version, self.name) }
    }

    /// How many acknowledgements it holds back at most.
    fn held_max(&self) -> usize {
        match self.manner {
            Manner::Slow => 3,
            Manner::Coming => 5,
            _ => 0,
        }
    }
}

impl Run<'_> {
    /// A link to a session that is there.
    fn connect(&mut self, after: u64) -> Result<Link, Over> {
        let link = self.stage.connect(after, || self.receiver.connect())?;
        assert!(link.present, "the session is gone");
        self.held.clear();
        Ok(link)
    }

    /// Makes all subscriptions, however often the broker dies meanwhile.
    fn subscribe(&mut self) -> Result<Link, Over> {
        if self.receiver.manner == Manner::Late {
            self.stage.wait("some traffic", |state| (state.acknowledged >= 300).then_some(()))?;
        }
        let mut link = self.stage.connect(0, || self.receiver.connect())?;
        for n in 0..self.diary.filters.len() {
            while !self.subscribe_one(n, &mut link) {
                link = self.connect(link.life)?;
            }
            self.diary.filters[n].2 = self.stage.tick();
        }
        self.stage.change(|state| state.subscribed += 1);
        Ok(link)
    }

    fn subscribe_one(&mut self, n: usize, link: &mut Link) -> bool {
        let (filter, qos, _) = self.diary.filters[n];
        link.client.try_send(&subscribe(filter, qos, 1));
        loop {
            match link.client.hear() {
                Heard::SubAck(granted) => {
                    assert_eq!(granted, [qos as u8]);
                    return true;
                }
                Heard::End => return false,
                heard => self.on_heard(heard, link),
            }
        }
    }

    /// Takes messages until the `end`th message that ends it all, over as many links as it needs.
    fn take_until(&mut self, mut link: Link, ends: usize) -> Result<(), Over> {
        loop {
            match self.talk(&mut link, ends)? {
                Ended::Died => link = self.connect(link.life)?,
                Ended::Left => {
                    let life = link.life;
                    if self.random.below(2) == 0 {
                        self.leave(link);
                    } else {
                        drop(link);
                    }
                    self.stay_away()?;
                    link = self.connect(life - 1)?;
                }
                Ended::Finished => {
                    self.leave(link);
                    return Ok(());
                }
            }
        }
    }

    fn talk(&mut self, link: &mut Link, ends: usize) -> Result<Ended, Over> {
        let mut left = match self.receiver.manner {
            Manner::Coming if self.stage.act() < Act::Draining => 20 + self.random.below(200),
            _ => usize::MAX,
        };
        loop {
            if self.ends >= ends {
                self.acknowledge(link);
                if self.known.is_empty() {
                    return Ok(Ended::Finished);
                }
            }
            match link.client.hear() {
                Heard::End => return Ok(Ended::Died),
                heard => self.on_heard(heard, link),
            }
            left -= 1;
            if left == 0 {
                return Ok(Ended::Left);
            }
            if self.held.len() > self.receiver.held_max() {
                if self.receiver.manner == Manner::Slow && !self.dawdle(link.life)? {
                    return Ok(Ended::Died);
                }
                self.acknowledge(link);
            }
        }
    }

    fn on_heard(&mut self, heard: Heard, link: &mut Link) {
        match heard {
            Heard::Publish(got) => self.on_publish(got),
            Heard::PubRel(id) => {
                self.known.remove(&id);
                link.client.try_send(&Packet::PubComp(ack(id)));
            }
            other => panic!("heard {other:?}"),
        }
    }

    fn on_publish(&mut self, got: Got) {
        let arrival = read(&got);
        let is_new = match got.qos {
            QoS::ExactlyOnce => match self.known.insert(got.id, arrival.clone()) {
                None => true,
                Some(before) => {
                    assert_eq!(before, arrival, "Packet Identifier {} is in use", got.id);
                    false
                }
            },
            _ => true,
        };
        if is_new {
            let serials = self.diary.arrivals.iter().filter(|a| a.from == END);
            if arrival.from == END && serials.into_iter().all(|a| *a != arrival) {
                self.ends += 1;
            }
            self.diary.arrivals.push(arrival);
            self.stage.count(|state| state.arrived += 1);
        }
        self.held.push(got);
    }

    fn acknowledge(&mut self, link: &mut Link) {
        for got in self.held.drain(..) {
            match got.qos {
                QoS::AtMostOnce => {}
                QoS::AtLeastOnce => link.client.try_send(&Packet::PubAck(ack(got.id))),
                QoS::ExactlyOnce => link.client.try_send(&Packet::PubRec(ack(got.id))),
            }
        }
    }

    /// Says DISCONNECT. What arrives behind it is nobody's business: it will come again.
    fn leave(&mut self, mut link: Link) {
        link.client.try_send(&Packet::Disconnect(Disconnect::default()));
        while link.client.hear() != Heard::End {}
    }

    /// Does not come back before others have got further.
    fn stay_away(&mut self) -> Result<(), Over> {
        let more = self.random.below(300) as u64;
        let until = self.stage.wait("nothing", |state| Some(state.acknowledged + more))?;
        self.stage.wait("others", |state| {
            (state.acknowledged >= until || state.act >= Act::Closing).then_some(())
        })
    }

    fn dawdle(&mut self, life: u64) -> Result<bool, Over> {
        let more = self.random.below(60) as u64;
        let until = self.stage.wait("nothing", |state| Some(state.acknowledged + more))?;
        self.stage.wait_in_life(life, "others", |state| {
            (state.acknowledged >= until || state.act >= Act::Closing).then_some(())
        })
    }
}
