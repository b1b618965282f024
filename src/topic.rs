//! Layer 0: Topic Names and Topic Filters, validated once and then trusted.
//!
//! What lives here: [`TopicName`], [`TopicFilter`] and [`ShareName`], borrowed and `Copy`, and the
//! plain (level by level) matcher. May use: `core` alone.
//!
//! Invariant: a value of one of these types obeys sections 4.7 and 4.8.2 of MQTT 5.0; nobody who
//! holds one checks it again. No normalization is ever made \[MQTT-4.7.3-4\].

use thiserror::Error;

/// The longest UTF-8 Encoded String \[MQTT-4.7.3-3\], in bytes.
pub const STRING_BYTES_MAX: usize = 65_535;

/// Why a string is no Topic Name or no Topic Filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TopicError {
    /// \[MQTT-4.7.3-1\]
    #[error("a topic must be at least one character long")]
    Empty,
    /// \[MQTT-4.7.3-2\]
    #[error("a topic must not contain U+0000")]
    Null,
    /// \[MQTT-4.7.3-3\]
    #[error("a topic must not be longer than 65535 bytes")]
    TooLong,
    /// \[MQTT-3.3.2-2\]
    #[error("a Topic Name must not contain wildcards")]
    WildcardInName,
    /// \[MQTT-4.7.1-1\]
    #[error("'#' must be a whole level and the last one")]
    MisplacedHash,
    /// \[MQTT-4.7.1-2\]
    #[error("'+' must be a whole level")]
    MisplacedPlus,
    /// \[MQTT-4.8.2-1\], \[MQTT-4.8.2-2\]
    #[error("a Shared Subscription is $share/ShareName/filter, the ShareName without '+' and '#'")]
    BadShare,
}

/// A Topic Name (section 4.7): no wildcards, at least one character, no U+0000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicName<'a>(&'a str);

impl<'a> TopicName<'a> {
    /// Checks `s`.
    pub fn new(s: &'a str) -> Result<Self, TopicError> {
        check_length(s)?;
        // One pass: U+0000 is the rarest of the three, but all three are refused alike.
        match s.bytes().find(|b| matches!(b, 0 | b'+' | b'#')) {
            None => Ok(Self(s)),
            Some(0) => Err(TopicError::Null),
            Some(_) => Err(TopicError::WildcardInName),
        }
    }

    /// Takes back a text that was checked before (a stored message's).
    pub(crate) fn from_validated(s: &'a str) -> Self {
        debug_assert!(Self::new(s).is_ok());
        Self(s)
    }

    /// The text.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The levels, in order; there is always at least one, and a level may be empty.
    pub fn levels(self) -> std::str::Split<'a, char> {
        self.0.split('/')
    }

    /// Whether the first level starts with `$`: such topics are kept out of filters that start
    /// with a wildcard \[MQTT-4.7.2-1\].
    pub fn is_dollar(self) -> bool {
        self.0.starts_with('$')
    }
}

/// A Topic Filter without its `$share/ShareName/` part (section 4.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicFilter<'a>(&'a str);

impl<'a> TopicFilter<'a> {
    /// Checks `s`. `$share/...` is not looked into: see [`SubscriptionFilter::parse`].
    pub fn new(s: &'a str) -> Result<Self, TopicError> {
        check_length(s)?;
        // Without an early end, so that it goes over many bytes at a time.
        let found = s.bytes().fold(0, |found, b| {
            found | u8::from(b == 0) | u8::from(b == b'+') << 1 | u8::from(b == b'#') << 1
        });
        match found {
            0 => return Ok(Self(s)),
            n if n & 1 != 0 => return Err(TopicError::Null),
            _ if wildcards_stand_alone(s.as_bytes()) => return Ok(Self(s)),
            _ => {}
        }
        // Something is wrong: what?
        let mut levels = s.split('/').peekable();
        while let Some(level) = levels.next() {
            if level.contains('#') && (level != "#" || levels.peek().is_some()) {
                return Err(TopicError::MisplacedHash);
            }
            if level.contains('+') && level != "+" {
                return Err(TopicError::MisplacedPlus);
            }
        }
        Ok(Self(s))
    }

    /// Takes back a text that was checked before (a filter tree's).
    pub(crate) fn from_validated(s: &'a str) -> Self {
        debug_assert!(Self::new(s).is_ok());
        Self(s)
    }

    /// The text.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The levels, in order; wildcards are levels too.
    pub fn levels(self) -> std::str::Split<'a, char> {
        self.0.split('/')
    }

    /// How many levels there are.
    pub fn level_count(self) -> usize {
        self.0.bytes().filter(|&b| b == b'/').count() + 1
    }

    /// Whether `name` matches, level by level: the slow, plain definition that the trees are
    /// tested against (section 4.7).
    pub fn matches(self, name: TopicName<'_>) -> bool {
        if name.is_dollar() && self.0.starts_with(['+', '#']) {
            return false; // [MQTT-4.7.2-1]
        }
        let mut names = name.levels();
        for level in self.levels() {
            match (level, names.next()) {
                ("#", _) => return true, // also the parent level itself: "a/#" matches "a"
                ("+", Some(_)) => {}
                (level, Some(name)) if level == name => {}
                _ => return false,
            }
        }
        names.next().is_none()
    }
}

