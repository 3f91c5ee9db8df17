//! `load --baseline`: the comparison with an earlier report, and the files that are not one.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{CommandOutput, Daemon, cli, unused_address};

/// Long enough for ten sections with calls, also on a slow machine.
const RUN: [&str; 3] = ["--duration=4s", "--warm-up=0s", "--rate=200"];

/// A report of a load test, and a folder for variants of it.
struct Reports {
    folder: TempDir,
    report: Value,
}

impl Reports {
    /// Measures the daemon.
    fn measure(daemon: &Daemon, flags: &[&str]) -> Reports {
        let ran = cli(&daemon.target, &[&["--output=json", "load"], flags].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        Reports { folder: tempfile::tempdir().unwrap(), report: ran.object() }
    }

    /// Writes the report with a change, and returns the path.
    fn with(&self, change: impl FnOnce(&mut Value)) -> PathBuf {
        let mut report = self.report.clone();
        change(&mut report);
        self.write(&report.to_string())
    }

    fn write(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join("old.json");
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// Runs `load` with a baseline.
fn compare(target: &str, baseline: &Path, flags: &[&str]) -> CommandOutput {
    let baseline = format!("--baseline={}", baseline.display());
    cli(target, &[&["--output=json", "load", &baseline], flags].concat())
}

/// Returns the lines of `--fail-if` on standard error. Others depend on the speed of the machine.
fn verdicts(ran: &CommandOutput) -> Vec<&str> {
    ran.stderr.lines().filter_map(|line| line.strip_prefix("greet-cli: --fail-if: ")).collect()
}

/// Returns ten sections with 100 calls each and the median latency that `p50_us` returns for its index.
fn sections(report: &Value, p50_us: impl Fn(u64) -> u64) -> Value {
    let section = |index| {
        let mut latency = report["latency_us"].clone();
        latency["p50"] = p50_us(index).into();
        json!({ "length_us": 400_000, "ok": 100, "latency_us": latency })
    };
    (0..10).map(section).collect()
}

#[test]
fn difference_beyond_bound_and_noise_exits_with_5() {
    let daemon = Daemon::start(&[]);
    let reports = Reports::measure(&daemon, &["--count=10", "--rate=200"]);
    let file = reports.with(|report| {
        report["sections"] = sections(report, |_| 1);
        report["latency_us"]["p50"] = 1.into();
        report["calls"]["ok"] = 1_000.into();
        report["rps"] = 1.into();
    });
    let rules = ["--fail-if=p50>+10%", "--fail-if=p50<-50%"];
    let ran = compare(&daemon.target, &file, &[&RUN[..], &rules].concat());
    assert_eq!(ran.code, Some(5), "{ran:?}");
    let verdicts = verdicts(&ran);
    assert_eq!(verdicts.len(), 1, "{ran:?}");
    assert!(verdicts[0].starts_with("threshold 'p50>+10%' violated: "), "{ran:?}");
    assert!(verdicts[0].contains("; baseline 1us, +"), "{ran:?}");
    let object = ran.object();
    let [violated, other] = [0, 1].map(|index| &object["thresholds"][index]);
    assert_eq!((&violated["verdict"], &violated["crossed"]), (&json!("violated"), &json!(true)));
    assert_eq!(violated["baseline"], "1us");
    let change = object["latency_us"]["p50"].as_f64().unwrap() - 1.0;
    assert_eq!(violated["change"], change);
    assert_eq!((&other["verdict"], &object["ok"]), (&json!("not_violated"), &json!(false)));
    let changes = object["baseline"]["changes"].as_array().unwrap();
    let p50 = changes.iter().find(|change| change["metric"] == "p50").unwrap();
    assert_eq!((&p50["verdict"], &p50["baseline"]), (&json!("worse"), &json!(1.0)));
    assert_eq!(p50["baseline_range"], json!({ "low": 1.0, "high": 1.0 }));
    assert_eq!(object["baseline"]["report"]["rps"], 1.0);
}

#[test]
fn difference_within_noise_of_baseline_is_no_violation() {
    let daemon = Daemon::start(&[]);
    let reports = Reports::measure(&daemon, &["--count=10", "--rate=200"]);
    let file = reports.with(|report| {
        report["sections"] = sections(report, |index| index * 10_000_000);
        report["latency_us"]["p50"] = 1.into();
        report["calls"]["ok"] = 1_000.into();
    });
    let file = format!("--baseline={}", file.display());
    let rule = [&file[..], "--fail-if=p50>+10%"];
    let ran = cli(&daemon.target, &[&["load"][..], &RUN, &rule].concat());
    let verdict = verdicts(&ran)[0];
    assert!(verdict.starts_with("threshold 'p50>+10%' ok: "), "{ran:?}");
    assert!(verdict.ends_with("%, within noise"), "{ran:?}");
    assert_eq!((ran.code, verdicts(&ran).len()), (Some(0), 1), "{ran:?}");
    let row = ran.stdout.lines().find(|line| line.starts_with("p50 ")).unwrap();
    assert!(row.contains("1us (10-80s)") && row.ends_with("  within noise"), "{ran:?}");
}

#[test]
fn too_few_calls_have_no_verdict_and_exit_with_5() {
    let daemon = Daemon::start(&[]);
    let flags = ["--count=100", "--rate=5000"];
    let reports = Reports::measure(&daemon, &flags);
    let file = reports.with(|report| report["generator"]["bottleneck"] = "it was slow".into());
    let ran = compare(&daemon.target, &file, &[&flags[..], &["--fail-if=p50>+1000%"]].concat());
    let reason = "threshold 'p50>+1000%' has no verdict: too few calls; ";
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(verdicts(&ran).iter().all(|line| line.starts_with(reason)), "{ran:?}");
    assert_eq!(verdicts(&ran).len(), 1, "{ran:?}");
    let object = ran.object();
    assert_eq!(object["thresholds"][0]["verdict"], "too_few_calls");
    assert_eq!(
        (&object["thresholds"][0]["crossed"], &object["ok"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(object["baseline"]["changes"][0]["measured_range"], Value::Null);
    let note = "greet-cli: baseline: it was slow; greet-cli may have been the limit\n";
    assert!(ran.stderr.contains(note), "{ran:?}");
    // Without a rule, the table is all that is asked for.
    assert_eq!(compare(&daemon.target, &file, &flags).code, Some(0));
}

#[test]
fn relative_rule_without_baseline_and_baseline_of_a_range_are_usage_errors() {
    let ran = cli(&unused_address(), &["load", "--fail-if=p99>+10%"]);
    ran.assert("", "greet-cli: --fail-if: 'p99>+10%' is relative and needs --baseline FILE\n", 2);
    let ran = cli(&unused_address(), &["load", "--baseline=old.json", "--rate=1..2"]);
    ran.assert("", "greet-cli: --baseline: cannot be used with a range of rates\n", 2);
}

#[test]
fn file_that_cannot_be_compared_is_named_before_the_load() {
    let daemon = Daemon::start(&[]);
    let reports = Reports::measure(&daemon, &["--count=10"]);
    let rejected = |file: &Path, reason: &str| {
        // It would last for an hour.
        let ran = compare(&daemon.target, file, &["--duration=1h"]);
        let line = format!("greet-cli: `{}`: {reason}\n", file.display());
        ran.assert("", &line, 2);
    };
    let missing = reports.folder.path().join("missing.json");
    let ran = compare(&daemon.target, &missing, &["--duration=1h"]);
    let line = format!("greet-cli: could not read `{}`: ", missing.display());
    assert!(ran.stderr.starts_with(&line) && ran.stderr.lines().count() == 1, "{ran:?}");
    assert_eq!(ran.code, Some(2));

    let not_printed = "not what `greet-cli --output json load` printed";
    for (text, at) in [
        ("", "EOF while parsing a value at line 1 column 0"),
        ("calls    100 ok", "expected value at line 1 column 1"),
        ("{}", "it has no schema"),
        ("[]", "it has no schema"),
    ] {
        rejected(&reports.write(text), &format!("{not_printed}: {at}"));
    }
    let twice = reports.write(&format!("{}\n{}", reports.report, reports.report));
    rejected(&twice, &format!("{not_printed}: trailing characters at line 2 column 1"));

    let other = reports.with(|report| report["schema"] = "greet.ping/v1".into());
    rejected(&other, "its schema is greet.ping/v1, not greet.load/v1");
    let other = reports.with(|report| {
        report["method"] = "a.B/C".into();
        report["concurrency"] = 10.into();
        report["connections"] = 1.into();
    });
    let method = reports.report["method"].as_str().unwrap();
    let differences =
        format!("method a.B/C, not {method}; concurrency 10, not 100; connections 1, not 10");
    rejected(&other, &format!("the report of another load: {differences}"));
    let other = reports.with(|report| {
        report["loop"] = "open".into();
        report["rate_per_s"] = 0.5.into();
        report["arrivals"] = "uniform".into();
    });
    let differences = "loop open, not closed; rate 0.5, not none; arrivals uniform, not none";
    rejected(&other, &format!("the report of another load: {differences}"));

    let old = reports.with(|report| {
        report.as_object_mut().unwrap().remove("sections");
        report["version"] = "0.1.0".into();
    });
    rejected(&old, "the report of greet-cli 0.1.0 cannot be compared: missing field `sections`");
    let steps = reports.with(|report| report["steps"] = json!([{}]));
    rejected(&steps, "a load test of a range of rates (--rate A..B) cannot be compared");
    let failed = reports.with(|report| report["latency_us"] = Value::Null);
    rejected(&failed, "no call ended OK in this run");
}
