//! grpc-go, its client to our server.

use crate::e2e::extras;
use crate::e2e::scenarios::both_ways;
use crate::project::Programs;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    both_ways::their_client(programs, extras::go_client()?)?;
    Ok("its client to ours".to_owned())
}
