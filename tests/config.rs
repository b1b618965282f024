//! The configuration from the outside: layers, mistakes, the example file, the program's answers.
#![allow(clippy::unwrap_used)]
use std::ffi::OsString;
use std::process::{Command, Output};
use stonechat::config::{
    ConfigFile, EXAMPLE, Excess, Listener, ListenerKind, Loaded, Method, Place, QueueFull, Quota,
    Settings, Sources, example_in_full,
};

fn sources(file: Option<&str>, environment: &[(&str, &str)], set: &[&str]) -> Sources {
    let text = |text: &str| ConfigFile::Text { name: "test.toml".into(), text: text.into() };
    Sources {
        file: file.map(text),
        environment: environment.iter().map(|(k, v)| (k.into(), v.into())).collect(),
        set: set.iter().map(|s| s.to_string()).collect(),
        ..Sources::default()
    }
}

fn load(file: &str) -> Loaded {
    Settings::load(&sources(Some(file), &[], &[])).unwrap()
}

/// The mistakes, one per line.
fn mistakes(sources: &Sources) -> Vec<String> {
    let errors = Settings::load(sources).unwrap_err();
    errors.to_string().lines().map(str::to_owned).collect()
}

fn anonymous(loaded: &Loaded) -> Vec<bool> {
    loaded.settings.listener.iter().map(|l| l.allow_anonymous).collect()
}

// Layers

#[test]
fn the_later_layer_wins() {
    let file = "[mqtt]\nreceive_maximum = 2\nin_flight_max = 2\ntopic_alias_max = 2\n";
    let environment = [
        ("STONECHAT__MQTT__IN_FLIGHT_MAX", "3"),
        ("STONECHAT__MQTT__TOPIC_ALIAS_MAX", "3"),
        ("STONECHAT_PORT", "tcp://10.0.0.1:1883"),
        ("PATH", "/bin"),
    ];
    let set = ["mqtt.topic_alias_max=4", "mqtt.response_information=5", "limits.queue_qos0=true"];
    let loaded = Settings::load(&sources(Some(file), &environment, &set)).unwrap();
    let mqtt = &loaded.settings.mqtt;
    assert_eq!(mqtt.client_id_bytes_max, 1024);
    assert_eq!((mqtt.receive_maximum, mqtt.in_flight_max, mqtt.topic_alias_max), (2, 3, 4));
    assert_eq!(mqtt.response_information, "5");
    assert!(loaded.settings.limits.queue_qos0);
}

#[test]
fn the_last_argument_wins() {
    let mut sources = sources(
        None,
        &[("STONECHAT__LOG__LEVEL", "off")],
        &[
            "log.level=warn",
            "limits.queue_full=drop_newest",
            "limits.queue_full=drop_oldest",
            "limits.queue_full=drop_newest",
        ],
    );
    let settings = Settings::load(&sources).unwrap().settings;
    assert_eq!(settings.log.level, "warn");
    assert_eq!(settings.limits.queue_full, QueueFull::DropNewest);
    sources.log_level = Some("debug,stonechat::broker=trace".into());
    let settings = Settings::load(&sources).unwrap().settings;
    assert_eq!(settings.log.level, "debug,stonechat::broker=trace");
}

#[test]
fn every_way_of_writing_toml_is_understood() {
    let file = "server.shards = 0x2\nlimits = { queue_bytes_max = 1_000_000 }\n\
                listener = [{ address = \"localhost:0\" }]\n";
    let settings = load(file).settings;
    assert_eq!((settings.server.shards, settings.limits.queue_bytes_max), (2, 1_000_000));
    assert_eq!(settings.listener[0].address, "localhost:0");
    assert_eq!(load("\u{feff}[server]\r\nshards = 3\r\n").settings.server.shards, 3);
    assert_eq!(settings.listener.len(), 1);
}

// Listeners and anonymous clients

#[test]
fn without_a_file_loopback_is_open() {
    let loaded = Settings::load(&Sources::default()).unwrap();
    let addresses: Vec<_> = loaded.settings.listener.iter().map(|l| l.address.as_str()).collect();
    assert_eq!(addresses, ["127.0.0.1:1883", "[::1]:1883"]);
    assert_eq!(anonymous(&loaded), [true, true]);
    let optional: Vec<_> = loaded.settings.listener.iter().map(|l| l.optional).collect();
    assert_eq!(optional, [false, true]);
    assert_eq!(loaded.warnings, [""; 0]);
}

#[test]
fn with_a_file_being_open_has_to_be_said() {
    for file in ["", "listener = []", "[server]\nshards = 1"] {
        let loaded = load(file);
        assert_eq!(loaded.settings.listener.len(), 2, "{file}");
        assert_eq!(anonymous(&loaded), [false, false], "{file}");
        assert!(loaded.warnings[0].contains("nobody can connect"), "{file}");
    }
    assert_eq!(anonymous(&load("[auth]\nallow_anonymous = true")), [true, true]);
    let own = "[[listener]]\naddress = \"127.0.0.1:1\"\n\
               [[listener]]\naddress = \"127.0.0.1:2\"\nallow_anonymous = true\n\
               [[listener]]\naddress = \"127.0.0.1:3\"\nallow_anonymous = false\n";
    assert_eq!(anonymous(&load(own)), [false, true, false]);
    assert_eq!(
        anonymous(&load(&format!("{own}[auth]\nallow_anonymous = true"))),
        [true, true, false]
    );
}

