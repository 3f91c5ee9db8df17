//! The log of the real binary: access log, filter, and lines that could not be written.

use greet_proto::grpc::health::v1::HealthCheckRequest;
use greet_testkit::framing::framed;
use greet_testkit::http2::{
    END_HEADERS, END_STREAM, HEADERS, RST_STREAM, call, frame, header_block,
};
use greet_testkit::{Client, RawPeer, eventually, grpc_request};
use prost::Message as _;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::http1;
use crate::support::process::{Process, daemon};

const CHECK: &str = "/grpc.health.v1.Health/Check";

/// Asks for the health of a service that does not exist.
async fn fail(client: &Client) {
    let request = HealthCheckRequest { service: "no.Such".to_owned() };
    client.health().check(request).await.unwrap_err();
}

struct Daemon {
    process: Process,
    address: String,
    admin: String,
}

impl Daemon {
    fn start(flags: &[&str]) -> Daemon {
        let always = ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--log-format=json"];
        let mut process = Process::start(&mut daemon(&[&always, flags].concat()));
        let [address, admin] = [process.next_address(), process.next_address()];
        Daemon { process, address, admin }
    }

    async fn connect(&self) -> Client {
        Client::connect(&self.address).await
    }

    /// Stops the daemon. Returns its log and the access log's lines.
    async fn stop(self) -> (String, Vec<serde_json::Value>) {
        let exit = self.process.stop_async().await;
        assert_eq!(exit.code, Some(0), "{exit:?}");
        let lines = exit.log.lines().map(|line| serde_json::from_str(line).unwrap());
        let calls = lines.filter(|line: &serde_json::Value| line["target"] == "access").collect();
        (exit.log, calls)
    }
}

