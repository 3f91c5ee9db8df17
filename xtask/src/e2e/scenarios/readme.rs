//! The README's console blocks, run as they stand.

use crate::harness::console;
use crate::harness::ports::Ports;
use crate::harness::programs::Programs;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let directory = tempfile::tempdir()?;
    let ports = Ports::new([50051])?;
    let commands = console::check("README.md", directory.path(), &ports, programs)?;
    Ok(format!("{commands} commands"))
}