#[test]
fn a_listener_open_to_others_is_warned_of() {
    let file = "[auth]\nallow_anonymous = true\n[[listener]]\naddress = \"0.0.0.0:1883\"\n\
                [[listener]]\naddress = \"mqtt.example:1883\"\n\
                [[listener]]\naddress = \"LOCALHOST:1883\"\n\
                [[listener]]\naddress = \"[::ffff:127.0.0.1]:1884\"\n";
    let warnings = load(file).warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("0.0.0.0:1883") && warnings[1].contains("mqtt.example:1883"));
}

#[test]
fn what_is_warned_of() {
    let tls = [CERTIFICATE, KEY, CA, ASKED].join("\n");
    let open = "allow_anonymous = true";
    let websocket = "protocol = \"websocket\"";
    let rows: &[(&str, &str, &[&str])] = &[
        ("127.0.0.1:1", "", &["nobody can connect"]),
        ("127.0.0.1:1", open, &[]),
        ("unix:/s", "", &["nobody can connect"]),
        ("unix:/s", open, &[]),
        ("0.0.0.0:1", "[auth]\npassword_file = \"p\"", &[]),
        ("0.0.0.0:1", "[auth]\njwt_secret_file = \"p\"", &[]),
        ("0.0.0.0:1", "[auth]\nhook_url = \"http://h/\"", &[]),
        (
            "0.0.0.0:1",
            "[auth]\nhook_url = \"http://h/\"\npassword_file = \"p\"\nauthentication = \"hook\"",
            &[],
        ),
        ("0.0.0.0:1", &tls, &["nobody can connect"]),
        ("0.0.0.0:1", &format!("{tls}\nuser_from = \"common_name\""), &[]),
        ("0.0.0.0:1", &format!("{tls}\n{open}"), &[]),
        ("0.0.0.0:1", &format!("{CERTIFICATE}\n{KEY}\n{open}"), &["anyone who reaches"]),
        (
            "127.0.0.1:1",
            &format!("{open}\nproxy = \"any\"\nproxy_from = \"::1\""),
            &["anyone who reaches"],
        ),
        ("127.0.0.1:1", &format!("{open}\n{websocket}"), &["any web page"]),
        ("0.0.0.0:1", &format!("{open}\n{websocket}"), &["anyone who reaches"]),
        ("127.0.0.1:1", &format!("{open}\n{websocket}\norigins = \"null\""), &[]),
        ("unix:/s", &format!("{open}\n{websocket}"), &[]),
        (
            "127.0.0.1:1",
            &format!("{open}\n[auth]\ntakeover_by_other_users = true"),
            &["auth.takeover_by_other_users = true: whoever"],
        ),
    ];
    for (address, rest, expected) in rows {
        let found = load(&format!("[[listener]]\naddress = \"{address}\"\n{rest}")).warnings;
        let fits = |(found, expected): (&String, &&str)| found.contains(expected);
        let fine = found.len() == expected.len() && found.iter().zip(*expected).all(fits);
        assert!(fine, "{address}\n{rest}\n{found:#?}");
    }
}

#[test]
fn listen_replaces_the_listeners() {
    let listen = vec!["127.0.0.1:0".to_owned(), "0.0.0.0:0".to_owned()];
    let with = |file, environment: &[_]| {
        let sources = Sources { listen: listen.clone(), ..sources(file, environment, &[]) };
        anonymous(&Settings::load(&sources).unwrap())
    };
    let file = "[[listener]]\naddress = \"127.0.0.1:1\"\nallow_anonymous = true\n";
    assert_eq!(with(None, &[]), [true, false]);
    assert_eq!(with(Some(file), &[]), [false, false]);
    assert_eq!(with(None, &[("STONECHAT__AUTH__ALLOW_ANONYMOUS", "true")]), [true, true]);
    assert_eq!(with(None, &[("STONECHAT__AUTH__ALLOW_ANONYMOUS", "false")]), [false, false]);
}

#[test]
fn saying_no_closes_the_default_listeners_too() {
    let loaded = Settings::load(&sources(None, &[], &["auth.allow_anonymous=false"])).unwrap();
    assert_eq!(anonymous(&loaded), [false, false]);
}

// Mistakes

const MANY_MISTAKES: &str = r#"lug = 1
shards = 2
log = "info"
[server]
shard = 2
connections_max = "many"
  shutdown_ms = 600001
queue_full = "drop_oldest"
[mqtt]
receive_maximum = 0
retain_available = 1
response_information = "a/#"
[limits]
queue_full = "drop-oldest"
queued_bytes_max = 1.5
[[listener]]
adress = "127.0.0.1:1883"
[[listener]]
address = "127.0.0.1"
connections_max = -1
[[listener]]
address = "127.0.0.1:7"
[[listener]]
address = "127.0.0.1:7"
"#;

