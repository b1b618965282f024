//! Why a run ended without a result. Uses nothing of the program; every text names the cause.

use std::fmt;
use std::io;

/// What went wrong, told once on standard error.
#[derive(Debug)]
pub enum Error {
    /// The arguments make no sense.
    Usage(String),
    /// The system refused something.
    System(&'static str, io::Error),
    /// The broker did what it may not, or ended the connection.
    Broker(String),
    /// Something took longer than it may.
    TooLate(&'static str),
}

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// For `map_err`: says what was tried.
    pub fn system<E: Into<io::Error>>(what: &'static str) -> impl Fn(E) -> Self {
        move |error| Self::System(what, error.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) => write!(f, "{text} (stonechat-load help)"),
            Self::System(what, error) => write!(f, "{what}: {error}"),
            Self::Broker(text) => write!(f, "the broker: {text}"),
            Self::TooLate(what) => write!(f, "too late: {what}"),
        }
    }
}
