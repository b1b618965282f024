//! Giving memory back: tables that are much emptier than they once had to be become smaller.
//!
//! Nothing here is on the way of a message: the server asks for it ([`super::Input::Shrink`]) when
//! things are quiet after many connections have ended. Invariant: what a key or a number names
//! stays where it is; only places behind the last one in use go, and keys of what stood there find
//! nothing, since generations are never given out twice.

use std::collections::VecDeque;

use slab::Slab;

use super::{Broker, InterestIndex, InterestTree};

/// Tables of at most so many places are not worth a copy.
const KEPT_MAX: usize = 16;

/// Whether a table with room for `capacity` is so empty that it is to be made smaller. At a
/// quarter: what comes and goes in turn does not make it grow and shrink.
pub(crate) fn is_sparse(len: usize, capacity: usize) -> bool {
    capacity > KEPT_MAX && len < capacity / 4
}

/// For lists whose memory is kept from use to use.
pub(crate) fn shrink_list<T>(list: &mut Vec<T>) {
    if is_sparse(list.len(), list.capacity()) {
        list.shrink_to(list.len() * 2);
    }
}

/// The same for queues.
pub(crate) fn shrink_queue<T>(queue: &mut VecDeque<T>) {
    if is_sparse(queue.len(), queue.capacity()) {
        queue.shrink_to(queue.len() * 2);
    }
}

/// For slabs; values stay where they are, so the last one says how far it goes.
pub(crate) fn shrink_slab<T>(slab: &mut Slab<T>) {
    if is_sparse(slab.len(), slab.capacity()) {
        slab.shrink_to_fit();
    }
}

impl Broker {
    /// Makes everything smaller that grows with the number of clients.
    pub(super) fn on_shrink(&mut self, index: &mut impl InterestIndex) {
        self.links.shrink();
        self.sessions.shrink();
        self.gate.waits.shrink();
        if is_sparse(self.by_client_id.len(), self.by_client_id.capacity()) {
            let (sessions, hasher) = (&self.sessions, &self.hasher);
            let len = self.by_client_id.len();
            self.by_client_id
                .shrink_to(len * 2, |key| super::hash_of_session(sessions, hasher, *key));
        }
        self.subscriptions.shrink();
        self.rules.shrink();
        index.write(InterestTree::shrink); // every shard asks, who finds it done has little to do
        self.drop_stale_timers();
        self.timers.shrink();
        self.receipts_due.iter_mut().for_each(shrink_queue);
        shrink_queue(&mut self.work);
        shrink_list(&mut self.gate.links);
        shrink_list(&mut self.paused);
        shrink_list(&mut self.batch);
        self.spent = super::Spent::default();
        self.block = super::plain::Block::default();
        shrink_list(&mut self.scratch);
        shrink_list(&mut self.encoded);
    }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;
    use crate::broker::{
        Arena, Commons, Effects, Input, Limits, LinkKey, Opening, RetainedTree, ShardId, Time,
    };
    use crate::codec::{Framed, Packet, Sender, Version, decode, frame};

    #[test]
    fn only_what_is_much_emptier_than_it_was_shrinks() {
        let mut list: Vec<u32> = (0..1000).collect();
        list.truncate(300);
        shrink_list(&mut list);
        assert!(list.capacity() >= 1000);
        list.truncate(100);
        shrink_list(&mut list);
        assert!((100..=250).contains(&list.capacity()), "{}", list.capacity());
        let mut queue: VecDeque<u32> = (0..1000).collect();
        queue.truncate(1);
        shrink_queue(&mut queue);
        assert!(queue.capacity() < 10 && queue[0] == 0);
    }

    /// A slot that went and came again has another occupant, whom the old key does not name.
    #[test]
    fn slots_behind_the_last_in_use_go_and_old_keys_name_nothing() {
        let mut arena = Arena::default();
        let old: Vec<_> = (0..100).map(|n| arena.insert(n)).collect();
        for key in &old[4..] {
            arena.remove(*key);
        }
        arena.remove(old[1]);
        arena.shrink();
        assert!(arena.capacity() < 10, "{}", arena.capacity());
        assert_eq!([0, 2, 3].map(|n| arena.get(old[n]).copied()), [Some(0), Some(2), Some(3)]);
        let new: Vec<_> = (0..100).map(|n| arena.insert(1000 + n)).collect();
        assert!(new.iter().any(|key| key.index() == old[50].index()), "the slot is there again");
        assert!(old[4..].iter().chain([&old[1]]).all(|key| arena.get(*key).is_none()));
        assert!(new.iter().zip(1000..).all(|(key, n)| arena.get(*key) == Some(&n)));
    }

