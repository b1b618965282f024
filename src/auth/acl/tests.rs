//! Tables: what files say, what is wrong with them, and who has equal rights.

#![allow(clippy::unwrap_used)]

use super::rules::DENY;
use super::*;

fn identity(user: Option<&str>, roles: &[&str]) -> Identity {
    Identity {
        user: user.map(Arc::from),
        roles: roles.iter().map(|&role| Arc::from(role)).collect(),
        ..Identity::default()
    }
}

fn class(acl: &Acl, user: Option<&str>, client_id: &str) -> Class {
    acl.class(&identity(user, &[]), client_id)
}

fn publishes(class: &Class, topic: &str) -> Verdict {
    class.may_publish(TopicName::new(topic).unwrap())
}

fn receives(class: &Class, topic: &str) -> bool {
    class.may_receive(TopicName::new(topic).unwrap())
}

fn subscribes(class: &Class, filter: &str) -> Verdict {
    class.may_subscribe(TopicFilter::new(filter).unwrap())
}

use Verdict::{Allowed, Ask, Denied};

const PLANT: &str = r##"
[roles]
admin = ["anna"]
device = ["dev-*"]

[[rule]]                       # everybody
subscribe = ["news/#"]

[[rule]]
roles = ["admin"]
publish = ["#"]
subscribe = ["#", "$SYS/#"]

[[rule]]
roles = ["device"]
client_ids = ["gw-*"]
publish = ["plant/%u/+/value", "plant/%c"]
subscribe = ["plant/%u/#"]
deny_subscribe = ["plant/%u/secret/#"]
deny_publish = ["plant/+/limits/value"]

[[rule]]
users = ["*"]
deny_publish = ["audit/#"]

[[rule]]
anonymous = true
publish = ["guest/%c", "guest/%u"]

[[rule]]
users = ["bert"]
anonymous = false
subscribe = ["a/+/c", "/#"]
"##;

#[test]
fn toml_rules_add_up() {
    let acl = Acl::from_toml(PLANT).unwrap();
    for (user, client_id, topic, publish, receive) in [
        (None, "7", "guest/7", Allowed, false),
        (None, "7", "guest/8", Denied, false),
        (None, "7", "news/a", Denied, true),
        (None, "a/b", "guest/a/b", Denied, false),
        (Some("anna"), "7", "plant/x", Allowed, true),
        (Some("anna"), "7", "audit/x", Denied, true),
        (Some("anna"), "7", "$SYS/x", Denied, true),
        (Some("anna"), "7", "$x", Denied, false),
        (Some("dev-1"), "gw-1", "plant/dev-1/a/value", Allowed, true),
        (Some("dev-1"), "gw-1", "plant/dev-2/a/value", Denied, false),
        (Some("dev-1"), "gw-1", "plant/dev-1/limits/value", Denied, true),
        (Some("dev-1"), "gw-1", "plant/dev-1/secret/a", Denied, false),
        (Some("dev-1"), "gw-1", "plant/gw-1", Allowed, false),
        (Some("dev-1"), "other", "plant/dev-1/a/value", Denied, false),
        (Some("bert"), "gw-1", "a/b/c", Denied, true),
        (Some("bert"), "gw-1", "guest/gw-1", Denied, false),
    ] {
        let class = class(&acl, user, client_id);
        assert_eq!(publishes(&class, topic), publish, "{user:?} {client_id} {topic}");
        assert_eq!(receives(&class, topic), receive, "{user:?} {client_id} {topic}");
        assert!(!class.is_open());
    }
    // A role of a token is as good.
    let class = acl.class(&identity(Some("carl"), &["admin"]), "7");
    assert_eq!(publishes(&class, "plant/x"), Allowed);
    assert_eq!(publishes(&class, "audit/x"), Denied);
}

#[test]
fn a_subscription_is_covered_or_denied() {
    let acl = Acl::from_toml(PLANT).unwrap();
    for (user, filter, verdict) in [
        (Some("anna"), "#", Allowed),
        (Some("anna"), "$SYS/#", Allowed),
        (Some("anna"), "$SYS", Allowed),
        (Some("anna"), "+/a", Allowed),
        (Some("anna"), "$x/#", Denied),
        (Some("dev-1"), "plant/dev-1/#", Allowed), // its secrets are not delivered
        (Some("dev-1"), "plant/dev-1/+/secret", Allowed),
        (Some("dev-1"), "plant/dev-1/secret/#", Denied),
        (Some("dev-1"), "plant/dev-1/secret/+", Denied),
        (Some("dev-1"), "plant/dev-1/secret", Denied),
        (Some("dev-1"), "plant/+/a", Denied),
        (Some("dev-1"), "plant/#", Denied),
        (Some("dev-1"), "#", Denied),
        (Some("bert"), "a/+/c", Allowed),
        (Some("bert"), "a/b/c", Allowed),
        (Some("bert"), "a/+/+", Denied),
        (Some("bert"), "a/#", Denied),
        (Some("bert"), "+/b/c", Denied),
        (Some("bert"), "/#", Allowed),
        (Some("bert"), "/+/#", Allowed),
        (Some("bert"), "news", Allowed),
    ] {
        assert_eq!(subscribes(&class(&acl, user, "gw-1"), filter), verdict, "{user:?} {filter}");
    }
}