/// The ShareName of a Shared Subscription (section 4.8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShareName<'a>(&'a str);

impl<'a> ShareName<'a> {
    /// The text.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

/// What a SUBSCRIBE or UNSUBSCRIBE names: a Topic Filter, shared or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscriptionFilter<'a> {
    /// The whole text as the client wrote it.
    pub text: &'a str,
    /// The ShareName, for `$share/ShareName/filter`.
    pub share: Option<ShareName<'a>>,
    /// The filter that Topic Names are matched against.
    pub filter: TopicFilter<'a>,
}

impl<'a> SubscriptionFilter<'a> {
    /// Parses and checks what stands in a SUBSCRIBE. `$share` alone, or followed by anything but
    /// a ShareName and a filter, is refused \[MQTT-4.8.2-1\] \[MQTT-4.8.2-2\].
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        check_length(text)?;
        let Some(rest) = text.strip_prefix("$share") else {
            return Ok(Self { text, share: None, filter: TopicFilter::new(text)? });
        };
        match rest.strip_prefix('/') {
            None if rest.is_empty() => Err(TopicError::BadShare),
            None => Ok(Self { text, share: None, filter: TopicFilter::new(text)? }),
            Some(rest) => {
                let (name, filter) = rest.split_once('/').ok_or(TopicError::BadShare)?;
                if name.is_empty() || filter.is_empty() || name.contains(['+', '#', '\0']) {
                    return Err(TopicError::BadShare);
                }
                let filter = TopicFilter::new(filter)?;
                Ok(Self { text, share: Some(ShareName(name)), filter })
            }
        }
    }
}

/// Whether each `+` is a whole level, and a `#` too, and the last one.
fn wildcards_stand_alone(filter: &[u8]) -> bool {
    let mut before = b'/';
    for (i, &b) in filter.iter().enumerate() {
        let after = filter.get(i + 1).copied();
        let whole = match b {
            b'+' => before == b'/' && matches!(after, None | Some(b'/')),
            b'#' => before == b'/' && after.is_none(),
            _ => true,
        };
        if !whole {
            return false;
        }
        before = b;
    }
    true
}

fn check_length(s: &str) -> Result<(), TopicError> {
    match s.len() {
        0 => Err(TopicError::Empty),
        n if n > STRING_BYTES_MAX => Err(TopicError::TooLong),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "/", "a/b", "//", "$SYS/x", "é", " ", "a b/ä", "$share/x"] {
            assert_eq!(TopicName::new(good).map(TopicName::as_str), Ok(good));
        }
        let long = "x".repeat(STRING_BYTES_MAX + 1);
        for (bad, why) in [
            ("", TopicError::Empty),
            ("a\0b", TopicError::Null),
            ("a/+", TopicError::WildcardInName),
            ("a#", TopicError::WildcardInName),
            (long.as_str(), TopicError::TooLong),
        ] {
            assert_eq!(TopicName::new(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn filters() {
        for good in ["#", "+", "a/#", "+/+/#", "/+", "a/+/b", "a//b", "$SYS/#", "é/+", "/"] {
            assert!(TopicFilter::new(good).is_ok(), "{good:?}");
        }
        for (bad, why) in [
            ("", TopicError::Empty),
            ("\0", TopicError::Null),
            ("a#", TopicError::MisplacedHash),
            ("#/a", TopicError::MisplacedHash),
            ("a/#/b", TopicError::MisplacedHash),
            ("##", TopicError::MisplacedHash),
            ("a+", TopicError::MisplacedPlus),
            ("+a/b", TopicError::MisplacedPlus),
            ("a/++", TopicError::MisplacedPlus),
            ("+#", TopicError::MisplacedHash),
        ] {
            assert_eq!(TopicFilter::new(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn shares() {
        let s = SubscriptionFilter::parse("$share/g/a/#").unwrap();
        assert_eq!((s.share.unwrap().as_str(), s.filter.as_str()), ("g", "a/#"));
        let s = SubscriptionFilter::parse("$share/g//x").unwrap();
        assert_eq!((s.share.unwrap().as_str(), s.filter.as_str()), ("g", "/x"));
        assert_eq!(SubscriptionFilter::parse("$shared/g").unwrap().share, None);
        for bad in
            ["$share", "$share/", "$share/g", "$share/g/", "$share//a", "$share/+/a", "$share/a#/b"]
        {
            assert_eq!(SubscriptionFilter::parse(bad), Err(TopicError::BadShare), "{bad:?}");
        }
        assert_eq!(SubscriptionFilter::parse("$share/g/a#"), Err(TopicError::MisplacedHash));
    }

    #[test]
    fn matching() {
        for (filter, name, matches) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
            ("sport/#", "sport", true),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "a/b/c", true),
            ("#", "$SYS/a", false),
            ("+/a", "$SYS/a", false),
            ("$SYS/#", "$SYS/a", true),
            ("$SYS/+", "$SYS/a", true),
            ("a/+/c", "a/b/c", true),
            ("a/+/c", "a/b/d", false),
            ("a", "a/b", false),
            ("é/+", "é/x", true),
            ("A", "a", false),
        ] {
            let (f, n) = (TopicFilter::new(filter).unwrap(), TopicName::new(name).unwrap());
            assert_eq!(f.matches(n), matches, "{filter} / {name}");
        }
    }
}
