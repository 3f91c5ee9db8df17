//! A name with the addresses that a test gives it: the binary sees a hosts file of the test's own, in a
//! mount namespace. Where a system has none (or forbids it), the name is localhost, with what the system
//! says it stands for: what is promised is the same, only of fewer addresses.

use std::io::{Seek as _, Write as _};
use std::net::{IpAddr, TcpListener, ToSocketAddrs as _};
use std::process::Command;

use tempfile::NamedTempFile;

use crate::support::{Ran, command, run};

/// Of the ways to become root in a namespace the first that works here.
const UNSHARE: [&[&str]; 2] = [&["--mount"], &["--map-root-user", "--mount"]];

/// In a shell, `$0` being the file: from here on it is what the system looks names up in.
const BIND: &str = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";

pub(crate) struct Name {
    pub(crate) name: &'static str,
    pub(crate) addresses: Vec<IpAddr>,
    /// The flags of `unshare`, and the file; `None`: the system says what the name stands for.
    hosts: Option<(&'static [&'static str], NamedTempFile)>,
}

impl Name {
    /// A name for two addresses, one of either family, if that can be had here.
    pub(crate) fn of_both_families() -> Name {
        Name::of(&["127.0.0.1", "::1"])
    }

    /// A name for these addresses if that can be had here, and all of them can be listened on.
    pub(crate) fn of(addresses: &[&str]) -> Name {
        let addresses: Vec<IpAddr> = addresses.iter().map(|it| it.parse().unwrap()).collect();
        let are_ours = addresses.iter().all(|address| TcpListener::bind((*address, 0)).is_ok());
        if let Some(unshare) = UNSHARE.into_iter().find(|flags| works(flags))
            && are_ours
        {
            let hosts = Some((unshare, NamedTempFile::new().unwrap()));
            let mut name = Name { name: "greeter.test", addresses: Vec::new(), hosts };
            name.now(&addresses);
            return name;
        }
        let mut found: Vec<_> =
            ("localhost", 0).to_socket_addrs().unwrap().map(|it| it.ip()).collect();
        found.dedup();
        Name { name: "localhost", addresses: found, hosts: None }
    }

    /// Whether it stands for what it was asked to, and can be made to stand for something else.
    pub(crate) fn is_ours(&self) -> bool {
        self.hosts.is_some()
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
