//! What a `Class` says of a mosquitto ACL file, beside what the real mosquitto does with the same
//! file: each row's client publishes and subscribes, and one who may do everything looks on.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use stonechat::auth::Identity;
use stonechat::auth::acl::{Acl, Verdict};
use stonechat::codec::{Packet, QoS, Version};
use stonechat::topic::{SubscriptionFilter, TopicName};

use crate::support::PATIENCE;
use crate::support::broker::Scratch;
use crate::support::client::{Client, Heard, connect, publish};
use crate::tools::{self, Running, is_here};

/// The one who looks on: it may do everything, in every file.
const WATCHER: &str = "user watcher\ntopic #\ntopic $x/#\ntopic $SYS/#\n";

/// Anonymous rules stand before the first `user`, so the watcher's come behind each file.
const FILES: &[(&str, &str)] = &[
    ("nothing but the watcher", ""),
    ("anonymous", "topic read open/#\ntopic write in/+\ntopic both\n"),
    (
        "users",
        "topic shared/#\nuser anna\ntopic read a/#\ntopic write b/+/c\ntopic readwrite c\n\
         user bert\ntopic deny a/secret\ntopic a/#\nuser anna\ntopic write d/#\n",
    ),
    (
        "deny wins wherever it stands",
        "user anna\ntopic a/#\ntopic deny a/b/#\ntopic read a/b/c\ntopic write #\ntopic deny +/no\n",
    ),
    (
        "patterns",
        "pattern read in/%c/#\npattern write out/%u/%c\npattern deny +/%u/no\npattern all/#\n\
         pattern pre-%c-post/%u%u\nuser anna\ntopic in/7/no\ntopic out/anna/no\n",
    ),
    (
        "pattern and topic",
        "user anna\ntopic read t/%c\npattern t/%c\npattern deny own/%u\ntopic own/#\n",
    ),
    ("levels that are empty", "user anna\ntopic /\ntopic read //a\ntopic write a/\ntopic +/+/+\n"),
    (
        "$ topics",
        "topic #\ntopic +/a\nuser anna\ntopic read $x/#\ntopic write $x/+\npattern $x/%u/#\n",
    ),
    ("$ is in no pattern", "pattern #\npattern deny +/b\nuser anna\ntopic deny $x/a\ntopic $x/#\n"),
    (
        "blanks and odd lines",
        "# comment\n\n   \n\t\n  topic read with space/in it \t\r\ntopic  deny   with space/no\n\
         topic two\r\nuser   a b  \r\ntopic write  sp ace\t\n topic lone\n",
    ),
];

const USERS: [Option<&str>; 6] =
    [None, Some("anna"), Some("bert"), Some("a b"), Some("x/y"), Some("an+na")];
const CLIENT_IDS: [&str; 5] = ["7", "anna", "x/y", "bad#", "%u"];

const TOPICS: &[&str] = &[
    "open/x",
    "open",
    "in/x",
    "in/x/y",
    "both",
    "shared/a",
    "shared",
    "a/b",
    "a/b/c",
    "a/no",
    "a",
    "a/secret",
    "b/x/c",
    "b/x/d",
    "c",
    "d/e",
    "x/no",
    "in/7",
    "in/7/no",
    "in/anna/a",
    "in/x/y/z",
    "out/anna/7",
    "out/anna/no",
    "out/bert/7",
    "out/x/y/7",
    "all",
    "all/no",
    "all/anna/no",
    "pre-7-post/annaanna",
    "pre-anna-post/bertbert",
    "t/%c",
    "t/7",
    "t/anna",
    "own/anna",
    "own/bert",
    "/",
    "//a",
    "a/",
    "//",
    "x//",
    "$x/a",
    "$x/b",
    "$x/anna/a",
    "$x",
    "x/b",
    "with space/in it",
    "with space/no",
    "two",
    "sp ace",
    "lone",
    "in/%u/a",
];

/// mosquitto with an ACL file and further settings, its address, and what it says if it does not
/// start.
pub(crate) fn mosquitto(
    scratch: &Scratch,
    rules: &str,
    more: &str,
) -> Result<(Running, SocketAddr), String> {
    let acl = scratch.path().join("acl");
    std::fs::write(&acl, rules).unwrap();
    let settings = format!(
        "set_tcp_nodelay true\nlog_type error\nlog_type information\nsys_interval 0\nacl_file {}\n\
         {more}",
        acl.display()
    );
    tools::mosquitto(scratch, &settings)
}

fn client(address: SocketAddr, user: Option<&str>, client_id: &str) -> Client {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut client = Client::over(socket, Version::V5);
    let mut packet = connect(Version::V5, client_id);
    packet.user_name = user;
    packet.password = user.map(|_| &b"any"[..]);
    client.send(&Packet::Connect(Box::new(packet)));
    client.answer();
    client
}

/// Publishes each topic with its number; the numbers of those that were not refused.
fn publishes_all(client: &mut Client) -> Vec<usize> {
    let mut taken = Vec::new();
    for (n, topic) in TOPICS.iter().enumerate() {
        let payload = n.to_string();
        let id = u16::try_from(n).unwrap() + 1;
        client.send(&Packet::Publish(publish(topic, payload.as_bytes(), QoS::AtLeastOnce, id)));
        match client.answer() {
            Heard::PubAck(heard, 0 | 0x10) if heard == id => taken.push(n),
            Heard::PubAck(heard, 0x87) if heard == id => {}
            other => panic!("{topic}: {other:?}"),
        }
    }
    taken
}

