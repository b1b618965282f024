//! Who the clients of a row are, what they may do, and what is asked about them.

use std::sync::Arc;

use stonechat::auth::acl::Acl;
use stonechat::auth::quota::{Excess, Quota, Quotas};
use stonechat::auth::{Grants, Identity};
use stonechat::broker::*;

use super::words::Words;
use super::world::{Done, World};

/// As whom a client comes.
#[derive(Clone, Default)]
pub(crate) struct Entrance {
    pub(crate) identity: Arc<Identity>,
    /// so long after its CONNECT its right to be there ends
    pub(crate) ends_ms: Option<u64>,
    /// Authentication Method, and data for CONNACK
    pub(crate) method: Option<(String, String)>,
}

fn identity(words: &Words, user: &str) -> Arc<Identity> {
    let all = |name| words.all(name).map(Into::into).collect();
    let granted = words.has("publish") || words.has("subscribe");
    let grants = Grants { publish: all("publish"), subscribe: all("subscribe") };
    Arc::new(Identity {
        user: (user != "*").then(|| user.into()),
        roles: words.all("roles").map(Into::into).collect(),
        grants: granted.then(|| Arc::new(grants)),
        asks: words.args.iter().any(|word| word == "asking"),
    })
}

fn seconds(words: &Words) -> Option<u64> {
    let text = words.get("ends")?.trim_end_matches('s');
    text.parse::<u64>().ok().map(|s| s * 1000)
}

impl World {
    /// `a is ada ends=9s method=m data=d`
    pub(crate) fn set_entrance(&mut self, name: &str, words: &Words) -> Done {
        let data = words.get("data").unwrap_or_default();
        let entrance = Entrance {
            identity: identity(words, &words.kind),
            ends_ms: seconds(words),
            method: words.get("method").map(|method| (method.to_owned(), data.to_owned())),
        };
        self.entrances.insert(name.to_owned(), entrance);
        Ok(())
    }

    pub(crate) fn set_acl(&mut self, text: &str) -> Done {
        let lines = |text: &str| text.replace(" / ", "\n");
        let acl = match text.strip_prefix("toml ") {
            _ if text.is_empty() => Ok(Acl::open()),
            Some(toml) => Acl::from_toml(&lines(toml)),
            None => Acl::from_mosquitto(&lines(text)),
        };
        self.acl = Arc::new(acl.map_err(|e| e.to_string())?);
        for shard in 0..self.shards.len() {
            self.input(shard, Input::Acl(Arc::clone(&self.acl)))?;
        }
        self.settle()
    }

    /// `quota users=ada rate=2 bytes=9 excess=drop subscriptions=1 retained=1 queued=99`
    pub(crate) fn set_quota(&mut self, words: &Words) -> Done {
        let number = |name| words.number(name).unwrap_or(0);
        if words.attributes.is_empty() {
            self.quotas.clear();
        } else {
            self.quotas.push(Quota {
                name: "q".into(),
                users: words.all("users").map(Into::into).collect(),
                client_ids: words.all("ids").map(Into::into).collect(),
                messages_per_s: number("rate") as u32,
                bytes_per_s: number("bytes") as u64,
                excess: match words.get("excess") {
                    None => Excess::Throttle,
                    Some("drop") => Excess::Drop,
                    Some("disconnect") => Excess::Disconnect,
                    Some(other) => return Err(format!("{other} at an excess?")),
                },
                subscriptions_max: number("subscriptions"),
                retained_messages_max: number("retained"),
                queued_bytes_max: number("queued"),
                connections_max: 0,
            });
        }
        let quotas = Arc::new(Quotas::new(self.quotas.clone()));
        for shard in 0..self.shards.len() {
            self.input(shard, Input::Quotas(Arc::clone(&quotas)))?;
        }
        self.settle()
    }

    fn question_of(&self, name: &str) -> Option<usize> {
        let link = self.clients.get(name)?.link;
        self.questions.iter().position(|(shard, of, _)| link == Some((*shard, *of)))
    }

    /// `a asks publish t`
    pub(crate) fn expect_question(&mut self, name: &str, want: &str) -> Done {
        let at = self.question_of(name).ok_or("nothing is asked")?;
        let got = match &self.questions[at].2 {
            Question::Publish(topic) => format!("publish {topic}"),
            Question::Subscribe(filter) => format!("subscribe {filter}"),
            Question::Reauthenticate { method, data, first } => {
                let first = if *first { " first" } else { "" };
                format!("reauthenticate {method} {}{first}", String::from_utf8_lossy(data))
            }
        };
        if got == want { Ok(()) } else { Err(format!("it asks `{got}`")) }
    }

    /// `a hears yes`
    pub(crate) fn answer(&mut self, name: &str, words: &Words) -> Done {
        let at = self.question_of(name).ok_or("nothing is asked")?;
        let (shard, link, _) = self.questions.remove(at);
        let data = || words.args.first().cloned().unwrap_or_default().into_bytes();
        let answer = match words.kind.as_str() {
            "yes" => Answer::Allowed(true),
            "no" => Answer::Allowed(false),
            "failed" => Answer::Failed,
            "continue" => Answer::Continue(data()),
            "enter" => {
                let entrance = self.entrances.get(name).cloned().unwrap_or_default();
                let ends = entrance.ends_ms.map_or(Time::NEVER, |ms| self.now.plus_ms(ms));
                Answer::Authenticated { data: data(), identity: entrance.identity, ends }
            }
            other => return Err(format!("{other} is no answer")),
        };
        self.input(shard, Input::Answer(link, answer))?;
        self.settle()
    }

    /// The process is gone, and another one starts with what the log knows.
    pub(crate) fn restart(&mut self) -> Done {
        self.settle()?;
        self.clients.clear();
        self.questions.clear();
        self.log.crash(false, usize::MAX, self.now)?;
        let fold = self.log.fold.clone();
        self.begin_again(&fold);
        for (number, kept) in &fold.sessions {
            let shard = self.home(&kept.client_id);
            let session = kept.restored(*number, self.now);
            let s = &mut self.shards[shard];
            s.broker.restore(self.now, session, &mut self.common, &mut s.fx);
            self.take_effects(shard);
        }
        self.settle()?;
        for shard in 0..self.shards.len() {
            self.input(shard, Input::Restored)?;
        }
        self.settle()
    }
}