const MANY_MISTAKES_TOLD: &str = r#"
test.toml:1:1: unknown section "lug"; did you mean "log"?
test.toml:2:1: "shards" stands outside its section [server]
test.toml:3:1: log is a section: write [log] on a line of its own and its settings below it
test.toml:5:1: unknown setting "shard" in section [server]; did you mean "shards"?
test.toml:6:19: server.connections_max: expected a whole number from 1 to 10000000, found "many"
test.toml:7:17: server.shutdown_ms: expected a whole number from 0 to 600000, found 600001
test.toml:8:1: unknown setting "queue_full" in section [server]; it belongs to section [limits]
test.toml:10:19: mqtt.receive_maximum: expected a whole number from 1 to 65535, found 0
test.toml:11:20: mqtt.retain_available: expected true or false, found 1
test.toml:12:24: mqtt.response_information: expected a text of at most 1024 bytes without +, # and controls, found "a/#"
test.toml:14:14: limits.queue_full: expected "drop_oldest" or "drop_newest" or "refuse", found "drop-oldest"
test.toml:15:20: limits.queued_bytes_max: expected a whole number from 1024 to 1099511627776, found a number with a fraction
test.toml:16:1: this listener has no address = "host:port"
test.toml:17:1: unknown setting "adress" in section [listener]; did you mean "address"?
test.toml:19:11: listener.address: expected "host:port" such as "0.0.0.0:1883" or "[::]:1883", or "unix:/path", found "127.0.0.1"
test.toml:20:19: listener.connections_max: expected a whole number from 0 to 10000000, found -1
test.toml:24:11: listener.address: "127.0.0.1:7" is there twice
environment variable STONECHAT__SERVER__SHARD: there is no such setting; did you mean STONECHAT__SERVER__SHARDS?
environment variable STONECHAT__SERVER__SHARDS: expected a whole number from 0 to 64, found "\n"
environment variable STONECHAT__LISTENER__ADDRESS: listeners are set in the file or with --listen only
argument --set limits: expected --set section.key=value
argument --set limits.queue=1: unknown setting "limits.queue"; did you mean "limits.queue_full"?
argument --set mqtt.keep_alive_max_s=65536: expected a whole number from 0 to 65535, found 65536
argument --set listener.address=x: listeners are set in the file or with --listen only
argument --log-level loud: expected error, warn, info, debug, trace or off, or a comma-separated list of these and target=level, found "loud"
argument --listen nowhere: expected "host:port" such as "0.0.0.0:1883" or "[::]:1883", or "unix:/path", found "nowhere"
"#;

#[test]
fn all_mistakes_at_once_each_with_its_place() {
    let environment = [
        ("STONECHAT__SERVER__SHARD", "1"),
        ("STONECHAT__SERVER__SHARDS", "\n"),
        ("STONECHAT__LISTENER__ADDRESS", "0.0.0.0:1"),
    ];
    let set = ["limits", "limits.queue=1", "mqtt.keep_alive_max_s=65536", "listener.address=x"];
    let mut sources = sources(Some(MANY_MISTAKES), &environment, &set);
    sources.listen = vec!["nowhere".into()];
    sources.log_level = Some("loud".into());
    let found = format!("\n{}\n", mistakes(&sources).join("\n"));
    assert_eq!(found, MANY_MISTAKES_TOLD, "{found}");
}

#[test]
fn a_file_that_is_no_toml() {
    let found = mistakes(&sources(Some("[log]\nlevel = \"info\nto = 1"), &[], &["a=b"]));
    assert!(found[0].starts_with("test.toml:2:14: not valid TOML: "), "{found:?}");
    assert_eq!(found.len(), 2, "{found:?}");
    let twice = mistakes(&sources(Some("[log]\n[log]\n"), &[], &[]));
    assert!(twice[0].starts_with("test.toml:2:"), "{twice:?}");
    let large = mistakes(&sources(Some("[log]\nlevel = 99999999999999999999"), &[], &[]));
    assert!(large[0].starts_with("test.toml:2:9:"), "{large:?}");
    let single = mistakes(&sources(Some("[listener]\naddress = \"h:1\""), &[], &[]));
    assert_eq!(
        single,
        ["test.toml:1:2: listeners are a list: write [[listener]] with double brackets"]
    );
}

#[test]
fn settings_that_contradict_each_other() {
    let file = "[server]\nhalf_received_bytes_max = 65536";
    let found = mistakes(&sources(Some(file), &[], &[]));
    assert_eq!(
        found,
        ["test.toml:2:1: mqtt.packet_bytes_max (17825792) is above \
          server.half_received_bytes_max (65536): a packet of the largest size could never arrive"]
    );
    let set = sources(None, &[], &["mqtt.packet_bytes_max=268435460"]);
    let found = Settings::load(&set).unwrap_err();
    assert!(matches!(&found.mistakes[0].place, Place::Argument(a) if a.contains("packet")));
    let both = ["mqtt.packet_bytes_max=65536"];
    assert!(Settings::load(&sources(Some(file), &[], &both)).is_ok());
}

/// What is said of a file whose first line is `[[listener]]` with an address, and `rest` below it.
fn of_listener(address: &str, rest: &str) -> Vec<String> {
    let text = format!("[[listener]]\naddress = \"{address}\"\n{rest}");
    match Settings::load(&sources(Some(&text), &[], &[])) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.to_string().lines().map(str::to_owned).collect(),
    }
}

const CERTIFICATE: &str = "certificate_file = \"c\"";
const KEY: &str = "key_file = \"k\"";
const CA: &str = "client_ca_file = \"a\"";
const ASKED: &str = "client_certificate = \"required\"";

