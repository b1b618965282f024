//! The hook over real sockets: answers, and all that is none.

use std::sync::atomic::AtomicUsize;

use super::server::{HookServer, Said, serve};
use super::*;

fn hook(url: &str, change: impl FnOnce(&mut HookRules)) -> Hook {
    let mut rules = HookRules {
        url: url.to_owned(),
        ca_file: PathBuf::new(),
        token: None,
        timeout_ms: 20_000,
        cache_s: 60,
        concurrent_max: 2,
    };
    change(&mut rules);
    Hook::new(&rules, [1; 32], Arc::default()).unwrap()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let done = runtime.block_on(future);
    runtime.shutdown_background();
    done
}

fn question(user: &str) -> ConnectQuestion<'_> {
    ConnectQuestion { user: Some(user), password: Some(b"secret"), ..ConnectQuestion::default() }
}

fn connects(hook: &Hook, user: &str) -> Result<bool, Unanswered> {
    run(hook.connect(&question(user))).map(|answer| answer.allow)
}

#[test]
fn what_is_no_answer_is_a_refusal() {
    let long = format!(r#"{{"allow":true,"user":"{}"}}"#, "x".repeat(ANSWER_BYTES_MAX as usize));
    for (status, body) in [
        (200, ""),
        (200, "true"),
        (200, "{}"),
        (200, r#"{"allow":"yes"}"#),
        (200, r#"{"allow":1}"#),
        (200, r#"{"allow":true"#),
        (200, r#"{"allow":true}{"allow":true}"#),
        (200, r#"{"allow":true,"allow":true}"#),
        (200, r#"{"allow":true,"roles":"r"}"#),
        (200, long.as_str()),
        (201, r#"{"allow":true}"#),
        (302, r#"{"allow":true}"#),
        (403, r#"{"allow":true}"#),
        (500, r#"{"allow":true}"#),
    ] {
        let server = HookServer::saying(status, body);
        let hook = hook(&server.url(), |_| {});
        let cut = &body[..body.len().min(60)];
        assert_eq!(connects(&hook, "u"), Err(Unanswered::Failed), "{status} {cut}");
        assert_eq!(hook.counts.failed.load(Relaxed), 1);
    }
    for bytes in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"all",
    ] {
        let server = HookServer::new(|_| Said::Bytes(bytes.to_vec()));
        let hook = hook(&server.url(), |_| {});
        assert_eq!(connects(&hook, "u"), Err(Unanswered::Failed), "{bytes:?}");
    }
}

#[test]
fn answers_and_what_is_remembered_of_them() {
    let server = HookServer::new(|body| {
        Said::Answer(
            200,
            match () {
                () if body.contains(r#""user":"once""#) => r#"{"allow":true,"cache_s":0}"#.into(),
                () if body.contains(r#""user":"no""#) => r#"{"allow":false,"unknown":[1]}"#.into(),
                () => r#"{"allow":true}"#.into(),
            },
        )
    });
    let hook = hook(&server.url(), |_| {});
    for _ in 0..2 {
        assert_eq!(connects(&hook, "yes"), Ok(true));
        assert_eq!(connects(&hook, "once"), Ok(true));
        assert_eq!(connects(&hook, "no"), Ok(false));
    }
    assert_eq!(server.asked().len(), 5, "one answer was remembered");
    let other = ConnectQuestion { password: Some(b"Secret"), ..question("yes") };
    assert!(run(hook.connect(&other)).is_ok());
    assert_eq!(server.asked().len(), 6, "another password is another question");
    drop(server);
    assert_eq!(connects(&hook, "yes"), Ok(true));
    assert_eq!(connects(&hook, "no"), Err(Unanswered::Failed));
    assert_eq!(hook.counts.from_cache.load(Relaxed), 2);
}

/// Nothing is remembered with `cache_s = 0`, unless an answer says so.
#[test]
fn without_a_cache_each_question_is_asked() {
    let server = HookServer::saying(200, r#"{"allow":true}"#);
    let hook = hook(&server.url(), |rules| rules.cache_s = 0);
    for _ in 0..3 {
        assert_eq!(connects(&hook, "u"), Ok(true));
    }
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn a_hook_that_is_slow_or_down() {
    let server = HookServer::new(|_| Said::Nothing);
    let slow = hook(&server.url(), |rules| rules.timeout_ms = 100);
    assert_eq!(connects(&slow, "u"), Err(Unanswered::Failed));
    let down = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/", free.local_addr().unwrap())
    };
    assert_eq!(connects(&hook(&down, |_| {}), "u"), Err(Unanswered::Failed));
}

/// In each question, also over a connection that is kept; without one there is no such header.
#[test]
fn the_broker_shows_its_token() {
    let server = HookServer::saying(200, r#"{"allow":true}"#);
    let with = hook(&server.url(), |rules| {
        rules.token = Some(Token::new(b"hush").unwrap());
        rules.cache_s = 0;
    });
    assert_eq!(connects(&with, "u"), Ok(true));
    let topic = TopicQuestion { client_id: "c", user: Some("u"), topic: Wanted::Publish("t") };
    assert_eq!(run(with.may(&topic)), Ok(true));
    assert_eq!(connects(&hook(&server.url(), |_| {}), "u"), Ok(true));
    let shown = Some("Bearer hush".to_owned());
    assert_eq!(server.authorizations(), [shown.clone(), shown, None]);
}

/// Two questions are under way and not answered: a third waits for its turn, as long as it may.
#[test]
fn questions_under_way_are_bounded() {
    let server = HookServer::new(|_| Said::Nothing);
    let hook = hook(&server.url(), |rules| rules.timeout_ms = 300);
    let (one, two) = (question("a"), question("b"));
    run(async {
        let third = async {
            tokio::task::yield_now().await;
            let question = question("c");
            let third = hook.connect(&question);
            tokio::pin!(third);
            tokio::select! {
                biased;
                _ = &mut third => panic!("it has not waited"),
                () = tokio::task::yield_now() => {}
            }
            assert_eq!((hook.slots.available_permits(), hook.waiting.load(Relaxed)), (0, 1));
            third.await
        };
        let (a, b, c) = tokio::join!(hook.connect(&one), hook.connect(&two), third);
        assert_eq!((a, b), (Err(Unanswered::Failed), Err(Unanswered::Failed)));
        assert!(c.is_err(), "its time was over, too, or nearly");
    });
    let waiting = AtomicUsize::new(0);
    let one = Waits::begin(&waiting, 1);
    assert!(one.is_some() && Waits::begin(&waiting, 1).is_none());
    drop(one);
    assert_eq!(waiting.load(Relaxed), 0);
}

#[test]
fn urls_that_are_none() {
    for url in ["", "nonsense", "ftp://h/", "http:///x", "http://u:p@h/", "https://h/"] {
        let rules = HookRules {
            url: url.to_owned(),
            ca_file: PathBuf::new(),
            token: None,
            timeout_ms: 1,
            cache_s: 0,
            concurrent_max: 1,
        };
        let why = Hook::new(&rules, [0; 32], Arc::default()).err();
        assert!(why.is_some_and(|why| why.starts_with("auth.hook_url: ")), "{url}");
    }
}

/// Over TLS the hook has to show a certificate that the file's authorities have signed.
#[test]
fn https() {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let thread = std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let stream = rustls::StreamOwned::new(connection, stream.unwrap());
            let answer = |_: &str| Said::Answer(200, r#"{"allow":true}"#.to_owned());
            let _ = serve(stream, &Mutex::default(), &answer);
        }
    });
    let file = std::env::temp_dir().join(format!("stonechat-hook-{}", std::process::id()));
    for (pem, expected) in [(own.cert.pem(), Ok(true)), (other.cert.pem(), Err(Unanswered::Failed))]
    {
        std::fs::write(&file, pem).unwrap();
        let hook = hook(&url, |rules| rules.ca_file = file.clone());
        assert_eq!(connects(&hook, "u"), expected);
    }
    std::fs::write(&file, "no certificate").unwrap();
    assert!(certificates(&file).is_err());
    std::fs::remove_file(&file).unwrap();
    thread.join().unwrap();
}
