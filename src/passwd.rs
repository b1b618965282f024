//! Layer 4: `stonechat passwd`: one user of a password file is added, changed or taken out.
//!
//! May use files, the terminal and the system's randomness. Invariants: whatever happens, the file
//! is the old one or the new one, and no less private than before; other lines stay as they are,
//! byte for byte; what was typed is shown nowhere and zeroed; the terminal is left as it was.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

use crate::auth::password::{self, FIELD_BYTES_MAX, PasswordFile};
use crate::cli::{self, PasswdCommand};
use crate::server;

/// Ctrl-C and Ctrl-\, as a terminal sends them.
const INTERRUPT: u8 = 3;
const QUIT: u8 = 28;
/// Files that were replaced while their lock was awaited, one after the other.
const LOCKS_MAX: usize = 100;

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    User(#[from] password::UserError),
    #[error("{0}")]
    Password(&'static str),
    #[error("the password could not be read: {0}")]
    Input(io::Error),
    #[error("interrupted: nothing was changed")]
    Interrupted,
    #[error("{path} is not there; with --create it is made")]
    NoFile { path: PathBuf },
    #[error("{path} could not be read: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("there is no user {user:?} in {path}")]
    NoUser { path: PathBuf, user: String },
    #[error("{path} could not be written: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("no random numbers: {0}")]
    Random(io::Error),
}

impl Trouble {
    fn exit_code(&self) -> u8 {
        match self {
            Self::User(_) => cli::EXIT_USAGE,
            Self::Password(_) => cli::EXIT_NO_PASSWORD,
            Self::NoFile { .. } | Self::Read { .. } => cli::EXIT_NO_INPUT,
            Self::NoUser { .. } => cli::EXIT_NO_USER,
            Self::Write { .. } => cli::EXIT_CANNOT_CREATE,
            Self::Input(_) | Self::Random(_) => cli::EXIT_IO,
            Self::Interrupted => cli::EXIT_INTERRUPTED,
        }
    }
}

/// Does what `command` says. The password comes from standard input; prompts and complaints go to
/// `err`. Returns the exit code.
pub fn run(command: &PasswdCommand, err: &mut impl Write) -> u8 {
    match change(command, err) {
        Ok(()) => 0,
        Err(trouble) => {
            let _ = writeln!(err, "stonechat: {trouble}");
            trouble.exit_code()
        }
    }
}

fn change(command: &PasswdCommand, err: &mut impl Write) -> Result<(), Trouble> {
    let PasswdCommand { file: path, user, create, delete, scram } = command;
    password::check_user(user)?;
    let is_there = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => true,
        Ok(_) => return Err(unreadable(path, io::Error::other("it is no file"))),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(unreadable(path, error)),
        Err(_) if !create => return Err(Trouble::NoFile { path: path.clone() }),
        Err(_) => false,
    };
    let hash = match delete {
        true => None,
        false => Some(new_hash(&ask(err)?, *scram)?),
    };
    if !is_there {
        make_empty(path)?;
    }
    // A link stays one: what it names is replaced.
    let path = fs::canonicalize(path).map_err(|source| unreadable(path, source))?;
    let mut file = lock(&path).map_err(|source| unreadable(&path, source))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(|source| unreadable(&path, source))?;
    let edited = password::edit(&text, user, hash.as_deref());
    if *delete && edited.lines_before == 0 {
        return Err(Trouble::NoUser { path, user: user.clone() });
    }
    replace(&path, &file, &edited.text)
        .map_err(|source| Trouble::Write { path: path.clone(), source })?;
    warn(&path, &edited.text, err);
    Ok(())
}

fn unreadable(path: &Path, source: io::Error) -> Trouble {
    Trouble::Read { path: path.to_owned(), source }
}

/// What else is wrong with the file is no reason not to help, and better told now than by the
/// broker.
fn warn(path: &Path, text: &[u8], err: &mut impl Write) {
    let path = path.display();
    let _ = match std::str::from_utf8(text) {
        Err(_) => writeln!(err, "warning: {path} is not UTF-8: the broker will not take it"),
        Ok(text) => match PasswordFile::parse(text) {
            Err(error) => {
                writeln!(err, "warning: {path}: {error}: the broker will not take this file")
            }
            Ok(_) => Ok(()),
        },
    };
}

fn new_hash(password: &[u8], scram: bool) -> Result<String, Trouble> {
    let mut salt = [0; 16];
    server::fill_random(&mut salt).map_err(Trouble::Random)?;
    Ok(match scram {
        true => password::new_scram(password, &salt),
        false => password::new_hash(password, &salt),
    })
}

