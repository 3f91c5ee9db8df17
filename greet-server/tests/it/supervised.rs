//! Under a supervisor: it may hand down sockets, and is told how we are.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};

use greet_testkit::certs::Ca;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;

use crate::certs::Files;
use crate::daemon::daemon;
use crate::support::{Client, TIMEOUT, TestServer};

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line
}

#[tokio::test]
async fn an_inherited_socket_is_used_instead_of_the_addresses() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let script = format!(
        "exec 3<&0; LISTEN_FDS=1 LISTEN_PID=$$ exec {} --listen unix:/no/such/directory/x",
        env!("CARGO_BIN_EXE_greet-server")
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).stdin(OwnedFd::from(socket)).stdout(Stdio::piped());
    let mut child = shell.stderr(Stdio::null()).spawn().unwrap();
    assert_eq!(first_line(&mut child), format!("listening on http://{address}\n"));
    let client = Client::handshake(TcpStream::connect(address).await.unwrap()).await;
    assert_eq!(client.say_hello("Ada").await.unwrap(), "Hello Ada");
    signal(&child, Signal::TERM);
    // The client's connection is a task of this thread; it must be free to say goodbye.
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn the_supervisor_is_told_of_ready_reloading_and_stopping() {
    let files = Files::new(&Ca::new("Greet Test CA").sign_serial(1));
    is_told(&files, &files.flags());
    is_told(&files, &[]); // or `systemctl reload` would wait for what never comes
}

fn is_told(files: &Files, flags: &[String]) {
    let path = files.path("notify.sock");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(TIMEOUT)).unwrap();
    let told = || {
        let mut news = [0; 256];
        let length = supervisor.recv(&mut news).unwrap();
        String::from_utf8(news[..length].to_vec()).unwrap()
    };

    let mut command = daemon(&["--listen=127.0.0.1:0"]);
    command.args(flags);
    let mut child = command.env("NOTIFY_SOCKET", &path).spawn().unwrap();
    first_line(&mut child);
    assert_eq!(told(), "READY=1\n");
    signal(&child, Signal::HUP);
    assert!(told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(told(), "READY=1\n");
    signal(&child, Signal::TERM);
    assert_eq!(told(), "STOPPING=1\n");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn a_second_daemon_may_share_the_port_if_both_agree() {
    let first = TestServer::start(&["--reuse-port"]).await;
    let address = format!("--listen={}", first.address());
    assert!(!daemon(&[&address]).output().unwrap().status.success());
    let second = TestServer::start(&["--reuse-port", &address]).await;
    assert_eq!(first.url, second.url);
    first.stop().await;
    assert_eq!(second.connect().await.say_hello("Ada").await.unwrap(), "Hello Ada");
}
