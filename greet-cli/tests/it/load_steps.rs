//! `load` with a range of rates: which runs it makes, and what it concludes from them.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Mutex;
use tonic::Status;

use crate::support::{CommandOutput, Daemon, cli, command, scripted, spawn, unused_address};

/// Runs `greet-cli --output=json load` with short runs.
fn load(target: &str, flags: &[&str]) -> CommandOutput {
    cli(target, &[&["--output=json", "load", "--warm-up=0s", "--hold=1s"], flags].concat())
}

/// Starts a daemon that answers one call after the other, at most 100 per second.
fn daemon_of_100_per_second() -> Daemon {
    let turns = Arc::<Mutex<()>>::default();
    Daemon::with_handler(move |request| {
        let turns = Arc::clone(&turns);
        async move {
            let _turn = turns.lock().await;
            tokio::time::sleep(Duration::from_millis(10)).await; // the time that a call takes
            scripted(request).await
        }
    })
}

/// Returns a figure of each run.
fn of_steps(object: &Value, name: &str) -> Vec<Value> {
    object["steps"].as_array().unwrap().iter().map(|step| step[name].clone()).collect()
}

#[test]
fn rate_rises_until_it_is_not_sustained() {
    let daemon = daemon_of_100_per_second();
    // Two calls per second leave a slow machine much time, and 202 are above what the daemon can do.
    let flags = ["--rate=2..1002", "--step=200"];
    let ran = load(&daemon.target, &flags);
    let object = ran.object();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(of_steps(&object, "rate_per_s"), [2.0, 202.0], "{object}");
    assert_eq!(of_steps(&object, "is_sustained"), [true, false], "{object}");
    let achieved = object["steps"][1]["rps"].as_f64().unwrap();
    assert!((1.0..=105.0).contains(&achieved), "{object}");
    // A busy machine may delay greet-cli as well, which then does not name the server's capacity.
    let bottleneck = &object["steps"][1]["bottleneck"];
    let knee = if bottleneck.is_null() { json!(2.0) } else { Value::Null };
    assert_eq!(object["knee_rate_per_s"], knee, "{object}");
    assert_eq!((&object["find"], &object["rate_per_s"]), (&Value::Null, &json!(2.0)));
    assert_eq!(object["calls"]["sent"], 2, "the figures are those of the sustained run");

    let ran = cli(&daemon.target, &[&["load", "--warm-up=0s", "--hold=1s"], &flags[..]].concat());
    let rows: Vec<_> = ran.stdout.lines().take_while(|line| !line.is_empty()).collect();
    assert!(rows[1].starts_with("      2/s ") && rows[2].starts_with("    202/s "), "{ran:?}");
    assert!(rows[1].ends_with(" yes") && rows[2].ends_with(" no"), "{ran:?}");
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 80), "{ran:?}");
    let conclusion = ran.stdout.split("\n\n").last().unwrap();
    assert!(
        conclusion.starts_with("capacity 2/s; 202/s was not sustained: ")
            || conclusion
                .starts_with("capacity at least 2/s; at 202/s greet-cli may have been the limit"),
        "{ran:?}"
    );
}

#[test]
fn range_whose_rates_are_all_sustained_has_no_knee() {
    let daemon = Daemon::start(&[]);
    let object = load(&daemon.target, &["--rate=1..2", "--step=0.4"]).object();
    assert_eq!(of_steps(&object, "rate_per_s"), [1.0, 1.4, 1.8, 2.0], "{object}");
    assert_eq!(object["knee_rate_per_s"], Value::Null, "{object}");
    assert_eq!(object["rate_per_s"], 2.0);
    let ran =
        cli(&daemon.target, &["load", "--rate=1..2", "--hold=1s", "--warm-up=0s", "--step=1"]);
    assert!(
        ran.stdout.ends_with("\n\ncapacity at least 2/s; every step was sustained\n"),
        "{ran:?}"
    );
}

/// Starts a daemon that fails the calls after the first `limit`.
fn daemon_that_fails_after(limit: u64) -> Daemon {
    let calls = Arc::<AtomicU64>::default();
    Daemon::with_handler(move |request| {
        let is_over = calls.fetch_add(1, Ordering::Relaxed) >= limit;
        async move {
            if is_over {
                Err(Status::resource_exhausted("enough"))
            } else {
                scripted(request).await
            }
        }
    })
}

