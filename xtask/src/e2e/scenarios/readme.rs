//! The README's console blocks, run as they stand.

use crate::e2e::console;
use crate::e2e::ports::Ports;
use crate::project::Programs;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let directory = tempfile::tempdir()?;
    let ports = Ports::new([50051])?;
    let commands = console::check("README.md", directory.path(), &ports, programs)?;
    Ok(format!("{commands} commands"))
}
