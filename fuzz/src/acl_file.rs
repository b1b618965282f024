//! Any text as an ACL file, and files of few words, so that rules and topics meet.
//!
//! Laws: what is no ACL file is refused with lines that are there; what is one says of every
//! client and topic what the plain way says (`acl_naive`); to subscribe to one topic may who may
//! receive it; clients with equal classes have equal rights.

use std::sync::Arc;

use stonechat::auth::acl::{Acl, AclError, Class, Verdict};
use stonechat::auth::{Grants, Identity};
use stonechat::topic::{TopicFilter, TopicName};

use super::acl_naive::{Client, Question, Rule, Toml, mosquitto};
use super::source::Source;

const LEVELS: [&str; 14] =
    ["a", "b", "+", "+", "%c", "%u", "", "$SYS", "x%c", "%u%u", "a b", "é", "%", "$"];
const USERS: [Option<&str>; 9] = [
    None,
    Some("a"),
    Some("b"),
    Some("a b"),
    Some("+"),
    Some("$SYS"),
    Some("a/b"),
    Some("%c"),
    Some(""),
];
const CLIENT_IDS: [&str; 8] = ["a", "b", "a/b", "#", "$SYS", "%u", "é", ""];
const ROLES: [&[&str]; 4] = [&[], &["r"], &["s", "t"], &["a"]];
const PATTERNS: [&str; 10] = ["a", "b", "*", "a*", "*b", "é", "r", "s", "*S*", "a b"];

/// A kind of file, then the file.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    match source.below(4) {
        0 => any_mosquitto(&String::from_utf8_lossy(source.take(usize::MAX))),
        1 => any_toml(&String::from_utf8_lossy(source.take(usize::MAX))),
        2 => some_mosquitto(&mut source),
        _ => some_toml(&mut source),
    }
}

fn check_lines(text: &str, error: &AclError) {
    let lines: Vec<_> = error.mistakes().map(|(line, _)| line).collect();
    assert!(lines.is_sorted(), "{lines:?}");
    let there = text.split('\n').count();
    assert!(lines.iter().all(|&line| line >= 1 && line <= there), "{lines:?} of {there}");
    assert!(error.mistakes().all(|(_, what)| !what.contains('\n')), "{error}");
    assert_eq!(error.to_string().lines().count(), lines.len(), "{error}");
}

fn identity(client: Client<'_>) -> Identity {
    Identity {
        user: client.user.map(Arc::from),
        roles: client.roles.iter().map(|&role| Arc::from(role)).collect(),
        ..Identity::default()
    }
}

fn publishes(class: &Class, topic: &str) -> Verdict {
    class.may_publish(TopicName::new(topic).expect("a topic"))
}

fn receives(class: &Class, topic: &str) -> bool {
    class.may_receive(TopicName::new(topic).expect("a topic"))
}

fn subscribes(class: &Class, filter: &str) -> Verdict {
    class.may_subscribe(TopicFilter::new(filter).expect("a filter"))
}

/// Topics that the rules of `text` may have to do with.
fn topics_of(text: &str) -> Vec<String> {
    let ends = text.lines().filter_map(|line| line.rsplit([' ', '"']).next());
    let names = ends.map(|end| end.replace(['+', '#'], "a").replace("%c", "b").replace("%u", "a"));
    let mut topics: Vec<_> = names.filter(|name| TopicName::new(name).is_ok()).take(8).collect();
    topics.extend(["a", "a/b", "$SYS/a", "b/a/a"].map(str::to_owned));
    topics
}

fn any_mosquitto(text: &str) {
    let acl = match Acl::from_mosquitto(text) {
        Ok(acl) => acl,
        Err(error) => return check_lines(text, &error),
    };
    let named = text.lines().find_map(|line| line.trim().strip_prefix("user "));
    for user in USERS.into_iter().chain([named.map(str::trim)]) {
        for client_id in ["b", "a/b", "+"] {
            let client = Client { user, roles: &[], client_id };
            let class = acl.class(&identity(client), client_id);
            check_mosquitto(text, client, &class, &topics_of(text));
        }
    }
}

