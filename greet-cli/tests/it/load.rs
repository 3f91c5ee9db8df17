//! `load`: its figures against servers with known delays, its thresholds and its exit codes.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::sample::flag;
use crate::support::{CommandOutput, Daemon, cli, command, run, scripted, spawn, unused_address};

/// Runs `greet-cli --output=json load`.
fn load(target: &str, flags: &[&str]) -> CommandOutput {
    cli(target, &[&["--output=json", "load", "--threads=2"], flags].concat())
}

fn number(object: &Value, pointer: &str) -> u64 {
    object.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer}: {object}"))
}

#[test]
fn count_makes_exactly_that_many_calls() {
    let daemon = Daemon::start(&[]);
    for flags in [&["--count=1"][..], &["--count=501"], &["--count=300", "--rate=5000"]] {
        let ran = load(&daemon.target, flags);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let object = ran.object();
        let count: u64 = flags[0].strip_prefix("--count=").unwrap().parse().unwrap();
        assert_eq!(number(&object, "/calls/sent"), count);
        assert_eq!(object["calls"]["by_status"], json!({ "OK": count }));
        let sum = |of: &str, what: &str| {
            let all = object[of].as_array().unwrap();
            all.iter().map(|one| one[what].as_u64().unwrap()).sum::<u64>()
        };
        assert_eq!(sum("histogram", "calls"), count);
        assert_eq!(sum("intervals", "ok"), count);
        assert!(number(&object, "/bytes/sent") >= 20 * count, "{object}");
        assert!(number(&object, "/bytes/received") >= 20 * count, "{object}");
    }
}

/// Starts a daemon that replies after `delay`. Calls that arrive during `stall`, a range of time
/// since the first call, are answered at its end. The flag is set by the first such call.
fn slow_daemon(delay: Duration, stall: Range<Duration>) -> (Daemon, Arc<AtomicBool>) {
    let stalled = Arc::<AtomicBool>::default();
    let flag = Arc::clone(&stalled);
    let first_call = Arc::<OnceLock<Instant>>::default();
    let daemon = Daemon::with_handler(move |request| {
        let elapsed = first_call.get_or_init(Instant::now).elapsed();
        let is_stalled = stall.contains(&elapsed);
        flag.fetch_or(is_stalled, Ordering::Relaxed);
        let pause = if is_stalled { stall.end - elapsed } else { delay };
        async move {
            tokio::time::sleep(pause).await;
            scripted(request).await
        }
    });
    (daemon, stalled)
}

#[test]
fn known_delay_is_measured() {
    // Long beside what a busy machine adds.
    let (daemon, _) = slow_daemon(Duration::from_secs(1), Range::default());
    for flags in [&["--concurrency=50"][..], &["--rate=200"]] {
        let object = load(&daemon.target, &[&["--count=100"], flags].concat()).object();
        let latency = &object["latency_us"];
        assert!(latency["min"].as_u64().unwrap() >= 1_000_000, "{latency}");
        assert!(latency["p50"].as_u64().unwrap() < 2_000_000, "{latency}");
    }
}

#[test]
fn wait_for_free_caller_is_lateness_and_not_lag() {
    let (daemon, _) = slow_daemon(Duration::from_millis(100), Range::default());
    let flags = ["--rate=100", "--concurrency=1", "--count=20"];
    let object = load(&daemon.target, &flags).object();
    // The last call is due after 190 ms, and starts after 19 others that take 100 ms each.
    assert!(number(&object, "/lateness_us/max") >= 1_700_000, "{object}");
    assert!(number(&object, "/lateness_us/p50") >= 700_000, "{object}");
    let lag = number(&object, "/generator/lag_max_us");
    assert!(lag < number(&object, "/lateness_us/p50"), "calls were due in time: {object}");
    assert!(number(&object, "/latency_us/max") >= 1_800_000, "{object}");
    let closed = load(&daemon.target, &["--count=1"]).object();
    assert_eq!((&closed["lateness_us"], &closed["arrivals"]), (&Value::Null, &Value::Null));
}

