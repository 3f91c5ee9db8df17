//! One verb a file.

mod health;
mod hello;
mod run;

pub(crate) use run::run;
