//! Cores and priorities: a measured server and its clients have a core each.

use std::process::Command;

use super::command::{capture, program};

/// The cores of the server and of its client.
pub(crate) const SERVER_CORE: &str = "0";
pub(crate) const CLIENT_CORE: &str = "1";

/// The priority of attackers: a well-behaved client on the same core goes first.
#[cfg(target_os = "linux")]
const LOW_PRIORITY: i32 = 15;

/// Fails on a machine with one core.
pub(crate) fn require_a_core_each() -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    anyhow::ensure!(cores > 1, "server and clients need a core each, but there is one");
    Ok(())
}

/// Pins a command and its children to one core.
pub(crate) fn on_core(core: &str, command: &Command) -> Command {
    let mut pinned = program("taskset");
    pinned.args(["--cpu-list", core]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => drop(pinned.env(name, value)),
            None => drop(pinned.env_remove(name)),
        }
    }
    pinned
}

/// Pins the main thread, and the threads and processes that it starts later, to the core of clients.
pub(crate) fn pin_to_client_core() -> anyhow::Result<()> {
    let pid = std::process::id().to_string();
    capture(program("taskset").args(["--pid", "--cpu-list", CLIENT_CORE, &pid]))?.succeeded()?;
    Ok(())
}

/// Lowers the priority of this thread, and of those that it starts later. On systems other than Linux it
/// would lower that of the process.
pub(crate) fn yield_to_others() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, LOW_PRIORITY); // it only makes figures less noisy
}
