//! All that the daemon was told, from all places: a flag wins over its variable, a variable over the
//! file of `--config`, the file over the default. And what is answered to who only asks for it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::parser::{ArgMatches, ValueSource};
use clap::{Arg, Command, CommandFactory as _, FromArgMatches as _};

use crate::config::args::{Flags, keys};
use crate::config::dump;
use crate::config::file::{self, Values};
use crate::config::resolve::tls;
use crate::config::values::Check;
use crate::config::{Config, TlsFiles};
use crate::net::tls::{PemFiles, Tls, TlsError};

/// What was told, and where each of it comes from.
#[derive(Debug)]
pub struct Settings {
    command: Command,
    matches: ArgMatches,
    flags: Flags,
    /// What is wrong with the file already.
    check: Check,
}

/// What `--check` and `--print-config` answer, each instead of a daemon.
#[derive(Debug, Default)]
pub struct Answer {
    /// For standard output, as it stands.
    pub data: String,
    /// Lines for standard error.
    pub told: Vec<String>,
}

impl Settings {
    /// From the command line, the environment and the file that one of them names. Ends the process
    /// if they ask for help, or are no flags at all.
    pub fn gather() -> Settings {
        let command = Flags::command();
        let mut matches = command.clone().get_matches();
        let mut problems = Vec::new();
        let mut in_file = BTreeMap::new();
        if let Some(file) = matches.get_one::<PathBuf>("config").cloned() {
            // A value of the file is a default: the parser knows what wins over those.
            let values = file::read(&file, &command, &mut problems);
            matches = command.clone().mut_args(|flag| with_default(flag, &values)).get_matches();
            let place = |name: String| (name.clone(), format!("`{}`: {name}", file.display()));
            in_file.extend(values.into_keys().map(place));
        }
        let check = Check { problems, places: places(&command, &matches, in_file) };
        let flags = Flags::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        Settings { command, matches, flags, check }
    }

    /// The configuration, or every problem that there is; with `--check`, those of TLS's files too.
    pub fn resolve(&self) -> Result<Config, Vec<String>> {
        let mut check = self.check.clone();
        let config = self.flags.checked(&mut check);
        // Whatever else is wrong; that they are too few has been noted.
        let http1 = self.flags.service.grpc_web;
        let files = tls(&self.flags.tls, http1, &mut Check::default()).flatten();
        if let (true, Some(files)) = (self.flags.about.check, files) {
            check.problems.extend(look(&files).err().into_iter().flatten());
        }
        check.done(config)
    }

    /// What to answer instead of serving `config`; `None`: serve it.
    pub fn answer(&self, config: &Config) -> Option<Answer> {
        let mut answer = Answer::default();
        if self.flags.about.print_config {
            answer.data = dump::print(&self.command, &self.matches, config);
        }
        if self.flags.about.check {
            let warning = config.tls.as_ref().and_then(|files| look(files).ok().flatten());
            answer.told.extend(warning);
            answer.told.push("the configuration is good".to_owned());
        }
        (self.flags.about.print_config || self.flags.about.check).then_some(answer)
    }
}

fn with_default(flag: Arg, values: &Values) -> Arg {
    match flag.get_long().and_then(|name| values.get(name)) {
        Some(values) => flag.default_values(values.clone()),
        None => flag,
    }
}

/// Where each value was found that was not typed.
fn places(
    command: &Command,
    matches: &ArgMatches,
    mut in_file: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let place = |(name, flag): (&str, &Arg)| {
        let place = match matches.value_source(flag.get_id().as_str())? {
            ValueSource::DefaultValue => in_file.remove(name)?,
            ValueSource::EnvVariable => format!("{} (--{name})", flag.get_env()?.display()),
            _ => return None,
        };
        Some((name.to_owned(), place))
    };
    keys(command).filter_map(place).collect()
}

/// Whether TLS can be served with the files: what clients will object to although it can, or all that
/// is wrong.
fn look(files: &TlsFiles) -> Result<Option<String>, Vec<String>> {
    let ca = files.client_ca.as_ref().map(|ca| &ca.file);
    let unreadable = [Some(&files.cert), Some(&files.key), ca].into_iter().flatten();
    let unreadable = unreadable.filter_map(|file| {
        let source = std::fs::read(file).err()?;
        Some(TlsError::Unreadable { file: file.clone(), source })
    });
    let unreadable: Vec<_> = unreadable.map(in_one_line).collect();
    if !unreadable.is_empty() {
        return Err(unreadable);
    }
    let made = PemFiles::read(files).and_then(|material| Tls::new(files, &material));
    let made = made.map_err(|error| vec![in_one_line(error)])?;
    let complaint = made.validity_problem(SystemTime::now());
    Ok(complaint.map(|complaint| format!("`{}`: {complaint}", files.cert.display())))
}

fn in_one_line(error: TlsError) -> String {
    format!("{:#}", anyhow::Error::new(error))
}
