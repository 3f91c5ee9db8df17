//! Fault injection: what rules do to calls of every path, their order, their repetition by a seed, and the
//! change of the rules at run time.

use std::time::{Duration, Instant};

use greet_server::CloseReason;
use greet_testkit::framing::framed;
use greet_testkit::http2::{CANCEL, END_HEADERS, HEADERS, RST_STREAM, call_headers, frame};
use greet_testkit::probe::{ProbeRequest, Script};
use greet_testkit::{
    COLLECT, Client, ECHO, EXPAND, RELAY, RawPeer, ScriptedProbe, TestServer, closed, eventually,
    grpc_request, with_timeout,
};
use http::Request;
use http::header::CONTENT_TYPE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::{Code, Status};

use crate::support::http1;
use crate::support::samples::{ADMIN, Samples, scrape_until, scrape_when_idle};

const WEB: &str = "--grpc-web";
const BINARY: &str = "application/grpc-web+proto";
const ADA: &[u8] = b"\x0a\x03Ada";
const ECHO_NAME: &str = "probe.Probe/Echo";

fn injected(samples: &Samples, kind: &str) -> u64 {
    samples.get(&format!("greet_faults_injected_total{{kind=\"{kind}\"}}"))
}

/// Sends a request to `/faults`. Returns the status and the text of the response.
async fn faults(server: &TestServer, method: &str, body: &str) -> (u16, String) {
    let head = format!("{method} /faults HTTP/1.1");
    let response = http1::request(server.admin(), &head, body.as_bytes()).await;
    (response.status, response.text().to_owned())
}

async fn put(server: &TestServer, rules: &str) {
    let (status, text) = faults(server, "PUT", rules).await;
    assert_eq!(status, 200, "{text}");
}

/// Calls of every path: fast, generated, with streams, gRPC-Web over HTTP/2.
fn requests() -> Vec<Request<bytes::Bytes>> {
    let mut encoded = grpc_request(ECHO, framed(ADA));
    encoded.headers_mut().insert("grpc-encoding", "identity".parse().unwrap());
    let mut web = grpc_request(ECHO, framed(ADA));
    web.headers_mut().insert(CONTENT_TYPE, BINARY.parse().unwrap());
    let streams = [COLLECT, EXPAND, RELAY].map(|path| grpc_request(path, framed(ADA)));
    [grpc_request(ECHO, framed(ADA)), encoded, web].into_iter().chain(streams).collect()
}

/// Calls Echo by gRPC-Web over HTTP/1.1.
fn http1_request() -> Vec<u8> {
    let message = framed(ADA);
    let length = message.len();
    let head = format!(
        "POST {ECHO} HTTP/1.1\r\nhost: test\r\ncontent-type: {BINARY}\r\n\
         content-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), &message].concat()
}

#[tokio::test]
async fn injected_status_takes_the_place_of_the_reply_on_every_path() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&["--fault=status=ABORTED", ADMIN, WEB], &probe);
    let client = server.connect().await;
    for request in requests() {
        let shown = format!("{request:?}");
        let response = client.send(request).await;
        assert_eq!(response.grpc_status(), Some(Code::Aborted as i32), "{shown}");
        assert_eq!(response.headers["grpc-message"], "injected%20fault", "{shown}");
    }
    let head = format!("POST {ECHO} HTTP/1.1\r\ncontent-type: {BINARY}");
    let response = http1::request(server.address(), &head, &framed(ADA)).await;
    assert!(response.head.contains("grpc-status: 10"), "{}", response.head);
    assert_eq!(probe.runs(), 0);

    let samples = scrape_when_idle(&server).await;
    assert_eq!(injected(&samples, "status"), 7);
    assert_eq!(samples.calls(ECHO_NAME, "ABORTED"), 4);
    assert_eq!(samples.get("greet_fault_rules"), 1);
}

