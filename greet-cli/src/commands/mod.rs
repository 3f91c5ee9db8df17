//! One verb a file.

mod diagnose;
mod errors;
mod health;
mod hello;
mod load;
mod reference;
mod run;
mod wait;
mod watch;

pub(crate) use run::run;
