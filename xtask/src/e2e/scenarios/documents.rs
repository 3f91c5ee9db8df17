//! Runs the examples in the documents.

use std::fs;
use std::process::Command;

use anyhow::Context as _;
use greet_testkit::certs::Ca;

use crate::e2e::proxied_fleet::Proxy;
use crate::harness::command::capture;
use crate::harness::console::{self, CONSOLE};
use crate::harness::daemon::Daemon;
use crate::harness::ports::Ports;
use crate::harness::programs::{Programs, root};
use crate::harness::tools;

/// The ports in documents with other servers.
const ALL_PORTS: std::ops::RangeInclusive<u16> = 50051..=50065;
/// The last port of each.
const NGINX: &str = "127.0.0.1:50056";
const HAPROXY: &str = "127.0.0.1:50059";
const ENVOY: &str = "127.0.0.1:50065";
// <greeter>
/// The only port of the original, which its command line gets.
const NODE: &str = "127.0.0.1:50060";
// </greeter>

pub(crate) fn readme(programs: &Programs) -> anyhow::Result<String> {
    run(programs, "README.md", &[50051])
}

/// Runs the Python code of the README against greet-server.
pub(crate) fn readme_python(programs: &Programs) -> anyhow::Result<String> {
    let directory = tempfile::tempdir()?;
    let script = directory.path().join("readme.py");
    let mut python = tools::python(&script.to_string_lossy())?;
    let daemon = Daemon::start(programs, &["--listen=127.0.0.1:0"])?;

    let readme = fs::read_to_string(root().join("README.md"))?;
    let code = readme.split_once("```python\n").and_then(|(_, rest)| rest.split_once("```"));
    let (code, _) = code.context("README.md has no Python block")?;
    let address = daemon.target.trim_start_matches("http://");
    fs::write(script, code.replace("127.0.0.1:50051", address))?;
    let printed = capture(python.env("PYTHONPATH", root()))?.succeeded()?;
    anyhow::ensure!(printed == "Hello Ada\n", "it printed {printed:?}");
    Ok("Hello Ada".to_owned())
}

pub(crate) fn references(programs: &Programs) -> anyhow::Result<String> {
    let server = run(programs, "docs/greet-server.md", &[50051])?;
    let cli = run(programs, "docs/greet-cli.md", &[50051])?;
    Ok(format!("greet-server: {server}, greet-cli: {cli}"))
}

pub(crate) fn operations(programs: &Programs) -> anyhow::Result<String> {
    tools::curl()?;
    run(programs, "docs/operations.md", &[50051, 9090])
}

pub(crate) fn faults(programs: &Programs) -> anyhow::Result<String> {
    tools::curl()?;
    run(programs, "docs/faults.md", &[50051, 9090])
}

pub(crate) fn tls(programs: &Programs) -> anyhow::Result<String> {
    tools::openssl()?;
    run(programs, "docs/tls.md", &[50051, 50052, 50053, 50054])
}

fn run(programs: &Programs, document: &str, ports: &[u16]) -> anyhow::Result<String> {
    let directory = tempfile::tempdir()?;
    let ports = Ports::new(ports.iter().copied())?;
    let commands = console::check(document, CONSOLE, directory.path(), &ports, programs)?;
    Ok(format!("{commands} commands"))
}

pub(crate) fn errors(programs: &Programs) -> anyhow::Result<String> {
    run_beside(programs, "docs/errors.md", vec![(nginx()?, NGINX)])
}

pub(crate) fn proxies(programs: &Programs) -> anyhow::Result<String> {
    let (mut haproxy, mut envoy) = (tools::haproxy()?, tools::envoy()?);
    haproxy.args(["-db", "-f", "haproxy.cfg"]);
    envoy.args(["-c", "envoy.yaml", "--concurrency", "1", "--use-dynamic-base-id"]);
    let servers = vec![
        (nginx()?, NGINX),
        (haproxy, HAPROXY),
        (envoy, ENVOY),
        // <greeter>
        (node()?, NODE),
        // </greeter>
    ];
    run_beside(programs, "xtask/proxies/README.md", servers)
}

fn nginx() -> anyhow::Result<Command> {
    let mut nginx = tools::nginx()?;
    nginx.args(["-p", ".", "-c", "nginx.conf", "-e", "nginx.log"]);
    Ok(nginx)
}

// <greeter>
fn node() -> anyhow::Result<Command> {
    crate::harness::stacks::node("clients/node/server.js")
}
// </greeter>

/// Runs a document whose examples need certificates and other servers.
fn run_beside(
    programs: &Programs,
    document: &str,
    servers: Vec<(Command, &str)>,
) -> anyhow::Result<String> {
    let certs = Ca::new("Example CA");
    let directory = certs.directory();
    certs.sign_files("server").combine(&certs.path("server.both"));

    let ports = Ports::new(ALL_PORTS)?;
    for config in ["nginx.conf", "haproxy.cfg", "envoy.yaml"] {
        let text = fs::read_to_string(root().join("xtask/proxies").join(config))?;
        fs::write(directory.join(config), ports.free(&text))?;
    }
    let start = |(mut server, address): (Command, &str)| {
        // <greeter>
        if address == NODE {
            server.arg(ports.free(NODE));
        }
        // </greeter>
        Proxy::start(&mut server, directory, &ports.free(address))
    };
    let _servers = servers.into_iter().map(start).collect::<anyhow::Result<Vec<_>>>()?;
    let commands = console::check(document, CONSOLE, directory, &ports, programs)?;
    Ok(format!("{commands} commands"))
}
