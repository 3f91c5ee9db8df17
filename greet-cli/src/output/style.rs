//! Styles of messages and of `diagnose`: `{ERROR}text{ERROR:#}`. The streams remove them unless
//! `--color` and the terminal allow colors.

use clap::builder::styling::{AnsiColor, Style};

pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default().bold();
pub(crate) const OK: Style = AnsiColor::Green.on_default();
