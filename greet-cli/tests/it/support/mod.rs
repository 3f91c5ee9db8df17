//! Runs greet-cli and checks what it prints.

pub(crate) mod authority_server;
pub(crate) mod certs;
mod daemon;
pub(crate) mod error_snapshot;
pub(crate) mod fake_server;
pub(crate) mod host_name;
pub(crate) mod sample;
pub(crate) mod service;
#[cfg(target_os = "linux")]
pub(crate) mod silent_listener;

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, PipeWriter, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) use daemon::{Daemon, scripted};

/// The result of one run of greet-cli.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) status: ExitStatus,
    pub(crate) code: Option<i32>,
    pub(crate) elapsed: Duration,
}

impl CommandOutput {
    fn new(started: Instant, output: Output) -> CommandOutput {
        CommandOutput {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            status: output.status,
            code: output.status.code(),
            elapsed: started.elapsed(),
        }
    }

    /// Compares standard output, standard error and the exit code.
    #[track_caller]
    pub(crate) fn assert(&self, stdout: &str, stderr: &str, code: i32) {
        assert_eq!(
            (self.stdout.as_str(), self.stderr.as_str(), self.code),
            (stdout, stderr, Some(code))
        );
    }

    /// Returns the only JSON object on standard output.
    #[track_caller]
    pub(crate) fn object(&self) -> Value {
        let mut objects = self.objects();
        assert_eq!(objects.len(), 1, "{self:?}");
        objects.remove(0)
    }

    /// Returns the JSON objects on standard output, one a line.
    #[track_caller]
    pub(crate) fn objects(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| parse_object(line)).collect()
    }
}

/// Parses a JSON object and validates it against the schema that it names.
#[track_caller]
pub(crate) fn parse_object(line: &str) -> Value {
    let object: Value = serde_json::from_str(line).unwrap();
    let schema = match object["schema"].as_str() {
        // <greeter>
        Some("greet.hello/v1") => include_str!("../../../schema/hello.schema.json"),
        // </greeter>
        Some("greet.call/v1") => include_str!("../../../schema/call.schema.json"),
        Some("greet.health/v1") => include_str!("../../../schema/health.schema.json"),
        Some("greet.health_list/v1") => include_str!("../../../schema/health_list.schema.json"),
        Some("greet.diagnose/v1") => include_str!("../../../schema/diagnose.schema.json"),
        Some("greet.load/v1") => include_str!("../../../schema/load.schema.json"),
        Some("greet.ping/v1") => include_str!("../../../schema/ping.schema.json"),
        Some("greet.errors/v1") => include_str!("../../../schema/errors.schema.json"),
        Some("greet.tally/v1") => include_str!("../../../schema/tally.schema.json"),
        other => panic!("unknown schema {other:?}"),
    };
    let schema = serde_json::from_str(schema).unwrap();
    if let Err(error) = jsonschema::draft202012::validate(&schema, &object) {
        panic!("{error} at {}: {line}", error.instance_path());
    }
    object
}

/// Asserts that a call reports the time of these stages, and that they fit into the total.
#[track_caller]
pub(crate) fn assert_timing(call: &Value, stages: &[&str]) {
    let timing = &call["timing_us"];
    let micros = |stage: &str| timing[stage].as_u64().unwrap_or_else(|| panic!("{stage}: {call}"));
    let sum: u64 = stages.iter().map(|stage| micros(stage)).sum();
    assert!(sum <= micros("total"), "{timing}");
}

/// Returns `greet-cli ARGUMENTS…` with an empty environment and no input.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greet-cli"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(mut command: Command) -> CommandOutput {
    let started = Instant::now();
    CommandOutput::new(started, command.output().unwrap())
}

/// Runs `greet-cli --target TARGET ARGUMENTS…`.
pub(crate) fn cli(target: &str, arguments: &[impl AsRef<OsStr>]) -> CommandOutput {
    let mut command = command(&["--target", target]);
    command.args(arguments);
    run(command)
}

/// Runs `greet-cli ARGUMENTS…` with environment variables.
pub(crate) fn with(variables: &[(&str, &str)], arguments: &[&str]) -> CommandOutput {
    let mut command = command(arguments);
    command.envs(variables.iter().copied());
    run(command)
}

/// A running command with pipes for its standard streams. Dropped, it is killed.
pub(crate) struct Running {
    started: Instant,
    child: Child,
    stdout: Box<dyn BufRead>,
    stderr: BufReader<ChildStderr>,
}

/// Starts a command.
pub(crate) fn spawn(mut command: Command) -> Running {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = Instant::now();
    let mut child = command.spawn().unwrap();
    let stdout = Box::new(BufReader::new(child.stdout.take().unwrap()));
    let stderr = BufReader::new(child.stderr.take().unwrap());
    Running { started, child, stdout, stderr }
}

impl Running {
    /// Writes to standard input.
    pub(crate) fn write(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Reads a line of standard output.
    pub(crate) fn read_line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    /// Reads a line of standard error.
    pub(crate) fn read_stderr_line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line
    }

    #[cfg(unix)]
    pub(crate) fn send_signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal)
            .unwrap();
    }

    /// Closes the pipe that the command writes to, and waits for the end.
    pub(crate) fn close_stdout(mut self) -> CommandOutput {
        self.stdout = Box::new(io::empty());
        self.finish()
    }

    /// Writes `input` while the command runs, then closes standard input.
    pub(crate) fn finish_with(mut self, input: &[u8]) -> CommandOutput {
        let mut stdin = self.child.stdin.take().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(input)); // an error: the command ended before it
            self.finish()
        })
    }

    /// Closes standard input and waits for the end. The output is that not yet read.
    pub(crate) fn finish(mut self) -> CommandOutput {
        drop(self.child.stdin.take());
        let mut stderr = Vec::new();
        let mut stdout = Vec::new();
        thread::scope(|scope| {
            scope.spawn(|| self.stderr.read_to_end(&mut stderr).unwrap());
            self.stdout.read_to_end(&mut stdout).unwrap();
        });
        let status = self.child.wait().unwrap();
        CommandOutput::new(self.started, Output { status, stdout, stderr })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// Returns the writing end of a pipe without a reader.
pub(crate) fn closed_pipe() -> PipeWriter {
    let (_, writer) = io::pipe().unwrap();
    writer
}

/// Returns the metrics page of the admin port at `HOST:PORT`.
pub(crate) fn metrics(admin: &str) -> String {
    let mut page = String::new();
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    stream.read_to_string(&mut page).unwrap();
    page
}

/// Returns an address that refuses connections.
pub(crate) fn unused_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
