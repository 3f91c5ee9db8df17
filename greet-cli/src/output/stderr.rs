//! Standard error: what is wrong, what to do about it, how it went.

use std::fmt::{self, Write};
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use greet_proto::escape::Escaped;
use greet_proto::status::code_name;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::{Format, Verbosity};
use crate::client::{Call, metadata};
use crate::error::CallError;

/// What may be said.
#[derive(Debug)]
pub(crate) struct Stderr {
    format: Format,
    verbosity: Verbosity,
    progress: Option<Progress>,
}

impl Stderr {
    pub(crate) fn new(format: Format, verbosity: Verbosity) -> Stderr {
        Stderr { format, verbosity, progress: None }
    }

    /// One line for what is wrong, one for what to do. In JSON both are in the object already.
    pub(crate) fn failure(&self, failure: &CallError) {
        if self.format == Format::Text {
            let (line, hint) = (failure.to_string(), failure.hint());
            self.write_line(format_args!(
                "greet-cli: {}\n\nhint: {}",
                Escaped(&line),
                Escaped(&hint)
            ));
        }
    }

    /// One of many failures: which, and what is wrong.
    pub(crate) fn failure_for(&self, which: &impl fmt::Display, failure: &CallError) {
        if self.format == Format::Text {
            self.note(format_args!("{which}: {failure}"));
        }
    }

    /// What to do about one of many failures.
    pub(crate) fn hint(&self, hint: &str) {
        if self.format == Format::Text {
            self.write_line(format_args!("hint: {}", Escaped(hint)));
        }
    }

    /// How a call went, stage by stage.
    pub(crate) fn verbose<Reply>(&self, call: &Call<Reply>) {
        if !self.is_verbose() {
            return;
        }
        let stage = |name: &str, took: Option<Duration>, what: &str| {
            if let Some(took) = took {
                self.write_line(format_args!("* {name:<5} {:>8} us  {what}", took.as_micros()));
            }
        };
        let stages = &call.stages;
        stage("dns", stages.dns, "addresses found");
        stage("tcp", stages.tcp, stages.peer.as_deref().unwrap_or("no connection"));
        let version = stages.tls_facts.as_ref().and_then(|facts| facts.version.as_deref());
        stage("tls", stages.tls, version.unwrap_or("not agreed on"));
        stage("http2", stages.http2, if stages.settings.is_some() { "SETTINGS" } else { "none" });
        let status = match &call.result {
            Ok(_) => Some(tonic::Code::Ok),
            Err(failure) => failure.status().map(tonic::Status::code),
        };
        let status = status.map(code_name).unwrap_or_default();
        let attempt =
            if call.attempts > 1 { format!(", attempt {}", call.attempts) } else { String::new() };
        stage("rpc", call.rpc, &format!("{status}{attempt}"));
        for headers in [&call.headers, &call.trailers] {
            for (key, value) in metadata::custom(headers) {
                self.write_line(format_args!("< {key}: {}", Escaped(&value)));
            }
        }
    }

    /// Prints one line; text from a server may be part of it.
    pub(crate) fn note(&self, note: fmt::Arguments<'_>) {
        self.write_line(format_args!("greet-cli: {}", Escaped(&note.to_string())));
    }

    /// How it went as a whole, for whoever watches or asks.
    pub(crate) fn summary(&self, summary: &impl fmt::Display) {
        if self.is_verbose() || io::stderr().is_terminal() {
            self.write_line(format_args!("{summary}"));
        }
    }

    pub(crate) fn is_verbose(&self) -> bool {
        self.verbosity == Verbosity::Verbose
    }

    fn is_quiet(&self) -> bool {
        self.verbosity == Verbosity::Quiet
    }

    /// Shows how far it is, if somebody watches who does not see the replies themselves.
    pub(crate) fn begin_progress(&mut self, calls: Option<u64>) {
        let is_seen = io::stderr().is_terminal() && !io::stdout().is_terminal();
        if is_seen && !self.is_quiet() {
            self.progress = Some(Progress::new(calls));
        }
    }

    pub(crate) fn progress(&self, calls: u64) {
        if let Some(progress) = &self.progress {
            progress.at(calls);
        }
    }

    /// Shows how far a load test is, if somebody watches.
    pub(crate) fn begin_load_progress(&mut self) {
        if io::stderr().is_terminal() && !self.is_quiet() {
            self.progress = Some(Progress::for_load());
        }
    }

    /// The share that is done, and how it goes.
    pub(crate) fn load_progress(&self, share: f64, progress_text: impl FnOnce() -> String) {
        if let Some(progress) = &self.progress {
            progress.set_fraction(share, progress_text());
        }
    }

    pub(crate) fn end_progress(&mut self) {
        self.progress = None;
    }

    fn write_line(&self, line: fmt::Arguments<'_>) {
        if self.is_quiet() {
            return;
        }
        // With nowhere to complain, no complaint.
        let write_line = || drop(writeln!(io::stderr().lock(), "{line}"));
        match &self.progress {
            Some(progress) => progress.suspend(write_line),
            None => write_line(),
        }
    }
}

/// How often it moves while nothing else does.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Steps of a bar that has no calls to count.
const LOAD_STEPS: u64 = 1_000;

/// The line.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Of so many calls, if that is known.
    pub(super) fn new(calls: Option<u64>) -> Progress {
        let (bar, template) = match calls {
            Some(calls) => (
                ProgressBar::new(calls),
                "{bar:30} {human_pos} of {human_len} calls, {rate}, {eta} left",
            ),
            None => (ProgressBar::no_length(), "{spinner} {human_pos} calls, {rate}"),
        };
        let style = ProgressStyle::with_template(template).expect("the template is fixed");
        let rate = |state: &ProgressState, text: &mut dyn Write| {
            let _ = write!(text, "{:.0}/s", state.per_sec());
        };
        bar.set_style(style.with_key("rate", rate));
        bar.enable_steady_tick(PROGRESS_INTERVAL);
        Progress(bar)
    }

    /// Of a load test.
    pub(super) fn for_load() -> Progress {
        let bar = ProgressBar::new(LOAD_STEPS);
        let style = ProgressStyle::with_template("{bar:20} {percent}% {msg}");
        bar.set_style(style.expect("the template is fixed"));
        bar.set_message("warming up");
        bar.enable_steady_tick(PROGRESS_INTERVAL);
        Progress(bar)
    }

    /// How far it is, and what is to be said of it.
    pub(super) fn set_fraction(&self, share: f64, progress_text: String) {
        self.0.set_position((share.clamp(0.0, 1.0) * LOAD_STEPS as f64) as u64);
        self.0.set_message(progress_text);
    }

    pub(super) fn at(&self, calls: u64) {
        self.0.set_position(calls);
    }

    /// Does `what` to the terminal while the line is out of the way.
    pub(super) fn suspend(&self, what: impl FnOnce()) {
        self.0.suspend(what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
