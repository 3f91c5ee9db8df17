//! `ping`: its outages, figures and exit codes against servers that stop, return or hang.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::fake_server::{allow_streams, answer_each, sample_reply, serve_each};
use crate::support::host_name::HostName;
use crate::support::{
    CommandOutput, Daemon, Running, cli, closed_pipe, command, parse_object, run, spawn,
    unused_address,
};

/// The request that the scripted daemon never answers.
const HANG: &str = "--json={\"name\":\"hang\"}";

/// Runs `greet-cli --output=json ping`.
fn ping(target: &str, flags: &[&str]) -> CommandOutput {
    cli(target, &[&["--output=json", "ping"], flags].concat())
}

/// Starts `greet-cli --output=json ping`.
fn start(target: &str, flags: &[&str]) -> Running {
    spawn(command(&[&["--target", target, "--output=json", "ping"], flags].concat()))
}

/// Reads up to the next object of this kind that is wanted.
#[track_caller]
fn next(ping: &mut Running, kind: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let object = parse_object(&ping.read_line());
        if object["kind"] == kind && is_wanted(&object) {
            return object;
        }
    }
}

/// Returns the objects of this kind in the output.
fn of_kind(ran: &CommandOutput, kind: &str) -> Vec<Value> {
    ran.objects().into_iter().filter(|object| object["kind"] == kind).collect()
}

/// Returns the last object in the output.
#[track_caller]
fn summary(ran: &CommandOutput) -> Value {
    let last = ran.objects().pop().unwrap();
    assert_eq!(last["kind"], "summary", "{ran:?}");
    last
}

fn number(object: &Value, pointer: &str) -> u64 {
    object.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer}: {object}"))
}

#[test]
fn steady_server_has_no_outage() {
    let daemon = Daemon::start(&["--instance=blue"]);
    for flags in [&["--count=12"][..], &["--duration=1150ms"], &["--count=12", "Health/Check"]] {
        let ran = ping(&daemon.target, flags);
        assert_eq!((ran.stderr.as_str(), ran.code), ("", Some(0)), "{flags:?}");
        let summary = summary(&ran);
        let target = &summary["targets"][0];
        let ok = number(target, "/calls/ok");
        assert_eq!((ok, number(&summary, "/not_started")), (12, 0), "{summary}");
        assert_eq!((&summary["ok"], number(target, "/calls/failed")), (&json!(true), 0));
        assert_eq!(number(target, "/outages/count"), 0);
        assert_eq!(number(target, "/instances/blue/ok"), ok);
        assert!(number(&summary, "/elapsed_us") >= 1_100_000, "one call per 100 ms: {summary}");
        let intervals = of_kind(&ran, "interval");
        assert!(intervals.len() >= 2, "one per second: {ran:?}");
        let sum: u64 = intervals.iter().map(|it| number(it, "/answered_by/blue")).sum();
        assert_eq!(sum, ok, "{ran:?}");
    }
}

#[test]
fn late_calls_start() {
    let daemon = Daemon::start(&[]);
    let ran = ping(&daemon.target, &["--interval=1ms", "--count=500"]);
    let summary = summary(&ran);
    assert_eq!(number(&summary, "/targets/0/calls/ok"), 500, "{summary}");
    assert_eq!(number(&summary, "/not_started"), 0, "{summary}");
}

#[test]
fn text_has_a_line_per_second_and_a_summary() {
    let daemon = Daemon::start(&["--instance=blue"]);
    let ran = cli(&daemon.target, &["ping", "--count=3"]);
    assert_eq!((ran.stderr.as_str(), ran.code), ("", Some(0)));
    let lines: Vec<_> = ran.stdout.lines().collect();
    let [head, second, "", target, calls, latency, outages, instance] = &lines[..] else {
        panic!("{ran:?}");
    };
    assert_eq!(*head, "until         ok failed in flight      p50      max  answered by");
    let words: Vec<_> = second.split_whitespace().collect();
    assert!(words[0].ends_with('Z') && words[0].len() == "10:02:11Z".len(), "{ran:?}");
    assert_eq!((&words[2..4], words[6]), (&["0", "0"][..], "blue"));
    assert_eq!(*target, format!("target    {}", daemon.target));
    assert!(calls.starts_with("calls     ") && calls.contains(" ok, 0 failed in "), "{ran:?}");
    assert!(latency.starts_with("latency   p50 "), "{ran:?}");
    assert_eq!(*outages, "outages   none");
    assert!(instance.starts_with("instance  blue: ") && instance.ends_with('Z'), "{ran:?}");
}

