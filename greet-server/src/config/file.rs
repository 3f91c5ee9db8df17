//! The file of `--config`: TOML with a key for each flag, under the flag's name. Its values become what
//! would have been typed, so that one set of checks serves both.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use clap::{Arg, ArgAction, Command};
use toml::{Table, Value};

use crate::config::args::keys;

/// How alike a wrong key and a right one must be (Jaro-Winkler) for the one to be meant by the other.
const ALIKE: f64 = 0.8;

/// All keys with their meanings are some 8 KiB; what is far larger is another file, or has no end.
const MOST_BYTES: u64 = 1024 * 1024;

/// What the keys of a file say, as it would be typed.
pub(crate) type Values = BTreeMap<String, Vec<String>>;

/// What can be used of the file; all that is wrong with it is added to `problems`.
pub(crate) fn read(file: &Path, command: &Command, problems: &mut Vec<String>) -> Values {
    let mut values = Values::new();
    let table = match parse(file) {
        Ok(table) => table,
        Err(problem) => {
            problems.push(problem);
            return values;
        }
    };
    let file = file.display();
    for (key, value) in table {
        let Some((_, flag)) = keys(command).find(|(name, _)| *name == key) else {
            problems.push(format!("`{file}`: {}", unknown(&key, &value, command)));
            continue;
        };
        match typed(flag, &value) {
            Ok(typed) if typed.is_empty() => {}
            Ok(typed) => {
                values.insert(key, typed);
            }
            Err(expected) => {
                let in_one_line = value.to_string().replace('\n', " ");
                problems.push(format!("`{file}`: {key}: {in_one_line} is not {expected}"));
            }
        }
    }
    values
}

fn parse(file: &Path) -> Result<Table, String> {
    let name = file.display();
    let mut text = String::new();
    let read = File::open(file).map(|file| file.take(MOST_BYTES + 1));
    let read = read.and_then(|mut file| file.read_to_string(&mut text));
    read.map_err(|error| format!("could not read `{name}`: {error}"))?;
    if text.len() as u64 > MOST_BYTES {
        return Err(format!(
            "`{name}` is over {} KiB: no configuration of ours",
            MOST_BYTES / 1024
        ));
    }
    text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|character| *character != '\n').count() + 1;
        let message = error.message().replace('\n', ", ");
        format!("`{name}`: line {line}, column {column}: {message}")
    })
}

/// What would have been typed, nothing for `false`; or the form that is expected. An integer is let
/// through to the checks, which know the unit that it lacks.
fn typed(flag: &Arg, value: &Value) -> Result<Vec<String>, &'static str> {
    let is_switch = matches!(flag.get_action(), ArgAction::SetTrue);
    let is_list = matches!(flag.get_action(), ArgAction::Append);
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    match value {
        Value::Boolean(on) if is_switch => Ok(on.then(|| "true".to_owned()).into_iter().collect()),
        _ if is_switch => Err("true or false"),
        Value::String(given) if given.is_empty() => Err("a value: leave the key out instead"),
        Value::String(given) => Ok(vec![given.clone()]),
        Value::Array(items) if is_list && items.is_empty() => {
            Err("a value: leave the key out instead")
        }
        Value::Array(items) if is_list && items.iter().all(|item| text(item).is_some()) => {
            Ok(items.iter().filter_map(text).collect())
        }
        _ if is_list => Err("a string or an array of strings"),
        Value::Integer(number) => Ok(vec![number.to_string()]),
        _ if is_number(flag) => Err("a whole number"),
        _ => Err("a string"),
    }
}

/// Whether a flag takes a number, as its help says.
pub(crate) fn is_number(flag: &Arg) -> bool {
    flag.get_value_names().is_some_and(|names| names.iter().any(|name| name == "N"))
}

fn unknown(key: &str, value: &Value, command: &Command) -> String {
    if value.is_table() {
        return format!("there is no section {key:?}: all keys stand at the top");
    }
    let lower = key.to_lowercase();
    let alike = keys(command).map(|(name, _)| (strsim::jaro_winkler(name, &lower), name));
    match alike.max_by(|one, other| one.0.total_cmp(&other.0)) {
        Some((alike, name)) if alike >= ALIKE => {
            format!("unknown key {key:?}; did you mean {name:?}?")
        }
        _ => format!("unknown key {key:?}"),
    }
}
