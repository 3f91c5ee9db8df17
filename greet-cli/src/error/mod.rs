//! Why a call failed: stage, cause and hint.

mod connect;
mod rpc;
mod stage;

use std::fmt;

use greet_proto::status::code_name;
use tonic::Status;

use crate::exit::Exit;

pub(crate) use self::connect::ConnectError;
pub(crate) use self::rpc::{RpcError, StatusSource};
pub(crate) use self::stage::Stage;

/// A failed call, reported as `greet-cli: STAGE: CAUSE` and `hint: HINT`.
#[derive(Debug, Clone)]
pub(crate) enum CallError {
    /// The call was never sent.
    ConnectError(ConnectError),
    /// The call was sent and failed.
    Call(RpcError),
}

impl CallError {
    /// Returns an example of every error.
    pub(crate) fn examples() -> impl Iterator<Item = CallError> {
        let connect = ConnectError::examples().into_iter().map(CallError::from);
        connect.chain(RpcError::examples().into_iter().map(CallError::from))
    }

    pub(crate) fn stage(&self) -> Stage {
        match self {
            CallError::ConnectError(problem) => problem.stage(),
            CallError::Call(_) => Stage::Rpc,
        }
    }

    pub(crate) fn cause(&self) -> String {
        match self {
            CallError::ConnectError(problem) => problem.to_string(),
            CallError::Call(failed) => {
                let name = code_name(failed.status.code());
                match failed.status.message() {
                    "" => name.to_owned(),
                    message => format!("{name}: {message}"),
                }
            }
        }
    }

    pub(crate) fn hint(&self) -> String {
        match self {
            CallError::ConnectError(problem) => problem.hint().to_owned(),
            CallError::Call(failed) => failed.hint(),
        }
    }

    /// Returns the status of a call that was sent.
    pub(crate) fn status(&self) -> Option<&Status> {
        match self {
            CallError::ConnectError(_) => None,
            CallError::Call(failed) => Some(&failed.status),
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        self.status().map_or(Exit::ConnectError, |status| Exit::Status(status.code()))
    }
}

impl From<ConnectError> for CallError {
    fn from(problem: ConnectError) -> CallError {
        CallError::ConnectError(problem)
    }
}

impl From<RpcError> for CallError {
    fn from(failed: RpcError) -> CallError {
        CallError::Call(failed)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage().name(), self.cause())
    }
}
