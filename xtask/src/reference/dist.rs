//! `cargo xtask dist`: writes what is released: the profile-guided programs, their manual pages and
//! completion scripts.

use std::fs;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use greet_flags::reference::{completions, man_page};

use crate::bench;
use crate::harness::command::{print, progress};
use crate::harness::guided;
use crate::harness::programs::{self, target_directory};
use crate::harness::report::Missing;

/// Variables that greet-server reads besides those of its flags.
const SERVER_VARIABLES: [(&str, &str); 4] = [
    ("OTEL_*", "Standard variables of OpenTelemetry for traces and their exporter."),
    (
        "LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES",
        "Sockets that a service manager passes; they replace --listen, and --admin-listen if the name is admin.",
    ),
    ("NOTIFY_SOCKET", "Socket for READY, RELOADING and STOPPING (sd_notify)."),
    ("WATCHDOG_USEC, WATCHDOG_PID", "Timeout of the service manager's watchdog."),
];
const SHELLS: [(Shell, &str); 5] = [
    (Shell::Bash, "bash"),
    (Shell::Elvish, "elv"),
    (Shell::Fish, "fish"),
    (Shell::PowerShell, "ps1"),
    (Shell::Zsh, "zsh"),
];

/// Writes into `target/dist`.
pub(crate) fn write() -> anyhow::Result<()> {
    let directory = target_directory()?.join("dist");
    write_program(&directory, &greet_server::command(), &SERVER_VARIABLES)?;
    write_program(&directory, &greet_cli::command(), &greet_cli::documentation::VARIABLES)?;
    let (plain, guided) = (programs::build(true)?, guided::build()?);
    let programs = directory.join("bin");
    fs::create_dir_all(&programs)?;
    for program in [&guided.server, &guided.cli] {
        fs::copy(program, programs.join(program.file_name().expect("a program has a name")))?;
    }
    progress(format_args!("{}: written", directory.display()));
    match bench::gain(&plain, &guided) {
        Ok(ratio) => print(format_args!(
            "CPU time of a call, 10x10: {ratio:.2} of what the build without a profile takes"
        )),
        Err(error) if error.is::<Missing>() => print(format_args!("SKIP measuring: {error}")),
        Err(error) => Err(error),
    }
}

fn write_program(
    directory: &Path,
    command: &Command,
    variables: &[(&str, &str)],
) -> anyhow::Result<()> {
    let name = command.get_name();
    let (man, scripts) = (directory.join("man"), directory.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&scripts)?;
    fs::write(man.join(format!("{name}.1")), man_page(command, variables)?)?;
    for (shell, extension) in SHELLS {
        fs::write(scripts.join(format!("{name}.{extension}")), completions(command, shell)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_programs_have_a_manual_page_and_completions() {
        for command in [greet_server::command(), greet_cli::command()] {
            let page = man_page(&command, &SERVER_VARIABLES).unwrap();
            let page = String::from_utf8(page).unwrap();
            for part in [".SH ENVIRONMENT", ".SH \"EXIT STATUS\"", "NOTIFY_SOCKET"] {
                assert!(page.contains(part), "{part}: {page}");
            }
            for (shell, _) in SHELLS {
                let flag = command.get_arguments().find_map(|flag| flag.get_long()).unwrap();
                assert!(completions(&command, shell).unwrap().contains(flag), "{shell} {flag}");
            }
        }
    }
}
