//! `completions`, `man` and `errors`: reference texts, generated from the definition of the flags
//! and from the error types.

use clap_complete::Shell;
use greet_flags::reference;
use serde::Serialize;

use crate::documentation::{self, ErrorEntry};
use crate::exit::Exit;
use crate::format::wrap;
use crate::output::Stdout;
use crate::output::style::HINT;

pub(crate) fn completions(
    command: &clap::Command,
    shell: Shell,
    stdout: &mut Stdout,
) -> anyhow::Result<Exit> {
    stdout.text(reference::completions(command, shell)?.as_bytes());
    stdout.flush_blocking()?;
    Ok(Exit::Done)
}

pub(crate) fn man(command: &clap::Command, stdout: &mut Stdout) -> anyhow::Result<Exit> {
    stdout.text(&reference::man_page(command, &documentation::VARIABLES)?);
    stdout.flush_blocking()?;
    Ok(Exit::Done)
}

pub(crate) fn errors(stdout: &mut Stdout) -> anyhow::Result<Exit> {
    let errors = documentation::errors();
    let text = stdout.without_unwanted_style(&list(&errors));
    stdout.line(Some(text), || Errors { schema: "greet.errors/v1", errors: &errors });
    stdout.flush_blocking()?;
    Ok(Exit::Done)
}

/// `greet.errors/v1`
#[derive(Serialize)]
struct Errors<'a> {
    schema: &'static str,
    errors: &'a [ErrorEntry],
}

/// Renders a list that fits 80 columns.
fn list(errors: &[ErrorEntry]) -> String {
    let mut list = "code  stage  error".to_owned();
    for ErrorEntry { stage, cause, hint, exit_code } in errors {
        let wrap = |text: &str| wrap(text, COLUMNS - INDENT.len()).join(&format!("\n{INDENT}"));
        let (cause, hint) = (wrap(cause), wrap(&format!("hint: {hint}")));
        let hint = hint.replacen("hint:", &format!("{HINT}hint:{HINT:#}"), 1);
        list.push_str(&format!("\n{exit_code:<6}{stage:<7}{cause}\n{INDENT}{hint}"));
    }
    list
}

const INDENT: &str = "             ";
const COLUMNS: usize = 80;
