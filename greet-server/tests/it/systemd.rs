//! systemd: socket activation, notifications, and a port shared by two daemons.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use greet_testkit::certs::{Ca, IdentityDirectory};
use greet_testkit::{Client, TEST_TIMEOUT, TestServer, eventually};
use rustix::process::Signal;

use crate::support::http1;
use crate::support::process::{Process, daemon};

/// The shell makes descriptor 3 of its standard input, or 3 and 4 of its standard input and error.
const ONE: &str = "exec 3<&0 0</dev/null";
const TWO: &str = "exec 3<&0 4<&2 0</dev/null 2>/dev/null";

/// Returns the daemon with inherited descriptors and with variables, in which `$$` is its process id.
fn activated(descriptors: &str, variables: &str, flags: &str, socket: OwnedFd) -> Command {
    let program = env!("CARGO_BIN_EXE_greet-server");
    let script = format!("{descriptors}; {variables} exec {program} {flags}");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).stdin(socket).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

fn listener() -> (OwnedFd, String) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket.into(), address)
}

#[tokio::test]
async fn inherited_socket_replaces_the_listen_addresses() {
    let (socket, address) = listener();
    let variables = "LISTEN_FDS=1 LISTEN_PID=$$";
    let mut command = activated(ONE, variables, "--listen unix:/no/such/directory/x", socket);
    let mut process = Process::start(&mut command);
    assert_eq!(process.next_line(), format!("listening on http://{address}"));
    let client = Client::connect(&address).await;
    assert!(client.is_serving().await.unwrap());
    assert_eq!(process.stop_async().await.code, Some(0));
}

#[tokio::test]
async fn inherited_socket_with_the_name_admin_is_the_admin_port() {
    let ((socket, address), (admin, admin_address)) = (listener(), listener());
    let variables = "LISTEN_FDS=2 LISTEN_PID=$$ LISTEN_FDNAMES=greet-server.socket:admin";
    let mut command = activated(TWO, variables, "--admin-listen unix:/no/such/x", socket);
    let mut process = Process::start(command.stderr(admin));
    assert_eq!(process.next_line(), format!("listening on http://{address}"));
    assert_eq!(process.next_line(), format!("admin on http://{admin_address}"));
    // The addresses are announced before the phase changes.
    let is_ready = async || http1::get(&admin_address, "/readyz").await.text() == "ready\n";
    eventually("the daemon is ready", is_ready).await;
    assert_eq!(process.stop_async().await.code, Some(0));

    let (admin, admin_address) = listener();
    let variables = "LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=admin";
    let mut command = activated(ONE, variables, "--listen 127.0.0.1:0", admin);
    let mut process = Process::start(&mut command);
    let client = Client::connect(&process.next_address()).await;
    assert!(client.is_serving().await.unwrap());
    assert_eq!(process.next_line(), format!("admin on http://{admin_address}"));
    assert_eq!(process.stop_async().await.code, Some(0));
}

