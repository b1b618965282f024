//! The play: who is in it, when the broker is killed, and what is demanded at the end.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use stonechat::codec::{Packet, QoS, Version};

use super::ledger::{Diary, END, Ledger, Sent, payload, read};
use super::publisher::{Publisher, Testator};
use super::receiver::{Manner, Receiver};
use super::stage::{Act, Over, Stage, open};
use crate::support::Random;
use crate::support::broker::{Broker, Scratch, Setup};
use crate::support::client::{Heard, connect, subscribe};

const Q1: QoS = QoS::AtLeastOnce;
const Q2: QoS = QoS::ExactlyOnce;

const RECEIVERS: &[Receiver] = &[
    receiver("steady", Version::V5, &[("#", Q2)], Manner::Steady),
    receiver("steady-3", Version::V311, &[("a/#", Q1), ("r/#", Q2)], Manner::Steady),
    receiver("slow", Version::V5, &[("a/one/+", Q2)], Manner::Slow),
    receiver("slow-3", Version::V311, &[("r/#", Q1)], Manner::Slow),
    receiver("coming", Version::V5, &[("a/two/+", Q2), ("+/one/2", Q2)], Manner::Coming),
    receiver("coming-3", Version::V311, &[("+/three/#", Q2)], Manner::Coming),
    receiver("away", Version::V5, &[("#", Q2)], Manner::Away),
    receiver("away-3", Version::V311, &[("a/#", Q1), ("w/#", Q1)], Manner::Away),
    receiver("late", Version::V5, &[("a/three/#", Q2)], Manner::Late),
    receiver("member", Version::V5, &[("$share/g/s/#", Q2)], Manner::Steady),
    receiver("member-3", Version::V311, &[("$share/g/s/#", Q2)], Manner::Coming),
    receiver("member-away", Version::V5, &[("$share/g/s/#", Q2)], Manner::Away),
];

const fn receiver(
    name: &'static str,
    version: Version,
    filters: &'static [(&'static str, QoS)],
    manner: Manner,
) -> Receiver {
    Receiver { name, version, filters, manner }
}

const PUBLISHERS: &[(&str, Version, usize)] = &[
    ("one", Version::V5, 8),
    ("two", Version::V311, 16),
    ("three", Version::V5, 32),
    ("four", Version::V311, 1),
    ("five", Version::V5, 200),
];

const TESTATORS: &[Testator] = &[
    Testator { name: "will", version: Version::V5, delayed: false },
    Testator { name: "will-3", version: Version::V311, delayed: false },
    Testator { name: "delayed", version: Version::V5, delayed: true },
];

/// How the broker's number of shards goes on from life to life.
#[derive(Clone, Copy)]
pub(crate) enum Shards {
    Always(usize),
    /// 1 to 3, another one each time
    Changing,
}

/// How a run is made.
pub(crate) struct Play<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) shards: Shards,
    /// more settings
    pub(crate) settings: &'a str,
    /// what happens to the directory while the broker is dead
    pub(crate) power: &'a dyn Fn(&mut Random),
}

struct Director<'a> {
    play: &'a Play<'a>,
    stage: &'a Stage,
    ledger: &'a Ledger,
    random: Random,
    broker: Option<Broker>,
    lives: usize,
}

pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// Files of the log so short that it begins a new one all the time, and gives old ones back.
pub(crate) const SHORT_FILES: &str = "store.segment_bytes = 65536";

/// Runs the play in a directory of its own.
pub(crate) fn run_in_scratch(shards: Shards, settings: &str) {
    let scratch = Scratch::new();
    run(&Play { directory: scratch.path(), shards, settings, power: &|_| {} });
}

