//! Prometheus with the configuration of `deploy/`: it scrapes the daemon, stores the traces of calls as
//! exemplars, evaluates the alerts, and has data for each panel of the dashboard.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::command::{capture, wait_for};
use crate::harness::daemon::Daemon;
use crate::harness::programs::{Programs, root};
use crate::harness::sample;
use crate::harness::tools;

pub(super) const ALERTS: &str = "deploy/prometheus/alerts.yml";
const DASHBOARD: &str = "deploy/grafana/greet.json";
/// Above the time of a few scrapes, a second apart.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Labels that Prometheus adds, and that of a bucket.
const ADDED_LABELS: [&str; 3] = ["instance", "job", "le"];
/// The start of an expression's list of labels.
const LABEL_LISTS: [&str; 4] = ["by (", "without (", "on (", "ignoring ("];
/// Queries without data: only a daemon with TLS has a certificate, and this one closes no connection.
const WITHOUT_DATA: [&str; 2] = ["greet_tls_certificate_expiry", "greet_connections_closed_total"];

/// A running Prometheus with the configuration of `deploy/`, which scrapes one daemon every second.
pub(super) struct Prometheus {
    api: Api,
    _process: Daemon,
    _directory: TempDir,
}

/// A query, and the texts that show its labels.
struct Query {
    expression: String,
    texts: Vec<String>,
}

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    Prometheus::program()?; // skips before the daemon starts
    let flags = ["--listen=127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--instance=blue"];
    let daemon = Daemon::start(programs, &flags)?;
    let prometheus = Prometheus::start(&daemon, &fs::read_to_string(root().join(ALERTS))?)?;
    let api = &prometheus.api;

    let target =
        r#"target_info{job="greet",service_name="greet-server",service_instance_id="blue"}"#;
    api.wait_for_data(target)?;
    let trace_id = exemplar(programs, &daemon, api)?;
    let alerts = alerts(api)?;
    let panels = panels()?;
    let metrics = documented()?;
    for query in alerts.iter().chain(&panels) {
        check_labels(query, &metrics).with_context(|| query.expression.clone())?;
    }
    for Query { expression, .. } in &panels {
        if WITHOUT_DATA.iter().any(|metric| expression.contains(metric)) {
            api.query(expression)?;
        } else {
            api.wait_for_data(expression)?;
        }
    }
    daemon.stop()?;
    Ok(format!(
        "trace {trace_id} is an exemplar; {} alerts and {} queries of the dashboard are valid",
        alerts.len(),
        panels.len()
    ))
}

impl Prometheus {
    /// Returns the program, or how to install it.
    pub(super) fn program() -> anyhow::Result<Command> {
        tools::apt("prometheus", "--version", "prometheus")
    }

    /// Starts it with `alerts` at a free port.
    fn start(daemon: &Daemon, alerts: &str) -> anyhow::Result<Prometheus> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        Prometheus::start_at(&address, daemon, alerts)
    }

    /// Starts it with `alerts` at an address.
    pub(super) fn start_at(
        address: &str,
        daemon: &Daemon,
        alerts: &str,
    ) -> anyhow::Result<Prometheus> {
        let admin = daemon.admin.as_deref().context("it prints its admin port")?;
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("prometheus.yml");
        fs::write(&file, config_for(admin.trim_start_matches("http://"))?)?;
        fs::write(directory.path().join("alerts.yml"), alerts)?;
        let data = directory.path().join("data");
        let mut prometheus = Prometheus::program()?;
        prometheus.arg(format!("--config.file={}", file.display()));
        prometheus.arg(format!("--storage.tsdb.path={}", data.display()));
        prometheus.arg(format!("--web.listen-address={address}"));
        prometheus.args(["--enable-feature=exemplar-storage", "--log.level=error"]);
        let process = Daemon::spawn_at(&mut prometheus, address)?;
        let api = Api(process.target.clone());
        Ok(Prometheus { api, _process: process, _directory: directory })
    }
}

/// Reads the dashboard with the types of Grafana.
pub(crate) fn dashboard(_: &Programs) -> anyhow::Result<String> {
    let script = "checkers/grafana_dashboard.py";
    let mut python = tools::checker_script("import grafana_foundation_sdk", script)?;
    let panels = capture(python.arg(root().join(DASHBOARD)))?.succeeded()?;
    Ok(format!("Grafana's types read every key of {} panels", panels.trim()))
}

/// Returns the configuration with another target and a shorter interval.
fn config_for(target: &str) -> anyhow::Result<String> {
    let config = fs::read_to_string(root().join("deploy/prometheus/prometheus.yml"))?;
    let line = config.lines().find(|line| line.contains("- targets: ["));
    let config = config.replace(line.context("no targets")?, &format!("  - targets: [{target}]"));
    let interval = "scrape_interval: 15s";
    anyhow::ensure!(config.contains(interval), "another interval: {config}");
    Ok(config.replace(interval, "scrape_interval: 1s\n  evaluation_interval: 1s"))
}

