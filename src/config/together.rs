//! Settings that are fine alone but not together: what would be of no effect although someone
//! wanted it, or be open although someone closed it.
//!
//! Pure functions over tables of rules. Invariant: each rule names the setting that someone has to
//! look at, and no rule breaks for a configuration that only repeats defaults.
use super::listener::{ClientCertificate, Listener, ListenerKind, Protocol, Proxy, UserFrom};
use super::mistakes::ConfigErrors;
use super::settings::{Excess, Quota, Settings};
use super::sources::Layers;
use super::values::Method;
use std::collections::BTreeSet;

/// The key to name, when the rule is broken, and what to say then.
struct Rule<T: 'static>(&'static str, fn(&T) -> bool, &'static str);

/// Looks at everything that the single values do not show.
pub(super) fn check(settings: &Settings, layers: &Layers<'_>, errors: &mut ConfigErrors) {
    for (n, listener) in settings.listener.iter().enumerate() {
        let mut say = |key: &str, message: &str| {
            let place = layers.place(&[&format!("listener[{n}].{key}"), &format!("listener[{n}]")]);
            errors.add(place, format!("listener.{key}: {message}"));
        };
        broken(LISTENER_RULES, listener, &mut say);
        for host in twice(listener.sni.iter().map(|sni| sni.host.as_str())) {
            say("sni", &format!("{host:?} is there twice"));
        }
        for method in twice(listener.authentication.iter().map(|method| method.name())) {
            say("authentication", &format!("{method:?} is there twice"));
        }
        for method in unconfigured(settings, &listener.authentication) {
            say("authentication", &method);
        }
    }
    for (n, quota) in settings.quota.iter().enumerate() {
        broken(QUOTA_RULES, quota, &mut |key, message| {
            let place = layers.place(&[&format!("quota[{n}].{key}"), &format!("quota[{n}]")]);
            errors.add(place, format!("this quota {message}"));
        });
    }
    let mut say = |path: &str, message: &str| {
        errors.add(layers.place(&[path]), format!("{path}: {message}"));
    };
    broken(RULES, settings, &mut say);
    for method in twice(settings.auth.authentication.iter().map(|method| method.name())) {
        say("auth.authentication", &format!("{method:?} is there twice"));
    }
    for method in unconfigured(settings, &settings.auth.authentication) {
        say("auth.authentication", &method);
    }
    let sources: Vec<_> = settings.auth.jwt_sources().collect();
    if let [first, others @ ..] = sources.as_slice() {
        for other in others {
            let message = format!("{first} is set too: keys for tokens come from one file");
            say(other, &message);
        }
    }
}

fn broken<T>(rules: &[Rule<T>], of: &T, say: &mut dyn FnMut(&str, &str)) {
    for Rule(key, is_broken, message) in rules {
        if is_broken(of) {
            say(key, message);
        }
    }
}

/// What comes a second time.
fn twice<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    words.filter(|word| !seen.insert(*word)).collect()
}

/// What to say of the methods that have not what they need.
fn unconfigured(settings: &Settings, methods: &[Method]) -> Vec<String> {
    let needs = |method: &Method| {
        let needs = match method {
            Method::Password | Method::Scram => "auth.password_file",
            Method::Jwt => "auth.jwt_key_file, auth.jwt_secret_file or auth.jwks_file",
            Method::Hook => "auth.hook_url",
            // What it needs stands in the listener itself: see its rules.
            Method::Certificate => return None,
        };
        let missing = !settings.auth.is_configured(*method);
        missing.then(|| format!("{:?} needs {needs}, which is not set", method.name()))
    };
    methods.iter().filter_map(needs).collect()
}

/// Half of it is another rule's.
fn wants_tls(l: &Listener) -> bool {
    l.certificate_file.is_some() || l.key_file.is_some()
}

fn is_unix(l: &Listener) -> bool {
    matches!(l.kind(), ListenerKind::Unix(_))
}

fn asks_for_certificate(l: &Listener) -> bool {
    l.client_certificate != ClientCertificate::Off
}

const NEEDS_TLS: &str = "this listener speaks no TLS: set certificate_file and key_file";
const NO_CERTIFICATES: &str = "is of no effect with client_certificate = \"off\"";
const NO_WEBSOCKET: &str = "is of no effect with protocol = \"mqtt\"";
const NO_SOCKET_FILE: &str = "is of no effect on an address that is not unix:/path";
const NO_SOURCE: &str = "a Unix socket's clients have no address: see unix_mode and unix_owner";

