//! Writes the manual pages and completion scripts of both programs.

use std::fs;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use greet_flags::reference::{completions, man_page};

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

/// Writes into folders of `directory`.
pub(crate) fn write(directory: &Path) -> anyhow::Result<()> {
    write_program(directory, &greet_server::command(), &SERVER_VARIABLES)?;
    write_program(directory, &greet_cli::command(), &greet_cli::documentation::VARIABLES)
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