/// Calls within a trace, and waits until Prometheus has it.
fn exemplar(programs: &Programs, daemon: &Daemon, api: &Api) -> anyhow::Result<String> {
    let mut call = programs.call(&daemon.target, "Ada");
    let call = capture(call.args(["--trace", "--output", "json"]))?.succeeded()?;
    let call: Value = serde_json::from_str(&call)?;
    let trace_id = call["trace_id"].as_str().context("the call has a trace id")?;
    wait_for("Prometheus has the exemplar", TIMEOUT, || {
        let query = "grpc_server_call_duration_seconds_bucket";
        let found =
            api.get("query_exemplars", &[("query", query), ("start", "0"), ("end", "1e11")])?;
        let series = found.as_array().context("exemplars come by series")?;
        let of_call = series.iter().find(|series| {
            let method = &series["seriesLabels"]["grpc_method"];
            method == sample::METHOD && series["exemplars"][0]["labels"]["trace_id"] == trace_id
        });
        Ok(of_call.map(|_| trace_id.to_owned()))
    })
}

/// Waits until each alert has been evaluated, and returns their queries.
fn alerts(api: &Api) -> anyhow::Result<Vec<Query>> {
    let rules = wait_for("the alerts are evaluated", TIMEOUT, || {
        let found = api.get("rules", &[])?;
        let rules = found["groups"][0]["rules"].as_array().context("there are rules")?.clone();
        if let Some(failed) = rules.iter().find(|rule| rule["health"] == "err") {
            anyhow::bail!("{failed}");
        }
        Ok(rules.iter().all(|rule| rule["health"] == "ok").then_some(rules))
    })?;
    let firing: Vec<_> = rules.iter().filter(|rule| rule["state"] != "inactive").collect();
    anyhow::ensure!(firing.is_empty(), "a healthy daemon raises {firing:?}");
    let query = |rule: &Value| {
        let expression = rule["query"].as_str().context("a rule has a query")?.to_owned();
        let annotations = rule["annotations"].as_object().context("a rule has annotations")?;
        let texts = annotations.values().filter_map(|text| Some(text.as_str()?.to_owned()));
        Ok(Query { expression, texts: texts.collect() })
    };
    rules.iter().map(query).collect()
}

/// Returns the queries of the dashboard with values for its variables.
fn panels() -> anyhow::Result<Vec<Query>> {
    let dashboard = fs::read_to_string(root().join(DASHBOARD))?;
    let dashboard: Value = serde_json::from_str(&dashboard)?;
    let panels = dashboard["panels"].as_array().context("a dashboard has panels")?;
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let query = |target: &Value| {
        let expression = target["expr"].as_str().context("a target has an expression")?;
        let expression = expression.replace("$instance", ".*").replace("$__rate_interval", "10s");
        anyhow::ensure!(!expression.contains('$'), "an unknown variable: {expression}");
        let legend = target["legendFormat"].as_str().unwrap_or_default();
        Ok(Query { expression, texts: vec![legend.replace("{{", "{{ $labels.")] })
    };
    targets.map(query).collect()
}

/// Returns the labels of each metric in `docs/metrics.md`.
fn documented() -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let document = fs::read_to_string(root().join("docs/metrics.md"))?;
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.filter_map(|row| {
        let code = |cell: &str| cell.replace('`', "").trim().to_owned();
        let [_, name, _, labels, ..] = row.split('|').collect::<Vec<_>>()[..] else { return None };
        Some((code(name), labels.split(',').map(code).collect()))
    });
    Ok(rows.collect())
}

/// Fails if a query uses a label that none of its metrics has. That the metrics exist, `telemetry` checks.
fn check_labels(query: &Query, metrics: &BTreeMap<String, Vec<String>>) -> anyhow::Result<()> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let expression: String = query.expression.split('"').step_by(2).collect(); // without values
    let mut labels = ADDED_LABELS.map(str::to_owned).to_vec();
    for word in expression.split(|letter| !is_word(letter)) {
        let base = ["_bucket", "_count", "_sum"].iter().find_map(|it| word.strip_suffix(it));
        if let Some(family) = metrics.get(word).or_else(|| metrics.get(base?)) {
            labels.extend(family.iter().cloned());
        }
    }
    let lists = LABEL_LISTS.iter().flat_map(|list| expression.split(list).skip(1));
    let lists = lists.filter_map(|list| Some(list.split_once(')')?.0));
    let matchers = expression.split('{').skip(1).filter_map(|part| Some(part.split_once('}')?.0));
    let listed = lists.chain(matchers).flat_map(|list| list.split(','));
    let shown = query.texts.iter().flat_map(|text| text.split("$labels.").skip(1));
    for used in listed.map(str::trim).chain(shown) {
        let used = used.split(|letter| !is_word(letter)).next().unwrap_or_default();
        anyhow::ensure!(used.is_empty() || labels.iter().any(|it| it == used), "no label {used}");
    }
    Ok(())
}

/// The HTTP API of Prometheus.
struct Api(String);

impl Api {
    fn get(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Value> {
        let mut curl = tools::curl()?;
        curl.args(["--silent", "--get", &format!("{}/api/v1/{path}", self.0)]);
        for (name, value) in parameters {
            curl.args(["--data-urlencode", &format!("{name}={value}")]);
        }
        let mut response: Value = serde_json::from_str(&capture(&mut curl)?.succeeded()?)?;
        anyhow::ensure!(response["status"] == "success", "{path} {parameters:?}: {response}");
        Ok(response["data"].take())
    }

    /// Returns the series of a query, which must be valid.
    fn query(&self, expression: &str) -> anyhow::Result<Vec<Value>> {
        let mut found = self.get("query", &[("query", expression)])?;
        Ok(found["result"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    fn wait_for_data(&self, expression: &str) -> anyhow::Result<()> {
        wait_for(&format!("{expression} has data"), TIMEOUT, || {
            Ok((!self.query(expression)?.is_empty()).then_some(()))
        })
    }
}
