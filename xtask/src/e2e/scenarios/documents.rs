//! Runs the console blocks of the documents.

use std::fs;

use greet_testkit::certs::Ca;

use crate::e2e::proxied_fleet::Proxy;
use crate::harness::console;
use crate::harness::ports::Ports;
use crate::harness::programs::{Programs, root};
use crate::harness::tools;

/// The ports in docs/errors.md: the daemon's, then those of nginx, HAProxy, Node and Envoy.
const ERRORS_PORTS: std::ops::RangeInclusive<u16> = 50051..=50064;
/// The last port of each.
const NGINX: &str = "127.0.0.1:50056";
const HAPROXY: &str = "127.0.0.1:50059";
const NODE: &str = "127.0.0.1:50060";
const ENVOY: &str = "127.0.0.1:50064";

pub(crate) fn readme(programs: &Programs) -> anyhow::Result<String> {
    run(programs, "README.md", &[50051])
}

pub(crate) fn operations(programs: &Programs) -> anyhow::Result<String> {
    tools::curl()?;
    run(programs, "docs/operations.md", &[50051, 9090])
}

fn run(programs: &Programs, document: &str, ports: &[u16]) -> anyhow::Result<String> {
    let directory = tempfile::tempdir()?;
    let ports = Ports::new(ports.iter().copied())?;
    let commands = console::check(document, directory.path(), &ports, programs)?;
    Ok(format!("{commands} commands"))
}

/// `diagnose` against greet-server, three proxies and the original server in Node.
pub(crate) fn errors(programs: &Programs) -> anyhow::Result<String> {
    let (mut nginx, mut haproxy) = (tools::nginx()?, tools::haproxy()?);
    let (mut envoy, mut node) = (tools::envoy()?, tools::node("clients/node/server.js")?);
    let certs = Ca::new("Example CA");
    let directory = certs.directory();
    certs.sign_files("server").combine(&certs.path("server.both"));
    certs.sign_files("client");

    let ports = Ports::new(ERRORS_PORTS)?;
    for config in ["nginx.conf", "haproxy.cfg", "envoy.yaml"] {
        let text = fs::read_to_string(root().join("xtask/proxies").join(config))?;
        fs::write(directory.join(config), ports.free(&text))?;
    }
    nginx.arg("-p").arg(directory).args(["-c", "nginx.conf", "-e", "nginx.log"]);
    haproxy.args(["-db", "-f", "haproxy.cfg"]);
    envoy.args(["-c", "envoy.yaml", "--concurrency", "1", "--use-dynamic-base-id"]);
    node.arg(ports.free(NODE));
    let servers = [(nginx, NGINX), (haproxy, HAPROXY), (envoy, ENVOY), (node, NODE)];
    let start = |(mut server, address): (_, &str)| {
        Proxy::start(&mut server, directory, &ports.free(address))
    };
    let _servers = servers.into_iter().map(start).collect::<anyhow::Result<Vec<_>>>()?;
    let commands = console::check("docs/errors.md", directory, &ports, programs)?;
    Ok(format!("{commands} commands"))
}
