//! The names of the product, from which those of its programs, environment variables, metrics, headers
//! and JSON schemas are made.
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
