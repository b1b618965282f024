//! Bits that flip in a log that was closed: at the end of a run, for there is no going on as if
//! nothing were lost. What the judge demands: nothing is invented, what is there is as it was
//! handed in, what is gone is named by the recovery; and a broker can start with the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stonechat::broker::{Commons, Input, InterestTree, Limits, RetainedTree, Time};
use stonechat::store::{Damage, LogOptions, OnDamage, OpenError};

use super::disk::SimDisk;
use super::engine::{Engine, open_log};
use super::fold::{Fold, Kept};
use super::shadow::{Shadow, serial_of};
use super::world::new_shard;

type Files = BTreeMap<String, Vec<u8>>;

impl Engine {
    /// In some runs. `files` are those of the closed log, whose content is what was found last.
    pub fn spoil(&mut self, mut files: Files, now: Time, limits: &Limits, shadow: &Shadow) {
        if !self.rng.percent(40) {
            return;
        }
        let truth = self.found().clone();
        let newest = files.iter().filter(|(_, bytes)| bytes.len() > 64 && used(bytes) > 64);
        let newest = newest.map(|(name, _)| name.clone()).max().unwrap_or_default();
        let mut in_newest = false;
        for _ in 0..self.rng.range(1, 4) {
            let at = self.rng.below(files.len());
            let (name, bytes) = files.iter_mut().nth(at).expect("there is one");
            in_newest |= *name >= newest;
            let place = self.rng.below(used(bytes).max(1));
            bytes[place] ^= 1 << self.rng.below(8);
        }
        let disk = Arc::new(SimDisk::of(&files));
        let refuse = LogOptions { on_damage: OnDamage::Refuse, ..self.options };
        let damage = match open_log(&disk, &refuse, now) {
            Ok(_) => Damage::default(),
            Err(OpenError::Damaged(damage)) => *damage,
            // The one that says which log it is.
            Err(_) => return,
        };
        assert_eq!(damage.is_empty(), damage.lines().is_empty());
        self.disk = Arc::new(SimDisk::of(&files));
        let keep_rest = LogOptions { on_damage: OnDamage::KeepRest, ..self.options };
        let opened = open_log(&self.disk, &keep_rest, now).unwrap();
        assert_eq!(opened.2.damage, damage);
        // Without damage only the end of the log may be missing, as if it had been torn.
        let may_miss = !damage.is_empty() || in_newest && !opened.2.end.closed;
        self.begin(opened, now);
        self.met.damaged += u64::from(!damage.is_empty());
        self.met.missing += check(&truth, self.found(), &damage, may_miss, shadow);
        self.start_broker(now, limits);
        // It is known from now on, and no damage any more.
        self.disk = Arc::new(self.disk.power_loss(|_| 0));
        let found = self.found().clone();
        let opened = open_log(&self.disk, &refuse, now).unwrap();
        self.begin(opened, now);
        check(&found, self.found(), &Damage::default(), false, shadow);
    }

    /// A broker takes what is left, and reads all queues.
    fn start_broker(&mut self, now: Time, limits: &Limits) {
        let mut shard = new_shard(0, 1, 1, limits);
        shard.broker.start_numbers_above(self.found().highest);
        let mut common = Commons {
            retained: RetainedTree::new(10_000, 10 << 20),
            interests: InterestTree::new(7),
        };
        let numbers: Vec<_> = self.found().sessions.keys().copied().collect();
        for number in numbers {
            let session = self.session(number);
            shard.broker.restore(now, session, &mut common, &mut shard.fx);
        }
        shard.broker.handle(now, Input::Restored, &mut common, &mut shard.fx);
        for _ in 0..50 {
            shard.broker.handle(now, Input::Tick, &mut common, &mut shard.fx);
            for request in std::mem::take(&mut shard.fx.requests) {
                self.load(&request);
            }
        }
        shard.broker.check_invariants();
    }
}

fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1)
}

fn check(truth: &Fold, found: &Fold, damage: &Damage, may_miss: bool, shadow: &Shadow) -> u64 {
    let mut all = 0;
    let none = Kept::default();
    let numbers = truth.sessions.keys().chain(found.sessions.keys());
    for number in numbers.collect::<BTreeSet<_>>() {
        let there = found.sessions.get(number);
        let (was, is) = (truth.sessions.get(number).unwrap_or(&none), there.unwrap_or(&none));
        let missing = was.entries.keys().filter(|order| !is.entries.contains_key(order)).count();
        all += missing as u64;
        // What ended it may be what is gone: then it is there once more.
        let new = is.entries.keys().any(|order| !was.entries.contains_key(order));
        let same = was.filters == is.filters && was.inbound == is.inbound;
        let same = same
            && was.client_id == is.client_id
            && was.owner == is.owner
            && was.expiry_s == is.expiry_s;
        assert!(same && !new && missing == 0 || may_miss, "{number:?}: {was:?}, now {is:?}");
        let loss = damage.sessions.iter().find(|loss| loss.session == number.0);
        let holes = damage.holes.len() + damage.missing_segments.len() + damage.bad_headers.len();
        let silent = missing > 0 && loss.is_none() && holes == 0 && !damage.is_empty();
        assert!(!silent, "{number:?} misses {missing}: {damage}");
    }
    for (topic, (_, message)) in &found.retained {
        let serial = message.as_ref().and_then(|message| serial_of(message.payload()));
        let of = serial.and_then(|serial| shadow.msgs.get(serial)).map(|m| m.topic);
        assert_eq!(of, Some(topic.as_str()), "retained on {topic}: {message:?}");
    }
    for (topic, (_, was)) in &truth.retained {
        let is = found.retained.get(topic).and_then(|(_, is)| is.as_ref());
        let same = was.as_ref().map(|m| m.payload()) == is.map(|m| m.payload());
        assert!(same || may_miss, "retained on {topic}: {was:?}, now {is:?}");
    }
    all
}
