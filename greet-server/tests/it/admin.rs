//! The admin port: what it says of the daemon, and that it stays there for whoever asks.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::http1::{ask, get};
use crate::support::{TestServer, eventually, soon};

const ADMIN: &str = "--admin-listen=127.0.0.1:0";
/// Connections that it serves at a time.
const MOST: usize = 32;

#[tokio::test]
async fn readiness_ends_with_the_first_moment_of_a_drain_and_liveness_does_not() {
    let mut server = TestServer::start(&[ADMIN, "--drain-delay=1h"]).await;
    let client = server.connect().await;
    assert_eq!(client.say_hello("Ada").await.unwrap(), "Hello Ada");
    let admin = server.admin().to_owned();
    let ready = get(&admin, "/readyz").await;
    assert_eq!((ready.status, ready.text()), (200, "ready\n"));

    server.drain();
    let is_lame = async || get(&admin, "/readyz").await.status != 200;
    eventually("readiness ends", is_lame).await;
    let page = get(&admin, "/readyz").await;
    assert_eq!((page.status, page.text()), (503, "not ready: lame_duck\n"));
    assert_eq!(get(&admin, "/livez").await.status, 200);
    let metrics = get(&admin, "/metrics").await;
    assert!(metrics.text().contains("\ngreet_phase{phase=\"lame_duck\"} 1\n"));
    assert_eq!(client.say_hello("Ada").await.unwrap(), "Hello Ada", "all else goes on");
    server.cut();
    server.outcome().await;
    let is_refused = async || TcpStream::connect(&admin).await.is_err();
    eventually("the admin port closes with the daemon", is_refused).await;
}

#[tokio::test]
async fn the_first_page_lists_the_others_with_the_version_and_the_phase() {
    let server = TestServer::start(&[ADMIN]).await;
    let page = get(server.admin(), "/").await;
    let html = page.text();
    assert!(html.contains(concat!("greet-server ", env!("CARGO_PKG_VERSION"))), "{html}");
    assert!(html.contains("serving"), "{html}");
    let links: Vec<_> =
        html.split("href=\"").skip(1).filter_map(|it| it.split('"').next()).collect();
    assert_eq!(links, ["/livez", "/readyz", "/metrics", "/log-level"]);
    for path in &links[..3] {
        assert_eq!(get(server.admin(), path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_is_not_allowed_is_405() {
    let server = TestServer::start(&[ADMIN]).await;
    assert_eq!(get(server.admin(), "/nothing").await.status, 404);
    let page = ask(server.admin(), "DELETE /metrics HTTP/1.1", b"").await;
    assert_eq!(page.status, 405);
    assert!(page.head.contains("allow: GET, HEAD"), "{}", page.head);
    let head = ask(server.admin(), "HEAD /livez HTTP/1.1", b"").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test]
async fn so_many_are_served_at_a_time_and_the_next_takes_the_place_of_the_first() {
    let server = TestServer::start(&[ADMIN]).await;
    let mut silent = Vec::new();
    for _ in 1..MOST {
        silent.push(TcpStream::connect(server.admin()).await.unwrap());
    }
    let is_open = |tcp: &TcpStream| {
        let nothing_yet = tcp.try_read(&mut [0]).map_err(|error| error.kind());
        matches!(nothing_yet, Err(std::io::ErrorKind::WouldBlock))
    };
    assert_eq!(get(server.admin(), "/livez").await.status, 200, "there is a place left");
    assert!(silent.iter().all(is_open));
    silent.push(TcpStream::connect(server.admin()).await.unwrap());
    assert_eq!(get(server.admin(), "/livez").await.status, 200, "there is none, and yet");
    assert_eq!(soon(silent[0].read(&mut [0])).await.unwrap_or_default(), 0, "it had to go");
    assert!(silent[1..].iter().all(is_open));
}

#[tokio::test]
async fn a_burst_of_those_who_ask_is_answered_whole() {
    let server = TestServer::start(&[ADMIN]).await;
    let burst = (0..10 * MOST).map(|_| get(server.admin(), "/livez"));
    let pages = soon(futures_util::future::join_all(burst)).await;
    assert!(pages.iter().all(|page| page.status == 200));
}

#[tokio::test]
async fn silent_connection_stays_open_until_its_timeout() {
    let server = TestServer::start(&[ADMIN]).await;
    let mut silent = TcpStream::connect(server.admin()).await.unwrap();
    let connected = Instant::now();
    let mut received = Vec::new();
    let _ = soon(silent.read_to_end(&mut received)).await; // closed or reset
    let open = connected.elapsed();
    assert!((Duration::from_secs(4)..Duration::from_secs(7)).contains(&open), "{open:?}");
    assert!(received.is_empty(), "{received:?}");
}

#[tokio::test]
async fn it_answers_while_every_worker_is_stuck() {
    let greeter = crate::support::Faulty::new();
    let server = TestServer::with_greeter(&[ADMIN, "--workers=1"], greeter.clone()).await;
    let client = server.connect().await;
    let stuck = tokio::spawn(async move { client.say_hello("block").await });
    greeter.has_begun(1).await;
    assert_eq!(get(server.admin(), "/livez").await.status, 200);
    let metrics = get(server.admin(), "/metrics").await;
    assert!(metrics.text().contains("\ngreet_calls_in_flight 1\n"));
    greeter.release.add_permits(1);
    soon(stuck).await.unwrap().unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_of_its_own_is_gone_when_it_has_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let server = TestServer::start(&[&format!("--admin-listen=unix:{}", path.display())]).await;
    assert!(path.exists());
    server.stop().await;
    assert!(!path.exists());
}
