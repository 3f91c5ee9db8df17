//! Standard output: lines of data in a buffer, written together.

use std::fmt;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::time::Duration;

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use anyhow::Context as _;
use serde::Serialize;
use terminal_size::{Width, terminal_size};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep_until};

use super::Format;
use crate::client::Trace;

/// Size of the buffer that causes a write.
const FLUSH_BYTES: usize = 64 * 1024;
/// Age of the first line that causes a write: imperceptible to a user, and long enough for
/// thousands of replies.
const FLUSH_INTERVAL: Duration = Duration::from_millis(10);

/// A buffer of lines, and two ways to write it: [`Stdout::flush`] does not block other tasks if the
/// reader is slow, but starts a thread; [`Stdout::flush_blocking`] is for a command that has nothing
/// else to do.
#[derive(Debug)]
pub(crate) struct Stdout {
    format: Format,
    buffer: Vec<u8>,
    /// When the first line in the buffer was added.
    oldest_at: Option<Instant>,
    stdout: tokio::io::Stdout,
    is_terminal: bool,
    /// The trace ID to add to each object.
    trace: Option<Trace>,
}

/// An object with its trace ID, if there is one.
#[derive(Serialize)]
struct Traced<O> {
    #[serde(flatten)]
    object: O,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

/// Result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// All lines were written.
    Whole,
    /// The reader closed the pipe, as `head` does. This ends the command and is not a failure.
    BrokenPipe,
}

impl Stdout {
    pub(crate) fn new(format: Format) -> Stdout {
        let is_terminal = io::stdout().is_terminal();
        Stdout {
            format,
            buffer: Vec::new(),
            oldest_at: None,
            stdout: tokio::io::stdout(),
            is_terminal,
            trace: None,
        }
    }

    /// Adds the ID of the trace to all later objects.
    pub(crate) fn begin_trace(&mut self, trace: Trace) {
        self.trace = Some(trace);
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Returns the width to wrap text for people at: `COLUMNS` if it is set, as for help, or that of the
    /// terminal. A file or a pipe has none, because programs search for whole messages.
    pub(crate) fn columns(&self) -> Option<usize> {
        let given = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let terminal = || {
            let (Width(columns), _) = terminal_size().filter(|_| self.is_terminal)?;
            Some(columns.into())
        };
        given.or_else(terminal)
    }

    /// Adds a line to the buffer: `text` (if any) or `object`, depending on the format.
    pub(crate) fn line<O: Serialize>(
        &mut self,
        text: Option<impl fmt::Display>,
        object: impl FnOnce() -> O,
    ) {
        match (self.format, text) {
            (Format::Text, Some(text)) => {
                write!(self.buffer, "{text}").expect("writing to memory does not fail");
            }
            (Format::Text, None) => return,
            (Format::Json, _) => {
                let trace_id = self.trace.map(|trace| trace.to_string());
                let traced = Traced { object: object(), trace_id };
                serde_json::to_writer(&mut self.buffer, &traced)
                    .expect("keys are strings, and writing to memory does not fail");
            }
        }
        self.buffer.push(b'\n');
        self.oldest_at.get_or_insert_with(Instant::now);
    }

    /// Adds text as it is, such as a script.
    pub(crate) fn text(&mut self, text: &[u8]) {
        self.buffer.extend_from_slice(text);
    }

    /// Removes the styles from a text unless standard output shows colors.
    pub(crate) fn without_unwanted_style(&self, text: &impl fmt::Display) -> String {
        let text = text.to_string();
        match AutoStream::choice(&io::stdout()) {
            ColorChoice::Never => strip_str(&text).to_string(),
            _ => text,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.buffer.len() >= FLUSH_BYTES
    }

    /// Waits until the buffer is due; forever if it is empty.
    pub(crate) async fn flush_due(&self) {
        match self.oldest_at {
            Some(oldest_at) => sleep_until(oldest_at + FLUSH_INTERVAL).await,
            None => std::future::pending().await,
        }
    }

    /// Writes the buffer, while other tasks run. A closed pipe is not an error.
    pub(crate) async fn flush(&mut self) -> anyhow::Result<Written> {
        self.oldest_at = None;
        if self.buffer.is_empty() {
            return Ok(Written::Whole);
        }
        let written = self.stdout.write_all(&self.buffer).await;
        self.buffer.clear(); // before the next await: a cancelled flush must not print twice
        let written = match written {
            Ok(()) => self.stdout.flush().await,
            failed => failed,
        };
        check(written)
    }

    /// Writes the buffer and waits for a slow reader. An earlier [`Stdout::flush`] must have ended,
    /// because its thread could still be writing.
    pub(crate) fn flush_blocking(&mut self) -> anyhow::Result<Written> {
        self.oldest_at = None;
        let buffer = std::mem::take(&mut self.buffer);
        let mut stdout = io::stdout().lock();
        check(stdout.write_all(&buffer).and_then(|()| stdout.flush()))
    }
}

fn check(written: io::Result<()>) -> anyhow::Result<Written> {
    match written {
        Ok(()) => Ok(Written::Whole),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Written::BrokenPipe),
        Err(error) => Err(error).context("could not write to standard output"),
    }
}
