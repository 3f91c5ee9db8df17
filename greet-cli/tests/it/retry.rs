//! `--retries` and `--retry-on`: which calls are sent again, when, and how often.

use std::time::Duration;

use greet_testkit::http2::{GOAWAY, RST_STREAM, frame};
use serde_json::json;

use crate::support::fake_server::{
    ConnectionHandler, answer, answer_each, close_after_request, never_reply, reply_headers,
    sample_reply, serve, serve_each, trailers, trailers_only,
};
use crate::support::sample::{CALL, LINE};
use crate::support::{CommandOutput, cli, parse_object, unused_address};

const UNAVAILABLE: (&str, &str) = ("grpc-status", "14");

fn succeeds() -> ConnectionHandler {
    Box::new(answer(sample_reply()))
}

/// Ends the first call with these trailers and answers the next on the same connection.
fn fails_once(trailers: &[(&str, &str)]) -> ConnectionHandler {
    Box::new(answer_each(vec![trailers_only(trailers), sample_reply()]))
}

/// Fails once with UNAVAILABLE and a pushback.
fn pushes_back(millis: &str) -> ConnectionHandler {
    fails_once(&[UNAVAILABLE, ("grpc-retry-pushback-ms", millis)])
}

/// Sends SETTINGS, then a GOAWAY that rejects every stream.
fn goes_away() -> ConnectionHandler {
    Box::new(answer(frame(GOAWAY, 0, 0, &[0; 8])))
}

/// Resets the stream with REFUSED_STREAM.
fn refuses_stream() -> ConnectionHandler {
    Box::new(answer(frame(RST_STREAM, 0, 1, &7_u32.to_be_bytes())))
}

fn call<const N: usize>(servers: [ConnectionHandler; N], flags: &[&str]) -> CommandOutput {
    let arguments = [&["--output=json"], flags, CALL].concat();
    cli(&serve_each(servers), &arguments)
}

/// Returns whether the call succeeded, and the number of attempts.
#[track_caller]
fn attempts(ran: &CommandOutput) -> (bool, u64) {
    let object = ran.object();
    (object["ok"] == true, object["attempts"].as_u64().unwrap())
}

#[test]
fn unprocessed_call_is_resent_transparently() {
    assert_eq!(attempts(&call([goes_away(), succeeds()], &[])), (true, 2));
    assert_eq!(attempts(&call([refuses_stream(), succeeds()], &[])), (true, 2));
    let ran = call([goes_away(), goes_away(), goes_away(), succeeds()], &[]);
    assert_eq!((attempts(&ran), ran.code), ((false, 3), Some(3)), "at most twice");
}

#[test]
fn unsent_call_is_retried_up_to_limit() {
    let ran = cli(&unused_address(), &[&["--retries=2", "--output=json"][..], CALL].concat());
    assert_eq!((attempts(&ran), ran.code), ((false, 3), Some(3)));
    let ran = call([goes_away(), goes_away(), goes_away(), succeeds()], &["--retries=1"]);
    assert_eq!(attempts(&ran), (true, 4));
}

#[test]
fn possibly_executed_call_is_not_retried() {
    assert_eq!(attempts(&call([fails_once(&[UNAVAILABLE])], &["--retries=5"])), (false, 1));
    assert_eq!(
        attempts(&call([Box::new(close_after_request), succeeds()], &["--retries=5"])),
        (false, 1)
    );
}

/// Exit code 3 would say that the call was never sent.
#[test]
fn status_of_sent_attempt_remains_when_its_retry_is_not_sent() {
    let servers = [Box::new(close_after_request), goes_away(), goes_away(), goes_away()];
    let ran = call(servers, &["--retries=1", "--retry-on=UNAVAILABLE"]);
    assert_eq!((attempts(&ran), ran.code), ((false, 4), Some(78)));
    let object = ran.object();
    assert_eq!(object["status"]["name"], "UNAVAILABLE");
    assert_eq!(object["error"]["stage"], "rpc");
    let cause = object["error"]["cause"].as_str().unwrap();
    let expected =
        "UNAVAILABLE: the connection was lost before the reply; the retry was not sent: http2: ";
    assert!(cause.starts_with(expected), "{cause}");
}

#[test]
fn listed_status_is_retried() {
    let flags = ["--retries=1", "--retry-on=resource-exhausted,UNAVAILABLE"];
    assert_eq!(attempts(&call([fails_once(&[UNAVAILABLE])], &flags)), (true, 2));
    assert_eq!(attempts(&call([Box::new(close_after_request), succeeds()], &flags)), (true, 2));
    assert_eq!(attempts(&call([fails_once(&[("grpc-status", "13")])], &flags)), (false, 1));
}

#[test]
fn pushback_sets_delay_or_stops_retries() {
    let flags = ["--retries=3", "--retry-on=UNAVAILABLE"];
    let ran = call([pushes_back("400")], &flags);
    assert_eq!(attempts(&ran), (true, 2));
    assert!(ran.elapsed >= Duration::from_millis(400));
    assert_eq!(attempts(&call([pushes_back("-1")], &flags)), (false, 1));
    // A retry after the deadline does not happen: the error is that of the first attempt.
    let ran = call([pushes_back("60000")], &flags);
    assert_eq!((attempts(&ran), ran.code), ((false, 1), Some(78)));
    assert!(ran.elapsed < Duration::from_secs(3));
}

#[test]
fn retries_end_at_deadline() {
    let ran = cli(&unused_address(), &[&["--retries=1000", "--timeout=500ms"][..], CALL].concat());
    assert_eq!(ran.code, Some(3));
    assert!(ran.elapsed < Duration::from_secs(3), "{ran:?}");
}

