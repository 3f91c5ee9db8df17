//! The `greet-cli` binary.

use std::process::ExitCode;

/// Serves the many small allocations of a run over a million names.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    greet_cli::main()
}
