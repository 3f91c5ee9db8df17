//! grpcio, both ways.

use crate::e2e::scenarios::interop;
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::tools;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    interop::their_client(programs, tools::python("client.py")?)?;
    let theirs = Daemon::spawn(tools::python("server.py")?.arg("127.0.0.1:0"))?;
    interop::their_server(programs, &theirs)?;
    Ok("its client to ours, ours to its server".to_owned())
}
