//! Metrics and traces as other stacks read them: they add up to the calls that were sent, dashboard
//! and alerts query only existing metrics, and promtool accepts both.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::thread;

use anyhow::Context as _;
use serde_json::Value;

use crate::harness::command::capture;
use crate::harness::daemon::Daemon;
use crate::harness::programs::{Programs, root, target_directory};
use crate::harness::sample;
use crate::harness::tools;

const CALLS: u64 = 20_000;

/// Sums over all labels by name, and samples by `NAME{LABELS}`.
type Sums = BTreeMap<String, f64>;

pub(crate) fn metrics(programs: &Programs) -> anyhow::Result<String> {
    let flags = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let daemon = Daemon::start(programs, &flags)?;
    let admin = daemon.admin.clone().context("it prints its admin port")?;
    let scrape = || -> anyhow::Result<Sums> {
        let mut metrics =
            tools::python_with("import prometheus_client", "clients/python/metrics.py")?;
        let samples = capture(metrics.arg(format!("{admin}/metrics")))?.succeeded()?;
        Ok(serde_json::from_str(&samples)?)
    };
    scrape()?; // skips before the load starts
    check_alerts()?;

    let load = ["load", "--count", &CALLS.to_string(), "--connections", "4"];
    let mut load = programs.client(&daemon.target, &load);
    let (scrapes, loaded) = thread::scope(|scope| {
        let loading = scope.spawn(move || capture(&mut load)?.succeeded());
        let mut scrapes = vec![scrape()?];
        while !loading.is_finished() {
            scrapes.push(scrape()?);
        }
        anyhow::Ok((scrapes, loading.join().expect("the thread does not panic")))
    })?;
    loaded?;
    let too_long = "x".repeat(5_000);
    capture(&mut programs.call(&daemon.target, &too_long))?.exited_with(67)?;
    let unknown = ["health", "--service", "no.Such"];
    capture(&mut programs.client(&daemon.target, &unknown))?.exited_with(69)?;

    let sums = scrape()?;
    let count = |name: &str| sums.get(name).map(|value| *value as u64).unwrap_or_default();
    let ended =
        |labels: &str| count(&format!("grpc_server_call_duration_seconds_count{{{labels}}}"));
    let by_status =
        |status: &str| ended(&format!("grpc_method={},grpc_status={status}", sample::METHOD));
    let seen = (by_status("OK"), by_status("INVALID_ARGUMENT"));
    anyhow::ensure!(seen == (CALLS, 1), "the calls ended {seen:?} times: {sums:?}");
    let not_found = ended("grpc_method=grpc.health.v1.Health/Check,grpc_status=NOT_FOUND");
    anyhow::ensure!(not_found == 1, "{sums:?}");
    let started = count("grpc_server_call_started_total");
    anyhow::ensure!(started == CALLS + 2, "{started} calls were started");
    let connections = ["open", "refused_total", "closed_total"];
    let connections: u64 =
        connections.iter().map(|state| count(&format!("greet_connections_{state}"))).sum();
    anyhow::ensure!(count("greet_connections_accepted_total") == connections, "{sums:?}");
    never_decreases(&scrapes)?;
    let queried = queried_metrics_exist(&sums)?;
    check_metrics(&format!("{admin}/metrics"))?;
    daemon.stop()?;
    Ok(format!(
        "{} scrapes beside {CALLS} calls; {queried} queried metrics exist; promtool accepts them",
        scrapes.len()
    ))
}