#[test]
fn calls_of_warm_up_are_not_part_of_count() {
    // A thread without a measured call of its own takes part in the warm-up too.
    for (count, flags) in
        [(10, &["--concurrency=2"][..]), (10, &["--rate=50"]), (1, &["--rate=50"])]
    {
        let (daemon, calls) = Daemon::with_received_texts(&[]);
        let of_count = format!("--count={count}");
        let flags = [&[&of_count, "--warm-up=500ms"], flags].concat();
        let object = load(&daemon.target, &flags).object();
        drop(daemon); // and the sender of its calls
        let received = calls.iter().count();
        assert_eq!(number(&object, "/calls/sent"), count, "{object}");
        assert_eq!(number(&object, "/calls/not_started"), 0, "{object}");
        assert!(received >= 20, "{received} calls, {flags:?}");
    }
}

#[test]
fn poisson_arrivals_have_rate_and_repeat() {
    let (daemon, calls) = Daemon::with_received_texts(&[]);
    let flags = ["--rate=200", "--arrivals=poisson", "--count=100"];
    let object = load(&daemon.target, &flags).object();
    assert_eq!((number(&object, "/calls/sent"), &object["arrivals"]), (100, &json!("poisson")));
    let elapsed = number(&object, "/measured_us");
    // The gaps of the default seed take 0.5 s; a busy machine adds to it.
    assert!(elapsed >= 300_000, "{object}");
    assert_eq!(calls.try_iter().count(), 100);
    let ran = load(&daemon.target, &["--arrivals=poisson"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(2), "greet-cli: --arrivals: needs --rate\n"));
}

#[test]
fn several_servers_have_figures_of_their_own() {
    let (fast, slow) =
        (Daemon::start(&[]), slow_daemon(Duration::from_secs(1), Range::default()).0);
    let dead = format!("http://{}", unused_address());
    let targets = [&fast.target, &slow.target, &dead].map(|it| format!("--target={it}"));
    let targets = targets.each_ref().map(String::as_str);
    let flags = ["load", "--count=20", "--concurrency=20", "--threads=1"];
    let ran = run(command(&[&targets[..], &["--output=json"], &flags[..]].concat()));
    let object = ran.object();
    let servers = object["by_target"].as_array().unwrap();
    let server = |target: &str| servers.iter().find(|it| it["target"] == target).unwrap();
    let calls = |of: &Value| of["ok"].as_u64().unwrap() + of["failed"].as_u64().unwrap();
    assert_eq!(servers.iter().map(calls).sum::<u64>(), 20, "{object}");
    let (fast, slow) = (server(&fast.target), server(&slow.target));
    assert!(fast["ok"].as_u64() >= Some(5) && slow["ok"].as_u64() >= Some(5), "{object}");
    assert!(number(slow, "/p50_us") >= 990_000, "accurate to one percent: {object}");
    assert!(number(fast, "/p50_us") < number(slow, "/p50_us"), "{object}");
    assert!(fast["target"].as_str().unwrap().ends_with(fast["peer"].as_str().unwrap()));

    let ran = run(command(&[&targets[..2], &flags[..]].concat()));
    let lines = ran.stdout.lines().filter(|line| line.starts_with("target   http://"));
    assert_eq!(lines.filter(|line| line.contains(" ok, 0 failed, p50 ")).count(), 2, "{ran:?}");
    let object = load(targets[0].trim_start_matches("--target="), &["--count=1"]).object();
    assert_eq!(object["by_target"], json!([]), "of a single server");
}

/// Latency is measured from the scheduled start, also of calls that waited for the stall to end.
#[test]
fn stall_delays_every_call_due_during_it() {
    let stall = Duration::from_secs(1)..Duration::from_secs(3);
    let (daemon, stalled) = slow_daemon(Duration::ZERO, stall);
    // Four calls in flight: a closed loop would see no more than four slow calls.
    let flags = ["--rate=50", "--concurrency=4", "--duration=6s", "--warm-up=0s"];
    let object = load(&daemon.target, &flags).object();
    assert!(stalled.load(Ordering::Relaxed), "no call arrived during the stall");
    let histogram = object["histogram"].as_array().unwrap();
    let longer = |micros: u64| {
        let buckets = histogram.iter().filter(|it| it["from_us"].as_u64().unwrap() >= micros);
        buckets.map(|it| it["calls"].as_u64().unwrap()).sum::<u64>()
    };
    // 100 calls were due during the stall, half of them a second before its end. A busy machine delays
    // others as well, but none until the end of the load.
    assert!(longer(200_000) >= 75, "{}: {histogram:?}", longer(200_000));
    assert!(longer(1_000_000) >= 30, "{}: {histogram:?}", longer(1_000_000));
    let max = number(&object, "/latency_us/max");
    assert!((1_800_000..4_500_000).contains(&max), "{object}");
    assert_eq!(number(&object, "/calls/sent") + number(&object, "/calls/not_started"), 300);
}

