//! Who enters, without a network: every method, what it answers to what is wrong, and reloads.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::auth::password::{new_hash, new_scram};
use crate::codec::Version;
use crate::config::{ConfigFile, Sources, UserFrom};

#[path = "../../../tests/support/scram.rs"]
mod client;
use crate::server::hook::server::{HookServer, Said};
use client::ScramClient;

/// Files of one test.
struct Files(PathBuf);

impl Files {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("stonechat-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes one; its path.
    fn put(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn settings(text: &str) -> Settings {
    let file = ConfigFile::Text { name: "test".into(), text: text.into() };
    let sources = Sources { file: Some(file), ..Sources::default() };
    Settings::load(&sources).unwrap_or_else(|errors| panic!("{errors}")).settings
}

fn authority(text: &str) -> Arc<Authority> {
    Authority::open(&settings(text), Instant::now()).unwrap()
}

const ELSEWHERE: Peer =
    Peer::Ip(SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 4000));
const HERE: Peer = Peer::Unix { uid: 1, pid: 2 };

fn connect<'a>(user: Option<&'a str>, password: Option<&'a str>) -> Connect<'a> {
    let password = password.map(str::as_bytes);
    Connect { user_name: user, password, ..Connect::new(Version::V5, "client") }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let done = runtime.block_on(future);
    runtime.shutdown_background();
    done
}

/// What comes of a CONNECT on the first listener.
async fn enter(
    authority: &Authority,
    peer: &Peer,
    connect: &Connect<'_>,
) -> Result<Admitted, Denied> {
    let caller =
        Caller { peer, listener: 0, certificate: None, connect, client_id: connect.client_id };
    match authority.authenticate(&caller).await? {
        Step::Enter(admitted) => Ok(admitted),
        Step::Challenge { .. } => panic!("a challenge"),
    }
}

/// The same with names alone: the user, or the code of the refusal.
fn user_of(authority: &Authority, connect: &Connect<'_>) -> Result<Option<String>, u8> {
    let admitted = run(enter(authority, &ELSEWHERE, connect));
    admitted
        .map(|a| a.identity.user.as_deref().map(str::to_owned))
        .map_err(|denied| denied.reason.as_u8())
}

const FAST: &str = "auth.wrong_password_delay_ms = 0\n";
/// By mosquitto_passwd 2.0: `secret`.
const MOSQUITTO: &str = concat!(
    "$7$101$elV0+d9eAtJC1A2f$gIE9JFbStPICvgsZ/qot1Yu",
    "GIsIsxZ/MTvH/1OmnJIjIaQnbbhQB4HyQsw+HJf0PrPN2CvdHSlgfCqgO0/QhMQ=="
);

fn passwords() -> String {
    let own = new_hash(b"wren", b"0123456789abcdef");
    let scram = new_scram(b"robin", b"0123456789abcdef");
    format!("mosq:{MOSQUITTO}\nown:{own}\nscram:{scram}\n")
}

#[test]
fn users_and_passwords() {
    let files = Files::new();
    let file = files.put("passwords", &passwords());
    for anonymous in [false, true] {
        let authority = authority(&format!(
            "{FAST}auth.password_file = {file:?}\n\
             listener = [{{ address = \"127.0.0.1:0\", allow_anonymous = {anonymous} }}]"
        ));
        for (user, password, expected) in [
            (Some("mosq"), Some("secret"), Ok(Some("mosq"))),
            (Some("own"), Some("wren"), Ok(Some("own"))),
            (Some("scram"), Some("robin"), Ok(Some("scram"))),
            (Some("mosq"), Some("wren"), Err(0x86)),
            (Some("own"), Some(""), Err(0x86)),
            (Some("own"), None, Err(0x86)),
            (Some("scram"), Some("robin "), Err(0x86)),
            (Some("nobody"), Some("secret"), Err(0x86)),
            (Some("nobody"), None, Err(0x86)),
            (None, Some("secret"), Err(0x86)),
            (Some(""), Some("secret"), Err(0x86)),
            (None, None, if anonymous { Ok(None) } else { Err(0x87) }),
            (Some(""), None, if anonymous { Ok(None) } else { Err(0x87) }),
        ] {
            let found = user_of(&authority, &connect(user, password));
            let expected = expected.map(|user| user.map(str::to_owned));
            assert_eq!(found, expected, "{user:?} {password:?}");
        }
        let wrong = |user| run(enter(&authority, &ELSEWHERE, &connect(Some(user), Some("x"))));
        assert_eq!(wrong("own").unwrap_err(), wrong("nobody").unwrap_err());
    }
}

/// Without a way to check it, a name is not believed: it names nobody.
#[test]
fn a_name_that_nobody_checks_is_no_name() {
    for (anonymous, expected) in [(true, Ok(None)), (false, Err(0x87))] {
        let authority = authority(&format!(
            "listener = [{{ address = \"127.0.0.1:0\", allow_anonymous = {anonymous} }}]"
        ));
        assert_eq!(user_of(&authority, &connect(Some("admin"), Some("x"))), expected);
        assert_eq!(user_of(&authority, &connect(Some("admin"), None)), expected);
    }
}

#[test]
fn wrong_passwords_delay_their_source_and_user_alone() {
    let files = Files::new();
    let file = files.put("passwords", &passwords());
    let authority =
        authority(&format!("auth.wrong_password_delay_ms = 50\nauth.password_file = {file:?}"));
    let (wrong, right) = (connect(Some("mosq"), Some("x")), connect(Some("mosq"), Some("secret")));
    let delayed = || authority.counts.delayed.load(Relaxed);
    let before = Instant::now();
    run(async {
        for _ in 0..3 {
            let denied = enter(&authority, &ELSEWHERE, &wrong).await.unwrap_err();
            assert_eq!(denied.reason.as_u8(), 0x86);
        }
        // 50 ms before each answer; behind the first 50, behind the second 100.
        assert!(before.elapsed().as_millis() >= 50 + 100 + 50);
        let (before, other) = (delayed(), connect(Some("own"), Some("wren")));
        let all = tokio::join!(
            enter(&authority, &ELSEWHERE, &right),
            enter(&authority, &HERE, &right),
            enter(&authority, &ELSEWHERE, &other),
        );
        assert!(all.0.is_ok() && all.1.is_ok() && all.2.is_ok());
        assert_eq!(delayed(), before + 1, "neither another source nor another user waits");
        assert!(enter(&authority, &ELSEWHERE, &right).await.is_ok());
        assert_eq!(delayed(), before + 1, "a right one settles it");
    });
    let count = |(name, value): (&str, u64)| name.ends_with("wrong").then_some(value);
    assert_eq!(authority.counts().topics().into_iter().find_map(count), Some(3));
}

#[test]
fn hashes_that_need_too_much_memory_are_wrong() {
    let files = Files::new();
    let file = files.put("passwords", &passwords());
    let mut settings = settings(&format!("{FAST}auth.password_file = {file:?}"));
    settings.auth.hash_memory_bytes_max = 1 << 20; // less than the settings' own check allows
    let authority = Authority::open(&settings, Instant::now()).unwrap();
    assert_eq!(user_of(&authority, &connect(Some("own"), Some("wren"))), Err(0x86));
    assert!(user_of(&authority, &connect(Some("mosq"), Some("secret"))).is_ok());
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A token, signed with `SECRET`.
fn token(header: &str, claims: &str) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes())))
}

