//! Loads the configuration. A flag wins over its variable, a variable over the file of `--config`,
//! the file over the default.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use clap::{Args as _, Command, FromArgMatches as _};
use greet_flags::variables::{UnknownVariable, ignore_empty_variable, unknown_variables, variable};
use greet_flags::{product, usage};

use super::args::{CommandLine, ServerFlags, command};
use super::dump::dump;
use super::file::ConfigFile;
use super::resolve::resolve;
use super::sources::Sources;
use super::{Config, OtlpEndpoint};

/// The configuration from all sources, and the requested actions.
#[derive(Debug)]
pub struct Loaded<F> {
    /// The effective configuration.
    pub config: Config,
    /// The command line, with the flags of the services.
    pub flags: F,
    /// The source of each value, for errors that are found later.
    pub sources: Sources,
    /// Variables with our prefix that have no effect.
    pub unknown_variables: Vec<UnknownVariable>,
    /// Whether to check the TLS files and exit (`--check`).
    pub check: bool,
    /// The effective configuration as TOML, to print before exit (`--print-config`).
    pub printed: Option<String>,
}

/// A reason not to serve.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The command line requests the help text or the version.
    #[error(transparent)]
    Help(clap::Error),
    /// One line: the flag, the variable or the position in the file, then the reason.
    #[error("{0}")]
    Invalid(String),
}

/// Loads the configuration from a command line that starts with the name of the program, from the
/// environment, and from the file that one of them names. `F` defines the flags.
///
/// # Errors
/// The first value that is invalid, or a request for the help text.
pub fn load<F: CommandLine>(
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
) -> Result<Loaded<F>, LoadError> {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let parse = |command: &Command| command.clone().try_get_matches_from(&arguments);
    let definition = command::<F>();
    let with_variables = definition.clone().mut_args(ignore_empty_variable);
    let mut matches = parse(&with_variables).map_err(|error| {
        let flags_only = with_variables.clone().mut_args(|flag| flag.env(None::<&str>));
        let is_typed = parse(&flags_only).is_err();
        explain(error, |key| if is_typed { format!("--{key}") } else { variable(key) })
    })?;
    let mut file = ConfigFile::default();
    if let Some(path) = matches.get_one::<PathBuf>("config") {
        file = ConfigFile::read(path, &definition).map_err(LoadError::Invalid)?;
        let with_file = with_variables.mut_args(|flag| file.set_default(flag));
        // Flags and variables have been parsed: only a value of the file can be invalid.
        matches = parse(&with_file)
            .map_err(|error| explain(error, |key| file.place(key).unwrap_or(key).to_owned()))?;
    }
    let in_flags = |error| explain(error, str::to_owned);
    let mut server = ServerFlags::from_arg_matches(&matches).map_err(in_flags)?;
    let flags = F::from_arg_matches(&matches).map_err(in_flags)?;
    let (check, print_config) = (server.actions.check, server.actions.print_config);
    let sources = Sources { matches, file };
    server.otlp_endpoint.get_or_insert(OtlpEndpoint::FromEnvironment);
    let mut config = resolve(server, &sources).map_err(LoadError::Invalid)?;
    config.log.has_color = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none();
    flags.check(&config, &sources).map_err(LoadError::Invalid)?;
    Ok(Loaded {
        unknown_variables: unknown_variables(&definition, env::vars_os()),
        check,
        printed: print_config.then(|| dump(&definition, &sources.matches, &config)),
        config,
        flags,
        sources,
    })
}

impl Default for Config {
    /// Returns the defaults of the flags, without a look at the environment variables.
    ///
    /// Those of `workers`, `limits.memory_limit`, `limits.max_connections` and `log.format` depend on the
    /// machine: its cores, the memory limit of the cgroup, RLIMIT_NOFILE, and whether standard error is a
    /// terminal.
    fn default() -> Config {
        let definition = ServerFlags::augment_args(Command::new(product::SERVER));
        let matches = definition.try_get_matches_from([product::SERVER]);
        let matches = matches.expect("the defaults are valid");
        let flags = ServerFlags::from_arg_matches(&matches).expect("every flag is defined");
        let sources = Sources { matches, file: ConfigFile::default() };
        resolve(flags, &sources).expect("the defaults do not contradict each other")
    }
}

fn explain(error: clap::Error, place: impl Fn(&str) -> String) -> LoadError {
    if error.use_stderr() {
        LoadError::Invalid(usage::explain(&error, place, |_| None))
    } else {
        LoadError::Help(error)
    }
}