#[test]
fn failed_calls_end_a_range_and_are_reported() {
    let daemon = daemon_that_fails_after(3);
    // One call and two are within the limit.
    let ran = load(&daemon.target, &["--rate=1..9", "--step=1", "--threads=1"]);
    let object = ran.object();
    assert_eq!(of_steps(&object, "is_sustained"), [true, true, false], "{object}");
    assert_eq!((&object["steps"][2]["failed"], &object["calls"]["failed"]), (&json!(3), &json!(0)));
    assert_eq!(object["error"]["cause"], "RESOURCE_EXHAUSTED: enough", "{object}");
    let ran = cli(&daemon.target, &["load", "--rate=1..9", "--hold=1s", "--warm-up=0s"]);
    assert_eq!(ran.code, Some(64 + 8), "no call succeeded: {ran:?}");
    assert!(
        ran.stdout.contains("\n\ncapacity below 1/s, which was not sustained: 100.00% of the "),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("RESOURCE_EXHAUSTED: enough"), "{ran:?}");
    let flags = ["--rate=1..9", "--fail-if=rps<1000", "--fail-if=p99>1h"];
    let judged = load(&daemon.target, &flags).object();
    let measured = "no rate was sustained";
    for threshold in judged["thresholds"].as_array().unwrap() {
        let verdict = (&threshold["verdict"], &threshold["measured"]);
        assert_eq!(verdict, (&json!("violated"), &json!(measured)), "{judged}");
    }
}

#[test]
fn row_of_each_run_is_printed_when_it_ends() {
    let (daemon, calls) = Daemon::with_received_texts(&[]);
    let load = ["load", "--warm-up=0s", "--hold=1s", "--rate=2..4", "--step=1"];
    let mut running = spawn(command(&[&["--target", &daemon.target], &load[..]].concat()));
    assert!(running.read_line().starts_with("     rate  achieved "));
    assert!(running.read_line().starts_with("      2/s "));
    assert!(calls.try_iter().count() < 9, "the last run has not ended");
    let ran = running.finish();
    let rows: Vec<_> = ran.stdout.lines().take_while(|line| !line.is_empty()).collect();
    assert!(rows[0].starts_with("      3/s ") && rows[1].starts_with("      4/s "), "{ran:?}");
}

#[test]
fn server_that_dies_in_a_range_is_the_limit() {
    let (mut daemon, calls) = Daemon::with_received_texts(&[]);
    let target = daemon.target.clone();
    let flags = ["--rate=100..1000", "--step=100", "--retries=0"];
    let loading = std::thread::spawn(move || load(&target, &flags));
    calls.iter().nth(150).unwrap(); // in the second run
    daemon.drain();
    let ran = loading.join().unwrap();
    let object = ran.object();
    let last = object["steps"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["is_sustained"], &last["bottleneck"]), (&json!(false), &Value::Null));
    assert!(last["rate_per_s"] != 100.0 && object["knee_rate_per_s"].is_number(), "{object}");
    assert_eq!(object["error"]["stage"], "tcp", "{object}");
    let refused = object["connect_failures"][0]["failures"].as_u64();
    assert!(refused > Some(0), "{object}");
}

#[test]
fn highest_rate_is_found_and_confirmed() {
    let daemon = daemon_of_100_per_second();
    let ran = load(&daemon.target, &["--rate=2..1002", "--step=200", "--find=p50<1h"]);
    let object = ran.object();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let rates = of_steps(&object, "rate_per_s");
    let runs = rates.len();
    assert_eq!(
        object["find"],
        json!({ "rule": "p50<1h", "rate_per_s": 2.0, "confirmed": true, "runs": runs })
    );
    // A run of 202 calls per second is repeated if greet-cli may be the reason that it failed.
    let of = |rate: f64| rates.iter().filter(|it| **it == rate).count();
    assert_eq!((of(2.0), of(2.0) + of(202.0)), (2, runs), "{object}");
    assert_eq!(object["rate_per_s"], 2.0);

    let ran = cli(
        &daemon.target,
        &["load", "--warm-up=0s", "--hold=1s", "--rate=1..2", "--step=1", "--find=p50<1h"],
    );
    let found = ran.stdout.split("\n\n").last().unwrap();
    assert!(found.starts_with("found at least 2/s: p50 "), "{ran:?}");
    assert!(found.ends_with(" (3 runs); this is the end of the range\n"), "{ran:?}");
}

