//! `cargo xtask e2e`: the built programs against each other, other stacks and hostile peers.

mod proxied_fleet;
mod scenarios;
mod under_attack;

use crate::harness::programs::{self, Programs};
use crate::harness::report::Report;

use scenarios::{
    call, capacity, container, deb, dist, documents, fair_share, faults, fd_exhaustion, hostile,
    ipv6, kubernetes, lifecycle, load_report, memory_limit, otel_collector, partition, ping, pods,
    prometheus, proxies, python, stalled_handshakes, systemd, telemetry, tls,
};
// <greeter>
use scenarios::{browser, extending, interop, new};
// </greeter>

/// What to run, and how strictly
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only the scenarios whose name contains this text
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Fail if a tool is not installed, instead of skipping the scenario
    #[arg(long)]
    require_all: bool,
    /// Use the release build (takes minutes the first time)
    #[arg(long)]
    release: bool,
}

/// Runs the programs and returns its findings in a few words.
type Scenario = fn(&Programs) -> anyhow::Result<String>;

const SCENARIOS: &[(&str, Scenario)] = &[
    ("call over TCP", call::over_tcp),
    ("call over a Unix socket", call::over_unix_socket),
    ("call over IPv6", ipv6::run),
    ("health across a lifecycle", lifecycle::health),
    ("drain under load", lifecycle::drain_under_load),
    ("drain with hostile peers", lifecycle::drain_with_hostile_peers),
    ("replacement on one port", lifecycle::replacement),
    ("ping during a rollout", ping::run),
    ("network partition", partition::run),
    ("load report", load_report::run),
    ("capacity", capacity::run),
    ("descriptor exhaustion", fd_exhaustion::run),
    ("documents: readme", documents::readme),
    ("documents: readme in Python", documents::readme_python),
    ("documents: references", documents::references),
    ("documents: operations", documents::operations),
    ("documents: faults", documents::faults),
    ("documents: tls", documents::tls),
    ("documents: errors", documents::errors),
    ("documents: proxies", documents::proxies),
    ("TLS and mTLS", tls::handshakes),
    ("certificate rotation", tls::rotation),
    ("stalled TLS handshakes", stalled_handshakes::run),
    ("hostile", hostile::run),
    ("memory limit", memory_limit::run),
    ("fair share", fair_share::run),
    ("container", container::run),
    ("metrics", telemetry::metrics),
    ("Prometheus", prometheus::run),
    ("faults: alert", faults::alert),
    ("Grafana dashboard", prometheus::dashboard),
    ("traces (OTLP)", telemetry::traces),
    ("log (OpenTelemetry Collector)", otel_collector::log),
    ("envoy", proxies::envoy),
    ("faults: outlier detection", faults::outlier_detection),
    ("nginx", proxies::nginx),
    ("haproxy", proxies::haproxy),
    ("systemd", systemd::run),
    ("kubernetes manifests", kubernetes::manifests),
    ("dist", dist::run),
    ("deb", deb::run),
    ("kubernetes pods", pods::run),
    ("Python", python::client_and_server),
    ("Python over a Unix socket", python::over_unix_socket),
    ("Python through a proxy", python::through_proxy),
    ("Python: health, reflection, details", python::services),
    // <greeter>
    ("browser", browser::run),
    ("reflection (buf)", interop::buf_reflection),
    ("the original (Node)", interop::node),
    ("C++", interop::cpp),
    ("Go", interop::go),
    ("extending", extending::run),
    ("new workspace", new::run),
    // </greeter>
];

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let programs = programs::build(args.release)?;
    let mut report = Report::default();
    let only = args.only.as_deref().unwrap_or_default();
    check(&mut report, &programs, only);
    report.conclude("cargo xtask e2e --only NAME", args.require_all)
}

/// Runs the scenarios whose name contains `only`.
pub(crate) fn check(report: &mut Report, programs: &Programs, only: &str) {
    for (name, scenario) in SCENARIOS.iter().filter(|(name, _)| name.contains(only)) {
        report.check(name, || scenario(programs));
    }
}
