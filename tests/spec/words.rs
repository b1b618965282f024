//! The packet notation, first half: a packet as words, and how two of them are compared.
//!
//! `publish t/a hello q1#7 retain user=k:v` is a kind, then arguments in order, then attributes in
//! any order (`name=value`, and a few bare ones). `''` is an empty word, `x*500` is 500 times `x`.

/// Bare words that are attributes.
const FLAGS: [&str; 7] = ["clean", "bridge", "wretain", "dup", "retain", "sp", "noproblem"];

/// What a row need not say: the broker's own words, and what CONNACK says of its capabilities.
const OPTIONAL: [&str; 4] = ["reason", "rmax", "maxp", "aliases"];

/// A packet as words.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Words {
    pub(crate) kind: String,
    pub(crate) args: Vec<String>,
    pub(crate) attributes: Vec<(String, String)>,
}

fn expand(word: &str) -> String {
    if word == "''" {
        return String::new();
    }
    if let Some((unit, count)) = word.rsplit_once('*')
        && let Ok(count) = count.parse::<usize>()
        && !unit.is_empty()
    {
        return unit.repeat(count);
    }
    word.to_owned()
}

fn attribute(word: &str) -> Option<(String, String)> {
    if FLAGS.contains(&word) {
        return Some((word.to_owned(), String::new()));
    }
    if let Some(qos) = word.strip_prefix('q')
        && qos.starts_with(['0', '1', '2'])
        && (qos.len() == 1 || qos[1..].starts_with('#'))
    {
        return Some(("q".to_owned(), qos.to_owned()));
    }
    let (name, value) = word.split_once('=')?;
    let is_name = name.trim_start_matches('!').chars().all(|c| c.is_ascii_lowercase());
    is_name.then(|| (name.to_owned(), expand(value)))
}

impl Words {
    /// Reads the notation.
    pub(crate) fn parse(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let kind = words.next().unwrap_or_default().to_owned();
        let mut parsed = Self { kind, ..Self::default() };
        for word in words {
            match attribute(word) {
                Some(attribute) => parsed.attributes.push(attribute),
                None => parsed.args.push(expand(word)),
            }
        }
        parsed
    }

    pub(crate) fn new(kind: &str) -> Self {
        Self { kind: kind.to_owned(), ..Self::default() }
    }

    pub(crate) fn arg(mut self, arg: impl ToString) -> Self {
        self.args.push(arg.to_string());
        self
    }

    pub(crate) fn set(&mut self, name: &str, value: impl ToString) {
        self.attributes.push((name.to_owned(), value.to_string()));
    }

    pub(crate) fn flag(&mut self, name: &str, is: bool) {
        if is {
            self.set(name, "");
        }
    }

    /// The first value of an attribute.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All values of an attribute, in order.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.attributes.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// An attribute as a number, if it is there.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name).map(|v| v.parse().unwrap_or_else(|_| panic!("{name}={v}: no such number")))
    }

    /// Argument `at`, as text.
    pub(crate) fn word(&self, at: usize) -> &str {
        self.args.get(at).unwrap_or_else(|| panic!("{} lacks word {at}", self.kind))
    }

    /// Argument `at`, as a number.
    pub(crate) fn id(&self, at: usize) -> u16 {
        self.word(at).parse().unwrap_or_else(|_| panic!("{}: no number {:?}", self.kind, self.args))
    }

    /// Whether a received packet is the one that a row (`self`) names. Arguments must be the same,
    /// `*` is any. Attributes must be the same, `name=*` is any value, and `!name=` says that it
    /// is not there; the order of equal names counts. See [`OPTIONAL`].
    pub(crate) fn matches(&self, got: &Self) -> bool {
        let same = |want: &str, got: &str| want == "*" || want == got;
        if self.kind != got.kind || self.args.len() != got.args.len() {
            return false;
        }
        if !self.args.iter().zip(&got.args).all(|(want, got)| same(want, got)) {
            return false;
        }
        if self.attributes.iter().any(|(n, _)| n.strip_prefix('!').is_some_and(|n| got.has(n))) {
            return false;
        }
        let mut wanted: Vec<_> = self.attributes.iter().filter(|a| !a.0.starts_with('!')).collect();
        let mut there: Vec<_> = got.attributes.iter().collect();
        there.retain(|(n, _)| !OPTIONAL.contains(&n.as_str()) || self.has(n));
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
        there.sort_by(|a, b| a.0.cmp(&b.0));
        let sort_ids = |list: &mut Vec<&(String, String)>| {
            let ids = list.iter().position(|a| a.0 == "sub");
            if let Some(at) = ids {
                let count = list[at..].iter().take_while(|a| a.0 == "sub").count();
                list[at..at + count].sort(); // their order is not significant [MQTT-3.3.4-4]
            }
        };
        sort_ids(&mut wanted);
        sort_ids(&mut there);
        wanted.len() == there.len()
            && wanted.iter().zip(&there).all(|(w, t)| w.0 == t.0 && same(&w.1, &t.1))
    }
}

impl std::fmt::Display for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short = |text: &str| match text {
            "" => "''".to_owned(),
            long if long.len() > 60 => format!("{:.20}…({} bytes)", long, long.len()),
            text => text.to_owned(),
        };
        write!(f, "{}", self.kind)?;
        for arg in &self.args {
            write!(f, " {}", short(arg))?;
        }
        for (name, value) in &self.attributes {
            match (name.as_str(), value.as_str()) {
                ("q", qos) => write!(f, " q{qos}")?,
                (flag, "") if FLAGS.contains(&flag) => write!(f, " {flag}")?,
                (name, value) => write!(f, " {name}={}", short(value))?,
            }
        }
        Ok(())
    }
}
