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
    // <greeter>
    measure(&guided)?;
    // </greeter>
    Ok(())
}

// <greeter>
/// Prints what the profile gains.
fn measure(guided: &crate::harness::programs::Programs) -> anyhow::Result<()> {
    use crate::bench;
    use crate::harness::command::print;
    use crate::harness::programs;
    use crate::harness::report::Missing;

    match bench::gain(&programs::build(true)?, guided) {
        Ok(ratio) => print(format_args!(
            "CPU time of a call, 10x10: {ratio:.2} of what the build without a profile takes"
        )),
        Err(error) if error.is::<Missing>() => print(format_args!("SKIP measuring: {error}")),
        Err(error) => Err(error),
    }
}
// </greeter>