#[tokio::test]
async fn health_and_reflection_are_hit_only_by_name() {
    let server = TestServer::start(&["--fault=status=ABORTED", ADMIN]);
    let client = server.connect().await;
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    assert!(client.is_serving().await.unwrap());
    assert_eq!(client.echo("Ada").await.unwrap_err().code(), Code::Aborted);
    let response = client.send(grpc_request(reflection, "")).await;
    assert_eq!(response.grpc_status(), Some(Code::Ok as i32));
    let response = client.send(grpc_request("/made.Up/Method", framed(b""))).await;
    assert_eq!(response.grpc_status(), Some(Code::Unimplemented as i32));

    put(&server, "Health/Check:status=INTERNAL,v1.ServerReflection/ServerReflectionInfo:reset")
        .await;
    assert_eq!(client.is_serving().await.unwrap_err().code(), Code::Internal);
    let h2 = server.connect_h2(|_| {}).await;
    let (response, mut body) = h2.start(grpc_request(reflection, "").map(|_| ())).await;
    body.send_data(framed(b"").into(), true).unwrap();
    let error = with_timeout(response).await.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR), "{error}");
    assert_eq!(client.echo("Ada").await.unwrap(), "Ada");
    let samples = scrape_when_idle(&server).await;
    assert_eq!((injected(&samples, "status"), injected(&samples, "reset")), (2, 1));
}

async fn echo_within(client: &Client, timeout: Duration) -> Status {
    let mut request = tonic::Request::new(ProbeRequest::new(Script::Echo, "", 0));
    request.set_timeout(timeout);
    with_timeout(client.probe().echo(request)).await.unwrap_err()
}

#[tokio::test]
async fn delayed_call_ends_at_its_deadline_on_every_path() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&["--fault=delay=1h", ADMIN, WEB], &probe);
    let client = server.connect().await;
    let status = echo_within(&client, Duration::from_millis(50)).await;
    assert_eq!(status.message(), "the deadline of 50ms passed");
    for mut request in requests() {
        request.headers_mut().insert("grpc-timeout", "50m".parse().unwrap());
        let response = client.send(request).await;
        assert_eq!(response.grpc_status(), Some(Code::DeadlineExceeded as i32));
    }
    let head = format!("POST {ECHO} HTTP/1.1\r\ncontent-type: {BINARY}\r\ngrpc-timeout: 50m");
    let response = http1::request(server.address(), &head, &framed(ADA)).await;
    assert!(response.head.contains("grpc-status: 4"), "{}", response.head);
    assert_eq!(probe.runs(), 0);
    assert_eq!(injected(&scrape_when_idle(&server).await, "delay"), 8);
}

#[tokio::test]
async fn cancelled_call_ends_its_delay() {
    let server = TestServer::start(&["--fault=delay=1h", "--request-timeout=24h", ADMIN]);
    let client = server.connect().await;
    let delayed = tokio::spawn(async move { client.echo("Ada").await });
    scrape_until(&server, |samples| injected(samples, "delay") == 1).await;
    assert_eq!(Samples::scrape(&server).await.get("greet_calls_in_flight"), 1);
    delayed.abort();
    let samples = scrape_when_idle(&server).await;
    assert_eq!(samples.calls(ECHO_NAME, "CANCELLED"), 1);
    assert_eq!(samples.messages(ECHO_NAME), (1, 0));
    assert_eq!(samples.get("greet_calls_admitted{kind=\"unary\"}"), 0);
}

#[tokio::test]
async fn delayed_call_counts_against_the_limits_of_calls_and_memory() {
    let flags = ["--fault=delay=1h", "--request-timeout=24h", "--max-in-flight=1", ADMIN];
    let server = TestServer::start(&flags);
    let client = server.connect().await;
    let held = async || Samples::scrape(&server).await.get("greet_memory_held_bytes");
    let before = held().await;
    let delayed = tokio::spawn({
        let client = client.clone();
        async move { client.echo(&"x".repeat(10_000)).await }
    });
    scrape_until(&server, |samples| injected(samples, "delay") == 1).await;
    eventually("the message is held", async || held().await >= before + 10_000).await;
    let status = client.echo("Ada").await.unwrap_err();
    assert_eq!(status.message(), "too many concurrent calls");
    delayed.abort();
    scrape_when_idle(&server).await;
}

