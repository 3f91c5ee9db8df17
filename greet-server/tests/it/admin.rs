//! The admin port: its pages, its limits, and its availability under load and during a drain.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use greet_testkit::probe::Script;
use greet_testkit::{ScriptedProbe, TEST_TIMEOUT, TestServer, eventually, with_timeout};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::http1;
#[cfg(unix)]
use crate::support::process::{Process, daemon};

const ADMIN: &str = "--admin-listen=127.0.0.1:0";
/// Maximum concurrent connections.
const MAX_CONNECTIONS: usize = 32;

#[tokio::test]
async fn readiness_ends_at_lame_duck_and_liveness_does_not() {
    let mut server = TestServer::start(&[ADMIN, "--drain-delay=1h"]);
    let client = server.connect().await;
    assert_eq!(client.echo("Ada").await.unwrap(), "Ada");
    let admin = server.admin().to_owned();
    let ready = http1::get(&admin, "/readyz").await;
    assert_eq!((ready.status, ready.text()), (200, "ready\n"));

    server.drain();
    let is_not_ready = async || http1::get(&admin, "/readyz").await.status != 200;
    eventually("readiness ends", is_not_ready).await;
    let page = http1::get(&admin, "/readyz").await;
    assert_eq!((page.status, page.text()), (503, "not ready: lame_duck\n"));
    assert_eq!(http1::get(&admin, "/livez").await.status, 200);
    let metrics = http1::get(&admin, "/metrics").await;
    assert!(metrics.text().contains("\ngreet_phase{phase=\"lame_duck\"} 1\n"));
    assert_eq!(client.echo("Ada").await.unwrap(), "Ada");
    server.cut();
    server.stop().await;
    let is_refused = async || TcpStream::connect(&admin).await.is_err();
    eventually("the admin port closes with the daemon", is_refused).await;
}

