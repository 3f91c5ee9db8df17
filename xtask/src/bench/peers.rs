//! The measured servers: their commands and versions.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use greet_testkit::certs::Ca;
use tempfile::TempDir;

use crate::harness::command::{capture, program, progress};
use crate::harness::cores::{SERVER_CORE, on_core};
use crate::harness::daemon::Daemon;
use crate::harness::peers::{self, debian_version, locked_version};
use crate::harness::programs::{self, Linking, Programs, cargo, root, target_directory};
use crate::harness::report::Missing;
use crate::harness::{guided, stacks, tools};

/// Calls of a burst on one connection: the maximum of greet-server's default configuration.
pub(super) const BURST_CALLS: u32 = 200;

/// A server, or a configuration of greet-server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Greet,
    GreetGuided,
    GreetTls,
    GreetScraped,
    GreetLogged,
    GreetTraced,
    StockTonic,
    TunedTonic,
    Sark,
    Nghttpd,
    Go,
    Cpp,
    Node,
    Python,
}

/// Starts the servers.
#[derive(Debug)]
pub(super) struct Starter {
    pub(super) programs: Programs,
    /// The profile-guided build.
    pub(super) guided: Option<Programs>,
    /// The servers that are installed, and their commands without an address.
    servers: Vec<(Peer, Command)>,
    /// The servers that are not, and how to install them.
    pub(super) missing: Vec<String>,
    certs: Ca,
    _htdocs: TempDir,
}

const ANY_PORT: &str = "127.0.0.1:0";
/// Raised limits for names of 64 KiB.
const LARGE: [&str; 2] = ["--max-message-bytes=131072", "--max-name-bytes=131072"];
/// sark-grpc sends no WINDOW_UPDATE, so a connection ends after 65 535 bytes of requests.
const SARK_CALLS_PER_CONNECTION: u64 = 6_000;

impl Peer {
    /// The servers that are compared, all in plaintext.
    const ALL: [Peer; 10] = [
        Peer::Greet,
        Peer::GreetGuided,
        Peer::StockTonic,
        Peer::TunedTonic,
        Peer::Sark,
        Peer::Nghttpd,
        Peer::Go,
        Peer::Cpp,
        Peer::Node,
        Peer::Python,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Peer::Greet => "greet-server",
            Peer::GreetGuided => "greet-server, profile-guided",
            Peer::GreetTls => "greet-server, TLS",
            Peer::GreetScraped => "metrics scraped once a second",
            Peer::GreetLogged => "access log of all calls (to /dev/null)",
            Peer::GreetTraced => "a span for each call (without a collector)",
            Peer::StockTonic => "stock tonic",
            Peer::TunedTonic => "tonic, one thread, mimalloc",
            Peer::Sark => "sark-grpc (io_uring)",
            Peer::Nghttpd => "nghttpd (C, a static file)",
            Peer::Go => "grpc-go",
            Peer::Cpp => "gRPC C++",
            Peer::Node => "Node, @grpc/grpc-js",
            Peer::Python => "Python, grpcio",
        }
    }

    pub(super) fn max_calls(self, connections: u32) -> u64 {
        match self {
            Peer::Sark => SARK_CALLS_PER_CONNECTION * u64::from(connections),
            _ => u64::MAX,
        }
    }
}

