//! The small languages inside the texts of settings: lists, origins, owners, modes, names.
//!
//! Plain data and pure functions. Invariant: what the schema lets pass is read here without a
//! fault, because both call the same functions.
use super::network::Network;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::path::PathBuf;
use std::str::FromStr;

/// The longest path of a Unix socket, in bytes: what the system's address has room for.
const UNIX_PATH_BYTES_MAX: usize = 107;

/// The text is none of what it is to be. The schema says what that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this text is not as the setting wants it")]
pub struct NotAsItShouldBe;

/// A way to show who one is: `auth.authentication`, `listener.authentication`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// User name and password, by `auth.password_file`.
    Password,
    /// A token as the password, by one of the three `auth.jwt_…` and `auth.jwks_file`.
    Jwt,
    /// SCRAM-SHA-256 as enhanced authentication, by `auth.password_file`.
    Scram,
    /// What `auth.hook_url` answers.
    Hook,
    /// The client certificate's name, as `listener.user_from` says.
    Certificate,
}

impl Method {
    /// The word that settings have for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Jwt => "jwt",
            Self::Scram => "scram",
            Self::Hook => "hook",
            Self::Certificate => "certificate",
        }
    }
}

impl FromStr for Method {
    type Err = NotAsItShouldBe;

    fn from_str(text: &str) -> Result<Self, NotAsItShouldBe> {
        let all = [Self::Password, Self::Jwt, Self::Scram, Self::Hook, Self::Certificate];
        all.into_iter().find(|method| method.name() == text).ok_or(NotAsItShouldBe)
    }
}

/// Where a web page came from: `scheme://host` or `scheme://host:port`, or `null`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Whether an `Origin` header with this value means it. Scheme and host in any case.
    pub fn is(&self, header: &str) -> bool {
        self.0.eq_ignore_ascii_case(header)
    }
}

impl FromStr for Origin {
    type Err = NotAsItShouldBe;

    fn from_str(text: &str) -> Result<Self, NotAsItShouldBe> {
        let text = text.to_ascii_lowercase();
        if text == "null" {
            return Ok(Self(text));
        }
        let (scheme, host) = text.split_once("://").ok_or(NotAsItShouldBe)?;
        if !is_scheme(scheme) || !(is_host_and_port(host) || is_host(host)) {
            return Err(NotAsItShouldBe);
        }
        // Browsers leave the port out that the scheme has anyway.
        let usual = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => "",
        };
        Ok(Self(format!("{scheme}://{}", host.strip_suffix(usual).unwrap_or(host))))
    }
}

/// One item of `listener.sni`: the certificate for clients that name this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SniHost {
    /// In lower case; no address, no wildcard.
    pub host: String,
    /// PEM; the chain, the server's own first.
    pub certificate_file: PathBuf,
    /// PEM.
    pub key_file: PathBuf,
}

impl FromStr for SniHost {
    type Err = NotAsItShouldBe;

    fn from_str(text: &str) -> Result<Self, NotAsItShouldBe> {
        let (host, files) = text.split_once('=').ok_or(NotAsItShouldBe)?;
        let (certificate, key) = files.split_once(':').ok_or(NotAsItShouldBe)?;
        let (host, certificate, key) = (host.trim(), certificate.trim(), key.trim());
        let path = |path: &str| !path.is_empty() && !path.contains(['\0', ':']);
        if !is_host_name(host) || !path(certificate) || !path(key) {
            return Err(NotAsItShouldBe);
        }
        Ok(Self {
            host: host.to_ascii_lowercase(),
            certificate_file: certificate.into(),
            key_file: key.into(),
        })
    }
}

/// `listener.unix_owner`: `user:group`, `user`, `:group`, or nothing. Names or numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// `None` leaves it.
    pub user: Option<String>,
    /// `None` leaves it.
    pub group: Option<String>,
}

impl FromStr for Owner {
    type Err = NotAsItShouldBe;

    fn from_str(text: &str) -> Result<Self, NotAsItShouldBe> {
        let (user, group) = match text.split_once(':') {
            Some((_, "")) => return Err(NotAsItShouldBe),
            Some((user, group)) => (user, group),
            None => (text, ""),
        };
        let name = |name: &str| match name {
            "" => Ok(None),
            name if is_account(name) => Ok(Some(name.to_owned())),
            _ => Err(NotAsItShouldBe),
        };
        Ok(Self { user: name(user)?, group: name(group)? })
    }
}

/// The bits of `0660` and the like.
pub(super) fn mode(text: &str) -> Option<u32> {
    let fine = (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    u32::from_str_radix(text, 8).ok().filter(|mode| fine && *mode <= 0o777)
}

/// The items of a comma-separated list.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// A field that is a list.
pub(super) fn list<'de, D: Deserializer<'de>, T: FromStr>(from: D) -> Result<Vec<T>, D::Error> {
    let text = String::deserialize(from)?;
    items(&text).map(parsed::<D, T>).collect()
}

/// A field that is one of these.
pub(super) fn one<'de, D: Deserializer<'de>, T: FromStr>(from: D) -> Result<T, D::Error> {
    parsed::<D, T>(&String::deserialize(from)?)
}

/// A field that is not set when it is empty.
pub(super) fn unless_empty<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: From<String>,
{
    let text = String::deserialize(from)?;
    Ok((!text.is_empty()).then(|| text.into()))
}

/// `listener.unix_mode`
pub(super) fn mode_field<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    mode(&String::deserialize(from)?).ok_or_else(|| D::Error::custom(NotAsItShouldBe))
}

