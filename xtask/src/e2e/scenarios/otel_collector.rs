//! The log as the configuration of the OpenTelemetry Collector maps it: each record has the names and the
//! trace of the span of its call. A script applies the operators, because no package has the Collector.

use std::fs::{self, File};

use anyhow::Context as _;
use serde_json::Value;

use crate::harness::command::capture;
use crate::harness::daemon::Daemon;
use crate::harness::programs::{Programs, root};
use crate::harness::sample;
use crate::harness::tools;

const CONFIGURATION: &str = "deploy/otel-collector.yaml";

pub(crate) fn log(programs: &Programs) -> anyhow::Result<String> {
    let mut map = tools::checker_script("import yaml", "checkers/otel_collector.py")?;
    // Spans are recorded, with an id for the log, although nothing receives them at this port.
    let flags = ["--listen=127.0.0.1:0", "--access-log=all", "--otlp-endpoint=http://127.0.0.1:1"];
    let daemon = Daemon::start(programs, &flags)?;
    let mut call = programs.call(&daemon.target, "Ada");
    let call = capture(call.args(["--trace", "--output", "json"]))?.succeeded()?;
    let call: Value = serde_json::from_str(&call)?;
    let mut unknown = tools::curl()?;
    unknown.args(["--silent", "--http2-prior-knowledge", "--request", "POST"]);
    unknown.args(["--header", "content-type: application/grpc"]);
    capture(unknown.arg(format!("{}/made.Up/Method", daemon.target)))?.succeeded()?;
    let log = daemon.stop_cleanly()?.log;

    let directory = tempfile::tempdir()?;
    let file = directory.path().join("log");
    fs::write(&file, &log)?;
    map.arg(root().join(CONFIGURATION)).stdin(File::open(file)?);
    let records = capture(&mut map)?.succeeded()?;
    let records: Vec<Value> =
        records.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    anyhow::ensure!(records.len() == log.lines().count(), "{log}");
    let calls: Vec<_> = records.iter().filter(|record| record["body"] == "call").collect();
    let [ada, unknown] = calls[..] else { anyhow::bail!("not two calls: {records:?}") };
    anyhow::ensure!(ada["trace_id"] == call["trace_id"] && ada["span_id"].is_string(), "{ada}");
    let method = &ada["attributes"]["rpc.method"];
    anyhow::ensure!(method == sample::METHOD && ada["scope"] == "access", "{ada}");
    anyhow::ensure!(ada["attributes"]["network.peer.address"] == "127.0.0.1", "{ada}");
    anyhow::ensure!(unknown["attributes"]["url.path"] == "/made.Up/Method", "{unknown}");
    for call in calls {
        // The names of OpenTelemetry have a namespace, those of the log have none.
        let attributes = call["attributes"].as_object().context("a record has attributes")?;
        let unmapped: Vec<_> = attributes.keys().filter(|name| !name.contains('.')).collect();
        anyhow::ensure!(unmapped.is_empty(), "{CONFIGURATION} does not map {unmapped:?}");
    }
    Ok(format!("{} lines of the log become records with the names of the spans", records.len()))
}
