//! The daemon behind Envoy, nginx and HAProxy, with the configurations in `deploy/proxies`.

use std::fs;
use std::process::Command;

use crate::e2e::proxied_fleet::{Fleet, Proxy};
use crate::harness::command::capture;
use crate::harness::programs::Programs;
use crate::harness::sample;
use crate::harness::tools;

pub(crate) fn nginx(programs: &Programs) -> anyhow::Result<String> {
    let mut nginx = tools::nginx()?;
    nginx.args(["-p", ".", "-c", "nginx.conf", "-e", "nginx.log"]);
    behind(programs, nginx, "nginx.conf", |_| Ok(()))
}

pub(crate) fn haproxy(programs: &Programs) -> anyhow::Result<String> {
    let mut haproxy = tools::haproxy()?;
    haproxy.args(["-db", "-f", "haproxy.cfg"]);
    behind(programs, haproxy, "haproxy.cfg", |_| Ok(()))
}

pub(crate) fn envoy(programs: &Programs) -> anyhow::Result<String> {
    let mut envoy = tools::envoy()?;
    tools::curl()?;
    envoy.args(["-c", "envoy.yaml", "--concurrency", "1", "--use-dynamic-base-id"]);
    envoy.args(["--log-level", "error"]);
    behind(programs, envoy, "envoy.yaml", grpc_web)
}

/// Calls pass the proxy unchanged, in plaintext and over TLS; then a daemon is replaced under load.
fn behind(
    programs: &Programs,
    mut proxy: Command,
    config: &str,
    more: impl FnOnce(&Fleet<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let mut fleet = Fleet::start(programs, config)?;
    let _proxy = Proxy::start(&mut proxy, fleet.directory(), &fleet.plaintext_address())?;
    fleet.passes_calls_unchanged()?;
    more(&fleet)?;
    fleet.replaces_under_load(&["b"])
}

/// Calls over gRPC-Web in its text form, as a page of another origin does.
fn grpc_web(fleet: &Fleet<'_>) -> anyhow::Result<()> {
    let body = fleet.directory().join("ada");
    fs::write(&body, "AAAAAAUKA0FkYQ==")?;
    let mut curl = tools::curl()?;
    curl.args(["--silent", "--include", "--http1.1", "--header", "origin: https://shop.example"]);
    for header in ["content-type", "accept"] {
        curl.args(["--header", &format!("{header}: application/grpc-web-text")]);
    }
    curl.arg("--data-binary").arg(format!("@{}", body.display()));
    curl.arg(format!("http://{}{}", fleet.plaintext_address(), sample::PATH));
    let reply = capture(&mut curl)?.succeeded()?;
    let message = "\r\n\r\nAAAAA"; // base64 of flag 0 and the length of a short message
    anyhow::ensure!(reply.contains(message), "no reply: {reply}");
    let allowed = "access-control-allow-origin: https://shop.example";
    anyhow::ensure!(reply.contains(allowed), "the origin is not allowed: {reply}");
    Ok(())
}