#[test]
fn covering() {
    for (whole, part, covered) in [
        ("#", "#", true),
        ("#", "+/#", true),
        ("+/#", "#", true),
        ("+/+/#", "#", false),
        ("+", "#", false),
        ("a/#", "a", true),
        ("a/#", "a/#", true),
        ("a/+/#", "a/#", false),
        ("a/#", "a/+", true),
        ("a/+", "a/#", false),
        ("a/+", "a/b", true),
        ("a/b", "a/+", false),
        ("#", "$SYS/#", false),
        ("$SYS/#", "$SYS/+/x", true),
        ("$SYS/#", "#", false),
        ("+/x", "$SYS/x", false),
        ("a/$b/+", "a/$b/c", true),
        ("a/+", "a/$b", true),
    ] {
        let filter = |text| TopicFilter::new(text).unwrap();
        assert_eq!(covers(filter(whole), filter(part)), covered, "{whole} {part}");
        let rules = Rules::new(&[(whole, SUBSCRIBE)]);
        assert_eq!(rules.of_filter(filter(part)) == SUBSCRIBE, covered, "{whole} {part}");
    }
}

#[test]
fn what_is_wrong_with_a_toml_file() {
    for (text, mistakes) in [
        ("", &[][..]),
        ("[[rule]]\npublish = []", &[]),
        ("\na = [\n", &[(2, "not valid TOML: ")]),
        ("\n[rolls]\na = ['x']", &[(2, "unknown section \"rolls\"; did you mean \"roles\"?")]),
        (
            "[rule]\npublish = ['a']",
            &[(1, "rules are a list: write [[rule]] with double brackets")],
        ),
        ("roles = 1", &[(1, "[roles] is a section")]),
        ("[roles]\na = 'x'", &[(2, "a is a list of strings: write a = [\"…\"]")]),
        ("rule = [1]", &[(1, "each rule is a table")]),
        (
            "[[rule]]\nusers = ['a']\n\n[[rule]]\npublish = ['a']\n",
            &[(
                1,
                "this rule says nothing: it needs one of publish, subscribe, deny_publish, deny_subscribe",
            )],
        ),
        (
            "[[rule]]\nuser = ['a']\npublish = [\n  'a/#',\n  'a#',\n  7,\n  '$share/g/a'\n]\n\
             client_ids = []\nanonymous = 'yes'\ndeny-publish = ['x']\n",
            &[
                (2, "unknown key \"user\" in a rule; did you mean \"users\"?"),
                (5, "publish: \"a#\": '#' must be a whole level and the last one"),
                (6, "publish is a list of strings"),
                (
                    7,
                    "publish: \"$share/g/a\": of a Shared Subscription only the filter in it counts",
                ),
                (9, "client_ids: an empty list is nobody; leave it out"),
                (10, "anonymous is true or false"),
                (11, "unknown key \"deny-publish\" in a rule; did you mean \"deny_publish\"?"),
            ],
        ),
    ] {
        let found = Acl::from_toml(text).err();
        let found: Vec<_> = found.iter().flat_map(AclError::mistakes).collect();
        let same = |(found, wanted): (&(usize, &str), &(usize, &str))| {
            found.0 == wanted.0 && found.1.starts_with(wanted.1)
        };
        assert_eq!(found.len(), mistakes.len(), "{text}: {found:?}");
        assert!(found.iter().zip(mistakes).all(same), "{text}: {found:?}");
    }
}

#[test]
fn what_is_wrong_with_mosquittos_file() {
    let text = "topic reed a\nuser\n#\ntopics a\n # x\npattern a+\ntopic\ntopic read a\0b\n";
    let error = Acl::from_mosquitto(text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 1: read, write, readwrite or deny, not \"reed\"; did you mean \"read\"?\n\
         line 2: a user name is missing\n\
         line 4: a line begins with topic, pattern or user, not \"topics\"; did you mean \"topic\"?\n\
         line 5: a comment must begin at the start of its line\n\
         line 6: \"a+\": '+' must be a whole level\n\
         line 7: a topic is missing\n\
         line 8: \"a\\0b\": a topic must not contain U+0000"
    );
    assert_eq!((error.line, error.more.len()), (1, 6));
}