#[test]
fn refusing_server_is_unreachable_to_the_end() {
    let address = unused_address();
    let two = ["ping", "--count=2", "--interval=500ms"];
    let ran = cli(&address, &two);
    let stderr = format!(
        "greet-cli: tcp: could not connect to {address}: connection refused\n\n\
         hint: start the server, wait for it with --wait, or correct --target\n"
    );
    assert_eq!((ran.stderr.as_str(), ran.code), (stderr.as_str(), Some(3)));
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert!(lines[1].ends_with("  tcp: connection refused"), "{ran:?}");
    assert!(lines[2].starts_with("unreachable since "), "{ran:?}");
    assert!(lines[2].ends_with(", 2 calls, tcp: connection refused"), "{ran:?}");

    let ran = ping(&address, &two[1..]);
    assert_eq!((ran.stderr.as_str(), ran.code), ("", Some(3)), "JSON has the failure");
    let (outages, summary) = (of_kind(&ran, "outage"), summary(&ran));
    assert_eq!((outages.len(), &outages[0]["to"]), (1, &json!(null)), "{ran:?}");
    assert_eq!(outages[0]["error"], summary["error"]);
    assert_eq!((&summary["ok"], &summary["error"]["stage"]), (&json!(false), &json!("tcp")));
}

#[cfg(unix)]
#[test]
fn stopped_and_restarted_server_is_one_outage() {
    use std::os::unix::process::ExitStatusExt as _;

    let blue = Daemon::start(&["--instance=blue"]);
    let address = blue.address().to_owned();
    let mut ping = start(&address, &["--interval=20ms"]);
    next(&mut ping, "interval", |it| it["answered_by"]["blue"].is_u64());
    blue.stop();
    let failing = next(&mut ping, "interval", |it| number(it, "/calls/failed") > 0);
    assert_eq!(failing["error"]["stage"], "tcp");
    let _green = Daemon::start(&["--instance=green", "--listen", &address]);
    let outage = next(&mut ping, "outage", |_| true);
    next(&mut ping, "interval", |it| it["answered_by"]["green"].is_u64());
    ping.send_signal(rustix::process::Signal::INT);
    let ran = ping.finish();
    assert_eq!((ran.stderr.as_str(), ran.status.signal()), ("", Some(2)));

    let summary = summary(&ran);
    let target = &summary["targets"][0];
    let calls = number(&outage, "/calls");
    assert_eq!((number(target, "/calls/failed"), number(target, "/outages/count")), (calls, 1));
    let cause = outage["error"]["cause"].as_str().unwrap();
    assert!(cause.ends_with(": connection refused"), "{outage}");
    // From the first failed call to the first that was answered: one interval for each failed call,
    // unless one of these two was late.
    let (took, late) = (number(&outage, "/duration_us"), 1_000_000);
    assert_eq!(number(&summary, "/not_started"), 0, "{summary}");
    assert!(took + late >= calls * 20_000, "{outage}");
    assert!(took <= calls * 20_000 + late, "{outage}");
    assert!(outage["from"].as_str() < outage["to"].as_str(), "{outage}");
    let [blue, green] = ["blue", "green"].map(|name| &target["instances"][name]);
    assert!(blue["last"].as_str() < outage["from"].as_str(), "{summary}");
    assert_eq!(green["first"], outage["to"]);
    assert_eq!((&summary["ok"], &summary["interrupted"]), (&json!(false), &json!(true)));
}

#[cfg(unix)]
#[test]
fn outage_that_is_over_gets_no_hint() {
    use std::os::unix::process::ExitStatusExt as _;

    let address = unused_address();
    let mut ping = spawn(command(&["--target", &address, "ping", "--interval=20ms"]));
    while !ping.read_line().contains("connection refused") {}
    let _daemon = Daemon::start(&["--instance=blue", "--listen", &address]);
    while !ping.read_line().contains("  blue ") {}
    ping.send_signal(rustix::process::Signal::INT);
    let ran = ping.finish();
    assert_eq!(ran.status.signal(), Some(2));
    let (before, first) = ran.stderr.split_once(" calls failed, first at ").unwrap();
    assert!(before.starts_with("greet-cli: ") && before.contains(" of "), "{ran:?}");
    let cause = format!("Z: tcp: could not connect to {address}: connection refused\n");
    assert_eq!(first["10:02:11.854".len()..], cause, "without a hint: {ran:?}");
}

