//! The subcommands, a file each.

pub(crate) mod diagnose;
pub(crate) mod errors;
pub(crate) mod health;
pub(crate) mod hello;
pub(crate) mod load;
pub(crate) mod reference;
mod wait;
mod watch;

use std::time::Duration;

use crate::client::Terms;
use crate::connect::Target;

/// What every command that calls a server has.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) targets: Vec<Target>,
    /// The time to wait until a server is reachable; zero does not wait.
    pub(crate) wait: Duration,
    pub(crate) terms: Terms,
}
