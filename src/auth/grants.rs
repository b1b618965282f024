//! Topic Filters that somebody granted: patterns in, filters out.
//!
//! What lives here: `%c` and `%u` in the filters of a token or of a hook become the client's own
//! names. May use: `topic`.
//!
//! Invariant: a name never widens a pattern. Where it would (it has a wildcard, a `/`, or a `$` in
//! front of everything), the pattern matches nothing.

use crate::topic::TopicFilter;

use super::Grants;

impl Grants {
    /// The grants of one client: `%c` becomes its Client Identifier, `%u` its user name. A pattern
    /// that a name does not fit, that asks for the name of an anonymous client, or that is no valid
    /// Topic Filter, is left out: it grants nothing.
    pub fn of<S: AsRef<str>>(
        publish: &[S],
        subscribe: &[S],
        user: Option<&str>,
        client_id: &str,
    ) -> Self {
        let filters = |patterns: &[S]| {
            let filters = patterns.iter().filter_map(|p| fill(p.as_ref(), user, client_id));
            filters.collect()
        };
        Self { publish: filters(publish), subscribe: filters(subscribe) }
    }
}

/// One pattern with the names in it. What a name brings in is not looked at again: a client called
/// `%u` is just that.
fn fill(pattern: &str, user: Option<&str>, client_id: &str) -> Option<Box<str>> {
    let mut filter = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        filter.push_str(&rest[..at]);
        let name = match rest.as_bytes().get(at + 1) {
            Some(b'c') => client_id,
            Some(b'u') => user?,
            _ => {
                filter.push('%');
                rest = &rest[at + 1..];
                continue;
            }
        };
        // `$SYS` or `$share` as a name must not open what those begin.
        let widens = name.contains(['+', '#', '/']) || filter.is_empty() && name.starts_with('$');
        if name.is_empty() || widens {
            return None;
        }
        filter.push_str(name);
        rest = &rest[at + 2..];
    }
    filter.push_str(rest);
    TopicFilter::new(&filter).ok()?;
    Some(filter.into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fill_patterns_and_never_widen_them() {
        for (pattern, user, client_id, filter) in [
            ("a/#", None, "c", Some("a/#")),
            ("a/%c/#", None, "c1", Some("a/c1/#")),
            ("a/%u/+", Some("ann"), "c", Some("a/ann/+")),
            ("%u/%c", Some("ann"), "c1", Some("ann/c1")),
            ("x%cy%uz", Some("b"), "a", Some("xaybz")),
            ("100%", None, "c", Some("100%")),
            ("%%c", None, "c", Some("%c")),
            ("%x/%", None, "c", Some("%x/%")),
            ("é/%c/ü", None, "ö", Some("é/ö/ü")),
            // names that look like patterns
            ("%c/%u", Some("%c"), "%u", Some("%u/%c")),
            ("%c/a", Some("u"), "%", Some("%/a")),
            // nobody's name
            ("a/%u", None, "c", None),
            ("a/%u", Some(""), "c", None),
            ("a/%c", Some("u"), "", None),
            // names that would widen the pattern
            ("a/%c", None, "+", None),
            ("a/%c", None, "#", None),
            ("a/%c", None, "b/c", None),
            ("a/%c", None, "b+", None),
            ("%u/#", Some("a/b"), "c", None),
            ("a/b", Some("#"), "#", Some("a/b")),
            ("%c/#", None, "$SYS", None),
            ("%u/#", Some("$share"), "c", None),
            ("a/%c", None, "$SYS", Some("a/$SYS")),
            // no filters
            ("", None, "c", None),
            ("a#", None, "c", None),
            ("a/#/%c", None, "c", None),
            ("+%c", None, "c", None),
        ] {
            let grants = Grants::of(&[pattern], &[], user, client_id);
            let wanted: Vec<Box<str>> = filter.into_iter().map(Into::into).collect();
            assert_eq!(grants.publish, wanted, "{pattern} {user:?} {client_id}");
            assert!(grants.subscribe.is_empty());
            assert_eq!(Grants::of(&[], &[pattern], user, client_id).subscribe, wanted);
        }
        let long = "x".repeat(65_000);
        let grants = Grants::of(&[format!("{long}/%c").as_str()], &[], None, &long);
        assert_eq!(grants, Grants::default());
    }
}
