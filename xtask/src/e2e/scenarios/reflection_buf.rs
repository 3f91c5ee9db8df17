//! A client that has no `.proto` asks the daemon for it, in both versions of the protocol, and calls.

use crate::harness::command::run as run_command;
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::tools;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let daemon = Daemon::start(programs, &["--listen", "127.0.0.1:0"])?;
    let url = format!("{}/greet.Greeter/SayHello", daemon.target);
    for version in ["grpc-v1", "grpc-v1alpha"] {
        let mut buf = tools::buf()?;
        buf.args(["curl", "--protocol", "grpc", "--http2-prior-knowledge"]);
        buf.args(["--reflect-protocol", version, "--data", r#"{"name":"Ada"}"#, &url]);
        let reply = run_command(&mut buf)?.succeeded()?;
        let reply: serde_json::Value = serde_json::from_str(&reply)?;
        anyhow::ensure!(reply["message"] == "Hello Ada", "{version}: the reply was {reply}");
    }
    Ok("buf curl, by v1 and by v1alpha".to_owned())
}
