//! So many connections and no more; who is refused is counted, and who was there does not notice.

use std::net::SocketAddr;

use greet_server::CloseReason;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Client, TestServer, closed, eventually, soon};

/// Whether the server closes a connection that says nothing, and long before its handshake is due.
async fn is_refused(mut tcp: TcpStream) -> bool {
    matches!(soon(tcp.read(&mut [0])).await, Ok(0) | Err(_))
}

/// Connects and calls; false if the server refuses the connection.
async fn is_greeted(address: &str) -> bool {
    match Client::try_handshake(TcpStream::connect(address).await.unwrap()).await {
        Some(client) => client.say_hello("Ada").await.is_ok(),
        None => false,
    }
}

#[tokio::test]
async fn one_connection_over_the_limit_is_refused_and_a_place_that_is_left_is_free() {
    let server = TestServer::start(&["--max-connections=2"]).await;
    let first = server.connect().await;
    assert!(first.say_hello("Ada").await.is_ok());
    let second = server.connect().await;
    assert!(second.say_hello("Ada").await.is_ok());
    for _ in 0..3 {
        assert!(is_refused(server.tcp().await).await);
    }
    assert_eq!(first.say_hello("Bob").await.unwrap(), "Hello Bob");

    drop(second);
    let address = server.address();
    eventually("the freed place is taken", async || is_greeted(address).await).await;
    assert!(closed(&server.stop().await, CloseReason::OverMaxConnections) >= 3);
}

#[tokio::test]
async fn an_address_may_have_its_share_and_others_theirs() {
    let server = TestServer::start(&["--max-connections-per-ip=1"]).await;
    let from = async |ip: &str| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(ip.parse().unwrap(), 0)).unwrap();
        socket.connect(server.address().parse().unwrap()).await.unwrap()
    };
    let one = Client::handshake(from("127.0.0.1").await).await;
    assert!(one.say_hello("Ada").await.is_ok());
    assert!(is_refused(from("127.0.0.1").await).await);
    let two = Client::handshake(from("127.0.0.2").await).await;
    assert_eq!(two.say_hello("Ada").await.unwrap(), "Hello Ada");
    assert_eq!(one.say_hello("Ada").await.unwrap(), "Hello Ada");
    let outcome = server.stop().await;
    assert_eq!(closed(&outcome, CloseReason::OverMaxConnectionsPerIp), 1);
}

/// Without the limit the daemon would run out of descriptors and wait for some, deaf to everybody.
#[cfg(unix)]
#[test]
fn the_default_leaves_room_within_the_descriptors_that_the_process_may_have() {
    use std::io::{BufRead as _, Read as _};

    let binary = env!("CARGO_BIN_EXE_greet-server");
    let script = format!("ulimit -n 64; exec {binary} --listen 127.0.0.1:0 --workers 2");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]).stdout(std::process::Stdio::piped());
    let mut daemon = shell.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").unwrap().to_owned();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let good = Client::handshake(TcpStream::connect(&address).await.unwrap()).await;
        let mut crowd = Vec::new();
        for _ in 0..200 {
            crowd.push(TcpStream::connect(&address).await.unwrap());
            assert_eq!(good.say_hello("Ada").await.unwrap(), "Hello Ada");
        }
        drop(crowd);
        eventually("a late client is greeted", async || is_greeted(&address).await).await;
    });
    let pid = rustix::process::Pid::from_child(&daemon);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut log = String::new();
    daemon.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    daemon.wait().unwrap();
    assert!(log.contains("over_max_connections"), "{log}");
    assert!(!log.contains("accept failed"), "{log}");
}