#[tokio::test]
async fn drain_waits_for_a_delayed_call() {
    let server = TestServer::start(&["--fault=delay=200ms", ADMIN]);
    let client = server.connect().await;
    let delayed = tokio::spawn(async move { client.echo("Ada").await });
    scrape_until(&server, |samples| injected(samples, "delay") == 1).await;
    let report = server.stop().await;
    assert_eq!(with_timeout(delayed).await.unwrap().unwrap(), "Ada");
    assert_eq!((report.answered, report.cut), (1, 0));
}

#[tokio::test]
async fn delays_add_up_and_precede_the_status() {
    let rules = "--fault=delay=60ms,status=ABORTED,delay=30ms..40ms,status=INTERNAL,reset,goaway";
    let server = TestServer::start(&[rules, ADMIN]);
    let started = Instant::now();
    let status = server.connect().await.echo("Ada").await.unwrap_err();
    assert!(started.elapsed() >= Duration::from_millis(90), "{:?}", started.elapsed());
    assert_eq!(status.code(), Code::Aborted, "the first rule that ends a call");
    let samples = scrape_when_idle(&server).await;
    let counts = ["delay", "status", "reset", "goaway"].map(|kind| injected(&samples, kind));
    assert_eq!(counts, [1, 1, 0, 0]);
}

/// Calls that a client cancels in a delay, as at its own timeout. More than a client may abandon.
#[tokio::test]
async fn cancelled_delay_does_not_count_as_abuse() {
    const BATCH: u64 = 60;
    const BATCHES: u64 = 5;
    let server = TestServer::start(&["--fault=delay=1h", "--request-timeout=24h", ADMIN]);
    let client = server.connect_h2(|_| {}).await;
    for batch in 1..=BATCHES {
        let mut streams = Vec::new();
        for call in 0..BATCH {
            let mut request = grpc_request(ECHO, "");
            if call % 2 == 1 {
                request.headers_mut().insert("grpc-encoding", "identity".parse().unwrap());
            }
            let (response, mut body) = client.start(request.map(|_| ())).await;
            body.send_data(framed(ADA).into(), true).unwrap();
            streams.push((response, body));
        }
        scrape_until(&server, |samples| injected(samples, "delay") == batch * BATCH).await;
        for (_, body) in &mut streams {
            body.send_reset(h2::Reason::CANCEL);
        }
        drop(streams);
        scrape_when_idle(&server).await;
    }
    faults(&server, "DELETE", "").await;
    let response = client.send(grpc_request(ECHO, framed(ADA))).await;
    assert_eq!(response.grpc_status(), Some(Code::Ok as i32), "on the same connection");
    let report = server.stop().await;
    assert_eq!((report.answered, report.abandoned), (1, BATCH * BATCHES));
    assert_eq!(closed(&report, CloseReason::AbandonedCalls), 0);
}

/// Before its request has arrived, a call has not met its faults.
#[tokio::test]
async fn calls_abandoned_before_their_delay_count_as_abuse() {
    const BATCH: u32 = 60;
    let server = TestServer::start(&["--fault=delay=1h", ADMIN]);
    let mut peer = RawPeer::connect(server.tcp().await).await;
    let is_closed = |samples: &Samples| samples.closed("abandoned_calls") == 1;
    for batch in 0.. {
        let streams = || (batch * BATCH..(batch + 1) * BATCH).map(|call| 2 * call + 1);
        let start = |stream| frame(HEADERS, END_HEADERS, stream, &call_headers(ECHO));
        let cancel = |stream| frame(RST_STREAM, 0, stream, &CANCEL);
        let _ = peer.try_send(&streams().flat_map(start).collect::<Vec<_>>()).await;
        let have_started = |samples: &Samples| {
            samples.get("greet_calls_in_flight") == u64::from(BATCH) || is_closed(samples)
        };
        if is_closed(&scrape_until(&server, have_started).await) {
            break;
        }
        let _ = peer.try_send(&streams().flat_map(cancel).collect::<Vec<_>>()).await;
        scrape_when_idle(&server).await;
    }
    assert_eq!(injected(&Samples::scrape(&server).await, "delay"), 0);
}

