//! Standard output: lines of data, gathered and written together.

use std::fmt;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep_until};

use super::Format;
use crate::client::Trace;

/// What is written when so much has been gathered, even if more is at hand.
const FLUSH_BYTES: usize = 64 * 1024;
/// And when the first of it has waited so long: nobody notices, and thousands of replies share a write.
const FLUSH_INTERVAL: Duration = Duration::from_millis(10);

/// Lines on their way. They leave with [`Stdout::flush`], and the rest of the process goes on while
/// whoever reads them is slow.
#[derive(Debug)]
pub(crate) struct Stdout {
    format: Format,
    gathered: Vec<u8>,
    /// When the first of it came.
    since: Option<Instant>,
    stdout: tokio::io::Stdout,
    is_terminal: bool,
    /// The trace that everything told here belongs to.
    trace: Option<Trace>,
}

/// An object, and the trace that it belongs to.
#[derive(Serialize)]
struct Traced<O> {
    #[serde(flatten)]
    object: O,
    trace_id: String,
}

/// What became of lines of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// They were taken.
    Whole,
    /// The reader has what it wanted and left, as `head` does. It ends the command, and is no failure.
    BrokenPipe,
}

impl Stdout {
    pub(crate) fn new(format: Format) -> Stdout {
        let is_terminal = std::io::stdout().is_terminal();
        Stdout {
            format,
            gathered: Vec::new(),
            since: None,
            stdout: tokio::io::stdout(),
            is_terminal,
            trace: None,
        }
    }

    /// From here on each object has the id of the trace that it belongs to.
    pub(crate) fn begin_trace(&mut self, trace: Trace) {
        self.trace = Some(trace);
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether it is to be seen at once, and in order with what is said on standard error.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Gathers a line: `text` if there is any, or `object`.
    pub(crate) fn line<O: Serialize>(
        &mut self,
        text: Option<impl fmt::Display>,
        object: impl FnOnce() -> O,
    ) {
        match (self.format, text) {
            (Format::Text, Some(text)) => {
                write!(self.gathered, "{text}").expect("memory takes all of it");
            }
            (Format::Text, None) => return,
            (Format::Json, _) => match self.trace {
                None => serde_json::to_writer(&mut self.gathered, &object()),
                Some(trace) => {
                    let traced = Traced { object: object(), trace_id: trace.to_string() };
                    serde_json::to_writer(&mut self.gathered, &traced)
                }
            }
            .expect("a report has only strings as keys, and memory takes all of it"),
        }
        self.gathered.push(b'\n');
        self.since.get_or_insert_with(Instant::now);
    }

    /// Gathers a text of many lines that has no object, such as a script.
    pub(crate) fn text(&mut self, text: &[u8]) {
        self.gathered.extend_from_slice(text);
    }

    pub(crate) fn is_enough(&self) -> bool {
        self.gathered.len() >= FLUSH_BYTES
    }

    /// Returns when what is gathered has waited long enough; never if there is nothing.
    pub(crate) async fn is_due(&self) {
        match self.since {
            Some(since) => sleep_until(since + FLUSH_INTERVAL).await,
            None => std::future::pending().await,
        }
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// Standard output cannot be written, for another reason than that nobody reads it any more.
    pub(crate) async fn flush(&mut self) -> anyhow::Result<Written> {
        self.since = None;
        if self.gathered.is_empty() {
            return Ok(Written::Whole);
        }
        let taken = self.stdout.write_all(&self.gathered).await;
        self.gathered.clear(); // before the next wait: whoever gives that up must not print it twice
        let written = match taken {
            Ok(()) => self.stdout.flush().await,
            failed => failed,
        };
        match written {
            Ok(()) => Ok(Written::Whole),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Written::BrokenPipe),
            Err(error) => Err(error).context("could not write to standard output"),
        }
    }
}
