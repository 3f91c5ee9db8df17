//! The attacked servers, each in its default configuration, on its own core and in a memory cgroup.

use std::process::Command;

use anyhow::Context as _;
use greet_testkit::certs::Ca;

use super::attack::Port;
use crate::harness::cgroup::MemoryCgroup;
use crate::harness::command::program;
use crate::harness::cores::{SERVER_CORE, on_core};
use crate::harness::daemon::Daemon;
// <greeter>
use crate::harness::peers;
// </greeter>
use crate::harness::programs::{self, Programs};

/// The memory of a server: an attack that takes more kills it, not the machine.
pub(super) const MAX_BYTES: u64 = 1_024 * 1_024 * 1_024;
// <greeter>
/// The packages of Debian 12, and the years of their releases, which no package contains.
const RELEASES: [(&str, u16); 2] = [("1.33.", 2020), ("1.51.", 2022)];
// </greeter>
const ANY_PORT: &str = "127.0.0.1:0";

/// A server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) version: String,
    /// The year of the release, if it is years ago.
    pub(super) year: Option<u16>,
    /// The program, without an address.
    command: Command,
    /// Whether it is greet-server, which has all ports; the others have gRPC in plaintext.
    is_ours: bool,
}

/// The servers that are installed.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) programs: Programs,
    pub(super) all: Vec<Server>,
    /// The servers that are not installed, and how to install them.
    pub(super) missing: Vec<String>,
    pub(super) certs: Ca,
}

/// A running server. Its cgroup is removed after its end.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) daemon: Daemon,
    pub(super) cgroup: MemoryCgroup,
}

impl Servers {
    /// Builds what can be built.
    pub(super) fn build() -> anyhow::Result<Servers> {
        let programs = programs::build(true)?;
        let certs = Ca::new("hostile");
        certs.sign_files("server");
        let ours = Server {
            name: "greet-server",
            version: env!("CARGO_PKG_VERSION").to_owned(),
            year: None,
            command: program(&programs.server),
            is_ours: true,
        };
        let servers = Servers { programs, all: vec![ours], missing: Vec::new(), certs };
        // <greeter>
        let tonic_version =
            || Ok(format!("tonic {}", peers::locked_version("Cargo.lock", "tonic")?));
        let servers = servers
            .with("stock tonic", peers::tonic("stock_tonic"), tonic_version)?
            .with("grpc-go", peers::go(), peers::go_version)?
            .with("gRPC C++", peers::cpp(), peers::cpp_version)?;
        // </greeter>
        Ok(servers)
    }

    // <greeter>
    fn with(
        mut self,
        name: &'static str,
        command: anyhow::Result<Command>,
        version: impl FnOnce() -> anyhow::Result<String>,
    ) -> anyhow::Result<Servers> {
        use crate::harness::command::progress;
        use crate::harness::report::Missing;

        match command {
            Ok(command) => {
                let version = version()?;
                let is_of = |(series, _): &&(&str, u16)| version.starts_with(series);
                let year = RELEASES.iter().find(is_of).map(|(_, year)| *year);
                self.all.push(Server { name, version, year, command, is_ours: false });
            }
            Err(error) if error.is::<Missing>() => {
                progress(format_args!("SKIP {name}: {error}"));
                self.missing.push(format!("{name}: {error}"));
            }
            Err(error) => return Err(error),
        }
        Ok(self)
    }
    // </greeter>

    /// Starts a server. Returns `None` if it has no such port.
    pub(super) fn start(&self, server: &Server, port: Port) -> anyhow::Result<Option<Running>> {
        let [cert, key] = self.certs.files("server").server_flags();
        let listen = ["--listen", ANY_PORT];
        let arguments = match (server.is_ours, port) {
            (false, Port::Grpc) => vec![ANY_PORT],
            (false, _) => return Ok(None),
            (true, Port::Grpc | Port::Services) => listen.to_vec(),
            (true, Port::Web) => [&listen[..], &["--grpc-web"]].concat(),
            (true, Port::Tls) => [&listen[..], &[&cert, &key]].concat(),
            (true, Port::Admin) => [&listen[..], &["--admin-listen", ANY_PORT]].concat(),
        };
        let cgroup = MemoryCgroup::create(MAX_BYTES)
            .context("could not create a memory cgroup; run as root")?;
        let mut command = cgroup.command(server.command.get_program().as_ref());
        command.args(arguments);
        let daemon = Daemon::spawn(&mut on_core(SERVER_CORE, &command))?;
        Ok(Some(Running { daemon, cgroup }))
    }
}