#[test]
fn settings_of_a_listener_that_do_not_fit_each_other() {
    let tls = [CERTIFICATE, KEY].join("\n");
    let both = [CERTIFICATE, KEY, CA, ASKED].join("\n");
    let rows: &[(&str, &str, &[&str])] = &[
        ("h:1", CERTIFICATE, &["3:1: listener.certificate_file: there is no key_file for it"]),
        ("h:1", KEY, &["3:1: listener.key_file: there is no certificate_file for it"]),
        ("h:1", &tls, &[]),
        ("h:1", &both, &[]),
        ("h:1", "sni = \"a=b:c\"", &["3:1: listener.sni: this listener speaks no TLS"]),
        ("h:1", &format!("{tls}\nsni = \"a=b:c, b=b:c\""), &[]),
        ("h:1", &format!("{tls}\nsni = \"a=b:c, A=d:e\""), &["5:1: listener.sni: \"a\" is there"]),
        ("h:1", "tls_version_min = \"1.3\"", &["3:1: listener.tls_version_min: this listener sp"]),
        ("h:1", "tls_version_min = \"1.2\"", &[]),
        (
            "h:1",
            &format!("{CA}\n{ASKED}\ncrl_file = \"r\""),
            &[
                "4:1: listener.client_certificate: this listener speaks no TLS",
                "3:1: listener.client_ca_file: this listener speaks no TLS",
                "5:1: listener.crl_file: this listener speaks no TLS",
            ],
        ),
        ("h:1", &format!("{tls}\n{ASKED}"), &["5:1: listener.client_certificate: client_ca_file"]),
        (
            "h:1",
            &format!("{tls}\n{CA}\ncrl_file = \"r\""),
            &[
                "5:1: listener.client_ca_file: is of no effect with client_certificate = \"off\"",
                "6:1: listener.crl_file: is of no effect with client_certificate = \"off\"",
            ],
        ),
        ("h:1", &format!("{both}\ncrl_file = \"r\"\nuser_from = \"san_uri\""), &[]),
        ("h:1", "user_from = \"san_dns\"", &["3:1: listener.user_from: no certificate is asked"]),
        ("h:1", "user_from = \"common_name\"\nproxy = \"v2\"\nproxy_from = \"::1\"", &[]),
        (
            "h:1",
            "user_from = \"common_name\"\nproxy = \"v1\"\nproxy_from = \"::1\"",
            &["3:1: listener.user_from: no certificate is asked for"],
        ),
        (
            "h:1",
            "user_from = \"san_dns\"\nproxy = \"any\"\nproxy_from = \"::1\"",
            &["3:1: listener.user_from: a PROXY header tells no other name"],
        ),
        ("h:1", &format!("{both}\nuser_from = \"san_dns\"\nauthentication = \"certificate\""), &[]),
        (
            "h:1",
            &format!("{both}\nauthentication = \"certificate\""),
            &["7:1: listener.authentication: \"certificate\" needs user_from"],
        ),
        (
            "h:1",
            &format!(
                "{both}\nuser_from = \"san_dns\"\nauthentication = \"jwt\"\n[auth]\njwks_file = \"j\""
            ),
            &["7:1: listener.user_from: authentication does not name \"certificate\""],
        ),
        (
            "h:1",
            "authentication = \"hook, jwt, hook, scram\"",
            &[
                "3:1: listener.authentication: \"hook\" is there twice",
                "3:1: listener.authentication: \"hook\" needs auth.hook_url, which is not set",
                "3:1: listener.authentication: \"jwt\" needs auth.jwt_key_file, auth.jwt_secret_f",
                "3:1: listener.authentication: \"hook\" needs auth.hook_url, which is not set",
                "3:1: listener.authentication: \"scram\" needs auth.password_file, which is not",
            ],
        ),
        ("h:1", "proxy = \"v1\"", &["3:1: listener.proxy: proxy_from has to say from where"]),
        ("unix:/s", "proxy = \"v1\"", &[]),
        ("h:1", "proxy_from = \"::/0\"", &["3:1: listener.proxy_from: is of no effect with proxy"]),
        (
            "unix:/s",
            "proxy = \"any\"\nproxy_from = \"::/0\"\nallow_from = \"::/0\"",
            &["4:1: listener.proxy_from: a Unix socket's clients have no address"],
        ),
        (
            "unix:/s",
            "allow_from = \"::1\"\ndeny_from = \"::/0\"",
            &[
                "3:1: listener.allow_from: a Unix socket's clients have no address",
                "4:1: listener.deny_from: a Unix socket's clients have no address",
            ],
        ),
        ("h:1", "allow_from = \"::1\"\ndeny_from = \"10.0.0.0/8, ::/0\"", &[]),
        (
            "h:1",
            "websocket_path = \"/x\"\norigins = \"null\"",
            &[
                "3:1: listener.websocket_path: is of no effect with protocol = \"mqtt\"",
                "4:1: listener.origins: is of no effect with protocol = \"mqtt\"",
            ],
        ),
        ("h:1", "protocol = \"websocket\"\nwebsocket_path = \"\"\norigins = \"null\"", &[]),
        ("h:1", "protocol = \"mqtt\"\nwebsocket_path = \"/mqtt\"", &[]),
        (
            "h:1",
            "unix_mode = \"0600\"\nunix_owner = \"a:b\"",
            &[
                "3:1: listener.unix_mode: is of no effect on an address that is not unix:/path",
                "4:1: listener.unix_owner: is of no effect on an address that is not unix:/path",
            ],
        ),
        ("unix:/s", "unix_mode = \"0600\"\nunix_owner = \"a:b\"", &[]),
        ("unix:/s", &tls, &[]),
    ];
    for (address, rest, expected) in rows {
        let found = of_listener(address, rest);
        let fits = |(found, expected): (&String, &&str)| {
            found.strip_prefix("test.toml:").is_some_and(|found| found.starts_with(expected))
        };
        let fine = found.len() == expected.len() && found.iter().zip(*expected).all(fits);
        assert!(fine, "{address}\n{rest}\n{found:#?}\n{expected:#?}");
    }
}

