//! Runs programs in bounded time and captures their output.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use greet_testkit::poll_until;

/// Above the duration of any single step: it ends a hang and does not judge speed.
const RUN_TIMEOUT: Duration = Duration::from_secs(60);

/// Prints a line of progress to standard error. Standard output is for results.
pub(crate) fn progress(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{line}"); // a closed standard error loses only progress
}

/// Prints a line of results to standard output.
pub(crate) fn print(line: fmt::Arguments<'_>) -> anyhow::Result<()> {
    writeln!(io::stdout().lock(), "{line}").context("could not write to standard output")
}

/// Returns a command without standard input and without the `GREET_*` variables of the caller.
pub(crate) fn program(path: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(path);
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("GREET_") {
            command.env_remove(variable);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// The output and the exit status of a program.
#[derive(Debug)]
pub(crate) struct Captured {
    command: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) status: ExitStatus,
}

impl Captured {
    /// Returns standard output if the program succeeded.
    pub(crate) fn succeeded(self) -> anyhow::Result<String> {
        if !self.status.success() {
            bail!("{self}");
        }
        Ok(self.stdout)
    }

    /// Fails if the exit code differs.
    pub(crate) fn exited_with(self, code: i32) -> anyhow::Result<Captured> {
        if self.status.code() != Some(code) {
            bail!("expected exit code {code}; {self}");
        }
        Ok(self)
    }
}

impl fmt::Display for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Captured { command, stdout, stderr, status } = self;
        write!(f, "{command}: {status}\n--- stdout\n{stdout}--- stderr\n{stderr}---")
    }
}

/// Runs a program to its end.
pub(crate) fn capture(command: &mut Command) -> anyhow::Result<Captured> {
    let shown = show(command);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("could not start {shown}"))?;
    let stdout = read_all(child.stdout.take().context("standard output is piped")?);
    let stderr = read_all(child.stderr.take().context("standard error is piped")?);
    let status = wait(&mut child, RUN_TIMEOUT).with_context(|| shown.clone())?;
    let text = |reader: thread::JoinHandle<String>| reader.join().unwrap_or_default();
    Ok(Captured { command: shown, stdout: text(stdout), stderr: text(stderr), status })
}

/// Returns whether a program is installed and succeeds.
pub(crate) fn works(command: &mut Command) -> bool {
    capture(command).is_ok_and(|captured| captured.status.success())
}

/// Reads a pipe to its end in a thread, so that it never fills up.
pub(crate) fn read_all(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes); // an error ends the output early
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Polls `check` until it returns a value; an error contains `name`.
pub(crate) fn wait_for<T>(
    name: &str,
    limit: Duration,
    mut check: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    poll_until(limit, || check().transpose())
        .with_context(|| format!("{name}: not within {limit:?}"))?
}

/// Waits for the end of a child, which is killed when `limit` has passed.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> anyhow::Result<ExitStatus> {
    within(child.id(), limit, || child.wait())
}

/// Waits for an action of a child, which is killed when `limit` has passed.
pub(crate) fn within<T>(
    pid: u32,
    limit: Duration,
    wait: impl FnOnce() -> io::Result<T>,
) -> anyhow::Result<T> {
    thread::scope(|scope| {
        let (done, watched) = mpsc::channel::<()>();
        let watchdog = scope.spawn(move || match watched.recv_timeout(limit) {
            Err(mpsc::RecvTimeoutError::Timeout) => kill(pid),
            _ => false,
        });
        let waited = wait();
        drop(done);
        match watchdog.join() {
            Ok(false) => waited.context("could not wait for a child process"),
            _ => bail!("killed, because it did not finish within {limit:?}"),
        }
    })
}

#[cfg(unix)]
fn kill(pid: u32) -> bool {
    signal(pid, rustix::process::Signal::KILL).is_ok()
}

#[cfg(not(unix))]
fn kill(pid: u32) -> bool {
    let pid = pid.to_string();
    Command::new("taskkill")
        .args(["/F", "/PID", &pid])
        .status()
        .is_ok_and(|status| status.success())
}

/// Sends SIGTERM.
#[cfg(unix)]
pub(crate) fn terminate(child: &Child) -> anyhow::Result<()> {
    signal(child.id(), rustix::process::Signal::TERM)
}

#[cfg(not(unix))]
pub(crate) fn terminate(child: &Child) -> anyhow::Result<()> {
    kill(child.id()).then_some(()).context("could not end a child process")
}

#[cfg(unix)]
fn signal(pid: u32, signal: rustix::process::Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.context("a child process has a pid")?;
    rustix::process::kill_process(pid, signal).context("could not signal a child process")
}

/// Returns a command line as a user types it, with long arguments shortened.
pub(crate) fn show(command: &Command) -> String {
    const MAX_CHARACTERS: usize = 60;
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| {
        let word = word.to_string_lossy();
        match word.chars().count() {
            ..=MAX_CHARACTERS => word.into_owned(),
            _ => format!("{}…", word.chars().take(MAX_CHARACTERS).collect::<String>()),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}
