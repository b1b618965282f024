//! Any bytes, taken for a password file; and one user of it changed.
//!
//! Laws: nothing panics; an error names a line that is there, and shows nothing of it; what parses
//! wants no more memory than it may, and does not know a password that was made up; a change touches
//! no other line, and what parsed parses after it.

use stonechat::auth::password::{Costs, PasswordFile, check_user, edit};

use super::source::Source;

/// Small, so that the fuzzer gets on.
const COSTS: Costs = Costs {
    argon2_memory_kib_max: 64,
    argon2_filled_kib_max: 128,
    argon2_lanes_max: 4,
    pbkdf2_iterations_max: 4096,
};
/// How many users of a file are tried.
const TRIED_MAX: usize = 4;
/// Of the password `wren`.
const HASH: &str = "$argon2id$v=19$m=64,t=2,p=2$c2FsdHNhbHQ$s6BkIz8a1geEsm4wc7e7/Q";

/// A user name, then the file.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let user = source.text();
    let bytes = source.take(usize::MAX);
    let text = String::from_utf8_lossy(bytes);
    let file = read(&text);
    if let Some(file) = &file {
        verify(file, &text, user);
    }
    if check_user(user).is_ok() {
        change(bytes, user);
        if let Some(file) = &file {
            change_read(file, &text, user);
        }
    }
}

fn read(text: &str) -> Option<PasswordFile> {
    let lines: Vec<_> = text.split('\n').collect();
    match PasswordFile::parse_within(text, &COSTS) {
        Ok(file) => {
            assert!(file.len() + file.repeated().len() <= lines.len());
            let is_there = |&line: &usize| (2..=lines.len()).contains(&line);
            assert!(file.repeated().iter().all(is_there) && file.repeated().is_sorted());
            Some(file)
        }
        Err(error) => {
            let line = lines[error.line - 1];
            let told = error.to_string();
            // A word so long stands in no message.
            for field in line.split([':', '$', ',', ' ']).filter(|field| field.len() >= 24) {
                assert!(!told.contains(field), "{told} shows {field}");
            }
            // Those before it are not to blame.
            let before = lines[..error.line - 1].join("\n");
            assert!(PasswordFile::parse_within(&before, &COSTS).is_ok());
            None
        }
    }
}

fn names(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.split('\n').filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(':')).map(|(user, _)| user.trim_ascii())
}

fn verify(file: &PasswordFile, text: &str, made_up: &str) {
    for user in names(text).take(TRIED_MAX) {
        let hash = file.find(user).expect("who has a line is known");
        assert!(hash.memory_bytes() <= 64 << 10);
        assert!(format!("{hash:?}").len() < 16);
        // Nobody made a hash of this.
        assert!(!hash.verify(format!("{made_up}, but made up").as_bytes()));
    }
    if file.find(made_up).is_none() && !file.is_empty() {
        let nobody = file.candidate(made_up, 7);
        assert!(nobody.memory_bytes() <= 64 << 10 && !nobody.verify(b"wren"));
    }
}

/// The lines that are not `user`'s, without their ends.
fn others(text: &[u8], user: &str) -> Vec<Vec<u8>> {
    let lines = text.split(|&byte| byte == b'\n').filter(|line| {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        let is_line = line.contains(&b':') && !line.starts_with(b"#");
        !line.is_empty() && !(is_line && name.trim_ascii() == user.as_bytes())
    });
    lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec()).collect()
}

fn change(text: &[u8], user: &str) {
    let set = edit(text, user, Some(HASH));
    assert_eq!(others(&set.text, user), others(text, user));
    let again = edit(&set.text, user, Some(HASH));
    assert!(again.lines_before == 1 && again.text == set.text);
    let gone = edit(text, user, None);
    assert_eq!(gone.lines_before, set.lines_before);
    assert_eq!(others(&gone.text, user), others(text, user));
    assert!(gone.lines_before > 0 || gone.text == text);
    assert_eq!(edit(&gone.text, user, None).lines_before, 0);
}

fn change_read(file: &PasswordFile, text: &str, user: &str) {
    let parse = |text: Vec<u8>| {
        let text = String::from_utf8(text).expect("it was text");
        PasswordFile::parse_within(&text, &COSTS).expect("it parsed before")
    };
    let set = parse(edit(text.as_bytes(), user, Some(HASH)).text);
    let gone = parse(edit(text.as_bytes(), user, None).text);
    assert!(set.find(user).is_some_and(|hash| hash.verify(b"wren")));
    assert!(gone.find(user).is_none());
    assert_eq!(set.len(), gone.len() + 1);
    assert_eq!(file.len(), gone.len() + usize::from(file.find(user).is_some()));
}
