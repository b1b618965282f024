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

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

    use super::*;

    fn certificate(common_names: Vec<DnValue>, sans: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in common_names {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.subject_alt_names = sans;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_and_the_one_that_is_the_users() {
        let sans = vec![
            SanType::Rfc822Name("a@example".try_into().unwrap()),
            SanType::DnsName("first.example".try_into().unwrap()),
            SanType::DnsName("second.example".try_into().unwrap()),
            SanType::URI("urn:x:1".try_into().unwrap()),
            SanType::IpAddress([192, 0, 2, 1].into()),
        ];
        let full = certificate(vec![DnValue::Utf8String("Sensor 7é".into())], sans);
        for (user_from, user) in [
            (UserFrom::Connect, None),
            (UserFrom::CommonName, Some("Sensor 7é")),
            (UserFrom::SanDns, Some("first.example")),
            (UserFrom::SanEmail, Some("a@example")),
            (UserFrom::SanUri, Some("urn:x:1")),
        ] {
            let name = of_certificate(&full, user_from);
            assert_eq!(name.user.as_deref(), user);
            assert_eq!(name.common_name.as_deref(), Some("Sensor 7é"));
            assert_eq!(name.sans.len(), 4);
            let bare = certificate(Vec::new(), Vec::new());
            assert_eq!(of_certificate(&bare, user_from), ClientName::default());
        }
    }

    #[test]
    fn what_is_no_name() {
        for (value, name) in [
            (DnValue::PrintableString("plain".try_into().unwrap()), Some("plain")),
            (DnValue::Utf8String("a\nb".into()), None),
            (DnValue::Utf8String("a\0b".into()), None),
            (DnValue::Utf8String(String::new()), None),
            (DnValue::BmpString("wide".try_into().unwrap()), None),
        ] {
            let der = certificate(vec![value.clone()], Vec::new());
            let found = of_certificate(&der, UserFrom::CommonName);
            assert_eq!(found.user.as_deref(), name, "{value:?}");
        }
        assert_eq!(of_certificate(b"no certificate", UserFrom::CommonName), ClientName::default());
        let mail = SanType::Rfc822Name("a\r@b".try_into().unwrap());
        assert_eq!(
            of_certificate(&certificate(Vec::new(), vec![mail]), UserFrom::SanEmail).user,
            None
        );
    }

    #[test]
    fn what_a_proxy_says() {
        assert_eq!(of_proxy(Some("x"), UserFrom::CommonName).user.as_deref(), Some("x"));
        assert_eq!(of_proxy(Some("x"), UserFrom::SanDns).user, None);
        assert_eq!(of_proxy(Some("x\ny"), UserFrom::CommonName), ClientName::default());
        assert_eq!(of_proxy(None, UserFrom::CommonName), ClientName::default());
    }
}