#[test]
fn single_settings_of_a_listener() {
    let rows = [
        ("address = \"unix:\"", "or \"unix:/path\", found \"unix:\""),
        ("allow_from = \"::1, 10.0.0.1/8\"", "(no bits behind the prefix), found \"10.0.0.1/8\""),
        ("deny_from = [\"::1\"]", "a comma-separated list of networks such as"),
        ("origins = \"*\"", "a comma-separated list of origins such as"),
        ("unix_mode = 660", "octal digits from \"0000\" to \"0777\", found 660"),
        ("unix_mode = \"0o660\"", "octal digits from \"0000\" to \"0777\", found \"0o660\""),
        ("unix_owner = \"a:\"", "\"user:group\", \"user\", \":group\" or nothing, found \"a:\""),
        ("sni = \"*.a=b:c\"", "a comma-separated list of host=certificate:key"),
        ("authentication = \"password psk\"", "found \"password psk\""),
        (
            "websocket_path = \"mqtt\"",
            "expected a path such as \"/mqtt\", or nothing, found \"mqtt\"",
        ),
        ("tls_version_min = \"1.1\"", "expected \"1.2\" or \"1.3\", found \"1.1\""),
        ("crl = \"x\"", "unknown setting \"crl\" in section [listener]"),
        ("certifcate_file = \"x\"", "did you mean \"certificate_file\"?"),
    ];
    for (line, expected) in rows {
        let address = if line.starts_with("address") { "" } else { "address = \"h:1\"\n" };
        let text = format!("[[listener]]\n{address}{line}");
        let found = mistakes(&sources(Some(&text), &[], &[]));
        assert!(found.len() == 1 && found[0].contains(expected), "{line}: {found:#?}");
    }
}

#[test]
fn ways_to_show_who_one_is_that_are_not_there() {
    let rows: &[(&str, &[&str])] = &[
        ("authentication = \"password\"", &["\"password\" needs auth.password_file"]),
        ("authentication = \"password, scram\"\npassword_file = \"p\"", &[]),
        ("authentication = \"hook\"\nhook_url = \"http://h/\"\nhook_acl = true", &[]),
        ("authentication = \"certificate\"", &["expected a comma-separated list of \"password\""]),
        ("authentication = \"jwt, jwt\"\njwks_file = \"j\"", &["\"jwt\" is there twice"]),
        (
            "jwt_key_file = \"a\"\njwt_secret_file = \"b\"\njwks_file = \"c\"",
            &[
                "3:1: auth.jwt_secret_file: auth.jwt_key_file is set too",
                "4:1: auth.jwks_file: auth.jwt_key_file is set too",
            ],
        ),
        (
            "jwt_issuer = \"a\"\njwt_audience = \"b\"",
            &["auth.jwt_issuer: is of no effect", "auth.jwt_audience: is of no effect"],
        ),
        ("jwt_user_claim = \"\"", &["expected a name, found \"\""]),
        ("hook_acl = true", &["auth.hook_acl: is of no effect without auth.hook_url"]),
        (
            "hook_token_file = \"t\"",
            &["auth.hook_token_file: is of no effect without auth.hook_url"],
        ),
        ("hook_url = \"http://h/\"\nhook_token_file = \"t\"", &[]),
        ("hook_url = \"ftp://h/\"", &["expected \"http://host:port/path\" or https"]),
        (
            "wrong_password_delay_ms = 2\nwrong_password_delay_max_ms = 1",
            &["auth.wrong_password_delay_ms (2) is above auth.wrong_password_delay_max_ms (1)"],
        ),
        ("[server]\ngroup = \"g\"", &["server.group: is of no effect without server.user"]),
        ("[server]\nuser = \"u:g\"", &["expected the name or number of a user or group"]),
        ("[server]\nuser = \"u\"\ngroup = \"g\"", &[]),
    ];
    for (lines, expected) in rows {
        let text = format!("[auth]\n{lines}");
        let loaded = Settings::load(&sources(Some(&text), &[], &[]));
        let found: Vec<_> = loaded.err().into_iter().flat_map(|errors| errors.mistakes).collect();
        let told: Vec<_> = found.iter().map(ToString::to_string).collect();
        let fine =
            told.len() == expected.len() && told.iter().zip(*expected).all(|(t, e)| t.contains(e));
        assert!(fine, "{lines}\n{told:#?}");
    }
}

#[test]
fn no_secret_of_a_hook_is_repeated() {
    let url = "https://user:hunter2@hook.example/";
    let set = format!("auth.hook_url={url}");
    let file = format!("[auth]\nhook_url = \"{url}\"");
    let found = mistakes(&sources(Some(&file), &[("STONECHAT__AUTH__HOOK_URL", url)], &[]));
    assert_eq!(found.len(), 2);
    assert!(!found.concat().contains("hunter2"), "{found:#?}");
    let found = mistakes(&sources(None, &[], &[&set]));
    assert!(!found.concat().contains("hunter2"), "{found:#?}");
}