/// The numbers of what has come by now.
fn heard_by_now(client: &mut Client) -> Vec<usize> {
    client.send(&Packet::PingReq);
    let mut numbers = Vec::new();
    loop {
        match client.hear() {
            Heard::Publish(got) => {
                numbers.push(String::from_utf8(got.payload).unwrap().parse().unwrap());
            }
            Heard::PingResp => return numbers,
            other => panic!("{other:?}"),
        }
    }
}

/// The numbers of the topics for which `may` is true.
fn numbers(may: impl Fn(TopicName<'_>) -> bool) -> Vec<usize> {
    let may = |(_, topic): &(usize, &&str)| may(TopicName::new(topic).unwrap());
    TOPICS.iter().enumerate().filter(may).map(|(n, _)| n).collect()
}

#[test]
fn deliveries_and_denials_are_mosquittos() {
    if !is_here("mosquitto", "-h", "mosquitto's ACL file beside mosquitto") {
        return;
    }
    let (mut allowed, mut denied) = (0, 0);
    for (name, file) in FILES {
        let rules = format!("{file}{WATCHER}");
        let acl = Acl::from_mosquitto(&rules).unwrap();
        let scratch = Scratch::new();
        let (_mosquitto, address) = mosquitto(&scratch, &rules, "").expect(name);
        let mut watcher = client(address, Some("watcher"), "watcher");
        let mut feeder = client(address, Some("watcher"), "feeder");
        for filter in ["#", "$x/#"] {
            watcher.subscribe(filter, QoS::AtMostOnce);
        }
        for (user, client_id) in USERS.iter().flat_map(|&u| CLIENT_IDS.map(|id| (u, id))) {
            let identity = Identity { user: user.map(Arc::from), ..Identity::default() };
            let class = acl.class(&identity, client_id);
            let row = format!("{name}: {user:?} {client_id:?}");
            let mut one = client(address, user, client_id);
            for filter in ["#", "$x/#", "no/such/+", "$share/g/no/such"] {
                let filter_of = SubscriptionFilter::parse(filter).unwrap().filter;
                assert_eq!(class.may_subscribe(filter_of), Verdict::Allowed);
                one.subscribe(filter, QoS::AtMostOnce); // it is granted
            }
            let published = numbers(|t| class.may_publish(t) == Verdict::Allowed);
            assert_eq!(publishes_all(&mut one), published, "{row} publishes");
            assert_eq!(heard_by_now(&mut watcher), published, "{row} publishes, as others see it");
            heard_by_now(&mut one); // what it received of its own
            assert_eq!(publishes_all(&mut feeder).len(), TOPICS.len());
            let received = numbers(|t| class.may_receive(t));
            assert_eq!(heard_by_now(&mut one), received, "{row} receives");
            assert_eq!(heard_by_now(&mut watcher).len(), TOPICS.len());
            allowed += published.len() + received.len();
            denied += 2 * TOPICS.len() - published.len() - received.len();
            one.disconnect();
        }
    }
    assert!(allowed > 3_000 && denied > 3_000, "{allowed} {denied}");
}

#[test]
fn what_is_no_acl_file_is_mosquittos() {
    if !is_here("mosquitto", "-h", "mosquitto's ACL file beside mosquitto") {
        return;
    }
    for file in [
        "",
        "# nothing\n",
        "user a\n",
        "topic a\n",
        "topic a",
        "topic\n",
        "topic \n",
        "topic read\n",
        "topic read  \n",
        "topic reed a\n",
        "topic Read a\n",
        "topic a b\n",
        "topic a#\n",
        "topic read a/#/b\n",
        "topic +a\n",
        "topic read a b#\n",
        "topics a\n",
        "\ttopic a\n",
        "topic\ta\n",
        "topic\tread a\n",
        "topic read\ta\n",
        "topic \ta\n",
        " # not at the start\n",
        "#topic\n",
        "user\n",
        "user \t\n",
        "user a\nuser b\n",
        "user a\ttopic b\n",
        "pattern a\n",
        "pattern %c/#/%u\n",
        "pattern deny %c/%u\n",
        "pattern\n",
        "deny a\n",
        "topic a\n\x0b\n\x0c \r\n",
        "topic a\r\ntopic b\r",
    ] {
        let scratch = Scratch::new();
        let (real, own) = (mosquitto(&scratch, file, ""), Acl::from_mosquitto(file));
        let (address, acl) = match (&real, own) {
            (Ok((_, address)), Ok(acl)) => (*address, acl),
            (Err(_), Err(_)) => continue,
            (real, own) => panic!("{file:?}: {:?} {:?}", real.as_ref().err(), own.err()),
        };
        for user in [None, Some("a")] {
            let identity = Identity { user: user.map(Arc::from), ..Identity::default() };
            let class = acl.class(&identity, "7");
            let published = numbers(|t| class.may_publish(t) == Verdict::Allowed);
            let mut one = client(address, user, "7");
            assert_eq!(publishes_all(&mut one), published, "{file:?} {user:?}");
        }
    }
}
