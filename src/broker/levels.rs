//! What a node of the filter tree stands for: a level of Topic Filters, or several in a row.
//!
//! May use nothing. Most filters have a tail that they share with no other, and a node for each of
//! its levels would be memory that nothing is found by. Texts that fit stand in the node, which
//! saves an allocation and a cache miss per step; longer ones pay a double indirection, so that all
//! nodes are small.
//!
//! Invariant: several levels stand together only where they fit in a node.

/// The text of a level, or of several with the `/` between them; wildcards are levels like others.
pub(super) enum Levels {
    Short { len: u8, bytes: [u8; SHORT_BYTES_MAX] },
    Long(Box<Box<[u8]>>),
}

const SHORT_BYTES_MAX: usize = 14;

/// Where a way goes on that leads through [`Levels`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// they match: the topic's next level begins there, or behind its end if it has no more
    On(usize),
    /// they match whatever comes: their last level is `#`
    End,
    /// they do not match
    Nowhere,
}

impl Levels {
    pub(super) const EMPTY: Self = Self::Short { len: 0, bytes: [0; SHORT_BYTES_MAX] };

    pub(super) fn new(text: &[u8]) -> Self {
        if text.len() > SHORT_BYTES_MAX {
            return Self::Long(Box::new(text.into()));
        }
        let mut bytes = [0; SHORT_BYTES_MAX];
        bytes[..text.len()].copy_from_slice(text);
        Self::Short { len: text.len() as u8, bytes }
    }

    /// These and those below them, if they fit in one node.
    pub(super) fn joined(&self, below: &Self) -> Option<Self> {
        let (Self::Short { len, bytes }, below) = (self, below.as_bytes()) else { return None };
        let at = usize::from(*len) + 1;
        let end = at + below.len();
        let mut bytes = *bytes;
        bytes.get_mut(at..end)?.copy_from_slice(below);
        bytes[at - 1] = b'/';
        Some(Self::Short { len: end as u8, bytes })
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(text) => text,
        }
    }

    pub(super) fn first(&self) -> &[u8] {
        first(self.as_bytes())
    }

    /// Whether the first of them is `level`.
    pub(super) fn begin_with(&self, level: &[u8]) -> bool {
        let rest = self.as_bytes().strip_prefix(level);
        rest.is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
    }

    /// Follows those behind the first one, which has `first_len` bytes and matched, through the
    /// levels of `topic`, of which the next one begins at `at`.
    pub(super) fn follow(&self, first_len: usize, topic: &[u8], mut at: usize) -> Way {
        let mut left = self.as_bytes().get(first_len..).unwrap_or_default();
        while let [b'/', behind @ ..] = left {
            let level = first(behind);
            left = &behind[level.len()..];
            if level == b"#" {
                return Way::End; // before the topic's end is looked at: "a/#" matches "a" too
            }
            let Some(rest) = topic.get(at..) else { return Way::Nowhere };
            let len = match level {
                b"+" => first(rest).len(),
                _ if matches!(rest.strip_prefix(level), Some([] | [b'/', ..])) => level.len(),
                _ => return Way::Nowhere,
            };
            at += len + 1;
        }
        Way::On(at)
    }
}

/// The first level of `text`.
pub(super) fn first(text: &[u8]) -> &[u8] {
    let len = text.iter().position(|&b| b == b'/').unwrap_or(text.len());
    &text[..len]
}

/// How much of `text` one node may stand for: as many levels as fit, one at least.
pub(super) fn fitting(text: &[u8]) -> usize {
    if text.len() <= SHORT_BYTES_MAX {
        return text.len();
    }
    let within = &text[..=SHORT_BYTES_MAX];
    within.iter().rposition(|&b| b == b'/').unwrap_or_else(|| first(text).len())
}

