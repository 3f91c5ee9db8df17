//! Behind Envoy, by the configuration in `deploy/proxies`: gRPC in plaintext and over TLS, gRPC-Web, and one
//! of three daemons replaced under load.

use std::fs;

use crate::e2e::proxied_fleet::{Fleet, Proxy};
use crate::harness::command::run as run_command;
use crate::harness::programs::Programs;
use crate::harness::tools;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let mut envoy = tools::envoy()?;
    tools::curl()?;
    let mut fleet = Fleet::start(programs, "envoy.yaml")?;
    envoy.args(["-c", "envoy.yaml", "--concurrency", "1", "--use-dynamic-base-id"]);
    envoy.args(["--log-level", "error"]);
    let address = fleet.address("127.0.0.1:8080");
    let _envoy = Proxy::start(&mut envoy, fleet.directory(), &address)?;
    fleet.passes_calls_unchanged()?;
    greets_a_page(&fleet, &address)?;
    fleet.replaces_one_under_load()
}

/// gRPC-Web in its text form, which a terminal can show: the message, then the trailers.
fn greets_a_page(fleet: &Fleet<'_>, address: &str) -> anyhow::Result<()> {
    let body = fleet.directory().join("ada");
    fs::write(&body, "AAAAAAUKA0FkYQ==")?;
    let mut curl = tools::curl()?;
    curl.args(["--silent", "--include", "--http1.1", "--header", "origin: https://shop.example"]);
    for header in ["content-type", "accept"] {
        curl.args(["--header", &format!("{header}: application/grpc-web-text")]);
    }
    curl.arg("--data-binary").arg(format!("@{}", body.display()));
    curl.arg(format!("http://{address}/greet.Greeter/SayHello"));
    let page = run_command(&mut curl)?.succeeded()?;
    anyhow::ensure!(page.contains("AAAAAAsKCUhlbGxvIEFkY"), "no reply: {page}");
    let allowed = "access-control-allow-origin: https://shop.example";
    anyhow::ensure!(page.contains(allowed), "the page may not read it: {page}");
    Ok(())
}
