//! The `greet-cli` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    greet_cli::main()
}
