//! Errors of calls: stage, cause and hint.

mod connect;
mod details;
mod rpc;

use std::fmt;

use greet_proto::status::code_name;
use serde_json::Value;
use tonic::{Code, Status};

use crate::exit::Exit;

pub(crate) use self::connect::ConnectError;
pub(crate) use self::details::lines as detail_lines;
pub(crate) use self::rpc::{RpcError, StatusSource};

/// A failed call, reported as `greet-cli: STAGE: CAUSE` and `hint: HINT`.
#[derive(Debug, Clone)]
pub(crate) enum CallError {
    /// The call was never sent.
    Connect(ConnectError),
    /// The call was sent and failed.
    Rpc(RpcError),
}

impl CallError {
    /// Returns an example of every error.
    pub(crate) fn examples() -> impl Iterator<Item = CallError> {
        let connect = ConnectError::examples().into_iter().map(CallError::from);
        connect.chain(RpcError::examples().into_iter().map(CallError::from))
    }

    pub(crate) fn stage(&self) -> Stage {
        match self {
            CallError::Connect(error) => error.stage(),
            CallError::Rpc(_) => Stage::Rpc,
        }
    }

    pub(crate) fn cause(&self) -> String {
        match self {
            CallError::Connect(error) => error.to_string(),
            CallError::Rpc(error) => {
                let name = code_name(error.status.code());
                match error.status.message() {
                    "" => name.to_owned(),
                    message => format!("{name}: {message}"),
                }
            }
        }
    }

    pub(crate) fn hint(&self) -> String {
        match self {
            CallError::Connect(error) => error.hint().to_owned(),
            CallError::Rpc(error) => error.hint(),
        }
    }

    /// Returns the details of the status, in the JSON mapping of protobuf.
    pub(crate) fn details(&self) -> Vec<Value> {
        self.status().map(details::objects).unwrap_or_default()
    }

    /// Returns the failure of a call that was not sent.
    pub(crate) fn connect_error(&self) -> Option<&ConnectError> {
        match self {
            CallError::Connect(error) => Some(error),
            CallError::Rpc(_) => None,
        }
    }

    /// Returns the status of a call that was sent.
    pub(crate) fn status(&self) -> Option<&Status> {
        match self {
            CallError::Connect(_) => None,
            CallError::Rpc(error) => Some(&error.status),
        }
    }

    /// Returns the error of a call after an attempt that was sent and failed with `sent`. If the last attempt
    /// was not sent, the server may still have executed the call, so the status is that of the attempt.
    pub(crate) fn after_sent(self, sent: Option<RpcError>) -> CallError {
        match (self, sent) {
            (unsent @ CallError::Connect(_), Some(RpcError { source, status })) => {
                let message = format!("{}; the retry was not sent: {unsent}", status.message());
                let details = status.details().to_vec().into();
                RpcError::new(source, Status::with_details(status.code(), message, details)).into()
            }
            (error, _) => error,
        }
    }

    /// Returns the error with the source `missing` if the server answered UNIMPLEMENTED: the caller
    /// knows which service or method that is.
    pub(crate) fn naming_missing(self, missing: StatusSource) -> CallError {
        match self {
            CallError::Rpc(RpcError { source: StatusSource::Server, status })
                if status.code() == Code::Unimplemented =>
            {
                RpcError::new(missing, status).into()
            }
            error => error,
        }
    }

    /// Returns whether the method does not exist, so that a later call would fail as well.
    pub(crate) fn is_unimplemented(&self) -> bool {
        self.status().is_some_and(|status| status.code() == Code::Unimplemented)
    }

    pub(crate) fn exit(&self) -> Exit {
        self.status().map_or(Exit::ConnectError, |status| Exit::Status(status.code()))
    }
}

impl From<ConnectError> for CallError {
    fn from(error: ConnectError) -> CallError {
        CallError::Connect(error)
    }
}

impl From<RpcError> for CallError {
    fn from(error: RpcError) -> CallError {
        CallError::Rpc(error)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage().name(), self.cause())
    }
}

/// A stage, in order. Before `Rpc` nothing of the call is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Resolves the host name.
    Dns,
    /// Connects to an address or a Unix socket.
    Tcp,
    /// Requests a tunnel from a proxy.
    Proxy,
    /// Agrees on keys, verifies certificates and negotiates HTTP/2.
    Tls,
    /// Waits for the server's SETTINGS; other gRPC libraries call this state READY.
    Http2,
    /// Sends the call.
    Rpc,
}

impl Stage {
    pub(crate) const ALL: [Stage; 6] =
        [Stage::Dns, Stage::Tcp, Stage::Proxy, Stage::Tls, Stage::Http2, Stage::Rpc];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Stage::Dns => "dns",
            Stage::Tcp => "tcp",
            Stage::Proxy => "proxy",
            Stage::Tls => "tls",
            Stage::Http2 => "http2",
            Stage::Rpc => "rpc",
        }
    }
}
