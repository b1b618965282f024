//! The `stonechat` program: arguments and settings in, exit code out. Everything else is in the
//! library.
use std::io::{BufWriter, Write};
use std::process::ExitCode;
use stonechat::cli::{self, Command};
use stonechat::config::{ConfigErrors, EXAMPLE, Loaded, Settings, Sources, file_warnings};
use stonechat::{logtool, passwd};

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(Command::Run(sources)) => {
            let sources = with_environment(sources);
            match Settings::load(&sources) {
                Ok(loaded) => stonechat::server::run(loaded, sources),
                Err(errors) => refuse(&errors),
            }
        }
        Ok(Command::Check(sources)) => match load(sources) {
            Ok(loaded) => {
                for warning in loaded.warnings.iter().chain(&file_warnings(&loaded.settings)) {
                    complain(&format!("warning: {warning}"));
                }
                print("configuration ok\n")
            }
            Err(errors) => refuse(&errors),
        },
        Ok(Command::ExampleConfig) => print(EXAMPLE),
        Ok(Command::Log(command)) => {
            let directory = match command.directory {
                Some(directory) => directory,
                None => match load(command.sources) {
                    Ok(loaded) => loaded.settings.store.directory,
                    Err(errors) => return refuse(&errors),
                },
            };
            let (mut out, mut err) = (BufWriter::new(std::io::stdout()), std::io::stderr());
            ExitCode::from(logtool::run(&directory, &command.action, &mut out, &mut err))
        }
        Ok(Command::Passwd(command)) => {
            ExitCode::from(passwd::run(&command, &mut std::io::stderr()))
        }
        Err(error) => {
            let code = cli::exit_code_of(&error);
            match error.print() {
                Err(_) if code == 0 => ExitCode::from(cli::EXIT_IO),
                _ => ExitCode::from(code),
            }
        }
    }
}

fn load(sources: Sources) -> Result<Loaded, ConfigErrors> {
    Settings::load(&with_environment(sources))
}

fn with_environment(sources: Sources) -> Sources {
    Sources { environment: std::env::vars_os().collect(), ..sources }
}

fn refuse(errors: &ConfigErrors) -> ExitCode {
    let count = match errors.mistakes.len() {
        1 => "1 mistake".to_owned(),
        n => format!("{n} mistakes"),
    };
    complain(&format!(
        "{errors}\nstonechat: {count} in the configuration; `stonechat example-config` shows \
         every setting"
    ));
    ExitCode::from(cli::exit_code_of_config(errors))
}

/// Nobody may be listening any more, and that is no reason to panic.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(cli::EXIT_IO),
    }
}
