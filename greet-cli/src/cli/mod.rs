//! What can be typed. House rules for flags: long names in full; a short one only where fingers
//! expect it; everything that a script may want to set once has an environment variable; values
//! are parsed here, so that what goes on from here is valid.

mod command_line;
mod connection_flags;
mod hello_flags;
mod help;
mod load_flags;
mod values;

pub(crate) use self::command_line::{Args, CallCommand, Command};