impl Starter {
    /// Builds what can be built, and finds the rest.
    pub(super) fn new() -> anyhow::Result<Starter> {
        let programs = programs::build(true)?;
        let certs = Ca::new("bench");
        certs.sign_files("server");
        // nghttpd serves a file at the path of the method: the framed reply.
        let htdocs = tempfile::tempdir()?;
        fs::create_dir(htdocs.path().join("greet.Greeter"))?;
        fs::write(htdocs.path().join("greet.Greeter/SayHello"), b"\0\0\0\0\x0b\x0a\x09Hello Ada")?;
        let (mut servers, mut missing, mut guided) = (Vec::new(), Vec::new(), None);
        for peer in Peer::ALL {
            let command = match peer {
                Peer::GreetGuided => guided::build(Linking::Dynamic).map(|built| {
                    let server = program(&built.server);
                    guided = Some(built);
                    server
                }),
                _ => command(peer, &programs, htdocs.path()),
            };
            match command {
                Ok(command) => servers.push((peer, command)),
                Err(error) if error.is::<Missing>() => {
                    progress(format_args!("SKIP {}: {error}", peer.name()));
                    missing.push(format!("{}: {error}", peer.name()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Starter { programs, guided, servers, missing, certs, _htdocs: htdocs })
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = Peer> {
        self.servers.iter().map(|(peer, _)| *peer)
    }

    /// Starts servers on their core.
    pub(super) fn start_all(
        &self,
        peers: impl IntoIterator<Item = Peer>,
    ) -> anyhow::Result<Vec<(Peer, Daemon)>> {
        peers.into_iter().map(|peer| Ok((peer, self.start(peer)?))).collect()
    }

    /// Starts the servers that accept large names.
    pub(super) fn start_for_large(&self) -> anyhow::Result<Vec<(Peer, Daemon)>> {
        // nghttpd serves the same file for every name; a connection to sark takes 65 535 bytes.
        let peers = self.peers().filter(|peer| !matches!(peer, Peer::Nghttpd | Peer::Sark));
        peers.map(|peer| Ok((peer, self.start_with(peer, &LARGE)?))).collect()
    }

    pub(super) fn start(&self, peer: Peer) -> anyhow::Result<Daemon> {
        let [cert, key] = self.certs.files("server").server_flags();
        match peer {
            Peer::GreetTls => self.start_with(Peer::Greet, &[&cert, &key]),
            Peer::GreetScraped => self.start_with(Peer::Greet, &["--admin-listen", ANY_PORT]),
            Peer::GreetTraced => {
                self.start_with(Peer::Greet, &["--otlp-endpoint", "http://127.0.0.1:1"])
            }
            Peer::GreetLogged => {
                let mut shell = program("sh"); // redirects standard error
                shell.args(["-c", "exec \"$@\" 2>/dev/null", "sh"]).arg(&self.programs.server);
                shell.args(["--access-log=all", "--listen", ANY_PORT]);
                Daemon::spawn(&mut on_core(SERVER_CORE, &shell))
            }
            _ => self.start_with(peer, &[]),
        }
    }

    /// Starts a server. `flags` are those of greet-server; the others have none.
    fn start_with(&self, peer: Peer, flags: &[&str]) -> anyhow::Result<Daemon> {
        let found = self.servers.iter().find(|(it, _)| *it == peer);
        let (_, command) = found.with_context(|| format!("{} is not installed", peer.name()))?;
        let mut server = on_core(SERVER_CORE, command);
        match peer {
            // These two print no address.
            Peer::Nghttpd | Peer::Sark => {
                let free = TcpListener::bind(ANY_PORT)?.local_addr()?;
                let is_sark = peer == Peer::Sark;
                server.arg(if is_sark { free.to_string() } else { free.port().to_string() });
                Daemon::spawn_at(&mut server, &free.to_string())
            }
            Peer::Greet | Peer::GreetGuided => {
                Daemon::spawn(server.args(["--listen", ANY_PORT]).args(flags))
            }
            _ => Daemon::spawn(server.arg(ANY_PORT)),
        }
    }
}

/// Builds or finds a server. The error is `Missing` if it is not installed.
fn command(peer: Peer, programs: &Programs, htdocs: &Path) -> anyhow::Result<Command> {
    match peer {
        Peer::StockTonic => peers::tonic("stock_tonic"),
        Peer::TunedTonic => peers::tonic("tuned_tonic"),
        Peer::Sark => {
            let target = target_directory()?.join("e2e/peers/sark");
            let mut build = cargo();
            build.current_dir(root().join("xtask/peers/sark"));
            build.args(["build", "--release", "--locked", "--target-dir"]).arg(&target);
            if !build.status()?.success() {
                let install = "cargo fetch --manifest-path xtask/peers/sark/Cargo.toml".to_owned();
                return Err(Missing { what: "sark-grpc", install }.into());
            }
            Ok(program(target.join("release/sark-peer")))
        }
        Peer::Nghttpd => {
            let mut nghttpd = tools::apt("nghttpd", "--version", "nghttp2-server")?;
            nghttpd.args(["--no-tls", "--address=127.0.0.1", "--htdocs"]).arg(htdocs);
            nghttpd.arg(format!("--max-concurrent-streams={BURST_CALLS}"));
            Ok(nghttpd)
        }
        Peer::Go => peers::go(),
        Peer::Cpp => peers::cpp(),
        Peer::Node => stacks::node("peers/node/server.js"),
        Peer::Python => tools::python("peers/python/server.py"),
        _ => Ok(program(&programs.server)),
    }
}

/// Returns the version of a server.
pub(super) fn version(peer: Peer) -> anyhow::Result<String> {
    let version = env!("CARGO_PKG_VERSION");
    Ok(match peer {
        Peer::GreetGuided => format!("{version}, as `cargo xtask dist` builds it"),
        Peer::StockTonic => {
            format!(
                "tonic {}, `#[tokio::main]`, the system's allocator",
                locked_version("Cargo.lock", "tonic")?
            )
        }
        Peer::TunedTonic => {
            let tonic = locked_version("Cargo.lock", "tonic")?;
            format!("tonic {tonic}, `flavor = \"current_thread\"`, mimalloc")
        }
        Peer::Sark => locked_version("xtask/peers/sark/Cargo.lock", "sark-grpc")?,
        Peer::Nghttpd => debian_version("nghttp2-server")?,
        Peer::Go => peers::go_version()?,
        Peer::Cpp => peers::cpp_version()?,
        Peer::Node => {
            let version = capture(program("node").arg("--version"))?.succeeded()?;
            format!("Node {}", version.trim())
        }
        Peer::Python => {
            let python = target_directory()?.join("e2e/python/bin/python");
            let code = "import grpc, sys; print(f'grpcio {grpc.__version__}, Python {sys.version.split()[0]}')";
            capture(program(python).args(["-c", code]))?.succeeded()?.trim().to_owned()
        }
        _ => format!("{version}, default configuration, mimalloc"),
    })
}
