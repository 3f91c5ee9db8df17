//! The daemon as a process: the real binary in a clean environment.

use std::process::{Command, Output, Stdio};

use greet_server::config::Config;

#[cfg(unix)]
pub(crate) use unix::{Process, start_and_stop};

pub(crate) fn daemon(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greet-server"));
    command.args(flags).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Returns what `--check` reports of a valid configuration with the default of `--memory-limit`.
pub(crate) fn valid() -> String {
    let limits = Config::default().limits;
    let (maximum, limit) = (limits.max_memory(), limits.memory_limit);
    format!(
        "greet-server: at most about {maximum} of memory, {limit} of it for peers\n\
         greet-server: the configuration is valid\n"
    )
}

/// Exit code, standard output and standard error.
pub(crate) type Ran = (Option<i32>, String, String);

/// Runs a command that ends on its own.
pub(crate) fn run(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[cfg(unix)]
mod unix {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::process::{Child, ChildStdout, Command};

    use rustix::process::{Pid, Signal, kill_process};

    use greet_testkit::with_timeout;

    /// A running daemon. Dropping it kills it.
    pub(crate) struct Process {
        pub(crate) child: Child,
        stdout: BufReader<ChildStdout>,
        /// The log so far, and the length of the part before the last event that a test waited for.
        log: String,
        seen: usize,
    }

    /// What a daemon leaves behind.
    #[derive(Debug)]
    pub(crate) struct Exit {
        pub(crate) code: Option<i32>,
        /// The lines that the test has not read.
        pub(crate) stdout: String,
        pub(crate) log: String,
    }

    impl Process {
        /// Starts the daemon. The command pipes standard output, as [`super::daemon`] does.
        pub(crate) fn start(command: &mut Command) -> Process {
            let mut child = command.spawn().unwrap();
            let stdout = BufReader::new(child.stdout.take().unwrap());
            Process { child, stdout, log: String::new(), seen: 0 }
        }

        /// Reads a line of standard output.
        pub(crate) fn next_line(&mut self) -> String {
            let mut line = String::new();
            self.stdout.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        }

        /// Reads a line that announces a listener, and returns its `HOST:PORT`.
        pub(crate) fn next_address(&mut self) -> String {
            let line = self.next_line();
            line.split_once("://").unwrap_or_else(|| panic!("{line}")).1.to_owned()
        }

        pub(crate) fn signal(&self, signal: Signal) {
            kill_process(Pid::from_child(&self.child), signal).unwrap();
        }

        /// Waits until the log has `text` after the text of the previous wait.
        pub(crate) fn wait_for_log(&mut self, text: &str) {
            while !self.log[self.seen..].contains(text) {
                let mut part = [0; 4096];
                let length = self.child.stderr.as_mut().unwrap().read(&mut part).unwrap();
                assert_ne!(length, 0, "the log ends without {text:?}: {}", self.log);
                self.log.push_str(std::str::from_utf8(&part[..length]).unwrap());
            }
            self.seen += self.log[self.seen..].find(text).unwrap() + text.len();
        }

        /// Waits for the end.
        pub(crate) fn wait(mut self) -> Exit {
            let (mut log, mut stdout) = (std::mem::take(&mut self.log), String::new());
            if let Some(mut stderr) = self.child.stderr.take() {
                stderr.read_to_string(&mut log).unwrap();
            }
            self.stdout.read_to_string(&mut stdout).unwrap();
            Exit { code: self.child.wait().unwrap().code(), stdout, log }
        }

        /// Sends SIGTERM and waits for the end.
        pub(crate) fn stop(self) -> Exit {
            self.signal(Signal::TERM);
            self.wait()
        }

        /// Stops while the runtime of this thread goes on: its clients must acknowledge the GOAWAY.
        pub(crate) async fn stop_async(self) -> Exit {
            with_timeout(tokio::task::spawn_blocking(|| self.stop())).await.unwrap()
        }
    }

    impl Drop for Process {
        fn drop(&mut self) {
            let _ = self.child.kill(); // fails if it has ended
        }
    }

    /// Starts the daemon and stops it. Returns its first line of standard output and its exit code.
    pub(crate) fn start_and_stop(mut command: Command) -> (String, Option<i32>) {
        let mut process = Process::start(&mut command);
        (process.next_line(), process.stop().code)
    }
}
