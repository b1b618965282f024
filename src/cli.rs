//! Layer 4: the command line, and what the process answers its caller with.
//!
//! May use `clap`; opens nothing and starts nothing. Invariant: exit codes are those of
//! sysexits.h, so that a service manager can tell a mistake that a restart cannot repair from one
//! that it can.
use crate::config::{ConfigErrors, ConfigFile, Sources};
use crate::topic::TopicFilter;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// The command line could not be understood (EX_USAGE).
pub const EXIT_USAGE: u8 = 64;
/// A log is damaged (EX_DATAERR).
pub const EXIT_DAMAGED: u8 = 65;
/// The password that was given cannot be one (EX_DATAERR).
pub const EXIT_NO_PASSWORD: u8 = 65;
/// The configuration or password file could not be read, or there is no log (EX_NOINPUT).
pub const EXIT_NO_INPUT: u8 = 66;
/// There is no such user in the password file (EX_NOUSER).
pub const EXIT_NO_USER: u8 = 67;
/// The new password file could not be made (EX_CANTCREAT).
pub const EXIT_CANNOT_CREATE: u8 = 73;
/// The answer could not be written, or the log not be read (EX_IOERR).
pub const EXIT_IO: u8 = 74;
/// A broker has the log: later perhaps (EX_TEMPFAIL).
pub const EXIT_IN_USE: u8 = 75;
/// The configuration has mistakes, wherever they stand (EX_CONFIG).
pub const EXIT_CONFIG: u8 = 78;
/// Somebody pressed Ctrl-C at a prompt: as if the signal had ended the process.
pub const EXIT_INTERRUPTED: u8 = 130;

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Command {
    /// Run the broker. The environment is not filled in.
    Run(Sources),
    /// Judge the configuration and stop. The environment is not filled in.
    Check(Sources),
    /// Print the commented example file.
    ExampleConfig,
    /// Look at the log of a broker that does not run, or mend it.
    Log(LogCommand),
    /// Change one user in a password file.
    Passwd(PasswdCommand),
}

/// What is to be done with a password file. The password itself is no argument: everybody could
/// see it in the list of processes.
#[derive(Clone, Debug, Args)]
pub struct PasswdCommand {
    /// The password file
    pub file: PathBuf,
    /// The user name
    pub user: String,
    /// Make the file if it is not there
    #[arg(long, conflicts_with = "delete")]
    pub create: bool,
    /// Take the user out
    #[arg(long)]
    pub delete: bool,
    /// Store a SCRAM-SHA-256 verifier, with which the user can enter by SCRAM as well as with the
    /// password; else argon2id
    #[arg(long, conflicts_with = "delete")]
    pub scram: bool,
}

/// What is to be done with a log.
#[derive(Clone, Debug)]
pub struct LogCommand {
    /// where it is; `None`: where a broker with these settings would have it
    pub directory: Option<PathBuf>,
    /// the settings; the environment is not filled in
    pub sources: Sources,
    /// what
    pub action: LogAction,
}

/// See [`LogCommand`].
#[derive(Clone, Debug, Subcommand)]
pub enum LogAction {
    /// Tell what the log holds, and what is gone
    Verify,
    /// Print every record, a line each
    Dump {
        /// Only records of this client's sessions, and messages that were queued for them
        #[arg(long, value_name = "CLIENT")]
        session: Option<String>,
        /// Only messages with such topics, and records that are about delivering them
        #[arg(long, value_name = "FILTER", value_parser = topic_filter)]
        topic: Option<String>,
        /// Show so many bytes of each payload
        #[arg(long, value_name = "BYTES", default_value_t = 64)]
        payload: usize,
    },
    /// Tell what is gone for good; with --yes, let the broker start with the rest
    Repair {
        /// Do it
        #[arg(long)]
        yes: bool,
    },
}

fn topic_filter(text: &str) -> Result<String, String> {
    TopicFilter::new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

#[derive(Parser)]
#[command(
    name = "stonechat",
    version,
    about = "An MQTT broker",
    after_help = "Settings come from the built-in defaults (see example-config), then FILE, then \
                  environment variables such as STONECHAT__MQTT__RECEIVE_MAXIMUM, then these \
                  options; the later wins.\n\n\
                  Exit codes: 0 done, 64 wrong arguments, 65 damaged log or unusable password, 66 \
                  unreadable file or no log, 67 no such user, 73 password file not written, 74 \
                  output not written or log not read, 75 log in use by a broker, 78 mistakes in \
                  the configuration."
)]
struct Arguments {
    #[command(flatten)]
    sources: SourceArguments,
    #[command(subcommand)]
    action: Option<Action>,
}

// Global, so that `stonechat --config F check` and `stonechat check --config F` are the same.
#[derive(Args)]
struct SourceArguments {
    /// Configuration file (TOML)
    #[arg(long, short, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Listen here instead of on the configured addresses; may be repeated. Anonymous clients are
    /// let in as auth.allow_anonymous says; if it is not set, then only on loopback addresses and
    /// only without a configuration file
    #[arg(long, value_name = "HOST:PORT", global = true)]
    listen: Vec<String>,
    /// Set one setting; may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE", global = true)]
    set: Vec<String>,
    /// error, warn, info, debug, trace or off, or a list such as info,stonechat::broker=trace
    #[arg(long, value_name = "LEVEL", global = true)]
    log_level: Option<String>,
}

#[derive(Subcommand)]
enum Action {
    /// Tell every mistake in the configuration, without starting
    Check,
    /// Print a file with every setting, its meaning and its default
    ExampleConfig,
    /// Look at the log of a broker that does not run, or mend it
    Log {
        /// The log's directory: else the one that a broker would use
        #[arg(long, value_name = "DIR", global = true)]
        dir: Option<PathBuf>,
        #[command(subcommand)]
        action: LogAction,
    },
    /// Add a user to a password file, change the password, or take the user out
    ///
    /// The password is asked for on a terminal, and else is one line of standard input.
    Passwd(PasswdCommand),
}

/// Reads the arguments; the first one is the program's name.
///
/// # Errors
/// Also for `--help` and `--version`, which are answers instead of commands:
/// [`exit_code_of`] tells them from real errors.
pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, clap::Error> {
    let Arguments { sources, action } = Arguments::try_parse_from(args)?;
    let sources = Sources {
        file: sources.config.map(ConfigFile::Path),
        environment: Vec::new(),
        set: sources.set,
        listen: sources.listen,
        log_level: sources.log_level,
    };
    Ok(match action {
        None => Command::Run(sources),
        Some(Action::Check) => Command::Check(sources),
        Some(Action::ExampleConfig) => Command::ExampleConfig,
        Some(Action::Log { dir, action }) => {
            Command::Log(LogCommand { directory: dir, sources, action })
        }
        Some(Action::Passwd(command)) => Command::Passwd(command),
    })
}

/// What the process ends with after [`parse`] refused: 0 for help and version.
pub fn exit_code_of(error: &clap::Error) -> u8 {
    if error.use_stderr() { EXIT_USAGE } else { 0 }
}

/// What the process ends with after the settings could not be loaded.
pub fn exit_code_of_config(errors: &ConfigErrors) -> u8 {
    if errors.unreadable { EXIT_NO_INPUT } else { EXIT_CONFIG }
}
