//! The lines of `ping`. Times are in UTC, as in the log of the daemon, so that both can be compared
//! wherever they run.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use greet_proto::escape::Escaped;
use humantime::{format_rfc3339_millis, format_rfc3339_seconds};

use super::outage::Outage;
use super::record::{Record, Second};
use super::state::{Ping, PingTarget};
use crate::connect::Target;
use crate::error::CallError;
use crate::format::{HumanDuration, plural, truncated, wrap};

/// Maximum length of a reason: a status may have a long message, and each second shows it.
const MAX_REASON_CHARS: usize = 120;
/// What errors of connecting start with, before the address.
const CONNECT_PREFIX: &str = "could not connect to ";

/// The indent of further lines of a second, an outage and a row of the summary.
const SECOND_INDENT: usize = 10;
const OUTAGE_INDENT: usize = 2;
const SUMMARY_INDENT: usize = 10;
/// Minimum width beside an indent, whatever the width of the terminal.
const MIN_COLUMNS: usize = 20;

/// Returns the line above those of the seconds. `until` is the end of a second.
pub(super) fn head() -> String {
    let figures = ["ok", "failed", "in flight", "p50", "max"].map(str::to_owned);
    row("until", &figures, "answered by") + "\n"
}

/// Returns the line of a second; with several targets it names its own.
pub(super) fn second(
    time: SystemTime,
    target: Option<&Target>,
    second: &Second,
    in_flight: u64,
    columns: Option<usize>,
) -> String {
    let Second { latency, failed, answered_by, last_failure } = second;
    let human = |micros| {
        if latency.is_empty() {
            return "-".to_owned();
        }
        HumanDuration(Duration::from_micros(micros)).to_string()
    };
    let figures = [
        latency.count().to_string(),
        failed.to_string(),
        in_flight.to_string(),
        human(latency.percentile(50.0)),
        human(latency.max()),
    ];
    let parts = [list(answered_by), last_failure.as_ref().map(reason).unwrap_or_default()];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let rest = format!("{}{}", label(target), parts.join("; "));
    let time = clock(&format_rfc3339_seconds(time).to_string());
    let line = row(&time, &figures, &rest);
    if columns.is_none_or(|columns| line.chars().count() <= columns) {
        return line;
    }
    let rest = wrapped(&rest, SECOND_INDENT, columns);
    format!("{}\n{:SECOND_INDENT$}{rest}", row(&time, &figures, ""), "")
}

/// Returns `unreachable TIME to TIME, 6 calls, tcp: connection refused`.
pub(super) fn outage(target: Option<&Target>, outage: &Outage, columns: Option<usize>) -> String {
    let Outage { from, to, calls, instances, failure, .. } = outage;
    let state = if outage.is_unreachable() { "unreachable" } else { "failing" };
    let from = time(*from);
    let window = to.map_or_else(|| format!("since {from}"), |to| format!("{from} to {}", time(to)));
    let (label, reason) = (label(target), reason(failure));
    let mut line = format!("{state} {window}, {}, {label}{reason}", plural(*calls, "call"));
    if !instances.is_empty() {
        line.push_str(&format!(" ({})", list(instances)));
    }
    wrapped(&line, OUTAGE_INDENT, columns)
}

/// Returns a paragraph for each target.
pub(super) fn summary(ping: &Ping<'_>, columns: Option<usize>) -> String {
    let mut text = String::new();
    for PingTarget { target, record, .. } in &ping.targets {
        let target = Escaped(&target.to_string()).to_string();
        let mut rows = vec![("target", target), ("calls", calls(ping, record))];
        let Record { latency, outages, instances, .. } = record;
        if !latency.is_empty() {
            let human = |micros| HumanDuration(Duration::from_micros(micros));
            let (p50, p99) = (human(latency.percentile(50.0)), human(latency.percentile(99.0)));
            rows.push(("latency", format!("p50 {p50}, p99 {p99}, max {}", human(latency.max()))));
        }
        rows.push((
            "outages",
            match outages.count {
                0 => "none".to_owned(),
                count => {
                    let (total, longest) =
                        (HumanDuration(outages.total), HumanDuration(outages.longest));
                    format!("{count}: {total} in all, longest {longest}")
                }
            },
        ));
        for (name, it) in instances {
            let (ok, failed) = (it.ok, it.failed);
            let (name, first, last) = (Escaped(name), time(it.first), time(it.last));
            rows.push(("instance", format!("{name}: {ok} ok, {failed} failed, {first} to {last}")));
        }
        for (name, value) in rows {
            let value = wrapped(&value, SUMMARY_INDENT, columns);
            text.push_str(&format!("\n{name:<SUMMARY_INDENT$}{value}"));
        }
        text.push('\n');
    }
    text.trim_end().to_owned()
}

/// Returns `294 ok, 6 failed in 30s`.
fn calls(ping: &Ping<'_>, record: &Record) -> String {
    let elapsed = HumanDuration(ping.elapsed);
    let mut text = format!("{} ok, {} failed in {elapsed}", record.ok(), record.failed);
    for (count, state) in [(record.in_flight(), "in flight"), (ping.not_started, "not started")] {
        if count > 0 {
            text.push_str(&format!(", {count} {state}"));
        }
    }
    text
}

