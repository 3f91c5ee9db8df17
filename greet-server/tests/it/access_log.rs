//! The log of calls, as the real binary writes it: what it tells, what it never tells, and who may
//! change it while it runs.

use std::io::{BufRead as _, BufReader};
use std::process::Child;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::daemon::daemon;
use crate::http1::{ask, get};
use crate::support::{Client, SAY_HELLO, eventually, framed, grpc_request};

/// A running daemon whose log is read when it has ended.
struct Daemon {
    child: Child,
    address: String,
    admin: String,
}

impl Daemon {
    fn start(flags: &[&str]) -> Daemon {
        let always = ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--log-format=json"];
        let mut child = daemon(&[&always, flags].concat()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = |prefix: &str| {
            let line = lines.next().unwrap().unwrap();
            line.strip_prefix(prefix).unwrap_or_else(|| panic!("{line}")).to_owned()
        };
        let address = next("listening on http://");
        let admin = next("admin on http://");
        Daemon { child, address, admin }
    }

    async fn connect(&self) -> Client {
        let tcp = TcpStream::connect(&self.address).await.unwrap();
        tcp.set_nodelay(true).unwrap(); // or each small frame waits 40 ms for the one before
        Client::handshake(tcp).await
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Its log, and of that the lines about calls.
    async fn ended(self) -> (String, Vec<serde_json::Value>) {
        self.signal(rustix::process::Signal::TERM);
        // Elsewhere, or nobody would answer the GOAWAY here.
        let output = tokio::task::spawn_blocking(|| self.child.wait_with_output().unwrap());
        let output = output.await.unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{log}");
        let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
        let calls = lines.filter(|line: &serde_json::Value| line["target"] == "access").collect();
        (log, calls)
    }
}

#[tokio::test]
async fn all_calls_are_told_with_status_time_peer_and_trace_and_without_the_name() {
    let daemon = Daemon::start(&["--access-log=all"]);
    let client = daemon.connect().await;
    let mut request = grpc_request(SAY_HELLO, framed(b"\x0a\x06Secret"));
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request.headers_mut().insert("traceparent", traceparent.parse().unwrap());
    client.send(request).await;
    client.send(grpc_request("/made.Up/%0a%22Path\u{202e}\u{9b}", framed(b""))).await;
    let (log, calls) = daemon.ended().await;

    let [hello, unknown] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!(hello["method"], "greet.Greeter/SayHello");
    assert_eq!(hello["status"], "OK");
    assert_eq!(hello["name_bytes"], 6);
    assert_eq!(hello["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(hello["took_us"].is_u64(), "{hello}");
    assert!(hello["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{hello}");
    assert!(!log.contains("Secret"), "{log}");
    assert_eq!(
        (&unknown["method"], &unknown["status"]),
        (&"other".into(), &"UNIMPLEMENTED".into())
    );
    assert_eq!(unknown["path"], "/made.Up/%0a%22Path\\u{202e}\\u{9b}");
}

#[tokio::test]
async fn by_default_calls_that_failed_are_told_and_no_more_of_them_than_the_limit() {
    let daemon = Daemon::start(&["--workers=1"]);
    let client = daemon.connect().await;
    client.say_hello("Ada").await.unwrap();
    for _ in 0..200 {
        client.say_hello(&"x".repeat(5_000)).await.unwrap_err();
    }
    let (_, mut calls) = daemon.ended().await;
    let more = |call: &serde_json::Value| call["suppressed"].as_u64().unwrap_or_default();
    let untold: u64 = calls.iter().map(more).sum();
    let last = calls.pop().unwrap();
    assert_eq!(last["message"], "calls failed", "{last}");
    assert!(calls.iter().all(|call| call["status"] == "INVALID_ARGUMENT"), "{calls:?}");
    // Twenty a second, and the calls may have taken a few of those.
    assert!((20..200).contains(&calls.len()), "{}", calls.len());
    assert_eq!(calls.len() as u64 + untold, 200, "none is lost");
}

#[tokio::test]
async fn off_is_silence() {
    let daemon = Daemon::start(&["--access-log=off"]);
    daemon.connect().await.say_hello(&"x".repeat(5_000)).await.unwrap_err();
    assert_eq!(daemon.ended().await.1, Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn the_filter_changes_at_run_time_by_signal_and_by_the_admin_port() {
    let daemon = Daemon::start(&["--log-level=warn"]);
    let filter = async || get(&daemon.admin, "/log-level").await.text().trim().to_owned();
    assert_eq!(filter().await, "warn");
    let page = ask(&daemon.admin, "PUT /log-level HTTP/1.1", b"h2=debug,info\n").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("h2=debug"), "{}", page.text());
    let page = ask(&daemon.admin, "PUT /log-level HTTP/1.1", b"inof").await;
    assert_eq!(page.status, 400);
    assert!(page.text().contains("\"inof\" is not error, warn"), "{}", page.text());
    let page = ask(&daemon.admin, "PUT /log-level HTTP/1.1", &[b'x'; 1_025]).await;
    assert_eq!(page.status, 413);

    let mut cut_short = TcpStream::connect(&daemon.admin).await.unwrap();
    let head = b"PUT /log-level HTTP/1.1\r\nhost: test\r\ncontent-length: 40\r\n\r\nwarn";
    cut_short.write_all(head).await.unwrap();
    cut_short.shutdown().await.unwrap();
    let mut answer = String::new();
    cut_short.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");

    daemon.signal(rustix::process::Signal::USR1);
    eventually("the filter is debug", async || filter().await == "debug").await;
    daemon.signal(rustix::process::Signal::USR1);
    eventually("the filter is warn", async || filter().await == "warn").await;
    let (log, _) = daemon.ended().await;
    assert!(log.contains("log filter changed"), "{log}");
}

#[tokio::test]
async fn lines_that_nobody_can_read_any_more_are_counted() {
    let mut daemon = Daemon::start(&["--access-log=all"]);
    drop(daemon.child.stderr.take());
    daemon.connect().await.say_hello("Ada").await.unwrap();
    let dropped = async || {
        let metrics = get(&daemon.admin, "/metrics").await;
        let mut lines = metrics.text().lines();
        let count = lines.find_map(|line| line.strip_prefix("greet_log_lines_dropped_total "));
        count.unwrap().parse::<u64>().unwrap()
    };
    eventually("dropped lines are counted", async || dropped().await > 0).await;
    daemon.signal(rustix::process::Signal::TERM);
    let ended = tokio::task::spawn_blocking(move || daemon.child.wait().unwrap());
    assert_eq!(ended.await.unwrap().code(), Some(0));
}
