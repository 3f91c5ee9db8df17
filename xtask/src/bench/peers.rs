//! The daemon and what people run instead: how each is started, and what it is.

use std::fs;
use std::process::Command;

use anyhow::Context as _;
use tempfile::TempDir;

use crate::harness::command::{program, run};
use crate::harness::daemon::Daemon;
use crate::harness::programs::{Programs, cargo, target_directory};
use crate::harness::tools;
use greet_testkit::certs::Ca;

/// A server that is measured.
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

/// What starts them.
pub(super) struct Starter {
    programs: Programs,
    certs: Ca,
    htdocs: TempDir,
}

/// The core that a server has to itself, and the one of whoever calls it.
pub(super) const SERVER_CORE: &str = "0";
pub(super) const CLIENT_CORE: &str = "1";

/// Payloads of 64 KiB are measured too; for those our limits are raised.
const LARGE: [&str; 2] = ["--max-message-bytes=131072", "--max-name-bytes=131072"];

impl Peer {
    /// Those that serve the contract over plaintext.
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
            Peer::GreetScraped => "metrics scraped each second",
            Peer::GreetLogged => "a line of log for each call (to /dev/null)",
            Peer::GreetTraced => "a span for each call (the collector is away)",
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
        // A file at the method's path, as long as the reply with its prefix.
        let htdocs = tempfile::tempdir()?;
        fs::create_dir(htdocs.path().join("greet.Greeter"))?;
        fs::write(htdocs.path().join("greet.Greeter/SayHello"), b"\0\0\0\0\x0b\x0a\x09Hello Ada")?;
        let certs = Ca::new("bench");
        certs.sign_files("server");
        Ok(Starter { programs: programs.clone(), certs, htdocs })
    }

    /// Starts it on its core; an error of `Missing` if it is not on this machine.
    pub(super) fn start(&self, peer: Peer) -> anyhow::Result<Daemon> {
        if peer == Peer::Nghttpd {
            return self.start_nghttpd();
        }
        Daemon::spawn(&mut on_core(SERVER_CORE, &self.command(peer)?))
    }

    /// Ours with raised limits; the others have none that is in the way.
    pub(super) fn start_for_large(&self, peer: Peer) -> anyhow::Result<Daemon> {
        if peer != Peer::Greet {
            return self.start(peer);
        }
        Daemon::spawn(on_core(SERVER_CORE, &self.command(peer)?).args(LARGE))
    }

    pub(super) fn command(&self, peer: Peer) -> anyhow::Result<Command> {
        const ANYWHERE: &str = "127.0.0.1:0";
        let mut command = match peer {
            Peer::Greet | Peer::GreetTls | Peer::GreetScraped | Peer::GreetTraced => {
                program(&self.programs.server)
            }
            Peer::GreetLogged => {
                let mut shell = program("sh"); // for its standard error
                shell.args(["-c", "exec \"$@\" 2>/dev/null", "sh"]).arg(&self.programs.server);
                shell
            }
            Peer::StockTonic => program(target_directory()?.join("release/examples/stock_tonic")),
            Peer::Nghttpd => tools::apt("nghttpd", "--version", "nghttp2-server")?,
            Peer::Go => tools::go("peers", "server")?,
            Peer::Cpp => tools::cpp("peers", "server")?,
            Peer::Node => tools::node_at("peers/node/server.js")?,
            Peer::Python => tools::python_at("peers/python/server.py")?,
        };
        match peer {
            Peer::Greet => drop(command.args(["--listen", ANYWHERE])),
            Peer::GreetScraped => {
                command.args(["--listen", ANYWHERE, "--admin-listen", ANYWHERE]);
            }
            Peer::GreetLogged => drop(command.args(["--listen", ANYWHERE, "--access-log=all"])),
            Peer::GreetTraced => {
                command.args(["--listen", ANYWHERE, "--otlp-endpoint", "http://127.0.0.1:1"]);
            }
            Peer::GreetTls => {
                command
                    .args(["--listen", ANYWHERE])
                    .args(self.certs.files("server").server_flags());
            }
            Peer::Nghttpd => {}
            _ => drop(command.arg(ANYWHERE)),
        }
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

/// The same command on one core. What it starts stays there, and sees no other.
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

/// What is measured, in its own words.
pub(super) fn version(peer: Peer) -> anyhow::Result<String> {
    let debian = |package: &str| {
        let query = ["--show", "--showformat=${Version} (Debian)", package];
        run(program("dpkg-query").args(query))?.succeeded()
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
            let version = run(program("node").arg("--version"))?.succeeded()?;
            format!("Node {}", version.trim())
        }
        Peer::Python => {
            let python = target_directory()?.join("e2e/python/bin/python");
            let code = "import grpc, sys; print(f'grpcio {grpc.__version__}, Python {sys.version.split()[0]}')";
            run(program(python).args(["-c", code]))?.succeeded()?.trim().to_owned()
        }
    })
}

/// A version in `Cargo.lock`.
fn locked(name: &str) -> anyhow::Result<String> {
    let lock = fs::read_to_string(crate::harness::programs::root().join("Cargo.lock"))?;
    let (_, rest) =
        lock.split_once(&format!("name = \"{name}\"\nversion = \"")).context("locked")?;
    Ok(rest.split('"').next().unwrap_or_default().to_owned())
}