pub(crate) fn run(play: &Play<'_>) {
    let drawn = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = number("STONECHAT_CRASH_SEED", drawn.as_nanos() as u64 % 1_000_000);
    let kills = number("STONECHAT_KILLS", 10) as usize;
    println!("STONECHAT_CRASH_SEED={seed} STONECHAT_KILLS={kills}");
    let (stage, ledger) = (Stage::new(), Ledger::default());
    let mut diaries: Vec<Diary> = RECEIVERS.iter().map(Receiver::diary).collect();
    let random = Random(seed);
    let (stage_, ledger_) = (&stage, &ledger);
    std::thread::scope(|scope| {
        for (n, &(name, version, window)) in PUBLISHERS.iter().enumerate() {
            let publisher = Publisher { name, version, window, seed: seed + n as u64 };
            scope.spawn(move || stage_.play(name, || publisher.play(stage_, ledger_)));
        }
        for testator in TESTATORS {
            scope.spawn(move || stage_.play(testator.name, || testator.play(stage_, ledger_)));
        }
        for (n, (receiver, diary)) in RECEIVERS.iter().zip(&mut diaries).enumerate() {
            let seed = seed + 100 + n as u64;
            let part = move || receiver.play(seed, stage_, diary);
            scope.spawn(move || stage_.play(receiver.name, part));
        }
        let (broker, lives) = (None, 0);
        let mut director = Director { play, stage: stage_, ledger: ledger_, random, broker, lives };
        stage.play("director", || director.direct(kills));
        stage.down();
        match director.broker.take() {
            Some(broker) if stage.fault().is_none() => broker.stop(),
            Some(broker) => {
                let log = broker.log.all();
                eprintln!("{}", log[log.len().saturating_sub(30)..].join("\n"));
            }
            None => {}
        }
    });
    judge(&stage, &ledger, &diaries, seed);
}

fn judge(stage: &Stage, ledger: &Ledger, diaries: &[Diary], seed: u64) {
    let mut wrong: Vec<String> = stage.fault().into_iter().collect();
    if wrong.is_empty() {
        for diary in diaries {
            ledger.judge(diary, &mut wrong);
        }
        let members: Vec<&Diary> = diaries.iter().filter(|diary| diary.is_member()).collect();
        ledger.judge_group(&members, &mut wrong);
    }
    let acknowledged = stage.change(|state| state.acknowledged);
    let arrived: usize = diaries.iter().map(|diary| diary.arrivals.len()).sum();
    println!("{acknowledged} acknowledged, {arrived} arrived");
    let many = wrong.len();
    wrong.truncate(40);
    assert!(many == 0, "seed {seed}, {many} faults:\n{}", wrong.join("\n"));
}