// The password

type Password = Zeroizing<Vec<u8>>;

/// From the terminal twice, or one line.
fn ask(err: &mut impl Write) -> Result<Password, Trouble> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return usable(read_line()?);
    }
    let _quiet = Quiet::new().map_err(Trouble::Input)?;
    let mut prompt = |text: &str| {
        let _ = write!(err, "{text}").and_then(|()| err.flush());
        let password = read_line();
        // The end of the line was not shown either.
        let _ = writeln!(err);
        password
    };
    let first = usable(prompt("Password: ")?)?;
    match *first == *prompt("The same again: ")? {
        true => Ok(first),
        false => Err(Trouble::Password("these were two different passwords")),
    }
}

fn usable(password: Password) -> Result<Password, Trouble> {
    match password.len() {
        0 => Err(Trouble::Password("an empty password is none")),
        _ if password.contains(&0) => Err(Trouble::Password("a password has no U+0000 in it")),
        n if n > FIELD_BYTES_MAX => Err(Trouble::Password("a password has at most 65535 bytes")),
        _ => Ok(password),
    }
}

/// Reads up to the end of a line, which does not count. Byte by byte, and past the buffer of
/// `std`, which nobody would zero.
fn read_line() -> Result<Password, Trouble> {
    // Never grown: a copy would stay behind.
    let mut line = Zeroizing::new(Vec::with_capacity(FIELD_BYTES_MAX + 2));
    let mut byte = Zeroizing::new([0]);
    while line.len() < line.capacity() {
        match rustix::io::read(io::stdin(), &mut *byte) {
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) if matches!(byte[0], INTERRUPT | QUIT) && io::stdin().is_terminal() => {
                return Err(Trouble::Interrupted);
            }
            Ok(_) => line.push(byte[0]),
            Err(Errno::INTR) => {}
            Err(error) => return Err(Trouble::Input(error.into())),
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

/// A terminal that shows nothing of what is typed, until it is dropped.
struct Quiet(Termios);

impl Quiet {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        // Without signals from keys: they would end or stop the process, and leave the terminal
        // like this. Instead the keys end the line, and are found in it.
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ISIG);
        quiet.local_modes.insert(LocalModes::ICANON);
        quiet.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
        quiet.special_codes[SpecialCodeIndex::VEOL2] = QUIT;
        // What was typed too early was shown, and is not the password.
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

// The file

/// Makes an empty file that nobody else can read, if there is still none.
fn make_empty(path: &Path) -> Result<(), Trouble> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(Trouble::Write { path: path.to_owned(), source }),
    }
}

/// Opens the file, locked until it is closed: of two that change it at once, one waits.
fn lock(path: &Path) -> io::Result<File> {
    for _ in 0..LOCKS_MAX {
        let file = File::open(path)?;
        match rustix::fs::flock(&file, FlockOperation::LockExclusive) {
            // A file system without such locks is no reason to refuse.
            Ok(()) | Err(Errno::BADF | Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => {}
            Err(error) => return Err(error.into()),
        }
        // The one before may have put another one in its place.
        let (own, there) = (file.metadata()?, fs::metadata(path)?);
        if (own.dev(), own.ino()) == (there.dev(), there.ino()) {
            return Ok(file);
        }
    }
    Err(io::Error::other("others change it all the time"))
}

/// Puts a file with this text in the place of `old`, with its owner and mode.
fn replace(path: &Path, old: &File, text: &[u8]) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("it has no name"));
    };
    let mut new_name = std::ffi::OsString::from(".");
    new_name.push(name);
    new_name.push(format!(".{:016x}", server::random_u64()?));
    let new_path = folder.join(new_name);
    let written = write_new(&new_path, old, text).and_then(|()| fs::rename(&new_path, path));
    if written.is_err() {
        let _ = fs::remove_file(&new_path);
    }
    written?;
    File::open(folder)?.sync_all()
}

fn write_new(path: &Path, old: &File, text: &[u8]) -> io::Result<()> {
    let was = old.metadata()?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let is = file.metadata()?;
    if (is.uid(), is.gid()) != (was.uid(), was.gid()) {
        fchown(&file, Some(was.uid()), Some(was.gid()))?;
    }
    file.set_permissions(fs::Permissions::from_mode(was.mode() & 0o7777))?;
    file.write_all(text)?;
    file.sync_all()
}
