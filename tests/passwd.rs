//! `stonechat passwd` from the outside: the program, over files of its own and of mosquitto's.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_methods)] // layer 3 and above

#[path = "support/directory.rs"]
mod directory;

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use stonechat::auth::password::PasswordFile;

use directory::Directory;

impl Directory {
    fn file(&self) -> PathBuf {
        self.0.join("users")
    }

    /// Makes the file, with a mode that is not the usual one.
    fn write(&self, text: &[u8]) {
        fs::write(self.file(), text).unwrap();
        fs::set_permissions(self.file(), Permissions::from_mode(0o640)).unwrap();
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    fn parsed(&self) -> PasswordFile {
        PasswordFile::parse(&self.text()).unwrap()
    }

    fn is_right(&self, user: &str, password: &str) -> bool {
        self.parsed().find(user).is_some_and(|hash| hash.verify(password.as_bytes()))
    }

    /// Runs `stonechat passwd`: exit code, and complaints. Nothing is ever printed.
    fn run(&self, arguments: &[&str], input: &[u8]) -> (i32, String) {
        let mut child = command(&self.file(), arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may have ended, or have enough, before it has read all.
        let _ = child.stdin.take().unwrap().write_all(input);
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        assert_eq!(stdout, b"");
        (status.code().unwrap(), String::from_utf8(stderr).unwrap())
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str], input: &[u8]) {
        assert_eq!(self.run(arguments, input), (0, String::new()));
        self.holds_one_file();
    }

    #[track_caller]
    fn refuses(&self, arguments: &[&str], input: &[u8], code: i32, what: &str) {
        let before = fs::read(self.file()).ok();
        let (ended, err) = self.run(arguments, input);
        assert!(ended == code && err.contains(what), "{arguments:?}: {ended} {err}");
        assert_eq!(fs::read(self.file()).ok(), before, "{arguments:?} changed the file");
        assert!(!err.contains("quite secret"), "{err}");
        if before.is_some() {
            self.holds_one_file();
        }
    }

    #[track_caller]
    fn holds_one_file(&self) {
        let names: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["users"]);
    }
}

fn command(file: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stonechat"));
    command.env_clear().arg("passwd").arg(file).args(arguments);
    command
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// Says that something is skipped, or fails if nothing may be.
fn skip(what: &str) {
    let required = std::env::var("STONECHAT_TESTS_REQUIRE_ALL").is_ok_and(|v| v == "1");
    assert!(!required, "must not be skipped: {what}");
    let _ = writeln!(std::io::stderr(), "skipped: {what}");
}

#[test]
fn add_change_and_delete() {
    let directory = Directory::empty("passwd-all");
    directory.succeeds(&["anna", "--create"], b"quite secret\n");
    assert_eq!(mode(&directory.file()), 0o600);
    assert!(directory.text().starts_with("anna:$argon2id$v=19$"), "{}", directory.text());
    assert!(directory.is_right("anna", "quite secret"));
    // --create makes, and never empties.
    directory.succeeds(&["--create", "bert"], "Grünspecht 7\r\nanother line\n".as_bytes());
    directory.succeeds(&["carl", "--scram"], b"without an end of the line");
    assert!(directory.is_right("anna", "quite secret"));
    assert!(directory.is_right("bert", "Grünspecht 7"));
    assert!(directory.is_right("carl", "without an end of the line"));
    assert!(directory.parsed().find("carl").unwrap().scram().is_some());
    directory.succeeds(&["anna"], b"  another \n");
    assert!(directory.is_right("anna", "  another ") && !directory.is_right("anna", "another"));
    let before = directory.text();
    directory.succeeds(&["--delete", "bert"], b"");
    let is_left = |line: &&str| !line.starts_with("bert:");
    let left: Vec<_> = before.lines().filter(is_left).collect();
    assert_eq!(directory.text().lines().collect::<Vec<_>>(), left);
    // Each has a salt of its own.
    directory.succeeds(&["bert"], b"quite secret\n");
    directory.succeeds(&["dora"], b"quite secret\n");
    let text = directory.text();
    let hash = |user: &str| {
        text.lines().find_map(|line| line.strip_prefix(&format!("{user}:")).map(str::to_owned))
    };
    assert!(hash("bert").is_some() && hash("bert") != hash("dora"));
}

#[test]
fn everything_else_stays() {
    let directory = Directory::empty("passwd-else");
    let (before, behind) = ("# people\r\n\r\n  zoë : $7$no hash\n", "\n#anna:old\njunk\n\tlast");
    directory.write(format!("{before}anna:old\r\n{behind}").as_bytes());
    let chown_to = (1, 1);
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        chown(directory.file(), Some(chown_to.0), Some(chown_to.1)).unwrap();
    }
    let (code, err) = directory.run(&["anna"], b"quite secret\n");
    assert_eq!(code, 0, "{err}");
    // What the broker will not take is told, by number.
    assert!(
        err.starts_with("warning: ") && err.contains("line 3: ") && !err.contains("zo"),
        "{err}"
    );
    let text = directory.text();
    let line = text.strip_prefix(before).unwrap().strip_suffix(behind).unwrap();
    assert!(line.starts_with("anna:$argon2id$") && line.ends_with("\r\n"), "{line:?}");
    assert_eq!(mode(&directory.file()), 0o640);
    if is_root {
        let metadata = fs::metadata(directory.file()).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), chown_to);
    }
    assert_eq!(directory.run(&["anna", "--delete"], b"").0, 0);
    assert_eq!(directory.text(), format!("{before}{behind}"));
    directory.holds_one_file();
    // Also what is no text stays.
    directory.write(b"\xff\xfe:1\nanna:2");
    let (code, err) = directory.run(&["anna", "--delete"], b"");
    assert!(code == 0 && err.contains("is not UTF-8"), "{code} {err}");
    assert_eq!(fs::read(directory.file()).unwrap(), b"\xff\xfe:1\n");
}