#[test]
fn search_without_result_exits_with_5() {
    let daemon = Daemon::start(&[]);
    let flags = ["--rate=1..100", "--find=p50<1us"];
    let ran = load(&daemon.target, &flags);
    let object = ran.object();
    assert_eq!((ran.code, &object["ok"]), (Some(5), &json!(false)), "{ran:?}");
    assert_eq!(
        (&object["find"]["rate_per_s"], &object["find"]["confirmed"]),
        (&Value::Null, &json!(false))
    );
    assert_eq!(of_steps(&object, "rate_per_s"), [1.0], "{object}");
    assert_eq!(of_steps(&object, "is_sustained"), [true], "{object}");
    assert!(object["steps"][0]["shortfall"].as_str().unwrap().starts_with("p50 "), "{object}");
    let line = "greet-cli: --find: no rate from 1/s to 100/s satisfies 'p50<1us'";
    assert!(
        ran.stderr.starts_with(line) && ran.stderr.contains(" in 1 run: at 1/s p50 "),
        "{ran:?}"
    );
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
}

#[test]
fn rate_at_which_a_call_fails_is_not_found() {
    // One call and two are within the limit. All later ones fail, in the second run at two too.
    let daemon = daemon_that_fails_after(3);
    let flags = ["--threads=1", "--rate=1..9", "--step=1", "--find=max<1h"];
    let ran = load(&daemon.target, &flags);
    let object = ran.object();
    assert_eq!(of_steps(&object, "failed")[..3], [0, 0, 3], "{object}");
    assert_eq!(of_steps(&object, "rate_per_s"), [1.0, 2.0, 3.0, 2.0, 1.0], "{object}");
    assert_eq!((ran.code, &object["find"]["confirmed"]), (Some(5), &json!(false)), "{ran:?}");
    let reason = " in 5 runs: at 1/s 100.00% of the calls failed\n";
    assert!(ran.stderr.contains(reason), "{ran:?}");
}

#[test]
fn overloaded_generator_is_not_capacity_of_server() {
    let daemon = Daemon::start(&[]);
    // No machine makes as many calls in one thread.
    let flags =
        ["load", "--rate=10000000..20000000", "--threads=1", "--hold=200ms", "--warm-up=0s"];
    let ran = cli(&daemon.target, &[&["--output=json"], &flags[..]].concat());
    let object = ran.object();
    assert_eq!(of_steps(&object, "is_sustained"), [false], "{object}");
    assert!(object["steps"][0]["bottleneck"].is_string(), "{object}");
    assert_eq!(object["knee_rate_per_s"], Value::Null, "{object}");
    assert!(ran.stderr.starts_with("greet-cli: at 10000000/s "), "{ran:?}");
    assert!(ran.stderr.contains("; greet-cli may be the limit\n"), "{ran:?}");
    let ran = cli(&daemon.target, &flags);
    let conclusion = "\n\ncapacity unknown; at 10000000/s greet-cli may have been the limit: ";
    assert!(ran.stdout.contains(conclusion), "{ran:?}");
}

#[test]
fn connections_stay_open_between_runs() {
    let daemon = Daemon::start(&["--admin-listen=127.0.0.1:0"]);
    let object =
        load(&daemon.target, &["--rate=1..3", "--step=1", "--connections=2", "--threads=1"])
            .object();
    assert_eq!(of_steps(&object, "rate_per_s").len(), 3);
    let admin = daemon.admin.as_deref().unwrap().trim_start_matches("http://");
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let metrics = io::read_to_string(stream).unwrap();
    assert!(metrics.contains("\ngreet_connections_accepted_total 2\n"), "{metrics}");
}

