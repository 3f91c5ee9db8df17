//! A socket file is cleaned up when stale, never stolen when live, and gone after the end.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

use greet_server::config;
use greet_server::{Greeting, Server};
use tokio::net::UnixStream;

use crate::support::{Client, TestServer};

fn listen(path: &Path) -> String {
    format!("--listen=unix:{}", path.display())
}

async fn bind(path: &Path) -> Result<Server, String> {
    let config = config::load(["greet-server", &listen(path)]).unwrap().config;
    let bound = Server::bind(config, Greeting::new(10)).await;
    bound.map_err(|error| format!("{:#}", anyhow::Error::new(error)))
}

async fn greets_on(path: &Path) {
    let client = Client::handshake(UnixStream::connect(path).await.unwrap()).await;
    assert_eq!(client.say_hello("Ada").await.unwrap(), "Hello Ada");
}

#[tokio::test]
async fn a_unix_socket_serves_and_its_file_is_gone_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("greet.sock");
    let server = TestServer::start(&[&listen(&path)]).await;
    assert_eq!(server.url, format!("unix:{}", path.display()));
    greets_on(&path).await;
    server.stop().await;
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
}

#[tokio::test]
async fn a_stale_socket_file_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("greet.sock");
    drop(UnixListener::bind(&path).unwrap()); // the file stays, as after a kill -9
    assert!(path.exists());
    let server = TestServer::start(&[&listen(&path)]).await;
    greets_on(&path).await;
    server.stop().await;
}

#[tokio::test]
async fn a_live_socket_is_not_stolen() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("greet.sock");
    let server = TestServer::start(&[&listen(&path)]).await;
    let problem = bind(&path).await.unwrap_err();
    assert_eq!(
        problem,
        format!(
            "could not listen on unix:{}: a process is listening there already",
            path.display()
        )
    );
    greets_on(&path).await;
    server.stop().await;
}

/// A live server that does not come round to accepting: its queue is full, and a connect would wait.
#[tokio::test]
async fn a_socket_whose_queue_is_full_is_live_too() {
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

/// Anyone who can open a directory can hold its lock; that must not hold us.
#[tokio::test]
async fn a_lock_on_the_directory_hinders_neither_start_nor_stop() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("greet.sock");
    let held = fs::File::open(&directory).unwrap();
    held.lock().unwrap();
    let server = TestServer::start(&[&listen(&path)]).await;
    greets_on(&path).await;
    server.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("precious.txt");
    fs::write(&path, "data").unwrap();
    assert!(bind(&path).await.unwrap_err().contains("not a socket"));
    assert_eq!(fs::read(&path).unwrap(), b"data");
}

#[tokio::test]
async fn a_file_that_another_process_put_in_our_place_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("greet.sock");
    let server = TestServer::start(&[&listen(&path)]).await;
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    server.stop().await;
    assert!(path.exists());
}