/// The schemes of `--listen` belong to the addresses that the socket replaces.
#[test]
fn inherited_socket_has_tls_if_there_is_a_certificate() {
    let files = IdentityDirectory::new(&Ca::new("Greet Test CA").sign_serial(1));
    let flags = format!("--listen http://127.0.0.1:0 {}", files.server_flags().join(" "));
    let (socket, address) = listener();
    let mut command = activated(ONE, "LISTEN_FDS=1 LISTEN_PID=$$", &flags, socket);
    let mut process = Process::start(&mut command);
    assert_eq!(process.next_line(), format!("listening on https://{address}"));
    assert_eq!(process.stop().code, Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn inherited_connection_is_rejected() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (unix, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    let not_listening = "the socket does not listen; a socket unit needs Accept=no";
    for (descriptor, problem) in [
        (OwnedFd::from(tcp), not_listening),
        (unix.into(), not_listening),
        (file.into(), "not a stream socket of TCP or a Unix path"),
    ] {
        let mut command = activated(ONE, "LISTEN_FDS=1 LISTEN_PID=$$", "", descriptor);
        let exit = Process::start(&mut command).wait();
        assert_eq!((exit.code, exit.stdout.as_str()), (Some(1), ""));
        let expected =
            "greet-server: could not use the sockets that LISTEN_FDS names: descriptor 3";
        assert_eq!(exit.log, format!("{expected}: {problem}\n"));
    }
}

/// As sd_listen_fds(3) does: the variables may be those of a parent process.
#[test]
fn inherited_sockets_of_another_process_are_ignored() {
    for variables in ["LISTEN_FDS=1", "LISTEN_FDS=1 LISTEN_PID=1", "LISTEN_FDS=1 LISTEN_PID="] {
        let (socket, address) = listener();
        let mut command = activated(ONE, variables, "--listen 127.0.0.1:0", socket);
        let mut process = Process::start(&mut command);
        assert_ne!(process.next_address(), address, "{variables}");
        let exit = process.stop();
        assert_eq!(exit.code, Some(0));
        assert!(exit.log.contains("LISTEN_PID is not this process"), "{exit:?}");
    }
}

#[test]
fn systemd_is_notified_of_ready_reloading_and_stopping() {
    let files = IdentityDirectory::new(&Ca::new("Greet Test CA").sign_serial(1));
    assert_notifications(&files, &files.server_flags());
    assert_notifications(&files, &[]); // `systemctl reload` waits for READY without TLS too
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_notify_socket_is_notified() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::SocketAddr;

    let name = format!("greet-test-{}", std::process::id());
    let systemd = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    systemd.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    let mut command = daemon(&["--listen=127.0.0.1:0"]);
    let mut process = Process::start(command.env("NOTIFY_SOCKET", format!("@{name}")));
    process.next_line();
    let mut state = [0; 256];
    let length = systemd.recv(&mut state).unwrap();
    assert_eq!(&state[..length], b"READY=1\n");
    assert_eq!(process.stop().code, Some(0));
}

/// Returns the notifications up to STOPPING. SIGTERM is sent after the given number of them.
fn notifications_with_watchdog(pid: &str, signal_after: usize) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify.sock");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    let variables =
        format!("NOTIFY_SOCKET={} WATCHDOG_USEC=20000 WATCHDOG_PID={pid}", path.display());
    let (unused, _) = listener();
    let mut command = activated(ONE, &variables, "--listen 127.0.0.1:0 --workers 2", unused);
    let mut process = Process::start(&mut command);
    process.next_line();
    let mut notifications = Vec::new();
    while notifications.last().is_none_or(|last| last != "STOPPING=1\n") {
        let mut state = [0; 256];
        let length = systemd.recv(&mut state).unwrap();
        notifications.push(String::from_utf8(state[..length].to_vec()).unwrap());
        if notifications.len() == signal_after {
            process.signal(Signal::TERM);
        }
    }
    assert_eq!(process.wait().code, Some(0));
    notifications
}

#[test]
fn watchdog_of_this_process_is_answered() {
    let notifications = notifications_with_watchdog("$$", 5);
    let answers = notifications.iter().filter(|state| *state == "WATCHDOG=1\n").count();
    assert!(answers >= 4, "{notifications:?}");
    let notifications = notifications_with_watchdog("1", 1);
    assert_eq!(notifications, ["READY=1\n", "STOPPING=1\n"]);
}

fn assert_notifications(files: &IdentityDirectory, flags: &[String]) {
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
    let first = TestServer::start(&["--reuse-port"]);
    let address = format!("--listen={}", first.address());
    assert!(!daemon(&[&address]).output().unwrap().status.success());
    let second = TestServer::start(&["--reuse-port", &address]);
    assert_eq!(first.url, second.url);
    first.stop().await;
    assert_eq!(second.connect().await.echo("Ada").await.unwrap(), "Ada");
}