const LISTENER_RULES: &[Rule<Listener>] = &[
    Rule(
        "certificate_file",
        |l| l.certificate_file.is_some() && l.key_file.is_none(),
        "there is no key_file for it",
    ),
    Rule(
        "key_file",
        |l| l.key_file.is_some() && l.certificate_file.is_none(),
        "there is no certificate_file for it",
    ),
    Rule("sni", |l| !l.sni.is_empty() && !wants_tls(l), NEEDS_TLS),
    Rule(
        "tls_version_min",
        |l| l.tls_version_min != Listener::default().tls_version_min && !wants_tls(l),
        NEEDS_TLS,
    ),
    Rule("client_certificate", |l| asks_for_certificate(l) && !wants_tls(l), NEEDS_TLS),
    Rule("client_ca_file", |l| l.client_ca_file.is_some() && !wants_tls(l), NEEDS_TLS),
    Rule("crl_file", |l| l.crl_file.is_some() && !wants_tls(l), NEEDS_TLS),
    Rule(
        "client_certificate",
        |l| wants_tls(l) && asks_for_certificate(l) && l.client_ca_file.is_none(),
        "client_ca_file has to say who may have signed the certificates",
    ),
    Rule(
        "client_ca_file",
        |l| wants_tls(l) && l.client_ca_file.is_some() && !asks_for_certificate(l),
        NO_CERTIFICATES,
    ),
    Rule(
        "crl_file",
        |l| wants_tls(l) && l.crl_file.is_some() && !asks_for_certificate(l),
        NO_CERTIFICATES,
    ),
    Rule(
        "user_from",
        |l| {
            let told = matches!(l.proxy, Proxy::V2 | Proxy::Any);
            l.user_from != UserFrom::Connect && !asks_for_certificate(l) && !told
        },
        "no certificate is asked for: set client_certificate, or proxy to \"v2\" or \"any\"",
    ),
    Rule(
        "user_from",
        |l| {
            let told = matches!(l.proxy, Proxy::V2 | Proxy::Any);
            let san = !matches!(l.user_from, UserFrom::Connect | UserFrom::CommonName);
            san && !asks_for_certificate(l) && told
        },
        "a PROXY header tells no other name of a certificate than \"common_name\"",
    ),
    Rule(
        "authentication",
        |l| l.authentication.contains(&Method::Certificate) && l.user_from == UserFrom::Connect,
        "\"certificate\" needs user_from, which says what name of it is the user's",
    ),
    Rule(
        "user_from",
        |l| {
            let named = l.authentication.contains(&Method::Certificate);
            l.user_from != UserFrom::Connect && !l.authentication.is_empty() && !named
        },
        "authentication does not name \"certificate\"",
    ),
    Rule(
        "proxy",
        |l| l.proxy != Proxy::Off && l.proxy_from.is_empty() && !is_unix(l),
        "proxy_from has to say from where: who may send a PROXY header can claim any address",
    ),
    Rule(
        "proxy_from",
        |l| l.proxy == Proxy::Off && !l.proxy_from.is_empty(),
        "is of no effect with proxy = \"off\"",
    ),
    Rule(
        "proxy_from",
        |l| l.proxy != Proxy::Off && !l.proxy_from.is_empty() && is_unix(l),
        NO_SOURCE,
    ),
    Rule(
        "allow_from",
        |l| !l.allow_from.is_empty() && is_unix(l) && l.proxy == Proxy::Off,
        NO_SOURCE,
    ),
    Rule(
        "deny_from",
        |l| !l.deny_from.is_empty() && is_unix(l) && l.proxy == Proxy::Off,
        NO_SOURCE,
    ),
    Rule(
        "websocket_path",
        |l| l.protocol == Protocol::Mqtt && l.websocket_path != Listener::default().websocket_path,
        NO_WEBSOCKET,
    ),
    Rule("origins", |l| l.protocol == Protocol::Mqtt && !l.origins.is_empty(), NO_WEBSOCKET),
    Rule(
        "unix_mode",
        |l| l.unix_mode != Listener::default().unix_mode && !is_unix(l),
        NO_SOCKET_FILE,
    ),
    Rule(
        "unix_owner",
        |l| l.unix_owner != Listener::default().unix_owner && !is_unix(l),
        NO_SOCKET_FILE,
    ),
];

const NO_TOKENS: &str = "is of no effect without auth.jwt_key_file, auth.jwt_secret_file or \
                         auth.jwks_file";

fn is_https_hook(settings: &Settings) -> bool {
    settings.auth.hook_url.as_deref().is_some_and(|url| url.starts_with("https:"))
}

const RULES: &[Rule<Settings>] = &[
    Rule(
        "auth.jwt_issuer",
        |s| s.auth.jwt_issuer.is_some() && !s.auth.is_configured(Method::Jwt),
        NO_TOKENS,
    ),
    Rule(
        "auth.jwt_audience",
        |s| s.auth.jwt_audience.is_some() && !s.auth.is_configured(Method::Jwt),
        NO_TOKENS,
    ),
    Rule(
        "auth.hook_url",
        |s| is_https_hook(s) && s.auth.hook_ca_file.is_none(),
        "is https and needs auth.hook_ca_file: the certificates of who is trusted to have signed \
         the hook's",
    ),
    Rule(
        "auth.hook_ca_file",
        |s| s.auth.hook_ca_file.is_some() && !is_https_hook(s),
        "is of no effect without auth.hook_url with https",
    ),
    Rule(
        "auth.hook_token_file",
        |s| s.auth.hook_token_file.is_some() && s.auth.hook_url.is_none(),
        "is of no effect without auth.hook_url",
    ),
    Rule(
        "auth.hook_acl",
        |s| s.auth.hook_acl && s.auth.hook_url.is_none(),
        "is of no effect without auth.hook_url",
    ),
    Rule(
        "server.group",
        |s| s.server.group.is_some() && s.server.user.is_none(),
        "is of no effect without server.user",
    ),
];

const QUOTA_RULES: &[Rule<Quota>] = &[
    Rule(
        "users",
        |q| q.users.is_empty() && q.client_ids.is_empty(),
        "names nobody: set users or client_ids (\"*\" is everybody)",
    ),
    Rule(
        "messages_per_s",
        |q| {
            let all = Quota {
                users: q.users.clone(),
                client_ids: q.client_ids.clone(),
                on_excess: q.on_excess,
                ..Quota::default()
            };
            *q == all
        },
        "limits nothing: every number in it is 0",
    ),
    Rule(
        "on_excess",
        |q| q.on_excess != Excess::Throttle && q.messages_per_s == 0 && q.bytes_per_s == 0,
        "has on_excess, but neither messages_per_s nor bytes_per_s",
    ),
];