#[test]
fn each_target_has_its_own_outages() {
    let (blue, green) = (Daemon::start(&["--instance=blue"]), Daemon::start(&["--instance=green"]));
    let stopped = blue.target.clone();
    let targets = format!("{stopped},{}", green.target);
    let mut ping = start(&targets, &["--interval=20ms", "--duration=3s"]);
    next(&mut ping, "interval", |it| it["answered_by"]["green"].is_u64());
    blue.stop();
    let ran = ping.finish();
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let outages = of_kind(&ran, "outage");
    assert_eq!((outages.len(), &outages[0]["to"]), (1, &json!(null)), "{ran:?}");
    assert_eq!(outages[0]["target"], stopped);
    let summary = summary(&ran);
    let [blue, green] = [0, 1].map(|index| &summary["targets"][index]);
    assert_eq!((number(blue, "/outages/count"), number(green, "/outages/count")), (1, 0));
    assert_eq!(number(green, "/calls/failed"), 0, "{summary}");
    let calls = ["ok", "failed"].map(|it| number(blue, &format!("/calls/{it}")));
    assert_eq!(calls[0] + calls[1], number(green, "/calls/ok"), "as many calls to each");
}

/// As in a rollout behind a headless service: the name gets the address of the new server.
#[cfg(unix)]
#[test]
fn address_that_leaves_a_name_is_no_outage() {
    let Some((mut name, [old, other, new])) =
        HostName::new(["127.0.0.1", "127.0.0.2", "127.0.0.3"])
    else {
        return;
    };
    let port = name.free_port();
    let daemon = |address| Daemon::start(&[&format!("--listen={address}:{port}")]);
    let (old_daemon, other_daemon, _new_daemon) = (daemon(old), daemon(other), daemon(new));
    name.set_addresses(&[old, other]);
    let target = name.target("dns", port);
    let flags = ["--target", &target, "--output=json", "ping", "--interval=20ms"];
    let mut ping = spawn(name.command(&flags));
    let answered = |it: &Value, by| it["answered_by"].get(format!("{by}:{port}")).is_some();
    let both = |it: &Value| answered(it, old) && answered(it, other);
    next(&mut ping, "interval", both);
    old_daemon.stop();
    next(&mut ping, "interval", |it| !answered(it, old));
    name.set_addresses(&[new]);
    other_daemon.stop();
    next(&mut ping, "interval", |it| answered(it, new));
    ping.send_signal(rustix::process::Signal::INT);
    let ran = ping.finish();
    let line = format!(
        "greet-cli: {target}: tcp: could not connect to {old}:{port}: connection refused\n"
    );
    assert_eq!(ran.stderr, line);
    assert_eq!(number(&summary(&ran), "/targets/0/calls/failed"), 0, "{ran:?}");
}

#[test]
fn call_that_hangs_delays_no_other() {
    let daemon = Daemon::scripted();
    let ran = ping(&daemon.target, &[HANG, "--timeout=2s", "--count=5"]);
    assert_eq!(ran.code, Some(64 + 4), "{ran:?}");
    let outages = of_kind(&ran, "outage");
    assert_eq!(outages.len(), 1, "{ran:?}");
    let summary = summary(&ran);
    let calls = number(&outages[0], "/calls");
    assert_eq!((calls, number(&summary, "/not_started")), (5, 0), "{summary}");
    // One after the other would take ten seconds.
    assert!(number(&summary, "/elapsed_us") < 8_000_000, "{summary}");
    assert_eq!(number(&of_kind(&ran, "interval")[0], "/calls/in_flight"), calls);
    let cause = summary["error"]["cause"].as_str().unwrap();
    assert!(cause.starts_with("DEADLINE_EXCEEDED: "), "{summary}");
}