/// The others are in `tests/clients/acl_beside.rs`, with mosquitto beside them.
#[test]
fn where_mosquitto_2_0_is_less_strict() {
    let acl = Acl::from_mosquitto("pattern %u/#\npattern deny %u/no\npattern /a\n").unwrap();
    for (user, topic, verdict) in [
        ("anna", "anna/a", Allowed),
        ("$SYS", "$SYS/a", Denied),
        ("", "/a", Allowed),
        ("", "/b", Denied),
        ("", "/no", Denied),
    ] {
        assert_eq!(publishes(&class(&acl, Some(user), "7"), topic), verdict, "{user:?} {topic}");
    }
}

#[test]
fn grants_replace_the_file() {
    let grants =
        Grants::of(&["own/%c/#", "%u/+", "bad#", "$SYS/%c"], &["in/%c", "%u"], Some("anna"), "a/b");
    assert_eq!(grants.publish, ["anna/+".into()]);
    assert_eq!(grants.subscribe, ["anna".into()]);
    let granted = Identity { grants: Some(Arc::new(grants)), ..identity(Some("anna"), &["admin"]) };
    for acl in [Acl::open(), Acl::from_toml(PLANT).unwrap()] {
        let class = acl.class(&granted, "a/b");
        assert_eq!(publishes(&class, "anna/x"), Allowed);
        assert_eq!(publishes(&class, "plant/x"), Denied);
        assert_eq!(subscribes(&class, "anna"), Allowed);
        assert_eq!(subscribes(&class, "news/#"), Denied);
        assert!(receives(&class, "anna") && !receives(&class, "news/x"));
    }
    // None at all is to be allowed nothing.
    let none = Identity { grants: Some(Arc::default()), ..Identity::default() };
    let class = Acl::open().class(&none, "7");
    assert!(!class.is_open());
    assert_eq!((publishes(&class, "a"), subscribes(&class, "a")), (Denied, Denied));
}

#[test]
fn what_nobody_settles_is_asked() {
    let asks = Identity { asks: true, ..identity(Some("anna"), &[]) };
    let open = Acl::open().class(&asks, "7");
    assert!(!open.is_open());
    assert_eq!((publishes(&open, "a"), subscribes(&open, "#")), (Ask, Ask));
    assert!(receives(&open, "a"));

    let file = "user anna\ntopic read in/#\ntopic deny in/no/#\ntopic write out\n";
    let class = Acl::from_mosquitto(file).unwrap().class(&asks, "7");
    for (topic, verdict) in [("out", Allowed), ("in/no/x", Denied), ("in/a", Ask), ("x", Ask)] {
        assert_eq!(publishes(&class, topic), verdict, "{topic}");
    }
    for (filter, verdict) in
        [("in/#", Allowed), ("in/no/#", Denied), ("#", Ask), ("out", Ask), ("+/a", Ask)]
    {
        assert_eq!(subscribes(&class, filter), verdict, "{filter}");
    }
    assert!(receives(&class, "in/a") && receives(&class, "x") && !receives(&class, "in/no/x"));
    // Patterns and a wildcard for a name: nothing is left to ask.
    let file = "pattern %c\nuser anna\ntopic a\n";
    let class = Acl::from_mosquitto(file).unwrap().class(&asks, "+");
    assert_eq!((publishes(&class, "a"), publishes(&class, "b")), (Allowed, Denied));
    assert_eq!((subscribes(&class, "a"), subscribes(&class, "b")), (Allowed, Denied));
    assert!(!receives(&class, "b"));

    let grants = Grants { publish: vec!["a".into()], subscribe: Vec::new() };
    let granted = Identity { grants: Some(Arc::new(grants)), ..asks };
    let class = Acl::from_toml(PLANT).unwrap().class(&granted, "7");
    assert_eq!((publishes(&class, "a"), publishes(&class, "b")), (Allowed, Ask));
    assert_eq!(subscribes(&class, "news/#"), Ask);
}

#[test]
fn sys_by_role() {
    let sys: [Arc<str>; 2] = ["admin".into(), "ops".into()];
    let open = Acl::open().with_sys_roles(&sys);
    for acl in [open, Acl::from_toml(PLANT).unwrap().with_sys_roles(&sys)] {
        let outside = class(&acl, Some("bert"), "7");
        assert!(!outside.is_open());
        for filter in ["$SYS/#", "$SYS", "$SYS/+/x"] {
            assert_eq!(subscribes(&outside, filter), Denied, "{filter}");
        }
        assert!(!receives(&outside, "$SYS/a") && !receives(&outside, "$SYS"));
        assert_eq!(subscribes(&outside, "news/#"), Allowed);
        assert!(receives(&outside, "news"));
    }
    let acl = Acl::open().with_sys_roles(&sys);
    let inside = acl.class(&identity(None, &["ops"]), "7");
    assert!(inside.is_open() && receives(&inside, "$SYS/a"));
    assert!(receives(&class(&acl, None, "7"), "$SYSTEM/a"));
    // By the file's own roles, where the file allows it.
    let acl = Acl::from_toml(PLANT).unwrap().with_sys_roles(&sys);
    assert!(receives(&class(&acl, Some("anna"), "7"), "$SYS/a"));
    let acl = Acl::from_mosquitto("topic read $SYS/#\n").unwrap().with_sys_roles(&sys);
    assert!(!receives(&class(&acl, None, "7"), "$SYS/a"));
    assert_eq!(subscribes(&class(&acl, None, "7"), "$SYS/a"), Denied);
    assert!(receives(&acl.class(&identity(None, &["ops"]), "7"), "$SYS/a"));
}