    type Both = Commons<RetainedTree, InterestTree>;

    fn broker() -> (Broker, Both, Effects) {
        let broker = Broker::new(ShardId(0), 1, 7, Limits::default());
        let (retained, interests) = (RetainedTree::new(0, 0), InterestTree::new(7));
        (broker, Commons { retained, interests }, Effects::default())
    }

    /// CONNECT of MQTT 3.1.1 with Clean Session and the longest Keep Alive.
    fn connect(client_id: &str) -> Vec<u8> {
        let mut bytes = b"\x10\0\0\x04MQTT\x04\x02\xff\xff\0".to_vec();
        bytes.push(client_id.len() as u8);
        bytes.extend(client_id.as_bytes());
        bytes[1] = bytes.len() as u8 - 2;
        bytes
    }

    fn open(link: LinkKey, client_id: &str, all: &mut (Broker, Both, Effects)) {
        let bytes = connect(client_id);
        let Ok(Framed::Whole(whole)) = frame(&bytes, 1000) else { panic!() };
        let Ok(Packet::Connect(connect)) = decode(whole, Sender::Client, Version::V5) else {
            panic!()
        };
        let opening = Opening {
            connect: &connect,
            client_id,
            assigned: false,
            safety: None,
            identity: &std::sync::Arc::default(),
            ends: Time::NEVER,
            authentication: None,
        };
        all.0.handle(Time(0), Input::Opened(link, opening), &mut all.1, &mut all.2);
    }

    /// What a crowd needed is given back, and who is left is served as before.
    #[test]
    fn a_broker_that_had_a_crowd_is_small_again() {
        let mut all = broker();
        let links: Vec<_> = (0..2_000).map(|n| LinkKey::new(n, n + 1)).collect();
        for link in &links {
            open(*link, &format!("c{}", link.index()), &mut all);
        }
        for link in &links[3..] {
            all.0.handle(Time(1), Input::Closed(*link), &mut all.1, &mut all.2);
        }
        assert!(all.0.timers.len() >= 2_000);
        all.0.handle(Time(2), Input::Shrink, &mut all.1, &mut all.2);
        all.0.check_invariants();
        let broker = &all.0;
        for (what, room) in [
            ("sessions", broker.sessions.capacity()),
            ("names", broker.by_client_id.capacity()),
            ("links", broker.links.capacity()),
        ] {
            assert!(room < 20, "{what}: {room}");
        }
        assert_eq!(broker.timers.len(), 3 + 1, "Keep Alives and the sweep");
        assert_eq!(broker.counters().links, 3);
        all.0.handle(Time(3), Input::Packet(links[9], Packet::PingReq), &mut all.1, &mut all.2);
        assert_eq!(all.0.counters().stale_inputs, 1);
        let before = all.2.sends.backlog(links[2]);
        all.0.handle(Time(3), Input::Packet(links[2], Packet::PingReq), &mut all.1, &mut all.2);
        assert_eq!(all.2.sends.backlog(links[2]), before + 2, "PINGRESP");
    }

    /// A timer waits for as long as its Keep Alive, up to 27 hours; connections come and go by the
    /// thousand.
    #[test]
    fn a_storm_of_connections_leaves_no_timers_behind() {
        let mut all = broker();
        for n in 0..20_000 {
            let link = LinkKey::new(0, n + 1);
            open(link, "storm", &mut all);
            all.0.handle(Time(1), Input::Closed(link), &mut all.1, &mut all.2);
        }
        all.0.handle(all.0.next_deadline(), Input::Tick, &mut all.1, &mut all.2);
        assert_eq!(all.0.timers.len(), 1, "the sweep");
    }

    /// What only a mistaken server hands in harms nobody.
    #[test]
    fn answers_that_nobody_waits_for_are_counted_and_ignored() {
        let mut all = broker();
        let link = LinkKey::new(0, 1);
        open(link, "c", &mut all);
        let session = all.0.find_session("c").expect("it is there");
        all.0.handle(
            Time(1),
            Input::Answer(link, crate::broker::Answer::Allowed(false)),
            &mut all.1,
            &mut all.2,
        );
        all.0.handle(Time(1), Input::Loaded(session, Box::default()), &mut all.1, &mut all.2);
        assert_eq!((all.0.counters().stale_inputs, all.0.counters().links), (2, 1));
        // A packet that no client sends is the end of its link.
        all.0.handle(Time(1), Input::Packet(link, Packet::PingResp), &mut all.1, &mut all.2);
        assert_eq!(all.0.counters().links, 0);
    }
}