/// A machine that fails closes no connection.
#[test]
fn call_without_reply_in_time_replaces_connection() {
    let silent = allow_streams(100);
    let answers = answer_each(vec![sample_reply(); 100]);
    let address = serve_each([Box::new(silent), Box::new(answers)]);
    let ran = ping(&address, &["--timeout=300ms", "--interval=50ms", "--count=20"]);
    assert_eq!(ran.code, Some(64 + 4), "{ran:?}");
    let summary = summary(&ran);
    let target = &summary["targets"][0];
    assert_eq!(number(target, "/outages/count"), 1, "{summary}");
    assert!(number(target, "/calls/ok") > 0, "{summary}");
    assert!(of_kind(&ran, "outage")[0]["to"].is_string(), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn interrupted_ping_prints_summary_at_once() {
    use std::os::unix::process::ExitStatusExt as _;

    let (daemon, calls) = Daemon::with_received_texts(&[]);
    let ping = start(&daemon.target, &[HANG, "--timeout=1m", "--count=1000"]);
    calls.iter().nth(2).unwrap();
    let interrupted = Instant::now();
    ping.send_signal(rustix::process::Signal::INT);
    let ran = ping.finish();
    assert!(interrupted.elapsed() < Duration::from_secs(20), "{ran:?}");
    assert_eq!((ran.stderr.as_str(), ran.status.signal()), ("", Some(2)));
    let summary = summary(&ran);
    assert_eq!((&summary["ok"], &summary["interrupted"]), (&json!(false), &json!(true)));
    assert!(number(&summary, "/targets/0/calls/in_flight") >= 3, "{summary}");
    assert_eq!(number(&summary, "/targets/0/outages/count"), 0);
}

/// A laptop sleeps, or a user stops the job.
#[cfg(unix)]
#[test]
fn suspension_of_ping_is_no_outage() {
    let (daemon, calls) = Daemon::with_received_texts(&[]);
    let mut ping = start(&daemon.target, &["--interval=20ms"]);
    next(&mut ping, "interval", |_| true);
    ping.send_signal(rustix::process::Signal::STOP);
    while calls.recv_timeout(Duration::from_secs(2)).is_ok() {}
    ping.send_signal(rustix::process::Signal::CONT);
    calls.recv().unwrap();
    ping.send_signal(rustix::process::Signal::INT);
    let summary = summary(&ping.finish());
    assert!(number(&summary, "/not_started") >= 40, "{summary}");
    assert_eq!(number(&summary, "/targets/0/calls/failed"), 0, "{summary}");
}

#[test]
fn status_of_server_is_failing_and_names_instance() {
    let daemon = Daemon::scripted();
    let ran = cli(&daemon.target, &["ping", "--json={\"name\":\"14\"}", "--count=1"]);
    assert_eq!(ran.code, Some(64 + 14));
    let outage = ran.stdout.lines().nth(2).unwrap();
    assert!(outage.starts_with("failing since "), "{ran:?}");
    let suffix = format!(", 1 call, rpc: UNAVAILABLE: as asked ({} 1)", daemon.address());
    assert!(outage.ends_with(&suffix), "{ran:?}");
}

#[test]
fn lines_fit_80_columns() {
    let instance = format!("--instance={}", "x".repeat(24));
    let (daemon, dead) = (Daemon::start(&[&instance]), unused_address());
    let targets = format!("{},{dead}", daemon.target);
    let mut terminal = command(&["--target", &targets, "ping", "--count=12"]);
    terminal.env("COLUMNS", "80");
    let ran = run(terminal);
    assert_eq!(ran.code, Some(3));
    assert!(ran.stdout.contains("unreachable since "), "{ran:?}");
    for line in ran.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line:?} in {ran:?}");
    }
    let ran = cli(&targets, &["ping", "--count=1"]);
    let outage = format!(", 1 call, http://{dead}: tcp: connection refused");
    assert!(ran.stdout.lines().any(|line| line.ends_with(&outage)), "one line: {ran:?}");
}

#[test]
fn closed_stdout_ends_ping() {
    let daemon = Daemon::start(&[]);
    for (target, code) in [(daemon.target.as_str(), 0), (&unused_address(), 3)] {
        let mut command = command(&["--target", target, "--output=json", "ping"]);
        command.stdout(closed_pipe());
        assert_eq!(run(command).code, Some(code));
    }
}

#[test]
fn wait_precedes_first_call() {
    let address = unused_address();
    let mut ping = start(&address, &["--wait=20s", "--count=1"]);
    let line = ping.read_stderr_line();
    assert!(line.starts_with(&format!("greet-cli: waiting for http://{address}: ")), "{line}");
    let _daemon = Daemon::start(&["--listen", &address]);
    let ran = ping.finish();
    assert_eq!((ran.code, &summary(&ran)["ok"]), (Some(0), &json!(true)), "{ran:?}");
}

#[test]
fn interval_is_limited() {
    let daemon = Daemon::start(&[]);
    let rejected = |flags: &[&str], reason: &str| {
        let ran = cli(&daemon.target, &[&["ping", "--count=1"], flags].concat());
        let stderr = format!("greet-cli: --interval: {reason}\n");
        assert_eq!((ran.stderr.as_str(), ran.code), (stderr.as_str(), Some(2)));
    };
    let accepted = |flags: &[&str]| {
        assert_eq!(ping(&daemon.target, &[&["--count=1"], flags].concat()).code, Some(0));
    };
    accepted(&["--interval=1ms"]);
    rejected(&["--interval=999us"], "999us is not at least 1ms");
    rejected(&["--interval", "-1s"], "\"-1s\" is not a duration such as 250ms, 5s or 1m");
    accepted(&["--interval=1ms", "--timeout=10s"]);
    rejected(
        &["--interval=1ms", "--timeout=10s 1ms"],
        "1ms and a --timeout of 10s 1ms are up to 10001 calls in flight; the limit is 10000",
    );
    let ran = cli(&daemon.target, &["ping", "--count=1", "--duration=1s"]);
    assert!(ran.stderr.contains("cannot be used with"), "{ran:?}");
    assert_eq!(ran.code, Some(2));
}
