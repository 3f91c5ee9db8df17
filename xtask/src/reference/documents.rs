//! `cargo xtask docs`: replaces the generated parts of the documents.
//!
//! `<!-- generated: NAME -->` and `<!-- end -->` enclose a generated part. The example of a
//! configuration file is generated as a whole.

use std::fs;

use anyhow::{Context as _, bail};

use super::tables;
use crate::harness::command::progress;
use crate::harness::programs::root;

const DOCUMENTS: [&str; 5] = [
    "docs/greet-server.md",
    "docs/greet-cli.md",
    "docs/errors.md",
    "docs/limits.md",
    "docs/metrics.md",
];
const EXAMPLE: &str = "deploy/greet.example.toml";

const BEGIN: &str = "<!-- generated: ";
const BEGIN_END: &str = " -->\n";
const END: &str = "<!-- end -->";

/// A file with its text before and after the generation.
struct Document {
    file: &'static str,
    old: String,
    new: String,
}

/// Rewrites the files that are out of date.
pub(crate) fn write() -> anyhow::Result<()> {
    for Document { file, old, new } in documents()? {
        if old != new {
            fs::write(root().join(file), new)?;
            progress(format_args!("{file}: written"));
        }
    }
    Ok(())
}

/// Fails if `write` would change a file.
pub(crate) fn check() -> anyhow::Result<()> {
    for Document { file, old, new } in documents()? {
        if let Some((old, new)) = old.lines().zip(new.lines()).find(|(old, new)| old != new) {
            bail!("{file} is out of date; run: cargo xtask docs\n- {old}\n+ {new}");
        }
        anyhow::ensure!(old == new, "{file} is out of date; run: cargo xtask docs");
    }
    Ok(())
}

fn documents() -> anyhow::Result<Vec<Document>> {
    let read = |file| {
        fs::read_to_string(root().join(file)).with_context(|| format!("could not read {file}"))
    };
    let mut documents = Vec::new();
    for file in DOCUMENTS {
        let old = read(file)?;
        let new = with_generated_parts(&old, generate).with_context(|| file.to_owned())?;
        documents.push(Document { file, old, new });
    }
    let new = greet_server::config::example(&greet_server::command());
    documents.push(Document { file: EXAMPLE, old: read(EXAMPLE)?, new });
    Ok(documents)
}

fn with_generated_parts(
    old: &str,
    generate: impl Fn(&str) -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    let mut new = String::new();
    let mut rest = old;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after.split_once(BEGIN_END).context("a mark has no end")?;
        let (_, after) = after.split_once(END).with_context(|| format!("{name} has no end"))?;
        let part = generate(name).with_context(|| name.to_owned())?;
        new.push_str(&format!("{before}{BEGIN}{name}{BEGIN_END}\n{part}\n{END}"));
        rest = after;
    }
    new.push_str(rest);
    Ok(new)
}

/// Generates a part by its name: `TABLE`, `TABLE of PROGRAM` or
/// `flags of PROGRAM COMMAND: HEADING, …`.
fn generate(name: &str) -> anyhow::Result<String> {
    let (name, headings) = name.split_once(": ").unwrap_or((name, ""));
    let headings: Vec<_> = headings.split(", ").filter(|heading| !heading.is_empty()).collect();
    let (table, program) = name.split_once(" of ").unwrap_or((name, ""));
    match (table, program) {
        ("close reasons", "greet-server") => Ok(tables::close_reasons()),
        ("metrics", "greet-server") => Ok(tables::metrics()),
        ("failures", "greet-cli") => Ok(tables::errors()),
        ("exit codes", _) => tables::exit_codes(&command(program)?),
        ("flags", _) => tables::flags(&command(program)?, &headings),
        _ => bail!("there is no generator for this part"),
    }
}

/// Returns the definition of a program, or of its subcommand.
fn command(words: &str) -> anyhow::Result<clap::Command> {
    let (program, subcommand) = words.split_once(' ').unwrap_or((words, ""));
    let command = match program {
        "greet-server" => greet_server::command(),
        "greet-cli" => greet_cli::command(),
        _ => bail!("there is no program {program:?}"),
    };
    if subcommand.is_empty() {
        return Ok(command);
    }
    command.find_subcommand(subcommand).cloned().with_context(|| format!("no {subcommand:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_part_is_replaced_between_its_marks() {
        let old = "a\n<!-- generated: x -->\nold\n<!-- end -->\nb\n";
        let new = with_generated_parts(old, |name| Ok(format!("table {name}\n"))).unwrap();
        assert_eq!(new, "a\n<!-- generated: x -->\n\ntable x\n\n<!-- end -->\nb\n");
        assert!(with_generated_parts("<!-- generated: x -->\n", |_| Ok(String::new())).is_err());
    }

    #[test]
    fn unknown_parts_are_errors() {
        for name in ["fun", "flags of greet-cli dance", "flags of greet-server: Nonsense"] {
            assert!(generate(name).is_err(), "{name}");
        }
    }
}
