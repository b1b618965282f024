//! Layer 3: the only place with threads, sockets, the clock and the system's randomness.
//!
//! For now the log alone.
pub mod log;

use crate::config::Loaded;
use std::process::ExitCode;

/// Runs the broker until it is told to stop.
pub fn run(loaded: Loaded) -> ExitCode {
    let _log = match log::init(&loaded.settings.log) {
        Ok(guard) => guard,
        Err(_) => return ExitCode::FAILURE,
    };
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    tracing::error!("the server is not built yet");
    ExitCode::FAILURE
}
