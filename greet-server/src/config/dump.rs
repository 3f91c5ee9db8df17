//! `--print-config`: what holds, from wherever it comes, as a file that says the same when it is read
//! with `--config`.

use std::fmt::Write as _;

use clap::parser::ArgMatches;
use clap::{Arg, ArgAction, Command};
use toml::Value;

use crate::config::args::keys;
use crate::config::file::is_number;
use crate::config::{Config, LogFormat};

/// Every key with its meaning, under help's headings. What is not set is a comment.
pub(crate) fn print(command: &Command, matches: &ArgMatches, config: &Config) -> String {
    let mut printed = "# What greet-server --print-config found.\n".to_owned();
    let mut heading = None;
    for (key, flag) in keys(command) {
        if heading != flag.get_help_heading() {
            heading = flag.get_help_heading();
            let _ = write!(printed, "\n## {}\n", heading.unwrap_or_default());
        }
        let meaning = flag.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = write!(printed, "\n# {meaning}\n");
        let _ = match value(key, flag, matches, config) {
            Some(value) => writeln!(printed, "{key} = {value}"),
            None => writeln!(printed, "# {key} = \"{}\"  # not set", placeholder(flag)),
        };
    }
    printed
}

fn value(key: &str, flag: &Arg, matches: &ArgMatches, config: &Config) -> Option<Value> {
    let id = flag.get_id().as_str();
    if matches!(flag.get_action(), ArgAction::SetTrue) {
        return Some(matches.get_flag(id).into());
    }
    let Some(given) = matches.get_raw(id) else {
        return worked_out(key, config);
    };
    // A path that is not UTF-8 has no form in TOML: it remains a flag.
    let mut given = given.map(|given| Some(given.to_str()?.to_owned()));
    if matches!(flag.get_action(), ArgAction::Append) {
        return given.collect::<Option<Vec<_>>>().map(Value::from);
    }
    let given = given.next()??;
    let number = given.parse::<i64>().ok().filter(|_| is_number(flag));
    Some(number.map_or(Value::String(given), Value::Integer))
}

/// What the daemon works out itself if it is not told.
fn worked_out(key: &str, config: &Config) -> Option<Value> {
    let number = |number: usize| i64::try_from(number).ok().map(Value::Integer);
    match key {
        "workers" => number(config.workers.get()),
        "max-connections" => number(config.limits.max_connections),
        "log-format" => Some(match config.log.format {
            LogFormat::Text => "text".into(),
            LogFormat::Json => "json".into(),
        }),
        _ => None,
    }
}

fn placeholder(flag: &Arg) -> &str {
    flag.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str())
}
