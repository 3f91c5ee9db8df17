//! Checks the house rules: each file opens with its purpose, and has no banned text.

use std::fs;

use crate::harness::programs::root;
use crate::harness::sources::files;

/// Banned text and its replacement. Split, so that this file passes.
const BANNED: [(&str, &str); 3] = [
    (concat!("#[", "ignore"), "a test that does not run proves nothing: repair it or delete it"),
    (concat!("#[", "allow("), "use #[expect(…, reason = …)]: it warns when it is unnecessary"),
    (concat!("TO", "DO"), "file an issue; the code describes the present, not plans"),
];

/// Checks every Rust file in git and reports all violations.
pub(crate) fn check() -> anyhow::Result<String> {
    let files = files(&["*.rs"])?;
    let mut violations = Vec::new();
    for file in &files {
        let (file, text) = (file.display(), fs::read_to_string(root().join(file))?);
        if !text.starts_with("//! ") {
            violations.push(format!("{file}: does not open with `//!`"));
        }
        let banned = BANNED.iter().filter(|(banned, _)| text.contains(banned));
        violations.extend(banned.map(|(banned, instead)| format!("{file}: {banned}: {instead}")));
    }
    anyhow::ensure!(violations.is_empty(), "\n{}", violations.join("\n"));
    Ok(format!("{} files", files.len()))
}
