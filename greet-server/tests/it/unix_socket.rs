//! Unix socket files: a stale file is replaced, a live one is kept, our own is removed at the end.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

use greet_server::config;
use greet_server::{Server, services};
use tokio::net::UnixStream;

use crate::support::{Client, TestServer};

fn listen(path: &Path) -> String {
    format!("--listen=unix:{}", path.display())
}

async fn bind(path: &Path) -> Result<Server, String> {
    let config = config::load(["greet-server", &listen(path)]).unwrap().config;
    let bound = Server::bind(config, services::all).await;
    bound.map_err(|error| format!("{:#}", anyhow::Error::new(error)))
}

async fn assert_served(path: &Path) {
    let client = Client::handshake(UnixStream::connect(path).await.unwrap()).await;
    assert_eq!(client.say_hello("Ada").await.unwrap(), "Hello Ada");
}

#[tokio::test]
async fn unix_socket_serves_and_its_file_is_removed_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("greet.sock");
    let server = TestServer::start(&[&listen(&path)]).await;
    assert_eq!(server.url, format!("unix:{}", path.display()));
    assert_served(&path).await;
    server.stop().await;
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
}

#[tokio::test]
async fn stale_socket_file_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("greet.sock");
    drop(UnixListener::bind(&path).unwrap()); // the file stays, as after SIGKILL
    assert!(path.exists());
    let server = TestServer::start(&[&listen(&path)]).await;
    assert_served(&path).await;
    server.stop().await;
}

#[tokio::test]
async fn live_socket_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("greet.sock");
    let server = TestServer::start(&[&listen(&path)]).await;
    let error = bind(&path).await.unwrap_err();
    assert_eq!(
        error,
        format!(
            "could not listen on unix:{}: a process is listening there already",
            path.display()
        )
    );
    assert_served(&path).await;
    server.stop().await;
}

/// The server does not accept and its queue is full, so that a connect would block.
#[tokio::test]
async fn socket_with_a_full_queue_is_live() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("greet.sock");
    let address = socket2::SockAddr::unix(&path).unwrap();
    let socket =
        || socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    let busy = socket();
    busy.bind(&address).unwrap();
    busy.listen(0).unwrap();
    let waiting: Vec<_> = std::iter::repeat_with(|| {
        let client = socket();
        client.set_nonblocking(true).unwrap();
        client.connect(&address).map(|()| client)
    })
    .take_while(Result::is_ok)
    .collect();
    assert!(!waiting.is_empty());
    assert!(bind(&path).await.unwrap_err().contains("a process is listening there already"));
}

/// Any process that can open a directory can lock it.
#[tokio::test]
async fn locked_directory_blocks_neither_start_nor_stop() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("greet.sock");
    let lock = fs::File::open(&directory).unwrap();
    lock.lock().unwrap();
    let server = TestServer::start(&[&listen(&path)]).await;
    assert_served(&path).await;
    server.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn file_that_is_not_a_socket_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.txt");
    fs::write(&path, "data").unwrap();
    assert!(bind(&path).await.unwrap_err().contains("not a socket"));
    assert_eq!(fs::read(&path).unwrap(), b"data");
}

#[tokio::test]
async fn socket_file_of_another_process_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("greet.sock");
    let server = TestServer::start(&[&listen(&path)]).await;
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    server.stop().await;
    assert!(path.exists());
}