fn check_mosquitto(text: &str, client: Client<'_>, class: &Class, topics: &[String]) {
    for topic in topics {
        let publish = mosquitto(text, client, Question::Publish(topic));
        let receive = mosquitto(text, client, Question::Receive(topic));
        let verdict = if publish { Verdict::Allowed } else { Verdict::Denied };
        assert_eq!(publishes(class, topic), verdict, "{client:?} {topic:?} {text}");
        assert_eq!(receives(class, topic), receive, "{client:?} {topic:?} {text}");
        assert_eq!(subscribes(class, topic), Verdict::Allowed);
    }
}

/// Up to four levels out of few.
fn filter(source: &mut Source<'_>) -> String {
    let mut levels: Vec<_> = (0..=source.below(4)).map(|_| source.pick(&LEVELS)).collect();
    if source.one_in(3) {
        levels.push("#");
    }
    let filter = levels.join("/");
    if filter.is_empty() { "/".to_owned() } else { filter }
}

fn topic(source: &mut Source<'_>) -> String {
    let topic = filter(source).replace("%c", "a").replace("%u", "b");
    topic.replace('+', source.pick(&["a", "b", "c", "$SYS"])).replace('#', "a")
}

fn some_mosquitto(source: &mut Source<'_>) {
    let mut text = String::new();
    for _ in 0..source.below(12) {
        let access = source.pick(&["", "read ", "write ", "readwrite ", "deny ", " read  "]);
        let mut topic = filter(source);
        if access.is_empty() || topic.starts_with(' ') || topic.ends_with(' ') {
            topic = topic.replace(' ', "_"); // else its first word would be the access
        }
        text += &match source.below(6) {
            0 => format!("user {}\n", source.pick(&USERS).filter(|u| !u.is_empty()).unwrap_or("c")),
            1 | 2 => format!("pattern {access}{topic}\n"),
            3 => format!("#{topic}\r\n\n"),
            _ => format!(" topic {access}{topic}\t\r\n"),
        };
    }
    let acl = Acl::from_mosquitto(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    for _ in 0..6 {
        let (user, client_id) = (source.pick(&USERS), source.pick(&CLIENT_IDS));
        let client = Client { user, roles: &[], client_id };
        let class = acl.class(&identity(client), client_id);
        let topics: Vec<_> = (0..6).map(|_| topic(source)).collect();
        check_mosquitto(&text, client, &class, &topics);
        check_asking(&acl, client, &class, &topics);
    }
}

/// Who asks may do what was allowed; what was denied because no rule allowed it is asked.
fn check_asking(acl: &Acl, client: Client<'_>, class: &Class, topics: &[String]) {
    let asks = Identity { asks: true, ..identity(client) };
    let asking = acl.class(&asks, client.client_id);
    for topic in topics {
        if publishes(class, topic) == Verdict::Allowed {
            assert_eq!(publishes(&asking, topic), Verdict::Allowed, "{client:?} {topic:?}");
        }
        let receives_now = receives(class, topic);
        match subscribes(&asking, topic) {
            Verdict::Allowed => assert!(receives_now && receives(&asking, topic)),
            Verdict::Denied => assert!(!receives_now && !receives(&asking, topic)),
            Verdict::Ask => assert!(!receives_now && receives(&asking, topic)),
        }
    }
}

fn any_toml(text: &str) {
    let acl = match Acl::from_toml(text) {
        Ok(acl) => acl,
        Err(error) => return check_lines(text, &error),
    };
    for user in USERS {
        let client = Client { user, roles: &["r"], client_id: "b" };
        let class = acl.class(&identity(client), "b");
        for topic in topics_of(text) {
            let may = subscribes(&class, &topic) == Verdict::Allowed;
            assert_eq!(receives(&class, &topic), may, "{user:?} {topic:?} {text}");
        }
    }
}

fn words(source: &mut Source<'_>) -> Option<Vec<String>> {
    let n = source.below(6);
    (n > 2).then(|| (2..n).map(|_| source.pick(&PATTERNS).to_owned()).collect())
}

fn filters(source: &mut Source<'_>) -> Vec<String> {
    (0..source.below(4)).map(|_| filter(source)).collect()
}

fn rule(source: &mut Source<'_>) -> Rule {
    Rule {
        users: words(source),
        roles: words(source),
        anonymous: source.maybe(Source::flag),
        client_ids: source.one_in(3).then(|| words(source)).flatten(),
        publish: filters(source),
        subscribe: filters(source),
        deny_publish: if source.one_in(3) { filters(source) } else { Vec::new() },
        deny_subscribe: if source.one_in(3) { filters(source) } else { Vec::new() },
    }
}

fn some_toml(source: &mut Source<'_>) {
    let role = |source: &mut Source<'_>, name: &str| Some((name.to_owned(), words(source)?));
    let roles = ["r", "s", "a"].into_iter().filter_map(|name| role(source, name)).collect();
    let toml = Toml { roles, rules: (0..source.below(6)).map(|_| rule(source)).collect() };
    let text = toml.text();
    let acl = Acl::from_toml(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut classes: Vec<Class> = Vec::new();
    let topics: Vec<_> = (0..6).map(|_| topic(source)).collect();
    let asked: Vec<_> =
        (0..6).map(|_| filter(source).replace("%c", "a").replace("%u", "b")).collect();
    for _ in 0..6 {
        let roles = source.pick(&ROLES);
        let client =
            Client { user: source.pick(&USERS), roles, client_id: source.pick(&CLIENT_IDS) };
        let class = acl.class(&identity(client), client.client_id);
        check_toml(&toml, client, &class, &topics, &asked);
        check_asking(&acl, client, &class, &topics);
        for other in classes.iter().filter(|other| **other == class) {
            for topic in &topics {
                assert_eq!(publishes(other, topic), publishes(&class, topic));
                assert_eq!(receives(other, topic), receives(&class, topic));
            }
        }
        check_grants(&acl, &toml, client, &topics, &asked);
        classes.push(class);
    }
}

fn check_toml(toml: &Toml, client: Client<'_>, class: &Class, topics: &[String], asked: &[String]) {
    let verdict = |question| match toml.judge(client, question) {
        (false, true) => Verdict::Allowed,
        _ => Verdict::Denied,
    };
    for topic in topics {
        let publish = verdict(Question::Publish(topic));
        assert_eq!(publishes(class, topic), publish, "{client:?} {topic:?} {}", toml.text());
        let receive = verdict(Question::Receive(topic)) == Verdict::Allowed;
        assert_eq!(receives(class, topic), receive, "{client:?} {topic:?} {}", toml.text());
    }
    for filter in asked {
        let subscribe = verdict(Question::Subscribe(filter));
        assert_eq!(subscribes(class, filter), subscribe, "{client:?} {filter:?} {}", toml.text());
        if subscribe == Verdict::Allowed {
            let denied = |topic: &&String| {
                toml.judge(client, Question::Receive(topic)).0
                    || !TopicFilter::new(filter).unwrap().matches(TopicName::new(topic).unwrap())
            };
            let rest = topics.iter().filter(|topic| !denied(topic));
            rest.for_each(|topic| assert!(receives(class, topic), "{client:?} {topic:?}"));
        }
    }
}

/// A client's own grants are a file with that one rule.
fn check_grants(acl: &Acl, toml: &Toml, client: Client<'_>, topics: &[String], asked: &[String]) {
    let Some(first) = toml.rules.first() else { return };
    let rule = Rule {
        publish: first.publish.clone(),
        subscribe: first.subscribe.clone(),
        ..Rule::default()
    };
    let grants = Grants::of(&rule.publish, &rule.subscribe, client.user, client.client_id);
    let granted = Identity { grants: Some(Arc::new(grants)), ..identity(client) };
    let class = acl.class(&granted, client.client_id);
    let alone = Toml { rules: vec![rule], ..Toml::default() };
    check_toml(&alone, client, &class, topics, asked);
}
