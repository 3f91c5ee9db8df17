//! The original's program, both ways: its client to our server, our client to its server.

use crate::daemon::Daemon;
use crate::e2e::extras;
use crate::e2e::scenarios::both_ways;
use crate::project::Programs;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    both_ways::their_client(programs, extras::node("client.js")?)?;
    let theirs = Daemon::spawn(extras::node("server.js")?.arg("127.0.0.1:0"))?;
    both_ways::their_server(programs, &theirs)?;
    Ok("its client to ours, ours to its server".to_owned())
}