#[cfg(unix)]
#[test]
fn interrupted_range_reports_its_complete_runs() {
    use std::os::unix::process::ExitStatusExt as _;

    let (daemon, calls) = Daemon::with_received_texts(&[]);
    let interrupted = |flags: &[&str]| {
        let target = ["--target", &daemon.target];
        let load = ["load", "--warm-up=0s", "--hold=1s", "--rate=2..99", "--step=2"];
        let running = spawn(command(&[&target, &load[..], flags].concat()));
        calls.iter().nth(2).unwrap(); // two in the first run, then one of the second
        running.send_signal(rustix::process::Signal::INT);
        let ran = running.finish();
        assert_eq!((ran.status.signal(), ran.stderr.as_str()), (Some(2), ""), "{ran:?}");
        calls.try_iter().for_each(drop);
        ran
    };
    let object = interrupted(&["--output=json"]).object();
    let rates = of_steps(&object, "rate_per_s");
    assert!(rates[0] == 2.0 && rates.len() < 49, "{object}");
    assert_eq!(object["interrupted"], true);

    let conclusion = |ran: &CommandOutput| ran.stdout.split("\n\n").last().unwrap().to_owned();
    let ran = interrupted(&[]);
    let text = conclusion(&ran);
    assert!(
        text.starts_with("capacity at least ") && text.ends_with("/s; interrupted\n"),
        "{ran:?}"
    );
    let ran = interrupted(&["--find=max<1h"]);
    let text = conclusion(&ran);
    assert!(
        text.starts_with("found 2/s so far: max ") && text.ends_with("; interrupted\n"),
        "{ran:?}"
    );
}

#[cfg(unix)]
#[test]
fn interrupt_between_runs_ends_the_range() {
    use std::os::unix::process::ExitStatusExt as _;

    let daemon = Daemon::start(&[]);
    let load = ["load", "--warm-up=0s", "--hold=200ms", "--rate=1..2", "--step=0.01"];
    let mut running = spawn(command(&[&["--target", &daemon.target], &load[..]].concat()));
    assert!(running.read_line().starts_with("     rate "));
    assert!(running.read_line().starts_with("      1/s "));
    running.send_signal(rustix::process::Signal::INT);
    let ran = running.finish();
    assert_eq!((ran.status.signal(), ran.stderr.as_str()), (Some(2), ""), "{ran:?}");
    assert!(ran.stdout.ends_with("; interrupted\n"), "{ran:?}");
}

#[test]
fn flags_of_a_range_need_one_and_exclude_others() {
    for (flags, error) in [
        (&["--step=5"][..], "--step: needs a range of rates such as --rate 1000..20000"),
        (&["--rate=5", "--hold=1s"], "--hold: needs a range of rates such as --rate 1000..20000"),
        (
            &["--rate=5", "--find=p99<1s"],
            "--find: needs a range of rates such as --rate 1000..20000",
        ),
        (&["--rate=1..5", "--count=5"], "--count: cannot be used with a range of rates"),
        (
            &["--rate=1..5", "--duration=5s"],
            "--duration: each run of a range of rates takes --hold",
        ),
        (&["--rate=5..5"], "--rate: \"5..5\" is not a range of rates such as 1000..20000"),
        (&["--rate=5000..1000"], "--rate: \"5000..1000\": 5000 is above 1000"),
        (&["--rate=1..100000000", "--step=0.001"], "--step: the range has more than 1000 rates"),
        (&["--rate=1..1001", "--step=1"], "--step: the range has more than 1000 rates"),
        (
            &["--rate=1..5", "--find=p99>1s"],
            "--find: \"p99>1s\" is not a rule that is true at low rates such as p99<20ms or max<=1s",
        ),
    ] {
        let ran = cli(&unused_address(), &[&["load"], flags].concat());
        ran.assert("", &format!("greet-cli: {error}\n"), 2);
    }
    for rule in ["p99<20", "p101<20ms", "99<20ms"] {
        let find = format!("--find={rule}");
        let ran = cli(&unused_address(), &["load", "--rate=1..5", &find]);
        let line = format!("greet-cli: --find: {rule:?} is not a rule such as p99>20ms, ");
        assert!(ran.stderr.starts_with(&line), "{ran:?}");
    }
    let ran = cli(&unused_address(), &["load", "--rate=1..1000", "--step=1"]);
    assert_eq!(ran.code, Some(3), "1000 rates are valid: {ran:?}");
}
