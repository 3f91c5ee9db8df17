//! Behind nginx, by the configuration in `deploy/proxies`: in plaintext and over TLS, and one of three daemons
//! replaced under load.

use crate::e2e::proxied_fleet::{Fleet, Proxy};
use crate::harness::programs::Programs;
use crate::harness::tools;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let mut nginx = tools::nginx()?;
    let mut fleet = Fleet::start(programs, "nginx.conf")?;
    nginx.args(["-p", ".", "-c", "nginx.conf", "-e", "nginx.log"]);
    let address = fleet.address("127.0.0.1:8080");
    let _nginx = Proxy::start(&mut nginx, fleet.directory(), &address)?;
    fleet.passes_calls_unchanged()?;
    fleet.replaces_one_under_load()
}
