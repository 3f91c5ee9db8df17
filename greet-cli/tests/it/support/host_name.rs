//! A host name with the addresses that a test chooses: the binary sees a hosts file of the test, in a
//! mount namespace. Where the system has none or forbids it, a test either accepts localhost with the
//! addresses that the system gives it, or is skipped.

use std::io::{Seek as _, Write as _};
use std::net::{IpAddr, TcpListener, ToSocketAddrs as _};
use std::process::Command;

use tempfile::NamedTempFile;

use crate::support::{Ran, command, run};

/// Of the ways to become root in a namespace the first that works here.
const UNSHARE: [&[&str]; 2] = [&["--mount"], &["--map-root-user", "--mount"]];

/// Set where a skipped test is a failure (`cargo xtask ci --require-all`).
const REQUIRE_ALL: &str = "REQUIRE_ALL_TESTS";

/// In a shell, `$0` being the file: from here on it is what the system looks names up in.
const BIND: &str = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";

pub(crate) struct Name {
    pub(crate) name: &'static str,
    pub(crate) addresses: Vec<IpAddr>,
    /// The flags of `unshare`, and the file; `None`: the system says what the name stands for.
    hosts: Option<(&'static [&'static str], NamedTempFile)>,
}

impl Name {
    /// A name with an address of each family, or localhost with what it has.
    pub(crate) fn of_both_families() -> Name {
        Name::try_of(&["127.0.0.1", "::1"]).unwrap_or_else(|| {
            let mut found: Vec<_> =
                ("localhost", 0).to_socket_addrs().unwrap().map(|it| it.ip()).collect();
            found.dedup();
            Name { name: "localhost", addresses: found, hosts: None }
        })
    }

    /// A name with exactly these addresses, which a test can replace. `None` skips the test: the reason
    /// goes past the test harness to standard error, and is a failure where every test is required.
    pub(crate) fn of<const N: usize>(addresses: [&str; N]) -> Option<(Name, [IpAddr; N])> {
        let name = Name::try_of(&addresses);
        if name.is_none() {
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            let reason = format!("SKIP: {test}: no mount namespace with {addresses:?} (unshare)\n");
            assert!(std::env::var_os(REQUIRE_ALL).is_none(), "{REQUIRE_ALL} is set. {reason}");
            std::io::stderr().write_all(reason.as_bytes()).unwrap();
        }
        name.map(|name| (name, addresses.map(|address| address.parse().unwrap())))
    }

    fn try_of(addresses: &[&str]) -> Option<Name> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|it| it.parse().unwrap()).collect();
        let can_listen = |address: &IpAddr| TcpListener::bind((*address, 0)).is_ok();
        if !addresses.iter().all(can_listen) {
            return None;
        }
        let unshare = UNSHARE.into_iter().find(|flags| works(flags))?;
        let hosts = Some((unshare, NamedTempFile::new().unwrap()));
        let mut name = Name { name: "greeter.test", addresses: Vec::new(), hosts };
        name.now(&addresses);
        Some(name)
    }

    /// From now on it stands for these; the first is there twice, as a file may have it.
    pub(crate) fn now(&mut self, addresses: &[IpAddr]) {
        let (_, file) = self.hosts.as_mut().unwrap();
        let twice = addresses.iter().chain(addresses.first());
        let lines: String = twice.map(|it| format!("{it} {}\n", self.name)).collect();
        // In place: another file of the same name would not be the one that is mounted.
        file.as_file().set_len(0).unwrap();
        file.rewind().unwrap();
        file.write_all(lines.as_bytes()).unwrap();
        self.addresses = addresses.to_vec();
    }

    /// `greet-cli ARGUMENTS…`, where the name stands for its addresses.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let plain = command(arguments);
        let Some((unshare, file)) = &self.hosts else {
            return plain;
        };
        let mut command = Command::new("unshare");
        command.args(*unshare).args(["sh", "-c", BIND]).arg(file.path());
        command.arg(plain.get_program()).args(plain.get_args());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(std::process::Stdio::null());
        command
    }

    /// `greet-cli --target SCHEME://NAME:PORT ARGUMENTS…`
    pub(crate) fn greet(&self, scheme: &str, port: u16, arguments: &[&str]) -> Ran {
        let target = format!("{scheme}:///{}:{port}", self.name);
        run(self.command(&[&["--target", &target], arguments].concat()))
    }

    /// A port that is free on all of its addresses.
    pub(crate) fn free_port(&self) -> u16 {
        let free =
            || TcpListener::bind((self.addresses[0], 0)).unwrap().local_addr().unwrap().port();
        let is_free = |port: &u16| {
            self.addresses.iter().all(|address| TcpListener::bind((*address, *port)).is_ok())
        };
        std::iter::repeat_with(free).take(100).find(is_free).unwrap()
    }
}

fn works(unshare: &[&str]) -> bool {
    let hosts = NamedTempFile::new().unwrap();
    let mut command = Command::new("unshare");
    command.args(unshare).args(["sh", "-c", BIND]).arg(hosts.path()).arg("true");
    command.output().is_ok_and(|output| output.status.success())
}
