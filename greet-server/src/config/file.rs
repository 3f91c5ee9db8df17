//! The file of `--config`: TOML with a key for each flag. Its values become the defaults of the
//! flags, so clap parses them and ranks them below flags and variables.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use clap::{Arg, ArgAction, Command};
use greet_flags::variables::nearest;
use toml::de::{DeTable, DeValue};

/// A hundred times the size of a file with every key. Bounds the memory if the path is wrong.
const MAX_BYTES: u64 = 1024 * 1024;

/// The settings of a file by key; none without a file.
#[derive(Debug, Default)]
pub(super) struct ConfigFile(BTreeMap<String, Setting>);

#[derive(Debug)]
struct Setting {
    values: Vec<String>,
    /// `FILE:LINE:COLUMN: KEY`.
    place: String,
}

impl ConfigFile {
    pub(super) fn read(path: &Path, command: &Command) -> Result<ConfigFile, String> {
        let text = read(path)?;
        let place = |offset: usize| {
            let before = text.get(..offset).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column =
                before.chars().rev().take_while(|character| *character != '\n').count() + 1;
            format!("{}:{line}:{column}", path.display())
        };
        let table = DeTable::parse(&text).map_err(|error| {
            let place = place(error.span().unwrap_or_default().start);
            format!("{place}: {}", error.message().replace('\n', ", "))
        })?;
        let mut entries: Vec<_> = table.into_inner().into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start); // the first error is the first in the file
        let mut settings = BTreeMap::new();
        for (key, value) in entries {
            let (at_key, key) = (place(key.span().start), key.into_inner().into_owned());
            let (at_value, value) = (place(value.span().start), value.into_inner());
            let Some((_, flag)) = keys(command).find(|(name, _)| *name == key) else {
                return Err(format!("{at_key}: {}", unknown(&key, &value, command)));
            };
            let place = format!("{at_value}: {key}");
            let values = texts(flag, &value).map_err(|problem| format!("{place}: {problem}"))?;
            settings.insert(key, Setting { values, place });
        }
        Ok(ConfigFile(settings))
    }

    /// Makes the values of the file the defaults of a flag.
    pub(super) fn set_default(&self, flag: Arg) -> Arg {
        match flag.get_long().and_then(|key| self.0.get(key)) {
            Some(setting) => flag.default_values(setting.values.clone()),
            None => flag,
        }
    }

    /// Returns the place of a key's value as `FILE:LINE:COLUMN: KEY`.
    pub(super) fn place(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|setting| setting.place.as_str())
    }
}

/// Returns the keys of a file with their flags, in the order of the help text.
pub(super) fn keys(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    let flags = command.get_arguments().filter(|flag| flag.get_env().is_some());
    let keys = flags.filter_map(|flag| Some((flag.get_long()?, flag)));
    keys.filter(|(key, _)| *key != "config")
}

fn read(path: &Path) -> Result<String, String> {
    let name = path.display();
    let mut text = String::new();
    let file = fs::File::open(path);
    let read = file.and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
    read.map_err(|error| format!("could not read `{name}`: {error}"))?;
    match text.len() as u64 {
        0..=MAX_BYTES => Ok(text),
        _ => Err(format!("`{name}` is larger than {} KiB", MAX_BYTES / 1024)),
    }
}

/// Returns the values as command-line text, which the parser of the flag validates.
fn texts(flag: &Arg, value: &DeValue<'_>) -> Result<Vec<String>, &'static str> {
    let values = match value {
        DeValue::Array(items) if matches!(flag.get_action(), ArgAction::Append) => {
            items.iter().map(|item| text(item.get_ref())).collect::<Option<Vec<_>>>()
        }
        value => text(value).map(|value| vec![value]),
    };
    match values {
        None => Err("expected a string, a number, true or false"),
        Some(values) if values.is_empty() || values.iter().any(String::is_empty) => {
            Err("the value is empty; remove the key instead")
        }
        Some(values) => Ok(values),
    }
}

fn text(value: &DeValue<'_>) -> Option<String> {
    Some(match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| number.to_string(), |number| number.to_string()),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => return None,
    })
}

fn unknown(key: &str, value: &DeValue<'_>, command: &Command) -> String {
    if matches!(value, DeValue::Table(_)) {
        return format!("unknown section {key:?}; all keys are at the top level");
    }
    let name = key.to_lowercase().replace('_', "-");
    match nearest(&name, keys(command).map(|(key, _)| key)) {
        Some(name) => format!("unknown key {key:?}; did you mean {name:?}?"),
        None => format!("unknown key {key:?}"),
    }
}
