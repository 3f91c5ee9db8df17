//! A failure as a user meets it: one line, one hint, one exit code, one stage in JSON, and in time.

use std::time::{Duration, Instant};

use crate::support::{Ran, greet};

/// What a call may take, and what the whole command may take beyond that.
const TIMEOUT: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_millis(200);

/// Calls `target`, and compares what the command leaves behind with the snapshot of that name.
#[track_caller]
pub(crate) fn fails(name: &str, target: &str, flags: &[&str]) {
    let timeout = format!("--timeout={}ms", TIMEOUT.as_millis());
    let arguments = [&[timeout.as_str()], flags, &["hello", "--name=Ada"]].concat();
    let (text, took) = timed(target, &arguments);
    assert!(took <= TIMEOUT + GRACE, "{took:?}: {text:?}");
    let (json, took) = timed(target, &[&["--output=json"], &arguments[..]].concat());
    assert!(took <= TIMEOUT + GRACE, "{took:?}: {json:?}");

    let object = json.object();
    let told = |key: &str| object["error"][key].as_str().unwrap().to_owned();
    let (stage, cause, hint) = (told("stage"), told("cause"), told("hint"));
    let shown = format!("greet-cli: {stage}: {cause}\n\nhint: {hint}\n");
    assert_eq!(masked(&text.stderr, target), masked(&shown, target), "text and JSON agree");
    assert_eq!(object["ok"], false);
    assert_eq!(text.code, json.code);
    let sent = stage == "rpc";
    assert_eq!(object["status"].is_null(), !sent, "a status is of a call that was sent: {object}");

    let Ran { stdout, stderr, code } = text;
    let left = format!("exit code {}\n[stdout]\n{stdout}[stderr]\n{stderr}", code.unwrap());
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false, snapshot_path => "../snapshots" }, {
        insta::assert_snapshot!(name, masked(&left, target));
    });
}

fn timed(target: &str, arguments: &[&str]) -> (Ran, Duration) {
    let begun = Instant::now();
    let ran = greet(target, arguments);
    (ran, begun.elapsed())
}

/// What differs from run to run: the address, and how long things took.
fn masked(text: &str, target: &str) -> String {
    let address = target.rsplit_once("//").map_or(target, |(_, address)| address);
    let text = text.replace(address, "ADDRESS");
    let words = text.split_inclusive([' ', '\n', ',']);
    words
        .map(|word| {
            let end = word.trim_end_matches([' ', '\n', ',', ':', '.']);
            if is_a_time(end) { word.replace(end, "TIME") } else { word.to_owned() }
        })
        .collect()
}

/// `301ms`, `1.2s`, or a number of days.
fn is_a_time(word: &str) -> bool {
    ["us", "ms", "s", ""].iter().any(|unit| {
        let number = word.strip_suffix(unit);
        number.is_some_and(|number| !number.is_empty() && number.parse::<f64>().is_ok())
    })
}
