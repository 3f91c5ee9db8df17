//! Compares an error with a snapshot: as text, as JSON, and in time.

use std::time::Duration;

use super::sample::CALL;
use super::{CommandOutput, cli};

/// The deadline of the call: enough for every error that comes before it, on a busy machine too.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Calls `target` and compares what greet-cli prints with the snapshot `name`.
#[track_caller]
pub(crate) fn assert_error(name: &str, target: &str, flags: &[&str]) {
    let timeout = format!("--timeout={}ms", CALL_TIMEOUT.as_millis());
    let arguments = [&[timeout.as_str()], flags, CALL].concat();
    let text = cli(target, &arguments);
    let json = cli(target, &[&["--output=json"], &arguments[..]].concat());
    for output in [&text, &json] {
        // Twice the deadline: a stage had one of its own.
        assert!(output.elapsed < 2 * CALL_TIMEOUT, "{output:?}");
    }

    let object = json.object();
    let field = |key: &str| object["error"][key].as_str().unwrap();
    let (stage, cause, hint) = (field("stage"), field("cause"), field("hint"));
    let from_json = format!("greet-cli: {stage}: {cause}\n\nhint: {hint}\n");
    assert_eq!(mask(&text.stderr, target), mask(&from_json, target), "text and JSON agree");
    assert_eq!(object["ok"], false);
    assert_eq!(text.code, json.code);
    let was_sent = stage == "rpc";
    assert_eq!(object["status"].is_null(), !was_sent, "only a sent call has a status: {object}");

    let CommandOutput { stdout, stderr, code, .. } = text;
    let stderr = mask(&stderr, target);
    let snapshot = format!("exit code {}\n[stdout]\n{stdout}[stderr]\n{stderr}", code.unwrap());
    insta::with_settings!({
        omit_expression => true,
        prepend_module_to_snapshot => false,
        snapshot_path => "../snapshots",
    }, {
        insta::assert_snapshot!(name, snapshot);
    });
}

/// Replaces what differs from run to run: the address, durations and numbers of days.
fn mask(text: &str, target: &str) -> String {
    let address = target.rsplit_once("//").map_or(target, |(_, address)| address);
    let text = text.replace(address, "ADDRESS");
    let mut words = text.split_inclusive([' ', '\n', ',']).peekable();
    let mut masked = String::new();
    while let Some(word) = words.next() {
        let token = word.trim_end_matches([' ', '\n', ',', ':', '.']);
        let is_days = words.peek().is_some_and(|next| next.starts_with("day")) && is_number(token);
        if is_days || is_duration(token) {
            masked.push_str(&word.replace(token, "TIME"));
        } else {
            masked.push_str(word);
        }
    }
    masked
}

/// Returns whether this is a duration such as `301ms` or `1.2s`.
fn is_duration(token: &str) -> bool {
    ["us", "ms", "s"].iter().any(|unit| token.strip_suffix(unit).is_some_and(is_number))
}

fn is_number(token: &str) -> bool {
    token.parse::<f64>().is_ok()
}
