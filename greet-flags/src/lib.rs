//! The command-line conventions that greet-server and greet-cli share: the environment variable of
//! each flag, value parsers, names of methods, suggestions, usage errors of one line, certificates and keys in
//! the files that flags name, and (feature `reference`) manual pages and completion scripts.

pub mod certificate_problem;
pub mod identity;
pub mod method_name;
pub mod pem;
pub mod product;
#[cfg(feature = "reference")]
pub mod reference;
pub mod usage;
pub mod values;
pub mod variables;
pub mod words;