/// A client that resets as many calls would be closed as abusive.
#[tokio::test]
async fn reset_ends_one_stream_and_does_not_count_as_abuse() {
    const CALLS: u64 = 300;
    let server = TestServer::start(&["--fault=reset", ADMIN]);
    let client = server.connect_h2(|_| {}).await;
    for call in 0..CALLS {
        let mut request = grpc_request(ECHO, "");
        if call % 2 == 1 {
            request.headers_mut().insert("grpc-encoding", "identity".parse().unwrap());
        }
        let (response, mut body) = client.start(request.map(|_| ())).await;
        body.send_data(framed(ADA).into(), true).unwrap();
        let error = with_timeout(response).await.unwrap_err();
        assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR), "{error}");
    }
    faults(&server, "DELETE", "").await;
    let response = client.send(grpc_request(ECHO, framed(ADA))).await;
    assert_eq!(response.grpc_status(), Some(Code::Ok as i32), "on the same connection");
    let samples = scrape_when_idle(&server).await;
    assert_eq!(injected(&samples, "reset"), CALLS);
    assert_eq!(samples.calls(ECHO_NAME, "CANCELLED"), CALLS);
    let report = server.stop().await;
    assert_eq!((report.answered, report.abandoned), (1, CALLS));
    assert_eq!(closed(&report, CloseReason::AbandonedCalls), 0);
}

#[tokio::test]
async fn reset_over_http1_closes_the_connection() {
    let server = TestServer::start(&["--fault=reset", ADMIN, WEB]);
    let mut tcp = server.tcp().await;
    tcp.write_all(&http1_request()).await.unwrap();
    let mut received = Vec::new();
    let _ = with_timeout(tcp.read_to_end(&mut received)).await; // closed or reset
    assert!(received.is_empty(), "{received:?}");
    let samples = scrape_until(&server, |samples| samples.closed("fault_injected") == 1).await;
    assert_eq!(injected(&samples, "reset"), 1);
}

#[tokio::test]
async fn goaway_lets_the_calls_of_the_connection_finish() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&[ADMIN], &probe);
    let client = server.connect().await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.run(Script::Wait).await }
    });
    probe.waits_begun(1).await;
    put(&server, "goaway").await;
    assert_eq!(client.echo("Ada").await.unwrap(), "Ada", "the call that was hit");
    eventually("the client sees the GOAWAY", async || client.echo("Ada").await.is_err()).await;
    assert_eq!(server.connect().await.echo("Ada").await.unwrap(), "Ada", "a new connection");
    probe.release(1);
    with_timeout(waiting).await.unwrap().unwrap();
    let samples = scrape_until(&server, |samples| samples.closed("fault_injected") == 2).await;
    assert_eq!(injected(&samples, "goaway"), 2, "once for each connection");
}

#[tokio::test]
async fn goaway_closes_an_http1_connection_after_its_reply() {
    let server = TestServer::start(&["--fault=goaway", ADMIN, WEB]);
    let mut tcp = server.tcp().await;
    tcp.write_all(&http1_request()).await.unwrap();
    let mut received = Vec::new();
    with_timeout(tcp.read_to_end(&mut received)).await.unwrap();
    let received = String::from_utf8_lossy(&received);
    assert!(received.contains("grpc-status: 0"), "{received}");
    scrape_until(&server, |samples| samples.closed("fault_injected") == 1).await;
}

