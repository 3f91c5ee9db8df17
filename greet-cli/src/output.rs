//! The only place that prints. Standard output is data, standard error is prose.

use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use crate::args::{ConnectionArgs, Format};
use crate::client::Call;
use crate::failure::{Failure, code_name};
use crate::metadata;

/// What may be said, and in which form.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    verbose: bool,
    quiet: bool,
}

/// What became of a line of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// It was taken.
    Whole,
    /// The reader has what it wanted and left, as `head` does. It ends the command, and is no failure.
    NobodyReads,
}

impl Output {
    pub(crate) fn new(args: &ConnectionArgs) -> Output {
        Output { format: args.output, verbose: args.verbose, quiet: args.quiet }
    }

    /// A line of data: `text` if there is any, or `object`.
    ///
    /// # Errors
    /// Standard output cannot be written, for another reason than that nobody reads it any more.
    pub(crate) fn data(
        &self,
        text: Option<&str>,
        object: &impl Serialize,
    ) -> anyhow::Result<Written> {
        let mut stdout = io::stdout().lock();
        let written = match (self.format, text) {
            (Format::Text, Some(text)) => writeln!(stdout, "{text}"),
            (Format::Text, None) => Ok(()),
            (Format::Json, _) => serde_json::to_writer(&mut stdout, object)
                .map_err(io::Error::from)
                .and_then(|()| writeln!(stdout)),
        };
        match written.and_then(|()| stdout.flush()) {
            Ok(()) => Ok(Written::Whole),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Written::NobodyReads),
            Err(error) => Err(error).context("could not write to standard output"),
        }
    }

    /// One line for what is wrong, one for what to do. In JSON both are in the object already.
    pub(crate) fn failure(&self, failure: &Failure) {
        if self.format == Format::Text {
            let line = one_line(&failure.to_string());
            self.prose(format_args!("greet-cli: {line}\n\nhint: {}", one_line(&failure.hint)));
        }
    }

    /// How a call went, stage by stage.
    pub(crate) fn verbose<Reply>(&self, call: &Call<Reply>) {
        if !self.verbose {
            return;
        }
        let stage = |name: &str, took: Option<Duration>, what: &str| {
            if let Some(took) = took {
                self.prose(format_args!("* {name:<5} {:>8} us  {what}", took.as_micros()));
            }
        };
        let peer = call.stages.peer.as_deref().unwrap_or("no connection");
        stage("dns", call.stages.dns, "addresses found");
        stage("tcp", call.stages.tcp, peer);
        stage("http2", call.stages.http2, "SETTINGS");
        let status = match &call.result {
            Ok(_) => Some(tonic::Code::Ok),
            Err(failure) => failure.status.as_ref().map(tonic::Status::code),
        };
        stage("rpc", call.rpc, status.map(code_name).unwrap_or_default());
        for headers in [&call.headers, &call.trailers] {
            for (key, value) in metadata::custom(headers) {
                self.prose(format_args!("< {key}: {}", one_line(&value)));
            }
        }
    }

    /// Something worth knowing that is no failure.
    pub(crate) fn note(&self, note: std::fmt::Arguments<'_>) {
        self.prose(format_args!("greet-cli: {note}"));
    }

    fn prose(&self, line: std::fmt::Arguments<'_>) {
        if !self.quiet {
            let _ = writeln!(io::stderr().lock(), "{line}"); // with nowhere to complain, no complaint
        }
    }
}

/// A server's words on a terminal: what would move the cursor, ring or colour is shown, not done.
fn one_line(text: &str) -> String {
    let shown = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    text.chars().map(shown).collect()
}
