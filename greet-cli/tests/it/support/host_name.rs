//! A host name with the addresses that a test chooses.
//!
//! greet-cli runs in a mount namespace with a hosts file of the test. Without mount namespaces, a
//! test accepts localhost with the addresses that the system returns, or is skipped.

use std::io::{Seek as _, Write as _};
use std::net::{IpAddr, TcpListener, ToSocketAddrs as _};
use std::process::{Command, Stdio};

use tempfile::NamedTempFile;

use super::{CommandOutput, command, run};

/// The flags of `unshare` to try: as root, and as a user who is root in a user namespace.
const UNSHARE: [&[&str]; 2] = [&["--mount"], &["--map-root-user", "--mount"]];

/// Set where a skipped test is a failure (`cargo xtask ci --require-all`).
const REQUIRE_ALL: &str = "REQUIRE_ALL_TESTS";

/// Runs a command in a shell with the file `$0` mounted over the hosts file.
const WITH_HOSTS: &str = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";

pub(crate) struct HostName {
    pub(crate) name: &'static str,
    pub(crate) addresses: Vec<IpAddr>,
    /// The flags of `unshare` and the hosts file; `None`: the system resolves the name.
    hosts: Option<(&'static [&'static str], NamedTempFile)>,
}

impl HostName {
    /// Returns a name with an IPv4 and an IPv6 address, or localhost.
    pub(crate) fn dual_stack() -> HostName {
        HostName::try_new(&["127.0.0.1", "::1"]).unwrap_or_else(|| {
            let resolved = ("localhost", 0).to_socket_addrs().unwrap();
            let mut addresses: Vec<_> = resolved.map(|address| address.ip()).collect();
            addresses.dedup();
            HostName { name: "localhost", addresses, hosts: None }
        })
    }

    /// Returns a name with exactly these addresses. `None` skips the test: the reason is written to
    /// standard error past the test harness, or is a failure where every test is required.
    pub(crate) fn new<const N: usize>(addresses: [&str; N]) -> Option<(HostName, [IpAddr; N])> {
        let name = HostName::try_new(&addresses);
        if name.is_none() {
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            let reason = format!("SKIP: {test}: no mount namespace with {addresses:?} (unshare)\n");
            assert!(std::env::var_os(REQUIRE_ALL).is_none(), "{REQUIRE_ALL} is set. {reason}");
            std::io::stderr().write_all(reason.as_bytes()).unwrap();
        }
        name.map(|name| (name, addresses.map(|address| address.parse().unwrap())))
    }

    fn try_new(addresses: &[&str]) -> Option<HostName> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|it| it.parse().unwrap()).collect();
        if !can_listen(&addresses, 0) {
            return None;
        }
        let unshare = UNSHARE.into_iter().find(|flags| is_permitted(flags))?;
        let hosts = Some((unshare, NamedTempFile::new().unwrap()));
        let mut name = HostName { name: "service.test", addresses: Vec::new(), hosts };
        name.set_addresses(&addresses);
        Some(name)
    }

    /// Replaces the addresses. The file lists the first of them twice, as a hosts file may do.
    pub(crate) fn set_addresses(&mut self, addresses: &[IpAddr]) {
        let (_, file) = self.hosts.as_mut().unwrap();
        let lines = addresses.iter().chain(addresses.first());
        let lines: String = lines.map(|address| format!("{address} {}\n", self.name)).collect();
        // In place: the mount refers to the file, not to its path.
        file.as_file().set_len(0).unwrap();
        file.rewind().unwrap();
        file.write_all(lines.as_bytes()).unwrap();
        self.addresses = addresses.to_vec();
    }

    /// Returns `greet-cli ARGUMENTS…`, which resolves the name to its addresses.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let plain = command(arguments);
        let Some((unshare, file)) = &self.hosts else {
            return plain;
        };
        let mut command = Command::new("unshare");
        command.args(*unshare).args(["sh", "-c", WITH_HOSTS]).arg(file.path());
        command.arg(plain.get_program()).args(plain.get_args());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null());
        command
    }

    /// Runs `greet-cli --target SCHEME:///NAME:PORT ARGUMENTS…`.
    pub(crate) fn run(&self, scheme: &str, port: u16, arguments: &[&str]) -> CommandOutput {
        run(self.command(&[&["--target", &self.target(scheme, port)], arguments].concat()))
    }

    pub(crate) fn target(&self, scheme: &str, port: u16) -> String {
        format!("{scheme}:///{}:{port}", self.name)
    }

    /// Returns a port that is free on every address.
    pub(crate) fn free_port(&self) -> u16 {
        let first_address = (self.addresses[0], 0);
        let free = || TcpListener::bind(first_address).unwrap().local_addr().unwrap().port();
        let is_free = |port: &u16| can_listen(&self.addresses, *port);
        std::iter::repeat_with(free).take(100).find(is_free).unwrap()
    }
}

fn can_listen(addresses: &[IpAddr], port: u16) -> bool {
    addresses.iter().all(|address| TcpListener::bind((*address, port)).is_ok())
}

fn is_permitted(unshare: &[&str]) -> bool {
    let hosts = NamedTempFile::new().unwrap();
    let mut command = Command::new("unshare");
    command.args(unshare).args(["sh", "-c", WITH_HOSTS]).arg(hosts.path()).arg("true");
    command.output().is_ok_and(|output| output.status.success())
}
