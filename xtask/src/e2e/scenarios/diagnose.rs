//! `docs/errors.md`: `diagnose` against our server, three proxies and the original, as its console blocks
//! show it.

use std::fs;

use crate::e2e::proxied_fleet::Proxy;
use crate::harness::console;
use crate::harness::ports::Ports;
use crate::harness::programs::{Programs, root};
use crate::harness::tools;
use greet_testkit::certs::Ca;

/// Those that the document shows: ours, nginx's, HAProxy's, the original's, Envoy's.
const PORTS: std::ops::RangeInclusive<u16> = 50051..=50064;
/// The last port that each of the others listens on.
const NGINX: &str = "127.0.0.1:50056";
const HAPROXY: &str = "127.0.0.1:50059";
const NODE: &str = "127.0.0.1:50060";
const ENVOY: &str = "127.0.0.1:50064";

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let (mut nginx, mut haproxy) = (tools::nginx()?, tools::haproxy()?);
    let (mut envoy, mut node) = (tools::envoy()?, tools::node("server.js")?);
    let certs = Ca::new("Example CA");
    let directory = certs.directory();
    certs.sign_files("server").combine(&certs.path("server.both"));
    certs.sign_files("client");

    let ports = Ports::new(PORTS)?;
    for config in ["nginx.conf", "haproxy.cfg", "envoy.yaml"] {
        let text = fs::read_to_string(root().join("xtask/proxies").join(config))?;
        fs::write(directory.join(config), ports.free(&text))?;
    }
    nginx.arg("-p").arg(directory).args(["-c", "nginx.conf", "-e", "nginx.log"]);
    haproxy.args(["-db", "-f", "haproxy.cfg"]);
    let _nginx = Proxy::start(&mut nginx, directory, &ports.free(NGINX))?;
    let _haproxy = Proxy::start(&mut haproxy, directory, &ports.free(HAPROXY))?;
    envoy.args(["-c", "envoy.yaml", "--concurrency", "1", "--use-dynamic-base-id"]);
    let _envoy = Proxy::start(&mut envoy, directory, &ports.free(ENVOY))?;
    let _node = Proxy::start(node.arg(ports.free(NODE)), directory, &ports.free(NODE))?;
    let commands = console::check("docs/errors.md", directory, &ports, programs)?;
    Ok(format!("{commands} commands"))
}
