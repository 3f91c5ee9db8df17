//! `cargo xtask dist`: writes what is released: the profile-guided programs, their manual pages and
//! completion scripts.

use std::fs;

use crate::harness::command::progress;
use crate::harness::guided;
use crate::harness::programs::{Linking, target_directory};
use crate::reference;

/// Writes into `target/dist`.
pub(crate) fn run() -> anyhow::Result<()> {
    let directory = target_directory()?.join("dist");
    reference::pages(&directory)?;
    let guided = guided::build(Linking::Dynamic)?;
    let programs = directory.join("bin");
    fs::create_dir_all(&programs)?;
    for program in [&guided.server, &guided.cli] {
        fs::copy(program, programs.join(program.file_name().expect("a program has a name")))?;
    }
    progress(format_args!("{}: written", directory.display()));
    Ok(())
}
