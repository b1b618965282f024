//! Clients that are somebody, and rules that say what they may publish and receive; new rules now
//! and then, and strangers who try to take sessions over.
//!
//! What the judge makes of it: a message reaches nobody who may not receive it under any rules that
//! held since the broker got it; and everybody who may under all of them.

use std::sync::Arc;

use stonechat::auth::Identity;
use stonechat::auth::acl::Acl;
use stonechat::broker::Input;
use stonechat::codec::Connect;

use super::clients::{HERDS, TOPICS};
use super::rng::Rng;
use super::shadow::{Cause, Msg, Shadow};
use super::world::World;

/// By client: the topics that are denied, as places in [`TOPICS`].
#[derive(Clone, Debug, Default)]
struct Rules {
    /// since when they hold
    since: u64,
    read: Vec<Vec<usize>>,
    write: Vec<Vec<usize>>,
}

/// The rules of a run, oldest first; none: everybody may do everything.
#[derive(Debug, Default)]
pub struct Rights {
    rules: Vec<Rules>,
    /// who has a user name; the others are anonymous, and may do everything
    named: Vec<bool>,
}

/// When the rules change, from a stream of its own.
#[derive(Debug)]
pub struct Changes {
    rng: Rng,
    left: usize,
}

fn denies(list: &[Vec<usize>], client: usize, topic: &str) -> bool {
    let place = TOPICS.iter().position(|t| *t == topic);
    list.get(client).is_some_and(|denied| place.is_some_and(|at| denied.contains(&at)))
}

impl Rights {
    /// As whom a client comes.
    pub fn identity(&self, client: usize) -> Arc<Identity> {
        let named = self.named.get(client) == Some(&true);
        let user = named.then(|| format!("u{client}").into());
        Arc::new(Identity { user, ..Identity::default() })
    }

    fn in_force(&self, since: u64) -> impl Iterator<Item = &Rules> {
        let first = self.rules.iter().rposition(|rules| rules.since <= since).unwrap_or(0);
        self.rules[first..].iter()
    }

    /// Whether the client may publish there now.
    pub fn may_publish(&self, client: usize, topic: &str) -> bool {
        self.rules.last().is_none_or(|rules| !denies(&rules.write, client, topic))
    }

    /// Whether it may have got the message.
    pub fn may_have(&self, client: usize, m: &Msg) -> bool {
        let mut rules = self.in_force(m.first_handed).peekable();
        rules.peek().is_none() || rules.any(|rules| !denies(&rules.read, client, m.topic))
    }

    /// Whether it has to have it, if it asked for it.
    pub fn has_to_have(&self, client: usize, m: &Msg) -> bool {
        self.in_force(m.sent_at).all(|rules| !denies(&rules.read, client, m.topic))
    }

    fn acl(&self) -> Acl {
        let mut text = "topic #\ntopic $h/#\n".to_owned();
        let Some(rules) = self.rules.last() else { return Acl::open() };
        for client in 0..self.named.len() {
            text.push_str(&format!("user u{client}\n"));
            for (list, word) in [(&rules.read, "read"), (&rules.write, "write")] {
                for topic in TOPICS.iter().filter(|topic| !denies(list, client, topic)) {
                    text.push_str(&format!("topic {word} {topic}\n"));
                }
            }
            HERDS.iter().for_each(|topic| text.push_str(&format!("topic {topic}\n")));
        }
        Acl::from_mosquitto(&text).unwrap()
    }
}

impl Changes {
    /// For some seeds; `count` clients, those behind them are anonymous.
    pub fn new(seed: u64, count: usize, shadow: &mut Shadow) -> Option<Self> {
        let mut rng = Rng::new(seed, 9);
        if !rng.percent(50) {
            return None;
        }
        shadow.rights.named = (0..count).map(|_| rng.percent(80)).collect();
        let left = rng.pick(&[0, 1, 3]);
        let mut changes = Self { rng, left };
        changes.draw(shadow);
        Some(changes)
    }

    fn draw(&mut self, shadow: &mut Shadow) {
        let rng = &mut self.rng;
        let (reads, writes) = (rng.pick(&[5, 20, 50]), rng.pick(&[0, 5, 20]));
        let Rights { rules, named } = &mut shadow.rights;
        let mut list = |percent: usize| -> Vec<Vec<usize>> {
            let denied = |named: &bool| {
                let all = 0..TOPICS.len();
                all.filter(|_| rng.percent(percent) && *named).collect()
            };
            named.iter().map(denied).collect()
        };
        let (read, write) = (list(reads), list(writes));
        shadow.ev += 1;
        rules.push(Rules { since: shadow.ev, read, write });
    }

    /// Perhaps there are new rules.
    pub fn step(&mut self, world: &mut World, shadow: &mut Shadow) {
        if self.left > 0 && self.rng.one_in(700) {
            self.left -= 1;
            self.draw(shadow);
            world.tell_rights(shadow);
        }
    }
}

impl World {
    /// All shards have the rules of now.
    pub fn tell_rights(&mut self, shadow: &mut Shadow) {
        if shadow.rights.rules.is_empty() {
            return;
        }
        let acl = Arc::new(shadow.rights.acl());
        for shard in 0..self.shards.len() {
            self.feed(shard, Input::Acl(Arc::clone(&acl)), &Cause::default(), shadow);
        }
    }

    /// As whom a CONNECT comes, and whether it has to be refused for that: some are strangers', to
    /// sessions that are there.
    pub fn identity_of(
        &self,
        id: usize,
        client: usize,
        c: &Connect<'_>,
        shadow: &Shadow,
    ) -> (Arc<Identity>, bool) {
        let rights = &shadow.rights;
        let there = shadow.sessions[client].as_ref();
        let there = there.is_some_and(|s| s.conn.is_some() || s.ends_at > self.now);
        if !rights.rules.is_empty() && there && id % 19 == 7 {
            let user = rights.identity(client).user.is_none().then(|| "stranger".into());
            return (Arc::new(Identity { user, ..Identity::default() }), true);
        }
        let will = c.will.as_ref().map(|will| will.topic.as_str());
        let denied = will.is_some_and(|topic| !rights.may_publish(client, topic));
        let mut identity = rights.identity(client);
        if self.asks(client) {
            identity = Arc::new(Identity { asks: true, ..Identity::clone(&identity) });
        }
        (identity, denied)
    }
}