#[test]
fn quotas() {
    let rows: &[(&str, &[&str])] = &[
        ("users = \"*\"\nmessages_per_s = 1", &[]),
        ("client_ids = \"a*, b\"\nconnections_max = 1\non_excess = \"throttle\"", &[]),
        ("messages_per_s = 1", &["test.toml:1:1: this quota names nobody"]),
        ("users = \"*\"", &["test.toml:1:1: this quota limits nothing"]),
        (
            "users = \"*\"\nqueued_bytes_max = 1\non_excess = \"drop\"",
            &["test.toml:4:1: this quota has on_excess, but neither"],
        ),
        ("users = \"a\"\nmessage_per_s = 1", &["did you mean \"messages_per_s\"?"]),
        ("address = \"a\"", &["unknown setting \"address\" in section [quota]; it belongs to"]),
        ("users = \"a\"\nbytes_per_s = -1", &["quota.bytes_per_s: expected a whole number"]),
    ];
    for (lines, expected) in rows {
        let loaded = Settings::load(&sources(Some(&format!("[[quota]]\n{lines}")), &[], &[]));
        let found: Vec<_> = loaded.err().into_iter().flat_map(|errors| errors.mistakes).collect();
        let told: Vec<_> = found.iter().map(ToString::to_string).collect();
        let fine =
            told.len() == expected.len() && told.iter().zip(*expected).all(|(t, e)| t.contains(e));
        assert!(fine, "{lines}\n{told:#?}");
    }
    let settings = load("quota = [{ users = \"a, b*\", bytes_per_s = 7 }]").settings;
    let expected = Quota {
        users: vec!["a".into(), "b*".into()],
        bytes_per_s: 7,
        on_excess: Excess::Throttle,
        ..Quota::default()
    };
    assert_eq!(settings.quota, [expected]);
    let found = mistakes(&sources(Some("quota = [1]\n"), &[("STONECHAT__QUOTA__USERS", "a")], &[]));
    assert_eq!(
        found,
        [
            "test.toml:1:10: each quota is a table of settings",
            "environment variable STONECHAT__QUOTA__USERS: quotas are set in the file only",
        ]
    );
}

#[test]
fn values_are_given_out_as_what_they_are() {
    let text = r#"
[[listener]]
address = "unix:/run/mqtt.sock"
unix_mode = "0600"
unix_owner = "mqtt:www-data"
[[listener]]
address = "0.0.0.0:8883"
certificate_file = "a.pem"
key_file = "a.key"
sni = "B.example = b.pem : b.key"
client_certificate = "optional"
client_ca_file = "ca.pem"
user_from = "common_name"
proxy = "any"
proxy_from = "10.0.0.0/8, ::1"
protocol = "websocket"
websocket_path = ""
origins = "HTTPS://a.example:443"
tls_version_min = "1.3"
[[listener]]
address = "[::1]:1883"
authentication = "jwt"
[auth]
password_file = "passwords"
acl_file = "acl.TOML"
jwks_file = "keys.json"
sys_roles = "admin, ops"
"#;
    let settings = load(text).settings;
    let [unix, wss, plain] = settings.listener.as_slice() else { panic!("{settings:?}") };
    assert_eq!(unix.kind(), ListenerKind::Unix("/run/mqtt.sock".as_ref()));
    assert_eq!((unix.unix_mode, unix.unix_owner.group.as_deref()), (0o600, Some("www-data")));
    assert!(unix.is_loopback() && unix.is_plain() && !wss.is_plain() && !wss.is_loopback());
    assert_eq!(wss.kind(), ListenerKind::Tcp("0.0.0.0:8883"));
    assert_eq!(wss.tls(), Some(("a.pem".as_ref(), "a.key".as_ref())));
    assert_eq!(
        (wss.sni[0].host.as_str(), wss.sni[0].key_file.to_str()),
        ("b.example", Some("b.key"))
    );
    assert_eq!(wss.proxy_from, ["10.0.0.0/8", "::1"].map(|text| text.parse().unwrap()));
    assert!(wss.origins[0].is("https://a.example") && wss.websocket_path.is_none());
    let all = [Method::Certificate, Method::Password, Method::Jwt, Method::Scram];
    assert_eq!(settings.methods(wss), all);
    assert_eq!(settings.methods(unix), all[1..]);
    assert_eq!(settings.methods(plain), [Method::Jwt]);
    assert!(settings.auth.acl_is_toml());
    assert_eq!(settings.auth.sys_roles, ["admin", "ops"]);
    assert_eq!(settings.auth.hook_url, None);
}

