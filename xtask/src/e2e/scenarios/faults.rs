//! Faults that the daemon injects, as the parts around it react: Envoy ejects a replica that fails its
//! calls, and an alert of Prometheus fires. `docs/faults.md` has both as recipes.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

use super::prometheus::{ALERTS, Prometheus};
use crate::e2e::proxied_fleet::{CALLS_PER_BATCH, Fleet, NAMES, Proxy};
use crate::harness::command::{capture, wait_for};
use crate::harness::daemon::Daemon;
use crate::harness::programs::{Programs, root};
use crate::harness::sample;
use crate::harness::tools;

/// Above an ejection of Envoy (10 s), and the time until an alert fires.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Consecutive failures after which Envoy ejects a replica.
const FAILURES_UNTIL_EJECTION: u64 = 5;
const SICK: &str = "b";
const ALERT: &str = "GreetErrors";

/// Envoy ejects a replica that fails its calls although its health checks succeed, and takes it back.
pub(crate) fn outlier_detection(programs: &Programs) -> anyhow::Result<String> {
    let mut envoy = tools::envoy()?;
    tools::curl()?;
    envoy.args(["-c", "envoy.yaml", "--concurrency", "1", "--use-dynamic-base-id"]);
    envoy.args(["--log-level", "error"]);
    let fleet = Fleet::start(programs, "envoy.yaml")?;
    let _proxy = Proxy::start(&mut envoy, fleet.directory(), &fleet.plaintext_address())?;
    wait_for("every replica answers", TIMEOUT, || {
        let successes = fleet.successes()?;
        Ok(NAMES.iter().all(|name| successes.contains_key(*name)).then_some(()))
    })?;

    let sick = fleet.named(SICK)?;
    change_faults(sick, &["-X", "PUT", "-d", "status=UNAVAILABLE"])?;
    let successes: u64 = fleet.successes()?.values().sum();
    let failed = CALLS_PER_BATCH - successes;
    anyhow::ensure!(failed >= FAILURES_UNTIL_EJECTION, "only {failed} calls failed");
    wait_for("the sick replica is ejected", TIMEOUT, || {
        let successes = fleet.successes()?;
        let is_ejected = successes.values().sum::<u64>() == CALLS_PER_BATCH;
        Ok(is_ejected.then_some(()))
    })?;
    let injected = sick.metric("greet_faults_injected_total{kind=\"status\"}")?;
    anyhow::ensure!(injected >= failed, "{injected} faults for {failed} failed calls");
    let health = capture(&mut programs.client(&sick.target, &["health"]))?.succeeded()?;
    anyhow::ensure!(health == "SERVING\n", "the probes of the sick replica: {health}");

    change_faults(sick, &["-X", "DELETE"])?;
    wait_for("the replica is taken back", TIMEOUT, || {
        Ok(fleet.successes()?.contains_key(SICK).then_some(()))
    })?;
    Ok(format!("ejected after {failed} failed calls, SERVING meanwhile, and taken back"))
}

/// An alert fires while calls fail, and ends after that. Its times are seconds here.
pub(crate) fn alert(programs: &Programs) -> anyhow::Result<String> {
    Prometheus::program()?;
    tools::curl()?;
    let flags = ["--listen=127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let daemon =
        Daemon::start(programs, &[&flags[..], &["--fault=status=UNAVAILABLE@20%"]].concat())?;
    let alerts = fs::read_to_string(root().join(ALERTS))?;
    let alerts = alerts.replace("[5m]", "[5s]").replace("for: 5m", "for: 2s");
    let prometheus = Prometheus::start(&daemon, &alerts)?;
    let wait_until = |state: &str| {
        wait_for(&format!("{ALERT} is {state}"), TIMEOUT, || {
            let mut calls = programs.call(&daemon.target, "Ada");
            capture(calls.args(["--count", "50"]))?; // some fail
            let found = prometheus.api.get("rules", &[])?;
            let rules = found["groups"][0]["rules"].as_array().context("there are rules")?;
            let alert = rules.iter().find(|rule| rule["name"] == ALERT);
            Ok((alert.context(ALERT)?["state"] == state).then_some(()))
        })
    };
    wait_until("firing")?;
    let injected = daemon.metric("greet_faults_injected_total{kind=\"status\"}")?;
    let ended = format!(
        "grpc_server_call_duration_seconds_count{{grpc_method=\"{}\",grpc_status=\"UNAVAILABLE\"}}",
        sample::METHOD
    );
    let failed = daemon.metric(&ended)?;
    anyhow::ensure!(injected == failed, "{injected} faults, {failed} failed calls");
    change_faults(&daemon, &["-X", "DELETE"])?;
    wait_until("inactive")?;
    daemon.stop_cleanly()?;
    Ok(format!("{ALERT} fires at {failed} failed calls, and ends with the faults"))
}

/// Requests a change on the admin port, as an operator does.
fn change_faults(daemon: &Daemon, arguments: &[&str]) -> anyhow::Result<()> {
    let admin = daemon.admin.as_deref().context("the daemon has an admin port")?;
    let mut curl = tools::curl()?;
    curl.args(["--silent", "--show-error", "--fail"]).args(arguments);
    capture(curl.arg(format!("{admin}/faults")))?.succeeded()?;
    Ok(())
}
