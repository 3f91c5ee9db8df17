//! `--retries`: what the server cannot have executed, and what `--retry-on` names; nothing else.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::fake_server::{
    END_STREAM, GOAWAY, RST_STREAM, answer, answer_each, data, frame, head, headers, lose, trailers,
};
use crate::support::{Ran, fakes, greet, listen_forever, nobody, serve};

type Fake = Box<dyn FnOnce(TcpStream) + Send + 'static>;

fn ada() -> Vec<u8> {
    [head(), data(b"\x0a\x09Hello Ada"), trailers(&[("grpc-status", "0")])].concat()
}

fn hello_ada() -> Fake {
    Box::new(answer(ada()))
}

/// Ends the first call with a status, and this in its trailers; answers the next, on the same connection.
fn ends(code: &'static str, trailer: (&'static str, &'static str)) -> Fake {
    let all = [(":status", "200"), ("grpc-status", code), trailer];
    Box::new(answer_each(vec![headers(END_STREAM, &all), ada()]))
}

/// Sends SETTINGS, then a GOAWAY that lets no stream live.
fn leaving() -> Fake {
    Box::new(answer(frame(GOAWAY, 0, 0, &[0; 8])))
}

/// Refuses the stream.
fn refusing() -> Fake {
    Box::new(answer(frame(RST_STREAM, 0, 1, &7_u32.to_be_bytes())))
}

fn hello<const N: usize>(servers: [Fake; N], flags: &[&str]) -> Ran {
    let arguments = [&["--output=json"], flags, &["hello", "--name=Ada"]].concat();
    greet(&fakes(servers), &arguments)
}

/// Whether it was greeted in the end, and how often it was tried.
#[track_caller]
fn attempts(ran: &Ran) -> (bool, u64) {
    let object = ran.object();
    (object["ok"] == true, object["attempts"].as_u64().unwrap())
}

#[test]
fn unprocessed_call_is_resent_transparently() {
    assert_eq!(attempts(&hello([leaving(), hello_ada()], &[])), (true, 2));
    assert_eq!(attempts(&hello([refusing(), hello_ada()], &[])), (true, 2));
    let ran = hello([leaving(), leaving(), leaving(), hello_ada()], &[]);
    assert_eq!((attempts(&ran), ran.code), ((false, 3), Some(3)), "but not for ever");
}

#[test]
fn unsent_call_is_retried_up_to_limit() {
    let ran = greet(&nobody(), &["--retries=2", "--output=json", "hello", "--name=Ada"]);
    assert_eq!((attempts(&ran), ran.code), ((false, 3), Some(3)));
    let ran = hello([leaving(), leaving(), leaving(), hello_ada()], &["--retries=1"]);
    assert_eq!(attempts(&ran), (true, 4));
}

#[test]
fn possibly_executed_call_is_not_retried() {
    let none = ("x-other", "1");
    assert_eq!(attempts(&hello([ends("14", none)], &["--retries=5"])), (false, 1));
    assert_eq!(attempts(&hello([Box::new(lose), hello_ada()], &["--retries=5"])), (false, 1));
}

#[test]
fn listed_status_is_retried() {
    let flags = ["--retries=1", "--retry-on=resource-exhausted,UNAVAILABLE"];
    let none = ("x-other", "1");
    assert_eq!(attempts(&hello([ends("14", none)], &flags)), (true, 2));
    assert_eq!(attempts(&hello([Box::new(lose), hello_ada()], &flags)), (true, 2));
    assert_eq!(attempts(&hello([ends("13", none)], &flags)), (false, 1));
}

#[test]
fn pushback_sets_delay_or_stops_retries() {
    let flags = ["--retries=3", "--retry-on=UNAVAILABLE"];
    let begun = Instant::now();
    let later = ends("14", ("grpc-retry-pushback-ms", "400"));
    assert_eq!(attempts(&hello([later], &flags)), (true, 2));
    assert!(begun.elapsed() >= Duration::from_millis(400));
    let never = ends("14", ("grpc-retry-pushback-ms", "-1"));
    assert_eq!(attempts(&hello([never], &flags)), (false, 1));
    // What would come after the deadline does not hide what happened before it.
    let too_late = ends("14", ("grpc-retry-pushback-ms", "60000"));
    let begun = Instant::now();
    let ran = hello([too_late], &flags);
    assert_eq!((attempts(&ran), ran.code), ((false, 1), Some(78)));
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[test]
fn retries_end_at_deadline() {
    let begun = Instant::now();
    let ran = greet(&nobody(), &["--retries=1000", "--timeout=500ms", "hello", "--name=Ada"]);
    assert_eq!(ran.code, Some(3));
    assert!(begun.elapsed() < Duration::from_millis(700), "{:?}", begun.elapsed());
}

#[test]
fn refusing_target_is_skipped() {
    let live = serve(answer(ada()));
    let targets = format!("{},{live}", nobody());
    let ran = greet(&targets, &["--output=json", "hello", "--name=Ada"]);
    assert_eq!(attempts(&ran), (true, 2));
    assert_eq!(ran.object()["target"], json!(format!("http://{live}")));
}

/// Headers came: that is the server's answer, whatever its trailers say (gRFC A6).
#[test]
fn committed_call_is_not_retried() {
    let begun = [head(), trailers(&[("grpc-status", "14")])].concat();
    let server: Fake = Box::new(answer_each(vec![begun, ada()]));
    let ran = hello([server], &["--retries=3", "--retry-on=UNAVAILABLE"]);
    assert_eq!((attempts(&ran), ran.code), ((false, 1), Some(78)));
}

#[test]
fn silent_target_leaves_time_for_others() {
    let targets = format!("{},{}", serve(listen_forever), serve(answer(ada())));
    let ran = greet(&targets, &["--timeout=1s", "hello", "--name=Ada"]);
    ran.left("Hello Ada\n", "", 0);
}

#[test]
fn silent_targets_end_at_timeout() {
    let targets = format!("{},{}", serve(listen_forever), serve(listen_forever));
    let flags = ["--timeout=1s", "--connect-timeout=200ms", "--retries=20"];
    let begun = Instant::now();
    let ran = greet(&targets, &[&flags[..], &["hello", "--name=Ada"]].concat());
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(begun.elapsed() < Duration::from_millis(1_200), "{:?}", begun.elapsed());
}