#[tokio::test]
async fn goaway_that_was_due_before_is_not_counted() {
    let flags = ["--fault=delay=700ms,goaway", "--max-connection-age=300ms", ADMIN, WEB];
    let server = TestServer::start(&flags);
    let (client, mut tcp) = (server.connect().await, server.tcp().await);
    tcp.write_all(&http1_request()).await.unwrap();
    assert_eq!(client.echo("Ada").await.unwrap(), "Ada");
    with_timeout(tcp.read_to_end(&mut Vec::new())).await.unwrap();
    let is_closed = |samples: &Samples| samples.closed("max_connection_age") == 2;
    assert_eq!(injected(&scrape_until(&server, is_closed).await, "goaway"), 0);
}

/// Returns which of some calls on one connection fail.
async fn failures(client: &Client) -> Vec<bool> {
    let mut failures = Vec::new();
    for _ in 0..64 {
        failures.push(client.echo("Ada").await.is_err());
    }
    failures
}

#[tokio::test]
async fn seed_repeats_which_calls_are_hit() {
    let start = |seed: &str| {
        TestServer::start(&["--workers=1", "--fault=status=ABORTED@50%,goaway@0.01%", seed, ADMIN])
    };
    let (first, second, other) =
        (start("--fault-seed=7"), start("--fault-seed=7"), start("--fault-seed=8"));
    let client = first.connect().await;
    let failed = failures(&client).await;
    let count = failed.iter().filter(|failed| **failed).count();
    assert!((16..48).contains(&count), "{count}");
    assert_eq!(failures(&second.connect().await).await, failed);
    assert_ne!(failures(&other.connect().await).await, failed);

    assert_ne!(failures(&client).await, failed, "the numbers go on");
    let rules = faults(&first, "GET", "").await.1;
    put(&first, &rules).await;
    assert_eq!(failures(&client).await, failed, "a change begins again");
}

#[tokio::test]
async fn random_seed_differs_between_servers() {
    let seed = async || {
        let server = TestServer::start(&["--fault=reset@1%", ADMIN]);
        faults(&server, "GET", "").await.1
    };
    let (first, second, third) = (seed().await, seed().await, seed().await);
    assert!(first.starts_with("seed=") && first.ends_with("\nreset@1%\n"), "{first}");
    assert!(first != second || first != third, "{first}");
}

#[tokio::test]
async fn admin_port_shows_replaces_and_removes_the_rules() {
    let server = TestServer::start(&["--fault=goaway@0.01%", "--fault-seed=7", ADMIN]);
    let client = server.connect().await;
    let get = async || faults(&server, "GET", "").await;
    assert_eq!(get().await, (200, "seed=7\ngoaway@0.01%\n".to_owned()));

    let (status, text) = faults(&server, "PUT", "seed=9\n\nEcho:status=ABORTED\n").await;
    let replaced = "seed=9\nprobe.Probe/Echo:status=ABORTED\n";
    assert_eq!((status, text.as_str()), (200, replaced));
    assert_eq!(client.echo("Ada").await.unwrap_err().code(), Code::Aborted);
    for (body, expected) in [
        ("reset\nreset@1", "fault: \"reset@1\": 1 has no unit; did you mean 1%?\n"),
        ("Ech:reset", "fault: \"Ech\" is not a method; did you mean probe.Probe/Echo?\n"),
        ("seed=-1", "fault: \"-1\" is not a whole number between 0 and 4294967295\n"),
        ("", "fault: no rule given; DELETE removes all\n"),
        ("seed=9\n", "fault: no rule given; DELETE removes all\n"),
    ] {
        assert_eq!(faults(&server, "PUT", body).await, (400, expected.to_owned()));
    }
    assert_eq!(get().await.1, replaced);

    assert_eq!(faults(&server, "DELETE", "").await, (200, "seed=9\n".to_owned()));
    assert_eq!(client.echo("Ada").await.unwrap(), "Ada");
    assert_eq!(Samples::scrape(&server).await.get("greet_fault_rules"), 0);
}

