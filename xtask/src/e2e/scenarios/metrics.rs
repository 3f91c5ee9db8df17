//! Metrics while calls come in and after them, as another stack's parser reads them: they add up to what
//! was sent, dashboard and alerts ask for nothing that is not there, and Prometheus' own tool agrees.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::thread;

use anyhow::Context as _;

use crate::harness::command::run as run_command;
use crate::harness::daemon::Daemon;
use crate::harness::programs::{Programs, root, target_directory};
use crate::harness::tools;

const CALLS: u64 = 20_000;
const HELLO: &str = "grpc_method=greet.Greeter/SayHello";

/// A sum over all labels by name, and each sample by `NAME{LABELS}`.
type Sums = BTreeMap<String, f64>;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let mut daemon =
        Daemon::start(programs, &["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])?;
    let admin = daemon.admin.clone().context("it says where its admin port is")?;
    let scrape = || -> anyhow::Result<Sums> {
        let mut metrics =
            tools::python_with("import prometheus_client", "clients/python/metrics.py")?;
        let said = run_command(metrics.arg(format!("{admin}/metrics")))?.succeeded()?;
        Ok(serde_json::from_str(&said)?)
    };
    scrape()?; // before a call, or a SKIP
    alerts_fire_when_they_should()?;

    let load = ["load", "--count", &CALLS.to_string(), "--connections", "4"];
    let mut load = programs.greet(&daemon.target, &load);
    let (scrapes, loaded) = thread::scope(|scope| {
        let loading = scope.spawn(move || run_command(&mut load)?.succeeded());
        let mut scrapes = vec![scrape()?];
        while !loading.is_finished() {
            scrapes.push(scrape()?);
        }
        anyhow::Ok((scrapes, loading.join().expect("it does not panic")))
    })?;
    loaded?;
    let long = "x".repeat(5_000);
    run_command(&mut programs.greet(&daemon.target, &["hello", "--name", &long]))?
        .ended_with(67)?;
    let unknown = ["health", "--service", "no.Such"];
    run_command(&mut programs.greet(&daemon.target, &unknown))?.ended_with(69)?;

    let sums = scrape()?;
    let count = |name: &str| sums.get(name).map(|value| *value as u64).unwrap_or_default();
    let ended =
        |labels: &str| count(&format!("grpc_server_call_duration_seconds_count{{{labels}}}"));
    let by_status = |status: &str| ended(&format!("{HELLO},grpc_status={status}"));
    let seen = (by_status("OK"), by_status("INVALID_ARGUMENT"));
    anyhow::ensure!(seen == (CALLS, 1), "SayHello ended {seen:?} times: {sums:?}");
    let not_found = ended("grpc_method=grpc.health.v1.Health/Check,grpc_status=NOT_FOUND");
    anyhow::ensure!(not_found == 1, "{sums:?}");
    let started = count("grpc_server_call_started_total");
    anyhow::ensure!(started == CALLS + 2, "{started} calls were started");
    let connections = ["open", "refused_total", "closed_total"];
    let connections: u64 =
        connections.iter().map(|it| count(&format!("greet_connections_{it}"))).sum();
    anyhow::ensure!(count("greet_connections_accepted_total") == connections, "{sums:?}");
    never_back(&scrapes)?;
    let asked = asked_for_exists(&sums)?;
    lint(&format!("{admin}/metrics"))?;
    daemon.terminate()?;
    daemon.wait()?;
    Ok(format!(
        "{} scrapes beside {CALLS} calls; {asked} metrics asked for are there; promtool content",
        scrapes.len()
    ))
}

/// Each alert on series that should raise it, and on series that should not.
fn alerts_fire_when_they_should() -> anyhow::Result<()> {
    let tests = root().join("deploy/prometheus/alerts_test.yml");
    run_command(tools::promtool()?.args(["test", "rules"]).arg(tests))?.succeeded()?;
    Ok(())
}

/// Names, types and units as Prometheus wants them.
fn lint(metrics: &str) -> anyhow::Result<()> {
    let scraped = target_directory()?.join("e2e/metrics.txt");
    let mut curl = tools::curl()?;
    curl.args(["--silent", "--fail", "--output"]).arg(&scraped).arg(metrics);
    run_command(&mut curl)?.succeeded()?;
    let mut promtool = tools::promtool()?;
    run_command(promtool.args(["check", "metrics"]).stdin(File::open(scraped)?))?.succeeded()?;
    Ok(())
}

/// What only grows has never shrunk from one look to the next.
fn never_back(scrapes: &[Sums]) -> anyhow::Result<()> {
    for pair in scrapes.windows(2) {
        for (name, before) in pair[0].iter().filter(|(name, _)| name.contains("_total")) {
            let after = pair[1].get(name).unwrap_or(&0.0);
            anyhow::ensure!(after >= before, "{name} went from {before} to {after}");
        }
    }
    Ok(())
}

/// Every metric that the dashboard and the alerts name is one that the daemon has. How many those are.
fn asked_for_exists(sums: &Sums) -> anyhow::Result<usize> {
    let documented = fs::read_to_string(root().join("docs/metrics.md"))?;
    let mut asked = 0;
    for file in ["deploy/grafana/greet.json", "deploy/prometheus/alerts.yml"] {
        let text = fs::read_to_string(root().join(file)).with_context(|| file.to_owned())?;
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let ours = ["greet_", "grpc_server_", "process_"];
        for word in words.filter(|word| ours.iter().any(|prefix| word.starts_with(prefix))) {
            let name = ["_bucket", "_count", "_sum"].iter().find_map(|it| word.strip_suffix(it));
            let name = name.unwrap_or(word);
            let is_there = sums.contains_key(word) || documented.contains(&format!("`{name}`"));
            anyhow::ensure!(is_there, "{file} asks for {word}, which the daemon does not have");
            asked += 1;
        }
    }
    anyhow::ensure!(asked > 0, "nothing is asked for");
    Ok(asked)
}
