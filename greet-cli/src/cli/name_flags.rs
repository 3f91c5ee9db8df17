//! Flags with names to greet: of `hello`, and of `load` without a METHOD.

use std::path::PathBuf;

use clap::ArgGroup;

use super::bulk_flags::{BulkArgs, FILE};
use crate::bulk::BulkOptions;
use crate::load::LoadInputs;

pub(super) const HELLO_EXAMPLES: &str = "\
Examples:
  greet-cli hello --name Ada --name Grace
  greet-cli hello --names-from names.txt > greetings.txt
  greet-cli -v hello --name Ada --count 100     # count the calls per instance
  greet-cli --output json hello --name Ada | jq -r '.message // .error.cause'";

/// The flags of a method other than SayHello.
const METHOD_FLAGS: [&str; 3] = ["method", "json", "json_from"];

const DEFAULT_NAME: &str = "Ada";
/// Number of random names, which are sent in turn.
const RANDOM_NAMES: usize = 4_096;
const MAX_RANDOM_NAME: usize = 16;

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("source").required(true).args(["names", FILE]))]
pub(crate) struct HelloArgs {
    /// Name to greet; repeat for several, answered in this order
    #[arg(long = "name", value_name = "NAME", allow_hyphen_values = true)]
    names: Vec<String>,

    /// File with one name per line (- is standard input); an empty line is an empty name
    #[arg(id = FILE, long = "names-from", value_name = "FILE")]
    names_from: Option<PathBuf>,

    #[command(flatten)]
    bulk: BulkArgs,
}

impl HelloArgs {
    pub(crate) fn options(self) -> BulkOptions {
        self.bulk.options(self.names_from, self.names)
    }
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("source").args(["names", "names_from"]))]
pub(super) struct LoadNameArgs {
    /// Name to greet; repeat for several, used in turn [default: Ada]
    #[arg(long = "name", value_name = "NAME", allow_hyphen_values = true)]
    #[arg(conflicts_with_all = METHOD_FLAGS)]
    names: Vec<String>,

    /// File with one name per line (- is standard input), used in turn
    #[arg(long, value_name = "FILE", conflicts_with_all = METHOD_FLAGS)]
    names_from: Option<PathBuf>,
}

impl LoadNameArgs {
    /// Returns whether neither a name nor a file is given.
    pub(super) fn is_default(&self) -> bool {
        self.names.is_empty() && self.names_from.is_none()
    }

    /// Returns the names; without any, `seed` gives random ones.
    pub(super) fn inputs(self, seed: Option<u64>) -> LoadInputs {
        match (self.names_from, seed) {
            (Some(file), _) => LoadInputs::File(file),
            (None, Some(seed)) if self.names.is_empty() => {
                LoadInputs::Typed(random_names(seed).take(RANDOM_NAMES).collect())
            }
            (None, None) if self.names.is_empty() => {
                LoadInputs::Typed(vec![DEFAULT_NAME.to_owned()])
            }
            (None, _) => LoadInputs::Typed(self.names),
        }
    }
}

fn random_names(seed: u64) -> impl Iterator<Item = String> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(move || random_name(&mut random))
}

fn random_name(random: &mut fastrand::Rng) -> String {
    let rest = random.usize(1..MAX_RANDOM_NAME);
    let first = std::iter::once(random.uppercase());
    first.chain(std::iter::repeat_with(|| random.lowercase()).take(rest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_gives_same_random_names() {
        let names = |seed| random_names(seed).take(100).collect::<Vec<_>>();
        assert_eq!(names(7), names(7));
        assert_ne!(names(7), names(8));
        assert!(names(7).iter().all(|name| (2..=MAX_RANDOM_NAME).contains(&name.len())));
    }
}
