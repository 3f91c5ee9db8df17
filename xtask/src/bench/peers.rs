//! The measured servers: their commands and versions.

use std::fs;
use std::process::Command;

use anyhow::Context as _;
use greet_testkit::certs::Ca;
use tempfile::TempDir;

use crate::harness::command::{capture, program};
use crate::harness::daemon::Daemon;
use crate::harness::programs::{Programs, cargo, root, target_directory};
use crate::harness::tools;

/// A server, or a configuration of greet-server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Greet,
    GreetTls,
    GreetScraped,
    GreetLogged,
    GreetTraced,
    StockTonic,
    Nghttpd,
    Go,
    Cpp,
    Node,
    Python,
}

/// Starts the servers.
pub(super) struct Starter {
    programs: Programs,
    certs: Ca,
    htdocs: TempDir,
}

/// The cores of the server and of its client.
pub(super) const SERVER_CORE: &str = "0";
pub(super) const CLIENT_CORE: &str = "1";

/// Raised limits for names of 64 KiB.
const LARGE: [&str; 2] = ["--max-message-bytes=131072", "--max-name-bytes=131072"];

impl Peer {
    /// The servers that are compared, all in plaintext.
    pub(super) const ALL: [Peer; 7] = [
        Peer::Greet,
        Peer::StockTonic,
        Peer::Nghttpd,
        Peer::Go,
        Peer::Cpp,
        Peer::Node,
        Peer::Python,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Peer::Greet => "greet-server",
            Peer::GreetTls => "greet-server, TLS",
            Peer::GreetScraped => "metrics scraped once a second",
            Peer::GreetLogged => "access log of all calls (to /dev/null)",
            Peer::GreetTraced => "a span for each call (without a collector)",
            Peer::StockTonic => "stock tonic",
            Peer::Nghttpd => "nghttpd (C, a static file)",
            Peer::Go => "grpc-go",
            Peer::Cpp => "gRPC C++",
            Peer::Node => "Node, @grpc/grpc-js",
            Peer::Python => "Python, grpcio",
        }
    }
}

impl Starter {
    pub(super) fn new(programs: &Programs) -> anyhow::Result<Starter> {
        let mut build = cargo();
        build.args(["build", "--release", "--locked", "-p", "greet-server"]);
        let built = build.args(["--example", "stock_tonic"]).status()?;
        anyhow::ensure!(built.success(), "could not build the example stock_tonic");
        // nghttpd serves a file at the path of the method: the framed reply.
        let htdocs = tempfile::tempdir()?;
        fs::create_dir(htdocs.path().join("greet.Greeter"))?;
        fs::write(htdocs.path().join("greet.Greeter/SayHello"), b"\0\0\0\0\x0b\x0a\x09Hello Ada")?;
        let certs = Ca::new("bench");
        certs.sign_files("server");
        Ok(Starter { programs: programs.clone(), certs, htdocs })
    }

    /// Starts a server on its core. The error is `Missing` if it is not installed.
    pub(super) fn start(&self, peer: Peer) -> anyhow::Result<Daemon> {
        if peer == Peer::Nghttpd {
            return self.start_nghttpd();
        }
        Daemon::spawn(&mut on_core(SERVER_CORE, &self.command(peer)?))
    }

    /// Starts a server that accepts large names.
    pub(super) fn start_for_large(&self, peer: Peer) -> anyhow::Result<Daemon> {
        if peer != Peer::Greet {
            return self.start(peer);
        }
        Daemon::spawn(on_core(SERVER_CORE, &self.command(peer)?).args(LARGE))
    }

    pub(super) fn command(&self, peer: Peer) -> anyhow::Result<Command> {
        const ANY_PORT: &str = "127.0.0.1:0";
        let greet = |flags: &[&str]| {
            let mut server = program(&self.programs.server);
            server.args(["--listen", ANY_PORT]).args(flags);
            server
        };
        let mut command = match peer {
            Peer::Greet => return Ok(greet(&[])),
            Peer::GreetScraped => return Ok(greet(&["--admin-listen", ANY_PORT])),
            Peer::GreetTraced => return Ok(greet(&["--otlp-endpoint", "http://127.0.0.1:1"])),
            Peer::GreetTls => {
                let [cert, key] = self.certs.files("server").server_flags();
                return Ok(greet(&[&cert, &key]));
            }
            Peer::GreetLogged => {
                let mut shell = program("sh"); // redirects standard error
                shell.args(["-c", "exec \"$@\" 2>/dev/null", "sh"]).arg(&self.programs.server);
                shell.args(["--access-log=all", "--listen"]);
                shell
            }
            Peer::Nghttpd => return tools::apt("nghttpd", "--version", "nghttp2-server"),
            Peer::StockTonic => program(target_directory()?.join("release/examples/stock_tonic")),
            Peer::Go => tools::go("peers", "server")?,
            Peer::Cpp => tools::cpp("peers", "server")?,
            Peer::Node => tools::node("peers/node/server.js")?,
            Peer::Python => tools::python("peers/python/server.py")?,
        };
        command.arg(ANY_PORT);
        Ok(command)
    }

    fn start_nghttpd(&self) -> anyhow::Result<Daemon> {
        let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = self.command(Peer::Nghttpd)?;
        command.args(["--no-tls", "--address=127.0.0.1", "--htdocs"]).arg(self.htdocs.path());
        command.arg(free.port().to_string());
        Daemon::spawn_at(&mut on_core(SERVER_CORE, &command), &free.to_string())
    }
}

/// Pins a command and its children to one core.
pub(super) fn on_core(core: &str, command: &Command) -> Command {
    let mut pinned = program("taskset");
    pinned.args(["--cpu-list", core]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => drop(pinned.env(name, value)),
            None => drop(pinned.env_remove(name)),
        }
    }
    pinned
}

/// Returns the version of a server.
pub(super) fn version(peer: Peer) -> anyhow::Result<String> {
    let debian = |package: &str| {
        let query = ["--show", "--showformat=${Version} (Debian)", package];
        capture(program("dpkg-query").args(query))?.succeeded()
    };
    Ok(match peer {
        Peer::Greet
        | Peer::GreetTls
        | Peer::GreetScraped
        | Peer::GreetLogged
        | Peer::GreetTraced => {
            format!("{}, default configuration", env!("CARGO_PKG_VERSION"))
        }
        Peer::StockTonic => format!("tonic {}, `#[tokio::main]`", locked("tonic")?),
        Peer::Nghttpd => debian("nghttp2-server")?,
        Peer::Go => debian("golang-google-grpc-dev")?,
        Peer::Cpp => debian("libgrpc++-dev")?,
        Peer::Node => {
            let version = capture(program("node").arg("--version"))?.succeeded()?;
            format!("Node {}", version.trim())
        }
        Peer::Python => {
            let python = target_directory()?.join("e2e/python/bin/python");
            let code = "import grpc, sys; print(f'grpcio {grpc.__version__}, Python {sys.version.split()[0]}')";
            capture(program(python).args(["-c", code]))?.succeeded()?.trim().to_owned()
        }
    })
}

/// Returns a version in `Cargo.lock`.
fn locked(name: &str) -> anyhow::Result<String> {
    let lock = fs::read_to_string(root().join("Cargo.lock"))?;
    let (_, rest) =
        lock.split_once(&format!("name = \"{name}\"\nversion = \"")).context("locked")?;
    Ok(rest.split('"').next().unwrap_or_default().to_owned())
}
