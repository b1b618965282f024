//! Who is let in without a name: the one decision that is spread over several settings.
//!
//! Pure functions. Invariant: without a word from its operator the broker never lets an anonymous
//! client in from another machine.
//!
//! The listener's own word wins; then `auth.allow_anonymous`, if anyone set it; then: only without
//! a configuration file (someone is trying the broker out), and only on loopback.
use super::listener::{ClientCertificate, Listener, Protocol};
use super::settings::Settings;
use super::sources::Layers;
use serde::Deserialize;

/// What a `[[listener]]` itself says; the rest of it is read elsewhere.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Said {
    allow_anonymous: Option<bool>,
}

/// Fills in every listener's `allow_anonymous`.
pub(super) fn decide(settings: &mut Settings, said: Vec<Said>, layers: &Layers<'_>) {
    let set = layers.places.contains_key("auth.allow_anonymous");
    let auth = set.then_some(settings.auth.allow_anonymous);
    // The default listeners' own word counts for those who wrote it into a file, not as a default.
    let own = layers.listen.is_empty() && layers.file_listeners;
    for (listener, said) in settings.listener.iter_mut().zip(said) {
        let own = said.allow_anonymous.filter(|_| own);
        let trying_out = !layers.has_file() && listener.is_loopback();
        listener.allow_anonymous = own.or(auth).unwrap_or(trying_out);
    }
}

/// What is legal but hardly wanted.
pub(super) fn warnings(settings: &Settings) -> Vec<String> {
    let mut warnings: Vec<_> =
        settings.listener.iter().filter_map(|listener| of_listener(settings, listener)).collect();
    if settings.auth.takeover_by_other_users {
        warnings.push(
            "auth.takeover_by_other_users = true: whoever may connect can take over any session, \
             and get the messages that wait in it, by giving its Client Identifier"
                .into(),
        );
    }
    warnings
}

fn of_listener(settings: &Settings, listener: &Listener) -> Option<String> {
    let address = &listener.address;
    let certificate = listener.client_certificate == ClientCertificate::Required;
    match (listener.allow_anonymous, listener.is_loopback()) {
        (false, _) if settings.methods(listener).is_empty() => Some(format!(
            "listener {address}: nobody can connect: anonymous clients are not allowed, and there \
             is no other way in (set auth.password_file or another way to show who one is, or \
             allow_anonymous = true for this listener or in [auth])"
        )),
        (true, false) if !certificate => Some(format!(
            "listener {address}: anyone who reaches this address may connect without a name \
             (allow_anonymous = true)"
        )),
        (true, true) if is_open_to_pages(listener) => Some(format!(
            "listener {address}: any web page that a browser on this machine shows may connect \
             without a name (allow_anonymous = true); origins says which may"
        )),
        _ => None,
    }
}

/// Loopback is no bound for pages: the browser that shows them is on this machine.
fn is_open_to_pages(listener: &Listener) -> bool {
    listener.protocol == Protocol::Websocket
        && listener.origins.is_empty()
        && listener.client_certificate != ClientCertificate::Required
        && matches!(listener.kind(), super::ListenerKind::Tcp(_))
}
