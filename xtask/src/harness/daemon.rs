//! Runs a server in the background, reads its address from its first line, and stops it on drop.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::command::{program, read_all, terminate, wait, wait_for, within};
use super::programs::Programs;

/// Above the duration of every drain in a scenario.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A running server.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    /// The address that it printed: `http://HOST:PORT`, `HOST:PORT` or `unix:PATH`.
    pub(crate) target: String,
    /// `http://HOST:PORT` of the admin port, if it has one.
    pub(crate) admin: Option<String>,
    rest_of_stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

/// The end of a server.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// The time from the signal to the end.
    pub(crate) took: Duration,
    /// Standard output after the first line.
    pub(crate) rest_of_stdout: String,
    pub(crate) log: String,
}

impl Daemon {
    /// Starts greet-server with a JSON log, so that its report can be read.
    pub(crate) fn start(programs: &Programs, flags: &[&str]) -> anyhow::Result<Daemon> {
        let mut command = program(&programs.server);
        command.args(["--log-format", "json"]).args(flags);
        Daemon::spawn(&mut command)
    }

    /// Starts a server that prints `listening on ADDRESS` first.
    pub(crate) fn spawn(command: &mut Command) -> anyhow::Result<Daemon> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("could not start {command:?}"))?;
        let mut stdout = BufReader::new(child.stdout.take().context("standard output is piped")?);
        let stderr = read_all(child.stderr.take().context("standard error is piped")?);
        let mut next_line = || -> anyhow::Result<String> {
            let mut line = String::new();
            within(child.id(), TIMEOUT, || stdout.read_line(&mut line))?;
            Ok(line)
        };
        let line = next_line()?;
        let mut admin = None;
        if command.get_args().any(|argument| argument == "--admin-listen") {
            admin = next_line()?.trim().strip_prefix("admin on ").map(str::to_owned);
        }
        let mut daemon = Daemon {
            child,
            target: line.trim().trim_start_matches("listening on ").to_owned(),
            admin,
            rest_of_stdout: Some(read_all(stdout)),
            stderr: Some(stderr),
        };
        if !line.starts_with("listening on ") {
            let ended = daemon.wait()?;
            bail!("{command:?} did not start: {line}{}", ended.log);
        }
        Ok(daemon)
    }

    /// Starts a server that prints nothing, and waits until it accepts.
    pub(crate) fn spawn_at(command: &mut Command, address: &str) -> anyhow::Result<Daemon> {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("could not start {command:?}"))?;
        let target = format!("http://{address}");
        let mut daemon = Daemon { child, target, admin: None, rest_of_stdout: None, stderr: None };
        wait_for(&format!("{command:?} accepts connections"), TIMEOUT, || {
            if let Some(status) = daemon.child.try_wait()? {
                bail!("{command:?} ended with {status}");
            }
            Ok(TcpStream::connect(address).ok())
        })?;
        Ok(daemon)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns `HOST:PORT` without the scheme.
    pub(crate) fn address(&self) -> &str {
        self.target.split_once("//").map_or(&self.target, |(_, address)| address)
    }

    /// Returns a sample of the admin port, such as `NAME` or `NAME{label="value"}`; 0 if it is absent.
    pub(crate) fn metric(&self, sample: &str) -> anyhow::Result<u64> {
        let admin = self.admin.as_deref().context("the daemon has no admin port")?;
        let address = admin.trim_start_matches("http://");
        let mut tcp = TcpStream::connect(address).with_context(|| admin.to_owned())?;
        write!(tcp, "GET /metrics HTTP/1.1\r\nhost: {address}\r\n\r\n")?;
        let mut metrics = String::new();
        tcp.read_to_string(&mut metrics)?; // one request a connection
        anyhow::ensure!(metrics.starts_with("HTTP/1.1 200 "), "{admin}/metrics: {metrics}");
        let value = metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.map_or(Ok(0), |value| value.parse().with_context(|| format!("{sample} {value}")))
    }

    /// Returns how the process has ended, if it has.
    pub(crate) fn exit_status(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends the first signal.
    pub(crate) fn terminate(&self) -> anyhow::Result<()> {
        terminate(&self.child)
    }

    /// Waits for the end of the drain.
    pub(crate) fn wait(&mut self) -> anyhow::Result<Ended> {
        let started = Instant::now();
        let status = wait(&mut self.child, TIMEOUT)?;
        let took = started.elapsed();
        let text = |reader: &mut Option<JoinHandle<String>>| {
            reader.take().and_then(|reader| reader.join().ok()).unwrap_or_default()
        };
        let rest_of_stdout = text(&mut self.rest_of_stdout);
        let ended =
            Ended { code: status.code(), took, rest_of_stdout, log: text(&mut self.stderr) };
        // A panic ends a call or a connection, not the daemon; only the log shows it.
        match ended.log.lines().find(|line| line.contains(r#""level":"ERROR""#)) {
            Some(error) => bail!("the daemon logged an error: {error}"),
            None => Ok(ended),
        }
    }

    pub(crate) fn stop(mut self) -> anyhow::Result<Ended> {
        self.terminate()?;
        self.wait()
    }

    /// Stops the daemon, which must exit with code 0.
    pub(crate) fn stop_cleanly(self) -> anyhow::Result<Ended> {
        let ended = self.stop()?;
        anyhow::ensure!(ended.code == Some(0), "{ended:?}");
        Ok(ended)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended already
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Returns a figure of the last log line, such as `answered` or `cut`.
    pub(crate) fn figure(&self, name: &str) -> anyhow::Result<u64> {
        let last = self.log.lines().last().unwrap_or_default();
        let event: serde_json::Value = serde_json::from_str(last)
            .with_context(|| format!("the last line of the log is not an event: {last:?}"))?;
        event[name].as_u64().with_context(|| format!("no {name} in {last}"))
    }
}
