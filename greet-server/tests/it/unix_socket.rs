//! Unix socket files: a stale file is replaced, a live one is kept, our own is removed at the end.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use greet_server::{Flags, Server, config};
use greet_testkit::{Client, TestServer};
use tokio::net::UnixStream;

use crate::support::process::Process;
use crate::support::skip;

fn listen(path: &Path) -> String {
    format!("--listen=unix:{}", path.display())
}

async fn bind(path: &Path) -> Result<Server, String> {
    let config = config::load::<Flags>(["greet-server", &listen(path)]).unwrap().config;
    let bound = Server::bind(config, |_| Vec::new()).await;
    bound.map_err(|error| format!("{:#}", anyhow::Error::new(error)))
}

async fn assert_served(path: &Path) {
    let client = Client::handshake(UnixStream::connect(path).await.unwrap()).await;
    assert_eq!(client.echo("Ada").await.unwrap(), "Ada");
}

#[tokio::test]
async fn unix_socket_serves_and_its_file_is_removed_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("greet.sock");
    let server = TestServer::start(&[&listen(&path)]);
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
    let server = TestServer::start(&[&listen(&path)]);
    assert_served(&path).await;
    server.stop().await;
}

#[tokio::test]
async fn live_socket_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("greet.sock");
    let server = TestServer::start(&[&listen(&path)]);
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
    let server = TestServer::start(&[&listen(&path)]);
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
    let server = TestServer::start(&[&listen(&path)]);
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    server.stop().await;
    assert!(path.exists());
}

#[tokio::test]
async fn lock_of_the_socket_follows_no_symlink() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("greet.sock");
    let (lock, target) =
        (directory.path().join("greet.sock.lock"), directory.path().join("target"));
    let expected = |problem: &str| {
        let (path, lock) = (path.display(), lock.display());
        format!("could not listen on unix:{path}: could not lock `{lock}`: {problem}")
    };
    symlink(&target, &lock).unwrap();
    let error = bind(&path).await.unwrap_err();
    assert_eq!(error, expected("it is a symbolic link; remove it"));
    assert!(!target.exists() && !path.exists());

    fs::remove_file(&lock).unwrap();
    assert!(Command::new("mkfifo").arg(&lock).status().unwrap().success());
    let error = bind(&path).await.unwrap_err();
    assert_eq!(error, expected("it is not a regular file; remove it"));
}

#[tokio::test]
async fn lock_of_another_user_is_named_in_the_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("greet.sock");
    let lock = directory.path().join("greet.sock.lock");
    fs::write(&lock, "").unwrap();
    if chown(&lock, Some(12_345), None).is_err() {
        return skip("only root can give a file away");
    }
    let error = bind(&path).await.unwrap_err();
    let problem =
        format!("could not lock `{}`: it belongs to user 12345; remove it", lock.display());
    assert!(error.ends_with(&problem), "{error}");
    assert!(lock.exists());
}

#[tokio::test]
async fn held_lock_is_named_in_the_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("greet.sock");
    let lock = directory.path().join("greet.sock.lock");
    let held = fs::File::create(&lock).unwrap();
    held.lock().unwrap();
    let error = bind(&path).await.unwrap_err();
    let problem = format!("could not lock `{}`: another process is starting there", lock.display());
    assert!(error.ends_with(&problem), "{error}");
    drop(held); // a leftover file does not prevent the start
    let server = TestServer::start(&[&listen(&path)]);
    server.stop().await;
}

#[tokio::test]
async fn missing_directory_of_the_socket_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing").join("greet.sock");
    let expected = format!("could not listen on unix:{}: No such file", path.display());
    let error = bind(&path).await.unwrap_err();
    assert!(error.starts_with(&expected), "{error}");
}

/// Starts the daemon with a umask. Returns all modes that its socket file had until it listened.
fn modes(umask: &str, mode: &str) -> Vec<u32> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("greet.sock");
    let is_listening = Arc::new(AtomicBool::new(false));
    let watcher = std::thread::spawn({
        let (path, is_listening) = (path.clone(), is_listening.clone());
        move || {
            let mut modes = BTreeSet::new();
            while !is_listening.load(Ordering::Acquire) || modes.is_empty() {
                let file = fs::symlink_metadata(&path);
                modes.extend(file.map(|file| file.permissions().mode() & 0o777));
            }
            modes.into_iter().collect()
        }
    });
    let program = env!("CARGO_BIN_EXE_greet-server");
    let script = format!("umask {umask}; exec {program} --listen unix:{}{mode}", path.display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = Process::start(&mut shell);
    assert_eq!(process.next_line(), format!("listening on unix:{}", path.display()));
    is_listening.store(true, Ordering::Release);
    let modes = watcher.join().unwrap();
    assert_eq!(process.stop().code, Some(0));
    assert!(!path.exists());
    modes
}

#[test]
fn mode_of_the_socket_holds_from_the_first_moment() {
    for (mode, bits) in [("?mode=0600", 0o600), ("?mode=0660", 0o660)] {
        let modes = modes("0", mode);
        // Elsewhere a socket has no mode before it has a file; it does not listen meanwhile.
        assert!(modes == [bits] || !cfg!(target_os = "linux"), "{modes:?}");
        assert!(modes.contains(&bits), "{modes:?}");
    }
    assert!(modes("077", "?mode=0660").contains(&0o660), "wider than the umask allows");
    assert_eq!(modes("022", ""), [0o755]);
}
