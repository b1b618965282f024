//! What the hook is asked: JSON, whose bytes are also what its answer is remembered by.
//!
//! Invariant: a question stands in memory that is zeroed, and is not copied by growing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use zeroize::Zeroizing;

/// Whether a client may connect.
#[derive(Clone, Copy, Default)]
pub(crate) struct ConnectQuestion<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) password: Option<&'a [u8]>,
    /// the address, without its port; a Unix socket's `uid:N`
    pub(crate) peer: &'a str,
    /// the listener's address, as the settings have it
    pub(crate) listener: &'a str,
    /// the client certificate's Common Name, and its other names
    pub(crate) certificate: Option<(Option<&'a str>, &'a [String])>,
}

/// Whether a client may use a topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopicQuestion<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) topic: Wanted<'a>,
}

/// What it would like to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    /// publish to this topic
    Publish(&'a str),
    /// subscribe to this filter
    Subscribe(&'a str),
}

#[derive(Serialize)]
struct Question<'a> {
    action: &'static str,
    client_id: &'a str,
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    /// a password that is no text
    #[serde(skip_serializing_if = "Option::is_none")]
    password_base64: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Certificate<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<&'a str>,
}

#[derive(Serialize)]
struct Certificate<'a> {
    common_name: Option<&'a str>,
    names: &'a [String],
}

impl Question<'_> {
    /// `texts`: bytes of all texts in it. An escape makes six of one.
    fn bytes(&self, texts: usize) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(512 + 6 * texts));
        // Text and lists always have a JSON: what is not written is no question, and refused.
        let _ = serde_json::to_writer(&mut *bytes, self);
        bytes
    }
}

impl ConnectQuestion<'_> {
    pub(super) fn bytes(&self) -> Zeroizing<Vec<u8>> {
        let text = self.password.map(std::str::from_utf8);
        let coded = match text {
            Some(Err(_)) => self.password.map(|bytes| Zeroizing::new(STANDARD.encode(bytes))),
            _ => None,
        };
        let certificate =
            self.certificate.map(|(common_name, names)| Certificate { common_name, names });
        let names = certificate.as_ref().map_or(0, |c| {
            let each = c.names.iter().map(|name| name.len() + 4).sum::<usize>();
            each + c.common_name.map_or(0, str::len)
        });
        let question = Question {
            action: "connect",
            client_id: self.client_id,
            user: self.user,
            password: text.and_then(Result::ok),
            password_base64: coded.as_ref().map(|text| text.as_str()),
            peer: Some(self.peer),
            listener: Some(self.listener),
            certificate,
            topic: None,
            filter: None,
        };
        let password = 2 * self.password.map_or(0, <[u8]>::len);
        let user = self.user.map_or(0, str::len);
        let others = self.client_id.len() + self.peer.len() + self.listener.len();
        question.bytes(names + password + user + others)
    }
}

impl TopicQuestion<'_> {
    pub(super) fn bytes(&self) -> Zeroizing<Vec<u8>> {
        let (action, topic, filter) = match self.topic {
            Wanted::Publish(topic) => ("publish", Some(topic), None),
            Wanted::Subscribe(filter) => ("subscribe", None, Some(filter)),
        };
        let question = Question {
            action,
            client_id: self.client_id,
            user: self.user,
            password: None,
            password_base64: None,
            peer: None,
            listener: None,
            certificate: None,
            topic,
            filter,
        };
        question.bytes(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_json() {
        let names = ["a\"b".to_owned(), "two".to_owned()];
        let full = ConnectQuestion {
            client_id: "c\u{1}",
            user: Some("u"),
            password: Some(b"p\"w"),
            peer: "192.0.2.1",
            listener: "0.0.0.0:1883",
            certificate: Some((Some("cn"), &names)),
        };
        let topic = |topic| TopicQuestion { client_id: "c", user: None, topic }.bytes();
        for (bytes, json) in [
            (
                full.bytes(),
                r#"{"action":"connect","client_id":"c\u0001","user":"u","password":"p\"w","peer":"192.0.2.1","listener":"0.0.0.0:1883","certificate":{"common_name":"cn","names":["a\"b","two"]}}"#,
            ),
            (
                ConnectQuestion { password: Some(&[0xff]), certificate: None, ..full }.bytes(),
                r#"{"action":"connect","client_id":"c\u0001","user":"u","password_base64":"/w==","peer":"192.0.2.1","listener":"0.0.0.0:1883"}"#,
            ),
            (
                topic(Wanted::Publish("a/b")),
                r#"{"action":"publish","client_id":"c","user":null,"topic":"a/b"}"#,
            ),
            (
                topic(Wanted::Subscribe("a/#")),
                r#"{"action":"subscribe","client_id":"c","user":null,"filter":"a/#"}"#,
            ),
        ] {
            assert_eq!(std::str::from_utf8(&bytes).unwrap(), json);
        }
    }

    /// A password that is all escapes does not make the buffer grow: growing would leave a copy.
    #[test]
    fn a_question_never_moves() {
        let password = [1; 1000];
        let question = ConnectQuestion { password: Some(&password), ..ConnectQuestion::default() };
        let bytes = question.bytes();
        assert!(bytes.len() > 6000 && bytes.len() <= bytes.capacity());
        assert_eq!(bytes.capacity(), 512 + 6 * 2000, "as it was made");
    }
}
