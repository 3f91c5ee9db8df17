//! Why a call failed: its stage, its cause and a hint.

mod connect;
mod rpc;
mod stage;

use std::fmt;

use greet_proto::status::code_name;
use tonic::Status;

use crate::exit::Exit;

pub(crate) use self::connect::NotConnected;
pub(crate) use self::rpc::{CallFailed, Ending};
pub(crate) use self::stage::Stage;

/// A failure as it is reported: `greet-cli: STAGE: CAUSE`, then `hint: HINT`.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The call was never sent.
    NotConnected(NotConnected),
    /// It was sent, and has not come back with a reply.
    Call(CallFailed),
}

impl Failure {
    pub(crate) fn stage(&self) -> Stage {
        match self {
            Failure::NotConnected(problem) => problem.stage(),
            Failure::Call(_) => Stage::Rpc,
        }
    }

    pub(crate) fn cause(&self) -> String {
        match self {
            Failure::NotConnected(problem) => problem.to_string(),
            Failure::Call(failed) => {
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
            Failure::NotConnected(problem) => problem.hint().to_owned(),
            Failure::Call(failed) => failed.hint(),
        }
    }

    /// The status of a call that was sent.
    pub(crate) fn status(&self) -> Option<&Status> {
        match self {
            Failure::NotConnected(_) => None,
            Failure::Call(failed) => Some(&failed.status),
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        self.status().map_or(Exit::NotConnected, |status| Exit::Status(status.code()))
    }
}

impl From<NotConnected> for Failure {
    fn from(problem: NotConnected) -> Failure {
        Failure::NotConnected(problem)
    }
}

impl From<CallFailed> for Failure {
    fn from(failed: CallFailed) -> Failure {
        Failure::Call(failed)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage().name(), self.cause())
    }
}
