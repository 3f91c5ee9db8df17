//! A socket file is cleaned up when stale, never stolen when live, and gone after the end.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

use clap::Parser as _;
use greet_server::flags::Flags;
use greet_server::{Greeting, Server};
use tokio::net::UnixStream;

use crate::support::{Client, TestServer};

fn listen(path: &Path) -> String {
    format!("--listen=unix:{}", path.display())
}

fn bind(path: &Path) -> Result<Server, String> {
    let flags = Flags::try_parse_from(["greet-server", &listen(path)]).unwrap();
    let bound = Server::bind(flags.resolve().unwrap(), Greeting::new(10));
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
    let server = TestServer::start(&[&listen(&path)]);
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
    let server = TestServer::start(&[&listen(&path)]);
    greets_on(&path).await;
    server.stop().await;
}

#[tokio::test]
async fn a_live_socket_is_not_stolen() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("greet.sock");
    let server = TestServer::start(&[&listen(&path)]);
    let problem = bind(&path).unwrap_err();
    assert_eq!(
        problem,
        format!("could not listen on unix:{}: another process is listening there", path.display())
    );
    greets_on(&path).await;
    server.stop().await;
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("precious.txt");
    fs::write(&path, "data").unwrap();
    assert!(bind(&path).unwrap_err().contains("not a socket"));
    assert_eq!(fs::read(&path).unwrap(), b"data");
}

#[tokio::test]
async fn a_file_that_another_process_put_in_our_place_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("greet.sock");
    let server = TestServer::start(&[&listen(&path)]);
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    server.stop().await;
    assert!(path.exists());
}