/// Returns the first failure of each target that has one. If its outage is over, it comes with what an
/// error starts with, so that it does not look current.
pub(crate) fn failures<'a>(
    ping: &'a Ping<'_>,
) -> impl Iterator<Item = (&'a Target, &'a CallError, Option<String>)> {
    ping.targets.iter().filter_map(|PingTarget { target, record, .. }| {
        let first = record.first_failure.as_ref()?;
        let past = first.is_over.then(|| past_failures(record, first.started));
        Some((target, &first.error, past))
    })
}

/// Returns `6 of 300 calls failed, first at 10:02:11.854Z`.
fn past_failures(record: &Record, first: SystemTime) -> String {
    let calls = record.ok() + record.failed;
    format!("{} of {calls} calls failed, first at {}", record.failed, time(first))
}

fn row(time: &str, figures: &[String; 5], rest: &str) -> String {
    let [ok, failed, in_flight, p50, max] = figures;
    let row = format!("{time:<9} {ok:>6} {failed:>6} {in_flight:>9} {p50:>8} {max:>8}  {rest}");
    row.trim_end().to_owned()
}

/// Wraps a text at the width that is left, and indents all lines but the first.
fn wrapped(text: &str, indent: usize, columns: Option<usize>) -> String {
    let Some(columns) = columns else {
        return text.to_owned();
    };
    let lines = wrap(text, columns.saturating_sub(indent).max(MIN_COLUMNS));
    lines.join(&format!("\n{:indent$}", ""))
}

/// Returns `TARGET: `, or nothing if there is only one.
fn label(target: Option<&Target>) -> String {
    target.map(|target| format!("{}: ", Escaped(&target.to_string()))).unwrap_or_default()
}

/// Returns `blue 6, green 4`.
fn list(counts: &BTreeMap<String, u64>) -> String {
    let each = counts.iter().map(|(name, count)| format!("{} {count}", Escaped(name)));
    each.collect::<Vec<_>>().join(", ")
}

/// Returns the stage and the cause in short; the target is known.
fn reason(failure: &CallError) -> String {
    let cause = failure.cause();
    let after_address = cause.strip_prefix(CONNECT_PREFIX).and_then(|it| it.split_once(": "));
    let cause = after_address.map_or(cause.as_str(), |(_, problem)| problem);
    let reason = format!("{}: {cause}", failure.stage().name());
    Escaped(&truncated(&reason, MAX_REASON_CHARS)).to_string()
}

fn time(time: SystemTime) -> String {
    clock(&format_rfc3339_millis(time).to_string())
}

/// Returns the time of a date and time.
fn clock(rfc3339: &str) -> String {
    rfc3339.split_once('T').map_or(rfc3339, |(_, time)| time).to_owned()
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;
    use crate::error::{ConnectError, RpcError, StatusSource};

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(36_131_300 + millis)
    }

    fn refused() -> CallError {
        ConnectError::Refused { peer: "127.0.0.1:50051".to_owned() }.into()
    }

    fn of_server(message: &str) -> CallError {
        RpcError::new(StatusSource::Server, Status::internal(message)).into()
    }

    #[test]
    fn outage_is_one_line_of_at_most_80_columns() {
        let mut refusal = Outage::new(at(0), refused()).end(Some(at(600)));
        refusal.calls = 6;
        let line = outage(None, &refusal, Some(80));
        let expected =
            "unreachable 10:02:11.300Z to 10:02:11.900Z, 6 calls, tcp: connection refused";
        assert_eq!(line, expected);

        let target = "127.0.0.1:50051".parse().unwrap();
        let mut failing = Outage::new(at(0), of_server("as asked"));
        failing.calls = 1;
        failing.instances.insert("blue".to_owned(), 1);
        let line = "failing since 10:02:11.300Z, 1 call, http://127.0.0.1:50051: \
                    rpc: INTERNAL: as asked (blue 1)";
        assert_eq!(outage(Some(&target), &failing, None), line);
        let wrapped = outage(Some(&target), &failing, Some(60));
        assert_eq!(wrapped.replace("\n  ", " "), line);
        assert!(wrapped.lines().all(|line| line.len() <= 60), "{wrapped}");
    }

    #[test]
    fn second_is_one_line_if_that_fits() {
        let mut counts = Second { failed: 4, last_failure: Some(refused()), ..Second::default() };
        let shown = |counts: &Second, columns| second(at(0), None, counts, 1, columns);
        let line = "10:02:11Z      0      4         1        -        -  tcp: connection refused";
        assert_eq!(shown(&counts, Some(line.len())), line);
        counts.answered_by.insert("blue".to_owned(), 6);
        let lines = "10:02:11Z      0      4         1        -        -\n          \
                     blue 6; tcp: connection refused";
        assert_eq!(shown(&counts, Some(80)), lines);
        assert_eq!(shown(&counts, None).lines().count(), 1);
    }

    #[test]
    fn long_reason_is_truncated() {
        let chars = MAX_REASON_CHARS - "rpc: INTERNAL: ".len();
        let shown = |chars| reason(&of_server(&"x".repeat(chars)));
        assert!(shown(chars).ends_with('x'));
        assert!(shown(chars + 1).ends_with("x…"));
        assert_eq!(shown(chars + 1).chars().count(), MAX_REASON_CHARS + 1);
        assert_eq!(reason(&of_server("a\u{1b}[2J")), "rpc: INTERNAL: a\\u{1b}[2J");
    }
}
