//! grpcio, both ways.

use crate::daemon::Daemon;
use crate::e2e::extras;
use crate::e2e::scenarios::both_ways;
use crate::project::Programs;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    both_ways::their_client(programs, extras::python("client.py")?)?;
    let theirs = Daemon::spawn(extras::python("server.py")?.arg("127.0.0.1:0"))?;
    both_ways::their_server(programs, &theirs)?;
    Ok("its client to ours, ours to its server".to_owned())
}
