//! User names and Client Identifiers in rules: patterns with `*`, filters with `%c` and `%u`, and
//! the word that somebody meant.
//!
//! May use: `topic`. Invariant: a name never widens what a rule allows: one that would be a
//! wildcard, another level or the `$` of a topic allows nothing.

use crate::topic::TopicFilter;

/// Whether `text` is what `pattern` says; `*` stands for any characters, also none.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Behind the last `*`, and the text that it has not taken yet.
    let mut retry = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
        } else if pattern.get(p) == text.get(t) {
            p += 1;
            t += 1;
        } else if let Some((star, from)) = retry {
            (p, t) = (star, from + 1);
            retry = Some((star, from + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

/// Whether there is something to fill in.
pub(super) fn has_names(filter: &str) -> bool {
    filter.contains("%c") || filter.contains("%u")
}

/// A client's names, and what of them may be filled in.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) user: Option<&'a str>,
    pub(super) client_id: &'a str,
    /// a `/` in a name makes levels (as with mosquitto 2.0)
    pub(super) may_have_levels: bool,
}

impl Names<'_> {
    /// `filter` with the client's names, if then it is a filter that allows no more than was meant.
    pub(super) fn allowing(self, filter: &str) -> Option<String> {
        let good = |name: &str| {
            !name.is_empty() && !is_wild(name) && (self.may_have_levels || !name.contains('/'))
        };
        let filled = self.fill(filter, good)?;
        (filter.starts_with('$') || !filled.starts_with('$')).then_some(filled)
    }

    /// `filter` with the client's names, if then there is a topic that it matches.
    pub(super) fn denying(self, filter: &str) -> Option<String> {
        self.fill(filter, |name| !is_wild(name))
    }

    fn fill(self, filter: &str, good: impl Fn(&str) -> bool) -> Option<String> {
        let mut filled = String::with_capacity(filter.len() + self.client_id.len());
        let mut rest = filter;
        while let Some(at) = rest.find('%') {
            let (before, from) = rest.split_at(at);
            filled.push_str(before);
            let (name, len) = match from.as_bytes().get(1) {
                Some(b'c') => (self.client_id, 2),
                Some(b'u') => (self.user?, 2),
                _ => ("%", 1),
            };
            if len == 2 && !good(name) {
                return None;
            }
            filled.push_str(name);
            rest = &from[len..];
        }
        filled.push_str(rest);
        TopicFilter::new(&filled).is_ok().then_some(filled)
    }
}

/// Whether a name has a wildcard in it.
pub(super) fn is_wild(name: &str) -> bool {
    name.contains(['+', '#'])
}

/// `; did you mean …?`, if one of `words` is much like `word`.
pub(super) fn hint<'a>(word: &str, words: &[&'a str]) -> String {
    let near = |known: &&&'a str| known.len().max(word.len()) / 3 + 1;
    words
        .iter()
        // The length first: the distance costs the product of both.
        .filter(|known| known.len().abs_diff(word.len()) <= near(known))
        .map(|known| (distance(word, known), known))
        .filter(|(distance, known)| *distance <= near(known))
        .min_by_key(|(distance, _)| *distance)
        .map_or(String::new(), |(_, known)| format!("; did you mean {known:?}?"))
}

/// How many bytes have to be put in, taken out or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.bytes().enumerate() {
            let change = above[j] + usize::from(x != y);
            row.push(change.min(above[j + 1] + 1).min(row[j] + 1));
        }
        above = row;
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, fit) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything * at all", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("sensor-*", "sensor-", true),
            ("sensor-*", "sensor-7", true),
            ("sensor-*", "my sensor-7", false),
            ("*-7", "sensor-7-7", true),
            ("*-7", "sensor-78", false),
            ("a*b*c", "abbbc", true),
            ("a*b*c", "acb", false),
            ("a**", "a", true),
            ("*é*", "né", true),
            ("?", "x", false),
        ] {
            assert_eq!(fits(pattern, text), fit, "{pattern:?} {text:?}");
        }
        // Many stars cost no more than pattern times text.
        assert!(!fits(&"*a".repeat(200), &"a".repeat(199)));
        assert!(!fits(&format!("{}b", "*a".repeat(500)), &"a".repeat(20_000)));
    }

    #[test]
    fn filled_in() {
        let anna = |id| Names { user: Some("anna"), client_id: id, may_have_levels: false };
        for (filter, id, allowing, denying) in [
            ("%u/%c/#", "7", Some("anna/7/#"), Some("anna/7/#")),
            ("%c%c-%u", "7", Some("77-anna"), Some("77-anna")),
            ("%%c/%d/%", "7", Some("%7/%d/%"), Some("%7/%d/%")),
            // A name is not looked into again.
            ("%c/x", "%u", Some("%u/x"), Some("%u/x")),
            ("%c/x", "+", None, None),
            ("%c/x", "a#", None, None),
            ("%c/x", "a/b", None, Some("a/b/x")),
            ("%c/x", "", None, Some("/x")),
            ("%c", "", None, None),
            ("%u/x", "+", Some("anna/x"), Some("anna/x")),
            ("%c/#", "$SYS", None, Some("$SYS/#")),
            ("$SYS/%c", "$", Some("$SYS/$"), Some("$SYS/$")),
            ("%c/x", "a\0", None, None),
        ] {
            assert_eq!(anna(id).allowing(filter).as_deref(), allowing, "{filter} {id}");
            assert_eq!(anna(id).denying(filter).as_deref(), denying, "{filter} {id}");
        }
        let nobody = Names { user: None, client_id: "7", may_have_levels: true };
        assert_eq!(nobody.allowing("%u/x"), None);
        assert_eq!(nobody.denying("%u/x"), None);
        assert_eq!(nobody.allowing("%c/x").as_deref(), Some("7/x"));
        let levels = Names { client_id: "a/b", ..nobody };
        assert_eq!(levels.allowing("%c/x").as_deref(), Some("a/b/x"));
    }

    #[test]
    fn near_words() {
        let words = ["publish", "subscribe", "deny_publish", "deny_subscribe"];
        assert_eq!(hint("publsh", &words), "; did you mean \"publish\"?");
        assert_eq!(hint("denysubscribe", &words), "; did you mean \"deny_subscribe\"?");
        assert_eq!(hint("colour", &words), "");
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
