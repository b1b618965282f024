//! Password files: mosquitto's own, read as they are; and how one line of them is changed.
//!
//! A line is `user:hash`. Lines that are empty or begin with `#` are none. Blanks around a name and
//! a hash do not count (so neither does the CR of a CRLF), nor does what follows a second `:`,
//! except in a SCRAM verifier, which has one itself. What mosquitto skips with a warning, a line
//! without a `:` or with a broken hash, is an error here. Of two lines for one user the first
//! counts, as with mosquitto 2.1 (2.0 took another one); [`PasswordFile::repeated`] tells the
//! others.
//!
//! May use libraries that compute. Invariant: no error and no `Debug` shows a line's content.

mod hash;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;

pub use hash::{
    ARGON2_FILLED_KIB_MAX, ARGON2_LANES_MAX, ARGON2_MEMORY_KIB_MAX, Costs, Hash, HashError,
    NOBODY_MEMORY_BYTES, PBKDF2_ITERATIONS_MAX, new_hash, new_scram, verify_nobody,
};

/// How long MQTT lets a User Name or a Password be, in bytes.
pub const FIELD_BYTES_MAX: usize = 65_535;

/// Who may enter with which password.
pub struct PasswordFile {
    /// sorted by name
    users: Vec<(Box<str>, Hash)>,
    repeated: Vec<usize>,
}

/// A line that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct PasswordFileError {
    /// which one, from 1
    pub line: usize,
    /// what is wrong with it
    pub what: LineError,
}

/// See [`PasswordFileError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It is no `user:hash`.
    #[error("there is no \":\" in it: a line is user:hash")]
    NoColon,
    /// Nobody can have this name.
    #[error(transparent)]
    User(UserError),
    /// The hash is not taken.
    #[error(transparent)]
    Hash(HashError),
}

/// Why a text can be no user's name in a password file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// There is nothing.
    #[error("the user name is empty")]
    Empty,
    /// Longer than MQTT allows.
    #[error("the user name has more than {FIELD_BYTES_MAX} bytes")]
    TooLong,
    /// The name would end there.
    #[error("the user name has a \":\" in it")]
    Colon,
    /// Among them what ends a line.
    #[error("the user name has a control character in it")]
    Control,
    /// They would be cut off.
    #[error("the user name begins or ends with a blank")]
    Blank,
    /// The line would be a comment.
    #[error("the user name begins with \"#\"")]
    Comment,
}

/// Whether a password file can hold a user of this name.
///
/// # Errors
/// Why not.
pub fn check_user(user: &str) -> Result<(), UserError> {
    match user {
        "" => Err(UserError::Empty),
        _ if user.len() > FIELD_BYTES_MAX => Err(UserError::TooLong),
        _ if user.contains(':') => Err(UserError::Colon),
        _ if user.contains(char::is_control) => Err(UserError::Control),
        _ if user.trim() != user => Err(UserError::Blank),
        _ if user.starts_with('#') => Err(UserError::Comment),
        _ => Ok(()),
    }
}

impl PasswordFile {
    /// Reads a password file.
    ///
    /// # Errors
    /// The first line that is broken, or whose hash would cost more than [`Costs::MAX`].
    pub fn parse(text: &str) -> Result<Self, PasswordFileError> {
        Self::parse_within(text, &Costs::MAX)
    }

    /// Reads a password file, with other limits.
    ///
    /// # Errors
    /// See [`Self::parse`].
    pub fn parse_within(text: &str, costs: &Costs) -> Result<Self, PasswordFileError> {
        let mut users = BTreeMap::new();
        let mut repeated = Vec::new();
        for (line, content) in (1..).zip(text.split('\n')) {
            let read = parse_line(content, costs);
            let Some((user, hash)) = read.map_err(|what| PasswordFileError { line, what })? else {
                continue;
            };
            if users.contains_key(user) {
                repeated.push(line);
            } else {
                users.insert(user.into(), hash);
            }
        }
        Ok(Self { users: users.into_iter().collect(), repeated })
    }

    /// The hash of a user's password.
    pub fn find(&self, user: &str) -> Option<&Hash> {
        let at = self.users.binary_search_by(|(name, _)| (**name).cmp(user)).ok()?;
        self.users.get(at).map(|(_, hash)| hash)
    }

