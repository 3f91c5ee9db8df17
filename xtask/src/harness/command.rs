//! Running other programs: always with an end in time, always with what they said at hand.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use greet_testkit::poll_until;

/// Far longer than any single step takes; it ends a hang, it does not judge speed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A line of progress on standard error. Standard output is kept for results.
pub(crate) fn step(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{line}"); // with nobody to tell, nothing is lost
}

/// A line of results on standard output.
pub(crate) fn result(line: fmt::Arguments<'_>) -> anyhow::Result<()> {
    writeln!(io::stdout().lock(), "{line}").context("could not write to standard output")
}

/// A program in an environment that no `GREET_…` variable of the caller's reaches.
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

/// What a program left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    shown: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) status: ExitStatus,
}

impl Ran {
    /// Its standard output, if it succeeded.
    pub(crate) fn succeeded(self) -> anyhow::Result<String> {
        if !self.status.success() {
            bail!("{self}");
        }
        Ok(self.stdout)
    }

    /// Itself, if it ended with `code`.
    pub(crate) fn ended_with(self, code: i32) -> anyhow::Result<Ran> {
        if self.status.code() != Some(code) {
            bail!("expected exit code {code}; {self}");
        }
        Ok(self)
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ran { shown, stdout, stderr, status } = self;
        write!(f, "{shown}: {status}\n--- stdout\n{stdout}--- stderr\n{stderr}---")
    }
}

/// Runs to the end and keeps what was said.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<Ran> {
    let shown = show(command);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("could not start {shown}"))?;
    let stdout = read_all(child.stdout.take().context("its standard output is piped")?);
    let stderr = read_all(child.stderr.take().context("its standard error is piped")?);
    let status = wait(&mut child, PATIENCE).with_context(|| shown.clone())?;
    let text = |reader: thread::JoinHandle<String>| reader.join().unwrap_or_default();
    Ok(Ran { shown, stdout: text(stdout), stderr: text(stderr), status })
}

/// Whether a program is there and runs.
pub(crate) fn works(command: &mut Command) -> bool {
    run(command).is_ok_and(|ran| ran.status.success())
}

/// Everything that a pipe will say, collected in the background so that it never fills up.
pub(crate) fn read_all(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes); // what was said until it broke is all there is
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Polls until `look` returns a value; `what` names it in the error.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    poll_until(limit, || look().transpose())
        .with_context(|| format!("{what}: not within {limit:?}"))?
}

/// Waits for a child, and kills it when `limit` is over.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> anyhow::Result<ExitStatus> {
    let pid = child.id();
    watched(pid, limit, || child.wait())
}

/// Waits for something that a child does, and kills it when `limit` is over.
pub(crate) fn within<T>(
    child: &Child,
    limit: Duration,
    wait: impl FnOnce() -> io::Result<T>,
) -> anyhow::Result<T> {
    watched(child.id(), limit, wait)
}

fn watched<T>(
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
            _ => bail!("did not come round within {limit:?} and was killed"),
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

/// Asks a process to leave.
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

/// A command line as it would be typed, shortened where an argument is long.
pub(crate) fn show(command: &Command) -> String {
    const MOST_CHARACTERS: usize = 60;
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| {
        let word = word.to_string_lossy();
        match word.chars().count() {
            ..=MOST_CHARACTERS => word.into_owned(),
            _ => format!("{}…", word.chars().take(MOST_CHARACTERS).collect::<String>()),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}
