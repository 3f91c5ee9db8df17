//! Clients and servers of the original and of other stacks against ours.

use crate::harness::command::capture;
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::stacks;

use super::python::{their_client, their_server};

/// The original, in both directions.
pub(crate) fn node(programs: &Programs) -> anyhow::Result<String> {
    their_client(programs, stacks::node("clients/node/client.js")?)?;
    their_server(programs, stacks::node("clients/node/server.js")?)?;
    Ok("their client, their server".to_owned())
}

pub(crate) fn cpp(programs: &Programs) -> anyhow::Result<String> {
    their_client(programs, stacks::cpp("clients", "client")?)?;
    Ok("their client".to_owned())
}

pub(crate) fn go(programs: &Programs) -> anyhow::Result<String> {
    their_client(programs, stacks::go("clients", "client")?)?;
    Ok("their client".to_owned())
}

/// buf reads the contract by reflection, in both versions of the protocol, and calls.
pub(crate) fn buf_reflection(programs: &Programs) -> anyhow::Result<String> {
    let daemon = Daemon::start(programs, &["--listen", "127.0.0.1:0"])?;
    let url = format!("{}/greet.Greeter/SayHello", daemon.target);
    for version in ["grpc-v1", "grpc-v1alpha"] {
        let mut buf = stacks::buf()?;
        buf.args(["curl", "--protocol", "grpc", "--http2-prior-knowledge"]);
        buf.args(["--reflect-protocol", version, "--data", r#"{"name":"Ada"}"#, &url]);
        let reply = capture(&mut buf)?.succeeded()?;
        let reply: serde_json::Value = serde_json::from_str(&reply)?;
        anyhow::ensure!(reply["message"] == "Hello Ada", "{version}: the reply was {reply}");
    }
    Ok("buf curl with v1 and v1alpha".to_owned())
}