    /// What to hold a password against that came with this user name: also where there is no such
    /// user, so that neither the answer nor the time until it tells whether there is. Then another
    /// user's hash stands in, always the same for a name and a seed, which is to be secret.
    pub fn candidate(&self, user: &str, seed: u64) -> Candidate<'_> {
        if let Some(hash) = self.find(user) {
            return Candidate { hash: Some(hash), known: true };
        }
        let mut hasher = FixedState::with_seed(seed).build_hasher();
        hasher.write(user.as_bytes());
        let at = hasher.finish().checked_rem(self.users.len() as u64).unwrap_or(0) as usize;
        Candidate { hash: self.users.get(at).map(|(_, hash)| hash), known: false }
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The numbers of lines that do not count: their users had one before.
    pub fn repeated(&self) -> &[usize] {
        &self.repeated
    }
}

impl fmt::Debug for PasswordFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordFile").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

/// See [`PasswordFile::candidate`].
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// `None`: the file is empty
    hash: Option<&'a Hash>,
    known: bool,
}

impl Candidate<'_> {
    /// Whether the user is there and this is the password. Blocks for as long as the hash costs.
    pub fn verify(&self, password: &[u8]) -> bool {
        let fits = match self.hash {
            Some(hash) => hash.verify(password),
            None => verify_nobody(password),
        };
        fits & self.known
    }

    /// How much memory [`Self::verify`] takes for itself, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.hash.map_or(NOBODY_MEMORY_BYTES, Hash::memory_bytes)
    }
}

/// `None`: a line that is none.
fn parse_line<'a>(line: &'a str, costs: &Costs) -> Result<Option<(&'a str, Hash)>, LineError> {
    if line.starts_with('#') || line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let (user, hash) = line.split_once(':').ok_or(LineError::NoColon)?;
    let user = user.trim_ascii();
    if user.is_empty() {
        return Err(LineError::User(UserError::Empty));
    }
    if user.len() > FIELD_BYTES_MAX {
        return Err(LineError::User(UserError::TooLong));
    }
    let hash = match hash.trim_ascii() {
        hash if hash.starts_with('$') => hash.split(':').next().unwrap_or_default().trim_ascii(),
        hash => hash,
    };
    Ok(Some((user, Hash::parse(hash, costs).map_err(LineError::Hash)?)))
}

/// The same for a line that may be anything: whose it is.
fn user_of(line: &[u8]) -> Option<&[u8]> {
    if line.starts_with(b"#") {
        return None;
    }
    let colon = line.iter().position(|&byte| byte == b':')?;
    line.get(..colon).map(<[u8]>::trim_ascii)
}

/// A password file's text after [`edit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// all of it
    pub text: Vec<u8>,
    /// how many lines the user had before
    pub lines_before: usize,
}

/// Gives a user another hash, or, with `None`, takes the user out. A new line goes where the first
/// one was, else to the end; further lines of this user are taken out. All others stay as they are,
/// also those that nobody can read. The name is to be one that [`check_user`] takes.
pub fn edit(text: &[u8], user: &str, hash: Option<&str>) -> Edited {
    let mut edited = Vec::with_capacity(text.len() + 256);
    let mut lines_before = 0;
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        if user_of(line) != Some(user.as_bytes()) {
            edited.extend_from_slice(line);
            continue;
        }
        if let (0, Some(hash)) = (lines_before, hash) {
            write_line(&mut edited, user, hash, ending_of(line));
        }
        lines_before += 1;
    }
    if let (0, Some(hash)) = (lines_before, hash) {
        let mut lines = text.split_inclusive(|&byte| byte == b'\n');
        let (first, last) = (lines.next().unwrap_or_default(), lines.next_back());
        let last = last.unwrap_or(first);
        let ending = if first.ends_with(b"\r\n") { "\r\n" } else { "\n" };
        // A last line without an end would take the new one in.
        if !last.is_empty() && !last.ends_with(b"\n") {
            let ending = if last.ends_with(b"\r") { "\n" } else { ending };
            edited.extend_from_slice(ending.as_bytes());
        }
        write_line(&mut edited, user, hash, ending);
    }
    Edited { text: edited, lines_before }
}

fn ending_of(line: &[u8]) -> &'static str {
    match line {
        [.., b'\r', b'\n'] => "\r\n",
        [.., b'\n'] => "\n",
        _ => "",
    }
}