/// One trace from greet-cli through the daemon to a collector, and one that starts in the daemon.
pub(crate) fn traces(programs: &Programs) -> anyhow::Result<String> {
    let imports = "import opentelemetry.proto.collector.trace.v1";
    let mut collector = tools::python_with(imports, "clients/python/collector.py")?;
    let collector = Daemon::spawn(collector.arg("127.0.0.1:0"))?;
    let endpoint = format!("http://{}", collector.target);
    let flags = ["--listen", "127.0.0.1:0", "--instance", "blue", "--otlp-endpoint", &endpoint];
    let daemon = Daemon::start(programs, &flags)?;

    let mut call = programs.call(&daemon.target, "Ada");
    let call = capture(call.args(["--trace", "--output", "json"]))?.succeeded()?;
    let call: Value = serde_json::from_str(&call)?;
    let trace_id = call["trace_id"].as_str().context("the call has a trace id")?;
    capture(&mut programs.call(&daemon.target, "Grace"))?.succeeded()?;

    daemon.stop_cleanly()?; // and with it the last batch of spans is sent
    let seen = collector.stop()?.rest_of_stdout;
    let spans: Vec<Value> = seen.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let [ada, grace] = &spans[..] else { anyhow::bail!("not two spans: {seen}") };
    for span in [ada, grace] {
        anyhow::ensure!(span["name"] == sample::METHOD, "{span}");
        anyhow::ensure!(span["resource"]["service.name"] == "greet-server", "{span}");
        anyhow::ensure!(span["resource"]["service.instance.id"] == "blue", "{span}");
        anyhow::ensure!(span["attributes"]["rpc.response.status_code"] == "OK", "{span}");
    }
    anyhow::ensure!(ada["trace_id"] == trace_id && ada["parent_id"] != "", "{ada}");
    anyhow::ensure!(grace["trace_id"] != trace_id && grace["parent_id"] == "", "{grace}");
    Ok("one trace from greet-cli to the collector, one that starts in the daemon".to_owned())
}

/// Runs each alert on series that raise it and on series that do not.
fn check_alerts() -> anyhow::Result<()> {
    let tests = root().join("deploy/prometheus/alerts_test.yml");
    capture(tools::promtool()?.args(["test", "rules"]).arg(tests))?.succeeded()?;
    Ok(())
}

/// Checks names, types and units with promtool.
fn check_metrics(metrics: &str) -> anyhow::Result<()> {
    let scraped = target_directory()?.join("e2e/metrics.txt");
    let mut curl = tools::curl()?;
    curl.args(["--silent", "--fail", "--output"]).arg(&scraped).arg(metrics);
    capture(&mut curl)?.succeeded()?;
    let mut promtool = tools::promtool()?;
    capture(promtool.args(["check", "metrics"]).stdin(File::open(scraped)?))?.succeeded()?;
    Ok(())
}

/// No counter decreases from one scrape to the next.
fn never_decreases(scrapes: &[Sums]) -> anyhow::Result<()> {
    for pair in scrapes.windows(2) {
        for (name, before) in pair[0].iter().filter(|(name, _)| name.contains("_total")) {
            let after = pair[1].get(name).unwrap_or(&0.0);
            anyhow::ensure!(after >= before, "{name} went from {before} to {after}");
        }
    }
    Ok(())
}

/// Every metric in the dashboard and in the alerts exists. Returns their number.
fn queried_metrics_exist(sums: &Sums) -> anyhow::Result<usize> {
    let documented = fs::read_to_string(root().join("docs/metrics.md"))?;
    let mut queried = 0;
    for file in ["deploy/grafana/greet.json", "deploy/prometheus/alerts.yml"] {
        let text = fs::read_to_string(root().join(file)).with_context(|| file.to_owned())?;
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let ours = ["greet_", "grpc_server_", "process_"];
        for word in words.filter(|word| ours.iter().any(|prefix| word.starts_with(prefix))) {
            let name =
                ["_bucket", "_count", "_sum"].iter().find_map(|suffix| word.strip_suffix(suffix));
            let name = name.unwrap_or(word);
            let is_there = sums.contains_key(word) || documented.contains(&format!("`{name}`"));
            anyhow::ensure!(is_there, "{file} queries {word}, which the daemon does not export");
            queried += 1;
        }
    }
    anyhow::ensure!(queried > 0, "nothing is queried");
    Ok(queried)
}