impl Director<'_> {
    fn direct(&mut self, kills: usize) -> Result<(), Over> {
        self.start();
        let early = RECEIVERS.iter().filter(|r| r.manner != Manner::Late).count();
        let (publishers, wills) = (PUBLISHERS.len(), TESTATORS.len());
        self.stage.wait("all to be there", |state| {
            (state.subscribed == early && state.done == publishers + wills).then_some(())
        })?;
        self.act(Act::Publishing);
        // The last fifth of the kills is for those who take what is left.
        for _ in 0..kills - kills / 5 {
            let more = 1 + self.random.below(1500) as u64;
            self.after_acknowledged(more)?;
            self.kill_and_start()?;
        }
        self.after_acknowledged(300)?;
        self.stage.wait("the late", |state| (state.subscribed == RECEIVERS.len()).then_some(()))?;
        self.act(Act::Closing);
        self.all_done(publishers + wills)?;
        self.act(Act::Draining);
        self.publish_end()?;
        for _ in 0..kills / 5 {
            let more = 1 + self.random.below(1500) as u64;
            let until = self.stage.change(|state| state.arrived) + more;
            self.stage.wait("arrivals", |state| {
                (state.arrived >= until || state.done == RECEIVERS.len()).then_some(())
            })?;
            self.kill_and_start()?;
        }
        self.all_done(RECEIVERS.len())?;
        self.act(Act::Epilogue);
        self.publish_end()?;
        self.all_done(RECEIVERS.len())
    }

    fn act(&self, act: Act) {
        self.stage.change(|state| {
            state.act = act;
            state.done = 0;
        });
    }

    fn all_done(&self, all: usize) -> Result<(), Over> {
        self.stage.wait("all to be done", |state| (state.done == all).then_some(()))
    }

    fn after_acknowledged(&mut self, more: u64) -> Result<(), Over> {
        let until = self.stage.change(|state| state.acknowledged) + more;
        self.stage.wait("acknowledgements", |state| (state.acknowledged >= until).then_some(()))?;
        // Not always just behind an acknowledgement.
        let begin = Instant::now();
        let spin = Duration::from_micros(self.random.below(3000) as u64);
        while begin.elapsed() < spin {
            std::hint::spin_loop();
        }
        Ok(())
    }

    fn setup<T>(&mut self, start: impl FnOnce(Setup<'_>) -> T) -> T {
        let shards = match self.play.shards {
            Shards::Always(shards) => shards,
            Shards::Changing => 1 + self.lives % 3,
        };
        self.lives += 1;
        let settings = format!(
            "store.directory = {:?}\nlimits.queued_messages_max = 10000000\n\
             limits.queued_bytes_max = 10000000000\nlimits.queue_bytes_max = 10000000000\n{}",
            self.play.directory, self.play.settings
        );
        start(Setup { shards, settings: &settings, ..Setup::default() })
    }

    fn start(&mut self) {
        let broker = self.setup(|setup| setup.start());
        self.stage.up(broker.address());
        self.broker = Some(broker);
    }

    fn kill_and_start(&mut self) -> Result<(), Over> {
        self.broker.take().expect("it runs").kill();
        self.stage.down();
        let retained = self.ledger.retained();
        (self.play.power)(&mut self.random);
        // Sometimes it dies while it starts, more than once.
        while self.random.below(4) == 0 {
            let broker = self.setup(|setup| setup.spawn());
            std::thread::sleep(Duration::from_micros(self.random.below(150_000) as u64));
            broker.kill();
            (self.play.power)(&mut self.random);
        }
        let broker = self.setup(|setup| setup.start());
        self.check_retained(&broker, &retained);
        self.stage.up(broker.address());
        self.broker = Some(broker);
        Ok(())
    }

    /// Each retained message is the last acknowledged one or a newer one.
    fn check_retained(&self, broker: &Broker, retained: &BTreeMap<String, (Option<usize>, usize)>) {
        let (mut client, _) = open(broker.address(), connect(Version::V5, "probe")).unwrap();
        client.send(&subscribe("r/#", QoS::AtMostOnce, 1));
        assert_eq!(client.hear(), Heard::SubAck(vec![0]));
        let mut due = retained.values().filter(|(acknowledged, _)| acknowledged.is_some()).count();
        // A round trip is short, and what is to be sent may be read from a disk first.
        for _ in 0..10_000 {
            if due == 0 {
                break;
            }
            client.send(&Packet::PingReq);
            loop {
                let got = match client.hear() {
                    Heard::Publish(got) => got,
                    Heard::PingResp => break,
                    other => panic!("heard {other:?}"),
                };
                let (acknowledged, sent) = retained[&got.topic];
                let serial = read(&got).serial;
                let enough = acknowledged.is_none_or(|acknowledged| serial >= acknowledged);
                assert!(
                    got.retain && enough && serial <= sent,
                    "{} retained: {serial}; acknowledged {acknowledged:?}, sent {sent}",
                    got.topic
                );
                due -= usize::from(acknowledged.is_some());
            }
        }
        assert!(due == 0, "{due} retained messages are lost");
        client.disconnect();
    }

    /// What comes behind everything else. At QoS 1 it could overtake: a message of QoS 2 waits
    /// until its Packet Identifier is safe.
    fn publish_end(&self) -> Result<(), Over> {
        let (topic, at) = (END.to_owned(), self.stage.tick());
        let sent = Sent { topic, qos: Q2, retain: false, at, acknowledged: false };
        let serial = self.ledger.sent(END, sent);
        let broker = self.broker.as_ref().expect("it runs");
        let (mut client, _) = open(broker.address(), connect(Version::V5, "director")).unwrap();
        client.publish(END, &payload(END, serial), Q2);
        self.ledger.acknowledged(END, serial);
        client.disconnect();
        Ok(())
    }
}

#[test]
fn one_shard() {
    run_in_scratch(Shards::Always(1), "");
}

#[test]
fn two_shards() {
    run_in_scratch(Shards::Always(2), "");
}

#[test]
fn another_number_of_shards_each_time() {
    run_in_scratch(Shards::Changing, &format!("{SHORT_FILES}\nstore.commit_delay_ms = 2"));
}

/// What the others demand is not had for nothing.
#[test]
#[should_panic = "faults"]
fn a_broker_that_keeps_nothing_is_found_out() {
    run_in_scratch(Shards::Always(2), "store.policy = \"memory\"");
}
