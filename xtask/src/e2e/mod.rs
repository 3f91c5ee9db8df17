//! `cargo xtask e2e`: the built programs against each other, against other stacks, and against
//! peers that mean no good.

mod ledger;
mod proxied_fleet;
mod scenarios;

use crate::harness::programs::{self, Programs};
use crate::harness::report::Report;

/// What to run, and how strict to be
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only the scenarios whose name contains this
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Fail where something is missing on this machine, instead of skipping it
    #[arg(long)]
    require_all: bool,
    /// Use the optimised build (it takes minutes the first time)
    #[arg(long)]
    release: bool,
}

/// A story that ends well, or an error. Returns what was seen.
type Scenario = fn(&Programs) -> anyhow::Result<String>;

const SCENARIOS: [(&str, Scenario); 26] = [
    ("hello over TCP", scenarios::hello_tcp::run),
    ("hello over a Unix socket", scenarios::hello_unix::run),
    ("health across a lifecycle", scenarios::health_lifecycle::run),
    ("drain under load", scenarios::drain_under_load::run),
    ("replacement on one port", scenarios::replacement::run),
    ("drain with hostile peers", scenarios::drain_hostile::run),
    ("out of descriptors", scenarios::fd_exhaustion::run),
    ("readme", scenarios::readme::run),
    ("operations", scenarios::operations::run),
    ("diagnose: ours, proxies, the original", scenarios::diagnose::run),
    ("TLS and mTLS", scenarios::tls::run),
    ("rotation", scenarios::rotation::run),
    ("a crowd that stalls", scenarios::stalled_handshakes::run),
    ("attacks leave nothing behind", scenarios::attacks::run),
    ("metrics", scenarios::metrics::run),
    ("envoy", scenarios::envoy::run),
    ("nginx", scenarios::nginx::run),
    ("haproxy", scenarios::haproxy::run),
    ("browser", scenarios::browser::run),
    ("otlp", scenarios::otlp::run),
    ("reflection (buf)", scenarios::reflection_buf::run),
    ("the original (Node)", scenarios::original_node::run),
    ("Python", scenarios::python::run),
    ("Python: health, reflection, details", scenarios::python_services::run),
    ("C++", scenarios::cpp::run),
    ("Go", scenarios::go::run),
];

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let programs = programs::build(args.release)?;
    let mut results = Report::default();
    for (name, scenario) in SCENARIOS {
        if args.only.as_ref().is_none_or(|only| name.contains(only.as_str())) {
            results.check(name, || scenario(&programs));
        }
    }
    results.conclude("cargo xtask e2e --only NAME", args.require_all)
}

/// Every scenario, into a larger table.
pub(crate) fn check_all(results: &mut Report, programs: &Programs) {
    for (name, scenario) in SCENARIOS {
        results.check(name, || scenario(programs));
    }
}
