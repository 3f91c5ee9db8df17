//! Limits of connections, in total and per address. A refusal is counted and affects no other
//! connection.

use std::net::SocketAddr;
#[cfg(unix)]
use std::process::Stdio;

use greet_server::CloseReason;
use greet_testkit::probe::{ProbeRequest, Script};
use greet_testkit::{Client, ScriptedProbe, TestServer, closed, eventually, with_timeout};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::samples::{ADMIN, Samples, scrape_until};

/// Keeps a handshake timeout from passing for a refusal.
const NO_HANDSHAKE_TIMEOUT: &str = "--handshake-timeout=1h";

/// Returns once the server has closed a silent connection.
async fn assert_refused(mut tcp: TcpStream) {
    let read = with_timeout(tcp.read(&mut [0])).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

/// Connects and calls. Returns false if the server refuses the connection.
async fn accepts_calls(address: &str) -> bool {
    match Client::try_handshake(TcpStream::connect(address).await.unwrap()).await {
        Some(client) => client.is_serving().await.is_ok(),
        None => false,
    }
}

#[tokio::test]
async fn connection_over_the_limit_is_refused_until_another_ends() {
    let server = TestServer::start(&["--max-connections=2", NO_HANDSHAKE_TIMEOUT]);
    let first = server.connect().await;
    assert!(first.echo("Ada").await.is_ok());
    let second = server.connect().await;
    assert!(second.echo("Ada").await.is_ok());
    let mut refused = 3;
    for _ in 0..refused {
        assert_refused(server.tcp().await).await;
    }
    assert_eq!(first.echo("Bob").await.unwrap(), "Bob");

    drop(second);
    let address = server.address();
    let is_admitted = async || {
        let accepts_calls = accepts_calls(address).await;
        refused += u64::from(!accepts_calls);
        accepts_calls
    };
    eventually("the next connection is admitted", is_admitted).await;
    assert_eq!(closed(&server.stop().await, CloseReason::OverMaxConnections), refused);
}

/// While its worker is busy, a connection that its peer has closed must not count against the limit.
#[tokio::test]
async fn closed_connections_of_a_busy_worker_do_not_use_up_the_limit() {
    const MAX_CONNECTIONS: usize = 300;
    /// Those that wait for the worker, in limits.md.
    const UNSTARTED: u64 = 128;
    let probe = ScriptedProbe::new();
    let flags = ["--workers=1", &format!("--max-connections={MAX_CONNECTIONS}"), ADMIN];
    let server = TestServer::with_probe(&flags, &probe);
    let good = server.connect().await;
    let block = ProbeRequest::new(Script::Block, "", 0);
    let blocked = tokio::spawn(async move { good.probe().echo(block).await });
    probe.waits_begun(1).await;
    for _ in 0..2 * MAX_CONNECTIONS {
        drop(server.tcp().await);
    }
    let accepted = |samples: &Samples| {
        let accepted = samples.get("greet_connections_accepted_total");
        assert!(accepted <= 1 + UNSTARTED, "{accepted}");
        accepted == 1 + UNSTARTED
    };
    scrape_until(&server, accepted).await;

    probe.release(1);
    assert!(blocked.await.unwrap().is_ok());
    assert!(accepts_calls(server.address()).await);
    assert_eq!(closed(&server.stop().await, CloseReason::OverMaxConnections), 0);
}

#[tokio::test]
async fn limit_per_address_does_not_affect_other_addresses() {
    let server = TestServer::start(&["--max-connections-per-ip=1", NO_HANDSHAKE_TIMEOUT]);
    let from = async |ip: &str| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(ip.parse().unwrap(), 0)).unwrap();
        socket.connect(server.address().parse().unwrap()).await.unwrap()
    };
    let first = Client::handshake(from("127.0.0.1").await).await;
    assert!(first.echo("Ada").await.is_ok());
    assert_refused(from("127.0.0.1").await).await;
    let other = Client::handshake(from("127.0.0.2").await).await;
    assert_eq!(other.echo("Ada").await.unwrap(), "Ada");
    assert_eq!(first.echo("Ada").await.unwrap(), "Ada");
    let report = server.stop().await;
    assert_eq!(closed(&report, CloseReason::OverMaxConnectionsPerIp), 1);
}

/// Without this default the daemon would run out of descriptors and stop accepting.
#[cfg(unix)]
#[tokio::test]
async fn default_limit_leaves_room_within_the_descriptor_limit() {
    use crate::support::process::{Process, daemon};

    let daemon = daemon(&["--listen=127.0.0.1:0", "--workers=2"]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]).arg(daemon.get_program());
    shell.args(daemon.get_args()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Process::start(&mut shell);
    let address = process.next_address();

    let good = Client::connect(&address).await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(TcpStream::connect(&address).await.unwrap());
        assert!(good.is_serving().await.unwrap());
    }
    drop(crowd);
    eventually("a later client is served", async || accepts_calls(&address).await).await;
    let exit = process.stop_async().await;
    assert!(exit.log.contains("over_max_connections"), "{exit:?}");
    assert!(!exit.log.contains("accept failed"), "{exit:?}");
}