#[tokio::test]
async fn access_log_has_status_duration_peer_and_trace_but_no_content() {
    let daemon = Daemon::start(&["--access-log=all"]);
    let client = daemon.connect().await;
    assert!(client.is_serving().await.unwrap());
    let message = HealthCheckRequest { service: "Secret".to_owned() }.encode_to_vec();
    let mut request = grpc_request(CHECK, framed(&message));
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request.headers_mut().insert("traceparent", traceparent.parse().unwrap());
    client.send(request).await;
    client.send(grpc_request("/made.Up/%0a%22Path\u{202e}\u{9b}", framed(b""))).await;
    let (log, calls) = daemon.stop().await;

    let [ok, check, unknown] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!((&ok["status"], &ok["request_bytes"]), (&"OK".into(), &0.into()));
    assert_eq!(check["method"], CHECK[1..]);
    assert_eq!(check["status"], "NOT_FOUND");
    assert_eq!(check["request_bytes"], 8);
    assert_eq!(check["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(check["took_us"].is_u64(), "{check}");
    assert!(check["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{check}");
    assert!(!log.contains("Secret"), "{log}");
    assert_eq!(
        (&unknown["method"], &unknown["status"]),
        (&"other".into(), &"UNIMPLEMENTED".into())
    );
    assert_eq!(unknown["path"], "/made.Up/%0a%22Path\\u{202e}\\u{9b}");
}

#[tokio::test]
async fn default_access_log_has_failed_calls_up_to_a_rate() {
    let daemon = Daemon::start(&["--workers=1"]);
    assert!(daemon.connect().await.is_serving().await.unwrap());
    // In one burst: calls one after the other could be so slow that each has its line.
    let mut peer = RawPeer::connect(TcpStream::connect(&daemon.address).await.unwrap()).await;
    let message = HealthCheckRequest { service: "no.Such".to_owned() }.encode_to_vec();
    let streams = (1..).step_by(2).take(200);
    let burst: Vec<_> =
        streams.clone().flat_map(|stream| call(stream, CHECK, Some(&message))).collect();
    peer.send(&burst).await;
    for _ in streams {
        peer.next_of(HEADERS).await;
    }
    drop(peer);
    let (_, mut calls) = daemon.stop().await;
    let suppressed = |call: &serde_json::Value| call["suppressed"].as_u64().unwrap_or_default();
    let suppressed: u64 = calls.iter().map(suppressed).sum();
    let last = calls.pop().unwrap();
    assert_eq!(last["message"], "calls failed", "{last}");
    assert!(calls.iter().all(|call| call["status"] == "NOT_FOUND"), "{calls:?}");
    // The limit is twenty lines a second, and the calls may take longer.
    assert!((20..200).contains(&calls.len()), "{}", calls.len());
    assert_eq!(calls.len() as u64 + suppressed, 200);
}

#[tokio::test]
async fn log_has_requests_that_http2_rejects_up_to_a_rate() {
    const REQUESTS: u32 = 100;
    let daemon = Daemon::start(&["--workers=1"]);
    let mut peer = RawPeer::connect(TcpStream::connect(&daemon.address).await.unwrap()).await;
    for stream in (1..).step_by(2).take(REQUESTS as usize) {
        let without_method = header_block(&[(":path", "/")]);
        peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &without_method)).await;
        peer.next_of(RST_STREAM).await;
    }
    let (log, _) = daemon.stop().await;
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let is_rejection = |line: &serde_json::Value| line["message"] == "requests rejected by HTTP/2";
    let lines: Vec<_> = lines.filter(is_rejection).collect();
    let suppressed = |line: &serde_json::Value| line["suppressed"].as_u64().unwrap_or_default();
    let (last, logged) = lines.split_last().unwrap();
    assert!(suppressed(last) > 0 && last["peer"].is_null(), "{last}");
    assert!(logged.iter().all(|line| line["peer"].is_string()), "{logged:?}");
    let suppressed: u64 = lines.iter().map(suppressed).sum();
    assert_eq!(logged.len() as u64 + suppressed, u64::from(REQUESTS));
}

#[tokio::test]
async fn access_log_off_writes_no_line() {
    let daemon = Daemon::start(&["--access-log=off"]);
    fail(&daemon.connect().await).await;
    assert_eq!(daemon.stop().await.1, Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn log_filter_changes_by_signal_and_by_admin_port() {
    let daemon = Daemon::start(&["--log-level=warn"]);
    let filter = async || http1::get(&daemon.admin, "/log-level").await.text().trim().to_owned();
    assert_eq!(filter().await, "warn");
    let page = http1::request(&daemon.admin, "PUT /log-level HTTP/1.1", b"h2=debug,info\n").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("h2=debug"), "{}", page.text());
    for invalid in ["inof", "inof=", "info,", "=debug", ""] {
        let body = invalid.as_bytes();
        let page = http1::request(&daemon.admin, "PUT /log-level HTTP/1.1", body).await;
        assert_eq!(page.status, 400, "{invalid}");
        let expected = format!("{invalid:?} is not error, warn");
        assert!(page.text().contains(&expected), "{}", page.text());
    }
    let page = http1::request(&daemon.admin, "PUT /log-level HTTP/1.1", &[b'x'; 16_385]).await;
    assert_eq!(page.status, 413);

    let mut cut_short = TcpStream::connect(&daemon.admin).await.unwrap();
    let head = b"PUT /log-level HTTP/1.1\r\nhost: localhost\r\ncontent-length: 40\r\n\r\nwarn";
    cut_short.write_all(head).await.unwrap();
    cut_short.shutdown().await.unwrap();
    let mut response = String::new();
    cut_short.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");

    daemon.process.signal(Signal::USR1);
    eventually("the filter is debug", async || filter().await == "debug").await;
    daemon.process.signal(Signal::USR1);
    eventually("the filter is warn", async || filter().await == "warn").await;
    let (log, _) = daemon.stop().await;
    assert!(log.contains("log filter changed"), "{log}");
}

#[tokio::test]
async fn lines_that_cannot_be_written_are_counted() {
    let mut daemon = Daemon::start(&["--access-log=all"]);
    drop(daemon.process.child.stderr.take());
    assert!(daemon.connect().await.is_serving().await.unwrap());
    let dropped = async || {
        let metrics = http1::get(&daemon.admin, "/metrics").await;
        let mut lines = metrics.text().lines();
        let count = lines.find_map(|line| line.strip_prefix("greet_log_lines_dropped_total "));
        count.unwrap().parse::<u64>().unwrap()
    };
    eventually("dropped lines are counted", async || dropped().await > 0).await;
    assert_eq!(daemon.process.stop_async().await.code, Some(0));
}

#[tokio::test]
async fn log_has_the_fault_rules_and_the_faults_of_a_call() {
    let daemon = Daemon::start(&[
        "--fault=Check:delay=1ms,Check:status=ABORTED",
        "--log-level=warn,access=info",
    ]);
    let status = daemon.connect().await.is_serving().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Aborted);
    http1::request(&daemon.admin, "PUT /faults HTTP/1.1", b"seed=7,reset@1%").await;
    http1::request(&daemon.admin, "DELETE /faults HTTP/1.1", b"").await;
    let (log, calls) = daemon.stop().await;
    let [call] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!((&call["status"], &call["fault"]), (&"ABORTED".into(), &"delay,status".into()));
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let warnings: Vec<_> = lines.filter(|line| line["level"] == "WARN").collect();
    let [first, second, third] = &warnings[..] else { panic!("{warnings:?}") };
    let check = "grpc.health.v1.Health/Check";
    assert_eq!(first["message"], "fault rules set");
    assert!(first["peer"].is_null(), "{first}");
    assert_eq!(first["rules"], format!("{check}:delay=1ms,{check}:status=ABORTED"));
    assert!(first["seed"].is_u64(), "{first}");
    assert_eq!((&second["rules"], &second["seed"]), (&"reset@1%".into(), &7.into()));
    assert_eq!(third["message"], "fault rules removed");
}

#[tokio::test]
async fn log_has_the_peer_of_each_change_over_the_admin_port() {
    let daemon = Daemon::start(&[]);
    for (request, body) in [
        ("PUT /log-level", "info"),
        ("PUT /health/", "SERVING"),
        ("PUT /faults", "reset@1%"),
        ("DELETE /faults", ""),
    ] {
        let head = format!("{request} HTTP/1.1");
        assert_eq!(http1::request(&daemon.admin, &head, body.as_bytes()).await.status, 200);
    }
    let (log, _) = daemon.stop().await;
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let is_local = |peer: &serde_json::Value| peer.as_str().unwrap_or("").starts_with("127.0.0.1:");
    let changes = lines.filter(|line| is_local(&line["peer"]));
    let messages: Vec<_> = changes.map(|line| line["message"].clone()).collect();
    let expected = ["log filter changed", "health set", "fault rules set", "fault rules removed"];
    assert_eq!(messages, expected);
}