fn parsed<'de, D: Deserializer<'de>, T: FromStr>(text: &str) -> Result<T, D::Error> {
    text.parse().map_err(|_| D::Error::custom(NotAsItShouldBe))
}

// What single texts may be: for the schema.

pub(super) fn is<T: FromStr>(text: &str) -> bool {
    text.parse::<T>().is_ok()
}

pub(super) fn is_network(text: &str) -> bool {
    is::<Network>(text)
}

/// The path of `unix:/path`.
pub(super) fn is_unix_path(path: &str) -> bool {
    !path.is_empty() && path.len() <= UNIX_PATH_BYTES_MAX && !path.contains(char::is_control)
}

/// The path of an HTTP request, or nothing.
pub(super) fn is_url_path(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_graphic() && !b"?#".contains(&b);
    text.is_empty() || text.starts_with('/') && text.len() <= 1024 && text.bytes().all(fine)
}

/// `http://` or `https://`, a host and perhaps a port, path and query; no user and no password,
/// which would be a secret among the settings.
pub(super) fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let Some(rest) = rest else { return false };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let graphic = path.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    (is_host(host) || is_host_and_port(host)) && graphic && text.len() <= 2048
}

/// User names, Client Identifiers, roles: what a comma-separated list can hold.
pub(super) fn is_pattern(text: &str) -> bool {
    !text.contains(char::is_control)
}

/// The name or number of a user or a group of the system.
pub(super) fn is_account(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"._-$@\\".contains(&b);
    !text.is_empty() && text.len() <= 255 && !text.starts_with('-') && text.bytes().all(fine)
}

fn is_scheme(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"+.-".contains(&b);
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(fine)
}

/// `host:port`; the host a name, an IPv4 address or `[v6]`.
pub(super) fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    !port.starts_with('+') && port.parse::<u16>().is_ok() && is_host(host)
}

fn is_host(text: &str) -> bool {
    let v6 = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match v6 {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => text.parse::<std::net::Ipv4Addr>().is_ok() || is_host_name(text),
    }
}

/// A name of digits and dots that is no address is a mistyped address, not a name.
pub(super) fn is_host_name(host: &str) -> bool {
    host.len() <= 253
        && host.split('.').all(|label| !label.is_empty() && label.len() <= 63)
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        && host.bytes().any(|b| b.is_ascii_alphabetic())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(what: fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(what(text), "{text:?} is good");
        }
        for text in bad {
            assert!(!what(text), "{text:?} is bad");
        }
    }

    #[test]
    fn single_texts() {
        check(
            is::<Origin>,
            &["https://a.example", "http://[::1]:8080", "null", "capacitor://localhost"],
            &["", "*", "a.example", "https://", "https://a/", "https://a b", "://a", "1:2"],
        );
        check(
            is::<SniHost>,
            &["a.example=c.pem:k.pem", "a = /x y/c : k"],
            &["a", "a=b", "a=b:", "a=:b", "=b:c", "*.a=b:c", "1.2.3.4=b:c", "a=b:c:d"],
        );
        check(
            is::<Owner>,
            &["", "mqtt", "mqtt:www-data", ":1000"],
            &[":", "a:", "a:b:c", "a b", "-x", "a:b c"],
        );
        check(
            |t| mode(t).is_some(),
            &["0660", "600", "0777", "0000"],
            &["", "66", "0668", "1777", "00660", "0o660", "+660", "rw-"],
        );
        check(
            is_url_path,
            &["", "/", "/mqtt", "/a/b-c_d"],
            &["mqtt", "/a?b", "/a#b", "/a b", "/é"],
        );
        check(
            is_url,
            &["http://localhost:8080/auth", "https://a.example", "http://[::1]:1?x=y"],
            &["", "a", "ftp://a", "http://", "http://u:p@h/", "http://h/#x", "http://h/a b", "//h"],
        );
        check(is_account, &["mqtt", "1000", "_x-y.z", "svc$"], &["", "-a", "a b", "a:b", "a/b"]);
        check(is_unix_path, &["/run/x", "x y"], &["", "a\0", "a\n", &"x".repeat(108)]);
        check(is::<Method>, &["jwt", "certificate"], &["", "JWT", "psk"]);
    }

    #[test]
    fn origins_are_compared_as_browsers_write_them() {
        let origin: Origin = "HTTPS://Dash.example:443".parse().unwrap();
        assert!(origin.is("https://dash.example") && origin.is("https://DASH.example"));
        assert!(!origin.is("http://dash.example") && !origin.is("https://dash.example.evil"));
        let other: Origin = "http://a:443".parse().unwrap();
        assert!(other.is("http://a:443") && !other.is("http://a"));
    }

    #[test]
    fn parts_are_told_apart() {
        let sni: SniHost = "A.example = c.pem : k.pem".parse().unwrap();
        assert_eq!((sni.host.as_str(), sni.key_file.to_str()), ("a.example", Some("k.pem")));
        let owner = |text: &str| {
            let owner: Owner = text.parse().unwrap();
            (owner.user.unwrap_or_default(), owner.group.unwrap_or_default())
        };
        assert_eq!(owner("a:b"), ("a".into(), "b".into()));
        assert_eq!(owner("a"), ("a".into(), String::new()));
        assert_eq!(owner(":b"), (String::new(), "b".into()));
        assert_eq!(mode("0640"), Some(0o640));
    }
}
