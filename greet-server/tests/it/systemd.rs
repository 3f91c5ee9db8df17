//! systemd: socket activation, notifications, and a port shared by two daemons.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use greet_testkit::certs::Ca;
use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::support::certs::Files;
use crate::support::process::{Process, daemon};
use crate::support::{Client, TEST_TIMEOUT, TestServer};

#[tokio::test]
async fn inherited_socket_replaces_the_listen_addresses() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let script = format!(
        "exec 3<&0; LISTEN_FDS=1 LISTEN_PID=$$ exec {} --listen unix:/no/such/directory/x",
        env!("CARGO_BIN_EXE_greet-server")
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).stdin(OwnedFd::from(socket)).stdout(Stdio::piped());
    let mut process = Process::start(shell.stderr(Stdio::null()));
    assert_eq!(process.next_line(), format!("listening on http://{address}"));
    let client = Client::handshake(TcpStream::connect(address).await.unwrap()).await;
    assert_eq!(client.say_hello("Ada").await.unwrap(), "Hello Ada");
    assert_eq!(process.stop_async().await.code, Some(0));
}

#[test]
fn systemd_is_notified_of_ready_reloading_and_stopping() {
    let files = Files::new(&Ca::new("Greet Test CA").sign_serial(1));
    assert_notifications(&files, &files.flags());
    assert_notifications(&files, &[]); // `systemctl reload` waits for READY without TLS too
}

fn assert_notifications(files: &Files, flags: &[String]) {
    let path = files.path("notify.sock");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    let notification = || {
        let mut state = [0; 256];
        let length = systemd.recv(&mut state).unwrap();
        String::from_utf8(state[..length].to_vec()).unwrap()
    };

    let mut command = daemon(&["--listen=127.0.0.1:0"]);
    command.args(flags);
    let mut process = Process::start(command.env("NOTIFY_SOCKET", &path));
    process.next_line();
    assert_eq!(notification(), "READY=1\n");
    process.signal(Signal::HUP);
    assert!(notification().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(notification(), "READY=1\n");
    process.signal(Signal::TERM);
    assert_eq!(notification(), "STOPPING=1\n");
    assert_eq!(process.wait().code, Some(0));
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn two_daemons_share_a_port_only_if_both_set_reuse_port() {
    let first = TestServer::start(&["--reuse-port"]).await;
    let address = format!("--listen={}", first.address());
    assert!(!daemon(&[&address]).output().unwrap().status.success());
    let second = TestServer::start(&["--reuse-port", &address]).await;
    assert_eq!(first.url, second.url);
    first.stop().await;
    assert_eq!(second.connect().await.say_hello("Ada").await.unwrap(), "Hello Ada");
}
