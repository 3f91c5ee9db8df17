//! The console blocks of `docs/operations.md`, run as they stand: the admin port, the log, gRPC-Web.

use crate::harness::console;
use crate::harness::ports::Ports;
use crate::harness::programs::Programs;
use crate::harness::tools;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    tools::curl()?;
    let directory = tempfile::tempdir()?;
    let ports = Ports::new([50051, 9090])?;
    let commands = console::check("docs/operations.md", directory.path(), &ports, programs)?;
    Ok(format!("{commands} commands"))
}
