//! The house rules that no compiler knows, as a check: a file says its role first, fits into one
//! sitting, and is on the map.

use std::fs;
use std::path::Path;

use crate::harness::command::{capture, program};
use crate::harness::programs::root;

/// A file past this is two rooms that share a wall.
const MOST_LINES: usize = 300;

const MAP: &str = "docs/architecture.md";

/// What tests and sources must not contain, and what to do instead. Split, so that this file passes.
const BANNED: [(&str, &str); 3] = [
    (concat!("#[", "ignore"), "a test that does not run proves nothing: mend it or delete it"),
    (concat!("#[", "allow("), "use #[expect(…, reason = …)]: it complains when it is needless"),
    (concat!("TO", "DO"), "file an issue; the code says what is, not what will be"),
];

/// Every rule for every Rust file that git knows; all complaints at once.
pub(crate) fn check() -> anyhow::Result<String> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"];
    let files = capture(program("git").current_dir(root()).args(list))?.succeeded()?;
    let map = fs::read_to_string(root().join(MAP))?;
    let mut complaints = Vec::new();
    for file in files.lines() {
        let text = fs::read_to_string(root().join(file))?;
        complain(file, &text, &map, &mut complaints);
    }
    anyhow::ensure!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    Ok(format!("{} files", files.lines().count()))
}

fn complain(file: &str, text: &str, map: &str, complaints: &mut Vec<String>) {
    if !text.starts_with("//! ") {
        complaints.push(format!("{file}: does not open with `//!` and its role"));
    }
    let lines = text.lines().count();
    if lines > MOST_LINES {
        complaints.push(format!("{file}: {lines} lines, at most {MOST_LINES} fit into a sitting"));
    }
    for (banned, instead) in BANNED {
        if text.contains(banned) {
            complaints.push(format!("{file}: {banned}: {instead}"));
        }
    }
    let name = Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let is_room = file.contains("/src/") && !["lib", "main", "mod"].contains(&name);
    let is_on_map = [format!("`{name}`"), format!("/{name}`")].iter().any(|it| map.contains(it));
    if is_room && !is_on_map {
        complaints.push(format!("{file}: `{name}` is not on the map in {MAP}"));
    }
}
