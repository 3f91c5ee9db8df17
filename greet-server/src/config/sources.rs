//! Where each value of the configuration is from, so that an error names its place.

use clap::parser::{ArgMatches, ValueSource};
use greet_flags::variables::variable;

use super::file::ConfigFile;

/// The source of each value: a flag, a variable, the file or the default.
#[derive(Debug)]
pub struct Sources {
    pub(super) matches: ArgMatches,
    pub(super) file: ConfigFile,
}

impl Sources {
    /// Returns whether the value of a flag is not its default. `key` is the name of the flag.
    pub fn is_given(&self, key: &str) -> bool {
        self.source(key) != Some(ValueSource::DefaultValue) || self.file.place(key).is_some()
    }

    /// Returns whether the value is from a flag or a variable.
    pub(super) fn is_typed(&self, key: &str) -> bool {
        let source = self.source(key);
        matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    }

    /// Returns the flag, the variable or the position in the file.
    pub fn place(&self, key: &str) -> String {
        match self.source(key) {
            Some(ValueSource::EnvVariable) => variable(key),
            Some(ValueSource::DefaultValue) => self.file.place(key).unwrap_or(key).to_owned(),
            _ => format!("--{key}"),
        }
    }

    fn source(&self, key: &str) -> Option<ValueSource> {
        self.matches.value_source(&key.replace('-', "_"))
    }
}
