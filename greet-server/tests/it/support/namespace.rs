//! The daemon in Linux namespaces of its own: its own hosts file, network or process ids.

use std::env;
use std::process::{Command, Stdio};

use super::skip;

/// The flags of `unshare` to try first: as root, and as a user who is root in a user namespace.
const AS_ROOT: [&[&str]; 2] = [&[], &["--map-root-user"]];

/// Returns the daemon in the namespaces of `flags`, started by a shell after `setup`, which runs in
/// another such namespace before. `None` skips the test.
pub(crate) fn daemon(flags: &[&str], setup: &str, daemon_flags: &[&str]) -> Option<Command> {
    let script = format!("{setup}\nexec \"$0\" \"$@\"");
    let command = |as_root: &[&str], program: &str| {
        let mut command = Command::new("unshare");
        command.args(as_root).args(flags).args(["sh", "-ec", &script, program]);
        command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let is_permitted = |as_root: &&&[&str]| {
        command(as_root, "true").output().is_ok_and(|output| output.status.success())
    };
    let Some(as_root) = AS_ROOT.iter().find(is_permitted) else {
        skip(&format!("`unshare {}` or its setup is not permitted", flags.join(" ")));
        return None;
    };
    let mut command = command(as_root, env!("CARGO_BIN_EXE_greet-server"));
    command.args(daemon_flags);
    Some(command)
}