#[test]
fn equal_rights_are_equal_classes() {
    let same = |acl: &Acl, a: (Option<&str>, &str), b: (Option<&str>, &str)| {
        class(acl, a.0, a.1) == class(acl, b.0, b.1)
    };
    let acl = Acl::open();
    assert!(acl.class(&Identity::default(), "7").is_open());
    assert!(same(&acl, (None, "7"), (Some("anna"), "8")));

    let plain = "topic a\nuser anna\ntopic b\nuser bert\ntopic b\npattern x/%u\npattern y\n";
    let acl = Acl::from_mosquitto(plain).unwrap();
    assert!(same(&acl, (Some("anna"), "7"), (Some("anna"), "8")));
    assert!(same(&acl, (None, "7"), (None, "8")));
    assert!(!same(&acl, (Some("anna"), "7"), (Some("bert"), "7")));
    assert!(!same(&acl, (Some("anna"), "7"), (None, "7")));
    let acl = Acl::from_mosquitto(&format!("{plain}pattern z/%c\n")).unwrap();
    assert!(!same(&acl, (Some("anna"), "7"), (Some("anna"), "8")));
    assert!(same(&acl, (Some("anna"), "7"), (Some("anna"), "7")));

    let acl = Acl::from_toml(PLANT).unwrap();
    assert!(same(&acl, (Some("carl"), "7"), (Some("doris"), "gw-8")));
    assert!(same(&acl, (Some("bert"), "7"), (Some("bert"), "gw-8")));
    assert!(!same(&acl, (Some("dev-1"), "7"), (Some("dev-1"), "gw-1")));
    assert!(!same(&acl, (None, "7"), (None, "8")));
    // Of another reading of the same rules too; of others not.
    assert_eq!(
        class(&acl, Some("anna"), "7"),
        class(&Acl::from_toml(PLANT).unwrap(), Some("anna"), "7")
    );
    let other = Acl::from_toml(&PLANT.replace("$SYS/#", "$SYS/+")).unwrap();
    assert_ne!(class(&acl, Some("anna"), "7"), class(&other, Some("anna"), "7"));
    // Who asks is in another class, and who may not read $SYS.
    let asks = Identity { asks: true, ..identity(Some("anna"), &[]) };
    assert_ne!(class(&acl, Some("anna"), "7"), acl.class(&asks, "7"));
    let sys = Acl::from_toml(PLANT).unwrap().with_sys_roles(&["x".into()]);
    assert_ne!(class(&acl, Some("anna"), "7"), class(&sys, Some("anna"), "7"));
}

/// More ways to follow than are kept on the machine's stack, and levels as many as a topic has.
#[test]
fn deep_rules() {
    let deep = vec!["a"; 20_000].join("/");
    let plus = vec!["+"; 20_000].join("/");
    let mut rules = vec![(deep.clone(), PUBLISH), (plus, SUBSCRIBE), (format!("{deep}/#"), DENY)];
    for depth in 0..60 {
        rules.push((format!("{}+", "a/".repeat(depth)), PUBLISH));
        rules.push((format!("{}+/b/#", "a/".repeat(depth)), SUBSCRIBE));
    }
    let built = Rules::new(&rules);
    for topic in [deep.clone(), format!("{deep}/b"), "a/".repeat(40), "a/".repeat(40) + "b/b"] {
        let name = TopicName::new(&topic).unwrap();
        let plain =
            rules.iter().filter(|(filter, _)| TopicFilter::new(filter).unwrap().matches(name));
        let plain = plain.fold(0, |found, (_, effects)| found | effects);
        assert_eq!(built.of_topic(name), plain);
        let plain = rules.iter().filter(|(filter, _)| {
            covers(TopicFilter::new(filter).unwrap(), TopicFilter::new(&topic).unwrap())
        });
        let plain = plain.fold(0, |found, (_, effects)| found | effects);
        assert_eq!(built.of_filter(TopicFilter::new(&topic).unwrap()), plain);
    }
}