/// How much of both texts is the same levels; their first ones are the same.
pub(super) fn common(a: &[u8], b: &[u8]) -> usize {
    let mut end = first(a).len();
    while let (Some([b'/', a @ ..]), Some([b'/', b @ ..])) = (a.get(end..), b.get(end..)) {
        let level = first(a);
        if level != first(b) {
            break;
        }
        end += 1 + level.len();
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_stand_together_where_they_fit() {
        for (text, len) in [
            ("", 0),
            ("a", 1),
            ("a/b/#", 5),
            ("/", 1),
            ("/b", 2),
            ("12345678901234", 14),
            ("123456789012345", 15),
            ("12345678901234/b", 14),
            ("1234567890123/b", 13),
            ("123456789012/b", 14),
            ("123456789012/b/c", 14),
            ("a level that is long/b/c", 20),
            ("a/a level that is long", 1),
            ("/a level that is long", 0),
        ] {
            assert_eq!(fitting(text.as_bytes()), len, "{text:?}");
        }
    }

    #[test]
    fn what_is_common_is_whole_levels() {
        for (a, b, len) in [
            ("", "", 0),
            ("a", "a", 1),
            ("a/b", "a", 1),
            ("a/b", "a/bc", 1),
            ("a/b/c", "a/b/d", 3),
            ("a/b/c", "a/b/c", 5),
            ("/b", "/c", 0),
            ("/b", "/b/c", 2),
            ("/", "", 0),
            ("/", "//", 1),
            ("a/+/#", "a/+/b", 3),
        ] {
            assert_eq!(common(a.as_bytes(), b.as_bytes()), len, "{a:?} {b:?}");
            assert_eq!(common(b.as_bytes(), a.as_bytes()), len, "{b:?} {a:?}");
        }
    }

    #[test]
    fn they_join_if_they_fit() {
        let join = |a: &str, b: &str| {
            let joined = Levels::new(a.as_bytes()).joined(&Levels::new(b.as_bytes()));
            joined.map(|levels| levels.as_bytes().to_vec())
        };
        assert_eq!(join("a", "b/#").as_deref(), Some(&b"a/b/#"[..]));
        assert_eq!(join("", "").as_deref(), Some(&b"/"[..]));
        assert_eq!(join("1234567", "123456").as_deref(), Some(&b"1234567/123456"[..]));
        assert_eq!(join("1234567", "1234567"), None);
        assert_eq!(join("12345678901234", ""), None);
        assert_eq!(join("a level that is long", "b"), None);
        assert_eq!(join("a", "a level that is long"), None);
    }

    #[test]
    fn a_way_leads_through_them_level_by_level() {
        for (text, topic, way) in [
            ("a", "a/b", Way::On(2)),
            ("a", "a", Way::On(2)),
            ("a/b", "a/b", Way::On(4)),
            ("a/b", "a/b/c", Way::On(4)),
            ("a/b", "a/bc", Way::Nowhere),
            ("a/bc", "a/b", Way::Nowhere),
            ("a/b", "a", Way::Nowhere),
            ("a/+", "a", Way::Nowhere),
            ("a/+", "a/", Way::On(3)),
            ("a/+/c", "a/bb/c", Way::On(7)),
            ("a/#", "a", Way::End),
            ("a/#", "a/b/c", Way::End),
            ("a/+/#", "a/b", Way::End),
            ("a/+/#", "a", Way::Nowhere),
            ("a/", "a/", Way::On(3)),
            ("a/", "a/b", Way::Nowhere),
            ("a//c", "a//c", Way::On(5)),
        ] {
            let levels = Levels::new(text.as_bytes());
            assert!(levels.begin_with(b"a"));
            assert_eq!(levels.follow(1, topic.as_bytes(), 2), way, "{text:?} {topic:?}");
        }
        assert!(!Levels::new(b"ab/c").begin_with(b"a"));
        assert!(Levels::new(b"/c").begin_with(b""));
        assert!(Levels::new(b"").begin_with(b""));
        assert!(!Levels::new(b"a").begin_with(b""));
    }

    #[test]
    fn they_are_small() {
        assert_eq!(size_of::<Levels>(), 16);
    }
}
