//! Layer 4: settings. The example file, the configuration file, the environment and the command
//! line, laid over each other and checked.
//!
//! May use files and the `config` and `toml_edit` crates; knows nothing of the broker. Invariant:
//! a [`Loaded`] is within every documented range, and a mistake in any source is reported together
//! with all others and where it stands, never defaulted away.
mod anonymous;
mod directory;
mod file;
mod listener;
mod mistakes;
mod network;
mod schema;
mod settings;
mod sources;
mod together;
mod values;

pub use listener::{
    ClientCertificate, Listener, ListenerKind, ListenerPolicy, Protocol, Proxy, TlsVersion,
    UserFrom,
};
pub use mistakes::{ConfigErrors, Mistake, Place};
pub use network::{Network, NetworkError};
pub use settings::{
    Auth, Excess, Limits, Log, LogFormat, LogTo, Mqtt, NamedFile, OnDamage, QueueFull, Quota,
    Server, Settings, Store, StorePolicy,
};
pub use sources::{ConfigFile, Sources, file_warnings};
pub use values::{Method, NotAsItShouldBe, Origin, Owner, SniHost};

use ::config::{Config, ConfigError, Environment, File, FileFormat, Map};
use schema::{NOT_ABOVE, PREFIX};
use sources::Layers;

/// The commented example file: the documentation of every setting and, being the lowest layer,
/// also its default.
pub const EXAMPLE: &str = include_str!("../../stonechat.example.toml");

/// The example with those settings too that stand in it without being in force: the lines that
/// begin with `#` and no space behind it.
pub fn example_in_full() -> String {
    let lines = EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if !setting.is_empty() && !setting.starts_with([' ', '#']) => setting,
        _ => line,
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Settings that passed every check, and what their author should know.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings in force.
    pub settings: Settings,
    /// Legal but questionable; one sentence each, to be logged at the start.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Defaults, then the file, then the environment, then the command line; the last one wins.
    ///
    /// # Errors
    /// Every mistake of every source. What only shows between two settings is looked for once
    /// each of them is right for itself.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let layers = Layers::gather(sources, &mut errors);
        if !errors.mistakes.is_empty() {
            return Err(errors);
        }
        let merged = (|| {
            let config = layered(&layers)?;
            check_pairs(&config, &layers, &mut errors)?;
            let said = config.get("listener")?;
            let settings = config.try_deserialize::<Self>()?;
            together::check(&settings, &layers, &mut errors);
            Ok((settings, said))
        })();
        match merged {
            Ok((mut settings, said)) if errors.mistakes.is_empty() => {
                anonymous::decide(&mut settings, said, &layers);
                directory::decide(&mut settings.store, &sources.environment);
                let warnings = anonymous::warnings(&settings);
                Ok(Loaded { settings, warnings })
            }
            Ok(_) => Err(errors),
            Err(error) => Err(unforeseen(&layers, &error)),
        }
    }
}

/// One tree out of all layers.
fn layered(layers: &Layers<'_>) -> Result<Config, ConfigError> {
    let example = || File::from_str(EXAMPLE, FileFormat::Toml);
    let mut builder = Config::builder().add_source(example());
    if let Some(text) = &layers.file_text {
        builder = builder.add_source(File::from_str(text, FileFormat::Toml));
    }
    let variables = layers.variables.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    builder = builder.add_source(
        Environment::with_prefix(PREFIX.trim_end_matches('_'))
            .separator("__")
            .source(Some(variables)),
    );
    if !layers.listen.is_empty() {
        let table = |address: &String| Map::from([("address".to_owned(), address.clone())]);
        let list: Vec<_> = layers.listen.iter().map(table).collect();
        builder = builder.set_override("listener", list)?;
    } else if !layers.file_listeners {
        // An empty list in the file means the default one; merged, it would stay empty.
        let list = Config::builder().add_source(example()).build()?.get_array("listener")?;
        builder = builder.set_override("listener", list)?;
    }
    for (path, value) in &layers.arguments {
        builder = builder.set_override(path, value.as_str())?;
    }
    builder.build()
}

/// Settings that are fine alone but not together.
fn check_pairs(
    config: &Config,
    layers: &Layers<'_>,
    errors: &mut ConfigErrors,
) -> Result<(), ConfigError> {
    for (small, large, why) in NOT_ABOVE {
        let (below, above): (u64, u64) = (config.get(small)?, config.get(large)?);
        if below > above {
            // One of the two was set by someone: the defaults are checked by a test.
            let place = layers.place(&[large, small]);
            errors.add(place, format!("{small} ({below}) is above {large} ({above}): {why}"));
        }
    }
    Ok(())
}

/// The checks let something pass that the layering does not take: still an answer, never a panic.
fn unforeseen(layers: &Layers<'_>, error: &ConfigError) -> ConfigErrors {
    let mut errors = ConfigErrors::default();
    errors.add(layers.whole(), error.to_string());
    errors
}
