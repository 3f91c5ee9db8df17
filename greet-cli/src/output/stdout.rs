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
    buffer: Vec<u8>,
    /// When the first of it came.
    oldest_at: Option<Instant>,
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
            buffer: Vec::new(),
            oldest_at: None,
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
                write!(self.buffer, "{text}").expect("memory takes all of it");
            }
            (Format::Text, None) => return,
            (Format::Json, _) => match self.trace {
                None => serde_json::to_writer(&mut self.buffer, &object()),
                Some(trace) => {
                    let traced = Traced { object: object(), trace_id: trace.to_string() };
                    serde_json::to_writer(&mut self.buffer, &traced)
                }
            }
            .expect("a report has only strings as keys, and memory takes all of it"),
        }
        self.buffer.push(b'\n');
        self.oldest_at.get_or_insert_with(Instant::now);
    }

    /// Gathers a text of many lines that has no object, such as a script.
    pub(crate) fn text(&mut self, text: &[u8]) {
        self.buffer.extend_from_slice(text);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.buffer.len() >= FLUSH_BYTES
    }

    /// Returns when what is gathered has waited long enough; never if there is nothing.
    pub(crate) async fn flush_due(&self) {
        match self.oldest_at {
            Some(oldest_at) => sleep_until(oldest_at + FLUSH_INTERVAL).await,
            None => std::future::pending().await,
        }
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// Standard output cannot be written, for another reason than that nobody reads it any more.
    pub(crate) async fn flush(&mut self) -> anyhow::Result<Written> {
        self.oldest_at = None;
        if self.buffer.is_empty() {
            return Ok(Written::Whole);
        }
        let taken = self.stdout.write_all(&self.buffer).await;
        self.buffer.clear(); // before the next wait: whoever gives that up must not print it twice
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