#[tokio::test]
async fn size_of_new_rules_is_limited() {
    let server = TestServer::start(&[ADMIN]);
    let padded = |bytes: usize| format!("{:bytes$}", "reset@1%");
    assert_eq!(faults(&server, "PUT", &padded(16_384)).await.0, 200);
    let over = (413, "the new value is over 16 KiB\n".to_owned());
    assert_eq!(faults(&server, "PUT", &padded(16_385)).await, over);
}

#[tokio::test]
async fn number_of_rules_is_limited() {
    let longest = "ServerReflectionInfo:delay=59m 59s 999ms..1h 59m 59s 999ms@99.9999%";
    let rules = |rules| vec![format!("v1alpha.ServerReflection/{longest}"); rules].join(",");
    let server = TestServer::start(&[ADMIN, "--fault", &rules(100)]);
    let shown = faults(&server, "GET", "").await;
    assert_eq!(faults(&server, "PUT", &shown.1).await, shown);
    assert_eq!(faults(&server, "PUT", &rules(100)).await, shown);
    let over = "101 rules are over the limit of 100";
    assert_eq!(faults(&server, "PUT", &rules(101)).await, (400, format!("fault: {over}\n")));
}

#[tokio::test]
async fn change_needs_a_local_host_and_a_port_that_is_not_read_only() {
    let server = TestServer::start(&[ADMIN]);
    for (head, body) in
        [("PUT /faults", "reset"), ("DELETE /faults", ""), ("PUT /health/", "NOT_SERVING")]
    {
        let length = body.len();
        let request = format!(
            "{head} HTTP/1.1\r\nhost: rebound.example\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        let mut tcp = TcpStream::connect(server.admin()).await.unwrap();
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        with_timeout(tcp.read_to_string(&mut response)).await.unwrap();
        assert!(response.starts_with("HTTP/1.1 403 "), "{head}: {response}");
    }
    let (status, _) = faults(&server, "POST", "").await;
    assert_eq!(status, 405);

    let read_only = TestServer::start(&[ADMIN, "--admin-read-only", "--fault=reset@1%"]);
    for method in ["PUT", "DELETE"] {
        assert_eq!(faults(&read_only, method, "goaway").await.0, 405);
    }
    let health = http1::request(read_only.admin(), "PUT /health/ HTTP/1.1", b"NOT_SERVING").await;
    assert_eq!(health.status, 405);
    assert!(health.head.contains("allow: GET, HEAD"), "{}", health.head);
    assert!(faults(&read_only, "GET", "").await.1.ends_with("reset@1%\n"));
    assert!(read_only.connect().await.is_serving().await.unwrap());
}

/// Calls that have arrived before a change follow the old rules; later ones follow the new.
#[tokio::test]
async fn change_applies_to_every_worker() {
    let server = TestServer::start(&["--workers=4", ADMIN]);
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(server.connect().await);
    }
    for rules in ["status=ABORTED", "status=INTERNAL", "", "status=ABORTED"] {
        let method = if rules.is_empty() { "DELETE" } else { "PUT" };
        assert_eq!(faults(&server, method, rules).await.0, 200);
        for client in &clients {
            let code = client.echo("Ada").await.map_or_else(|status| status.code(), |_| Code::Ok);
            let expected = match rules {
                "" => Code::Ok,
                "status=INTERNAL" => Code::Internal,
                _ => Code::Aborted,
            };
            assert_eq!(code, expected, "{rules}");
        }
    }
}

#[tokio::test]
async fn method_with_an_invalid_message_fails_after_its_delay() {
    let server = TestServer::start(&["--fault=delay=1ms", ADMIN]);
    let response = server.connect().await.send(grpc_request(ECHO, framed(b"\xff\xff"))).await;
    assert_eq!(response.grpc_status(), Some(Code::Internal as i32));
    assert_eq!(injected(&scrape_when_idle(&server).await, "delay"), 1);
}