#[test]
fn refusals() {
    let directory = Directory::empty("passwd-no");
    directory.write(b"anna:x\n");
    for (user, what) in [
        ("", "the user name is empty"),
        ("a:b", "\":\""),
        ("a\nb:c", "\":\""),
        ("a\nb", "control character"),
        ("a\u{7f}", "control character"),
        (" a", "blank"),
        ("#a", "\"#\""),
    ] {
        directory.refuses(&[user], b"quite secret\n", 64, what);
        directory.refuses(&[user, "--delete"], b"", 64, what);
    }
    directory.refuses(&["anna", "a password"], b"", 64, "unexpected argument");
    directory.refuses(&["anna", "--delete", "--create"], b"", 64, "cannot be used with");
    directory.refuses(&["anna", "--delete", "--scram"], b"", 64, "cannot be used with");
    directory.refuses(&[], b"", 64, "required");
    directory.refuses(&["bert", "--delete"], b"", 67, "there is no user \"bert\" in ");
    for empty in [&b""[..], b"\n", b"\r\n", b"\nquite secret\n"] {
        directory.refuses(&["anna"], empty, 65, "an empty password is none");
    }
    directory.refuses(&["anna"], b"quite secret\0\n", 65, "U+0000");
    directory.refuses(&["anna"], &[b'x'; 65_536], 65, "at most 65535 bytes");
    directory.refuses(&["anna"], &[b'x'; 200_000], 65, "at most 65535 bytes");
    directory.succeeds(&["anna"], &[b'x'; 65_535]);
}

#[test]
fn files_that_are_none() {
    let directory = Directory::empty("passwd-none");
    directory.refuses(&["anna"], b"quite secret\n", 66, "is not there; with --create it is made");
    directory.refuses(&["anna", "--delete"], b"", 66, "is not there");
    // Nothing is made before there is a password.
    directory.refuses(&["anna", "--create"], b"\n", 65, "an empty password");
    fs::create_dir(directory.file()).unwrap();
    let (code, err) = directory.run(&["anna"], b"quite secret\n");
    assert!(code == 66 && err.contains("it is no file"), "{code} {err}");
    let below = Directory(directory.0.join("missing"));
    below.refuses(&["anna", "--create"], b"quite secret\n", 73, "could not be written");
}

#[test]
fn a_link_stays_a_link() {
    let directory = Directory::empty("passwd-link");
    let target = directory.0.join("target");
    fs::write(&target, "").unwrap();
    symlink("target", directory.file()).unwrap();
    assert_eq!(directory.run(&["anna"], b"quite secret\n").0, 0);
    assert!(fs::symlink_metadata(directory.file()).unwrap().is_symlink());
    assert!(fs::read_to_string(&target).unwrap().starts_with("anna:"));
    assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 2);
}

