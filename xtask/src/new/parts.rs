//! The parts of this workspace that a new one does not get: they belong to the Greeter.

use std::path::Path;

use anyhow::ensure;

/// Files and folders without a use in a workspace for another service: its measurements and the peers that
/// they need, the clients of the original, and what writes a new workspace.
const LEFT_OUT: &[&str] = &[
    "docs/benchmarks.md",
    "docs/benchmarks.svg",
    "docs/extending.md",
    "docs/hostile.md",
    "docs/images",
    "docs/performance.md",
    "greet-cli/schema/hello.schema.json",
    "greet-cli/src/cli/name_flags.rs",
    "greet-cli/src/method/say_hello.rs",
    "greet-cli/tests/it/hello.rs",
    "greet-proto/tests/contract.rs",
    "greet-server/examples/greeter",
    "greet-server/examples/stock_tonic.rs",
    "greet-server/examples/tuned_tonic.rs",
    "xtask/clients/.gitignore",
    "xtask/clients/cpp",
    "xtask/clients/go",
    "xtask/clients/node",
    "xtask/clients/web",
    "xtask/instructions.txt",
    "xtask/peers",
    "xtask/src/bench",
    "xtask/src/e2e/scenarios/browser.rs",
    "xtask/src/e2e/scenarios/extending.rs",
    "xtask/src/e2e/scenarios/interop.rs",
    "xtask/src/e2e/scenarios/new.rs",
    "xtask/src/harness/peers.rs",
    "xtask/src/harness/stacks.rs",
    "xtask/src/harness/workspace.rs",
    "xtask/src/images.rs",
    "xtask/src/new",
    "xtask/template",
];

/// The lines that enclose a part of a file, with any comment marks around them.
const BEGIN: &str = "<greeter>";
const END: &str = "</greeter>";

/// Returns whether a new workspace has no such file.
pub(super) fn is_left_out(path: &Path) -> bool {
    LEFT_OUT.iter().any(|left_out| path.starts_with(left_out))
}

/// Returns `text` without the marked parts, and without the empty line behind one if there is one before it.
///
/// # Errors
/// A mark has no counterpart.
pub(super) fn without_marked(text: &str) -> anyhow::Result<String> {
    let mut kept = String::with_capacity(text.len());
    let (mut is_marked, mut is_after_mark) = (false, false);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let is_mark = |mark| is_comment(line, mark);
        if is_mark(BEGIN) || is_mark(END) {
            ensure!(is_mark(BEGIN) != is_marked, "line {}: the mark has no counterpart", index + 1);
            is_marked = !is_marked;
            is_after_mark = true;
        } else if !is_marked {
            if !is_after_mark || line != "\n" || !kept.ends_with("\n\n") {
                kept.push_str(line);
            }
            is_after_mark = false;
        }
    }
    ensure!(!is_marked, "the last mark has no counterpart");
    Ok(kept)
}

/// Returns whether a line has only `mark`, in a comment of any language.
fn is_comment(line: &str, mark: &str) -> bool {
    let line = line.trim();
    ["//", "#", "<!--"].iter().any(|start| {
        let rest = line.strip_prefix(start).map(|rest| rest.trim_end_matches("-->").trim());
        rest == Some(mark)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_parts_are_left_out() {
        for (begin, end) in [
            ("// <greeter>", "// </greeter>"),
            ("    # <greeter>", "    # </greeter>"),
            ("<!-- <greeter> -->", "<!-- </greeter> -->"),
        ] {
            let text = format!("a\n\n{begin}\nb\n{end}\n\nc\n{begin}\nd\n{end}\n");
            assert_eq!(without_marked(&text).unwrap(), "a\n\nc\n");
        }
        assert_eq!(without_marked("a <greeter>\nb").unwrap(), "a <greeter>\nb");
    }

    #[test]
    fn mark_without_counterpart_is_an_error() {
        for text in ["// <greeter>\n", "// </greeter>\n", "# <greeter>\n# <greeter>\n"] {
            assert!(without_marked(text).is_err(), "{text}");
        }
    }

    #[test]
    fn everything_in_a_folder_is_left_out() {
        assert!(is_left_out(Path::new("xtask/src/bench/mod.rs")));
        assert!(is_left_out(Path::new("docs/benchmarks.md")));
        assert!(!is_left_out(Path::new("xtask/src/benchmark.rs")));
    }
}