#[tokio::test]
async fn index_page_has_version_phase_and_links() {
    let server = TestServer::start(&[ADMIN]);
    let page = http1::get(server.admin(), "/").await;
    let html = page.text();
    assert!(html.contains(&format!("greet-server {}", greet_flags::product::version())), "{html}");
    assert!(html.contains("serving"), "{html}");
    let links: Vec<_> =
        html.split("href=\"").skip(1).filter_map(|link| link.split('"').next()).collect();
    assert_eq!(links, ["/livez", "/readyz", "/metrics", "/log-level", "/health/", "/faults"]);
    for path in &links[..3] {
        assert_eq!(http1::get(server.admin(), path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn unknown_path_is_404_and_other_method_is_405() {
    let server = TestServer::start(&[ADMIN]);
    assert_eq!(http1::get(server.admin(), "/nothing").await.status, 404);
    let page = http1::request(server.admin(), "DELETE /metrics HTTP/1.1", b"").await;
    assert_eq!(page.status, 405);
    assert!(page.head.contains("allow: GET, HEAD"), "{}", page.head);
    let head = http1::request(server.admin(), "HEAD /livez HTTP/1.1", b"").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test]
async fn connection_over_the_limit_evicts_the_oldest() {
    let server = TestServer::start(&[ADMIN]);
    let mut silent = Vec::new();
    for _ in 1..MAX_CONNECTIONS {
        silent.push(TcpStream::connect(server.admin()).await.unwrap());
    }
    let is_open = |tcp: &TcpStream| {
        let read = tcp.try_read(&mut [0]).map_err(|error| error.kind());
        matches!(read, Err(std::io::ErrorKind::WouldBlock))
    };
    assert_eq!(http1::get(server.admin(), "/livez").await.status, 200, "at the limit");
    assert!(silent.iter().all(is_open));
    silent.push(TcpStream::connect(server.admin()).await.unwrap());
    assert_eq!(http1::get(server.admin(), "/livez").await.status, 200, "over the limit");
    assert_eq!(with_timeout(silent[0].read(&mut [0])).await.unwrap_or_default(), 0, "evicted");
    assert!(silent[1..].iter().all(is_open));
}

/// Each request follows its connection at once: the oldest one has little time when others wait.
#[test]
fn burst_of_requests_over_the_limit_is_answered() {
    let server = TestServer::start(&[ADMIN]);
    let requested = |_| {
        let mut tcp = std::net::TcpStream::connect(server.admin()).unwrap();
        tcp.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        tcp.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        tcp
    };
    let burst: Vec<_> = (0..10 * MAX_CONNECTIONS).map(requested).collect();
    for mut tcp in burst {
        let mut response = String::new();
        tcp.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    }
}

#[tokio::test]
async fn silent_connection_stays_open_until_its_timeout() {
    let server = TestServer::start(&[ADMIN]);
    let mut silent = TcpStream::connect(server.admin()).await.unwrap();
    let connected = Instant::now();
    let mut received = Vec::new();
    let _ = with_timeout(silent.read_to_end(&mut received)).await; // closed or reset
    let open = connected.elapsed();
    assert!((Duration::from_secs(4)..Duration::from_secs(7)).contains(&open), "{open:?}");
    assert!(received.is_empty(), "{received:?}");
}

#[tokio::test]
async fn admin_port_answers_while_every_worker_is_blocked() {
    let probe = ScriptedProbe::new();
    let server = TestServer::with_probe(&[ADMIN, "--workers=1"], &probe);
    let client = server.connect().await;
    let blocked = tokio::spawn(async move { client.run(Script::Block).await });
    probe.waits_begun(1).await;
    assert_eq!(http1::get(server.admin(), "/livez").await.status, 200);
    let metrics = http1::get(server.admin(), "/metrics").await;
    assert!(metrics.text().contains("\ngreet_calls_in_flight 1\n"));
    probe.release(1);
    with_timeout(blocked).await.unwrap().unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn admin_unix_socket_is_removed_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let server = TestServer::start(&[&format!("--admin-listen=unix:{}", path.display())]);
    assert!(path.exists());
    server.stop().await;
    assert!(!path.exists());
}

/// Sends a request and closes the sending half of the connection, as `nc -N` does.
async fn half_closed(address: &str, request: &str) -> String {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    tcp.shutdown().await.unwrap();
    let mut response = String::new();
    with_timeout(tcp.read_to_string(&mut response)).await.unwrap();
    response
}

#[tokio::test]
async fn half_closed_connection_gets_its_response() {
    let server = TestServer::start(&[ADMIN]);
    for path in ["/livez", "/readyz", "/metrics", "/"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
        let response = half_closed(server.admin(), &request).await;
        assert!(response.starts_with("HTTP/1.1 200 "), "{path}: {response}");
        let response = half_closed(server.admin(), &format!("GET {path} HTTP/1.0\r\n\r\n")).await;
        assert!(response.starts_with("HTTP/1.0 200 "), "{path}: {response}");
    }
}

#[tokio::test]
async fn request_without_exactly_one_valid_host_is_400() {
    let server = TestServer::start(&[ADMIN]);
    for (hosts, version, status) in [
        ("", "1.1", 400),
        ("", "1.0", 200),
        ("Host: a\r\nHost: a\r\n", "1.1", 400),
        ("Host: a\r\nHost: a\r\n", "1.0", 400),
        ("Host: a b\r\n", "1.1", 400),
        ("Host: user@a\r\n", "1.1", 400),
        ("Host:\r\n", "1.1", 200),
        ("Host: greet_backend\r\n", "1.1", 200),
        ("Host: metrics.greet:9090\r\n", "1.1", 200),
    ] {
        let request = format!("GET /livez HTTP/{version}\r\n{hosts}\r\n");
        let response = half_closed(server.admin(), &request).await;
        let expected = format!("HTTP/{version} {status} ");
        assert!(response.starts_with(&expected), "{request:?}: {response}");
    }
}

/// Sends a request that would change the log filter, and returns the status.
async fn put_filter(address: &str, headers: &str) -> u16 {
    let head = format!("PUT /log-level HTTP/1.1\r\ncontent-length: 4\r\n{headers}\r\n");
    let response = half_closed(address, &format!("{head}info")).await;
    response.split(' ').nth(1).expect(&response).parse().unwrap()
}

#[cfg(unix)]
#[test]
fn log_filter_changes_only_by_ip_address_or_localhost() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut process = Process::start(&mut daemon(&["--listen=127.0.0.1:0", ADMIN]));
    let [_, admin] = [process.next_address(), process.next_address()];
    let put = |headers: &str| runtime.block_on(put_filter(&admin, headers));
    let attacker = "rebound.example:9090";
    for (headers, status) in [
        (format!("Host: {admin}\r\n"), 200),
        ("Host: 10.1.2.3\r\n".to_owned(), 200),
        ("Host: [fd00::1]:9090\r\n".to_owned(), 200),
        ("Host: LOCALHOST:1\r\n".to_owned(), 200),
        (format!("Host: {admin}\r\nOrigin: http://{admin}\r\n"), 200),
        (format!("Host: {attacker}\r\n"), 403),
        ("Host: localhost.rebound.example\r\n".to_owned(), 403),
        ("Host: 127.0.0.1.rebound.example\r\n".to_owned(), 403),
        (format!("Host: {attacker}\r\nOrigin: http://{attacker}\r\n"), 403),
        (format!("Host: {admin}\r\nOrigin: http://{attacker}\r\n"), 403),
        (format!("Host: {admin}\r\nOrigin: null\r\n"), 403),
        (String::new(), 400),
    ] {
        assert_eq!(put(&headers), status, "{headers}");
    }
    process.stop();
}

#[tokio::test]
async fn page_of_another_site_reads_nothing() {
    let server = TestServer::start(&[ADMIN]);
    let admin = server.admin();
    for (origin, status) in [
        (format!("http://{admin}"), 200),
        (format!("https://{admin}"), 200),
        ("http://other".to_owned(), 403),
        ("null".to_owned(), 403),
    ] {
        let head = format!("GET /metrics HTTP/1.1\r\norigin: {origin}");
        assert_eq!(http1::request(server.admin(), &head, b"").await.status, status, "{origin}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn read_only_admin_port_rejects_a_change() {
    let flags = ["--listen=127.0.0.1:0", ADMIN, "--admin-read-only"];
    let mut process = Process::start(&mut daemon(&flags));
    let [_, admin] = [process.next_address(), process.next_address()];
    assert_eq!(put_filter(&admin, &format!("Host: {admin}\r\n")).await, 405);
    assert_eq!(http1::get(&admin, "/log-level").await.text(), "info\n");
    assert!(!http1::get(&admin, "/").await.text().contains("PUT"));
    process.stop_async().await;
}
