//! Standard error: failures with hints, notes, the stages of calls, progress.

use std::fmt::{self, Write};
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use greet_flags::product::CLI;
use greet_proto::escape::Escaped;
use greet_proto::status::code_name;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::style::{ERROR, HINT};
use super::{Format, Verbosity};
use crate::client::metadata::{self, is_secret, redacted};
use crate::client::{Call, ConnectFailure};
use crate::error::{CallError, ConnectError, detail_lines};
use crate::format::PerSecond;

const REDRAW_INTERVAL: Duration = Duration::from_millis(200);

/// Steps of a bar that does not count calls.
const LOAD_STEPS: u64 = 1_000;

#[derive(Debug)]
pub(crate) struct Stderr {
    format: Format,
    verbosity: Verbosity,
    /// A line at the bottom of the terminal; hidden until it begins.
    progress: ProgressBar,
}

impl Stderr {
    pub(crate) fn new(format: Format, verbosity: Verbosity) -> Stderr {
        Stderr { format, verbosity, progress: ProgressBar::hidden() }
    }

    /// Prints a failure and its hint, unless they are in a JSON object.
    pub(crate) fn failure(&self, failure: &CallError) {
        if self.format == Format::Text {
            let (line, hint) = (failure.to_string(), failure.hint());
            let (line, hint) = (Escaped(&line), Escaped(&hint));
            let details = details(failure);
            self.write_line(format_args!(
                "{ERROR}{CLI}:{ERROR:#} {line}{details}\n\n{HINT}hint:{HINT:#} {hint}"
            ));
        }
    }

    /// Prints one of several failures, without its hint.
    pub(crate) fn failure_for(&self, which: &impl fmt::Display, failure: &CallError) {
        if self.format == Format::Text {
            let line = format!("{which}: {failure}");
            let (line, details) = (Escaped(&line), details(failure));
            self.write_line(format_args!("{ERROR}{CLI}:{ERROR:#} {line}{details}"));
        }
    }

    /// Prints the hint of one of several failures.
    pub(crate) fn hint(&self, hint: &str) {
        if self.format == Format::Text {
            self.write_line(format_args!("{HINT}hint:{HINT:#} {}", Escaped(hint)));
        }
    }

    /// Prints the course of a call, attempt by attempt: the duration and the result of each stage, and
    /// the headers.
    pub(crate) fn verbose<Reply>(&self, call: &Call<Reply>) {
        if !self.is_verbose() {
            return;
        }
        for (number, attempt) in (1..).zip(&call.earlier) {
            self.attempt(attempt, number);
            if let Err(failure) = &attempt.result {
                let failure = format!("attempt {number} of {}: {failure}", attempt.target);
                self.write_line(format_args!("* {}", Escaped(&failure)));
            }
        }
        let hidden = (call.attempts as usize).saturating_sub(call.earlier.len() + 1);
        if hidden > 0 {
            self.write_line(format_args!("* {hidden} more failed attempts"));
        }
        self.attempt(call, call.attempts);
    }

    fn attempt<Reply>(&self, call: &Call<Reply>, number: u32) {
        let stage = |name: &str, took: Option<Duration>, what: &str| {
            if let Some(took) = took {
                self.write_line(format_args!("* {name:<5} {:>8} us  {what}", took.as_micros()));
            }
        };
        let stages = &call.stages;
        stage("dns", stages.dns, "addresses found");
        stage("tcp", stages.tcp, stages.tcp_peer().as_deref().unwrap_or("not connected"));
        let tunnel = stages.tunnel.as_ref().map(ToString::to_string).unwrap_or_default();
        stage("proxy", stages.proxy, &Escaped(&tunnel).to_string());
        if let Some(reason) = &stages.not_proxied {
            let reason = reason.to_string();
            self.write_line(format_args!("* proxy {:>11}  not used: {}", "-", Escaped(&reason)));
        }
        let version = stages.tls_facts.as_ref().and_then(|facts| facts.version.as_deref());
        stage("tls", stages.tls, version.unwrap_or("no version"));
        stage("http2", stages.http2, if stages.settings.is_some() { "SETTINGS" } else { "none" });
        for (name, value) in call.request.iter().flatten() {
            self.write_line(format_args!("> {name}: {}", Escaped(value)));
        }
        let status = match &call.result {
            Ok(_) => Some(tonic::Code::Ok),
            Err(failure) => failure.status().map(tonic::Status::code),
        };
        let status = status.map(code_name).unwrap_or_default();
        let attempt = if number > 1 { format!(", attempt {number}") } else { String::new() };
        stage("rpc", call.rpc, &format!("{status}{attempt}"));
        for headers in [&call.headers, &call.trailers] {
            for (key, value) in metadata::custom(headers) {
                let value = if is_secret(&key) { redacted(&value) } else { value };
                self.write_line(format_args!("< {key}: {}", Escaped(&value)));
            }
        }
    }