#[test]
fn many_at_once_lose_nothing() {
    let directory = Directory::empty("passwd-race");
    directory.write(b"");
    let users: Vec<_> = (0..12).map(|n| format!("user{n}")).collect();
    thread::scope(|scope| {
        for user in &users {
            scope.spawn(|| assert_eq!(directory.run(&[user], b"quite secret\n").0, 0));
        }
    });
    assert_eq!(directory.parsed().len(), users.len());
    directory.holds_one_file();
}

/// What a run on a terminal shows, and its end. `typed` is what is typed after each prompt.
fn on_a_terminal(file: &Path, typed: &[&str]) -> (Option<i32>, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let slave = OpenOptions::new().read(true).write(true).open(name).unwrap();
    let mut child = command(file, &["anna"])
        .stdin(slave.try_clone().unwrap())
        .stdout(Stdio::null())
        .stderr(slave.try_clone().unwrap())
        .spawn()
        .unwrap();
    let mut master = File::from(master);
    let mut shown = String::new();
    let mut typed = typed.iter();
    // A prompt ends with ": "; by then the terminal is quiet.
    let (mut buffer, mut prompts) = ([0; 512], 0);
    while !shown.contains("stonechat: ") && prompts < 2 {
        let n = master.read(&mut buffer).unwrap();
        shown.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
        let is_prompt = ["Password: ", "The same again: "].iter().any(|it| shown.ends_with(it));
        if is_prompt {
            assert!(!tcgetattr(&slave).unwrap().local_modes.contains(LocalModes::ECHO));
            prompts += 1;
            master.write_all(typed.next().unwrap().as_bytes()).unwrap();
        }
    }
    let status = child.wait().unwrap();
    let modes = tcgetattr(&slave).unwrap().local_modes;
    assert!(modes.contains(LocalModes::ECHO | LocalModes::ISIG), "the terminal is as before");
    // It ends when nobody has the other side open.
    drop((slave, child));
    while let Ok(n @ 1..) = master.read(&mut buffer) {
        shown.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
    }
    (status.code(), shown)
}

#[test]
fn at_a_prompt() {
    let directory = Directory::empty("passwd-prompt");
    directory.write(b"");
    let file = directory.file();
    let (code, shown) = on_a_terminal(&file, &["quite secret\n", "quite secret\n"]);
    assert_eq!((code, shown.as_str()), (Some(0), "Password: \r\nThe same again: \r\n"));
    assert!(directory.is_right("anna", "quite secret"));
    for (typed, code, what) in [
        (&["one\n", "two\n"][..], 65, "these were two different passwords"),
        (&["\n"], 65, "an empty password is none"),
        (&["\u{4}"], 65, "an empty password is none"),
        (&["quite sec\u{3}"], 130, "interrupted: nothing was changed"),
        (&["quite secret\n", "quite\u{1c}"], 130, "interrupted: nothing was changed"),
    ] {
        let before = directory.text();
        let (ended, shown) = on_a_terminal(&file, typed);
        assert!(ended == Some(code) && shown.contains(what), "{typed:?}: {ended:?} {shown}");
        assert!(!shown.contains("quite"), "{shown}");
        assert_eq!(directory.text(), before);
    }
}

#[test]
fn what_mosquitto_writes() {
    let directory = Directory::empty("passwd-mosquitto");
    directory.write(b"");
    let there = Command::new("mosquitto_passwd").arg("--help").output().is_ok();
    if !there {
        return skip("files by mosquitto_passwd (mosquitto_passwd is not installed)");
    }
    directory.succeeds(&["ours"], b"quite secret\n");
    for (kind, is_old) in
        [("", true), ("sha512", true), ("sha512-pbkdf2", true), ("argon2id", false)]
    {
        let mut command = Command::new("mosquitto_passwd");
        if !kind.is_empty() {
            command.args(["-H", kind]);
        }
        let user = format!("u-{kind}");
        let output =
            command.arg("-b").arg(directory.file()).args([&user, "Grünspecht 7"]).output().unwrap();
        if !output.status.success() {
            assert!(!is_old, "{kind}: {output:?}");
            let _ = writeln!(std::io::stderr(), "this mosquitto_passwd does not know {kind}");
            continue;
        }
        assert!(directory.is_right(&user, "Grünspecht 7"), "{kind}: {}", directory.text());
        assert!(!directory.is_right(&user, "Grünspecht 8"));
    }
    assert!(directory.is_right("ours", "quite secret"), "ours is left as it was");
    assert!(directory.parsed().len() >= 4);
    directory.succeeds(&["u-sha512"], b"another\n");
    assert!(directory.is_right("u-sha512", "another") && directory.is_right("u-", "Grünspecht 7"));
}
