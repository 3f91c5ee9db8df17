//! Checks the house rules: each file opens with its purpose, and has no banned text.

use std::fs;

use crate::harness::command::{capture, program};
use crate::harness::programs::root;

/// Banned text and its replacement. Split, so that this file passes.
const BANNED: [(&str, &str); 3] = [
    (concat!("#[", "ignore"), "a test that does not run proves nothing: repair it or delete it"),
    (concat!("#[", "allow("), "use #[expect(…, reason = …)]: it warns when it is unnecessary"),
    (concat!("TO", "DO"), "file an issue; the code describes the present, not plans"),
];

/// Checks every Rust file in git and reports all violations.
pub(crate) fn check() -> anyhow::Result<String> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"];
    let files = capture(program("git").current_dir(root()).args(list))?.succeeded()?;
    let files: Vec<_> = files.lines().filter(|file| root().join(file).exists()).collect();
    let mut violations = Vec::new();
    for file in &files {
        let text = fs::read_to_string(root().join(file))?;
        if !text.starts_with("//! ") {
            violations.push(format!("{file}: does not open with `//!`"));
        }
        let banned = BANNED.iter().filter(|(banned, _)| text.contains(banned));
        violations.extend(banned.map(|(banned, instead)| format!("{file}: {banned}: {instead}")));
    }
    anyhow::ensure!(violations.is_empty(), "\n{}", violations.join("\n"));
    Ok(format!("{} files", files.len()))
}