/// Another claim than `sub` has the name: then `sub` says nothing, and a token without that claim
/// lets nobody in.
#[test]
fn tokens_name_their_user_in_the_claim_of_the_settings() {
    const HS256: &str = r#"{"alg":"HS256"}"#;
    let files = Files::new();
    let secret = files.put("secret", SECRET);
    let authority =
        authority(&format!("auth.jwt_secret_file = {secret:?}\nauth.jwt_user_claim = \"name\""));
    for (user, claims, expected) in [
        (None, r#"{"sub":"ann","name":"bob"}"#, Ok(Some("bob".to_owned()))),
        (Some("bob"), r#"{"sub":"ann","name":"bob"}"#, Ok(Some("bob".to_owned()))),
        (Some("ann"), r#"{"sub":"ann","name":"bob"}"#, Err(0x86)),
        (None, r#"{"sub":"ann"}"#, Err(0x86)),
        (Some("ann"), r#"{"sub":"ann"}"#, Err(0x86)),
        (None, r#"{"name":7}"#, Err(0x86)),
    ] {
        let password = token(HS256, claims);
        let found = user_of(&authority, &connect(user, Some(&password)));
        assert_eq!(found, expected, "{user:?} {claims}");
    }
}

#[test]
fn tokens() {
    const HS256: &str = r#"{"alg":"HS256"}"#;
    let files = Files::new();
    let secret = files.put("secret", &format!("{SECRET}\n"));
    let authority = authority(&format!("auth.jwt_secret_file = {secret:?}"));
    let now = Authority::now_s();
    let until = |at| format!(r#"{{"sub":"ann","exp":{at}}}"#);
    let mut forged = token(HS256, &until(now + 60));
    forged.pop();
    let none = token(r#"{"alg":"none"}"#, &until(now + 60));
    let unsigned = &none[..=none.rfind('.').unwrap()];
    for (user, password, expected) in [
        (None, token(HS256, &until(now + 60)), Ok(Some("ann"))),
        (Some(""), token(HS256, r#"{"sub":"ann"}"#), Ok(Some("ann"))),
        (Some("ann"), token(HS256, r#"{"sub":"ann"}"#), Ok(Some("ann"))),
        (Some("bob"), token(HS256, r#"{"sub":"ann"}"#), Err(0x86)),
        (Some("bob"), token(HS256, "{}"), Err(0x86)),
        (None, token(HS256, "{}"), Err(0x86)),
        (None, token(HS256, r#"{"name":"ann","acl":{"publish":["t"]}}"#), Err(0x86)),
        (None, token(HS256, r#"{"sub":""}"#), Err(0x86)),
        (None, token(HS256, r#"{"sub":"ann","client_id":"client"}"#), Ok(Some("ann"))),
        (None, token(HS256, r#"{"sub":"ann","client_id":"other"}"#), Err(0x86)),
        (None, token(HS256, &until(now - 1)), Err(0x86)),
        (None, forged, Err(0x86)),
        (None, none.clone(), Err(0x86)),
        (None, unsigned.to_owned(), Err(0x86)),
        (Some("ann"), "no token".to_owned(), Err(0x86)),
    ] {
        let found = user_of(&authority, &connect(user, Some(&password)));
        assert_eq!(found, expected.map(|u| u.map(str::to_owned)), "{user:?} {password}");
    }
    let claims = format!(
        r#"{{"sub":"ann","exp":{},"roles":["r"],"acl":{{"publish":["a/%u/#"],"subscribe":["%c"]}}}}"#,
        now + 60
    );
    let password = token(HS256, &claims);
    let admitted = run(enter(&authority, &ELSEWHERE, &connect(None, Some(&password)))).unwrap();
    let grants = admitted.identity.grants.as_ref().unwrap();
    assert_eq!(
        (&*grants.publish, &*grants.subscribe),
        (&["a/ann/#".into()][..], &["client".into()][..])
    );
    assert_eq!(admitted.identity.roles, ["r".into()]);
    let left_ms = admitted.ends.ms_since(Time(authority.now_ms()));
    assert!((58_000..=61_000).contains(&left_ms), "{left_ms}");
}

#[test]
fn certificates_name_users_where_the_listener_says_so() {
    let mut settings = settings("auth.allow_anonymous = true");
    for (user_from, certificate, expected) in [
        (UserFrom::CommonName, Some(Some("cn")), Ok(Some("cn".to_owned()))),
        (UserFrom::CommonName, Some(None), Err(0x87)),
        (UserFrom::CommonName, Some(Some("")), Err(0x87)),
        (UserFrom::CommonName, None, Ok(None)),
        (UserFrom::Connect, Some(Some("cn")), Ok(None)),
    ] {
        settings.listener[0].user_from = user_from;
        let authority = Authority::open(&settings, Instant::now()).unwrap();
        let connect = connect(None, None);
        let name = certificate
            .map(|user| ClientName { user: user.map(str::to_owned), ..ClientName::default() });
        let caller = Caller {
            peer: &ELSEWHERE,
            listener: 0,
            certificate: name.as_ref(),
            connect: &connect,
            client_id: "client",
        };
        let found = match run(authority.authenticate(&caller)) {
            Ok(Step::Enter(admitted)) => Ok(admitted.identity.user.as_deref().map(str::to_owned)),
            Ok(Step::Challenge { .. }) => panic!("a challenge"),
            Err(denied) => Err(denied.reason.as_u8()),
        };
        assert_eq!(found, expected, "{user_from:?} {certificate:?}");
    }
}

fn scram_connect<'a>(method: &'a str, data: &'a [u8]) -> Connect<'a> {
    Connect {
        authentication_method: Some(method),
        authentication_data: Some(data),
        ..connect(None, None)
    }
}

fn caller<'a>(connect: &'a Connect<'a>) -> Caller<'a> {
    Caller { peer: &HERE, listener: 0, certificate: None, connect, client_id: "client" }
}

async fn challenge(authority: &Authority, first: &[u8]) -> (Vec<u8>, Exchange) {
    let connect = scram_connect("SCRAM-SHA-256", first);
    match authority.authenticate(&caller(&connect)).await.unwrap() {
        Step::Challenge { data, next } => (data, next),
        Step::Enter(_) => panic!("without a challenge"),
    }
}

#[test]
fn scram_and_its_replay() {
    let files = Files::new();
    let file = files.put("passwords", &passwords());
    let authority = authority(&format!("{FAST}auth.password_file = {file:?}"));
    authority.make_salts_with(7);
    run(async {
        for (user, password, fits) in [
            ("scram", "robin", true),
            ("scram", "wren", false),
            ("own", "wren", false), // has no verifier
            ("nobody", "robin", false),
        ] {
            let (client, first) = ScramClient::new(user, password, "nonce");
            let (data, next) = challenge(&authority, &first).await;
            let (last, proof) = client.answer(&data);
            let connect = scram_connect("SCRAM-SHA-256", &first);
            match authority.go_on(&caller(&connect), next, &last).await {
                Ok(Step::Enter(admitted)) => {
                    assert!(fits, "{user}");
                    assert_eq!(admitted.identity.user.as_deref(), Some(user));
                    let own = ("SCRAM-SHA-256".to_owned(), proof);
                    assert_eq!(admitted.authentication, Some(own));
                    // The same two messages again: there is another challenge for them.
                    let (_, next) = challenge(&authority, &first).await;
                    let again = authority.go_on(&caller(&connect), next, &last).await;
                    assert_eq!(again.unwrap_err(), Denied::WRONG);
                }
                Ok(Step::Challenge { .. }) => panic!("a second challenge"),
                Err(denied) => assert_eq!((fits, denied), (false, Denied::WRONG), "{user}"),
            }
        }
        // The salt of somebody who is not there is always the same.
        let salt = async || {
            let (_, first) = ScramClient::new("nobody", "", "nonce");
            let data = challenge(&authority, &first).await.0;
            String::from_utf8(data).unwrap().split_once(",s=").unwrap().1.to_owned()
        };
        assert_eq!(salt().await, salt().await);
        for (method, data, code) in [
            ("SCRAM-SHA-1", &b"n,,n=scram,r=nonce"[..], 0x8c),
            ("SCRAM-SHA-256", b"n,,n=scram", 0x87),
            ("SCRAM-SHA-256", b"", 0x87),
            ("SCRAM-SHA-256", b"p=tls-unique,,n=scram,r=nonce", 0x87),
        ] {
            let connect = scram_connect(method, data);
            let denied = authority.authenticate(&caller(&connect)).await.unwrap_err();
            assert_eq!(denied.reason.as_u8(), code, "{method} {data:?}");
        }
    });
}

#[test]
fn a_link_authenticates_again_as_who_it_is() {
    let files = Files::new();
    let hash = new_scram(b"robin", b"0123456789abcdef");
    let file = files.put("passwords", &format!("a:{hash}\nb:{hash}\n"));
    let authority = authority(&format!("{FAST}auth.password_file = {file:?}"));
    let identity = Arc::new(Identity { user: Some("a".into()), ..Identity::default() });
    let ask = async |link: u32, first, data: &[u8]| {
        let question =
            Question::Reauthenticate { method: "SCRAM-SHA-256".into(), data: data.into(), first };
        let asked = Asked {
            shard: ShardId(0),
            link: LinkKey::new(link, 1),
            question,
            identity: Arc::clone(&identity),
            client_id: "client".into(),
            peer: HERE,
        };
        authority.answer(asked).await
    };
    run(async {
        for (link, user, password, fits) in
            [(1, "a", "robin", true), (2, "a", "wren", false), (3, "b", "robin", false)]
        {
            let (client, first) = ScramClient::new(user, password, "nonce");
            let Answer::Continue(data) = ask(link, true, &first).await else { panic!("{user}") };
            let (last, proof) = client.answer(&data);
            assert_eq!(ask(9, false, &last).await, Answer::Failed, "another link's");
            let answer = ask(link, false, &last).await;
            match answer {
                Answer::Authenticated { data, identity: new, ends } => {
                    assert!(fits && data == proof && ends == Time::NEVER);
                    assert_eq!(new.user, identity.user);
                }
                other => assert_eq!((fits, other), (false, Answer::Failed)),
            }
            assert_eq!(ask(link, false, &last).await, Answer::Failed, "it is used up");
        }
        assert_eq!(ask(1, true, b"nonsense").await, Answer::Failed);
    });
}

#[test]
fn the_hook_decides_about_those_that_the_file_does_not_know() {
    let files = Files::new();
    let file = files.put("passwords", &passwords());
    let hook = HookServer::new(|body| {
        let allow = body.contains(r#""user":"hooked""#) && body.contains(r#""password":"yes""#);
        Said::Answer(
            200,
            match allow {
                true => r#"{"allow":true,"user":"other","roles":["r"],"acl":{"publish":["%u/#"]}}"#
                    .into(),
                false => r#"{"allow":false}"#.into(),
            },
        )
    });
    let text = format!("{FAST}auth.password_file = {file:?}\nauth.hook_url = {:?}", hook.url());
    let authority = authority(&text);
    assert_eq!(
        user_of(&authority, &connect(Some("mosq"), Some("secret"))),
        Ok(Some("mosq".into()))
    );
    assert!(hook.asked().is_empty());
    let admitted = run(enter(&authority, &HERE, &connect(Some("hooked"), Some("yes")))).unwrap();
    let identity = &admitted.identity;
    assert_eq!((identity.user.as_deref(), &*identity.roles), (Some("other"), &["r".into()][..]));
    let grants = identity.grants.as_ref().unwrap();
    assert_eq!((&*grants.publish, &*grants.subscribe), (&["other/#".into()][..], &[][..]));
    assert_eq!(user_of(&authority, &connect(Some("hooked"), Some("no"))), Err(0x86));
    assert_eq!(user_of(&authority, &connect(Some("mosq"), Some("no"))), Err(0x86));
    assert_eq!(hook.asked().len(), 3);
    assert_eq!(
        hook.asked()[0],
        r#"{"action":"connect","client_id":"client","user":"hooked","password":"yes","peer":"unix:uid=1","listener":"127.0.0.1:1883"}"#
    );
    drop(hook);
    assert_eq!(user_of(&authority, &connect(Some("mosq"), Some("no"))), Err(0x88), "it is down");
}

#[test]
fn the_hook_decides_about_topics() {
    let hook = HookServer::new(|body| {
        Said::Answer(200, format!(r#"{{"allow":{}}}"#, body.contains("good")))
    });
    let text = format!("auth.hook_url = {:?}\nauth.hook_acl = true", hook.url());
    let authority = authority(&text);
    let ask = |question| {
        let asked = Asked {
            shard: ShardId(0),
            link: LinkKey::new(1, 1),
            question,
            identity: Arc::new(Identity { user: Some("u".into()), ..Identity::default() }),
            client_id: "client".into(),
            peer: HERE,
        };
        run(authority.answer(asked))
    };
    for _ in 0..2 {
        assert_eq!(ask(Question::Publish("good".into())), Answer::Allowed(true));
        assert_eq!(ask(Question::Publish("bad".into())), Answer::Allowed(false));
        assert_eq!(ask(Question::Subscribe("good/#".into())), Answer::Allowed(true));
    }
    let asked = hook.asked();
    assert_eq!(asked.len(), 3, "the second time all is known");
    assert_eq!(asked[0], r#"{"action":"publish","client_id":"client","user":"u","topic":"good"}"#);
    drop(hook);
    assert_eq!(ask(Question::Publish("good".into())), Answer::Allowed(true), "still known");
    assert_eq!(ask(Question::Publish("good/2".into())), Answer::Allowed(false), "it is down");
}

#[test]
fn connections_of_a_user_are_counted() {
    let files = Files::new();
    let file = files.put("passwords", &passwords());
    let authority = authority(&format!(
        "{FAST}auth.password_file = {file:?}\n[[quota]]\nusers = \"m*\"\nconnections_max = 2"
    ));
    let enter = |id| {
        let connect = Connect { client_id: id, ..connect(Some("mosq"), Some("secret")) };
        run(enter(&authority, &HERE, &connect))
    };
    let (_a, b) = (enter("a").unwrap(), enter("b").unwrap());
    assert_eq!(enter("c").unwrap_err().reason, ReasonCode::QuotaExceeded);
    assert!(enter("b").is_ok(), "a takeover");
    drop(b);
    assert!(enter("c").is_ok());
}

/// A piece that is broken keeps what was in force, and says where it is broken.
#[test]
fn reloads() {
    let files = Files::new();
    let file = files.put("passwords", &passwords());
    let acl = files.put("acl", "topic read a\n");
    let text = format!("{FAST}auth.password_file = {file:?}\nauth.acl_file = {acl:?}");
    let authority = authority(&text);
    let watched = authority.watched();
    let paths: Vec<_> = watched.iter().flat_map(|one| one.paths()).collect();
    assert_eq!(paths, [PathBuf::from(&file), PathBuf::from(&acl)]);
    let (mosq, old_acl) = (connect(Some("mosq"), Some("secret")), authority.acl());
    files.put("passwords", &format!("new:{MOSQUITTO}\n"));
    assert!(user_of(&authority, &mosq).is_ok(), "nothing has been read yet");
    watched[0].reload().unwrap();
    assert_eq!(user_of(&authority, &mosq), Err(0x86));
    assert!(user_of(&authority, &connect(Some("new"), Some("secret"))).is_ok());
    files.put("passwords", "# fine\nnew:$7$zebra\n");
    let why = watched[0].reload().unwrap_err();
    assert!(why.contains(&format!("{file}:2:")) && !why.contains("zebra"), "{why}");
    assert!(user_of(&authority, &connect(Some("new"), Some("secret"))).is_ok());
    assert!(Arc::ptr_eq(&old_acl, &authority.acl()));
    files.put("acl", "topic read b\n");
    watched[2].reload().unwrap();
    assert!(!Arc::ptr_eq(&old_acl, &authority.acl()));
    // All together, with one broken: the others are new.
    files.put("acl", "nonsense\n");
    files.put("passwords", &format!("third:{MOSQUITTO}\n"));
    let problems = authority.reload(&settings(&text));
    assert!(matches!(&problems[..], [why] if why.contains(&format!("{acl}:1:"))), "{problems:?}");
    assert!(user_of(&authority, &connect(Some("third"), Some("secret"))).is_ok());
    std::fs::remove_file(&file).unwrap();
    assert!(watched[0].reload().unwrap_err().contains(&file));
    assert!(user_of(&authority, &connect(Some("third"), Some("secret"))).is_ok());
}

#[test]
fn sources() {
    let of = |text: &str| source_of(&Peer::Ip(text.parse().unwrap()));
    assert_eq!(of("192.0.2.1:1"), of("192.0.2.1:2"));
    assert_eq!(of("192.0.2.1:1"), of("[::ffff:192.0.2.1]:1"));
    assert_ne!(of("192.0.2.1:1"), of("192.0.2.2:1"));
    assert_eq!(of("[2001:db8::1]:1"), of("[2001:db8::ffff:0:0:1]:1"));
    assert_ne!(of("[2001:db8:0:1::1]:1"), of("[2001:db8:0:2::1]:1"));
    assert_eq!(source_of(&HERE), source_of(&Peer::Unix { uid: 1, pid: 3 }));
    assert_ne!(source_of(&HERE), source_of(&Peer::Unix { uid: 2, pid: 2 }));
}

/// The broker's token for the hook: it is in force from the next question on, and a file that has
/// none in it, or what none can be, changes nothing.
#[test]
fn the_hooks_token_is_read_again() {
    let files = Files::new();
    let hook = HookServer::saying(200, r#"{"allow":true}"#);
    let file = files.put("token", "first\n");
    let text = format!(
        "{FAST}auth.hook_url = {:?}\nauth.hook_token_file = {file:?}\nauth.hook_cache_s = 0",
        hook.url()
    );
    let authority = authority(&text);
    let shown = || {
        assert!(user_of(&authority, &connect(Some("u"), Some("yes"))).is_ok());
        hook.authorizations().pop().unwrap().unwrap()
    };
    assert_eq!(shown(), "Bearer first");
    let watched = &authority.watched()[3];
    assert_eq!(watched.paths(), [PathBuf::from(&file)]);
    files.put("token", "second\r\n");
    watched.reload().unwrap();
    assert_eq!(shown(), "Bearer second");
    for (broken, why) in [
        ("", "there is no token in it"),
        ("\n", "there is no token in it"),
        ("hush\nhush\n", "no header can carry this"),
        ("hush h\u{fc}sh", "no header can carry this"),
        (&"hush".repeat(1025), "more than 4096 bytes"),
    ] {
        files.put("token", broken);
        let told = watched.reload().unwrap_err();
        assert!(told.contains(&file) && told.contains(why) && !told.contains("hush"), "{told}");
        assert_eq!(authority.reload(&settings(&text)), std::slice::from_ref(&told));
        assert_eq!(shown(), "Bearer second", "{broken:?}");
        let opened = Authority::open(&settings(&text), Instant::now());
        assert!(told.ends_with(&opened.err().unwrap()), "{told}");
    }
    std::fs::remove_file(&file).unwrap();
    assert!(watched.reload().unwrap_err().contains(&file));
    assert_eq!(shown(), "Bearer second");
    files.put("token", "third");
    assert!(authority.reload(&settings(&text)).is_empty());
    assert_eq!(shown(), "Bearer third");
}
