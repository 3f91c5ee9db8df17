//! gRPC C++, its client to our server.

use crate::e2e::scenarios::interop;
use crate::harness::programs::Programs;
use crate::harness::tools;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    interop::their_client(programs, tools::cpp_client()?)?;
    Ok("its client to ours".to_owned())
}