#[test]
fn a_mistake_is_one_line() {
    let file = "\"a\\u001b[2J\\n\" = 1\n[log]\n\"x\\ny\" = 1\nto = \"\\u001b\\n\"";
    let found = mistakes(&sources(Some(file), &[("STONECHAT__A\nB", "1")], &["\r\n=\n"]));
    assert_eq!(found.len(), 5, "{found:#?}");
    assert!(!found.concat().contains(char::is_control), "{found:#?}");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text() {
    use std::os::unix::ffi::OsStringExt;
    let environment = vec![
        (OsString::from("STONECHAT__LOG__LEVEL"), OsString::from_vec(vec![0xff])),
        (OsString::from_vec(vec![0xff]), OsString::from_vec(vec![0xff])),
    ];
    let found = mistakes(&Sources { environment, ..Sources::default() });
    assert_eq!(found, ["environment variable STONECHAT__LOG__LEVEL: its value is not UTF-8"]);
}

// The example file

#[test]
fn the_example_file_is_the_default() {
    let defaults = Settings::load(&Sources::default()).unwrap();
    let example = load(EXAMPLE);
    assert_eq!(example.settings, defaults.settings);
    assert_eq!(example.warnings, defaults.warnings);
}

#[test]
fn the_example_file_has_a_key_for_each_field() {
    // Every field must be filled by the example file alone, or the lowest layer would not parse;
    // every key of it must be a field, or the structs would refuse it. So the number is the same.
    let example = example_in_full();
    let mut settings = load(&example).settings;
    assert_eq!(settings.quota.len(), 1);
    let sections: Vec<_> = example.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(sections[..2], ["[[listener]]"; 2]);
    // The second listener says only what makes it another one.
    let (_, second) = example.rsplit_once("\n[[listener]]\n").unwrap();
    let (second, _) = second.split_once("\n#").unwrap();
    let shown = settings.listener.pop().unwrap();
    let expected = Listener { address: shown.address.clone(), ..settings.listener[0].clone() };
    assert_eq!(Listener { optional: false, ..shown }, expected);
    let settings = format!("{settings:#?}");
    // Those of a section stand two steps in, those of a list's tables three; what is deeper is the
    // inside of a value.
    let is_field = |line: &&str| {
        let steps = (line.len() - line.trim_start().len()) / 4;
        matches!(steps, 2 | 3) && line.contains(": ")
    };
    let is_key = |line: &&str| !line.starts_with('#') && line.contains(" = ");
    let keys = |text: &str| text.lines().filter(is_key).count();
    assert_eq!(settings.lines().filter(is_field).count(), keys(&example) - keys(second));
}

#[test]
fn every_setting_in_the_example_is_explained() {
    let mut comment: Vec<&str> = Vec::new();
    let (mut section, mut explained) = ("", std::collections::BTreeSet::new());
    let example = example_in_full();
    for line in example.lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment.push(text.trim());
        } else if let Some((key, _)) = line.split_once(" = ") {
            if explained.insert(format!("{section}.{key}")) {
                let starts = |word: &str| comment.iter().any(|text| text.starts_with(word));
                assert!(comment.len() >= 3, "{section}.{key} has no meaning");
                assert!(starts("Range: ") || starts("Values: "), "{section}.{key}: no range");
                assert!(starts("Consequence: "), "{section}.{key}: no consequence");
                check_range(section, key, &comment);
            }
            comment.clear();
        } else {
            if line.starts_with('[') {
                section = line.trim_matches(['[', ']']);
            }
            comment.clear();
        }
    }
    assert_eq!(explained.len(), 118);
}

/// The range that the comment tells is the one that is enforced.
fn check_range(section: &str, key: &str, comment: &[&str]) {
    let range = comment.iter().find_map(|text| text.strip_prefix("Range: "));
    let (Some(range), false) = (range, cfg!(target_pointer_width = "32")) else { return };
    let words: Vec<_> = range.trim_end_matches('.').split(' ').collect();
    let [min, "to", max, unit] = words[..] else { panic!("{section}.{key}: {range}") };
    let units = [("_ms", "milliseconds"), ("_s", "seconds"), ("_bytes_max", "bytes")];
    for (end, name) in units {
        let due = key.ends_with(end) && !key.ends_with("_per_s");
        assert!(!due || unit == name, "{section}.{key} in {unit}");
    }
    let header = match section {
        "listener" => "[[listener]]\naddress = \"h:1\"".to_owned(),
        "quota" => "[[quota]]\nusers = \"a\"".to_owned(),
        section => format!("[{section}]"),
    };
    let told = format!("from {min} to {max},");
    for outside in ["-1".to_owned(), (max.parse::<u64>().unwrap() + 1).to_string()] {
        let text = format!("{header}\n{key} = {outside}");
        let found = mistakes(&sources(Some(&text), &[], &[]));
        assert!(found[0].contains(&told), "{section}.{key}: told {told} but {found:?}");
    }
    for inside in [min, max] {
        let text = format!("{header}\n{key} = {inside}");
        let result = Settings::load(&sources(Some(&text), &[], &[])).map_err(|e| e.to_string());
        // An end of a range may contradict another setting's default.
        let of_two =
            |error: &String| error.contains(" is above ") || error.contains("every number");
        let fine = result.as_ref().err().is_none_or(of_two);
        assert!(fine, "{section}.{key} = {inside}: {result:?}");
    }
}

// The program

fn stonechat(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stonechat"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn temporary(name: &str, content: &[u8]) -> String {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

#[test]
fn help_version_and_example() {
    let (code, out, err) = stonechat(&["--help"], &[]);
    assert!(code == 0 && out.contains("--config") && out.contains("Exit codes"), "{out}{err}");
    let (code, out, _) = stonechat(&["--version"], &[]);
    assert_eq!((code, out.as_str()), (0, concat!("stonechat ", env!("CARGO_PKG_VERSION"), "\n")));
    let (code, out, err) = stonechat(&["example-config"], &[]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, EXAMPLE, ""));
}

#[test]
fn wrong_arguments() {
    for arguments in [
        &["--nonsense"][..],
        &["frobnicate"],
        &["--config"],
        &["check", "-x"],
        &["log", "verify", "x"],
    ] {
        let (code, out, err) = stonechat(arguments, &[]);
        assert_eq!((code, out.as_str()), (64, ""), "{arguments:?}");
        assert!(err.contains("error:"), "{err}");
    }
}

#[test]
fn check_a_good_configuration() {
    let good = ("configuration ok\n".to_owned(), String::new());
    let (code, out, err) = stonechat(&["check"], &[]);
    assert_eq!((code, (out, err)), (0, good));
    let file = temporary("open.toml", b"[[listener]]\naddress = \"0.0.0.0:0\"\n");
    let variable = [("STONECHAT__AUTH__ALLOW_ANONYMOUS", "true")];
    for arguments in [["check", "--config", &file], ["--config", &file, "check"]] {
        let (code, out, err) = stonechat(&arguments, &variable);
        assert_eq!((code, out.as_str()), (0, "configuration ok\n"));
        assert!(err.starts_with("warning: listener 0.0.0.0:0: anyone"), "{err}");
    }
}