fn write_line(text: &mut Vec<u8>, user: &str, hash: &str, ending: &str) {
    for part in [user, ":", hash, ending] {
        text.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: &str = "elV0+d9eAtJC1A2f";
    /// `secret`
    const ANNA: &str = "$7$101$elV0+d9eAtJC1A2f$gIE9JFbStPICvgsZ/qot1YuGIsIsxZ/MTvH/1OmnJIjIaQnbbhQB4HyQsw+HJf0PrPN2CvdHSlgfCqgO0/QhMQ==";
    /// `Grünspecht 7`
    const BERT: &str = "$6$aKdaT6OSGyKAS4el$E1TXvdI8kiFWmtazb41CcefwrEgw4xjt84vfY3MofZQ3SaOWMke5mHJUpy/PMbGYVFDvb/+/mbRobYiEvfpbvg==";
    /// `wren`
    const SMALL: &str = "$argon2id$v=19$m=64,t=2,p=2$c2FsdHNhbHQ$s6BkIz8a1geEsm4wc7e7/Q";
    /// `pencil`
    const SCRAM: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    fn parse(text: &str) -> PasswordFile {
        PasswordFile::parse(text).unwrap()
    }

    #[test]
    fn a_file_of_all_kinds() {
        let text = format!(
            "# users\n\nanna:{ANNA}\r\n  bert\t: {BERT}:a note \n   \n#bert:x\nzoë f.:{SMALL}\npen:{SCRAM}"
        );
        let file = parse(&text);
        assert_eq!((file.len(), file.is_empty(), file.repeated()), (4, false, &[][..]));
        for (user, password) in
            [("anna", "secret"), ("bert", "Grünspecht 7"), ("zoë f.", "wren"), ("pen", "pencil")]
        {
            assert!(file.find(user).unwrap().verify(password.as_bytes()), "{user}");
            let candidate = file.candidate(user, 5);
            assert!(candidate.verify(password.as_bytes()) && !candidate.verify(b"wrong"));
        }
        for nobody in ["", "users", "Anna", "#bert", " bert", "zoë", "bert\t", "pencil"] {
            assert!(file.find(nobody).is_none(), "{nobody}");
        }
        assert_eq!(format!("{file:?}"), "PasswordFile { users: 4, .. }");
        assert_eq!(parse("").len(), 0);
    }

    #[test]
    fn broken_lines_are_told_by_number() {
        let name = "n".repeat(FIELD_BYTES_MAX + 1);
        for (line, what) in [
            ("anna".into(), "there is no \":\" in it: a line is user:hash"),
            (ANNA.into(), "there is no \":\" in it: a line is user:hash"),
            (format!(":{ANNA}"), "the user name is empty"),
            (format!(" :{ANNA}"), "the user name is empty"),
            (format!("{name}:{ANNA}"), "the user name has more than 65535 bytes"),
            ("anna:".into(), "no hash that is known"),
            ("anna:secret".into(), "no hash that is known"),
            (format!("anna::{ANNA}"), "no hash that is known"),
            (format!("anna:$6${SALT}"), "the $6$ hash is broken"),
            (" # indented".into(), "there is no"),
        ] {
            for (before, number) in [("", 1), ("# a\n", 2), ("# a\r\n\r\n", 3)] {
                let text = format!("{before}{line}\nbert:{BERT}\n");
                let error = PasswordFile::parse(&text).unwrap_err();
                assert_eq!(error.line, number, "{text}");
                let told = error.to_string();
                assert!(told.starts_with(&format!("line {number}: {what}")), "{told}");
                assert!(!told.contains("secret") && !told.contains(SALT), "{told}");
            }
        }
        let longest = format!("{}:{ANNA}", "n".repeat(FIELD_BYTES_MAX));
        assert_eq!(parse(&longest).len(), 1);
    }

    #[test]
    fn of_two_lines_the_first_counts() {
        let file = parse(&format!("u:{ANNA}\nbert:{BERT}\nu:{SMALL}\n u :{SMALL}"));
        assert_eq!((file.len(), file.repeated()), (2, &[3, 4][..]));
        let hash = file.find("u").unwrap();
        assert!(hash.verify(b"secret") && !hash.verify(b"wren"));
        // Also a line that does not count has to be whole.
        assert_eq!(PasswordFile::parse(&format!("u:{ANNA}\nu:x")).unwrap_err().line, 2);
    }

    #[test]
    fn nobody_costs_what_somebody_costs() {
        let file = parse(&format!("anna:{SMALL}\nbert:{SMALL}"));
        let memory_bytes = file.find("anna").unwrap().memory_bytes();
        assert_eq!(memory_bytes, 64 << 10);
        let nobody = file.candidate("nobody", 5);
        assert_eq!(nobody.memory_bytes(), memory_bytes);
        assert!(!nobody.verify(b"wren"), "the password of the one that stands in");
        // Always the same stands in for a name; for different names, different ones.
        let file = parse(&format!("anna:{ANNA}\nzoë:{SMALL}"));
        let stands_in = |name: &str| file.candidate(name, 5).memory_bytes();
        let names: Vec<_> = (0..40).map(|n| format!("nobody{n}")).collect();
        let first: Vec<_> = names.iter().map(|name| stands_in(name)).collect();
        assert_eq!(first, names.iter().map(|name| stands_in(name)).collect::<Vec<_>>());
        assert!(first.contains(&0) && first.contains(&(64 << 10)), "{first:?}");
        let empty = parse("");
        assert_eq!(empty.candidate("anna", 5).memory_bytes(), NOBODY_MEMORY_BYTES);
        assert!(!empty.candidate("anna", 5).verify(b""));
    }

    #[test]
    fn names() {
        for (name, what) in [
            ("anna", None),
            ("anna maria", None),
            ("$7$", None),
            ("zoë#1", None),
            ("", Some(UserError::Empty)),
            ("a:b", Some(UserError::Colon)),
            ("a\nb", Some(UserError::Control)),
            ("a\0", Some(UserError::Control)),
            ("a\u{85}", Some(UserError::Control)),
            (" a", Some(UserError::Blank)),
            ("a\u{a0}", Some(UserError::Blank)),
            ("#a", Some(UserError::Comment)),
        ] {
            assert_eq!(check_user(name).err(), what, "{name:?}");
            if what.is_none() {
                assert!(parse(&format!("{name}:{ANNA}")).find(name).is_some());
            }
        }
        assert_eq!(check_user(&"n".repeat(65_535)), Ok(()));
        assert_eq!(check_user(&"n".repeat(65_536)), Err(UserError::TooLong));
    }

    #[test]
    fn one_line_is_changed_and_no_other() {
        for (before, user, hash, after, lines) in [
            ("", "a", Some("H"), "a:H\n", 0),
            ("", "a", None, "", 0),
            ("b:1\n", "a", Some("H"), "b:1\na:H\n", 0),
            ("b:1", "a", Some("H"), "b:1\na:H\n", 0),
            ("b:1\r\n", "a", Some("H"), "b:1\r\na:H\r\n", 0),
            ("b:1\r\nc:2\r", "a", Some("H"), "b:1\r\nc:2\r\na:H\r\n", 0),
            ("\n", "a", Some("H"), "\na:H\n", 0),
            ("b:1\r\nc:2", "a", Some("H"), "b:1\r\nc:2\r\na:H\r\n", 0),
            ("# x\n\na:1\nb:2\n", "a", Some("H"), "# x\n\na:H\nb:2\n", 1),
            ("a:1", "a", Some("H"), "a:H", 1),
            ("b:1\na:1\r\n", "a", Some("H"), "b:1\na:H\r\n", 1),
            (" a : 1\nb:2", "a", Some("H"), "a:H\nb:2", 1),
            ("a:1\nb:2\na:3\n", "a", Some("H"), "a:H\nb:2\n", 2),
            ("a:1\nb:2\na:3", "a", None, "b:2\n", 2),
            ("a:1", "a", None, "", 1),
            ("aa:1\n#a:2\na\nA:1\n", "a", None, "aa:1\n#a:2\na\nA:1\n", 0),
            ("junk\n\na:", "a", Some("H"), "junk\n\na:H", 1),
        ] {
            let edited = edit(before.as_bytes(), user, hash);
            let text = String::from_utf8(edited.text).unwrap();
            assert_eq!((text.as_str(), edited.lines_before), (after, lines), "{before:?}");
        }
        let edited = edit(b"\xff:1\na:2\n\xfe", "a", Some("H"));
        assert_eq!(edited.text, b"\xff:1\na:H\n\xfe");
    }
}
