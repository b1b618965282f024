//! What a verified client certificate says about its owner.
//!
//! Invariant: a name with control characters in it, or an empty one, is no name.

use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::{ObjectIdentifier, Utf8StringRef};
use x509_cert::der::{Tag, Tagged};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::super::authority::ClientName;
use crate::config::UserFrom;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// The names in a certificate, and the one of them that is the user's, as the listener says. What
/// cannot be read has none, and who has none enters in another way or not at all.
pub(crate) fn of_certificate(der: &[u8], user_from: UserFrom) -> ClientName {
    let Ok(certificate) = Certificate::from_der(der) else { return ClientName::default() };
    let common_name = common_name(&certificate);
    let found: Vec<(UserFrom, String)> = alternatives(&certificate).unwrap_or_default();
    let user = match user_from {
        UserFrom::Connect => None,
        UserFrom::CommonName => common_name.clone(),
        san => found.iter().find(|(kind, _)| *kind == san).map(|(_, name)| name.clone()),
    };
    let sans = found.into_iter().map(|(_, name)| name).collect();
    ClientName { common_name, sans, user }
}

/// The same for a certificate of which a proxy says that it has verified it, and whose it is.
pub(crate) fn of_proxy(common_name: Option<&str>, user_from: UserFrom) -> ClientName {
    let common_name = common_name.filter(|name| is_name(name)).map(str::to_owned);
    let user = common_name.clone().filter(|_| user_from == UserFrom::CommonName);
    ClientName { common_name, sans: Vec::new(), user }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_control)
}

/// The first Common Name, as text.
fn common_name(certificate: &Certificate) -> Option<String> {
    let mut attributes = certificate.tbs_certificate.subject.0.iter().flat_map(|set| set.0.iter());
    let value = &attributes.find(|attribute| attribute.oid == COMMON_NAME)?.value;
    // All of these are ASCII or UTF-8 in practice; anything else is not guessed at.
    let text = match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::TeletexString => {
            Utf8StringRef::new(value.value()).ok()?
        }
        _ => return None,
    };
    Some(text.as_str().to_owned()).filter(|name| is_name(name))
}

fn alternatives(certificate: &Certificate) -> Option<Vec<(UserFrom, String)>> {
    let (_, names) = certificate.tbs_certificate.get::<SubjectAltName>().ok()??;
    let names = names.0.iter().filter_map(|name| match name {
        GeneralName::DnsName(name) => Some((UserFrom::SanDns, name.to_string())),
        GeneralName::Rfc822Name(name) => Some((UserFrom::SanEmail, name.to_string())),
        GeneralName::UniformResourceIdentifier(name) => Some((UserFrom::SanUri, name.to_string())),
        _ => None,
    });
    Some(names.filter(|(_, name)| is_name(name)).collect())
}