#[test]
fn refusing_target_is_skipped() {
    let live = serve(answer(sample_reply()));
    let targets = format!("{},{live}", unused_address());
    let ran = cli(&targets, &[&["--output=json"][..], CALL].concat());
    assert_eq!(attempts(&ran), (true, 2));
    assert_eq!(ran.object()["target"], json!(format!("http://{live}")));
}

/// Response headers commit a call (gRFC A6).
#[test]
fn committed_call_is_not_retried() {
    let committed = [reply_headers(), trailers(&[UNAVAILABLE])].concat();
    let server: ConnectionHandler = Box::new(answer_each(vec![committed, sample_reply()]));
    let ran = call([server], &["--retries=3", "--retry-on=UNAVAILABLE"]);
    assert_eq!((attempts(&ran), ran.code), ((false, 1), Some(78)));
}

#[test]
fn silent_target_leaves_time_for_others() {
    let targets = format!("{},{}", serve(never_reply), serve(answer(sample_reply())));
    let ran = cli(&targets, &[&["--timeout=3s"][..], CALL].concat());
    assert_eq!((ran.stdout.as_str(), ran.code), (LINE, Some(0)), "{ran:?}");
}

#[test]
fn silent_targets_end_at_timeout() {
    let targets = format!("{},{}", serve(never_reply), serve(never_reply));
    let flags = ["--timeout=1s", "--connect-timeout=200ms", "--retries=20"];
    let ran = cli(&targets, &[&flags[..], CALL].concat());
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.elapsed < Duration::from_secs(3), "{ran:?}");
}

/// Starts a server that fails a number of attempts, which may follow at once, then answers.
fn fails(attempts: usize) -> ConnectionHandler {
    let fails = trailers_only(&[UNAVAILABLE, ("grpc-retry-pushback-ms", "0")]);
    let answers = [vec![fails; attempts], vec![sample_reply()]].concat();
    Box::new(answer_each(answers))
}

const RETRIES: [&str; 2] = ["--retries=20", "--retry-on=UNAVAILABLE"];

#[test]
fn earlier_attempts_are_in_json_up_to_limit() {
    for (failed, kept) in [(1, 1), (10, 10), (11, 10)] {
        let object = call([fails(failed)], &RETRIES).object();
        assert_eq!(
            (object["ok"].as_bool(), object["attempts"].as_u64()),
            (Some(true), Some(failed as u64 + 1))
        );
        let earlier = object["earlier_attempts"].as_array().unwrap();
        assert_eq!(earlier.len(), kept);
        assert!(earlier.iter().all(|attempt| attempt["error"]["cause"] == "UNAVAILABLE"));
    }
    let object = call([fails(0)], &RETRIES).object();
    assert_eq!(object.get("earlier_attempts"), None);
}

#[test]
fn verbose_reports_every_attempt_in_order() {
    let address = serve_each([fails(11)]);
    let ran = cli(&address, &[&RETRIES[..], &[&["-v"][..], CALL].concat()].concat());
    let line = |start: &str| {
        let mut lines = ran.stderr.lines();
        lines.position(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {ran:?}"))
    };
    let failed =
        |number: usize| format!("* attempt {number} of http://{address}: rpc: UNAVAILABLE");
    let lines = [
        line("* tcp "),
        line("> :method: POST"),
        line(&failed(1)),
        line("> grpc-previous-rpc-attempts: 1"),
        line(&failed(2)),
        line("> grpc-previous-rpc-attempts: 9"),
        line(&failed(10)),
        line("* 1 more failed attempts"),
        line("> grpc-previous-rpc-attempts: 11"),
    ];
    assert!(lines.is_sorted(), "{lines:?}: {ran:?}");
    assert!(ran.stderr.ends_with(" us  OK, attempt 12\n"), "{ran:?}");
    assert_eq!(ran.stdout, LINE);
}

#[test]
fn verbose_reports_refused_and_unsent_attempts() {
    let live = serve_each([refuses_stream(), succeeds()]);
    let dead = unused_address();
    let ran = cli(&format!("{dead},{live}"), &[&["-v"][..], CALL].concat());
    for attempt in [
        format!(
            "* attempt 1 of http://{dead}: tcp: could not connect to {dead}: connection refused\n"
        ),
        format!("* attempt 2 of http://{live}: http2: "),
    ] {
        assert_eq!(ran.stderr.matches(&attempt).count(), 1, "{ran:?}");
    }
    assert_eq!((ran.stderr.matches("> :path: ").count(), ran.code), (2, Some(0)), "{ran:?}");
}

#[test]
fn retries_of_many_calls_are_counted() {
    for (failed, shown) in [(0, ""), (1, ", 1 retry"), (3, ", 3 retries")] {
        let many = [&RETRIES[..], &["-v"], CALL, &["--count=2", "--concurrency=1"]].concat();
        let answers = |failed| {
            let fails = trailers_only(&[UNAVAILABLE, ("grpc-retry-pushback-ms", "0")]);
            let answers = [vec![fails; failed], vec![sample_reply(); 2]].concat();
            serve_each([Box::new(answer_each(answers)) as ConnectionHandler])
        };
        let ran = cli(&answers(failed), &many);
        let line = format!("/s): 2 answered, 0 failed{shown}\n");
        assert!(ran.stderr.contains(&line), "{ran:?}");
        let ran = cli(&answers(failed), &[&["--output=json"][..], &many].concat());
        let tally = parse_object(ran.stdout.lines().last().unwrap());
        assert_eq!(tally["retries"], json!(failed), "{tally}");
    }
}
