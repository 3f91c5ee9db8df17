//! Why a call failed: in which stage, what was seen, and what to do about it.

use std::fmt;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::exit::Exit;
use crate::target::Target;

/// The steps of a call, in order. Until `Rpc` nothing of the call was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The host's name to its addresses.
    Dns,
    /// A connection to one of them (or to a Unix socket).
    Tcp,
    /// The server's SETTINGS: what other gRPC libraries call READY.
    Http2,
    /// The call itself.
    Rpc,
}

impl Stage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stage::Dns => "dns",
            Stage::Tcp => "tcp",
            Stage::Http2 => "http2",
            Stage::Rpc => "rpc",
        }
    }
}

/// A failure as it is reported: `greet-cli: STAGE: CAUSE`, then `hint: HINT`.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) stage: Stage,
    pub(crate) cause: String,
    pub(crate) hint: String,
    /// The status of a call that was sent.
    pub(crate) status: Option<Status>,
}

impl Failure {
    /// The call was never sent.
    pub(crate) fn connecting(stage: Stage, cause: String, hint: impl Into<String>) -> Failure {
        Failure { stage, cause, hint: hint.into(), status: None }
    }

    /// The call ended with `status`, which is not OK.
    pub(crate) fn status(status: Status, target: &Target) -> Failure {
        let name = code_name(status.code());
        let cause = match status.message() {
            "" => name.to_owned(),
            message => format!("{name}: {message}"),
        };
        let hint = status_hint(&status, target);
        Failure { stage: Stage::Rpc, cause, hint, status: Some(status) }
    }

    pub(crate) fn exit(&self) -> Exit {
        self.status.as_ref().map_or(Exit::NotConnected, |status| Exit::Status(status.code()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage.name(), self.cause)
    }
}

fn status_hint(status: &Status, target: &Target) -> String {
    match status.code() {
        Code::InvalidArgument => match status.get_details_bad_request() {
            Some(details) if !details.field_violations.is_empty() => {
                let fields = details.field_violations.iter();
                let fields = fields.map(|field| format!("`{}`", field.field));
                format!("change {} and call again", fields.collect::<Vec<_>>().join(", "))
            }
            _ => "the server refuses what was sent; its message says why".into(),
        },
        Code::DeadlineExceeded => {
            "allow more with --timeout, or find out what the server waits for".into()
        }
        Code::Unimplemented => format!("{target} has no such method: is it the right server?"),
        Code::Unavailable => "the server is leaving, or something before it is; try again".into(),
        Code::ResourceExhausted => {
            "a limit was reached, as the message says; less at a time, or later".into()
        }
        Code::Unauthenticated | Code::PermissionDenied => {
            "send credentials, as in -H 'authorization: Bearer …'".into()
        }
        Code::NotFound => "nothing of that name is there; its spelling counts, capitals too".into(),
        Code::Internal | Code::Unknown | Code::DataLoss => {
            "the server, or something before it, failed at this; its log says more".into()
        }
        Code::Ok
        | Code::Cancelled
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange => "the status is the server's own; its documentation says more".into(),
    }
}

/// The published name of a status code.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