    /// Prints servers that could not be connected to while others answer, except the one that the
    /// failure of a call names.
    pub(crate) fn dead_servers(&self, dead: &[ConnectFailure], named: Option<&ConnectError>) {
        for server in dead.iter().filter(|server| Some(&server.error) != named) {
            self.note(format_args!("{server}"));
        }
    }

    /// Prints one line, which may include text from a server.
    pub(crate) fn note(&self, note: fmt::Arguments<'_>) {
        self.write_line(format_args!("{CLI}: {}", Escaped(&note.to_string())));
    }

    /// Prints one line, unless its content is in a JSON object.
    pub(crate) fn note_of_text(&self, note: fmt::Arguments<'_>) {
        if self.format == Format::Text {
            self.note(note);
        }
    }

    /// Prints the reason for a failure that has no hint.
    pub(crate) fn error(&self, reason: fmt::Arguments<'_>) {
        let reason = reason.to_string();
        self.write_line(format_args!("{ERROR}{CLI}:{ERROR:#} {}", Escaped(&reason)));
    }

    /// Prints a line about all calls, on a terminal or with --verbose.
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

    /// Shows progress if standard error is a terminal and standard output is not.
    pub(crate) fn begin_progress(&mut self, calls: Option<u64>) {
        let (bar, template) = match calls {
            _ if io::stdout().is_terminal() => return,
            Some(calls) => (
                ProgressBar::new(calls),
                "{bar:30} {human_pos} of {human_len} calls, {rate}, {eta} left",
            ),
            None => (ProgressBar::no_length(), "{spinner} {human_pos} calls, {rate}"),
        };
        self.show(bar, template);
    }

    pub(crate) fn progress(&self, calls: u64) {
        if !self.progress.is_hidden() {
            self.progress.set_position(calls);
        }
    }

    /// Shows the progress of a load test if standard error is a terminal.
    pub(crate) fn begin_load_progress(&mut self) {
        // A line that wraps is not cleared, so the text ends with the terminal.
        self.show(ProgressBar::new(LOAD_STEPS), "{bar:10} {percent:>3}% {wide_msg}");
    }

    /// Updates the fraction that is done, and the text beside it.
    pub(crate) fn load_progress(&self, fraction: f64, text: impl FnOnce() -> String) {
        if !self.progress.is_hidden() {
            self.progress.set_position((fraction.clamp(0.0, 1.0) * LOAD_STEPS as f64) as u64);
            self.progress.set_message(text());
        }
    }

    pub(crate) fn end_progress(&mut self) {
        self.progress.finish_and_clear();
    }

    fn show(&mut self, bar: ProgressBar, template: &str) {
        if self.is_quiet() || !io::stderr().is_terminal() {
            return;
        }
        let style = ProgressStyle::with_template(template).expect("the template is fixed");
        let rate = |state: &ProgressState, text: &mut dyn Write| {
            let _ = write!(text, "{}", PerSecond(state.per_sec()));
        };
        bar.set_style(style.with_key("rate", rate));
        bar.enable_steady_tick(REDRAW_INTERVAL);
        self.progress = bar;
    }

    fn write_line(&self, line: fmt::Arguments<'_>) {
        if self.is_quiet() {
            return;
        }
        let line = format!("{line}\n"); // one write, so that lines of several processes do not mix
        // A failure of standard error has no place to be reported.
        self.without_progress(|| drop(anstream::stderr().write_all(line.as_bytes())));
    }

    /// Writes to the terminal while the progress is hidden.
    pub(crate) fn without_progress(&self, write: impl FnOnce()) {
        self.progress.suspend(write);
    }
}

/// Returns the details of a failure, each on a line of its own after the line of the failure.
fn details(failure: &CallError) -> String {
    let lines = detail_lines(&failure.details());
    lines.iter().map(|line| format!("\n  {}", Escaped(line))).collect()
}
