//! A trace that our command line begins and our daemon continues, as a collector of another stack gets it.

use anyhow::Context as _;
use serde_json::Value;

use crate::harness::command::run as run_command;
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::tools;

const METHOD: &str = "greet.Greeter/SayHello";

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let collector = Daemon::spawn(tools::collector()?.arg("127.0.0.1:0"))?;
    let endpoint = format!("http://{}", collector.target);
    let flags = ["--listen", "127.0.0.1:0", "--instance", "blue", "--otlp-endpoint", &endpoint];
    let daemon = Daemon::start(programs, &flags)?;

    let arguments = ["--trace", "--output", "json", "hello", "--name", "Ada"];
    let said = run_command(&mut programs.greet(&daemon.target, &arguments))?.succeeded()?;
    let said: Value = serde_json::from_str(&said)?;
    let trace_id = said["trace_id"].as_str().context("the command line names its trace")?;
    run_command(&mut programs.greet(&daemon.target, &["hello", "--name", "Grace"]))?.succeeded()?;

    // Spans wait for others, but not for longer than the daemon lives.
    let ended = daemon.stop()?;
    anyhow::ensure!(ended.code == Some(0), "{ended:?}");
    let seen = collector.stop()?.rest_of_stdout;
    let spans: Vec<Value> = seen.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let [ada, grace] = &spans[..] else { anyhow::bail!("not two spans: {seen}") };
    for span in [ada, grace] {
        anyhow::ensure!(span["name"] == METHOD, "{span}");
        anyhow::ensure!(span["resource"]["service.name"] == "greet-server", "{span}");
        anyhow::ensure!(span["resource"]["service.instance.id"] == "blue", "{span}");
        anyhow::ensure!(span["attributes"]["rpc.response.status_code"] == "OK", "{span}");
    }
    anyhow::ensure!(ada["trace_id"] == trace_id && ada["parent_id"] != "", "{ada}");
    anyhow::ensure!(grace["trace_id"] != trace_id && grace["parent_id"] == "", "{grace}");
    Ok("one trace from the command line to the collector, one of the daemon's own".to_owned())
}
