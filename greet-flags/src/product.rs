//! The names of the product, from which those of its programs, environment variables, metrics, headers
//! and JSON schemas are made, and the identity of its build.
//!
//! Code takes them from here, so that a workspace for another service replaces them in one place.

/// Joins the name of the product and a literal at compile time: `product!("-server")`, and
/// `product!("_phase")` for a metric.
#[macro_export]
macro_rules! product {
    ($($part:literal)?) => { concat!("greet" $(, $part)?) };
}

/// The name of the product.
pub const NAME: &str = product!();
/// The program of the daemon.
pub const SERVER: &str = product!("-server");
/// The program of the command line.
pub const CLI: &str = product!("-cli");
/// The start of every environment variable.
pub const VARIABLE_PREFIX: &str = "GREET_";
/// The response header with the value of `--instance`.
pub const INSTANCE_HEADER: &str = product!("-instance");
/// The commit that the build is from, as a release build sets it at compile time; otherwise empty.
pub const REVISION: &str = match option_env!("GREET_REVISION") {
    Some(revision) => revision,
    None => "",
};

/// Returns the version with the revision, if there is one: `0.1.0 (3f2a9c1b0d4e)`.
#[must_use]
pub fn version() -> String {
    with_revision(env!("CARGO_PKG_VERSION"), REVISION)
}

fn with_revision(version: &str, revision: &str) -> String {
    if revision.is_empty() { version.to_owned() } else { format!("{version} ({revision})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_includes_revision_of_a_release() {
        assert_eq!(with_revision("0.1.0", "3f2a9c1b0d4e-dirty"), "0.1.0 (3f2a9c1b0d4e-dirty)");
        assert_eq!(with_revision("0.1.0", ""), "0.1.0");
    }
}