#[test]
fn violated_threshold_is_named_and_exits_with_5() {
    let daemon = Daemon::start(&[]);
    let flags = ["load", "--count=100", "--fail-if=p99>0us", "--fail-if=max>1h", "--fail-if=rps<1"];
    let ran = cli(&daemon.target, &flags);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    let lines: Vec<_> = ran.stderr.lines().collect();
    let verdicts = ["'p99>0us' violated: ", "'max>1h' ok: ", "'rps<1' ok: "];
    assert_eq!(lines.len(), verdicts.len(), "{ran:?}");
    for (line, verdict) in lines.iter().zip(verdicts) {
        let verdict = format!("greet-cli: --fail-if: threshold {verdict}");
        assert!(line.starts_with(&verdict), "{ran:?}");
    }
    let ran = load(&daemon.target, &["--count=10", "--fail-if=p50>1h"]);
    assert_eq!(ran.stderr, "", "the verdict is in the object");
    let object = ran.object();
    assert_eq!(object["thresholds"][0]["crossed"], false);
    assert_eq!(object["ok"], true);
}

#[test]
fn invalid_threshold_is_usage_error_with_example() {
    let ran = cli(&unused_address(), &["load", "--fail-if=p99=20ms"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("such as p99>20ms"), "{ran:?}");
}

#[test]
fn failures_are_counted_by_status_and_stage() {
    let daemon = Daemon::scripted();
    let texts = ["Ada", "14", "5"].map(flag);
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    let flags = ["--output=json", "load", "--count=90", "--threads=1"];
    let ran = cli(&daemon.target, &[&flags[..], &texts].concat());
    let object = ran.object();
    assert_eq!(ran.code, Some(0), "one answered call is enough without --fail-if");
    let by_status = json!({ "OK": 30, "UNAVAILABLE": 30, "NOT_FOUND": 30 });
    assert_eq!(object["calls"]["by_status"], by_status);
    assert_eq!(object["calls"]["by_failed_stage"], json!({ "rpc": 60 }));
    assert_eq!(object["error"]["cause"], "UNAVAILABLE: as asked");

    let ran = load(&daemon.target, &["--count=10", &flag("5"), "--fail-if=p99>1h"]);
    assert_eq!(ran.code, Some(5), "without a latency, a latency threshold is violated");
    let ran = load(&daemon.target, &["--count=10", &flag("5")]);
    assert_eq!(ran.code, Some(64 + 5), "nothing was measured");
    assert_eq!(ran.object()["ok"], false);
    let ran = load(&daemon.target, &["--duration=1ns", "--warm-up=0s"]);
    assert_eq!((ran.code, &ran.object()["ok"]), (Some(2), &json!(false)), "{ran:?}");
    assert!(ran.stderr.contains("no call was sent during"), "{ran:?}");
    let flags = ["--duration=1ns", "--warm-up=0s", "--fail-if=p99>1ms"];
    let unmeasured = load(&daemon.target, &flags);
    assert_eq!((unmeasured.code, &unmeasured.object()["thresholds"]), (Some(2), &json!([])));
    assert_eq!(ran.object()["latency_us"], Value::Null);
}

#[test]
fn unreachable_server_is_not_measured() {
    let ran = cli(&unused_address(), &["load", "--duration=1h"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""), "{ran:?}");
    assert!(ran.stderr.starts_with("greet-cli: tcp: could not connect to "), "{ran:?}");
    let ran = load(&unused_address(), &["--duration=1h"]);
    assert_eq!(ran.code, Some(3));
    let object = ran.object();
    assert_eq!((&object["ok"], &object["error"]["stage"]), (&json!(false), &json!("tcp")));
}

#[test]
fn refused_connections_after_drain_are_counted() {
    let (mut daemon, calls) = Daemon::with_received_texts(&[]);
    let target = daemon.target.clone();
    let flags = ["--concurrency=4", "--connections=2", "--duration=2s", "--warm-up=0s"];
    let loading = std::thread::spawn(move || load(&target, &flags));
    calls.iter().nth(100).unwrap();
    daemon.drain();
    let object = loading.join().unwrap().object();
    // A pause follows each refusal, which bounds their number in 2 s.
    let refused = number(&object, "/calls/by_failed_stage/tcp");
    assert!((1..=4 * 2 * 20 + 8).contains(&refused), "{object}");
}

#[test]
fn page_holds_report_and_unwritable_path_is_named() {
    let daemon = Daemon::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("load.html");
    let html = format!("--html={}", page.display());
    let ran = load(&daemon.target, &["--count=100", &html]);
    let written = std::fs::read_to_string(&page).unwrap();
    assert!(written.contains(ran.stdout.trim_end()), "{written}");
    let unreachable = load(&unused_address(), &["--duration=1h", &html]);
    let written = std::fs::read_to_string(&page).unwrap();
    assert!(written.contains(unreachable.stdout.trim_end()), "{written}");
    let ran = load(&daemon.target, &["--duration=1h", "--html=/no/such/place"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "before the load starts");
    assert!(ran.stderr.starts_with("greet-cli: could not write `/no/such/place`: "), "{ran:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn page_is_written_if_standard_output_is_full() {
    let daemon = Daemon::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("load.html");
    let html = format!("--html={}", page.display());
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut load = command(&["--target", &daemon.target, "load", "--count=1", &html]);
    let status = load.stdout(full).stderr(std::process::Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(std::fs::read_to_string(&page).unwrap().ends_with("</html>\n"));
}

/// Before there is a report, a new file does not exist and an old one stays.
#[cfg(unix)]
#[test]
fn interrupt_before_report_leaves_no_page() {
    use std::os::unix::process::ExitStatusExt as _;

    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("load.html");
    let html = format!("--html={}", page.display());
    let interrupted = || {
        let running = spawn(command(&["--target", &address, "load", &html]));
        let _connection = silent.accept().unwrap();
        running.send_signal(rustix::process::Signal::INT);
        assert_eq!(running.finish().status.signal(), Some(2));
    };
    interrupted();
    assert!(!page.exists());
    std::fs::write(&page, "old").unwrap();
    interrupted();
    assert_eq!(std::fs::read_to_string(&page).unwrap(), "old");
}

#[cfg(unix)]
#[test]
fn calls_in_flight_at_interrupt_are_sent() {
    let (daemon, calls) = Daemon::with_received_texts(&[]);
    let hang = flag("hang");
    let interrupted = |flags: &[&str]| {
        let load = ["load", "--duration=1h", "--warm-up=0s", "--concurrency=3", &hang];
        let target = ["--target", &daemon.target, "--timeout=1h"];
        let running = spawn(command(&[&target, flags, &load].concat()));
        calls.iter().nth(2).unwrap();
        running.send_signal(rustix::process::Signal::INT);
        running.finish()
    };
    let object = interrupted(&["--output=json"]).object();
    assert_eq!((number(&object, "/calls/sent"), number(&object, "/calls/ok")), (3, 0), "{object}");
    let ran = interrupted(&[]);
    assert!(ran.stdout.starts_with("calls    0 ok, 0 failed, 3 unfinished in "), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn interrupted_load_prints_report() {
    use std::os::unix::process::ExitStatusExt as _;

    let (daemon, calls) = Daemon::with_received_texts(&[]);
    let flags = ["--target", &daemon.target, "--output=json", "load", "--duration=1h"];
    let interrupted = |warm_up: &str| {
        let running = spawn(command(&[&flags[..], &[warm_up, "--concurrency=10"]].concat()));
        calls.iter().nth(100).unwrap(); // so at least ten have been answered
        running.send_signal(rustix::process::Signal::INT);
        let ran = running.finish();
        assert_eq!((ran.stderr.as_str(), ran.status.signal()), ("", Some(2)));
        let object = ran.object();
        assert_eq!((&object["interrupted"], &object["ok"]), (&json!(true), &json!(false)));
        object
    };
    let object = interrupted("--warm-up=0s");
    assert!(number(&object, "/calls/ok") >= 10, "{object}");
    let object = interrupted("--warm-up=1h");
    assert_eq!(number(&object, "/calls/sent"), 0, "warm-up is not measured");
    assert_eq!(object["generator"]["cpu_share"], Value::Null, "{object}");
}
