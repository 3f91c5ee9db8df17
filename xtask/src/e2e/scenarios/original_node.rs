//! The original's program, both ways: its client to our server, our client to its server.

use crate::e2e::scenarios::interop;
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::tools;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    interop::their_client(programs, tools::node("client.js")?)?;
    let theirs = Daemon::spawn(tools::node("server.js")?.arg("127.0.0.1:0"))?;
    interop::their_server(programs, &theirs)?;
    Ok("its client to ours, ours to its server".to_owned())
}
