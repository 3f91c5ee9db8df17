//! Behind HAProxy, by the configuration in `deploy/proxies`: in plaintext and over TLS, and one of three daemons
//! replaced under load.

use crate::e2e::proxied_fleet::{Fleet, Proxy};
use crate::harness::programs::Programs;
use crate::harness::tools;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let mut haproxy = tools::haproxy()?;
    let mut fleet = Fleet::start(programs, "haproxy.cfg")?;
    haproxy.args(["-db", "-f", "haproxy.cfg"]);
    let address = fleet.address("127.0.0.1:8080");
    let _haproxy = Proxy::start(&mut haproxy, fleet.directory(), &address)?;
    fleet.passes_calls_unchanged()?;
    fleet.replaces_one_under_load()
}
