//! The console blocks of `docs/operations.md`, run as they stand: the admin port, the log, gRPC-Web.

use crate::e2e::console;
use crate::e2e::extras;
use crate::e2e::ports::Ports;
use crate::project::Programs;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    extras::curl()?;
    let directory = tempfile::tempdir()?;
    let ports = Ports::new([50051, 9090])?;
    let commands = console::check("docs/operations.md", directory.path(), &ports, programs)?;
    Ok(format!("{commands} commands"))
}
