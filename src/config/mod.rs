//! Layer 4: settings. The example file, the configuration file, the environment and the command
//! line, laid over each other and checked.
//!
//! May use files and the `config` and `toml_edit` crates; knows nothing of the broker. Invariant:
//! a [`Loaded`] is within every documented range, and a mistake in any source is reported together
//! with all others and where it stands, never defaulted away.
mod settings;

pub use settings::{
    Auth, Limits, Listener, Log, LogFormat, LogTo, Mqtt, QueueFull, Server, Settings,
};

/// Settings that passed every check, and what their author should know.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings in force.
    pub settings: Settings,
    /// Legal but questionable; one sentence each, to be logged at the start.
    pub warnings: Vec<String>,
}
