//! The only place that prints. Standard output is data, standard error is prose.

use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use serde::Serialize;

use crate::args::{ConnectionArgs, Format};
use crate::client::Call;
use crate::exit::Exit;
use crate::failure::{Failure, code_name};
use crate::metadata;

/// What may be said, and in which form.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    verbose: bool,
    quiet: bool,
}

/// Standard output cannot be written any more.
#[derive(Debug)]
struct Unwritable(io::Error);

impl std::fmt::Display for Unwritable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "could not write to standard output: {}", self.0)
    }
}

impl std::error::Error for Unwritable {}

impl Output {
    pub(crate) fn new(args: &ConnectionArgs) -> Output {
        Output { format: args.output, verbose: args.verbose, quiet: args.quiet }
    }

    /// A line of data: `text` if there is any, or `object`.
    ///
    /// # Errors
    /// Standard output is closed or full; nothing more can be done.
    pub(crate) fn data(&self, text: Option<&str>, object: &impl Serialize) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        let written = match (self.format, text) {
            (Format::Text, Some(text)) => writeln!(stdout, "{text}"),
            (Format::Text, None) => Ok(()),
            (Format::Json, _) => serde_json::to_writer(&mut stdout, object)
                .map_err(io::Error::from)
                .and_then(|()| writeln!(stdout)),
        };
        Ok(written.and_then(|()| stdout.flush()).map_err(Unwritable)?)
    }

    /// One line for what is wrong, one for what to do. In JSON both are in the object already.
    pub(crate) fn failure(&self, failure: &Failure) {
        if self.format == Format::Text {
            self.prose(format_args!("greet-cli: {failure}\n\nhint: {}", failure.hint));
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
        let peer = call.peer.as_deref().unwrap_or("no connection");
        stage("dns", call.connecting.dns, "addresses found");
        stage("tcp", call.connecting.tcp, peer);
        stage("http2", call.connecting.http2, "SETTINGS");
        let status = match &call.result {
            Ok(_) => Some(tonic::Code::Ok),
            Err(failure) => failure.status.as_ref().map(tonic::Status::code),
        };
        stage("rpc", call.rpc, status.map(code_name).unwrap_or_default());
        for headers in [&call.headers, &call.trailers] {
            for (key, value) in metadata::custom(headers) {
                self.prose(format_args!("< {key}: {}", value.escape_debug()));
            }
        }
    }

    /// Something worth knowing that is no failure.
    pub(crate) fn note(&self, note: std::fmt::Arguments<'_>) {
        self.prose(format_args!("greet-cli: {note}"));
    }

    /// The command cannot go on. A reader of standard output who has left is no failure: `head`
    /// has what it wanted.
    pub(crate) fn give_up(&self, error: &anyhow::Error) -> Exit {
        match error.downcast_ref() {
            Some(Unwritable(error)) if error.kind() == ErrorKind::BrokenPipe => Exit::Done,
            _ => {
                self.note(format_args!("{error:#}"));
                Exit::Internal
            }
        }
    }

    fn prose(&self, line: std::fmt::Arguments<'_>) {
        if !self.quiet {
            let _ = writeln!(io::stderr().lock(), "{line}"); // with nowhere to complain, no complaint
        }
    }
}
