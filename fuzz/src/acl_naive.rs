//! ACLs judged the plain way: every rule is read anew for each question, in the order in which it
//! stands, with the plain matcher. Written from the descriptions of the formats alone.

use stonechat::auth::acl::covers;
use stonechat::topic::{TopicFilter, TopicName};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    pub user: Option<&'a str>,
    pub roles: &'a [&'a str],
    pub client_id: &'a str,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum Question<'a> {
    Publish(&'a str),
    Receive(&'a str),
    Subscribe(&'a str),
}

impl<'a> Question<'a> {
    fn publishes(self) -> bool {
        matches!(self, Self::Publish(_))
    }

    /// Whether a rule's filter has to do with it.
    fn meets(self, filter: &str) -> bool {
        let Ok(filter) = TopicFilter::new(filter) else { return false };
        match self {
            Self::Publish(topic) | Self::Receive(topic) => {
                TopicName::new(topic).is_ok_and(|topic| filter.matches(topic))
            }
            Self::Subscribe(part) => TopicFilter::new(part).is_ok_and(|part| covers(filter, part)),
        }
    }
}

/// `filter` with the names, letter by letter; `None` where one is missing.
fn fill(filter: &str, user: Option<&str>, client_id: &str) -> Option<String> {
    let letters: Vec<char> = filter.chars().collect();
    let (mut filled, mut at) = (String::new(), 0);
    while at < letters.len() {
        match letters[at..] {
            ['%', 'c', ..] => filled += client_id,
            ['%', 'u', ..] => filled += user?,
            _ => {
                filled.push(letters[at]);
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    Some(filled)
}

/// The names that `filter` asks for.
fn asked<'a>(filter: &str, client: Client<'a>) -> Vec<&'a str> {
    let mut names = Vec::new();
    names.extend(client.user.filter(|_| filter.contains("%u")));
    names.extend(filter.contains("%c").then_some(client.client_id));
    names
}

/// What mosquitto says to a file that it reads without complaint; SUBSCRIBE it always grants.
pub fn mosquitto(file: &str, client: Client<'_>, question: Question<'_>) -> bool {
    if matches!(question, Question::Subscribe(_)) {
        return true;
    }
    let mut rules = Vec::new(); // whose (None: a pattern), access, topic
    let mut user = None;
    for line in file.split('\n') {
        let line = line.trim_end_matches([' ', '\t', '\r', '\x0b', '\x0c']);
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        if line.starts_with('#') || words.is_empty() {
            continue;
        }
        // What stands behind the `n`th word, without the one space that ends that word.
        let behind = |n: usize| {
            let mut rest = line;
            for word in &words[..n] {
                rest = rest.trim_start_matches(' ').strip_prefix(word).unwrap_or_default();
            }
            rest.trim_matches([' ', '\t', '\r', '\x0b', '\x0c'])
        };
        match words[0] {
            "user" => user = Some(behind(1)),
            kind => {
                let whose = (kind == "topic").then_some(user);
                match words.len() {
                    2 => rules.push((whose, "readwrite", words[1])),
                    _ => rules.push((whose, words[1], behind(2))),
                }
            }
        }
    }
    let right = if question.publishes() { "write" } else { "read" };
    let decide = |rules: Vec<(&str, String)>| {
        let met: Vec<_> = rules.iter().filter(|(_, topic)| question.meets(topic)).collect();
        match met.iter().any(|(access, _)| *access == "deny") {
            true => Some(false),
            false => met.iter().any(|(access, _)| access.contains(right)).then_some(true),
        }
    };
    let own = rules.iter().filter(|rule| rule.0 == Some(client.user));
    if let Some(decided) = decide(own.map(|rule| (rule.1, rule.2.to_owned())).collect()) {
        return decided;
    }
    let patterns: Vec<_> = rules.iter().filter(|rule| rule.0.is_none()).collect();
    let wild = |name: &str| name.contains('+') || name.contains('#');
    if wild(client.client_id) || client.user.is_some_and(wild) {
        return false;
    }
    let filled = patterns.iter().filter_map(|(_, access, topic)| {
        let filled = fill(topic, client.user, client.client_id)?;
        let names = asked(topic, client);
        let empty = names.iter().any(|name| name.is_empty());
        let dollar = filled.starts_with('$') && !topic.starts_with('$');
        (*access == "deny" || !empty && !dollar).then_some((*access, filled))
    });
    decide(filled.collect()).unwrap_or(false)
}

/// A rule of a TOML file.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    pub users: Option<Vec<String>>,
    pub roles: Option<Vec<String>>,
    pub anonymous: Option<bool>,
    pub client_ids: Option<Vec<String>>,
    pub publish: Vec<String>,
    pub subscribe: Vec<String>,
    pub deny_publish: Vec<String>,
    pub deny_subscribe: Vec<String>,
}

/// A TOML file.
#[derive(Clone, Debug, Default)]
pub struct Toml {
    pub roles: Vec<(String, Vec<String>)>,
    pub rules: Vec<Rule>,
}

/// Whether `pattern` with its stars is `text`.
fn fits(pattern: &str, text: &str) -> bool {
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some('*'), None) => fits(&pattern[1..], text),
        (Some('*'), Some(c)) => fits(&pattern[1..], text) || fits(pattern, &text[c.len_utf8()..]),
        (Some(p), Some(c)) if p == c => fits(&pattern[p.len_utf8()..], &text[c.len_utf8()..]),
        _ => false,
    }
}

impl Toml {
    /// The file.
    pub fn text(&self) -> String {
        let list = |list: &[String]| {
            let quoted: Vec<_> = list.iter().map(|word| format!("\"{word}\"")).collect();
            format!("[{}]", quoted.join(", "))
        };
        let mut text = String::from("[roles]\n");
        for (role, users) in &self.roles {
            text += &format!("\"{role}\" = {}\n", list(users));
        }
        for rule in &self.rules {
            text += "[[rule]]\n";
            let words = [("users", &rule.users), ("roles", &rule.roles)];
            for (key, words) in words.into_iter().chain([("client_ids", &rule.client_ids)]) {
                if let Some(words) = words {
                    text += &format!("{key} = {}\n", list(words));
                }
            }
            if let Some(anonymous) = rule.anonymous {
                text += &format!("anonymous = {anonymous}\n");
            }
            for (key, filters) in [
                ("publish", &rule.publish),
                ("subscribe", &rule.subscribe),
                ("deny_publish", &rule.deny_publish),
                ("deny_subscribe", &rule.deny_subscribe),
            ] {
                text += &format!("{key} = {}\n", list(filters));
            }
        }
        text
    }

    fn concerns(&self, rule: &Rule, client: Client<'_>) -> bool {
        let fit = |words: &Vec<String>, name: &str| words.iter().any(|word| fits(word, name));
        if rule.client_ids.as_ref().is_some_and(|ids| !fit(ids, client.client_id)) {
            return false;
        }
        let mut roles = client.roles.to_vec();
        for (role, users) in &self.roles {
            roles.extend(client.user.is_some_and(|user| fit(users, user)).then_some(&**role));
        }
        match (&rule.users, &rule.roles, rule.anonymous) {
            (None, None, None) => true,
            (None, None, Some(anonymous)) => anonymous == client.user.is_none(),
            (users, has, anonymous) => {
                users.as_ref().is_some_and(|users| client.user.is_some_and(|user| fit(users, user)))
                    || has.as_ref().is_some_and(|has| roles.iter().any(|role| fit(has, role)))
                    || anonymous == Some(true) && client.user.is_none()
            }
        }
    }

    /// Whether a denial meets the question, and whether what allows it does.
    pub fn judge(&self, client: Client<'_>, question: Question<'_>) -> (bool, bool) {
        let (mut denied, mut allowed) = (false, false);
        for rule in self.rules.iter().filter(|rule| self.concerns(rule, client)) {
            let (allow, deny) = match question.publishes() {
                true => (&rule.publish, &rule.deny_publish),
                false => (&rule.subscribe, &rule.deny_subscribe),
            };
            let meets = |filter: &String, strict: bool| {
                let bad = if strict { "+#/" } else { "+#" };
                let names = asked(filter, client);
                let name_is_bad =
                    |name: &&&str| name.contains(|c| bad.contains(c)) || strict && name.is_empty();
                if names.iter().any(|name| name_is_bad(&name)) {
                    return false;
                }
                fill(filter, client.user, client.client_id).is_some_and(|filled| {
                    let dollar = filled.starts_with('$') && !filter.starts_with('$');
                    !(strict && dollar) && question.meets(&filled)
                })
            };
            denied |= deny.iter().any(|filter| meets(filter, false));
            allowed |= allow.iter().any(|filter| meets(filter, true));
        }
        (denied, allowed)
    }
}