#[test]
fn check_looks_for_the_files_that_settings_name() {
    use std::os::unix::fs::PermissionsExt;
    let key = temporary("open.key", b"");
    let password = temporary("closed.passwords", b"");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    let folder = env!("CARGO_TARGET_TMPDIR");
    let text = format!(
        "[[listener]]\naddress = \"h:1\"\nkey_file = \"{key}\"\ncertificate_file = \"{key}\"\n\
         sni = \"a={folder}/no:{password}\"\n\
         [auth]\npassword_file = \"{password}\"\nacl_file = \"{folder}\"\n\
         hook_url = \"https://h/\"\nhook_ca_file = \"{folder}\"\nhook_token_file = \"{key}\"\n"
    );
    let file = temporary("files.toml", text.as_bytes());
    let (code, out, err) = stonechat(&["check", "--config", &file], &[]);
    assert_eq!((code, out.as_str()), (0, "configuration ok\n"));
    let told: Vec<_> = err.lines().collect();
    assert_eq!(told.len(), 5, "{err}");
    let everybody =
        format!("warning: listener h:1: key_file: everybody on this machine can read {key}");
    assert_eq!(told[0], everybody);
    assert!(
        told[1].starts_with(&format!("warning: listener h:1: sni: {folder}/no cannot be read"))
    );
    assert_eq!(told[2], format!("warning: auth.acl_file: {folder} is not a file"));
    assert_eq!(told[3], format!("warning: auth.hook_ca_file: {folder} is not a file"));
    let everybody =
        format!("warning: auth.hook_token_file: everybody on this machine can read {key}");
    assert_eq!(told[4], everybody);
}

// The whole file

/// A value that this kind of line of the example file may have, as TOML, or none to leave it.
fn other_value(line: &str, draw: u64) -> Option<String> {
    let (key, value) = line.split_once(" = ").filter(|_| !line.starts_with('#'))?;
    match value {
        "true" => Some(format!("{key} = false")),
        "false" => Some(format!("{key} = true")),
        // Within every range of a number: what the example says, or one more.
        number if number.parse::<u64>().is_ok() => {
            Some(format!("{key} = {}", number.parse::<u64>().unwrap() + draw % 2))
        }
        _ => None,
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..Default::default()
    })]

    /// Any part of the example, its values changed where they can be, is understood, and says what
    /// the settings then are: what is left out is the default, what stands there is what was said.
    #[test]
    fn parts_of_the_example_mean_what_they_say(seed in proptest::prelude::any::<u64>()) {
        let mut state = seed;
        let mut draw = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state >> 33
        };
        // Flags that mean nothing alone.
        let fixed = ["hook_acl", "retained_messages_max"];
        let (mut text, mut said, mut section) = (String::new(), Vec::new(), String::new());
        for line in EXAMPLE.lines() {
            if line.starts_with('[') {
                section = line.trim_matches(['[', ']']).to_owned();
            }
            let other = other_value(line, draw()).filter(|_| draw() % 2 == 0);
            let key = line.split(" = ").next().unwrap_or_default().to_owned();
            let kept = line.starts_with("address") || fixed.contains(&key.as_str());
            match other {
                Some(other) if !kept && section != "listener" => {
                    said.push((section.clone(), other.clone()));
                    text += &other;
                }
                _ if line.contains(" = ") && !kept && draw() % 3 == 0 => {}
                _ => text += line,
            }
            text.push('\n');
        }
        // Written as a file, or given one by one: the same settings.
        let of_file = load(&text).settings;
        let set: Vec<_> = said.iter().map(|(section, line)| {
            format!("{section}.{}", line.replace(" = ", "="))
        }).collect();
        let set: Vec<_> = set.iter().map(String::as_str).collect();
        let mut of_arguments = Settings::load(&sources(Some(""), &[], &set)).unwrap().settings;
        // Of a file that lists them, listeners are the file's.
        of_arguments.listener.clone_from(&of_file.listener);
        proptest::prop_assert_eq!(of_file, of_arguments);
    }
}

#[test]
fn check_a_bad_configuration() {
    let file = temporary("bad.toml", b"[log]\nlevl = \"info\"\n");
    for action in [&["check"][..], &[]] {
        let arguments = [action, &["--config", &file, "--set", "log.to=x"]].concat();
        let (code, out, err) = stonechat(&arguments, &[("STONECHAT__LOG__FORMAT", "xml")]);
        assert_eq!((code, out.as_str()), (78, ""));
        assert!(err.starts_with(&format!("{file}:2:1: unknown setting")), "{err}");
        assert!(err.contains("STONECHAT__LOG__FORMAT: ") && err.contains("--set log.to=x: "));
        assert!(err.contains("3 mistakes"), "{err}");
    }
}

#[test]
fn check_an_unreadable_file() {
    let missing = format!("{}/missing.toml", env!("CARGO_TARGET_TMPDIR"));
    let (code, _, err) = stonechat(&["check", "--config", &missing, "--set", "x"], &[]);
    assert_eq!(code, 66);
    assert!(err.starts_with(&format!("{missing}: not read: ")) && err.contains("--set x"), "{err}");
    let file = temporary("latin1.toml", b"# fine\n# caf\xe9\n");
    let (code, _, err) = stonechat(&["check", "--config", &file], &[]);
    assert_eq!(code, 78);
    assert!(err.starts_with(&format!("{file}:2:6: this is not UTF-8")), "{err}");
}
