//! Whom to greet, one after the other: typed, again and again, or a line each.

use std::fmt;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::lines::{Lines, Unusable};

/// Where names come from.
#[derive(Debug)]
pub(crate) enum NameSource {
    Typed {
        names: Vec<String>,
        /// How often each is greeted.
        count: NonZeroU64,
    },
    /// A line each; `-` is standard input.
    File(PathBuf),
}

/// The names, one after the other.
#[derive(Debug)]
pub(crate) enum Names {
    /// From the command line, `--count` rounds of them.
    Typed { names: Vec<String>, next: u64, calls: u64 },
    /// From a file or standard input.
    Read { lines: Lines, from: PathBuf, next: u64 },
}

/// The next one, or why it cannot be used.
pub(super) type Name = Result<String, Unusable>;

/// Which of many, in words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number {
    what: &'static str,
    number: u64,
}

impl Names {
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn new(source: NameSource) -> anyhow::Result<Names> {
        let from = match source {
            NameSource::Typed { names, count } => {
                let calls = count.get().saturating_mul(names.len() as u64);
                return Ok(Names::Typed { names, next: 0, calls });
            }
            NameSource::File(from) => from,
        };
        let lines = match from.as_path() {
            dash if dash == Path::new("-") => Lines::new(io::stdin()),
            file => Lines::new(
                opened(file).with_context(|| format!("could not read `{}`", file.display()))?,
            ),
        };
        Ok(Names::Read { lines, from, next: 0 })
    }

    /// How many there are, if that is known.
    pub(crate) fn calls(&self) -> Option<u64> {
        match self {
            Names::Typed { calls, .. } => Some(*calls),
            Names::Read { .. } => None,
        }
    }

    /// What they are called in a message.
    pub(super) fn numbers(&self) -> Number {
        let what = match self {
            Names::Typed { .. } => "call",
            Names::Read { .. } => "line",
        };
        Number { what, number: 0 }
    }

    /// # Errors
    /// The file cannot be read any further.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Name>> {
        match self {
            Names::Typed { next, calls, .. } if next == calls => Ok(None),
            Names::Typed { names, next, .. } => {
                let index = usize::try_from(*next % names.len() as u64).unwrap_or_default();
                *next += 1;
                Ok(Some(Ok(names[index].clone())))
            }
            Names::Read { lines, from, next } => {
                let line = lines.next().await;
                *next += 1;
                line.with_context(|| format!("could not read line {next} of `{}`", from.display()))
            }
        }
    }
}

/// A directory can be opened as well, and not read.
fn opened(file: &Path) -> io::Result<File> {
    let opened = File::open(file)?;
    match opened.metadata()?.is_dir() {
        true => Err(io::ErrorKind::IsADirectory.into()),
        false => Ok(opened),
    }
}

impl Number {
    /// The one at `index`; people count from one.
    pub(super) fn at(self, index: u64) -> Number {
        Number { number: index + 1, ..self }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.number)
    }
}
