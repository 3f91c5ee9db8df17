//! A new workspace for another service: it has no trace of this one, its checks and tests pass, and its
//! programs serve and call.

use std::fs;

use crate::harness::command::{capture, program};
use crate::harness::daemon::Daemon;
use crate::harness::programs::{Programs, root};
use crate::harness::stacks;
use crate::harness::workspace::Workspace;

pub(crate) fn run(_: &Programs) -> anyhow::Result<String> {
    let mut buf = stacks::buf()?;
    let directory = tempfile::tempdir()?;
    let workspace = Workspace { directory: directory.path().join("orders") };
    let new = ["xtask", "new", "orders", "--package", "acme.orders.v1", "--service", "Orders"];
    let mut new = workspace.cargo_command(&new)?;
    new.current_dir(root()).args(["--method", "GetOrder", "--dir"]).arg(&workspace.directory);
    anyhow::ensure!(new.status()?.success(), "xtask new failed");

    let files = workspace.git(&["ls-files"])?;
    for path in files.lines() {
        anyhow::ensure!(!mentions_greet(path.as_bytes()), "the path {path} mentions greet");
        let text = fs::read(workspace.directory.join(path))?;
        anyhow::ensure!(!mentions_greet(&text), "{path} mentions greet");
    }
    workspace.cargo(&["xtask", "check"])?;
    workspace.cargo(&["test", "--workspace", "--locked"])?;
    workspace.cargo(&["xtask", "e2e", "--only", "documents: "])?;
    let demo = workspace.cargo_command(&["xtask", "demo", "--name", "Ada"])?.output()?;
    let reply = String::from_utf8_lossy(&demo.stdout);
    anyhow::ensure!(reply == "{\"message\":\"GetOrder Ada\"}\n", "the demo printed {reply:?}");

    let daemon = Daemon::spawn(
        program(workspace.program("orders-server"))
            .args(["--listen=127.0.0.1:0", "--log-format=json"]),
    )?;
    let url = format!("{}/acme.orders.v1.Orders/GetOrder", daemon.target);
    buf.args(["curl", "--protocol", "grpc", "--http2-prior-knowledge", "--data"]);
    let reply = capture(buf.args([r#"{"name":"Ada"}"#, &url]))?.succeeded()?;
    let reply: serde_json::Value = serde_json::from_str(&reply)?;
    anyhow::ensure!(reply["message"] == "GetOrder Ada", "buf printed {reply}");
    daemon.stop_cleanly()?;
    Ok(format!(
        "{} files; checks, tests, documents, demo and buf curl succeed",
        files.lines().count()
    ))
}

fn mentions_greet(text: &[u8]) -> bool {
    text.windows(5).any(|part| part.eq_ignore_ascii_case(b"greet"))
}
