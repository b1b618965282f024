//! What is wrong with a configuration, and where: text for a stranger.
//!
//! Plain data. Invariant: one mistake is one line, whatever the configuration contained.
use std::fmt;

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the configuration file; lines and columns (in characters) count from 1.
    File {
        /// The file's path, as it was given.
        name: String,
        /// Line.
        line: usize,
        /// Column.
        column: usize,
    },
    /// The configuration file as a whole.
    WholeFile(String),
    /// An environment variable, by its name.
    Variable(String),
    /// A command-line argument, as it was given.
    Argument(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line, column } => write!(f, "{}:{line}:{column}", one_line(name)),
            Self::WholeFile(name) => write!(f, "{}", one_line(name)),
            Self::Variable(name) => write!(f, "environment variable {}", one_line(name)),
            Self::Argument(text) => write!(f, "argument {}", one_line(text)),
        }
    }
}

/// Control characters as escapes.
fn one_line(text: &str) -> String {
    let escape = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// One thing to repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, one_line(&self.message))
    }
}

/// All mistakes of all sources; never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    /// File first, then variables, then arguments.
    pub mistakes: Vec<Mistake>,
    /// Whether the file could not be read at all, which has its own exit code.
    pub unreadable: bool,
}

impl ConfigErrors {
    pub(super) fn add(&mut self, place: Place, message: impl Into<String>) {
        self.mistakes.push(Mistake { place, message: message.into() });
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, mistake) in self.mistakes.iter().enumerate() {
            let newline = if n == 0 { "" } else { "\n" };
            write!(f, "{newline}{mistake}")?;
        }
        Ok(())
    }
}
