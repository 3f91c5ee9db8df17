//! Faults that the daemon injects, as the parts around it react: Envoy ejects a replica that fails its
//! calls, and an alert of Prometheus fires. Both run the recipes of `docs/faults.md`.

use std::fs;
use std::time::Duration;

use super::prometheus::{ALERTS, Prometheus};
use crate::e2e::proxied_fleet::{Fleet, NAMES, Proxy};
use crate::harness::command::wait_for;
use crate::harness::console;
use crate::harness::daemon::Daemon;
use crate::harness::ports::Ports;
use crate::harness::programs::{Programs, root};
use crate::harness::sample;
use crate::harness::tools;

const DOCUMENT: &str = "docs/faults.md";
/// Above an ejection of Envoy (10 s).
const TIMEOUT: Duration = Duration::from_secs(60);
/// Consecutive failures after which Envoy ejects a replica, and so the calls that fail in the recipe.
const FAILURES_UNTIL_EJECTION: u64 = 5;
const INJECTED: &str = "greet_faults_injected_total{kind=\"status\"}";
/// The replica that the recipe lets fail.
const SICK: &str = "b";

/// Envoy ejects a replica that fails its calls although its health checks succeed, and takes it back.
pub(crate) fn outlier_detection(programs: &Programs) -> anyhow::Result<String> {
    let mut envoy = tools::envoy()?;
    tools::curl()?;
    envoy.args(["-c", "envoy.yaml", "--concurrency", "1", "--use-dynamic-base-id"]);
    envoy.args(["--log-level", "error"]);
    let fleet = Fleet::start(programs, "envoy.yaml")?;
    let _proxy = Proxy::start(&mut envoy, fleet.directory(), &fleet.plaintext_address())?;
    let are_all_called = || {
        let successes = fleet.successes()?;
        Ok(NAMES.iter().all(|name| successes.contains_key(*name)).then_some(()))
    };
    wait_for("every replica answers", TIMEOUT, are_all_called)?;
    fleet.runs_console(DOCUMENT, "console envoy")?;
    let failed = fleet.named(SICK)?.metric(INJECTED)?;
    anyhow::ensure!(failed == FAILURES_UNTIL_EJECTION, "ejected after {failed} calls");
    wait_for("the replica is taken back", TIMEOUT, are_all_called)?;
    Ok(format!("ejected after {failed} failed calls, SERVING meanwhile, and taken back"))
}

/// An alert fires while calls fail, and ends after that. Its times are seconds here.
pub(crate) fn alert(programs: &Programs) -> anyhow::Result<String> {
    Prometheus::program()?;
    tools::curl()?;
    let ports = Ports::new([50051, 9090, 9091])?;
    let [listen, admin, prometheus] =
        ["127.0.0.1:50051", "127.0.0.1:9090", "127.0.0.1:9091"].map(|shown| ports.free(shown));
    let daemon = Daemon::start(programs, &["--listen", &listen, "--admin-listen", &admin])?;
    let alerts = fs::read_to_string(root().join(ALERTS))?;
    let alerts = alerts.replace("[5m]", "[5s]").replace("for: 5m", "for: 2s");
    let _prometheus = Prometheus::start_at(&prometheus, &daemon, &alerts)?;
    let directory = tempfile::tempdir()?;
    console::check(DOCUMENT, "console prometheus", directory.path(), &ports, programs)?;

    let injected = daemon.metric(INJECTED)?;
    let ended = format!(
        "grpc_server_call_duration_seconds_count{{grpc_method=\"{}\",grpc_status=\"UNAVAILABLE\"}}",
        sample::METHOD
    );
    let failed = daemon.metric(&ended)?;
    anyhow::ensure!(injected == failed, "{injected} faults, {failed} failed calls");
    daemon.stop_cleanly()?;
    Ok(format!("the alert fires at {failed} failed calls, and ends with the faults"))
}
